"""Data and parameters checked, with errors that name what is at fault."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import (
    InvalidParameterError,
    validate_parameter_constraints,
)

from sknninterp.estimators._validation import Pair, for_torch, validated

X = np.random.default_rng(0).normal(size=(12, 6))
FRAME = pd.DataFrame(X, columns=["age", "weight", "height", "dose", "grade", "stage"])
Y = np.arange(12) % 3


def check(data, y="no_validation", **options):
    return validated(BaseEstimator(), data, y, **options)


def spoilt(value):
    """A table with a value in its third and last columns."""
    table = FRAME.copy().astype(object)
    table.iloc[3, [2, 5]] = value
    return table


# --- what passes --------------------------------------------------------------------------------


def test_x_and_y_pass():
    found = check(X)
    assert found is X
    data, y = check(FRAME, Y)
    np.testing.assert_array_equal(data, X)
    np.testing.assert_array_equal(y, Y)


@pytest.mark.parametrize("convert", [sparse.csr_matrix, sparse.csc_matrix, sparse.coo_array])
def test_sparse_data_become_rows(convert):
    found = check(convert(X))
    assert found.format == "csr"
    np.testing.assert_array_equal(found.toarray(), X)


def test_columns_and_their_names_are_learnt_and_compared():
    estimator = BaseEstimator()
    validated(estimator, FRAME)
    assert estimator.feature_names_in_.tolist() == list(FRAME)
    with pytest.raises(ValueError, match="unseen at fit time:\n- size"):
        validated(estimator, FRAME.rename(columns={"height": "size"}), reset=False)
    validated(estimator, X)
    with pytest.raises(ValueError, match="X has 5 features, but BaseEstimator is expecting 6"):
        validated(estimator, X[:, :5], reset=False)


def test_columns_of_truth_values_and_of_numbers_as_text_are_numbers():
    found = check(FRAME.assign(dose=True, grade="3"), dtype=np.float64)
    np.testing.assert_array_equal(found[:, 3:5], [[1, 3]] * 12)


# --- columns at fault ---------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, None])
def test_missing_and_infinite_values_name_the_columns(value):
    message = r"Input X.*\n(.*\n)*Columns with such values: {}\."
    with pytest.raises(ValueError, match=message.format(r"\['height', 'stage'\]")):
        check(spoilt(value), dtype=np.float64)
    for bad in (spoilt(value).to_numpy(), spoilt(value).to_numpy().tolist()):
        with pytest.raises(ValueError, match=message.format(r"\[2, 5\]")):
            check(bad, dtype=np.float64)


def test_sparse_data_have_no_columns_to_name():
    with pytest.raises(ValueError, match="^Input X contains NaN") as caught:
        check(sparse.csr_matrix(spoilt(np.nan).to_numpy(float)))
    assert "Columns" not in str(caught.value)


def test_missing_values_in_pandas_own_types():
    table = FRAME.assign(dose=pd.Series([None] + [1] * 11, dtype="Int64"))
    with pytest.raises(ValueError, match=r"such values: \['dose'\]"):
        check(table, dtype=np.float64)


@pytest.mark.parametrize(
    "column",
    [
        ["a"] * 12,
        pd.Categorical(["a", "b"] * 6),
        [pd.Timestamp("2020-02-02")] * 12,
        ["1"] * 11 + ["?"],
        [3.0, "a"] * 6,
    ],
    ids=["text", "category", "date", "numbers-as-text", "mixed"],
)
def test_columns_that_are_not_numeric_are_named(column):
    table = FRAME.assign(ward=column)
    message = r"Columns that are not numeric: \['ward'\]. Encode them first"
    with pytest.raises((TypeError, ValueError), match=message):
        check(table, dtype=np.float64)
    with pytest.raises((TypeError, ValueError), match=message.replace("'ward'", "6")):
        check(table.to_numpy(), dtype=np.float64)


def test_many_bad_columns_are_not_all_listed():
    table = pd.DataFrame(np.full((20, 15), np.nan))
    with pytest.raises(ValueError, match=r"8, 9\] and 5 more\."):
        check(table)


def test_errors_about_y_say_y():
    labels = pd.Series(["a", np.nan, "b"] * 4)
    with pytest.raises(ValueError, match="^Input y contains NaN"):
        check(X, labels)
    with pytest.raises(ValueError, match="^Input y contains NaN") as caught:
        check(spoilt(1.0), np.where(Y == 0, np.nan, Y), dtype=np.float64, y_numeric=True)
    assert "Columns" not in str(caught.value)


@pytest.mark.parametrize("data", [X[:0], X[:, 0], X[None]], ids=["empty", "flat", "cube"])
def test_other_errors_stay_as_scikit_learn_has_them(data):
    with pytest.raises(ValueError, match=r"0 sample\(s\)|Expected 2D array|dim 3") as caught:
        check(data)
    assert "Columns" not in str(caught.value)


# --- for torch ----------------------------------------------------------------------------------


def read_only(data):
    data = data.copy()
    data.flags.writeable = False
    return data


@pytest.mark.parametrize(
    "convert",
    [np.asfortranarray, read_only, lambda x: x[:, ::-1], lambda x: x[::2], sparse.csr_array],
    ids=["fortran", "read-only", "mirrored", "every-other", "sparse"],
)
def test_torch_takes_it(convert):
    data = convert(X)
    expected = data.toarray() if sparse.issparse(data) else data
    found = for_torch(data)
    np.testing.assert_array_equal(found, expected)
    assert found.flags["C_CONTIGUOUS"]
    torch.from_numpy(found)  # would warn of memory that is read-only, and refuse negative strides
    assert found.flags["WRITEABLE"]


def test_nothing_is_copied_without_need():
    assert for_torch(X) is X


# --- pairs --------------------------------------------------------------------------------------

MOMENTUM = Pair(Real, 0, 1, closed="left")
EPOCHS = Pair(Integral, 0, None, closed="left")


@pytest.mark.parametrize("pair", [(0, 0.9), [0.5, 0.5], (np.float32(0.1), np.float64(0.9))])
def test_pairs(pair):
    validate_parameter_constraints({"momentum": [MOMENTUM]}, {"momentum": pair}, "RBM")


@pytest.mark.parametrize("constraint", [MOMENTUM, EPOCHS], ids=["real", "integral"])
@pytest.mark.parametrize(
    "pair",
    [(0.5,), (0, 0, 0), (), 0, None, "00", ("0", 0), (-1, 0), (0, np.nan), (0, None), {0, 1}],
    ids=str,
)
def test_what_is_no_pair(constraint, pair):
    with pytest.raises(InvalidParameterError, match=r"'momentum' parameter of RBM must be a pair"):
        validate_parameter_constraints({"momentum": [constraint]}, {"momentum": pair}, "RBM")


def test_both_numbers_are_of_the_interval():
    assert not MOMENTUM.is_satisfied_by((0.5, 1))
    assert not MOMENTUM.is_satisfied_by((1, 0.5))
    assert not EPOCHS.is_satisfied_by((0.5, 1))
    assert EPOCHS.is_satisfied_by((7, 3))
    assert str(MOMENTUM) == "a pair of numbers, each a float in the range [0.0, 1.0)"
