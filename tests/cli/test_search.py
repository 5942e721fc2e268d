"""The choice of the network, within a budget of time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.model_selection import cross_val_score

from sknninterp.cli import _search
from sknninterp.cli._arguments import Settings
from sknninterp.cli._design import Configuration, folds, make_model, split
from sknninterp.cli._problem import prepare
from sknninterp.cli._search import _Trials, find_configuration, only_configuration, search_rows
from sknninterp.cli._summary import _why

SETTINGS = Settings(
    "outcome",
    positive="ill",
    drop=("visit", "length", "patient"),
    hidden=(8,),
    max_epochs=3,
    embeddings=(None, "piecewise"),
    input_penalties=(0.0, 0.4),
    pruning_rates=(0.0, 0.5),
    quiet=True,
)


@pytest.fixture(scope="module")
def problem(clinic):
    return prepare(clinic, SETTINGS)


@pytest.fixture(scope="module")
def train(problem):
    return split(problem, SETTINGS)[0]


def test_inputs_come_first_and_then_the_rates_of_the_best(problem, train):
    search = find_configuration(problem, train, SETTINGS)
    table = search.table
    columns = ["embedding", "penalty", "rate"]
    tried = [tuple(row) for row in table[columns].astype(object).to_numpy()]
    assert tried[:4] == [
        (None, 0.0, 0.0),
        ("piecewise", 0.4, 0.0),
        (None, 0.4, 0.0),
        ("piecewise", 0.0, 0.0),
    ]
    best = int(table["mean"][:4].argmax())
    assert tried[4] == (*tried[best][:2], 0.5)
    assert search.chosen == Configuration(*tried[table["mean"].argmax()])
    assert search.n_left_out == 0
    model = make_model(problem, SETTINGS, len(train), Configuration("piecewise", 0.4, 0.0))
    expected = cross_val_score(
        model,
        problem.X.iloc[train],
        problem.y[train],
        cv=folds(problem, train, 0),
        scoring="roc_auc",
    )
    np.testing.assert_array_equal(table.filter(like="fold_").iloc[1], expected)


def test_a_single_configuration_is_not_searched(problem, train):
    one = replace(SETTINGS, embeddings=("piecewise",), input_penalties=(0.3,), pruning_rates=(0.5,))
    assert find_configuration(problem, train, one) is None
    assert only_configuration(problem, one) == Configuration("piecewise", 0.3, 0.5)


def test_many_columns_are_read_as_they_are(problem, train, monkeypatch):
    monkeypatch.setattr(_search, "MOST_EMBEDDED_COLUMNS", 3)
    search = find_configuration(problem, train, SETTINGS)
    assert set(search.table["embedding"]) == {None}
    bins_only = replace(SETTINGS, embeddings=("piecewise",))
    assert only_configuration(problem, bins_only).embedding is None


@pytest.mark.parametrize(("budget", "n_tried"), [(None, 5), (1e6, 5), (100.0, 3), (1.0, 1)])
def test_time_is_kept(problem, train, budget, n_tried, monkeypatch):
    """Every cross-validation takes 20 seconds here, twice as long with bins."""
    now = [0.0]

    def cross_validate(model, *args, **kwargs):
        now[0] += 20 if model[-1].numeric_embedding is None else 40
        return {"test_score": np.arange(5.0)}

    monkeypatch.setattr(_search, "cross_validate", cross_validate)
    monkeypatch.setattr(_search.time, "monotonic", lambda: now[0])
    search = find_configuration(problem, train, replace(SETTINGS, budget=budget))
    # The plainest is always tried; 100 seconds hold it, two more
    # without bins, and what comes after.
    assert (len(search.table), search.n_left_out) == (n_tried, 5 - n_tried)
    if budget is not None:
        assert n_tried == 1 or now[0] < budget


def test_why(problem, train):
    search = find_configuration(problem, train, SETTINGS)
    scores = search.table.filter(like="fold_")
    for best in (0, 2):
        table = search.table.copy()
        table.loc[best, ["mean", *scores.columns]] += 10
        named = replace(search, table=table, n_left_out=best)
        text = _why(named, "ROC AUC")
        if best == 0:
            assert "nothing beat" in text and "time" not in text
        else:
            gain = (table.loc[2, scores.columns] - table.loc[0, scores.columns]).mean()
            assert f"highest mean ROC AUC: {gain:+.3f} ± " in text
            assert "no time for 2 other configurations" in text


def test_large_tables_are_searched_on_a_stratified_sample(problem, train, monkeypatch):
    monkeypatch.setattr(_search, "MOST_SEARCH_ROWS", 100)
    rows = search_rows(problem, train, seed=0)
    assert len(rows) == 100 and set(rows) <= set(train)
    assert problem.y[rows].mean() == pytest.approx(problem.y.mean(), abs=0.02)
    trials = _Trials(problem, rows, SETTINGS, 1)
    assert len(trials.X) == 100
