"""Importances of repeats as numbers, ranks and top features."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from sknninterp.evaluation._checks import as_numbers


def ranks(importances: ArrayLike) -> np.ndarray | pd.DataFrame:
    """Rank the features of each repeat: 1 is the most important, ties get their average rank.

    Parameters
    ----------
    importances : array-like or DataFrame of shape (n_repeats, n_features)

    Returns
    -------
    ndarray or DataFrame of shape (n_repeats, n_features)
        A DataFrame of a DataFrame.

    Raises
    ------
    ValueError
        If there are NaN or infinite importances, or no features.

    Examples
    --------
    >>> from sknninterp.evaluation.agreement import ranks
    >>> ranks([[0.5, 0.2, 0.2, 0.1]])
    array([[1. , 2.5, 2.5, 4. ]])
    """
    return _like(importances, rankdata(-check_importances(importances), axis=1))


def top_k(importances: ArrayLike, k: int) -> np.ndarray | pd.DataFrame:
    """Select the k most important features of each repeat.

    Of features that tie, the first ones in the order of columns are taken. Those of importance 0
    (or less) are never selected, so that a sparse repeat may have fewer than k.

    Parameters
    ----------
    importances : array-like or DataFrame of shape (n_repeats, n_features)
    k : int
        At most the number of features.

    Returns
    -------
    ndarray or DataFrame of bool of shape (n_repeats, n_features)
        A DataFrame of a DataFrame.

    Raises
    ------
    ValueError
        If k is not an integer from 1 to the number of features, or if there are NaN or infinite
        importances.

    Examples
    --------
    >>> from sknninterp.evaluation.agreement import top_k
    >>> top_k([[0.5, 0.2, 0.2, 0.1], [1.0, 0.0, 0.0, 0.0]], k=2)
    array([[ True,  True, False, False],
           [ True, False, False, False]])
    """
    array = check_importances(importances)
    check_k(k, array.shape[1])
    return _like(importances, (places_of(array) <= k) & (array > 0))


def places_of(importances: np.ndarray) -> np.ndarray:
    """Place of each feature, from 1, with ties in the order of columns."""
    order = np.argsort(-importances, axis=1, kind="stable")
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(1, importances.shape[1] + 1)[None], axis=1)
    return places


# --- what comes in and goes out -----------------------------------------------------------------


def check_importances(importances: ArrayLike) -> np.ndarray:
    """Importances as finite numbers, one row a repeat.

    Parameters
    ----------
    importances : array-like or DataFrame of shape (n_repeats, n_features)

    Returns
    -------
    ndarray of float of shape (n_repeats, n_features)

    Raises
    ------
    ValueError
        If it has another shape or no rows or columns, or holds NaN or infinite numbers.
    """
    array = as_numbers("importances", importances)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(
            f"importances must be of shape (n_repeats, n_features), got {array.shape}."
        )
    bad = ~np.isfinite(array)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        if isinstance(importances, pd.DataFrame):
            row, column = importances.index[row], importances.columns[column]
        raise ValueError(
            f"importances holds {bad.sum():,} NaN or infinite numbers, the first of repeat {row}"
            f" and feature {column}."
        )
    return array


def repeated(importances: ArrayLike) -> np.ndarray:
    """Importances of two repeats or more, checked as :func:`check_importances` does."""
    array = check_importances(importances)
    _check_repeats(len(array), "importances")
    return array


def check_selected(selected: ArrayLike) -> np.ndarray:
    """Selections of two repeats or more as booleans, (n_repeats, n_features)."""
    array = np.asarray(selected)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"selected must be of shape (n_repeats, n_features), got {array.shape}.")
    if array.dtype != bool:
        if not np.isin(array, (0, 1)).all():
            raise ValueError("selected must hold nothing but True and False.")
        array = array.astype(bool)
    _check_repeats(len(array), "selected")
    return array


def _check_repeats(n_repeats: int, name: str) -> None:
    if n_repeats < 2:
        raise ValueError(f"{name} holds n_repeats={n_repeats}; agreement takes at least 2 of them.")


def check_k(k: Any, n_features: int) -> None:
    """Raise a ValueError unless k is a number of features to select."""
    if not isinstance(k, Integral) or isinstance(k, bool) or not 1 <= int(k) <= n_features:
        raise ValueError(
            f"k={k!r} must be an integer from 1 to the number of features, {n_features}."
        )


def _like(importances, array: np.ndarray):
    """The array with the names that the importances have."""
    if not isinstance(importances, pd.DataFrame):
        return array
    return pd.DataFrame(array, index=importances.index, columns=importances.columns)
