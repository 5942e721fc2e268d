"""Neuron tuning and weight products (Mohsen et al.), with the controls that the paper lacks.

Figures 2 and 5: accuracy, area under the ROC curve (one class against the rest, mean over classes)
and precision (mean over classes) on test data, against the share of neurons removed from the first
hidden layer, or from both. One network for both figures, two hidden layers, ReLU or sigmoid. All
networks of a seed have the same split, the same first weights and the same held-out tenth, from
which neurons are judged (Golub's patients are too few: the training data are). The seed decides the
split as well as the start; of MNIST the official test images are kept.

- MNIST: 20,000 training images, 512-512, ten epochs. (The paper has all 60,000; a run of all
  methods and rates would take three times as long.)
- readmission within 30 days: 25,000 encounters to train on and as many to test on, of different
  patients, 128-64, eight epochs. Hardly anyone's risk is above one half, so that as many are
  predicted to come back as do: those with the highest risk.
- Golub's leukaemias: 38 patients to train on and 34 to test on as published, but stratified and
  split anew by each seed; 128-32.

Methods: the paper's divergence with bins common to all neurons ("kl") and with the authors' own
("kl, own range"); random removal; magnitude, share of zeros (ReLU only: a sigmoid is never zero),
Taylor and influence. Controls: "from scratch", the small network of the final widths with as many
epochs; "kl, rewound", which goes back to the first weights after the last removal and then trains
for as many epochs again as all others have in all.

Figure 3: how many of the literature's predictors of readmission, or of the genes known to tell the
classes apart, are in the top 5, 10 and 100 of a ranking, and how likely a known feature stands
above another (AUROC). The seed picks three quarters of the encounters, or four fifths of the
samples. All networks have the weight decay without which first weights hide what was learnt.
Figure 4: the mean contributions of pixels to their digit, before tuning and after.

Source: Mohsen et al., *Weight-based Neural Network Interpretability using Activation Tuning and
Personalized Products*.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, precision_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.papers import ant_data
from benchmarks.papers.ant_figures import figures
from benchmarks.papers.ant_verdicts import TABLES, VERDICTS
from benchmarks.papers.runner import over_seeds, paired
from benchmarks.readmission import CANDIDATES, preprocessing
from sknninterp import (
    ANTClassifier,
    GarsonExplainer,
    OldenExplainer,
    PWPExplainer,
    TorchMLPClassifier,
)

__all__ = ["FULL", "QUICK", "TABLES", "VERDICTS", "figures", "jobs", "run", "tables"]

SCORES = ["accuracy", "auc", "precision"]
TOPS = (5, 10, 100)
AGREEMENT = [*(f"hits_{k}" for k in TOPS), "auroc"]
# Removes no neuron, but holds out what tuned networks hold out: they differ in nothing else.
NOTHING = 1e-9
TUNING_STOP = 0.8
RANKING_RATE = 0.75

NETWORKS = {
    "mnist": {"batch_size": 128},
    "readmission": {"batch_size": 256, "dropout": 0.3},
    "golub": {"batch_size": 16},
}
DECAY = {
    "readmission": {"batch_size": 1024, "dropout": 0.3, "weight_decay": 3.0},
    "genes": {"batch_size": 16, "weight_decay": 10.0},
}

FULL = {
    "seeds": 10,
    "mnist_seeds": 5,
    "data": ["mnist", "readmission", "golub"],
    "activations": ["relu", "sigmoid"],
    "methods": [
        "kl",
        "kl, own range",
        "random",
        "magnitude",
        "apoz",
        "taylor",
        "influence",
        "from scratch",
        "kl, rewound",
    ],
    "rates": [0.25, 0.5, 0.7, 0.8, 0.9, 0.95],
    "mnist": {"train": 20_000, "test": 10_000, "hidden": [512, 512], "epochs": 10},
    "readmission": {"train": 25_000, "test": 25_000, "hidden": [128, 64], "epochs": 8},
    "golub": {"hidden": [128, 32], "epochs": 40},
    "rankings": ["readmission", "p53", "chowdary", "armstrong"],
    "ranking_readmission": {"hidden": [128, 64], "epochs": 12},
    "ranking_genes": {"hidden": [512, 128], "epochs": 80},
}
QUICK = FULL | {
    "seeds": 2,
    "mnist_seeds": 2,
    "methods": ["kl", "random", "from scratch", "kl, rewound"],
    "rates": [0.5, 0.7, 0.8],
    "mnist": {"train": 2000, "test": 2000, "hidden": [128, 128], "epochs": 5},
    "readmission": {"train": 5000, "test": 5000, "hidden": [64, 32], "epochs": 5},
    "golub": {"hidden": [32, 16], "epochs": 15},
    "rankings": ["readmission", "p53"],
    "ranking_readmission": {"train": 10_000, "hidden": [64, 32], "epochs": 6},
    "ranking_genes": {"hidden": [64, 32], "epochs": 20},
}


# --- jobs ---------------------------------------------------------------------------------------


def jobs(settings):
    return [*tuning_jobs(settings), *ranking_jobs(settings), *picture_jobs(settings)]


def tuning_jobs(settings):
    """One method on one split, at all rates; "untuned" is everybody's rate 0."""
    found = []
    for data in settings["data"]:
        seeds, activations = range(seeds_of(data, settings)), settings["activations"]
        for seed, activation in product(seeds, activations):
            job = {"experiment": "tuning", "data": data, "activation": activation}
            found.append({**job, "tuned": 0, "method": "untuned", "seed": seed})
            for tuned, method in product((1, 2), settings["methods"]):
                if (method, activation) != ("apoz", "sigmoid"):
                    found.append({**job, "tuned": tuned, "method": method, "seed": seed})
    return found


def seeds_of(data, settings):
    limit = settings["mnist_seeds"] if data == "mnist" else settings["seeds"]
    return min(limit, settings["seeds"])


def ranking_jobs(settings):
    return [
        {"experiment": "ranking", "data": data, "seed": seed}
        for data, seed in product(settings["rankings"], range(settings["seeds"]))
    ]


def picture_jobs(settings):
    one = {"experiment": "pictures", "data": "mnist", "activation": "relu", "seed": 0}
    return [one] if "mnist" in settings["data"] else []


def run(job, settings):
    return EXPERIMENTS[job["experiment"]](job, settings)


# --- Figures 2 and 5 ----------------------------------------------------------------------------


def run_tuning(job, settings):
    data = ant_data.split(job["data"], job["seed"], settings[job["data"]])
    rates = [0.0] if job["method"] == "untuned" else settings["rates"]
    rows = []
    for rate in rates:
        fitted = network(job, rate, settings).fit(data.X_train, data.y_train)
        probabilities = fitted.predict_proba(data.X_test)
        scores = scores_of(probabilities, data.y_test, by_rank=job["data"] == "readmission")
        rows.append({"removed": rate, "widths": fitted.layer_sizes_, **scores})
    return {"scores": rows}


def network(job, rate, settings):
    """The network of one method at one rate, not fitted."""
    own, method, tuned = settings[job["data"]], job["method"], job["tuned"]
    hidden, epochs = own["hidden"], own["epochs"]
    shared = {
        **NETWORKS[job["data"]],
        "activation": job["activation"],
        "max_epochs": epochs,
        "dtype": "float32",
        "random_state": job["seed"],
    }
    if method == "untuned":
        return ANTClassifier(hidden, pruning_rate=NOTHING, **shared)
    if method == "from scratch":
        return ANTClassifier(small(hidden, tuned, rate), pruning_rate=NOTHING, **shared)
    last = math.floor(TUNING_STOP * epochs)
    particular = {
        "kl, own range": {"histogram": "own-range"},
        # The last removal comes when it comes to all others; all of their epochs follow it.
        "kl, rewound": {
            "rewind": "init",
            "max_epochs": last + epochs,
            "tuning_stop": last / (last + epochs),
        },
    }
    options = particular.get(method, {"criterion": method})
    layers = "all" if tuned == len(hidden) else list(range(tuned))
    return ANTClassifier(
        hidden,
        **({**shared, "tuning_stop": TUNING_STOP} | options),
        pruning_rate=rate,
        target_layers=layers,
    )


def small(hidden, tuned, rate):
    """Widths that are left when `rate` is gone from the first `tuned` layers."""
    gone = [math.floor(rate * width + 1e-9) for width in hidden[:tuned]]
    return [width - n for width, n in zip(hidden, gone, strict=False)] + hidden[tuned:]


def scores_of(probabilities, y, by_rank=False):
    """Scores of the likeliest classes, or of as many of the second class as there are."""
    risk = probabilities[:, -1]
    if probabilities.shape[1] == 2:
        auc = roc_auc_score(y, risk)
    else:
        auc = roc_auc_score(y, probabilities, multi_class="ovr", average="macro")
    if by_rank:
        found = np.zeros_like(y)
        found[np.argsort(-risk, kind="stable")[: y.sum()]] = 1
    else:
        found = probabilities.argmax(1)
    precision = precision_score(y, found, average="macro", zero_division=0)
    scores = (accuracy_score(y, found), auc, precision)
    return {name: round(float(s), 6) for name, s in zip(SCORES, scores, strict=True)}


# --- Figure 3 -----------------------------------------------------------------------------------


def run_ranking(job, settings):
    seed, data = job["seed"], job["data"]
    if data == "readmission":
        own = settings["ranking_readmission"]
        frame = ant_data.readmission()
        rows, _ = ant_data.patients_apart(seed, own.get("train"), None)
        X, y, known = frame.data.iloc[rows], frame.target.iloc[rows], list(CANDIDATES)
        networks = ranking_networks(preprocessing, own, {**DECAY["readmission"]}, seed)
    else:
        X, y, known = ant_data.genes(data)
        rows, _ = train_test_split(np.arange(len(X)), test_size=0.2, stratify=y, random_state=seed)
        X, y = X.iloc[rows], y[rows]
        own = settings["ranking_genes"]
        networks = ranking_networks(StandardScaler, own, {**DECAY["genes"]}, seed)
    is_known = X.columns.isin(known)
    rankings = [
        {"ranking": name, **agreement(pd.Series(importances, X.columns), is_known)}
        for name, importances in importances_of(networks, X, y).items()
    ]
    share, n_features = float(is_known.mean()), len(is_known)
    expected = {f"hits_{k}": min(k, n_features) * share for k in TOPS}
    chance = {**expected, "auroc": 0.5, "top": []}
    return {"rankings": [*rankings, {"ranking": "random", **chance}]}


def ranking_networks(preprocess, own, options, seed):
    shared = {
        **options,
        "optimizer": "adamw",
        "max_epochs": own["epochs"],
        "dtype": "float32",
        "random_state": seed,
    }
    tuned = {"pruning_rate": RANKING_RATE, **shared}
    networks = {
        "plain": TorchMLPClassifier(own["hidden"], **shared),
        "kl": ANTClassifier(own["hidden"], **tuned),
        "random": ANTClassifier(own["hidden"], criterion="random", **tuned),
    }
    return {name: make_pipeline(preprocess(), network) for name, network in networks.items()}


def importances_of(networks, X, y):
    plain, tuned, at_random = (networks[name].fit(X, y) for name in ("plain", "kl", "random"))
    explainers = {
        "PWP after ANT": PWPExplainer(tuned),
        "PWP after random removal": PWPExplainer(at_random),
        "PWP": PWPExplainer(plain),
        "Garson": GarsonExplainer(plain),
        "Olden": OldenExplainer(plain),
    }
    return {name: one.fit(X).feature_importances_ for name, one in explainers.items()}


def agreement(importances, is_known):
    """How many known features are at the top, and whether they stand above the others."""
    order = np.argsort(-importances.to_numpy(), kind="stable")
    return {
        **{f"hits_{k}": int(is_known[order[:k]].sum()) for k in TOPS},
        "auroc": round(float(roc_auc_score(is_known, importances)), 6),
        "top": importances.index[order[:10]].tolist(),
    }


# --- Figure 4 -----------------------------------------------------------------------------------


def run_pictures(job, settings):
    """Mean contribution of each pixel to the digit's own class, before and after tuning."""
    data = ant_data.split("mnist", job["seed"], settings["mnist"])
    rows = []
    for when, method in {"before": "untuned", "after": "kl"}.items():
        own = {**job, "method": method, "tuned": 2}
        fitted = network(own, RANKING_RATE, settings).fit(data.X_train, data.y_train)
        explainer = PWPExplainer(fitted).fit(data.X_test)
        for digit in range(10):
            images = data.X_test[data.y_test == digit]
            pixels = explainer.explain(images, target=digit).values.mean(0)
            pixels = (pixels / pixels.max()).round(4).astype(float)
            rows.append({"tuning": when, "digit": digit, "pixels": pixels.tolist()})
    return {"pictures": rows}


EXPERIMENTS = {"tuning": run_tuning, "ranking": run_ranking, "pictures": run_pictures}


# --- tables -------------------------------------------------------------------------------------

CURVE = ["data", "activation", "tuned", "method", "removed"]


def tables(results, settings):
    """Means over seeds with 95 % intervals; differences are those of networks of the same seed."""
    parts = {name: [r for r in results if r["experiment"] == name] for name in EXPERIMENTS}
    found = {}
    if parts["tuning"]:
        scores = unfolded(parts["tuning"], "scores").drop(columns="widths")
        found["curves"] = over_seeds(scores, CURVE, SCORES)
        found["differences"] = differences(scores)
    if parts["ranking"]:
        rankings = unfolded(parts["ranking"], "rankings")
        found["rankings"] = over_seeds(rankings, ["data", "ranking"], AGREEMENT)
        found["ranking_differences"] = ranking_differences(rankings)
        found["tops"] = tops(rankings)
    if parts["pictures"]:
        found["pictures"] = pictures(parts["pictures"])
    return found


def unfolded(results, name):
    """A row for each of the rows that came of a job."""
    rows = []
    for result in results:
        job = {key: value for key, value in result.items() if key != name}
        rows += [{**job, **row} for row in result[name]]
    return pd.DataFrame(rows)


def differences(scores):
    """To the untuned network, to random removal and to the divergence ("kl")."""
    found = []
    tuned = scores[scores["method"] != "untuned"]
    for base, on in {
        "untuned": ["data", "activation"],
        "random": ["data", "activation", "tuned", "removed"],
        "kl": ["data", "activation", "tuned", "removed"],
    }.items():
        rows = paired(
            tuned[tuned["method"] != base],
            scores[scores["method"] == base],
            [*on, "seed"],
            SCORES,
        )
        if len(rows):
            table = over_seeds(rows, CURVE, SCORES)
            table.insert(CURVE.index("method") + 1, "less", base)
            found.append(table)
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


COMPARED = {
    "PWP after ANT": ("PWP after random removal", "PWP", "Garson", "Olden", "random"),
    "PWP": ("Garson", "Olden", "random"),
}


def ranking_differences(rankings):
    found = []
    for name, others in COMPARED.items():
        first = rankings[rankings["ranking"] == name]
        for other in others:
            rows = paired(
                first, rankings[rankings["ranking"] == other], ["data", "seed"], AGREEMENT
            )
            table = over_seeds(rows, ["data", "ranking"], AGREEMENT)
            table.insert(2, "less", other)
            found.append(table)
    return pd.concat(found, ignore_index=True)


def tops(rankings):
    """The ten features that are most often among a ranking's first ten: in how many of the seeds.

    Of features that are there as often as others, those of the lower seeds.
    """
    rows = rankings.explode("top").dropna(subset="top").rename(columns={"top": "feature"})
    key = ["data", "ranking"]
    counts = rows.groupby([*key, "feature"], sort=False).size().rename("in_top_10").reset_index()
    counts = counts.sort_values("in_top_10", ascending=False, kind="stable")
    firsts = [part.head(10) for _, part in counts.groupby(key, sort=False)]
    seeds = rankings.groupby(key, as_index=False, sort=False).agg(seeds=("seed", "nunique"))
    return seeds.merge(pd.concat(firsts), on=key)


def pictures(results):
    """A row for each picture, a column for each pixel."""
    rows = unfolded(results, "pictures")
    pixels = pd.DataFrame(rows["pixels"].tolist()).add_prefix("pixel_")
    return pd.concat([rows[["tuning", "digit", "seed"]], pixels], axis=1)
