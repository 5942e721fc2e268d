"""What all explainers share: the estimator in them, batches, columns, fit / explain / transform."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from numbers import Integral
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, _fit_context, clone
from sklearn.ensemble._base import _set_random_states
from sklearn.utils import Tags, _safe_indexing, check_random_state, get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import (
    _check_feature_names,
    _num_samples,
    check_is_fitted,
    validate_data,
)
from torch import Tensor, nn

from sknninterp._typing import MatrixLike, Seed, Target
from sknninterp.estimators._network import (
    Network,
    as_table,
    check_holds_network,
    find_network,
    is_fitted,
    known_table,
    single_networks,
)
from sknninterp.estimators.mlp import TorchMLPClassifier
from sknninterp.explainers._batches import Batch, Choice, Reading, Rows, pick_outputs
from sknninterp.explainers._completeness import warn_if_incomplete
from sknninterp.explainers._explanation_index import is_sequence
from sknninterp.explainers._inner_predictions import InnerPredictions
from sknninterp.explainers._many_networks import (
    explain_together,
    rank_each,
    transform_together,
)
from sknninterp.explainers._outputs import Outputs
from sknninterp.explainers.columns import (
    column_origins,
    original_feature_names,
    sum_to_original,
    transformed_feature_names,
)
from sknninterp.explainers.explanation import Explanation, aggregate_importances
from sknninterp.nn.gradients import run_logits
from sknninterp.nn.graph import Graph, evaluation

# A batch of contributions takes about this much where the user sets no batch size.
_BATCH_BYTES = 64 * 2**20


class BaseExplainer(InnerPredictions, TransformerMixin, BaseEstimator, ABC):
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

    def __init__(
        self,
        estimator: Any,
        columns: str,
        target: Target,
        batch_size: int | None,
        random_state: Seed,
        verbose: int,
    ):
        self.estimator = estimator
        self.columns = columns
        self.target = target
        self.batch_size = batch_size
        self.random_state = random_state
        self.verbose = verbose

    # -- what an explainer is --------------------------------------------------------------------

    @abstractmethod
    def _contributions(self, graph: Graph) -> Callable[[Tensor, Tensor | None], Tensor]:
        """A function `(inputs, outputs) -> contributions`, (n, *shape, n_outputs).

        `outputs` holds positions of outputs, (n, k), or (1, k) for all samples alike; None is all.
        """

    def _begin_fit(self, contributions) -> None:
        """Hook: the function is about to be called with all of fit's samples."""

    def _end_fit(self, contributions) -> None:
        """Hook: it has been."""

    def _base_values(self, graph: Graph) -> Tensor | None:
        """What the contributions to each logit add to, (n_outputs,), where they add up."""
        return None

    def _data(self, graph: Graph, inputs: Tensor, embedded: Tensor) -> Tensor:
        """What the contributions are contributions of."""
        return inputs

    @property
    def _is_signed(self) -> bool:
        """Whether the sign says for or against an output."""
        return True

    # -- fit -------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: MatrixLike, y: ArrayLike | None = None) -> Self:
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
        X = as_table(X)
        fitted = is_fitted(self._inner)
        return self._rank(self._inner if fitted else self._unfitted().fit(X, y), X)

    def _rank(self, estimator, X):
        """Rank the features of a fitted estimator over X."""
        self.estimator_ = estimator
        validate_data(self, X, skip_check_array=True)
        single = single_networks(estimator)
        first = find_network(single[0]).first
        if hasattr(self, "feature_names_in_") and hasattr(first, "feature_names_in_"):
            # A ColumnTransformer finds columns by name, and would take them in another order.
            _check_feature_names(first, X, reset=False)
        if len(single) > 1:
            rank_each(self, single, X)
            return self
        if hasattr(self, "explainers_"):  # of a fit with more networks
            del self.explainers_
        totals = 0.0
        for batch in self._batches(X, fitting=True):
            totals = totals + np.abs(batch.values).sum(0, dtype=np.float64)
        self._end_fit(batch.contributions)
        if not np.isfinite(totals).all():
            raise ValueError(f"{type(self).__name__}: the contributions are not finite.")
        reading, means = batch.reading, totals / _num_samples(X)
        *shape, n_outputs = means.shape
        shares = aggregate_importances(means.reshape(1, -1), has_outputs=False)
        shares = shares.reshape(-1, n_outputs)
        names = reading.feature_names
        self.importances_ = pd.DataFrame(
            shares,
            index=pd.MultiIndex.from_product(map(range, shape)) if names is None else names,
            columns=reading.outputs.names,
        )
        self.feature_importances_ = shares.sum(1).reshape(shape)
        self._outputs = reading.outputs
        self._feature_names_out = names
        self._sample_shape = tuple(X.shape[1:])
        self._input_shape = tuple(reading.graph.input.shape)
        self._transformed_output()  # an error now rather than in `transform`
        return self

    @property
    def _inner(self):
        return TorchMLPClassifier() if self.estimator is None else self.estimator

    def _unfitted(self):
        """A clone of the estimator, to be fitted."""
        check_holds_network(self._inner)
        inner = clone(self._inner)
        if self.random_state is not None:
            _set_random_states(inner, check_random_state(self.random_state))
        return inner

    # -- batches ---------------------------------------------------------------------------------

    def _batches(self, X, positions=slice(None), signs=1, fitting=False) -> Iterator[Batch]:
        """Contributions to outputs at some positions or to the "predicted", batch by batch."""
        network = self._network()
        reading: Any = None
        contributions: Any = None
        batch: Any = None

        def bytes_each(inputs):
            n_inputs = math.prod(reading.graph.input.shape)
            n_values = max(n_inputs * reading.outputs.n_outputs, batch.values[0].size)
            return n_values * inputs.element_size()

        for inputs in self._input_batches(X, bytes_each):
            embedded = network.embed(inputs)
            if reading is None:
                reading = self._reading(network, tuple(embedded.shape[1:]))
                contributions = self._contributions(reading.graph)
                if fitting:
                    self._begin_fit(contributions)
            batch = self._batch(reading, contributions, inputs, embedded, positions, signs)
            yield batch

    def _input_batches(self, X, bytes_each: Callable[[Tensor], int]) -> Iterator[Tensor]:
        """Inputs of the network for X; `bytes_each` says how much comes of each sample."""
        n_samples, network = _num_samples(X), self._network()
        # Until it is known what comes of a sample: as if each value of it became 16 numbers.
        guess = _BATCH_BYTES // (128 * max(1, math.prod(X.shape[1:])))
        start, size = 0, min(n_samples, self.batch_size or max(32, guess))
        with self._progress(n_samples) as progress:
            while start < n_samples:
                rows = _safe_indexing(X, slice(start, start + size))
                inputs = network.inputs(network.preprocess(rows))
                yield inputs
                start += size
                progress.update(len(inputs))
                if self.batch_size is None:
                    size = max(1, _BATCH_BYTES // bytes_each(inputs))

    def _progress(self, n_samples):
        from tqdm.auto import tqdm

        return tqdm(total=n_samples, unit="sample", disable=not self.verbose)

    def _network(self) -> Network:
        return find_network(self.estimator_)

    def _reading(self, network, shape) -> Reading:
        graph = network.read(shape)
        if len(graph.output.shape) > 1:
            raise ValueError(f"The network's output has the axes {graph.output.shape}, not one.")
        outputs = Outputs.of(network, math.prod(graph.output.shape))
        origins, names = self._columns(network, graph)
        return Reading(network, graph, origins, names, outputs)

    def _columns(self, network, graph):
        """Origins of the network's inputs in the columns of X, if they are summed, and names."""
        if len(graph.input.shape) > 1:
            return None, None
        names = getattr(self, "feature_names_in_", None)
        if names is None:
            names = original_feature_names(self.estimator_, self.n_features_in_)
        steps, own, origins = list(network.steps), network.embedding_origins, None
        if self.columns == "original":
            origins = column_origins(steps, self.n_features_in_, names)
        else:
            n_inputs = graph.input.shape[0] if own is None else own.shape[1]
            names = transformed_feature_names(steps, n_inputs, names)
        if own is not None:
            origins = own if origins is None else own @ origins
        return origins, names

    def _batch(self, reading, contributions, inputs, embedded, positions, signs) -> Batch:
        graph, predicted = reading.graph, None
        with evaluation(graph.module), torch.no_grad():
            if isinstance(positions, str):
                predicted = reading.network.predict(graph, embedded)
                n_outputs = reading.outputs.n_outputs
                choice = Choice.of_predicted(predicted, n_outputs, self._is_signed)
                predicted = predicted.cpu().numpy()
            else:
                choice = Choice.of_positions(positions, signs, inputs.device)
            values = choice.finish(contributions(embedded, choice.outputs))
            base, base_values, gaps = self._base_values(graph), None, None
            if base is not None:
                changes = run_logits(graph, embedded) - base
                base_values, explained = (
                    choice.finish(pick_outputs(of_all, choice.outputs))
                    for of_all in (base.expand(len(inputs), -1), changes)
                )
                gaps = values.sum(tuple(range(1, embedded.ndim)), dtype=float) - explained
            data = self._data(graph, inputs, embedded)
        if reading.origins is not None:
            values = sum_to_original(values, reading.origins)
        return Batch(values, base_values, gaps, data, predicted, reading, contributions)

    # -- explain ---------------------------------------------------------------------------------

    def explain(self, X: MatrixLike, target: Target = None) -> Explanation:
        """Contributions of every feature of every sample.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            One patient, a subgroup or the cohort: nothing is fitted again.
        target : None, "predicted", label or list of labels, default=None
            Outputs to explain: all, the predicted one of each sample, or those of these labels. Of
            a single logit, what is signed speaks for the second class and against the first.

        Returns
        -------
        Explanation
            `values` of shape (n_samples, n_features, n_outputs); a single target drops the last
            axis. Images keep their own axes in place of `n_features`. Of an estimator with several
            networks the mean of theirs, with its `spread`.

        Raises
        ------
        ValueError
            If X has other columns than in `fit`, or no output has such a label.

        Warns
        -----
        CompletenessWarning
            If contributions and base values, where there are any, miss the output by more than 5 %
            of what is to be explained.
        """
        X = self._known_table(X)
        if hasattr(self, "explainers_"):
            return explain_together(self, X, target)
        positions, signs, labels = self._outputs.choose(target, self._is_signed)
        as_given = self._explains_data
        values, base_values, gaps, data, predicted = (Rows(_num_samples(X)) for _ in range(5))
        for batch in self._batches(X, positions, signs):
            values.add(batch.values)
            base_values.add(batch.base_values)
            gaps.add(batch.gaps)
            predicted.add(batch.predicted)
            if not as_given:
                data.add(batch.data.cpu().numpy())
        explanation = Explanation(
            values.array,
            data=np.asarray(_dense(X)) if as_given else data.array,
            feature_names=self._feature_names_out,
            output_names=labels,
            base_values=base_values.array,
            gaps=gaps.array,
            sample_names=getattr(X, "index", None),
            method=self.method,
            signed=self._is_signed,
            target=None if predicted.array is None else self._outputs.labels[predicted.array],
        )
        warn_if_incomplete(explanation, stacklevel=2)
        return explanation

    @property
    def _explains_data(self) -> bool:
        """Whether X itself is explained, not what a pipeline or a network makes of it."""
        # A pipeline may make images of a table.
        return self.columns == "original" and self._sample_shape == self.feature_importances_.shape

    def explain_batches(
        self,
        X: MatrixLike | Iterator[MatrixLike],
        target: Target = None,
        batch_size: int | None = 10_000,
    ) -> Iterator[Explanation]:
        """Explanations of one batch of samples after another, for more than fit into memory.

        Parameters
        ----------
        X : array-like, DataFrame, or iterator of these
            As :meth:`explain` takes it, or an iterator of such parts, as
            `pandas.read_csv(..., chunksize=10_000)` gives it.
        target : None, "predicted", label or list of labels, default=None
            As for :meth:`explain`.
        batch_size : int, default=10_000
            Samples of each explanation; an iterator's parts stay as they are.

        Yields
        ------
        Explanation
        """
        check_is_fitted(self, "feature_importances_")
        if isinstance(X, Iterator):
            parts = X
        else:
            if not isinstance(batch_size, Integral) or batch_size < 1:
                raise ValueError(f"batch_size={batch_size!r} must be an integer of at least 1.")
            X = self._known_table(X)
            starts = range(0, _num_samples(X), batch_size)
            parts = (_safe_indexing(X, slice(start, start + batch_size)) for start in starts)
        for part in parts:
            yield self.explain(part, target)

    def _known_table(self, X):
        """X with the columns seen in `fit`."""
        check_is_fitted(self, "feature_importances_")
        return known_table(self, X)

    def transform(self, X: MatrixLike) -> np.ndarray:
        """Contributions as a matrix, so that samples can be clustered by their explanations.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            Contributions to the output that the parameter `target` names.
        """
        X = self._known_table(X)
        if hasattr(self, "explainers_"):
            return transform_together(self, X)
        values = Rows(_num_samples(X))
        for batch in self._batches(X, *self._transformed_output()):
            values.add(batch.values)
        return values.array.reshape(len(values.array), -1)

    def _transformed_output(self):
        """Position and sign of the output that `transform` gives."""
        if is_sequence(self.target):
            raise ValueError(f"target={self.target!r}: `transform` gives one output, not a list.")
        if self.target is not None:
            return self._outputs.choose(self.target, self._is_signed)[:2]
        several = self._outputs.n_outputs > 2 and self._outputs.predicts
        classifies = isinstance(self._network().predictor, ClassifierMixin)
        return ("predicted" if several and classifies else self._outputs.n_outputs - 1), 1

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
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

    def __sklearn_tags__(self) -> Tags:
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


def _dense(X):
    return X.toarray() if hasattr(X, "toarray") else X
