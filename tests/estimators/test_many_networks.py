"""Several networks as one estimator: each as if fitted by itself, predictions averaged."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score

from sknninterp import (
    ANTClassifier,
    ANTRegressor,
    RBMPretrainedMLP,
    TorchMLPClassifier,
    TorchMLPRegressor,
)
from sknninterp.estimators import _many_networks
from sknninterp.estimators._stacked_fit import can_be_stacked

QUICK = {"hidden_layer_sizes": (9, 6), "max_epochs": 6, "lr": 0.02, "batch_size": 32}
X, Y = load_iris(return_X_y=True)
X = (X - X.mean(0)) / X.std(0)
VALUES = np.stack([X[:, 0] ** 2, X[:, 1]], 1)
NAMES = ["species", "x", "y", "z"]


@pytest.mark.parametrize("one_by_one", [False, True], ids=["stack", "one by one"])
@pytest.mark.parametrize("bootstrap", [False, True])
def test_classifiers(monkeypatch, bootstrap, one_by_one):
    if one_by_one:
        monkeypatch.setattr(_many_networks, "can_be_stacked", lambda estimator: False)
    estimator = TorchMLPClassifier(n_networks=4, bootstrap=bootstrap, random_state=3, **QUICK)
    estimator.fit(X, Y)
    assert len(estimator.networks_) == 4
    assert estimator.n_networks == 4
    each = np.stack([one.predict_proba(X) for one in estimator.networks_])
    assert (np.ptp(each, axis=0) > 0).any()
    found = estimator.predict_proba(X)
    np.testing.assert_allclose(found, each.mean(0), atol=1e-12)
    np.testing.assert_allclose(found.sum(1), 1)
    assert estimator.predict(X).tolist() == found.argmax(1).tolist()
    logits = estimator.decision_function(X)
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), found)
    for one in estimator.networks_:
        assert one.n_networks == 1
        if not bootstrap:
            alone = clone(one).fit(X, Y)
            np.testing.assert_allclose(alone.predict_proba(X), one.predict_proba(X), atol=1e-9)
    again = clone(estimator).fit(X, Y)
    np.testing.assert_array_equal(again.predict_proba(X), found)


def test_two_classes_have_one_decision():
    y = Y > 0
    estimator = TorchMLPClassifier(n_networks=3, random_state=0, **QUICK).fit(X, y)
    proba = estimator.predict_proba(X)
    np.testing.assert_allclose(
        estimator.decision_function(X), np.log(proba[:, 1] / proba[:, 0]), atol=1e-9
    )


@pytest.mark.parametrize("kind", [TorchMLPRegressor, ANTRegressor])
@pytest.mark.parametrize("y", [VALUES[:, 0], VALUES], ids=["one", "two"])
def test_regressors(kind, y):
    estimator = kind(n_networks=3, bootstrap=True, random_state=0, **QUICK).fit(X, y)
    expected = np.mean([one.predict(X) for one in estimator.networks_], axis=0)
    np.testing.assert_allclose(estimator.predict(X), expected)
    assert estimator.predict(X).shape == y.shape


def test_bootstraps_draw_within_classes(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        _many_networks, "fit_stacked", lambda networks, *data: drawn.append((networks, data[2]))
    )
    y = np.where(np.arange(150) < 3, "rare", "common")
    with pytest.raises(IndexError):  # nothing was fitted
        TorchMLPClassifier(n_networks=5, bootstrap=True, random_state=0, **QUICK).fit(X, y)
    ((networks, rows),) = drawn
    assert len({one.random_state for one in networks}) == 5
    assert all((y[own] == "rare").sum() == 3 and len(own) == 150 for own in rows)
    assert len({tuple(own) for own in rows}) == 5


def test_weights_and_what_is_not_stacked():
    weight = np.random.default_rng(0).integers(0, 3, 150)
    estimator = TorchMLPClassifier(n_networks=2, random_state=0, **QUICK)
    estimator.fit(X, Y, sample_weight=weight)
    for one in estimator.networks_:
        alone = clone(one).fit(X, Y, sample_weight=weight)
        np.testing.assert_allclose(alone.predict_proba(X), one.predict_proba(X))
    dropping = TorchMLPClassifier(n_networks=2, dropout=0.2, random_state=0, **QUICK).fit(X, Y)
    assert len(dropping.networks_) == 2
    assert not can_be_stacked(estimator)


def test_names_and_attributes_of_the_first():
    frame = pd.DataFrame(X, columns=NAMES)
    estimator = ANTClassifier(n_networks=3, pruning_rate=0.5, random_state=0, **QUICK)
    estimator.fit(frame, Y)
    assert estimator.feature_names_in_.tolist() == NAMES
    assert estimator.networks_[1].feature_names_in_.tolist() == NAMES
    first = estimator.networks_[0]
    assert estimator.module_ is first.module_
    assert estimator.layer_sizes_ == first.layer_sizes_ == [5, 3]
    assert estimator.history_.equals(first.history_)
    assert estimator.n_iter_ == 6
    assert estimator.tuning_history_.equals(first.tuning_history_)
    with pytest.raises(ValueError, match="feature names"):
        estimator.predict(frame.rename(columns={"x": "w"}))


def test_features_that_any_network_reads_are_selected():
    estimator = TorchMLPClassifier(
        n_networks=4, input_penalty=0.7, random_state=0, **{**QUICK, "max_epochs": 40}
    ).fit(X, Y)
    each = [set(one.selected_features_) for one in estimator.networks_]
    assert set(estimator.selected_features_) == set.union(*each)


def test_one_network_after_many_and_back():
    estimator = TorchMLPClassifier(n_networks=3, random_state=0, **QUICK).fit(X, Y)
    plain = TorchMLPClassifier(random_state=0, **QUICK).fit(X, Y)
    estimator.set_params(n_networks=1).fit(X, Y)
    assert not hasattr(estimator, "networks_")
    np.testing.assert_array_equal(estimator.predict_proba(X), plain.predict_proba(X))
    assert len(estimator.set_params(n_networks=2).fit(X, Y).networks_) == 2


def test_warm_start_trains_them_on():
    estimator = TorchMLPClassifier(n_networks=2, warm_start=True, random_state=0, **QUICK)
    before = [len(one.history_) for one in estimator.fit(X, Y).networks_]
    first = estimator.networks_[0]
    estimator.set_params(lr=0.001).fit(X, Y)
    assert estimator.networks_[0] is first
    assert first.lr == 0.001
    assert [len(one.history_) for one in estimator.networks_] == [2 * n for n in before]


def test_pretrained_networks():
    options = {"pretraining_epochs": 1, "random_state": 0, **QUICK}
    estimator = RBMPretrainedMLP(n_networks=2, **options).fit(X, Y, X_unlabeled=X[:40] + 0.1)
    assert len(estimator.rbms_) == 2
    assert estimator.pretraining_history_.equals(estimator.networks_[0].pretraining_history_)
    alone = clone(estimator.networks_[1]).fit(X, Y, X_unlabeled=X[:40] + 0.1)
    np.testing.assert_allclose(
        alone.predict_proba(X), estimator.networks_[1].predict_proba(X), atol=1e-9
    )
    with pytest.warns(UserWarning, match="X_unlabeled is not used"):
        RBMPretrainedMLP(n_networks=2, pretraining=None, **QUICK).fit(X, Y, X_unlabeled=X)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_copies(how):
    estimator = TorchMLPClassifier(n_networks=2, random_state=0, **QUICK).fit(X, Y)
    np.testing.assert_array_equal(how(estimator).predict_proba(X), estimator.predict_proba(X))
    with pytest.raises(NotFittedError):
        clone(estimator).predict(X)


def test_among_scikit_learns_tools():
    estimator = TorchMLPClassifier(n_networks=3, random_state=0, **{**QUICK, "max_epochs": 30})
    assert cross_val_score(estimator, X, Y, cv=3).mean() > 0.9


def test_torchs_random_state_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    TorchMLPClassifier(n_networks=2, bootstrap=True, random_state=0, **QUICK).fit(X, Y)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_cannot_be():
    estimator = TorchMLPClassifier(n_networks=2, **QUICK)
    assert not hasattr(estimator, "partial_fit")
    with pytest.raises(ValueError, match="n_networks"):
        TorchMLPClassifier(n_networks=0).fit(X, Y)
    with pytest.raises(ValueError, match="one class only"):
        estimator.fit(X, np.zeros(150))
    with pytest.raises(ValueError, match="NaN"):
        estimator.fit(np.where(X > 1, np.nan, X), Y)
