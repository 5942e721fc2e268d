"""Ctrl-C while something is fitted: what was learnt is kept, and a search is not half done."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, EarlyStopping

from sknninterp import (
    RBM,
    ANTClassifier,
    ANTClassifierCV,
    ANTRegressor,
    PWPExplainer,
    RBMPretrainedMLP,
    RepeatedExplainer,
    TorchMLPClassifier,
    TorchMLPRegressor,
)
from sknninterp.estimators import _stacked_fit
from sknninterp.estimators._interrupts import deferred_interrupts, interrupted
from sknninterp.nn import rbm_training, tuning

X, Y = make_classification(n_samples=150, n_features=6, n_informative=4, random_state=0)
SMALL = {"max_epochs": 8, "batch_size": 32, "lr": 0.02, "random_state": 0}


@pytest.fixture(autouse=True)
def pythons_handler():
    """What a test runner may have changed; and a fit must leave as it is."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("Ctrl-C is for the main thread")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
    assert not interrupted()


class Press(Callback):
    """Presses Ctrl-C once in an epoch; or raises what a callback may raise."""

    def __init__(self, epoch, event="on_grad_computed", how="signal"):
        self.epoch = epoch
        self.event = event
        self.how = how
        self.done_ = False

    def _press(self, event, net):
        if event == self.event and len(net.history) == self.epoch and not self.done_:
            self.done_ = True
            if self.how == "raise":
                raise KeyboardInterrupt
            signal.raise_signal(signal.SIGINT)

    def on_epoch_begin(self, net, **kwargs):
        self._press("on_epoch_begin", net)

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self._press("on_grad_computed", net)

    def on_epoch_end(self, net, **kwargs):
        self._press("on_epoch_end", net)


def press_in(monkeypatch, module, name, call):
    """Press Ctrl-C in the given call of a function."""
    plain, calls = getattr(module, name), 0

    def pressing(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == call:
            signal.raise_signal(signal.SIGINT)
        return plain(*args, **kwargs)

    monkeypatch.setattr(module, name, pressing)


def weights(estimator):
    return list(estimator.module_.state_dict().values())


def assert_usable(estimator, n_epochs):
    assert estimator.n_iter_ == len(estimator.history_) == n_epochs
    assert estimator.history_["epoch"].tolist() == list(range(1, n_epochs + 1))
    assert not estimator.history_.isna().any(axis=None)
    assert len(estimator.predict(X)) == len(X)
    assert len(PWPExplainer(estimator).fit(X, Y).feature_importances_) == 6


# --- one network --------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["on_epoch_begin", "on_grad_computed", "on_epoch_end"])
@pytest.mark.parametrize("kind", [TorchMLPClassifier, ANTClassifier, ANTRegressor])
def test_the_epoch_under_way_is_the_last(kind, event):
    network = kind((12,), callbacks=[Press(5, event)], **SMALL)
    with pytest.warns(ConvergenceWarning, match=r"Training was interrupted after epoch 5\."):
        network.fit(X, Y)
    assert_usable(network, 5)
    whole = kind((12,), callbacks=[Keep()], **SMALL).fit(X, Y)
    (kept,) = (c for _, c in whole.net_.callbacks_ if isinstance(c, Keep))
    for one, other in zip(weights(network), kept.states_[4], strict=True):
        assert torch.equal(one, other)
    if kind is not TorchMLPClassifier:
        expected = whole.tuning_history_.query("epoch <= 5")
        pd.testing.assert_frame_equal(network.tuning_history_, expected)
        assert 0 < len(expected) < len(whole.tuning_history_)


class Keep(Callback):
    """Keeps the weights of every epoch."""

    def __init__(self):
        self.states_ = []

    def on_epoch_end(self, net, **kwargs):
        self.states_.append([value.clone() for value in net.module_.state_dict().values()])


@pytest.mark.parametrize("name", ["remove_units", "_unit_scores"])
def test_neurons_are_not_half_removed(name, monkeypatch):
    network = ANTClassifier((16, 8), **SMALL)
    with monkeypatch.context() as patched:
        press_in(patched, tuning, name, 3)
        with pytest.warns(ConvergenceWarning, match=r"after epoch 3\."):
            network.fit(X, Y)
    assert_usable(network, 3)
    removed = network.removed_neurons_
    assert network.layer_sizes_ == [16 - len(removed["hidden0"]), 8 - len(removed["hidden1"])]
    assert len(removed["hidden0"]) == 3 * 8 // 6
    widths = network.history_["n_neurons"].tolist()
    assert widths[-1] == sum(network.layer_sizes_) < widths[0]


def test_the_best_network_so_far_is_kept():
    options = {**SMALL, "lr": 0.1, "max_epochs": 30}
    network = TorchMLPClassifier(
        (12,), early_stopping=True, refit=True, callbacks=[Press(12)], patience=20, **options
    )
    with pytest.warns(ConvergenceWarning, match="after epoch 12"):
        network.fit(X, Y)
    assert_usable(network, 12)
    best = int(network.history_["valid_loss"].argmin()) + 1
    assert best < 12
    until = TorchMLPClassifier((12,), early_stopping=True, **{**options, "max_epochs": best})
    for one, other in zip(weights(network), weights(until.fit(X, Y)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize(("event", "n_epochs"), [("on_grad_computed", 3), ("on_epoch_end", 4)])
def test_a_callback_may_end_the_training(event, n_epochs):
    network = ANTRegressor((12,), callbacks=[Press(4, event, how="raise")], **SMALL)
    with pytest.warns(ConvergenceWarning, match=f"by a callback after epoch {n_epochs}"):
        network.fit(X, Y)
    assert_usable(network, n_epochs)


def test_a_callback_that_leaves_nothing_is_an_error():
    network = TorchMLPClassifier((12,), callbacks=[Press(1, how="raise")], **SMALL)
    with pytest.raises(KeyboardInterrupt):
        network.fit(X, Y)
    assert not hasattr(network, "net_")


def test_early_stopping_says_nothing():
    stopping = EarlyStopping("train_loss", patience=1, threshold=0.9)
    assert TorchMLPClassifier(callbacks=[stopping], **SMALL).fit(X, Y).n_iter_ < 8
    TorchMLPClassifier(early_stopping=True, patience=1, **{**SMALL, "lr": 1.0}).fit(X, Y)


def test_a_second_time_strikes_at_once():
    ended = []

    class Ended(Callback):
        def on_epoch_end(self, net, **kwargs):
            ended.append(len(net.history))

    callbacks = [Press(4, "on_epoch_begin"), Press(4), Ended()]
    network = TorchMLPClassifier((12,), callbacks=callbacks, **SMALL)
    with pytest.raises(KeyboardInterrupt):
        network.fit(X, Y)
    assert not hasattr(network, "net_")
    assert len(ended) <= 3


def test_in_the_last_epoch():
    network = TorchMLPClassifier((12,), callbacks=[Press(8)], **SMALL)
    with pytest.warns(ConvergenceWarning, match="after epoch 8"):
        network.fit(X, Y)
    assert_usable(network, 8)


def test_partial_fit_learns_its_samples_and_raises():
    network = TorchMLPRegressor((12,), callbacks=[Press(2)], **SMALL).partial_fit(X, Y)
    with pytest.raises(KeyboardInterrupt):
        network.partial_fit(X, Y)
    assert_usable(network, 2)
    other = TorchMLPRegressor((12,), **SMALL).partial_fit(X, Y).partial_fit(X, Y)
    np.testing.assert_allclose(network.predict(X), other.predict(X))


def test_a_handler_of_the_users_stays():
    heard = []

    def handler(number, frame):
        heard.append(number)

    signal.signal(signal.SIGINT, handler)
    try:
        network = TorchMLPClassifier((12,), callbacks=[Press(2)], **SMALL).fit(X, Y)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert (heard, network.n_iter_) == ([signal.SIGINT], 8)


def test_other_threads_do_not_hear_of_it():
    def work():
        done.append(TorchMLPClassifier((12,), **SMALL).fit(X, Y).n_iter_)

    done, thread = [], threading.Thread(target=work)
    with pytest.raises(KeyboardInterrupt), deferred_interrupts():
        signal.raise_signal(signal.SIGINT)
        assert interrupted()
        thread.start()
        thread.join()
    assert done == [8]


# --- several networks, machines -----------------------------------------------------------------


@pytest.mark.parametrize("kind", [TorchMLPClassifier, ANTRegressor])
def test_a_stack(kind, monkeypatch):
    press_in(monkeypatch, _stacked_fit, "train_epoch", 4)
    network = kind((12,), n_networks=3, **SMALL)
    with pytest.warns(ConvergenceWarning, match="with 3 of 3 networks, the last after epoch 4"):
        network.fit(X, Y)
    assert_usable(network, 4)
    assert len(network.networks_) == 3


def test_networks_that_were_not_begun_are_left_out(monkeypatch):
    network = ANTClassifier((12,), n_networks=3, dropout=0.1, **SMALL)
    press_in(monkeypatch, ANTClassifier, "_build", 2)
    with pytest.warns(ConvergenceWarning, match="with 2 of 3 networks, the last after epoch 1"):
        network.fit(X, Y)
    assert [one.n_iter_ for one in network.networks_] == [8, 1]
    assert len(network.predict(X)) == len(X)


def test_stacks_that_were_not_begun_are_left_out(monkeypatch):
    monkeypatch.setattr(_stacked_fit, "_networks_at_once", lambda member: 2)
    press_in(monkeypatch, _stacked_fit, "train_epoch", 10)
    network = TorchMLPClassifier((12,), n_networks=5, **SMALL)
    with pytest.warns(ConvergenceWarning, match="with 4 of 5 networks, the last after epoch 2"):
        network.fit(X, Y)
    assert len(network.networks_) == 4


def test_a_machine(monkeypatch):
    press_in(monkeypatch, rbm_training, "train_epoch", 3)
    machine = RBM(5, n_iter=6, random_state=0)
    with pytest.warns(ConvergenceWarning, match="after epoch 3"):
        machine.fit(X)
    assert len(machine.history_) == 3
    np.testing.assert_array_equal(
        machine.transform(X), RBM(5, n_iter=3, random_state=0).fit_transform(X)
    )


def test_a_pretraining_has_nothing_to_keep(monkeypatch, tmp_path):
    press_in(monkeypatch, rbm_training, "train_epoch", 2)
    network = RBMPretrainedMLP((12,), checkpoint=tmp_path, **SMALL)
    with pytest.raises(KeyboardInterrupt):
        network.fit(X, Y)
    assert not hasattr(network, "net_")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fit.json", "pretraining.state"]
    whole = RBMPretrainedMLP((12,), **SMALL).fit(X, Y)
    np.testing.assert_array_equal(network.fit(X, Y).predict_proba(X), whole.predict_proba(X))


@pytest.mark.parametrize("options", [{}, {"n_networks": 2}, {"n_networks": 2, "dropout": 0.1}])
def test_the_next_fit_goes_on(options, monkeypatch, tmp_path):
    whole = ANTClassifier((12,), **options, **SMALL).fit(X, Y)
    network = ANTClassifier((12,), checkpoint=tmp_path, **options, **SMALL)
    with monkeypatch.context() as patched:
        if options == {"n_networks": 2}:
            press_in(patched, _stacked_fit, "train_epoch", 5)
        else:
            press_in(patched, ANTClassifier, "_train", 1)
        with pytest.warns(ConvergenceWarning, match="interrupted"):
            network.fit(X, Y)
    assert (tmp_path / "fit.json").exists()
    assert network.fit(X, Y).n_iter_ == 8
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(network.predict_proba(X), whole.predict_proba(X))


# --- one of many fits ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tool",
    [
        lambda network: GridSearchCV(network, {"lr": [0.01, 0.02]}, cv=2).fit(X, Y),
        lambda network: cross_val_score(make_pipeline(StandardScaler(), network), X, Y, cv=2),
        lambda network: ANTClassifierCV(network, cv=2).fit(X, Y),
        lambda network: RepeatedExplainer(PWPExplainer(network), n_repeats=2).fit(X, Y),
    ],
    ids=["grid", "scores", "own", "repeats"],
)
def test_a_search_is_not_half_done(tool):
    with pytest.raises(KeyboardInterrupt):
        tool(ANTClassifier((12,), callbacks=[Press(3)], **SMALL))


def test_a_search_in_stacks_is_not_half_done(monkeypatch):
    press_in(monkeypatch, _stacked_fit, "train_epoch", 3)
    with pytest.raises(KeyboardInterrupt):
        ANTClassifierCV(ANTClassifier((12,), **SMALL), cv=2).fit(X, Y)


def test_a_pipeline_keeps_its_network():
    network = TorchMLPClassifier((12,), callbacks=[Press(3)], **SMALL)
    pipeline = make_pipeline(StandardScaler(), network)
    with pytest.warns(ConvergenceWarning, match="after epoch 3"):
        pipeline.fit(X, Y)
    assert len(pipeline.predict(X)) == len(X)


# --- from outside -------------------------------------------------------------------------------

SCRIPT = """
import warnings
from sklearn.datasets import make_classification
from skorch.callbacks import Callback
from sknninterp import ANTClassifier

class Tell(Callback):
    def on_epoch_end(self, net, **kwargs):
        print(len(net.history), flush=True)

X, y = make_classification(n_samples=500, random_state=0)
network = ANTClassifier((64,), max_epochs=1_000_000, callbacks=[Tell()])
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    network.fit(X, y)
print(*[w.category.__name__ + ": " + str(w.message) for w in caught])
print(network.n_iter_, len(network.predict(X)))
"""


def test_a_real_signal():
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.strip() == "3":
            break
    time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    *_, said, last = process.communicate(timeout=60)[0].splitlines()
    n_epochs, n_rows = last.split()
    assert process.returncode == 0
    assert said == f"ConvergenceWarning: Training was interrupted after epoch {n_epochs}."
    assert int(n_epochs) >= 3
    assert n_rows == "500"
