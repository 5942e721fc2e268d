"""Heatmaps: the order of samples, the scale of colours."""

from __future__ import annotations

import numpy as np
import pytest

from sknninterp import plotting
from sknninterp.plotting import _heatmap


def test_heatmap_keeps_the_given_order(values, row_names, data, by_magnitude):
    ax = plotting.heatmap(values, list(data.columns), order="given", max_display=3)
    assert row_names(ax) == by_magnitude[:3]
    shown = [data.columns.get_loc(name) for name in by_magnitude[:3]]
    np.testing.assert_array_equal(ax.images[0].get_array(), values[:, shown].T)
    low, high = ax.images[0].get_clim()
    assert low == -high
    assert ax.get_xlabel() == "30 samples\n(3 of 5 features shown)"


def test_heatmap_takes_positions(values):
    order = np.random.default_rng(0).permutation(30)
    ax = plotting.heatmap(values, order=order, predictions=np.arange(30))
    np.testing.assert_array_equal(ax.images[0].get_array()[0], values[order, 1])
    np.testing.assert_array_equal(ax.child_axes[0].lines[0].get_ydata(), order)
    assert len(ax.get_xticks()) == 0


@pytest.mark.parametrize("limit", [2000, 10])
def test_heatmap_puts_like_samples_side_by_side(monkeypatch, limit):
    monkeypatch.setattr(_heatmap, "_MAX_CLUSTERED", limit)
    group = np.arange(30) % 2
    values = group[:, None] * [5.0, -5.0] + 0.1 * np.random.default_rng(0).normal(size=(30, 2))
    drawn = plotting.heatmap(values, predictions=group).child_axes[0].lines[0].get_ydata()
    assert np.abs(np.diff(drawn)).sum() == 1


def test_one_extreme_sample_does_not_bleach_the_others():
    values = np.ones((200, 1))
    values[7] = 1e6
    ax = plotting.heatmap(values, order="given")
    assert ax.images[0].get_clim() == (-1, 1)
    assert ax.figure.axes[-1]._colorbar.extend == "both"


@pytest.mark.parametrize("n_samples", [1, 2])
def test_heatmap_of_few_samples(n_samples):
    ax = plotting.heatmap(np.zeros((n_samples, 3)))
    assert ax.images[0].get_array().shape == (3, n_samples)
    assert ax.images[0].get_clim() == (-1, 1)


@pytest.mark.parametrize("order", [[0, 1], np.zeros(30, dtype=int), "best"])
@pytest.mark.usefixtures("no_new_figure")
def test_bad_orders(order, values):
    with pytest.raises(ValueError, match="order must"):
        plotting.heatmap(values, order=order)


@pytest.mark.usefixtures("no_new_figure")
def test_predictions_must_fit(values):
    with pytest.raises(ValueError, match="predictions has 3 entries, but there are 30 samples"):
        plotting.heatmap(values, predictions=[1, 2, 3])
