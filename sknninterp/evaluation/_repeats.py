"""Fitting one explainer again and again: on which samples, with which seed, and what it found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples
from torch import nn

from sknninterp._typing import MatrixLike, Names
from sknninterp.estimators._device import single_threaded
from sknninterp.estimators._folds import Samples, draw_rows, fit_samples, seeded_clone
from sknninterp.estimators._stacked_fit import can_be_stacked, fit_stacked
from sknninterp.evaluation._refits import own_importances
from sknninterp.explainers._base import BaseExplainer
from sknninterp.explainers.explanation import aggregate_importances

# What an estimator calls the one inside it.
_INNER = ("explainer", "estimator", "regressor", "classifier")


# --- what can be fitted again -------------------------------------------------------------------


def check_refits(explainer: Any) -> None:
    """Raise a ValueError that names what in an explainer cannot be fitted again.

    Parameters
    ----------
    explainer : object
        An explainer or estimator, with what else is in it.
    """
    for path, part in _chain(explainer):
        if isinstance(part, FrozenEstimator | nn.Module):
            kind = type(part).__name__
            hint = (
                "wrap it, as in TorchMLPClassifier(module=...), which trains a copy of it each time"
                if isinstance(part, nn.Module)
                else "hand over the estimator that is frozen in it"
            )
            raise ValueError(f"{path} is a {kind}, which cannot be fitted again: {hint}.")


def _chain(part, path: str = "explainer") -> Iterator[tuple[str, object]]:
    """An estimator, the one inside it, and so on, with where each is found."""
    yield path, part
    if isinstance(part, Pipeline):
        yield from _chain(part.steps[-1][1], f"{path}.steps[-1][1]")
        return
    for name in _INNER:
        inner = getattr(part, name, None)
        if inner is not None:
            yield from _chain(inner, f"{path}.{name}")
            return


# --- one repeat ---------------------------------------------------------------------------------


def fit_repeat(
    number: int,
    seed: int,
    explainer: Any,
    X: MatrixLike,
    y: Any,
    resampling: str,
    share: float,
    stratified: bool,
    one_thread: bool,
) -> Any:
    """A clone of an explainer, seeded with all that is in it and fitted.

    Parameters
    ----------
    number : int
        Of the repeat: an error tells it.
    seed : int
        Of everything random in the repeat.
    explainer : object
    X : array-like or DataFrame of shape (n_samples, ...)
    y : array-like of shape (n_samples,) or None
    resampling : {"seed", "bootstrap", "subsample"}
        "seed" takes all samples.
    share : float
        Of a subsample.
    stratified : bool
        Whether y holds classes, none of which may be lost.
    one_thread : bool
        Whether torch is kept to one thread, for repeats side by side.

    Returns
    -------
    explainer
    """
    generator = np.random.RandomState(seed)
    if resampling != "seed":
        labels = y if stratified else None
        rows = draw_rows(resampling, share, _num_samples(X), labels, generator)
        X = _safe_indexing(X, rows)
        y = None if y is None else _safe_indexing(y, rows)
    clone, torch_seed = seeded_clone(explainer, seed, generator)
    with single_threaded() if one_thread else nullcontext(), in_repeat(number):
        return fit_samples(clone, torch_seed, Samples(X, y))


def fits_at_once(explainer: Any) -> bool:
    """Whether the networks of repeats can be trained as a stack.

    Parameters
    ----------
    explainer : object
    """
    own = isinstance(explainer, BaseExplainer) and type(explainer).fit is BaseExplainer.fit
    return own and can_be_stacked(explainer._inner)


def fit_at_once(
    seeds: Sequence[int],
    explainer: Any,
    X: MatrixLike,
    y: ArrayLike | None,
    resampling: str,
    share: float,
    stratified: bool,
) -> Iterator:
    """What :func:`fit_repeat` does for one seed after another, with all networks trained at once.

    Parameters
    ----------
    seeds : sequence of int
    explainer, X, y, resampling, share, stratified
        As for :func:`fit_repeat`.

    Yields
    ------
    explainer
        In the order of the seeds.
    """
    explainers, rows, every = [], [], np.arange(_num_samples(X))
    for seed in seeds:
        generator = np.random.RandomState(seed)
        own = every
        if resampling != "seed":
            own = draw_rows(resampling, share, len(every), y if stratified else None, generator)
        rows.append(own)
        explainers.append(seeded_clone(explainer, seed, generator)[0])
    estimators = [one._unfitted() for one in explainers]
    fit_stacked(estimators, X, y, rows)
    for one, estimator, own in zip(explainers, estimators, rows, strict=True):
        yield one._rank(estimator, X if own is every else _safe_indexing(X, own))


def fit_stack(seeds: Sequence[int], **common: Any) -> list:
    """What :func:`fit_at_once` yields, on one thread.

    Parameters
    ----------
    seeds : sequence of int
    **common
        As for :func:`fit_at_once`.

    Returns
    -------
    list of explainers
    """
    with single_threaded():
        return list(fit_at_once(seeds, **common))


@contextmanager
def in_repeat(number: int) -> Iterator[None]:
    """Tell the number of the repeat in the errors of the block.

    Parameters
    ----------
    number : int
    """
    try:
        yield
    except Exception as error:
        error.add_note(f"This was in repeat {number}.")
        raise


# --- what it found ------------------------------------------------------------------------------


def importances_of(explainer: Any, getter: str | Callable = "auto") -> np.ndarray:
    """Importances of a fitted explainer or estimator: magnitudes that sum to 1.

    Parameters
    ----------
    explainer : object
    getter : str or callable, default="auto"
        As `importance_getter` of scikit-learn's `SelectFromModel`. "auto" looks for them in a
        pipeline's last step and in a search's best estimator, too.

    Returns
    -------
    ndarray of shape (n_features,)
        Of several rows of coefficients the sum. For images in the shape of one image. All 0 if the
        estimator uses no feature.

    Raises
    ------
    ValueError
        If there are none, or they are not finite.
    """
    found = own_importances(explainer, getter)
    return aggregate_importances(found[None], has_outputs=False)


def feature_labels(
    explainer: Any, importances: np.ndarray, names: Names, known: pd.Index = None
) -> pd.Index:
    """Names of the features that importances are of.

    Parameters
    ----------
    explainer : object
        Fitted.
    importances : ndarray of shape (n_features,) or of one image
    names : sequence of str
        Of the columns of X.
    known : Index, default=None
        Those of the repeats before.

    Returns
    -------
    Index
        Of images a MultiIndex of positions. Numbers, as in "x0", where names are not known: those
        of X's columns are no longer right behind a pipeline's steps.

    Raises
    ------
    ValueError
        If they are others than the known ones.
    """
    if importances.ndim > 1:
        found = pd.MultiIndex.from_product(map(range, importances.shape))
    else:
        found = _names(_best(explainer), len(importances), names)
    if known is not None and not found.equals(known):
        hint = ""
        if getattr(explainer, "columns", None) == "transformed":
            hint = " With columns='original' they have those of X."
        others = found.symmetric_difference(known)[:5].tolist()
        raise ValueError(
            f"Repeats have different features, {len(found)} here and {len(known)} before; one of"
            f" both lacks {others}.{hint}"
        )
    return found


def _names(explainer, n_features: int, names) -> pd.Index:
    if hasattr(explainer, "explain"):
        names = explainer.get_feature_names_out()
    elif isinstance(explainer, Pipeline) and len(explainer) > 1:
        try:
            names = explainer[:-1].get_feature_names_out(names)
        except (AttributeError, ValueError):
            names = ()
    if len(names) != n_features:
        names = [f"x{i}" for i in range(n_features)]
    return pd.Index(names, dtype=object, tupleize_cols=False)


def _best(explainer):
    """The estimator that a search has found, or what is no search."""
    return getattr(explainer, "best_estimator_", explainer)
