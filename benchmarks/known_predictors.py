"""Do rankings have on top what is known to matter, and are they the same for other samples?

    python -m benchmarks.known_predictors [--resamples 5] [--sets NAME ...] [--methods NAME ...]
        [--jobs 2] [--work FOLDER] [--readme]

The methods of `benchmarks.ground_truth`, Boruta only if asked for, on real tables of which the
literature names predictors: clinical features of heart disease, diabetes and readmission, the 50
informative genes of Golub et al., and marker genes of the other expression sets (`known_genes` of
the loader). Each method ranks the columns by four fifths of the samples, drawn five times, the same
for all; of the readmission data 6,000 encounters.

Found: share of what is known among the first 5, 10 or 50 columns; of as many as fit in there. A
gene counts by any of its probe sets. Stability: Nogueira's, of the first 10 columns (1: always the
same, 0: chance), and the mean rank correlation of all columns. Seconds are of fit and ranking, on
one thread; no permutation importance of more than 2,000 columns.

A finished fit is a file in the work folder: a run that was cut off goes on.
"""

from __future__ import annotations

import argparse
import time
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder

from benchmarks._readme import markdown, put
from benchmarks._timing import plain, write
from benchmarks.ground_truth import METHODS
from benchmarks.papers.runner import run_all
from benchmarks.readmission import CANDIDATES
from benchmarks.real_tables import TABLES, genes
from sknninterp.datasets import load_gene_expression
from sknninterp.evaluation import stability

MOST_TRAINED = 6_000
TOPS = (5, 10, 50)
SLOW = "Boruta"  # of thousands of genes
CLINICAL = {
    "heart": ("thal", "ca", "cp", "oldpeak", "thalach", "exang"),
    "Pima": ("glucose", "bmi", "age", "pedigree"),
    "readmission": CANDIDATES,
}
STUDIES = {"Golub": "golub", "Armstrong": "armstrong", "p53": "p53", "breast/colon": "chowdary"}
SETS = [*CLINICAL, *STUDIES]


def known(table: str, columns) -> np.ndarray:
    """What each column stands for, if that is known to matter; else an empty string."""
    if table in CLINICAL:
        names, wanted = np.asarray(columns, dtype=object), set(CLINICAL[table])
    else:
        study = load_gene_expression(STUDIES[table])
        wanted = {gene for genes in study.known_genes.values() for gene in genes}
        names = np.asarray(study.genes, dtype=object)
        if not set(names) & wanted:  # probe sets
            names = np.asarray(study.feature_names, dtype=object)
    missing = wanted - set(names)
    if missing:
        raise ValueError(f"{table} lacks {sorted(missing)}")
    return np.where(np.isin(names, list(wanted)), names, "")


class KnownPredictors:
    """What `benchmarks.papers.runner` runs."""

    def __init__(self, sets, methods):
        self.sets, self.methods = sets, methods

    def jobs(self, settings):
        chosen = product(range(settings["seeds"]), self.sets, self.methods)
        return [{"table": t, "seed": s, "method": m} for s, t, m in chosen]

    def run(self, job, settings):
        return run(job)


def run(job):
    table = job["table"]
    X, y = genes(STUDIES[table]) if table in STUDIES else TABLES[table]()
    y = LabelEncoder().fit_transform(y)
    size = min(MOST_TRAINED, int(0.8 * len(y)))
    rows, _ = train_test_split(
        np.arange(len(y)), train_size=size, stratify=y, random_state=job["seed"]
    )
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        _, rankings, chosen = METHODS[job["method"]](X.iloc[rows], y[rows], job["seed"])
    seconds = time.perf_counter() - start
    names = known(table, X.columns)
    of_rankings = {}
    for ranking, importances in rankings.items():
        order = np.argsort(-np.asarray(importances), kind="stable")
        of_rankings[ranking] = {
            "found": {str(k): found(names, order, k) for k in TOPS},
            "importances": np.float32(importances).tolist(),
        }
    return {"seconds": seconds, "chosen": chosen, "rankings": of_rankings}


def found(names, order, k) -> float:
    """Share of what is known among the first k columns, of what could be there."""
    n_known = len(set(names) - {""})
    return len(set(names[order[:k]]) - {""}) / min(n_known, k)


def tables(results) -> dict[str, pd.DataFrame]:
    """Means over resamples, and over tables."""
    rows = []
    frame = pd.DataFrame(results)
    for (table, method), part in frame.groupby(["table", "method"], sort=False):
        for ranking in part["rankings"].iloc[0]:
            of_ranking = [one[ranking] for one in part["rankings"]]
            importances = np.array([one["importances"] for one in of_ranking])
            agreement = stability(importances, k=min(10, importances.shape[1] // 2))
            rows.append(
                {
                    "table": table,
                    "method": f"{method}, {ranking}",
                    **{
                        f"top {k}": np.mean([one["found"][str(k)] for one in of_ranking])
                        for k in TOPS
                    },
                    "stability": agreement.loc["nogueira", "stability"],
                    "rank correlation": agreement.loc["spearman", "stability"],
                    "seconds": part["seconds"].mean(),
                }
            )
    means = pd.DataFrame(rows)
    overall = means.groupby("method", sort=False).mean(numeric_only=True).reset_index()
    overall["tables"] = means.groupby("method", sort=False).size().to_numpy()
    return {"means": means, "overall": overall}


def by_kind(found: dict) -> str:
    """Means over the clinical tables and over the expression sets."""
    rows = []
    for method in dict.fromkeys(row["method"] for row in found["means"]):
        own = [row for row in found["means"] if row["method"] == method]
        shown = {"method, ranking": method}
        for kind, tables_, tops in (("clinical", CLINICAL, (5, 10)), ("genes", STUDIES, (10, 50))):
            of_kind = [row for row in own if row["table"] in tables_]
            measures = [*(f"top {k}" for k in tops), "stability", "seconds"]
            for measure in measures:
                # Trees that find nothing to split rank nothing: no stability.
                values = [row[measure] for row in of_kind if row[measure] is not None]
                digits = 1 if measure == "seconds" else 2
                mean = f"{np.mean(values):.{digits}f}" if values else ""
                shown[f"{kind}: {measure}"] = mean
        rows.append(shown)
    return markdown(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resamples", type=int, default=5)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    quick = [method for method in METHODS if method != SLOW]
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=quick)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("known-predictors-work"))
    parser.add_argument("--readme", action="store_true")
    options = parser.parse_args()
    settings = {"seeds": options.resamples}
    work = KnownPredictors(options.sets, options.methods)
    results = run_all(work, settings, options.work, options.jobs)
    found_ = tables(results)
    with pd.option_context("display.width", 200, "display.max_rows", 200):
        print(found_["means"].round(3).to_string(index=False))
        print(found_["overall"].round(3).to_string(index=False))
    records = {name: plain(frame) for name, frame in found_.items()}
    write("known_predictors", {"settings": settings, **records})
    if options.readme:
        put("known predictors", by_kind(records))


if __name__ == "__main__":
    main()
