"""Whose activations are judged, and what is told of it."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import make_classification

from sknninterp import ANTClassifier

X, Y = make_classification(n_samples=120, n_features=6, n_informative=4, random_state=0)


def make(**params):
    defaults = {"hidden_layer_sizes": (12, 8), "max_epochs": 10, "batch_size": 32, "lr": 0.01}
    return ANTClassifier(**{**defaults, "random_state": 0, **params})


def fitted(**params):
    return make(**params).fit(X, Y)


def test_tuning_data_of_few_samples_are_the_training_data():
    auto, train = fitted(), fitted(tuning_data="train")
    assert "valid_loss" not in auto.history_
    for one, other in zip(auto.module_.parameters(), train.module_.parameters(), strict=True):
        assert torch.equal(one, other)


def test_tuning_data_held_out():
    held_out = fitted(tuning_data="validation")
    assert "valid_loss" in held_out.history_
    assert held_out.n_iter_ == 10
    assert held_out.layer_sizes_ == [6, 4]
    assert not held_out.tuning_history_.equals(fitted().tuning_history_)


def test_tuning_data_of_many_samples_are_held_out():
    many, answer = np.tile(X, (9, 1)), np.tile(Y, 9)
    assert "valid_loss" in make(max_epochs=4).fit(many, answer).history_
    assert "valid_loss" not in make(max_epochs=4, tuning_data="train").fit(many, answer).history_
    assert "valid_loss" not in make(max_epochs=4, pruning_rate=0).fit(many, answer).history_


def test_early_stopping_with_tuning_on_the_training_data():
    estimator = fitted(tuning_data="train", early_stopping=True, patience=100)
    assert "valid_loss" in estimator.history_
    assert estimator.layer_sizes_ == [6, 4]
