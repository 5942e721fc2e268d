"""The kinds of node that a network is read into, and what each can do.

A node kind knows three things: its value given its inputs' values (`forward`), the transpose of its
linear part (`transpose`, which weight products need), and how the units of its inputs become its
own (`connect`, which pruning needs). A new layer type is taught here and nowhere else: write
or reuse a kind, then register what it is made from in `MODULES`, `FUNCTIONS` or `METHODS`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


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

    def __repr__(self):
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


class UnitMap:
    """Which channels are one unit and must go together: union-find over integers.

    A unit is *frozen* when it belongs to the network's inputs or outputs or cannot be cut.
    """

    def __init__(self):
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

    def connect(self, units):
        return units.freeze(units.new(self.shape[0]))


class Route(Node):
    """Passes its input on: dropout (in evaluation), identity."""

    def forward(self, value):
        return value

    def transpose(self, rows, absolute=False):
        return (rows,)

    def connect(self, units):
        return units.of[self.inputs[0]]


class Activation(Route):
    """An elementwise non-linearity, or a softmax at the end of a classifier."""

    def __init__(self, name, inputs, shape, kind: str, function: Callable[[Tensor], Tensor]):
        super().__init__(name, inputs, shape)
        self.kind = kind
        self.function = function

    def forward(self, value):
        return self.function(value)


class Reshape(Route):
    """Flatten, view, reshape, squeeze: the same numbers under another shape.

    Where the code writes the number of channels out (`view(-1, 2048)`), they cannot be cut.
    """

    def __init__(self, name, inputs, shape, written_out=False):
        super().__init__(name, inputs, shape)
        self.written_out = written_out

    def forward(self, value):
        return value.reshape(len(value), *self.shape)

    def transpose(self, rows, absolute=False):
        return (rows.reshape(len(rows), *self.inputs[0].shape),)

    def connect(self, units):
        before = units.of[self.inputs[0]]
        n_before, n_after = len(before), self.shape[0]
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

    def __init__(self, name, inputs, shape, owner, weight_name="weight", bias_name="bias"):
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

    def apply(self, value: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The layer's linear map with other parameters in place of its own."""
        raise NotImplementedError

    def forward(self, value):
        return self.apply(value, self.weight, self.bias)

    def transpose(self, rows, absolute=False):
        weight = self.weight.detach().abs() if absolute else self.weight.detach()
        return (_vjp(lambda x: self.apply(x, weight), self.inputs[0].shape, rows),)

    def connect(self, units):
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


class Linear(Weighted):
    """Fully connected layer on (n_samples, n_features)."""

    def apply(self, value, weight, bias=None):
        return F.linear(value, weight, bias)

    def transpose(self, rows, absolute=False):
        weight = self.weight.detach()
        return (rows @ (weight.abs() if absolute else weight),)


class Conv(Weighted):
    """Convolution in one or two dimensions, zero padded."""

    def __init__(self, *args, groups=1, **options):
        super().__init__(*args)
        self.groups = groups
        self.options = options  # stride, padding, dilation

    def apply(self, value, weight, bias=None):
        function = F.conv1d if weight.ndim == 3 else F.conv2d
        return function(value, weight, bias, groups=self.groups, **self.options)


class BatchNorm(Route):
    """Batch norm in evaluation: a scale and a shift per channel."""

    def __init__(self, name, inputs, shape, module):
        super().__init__(name, inputs, shape)
        self.owner = module

    @property
    def scale(self) -> Tensor:
        """Factor per channel, (n_channels,)."""
        scale = (self.owner.running_var + self.owner.eps).rsqrt()
        return scale if self.owner.weight is None else scale * self.owner.weight.detach()

    def forward(self, value):
        norm = self.owner
        return F.batch_norm(
            value, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
        )

    def transpose(self, rows, absolute=False):
        scale = self.scale.abs() if absolute else self.scale
        return (rows * scale.reshape(-1, *[1] * (len(self.shape) - 1)),)


class AveragePool(Route):
    """Average pooling, adaptive or not, and the mean over all positions."""

    def __init__(self, name, inputs, shape, function):
        super().__init__(name, inputs, shape)
        self.function = function

    def forward(self, value):
        return self.function(value)

    def transpose(self, rows, absolute=False):
        return (_vjp(self.function, self.inputs[0].shape, rows),)


class MaxPool(Route):
    """Max pooling. It has no weights: `average` is the average pool of the same windows."""

    def __init__(self, name, inputs, shape, function, average):
        super().__init__(name, inputs, shape)
        self.function = function
        self.average = average

    def forward(self, value):
        return self.function(value)

    def transpose(self, rows, absolute=False):
        return (_vjp(self.average, self.inputs[0].shape, rows),)


class Add(Node):
    """Sum of branches: a residual connection."""

    def forward(self, *values):
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total

    def transpose(self, rows, absolute=False):
        return tuple(_unbroadcast(rows, node.shape) for node in self.inputs)

    def connect(self, units):
        first, *others = (units.of[node] for node in self.inputs)
        for other in others:
            units.tie(first, other)
        return first


class Concat(Node):
    """Branches side by side along the channel axis."""

    def forward(self, *values):
        return torch.cat(values, 1)

    def transpose(self, rows, absolute=False):
        return torch.split(rows, [node.shape[0] for node in self.inputs], 1)

    def connect(self, units):
        return np.concatenate([units.of[node] for node in self.inputs])


def _vjp(function, shape, rows):
    """Transpose of a linear `function` on values of `shape`, applied to `rows`."""
    with torch.enable_grad():
        x = torch.zeros((len(rows), *shape), dtype=rows.dtype, device=rows.device)
        x.requires_grad_()
        return torch.autograd.grad(function(x), x, rows)[0]


def _unbroadcast(rows, shape):
    axes = [i + 1 for i, n in enumerate(shape) if n == 1 and rows.shape[i + 1] != 1]
    return rows.sum(axes, keepdim=True) if axes else rows


# --- how each kind is recognised ----------------------------------------------------------------
# A builder takes (read, call): `call` has name, inputs (Nodes), shape, args, kwargs, module.


def _from_linear(call):
    if len(call.inputs[0].shape) != 1:
        raise call.error("works on the last axis of a sequence; only (n, features) input is read")
    return Linear(*call.head, *call.parameters())


_CONV_DEFAULTS = {"stride": 1, "padding": 0, "dilation": 1}


def _from_conv(call):
    if call.module is None:
        options = call.arguments(["input", "weight", "bias", *_CONV_DEFAULTS, "groups"])
    else:
        if call.module.padding_mode != "zeros":
            raise call.error(f"pads with {call.module.padding_mode!r}; only zeros are read")
        options = vars(call.module)
    taken = {key: options.get(key, default) for key, default in _CONV_DEFAULTS.items()}
    return Conv(*call.head, *call.parameters(), groups=options.get("groups", 1), **taken)


def _from_batch_norm(call):
    if not call.module.track_running_stats or call.module.running_var is None:
        raise call.error("keeps no running statistics, so that a sample depends on its batch")
    return BatchNorm(*call.head, call.module)


def _activation(kind, plain=None):
    """Builder of an activation; `plain` is the function that does not work in place."""

    def build(call):
        if call.module is not None:
            module = call.module
            if getattr(module, "inplace", False):
                return Activation(*call.head, kind, lambda x: module(x.clone()))
            return Activation(*call.head, kind, module)
        function = plain or call.target
        args, kwargs = call.args[1:], {k: v for k, v in call.kwargs.items() if k != "inplace"}
        if plain in _NO_ARGUMENTS:
            args, kwargs = (), {}
        return Activation(*call.head, kind, lambda x: function(x, *args, **kwargs))

    return build


_NO_ARGUMENTS = {torch.relu, torch.sigmoid, torch.tanh, F.silu, F.mish}


def _from_softmax(call):
    last = len(call.inputs[0].shape) == 1
    if not last:
        raise call.error("is read only over the outputs of a classifier")
    log = "log" in type(call.module).__name__.lower() or "log" in str(call.target)
    function = torch.log_softmax if log else torch.softmax
    return Activation(*call.head, "log_softmax" if log else "softmax", lambda x: function(x, 1))


def _pool(kind, function, average=None):
    """Builder of a pool from its functional form."""
    names = {
        "adaptive": ["input", "output_size"],
        "max": ["input", "kernel_size", "stride", "padding", "dilation", "ceil_mode"],
        "avg": ["input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"],
    }["adaptive" if "adaptive" in function.__name__ or "adaptive" in kind else kind]

    def build(call):
        options = vars(call.module) if call.module is not None else call.arguments(names)
        options = {name: options[name] for name in names[1:] if options.get(name) is not None}
        forward = _bind(function, options)
        if average is None:
            return AveragePool(*call.head, forward)
        dilation = options.pop("dilation", 1)
        dilated = any(d != 1 for d in (dilation if isinstance(dilation, tuple) else (dilation,)))
        return MaxPool(*call.head, forward, None if dilated else _bind(average, options))

    return build


def _bind(function, options):
    return lambda x: function(x, **options)


def _from_route(call):
    return Route(*call.head)


def _from_reshape(call):
    if isinstance(call.module, nn.Unflatten) or call.target == "unflatten":
        return Reshape(*call.head, written_out=True)
    sizes = call.args[1:] if call.target in ("view", "reshape", torch.reshape) else ()
    sizes = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    written_out = len(sizes) > 1 and isinstance(sizes[1], int) and sizes[1] != -1
    return Reshape(*call.head, written_out=written_out)


def _from_mean(call):
    axes = call.arguments(["input", "dim", "keepdim"])
    axis, keep = axes.get("dim"), axes.get("keepdim", False)
    n_axes = len(call.inputs[0].shape) + 1
    axis = (axis,) if isinstance(axis, int) else tuple(axis or ())
    if {a % n_axes for a in axis} != set(range(2, n_axes)):
        raise call.error("is read only over all positions of a feature map")
    return AveragePool(*call.head, lambda x: x.mean(axis, keepdim=keep))


def _from_add(call):
    if len(call.inputs) < 2 or call.kwargs.get("alpha", 1) != 1:
        raise call.error("adds something that is not another layer's output")
    if len({(len(n.shape), n.shape[0]) for n in call.inputs}) != 1:
        raise call.error("adds values with other numbers of channels")
    return Add(*call.head)


def _from_concat(call):
    axis = call.arguments(["tensors", "dim"]).get("dim", call.kwargs.get("axis", 0))
    if axis % (len(call.shape) + 1) != 1:
        raise call.error("is read only along the channel axis (dim=1)")
    return Concat(*call.head)


MODULES = {
    nn.Linear: _from_linear,
    nn.Conv1d: _from_conv,
    nn.Conv2d: _from_conv,
    nn.BatchNorm1d: _from_batch_norm,
    nn.BatchNorm2d: _from_batch_norm,
    nn.Flatten: _from_reshape,
    nn.Unflatten: _from_reshape,
    nn.Softmax: _from_softmax,
    nn.LogSoftmax: _from_softmax,
    nn.MaxPool1d: _pool("max", F.max_pool1d, F.avg_pool1d),
    nn.MaxPool2d: _pool("max", F.max_pool2d, F.avg_pool2d),
    nn.AvgPool1d: _pool("avg", F.avg_pool1d),
    nn.AvgPool2d: _pool("avg", F.avg_pool2d),
    nn.AdaptiveAvgPool1d: _pool("adaptive", F.adaptive_avg_pool1d),
    nn.AdaptiveAvgPool2d: _pool("adaptive", F.adaptive_avg_pool2d),
    nn.AdaptiveMaxPool1d: _pool("adaptive", F.adaptive_max_pool1d, F.adaptive_avg_pool1d),
    nn.AdaptiveMaxPool2d: _pool("adaptive", F.adaptive_max_pool2d, F.adaptive_avg_pool2d),
    **dict.fromkeys(
        (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout), _from_route
    ),
}
FUNCTIONS = {
    F.linear: _from_linear,
    F.conv1d: _from_conv,
    F.conv2d: _from_conv,
    torch.conv1d: _from_conv,
    torch.conv2d: _from_conv,
    F.softmax: _from_softmax,
    torch.softmax: _from_softmax,
    F.log_softmax: _from_softmax,
    torch.log_softmax: _from_softmax,
    F.max_pool1d: MODULES[nn.MaxPool1d],
    F.max_pool2d: MODULES[nn.MaxPool2d],
    F.avg_pool1d: MODULES[nn.AvgPool1d],
    F.avg_pool2d: MODULES[nn.AvgPool2d],
    F.adaptive_avg_pool1d: MODULES[nn.AdaptiveAvgPool1d],
    F.adaptive_avg_pool2d: MODULES[nn.AdaptiveAvgPool2d],
    F.adaptive_max_pool1d: MODULES[nn.AdaptiveMaxPool1d],
    F.adaptive_max_pool2d: MODULES[nn.AdaptiveMaxPool2d],
    torch.flatten: _from_reshape,
    torch.reshape: _from_reshape,
    torch.squeeze: _from_reshape,
    torch.unsqueeze: _from_reshape,
    torch.mean: _from_mean,
    torch.cat: _from_concat,
    torch.concat: _from_concat,
    **dict.fromkeys((F.dropout, F.dropout1d, F.dropout2d, F.alpha_dropout), _from_route),
    **dict.fromkeys((operator.add, operator.iadd, torch.add), _from_add),
}
METHODS = {
    **dict.fromkeys(
        ("view", "reshape", "flatten", "squeeze", "unsqueeze", "unflatten"), _from_reshape
    ),
    **dict.fromkeys(("contiguous", "clone"), _from_route),
    **dict.fromkeys(("softmax", "log_softmax"), _from_softmax),
    **dict.fromkeys(("add", "add_"), _from_add),
    "mean": _from_mean,
}
for _kind, _module, _plain in [
    ("relu", nn.ReLU, torch.relu),
    ("sigmoid", nn.Sigmoid, torch.sigmoid),
    ("tanh", nn.Tanh, torch.tanh),
    ("leaky_relu", nn.LeakyReLU, F.leaky_relu),
    ("elu", nn.ELU, F.elu),
    ("selu", nn.SELU, F.selu),
    ("gelu", nn.GELU, F.gelu),
    ("silu", nn.SiLU, F.silu),
    ("mish", nn.Mish, F.mish),
    ("softplus", nn.Softplus, F.softplus),
    ("relu6", nn.ReLU6, F.relu6),
    ("hardtanh", nn.Hardtanh, F.hardtanh),
    ("hardswish", nn.Hardswish, F.hardswish),
]:
    MODULES[_module] = _activation(_kind)
    _build = _activation(_kind, _plain)
    for _owner in (F, torch):
        for _name in (_kind, f"{_kind}_"):
            if hasattr(_owner, _name):
                FUNCTIONS[getattr(_owner, _name)] = _build
    if hasattr(Tensor, _kind):
        METHODS.update({_kind: _build, f"{_kind}_": _build})
