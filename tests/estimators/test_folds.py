"""Which samples an estimator is fitted on, and which it then sees for the first time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import skorch
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, StratifiedKFold, StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sknninterp import TorchMLPClassifier
from sknninterp.estimators._folds import (
    Samples,
    choose_folds,
    draw_rows,
    fit_samples,
    is_share,
    seeded_clone,
    weight_parameter,
)

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
Y = np.repeat(["a", "b", "c"], 20)
SMALL = {"hidden_layer_sizes": (5,), "max_epochs": 2}


def folds_of(cv, y=Y, weight=None, estimator=None, seed=0):
    samples = Samples(np.zeros((len(y), 1)), np.asarray(y), weight)
    return choose_folds(cv, estimator or TorchMLPClassifier(), samples, np.random.RandomState(seed))


# --- samples --------------------------------------------------------------------------------------


def test_samples_in_rows():
    frame = pd.DataFrame(X, columns=list("abcd"))
    some = Samples(frame, Y, np.arange(60.0)).take(np.array([25, 3]))
    pd.testing.assert_frame_equal(some.X, frame.iloc[[25, 3]])
    assert some.y.tolist() == ["b", "a"]
    assert some.weight.tolist() == [25, 3]
    assert Samples(X, Y).take(np.array([0])).weight is None


def test_samples_without_weight():
    samples = Samples(X, Y)
    assert samples.used is samples
    samples = Samples(X[:4], Y[:4], np.array([1.0, 0.0, 2.0, 0.0]))
    assert samples.weighty.tolist() == [0, 2]
    np.testing.assert_array_equal(samples.used.X, X[[0, 2]])
    assert samples.used.weight.tolist() == [1, 2]


# --- folds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cv", "expected"), [(0.2, True), (np.float32(0.5), True), (5, False), (None, False)]
)
def test_is_share(cv, expected):
    assert is_share(cv) is expected


def test_no_folds():
    assert folds_of(None) == []


def test_a_share_is_stratified_and_seeded():
    ((train, test),) = folds_of(0.25)
    assert sorted([*train, *test]) == list(range(60))
    assert np.unique(Y[test], return_counts=True)[1].tolist() == [5, 5, 5]
    np.testing.assert_array_equal(folds_of(0.25)[0][1], test)
    assert set(folds_of(0.25, seed=1)[0][1]) != set(test)


def test_an_int_is_stratified():
    folds = folds_of(4)
    assert len(folds) == 4
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(60))
    for train, test in folds:
        assert np.unique(Y[test], return_counts=True)[1].tolist() == [5, 5, 5]
        assert sorted([*train, *test]) == list(range(60))


def test_splitters_may_repeat_and_leave_out():
    cv = StratifiedShuffleSplit(3, test_size=6, train_size=30, random_state=0)
    expected = list(cv.split(X, Y))
    for found, (train, test) in zip(folds_of(cv), expected, strict=True):
        np.testing.assert_array_equal(found[0], train)
        np.testing.assert_array_equal(found[1], test)


@pytest.mark.parametrize("cv", [3, 0.3, StratifiedKFold(3)], ids=["int", "share", "splitter"])
def test_samples_of_weight_zero_change_no_fold(cv):
    weight = np.ones(60)
    weight[::4] = 0
    rows = np.flatnonzero(weight)
    for found, expected in zip(folds_of(cv, weight=weight), folds_of(cv, Y[rows]), strict=True):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, rows[other])


def test_splits_count_all_rows():
    weight = np.ones(60)
    weight[[0, 20, 41]] = 0
    given = (np.arange(0, 60, 2).tolist(), np.arange(1, 60, 2))
    for splits in ([given], iter([given])):
        ((train, test),) = folds_of(splits, weight=weight)
        assert train.tolist() == [i for i in range(0, 60, 2) if i not in (0, 20)]
        assert test.tolist() == [i for i in range(1, 60, 2) if i != 41]


FEW = np.array(["a"] * 20 + ["b"] * 20 + ["c"] * 2)


@pytest.mark.parametrize(
    ("cv", "y", "message"),
    [
        ([1, 2], Y, "cv must hold pairs of training and test positions"),
        (5, FEW, "cv=5: class 'c' has 2 samples, too few for 5 folds"),
        (0.3, FEW, "too few samples of class 'c'"),
        (0.3, FEW[:-1], "cv=0.3: The least populated class"),
        (0.02, Y, "cv=0.02: The test_size"),
        ([(np.arange(40), np.arange(40, 60))], Y, "too few samples of class 'c'"),
        ([(np.arange(60), np.arange(40))], Y, "too few samples of class 'c'"),
        ([], Y, "gives no splits"),
    ],
)
def test_too_few_of_a_class(cv, y, message):
    with pytest.raises(ValueError, match=message):
        folds_of(cv, y)


def test_a_class_without_weight_is_no_class():
    weight = (FEW != "c").astype(float)
    assert len(folds_of(5, FEW, weight)) == 5


# --- what can be fitted anew ----------------------------------------------------------------------


def test_fitted_estimators():
    net = TorchMLPClassifier(**SMALL).fit(X, Y)
    assert folds_of(None, estimator=net) == []
    assert len(folds_of(3, estimator=net)) == 3
    with pytest.raises(ValueError, match=r"cv=0.3 holds samples out .* fitted already"):
        folds_of(0.3, estimator=net)
    for fixed in (FrozenEstimator(net), nn.Linear(4, 3)):
        assert folds_of(None, estimator=fixed) == []
        with pytest.raises(ValueError, match=f"{type(fixed).__name__} cannot be fitted anew"):
            folds_of(3, estimator=fixed)
        with pytest.raises(ValueError, match="fitted already"):
            folds_of(0.3, estimator=fixed)


# --- fitting --------------------------------------------------------------------------------------


def test_clones_are_seeded_only_if_the_user_says_so():
    pipeline = make_pipeline(StandardScaler(), TorchMLPClassifier(random_state=3))
    generator = np.random.RandomState(0)
    found, seed = seeded_clone(pipeline, None, generator)
    assert found is not pipeline
    assert (found[-1].random_state, seed) == (3, None)
    first, first_seed = seeded_clone(pipeline, 0, np.random.RandomState(0))
    again, again_seed = seeded_clone(pipeline, 0, np.random.RandomState(0))
    assert first[-1].random_state == again[-1].random_state != 3
    assert first_seed == again_seed is not None
    assert pipeline[-1].random_state == 3


def net(**options):
    return skorch.NeuralNetClassifier(
        nn.Linear,
        module__in_features=4,
        module__out_features=3,
        criterion=nn.CrossEntropyLoss,
        train_split=None,
        verbose=0,
        max_epochs=1,
        **options,
    )


@pytest.mark.usefixtures("global_rng_untouched")
def test_torch_is_seeded_and_left_alone():
    samples = Samples(X, np.repeat([0, 1, 2], 20))
    one, again, other = (fit_samples(net(), seed, samples) for seed in (5, 5, 6))
    assert torch.equal(one.module_.weight, again.module_.weight)
    assert not torch.equal(one.module_.weight, other.module_.weight)


def test_without_a_seed_torchs_state_is_the_estimators_business():
    samples = Samples(X, np.repeat([0, 1, 2], 20))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        one = fit_samples(net(), None, samples)
        torch.manual_seed(0)
        again = fit_samples(net(), None, samples)
    assert torch.equal(one.module_.weight, again.module_.weight)


MLP = TorchMLPClassifier(**SMALL, random_state=0)


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        (MLP, "sample_weight"),
        (make_pipeline(StandardScaler(), MLP), "torchmlpclassifier__sample_weight"),
        (
            make_pipeline(make_pipeline(StandardScaler(), MLP)),
            "pipeline__torchmlpclassifier__sample_weight",
        ),
        (
            GridSearchCV(make_pipeline(MLP), {"torchmlpclassifier__lr": [0.01]}, cv=2),
            "torchmlpclassifier__sample_weight",
        ),
    ],
    ids=["estimator", "pipeline", "nested", "search"],
)
def test_weights_reach_the_network(estimator, name):
    assert weight_parameter(estimator) == name
    weight = np.where(Y == "c", 50.0, 1.0)
    fitted = fit_samples(seeded_clone(estimator, None, None)[0], None, Samples(X, Y, weight))
    without = fit_samples(seeded_clone(estimator, None, None)[0], None, Samples(X, Y))
    gain = fitted.predict_proba(X)[:, 2].mean() - without.predict_proba(X)[:, 2].mean()
    assert gain > 0


@pytest.mark.parametrize("estimator", [net(), make_pipeline(StandardScaler(), net())])
def test_weights_that_are_not_taken(estimator):
    assert weight_parameter(estimator) is None
    with pytest.raises(ValueError, match="cannot be fitted with weights"):
        fit_samples(estimator, None, Samples(X, Y, np.ones(60)))


# --- resampling -------------------------------------------------------------------------------


def rows_of(resampling, labels, n_samples=100, share=0.3, seed=0):
    return draw_rows(resampling, share, n_samples, labels, np.random.RandomState(seed))


@pytest.mark.parametrize("labels", [None, np.array(["a", "b", "b", "b"] * 25)], ids=["no", "two"])
def test_a_bootstrap_draws_as_many_with_replacement(labels):
    drawn = np.array([rows_of("bootstrap", labels, seed=seed) for seed in range(200)])
    assert drawn.shape == (200, 100)
    assert (np.diff(drawn, axis=1) >= 0).all()
    distinct = np.mean([len(set(rows)) for rows in drawn.tolist()])
    assert distinct == pytest.approx(63.4, abs=1)
    counts = np.bincount(drawn.ravel(), minlength=100) / 200
    assert counts.min() > 0.7
    assert counts.max() < 1.3


@pytest.mark.parametrize("labels", [None, np.array(["a", "b", "b", "b"] * 25)], ids=["no", "two"])
def test_a_subsample_draws_a_share_without_replacement(labels):
    drawn = [rows_of("subsample", labels, seed=seed) for seed in range(200)]
    assert all(len(rows) == len(set(rows.tolist())) for rows in drawn)
    assert {len(rows) for rows in drawn} == ({30} if labels is None else {8 + 22})
    counts = np.bincount(np.concatenate(drawn), minlength=100) / 200
    assert counts.min() > 0.18
    assert counts.max() < 0.42


@pytest.mark.parametrize("resampling", ["bootstrap", "subsample"])
@pytest.mark.parametrize("form", [np.array, list, pd.Series, lambda y: np.array(y)[:, None]])
def test_no_class_is_lost(resampling, form):
    labels = ["rare"] + ["b"] * 60 + ["a"] * 39
    for seed in range(20):
        found = [labels[i] for i in rows_of(resampling, form(labels), seed=seed)]
        assert found.count("rare") == 1
        assert found.count("b") == (60 if resampling == "bootstrap" else 18)
        assert found.count("a") == (39 if resampling == "bootstrap" else 12)
