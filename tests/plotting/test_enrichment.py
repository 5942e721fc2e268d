"""Dots of gene sets: their places, areas and colours."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from sknninterp import plotting


@pytest.fixture
def table():
    """Twenty sets, as over-representation gives them."""
    q_value = np.geomspace(1e-4, 1, 20)
    fold = np.linspace(8, 0, 20)
    index = pd.Index([f"HALLMARK_OF_SOME_${i}$_RATHER_LONG_PATHWAY" for i in range(20)])
    columns = {"n_hits": np.arange(20, 0, -1), "fold_enrichment": fold, "q_value": q_value}
    return pd.DataFrame(columns, index=index)


def test_dots_are_the_first_rows(table, row_names):
    ax = plotting.enrichment_dots(table, max_display=4)
    (dots,) = ax.collections
    np.testing.assert_allclose(dots.get_offsets()[:, 0], table["fold_enrichment"][:4])
    np.testing.assert_array_equal(dots.get_offsets()[:, 1], range(4))
    np.testing.assert_allclose(dots.get_array(), table["q_value"][:4])
    assert row_names(ax)[0].startswith("HALLMARK_OF_SOME_$0$_") and len(row_names(ax)) == 4
    label = "fold enrichment (1: by chance)\n(4 of 20 sets shown)"
    assert ax.get_xlabel() == label and ax.figure.axes[-1].get_ylabel() == "q-value"
    assert set(ax.lines[0].get_xdata()) == {1}


def test_normalized_scores_have_two_sides(table):
    ax = plotting.enrichment_dots(table.assign(nes=np.linspace(-2, 2, 20)), max_display=20)
    np.testing.assert_allclose(ax.collections[0].get_offsets()[:, 0], np.linspace(-2, 2, 20))
    assert ax.get_xlabel() == "normalized enrichment score"
    assert set(ax.lines[0].get_xdata()) == {0}


def test_areas_grow_with_the_genes(table):
    ax = plotting.enrichment_dots(table)
    areas = ax.collections[0].get_sizes()
    np.testing.assert_allclose(np.diff(areas, n=2), 0, atol=1e-9)
    assert areas[0] > 2 * areas[-1] > 0
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["4 genes", "10 genes", "20 genes"]
    sizes = [line.get_markersize() ** 2 for line in ax.get_legend().get_lines()]
    assert sizes[1] == pytest.approx(areas[10]) and sizes[2] == pytest.approx(areas[0])
    # Sets without any gene are still dots.
    assert plotting.enrichment_dots(table.assign(n_hits=0)).collections[0].get_sizes().min() > 0


def test_smaller_q_values_are_darker(table):
    for least, ends in ((1e-4, "neither"), (0.5, "neither"), (1e-40, "min")):
        q_values = np.geomspace(least, 1, 20)
        ax = plotting.enrichment_dots(table.assign(q_value=q_values), max_display=20)
        (dots,) = ax.collections
        brightness = dots.to_rgba(dots.get_array())[:, :3].sum(axis=1)
        assert (np.diff(brightness) >= 0).all() and brightness[0] < brightness[-1]
        bar = ax.figure.axes[-1]
        assert bar._colorbar.extend == ends
        low, high = sorted(bar.get_ylim())
        assert high == 1 and low == pytest.approx(min(max(least, 1e-6), 1e-2))
        # The darkest is on top.
        assert bar.get_ylim()[0] > bar.get_ylim()[1]


@pytest.mark.parametrize("n_sets", [1, 20])
def test_everything_is_within_a_new_current_figure(n_sets, table, render):
    before = plt.get_fignums()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = plotting.enrichment_dots(table[:n_sets], title="Cohort $1$")
        figure = render(ax.figure)
    assert plt.gcf() is figure and plt.get_fignums() == [*before, figure.number]
    box = figure.get_tightbbox()
    assert box.x0 >= 0 and box.y0 >= 0
    assert box.x1 <= figure.get_figwidth() and box.y1 <= figure.get_figheight()
    assert ax.get_title() == "Cohort $1$"
    assert not ax.title.get_window_extent().overlaps(ax.get_legend().get_window_extent())


@pytest.mark.usefixtures("no_new_figure")
def test_given_axes_are_used(table):
    ax = Figure(figsize=(8, 5)).add_subplot()
    assert plotting.enrichment_dots(table, ax=ax) is ax and ax.has_data()
    with pytest.raises(TypeError, match="ax must be a matplotlib Axes"):
        plotting.enrichment_dots(table, ax="ax")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="fold_enrichment"), r"lacks the column\(s\) \['fold_enrichment'"),
        (lambda t: t.drop(columns="q_value"), r"lacks the column\(s\) \['q_value'"),
        (lambda t: t[:0], "table is empty"),
        (lambda t: t.assign(fold_enrichment=np.nan), "table holds NaN"),
        (lambda t: t.assign(q_value=0), r"table\['q_value'\] must lie in \(0, 1\]"),
        (lambda t: t.assign(q_value=2), r"table\['q_value'\] must lie in \(0, 1\]"),
    ],
    ids=["place", "colour", "empty", "nan", "zero", "above"],
)
@pytest.mark.usefixtures("no_new_figure")
def test_bad_tables(change, message, table):
    with pytest.raises(ValueError, match=message):
        plotting.enrichment_dots(change(table))


@pytest.mark.usefixtures("no_new_figure")
def test_bad_options(table):
    with pytest.raises(TypeError, match="table must be a pandas DataFrame, got ndarray"):
        plotting.enrichment_dots(table.to_numpy())
    with pytest.raises(ValueError, match="max_display must be an integer of at least 1"):
        plotting.enrichment_dots(table, max_display=0)
