"""One reading of a torch module as a graph of layers and nodes.

Pruning, weight products and every other method ask this reading which layers there are, what their
nodes are, which weights connect them, and what else shrinks when a neuron goes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sknninterp.nn.nodes import (
    Activation,
    Add,
    AveragePool,
    BatchNorm,
    MaxPool,
    Node,
    Route,
    UnitMap,
    UnsupportedModuleError,
    Weighted,
)
from sknninterp.nn.tracing import build_nodes, example_values, trace

# What may stand between a layer's weights and its activation: it keeps the channels as they are.
_BEFORE_ACTIVATION = (BatchNorm, Add, AveragePool, MaxPool)


@dataclass(frozen=True, eq=False)
class Layer:
    """A weighted layer with what belongs to it.

    Attributes
    ----------
    name : str
        Path of the weighted module.
    weighted : Weighted
        The linear or convolutional node.
    pre, post : Node
        Pre-activation (after batch norm, pooling and residual add) and value after the activation;
        the same node where there is no activation.
    activation : Activation or None
    units : ndarray of int, shape (width,)
        Units of its neurons or channels; layers that a residual add ties share them.
    prunable : bool
        Whether its units may be removed: False for the output layer and what is tied to it.
    """

    name: str
    weighted: Weighted
    pre: Node
    post: Node
    activation: Activation | None
    units: np.ndarray
    prunable: bool

    @property
    def width(self) -> int:
        """Number of neurons or channels."""
        return len(self.units)


class Graph:
    """A network as nodes in the order of computation.

    Made by :func:`read`.

    Attributes
    ----------
    module : torch.nn.Module
        The module read; parameters are looked up in it when they are needed.
    nodes : list of Node
    input, output : Node
    logits : Node
        The output before a closing softmax.
    units : dict of Node to ndarray of int
        Unit of every channel of every node.
    frozen : set of int
        Units that cannot be removed.
    layers : list of Layer
        The weighted layers in the order of computation; a reused module counts once.
    """

    def __init__(self, module: nn.Module, nodes: list[Node], output: Node):
        self.module = module
        self.nodes = nodes
        self.input = nodes[0]
        self.output = self.logits = output
        if isinstance(output, Activation) and output.is_softmax:
            (self.logits,) = output.inputs
        self._consumers = Counter(node for n in nodes for node in n.inputs)
        self._readers = {node: [n for n in nodes if node in n.inputs] for node in nodes}
        self.units, self.frozen = self._connect()
        self.layers = self._layers()

    def __repr__(self) -> str:
        chain = " -> ".join(f"{layer.name}[{layer.width}]" for layer in self.layers)
        return f"Graph({self.input.shape} -> {chain})"

    # -- values ----------------------------------------------------------------------------------

    def run(
        self, x: Tensor, keep: Iterable[Node] = (), until: Node | None = None
    ) -> dict[Node, Tensor]:
        """Values of the output and of the nodes in `keep`, in evaluation mode.

        Parameters
        ----------
        x : Tensor of shape (n_samples, *input_shape)
        keep : iterable of Node
            Nodes whose values are wanted; others are freed as soon as nobody needs them.
        until : Node, default=None
            The last node to compute, in place of the output; those in `keep` come before it.

        Returns
        -------
        dict of Node to Tensor
        """
        last = self.output if until is None else until
        wanted = {*keep, last}
        pending = Counter(self._consumers)
        values = {self.input: x}
        for node in self.nodes[1 : self.nodes.index(last) + 1]:
            values[node] = node.forward(*(values[i] for i in node.inputs))
            pending.subtract(node.inputs)
            for i in set(node.inputs):
                if pending[i] == 0 and i not in wanted:
                    del values[i]
        return {node: values[node] for node in wanted}

    # -- structure -------------------------------------------------------------------------------

    def _connect(self) -> tuple[dict[Node, np.ndarray], set[int]]:
        units = UnitMap()
        seen: dict[int, tuple] = {}
        for node in self.nodes:
            units.of[node] = node.connect(units)
            for owner, name, axes in node.tensors():
                tensor = getattr(owner, name)
                # The tensor is held, so that no other one takes its id.
                _, first = seen.setdefault(id(tensor), (tensor, axes))
                for a, b in zip(first, axes, strict=True):
                    if a is not b:  # used again: its channels must go in all its uses
                        units.tie(units.of[a], units.of[b])
        units.freeze(units.of[self.output])
        return units.resolve()

    def _layers(self) -> list[Layer]:
        layers = {}
        for node in self.nodes:
            if isinstance(node, Weighted) and node.key not in layers:
                pre, post, activation = self._closing(node)
                units = self.units[node]
                own = len(set(units.tolist())) == len(units)
                free = own and self.frozen.isdisjoint(units.tolist())
                layers[node.key] = Layer(node.name, node, pre, post, activation, units, free)
        return list(layers.values())

    def _closing(self, node: Node) -> tuple[Node, Node, Activation | None]:
        """Pre-activation, value after the activation, and the activation of a weighted node."""
        pre = node
        while True:
            users = self.readers(pre)
            activations = [n for n in users if isinstance(n, Activation) and n is not self.output]
            if len(activations) == 1:
                return pre, activations[0], activations[0]
            user = users[0] if len(users) == 1 else None
            if not (isinstance(user, _BEFORE_ACTIVATION) or type(user) is Route):
                return pre, pre, None
            pre = user

    def readers(self, node: Node) -> list[Node]:
        """The nodes that read a node."""
        return self._readers[node]

    def n_readings(self, node: Node) -> int:
        """How often a node is read; twice by one that adds it to itself."""
        return self._consumers[node]

    def between(self, source: Node, target: Node) -> list[Node]:
        """Nodes on the ways from `source` to `target`, both included, in order of computation.

        Empty if there is no way.
        """
        after, before = {source}, {target}
        for node in self.nodes:
            if not after.isdisjoint(node.inputs):
                after.add(node)
        for node in reversed(self.nodes):
            if node in before:
                before.update(node.inputs)
        return [node for node in self.nodes if node in after and node in before]

    @property
    def hidden_layers(self) -> list[Layer]:
        """The layers whose neurons may be removed."""
        return [layer for layer in self.layers if layer.prunable]

    def select(self, which: str | int | Sequence[str | int] = "all") -> list[Layer]:
        """Hidden layers by name, by index among the hidden layers, or all of them.

        Raises
        ------
        ValueError
            If a layer does not exist; the message lists those that do.
        """
        hidden = self.hidden_layers
        if isinstance(which, str) and which == "all":
            return hidden
        wanted = [which] if isinstance(which, str) or not isinstance(which, Iterable) else [*which]
        names = [layer.name for layer in hidden]
        chosen = []
        for one in wanted:
            known = one in (names if isinstance(one, str) else range(-len(names), len(names)))
            if not known:
                raise ValueError(
                    f"target_layers: there is no hidden layer {one!r}; this network has {names}"
                    f" (or an index from 0 to {len(names) - 1})."
                )
            layer = hidden[names.index(one) if isinstance(one, str) else one]
            if layer not in chosen:
                chosen.append(layer)
        return chosen

    def forget(self, gone: set[int]) -> None:
        """Follow the removal of units from the module: shapes, units and layers."""
        numbers = np.array(sorted(gone))
        for node in self.nodes:
            units = self.units[node]
            self.units[node] = units[~np.isin(units, numbers)]
            if node.shape:
                node.shape = (len(self.units[node]), *node.shape[1:])
        self.layers = self._layers()

    def consumers(self, layer: Layer) -> list[tuple[Weighted, np.ndarray]]:
        """Weighted nodes that read a layer's units, each with the unit of every input channel."""
        found = []
        for node in self.nodes:
            if isinstance(node, Weighted) and node.groups == 1:
                units = self.units[node.inputs[0]]
                if np.isin(units, layer.units).any():
                    found.append((node, units))
        return found


# --- reading ------------------------------------------------------------------------------------


def read(module: nn.Module, input_shape: Sequence[int]) -> Graph:
    """Read a torch module as a :class:`Graph`.

    Linear, convolution (1d, 2d), batch norm, activations, dropout, flatten, max / average /
    adaptive pooling, residual adds and concatenation are understood, as modules and as functions,
    used once or many times.

    Parameters
    ----------
    module : torch.nn.Module
        Its training mode, parameters and buffers are left as they are.
    input_shape : sequence of int
        Shape of one sample, without the batch axis: `(n_features,)` or `(channels, height, width)`.

    Returns
    -------
    Graph

    Raises
    ------
    UnsupportedModuleError
        If the module holds something else; the message names it and its path.

    Examples
    --------
    >>> from torch import nn
    >>> from sknninterp.nn.graph import read
    >>> read(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), (4,))
    Graph((4,) -> 0[8] -> 2[2])
    """
    with evaluation(module), torch.no_grad():
        example = _example(module, tuple(input_shape))
        calls = trace(module)
        values = example_values(module, calls, example)
        graph = Graph(module, *build_nodes(module, calls, values))
        _check(graph, example)
    return graph


def pull_back(
    nodes: Sequence[Node],
    rows: Tensor,
    back: Callable[[Node, Tensor], tuple[Tensor, ...]],
    visit: Callable[[Node, Tensor], None] | None = None,
) -> Tensor:
    """Rows at the last of `nodes` taken back to the first.

    Parameters
    ----------
    nodes : sequence of Node
        All nodes on the way, in the order of computation: see :meth:`Graph.between`.
    rows : Tensor of shape (n_rows, *nodes[-1].shape)
    back : callable
        `(node, rows) -> rows of each of its inputs`.
    visit : callable, default=None
        Called with each node and its rows, the first's included.

    Returns
    -------
    Tensor of shape (n_rows, *nodes[0].shape)
    """
    first, *others = nodes
    found = {nodes[-1]: rows}
    for node in reversed(others):
        here = found.pop(node)
        if visit is not None:
            visit(node, here)
        for source, part in zip(node.inputs, back(node, here), strict=True):
            if source is first or source in others:
                found[source] = found[source] + part if source in found else part
    if visit is not None:
        visit(first, found[first])
    return found[first]


def prototype(module: nn.Module) -> Tensor:
    """An empty tensor of the dtype and on the device of a module's weights."""
    tensors = (t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point())
    return next(tensors, torch.empty(0)).new_empty(0)


def _example(module: nn.Module, shape: tuple[int, ...]) -> Tensor:
    # Two samples, so that the batch axis can be told from an axis of length one.
    values = torch.arange(1.0, 1.0 + 2 * int(np.prod(shape)))
    return torch.sin(values).reshape(2, *shape).to(prototype(module))


def _check(graph: Graph, example: Tensor) -> None:
    """Compare with the module itself: work in place and hooks can hide from a trace."""
    expected = graph.module(example.clone()).double()
    found = graph.run(example)[graph.output].double()
    if not torch.allclose(found, expected, rtol=1e-2, atol=1e-4, equal_nan=True):
        raise UnsupportedModuleError(
            f"{type(graph.module).__name__} computes something else than its layers, read one by"
            " one: does it change a value in place that is used again, or has it hooks?"
        )


@contextmanager
def evaluation(module: nn.Module) -> Iterator[nn.Module]:
    """Evaluation mode inside the block; each submodule's own mode is back after it."""
    modes = {m: m.training for m in module.modules()}
    module.eval()
    try:
        yield module
    finally:
        for m, training in modes.items():
            m.training = training


def single_use(layers: Sequence[Layer]) -> Sequence[Layer]:
    """Layers without those whose units another layer before them already stands for."""
    seen: set[int] = set()
    kept = []
    for layer in layers:
        if seen.isdisjoint(layer.units.tolist()):
            kept.append(layer)
            seen.update(layer.units.tolist())
    return kept
