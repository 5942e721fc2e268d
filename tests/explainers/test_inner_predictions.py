"""Explainers predict, score and are searched as the estimators inside them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import is_classifier, is_regressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknninterp import PWPExplainer, TorchMLPClassifier, TorchMLPRegressor

SMALL = {"hidden_layer_sizes": (5,), "max_epochs": 3, "random_state": 0}


@pytest.fixture(scope="module", name="X")
def table():
    return np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)


def labels(X):
    return np.array(["low", "middle", "high"])[np.digitize(X[:, 0], [-0.4, 0.4])]


def scaled(estimator):
    return make_pipeline(StandardScaler(), estimator)


def test_predictions_pass_through(X):
    y = labels(X)
    network = TorchMLPClassifier(**SMALL).fit(X, y)
    explainer = PWPExplainer(network).fit(X)
    for method in ("predict", "predict_proba", "decision_function"):
        expected = getattr(network, method)(X)
        np.testing.assert_array_equal(getattr(explainer, method)(X), expected)
    weight = np.arange(60)
    assert explainer.score(X, y) == network.score(X, y)
    assert explainer.score(X, y, sample_weight=weight) == network.score(X, y, sample_weight=weight)
    assert explainer.classes_.tolist() == ["high", "low", "middle"]


@pytest.mark.parametrize("fitted", [False, True])
def test_methods_that_the_estimator_has_not(fitted, X):
    classifier, regressor = TorchMLPClassifier(**SMALL), TorchMLPRegressor(**SMALL)
    explainers = [PWPExplainer(classifier), PWPExplainer(regressor), PWPExplainer()]
    if fitted:
        for explainer, y in zip(explainers, [labels(X), X[:, 0], labels(X)], strict=True):
            explainer.fit(X, y)
    for explainer, has in zip(explainers, [True, False, True], strict=True):
        assert hasattr(explainer, "predict")
        assert hasattr(explainer, "score")
        assert hasattr(explainer, "predict_proba") == has
        assert hasattr(explainer, "decision_function") == has
        assert is_classifier(explainer) == has
        assert is_regressor(explainer) != has
        assert hasattr(explainer, "classes_") == (has and fitted)


def test_an_explainer_is_searched_like_its_estimator(X):
    y = labels(X)
    network = scaled(TorchMLPClassifier((5,), lr=0.05, random_state=0))
    search = GridSearchCV(
        PWPExplainer(network, signed=True),
        {"estimator__torchmlpclassifier__max_epochs": [1, 60]},
        cv=3,
    ).fit(X, y)
    assert search.best_params_ == {"estimator__torchmlpclassifier__max_epochs": 60}
    np.testing.assert_array_equal(search.predict(X), search.best_estimator_.estimator_.predict(X))
    assert search.best_estimator_.explain(X).signed
    plain = GridSearchCV(network, {"torchmlpclassifier__max_epochs": [1, 60]}, cv=3).fit(X, y)
    assert search.best_score_ == plain.best_score_
