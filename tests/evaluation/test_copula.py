"""Normal scores: within the bounds of ties, with the correlation of the columns behind them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest, norm, truncnorm

from sknninterp.evaluation._copula import NormalScores, _truncated_normal


def correlated(n, rho):
    R = np.array([[1, rho], [rho, 1]])
    return np.random.default_rng(0).multivariate_normal([0, 0], R, size=n)


def test_scores_without_ties_are_those_of_the_ranks():
    X = np.array([[3.0, 1.0], [1.0, 2.0], [2.0, 30.0], [10.0, 0.0]])
    latent = NormalScores(X, np.random.RandomState(0))
    ranks = np.array([[3, 2], [1, 3], [2, 4], [4, 1]])
    np.testing.assert_allclose(latent.scores, norm.ppf((ranks - 0.5) / 4))
    assert len(latent.tied) == 0
    np.testing.assert_array_equal(latent.redrawn(np.random.RandomState(1)), latent.scores)


def test_scores_lie_within_the_bounds_of_their_ties():
    X = np.array([[0, 1.5], [0, 1], [0, 2], [1, 7], [2, 7], [2, 5]], dtype=float)
    random_state = np.random.RandomState(0)
    latent = NormalScores(X, random_state)
    for _ in range(20):
        scores = latent.redrawn(random_state)
        for j, column in enumerate(X.T):
            for score, value in zip(scores[:, j], column, strict=True):
                below, up_to = np.mean(column < value), np.mean(column <= value)
                assert norm.ppf(below) <= score <= norm.ppf(up_to)
        np.testing.assert_array_equal(latent.values(scores), X)
    # Values that occur once have a fixed score.
    np.testing.assert_array_equal(scores[3, 0], latent.scores[3, 0])


@pytest.mark.parametrize("cut", [0.0, 0.8])
def test_correlation_behind_two_binary_columns(cut):
    X = (correlated(8000, 0.6) > cut).astype(float)
    latent = NormalScores(X, np.random.RandomState(0))
    assert latent.correlation[0, 1] == pytest.approx(0.6, abs=0.05)
    assert np.corrcoef(X, rowvar=False)[0, 1] < 0.45
    drawn = latent.redrawn(np.random.RandomState(1))
    assert np.corrcoef(drawn, rowvar=False)[0, 1] == pytest.approx(0.6, abs=0.06)
    assert kstest(drawn[:, 0], "norm").pvalue > 1e-3


@pytest.mark.parametrize(
    "bounds", [(-1, 0.5), (4, 5), (-9, -8), (9, np.inf), (-np.inf, 0)], ids=str
)
def test_truncated_normal_is_scipys(bounds):
    n, mean, scale = 4000, 0.3, 0.7
    lower, upper = (np.full(n, bound) for bound in bounds)
    drawn = _truncated_normal(np.full(n, mean), scale, lower, upper, np.random.RandomState(0))
    a, b = ((bound - mean) / scale for bound in bounds)
    assert kstest(drawn, truncnorm(a, b, loc=mean, scale=scale).cdf).pvalue > 1e-3


def test_truncated_normal_far_out_stays_within_its_bounds():
    lower, upper = np.full(5, 60.0), np.full(5, 61.0)
    drawn = _truncated_normal(np.zeros(5), 1.0, lower, upper, np.random.RandomState(0))
    assert ((lower <= drawn) & (drawn <= upper)).all()


def test_shrinkage_of_many_columns_does_not_add_up():
    """Few samples for the columns, half of which are binary: their scores are drawn."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(200, 100))
    for j in range(1, 100):
        Z[:, j] = 0.7 * Z[:, j - 1] + 0.51**0.5 * Z[:, j]
    X = np.where(np.arange(100) % 2 == 0, Z > 0.5, Z)

    def neighbours(shrinkage):
        latent = NormalScores(X, np.random.RandomState(0), shrinkage)
        return latent.correlation.diagonal(1).mean()

    assert neighbours(0) > 0.6
    assert neighbours(0.5) == pytest.approx(neighbours(0) / 2, rel=0.02)
