"""One chunk's shares: what the scores of :mod:`sknninterp.nn.influence` are made of.

On the way forward each layer's denominators are computed beside its values; on the way back scores
for any number of targets are taken through them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sknninterp.nn.graph import Graph, pull_back
from sknninterp.nn.nodes import (
    Activation,
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    Input,
    Linear,
    MaxPool,
    Node,
    Reshape,
    Route,
    Weighted,
)

if TYPE_CHECKING:
    from sknninterp.nn.influence import Influence


class Weights:
    """Parameters of a layer, with the weights' magnitudes."""

    def __init__(self, weight: Tensor, bias: Tensor | None):
        self.weight, self.bias = weight, bias
        self.magnitude = weight.abs()
        self._buffer = weight.new_empty(0, 0)

    def buffer(self, n_rows: int) -> Tensor:
        """Memory for rows of a linear layer's input: fresh memory costs more than to fill it."""
        if len(self._buffer) < n_rows:
            self._buffer = self.weight.new_empty(n_rows, self.weight.shape[1])
        return self._buffer[:n_rows]


# --- structure ----------------------------------------------------------------------------------


class Rules:
    """Which nodes are sums with a denominator, and how scores pass each.

    Attributes
    ----------
    sums : set of Node
        Nodes whose value is a sum of contributions; the others (input, activations, and what
        passes these on) are values.
    forwarded : set of BatchNorm
        Batch norms that are folded into the layers after them.
    """

    def __init__(self, graph: Graph):
        self.graph = graph
        self.sums: set[Node] = set()
        self.forwarded: set[Node] = set()
        for node in graph.nodes:
            if self._is_sum(node):
                self.sums.add(node)
            elif (
                isinstance(node, BatchNorm)
                and node.inputs[0] not in self.sums
                and self._feeds_sums(node)
            ):
                self.forwarded.add(node)

    def _is_sum(self, node: Node) -> bool:
        if isinstance(node, (Input, Activation)):
            return False
        if isinstance(node, BatchNorm):
            return self.is_private(node.inputs[0])
        return _adds_up(node) or all(p in self.sums for p in node.inputs)

    def is_private(self, node: Node) -> bool:
        """Whether a sum is read once, and so are those it is made from."""
        if node not in self.sums or self.graph.n_readings(node) != 1:
            return False
        return _adds_up(node) or all(self.is_private(p) for p in node.inputs)

    def is_open(self, node: Node, source: Node) -> bool:
        """Whether a sum is made from its input's contributions rather than from its value."""
        if node not in self.sums or source not in self.sums:
            return False
        return self.is_private(source) if isinstance(node, Add) else not _adds_up(node)

    def _feeds_sums(self, node: Node) -> bool:
        readers = self.graph.readers(node)
        passing = [r for r in readers if not _adds_up(r)]
        stopped = any(isinstance(r, (Activation, BatchNorm)) for r in passing)
        return bool(readers) and not stopped and all(self._feeds_sums(r) for r in passing)


def _adds_up(node: Node) -> bool:
    """Whether a node is a layer of its own: what it reads adds up, with weights or without."""
    return isinstance(node, (Weighted, AveragePool, Add))


# --- one chunk of samples -----------------------------------------------------------------------


@dataclass
class _State:
    """What the readers of a node need.

    Attributes
    ----------
    value : Tensor
    part : Tensor
        What its readers' sums are made from: the value, but for what follows a batch norm that is
        folded into its readers.
    total : Tensor or None
        Of a sum, the sum of its contributions' magnitudes.
    bias : Tensor or None
        What a sum gets from biases, where they count.
    divisor : Tensor or None
        What its score is divided by on the way back.
    """

    value: Tensor
    part: Tensor
    total: Any = None
    bias: Any = None
    divisor: Any = None

    @property
    def shift(self) -> Tensor:
        """What a batch norm that is folded into its readers adds: for them it is a bias."""
        return self.value - self.part


class Shares:
    """One chunk's shares, from which scores towards any rows are made.

    On the way back the score R of each node is carried as R / divisor: of a sum the divisor is its
    denominator, of a value the value itself. Linear maps then take these quotients back as they
    are, and an activation multiplies them by its value over the divisor of what it reads.
    """

    def __init__(self, plan: Influence, x: Tensor, keep: set[Node]):
        self.plan = plan
        self.n_samples = len(x)
        self.keep = keep
        self.factors: dict[Node, Tensor] = {}  # by the node whose back step multiplies by it
        self.ratios: dict[Node, Tensor] = {}  # part / divisor of a sum read as a value
        self.indices: dict[Node, Tensor] = {}  # where each maximum of a pool is
        self.divisors: dict[Node, Tensor] = {}  # of the nodes to keep and of the start
        self._path = set(plan.path)
        self._forward(x)

    # -- forward: values, denominators, and the factors of the way back --------------------------

    def _forward(self, x: Tensor) -> None:
        plan, wanted = self.plan, {*self.keep, self.plan.start}
        pending = Counter(p for node in plan.nodes for p in node.inputs)
        states: dict[Node, _State] = {}
        for node in plan.nodes:
            sources = [states[p] for p in node.inputs]
            state = states[node] = self._state(node, sources) if sources else _State(x, x)
            if node in plan.summed:
                state.total, state.bias = self._sum(node, sources)
            if node in self._path:
                state.divisor = _divisor(state)
                if node in wanted:
                    self.divisors[node] = state.divisor
                if node is not plan.source:
                    self._remember(node, state, sources)
            for p in node.inputs:
                pending[p] -= 1
                if not pending[p]:
                    del states[p]

    def _state(self, node: Node, sources: list[_State]) -> _State:
        if isinstance(node, MaxPool):
            value, self.indices[node] = node.forward_with_indices(sources[0].value)
        else:
            value = node.forward(*(s.value for s in sources))
        if isinstance(node, BatchNorm) and node in self.plan.rules.forwarded:
            return _State(value, sources[0].part * _per_channel(node.scale, node))
        if not _passes(node) or all(s.part is s.value for s in sources):
            return _State(value, value)
        return _State(value, self._pass(node, [s.part for s in sources]))

    def _pass(self, node: Node, tensors: list[Tensor]) -> Tensor:
        """Tensors of the shape of a node's inputs, taken the way it takes values."""
        if isinstance(node, MaxPool):
            return node.gather(tensors[0], self.indices[node])
        return node.forward(*tensors)

    def _sum(self, node: Node, sources: list[_State]) -> tuple[Tensor, Tensor | None]:
        """Magnitudes of the contributions, summed, and what biases add where they count."""
        first, counted = sources[0], self.plan.bias_in_denominator
        if isinstance(node, Weighted):
            own = self.plan.weights[node]
            bias = node.apply(first.shift, own.weight, own.bias) if counted else None
            return node.apply(first.part.abs(), own.magnitude), bias
        if isinstance(node, AveragePool):
            return node.forward(first.part.abs()), node.forward(first.shift) if counted else None
        if isinstance(node, BatchNorm):
            scale, shift = _per_channel(node.scale, node), _per_channel(node.shift, node)
            return first.total * scale.abs(), first.bias * scale + shift if counted else None
        is_open = [self.plan.rules.is_open(node, p) for p in node.inputs]
        totals = [s.total if o else s.part.abs() for s, o in zip(sources, is_open, strict=True)]
        if not counted:
            return self._pass(node, totals), None
        biases = [s.bias if o else s.shift for s, o in zip(sources, is_open, strict=True)]
        return self._pass(node, totals), self._pass(node, biases)

    def _remember(self, node: Node, state: _State, sources: list[_State]) -> None:
        """What the way back from `node` to each of its inputs multiplies by."""
        rules = self.plan.rules
        for p, source in zip(node.inputs, sources, strict=True):
            if p not in self._path:
                continue
            if isinstance(node, (Activation, BatchNorm)):
                self.factors[node] = self._factor(node, state, p, source)
            elif p in rules.sums and not rules.is_open(node, p) and p not in self.ratios:
                self.ratios[p] = source.part / source.divisor

    def _factor(self, node: Node, state: _State, p: Node, source: _State) -> Tensor:
        values = state.part
        if isinstance(node, BatchNorm):
            scale = _per_channel(node.scale, node)
            if node in self.plan.rules.sums or node in self.plan.rules.forwarded:
                return scale
            values = values * scale.sign()
        # A sum's divisor is never 0.
        return (
            values / source.divisor
            if p in self.plan.rules.sums
            else _quotient(values, source.divisor)
        )

    # -- back: scores ----------------------------------------------------------------------------

    def scores(self, rows: Tensor, out: Tensor | None = None) -> dict[Node, Tensor]:
        """Scores of the nodes to keep, (n_rows, n_samples, *node.shape).

        `rows` has shape (n_rows, n_samples or 1, *target.shape); `out` takes the source's.
        """
        plan, found = self.plan, {}

        def collect(node: Node, rows: Tensor) -> None:
            if node in self.keep:
                rows = rows.unflatten(0, (-1, self.n_samples))
                into = out if node is plan.source else None
                found[node] = torch.mul(rows, self.divisors[node], out=into)

        rows = rows.reshape(*rows.shape[:2], *plan.start.shape)
        rows = _quotient(rows, self.divisors[plan.start])
        pull_back(plan.path, rows.flatten(0, 1), self._back, collect)
        return found

    def _back(self, node: Node, rows: Tensor) -> tuple[Tensor, ...]:
        if node in self.factors:
            return (self._scale(rows, self.factors[node]),)
        parts: tuple[Tensor, ...]
        if isinstance(node, MaxPool):
            parts = (node.scatter(rows, self.indices[node]),)
        elif isinstance(node, Linear):
            into = self.plan.weights[node].buffer(len(rows))
            parts = (torch.mm(rows, self.plan.weights[node].weight, out=into),)
        elif isinstance(node, Weighted):
            parts = (node.apply_transposed(rows, self.plan.weights[node].weight),)
        else:
            parts = node.transpose(rows)
        # Each branch's rows are its own from here on: they are scaled in place.
        parts = (parts[0], *(p.clone() if p is parts[0] else p for p in parts[1:]))
        return tuple(
            self._scale(part, self.ratios[p])
            if p in self.ratios and not self.plan.rules.is_open(node, p)
            else part
            for p, part in zip(node.inputs, parts, strict=True)
        )

    def _scale(self, rows: Tensor, factor: Tensor) -> Tensor:
        return rows.unflatten(0, (-1, self.n_samples)).mul_(factor).flatten(0, 1)


def _divisor(state: _State) -> Tensor:
    if state.total is None:
        return state.part
    total = state.total if state.bias is None else state.total + state.bias.abs()
    # Where all contributions are 0 so is every score, whatever finite number divides.
    return total.masked_fill(total < torch.finfo(total.dtype).tiny, 1.0)


def _quotient(values: Tensor, divisor: Tensor) -> Tensor:
    """Values over a divisor, 0 where that is 0: a value of 0 has no score to pass on."""
    return torch.where(divisor == 0, 0.0, values / divisor)


def _passes(node: Node) -> bool:
    """Whether a node passes values on as they are, maybe some of them or in another shape."""
    return isinstance(node, (MaxPool, Reshape, Concat)) or type(node) is Route


def _per_channel(values: Tensor, node: Node) -> Tensor:
    return values.reshape(-1, *[1] * (len(node.shape) - 1))
