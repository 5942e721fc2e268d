"""What classifiers and regressors add to the base of all networks."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin, _fit_context
from sklearn.preprocessing import LabelEncoder
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from sknninterp._typing import MatrixLike
from sknninterp.estimators._base import BaseTorchEstimator
from sknninterp.estimators._net import ClassifierNet, RegressorNet


def _takes_chunks(estimator) -> bool:
    """Whether there is a `partial_fit`."""
    if estimator.early_stopping:
        raise AttributeError("partial_fit does not take early_stopping=True: it has no epochs.")
    if estimator.n_networks > 1:
        raise AttributeError("partial_fit trains a single network, not several (n_networks).")
    return True


def _check_order(y) -> None:
    """Raise a ValueError where labels are of types that cannot be sorted together."""
    labels = np.asarray(y)
    if labels.dtype != object:
        return
    try:
        sorted(set(labels.ravel().tolist()))
    except TypeError:
        kinds = sorted({type(label).__name__ for label in labels.ravel()})
        raise ValueError(f"y mixes labels of different types, {kinds}.") from None


class ClassifierPart(ClassifierMixin):
    """What classifiers add to the base: labels, class weights, probabilities."""

    _parameter_constraints: dict = {
        **BaseTorchEstimator._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    _net_class = ClassifierNet

    @property
    def _n_outputs(self):
        return len(self.classes_)

    def _encode_target(self, y, reset, classes=None):
        y = self._labels(y)
        if reset:
            encoder = LabelEncoder().fit(y if classes is None else np.asarray(classes))
            if len(encoder.classes_) < 2:
                raise ValueError(
                    f"y holds one class only, {encoder.classes_.tolist()}: a classifier needs"
                    " samples of at least two classes."
                )
            self.classes_ = encoder.classes_
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes={list(classes)} are not those of the first call,"
                f" {self.classes_.tolist()}."
            )
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y has labels that were not there before: {unknown.tolist()}; known are"
                f" {self.classes_.tolist()}."
            )
        return np.searchsorted(self.classes_, y).astype(np.int64)

    @staticmethod
    def _labels(y):
        """Labels as an array, one a sample."""
        if np.any(pd.isna(y)):
            raise ValueError("y holds missing labels.")
        _check_order(y)
        check_classification_targets(y)
        several = np.ndim(y) > 1 and y.shape[1] > 1
        if several or (np.ndim(y) != 1 and type_of_target(y).startswith("multilabel")):
            raise ValueError("y must hold one label a sample; multilabel targets are not taken.")
        return column_or_1d(y, warn=True)

    def _class_weights(self, target):
        if self.class_weight is None:
            return None
        if isinstance(self.class_weight, dict):
            unknown = [c for c in self.class_weight if c not in self.classes_.tolist()]
            if unknown:
                raise ValueError(
                    f"class_weight: there are no classes {unknown}; y has {self.classes_.tolist()}."
                )
            if not all(0 < weight < np.inf for weight in self.class_weight.values()):
                raise ValueError(
                    f"class_weight: weights must be positive numbers, got {self.class_weight}."
                )
        return compute_sample_weight(self.class_weight, self.classes_[target])

    def _stratify(self, target):
        return target

    @available_if(_takes_chunks)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: MatrixLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on these samples.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever come; needed in the first call unless `y` has them all.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "partial_fit does not take class_weight='balanced', which would change from call"
                " to call: pass a dict."
            )
        return self._partial_fit(X, y, sample_weight, classes)

    @staticmethod
    def _average(logits):
        """Logits of the mean of the probabilities of several networks, (n_networks, n, ...)."""
        return logits.log_softmax(2).logsumexp(0) - math.log(len(logits))

    def decision_function(self, X: MatrixLike) -> np.ndarray:
        """Logits.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            For two classes the logit of the second less that of the first.
        """
        logits = self._outputs(X).numpy()
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def predict_proba(self, X: MatrixLike) -> np.ndarray:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return torch.softmax(self._outputs(X), 1).numpy()

    def predict(self, X: MatrixLike) -> np.ndarray:
        """The most probable class.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        best = self._outputs(X).argmax(1).numpy()
        return self.classes_[best]


class RegressorPart(RegressorMixin, MultiOutputMixin):
    """What regressors add to the base."""

    _net_class = RegressorNet

    @property
    def _n_outputs(self):
        return self.n_outputs_

    def _encode_target(self, y, reset, classes=None):
        try:
            y = np.array(y, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"y must hold numbers: {error}") from error
        n_outputs = 1 if y.ndim == 1 else y.shape[1]
        if reset:
            self.n_outputs_ = n_outputs
            self._flat_target = y.ndim == 1
        elif n_outputs != self.n_outputs_:
            raise ValueError(f"y has {n_outputs} outputs; it had {self.n_outputs_} before.")
        return y.reshape(len(y), n_outputs)

    @available_if(_takes_chunks)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train for one epoch on these samples.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self
        """
        return self._partial_fit(X, y, sample_weight)

    @staticmethod
    def _average(outputs):
        """Mean of several networks."""
        return outputs.mean(0)

    def predict(self, X: MatrixLike) -> np.ndarray:
        """Predicted values.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        outputs = self._outputs(X).numpy()
        return outputs[:, 0] if self._flat_target else outputs
