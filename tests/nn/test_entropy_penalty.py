"""The entropy penalty against autograd and loops, and where it finds activations."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sknninterp.nn.activation_entropy import soft_entropy
from sknninterp.nn.entropy_penalty import EntropyPenalty, soft_entropy_sum
from sknninterp.nn.graph import UnsupportedModuleError, evaluation, read
from sknninterp.nn.hidden_neurons import choose_activations
from sknninterp.nn.mlp import MLP
from sknninterp.nn.surgery import remove_units


def activations(n=40, n_neurons=12, dtype=torch.float64):
    """With a dead neuron, two values at the maximum, one that stands far out, and a tiny scale."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(n, n_neurons, generator=generator, dtype=dtype)
    values[:, 0] = -1
    values[3, 1] = values[5, 1] = 10
    values[2, 2] = 50
    values[:, 3] *= 1e-6
    return values.requires_grad_()


def naive_soft_entropy(column, weights, n_bins, bandwidth):
    """Of one neuron, value by value."""
    pairs = [(v, w) for v, w in zip(column, weights, strict=True) if v > 0 and w > 0]
    if not pairs:
        return 0.0
    maximum = max(v for v, _ in pairs)
    bins = [0.0] * n_bins
    for value, weight in pairs:
        place = value / maximum * n_bins
        kernels = [math.exp(-0.5 * ((place - r - 0.5) / bandwidth) ** 2) for r in range(n_bins)]
        for r in range(n_bins):
            bins[r] += weight * kernels[r] / sum(kernels)
    shares = [b / sum(bins) for b in bins]
    return -sum(s * math.log2(s) for s in shares if s > 0)


WEIGHTS = {
    "unweighted": None,
    "weighted": torch.arange(40).double() % 3,  # some of weight 0
    "maximum-left-out": 1 - (torch.arange(40) == 2).double(),
}


# --- the sum ------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize(("n_bins", "bandwidth"), [(10, 0.5), (4, 1.0), (7, 0.2)])
def test_sum_by_loops_and_gradient_by_autograd(weight, n_bins, bandwidth):
    values = activations()
    found = soft_entropy_sum(values, weight, n_bins, bandwidth)
    weights = [1.0] * 40 if weight is None else weight.tolist()
    expected = sum(
        naive_soft_entropy(column, weights, n_bins, bandwidth) for column in values.T.tolist()
    )
    assert found.item() == pytest.approx(expected, rel=1e-10)
    slow = soft_entropy(values, n_bins, bandwidth, weight).sum()
    for factor in (1.0, -2.5):
        (gradient,) = torch.autograd.grad(factor * found, values, retain_graph=True)
        (by_autograd,) = torch.autograd.grad(factor * slow, values, retain_graph=True)
        torch.testing.assert_close(gradient, by_autograd, rtol=1e-5, atol=1e-8)
    assert not gradient[:, 0].any()
    assert gradient[:, 1:].any(0).all()


@pytest.mark.parametrize("part_bytes", [1, 10 * 40 * 8 * 5])
def test_parts_change_nothing(monkeypatch, part_bytes):
    whole = activations()
    soft_entropy_sum(whole).backward()
    monkeypatch.setattr("sknninterp.nn.entropy_penalty._PART_BYTES", part_bytes)
    parts = activations()
    found = soft_entropy_sum(parts)
    found.backward()
    torch.testing.assert_close(found, soft_entropy_sum(whole))
    torch.testing.assert_close(parts.grad, whole.grad)


def test_positions_of_a_feature_map_are_neurons():
    values = activations()
    soft_entropy_sum(values).backward()
    of_map = values.detach().reshape(40, 3, 2, 2).requires_grad_()
    soft_entropy_sum(of_map).backward()
    torch.testing.assert_close(of_map.grad.reshape(40, 12), values.grad)


def test_single_precision_and_scales_at_its_end():
    values = activations(dtype=torch.float32)
    scales = 10.0 ** torch.tensor([0, 0, 0, 0, 20, 30, -20, -30, -39, -42, -44, 0])
    values = (values.detach() * scales).requires_grad_()
    found = soft_entropy_sum(values)
    found.backward()
    assert values.grad.isfinite().all()
    normal = values.detach()[:, [1, 2, 3, 4, 5, 6, 7, 11]].double()  # others count as dead
    assert found.item() == pytest.approx(soft_entropy(normal).sum().item(), rel=1e-5)


def test_what_is_not_finite_is_not_hidden():
    values = activations().detach()
    values[1, 4] = math.nan
    assert soft_entropy_sum(values).isnan()


# --- of a network -------------------------------------------------------------------------------


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 2)

    def forward(self, x):
        return self.head(torch.tanh(self.second(F.relu(self.first(x)))))


class Shared(nn.Module):
    """One activation module for two layers."""

    def __init__(self, inplace=False):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 2)
        self.act = nn.ReLU(inplace)

    def forward(self, x):
        return self.head(self.act(self.second(self.act(self.first(x)))))


class Overwritten(nn.Module):
    """Changes an activation in place after it was put out, in training alone."""

    def __init__(self):
        super().__init__()
        self.first, self.act, self.head = nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 2)
        self.drop = nn.Dropout(0.5, inplace=True)

    def forward(self, x):
        return self.head(self.drop(self.act(self.first(x))))


NETWORKS = {
    "mlp": (lambda: MLP(4, 2, (6, 5)), True),
    "in-place": (
        lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, 2)),
        True,
    ),
    "overwritten": (Overwritten, True),
    "functional": (Functional, False),
    "shared": (Shared, False),
    "shared-in-place": (lambda: Shared(inplace=True), False),
}


def double(make):
    torch.manual_seed(0)
    return make().double(), torch.randn(30, 4, dtype=torch.float64)


def up_to(module, n):
    return nn.Sequential(*list(module)[:n])


@pytest.mark.parametrize(("make", "by_modules"), NETWORKS.values(), ids=NETWORKS)
def test_mean_over_the_neurons_of_all_layers(make, by_modules):
    module, inputs = double(make)
    weight = torch.arange(30).double() % 3
    graph = read(module, (4,))
    nodes = list(choose_activations(graph).values())
    found = graph.run(inputs, nodes)
    expected = 0.3 * torch.cat([soft_entropy(found[n], weight=weight) for n in nodes]).mean()
    of_expected = torch.autograd.grad(expected, module.parameters(), allow_unused=True)

    penalty = EntropyPenalty(0.3)
    torch.manual_seed(1)
    output, value = penalty(module, inputs, weight)
    assert bool(penalty._reading.modules) is by_modules
    assert value.item() == pytest.approx(expected.item())
    of_value = torch.autograd.grad(value, module.parameters(), allow_unused=True, retain_graph=True)
    for ours, theirs in zip(of_value, of_expected, strict=True):
        assert (ours is None) is (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs)
    torch.manual_seed(1)
    assert torch.equal(output, module(inputs))
    assert module.training
    assert not any(m._forward_hooks for m in module.modules())


def test_chosen_layers_bins_and_bandwidth():
    module, inputs = double(lambda: MLP(4, 2, (6, 5)))
    _, value = EntropyPenalty(2.0, layers=["hidden1"], n_bins=4, bandwidth=1.0)(module, inputs)
    hidden = up_to(module, 4)(inputs)
    assert value.item() == pytest.approx(2 * soft_entropy(hidden, 4, 1.0).mean().item())


def test_modules_are_heard_in_the_training_pass_itself():
    module, inputs = double(lambda: MLP(4, 2, (6, 50), dropout=0.5, batch_norm=True))
    seen = []
    module.activation1.register_forward_hook(lambda _, __, output: seen.append(output))
    before = copy.deepcopy(module.norm0)
    penalty = EntropyPenalty(1.0, layers="last")
    penalty.read(module, (4,))
    for name, value in before.state_dict().items():  # to read it trains nothing
        assert torch.equal(value, module.norm0.state_dict()[name])
    seen.clear()
    _, value = penalty(module, inputs)
    (values,) = seen  # a single pass
    assert value.item() == pytest.approx(soft_entropy(values).mean().item())
    with evaluation(module):
        assert up_to(module, 6)(inputs).allclose(values) is False


def test_reading_leaves_the_random_state_alone():
    module, inputs = double(lambda: MLP(4, 2, (6, 5)))
    before = torch.get_rng_state()
    EntropyPenalty(1.0)(module, inputs)
    assert torch.equal(before, torch.get_rng_state())


def test_it_is_read_again_when_neurons_are_gone_and_only_then():
    module, inputs = double(lambda: MLP(4, 2, (6, 5)))
    penalty = EntropyPenalty(1.0)
    penalty(module, inputs)
    first = penalty._reading
    penalty(module, inputs)
    assert penalty._reading is first
    graph = read(module, (4,))
    remove_units(graph, graph.layers[0].units[:3].tolist())
    _, value = penalty(module, inputs)
    hidden = up_to(module, 2)(inputs), up_to(module, 4)(inputs)
    expected = torch.cat([soft_entropy(h) for h in hidden])
    assert len(expected) == 8
    assert value.item() == pytest.approx(expected.mean().item())
    other = copy.deepcopy(module)
    penalty(other, inputs)
    assert penalty._reading.graph.module is other


def test_hooks_are_gone_after_an_error():
    module, inputs = double(lambda: MLP(4, 2, (6, 5)))
    penalty = EntropyPenalty(1.0)
    penalty(module, inputs)
    handle = module.output.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        penalty(module, inputs)
    handle.remove()
    assert not any(m._forward_hooks for m in module.modules())


def test_it_makes_patterns_simpler_or_spreads_them():
    entropies = []
    for weight in (1.0, 0.0, -1.0):
        module, inputs = double(lambda: MLP(4, 2, (20,)))
        optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
        penalty = EntropyPenalty(weight)
        for _ in range(50):
            optimizer.zero_grad()
            penalty(module, inputs)[1].backward()
            optimizer.step()
        entropies.append(soft_entropy(up_to(module, 2)(inputs)).mean().item())
    assert entropies[0] < entropies[1] - 0.1
    assert entropies[1] < entropies[2] - 0.1


@pytest.mark.parametrize("how", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_read_anew(how):
    module, inputs = double(lambda: Shared(inplace=True))
    penalty = EntropyPenalty(1.0)
    _, expected = penalty(module, inputs)
    again = how(penalty)
    assert again._reading is None
    assert torch.equal(again(module, inputs)[1], expected)


@pytest.mark.parametrize(
    ("params", "module", "error", "message"),
    [
        ({"n_bins": 1}, None, ValueError, "n_bins=1 must be at least 2"),
        ({"bandwidth": 0}, None, ValueError, "bandwidth=0 must be positive"),
        ({"layers": "x"}, MLP(4, 2, (3,)), ValueError, "no hidden layer 'x'"),
        ({}, MLP(4, 2, ()), ValueError, "has no hidden layer with an activation"),
        ({}, nn.Sequential(nn.LSTM(4, 2)), UnsupportedModuleError, "LSTM"),
    ],
    ids=["n_bins", "bandwidth", "layers", "no-hidden", "unsupported"],
)
def test_bad_input(params, module, error, message):
    with pytest.raises(error, match=message):
        EntropyPenalty(1.0, **params).read(module, (4,))
