"""Samples with labels and weights, and fitting clones of an estimator on some of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.ensemble._base import _set_random_states
from sklearn.model_selection import check_cv, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import has_fit_parameter
from torch import nn

from sknninterp._typing import Seed
from sknninterp.estimators._device import draw_seed
from sknninterp.estimators._network import is_fitted, is_search
from sknninterp.nn.random_state import all_gpus

Fold = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Samples:
    """Samples with labels and weights.

    Attributes
    ----------
    X : array-like or DataFrame of shape (n_samples, ...)
    y : ndarray of shape (n_samples,)
    weight : ndarray of shape (n_samples,) or None
    """

    X: object
    y: np.ndarray
    weight: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> Samples:
        """The samples in these rows."""
        weight = None if self.weight is None else self.weight[rows]
        return Samples(_safe_indexing(self.X, rows), self.y[rows], weight)

    @property
    def used(self) -> Samples:
        """The samples whose weight is not 0."""
        rows = self.weighty
        return self if len(rows) == len(self.y) else self.take(rows)

    @property
    def weighty(self) -> np.ndarray:
        """Rows of the samples whose weight is not 0."""
        return np.arange(len(self.y)) if self.weight is None else np.flatnonzero(self.weight)


# --- splitting ----------------------------------------------------------------------------------


def is_share(cv: Any) -> bool:
    """Whether `cv` is a share of the samples to hold out."""
    return isinstance(cv, Real) and not isinstance(cv, Integral)


def choose_folds(
    cv: Any, estimator: Any, samples: Samples, random_state: np.random.RandomState
) -> list[Fold]:
    """Rows to fit an estimator on and rows that it then sees for the first time.

    Samples of weight 0 are in none, and change none.

    Parameters
    ----------
    cv : float, int, splitter, iterable of splits or None
        None is no folds, a float one that holds this share out, stratified.
    estimator : object
        What is to be fitted on the folds.
    samples : Samples
    random_state : RandomState

    Returns
    -------
    list of (ndarray of int, ndarray of int)

    Raises
    ------
    ValueError
        If the estimator cannot be fitted on folds, or they have too few samples of a class.
    """
    if cv is None:
        return []
    _check_refits(cv, estimator)
    rows = samples.weighty
    y = samples.y[rows]
    if is_share(cv):
        folds = [_stratified(cv, y, draw_seed(random_state))]
    elif isinstance(cv, Integral) or hasattr(cv, "split"):
        _check_counts(cv, y)
        folds = check_cv(cv, y, classifier=True).split(np.zeros((len(y), 1)), y)
    else:
        # Splits that are given count all rows.
        folds = [[part[np.isin(part, rows)] for part in fold] for fold in given_folds(cv)]
        rows = np.arange(len(samples.y))
    folds = [(rows[train], rows[test]) for train, test in folds]
    _check_folds(samples.y, np.unique(y), folds)
    return folds


def given_folds(folds: Iterable) -> list[Fold]:
    """Splits of a `cv`, as pairs of arrays of positions.

    Parameters
    ----------
    folds : iterable

    Raises
    ------
    ValueError
        If they are no such pairs.
    """
    try:
        pairs = [(np.asarray(train), np.asarray(test)) for train, test in folds]
    except TypeError as error:
        raise ValueError(f"cv must hold pairs of training and test positions: {error}.") from error
    return pairs


def _check_counts(cv, y) -> None:
    classes, counts = np.unique(y, return_counts=True)
    if isinstance(cv, Integral) and counts.min() < cv:
        rarest = classes.tolist()[counts.argmin()]
        raise ValueError(
            f"cv={cv}: class {rarest!r} has {counts.min()} samples, too few for {cv} folds."
        )


def _check_folds(y, classes, folds: list[Fold]) -> None:
    if not folds:
        raise ValueError("cv gives no splits.")
    seen = np.concatenate([test for _, test in folds])
    for rows, least in [*((train, 1) for train, _ in folds), (seen, 2)]:
        few = [label for label in classes.tolist() if np.sum(y[rows] == label) < least]
        if few:
            raise ValueError(
                f"cv: too few samples of class {few[0]!r}. Every fold needs one to fit on,"
                " and all together two to read."
            )


def _stratified(share: float, y: np.ndarray, seed: int) -> Fold:
    try:
        train, test = train_test_split(
            np.arange(len(y)), test_size=share, stratify=y, random_state=seed
        )
    except ValueError as error:
        raise ValueError(f"cv={share}: {error}") from error
    return train, test


def _check_refits(cv, estimator) -> None:
    if not is_fitted(estimator):
        return
    if is_share(cv):
        raise ValueError(
            f"cv={cv} holds samples out of the estimator's training, but it is fitted already. Use"
            " cv=None with samples that it has not seen, or hand over an unfitted one."
        )
    if isinstance(estimator, nn.Module) or is_fitted(clone(estimator)):
        raise ValueError(
            f"cv={cv!r} fits the estimator on folds, but {type(estimator).__name__} cannot be"
            " fitted anew. Use cv=None with samples that it has not seen."
        )


# --- resampling -------------------------------------------------------------------------------


def draw_rows(
    resampling: str,
    share: float,
    n_samples: int,
    labels: ArrayLike | None,
    random_state: np.random.RandomState,
) -> np.ndarray:
    """Rows of a resample, in their order.

    Parameters
    ----------
    resampling : {"bootstrap", "subsample"}
        As many as there are, with replacement, or a share of them, without.
    share : float
        Of a subsample.
    n_samples : int
    labels : array-like of shape (n_samples,) or None
        Classes to draw from one by one: each keeps its size, or its share of at least one sample.
    random_state : RandomState

    Returns
    -------
    ndarray of int
    """
    classes = np.zeros(n_samples, int)
    if labels is not None:
        classes = np.unique(np.asarray(labels), return_inverse=True)[1].ravel()
    ends = np.cumsum(np.bincount(classes))[:-1]
    drawn = []
    for rows in np.split(np.argsort(classes, kind="stable"), ends):
        again = resampling == "bootstrap"
        size = len(rows) if again else max(1, round(share * len(rows)))
        drawn.append(random_state.choice(rows, size, replace=again))
    return np.sort(np.concatenate(drawn))


# --- fitting ------------------------------------------------------------------------------------


def seeded_clone(
    estimator: Any, random_state: Seed, generator: np.random.RandomState
) -> tuple[Any, int | None]:
    """A clone to be fitted, and a seed for torch meanwhile.

    Parameters
    ----------
    estimator : object
    random_state : int, RandomState instance or None
        The user's; None leaves the clone's own and torch's as they are.
    generator : RandomState
        What random numbers are drawn from.

    Returns
    -------
    clone : object
    seed : int or None
    """
    found = clone(estimator)
    if random_state is None:
        return found, None
    _set_random_states(found, generator)
    return found, draw_seed(generator)


def fit_samples(estimator: Any, seed: int | None, samples: Samples) -> Any:
    """Fit an estimator in place, with torch's random numbers from a seed if there is one.

    Parameters
    ----------
    estimator : object
    seed : int or None
    samples : Samples

    Returns
    -------
    estimator

    Raises
    ------
    ValueError
        If there are weights that its `fit` does not take.
    """
    weights = {}
    if samples.weight is not None:
        name = weight_parameter(estimator)
        if name is None:
            raise ValueError(
                f"sample_weight: {type(estimator).__name__} cannot be fitted with weights. Fit it"
                " without, and hand over the fitted one."
            )
        weights[name] = samples.weight
    if seed is None or _seeds_itself(estimator):
        return estimator.fit(samples.X, samples.y, **weights)
    with torch.random.fork_rng(devices=all_gpus()):
        torch.manual_seed(seed)
        return estimator.fit(samples.X, samples.y, **weights)


def _seeds_itself(estimator) -> bool:
    """Whether all in it draw random numbers after their own `random_state`, not as torch would."""
    parts = [estimator, *getattr(estimator, "get_params", dict)().values()]
    kinds = [type(part).__module__ for part in parts if hasattr(part, "fit")]
    return all(kind.split(".")[0] in ("sknninterp", "sklearn") for kind in kinds)


def weight_parameter(estimator: Any) -> str | None:
    """Name by which `fit` takes the samples' weights, through pipelines and searches; or None."""
    if isinstance(estimator, Pipeline):
        step, last = estimator.steps[-1]
        name = weight_parameter(last)
        return None if name is None else f"{step}__{name}"
    if is_search(estimator):
        return weight_parameter(estimator.estimator)
    return "sample_weight" if has_fit_parameter(estimator, "sample_weight") else None
