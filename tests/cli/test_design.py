from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from sknninterp import ANTClassifier
from sknninterp.cli import _design
from sknninterp.cli._arguments import Settings
from sknninterp.cli._design import (
    Configuration,
    Schedule,
    folds,
    inner_network,
    make_model,
    make_preprocessor,
    split,
)
from sknninterp.cli._messages import CommandError
from sknninterp.cli._problem import prepare
from sknninterp.explainers.columns import column_origins

PLAIN = Configuration(None, 0.0, 0.0)


@pytest.fixture
def problem(clinic):
    return prepare(clinic, Settings("outcome", drop=("visit", "length", "patient")))


def grouped(clinic, **settings):
    settings = Settings("outcome", drop=("visit", "length"), group="patient", **settings)
    return prepare(clinic, settings), settings


# -- splits --------------------------------------------------------------------------------------


def test_split_is_stratified_and_of_the_size_asked_for(problem):
    train, test = split(problem, Settings("outcome", test_size=0.2))
    assert sorted([*train, *test]) == list(range(500))
    assert len(test) == 100
    assert problem.y[test].mean() == pytest.approx(problem.y.mean(), abs=0.01)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("most_stratified", [0, 5_000])
def test_no_group_is_on_both_sides(clinic, monkeypatch, seed, most_stratified):
    monkeypatch.setattr(_design, "_MOST_STRATIFIED_GROUPS", most_stratified)
    problem, settings = grouped(clinic, seed=seed)
    train, test = split(problem, settings)
    assert sorted([*train, *test]) == list(range(500))
    assert not set(problem.groups[train]) & set(problem.groups[test])
    assert 90 < len(test) < 160
    for fit, valid in folds(problem, train, seed):
        assert not set(problem.groups[train][fit]) & set(problem.groups[train][valid])


def test_groups_of_a_regression_stay_together(clinic):
    settings = Settings("length", drop=("visit", "outcome"), group="patient")
    problem = prepare(clinic, settings)
    train, test = split(problem, settings)
    assert not set(problem.groups[train]) & set(problem.groups[test])
    assert len(folds(problem, train, seed=0)) == 5


def test_another_seed_gives_another_split(problem):
    first, second, again = (split(problem, Settings("outcome", seed=s))[1] for s in (0, 1, 0))
    assert set(first) != set(second)
    np.testing.assert_array_equal(first, again)


def test_class_that_only_one_group_has_is_an_error():
    frame = pd.DataFrame({"x": np.arange(60.0), "y": ["no"] * 50 + ["yes"] * 10})
    frame["g"] = np.where(frame["y"] == "yes", 99, frame.index)
    settings = Settings("y", group="g")
    with pytest.raises(CommandError, match=r"0 rows of class 'yes' \(groups of 'g'\)"):
        split(prepare(frame, settings), settings)


def test_folds_without_a_class_are_an_error():
    frame = pd.DataFrame({"x": np.arange(90.0), "y": ["no"] * 60 + ["yes"] * 30})
    frame["g"] = [*range(60), *np.repeat([97, 98, 99], 10)]
    problem = prepare(frame, Settings("y", group="g"))
    with pytest.raises(CommandError, match="a fold of the cross-validation lacks a class"):
        folds(problem, np.arange(90), seed=0)


def test_rows_of_a_single_group_cannot_be_cross_validated():
    frame = pd.DataFrame({"x": np.arange(60.0), "y": np.tile(["no", "yes"], 30)})
    frame["g"] = np.where(frame.index < 30, 1, 2)
    problem = prepare(frame, Settings("y", group="g"))
    with pytest.raises(CommandError, match="cannot be cross-validated"):
        folds(problem, np.arange(30), seed=0)


def test_test_part_smaller_than_the_number_of_classes_is_an_error(problem):
    with pytest.raises(CommandError, match="cannot be split"):
        split(problem, Settings("outcome", test_size=0.001))


def test_folds_are_fewer_for_rare_classes():
    y = ["no"] * 55 + ["yes"] * 5
    problem = prepare(pd.DataFrame({"x": np.arange(60.0), "y": y}), Settings("y"))
    assert len(folds(problem, np.arange(3, 58), seed=0)) == 3


# -- preprocessing -------------------------------------------------------------------------------


def test_preprocessing_keeps_every_column_traceable_and_float32(problem):
    preprocess = make_preprocessor(problem)
    encoded = preprocess.fit_transform(problem.X)
    assert encoded.dtype == np.float32
    assert np.isfinite(encoded).all()
    origins = column_origins(preprocess, problem.X.shape[1], problem.X.columns)
    counts = np.asarray((origins > 0).sum(axis=0)).ravel()
    widths = dict(zip(problem.X.columns, counts.tolist(), strict=True))
    # A value and a mark for missing ones; three colours and the missing one.
    assert widths["marker"] == 2
    assert widths["noise"] == 1
    assert widths["colour"] == 4
    assert widths["treatment"] == 3


def test_average_row_is_zero(problem):
    encoded = make_preprocessor(problem).fit_transform(problem.X)
    np.testing.assert_allclose(encoded.mean(axis=0), 0, atol=1e-5)


def test_rare_and_new_categories_share_a_column():
    values = ["common"] * 800 + [f"rare {i}" for i in range(100)] + ["other"] * 100
    frame = pd.DataFrame({"text": values, "y": np.tile(["no", "yes"], 500)})
    problem = prepare(frame, Settings("y"))
    preprocess = make_preprocessor(problem)
    assert preprocess.fit_transform(problem.X).shape[1] == 3
    new = problem.X.iloc[:1].assign(text=pd.Categorical(["unheard of"]))
    rare = problem.X.iloc[[850]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # scikit-learn tells of the new category
        np.testing.assert_array_equal(preprocess.transform(new), preprocess.transform(rare))


def test_column_without_values_in_a_part_does_no_harm(problem):
    part = problem.X.assign(noise=np.float32(np.nan))
    preprocess = make_preprocessor(problem)
    assert np.isfinite(preprocess.fit_transform(part)).all()
    assert np.isfinite(preprocess.transform(problem.X)).all()


# -- networks ------------------------------------------------------------------------------------


def test_more_rows_mean_fewer_epochs_and_larger_batches():
    schedules = [Schedule.of(n) for n in (100, 2_000, 10_000, 100_000, 1_000_000)]
    epochs = [one.max_epochs for one in schedules]
    sizes = [one.batch_size for one in schedules]
    assert epochs == sorted(epochs, reverse=True)
    assert sizes == sorted(sizes)
    assert not schedules[0].early_stopping
    assert schedules[-1].early_stopping
    assert Schedule.of(100, max_epochs=7).max_epochs == 7


def test_model_is_one_pipeline_with_the_settings_asked_for(problem, clinic):
    settings = Settings("outcome", hidden=(8, 4), max_epochs=3)
    model = make_model(problem, settings, 500, Configuration("piecewise", 0.3, 0.5))
    network = inner_network(clone(model).fit(problem.X, problem.y)[-1])
    assert isinstance(network, ANTClassifier)
    assert network.layer_sizes_ == [4, 2]
    assert network.n_iter_ == 3
    assert network._network_dtype() == np.float32


def test_regression_scales_its_target(clinic):
    settings = Settings("length", drop=("visit", "outcome", "patient"), hidden=(16,))
    problem = prepare(clinic, settings)
    model = make_model(problem, settings, 500, PLAIN).fit(problem.X, problem.y)
    assert model.score(problem.X, problem.y) > 0.5  # values of about 100, not of about 0


def test_weights_of_a_wide_table_decay_faster(problem):
    settings = Settings("outcome")
    n_columns = len(problem.numeric) + len(problem.categorical)
    wide, other = (
        inner_network(make_model(problem, settings, n_rows, PLAIN)[-1])
        for n_rows in (n_columns - 1, n_columns)
    )
    assert wide.weight_decay > other.weight_decay > 0
    assert (wide.optimizer, other.optimizer) == ("adam_mini", "adamw")
