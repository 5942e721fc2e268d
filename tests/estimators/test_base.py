"""What all estimators share: fitting, seeds, weights, going on, keeping, and bad input."""

from __future__ import annotations

import copy
import pickle
from typing import ClassVar

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from skorch.callbacks import Callback
from torch import nn

from sknninterp import ANTClassifier, ANTRegressor, TorchMLPClassifier, TorchMLPRegressor

CLASSIFIERS = [TorchMLPClassifier, ANTClassifier]
REGRESSORS = [TorchMLPRegressor, ANTRegressor]
ALL = [*CLASSIFIERS, *REGRESSORS]
TUNED = [ANTClassifier, ANTRegressor]

X, Y = make_classification(
    n_samples=120, n_features=6, n_informative=4, n_classes=3, random_state=0
)
FRAME = pd.DataFrame(X, columns=["age", "weight", "height", "dose", "grade", "stage"])
WEIGHT = np.random.default_rng(0).integers(0, 4, len(X)).astype(float)


def make(kind, **params):
    """A small estimator that is quick to fit."""
    defaults = {
        "hidden_layer_sizes": (12,),
        "max_epochs": 6,
        "batch_size": 32,
        "lr": 0.01,
        "random_state": 0,
    }
    return kind(**{**defaults, **params})


def target(kind):
    return Y if kind in CLASSIFIERS else X[:, 0] + 0.1 * Y


def fitted(kind, **params):
    return make(kind, **params).fit(X, target(kind))


def outputs(estimator, data=X):
    if is_classifier(estimator):
        return estimator.predict_proba(data)
    return estimator.predict(data)


def weights(estimator):
    return {name: value.clone() for name, value in estimator.module_.state_dict().items()}


def assert_same(one, other):
    """Same weights and predictions, bit for bit."""
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name
    np.testing.assert_array_equal(outputs(one), outputs(other))


class Recorder(Callback):
    """Keeps the weights of every epoch."""

    def __init__(self):
        self.states_ = []

    def on_epoch_end(self, net, **kwargs):
        self.states_.append(copy.deepcopy(net.module_.state_dict()))


def states(estimator):
    return next(c for _, c in estimator.net_.callbacks_ if isinstance(c, Recorder)).states_


# --- one seed, the same bits --------------------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("kind", ALL)
def test_same_seed_gives_the_same_bits(kind, early_stopping):
    params = {"early_stopping": early_stopping, "dropout": 0.3, "batch_norm": True}
    first, second = fitted(kind, **params), fitted(kind, **params)
    assert_same(first, second)
    pd.testing.assert_frame_equal(
        first.history_.drop(columns="dur"), second.history_.drop(columns="dur")
    )
    other = fitted(kind, **params, random_state=1)
    assert not np.array_equal(outputs(first), outputs(other))


@pytest.mark.parametrize("kind", ALL)
def test_random_state_instance_moves_on(kind):
    source = np.random.RandomState(3)
    first, second = (fitted(kind, random_state=source) for _ in range(2))
    assert not np.array_equal(outputs(first), outputs(second))
    assert_same(first, fitted(kind, random_state=np.random.RandomState(3)))


@pytest.mark.usefixtures("global_rng_untouched")
@pytest.mark.parametrize("kind", ALL)
def test_global_random_state_stays(kind):
    params = {"dropout": 0.5, "early_stopping": True, "random_state": 3}
    estimator = fitted(kind, **params)
    outputs(estimator)
    estimator.set_params(early_stopping=False).partial_fit(X, target(kind))


def test_no_seed_is_another_network_each_time():
    before = torch.get_rng_state()
    first, second = (fitted(TorchMLPClassifier, random_state=None) for _ in range(2))
    assert not np.array_equal(outputs(first), outputs(second))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.usefixtures("global_rng_untouched")
def test_global_random_state_stays_after_an_error():
    with pytest.raises(ValueError, match="diverged"):
        fitted(TorchMLPRegressor, optimizer="sgd", lr=1e3, max_epochs=200)


@pytest.mark.parametrize("fails", [False, True])
def test_number_of_threads_is_put_back(fails):
    class Threads(Callback):
        def on_epoch_end(self, net, **kwargs):
            self.inside_ = torch.get_num_threads()
            if fails:
                raise RuntimeError("stop here")

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        estimator = make(TorchMLPClassifier, callbacks=[Threads()])
        if fails:
            with pytest.raises(RuntimeError, match="stop here"):
                estimator.fit(X, Y)
        else:
            estimator.fit(X, Y)
            assert dict(estimator.net_.callbacks_)["Threads"].inside_ == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# --- what is there after a fit ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_history(kind):
    estimator = fitted(kind, early_stopping=True, patience=100)
    history = estimator.history_
    assert isinstance(history, pd.DataFrame)
    expected = ["epoch", "train_loss", "valid_loss", "dur"]
    if kind in TUNED:
        expected.append("n_neurons")
    assert set(history) == set(expected)
    assert history["epoch"].tolist() == list(range(1, 7))
    assert estimator.n_iter_ == 6
    assert (history["dur"] > 0).all()
    assert "valid_loss" not in fitted(kind).history_


@pytest.mark.parametrize("kind", ALL)
def test_training_learns_and_leaves_parameters_alone(kind):
    estimator = make(kind, max_epochs=40)
    before = copy.deepcopy(estimator.get_params())
    estimator.fit(X, target(kind))
    assert estimator.get_params() == before
    assert (
        estimator.history_["train_loss"].iloc[-1] < 0.5 * estimator.history_["train_loss"].iloc[0]
    )
    assert estimator.score(X, target(kind)) > 0.65
    assert estimator.n_features_in_ == 6


@pytest.mark.parametrize(
    "optimizer", ["adam", "adamw", "adam_mini", "sgd", "nadam", "rmsprop", "adagrad"]
)
def test_every_optimizer_learns_and_takes_weight_decay(optimizer):
    free = fitted(ANTClassifier, optimizer=optimizer, lr=0.02, max_epochs=30)
    assert free.score(X, Y) > 0.6
    held = fitted(ANTClassifier, optimizer=optimizer, lr=0.02, max_epochs=30, weight_decay=0.2)
    size = {e: sum((p**2).sum().item() for p in e.module_.parameters()) for e in (free, held)}
    assert size[held] < size[free]


def test_optimizer_class():
    own = fitted(TorchMLPClassifier, optimizer=torch.optim.Adam)
    np.testing.assert_allclose(outputs(own), outputs(fitted(TorchMLPClassifier)), rtol=1e-6)
    assert isinstance(own.net_.optimizer_, torch.optim.Adam)


@pytest.mark.parametrize(
    "activation", ["relu", "sigmoid", "tanh", "leaky_relu", "elu", "gelu", "silu"]
)
def test_every_activation_learns(activation):
    assert fitted(ANTClassifier, activation=activation, max_epochs=40).score(X, Y) > 0.55


# --- data ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(
    "convert",
    [
        FRAME.__class__,
        sparse.csr_matrix,
        sparse.csc_array,
        list,
        np.asfortranarray,
        lambda x: x[::-1][::-1],
        lambda x: np.broadcast_to(x, x.shape),
    ],
    ids=["frame", "csr", "csc", "list", "fortran", "strided", "read-only"],
)
def test_what_x_may_be(kind, convert):
    plain, other = fitted(kind), make(kind).fit(convert(X), target(kind))
    assert_same(plain, other)
    np.testing.assert_array_equal(outputs(plain), outputs(other, convert(X)))


def test_x_is_not_changed():
    before = X.copy()
    fitted(TorchMLPClassifier, batch_norm=True)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("kind", ALL)
def test_column_names_are_kept(kind):
    estimator = make(kind).fit(FRAME, target(kind))
    assert estimator.feature_names_in_.tolist() == FRAME.columns.tolist()
    np.testing.assert_array_equal(outputs(estimator, FRAME), outputs(fitted(kind)))


@pytest.mark.parametrize("kind", ALL)
def test_float_type_of_x_is_kept(kind):
    for dtype in ("float32", "float64"):
        estimator = make(kind).fit(X.astype(dtype), target(kind))
        assert next(estimator.module_.parameters()).dtype == getattr(torch, dtype)
        assert outputs(estimator).dtype == dtype
    integers = make(kind).fit((10 * X).astype(int), target(kind))
    assert outputs(integers).dtype == "float64"


@pytest.mark.parametrize("kind", ALL)
def test_dtype_casts(kind):
    single = fitted(kind, dtype="float32")
    assert outputs(single).dtype == "float32"
    assert_same(single, make(kind).fit(X.astype("float32"), target(kind)))
    double = make(kind, dtype="float64").fit(X.astype("float32"), target(kind))
    assert outputs(double).dtype == "float64"
    np.testing.assert_allclose(outputs(single), outputs(double), atol=0.05)


@pytest.mark.parametrize("options", [{}, {"entropy_weight": 0.1}, {"early_stopping": True}])
@pytest.mark.parametrize("kind", ALL)
def test_mixed_precision(kind, options):
    single = fitted(kind, dtype="float32", **options)
    mixed = fitted(kind, dtype="mixed", **options)
    assert {parameter.dtype for parameter in mixed.module_.parameters()} == {torch.float32}
    assert outputs(mixed).dtype == "float32"
    assert not np.array_equal(outputs(mixed), outputs(single))
    # Roundings may decide which neuron goes, and when to stop.
    assert np.corrcoef(outputs(mixed).ravel(), outputs(single).ravel())[0, 1] > 0.95
    heard = []
    mixed.module_.register_forward_hook(lambda module, inputs, output: heard.append(output.dtype))
    outputs(mixed)
    mixed.set_params(warm_start=True).fit(X, target(kind))
    assert set(heard[:-1]) == {torch.bfloat16}
    assert heard[-1] == torch.float32  # what comes out is checked in full


def test_batches_larger_than_the_data_are_one():
    assert_same(
        fitted(TorchMLPClassifier, batch_size=len(X)), fitted(TorchMLPClassifier, batch_size=10**9)
    )


def test_predictions_go_through_in_parts(monkeypatch):
    estimator = fitted(TorchMLPClassifier)
    whole = outputs(estimator)
    monkeypatch.setattr("sknninterp.estimators._base._PREDICTION_BYTES", 8 * 6 * 8 * 7)
    np.testing.assert_allclose(outputs(estimator), whole, rtol=1e-12)


@pytest.mark.parametrize("kind", ALL)
def test_constant_columns_work(kind):
    constant = np.c_[X, np.ones(len(X)), np.zeros(len(X))]
    estimator = make(kind, batch_norm=True, max_epochs=30).fit(constant, target(kind))
    assert np.isfinite(outputs(estimator, constant)).all()
    assert estimator.score(constant, target(kind)) > 0.5
    assert make(kind).fit(np.zeros((120, 2)), target(kind)).predict(np.zeros((3, 2))).shape == (3,)


# --- weights ------------------------------------------------------------------------------------

FULL_BATCH = {"batch_size": 10_000, "activation": "tanh", "max_epochs": 15}


@pytest.mark.parametrize("kind", ALL)
def test_integer_weights_are_repetitions(kind):
    params = {**FULL_BATCH, "tuning_data": "train"} if kind in TUNED else FULL_BATCH
    weighted = make(kind, **params).fit(X, target(kind), sample_weight=WEIGHT)
    times = WEIGHT.astype(int)
    repeated = make(kind, **params).fit(X.repeat(times, 0), target(kind).repeat(times))
    np.testing.assert_allclose(outputs(weighted), outputs(repeated), rtol=1e-6, atol=1e-9)
    assert not np.allclose(outputs(weighted), outputs(make(kind, **params).fit(X, target(kind))))


@pytest.mark.parametrize(
    "params", [{}, {"early_stopping": True}, {"batch_norm": True}], ids=["plain", "early", "norm"]
)
@pytest.mark.parametrize("kind", ALL)
def test_weight_zero_is_leaving_out(kind, params):
    kept = WEIGHT > 0
    assert 0 < kept.sum() < len(X)
    weighted = make(kind, **params).fit(X, target(kind), sample_weight=WEIGHT)
    without = make(kind, **params)
    without.fit(X[kept], target(kind)[kept], sample_weight=WEIGHT[kept])
    assert_same(weighted, without)


@pytest.mark.parametrize("kind", ALL)
def test_equal_weights_change_nothing(kind):
    plain = outputs(fitted(kind, **FULL_BATCH))
    for weight in (3.0, np.full(len(X), 0.25)):
        equal = make(kind, **FULL_BATCH).fit(X, target(kind), sample_weight=weight)
        np.testing.assert_allclose(outputs(equal), plain, rtol=1e-6)


@given(scale=st.floats(1e-3, 1e3))
@settings(max_examples=5)
def test_only_the_ratio_of_weights_counts(scale):
    one = make(TorchMLPRegressor, **FULL_BATCH).fit(X, X[:, 0], sample_weight=WEIGHT)
    other = make(TorchMLPRegressor, **FULL_BATCH).fit(X, X[:, 0], sample_weight=scale * WEIGHT)
    np.testing.assert_allclose(outputs(one), outputs(other), rtol=1e-5, atol=1e-8)


def test_weights_of_chunks_count_as_given():
    light = make(TorchMLPRegressor, optimizer="sgd").partial_fit(X, X[:, 0], np.full(120, 0.5))
    slow = make(TorchMLPRegressor, optimizer="sgd", lr=0.005).partial_fit(X, X[:, 0])
    np.testing.assert_allclose(outputs(light), outputs(slow), rtol=1e-9)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (-np.ones(120), "[Ss]ample.weight"),
        (np.zeros(120), "[Ss]ample.weight"),
        (np.ones(7), r"sample_weight.shape == \(7,\), expected \(120,\)"),
        (np.full(120, np.nan), "sample_weight contains NaN"),
        (np.ones((120, 2)), "[Ss]ample.weights must be 1D"),
    ],
    ids=["negative", "zero", "length", "nan", "shape"],
)
@pytest.mark.parametrize("kind", ALL)
def test_bad_sample_weight(kind, weight, message):
    with pytest.raises(ValueError, match=message):
        make(kind).fit(X, target(kind), sample_weight=weight)


# --- early stopping -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [TorchMLPClassifier, TorchMLPRegressor])
def test_early_stopping_restores_the_best_network(kind):
    estimator = fitted(
        kind, early_stopping=True, validation_fraction=0.3, patience=5, max_epochs=500, lr=0.05,
        callbacks=[Recorder()],
    )  # fmt: skip
    losses = estimator.history_["valid_loss"]
    assert estimator.n_iter_ == len(losses) == len(states(estimator)) < 500
    best = int(losses.idxmin())
    assert best == estimator.n_iter_ - 1 - 5
    for name, value in weights(estimator).items():
        assert torch.equal(value, states(estimator)[best][name])
    assert not torch.equal(value, states(estimator)[-1][name])


def test_early_stopping_holds_out_a_stratified_part():
    one = fitted(TorchMLPClassifier, early_stopping=True, max_epochs=1)
    parts = one._split(_IndexData(len(X)), Y)
    assert sorted([*parts.train.rows, *parts.valid.rows]) == list(range(120))
    assert np.bincount(Y[parts.valid.rows]).tolist() == [4, 4, 4]


class _IndexData:
    """Stands for data: remembers which rows were taken."""

    def __init__(self, n, rows=None):
        self.rows = np.arange(n) if rows is None else rows

    def __len__(self):
        return len(self.rows)

    def select(self, rows):
        return _IndexData(len(rows), rows)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_early_stopping_without_enough_to_stratify(kind):
    rare = np.array([0] * 60 + [1] * 59 + [2])
    estimator = make(kind, early_stopping=True).fit(X, rare)
    assert "valid_loss" in estimator.history_
    few = make(kind, early_stopping=True).fit(X[:4], [0, 1, 0, 1])
    assert few.predict(X).shape == (120,)


def test_held_out_part_that_leaves_nothing():
    with pytest.raises(ValueError, match=r"validation_fraction=0.999 of n_samples = 120 leaves"):
        fitted(TorchMLPClassifier, early_stopping=True, validation_fraction=0.999)


# --- going on -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_warm_start_goes_on(kind):
    estimator = fitted(kind, warm_start=True)
    module, before = estimator.module_, weights(estimator)
    loss = estimator.history_["train_loss"].iloc[0]
    estimator.fit(X, target(kind))
    assert estimator.module_ is module
    assert estimator.n_iter_ == len(estimator.history_) == 12
    assert estimator.history_["train_loss"].iloc[6] < loss
    assert any(not torch.equal(before[n], v) for n, v in weights(estimator).items())
    cold = fitted(kind)
    first = weights(cold)
    cold.fit(X, target(kind))
    assert cold.n_iter_ == 6
    assert all(torch.equal(first[name], value) for name, value in weights(cold).items())


def test_warm_start_takes_changed_settings():
    estimator = fitted(TorchMLPClassifier, warm_start=True)
    before = weights(estimator)
    estimator.set_params(lr=1e-300, batch_size=60).fit(X, Y)
    assert all(torch.equal(before[name], value) for name, value in weights(estimator).items())
    estimator.set_params(lr=0.01, early_stopping=True, max_epochs=2).fit(X, Y)
    assert estimator.history_["valid_loss"].notna().sum() == 2
    estimator.set_params(early_stopping=False).fit(X, Y)
    assert estimator.n_iter_ == 6 + 6 + 2 + 2


@pytest.mark.parametrize("kind", ALL)
def test_partial_fit_goes_on(kind):
    estimator = make(kind)
    losses = []
    for _ in range(5):
        assert estimator.partial_fit(X, target(kind)) is estimator
        losses.append(estimator.history_["train_loss"].iloc[-1])
    assert estimator.n_iter_ == len(estimator.history_) == 5
    assert losses[-1] < losses[0]


def test_partial_fit_of_one_epoch_is_fit():
    assert_same(
        make(TorchMLPClassifier).partial_fit(X, Y), fitted(TorchMLPClassifier, max_epochs=1)
    )


@pytest.mark.parametrize("kind", ALL)
def test_partial_fit_after_fit_keeps_the_float_type(kind):
    for first, later in (("float32", "float64"), ("float64", "float32")):
        estimator = make(kind).fit(X.astype(first), target(kind))
        estimator.partial_fit(X.astype(later), target(kind))
        assert estimator.n_iter_ == 7
        assert outputs(estimator).dtype == first


@pytest.mark.parametrize("kind", ALL)
def test_partial_fit_with_other_columns(kind):
    estimator = make(kind).partial_fit(X, target(kind))
    with pytest.raises(ValueError, match="X has 3 features, but .* is expecting 6"):
        estimator.partial_fit(X[:, :3], target(kind))


@pytest.mark.parametrize("kind", ALL)
def test_early_stopping_has_no_partial_fit(kind):
    estimator = make(kind, early_stopping=True)
    assert not hasattr(estimator, "partial_fit")
    with pytest.raises(AttributeError) as caught:
        estimator.partial_fit(X, target(kind))
    assert "early_stopping=True" in str(caught.value.__cause__)


# --- keeping ------------------------------------------------------------------------------------

COPIES = {
    "pickle": lambda e: pickle.loads(pickle.dumps(e)),
    "joblib": None,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("kind", ALL)
def test_copies_predict_the_same_and_go_on(kind, how, tmp_path):
    estimator = fitted(kind, batch_norm=True)
    if how == "joblib":
        joblib.dump(estimator, tmp_path / "estimator.joblib")
        again = joblib.load(tmp_path / "estimator.joblib")
    else:
        again = COPIES[how](estimator)
    assert_same(estimator, again)
    pd.testing.assert_frame_equal(estimator.history_, again.history_)
    for one in (estimator, again):
        one.partial_fit(X, target(kind))
    assert_same(estimator, again)
    assert again.n_iter_ == 7


@pytest.mark.parametrize("kind", ALL)
def test_clone_is_unfitted_with_the_same_parameters(kind):
    estimator = fitted(kind, callbacks=[Recorder()], lr=0.03)
    again = clone(estimator)
    assert not hasattr(again, "net_")
    assert again.lr == 0.03
    assert_same(again.fit(X, target(kind)), estimator)


@pytest.mark.parametrize("kind", ALL)
def test_pickles_do_not_hold_the_data(kind):
    many = np.random.default_rng(0).normal(size=(4000, 20))
    answer = (many[:, 0] > 0).astype(int) if kind in CLASSIFIERS else many[:, 0]
    estimator = make(
        kind, max_epochs=3, early_stopping=True, dtype="float64", callbacks=[Recorder()]
    )
    estimator.fit(many, answer)
    size = len(pickle.dumps(estimator))
    assert size < many.nbytes / 10
    assert len(pickle.dumps(make(kind, max_epochs=3).fit(many, answer))) < 30_000


# --- inside scikit-learn's tools ----------------------------------------------------------------


@pytest.mark.parametrize("kind", [TorchMLPClassifier, TorchMLPRegressor])
def test_cross_validation(kind):
    scores = cross_val_score(make(kind, max_epochs=30), X, target(kind), cv=3)
    assert scores.shape == (3,)
    assert scores.mean() > 0.5


def test_set_params_inside_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), make(TorchMLPClassifier))
    pipeline.set_params(torchmlpclassifier__hidden_layer_sizes=(5, 4), torchmlpclassifier__lr=0.1)
    network = pipeline.fit(X, Y)[-1]
    assert network.module_.hidden1.out_features == 4
    assert network.net_.lr == 0.1


def test_grid_search_in_two_processes():
    table = FRAME.assign(hospital=np.array(["north", "south", "east"])[np.arange(120) % 3])
    columns = ColumnTransformer(
        [("numbers", StandardScaler(), FRAME.columns), ("words", OneHotEncoder(), ["hospital"])]
    )
    pipeline = make_pipeline(columns, make(ANTClassifier, max_epochs=20))
    grid = {"antclassifier__pruning_rate": [0, 0.5, 0.75]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2, error_score="raise").fit(table, Y)
    one = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(table, Y)
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], one.cv_results_["mean_test_score"]
    )
    assert search.best_score_ > 0.5
    rate = search.best_params_["antclassifier__pruning_rate"]
    assert search.best_estimator_[-1].layer_sizes_ == [12 - int(12 * rate)]


# --- what is shown ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_nothing_is_printed(kind, capsys):
    fitted(kind, early_stopping=True, patience=1, max_epochs=50)
    fitted(kind).partial_fit(X, target(kind)).predict(X)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == ""


@pytest.mark.parametrize("kind", ALL)
def test_progress_bar(kind, capsys):
    estimator = fitted(kind, verbose=1, early_stopping=True, patience=100)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "6/6" in shown.err
    assert "train_loss=" in shown.err
    assert "valid_loss=" in shown.err
    assert ("n_neurons=" in shown.err) == (kind in TUNED)
    assert_same(estimator, fitted(kind, early_stopping=True, patience=100))
    assert "epoch_bar" not in dict(estimator.net_.callbacks_)
    pickle.dumps(estimator)


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("kind", [TorchMLPClassifier, TorchMLPRegressor])
def test_missing_and_infinite_values_name_the_columns(kind, value):
    table = FRAME.copy()
    table.iloc[3, [2, 5]] = value
    with pytest.raises(ValueError, match=r"such values: \['height', 'stage'\]"):
        make(kind).fit(table, target(kind))
    estimator = make(kind).fit(FRAME, target(kind))
    with pytest.raises(ValueError, match=r"such values: \['height', 'stage'\]"):
        estimator.predict(table)
    with pytest.raises(ValueError, match=r"such values: \['height', 'stage'\]"):
        estimator.score(table, target(kind))
    with pytest.raises(ValueError, match=r"such values: \[2, 5\]"):
        make(kind).partial_fit(table.to_numpy(), target(kind))


def test_columns_that_are_not_numeric_are_named():
    with pytest.raises(ValueError, match=r"not numeric: \['ward'\]. Encode them first"):
        make(TorchMLPClassifier).fit(FRAME.assign(ward="a"), Y)


@pytest.mark.parametrize("kind", ALL)
def test_other_columns_later(kind):
    estimator = make(kind).fit(FRAME, target(kind))
    with pytest.raises(ValueError, match="unseen at fit time:\n- size"):
        estimator.predict(FRAME.rename(columns={"height": "size"}))
    with pytest.raises(ValueError, match="same order"):
        estimator.predict(FRAME[FRAME.columns[::-1]])
    with pytest.raises(ValueError, match="X has 5 features, but .* is expecting 6"):
        fitted(kind).predict(X[:, :5])


@pytest.mark.parametrize("kind", ALL)
def test_nothing_to_learn_from(kind):
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        make(kind).fit(X[:0], target(kind)[:0])
    with pytest.raises(ValueError, match=r"0 feature\(s\)"):
        make(kind).fit(X[:, :0], target(kind))
    with pytest.raises(ValueError, match="inconsistent numbers of samples: \\[120, 7\\]"):
        make(kind).fit(X, target(kind)[:7])
    with pytest.raises(ValueError, match="requires y to be passed"):
        make(kind).fit(X, None)
    with pytest.raises(ValueError, match="Expected 2D array"):
        make(kind).fit(X[:, 0], target(kind))


@pytest.mark.parametrize("kind", REGRESSORS)
def test_one_sample(kind):
    assert np.isfinite(make(kind).fit(X[:1], [1.0]).predict(X)).all()
    with pytest.raises(ValueError, match="n_samples = 1 leaves nothing to train on"):
        make(kind, early_stopping=True).fit(X[:1], [1.0])
    with pytest.raises(ValueError, match="Batch norm needs two samples.* n_samples = 1 "):
        make(kind, batch_norm=True).fit(X[:1], [1.0])


def test_batch_norm_of_single_samples():
    with pytest.raises(ValueError, match="Batch norm needs two samples.*batch_size=1"):
        fitted(TorchMLPClassifier, batch_norm=True, batch_size=1)
    assert fitted(TorchMLPClassifier, batch_norm=True, batch_size=119).n_iter_ == 6


@pytest.mark.parametrize("kind", ALL)
def test_unfitted(kind):
    estimator = make(kind)
    with pytest.raises(NotFittedError, match=f"This {kind.__name__} instance is not fitted"):
        estimator.predict(X)
    assert not hasattr(estimator, "module_")
    assert not hasattr(estimator, "history_")


def test_failed_fit_is_no_fit():
    estimator = make(TorchMLPClassifier, module=nn.Linear(6, 1))
    with pytest.raises(ValueError, match="module must return"):
        estimator.fit(X, Y)
    with pytest.raises(NotFittedError):
        estimator.predict(X)


@pytest.mark.parametrize("kind", REGRESSORS)
def test_training_that_diverges(kind):
    message = r"Training diverged: the loss is (inf|nan) after epoch \d+ with lr=1000.0. Lower lr"
    with pytest.raises(ValueError, match=message):
        fitted(kind, optimizer="sgd", lr=1e3, max_epochs=200)
    with pytest.raises(ValueError, match=message):
        fitted(kind, optimizer="sgd", lr=1e3, max_epochs=200, early_stopping=True, patience=200)


def test_last_step_that_ruins_the_network():
    """The loss of the only epoch was measured before its step."""
    params = {"optimizer": "sgd", "lr": 1e30, "max_epochs": 1, "batch_size": 1000}
    message = r"the outputs are not finite after epoch 1 with lr=1e\+30"
    with pytest.raises(ValueError, match=message):
        fitted(TorchMLPRegressor, dtype="float32", **params)
    with pytest.raises(ValueError, match=message):
        make(TorchMLPRegressor, dtype="float32", **params).partial_fit(X, X[:, 0])


BAD_PARAMETERS = {
    "hidden_layer_sizes": [0, -1, "8", None, (8, 0), (8, 2.5), [[8]]],
    "activation": ["swish", None],
    "dropout": [-0.1, 1.0],
    "batch_norm": ["yes"],
    "optimizer": ["newton", 3],
    "lr": [0, -1, "fast", np.nan],
    "weight_decay": [-1],
    "batch_size": [0, 2.5],
    "max_epochs": [0, -1],
    "early_stopping": [1],
    "validation_fraction": [0, 1.0],
    "patience": [0],
    "callbacks": ["accuracy"],
    "device": ["gpu", None, "meta", 0],
    "dtype": ["float16", "int64"],
    "warm_start": [None],
    "verbose": [-1, "loud"],
    "random_state": ["seed"],
}


@pytest.mark.parametrize("kind", [TorchMLPClassifier, ANTRegressor])
@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in BAD_PARAMETERS.items() for value in values],
)
def test_bad_parameters_are_named(kind, name, value):
    with pytest.raises((ValueError, TypeError), match=name):
        fitted(kind, **{name: value})


def test_devices():
    assert_same(fitted(ANTClassifier, device="cpu"), fitted(ANTClassifier))
    assert_same(fitted(ANTClassifier, device=torch.device("cpu")), fitted(ANTClassifier))


@pytest.mark.parametrize("kind", [TorchMLPClassifier, TorchMLPRegressor])
def test_no_hidden_layer_is_a_linear_model(kind):
    estimator = fitted(kind, hidden_layer_sizes=(), max_epochs=100, lr=0.05)
    assert len(list(estimator.module_.parameters())) == 2
    outputs_ = estimator.module_(torch.from_numpy(X)).detach().numpy()
    expected = X @ estimator.module_.output.weight.detach().numpy().T
    expected += estimator.module_.output.bias.detach().numpy()
    np.testing.assert_allclose(outputs_, expected)
    assert estimator.score(X, target(kind)) > 0.6


def test_hidden_layer_sizes_of_any_kind():
    for sizes in (12, [12], np.array([12]), (np.int64(12),)):
        assert_same(
            fitted(TorchMLPClassifier), fitted(TorchMLPClassifier, hidden_layer_sizes=sizes)
        )


class Samples(Callback):
    """Notes how many samples each training has."""

    seen: ClassVar[list[int]] = []

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.seen.append(len(X.train))


@pytest.mark.parametrize("kind", ALL)
def test_all_samples_are_used_after_early_stopping(kind):
    options = {"early_stopping": True, "max_epochs": 12, "lr": 0.05, "patience": 3}
    once = make(kind, callbacks=[Samples()], **options)
    Samples.seen.clear()
    once.fit(X, target(kind))
    again = clone(once).set_params(refit=True).fit(X, target(kind))
    held_out = Samples.seen[0]
    assert held_out < len(X)
    assert Samples.seen == [held_out, held_out, len(X)]
    history = once.history_
    if kind in TUNED:  # judged when the last neuron is gone
        history = history[history["n_neurons"].shift() == history["n_neurons"].min()]
    assert again.n_iter_ == history.loc[history["valid_loss"].idxmin(), "epoch"]
    assert "valid_loss" not in again.history_
    assert not np.allclose(outputs(again), outputs(once))
