"""Estimators fitted as a stack against the same estimators fitted one by one."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from torch import nn

from sknninterp import (
    ANTClassifier,
    ANTRegressor,
    RBMPretrainedMLP,
    TorchMLPClassifier,
    TorchMLPRegressor,
)
from sknninterp.callbacks import ActivationEntropy
from sknninterp.estimators import _stacked_fit
from sknninterp.estimators._stacked_fit import can_be_stacked, fit_stacked

QUICK = {"hidden_layer_sizes": (9, 6), "max_epochs": 6, "lr": 0.02, "batch_size": 32}


@pytest.fixture(scope="module")
def data():
    X, y = load_iris(return_X_y=True)
    return (X - X.mean(0)) / X.std(0), y


def fitted_both_ways(estimators, X, y, rows=None):
    stacked = [clone(estimator) for estimator in estimators]
    fit_stacked(stacked, X, y, rows)
    every = np.arange(len(y))
    for estimator, own in zip(estimators, rows or [every] * len(estimators), strict=True):
        of_own = X.iloc[own] if isinstance(X, pd.DataFrame) else X[own]
        estimator.fit(of_own, y[own])
    return stacked, estimators


def assert_same(found, expected):
    """Networks, histories, what was learnt beside them, and what comes of going on."""
    for one, other in zip(found, expected, strict=True):
        for p, q in zip(one.module_.parameters(), other.module_.parameters(), strict=True):
            np.testing.assert_allclose(p.detach(), q.detach(), rtol=0, atol=1e-10)
        histories = [fit.history_.drop(columns="dur") for fit in (one, other)]
        pd.testing.assert_frame_equal(*histories, atol=1e-9)
        assert one.n_iter_ == other.n_iter_
        assert one.n_features_in_ == other.n_features_in_
        if hasattr(other, "classes_"):
            assert one.classes_.tolist() == other.classes_.tolist()
        if hasattr(other, "removed_neurons_"):
            assert one.removed_neurons_ == other.removed_neurons_
            assert one.layer_sizes_ == other.layer_sizes_


def folds(n_samples):
    return [train for train, _ in KFold(4).split(np.arange(n_samples))]


CASES = {
    "classifier": TorchMLPClassifier(**QUICK),
    "balanced": TorchMLPClassifier(class_weight="balanced", optimizer="adamw", **QUICK),
    "weights of classes": TorchMLPClassifier(class_weight={2: 5.0}, **QUICK),
    "decay": TorchMLPClassifier(weight_decay=0.1, optimizer="nadam", **QUICK),
    "sgd": TorchMLPClassifier(optimizer="sgd", activation="sigmoid", **QUICK),
    "one rate a neuron": ANTClassifier(optimizer="adam_mini", input_penalty=0.2, **QUICK),
    "no hidden layer": TorchMLPClassifier(**{**QUICK, "hidden_layer_sizes": ()}),
    "tuned": ANTClassifier(**QUICK),
    "tuned on a part": ANTClassifier(tuning_data="validation", **QUICK),
    "tuned by number": ANTClassifier(n_tuned=1, tuning_step=2, activation="tanh", **QUICK),
    "nothing to tune": ANTClassifier(pruning_rate=0, **QUICK),
    "splines": TorchMLPClassifier(numeric_embedding="spline", **QUICK),
    "bins": ANTClassifier(numeric_embedding="piecewise", tuning_data="validation", **QUICK),
    "weighted bins": TorchMLPClassifier(
        numeric_embedding="piecewise", class_weight="balanced", **QUICK
    ),
    "input penalty": ANTClassifier(input_penalty=0.5, **QUICK),
    "both": TorchMLPClassifier(input_penalty=0.5, numeric_embedding="spline", **QUICK),
}


@pytest.mark.parametrize("case", CASES)
def test_seeds_and_folds(data, case):
    X, y = data
    X, y = X[::-1][:149], y[::-1][:149]  # folds of 111 and 112, each without many of a class
    rows = folds(149)
    estimators = [clone(CASES[case]).set_params(random_state=seed) for seed in range(4)]
    found, expected = fitted_both_ways(estimators, X, y, rows)
    assert_same(found, expected)
    np.testing.assert_allclose(found[1].predict_proba(X), expected[1].predict_proba(X), atol=1e-9)


@pytest.mark.parametrize("regressor", [TorchMLPRegressor, ANTRegressor])
@pytest.mark.parametrize("outputs", [1, 2])
def test_values(data, regressor, outputs):
    X, _ = data
    y = X[:, 0] ** 2 if outputs == 1 else np.stack([X[:, 0] ** 2, X[:, 1]], 1)
    estimators = [regressor(random_state=seed, **QUICK) for seed in range(3)]
    assert_same(*fitted_both_ways(estimators, X, y))


@pytest.mark.parametrize(
    "more", [{}, {"numeric_embedding": "spline", "input_penalty": 0.2}], ids=["plain", "embedded"]
)
def test_pruning_rates_and_bootstraps(data, more):
    X, y = data
    rng = np.random.default_rng(0)
    rows = [rng.choice(150, 150) for _ in range(6)]
    estimators = [
        ANTClassifier(pruning_rate=rate, random_state=seed, **QUICK, **more)
        for rate in (0, 0.3, 0.8)
        for seed in (1, 2)
    ]
    found, expected = fitted_both_ways(estimators, X, y, rows)
    assert_same(found, expected)
    assert [one.layer_sizes_ for one in found[::2]] == [[9, 6], [7, 5], [2, 2]]


def test_training_goes_on_from_a_stack(data):
    X, y = data
    for kind in (TorchMLPClassifier, ANTClassifier):
        estimators = [kind(random_state=seed, **QUICK) for seed in range(2)]
        found, expected = fitted_both_ways(estimators, X, y)
        for one in (*found, *expected):
            one.partial_fit(X, y)
        assert_same(found, expected)


def test_columns_and_labels_of_a_frame(data):
    X = pd.DataFrame(data[0], columns=list("abcd"))
    y = np.array(["x", "y", "z"])[data[1]]
    estimators = [TorchMLPClassifier(random_state=seed, **QUICK) for seed in range(2)]
    found, expected = fitted_both_ways(estimators, X, y)
    assert_same(found, expected)
    assert all(one.feature_names_in_.tolist() == list("abcd") for one in found)
    assert found[0].predict(X).tolist() == expected[0].predict(X).tolist()
    assert pickle.loads(pickle.dumps(found[0])).score(X, y) == expected[0].score(X, y)


def test_sparse_samples_and_single_precision(data):
    X, y = data
    estimators = [TorchMLPClassifier(random_state=s, dtype="float32", **QUICK) for s in range(2)]
    stacked = [clone(estimator) for estimator in estimators]
    fit_stacked(stacked, sparse.csr_matrix(X), y)
    for found, expected in zip(stacked, estimators, strict=True):
        expected.fit(X, y)
        assert {p.dtype for p in found.module_.parameters()} == {
            p.dtype for p in expected.module_.parameters()
        }
        np.testing.assert_allclose(found.predict_proba(X), expected.predict_proba(X), atol=1e-5)


def test_a_fold_without_one_of_the_classes(data):
    """Such a network has fewer outputs, and is in a stack of its own."""
    X, y = data
    rows = [np.arange(150), np.arange(100), np.arange(50, 150)]
    estimators = [TorchMLPClassifier(random_state=seed, **QUICK) for seed in range(3)]
    found, expected = fitted_both_ways(estimators, X, y, rows)
    assert [one.classes_.tolist() for one in found] == [[0, 1, 2], [0, 1], [1, 2]]
    assert_same(found, expected)


def test_large_stacks_are_split(data, monkeypatch):
    sizes, make = [], _stacked_fit.StackedMLP
    monkeypatch.setattr(_stacked_fit, "_STACK_BYTES", 32 * (4 + 4 * 9) * 8 * 2)
    monkeypatch.setattr(
        _stacked_fit, "StackedMLP", lambda nets: sizes.append(len(nets)) or make(nets)
    )
    estimators = [TorchMLPClassifier(random_state=seed, **QUICK) for seed in range(5)]
    assert_same(*fitted_both_ways(estimators, *data))
    assert sizes == [2, 2, 1]
    sizes.clear()
    embedded = [clone(e).set_params(numeric_embedding="piecewise") for e in estimators]
    monkeypatch.setattr(_stacked_fit, "_STACK_BYTES", 2**30)
    monkeypatch.setattr(_stacked_fit, "_TABLES_BYTES", 3 * 150 * (4 * 9) * 8)
    assert_same(*fitted_both_ways(embedded, *data))
    assert sizes == [3, 2]


def test_random_state_of_torch_is_left_alone(data, global_rng_untouched):
    fit_stacked([TorchMLPClassifier(random_state=seed, **QUICK) for seed in range(2)], *data)


def test_divergence_is_told(data):
    estimators = [
        TorchMLPClassifier(random_state=seed, **{**QUICK, "lr": 1e200, "optimizer": "sgd"})
        for seed in range(2)
    ]
    with pytest.raises(ValueError, match=r"Training diverged: .* with lr=1e\+200"):
        fit_stacked(estimators, *data)


def test_invalid_parameters_and_data_are_told(data):
    X, y = data
    with pytest.raises(ValueError, match="'lr' parameter"):
        fit_stacked([TorchMLPClassifier(lr=-1)] * 2, X, y)
    with pytest.raises(ValueError, match="NaN"):
        fit_stacked([TorchMLPClassifier()] * 2, np.full_like(X, np.nan), y)
    with pytest.raises(ValueError, match="differ in random_state, pruning_rate, inp"):
        fit_stacked([TorchMLPClassifier(), TorchMLPClassifier(lr=0.1)], X, y)
    with pytest.raises(ValueError, match="differ in random_state, pruning_rate, inp"):
        fit_stacked([TorchMLPClassifier(dropout=0.5)] * 2, X, y)


def test_what_can_be_stacked():
    for estimator in (TorchMLPClassifier(), ANTRegressor(), ANTClassifier(n_tuned=2)):
        assert can_be_stacked(estimator)
    for estimator in (
        LogisticRegression(),
        RBMPretrainedMLP(),
        TorchMLPClassifier(module=lambda a, b: nn.Linear(a, b)),
        TorchMLPClassifier(optimizer=FakeOptimizer),
        TorchMLPClassifier(dropout=0.1),
        TorchMLPClassifier(batch_norm=True),
        TorchMLPClassifier(entropy_weight=0.1),
        TorchMLPClassifier(early_stopping=True),
        TorchMLPClassifier(warm_start=True),
        TorchMLPClassifier(callbacks=[ActivationEntropy()]),
        ANTClassifier(criterion="random"),
        ANTClassifier(histogram="own-range"),
        ANTClassifier(target_layers=0),
        ANTClassifier(rewind="init"),
    ):
        assert not can_be_stacked(estimator), estimator


class FakeOptimizer:
    """Any callable."""
