"""Random parameters and data, valid and not, for `benchmarks.fuzz`: hypothesis strategies."""

from __future__ import annotations

import math
from numbers import Integral, Real

import numpy as np
import pandas as pd
import torch
from hypothesis import strategies as st
from scipy import sparse, stats
from sklearn.utils._param_validation import Interval, Options, make_constraint

# What no parameter means, and what some do: each is tried everywhere.
JUNK = [
    None,
    True,
    0,
    1,
    -1,
    2.5,
    1e9,
    -0.0,
    math.nan,
    math.inf,
    "",
    "bogus",
    "auto",
    b"bytes",
    (),
    [],
    {},
    (0,),
    [1, -2],
    [math.nan],
    ["a", None],
    {"a": 1},
    {0: 1.0, 1: math.nan},
    np.int64(3),
    np.float32(0.5),
    np.array([1, 2]),
    np.array([[0.5]]),
    np.array("text"),
    pd.Series([1, 2]),
    pd.NA,
    object(),
    object,
    len,
    lambda *arguments: 0,
    slice(3),
    1 + 2j,
    range(3),
]

# Not all that is valid is quick, and a few constraints do not say what is valid.
VALID = {
    "hidden_layer_sizes": [(4,), (3, 2), 5, [4], (), np.array([3, 3])],
    "max_epochs": [1, 2, np.int32(3)],
    "batch_size": [1, 2, 7, 1000],
    "n_networks": [1, 2, 3],
    "module": [None, lambda n_inputs, n_outputs: torch.nn.Linear(n_inputs, n_outputs)],
    "optimizer": ["adam", "sgd", "adamw", "adam_mini", torch.optim.Adam],
    "lr": [1e-3, 0.1, 1e3, 1e30],
    "numeric_embedding": ["spline", "piecewise", "periodic", None],
    "criterion": ["kl", "magnitude", "apoz", "taylor", "influence", "selectivity", "random"],
    "target_distribution": ["auto", "relu", "tanh", stats.norm(0, 1), stats.expon()],
    "target_layers": ["all", 0, [0], "bogus", (0, 1), -1],
    "bin_range": [(-3, 3), (0, 1), [-1.5, 2]],
    "class_weight": [None, "balanced", {0: 1, 1: 2}, {"a": 1.0, "b": 0.0}, {7: 1}],
    "callbacks": [None, []],
    "device": ["auto", "cpu", torch.device("cpu"), "cuda:99"],
    "n_bins": [2, 5, 22],
    "n_components": [1, 3, 8],
    "n_iter": [0, 1, 2],
    "n_steps": [1, 2, 5],
    "aux_epochs": [None, 1, 2],
    "aux_hidden": [None, 3, (2,), "authors"],
    "layers": ["all", 1, "last", [1], ("layer_1",)],
    "threshold": [0.0, 0.5, {"layer_1": 0.1}],
    "scoring": [None, "accuracy", "r2", "neg_log_loss", "bogus"],
    "cv": [None, 2, 3, 100],
    "estimator": [None],
    "explainer": [None],
    "pruning_rates": [[0.0, 0.5], (0.3,), [0.0, 0.0], np.array([0.1, 0.9])],
    "input_penalties": [[0.0, 0.1], (0.3,), [-1.0]],
    "numeric_embeddings": ["auto", [None], ["spline", "periodic"], ["bogus"]],
    "n_subsamples": [2, 4],
    "n_repeats": [1, 2],
    "n_knockoffs": [1, 2],
    "patience": [1, 3],
    "target": [None, "predicted", 0, 1, [0, 1], "a", 9],
    "baseline": ["mean", "zero", 0.5, [0.0, 1.0], np.zeros((2, 3))],
    "source": ["input", "layer_1", "bogus"],
    "target_layer": ["output", "layer_1", "bogus"],
    "importance_getter": ["auto", "coef_", "bogus"],
    "pretraining_epochs": [0, 1],
    "hybrid_epochs": [(1, 1), (0, 2), (0, 0)],
    "random_state": [0, 1, None, np.random.RandomState(0)],  # noqa: NPY002
    "verbose": [0],
}


def mostly(good: list, bad: list) -> st.SearchStrategy:
    """One of the good values nine times in ten."""
    return st.sampled_from([*good] * max(1, math.ceil(9 * len(bad) / len(good))) + [*bad])


def parameter(name: str, constraints) -> st.SearchStrategy:
    """Values of one parameter: nine in ten are of those it takes, or nearly."""
    if name == "n_jobs":  # processes take seconds
        return mostly([None, 1], [0, "bogus", 2.5])
    if name == "checkpoint":  # no folders where the case runs
        return mostly([None], [0, 2.5, [], True])
    if name in VALID:
        valid = st.sampled_from(VALID[name])
    elif constraints == "no_validation":
        valid = st.none()
    else:
        valid = st.one_of([_of_constraint(make_constraint(c)) for c in constraints])
    # What a callable of the user's raises is the user's own.
    own = constraints != "no_validation" and callable in constraints
    junk = [value for value in JUNK if not (own and callable(value))]
    return st.one_of([valid] * 9 + [st.sampled_from(junk)])


def _of_constraint(constraint) -> st.SearchStrategy:
    if isinstance(constraint, Interval):
        return _of_interval(constraint)
    if isinstance(constraint, Options):
        return st.sampled_from(sorted(constraint.options, key=str))
    inner = getattr(constraint, "_constraints", None)  # several at once, as of "boolean"
    if inner:
        return st.one_of([_of_constraint(c) for c in inner])
    pair = getattr(constraint, "interval", None)
    if pair is not None:
        return st.tuples(_of_interval(pair), _of_interval(pair))
    kind = getattr(constraint, "type", None)
    if kind in (bool, np.bool_):
        return st.booleans()
    if kind is str:
        return st.sampled_from(["all", "auto", "bogus"])
    if kind is not None and issubclass(kind, Integral | Real):
        return st.integers(0, 3)
    return st.none()


def _of_interval(interval: Interval) -> st.SearchStrategy:
    low = -5 if interval.left is None or interval.left == -math.inf else interval.left
    high = low + 5 if interval.right is None or interval.right == math.inf else interval.right
    if interval.type is Integral:
        return st.integers(int(low), int(high))
    return st.floats(float(low), float(high))


def parameters(constraints: dict) -> st.SearchStrategy:
    """Up to three parameters of a class."""
    names = sorted(constraints)
    return st.lists(st.sampled_from(names), max_size=3, unique=True).flatmap(
        lambda some: st.fixed_dictionaries({n: parameter(n, constraints[n]) for n in some})
    )


# --- data -----------------------------------------------------------------------------------------

LABELS = {
    "two": lambda rng, n: rng.integers(0, 2, n),
    "words": lambda rng, n: rng.choice(["a", "b", "c"], n),
    "objects": lambda rng, n: np.array(rng.choice(["a", "b"], n), dtype=object),
    "booleans": lambda rng, n: rng.integers(0, 2, n) == 1,
    "numbers": lambda rng, n: rng.normal(size=n),
    "one": lambda rng, n: np.zeros(n, dtype=int),
    "each its own": lambda rng, n: np.arange(n),
    "column": lambda rng, n: rng.integers(0, 2, (n, 1)),
    "two columns": lambda rng, n: rng.normal(size=(n, 2)),
    "series": lambda rng, n: pd.Series(rng.integers(0, 2, n), index=np.arange(n)[::-1]),
    "categories": lambda rng, n: pd.Series(rng.choice(["a", "b"], n), dtype="category"),
    "missing": lambda rng, n: np.where(rng.random(n) < 0.3, np.nan, rng.integers(0, 2, n)),
    "huge": lambda rng, n: rng.normal(size=n) * 1e200,
    "mixed": lambda rng, n: np.array(["a", 1, None, 2.5] * n, dtype=object)[:n],
    "dates": lambda rng, n: np.arange(n).astype("datetime64[D]"),
    "too many": lambda rng, n: rng.integers(0, 2, n + 1),
    "none": lambda rng, n: None,
    "list": lambda rng, n: rng.integers(0, 2, n).tolist(),
    "complex": lambda rng, n: rng.normal(size=n) + 1j,
}
TABLES = {
    "float64": lambda rng, X: X,
    "float32": lambda rng, X: X.astype(np.float32),
    "float16": lambda rng, X: X.astype(np.float16),
    "integers": lambda rng, X: np.round(X * 3).astype(int),
    "booleans": lambda rng, X: X > 0,
    "list": lambda rng, X: X.tolist(),
    "fortran": lambda rng, X: np.asfortranarray(X),
    "frame": lambda rng, X: pd.DataFrame(X).add_prefix("column "),
    "numbered frame": lambda rng, X: pd.DataFrame(X),
    "frame of the same names": lambda rng, X: pd.DataFrame(X, columns=["a"] * X.shape[1]),
    "mixed frame": lambda rng, X: (
        pd.DataFrame(X).add_prefix("c").assign(word=rng.choice(["x", "y"], len(X)))
    ),
    "nullable frame": lambda rng, X: pd.DataFrame(np.round(X), dtype="Int64").add_prefix("c"),
    "sparse": lambda rng, X: sparse.csr_matrix(X),
    "tensor": lambda rng, X: torch.from_numpy(X),
    "missing": lambda rng, X: np.where(rng.random(X.shape) < 0.2, np.nan, X),
    "infinite": lambda rng, X: np.where(rng.random(X.shape) < 0.1, np.inf, X),
    "huge": lambda rng, X: X * 1e150,
    "constant": lambda rng, X: np.zeros_like(X),
    "objects": lambda rng, X: X.astype(object),
    "words": lambda rng, X: X.astype(str),
    "complex": lambda rng, X: X + 1j,
    "one row": lambda rng, X: X[:1],
    "no rows": lambda rng, X: X[:0],
    "no columns": lambda rng, X: X[:, :0],
    "flat": lambda rng, X: X[:, 0],
    "images": lambda rng, X: X[:, None, None, :],
    "scalar": lambda rng, X: X[0, 0],
    "none": lambda rng, X: None,
    "text": lambda rng, X: "text",
}
# Most data are as they should be, so that most fits get past the door.
_GOOD_TABLES = ["float64", "float32", "frame", "numbered frame", "integers", "list", "constant"]
_GOOD_LABELS = ["two", "words", "numbers", "series", "list", "booleans", "objects"]


@st.composite
def tables(draw, n_samples=None, n_features=None):
    """X and y."""
    n_samples, n_features = n_samples or st.integers(2, 30), n_features or st.integers(1, 6)
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    X = rng.normal(size=(draw(n_samples), draw(n_features)))
    table = draw(mostly(_GOOD_TABLES, sorted(TABLES)))
    labels = draw(mostly(_GOOD_LABELS, sorted(LABELS)))
    return TABLES[table](rng, X), LABELS[labels](rng, len(X))
