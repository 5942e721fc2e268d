"""Beeswarms and waterfalls: every point, bar, colour and number."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from sknninterp import plotting
from sknninterp.plotting import _common

DATES = [pd.Timestamp("2024-01-01"), pd.NaT]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def points(ax):
    """Return the points of all rows, and how many of them are grey."""
    offsets = [c.get_offsets() for c in ax.collections]
    grey = sum(
        len(c.get_offsets())
        for c in ax.collections
        if c.get_array() is None and len(c.get_offsets())
    )
    return np.concatenate(offsets), grey


def test_beeswarm_draws_every_sample_of_every_feature(values, data, row_names, by_magnitude):
    ax = plotting.beeswarm(values, data, list(data.columns))
    assert row_names(ax) == by_magnitude
    xy, grey = points(ax)
    assert len(xy) == values.size
    assert grey == 30 + 30 + data["dose"].isna().sum()
    for row, name in enumerate(by_magnitude):
        in_row = xy[np.abs(xy[:, 1] - row) <= 0.41]
        np.testing.assert_allclose(
            np.sort(in_row[:, 0]), np.sort(values[:, data.columns.get_loc(name)]), rtol=1e-6
        )


def test_beeswarm_is_deterministic(values, data):
    one, _ = points(plotting.beeswarm(values, data))
    other, _ = points(plotting.beeswarm(values, data))
    np.testing.assert_array_equal(one, other)


def test_beeswarm_spreads_points_that_would_cover_each_other():
    xy, _ = points(plotting.beeswarm(np.zeros((21, 1))))
    assert len(np.unique(xy[:, 1])) == 21
    assert np.abs(xy[:, 1]).max() <= 0.4
    apart, _ = points(plotting.beeswarm([[0.0], [1.0], [2.0]]))
    np.testing.assert_array_equal(apart[:, 1], 0)


def test_beeswarm_colours_from_low_to_high():
    ax = plotting.beeswarm([[0.1], [0.2], [0.3]], [[10.0], [30.0], [20.0]])
    colored = ax.collections[-1]
    assert np.argsort(colored.get_array()).tolist() == [0, 2, 1]
    assert colored.get_clim() == (0, 1)
    assert [a.get_ylabel() for a in ax.figure.axes] == ["", "value of the feature"]


@pytest.mark.parametrize(
    "column", [["a", "b"], [None, None], [np.nan, np.nan], [(1,), (2,)], DATES]
)
def test_beeswarm_without_numbers_is_grey(column):
    data = np.empty((2, 1), dtype=object)
    data[:, 0] = column
    ax = plotting.beeswarm([[1.0], [2.0]], data)
    assert points(ax)[1] == 2
    assert len(ax.figure.axes) == 1


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_beeswarm_greys_missing_numbers(missing):
    data = np.empty((3, 1), dtype=object)
    data[:, 0] = [1, missing, 2.5]
    assert points(plotting.beeswarm([[1.0], [2.0], [3.0]], data))[1] == 1


def test_beeswarm_of_a_constant_feature_is_coloured():
    ax = plotting.beeswarm([[1.0], [2.0]], [[5], [5]])
    np.testing.assert_array_equal(ax.collections[-1].get_array(), 0.5)


def test_beeswarm_is_quick():
    values = np.random.default_rng(0).normal(size=(1000, 20))
    ax = plotting.beeswarm(values, values, max_display=20)
    assert len(points(ax)[0]) == 20_000


@pytest.mark.usefixtures("no_new_figure")
def test_bad_companions(values, data):
    with pytest.raises(ValueError, match=r"data has shape \(30, 4\)"):
        plotting.beeswarm(values, data.iloc[:, :4])
    with pytest.raises(ValueError, match="feature_names has 1 entries, but there are 5 features"):
        plotting.beeswarm(values, data, ["a"])
    with pytest.raises(ValueError, match="data has 1 entries"):
        plotting.waterfall([1.0, 2.0], [1])
    with pytest.raises(ValueError, match="base_value must be numbers"):
        plotting.waterfall([1.0], base_value="a")


def test_waterfall_without_base_starts_at_zero(row_names):
    ax = plotting.waterfall([0.5, -2.0, 1.0], [54, "f", 0.123456], ["age", "sex", "dose"])
    assert row_names(ax) == ["sex = f", "dose = 0.1235", "age = 54"]
    assert [bar.get_width() for bar in ax.patches] == [-2.0, 1.0, 0.5]
    assert {bar.get_x() for bar in ax.patches} == {0.0}
    assert texts(ax) == ["\u22122", "+1", "+0.5"]
    colors = [to_hex(bar.get_facecolor()) for bar in ax.patches]
    assert colors == [_common.NEGATIVE, _common.POSITIVE, _common.POSITIVE]


def test_waterfall_chains_from_base_to_sum():
    ax = plotting.waterfall([0.5, -2.0, 1.0], base_value=0.25)
    ends = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    np.testing.assert_allclose(ends, [(1.75, -0.25), (0.75, 1.75), (0.25, 0.75)])
    (top,) = ax.child_axes
    labels = [label.get_text() for label in top.get_xticklabels()]
    assert labels == ["base 0.25", "sum \u22120.25"]


@pytest.mark.parametrize("base_value", [None, 0.0, -7.0])
def test_waterfall_adds_up_the_rest(base_value, row_names):
    values = np.random.default_rng(0).normal(size=50)
    ax = plotting.waterfall(values, base_value=base_value, max_display=9)
    assert row_names(ax)[-1] == "41 other features"
    assert len(ax.patches) == 10
    assert sum(bar.get_width() for bar in ax.patches) == pytest.approx(values.sum())


def test_waterfall_names_a_single_rest(row_names):
    assert row_names(plotting.waterfall([2.0, 1.0], max_display=1)) == ["x0", "x1"]


def test_waterfall_of_zeros():
    ax = plotting.waterfall([0.0, 0.0], base_value=1.0)
    assert texts(ax) == ["0", "0"]
    assert ax.get_xlim()[0] < 1 < ax.get_xlim()[1]
