"""What a removed feature is replaced by: a mean, another sample's value, a neighbour's value."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_integer_dtype, is_numeric_dtype
from scipy import sparse
from sklearn.utils import check_random_state, gen_batches

from sknninterp._typing import MatrixLike, Seed
from sknninterp.estimators._network import as_table
from sknninterp.evaluation._checks import check_choice

REPLACEMENTS = ("mean", "sample", "conditional")

# Among how many samples that are alike a conditional value is drawn.
N_NEIGHBOURS = 10
# So many distances are held at a time.
_MOST_DISTANCES = 2**22


class Replacement:
    """Samples with some of their features replaced.

    Parameters
    ----------
    kind : {"mean", "sample", "conditional"}
        What replaces a feature of a sample:

        - "mean": its mean over the background; the most frequent value in columns that are not
          numeric. Missing values do not count. Categories that are coded as numbers need another
          type, or one of the kinds below, which put in only what occurs.
        - "sample": its value in a sample of the background, drawn once for each sample, so that
          features that are replaced together keep their dependence among themselves.
        - "conditional": its value in a sample drawn from the 10 of the background that are most
          alike in the features that are kept, so that what is put in goes with what is left.
          Numeric features count by their standardised difference (a missing value as the mean),
          others by whether they are equal. If nothing is kept, from the whole background.
    X : array-like or DataFrame of shape (n_samples, ...)
        The samples, as the user's estimator takes them; sparse ones are made dense.
    background : array-like or DataFrame of shape (n_background, ...), default=None
        Where replacements come from, such as the training data. None is X, where no sample is
        replaced by itself.
    random_state : int, RandomState instance or None, default=None

    Attributes
    ----------
    X : ndarray or DataFrame
    n_features : int
        Columns of a table, or numbers in an image.

    Raises
    ------
    ValueError
        If `background` has other columns than X, or no sample is left to draw.
    """

    def __init__(
        self,
        kind: str,
        X: MatrixLike,
        background: MatrixLike | None = None,
        random_state: Seed = None,
    ):
        check_choice("replacement", kind, REPLACEMENTS)
        self.kind = kind
        self.X = _dense(X)
        self.is_own = background is None
        self.background = self.X if self.is_own else _dense(background)
        self.n_features = math.prod(self.X.shape[1:])
        _check_alike(self.X, self.background)
        if isinstance(self.X, np.ndarray) and self.X.dtype.kind == "f":
            # Some networks take no other type than that of X.
            self.background = self.background.astype(self.X.dtype, copy=False)
        if self.is_own and kind != "mean" and len(self.X) < 2:
            raise ValueError(
                f"replacement={kind!r} needs a background of other samples; X has only one."
            )
        # One number a sample: what is drawn at one step goes with what is drawn at the next.
        self._draws = check_random_state(random_state).uniform(size=len(self.X))
        if kind == "mean":
            self._mean = _mean(self.background)
        elif kind == "sample":
            self._donors = self._other_rows()
        else:
            self._space = _Space(self.X, self.background)

    def __call__(self, removed: np.ndarray) -> object:
        """X with what is marked in `removed`, a mask (n_samples, n_features), replaced."""
        if self.kind == "mean":
            return _blend(self.X, self._mean, np.zeros(len(self.X), int), removed)
        donors = self._donors if self.kind == "sample" else self._neighbours(removed)
        return _blend(self.X, self.background, donors, removed)

    def _other_rows(self) -> np.ndarray:
        """For each sample one row of the background, not itself."""
        if not self.is_own:
            return (self._draws * len(self.background)).astype(int)
        others = (self._draws * (len(self.X) - 1)).astype(int)
        return others + (others >= np.arange(len(self.X)))

    def _neighbours(self, removed) -> np.ndarray:
        """For each sample a row drawn from those most like it in what is kept."""
        size = max(1, _MOST_DISTANCES // len(self.background))
        batches = gen_batches(len(self.X), size)
        return np.concatenate([self._neighbours_of(rows, ~removed[rows]) for rows in batches])

    def _neighbours_of(self, rows: slice, kept) -> np.ndarray:
        distances = self._space.distances(rows, kept)
        if self.is_own:
            distances[np.arange(len(distances)), np.arange(len(self.X))[rows]] = np.inf
        n_near = min(N_NEIGHBOURS, distances.shape[1] - self.is_own)
        limits = np.partition(distances, n_near - 1, axis=1)[:, n_near - 1]
        # Rows as near as the last one are all candidates; rounding must not choose among them.
        near = distances <= limits[:, None] * (1 + 1e-9) + 1e-9
        places = (self._draws[rows] * near.sum(1)).astype(int)
        return np.argmax(near.cumsum(1) > places[:, None], axis=1)


class _Space:
    """Where features have distances: numbers standardised, other values as indicators."""

    def __init__(self, X, background):
        columns = list(_columns(background))
        encoders = [(_Numbers if _is_numeric(column) else _Levels)(column) for column in columns]
        self._background = _encode(encoders, columns)
        self._squares = self._background**2
        self._samples = _encode(encoders, _columns(X))
        self._origins = np.repeat(np.arange(len(encoders)), [one.width for one in encoders])

    def distances(self, rows, kept) -> np.ndarray:
        """Squared distances of some rows of X to the background's in the kept features of each."""
        x, kept = self._samples[rows], kept[:, self._origins].astype(float)
        weighted = kept * x
        # sum of kept (x - b)^2, multiplied out, so that no array of three axes is held
        found = (weighted * x).sum(1)[:, None] - 2 * weighted @ self._background.T
        return np.maximum(found + kept @ self._squares.T, 0)


def _encode(encoders, columns) -> np.ndarray:
    pairs = zip(encoders, columns, strict=True)
    return np.concatenate([encoder(column) for encoder, column in pairs], axis=1)


class _Numbers:
    width = 1

    def __init__(self, column):
        known = _known_numbers(column)
        self.center = known.mean() if len(known) else 0.0
        self.scale = (known.std() if len(known) else 0.0) or 1.0

    def __call__(self, column):
        values = (column.to_numpy(float, na_value=np.nan) - self.center) / self.scale
        return np.where(np.isfinite(values), values, 0.0)[:, None]


class _Levels:
    def __init__(self, column):
        self.levels = pd.Index(column.astype(object).dropna().unique())
        self.width = len(self.levels) + 1  # the last stands for missing and unseen ones

    def __call__(self, column):
        codes = self.levels.get_indexer(pd.Index(column.astype(object)))
        equal = codes[:, None] % self.width == np.arange(self.width)
        return equal * np.sqrt(0.5)  # two that differ are at a distance of 1


# --- tables, frames and images ------------------------------------------------------------------


def _dense(X):
    """X as a DataFrame, or as an array of any number of axes."""
    X = as_table(X)
    if hasattr(X, "columns"):
        return X if isinstance(X, pd.DataFrame) else X.to_pandas()
    return X.toarray() if sparse.issparse(X) else X


def _check_alike(X, background) -> None:
    if type(X) is not type(background) or X.shape[1:] != background.shape[1:]:
        raise ValueError(
            f"background ({type(background).__name__} with samples of shape"
            f" {background.shape[1:]}) is not like X ({type(X).__name__}, {X.shape[1:]})."
        )
    if isinstance(X, pd.DataFrame) and list(X.columns) != list(background.columns):
        raise ValueError("background has other columns than X, or the same in another order.")


def _columns(X):
    if isinstance(X, pd.DataFrame):
        return (X.iloc[:, i] for i in range(X.shape[1]))
    flat = X.reshape(len(X), -1)
    return (pd.Series(column).infer_objects() for column in flat.T)


def _is_numeric(column) -> bool:
    return is_numeric_dtype(column) and not is_bool_dtype(column)


def _mean(background):
    """One sample: the means, and the most frequent values of what is not numeric."""
    if isinstance(background, np.ndarray) and background.dtype.kind in "iuf":
        known = np.isfinite(background)
        sums = np.where(known, background, 0).sum(0, dtype=float, keepdims=True)
        counts = known.sum(0, keepdims=True)
        empty = np.full(sums.shape, np.nan)  # of a column without a value
        means = np.divide(sums, counts, out=empty, where=counts > 0)
        return means.astype(background.dtype) if background.dtype.kind == "f" else means
    centers = [_center(column) for column in _columns(background)]
    if isinstance(background, pd.DataFrame):
        parts = [
            pd.Series([center], dtype=None if is_integer_dtype(column) else column.dtype)
            for center, column in zip(centers, _columns(background), strict=True)
        ]
        frame = pd.concat(parts, axis=1)
        frame.columns = background.columns
        return frame
    return np.array(centers, dtype=background.dtype).reshape(1, *background.shape[1:])


def _known_numbers(column) -> np.ndarray:
    values = column.to_numpy(float, na_value=np.nan)
    return values[np.isfinite(values)]


def _center(column):
    if _is_numeric(column):
        known = _known_numbers(column)
        return known.mean() if len(known) else np.nan
    counts = column.value_counts(sort=False)
    return counts.index[counts.argmax()] if counts.any() else column.iloc[0]


def _blend(X, background, donors, removed):
    """X with the removed features of each sample taken from its row of the background."""
    if isinstance(X, pd.DataFrame):
        return _blend_frame(X, background, donors, removed)
    return np.where(removed.reshape(X.shape), background[donors], X)


def _blend_frame(X, background, donors, removed) -> pd.DataFrame:
    """Columns of one type at a time, since each by itself would take long where there are many."""
    groups: dict[tuple, list[int]] = {}
    for place, types in enumerate(zip(X.dtypes, background.dtypes, strict=True)):
        # Types of pandas' own, such as categories, have no arrays of several columns.
        key = types if all(isinstance(one, np.dtype) for one in types) else (place,)
        groups.setdefault(key, []).append(place)
    parts = []
    for key, places in groups.items():
        blend = _blend_numbers if len(key) == 2 else _blend_column
        part, marked = X.iloc[:, places], removed[:, places]
        if marked.any():
            part = blend(part, background.iloc[:, places], donors, marked)
        parts.append(part)
    frame = pd.concat(parts, axis=1).iloc[:, np.argsort(np.concatenate([*groups.values()]))]
    frame.columns = X.columns
    return frame


def _blend_numbers(X, background, donors, removed) -> pd.DataFrame:
    mixed = np.where(removed, background.to_numpy()[donors], X.to_numpy())
    return pd.DataFrame(mixed, index=X.index)


def _blend_column(X, background, donors, removed) -> pd.Series:
    both = pd.concat([X.iloc[:, 0], background.iloc[:, 0]], ignore_index=True)
    places = np.where(removed[:, 0], len(X) + donors, np.arange(len(X)))
    return both.take(places).set_axis(X.index)
