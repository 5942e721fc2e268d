"""A Gaussian copula for columns with ties: the normal scores behind counts and categories."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from sknninterp.evaluation._correlation import shrunk_correlation

# Scores are drawn by correlations with no smaller eigenvalue. Ledoit and Wolf's shrinkage at every
# turn would add up: scores drawn by weaker correlations have weaker ones.
_SMALLEST = 0.05


class NormalScores:
    r"""Normal scores of the columns of X, drawn where ties leave them open.

    X is thought of as increasing functions of jointly normal columns Z. A value that occurs once
    fixes its score; a value that occurs often fixes the interval
    (\Phi^{-1}(share below), \Phi^{-1}(share up to it)), and the score is drawn from the normal
    distribution given the other columns, within it (Gibbs sampling as for the extended rank
    likelihood [1]_). In turn with these draws the correlation is estimated from the scores.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        No column constant.
    random_state : RandomState
    shrinkage : float, default=None
        Of the correlation; None is Ledoit and Wolf's.
    n_sweeps : int, default=20
        Draws of all scores; the last is by the mean correlation of the last half.

    Attributes
    ----------
    scores : ndarray of shape (n_samples, n_features)
        Z, the last draw.
    correlation : ndarray of shape (n_features, n_features)
        Of the scores, shrunk.

    References
    ----------
    .. [1] Hoff (2007), *Extending the rank likelihood for semiparametric copula estimation*,
       Annals of Applied Statistics 1:265.
    """

    def __init__(
        self,
        X: np.ndarray,
        random_state: np.random.RandomState,
        shrinkage: float | None = None,
        n_sweeps: int = 20,
    ):
        self.sorted_values = np.sort(X, axis=0)
        n_samples = len(X)
        below, up_to = (
            np.stack(
                [
                    np.searchsorted(values, column, side=side)
                    for values, column in zip(self.sorted_values.T, X.T, strict=True)
                ],
                axis=1,
            )
            for side in ("left", "right")
        )
        self.tied = np.flatnonzero((up_to - below > 1).any(0))
        self._lower, self._upper = ndtri(below / n_samples), ndtri(up_to / n_samples)
        self._fixed = up_to - below == 1
        ranks = np.argsort(np.lexsort((random_state.uniform(size=X.shape), X), axis=0), axis=0)
        self.scores = ndtri((ranks + 0.5) / n_samples)
        self._between = self._plain()
        if len(self.tied):
            kept = []
            for _ in range(n_sweeps):
                self.scores = self.redrawn(random_state)
                self._between = self._plain()
                kept.append(self._between)
            kept = kept[n_sweeps // 2 :]
            self._between = sum(kept) / len(kept)
            self.scores = self.redrawn(random_state)
        self.correlation = shrunk_correlation(self.scores, shrinkage)

    def _plain(self):
        return shrunk_correlation(self.scores, shrinkage=0, smallest=_SMALLEST)

    def redrawn(self, random_state: np.random.RandomState, n_sweeps: int = 1) -> np.ndarray:
        """Scores drawn anew, from the last draw on.

        Parameters
        ----------
        random_state : RandomState
        n_sweeps : int, default=1

        Returns
        -------
        ndarray of shape (n_samples, n_features)
        """
        scores = self.scores.copy(order="F")
        if not len(self.tied):
            return scores
        precision = np.linalg.inv(self._between)
        for _ in range(n_sweeps):
            for j in self.tied:
                variance = 1 / precision[j, j]
                mean = scores[:, j] - variance * (scores @ precision[j])
                drawn = _truncated_normal(
                    mean, variance**0.5, self._lower[:, j], self._upper[:, j], random_state
                )
                scores[:, j] = np.where(self._fixed[:, j], scores[:, j], drawn)
        return scores

    def values(self, scores: np.ndarray) -> np.ndarray:
        """Columns of X's own values, in the order of some scores.

        Parameters
        ----------
        scores : ndarray of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Every column has exactly the values of X's, ties included.
        """
        ranks = np.argsort(np.argsort(scores, axis=0), axis=0)
        return np.take_along_axis(self.sorted_values, ranks, axis=0)


def _truncated_normal(mean, scale, lower, upper, random_state):
    """One draw each from normal distributions between bounds."""
    low, high = (lower - mean) / scale, (upper - mean) / scale
    # Small probabilities are exact in the lower tail only, so the upper one is mirrored.
    flipped = low > 0
    low, high = np.where(flipped, -high, low), np.where(flipped, -low, high)
    share = random_state.uniform(size=len(mean))
    drawn = ndtri(ndtr(low) + share * (ndtr(high) - ndtr(low)))
    drawn = mean + scale * np.where(flipped, -drawn, drawn)
    return np.clip(drawn, lower, upper)
