"""Intervals of means over samples, by resampling the samples."""

from __future__ import annotations

import numpy as np

from sknninterp.evaluation._checks import check_inside

N_RESAMPLES = 1000
_MOST_BLOCKS = 2000


class Bootstrap:
    """Means over samples, with percentile intervals from samples drawn again.

    All that is asked of one object is resampled alike, so that differences and ratios of means
    that are taken over the same samples are paired.

    Parameters
    ----------
    n_samples : int
        Of a single sample there is no interval: its limits are NaN.
    confidence_level : float, default=0.95
    seed : int, default=0

    Examples
    --------
    >>> import numpy as np
    >>> from sknninterp.evaluation._bootstrap import Bootstrap
    >>> mean, lower, upper = Bootstrap(100).mean(np.arange(100.0))
    >>> float(mean), bool(40 < lower < mean < upper < 60)
    (49.5, True)
    """

    def __init__(self, n_samples: int, confidence_level: float = 0.95, seed: int = 0):
        check_inside("confidence_level", confidence_level, 0, 1)
        self.n_samples, self.confidence_level = n_samples, confidence_level
        rng, n_blocks = np.random.default_rng(seed), min(n_samples, _MOST_BLOCKS)
        # Of very many samples, random blocks of them are drawn: it is as good, and quicker.
        self._blocks = np.arange(n_samples) % n_blocks
        if n_blocks < n_samples:
            rng.shuffle(self._blocks)
        chances = np.full(n_blocks, 1 / n_blocks)
        counts = rng.multinomial(n_blocks, chances, size=N_RESAMPLES)
        sizes = counts @ np.bincount(self._blocks)
        self._weights = counts / sizes[:, None]

    def mean(self, values: np.ndarray) -> tuple:
        """Mean of `values` (n_samples, ...) over samples, with its lower and upper limit."""
        return values.mean(0), *self._limits(self._resampled(values))

    def ratio(self, values: np.ndarray, others: np.ndarray) -> tuple:
        """Ratio of two means over the same samples, with its lower and upper limit."""
        # Of means that are 0 it is NaN or infinite, which says enough.
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = values.mean(0) / others.mean(0)
            return ratio, *self._limits(self._resampled(values) / self._resampled(others))

    def _resampled(self, values):
        sums = np.zeros((self._weights.shape[1], *np.shape(values)[1:]))
        np.add.at(sums, self._blocks, values)
        return np.tensordot(self._weights, sums, axes=1)

    def _limits(self, means):
        if self.n_samples < 2:
            missing = np.full(means.shape[1:], np.nan)[()]
            return missing, missing
        tail = (1 - self.confidence_level) / 2
        return np.quantile(means, tail, axis=0), np.quantile(means, 1 - tail, axis=0)
