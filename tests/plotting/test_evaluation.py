"""Curves under perturbation, intervals of ranks, selection paths: what they draw and refuse."""

from __future__ import annotations

import warnings
from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from sknninterp import plotting
from sknninterp.plotting import _common

LONG = [f"discharged to another health care facility of kind {i}" for i in range(30)]
NAMES = ("perturbation_curves", "rank_intervals", "selection_paths")


@pytest.fixture
def curves():
    """Two methods and a random order, with bands."""
    share = np.array([0, 0.25, 0.5, 1.0])
    means = {"PWP": [0.9, 0.6, 0.5, 0.5], "random": [0.9, 0.9, 0.82, 0.5], "$Garson": share}
    parts = [
        pd.DataFrame({"method": method, "share": share, "mean": np.asarray(mean, dtype=float)})
        for method, mean in means.items()
    ]
    frame = pd.concat(parts, ignore_index=True)
    return frame.assign(lower=frame["mean"] - 0.05, upper=frame["mean"] + 0.1)


@pytest.fixture
def ranks():
    """Intervals of the ranks of 30 features with long names, in no order."""
    rank = np.random.default_rng(0).permutation(30) + 1.0
    frame = {"rank": rank, "lower": np.maximum(rank - 3, 1), "upper": rank + 2, "note": "x"}
    return pd.DataFrame(frame, index=LONG)


@pytest.fixture
def frequencies():
    """How often each of 30 features is among the first k, for k in no order."""
    values = np.random.default_rng(0).permutation(30)
    numbers = np.array([20, 1, 5, 10])
    return pd.DataFrame(
        np.clip((numbers[:, None] - values) / 10, 0, 1), index=numbers, columns=LONG
    )


@pytest.fixture
def plots(curves, ranks, frequencies):
    """Every plot with data that it accepts."""
    return {
        "perturbation_curves": partial(plotting.perturbation_curves, curves),
        "rank_intervals": partial(plotting.rank_intervals, ranks, k=5),
        "selection_paths": partial(plotting.selection_paths, frequencies, threshold=0.6),
    }


def legend_texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def line_of(ax, position):
    """Return the points of a line as the legend's handle of this position draws it."""
    handle = ax.get_legend().get_lines()[position]
    look = [
        (to_hex(line.get_color()), line.get_linestyle(), line.get_marker())
        for line in (handle, *ax.lines)
    ]
    (found,) = [line for line, its in zip(ax.lines, look[1:], strict=True) if its == look[0]]
    return found.get_xydata()


# --- what holds for all -------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_within_a_new_current_figure(name, plots, render):
    before, settings = plt.get_fignums(), mpl.rcParams.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = render(plots[name](title="Cohort $1$").figure)
    assert mpl.rcParams == settings
    assert plt.gcf() is figure and plt.get_fignums() == [*before, figure.number]
    assert figure.axes[0].get_title() == "Cohort $1$"
    box = figure.get_tightbbox()
    assert box.x0 >= 0 and box.y0 >= 0
    assert box.x1 <= figure.get_figwidth() and box.y1 <= figure.get_figheight()
    assert figure.axes[0].get_position().width > 0.3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("no_new_figure")
def test_given_axes_are_used(name, plots, render):
    figure = Figure(figsize=(8, 5), layout="constrained")
    ax = figure.add_subplot()
    assert plots[name](ax=ax) is ax and ax.has_data()
    render(figure)
    with pytest.raises(TypeError, match="ax must be a matplotlib Axes or None, got str"):
        plots[name](ax="ax")


@pytest.mark.parametrize("name", NAMES)
def test_value_label_is_drawn_as_it_is(name, plots, render):
    ax = plots[name](value_label="value in $")
    render(ax.figure)
    assert "value in $" in ax.get_xlabel() + ax.get_ylabel()


@pytest.mark.parametrize("name", NAMES[1:])
@pytest.mark.parametrize("bad", [0, 2.5, True, None])
def test_max_display_is_a_positive_integer(name, bad, plots):
    with pytest.raises(ValueError, match="max_display must be an integer of at least 1"):
        plots[name](max_display=bad)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("no_new_figure")
def test_only_frames_with_rows_are_drawn(name, plots):
    first = plots[name].args[0]
    with pytest.raises(TypeError, match="must be a pandas DataFrame, got ndarray"):
        getattr(plotting, name)(first.to_numpy())
    with pytest.raises(ValueError, match=r"is empty|needs two"):
        getattr(plotting, name)(first.iloc[:0])
    wrong = first.select_dtypes("number").astype(float)
    wrong.iloc[0, 0] = np.nan
    with pytest.raises(ValueError, match="holds NaN or infinite numbers"):
        getattr(plotting, name)(wrong)


# --- curves -------------------------------------------------------------------------------------


def test_curves_and_their_areas(curves):
    ax = plotting.perturbation_curves(curves, value_label="accuracy")
    # Trapezoids by hand; the random order is named last.
    assert legend_texts(ax) == ["PWP: 0.575", "$Garson: 0.500", "random: 0.770"]
    assert ax.get_legend().get_title().get_text() == "area under the curve"
    for position, name in enumerate(["PWP", "$Garson", "random"]):
        expected = curves.loc[curves["method"] == name, ["share", "mean"]]
        np.testing.assert_allclose(line_of(ax, position), expected)
    assert ax.get_xlabel() == "share of the features changed" and ax.get_ylabel() == "accuracy"
    assert ax.xaxis.get_major_formatter()(0.25) == "25%"


def test_the_random_order_is_grey_and_below(curves):
    ax = plotting.perturbation_curves(curves)
    *others, random = ax.lines
    assert to_hex(random.get_color()) == _common.NEUTRAL and random.get_linestyle() == "--"
    assert all(line.get_zorder() > random.get_zorder() for line in others)
    assert len({to_hex(line.get_color()) for line in ax.lines}) == 3
    ax = plotting.perturbation_curves(curves, random="PWP")
    assert legend_texts(ax)[-1].startswith("PWP") and to_hex(ax.lines[-1].get_color()) == (
        _common.NEUTRAL
    )


def test_bands_reach_from_lower_to_upper(curves):
    bands = plotting.perturbation_curves(curves).collections
    assert len(bands) == 3
    vertices = bands[0].get_paths()[0].vertices
    part = curves[curves["method"] == "PWP"]
    for end in ("lower", "upper"):
        for point in part[["share", end]].to_numpy():
            assert np.isclose(vertices, point).all(axis=1).any()
    assert not plotting.perturbation_curves(curves.drop(columns=["lower", "upper"])).collections
    # Means of a single sample have no interval.
    assert not plotting.perturbation_curves(curves.assign(lower=np.nan, upper=np.nan)).collections


def test_bands_of_many_curves_are_fainter(curves):
    many = pd.concat([curves.assign(method=curves["method"] + str(i)) for i in range(3)])
    few, faint = (plotting.perturbation_curves(c).collections[0] for c in (curves, many))
    assert faint.get_alpha() < few.get_alpha()


def test_points_are_sorted_by_share(curves):
    shuffled = curves.sample(frac=1, random_state=0)
    ax = plotting.perturbation_curves(shuffled)
    assert sorted(legend_texts(ax)) == ["$Garson: 0.500", "PWP: 0.575", "random: 0.770"]
    assert all((np.diff(line.get_xdata()) > 0).all() for line in ax.lines)


def test_areas_are_mean_heights(curves):
    part = curves[curves["share"] <= 0.5]
    assert legend_texts(plotting.perturbation_curves(part))[0] == "PWP: 0.650"
    ax = plotting.perturbation_curves(part, area=False)
    assert legend_texts(ax) == ["PWP", "$Garson", "random"]
    assert ax.get_legend().get_title().get_text() == ""


def test_a_random_order_beside_the_curve(curves):
    pwp = curves[curves["method"] == "PWP"].drop(columns="method").reset_index(drop=True)
    assert plotting.perturbation_curves(pwp).get_legend() is None
    random = curves[curves["method"] == "random"].reset_index(drop=True)
    for name in ("mean", "lower", "upper"):
        pwp[f"random_{name}"] = random[name]
    ax = plotting.perturbation_curves(pwp)
    assert legend_texts(ax) == ["ranking: 0.575", "random: 0.770"] and len(ax.collections) == 2
    assert to_hex(ax.lines[1].get_color()) == _common.NEUTRAL
    np.testing.assert_allclose(ax.lines[1].get_ydata(), random["mean"])
    # Of several methods it is drawn once, and not at all beside a method of its name.
    both = pd.concat([pwp.assign(method="a"), pwp.assign(method="b", random_mean=0.2)])
    ax = plotting.perturbation_curves(both)
    assert legend_texts(ax) == ["a: 0.575", "b: 0.575", "random: 0.770"]
    assert legend_texts(plotting.perturbation_curves(both, random="b"))[-1] == "b: 0.575"


def test_long_names_keep_their_areas(curves):
    ax = plotting.perturbation_curves(curves.replace({"method": {"PWP": LONG[0]}}))
    name, _, area = legend_texts(ax)[0].partition(": ")
    assert name == _common.shorten(LONG[0], 24) and area == "0.575"


def test_lines_differ_without_colours(curves):
    parts = [curves[curves["method"] == "PWP"].assign(method=f"m{i}") for i in range(20)]
    lines = plotting.perturbation_curves(pd.concat(parts)).lines
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == 20
    assert _common.PALETTE[-1] not in {line.get_color() for line in lines}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.drop(columns="mean"), r"curves lacks the column\(s\) \['mean'\]"),
        (lambda c: c.drop(columns="lower"), r"curves lacks the column\(s\) \['lower'\]"),
        (lambda c: c.assign(share=c["share"] * 100), r"curves\['share'\] of 'PWP' must lie in"),
        (lambda c: c.assign(share=c["share"] - 0.1), r"curves\['share'\] of 'PWP' must lie in"),
        (lambda c: c.assign(upper=c["lower"] - 1), "curves has rows whose lower is above"),
        (lambda c: c.iloc[3:], "curves has a single point of 'PWP': a curve needs two"),
        (lambda c: pd.concat([c, c.iloc[:1]]), "two points of 'PWP' at the same share"),
        (lambda c: c.drop(columns="method"), "two points of 'ranking' at the same share"),
    ],
    ids=["mean", "lower", "percent", "negative", "band", "point", "twice", "no method"],
)
@pytest.mark.usefixtures("no_new_figure")
def test_bad_curves(change, message, curves):
    with pytest.raises(ValueError, match=message):
        plotting.perturbation_curves(change(curves))


# --- intervals of ranks -------------------------------------------------------------------------


def test_the_first_ranks_are_on_top(ranks, row_names):
    ax = plotting.rank_intervals(ranks, max_display=4)
    order = ranks["rank"].sort_values().index[:4]
    assert row_names(ax) == [_common.shorten(name) for name in order]
    lines, dots = ax.collections
    np.testing.assert_allclose(dots.get_offsets(), [[1, 0], [2, 1], [3, 2], [4, 3]])
    ends = [segment[:, 0] for segment in lines.get_segments()]
    np.testing.assert_allclose(ends, ranks.loc[order, ["lower", "upper"]])
    assert ax.get_xlabel() == "rank\n(4 of 30 features shown)" and not ax.lines
    assert {to_hex(c) for c in dots.get_facecolors()} == {_common.PALETTE[0].lower()}


def test_dots_of_the_top_are_filled(ranks):
    ax = plotting.rank_intervals(ranks, k=5, max_display=6)
    colors = [to_hex(color) for color in ax.collections[1].get_facecolors()]
    # The intervals reach two ranks down: those of the first three features end within the top 5.
    assert colors == [_common.PALETTE[0].lower()] * 3 + ["#ffffff"] * 3
    assert set(ax.lines[0].get_xdata()) == {5}
    assert "(filled: interval within the top 5, 3 of 30)" in ax.get_xlabel()
    # All features are counted, not only those shown.
    assert "top 20, 18 of 30)" in plotting.rank_intervals(ranks, k=20, max_display=2).get_xlabel()


def test_mean_ranks_of_a_table_with_importances(ranks, row_names):
    table = ranks.set_axis(["mean_rank", "rank_lower", "rank_upper", "note"], axis=1)
    table = table.assign(importance=0.1, lower=0.0, upper=0.2)
    ax, expected = plotting.rank_intervals(table), plotting.rank_intervals(ranks)
    assert row_names(ax) == row_names(expected)
    assert ax.get_xlabel() == "mean rank\n(20 of 30 features shown)"
    for drawn, same in zip(ax.collections, expected.collections, strict=True):
        np.testing.assert_array_equal(drawn.get_offsets(), same.get_offsets())


def test_importances_with_intervals(row_names):
    frame = pd.DataFrame(
        {"importance": [0.1, 0.5, 0.3], "lower": [0.0, 0.4, 0.35], "upper": [0.2, 0.7, 0.4]},
        index=list("abc"),
    )
    ax = plotting.rank_intervals(frame)
    assert row_names(ax) == ["b", "c", "a"] and ax.get_xlabel() == "importance"
    assert ax.get_xlim()[0] == 0
    assert plotting.rank_intervals(frame - 0.2).get_xlim()[0] < -0.2
    for options in ({"k": 1}, {"scale": "log"}):
        with pytest.raises(ValueError, match="are for ranks only"):
            plotting.rank_intervals(frame, **options)


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_ranks_begin_at_one(scale, render):
    frame = pd.DataFrame({"rank": [1.5, 900], "lower": [-0.5, 200], "upper": [3.5, 2000]})
    ax = plotting.rank_intervals(frame, scale=scale, k=3000)
    render(ax.figure)
    assert ax.get_xscale() == scale
    segments = [segment[:, 0] for segment in ax.collections[0].get_segments()]
    np.testing.assert_allclose(segments, [[1, 3.5], [200, 2000]])
    low, high = ax.get_xlim()
    assert low <= 1 and high > 3000
    if scale == "log":
        labels = ax.get_xticklabels(minor=True) + ax.get_xticklabels()
        shown = {label.get_text() for label in labels if low <= label.get_position()[0] <= high}
        assert shown == {f"{10**i * j:,}" for i in range(4) for j in (1, 2, 5)} - {"5,000"}


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda f: f.drop(columns="upper"), {}, r"frame lacks the column\(s\) \['upper'\]"),
        (lambda f: f.drop(columns="rank"), {}, r"frame lacks the column\(s\) \['rank'\]"),
        (lambda f: f.assign(rank=f["rank"] - 1), {}, "frame has ranks below 1: 0"),
        (lambda f: f.assign(lower=99), {}, "frame has rows whose lower is above their upper"),
        (lambda f: f, {"k": 0}, "k must be an integer of at least 1, got 0"),
        (lambda f: f, {"scale": "sqrt"}, "scale must be 'linear' or 'log', got 'sqrt'"),
    ],
    ids=["upper", "rank", "zero", "ends", "k", "scale"],
)
@pytest.mark.usefixtures("no_new_figure")
def test_bad_intervals(change, options, message, ranks):
    with pytest.raises(ValueError, match=message):
        plotting.rank_intervals(change(ranks), **options)


# --- selection paths ----------------------------------------------------------------------------


def test_paths_of_the_most_selected_are_named(frequencies):
    ax = plotting.selection_paths(frequencies, max_display=3)
    order = frequencies.mean().sort_values(ascending=False, kind="stable").index
    assert legend_texts(ax) == [_common.shorten(name, 24) for name in order[:3]]
    assert ax.get_legend().get_title().get_text() == "first 3 of\n30 features"
    inside = frequencies.sort_index()
    for position, name in enumerate(order[:3]):
        expected = np.column_stack([inside.index, inside[name]])
        np.testing.assert_allclose(line_of(ax, position), expected)
    (others,) = ax.collections
    drawn = [segment[:, 1] for segment in others.get_segments()]
    np.testing.assert_allclose(drawn, inside[order[3:]].T)
    assert ax.get_xlabel() == "number of features selected (k)"
    assert ax.get_ylabel() == "selection frequency"
    for shown in (ax, plotting.selection_paths(frequencies.clip(0.4, 0.5))):
        low, high = shown.get_ylim()
        assert -0.1 < low < 0 and 1 < high < 1.1


def test_the_threshold_counts_features_that_reach_it(frequencies):
    ax = plotting.selection_paths(frequencies, threshold=0.8)
    n_reached = sum(max(frequencies[name]) >= 0.8 for name in frequencies)
    assert 0 < n_reached < 30
    assert ax.get_xlabel().endswith(f"({n_reached} of 30 features reach 0.8)")
    assert any(set(line.get_ydata()) == {0.8} for line in ax.lines)
    # A frequency that equals the threshold reaches it.
    ax = plotting.selection_paths(pd.DataFrame({"a": [0.6], "b": [0.5]}, index=[3]), threshold=0.6)
    assert "(1 of 2 features reach 0.6)" in ax.get_xlabel()


def test_the_first_feature_is_on_top_of_the_others(frequencies):
    ax = plotting.selection_paths(frequencies, max_display=5)
    np.testing.assert_array_equal(ax.lines[-1].get_xydata(), line_of(ax, 0))
    assert ax.lines[0].get_zorder() > ax.collections[0].get_zorder()


def test_few_features_are_all_named(frequencies):
    ax = plotting.selection_paths(frequencies.iloc[:, :4])
    assert len(legend_texts(ax)) == 4 and ax.get_legend().get_title().get_text() == ""


def test_markers_of_lines_that_coincide_do_not():
    numbers = range(1, 41)
    ax = plotting.selection_paths(pd.DataFrame(1.0, index=numbers, columns=list("abcde")))
    marked = [
        set(range(*line.get_markevery()[:1], 40, line.get_markevery()[1])) for line in ax.lines
    ]
    assert all(not a & b for i, a in enumerate(marked) for b in marked[:i])


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda f: f * 100, {}, r"shares in \[0, 1\]; they go from 0 to 100"),
        (lambda f: f - 0.1, {}, r"shares in \[0, 1\]; they go from -0.1 to 0.9"),
        (lambda f: f.set_axis([1, 2, 2, 3]), {}, "a number of features more than once"),
        (lambda f: f.set_axis(list("abcd")), {}, "the index of frequencies must be numbers"),
        (lambda f: f, {"threshold": 0}, r"threshold must be a share in \(0, 1\] or None, got 0"),
        (lambda f: f, {"threshold": 60}, "threshold must be a share"),
        (lambda f: f, {"threshold": "a"}, "threshold must be a share"),
    ],
    ids=["percent", "negative", "twice", "text", "zero", "large", "word"],
)
@pytest.mark.usefixtures("no_new_figure")
def test_bad_frequencies(change, options, message, frequencies):
    with pytest.raises(ValueError, match=message):
        plotting.selection_paths(change(frequencies), **options)
