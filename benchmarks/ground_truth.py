"""Whose ranking finds what matters? Twelve designs of known truth, networks beside their peers.

    python -m benchmarks.ground_truth [--seeds 10] [--designs NAME ...] [--methods NAME ...]
        [--jobs 2] [--work FOLDER] [--keep] [--readme]

The designs are in `benchmarks.designs`, drawn anew for every seed. `table_preprocessor` fills and
encodes for all but histogram gradient boosting, which takes missing values and categories as they
are; importances of indicators are summed to their column. Every method ranks the
columns by what it was fitted on, 500 or 1,000 samples, and none sees the truth or the test samples.

- "network": `TorchMLPClassifierCV` as it is, for all designs: embedding and penalty chosen by five
  folds, the mean of ten networks; ranked by gradient x input, and by PWP;
- "plain network": one network with scikit-learn's defaults, ranked by integrated gradients;
- "forest": 300 trees, by impurity and by permutation;
- "lasso": logistic regression with an L1 penalty chosen by five folds;
- "boosting": `HistGradientBoostingClassifier`, by permutation and by SHAP's tree explainer;
- "Boruta": forests beside shadows of all inputs, 100 rounds (of the package boruta, left out where
  that is not installed): columns by its decision, then by their mean importance; predictions of a
  forest of 300 trees on what it keeps.

Permutations are of held-out samples, a quarter, five times a column. AUROC: how likely a column
that matters stands above one that does not; precision: share of those that matter among as many
first ones as matter; accuracy on 2,000 fresh samples; seconds of the fit and the ranking together,
on one thread.

A finished design, seed and method is a file in the work folder: a run that was cut off goes on.
`--keep`: what was not run now is taken from the committed results.
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
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from benchmarks import designs
from benchmarks._readme import markdown, put
from benchmarks._timing import RESULTS, plain, write
from benchmarks.papers.runner import over_seeds, paired, run_all
from sknninterp import (
    GradientXInputExplainer,
    IntegratedGradientsExplainer,
    PWPExplainer,
    TorchMLPClassifier,
    TorchMLPClassifierCV,
    table_preprocessor,
)

JOB = ["design", "seed", "method"]
MEASURES = ["auroc", "precision", "accuracy", "seconds"]
MOST_PERMUTED = 2_000
OURS = "network"
OUR_RANKING = f"{OURS}, gradient x input"


# --- methods --------------------------------------------------------------------------------------


def by_network(X, y, seed):
    search = TorchMLPClassifierCV(scoring="roc_auc_ovr", random_state=seed).fit(X, y)
    ranking = GradientXInputExplainer(search).fit(X).feature_importances_
    weights = PWPExplainer(search).fit(X).feature_importances_
    chosen = f"{search.best_numeric_embedding_}, {search.best_input_penalty_}"
    return search, {"gradient x input": ranking, "PWP": weights}, chosen


def by_plain_network(X, y, seed):
    network = TorchMLPClassifier((100,), dtype="float32", random_state=seed)
    model = make_pipeline(table_preprocessor(), network).fit(X, y)
    explainer = IntegratedGradientsExplainer(model, baseline="mean").fit(X)
    return model, {"integrated gradients": explainer.feature_importances_}, ""


def by_forest(X, y, seed):
    def forest():
        trees = RandomForestClassifier(300, random_state=seed)
        return make_pipeline(table_preprocessor(), trees)

    model = forest().fit(X, y)
    impurity = by_column(model[:-1], model[-1].feature_importances_, X)
    return model, {"impurity": impurity, **permuted(forest(), X, y, seed)}, ""


def by_lasso(X, y, seed):
    lasso = LogisticRegressionCV(
        l1_ratios=(1.0,),
        solver="saga",
        cv=5,
        max_iter=300,
        tol=1e-3,
        scoring="neg_log_loss",
        use_legacy_attributes=False,
        random_state=seed,
    )
    model = make_pipeline(table_preprocessor(), lasso).fit(X, y)
    return model, {"coefficients": by_column(model[:-1], np.abs(model[-1].coef_).sum(0), X)}, ""


def by_boosting(X, y, seed):
    import shap

    def boosting():
        # Numbers below 0 count as missing.
        codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
        encoded = make_column_transformer(
            (codes, make_column_selector(dtype_exclude="number")),
            remainder="passthrough",
            verbose_feature_names_out=False,
        )
        trees = HistGradientBoostingClassifier(random_state=seed)
        return make_pipeline(encoded, trees)

    model = boosting().fit(X, y)
    values = shap.TreeExplainer(model[-1]).shap_values(model[:-1].transform(X))
    values = np.abs(values).mean(0)
    values = by_column(model[:-1], values.sum(-1) if values.ndim > 1 else values, X)
    return model, {"SHAP": values, **permuted(boosting(), X, y, seed)}, ""


def by_boruta(X, y, seed):
    from boruta import BorutaPy

    first = table_preprocessor().fit(X, y)
    trees = RandomForestClassifier(max_depth=5, class_weight="balanced")
    boruta = BorutaPy(trees, n_estimators="auto", random_state=seed)
    boruta.fit(np.asarray(first.transform(X)), y)
    # The first round is of zeros; rejected inputs are in no later ones.
    means = np.nanmean(boruta.importance_history_[1:], axis=0)
    importances = 2 * boruta.support_ + boruta.support_weak_ + means / means.max()
    kept = boruta.support_ | boruta.support_weak_
    # All, where nothing is found.
    kept = np.flatnonzero(kept) if kept.any() else np.arange(len(kept))
    forest = RandomForestClassifier(300, random_state=seed)
    chosen = make_column_transformer(("passthrough", kept))
    model = make_pipeline(first, chosen, forest).fit(X, y)
    return model, {"decision": by_column(model[:1], importances, X, "max")}, ""


METHODS = {
    OURS: by_network,
    "plain network": by_plain_network,
    "forest": by_forest,
    "lasso": by_lasso,
    "boosting": by_boosting,
    "Boruta": by_boruta,
}
INSTALLED = [name for name in METHODS if name != "Boruta" or importlib.util.find_spec("boruta")]


def by_column(steps: Pipeline, importances, X, how="sum") -> np.ndarray:
    """Importances of what the steps before a model make, summed (or as `how` says) by column."""
    known = set(X.columns)
    columns = [column_of(name, known) for name in steps.get_feature_names_out()]
    return pd.Series(importances).groupby(columns).agg(how)[list(X.columns)].to_numpy()


def column_of(name, columns) -> str:
    """The column that an input was made of: itself, its mark for missing values, or a level."""
    name = name.removeprefix("missingindicator_")
    return name if name in columns else name.rpartition("_")[0]


def permuted(model, X, y, seed) -> dict[str, np.ndarray]:
    """Permutation importance; nothing of many columns, for time."""
    if X.shape[1] > MOST_PERMUTED:
        return {}
    X, X_valid, y, y_valid = train_test_split(X, y, test_size=0.25, stratify=y, random_state=seed)
    model.fit(X, y)
    return {"permutation": rises_of_loss(model, X_valid, y_valid, np.random.default_rng(seed))}


def rises_of_loss(model, X, y, rng, n_repeats=5, rows=25_000) -> np.ndarray:
    """`sklearn.inspection.permutation_importance` by the log loss, many copies of X at once.

    A forest's prediction of few rows is mostly overhead: one by one this would take most of the
    time of the whole benchmark.
    """
    copies = [(column, rng.permutation(len(X))) for column in X for _ in range(n_repeats)]
    step = max(1, rows // len(X))
    losses = []
    for start in range(0, len(copies), step):
        stacked = pd.concat(
            [X.assign(**{c: X[c].take(order).array}) for c, order in copies[start : start + step]]
        )
        proba = model.predict_proba(stacked)
        losses += [
            log_loss(y, one, labels=model.classes_) for one in np.split(proba, len(proba) // len(X))
        ]
    risen = np.array(losses) - log_loss(y, model.predict_proba(X), labels=model.classes_)
    return risen.reshape(-1, n_repeats).mean(1)


# --- jobs -----------------------------------------------------------------------------------------


class GroundTruth:
    """What `benchmarks.papers.runner` runs."""

    def __init__(self, chosen_designs, chosen_methods):
        self.designs, self.methods = chosen_designs, chosen_methods

    def jobs(self, settings):
        chosen = product(range(settings["seeds"]), self.designs, self.methods)
        return [{"design": d, "seed": s, "method": m} for s, d, m in chosen]

    def run(self, job, settings):
        return run(job)


def run(job):
    table = designs.make(job["design"], job["seed"])
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model, rankings, chosen = METHODS[job["method"]](table.X, table.y, job["seed"])
    seconds = time.perf_counter() - start
    accuracy = float((model.predict(table.X_test) == table.y_test).mean())
    asked = ~np.isnan(table.relevant)
    relevant = table.relevant[asked].astype(bool)
    rows = []
    for ranking, importances in rankings.items():
        importances = np.asarray(importances)[asked]
        top = np.argsort(-importances, kind="stable")[: relevant.sum()]
        rows.append(
            {
                "ranking": ranking,
                "auroc": float(roc_auc_score(relevant, importances)),
                "precision": float(relevant[top].mean()),
                "accuracy": accuracy,
                "seconds": seconds,
                "chosen": chosen,
            }
        )
    return {"rows": rows}


def by_ranking(results) -> pd.DataFrame:
    """A row for each ranking of each run."""
    return pd.DataFrame(
        [
            {
                "design": r["design"],
                "seed": r["seed"],
                "method": f"{r['method']}, {row['ranking']}",
                **{name: row[name] for name in (*MEASURES, "chosen")},
            }
            for r in results
            for row in r["rows"]
        ]
    )


def kept(rows: pd.DataFrame, committed: Path = RESULTS / "ground_truth.json") -> pd.DataFrame:
    """The rows, after the committed ones of what was not run now."""
    earlier = pd.DataFrame(json.loads(committed.read_text(encoding="utf-8"))["runs"])
    new = pd.MultiIndex.from_frame(rows[JOB])
    return pd.concat([earlier[~pd.MultiIndex.from_frame(earlier[JOB]).isin(new)], rows])


def tables(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Means over seeds with 95 % intervals, and differences to ours of the same seeds."""
    ours = rows[rows["method"] == OUR_RANKING]
    others = rows[rows["method"] != OUR_RANKING]
    found = {"means": over_seeds(rows, ["design", "method"], MEASURES)}
    # Ours less theirs.
    differences = paired(others, ours, ["design", "seed"], MEASURES)
    differences[MEASURES] *= -1
    found["differences"] = over_seeds(differences, ["design", "method"], MEASURES)
    # Over designs: the mean of a seed is one observation.
    by_seed = rows.groupby(["method", "seed"], sort=False)[MEASURES].mean().reset_index()
    found["overall"] = over_seeds(by_seed, ["method"], MEASURES)
    return found


def readme_table(found: dict) -> str:
    """Means over all designs, and on how many of them ours is better or worse than another."""
    rows = []
    for row in found["overall"]:
        differences = [d for d in found["differences"] if d["method"] == row["method"]]
        better = sum(d["auroc"] > d["auroc_ci"] for d in differences)
        worse = sum(d["auroc"] < -d["auroc_ci"] for d in differences)
        level = len(differences) - better - worse
        rows.append(
            {
                "method, ranking": row["method"],
                "AUROC": f"{row['auroc']:.3f}",
                "precision": f"{row['precision']:.3f}",
                "accuracy": f"{row['accuracy']:.3f}",
                "seconds": f"{row['seconds']:.1f}",
                "the first line is better, level, worse": f"{better}, {level}, {worse}"
                if differences
                else "",
            }
        )
    return markdown(sorted(rows, key=lambda row: row["method, ranking"] != OUR_RANKING))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--designs", nargs="+", default=list(designs.DESIGNS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=INSTALLED)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("ground-truth-work"))
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--readme", action="store_true")
    options = parser.parse_args()
    settings = {"seeds": options.seeds}
    work = GroundTruth(options.designs, options.methods)
    rows = by_ranking(run_all(work, settings, options.work, options.jobs))
    if options.keep:
        rows = kept(rows)
    found = tables(rows)
    with pd.option_context("display.width", 200, "display.max_rows", 200):
        for measure in ("auroc", "precision", "accuracy", "seconds"):
            print(f"\n{measure}")
            wide = found["means"].pivot_table(
                index="method", columns="design", values=measure, sort=False
            )
            print(wide.assign(mean=wide.mean(axis=1)).round(3).to_string())
    records = {name: plain(frame) for name, frame in found.items()}
    write("ground_truth", {"settings": settings, **records, "runs": plain(rows)})
    if options.readme:
        put("known truth", readme_table(records))


if __name__ == "__main__":
    main()
