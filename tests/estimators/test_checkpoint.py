"""Fits that are killed and go on: the same network in the end, whatever happens to the folder."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse, stats
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, EarlyStopping, EpochScoring, LRScheduler
from torch import nn

from sknninterp import (
    RBM,
    ANTClassifier,
    ANTClassifierCV,
    ANTRegressor,
    RBMPretrainedMLP,
    RBMPretrainedMLPRegressor,
    TorchMLPClassifier,
    TorchMLPRegressor,
)
from sknninterp.estimators import _checkpoint
from sknninterp.estimators._checkpoint import NO_CHECKPOINT, Part

X, Y = make_classification(n_samples=150, n_features=6, n_informative=4, random_state=0)
WEIGHT = np.random.default_rng(0).integers(0, 3, len(X)).astype(float)
SMALL = {"max_epochs": 8, "batch_size": 32, "lr": 0.02, "random_state": 0}
STOPPING = {"early_stopping": True, "patience": 2, "max_epochs": 30, "lr": 0.05}


class Residual(nn.Module):
    """Two layers that share their neurons."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.first, self.second = nn.Linear(n_inputs, 12), nn.Linear(12, 12)
        self.last = nn.Linear(12, n_outputs)

    def forward(self, x):
        x = torch.relu(self.first(x))
        return self.last(x + torch.relu(self.second(x)))


CASES = {
    "plain": TorchMLPClassifier((12,), **SMALL),
    "dropout, batch norm": TorchMLPRegressor((12,), dropout=0.2, batch_norm=True, **SMALL),
    "float32 spline": TorchMLPClassifier(
        (9,), numeric_embedding="spline", dtype="float32", **SMALL
    ),
    "entropy": TorchMLPClassifier((9,), entropy_weight=0.1, **SMALL),
    "early stopping, refit": TorchMLPClassifier((12,), refit=True, **{**SMALL, **STOPPING}),
    "input penalty": TorchMLPClassifier((9,), input_penalty=0.3, **SMALL),
    "tuned": ANTClassifier((16, 12), **SMALL),
    "tuned, rewound to the start": ANTRegressor((16,), rewind="init", batch_norm=True, **SMALL),
    "tuned, rewound": ANTClassifier((16, 8), rewind=3, criterion="taylor", **SMALL),
    "tuned at random, stopped": ANTClassifier((16,), criterion="random", **{**SMALL, **STOPPING}),
    "tuned, residual": ANTClassifier(module=Residual, target_layers=["first", "second"], **SMALL),
    "pretrained": RBMPretrainedMLP((10, 8), pretraining_epochs=3, **SMALL),
    "pretrained, refit": RBMPretrainedMLPRegressor(
        (8,), "tanh", pretraining="cd", pretraining_epochs=2, refit=True, **{**SMALL, **STOPPING}
    ),
    "LBFGS": TorchMLPRegressor((9,), optimizer=torch.optim.LBFGS, **{**SMALL, "batch_size": 150}),
    "stack": TorchMLPClassifier((9,), n_networks=3, bootstrap=True, **SMALL),
    "tuned stack": ANTRegressor((16, 8), n_networks=2, input_penalty=0.2, **SMALL),
    "several": ANTClassifier((9,), n_networks=2, dropout=0.2, **SMALL),
    "several pretrained": RBMPretrainedMLP((6,), n_networks=2, pretraining_epochs=2, **SMALL),
    "machine": RBM(6, n_iter=8, persistent=True, momentum=(0, 0), batch_size=32, random_state=0),
    "machine whose rate falls": RBM(
        6, visible="linear", hidden="linear", rule="reconstruction", n_iter=8, random_state=0
    ),
} | {
    f"optimizer {name}": TorchMLPRegressor((9,), optimizer=name, **SMALL)
    for name in ("adamw", "adam_mini", "sgd", "nadam", "rmsprop", "adagrad")
}


class Killed(BaseException):
    """In place of a signal that nothing survives."""


@contextmanager
def killed_after(monkeypatch, n_saves):
    """Die right after a state was written, and write one after every epoch."""
    save, count = Part.save, 0

    def dying(self, state):
        nonlocal count
        save(self, state)
        self._next = 0.0
        count += self.is_kept
        if count == n_saves:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Part, "save", dying)
        yield


def fit(estimator, data=X):
    # Some machine's learning rate is too large for inputs like these.
    return estimator.fit(data * 30 if getattr(estimator, "visible", "") == "linear" else data, Y)


def start(estimator, folder, monkeypatch, n_saves):
    """A fit that is killed; whether it was."""
    with killed_after(monkeypatch, n_saves):
        try:
            fit(clone(estimator).set_params(checkpoint=folder))
        except Killed:
            return True
    return False


def tables(estimator):
    """What a fit tells of itself, without the times."""
    names = ("history_", "tuning_history_", "pretraining_history_")
    found = [getattr(estimator, name) for name in names if hasattr(estimator, name)]
    return [table.drop(columns="dur", errors="ignore") for table in found]


def weights(estimator):
    states = [estimator.module_ if hasattr(estimator, "module_") else estimator.rbm_]
    states = [module.state_dict() for module in [*states, *getattr(estimator, "rbms_", [])]]
    return [(name, value) for state in states for name, value in state.items()]


def assert_same(one, other):
    pairs = zip(getattr(one, "networks_", [one]), getattr(other, "networks_", [other]), strict=True)
    for ours, theirs in pairs:
        for (name, value), (_, same) in zip(weights(ours), weights(theirs), strict=True):
            assert value.dtype == same.dtype
            assert torch.equal(value, same), name
        for table, same in zip(tables(ours), tables(theirs), strict=True):
            pd.testing.assert_frame_equal(table, same)


@pytest.fixture(scope="module")
def whole():
    """Fits without a checkpoint, each done once."""
    done = {}

    def of(name):
        if name not in done:
            done[name] = fit(clone(CASES[name]))
        return done[name]

    return of


# --- the same in the end ------------------------------------------------------------------------


@pytest.mark.parametrize("n_saves", [1, 4, 7])
@pytest.mark.parametrize("name", CASES)
def test_a_killed_fit_ends_as_a_whole_one(name, n_saves, tmp_path, monkeypatch, whole):
    assert start(CASES[name], tmp_path, monkeypatch, n_saves)
    assert (tmp_path / "fit.json").exists()
    network = fit(clone(CASES[name]).set_params(checkpoint=tmp_path))
    assert_same(network, whole(name))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["tuned, rewound", "early stopping, refit", "tuned stack"])
def test_a_fit_may_be_killed_many_times(name, tmp_path, monkeypatch, whole):
    n_kills = 0
    while start(CASES[name], tmp_path, monkeypatch, 1):
        n_kills += 1
    assert n_kills >= 8
    network = clone(CASES[name]).set_params(checkpoint=tmp_path)
    with killed_after(monkeypatch, 2):  # nothing is left to go on from
        pytest.raises(Killed, fit, network)
    assert_same(fit(network), whole(name))


def seconds_kept(state):
    """Of the epochs in a state."""
    if "layers" in state:
        return [epoch[-1] for layer in state["layers"] for epoch in layer["epochs"]]
    if "epochs" in state:
        return [epoch[-1] for epoch in state["epochs"]]
    history = state["histories"][0][0] if "histories" in state else state["history"]
    return [row["dur"] for row in history]


@pytest.mark.parametrize(
    ("name", "part"),
    [("plain", "training"), ("stack", "stack0"), ("pretrained", "pretraining")]
    + [("machine", "training"), ("several", "network0-training")],
)
def test_epochs_are_not_trained_again(name, part, tmp_path, monkeypatch):
    assert start(CASES[name], tmp_path, monkeypatch, 5)
    kept = seconds_kept(Part(tmp_path / f"{part}.state", name_of(tmp_path)).load())
    assert len(kept) == 5
    network = fit(clone(CASES[name]).set_params(checkpoint=tmp_path))
    history = network.pretraining_history_ if name == "pretrained" else network.history_
    # Nobody trains an epoch again in the very same time.
    assert history["dur"].tolist()[:5] == kept


PROCESS = """
import os, signal, sys
import numpy as np
from scipy import stats
from skorch.callbacks import LRScheduler
from sklearn.datasets import make_classification
from sknninterp import ANTClassifier
from sknninterp.estimators._checkpoint import Part

X, Y = make_classification(n_samples=150, n_features=6, n_informative=4, random_state=0)

def network(folder):
    return ANTClassifier(
        (16, 8), class_weight={0: 1, 1: 2}, n_networks=2, target_distribution=stats.norm(0, 2),
        callbacks=[("lr", LRScheduler("StepLR", step_size=3))], max_epochs=8, batch_size=32,
        random_state=0, checkpoint=folder,
    )

if __name__ == "__main__":
    save, left = Part.save, 11

    def killing(self, state):
        global left
        save(self, state)
        self._next, left = 0.0, left - 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    Part.save = killing
    network(sys.argv[1]).fit(X, Y)
"""


def test_another_process_goes_on(tmp_path):
    environment = {**os.environ, "PYTHONHASHSEED": "17"}
    command = [sys.executable, "-c", PROCESS, str(tmp_path / "folder")]
    ended = subprocess.run(command, env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    names = sorted(path.name for path in (tmp_path / "folder").iterdir())
    assert names == ["fit.json", "network0-training.state", "network1-training.state"]
    code = {"__name__": "here"}
    exec(PROCESS, code)
    with pytest.raises(ValueError, match=r"target_distribution \(norm \(0, 2\)"):
        clone(code["network"](tmp_path / "folder")).set_params(
            target_distribution=stats.norm(0, 3)
        ).fit(X, Y)
    network = fit(code["network"](str(tmp_path / "folder")))
    assert_same(network, fit(code["network"](None)))
    assert not (tmp_path / "folder").exists()  # it was made for the fit


def name_of(folder):
    return json.loads((folder / "fit.json").read_text())["name"]


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(5)])
def test_a_fit_without_a_seed_goes_on_with_its_own(random_state, tmp_path, monkeypatch):
    network = TorchMLPClassifier((9,), **{**SMALL, "random_state": random_state, "dropout": 0.1})
    for folder in (tmp_path / "one", tmp_path / "other"):
        assert start(network, folder, monkeypatch, 3)
    manifest = (tmp_path / "one" / "fit.json").read_text()
    (tmp_path / "third").mkdir()
    (tmp_path / "third" / "fit.json").write_text(manifest)  # nothing is trained there yet
    one, other, third = (
        fit(clone(network).set_params(checkpoint=tmp_path / name))
        for name in ("one", "other", "third")
    )
    assert_same(one, third)
    if random_state is None:
        assert not torch.equal(one.module_.hidden0.weight, other.module_.hidden0.weight)


def test_more_kinds_of_data_and_a_pipeline(tmp_path, monkeypatch):
    network = RBMPretrainedMLP((6,), pretraining_epochs=2, **SMALL, checkpoint=tmp_path)
    options = {"sample_weight": WEIGHT, "X_unlabeled": sparse.csr_matrix(X[:40] * 2)}
    with killed_after(monkeypatch, 4):
        pytest.raises(Killed, network.fit, sparse.csr_matrix(X), Y, **options)
    with pytest.raises(ValueError, match="differs in X_unlabeled"):
        clone(network).fit(sparse.csr_matrix(X), Y, sample_weight=WEIGHT)
    ended = clone(network).fit(sparse.csr_matrix(X), Y, **options)
    assert_same(ended, clone(network).set_params(checkpoint=None).fit(X, Y, **options))

    pipeline = make_pipeline(StandardScaler(), network)
    with killed_after(monkeypatch, 3):
        pytest.raises(Killed, pipeline.fit, pd.DataFrame(X), Y)
    ended = clone(pipeline).fit(pd.DataFrame(X), Y)
    whole = clone(pipeline).set_params(rbmpretrainedmlp__checkpoint=None).fit(pd.DataFrame(X), Y)
    assert_same(ended[-1], whole[-1])


# --- callbacks ----------------------------------------------------------------------------------


class Counter(Callback):
    """Has a state that a training depends on."""

    def __init__(self, at=3):
        self.at = at

    def on_train_begin(self, net, **kwargs):
        self.n_epochs_ = 0

    def on_epoch_end(self, net, **kwargs):
        self.n_epochs_ += 1
        if self.n_epochs_ == self.at:
            for group in net.optimizer_.param_groups:
                group["lr"] *= 0.1


class Told(Counter):
    """Says itself what is to be kept."""

    def on_train_begin(self, net, **kwargs):
        super().on_train_begin(net)
        self.net_ = net

    def state_dict(self):
        return {"n": self.n_epochs_}

    def load_state_dict(self, state):
        self.n_epochs_ = state["n"]


class Unknown(Counter):
    def on_train_begin(self, net, **kwargs):
        super().on_train_begin(net)
        self.open_ = {"file": object()}


@pytest.mark.parametrize("n_saves", [2, 5])
@pytest.mark.parametrize(
    "callbacks",
    [
        [Counter(4)],
        [Told(4)],
        [LRScheduler("StepLR", step_size=2, gamma=0.5)],
        [LRScheduler("ReduceLROnPlateau", monitor="train_loss", patience=0, threshold=0.5)],
        [EpochScoring("accuracy", lower_is_better=False), EarlyStopping("train_loss", patience=2)],
    ],
    ids=["counter", "told", "steps", "plateau", "scoring"],
)
def test_callbacks_go_on_too(callbacks, n_saves, tmp_path, monkeypatch):
    network = TorchMLPClassifier((9,), callbacks=callbacks, **SMALL)
    assert start(network, tmp_path, monkeypatch, n_saves)
    ended = fit(clone(network).set_params(checkpoint=tmp_path))
    assert_same(ended, fit(clone(network)))


def test_a_callback_whose_state_cannot_be_kept_is_named(tmp_path):
    network = TorchMLPClassifier((9,), callbacks=[("mine", Unknown())], **SMALL)
    fit(clone(network))
    with pytest.raises(
        ValueError, match=r"cannot keep callbacks\.mine\.open_\.file, of type object"
    ):
        fit(network.set_params(checkpoint=tmp_path))
    assert list(tmp_path.iterdir()) == []


# --- the folder ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"lr": 0.03}, r"lr \(0\.02 there, 0\.03 here\)"),
        ({"hidden_layer_sizes": (13,)}, "hidden_layer_sizes"),
        ({"random_state": 1}, "random_state"),
        ({"optimizer": torch.optim.SGD}, r"optimizer \('adam' there, torch\.optim\.sgd\.SGD here"),
        ({"callbacks": [Counter(5)]}, "callbacks"),
        ({"n_networks": 2}, "n_networks"),
        ({"module": nn.Linear(6, 2)}, "module"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_another_fit_is_refused_and_the_first_one_kept(change, named, tmp_path, monkeypatch, whole):
    assert start(CASES["plain"], tmp_path, monkeypatch, 3)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(
        ValueError, match=f"checkpoint: .* an unfinished fit that differs in {named}"
    ):
        fit(clone(CASES["plain"]).set_params(checkpoint=tmp_path, **change))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert_same(fit(clone(CASES["plain"]).set_params(checkpoint=tmp_path)), whole("plain"))


@pytest.mark.parametrize("what", ["X", "dtype", "y", "weight", "versions", "class"])
def test_other_data_are_refused(what, tmp_path, monkeypatch):
    assert start(CASES["plain"], tmp_path, monkeypatch, 2)
    data, y, options = X.copy(), Y.copy(), {}
    network = clone(CASES["plain"]).set_params(checkpoint=tmp_path)
    named = {"weight": "sample_weight", "versions": "torch", "dtype": "X"}.get(what, what)
    if what == "X":
        data[-1, -1] += 1e-9
    elif what == "dtype":
        data = data.astype(np.float32)
    elif what == "y":
        y[0] = 1 - y[0]
    elif what == "weight":
        options["sample_weight"] = WEIGHT + 1
    elif what == "versions":
        monkeypatch.setattr(torch, "__version__", "1.0")
    else:
        network = RBMPretrainedMLP(pretraining=None, **network.get_params())
    with pytest.raises(ValueError, match=f"differs in {named} "):
        network.fit(data, y, **options)


def test_what_makes_no_difference_may_change(tmp_path, monkeypatch, whole):
    assert start(CASES["tuned"], tmp_path, monkeypatch, 3)
    moved = tmp_path.with_name("elsewhere")
    tmp_path.rename(moved)
    network = clone(CASES["tuned"]).set_params(checkpoint=str(moved), verbose=1)
    assert_same(fit(network), whole("tuned"))


@pytest.mark.parametrize(
    "damage", ["flipped", "cut", "empty", "manifest", "manifest cut", "format"]
)
def test_a_damaged_file_is_named(damage, tmp_path, monkeypatch):
    assert start(CASES["plain"], tmp_path, monkeypatch, 3)
    path = tmp_path / ("training.state" if damage in ("flipped", "cut", "empty") else "fit.json")
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    elif damage == "format":
        content = content.replace(b'"format": 1', b'"format": 2')
    else:
        content = {"empty": b"", "manifest": b"[1]"}.get(damage, content[: len(content) // 2])
    path.write_bytes(content)
    said = "another version" if damage == "format" else "damaged"
    with pytest.raises(ValueError, match=rf"checkpoint: .*{path.name} is .*{said}"):
        fit(clone(CASES["plain"]).set_params(checkpoint=tmp_path))


def test_a_state_runs_nothing(tmp_path):
    class Evil:
        def __reduce__(self):
            return Path(tmp_path / "ran").touch, ()

    part = Part(tmp_path / "training.state", "name")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_checkpoint, "plain", lambda state, what: state)
        part.save({"evil": Evil()})
    with pytest.raises(ValueError, match="damaged"):
        part.load()
    assert not (tmp_path / "ran").exists()


def test_states_of_an_earlier_fit_are_not_taken(tmp_path, monkeypatch, whole):
    assert start(CASES["plain"], tmp_path, monkeypatch, 3)
    (tmp_path / "fit.json").unlink()  # as if killed while it forgot
    (tmp_path / ".0123456789abcdef.tmp").touch()
    (tmp_path / "notes.txt").touch()
    network = clone(CASES["plain"]).set_params(checkpoint=tmp_path, lr=0.01)
    fit(network)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert_same(network, fit(clone(CASES["plain"]).set_params(lr=0.01)))


@pytest.mark.parametrize("change", [{"max_epochs": 0}, {"lr": 1e300}])
def test_a_fit_that_is_refused_leaves_nothing(change, tmp_path):
    network = clone(CASES["plain"]).set_params(checkpoint=tmp_path, **change)
    with pytest.raises(ValueError, match="max_epochs|diverged"):
        fit(network)
    assert list(tmp_path.iterdir()) == []


@contextmanager
def full_disk(folder, n_bytes):
    """No file may grow beyond so many bytes: the system says so, as of a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch, whole):
    assert start(CASES["tuned"], tmp_path, monkeypatch, 3)
    path = tmp_path / "training.state"
    before = path.read_bytes()
    network = clone(CASES["tuned"]).set_params(checkpoint=tmp_path)
    with full_disk(tmp_path, 2000), pytest.raises(OSError, match=r"training\.state") as raised:
        fit(network)
    assert raised.value.errno == errno.EFBIG
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["fit.json", "training.state"]
    assert_same(fit(network), whole("tuned"))


def test_a_folder_that_cannot_be_written_is_named_before_training(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        fit(clone(CASES["plain"]).set_params(checkpoint=tmp_path / "file"))


# --- what is not kept ---------------------------------------------------------------------------


def test_going_on_from_a_fitted_network_is_refused(tmp_path):
    with pytest.raises(ValueError, match="checkpoint does not go with warm_start=True"):
        fit(clone(CASES["plain"]).set_params(checkpoint=tmp_path, warm_start=True))


def test_partial_fit_keeps_nothing(tmp_path):
    network = clone(CASES["plain"]).set_params(checkpoint=tmp_path / "folder")
    network.partial_fit(X, Y).partial_fit(X, Y)
    assert not (tmp_path / "folder").exists()
    assert network._checkpoint is NO_CHECKPOINT


def test_a_search_keeps_the_network_in_the_end(tmp_path, monkeypatch):
    network = ANTClassifier((9,), checkpoint=tmp_path, **SMALL)
    search = ANTClassifierCV(network, pruning_rates=[0, 0.5], cv=2, random_state=0)
    whole = clone(search).set_params(estimator__checkpoint=None).fit(X, Y)
    with killed_after(monkeypatch, 3):
        pytest.raises(Killed, clone(search).fit, X, Y)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fit.json", "training.state"]
    with killed_after(monkeypatch, 10):  # eight epochs and the end, of one network
        ended = clone(search).fit(X, Y)
    assert_same(ended.best_estimator_, whole.best_estimator_)
    np.testing.assert_array_equal(
        ended.cv_results_["mean_test_score"], whole.cv_results_["mean_test_score"]
    )


def test_states_are_written_in_a_small_share_of_the_time(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr(_checkpoint.time, "monotonic", lambda: now)

    def write(path, how):
        nonlocal now
        now += 0.5

    monkeypatch.setattr(_checkpoint, "write_atomically", write)
    part, n_written = Part(tmp_path / "training.state", "name"), 0
    assert not Part(None, "name").is_due
    while now < 1000:
        now += 0.1
        if part.is_due:
            part.save({})
            n_written += 1
    assert 0.015 < n_written * 0.5 / now < 0.021


def test_a_pretraining_that_has_ended_is_kept_whole(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(_checkpoint, "_SHARE", 1e-9)  # nothing is due after the first time
    save = Part.save

    def counting(self, state):
        save(self, state)
        saved.append(self.path.name)
        if self.path.name == "training.state":
            raise Killed

    monkeypatch.setattr(Part, "save", counting)
    pytest.raises(Killed, fit, clone(CASES["pretrained"]).set_params(checkpoint=tmp_path))
    assert saved == ["pretraining.state"] * 2 + ["training.state"]
    state = Part(tmp_path / "pretraining.state", name_of(tmp_path)).load()
    assert len(seconds_kept(state)) == 6


def test_fitted_networks_do_not_hold_the_checkpoint(tmp_path):
    network = fit(clone(CASES["several"]).set_params(checkpoint=tmp_path))
    assert all("_checkpoint" not in vars(one) for one in [network, *network.networks_])
    assert all(one.checkpoint is None for one in network.networks_)
