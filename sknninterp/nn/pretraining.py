"""Greedy layer-wise pretraining of a network by restricted Boltzmann machines.

References
----------
A. Kroschanka and V. Golovko, *Neural Networks Interpretation Improvement*.

G. Hinton, S. Osindero and Y.-W. Teh, *A Fast Learning Algorithm for Deep Belief Nets*, 2006.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from sknninterp.nn.graph import Graph, Layer, evaluation, read
from sknninterp.nn.nodes import (
    Activation,
    AveragePool,
    Conv,
    Input,
    MaxPool,
    Node,
    Reshape,
    Route,
    Weighted,
)
from sknninterp.nn.rbm import BaseRBM, ConvRBM, DenseRBM
from sknninterp.nn.rbm_trainer import DivergenceError
from sknninterp.nn.rbm_training import Epoch, check_hybrid_epochs, train
from sknninterp.nn.units import visible_unit

# The unit whose mean an activation is.
_UNIT_OF = {"relu": "relu", "sigmoid": "bernoulli", "tanh": "tanh"}
# They pass on values within the bounds of what they read.
_KEEPING_BOUNDS = (AveragePool, MaxPool, Reshape)


@dataclass(frozen=True)
class PretrainedLayer:
    """A layer's machine and how it was trained.

    Attributes
    ----------
    name : str
        Path of the layer's module.
    rbm : DenseRBM or ConvRBM
        Its parameters are its own: they stay as they are when the network is trained on.
    epochs : list of sknninterp.nn.rbm_training.Epoch
    """

    name: str
    rbm: BaseRBM
    epochs: list[Epoch]


def pretrain(
    module: nn.Module,
    input_shape: Sequence[int],
    batches: Iterable,
    *,
    rule: str = "reconstruction",
    n_epochs: int = 10,
    visible: str = "auto",
    lr: float | None = None,
    hybrid_epochs: tuple[int, int] = (7, 3),
    generator: Generator | None = None,
    on_epoch: Callable[[str, Epoch], None] | None = None,
    keep: Callable[[dict[str, Any]], object] | None = None,
    kept: dict[str, Any] | None = None,
    **options: Any,
) -> list[PretrainedLayer]:
    """Set the weights of a network's layers, one after the other, by what their inputs are like.

    Each linear or convolutional layer but those of the output and those whose weight is frozen
    (`requires_grad=False`) is trained as a restricted Boltzmann machine on what the layers before
    it put out (in evaluation mode), which is computed anew batch by batch: memory does not grow
    with the number of samples. Weight and bias of the machine then become the layer's; the layer's
    own first values do not matter.

    Parameters
    ----------
    module : torch.nn.Module
        Changed in place; parameters keep their identity.
    input_shape : sequence of int
        Shape of one sample.
    batches : iterable of Tensor, or of tuples (inputs, target, weight)
        Gone through many times: not an iterator that is used up. Targets are not looked at, and a
        tuple may end before the weight.
    rule : {"reconstruction", "cd", "exact", "hybrid"}, default="reconstruction"
    n_epochs : int, default=10
        Epochs for each layer. With 0 the layers have a machine's first weights.
    visible : {"auto", "bernoulli", "gaussian", "linear", "relu", "tanh"}, default="auto"
        Visible units of what reads the input. "auto" takes the kind of the layer's hidden units,
        as published, if the inputs lie within its bounds, else "gaussian". The visible units of
        other layers are those of the activation that they read.
    lr : float, default=None
        Learning rate. None takes the published one, 0.01 for "cd" and 0.04 for the others, of a
        convolution divided by its number of positions, and a tenth, a hundredth, ... of it for a
        layer that diverges with that.
    hybrid_epochs : tuple of int, default=(7, 3)
        Epochs of "cd" and of "reconstruction" in "hybrid".
    generator : torch.Generator, default=None
        Draws the first weights. None takes one with a seed from torch's global one, so that the
        first weights do not depend on how the batches are shuffled.
    on_epoch : callable, default=None
        Called with a layer's name and each of its epochs, also those of starts that diverge.
    keep, kept : callable and dict, default=None
        As :func:`sknninterp.nn.rbm_training.train` takes them, to go on with a pretraining that was
        broken off.
    **options
        `momentum`, `momentum_epochs`, `weight_decay`, `n_steps`, `sample_hidden`: see
        :class:`sknninterp.nn.rbm_trainer.RBMTrainer`.

    Returns
    -------
    list of PretrainedLayer

    Raises
    ------
    UnsupportedModuleError
        If the network cannot be read.
    ValueError
        If there is no layer to pretrain, one ends in an activation that is no unit's mean, or the
        inputs lie outside the bounds of `visible` or are no finite numbers.
    TypeError
        If `batches` is an iterator.
    DivergenceError
        If the reconstruction error of a layer grows. The layers before it are pretrained by then.

    Notes
    -----
    A machine's hidden units are activation(W x + b): batch norm between a layer and its activation
    is passed over, and so is what a residual connection adds. A weight that is used more than once
    is pretrained where it is used first.

    References
    ----------
    A. Kroschanka and V. Golovko, *Neural Networks Interpretation Improvement*.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.mlp import MLP
    >>> from sknninterp.nn.pretraining import pretrain
    >>> _ = torch.manual_seed(0)
    >>> network = MLP(6, 2, (8, 4), activation="sigmoid")
    >>> X = torch.rand(64, 6)
    >>> for layer in pretrain(network, (6,), X.split(16)):
    ...     print(layer.name, layer.rbm)
    hidden0 DenseRBM(weight=(8, 6), visible='bernoulli', hidden='bernoulli')
    hidden1 DenseRBM(weight=(4, 8), visible='bernoulli', hidden='bernoulli')
    """
    check_hybrid_epochs(rule, hybrid_epochs, n_epochs)
    if isinstance(batches, Iterator):
        raise TypeError("batches is an iterator, used up after one epoch: take a list or a loader.")
    graph = read(module, input_shape)
    layers = layers_to_pretrain(graph)
    if generator is None:
        generator = Generator().manual_seed(int(torch.randint(2**31, ())))
    bounds = _bounds(batches) if any(_source(layer) is None for layer in layers) else None
    machines = [_machine(layer, visible, bounds, generator) for layer in layers]
    options = {"rule": rule, "lr": lr, "hybrid_epochs": hybrid_epochs, **options}
    done: list[PretrainedLayer] = []
    states = [] if kept is None else list(kept["layers"])  # of the layers that were begun
    for layer, rbm in zip(layers, machines, strict=True):
        told = None if on_epoch is None else _telling(on_epoch, layer.name)
        watched: dict[str, Any] = {
            "on_epoch": told,
            "keep": None if keep is None else _keeping(keep, states, len(done)),
            "kept": states[len(done)] if len(done) < len(states) else None,
        }
        reading = _Reading(graph, layer.weighted.inputs[0], batches)
        try:
            with evaluation(module):
                _, epochs = train(rbm, reading, n_epochs, **watched, **options)
        except DivergenceError as error:
            raise DivergenceError(f"Layer {layer.name!r}: {error}") from error
        _set_parameters(layer, rbm)
        done.append(PretrainedLayer(layer.name, rbm, epochs))
    return done


def layers_to_pretrain(graph: Graph) -> list[Layer]:
    """The layers with a trainable weight, but those whose values make up the output.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    list of Layer
        Of layers with one weight the first.

    Raises
    ------
    ValueError
        If there is none, one ends in an activation that is no unit's mean, or its weight is
        computed from other parameters.
    """
    layers, taken = [], _output_weights(graph)
    for layer in graph.layers:
        weight = layer.weighted.weight
        if weight.requires_grad and weight not in taken:
            _check(layer)
            layers.append(layer)
            taken.add(weight)
    if not layers:
        raise ValueError("This network has no hidden layer to pretrain.")
    return layers


def _output_weights(graph: Graph) -> set[Tensor]:
    """The weights behind which there are no others on some way to the output."""
    last = {graph.output}
    for node in reversed(graph.nodes):
        if node in last and not isinstance(node, Weighted):
            last.update(node.inputs)
    return {node.weight for node in last if isinstance(node, Weighted)}


def _check(layer: Layer) -> None:
    if layer.activation is not None and layer.activation.kind not in _UNIT_OF:
        raise ValueError(
            f"Layer {layer.name!r} ends in {layer.activation.kind!r}: pretraining takes"
            f" {sorted(_UNIT_OF)} or no activation."
        )
    if not isinstance(layer.weighted.weight, nn.Parameter):
        raise ValueError(
            f"Layer {layer.name!r} computes its weight (a parametrization?): it cannot be set."
        )


def _machine(
    layer: Layer, visible: str, bounds: tuple[float, float] | None, generator: Generator
) -> BaseRBM:
    """An untrained machine of a layer's shape."""
    kind = None if layer.activation is None else layer.activation.kind
    hidden = "gaussian" if kind is None else _UNIT_OF.get(kind, "gaussian")
    seen = _source(layer) or visible_unit(visible, *bounds, preferred=hidden).name
    node = layer.weighted
    if isinstance(node, Conv):
        rbm: BaseRBM = ConvRBM(node, seen, hidden, generator=generator)
    else:
        n_hidden, n_visible = node.weight.shape
        factory: dict[str, Any] = {"device": node.weight.device, "dtype": node.weight.dtype}
        rbm = DenseRBM(n_visible, n_hidden, seen, hidden, generator=generator, **factory)
    if node.bias is None or not node.bias.requires_grad:  # nor does the machine learn one
        fixed = torch.zeros(()) if node.bias is None else node.bias
        rbm.bias_hidden.requires_grad_(False).copy_(fixed)
    return rbm


def _source(layer: Layer) -> str | None:
    """Unit of the activation that a layer reads; None where it reads the network's input."""
    node = layer.weighted.inputs[0]
    while type(node) is Route or isinstance(node, _KEEPING_BOUNDS):
        (node,) = node.inputs
    if isinstance(node, Input):
        return None
    return _UNIT_OF.get(node.kind, "gaussian") if isinstance(node, Activation) else "gaussian"


def _bounds(batches: Iterable) -> tuple[float, float]:
    """Least and greatest value of the inputs."""
    ends = [torch.stack(torch.aminmax(_inputs(batch))) for batch in batches]
    if not ends:
        raise ValueError("batches is empty: there is nothing to pretrain on.")
    lows, highs = torch.stack(ends).T
    low, high = float(lows.min()), float(highs.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"The inputs hold NaN or infinite values: from {low} to {high}.")
    return low, high


def _inputs(batch: Any) -> Tensor:
    return batch if isinstance(batch, Tensor) else batch[0]


class _Reading:
    """What a layer reads, and the samples' weights, batch by batch."""

    def __init__(self, graph: Graph, node: Node, batches: Iterable):
        self.graph, self.node, self.batches = graph, node, batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        for batch in self.batches:
            weight = batch[2] if not isinstance(batch, Tensor) and len(batch) > 2 else None
            with torch.no_grad():
                values = self.graph.run(_inputs(batch), until=self.node)[self.node]
            yield values, weight


def _telling(on_epoch: Callable, name: str) -> Callable:
    return lambda epoch: on_epoch(name, epoch)


def _keeping(keep: Callable, states: list[dict[str, Any]], number: int) -> Callable:
    """Keep the state of a layer with those of the layers before it."""

    def keep_layer(state: dict[str, Any]) -> None:
        states[number:] = [state]
        keep({"layers": list(states)})

    return keep_layer


@torch.no_grad()
def _set_parameters(layer: Layer, rbm: BaseRBM) -> None:
    layer.weighted.weight.copy_(rbm.weight)
    if layer.weighted.bias is not None:
        layer.weighted.bias.copy_(rbm.bias_hidden)
