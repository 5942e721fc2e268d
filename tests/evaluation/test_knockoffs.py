"""Knockoffs against the moments they must have, the filter against naive loops and exact error."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from sknninterp.evaluation import knockoffs
from sknninterp.evaluation.knockoffs import (
    copula_knockoffs,
    e_benjamini_hochberg,
    gaussian_knockoffs,
    knockoff_e_values,
    knockoff_q_values,
    knockoff_statistics,
    knockoff_threshold,
    s_vector,
)

KINDS = ["mvr", "maxent", "equicorrelated"]
# Of few sizes, so that ties and opposite pairs occur.
statistics = st.lists(st.integers(-6, 6), min_size=1, max_size=25).map(
    lambda values: np.array(values, dtype=float)
)
levels = st.sampled_from([0.05, 0.1, 0.2, 0.25, 1 / 3, 0.5])


def autoregressive(p, rho):
    return rho ** np.abs(np.subtract.outer(np.arange(p), np.arange(p)))


def joint(R, s):
    """What swapping columns for their knockoffs leaves as it is."""
    return np.block([[R, R - np.diag(s)], [R - np.diag(s), R]])


# --- how far ------------------------------------------------------------------------------------


def trace_of_inverse(s, R):
    return np.trace(np.linalg.inv(joint(R, s)))


def minus_log_det(s, R):
    return -np.linalg.slogdet(joint(R, s))[1]


@pytest.mark.parametrize(
    ("kind", "loss"), [("mvr", trace_of_inverse), ("maxent", minus_log_det)], ids=KINDS[:2]
)
@pytest.mark.parametrize("rho", [0.0, 0.5, -0.6])
def test_s_vector_is_the_best(kind, loss, rho):
    R = autoregressive(4, rho)
    R[0, 3] = R[3, 0] = 0.1
    s = s_vector(R, kind, tol=1e-9)
    inside = np.full(4, min(1.0, np.linalg.eigvalsh(R)[0]))
    naive = minimize(loss, inside, args=(R,), method="Nelder-Mead", options={"fatol": 1e-12}).x
    np.testing.assert_allclose(s, naive, atol=1e-3)
    assert loss(s, R) <= loss(naive, R) + 1e-9


def test_equicorrelated_s_is_as_large_as_it_may_be():
    R = autoregressive(5, 0.7)
    s = s_vector(R, "equicorrelated")
    assert np.linalg.eigvalsh(joint(R, s))[0] == pytest.approx(0, abs=1e-10)
    np.testing.assert_array_equal(s_vector(np.eye(3), "equicorrelated"), 1)


@pytest.mark.parametrize("kind", KINDS)
def test_joint_covariance_is_positive_semidefinite(kind):
    rng = np.random.default_rng(0)
    R = np.corrcoef(rng.normal(size=(12, 10)) + rng.normal(size=(12, 1)), rowvar=False)
    assert np.linalg.eigvalsh(joint(R, s_vector(R, kind)))[0] > -1e-9


def test_s_vector_needs_a_correlation_and_a_kind():
    with pytest.raises(ValueError, match="not positive definite"):
        s_vector(np.ones((2, 2)))
    with pytest.raises(ValueError, match="'sdp' must be one of 'mvr'"):
        s_vector(np.eye(2), "sdp")


def test_s_vector_warns_if_it_has_not_settled(monkeypatch):
    monkeypatch.setattr(knockoffs, "_MOST_SWEEPS", 1)
    with pytest.warns(UserWarning, match="not settled in 1 sweeps"):
        s_vector(autoregressive(6, 0.9), tol=1e-12)


# --- Gaussian knockoffs -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_joint_second_moments_are_those_of_the_target(kind):
    R, n = autoregressive(5, 0.6), 40_000
    scale, mean = np.array([1, 10, 0.1, 2, 1]), np.array([0, 5, -3, 100, 0])
    X = np.random.default_rng(0).multivariate_normal(np.zeros(5), R, size=n) * scale + mean
    K = gaussian_knockoffs(X, kind, random_state=0)
    np.testing.assert_allclose((K.mean(0) - mean) / scale, 0, atol=4 / n**0.5)
    np.testing.assert_allclose(K.std(0) / scale, 1, atol=4 / n**0.5)
    found = np.corrcoef(np.hstack([X, K]), rowvar=False)
    np.testing.assert_allclose(found, joint(R, s_vector(R, kind)), atol=5 / n**0.5)


@pytest.mark.parametrize("make", [gaussian_knockoffs, copula_knockoffs])
def test_shrinkage_weakens_the_correlation_with_other_columns(make):
    rng = np.random.default_rng(0)
    X = rng.multivariate_normal(np.zeros(3), autoregressive(3, 0.6), size=5000)
    none, some = (
        np.corrcoef(X[:, 0], make(X, shrinkage=shrinkage, random_state=0)[:, 1])[0, 1]
        for shrinkage in (0, 0.5)
    )
    assert none == pytest.approx(0.6, abs=0.04)
    assert some < 0.55


def test_knockoffs_know_nothing_of_y_beyond_x():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 3))
    K = gaussian_knockoffs(X, random_state=1)
    y = X[:, 0] + rng.normal(size=len(X))
    residual = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    np.testing.assert_allclose(np.corrcoef(residual, K, rowvar=False)[0, 1:], 0, atol=0.03)


@pytest.mark.parametrize("make", [gaussian_knockoffs, copula_knockoffs])
def test_more_columns_than_samples_collinear_and_constant_columns(make):
    X = np.random.default_rng(0).normal(size=(20, 30))
    X[:, 1], X[:, 2], X[:, 7] = X[:, 0], 2 * X[:, 0] - 1, 3.5
    K = make(X, random_state=0)
    assert K.shape == X.shape
    assert np.isfinite(K).all()
    np.testing.assert_array_equal(K[:, 7], 3.5)
    changed = (K != X).any(0)
    assert changed.sum() == 29
    # The knockoff of a column that has copies hardly differs from it.
    apart = 1 - np.array([np.corrcoef(X[:, j], K[:, j])[0, 1] for j in (0, 10)])
    assert apart[0] < apart[1]


@pytest.mark.parametrize("make", [gaussian_knockoffs, copula_knockoffs])
def test_all_columns_constant(make):
    np.testing.assert_array_equal(make(np.ones((5, 2))), 1)


@pytest.mark.parametrize("make", [gaussian_knockoffs, copula_knockoffs])
def test_one_seed_one_draw(make, global_rng_untouched):
    X = np.random.default_rng(0).poisson(2, size=(50, 3)).astype(float)
    before = X.copy()
    np.testing.assert_array_equal(make(X, random_state=3), make(X, random_state=3))
    assert (make(X, random_state=3) != make(X, random_state=4)).any()
    np.testing.assert_array_equal(X, before)


# --- copula knockoffs ---------------------------------------------------------------------------


def counts(n, rho=0.7):
    """Binary, counts, few levels and a long tail, all increasing functions of normal columns."""
    Z = np.random.default_rng(0).multivariate_normal(np.zeros(4), autoregressive(4, rho), size=n)
    return np.stack(
        [
            Z[:, 0] > 0.5,
            np.floor(np.exp(Z[:, 1])),
            np.digitize(Z[:, 2], [-1, 0, 1]),
            np.exp(Z[:, 3]),
        ],
        axis=1,
    ).astype(float)


def test_copula_knockoffs_are_reorderings_of_each_column():
    X = counts(300)
    K = copula_knockoffs(X, random_state=0)
    np.testing.assert_array_equal(np.sort(K, axis=0), np.sort(X, axis=0))
    assert (K != X).any(0).all()


def test_copula_knockoffs_keep_the_correlations_of_columns_with_ties():
    X = counts(20_000)
    K = copula_knockoffs(X, random_state=0)
    found = np.corrcoef(np.hstack([X, K]), rowvar=False)
    own, others, across = found[:4, :4], found[4:, 4:], found[:4, 4:]
    np.testing.assert_allclose(others, own, atol=0.03)
    np.fill_diagonal(across, 1)
    np.testing.assert_allclose(across, own, atol=0.03)
    # A knockoff is another column all the same.
    assert (found[:4, 4:].diagonal() == 1).all()
    assert all(np.corrcoef(X[:, j], K[:, j])[0, 1] < 0.8 for j in range(4))


# --- the filter against loops -------------------------------------------------------------------


def naive_threshold(W, fdr, offset):
    for t in sorted({abs(w) for w in W if w != 0}):
        below = sum(w <= -t for w in W)
        above = sum(w >= t for w in W)
        if (offset + below) / max(1, above) <= fdr:
            return t
    return np.inf


@given(statistics, levels, st.sampled_from([0, 1]))
def test_threshold_and_q_values_are_those_of_a_naive_loop(W, fdr, offset):
    expected = naive_threshold(W, fdr, offset)
    assert knockoff_threshold(W, fdr, offset) == expected
    q_values = knockoff_q_values(W, offset)
    np.testing.assert_array_equal(q_values <= fdr, expected <= W)
    # Each q-value is the first level that selects its feature.
    for w, q in zip(W, q_values, strict=True):
        if 0 < q < 1:
            assert naive_threshold(W, q, offset) <= w < naive_threshold(W, q * 0.999, offset)


@given(statistics, levels)
def test_e_values_of_one_draw_select_as_the_filter_does(W, fdr):
    e_values = knockoff_e_values(W, fdr)
    np.testing.assert_array_equal(
        e_benjamini_hochberg(e_values) <= fdr * (1 + 1e-12), naive_threshold(W, fdr, 1) <= W
    )


def naive_e_bh(e_values, fdr):
    p, order = len(e_values), sorted(e_values, reverse=True)
    fitting = [k for k in range(1, p + 1) if order[k - 1] * fdr * k >= p]
    if not fitting:
        return [False] * p
    return [e >= order[max(fitting) - 1] for e in e_values]


@given(st.lists(st.integers(0, 64), min_size=1, max_size=12), levels)
def test_e_benjamini_hochberg_is_that_of_a_naive_loop(e_values, fdr):
    found = e_benjamini_hochberg(e_values) <= fdr * (1 + 1e-12)
    np.testing.assert_array_equal(found, naive_e_bh(e_values, fdr * (1 + 1e-12)))


def test_a_hand_computed_case():
    W = [10, 9, 8, 7, 6, -5, 4, 3, -2, 0]
    # At t = 6: (1 + 0) / 5; at 4: (1 + 1) / 6; at 3: (1 + 1) / 7.
    assert knockoff_threshold(W, 0.2) == 6
    assert knockoff_threshold(W, 0.3) == 3
    assert knockoff_threshold(W, 0.19) == np.inf
    assert knockoff_threshold(W, 0.15, offset=0) == 3
    q = [0.2] * 5 + [1, 2 / 7, 2 / 7, 1, 1]
    np.testing.assert_allclose(knockoff_q_values(W), q)
    np.testing.assert_allclose(knockoff_e_values(W, 0.3), [5, 5, 5, 5, 5, 0, 5, 5, 0, 0])


def test_statistics_and_their_names():
    np.testing.assert_array_equal(knockoff_statistics([3, 1, 0], [1, 4, 0]), [2, -3, 0])
    np.testing.assert_array_equal(
        knockoff_statistics([3, 1, 0], [1, 4, 0], "signed_max"), [3, -4, 0]
    )
    with pytest.raises(ValueError, match="'ratio' must be"):
        knockoff_statistics([1], [1], "ratio")


# --- the error that is promised, exactly --------------------------------------------------------

# Magnitudes of ten statistics; those of irrelevant features have signs by lot.
SIZES = np.array([10, 9, 8, 7, 6, 5, 4, 3, 2, 1.0])
IRRELEVANT = np.array([0, 0, 1, 0, 1, 1, 0, 1, 1, 1], dtype=bool)


def all_draws():
    for signs in product([1, -1], repeat=int(IRRELEVANT.sum())):
        W = SIZES.copy()
        W[IRRELEVANT] *= signs
        yield W


def share_of_false(selected):
    return (selected & IRRELEVANT).sum() / max(1, selected.sum())


@pytest.mark.parametrize("fdr", [0.2, 0.3, 0.5])
def test_false_discovery_rate_over_all_signs(fdr):
    def rate(offset):
        return np.mean(
            [share_of_false(knockoff_threshold(W, fdr, offset) <= W) for W in all_draws()]
        )

    assert 0 < rate(1) <= fdr
    # What the offset is for.
    assert rate(0) > rate(1)


def test_without_the_offset_the_level_is_not_held():
    shares = [share_of_false(knockoff_threshold(W, 0.2, offset=0) <= W) for W in all_draws()]
    assert np.mean(shares) > 0.2


@pytest.mark.parametrize("level", [0.2, 0.4])
def test_e_values_of_irrelevant_features_over_all_signs(level):
    e_values = np.array([knockoff_e_values(W, level) for W in all_draws()])
    assert 0 < e_values[:, IRRELEVANT].sum(1).mean() <= len(SIZES)


def test_false_discovery_rate_of_the_mean_of_two_draws_over_all_signs():
    e_values = [knockoff_e_values(W, 0.3) for W in all_draws()]
    shares = [
        share_of_false(e_benjamini_hochberg((one + other) / 2) <= 0.4)
        for one, other in product(e_values, repeat=2)
    ]
    assert 0 < np.mean(shares) <= 0.4
