"""Estimators whose features leave the network."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from torch import nn

from sknninterp import (
    ANTClassifier,
    PWPExplainer,
    RBMPretrainedMLP,
    TorchMLPClassifier,
    TorchMLPRegressor,
)
from sknninterp.callbacks import ActivationEntropy

QUICK = {
    "hidden_layer_sizes": (16,),
    "max_epochs": 40,
    "lr": 0.01,
    "batch_size": 32,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(300, 8))).add_prefix("g")
    return X, (X["g1"] - X["g6"] + 0.3 * rng.normal(size=300) > 0).astype(int)


@pytest.mark.parametrize(("optimizer", "embedding"), [("adam", "spline"), ("adamw", None)])
def test_what_says_nothing_leaves(data, optimizer, embedding):
    X, y = data
    options = {"optimizer": optimizer, "numeric_embedding": embedding, **QUICK, "max_epochs": 80}
    network = TorchMLPClassifier(input_penalty=0.9, **options).fit(X, y)
    assert network.selected_features_.tolist() == ["g1", "g6"]
    assert network.score(X, y) > 0.88
    importances = PWPExplainer(network).fit(X).feature_importances_
    assert np.flatnonzero(importances).tolist() == [1, 6]
    # A feature that left has no say at all.
    changed = X.assign(g0=5.0)
    np.testing.assert_array_equal(network.predict_proba(changed), network.predict_proba(X))
    plain = TorchMLPClassifier(**options).fit(X, y)
    assert len(plain.selected_features_) == 8
    assert len(TorchMLPClassifier(input_penalty=5.0, **options).fit(X, y).selected_features_) == 0


def test_more_penalty_keeps_fewer(data):
    X, y = data
    left = [
        len(TorchMLPClassifier(input_penalty=strength, **QUICK).fit(X, y).selected_features_)
        for strength in (0.0, 0.2, 0.4, 0.8)
    ]
    assert left == sorted(left, reverse=True)
    assert left[0] == 8 and left[-1] == 2


def test_sgd_counts_in_units_of_the_loss(data):
    X, y = data
    options = {"optimizer": "sgd", **QUICK}
    assert len(TorchMLPRegressor(input_penalty=2.0, **options).fit(X, y).selected_features_) == 0
    assert len(TorchMLPRegressor(input_penalty=1e-3, **options).fit(X, y).selected_features_) > 1


def test_with_neuron_tuning_and_a_callback_for_batches(data):
    X, y = data
    network = ANTClassifier(input_penalty=0.8, pruning_rate=0.5, **QUICK).fit(X, y)
    assert network.layer_sizes_ == [8]
    assert network.selected_features_.tolist() == ["g1", "g6"]
    watched = clone(network).set_params(callbacks=[ActivationEntropy()]).fit(X, y)
    assert watched.selected_features_.tolist() == ["g1", "g6"]


def test_chunks_copies_and_other_strengths(data):
    X, y = data
    network = TorchMLPClassifier(input_penalty=0.8, **QUICK)
    for _ in range(40):
        network.partial_fit(X.to_numpy(), y, classes=[0, 1])
    kept = network.selected_features_.tolist()  # numbers: there are no names
    assert {1, 6} <= set(kept) and len(kept) < 8
    again = pickle.loads(pickle.dumps(network))
    for one in (network, again):
        one.partial_fit(X.to_numpy(), y)
    for p, q in zip(network.module_.parameters(), again.module_.parameters(), strict=True):
        assert torch.equal(p, q)
    network.set_params(input_penalty=5.0, warm_start=True).fit(X.to_numpy(), y)
    assert len(network.selected_features_) == 0


def test_pretrained_networks(data):
    X, y = data
    network = RBMPretrainedMLP(input_penalty=0.8, pretraining_epochs=1, **QUICK).fit(X, y)
    assert set(network.selected_features_) == {"g1", "g6"}


def test_a_layer_that_is_the_whole_module(data):
    """The lasso, as a network."""
    X, _ = data
    lasso = TorchMLPRegressor(module=nn.Linear, input_penalty=0.2, lr=0.02, random_state=0)
    selected = lasso.fit(X, 3 * X["g2"]).selected_features_
    assert "g2" in selected and len(selected) < 8


def test_what_cannot_be_penalised(data):
    X, y = data
    with pytest.raises(ValueError, match=r"input_penalty=0.1 cannot be used: only linear"):
        TorchMLPClassifier(input_penalty=0.1, module=nn.Sequential(nn.ReLU(), nn.Linear(8, 2))).fit(
            X, y
        )
    with pytest.raises(ValueError, match="input_penalty"):
        TorchMLPClassifier(input_penalty=-1).fit(X, y)
