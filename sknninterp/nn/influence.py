"""Influential scores: how much of one layer's nodes comes from another layer's nodes.

One step from layer l to l + 1 is ``J[i, j] = w_ij L_i / sum_i |w_ij L_i|`` with the values L of
the layer's nodes after their activation; scores between any two layers are the product of the steps
[1]_. The product is taken from the target's side, ``R_l = L_l * (W_l (R_{l+1} / (|W_l|' |L_l|)))``,
so that no step's matrix is ever made: of a convolution the denominator is a convolution of ``|L|``
with ``|W|``, and the step back a transposed convolution. The denominators are shared by all
targets.

References
----------
.. [1] Jung, Shin, Kwon, *A Metric to Measure Contribution of Nodes in Neural Networks*.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sknninterp.nn.chunks import chunk_sizes, most_rows, slices
from sknninterp.nn.graph import Graph, prototype
from sknninterp.nn.nodes import (
    Activation,
    Linear,
    Node,
    Reshape,
    Route,
    UnsupportedModuleError,
    Weighted,
)
from sknninterp.nn.shares import Rules, Shares, Weights


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
        self.rules = Rules(graph)
        self.summed = self._needed_sums()
        self.weights = {
            node: Weights(node.weight.detach(), None if node.bias is None else node.bias.detach())
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
            self.weights[node] = Weights(weight - weight.mean(0), bias)

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
        for _ in self.chunks(x, rows, out=scores):
            pass
        return scores

    def chunks(
        self, x: Tensor, rows: Tensor, keep: Collection[Node] = (), out: Tensor | None = None
    ) -> Iterator[Chunk]:
        """Scores of the source's nodes, in chunks: memory is bounded whatever the number of rows.

        Parameters
        ----------
        x : Tensor of shape (n_samples, *input_shape)
        rows : Tensor of shape (n_rows, *target.shape) or (n_rows, n_samples, *target.shape)
            What the scores are towards: each row holds a weight for every node of the target.
        keep : collection of Node, default=()
            Nodes on the way whose scores are wanted too.
        out : Tensor of shape (n_rows, n_samples, *source.shape), default=None
            Where the source's scores are written; None makes a new tensor for each chunk.

        Yields
        ------
        Chunk
        """
        rows = rows.to(x)
        if rows.ndim == 1 + len(self.target.shape):
            rows = rows.unsqueeze(1)
        keep = {self.source, *keep}
        n_rows, n_samples = chunk_sizes(len(rows), most_rows(self.nodes, x))
        # No mode is held while a chunk is out: whoever leaves the loop must not be left in it.
        for samples in slices(len(x), n_samples):
            with torch.no_grad():
                shares = Shares(self, x[samples], keep)
            here = rows if rows.shape[1] == 1 else rows[:, samples]
            for part in slices(len(rows), n_rows):
                with torch.no_grad():
                    scores = shares.scores(here[part], None if out is None else out[part, samples])
                yield Chunk(samples, part, scores)


def _check_precision(graph: Graph) -> None:
    dtype = prototype(graph.module).dtype
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"The network computes in {dtype}, too coarse for quotients of small sums: convert it,"
            " module.float()."
        )


def channel_scores(scores: Tensor) -> Tensor:
    """Scores (n_rows, n_samples, n_channels, *positions) summed over positions."""
    return scores.flatten(3).sum(3) if scores.ndim > 3 else scores
