"""From an explanation, in whatever form it comes, to the order in which features are removed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.feature_selection._base import _get_feature_importances

from sknninterp._typing import MatrixLike
from sknninterp.evaluation._checks import as_numbers, check_choice
from sknninterp.evaluation._outputs import ExplainedOutput
from sknninterp.explainers.explanation import Explanation

RANK_BY = ("auto", "value", "magnitude")


def as_explanation(explanation: Any, X: MatrixLike, target: Any = None) -> Any:
    """An Explanation or an array, from these, an explainer or an estimator with importances."""
    if isinstance(explanation, Explanation):
        return explanation
    if hasattr(explanation, "explain"):
        one_label = np.ndim(target) == 0 and not _asks_predicted(target)
        return explanation.explain(X, target if one_label else None)
    if hasattr(explanation, "fit"):
        return _get_feature_importances(explanation, "auto", transform_func="norm", norm_order=1)
    if isinstance(explanation, pd.Series | pd.DataFrame):
        return _in_order_of(explanation, X)
    return as_numbers("explanation", explanation)


def own_target(explanation: Any, target: Any) -> Any:
    """The target that an explanation is about, as far as it says so, or else the given one.

    Raises
    ------
    ValueError
        If another one is given.
    """
    if not isinstance(explanation, Explanation) or explanation.has_outputs:
        return target
    each = isinstance(explanation.target, np.ndarray)
    own = explanation.target if each else explanation.output_names
    if own is None or (isinstance(own, str) and own == "predicted"):
        return target
    if _asks_predicted(target) and (each or target is None):
        return own
    if not np.array_equal(own, target):
        raise ValueError(f"target={target!r}: the explanation is about another output, {own!r}.")
    return own


def _asks_predicted(target) -> bool:
    return target is None or (isinstance(target, str) and target == "predicted")


def attributions(explanation: Any, X: Any, output: ExplainedOutput) -> np.ndarray:
    """Attributions to the explained output.

    Parameters
    ----------
    explanation : Explanation or ndarray
        Of shape (n_samples, ...), (n_samples, ..., n_outputs), or (...) for all samples alike.
    X : ndarray or DataFrame of shape (n_samples, ...)
    output : ExplainedOutput

    Returns
    -------
    ndarray of shape (n_samples, n_features) or (1, n_features)

    Raises
    ------
    ValueError
        If the shapes do not fit or values are not finite.
    """
    values = np.asarray(explanation, dtype=float)
    shape, n_known = tuple(X.shape), len(output.known)
    if isinstance(explanation, Explanation):
        _check_names(explanation, X)
        has_outputs = explanation.has_outputs
        labels = explanation.output_names
        signed, fits = explanation.signed, values.shape[: len(shape)] == shape
    else:
        has_outputs, signed, labels = values.shape == (*shape, n_known), True, output.known
        fits = has_outputs or values.shape in (shape, shape[1:])
    if not fits:
        raise ValueError(
            f"explanation has the shape {values.shape}; X has {shape}. Features are the columns"
            " of X: explain a pipeline with columns='original'."
        )
    if not np.isfinite(values).all():
        raise ValueError("explanation holds NaN or infinite numbers.")
    if has_outputs:
        values = _of_labels(values, labels.tolist(), signed, output)
    return values.reshape(-1, math.prod(shape[1:]))


def _of_labels(values, labels, signed, output: ExplainedOutput) -> np.ndarray:
    """Of each sample the attributions to the output that is explained of it."""
    missing = set(output.labels.tolist()).difference(labels)
    single = output.is_class and len(output.known) == 2 and len(labels) == 1
    if missing and not single:
        raise ValueError(f"explanation has no output {missing.pop()!r}; it has {labels}.")
    if single:
        # A single logit: what speaks for the second class speaks against the first.
        signs = np.where((output.labels == labels[0]) | (not signed), 1, -1)
        return values[..., 0] * signs.reshape(-1, *[1] * (values.ndim - 2))
    places = [labels.index(label) for label in output.labels.tolist()]
    return values[np.arange(len(values)), ..., places]


def ranking_scores(
    explanation: Any,
    X: MatrixLike,
    output: ExplainedOutput,
    rank_by: str = "auto",
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """What features, or groups of them, are ranked by: (n_samples or 1, n_groups).

    Parameters
    ----------
    explanation, X, output
        As :func:`attributions` takes them.
    rank_by : {"auto", "value", "magnitude"}, default="auto"
        "auto" is by magnitude where an Explanation says that signs mean nothing.
    groups : ndarray of int of shape (n_features,), default=None
        Group of each feature, whose attributions are summed.
    """
    check_choice("rank_by", rank_by, RANK_BY)
    values = attributions(explanation, X, output)
    if groups is not None:
        sums = np.zeros((len(values), groups.max() + 1))
        np.add.at(sums.T, groups, values.T)
        values = sums
    unsigned = isinstance(explanation, Explanation) and not explanation.signed
    by_magnitude = rank_by == "magnitude" or (rank_by == "auto" and unsigned)
    return np.abs(values) if by_magnitude else values


def checked_groups(groups: ArrayLike | None, shape: tuple[int, ...]) -> np.ndarray:
    """Group of each feature, numbered from 0: of images one for each pixel, by default.

    Parameters
    ----------
    groups : array-like of shape (n_features,) or of one sample's shape, or None
    shape : tuple of int
        Shape of a sample.
    """
    n_features = math.prod(shape)
    if groups is None:
        n_pixels = math.prod(shape[1:])
        # The channels of a pixel go together.
        return np.arange(n_features) % n_pixels if len(shape) == 3 else np.arange(n_features)
    groups = np.asarray(groups)
    if groups.shape not in (tuple(shape), (n_features,)):
        raise ValueError(f"groups must have the shape {tuple(shape)}, got {groups.shape}.")
    return np.unique(groups.ravel(), return_inverse=True)[1].ravel()


def ranks_of(scores: np.ndarray, random_state: np.random.RandomState, n_samples: int) -> np.ndarray:
    """Place of each feature from 0, the highest score first, ties in random order.

    Parameters
    ----------
    scores : ndarray of shape (n_samples or 1, n_features)
    random_state : RandomState
    n_samples : int

    Returns
    -------
    ndarray of int, shape (n_samples, n_features)
    """
    order = np.lexsort((random_state.uniform(size=scores.shape), -scores), axis=1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(order.shape[1])[None], axis=1)
    return np.broadcast_to(ranks, (n_samples, ranks.shape[1]))


def random_ranks(shape: tuple[int, int], random_state: np.random.RandomState) -> np.ndarray:
    """A random order for each sample, in the form of :func:`ranks_of`."""
    return random_state.uniform(size=shape).argsort(axis=1)


def _in_order_of(explanation, X) -> np.ndarray:
    """A named ranking or table in the order of the columns of X."""
    names = list(explanation.axes[-1])
    columns = list(getattr(X, "columns", names))
    if names != columns and set(names) == set(columns) and len(names) == len(columns):
        explanation = explanation[columns]
    return explanation.to_numpy(dtype=float)


def _check_names(explanation: Explanation, X) -> None:
    if explanation.is_image or not hasattr(X, "columns"):
        return
    names, columns = explanation.feature_names.tolist(), list(X.columns)
    if names != columns and set(names) == set(columns):
        raise ValueError("explanation has the columns of X in another order.")
