"""From a table as it comes, with categories and missing values, to the inputs of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import f_classif, f_regression
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

__all__ = ["table_preprocessor"]

# A column that is all but constant in the training part may be anything beyond it.
MOST_DEVIATIONS = 10.0
# A mark that says nothing is one more column to mistake for one that matters.
_SIGNIFICANT = 0.05


def numbers_of(X: Any) -> list[int]:
    """Positions of the columns of numbers.

    Parameters
    ----------
    X : DataFrame of pandas or polars, or ndarray of shape (n_samples, n_features)
        All columns of an array are numbers.
    """
    if hasattr(X, "schema"):  # of polars
        kinds = enumerate(X.dtypes)
        return [i for i, kind in kinds if kind.is_numeric() or str(kind) == "Boolean"]
    if not hasattr(X, "select_dtypes"):
        return list(range(X.shape[1]))
    return X.columns.get_indexer(X.select_dtypes(["number", "bool"]).columns).tolist()


def categories_of(X: Any) -> list[int]:
    """Positions of the other columns.

    Parameters
    ----------
    X : DataFrame or ndarray of shape (n_samples, n_features)
    """
    return sorted(set(range(X.shape[1])) - set(numbers_of(X)))


class InformativeImputer(SimpleImputer):
    """Imputer that marks missing values of those columns alone whose gaps tell of the target.

    Parameters are those of :class:`sklearn.impute.SimpleImputer`. Columns are marked whose gaps
    tell classes apart, or go with a target of numbers, at a level of 5 % (F tests); without a
    target, all that have gaps.
    """

    def fit(self, X: Any, y: Any = None) -> InformativeImputer:
        """Fit.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None

        Returns
        -------
        InformativeImputer
        """
        super().fit(X)
        marked = self.indicator_.features_ if self.indicator_ is not None else ()
        if y is not None and len(marked):
            gaps = np.asarray(self.transform(X))[:, -len(marked) :]
            self.indicator_.features_ = marked[_tell_of(gaps.astype(float), np.asarray(y))]
        return self


def _tell_of(gaps: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether the gaps of each column tell of any output."""
    tests = []
    some = np.flatnonzero(np.ptp(gaps, axis=0))
    for output in y.reshape(len(y), -1).T if len(some) else ():
        # Whole numbers may be classes or amounts.
        if output.dtype.kind in "iuf":
            tests.append(f_regression(gaps[:, some], output)[1])
        classes, names = pd.factorize(output)
        if 2 <= len(names) <= len(y) / 2:
            with np.errstate(divide="ignore"):  # where they tell all
                tests.append(f_classif(gaps[:, some], classes)[1])
    found = np.zeros(gaps.shape[1], bool)
    if tests:
        found[some] = np.min(tests, axis=0) * len(tests) < _SIGNIFICANT
    return found


def table_preprocessor(
    numeric: Sequence | Callable = numbers_of,
    categorical: Sequence | Callable = categories_of,
    *,
    min_frequency: float | None = None,
) -> ColumnTransformer:
    """Transformer that makes a network's inputs of a table of numbers and categories.

    Numbers: missing values are filled by the median, and marked in a column of their own where the
    gaps tell of the target (F test, p < 0.05; wherever there are gaps if there is no target);
    standardised; what is 10 standard deviations from the mean or further is cut there. Categories:
    one-hot encoded and centred, missing ones a category of their own, unknown ones none. An input
    of 0 is thus the average sample, for methods that multiply inputs and weights.

    Explainers see through it: they give the importances of the columns that go in.

    Parameters
    ----------
    numeric : list of int, list of str or callable, default=numbers_of
        The columns of numbers, as :class:`sklearn.compose.ColumnTransformer` takes them. The
        default are the columns of a DataFrame that are numbers, or true and false, and all of an
        array.
    categorical : list of int, list of str or callable, default=categories_of
        The default are the others of a DataFrame.
    min_frequency : int or float, default=None
        Rarer categories are one together, as of :class:`sklearn.preprocessing.OneHotEncoder`.

    Returns
    -------
    ColumnTransformer
        Not fitted.

    Examples
    --------
    >>> import pandas as pd
    >>> from sknninterp import table_preprocessor
    >>> X = pd.DataFrame({"age": [61.0, None, 47.0], "site": ["left", "right", "left"]})
    >>> table = table_preprocessor().fit(X)
    >>> table.get_feature_names_out().tolist()
    ['age', 'missingindicator_age', 'site_left', 'site_right']
    >>> table.transform(X).round(2)
    array([[ 1.22, -0.71,  0.33, -0.33],
           [ 0.  ,  1.41, -0.67,  0.67],
           [-1.22, -0.71,  0.33, -0.33]])
    """
    numbers = make_pipeline(
        InformativeImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        FunctionTransformer(
            np.clip,
            kw_args={"a_min": -MOST_DEVIATIONS, "a_max": MOST_DEVIATIONS},
            feature_names_out="one-to-one",
        ),
    )
    categories = make_pipeline(
        OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            min_frequency=min_frequency,
            sparse_output=False,
            dtype=np.float32,
        ),
        # Centred, a category that nearly all samples have says next to nothing.
        StandardScaler(with_std=False),
    )
    return ColumnTransformer(
        [("numeric", numbers, numeric), ("categorical", categories, categorical)],
        verbose_feature_names_out=False,
        sparse_threshold=0,
    )
