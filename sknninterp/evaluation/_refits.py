"""Fitting clones of an estimator on other data, and the importances that come of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel
from sklearn.feature_selection._base import _get_feature_importances
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _num_features

from sknninterp._typing import MatrixLike
from sknninterp.estimators._folds import Samples, fit_samples
from sknninterp.estimators._network import is_search


def fitted_importances(
    estimator: Any, seed: int | None, X: MatrixLike, y: Any, getter: str | Callable = "auto"
) -> np.ndarray:
    """Fit an estimator in place, and say how important it finds each column.

    Parameters
    ----------
    estimator : estimator
    seed : int or None
        Of torch's random numbers; None leaves them alone.
    X : array-like or DataFrame of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
    getter : "auto", str or callable, default="auto"
        As `SelectFromModel` takes it. "auto" looks into a pipeline's last step and a search's best
        estimator where they have no importances of their own.

    Returns
    -------
    ndarray of shape (n_features,)
        Magnitudes; the norm over classes of coefficients for several.

    Raises
    ------
    ValueError
        If the estimator has no importances, or not one finite number for each column.
    """
    estimator = fit_samples(estimator, seed, Samples(X, y))
    found = own_importances(estimator, getter)
    n_features = _num_features(X)
    if found.shape != (n_features,):
        raise ValueError(
            f"{type(estimator).__name__}: importances of shape {found.shape} for {n_features}"
            " columns. There must be one for each, so no step of a pipeline may add or drop"
            " columns, unless an explainer around it names the columns it was given."
        )
    return found


def own_importances(estimator: Any, getter: str | Callable = "auto") -> np.ndarray:
    """How important a fitted estimator or explainer finds each feature.

    Parameters
    ----------
    estimator : object
        Fitted.
    getter : "auto", str or callable, default="auto"
        As for :func:`fitted_importances`.

    Returns
    -------
    ndarray of shape (n_features,)
        Magnitudes; of several rows of coefficients the sum. Of images in the shape of one image.

    Raises
    ------
    ValueError
        If there are none, or they are not finite.
    """
    holder = _holder(estimator) if getter == "auto" else estimator
    if getter == "auto" and hasattr(holder, "explain"):
        found = holder.feature_importances_
    else:
        try:
            found = _get_feature_importances(holder, getter, transform_func="norm")
        except AttributeError as error:
            raise ValueError(f"importance_getter={getter!r}: {error}.") from error
    found = np.asarray(found, dtype=float)
    if not np.isfinite(found).all():
        n_bad = np.sum(~np.isfinite(found))
        raise ValueError(
            f"{type(estimator).__name__}: {n_bad:,} of {found.size:,} importances are NaN or"
            " infinite."
        )
    return found


def _holder(estimator):
    """The part of an estimator that has importances."""
    while not (hasattr(estimator, "coef_") or hasattr(estimator, "feature_importances_")):
        if isinstance(estimator, Pipeline):
            estimator = estimator[-1]
        elif is_search(estimator) and hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            break
    return estimator


def in_parallel(calls: list, n_jobs: int | None, verbose: int, unit: str) -> list:
    """What the calls give, in their order, with a progress bar if `verbose`.

    Parameters
    ----------
    calls : list of joblib.delayed calls
    n_jobs : int or None
    verbose : int
    unit : str
        What one call is, for the bar.

    Returns
    -------
    list
    """
    if not verbose:
        return Parallel(n_jobs=n_jobs)(calls)
    from tqdm.auto import tqdm

    results = Parallel(n_jobs=n_jobs, return_as="generator")(calls)
    return list(tqdm(results, total=len(calls), unit=unit))


def check_numbers(X: MatrixLike, what: str) -> None:
    """Raise an error that names the columns of a DataFrame that hold no numbers.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_samples, n_features)
    what : str
        Who needs numbers, for the message.

    Raises
    ------
    ValueError
    """
    if not isinstance(X, pd.DataFrame):
        return
    bad = [name for i, name in enumerate(X.columns) if not _holds_numbers(X.iloc[:, i])]
    if bad:
        listed = ", ".join(map(repr, bad[:5])) + (", ..." if len(bad) > 5 else "")
        raise ValueError(
            f"{what} needs columns of numbers, but {listed} hold others. Encode them first, with an"
            " OrdinalEncoder or OneHotEncoder in a ColumnTransformer."
        )


def _holds_numbers(column) -> bool:
    try:
        column.astype(float)
    except (TypeError, ValueError):
        return False
    return True
