"""Measures of agreement against loops, cases by hand, and what is known of them."""

from __future__ import annotations

import itertools
import math
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from sknninterp.evaluation.agreement import (
    jaccard,
    kendall,
    kuncheva,
    nogueira,
    pairwise_agreement,
    rank_biased_overlap,
    ranks,
    spearman,
    stability,
    top_k,
)

# --- slow versions, from the definitions --------------------------------------------------------


def sign(number):
    return int(number > 0) - int(number < 0)


def naive_kendall(a, b):
    pairs = list(itertools.combinations(range(len(a)), 2))
    both = sum(sign(a[i] - a[j]) * sign(b[i] - b[j]) for i, j in pairs)
    untied = [sum(one[i] != one[j] for i, j in pairs) for one in (a, b)]
    return both / math.sqrt(untied[0] * untied[1])


def naive_spearman(a, b):
    a, b = ranks([a, b])
    return np.mean((a - a.mean()) * (b - b.mean())) / (a.std() * b.std())


def naive_overlap(a, b, persistence):
    """The sum of the definition, to where nothing is left of it."""
    lists = []
    for row in (a, b):
        order = sorted(range(len(row)), key=lambda i: (-row[i], i))
        lists.append([i for i in order if row[i] > 0])
    total = 0.0
    for depth in range(1, 2000):
        one, two = (set(found[:depth]) for found in lists)
        agreement = 2 * len(one & two) / (len(one) + len(two)) if one or two else 1
        total += (1 - persistence) * persistence ** (depth - 1) * agreement
    return total


def naive_jaccard(a, b):
    a, b = set(np.flatnonzero(a)), set(np.flatnonzero(b))
    return len(a & b) / len(a | b) if a | b else 1.0


def naive_kuncheva(a, b):
    p, k, r = len(a), sum(a), sum(x and y for x, y in zip(a, b, strict=True))
    return (r * p - k**2) / (k * (p - k))


def naive_nogueira(selected, level=0.95):
    n_sets, d = len(selected), len(selected[0])
    p = [sum(row[f] for row in selected) / n_sets for f in range(d)]
    k = [sum(row) for row in selected]
    mean_k = sum(k) / n_sets
    chance = mean_k / d * (1 - mean_k / d)
    value = 1 - sum(n_sets / (n_sets - 1) * one * (1 - one) for one in p) / d / chance
    phi = []
    for i in range(n_sets):
        common = sum(selected[i][f] * p[f] for f in range(d)) / d
        bracket = 2 * mean_k * k[i] / d**2 - k[i] / d - mean_k / d + 1
        phi.append((common - k[i] * mean_k / d**2 + value / 2 * bracket) / chance)
    variance = 4 / n_sets**2 * sum((one - sum(phi) / n_sets) ** 2 for one in phi)
    margin = norm.ppf(1 - (1 - level) / 2) * variance**0.5
    return value, variance, value - margin, value + margin


def mean_of_pairs(measure, rows, *more):
    return np.mean([measure(a, b, *more) for a, b in itertools.combinations(rows, 2)])


@pytest.fixture(scope="module")
def tied():
    """Repeats of a ranking with ties and with features that are not used."""
    rng = np.random.default_rng(0)
    return np.maximum(rng.integers(0, 8, 15) + rng.integers(-3, 4, size=(6, 15)), 0).astype(float)


@pytest.fixture(scope="module")
def smooth():
    """Repeats of a ranking without ties."""
    rng = np.random.default_rng(1)
    return rng.exponential(size=25) * rng.exponential(size=(7, 25))


@pytest.fixture(scope="module")
def sets():
    """Sets of different sizes."""
    rng = np.random.default_rng(2)
    return rng.random((8, 20)) < rng.random(20)


# --- against the definitions --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measure", "naive"), [(kendall, naive_kendall), (spearman, naive_spearman)]
)
@pytest.mark.parametrize("kind", ["tied", "smooth"])
def test_correlations_are_those_of_the_definition(measure, naive, kind, request):
    importances = request.getfixturevalue(kind)
    found = measure(importances)
    assert found == pytest.approx(mean_of_pairs(naive, importances), abs=1e-12)
    assert 0.1 < found < 0.9


@pytest.mark.parametrize("persistence", [0.5, 0.9, 0.97])
@pytest.mark.parametrize("kind", ["tied", "smooth"])
def test_rank_biased_overlap_is_that_of_the_definition(persistence, kind, request):
    importances = request.getfixturevalue(kind)
    expected = mean_of_pairs(naive_overlap, importances, persistence)
    assert rank_biased_overlap(importances, persistence) == pytest.approx(expected, abs=1e-10)


def test_rank_biased_overlap_of_more_features_than_are_looked_at():
    rng = np.random.default_rng(0)
    importances = rng.exponential(size=300) * rng.exponential(size=(3, 300))
    expected = mean_of_pairs(naive_overlap, importances, 0.8)
    assert rank_biased_overlap(importances, 0.8) == pytest.approx(expected, abs=1e-10)


def test_jaccard_is_that_of_the_definition(sets):
    assert jaccard(sets) == pytest.approx(mean_of_pairs(naive_jaccard, sets), abs=1e-12)


@pytest.mark.parametrize("k", [1, 4, 24])
def test_kuncheva_is_that_of_the_definition(smooth, k):
    selected = top_k(smooth, k)
    expected = mean_of_pairs(naive_kuncheva, selected.tolist())
    assert kuncheva(selected) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_nogueira_is_that_of_the_paper(sets, level):
    expected = naive_nogueira(sets.astype(int).tolist(), level)
    assert nogueira(sets, level) == pytest.approx(expected, abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(2, 8), st.integers(2, 12), st.data())
def test_nogueira_is_kuncheva_for_sets_of_one_size(seed, n_repeats, n_features, data):
    k = data.draw(st.integers(1, n_features - 1))
    selected = top_k(np.random.default_rng(seed).random((n_repeats, n_features)) + 1, k)
    found = nogueira(selected).stability
    assert found == pytest.approx(kuncheva(selected), abs=1e-9)
    assert found >= -1 / (n_repeats - 1) - 1e-9


# --- by hand ------------------------------------------------------------------------------------


def test_kendall_by_hand():
    # 5 pairs agree, 1 does not; with the tie it is 4 and 1 of the 5 and 6 pairs.
    assert kendall([[4, 3, 2, 1], [4, 3, 1, 2]]) == pytest.approx(4 / 6)
    assert kendall([[4, 3, 2, 1], [4, 4, 1, 2]]) == pytest.approx(3 / math.sqrt(6 * 5))


def test_spearman_by_hand():
    # 1 - 6 (1 + 1) / (4 * 15)
    assert spearman([[4, 3, 2, 1], [4, 3, 1, 2]]) == pytest.approx(0.8)


def test_rank_biased_overlap_by_hand():
    # 1/2 (0) + 1/4 (1/2) + 1/8 (1) + 1/16 (1) + ...
    assert rank_biased_overlap([[3, 2, 1], [1, 3, 2]], 0.5) == pytest.approx(0.5 * 0 + 0.125 + 0.25)
    # A list of one feature, and one of two that has it second: 0, then 2 / 3 to the end.
    assert rank_biased_overlap([[1, 0, 0], [1, 2, 0]], 0.5) == pytest.approx(1 / 3)


def test_sets_by_hand():
    selected = np.array([[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 0, 1, 0, 0]])
    assert jaccard(selected) == pytest.approx((2 / 3 + 1 / 3 + 2 / 3) / 3)
    # Of two among five features, one in common: (5 - 4) / 6.
    assert kuncheva(selected[[0, 2]]) == pytest.approx(1 / 6)
    # Two features of variance 1/3, of five; 7/15 are selected on average.
    assert nogueira(selected).stability == pytest.approx(1 - 2 / 15 / (7 / 15 * 8 / 15))


def test_variance_by_hand():
    # p = (1/2, 1/2), k = 1 each, stability -1: phi is 4 (1/4 - 1/4 - 1/2 (1/2)) for both sets.
    assert nogueira([[1, 0], [0, 1]]) == (-1, 0, -1, -1)
    # k = (1, 2) of 3, k/d = 1/2, p = (1, 1/2, 0), stability 1 - 2 (1/12) / (1/4) = 1/3;
    # phi = 4 (1/3 - 1/6 + 1/6 (1/2)) = 1 and 4 (1/2 - 1/3 + 1/6 (1/2)) = 1.
    found = nogueira([[1, 0, 0], [1, 1, 0]])
    assert found.stability == pytest.approx(1 / 3)
    assert found.variance == pytest.approx(0, abs=1e-30)


# --- what is known of them ----------------------------------------------------------------------

OF_RANKS = [kendall, spearman, rank_biased_overlap]
OF_SETS = [jaccard, kuncheva, lambda selected: nogueira(selected).stability]


@pytest.mark.parametrize("measure", OF_RANKS)
def test_the_same_ranking_every_time_is_1(measure, smooth):
    assert measure(np.tile(smooth[0], (4, 1)) * [[1], [2], [3], [4]]) == pytest.approx(1)


@pytest.mark.parametrize("measure", OF_SETS, ids=["jaccard", "kuncheva", "nogueira"])
def test_the_same_set_every_time_is_1(measure, sets):
    assert measure(np.tile(sets[0], (4, 1))) == pytest.approx(1)


def test_random_rankings_are_0_where_chance_is_corrected():
    importances = np.random.default_rng(0).random((40, 500))
    table = stability(importances, k=50)
    corrected = ["kendall", "spearman", "kuncheva", "nogueira"]
    assert table.loc[corrected, "stability"].abs().max() < 0.02
    assert table.loc["jaccard", "stability"] > 0.04


@pytest.mark.parametrize("measure", OF_RANKS)
def test_two_repeats_more_agree_the_more(measure):
    rng = np.random.default_rng(0)
    base, noise = rng.exponential(size=50), rng.exponential(size=(10, 50))
    found = [measure(base + weight * noise) for weight in (0.01, 0.3, 3)]
    assert found[0] > found[1] + 0.02 > found[2] + 0.04


# --- what is not defined ------------------------------------------------------------------------


@pytest.mark.parametrize("measure", [kendall, spearman])
def test_a_repeat_that_ranks_nothing_has_no_correlation(measure, smooth):
    assert math.isnan(measure(np.vstack([smooth, np.zeros(25)])))
    assert math.isnan(measure(np.full((2, 3), 0.1)))
    assert math.isnan(measure([[1.0], [1.0]]))


def test_empty_sets_are_the_same():
    none = np.zeros((2, 3))
    assert jaccard(none.astype(bool)) == 1
    assert rank_biased_overlap(none) == 1
    assert rank_biased_overlap([[1, 0], [0, 0]]) == 0
    assert jaccard([[True, False], [False, False]]) == 0


@pytest.mark.parametrize(
    "selected", [np.zeros((3, 4), bool), np.ones((3, 4), bool)], ids=["no", "all"]
)
def test_no_feature_or_all_have_no_stability(selected):
    assert math.isnan(kuncheva(selected))
    assert all(map(math.isnan, nogueira(selected)))


def test_sets_of_different_sizes_have_no_kuncheva_index():
    selected = [[True, True, False], [True, False, False]]
    assert math.isnan(kuncheva(selected))
    assert not math.isnan(nogueira(selected).stability)


@pytest.mark.parametrize("measure", [*OF_RANKS, *OF_SETS, stability, pairwise_agreement])
def test_one_repeat(measure):
    with pytest.raises(ValueError, match="n_repeats=1"):
        measure(np.array([[1, 0, 1]]))


@pytest.mark.parametrize("measure", [*OF_RANKS, stability, pairwise_agreement])
def test_nan(measure):
    with pytest.raises(ValueError, match=r"1 NaN .* repeat 1 and feature 0"):
        measure([[1.0, 2.0], [np.nan, 1.0]])


def test_shares_out_of_range(smooth):
    with pytest.raises(ValueError, match="persistence=1 "):
        rank_biased_overlap(smooth, 1)
    with pytest.raises(ValueError, match="confidence_level=95 "):
        nogueira(smooth > 1, 95)
    with pytest.raises(ValueError, match="confidence_level=0 "):
        stability(smooth, confidence_level=0)


# --- all pairs, and all measures ----------------------------------------------------------------

MEASURES = {
    "kendall": (naive_kendall, None),
    "spearman": (naive_spearman, None),
    "rank_biased_overlap": (lambda a, b: naive_overlap(a, b, 0.9), None),
    "jaccard": (naive_jaccard, 4),
    "kuncheva": (naive_kuncheva, 4),
}


@pytest.mark.parametrize("measure", MEASURES)
def test_pairwise_agreement(measure, smooth):
    naive, k = MEASURES[measure]
    names = [f"method {i}" for i in range(len(smooth))]
    matrix = pairwise_agreement(pd.DataFrame(smooth, index=names), measure, k=4)
    assert matrix.index.tolist() == matrix.columns.tolist() == names
    rows = smooth if k is None else top_k(smooth, k).tolist()
    expected = [[naive(a, b) for b in rows] for a in rows]
    np.testing.assert_allclose(matrix, expected, atol=1e-10)
    np.testing.assert_array_equal(np.diag(matrix), 1)


def test_pairwise_agreement_of_what_has_no_order():
    matrix = pairwise_agreement([[1, 1], [1, 2], [2, 1]])
    np.testing.assert_array_equal(
        matrix, [[np.nan, np.nan, np.nan], [np.nan, 1, -1], [np.nan, -1, 1]]
    )
    with pytest.raises(ValueError, match=r"measure='tau' must be one of \['kendall'"):
        pairwise_agreement([[1, 1], [1, 2]], "tau")


def test_table_of_all_measures(smooth):
    table = stability(pd.DataFrame(smooth), k=4, confidence_level=0.9)
    selected = top_k(smooth, 4)
    expected = {
        "kendall": kendall(smooth),
        "spearman": spearman(smooth),
        "rank_biased_overlap": rank_biased_overlap(smooth),
        "jaccard": jaccard(selected),
        "kuncheva": kuncheva(selected),
        "nogueira": nogueira(selected).stability,
    }
    assert table["stability"].to_dict() == pytest.approx(expected, abs=1e-12)
    assert table.columns.tolist() == ["stability", "lower", "upper"]
    found = nogueira(selected, 0.9)
    assert table.loc["nogueira"].tolist() == [found.stability, found.lower, found.upper]
    assert (table["lower"] < table["stability"]).all()
    assert (table["stability"] < table["upper"]).all()


def test_intervals_leave_one_repeat_out(smooth):
    n_repeats = len(smooth)
    without = [spearman(np.delete(smooth, i, axis=0)) for i in range(n_repeats)]
    error = math.sqrt((n_repeats - 1) * np.var(without))
    # The 95 % point of Student's t with 6 degrees of freedom, from a table.
    expected = [spearman(smooth) - 2.4469 * error, spearman(smooth) + 2.4469 * error]
    found = stability(smooth, k=4).loc["spearman", ["lower", "upper"]]
    assert found.tolist() == pytest.approx(expected, abs=1e-4)


def test_intervals_of_two_repeats_and_of_wider_levels(smooth):
    table = stability(smooth[:2], k=4)
    assert table.drop(index="nogueira")[["lower", "upper"]].isna().all(axis=None)
    assert table["stability"].notna().all()
    narrow, wide = (stability(smooth, 4, level) for level in (0.5, 0.99))
    assert ((wide["upper"] - wide["lower"]) > (narrow["upper"] - narrow["lower"])).all()


def test_k_of_more_features_than_there_are(smooth):
    with pytest.raises(ValueError, match="k=26 "):
        stability(smooth, 26)


def test_intervals_hold_the_stability_of_many_repeats():
    """Of all measures, for repeats that are independent, about as often as they say."""
    rng = np.random.default_rng(0)
    base = rng.exponential(size=30)
    truth = stability(base + rng.exponential(size=(300, 30)), k=8)["stability"]
    tables = [stability(base + rng.exponential(size=(20, 30)), k=8) for _ in range(50)]
    shares = pd.concat([one["lower"].lt(truth) & one["upper"].gt(truth) for one in tables], axis=1)
    assert (shares.mean(axis=1) > 0.84).all(), shares
    narrow = [stability(base + rng.exponential(size=(20, 30)), 8, 0.5) for _ in range(50)]
    shares = pd.concat([one["lower"].lt(truth) & one["upper"].gt(truth) for one in narrow], axis=1)
    assert (shares.mean(axis=1) < 0.75).all(), shares


@pytest.mark.parametrize("n_features", [20, 600])
def test_both_ways_to_kendalls_tau_are_the_same(n_features, monkeypatch):
    rng = np.random.default_rng(0)
    importances = rng.integers(0, 20, n_features) + rng.integers(-3, 4, size=(5, n_features))
    found = []
    for most in (0, 10**6):
        monkeypatch.setattr("sknninterp.evaluation.agreement._MOST_COMPARED", most)
        table = np.vstack([importances, np.ones(n_features), -importances[0]]).astype(float)
        found.append(pairwise_agreement(table))
    np.testing.assert_allclose(*found, atol=1e-12)
    assert found[0].isna().sum().sum() == 13


def test_many_features_take_seconds():
    importances = np.random.default_rng(0).exponential(size=(12, 20_000))
    start = time.perf_counter()
    stability(importances, k=100)
    # It takes less than one; loops over pairs of features would take minutes.
    assert time.perf_counter() - start < 20
