"""Products of weights from the inputs to the outputs: PWP, Olden, Garson and interactions.

References
----------
.. [1] Mohsen et al., *Weight-based Neural Network Interpretability using Activation Tuning and
   Personalized Products*, eq. 2.
.. [2] Olden & Jackson (2002), *Illuminating the "black box"*, Ecological Modelling 154:135.
.. [3] Garson (1991), *Interpreting neural-network connection weights*, AI Expert 6(4):46.
.. [4] Goh (1995), *Back-propagation neural networks for modeling complex systems*, Artificial
   Intelligence in Engineering 9:143.
.. [5] Tsang, Cheng & Liu (2018), *Detecting statistical interactions from neural network weights*.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from sknninterp.nn.graph import Graph, prototype, pull_back
from sknninterp.nn.nodes import (
    Activation,
    Add,
    BatchNorm,
    Concat,
    Input,
    Linear,
    MaxPool,
    Node,
    Reshape,
    Route,
    UnsupportedModuleError,
    Weighted,
)

GARSON_VARIANTS = ("product", "garson1991", "goh1995")


def weight_product(graph: Graph, absolute: bool = False, max_pool: str = "error") -> Tensor:
    r"""Product of all weights, P = W_1 W_2 ... W_N, from each input to each output.

    The signed product is Olden's connection weights [2]; biases play no part, batch norm counts as
    the scale it is, branches of a residual add are summed. It is made from the side of the
    outputs, so that no factor is wider than the number of outputs.

    Parameters
    ----------
    graph : Graph
    absolute : bool, default=False
        Multiply the weights' magnitudes, \|W_1\| \|W_2\| ... \|W_N\|.
    max_pool : {"error", "average"}, default="error"
        Max pooling has no weights: an error, or the weights of average pooling.

    Returns
    -------
    Tensor of shape (n_outputs, *input_shape)

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sknninterp.nn.graph import read
    >>> from sknninterp.nn.weight_product import weight_product
    >>> network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> with torch.no_grad():
    ...     _ = network[0].weight.copy_(torch.tensor([[1., 2.], [3., -1.]]))
    ...     _ = network[2].weight.copy_(torch.tensor([[1., -1.]]))
    >>> weight_product(read(network, (2,)))
    tensor([[-2.,  3.]])
    """
    _check_max_pool(graph, max_pool)
    return _pull_back(graph, graph.logits, graph.input, _identity(graph), absolute)


def _check_max_pool(graph: Graph, max_pool: str) -> None:
    if max_pool not in ("error", "average"):
        raise ValueError(f"max_pool={max_pool!r} is neither 'error' nor 'average'.")
    for node in graph.nodes:
        if isinstance(node, MaxPool) and (max_pool == "error" or node.average is None):
            raise UnsupportedModuleError(
                f"Max pooling at {node.name!r} has no weights to multiply: use"
                " max_pool='average' for those of average pooling (undilated only)."
            )


def _identity(graph: Graph) -> Tensor:
    if len(graph.output.shape) > 1:
        raise UnsupportedModuleError(
            f"The network's outputs have shape {graph.output.shape}; one axis is taken."
        )
    n_outputs = math.prod(graph.output.shape)
    rows = torch.eye(n_outputs).reshape(n_outputs, *graph.output.shape)
    return rows.to(prototype(graph.module))


def _pull_back(
    graph: Graph,
    start: Node,
    stop: Node,
    rows: Tensor,
    absolute: bool,
    divide: Callable | None = None,
) -> Tensor:
    """Rows at `start` taken back to `stop`; `divide` maps each node's rows on the way."""

    def back(node: Node, rows: Tensor) -> tuple[Tensor, ...]:
        return node.transpose(rows if divide is None else divide(node, rows), absolute)

    with torch.no_grad():
        return pull_back(graph.between(stop, start), rows, back)


def garson(graph: Graph, variant: str = "product", max_pool: str = "error") -> Tensor:
    r"""Garson's importances: products of magnitudes, each output's summing to 1.

    Parameters
    ----------
    graph : Graph
    variant : {"product", "garson1991", "goh1995"}, default="product"
        "product": \|W_1\| \|W_2\| ... \|W_N\|, the baseline of [1]. "garson1991": shares of each
        neuron's input, layer by layer, times \|W_N\| [3]. "goh1995": the same without the output
        weights, which cancel [4] (what R's NeuralNetTools computes). Batch norm before an
        activation belongs to the layer before it.
    max_pool : {"error", "average"}, default="error"
        As in :func:`weight_product`.

    Returns
    -------
    Tensor of shape (n_outputs, *input_shape)
    """
    if variant not in GARSON_VARIANTS:
        raise ValueError(f"variant={variant!r} is not one of {list(GARSON_VARIANTS)}.")
    if variant == "product":
        product = weight_product(graph, absolute=True, max_pool=max_pool)
        return _normalised(product)
    _check_max_pool(graph, max_pool)
    chain = [node for node in graph.nodes if isinstance(node, Weighted)]
    branching = [n.name for n in graph.nodes if isinstance(n, (Add, Concat))]
    if branching or len(chain) < 2:
        raise UnsupportedModuleError(
            f"variant={variant!r} is defined for a chain of layers with at least one hidden;"
            f" this network has {branching or 'no hidden layer'}: use variant='product'."
        )
    last = chain[-1]
    rows = _pull_back(graph, graph.logits, last.inputs[0], _identity(graph), True)
    if variant == "goh1995":
        rows = torch.ones_like(rows)
    totals = _input_totals(graph)

    def share(node: Node, here: Tensor) -> Tensor:
        # 0/0 = 0: a neuron whose input weights are all zero has no shares to give.
        total = totals.get(node)
        return here if total is None else torch.where(total > 0, here / total, 0.0)

    shares = _pull_back(graph, last.inputs[0], graph.input, rows, True, share)
    return _normalised(shares)


def _input_totals(graph: Graph) -> dict[Node, Tensor]:
    """Sum of the magnitudes through which each neuron reads the layer before it, per position."""
    totals: dict[Node, Tensor] = {}
    sums = {graph.input: torch.ones(1, *graph.input.shape).to(prototype(graph.module))}
    before_activation: set[Node] = set()
    for node in graph.nodes[1:]:
        (source,) = node.inputs
        value = _magnitude_sum(node, sums[source])
        inside = source in before_activation and not isinstance(node, Activation)
        if isinstance(node, Weighted) or (inside and isinstance(node, BatchNorm)):
            totals[node], value = value, torch.ones_like(value)
        if isinstance(node, Weighted) or inside:
            before_activation.add(node)
        sums[node] = value
    return totals


def _magnitude_sum(node: Node, value: Tensor) -> Tensor:
    """The linear part of a node, with its weights' magnitudes, applied to `value`."""
    if isinstance(node, Weighted):
        return node.apply(value, node.weight.detach().abs())
    if isinstance(node, BatchNorm):
        return node.transpose(value, absolute=True)[0]  # a diagonal is its own transpose
    if isinstance(node, MaxPool):
        return node.average(value)
    return value if isinstance(node, Activation) else node.forward(value)


def _normalised(rows: Tensor) -> Tensor:
    total = rows.flatten(1).sum(1).reshape(-1, *[1] * (rows.ndim - 1))
    return torch.where(total > 0, rows / total, torch.zeros_like(rows))


def personalized_product(x: Tensor, product: Tensor, signed: bool = False) -> Tensor:
    r"""Contributions phi[n, i, c] = x[n, i] \|P[i, c]\|, the summands of eq. 2 of [1].

    Parameters
    ----------
    x : Tensor of shape (n_samples, *input_shape)
    product : Tensor of shape (n_outputs, *input_shape)
        From :func:`weight_product`.
    signed : bool, default=False
        Keep the sign of P: the contributions then sum to the outputs of a linear network without
        biases.

    Returns
    -------
    Tensor of shape (n_samples, *input_shape, n_outputs)
    """
    factors = product if signed else product.abs()
    return x.unsqueeze(-1) * factors.movedim(0, -1)


# --- interactions -------------------------------------------------------------------------------


def interactions(
    graph: Graph,
    top: int = 20,
    output: int | None = None,
    x: Tensor | None = None,
    block: int = 1024,
) -> list[tuple[int, int, float]]:
    r"""The strongest pairwise interactions by weights [5].

    The strength of (i, j) is sum_h \|(W_2 ... W_N)_h\| min(\|W_1[i, h]\|, \|W_1[j, h]\|), summed
    over the outputs, or for one; personalised, it is multiplied by the mean of \|x_i x_j\|. Pairs
    are ranked block by block: memory is O(block^2 + n_features * n_hidden), never
    O(n_features^2).

    Parameters
    ----------
    graph : Graph
        What reads its input must be one linear layer, and a hidden one.
    top : int, default=20
    output : int, default=None
        Position of one output; None sums over all.
    x : Tensor of shape (n_samples, n_features), default=None
        Samples to personalise for.
    block : int, default=1024

    Returns
    -------
    list of (i, j, strength)
        The strongest first, i < j.
    """
    if top < 1:
        raise ValueError(f"top={top} must be at least 1.")
    weights = _first_layer_strengths(graph, output)
    personal = torch.ones(1, len(weights)).to(weights) if x is None else x.abs().to(weights)
    sums = weights.sum(1)
    spread = personal.square().mean(0).sqrt()
    # min(a, b) <= a and mean |x y| <= rms x rms y, so that a pair is no stronger than its weaker
    # feature allows: with the features in falling order of that bound, blocks can be skipped.
    reach = sums * spread
    order = torch.argsort(reach, descending=True, stable=True)
    weights, sums, reach = weights[order], sums[order], reach[order]
    personal, spread = personal[:, order], spread[order]
    heap: list[tuple[float, int, int]] = []
    for rows, columns in _blocks(len(order), block):
        bound = reach[columns.start] * spread[rows].max()
        if len(heap) == top and bound <= heap[0][0]:
            continue
        strength = _block_strength(weights, sums, rows, columns)
        if x is not None:
            strength *= _mean_products(personal, rows, columns)
        if rows == columns:  # each pair once
            strength[torch.ones_like(strength, dtype=torch.bool).tril()] = -torch.inf
        _keep_strongest(heap, strength, rows.start, columns.start, top)
    found = [(int(order[i]), int(order[j]), value) for value, i, j in heap]
    pairs = [(min(i, j), max(i, j), value) for i, j, value in found]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))


def interaction_matrix(
    graph: Graph,
    origins: Any,
    output: int | None = None,
    x: Tensor | None = None,
    block: int = 1024,
) -> Tensor:
    """Strengths of the interactions between columns that several inputs of the network stand for.

    Parameters
    ----------
    graph : Graph
        What reads its input must be one linear layer, and a hidden one.
    origins : scipy.sparse matrix of shape (n_features, n_columns)
        Share of each column in each input.
    output : int, default=None
        Position of one output; None sums over all.
    x : Tensor of shape (n_samples, n_features), default=None
        Samples to personalise for.
    block : int, default=1024

    Returns
    -------
    Tensor of shape (n_columns, n_columns)
        Symmetric, in float64: sum over the inputs of both columns of their strengths, as
        :func:`interactions` defines them (also of an input that both share with itself); zero on
        the diagonal.
    """
    weights = _first_layer_strengths(graph, output)
    sums = weights.sum(1)
    shares = origins.tocsr()
    total = torch.zeros(shares.shape[1], shares.shape[1], dtype=torch.float64)
    for rows, columns in _blocks(len(weights), block):
        strength = _block_strength(weights, sums, rows, columns)
        if x is not None:
            strength *= _mean_products(x.abs().to(weights), rows, columns)
        part = shares[rows].T @ strength.cpu().numpy() @ shares[columns].toarray()
        total += torch.from_numpy(part if rows == columns else part + part.T)
    return total.fill_diagonal_(0.0)


def _mean_products(magnitudes: Tensor, rows: slice, columns: slice) -> Tensor:
    r"""Mean of \|x_i x_j\| over the samples."""
    return magnitudes[:, rows].T @ magnitudes[:, columns] / len(magnitudes)


def _first_layer_strengths(graph: Graph, output: int | None) -> Tensor:
    r"""\|W_1[i, h]\| \|(W_2 ... W_N)_h\| in float64, (n_features, n_hidden)."""
    first = _first_layer(graph)
    _check_max_pool(graph, "average")
    product = _pull_back(graph, graph.logits, first, _identity(graph), False)
    rest = product.abs().double()
    rest = rest.sum(0) if output is None else rest[output]
    return first.weight.detach().abs().double().T * rest


def _first_layer(graph: Graph) -> Linear:
    """The hidden layer whose neurons join the inputs."""
    node = graph.input
    while type(node) in (Input, Route, Reshape) and len(node.shape) == 1:
        readers = [reader for reader in graph.nodes if node in reader.inputs]
        if len(readers) != 1:
            break
        (node,) = readers
    if not isinstance(node, Linear) or len(graph.layers) < 2:
        raise UnsupportedModuleError(
            "Interactions are read from a first layer that is linear, hidden and alone in reading"
            f" the input; here {node.name!r} comes first."
        )
    return node


def _blocks(n: int, size: int) -> Iterator[tuple[slice, slice]]:
    """Blocks of the upper triangle, the strongest features first."""
    starts = range(0, n, size)
    pairs = sorted(((i, j) for i in starts for j in starts if i <= j), key=lambda p: (p[1], p[0]))
    for i, j in pairs:
        yield slice(i, min(i + size, n)), slice(j, min(j + size, n))


def _block_strength(weights: Tensor, sums: Tensor, rows: slice, columns: slice) -> Tensor:
    # sum_h min(a, b) = (sum a + sum b - |a - b|_1) / 2: a distance, for which torch has a kernel.
    distance = torch.cdist(weights[rows], weights[columns], p=1.0)
    return (sums[rows, None] + sums[None, columns] - distance) / 2


def _keep_strongest(
    heap: list[tuple[float, int, int]], strength: Tensor, row0: int, column0: int, top: int
) -> None:
    values, places = strength.flatten().topk(min(top, strength.numel()))
    width = strength.shape[1]
    for value, place in zip(values.tolist(), places.tolist(), strict=True):
        if value == -torch.inf:
            break
        entry = (value, row0 + place // width, column0 + place % width)
        if len(heap) < top:
            heapq.heappush(heap, entry)
        elif value > heap[0][0]:
            heapq.heapreplace(heap, entry)
        else:
            break
