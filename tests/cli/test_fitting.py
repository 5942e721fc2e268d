from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sknninterp.cli import _fitting, _search
from sknninterp.cli._arguments import Settings
from sknninterp.cli._design import Configuration
from sknninterp.cli._fitting import METRICS, Run, analyse, summarise
from sknninterp.cli._messages import CommandError
from sknninterp.cli._problem import prepare

PLAIN = {"embeddings": (None,), "input_penalties": (0.0,)}
SMALL = {
    "hidden": (16,),
    "max_epochs": 25,
    "runs": 2,
    "pruning_rates": (0.0, 0.5),
    "quiet": True,
    **PLAIN,
}


@pytest.fixture(scope="module")
def settings():
    return Settings("outcome", positive="ill", drop=("visit", "length", "patient"), **SMALL)


@pytest.fixture(scope="module")
def problem(clinic, settings):
    return prepare(clinic, settings)


@pytest.fixture(scope="module")
def analysis(problem, settings):
    return analyse(problem, settings)


def without_times(table):
    return table.drop(columns="seconds")


def weights(analysis):
    return [
        {name: value.numpy() for name, value in run.network.module_.state_dict().items()}
        for run in analysis.runs
    ]


def test_search_chooses_the_best_rate(analysis):
    search = analysis.search.table
    assert search["rate"].tolist() == [0.0, 0.5]
    scores = search[[f"fold_{i}" for i in range(1, 6)]]
    np.testing.assert_allclose(search["mean"], scores.mean(axis=1))
    np.testing.assert_allclose(search["sd"], scores.std(axis=1))
    assert analysis.configuration.rate == search.loc[search["mean"].idxmax(), "rate"]
    assert search["mean"].min() > 0.7


def test_runs_differ_in_their_seed_and_beat_no_features(analysis):
    assert [run.seed for run in analysis.runs] == [0, 1]
    first, second = weights(analysis)
    assert any(not np.array_equal(first[name], second[name]) for name in first)
    for run in analysis.runs:
        assert set(run.scores) == {one.key for one in METRICS["binary"]}
        assert run.scores["roc_auc"] > 0.75 > analysis.baselines["no features"]["roc_auc"] == 0.5
    assert set(analysis.baselines) == {"gradient boosting", "logistic regression", "no features"}
    assert analysis.baselines["logistic regression"]["roc_auc"] > 0.75


def test_scores_are_those_of_the_whole_pipeline_on_the_test_rows(problem, analysis):
    X, y = problem.X.iloc[analysis.test], problem.y[analysis.test]
    run = analysis.runs[0]
    assert analysis.pipeline(run).score(X, y) == pytest.approx(run.scores["accuracy"])


def test_nothing_is_learnt_from_the_test_rows(problem, settings, analysis):
    X = problem.X.copy()
    rows = X.index[analysis.test]
    X.loc[rows, problem.numeric] *= 1000
    X.loc[rows, "colour"] = np.nan
    X["treatment"] = X["treatment"].cat.add_categories("new").where(~X.index.isin(rows), "new")
    spoilt = analyse(replace(problem, X=X), settings)
    pd.testing.assert_frame_equal(*(without_times(a.search.table) for a in (spoilt, analysis)))
    for one, other in zip(weights(spoilt), weights(analysis), strict=True):
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name])
    assert spoilt.runs[0].scores != analysis.runs[0].scores


def test_preprocessing_is_fitted_on_the_training_part(problem, analysis):
    imputer, scaler, _ = analysis.preprocess.named_transformers_["numeric"]
    train = problem.X.iloc[analysis.train]
    np.testing.assert_allclose(imputer.statistics_, train[problem.numeric].median())
    assert scaler.n_samples_seen_ == len(train)


def test_one_rate_needs_no_search(problem, settings):
    analysis = analyse(problem, replace(settings, pruning_rates=(0.25,), runs=1))
    assert analysis.search is None
    assert analysis.configuration == Configuration(None, 0.0, 0.25)
    assert analysis.runs[0].network.layer_sizes_ == [12]


def test_that_a_sample_was_searched_is_told(problem, settings, monkeypatch):
    monkeypatch.setattr(_search, "MOST_SEARCH_ROWS", 100)
    analysis = analyse(problem, replace(settings, runs=1))
    assert analysis.search.n_rows == 100
    assert any("chosen on 100 of the 375 training rows" in note for note in analysis.notes)


def test_logistic_regression_that_was_stopped_is_told(problem, settings, monkeypatch):
    monkeypatch.setattr(_fitting, "_LOGISTIC_ITERATIONS", 1)
    analysis = analyse(problem, replace(settings, pruning_rates=(0.0,), runs=1))
    assert analysis.notes == ["Logistic regression was stopped after 1 steps."]


@pytest.mark.parametrize(
    ("target", "task", "baseline"),
    [("length", "regression", "ridge regression"), ("stage", "multiclass", "logistic regression")],
)
def test_other_tasks(clinic, target, task, baseline):
    others = {"length", "stage", "outcome"} - {target}
    settings = Settings(target, drop=("visit", "patient", *others), **SMALL)
    problem = prepare(clinic, settings)
    assert problem.task == task
    analysis = analyse(problem, settings)
    keys = {one.key for one in METRICS[task]}
    assert set(analysis.baselines[baseline]) == keys == set(analysis.runs[0].scores)
    assert all(np.isfinite(value) for value in analysis.runs[0].scores.values())


def test_training_that_fails_is_one_line(problem, settings):
    spoilt = replace(problem, X=problem.X.assign(noise=np.float32(np.inf)))
    with pytest.raises(CommandError, match="the network cannot be fitted: .*infinity"):
        analyse(spoilt, settings)


def test_summary_of_runs():
    runs = [Run(0, None, {"r2": 0.1}), Run(1, None, {"r2": 0.3})]
    assert summarise(runs)["r2"] == pytest.approx({"mean": 0.2, "sd": 0.2 / np.sqrt(2)})
    assert np.isnan(summarise(runs[:1])["r2"]["sd"])


@pytest.mark.slow
def test_several_jobs_give_the_same_results(problem, settings, analysis):
    parallel = analyse(problem, replace(settings, jobs=2))
    pd.testing.assert_frame_equal(*(without_times(a.search.table) for a in (parallel, analysis)))
    assert [run.scores for run in parallel.runs] == [run.scores for run in analysis.runs]
