"""What all explainers share: the estimator in them, batches, columns, fit / explain / transform."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context, clone, is_regressor
from sklearn.ensemble._base import _set_random_states
from sklearn.utils import _safe_indexing, check_array, check_random_state, get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _num_samples, check_is_fitted, validate_data
from torch import Tensor, nn

from sknninterp.estimators.mlp import TorchMLPClassifier
from sknninterp.explainers._network import Network, find_network, is_fitted
from sknninterp.explainers.columns import (
    column_origins,
    original_feature_names,
    sum_to_original,
    transformed_feature_names,
)
from sknninterp.explainers.explanation import Explanation
from sknninterp.nn.graph import Graph, evaluation

# A batch of contributions takes about this much where the user sets no batch size.
_BATCH_BYTES = 64 * 2**20


def _inner_has(method: str):
    """Whether the estimator inside has a method, as `available_if` asks."""

    def check(self):
        inner = getattr(self, "estimator_", None) or self._inner
        return hasattr(inner, method)

    return check


@dataclass
class _Reading:
    """A network read for samples of one shape, with its columns."""

    network: Network
    graph: Graph
    origins: object | None  # sparse (n_transformed, n_original), or None to keep columns apart
    feature_names: np.ndarray | None  # None for images

    @cached_property
    def output_names(self) -> np.ndarray:
        return self.network.output_names(self.graph.output.shape[0])


class BaseExplainer(TransformerMixin, BaseEstimator, ABC):
    """Base of the explainers: an estimator, its contributions, and every face of them."""

    _parameter_constraints: dict = {
        "estimator": [HasMethods("fit"), nn.Module, None],
        "columns": [StrOptions({"original", "transformed"})],
        "target": "no_validation",
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    #: Short name for plots and tables.
    method: str

    def __init__(self, estimator, columns, target, batch_size, random_state, verbose):
        self.estimator = estimator
        self.columns = columns
        self.target = target
        self.batch_size = batch_size
        self.random_state = random_state
        self.verbose = verbose

    # -- what an explainer is --------------------------------------------------------------------

    @abstractmethod
    def _contributions(self, graph: Graph) -> Callable[[Tensor], Tensor]:
        """A function of inputs (n, *shape) that gives contributions (n, *shape, n_outputs)."""

    @property
    def _is_signed(self) -> bool:
        """Whether the sign says for or against an output."""
        return True

    # -- fit -------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None):
        """Fit the estimator unless it is fitted, and rank the features over X.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            The cohort, as the estimator takes it.
        y : array-like of shape (n_samples,), default=None
            Needed if the estimator is still to be fitted.

        Returns
        -------
        self
        """
        X = _as_table(X)
        self.estimator_ = self._inner if is_fitted(self._inner) else self._fit_inner(X, y)
        validate_data(self, X, skip_check_array=True)
        totals, n_samples, reading = 0.0, 0, None
        for batch in self._batches(X):
            totals = totals + np.abs(batch.values).sum(0, dtype=np.float64)
            n_samples += len(batch.values)
            reading = batch.reading
        shape = totals.shape[:-1]
        means = totals.reshape(-1, totals.shape[-1]) / n_samples
        total = means.sum()
        if not np.isfinite(total):
            raise ValueError(f"{type(self).__name__}: the contributions are not finite.")
        shares = means / total if total > 0 else means
        names = reading.feature_names
        index = pd.MultiIndex.from_product(map(range, shape)) if names is None else names
        self.importances_ = pd.DataFrame(shares, index=index, columns=reading.output_names)
        self.feature_importances_ = shares.sum(1).reshape(shape)
        self._feature_names_out = names
        self._input_shape = tuple(reading.graph.input.shape)
        return self

    @property
    def _inner(self):
        return TorchMLPClassifier() if self.estimator is None else self.estimator

    def _fit_inner(self, X, y):
        inner = clone(self._inner)
        if self.random_state is not None:
            _set_random_states(inner, check_random_state(self.random_state))
        return inner.fit(X, y)

    # -- batches ---------------------------------------------------------------------------------

    def _batches(self, X, output: int | slice | str = slice(None)) -> Iterator[_Batch]:
        """Contributions to all outputs, to some positions, or "predicted", batch by batch."""
        n_samples = _num_samples(X)
        reading = contributions = None
        start, size = 0, min(n_samples, self.batch_size or 32)
        progress = self._progress(n_samples)
        while start < n_samples:
            rows = _safe_indexing(X, slice(start, start + size))
            prepared = self._network.preprocess(rows)
            inputs = self._network.to_tensor(prepared)
            if reading is None:
                reading = self._reading(inputs.shape[1:])
                contributions = self._contributions(reading.graph)
            yield self._batch(reading, contributions, inputs, prepared, output)
            start += len(inputs)
            progress.update(len(inputs))
            if self.batch_size is None:
                n_values = inputs[0].numel() * len(reading.output_names)
                size = max(1, _BATCH_BYTES // (n_values * inputs.element_size()))
        progress.close()

    def _progress(self, n_samples):
        from tqdm.auto import tqdm

        return tqdm(total=n_samples, unit="sample", disable=not self.verbose)

    @property
    def _network(self) -> Network:
        return find_network(self.estimator_)

    def _reading(self, shape) -> _Reading:
        network = self._network
        graph = network.read(shape)
        if len(graph.output.shape) != 1:
            raise ValueError(f"The network's outputs have shape {graph.output.shape}, not one axis.")
        if len(shape) > 1:
            return _Reading(network, graph, None, None)
        n_in = self.n_features_in_ if network.steps else shape[0]
        names = getattr(self, "feature_names_in_", None)
        if names is None:
            names = original_feature_names(self.estimator_, n_in)
        steps = list(network.steps)
        if self.columns == "transformed":
            return _Reading(network, graph, None, transformed_feature_names(steps, shape[0], names))
        return _Reading(network, graph, column_origins(steps, n_in, names), names)

    def _batch(self, reading, contributions, inputs, prepared, output) -> _Batch:
        with evaluation(reading.graph.module), torch.no_grad():
            values = contributions(inputs)
            predicted = None
            if isinstance(output, str):
                logits = reading.graph.run(inputs)[reading.graph.output]
                predicted = _predicted(logits)
                values = _pick(values, predicted, self._is_signed)
            else:
                values = values[..., output]
        values = values.cpu().numpy()
        if reading.origins is not None:
            values = sum_to_original(values, reading.origins)
        predicted = None if predicted is None else predicted.cpu().numpy()
        return _Batch(values, prepared, reading, predicted)

    # -- explain ---------------------------------------------------------------------------------

    def explain(self, X, target=None):
        """Contributions of every feature of every sample.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            One patient, a subgroup or the cohort: nothing is fitted again.
        target : None, "predicted", label or list of labels, default=None
            Outputs to explain: all, the predicted one of each sample, or those of these labels.

        Returns
        -------
        Explanation
            `values` of shape (n_samples, n_features, n_outputs); a single target drops the last
            axis. Images keep their own axes in place of `n_features`.

        Raises
        ------
        ValueError
            If X has other columns than in `fit`, or no output has such a label.
        """
        X = self._known_table(X)
        n_samples, values, prepared, predicted, start = _num_samples(X), None, [], [], 0
        positions, sign, names = self._positions(target)
        for batch in self._batches(X, positions):
            if values is None:  # the result is filled in place: one batch is held beside it
                values = np.empty((n_samples, *batch.values.shape[1:]), batch.values.dtype)
            values[start : start + len(batch.values)] = batch.values
            start += len(batch.values)
            if self.columns == "transformed":
                prepared.append(_dense(batch.prepared))
            if batch.predicted is not None:
                predicted.append(batch.predicted)
        labels = self._labels_of(np.concatenate(predicted)) if predicted else None
        return Explanation(
            values if sign == 1 else np.negative(values, out=values),
            data=np.concatenate(prepared) if prepared else np.asarray(_dense(X)),
            feature_names=batch.reading.feature_names,
            output_names=names,
            sample_names=getattr(X, "index", None),
            method=self.method,
            signed=self._is_signed,
            target=labels,
        )

    def _known_table(self, X):
        """X with the columns seen in `fit`."""
        check_is_fitted(self, "feature_importances_")
        X = _as_table(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        return X

    def _positions(self, target):
        """Positions of the outputs asked for, the sign they are taken with, and their labels."""
        labels = self.importances_.columns.tolist()
        if target is None:
            return slice(None), 1, labels
        if isinstance(target, str) and target == "predicted" and target not in labels:
            if is_regressor(self.estimator_):
                raise ValueError("target='predicted' asks for a class; this is a regressor.")
            return "predicted", 1, None
        if isinstance(target, (list, tuple, np.ndarray)):
            return [self._position(t, labels) for t in target], 1, list(target)
        classes = self._network.classes
        if classes is not None and len(labels) == 1 < len(classes) and target == classes[0]:
            # A single logit: what speaks for the first class speaks against the second.
            return 0, -1 if self._is_signed else 1, target
        return self._position(target, labels), 1, target

    def _position(self, target, labels):
        if target not in labels:
            raise ValueError(
                f"target={target!r} is not an output of this network; there are {labels}, None for"
                " all and 'predicted'."
            )
        return labels.index(target)

    def _labels_of(self, predicted: np.ndarray) -> np.ndarray:
        classes = self._network.classes
        return predicted if classes is None else np.asarray(classes)[predicted]

    def transform(self, X):
        """Contributions as a matrix, so that samples can be clustered by their explanations.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            Contributions to the output that the parameter `target` names.
        """
        check_is_fitted(self, "feature_importances_")
        labels = self.importances_.columns
        target = self.target
        if target is None:
            several = len(labels) > 2 and self._network.classes is not None
            target = "predicted" if several else labels[-1]
        explanation = self.explain(X, target)
        return explanation.values.reshape(len(explanation.values), -1)

    def get_feature_names_out(self, input_features=None):
        """Names of the columns of `transform`.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Checked against the names seen in `fit`; they are known from there.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self, "feature_importances_")
        names = self._feature_names_out
        if names is None:
            return np.array([f"x{i}" for i in range(self.feature_importances_.size)], dtype=object)
        if input_features is not None and self.columns == "original":
            input_features = np.asarray(input_features, dtype=object)
            known = getattr(self, "feature_names_in_", None)
            if known is not None and not np.array_equal(known, input_features):
                raise ValueError("input_features is not equal to feature_names_in_")
            if len(input_features) != len(names):
                raise ValueError(
                    "input_features should have length equal to number of features"
                    f" ({len(names)}), got {len(input_features)}"
                )
            return input_features
        return np.asarray(names, dtype=object)

    # -- the estimator inside --------------------------------------------------------------------

    @available_if(_inner_has("predict"))
    def predict(self, X):
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
    def predict_proba(self, X):
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
    def decision_function(self, X):
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
    def score(self, X, y, **params):
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
        return self.estimator_.score(self._known_table(X), y, **params)

    @property
    def classes_(self):
        """Labels of a classifier."""
        return self.estimator_.classes_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = self._inner
        if isinstance(inner, BaseEstimator):
            of_inner = get_tags(inner)
            tags.estimator_type = of_inner.estimator_type
            tags.classifier_tags = of_inner.classifier_tags
            tags.regressor_tags = of_inner.regressor_tags
            tags.target_tags = of_inner.target_tags
            tags.input_tags = of_inner.input_tags
        tags.transformer_tags.preserves_dtype = []
        return tags


@dataclass
class _Batch:
    """Contributions of some samples."""

    values: np.ndarray
    prepared: object
    reading: _Reading
    predicted: np.ndarray | None


def _as_table(X):
    """X in a form that rows can be taken from; frames and what they hold stay as they are."""
    if hasattr(X, "columns"):
        return X
    return check_array(X, accept_sparse="csr", dtype=None, ensure_all_finite=False, allow_nd=True)


def _dense(X):
    return X.toarray() if hasattr(X, "toarray") else X


def _predicted(logits: Tensor) -> Tensor:
    """Position of the predicted class; of a single logit, 0 or 1."""
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)


def _pick(values: Tensor, predicted: Tensor, signed: bool) -> Tensor:
    """Contributions to each sample's predicted output, (n, *shape)."""
    shape = (-1, *[1] * (values.ndim - 1))
    if values.shape[-1] == 1:
        sign = (2 * predicted - 1).reshape(shape) if signed else 1
        return (values * sign)[..., 0]
    index = predicted.reshape(shape).expand(*values.shape[:-1], 1)
    return values.gather(-1, index)[..., 0]
