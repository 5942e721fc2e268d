"""Torch modules of known classes, rebuilt part by part; of others the weights alone."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sknninterp.nn.cnn import FixedKernelCNN
from sknninterp.nn.embeddings import (
    FeatureBeside,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
    SplineEmbedding,
)
from sknninterp.nn.graph import evaluation
from sknninterp.nn.mlp import MLP
from sknninterp.nn.nodes import Conv, Input
from sknninterp.nn.rbm import ConvRBM, DenseRBM
from sknninterp.persistence._container import PersistenceError
from sknninterp.persistence._reading import Reader
from sknninterp.persistence._writing import Kind, Writer, described

_AXES = ("1d", "2d", "3d")
_TORCH = [
    "AlphaDropout",
    "CELU",
    "ELU",
    "Flatten",
    "GELU",
    "GroupNorm",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Identity",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReLU",
    "ReLU6",
    "SELU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
    "Unflatten",
    "Dropout",
    *(
        f"{name}{axes}"
        for name in (
            "AdaptiveAvgPool",
            "AdaptiveMaxPool",
            "AvgPool",
            "BatchNorm",
            "Conv",
            "Dropout",
            "MaxPool",
            "ZeroPad",
        )
        for axes in _AXES
    ),
]
_OWN = (
    ConvRBM,
    DenseRBM,
    FeatureBeside,
    FixedKernelCNN,
    MLP,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
    SplineEmbedding,
)
CLASSES: dict[str, type[nn.Module]] = {
    **{cls.__name__: cls for cls in _OWN},
    **{f"torch.{name}": getattr(nn, name) for name in _TORCH if hasattr(nn, name)},
}
_NAMES = {cls: name for name, cls in CLASSES.items()}

# What every module has; the rest of its attributes are its own.
_COMMON = set(vars(nn.Module()))
_HOOKS = {name for name in _COMMON if name.endswith("_hooks")}
# Numbers that one sample may become in any place of a network, and that it may be.
_MOST_NUMBERS = 2**28


def is_known(module: nn.Module) -> bool:
    """Whether a module and all its parts are of known classes, with nothing hooked on to them.

    Parameters
    ----------
    module : torch.nn.Module
    """
    return all(
        type(part) in _NAMES and not any(getattr(part, name) for name in _HOOKS)
        for part in module.modules()
    )


# --- modules of known classes --------------------------------------------------------------------


def _write(writer, module, path):
    if not is_known(module):
        return {"weights": write_weights(writer, module, path)}
    tensors = [*module.named_parameters(remove_duplicate=False)]
    if len({id(tensor) for _, tensor in tensors}) < len(tensors):
        raise PersistenceError(f"{path}: layers share weights, which is not stored.")
    return {"module": _write_known(writer, module, path)}


def _write_known(writer, module, path):
    own = {name: value for name, value in vars(module).items() if name not in _COMMON}
    if isinstance(module, ConvRBM):
        node = own.pop("node")
        own["node"] = [node.name, node.inputs[0].name, node.inputs[0].shape, node.shape]
        own["node"] += [node.groups, node.options]
    return {
        "class": _NAMES[type(module)],
        "attributes": writer.mapping(own, path),
        "parameters": {
            name: None if p is None else [writer.tensor(p, f"{path}.{name}"), p.requires_grad]
            for name, p in module._parameters.items()
        },
        "buffers": {
            name: None if b is None else writer.tensor(b, f"{path}.{name}")
            for name, b in module._buffers.items()
        },
        "children": [
            [name, None if child is None else _write_known(writer, child, f"{path}.{name}")]
            for name, child in module._modules.items()
        ],
        "training": module.training,
    }


def _read(reader, entry):
    if "weights" in entry:
        return read_given(reader, entry["weights"])
    return _read_known(reader, entry["module"])


def _read_known(reader, state):
    cls = CLASSES[state["class"]]
    module = cls.__new__(cls)
    nn.Module.__init__(module)  # nothing is allocated for weights that are there already
    own = reader.mapping(state["attributes"])
    node = own.pop("node", None)
    for name, value in own.items():
        _check_attribute(cls, name, value)
        setattr(module, name, value)
    for name, entry in state["parameters"].items():
        parameter = None
        if entry is not None:
            tensor, trained = reader.tensor(entry[0]), entry[1] is True
            parameter = nn.Parameter(tensor, requires_grad=trained)
        module.register_parameter(name, parameter)
    for name, entry in state["buffers"].items():
        module.register_buffer(name, None if entry is None else reader.tensor(entry))
    for name, child in state["children"]:
        module.add_module(name, None if child is None else _read_known(reader, child))
    if isinstance(module, ConvRBM):
        module.node = _conv_node(module, *node)
    module.training = state["training"] is True  # its parts have modes of their own
    return module


def _check_attribute(cls, name, value) -> None:
    taken = name in _COMMON or name.startswith("__") or callable(getattr(cls, name, None))
    if taken or isinstance(value, Tensor | nn.Module):
        raise PersistenceError(f"{name!r} is no attribute of {cls.__name__}")


def _conv_node(rbm, name, source, source_shape, shape, groups, options):
    ends = (Input(source, (), source_shape),), shape
    return Conv(name, *ends, rbm, groups=groups, **options)


KIND = Kind(lambda value: isinstance(value, nn.Module), _write, _read)

# --- others --------------------------------------------------------------------------------------


def write_weights(writer: Writer, module: nn.Module, path: str) -> dict:
    """Weights and buffers of a module, by name.

    Parameters
    ----------
    writer : Writer
    module : torch.nn.Module
    path : str
    """
    state = module.state_dict()
    if any(not isinstance(value, Tensor) for value in state.values()):
        raise PersistenceError(f"{path}: {described(type(module))} has a state of its own.")
    return {
        "of": described(type(module)),
        "tensors": {name: writer.tensor(value, f"{path}.{name}") for name, value in state.items()},
    }


def read_weights(reader: Reader, state: dict, module: nn.Module) -> None:
    """Put weights into a module, all of which they must be.

    Parameters
    ----------
    reader : Reader
    state : dict
        As :func:`write_weights` gives it.
    module : torch.nn.Module
    """
    tensors = {name: reader.tensor(tensor) for name, tensor in state["tensors"].items()}
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise PersistenceError(f"module= has not the weights of the one saved: {error}") from error


def read_given(reader: Reader, state: dict) -> nn.Module:
    """A copy of the module that the user gives, with the weights of the one that was saved.

    Parameters
    ----------
    reader : Reader
    state : dict
    """
    given = reader.code(state["of"])
    if not isinstance(given, nn.Module):
        raise PersistenceError(f"it holds a {state['of']}: give such a module as module=")
    module = copy.deepcopy(given)
    read_weights(reader, state, module)
    return module.eval()


# --- checks --------------------------------------------------------------------------------------


class _Bounded(TorchDispatchMode):
    """Refuses any tensor that is far larger than a sample's should be."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if any(isinstance(t, Tensor) and t.numel() > _MOST_NUMBERS for t in tree_leaves(found)):
            raise PersistenceError("its network makes too many numbers of a sample")
        return found


def check_runs(module: nn.Module, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Run a known module on one sample, first without values: that takes no memory.

    Parameters
    ----------
    module : torch.nn.Module
    shape : tuple of int
        Of a sample.
    dtype : torch.dtype
    """
    if math.prod(shape) > _MOST_NUMBERS:
        raise PersistenceError(f"samples of shape {shape} are too large")
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    empty = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    sample = torch.empty(1, *shape, dtype=dtype, device="meta")
    with evaluation(module), torch.no_grad():
        with _Bounded():
            torch.func.functional_call(module, empty, (sample,))
        # Positions that a layer looks up are checked on the CPU; on a GPU they would ruin it.
        module(torch.zeros(1, *shape, dtype=dtype))
