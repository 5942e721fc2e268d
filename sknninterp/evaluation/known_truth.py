"""Recovery: how well a ranking finds features that are known to be relevant."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score

from sknninterp.evaluation._checks import as_numbers

__all__ = ["recovery"]


def recovery(
    importances: ArrayLike, relevant: ArrayLike, k: int | Sequence[int] | np.ndarray | None = None
) -> pd.DataFrame:
    """Measure how well importances find the relevant features, where these are known.

    Tied features count as in a random order among themselves: half a pair each in the AUROC, an
    average rank, and in the precision at k the share expected. In the average precision they are
    taken at once, as scikit-learn does it.

    Parameters
    ----------
    importances : array-like or DataFrame of shape (n_features,) or (n_repeats, n_features)
        The larger, the more important: take the magnitude of signed ones first.
    relevant : array-like
        The relevant features: a boolean mask of shape (n_features,), positions, or, if
        `importances` has names, names.
    k : int or list of int, default=None
        Length of the top lists whose precision is wanted; None is the number of relevant
        features, where precision and recall agree.

    Returns
    -------
    DataFrame
        One row a repeat: `auroc` (0.5 is chance), `average_precision` (the share of relevant
        features is chance), `precision_at_<k>` for each k, and `mean_rank` of the relevant
        features, where 1 is the most important.

    Raises
    ------
    ValueError
        If importances are not finite, if all or none of the features are relevant, if a relevant
        feature does not exist, or if `k` is not from 1 to n_features.

    Examples
    --------
    >>> from sknninterp.evaluation.known_truth import recovery
    >>> recovery([[0.5, 0.3, 0.2, 0.0], [0.4, 0.1, 0.1, 0.4]], relevant=[0, 2])
       auroc  average_precision  precision_at_2  mean_rank
    0   0.75           0.833333             0.5        2.0
    1   0.50           0.500000             0.5        2.5
    """
    table, names = _table(importances)
    mask = _mask(relevant, table.shape[1], names)
    ks = _checked_k(k, mask)
    return pd.DataFrame([_of_row(row, mask, ks) for row in table], index=_index(importances))


def _of_row(row, mask, ks) -> dict[str, float]:
    return {
        "auroc": roc_auc_score(mask, row),
        "average_precision": average_precision_score(mask, row),
        **{f"precision_at_{k}": precision_at(row, mask, k) for k in ks},
        "mean_rank": rankdata(-row)[mask].mean(),
    }


def precision_at(importances: np.ndarray, mask: np.ndarray, k: int) -> float:
    """Share of relevant features in the top k, expected over the orders of tied ones.

    Parameters
    ----------
    importances : ndarray of shape (n_features,)
    mask : ndarray of bool, shape (n_features,)
    k : int
    """
    last = np.sort(importances)[-k]
    above, tied = importances > last, importances == last
    n_left = k - above.sum()
    return float((mask[above].sum() + n_left * mask[tied].mean()) / k)


def _table(importances) -> tuple[np.ndarray, list | None]:
    names = None
    if isinstance(importances, pd.DataFrame):
        names = list(importances.columns)
    elif isinstance(importances, pd.Series):
        names = list(importances.index)
    table = as_numbers("importances", importances)
    if table.ndim not in (1, 2) or table.size == 0:
        raise ValueError(
            f"importances must have shape (n_features,) or (n_repeats, n_features), got"
            f" {table.shape}; flatten those of images."
        )
    if not np.isfinite(table).all():
        raise ValueError("importances hold NaN or infinite numbers.")
    return np.atleast_2d(table), names


def _index(importances):
    return importances.index if isinstance(importances, pd.DataFrame) else None


def _mask(relevant, n_features, names) -> np.ndarray:
    relevant = np.asarray(relevant)
    if relevant.dtype == bool:
        if relevant.shape != (n_features,):
            raise ValueError(
                f"relevant, as a mask, must have shape ({n_features},), got {relevant.shape}."
            )
        mask = relevant
    else:
        mask = np.zeros(n_features, dtype=bool)
        mask[[_position(one, n_features, names) for one in relevant.ravel().tolist()]] = True
    if mask.all() or not mask.any():
        raise ValueError(
            f"relevant names {mask.sum()} of {n_features} features; recovery needs at least one"
            " that is relevant and one that is not."
        )
    return mask


def _position(feature, n_features, names) -> int:
    if names is not None and feature in names:
        return names.index(feature)
    if isinstance(feature, Integral) and 0 <= int(feature) < n_features:
        return int(feature)
    raise ValueError(f"relevant: there is no feature {feature!r} among the {n_features}.")


def _checked_k(k, mask) -> list[int]:
    ks = [mask.sum()] if k is None else list(k) if np.iterable(k) else [k]
    for one in ks:
        counts = isinstance(one, Integral) and not isinstance(one, bool)
        if not counts or not 1 <= int(one) <= len(mask):
            raise ValueError(f"k={one!r} must be an integer from 1 to n_features={len(mask)}.")
    return [int(one) for one in ks]
