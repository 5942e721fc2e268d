"""Bounds of stability selection against published numbers, naive formulas and brute force."""

from __future__ import annotations

import numpy as np
import pytest

from sknninterp.evaluation.stability_bounds import (
    ASSUMPTIONS,
    _r_concave_tail,
    false_selection_bound,
    largest_selection,
    smallest_threshold,
)

# Of R's stabs 0.6 with 50 complementary pairs: features, q, threshold and the bounds.
UNIMODAL = [(100, 1, 0.6, 0.02631579), (100, 7, 0.6, 1.289474), (10, 3, 0.96, 0.1764706)]
R_CONCAVE = [
    (100, 4, 0.6, 0.1637231),
    (100, 7, 0.6, 0.5295188),
    (100, 10, 0.6, 1.141338),
    (100, 30, 0.6, 16.24975),
    (100, 10, 0.61, 1.005863),
    (100, 10, 0.62, 0.8971682),
    (200, 6, 0.6, 0.174),
    (200, 7, 0.62, 0.196),
]


@pytest.mark.parametrize(("p", "q", "threshold", "bound"), UNIMODAL)
def test_unimodal_bound_is_that_of_stabs(p, q, threshold, bound):
    assert false_selection_bound(p, q, threshold, 100) == pytest.approx(bound, rel=1e-6)


@pytest.mark.parametrize(("p", "q", "threshold", "bound"), R_CONCAVE)
def test_r_concave_bound_is_that_of_stabs(p, q, threshold, bound):
    found = false_selection_bound(p, q, threshold, 100, "r-concave")
    # It searches coarsely, so ours may be larger by a little.
    assert found == pytest.approx(bound, rel=3e-3 if bound in (0.174, 0.196) else 1e-5)


def test_what_the_bounds_ask_for_is_what_stabs_says():
    assert largest_selection(200, 0.6, 0.2, 100, "r-concave") == 6
    assert largest_selection(200, 0.6, 0.2, 100, "unimodal") == 3
    assert smallest_threshold(200, 7, 0.2, 100, "r-concave") == 0.62
    assert smallest_threshold(200, 7, 0.2, 100, "unimodal") == 0.81
    assert smallest_threshold(10, 3, 0.2, 100, "unimodal") == 0.96
    assert largest_selection(100, 0.6, 1, 100, "r-concave") == 9


def naive_plain(p, q, threshold):
    return q**2 / ((2 * threshold - 1) * p)


def naive_unimodal(p, q, threshold, n_pairs):
    theta, plain = q / p, naive_plain(p, q, threshold)
    lowest = min(1 / 2 + theta**2, 1 / 2 + 1 / (2 * n_pairs) + 3 / 4 * theta**2)
    if theta > 1 / 3**0.5 or threshold <= lowest or threshold < 1 / 2 + 1 / n_pairs - 1e-12:
        return plain
    if threshold <= 3 / 4:
        constant = 1 / (2 * (2 * threshold - 1 - 1 / (2 * n_pairs)))
    else:
        constant = 4 * (1 - threshold + 1 / (2 * n_pairs)) / (1 + 1 / n_pairs)
    return min(plain, constant * q**2 / p)


@pytest.mark.parametrize("n_pairs", [2, 5, 25, 50])
@pytest.mark.parametrize("q", [1, 5, 20, 28, 29, 40])
def test_formulas(n_pairs, q):
    for count in range(n_pairs + 1, 2 * n_pairs + 1):
        threshold = count / (2 * n_pairs)
        plain, tight = (
            false_selection_bound(50, q, threshold, 2 * n_pairs, how)
            for how in ("none", "unimodal")
        )
        assert plain == pytest.approx(min(50, naive_plain(50, q, threshold)))
        assert tight == pytest.approx(min(50, naive_unimodal(50, q, threshold, n_pairs)))


def is_r_concave(f, r):
    """Whether f^r is convex where f > 0, which has to be an interval."""
    positive = np.flatnonzero(f > 0)
    if not np.array_equal(positive, np.arange(positive[0], positive[-1] + 1)):
        return False
    powers = f[positive] ** r
    return bool((np.diff(powers, 2) >= -1e-9 * np.abs(powers[1:-1])).all())


@pytest.mark.parametrize("r", [-1 / 2, -1 / 4])
@pytest.mark.parametrize("mean", [0.02, 0.1, 0.3])
def test_r_concave_tail_is_reached_and_not_exceeded(r, mean):
    """Every distribution of the family, on a grid, and many others."""
    n, rng = 6, np.random.default_rng(0)
    i = np.arange(n + 1)
    most = np.zeros(n + 1)
    grid = [
        np.r_[(a + i[: k + 1]) ** (1 / r), np.zeros(n - k)]
        for k in range(n + 1)
        for a in np.geomspace(1e-3, 1e3, 150)
    ]
    with_rest = [
        f + rest * f[k] * np.eye(n + 1)[k + 1] * (k < n)
        for f in grid
        for k in [np.flatnonzero(f)[-1]]
        if k < n
        for rest in np.linspace(0, 1, 12)
    ]
    others = [np.sort(rng.uniform(size=n + 1) ** 4)[::-1] for _ in range(800)]
    n_seen = 0
    for f in [*grid, *with_rest, *others]:
        f = f / f.sum()
        if f @ i / n <= mean and is_r_concave(f, r):
            n_seen += 1
            most = np.maximum(most, f[::-1].cumsum()[::-1])
    assert n_seen > 100
    for t in range(1, n + 1):
        bound = _r_concave_tail(mean, n, t, r)
        assert most[t] <= bound + 1e-9
        if bound < 1:
            assert bound == pytest.approx(most[t], rel=0.15)


def test_tail_is_unknown_up_to_twice_the_mean():
    assert [_r_concave_tail(0.2, 10, t, -0.5) for t in (0, 3, 4)] == [1, 1, 1]
    assert _r_concave_tail(0.2, 10, 5, -0.5) < 1
    assert _r_concave_tail(0.6, 10, 10, -0.5) == 1


@pytest.mark.parametrize("assumption", ASSUMPTIONS)
def test_bounds_grow_with_the_selection_and_shrink_with_the_threshold(assumption):
    of_q = [false_selection_bound(60, q, 0.7, 50, assumption) for q in range(1, 61)]
    assert (np.diff(of_q) >= 0).all()
    assert of_q[-1] == 60
    of_threshold = [false_selection_bound(60, 5, c / 50, 50, assumption) for c in range(26, 51)]
    assert (np.diff(of_threshold) <= 0).all()
    for pfer in (0.5, 1, 2):
        q = largest_selection(60, 0.7, pfer, 50, assumption)
        assert of_q[q - 1] <= pfer < of_q[q]
        threshold = smallest_threshold(60, 5, pfer, 50, assumption)
        position = round(threshold * 50) - 26
        assert of_threshold[position] <= pfer
        assert position == 0 or of_threshold[position - 1] > pfer


def test_the_tighter_assumptions_give_tighter_bounds():
    none, unimodal, concave = (
        false_selection_bound(200, 10, 0.7, 50, how) for how in ("none", "unimodal", "r-concave")
    )
    assert concave < unimodal < none


def test_a_threshold_between_two_shares_counts_as_the_next():
    assert false_selection_bound(50, 5, 0.61, 10, "none") == false_selection_bound(
        50, 5, 0.7, 10, "none"
    )
    # 0.6 * 50 is not quite 30 in floating point.
    assert false_selection_bound(50, 5, 0.1 * 6, 50, "none") == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10, 11, 0.7), "n_selected=11 must be from 1 to n_features=10"),
        ((10, 0, 0.7), "n_selected=0"),
        ((10, 2, 0.5), "threshold=0.5 must be above 0.5"),
        ((10, 2, 1.1), "threshold=1.1"),
        ((10, 2, 0.7, 5), "n_subsamples=5 must be an even number"),
        ((10, 2, 0.7, 50, "normal"), "'normal' must be one of 'unimodal'"),
        ((0, 1, 0.7), "n_features=0"),
    ],
)
def test_wrong_numbers(arguments, message):
    with pytest.raises(ValueError, match=message):
        false_selection_bound(*arguments)


def test_what_cannot_be_kept():
    with pytest.raises(ValueError, match=r"pfer=0.001 cannot be kept .* bound is 0.0"):
        largest_selection(100, 0.6, 0.001)
    with pytest.raises(ValueError, match=r"pfer=0.001 cannot be kept with 10 of 100 features"):
        smallest_threshold(100, 10, 0.001)
