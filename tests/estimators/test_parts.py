"""What is particular to classifiers and regressors: labels, class weights, several outputs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit, softmax
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import recall_score
from sklearn.utils.class_weight import compute_sample_weight

from sknninterp import ANTClassifier, ANTRegressor, TorchMLPClassifier, TorchMLPRegressor

CLASSIFIERS = [TorchMLPClassifier, ANTClassifier]
REGRESSORS = [TorchMLPRegressor, ANTRegressor]

X, Y = make_classification(
    n_samples=120, n_features=6, n_informative=4, n_classes=3, weights=[0.7, 0.2], random_state=0
)
TARGET, OTHER = X @ np.arange(6) / 5, X @ np.arange(6)[::-1] / 5


def make(kind, **params):
    defaults = {"hidden_layer_sizes": (12,), "max_epochs": 8, "lr": 0.01, "random_state": 0}
    return kind(**{**defaults, **params})


def same_outputs(one, other):
    return np.array_equal(one.predict_proba(X), other.predict_proba(X))


# --- labels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize(
    "labels",
    [
        np.array(["low", "middle", "high"]),
        np.array(["low", "middle", "high"], dtype=object),
        np.array([7, -3, 40]),
        np.array([0.0, 1.0, 5.0]),
        pd.array(["low", "middle", "high"], dtype="string"),
    ],
    ids=["str", "object", "int", "float", "pandas"],
)
def test_labels_of_any_kind(kind, labels):
    y = labels[Y]
    estimator = make(kind).fit(X, y)
    assert estimator.classes_.tolist() == sorted(labels.tolist())
    predicted = estimator.predict(X)
    assert set(predicted) <= set(labels)
    order = np.argsort(np.asarray(labels))
    plain = make(kind).fit(X, np.argsort(order)[Y])
    np.testing.assert_array_equal(plain.predict_proba(X), estimator.predict_proba(X))
    assert estimator.score(X, y) == plain.score(X, np.argsort(order)[Y])


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_two_classes(kind):
    estimator = make(kind, max_epochs=30).fit(X, Y > 0)
    assert estimator.classes_.tolist() == [False, True]
    assert estimator.predict(X).dtype == bool
    logit, probability = estimator.decision_function(X), estimator.predict_proba(X)
    assert logit.shape == (120,)
    assert probability.shape == (120, 2)
    np.testing.assert_allclose(probability[:, 1], expit(logit))
    np.testing.assert_array_equal(estimator.predict(X), logit > 0)
    assert estimator.score(X, Y > 0) > 0.8


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_three_classes(kind):
    estimator = make(kind).fit(X, Y)
    logits, probability = estimator.decision_function(X), estimator.predict_proba(X)
    np.testing.assert_allclose(probability, softmax(logits, axis=1))
    np.testing.assert_allclose(probability.sum(1), 1)
    np.testing.assert_array_equal(estimator.predict(X), logits.argmax(1))
    with torch.no_grad():
        np.testing.assert_array_equal(logits, estimator.module_(torch.from_numpy(X)))


def test_column_of_labels_warns():
    with pytest.warns(DataConversionWarning, match="column-vector"):
        estimator = make(TorchMLPClassifier).fit(X, Y[:, None])
    assert same_outputs(estimator, make(TorchMLPClassifier).fit(X, Y))


# --- bad labels ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(120), r"y holds one class only, \[0.0\]"),
        (np.where(Y == 0, np.nan, Y), "Input y contains NaN"),
        (pd.Series(["a", None, "b"] * 40), "Input y contains NaN|y holds missing labels"),
        (np.array(["a", None, "b"] * 40, dtype=object), "y holds missing labels"),
        (np.array(["a", 1, "b"] * 40, dtype=object), r"y mixes .* \['int', 'str'\]"),
        (X[:, 0], "Unknown label type: continuous"),
        (np.c_[Y, Y], "multilabel|multioutput|one label a sample"),
        (np.c_[Y == 0, Y == 1], "one label a sample"),
    ],
    ids=["one", "nan", "none", "object", "mixed", "continuous", "columns", "multilabel"],
)
def test_bad_labels(kind, y, message):
    with pytest.raises(ValueError, match=message):
        make(kind).fit(X, y)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_one_sample_is_one_class(kind):
    with pytest.raises(ValueError, match=r"y holds one class only, \['sick'\]"):
        make(kind).fit(X[:1], ["sick"])


# --- labels of chunks ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_partial_fit_with_classes_that_come_later(kind):
    names = np.array(["a", "b", "c"])
    estimator = make(kind)
    estimator.partial_fit(X[Y < 1], names[Y[Y < 1]], classes=["c", "a", "b"])
    assert estimator.classes_.tolist() == ["a", "b", "c"]
    assert estimator.predict_proba(X).shape == (120, 3)
    estimator.partial_fit(X, names[Y])
    estimator.partial_fit(X[:1], names[Y[:1]], classes=names)
    assert estimator.n_iter_ == 3


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_partial_fit_with_unseen_labels(kind):
    estimator = make(kind).partial_fit(X[Y < 2], Y[Y < 2])
    with pytest.raises(ValueError, match=r"not there before: \[2\]; known are \[0, 1\]"):
        estimator.partial_fit(X, Y)
    with pytest.raises(ValueError, match=r"not there before: \[2\]"):
        make(kind).partial_fit(X, Y, classes=[0, 1])
    with pytest.raises(ValueError, match=r"classes=\[0, 1, 2\] are not those of the first call"):
        estimator.partial_fit(X[Y < 2], Y[Y < 2], classes=[0, 1, 2])


def test_warm_start_with_unseen_labels():
    estimator = make(TorchMLPClassifier, warm_start=True).fit(X[Y < 2], Y[Y < 2])
    with pytest.raises(ValueError, match=r"not there before: \[2\]"):
        estimator.fit(X, Y)
    cold = make(TorchMLPClassifier).fit(X[Y < 2], Y[Y < 2]).fit(X, Y)
    assert cold.classes_.tolist() == [0, 1, 2]


# --- class weights ------------------------------------------------------------------------------


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1, 1: 5, 2: 2}, {2: 10}])
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_class_weight_is_the_samples_weight(kind, class_weight, early_stopping):
    params = {"early_stopping": early_stopping, "batch_size": 32}
    by_class = make(kind, class_weight=class_weight, **params).fit(X, Y)
    by_sample = make(kind, **params)
    by_sample.fit(X, Y, sample_weight=compute_sample_weight(class_weight, Y))
    assert same_outputs(by_class, by_sample)
    assert not same_outputs(by_class, make(kind, **params).fit(X, Y))
    np.testing.assert_array_equal(by_class.history_.train_loss, by_sample.history_.train_loss)


def test_class_weight_and_sample_weight_multiply():
    weight = np.random.default_rng(0).uniform(0.1, 2, 120)
    both = make(TorchMLPClassifier, class_weight={0: 2, 1: 3, 2: 4}).fit(X, Y, weight)
    product = make(TorchMLPClassifier).fit(X, Y, weight * (Y + 2))
    np.testing.assert_allclose(both.predict_proba(X), product.predict_proba(X), rtol=1e-9)


def test_balanced_weights_find_the_rare_class():
    plain = make(TorchMLPClassifier, max_epochs=30).fit(X, Y)
    balanced = make(TorchMLPClassifier, max_epochs=30, class_weight="balanced").fit(X, Y)
    rare = np.bincount(Y).argmin()
    recall = [recall_score(Y, e.predict(X), average=None)[rare] for e in (plain, balanced)]
    assert recall[1] > recall[0] + 0.1


def test_class_weight_by_name():
    names = np.array(["healthy", "ill", "dead"])
    named = make(TorchMLPClassifier, class_weight={"ill": 5}).fit(X, names[Y])
    weight = np.where(Y == 1, 5.0, 1.0)
    assert same_outputs(named, make(TorchMLPClassifier).fit(X, names[Y], sample_weight=weight))


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({7: 2}, r"class_weight: there are no classes \[7\]; y has \[0, 1, 2\]"),
        ({"ill": 2}, r"class_weight: there are no classes \['ill'\]"),
        ({0: -1}, "class_weight: weights must be positive"),
        ({0: 0, 1: 0, 2: 0}, "class_weight: weights must be positive"),
        ({0: np.nan}, "class_weight: weights must be positive"),
        ("even", "'class_weight' parameter"),
        ([1, 2, 3], "'class_weight' parameter"),
    ],
)
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_bad_class_weight(kind, class_weight, message):
    with pytest.raises(ValueError, match=message):
        make(kind, class_weight=class_weight).fit(X, Y)


def test_class_weight_of_chunks():
    with pytest.raises(ValueError, match="class_weight='balanced'.*pass a dict"):
        make(TorchMLPClassifier, class_weight="balanced").partial_fit(X, Y)
    weighted = make(TorchMLPClassifier, class_weight={1: 3}).partial_fit(X, Y)
    by_sample = make(TorchMLPClassifier)
    by_sample.partial_fit(X, Y, sample_weight=compute_sample_weight({1: 3}, Y))
    assert same_outputs(weighted, by_sample)


# --- regression ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", REGRESSORS)
def test_several_outputs(kind):
    both = np.c_[TARGET, OTHER]
    estimator = make(kind, max_epochs=60, hidden_layer_sizes=(24,)).fit(X, both)
    assert estimator.n_outputs_ == 2
    assert estimator.predict(X).shape == (120, 2)
    assert estimator.score(X, both) > 0.9
    with pytest.raises(ValueError, match="y has 1 outputs; it had 2 before"):
        estimator.partial_fit(X, TARGET)


def test_one_column_stays_a_column():
    flat = make(TorchMLPRegressor).fit(X, TARGET)
    column = make(TorchMLPRegressor).fit(X, TARGET[:, None])
    assert flat.predict(X).shape == (120,)
    assert column.predict(X).shape == (120, 1)
    np.testing.assert_array_equal(flat.predict(X), column.predict(X)[:, 0])


@pytest.mark.parametrize(
    "convert",
    [
        list,
        pd.Series,
        lambda y: y.astype(object),
        lambda y: pd.DataFrame({"value": y}).iloc[:, 0],
        lambda y: y[::-1][::-1],
    ],
)
def test_what_y_may_be(convert):
    plain = make(TorchMLPRegressor).fit(X, TARGET).predict(X)
    np.testing.assert_array_equal(plain, make(TorchMLPRegressor).fit(X, convert(TARGET)).predict(X))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_float_type_of_y_does_not_matter(dtype):
    whole = np.round(3 * TARGET)
    network = make(TorchMLPRegressor, dtype=dtype)
    plain = network.fit(X, whole).predict(X)
    for other in ("float32", "int64", "int8"):
        np.testing.assert_array_equal(plain, network.fit(X, whole.astype(other)).predict(X))
    assert plain.dtype == dtype
    assert make(TorchMLPRegressor).fit(X, TARGET > 0).score(X, TARGET > 0) < 1


def test_frame_of_targets():
    frame = pd.DataFrame({"dose": TARGET, "time": OTHER})
    assert make(TorchMLPRegressor).fit(X, frame).predict(X).shape == (120, 2)


@pytest.mark.parametrize("kind", REGRESSORS)
@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.where(Y == 0, np.nan, TARGET), "Input y contains NaN"),
        (np.where(Y == 0, np.inf, TARGET), "Input y contains infinity"),
        (["much"] * 120, "y must hold numbers"),
        (np.zeros((120, 2, 2)), "dim 3"),
    ],
    ids=["nan", "inf", "text", "dimensions"],
)
def test_bad_values(kind, y, message):
    with pytest.raises(ValueError, match=message):
        make(kind).fit(X, y)


def test_loss_of_several_outputs_is_their_mean():
    """Weighted or not, one output more of the same changes nothing but the scale of noise."""
    features, target = make_regression(n_features=4, random_state=0)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(features))
    for given in (None, weight):
        network = make(TorchMLPRegressor, max_epochs=1, lr=1e-300)
        loss = network.fit(features, np.c_[target, target], given).history_.train_loss[0]
        residual = (network.predict(features) - np.c_[target, target]) ** 2
        assert loss == pytest.approx(np.average(residual.mean(1), weights=given))
