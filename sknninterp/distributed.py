"""Predictions and explanations of Dask's arrays and frames, partition by partition.

Fits need nothing from here. Whatever has `n_jobs` works through joblib, so that
``joblib.parallel_config(backend="dask", scatter=[X, y])`` sends its networks to a cluster.
`scatter` puts the data on all workers, so that any one can be lost. `partial_fit`
takes data that do not fit into memory, chunk after chunk.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from sknninterp.estimators._network import find_network, single_networks

__all__ = ["by_partition", "explain_partitions"]

_METHODS = ("predict", "predict_proba", "transform")


def by_partition(estimator: Any, X: Any, method: str = "predict") -> Any:
    """What a fitted estimator makes of data in partitions, computed lazily where they lie.

    Parameters
    ----------
    estimator : estimator, explainer or pipeline
        Fitted.
    X : dask.array.Array or dask.dataframe.DataFrame of shape (n_samples, n_features)
        An array is split by samples alone; its other chunks are put together.
    method : {"predict", "predict_proba", "transform"}, default="predict"
        An explainer's `transform` gives the contributions to one output.

    Returns
    -------
    dask.array.Array, dask.dataframe.DataFrame or dask.dataframe.Series
        Of the kind of X and in its partitions; frames keep its index. Nothing is computed yet.

    Raises
    ------
    TypeError
        If X is no Dask collection, or the estimator lacks the method.

    See Also
    --------
    explain_partitions : Whole explanations.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sknninterp import PWPExplainer, TorchMLPClassifier
    >>> from sknninterp.distributed import by_partition
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> network = TorchMLPClassifier((8,), max_epochs=2, random_state=0).fit(X, y)
    >>> large = da.from_array(X, chunks=(200, 30))
    >>> by_partition(network, large).compute().shape
    (569,)
    >>> by_partition(PWPExplainer(network).fit(X), large, "transform").numblocks
    (3, 1)
    """
    frame = _is_frame(X)
    if method not in _METHODS:
        raise ValueError(f"method={method!r} is none of {list(_METHODS)}.")
    if not hasattr(estimator, method):
        raise TypeError(f"{type(estimator).__name__} has no `{method}`.")
    check_is_fitted(estimator)
    columns, dtype = _result(estimator, method)
    held = _held(estimator)
    if frame:
        return X.map_partitions(_of_frame, held, method, meta=_frame([], None, columns, dtype))
    shape = () if columns is None else (len(columns),)
    return _whole_samples(X).map_blocks(
        _of_array,
        held,
        method,
        shape,
        dtype=dtype,
        chunks=(X.chunks[0], *((size,) for size in shape)),
        drop_axis=[*range(1 + len(shape), X.ndim)],
    )


def explain_partitions(explainer: Any, X: Any, target: Any = None) -> list:
    """Explanations of data in partitions, one for each, computed lazily where they lie.

    Parameters
    ----------
    explainer : explainer
        Fitted.
    X : dask.array.Array or dask.dataframe.DataFrame of shape (n_samples, n_features)
    target : None, "predicted", label or list of labels, default=None
        As for the explainer's `explain`.

    Returns
    -------
    list of dask.delayed.Delayed
        Each computes to an :class:`~sknninterp.Explanation`, or to None of an empty partition.

    Examples
    --------
    >>> import dask
    >>> import dask.array as da
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sknninterp import PWPExplainer, TorchMLPClassifier
    >>> from sknninterp.distributed import explain_partitions
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> network = TorchMLPClassifier((8,), max_epochs=2, random_state=0).fit(X, y)
    >>> large = da.from_array(X, chunks=(200, 30))
    >>> parts = explain_partitions(PWPExplainer(network).fit(X), large, target="predicted")
    >>> [explanation.shape for explanation in dask.compute(*parts)]
    [(200, 30), (200, 30), (169, 30)]
    """
    import dask

    parts = X if _is_frame(X) else _whole_samples(X)
    check_is_fitted(explainer)
    held, explain = _held(explainer), dask.delayed(_explained, pure=False)
    return [explain(part, held, target) for part in np.ravel(parts.to_delayed()).tolist()]


# --- on one partition ---------------------------------------------------------------------------


def _of_array(X: Any, estimator: Any, method: str, shape: tuple[int, ...]) -> np.ndarray:
    _, dtype = _result(estimator, method)
    found = getattr(estimator, method)(X) if len(X) else np.empty((0, *shape))
    return np.asarray(found, dtype)


def _of_frame(X: Any, estimator: Any, method: str) -> pd.DataFrame | pd.Series:
    found = getattr(estimator, method)(X) if len(X) else []
    return _frame(found, X.index, *_result(estimator, method))


def _frame(
    found: ArrayLike, index: Any, columns: list | None, dtype: np.dtype
) -> pd.DataFrame | pd.Series:
    if columns is None:
        return pd.Series(found, index, dtype, "prediction")
    return pd.DataFrame(found, index, columns, dtype)


def _explained(X: Any, explainer: Any, target: Any) -> Any:
    return explainer.explain(X, target) if len(X) else None


# --- what is known before -----------------------------------------------------------------------


def _is_frame(X: Any) -> bool:
    import dask.array
    import dask.dataframe

    if isinstance(X, dask.dataframe.DataFrame):
        return True
    if isinstance(X, dask.array.Array):
        return False
    raise TypeError(f"X must be a Dask array or DataFrame, not {type(X).__name__}.")


def _whole_samples(X: Any) -> Any:
    return X.rechunk(dict.fromkeys(range(1, X.ndim), -1))


def _held(estimator: Any) -> Any:
    """One task that holds the estimator, so that it travels once and not with every partition."""
    import dask

    return dask.delayed(estimator, name=f"estimator-{uuid.uuid4().hex}", traverse=False)


def _result(estimator: Any, method: str) -> tuple[list | None, np.dtype]:
    """Columns of what the method gives, None if it has one dimension, and its type."""
    if method == "transform":
        return [*estimator.get_feature_names_out()], np.dtype(float)
    if method == "predict_proba":
        return [*estimator.classes_], np.dtype(float)
    if is_classifier(estimator):
        return None, estimator.classes_.dtype
    n_outputs = _n_outputs(estimator)
    return [*range(n_outputs)] if n_outputs > 1 else None, np.dtype(float)


def _n_outputs(estimator: Any) -> int:
    with suppress(TypeError):  # another estimator may know it all the same
        estimator = find_network(single_networks(estimator)[0]).predictor
    return getattr(estimator, "n_outputs_", 1)
