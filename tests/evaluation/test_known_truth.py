"""Recovery of known relevant features, against pairs and permutations counted one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from sknninterp.evaluation.known_truth import precision_at, recovery


def naive_auroc(row, mask):
    wins = [
        1.0 if row[i] > row[j] else 0.5 if row[i] == row[j] else 0.0
        for i in np.flatnonzero(mask)
        for j in np.flatnonzero(~mask)
    ]
    return np.mean(wins)


def naive_average_precision(row, mask):
    total, recall_before = 0.0, 0.0
    for threshold in sorted(set(row), reverse=True):
        chosen = [i for i in range(len(row)) if row[i] >= threshold]
        hits = sum(mask[i] for i in chosen)
        recall = hits / mask.sum()
        total += (recall - recall_before) * hits / len(chosen)
        recall_before = recall
    return total


def orders(row):
    """All orders of the features in which importances fall."""
    for order in itertools.permutations(range(len(row))):
        if all(row[a] >= row[b] for a, b in itertools.pairwise(order)):
            yield order


def naive_precision(row, mask, k):
    return np.mean([np.mean([mask[i] for i in order[:k]]) for order in orders(row)])


def naive_mean_rank(row, mask):
    return np.mean([[order.index(i) + 1 for i in np.flatnonzero(mask)] for order in orders(row)])


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_counting_one_by_one(seed):
    rng = np.random.default_rng(seed)
    importances = rng.integers(0, 4, size=(3, 6)) / 4  # many ties
    mask = np.array([True, False, True, False, False, False])
    found = recovery(importances, mask, k=[1, 2, 5])
    for i, row in enumerate(importances):
        expected = {
            "auroc": naive_auroc(row, mask),
            "average_precision": naive_average_precision(row, mask),
            **{f"precision_at_{k}": naive_precision(row, mask, k) for k in (1, 2, 5)},
            "mean_rank": naive_mean_rank(row, mask),
        }
        assert found.loc[i].to_dict() == pytest.approx(expected)


def test_case_by_hand():
    # Ranks 1, 2.5, 2.5, 4; the relevant features have 1 and 2.5.
    found = recovery([0.7, 0.1, 0.1, 0.0], relevant=[0, 1]).loc[0]
    assert found["auroc"] == (1 + 1 + 0.5 + 1) / 4
    assert found["average_precision"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert found["precision_at_2"] == 0.75
    assert found["mean_rank"] == 1.75


def test_perfect_and_reversed_rankings():
    found = recovery([[3, 2, 1, 0], [0, 1, 2, 3]], relevant=[0, 1])
    assert found["auroc"].tolist() == [1, 0]
    assert found["precision_at_2"].tolist() == [1, 0]
    assert found["mean_rank"].tolist() == [1.5, 3.5]


def test_relevant_by_mask_position_and_name_agree():
    frame = pd.DataFrame([[0.1, 0.5, 0.3], [0.4, 0.4, 0.2]], index=["a", "b"], columns=list("xyz"))
    by_name = recovery(frame, ["y"])
    assert by_name.index.tolist() == ["a", "b"]
    pd.testing.assert_frame_equal(by_name, recovery(frame, [1]))
    pd.testing.assert_frame_equal(by_name, recovery(frame, [False, True, False]))
    series = recovery(frame.loc["a"], ["y"])
    assert series.loc[0].tolist() == by_name.loc["a"].tolist()


def test_numbers_that_are_names_are_names():
    frame = pd.DataFrame([[0.1, 0.5, 0.3]], columns=[2, 0, 1])
    assert recovery(frame, [0])["mean_rank"].tolist() == [1]


def test_precision_counts_only_the_top():
    assert precision_at(np.array([5.0, 4.0, 3.0]), np.array([False, True, True]), 1) == 0


@pytest.mark.parametrize(
    ("importances", "relevant", "k", "message"),
    [
        ([0.1, 0.2], [0], 3, r"k=3 must be an integer from 1 to n_features=2"),
        ([0.1, 0.2], [0], 0, r"k=0 must be"),
        ([0.1, 0.2], [0], True, r"k=True must be"),
        ([0.1, 0.2], [0], [1, 2.5], r"k=2.5 must be"),
        ([0.1, 0.2], [0], np.nan, r"k=nan must be"),
        ("text", [0], None, "importances must be an array of numbers"),
        ([0.1, np.nan], [0], None, "NaN or infinite"),
        ([0.1, 0.2], [2], None, "no feature 2 among the 2"),
        ([0.1, 0.2], ["x"], None, "no feature 'x'"),
        ([0.1, 0.2], [], None, "names 0 of 2 features"),
        ([0.1, 0.2], [0, 1], None, "names 2 of 2 features"),
        ([0.1, 0.2], [True], None, r"must have shape \(2,\), got \(1,\)"),
        (np.zeros((2, 3, 4)), [0], None, "flatten those of images"),
    ],
    ids=str,
)
def test_bad_input(importances, relevant, k, message):
    with pytest.raises(ValueError, match=message):
        recovery(importances, relevant, k)
