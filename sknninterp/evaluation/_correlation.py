"""Correlations that can be inverted, whatever the number of samples."""

from __future__ import annotations

import numpy as np
from sklearn.covariance import ledoit_wolf

# Smallest eigenvalue that a correlation matrix is left with.
_SMALLEST = 1e-4


def shrunk_correlation(
    X: np.ndarray, shrinkage: float | None = None, smallest: float = _SMALLEST
) -> np.ndarray:
    r"""Correlations of the columns of X, shrunk towards none until they can be inverted.

    (1 - \delta) R + \delta I, whose diagonal stays 1; with a larger \delta where the smallest
    eigenvalue would be too small.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        No column constant.
    shrinkage : float, default=None
        \delta; None is Ledoit and Wolf's.
    smallest : float, default=1e-4
        Eigenvalue.

    Returns
    -------
    ndarray of shape (n_features, n_features)

    Raises
    ------
    ValueError
        If the shrinkage is not from 0 to 1.
    """
    if shrinkage is not None and not 0 <= shrinkage <= 1:
        raise ValueError(f"shrinkage={shrinkage} must be from 0 to 1.")
    X = (X - X.mean(0)) / X.std(0)
    if shrinkage is None:
        correlation, _ = ledoit_wolf(X, assume_centered=True)
    else:
        correlation = _shrunk(X.T @ X / len(X), shrinkage)
    found = np.linalg.eigvalsh(correlation)[0]
    if found < smallest:
        correlation = _shrunk(correlation, (smallest - found) / (1 - found))
    return correlation


def _shrunk(correlation, share):
    return (1 - share) * correlation + share * np.eye(len(correlation))
