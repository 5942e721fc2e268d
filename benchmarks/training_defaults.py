"""How the networks of `TorchMLPClassifierCV` are best trained: one thing changed at a time.

    python -m benchmarks.training_defaults [--seeds 2] [--jobs 2] [--work FOLDER]

Each variant differs in one setting from the network that the search takes where it is given none.
Bins of the columns and an input penalty of 0.4 are fixed: the search is left out. Simulated designs
(`benchmarks.designs`, with seeds from 100 on, which `benchmarks.ground_truth` does not see) and
small clinical tables (five folds, whose seed `benchmarks.real_tables` does not use). Measures:
AUROC of the ranking by gradient x input (designs), ROC AUC and log loss on samples not trained on,
seconds of a fit on one thread; differences to the default are paired by table and seed or fold.

Label smoothing of 0.1 is each sample a second time, with the other label and a weight of 0.05.
"Robust scaling" is by median and quartiles, with a smooth clip at three, as in Holzmüller et al.,
*Better by default* (2024).
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, LabelEncoder, RobustScaler

from benchmarks import designs
from benchmarks._timing import plain, write
from benchmarks.papers.runner import over_seeds, paired, run_all
from benchmarks.real_tables import TABLES
from sknninterp import GradientXInputExplainer, TorchMLPClassifier, table_preprocessor
from sknninterp.estimators.mlp_cv import default_network

FIXED = {"numeric_embedding": "piecewise", "input_penalty": 0.4}
DEFAULT = "as it is"
VARIANTS = {
    DEFAULT: {},
    "10 epochs, learning rate .015": {"max_epochs": 10, "lr": 15e-3},
    "30 epochs, learning rate .005": {"max_epochs": 30, "lr": 5e-3},
    "60 epochs, learning rate .003": {"max_epochs": 60, "lr": 3e-3},
    "early stopping and refit": {"max_epochs": 100, "early_stopping": True, "refit": True},
    "batches of 32": {"batch_size": 32},
    "batches of 128": {"batch_size": 128},
    "no weight decay": {"weight_decay": 0.0},
    "weight decay 1": {"weight_decay": 1.0},
    "32 neurons": {"hidden_layer_sizes": (32,)},
    "256 neurons": {"hidden_layer_sizes": (256,)},
    "two layers of 64": {"hidden_layer_sizes": (64, 64)},
    "dropout .2": {"dropout": 0.2},
    "splines": {"numeric_embedding": "spline"},
    "one network": {"n_networks": 1},
    "bootstrap": {"bootstrap": True},
    "label smoothing .1": {},
    "robust scaling": {},
}
DESIGNS = ("linear", "additive", "interactions", "xor", "wide", "heavy tails")
CLINICAL = ("heart", "Pima", "breast cancer", "wine")
MEASURES = ["recovery", "AUC", "log loss", "seconds"]


class TrainingDefaults:
    """What `benchmarks.papers.runner` runs."""

    def jobs(self, settings):
        tables = [(d, 100 + s) for s in range(settings["seeds"]) for d in DESIGNS]
        tables += [(t, fold) for t in CLINICAL for fold in range(5)]
        return [{"variant": v, "table": t, "seed": s} for v in VARIANTS for t, s in tables]

    def run(self, job, settings):
        return run(job)


def samples(table, seed):
    """Training and test samples, and what matters, where that is known."""
    if table in DESIGNS:
        return designs.make(table, seed)
    X, y = TABLES[table]()
    y = LabelEncoder().fit_transform(y)
    folds = StratifiedKFold(5, shuffle=True, random_state=100).split(X, y)
    train, test = list(folds)[seed]
    return designs.Table(X.iloc[train], y[train], X.iloc[test], y[test], None)


def smooth_clip(X):
    return X / np.sqrt(1 + (X / 3) ** 2)


def model(variant: str, n_samples: int):
    network = default_network(TorchMLPClassifier, n_samples)[-1]
    network.set_params(**{**FIXED, **VARIANTS[variant]}, random_state=0)
    preprocessor = table_preprocessor()
    if variant == "robust scaling":
        clip = FunctionTransformer(smooth_clip, feature_names_out="one-to-one")
        imputer = SimpleImputer(strategy="median", add_indicator=True)
        name, _, columns = preprocessor.transformers[0]
        robust = make_pipeline(imputer, RobustScaler(), clip)
        preprocessor.set_params(
            transformers=[(name, robust, columns), preprocessor.transformers[1]]
        )
    return make_pipeline(preprocessor, network)


def fit(variant, X, y):
    found = model(variant, len(y))
    if variant != "label smoothing .1":
        return found.fit(X, y)
    n_classes = y.max() + 1
    copies = [(y + shift) % n_classes for shift in range(n_classes)]
    weights = [1 - 0.1 + 0.1 / n_classes] + [0.1 / n_classes] * (n_classes - 1)
    found[-1].set_params(batch_size=found[-1].batch_size * n_classes)
    return found.fit(
        pd.concat([X] * n_classes),
        np.concatenate(copies),
        torchmlpclassifier__sample_weight=np.repeat(weights, len(y)) * n_classes,
    )


def run(job):
    table = samples(job["table"], job["seed"])
    start = time.perf_counter()
    fitted = fit(job["variant"], table.X, table.y)
    seconds = time.perf_counter() - start
    proba = fitted.predict_proba(table.X_test)
    of_class = proba[:, 1] if proba.shape[1] == 2 else proba
    recovery = None
    if table.relevant is not None:
        importances = GradientXInputExplainer(fitted).fit(table.X).feature_importances_
        recovery = float(roc_auc_score(table.relevant, importances))
    return {
        "recovery": recovery,
        "AUC": float(roc_auc_score(table.y_test, of_class, multi_class="ovr")),
        "log loss": float(log_loss(table.y_test, proba)),
        "seconds": seconds,
    }


def tables(results) -> dict[str, pd.DataFrame]:
    """Means of each variant, and differences to the default, over designs and clinical tables."""
    rows = pd.DataFrame(results)
    rows[MEASURES] = rows[MEASURES].astype(float)
    rows["kind"] = np.where(rows["table"].isin(DESIGNS), "designs", "clinical")
    base = rows[rows["variant"] == DEFAULT]
    others = rows[rows["variant"] != DEFAULT]
    differences = paired(others, base, ["table", "seed"], MEASURES)
    summed = partial(over_seeds, by=["kind", "variant"], values=MEASURES)
    return {"means": summed(rows), "differences": summed(differences)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("training-defaults-work"))
    options = parser.parse_args()
    settings = {"seeds": options.seeds}
    found = tables(run_all(TrainingDefaults(), settings, options.work, options.jobs))
    with pd.option_context("display.width", 200, "display.max_rows", 200):
        for name, frame in found.items():
            print(f"\n{name}\n{frame.drop(columns='seeds').round(3).to_string(index=False)}")
    write("training_defaults", {"settings": settings, **{k: plain(v) for k, v in found.items()}})


if __name__ == "__main__":
    main()
