"""Which activations are chosen, what is read from them, and what is left untouched."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from sknninterp.nn import chunks
from sknninterp.nn.graph import read
from sknninterp.nn.hidden_neurons import (
    HiddenNeurons,
    above,
    activation_nodes,
    checked,
    choose_activations,
    membership,
)
from sknninterp.nn.mlp import MLP

NAMES = {
    "mlp-batch-norm-dropout": ["hidden0", "hidden1"],
    "smooth": ["0", "2", "6"],  # the sigmoid at the end is the output
    "cnn-2d": ["0", "4", "9"],
    "depthwise": ["0", "2", "5", "7"],
    "residual": ["stem", "inner", "outer"],
    "resnet": ["0", "2.conv1", "2.conv2", "3.conv1", "3.conv2"],  # the shortcuts share one
    "dense": ["first", "second", "relu_2"],
    "reused": ["stem", "step", "act_2"],
    "functional": ["kernel", "weights.0"],
    "shapes": ["conv", "relu_1", "relu_2"],
    "one-logit": ["hidden"],
}


@pytest.mark.parametrize("name", NAMES)
def test_every_hidden_activation_has_a_name(named_case, name):
    case = named_case(name)
    assert list(activation_nodes(read(case.network(), case.shape))) == NAMES[name]


@pytest.mark.parametrize(
    "end",
    [
        [nn.Softmax(1)],
        [nn.Sigmoid()],
        [nn.ReLU()],
        [nn.Sigmoid(), nn.Unflatten(1, (2, 1)), nn.Identity(), nn.Flatten(1)],
    ],
    ids=["softmax", "sigmoid", "relu", "reshaped"],
)
def test_activations_of_inputs_and_outputs_are_no_hidden_ones(end):
    network = nn.Sequential(nn.ReLU(), nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), *end)
    assert list(activation_nodes(read(network, (3,)))) == ["1"]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("all", ["hidden0", "hidden1", "hidden2"]),
        ("last", ["hidden2"]),
        (2, ["hidden1", "hidden2"]),
        (3, ["hidden0", "hidden1", "hidden2"]),
        ("hidden1", ["hidden1"]),
        (["hidden2", "activation0", "hidden0"], ["hidden2", "hidden0"]),
    ],
    ids=str,
)
def test_layers_are_chosen(layers, expected):
    graph = read(MLP(3, 2, (4, 5, 6)), (3,))
    found = choose_activations(graph, layers)
    assert list(found) == expected
    assert [node.shape for node in found.values()] == [(4 + int(n[-1]),) for n in expected]


@pytest.mark.parametrize(
    "layers",
    ["hidden7", "output", 0, 3, -1, True, 1.5, None, [], ["hidden0", "x"], [0], {"hidden0": 1}],
    ids=str,
)
def test_layers_that_do_not_exist(layers):
    graph = read(MLP(3, 2, (4, 5)), (3,))
    with pytest.raises(ValueError, match=r"layers.*\['hidden0', 'hidden1'\]"):
        choose_activations(graph, layers)


def test_a_network_without_hidden_activations():
    with pytest.raises(ValueError, match="no hidden layer with an activation"):
        choose_activations(read(nn.Sequential(nn.Linear(3, 2), nn.Softmax(1)), (3,)))


def test_the_shortcut_goes_by_the_name_of_what_it_is_added_to(named_case):
    case = named_case("resnet")
    graph = read(case.network(), case.shape)
    assert list(choose_activations(graph, ["2.downsample.0"])) == ["2.conv2"]


# --- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_bytes", [1, 2_000, 2**23])
def test_values_are_those_of_the_module_itself(named_case, monkeypatch, n_bytes):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", n_bytes)
    case = named_case("cnn-2d")
    network, x = case.network().train(), case.samples(9)
    neurons = HiddenNeurons(read(network, case.shape))
    other, seen = copy.deepcopy(network).eval(), {}
    for place in ("3", "6", "11"):
        other.get_submodule(place).register_forward_hook(
            lambda _, __, out, place=place: seen.update({place: out.detach().clone()})
        )
    expected = other(x)
    assert neurons.n_neurons == sum(math.prod(v.shape[1:]) for v in seen.values())
    parts = list(neurons.read(x))
    assert all(len(p.output) * neurons.n_neurons * 8 <= max(n_bytes, 2_000) for p in parts)
    assert [p.samples.start for p in parts] == [0, *(p.samples.stop for p in parts[:-1])]
    torch.testing.assert_close(torch.cat([p.output for p in parts]), expected)
    for i, (place, columns) in enumerate(zip(seen, neurons.columns.values(), strict=True)):
        values = torch.cat([p.values[i] for p in parts])
        torch.testing.assert_close(values, seen[place].flatten(1))
        assert values.shape[1] == columns.stop - columns.start
    assert not parts[0].values[0].requires_grad


def test_reading_leaves_the_module_as_it_was(case):
    network = case.network()
    network.train()
    next(network.children()).eval()
    neurons = HiddenNeurons(read(network, case.shape))
    modes, state = [m.training for m in network.modules()], copy.deepcopy(network.state_dict())
    part = next(neurons.read(case.samples()))  # left before its end
    assert torch.is_grad_enabled()
    assert [m.training for m in network.modules()] == modes
    assert len(part.values) == len(neurons.nodes)
    wrong = torch.zeros(2, *[n + 1 for n in case.shape], dtype=torch.float64)
    with pytest.raises(RuntimeError):
        list(neurons.read(wrong))
    assert [m.training for m in network.modules()] == modes
    assert torch.is_grad_enabled()
    assert all(torch.equal(v, state[k]) for k, v in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
    assert not any(m._forward_hooks for m in network.modules())


def test_weights_that_training_computes_anew_stay():
    layer = nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4))
    network = nn.Sequential(layer, nn.ReLU(), nn.Linear(4, 2)).train()
    neurons = HiddenNeurons(read(network, (3,)))
    before = copy.deepcopy(network.state_dict())
    list(neurons.read(torch.ones(2, 3)))
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16])
def test_half_precision_is_read_as_single(dtype):
    network = MLP(3, 2, (4,)).to(dtype)
    (part,) = HiddenNeurons(read(network, (3,))).read(torch.ones(2, 3, dtype=dtype))
    assert part.values[0].dtype == torch.float32


# --- batches and counting -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((torch.zeros(3, 2), None), "target must be class labels"),
        ((torch.zeros(3, 2), torch.zeros(3)), "target must be class labels.*float32"),
        ((torch.zeros(3, 2), torch.zeros(3, 1).long()), "target must be class labels"),
        ((torch.zeros(3, 2), torch.zeros(2).long()), "target has 2 labels for 3 samples"),
        ((torch.zeros(3, 2), torch.tensor([0, 1, 2])), "labels from 0 to 2; with n_classes=2"),
        ((torch.zeros(3, 2), torch.tensor([0, -1, 1])), "labels from -1 to 1"),
        ((torch.zeros(1, 2), torch.tensor([0]), torch.tensor([-1.0])), "weight must be finite"),
        ((torch.zeros(1, 2), torch.tensor([0]), torch.tensor([math.nan])), "weight must be finite"),
        ((torch.zeros(1, 2), torch.tensor([0]), torch.ones(2)), "weight has the shape"),
    ],
    ids=range(9),
)
def test_wrong_batches(batch, message):
    with pytest.raises(ValueError, match=message):
        list(checked([batch], torch.device("cpu"), 2))


def test_samples_of_weight_0_are_left_out():
    batch = torch.arange(4), torch.tensor([0, 1, 0, 1]), torch.tensor([0, 2, 0, 1])
    ((inputs, target, weight),) = checked([batch], torch.device("cpu"), 2)
    assert (inputs.tolist(), target.tolist(), weight.tolist()) == ([1, 3], [1, 1], [2.0, 1.0])


@pytest.mark.parametrize("threshold", [0.0, -0.5, 0.1, 3.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_above_is_the_comparison(threshold, dtype):
    values = torch.randn(50, 4, dtype=dtype)
    limit = torch.tensor(threshold, dtype=dtype)
    toward = torch.tensor([math.inf, -math.inf], dtype=dtype)
    values[:2, 0], values[2, 0] = torch.nextafter(limit, toward), limit
    values[3:5, 0] = toward
    assert torch.equal(above(values, threshold), (values > limit).to(dtype))
    assert torch.equal(
        above(values.relu(), threshold, signed=False), (values.relu() > limit).to(dtype)
    )


def test_membership_needs_groups_where_there_are_several():
    values = torch.zeros(3, 2)
    assert membership(values, None, None, 1).tolist() == [[1, 1, 1]]
    found = membership(values, torch.tensor([1, 0, 1]), torch.tensor([2.0, 3.0, 4.0]), 2)
    assert found.tolist() == [[0, 3, 0], [2, 0, 4]]
    with pytest.raises(ValueError, match="2 groups"):
        membership(values, None, None, 2)
