"""Votes and mean predictions."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import Lasso, LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from sknninterp.evaluation._predictions import _likeliest, vote
from sknninterp.evaluation.repeated import RepeatedExplainer


@pytest.fixture(scope="module", name="X")
def samples():
    return np.random.default_rng(0).normal(size=(60, 4))


@pytest.fixture(scope="module", name="y")
def labels(X):
    noisy = X[:, 0] + np.random.default_rng(1).normal(size=60)
    return np.array(["high", "low", "mid"])[np.digitize(noisy, [-0.5, 0.5])]


def repeated(estimator, **options):
    options = {"n_repeats": 5, "resampling": "bootstrap", "random_state": 0} | options
    return RepeatedExplainer(estimator, **options)


def test_vote_by_hand():
    found = vote([np.array([*"abc"]), np.array([*"bbc"]), np.array([*"cba"])])
    assert found.tolist() == ["a", "b", "c"]
    found = vote([np.array([[1, 0]]), np.array([[1, 1]]), np.array([[0, 1]])])
    assert found.tolist() == [[1, 1]]


def test_classes_are_those_of_the_mean_probability(X, y):
    model = repeated(LogisticRegression()).fit(X, y)
    probabilities = np.mean([one.predict_proba(X) for one in model.explainers_], axis=0)
    assert_allclose(model.predict_proba(X), probabilities)
    assert model.classes_.tolist() == ["high", "low", "mid"]
    np.testing.assert_array_equal(model.predict(X), model.classes_[probabilities.argmax(1)])
    assert model.score(X, y) == np.mean(model.predict(X) == y)
    weight = (y == "low").astype(float)
    assert model.score(X, y, weight) == np.mean(model.predict(X)[y == "low"] == "low")


def test_without_probabilities_repeats_vote(X, y):
    model = repeated(LinearSVC()).fit(X, y)
    assert not hasattr(model, "predict_proba")
    expected = vote([one.predict(X) for one in model.explainers_])
    assert any((one.predict(X) != expected).any() for one in model.explainers_)
    np.testing.assert_array_equal(model.predict(X), expected)


def test_numbers_are_averaged(X):
    target = X[:, 0] + X[:, 1] ** 2
    model = repeated(Lasso(alpha=0.01)).fit(X, target)
    expected = np.mean([one.predict(X) for one in model.explainers_], axis=0)
    assert_allclose(model.predict(X), expected)
    residual, total = target - expected, target - target.mean()
    assert model.score(X, target) == pytest.approx(1 - (residual @ residual) / (total @ total))
    assert not hasattr(model, "predict_proba")


def test_several_outputs_at_once(X, y):
    target = np.column_stack([y, y[::-1]])
    model = repeated(DecisionTreeClassifier(max_depth=2)).fit(X, target)
    each = [one.predict_proba(X) for one in model.explainers_]
    expected = [np.mean([one[output] for one in each], axis=0) for output in (0, 1)]
    for output, found in enumerate(model.predict_proba(X)):
        assert_allclose(found, expected[output])
        labels = np.unique(y)[found.argmax(1)]
        np.testing.assert_array_equal(model.predict(X)[:, output], labels)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_several_labels_at_once(X):
    target = (X[:, :2] > 0).astype(int)
    network = MLPClassifier((4,), max_iter=20)
    model = repeated(network, importance_getter=lambda fitted: fitted.coefs_[0].T)
    expected = np.mean([one.predict_proba(X) for one in model.fit(X, target).explainers_], axis=0)
    np.testing.assert_array_equal(model.predict(X), expected > 0.5)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_single_class(X):
    network = MLPClassifier((4,), max_iter=20)
    model = repeated(network, importance_getter=lambda fitted: fitted.coefs_[0].T)
    assert model.fit(X, ["ill"] * 60).predict(X).tolist() == ["ill"] * 60


def test_more_probabilities_than_classes_are_not_read():
    probabilities = np.array([[0.3, 0.7]])
    assert _likeliest(probabilities, np.array(["ill"]), False) is None
    assert _likeliest(probabilities, np.array(["ill", "well"]), False).tolist() == ["well"]
