"""Scores of nodes and filters, and distributions of ranks: every line, cell, kernel and note."""

from __future__ import annotations

import warnings
from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from sknninterp import plotting
from sknninterp.plotting import _common

LAYERS = {"hidden1": np.array([0.2, -0.1, 0.4, 0.0]), "hidden2": np.array([0.0, 0.7, -1.4, 0.1])}
CLASSES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"]
CLASSES += ["Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
LONG = [f"transfer to another health care facility of kind {i}" for i in range(41)]

# Every plot, and how many Axes it takes.
N_AXES = {"score_spectrum": 2, "filter_scores": 1, "rank_distribution": 1}


@pytest.fixture
def filters():
    """Scores of 41 filters towards 10 outputs."""
    return np.random.default_rng(0).normal(size=(41, 10))


@pytest.fixture
def kernels():
    return np.random.default_rng(1).normal(size=(41, 3, 3))


@pytest.fixture
def ranks():
    """Ranks of 10 features in 200 samples, 4 and 7 ahead of the others."""
    values = np.random.default_rng(0).normal(size=(200, 10)) + 3 * np.isin(np.arange(10), [4, 7])
    return np.argsort(np.argsort(-values, axis=1), axis=1) + 1


@pytest.fixture
def plots(filters, kernels, ranks):
    """Every plot with data that it accepts."""
    spectra = {f"hidden{i}": np.roll(filters, i, axis=1) for i in (1, 2)}
    return {
        "score_spectrum": partial(plotting.score_spectrum, spectra, output_names=CLASSES),
        "filter_scores": partial(
            plotting.filter_scores, filters, kernels, output_names=CLASSES, filter_names=LONG
        ),
        "rank_distribution": partial(
            plotting.rank_distribution, ranks, names=LONG[:10], relevant=[4, 7]
        ),
    }


def figure_of(drawn):
    return drawn if isinstance(drawn, Figure) else drawn.figure


def legend_texts(owner):
    return [text.get_text() for text in owner.get_texts()]


def columns_of(ax):
    return [label.get_text() for label in ax.get_xticklabels()]


def written(ax):
    """Return the texts in the cells of a matrix by row and column."""
    cells = {}
    for text in ax.texts:
        column, row = text.get_position()
        cells[row, column] = text.get_text()
    return cells


@pytest.mark.parametrize("name", N_AXES)
def test_everything_is_within_a_new_current_figure(name, plots, render):
    before, settings = plt.get_fignums(), mpl.rcParams.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = render(figure_of(plots[name](title="Cohort $1$")))
    assert mpl.rcParams == settings
    assert plt.gcf() is figure and plt.get_fignums() == [*before, figure.number]
    box = figure.get_tightbbox()
    assert box.x0 >= 0 and box.y0 >= 0
    assert box.x1 <= figure.get_figwidth() and box.y1 <= figure.get_figheight()
    assert all(ax.get_position().width > 0.15 for ax in figure.axes[: N_AXES[name]])


@pytest.mark.parametrize(("name", "n_axes"), N_AXES.items())
@pytest.mark.usefixtures("no_new_figure")
def test_given_axes_are_used(name, n_axes, plots, render):
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots(1, n_axes, squeeze=False)[0]
    drawn = plots[name](ax=axes[0] if n_axes == 1 else axes)
    assert drawn is (axes[0] if n_axes == 1 else figure)
    assert all(ax.has_data() for ax in axes)
    render(figure)
    box = figure.get_tightbbox()
    assert box.x0 >= 0 and box.x1 <= figure.get_figwidth()


@pytest.mark.parametrize(("name", "n_axes"), N_AXES.items())
@pytest.mark.usefixtures("no_new_figure")
def test_subfigures_are_drawn_into(name, n_axes, plots, render):
    figure = Figure(figsize=(9, 5), layout="constrained")
    part = figure.subfigures(1, 2)[0]
    axes = part.subplots(n_axes, 1, squeeze=False)[:, 0]
    plots[name](ax=axes[0] if n_axes == 1 else axes)
    render(figure)


@pytest.mark.parametrize(("name", "n_axes"), N_AXES.items())
@pytest.mark.usefixtures("no_new_figure")
def test_ax_must_be_axes(name, n_axes, plots):
    with pytest.raises(TypeError, match="ax must be a matplotlib Axes or None, got str"):
        plots[name](ax=["ax"] * n_axes if n_axes > 1 else "ax")


@pytest.mark.parametrize("name", N_AXES)
@pytest.mark.parametrize("bad", [0, -3, 2.5, True])
@pytest.mark.usefixtures("no_new_figure")
def test_max_display_is_a_positive_integer(name, bad, plots):
    with pytest.raises(ValueError, match="max_display must be an integer of at least 1"):
        plots[name](max_display=bad)


@pytest.mark.parametrize("name", N_AXES)
def test_value_label_and_title_are_drawn_literally(name, plots, render):
    figure = figure_of(plots[name](value_label="score $\\bad$", title="Cohort $\\bad$"))
    labels = [ax.get_xlabel() + ax.get_ylabel() for ax in figure.axes]
    assert any("score $\\bad$" in label for label in labels)
    titles = [figure.get_suptitle()] + [ax.get_title() for ax in figure.axes]
    assert "Cohort $\\bad$" in titles
    render(figure)


def test_names_are_no_formulas(render):
    bad = "$\\bad$"
    render(plotting.score_spectrum({bad: [[1.0, 2.0]]}, output_names=[bad, "_"]))
    ax = plotting.filter_scores([[1.0]], [[[1.0]]], output_names=bad, filter_names=[bad])
    render(ax.figure)
    render(plotting.rank_distribution([[1]], names=[bad]).figure)


def test_long_value_labels_are_broken_into_lines():
    label = "mean influential score of the nodes towards the class of patients readmitted"
    spectrum = plotting.score_spectrum(LAYERS, normalize=False, value_label=label).axes[0]
    bar = plotting.filter_scores([[1.0]], value_label=label).figure.axes[-1]
    for shown in (spectrum.get_ylabel(), bar.get_ylabel()):
        assert shown.replace("\n", " ") == label and shown.count("\n") == 2


# Spectra.


def test_spectra_are_sorted_and_relative_to_the_largest():
    figure = plotting.score_spectrum(LAYERS, title="Fit")
    first, second = figure.axes
    assert [ax.get_title() for ax in figure.axes] == ["hidden1", "hidden2"]
    assert figure.get_suptitle() == "Fit"
    (curve, zero), (other, _) = (ax.lines for ax in figure.axes)
    np.testing.assert_allclose(curve.get_ydata(), [1, 0.5, 0, -0.25])
    np.testing.assert_allclose(other.get_ydata(), [0.5, 1 / 14, 0, -1])
    assert curve.get_xdata().tolist() == [1, 2, 3, 4]
    assert set(zero.get_ydata()) == {0}
    assert first.get_xlabel() == "rank of the node"
    assert first.get_ylim() == second.get_ylim() == (-1.08, 1.08)
    assert first.get_ylabel() == "influential score\n(share of output's largest)"
    assert second.get_ylabel() == "" and not figure.legends


def test_spectra_in_their_own_unit():
    figure = plotting.score_spectrum(LAYERS, normalize=False, value_label="mean score")
    first, second = figure.axes
    np.testing.assert_allclose(first.lines[0].get_ydata(), [0.4, 0.2, 0, -0.1])
    assert first.get_ylabel() == "mean score"
    assert first.get_ylim() != second.get_ylim()


def test_each_output_is_sorted_and_scaled_on_its_own():
    scores = np.array([[1.0, -8.0], [2.0, 4.0], [-4.0, 0.0]])
    figure = plotting.score_spectrum({"a": scores}, output_names=["no", "yes"])
    no, yes, _ = figure.axes[0].lines
    np.testing.assert_allclose(no.get_ydata(), [0.5, 0.25, -1])
    np.testing.assert_allclose(yes.get_ydata(), [0.5, 0, -1])
    (drawn,) = figure.legends
    assert legend_texts(drawn) == ["no", "yes"]
    assert drawn.get_title().get_text() == "output"
    assert no.get_color() != yes.get_color()


def test_one_output_is_filled_by_its_sign():
    above, below = plotting.score_spectrum({"a": LAYERS["hidden1"]}).axes[0].collections
    assert to_hex(above.get_facecolor()) == _common.POSITIVE
    assert to_hex(below.get_facecolor()) == _common.NEGATIVE
    heights = [part.get_paths()[0].vertices[:, 1] for part in (above, below)]
    assert (heights[0].min(), heights[0].max()) == (0, 1)
    assert (heights[1].min(), heights[1].max()) == (-0.25, 0)


def test_one_named_output_is_named():
    (drawn,) = plotting.score_spectrum({"a": [[1.0], [2.0]]}, output_names="Y0").legends
    assert legend_texts(drawn) == ["Y0"]


def test_layers_of_other_widths_share_an_axis_of_shares():
    figure = plotting.score_spectrum({"a": [3.0, 1.0], "b": [1.0, 2.0, 3.0, 4.0]})
    np.testing.assert_allclose(figure.axes[0].lines[0].get_xdata(), [0.25, 0.75])
    np.testing.assert_allclose(figure.axes[1].lines[0].get_xdata(), [0.125, 0.375, 0.625, 0.875])
    assert {ax.get_xlabel() for ax in figure.axes} == {"share of the nodes, by rank"}
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()


def naive_half(scores):
    total, held = sum(abs(score) for score in scores), 0.0
    for count, score in enumerate(sorted(map(abs, scores), reverse=True), 1):
        held += score
        if held >= total / 2:
            return count if total else 0
    return None


def test_note_counts_the_nodes_with_half_of_the_magnitude():
    scores = np.random.default_rng(0).standard_t(3, size=(200, 3))
    counts = [naive_half(column) for column in scores.T]
    assert len(set(counts)) > 1
    notes = [
        plotting.score_spectrum({"a": nodes}).axes[0].texts[0].get_text()
        for nodes in (scores, scores[:, 0], [0.0, 0.0], [1.0, -1.0], [0.0, -2.0])
    ]
    expected = [f"{min(counts)}–{max(counts)} of 200", f"{counts[0]} of 200"]
    expected += ["0 of 2", "1 of 2", "1 of 2"]
    assert notes == [f"half of the magnitude\nin {span} nodes" for span in expected]


def test_layers_without_scores_stay_at_zero(render):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = render(plotting.score_spectrum({"a": np.zeros((5, 2)), "b": np.ones((1, 2))}))
    assert set(figure.axes[0].lines[0].get_ydata()) == {0}


def test_few_nodes_are_marked_and_many_are_not():
    few, many = (
        plotting.score_spectrum({"a": np.arange(n)}).axes[0].lines[0].get_marker() for n in (1, 200)
    )
    assert few == "o" and many in ("None", None, "")


def test_outputs_beyond_max_display_are_counted(filters):
    figure = plotting.score_spectrum({"a": filters}, max_display=3)
    assert len(figure.axes[0].lines) == 3 + 1
    (drawn,) = figure.legends
    assert legend_texts(drawn) == ["0", "1", "2"]
    assert drawn.get_title().get_text() == "first 3 of\n10 outputs"
    styles = {
        (line.get_color(), line.get_linestyle())
        for line in plotting.score_spectrum({"a": filters}).axes[0].lines[:-1]
    }
    assert len(styles) == 10


def test_the_legend_of_given_axes_is_beside_the_last(filters, render):
    figure = Figure(figsize=(6, 2.4), layout="constrained")
    axes = figure.subplots(1, 2)
    plotting.score_spectrum({"a": filters, "b": filters}, output_names=CLASSES, ax=axes)
    render(figure)
    assert axes[0].get_legend() is None and not figure.legends
    box = axes[1].get_legend().get_window_extent()
    assert box.x0 >= axes[1].bbox.x1 and box.x1 <= figure.bbox.x1
    assert box.y0 >= figure.bbox.y0 and box.y1 <= figure.bbox.y1
    assert all(ax.get_ylabel() for ax in axes)


def test_the_legend_of_a_new_figure_covers_no_panel(plots, render):
    figure = render(plots["score_spectrum"]())
    (drawn,) = figure.legends
    assert drawn.get_window_extent().x0 >= max(ax.get_tightbbox().x1 for ax in figure.axes)


def test_many_layers_are_wrapped():
    figure = plotting.score_spectrum({f"layer {i}": [1.0, -1.0] for i in range(4)})
    assert [bool(ax.get_ylabel()) for ax in figure.axes] == [True, False, False, True]


def test_outputs_are_named_by_frames():
    frame = pd.DataFrame([[1.0, 2.0]], columns=["no", "yes"])
    assert legend_texts(plotting.score_spectrum({"a": frame}).legends[0]) == ["no", "yes"]
    ax = plotting.filter_scores(frame.set_axis(["box"]))
    assert columns_of(ax) == ["no", "yes"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["box"]
    ax = plotting.rank_distribution(pd.DataFrame([[2, 1]], columns=["age", "sex"]))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["sex", "age"]


@pytest.mark.parametrize(
    ("scores", "options", "error", "message"),
    [
        ([1.0], {}, TypeError, "scores must be a mapping from layers to arrays, got list"),
        ({}, {}, ValueError, "scores is empty"),
        ({"a": [np.nan]}, {}, ValueError, r"scores\['a'\] holds NaN"),
        ({"a": np.ones((2, 3, 4))}, {}, ValueError, r"scores\['a'\] must have 1 or 2 axes"),
        (
            {"a": np.ones((2, 3)), "b": np.ones(3)},
            {},
            ValueError,
            r"same outputs in all layers, got \{'a': 3, 'b': 1\}",
        ),
        (LAYERS, {"output_names": ["a", "b"]}, ValueError, "output_names has 2 entries.* 1 outp"),
        (LAYERS, {"ax": Figure().subplots()}, ValueError, "ax must hold 2 Axes"),
    ],
)
@pytest.mark.usefixtures("no_new_figure")
def test_bad_spectra(scores, options, error, message):
    with pytest.raises(error, match=message):
        plotting.score_spectrum(scores, **options)


# Filters.


def test_filters_are_rows_and_outputs_columns(filters, row_names):
    ax = plotting.filter_scores(filters)
    np.testing.assert_array_equal(ax.images[0].get_array(), filters)
    limit = np.abs(filters).max()
    assert ax.images[0].get_clim() == (-limit, limit)
    assert ax.images[0].get_cmap().name == _common.DIVERGING
    assert row_names(ax) == [f"filter {i}" for i in range(41)]
    assert columns_of(ax) == [str(i) for i in range(10)]
    assert ax.get_xlabel() == "output" and ax.get_ylim() == (40.5, -0.5)
    assert ax.figure.axes[-1].get_ylabel() == "influential score"


def test_rows_and_columns_of_many_filters_can_be_read(filters, kernels, render):
    ax = plotting.filter_scores(filters, kernels, filter_names=LONG, output_names=CLASSES)
    render(ax.figure)
    (strip,) = ax.child_axes
    for labels in (strip.get_yticklabels(), ax.get_xticklabels()):
        boxes = [label.get_window_extent() for label in labels]
        assert len(boxes) >= 10
        pairs = zip(boxes, boxes[1:], strict=False)
        assert not any(box.overlaps(other) for box, other in pairs)


def test_magnitudes_of_filters(filters):
    ax = plotting.filter_scores(filters, signed=False)
    np.testing.assert_array_equal(ax.images[0].get_array(), np.abs(filters))
    assert ax.images[0].get_clim() == (0, np.abs(filters).max())
    assert ax.images[0].get_cmap().name == _common.SEQUENTIAL
    assert ax.figure.axes[-1].get_ylabel() == "magnitude of influential score"


def test_outputs_scaled_on_their_own_reach_one(filters):
    scores = filters[:, :3] * [1, 100, 0]
    ax = plotting.filter_scores(scores, scale="panel")
    shown = ax.images[0].get_array()
    np.testing.assert_allclose(np.abs(shown).max(axis=0), [1, 1, 0])
    np.testing.assert_allclose(shown[:, 1], scores[:, 1] / np.abs(scores[:, 1]).max())
    assert ax.figure.axes[-1].get_ylabel().endswith("(share of output's largest)")


def test_filters_of_largest_magnitude_stay_in_order(row_names):
    scores = [[1.0, 0.0], [-3.0, 2.0], [0.5, 0.0], [2.0, 2.0]]
    kernels = np.arange(4.0)[:, None, None] + [[0.0, 1.0]]
    ax = plotting.filter_scores(scores, kernels, filter_names=list("abcd"), max_display=2)
    (strip,) = ax.child_axes
    assert row_names(strip) == ["b", "d"] and row_names(ax) == []
    np.testing.assert_array_equal(ax.images[0].get_array(), [[-3, 2], [2, 2]])
    np.testing.assert_allclose(strip.images[0].get_array(), [[0.5, 1]])
    np.testing.assert_allclose(strip.images[1].get_array(), [[0.75, 1]])
    assert ax.get_xlabel() == "output\n(2 of 4 filters shown)"


@pytest.mark.parametrize("shape", [(3, 3), (1, 5), (4, 2)], ids=str)
def test_kernels_lie_beside_their_rows(shape, render):
    kernels = np.random.default_rng(0).normal(size=(6, *shape))
    ax = plotting.filter_scores(np.ones((6, 2)), kernels)
    render(ax.figure)
    (strip,) = ax.child_axes
    assert len(strip.images) == len(strip.patches) == 6
    for row, picture in enumerate(strip.images):
        kernel = kernels[row] / np.abs(kernels[row]).max()
        np.testing.assert_allclose(picture.get_array(), kernel)
        assert picture.get_clim() == (-1, 1)
        box = picture.get_window_extent()
        # Square pixels, within the row, and left of the matrix.
        assert box.width / shape[1] == pytest.approx(box.height / shape[0])
        _, (top, bottom) = ax.transData.transform([(0, row - 0.5), (0, row + 0.5)]).T
        assert bottom < box.y0 < box.y1 < top
        assert (box.y0 + box.y1) / 2 == pytest.approx((bottom + top) / 2)
        assert box.x1 < ax.bbox.x0


def test_channels_of_kernels_are_added_and_empty_kernels_stay(render):
    kernels = np.zeros((2, 3, 2, 2))
    kernels[0, :, 0, 0] = [1.0, 2.0, -5.0]
    kernels[0, 1, 1, 1] = 1.0
    ax = plotting.filter_scores([1.0, 2.0], kernels)
    first, second = ax.child_axes[0].images
    np.testing.assert_allclose(first.get_array(), [[-1, 0], [0, 0.5]])
    np.testing.assert_array_equal(second.get_array(), 0)
    render(ax.figure)


def test_filters_of_one_output_without_scores():
    ax = plotting.filter_scores([0.0, 0.0], output_names="Y0")
    assert ax.images[0].get_array().shape == (2, 1)
    assert ax.images[0].get_clim() == (-1, 1)
    assert columns_of(ax) == ["Y0"]


def test_some_of_very_many_outputs_are_named(render):
    ax = plotting.filter_scores(np.ones((3, 130)))
    render(ax.figure)
    assert columns_of(ax) == [str(i) for i in range(0, 130, 3)]
    assert ax.get_xticks().tolist() == list(range(0, 130, 3))
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert not any(box.overlaps(other) for box, other in zip(boxes, boxes[1:], strict=False))


def test_the_colour_bar_of_a_tall_matrix_stays_short(filters, render):
    ax = plotting.filter_scores(filters)
    render(ax.figure)
    bar = ax.figure.axes[-1].get_window_extent()
    assert bar.height < 0.5 * ax.bbox.height
    assert bar.y1 == pytest.approx(ax.bbox.y1, abs=1)


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        (np.ones((2, 3, 4)), {}, "scores must have 1 or 2 axes"),
        ([[np.inf]], {}, "scores holds NaN or infinite"),
        ([[1.0]], {"kernels": np.ones((2, 3, 3))}, "kernels has 2 entries, but there are 1 filter"),
        ([[1.0]], {"kernels": np.ones((3, 3))}, "kernels must have 3 or 4 axes"),
        ([[1.0]], {"kernels": [[[np.nan]]]}, "kernels holds NaN"),
        ([[1.0]], {"filter_names": ["a", "b"]}, "filter_names has 2 entries.* 1 filters"),
        ([[1.0]], {"output_names": ["a", "b"]}, "output_names has 2 entries.* 1 outputs"),
        ([[1.0]], {"scale": "row"}, "scale must be 'figure' or 'panel', got 'row'"),
    ],
)
@pytest.mark.usefixtures("no_new_figure")
def test_bad_filters(scores, options, message):
    with pytest.raises(ValueError, match=message):
        plotting.filter_scores(scores, **options)


# Ranks.


def test_cells_are_shares_of_samples(ranks, row_names):
    ax = plotting.rank_distribution(ranks)
    order = np.argsort(ranks.mean(axis=0), kind="stable")
    assert row_names(ax) == [f"x{i}" for i in order] and set(order[:2]) == {4, 7}
    shown = ax.images[0].get_array()
    assert shown.shape == (10, 10) and ax.get_ylim() == (9.5, -0.5)
    for row, feature in enumerate(order):
        for rank in range(1, 11):
            share = sum(sample[feature] == rank for sample in ranks) / len(ranks)
            assert shown[row, rank - 1] == pytest.approx(share)
    assert ax.images[0].get_clim() == (0, shown.max())
    assert columns_of(ax) == [str(rank) for rank in range(1, 11)]
    assert ax.get_xlabel() == "rank" and not ax.lines
    bar = ax.figure.axes[-1]
    assert bar.get_ylabel() == "share of 200 samples"
    assert all(label.get_text().endswith("%") for label in bar.get_yticklabels())


def test_shares_are_written_into_cells():
    ranks = np.tile([1, 2], (1000, 1))
    ranks[:3] = [2, 1]
    ax = plotting.rank_distribution(ranks)
    assert written(ax) == {(0, 0): "100", (0, 1): "<1", (1, 0): "<1", (1, 1): "100"}
    ranks[:] = [1, 2]
    ranks[:400] = [2, 1]
    ax = plotting.rank_distribution(ranks)
    assert written(ax) == {(0, 0): "60", (0, 1): "40", (1, 0): "40", (1, 1): "60"}
    colors = {text.get_text(): text.get_color() for text in ax.texts}
    assert colors == {"60": "white", "40": "white"}
    ax = plotting.rank_distribution([[1, 2]])
    assert written(ax) == {(0, 0): "100", (1, 1): "100"}
    assert ax.figure.axes[-1].get_ylabel() == "share of 1 sample"


def test_pale_cells_have_dark_numbers(ranks):
    ax = plotting.rank_distribution(ranks)
    limit = ax.images[0].get_clim()[1]
    for text in ax.texts:
        column, row = text.get_position()
        dark = ax.images[0].get_array()[row, column] > 0.6 * limit
        assert text.get_color() == ("white" if dark else "0.15")
    assert len({text.get_color() for text in ax.texts}) == 2


def test_many_cells_have_no_numbers():
    ranks = np.argsort(np.random.default_rng(0).random((5, 50)), axis=1) + 1
    ax = plotting.rank_distribution(ranks)
    assert ax.images[0].get_array().shape == (20, 21) and not ax.texts


def test_lower_ranks_share_the_last_column(ranks):
    ax = plotting.rank_distribution(ranks, n_ranks=3)
    shown = ax.images[0].get_array()
    order = np.argsort(ranks.mean(axis=0), kind="stable")
    assert columns_of(ax) == ["1", "2", "3", ">3"]
    np.testing.assert_allclose(shown.sum(axis=1), 1)
    np.testing.assert_allclose(shown[:, 3], (ranks > 3).mean(axis=0)[order])
    # The scale is that of the single ranks.
    assert ax.images[0].get_clim() == (0, shown[:, :3].max())
    assert ax.figure.axes[-1]._colorbar.extend == "max"
    assert plotting.rank_distribution(ranks).figure.axes[-1]._colorbar.extend == "neither"


def test_ranks_among_more_features_than_given():
    assert columns_of(plotting.rank_distribution([[3], [1]])) == ["1", "2", "3"]
    ax = plotting.rank_distribution([[30], [25]])
    assert columns_of(ax)[-1] == ">20" and ax.images[0].get_clim() == (0, 1)
    # Ties leave the last ranks empty.
    assert columns_of(plotting.rank_distribution([[1, 1]])) == ["1", "2"]
    # Without lower ranks there is no column for them.
    assert columns_of(plotting.rank_distribution([[1, 1]], n_ranks=2)) == ["1", "2"]


def test_relevant_features_are_marked(ranks):
    ax = plotting.rank_distribution(ranks, relevant=[7, 4], value_label="rank by score")
    bold = [t.get_text() for t in ax.get_yticklabels() if t.get_fontweight() == "bold"]
    coloured = [t.get_text() for t in ax.get_yticklabels() if t.get_color() != "black"]
    assert sorted(bold) == sorted(coloured) == ["x4", "x7"]
    (line,) = ax.lines
    assert set(line.get_xdata()) == {1.5}
    label = "rank by score\n(bold: 2 relevant features, due left of the line)"
    assert ax.get_xlabel() == label


@pytest.mark.parametrize(("relevant", "ends"), [([2], True), (range(9), True), (range(10), False)])
def test_a_line_that_would_be_the_frame_is_left_out(relevant, ends, ranks):
    ax = plotting.rank_distribution(ranks, relevant=relevant)
    assert len(ax.lines) == ends
    assert ax.get_xlabel().endswith("line)" if ends else "10 relevant features)")
    assert ("1 relevant feature," in ax.get_xlabel()) == (len(relevant) == 1)


@pytest.mark.parametrize(
    "relevant", [None, [], np.array([], dtype=int)], ids=["none", "list", "array"]
)
def test_nothing_is_marked_without_relevant_features(relevant, ranks):
    ax = plotting.rank_distribution(ranks, relevant=relevant)
    assert ax.get_xlabel() == "rank" and not ax.lines


def test_relevant_features_that_rank_low_are_shown(row_names):
    ranks = np.tile(np.arange(1, 31), (4, 1))
    ax = plotting.rank_distribution(ranks, relevant=[1, 28], max_display=4)
    assert row_names(ax) == ["x0", "x1", "x2", "x28"]
    assert ax.get_xlabel().endswith("(4 of 30 features shown)")
    ax = plotting.rank_distribution(ranks, max_display=4)
    assert row_names(ax) == ["x0", "x1", "x2", "x3"]


@pytest.mark.parametrize(
    ("ranks", "options", "message"),
    [
        ([1, 2], {}, "ranks must have 2 axes"),
        ([[0, 1]], {}, "ranks must be whole numbers from 1, got 0"),
        ([[1, 1.5]], {}, "ranks must be whole numbers from 1, got 1.5"),
        ([[np.nan]], {}, "ranks holds NaN"),
        (np.ones((0, 2)), {}, "ranks is empty"),
        ([[1, 2]], {"names": ["a"]}, "^names has 1 entries, but there are 2 features"),
        ([[1, 2]], {"relevant": [2]}, r"relevant must be positions.* 0 to 1, got \[2\]"),
        ([[1, 2]], {"relevant": [-1]}, "relevant must be positions"),
        ([[1, 2]], {"relevant": [True, False]}, "relevant must be positions"),
        ([[1, 2]], {"relevant": ["x0"]}, "relevant must be positions"),
        ([[1, 2]], {"n_ranks": 0}, "n_ranks must be an integer of at least 1 or None, got 0"),
        ([[1, 2]], {"n_ranks": True}, "n_ranks must be an integer"),
        ([[1, 2]], {"n_ranks": 2.0}, "n_ranks must be an integer"),
    ],
)
@pytest.mark.usefixtures("no_new_figure")
def test_bad_ranks(ranks, options, message):
    with pytest.raises(ValueError, match=message):
        plotting.rank_distribution(ranks, **options)


def test_single_plots_return_axes(plots):
    assert isinstance(plots["filter_scores"](), Axes)
    assert isinstance(plots["rank_distribution"](), Axes)
