"""The small networks behind a trained one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sknninterp.estimators._auxiliary import (
    accuracy,
    authors_network,
    auxiliary_network,
    fit_auxiliary,
)

RNG = np.random.default_rng(0)
NOISE = RNG.dirichlet(np.ones(3), size=45)
TARGET = RNG.permutation(45) % 3


def fit(inputs=NOISE, target=TARGET, weight=None, seed=0, **options):
    return fit_auxiliary(inputs, target, weight, np.random.RandomState(seed), **options)


@pytest.mark.parametrize(
    ("hidden", "sizes"),
    [
        (None, [3, 16, 3]),
        (4, [3, 4, 3]),
        ([5, 4], [3, 5, 4, 3]),
        ("authors", [3, 6, 3, 3]),
    ],
)
def test_sizes(hidden, sizes):
    network, _ = fit(hidden=hidden, epochs=1)
    layers = [m for m in network.module_.modules() if isinstance(m, nn.Linear)]
    assert [layers[0].in_features, *(layer.out_features for layer in layers)] == sizes
    dropouts = [m.p for m in network.module_.modules() if isinstance(m, nn.Dropout) and m.p]
    assert dropouts == ([0.2] if hidden == "authors" else [])


def test_authors_network_drops_only_behind_its_first_layer():
    module = authors_network(4, 2)
    kinds = [type(m).__name__ for m in module]
    assert kinds == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Linear"]


@pytest.mark.parametrize(
    ("n_samples", "batch_size", "epochs", "expected"),
    [
        (60_000, 128, None, 5),
        (25_600, 128, None, 5),
        (12_800, 128, None, 10),
        (12_801, 128, None, 10),
        (300, 128, None, 334),
        (10, 128, None, 1000),
        (128, 128, None, 1000),
        (300, 32, None, 100),
        (300, 128, 5, 5),
    ],
)
def test_epochs(n_samples, batch_size, epochs, expected):
    network = auxiliary_network(n_samples, 3, epochs=epochs, batch_size=batch_size)
    assert network.max_epochs == expected


def test_accuracy_held_out_is_that_of_samples_not_seen():
    # Noise can only be learnt by heart.
    options = {"hidden": 200, "epochs": 200, "lr": 0.05}
    network, seen = fit(**options)
    assert seen == network.score(NOISE, TARGET) > 0.8
    network, held_out = fit(**options, held_out=True)
    assert held_out < 0.6
    assert network.score(NOISE, TARGET) == seen  # it is fitted on all


def test_weights():
    # One half of the samples contradicts the other.
    inputs, target = np.tile(np.eye(2), (20, 1)), np.tile([0, 1, 1, 0], 10)
    weight = np.tile([3.0, 3.0, 1.0, 1.0], 10)
    for held_out in (False, True):
        network, score = fit(inputs, target, weight, held_out=held_out, epochs=100, lr=0.05)
        assert network.predict(np.eye(2)).tolist() == [0, 1]
        assert score == pytest.approx(0.75)
        _, score = fit(inputs, target, 4 - weight, held_out=held_out, epochs=100, lr=0.05)
        assert score == pytest.approx(0.75)


def test_few_samples_of_a_class_make_fewer_folds():
    target = np.array([0, 1] * 10 + [2, 2])
    fit(RNG.dirichlet(np.ones(3), size=22), target, held_out=True, epochs=2)


def test_seeds():
    def weights(seed):
        network, _ = fit(seed=seed, epochs=1)
        return torch.cat([p.flatten() for p in network.module_.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_accuracy():
    probabilities = np.array([[0.6, 0.4], [0.2, 0.8], [0.9, 0.1]])
    target = np.array([0, 1, 1])
    assert accuracy(probabilities, target, None) == pytest.approx(2 / 3)
    assert accuracy(probabilities, target, np.array([1.0, 1.0, 2.0])) == 0.5
