"""The skorch net of an estimator: its network, how far it is trained, and with what."""

from __future__ import annotations

import copy
import warnings
from functools import partial

import numpy as np
import torch
from skorch.history import History
from torch import nn

from sknninterp.callbacks import ActivationEntropy, NeuronTuning
from sknninterp.estimators._base import BaseTorchEstimator
from sknninterp.estimators._device import resolve_device
from sknninterp.estimators._net import TensorData, TensorNet, TrainingData
from sknninterp.nn.graph import prototype, read
from sknninterp.nn.random_state import own_random_numbers
from sknninterp.nn.surgery import remove_units
from sknninterp.persistence import _modules
from sknninterp.persistence._container import PersistenceError
from sknninterp.persistence._reading import Reader
from sknninterp.persistence._writing import Writer

# A step of an optimizer's own count; all else is of a parameter's shape.
_COUNTS = ("step", "mu_product", "eta", "mu")
_MOST_EPOCHS = 10**6

# --- writing -------------------------------------------------------------------------------------


def write_net(writer: Writer, estimator: BaseTorchEstimator, path: str) -> dict:
    """A fitted estimator's net.

    Parameters
    ----------
    writer : Writer
    estimator : BaseTorchEstimator
    path : str

    Returns
    -------
    dict
    """
    net = estimator.net_
    known = _modules.is_known(net.module_)
    write = writer.value if known else partial(_modules.write_weights, writer)
    # Of the batches in an epoch only their means are kept.
    rows = [{**row, "batches": []} for row in net.history]
    state = {
        "module" if known else "weights": write(net.module_, f"{path}.module_"),
        "dtype": str(prototype(net.module_).dtype).removeprefix("torch."),
        "shape": list(net.input_shape_),
        "history": writer.value(rows, f"{path}.history"),
        "lowest_losses": writer.value(net.lowest_losses_, f"{path}.lowest_losses_"),
        "settings": writer.value([net.lr, net.batch_size], path),
        "optimizer": _write_optimizer(writer, net, f"{path}.optimizer_"),
        "callbacks": {},
    }
    for name, callback in net.callbacks_:
        if isinstance(callback, NeuronTuning):
            state["callbacks"][name] = _write_tuner(writer, callback, f"{path}.{name}")
        elif isinstance(callback, ActivationEntropy):
            state["callbacks"][name] = writer.value(callback.recorded_, f"{path}.{name}")
    return state


def _write_optimizer(writer, net: TensorNet, path: str) -> dict | None:
    """Its state by parameter; None where that is not of the parameters' shapes (L-BFGS's)."""
    optimizer, found = net.optimizer_, {}
    for name, parameter in net.module_.named_parameters():
        state = optimizer.state.get(parameter, {})
        if any(not _fits(key, value, parameter) for key, value in state.items()):
            return None
        found[name] = writer.mapping(state, f"{path}.{name}")
    return {"lr": float(optimizer.param_groups[0]["lr"]), "state": found}


def _fits(key: str, value, parameter) -> bool:
    """Whether a kernel that trusts an optimizer's state may be given this one."""
    if not isinstance(value, torch.Tensor):
        return value is None or type(value) in (int, float)
    if key in _COUNTS:
        return value.ndim == 0
    return value.shape == parameter.shape and value.dtype == parameter.dtype


def _write_tuner(writer, callback: NeuronTuning, path: str) -> dict | None:
    tuner = getattr(callback, "tuner_", None)
    if tuner is None:
        return None
    return {
        "seed": writer.value(tuner._seed, path),
        "schedule": writer.value(tuner.schedule, path),
        "left": writer.value(tuner._left, path),
        "history": writer.value(tuner.history, path),
        "snapshot": writer.value(tuner._snapshot, f"{path}.snapshot"),
    }


# --- reading -------------------------------------------------------------------------------------


def read_net(reader: Reader, estimator: BaseTorchEstimator, state: dict) -> TensorNet:
    """A net as `fit` builds it, with the network and all else that was stored.

    Parameters
    ----------
    reader : Reader
    estimator : BaseTorchEstimator
        With all but its net.
    state : dict

    Returns
    -------
    TensorNet
    """
    shape = tuple(state["shape"])
    if not shape or not all(type(size) is int and size > 0 for size in shape):
        raise PersistenceError(f"{shape} is no shape of a sample")
    if shape[0] != getattr(estimator, "n_features_in_", shape[0]):
        raise PersistenceError("its network takes other samples than the estimator")
    dtype = reader.value({"torch": state["dtype"]})
    builder, weights = copy.copy(estimator), state.get("weights")
    if weights is None:
        builder.module, builder.numeric_embedding = reader.value(state["module"]), None
        _check_network(builder, shape, dtype)
    else:
        reader.code(weights["of"])
    device = _device(estimator)
    inputs = torch.zeros(1, *shape, dtype=dtype, device=device)
    with own_random_numbers(0):  # the code of a module that is given may draw some
        data = TrainingData(TensorData(inputs, torch.zeros(1)))
        net = BaseTorchEstimator._build(builder, data, device)
    callbacks = dict(net.callbacks_)
    for name, of_one in state["callbacks"].items():
        _read_callback(reader, estimator, net, callbacks[name], of_one)
    if weights is not None:
        _cut(net)
        _modules.read_weights(reader, weights, net.module_)
        net.module_.eval()
    _read_training(reader, net, state)
    return net


def _check_network(builder, shape, dtype) -> None:
    module = builder.module
    if not isinstance(module, nn.Module):
        raise PersistenceError("its network is none")
    types = {p.dtype for p in module.parameters()}
    if types != {dtype}:
        raise PersistenceError(f"its weights are {types}, not {dtype}")
    _modules.check_runs(module, shape, dtype)


def _read_callback(reader, estimator, net, callback, state) -> None:
    if isinstance(callback, ActivationEntropy):
        callback.recorded_ = reader.value(state)
    elif state is not None:
        schedule, left, history = (reader.value(state[k]) for k in ("schedule", "left", "history"))
        if schedule.max_epochs > _MOST_EPOCHS:
            raise PersistenceError(f"max_epochs={schedule.max_epochs} is too much")
        callback.random_state = reader.value(state["seed"])
        tuner = callback.new_tuner(schedule).resume(net.input_shape_, left, history)
        tuner._snapshot = reader.value(state["snapshot"])
        callback.tuner_ = tuner


def _cut(net: TensorNet) -> None:
    """Take from a network that its code has made anew the neurons that tuning took from it."""
    gone: dict[str, list[int]] = {}
    for _, callback in net.callbacks_:
        for removal in getattr(getattr(callback, "tuner_", None), "history", []):
            gone.setdefault(removal.layer, []).append(removal.neuron)
    if gone:
        graph = read(net.module_, net.input_shape_)
        units = [layer.units[gone[layer.name]] for layer in graph.layers if layer.name in gone]
        remove_units(graph, np.concatenate(units).tolist(), [net.optimizer_])


def _read_training(reader, net: TensorNet, state: dict) -> None:
    net.history_ = History(reader.value(state["history"]))
    if not all(isinstance(row, dict) for row in net.history):
        raise PersistenceError("its history is none")
    net.lowest_losses_ = reader.value(state["lowest_losses"])
    net.lr, net.batch_size = reader.value(state["settings"])
    if state["optimizer"] is not None:
        _read_optimizer(reader, net, state["optimizer"])


def _read_optimizer(reader, net: TensorNet, stored: dict) -> None:
    optimizer, parameters = net.optimizer_, dict(net.module_.named_parameters())
    for group in optimizer.param_groups:
        group["lr"] = float(stored["lr"])
    # Only such kernels want their counts beside the weights.
    beside = any(optimizer.param_groups[0].get(name) for name in ("fused", "capturable"))
    for name, of_one in stored["state"].items():
        found, parameter = reader.mapping(of_one), parameters[name]
        if any(not _fits(key, value, parameter) for key, value in found.items()):
            raise PersistenceError(f"the optimizer's state of {name!r} does not fit it")
        for key, value in found.items():
            if isinstance(value, torch.Tensor) and (beside or key not in _COUNTS):
                found[key] = value.to(parameter.device)
        if found:
            optimizer.state[parameter] = found


def _device(estimator) -> torch.device:
    """The estimator's device, or where that is not there, the CPU."""
    try:
        return resolve_device(estimator.device)
    except ValueError as error:
        warnings.warn(f"{error} The network is on the CPU.", stacklevel=2)
        return torch.device("cpu")
