"""The state of a training between two epochs: all that the epochs to come depend on."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from sknninterp.callbacks import EpochBar, NeuronTuning
from sknninterp.estimators._checkpoint import Part
from sknninterp.estimators._interrupts import interrupted, raise_if_impatient, warn_of_end
from sknninterp.estimators._net import TensorNet
from sknninterp.nn.random_state import random_numbers, set_random_numbers
from sknninterp.nn.stacked import StackedMLP
from sknninterp.nn.stacked_tuning import StackedTuner


class TrainingWatch(Callback):
    """Keeps the state of a net's training, goes on from one that was kept, and hears of Ctrl-C.

    The last of the callbacks: what the others do in an epoch is done by then.

    Parameters
    ----------
    part : Part
    """

    def __init__(self, part: Part):
        self.part = part
        self.kept = part.load() or {}
        self._left = 0

    def epochs_left(self, epochs: int) -> int:
        """Of so many, those that are still to be trained.

        Parameters
        ----------
        epochs : int
        """
        self._left = 0 if self.kept.get("ended") else epochs - len(self.kept.get("history", ()))
        return self._left

    def on_train_begin(self, net: TensorNet, **kwargs: Any) -> None:
        """Go on from what was kept."""
        if self.kept:
            restore_net(net, self.kept)
            for _, callback in net.callbacks_:
                if isinstance(callback, EpochBar):
                    callback.bar_.update(len(net.history))

    def on_epoch_end(self, net: TensorNet, **kwargs: Any) -> None:
        """Keep the state, if it is time."""
        self._left -= 1
        if self.part.is_due or (self.part.is_kept and interrupted()):
            self.part.save(net_state(net))
        if interrupted():
            raise KeyboardInterrupt

    def end(self, net: TensorNet) -> None:
        """See how the training has ended, and keep what it has come to.

        Parameters
        ----------
        net : TensorNet

        Raises
        ------
        KeyboardInterrupt
            If it was interrupted before there was something worth keeping.

        Warns
        -----
        ConvergenceWarning
            If a callback, other than early stopping, has ended it.
        """
        raise_if_impatient()
        if len(net.history) and "dur" not in net.history[-1]:
            net.history.pop()  # an epoch that was broken off
        if not net.history:
            raise KeyboardInterrupt
        if interrupted() or self.kept.get("ended"):
            return
        if self._left and not any(_has_stopped(c) for _, c in net.callbacks_):
            warn_of_end(f"by a callback after epoch {len(net.history)}")
        if self.part.is_kept:
            self.part.save({**net_state(net), "ended": True})


def _has_stopped(callback: Callback) -> bool:
    return isinstance(callback, EarlyStopping) and callback.misses_ == callback.patience


def net_state(net: TensorNet) -> dict:
    """State of a net's training, as :func:`restore_net` takes it.

    Parameters
    ----------
    net : TensorNet
    """
    return {
        "module": net.module_.state_dict(),
        "optimizer": _optimizer_state(net.optimizer_),
        "history": list(net.history),
        "lowest_losses": net.lowest_losses_,
        "callbacks": {name: _callback_state(c) for name, c in _lasting(net)},
        "random": random_numbers(net.device),
    }


def restore_net(net: TensorNet, state: dict) -> None:
    """Bring a net that is not trained yet to where another one was.

    Parameters
    ----------
    net : TensorNet
        Made as the other one was.
    state : dict
    """
    for name, callback in _lasting(net):
        _restore_callback(callback, net, state["callbacks"][name])
    # After the callbacks: tuned layers are narrower by then.
    net.module_.load_state_dict(state["module"])
    _restore_optimizer(net.optimizer_, state["optimizer"])
    net.history[:] = state["history"]
    net.lowest_losses_ = state["lowest_losses"]
    set_random_numbers(state["random"], net.device)


@dataclass
class StackState:
    """What the training of a stack is made of.

    Attributes
    ----------
    stack : StackedMLP
    optimizer : torch.optim.Optimizer
    tuner : StackedTuner or None
    nets : sequence of TensorNet
        They have the histories.
    generators : sequence of torch.Generator
    """

    stack: StackedMLP
    optimizer: torch.optim.Optimizer
    tuner: StackedTuner | None
    nets: Sequence[TensorNet]
    generators: Sequence[torch.Generator]

    def state(self) -> dict:
        """State of the training, as :meth:`restore` takes it."""
        return {
            "tuner": None if self.tuner is None else self.tuner.state_dict(),
            "stack": self.stack.state_dict(),
            "optimizer": _optimizer_state(self.optimizer),
            "histories": [(list(net.history), net.lowest_losses_) for net in self.nets],
            "generators": [generator.get_state() for generator in self.generators],
        }

    def restore(self, kept: dict) -> int:
        """Bring a training that has not begun to where another one was.

        Parameters
        ----------
        kept : dict

        Returns
        -------
        int
            Epochs that it had by then.
        """
        if self.tuner is not None:
            self.tuner.load_state_dict(self.stack, kept["tuner"])
        self.stack.load_state_dict(kept["stack"])
        _restore_optimizer(self.optimizer, kept["optimizer"])
        for net, (history, lowest) in zip(self.nets, kept["histories"], strict=True):
            net.history[:], net.lowest_losses_ = history, lowest
        for generator, state in zip(self.generators, kept["generators"], strict=True):
            generator.set_state(state)
        return len(self.nets[0].history)


class KeptMachines:
    """Keeps the training of machines, for functions that take `keep` and `kept`.

    Parameters
    ----------
    part : Part

    Attributes
    ----------
    kept : dict or None
        What was kept.
    """

    def __init__(self, part: Part):
        self.part = part
        self.kept = part.load()
        self._last: dict | None = None

    def keep(self, state: dict) -> None:
        """Keep a state, if it is time.

        Parameters
        ----------
        state : dict
        """
        self._last = state
        if self.part.is_due or interrupted():
            self.end()

    def end(self) -> None:
        """Keep the last state."""
        if self._last is not None:
            self.part.save(self._last)
            self._last = None


# --- parts --------------------------------------------------------------------------------------


def _optimizer_state(optimizer: torch.optim.Optimizer) -> dict:
    groups = optimizer.param_groups
    return {
        "groups": [{k: v for k, v in group.items() if k != "params"} for group in groups],
        "state": [optimizer.state.get(p) for p in _parameters(optimizer)],
    }


def _restore_optimizer(optimizer: torch.optim.Optimizer, kept: dict) -> None:
    # Not by load_state_dict, which changes the type of some numbers.
    for group, of_group in zip(optimizer.param_groups, kept["groups"], strict=True):
        group.update(of_group)
    optimizer.state.clear()
    for parameter, state in zip(_parameters(optimizer), kept["state"], strict=True):
        if state is not None:
            optimizer.state[parameter] = state


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _lasting(net: TensorNet) -> list[tuple[str, Callback]]:
    """Callbacks with a state that counts."""
    return [
        (name, callback)
        for name, callback in net.callbacks_
        if not isinstance(callback, EpochBar | TrainingWatch)
    ]


def _callback_state(callback: Callback) -> dict | None:
    if isinstance(callback, NeuronTuning):
        return None if callback.tuner_ is None else callback.tuner_.state_dict()
    if hasattr(callback, "state_dict"):
        return callback.state_dict()
    parameters = callback.get_params(deep=False)
    return {
        name: value.state_dict() if _has_state(value) else value
        for name, value in vars(callback).items()
        if name not in parameters and not (inspect.isroutine(value) or inspect.isclass(value))
    }


def _restore_callback(callback: Callback, net: TensorNet, kept: dict | None) -> None:
    if isinstance(callback, NeuronTuning):
        if kept is not None:
            tuner = callback.new_tuner(callback.schedule(net.max_epochs))
            callback.tuner_ = tuner.start(net.module_, net.input_shape_)
            callback.tuner_.load_state_dict(net.module_, kept)
    elif hasattr(callback, "load_state_dict"):
        callback.load_state_dict(kept)
    else:
        for name, value in (kept or {}).items():
            own: Any = getattr(callback, name, None)
            if _has_state(own):
                own.load_state_dict(value)
            else:
                setattr(callback, name, value)


def _has_state(value: Any) -> bool:
    """Whether it is an object, such as a learning rate's schedule, that keeps its own state."""
    both = hasattr(value, "state_dict") and hasattr(value, "load_state_dict")
    return both and not inspect.isclass(value)
