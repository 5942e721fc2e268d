"""Networks in a stack and out of it."""

from __future__ import annotations

import copy

import pytest
import torch

from sknninterp.nn.mlp import MLP
from sknninterp.nn.stacked import StackedMLP, seeded_networks

N_INPUTS = 5


def double(sizes, activation="tanh", n_outputs=3):
    return lambda: MLP(N_INPUTS, n_outputs, sizes, activation).double()


def unstacked(stack, networks, *optimizers):
    copies = copy.deepcopy(networks)[: len(stack)]
    stack.unstack(copies, *optimizers)
    return copies


def assert_same_networks(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one.state_dict().keys() == other.state_dict().keys()
        for name, values in one.state_dict().items():
            torch.testing.assert_close(values, other.state_dict()[name], rtol=0, atol=1e-10)


def test_seeds_start_networks_as_torch_does(global_rng_untouched):
    networks, generators = seeded_networks(double((6,)), [3, 5])
    with torch.random.fork_rng():
        for seed, network, generator in zip([3, 5], networks, generators, strict=True):
            torch.manual_seed(seed)
            assert_same_networks([double((6,))()], [network])
            assert torch.equal(torch.randperm(9), torch.randperm(9, generator=generator))


def test_networks_are_copies():
    networks, _ = seeded_networks(double((6, 4), "relu"), range(2))
    stack = StackedMLP(networks)
    assert len(stack) == 2
    assert stack.widths == [6, 4]
    before = copy.deepcopy(networks)
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter += 1
    assert_same_networks(networks, before)
    back = unstacked(stack, networks)
    torch.testing.assert_close(back[1].hidden1.bias, before[1].hidden1.bias + 1)


def test_what_cannot_be_stacked():
    plain = MLP(5, 2, (6,))
    for other in (MLP(5, 2, (7,)), MLP(5, 2, (6,), "tanh"), MLP(4, 2, (6,)), MLP(5, 2, (6, 6))):
        with pytest.raises(ValueError, match="same widths and activation"):
            StackedMLP([plain, other])
    for options in ({"dropout": 0.5}, {"batch_norm": True}):
        with pytest.raises(ValueError, match="cannot be stacked"):
            StackedMLP([MLP(5, 2, (6,), **options)] * 2)
