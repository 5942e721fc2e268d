"""The same outputs are explained again, whatever is predicted then."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch import nn

from sknninterp import GradientXInputExplainer, PWPExplainer
from sknninterp.evaluation._targets import FixedTarget


@pytest.fixture(scope="module")
def data():
    return make_classification(30, 4, n_informative=4, n_redundant=0, n_classes=3, random_state=0,
                               n_clusters_per_class=1)  # fmt: skip


@pytest.fixture(scope="module")
def explainer(data):
    network = MLPClassifier((6,), max_iter=3000, random_state=0).fit(*data)
    return GradientXInputExplainer(network).fit(data[0])


@pytest.mark.parametrize("target", [None, "predicted"])
def test_predicted_classes_stay(explainer, data, target):
    X = data[0]
    fixed = FixedTarget(explainer, X, target)
    labels = explainer.predict(X)
    every = explainer.explain(X).values
    np.testing.assert_allclose(fixed.values, every[np.arange(30), :, labels])
    moved = -X[:, ::-1]
    assert (explainer.predict(moved) != labels).any()
    expected = explainer.explain(moved).values[np.arange(30), :, labels]
    np.testing.assert_allclose(fixed(explainer, moved), expected)


def test_one_label_and_several(explainer, data):
    X = data[0]
    fixed = FixedTarget(explainer, X, 1)
    np.testing.assert_allclose(fixed(explainer, X), explainer.explain(X, 1).values)
    fixed = FixedTarget(explainer, X, [0, 2])
    expected = explainer.explain(X, [0, 2]).values.reshape(30, -1)
    np.testing.assert_allclose(fixed(explainer, X), expected)


def test_signs_of_a_single_logit_stay(data):
    X, y = data
    network = MLPClassifier((6,), max_iter=3000, random_state=0).fit(X, y == 1)
    explainer = GradientXInputExplainer(network).fit(X)
    fixed = FixedTarget(explainer, X)
    np.testing.assert_allclose(fixed(explainer, X), fixed.values)
    np.testing.assert_allclose(fixed.values, explainer.explain(X, "predicted").values)


def test_without_classes_all_outputs_are_explained(data):
    X, y = data
    network = MLPRegressor(hidden_layer_sizes=(4,), max_iter=3000, random_state=0).fit(X, y)
    fixed = FixedTarget(PWPExplainer(network).fit(X), X)
    assert fixed.values.shape == (30, 4)
    assert fixed.target is None
    with pytest.raises(ValueError, match="none is predicted"):
        FixedTarget(PWPExplainer(network).fit(X), X, "predicted")


def test_images_are_flattened():
    images = np.random.default_rng(0).normal(size=(5, 1, 4, 4)).astype(np.float32)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    explainer = GradientXInputExplainer(network).fit(images)
    fixed = FixedTarget(explainer, images)
    assert fixed.values.shape == (5, 16)
    np.testing.assert_allclose(fixed(explainer, images), fixed.values)


def test_bad_samples_are_still_an_error(explainer):
    with pytest.raises(ValueError, match="features"):
        FixedTarget(explainer, np.zeros((3, 2)))
