"""Model-X knockoffs: making them, and the filter that selects with them."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg.blas import dger
from sklearn.utils import check_array, check_random_state

from sknninterp._typing import MatrixLike, Seed
from sknninterp.evaluation._copula import NormalScores
from sknninterp.evaluation._correlation import shrunk_correlation

__all__ = [
    "copula_knockoffs",
    "e_benjamini_hochberg",
    "gaussian_knockoffs",
    "knockoff_e_values",
    "knockoff_q_values",
    "knockoff_statistics",
    "knockoff_threshold",
    "s_vector",
]

# Scores with ties are drawn anew this many times for every draw of knockoffs.
_SWEEPS_EACH = 3
_MOST_SWEEPS = 200

# --- making knockoffs ---------------------------------------------------------------------------


def s_vector(correlation: MatrixLike, kind: str = "mvr", tol: float = 1e-4) -> np.ndarray:
    r"""How far knockoffs are kept from their columns: cov(X_j, X~_j) = 1 - s_j.

    The joint covariance G of [X, X~], [[R, R - S], [R - S, R]] with S = diag(s), has to be
    positive semi-definite, that is 0 <= S <= 2R. "mvr" minimises trace(G^{-1}), and "maxent"
    maximises log det G, one s_j after the other [1]_; "equicorrelated" has all s_j alike,
    min(1, 2 \lambda_min(R)) [2]_. The first two have more power where columns are correlated.

    Parameters
    ----------
    correlation : array-like of shape (n_features, n_features)
        R, positive definite with a diagonal of 1.
    kind : {"mvr", "maxent", "equicorrelated"}, default="mvr"
    tol : float, default=1e-4
        The sweeps over the columns end when none changes its s_j by more than this, relative to
        the largest.

    Returns
    -------
    ndarray of shape (n_features,)

    Raises
    ------
    ValueError
        If the correlation is not positive definite, or there is no such kind.

    References
    ----------
    .. [1] Spector & Janson (2022), *Powerful knockoffs via minimizing reconstructability*, Annals
       of Statistics 50:252.
    .. [2] Barber & Candes (2015), *Controlling the false discovery rate via knockoffs*, Annals of
       Statistics 43:2055, eq. 2.3.

    Examples
    --------
    >>> import numpy as np
    >>> from sknninterp.evaluation.knockoffs import s_vector
    >>> s_vector(np.eye(2)).round(3)
    array([1., 1.])
    >>> s_vector([[1, 0.8], [0.8, 1]], "equicorrelated").round(3)
    array([0.4, 0.4])
    """
    steps = {"mvr": _mvr_step, "maxent": _maxent_step, "equicorrelated": None}
    if kind not in steps:
        raise ValueError(f"kind={kind!r} must be one of {', '.join(map(repr, steps))}.")
    correlation = check_array(correlation, dtype=np.float64)
    smallest = np.linalg.eigvalsh(correlation)[0]
    if smallest <= 0:
        raise ValueError(
            f"The correlation is not positive definite: its smallest eigenvalue is {smallest:.3g}."
        )
    s = np.full(len(correlation), min(1.0, 2 * smallest))
    if kind == "equicorrelated":
        return s
    # From inside the feasible set no step leaves it.
    s *= 0.9
    for _ in range(_MOST_SWEEPS):
        before = s.copy()
        _sweep(correlation, s, steps[kind])
        if np.abs(s - before).max() <= tol * s.max():
            break
    else:
        warnings.warn(f"s_vector: {kind!r} has not settled in {_MOST_SWEEPS} sweeps.", stacklevel=2)
    return s


def _sweep(correlation, s, step):
    """Improve every s_j in turn, in place."""
    # Anew in every sweep, since the updates' errors add up.
    inverse = np.asfortranarray(np.linalg.inv(2 * correlation - np.diag(s)))
    for j in range(len(s)):
        column = inverse[:, j].copy()
        change = step(s[j], column, j)
        s[j] += change
        # (D - change e_j e_j')^{-1} by Sherman and Morrison.
        factor = change / (1 - change * column[j])
        inverse = dger(factor, column, column, a=inverse, overwrite_a=1)


def _mvr_step(s, column, j):
    """Change of s_j that minimises trace((2R - S)^{-1}) + sum 1 / s."""
    norm = np.linalg.norm(column)
    return (1 - norm * s) / (norm + column[j])


def _maxent_step(s, column, j):
    """Change of s_j that maximises log det(2R - S) + sum log s."""
    return (1 / column[j] - s) / 2


def _conditional_sampler(correlation, kind):
    """A function `(Z, random_state) -> Z~` for standardised columns Z."""
    s = s_vector(correlation, kind)
    # E[Z~ | Z] = Z - Z R^{-1} S, cov(Z~ | Z) = 2S - S R^{-1} S.
    toward = np.linalg.solve(correlation, np.diag(s))
    values, vectors = np.linalg.eigh(2 * np.diag(s) - s[:, None] * toward)
    root = vectors * np.sqrt(np.maximum(values, 0))

    def sample(Z, random_state):
        return Z - Z @ toward + random_state.standard_normal(Z.shape) @ root.T

    return sample


def gaussian_sampler(
    X: np.ndarray, kind: str = "mvr", shrinkage: float | None = None
) -> Callable[[np.random.RandomState], np.ndarray]:
    """A function that draws Gaussian knockoffs of X, as :func:`gaussian_knockoffs` makes them.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    kind : {"mvr", "maxent", "equicorrelated"}, default="mvr"
    shrinkage : float, default=None

    Returns
    -------
    callable
        `(random_state) -> knockoffs`.
    """
    varies = np.ptp(X, axis=0) > 0
    if not varies.any():
        return lambda random_state: X.copy()
    mean, scale = X[:, varies].mean(0), X[:, varies].std(0)
    Z = (X[:, varies] - mean) / scale
    sample = _conditional_sampler(shrunk_correlation(Z, shrinkage), kind)

    def draw(random_state):
        knockoffs = X.copy()
        knockoffs[:, varies] = mean + scale * sample(Z, random_state)
        return knockoffs

    return draw


def copula_sampler(
    X: np.ndarray, kind: str = "mvr", shrinkage: float | None = None, random_state: Seed = None
) -> Callable:
    """A function that draws copula knockoffs of X, as :func:`copula_knockoffs` makes them.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    kind : {"mvr", "maxent", "equicorrelated"}, default="mvr"
    shrinkage : float, default=None
    random_state : int, RandomState instance or None, default=None
        Draws the scores that the correlation is estimated from.

    Returns
    -------
    callable
        `(random_state) -> knockoffs`.
    """
    varies = np.ptp(X, axis=0) > 0
    if not varies.any():
        return lambda random_state: X.copy()
    latent = NormalScores(X[:, varies], check_random_state(random_state), shrinkage)
    sample = _conditional_sampler(latent.correlation, kind)

    def draw(random_state):
        knockoffs = X.copy()
        scores = latent.redrawn(random_state, _SWEEPS_EACH)
        knockoffs[:, varies] = latent.values(sample(scores, random_state))
        return knockoffs

    return draw


def gaussian_knockoffs(
    X: MatrixLike, kind: str = "mvr", shrinkage: float | None = None, random_state: Seed = None
) -> np.ndarray:
    r"""Second-order knockoffs: columns with the means and correlations of X's, blind to y.

    X~ given X is normal with mean X - (X - \mu) \Sigma^{-1} S and covariance
    2S - S \Sigma^{-1} S ([1]_, eq. 3.2 and section 3.4.2), so that swapping any columns of X for
    their knockoffs leaves the first two moments of [X, X~] as they are; all of the distribution,
    where X is normal.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
    kind : {"mvr", "maxent", "equicorrelated"}, default="mvr"
        How far from X, see :func:`s_vector`.
    shrinkage : float, default=None
        Of the correlation, from 0 to 1; None is Ledoit and Wolf's.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    ndarray of shape (n_samples, n_features)
        A constant column is its own knockoff.

    See Also
    --------
    copula_knockoffs : For counts, categories and long tails.

    Notes
    -----
    The correlation is shrunk, so that more columns than samples and collinear columns are taken.
    What suffers: with few samples for the columns a knockoff is less correlated with the other
    columns than its own column is, and the error control is approximate. That shows most in
    importances which give credit to what is merely correlated with relevant columns, as those of
    forests do; a smaller `shrinkage` is safer, and finds less. A column that others nearly
    determine gets a knockoff nearly equal to itself, and power is lost, not the error control:
    drop copies of columns first. Time is cubic in the number of columns.

    References
    ----------
    .. [1] Candes, Fan, Janson & Lv (2018), *Panning for gold: model-X knockoffs for high
       dimensional controlled variable selection*, Journal of the Royal Statistical Society B
       80:551.

    Examples
    --------
    >>> import numpy as np
    >>> from sknninterp.evaluation.knockoffs import gaussian_knockoffs
    >>> X = np.random.default_rng(0).normal(size=(100, 3))
    >>> gaussian_knockoffs(X, random_state=0).shape
    (100, 3)
    """
    X = check_array(X, dtype=np.float64, ensure_min_samples=2)
    return gaussian_sampler(X, kind, shrinkage)(check_random_state(random_state))


def copula_knockoffs(
    X: MatrixLike, kind: str = "mvr", shrinkage: float | None = None, random_state: Seed = None
) -> np.ndarray:
    r"""Knockoffs with X's own values, for counts, categories in numbers, and long tails.

    X is taken for increasing functions of jointly normal columns. Gaussian knockoffs are made of
    these normal scores, and go back through each column's quantile function: every column's
    knockoff is a reordering of its own values, ties included. A gaussian knockoff of a column of 0
    and 1 would have other values, which a network can tell from the column.

    Where values are tied, the scores behind them are drawn given the other columns, so that
    correlations among counts are not diluted (see Hoff 2007, *Extending the rank likelihood for
    semiparametric copula estimation*).

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Numbers. The order of a category's numbers counts: code it by the order of its levels, or
        as columns of 0 and 1. The knockoffs of several such columns need not add up to 1 in a
        row as the columns do: leave one level out.
    kind : {"mvr", "maxent", "equicorrelated"}, default="mvr"
        How far from X, see :func:`s_vector`.
    shrinkage : float, default=None
        Of the correlation, from 0 to 1; None is Ledoit and Wolf's.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    ndarray of shape (n_samples, n_features)
        A constant column is its own knockoff.

    See Also
    --------
    gaussian_knockoffs : What suffers with few samples or collinear columns is the same here.

    Examples
    --------
    >>> import numpy as np
    >>> from sknninterp.evaluation.knockoffs import copula_knockoffs
    >>> X = np.random.default_rng(0).poisson(1, size=(100, 3))
    >>> bool((np.sort(copula_knockoffs(X, random_state=0), 0) == np.sort(X, 0)).all())
    True
    """
    X = check_array(X, dtype=np.float64, ensure_min_samples=2)
    random_state = check_random_state(random_state)
    return copula_sampler(X, kind, shrinkage, random_state)(random_state)


# --- the filter ---------------------------------------------------------------------------------


def knockoff_statistics(
    importances: ArrayLike, knockoff_importances: ArrayLike, statistic: str = "difference"
) -> np.ndarray:
    r"""W, positive where a column is more important than its knockoff.

    Parameters
    ----------
    importances, knockoff_importances : array-like of shape (..., n_features)
        Z and Z~, of the columns and of their knockoffs in the same fit, not negative.
    statistic : {"difference", "signed_max"}, default="difference"
        Z - Z~, or max(Z, Z~) sign(Z - Z~).

    Returns
    -------
    ndarray of shape (..., n_features)

    Raises
    ------
    ValueError
        If there is no such statistic.

    Examples
    --------
    >>> from sknninterp.evaluation.knockoffs import knockoff_statistics
    >>> knockoff_statistics([3.0, 1.0], [1.0, 2.0], "signed_max")
    array([ 3., -2.])
    """
    own, knockoff = np.asarray(importances), np.asarray(knockoff_importances)
    if statistic == "difference":
        return own - knockoff
    if statistic == "signed_max":
        return np.maximum(own, knockoff) * np.sign(own - knockoff)
    raise ValueError(f"statistic={statistic!r} must be 'difference' or 'signed_max'.")


def _estimated_shares(statistics, offset):
    """Candidate thresholds, ascending, and the share of false selections estimated at each."""
    statistics = np.asarray(statistics, dtype=float)
    thresholds = np.unique(np.abs(statistics[statistics != 0]))
    ascending = np.sort(statistics)
    n_above = len(statistics) - np.searchsorted(ascending, thresholds, side="left")
    n_below = np.searchsorted(ascending, -thresholds, side="right")
    return thresholds, (offset + n_below) / np.maximum(1, n_above)


def knockoff_threshold(statistics: ArrayLike, fdr: float = 0.1, offset: int = 1) -> float:
    r"""Smallest threshold at which the estimated share of false selections is at most `fdr`.

    min{t > 0: (offset + #{W_j <= -t}) / max(1, #{W_j >= t}) <= fdr} over t = \|W_j\| [1]_. With the
    offset of 1 (knockoff+), selecting W_j >= t has an expected share of false selections of at
    most `fdr`.

    Parameters
    ----------
    statistics : array-like of shape (n_features,)
        W.
    fdr : float, default=0.1
    offset : {0, 1}, default=1
        0 bounds E[V / (R + 1 / fdr)] alone, V of R selections being false.

    Returns
    -------
    float
        Infinity if there is no such threshold. With the offset of 1 there is none unless at least
        1 / `fdr` features are selected.

    References
    ----------
    .. [1] Barber & Candes (2015), *Controlling the false discovery rate via knockoffs*, Annals of
       Statistics 43:2055, eqs. 1.8 and 1.9.

    Examples
    --------
    >>> from sknninterp.evaluation.knockoffs import knockoff_threshold
    >>> knockoff_threshold([5, 4, 3, 2, -1], fdr=0.25)
    2.0
    """
    thresholds, shares = _estimated_shares(statistics, offset)
    allowed = thresholds[shares <= fdr]
    return float(allowed[0]) if len(allowed) else np.inf


def knockoff_q_values(statistics: ArrayLike, offset: int = 1) -> np.ndarray:
    """Smallest `fdr` at which each feature would be selected.

    Parameters
    ----------
    statistics : array-like of shape (n_features,)
        W.
    offset : {0, 1}, default=1
        As for :func:`knockoff_threshold`.

    Returns
    -------
    ndarray of shape (n_features,)
        1 where W is not positive. (The level has to be chosen before q-values are looked at: a
        level read off them controls nothing.)

    Examples
    --------
    >>> from sknninterp.evaluation.knockoffs import knockoff_q_values
    >>> knockoff_q_values([5, 4, 3, 2, -1])
    array([0.25, 0.25, 0.25, 0.25, 1.  ])
    """
    statistics = np.asarray(statistics, dtype=float)
    thresholds, shares = _estimated_shares(statistics, offset)
    q_values = np.ones(len(statistics))
    positive = statistics > 0
    best = np.minimum.accumulate(np.minimum(1, shares))
    q_values[positive] = best[np.searchsorted(thresholds, statistics[positive])]
    return q_values


def knockoff_e_values(statistics: ArrayLike, fdr: float = 0.05) -> np.ndarray:
    r"""Evidence against each feature's irrelevance in one draw of knockoffs.

    e_j = p 1[W_j >= T] / (1 + #{W <= -T}), with T the knockoff+ threshold at `fdr`. Their mean over
    draws is evidence of the same kind, and :func:`e_benjamini_hochberg` selects with it [1]_.

    Parameters
    ----------
    statistics : array-like of shape (n_features,)
        W.
    fdr : float, default=0.05
        Level of the single draw: any will do for the error control, half of that of the selection
        is recommended.

    Returns
    -------
    ndarray of shape (n_features,)
        Of irrelevant features the sum is expected to be at most p.

    References
    ----------
    .. [1] Ren & Barber (2024), *Derandomised knockoffs: leveraging e-values for false discovery
       rate control*, Journal of the Royal Statistical Society B 86:122.

    Examples
    --------
    >>> from sknninterp.evaluation.knockoffs import knockoff_e_values
    >>> knockoff_e_values([5, 4, 3, 2, -1], fdr=0.25)
    array([5., 5., 5., 5., 0.])
    """
    statistics = np.asarray(statistics, dtype=float)
    threshold = knockoff_threshold(statistics, fdr)
    above = statistics >= threshold
    return len(statistics) * above / (1 + np.sum(statistics <= -threshold))


def e_benjamini_hochberg(e_values: ArrayLike) -> np.ndarray:
    """Smallest `fdr` at which the Benjamini-Hochberg procedure for e-values selects each feature.

    At level `fdr` the k largest are selected, with k the largest number for which the k-th largest
    is at least p / (k `fdr`) [1]_: those whose value here is at most `fdr`. The false discovery
    rate is held whatever the dependence among the e-values.

    Parameters
    ----------
    e_values : array-like of shape (n_features,)

    Returns
    -------
    ndarray of shape (n_features,)
        At most 1.

    References
    ----------
    .. [1] Wang & Ramdas (2022), *False discovery rate control with e-values*, Journal of the Royal
       Statistical Society B 84:822.

    Examples
    --------
    >>> from sknninterp.evaluation.knockoffs import e_benjamini_hochberg
    >>> e_benjamini_hochberg([40, 40, 10, 0]).round(3)
    array([0.05 , 0.05 , 0.133, 1.   ])
    """
    e_values = np.asarray(e_values, dtype=float)
    order = np.argsort(-e_values, kind="stable")
    with np.errstate(divide="ignore"):
        levels = len(e_values) / (np.arange(1, len(e_values) + 1) * e_values[order])
    adjusted = np.empty(len(e_values))
    # From the last on: whoever is selected, so are all with more evidence.
    adjusted[order] = np.minimum(1, np.minimum.accumulate(levels[::-1])[::-1])
    return adjusted
