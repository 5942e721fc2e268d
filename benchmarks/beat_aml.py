"""Venetoclax response from gene expression: pretrained and plain networks beside ridge regression.

    python -m benchmarks.beat_aml [--repeats 4] [--threads 1]

Beat AML: 329 patients with a venetoclax AUC, 469 genes, and 237 more patients with expression only.
Repeated five-fold cross-validation; genes and AUC are standardised by the training part of each
split. Networks are pretrained on the training part alone, with the patients without AUC
("unlabelled"), or with those and the expression of the patients to be predicted ("transductive":
their AUC stays unknown, but the network is made for them). What a network looks like is chosen by
three-fold cross-validation on the training part of the first split, for the plain and the
pretrained one apart.

Differences to ridge regression are paired by split; their intervals are those of the t test
corrected for splits that share patients (Nadeau and Bengio, *Inference for the Generalization
Error*, Machine Learning 52, 2003).
"""

from __future__ import annotations

import argparse
import warnings
from functools import partial

import numpy as np
import torch
from scipy.stats import spearmanr, t
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.model_selection import KFold, ParameterGrid, RepeatedKFold
from sklearn.preprocessing import StandardScaler

from benchmarks._timing import print_rows, write
from sknninterp import RBMPretrainedMLPRegressor
from sknninterp.datasets import load_beat_aml

GRID = {
    "hidden_layer_sizes": [(64,), (128, 64)],
    "activation": ["relu", "sigmoid"],
    "weight_decay": [0.03, 0.1, 0.3],
    "max_epochs": [30, 100],
}
PRETRAINING_GRID = {"pretraining": ["reconstruction"], "pretraining_epochs": [10, 50]}
FIXED = {"dropout": 0.2, "lr": 1e-3, "batch_size": 32, "device": "cpu"}
ALPHAS = np.logspace(0, 5, 26)
RIDGE = "ridge"


def mean_of_training(X, y, X_new, **_):
    return np.full(len(X_new), y.mean())


def ridge(X, y, X_new, **_):
    return RidgeCV(ALPHAS).fit(X, y).predict(X_new)


def network(X, y, X_new, *, others, seed, settings, more="none"):
    """Predictions of a network; `more` says what it is pretrained on beside the training part."""
    more = {"none": None, "others": others, "all": np.concatenate([others, X_new])}[more]
    model = RBMPretrainedMLPRegressor(**FIXED, **settings, random_state=seed)
    return model.fit(X, y, X_unlabeled=more).predict(X_new)


def predicted(model, data, train, test, seed):
    """Predictions in units of the AUC, by a model that sees standardised data."""
    X, y, others = data
    of_X, of_y = StandardScaler().fit(X[train]), StandardScaler().fit(y[train, None])
    X_train, X_test, others = (
        of_X.transform(part).astype(np.float32) for part in (X[train], X[test], others)
    )
    y_train = of_y.transform(y[train, None])[:, 0].astype(np.float32)
    found = model(X_train, y_train, X_test, others=others, seed=seed)
    return of_y.inverse_transform(np.asarray(found, dtype=float)[:, None])[:, 0]


def chosen(grid, data, rows, more) -> tuple[dict, list[dict]]:
    """The settings with the least squared error in three folds of `rows`, and all errors."""
    folds = list(KFold(3, shuffle=True, random_state=0).split(rows))
    tried = []
    for settings in ParameterGrid(grid):
        model = partial(network, settings=settings, more=more)
        errors = [
            root_mean_squared_error(
                data[1][rows[test]], predicted(model, data, rows[train], rows[test], seed)
            )
            for seed, (train, test) in enumerate(folds)
        ]
        tried.append({**settings, "inner_rmse": round(float(np.mean(errors)), 3)})
    best = dict(min(tried, key=lambda one: one["inner_rmse"]))
    del best["inner_rmse"]
    return best, tried


def models(plain, pretrained):
    """All contestants by name."""
    cd = {**pretrained, "pretraining": "cd"}
    start = {**pretrained, "pretraining_epochs": 0}
    return {
        "mean": mean_of_training,
        RIDGE: ridge,
        "network, plain": partial(network, settings=plain),
        "network, first weights of the machines": partial(network, settings=start),
        "network, pretrained": partial(network, settings=pretrained),
        "network, pretrained, unlabelled": partial(network, settings=pretrained, more="others"),
        "network, pretrained, transductive": partial(network, settings=pretrained, more="all"),
        "network, cd, unlabelled": partial(network, settings=cd, more="others"),
    }


def scores(y, found) -> dict[str, float]:
    constant = np.ptp(found) == 0
    return {
        "rmse": float(root_mean_squared_error(y, found)),
        "r2": float(r2_score(y, found)),
        "spearman": 0.0 if constant else float(spearmanr(y, found).statistic),
    }


def difference(values, base, test_share) -> dict:
    """Mean paired difference with a 95 % interval."""
    d = np.subtract(values, base)
    width = t.ppf(0.975, len(d) - 1) * np.sqrt(d.var(ddof=1) * (1 / len(d) + test_share))
    ends = {"mean": d.mean(), "low": d.mean() - width, "high": d.mean() + width}
    return {name: round(float(value), 4) for name, value in ends.items()}


def summary(runs: dict[str, list[dict]], n_folds: int) -> list[dict]:
    rows = []
    for name, splits in runs.items():
        row: dict = {"name": name}
        for score in ("rmse", "r2", "spearman"):
            values = [split[score] for split in splits]
            row[score] = f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
        for score in ("rmse", "spearman"):
            values, base = ([split[score] for split in runs[n]] for n in (name, RIDGE))
            row[f"{score}_minus_ridge"] = difference(values, base, 1 / (n_folds - 1))
        rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("error", category=RuntimeWarning)
    bunch = load_beat_aml(drug="Venetoclax")
    X, y, others = (part.to_numpy() for part in (bunch.data, bunch.target, bunch.unlabeled))
    data = X, y, others
    print(f"{X.shape[0]} patients x {X.shape[1]} genes, {len(others)} more without the AUC")
    cv = RepeatedKFold(n_splits=options.folds, n_repeats=options.repeats, random_state=0)
    splits = list(cv.split(X))
    first = splits[0][0]
    plain, tried = chosen({**GRID, "pretraining": [None]}, data, first, "none")
    pretrained, more = chosen({**GRID, **PRETRAINING_GRID}, data, first, "others")
    print(f"plain: {plain}\npretrained: {pretrained}", flush=True)
    runs = {
        name: [
            scores(y[test], predicted(model, data, train, test, seed))
            for seed, (train, test) in enumerate(splits)
        ]
        for name, model in models(plain, pretrained).items()
    }
    rows = summary(runs, options.folds)
    columns = ["name", "rmse", "r2", "spearman", "rmse_minus_ridge", "spearman_minus_ridge"]
    print_rows(f"{len(splits)} splits", rows, columns)
    results = {
        "settings": vars(options),
        "patients": {"with_auc": len(y), "without": len(others), "genes": X.shape[1]},
        "chosen": {"plain": plain, "pretrained": pretrained},
        "tried": tried + more,
        "summary": rows,
        "splits": runs,
    }
    write("beat_aml", results)


if __name__ == "__main__":
    main()
