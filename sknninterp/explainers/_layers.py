"""Layers of a network by the names that its user gives them, and nodes in them."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sknninterp.nn.graph import Graph
from sknninterp.nn.nodes import Activation, Node


def layer_nodes(graph: Graph) -> dict[str, Node]:
    """Node of each layer's values: "input", the hidden layers in order, "output" (the logits)."""
    ends = {graph.input, graph.logits}
    last = graph.logits
    while isinstance(last, Activation):  # of a sigmoid, its input is the logit
        (last,) = last.inputs
        ends.add(last)
    hidden = {layer.name: layer.post for layer in graph.layers if layer.post not in ends}
    return {"input": graph.input, **hidden, "output": graph.logits}


def find_node(graph: Graph, name: str, parameter: str) -> Node:
    """Node of the layer of this name.

    Raises
    ------
    ValueError
        If there is none; the message names the parameter and lists the layers.
    """
    nodes = layer_nodes(graph)
    # The last weighted layer goes by its own name too.
    own = {layer.name: graph.logits for layer in graph.layers[-1:]}
    found = {**own, **nodes}.get(name)
    if found is None:
        raise unknown_layer(parameter, name, list(nodes))
    return found


def unknown_layer(parameter: str, name: Any, known: Sequence[str]) -> ValueError:
    return ValueError(f"{parameter}={name!r} is no layer of this network; it has {list(known)}.")


def node_groups(
    shape: tuple[int, ...], index: tuple, by_channel: bool, name: str = ""
) -> np.ndarray:
    """Flat positions of the nodes that an index picks, (*kept_shape, group_size).

    A group is one node, or with `by_channel` all positions of a channel.

    Raises
    ------
    ValueError
        If there is no such node.
    """
    try:
        index = tuple(operator.index(i) for i in index)
        nodes = np.arange(math.prod(shape)).reshape(shape)[index]
    except (TypeError, IndexError):
        raise ValueError(
            f"{(name, *index)} is no node: layer {name!r} has the shape {tuple(shape)}."
        ) from None
    if not by_channel:
        return np.asarray(nodes)[..., None]
    return np.reshape(nodes, (*shape[:1], -1) if shape and not index else (-1,))


def mean_rows(groups: np.ndarray, shape: tuple[int, ...]) -> Tensor:
    """Rows that take the mean of each group of nodes, (n_groups, *shape)."""
    rows = torch.zeros(len(groups), math.prod(shape))
    rows.scatter_(1, torch.from_numpy(groups), 1 / groups.shape[1])
    return rows.view(len(groups), *shape)
