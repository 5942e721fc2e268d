"""What the estimator inside an explainer predicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.metaestimators import available_if

from sknninterp._typing import MatrixLike


def _inner_has(method: str):
    """Whether the estimator inside has a method, as `available_if` asks."""

    def check(self):
        return hasattr(self.estimator_ if hasattr(self, "estimator_") else self._inner, method)

    return check


class InnerPredictions:
    """Mixin: an explainer predicts and scores as the estimator inside it, and is searched so."""

    estimator_: Any
    _known_table: Callable[[Any], Any]

    @available_if(_inner_has("predict"))
    def predict(self, X: MatrixLike) -> np.ndarray:
        """Predictions of the estimator inside.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        X = self._known_table(X)
        return self.estimator_.predict(X)

    @available_if(_inner_has("predict_proba"))
    def predict_proba(self, X: MatrixLike) -> np.ndarray:
        """Probabilities of the estimator inside.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        X = self._known_table(X)
        return self.estimator_.predict_proba(X)

    @available_if(_inner_has("decision_function"))
    def decision_function(self, X: MatrixLike) -> np.ndarray:
        """Logits of the estimator inside.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
        """
        X = self._known_table(X)
        return self.estimator_.decision_function(X)

    @available_if(_inner_has("score"))
    def score(self, X: MatrixLike, y: ArrayLike, **params: Any) -> float:
        """Score of the estimator inside.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        **params : dict
            Passed on, such as `sample_weight`.

        Returns
        -------
        float
        """
        X = self._known_table(X)
        return self.estimator_.score(X, y, **params)

    @property
    def classes_(self) -> np.ndarray:
        """Labels of a classifier."""
        return self.estimator_.classes_
