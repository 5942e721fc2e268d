"""Pretrained networks: the plain ones without pretraining, and what pretraining adds."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_digits, make_classification
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch import nn

from sknninterp import (
    ANTClassifier,
    InfluentialScores,
    NeuronTuning,
    PWPExplainer,
    RBMPretrainedMLP,
    RBMPretrainedMLPRegressor,
    TorchMLPClassifier,
    TorchMLPRegressor,
)
from sknninterp.estimators import _pretraining_part
from sknninterp.estimators._device import seeded
from sknninterp.nn.mlp import MLP
from sknninterp.nn.pretraining import pretrain
from sknninterp.nn.rbm import ConvRBM, DenseRBM
from sknninterp.nn.rbm_trainer import DivergenceError

PAIRS = [(RBMPretrainedMLP, TorchMLPClassifier), (RBMPretrainedMLPRegressor, TorchMLPRegressor)]
BOTH = [RBMPretrainedMLP, RBMPretrainedMLPRegressor]

X, Y = make_classification(n_samples=90, n_features=6, n_informative=4, n_classes=3, random_state=0)
TARGET = X[:, 0] + 0.1 * Y
MORE = np.random.default_rng(0).normal(size=(40, 6))
NAMES = ["age", "weight", "height", "dose", "grade", "stage"]
FRAME = pd.DataFrame(X, columns=NAMES)
WEIGHT = np.random.default_rng(0).integers(0, 4, 90).astype(float)
PIXELS, DIGITS = load_digits(return_X_y=True)
IMAGES = PIXELS.reshape(-1, 1, 8, 8)[:100] / 16
FROZEN = {"lr": 1e-300, "max_epochs": 1}  # the network stays as pretraining left it


def make(kind=RBMPretrainedMLP, **params):
    """A small network that is quick to fit."""
    defaults = {
        "hidden_layer_sizes": (8, 5),
        "max_epochs": 4,
        "batch_size": 32,
        "lr": 0.01,
        "random_state": 0,
    }
    if kind in BOTH and params.get("pretraining") != "hybrid":
        defaults["pretraining_epochs"] = 3
    return kind(**{**defaults, **params})


def target(kind):
    return Y if is_classifier(kind()) else TARGET


def fitted(kind=RBMPretrainedMLP, X_unlabeled=None, sample_weight=None, **params):
    estimator = make(kind, **params)
    more = {} if X_unlabeled is None else {"X_unlabeled": X_unlabeled}
    return estimator.fit(X, target(kind), sample_weight=sample_weight, **more)


def outputs(estimator, data=X):
    return estimator.predict_proba(data) if is_classifier(estimator) else estimator.predict(data)


def assert_same(one, other, data=X):
    """Same weights, history and predictions, bit for bit."""
    ours, theirs = one.module_.state_dict(), other.module_.state_dict()
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name
    np.testing.assert_array_equal(outputs(one, data), outputs(other, data))
    pd.testing.assert_frame_equal(
        one.history_.drop(columns="dur"), other.history_.drop(columns="dur")
    )


def assert_same_machines(one, other):
    assert len(one) == len(other)
    for ours, theirs in zip(one, other, strict=True):
        assert repr(ours) == repr(theirs)
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(a, b)


def cnn(n_inputs, n_outputs):
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(n_inputs, 4, 3),
            relu=nn.ReLU(),
            pool=nn.MaxPool2d(2),
            flat=nn.Flatten(),
            wide=nn.Linear(36, 12),
            squash=nn.Sigmoid(),
            out=nn.Linear(12, n_outputs),
        )
    )


@pytest.fixture
def calls(monkeypatch):
    """What `pretrain` was called with: the inputs and weights of one epoch each time."""
    found = []

    def spy(module, shape, batches, **options):
        epoch = list(batches)
        weight = None if epoch[0][2] is None else torch.cat([batch[2] for batch in epoch])
        found.append((torch.cat([batch[0] for batch in epoch]).numpy(), weight))
        return pretrain(module, shape, batches, **options)

    monkeypatch.setattr(_pretraining_part, "pretrain", spy)
    return found


def rows(data):
    return {row.tobytes() for row in data}


# --- no pretraining: the plain network ----------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"early_stopping": True, "patience": 2, "max_epochs": 20},
        {"batch_norm": True, "dropout": 0.3, "dtype": "float32"},
        {"sample_weight": WEIGHT},
        {"module": lambda n, m: nn.Sequential(nn.Linear(n, 7), nn.GELU(), nn.Linear(7, m))},
        {"hidden_layer_sizes": (), "activation": "gelu"},
    ],
    ids=["default", "early-stopping", "batch-norm", "weights", "module", "linear"],
)
@pytest.mark.parametrize(("kind", "plain"), PAIRS)
def test_no_pretraining_is_the_plain_network_bit_for_bit(kind, plain, params):
    ours, theirs = fitted(kind, pretraining=None, **params), fitted(plain, **params)
    assert_same(ours, theirs)
    assert ours.rbms_ == []
    assert ours.pretraining_history_.empty
    assert list(ours.pretraining_history_)[0] == "layer"
    if "early_stopping" not in params:
        for one in (ours, theirs):
            one.partial_fit(X, target(kind))
        assert_same(ours, theirs)


def test_class_weights_without_pretraining():
    params = {"class_weight": "balanced"}
    assert_same(fitted(pretraining=None, **params), fitted(TorchMLPClassifier, **params))
    assert not np.array_equal(outputs(fitted(**params)), outputs(fitted()))


@pytest.mark.parametrize("kind", BOTH)
def test_unlabeled_samples_that_are_not_used_warn(kind):
    with pytest.warns(UserWarning, match="X_unlabeled is not used: pretraining=None") as caught:
        estimator = fitted(kind, MORE, pretraining=None)
    assert caught[0].filename == __file__
    assert_same(estimator, fitted(kind, pretraining=None))
    estimator = fitted(kind, MORE, warm_start=True)
    with pytest.warns(UserWarning, match="X_unlabeled is not used: warm_start=True goes on"):
        estimator.fit(X, target(kind), X_unlabeled=MORE)


# --- pretraining --------------------------------------------------------------------------------


class Shuffled:
    """Batches in a new order each time."""

    def __init__(self, data, batch_size=32):
        self.data, self.batch_size = torch.from_numpy(data), batch_size

    def __iter__(self):
        for index in torch.randperm(len(self.data)).split(self.batch_size):
            yield self.data[index]


@pytest.mark.parametrize("more", [None, MORE], ids=["labeled", "unlabeled"])
@pytest.mark.parametrize(
    ("params", "options"),
    [
        ({}, {"rule": "reconstruction", "n_epochs": 3}),
        ({"pretraining": "cd"}, {"rule": "cd", "n_epochs": 3}),
        ({"pretraining": "hybrid"}, {"rule": "hybrid"}),
        (
            {"pretraining": "hybrid", "hybrid_epochs": [1, 1], "pretraining_epochs": 2},
            {"rule": "hybrid", "n_epochs": 2, "hybrid_epochs": (1, 1)},
        ),
        (
            {"pretraining": "exact", "pretraining_lr": 0.003, "pretraining_epochs": 7},
            {"rule": "exact", "lr": 0.003, "n_epochs": 7},
        ),
        (
            {"pretraining_momentum": [0.1, 0.2], "visible": "gaussian"},
            {"n_epochs": 3, "momentum": (0.1, 0.2), "visible": "gaussian"},
        ),
        (
            {"activation": "tanh", "pretraining_epochs": 0},
            {"n_epochs": 0},
        ),
    ],
    ids=["default", "cd", "hybrid", "hybrid-epochs", "exact", "momentum", "none"],
)
def test_pretraining_by_hand(params, options, more):
    estimator = fitted(X_unlabeled=more, **params, **FROZEN)
    with seeded(np.random.RandomState(0)):
        network = MLP(6, 3, (8, 5), params.get("activation", "relu")).double()
        data = X if more is None else np.concatenate([X, more])
        layers = pretrain(network, (6,), Shuffled(data), **options)
    expected = network.state_dict()
    for name, value in estimator.module_.state_dict().items():
        assert torch.equal(value, expected[name]), name
    assert_same_machines(estimator.rbms_, [layer.rbm for layer in layers])
    errors = [epoch.reconstruction_error for layer in layers for epoch in layer.epochs]
    assert estimator.pretraining_history_["reconstruction_error"].tolist() == errors


def test_history():
    estimator = fitted(pretraining="hybrid", hybrid_epochs=(2, 1), pretraining_epochs=3)
    history = estimator.pretraining_history_
    columns = ["layer", "epoch", "rule", "lr", "momentum", "reconstruction_error", "dur"]
    assert list(history) == columns
    assert history["layer"].tolist() == ["hidden0"] * 3 + ["hidden1"] * 3
    assert history["epoch"].tolist() == [1, 2, 3] * 2
    assert history["rule"].tolist() == ["cd", "cd", "reconstruction"] * 2
    assert history["momentum"].tolist() == [0.5] * 6
    assert estimator.n_iter_ == 4
    assert len(estimator.history_) == 4


@pytest.mark.parametrize("kind", BOTH)
def test_machines_stay_as_pretraining_left_them(kind):
    estimator, frozen = fitted(kind), fitted(kind, **FROZEN)
    assert_same_machines(estimator.rbms_, frozen.rbms_)
    for i, rbm in enumerate(frozen.rbms_):
        layer = getattr(frozen.module_, f"hidden{i}")
        assert torch.equal(rbm.weight, layer.weight)
        assert torch.equal(rbm.bias_hidden, layer.bias)
        assert rbm.weight.data_ptr() != layer.weight.data_ptr()
        assert not torch.equal(rbm.weight, getattr(estimator.module_, f"hidden{i}").weight)


@pytest.mark.parametrize(
    ("data", "activation", "visible", "expected"),
    [
        ("bits", "sigmoid", "auto", ["bernoulli", "bernoulli"]),
        ("bits", "relu", "auto", ["relu", "relu"]),
        ("bits", "relu", "bernoulli", ["bernoulli", "relu"]),
        ("normal", "sigmoid", "auto", ["gaussian", "bernoulli"]),
        ("normal", "tanh", "linear", ["gaussian", "tanh"]),
    ],
)
def test_kinds_of_units(data, activation, visible, expected):
    values = X if data == "normal" else (X > 0).astype(float)
    estimator = make(activation=activation, visible=visible).fit(values, Y)
    assert [rbm.visible_unit.name for rbm in estimator.rbms_] == expected
    assert estimator.rbms_[0].hidden_unit.name == expected[1]


@pytest.mark.parametrize("kind", BOTH)
def test_learns(kind):
    estimator = fitted(kind, max_epochs=40, hidden_layer_sizes=(30,))
    assert estimator.score(X, target(kind)) > 0.8


def test_regressor_with_several_outputs():
    answers = np.c_[X[:, 0], X[:, 1] - X[:, 2]]
    estimator = make(RBMPretrainedMLPRegressor, max_epochs=60).fit(X, answers, X_unlabeled=MORE)
    assert estimator.predict(X).shape == (90, 2)
    assert estimator.score(X, answers) > 0.8


def test_unlabeled_samples_help_where_labels_are_few():
    params = {"activation": "sigmoid", "dtype": "float32", "hidden_layer_sizes": (64, 64)}
    params |= {"pretraining_lr": 0.1, "pretraining_epochs": 50}
    scores = {"all": [], "labeled": [], None: []}
    for seed in range(3):
        train, test, y, y_test = train_test_split(
            PIXELS / 16, DIGITS, stratify=DIGITS, random_state=seed
        )
        few = np.concatenate([np.flatnonzero(y == digit)[:5] for digit in range(10)])
        rest = np.delete(train, few, axis=0)
        for how, found in scores.items():
            network = RBMPretrainedMLP(
                pretraining="cd" if how else None, random_state=seed, **params
            )
            network.fit(train[few], y[few], X_unlabeled=rest if how == "all" else None)
            found.append(network.score(test, y_test))
    everything, labeled, none = (np.mean(found) for found in scores.values())
    assert everything > labeled + 0.03  # by 0.07 over many seeds
    assert labeled > none + 0.03  # by 0.1


# --- what is pretrained on ----------------------------------------------------------------------


def test_labeled_and_unlabeled_samples(calls):
    fitted()
    fitted(X_unlabeled=MORE)
    fitted(X_unlabeled=MORE, sample_weight=WEIGHT)
    (first, none), (second, _), (third, weight) = calls
    assert rows(first) == rows(X)
    assert none is None
    assert rows(second) == rows(X) | rows(MORE)
    assert len(second) == 130
    assert rows(third) == rows(X[WEIGHT > 0]) | rows(MORE)
    given = dict(zip([row.tobytes() for row in X], WEIGHT / WEIGHT[WEIGHT > 0].mean(), strict=True))
    expected = [given.get(row.tobytes(), 1.0) for row in third]
    np.testing.assert_allclose(weight, expected)


def test_held_out_part_is_not_pretrained_on(calls, monkeypatch):
    parts = []
    train = RBMPretrainedMLP._train
    monkeypatch.setattr(
        RBMPretrainedMLP, "_train", lambda s, net, p, *a: parts.append(p) or train(s, net, p, *a)
    )
    fitted(X_unlabeled=MORE, early_stopping=True)
    (pretrained, _), (held_out,) = calls[0], [part.valid.inputs.numpy() for part in parts]
    assert len(held_out) == 9
    assert rows(pretrained) == rows(X) - rows(held_out) | rows(MORE)


@pytest.mark.parametrize("kind", BOTH)
def test_weights_are_repetitions(kind):
    params = {"batch_size": 1000, "activation": "tanh"}
    weighted = fitted(kind, sample_weight=WEIGHT, **params)
    index = np.repeat(np.arange(90), WEIGHT.astype(int))
    repeated = make(kind, **params).fit(X[index], target(kind)[index])
    for one, other in zip(weighted.rbms_, repeated.rbms_, strict=True):
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(outputs(weighted), outputs(repeated), rtol=1e-5, atol=1e-7)
    plain = fitted(kind, **params)
    assert not torch.allclose(plain.rbms_[0].weight, weighted.rbms_[0].weight, rtol=1e-4)


@pytest.mark.parametrize("kind", BOTH)
def test_partial_fit_pretrains_once(kind, calls):
    estimator = make(kind).partial_fit(X, target(kind))
    assert len(calls) == 1
    machines, history = estimator.rbms_, estimator.pretraining_history_
    assert_same_machines(machines, fitted(kind).rbms_)
    estimator.partial_fit(X, target(kind))
    assert len(calls) == 2  # one of them by the other network
    assert estimator.rbms_ is machines
    assert estimator.pretraining_history_ is history
    assert estimator.n_iter_ == 2


@pytest.mark.parametrize("kind", BOTH)
def test_warm_start_does_not_pretrain_again(kind, calls):
    estimator = fitted(kind, warm_start=True)
    machines = estimator.rbms_
    estimator.fit(X, target(kind))
    assert len(calls) == 1
    assert estimator.rbms_ is machines
    assert estimator.n_iter_ == 8
    estimator.set_params(warm_start=False).fit(X, target(kind))
    assert len(calls) == 2
    assert_same(estimator, fitted(kind))


# --- networks of other shapes -------------------------------------------------------------------


def test_cnn():
    rest = PIXELS.reshape(-1, 1, 8, 8)[100:300] / 16
    estimator = make(module=cnn, max_epochs=60)
    estimator.fit(IMAGES, DIGITS[:100], X_unlabeled=rest)
    first, second = estimator.rbms_
    assert isinstance(first, ConvRBM)
    assert isinstance(second, DenseRBM)
    assert first.weight.shape == (4, 1, 3, 3)
    assert second.weight.shape == (12, 36)
    assert [rbm.visible_unit.name for rbm in estimator.rbms_] == ["relu", "relu"]
    assert estimator.pretraining_history_["layer"].unique().tolist() == ["conv", "wide"]
    assert estimator.score(IMAGES, DIGITS[:100]) > 0.9
    for again in (pickle.loads(pickle.dumps(estimator)), copy.deepcopy(estimator)):
        assert_same_machines(estimator.rbms_, again.rbms_)
        assert_same(estimator, again, IMAGES)
        values = torch.from_numpy(IMAGES)
        assert torch.equal(again.rbms_[0].hidden(values), first.hidden(values))


def test_images_of_another_size():
    with pytest.raises(ValueError, match=r"X_unlabeled has samples of shape \(1, 7, 8\), X of"):
        make(module=cnn).fit(IMAGES, DIGITS[:100], X_unlabeled=IMAGES[:, :, 1:])
    with pytest.raises(ValueError, match="X_unlabeled: X has 2 features"):
        make(module=cnn).fit(IMAGES, DIGITS[:100], X_unlabeled=np.repeat(IMAGES, 2, axis=1))


def test_convolution_too_large_for_the_image():
    def large(n_inputs, n_outputs):
        return nn.Sequential(nn.Conv2d(n_inputs, 4, 9), nn.Flatten(), nn.Linear(4, n_outputs))

    with pytest.raises(ValueError, match=r"cannot take samples of shape \(1, 8, 8\).*[Kk]ernel"):
        make(module=large).fit(IMAGES, DIGITS[:100])


def test_module_instance_keeps_its_weights():
    module = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    before = copy.deepcopy(module.state_dict())
    estimator = fitted(module=module, **FROZEN)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert not torch.allclose(estimator.module_[0].weight, module[0].weight.double())
    torch.testing.assert_close(estimator.module_[2].weight, module[2].weight.double())


# --- keeping, seeds, what is shown --------------------------------------------------------------

COPIES = {
    "pickle": lambda e, _: pickle.loads(pickle.dumps(e)),
    "deepcopy": lambda e, _: copy.deepcopy(e),
    "joblib": lambda e, path: joblib.load(joblib.dump(e, path / "network.joblib")[0]),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("kind", BOTH)
def test_copies_are_the_same_and_go_on(kind, how, tmp_path):
    estimator = fitted(kind, MORE)
    again = COPIES[how](estimator, tmp_path)
    assert_same(estimator, again)
    assert_same_machines(estimator.rbms_, again.rbms_)
    pd.testing.assert_frame_equal(estimator.pretraining_history_, again.pretraining_history_)
    for one in (estimator, again):
        one.partial_fit(X, target(kind))
    assert_same(estimator, again)


@pytest.mark.parametrize("kind", BOTH)
def test_clone_is_unfitted(kind):
    estimator = fitted(kind, pretraining="cd", pretraining_lr=0.005)
    again = clone(estimator)
    assert not hasattr(again, "rbms_")
    assert again.get_params() == estimator.get_params()
    assert_same(again.fit(X, target(kind)), estimator)


@pytest.mark.usefixtures("global_rng_untouched")
@pytest.mark.parametrize("params", [{}, {"dropout": 0.3, "early_stopping": True}], ids=str)
@pytest.mark.parametrize("kind", BOTH)
def test_one_seed_is_the_same_bits_and_leaves_the_global_state(kind, params):
    first, second = (fitted(kind, MORE, **params) for _ in range(2))
    assert_same(first, second)
    assert_same_machines(first.rbms_, second.rbms_)
    other = fitted(kind, MORE, **params, random_state=1)
    assert not torch.equal(first.rbms_[0].weight, other.rbms_[0].weight)


@pytest.mark.parametrize("kind", BOTH)
def test_progress_bars(kind, capsys):
    estimator = fitted(kind, verbose=1)
    shown = capsys.readouterr()
    assert shown.out == ""
    last = estimator.pretraining_history_.iloc[-1]
    assert f"layer=hidden1, reconstruction_error={last['reconstruction_error']:.4g}" in shown.err
    assert "6epoch" in shown.err
    assert "4/4" in shown.err
    assert_same(estimator, fitted(kind))


@pytest.mark.parametrize("kind", BOTH)
def test_nothing_is_printed(kind, capsys):
    fitted(kind, MORE).partial_fit(X, target(kind)).predict(X)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_what_a_gpu_pretrained_is_kept_off_it():
    estimator = fitted(X_unlabeled=MORE, device="cuda")
    assert next(estimator.module_.parameters()).is_cuda
    assert not any(rbm.weight.is_cuda for rbm in estimator.rbms_)
    again = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_allclose(outputs(again), outputs(estimator), rtol=1e-6)


# --- together with other tools ------------------------------------------------------------------


def test_grid_search_over_pretraining():
    pipeline = make_pipeline(MinMaxScaler(), make(activation="sigmoid", hybrid_epochs=(2, 1)))
    grid = {"rbmpretrainedmlp__pretraining": [None, "cd", "reconstruction", "exact", "hybrid"]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, Y)
    scores = search.cv_results_["mean_test_score"]
    assert scores.shape == (5,)
    assert len(set(scores)) > 1
    best = search.best_params_["rbmpretrainedmlp__pretraining"]
    assert len(search.best_estimator_[-1].rbms_) == (0 if best is None else 2)


def test_grid_search_passes_unlabeled_samples_on(calls):
    search = GridSearchCV(make(), {"pretraining": ["cd"]}, cv=2, error_score="raise")
    search.fit(X, Y, X_unlabeled=MORE)
    assert [len(data) for data, _ in calls] == [45 + 40, 45 + 40, 90 + 40]


@pytest.mark.parametrize("kind", BOTH)
def test_scaler_of_a_pipeline_scales_unlabeled_samples_too(kind):
    with sklearn.config_context(enable_metadata_routing=True):
        network = make(kind).set_fit_request(X_unlabeled=True)
        pipeline = make_pipeline(StandardScaler(), network, transform_input=["X_unlabeled"])
        pipeline.fit(5 + 3 * X, target(kind), X_unlabeled=5 + 3 * MORE)
    scaler = StandardScaler().fit(5 + 3 * X)
    expected = make(kind).fit(
        scaler.transform(5 + 3 * X), target(kind), X_unlabeled=scaler.transform(5 + 3 * MORE)
    )
    assert_same(pipeline[-1], expected)
    assert_same_machines(pipeline[-1].rbms_, expected.rbms_)


def test_neurons_are_tuned_while_the_pretrained_network_trains():
    estimator = fitted(
        hidden_layer_sizes=(16, 8), max_epochs=10, callbacks=[NeuronTuning(pruning_rate=0.5)]
    )
    assert estimator.module_.hidden0.weight.shape == (8, 6)
    assert estimator.module_.hidden1.weight.shape == (4, 8)
    assert [tuple(rbm.weight.shape) for rbm in estimator.rbms_] == [(16, 6), (8, 16)]


def test_tuned_network_that_starts_from_a_pretrained_one():
    pretrained = fitted(hidden_layer_sizes=(16,))
    start = make(ANTClassifier, module=pretrained.module_, pruning_rate=0, **FROZEN).fit(X, Y)
    np.testing.assert_array_equal(outputs(start), outputs(pretrained))
    tuned = make(ANTClassifier, module=pretrained.module_, max_epochs=10).fit(X, Y)
    assert tuned.layer_sizes_ == [8]
    assert pretrained.module_.hidden0.out_features == 16


def test_explainers():
    estimator = fitted(X_unlabeled=MORE, max_epochs=20)
    for explainer in (PWPExplainer(estimator), InfluentialScores(estimator)):
        explainer.fit(X, Y)
        assert explainer.estimator_ is estimator
        assert explainer.feature_importances_.shape == (6,)
        assert explainer.feature_importances_.sum() == pytest.approx(1)


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["leaky_relu", "elu", "gelu", "silu"])
def test_activation_that_is_no_unit(activation):
    with pytest.raises(ValueError, match=f"'hidden0' ends in '{activation}': pretraining takes"):
        fitted(activation=activation)


def test_nothing_to_pretrain():
    with pytest.raises(ValueError, match="no hidden layer to pretrain"):
        fitted(hidden_layer_sizes=())


def test_data_outside_the_bounds():
    with pytest.raises(ValueError, match=r"visible='bernoulli' takes .* 0 to 1.*MinMaxScaler"):
        fitted(visible="bernoulli")
    bits = (X > 0).astype(float)
    assert make(visible="bernoulli").fit(bits, Y).rbms_[0].visible_unit.name == "bernoulli"
    with pytest.raises(ValueError, match=r"visible='bernoulli' takes .* 0 to 1"):
        make(visible="bernoulli").fit(bits, Y, X_unlabeled=MORE)
    with pytest.warns(UserWarning, match="visible='relu' .* which it cannot reconstruct"):
        fitted(visible="relu")


def test_pretraining_that_diverges():
    message = r"^Pretraining with pretraining_lr=12.5: Layer 'hidden0': .* Take a smaller one"
    with pytest.raises(DivergenceError, match=message):
        make(pretraining_lr=12.5, pretraining_epochs=20).fit(30 * X, Y)
    history = make().fit(30 * X, Y).pretraining_history_
    assert history.query("layer == 'hidden0'")["lr"].max() < 0.04


BAD_PARAMETERS = {
    "pretraining": ["CD", True],
    "pretraining_epochs": [-1, 2.5],
    "hybrid_epochs": [3, (3,), (1, 1, 1), (-1, 4), (1.5, 1.5), None],
    "pretraining_lr": [0, -0.1, "fast"],
    "pretraining_momentum": [0.5, (0.5,), (0.5, 0.9, 0.9), (0.5, 1.0), (-0.1, 0), "ab", None],
    "visible": ["sigmoid", None],
}


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in BAD_PARAMETERS.items() for value in values],
)
def test_bad_parameters_are_named(kind, name, value):
    with pytest.raises(ValueError, match=name):
        fitted(kind, **{name: value})


def test_hybrid_epochs_that_do_not_add_up():
    with pytest.raises(ValueError, match=r"hybrid_epochs=\(7, 3\) .* add up to the 5 epochs"):
        fitted(pretraining="hybrid", pretraining_epochs=5)
