"""One ranking out of many: means, ranks, Borda counts, robust rank aggregation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import betainc, betaln, hyp2f1
from scipy.stats import rankdata

from sknninterp.evaluation._repeat_ranks import check_importances

__all__ = ["consensus", "robust_rank_aggregation"]


def consensus(importances: ArrayLike, method: str = "mean") -> np.ndarray | pd.Series:
    """Combine the rankings of several repeats into one.

    Parameters
    ----------
    importances : array-like or DataFrame of shape (n_repeats, n_features)
        For "mean" on one scale, such as rows that sum to 1; the others see ranks alone.
    method : {"mean", "mean_rank", "borda", "median_rank", "rra"}, default="mean"
        - "mean": mean importance.
        - "mean_rank": 1 + n_features less the mean rank (1 is the most important).
        - "borda": mean share of the other features that a feature beats, from 0 to 1, where a tie
          beats by half. The same order as "mean_rank".
        - "median_rank": 1 + n_features less the median rank, which a minority of odd repeats
          cannot move.
        - "rra": -log10(rho) of :func:`robust_rank_aggregation`, which asks for a feature that many
          repeats have further up than chance would, whatever the others say.

    Returns
    -------
    ndarray or Series of shape (n_features,)
        Score of each feature, the larger the better; a Series of a DataFrame.

    Raises
    ------
    ValueError
        If there is no such method, or if there are NaN or infinite importances.

    Examples
    --------
    >>> from sknninterp.evaluation.rank_aggregation import consensus
    >>> importances = [[0.6, 0.3, 0.1], [0.5, 0.2, 0.3], [0.1, 0.6, 0.3]]
    >>> consensus(importances, "mean").round(2)
    array([0.4 , 0.37, 0.23])
    >>> consensus(importances, "borda").round(2)
    array([0.67, 0.5 , 0.33])
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r} must be one of {list(METHODS)}.")
    scores = METHODS[method](check_importances(importances))
    if isinstance(importances, pd.DataFrame):
        return pd.Series(scores, index=importances.columns, name=method)
    return scores


def robust_rank_aggregation(importances: ArrayLike) -> pd.DataFrame:
    r"""Which features are nearer to the top than in random rankings, by their best repeats.

    With r_(1) <= ... <= r_(M) the ranks of a feature in M repeats, divided by the number of
    features, beta_k = P(at least k of M uniform numbers <= r_(k)) is the chance of k ranks as good,
    and rho the least of them over k [1]_. It is robust: a feature that a part of the repeats have
    on top comes out, whatever its other ranks are.

    Ties get their average rank. A feature of importance 0 (or less) is not ranked: its r is 1.

    Parameters
    ----------
    importances : array-like or DataFrame of shape (n_repeats, n_features)

    Returns
    -------
    DataFrame of shape (n_features, 2)
        "rho", and "p_value" = min(1, M rho), corrected for the choice of k (Bonferroni, an upper
        bound as in the paper) but not for the number of features. In the order of the columns.

    Raises
    ------
    ValueError
        If there are NaN or infinite importances.

    Notes
    -----
    The p-value is of the hypothesis that the repeats rank independently and at random. Repeats of
    one method on one set of samples agree whether they are right or wrong, so a small one says
    that a feature is placed high *consistently*, not that it has to do with the target.

    References
    ----------
    .. [1] Kolde, Laur, Adler & Vilo (2012), *Robust rank aggregation for gene list integration and
       meta-analysis*, Bioinformatics 28(4):573.

    Examples
    --------
    >>> from sknninterp.evaluation.rank_aggregation import robust_rank_aggregation
    >>> robust_rank_aggregation([[4, 3, 2, 1], [4, 1, 2, 3]]).round(4)
          rho  p_value
    0  0.0625    0.125
    1  0.7500    1.000
    2  0.5625    1.000
    3  0.7500    1.000
    """
    array = check_importances(importances)
    names = importances.columns if isinstance(importances, pd.DataFrame) else None
    rho = np.exp(_log_rho(array))
    return pd.DataFrame({"rho": rho, "p_value": np.minimum(1, len(array) * rho)}, index=names)


def _log_rho(importances: np.ndarray) -> np.ndarray:
    n_repeats, n_features = importances.shape
    shares = np.where(importances > 0, _ranks(importances) / n_features, 1)
    k = np.arange(1, n_repeats + 1)[:, None]
    # The k-th smallest of M uniform numbers has the distribution Beta(k, M + 1 - k).
    return _log_betainc(k, n_repeats + 1 - k, np.sort(shares, axis=0)).min(0)


def _log_betainc(a, b, x: np.ndarray) -> np.ndarray:
    """Logarithm of the distribution function of Beta(a, b), for x > 0."""
    found = betainc(a, b, x)
    a, b = (np.broadcast_to(one, x.shape) for one in (a, b))
    tiny = found < np.finfo(float).tiny
    log = np.log(found, out=np.zeros_like(x), where=~tiny)
    # What is first in every one of many repeats is beyond what a float can hold.
    a, b, x = a[tiny], b[tiny], x[tiny]
    series = np.log(hyp2f1(a + b, 1, a + 1, x))
    log[tiny] = a * np.log(x) + b * np.log1p(-x) - np.log(a) - betaln(a, b) + series
    return log


def _ranks(importances: np.ndarray) -> np.ndarray:
    return rankdata(-importances, axis=1)


def _mean_rank(importances: np.ndarray) -> np.ndarray:
    return importances.shape[1] + 1 - _ranks(importances).mean(0)


def _median_rank(importances: np.ndarray) -> np.ndarray:
    return importances.shape[1] + 1 - np.median(_ranks(importances), axis=0)


def _borda(importances: np.ndarray) -> np.ndarray:
    n_others = importances.shape[1] - 1
    return (_mean_rank(importances) - 1) / n_others if n_others else np.ones(1)


#: What `consensus` can do, by name.
METHODS = {
    "mean": lambda importances: importances.mean(0),
    "mean_rank": _mean_rank,
    "borda": _borda,
    "median_rank": _median_rank,
    # Not -0.0 for what is no surprise.
    "rra": lambda importances: np.abs(_log_rho(importances)) / np.log(10),
}
