"""Plots: what they draw, where, and what they leave alone."""

from __future__ import annotations

import inspect
import re
import sys
import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from sknninterp import plotting
from sknninterp.plotting import _common, _heatmap

RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(30, 5)) * [1, 3, 0.1, 2, 0.5]
DATA = pd.DataFrame(
    {
        "age": RNG.integers(20, 90, 30),
        "sex": RNG.choice(["f", "m"], 30),
        "dose": np.where(RNG.random(30) < 0.3, np.nan, RNG.random(30)),
        "smoker": RNG.random(30) < 0.5,
        "stage": pd.Categorical(RNG.choice(["I", "II"], 30)),
    }
)
NAMES = list(DATA.columns)
BY_MAGNITUDE = ["sex", "smoker", "age", "stage", "dose"]
DATES = [pd.Timestamp("2024-01-01"), pd.NaT]
IMAGES = RNG.uniform(size=(3, 6, 4))
TUNING = pd.DataFrame(
    {
        "epoch": [1, 1, 1, 2, 2, 4],
        "layer": [0, 0, 1, 0, 1, 0],
        "neuron": [3, 5, 0, 1, 2, 7],
        "score": [2.0, 1.0, 3.0, 0.5, 2.5, 0.2],
    }
)
HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "valid_acc": [0.5, 0.6, 0.7],
        "train_loss": [1.0, 0.8, 0.7],
        "valid_loss": [1.1, 0.9, 0.9],
        "train_loss_best": [True, True, True],
        "dur": [0.1, 0.1, 0.1],
        "entropy": [3.0, np.nan, 2.0],
        "empty": [np.nan] * 3,
        "note": ["a", "b", "c"],
        "train_batch_count": [4, 4, 4],
    }
)

# Every plot with arguments that it accepts, and how many Axes it takes.
PLOTS = {
    "bar": (lambda **k: plotting.bar(pd.Series([0.2, 0.8], index=["a", "b"]), **k), 1),
    "stacked": (lambda **k: plotting.bar(pd.DataFrame({"no": [1, 2], "yes": [3, 1]}), **k), 1),
    "ranking": (lambda **k: plotting.ranking(pd.DataFrame(np.abs(VALUES.T)), **k), 1),
    "beeswarm": (lambda **k: plotting.beeswarm(VALUES, DATA, NAMES, **k), 1),
    "waterfall": (lambda **k: plotting.waterfall(VALUES[0], DATA.iloc[0], NAMES, 0.5, **k), 1),
    "heatmap": (lambda **k: plotting.heatmap(VALUES, NAMES, predictions=np.ones(30), **k), 1),
    "image": (lambda **k: plotting.image(IMAGES[:1], IMAGES[:1], **k), 1),
    "tuning_history": (lambda **k: plotting.tuning_history(TUNING, [8, 4], **k), 2),
    "training_history": (lambda **k: plotting.training_history(HISTORY, **k), 3),
}


def figure_of(drawn):
    return drawn if isinstance(drawn, Figure) else drawn.figure


def render(figure):
    """Draw every artist; a figure without a backend's canvas would skip that."""
    FigureCanvasAgg(figure).draw()
    return figure


def row_names(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def texts(ax):
    return [text.get_text() for text in ax.texts]


# All plots -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLOTS)
def test_nothing_global_changes(name):
    draw, _ = PLOTS[name]
    before, figures = mpl.rcParams.copy(), plt.get_fignums()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        render(figure_of(draw()))
    assert mpl.rcParams == before
    assert plt.get_fignums() == figures


@pytest.mark.parametrize("name", PLOTS)
def test_given_axes_are_used(name):
    draw, n_axes = PLOTS[name]
    figure = Figure(figsize=(9, 3))
    axes = figure.subplots(1, n_axes, squeeze=False)[0]
    drawn = draw(ax=axes[0] if n_axes == 1 else axes)
    assert drawn is (axes[0] if n_axes == 1 else figure)
    assert all(ax.has_data() for ax in axes)
    render(figure)


@pytest.mark.parametrize("name", PLOTS)
def test_ax_must_be_axes(name):
    draw, n_axes = PLOTS[name]
    with pytest.raises(TypeError, match="ax must be a matplotlib Axes or None, got str"):
        draw(ax=["ax"] * n_axes if n_axes > 1 else "ax")


@pytest.mark.parametrize("name", PLOTS)
def test_everything_is_within_the_figure(name):
    figure = render(figure_of(PLOTS[name][0]()))
    box = figure.get_tightbbox()
    assert box.x0 >= 0 and box.y0 >= 0
    assert box.x1 <= figure.get_figwidth() and box.y1 <= figure.get_figheight()


@pytest.mark.parametrize("n_features", [1, 12])
@pytest.mark.parametrize("kind", ["bar", "beeswarm", "waterfall", "heatmap"])
def test_long_names_are_within_the_figure(kind, n_features):
    names = [f"admission_source_id=Transfer from a health care facility {i}" for i in range(30)]
    names = names[:n_features]
    values = RNG.normal(size=(8, n_features))
    if kind == "bar":
        drawn = plotting.bar(pd.Series(np.abs(values[0]), index=names))
    elif kind == "waterfall":
        drawn = plotting.waterfall(values[0], values[1], names)
    else:
        drawn = getattr(plotting, kind)(values, feature_names=names)
    figure = render(drawn.figure)
    box = figure.get_tightbbox()
    assert box.x0 >= 0 and box.x1 <= figure.get_figwidth()
    assert drawn.get_position().width > 0.3


@pytest.mark.parametrize("name", [n for n in PLOTS if "history" not in n])
@pytest.mark.parametrize("bad", [0, -3, 2.5, True, None])
def test_max_display_is_a_positive_integer(name, bad):
    with pytest.raises(ValueError, match="max_display must be an integer of at least 1"):
        PLOTS[name][0](max_display=bad)


@pytest.mark.parametrize("name", [n for n in PLOTS if "history" not in n])
def test_value_label_and_title_are_drawn(name):
    drawn = PLOTS[name][0](value_label="contribution (PWP)", title="Cohort $1$")
    figure = figure_of(drawn)
    labels = [ax.get_xlabel() + ax.get_ylabel() for ax in figure.axes]
    assert any("contribution (PWP)" in label for label in labels)
    insets = [inset for ax in figure.axes for inset in ax.child_axes if isinstance(inset, Axes)]
    titles = [figure.get_suptitle()] + [ax.get_title() for ax in figure.axes + insets]
    assert "Cohort $1$" in titles
    render(figure)


def test_matplotlib_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install sknninterp\[plots\]"):
        plotting.bar(pd.Series([1.0]))


def test_public_names():
    assert plotting.__all__ == sorted(plotting.__all__)
    for name in plotting.__all__:
        assert "ax" in inspect.signature(getattr(plotting, name)).parameters


def test_names_are_shortened_in_the_middle():
    long = "discharge_disposition_id=Discharged/transferred to another facility"
    short = _common.shorten(long)
    assert len(short) == _common.NAME_LENGTH
    head, tail = short.split("…")
    assert long.startswith(head) and long.endswith(tail)
    assert _common.shorten("a\nb") == "a b"
    assert _common.shorten("x" * 40) == "x" * 40


def test_long_labels_are_broken_into_lines():
    label = "share of the mean magnitude of the contribution (PWP) towards a very long label"
    shown = plotting.bar(pd.Series([1.0]), value_label=label).get_xlabel()
    assert shown.replace("\n", " ") == label and shown.count("\n") == 1


def test_dollar_signs_are_no_formulas():
    ax = plotting.bar(pd.DataFrame({"_$\\bad$": [1.0], "$y": [1.0]}, index=["$\\frac$"]))
    render(ax.figure)
    assert row_names(ax) == ["$\\frac$"]
    assert [t.get_text().strip("\u200b") for t in ax.get_legend().get_texts()] == ["_$\\bad$", "$y"]


# bar -------------------------------------------------------------------------------------------


def test_bar_draws_the_largest_first():
    ax = plotting.bar(pd.Series({"a": 0.1, "b": 0.6, "c": 0.3}), max_display=2)
    assert row_names(ax) == ["b", "c"]
    assert [bar.get_width() for bar in ax.patches] == [0.6, 0.3]
    assert ax.get_xlabel() == "importance\n(2 of 3 features shown)"
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_bar_says_nothing_if_all_are_shown():
    assert plotting.bar(pd.Series([0.1, 0.9])).get_xlabel() == "importance"


def test_bar_colours_signs():
    ax = plotting.bar(pd.Series({"a": -3.0, "b": 2.0}))
    assert row_names(ax) == ["a", "b"]
    colors = [to_hex(bar.get_facecolor()) for bar in ax.patches]
    assert colors == [_common.NEGATIVE, _common.POSITIVE]


def test_bar_of_zeros_starts_at_the_left():
    assert plotting.bar(pd.Series([0.0, 0.0])).get_xlim()[0] == 0


def test_stacked_bars_end_at_the_total():
    frame = pd.DataFrame({"no": [1.0, 2.0], "yes": [3.0, 0.5]}, index=["a", "b"])
    ax = plotting.bar(frame)
    assert row_names(ax) == ["a", "b"]
    last = ax.containers[-1].patches
    assert [bar.get_x() + bar.get_width() for bar in last] == [4.0, 2.5]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["no", "yes"]


def test_outputs_beyond_the_palette_are_one_part():
    frame = pd.DataFrame(RNG.random((3, 10)))
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
def test_errors_that_do_not_fit(errors, message):
    with pytest.raises(ValueError, match=message):
        plotting.bar(pd.Series({"a": 0.3, "b": 0.7}), errors=errors)


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
    with pytest.raises(ValueError, match="single output"):
        plotting.bar(stacked.abs(), errors=stacked)


# ranking ---------------------------------------------------------------------------------------


def test_ranking_shows_mean_range_and_runs():
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


def test_ranking_takes_a_summary():
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


# beeswarm --------------------------------------------------------------------------------------


def points(ax):
    """Return the points of all rows, and how many of them are grey."""
    offsets = [c.get_offsets() for c in ax.collections]
    grey = sum(
        len(c.get_offsets())
        for c in ax.collections
        if c.get_array() is None and len(c.get_offsets())
    )
    return np.concatenate(offsets), grey


def test_beeswarm_draws_every_sample_of_every_feature():
    ax = plotting.beeswarm(VALUES, DATA, NAMES)
    assert row_names(ax) == BY_MAGNITUDE
    xy, grey = points(ax)
    assert len(xy) == VALUES.size
    assert grey == 30 + 30 + DATA["dose"].isna().sum()
    for row, name in enumerate(BY_MAGNITUDE):
        in_row = xy[np.abs(xy[:, 1] - row) <= 0.41]
        np.testing.assert_allclose(
            np.sort(in_row[:, 0]), np.sort(VALUES[:, NAMES.index(name)]), rtol=1e-6
        )


def test_beeswarm_is_deterministic():
    one, _ = points(plotting.beeswarm(VALUES, DATA))
    other, _ = points(plotting.beeswarm(VALUES, DATA))
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
    values = RNG.normal(size=(1000, 20))
    ax = plotting.beeswarm(values, values, max_display=20)
    assert len(points(ax)[0]) == 20_000


@pytest.mark.parametrize("draw", [plotting.beeswarm, plotting.heatmap])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, 2.0], r"values must have 2 axes, got shape \(2,\)"),
        ([[np.inf]], "values holds NaN or infinite"),
        (np.empty((0, 3)), r"values is empty: its shape is \(0, 3\)"),
        ([["a"]], "values must be numbers"),
    ],
)
def test_bad_matrices(draw, values, message):
    with pytest.raises(ValueError, match=message):
        draw(values)


def test_bad_companions():
    with pytest.raises(ValueError, match=r"data has shape \(30, 4\)"):
        plotting.beeswarm(VALUES, DATA.iloc[:, :4])
    with pytest.raises(ValueError, match="feature_names has 1 entries, but there are 5 features"):
        plotting.beeswarm(VALUES, DATA, ["a"])
    with pytest.raises(ValueError, match="data has 1 entries"):
        plotting.waterfall([1.0, 2.0], [1])
    with pytest.raises(ValueError, match="base_value must be numbers"):
        plotting.waterfall([1.0], base_value="a")


# waterfall -------------------------------------------------------------------------------------


def test_waterfall_without_base_starts_at_zero():
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
def test_waterfall_adds_up_the_rest(base_value):
    values = RNG.normal(size=50)
    ax = plotting.waterfall(values, base_value=base_value, max_display=9)
    assert row_names(ax)[-1] == "41 other features"
    assert len(ax.patches) == 10
    assert sum(bar.get_width() for bar in ax.patches) == pytest.approx(values.sum())


def test_waterfall_names_a_single_rest():
    assert row_names(plotting.waterfall([2.0, 1.0], max_display=1)) == ["x0", "x1"]


def test_waterfall_of_zeros():
    ax = plotting.waterfall([0.0, 0.0], base_value=1.0)
    assert texts(ax) == ["0", "0"]
    assert ax.get_xlim()[0] < 1 < ax.get_xlim()[1]


# heatmap ---------------------------------------------------------------------------------------


def test_heatmap_keeps_the_given_order():
    ax = plotting.heatmap(VALUES, NAMES, order="given", max_display=3)
    assert row_names(ax) == BY_MAGNITUDE[:3]
    shown = [NAMES.index(name) for name in BY_MAGNITUDE[:3]]
    np.testing.assert_array_equal(ax.images[0].get_array(), VALUES[:, shown].T)
    low, high = ax.images[0].get_clim()
    assert low == -high
    assert ax.get_xlabel() == "30 samples\n(3 of 5 features shown)"


def test_heatmap_takes_positions():
    order = RNG.permutation(30)
    ax = plotting.heatmap(VALUES, order=order, predictions=np.arange(30))
    np.testing.assert_array_equal(ax.images[0].get_array()[0], VALUES[order, 1])
    np.testing.assert_array_equal(ax.child_axes[0].lines[0].get_ydata(), order)
    assert len(ax.get_xticks()) == 0


@pytest.mark.parametrize("limit", [2000, 10])
def test_heatmap_puts_like_samples_side_by_side(monkeypatch, limit):
    monkeypatch.setattr(_heatmap, "_MAX_CLUSTERED", limit)
    group = np.arange(30) % 2
    values = group[:, None] * [5.0, -5.0] + 0.1 * RNG.normal(size=(30, 2))
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
def test_bad_orders(order):
    with pytest.raises(ValueError, match="order must"):
        plotting.heatmap(VALUES, order=order)


def test_predictions_must_fit():
    with pytest.raises(ValueError, match="predictions has 3 entries, but there are 30 samples"):
        plotting.heatmap(VALUES, predictions=[1, 2, 3])


# image -----------------------------------------------------------------------------------------


def test_image_grid_has_samples_as_rows_and_outputs_as_columns():
    values = np.stack([IMAGES, -IMAGES, 0 * IMAGES], axis=-1)
    figure = plotting.image(
        values, IMAGES, output_names=["cat", "dog", "ship"], sample_names=["a", "b", "c"]
    )
    panels = np.reshape(figure.axes[:12], (3, 4))
    assert [ax.get_title() for ax in panels[0]] == ["data", "cat", "dog", "ship"]
    assert [ax.get_ylabel() for ax in panels[:, 0]] == ["a", "b", "c"]
    np.testing.assert_array_equal(panels[2, 2].images[0].get_array(), -IMAGES[2])
    np.testing.assert_array_equal(panels[1, 0].images[0].get_array(), IMAGES[1])
    limits = {ax.images[0].get_clim() for ax in panels[:, 1:].flat}
    assert limits == {(-IMAGES.max(), IMAGES.max())}
    assert len(figure.axes) == 13


def test_image_outline_follows_the_data():
    square = np.zeros((1, 9, 9))
    square[0, 2:7, 2:7] = 1.0
    (_, ax, _) = plotting.image(square, square).axes
    (outline,) = ax.collections
    (path,) = outline.get_paths()
    assert path.vertices.min() == 1.5 and path.vertices.max() == 6.5
    assert ax.get_ylim() == (8.5, -0.5)


def test_images_of_one_value_have_no_outline():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = render(plotting.image(np.zeros((1, 4, 4)), np.ones((1, 4, 4))))
    (_, ax, _) = figure.axes
    assert not ax.collections
    assert ax.images[0].get_clim() == (-1, 1)


def test_image_channels_are_added_and_lie_over_the_picture():
    values = RNG.normal(size=(2, 3, 5, 5))
    data = RNG.normal(size=(2, 3, 5, 5))
    figure = plotting.image(values, data, output_names="cat")
    picture, first = figure.axes[:2]
    assert picture.images[0].get_array().shape == (5, 5, 3)
    underlay, attribution = first.images
    np.testing.assert_allclose(attribution.get_array(), values[0].sum(axis=0))
    assert attribution.get_alpha().shape == (5, 5)
    assert first.get_title() == "cat"


def test_unsigned_images_show_magnitudes():
    figure = plotting.image(-IMAGES[:1], signed=False)
    ax, bar = figure.axes
    np.testing.assert_array_equal(ax.images[0].get_array(), IMAGES[0])
    assert ax.images[0].get_clim() == (0, IMAGES[0].max())
    assert bar.get_ylabel() == "magnitude of contribution"


def test_panels_scaled_on_their_own_reach_one():
    values = np.stack([IMAGES, 100 * IMAGES, 0 * IMAGES], axis=-1)
    figure = plotting.image(values, output_names=list("abc"), scale="panel")
    maxima = [ax.images[0].get_array().max() for ax in figure.axes[:-1]]
    np.testing.assert_allclose(maxima, [1, 1, 0] * 3)
    assert "share of panel's largest" in figure.axes[-1].get_ylabel()


def test_image_says_how_many_samples_it_leaves_out():
    figure = plotting.image(IMAGES, IMAGES, max_display=2)
    assert figure.get_supxlabel() == "first 2 of 3 samples"
    assert len(figure.axes) == 2 * 2 + 1
    assert plotting.image(IMAGES).get_supxlabel() == ""


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (IMAGES[0], {}, "values must have 3 or 4 axes"),
        (IMAGES, {"output_names": ["a"]}, "values must have 4 or 5 axes"),
        (IMAGES[..., None], {"output_names": ["a", "b"]}, "output_names has 2 entries"),
        (IMAGES, {"data": IMAGES[:2]}, r"data has shape \(2, 6, 4\)"),
        (IMAGES, {"data": IMAGES[:, None]}, "data has shape"),
        (IMAGES, {"sample_names": ["a"]}, "sample_names has 1 entries"),
        (IMAGES, {"scale": "row"}, "scale must be 'figure' or 'panel', got 'row'"),
        (IMAGES, {"ax": Figure().subplots()}, "3 sample.*x 1 output"),
        (IMAGES * np.nan, {}, "values holds NaN"),
    ],
)
def test_bad_images(values, options, message):
    with pytest.raises(ValueError, match=message):
        plotting.image(values, **options)


# Histories -------------------------------------------------------------------------------------


def test_tuning_history_draws_widths_and_scores():
    figure = plotting.tuning_history(TUNING, [8, 4], n_epochs=6, title="ANT")
    widths, scores = figure.axes
    first, second = widths.lines
    assert first.get_xdata().tolist() == [0, 1, 2, 4, 6.5]
    assert first.get_ydata().tolist() == [8, 6, 5, 4, 4]
    assert second.get_ydata().tolist() == [4, 3, 2, 2]
    assert sum(len(c.get_offsets()) for c in scores.collections) == len(TUNING)
    assert scores.lines[0].get_ydata().tolist() == [1.5, 0.5, 0.2]
    labels = [t.get_text() for t in widths.get_legend().get_texts()]
    assert labels == ["layer 0", "layer 1"]
    assert figure.get_suptitle() == "ANT"


def test_tuning_history_takes_names_of_layers():
    frame = TUNING.assign(layer=TUNING["layer"].map({0: "fc1", 1: "fc2"}))
    widths, _ = plotting.tuning_history(frame, {"fc1": 8, "fc2": 4}).axes
    assert [t.get_text() for t in widths.get_legend().get_texts()] == ["fc1", "fc2"]


def test_tuning_history_without_removals():
    widths, scores = plotting.tuning_history(TUNING.iloc[:0], [8, 4], n_epochs=5).axes
    assert [set(line.get_ydata()) for line in widths.lines] == [{8}, {4}]
    assert texts(scores) == ["no neuron was removed"]


@pytest.mark.parametrize(
    ("frame", "sizes", "message"),
    [
        (TUNING.drop(columns="score"), [8, 4], r"frame lacks the column\(s\) \['score'\]"),
        (TUNING, [8], r"layer_sizes lacks layer 1; it has \[0\]"),
        (TUNING, [3, 4], "removes 4 neurons from layer 0"),
    ],
)
def test_bad_tuning_histories(frame, sizes, message):
    with pytest.raises(ValueError, match=message):
        plotting.tuning_history(frame, sizes)


def test_history_panels_need_as_many_axes():
    with pytest.raises(ValueError, match="ax must hold 2 Axes, one for each panel, got 1"):
        plotting.tuning_history(TUNING, [8, 4], ax=Figure().subplots())


def test_training_history_groups_metrics():
    figure = plotting.training_history(HISTORY, title="Fit")
    assert [ax.get_ylabel() for ax in figure.axes] == ["loss", "acc", "entropy"]
    loss, accuracy, entropy = figure.axes
    assert [t.get_text() for t in loss.get_legend().get_texts()] == ["training", "validation"]
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), HISTORY["train_loss"])
    np.testing.assert_array_equal(accuracy.lines[0].get_ydata(), HISTORY["valid_acc"])
    assert entropy.get_legend() is None
    assert figure.get_suptitle() == "Fit"


def test_training_history_wraps_many_panels():
    history = pd.DataFrame(RNG.random((4, 5)), columns=list("abcde"))
    axes = plotting.training_history(history).axes
    assert [ax.get_ylabel() for ax in axes] == list("abcde")
    assert axes[3].get_subplotspec().rowspan.start == 1
    assert axes[0].lines[0].get_xdata().tolist() == [1, 2, 3, 4]


def test_training_history_of_chosen_metrics():
    figure = plotting.training_history(HISTORY, metrics=["dur"])
    assert [ax.get_ylabel() for ax in figure.axes] == ["dur"]


def test_training_history_of_one_epoch_shows_a_point():
    (ax,) = plotting.training_history(HISTORY.iloc[:1], metrics=["train_loss"]).axes
    assert ax.lines[0].get_marker() == "o"


@pytest.mark.parametrize(
    ("history", "metrics", "message"),
    [
        (HISTORY.iloc[:0], None, "history is empty"),
        (HISTORY, ["auc"], r"history lacks the column\(s\) \['auc'\]"),
        (HISTORY[["epoch", "note"]], None, "no numeric column"),
    ],
)
def test_bad_training_histories(history, metrics, message):
    with pytest.raises(ValueError, match=message):
        plotting.training_history(history, metrics=metrics)


def test_docstrings_name_every_parameter():
    for name in plotting.__all__:
        function = getattr(plotting, name)
        documented = re.findall(r"^    (\w+) : ", function.__doc__, flags=re.MULTILINE)
        assert documented == list(inspect.signature(function).parameters)


def test_axes_are_returned_by_single_plots():
    for name in ("bar", "ranking", "beeswarm", "waterfall", "heatmap"):
        assert isinstance(PLOTS[name][0](), Axes)
