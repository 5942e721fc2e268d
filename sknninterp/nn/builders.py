"""How torch's operations are recognised: which module, function or method is which kind of node.

A builder takes a :class:`~sknninterp.nn.tracing.Call` and returns its node. A new layer type is
taught here: write a builder, and a kind in :mod:`sknninterp.nn.nodes` where none fits, and register
what it is made from in `MODULES`, `FUNCTIONS` or `METHODS`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sknninterp.nn.embeddings import NumericEmbedding
from sknninterp.nn.nodes import (
    Activation,
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    Conv,
    Embedding,
    Linear,
    MaxPool,
    Node,
    Reshape,
    Route,
)

if TYPE_CHECKING:
    from sknninterp.nn.tracing import Call

_Builder: TypeAlias = "Callable[[Call], Node]"


def _from_linear(call: Call) -> Linear:
    if len(call.inputs[0].shape) != 1:
        raise call.error("works on the last axis of a sequence; only (n, features) input is read")
    return Linear(*call.head, *call.parameters())


_CONV_DEFAULTS = {"stride": 1, "padding": 0, "dilation": 1}


def _from_conv(call: Call) -> Conv:
    if call.module is None:
        options = call.arguments(["input", "weight", "bias", *_CONV_DEFAULTS, "groups"])
    else:
        if call.module.padding_mode != "zeros":
            raise call.error(f"pads with {call.module.padding_mode!r}; only zeros are read")
        options = vars(call.module)
    taken = {key: options.get(key, default) for key, default in _CONV_DEFAULTS.items()}
    node = Conv(*call.head, *call.parameters(), groups=options.get("groups", 1), **taken)
    _require_axes(call, node.weight.ndim - 2)
    return node


def _require_axes(call: Call, n_axes: int) -> None:
    # torch takes a batch of vectors for one sample of a layer with fewer axes.
    found = len(call.inputs[0].shape) - 1
    if found != n_axes:
        raise call.error(f"needs samples of channels with {n_axes} axes; here they have {found}")


def _from_batch_norm(call: Call) -> BatchNorm:
    if not call.module.track_running_stats or call.module.running_var is None:
        raise call.error("keeps no running statistics, so that a sample depends on its batch")
    return BatchNorm(*call.head, call.module)


def _activation(kind: str) -> _Builder:
    return lambda call: Activation(*call.head, kind, call.function)


def _from_softmax(call: Call) -> Activation:
    given = vars(call.module) if call.module is not None else call.arguments(["input", "dim"])
    axis = given.get("dim")
    if len(call.inputs[0].shape) != 1 or axis not in (1, -1, None):
        raise call.error("is read only over the outputs of a classifier")
    kind = "log_softmax" if call.kind.lower().startswith("log") else "softmax"
    return Activation(*call.head, kind, call.function)


def _average_pool(n_axes: int) -> _Builder:
    def build(call: Call) -> AveragePool:
        _require_axes(call, n_axes)
        return AveragePool(*call.head, call.function)

    return build


def _max_pool(n_axes: int, maximum: Callable, average: Callable) -> _Builder:
    """Builder of a max pool from its function and the one that averages over the same windows."""
    names = ["kernel_size", "stride", "padding", "dilation", "ceil_mode"]
    names = ["output_size"] if "adaptive" in average.__name__ else names

    def build(call: Call) -> MaxPool:
        _require_axes(call, n_axes)
        module = call.module
        given = vars(module) if module is not None else call.arguments(["input", *names])
        options = {name: given[name] for name in names if given.get(name) is not None}
        options = dict(call.resolve(options))
        dilation = options.get("dilation", 1)
        dilated = any(d != 1 for d in (dilation if isinstance(dilation, tuple) else (dilation,)))
        undilated = {name: value for name, value in options.items() if name != "dilation"}
        windows = None if dilated else partial(average, **undilated)
        return MaxPool(*call.head, partial(maximum, **options), windows)

    return build


def _from_embedding(call: Call) -> Embedding:
    return Embedding(*call.head, call.module)


def _from_route(call: Call) -> Route:
    return Route(*call.head)


def _from_dropout(call: Call) -> Route:
    if call.arguments(["input", "p", "training"]).get("training", True):
        raise call.error("drops values in evaluation too: give it training=self.training")
    return Route(*call.head)


def _from_reshape(call: Call) -> Reshape:
    return Reshape(*call.head)


def _from_unflatten(call: Call) -> Reshape:
    return Reshape(*call.head, written_out=True)


def _from_view(call: Call) -> Reshape:
    sizes: Any = call.args[1:] or tuple(v for k, v in call.kwargs.items() if k != "input")
    sizes = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    written_out = len(sizes) > 1 and isinstance(sizes[1], int) and sizes[1] != -1
    return Reshape(*call.head, written_out=written_out)


def _from_squeeze(call: Call) -> Reshape:
    if call.arguments(["input", "dim"]).get("dim") is None:
        raise call.error("drops the batch axis too where there is one sample: give it an axis")
    return Reshape(*call.head)


def _from_mean(call: Call) -> AveragePool:
    given = call.arguments(["input", "dim", "keepdim"])
    axis = given.get("dim", given.get("axis"))
    axes = (axis,) if isinstance(axis, int) else tuple(axis or (0,))
    if not {a % (len(call.inputs[0].shape) + 1) for a in axes}.isdisjoint({0, 1}):
        raise call.error("is read only over positions of a feature map")
    return AveragePool(*call.head, call.function)


def _from_add(call: Call) -> Add:
    if len(call.inputs) < 2 or call.kwargs.get("alpha", 1) != 1:
        raise call.error("adds something that is not another layer's output")
    if len({(len(n.shape), n.shape[0]) for n in call.inputs}) != 1:
        raise call.error("adds values with other numbers of channels")
    return Add(*call.head)


def _from_concat(call: Call) -> Concat:
    given = call.arguments(["tensors", "dim"])
    if given.get("dim", given.get("axis", 0)) % (len(call.shape) + 1) != 1:
        raise call.error("is read only along the channel axis (dim=1)")
    if len(call.inputs) != len(given["tensors"]):
        raise call.error("joins something that is not another layer's output")
    return Concat(*call.head)


MODULES: dict[type[nn.Module], _Builder] = {
    nn.Linear: _from_linear,
    nn.Conv1d: _from_conv,
    nn.Conv2d: _from_conv,
    nn.BatchNorm1d: _from_batch_norm,
    nn.BatchNorm2d: _from_batch_norm,
    nn.Flatten: _from_reshape,
    nn.Unflatten: _from_unflatten,
    nn.Softmax: _from_softmax,
    nn.LogSoftmax: _from_softmax,
    nn.MaxPool1d: _max_pool(1, F.max_pool1d, F.avg_pool1d),
    nn.MaxPool2d: _max_pool(2, F.max_pool2d, F.avg_pool2d),
    nn.AvgPool1d: _average_pool(1),
    nn.AvgPool2d: _average_pool(2),
    nn.AdaptiveAvgPool1d: _average_pool(1),
    nn.AdaptiveAvgPool2d: _average_pool(2),
    nn.AdaptiveMaxPool1d: _max_pool(1, F.adaptive_max_pool1d, F.adaptive_avg_pool1d),
    nn.AdaptiveMaxPool2d: _max_pool(2, F.adaptive_max_pool2d, F.adaptive_avg_pool2d),
    NumericEmbedding: _from_embedding,
    **dict.fromkeys(
        (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout), _from_route
    ),
}
FUNCTIONS: dict[Callable, _Builder] = {
    F.linear: _from_linear,
    F.conv1d: _from_conv,
    F.conv2d: _from_conv,
    F.max_pool1d: MODULES[nn.MaxPool1d],
    F.max_pool2d: MODULES[nn.MaxPool2d],
    F.avg_pool1d: MODULES[nn.AvgPool1d],
    F.avg_pool2d: MODULES[nn.AvgPool2d],
    F.adaptive_avg_pool1d: MODULES[nn.AdaptiveAvgPool1d],
    F.adaptive_avg_pool2d: MODULES[nn.AdaptiveAvgPool2d],
    F.adaptive_max_pool1d: MODULES[nn.AdaptiveMaxPool1d],
    F.adaptive_max_pool2d: MODULES[nn.AdaptiveMaxPool2d],
    torch.squeeze: _from_squeeze,
    torch.reshape: _from_view,
    torch.mean: _from_mean,
    **dict.fromkeys((torch.flatten, torch.unsqueeze), _from_reshape),
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), _from_concat),
    **dict.fromkeys((F.dropout, F.dropout1d, F.dropout2d, F.alpha_dropout), _from_dropout),
    **dict.fromkeys((operator.add, operator.iadd, torch.add), _from_add),
    **dict.fromkeys((F.softmax, torch.softmax, F.log_softmax, torch.log_softmax), _from_softmax),
}
METHODS: dict[str, _Builder] = {
    **dict.fromkeys(("flatten", "unsqueeze"), _from_reshape),
    **dict.fromkeys(("view", "reshape"), _from_view),
    "unflatten": _from_unflatten,
    **dict.fromkeys(("contiguous", "clone"), _from_route),
    **dict.fromkeys(("softmax", "log_softmax"), _from_softmax),
    **dict.fromkeys(("add", "add_"), _from_add),
    "squeeze": _from_squeeze,
    "mean": _from_mean,
}
_ACTIVATIONS = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "softplus": nn.Softplus,
    "relu6": nn.ReLU6,
    "hardtanh": nn.Hardtanh,
    "hardswish": nn.Hardswish,
}
for _kind, _module in _ACTIVATIONS.items():
    _build = MODULES[_module] = _activation(_kind)
    for _name in (_kind, f"{_kind}_"):
        FUNCTIONS |= {getattr(home, _name): _build for home in (F, torch) if hasattr(home, _name)}
        if hasattr(Tensor, _name):
            METHODS[_name] = _build
