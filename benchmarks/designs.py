"""Simulated tables of which it is known what matters, for `benchmarks.ground_truth`.

1,000 samples to train on and 2,000 to test, 200 columns of which 20 matter, unless said otherwise;
a logit of standard deviation 2, from which the class is drawn.

==================  ==========================================================================
linear              normal columns, weights of 0.5 to 1.5 with random signs
additive            squares, absolute values, sines of twice the column and steps, five each
interactions        products of four pairs, 60 columns, a logit of standard deviation 3
xor                 products of the signs of three pairs, 40 columns
correlated blocks   40 blocks of five columns, correlated by 0.8; one column of each of ten
class-specific      four classes, five columns for each; a softmax
wide                1,000 columns, 500 samples, ten that matter, half of them as squares
heavy tails         t distribution of two degrees of freedom, the tanh of twice each column
categories          100 normal columns and 100 of four levels; ten of each matter
missing values      as additive, a fifth of all values missing
label noise         as additive, a fifth of the labels turned
copies              as linear, each of the 20 with a copy of correlation 0.9 (not asked about)
==================  ==========================================================================
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit, softmax

__all__ = ["DESIGNS", "Table", "make"]

N_TEST = 2000


class Table(NamedTuple):
    """A design's samples, and which columns matter (NaN: not asked)."""

    X: pd.DataFrame
    y: np.ndarray
    X_test: pd.DataFrame
    y_test: np.ndarray
    relevant: np.ndarray


def make(name: str, seed: int) -> Table:
    """The table of a design, anew for each seed."""
    rng = np.random.default_rng([seed, list(DESIGNS).index(name)])
    n_train = 500 if name == "wide" else 1000
    X, logits, relevant = DESIGNS[name](rng, n_train + N_TEST)
    y = drawn(rng, logits)
    if name == "missing values":
        X = X.mask(rng.random(X.shape) < 0.2)
    if name == "label noise":
        turned = rng.random(len(y)) < 0.2
        turned[n_train:] = False
        y = np.where(turned, 1 - y, y)
    # The order of columns tells nothing.
    order = rng.permutation(X.shape[1])
    X = X.iloc[:, order]
    return Table(X[:n_train], y[:n_train], X[n_train:], y[n_train:], relevant[order])


def drawn(rng, logits):
    if logits.ndim == 1:
        return (rng.random(len(logits)) < expit(logits)).astype(int)
    shares = softmax(logits, axis=1).cumsum(1)
    return (rng.random((len(logits), 1)) > shares).sum(1).clip(max=logits.shape[1] - 1)


def scaled(values, size=2.0):
    return size * (values - values.mean()) / values.std()


def frame(values):
    return pd.DataFrame(values, columns=[f"x{i}" for i in range(values.shape[1])])


def first(n_relevant, n_features):
    relevant = np.zeros(n_features)
    relevant[:n_relevant] = 1
    return relevant


def weights(rng, n):
    return rng.uniform(0.5, 1.5, n) * rng.choice([-1, 1], n)


def shapes(X):
    """Of each column a function of variance one, four kinds in turn."""
    kinds = [
        lambda x: (x**2 - 1) / 2**0.5,
        lambda x: (np.abs(x) - 0.798) / 0.603,
        lambda x: np.sin(2 * x) / 0.707,
        lambda x: (np.abs(x) < 0.674) * 2.0 - 1,
    ]
    return np.column_stack([kinds[i % 4](X[:, i]) for i in range(X.shape[1])])


def linear(rng, n):
    X = rng.normal(size=(n, 200))
    return frame(X), scaled(X[:, :20] @ weights(rng, 20)), first(20, 200)


def additive(rng, n):
    X = rng.normal(size=(n, 200))
    return frame(X), scaled(shapes(X[:, :20]) @ weights(rng, 20)), first(20, 200)


def interactions(rng, n):
    X = rng.normal(size=(n, 60))
    products = X[:, :8:2] * X[:, 1:8:2]
    return frame(X), scaled(products @ weights(rng, 4), 3.0), first(8, 60)


def xor(rng, n):
    X = rng.normal(size=(n, 40))
    signs = np.sign(X[:, :6:2] * X[:, 1:6:2])
    return frame(X), scaled(signs @ weights(rng, 3)), first(6, 40)


def correlated_blocks(rng, n):
    common = rng.normal(size=(n, 40, 1))
    X = (0.8**0.5 * common + 0.2**0.5 * rng.normal(size=(n, 40, 5))).reshape(n, 200)
    which = 5 * np.arange(10)
    relevant = np.zeros(200)
    relevant[which] = 1
    return frame(X), scaled(X[:, which] @ weights(rng, 10)), relevant


def class_specific(rng, n):
    X = rng.normal(size=(n, 200))
    logits = [scaled(X[:, 5 * k : 5 * k + 5] @ weights(rng, 5)) for k in range(4)]
    return frame(X), np.column_stack(logits), first(20, 200)


def wide(rng, n):
    X = rng.normal(size=(n, 1000))
    effects = np.column_stack([X[:, :5], (X[:, 5:10] ** 2 - 1) / 2**0.5])
    return frame(X), scaled(effects @ weights(rng, 10), 3.0), first(10, 1000)


def heavy_tails(rng, n):
    X = rng.standard_t(2, size=(n, 200))
    return frame(X), scaled(np.tanh(2 * X[:, :20]) @ weights(rng, 20)), first(20, 200)


def categories(rng, n):
    numbers = rng.normal(size=(n, 100))
    levels = rng.integers(0, 4, size=(n, 100))
    effects = rng.normal(size=(10, 4))
    effects -= effects.mean(1, keepdims=True)
    of_levels = sum(effects[j, levels[:, j]] for j in range(10))
    logits = scaled(scaled(numbers[:, :10] @ weights(rng, 10), 1.0) + scaled(of_levels, 1.0))
    columns = {f"x{i}": numbers[:, i] for i in range(100)}
    columns |= {f"c{i}": np.array(list("abcd"))[levels[:, i]] for i in range(100)}
    relevant = np.tile(first(10, 100), 2)
    return pd.DataFrame(columns), logits, relevant


def copies(rng, n):
    X, logits, relevant = linear(rng, n)
    noise = rng.normal(size=(n, 20))
    X.iloc[:, 20:40] = 0.9 * X.iloc[:, :20].to_numpy() + 0.19**0.5 * noise
    relevant[20:40] = np.nan
    return X, logits, relevant


DESIGNS = {
    "linear": linear,
    "additive": additive,
    "interactions": interactions,
    "xor": xor,
    "correlated blocks": correlated_blocks,
    "class-specific": class_specific,
    "wide": wide,
    "heavy tails": heavy_tails,
    "categories": categories,
    "missing values": additive,
    "label noise": additive,
    "copies": copies,
}
