"""Transformed columns, traced back to the columns the user knows.

A network at the end of a pipeline sees one-hot columns, missing-value indicators and splines; its
user knows `age` and `diagnosis`. :func:`column_origins` reads a *fitted* transformer and says which
input column every output column came from, as a sparse matrix `M` of shape
(n_transformed, n_original) whose rows sum to 1, so that `values @ M` sums attributions back.

An output column belongs to the column whose value it carries. What else had a say in that value
(the neighbours that :class:`~sklearn.impute.KNNImputer` borrows from, the row norm that
:class:`~sklearn.preprocessing.Normalizer` divides by) earns no share. An output column that has no
single carrier (a principal component) is an error, :class:`ColumnOriginError`, never a guess.

Each kind of transformer is taught in one place, a rule for its class; :func:`register_origins` adds
rules for classes that are not known here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from sknninterp._typing import Names
from sknninterp.explainers._column_names import (
    names_by_origin,
    original_feature_names,
    placeholder_names,
    recorded_names,
    stated_names_or_none,
)
from sknninterp.explainers._column_origins import (
    ColumnOriginError,
    column_origins,
    origins_by_class,
)

__all__ = [
    "ColumnOriginError",
    "column_origins",
    "original_feature_names",
    "register_origins",
    "sum_to_original",
    "transformed_feature_names",
]


def register_origins(transformer_class: type, function: Callable) -> None:
    """Teach :func:`column_origins` a class of transformers.

    Parameters
    ----------
    transformer_class : type
        The class; its subclasses follow it unless they are registered themselves.
    function : callable
        `function(transformer, n_features_in, feature_names_in)` returns the origins of a fitted
        `transformer`: a sparse or dense matrix of shape (n_features_out, n_features_in), not
        negative, whose rows sum to 1, or to 0 for constant output columns. `feature_names_in` may
        be None. A function for a transformer that holds others calls :func:`column_origins` on
        these. It raises :class:`ColumnOriginError` where there is no answer.

    Raises
    ------
    TypeError
        If `transformer_class` is no class or `function` is not callable.

    Examples
    --------
    A transformer that puts out every column and its square, and does not name them:

    >>> import numpy as np
    >>> from scipy import sparse
    >>> from sklearn.base import BaseEstimator, TransformerMixin
    >>> from sknninterp.explainers.columns import column_origins, register_origins
    >>> class WithSquares(TransformerMixin, BaseEstimator):
    ...     def fit(self, X, y=None):
    ...         return self
    ...     def transform(self, X):
    ...         return np.hstack([X, X**2])
    >>> def with_squares(transformer, n_features_in, feature_names_in):
    ...     return sparse.vstack([sparse.eye(n_features_in)] * 2)
    >>> register_origins(WithSquares, with_squares)
    >>> column_origins(WithSquares(), 2).toarray()
    array([[1., 0.],
           [0., 1.],
           [1., 0.],
           [0., 1.]])
    """
    if not isinstance(transformer_class, type):
        raise TypeError(f"transformer_class must be a class, got {transformer_class!r}.")
    if not callable(function):
        raise TypeError(f"function must be callable, got {function!r}.")
    origins_by_class.register(transformer_class, function)


def sum_to_original(values: np.ndarray, origins: sparse.csr_matrix) -> np.ndarray:
    """Sum attributions in transformed columns to attributions in original columns.

    Parameters
    ----------
    values : ndarray of shape (n_samples, n_transformed, ...)
        Attributions; axes after the second (outputs, say) are kept.
    origins : scipy.sparse.csr_matrix of shape (n_transformed, n_original)
        From :func:`column_origins`.

    Returns
    -------
    values : ndarray of shape (n_samples, n_original, ...)
        `values` itself, not a copy, where `origins` is the identity. float32 stays float32. Signed
        attributions are summed as they are. The attribution of a constant output column (a row of
        zeros in `origins`) goes to no column.

    Raises
    ------
    ValueError
        If the second axis of `values` is not n_transformed long.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from sknninterp.explainers.columns import sum_to_original
    >>> origins = sparse.csr_matrix([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> sum_to_original(np.array([[0.5, -0.2, 0.1]]), origins)
    array([[0.3, 0.1]])
    """
    values = np.asarray(values)
    origins = sparse.csr_matrix(origins)
    if values.ndim < 2 or values.shape[1] != origins.shape[0]:
        raise ValueError(
            f"values must have shape (n_samples, {origins.shape[0]}, ...), got {values.shape}."
        )
    if _is_identity(origins):
        return values
    dtype = np.float32 if values.dtype == np.float32 else np.float64
    columns_first = np.moveaxis(values, 1, 0)
    other_axes = columns_first.shape[1:]
    flat = columns_first.reshape(origins.shape[0], math.prod(other_axes))
    summed = origins.T.astype(dtype) @ flat.astype(dtype, copy=False)
    return np.ascontiguousarray(np.moveaxis(summed.reshape(origins.shape[1], *other_axes), 0, 1))


def transformed_feature_names(
    transformer: Any, n_features_out: int, feature_names_in: Names | None = None
) -> np.ndarray:
    """Names of the columns that a fitted transformer puts out.

    Parameters
    ----------
    transformer : transformer, list of (str, transformer), "passthrough" or None
        A fitted transformer, or the steps of a pipeline before its final estimator.
    n_features_out : int
        Number of columns that come out.
    feature_names_in : array-like of str, default=None
        Names of the columns that go in; by default the names that the transformer recorded.

    Returns
    -------
    names : ndarray of str objects of shape (n_features_out,)
        What `get_feature_names_out` says. Where a step has none: the name of the column of origin,
        numbered if several columns have it (`dose_0`, `dose_1`), and `transformed0`,
        `transformed1`, ... where that is not known either.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.preprocessing import FunctionTransformer, StandardScaler
    >>> from sknninterp.explainers.columns import transformed_feature_names
    >>> steps = [("log", FunctionTransformer(np.log1p)), ("scale", StandardScaler())]
    >>> transformed_feature_names(steps, 2, ["age", "dose"])
    array(['age', 'dose'], dtype=object)
    """
    names = stated_names_or_none(transformer, feature_names_in)
    if names is not None and len(names) == n_features_out:
        return names
    names_in = recorded_names(transformer) if feature_names_in is None else feature_names_in
    if names_in is None:
        return placeholder_names(n_features_out)
    try:
        origins = column_origins(transformer, len(names_in), names_in)
    except ColumnOriginError:
        return placeholder_names(n_features_out)
    if origins.shape[0] != n_features_out:
        return placeholder_names(n_features_out)
    return names_by_origin(origins, names_in)


def _is_identity(origins):
    n_out, n_in = origins.shape
    return (
        n_out == n_in == origins.nnz
        and np.array_equal(origins.indptr, np.arange(n_out + 1))
        and np.array_equal(origins.indices, np.arange(n_in))
        and bool((origins.data == 1).all())
    )
