"""What a penalty on activation entropy does to accuracy, to pruning and to rankings.

    python -m benchmarks.entropy_weight [--weights -0.1 -0.03 0 0.03 0.1 0.3]
        [--repeats 2] [--work FOLDER] [--part I/N] [--gather]

Networks of 64-32 hidden units on breast cancer, digits, readmission at any time (10,000 patients)
and a synthetic set of 500 samples with 100 features, 10 of which matter. Two times five folds, on
each a network of other first weights for every `entropy_weight`, all else alike; and of each, ANT
that removes 50, 80, 90 and 95 % of the neurons during training, with the same penalty.

- Score on the fold left out: accuracy, or AUC for readmission; entropy in bits a neuron, and the
  share of neurons that are silent there (entropy 0).
- The score that pruning costs: that of the network kept whole less that of the pruned one.
- Stability of PWP rankings: mean Spearman correlation of importances and mean Jaccard index of the
  top 10 over all pairs of the ten networks; on the synthetic set also the share of the ten relevant
  features in the top 10.

Intervals are of 95 %, by Student's t. For scores, entropy and recovery the variance is that of
Nadeau and Bengio, since folds share their training data; for means over pairs it is the
jackknife's, a network left out at a time. Differences to `entropy_weight=0` are taken within a
fold.

A finished fold is a file in the work folder: a run that was cut off goes on where it was. Several
processes share the work with `--part 1/2` and so on; `--gather` writes the results.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._timing import print_rows, write
from benchmarks.readmission import preprocessing
from sknninterp import ANTClassifier, PWPExplainer, activation_entropy
from sknninterp.datasets import load_diabetes_readmission, make_relevant_features

# Further down little changes, further up accuracy falls.
WEIGHTS = (-0.1, -0.03, 0, 0.03, 0.1, 0.3)
RATES = (0.0, 0.5, 0.8, 0.9, 0.95)
N_FOLDS = 5
TOP = 10


# --- data ---------------------------------------------------------------------------------------


def readmission():
    X, y = load_diabetes_readmission(target="any", return_X_y=True)
    rows = np.random.default_rng(0).choice(len(X), 10_000, replace=False)
    return X.iloc[rows], y.to_numpy()[rows], None


def synthetic():
    return make_relevant_features(500, 100, n_relevant=TOP, random_state=0)


# Data (with the relevant features, where they are known), preprocessing and training.
SETS = {
    "breast cancer": (
        lambda: (*load_breast_cancer(return_X_y=True, as_frame=True), None),
        StandardScaler,
        {"max_epochs": 30, "batch_size": 32},
    ),
    "digits": (
        lambda: (*load_digits(return_X_y=True), None),
        StandardScaler,
        {"max_epochs": 30, "batch_size": 64},
    ),
    "readmission": (
        readmission,
        preprocessing,
        {"max_epochs": 10, "batch_size": 256, "optimizer": "adamw", "weight_decay": 1.0},
    ),
    "synthetic": (synthetic, StandardScaler, {"max_epochs": 30, "batch_size": 32}),
}


# --- one fold -----------------------------------------------------------------------------------


def one_network(name, X, y, train, test, seed, weight, rate):
    """Score, entropy and importances of one network."""
    _, prepare, options = SETS[name]
    network = ANTClassifier(
        (64, 32),
        pruning_rate=rate,
        entropy_weight=weight,
        dtype="float32",
        device="cpu",
        random_state=seed,
        **options,
    )
    rows = X.iloc if hasattr(X, "iloc") else X
    model = make_pipeline(prepare(), network).fit(rows[train], y[train])
    entropy = activation_entropy(model, rows[test])["entropy"]
    found = {"entropy": entropy.mean(), "silent": (entropy == 0).mean()}
    if name == "readmission":
        found["score"] = roc_auc_score(y[test], model.predict_proba(rows[test])[:, 1])
    else:
        found["score"] = model.score(rows[test], y[test])
    found = {key: round(float(value), 5) for key, value in found.items()}
    if rate == 0:
        importances = PWPExplainer(model).fit(X).feature_importances_
        found["importances"] = np.round(importances, 8).tolist()
    return found


def run(job, options):
    """All networks of one fold, by entropy weight and pruning rate."""
    fold, name = job
    start = time.perf_counter()
    X, y, relevant = SETS[name][0]()
    y = np.asarray(y)
    folds = RepeatedStratifiedKFold(n_splits=N_FOLDS, n_repeats=options.repeats, random_state=0)
    train, test = list(folds.split(X, y))[fold]
    networks = {
        str(weight): {
            str(rate): one_network(name, X, y, train, test, fold, weight, rate) for rate in RATES
        }
        for weight in options.weights
    }
    if relevant is not None:
        for of_weight in networks.values():
            whole = of_weight[str(RATES[0])]
            whole["relevant"] = len(top(whole["importances"]) & set(relevant.tolist())) / TOP
    return {
        "data": name,
        "fold": fold,
        "networks": networks,
        "s": round(time.perf_counter() - start, 1),
    }


# --- tables -------------------------------------------------------------------------------------


def top(importances) -> set[int]:
    return set(np.argsort(-np.asarray(importances), kind="stable")[:TOP].tolist())


def text(mean, error, n) -> str:
    """Mean with half the width of its 95 % interval."""
    half = stats.t.ppf(0.975, n - 1) * error if n > 1 else np.nan
    return f"{mean:.4f} +- {half:.4f}"


def over_folds(values) -> str:
    """Nadeau and Bengio's interval of a mean over folds: n_test / n_train is 1 / (N_FOLDS - 1)."""
    values = np.asarray(values, dtype=float)
    n = len(values)
    error = values.std(ddof=1) * (1 / n + 1 / (N_FOLDS - 1)) ** 0.5 if n > 1 else np.nan
    return text(values.mean(), error, n)


def over_pairs(matrix) -> str:
    """Mean over pairs of networks, with the jackknife's error."""
    n = len(matrix)
    means = [off_diagonal(np.delete(np.delete(matrix, i, 0), i, 1)) for i in range(n)]
    error = ((n - 1) / n * np.square(means - np.mean(means)).sum()) ** 0.5
    return text(off_diagonal(matrix), error, n)


def off_diagonal(matrix) -> float:
    return float(matrix[np.triu_indices(len(matrix), 1)].mean()) if len(matrix) > 1 else np.nan


def agreements(importances) -> dict[str, np.ndarray]:
    """Spearman correlation and Jaccard index of the top, of every two networks."""
    ranks = stats.rankdata(importances, axis=1)
    tops = [top(one) for one in importances]
    jaccard = np.eye(len(tops))
    for i, j in combinations(range(len(tops)), 2):
        jaccard[i, j] = jaccard[j, i] = len(tops[i] & tops[j]) / len(tops[i] | tops[j])
    return {"spearman": np.atleast_2d(np.corrcoef(ranks)), "jaccard": jaccard}


def by_set(results) -> dict[str, list[dict]]:
    """The networks of every fold, of the sets that there are."""
    found: dict[str, list[dict]] = {}
    for one in results:
        found.setdefault(one["data"], []).append(one["networks"])
    return found


def of_whole(results, weights) -> list[dict]:
    """A row for each set and weight: networks kept whole, beside those without the penalty."""
    rows = []
    for name, folds in by_set(results).items():
        whole = {w: [networks[w]["0.0"] for networks in folds] for w in weights}
        pairs = {w: agreements([one["importances"] for one in whole[w]]) for w in weights}
        for weight in weights:
            row = {"data": name, "weight": weight, "networks": len(folds)}
            for key in ("score", "entropy", "silent", "relevant"):
                if key in whole[weight][0]:
                    found, plain = ([one[key] for one in whole[w]] for w in (weight, "0.0"))
                    row[key] = over_folds(found)
                    row[f"{key} - plain"] = over_folds(np.subtract(found, plain))
            for key, matrix in pairs[weight].items():
                row[key] = over_pairs(matrix)
                row[f"{key} - plain"] = over_pairs(matrix - pairs["0.0"][key])
            rows.append(row)
    return rows


def of_pruned(results, weights) -> list[dict]:
    """A row for each set, rate and weight: what pruning costs, beside what it costs without."""
    rows = []
    for name, folds in by_set(results).items():
        for rate in map(str, RATES[1:]):
            scores = {
                w: np.array([[one[w][r]["score"] for r in ("0.0", rate)] for one in folds])
                for w in weights
            }
            costs = {w: found[:, 0] - found[:, 1] for w, found in scores.items()}
            for weight in weights:
                row = {"data": name, "rate": rate, "weight": weight, "networks": len(folds)}
                row["score"] = over_folds(scores[weight][:, 1])
                row["score - plain"] = over_folds(scores[weight][:, 1] - scores["0.0"][:, 1])
                row["cost"] = over_folds(costs[weight])
                row["cost - plain"] = over_folds(costs[weight] - costs["0.0"])
                rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=float, nargs="+", default=WEIGHTS)
    parser.add_argument("--repeats", type=int, default=2, help="of the five folds")
    parser.add_argument("--work", type=Path, default=Path("entropy-weight"))
    parser.add_argument("--part", default="1/1")
    parser.add_argument("--gather", action="store_true", help="only write what is finished")
    options = parser.parse_args()
    options.weights = sorted({0.0, *map(float, options.weights)})
    options.work.mkdir(exist_ok=True, parents=True)
    part, n_parts = (int(number) for number in options.part.split("/"))
    # Fold by fold, so that what is there of an unfinished run is balanced.
    jobs = [(fold, name) for fold in range(N_FOLDS * options.repeats) for name in SETS]
    paths = {job: options.work / f"{job[0]}_{job[1].replace(' ', '-')}.json" for job in jobs}
    if not options.gather:
        # Rare categories that only the test part has are encoded as zeros, as they should be.
        warnings.filterwarnings("ignore", "Found unknown categories", UserWarning)
        torch.set_num_threads(max(1, torch.get_num_threads() // n_parts))
        for job in jobs[part - 1 :: n_parts]:
            if not paths[job].exists():
                result = run(job, options)
                paths[job].write_text(json.dumps(result))
                print(job, result["s"], flush=True)
    if options.gather or n_parts == 1:
        results = [json.loads(path.read_text()) for path in paths.values() if path.exists()]
        weights = [str(weight) for weight in options.weights]
        tables = {"whole": of_whole(results, weights), "pruned": of_pruned(results, weights)}
        for title, rows in tables.items():
            columns = list(dict.fromkeys(key for row in rows for key in row))
            print_rows(title, rows, columns)
        settings = {k: v for k, v in vars(options).items() if k not in ("work", "part", "gather")}
        write("entropy_weight", {"settings": settings, **tables, "runs": results})


if __name__ == "__main__":
    main()
