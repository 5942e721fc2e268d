"""Ranks and top features of repeats, and what is not let in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sknninterp.evaluation._repeat_ranks import (
    check_importances,
    check_selected,
    places_of,
    ranks,
    repeated,
    top_k,
)

IMPORTANCES = np.array([[0.1, 0.4, 0.4, 0.0, 0.1], [0.0, 0.0, 1.0, 0.0, 0.0]])


def naive_ranks(row):
    """One plus the number of larger ones, plus half of the others that are equal."""
    return [
        1 + sum(other > one for other in row) + (sum(other == one for other in row) - 1) / 2
        for one in row
    ]


def test_ranks_by_hand():
    np.testing.assert_array_equal(
        ranks(IMPORTANCES), [[3.5, 1.5, 1.5, 5, 3.5], [3.5, 3.5, 1, 3.5, 3.5]]
    )


def test_ranks_are_those_of_counting():
    importances = np.random.default_rng(0).integers(0, 6, size=(5, 12)).astype(float)
    np.testing.assert_array_equal(ranks(importances), [naive_ranks(row) for row in importances])


def test_places_take_ties_in_the_order_of_columns():
    np.testing.assert_array_equal(places_of(IMPORTANCES), [[3, 1, 2, 5, 4], [2, 3, 1, 4, 5]])


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (1, [[0, 1, 0, 0, 0], [0, 0, 1, 0, 0]]),
        (3, [[1, 1, 1, 0, 0], [0, 0, 1, 0, 0]]),
        (5, [[1, 1, 1, 0, 1], [0, 0, 1, 0, 0]]),
    ],
)
def test_top_k_by_hand(k, expected):
    selected = top_k(IMPORTANCES, k)
    assert selected.dtype == bool
    np.testing.assert_array_equal(selected, expected)


def test_nothing_negative_is_selected():
    np.testing.assert_array_equal(top_k([[0.5, -2.0, -0.1]], 2), [[True, False, False]])


def test_names_are_kept():
    frame = pd.DataFrame(IMPORTANCES, columns=[*"abcde"], index=["first", "second"])
    for table in (ranks(frame), top_k(frame, 2)):
        assert table.columns.tolist() == [*"abcde"]
        assert table.index.tolist() == ["first", "second"]


@pytest.mark.parametrize("k", [0, 6, -1, 2.0, True, None])
def test_k_that_cannot_be(k):
    with pytest.raises(ValueError, match=r"k=.* from 1 to the number of features, 5"):
        top_k(IMPORTANCES, k)


@pytest.mark.parametrize("shape", [(3,), (0, 3), (2, 0), (2, 2, 2)], ids=str)
def test_other_shapes(shape):
    with pytest.raises(ValueError, match=r"\(n_repeats, n_features\)"):
        check_importances(np.ones(shape))
    with pytest.raises(ValueError, match=r"\(n_repeats, n_features\)"):
        check_selected(np.ones(shape))


def test_numbers_that_are_not_finite_are_named():
    frame = pd.DataFrame([[1.0, 2.0], [np.inf, np.nan]], columns=["age", "dose"])
    with pytest.raises(ValueError, match=r"2 NaN or infinite.* repeat 1 and feature age"):
        check_importances(frame)
    with pytest.raises(ValueError, match=r"2 NaN or infinite.* repeat 1 and feature 0"):
        check_importances(frame.to_numpy())


def test_one_repeat_agrees_with_none():
    with pytest.raises(ValueError, match="n_repeats=1"):
        repeated([[1.0, 2.0]])
    with pytest.raises(ValueError, match="n_repeats=1"):
        check_selected([[True, False]])


def test_selections_are_true_or_false():
    assert check_selected([[1, 0], [0, 1]]).dtype == bool
    with pytest.raises(ValueError, match="True and False"):
        check_selected([[1, 2], [0, 1]])
