"""Explanations as importances, tables and shap's objects."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from sknninterp.explainers.explanation import Explanation

# Numbers taken at once while magnitudes are averaged: 64 MiB of temporary memory.
_BLOCK_SIZE = 2**23


def aggregate_importances(
    values: ArrayLike, has_outputs: bool, normalize: bool = True
) -> np.ndarray:
    """Aggregate attributions to one importance for each feature.

    The importance is the mean magnitude over the samples, summed over the outputs. The magnitude
    is taken first because signed attributions of standardised features average to about zero.

    Parameters
    ----------
    values : array-like of shape (n_samples, *feature_shape[, n_outputs])
        Attributions; `feature_shape` is ``(n_features,)`` for tables.
    has_outputs : bool
        Whether the last axis holds the outputs.
    normalize : bool, default=True
        Whether to divide by the sum, so that importances sum to 1 (all zero stays all zero).

    Returns
    -------
    ndarray of shape feature_shape
        The importances, in double precision.

    Raises
    ------
    ValueError
        If there is no sample.

    Examples
    --------
    >>> from sknninterp.explainers.explanation import aggregate_importances
    >>> aggregate_importances([[1.0, -2.0], [1.0, 4.0]], has_outputs=False)
    array([0.25, 0.75])
    """
    values = np.asarray(values)
    if len(values) == 0:
        raise ValueError("values holds no sample, so there is no importance.")
    step = max(1, _BLOCK_SIZE // max(values[0].size, 1))
    total = np.zeros(values.shape[1:])
    for start in range(0, len(values), step):
        total += np.abs(values[start : start + step]).sum(axis=0, dtype=float)
    importances = total / len(values)
    if has_outputs:
        importances = importances.sum(axis=-1)
    largest = importances.max(initial=0)
    if normalize and largest > 0:
        # By the largest first: the sum of tiny numbers is too coarse to divide by.
        importances = importances / largest
        importances = importances / importances.sum()
    return importances


def top_frame(explanation: Explanation, k: int) -> pd.DataFrame:
    """Return the `k` most important features of an explanation, see `Explanation.top`."""
    if not isinstance(k, Integral) or isinstance(k, bool) or k < 1:
        raise ValueError(f"k must be an integer of at least 1, got {k!r}.")
    importances = np.ravel(np.asarray(explanation.importances()))
    order = np.argsort(-importances, kind="stable")[:k]
    names = feature_labels(explanation)
    columns = {
        "rank": np.arange(1, len(order) + 1),
        "feature": names[order],
        "importance": importances[order],
    }
    single = len(explanation) == 1
    name = "value" if single else "mean_value"
    means = np.mean(explanation, axis=0, dtype=float)
    means = means.reshape(explanation.n_features, explanation.n_outputs)[order]
    if explanation.has_outputs:
        for j, label in enumerate(explanation.output_names.tolist()):
            columns[f"{name}[{label}]"] = means[:, j]
    else:
        columns[name] = means[:, 0]
    if single and explanation.data is not None:
        columns["data"] = explanation.data[0].ravel()[order]
    return pd.DataFrame(columns).infer_objects()


def feature_labels(explanation: Explanation) -> Any:
    """Return the names of the features, of pixels their positions, as an object array."""
    if not explanation.is_image:
        return explanation.feature_names
    labels = np.empty(explanation.n_features, dtype=object)
    labels[:] = list(np.ndindex(*explanation.feature_shape))
    return labels


def wide_frame(explanation: Explanation) -> pd.DataFrame:
    """Return one row for each sample and one column for each feature."""
    if explanation.n_outputs > 1:
        raise ValueError(
            "A wide frame holds a single output; choose one with output=: "
            f"{explanation.output_names.tolist()}."
        )
    return pd.DataFrame(
        np.array(explanation).reshape(len(explanation), explanation.n_features),
        index=pd.Index(explanation.sample_names, name="sample", tupleize_cols=False),
        columns=pd.Index(feature_labels(explanation), tupleize_cols=False),
    )


def long_frame(explanation: Explanation) -> pd.DataFrame:
    """Return one row for each sample, output and feature."""
    n, d, c = len(explanation), explanation.n_features, explanation.n_outputs
    columns: dict[str, Any] = {"sample": np.repeat(explanation.sample_names, c * d)}
    if explanation.has_outputs:
        columns["output"] = np.tile(np.repeat(explanation.output_names, d), n)
    elif isinstance(explanation.target, np.ndarray):
        columns["output"] = np.repeat(explanation.target, d)
    elif explanation.output_names is not None:
        columns["output"] = [explanation.output_names] * (n * d)
    columns["feature"] = np.tile(feature_labels(explanation), n * c)
    columns["value"] = np.asarray(explanation).reshape(n, d, c).transpose(0, 2, 1).ravel()
    if explanation.data is not None:
        columns["data"] = np.repeat(explanation.data.reshape(n, 1, d), c, axis=1).ravel()
    if explanation.spread is not None:
        columns["spread"] = explanation.spread.reshape(n, d, c).transpose(0, 2, 1).ravel()
    return pd.DataFrame(columns).infer_objects()


def to_shap(explanation: Explanation) -> Any:
    """Return a copy as a `shap.Explanation`, see `Explanation.to_shap`."""
    try:
        import shap
    except ImportError as error:
        raise ImportError(
            "to_shap needs shap, which is not installed: pip install sknninterp[compare]"
        ) from error
    base, names = explanation.base_values, explanation.output_names
    if base is None:
        n_outputs = (explanation.n_outputs,) if explanation.has_outputs else ()
        base = np.zeros((len(explanation), *n_outputs))
    features = explanation.feature_names
    return shap.Explanation(
        np.array(explanation),
        base_values=np.array(base),
        data=None if explanation.data is None else np.array(explanation.data),
        feature_names=None if features is None else [str(name) for name in features],
        output_names=[str(name) for name in names] if explanation.has_outputs else names,
    )
