"""Predictions of many estimators as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import is_classifier
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.metaestimators import available_if

from sknninterp._typing import MatrixLike


def each_has(method: str) -> Callable[[Any], bool]:
    """Whether the explainer inside has a method, as `available_if` asks."""

    def check(self):
        inside = self.explainers_[0] if hasattr(self, "explainers_") else self._base
        return hasattr(inside, method)

    return check


class AveragedPredictions:
    """Mixin: predictions of all `explainers_` together, where they have any."""

    explainers_: list
    _known_table: Callable[..., Any]

    @available_if(each_has("predict"))
    def predict(self, X: MatrixLike) -> np.ndarray:
        """Predictions of the repeats together.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The class of the highest mean probability, or that most repeats predict if there are no
            probabilities; the mean of numbers.
        """
        X = self._known_table(X)
        if not is_classifier(self):
            return np.mean([one.predict(X) for one in self.explainers_], axis=0)
        predictions = [one.predict(X) for one in self.explainers_]
        if hasattr(self, "predict_proba"):
            found = _likeliest(self.predict_proba(X), self.classes_, predictions[0].ndim > 1)
            if found is not None:
                return found
        return vote(predictions)

    @available_if(each_has("predict_proba"))
    def predict_proba(self, X: MatrixLike) -> np.ndarray | list[np.ndarray]:
        """Mean of the repeats' probabilities.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or list of n_outputs of them
        """
        X = self._known_table(X)
        found = [one.predict_proba(X) for one in self.explainers_]
        if isinstance(found[0], list):
            return [np.mean(of_output, axis=0) for of_output in zip(*found, strict=True)]
        return np.mean(found, axis=0)

    @available_if(each_has("predict"))
    def score(self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy, or R^2 of a regressor, of :meth:`predict`.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        measure = accuracy_score if is_classifier(self) else r2_score
        return float(measure(y, self.predict(X), sample_weight=sample_weight))

    @property
    def classes_(self) -> np.ndarray:
        """Labels of a classifier."""
        return self.explainers_[0].classes_


def _likeliest(probabilities, classes, several_labels: bool):
    """The classes of the highest probabilities, if there is one for each class."""
    if isinstance(probabilities, list):
        each = zip(classes, probabilities, strict=True)
        return np.column_stack([labels[found.argmax(1)] for labels, found in each])
    if several_labels:
        return (probabilities > 0.5).astype(int)
    # MLPClassifier gives two to a single class.
    alike = probabilities.shape[1] == len(classes)
    return classes[probabilities.argmax(1)] if alike else None


def vote(predictions: list[np.ndarray]) -> np.ndarray:
    """The label that most predict for each sample; of as many for two, the first in order.

    Parameters
    ----------
    predictions : list of ndarray of shape (n_samples,) or (n_samples, n_outputs)

    Returns
    -------
    ndarray of shape (n_samples,) or (n_samples, n_outputs)
    """
    labels, codes = np.unique(np.stack(predictions), return_inverse=True)
    codes = codes.reshape(len(predictions), *np.shape(predictions[0]))
    counts = np.stack([(codes == code).sum(0) for code in range(len(labels))])
    return labels[counts.argmax(0)]
