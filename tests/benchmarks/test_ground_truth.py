"""Whose ranking finds what matters: the methods, and the tables of their results."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from benchmarks import ground_truth
from benchmarks.designs import Table
from sknninterp import TorchMLPClassifier, TorchMLPClassifierCV, table_preprocessor


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(300, 4)), columns=["a", "b_1", "c", "d"])
    X["site"] = rng.choice(["left", "right"], 300)
    y = ((X["a"] + X["b_1"] + 2 * (X["site"] == "left")) > 1).astype(int).to_numpy()
    X.loc[::9, "d"] = np.nan
    return Table(X[:200], y[:200], X[200:], y[200:], np.array([1, 1, 0, np.nan, 1]))


@pytest.mark.parametrize("method", ground_truth.METHODS)
def test_methods(table, method, monkeypatch):
    needed = {"boosting": "shap", "Boruta": "boruta"}
    if method in needed:
        pytest.importorskip(needed[method])
    quick = make_pipeline(
        table_preprocessor(), TorchMLPClassifier((8,), max_epochs=40, lr=0.02, n_networks=2)
    )

    def search(scoring, random_state):
        options = {"scoring": scoring, "random_state": random_state, "cv": 2}
        return TorchMLPClassifierCV(quick, input_penalties=(0, 0.2), **options)

    monkeypatch.setattr(ground_truth, "TorchMLPClassifierCV", search)
    monkeypatch.setattr(ground_truth.designs, "make", lambda name, seed: table)
    rows = ground_truth.run({"design": "any", "seed": 0, "method": method})["rows"]
    assert len(rows) == (2 if method in ("network", "forest", "boosting") else 1)
    for row in rows:
        # Three of four that are asked about matter; the fourth is not asked about.
        assert row["auroc"] == row["precision"] == 1
        assert row["accuracy"] > 0.8


def test_importances_of_inputs_are_summed_to_columns(table):
    forest = RandomForestClassifier(5, random_state=0)
    X = table.X.assign(d=table.X["d"].mask(table.y == 1))  # the gaps tell, and are marked
    model = make_pipeline(table_preprocessor(), forest).fit(X, table.y)
    inputs = ["a", "b_1", "c", "d", "missingindicator_d", "site_left", "site_right"]
    assert model[:-1].get_feature_names_out().tolist() == inputs
    found = ground_truth.by_column(model[:-1], np.arange(1.0, 8), X)
    assert found.tolist() == [1, 2, 3, 4 + 5, 6 + 7]
    largest = ground_truth.by_column(model[:-1], np.arange(1.0, 8), X, "max")
    assert largest.tolist() == [1, 2, 3, 5, 7]


def test_permutations_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(80, 3)), columns=list("abc"))
    X["site"] = rng.choice(["left", "right"], 80)
    y = ((X["a"] + 2 * (X["site"] == "left")) > 1).astype(int).to_numpy()
    model = make_pipeline(table_preprocessor(), LogisticRegression()).fit(X, y)
    theirs = permutation_importance(
        model, X, y, scoring="neg_log_loss", n_repeats=25, random_state=0
    )
    ours = ground_truth.rises_of_loss(model, X, y, rng, n_repeats=25, rows=1000)
    error = theirs.importances_std / 5
    assert (np.abs(ours - theirs.importances_mean) < 5 * error).all()
    assert (ours[[0, 3]] > 20 * error[[0, 3]]).all()


def test_tables():
    def row(ranking, auroc, accuracy):
        values = {"precision": auroc, "accuracy": accuracy, "seconds": 1.0, "chosen": ""}
        return {"ranking": ranking, "auroc": auroc, **values}

    results = [
        {"design": d, "seed": s, "method": m, "rows": [row(r, base + s / 10, 0.5)]}
        for d in ("linear", "xor")
        for s in (0, 1)
        for m, r, base in (("network", "gradient x input", 0.8), ("forest", "impurity", 0.6))
    ]
    rows = ground_truth.by_ranking(results)
    found = ground_truth.tables(rows)
    means = found["means"].set_index(["design", "method"])["auroc"]
    assert means["xor", "forest, impurity"] == pytest.approx(0.65)
    (difference,) = set(found["differences"]["auroc"].round(6))
    assert difference == pytest.approx(0.2)
    assert found["overall"].set_index("method")["auroc_ci"].notna().all()


def test_other_results_are_kept(tmp_path):
    rows = pd.DataFrame(
        [("xor", s, m, 0.6) for s in (0, 1) for m in ("forest, impurity", "network, PWP")],
        columns=[*ground_truth.JOB, "auroc"],
    )
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"runs": ground_truth.plain(rows)}))
    found = ground_truth.kept(rows[rows["method"] == "network, PWP"].assign(auroc=0.9), path)
    assert len(found) == 4
    by = found.groupby("method")["auroc"].unique()
    assert by["forest, impurity"] == [0.6] and by["network, PWP"] == [0.9]


def test_jobs_go_seed_by_seed():
    jobs = ground_truth.GroundTruth(["linear", "xor"], ["lasso"]).jobs({"seeds": 2})
    assert [(job["seed"], job["design"]) for job in jobs] == [
        (0, "linear"),
        (0, "xor"),
        (1, "linear"),
        (1, "xor"),
    ]


def test_no_permutations_of_many_columns(table, monkeypatch):
    monkeypatch.setattr(ground_truth, "MOST_PERMUTED", 4)
    _, rankings, _ = ground_truth.by_forest(table.X, table.y, 0)
    assert list(rankings) == ["impurity"]


def test_readme_table():
    overall = [
        {"method": m, "auroc": a, "precision": a, "accuracy": a, "seconds": 2.0}
        for m, a in (("forest, impurity", 0.7), (ground_truth.OUR_RANKING, 0.9))
    ]
    differences = [
        {"method": "forest, impurity", "auroc": d, "auroc_ci": 0.1} for d in (0.2, 0.3, 0.05, -0.2)
    ]
    text = ground_truth.readme_table({"overall": overall, "differences": differences})
    assert text.splitlines()[2:] == [
        "| network, gradient x input | 0.900 | 0.900 | 0.900 | 2.0 |  |",
        "| forest, impurity | 0.700 | 0.700 | 0.700 | 2.0 | 2, 1, 1 |",
    ]
