"""Predictions on real tables: folds, methods and the tables of their results."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline

from benchmarks import real_tables
from sknninterp import (
    TorchMLPClassifier,
    TorchMLPClassifierCV,
    TorchMLPRegressor,
    TorchMLPRegressorCV,
    table_preprocessor,
)

QUICK = {"hidden_layer_sizes": (8,), "max_epochs": 20, "lr": 0.02}


@pytest.fixture
def tables(monkeypatch):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(120, 3)), columns=["a", "b", "c"])
    X["site"] = rng.choice(["left", "right"], 120)
    y = X["a"] + (X["site"] == "left")
    X.loc[::9, "c"] = np.nan
    drug = real_tables.DRUGS[0]
    monkeypatch.setitem(real_tables.TABLES, "wine", lambda: (X, pd.cut(y, 3, labels=list("lmh"))))
    monkeypatch.setitem(real_tables.TABLES, drug, lambda: (X, 100 + 50 * y))

    def searches(kind, network):
        def search(scoring=None, random_state=None):
            return kind(network, input_penalties=(0, 0.2), cv=2, random_state=random_state)

        return search

    for name, kind, network in (
        ("TorchMLPClassifierCV", TorchMLPClassifierCV, TorchMLPClassifier(**QUICK)),
        ("TorchMLPRegressorCV", TorchMLPRegressorCV, TorchMLPRegressor(**QUICK)),
    ):
        pipeline = make_pipeline(table_preprocessor(), network)
        monkeypatch.setattr(real_tables, name, searches(kind, pipeline))
    return "wine", drug


@pytest.mark.parametrize("method", ["network", "linear", "forest", "boosting"])
def test_methods(tables, method):
    classes, values = tables
    found = real_tables.run({"table": classes, "fold": 0, "method": method})
    assert found["score"] > 0.9 and found["accuracy"] > 0.6
    found = real_tables.run({"table": values, "fold": 3, "method": method})
    assert found["score"] > 0.5
    assert ("chosen" in found) == (method == "network")
    assert 0 < found.get("refit seconds", found["seconds"] / 2) < found["seconds"]


def test_what_is_missing_is_filled_from_the_training_samples(tables):
    X, _ = real_tables.TABLES[tables[0]]()
    X.loc[3, "site"] = None
    X_train, X_test = real_tables.as_categories(X.iloc[:60], X.iloc[60:])
    filled = real_tables.filled(X_train, X_test)
    for part, before in zip(filled, (X_train, X_test), strict=True):
        assert not part.isna().any(axis=None)
        assert list(part) == ["a", "b", "c", "c missing", "site"]
        np.testing.assert_array_equal(part["c missing"], before["c"].isna())
        assert set(part.loc[before["c"].isna(), "c"]) == {X_train["c"].median()}
        assert part["site"].dtype == filled[0]["site"].dtype
    assert filled[0].loc[3, "site"] == "missing"


def test_folds_hold_every_sample_once_and_are_shared(tables):
    X, y = real_tables.TABLES[tables[0]]()
    tests = [real_tables.split(tables[0], X, y, fold)[1] for fold in range(10)]
    for repeat in (tests[:5], tests[5:]):
        assert sorted(np.concatenate(repeat)) == list(range(120))
    assert not np.array_equal(tests[0], tests[5])


def test_large_tables_are_trained_on_a_part(tables, monkeypatch):
    monkeypatch.setattr(real_tables, "MOST_TRAINED", 30)
    X, y = real_tables.TABLES[tables[0]]()
    train, test = real_tables.split(tables[0], X, y, 1)
    assert len(train) == len(set(train)) == 30 and not set(train) & set(test)


def test_tables_of_results():
    scores = {"network": [0.9, 0.8, 0.85, 0.9, 0.8], "boosting": [0.8, 0.7, 0.75, 0.8, 0.7]}
    results = [
        {"table": t, "fold": f, "method": m, "score": s, "accuracy": s, "seconds": 1.0}
        | {"refit seconds": 0.5 if m == "network" else None}
        for t in ("heart", "wine")
        for m, of_folds in scores.items()
        for f, s in enumerate(of_folds)
    ]
    found = real_tables.tables(results)
    assert found["overall"].set_index("method")["rank"].to_dict() == {"network": 1, "boosting": 2}
    assert set(found["times boosting"]["seconds"]) == {1} and len(found["times boosting"]) == 2
    assert set(found["times boosting"]["refit seconds"]) == {0.5}
    compared = found["differences"]
    np.testing.assert_allclose(compared["difference"], 0.1)
    np.testing.assert_allclose(compared["interval"], 0, atol=1e-9)
    differences = np.array([0.1, 0.0, 0.2, 0.1, 0.1])
    mean, half = real_tables.corrected_interval(differences)
    # t of 4 degrees of freedom; 1/5 + (1/5) / (4/5).
    assert half == pytest.approx(2.776 * differences.std(ddof=1) * 0.45**0.5, rel=1e-3)
    assert mean == pytest.approx(0.1)


def found_of(*others):
    return {
        "overall": [
            {"method": "forest", "rank": 1.5, "seconds": 3.0, "refit seconds": None},
            {"method": "network", "rank": 1.5, "seconds": 2.0, "refit seconds": 0.4},
            *others,
        ],
        "means": [
            {"table": "heart", "method": "network", "score": 0.9},
            {"table": "heart", "method": "forest", "score": 0.8},
            {"table": "wine", "method": "network", "score": 0.9},
            {"table": "wine", "method": "forest", "score": None},
        ],
        "differences": [
            {"table": "heart", "method": "forest", "difference": 0.1, "interval": 0.05},
            {"table": "wine", "method": "forest", "difference": 0.1, "interval": 0.2},
        ],
    }


def test_table_by_table():
    assert real_tables.table_by_table(found_of()).splitlines()[2:] == [
        "| heart | 0.800 - | 0.900 |",
        "| wine |  | 0.900 |",
    ]


def test_in_short():
    assert real_tables.in_short(found_of()).splitlines()[2:] == [
        "| network | 1.5 |  | 2.0 (0.4 without the search) |",
        "| forest | 1.5 | 1, 1, 0 | 3.0 |",
    ]
    ranks = {"rank": None, "rank beside all": 2.0, "seconds": 9.0, "refit seconds": None}
    found = found_of({"method": "TabM", **ranks})
    for row in found["overall"][:2]:
        row["rank beside all"] = 1.0
    assert real_tables.in_short(found).splitlines()[2:] == [
        "| network | 1.5 | 1.0 |  | 2.0 (0.4 without the search) |",
        "| forest | 1.5 | 1.0 | 1, 1, 0 | 3.0 |",
        "| TabM |  | 2.0 |  | 9.0 |",
    ]


def test_results_of_other_methods_are_kept(tmp_path):
    path = tmp_path / "real_tables.json"
    row = {"table": "heart", "fold": 0, "score": 0.5}
    path.write_text(json.dumps({"folds": [{**row, "method": m} for m in ("forest", "network")]}))
    found = real_tables.kept([{**row, "method": "network", "score": 0.9}], path)
    assert found == [{**row, "method": "forest"}]
