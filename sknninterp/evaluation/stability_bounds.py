"""Bounds on the false selections of stability selection, and what they ask for."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq, minimize_scalar

__all__ = ["false_selection_bound", "largest_selection", "smallest_threshold"]

ASSUMPTIONS = ("unimodal", "r-concave", "none")
_ROUNDING = 1e-9
# Shapes a of the r-concave distributions, from all but one point to all but even.
_MOST_STEEP, _MOST_FLAT = 1e-9, 1e5


def false_selection_bound(
    n_features: int,
    n_selected: int,
    threshold: float,
    n_subsamples: int = 50,
    assumption: str = "unimodal",
) -> float:
    r"""Bound on the expected number of false selections of stability selection.

    With q of p features selected on each of 2B subsamples, halves of the samples in B complementary
    pairs, those kept that are selected on at least a share \tau of them, and \theta = q / p:

    - "none": q^2 / ((2 \tau - 1) p), of Meinshausen and Buhlmann [1]_ and, for complementary
      pairs, of Shah and Samworth without their assumption ([2]_, theorem 1).
    - "unimodal": the same with 1 / (2 (2 \tau - 1 - 1 / (2B))) for 1 / (2 \tau - 1) where
      \tau <= 3/4, and 4 (1 - \tau + 1 / (2B)) / (1 + 1 / B) above; for \theta <= 1 / \sqrt 3 and
      \tau > min(1/2 + \theta^2, 1/2 + 1 / (2B) + 3/4 \theta^2) ([2]_, theorem 2).
    - "r-concave": p min(D(\theta^2, 2 \tau - 1, B, -1/2), D(\theta, \tau, 2B, -1/4)), with
      D(\eta, t, B, r) the largest P(X >= t) of an r-concave distribution on
      {0, 1/B, ..., 1} of mean \eta ([2]_, eq. 8).

    Parameters
    ----------
    n_features : int
        p.
    n_selected : int
        q, features selected on each subsample.
    threshold : float
        \tau, above 0.5 and at most 1.
    n_subsamples : int, default=50
        2B, subsamples in complementary pairs.
    assumption : {"unimodal", "r-concave", "none"}, default="unimodal"
        On the distribution, over features that are seldom selected, of the share of pairs (or of
        subsamples) that selects them. Where an assumption's theorem does not apply, the bound is
        that of "none".

    Returns
    -------
    float
        At most `n_features`. It bounds the selected features that a subsample selects with a
        probability of at most q / p, no better than drawing lots; they are the irrelevant ones if
        irrelevant features are selected no more often than that.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    .. [1] Meinshausen & Buhlmann (2010), *Stability selection*, Journal of the Royal Statistical
       Society B 72:417, theorem 1.
    .. [2] Shah & Samworth (2013), *Variable selection with error control: another look at
       stability selection*, Journal of the Royal Statistical Society B 75:55.

    Examples
    --------
    >>> from sknninterp.evaluation.stability_bounds import false_selection_bound
    >>> for assumption in ("none", "unimodal", "r-concave"):
    ...     bound = false_selection_bound(100, 10, 0.6, 100, assumption)
    ...     print(assumption, round(bound, 2))
    none 5.0
    unimodal 2.63
    r-concave 1.14
    """
    _check(n_features, n_subsamples, assumption)
    if not 1 <= n_selected <= n_features:
        raise ValueError(f"n_selected={n_selected} must be from 1 to n_features={n_features}.")
    if not 0.5 < threshold <= 1:
        raise ValueError(f"threshold={threshold} must be above 0.5 and at most 1.")
    # Rounding must not turn 0.6 of 50 subsamples into 31.
    count = math.ceil(threshold * n_subsamples - _ROUNDING)
    share, factor = n_selected / n_features, 1 / (2 * count / n_subsamples - 1)
    if assumption == "unimodal":
        factor = min(factor, _unimodal_factor(share, count, n_subsamples))
    bound = share * factor * n_selected
    if assumption == "r-concave":
        n_pairs = n_subsamples // 2
        of_pairs = _r_concave_tail(share**2, n_pairs, count - n_pairs, -1 / 2)
        of_subsamples = _r_concave_tail(share, n_subsamples, count, -1 / 4)
        bound = min(bound, n_features * min(of_pairs, of_subsamples))
    return float(min(n_features, bound))


def largest_selection(
    n_features: int,
    threshold: float,
    pfer: float,
    n_subsamples: int = 50,
    assumption: str = "unimodal",
) -> int:
    """Largest number of features to select on each subsample for a bound on false selections.

    Parameters
    ----------
    n_features : int
    threshold : float
        As for :func:`false_selection_bound`.
    pfer : float
        Expected number of false selections (the per-family error rate) that the bound must not
        exceed.
    n_subsamples : int, default=50
    assumption : {"unimodal", "r-concave", "none"}, default="unimodal"

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If selecting a single feature is too much.

    Examples
    --------
    >>> from sknninterp.evaluation.stability_bounds import largest_selection
    >>> largest_selection(100, 0.6, 1.0, 100, "r-concave")
    9
    """

    def bound(n_selected):
        return false_selection_bound(n_features, n_selected, threshold, n_subsamples, assumption)

    if bound(1) > pfer:
        raise ValueError(
            f"pfer={pfer} cannot be kept with threshold={threshold}: with one feature selected on"
            f" each subsample the bound is {bound(1):.3g}. Raise the threshold or pfer."
        )
    fits, too_many = 1, n_features + 1
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        fits, too_many = (middle, too_many) if bound(middle) <= pfer else (fits, middle)
    return fits


def smallest_threshold(
    n_features: int,
    n_selected: int,
    pfer: float,
    n_subsamples: int = 50,
    assumption: str = "unimodal",
) -> float:
    """Smallest threshold for a bound on false selections.

    Parameters
    ----------
    n_features : int
    n_selected : int
        As for :func:`false_selection_bound`.
    pfer : float
        As for :func:`largest_selection`.
    n_subsamples : int, default=50
    assumption : {"unimodal", "r-concave", "none"}, default="unimodal"

    Returns
    -------
    float
        A multiple of 1 / `n_subsamples`.

    Raises
    ------
    ValueError
        If even a threshold of 1 is too low.

    Examples
    --------
    >>> from sknninterp.evaluation.stability_bounds import smallest_threshold
    >>> smallest_threshold(200, 7, 0.2, 100, "r-concave")
    0.62
    """

    def bound(count):
        threshold = count / n_subsamples
        return false_selection_bound(n_features, n_selected, threshold, n_subsamples, assumption)

    if bound(n_subsamples) > pfer:
        raise ValueError(
            f"pfer={pfer} cannot be kept with {n_selected} of {n_features} features selected on"
            f" each subsample: with threshold=1 the bound is {bound(n_subsamples):.3g}. Select"
            " fewer, or raise pfer."
        )
    too_low, fits = n_subsamples // 2, n_subsamples
    while fits - too_low > 1:
        middle = (too_low + fits) // 2
        too_low, fits = (too_low, middle) if bound(middle) <= pfer else (middle, fits)
    return fits / n_subsamples


def _check(n_features, n_subsamples, assumption):
    if assumption not in ASSUMPTIONS:
        raise ValueError(
            f"assumption={assumption!r} must be one of {', '.join(map(repr, ASSUMPTIONS))}."
        )
    if n_subsamples < 2 or n_subsamples % 2:
        raise ValueError(f"n_subsamples={n_subsamples} must be an even number of at least 2.")
    if n_features < 1:
        raise ValueError(f"n_features={n_features} must be at least 1.")


def _unimodal_factor(share, count, n_subsamples):
    """What takes the place of 1 / (2 threshold - 1), infinity where the theorem does not apply."""
    threshold = count / n_subsamples
    low = min(0.5 + share**2, 0.5 + 1 / n_subsamples + 0.75 * share**2)
    if share > 1 / math.sqrt(3) or threshold <= low:
        return math.inf
    if threshold <= 0.75:
        return 1 / (2 * (2 * threshold - 1 - 1 / n_subsamples))
    return 4 * (1 - threshold + 1 / n_subsamples) / (1 + 2 / n_subsamples)


@lru_cache(maxsize=1000)
def _r_concave_tail(mean, n_points, t, r):
    r"""Largest P(X >= t / n_points) of r-concave X on {0, ..., n_points} / n_points of a mean.

    The extremes have probabilities c (a + i)^{1/r} for i <= k and the rest, less than the next of
    these would be, at k + 1. The mean sets c, and for each k a is searched between where there is
    no rest and where the rest is as the next.

    Parameters
    ----------
    mean : float
    n_points : int
    t : int
    r : float
        Negative.

    Returns
    -------
    float
        1 up to twice the mean: nothing is known there.
    """
    center, power = mean * n_points, 1 / r
    first = math.ceil(2 * center - _ROUNDING) + 1
    if first > n_points or t < first:
        return 1.0
    ends = {first - 1: _MOST_FLAT}
    for k in range(first, n_points + 1):
        ends[k] = _fitting_shape(center, k, power, ends[k - 1])
    best = _tail(ends[n_points], center, n_points, t, power)
    for k in range(max(first, t) - 1, n_points):
        found = minimize_scalar(
            lambda log_a, k=k: -_tail(math.exp(log_a), center, k, t, power),
            bounds=(math.log(ends[k + 1]), math.log(ends[k])),
            method="bounded",
        )
        best = max(best, -found.fun)
    return min(1.0, best)


def _fitting_shape(center, k, power, upper):
    """The a for which probabilities of (a + i)^power, i <= k, have the mean center."""
    i = np.arange(k + 1)

    def excess(a):
        weights = (a + i) ** power
        return weights @ i / weights.sum() - center

    # Steeper than this, there is nothing beyond 0.
    if excess(_MOST_STEEP) > 0:
        return _MOST_STEEP
    return brentq(excess, _MOST_STEEP, upper)


def _tail(a, center, k, t, power):
    """P(X >= t) with probabilities c (a + i)^power up to k and the rest at k + 1."""
    i = np.arange(k + 1)
    weights = (a + i) ** power
    scale = (k + 1 - center) / (weights @ (k + 1 - i))
    return 1 - scale * weights[:t].sum()
