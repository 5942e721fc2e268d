"""What rankings have on top: known columns, found ones, and the tables of results."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks import known_predictors


def test_found():
    names = np.array(["", "p53", "", "p53", "mdm2", ""], dtype=object)
    # A gene counts once, by any of its probe sets.
    assert known_predictors.found(names, [1, 3, 0, 4], 1) == 1
    assert known_predictors.found(names, [1, 3, 0, 4], 2) == 0.5
    assert known_predictors.found(names, [1, 3, 0, 4], 4) == 1
    assert known_predictors.found(names, [0, 2, 5, 4], 3) == 0


def test_names_of_the_literature_must_be_there():
    columns = ["age", "bmi", "glucose", "insulin", "pedigree"]
    assert known_predictors.known("Pima", columns).tolist() == [
        "age",
        "bmi",
        "glucose",
        "",
        "pedigree",
    ]
    with pytest.raises(ValueError, match="pedigree"):
        known_predictors.known("Pima", columns[:4])


def test_runs_and_tables(monkeypatch):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        rng.normal(size=(90, 8)),
        columns=["a", "glucose", "bmi", "b", "c", "age", "pedigree", "d"],
    )
    y = np.where(X["glucose"] + X["age"] > 0, "ill", "well")
    monkeypatch.setitem(known_predictors.TABLES, "Pima", lambda: (X, y))
    results = []
    for seed, method in [(0, "lasso"), (1, "lasso"), (0, "plain network"), (1, "plain network")]:
        job = {"table": "Pima", "seed": seed, "method": method}
        results.append({**job, **known_predictors.run(job)})
    for row in results:
        (ranking,) = row["rankings"].values()
        assert set(np.argsort(ranking["importances"])[-2:]) == {1, 5}
        assert ranking["found"]["10"] == 1 >= ranking["found"]["5"] >= 0.5
    found = known_predictors.tables(results)
    overall = found["overall"].set_index("method")
    assert set(overall.index) == {"lasso, coefficients", "plain network, integrated gradients"}
    assert (overall["tables"] == 1).all() and (overall["top 10"] == 1).all()
    assert overall["stability"].between(-1, 1).all()


def test_means_of_each_kind():
    means = [
        {"table": table, "method": "network", "seconds": 2.0, "stability": 0.5}
        | {"top 5": top, "top 10": top, "top 50": 1.0}
        for table, top in [("heart", 0.4), ("Pima", 0.6), ("Golub", 0.2)]
    ]
    means.append({**means[0], "method": "permutation"})
    assert known_predictors.by_kind({"means": means}).splitlines()[2:] == [
        "| network | 0.50 | 0.50 | 0.50 | 2.0 | 0.20 | 1.00 | 0.50 | 2.0 |",
        "| permutation | 0.40 | 0.40 | 0.50 | 2.0 |  |  |  |  |",
    ]
