"""Estimators and explainers: their parameters, and what was learnt."""

from __future__ import annotations

import re

import numpy as np
from scipy import stats
from sklearn.base import BaseEstimator
from sklearn.metrics import check_scoring
from torch import nn

from sknninterp.callbacks import ActivationEntropy, NeuronTuning
from sknninterp.estimators._base import BaseTorchEstimator
from sknninterp.estimators._search import Search
from sknninterp.estimators.rbm import RBM
from sknninterp.nn.rbm_trainer import RBMTrainer
from sknninterp.persistence import _modules, _nets
from sknninterp.persistence._container import PersistenceError
from sknninterp.persistence._writing import Kind, Writer, described

_ATTRIBUTE = re.compile(r"_?[a-z]\w*", re.ASCII)


def of_classes(classes: dict[str, type]) -> Kind:
    """The kind of estimators of some classes.

    Parameters
    ----------
    classes : dict of str to type
    """
    names = {cls: name for name, cls in classes.items()}

    def write(writer, estimator, path):
        return {"class": names[type(estimator)], **_write(writer, estimator, path)}

    return Kind(
        holds=lambda value: type(value) in names,
        write=write,
        read=lambda reader, entry: _read(reader, classes[entry["class"]], entry),
    )


def _write(writer, estimator: BaseEstimator, path: str) -> dict:
    parameters = estimator.get_params(deep=False)
    learnt = {name: v for name, v in vars(estimator).items() if name not in parameters}
    entry: dict = {
        "parameters": {k: _write_parameter(writer, k, v, path) for k, v in parameters.items()}
    }
    learnt.pop("scorer_", None)  # follows from the parameters
    net = learnt.pop("net_", None)
    if isinstance(estimator, BaseTorchEstimator) and net is not None:
        entry["net"] = None  # that of the first network
        if "networks_" not in learnt:
            entry["net"] = _nets.write_net(writer, estimator, f"{path}.net_")
    entry["learnt"] = writer.mapping(learnt, path)
    return entry


def _write_parameter(writer, name: str, value, path: str):
    if name == "module" and not _can_be_written(writer, value):
        return {"code": described(value)}
    return writer.value(value, f"{path}.{name}")


def _can_be_written(writer, value) -> bool:
    if isinstance(value, nn.Module):
        return _modules.is_known(value)
    try:
        Writer(writer.known).value(value, "")
    except PersistenceError:
        return False
    return True


def _read(reader, cls: type, entry: dict) -> BaseEstimator:
    parameters = _read_parameters(reader, cls, entry["parameters"])
    estimator = cls(**parameters)
    for name, value in reader.mapping(entry["learnt"]).items():
        # Neither a method nor a property of the class is ever covered.
        if not _ATTRIBUTE.fullmatch(name) or hasattr(cls, name) or hasattr(estimator, name):
            raise PersistenceError(f"{name!r} is no attribute of {cls.__name__}")
        setattr(estimator, name, value)
    if "net" in entry:
        estimator.net_ = _read_net(reader, estimator, entry["net"])
    if isinstance(estimator, Search) and hasattr(estimator, "cv_results_"):
        estimator.scorer_ = check_scoring(estimator._base, parameters.get("scoring"))
    if isinstance(estimator, RBM) and hasattr(estimator, "rbm_"):
        _check_machine(estimator)
    return estimator


def _read_parameters(reader, cls, stored: dict) -> dict:
    unknown = sorted(set(stored) - set(cls._get_param_names()))
    if unknown:
        raise PersistenceError(
            f"{cls.__name__} has no parameters {unknown} here: a newer sknninterp may be needed"
        )
    return reader.mapping(stored)


def _read_net(reader, estimator, state):
    if state is not None:
        return _nets.read_net(reader, estimator, state)
    networks = estimator.networks_
    if not networks or not all(type(one) is type(estimator) for one in networks):
        raise PersistenceError("its networks are none")
    return networks[0].net_


def _check_machine(estimator: RBM) -> None:
    rbm, trainer = estimator.rbm_, estimator._trainer
    n_hidden, n_visible = rbm.weight.shape
    biases = rbm.bias_hidden.shape, rbm.bias_visible.shape
    if (
        len({p.dtype for p in rbm.parameters()}) > 1
        or trainer.rbm is not rbm
        or biases != ((n_hidden,), (n_visible,))
    ):
        raise PersistenceError("its weights and biases do not fit together")
    if estimator.n_features_in_ != n_visible:
        raise PersistenceError("its machine takes other samples than the estimator")


# --- what is in them -----------------------------------------------------------------------------


def _write_trainer(writer, trainer, path):
    return {"state": writer.mapping(vars(trainer), path)}


def _read_trainer(reader, entry):
    state, trainer = reader.mapping(entry["state"]), RBMTrainer.__new__(RBMTrainer)
    for name, value in state.items():
        if not _ATTRIBUTE.fullmatch(name) or hasattr(RBMTrainer, name):
            raise PersistenceError(f"{name!r} is no attribute of RBMTrainer")
        setattr(trainer, name, value)
    return trainer


TRAINER = Kind(lambda value: type(value) is RBMTrainer, _write_trainer, _read_trainer)

_CALLBACKS = {cls.__name__: cls for cls in (ActivationEntropy, NeuronTuning)}


def _write_callback(writer, callback, path):
    parameters = {name: getattr(callback, name) for name in callback._get_param_names()}
    return {"class": type(callback).__name__, "parameters": writer.mapping(parameters, path)}


def _read_callback(reader, entry):
    return _CALLBACKS[entry["class"]](**reader.mapping(entry["parameters"]))


CALLBACK = Kind(lambda value: type(value) in _CALLBACKS.values(), _write_callback, _read_callback)


def _write_random(writer, state, path):
    name, keys, *rest = state.get_state()
    if name != "MT19937":
        raise PersistenceError(f"{path} is a RandomState of {name}, which cannot be stored.")
    return {"keys": writer.value(keys, path), "rest": rest}


def _read_random(reader, entry):
    keys, (position, has_gauss, gauss) = reader.value(entry["keys"]), entry["rest"]
    if keys.shape != (624,) or type(position) is not int or not 0 <= position <= 624:
        raise PersistenceError("a random state is none")
    found = np.random.RandomState(0)
    found.set_state(("MT19937", keys, position, int(has_gauss), float(gauss)))
    return found


RANDOM = Kind(lambda value: type(value) is np.random.RandomState, _write_random, _read_random)

_DISTRIBUTIONS = {
    name: one for name, one in vars(stats).items() if isinstance(one, stats.rv_continuous)
}


def _is_distribution(value) -> bool:
    name = getattr(getattr(value, "dist", None), "name", None)
    return type(value).__name__ == "rv_continuous_frozen" and name in _DISTRIBUTIONS


def _write_distribution(writer, frozen, path):
    arguments = [writer.value(frozen.args, path), writer.value(frozen.kwds, path)]
    return {"distribution": [frozen.dist.name, *arguments]}


def _read_distribution(reader, entry):
    name, args, keywords = entry["distribution"]
    return _DISTRIBUTIONS[name](*reader.value(args), **reader.value(keywords))


DISTRIBUTION = Kind(_is_distribution, _write_distribution, _read_distribution)
