"""Activation statistics against loops written from the definitions, and batches of any size."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sknninterp.nn import chunks
from sknninterp.nn.activation_entropy import activation_entropy
from sknninterp.nn.activations import (
    ActivationStatistics,
    activation_evidence,
    activation_statistics,
    check_thresholds,
    class_selectivity,
    network_evidence,
    propose,
)
from sknninterp.nn.graph import read
from sknninterp.nn.hidden_neurons import HiddenNeurons
from sknninterp.nn.mlp import MLP


def naive(values, labels, weights, threshold, n_classes):
    """P, mean magnitudes and selectivity of columns of activations, by loops."""
    n_neurons = len(values[0])
    shares, means = np.zeros((2, n_classes, n_neurons))
    selectivity = np.zeros(n_neurons)
    for j in range(n_neurons):
        for c in range(n_classes):
            rows = [(v[j], w) for v, y, w in zip(values, labels, weights, strict=True) if y == c]
            total = sum(w for _, w in rows)
            shares[c, j] = sum(w for a, w in rows if a > threshold) / total
            means[c, j] = sum(w * abs(a) for a, w in rows) / total
        highest = max(means[:, j])
        others = sorted(means[:, j])[:-1]
        rest = sum(others) / len(others)
        selectivity[j] = (highest - rest) / (highest + rest) if highest > 0 else 0.0
    return shares, means, selectivity


def samples(case, n=17, n_classes=3):
    x = case.samples(n)
    return x, torch.arange(n) % n_classes, torch.arange(n).double() % 4 / 3 + 0.2


def in_batches(tensors, sizes):
    return list(zip(*(t.split(sizes) for t in tensors), strict=True))


def columns(neurons, x):
    return torch.cat([torch.cat(part.values, 1) for part in neurons.read(x)])


@pytest.mark.parametrize("name", ["mlp", "cnn-2d", "residual", "resnet", "dense", "reused"])
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("threshold", [0.0, 0.2])
def test_statistics_by_loops(named_case, name, weighted, threshold):
    case = named_case(name)
    neurons = HiddenNeurons(read(case.network(), case.shape))
    x, y, weight = samples(case)
    batches = [(x, y, weight if weighted else None)]
    found = activation_statistics(neurons, batches, 3, threshold)
    weights = weight.tolist() if weighted else [1] * len(x)
    expected = naive(columns(neurons, x).tolist(), y.tolist(), weights, threshold, 3)
    assert found.probabilities.shape == (3, neurons.n_neurons)
    np.testing.assert_allclose(found.probabilities, expected[0])
    np.testing.assert_allclose(found.class_means, expected[1], atol=1e-15)
    np.testing.assert_allclose(found.selectivity, expected[2], atol=1e-12)
    assert 0 < found.probabilities.mean() < 1


def test_signed_activations_go_by_their_magnitude(named_case):
    case = named_case("smooth")
    neurons = HiddenNeurons(read(case.network(), case.shape))
    x, y, _ = samples(case)
    found = activation_statistics(neurons, [(x, y)], 3, {"0": 0.5})
    values = columns(neurons, x)
    assert (values < 0).any()
    for name, place in neurons.columns.items():
        expected = naive(values[:, place].tolist(), y, [1] * 17, 0.5 if name == "0" else 0.0, 3)
        np.testing.assert_allclose(found.probabilities[:, place], expected[0])
        np.testing.assert_allclose(found.selectivity[place], expected[2])
    assert ((found.selectivity >= 0) & (found.selectivity <= 1)).all()


def test_float32_counts_are_exact():
    network = MLP(4, 3, (8, 6))
    neurons = HiddenNeurons(read(network, (4,)))
    x, y = torch.randn(3000, 4), torch.arange(3000) % 3
    found = activation_statistics(neurons, [(x, y)])
    values = columns(neurons, x)
    for c in range(3):
        assert torch.equal(found.probabilities[c], (values[y == c] > 0).double().mean(0))
    weight = torch.rand(3000, dtype=torch.float64)
    found = activation_statistics(neurons, [(x, y, weight)])
    for c in range(3):
        expected = weight[y == c] @ (values[y == c] > 0).double() / weight[y == c].sum()
        torch.testing.assert_close(found.probabilities[c], expected, rtol=1e-12, atol=0)


@st.composite
def networks(draw):
    """A network of random shape, its samples, and sizes to split them into."""
    kind = draw(st.sampled_from(["dense", "conv", "residual"]))
    width, n = draw(st.integers(1, 6)), draw(st.integers(6, 30))
    torch.manual_seed(draw(st.integers(0, 1000)))
    if kind == "dense":
        network, shape = MLP(3, 3, (width, 4), batch_norm=draw(st.booleans())), (3,)
    elif kind == "conv":
        conv = nn.Conv2d(2, width, 3, padding=draw(st.integers(0, 1)))
        network, shape = nn.Sequential(conv, nn.ReLU(), nn.AdaptiveMaxPool2d(1)), (2, 4, 4)
        network = nn.Sequential(*network, nn.Flatten(), nn.Linear(width, 3))
    else:
        network, shape = Block(width), (3,)
    sizes = draw(st.lists(st.integers(1, n), min_size=1, max_size=5))
    while sum(sizes) > n:
        sizes.pop()
    return network.double(), torch.randn(n, *shape).double(), [*sizes, n - sum(sizes)]


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.a, self.b, self.head = (
            nn.Linear(3, width),
            nn.Linear(width, width),
            nn.Linear(width, 3),
        )

    def forward(self, x):
        x = torch.relu(self.a(x))
        return self.head(torch.relu(x + self.b(x)))


@settings(max_examples=25)
@given(networks(), st.sampled_from([1, 500, 2**20]))
def test_batches_and_chunks_make_no_difference(drawn, n_bytes):
    network, x, sizes = drawn
    network.train()
    neurons = HiddenNeurons(read(network, x.shape[1:]))
    y = torch.arange(len(x)) % 3
    whole = activation_statistics(neurons, [(x, y)], entropy="classes")
    default, chunks.CHUNK_BYTES = chunks.CHUNK_BYTES, n_bytes
    try:
        parts = activation_statistics(neurons, in_batches((x, y), sizes), entropy="classes")
    finally:
        chunks.CHUNK_BYTES = default
    assert torch.equal(parts.class_weights, whole.class_weights)
    assert torch.equal(parts.probabilities, whole.probabilities)
    torch.testing.assert_close(parts.selectivity, whole.selectivity)
    torch.testing.assert_close(parts.entropy.neurons, whole.entropy.neurons)
    torch.testing.assert_close(parts.entropy.classes, whole.entropy.classes)
    assert all(m.training for m in network.modules())


@pytest.mark.parametrize("name", ["mlp", "cnn-1d"])
def test_weights_count_as_repeated_samples(named_case, name):
    case = named_case(name)
    neurons = HiddenNeurons(read(case.network(), case.shape))
    x, y, _ = samples(case)
    times = torch.arange(17) % 4  # some not at all
    weighted = activation_statistics(
        neurons, in_batches((x, y, times.double()), (9, 8)), 3, entropy=True
    )
    again = [(x.repeat_interleave(times, 0), y.repeat_interleave(times))]
    repeated = activation_statistics(neurons, again, 3, entropy=True)
    torch.testing.assert_close(weighted.probabilities, repeated.probabilities)
    torch.testing.assert_close(weighted.selectivity, repeated.selectivity)
    torch.testing.assert_close(weighted.entropy.neurons, repeated.entropy.neurons)


def test_entropy_beside_the_other_statistics_is_that_of_one_pass(named_case):
    case = named_case("mlp")
    neurons = HiddenNeurons(read(case.network(), case.shape))
    x, y, _ = samples(case, 40)
    expected = activation_entropy(neurons, [(x, y)], n_classes=3, exact=False)
    found = activation_statistics(neurons, [(x, y)], 3, entropy="classes").entropy
    assert torch.equal(found.classes, expected.classes)
    assert torch.equal(found.neurons, expected.neurons)
    assert activation_statistics(neurons, [(x, y)], 3, entropy=True).entropy.classes is None
    with pytest.raises(AttributeError, match="entropy=True"):
        activation_statistics(neurons, [(x, y)], 3).entropy  # noqa: B018
    with pytest.raises(ValueError, match="entropy='all'"):
        ActivationStatistics(neurons, 3, entropy="all")


def test_the_number_of_classes_is_that_of_the_outputs():
    x, y = torch.randn(8, 3), torch.arange(8) % 2
    for n_outputs, n_classes in ((1, 2), (2, 2)):
        found = activation_statistics(HiddenNeurons(read(MLP(3, n_outputs), (3,))), [(x, y)])
        assert found.probabilities.shape == (n_classes, 100)


def test_a_class_without_samples():
    neurons = HiddenNeurons(read(MLP(3, 4, (5,)), (3,)))
    x = torch.randn(8, 3)
    found = activation_statistics(neurons, [(x, torch.arange(8) % 2)])
    with pytest.raises(ValueError, match=r"no samples of the classes \[2, 3\], of 4"):
        found.probabilities  # noqa: B018
    both = activation_statistics(neurons, [(x, torch.arange(8) % 2)], n_classes=2)
    assert torch.equal(found.selectivity, both.selectivity)
    with pytest.raises(ValueError, match="no samples"):
        activation_statistics(neurons, [])
    with pytest.raises(ValueError, match="no samples"):
        activation_statistics(neurons, [(x[:0], torch.zeros(0).long())])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_activations_that_are_not_finite(value):
    network = MLP(3, 2, (4, 5)).train()
    neurons = HiddenNeurons(read(network, (3,)))
    x = torch.randn(6, 3)
    x[3, 1] = value
    with pytest.raises(ValueError, match="Layer 'hidden0' has activations that are NaN or inf"):
        activation_statistics(neurons, [(x, torch.arange(6) % 2)])
    assert all(m.training for m in network.modules())


# --- thresholds ---------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [nn.Sigmoid(), nn.Softplus()], ids=["sigmoid", "softplus"])
def test_always_positive_activations_need_a_threshold(module):
    graph = read(nn.Sequential(nn.Linear(3, 4), module, nn.Linear(4, 2)), (3,))
    neurons = HiddenNeurons(graph)
    for wrong in (0.0, -1.0, {"0": 0.0}, {}):
        with pytest.raises(ValueError, match=r"threshold=.* of layer '0'.*always above"):
            ActivationStatistics(neurons, 2, wrong)
    assert check_thresholds(neurons.nodes, 0.5) == {"0": 0.5}


@pytest.mark.parametrize("kind", ["tanh", "leaky_relu", "elu", "gelu", "silu", "relu"])
def test_zero_is_the_threshold_of_all_others(kind):
    nodes = HiddenNeurons(read(MLP(3, 2, (4,), activation=kind), (3,))).nodes
    assert check_thresholds(nodes) == {"hidden0": 0.0}
    if kind == "relu":
        with pytest.raises(ValueError, match="always above"):
            check_thresholds(nodes, -0.1)
    else:
        assert check_thresholds(nodes, -0.1) == {"hidden0": -0.1}


@pytest.mark.parametrize("wrong", [math.nan, math.inf, "0", True, {"hidden0": None}, {"x": 0.0}])
def test_wrong_thresholds(wrong):
    nodes = HiddenNeurons(read(MLP(3, 2, (4,)), (3,))).nodes
    with pytest.raises(ValueError, match="threshold"):
        check_thresholds(nodes, wrong)


# --- evidence and proposal ----------------------------------------------------------------------


@pytest.mark.parametrize("n_bytes", [1, 2**20])
def test_evidence_and_proposal_by_loops(named_case, monkeypatch, n_bytes):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", n_bytes)
    case = named_case("cnn-2d")  # ends in a softmax
    neurons = HiddenNeurons(read(case.network(), case.shape))
    x, y, _ = samples(case)
    found = activation_statistics(neurons, [(x, y)], threshold=0.1)
    evidence, predicted = network_evidence(neurons, x, found.probabilities, 0.1)
    proposed, values = propose(evidence, predicted), columns(neurons, x)
    torch.testing.assert_close(
        activation_evidence(values, found.probabilities, 0.1), evidence, rtol=1e-12, atol=0
    )
    for i in range(len(x)):
        sums = [0.0] * 3
        for c in range(3):
            for j in range(neurons.n_neurons):
                if values[i, j] > 0.1:
                    sums[c] += found.probabilities[c, j].item()
        product = [s * p for s, p in zip(sums, predicted[i].tolist(), strict=True)]
        np.testing.assert_allclose(evidence[i], sums)
        np.testing.assert_allclose(proposed[i], [p / sum(product) for p in product])


@given(st.data())
def test_proposals_are_probabilities(data):
    shape = (data.draw(st.integers(1, 5)), data.draw(st.integers(2, 4)))
    size = st.sampled_from([0.0, 1e-45, 1e-30, 1e-3, 1.0, 1e5])
    many = st.lists(size, min_size=math.prod(shape), max_size=math.prod(shape))
    evidence = torch.tensor(data.draw(many)).reshape(shape)
    predicted = torch.tensor(data.draw(many)).reshape(shape) + 1e-38
    predicted = predicted / predicted.sum(1, keepdim=True)
    found = propose(evidence, predicted)
    torch.testing.assert_close(found.sum(1), torch.ones(len(found)))
    assert (found >= 0).all()
    silent = ~evidence.any(1)
    assert torch.equal(found[silent], predicted[silent])


def test_without_a_firing_neuron_the_prediction_stays():
    probabilities = torch.tensor([[0.5, 1.0], [0.25, 0.0]])
    values = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    predicted = torch.tensor([[0.3, 0.7], [0.5, 0.5], [0.0, 1.0]])
    found = propose(activation_evidence(values, probabilities), predicted)
    torch.testing.assert_close(found, torch.tensor([[0.3, 0.7], [2 / 3, 1 / 3], [0.0, 1.0]]))


def test_small_products_are_not_lost():
    found = propose(torch.tensor([[1e-30, 0.0]]), torch.tensor([[1e-30, 1.0]]))
    assert found.tolist() == [[1.0, 0.0]]


def test_wrong_predictions_and_probabilities():
    with pytest.raises(ValueError, match="not logits"):
        propose(torch.ones(1, 2), torch.tensor([[-1.0, 2.0]]))
    with pytest.raises(ValueError, match="evidence has the shape"):
        propose(torch.ones(1, 3), torch.ones(1, 2))
    neurons = HiddenNeurons(read(MLP(3, 2, (4,)), (3,)))
    with pytest.raises(ValueError, match="probabilities has the shape.*4 neurons"):
        network_evidence(neurons, torch.zeros(1, 3), torch.ones(2, 5))
    assert network_evidence(neurons, torch.zeros(0, 3), torch.ones(2, 4))[0].shape == (0, 2)


def test_selectivity_of_extreme_neurons():
    means = torch.tensor([[1.0, 2.0, 0.0, 5.0], [1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(class_selectivity(means), torch.tensor([0.0, 1.0, 0.0, 4.5 / 5.5]))
