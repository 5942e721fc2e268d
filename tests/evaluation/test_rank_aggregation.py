"""Consensus rankings against loops and cases by hand; robust rank aggregation and its p-values."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from sknninterp.evaluation.rank_aggregation import METHODS, consensus, robust_rank_aggregation

IMPORTANCES = np.array(
    [[0.5, 0.3, 0.2, 0.0], [0.6, 0.2, 0.2, 0.0], [0.1, 0.7, 0.1, 0.1], [0.4, 0.3, 0.2, 0.1]]
)
# Their ranks: 1 2 3 4; 1 2.5 2.5 4; 3 1 3 3; 1 2 3 4.


def naive_rho(shares):
    """The definition, in fractions: sums of binomial chances."""
    shares, n = sorted(shares), len(shares)
    found = []
    for k, r in enumerate(shares, 1):
        chance = sum(math.comb(n, i) * r**i * (1 - r) ** (n - i) for i in range(k, n + 1))
        found.append(chance)
    return min(found)


def naive_shares(importances):
    """Ranks over the number of features as fractions, of features as rows."""
    n_features = len(importances[0])
    columns = []
    for f in range(n_features):
        shares = []
        for row in importances.tolist():
            larger, equal = sum(o > row[f] for o in row), sum(o == row[f] for o in row)
            rank = Fraction(2 * larger + equal + 1, 2)
            shares.append(rank / n_features if row[f] > 0 else Fraction(1))
        columns.append(shares)
    return columns


def log10(fraction):
    """Of fractions that are too small for a float."""
    return math.log10(fraction.numerator) - math.log10(fraction.denominator)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("mean", [0.4, 0.375, 0.175, 0.05]),
        ("mean_rank", [5 - 6 / 4, 5 - 7.5 / 4, 5 - 11.5 / 4, 5 - 15 / 4]),
        ("borda", [(4 - 6 / 4) / 3, (4 - 7.5 / 4) / 3, (4 - 11.5 / 4) / 3, (4 - 15 / 4) / 3]),
        ("median_rank", [4, 3, 2, 1]),
        # Three of four ranks are 1/4, one is 3/4; the best two are at most 1/2, and so on.
        ("rra", [-math.log10(4 * 0.25**3 * 0.75 + 0.25**4)] + 3 * [None]),
    ],
)
def test_by_hand(method, expected):
    found = consensus(IMPORTANCES, method)
    known = [i for i, one in enumerate(expected) if one is not None]
    np.testing.assert_allclose(found[known], [expected[i] for i in known], rtol=1e-12)
    assert np.argmax(found) == 0


def test_borda_counts_the_others_that_are_beaten():
    rng = np.random.default_rng(0)
    importances = rng.integers(0, 5, size=(6, 9)).astype(float)
    expected = [
        np.mean(
            [
                sum((row[f] > row[g]) + (row[f] == row[g]) / 2 for g in range(9) if g != f) / 8
                for row in importances
            ]
        )
        for f in range(9)
    ]
    np.testing.assert_allclose(consensus(importances, "borda"), expected, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_names_and_the_order_of_columns_are_kept(method):
    frame = pd.DataFrame(IMPORTANCES, columns=["age", "dose", "bmi", "sex"])
    found = consensus(frame, method)
    assert found.index.tolist() == list(frame)
    assert found.name == method
    np.testing.assert_array_equal(found, consensus(IMPORTANCES, method))
    turned = consensus(frame.iloc[::-1, ::-1], method)
    np.testing.assert_allclose(turned[found.index], found, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_a_feature_on_top_every_time_comes_first_and_scores_are_not_negative(method):
    rng = np.random.default_rng(0)
    importances = rng.random((5, 30))
    importances[:, 7] += 1
    found = consensus(importances, method)
    assert np.argmax(found) == 7
    assert (found >= 0).all()
    assert not np.signbit(consensus([[1.0], [1.0]], method)).any()


def test_a_single_feature_beats_all_others():
    assert consensus([[1.0], [1.0]], "borda").tolist() == [1]


def test_the_median_is_not_moved_by_a_minority():
    importances = np.tile([4.0, 3, 2, 1], (5, 1))
    importances[:2] = [0, 1, 2, 3]
    assert np.argsort(-consensus(importances, "median_rank")).tolist() == [0, 1, 2, 3]


# --- robust rank aggregation --------------------------------------------------------------------


@pytest.mark.parametrize("n_repeats", [1, 2, 7])
def test_rho_is_that_of_the_definition(n_repeats):
    rng = np.random.default_rng(n_repeats)
    importances = np.maximum(rng.integers(0, 8, 12) + rng.integers(-2, 3, (n_repeats, 12)), 0)
    importances[:, 3] = 0
    expected = [float(naive_rho(shares)) for shares in naive_shares(importances)]
    found = robust_rank_aggregation(importances)
    np.testing.assert_allclose(found["rho"], expected, rtol=1e-10)
    np.testing.assert_allclose(found["p_value"], np.minimum(1, n_repeats * np.array(expected)))
    assert found["rho"].nunique() > 3


def test_robust_rank_aggregation_by_hand():
    # Ranks 1 and 2 of 4: chances 1 - (3/4)^2 and (1/2)^2; ranks 1 and 4: 7/16 and 1.
    found = robust_rank_aggregation(pd.DataFrame([[4, 3, 2, 1], [3, 4, 1, 2]], columns=[*"abcd"]))
    assert found.index.tolist() == [*"abcd"]
    np.testing.assert_allclose(found["rho"], [1 / 4, 1 / 4, 15 / 16, 15 / 16])
    np.testing.assert_allclose(found["p_value"], [1 / 2, 1 / 2, 1, 1])


def test_features_that_are_not_used_are_not_ranked():
    found = robust_rank_aggregation([[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(found["rho"], [1 / 16, 1, 1, 1])
    assert consensus([[1.0, 0.0], [0.5, 0.0]], "rra")[1] == 0


def test_chances_too_small_for_a_float_keep_their_order():
    """The first of 20,000 in each of 100 repeats has a chance of 10^-430."""
    importances = np.tile(np.linspace(1, 2, 20_000)[::-1], (100, 1))
    importances[0, :4] = importances[0, [1, 0, 3, 2]]
    scores = consensus(importances, "rra")
    for feature, places in [(0, [*99 * [1], 2]), (1, [*99 * [2], 1]), (2, [*99 * [3], 4])]:
        rho = naive_rho([Fraction(place, 20_000) for place in places])
        assert scores[feature] == pytest.approx(-log10(rho), rel=1e-12)
    assert (np.diff(scores[:50]) < 0).all()
    assert robust_rank_aggregation(importances)["rho"].iloc[0] == 0


def test_p_values_of_random_rankings_are_not_too_small():
    found = robust_rank_aggregation(np.random.default_rng(0).random((10, 5_000)))["p_value"]
    for level in (0.01, 0.05, 0.2):
        share = (found <= level).mean()
        assert 0.2 * level < share < 1.2 * level


# --- bad input ----------------------------------------------------------------------------------


def test_unknown_methods_and_importances_that_are_not_finite():
    with pytest.raises(ValueError, match=r"method='median' must be one of \['mean'"):
        consensus(IMPORTANCES, "median")
    with pytest.raises(ValueError, match="1 NaN"):
        consensus([[1.0, np.nan]])
    with pytest.raises(ValueError, match="1 NaN"):
        robust_rank_aggregation([[1.0, np.inf]])
    with pytest.raises(ValueError, match=r"\(n_repeats, n_features\)"):
        consensus([1.0, 2.0])
