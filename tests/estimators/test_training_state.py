"""The state of a training: what is kept of a net, a stack and machines, and put back."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from skorch.callbacks import Callback

from sknninterp import ANTClassifier, TorchMLPRegressor
from sknninterp.callbacks import EpochBar
from sknninterp.estimators import _stacked_fit
from sknninterp.estimators._checkpoint import Part
from sknninterp.estimators._training_state import (
    KeptMachines,
    StackState,
    TrainingWatch,
    net_state,
    restore_net,
)

X, Y = make_classification(n_samples=100, n_features=6, n_informative=4, random_state=0)
SMALL = {"max_epochs": 5, "batch_size": 32, "lr": 0.02, "random_state": 0}


@pytest.fixture
def part(tmp_path):
    return Part(tmp_path / "part.state", "fit")


def kept(part, state):
    """What is read back."""
    part.save(state)
    return part.load()


def alike(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return one == other or one != one


@pytest.mark.parametrize("optimizer", ["adam", "adam_mini", "nadam", "adagrad", "sgd"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_net_comes_back_with_its_types(optimizer, dtype, part):
    network = ANTClassifier((12,), optimizer=optimizer, dtype=dtype, dropout=0.1, **SMALL)
    state = net_state(network.fit(X, Y).net_)
    fresh = ANTClassifier((12,), optimizer=optimizer, dtype=dtype, dropout=0.1, **SMALL)
    fresh = untrained(fresh)
    assert not alike(net_state(fresh), state)
    with torch.random.fork_rng():
        restore_net(fresh, kept(part, state))
        assert alike(net_state(fresh), {**state, "random": net_state(fresh)["random"]})
        assert torch.equal(torch.get_rng_state(), state["random"][0])
    assert fresh.module_.hidden0.out_features == 6


def untrained(estimator):
    """The net of an estimator before its first epoch."""

    class First(Callback):
        def on_train_begin(self, net, **kwargs):
            raise Found(net)

    class Found(Exception):  # noqa: N818
        pass

    try:
        estimator.set_params(callbacks=[First()]).fit(X, Y)
    except Found as found:
        (net,) = found.args
    net.callbacks_ = [
        (name, c) for name, c in net.callbacks_ if name in ("epoch_timer", "neuron_tuning")
    ]
    return net


def test_the_bar_begins_where_the_training_does(tmp_path, monkeypatch):
    network = TorchMLPRegressor((9,), **SMALL).fit(X, Y)
    part = Part(tmp_path / "part.state", "fit")
    part.save(net_state(network.net_))
    watch = TrainingWatch(part)
    assert watch.epochs_left(12) == 7
    bar = EpochBar(12)
    net = untrained(TorchMLPRegressor((9,), **SMALL))
    net.callbacks_ += [("bar", bar), ("watch", watch)]
    bar.on_train_begin(net)
    with torch.random.fork_rng():
        watch.on_train_begin(net)
    assert bar.bar_.n == 5
    bar.on_train_end(net)


def test_a_training_that_has_ended_is_not_begun_again(part):
    network = TorchMLPRegressor((9,), **SMALL).fit(X, Y)
    TrainingWatch(part).end(network.net_)
    watch = TrainingWatch(part)
    assert watch.kept["ended"]
    assert watch.epochs_left(50) == 0


def test_stacks(part, monkeypatch):
    states, training = [], []

    class Seen(StackState):
        def __init__(self, *parts):
            super().__init__(*parts)
            training.append(self)
            states.append(copy.deepcopy(self.state()))

    monkeypatch.setattr(_stacked_fit, "StackState", Seen)
    networks = ANTClassifier((12, 8), n_networks=3, input_penalty=0.1, **SMALL)
    networks.fit(X, Y)
    ended = kept(part, training[0].state())
    assert not alike(ended, states[0])
    # The same networks before they were trained.
    monkeypatch.setattr(_stacked_fit, "train_epoch", stop)
    with pytest.raises(InterruptedError):
        networks.fit(X, Y)
    assert alike(training[1].state(), states[0])
    assert training[1].restore(ended) == 5
    assert alike(training[1].state(), ended)


def stop(*args):
    raise InterruptedError


def test_machines_are_kept_now_and_then_and_in_the_end(part, monkeypatch):
    machines = KeptMachines(part)
    assert machines.kept is None
    machines.end()
    assert not part.path.exists()
    for number in range(3):
        machines.keep({"number": number})
    assert part.load() == {"number": 0}  # the others were not due
    machines.end()
    assert KeptMachines(part).kept == {"number": 2}
    np.testing.assert_equal(machines.part.is_due, False)
