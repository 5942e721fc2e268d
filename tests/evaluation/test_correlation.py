"""Shrunk correlations: a diagonal of 1, invertible, near the truth with many samples."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from sknninterp.evaluation._correlation import shrunk_correlation


@pytest.mark.parametrize("shape", [(50, 5), (10, 40), (5, 1)], ids=str)
def test_is_a_correlation_that_can_be_inverted(shape):
    X = np.random.default_rng(0).normal(size=shape) * 100 + 5
    found = shrunk_correlation(X)
    np.testing.assert_allclose(found.diagonal(), 1)
    np.testing.assert_allclose(found, found.T)
    assert np.linalg.eigvalsh(found)[0] >= 0.9e-4


def test_shrinks_as_ledoit_and_wolf_do():
    X = np.random.default_rng(0).normal(size=(30, 6)) @ np.random.default_rng(1).normal(size=(6, 6))
    scaled = (X - X.mean(0)) / X.std(0)
    expected = LedoitWolf(assume_centered=True).fit(scaled).covariance_
    np.testing.assert_allclose(shrunk_correlation(X), expected)


def test_copies_of_a_column_with_many_samples():
    x = np.random.default_rng(0).normal(size=(100_000, 1))
    found = shrunk_correlation(np.hstack([x, x, -x]))
    np.testing.assert_allclose(found[0], [1, 1, -1], atol=1e-3)
    assert np.linalg.eigvalsh(found)[0] == pytest.approx(1e-4, rel=1e-3)


def test_a_given_shrinkage_and_eigenvalue():
    X = np.random.default_rng(0).normal(size=(30, 4)) + np.random.default_rng(1).normal(
        size=(30, 1)
    )
    R = np.corrcoef(X, rowvar=False)
    np.testing.assert_allclose(shrunk_correlation(X, 0), R)
    np.testing.assert_allclose(shrunk_correlation(X, 0.3), 0.7 * R + 0.3 * np.eye(4))
    np.testing.assert_array_equal(shrunk_correlation(X, 1), np.eye(4))
    assert np.linalg.eigvalsh(shrunk_correlation(X, 0, 0.9))[0] == pytest.approx(0.9)
    few = shrunk_correlation(X[:3], 0, smallest=0.05)
    assert np.linalg.eigvalsh(few)[0] == pytest.approx(0.05)
    np.testing.assert_allclose(few.diagonal(), 1)
    with pytest.raises(ValueError, match="shrinkage=1.5 must be from 0 to 1"):
        shrunk_correlation(X, 1.5)
