"""Where known genes stand in the rankings of p53 mutation and breast / colon tumours.

    python -m benchmarks.gene_rankings [--seeds 5] [--data FOLDER]

Ranks of the genes that are known to separate the classes, under each explainer: per network the
rank of each gene's best probe, and the rank in the mean of the importances over the seeds.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._timing import print_rows, write
from sknninterp import (
    ANTClassifier,
    GarsonExplainer,
    OldenExplainer,
    PWPExplainer,
    TorchMLPClassifier,
)
from sknninterp.datasets import load_gene_expression

KNOWN = {
    "p53": ("BAX", "MDM2", "DDB2", "CDKN1A"),
    "chowdary": ("GATA3", "ESR1", "CDX1", "KRT20"),
}
HIDDEN = (512, 128)


# Decoupled decay lets first weights fade that the data do not hold up; without it they dominate.
DECAY = {"no decay": {}, "decay": {"optimizer": "adamw", "weight_decay": 10.0}}


def network(tuned: bool, seed: int, decay: str = "decay"):
    shared = {
        "max_epochs": 60,
        "batch_size": 16,
        "dtype": "float32",
        "random_state": seed,
        **DECAY[decay],
    }
    if tuned:
        return make_pipeline(StandardScaler(), ANTClassifier(HIDDEN, pruning_rate=0.75, **shared))
    return make_pipeline(StandardScaler(), TorchMLPClassifier(HIDDEN, **shared))


def importances(X, y, seed: int) -> dict[str, np.ndarray]:
    found = {}
    for decay in DECAY:
        plain, tuned = network(False, seed, decay).fit(X, y), network(True, seed, decay).fit(X, y)
        explainers = {
            "PWP": PWPExplainer(plain),
            "PWP after ANT": PWPExplainer(tuned),
            "Garson": GarsonExplainer(plain),
            "Olden": OldenExplainer(plain),
        }
        for name, explainer in explainers.items():
            found[f"{name}, {decay}"] = explainer.fit(X).feature_importances_
    return found


def signal_to_noise(X, y) -> np.ndarray:
    """Golub's statistic, the usual yardstick."""
    first, second = (X[y == c] for c in np.unique(y))
    spread = first.std(0) + second.std(0)
    return np.abs(first.mean(0) - second.mean(0)) / np.where(spread > 0, spread, np.inf)


def best_rank(importance: np.ndarray, genes: np.ndarray, gene: str) -> int:
    ranks = stats.rankdata(-importance, method="min")
    return int(ranks[genes == gene].min())


def study(name: str, n_seeds: int, data_home) -> dict:
    data = load_gene_expression(name, as_frame=False, data_home=data_home)
    X, y = data.data.astype(np.float32), data.target
    genes = np.asarray(data.genes).astype(str)
    runs = [importances(X, y, seed) for seed in range(n_seeds)]
    methods = {m: [run[m] for run in runs] for m in runs[0]}
    methods["signal to noise"] = [signal_to_noise(X, y)]
    rows = []
    for method, found in methods.items():
        ranks = pd.DataFrame(
            [[best_rank(f, genes, g) for g in KNOWN[name]] for f in found], columns=KNOWN[name]
        )
        mean = np.mean(found, axis=0)
        agreement = np.corrcoef([stats.rankdata(f) for f in found])
        rows.append(
            {
                "method": method,
                **{g: best_rank(mean, genes, g) for g in KNOWN[name]},
                "median_over_seeds": {g: float(ranks[g].median()) for g in KNOWN[name]},
                "agreement": round(float(agreement[np.triu_indices(len(found), 1)].mean()), 3)
                if len(found) > 1
                else None,
            }
        )
    print_rows(
        f"{name}: {X.shape[0]} x {X.shape[1]}, ranks in the mean of {n_seeds} networks",
        rows,
        ["method", *KNOWN[name], "agreement"],
    )
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    accuracy = {
        f"{label}, {decay}": cross_val_score(
            network(tuned, 0, decay), X, y, cv=folds, scoring="balanced_accuracy"
        )
        for decay in DECAY
        for label, tuned in [("plain", False), ("ANT 75 %", True)]
    }
    accuracy = {k: f"{v.mean():.3f} +- {v.std():.3f}" for k, v in accuracy.items()}
    print("balanced accuracy, 3 folds:", accuracy)
    return {"shape": X.shape, "ranks": rows, "balanced_accuracy": accuracy}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data")
    options = parser.parse_args()
    results = {name: study(name, options.seeds, options.data) for name in KNOWN}
    write("gene_rankings", {"settings": vars(options) | {"data": None}, "studies": results})


if __name__ == "__main__":
    main()
