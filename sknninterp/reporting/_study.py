"""What a page is about: an estimator, its explainer, and the rows that are looked at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from sknninterp.estimators._network import Network, find_network, single_networks
from sknninterp.evaluation._outputs import all_outputs


@dataclass(frozen=True)
class Study:
    """An estimator, its explainer, and the rows that are scored, ranked and explained.

    Parameters
    ----------
    estimator : estimator, pipeline, search, skorch net or torch module
        Fitted.
    explainer : explainer
        Fitted on `X`.
    X : array-like or DataFrame of shape (n_samples, ...)
    y : ndarray of shape (n_samples,) or None
    X_train : array-like or DataFrame of shape (n_training_samples, ...) or None
        The rows that the estimator was fitted on; None where that is not known.
    y_train : ndarray of shape (n_training_samples,) or None
    target : str
        Name of what is predicted.
    class_names : sequence of str or None
        Names of the classes, in the order of the labels, for people; None takes the labels.
    seed : int, default=0
        Of everything that is drawn.

    Raises
    ------
    ValueError
        If there is more than one output that is no class.
    """

    estimator: Any
    explainer: Any
    X: Any
    y: np.ndarray | None
    X_train: Any = None
    y_train: np.ndarray | None = None
    target: str = "y"
    class_names: tuple[str, ...] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.is_class and self.outputs.shape[1] > 1:
            raise ValueError(
                f"A report is about one quantity or about classes; the estimator puts out"
                f" {self.outputs.shape[1]} quantities."
            )

    @cached_property
    def _predictions(self):
        return all_outputs(self.estimator, self.X)

    @property
    def outputs(self) -> np.ndarray:
        """Probabilities of the classes, or predicted values, (n_samples, n_outputs)."""
        return self._predictions[0]

    @property
    def labels(self) -> np.ndarray:
        """Labels of the outputs."""
        return self._predictions[1]

    @property
    def is_class(self) -> bool:
        """Whether classes are predicted."""
        return self._predictions[2]

    @property
    def task(self) -> str:
        """Either "binary", "multiclass" or "regression"."""
        if not self.is_class:
            return "regression"
        return "binary" if len(self.labels) == 2 else "multiclass"

    @cached_property
    def names(self) -> list[str]:
        """Names of the classes for people."""
        return [*map(str, self.labels if self.class_names is None else self.class_names)]

    @cached_property
    def networks(self) -> list:
        """The same estimator with each of its networks alone."""
        return single_networks(self.estimator)

    @cached_property
    def network(self) -> Network:
        """The (first) network."""
        return find_network(self.networks[0])

    @property
    def holder(self) -> Any:
        """The estimator that its user has set up, inside pipelines, searches and the like."""
        found = self.estimator
        while True:
            inner = getattr(found, "best_estimator_", getattr(found, "regressor_", None))
            if inner is None and isinstance(found, Pipeline):
                inner = found.steps[-1][1]
            if inner is None and isinstance(found, FrozenEstimator):
                inner = found.estimator
            if inner is None:
                return found
            found = inner

    @cached_property
    def first_explainer(self) -> Any:
        """The explainer of the first network, where several are explained."""
        explainer = getattr(self.explainer, "explainers_", [self.explainer])[0]
        return self.explainer if not hasattr(explainer, "explain") else explainer

    @property
    def first_network(self) -> Any:
        """The estimator that the first explainer explains, which may be a repeat's own."""
        return getattr(self.first_explainer, "estimator_", self.networks[0])

    def codes(self, y: Any) -> np.ndarray:
        """Positions of classes among the labels; quantities as they are.

        Raises
        ------
        ValueError
            If there is a class that the estimator does not know.
        """
        y = np.asarray(y)
        if not self.is_class:
            return y.astype(float)
        places = {label: place for place, label in enumerate(self.labels.tolist())}
        unknown = [label for label in np.unique(y).tolist() if label not in places]
        if unknown:
            raise ValueError(
                f"y holds {unknown[0]!r}, which is none of the estimator's classes:"
                f" {self.labels.tolist()}."
            )
        return np.array([places[label] for label in y.tolist()], dtype=int)

    def drawn(self, most: int) -> np.ndarray:
        """Positions of at most so many rows of X, drawn at random, in order."""
        rows = np.random.default_rng(self.seed).permutation(_num_samples(self.X))[:most]
        return np.sort(rows)

    def rows(self, positions: np.ndarray) -> Any:
        """Rows of X at some positions."""
        return _safe_indexing(self.X, positions)
