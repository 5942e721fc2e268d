"""Explaining the same outputs again, of other samples or with another estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from sknninterp._typing import MatrixLike, Target


class FixedTarget:
    """Attributions to the outputs that an explainer explains of X, whatever is asked later.

    The class that is predicted may be another one for samples that are moved, or a network that
    is changed; what is compared must be about the same output.

    Parameters
    ----------
    explainer : explainer
        Fitted.
    X : array-like or DataFrame of shape (n_samples, ...)
    target : None, "predicted", label or list of labels, default=None
        None is the predicted class, or all outputs where no class is predicted.

    Attributes
    ----------
    explanation : Explanation
        Of X.
    values : ndarray of shape (n_samples, n_values)
        Its values, flat.
    """

    def __init__(self, explainer: Any, X: MatrixLike, target: Target = None):
        self.target = target
        self.explanation = self._first(explainer, X)
        self.values = _flat(self.explanation)

    def _first(self, explainer, X):
        if self.target is not None:
            found = explainer.explain(X, self.target)
        else:
            try:
                found = explainer.explain(X, "predicted")
            except ValueError:  # no class is predicted here
                found = explainer.explain(X)
        if isinstance(found.target, np.ndarray):
            self.target = found.target
        return found

    def __call__(self, explainer: Any, X: MatrixLike) -> np.ndarray:
        """Values of samples that stand for those of the first X, (n_samples, n_values)."""
        if not isinstance(self.target, np.ndarray):
            return _flat(explainer.explain(X, self.target))
        values = np.empty((_num_samples(X), self.values.shape[1]))
        for label in np.unique(self.target):
            rows = np.flatnonzero(self.target == label)
            values[rows] = _flat(explainer.explain(_safe_indexing(X, rows), label))
        return values


def _flat(explanation) -> np.ndarray:
    values = np.asarray(explanation, dtype=float)
    return values.reshape(len(values), -1)
