"""The hidden neurons of a network, by layers that its user chooses, and what they put out.

Values come from :meth:`sknninterp.nn.graph.Graph.run`: no hooks are set, and functional activations
are seen like modules.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor

from sknninterp.nn import chunks
from sknninterp.nn.graph import Graph, evaluation, prototype
from sknninterp.nn.nodes import Activation, Reshape, Route, Weighted

# Activations whose values are never negative.
NONNEGATIVE = ("relu", "relu6", "sigmoid", "softplus")

# --- choosing -----------------------------------------------------------------------------------


def activation_nodes(graph: Graph) -> dict[str, Activation]:
    """The activations behind a network's hidden layers, in the order of computation.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    dict of str to Activation
        By the name of the first weighted layer that the activation closes, or, where it closes
        none (a recurrent layer's second use, an activation behind a concatenation), by its own.
        Activations of the inputs and of the outputs are left out.

    Examples
    --------
    >>> from sknninterp.nn.graph import read
    >>> from sknninterp.nn.hidden_neurons import activation_nodes
    >>> from sknninterp.nn.mlp import MLP
    >>> activation_nodes(read(MLP(4, 2, (8, 6)), (4,)))
    {'hidden0': Activation('activation0', shape=(8,)),
     'hidden1': Activation('activation1', shape=(6,))}
    """
    ends, end = {graph.output}, graph.output
    while type(end) in (Route, Reshape, Activation):
        (end,) = end.inputs
        ends.add(end)
    names: dict = {}
    for layer in graph.layers:
        names.setdefault(layer.post, layer.name)
    found: dict[str, Activation] = {}
    behind: set = set()
    for node in graph.nodes:
        if isinstance(node, Weighted) or not behind.isdisjoint(node.inputs):
            behind.add(node)
            if isinstance(node, Activation) and node not in ends:
                found[names.get(node, node.name)] = node
    return found


def choose_activations(
    graph: Graph, layers: str | int | Sequence[str] = "all"
) -> dict[str, Activation]:
    """Activations of the layers asked for.

    Parameters
    ----------
    graph : Graph
    layers : {"all", "last"}, int, str or sequence of str, default="all"
        All, the last, the last so many, or by name: a layer's own or its activation's.

    Returns
    -------
    dict of str to Activation
        By name, as :func:`activation_nodes` has them; in the order asked for.

    Raises
    ------
    ValueError
        If there is no such layer; the message lists those that there are.
    """
    known = activation_nodes(graph)
    names = list(known)
    if not names:
        raise ValueError("layers: this network has no hidden layer with an activation.")
    if isinstance(layers, str):
        layers = {"all": names, "last": names[-1:]}.get(layers, [layers])
    elif isinstance(layers, Integral) and not isinstance(layers, bool):
        n_last = int(layers)
        if not 1 <= n_last <= len(names):
            raise ValueError(
                f"layers={layers} must be from 1 to {len(names)}, the number of hidden layers with"
                f" an activation: {names}."
            )
        layers = names[-n_last:]
    elif not isinstance(layers, Sequence) or not layers:
        raise ValueError(
            f"layers={layers!r} must be 'all', 'last', a number of layers, or names among {names}."
        )
    canonical = {node: name for name, node in known.items()}
    by_any_name = {node.name: node for node in canonical}
    by_any_name |= {x.name: x.post for x in graph.layers if x.post in canonical} | known
    chosen = {}
    for name in layers:
        if not isinstance(name, str) or name not in by_any_name:
            raise ValueError(
                f"layers: there is no hidden layer {name!r} with an activation; this network has"
                f" {names}."
            )
        node = by_any_name[name]
        chosen[canonical[node]] = node
    return chosen


# --- reading ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """Some samples of a batch: which, their activations in every layer, and the outputs."""

    samples: slice
    values: list[Tensor]
    output: Tensor


class HiddenNeurons:
    """The neurons of chosen layers, side by side; of a feature map every position is one.

    Parameters
    ----------
    graph : Graph
    layers : {"all", "last"}, int, str or sequence of str, default="all"
        As :func:`choose_activations` takes them.

    Attributes
    ----------
    nodes : dict of str to Activation
    columns : dict of str to slice
        Where each layer's neurons stand among all.
    n_neurons : int
    """

    def __init__(self, graph: Graph, layers: str | int | Sequence[str] = "all"):
        self.graph = graph
        self.nodes = choose_activations(graph, layers)
        self.columns: dict[str, slice] = {}
        self.n_neurons = 0
        for name, node in self.nodes.items():
            start, self.n_neurons = self.n_neurons, self.n_neurons + math.prod(node.shape)
            self.columns[name] = slice(start, self.n_neurons)

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return prototype(self.graph.module).device

    def read(self, inputs: Tensor) -> Iterator[Part]:
        """Activations for a batch, in evaluation mode and without gradients, in parts.

        Parameters
        ----------
        inputs : Tensor of shape (n_samples, *input_shape)

        Yields
        ------
        Part
            With values of shape (n_part, n_neurons_of_layer), of single precision at least.
        """
        nodes = list(self.nodes.values())
        # Short parts, so that what is then made of the values finds them in a CPU's caches.
        most = max(1, chunks.CHUNK_BYTES // (4 * self.n_neurons * inputs.element_size()))
        for samples in chunks.slices(max(1, len(inputs)), most):
            # Not around the loop: whoever leaves it early must not be left in this mode.
            with evaluation(self.graph.module), torch.no_grad():
                found = self.graph.run(inputs[samples], nodes)
            values = [found[node].flatten(1) for node in nodes]
            values = [v.float() if v.dtype in (torch.half, torch.bfloat16) else v for v in values]
            yield Part(samples, values, found[self.graph.output])


# --- batches ------------------------------------------------------------------------------------


def checked(
    batches: Iterable, device: torch.device, n_classes: int | None = None
) -> Iterator[tuple[Tensor, Tensor | None, Tensor | None]]:
    """Batches with their targets and weights checked, without samples of weight 0.

    Parameters
    ----------
    batches : iterable of (inputs, target) or (inputs, target, weight), with None for what lacks
    device : torch.device
        Where targets and weights are needed.
    n_classes : int, default=None
        Number of classes if targets are needed; None leaves them out.

    Yields
    ------
    inputs : Tensor of shape (n_samples, *input_shape)
    target : Tensor of int of shape (n_samples,), or None
    weight : Tensor of float64 of shape (n_samples,), or None

    Raises
    ------
    ValueError
        If targets are no classes from 0 to `n_classes` - 1, weights are negative, or there are not
        as many as inputs.
    """
    for batch in batches:
        inputs, target, weight = batch if len(batch) == 3 else (*batch, None)
        if n_classes is None:
            target = None
        else:
            target = _check_target(target, len(inputs), n_classes).to(device).long()
        if weight is not None:
            weight = _check_weight(weight, len(inputs)).to(device).double()
            if not weight.all():
                used = weight > 0
                inputs, weight = inputs[used.to(inputs.device)], weight[used]
                target = None if target is None else target[used]
        yield inputs, target, weight


def _check_target(target: Tensor | None, n_samples: int, n_classes: int) -> Tensor:
    if target is None or target.is_floating_point() or target.ndim != 1:
        found = "None" if target is None else f"{target.dtype} of shape {tuple(target.shape)}"
        raise ValueError(f"target must be class labels, integers of shape (n_samples,): {found}.")
    if len(target) != n_samples:
        raise ValueError(f"target has {len(target)} labels for {n_samples} samples.")
    if n_samples and not 0 <= target.min() <= target.max() < n_classes:
        raise ValueError(
            f"target holds labels from {target.min()} to {target.max()}; with n_classes={n_classes}"
            f" they are from 0 to {n_classes - 1}."
        )
    return target


def _check_weight(weight: Tensor, n_samples: int) -> Tensor:
    if weight.shape != (n_samples,):
        raise ValueError(
            f"weight has the shape {tuple(weight.shape)}; there are {n_samples} samples."
        )
    if not (torch.isfinite(weight) & (weight >= 0)).all():
        raise ValueError("weight must be finite and not negative.")
    return weight


# --- counting -----------------------------------------------------------------------------------


def above(values: Tensor, threshold: float | Tensor, signed: bool = True) -> Tensor:
    """1[values > threshold] in the dtype of the values; NaN stays NaN.

    The sign of the difference is exact, and the fastest way to such a matrix on a CPU; that of
    values that are never negative (`signed` is False) tells at once whether they are above 0.
    """
    if isinstance(threshold, float) and threshold == 0:
        found = values.sign()
        return found.clamp_(min=0) if signed else found
    return torch.sub(values, threshold).sign_().clamp_(min=0)


def membership(
    values: Tensor, group: Tensor | None, weight: Tensor | None, n_groups: int
) -> Tensor:
    """Each sample's weight in the row of its group, (n_groups, n_samples).

    Counts are then one matrix product. A single group has all samples. Weights are of double
    precision; without them sums of ones are exact in any.
    """
    weight = values.new_ones(len(values)) if weight is None else weight.to(values.device).double()
    weight = weight[None]
    if n_groups == 1:
        return weight
    if group is None:
        raise ValueError(f"group: there are {n_groups} groups, and the samples belong to none.")
    return weight.new_zeros(n_groups, len(values)).scatter_(0, group[None], weight)
