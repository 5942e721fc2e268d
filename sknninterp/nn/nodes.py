"""The kinds of node that a network is read into, and what each can do.

A node kind knows four things: its value given its inputs' values (`forward`), the transpose of its
linear part (`transpose`, which weight products need), and for pruning how the units of its inputs
become its own (`connect`) and what has to be cut when they go (`tensors`). What is read into which
kind is said in :mod:`sknninterp.nn.builders`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from sknninterp.nn.embeddings import NumericEmbedding


class UnsupportedModuleError(ValueError):
    """A network holds something that cannot be read; the message names it and its path."""


class Node:
    """One operation of a network.

    Attributes
    ----------
    name : str
        Unique in its graph: the module's path, or the name of the function called.
    inputs : tuple of Node
    shape : tuple of int
        Shape of the value without the batch axis; axis 0 here holds the channels or neurons.
    """

    def __init__(self, name: str, inputs: tuple[Node, ...], shape: tuple[int, ...]):
        self.name = name
        self.inputs = inputs
        self.shape = tuple(shape)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, shape={self.shape})"

    def forward(self, *values: Tensor) -> Tensor:
        """Value of this node, in evaluation mode, from the values of its inputs."""
        raise NotImplementedError

    def transpose(self, rows: Tensor, absolute: bool = False) -> tuple[Tensor, ...]:
        """Transposed linear part applied to `rows` (n_rows, *shape), one result per input.

        Biases play no part and activations pass through; `absolute` takes weights' magnitudes.
        """
        raise NotImplementedError

    def connect(self, units: UnitMap) -> np.ndarray:
        """Units of this node's channels, given those of its inputs."""
        raise NotImplementedError

    def tensors(self) -> list[tuple[nn.Module, str, tuple[Node, ...]]]:
        """Parameters and buffers with channel axes: owner, name, the node each axis belongs to."""
        return []


class UnitMap:
    """Which channels are one unit and must go together: union-find over integers.

    A unit is *frozen* when it belongs to the network's inputs or outputs or cannot be cut.
    """

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._frozen: set[int] = set()
        self.of: dict[Node, np.ndarray] = {}

    def new(self, n: int) -> np.ndarray:
        start = len(self._parent)
        self._parent.extend(range(start, start + n))
        return np.arange(start, start + n)

    def find(self, unit: int) -> int:
        while self._parent[unit] != unit:
            self._parent[unit] = self._parent[self._parent[unit]]
            unit = self._parent[unit]
        return unit

    def tie(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        for i, j in zip(a.tolist(), b.tolist(), strict=True):
            i, j = self.find(i), self.find(j)
            self._parent[max(i, j)] = min(i, j)
        return a

    def freeze(self, units: np.ndarray) -> np.ndarray:
        self._frozen.update(units.tolist())
        return units

    def resolve(self) -> tuple[dict[Node, np.ndarray], set[int]]:
        """Representative of each node's units, and the frozen representatives."""
        units = {n: np.array([self.find(i) for i in u.tolist()], int) for n, u in self.of.items()}
        return units, {self.find(i) for i in self._frozen}


class Input(Node):
    """The network's input."""

    def connect(self, units: UnitMap) -> np.ndarray:
        return units.freeze(units.new(self.shape[0]))


class Route(Node):
    """Passes its input on: dropout (in evaluation), identity."""

    def forward(self, value: Tensor) -> Tensor:
        return value

    def transpose(self, rows: Tensor, absolute: bool = False) -> tuple[Tensor, ...]:
        return (rows,)

    def connect(self, units: UnitMap) -> np.ndarray:
        return units.of[self.inputs[0]]


class Activation(Route):
    """An elementwise non-linearity, or a softmax at the end of a classifier."""

    def __init__(
        self,
        name: str,
        inputs: tuple[Node, ...],
        shape: tuple[int, ...],
        kind: str,
        function: Callable[[Tensor], Tensor],
    ):
        super().__init__(name, inputs, shape)
        self.kind = kind
        self.function = function

    @property
    def is_softmax(self) -> bool:
        """Whether it normalises over the outputs, and so is not elementwise."""
        return self.kind in ("softmax", "log_softmax")

    def forward(self, value: Tensor) -> Tensor:
        return self.function(value)


class Reshape(Route):
    """Flatten, view, reshape, squeeze: the same numbers under another shape.

    Where the code writes the number of channels out (`view(-1, 2048)`), they cannot be cut.
    """

    def __init__(
        self, name: str, inputs: tuple[Node, ...], shape: tuple[int, ...], written_out: bool = False
    ):
        super().__init__(name, inputs, shape)
        self.written_out = written_out

    def forward(self, value: Tensor) -> Tensor:
        return value.reshape(len(value), *self.shape)

    def transpose(self, rows: Tensor, absolute: bool = False) -> tuple[Tensor, ...]:
        return (rows.reshape(len(rows), *self.inputs[0].shape),)

    def connect(self, units: UnitMap) -> np.ndarray:
        before = units.of[self.inputs[0]]
        n_before, n_after = len(before), self.shape[0] if self.shape else 1
        if self.written_out:
            units.freeze(before)
        if n_after % n_before == 0:
            return np.repeat(before, n_after // n_before)
        if n_before % n_after == 0:
            chunks = before.reshape(n_after, -1)
            for column in chunks.T[1:]:
                units.tie(chunks[:, 0], column)
            return chunks[:, 0]
        units.freeze(before)
        return units.freeze(units.new(n_after))


class Weighted(Node):
    """A layer with a weight: its output channels are the neurons that users speak of.

    `owner` holds the parameters under `weight_name` and `bias_name`, so that they can be replaced.
    """

    groups = 1

    def __init__(
        self,
        name: str,
        inputs: tuple[Node, ...],
        shape: tuple[int, ...],
        owner: nn.Module,
        weight_name: str = "weight",
        bias_name: str | tuple = "bias",
    ):
        super().__init__(name, inputs, shape)
        self._weight = (owner, weight_name)
        self._bias = bias_name if isinstance(bias_name, tuple) else (owner, bias_name)

    @property
    def weight(self) -> nn.Parameter:
        return getattr(*self._weight)

    @property
    def bias(self) -> nn.Parameter | None:
        owner, name = self._bias
        return None if name is None else getattr(owner, name)

    @property
    def owner(self) -> nn.Module:
        return self._weight[0]

    @property
    def key(self) -> tuple[nn.Module, str]:
        """What its uses have in common: the owner and name of the weight."""
        return self._weight

    def apply(self, value: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The layer's linear map with other parameters in place of its own."""
        raise NotImplementedError

    def apply_transposed(self, rows: Tensor, weight: Tensor) -> Tensor:
        """The transpose of `apply`: from rows of this node's shape to rows of its input's."""
        raise NotImplementedError

    def forward(self, value: Tensor) -> Tensor:
        return self.apply(value, self.weight, self.bias)

    def transpose(self, rows: Tensor, absolute: bool = False) -> tuple[Tensor, ...]:
        weight = self.weight.detach()
        return (self.apply_transposed(rows, weight.abs() if absolute else weight),)

    def connect(self, units: UnitMap) -> np.ndarray:
        before = units.of[self.inputs[0]]
        n_in, n_out = len(before), self.shape[0]
        if self.groups == 1:
            return units.new(n_out)
        written_out = not isinstance(self.owner, (nn.Conv1d, nn.Conv2d))
        if self.groups == n_in and not written_out:
            # Depthwise: each output channel belongs to one input channel.
            return np.repeat(before, n_out // n_in)
        units.freeze(before)
        return units.freeze(units.new(n_out))

    def tensors(self) -> list[tuple[nn.Module, str, tuple[Node, ...]]]:
        axes: tuple[Node, ...] = (self, self.inputs[0]) if self.groups == 1 else (self,)
        found = [(*self._weight, axes)]
        return found if self.bias is None else [*found, (*self._bias, (self,))]


class Linear(Weighted):
    """Fully connected layer on (n_samples, n_features)."""

    def apply(self, value: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.linear(value, weight, bias)

    def apply_transposed(self, rows: Tensor, weight: Tensor) -> Tensor:
        return rows @ weight


class Conv(Weighted):
    """Convolution in one or two dimensions, zero padded."""

    def __init__(self, *args: Any, groups: int = 1, **options: Any):
        super().__init__(*args)
        self.groups = groups
        self.options = options  # stride, padding, dilation

    def apply(self, value: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        function = F.conv1d if weight.ndim == 3 else F.conv2d
        return function(value, weight, bias, groups=self.groups, **self.options)

    def apply_transposed(self, rows: Tensor, weight: Tensor) -> Tensor:
        n_axes = weight.ndim - 2
        function = F.conv_transpose1d if n_axes == 1 else F.conv_transpose2d
        stride, dilation = (per_axis(self.options[k], n_axes) for k in ("stride", "dilation"))
        reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        padding = self.options["padding"]
        if padding == "same":  # torch pads an odd margin at the end, where there is a crop below
            padding = [r // 2 for r in reach]
        padding = [0] * n_axes if padding == "valid" else per_axis(padding, n_axes)
        sizes = self.inputs[0].shape[1:]
        # What the strides leave over at the end of the input.
        rest = [
            size - ((n - 1) * s - 2 * p + r + 1)
            for size, n, s, p, r in zip(sizes, rows.shape[2:], stride, padding, reach, strict=True)
        ]
        found = function(
            rows,
            weight,
            stride=stride,
            padding=padding,
            output_padding=[max(r, 0) for r in rest],
            groups=self.groups,
            dilation=dilation,
        )
        for axis, size in enumerate(sizes, 2):
            found = found.narrow(axis, 0, size)
        return found


class BatchNorm(Route):
    """Batch norm in evaluation: a scale and a shift per channel."""

    def __init__(
        self, name: str, inputs: tuple[Node, ...], shape: tuple[int, ...], module: nn.Module
    ):
        super().__init__(name, inputs, shape)
        self.owner: Any = module

    @property
    def scale(self) -> Tensor:
        """Factor per channel, (n_channels,)."""
        scale = (self.owner.running_var + self.owner.eps).rsqrt()
        return scale if self.owner.weight is None else scale * self.owner.weight.detach()

    @property
    def shift(self) -> Tensor:
        """What is added per channel, (n_channels,)."""
        shift = -self.owner.running_mean * self.scale
        return shift if self.owner.bias is None else shift + self.owner.bias.detach()

    def forward(self, value: Tensor) -> Tensor:
        norm = self.owner
        return F.batch_norm(
            value, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
        )

    def transpose(self, rows: Tensor, absolute: bool = False) -> tuple[Tensor, ...]:
        scale = self.scale.abs() if absolute else self.scale
        return (rows * scale.reshape(-1, *[1] * (len(self.shape) - 1)),)

    def tensors(self) -> list[tuple[nn.Module, str, tuple[Node, ...]]]:
        names = ("weight", "bias", "running_mean", "running_var")
        return [(self.owner, n, (self,)) for n in names if getattr(self.owner, n) is not None]


class AveragePool(Route):
    """Average pooling, adaptive or not, and the mean over all positions."""

    def __init__(
        self,
        name: str,
        inputs: tuple[Node, ...],
        shape: tuple[int, ...],
        function: Callable[..., Tensor],
    ):
        super().__init__(name, inputs, shape)
        self.function = function

    def forward(self, value: Tensor) -> Tensor:
        return self.function(value)

    def transpose(self, rows: Tensor, absolute: bool = False) -> tuple[Tensor, ...]:
        return (_vjp(self.function, self.inputs[0].shape, rows),)


class MaxPool(Route):
    """Max pooling: `function(value)` gives the maxima, with `return_indices` also their places.

    It has no weights: `average` is the average pool of the same windows.
    """

    def __init__(
        self,
        name: str,
        inputs: tuple[Node, ...],
        shape: tuple[int, ...],
        function: Callable[..., Any],
        average: Callable[..., Tensor] | None,
    ):
        super().__init__(name, inputs, shape)
        self.function = function
        self.average = average

    def forward(self, value: Tensor) -> Tensor:
        return self.function(value)

    def forward_with_indices(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """The maxima, and the place of each (the first on ties) among the flat positions."""
        return self.function(value, return_indices=True)

    def gather(self, value: Tensor, indices: Tensor) -> Tensor:
        """What stands in `value` where the maxima were found."""
        return value.flatten(2).gather(2, indices.flatten(2)).view(indices.shape)

    def scatter(self, rows: Tensor, indices: Tensor) -> Tensor:
        """Transpose of `gather`, for any whole number of rows per sample."""
        shape = self.inputs[0].shape
        found = rows.new_zeros(len(rows), shape[0], math.prod(shape[1:]))
        places = indices.flatten(2).repeat(len(rows) // len(indices), 1, 1)
        return found.scatter_add_(2, places, rows.flatten(2)).view(len(rows), *shape)

    def transpose(self, rows: Tensor, absolute: bool = False) -> tuple[Tensor, ...]:
        return (_vjp(self.average, self.inputs[0].shape, rows),)


class Add(Node):
    """Sum of branches: a residual connection."""

    def forward(self, *values: Tensor) -> Tensor:
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total

    def transpose(self, rows: Tensor, absolute: bool = False) -> tuple[Tensor, ...]:
        return tuple(_unbroadcast(rows, node.shape) for node in self.inputs)

    def connect(self, units: UnitMap) -> np.ndarray:
        first, *others = (units.of[node] for node in self.inputs)
        for other in others:
            units.tie(first, other)
        return first


class Concat(Node):
    """Branches side by side along the channel axis."""

    def forward(self, *values: Tensor) -> Tensor:
        return torch.cat(values, 1)

    def transpose(self, rows: Tensor, absolute: bool = False) -> tuple[Tensor, ...]:
        return torch.split(rows, [node.shape[0] for node in self.inputs], 1)

    def connect(self, units: UnitMap) -> np.ndarray:
        return np.concatenate([units.of[node] for node in self.inputs])


class Embedding(Node):
    """Features as several numbers each (:mod:`sknninterp.nn.embeddings`); no linear map."""

    def __init__(
        self,
        name: str,
        inputs: tuple[Node, ...],
        shape: tuple[int, ...],
        module: NumericEmbedding,
    ):
        super().__init__(name, inputs, shape)
        self.module = module

    def forward(self, value: Tensor) -> Tensor:
        return self.module(value)

    def transpose(self, rows: Tensor, absolute: bool = False) -> tuple[Tensor, ...]:
        raise UnsupportedModuleError(
            f"{type(self.module).__name__} at {self.name!r} is not linear: read the network behind"
            " it (sknninterp.nn.embeddings.split_embedding)."
        )

    def connect(self, units: UnitMap) -> np.ndarray:
        return units.freeze(units.new(self.shape[0]))


def _vjp(function: Any, shape: tuple[int, ...], rows: Tensor) -> Tensor:
    """Transpose of a linear `function` on values of `shape`, applied to `rows`."""
    with torch.enable_grad():
        x = torch.zeros((len(rows), *shape), dtype=rows.dtype, device=rows.device)
        x.requires_grad_()
        return torch.autograd.grad(function(x), x, rows)[0]


def per_axis(option: int | tuple[int, ...], n_axes: int) -> list[int]:
    """A convolution's option for each of its axes."""
    return [option] * n_axes if isinstance(option, int) else list(option)


def _unbroadcast(rows: Tensor, shape: tuple[int, ...]) -> Tensor:
    axes = [i + 1 for i, n in enumerate(shape) if n == 1 and rows.shape[i + 1] != 1]
    return rows.sum(axes, keepdim=True) if axes else rows
