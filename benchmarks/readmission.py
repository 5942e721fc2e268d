"""Thirty-day readmission of diabetic patients: predictions and rankings, patient-wise split.

    python -m benchmarks.readmission [--seeds 5] [--epochs 12] [--data FOLDER]

Test AUC of the plain network, ANT at 50 % and 75 %, scikit-learn's MLPClassifier and
HistGradientBoosting; the top of each ranking, and how many of the literature's candidate predictors
each has in its top 5 and top 10.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.inspection import permutation_importance
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import GroupShuffleSplit
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from benchmarks._timing import print_rows, write
from sknninterp import (
    ANTClassifier,
    GarsonExplainer,
    GradientXInputExplainer,
    InfluentialScores,
    OldenExplainer,
    PWPExplainer,
    TorchMLPClassifier,
)
from sknninterp.datasets import load_diabetes_readmission

# A reading of the literature on 30-day readmission of diabetic patients (Strack 2014, Soh 2020,
# Rubin 2015/2016, LACE), made before any ranking was computed.
CANDIDATES = (
    "number_inpatient",
    "discharge_disposition_id",
    "diag_1",
    "time_in_hospital",
    "number_emergency",
    "age",
    "insulin",
    "A1Cresult",
)
HIDDEN = (128, 64)


def preprocessing():
    """Standardised and one-hot centred, so that a column's zero is the cohort's mean."""
    nominal = make_column_selector(dtype_include=["category", "object", "string"])
    numeric = make_column_selector(dtype_include="number")
    one_hot = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="missing"),
        OneHotEncoder(
            min_frequency=0.005, handle_unknown="ignore", drop="if_binary", sparse_output=False
        ),
        StandardScaler(with_std=False),
    )
    scaled = make_pipeline(SimpleImputer(), StandardScaler())
    return make_column_transformer((one_hot, nominal), (scaled, numeric))


def networks(seed: int, epochs: int) -> dict:
    """The networks compared, alike in all but what is compared.

    Decay, dropout and batch size were chosen within the training part of the first split.
    """
    shared = {
        "max_epochs": epochs,
        "batch_size": 1024,
        "dropout": 0.3,
        "optimizer": "adamw",
        "weight_decay": 3.0,
        "dtype": "float32",
        "random_state": seed,
    }
    return {
        "plain": TorchMLPClassifier(HIDDEN, **shared),
        "ANT 50 %": ANTClassifier(HIDDEN, pruning_rate=0.5, **shared),
        "ANT 75 %": ANTClassifier(HIDDEN, pruning_rate=0.75, **shared),
        "scikit-learn MLP": MLPClassifier(
            HIDDEN, max_iter=50, batch_size=256, early_stopping=True, random_state=seed
        ),
    }


def boosting(X: pd.DataFrame):
    nominal = X.select_dtypes(["category", "object", "string"]).columns
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, max_categories=254
    )
    columns = make_column_transformer(
        (encoder, nominal), remainder="passthrough", verbose_feature_names_out=False
    )
    return make_pipeline(
        columns.set_output(transform="pandas"),
        HistGradientBoostingClassifier(
            categorical_features=list(nominal), max_iter=150, learning_rate=0.05, random_state=0
        ),
    )


def influence(model, X):
    """Importances of influential scores: each logit less the mean of both, the risk itself."""
    return InfluentialScores(model, center_logits=True).fit(X).feature_importances_


def one_seed(X, y, groups, seed: int, epochs: int) -> tuple[list[dict], dict[str, pd.Series]]:
    """Scores of every model and rankings of every explainer on one split."""
    train, test = next(GroupShuffleSplit(1, test_size=0.25, random_state=seed).split(X, y, groups))
    X_train, X_test, y_train, y_test = X.iloc[train], X.iloc[test], y.iloc[train], y.iloc[test]
    assert not set(groups.iloc[train]) & set(groups.iloc[test])
    scores, fitted = [], {}
    models = {name: make_pipeline(preprocessing(), n) for name, n in networks(seed, epochs).items()}
    models["HistGradientBoosting"] = boosting(X)
    for name, model in models.items():
        start = time.perf_counter()
        fitted[name] = model.fit(X_train, y_train)
        seconds = time.perf_counter() - start
        risk = model.predict_proba(X_test)[:, 1]
        scores.append(
            {
                "seed": seed,
                "model": name,
                "auc": round(float(roc_auc_score(y_test, risk)), 5),
                "average_precision": round(float(average_precision_score(y_test, risk)), 5),
                "fit_s": round(seconds, 2),
            }
        )
    rankings = {
        "PWP": PWPExplainer(fitted["plain"]).fit(X_test).feature_importances_,
        "PWP after ANT 50 %": PWPExplainer(fitted["ANT 50 %"]).fit(X_test).feature_importances_,
        "PWP after ANT 75 %": PWPExplainer(fitted["ANT 75 %"]).fit(X_test).feature_importances_,
        "Garson": GarsonExplainer(fitted["plain"]).fit(X_test).feature_importances_,
        "Olden": OldenExplainer(fitted["plain"]).fit(X_test).feature_importances_,
        "influential scores": influence(fitted["plain"], X_test),
        "influential scores after ANT 75 %": influence(fitted["ANT 75 %"], X_test),
        "gradient x input": GradientXInputExplainer(fitted["plain"])
        .fit(X_test)
        .feature_importances_,
        "permutation (plain)": permuted(fitted["plain"], X_test, y_test, seed),
        "permutation (boosting)": permuted(fitted["HistGradientBoosting"], X_test, y_test, seed),
    }
    return scores, {name: pd.Series(v, X.columns) for name, v in rankings.items()}


def permuted(model, X, y, seed):
    result = permutation_importance(
        model, X, y, scoring="roc_auc", n_repeats=2, random_state=seed, max_samples=0.5
    )
    return result.importances_mean


def hits(ranking: list[str], k: int) -> int:
    return sum(name in CANDIDATES for name in ranking[:k])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--data")
    options = parser.parse_args()
    # Rare categories that only the test part has are encoded as zeros, as they should be.
    warnings.filterwarnings("ignore", "Found unknown categories", UserWarning)
    data = load_diabetes_readmission(first_encounter=False, data_home=options.data)
    X, y, groups = data.data, data.target, data.groups
    scores, rankings = [], []
    for seed in range(options.seeds):
        some, ranking = one_seed(X, y, groups, seed, options.epochs)
        scores += some
        rankings.append(ranking)
        print_rows(f"seed {seed}", some, ["model", "auc", "average_precision", "fit_s"])
    summary = summarise(pd.DataFrame(scores))
    print_rows(
        f"{len(X)} encounters, {options.seeds} patient-wise splits",
        summary,
        ["model", "auc", "average_precision", "fit_s"],
    )
    tops = [top_of(name, [r[name] for r in rankings]) for name in rankings[0]]
    print_rows(
        "candidates in the top 5 and 10 of the mean rank",
        tops,
        ["ranking", "in_top_5", "in_top_10", "agreement"],
    )
    for top in tops:
        print(f"{top['ranking']:24s} {', '.join(top['top_10'])}")
    write(
        "readmission",
        {
            "settings": vars(options) | {"data": None},
            "n_rows": len(X),
            "candidates": CANDIDATES,
            "scores": scores,
            "summary": summary,
            "rankings": tops,
        },
    )


def summarise(frame: pd.DataFrame) -> list[dict]:
    rows = []
    for name, part in frame.groupby("model", sort=False):
        row = {"model": name}
        for score in ("auc", "average_precision"):
            row[score] = f"{part[score].mean():.4f} +- {part[score].std():.4f}"
        rows.append(row | {"fit_s": round(part["fit_s"].median(), 1)})
    return rows


def top_of(name: str, runs: list[pd.Series]) -> dict:
    """Top of the mean rank, hits per run, and agreement of the runs."""
    ranks = pd.concat([run.rank(ascending=False) for run in runs], axis=1)
    order = ranks.mean(axis=1).sort_values(kind="stable").index.tolist()
    per_run = [run.sort_values(ascending=False).index.tolist() for run in runs]
    correlation = ranks.corr(method="spearman").to_numpy()
    off = correlation[np.triu_indices(len(runs), 1)]
    return {
        "ranking": name,
        "top_10": order[:10],
        "in_top_5": hits(order, 5),
        "in_top_10": hits(order, 10),
        "in_top_5_per_run": [hits(r, 5) for r in per_run],
        "in_top_10_per_run": [hits(r, 10) for r in per_run],
        "agreement": round(float(off.mean()), 3) if len(off) else None,
    }


if __name__ == "__main__":
    main()
