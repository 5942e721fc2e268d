from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sknninterp.cli import _ranking
from sknninterp.cli._arguments import EXPLAINERS, Settings
from sknninterp.cli._fitting import analyse
from sknninterp.cli._problem import prepare
from sknninterp.cli._ranking import explain_rows, rank_features, ranking_table

OPTIONS = {
    "embeddings": (None,),
    "input_penalties": (0.0,),
    "hidden": (16,),
    "max_epochs": 40,
    "runs": 2,
    "pruning_rates": (0.5,),
    "quiet": True,
}


@pytest.fixture(scope="module")
def settings():
    return Settings(
        "outcome", positive="ill", drop=("length", "patient"), id_columns=("visit",), **OPTIONS
    )


@pytest.fixture(scope="module")
def problem(clinic, settings):
    return prepare(clinic, settings)


@pytest.fixture(scope="module")
def analysis(problem, settings):
    return analyse(problem, settings)


@pytest.fixture(scope="module")
def ranking(problem, settings, analysis):
    return rank_features(problem, settings, analysis)


def test_table_summarises_the_runs():
    importances = np.array([[0.1, 0.3], [0.6, 0.5], [0.3, 0.2]])
    table = ranking_table(["a", "b", "c"], importances)
    assert table["rank"].tolist() == [1, 2, 3]
    assert table["feature"].tolist() == ["b", "c", "a"]
    np.testing.assert_allclose(table["importance"], [0.55, 0.25, 0.2])
    np.testing.assert_allclose(table["sd"], np.std(importances, axis=1, ddof=1)[[1, 2, 0]])
    assert table["mean_rank"].tolist() == [1.0, 2.5, 2.5]
    assert table["best_rank"].tolist() == [1, 2, 2]
    assert table["worst_rank"].tolist() == [1, 3, 3]
    assert table["top10_share"].tolist() == [1, 1, 1]


def test_share_of_runs_in_the_top_ten():
    importances = np.column_stack([np.arange(20, 0, -1), np.arange(1, 21)])
    table = ranking_table(range(20), importances).set_index("feature")
    assert set(table["top10_share"]) == {0.5}
    one = ranking_table(range(20), importances[:, :1])
    assert one["top10_share"].tolist() == [1.0] * 10 + [0.0] * 10
    assert one["sd"].isna().all()


def test_what_matters_comes_first(ranking):
    assert set(ranking.table["feature"][:3]) == {"marker", "treatment", "stage"}


@pytest.mark.parametrize("explainer", EXPLAINERS)
def test_every_explainer_tells_quantities_that_matter_from_noise(problem, analysis, explainer):
    settings = Settings("outcome", explainer=explainer, quiet=True)
    table = rank_features(problem, settings, analysis).table
    rank = table.set_index("feature")["rank"]
    assert max(rank["marker"], rank["stage"]) < min(rank["noise"], rank["age"])
    assert table["importance"].sum() == pytest.approx(1)


def test_ranking_is_over_the_test_rows(problem, settings, analysis, ranking):
    explainer = ranking.explainer
    explanation = explainer.explain(problem.X.iloc[analysis.test])
    first = ranking.by_run["importance_run_1"]
    expected = explanation.importances()
    np.testing.assert_allclose(first[problem.X.columns], expected, rtol=1e-5)
    assert ranking.by_run.shape == (problem.X.shape[1], 2)


def test_rows_are_explained_in_their_own_columns(clinic, problem, analysis, ranking):
    table = explain_rows(problem, analysis, ranking)
    assert table.columns.tolist() == [
        *("row", "visit", "actual", "predicted", "probability"),
        *("rank", "feature", "value", "contribution"),
    ]
    n_features = problem.X.shape[1]
    assert len(table) == len(analysis.test) * n_features
    row = table[table["row"] == table["row"].iloc[0]]
    position = row["row"].iloc[0]
    assert row["visit"].unique().tolist() == [clinic.loc[position, "visit"]]
    assert row["actual"].unique().tolist() == [clinic.loc[position, "outcome"]]
    assert row["contribution"].abs().is_monotonic_decreasing
    values = row.set_index("feature")["value"]
    assert values["treatment"] == clinic.loc[position, "treatment"]
    assert float(values["age"]) == clinic.loc[position, "age"]


def test_prediction_and_contributions_are_of_the_predicted_class(problem, analysis, ranking):
    table = explain_rows(problem, analysis, ranking)
    X = problem.X.iloc[analysis.test]
    proba = analysis.pipeline(analysis.runs[0]).predict_proba(X)
    lines = table.drop_duplicates("row")
    np.testing.assert_allclose(lines["probability"], proba.max(axis=1))
    assert lines["predicted"].tolist() == [problem.classes[i] for i in proba.argmax(axis=1)]
    # The marker makes ill: a high one speaks for "ill" and against "well".
    high = X.index[X["marker"] > 7]
    marker = table[(table["feature"] == "marker") & table["row"].isin(high)]
    assert (marker["contribution"] > 0).eq(marker["predicted"] == "ill").all()


def test_missing_values_are_empty(problem, analysis, ranking):
    table = explain_rows(problem, analysis, ranking)
    X = problem.X.iloc[analysis.test]
    for name in ("marker", "colour"):
        missing = X.index[X[name].isna()]
        assert len(missing)
        cells = table[(table["feature"] == name) & table["row"].isin(missing)]
        assert set(cells["value"]) == {""}


def test_rows_and_features_are_capped(problem, analysis, ranking, monkeypatch):
    monkeypatch.setattr(_ranking, "MOST_EXPLAINED_ROWS", 5)
    monkeypatch.setattr(_ranking, "FEATURES_PER_ROW", 2)
    table = explain_rows(problem, analysis, ranking)
    assert table["row"].nunique() == 5
    assert table["rank"].tolist() == [1, 2] * 5


def test_regression_has_no_probability(clinic):
    settings = Settings("length", drop=("visit", "outcome", "patient"), **OPTIONS)
    problem = prepare(clinic, settings)
    analysis = analyse(problem, settings)
    ranking = rank_features(problem, settings, analysis)
    assert set(ranking.table["feature"][:3]) == {"marker", "treatment", "stage"}
    table = explain_rows(problem, analysis, ranking)
    assert "probability" not in table
    lines = table.drop_duplicates("row")
    np.testing.assert_allclose(lines["actual"], clinic.loc[lines["row"], "length"])
    assert np.corrcoef(lines["actual"], lines["predicted"])[0, 1] > 0.7


def test_large_numbers_are_written_exactly():
    column = pd.Series([300_000_001.0, np.nan, 0.5])
    assert list(_ranking._as_text(column)) == ["300000001", "", "0.5"]
    assert list(_ranking._as_text(column.astype(np.float32)[2:])) == ["0.5"]
    assert list(_ranking._as_text(pd.Series([17.99], dtype=np.float32))) == ["17.99"]
