"""Many small networks trained at once: a batch of each is one batched matrix product a layer.

On small networks most of the time goes into calls, not into arithmetic. A stack makes the calls
once for all its networks, which learn nothing of one another: each has its own first weights, its
own samples and its own order of them, and ends where it would have ended alone, up to rounding.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sknninterp.nn.mlp import ACTIVATIONS, MLP


def seeded_networks(
    make: Callable[[], nn.Module], seeds: Sequence[int]
) -> tuple[list[nn.Module], list[torch.Generator]]:
    """Networks, each as `torch.manual_seed(seed)` would start it, and what is left of its chance.

    Parameters
    ----------
    make : callable
        Makes a network.
    seeds : sequence of int

    Returns
    -------
    networks : list of torch.nn.Module
    generators : list of torch.Generator
        Each goes on where torch's own would be after its network was made.
    """
    networks, generators = [], []
    with torch.random.fork_rng(devices=[]):
        for seed in seeds:
            torch.manual_seed(seed)
            networks.append(make())
            generators.append(torch.Generator().set_state(torch.get_rng_state()))
    return networks, generators


class StackedMLP(nn.Module):
    """Fully connected networks of the same widths, layer by layer in one tensor.

    Parameters
    ----------
    networks : sequence of MLP
        Of the same widths and activation, without batch norm and dropout. Their weights are
        copied.

    Attributes
    ----------
    weights : ParameterList
        Of each layer, (n_networks, n_in, n_out).
    biases : ParameterList
        Of each layer, (n_networks, 1, n_out).
    activation : str
        A key of :data:`sknninterp.nn.mlp.ACTIVATIONS`.

    Raises
    ------
    ValueError
        If the networks are not of one shape, or hold other layers.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.mlp import MLP
    >>> from sknninterp.nn.stacked import StackedMLP
    >>> networks = [MLP(4, 2, (8,)) for _ in range(3)]
    >>> stack = StackedMLP(networks)
    >>> X = torch.randn(3, 16, 4)  # 16 samples for each
    >>> stack(X).shape
    torch.Size([3, 16, 2])
    >>> torch.allclose(stack(X)[1], networks[1](X[1]), atol=1e-6)
    True
    """

    def __init__(self, networks: Sequence[MLP]):
        super().__init__()
        layers = [_linear_layers(network) for network in networks]
        shapes = {tuple(layer.weight.shape for layer in of_one) for of_one in layers}
        kinds = {_activation_of(network) for network in networks}
        if len(shapes) != 1 or len(kinds) != 1:
            raise ValueError("networks must have the same widths and activation.")
        (self.activation,) = kinds
        self._activate = None if self.activation is None else ACTIVATIONS[self.activation]()
        with torch.no_grad():
            self.weights = nn.ParameterList(
                torch.stack([layer.weight.T for layer in same])
                for same in zip(*layers, strict=True)
            )
            self.biases = nn.ParameterList(
                torch.stack([layer.bias[None] for layer in same])
                for same in zip(*layers, strict=True)
            )

    def __len__(self):
        return len(self.weights[0])

    @property
    def widths(self) -> list[int]:
        """Of the hidden layers."""
        return [weight.shape[2] for weight in self.weights[:-1]]

    def forward(self, x: Tensor) -> Tensor:
        """Outputs, (n_networks, n_samples, n_outputs), of samples (n_networks, n_samples, n_in)."""
        for values in self.pre_activations(x):
            last = values
        return last

    def pre_activations(self, x: Tensor) -> Iterator[Tensor]:
        """Values of each layer before its activation, and last the outputs.

        Parameters
        ----------
        x : Tensor of shape (n_networks, n_samples, n_in)
        """
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if i:
                x = self._activate(x)
            x = torch.baddbmm(bias, x, weight)
            yield x

    @torch.no_grad()
    def unstack(
        self,
        networks: Sequence[MLP],
        optimizer: torch.optim.Optimizer | None = None,
        optimizers: Sequence[torch.optim.Optimizer] = (),
    ) -> None:
        """Write the weights into networks of their own.

        Parameters
        ----------
        networks : sequence of MLP
            As many as there are, changed in place; parameters keep their identity. Layers that
            were made narrower are made so here.
        optimizer : torch.optim.Optimizer, default=None
            The stack's, whose state `optimizers` get.
        optimizers : sequence of torch.optim.Optimizer, default=()
            Of each network, of the same kind.
        """
        for number, network in enumerate(networks):
            own = optimizers[number] if optimizers else None
            for layer, weight, bias in zip(
                _linear_layers(network), self.weights, self.biases, strict=True
            ):
                layer.in_features, layer.out_features = weight.shape[1:]
                for parameter, stacked in ((layer.weight, weight), (layer.bias, bias)):
                    parameter.data = _of_one(stacked.data, number, parameter)
                    parameter.grad = None
                    if own is not None:
                        own.state[parameter] = {
                            name: _of_one(value, number, parameter)
                            if _is_like(value, stacked)
                            else copy.deepcopy(value)
                            for name, value in optimizer.state[stacked].items()
                        }

    def keep_neurons(
        self, layer: int, kept: Tensor, optimizer: torch.optim.Optimizer | None = None
    ) -> None:
        """Remove a hidden layer's other neurons, and what the optimizer knows of them.

        Parameters
        ----------
        layer : int
            Number of the hidden layer, from 0.
        kept : Tensor of int, shape (n_networks, n_kept)
            Positions in each network.
        optimizer : torch.optim.Optimizer, default=None
        """
        _take(self.weights[layer], kept, 2, optimizer)
        _take(self.biases[layer], kept, 2, optimizer)
        _take(self.weights[layer + 1], kept, 1, optimizer)

    def keep_networks(self, kept: Tensor, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Drop the other networks.

        Parameters
        ----------
        kept : Tensor of int, shape (n_kept,)
        optimizer : torch.optim.Optimizer, default=None
        """
        for parameter in self.parameters():
            _replace(parameter, lambda values: values[kept], optimizer)


def _linear_layers(network: MLP) -> list[nn.Linear]:
    layers = [module for module in network if isinstance(module, nn.Linear)]
    activations = [module for module in network if not isinstance(module, nn.Linear)]
    if any(type(module) not in ACTIVATIONS.values() for module in activations):
        raise ValueError("networks with batch norm, dropout or other layers cannot be stacked.")
    return layers


def _activation_of(network: MLP) -> str | None:
    kinds = {type(module) for module in network if not isinstance(module, nn.Linear)}
    names = {kind: name for name, kind in ACTIVATIONS.items()}
    return names[kinds.pop()] if kinds else None


def _take(parameter: Tensor, kept: Tensor, axis: int, optimizer) -> None:
    """Keep positions `kept` of each network along an axis, in place."""

    def taken(values):
        index = kept.unsqueeze(2 if axis == 1 else 1)
        shape = list(values.shape)
        shape[axis] = kept.shape[1]
        return values.gather(axis, index.expand(shape))

    _replace(parameter, taken, optimizer)


def _of_one(values: Tensor, number: int, parameter: Tensor) -> Tensor:
    """A network's own among stacked weights or biases, as its layer has them."""
    own = values[number]
    return own.T.contiguous() if parameter.ndim == 2 else own[0].clone()


def _is_like(value, parameter: Tensor) -> bool:
    """Whether a part of an optimizer's state belongs to each number of the parameter."""
    return isinstance(value, Tensor) and value.shape == parameter.shape


def _replace(parameter: Tensor, change: Callable[[Tensor], Tensor], optimizer) -> None:
    """Change a parameter and all state of its shape that the optimizer has."""
    if optimizer is not None:
        state = optimizer.state.get(parameter, {})
        for name, values in state.items():
            if _is_like(values, parameter):
                state[name] = change(values).contiguous()
    with torch.no_grad():
        parameter.data = change(parameter.data).contiguous()
    parameter.grad = None


# --- samples ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StackedBatch:
    """A batch of each network.

    Attributes
    ----------
    inputs : Tensor of shape (n_networks, batch_size, n_in)
    target : Tensor of shape (n_networks, batch_size, ...)
    weight : Tensor of shape (n_networks, batch_size), or None
        Of each sample; None where all are 1.
    sizes : ndarray of shape (n_networks,)
        Samples in it; what is beyond has the weight 0.
    """

    inputs: Tensor
    target: Tensor
    weight: Tensor | None
    sizes: np.ndarray

    @property
    def shares(self) -> Tensor:
        """Of each sample in the mean of its network's batch, (n_networks, batch_size)."""
        like = self.inputs
        share = torch.as_tensor(1 / self.sizes, dtype=like.dtype, device=like.device)[:, None]
        return share.expand(like.shape[:2]) if self.weight is None else share * self.weight


class StackedBatches:
    """Batches of samples that lie in memory once, each network with rows and an order of its own.

    Parameters
    ----------
    inputs : Tensor of shape (n_samples, n_in)
    target : Tensor of shape (n_samples, ...)
    rows : sequence of Tensor of int
        The samples of each network: a fold, a resample. Their numbers may differ as long as the
        numbers of batches do not.
    batch_size : int
        A last batch of one sample joins the one before it.
    weight : sequence of Tensor, default=None
        Weights of the samples of each network, in the order of its rows.
    generators : sequence of torch.Generator, default=None
        Draw the order of each network's samples, anew each time; None keeps it.

    Raises
    ------
    ValueError
        If the networks have different numbers of batches.
    """

    def __init__(self, inputs, target, rows, batch_size, weight=None, generators=None):
        self.inputs, self.target = inputs, target
        self.rows, self.weight, self.generators = rows, weight, generators
        bounds = [batch_bounds(len(of_one), batch_size) for of_one in rows]
        if len({len(of_one) for of_one in bounds}) != 1:
            raise ValueError("Networks of a stack must have the same number of batches.")
        # Only the ends of the last batches differ.
        self._starts = [start for start, _ in bounds[0]]
        self._stops = np.array([[stop for _, stop in of_one] for of_one in bounds]).T

    def __len__(self):
        return len(self._starts)

    def _ordered(self) -> tuple[Tensor, Tensor | None]:
        """Rows of all networks, padded to the longest, and weights (0 where there is no row)."""
        rows, weights = [], []
        for number, of_one in enumerate(self.rows):
            order = None
            if self.generators is not None:
                order = torch.randperm(len(of_one), generator=self.generators[number])
                order = order.to(of_one.device)
            rows.append(of_one if order is None else of_one[order])
            if self.weight is not None:
                own = self.weight[number]
                weights.append(own if order is None else own[order])
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return padded, nn.utils.rnn.pad_sequence(weights, batch_first=True) if weights else None

    def __iter__(self) -> Iterator[StackedBatch]:
        rows, weights = self._ordered()
        for start, stops in zip(self._starts, self._stops, strict=True):
            stop, sizes = stops.max(), stops - start
            chosen = rows[:, start:stop]
            flat = chosen.reshape(-1)
            inputs = self.inputs.index_select(0, flat).unflatten(0, chosen.shape)
            target = self.target.index_select(0, flat).unflatten(0, chosen.shape)
            weight = None if weights is None else weights[:, start:stop]
            if weight is None and sizes.min() < stop - start:
                places = torch.arange(stop - start, device=inputs.device)
                there = places < torch.as_tensor(sizes, device=inputs.device)[:, None]
                weight = there.to(inputs.dtype)
            yield StackedBatch(inputs, target, weight, sizes)


def batch_bounds(n_samples: int, batch_size: int) -> list[tuple[int, int]]:
    """Starts and stops of batches; a last batch of one sample joins the one before it.

    Batch norm cannot train on one sample.

    Parameters
    ----------
    n_samples, batch_size : int
    """
    stops = list(range(batch_size, n_samples, batch_size))
    if stops and n_samples - stops[-1] == 1 and batch_size > 1:
        stops.pop()
    return list(zip([0, *stops], [*stops, n_samples], strict=True))


# --- losses -------------------------------------------------------------------------------------


class CrossEntropy:
    """Cross-entropy of logits and class numbers."""

    @staticmethod
    def __call__(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each sample and its gradient.

        Parameters
        ----------
        output : Tensor of shape (n_networks, n_samples, n_classes)
        target : Tensor of int, shape (n_networks, n_samples)

        Returns
        -------
        losses : Tensor of shape (n_networks, n_samples)
        gradient : Tensor of shape (n_networks, n_samples, n_classes)
        """
        logs = output.log_softmax(2)
        places = target[..., None]
        gradient = logs.exp().scatter_add_(2, places, -torch.ones_like(logs[..., :1]))
        return -logs.gather(2, places)[..., 0], gradient


class SquaredError:
    """Squared error, the mean over the outputs."""

    @staticmethod
    def __call__(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each sample and its gradient.

        Parameters
        ----------
        output, target : Tensor of shape (n_networks, n_samples, n_outputs)

        Returns
        -------
        losses : Tensor of shape (n_networks, n_samples)
        gradient : Tensor of shape (n_networks, n_samples, n_outputs)
        """
        error = output - target
        return error.square().mean(2), error * (2 / error.shape[2])


# --- training -----------------------------------------------------------------------------------

_aten = torch.ops.aten
# Slopes of the activations, written over the gradient: (gradient, pre-activation, activation).
_BACKWARD: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "relu": lambda g, pre, post: _aten.threshold_backward.grad_input(g, post, 0, grad_input=g),
    "sigmoid": lambda g, pre, post: _aten.sigmoid_backward.grad_input(g, post, grad_input=g),
    "tanh": lambda g, pre, post: _aten.tanh_backward.grad_input(g, post, grad_input=g),
    "leaky_relu": lambda g, pre, post: _aten.leaky_relu_backward.grad_input(
        g, pre, 0.01, False, grad_input=g
    ),
    "elu": lambda g, pre, post: _aten.elu_backward.grad_input(
        g, 1.0, 1.0, 1.0, False, pre, grad_input=g
    ),
    "gelu": lambda g, pre, post: _aten.gelu_backward.grad_input(g, pre, grad_input=g),
    "silu": lambda g, pre, post: _aten.silu_backward.grad_input(g, pre, grad_input=g),
}
_FORWARD: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "relu": lambda pre, out: torch.clamp_min(pre, 0, out=out),
    "sigmoid": lambda pre, out: torch.sigmoid(pre, out=out),
    "tanh": lambda pre, out: torch.tanh(pre, out=out),
    "leaky_relu": lambda pre, out: _aten.leaky_relu.out(pre, 0.01, out=out),
    "elu": lambda pre, out: _aten.elu.out(pre, out=out),
    "gelu": lambda pre, out: _aten.gelu.out(pre, out=out),
    "silu": lambda pre, out: _aten.silu.out(pre, out=out),
}


class Backpropagation:
    """Gradients of a stack, written into the same memory batch after batch.

    Fresh memory for every value costs more than the arithmetic: the operating system hands it out
    page by page.

    Parameters
    ----------
    stack : StackedMLP
    loss : CrossEntropy or SquaredError
    """

    def __init__(self, stack: StackedMLP, loss):
        self.stack, self.loss = stack, loss
        self._buffers: dict[tuple, Tensor] = {}

    def _buffer(self, name: str, number: int, shape: tuple[int, ...]) -> Tensor:
        like = self.stack.weights[0]
        # One a place, as large as the largest batch.
        found, size = self._buffers.get((name, number)), math.prod(shape)
        if found is None or len(found) < size:
            found = torch.empty(size, dtype=like.dtype, device=like.device)
            self._buffers[name, number] = found
        return found[:size].view(shape)

    @torch.no_grad()
    def __call__(self, batch: StackedBatch) -> Tensor:
        """Mean loss of each network, (n_networks,), with the gradients in the parameters' `grad`.

        Parameters
        ----------
        batch : StackedBatch
        """
        stack, kind = self.stack, self.stack.activation
        n_networks, n_samples, _ = batch.inputs.shape
        values, before = [batch.inputs], []
        for i, (weight, bias) in enumerate(zip(stack.weights, stack.biases, strict=True)):
            shape = n_networks, n_samples, weight.shape[2]
            pre = torch.baddbmm(bias, values[-1], weight, out=self._buffer("pre", i, shape))
            before.append(pre)
            if i < len(stack.weights) - 1:
                # ReLU's slope is known from its value: it may take the same place.
                post = pre if kind == "relu" else self._buffer("post", i, shape)
                values.append(_FORWARD[kind](pre, post))
        losses, gradient = self.loss(before[-1], batch.target)
        shares = batch.shares
        gradient *= shares[..., None]
        for i in range(len(stack.weights) - 1, -1, -1):
            weight, bias = stack.weights[i], stack.biases[i]
            for parameter in (weight, bias):
                if parameter.grad is None:
                    parameter.grad = torch.empty_like(parameter)
            torch.bmm(values[i].transpose(1, 2), gradient, out=weight.grad)
            torch.sum(gradient, 1, keepdim=True, out=bias.grad)
            if i:
                buffer = self._buffer("gradient", i, tuple(values[i].shape))
                torch.bmm(gradient, weight.transpose(1, 2), out=buffer)
                gradient = _BACKWARD[kind](buffer, before[i - 1], values[i])
        return (losses * shares).sum(1)


def train_epoch(
    gradients: Backpropagation, batches: StackedBatches, optimizer: torch.optim.Optimizer
) -> np.ndarray:
    """Train every network of a stack for one epoch.

    Parameters
    ----------
    gradients : Backpropagation
    batches : StackedBatches
    optimizer : torch.optim.Optimizer
        Of the stack's parameters; one that treats each number by itself, as all but L-BFGS do.

    Returns
    -------
    ndarray of shape (n_networks,)
        Mean loss of each.
    """
    losses, sizes = [], []
    for batch in batches:
        losses.append(gradients(batch))
        optimizer.step()
        sizes.append(batch.sizes)
    return np.average(torch.stack(losses).cpu().numpy(), axis=0, weights=np.stack(sizes))


@torch.no_grad()
def mean_loss(stack: StackedMLP, batches: StackedBatches, loss) -> np.ndarray:
    """Mean loss of each network on its samples, (n_networks,).

    Parameters
    ----------
    stack : StackedMLP
    batches : StackedBatches
    loss : CrossEntropy or SquaredError
    """
    losses, sizes = [], []
    for batch in batches:
        found = loss(stack(batch.inputs), batch.target)[0]
        losses.append((found * batch.shares).sum(1))
        sizes.append(batch.sizes)
    return np.average(torch.stack(losses).cpu().numpy(), axis=0, weights=np.stack(sizes))
