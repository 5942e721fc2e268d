"""Neuron tuning of a stack against the tuning of its networks one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sknninterp.nn.mlp import MLP
from sknninterp.nn.optim import FusedAdam
from sknninterp.nn.schedule import Schedule
from sknninterp.nn.stacked import StackedMLP, seeded_networks
from sknninterp.nn.stacked_training import (
    Backpropagation,
    CrossEntropy,
    StackedBatches,
    train_epoch,
)
from sknninterp.nn.stacked_tuning import StackedTuner
from sknninterp.nn.tuning import KLCriterion, NeuronTuner

SIZES = {"equal": (50, 50, 50), "folds": (52, 50, 51)}


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    X = 2 * torch.randn(60, 5, dtype=torch.float64, generator=generator)
    return X, (X[:, 0] > X[:, 1]).long()


def alone(network, X, y, rows, generator, schedule, criterion):
    """Train and tune one network by a plain loop."""
    optimizer = FusedAdam(network.parameters(), lr=0.03)
    tuner = NeuronTuner(schedule, criterion=criterion).start(network, (5,))
    for epoch in range(1, schedule.max_epochs + 1):
        for chosen in rows[torch.randperm(len(rows), generator=generator)].split(16):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(X[chosen]), y[chosen]).backward()
            optimizer.step()
        tuner.step(network, epoch, [(X[rows], y[rows], None)], [optimizer])
    return tuner


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(6, pruning_rate=0.6),
        Schedule(7, n_tuned=1, tuning_step=2, tuning_start=0.2),
        Schedule(4, pruning_rate=0.9, min_neurons=1),
    ],
    ids=["rate", "count", "nearly all"],
)
def test_the_same_neurons_go_and_the_same_networks_stay(data, activation, sizes, schedule):
    X, y = data
    rng = np.random.default_rng(0)
    rows = [torch.as_tensor(rng.choice(60, size, replace=False)) for size in SIZES[sizes]]
    networks, generators = seeded_networks(
        lambda: MLP(5, 2, (12, 10), activation).double(), range(3)
    )
    stack = StackedMLP(networks)
    criterion = KLCriterion(n_bins=8, bin_range=(-2, 2))
    copies = [torch.Generator().set_state(one.get_state()) for one in generators]
    tuners = [
        alone(network, X, y, own, generator, schedule, criterion)
        for network, own, generator in zip(networks, rows, copies, strict=True)
    ]
    optimizer = FusedAdam(stack.parameters(), lr=0.03)
    gradients = Backpropagation(stack, CrossEntropy())
    batches = StackedBatches(X, y, rows, 16, generators=generators)
    judged = StackedBatches(X, y, rows, 20)
    tuner = StackedTuner(stack, schedule, criterion)
    for epoch in range(1, schedule.max_epochs + 1):
        train_epoch(gradients, batches, optimizer)
        tuner.step(stack, epoch, judged, optimizer)
    assert stack.widths == list(tuners[0].widths.values())
    for history, expected in zip(tuner.histories, tuners, strict=True):
        places = [(r.epoch, r.layer, r.neuron) for r in history]
        assert places == [(r.epoch, r.layer, r.neuron) for r in expected.history]
        scores = [r.score for r in history]
        np.testing.assert_allclose(scores, [r.score for r in expected.history], atol=1e-8)
    assert tuner.left == [dict(one._left) for one in tuners]
    copies = [MLP(5, 2, (12, 10), activation).double() for _ in networks]
    stack.unstack(copies)
    for found, network in zip(copies, networks, strict=True):
        for name, values in found.state_dict().items():
            torch.testing.assert_close(values, network.state_dict()[name], rtol=0, atol=1e-8)


def test_scores_of_weighted_samples(data):
    """A sample of weight 2 counts as two."""
    X, y = data
    stack = StackedMLP([MLP(5, 2, (7,)).double() for _ in range(2)])
    tuner = StackedTuner(stack, Schedule(5))
    rows = torch.arange(20)
    twice = torch.cat([rows, rows[:5]])
    weight = torch.ones(20, dtype=torch.float64)
    weight[:5] = 2
    (expected,) = tuner.scores(stack, StackedBatches(X, y, [twice] * 2, 100))
    (found,) = tuner.scores(stack, StackedBatches(X, y, [rows] * 2, 8, [weight] * 2))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_bad_input():
    stack = StackedMLP([MLP(5, 2, (4,))] * 2)
    with pytest.raises(ValueError, match="leave 0 of 4 neurons in layer 'hidden0'"):
        StackedTuner(stack, Schedule(5, n_tuned=1, tuning_stop=1.0))
    with pytest.raises(ValueError, match="histogram='common'"):
        StackedTuner(stack, Schedule(5), KLCriterion(histogram="own-range"))
    with pytest.raises(ValueError, match="no hidden layer"):
        StackedTuner(StackedMLP([MLP(5, 2, ())] * 2), Schedule(5))
    with pytest.raises(ValueError, match="does not suit layer 'hidden0'"):
        StackedTuner(stack, Schedule(5), KLCriterion("sigmoid"))


@pytest.mark.parametrize("n_epochs", [1, 3, 5])
def test_a_tuner_goes_on_from_a_state(data, n_epochs):
    def start():
        networks, _ = seeded_networks(lambda: MLP(5, 2, (12, 10)).double(), range(3))
        stack = StackedMLP(networks)
        return stack, StackedTuner(stack, Schedule(6, pruning_rate=0.75))

    judged = StackedBatches(*data, [torch.arange(60)] * 3, 20)
    stack, tuner = start()
    for epoch in range(1, n_epochs + 1):
        tuner.step(stack, epoch, judged)
    other, again = start()
    again.load_state_dict(other, tuner.state_dict())
    assert other.widths == stack.widths
    other.load_state_dict(stack.state_dict())
    for epoch in range(n_epochs + 1, 7):
        tuner.step(stack, epoch, judged)
        again.step(other, epoch, judged)
    assert again.histories == tuner.histories
    assert again.left == tuner.left
    assert sum(map(len, tuner.histories)) == 3 * 16
