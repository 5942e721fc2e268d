"""Layers by name, nodes by index."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from sknninterp.explainers._layers import (
    find_node,
    layer_nodes,
    mean_rows,
    node_groups,
    unknown_layer,
)
from sknninterp.nn.graph import read
from sknninterp.nn.mlp import MLP


def convolutional():
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3)
    )


def test_layers_run_from_the_input_to_the_logits():
    graph = read(nn.Sequential(MLP(4, 3, (5, 6)), nn.Softmax(1)), (4,))
    nodes = layer_nodes(graph)
    assert list(nodes) == ["input", "0.hidden0", "0.hidden1", "output"]
    assert nodes["input"] is graph.input
    assert nodes["output"] is graph.logits
    assert nodes["output"] is not graph.output
    assert nodes["0.hidden1"] is graph.layers[1].post


def test_the_last_layer_goes_by_its_own_name_too():
    graph = read(convolutional(), (1, 6, 6))
    assert list(layer_nodes(graph)) == ["input", "0", "output"]
    assert find_node(graph, "4", "source") is graph.logits
    with pytest.raises(ValueError, match=r"source='1' is no layer.*\['input', '0', 'output'\]"):
        find_node(graph, "1", "source")


def test_the_last_layer_of_a_network_with_a_sigmoid():
    graph = read(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1), nn.Sigmoid()), (4,))
    assert list(layer_nodes(graph)) == ["input", "0", "output"]


def test_an_unknown_layer_is_told_with_the_known_ones():
    assert (
        str(unknown_layer("layer", "x", ["a"]))
        == "layer='x' is no layer of this network; it has ['a']."
    )


@pytest.mark.parametrize(
    ("index", "by_channel", "expected"),
    [
        ((), False, np.arange(12).reshape(3, 2, 2, 1)),
        ((1,), False, [[[4], [5]], [[6], [7]]]),
        ((-1, 1, 0), False, [10]),
        ((), True, np.arange(12).reshape(3, 4)),
        ((2,), True, [8, 9, 10, 11]),
        ((2, 1), True, [10, 11]),
        ((2, 1, 1), True, [11]),
    ],
    ids=["all", "channel", "position", "channels", "one channel", "row", "node"],
)  # fmt: skip
def test_groups_of_nodes(index, by_channel, expected):
    found = node_groups((3, 2, 2), index, by_channel)
    np.testing.assert_array_equal(found, expected)
    assert found.shape == np.shape(expected)


def test_groups_of_neurons_and_of_a_single_value():
    for by_channel in (False, True):
        assert node_groups((3,), (), by_channel).tolist() == [[0], [1], [2]]
        assert node_groups((3,), (1,), by_channel).tolist() == [1]
        assert node_groups((), (), by_channel).tolist() == [0]


@pytest.mark.parametrize(
    "index", [(3,), (0, 2), (0, 0, 0, 0), ("x",), (1.5,), (slice(2),), (None,)]
)
def test_no_such_node(index):
    with pytest.raises(ValueError, match=r"is no node: layer 'conv' has the shape \(3, 2, 2\)"):
        node_groups((3, 2, 2), index, False, "conv")


def test_rows_take_the_mean_of_their_group():
    rows = mean_rows(np.array([[0, 3], [1, 2]]), (2, 2))
    assert rows.tolist() == [[[0.5, 0], [0, 0.5]], [[0, 0.5], [0.5, 0]]]
