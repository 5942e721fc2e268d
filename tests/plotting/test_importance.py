"""Bars and rankings: what they draw, in which order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from sknninterp import plotting
from sknninterp.plotting import _common


def test_bar_draws_the_largest_first(row_names):
    ax = plotting.bar(pd.Series({"a": 0.1, "b": 0.6, "c": 0.3}), max_display=2)
    assert row_names(ax) == ["b", "c"]
    assert [bar.get_width() for bar in ax.patches] == [0.6, 0.3]
    assert ax.get_xlabel() == "importance\n(2 of 3 features shown)"
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_bar_says_nothing_if_all_are_shown():
    assert plotting.bar(pd.Series([0.1, 0.9])).get_xlabel() == "importance"


def test_bar_colours_signs(row_names):
    ax = plotting.bar(pd.Series({"a": -3.0, "b": 2.0}))
    assert row_names(ax) == ["a", "b"]
    colors = [to_hex(bar.get_facecolor()) for bar in ax.patches]
    assert colors == [_common.NEGATIVE, _common.POSITIVE]


def test_bar_of_zeros_starts_at_the_left():
    assert plotting.bar(pd.Series([0.0, 0.0])).get_xlim()[0] == 0


def test_stacked_bars_end_at_the_total(row_names):
    frame = pd.DataFrame({"no": [1.0, 2.0], "yes": [3.0, 0.5]}, index=["a", "b"])
    ax = plotting.bar(frame)
    assert row_names(ax) == ["a", "b"]
    last = ax.containers[-1].patches
    assert [bar.get_x() + bar.get_width() for bar in last] == [4.0, 2.5]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["no", "yes"]


def test_outputs_beyond_the_palette_are_one_part():
    frame = pd.DataFrame(np.random.default_rng(0).random((3, 10)))
    ax = plotting.bar(frame)
    labels = [t.get_text() for t in ax.get_legend().get_texts()]
    assert labels == ["0", "1", "2", "3", "4", "5", "4 other outputs"]
    assert sum(bar.get_width() for bar in ax.patches) == pytest.approx(frame.to_numpy().sum())


@pytest.mark.parametrize(
    "errors",
    [
        pd.Series({"a": 0.1, "b": 0.2}),
        pd.DataFrame({"low": [0.2, 0.5], "high": [0.4, 0.9]}, index=["a", "b"]),
    ],
)
def test_error_bars(errors):
    ax = plotting.bar(pd.Series({"a": 0.3, "b": 0.7}), errors=errors)
    (lines,) = ax.containers[-1].lines[2]
    np.testing.assert_allclose([s[:, 0] for s in lines.get_segments()], [[0.5, 0.9], [0.2, 0.4]])


def test_error_bars_of_stacks_are_around_their_sums():
    stacked = pd.DataFrame({"no": [0.1, 0.3], "yes": [0.2, 0.4]}, index=["a", "b"])
    ax = plotting.bar(stacked, errors=pd.Series({"a": 0.1, "b": 0.2}))
    (lines,) = ax.containers[-1].lines[2]
    np.testing.assert_allclose([s[:, 0] for s in lines.get_segments()], [[0.5, 0.9], [0.2, 0.4]])


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        (pd.Series({"a": 0.1}), "index of importances"),
        ([0.1, 0.1], "index of importances"),
        (pd.DataFrame({"std": [1, 1]}, index=["a", "b"]), "columns 'low' and 'high'"),
        (pd.Series({"a": 0.1, "b": np.nan}), "errors holds NaN"),
        (pd.Series({"a": 0.1, "b": -1.0}), "enclose"),
    ],
)
@pytest.mark.usefixtures("no_new_figure")
def test_errors_that_do_not_fit(errors, message):
    with pytest.raises(ValueError, match=message):
        plotting.bar(pd.Series({"a": 0.3, "b": 0.7}), errors=errors)


@pytest.mark.usefixtures("no_new_figure")
def test_bad_importances():
    with pytest.raises(TypeError, match="importances must be a pandas Series"):
        plotting.bar([1, 2])
    with pytest.raises(ValueError, match="importances is empty"):
        plotting.bar(pd.Series([], dtype=float))
    with pytest.raises(ValueError, match="importances holds NaN"):
        plotting.bar(pd.Series([np.nan]))
    with pytest.raises(ValueError, match="importances must be numbers"):
        plotting.bar(pd.Series(["a"]))
    stacked = pd.DataFrame({"no": [1.0], "yes": [-1.0]})
    with pytest.raises(ValueError, match="must not be negative"):
        plotting.bar(stacked)


def test_ranking_shows_mean_range_and_runs(row_names):
    runs = pd.DataFrame({0: [0.1, 0.5], 1: [0.3, 0.9], 2: [0.2, 0.7]}, index=["a", "b"])
    ax = plotting.ranking(runs)
    assert row_names(ax) == ["b", "a"]
    segments = ax.collections[0].get_segments()
    np.testing.assert_allclose([s[:, 0] for s in segments], [[0.5, 0.9], [0.1, 0.3]])
    np.testing.assert_allclose(ax.lines[-1].get_xdata(), [0.7, 0.2])
    assert len(ax.lines) == 3 + 1
    assert ax.get_xlabel() == "importance (mean and range of 3 runs)"


def test_ranking_interval_covers_its_share():
    runs = pd.DataFrame([np.arange(101.0)], index=["a"])
    ax = plotting.ranking(runs, interval=0.9)
    np.testing.assert_allclose(ax.collections[0].get_segments()[0][:, 0], [5, 95])
    assert "central 90% of 101 runs" in ax.get_xlabel()


def test_ranking_takes_a_summary(row_names):
    frame = pd.DataFrame(
        {"importance": [0.1, 0.4], "low": [0.0, 0.3], "high": [0.2, 0.6], "rank": [2, 1]},
        index=["a", "b"],
    )
    ax = plotting.ranking(frame, max_display=1)
    assert row_names(ax) == ["b"] and len(ax.lines) == 1
    assert ax.get_xlabel() == "importance\n(1 of 2 features shown)"
    with pytest.raises(ValueError, match="low is above their high"):
        plotting.ranking(frame.rename(columns={"low": "high", "high": "low"}))


def test_bad_rankings():
    with pytest.raises(TypeError, match="frame must be a pandas DataFrame"):
        plotting.ranking([[1.0]])
    with pytest.raises(ValueError, match="interval must be a share"):
        plotting.ranking(pd.DataFrame([[1.0]]), interval=90)
    with pytest.raises(ValueError, match="frame holds NaN"):
        plotting.ranking(pd.DataFrame([[np.nan]]))
    assert "(1 run)" in plotting.ranking(pd.DataFrame([[1.0]])).get_xlabel()
