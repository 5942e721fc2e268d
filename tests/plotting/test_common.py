"""What holds for all plots: where they draw, what they leave alone, labels that fit."""

from __future__ import annotations

import inspect
import re
import sys
import warnings
from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sknninterp import plotting
from sknninterp.plotting import _common

# Every plot, and how many Axes it takes.
N_AXES = {
    "bar": 1,
    "stacked": 1,
    "ranking": 1,
    "beeswarm": 1,
    "waterfall": 1,
    "heatmap": 1,
    "image": 1,
    "filters": 1,
    "reconstructions": 1,
    "reconstruction_error": 2,
    "tuning_history": 2,
    "training_history": 3,
}
WITH_MAX_DISPLAY = list(N_AXES)[: list(N_AXES).index("filters")]


@pytest.fixture
def plots(values, data, images, tuning, history):
    """Every plot with data that it accepts."""
    layers = pd.DataFrame({"epoch": 1, "layer": ["a", "b"], "reconstruction_error": [0.2, 0.1]})
    errors = {"cd": layers, "exact": layers}
    return {
        "bar": partial(plotting.bar, pd.Series([0.2, 0.8], index=["a", "b"])),
        "stacked": partial(plotting.bar, pd.DataFrame({"no": [1, 2], "yes": [3, 1]})),
        "ranking": partial(plotting.ranking, pd.DataFrame(np.abs(values.T))),
        "beeswarm": partial(plotting.beeswarm, values, data, list(data.columns)),
        "waterfall": partial(plotting.waterfall, values[0], data.iloc[0], list(data.columns), 0.5),
        "heatmap": partial(plotting.heatmap, values, list(data.columns), predictions=np.ones(30)),
        "image": partial(plotting.image, images[:1], images[:1]),
        "filters": partial(
            plotting.filters, images.reshape(3, 24), (6, 4), filter_names=["a", "b", "c"]
        ),
        "reconstructions": partial(plotting.reconstructions, images, 1 - images, (6, 4)),
        "reconstruction_error": partial(plotting.reconstruction_error, errors),
        "tuning_history": partial(plotting.tuning_history, tuning, [8, 4]),
        "training_history": partial(plotting.training_history, history),
    }


def figure_of(drawn):
    return drawn if isinstance(drawn, Figure) else drawn.figure


@pytest.mark.parametrize("name", N_AXES)
def test_no_setting_changes(name, plots, render):
    before = mpl.rcParams.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        render(figure_of(plots[name]()))
    assert mpl.rcParams == before


@pytest.mark.parametrize("name", N_AXES)
def test_a_new_figure_is_the_current_one_of_pyplot(name, plots):
    before = plt.get_fignums()
    figure = figure_of(plots[name]())
    assert plt.gcf() is figure
    assert plt.get_fignums() == [*before, figure.number]


@pytest.mark.parametrize("name", N_AXES)
def test_nothing_is_shown(name, plots, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("a window was opened"))
    plots[name]()


@pytest.mark.parametrize(("name", "n_axes"), N_AXES.items())
@pytest.mark.usefixtures("no_new_figure")
def test_given_axes_are_used(name, n_axes, plots, render):
    figure = Figure(figsize=(9, 3))
    axes = figure.subplots(1, n_axes, squeeze=False)[0]
    drawn = plots[name](ax=axes[0] if n_axes == 1 else axes)
    assert drawn is (axes[0] if n_axes == 1 else figure)
    assert all(ax.has_data() for ax in axes)
    render(figure)


@pytest.mark.parametrize(("name", "n_axes"), N_AXES.items())
@pytest.mark.usefixtures("no_new_figure")
def test_ax_must_be_axes(name, n_axes, plots):
    with pytest.raises(TypeError, match="ax must be a matplotlib Axes or None, got str"):
        plots[name](ax=["ax"] * n_axes if n_axes > 1 else "ax")


@pytest.mark.parametrize("name", N_AXES)
def test_everything_is_within_the_figure(name, plots, render):
    figure = render(figure_of(plots[name]()))
    box = figure.get_tightbbox()
    assert box.x0 >= 0 and box.y0 >= 0
    assert box.x1 <= figure.get_figwidth() and box.y1 <= figure.get_figheight()


@pytest.mark.parametrize("n_features", [1, 12])
@pytest.mark.parametrize("kind", ["bar", "beeswarm", "waterfall", "heatmap"])
def test_long_names_are_within_the_figure(kind, n_features, render):
    names = [f"admission_source_id=Transfer from a health care facility {i}" for i in range(30)]
    names = names[:n_features]
    values = np.random.default_rng(0).normal(size=(8, n_features))
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


@pytest.mark.parametrize("name", WITH_MAX_DISPLAY)
@pytest.mark.parametrize("bad", [0, -3, 2.5, True, None])
def test_max_display_is_a_positive_integer(name, bad, plots):
    with pytest.raises(ValueError, match="max_display must be an integer of at least 1"):
        plots[name](max_display=bad)


@pytest.mark.parametrize("name", WITH_MAX_DISPLAY)
def test_value_label_and_title_are_drawn(name, plots, render):
    drawn = plots[name](value_label="contribution (PWP)", title="Cohort $1$")
    figure = figure_of(drawn)
    labels = [ax.get_xlabel() + ax.get_ylabel() for ax in figure.axes]
    assert any("contribution (PWP)" in label for label in labels)
    insets = [inset for ax in figure.axes for inset in ax.child_axes if isinstance(inset, Axes)]
    titles = [figure.get_suptitle()] + [ax.get_title() for ax in figure.axes + insets]
    assert "Cohort $1$" in titles
    render(figure)


def test_matplotlib_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
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


def test_dollar_signs_are_no_formulas(render, row_names):
    ax = plotting.bar(pd.DataFrame({"_$\\bad$": [1.0], "$y": [1.0]}, index=["$\\frac$"]))
    render(ax.figure)
    assert row_names(ax) == ["$\\frac$"]
    assert [t.get_text().strip("\u200b") for t in ax.get_legend().get_texts()] == ["_$\\bad$", "$y"]


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
@pytest.mark.usefixtures("no_new_figure")
def test_bad_matrices(draw, values, message):
    with pytest.raises(ValueError, match=message):
        draw(values)


def test_docstrings_name_every_parameter():
    for name in plotting.__all__:
        function = getattr(plotting, name)
        text = inspect.getdoc(function)
        documented = re.findall(r"^(\w+) : ", text, flags=re.MULTILINE)
        assert documented == list(inspect.signature(function).parameters)


def test_axes_are_returned_by_single_plots(plots):
    for name in ("bar", "ranking", "beeswarm", "waterfall", "heatmap"):
        assert isinstance(plots[name](), Axes)
