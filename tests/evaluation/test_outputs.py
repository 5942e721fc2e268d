"""The output that is explained, of every kind of estimator and for every way to name it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sknninterp import TorchMLPClassifier, TorchMLPRegressor
from sknninterp.evaluation._outputs import ExplainedOutput, all_outputs

LABELS = np.array(["low", "mid", "top"])


@pytest.fixture(scope="module")
def classes():
    X, y = make_classification(60, 5, n_informative=4, n_redundant=0, n_classes=3, random_state=0)
    return X, LABELS[y]


@pytest.fixture(scope="module")
def classifier(classes):
    network = TorchMLPClassifier((6,), max_epochs=10, random_state=0)
    return make_pipeline(StandardScaler(), network).fit(*classes)


def test_predicted_probability(classifier, classes):
    X = classes[0]
    output = ExplainedOutput(classifier, X)
    np.testing.assert_array_equal(output.labels, classifier.predict(X))
    np.testing.assert_allclose(output.start, classifier.predict_proba(X).max(1))
    assert output.is_class
    assert output.known.tolist() == LABELS.tolist()


def test_the_class_stays_that_of_the_first_samples(classifier, classes):
    X = classes[0]
    output = ExplainedOutput(classifier, X, "predicted")
    moved, places = X[::-1], np.searchsorted(LABELS, classifier.predict(X))
    expected = classifier.predict_proba(moved)[np.arange(len(X)), places]
    np.testing.assert_allclose(output(moved), expected)


def test_one_label_or_one_for_each_sample(classifier, classes):
    X, y = classes
    probabilities = classifier.predict_proba(X)
    np.testing.assert_allclose(ExplainedOutput(classifier, X, "mid").start, probabilities[:, 1])
    expected = probabilities[np.arange(len(X)), np.searchsorted(LABELS, y)]
    np.testing.assert_allclose(ExplainedOutput(classifier, X, y).start, expected)


def test_a_label_may_be_called_predicted(classes):
    X, y = classes
    labels = np.where(y == "low", "predicted", "other")
    model = LogisticRegression().fit(X, labels)
    found = ExplainedOutput(model, X, "predicted").start
    np.testing.assert_allclose(found, model.predict_proba(X)[:, 1])


def test_logits_are_those_before_the_softmax(classifier, classes):
    X = classes[0]
    values, known, is_class = all_outputs(classifier, X, "logit")
    np.testing.assert_allclose(values, classifier.decision_function(X), atol=1e-5)
    assert known.tolist() == LABELS.tolist()
    assert is_class


def test_logit_of_two_classes_has_two_signs(classes):
    X, y = classes
    model = MLPClassifier((4,), max_iter=3000, random_state=0).fit(X, y == "top")
    values, known, _ = all_outputs(model, X, "logit")
    probability = model.predict_proba(X)[:, 1]
    np.testing.assert_allclose(values[:, 1], np.log(probability / (1 - probability)), atol=1e-6)
    np.testing.assert_allclose(values[:, 0], -values[:, 1])
    assert known.tolist() == [False, True]


@pytest.mark.parametrize(
    "model",
    [
        LinearRegression(),
        TorchMLPRegressor((4,), max_epochs=5),
        MLPRegressor(hidden_layer_sizes=(4,), max_iter=5000),
    ],
    ids=["linear", "torch", "sklearn"],
)
def test_regressor(model):
    X, y = make_regression(50, 4, random_state=0)
    model.fit(StandardScaler().fit_transform(X), y / y.std())
    output = ExplainedOutput(model, X)
    np.testing.assert_allclose(output.start, model.predict(X))
    assert not output.is_class
    assert output.labels.tolist() == [0] * 50
    np.testing.assert_allclose(ExplainedOutput(model, X, 0).start, output.start)
    if not isinstance(model, LinearRegression):
        logits = ExplainedOutput(model, X, scale="logit").start
        np.testing.assert_allclose(logits, output.start, rtol=1e-4, atol=1e-5)


def test_logit_of_a_regressor_is_what_its_network_puts_out():
    X, y = make_regression(50, 4, random_state=0)
    model = TransformedTargetRegressor(
        TorchMLPRegressor((4,), max_epochs=5), transformer=StandardScaler()
    ).fit(X, y)
    inner = model.regressor_.predict(X)
    np.testing.assert_allclose(ExplainedOutput(model, X, scale="logit").start, inner, rtol=1e-4)
    np.testing.assert_allclose(ExplainedOutput(model, X).start, model.predict(X))


def test_several_values_need_a_name():
    X, y = make_regression(50, 4, n_targets=2, random_state=0)
    model = LinearRegression().fit(X, y)
    np.testing.assert_allclose(ExplainedOutput(model, X, 1).start, model.predict(X)[:, 1])
    with pytest.raises(ValueError, match=r"name one of the outputs \[0, 1\]"):
        ExplainedOutput(model, X)


def test_modules():
    torch.manual_seed(0)
    X = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    several = nn.Sequential(nn.Linear(3, 3), nn.Softmax(1))
    values, known, is_class = all_outputs(several, X)
    with torch.no_grad():
        np.testing.assert_allclose(values, several(torch.from_numpy(X)), rtol=1e-5)
        logits = several[0](torch.from_numpy(X))
    assert known.tolist() == [0, 1, 2]
    assert is_class
    np.testing.assert_allclose(all_outputs(several, X, "logit")[0], logits, rtol=1e-4, atol=1e-6)
    values, known, is_class = all_outputs(nn.Linear(3, 1), X)
    assert values.shape == (7, 1)
    assert known.tolist() == [0]
    assert not is_class


def test_estimators_without_probabilities(classes):
    model = RidgeClassifier().fit(*classes)
    with pytest.raises(TypeError, match="RidgeClassifier gives no probability of each class"):
        ExplainedOutput(model, classes[0])


@pytest.mark.parametrize(
    ("target", "scale", "message"),
    [
        (
            "none",
            "probability",
            r"target='none' is not an output; there are \['low', 'mid', 'top'\]",
        ),
        (["low"] * 3, "probability", r"one for each of 60 samples, got the shape \(3,\)"),
        (None, "odds", "output='odds' is not one of"),
    ],
    ids=["label", "length", "scale"],
)
def test_bad_input(classifier, classes, target, scale, message):
    with pytest.raises(ValueError, match=message):
        ExplainedOutput(classifier, classes[0], target, scale)


def test_what_predicts_nothing():
    with pytest.raises(TypeError, match="estimator has no `predict`: it is None"):
        all_outputs(None, np.zeros((3, 2)))
    for scale in ("logit", "probability"):
        with pytest.raises(NotFittedError, match="TorchMLPClassifier"):
            all_outputs(TorchMLPClassifier(), np.zeros((3, 2)), scale)
