"""Which explainer finds the features that matter? Recovery of a known truth.

    python -m benchmarks.recovery [--seeds 10] [--work FOLDER] [--part I/N] [--gather] [--quick]

Eleven sets, each drawn anew for every seed:

- "two-features", "plus-one" and "orange-skin", on [0, 1] and on [1, 2]: those of
  `make_interaction_benchmark` with soft labels, 10 features, the first 2, 2 and 4 relevant;
- "xor": 20 normal features; the class is the parity of the signs of three of them, so that no one
  and no two of them tell anything;
- "correlated": 10 groups of 5 normal features, correlated by 0.9 within a group; the log odds are
  the weighted sum of one column of each of 5 groups, and only these columns are the truth;
- "nonlinear": `make_relevant_features` of that kind, 12 of 100 features relevant (three squares,
  three absolute values, three sines of three times the feature, three exponentials);
- "10 of 1,000": `make_relevant_features`, linear, half as many samples as features;
- "class-specific": 40 normal features; the logit of each of four classes is twice the weighted sum
  of five features of its own, and labels are drawn.

Weights of the last ones have random signs and sizes from 0.5 to 1.5.

The network of the soft labels has three hidden layers of 200 (20,000 samples, 40 epochs with a
cosine schedule, no weight decay, the columns unscaled); the others have 64 and 32, with weight
decay taken from 0.003, 0.01, 0.03 and 0.1 by the accuracy on fresh samples of seed 1,000, which is
not used in the tables. A second network of the same settings has three quarters of its hidden
neurons tuned away ("after ANT"); it goes without the schedule, whose small steps at the end leave
it no time to recover (chosen by the error on the same seed). How well each has learnt is in a table
of its own: accuracy beside the share of the largest class, or, of soft labels, the mean error of
the probability over that of a constant.

All explainers read the same network and rank features by their mean magnitude over the same 300
fresh samples, but Deep SHAP and Gradient SHAP, which are slow, over the first 100 of them, with
backgrounds of 30 samples and, for Gradient SHAP, 50 points a sample. Permutation shuffles each
column three times (once of 1,000 columns) and scores the log-likelihood, of soft labels against the
true probabilities, since their more probable class may be the same for all samples. Beside them are
a random ranking and two yardsticks that see the training data and no network: a random forest (of
soft labels, a regression of the probability) and an L1-penalised logistic regression with its
penalty chosen by three folds (of soft labels, the lasso on the log odds). `seconds` are those of
the ranking; a yardstick's include its fit.

Deletion and insertion are areas less those of a random order, of the predicted class's probability,
with the column's mean in place of its value, over 60 samples; they say whether an explanation is
faithful to its network, which need not have learnt the truth, and favour explanations from the
mean over those from zero where columns are not centred.

Two more measures concern single outputs. `own_auroc` and `own_precision`, of the class-specific
set, are the recovery of each class's own features by the importances towards this class, means over
classes. `class_0_auroc`, of the soft labels, is that by the mean signed value towards class 0 over
those 60 samples, the reading of the paper that proposed these sets: every relevant feature speaks
for class 0, which one has to know.

A finished set and seed is a file in the work folder: a run that was cut off goes on where it was.
Several processes share the work with `--part 1/2` and so on; `--gather` writes the results.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from scipy.special import logit
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LassoCV, LogisticRegressionCV
from sklearn.multiclass import OneVsRestClassifier
from skorch.callbacks import LRScheduler

from benchmarks._timing import print_rows, write
from benchmarks.papers.influence_networks import SoftTargetClassifier
from sknninterp import (
    ANTClassifier,
    GarsonExplainer,
    GradientXInputExplainer,
    InfluentialScores,
    IntegratedGradientsExplainer,
    OldenExplainer,
    PWPExplainer,
    TorchMLPClassifier,
)
from sknninterp.datasets import make_interaction_benchmark, make_relevant_features
from sknninterp.evaluation.comparison import compare_explainers
from sknninterp.evaluation.known_truth import recovery
from sknninterp.evaluation.peers import (
    DeepLiftExplainer,
    DeepShapExplainer,
    GradientShapExplainer,
    LRPExplainer,
    PermutationExplainer,
)

N_FRESH = 300
# How many of them are enough for the slow.
N_FEW = 100
# Whose deletion and insertion is measured.
N_EXPLAINED = 60
# On how many fresh samples a network is judged.
N_TEST = 2000
N_SOFT = 20_000


# --- the sets -----------------------------------------------------------------------------------


def soft(name, low):
    def make(n_samples, seed):
        X, y, relevant = make_interaction_benchmark(
            name, n_samples, low=low, high=low + 1, random_state=seed
        )
        return X, y, relevant, None

    return make


def relevant_features(n_features, n_relevant, kind):
    def make(n_samples, seed):
        options = {"n_relevant": n_relevant, "kind": kind, "random_state": seed}
        return *make_relevant_features(n_samples, n_features, **options), None

    return make


def weights(rng, shape):
    return rng.choice([-1, 1], shape) * rng.uniform(0.5, 1.5, shape)


def xor(n_samples, seed):
    rng = np.random.default_rng(seed)
    X, relevant = rng.normal(size=(n_samples, 20)), rng.choice(20, 3, replace=False)
    return X, (X[:, relevant] > 0).sum(1) % 2, relevant, None


def correlated(n_samples, seed, n_groups=10, size=5, correlation=0.9):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n_samples, n_groups)).repeat(size, axis=1)
    X = correlation**0.5 * shared + (1 - correlation) ** 0.5 * rng.normal(size=shared.shape)
    groups = rng.choice(n_groups, n_groups // 2, replace=False)
    relevant = size * groups + rng.integers(size, size=len(groups))
    log_odds = X[:, relevant] @ weights(rng, len(relevant))
    y = (log_odds + rng.logistic(size=n_samples) > 0).astype(int)
    return X, y, relevant, None


def class_specific(n_samples, seed, n_classes=4, n_own=5):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 40))
    own = rng.choice(40, (n_classes, n_own), replace=False)
    logits = 2 * (X[:, own] * weights(rng, own.shape)).sum(2)
    y = (logits + rng.gumbel(size=logits.shape)).argmax(1)  # drawn with the softmax's shares
    return X, y, own.ravel(), own


@dataclass
class Kind:
    """How a set is made, `(n_samples, seed) -> X, y, relevant, own`, and its network's settings."""

    make: Callable
    n_train: int = N_SOFT
    weight_decay: float = 0.0
    epochs: int = 40

    @property
    def is_soft(self):
        return self.n_train == N_SOFT


KINDS = {
    f"{name} [{low}, {low + 1}]": Kind(soft(name, low))
    for name in ("two-features", "plus-one", "orange-skin")
    for low in (0, 1)
} | {
    "xor": Kind(xor, 4000, 0.01, 60),
    "correlated": Kind(correlated, 500, 0.1),
    "nonlinear": Kind(relevant_features(100, 12, "nonlinear"), 4000, 0.03),
    "10 of 1,000": Kind(relevant_features(1000, 10, "linear"), 500, 0.03),
    "class-specific": Kind(class_specific, 1000, 0.03),
}


@dataclass
class Problem:
    """Training and test data of one set, by its number, and seed."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    relevant: np.ndarray
    own: np.ndarray | None
    is_soft: bool
    number: int

    @classmethod
    def of(cls, name, seed, share):
        kind = KINDS[name]
        n_train = round(kind.n_train * share)
        X, y, relevant, own = kind.make(n_train + N_TEST, seed)
        X = X.astype(np.float32)
        return cls(
            *(X[:n_train], y[:n_train], X[n_train:], y[n_train:], relevant, own),
            is_soft=kind.is_soft,
            number=list(KINDS).index(name),
        )


# --- the networks -------------------------------------------------------------------------------


class SoftTargetANTClassifier(SoftTargetClassifier, ANTClassifier):
    """The same with neuron tuning."""

    def _stratify(self, target):
        return None  # probabilities are no strata


def fit_networks(problem, kind, seed, share):
    """The plain network and the tuned one, and seconds of fitting each."""
    if kind.is_soft:
        plain, tuned = SoftTargetClassifier, SoftTargetANTClassifier
        settings = {"hidden_layer_sizes": (200, 200, 200), "batch_size": 512, "lr": 1e-3}
    else:
        plain, tuned = TorchMLPClassifier, ANTClassifier
        settings = {"hidden_layer_sizes": (64, 32), "batch_size": 128, "lr": 3e-3}
    epochs = max(5, round(kind.epochs * share))
    settings |= {"weight_decay": kind.weight_decay, "max_epochs": epochs, "random_state": seed}
    cosine = [("schedule", LRScheduler("CosineAnnealingLR", T_max=epochs))]
    networks, seconds = [], []
    for network, options in (
        (plain, {"callbacks": cosine if kind.is_soft else None}),
        (tuned, {"pruning_rate": 0.75}),
    ):
        start = time.perf_counter()
        fitted = network(**settings, **options, dtype="float32", device="cpu")
        networks.append(fitted.fit(problem.X, problem.y))
        seconds.append(round(time.perf_counter() - start, 1))
    return networks, seconds


def quality(network, problem):
    """What the network has learnt, beside what there is to know without the features."""
    if not problem.is_soft:
        accuracy = network.score(problem.X_test, problem.y_test)
        largest = np.bincount(problem.y_test).max() / len(problem.y_test)
        return {"accuracy": float(accuracy), "largest_class": float(largest)}
    truth = problem.y_test[:, 1]
    error = np.abs(network.predict_proba(problem.X_test)[:, 1] - truth).mean()
    return {"relative_error": float(error / np.abs(problem.y[:, 1].mean() - truth).mean())}


# --- what explains them -------------------------------------------------------------------------


def log_likelihood(network, X, y):
    """Score for permutation importance; y holds classes or their probabilities."""
    truth = y if y.ndim == 2 else np.eye(len(network.classes_))[y]
    return (truth * np.log(network.predict_proba(X).clip(1e-7))).sum(1).mean()


def explainers(n_features, seed):
    shap = {"n_background": 30, "random_state": seed}
    n_shuffles = 3 if n_features < 1000 else 1
    return {
        "PWP": PWPExplainer(),
        "PWP, signed": PWPExplainer(signed=True),
        "Garson": GarsonExplainer(),
        "Garson 1991": GarsonExplainer(variant="garson1991"),
        "Garson, Goh 1995": GarsonExplainer(variant="goh1995"),
        "Olden": OldenExplainer(),
        "influential scores": InfluentialScores(),
        "influential scores, centred": InfluentialScores(center_logits=True),
        "gradient x input": GradientXInputExplainer(),
        "integrated gradients": IntegratedGradientsExplainer(),
        "integrated gradients, from mean": IntegratedGradientsExplainer(baseline="mean"),
        "DeepLIFT": DeepLiftExplainer(),
        "LRP": LRPExplainer(),
        "Deep SHAP": DeepShapExplainer(**shap),
        "Gradient SHAP": GradientShapExplainer(**shap, n_samples=50),
        "permutation": PermutationExplainer(
            scoring=log_likelihood, n_repeats=n_shuffles, random_state=seed
        ),
    }


AFTER_ANT = {
    "PWP, after ANT": PWPExplainer(),
    "influential scores, after ANT": InfluentialScores(),
}
OUTSIDE = ("random forest", "L1 regression", "random ranking")
MEASURES = (
    "auroc",
    "average_precision",
    "precision",
    "mean_rank",
    "deletion",
    "insertion",
    "seconds",
)
OF_OUTPUTS = ("own_auroc", "own_precision", "class_0_auroc")


def outside_importances(problem, seed):
    """Rankings without the network: importances, those of each class or None, and seconds."""
    X, y, found = problem.X, problem.y, {}
    start = time.perf_counter()
    forest = RandomForestRegressor if problem.is_soft else RandomForestClassifier
    options = {"min_samples_leaf": 5, "max_features": "sqrt", "random_state": seed}
    forest = forest(100, **options).fit(X, y[:, 1] if problem.is_soft else y)
    found["random forest"] = forest.feature_importances_, None, time.perf_counter() - start
    start = time.perf_counter()
    if problem.is_soft:
        coefs = LassoCV(cv=3).fit(X, logit(y[:, 1])).coef_[None]
    else:
        regression = LogisticRegressionCV(
            Cs=8,
            cv=3,
            l1_ratios=(1,),
            solver="liblinear",
            scoring="neg_log_loss",
            use_legacy_attributes=False,
        )
        regression = OneVsRestClassifier(regression).fit(X, y)
        coefs = np.concatenate([one.coef_ for one in regression.estimators_])
    coefs = np.abs(coefs)
    found["L1 regression"] = coefs.sum(0), coefs, time.perf_counter() - start
    rng = np.random.default_rng([seed, problem.number])
    by_lot = rng.uniform(size=(1 if problem.own is None else len(problem.own), X.shape[1]))
    found["random ranking"] = by_lot.sum(0), by_lot, 0.0
    return found


def fitted_explainers(problem, networks, seed):
    """Explainers of the plain and the tuned network, with how long each took to rank."""
    X, y = problem.X_test[:N_FRESH], problem.y_test[:N_FRESH]
    found, seconds = {}, {}
    plain = explainers(X.shape[1], seed)
    for group, network in zip((plain, AFTER_ANT), networks, strict=True):
        for name, explainer in group.items():
            n_ranked = N_FEW if "SHAP" in name else N_FRESH
            explainer = clone(explainer).set_params(estimator=network)
            start = time.perf_counter()
            found[name] = explainer.fit(X[:n_ranked], y[:n_ranked])
            seconds[name] = time.perf_counter() - start
    return found, seconds


def measure(problem, networks, seed):
    """Of every explainer its recovery, faithfulness and seconds."""
    fitted, seconds = fitted_explainers(problem, networks, seed)
    k, own = len(problem.relevant), problem.own
    table = compare_explainers(
        fitted,
        problem.X_test[:N_FRESH],
        relevant=problem.relevant,
        k=k,
        n_explained=N_EXPLAINED,
        n_steps=10,
        n_random=3,
        random_state=seed,
    )
    table = table.rename(columns={f"precision_at_{k}": "precision"}).assign(seconds=seconds)
    found = table[[*MEASURES]].to_dict("index")
    for name, explainer in fitted.items():
        if hasattr(explainer, "explain"):
            found[name] |= of_outputs(explainer, problem)
    for name, (ranking, of_classes, outside_s) in outside_importances(problem, seed).items():
        row = recovery(ranking, problem.relevant).iloc[0].to_dict()
        found[name] = row | {"precision": row.pop(f"precision_at_{k}"), "seconds": outside_s}
        if own is not None and of_classes is not None:
            found[name] |= own_features(of_classes, own)
    return found


def of_outputs(explainer, problem):
    """Recovery by what an explainer says about single outputs."""
    if problem.own is not None:
        return own_features(explainer.importances_.to_numpy().T, problem.own)
    if problem.is_soft:
        values = explainer.explain(problem.X_test[:N_EXPLAINED], target=0).values.mean(0)
        return {"class_0_auroc": float(recovery(values, problem.relevant)["auroc"].iloc[0])}
    return {}


def own_features(importances, own):
    """Recovery of each class's own features, the mean over classes."""
    rows = [recovery(row, mine).iloc[0] for row, mine in zip(importances, own, strict=True)]
    precision = f"precision_at_{own.shape[1]}"
    return {
        "own_auroc": float(np.mean([row["auroc"] for row in rows])),
        "own_precision": float(np.mean([row[precision] for row in rows])),
    }


def run(name, seed, share):
    start = time.perf_counter()
    problem = Problem.of(name, seed, share)
    networks, fit_seconds = fit_networks(problem, KINDS[name], seed, share)
    found = measure(problem, networks, seed)
    return {
        "set": name,
        "seed": seed,
        "networks": {
            title: quality(network, problem) | {"seconds": seconds}
            for title, network, seconds in zip(
                ("plain", "after ANT"), networks, fit_seconds, strict=True
            )
        },
        "explainers": found,
        "s": round(time.perf_counter() - start, 1),
    }


# --- tables -------------------------------------------------------------------------------------


def interval(values):
    """Mean with half the width of its 95 % interval (Student's t)."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return f"{values.mean():.3f}"
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return f"{values.mean():.3f} +- {half:.3f}"


def by_set(results):
    """Results of each set that has any, over its seeds."""
    groups = {name: [r for r in results if r["set"] == name] for name in KINDS}
    return {name: group for name, group in groups.items() if group}


def values_of(group, explainer, measure):
    """One number a seed, without those of an explainer that failed or has no such measure."""
    values = [r["explainers"][explainer].get(measure) for r in group]
    return [value for value in values if value is not None and np.isfinite(value)]


def network_table(groups):
    rows = []
    for name, group in groups.items():
        for network in ("plain", "after ANT"):
            row = {"set": name, "network": network, "seeds": len(group)}
            for key in group[0]["networks"][network]:
                row[key] = interval([r["networks"][network][key] for r in group])
            rows.append(row)
    return rows


def recovery_table(groups):
    rows = []
    for name, group in groups.items():
        for explainer in group[0]["explainers"]:
            row = {"set": name, "explainer": explainer}
            for measure_ in (*MEASURES, *OF_OUTPUTS):
                values = values_of(group, explainer, measure_)
                if values:
                    row[measure_] = interval(values)
            rows.append(row)
    return rows


def overview_table(groups):
    """Over all sets; the best of a set is the best that reads a network."""
    names = list(next(iter(groups.values()))[0]["explainers"])

    def means(measure_):
        values = [[values_of(group, name, measure_) for group in groups.values()] for name in names]
        return np.array([[np.mean(one or np.nan) for one in row] for row in values])

    auroc, precision = means("auroc"), means("precision")
    best = np.nanmax(auroc[[name not in OUTSIDE for name in names]], axis=0)
    near = (auroc >= best - 0.02).sum(1)
    columns = {
        "auroc": auroc.mean(1),
        "precision": precision.mean(1),
        "worst_auroc": auroc.min(1),
    }
    return [
        {"explainer": name}
        | {key: round(float(values[i]), 3) for key, values in columns.items()}
        | {"near_best": int(near[i]), "sets": len(groups)}
        for i, name in enumerate(names)
    ]


def per_seed(groups):
    """The numbers behind the tables."""
    wanted = ("auroc", "precision", "deletion", "insertion", "own_auroc", "class_0_auroc")
    return {
        name: {
            explainer: {
                measure_: np.round(values, 4).tolist()
                for measure_ in wanted
                if (values := values_of(group, explainer, measure_))
            }
            for explainer in group[0]["explainers"]
        }
        for name, group in groups.items()
    }


def report(results):
    """Print the tables and return them."""
    groups = by_set(results)
    tables = {
        "overview": overview_table(groups),
        "networks": network_table(groups),
        "recovery": recovery_table(groups),
    }
    for title, rows in tables.items():
        print_rows(title, rows, list(dict.fromkeys(key for row in rows for key in row)))
    return tables


def file_name(name, seed):
    return re.sub("[^a-z0-9]+", "_", f"{name} {seed}.").strip("_") + ".json"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--sets", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--work", type=Path, default=Path("recovery"))
    parser.add_argument("--part", default="1/1")
    parser.add_argument("--gather", action="store_true", help="only write what is finished")
    parser.add_argument("--quick", action="store_true", help="2 seeds, small networks, no file")
    options = parser.parse_args()
    seeds = range(options.seeds or (2 if options.quick else 10))
    torch.set_num_threads(1)
    if options.quick:
        report([run(name, seed, 0.25) for seed in seeds for name in options.sets])
        return
    options.work.mkdir(exist_ok=True, parents=True)
    part, n_parts = (int(number) for number in options.part.split("/"))
    jobs = [(name, seed) for seed in seeds for name in options.sets]
    paths = {job: options.work / file_name(*job) for job in jobs}
    if not options.gather:
        for job, path in list(paths.items())[part - 1 :: n_parts]:
            if not path.exists():
                result = run(*job, share=1.0)
                path.write_text(json.dumps(result))
                print(*job, f"{result['s']} s", flush=True)
    if options.gather or n_parts == 1:
        results = [json.loads(path.read_text()) for path in paths.values() if path.exists()]
        write("recovery", report(results) | {"per_seed": per_seed(by_set(results))})


if __name__ == "__main__":
    main()
