"""What an explanation demands of its parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sknninterp.explainers._explanation_index import is_sequence, label_array


def read_only(array: np.ndarray) -> np.ndarray:
    """Return a view of `array` that cannot be written to."""
    array = array.view()
    array.flags.writeable = False
    return array


def finite(values: ArrayLike, name: str) -> np.ndarray:
    """Return a read-only array of finite floats; float types are kept."""
    try:
        array = np.asarray(values)
        if array.dtype.kind != "f":
            array = array.astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be numbers: {error}") from error
    bad = ~np.isfinite(array)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{name} holds {bad.sum():,} NaN or infinite numbers, the first at {where}."
        )
    return read_only(array)


def names(labels: Any, what: str, length: int) -> np.ndarray:
    """Return `length` labels as a read-only array."""
    if not is_sequence(labels) or len(labels) != length:
        got = f"{len(labels)}" if is_sequence(labels) else repr(labels)
        raise ValueError(f"{what} must hold {length} entries, as values has, got {got}.")
    return label_array(labels)


def check_axes(shape: tuple[int, ...], has_outputs: bool, feature_names: Any) -> None:
    """Raise a ValueError if values of this shape lack an axis, or have one too many."""
    if len(shape) < 2 + has_outputs:
        axes = "(n_samples, n_features" + (", n_outputs)" if has_outputs else ")")
        raise ValueError(f"values must have the axes {axes}, got shape {shape}.")
    if 0 in shape[1:]:
        raise ValueError(f"values must have a feature and an output, got shape {shape}.")
    if feature_names is not None and len(shape) > 2 + has_outputs:
        raise ValueError(
            f"feature_names name the columns of a table, but values of shape {shape} have the axes "
            "of images: pass output_names as a sequence if the last axis holds the outputs, or "
            "leave feature_names out."
        )


def check_data(data: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return data of any types as a read-only array of the given shape."""
    if data is None:
        return None
    if hasattr(data, "toarray"):
        data = data.toarray()
    array = np.asarray(data)
    if array.dtype.kind in "TU" and not isinstance(data, np.ndarray | pd.DataFrame):
        # Nested lists of numbers and strings would become strings alone.
        array = np.asarray(data, dtype=object)
    elif array.dtype.kind == "T":
        array = array.astype(object)
    if array.shape != shape:
        raise ValueError(f"data must have shape {shape}, as values has, got {array.shape}.")
    return read_only(array)


def check_output_names(labels: Any, shape: tuple[int, ...]) -> Any:
    """Return the labels of the output axis, or the single label if `shape` is empty."""
    if not shape:
        return labels.item() if isinstance(labels, np.generic | np.ndarray) else labels
    labels = names(labels, "output_names", shape[0])
    if len(set(labels.tolist())) < len(labels):
        raise ValueError(f"output_names must differ from each other, got {labels.tolist()}.")
    return labels


def check_per_output(
    values: ArrayLike | None, name: str, shape: tuple[int, ...]
) -> np.ndarray | None:
    """Return finite values of the given shape, or None."""
    if values is None:
        return None
    array = finite(values, name)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}.")
    return array


def check_target(target: Any, shape: tuple[int, ...]) -> Any:
    """Return the target: a label, a tuple of labels of outputs, or an array of one a sample."""
    if not is_sequence(target):
        return target.item() if isinstance(target, np.generic) else target
    if len(shape) > 1:
        return tuple(label_array(target).tolist())
    return names(target, "target", shape[0])


def check_spread(spread: ArrayLike | None, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return standard deviations of the given shape as a read-only array."""
    if spread is None:
        return None
    array = finite(spread, "spread")
    if array.shape != shape:
        raise ValueError(f"spread must have the shape of values, {shape}, not {array.shape}.")
    if (array < 0).any():
        raise ValueError("spread holds negative numbers.")
    return array
