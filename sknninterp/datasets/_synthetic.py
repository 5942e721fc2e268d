"""Synthetic sets whose relevant features are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.utils import check_random_state

from ._base import check_choice

# Jung, Shin, Kwon: (relevant features, exponent g of their columns).
_BENCHMARKS: dict[str, tuple[int, Callable[[np.ndarray], np.ndarray]]] = {
    "two-features": (2, lambda X: X[:, 0] * X[:, 1]),
    "plus-one": (2, lambda X: X[:, 0] * X[:, 1] - 2),
    "orange-skin": (4, lambda X: (X**2).sum(axis=1) - 10),
}


def make_interaction_benchmark(
    name: str,
    n_samples: int = 1000,
    *,
    n_features: int = 10,
    low: float = 0.0,
    high: float = 1.0,
    labels: str = "soft",
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make one of the synthetic sets of Jung, Shin and Kwon.

    All features are uniform on [`low`, `high`); only the first two or four matter, through an
    exponent g: P(class 1) = 1 / (1 + exp(g)).

    ==============  =====================================================
    name            g
    ==============  =====================================================
    two-features    x0 x1
    plus-one        x0 x1 - 2
    orange-skin     x0^2 + x1^2 + x2^2 + x3^2 - 10
    ==============  =====================================================

    Parameters
    ----------
    name : {"two-features", "plus-one", "orange-skin"}
        Which exponent.
    n_samples : int, default=1000
        The paper takes 80,000.
    n_features : int, default=10
        Relevant and irrelevant features together.
    low, high : float, default=0.0 and 1.0
        The range of the features; the paper takes [0, 1] and [1, 2].
    labels : {"soft", "hard", "sampled"}, default="soft"
        The probabilities themselves, the more probable class, or a class drawn with these
        probabilities. The paper trains on the probabilities.
    random_state : int, RandomState instance or None, default=None
        An int gives the same set on every call.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features), float64
    y : ndarray of shape (n_samples, 2), float64, or (n_samples,), int64
        For soft labels the probabilities of class 0 and class 1, in this order, as
        `predict_proba` has them.
    relevant : ndarray of shape (2,) or (4,), int64
        Indices of the features that matter.

    Raises
    ------
    ValueError
        If `name` or `labels` is not one of the above, there are fewer features than relevant
        ones, or `low` is not below `high`.

    Notes
    -----
    A larger relevant feature makes class *0* more probable. Two-features on any range of
    non-negative numbers, and plus-one and orange-skin on [0, 1], have a more probable class that
    is the same for all samples, so hard labels there are of one class.

    References
    ----------
    .. [1] Jung, Shin, Kwon, "A Metric to Measure Contribution of Nodes in Neural Networks".

    Examples
    --------
    >>> from sknninterp.datasets import make_interaction_benchmark
    >>> X, y, relevant = make_interaction_benchmark("orange-skin", 5, low=1, high=2, random_state=0)
    >>> X.shape, y.shape, relevant.tolist()
    ((5, 10), (5, 2), [0, 1, 2, 3])
    """
    check_choice("name", name, _BENCHMARKS)
    check_choice("labels", labels, ("soft", "hard", "sampled"))
    n_relevant, exponent = _BENCHMARKS[name]
    _check_count("n_samples", n_samples, 1)
    _check_count("n_features", n_features, n_relevant)
    if not low < high:
        raise ValueError(f"low must be below high, got low={low!r} and high={high!r}")
    rng = check_random_state(random_state)
    X = rng.uniform(low, high, size=(n_samples, n_features))
    proba = expit(-exponent(X[:, :n_relevant]))
    if labels == "soft":
        y = np.column_stack([1 - proba, proba])
    else:
        threshold = 0.5 if labels == "hard" else rng.uniform(size=n_samples)
        y = (proba > threshold).astype(np.int64)
    return X, y, np.arange(n_relevant)


def make_relevant_features(
    n_samples: int = 1000,
    n_features: int = 200,
    *,
    n_relevant: int = 20,
    kind: str = "linear",
    flip_y: float = 0.01,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make a balanced two-class problem in which few of the features matter.

    Features are independent and standard normal. The relevant ones, at random places, give a
    score; class 1 is the half of the samples with the higher score.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of samples, at least 2.
    n_features : int, default=200
        Relevant and irrelevant features together.
    n_relevant : int, default=20
        Number of features in the score; even for "interactions".
    kind : {"linear", "interactions", "nonlinear"}, default="linear"
        The score, with weights of random sign and a size between 0.5 and 1.5: a weighted sum of
        the features; of the products of pairs of them, so that no feature matters alone; or of,
        in turn, their square, absolute value, sine of three times and exponential.
    flip_y : float, default=0.01
        Share of the labels that are exchanged afterwards, in [0, 0.5].
    random_state : int, RandomState instance or None, default=None
        An int gives the same set on every call.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features), float64
    y : ndarray of shape (n_samples,), int64
    relevant : ndarray of shape (n_relevant,), int64
        Indices of the features in the score, ascending.

    Raises
    ------
    ValueError
        If a count is too small, `n_relevant` is more than `n_features` or odd for
        "interactions", or `kind` or `flip_y` is not one of the above.

    Examples
    --------
    >>> from sknninterp.datasets import make_relevant_features
    >>> X, y, relevant = make_relevant_features(100, 8, n_relevant=2, random_state=0)
    >>> X.shape, int(y.sum()), relevant.size
    ((100, 8), 51, 2)
    """
    check_choice("kind", kind, _TERMS)
    _check_count("n_samples", n_samples, 2)
    _check_count("n_relevant", n_relevant, 1)
    _check_count("n_features", n_features, n_relevant)
    if kind == "interactions" and n_relevant % 2:
        raise ValueError(f"n_relevant must be even for kind='interactions', got {n_relevant!r}")
    if not 0 <= flip_y <= 0.5:
        raise ValueError(f"flip_y must be between 0 and 0.5, got {flip_y!r}")
    rng = check_random_state(random_state)
    X = rng.standard_normal((n_samples, n_features))
    relevant = rng.choice(n_features, n_relevant, replace=False)
    terms = _TERMS[kind](X[:, relevant])
    weights = rng.uniform(0.5, 1.5, terms.shape[1]) * rng.choice([-1, 1], terms.shape[1])
    ranks = (terms @ weights).argsort().argsort()
    y = (ranks >= n_samples // 2).astype(np.int64)
    flipped = rng.choice(n_samples, round(flip_y * n_samples), replace=False)
    y[flipped] = 1 - y[flipped]
    return X, y, np.sort(relevant)


def _nonlinear_terms(X: np.ndarray) -> np.ndarray:
    functions = (np.square, np.abs, lambda x: np.sin(3 * x), np.exp)
    return np.column_stack([functions[i % 4](column) for i, column in enumerate(X.T)])


_TERMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda X: X,
    "interactions": lambda X: X[:, ::2] * X[:, 1::2],
    "nonlinear": _nonlinear_terms,
}


def _check_count(name: str, value: Any, at_least: int) -> None:
    if value < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {value!r}")
