"""scikit-learn's validation of data and parameters, with errors that name what is at fault."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import validate_data

from sknninterp._typing import MatrixLike


class Pair(Interval):
    """Constraint on a parameter that is a tuple or list of two numbers of an interval.

    Its parameters are those of `sklearn.utils._param_validation.Interval`.
    """

    def is_satisfied_by(self, val: Any) -> bool:
        return (
            isinstance(val, tuple | list)
            and len(val) == 2
            and all(super(Pair, self).is_satisfied_by(number) for number in val)
        )

    def __str__(self) -> str:
        return f"a pair of numbers, each {super().__str__()}"


def validated(estimator: Any, X: MatrixLike, y: ArrayLike = "no_validation", **options: Any) -> Any:
    """`sklearn.utils.validation.validate_data`; errors name the columns that are no numbers.

    Parameters
    ----------
    estimator : BaseEstimator
    X : array-like or sparse matrix
    y : array-like, default="no_validation"
    **options
        Of `validate_data`.

    Returns
    -------
    X, or X and y
    """
    try:
        return validate_data(estimator, X, y, accept_sparse="csr", **options)
    except (TypeError, ValueError) as error:
        explained = _explained(X, str(error))
        if explained is None:
            raise
        raise (TypeError if isinstance(error, TypeError) else ValueError)(explained) from error


def for_torch(X: Any) -> np.ndarray:
    """Validated X as a dense array that torch takes; copied only if it must be.

    Parameters
    ----------
    X : ndarray or sparse matrix

    Returns
    -------
    ndarray
        Torch takes neither negative strides nor read-only memory.
    """
    return np.require(X.toarray() if sparse.issparse(X) else X, requirements=["C", "W"])


def _explained(X, message: str) -> str | None:
    """What scikit-learn's error leaves out: that y is meant, or the columns of X at fault."""
    if message.startswith("Input contains NaN"):  # only labels are checked as objects
        return message.replace("Input", "Input y", 1)
    frame = _as_frame(X)
    if "NaN" in message or "infinity" in message:
        numbers = frame.apply(pd.to_numeric, errors="coerce").to_numpy(float)
        bad = frame.columns[~np.isfinite(numbers).all(0)]
        return f"{message}\nColumns with such values: {_listed(bad)}." if len(bad) else None
    bad = [name for name, column in frame.items() if not _is_numeric(column)]
    if not bad:
        return None
    return (
        f"{message}\nColumns that are not numeric: {_listed(bad)}. Encode them first, for example"
        " with a ColumnTransformer and OneHotEncoder in a Pipeline."
    )


def _as_frame(X) -> pd.DataFrame:
    """X with its columns; without columns if it is no table in memory."""
    if isinstance(X, pd.DataFrame) or sparse.issparse(X):
        return X if isinstance(X, pd.DataFrame) else pd.DataFrame()
    table = X if isinstance(X, np.ndarray) else np.asarray(X, dtype=object)
    return pd.DataFrame(table) if table.ndim == 2 else pd.DataFrame()


def _is_numeric(column: pd.Series) -> bool:
    if pd.api.types.is_datetime64_any_dtype(column):
        return False
    return bool(pd.to_numeric(column, errors="coerce").notna().eq(column.notna()).all())


def _listed(names, most: int = 10) -> str:
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{names[:most]}{more}"
