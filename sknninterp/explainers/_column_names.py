"""Names of columns before and after a fitted transformer, as far as it can tell them."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import suppress
from itertools import count
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.pipeline import FeatureUnion, Pipeline

from sknninterp._typing import Names

# What `get_feature_names_out` raises where a transformer has none to give.
NO_NAMES = (AttributeError, TypeError, ValueError)


def original_feature_names(estimator: Any, n_features: int) -> np.ndarray:
    """Names of the columns that a fitted estimator was given.

    Parameters
    ----------
    estimator : estimator or list of (str, transformer)
        A fitted estimator, pipeline or transformer, or the steps of a pipeline.
    n_features : int
        Number of columns.

    Returns
    -------
    names : ndarray of str objects of shape (n_features,)
        `feature_names_in_` where the estimator, or the first step of it that looks at the
        columns, recorded it; else `x0`, `x1`, ...

    Raises
    ------
    ValueError
        If the recorded names are not `n_features` many.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknninterp.explainers.columns import original_feature_names
    >>> X = pd.DataFrame({"age": [61, 54], "dose": [0.5, 1.5]})
    >>> original_feature_names(StandardScaler().fit(X), 2)
    array(['age', 'dose'], dtype=object)
    >>> original_feature_names(StandardScaler().fit(X.to_numpy()), 2)
    array(['x0', 'x1'], dtype=object)
    """
    names = recorded_names(estimator)
    if names is None:
        return generated_names(n_features)
    if len(names) != n_features:
        raise ValueError(
            f"n_features is {n_features}, but {type(estimator).__name__} was fitted on "
            f"{len(names)} columns: {listed(names)}."
        )
    return np.asarray(names, dtype=object)


def is_passthrough(transformer: Any) -> bool:
    """Return whether a step of a pipeline is one that does nothing."""
    return transformer is None or (isinstance(transformer, str) and transformer == "passthrough")


def generated_names(n_features: int) -> np.ndarray:
    """Return the names that scikit-learn gives to columns without any."""
    return np.array([f"x{i}" for i in range(n_features)], dtype=object)


def listed(names: Names, most: int = 5) -> str:
    """Return the first names as a text for messages."""
    return ", ".join(map(repr, map(str, names[:most]))) + (", ..." if len(names) > most else "")


def recorded_names(estimator: Any) -> np.ndarray | None:
    """Return `feature_names_in_` of the part that saw the columns first, or None."""
    if isinstance(estimator, FeatureUnion):
        recorded = (recorded_names(part) for _, part in estimator.transformer_list)
        return next((names for names in recorded if names is not None), None)
    if isinstance(estimator, Pipeline):
        estimator = estimator.steps
    if isinstance(estimator, list):
        seeing = (step for _, step in estimator if not is_passthrough(step))
        return recorded_names(next(seeing, None))
    return getattr(estimator, "feature_names_in_", None)


def stated_names_or_none(transformer: Any, names_in: Names | None) -> np.ndarray | None:
    """Return what `get_feature_names_out` answers step by step, None if a step has no answer."""
    if is_passthrough(transformer):
        return None if names_in is None else np.asarray(names_in, dtype=object)
    if isinstance(transformer, Pipeline):
        transformer = transformer.steps
    if isinstance(transformer, list):
        for _, step in transformer:
            if not is_passthrough(step):
                names_in = stated_names_or_none(step, names_in)
                if names_in is None:
                    return None
        return None if names_in is None else np.asarray(names_in, dtype=object)
    try:
        return stated_names(transformer, names_in)
    except NO_NAMES:
        return None


def stated_names(transformer: Any, names_in: Names | None) -> np.ndarray:
    """Return what `get_feature_names_out` answers; it raises one of `NO_NAMES` if it has none."""
    if names_in is not None:
        # A transformer that recorded other names refuses these; some take none at all.
        with suppress(*NO_NAMES):
            return np.asarray(transformer.get_feature_names_out(names_in), dtype=object)
    return np.asarray(transformer.get_feature_names_out(), dtype=object)


def names_by_origin(origins: sparse.csr_matrix, names_in: Names) -> np.ndarray:
    """Return names made of the columns of origin, as far as an output column has a single one."""
    names = placeholder_names(origins.shape[0])
    single = np.flatnonzero(np.diff(origins.indptr) == 1)
    columns = origins.indices[origins.indptr[single]]
    totals = Counter(columns)
    numbers: dict = defaultdict(count)
    for row, column in zip(single, columns, strict=True):
        number = "" if totals[column] == 1 else f"_{next(numbers[column])}"
        names[row] = f"{names_in[column]}{number}"
    return names


def placeholder_names(n_features_out: int) -> np.ndarray:
    """Return names for output columns of which nothing is known."""
    return np.array([f"transformed{i}" for i in range(n_features_out)], dtype=object)
