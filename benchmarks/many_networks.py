"""Many networks at once: searches and repeats as a stack beside the same fits one after another.

    python -m benchmarks.many_networks [--repeats 3] [--jobs 2] [--rows 20000] [--epochs 20]

- A search over 5 pruning rates, 5 folds and 2 seeds, 50 networks 30-64-64-2: `ANTClassifierCV`
  beside scikit-learn's `GridSearchCV` over the same estimator, and over skorch's
  `NeuralNetClassifier` (as many fits with its own defaults, of five learning rates, none pruned);
- `RepeatedExplainer` with 50 bootstraps of a plain network beside a loop over the same fits.

Both on simulated data (4 times as fast is wanted) and on breast cancer (8 times), the bootstraps on
encounters of the readmission data too (4 times), in single precision. All take turns in every
repeat, with as many processes each; the scores of the two searches are beside them.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.datasets import load_breast_cancer, make_classification
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from benchmarks._timing import paired, print_rows, table, write
from benchmarks.readmission import preprocessing
from sknninterp import (
    ANTClassifier,
    ANTClassifierCV,
    PWPExplainer,
    RepeatedExplainer,
    TorchMLPClassifier,
)
from sknninterp.datasets import load_diabetes_readmission
from sknninterp.evaluation._repeats import fit_repeat
from sknninterp.nn.mlp import MLP

HIDDEN = (64, 64)
RATES = [0, 0.25, 0.5, 0.75, 0.9]
N_REPEATS, N_BOOTSTRAPS = 2, 50
STACK, GRID, SKORCH, LOOP = "stack", "GridSearchCV", "skorch in GridSearchCV", "plain loop"


def data_sets(n_rows: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    simulated = make_classification(n_rows, 30, n_informative=10, flip_y=0.1, random_state=0)
    X, y = load_breast_cancer(return_X_y=True)
    found = {
        f"simulated, {n_rows:,} rows": simulated,
        "breast cancer, 569 rows": (StandardScaler().fit_transform(X), y),
    }
    return {name: (X.astype(np.float32), y) for name, (X, y) in found.items()}


def readmission(n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    data = load_diabetes_readmission()
    X = preprocessing().fit_transform(data.data).astype(np.float32)[:n_rows]
    return X, np.asarray(data.target)[:n_rows]


def searches(X, y, epochs: int, n_jobs: int) -> tuple[dict, dict]:
    """The contestants, and the mean scores that they find, by rate."""
    folds = list(StratifiedKFold(5).split(X, y))
    network, scores = ANTClassifier(HIDDEN, max_epochs=epochs), {}

    def stack():
        search = ANTClassifierCV(
            network, pruning_rates=RATES, cv=folds, n_repeats=N_REPEATS, refit=False, n_jobs=n_jobs
        )
        scores[STACK] = search.fit(X, y).cv_results_["mean_test_score"]

    def grid():
        search = GridSearchCV(
            network, {"pruning_rate": RATES}, cv=folds * N_REPEATS, refit=False, n_jobs=n_jobs
        )
        scores[GRID] = search.fit(X, y).cv_results_["mean_test_score"]

    def skorch():
        net = NeuralNetClassifier(
            MLP(X.shape[1], 2, HIDDEN),
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            max_epochs=epochs,
            train_split=None,
            verbose=0,
        )
        rates = {"lr": [1e-3, 2e-3, 3e-3, 4e-3, 5e-3]}
        cv = folds * N_REPEATS
        GridSearchCV(net, rates, cv=cv, refit=False, n_jobs=n_jobs).fit(X, y)

    return {STACK: stack, GRID: grid, SKORCH: skorch}, scores


def repeats(X, y, epochs: int, n_jobs: int) -> dict:
    """The contestants."""
    explainer = PWPExplainer(TorchMLPClassifier(HIDDEN, max_epochs=epochs))
    options = {"n_repeats": N_BOOTSTRAPS, "resampling": "bootstrap", "random_state": 0}

    def stack():
        RepeatedExplainer(explainer, n_jobs=n_jobs, **options).fit(X, y)

    def loop():
        Parallel(n_jobs=n_jobs)(
            delayed(fit_repeat)(i, i, explainer, X, y, "bootstrap", 1.0, True, n_jobs > 1)
            for i in range(N_BOOTSTRAPS)
        )

    return {STACK: stack, LOOP: loop}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=20)
    args = parser.parse_args()
    results = {"settings": vars(args)}
    columns = ["name", "median_s", "ratio"]
    for name, (X, y) in data_sets(args.rows).items():
        contestants, scores = searches(X, y, args.epochs, args.jobs)
        seconds = paired(contestants, args.repeats)
        found = {which: np.round(values, 4).tolist() for which, values in scores.items()}
        results[f"search, {name}"] = {"rows": table(seconds, STACK), "mean scores": found}
        print_rows(f"search of 50 networks, {name}", table(seconds, STACK), columns)
        print(found)
    encounters = {f"readmission, {args.rows:,} rows": readmission(args.rows)}
    for name, (X, y) in (data_sets(args.rows) | encounters).items():
        seconds = paired(repeats(X, y, args.epochs, args.jobs), args.repeats)
        results[f"repeats, {name}"] = {"rows": table(seconds, STACK)}
        print_rows(f"50 bootstraps, {name}", table(seconds, STACK), columns)
    write("many_networks", results)


if __name__ == "__main__":
    main()
