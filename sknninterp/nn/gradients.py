"""Gradients of the logits with respect to any layer, and their integral along a path.

A gradient is what the logits' rows become on the way back: a linear layer takes them through its
transpose, an activation multiplies them by its slope, max pooling puts them where the maxima were.
The slopes and places are the same for all outputs, so that one way forward serves them all, and the
rows of all outputs and samples go through each layer at once.

References
----------
.. [1] Simonyan, Vedaldi & Zisserman (2013), *Deep inside convolutional networks*, arXiv:1312.6034.
.. [2] Sundararajan, Taly & Yan (2017), *Axiomatic attribution for deep networks*, ICML, eq. 1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sknninterp.nn.chunks import chunk_sizes, most_rows, slices
from sknninterp.nn.graph import Graph, pull_back
from sknninterp.nn.nodes import Activation, MaxPool, Node, Reshape, Route

QUADRATURES = ("gausslegendre", "riemann_middle")


def logits_of(graph: Graph) -> Node:
    """The node that gradients start from: the output before a closing softmax or sigmoid.

    `graph.logits` keeps a sigmoid, whose slope vanishes where the network is sure of its answer.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    Node
        It may have another shape than the output, never another number of values.
    """
    node = graph.logits
    while type(node) in (Route, Reshape):  # such as the squeeze after a sigmoid
        (node,) = node.inputs
    closes = isinstance(node, Activation) and node.kind == "sigmoid"
    return node.inputs[0] if closes else graph.logits


def run_logits(graph: Graph, x: Tensor) -> Tensor:
    """Logits of samples, (n_samples, n_outputs).

    Parameters
    ----------
    graph : Graph
    x : Tensor of shape (n_samples, ...)
    """
    node = logits_of(graph)
    return graph.run(x, [node])[node].reshape(len(x), -1)


def gradients(
    graph: Graph, x: Tensor, rows: Tensor | None = None, source: Node | None = None
) -> Tensor:
    """Gradients of weighted sums of the logits, all with one way forward [1].

    Logits are taken before a closing softmax or sigmoid. At a kink, and among equal maxima of a
    pool, the gradient is the one that torch takes.

    Parameters
    ----------
    graph : Graph
    x : Tensor of shape (n_samples, *input_shape)
        Of the network's dtype and on its device.
    rows : Tensor, default=None
        Weights of the logits in each sum, (n_rows, *output_shape) or (n_rows, n_samples,
        *output_shape); None is each logit by itself.
    source : Node, default=None
        What the gradients are with respect to, such as the `post` of a layer; None is the input.

    Returns
    -------
    Tensor of shape (n_rows, n_samples, *source.shape)

    Raises
    ------
    ValueError
        If `x` or `rows` have other shapes, or `source` does not come before the logits.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sknninterp.nn.gradients import gradients
    >>> from sknninterp.nn.graph import read
    >>> network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> with torch.no_grad():
    ...     _ = network[0].weight.copy_(torch.eye(2)), network[0].bias.zero_()
    ...     _ = network[2].weight.copy_(torch.tensor([[3., 5.]]))
    >>> gradients(read(network, (2,)), torch.tensor([[1., -1.], [1., 2.]]))
    tensor([[[3., 0.],
             [3., 5.]]])
    """
    start = logits_of(graph)
    source = graph.input if source is None else source
    nodes, path = graph.between(graph.input, start), graph.between(source, start)
    if not path:
        raise ValueError(f"source {source.name!r} does not come before the logits.")
    rows = _checked_rows(graph, x, rows)
    n_rows, n_samples = chunk_sizes(len(rows), most_rows(nodes, x))
    found = x.new_empty((len(rows), len(x), *source.shape))
    with torch.no_grad():
        for samples in slices(len(x), n_samples):
            slopes = _Slopes(nodes, x[samples])
            for part in slices(len(rows), n_rows):
                found[part, samples] = slopes.take_back(path, _of_samples(rows[part], samples))
    return found


def integrated_gradients(
    graph: Graph,
    x: Tensor,
    baseline: Tensor,
    rows: Tensor | None = None,
    n_steps: int = 50,
    method: str = "gausslegendre",
) -> Tensor:
    r"""Integrated gradients: the mean gradient on the way from a baseline, times the distance.

    (x - x') \int_0^1 df(x' + a (x - x')) / dx da, eq. 1 of [2]. The sum over the input is
    f(x) - f(x'), but for the error of the quadrature; a linear network has none. The layers before
    the first activation are linear: they are passed twice on the way forward and once on the way
    back, whatever the number of steps.

    Parameters
    ----------
    graph : Graph
    x : Tensor of shape (n_samples, *input_shape)
        Of the network's dtype and on its device.
    baseline : Tensor of shape (*input_shape) or (n_samples, *input_shape)
    rows : Tensor, default=None
        Weights of the logits, as for :func:`gradients`.
    n_steps : int, default=50
        Points at which the gradient is taken.
    method : {"gausslegendre", "riemann_middle"}, default="gausslegendre"
        How the points are laid and weighted: Gauss-Legendre quadrature, or the middles of equal
        intervals.

    Returns
    -------
    Tensor of shape (n_rows, n_samples, *input_shape)

    Raises
    ------
    ValueError
        If `x`, `baseline` or `rows` have other shapes, or there is no such `method` or no step.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sknninterp.nn.gradients import integrated_gradients
    >>> from sknninterp.nn.graph import read
    >>> network = nn.Sequential(nn.Linear(2, 1), nn.Softplus())
    >>> with torch.no_grad():
    ...     _ = network[0].weight.copy_(torch.tensor([[3., 1.]])), network[0].bias.zero_()
    >>> x, zero = torch.tensor([[1., 2.]]), torch.zeros(2)
    >>> values = integrated_gradients(read(network, (2,)), x, zero)
    >>> torch.allclose(values.sum(), network(x) - network(zero))
    True
    """
    places, weights = quadrature(n_steps, method)
    start = logits_of(graph)
    nodes = graph.between(graph.input, start)
    stem = _stem(nodes)
    linear, rest = graph.between(graph.input, stem), graph.between(stem, start)
    rows, baseline = _checked_rows(graph, x, rows), _checked_baseline(graph, x, baseline)
    n_rows, n_samples = chunk_sizes(len(rows), most_rows(nodes, x))
    found = x.new_empty((len(rows), *x.shape))
    with torch.no_grad():
        for samples in slices(len(x), n_samples):
            stop = _Slopes(linear, x[samples])
            begin = _Slopes(linear, _of_samples(baseline, samples, axis=0))
            way = begin.value, stop.value - begin.value
            for part in slices(len(rows), n_rows):
                here = _of_samples(rows[part], samples)
                mean = _mean_gradient(rest, *way, here, places, weights)
                found[part, samples] = stop.take_back(linear, mean)
        return found.mul_(x - baseline)


def quadrature(n_steps: int, method: str = "gausslegendre") -> tuple[np.ndarray, np.ndarray]:
    """Points between 0 and 1, and their weights, which sum to 1.

    Parameters
    ----------
    n_steps : int
        Number of points, at least 1.
    method : {"gausslegendre", "riemann_middle"}, default="gausslegendre"

    Returns
    -------
    points, weights : ndarray of shape (n_steps,)

    Raises
    ------
    ValueError
        If there is no such method, or no point.
    """
    if method not in QUADRATURES:
        raise ValueError(f"method={method!r} is not one of {list(QUADRATURES)}.")
    if n_steps < 1:
        raise ValueError(f"n_steps={n_steps!r} must be at least 1.")
    if method == "riemann_middle":
        return (np.arange(n_steps) + 0.5) / n_steps, np.full(n_steps, 1 / n_steps)
    points, weights = np.polynomial.legendre.leggauss(n_steps)
    return (1 + points) / 2, weights / 2


# --- one chunk of samples -----------------------------------------------------------------------


class _Slopes:
    """What takes rows back around some samples: the slopes of all that is not linear.

    Parameters
    ----------
    nodes : sequence of Node
        What computes the last from the first, in the order of computation.
    value : Tensor of shape (n_samples, *nodes[0].shape)

    Attributes
    ----------
    value : Tensor of shape (n_samples, *nodes[-1].shape)
    """

    def __init__(self, nodes: Sequence[Node], value: Tensor):
        self.n_samples = len(value)
        self.slopes: dict[Node, Tensor] = {}
        self.places: dict[Node, Tensor] = {}  # of the maxima of each pool
        self.value = self._forward(nodes, value)

    def _forward(self, nodes: Sequence[Node], value: Tensor) -> Tensor:
        pending = Counter(p for node in nodes[1:] for p in node.inputs)
        values = {nodes[0]: value}
        for node in nodes[1:]:
            values[node] = self._step(node, [values[p] for p in node.inputs])
            for p in node.inputs:
                pending[p] -= 1
                if not pending[p]:
                    del values[p]
        return values[nodes[-1]]

    def _step(self, node: Node, sources: list[Tensor]) -> Tensor:
        """Value of a node; what the way back needs of it is kept."""
        if isinstance(node, MaxPool):
            value, self.places[node] = node.forward_with_indices(sources[0])
        elif isinstance(node, Activation):
            value, self.slopes[node] = _value_and_slope(node, sources[0])
        else:
            value = node.forward(*sources)
        return value

    def take_back(self, path: Sequence[Node], rows: Tensor) -> Tensor:
        """Rows (n_rows, n_samples or 1, *output) at the first node of a path to the last."""
        first, last = path[0], path[-1]
        flat = rows.expand(-1, self.n_samples, *rows.shape[2:]).reshape(-1, *last.shape)
        found = pull_back(path, flat, self._back)
        return found.reshape(len(rows), self.n_samples, *first.shape)

    def _back(self, node: Node, rows: Tensor) -> tuple[Tensor, ...]:
        if node in self.slopes:
            return ((rows.unflatten(0, (-1, self.n_samples)) * self.slopes[node]).flatten(0, 1),)
        if isinstance(node, MaxPool) and node in self.places:
            return (node.scatter(rows, self.places[node]),)
        return node.transpose(rows)


def _value_and_slope(node: Activation, value: Tensor) -> tuple[Tensor, Tensor]:
    """Value and derivative of an elementwise function."""
    with torch.enable_grad():
        value = value.detach().requires_grad_()
        result = node.forward(value)
    (slope,) = torch.autograd.grad(result, value, torch.ones_like(result))
    return result.detach(), slope


def _mean_gradient(
    nodes: Sequence[Node],
    begin: Tensor,
    way: Tensor,
    rows: Tensor,
    places: np.ndarray,
    weights: np.ndarray,
) -> Any:
    """Weighted mean of the gradients at places on the way, as many at once as a chunk takes."""
    n_samples, n_steps = len(way), len(places)
    rows = rows.expand(-1, n_samples, *rows.shape[2:])
    at_once = most_rows(nodes, way) // (len(rows) * n_samples)
    total: Tensor | float = 0.0
    for steps in slices(n_steps, at_once):
        place, weight = way.new_tensor(places[steps]), way.new_tensor(weights[steps])
        points = begin + place.reshape(-1, *[1] * way.ndim) * way
        slopes = _Slopes(nodes, points.flatten(0, 1))
        parts = slopes.take_back(nodes, rows.repeat(1, len(place), *[1] * (rows.ndim - 2)))
        parts = parts.unflatten(1, (len(place), n_samples))
        total = total + torch.einsum("rsn...,s->rn...", parts, weight)
    return total


def _stem(nodes: Sequence[Node]) -> Node:
    """The last node that all of the input's ways lead through by linear layers alone."""
    node = nodes[0]
    while node is not nodes[-1]:
        readers = [reader for reader in nodes if node in reader.inputs]
        if len(readers) > 1 or isinstance(readers[0], (Activation, MaxPool)):
            break
        (node,) = readers
    return node


# --- shapes and sizes ---------------------------------------------------------------------------


def _checked_rows(graph: Graph, x: Tensor, rows: Tensor | None) -> Tensor:
    """Rows of shape (n_rows, n_samples or 1, *output_shape)."""
    if tuple(x.shape[1:]) != graph.input.shape:
        raise ValueError(
            f"x has samples of shape {tuple(x.shape[1:])}; the network takes {graph.input.shape}."
        )
    shape = graph.output.shape
    if rows is None:
        n_outputs = math.prod(shape)
        rows = torch.eye(n_outputs).reshape(n_outputs, *shape)
    rows = rows.to(x)
    if tuple(rows.shape[1:]) == shape:
        rows = rows.unsqueeze(1)
    if tuple(rows.shape[1:]) not in ((1, *shape), (len(x), *shape)):
        raise ValueError(
            f"rows has shape {tuple(rows.shape)}; a row takes a weight for each output,"
            f" {shape}, or for each of {len(x)} samples."
        )
    return rows


def _checked_baseline(graph: Graph, x: Tensor, baseline: Tensor) -> Tensor:
    """A baseline of shape (n_samples or 1, *input_shape)."""
    shape = tuple(baseline.shape)
    if shape not in (graph.input.shape, tuple(x.shape)):
        raise ValueError(
            f"baseline has shape {shape}; the network takes samples of shape {graph.input.shape}."
        )
    return baseline.to(x).reshape(-1, *graph.input.shape)


def _of_samples(values: Tensor, samples: slice, axis: int = 1) -> Tensor:
    """Values of some samples, or those that are the same for all."""
    if values.shape[axis] == 1:
        return values
    return values[samples] if axis == 0 else values[:, samples]
