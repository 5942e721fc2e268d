"""One reading of a torch module as a graph of layers and nodes.

Pruning, weight products and every other method ask this reading which layers there are, what their
nodes are, which weights connect them, and what else shrinks when a neuron goes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, fx, nn

from sknninterp.nn.nodes import (
    FUNCTIONS,
    METHODS,
    MODULES,
    Activation,
    Add,
    BatchNorm,
    Input,
    Node,
    Reshape,
    Route,
    UnitMap,
    UnsupportedModuleError,
    Weighted,
)


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
        Pre-activation (after batch norm and residual add) and value after the activation; the same
        node where there is no activation.
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
        self.output = output
        self.logits = output
        while isinstance(self.logits, Activation) and "softmax" in self.logits.kind:
            self.logits = self.logits.inputs[0]
        self._consumers = Counter(node for n in nodes for node in n.inputs)
        self.units, self.frozen = self._connect()
        self.layers = self._layers()

    def __repr__(self):
        chain = " -> ".join(f"{layer.name}[{layer.width}]" for layer in self.layers)
        return f"Graph({self.input.shape} -> {chain})"

    # -- values ----------------------------------------------------------------------------------

    def run(self, x: Tensor, keep: Iterable[Node] = ()) -> dict[Node, Tensor]:
        """Values of the output and of the nodes in `keep`, in evaluation mode.

        Parameters
        ----------
        x : Tensor of shape (n_samples, *input_shape)
        keep : iterable of Node
            Nodes whose values are wanted; others are freed as soon as nobody needs them.

        Returns
        -------
        dict of Node to Tensor
        """
        wanted = {*keep, self.output}
        pending = Counter(self._consumers)
        values = {self.input: x}
        for node in self.nodes[1:]:
            values[node] = node.forward(*(values[i] for i in node.inputs))
            pending.subtract(node.inputs)
            for i in set(node.inputs):
                if pending[i] == 0 and i not in wanted:
                    del values[i]
        return {node: values[node] for node in wanted}

    # -- structure -------------------------------------------------------------------------------

    def _connect(self):
        units, seen = UnitMap(), {}
        for node in self.nodes:
            own = units.of[node] = node.connect(units)
            first = seen.setdefault(_owner_key(node), node)
            if first is not node:  # a module used again: its channels must go in all its uses
                units.tie(units.of[first], own)
                units.tie(units.of[first.inputs[0]], units.of[node.inputs[0]])
        units.freeze(units.of[self.output])
        return units.resolve()

    def _layers(self) -> list[Layer]:
        layers = {}
        for node in self.nodes:
            if isinstance(node, Weighted) and _owner_key(node) not in layers:
                pre, post, activation = self._closing(node)
                units = self.units[node]
                own = bool(np.array_equal(units, np.unique(units)))
                free = own and self.frozen.isdisjoint(units.tolist())
                layers[_owner_key(node)] = Layer(
                    node.name, node, pre, post, activation, units, free
                )
        return list(layers.values())

    def _closing(self, node: Node):
        """Pre-activation, value after the activation, and the activation of a weighted node."""
        pre = node
        while True:
            users = [n for n in self.nodes if pre in n.inputs]
            activations = [n for n in users if isinstance(n, Activation) and n is not self.output]
            if len(activations) == 1:
                return pre, activations[0], activations[0]
            follows = len(users) == 1 and (
                isinstance(users[0], (BatchNorm, Add)) or type(users[0]) is Route
            )
            if not follows:
                return pre, pre, None
            pre = users[0]

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
        wanted = [which] if isinstance(which, (str, int, np.integer)) else list(which)
        names = [layer.name for layer in hidden]
        chosen = []
        for one in wanted:
            known = one in names if isinstance(one, str) else -len(names) <= one < len(names)
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


def _owner_key(node: Node):
    """What identifies a node's parameters; the node itself if it has none."""
    if isinstance(node, Weighted):
        return node._weight[0], node._weight[1]
    return getattr(node, "owner", node)


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
        traced = _trace(module)
        values = _example_values(module, traced, tuple(input_shape))
        nodes: dict[fx.Node, Node] = {}
        for fx_node in traced.graph.nodes:
            if fx_node.op == "placeholder" and isinstance(values[fx_node], Tensor):
                nodes[fx_node] = Input(fx_node.name, (), values[fx_node].shape[1:])
            elif fx_node.op == "output":
                output = nodes.get(fx_node.args[0]) if _is_node(fx_node.args[0]) else None
                if output is None:
                    raise UnsupportedModuleError(
                        f"{type(module).__name__} must return one tensor, got {fx_node.args[0]}."
                    )
            elif isinstance(values[fx_node], Tensor) and fx_node.op != "get_attr":
                nodes[fx_node] = _Call(fx_node, nodes, values, module).build()
    return Graph(module, list(nodes.values()), output)


@contextmanager
def evaluation(module: nn.Module):
    """Evaluation mode inside the block; each submodule's own mode is back after it."""
    modes = {m: m.training for m in module.modules()}
    module.eval()
    try:
        yield module
    finally:
        for m, training in modes.items():
            m.training = training


def _is_node(argument) -> bool:
    return isinstance(argument, fx.Node)


def _trace(module: nn.Module) -> fx.GraphModule:
    try:
        traced = fx.GraphModule(module, fx.Tracer().trace(module))
    except Exception as error:  # fx raises many kinds; all mean that forward can't be followed
        raise UnsupportedModuleError(
            f"{type(module).__name__}.forward cannot be read: its control flow depends on the data"
            f" or it uses something that torch.fx cannot trace ({error})."
        ) from error
    traced.graph.eliminate_dead_code()
    inputs = [n for n in traced.graph.nodes if n.op == "placeholder" and not n.args]
    if len(inputs) != 1:
        names = [n.name for n in inputs]
        raise UnsupportedModuleError(
            f"{type(module).__name__} takes {len(inputs)} inputs {names}; one is read."
        )
    return traced


class _Recorder(fx.Interpreter):
    """Runs a traced module and keeps every value."""

    def __init__(self, traced):
        super().__init__(traced, garbage_collect_values=False)
        self.values = {}

    def run_node(self, n):
        self.values[n] = super().run_node(n)
        return self.values[n]


def _example_values(module, traced, shape):
    parameter = next(module.parameters(), torch.empty(0))
    # Two samples, so that the batch axis can be told from an axis of length one.
    example = torch.zeros((2, *shape), dtype=parameter.dtype, device=parameter.device)
    recorder = _Recorder(traced)
    try:
        recorder.run(example)
    except Exception as error:
        raise ValueError(
            f"{type(module).__name__} cannot take samples of shape {shape}: {error}"
        ) from error
    return recorder.values


class _Call:
    """One operation of the trace, as the builders in `nodes` see it."""

    def __init__(self, fx_node: fx.Node, nodes: dict, values: dict, root: nn.Module):
        self.op, self.target = fx_node.op, fx_node.target
        self.args, self.kwargs = fx_node.args, fx_node.kwargs
        self.module = root.get_submodule(fx_node.target) if fx_node.op == "call_module" else None
        self.name = self.target if self.module is not None else fx_node.name
        self.inputs = tuple(nodes[n] for n in self._operands() if n in nodes)
        self.shape = tuple(values[fx_node].shape[1:])
        self.batch = values[fx_node].shape[0] if values[fx_node].ndim else None
        self._root = root
        taken = {node.name for node in nodes.values()}
        if self.name in taken:  # a reused module: fx has numbered its second use
            self.name = fx_node.name if fx_node.name not in taken else f"{self.name}_{len(taken)}"

    def _operands(self):
        flat = []
        for argument in (*self.args, *self.kwargs.values()):
            flat.extend(argument if isinstance(argument, (tuple, list)) else [argument])
        return [a for a in flat if _is_node(a)]

    @property
    def head(self):
        return self.name, self.inputs, self.shape

    def build(self) -> Node:
        builder = self._builder()
        if builder is None or not self.inputs:
            raise self.error("is not a layer that can be read")
        node = builder(self)
        sizes = [int(np.prod(n.shape)) for n in (node, *node.inputs)]
        if self.batch != 2 or (isinstance(node, Reshape) and len(set(sizes)) != 1):
            raise self.error("does not keep the samples of a batch apart")
        return node

    def _builder(self):
        if self.module is not None:
            kinds = (MODULES.get(cls) for cls in type(self.module).__mro__)
            return next((k for k in kinds if k is not None), None)
        return (FUNCTIONS if self.op == "call_function" else METHODS).get(self.target)

    def arguments(self, names: Sequence[str]) -> dict:
        """Positional and keyword arguments by name."""
        given = dict(zip(names, self.args, strict=False))
        if len(self.args) > len(names):  # x.mean(2, 3): sizes or axes spelt out
            given[names[-1]] = tuple(self.args[len(names) - 1 :])
        return {**given, **self.kwargs}

    def parameters(self):
        """Owner and names of weight and bias, of a module or of a functional call."""
        if self.module is not None:
            return self.module, "weight", "bias"
        given = self.arguments(["input", "weight", "bias"])
        owner, name = self._attribute(given.get("weight"))
        bias = given.get("bias")
        return owner, name, (owner, None) if bias is None else self._attribute(bias)

    def _attribute(self, argument):
        if not _is_node(argument) or argument.op != "get_attr":
            raise self.error("computes its weight; only a parameter as it stands is read")
        path, _, name = argument.target.rpartition(".")
        return self._root.get_submodule(path), name

    def error(self, why: str) -> UnsupportedModuleError:
        kind = type(self.module).__name__ if self.module is not None else self._function_name()
        return UnsupportedModuleError(f"{kind} at {str(self.name)!r} {why}.")

    def _function_name(self):
        return getattr(self.target, "__name__", str(self.target))


def single_use(layers: Sequence[Layer]) -> Sequence[Layer]:
    """Layers without those whose units another layer before them already stands for."""
    seen: set[int] = set()
    kept = []
    for layer in layers:
        if seen.isdisjoint(layer.units.tolist()):
            kept.append(layer)
            seen.update(layer.units.tolist())
    return kept
