"""Bootstrap intervals: resampled in a loop, their coverage, and their pairing."""

from __future__ import annotations

import numpy as np
import pytest

from sknninterp.evaluation._bootstrap import N_RESAMPLES, Bootstrap


def test_agrees_with_resampling_in_a_loop():
    values = np.random.default_rng(0).exponential(size=(12, 2))
    mean, lower, upper = Bootstrap(12, 0.9, seed=3).mean(values)
    rng = np.random.default_rng(4)
    means = []
    for _ in range(5000):
        rows = [rng.integers(12) for _ in range(12)]
        means.append(values[rows].mean(0))
    np.testing.assert_allclose(mean, values.mean(0))
    np.testing.assert_allclose(lower, np.quantile(means, 0.05, axis=0), atol=0.05)
    np.testing.assert_allclose(upper, np.quantile(means, 0.95, axis=0), atol=0.05)


def test_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for seed in range(200):
        _, lower, upper = Bootstrap(40, 0.8, seed).mean(rng.normal(size=40))
        hits += lower < 0 < upper
    assert 0.7 < hits / 200 < 0.9


def test_blocks_of_many_samples_give_the_same_interval():
    values = np.random.default_rng(0).exponential(size=20_003)
    mean, lower, upper = Bootstrap(len(values)).mean(values)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert mean == pytest.approx(values.mean())
    assert upper - mean == pytest.approx(half, rel=0.15)
    assert mean - lower == pytest.approx(half, rel=0.15)


def test_ratio_is_paired():
    values = np.random.default_rng(2).uniform(1, 2, size=20)
    ratio, lower, upper = Bootstrap(20).ratio(3 * values, values)
    assert ratio == pytest.approx(3)
    assert lower == pytest.approx(3)
    assert upper == pytest.approx(3)


def test_ratio_of_means_is_not_the_mean_of_ratios():
    ratio, *_ = Bootstrap(2).ratio(np.array([1.0, 4.0]), np.array([1.0, 1.0 / 4]))
    assert ratio == pytest.approx(5 / 1.25)


def test_ratio_to_zero_is_silent():
    ratio, *_ = Bootstrap(3).ratio(np.ones(3), np.zeros(3))
    assert ratio == np.inf


def test_one_sample_has_no_interval():
    mean, lower, upper = Bootstrap(1).mean(np.array([[2.0, 3.0]]))
    assert mean.tolist() == [2, 3]
    assert np.isnan(lower).all()
    assert np.isnan(upper).all()
    assert np.isnan(Bootstrap(1).mean(np.array([2.0]))[1])


def test_a_seed_gives_the_same_twice_and_weights_are_means():
    one, other = Bootstrap(7, seed=5), Bootstrap(7, seed=5)
    values = np.arange(7.0)
    assert one.mean(values) == other.mean(values)
    assert one.mean(values) != Bootstrap(7, seed=6).mean(values)
    assert one._weights.shape == (N_RESAMPLES, 7)
    np.testing.assert_allclose(one._weights.sum(1), 1)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_bad_level(level):
    with pytest.raises(ValueError, match=f"confidence_level={level} must be"):
        Bootstrap(3, level)
