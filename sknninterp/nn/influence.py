"""Influential scores: how much of one layer's nodes comes from another layer's nodes.

One step from layer l to l + 1 is J[i, j] = w_ij L_i / sum_i |w_ij L_i| with the values L of the
layer's nodes after their activation; scores between any two layers are the product of the steps
[1]_. The product is taken from the target's side, R_l = L_l * (W_l (R_{l+1} / (|W_l|' |L_l|))), so
that no step's matrix is ever made: of a convolution the denominator is a convolution of |L| with
|W|, and the step back a transposed convolution. The denominators are shared by all targets.

References
----------
.. [1] Jung, Shin, Kwon, *A Metric to Measure Contribution of Nodes in Neural Networks*.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sknninterp.nn.graph import Graph, prototype, pull_back
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
    UnsupportedModuleError,
    Weighted,
)

# The scores of a chunk take about this much at the widest node.
_CHUNK_BYTES = 16 * 2**20


def influential_scores(
    graph: Graph,
    x: Tensor,
    source: Node | None = None,
    target: Node | None = None,
    *,
    rows: Tensor | None = None,
    center_logits: bool = False,
    bias_in_denominator: bool = False,
) -> Tensor:
    """Influential scores of the nodes of one layer towards those of a later one.

    Parameters
    ----------
    graph : Graph
    x : Tensor of shape (n_samples, *input_shape)
    source, target : Node, default=None
        Where the scores are from and to, such as the `post` of a layer; None is the input and
        the logits.
    rows : Tensor, default=None
        What the scores are towards, as :meth:`Influence.chunks` takes it; None is each node of the
        target by itself.
    center_logits, bias_in_denominator : bool, default=False
        As of :class:`Influence`, which saves time where there are several batches.

    Returns
    -------
    Tensor of shape (n_rows, n_samples, *source.shape)

    Examples
    --------
    The toy network of the paper's Figure 2, whose output is the smaller of its two inputs:

    >>> import torch
    >>> from torch import nn
    >>> from sknninterp.nn.graph import read
    >>> from sknninterp.nn.influence import influential_scores
    >>> network = nn.Sequential(
    ...     nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False), nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = network[0].weight.copy_(torch.tensor([[1., -1.], [1., 0.]]))
    ...     _ = network[2].weight.copy_(torch.tensor([[-1., 1.]]))
    >>> scores = influential_scores(read(network, (2,)), torch.tensor([[2., 1.]]))
    >>> (9 * scores).round().tolist()
    [[[4.0, 1.0]]]
    """
    influence = Influence(
        graph,
        source,
        target,
        center_logits=center_logits,
        bias_in_denominator=bias_in_denominator,
    )
    return influence.scores(x, influence.each_node() if rows is None else rows)


@dataclass(frozen=True)
class Chunk:
    """Scores of some samples towards some rows.

    Attributes
    ----------
    samples, rows : slice
    scores : dict of Node to Tensor of shape (n_rows, n_samples, *node.shape)
    """

    samples: slice
    rows: slice
    scores: dict[Node, Tensor]


class Influence:
    """Influential scores from one layer of a network to another, for batch after batch.

    Steps run from the values of one layer's nodes to the next layer's. Activations, dropout,
    reshaping, concatenation and max pooling (to the first maximum) pass scores on, but a value of 0
    has none to pass on. A sum of branches is a layer of its own; a linear, convolutional or
    average-pooling layer that only feeds it belongs to it, with one denominator over all branches.
    Average pooling is a layer with equal weights. Batch norm is folded into the layer before it,
    or, where it follows an activation or the input, into those after it, for which its shift is a
    bias; between two activations, or where others read the layer before it too, it passes scores
    on, with the sign of its scale. Biases count only through the values of the nodes. 0/0 is 0.

    To be made anew when the weights have changed.

    Parameters
    ----------
    graph : Graph
    source, target : Node, default=None
        Where the scores are from and to; None is the input and the logits.
    center_logits : bool, default=False
        Take each logit less the mean of all. A single logit stays as it is.
    bias_in_denominator : bool, default=False
        Let the magnitude of a node's bias take a share.

    Raises
    ------
    ValueError
        If `source` does not come before `target`, or the network is of half precision.
    UnsupportedModuleError
        If logits are to be centred that no linear layer makes.
    """

    def __init__(
        self,
        graph: Graph,
        source: Node | None = None,
        target: Node | None = None,
        *,
        center_logits: bool = False,
        bias_in_denominator: bool = False,
    ):
        self.graph = graph
        self.source = graph.input if source is None else source
        self.target = graph.logits if target is None else target
        self.bias_in_denominator = bias_in_denominator
        _check_precision(graph)
        self.start = self._start()
        self.nodes = graph.between(graph.input, self.start)
        self.path = graph.between(self.source, self.start)
        if self.source is self.target or not self.path:
            raise ValueError(
                f"source {self.source.name!r} does not come before target {self.target.name!r}."
            )
        self.rules = _Rules(graph)
        self.summed = self._needed_sums()
        self.weights = {
            node: _Weights(node.weight.detach(), None if node.bias is None else node.bias.detach())
            for node in self.nodes
            if isinstance(node, Weighted)
        }
        if center_logits and self.target is graph.logits:
            self._center()

    def _start(self) -> Node:
        """Where the way back begins: reshapes and an activation at the end pass all scores on."""
        node = self.target
        while type(node) in (Route, Reshape) and node is not self.source:
            (node,) = node.inputs
        if isinstance(node, Activation) and node is not self.source:
            (node,) = node.inputs
        return node

    def _needed_sums(self) -> set[Node]:
        """Sums on the path, with the sums that they are made from."""
        needed = self.rules.sums.intersection(self.path)
        for node in reversed(self.nodes):
            if node in needed:
                needed.update(p for p in node.inputs if self.rules.is_open(node, p))
        return needed

    def _center(self) -> None:
        node = self.target
        while type(node) in (Route, Reshape, Activation):
            (node,) = node.inputs
        if not isinstance(node, Linear):
            raise UnsupportedModuleError(
                f"center_logits: the logits are made by {type(node).__name__} {node.name!r}; they"
                " can be centred where a linear layer makes them."
            )
        if node.shape[0] > 1:
            weight, bias = self.weights[node].weight, self.weights[node].bias
            bias = None if bias is None else bias - bias.mean()
            self.weights[node] = _Weights(weight - weight.mean(0), bias)

    def each_node(self) -> Tensor:
        """Rows for each node of the target by itself, (n_nodes, *target.shape)."""
        n_nodes = math.prod(self.target.shape)
        rows = torch.eye(n_nodes).reshape(n_nodes, *self.target.shape)
        return rows.to(prototype(self.graph.module))

    def scores(self, x: Tensor, rows: Tensor) -> Tensor:
        """Scores of the source's nodes, (n_rows, n_samples, *source.shape).

        `x` and `rows` are as for :meth:`chunks`.
        """
        scores = x.new_empty((len(rows), len(x), *self.source.shape))
        for chunk in self.chunks(x, rows):
            scores[chunk.rows, chunk.samples] = chunk.scores[self.source]
        return scores

    def chunks(self, x: Tensor, rows: Tensor, keep: Collection[Node] = ()) -> Iterator[Chunk]:
        """Scores of the source's nodes, in chunks: memory is bounded whatever the number of rows.

        Parameters
        ----------
        x : Tensor of shape (n_samples, *input_shape)
        rows : Tensor of shape (n_rows, *target.shape) or (n_rows, n_samples, *target.shape)
            What the scores are towards: each row holds a weight for every node of the target.
        keep : collection of Node, default=()
            Nodes on the way whose scores are wanted too.

        Yields
        ------
        Chunk
        """
        rows = rows.to(x)
        if rows.ndim == 1 + len(self.target.shape):
            rows = rows.unsqueeze(1)
        keep = {self.source, *keep}
        widest = max(math.prod(node.shape) for node in self.nodes)
        most = max(1, _CHUNK_BYTES // (widest * x.element_size()))
        n_rows = max(1, min(len(rows), most))
        n_samples = most // n_rows
        for start in range(0, len(x), n_samples):
            samples = slice(start, start + n_samples)
            # Not around the loop: whoever leaves it early must not be left in this mode.
            with torch.no_grad():
                shares = _Shares(self, x[samples], keep)
            here = rows if rows.shape[1] == 1 else rows[:, samples]
            for first in range(0, len(rows), n_rows):
                part = slice(first, first + n_rows)
                with torch.no_grad():
                    scores = shares.scores(here[part])
                yield Chunk(samples, part, scores)


def _check_precision(graph: Graph) -> None:
    dtype = prototype(graph.module).dtype
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"The network computes in {dtype}, too coarse for quotients of small sums: convert it,"
            " module.float()."
        )


class _Weights:
    """Parameters of a layer, with the weights' magnitudes."""

    def __init__(self, weight: Tensor, bias: Tensor | None):
        self.weight, self.bias = weight, bias
        self.magnitude = weight.abs()


# --- structure ----------------------------------------------------------------------------------


class _Rules:
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
    total: Tensor | None = None
    bias: Tensor | None = None
    divisor: Tensor | None = None

    @property
    def shift(self) -> Tensor:
        """What a batch norm that is folded into its readers adds: for them it is a bias."""
        return self.value - self.part


class _Shares:
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
        if node in self.plan.rules.forwarded:
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
            if isinstance(node, BatchNorm):
                if node in rules.sums or node in rules.forwarded:
                    self.factors[node] = _per_channel(node.scale, node)
                else:
                    sign = _per_channel(node.scale.sign(), node)
                    self.factors[node] = _quotient(state.part * sign, source.divisor)
            elif isinstance(node, Activation):
                self.factors[node] = _quotient(state.part, source.divisor)
            elif p in rules.sums and not rules.is_open(node, p) and p not in self.ratios:
                self.ratios[p] = source.part / source.divisor

    # -- back: scores ----------------------------------------------------------------------------

    def scores(self, rows: Tensor) -> dict[Node, Tensor]:
        """Scores of the nodes to keep, (n_rows, n_samples, *node.shape).

        `rows` has shape (n_rows, n_samples or 1, *target.shape).
        """
        plan, found = self.plan, {}

        def collect(node, rows):
            if node in self.keep:
                found[node] = rows.view(-1, self.n_samples, *node.shape) * self.divisors[node]

        rows = rows.reshape(*rows.shape[:2], *plan.start.shape)
        rows = _quotient(rows, self.divisors[plan.start])
        pull_back(plan.path, rows.flatten(0, 1), self._back, collect)
        return found

    def _back(self, node: Node, rows: Tensor) -> tuple[Tensor, ...]:
        if node in self.factors:
            return (self._scale(rows, self.factors[node]),)
        if isinstance(node, MaxPool):
            parts = (node.scatter(rows, self.indices[node]),)
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
        return rows.view(-1, self.n_samples, *rows.shape[1:]).mul_(factor).flatten(0, 1)


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
