"""Does a ranking hold: how far repeats agree on the ranks of features, and on the top ones."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import kendalltau, norm, rankdata
from scipy.stats import t as student

from sknninterp.evaluation._checks import check_inside
from sknninterp.evaluation._repeat_ranks import (
    check_selected,
    places_of,
    ranks,
    repeated,
    top_k,
)

__all__ = [
    "NogueiraStability",
    "jaccard",
    "kendall",
    "kuncheva",
    "nogueira",
    "pairwise_agreement",
    "rank_biased_overlap",
    "ranks",
    "spearman",
    "stability",
    "top_k",
]

# Places of a ranking that weigh less than this all together are not looked at.
_NEGLIGIBLE = 1e-12
# Of more features than this, sorting is faster than comparing each with each.
_MOST_COMPARED = 500


# --- agreement of all features ------------------------------------------------------------------


def kendall(importances: ArrayLike) -> float:
    """Mean of Kendall's tau-b over all pairs of repeats.

    Parameters
    ----------
    importances : array-like or DataFrame of shape (n_repeats, n_features)

    Returns
    -------
    float
        1 for the same order in all repeats, 0 on average for independent ones. NaN if all features
        of a repeat tie: it has no order.

    Raises
    ------
    ValueError
        If there are fewer than two repeats, or NaN or infinite importances.

    Examples
    --------
    >>> from sknninterp.evaluation.agreement import kendall
    >>> round(kendall([[3, 2, 1], [3, 1, 2]]), 4)
    0.3333
    """
    return _mean_of_pairs(_kendall_matrix(repeated(importances)))


def spearman(importances: ArrayLike) -> float:
    """Mean of Spearman's rank correlation over all pairs of repeats.

    Parameters
    ----------
    importances : array-like or DataFrame of shape (n_repeats, n_features)

    Returns
    -------
    float
        1 for the same order in all repeats, 0 on average for independent ones. NaN if all features
        of a repeat tie: it has no order.

    Raises
    ------
    ValueError
        If there are fewer than two repeats, or NaN or infinite importances.

    Examples
    --------
    >>> from sknninterp.evaluation.agreement import spearman
    >>> round(spearman([[3, 2, 1], [3, 1, 2]]), 4)
    0.5
    """
    return _mean_of_pairs(_spearman_matrix(repeated(importances)))


def rank_biased_overlap(importances: ArrayLike, persistence: float = 0.9) -> float:
    r"""Mean rank-biased overlap over all pairs of repeats: agreement that weighs the top most.

    RBO of two rankings is (1 - q) \sum_d q^(d-1) A_d with q the persistence and A_d the agreement
    of their first d places: twice the number of features that both have there over the numbers
    that each has [1]_. A feature of importance 0 (or less) is in no place, and a ranking that is at
    its end keeps the agreement that it has reached. Ties take the order of columns.

    Parameters
    ----------
    importances : array-like or DataFrame of shape (n_repeats, n_features)
    persistence : float, default=0.9
        q, between 0 and 1: the share of readers of a place who read on to the next. On average
        they read 1 / (1 - q) places: 10 of them by default.

    Returns
    -------
    float
        1 for the same order in all repeats. Other than a correlation it is above 0 for independent
        ones. Two rankings without any feature are the same: 1.

    Raises
    ------
    ValueError
        If there are fewer than two repeats, NaN or infinite importances, or `persistence` is not
        between 0 and 1.

    References
    ----------
    .. [1] Webber, Moffat & Zobel (2010), *A similarity measure for indefinite rankings*, ACM
       Transactions on Information Systems 28(4):20, section 4.1.

    Examples
    --------
    >>> from sknninterp.evaluation.agreement import rank_biased_overlap
    >>> round(rank_biased_overlap([[3, 2, 1], [3, 1, 2]], persistence=0.5), 4)
    0.875
    """
    check_inside("persistence", persistence, 0, 1)
    return _mean_of_pairs(_overlap_matrix(repeated(importances), persistence))


def _kendall_matrix(importances: np.ndarray) -> np.ndarray:
    if importances.shape[1] > _MOST_COMPARED:
        return _kendall_by_sorting(importances)
    agreements = np.zeros((len(importances), len(importances)))
    for i in range(importances.shape[1] - 1):
        signs = np.sign(importances[:, i + 1 :] - importances[:, i : i + 1])
        agreements += signs @ signs.T
    untied = np.sqrt(agreements.diagonal())
    found = np.full_like(agreements, np.nan)
    defined = (untied[:, None] > 0) & (untied > 0)
    np.divide(agreements, untied[:, None] * untied, out=found, where=defined)
    return np.clip(found, -1, 1)


def _kendall_by_sorting(importances: np.ndarray) -> np.ndarray:
    # Small integers are sorted fastest.
    kind = np.int16 if importances.shape[1] < 2**15 else np.int32
    dense = rankdata(importances, method="dense", axis=1).astype(kind)
    constant = (dense == dense[:, :1]).all(1)
    matrix = np.where(constant[:, None] | constant, np.nan, 1.0)
    for a in np.flatnonzero(~constant):
        # kendalltau sorts, and is faster by what is sorted already.
        others = dense[:, np.argsort(dense[a], kind="stable")]
        for b in np.flatnonzero(~constant[:a]):
            tau = kendalltau(others[b], others[a], method="asymptotic").statistic
            matrix[a, b] = matrix[b, a] = tau
    return matrix


def _spearman_matrix(importances: np.ndarray) -> np.ndarray:
    # Ranks and their mean are multiples of 1/2: where all tie, what is left is exactly 0.
    centred = rankdata(importances, axis=1) - (importances.shape[1] + 1) / 2
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    centred = np.divide(centred, lengths, out=np.full_like(centred, np.nan), where=lengths > 0)
    return np.clip(centred @ centred.T, -1, 1)


def _overlap_matrix(importances: np.ndarray, persistence: float = 0.9) -> np.ndarray:
    n_repeats, n_features = importances.shape
    depth = min(n_features, math.ceil(math.log(_NEGLIGIBLE) / math.log(persistence)))
    places = np.where(importances > 0, places_of(importances), n_features + 1)
    weights = (1 - persistence) * persistence ** np.arange(depth)
    weights[-1] += persistence**depth  # what comes after agrees as far as the last place
    sizes = np.minimum(np.arange(1, depth + 1), (importances > 0).sum(1)[:, None])
    matrix = np.ones((n_repeats, n_repeats))
    for a in range(n_repeats - 1):
        mine = np.flatnonzero(places[a] <= depth)
        # From this place on, both have the feature.
        common = np.maximum(places[a, mine], places[a + 1 :, mine])
        rows, columns = np.nonzero(common <= depth)
        both = np.zeros((len(common), depth))
        np.add.at(both, (rows, common[rows, columns] - 1), 2)
        total = sizes[a] + sizes[a + 1 :]
        agreement = np.ones_like(both)
        np.divide(both.cumsum(1), total, out=agreement, where=total > 0)
        matrix[a, a + 1 :] = matrix[a + 1 :, a] = agreement @ weights
    return matrix


# --- agreement of the selected features ---------------------------------------------------------


def jaccard(selected: ArrayLike) -> float:
    """Mean Jaccard index over all pairs of repeats: features in both over features in either.

    It is not corrected for chance: the more features are selected of few, the higher it is.

    Parameters
    ----------
    selected : array-like or DataFrame of bool of shape (n_repeats, n_features)

    Returns
    -------
    float
        From 0 to 1. Two sets without any feature are the same: 1.

    Raises
    ------
    ValueError
        If there are fewer than two repeats, or values other than True and False.

    Examples
    --------
    >>> from sknninterp.evaluation.agreement import jaccard
    >>> round(jaccard([[True, True, False], [True, False, True]]), 4)
    0.3333
    """
    return _mean_of_pairs(_jaccard_matrix(check_selected(selected)))


def kuncheva(selected: ArrayLike) -> float:
    """Mean of Kuncheva's consistency index over all pairs of repeats, for sets of one size.

    Of two sets of k among p features with r in both it is (r p - k^2) / (k (p - k)) [1]_: the
    overlap less what chance gives.

    Parameters
    ----------
    selected : array-like or DataFrame of bool of shape (n_repeats, n_features)

    Returns
    -------
    float
        1 for the same set in all repeats, 0 on average for random ones. NaN where it is not
        defined: sets of different sizes (:func:`nogueira` takes them, and is the same for sets of
        one size), of no feature or of all.

    Raises
    ------
    ValueError
        If there are fewer than two repeats, or values other than True and False.

    References
    ----------
    .. [1] Kuncheva (2007), *A stability index for feature selection*, Artificial Intelligence and
       Applications, 390-395.

    Examples
    --------
    >>> from sknninterp.evaluation.agreement import kuncheva
    >>> kuncheva([[True, True, False, False], [True, False, True, False]])
    0.0
    """
    return _mean_of_pairs(_kuncheva_matrix(check_selected(selected)))


def _common(selected: np.ndarray) -> np.ndarray:
    """Number of features in both of each pair of sets."""
    numbers = selected.astype(float)
    return numbers @ numbers.T


def _jaccard_matrix(selected: np.ndarray) -> np.ndarray:
    common, sizes = _common(selected), selected.sum(1)
    either = sizes[:, None] + sizes - common
    return np.divide(common, either, out=np.ones_like(common), where=either > 0)


def _kuncheva_matrix(selected: np.ndarray) -> np.ndarray:
    common, sizes, n_features = _common(selected), selected.sum(1), selected.shape[1]
    k = sizes[0]
    if (sizes != k).any() or k in (0, n_features):
        return np.full_like(common, np.nan)
    return (common * n_features - k**2) / (k * (n_features - k))


class NogueiraStability(NamedTuple):
    """Stability of a selection, with what :func:`nogueira` knows about its error.

    Parameters
    ----------
    stability : float
    variance : float
        Of the estimate.
    lower, upper : float
        Ends of the interval.

    Examples
    --------
    >>> from sknninterp.evaluation.agreement import nogueira
    >>> nogueira([[True, False], [True, False], [True, False]]).stability
    1.0
    """

    stability: float
    variance: float
    lower: float
    upper: float


def nogueira(selected: ArrayLike, confidence_level: float = 0.95) -> NogueiraStability:
    r"""Stability of a selection by Nogueira, Sechidis and Brown, with its interval.

    One less the mean variance of a feature's selection over the variance that a random selection
    of as many features has [1]_: with p_f the share of the M repeats that select feature f, d
    features, and k the mean number of those selected,

    1 - (1/d) \sum_f M / (M - 1) p_f (1 - p_f) / ((k/d) (1 - k/d)).

    It is the one measure that takes sets of any sizes, is corrected for chance and is 1 exactly if
    all sets are the same. For sets of one size it is :func:`kuncheva`'s index. The interval is the
    asymptotic one, for many repeats, and may reach beyond 1.

    Parameters
    ----------
    selected : array-like or DataFrame of bool of shape (n_repeats, n_features)
    confidence_level : float, default=0.95

    Returns
    -------
    NogueiraStability
        `stability`, `variance`, `lower`, `upper`. The stability is 1 for the same set in all
        repeats, 0 on average for random ones, and never below -1 / (M - 1). All four are NaN if no
        repeat selects a feature, or every repeat all of them: a random selection does not vary
        then.

    Raises
    ------
    ValueError
        If there are fewer than two repeats, values other than True and False, or
        `confidence_level` is not between 0 and 1.

    Notes
    -----
    The interval takes repeats for independent. Those of one set of samples are so given these
    samples: it tells how exactly this many repeats measure the stability of the procedure on this
    set, not on others.

    References
    ----------
    .. [1] Nogueira, Sechidis & Brown (2018), *On the stability of feature selection algorithms*,
       JMLR 18(174), definition 4 (the measure), theorem 7 (the variance), corollary 9 (the
       interval).

    Examples
    --------
    >>> from sknninterp.evaluation.agreement import nogueira
    >>> found = nogueira([[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 0, 1, 0, 0]])
    >>> round(found.stability, 4), round(found.lower, 4), round(found.upper, 4)
    (0.4643, 0.3061, 0.6225)
    """
    check_inside("confidence_level", confidence_level, 0, 1)
    z = check_selected(selected).astype(float)
    n_repeats, n_features = z.shape
    shares = z.mean(0)
    k, mean_k = z.sum(1) / n_features, shares.mean()
    if mean_k in (0, 1):
        return NogueiraStability(*[math.nan] * 4)
    by_chance = mean_k * (1 - mean_k)
    estimate = 1 - n_repeats / (n_repeats - 1) * (shares * (1 - shares)).mean() / by_chance
    phi = z @ shares / n_features - k * mean_k
    phi = (phi + estimate / 2 * (2 * k * mean_k - k - mean_k + 1)) / by_chance
    variance = 4 / n_repeats**2 * ((phi - phi.mean()) ** 2).sum()
    margin = norm.ppf((1 + confidence_level) / 2) * math.sqrt(variance)
    return NogueiraStability(
        *map(float, (estimate, variance, estimate - margin, estimate + margin))
    )


# --- all together -------------------------------------------------------------------------------

_OF_RANKS = {
    "kendall": _kendall_matrix,
    "spearman": _spearman_matrix,
    "rank_biased_overlap": _overlap_matrix,
}
_OF_SETS = {"jaccard": _jaccard_matrix, "kuncheva": _kuncheva_matrix}


def pairwise_agreement(
    importances: ArrayLike, measure: str = "kendall", k: int = 10
) -> pd.DataFrame:
    """Agreement of every pair of repeats, or of other rankings of the same features.

    Parameters
    ----------
    importances : array-like or DataFrame of shape (n_repeats, n_features)
        Rows may as well be methods: a DataFrame's index names them.
    measure : {"kendall", "spearman", "rank_biased_overlap", "jaccard", "kuncheva"}, \
default="kendall"
    k : int, default=10
        Of "jaccard" and "kuncheva": how many of the top features are compared.

    Returns
    -------
    DataFrame of shape (n_repeats, n_repeats)
        Symmetric, 1 on the diagonal; NaN where the measure is not defined.

    Raises
    ------
    ValueError
        If there is no such measure, fewer than two repeats, NaN or infinite importances, or fewer
        features than k.

    Examples
    --------
    >>> import pandas as pd
    >>> from sknninterp.evaluation.agreement import pairwise_agreement
    >>> rankings = pd.DataFrame([[3, 2, 1], [3, 1, 2]], index=["PWP", "Garson"])
    >>> pairwise_agreement(rankings, "spearman")
            PWP  Garson
    PWP     1.0     0.5
    Garson  0.5     1.0
    """
    array = repeated(importances)
    if measure in _OF_RANKS:
        matrix = _OF_RANKS[measure](array)
    elif measure in _OF_SETS:
        matrix = _OF_SETS[measure](top_k(array, k))
    else:
        raise ValueError(f"measure={measure!r} must be one of {[*_OF_RANKS, *_OF_SETS]}.")
    names = importances.index if isinstance(importances, pd.DataFrame) else None
    matrix[np.diag_indices_from(matrix)] = np.where(np.isnan(matrix.diagonal()), np.nan, 1)
    return pd.DataFrame(matrix, index=names, columns=names)


def stability(importances: ArrayLike, k: int = 10, confidence_level: float = 0.95) -> pd.DataFrame:
    """All measures of how far repeats agree, with intervals.

    Parameters
    ----------
    importances : array-like or DataFrame of shape (n_repeats, n_features)
    k : int, default=10
        How many top features are taken for selected: those of "jaccard", "kuncheva" and
        "nogueira".
    confidence_level : float, default=0.95

    Returns
    -------
    DataFrame of shape (6, 3)
        One row a measure: "kendall", "spearman", "rank_biased_overlap" of all features, and
        "jaccard", "kuncheva", "nogueira" of the top k. Columns: "stability", "lower", "upper". The
        interval of "nogueira" is its authors', that of the others is by the jackknife over repeats
        (with Student's t); of two repeats they have none: NaN.

    Raises
    ------
    ValueError
        If there are fewer than two repeats, NaN or infinite importances, fewer features than k, or
        `confidence_level` is not between 0 and 1.

    Examples
    --------
    >>> from sknninterp.evaluation.agreement import stability
    >>> stability([[3, 2, 1], [3, 1, 2], [3, 2, 1]], k=1).loc["kuncheva"].tolist()
    [1.0, 1.0, 1.0]
    """
    check_inside("confidence_level", confidence_level, 0, 1)
    array = repeated(importances)
    selected = top_k(array, k)
    matrices = {name: matrix(array) for name, matrix in _OF_RANKS.items()}
    matrices |= {name: matrix(selected) for name, matrix in _OF_SETS.items()}
    rows = {name: _jackknife(matrix, confidence_level) for name, matrix in matrices.items()}
    found = nogueira(selected, confidence_level)
    rows["nogueira"] = (found.stability, found.lower, found.upper)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["stability", "lower", "upper"])
    return table.rename_axis("measure")


def _mean_of_pairs(matrix: np.ndarray) -> float:
    return float(matrix[np.triu_indices_from(matrix, 1)].mean())


def _jackknife(matrix: np.ndarray, confidence_level: float) -> tuple[float, float, float]:
    """Mean over pairs with its interval, from the means that leave one repeat out."""
    n_repeats, mean = len(matrix), _mean_of_pairs(matrix)
    if n_repeats < 3:
        return mean, math.nan, math.nan
    of_each = matrix.sum(1) - matrix.diagonal()
    without = (of_each.sum() - 2 * of_each) / ((n_repeats - 1) * (n_repeats - 2))
    variance = (n_repeats - 1) / n_repeats * ((without - without.mean()) ** 2).sum()
    margin = student.ppf((1 + confidence_level) / 2, n_repeats - 1) * math.sqrt(variance)
    return mean, mean - margin, mean + margin
