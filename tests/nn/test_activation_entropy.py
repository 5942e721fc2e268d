"""Activation entropy against loops, in two passes, in one, and the soft one of training."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sknninterp.nn.activation_entropy import (
    ExactHistogram,
    StreamingHistogram,
    activation_entropy,
    entropy,
    soft_entropy,
)
from sknninterp.nn.graph import read
from sknninterp.nn.hidden_neurons import HiddenNeurons
from sknninterp.nn.mlp import MLP


def naive_counts(column, weights, n_bins=10, edge="upper", maximum=None):
    """Weight in each bin of one neuron, value by value."""
    maximum = max(column) if maximum is None else maximum
    counts = [0.0] * n_bins
    for value, weight in zip(column, weights, strict=True):
        for r in range(n_bins):
            low = maximum * r / n_bins
            high = maximum if r == n_bins - 1 else maximum * (r + 1) / n_bins
            if value > 0 and low < value and (value <= high if edge == "upper" else value < high):
                counts[r] += weight
    return counts


def naive_entropy(counts):
    total = sum(counts)
    return -sum(c / total * math.log2(c / total) for c in counts if c > 0) if total else 0.0


def activations(n=60, n_neurons=6, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(n, n_neurons, generator=generator, dtype=dtype)
    values[:, 0] = -values[:, 0].abs()  # dead
    values[:, 1] = (10 * values[:, 1]).round()  # on edges
    return values * 10.0 ** torch.arange(-2, n_neurons - 2)


def mlp_neurons(activation="relu", dtype=torch.float64, **options):
    network = MLP(4, 3, (7, 5), activation=activation, **options).to(dtype)
    return HiddenNeurons(read(network, (4,)))


def labelled(n=80, dtype=torch.float64):
    return torch.randn(n, 4, dtype=dtype), torch.arange(n) % 3


# --- histograms ---------------------------------------------------------------------------------


def test_entropy_of_known_histograms():
    counts = torch.tensor([[1, 1, 1, 1], [7, 0, 0, 0], [0, 0, 0, 0], [2, 1, 1, 0]]).double()
    assert entropy(counts).tolist() == pytest.approx([2.0, 0.0, 0.0, 1.5])


@pytest.mark.parametrize("edge", ["upper", "authors"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_bins", [2, 7, 10])
def test_exact_counts_by_loops(edge, dtype, n_bins):
    values = activations(dtype=dtype)
    group, weight = torch.arange(60) % 2, torch.arange(60).double() % 5 + 1
    histogram = ExactHistogram(values.amax(0), n_bins, n_groups=2, edge=edge)
    for rows in torch.arange(60).split(13):
        histogram.add(values[rows], group[rows], weight[rows])
    found = histogram.counts()
    assert found.shape == (2, 6, n_bins)
    for j, column in enumerate(values.double().T.tolist()):
        for c in range(2):
            own = [w if g == c else 0 for w, g in zip(weight.tolist(), group.tolist(), strict=True)]
            expected = naive_counts(column, own, n_bins, edge)
            np.testing.assert_allclose(found[c, j], expected, atol=1e-12)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=30), st.sampled_from([0.1, 0.3, 1 / 7]))
def test_values_on_edges(numbers, step):
    """Multiples of a tenth of the maximum: an edge is what float64 makes of maximum * r / 10."""
    values = torch.tensor(numbers)[:, None] * torch.tensor(step)
    for edge in ("upper", "authors"):
        histogram = ExactHistogram(values.amax(0), edge=edge)
        histogram.add(values)
        column = values[:, 0].double().tolist()
        expected = naive_counts(column, [1] * len(column), edge=edge)
        assert histogram.counts()[0, 0].tolist() == expected


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_streaming_is_exact_up_to_the_spread_in_a_fine_bin(seed, sizes):
    """Counts by the final fine bins, then spread: neither order nor batches play a part."""
    values = activations(50, seed=seed).float()
    histogram = StreamingHistogram(6)
    for rows in torch.randperm(50).split([*(s for s in sizes if sum(sizes) <= 50), 0][0] or 50):
        histogram.add(values[rows])
    assert torch.equal(histogram.maxima, values.amax(0).clamp(min=0).double())
    found = histogram.counts()[0]
    for j, column in enumerate(values.double().T.tolist()):
        if max(column) <= 0:
            assert not found[j].any()
            continue
        width = 2.0 ** math.floor(math.log2(max(column)) + 1) / 64
        fine = [0] * 64
        for value in column:
            if value > 0:
                fine[math.ceil(value / width) - 1] += 1
        below = np.interp(
            np.arange(11) / 10 * max(column) / width, np.arange(65), np.cumsum([0, *fine])
        )
        below[-1] = sum(fine)
        np.testing.assert_allclose(found[j], np.diff(below), atol=1e-9)


@pytest.mark.parametrize("n_groups", [1, 3])
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("size", [5, 500, 5000])
def test_streaming_entropy_is_near_the_exact_one(n_groups, weighted, size):
    values = activations(5000).float()
    values[:, 1] = torch.rand(5000)
    group = torch.arange(5000) % 3
    weight = torch.arange(5000).double() % 5 if weighted else None
    histogram = StreamingHistogram(6, n_groups=n_groups)
    exact = ExactHistogram(values.amax(0), n_groups=n_groups)
    for rows in torch.arange(5000).split(size):
        for one in (histogram, exact):
            one.add(values[rows], group[rows], None if weight is None else weight[rows])
    found, expected = histogram.counts(), exact.counts()
    torch.testing.assert_close(found.sum(-1), expected.sum(-1))
    torch.testing.assert_close(entropy(found), entropy(expected), atol=0.05, rtol=0)
    # What a fine bin holds at most is all that can move over an edge.
    fine = histogram._fine[..., 1:].amax(-1, keepdim=True)
    assert ((found.cumsum(-1) - expected.cumsum(-1)).abs() <= fine + 1e-6).all()


@pytest.mark.parametrize("sizes", [(1e-12, 1e12), (1e12, 1e-12), (1e-3, 1.0), (1.0, 1.0)], ids=str)
def test_streaming_follows_a_maximum_that_grows(sizes):
    values = torch.cat([size * torch.linspace(0.01, 1, 100) for size in sizes])[:, None]
    histogram, exact = StreamingHistogram(1), ExactHistogram(values.amax(0))
    for part in values.split(7):
        histogram.add(part)
    exact.add(values)
    difference = (histogram.counts() - exact.counts()).abs()
    assert difference.max() <= 2 * (2 if sizes[0] == 1.0 else 1)
    assert histogram.counts().sum() == pytest.approx(200)


def test_neurons_that_are_nearly_dead_are_dead():
    histogram = StreamingHistogram(3)
    histogram.add(torch.tensor([[1e-38, 0.0, 1e-30], [2e-38, -1.0, 2e-30]]))
    assert histogram.counts().sum(-1).tolist() == [[0.0, 0.0, 2.0]]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_histograms_take_finite_values_only(value):
    with pytest.raises(ValueError, match="NaN or infinite"):
        StreamingHistogram(2).add(torch.tensor([[1.0, value]]))
    with pytest.raises(ValueError, match="NaN or infinite"):
        ExactHistogram(torch.tensor([1.0, value]))


def test_wrong_bins():
    for wrong in (lambda: ExactHistogram(torch.ones(1), 1), lambda: StreamingHistogram(1, 1)):
        with pytest.raises(ValueError, match="n_bins=1 must be at least 2"):
            wrong()
    for resolution in (32, 65):
        with pytest.raises(ValueError, match=f"resolution={resolution} must be a power of two"):
            StreamingHistogram(1, resolution=resolution)
    with pytest.raises(ValueError, match="edge='lower'"):
        ExactHistogram(torch.ones(1), edge="lower")


# --- of a network -------------------------------------------------------------------------------


@pytest.mark.parametrize("edge", ["upper", "authors"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_entropy_of_a_network_by_loops(edge, activation):
    neurons = mlp_neurons(activation)
    x, y = labelled()
    batches = [(x[:50], y[:50]), (x[50:], y[50:], None)]
    found = activation_entropy(neurons, batches, edge=edge, n_classes=3)
    values = torch.cat([torch.cat(part.values, 1) for part in neurons.read(x)])
    expected, by_class = [], np.zeros((3, 12))
    for j, column in enumerate(values.T.tolist()):
        expected.append(naive_entropy(naive_counts(column, [1] * 80, edge=edge)))
        for c in range(3):
            by_class[c, j] = naive_entropy(naive_counts(column, (y == c).tolist(), edge=edge))
    assert found.neurons.tolist() == pytest.approx(expected)
    np.testing.assert_allclose(found.classes, by_class, atol=1e-12)
    assert found.network() == pytest.approx(sum(expected))
    assert found.network("mean") == pytest.approx(sum(expected) / 12)
    assert found.by_layer() == pytest.approx(
        {"hidden0": sum(expected[:7]), "hidden1": sum(expected[7:])}
    )
    assert found.by_layer("mean")["hidden1"] == pytest.approx(sum(expected[7:]) / 5)
    assert found.by_class().tolist() == pytest.approx(by_class.sum(1))
    assert found.by_class("mean").tolist() == pytest.approx(by_class.mean(1))
    if edge == "upper":  # all mixed are no less spread than the classes on average
        fires = torch.stack([(values[y == c] > 0).double().sum(0) for c in range(3)])
        share = fires / fires.sum(0).clamp(min=1)
        assert ((share * found.classes).sum(0) <= found.neurons + 1e-9).all()


@pytest.mark.parametrize("name", ["cnn-2d", "residual", "dense"])
def test_batches_weights_and_modes_make_no_difference(named_case, name):
    case = named_case(name)
    network = case.network().train()
    neurons = HiddenNeurons(read(network, case.shape))
    x, times = case.samples(30), torch.arange(30) % 3
    whole = activation_entropy(neurons, [(x.repeat_interleave(times, 0), None)])
    parts = zip(x.split(7), [None] * 5, times.double().split(7), strict=True)
    found = activation_entropy(neurons, list(parts))
    torch.testing.assert_close(found.neurons, whole.neurons)
    assert all(m.training for m in network.modules())
    assert (whole.neurons > 0).any()


def test_the_maximum_of_a_sample_without_weight_does_not_count():
    neurons = mlp_neurons()
    x, _ = labelled()
    weight = torch.ones(81)
    weight[80] = 0.0
    further = torch.cat([x, 100 * x[:1]])
    for exact in (False, True):
        found = activation_entropy(neurons, [(further, None, weight)], exact=exact)
        expected = activation_entropy(neurons, [(x, None)], exact=exact)
        torch.testing.assert_close(found.neurons, expected.neurons)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_one_pass_over_an_iterator_two_over_a_list(activation):
    neurons = mlp_neurons(activation, torch.float32)
    x, _ = labelled(4000, torch.float32)
    batches = [(part, None) for part in x.split(300)]
    found = activation_entropy(neurons, iter(batches), exact=False)
    expected = activation_entropy(neurons, batches)
    torch.testing.assert_close(found.neurons, expected.neurons, atol=0.05, rtol=0)
    assert found.classes is None
    with pytest.raises(ValueError, match="4000 samples in the first pass and 0"):
        activation_entropy(neurons, iter(batches))
    for exact in (True, False):
        for empty in ([], [(x[:0], None)]):
            with pytest.raises(ValueError, match="batches h.ld"):
                activation_entropy(neurons, empty, exact=exact)
    with pytest.raises(ValueError, match="edge='authors' needs exact=True"):
        activation_entropy(neurons, batches, edge="authors", exact=False)
    with pytest.raises(ValueError, match="target must be class labels"):
        activation_entropy(neurons, batches, n_classes=2)
    with pytest.raises(ValueError, match="by_class"):
        found.by_class()
    with pytest.raises(ValueError, match="reduction='max'"):
        found.network("max")


# --- soft ---------------------------------------------------------------------------------------


def test_soft_entropy_by_loops():
    values, n_bins, bandwidth = activations(20), 5, 0.7
    weight = torch.arange(20).double() % 4
    for weights in (None, weight):
        found = soft_entropy(values, n_bins, bandwidth, weights)
        for j, column in enumerate(values.T.tolist()):
            own = [1.0] * 20 if weights is None else weights.tolist()
            rows = [(v, w) for v, w in zip(column, own, strict=True) if v > 0 and w > 0]
            counts = [0.0] * n_bins
            for value, w in rows:
                place = value / max(v for v, _ in rows) * n_bins
                kernel = [
                    math.exp(-0.5 * ((place - r - 0.5) / bandwidth) ** 2) for r in range(n_bins)
                ]
                for r in range(n_bins):
                    counts[r] += w * kernel[r] / sum(kernel)
            assert found[j].item() == pytest.approx(naive_entropy(counts), abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_narrow_kernel_gives_the_hard_entropy(dtype):
    values = activations(dtype=dtype)[:, [0, 2, 3, 4, 5]]
    histogram = ExactHistogram(values.amax(0))
    histogram.add(values)
    expected = entropy(histogram.counts()[0])
    errors = [
        (soft_entropy(values, bandwidth=b).double() - expected).abs().max() for b in (1, 0.1, 1e-3)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-4


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
def test_gradient_of_the_soft_entropy(weighted):
    values = activations(12, 5)[:, [0, 2, 3, 4]].requires_grad_()
    weight = torch.linspace(0, 2, 12, dtype=torch.float64) if weighted else None
    scale = 10.0 ** torch.arange(4)
    assert torch.autograd.gradcheck(
        lambda v: soft_entropy(v / scale, weight=weight), values, eps=1e-7, atol=1e-5
    )


def test_scale_dead_neurons_and_one_value_alone():
    values = activations(30).float().requires_grad_()
    found = soft_entropy(values)
    torch.testing.assert_close(soft_entropy(100 * values), found)
    found.sum().backward()
    assert torch.isfinite(values.grad).all()
    assert found[0] == 0
    assert not values.grad[:, 0].any()
    # Scaling a neuron changes nothing, so the gradient is at a right angle to it.
    along = (values * values.grad).sum(0) / (values.norm(dim=0) * values.grad.norm(dim=0))[1:].max()
    assert (along.abs() < 1e-4).all()
    assert soft_entropy(torch.zeros(4, 2, 3)).tolist() == [0.0] * 6
    for narrow in (1e-3, 0.01):
        thin = values.detach().clone().requires_grad_()
        soft_entropy(thin, bandwidth=narrow).sum().backward()
        assert torch.isfinite(thin.grad).all()
    with pytest.raises(ValueError, match="bandwidth=0 must be positive"):
        soft_entropy(values, bandwidth=0)


def test_a_step_along_the_gradient_lowers_the_hard_entropy():
    neurons = mlp_neurons()
    network, node = neurons.graph.module, neurons.nodes["hidden0"]
    x, _ = labelled(200)
    before = activation_entropy(neurons, [(x, None)]).by_layer()["hidden0"]
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(20):
        optimizer.zero_grad()
        soft_entropy(neurons.graph.run(x, [node])[node]).mean().backward()
        optimizer.step()
    assert activation_entropy(neurons, [(x, None)]).by_layer()["hidden0"] < before - 0.5
