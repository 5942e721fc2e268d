"""The plain networks beside scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from sknninterp import TorchMLPClassifier, TorchMLPRegressor


def test_classifiers_are_as_good():
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    train, test = np.arange(len(X)) % 2 == 0, np.arange(len(X)) % 2 == 1
    params = {"hidden_layer_sizes": (16,), "batch_size": 64, "random_state": 0}
    ours = TorchMLPClassifier(max_epochs=25, **params).fit(X[train], y[train])
    with pytest.warns(UserWarning, match="Maximum iterations"):
        theirs = MLPClassifier(max_iter=25, **params).fit(X[train], y[train])
    assert ours.score(X[test], y[test]) > theirs.score(X[test], y[test]) - 0.02 > 0.9


def test_regressors_are_as_good():
    X, y = load_diabetes(return_X_y=True)
    y = (y - y.mean()) / y.std()
    X = StandardScaler().fit_transform(X)
    train, test = np.arange(len(X)) % 2 == 0, np.arange(len(X)) % 2 == 1
    params = {"hidden_layer_sizes": (16,), "batch_size": 64, "random_state": 0}
    ours = TorchMLPRegressor(max_epochs=25, lr=0.01, **params).fit(X[train], y[train])
    with pytest.warns(UserWarning, match="Maximum iterations"):
        theirs = MLPRegressor(max_iter=25, learning_rate_init=0.01, **params)
        theirs.fit(X[train], y[train])
    assert ours.score(X[test], y[test]) > theirs.score(X[test], y[test]) - 0.1 > 0.2
