"""What every feature contributes in single rows, small enough for a page."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from sknninterp.explainers._completeness import CompletenessWarning
from sknninterp.reporting._study import Study

FEATURES_PER_ROW = 50
SWARM_FEATURES = 15
SWARM_ROWS = 300
_BATCH_VALUES = 2**23
# Pixels of all pictures together: a byte each for the picture and for its contributions.
_MOST_PIXELS = 2_000_000


@dataclass(frozen=True)
class Rows:
    """The strongest contributions of each row, and the sum of the rest.

    Parameters
    ----------
    names : list of str
        The rows' own names, from the index of X.
    truth : ndarray of shape (n_rows,) or None
        Positions of the classes, or values.
    outputs : ndarray of shape (n_rows, n_outputs)
        Probabilities or values that were predicted.
    features : ndarray of int of shape (n_rows, k)
        The features with the strongest contributions, in order.
    values : ndarray of shape (n_rows, k)
        Their contributions.
    cells : ndarray of shape (n_rows, k), object
        What the table holds there, as text.
    rest : ndarray of shape (n_rows,)
        Sum of all other contributions.
    base : ndarray of shape (n_rows,) or None
        What contributions are added to, where they add up to the output.
    signed : bool
        Whether a contribution below 0 speaks against the output.
    gap : str or None
        What :class:`CompletenessWarning` said, if contributions do not add up.
    swarm : (ndarray, ndarray) of shape (n_swarm_rows, n_swarm_features)
        Contributions of the features that are first in the ranking, and the cells.
    pictures : Pictures or None
    """

    names: list[str]
    truth: np.ndarray | None
    outputs: np.ndarray
    features: np.ndarray
    values: np.ndarray
    cells: np.ndarray
    rest: np.ndarray
    base: np.ndarray | None
    signed: bool
    gap: str | None
    swarm: tuple[np.ndarray, np.ndarray]
    pictures: Pictures | None = None

    @property
    def sums(self) -> np.ndarray:
        """Sum of all contributions of each row."""
        return self.values.sum(1) + self.rest


@dataclass(frozen=True)
class Pictures:
    """Images and the contributions of their pixels, a byte each.

    Parameters
    ----------
    height, width : int
    values : ndarray of int8 of shape (n_rows, height * width)
        In 127ths of each row's largest magnitude.
    pixels : ndarray of uint8 of shape (n_rows, height * width)
    """

    height: int
    width: int
    values: np.ndarray = field(repr=False)
    pixels: np.ndarray = field(repr=False)


def explain_rows(
    study: Study, order: np.ndarray, n_rows: int, image_shape: tuple[int, ...] | None = None
) -> Rows | None:
    """Explain some rows, drawn at random, batch by batch.

    Parameters
    ----------
    study : Study
    order : ndarray of int of shape (n_features,)
        The ranking.
    n_rows : int
        How many at most; 0 for None.
    image_shape : tuple of int, default=None
        Of samples that are images, flattened or not.
    """
    if n_rows == 0:
        return None
    chosen = study.drawn(n_rows)
    swarm, k = order[:SWARM_FEATURES], min(FEATURES_PER_ROW, len(order))
    n_pictures = 0 if image_shape is None else _MOST_PIXELS // int(np.prod(image_shape[-2:]))
    size = max(1, _BATCH_VALUES // (len(order) * study.outputs.shape[1]))
    parts, gaps, signed = [], [], True
    for start in range(0, len(chosen), size):
        batch = study.rows(chosen[start : start + size])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", CompletenessWarning)
            values, base, data, signed = contributions(study, batch)
        gaps += [str(one.message) for one in caught if one.category is CompletenessWarning]
        pictured = start < n_pictures
        parts.append(_Part.of(values, base, data, k, swarm, image_shape if pictured else None))
    joined = _Part.joined(parts)
    return Rows(
        names=_names(study, chosen),
        truth=None if study.y is None else study.codes(study.y)[chosen],
        outputs=study.outputs[chosen],
        signed=signed,
        gap=gaps[0] if gaps else None,
        **joined,
    )


def contributions(study: Study, X: Any) -> tuple[np.ndarray, np.ndarray | None, Any, bool]:
    """Contributions to what a page shows of each row.

    That is the predicted class of several, or the only value. Of two classes it is the log-odds of
    the second where signs have a meaning, the difference of both outputs; it is what the
    probability is made of.

    Returns
    -------
    values : ndarray of shape (n_samples, n_features)
    base : ndarray of shape (n_samples,) or None
    data : ndarray of shape (n_samples, n_features) or None
    signed : bool
    """
    explainer = study.explainer
    if study.task == "multiclass":
        found = explainer.explain(X, "predicted")
        values, base = found.values, found.base_values
    else:
        found = explainer.explain(X)
        values, base = found.values, found.base_values
        if found.has_outputs:
            differs = found.n_outputs == 2 and found.signed
            values = _towards_last(values, differs)
            base = None if base is None else _towards_last(base, differs)
    data = found.data
    if data is not None:
        data = np.reshape(data, (len(values), -1))
    return np.reshape(values, (len(values), -1)), base, data, found.signed


def _towards_last(array, differs):
    return array[..., 1] - array[..., 0] if differs else array[..., -1]


@dataclass(frozen=True)
class _Part:
    """What a batch of rows leaves behind; fields as of `Rows`."""

    features: np.ndarray
    values: np.ndarray
    cells: np.ndarray
    rest: np.ndarray
    base: np.ndarray | None
    swarm: tuple
    pictures: Pictures | None

    @classmethod
    def of(cls, values, base, data, k, swarm, image_shape):
        features = _strongest(np.abs(values), k)
        top = np.take_along_axis(values, features, axis=1).astype(float)
        if data is None:
            data = np.full((len(values), 1), np.nan, dtype=object).repeat(values.shape[1], axis=1)
        cells = np.take_along_axis(data, features, axis=1)
        return cls(
            features,
            top,
            as_text(cells),
            values.sum(1, dtype=float) - top.sum(1),
            base,
            (values[:, swarm], data[:, swarm]),
            None if image_shape is None else _pictures(values, data, image_shape),
        )

    @staticmethod
    def joined(parts: list[_Part]) -> dict:
        """Fields of all parts."""
        fields: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("features", "values", "cells", "rest")
        }
        has_base = parts[0].base is not None
        fields["base"] = np.concatenate([part.base for part in parts]) if has_base else None
        swarm = [np.concatenate([part.swarm[i] for part in parts])[:SWARM_ROWS] for i in (0, 1)]
        pictures = [part.pictures for part in parts if part.pictures is not None]
        if pictures:
            values, pixels = (
                np.concatenate([getattr(one, name) for one in pictures])
                for name in ("values", "pixels")
            )
            fields["pictures"] = Pictures(pictures[0].height, pictures[0].width, values, pixels)
        return {**fields, "swarm": tuple(swarm)}


def _strongest(magnitudes, k):
    """Positions of the k largest of each row, the largest first."""
    n_features = magnitudes.shape[1]
    found = np.argpartition(-magnitudes, k - 1, axis=1)[:, :k] if k < n_features else None
    if found is None:
        return np.argsort(-magnitudes, axis=1, kind="stable")
    order = np.argsort(-np.take_along_axis(magnitudes, found, axis=1), axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1)


def as_text(cells: np.ndarray) -> np.ndarray:
    """Cells of a table as text: numbers in six digits, empty where missing."""
    texts = {}  # the same cells are met again and again

    def text(cell):
        if isinstance(cell, str):
            return cell
        if cell is None or cell is pd.NA or cell is pd.NaT or cell != cell:
            return ""
        return f"{cell:.6g}" if isinstance(cell, float) else str(cell)

    result = np.empty(np.shape(cells), dtype=object)
    flat = result.reshape(-1)
    for place, cell in enumerate(np.ravel(cells).tolist()):
        key = type(cell), cell
        if key not in texts:
            texts[key] = text(cell)
        flat[place] = texts[key]
    return result


def _pictures(values, data, image_shape):
    *_, height, width = image_shape
    shape = len(values), -1, height * width
    of_pixels, pixels = values.reshape(shape).sum(1), _numbers(data).reshape(shape).mean(1)
    largest = np.abs(of_pixels).max(1, keepdims=True)
    scaled = np.divide(of_pixels, largest, out=np.zeros_like(of_pixels), where=largest > 0)
    low, high = pixels.min(), pixels.max()
    shades = (pixels - low) / ((high - low) or 1)
    return Pictures(
        height, width, np.rint(127 * scaled).astype(np.int8), np.rint(255 * shades).astype(np.uint8)
    )


def _numbers(data):
    return np.nan_to_num(np.asarray(data, dtype=float))


def _names(study: Study, chosen) -> list[str]:
    index = getattr(study.X, "index", None)
    return [str(one) for one in (chosen if index is None else np.asarray(index)[chosen])]
