"""The machine as a transformer: beside scikit-learn's, against naive loops, and bad input."""

from __future__ import annotations

import copy
import itertools
import math
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from sknninterp import RBM
from sknninterp.estimators import rbm as module
from sknninterp.nn.rbm_trainer import DivergenceError

RANDOM = np.random.default_rng(0)
BITS = (RANDOM.random((60, 6)) < [0.1, 0.3, 0.5, 0.5, 0.7, 0.9]).astype(float)
BITS[:, 3] = BITS[:, 2]
NORMAL = RANDOM.normal(size=(60, 6))
FRAME = pd.DataFrame(BITS, columns=["age", "weight", "height", "dose", "grade", "stage"])
METHODS = ("transform", "gibbs", "score_samples", "reconstruction_error")


def make(**params):
    """A small machine that is quick to fit."""
    return RBM(**{"n_components": 4, "batch_size": 16, "n_iter": 3, "random_state": 0, **params})


def fitted(X=BITS, **params):
    return make(**params).fit(X)


def parameters(rbm):
    return rbm.components_, rbm.intercept_hidden_, rbm.intercept_visible_


def assert_same(one, other):
    """The same machine, bit for bit."""
    for ours, theirs in zip(parameters(one), parameters(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def assert_close(one, other, **options):
    for ours, theirs in zip(parameters(one), parameters(other), strict=True):
        np.testing.assert_allclose(ours, theirs, **options)


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


FUNCTIONS = {
    "bernoulli": sigmoid,
    "gaussian": lambda s: s,
    "relu": lambda s: max(s, 0),
    "tanh": math.tanh,
}


def naive_hidden(rbm, x, unit="bernoulli"):
    """Means of the hidden units, with loops."""
    weight, bias, _ = parameters(rbm)
    sums = [bias[j] + sum(w * v for w, v in zip(weight[j], x, strict=True)) for j in range(4)]
    return [FUNCTIONS[unit](s) for s in sums]


def naive_visible(rbm, h, unit="bernoulli"):
    """Means of the visible units, with loops."""
    weight, _, bias = parameters(rbm)
    sums = [bias[i] + sum(weight[j][i] * h[j] for j in range(4)) for i in range(6)]
    return [FUNCTIONS[unit](s) for s in sums]


def naive_free_energy(rbm, x, gaussian=False):
    """-log of the sum of exp(-E(v, h)) over all hidden states."""
    weight, hidden, visible = parameters(rbm)
    total = 0.0
    for h in itertools.product((0, 1), repeat=4):
        energy = -sum(b * s for b, s in zip(hidden, h, strict=True))
        energy -= sum(h[j] * weight[j][i] * x[i] for j in range(4) for i in range(6))
        for v, b in zip(x, visible, strict=True):
            energy += (v - b) ** 2 / 2 if gaussian else -b * v
        total += math.exp(-energy)
    return -math.log(total)


# --- beside BernoulliRBM ------------------------------------------------------------------------


def twin(rbm, **params):
    """scikit-learn's machine with the same parameters."""
    theirs = BernoulliRBM(n_components=4, n_iter=1, **params).fit(BITS)
    theirs.components_, theirs.intercept_hidden_, theirs.intercept_visible_ = parameters(rbm)
    return theirs


def test_parameters_and_attributes_have_the_same_names():
    assert set(BernoulliRBM().get_params()) <= set(RBM().get_params())
    ours, theirs = fitted(), BernoulliRBM(4, n_iter=1).fit(BITS)
    for name in ("components_", "intercept_hidden_", "intercept_visible_"):
        assert getattr(ours, name).shape == getattr(theirs, name).shape


@pytest.mark.parametrize("X", [BITS, RANDOM.random((20, 6))], ids=["bits", "between"])
def test_same_parameters_transform_the_same(X):
    ours = fitted(X)
    np.testing.assert_allclose(ours.transform(X), twin(ours).transform(X), rtol=1e-12)


def test_same_free_energy():
    ours = fitted(persistent=True, momentum=(0, 0))
    energy = ours.rbm_.free_energy(torch.from_numpy(BITS)).detach()
    np.testing.assert_allclose(energy, twin(ours)._free_energy(BITS), rtol=1e-12)


def test_same_flips_have_the_same_score(monkeypatch):
    ours = fitted()
    flips = np.random.RandomState(7).randint(0, 6, len(BITS))
    monkeypatch.setattr(module, "_flips", lambda v, seed: torch.from_numpy(flips))
    theirs = twin(ours, random_state=7).score_samples(BITS)
    np.testing.assert_allclose(ours.score_samples(BITS), theirs, rtol=1e-10)


def test_gibbs_has_the_same_distribution():
    ours = fitted(learning_rate=0.3, n_iter=20)
    start = np.repeat(BITS[:1], 20_000, axis=0)
    exact = np.zeros(6)  # mean over all hidden states
    on = naive_hidden(ours, BITS[0])
    for h in itertools.product((0, 1), repeat=4):
        chance = math.prod(p if s else 1 - p for p, s in zip(on, h, strict=True))
        exact += chance * np.array(naive_visible(ours, h))
    for drawn in (ours.gibbs(start), twin(ours, random_state=0).gibbs(start)):
        assert set(np.unique(drawn)) == {0, 1}
        np.testing.assert_allclose(drawn.mean(0), exact, atol=4 * 0.5 / math.sqrt(20_000))


def test_learns_as_well():
    X = (load_digits().data > 7).astype(float)
    params = {"n_components": 40, "learning_rate": 0.05, "batch_size": 20, "n_iter": 8}
    theirs = BernoulliRBM(**params, random_state=0).fit(X)
    ours = RBM(**params, persistent=True, momentum=(0, 0), random_state=0).fit(X)
    here, there = ours.score_samples(X).mean(), theirs.score_samples(X).mean()
    assert here > there - 1.5 > -26  # before learning it is -44


# --- against naive loops ------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", ["bernoulli", "gaussian", "linear", "relu", "tanh"])
@pytest.mark.parametrize("visible", ["bernoulli", "gaussian", "relu", "tanh"])
def test_transform_and_back(visible, hidden):
    rbm = fitted(visible=visible, hidden=hidden, learning_rate=0.01)
    unit = "gaussian" if hidden == "linear" else hidden
    features = rbm.transform(BITS)
    back = rbm.inverse_transform(features)
    error = rbm.reconstruction_error(BITS)
    for n in range(8):
        expected = naive_hidden(rbm, BITS[n], unit)
        np.testing.assert_allclose(features[n], expected, rtol=1e-10)
        expected = naive_visible(rbm, expected, visible)
        np.testing.assert_allclose(back[n], expected, rtol=1e-10)
        squares = [(a - b) ** 2 for a, b in zip(expected, BITS[n], strict=True)]
        assert error[n] == pytest.approx(sum(squares) / 6, rel=1e-10)
    assert features.shape == (60, 4)
    assert back.shape == (60, 6)
    assert error.shape == (60,)


def test_one_step_of_contrastive_divergence():
    start = fitted(n_iter=0)
    stepped = fitted(n_iter=1, batch_size=100, learning_rate=0.2)
    weight, hidden, visible = (values.copy() for values in parameters(start))
    for x0 in BITS:
        y0 = naive_hidden(start, x0)
        x1 = naive_visible(start, y0)
        y1 = naive_hidden(start, x1)
        for j in range(4):
            hidden[j] -= 0.2 * (y1[j] - y0[j]) / 60
            for i in range(6):
                weight[j][i] -= 0.2 * (y1[j] * x1[i] - y0[j] * x0[i]) / 60
        visible -= 0.2 * (np.array(x1) - x0) / 60
    np.testing.assert_allclose(stepped.components_, weight, rtol=1e-12)
    np.testing.assert_allclose(stepped.intercept_hidden_, hidden, rtol=1e-12)
    np.testing.assert_allclose(stepped.intercept_visible_, visible, rtol=1e-12)
    error = start.reconstruction_error(BITS).mean()
    assert stepped.history_["reconstruction_error"].tolist() == pytest.approx([error])


def test_score_is_the_pseudo_likelihood_of_one_flip():
    rbm = fitted(learning_rate=0.5, n_iter=10)
    scores = rbm.score_samples(BITS)
    flips = module._flips(torch.from_numpy(BITS), rbm._score_seed)
    for n in range(8):
        flipped = BITS[n].copy()
        flipped[flips[n]] = 1 - flipped[flips[n]]
        gap = naive_free_energy(rbm, flipped) - naive_free_energy(rbm, BITS[n])
        assert scores[n] == pytest.approx(6 * math.log(sigmoid(gap)), rel=1e-9)


def test_score_of_gaussian_units_is_minus_the_free_energy():
    rbm = fitted(NORMAL, visible="gaussian")
    expected = [-naive_free_energy(rbm, x, gaussian=True) for x in NORMAL]
    np.testing.assert_allclose(rbm.score_samples(NORMAL), expected, rtol=1e-9)


def test_flips_differ_by_sample_and_seed_and_reach_every_bit():
    bits = torch.from_numpy(np.array(list(itertools.product((0.0, 1.0), repeat=6))))
    first, second = module._flips(bits, 0), module._flips(bits, 1)
    assert set(first.tolist()) == set(range(6))
    assert not torch.equal(first, second)
    assert torch.equal(first, module._flips(bits.clone(), 0))
    assert len({fitted(n_iter=0, random_state=seed)._score_seed for seed in range(5)}) == 5


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_scores_do_not_depend_on_the_samples_beside(visible):
    rbm = fitted(visible=visible)
    scores = rbm.score_samples(BITS)
    order = np.random.default_rng(1).permutation(60)
    np.testing.assert_allclose(rbm.score_samples(BITS[order]), scores[order], rtol=1e-12)
    np.testing.assert_allclose(rbm.score_samples(BITS[7:9]), scores[7:9], rtol=1e-12)
    np.testing.assert_array_equal(rbm.score_samples(BITS), scores)


@pytest.mark.parametrize("params", [{"hidden": "relu"}, {"visible": "tanh"}], ids=str)
def test_no_energy_no_score(params):
    rbm = fitted(**params)
    assert not hasattr(rbm, "score_samples")
    assert not hasattr(make(**params), "score_samples")
    message = "has no attribute 'score_samples'"
    with pytest.raises(AttributeError, match=message) as caught:
        rbm.score_samples(BITS)
    (name, value), *_ = params.items()
    assert f"{name}': '{value}" in str(caught.value.__cause__)


@pytest.mark.parametrize("method", METHODS)
def test_large_data_go_through_in_chunks(method, monkeypatch):
    def result():
        return getattr(fitted(), method)(BITS)

    whole, sizes = result(), []
    dense = module._dense
    monkeypatch.setattr(module, "_CHUNK_BYTES", 7 * 10 * 8)  # seven rows
    monkeypatch.setattr(module, "_dense", lambda X, d: sizes.append(len(X)) or dense(X, d))
    parts = result()
    assert sizes == [60, *[7] * 8, 4]  # first the fit
    if method == "gibbs":
        assert parts.shape == whole.shape
    else:
        np.testing.assert_allclose(parts, whole, rtol=1e-12)


# --- training -----------------------------------------------------------------------------------


def test_history():
    history = fitted(rule="hybrid", hybrid_epochs=[2, 1], momentum_epochs=1).history_
    columns = ["epoch", "rule", "lr", "momentum", "reconstruction_error", "dur"]
    assert list(history) == columns
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history["rule"].tolist() == ["cd", "cd", "reconstruction"]
    assert history["lr"].tolist() == [0.01, 0.01, 0.04]
    assert history["momentum"].tolist() == [0.5, 0.9, 0.9]
    assert (history["dur"] > 0).all()


@pytest.mark.parametrize("rule", ["cd", "reconstruction", "exact"])
def test_every_rule_learns(rule):
    errors = fitted(rule=rule, learning_rate=0.3, n_iter=30).history_["reconstruction_error"]
    assert errors.iloc[-1] < 0.7 * errors.iloc[0]
    assert errors.iloc[-1] == pytest.approx(
        fitted(rule=rule, learning_rate=0.3, n_iter=30).reconstruction_error(BITS).mean(), rel=0.05
    )


@pytest.mark.parametrize(
    "params",
    [
        {"learning_rate": 0.3},
        {"batch_size": 20},
        {"momentum": (0.4, 0.9)},
        {"momentum": (0.5, 0.8), "momentum_epochs": 1},
        {"momentum_epochs": 1},
        {"weight_decay": 0.1},
        {"n_steps": 2},
        {"persistent": True},
        {"sample_hidden": True},
        {"rule": "reconstruction"},
        {"rule": "exact"},
        {"rule": "hybrid", "hybrid_epochs": (1, 2)},
        {"rule": "hybrid", "hybrid_epochs": (2, 1)},
        {"visible": "tanh"},
        {"hidden": "tanh"},
        {"random_state": 1},
    ],
    ids=str,
)
def test_every_parameter_counts(params):
    assert not np.allclose(fitted().components_, fitted(**params).components_, rtol=1e-7)


def test_batches_are_all_rows_in_a_new_order():
    torch.manual_seed(0)
    rows = np.arange(10.0)[:, None]
    for X in (rows, sparse.csr_array(rows)):
        batches = module._Batches(X, 4, torch.device("cpu"))
        first, second = ([values for values, _ in batches] for _ in range(2))
        assert [len(values) for values in first] == [4, 4, 2]
        orders = [torch.cat(epoch).ravel().tolist() for epoch in (first, second)]
        assert orders[0] != orders[1]
        assert [sorted(order) for order in orders] == [list(range(10))] * 2
        assert all(weight is None for _, weight in batches)


def test_learning_rate_nobody_chose_falls_until_it_holds():
    X = 30 * NORMAL
    lr = fitted(X, hidden="relu", rule="reconstruction").history_["lr"]
    assert set(lr) == {lr[0]}
    assert lr[0] < 0.04
    assert fitted(NORMAL, hidden="relu", rule="reconstruction").history_["lr"][0] == 0.04


def test_learning_rate_that_diverges_is_named():
    rbm = make(hidden="relu", rule="reconstruction", learning_rate=12.5, n_iter=20)
    with pytest.raises(DivergenceError, match=r"learning rate lr=12.5\. Take a smaller one"):
        rbm.fit(30 * NORMAL)
    with pytest.raises(NotFittedError):  # a failed fit is no fit
        rbm.transform(NORMAL)
    with pytest.raises(DivergenceError, match="lr=12.5"):
        for _ in range(20):
            rbm.partial_fit(30 * NORMAL)


def test_failed_fit_leaves_the_machine_of_before():
    rbm = fitted(NORMAL, hidden="relu", rule="reconstruction")
    before = rbm.transform(NORMAL)
    with pytest.raises(DivergenceError):
        rbm.set_params(learning_rate=1e3, n_iter=20).fit(30 * NORMAL)
    np.testing.assert_array_equal(rbm.transform(NORMAL), before)


def test_no_epochs_are_the_first_weights():
    rbm = fitted(n_iter=0, n_components=300)
    assert rbm.history_.empty
    assert rbm.components_.std() == pytest.approx(math.sqrt(2 / 300), rel=0.1)
    assert rbm.intercept_hidden_.std() == pytest.approx(0.01, rel=0.2)


# --- going on -----------------------------------------------------------------------------------

WHOLE = {"batch_size": 100}  # one batch an epoch: its order is rounding, and nothing else


def test_epochs_of_partial_fit_are_those_of_fit():
    by_parts = make(**WHOLE, momentum_epochs=2, learning_rate=0.2)
    for _ in range(5):
        assert by_parts.partial_fit(BITS) is by_parts
    at_once = fitted(**WHOLE, momentum_epochs=2, learning_rate=0.2, n_iter=5)
    assert_close(by_parts, at_once, rtol=1e-9)
    expected = at_once.history_.drop(columns="dur")
    pd.testing.assert_frame_equal(by_parts.history_.drop(columns="dur"), expected)
    assert expected["momentum"].tolist() == [0.5, 0.5, 0.9, 0.9, 0.9]


def test_partial_fit_after_fit_goes_on_with_schedule_and_momentum():
    params = {**WHOLE, "momentum_epochs": 3, "rule": "hybrid", "learning_rate": 0.2}
    rbm = fitted(**params, n_iter=2, hybrid_epochs=(2, 0)).partial_fit(BITS).partial_fit(BITS)
    expected = fitted(**params, n_iter=4, hybrid_epochs=(2, 2))
    assert_close(rbm, expected, rtol=1e-9)
    assert rbm.history_["momentum"].tolist() == [0.5, 0.5, 0.5, 0.9]
    assert rbm.history_["rule"].tolist() == ["cd"] * 2 + ["reconstruction"] * 2


def test_persistent_chains_go_on_from_chunk_to_chunk():
    rbm = make(persistent=True, momentum=(0, 0)).partial_fit(BITS)
    before = rbm._trainer._chain.clone()
    rbm.partial_fit(BITS)
    assert rbm._trainer._chain.shape == (16, 4)
    assert not torch.equal(rbm._trainer._chain, before)


def test_fit_starts_anew():
    rbm = fitted(NORMAL).partial_fit(NORMAL).fit(BITS)
    assert_same(rbm, fitted())
    assert len(rbm.history_) == 3


def test_first_chunk_decides_on_the_visible_units():
    rbm = make().partial_fit(BITS)
    assert rbm.visible_ == "bernoulli"
    message = (
        r"visible='bernoulli' takes values from 0 to 1, but this X, unlike that of the first call,"
        r" has values from -.*MinMaxScaler"
    )
    with pytest.raises(ValueError, match=message):
        rbm.partial_fit(NORMAL)
    rbm = make().partial_fit(NORMAL)
    assert rbm.visible_ == "gaussian"
    assert len(rbm.partial_fit(BITS).history_) == 2
    assert fitted(BITS + 1e-9).visible_ == "bernoulli"  # rounding
    assert fitted(BITS + 1e-3).visible_ == "gaussian"
    assert fitted(-BITS).visible_ == "gaussian"


def test_later_chunk_of_another_width():
    with pytest.raises(ValueError, match="X has 5 features, but RBM is expecting 6"):
        make().partial_fit(BITS).partial_fit(BITS[:, :5])


def test_later_batch_size_counts():
    one, other = make().partial_fit(BITS), make().partial_fit(BITS)
    assert_same(one, other)
    one.partial_fit(BITS)
    other.set_params(batch_size=60).partial_fit(BITS)
    assert not np.allclose(one.components_, other.components_, rtol=1e-7)


# --- what X may be ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_array])
@pytest.mark.parametrize("visible", ["auto", "relu", "tanh"])
def test_sparse_is_dense_bit_for_bit(kind, visible):
    dense = fitted(visible=visible)
    thin = fitted(kind(BITS), visible=visible)
    assert_same(thin.partial_fit(kind(BITS)), dense.partial_fit(BITS))
    for method in METHODS if visible == "auto" else ("transform", "reconstruction_error"):
        expected = getattr(dense, method)(BITS)
        np.testing.assert_array_equal(getattr(thin, method)(kind(BITS)), expected)


def test_sparse_becomes_dense_by_batches_only(monkeypatch):
    sizes, dense = [], module._dense
    monkeypatch.setattr(module, "_dense", lambda X, d: sizes.append(X.shape[0]) or dense(X, d))
    fitted(sparse.csr_array(BITS), n_iter=2)
    assert sizes == [16, 16, 16, 12] * 2


@pytest.mark.parametrize("visible", ["gaussian", "linear", "auto"])
def test_sparse_with_gaussian_units(visible):
    X = sparse.csr_array(np.round(NORMAL) if visible == "auto" else BITS)
    with pytest.raises(ValueError, match=r"X is sparse and .* Gaussian.*MaxAbsScaler"):
        fitted(X, visible=visible)


def test_zeros_of_sparse_data_are_data():
    assert fitted(sparse.csr_array((60, 6))).visible_ == "bernoulli"  # no value is stored
    X = sparse.csr_array(BITS * -1.0)
    assert fitted(X, visible="tanh").visible_ == "tanh"
    with pytest.raises(ValueError, match="values from -1 to 0"):
        fitted(X, visible="bernoulli")


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


@pytest.mark.parametrize(
    "convert",
    [
        np.asfortranarray,
        read_only,
        lambda X: np.repeat(X, 2, axis=1)[:, ::2],
        np.ndarray.tolist,
        lambda X: X.astype(bool),
        lambda X: X.astype(np.int8),
    ],
    ids=["fortran", "read-only", "strided", "list", "bool", "int"],
)
def test_what_x_may_be(convert):
    rbm = fitted(convert(BITS))
    assert_same(rbm, fitted())
    np.testing.assert_array_equal(rbm.transform(convert(BITS)), rbm.transform(BITS))


@pytest.mark.parametrize("params", [{}, {"persistent": True}, {"hidden": "relu"}], ids=str)
def test_x_is_not_changed(params):
    X = BITS.copy()
    rbm = fitted(X, **params)
    rbm.partial_fit(X)
    rbm.gibbs(X)
    rbm.reconstruction_error(X)
    np.testing.assert_array_equal(X, BITS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_type_is_kept(dtype):
    X = BITS.astype(dtype)
    rbm = fitted(X)
    assert rbm.components_.dtype == rbm.transform(X).dtype == dtype
    assert rbm.inverse_transform(rbm.transform(X)).dtype == rbm.gibbs(X).dtype == dtype
    assert rbm.score_samples(X).dtype == rbm.reconstruction_error(X).dtype == dtype
    other = np.float32 if dtype is np.float64 else np.float64
    assert rbm.partial_fit(BITS.astype(other)).components_.dtype == dtype


def test_dtype_casts():
    rbm = fitted(dtype="float32")
    assert rbm.transform(BITS).dtype == np.float32
    assert_same(rbm, fitted(BITS.astype(np.float32)))
    assert rbm.__sklearn_tags__().transformer_tags.preserves_dtype == ["float32"]
    assert fitted(BITS.astype(np.float32), dtype="float64").components_.dtype == np.float64


def test_one_sample():
    rbm = fitted(BITS[:1], batch_size=1)
    assert np.isfinite(rbm.partial_fit(BITS[:1]).transform(BITS[:1])).all()
    assert rbm.score_samples(BITS[:1]).shape == (1,)


@pytest.mark.parametrize("X", [np.zeros((20, 3)), np.ones((20, 3)), np.full((20, 3), 7.0)])
def test_constant_features(X):
    rbm = fitted(X, n_iter=20)
    assert np.isfinite(rbm.transform(X)).all()
    errors = rbm.history_["reconstruction_error"]
    assert errors.iloc[-1] < errors.iloc[0]


def test_table():
    rbm = fitted(FRAME)
    assert rbm.feature_names_in_.tolist() == list(FRAME)
    assert rbm.n_features_in_ == 6
    assert_same(rbm, fitted())
    assert rbm.get_feature_names_out().tolist() == ["rbm0", "rbm1", "rbm2", "rbm3"]
    rbm.set_output(transform="pandas")
    features = rbm.transform(FRAME.set_index(np.arange(60) + 100))
    assert list(features) == ["rbm0", "rbm1", "rbm2", "rbm3"]
    assert features.index[0] == 100
    back = rbm.inverse_transform(features)
    np.testing.assert_array_equal(back, fitted().inverse_transform(features.to_numpy()))
    with pytest.raises(ValueError, match="unseen at fit time:\n- size"):
        rbm.transform(FRAME.rename(columns={"dose": "size"}))


# --- seeds --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("global_rng_untouched")
@pytest.mark.parametrize("params", [{"sample_hidden": True}, {"persistent": True}], ids=str)
def test_one_seed_is_the_same_bits_and_leaves_the_global_state(params):
    first, second = (fitted(**params).partial_fit(BITS) for _ in range(2))
    assert_same(first, second)
    for method in METHODS:
        for _ in range(2):
            here, there = (getattr(rbm, method)(BITS) for rbm in (first, second))
            np.testing.assert_array_equal(here, there)
    other = fitted(**params, random_state=1).partial_fit(BITS)
    assert not np.array_equal(first.components_, other.components_)


def test_gibbs_is_drawn_anew_in_each_call():
    rbm = fitted()
    assert not np.array_equal(rbm.gibbs(BITS), rbm.gibbs(BITS))


@pytest.mark.parametrize("seed", [None, np.random.RandomState(0)], ids=["none", "instance"])
def test_seed_that_moves_on(seed):
    first, second = (fitted(random_state=seed) for _ in range(2))
    assert not np.array_equal(first.components_, second.components_)
    np.testing.assert_array_equal(first.score_samples(BITS), first.score_samples(BITS))


def test_batches_of_later_epochs_have_another_order():
    """Were each chunk's order the same, so would be the second step of these."""
    rbm, seen = make(), []
    step = module.RBMTrainer.step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            module.RBMTrainer, "step", lambda s, v, w=None: seen.append(v.clone()) or step(s, v, w)
        )
        rbm.partial_fit(BITS).partial_fit(BITS)
    assert len(seen) == 8
    assert not torch.equal(seen[0], seen[4])


# --- keeping ------------------------------------------------------------------------------------

COPIES = {
    "pickle": lambda rbm, _: pickle.loads(pickle.dumps(rbm)),
    "deepcopy": lambda rbm, _: copy.deepcopy(rbm),
    "joblib": lambda rbm, path: joblib.load(joblib.dump(rbm, path / "rbm.joblib")[0]),
}


@pytest.mark.parametrize("chunks", [0, 2])
@pytest.mark.parametrize("how", COPIES)
def test_copies_are_the_same_and_go_on(how, chunks, tmp_path):
    rbm = fitted(persistent=True, momentum=(0, 0))
    for _ in range(chunks):
        rbm.partial_fit(BITS)
    again = COPIES[how](rbm, tmp_path)
    assert_same(rbm, again)
    pd.testing.assert_frame_equal(rbm.history_, again.history_)
    np.testing.assert_array_equal(rbm.score_samples(BITS), again.score_samples(BITS))
    np.testing.assert_array_equal(rbm.gibbs(BITS), again.gibbs(BITS))
    before = rbm.components_.copy()
    again.partial_fit(BITS)
    np.testing.assert_array_equal(rbm.components_, before)
    assert_same(rbm.partial_fit(BITS), again)
    assert len(again.history_) == 4 + chunks


def test_clone_is_unfitted():
    again = clone(fitted(learning_rate=0.3))
    assert not hasattr(again, "rbm_")
    assert not hasattr(again, "components_")
    assert not hasattr(again, "history_")
    assert_same(again.fit(BITS), fitted(learning_rate=0.3))


def test_pickles_do_not_hold_the_data():
    many = RANDOM.random((5000, 6))
    assert len(pickle.dumps(fitted(many, dtype="float64"))) < 10_000


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_what_a_gpu_fitted_loads_anywhere():
    rbm = fitted(device="cuda", persistent=True, momentum=(0, 0)).partial_fit(BITS)
    assert rbm.rbm_.weight.is_cuda
    again = pickle.loads(pickle.dumps(rbm))
    assert not again.rbm_.weight.is_cuda
    assert rbm.rbm_.weight.is_cuda
    np.testing.assert_allclose(again.transform(BITS), rbm.transform(BITS), rtol=1e-9)
    assert np.isfinite(again.partial_fit(BITS).gibbs(BITS)).all()
    assert np.isfinite(rbm.partial_fit(sparse.csr_array(BITS)).score_samples(BITS)).all()


# --- inside scikit-learn's tools ----------------------------------------------------------------


def test_two_machines_in_a_pipeline():
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)
    params = {"n_iter": 20, "learning_rate": 0.1, "random_state": 0}
    model = make_pipeline(
        MinMaxScaler(),
        RBM(80, **params),
        RBM(60, **params),
        LogisticRegression(C=10, max_iter=2000),
    )
    assert model.fit(X, y).score(X_test, y_test) > 0.9


def test_column_transformer():
    columns = ColumnTransformer(
        [("machine", make(), ["age", "dose"]), ("scaled", StandardScaler(), ["stage"])],
        verbose_feature_names_out=True,
    ).set_output(transform="pandas")
    table = columns.fit_transform(FRAME)
    names = [f"machine__rbm{i}" for i in range(4)]
    assert list(table) == [*names, "scaled__stage"]
    expected = fitted(FRAME[["age", "dose"]]).transform(FRAME[["age", "dose"]])
    np.testing.assert_array_equal(table[names], expected)


# --- what is shown ------------------------------------------------------------------------------


def test_progress_bar(capsys):
    rbm = fitted(verbose=1)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "3/3" in shown.err
    error = rbm.history_["reconstruction_error"].iloc[-1]
    assert f"reconstruction_error={error:.4g}" in shown.err
    assert_same(rbm, fitted())


def test_nothing_is_printed(capsys):
    fitted().partial_fit(BITS).transform(BITS)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")


# --- bad input ----------------------------------------------------------------------------------

BAD_PARAMETERS = {
    "n_components": [0, 2.5, "many"],
    "visible": ["sigmoid", None],
    "hidden": ["sigmoid", "auto", None],
    "rule": ["cd-1", None],
    "learning_rate": [0, -0.1, "fast", np.nan],
    "batch_size": [0, 2.5],
    "n_iter": [-1, 2.5],
    "momentum": [0.5, (0.5,), (0.5, 0.9, 0.9), (0.5, 1.0), (1.5, 0.5), (-0.1, 0), "ab", None],
    "momentum_epochs": [-1, 2.5],
    "weight_decay": [-1, "some"],
    "n_steps": [0, 1.5],
    "persistent": ["yes"],
    "sample_hidden": [None],
    "hybrid_epochs": [3, (3,), (1, 1, 1), (-1, 4), (1.5, 1.5), "21"],
    "device": ["gpu", None, "meta"],
    "dtype": ["float16", "int64"],
    "verbose": [-1],
    "random_state": ["seed"],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in BAD_PARAMETERS.items() for value in values],
)
def test_bad_parameters_are_named(name, value):
    for method in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match=name):
            getattr(make(**{name: value}), method)(BITS)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"rule": "hybrid"}, r"hybrid_epochs=\(7, 3\) .* add up to the 3 epochs"),
        ({"rule": "exact", "sample_hidden": True}, "sample_hidden=True"),
        ({"rule": "exact", "persistent": True}, "persistent=True"),
        ({"rule": "reconstruction", "n_steps": 2}, "n_steps=2"),
    ],
    ids=["hybrid", "sampled", "persistent", "steps"],
)
def test_parameters_that_do_not_go_together(params, message):
    with pytest.raises(ValueError, match=message):
        fitted(**params)


@pytest.mark.parametrize(
    ("visible", "X", "scaler"),
    [
        ("bernoulli", NORMAL, "MinMaxScaler scales"),
        ("bernoulli", 2 * BITS, "MinMaxScaler scales"),
        ("tanh", 3 * NORMAL, r"MinMaxScaler\(feature_range=\(-1, 1\)\) scales"),
    ],
    ids=["normal", "doubled", "tanh"],
)
def test_data_outside_the_bounds(visible, X, scaler):
    message = f"visible='{visible}' takes values from .* but X has values from .* to .*{scaler}"
    for method in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match=message):
            getattr(make(visible=visible), method)(X)


def test_negative_data_for_rectified_units_warn():
    with pytest.warns(UserWarning, match="visible='relu' .* which it cannot reconstruct"):
        fitted(NORMAL, visible="relu")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_and_infinite_values_name_the_columns(value):
    table = FRAME.copy()
    table.iloc[3, [2, 5]] = value
    named = r"such values: \['height', 'stage'\]"
    rbm = fitted(FRAME)
    for method in ("transform", "gibbs", "score_samples", "reconstruction_error", "partial_fit"):
        with pytest.raises(ValueError, match=named):
            getattr(rbm, method)(table)
    with pytest.raises(ValueError, match=named):
        rbm.fit(table)
    with pytest.raises(ValueError, match=r"not numeric: \['ward'\]"):
        make().fit(FRAME.assign(ward="a"))


def test_unfitted():
    for method in (*METHODS, "inverse_transform", "get_feature_names_out"):
        with pytest.raises(NotFittedError, match="This RBM instance is not fitted"):
            getattr(make(), method)(BITS)


def test_inverse_of_another_width():
    with pytest.raises(ValueError, match="X has 6 columns, but there are 4 hidden units"):
        fitted().inverse_transform(BITS)
    with pytest.raises(ValueError, match="contains NaN"):
        fitted().inverse_transform(np.full((2, 4), np.nan))
