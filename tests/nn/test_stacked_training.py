"""Training of a stack against the training of its networks one by one."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from sknninterp.nn.mlp import ACTIVATIONS, MLP
from sknninterp.nn.optim import FusedAdam
from sknninterp.nn.stacked import StackedMLP, seeded_networks
from sknninterp.nn.stacked_training import (
    Backpropagation,
    CrossEntropy,
    SquaredError,
    StackedBatches,
    batch_bounds,
    mean_loss,
    train_epoch,
)

N_SAMPLES, N_INPUTS = 70, 5
OPTIMIZERS = {
    "fused adam": FusedAdam,
    "adamw": lambda params, lr: torch.optim.AdamW(params, lr=lr, weight_decay=0.1),
    "sgd": lambda params, lr: torch.optim.SGD(params, lr=lr, momentum=0.9, nesterov=True),
    "rmsprop": torch.optim.RMSprop,
    "nadam": torch.optim.NAdam,
    "adagrad": torch.optim.Adagrad,
}


def double(sizes, activation="tanh", n_outputs=3):
    return lambda: MLP(N_INPUTS, n_outputs, sizes, activation).double()


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(N_SAMPLES, N_INPUTS, dtype=torch.float64, generator=generator)
    y = torch.randint(3, (N_SAMPLES,), generator=generator)
    return X, y


def alone(network, X, y, rows, batch_size, generator, optimizer, n_epochs, loss, weight=None):
    """Train one network by a plain loop; mean losses of the epochs."""
    optimizer, means = optimizer(network.parameters(), lr=0.01), []
    for _ in range(n_epochs):
        order = torch.arange(len(rows))
        if generator is not None:
            order = torch.randperm(len(rows), generator=generator)
        total = 0.0
        for start, stop in batch_bounds(len(rows), batch_size):
            chosen = order[start:stop]
            optimizer.zero_grad()
            of_each = loss(network(X[rows[chosen]]), y[rows[chosen]])
            if weight is not None:
                of_each = of_each * weight[chosen]
            mean = of_each.sum() / len(chosen)
            mean.backward()
            optimizer.step()
            total += mean.item() * len(chosen)
        means.append(total / len(rows))
    return means


def class_loss(output, target):
    return nn.functional.cross_entropy(output, target, reduction="none")


def squared_loss(output, target):
    return nn.functional.mse_loss(output, target, reduction="none").mean(1)


def assert_same_networks(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one.state_dict().keys() == other.state_dict().keys()
        for name, values in one.state_dict().items():
            torch.testing.assert_close(values, other.state_dict()[name], rtol=0, atol=1e-10)


def unstacked(stack, networks, *optimizers):
    copies = copy.deepcopy(networks)[: len(stack)]
    stack.unstack(copies, *optimizers)
    return copies


def compare(make, X, y, rows, optimizer=FusedAdam, loss="classes", weight=None, batch_size=16):
    of_stack, of_one = {
        "classes": (CrossEntropy(), class_loss),
        "values": (SquaredError(), squared_loss),
    }[loss]
    networks, generators = seeded_networks(make, range(len(rows)))
    stack = StackedMLP(networks)
    copies = [torch.Generator().set_state(one.get_state()) for one in generators]
    expected = [
        alone(network, X, y, own, batch_size, generator, optimizer, 3, of_one, own_weight)
        for network, own, generator, own_weight in zip(
            networks, rows, copies, weight or [None] * len(rows), strict=True
        )
    ]
    gradients = Backpropagation(stack, of_stack)
    batches = StackedBatches(X, y, rows, batch_size, weight, generators)
    optimizer = optimizer(stack.parameters(), lr=0.01)
    found = [train_epoch(gradients, batches, optimizer) for _ in range(3)]
    np.testing.assert_allclose(found, np.transpose(expected), atol=1e-10)
    assert_same_networks(unstacked(stack, networks), networks)


ALL = [torch.arange(N_SAMPLES)] * 3


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(data, activation):
    compare(double((6, 4), activation), *data, ALL)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer(data, optimizer):
    compare(double((6,)), *data, ALL, OPTIMIZERS[optimizer])


@pytest.mark.parametrize("sizes", [(), (3,), (4, 1, 5)], ids=str)
def test_depths(data, sizes):
    compare(double(sizes, "relu"), *data, ALL)


def test_values(data):
    X, _ = data
    y = torch.stack([X[:, 0] * X[:, 1], X[:, 2].sin()], 1)
    compare(double((6, 4), n_outputs=2), X, y, ALL, loss="values")


@pytest.mark.parametrize("sizes", [(69, 70, 66), (49, 48, 47), (33, 20, 32), (7, 9, 1)], ids=str)
def test_networks_with_samples_of_their_own(data, sizes):
    """Folds of different sizes, with rows that repeat: the last batches differ."""
    rng = np.random.default_rng(0)
    rows = [torch.as_tensor(rng.choice(N_SAMPLES, size)) for size in sizes]
    compare(double((6, 4)), *data, rows)


def test_weights_of_samples(data):
    rng = np.random.default_rng(0)
    rows = [torch.as_tensor(rng.choice(N_SAMPLES, size, replace=False)) for size in (50, 51, 52)]
    weight = [torch.as_tensor(rng.exponential(size=len(own))) for own in rows]
    compare(double((6, 4)), *data, rows, weight=weight)


def test_buffers_serve_batches_of_several_sizes(data):
    """A small last batch before larger ones, and the loss of validation beside it."""
    X, y = data
    networks, _ = seeded_networks(double((6, 4)), range(2))
    stack = StackedMLP(networks)
    gradients = Backpropagation(stack, CrossEntropy())
    for size in (3, 70, 16):
        (batch,) = StackedBatches(X, y, [torch.arange(size)] * 2, 100)
        losses = gradients(batch)
        for number, network in enumerate(networks):
            network.zero_grad()
            expected = class_loss(network(X[:size]), y[:size]).mean()
            expected.backward()
            torch.testing.assert_close(losses[number], expected.detach())
            slopes = [p.grad for p in network.parameters()]
            for weight, bias, slope, of_bias in zip(
                stack.weights, stack.biases, slopes[::2], slopes[1::2], strict=True
            ):
                torch.testing.assert_close(weight.grad[number].T, slope)
                torch.testing.assert_close(bias.grad[number, 0], of_bias)


def test_mean_loss(data):
    X, y = data
    networks, _ = seeded_networks(double((6,)), range(2))
    rows = [torch.arange(20), torch.arange(30, 49)]
    found = mean_loss(StackedMLP(networks), StackedBatches(X, y, rows, 16), CrossEntropy())
    expected = [
        class_loss(network(X[own]), y[own]).mean().item()
        for network, own in zip(networks, rows, strict=True)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_neurons_go_from_each_network_and_from_the_optimizer(data):
    X, y = data
    networks, _ = seeded_networks(double((6, 4)), range(2))
    stack = StackedMLP(networks)
    optimizer = FusedAdam(stack.parameters(), lr=0.01)
    gradients = Backpropagation(stack, CrossEntropy())
    batches = StackedBatches(X, y, [torch.arange(40)] * 2, 16)
    train_epoch(gradients, batches, optimizer)
    before, kept = copy.deepcopy(stack), torch.tensor([[0, 5], [3, 4]])
    moments = [optimizer.state[p]["exp_avg_sq"].clone() for p in stack.weights]
    stack.keep_neurons(0, kept, optimizer)
    assert stack.widths == [2, 4]
    for number, places in enumerate(kept):
        now, then = stack.weights, before.weights
        torch.testing.assert_close(now[0][number], then[0][number][:, places])
        torch.testing.assert_close(stack.biases[0][number], before.biases[0][number][:, places])
        torch.testing.assert_close(now[1][number], then[1][number][places])
        found = [optimizer.state[p]["exp_avg_sq"][number] for p in stack.weights]
        torch.testing.assert_close(found[0], moments[0][number][:, places])
        torch.testing.assert_close(found[1], moments[1][number][places])
        torch.testing.assert_close(found[2], moments[2][number])
    train_epoch(gradients, batches, optimizer)  # goes on, in smaller buffers
    assert stack.weights[0].isfinite().all()


def test_networks_that_are_dropped_do_not_change_the_others(data):
    X, y = data
    networks, _ = seeded_networks(double((6,)), range(3))
    rows = [torch.arange(40)] * 3
    stacks = []
    for drops in (False, True):
        stack = StackedMLP(networks)
        optimizer = FusedAdam(stack.parameters(), lr=0.01)
        gradients = Backpropagation(stack, CrossEntropy())
        train_epoch(gradients, StackedBatches(X, y, rows, 16), optimizer)
        if drops:
            stack.keep_networks(torch.tensor([2, 0]), optimizer)
        train_epoch(gradients, StackedBatches(X, y, rows[: len(stack)], 16), optimizer)
        stacks.append(unstacked(stack, networks))
    assert_same_networks(stacks[1], [stacks[0][2], stacks[0][0]])


def test_different_numbers_of_batches(data):
    with pytest.raises(ValueError, match="same number of batches"):
        StackedBatches(*data, [torch.arange(32), torch.arange(34)], 16)
    # A last batch of one joins the one before it.
    assert len(StackedBatches(*data, [torch.arange(32), torch.arange(33)], 16)) == 2
