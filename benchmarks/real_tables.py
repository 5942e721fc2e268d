"""Predictions on real tables: networks chosen by cross-validation beside their peers.

    python -m benchmarks.real_tables [--repeats 1] [--sets NAME ...] [--methods NAME ...]
        [--jobs 2] [--work FOLDER] [--keep] [--readme]

Five outer folds, as often as `--repeats` says; whatever a method chooses it chooses on the training
part alone. Classes: ROC AUC (of several: each against the rest, the mean) and accuracy. Values:
R^2. Of the readmission data 6,000 training samples of each fold are taken, so that all methods
finish. Missing values, categories and scales: `table_preprocessor` for all but gradient boosting,
which has its own ways.

- "network": `TorchMLPClassifierCV` and `TorchMLPRegressorCV` as they are;
- "linear": logistic regression with an L2 penalty chosen by five folds; ridge regression;
- "forest": 500 trees;
- "boosting": `HistGradientBoostingClassifier` and its regressor;
- "sklearn MLP": `MLPClassifier` and `MLPRegressor`;
- "RealMLP", "TabM": pytabkit's with tuned defaults, where it is installed; not on the expression
  sets of thousands of genes.

A set's methods are ranked by their mean score (AUC or R^2), and tied where the 95 % interval of
the paired differences, corrected for folds that share samples (Nadeau and Bengio, *Inference for
the Generalization Error*, Machine Learning 52, 2003), holds 0. Seconds are of one fit, on one
thread; of the network with its search and, as "refit seconds", of the chosen ten networks alone:
boosting and the forest search nothing.

A finished fit is a file in the work folder: a run that was cut off goes on. `--keep` takes what is
not run now from the committed results, to add a method to them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder, StandardScaler

from benchmarks._readme import markdown, put
from benchmarks._timing import RESULTS, plain, write
from benchmarks.papers.runner import run_all
from sknninterp import TorchMLPClassifierCV, TorchMLPRegressorCV, table_preprocessor
from sknninterp.datasets import (
    load_beat_aml,
    load_diabetes_readmission,
    load_gene_expression,
    load_heart_disease,
    load_pima_diabetes,
)

N_FOLDS = 5
MOST_TRAINED = 6_000
OURS = "network"
SECONDS = ("seconds", "refit seconds")
DRUGS = (
    "Venetoclax",
    "Trametinib",
    "Panobinostat",
    "Sorafenib",
    "Quizartinib",
    "Selumetinib",
    "Elesclomol",
    "Dasatinib",
)


# --- tables ---------------------------------------------------------------------------------------


def clinical(load):
    bunch = load()
    X = bunch.data.copy()
    for name in bunch.get("categorical_features", ()):
        X[name] = X[name].astype(object)
    return X, bunch.target


def readmission():
    X, y = load_diabetes_readmission(return_X_y=True)
    return X, y


def genes(name):
    return load_gene_expression(name, return_X_y=True)


TABLES = {
    "heart": lambda: clinical(load_heart_disease),
    "Pima": lambda: clinical(load_pima_diabetes),
    "breast cancer": lambda: load_breast_cancer(return_X_y=True, as_frame=True),
    "wine": lambda: load_wine(return_X_y=True, as_frame=True),
    "digits": lambda: load_digits(return_X_y=True, as_frame=True),
    "readmission": readmission,
    "Golub": lambda: genes("golub"),
    "Armstrong": lambda: genes("armstrong"),
    "p53": lambda: genes("p53"),
    "breast/colon": lambda: genes("chowdary"),
    **{drug: lambda drug=drug: load_beat_aml(drug=drug, return_X_y=True) for drug in DRUGS},
}


def is_regression(table: str) -> bool:
    return table in DRUGS


# --- methods --------------------------------------------------------------------------------------


def scaled_target(regressor):
    return TransformedTargetRegressor(regressor, transformer=StandardScaler())


def by_network(regression, seed):
    if regression:
        return scaled_target(TorchMLPRegressorCV(random_state=seed))
    return TorchMLPClassifierCV(scoring="roc_auc_ovr", random_state=seed)


def by_line(regression, seed):
    if regression:
        return make_pipeline(table_preprocessor(), RidgeCV(np.logspace(-1, 5, 25)))
    logistic = LogisticRegressionCV(
        Cs=np.logspace(-4, 2, 7),
        l1_ratios=(0.0,),
        cv=5,
        max_iter=500,
        scoring="neg_log_loss",
        use_legacy_attributes=False,
        random_state=seed,
    )
    return make_pipeline(table_preprocessor(), logistic)


def by_forest(regression, seed):
    kind = RandomForestRegressor if regression else RandomForestClassifier
    return make_pipeline(table_preprocessor(), kind(500, random_state=seed))


def by_boosting(regression, seed):
    kind = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    return kind(categorical_features="from_dtype", random_state=seed)


def by_sklearn_mlp(regression, seed):
    if regression:
        return scaled_target(make_pipeline(table_preprocessor(), MLPRegressor(random_state=seed)))
    return make_pipeline(table_preprocessor(), MLPClassifier(random_state=seed))


def by_pytabkit(name):
    def make(regression, seed):
        import pytabkit

        kind = getattr(pytabkit, f"{name}_{'Regressor' if regression else 'Classifier'}")
        return kind(device="cpu", random_state=seed, n_threads=1, verbosity=0)

    return make


METHODS = {
    OURS: by_network,
    "linear": by_line,
    "forest": by_forest,
    "boosting": by_boosting,
    "sklearn MLP": by_sklearn_mlp,
    "RealMLP": by_pytabkit("RealMLP_TD"),
    "TabM": by_pytabkit("TabM_D"),
}
NEEDS_PYTABKIT = ("RealMLP", "TabM")


# --- jobs -----------------------------------------------------------------------------------------


class RealTables:
    """What `benchmarks.papers.runner` runs."""

    def __init__(self, tables, methods):
        self.tables, self.methods = tables, methods

    def jobs(self, settings):
        chosen = product(self.tables, range(settings["repeats"] * N_FOLDS), self.methods)
        jobs = [{"table": t, "fold": f, "method": m} for t, f, m in chosen]
        return [job for job in jobs if applies(job["method"], job["table"])]

    def run(self, job, settings):
        return run(job)


def applies(method: str, table: str) -> bool:
    if method not in NEEDS_PYTABKIT:
        return True
    installed = importlib.util.find_spec("pytabkit") is not None
    return installed and table not in ("Golub", "Armstrong", "p53", "breast/colon")


def split(table, X, y, fold):
    """Training and test samples; the folds are the same for every method."""
    n_repeats = fold // N_FOLDS + 1
    kind = RepeatedKFold if is_regression(table) else RepeatedStratifiedKFold
    folds = kind(n_splits=N_FOLDS, n_repeats=n_repeats, random_state=0).split(X, y)
    train, test = list(folds)[fold]
    if len(train) > MOST_TRAINED:
        train = np.random.default_rng(fold).permutation(train)[:MOST_TRAINED]
    return train, test


def run(job):
    table = job["table"]
    X, y = TABLES[table]()
    y = np.asarray(y, dtype=float) if is_regression(table) else LabelEncoder().fit_transform(y)
    train, test = split(table, X, y, job["fold"])
    X_train, X_test = X.iloc[train], X.iloc[test]
    if job["method"] in ("boosting", *NEEDS_PYTABKIT):
        X_train, X_test = as_categories(X_train, X_test)
    if job["method"] in NEEDS_PYTABKIT:
        X_train, X_test = filled(X_train, X_test)
    model = METHODS[job["method"]](is_regression(table), job["fold"])
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X_train, y[train])
    seconds = time.perf_counter() - start
    found = {"seconds": seconds, **chosen(model)}
    if is_regression(table):
        return found | {"score": float(r2_score(y[test], model.predict(X_test)))}
    proba = model.predict_proba(X_test)
    of_class = proba[:, 1] if proba.shape[1] == 2 else proba
    return found | {
        "score": float(roc_auc_score(y[test], of_class, multi_class="ovr")),
        "accuracy": float(accuracy_score(y[test], proba.argmax(1))),
    }


def as_categories(X_train, X_test):
    """Columns that are no numbers as pandas' categories, unknown ones as missing."""
    X_train, X_test = X_train.copy(), X_test.copy()
    for name in X_train.columns:
        if not pd.api.types.is_numeric_dtype(X_train[name]):
            kept = X_train[name].dropna().astype(str).value_counts().index[:200]
            kind = pd.CategoricalDtype(sorted(kept))
            for part in (X_train, X_test):
                part[name] = part[name].astype("string").astype(object).astype(kind)
    return X_train, X_test


def filled(X_train, X_test):
    """No missing numbers or categories: medians, columns that tell where, an own category."""
    numbers = X_train.columns[[pd.api.types.is_numeric_dtype(kind) for kind in X_train.dtypes]]
    medians = X_train[numbers].median().fillna(0)
    some = X_train[numbers].isna().any()
    parts = []
    for X in (X_train, X_test):
        missing = X[some[some].index].isna().astype(float).add_suffix(" missing")
        kinds = X.drop(columns=numbers).apply(
            lambda column: column.cat.add_categories("missing").fillna("missing")
        )
        parts.append(pd.concat([X[numbers].fillna(medians), missing, kinds], axis=1))
    return parts


def chosen(model) -> dict:
    """What a search took, and the seconds that training it took without the search."""
    search = getattr(model, "regressor_", model)
    if not hasattr(search, "best_input_penalty_"):
        return {}
    words = f"{search.best_numeric_embedding_}, {search.best_input_penalty_:g}"
    return {"chosen": words, "refit seconds": search.refit_time_}


# --- tables of results ----------------------------------------------------------------------------


def corrected_interval(differences) -> tuple[float, float]:
    """Mean and half the 95 % interval of differences between folds that share samples."""
    n = len(differences)
    variance = np.var(differences, ddof=1) * (1 / n + 1 / (N_FOLDS - 1))
    return float(np.mean(differences)), float(stats.t.ppf(0.975, n - 1) * variance**0.5)


def tables(results) -> dict[str, pd.DataFrame]:
    """Means over folds, ranks of the methods, and our differences to each."""
    rows = pd.DataFrame(results)
    by = rows.groupby(["table", "method"], sort=False)
    means = by[["score", "accuracy", *SECONDS]].mean().reset_index()
    boosting = means[means["method"] == "boosting"].set_index("table")["seconds"]
    ours = means[means["method"] == OURS].set_index("table")[list(SECONDS)]
    times = ours.div(boosting, axis=0).dropna().reset_index()
    means["rank"] = means.groupby("table")["score"].rank(ascending=False)
    wide = rows.pivot_table(index=["table", "fold"], columns="method", values="score", sort=False)
    compared = []
    for table, scores in wide.groupby(level="table", sort=False):
        for method in scores.columns.drop(OURS):
            differences = (scores[OURS] - scores[method]).dropna()
            if len(differences):
                mean, half = corrected_interval(differences)
                compared.append(
                    {"table": table, "method": method, "difference": mean, "interval": half}
                )
    # Where all methods ran.
    complete = means.groupby("table")["method"].transform("size") == means["method"].nunique()
    overall = means[complete].groupby("method", sort=False)["rank"].mean()
    of_all = means[~means["method"].isin(NEEDS_PYTABKIT)].copy()
    of_all["rank"] = of_all.groupby("table")["score"].rank(ascending=False)
    overall = pd.DataFrame(
        {
            "rank": of_all.groupby("method", sort=False)["rank"].mean(),
            "rank beside all": overall,
            **{name: means.groupby("method")[name].mean() for name in SECONDS},
        }
    ).reset_index()
    compared = pd.DataFrame(compared)
    return {"means": means, "differences": compared, "overall": overall, "times boosting": times}


def table_by_table(found: dict) -> str:
    """Score of every method on every table, and whether it is another than ours for sure."""
    methods = [row["method"] for row in found["overall"]]
    scores = {(row["table"], row["method"]): row["score"] for row in found["means"]}
    apart = {(row["table"], row["method"]): verdict(row) for row in found["differences"]}
    rows = []
    measured = {row["table"] for row in found["means"]}
    for table in sorted(measured, key=list(TABLES).index):  # whatever was run last
        row = {"": table}
        for method in methods:
            score = scores.get((table, method))
            # Beside ours: better (+) or worse (-) beyond the interval.
            mark = {1: " -", -1: " +"}.get(apart.get((table, method), 0), "")
            row[method] = "" if score is None else f"{score:.3f}{mark}"
        rows.append(row)
    return markdown(rows)


def in_short(found: dict) -> str:
    """Ranks and seconds of every method, and on how many tables ours is another for sure."""
    rows = []
    for row in sorted(found["overall"], key=lambda row: row["method"] != OURS):
        verdicts = [verdict(d) for d in found["differences"] if d["method"] == row["method"]]
        counts = [verdicts.count(which) for which in (1, 0, -1)]
        without = row["refit seconds"]
        rows.append(
            {
                "method": row["method"],
                "mean rank": f"{row['rank']:.1f}" if row["rank"] else "",
                **beside_all(row, found["overall"]),
                "the first line is better, level, worse": ", ".join(map(str, counts))
                if verdicts
                else "",
                "mean seconds": f"{row['seconds']:.1f}"
                + (f" ({without:.1f} without the search)" if without else ""),
            }
        )
    return markdown(rows)


def beside_all(row: dict, overall: list[dict]) -> dict:
    """The rank on the tables where pytabkit's networks ran too, if they did."""
    if all(other["rank"] for other in overall):
        return {}
    return {"where all ran": f"{row['rank beside all']:.1f}"}


def verdict(difference: dict) -> int:
    """1 where ours is better beyond the interval, -1 where it is worse, else 0."""
    beyond = abs(difference["difference"]) > difference["interval"]
    return int(np.sign(difference["difference"])) if beyond else 0


def kept(results, committed=RESULTS / "real_tables.json") -> list[dict]:
    """Committed results of what was not run now."""
    new = {(r["table"], r["method"], r["fold"]) for r in results}
    earlier = json.loads(committed.read_text(encoding="utf-8"))["folds"]
    return [r for r in earlier if (r["table"], r["method"], r["fold"]) not in new]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--sets", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("real-tables-work"))
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--readme", action="store_true")
    options = parser.parse_args()
    settings = {"repeats": options.repeats}
    results = run_all(
        RealTables(options.sets, options.methods), settings, options.work, options.jobs
    )
    if options.keep:
        results = [*kept(results), *results]
    found = tables(results)
    with pd.option_context("display.width", 200, "display.max_rows", 200):
        for measure in ("score", "seconds"):
            wide = found["means"].pivot_table(index="table", columns="method", values=measure)
            print(f"\n{measure}\n{wide.round(3).to_string()}")
        print("\ntimes boosting\n", found["times boosting"].round(1).to_string(index=False))
        print(found["overall"].round(2).to_string(index=False))
    records = {name: plain(frame) for name, frame in found.items()}
    folds = plain(pd.DataFrame(results)[["table", "method", "fold", "score", "accuracy", *SECONDS]])
    write("real_tables", {"settings": settings, **records, "folds": folds})
    if options.readme:
        put("real tables", table_by_table(records))
        put("real tables in short", in_short(records))


if __name__ == "__main__":
    main()
