"""Training of a stack: batches, losses, and gradients written into the same memory each time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sknninterp.nn.stacked import StackedMLP

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

    def __init__(
        self,
        inputs: Tensor,
        target: Tensor,
        rows: Sequence[Tensor],
        batch_size: int,
        weight: Sequence[Tensor] | None = None,
        generators: Sequence[torch.Generator] | None = None,
    ):
        self.inputs, self.target = inputs, target
        self.rows, self.weight, self.generators = rows, weight, generators
        bounds = [batch_bounds(len(of_one), batch_size) for of_one in rows]
        if len({len(of_one) for of_one in bounds}) != 1:
            raise ValueError("Networks of a stack must have the same number of batches.")
        # Only the ends of the last batches differ.
        self._starts = [start for start, _ in bounds[0]]
        self._stops = np.array([[stop for _, stop in of_one] for of_one in bounds]).T

    def __len__(self) -> int:
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

    def __init__(self, stack: StackedMLP, loss: CrossEntropy | SquaredError):
        self.stack, self.loss = stack, loss
        self._buffers: dict[tuple, Tensor] = {}
        self._views: dict[tuple, Tensor] = {}

    def _buffer(self, name: str, number: int, shape: tuple[int, ...]) -> Tensor:
        view = self._views.get((name, number, shape))
        if view is not None:
            return view
        like = self.stack.weights[0]
        # One a place, as large as the largest batch.
        found, size = self._buffers.get((name, number)), math.prod(shape)
        if found is None or len(found) < size:
            found = torch.empty(size, dtype=like.dtype, device=like.device)
            self._buffers[name, number] = found
            self._views = {k: v for k, v in self._views.items() if k[:2] != (name, number)}
        view = self._views[name, number, shape] = found[:size].view(shape)
        return view

    @torch.no_grad()
    def __call__(self, batch: StackedBatch) -> Tensor:
        """Mean loss of each network, (n_networks,), with the gradients in the parameters' `grad`.

        Parameters
        ----------
        batch : StackedBatch
        """
        kind = self.stack.activation or ""  # which is None without a hidden layer
        weights, biases = list(self.stack.weights), list(self.stack.biases)
        n_networks, n_samples, _ = batch.inputs.shape
        values, before = [batch.inputs], []
        for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            shape = n_networks, n_samples, weight.shape[2]
            pre = torch.baddbmm(bias, values[-1], weight, out=self._buffer("pre", i, shape))
            before.append(pre)
            if i < len(weights) - 1:
                # ReLU's slope is known from its value: it may take the same place.
                post = pre if kind == "relu" else self._buffer("post", i, shape)
                values.append(_FORWARD[kind](pre, post))
        losses, gradient = self.loss(before[-1], batch.target)
        shares = batch.shares
        gradient *= shares[..., None]
        for i in range(len(weights) - 1, -1, -1):
            weight, bias = weights[i], biases[i]
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
    gradients: Backpropagation,
    batches: StackedBatches,
    optimizer: torch.optim.Optimizer,
    after_step: Callable[[], None] | None = None,
) -> np.ndarray:
    """Train every network of a stack for one epoch.

    Parameters
    ----------
    gradients : Backpropagation
    batches : StackedBatches
    optimizer : torch.optim.Optimizer
        Of the stack's parameters; one that treats each number by itself, as all but L-BFGS do.
    after_step : callable, default=None
        Called after each step of the optimizer.

    Returns
    -------
    ndarray of shape (n_networks,)
        Mean loss of each.
    """
    losses, sizes = [], []
    for batch in batches:
        losses.append(gradients(batch))
        optimizer.step()
        if after_step is not None:
            after_step()
        sizes.append(batch.sizes)
    return _over_batches(losses, sizes)


@torch.no_grad()
def mean_loss(
    stack: StackedMLP, batches: StackedBatches, loss: CrossEntropy | SquaredError
) -> np.ndarray:
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
    return _over_batches(losses, sizes)


def _over_batches(losses: list[Tensor], sizes: list[np.ndarray]) -> np.ndarray:
    """Mean loss of each network from those of its batches."""
    return np.average(torch.stack(losses).cpu().numpy(), axis=0, weights=np.stack(sizes))
