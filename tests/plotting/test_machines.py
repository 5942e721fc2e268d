"""Filters, reconstructions and reconstruction errors of machines."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from sknninterp import plotting

WEIGHTS = np.random.default_rng(0).normal(size=(7, 6)) * np.array([1, 5, 2, 0, 7, 3, 4])[:, None]
KERNELS = np.random.default_rng(1).normal(size=(4, 3, 2, 5))
ORIGINALS = np.random.default_rng(2).uniform(size=(5, 6))
ERRORS = pd.DataFrame({"epoch": [1, 2, 3], "reconstruction_error": [0.4, 0.2, 0.1]})
LAYERS = pd.DataFrame(
    {
        "epoch": [2, 1, 3, 1, 2],
        "layer": ["h2", "h2", "h2", "h1", "h1"],
        "reconstruction_error": [0.3, 0.5, 0.2, 0.09, 0.08],
    }
)


def drawn_images(ax):
    return [image.get_array().data for image in ax.images]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def legend_texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def error_texts(ax):
    return [text for text in texts(ax) if text[0].isdigit()]


def places(ax):
    """Return left, top, width and height of every image."""
    extents = np.array([image.get_extent() for image in ax.images])
    left, right, low, high = extents.T
    return np.column_stack([left, high, right - left, low - high])


# --- filters -------------------------------------------------------------------------------------


def test_filters_are_the_rows_in_order():
    ax = plotting.filters(WEIGHTS, (2, 3))
    np.testing.assert_array_equal(drawn_images(ax), WEIGHTS.reshape(7, 2, 3))
    assert ax.get_xlabel() == ""


@pytest.mark.parametrize(
    ("order", "n", "shown", "note"),
    [
        ("first", 2, [0, 1], "first 2 of 7 filters"),
        ("first", None, range(7), ""),
        ("norm", 3, None, "3 of 7 filters, the largest norm first"),
        ("norm", None, None, "7 of 7 filters, the largest norm first"),
        ([5, 0, 5], 64, [5, 0, 5], "3 of 7 filters"),
        (np.array([6, 2, 1]), 2, [6, 2], "2 of 7 filters"),
    ],
    ids=["first", "all", "norm", "norm-all", "positions", "positions-n"],
)
def test_which_filters_are_shown(order, n, shown, note):
    if shown is None:
        shown = sorted(range(7), key=lambda i: -sum(w**2 for w in WEIGHTS[i]))[:n]
    names = pd.Series(list("abcdefg"), index=range(10, 17))
    ax = plotting.filters(WEIGHTS, (2, 3), order=order, n=n, filter_names=names)
    np.testing.assert_array_equal(drawn_images(ax), WEIGHTS[list(shown)].reshape(-1, 2, 3))
    assert texts(ax) == ["abcdefg"[i] for i in shown]
    assert ax.get_xlabel() == note


def test_all_filters_have_one_scale_symmetric_about_zero():
    ax = plotting.filters(WEIGHTS, (2, 3), n=2, value_label="W")
    largest = np.abs(WEIGHTS[:2]).max()
    assert {image.get_clim() for image in ax.images} == {(-largest, largest)}
    assert to_hex(ax.images[0].cmap(0.5)) == "#f7f6f6"  # zero is white
    (bar,) = ax.child_axes
    assert bar.get_ylabel() == "W"
    assert bar.get_ylim() == (-largest, largest)


def test_a_scale_of_its_own_divides_every_filter():
    ax = plotting.filters(KERNELS, scale="panel")
    for drawn, kernel in zip(drawn_images(ax), KERNELS, strict=True):
        np.testing.assert_allclose(drawn, np.hstack(kernel) / np.abs(kernel).max())
    assert "share of filter's" in ax.child_axes[0].get_ylabel()
    assert ax.images[0].get_clim() == (-1, 1)


def test_filters_of_zeros_are_white():
    for scale in ("figure", "panel"):
        ax = plotting.filters(np.zeros((2, 6)), (2, 3), scale=scale)
        assert not np.any(drawn_images(ax))
        assert ax.images[0].get_clim() == (-1, 1)


def test_channels_lie_side_by_side_or_are_added_up():
    separate = plotting.filters(KERNELS)
    assert drawn_images(separate)[1].shape == (2, 15)
    np.testing.assert_array_equal(drawn_images(separate)[1][:, 5:10], KERNELS[1, 1])
    assert len(separate.collections[0].get_paths()) == 12  # an edge about each channel
    added = plotting.filters(KERNELS, channels="sum")
    np.testing.assert_allclose(drawn_images(added), KERNELS.sum(axis=1))
    assert len(added.collections[0].get_paths()) == 4


def test_filters_of_many_channels_fit_a_page():
    kernels = np.random.default_rng(0).normal(size=(5, 24, 3, 3))
    assert plotting.filters(kernels).figure.get_figwidth() < 9


def test_flat_filters_with_channels_are_as_a_convolution():
    flat = plotting.filters(KERNELS.reshape(4, 30), (3, 2, 5))
    np.testing.assert_array_equal(drawn_images(flat), drawn_images(plotting.filters(KERNELS)))
    named = plotting.filters(KERNELS, (3, 2, 5))
    np.testing.assert_array_equal(drawn_images(named), drawn_images(flat))


@pytest.mark.parametrize(("n_columns", "expected"), [(None, 2), (3, 3), (1, 1), (99, 7)])
def test_filters_fill_a_grid_row_by_row(n_columns, expected):
    ax = plotting.filters(WEIGHTS, (2, 3), n_columns=n_columns)
    left, top, width, height = places(ax).T
    np.testing.assert_allclose(width / height, 3 / 2)  # pixels are squares
    columns = np.unique(left.round(6), return_inverse=True)[1]
    rows = np.unique(top.round(6), return_inverse=True)[1]
    np.testing.assert_array_equal(columns, np.arange(7) % expected)
    np.testing.assert_array_equal(rows, np.arange(7) // expected)
    # All gaps are the same, and all images within the axes.
    gaps = [*np.diff(np.unique(left.round(6))) - width[0]]
    gaps += [*np.diff(np.unique(top.round(6))) - height[0]]
    assert min(gaps) > 0
    np.testing.assert_allclose(gaps, gaps[0], atol=1e-5)
    assert ax.get_xlim()[0] < left.min() and (left + width).max() < ax.get_xlim()[1]
    assert ax.get_ylim()[1] < top.min() and (top + height).max() < ax.get_ylim()[0]


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        (WEIGHTS, {}, "image_shape is needed"),
        (WEIGHTS, {"image_shape": (3, 3)}, "image_shape asks for 1x3x3 = 9 .* weights has 6"),
        (WEIGHTS, {"image_shape": 6}, r"image_shape must be \(height, width\) or .*got 6"),
        (WEIGHTS, {"image_shape": (2.0, 3)}, "image_shape must be"),
        (WEIGHTS, {"image_shape": (-2, -3)}, "image_shape must be"),
        (WEIGHTS, {"image_shape": (1, 1, 2, 3)}, "image_shape must be"),
        (KERNELS, {"image_shape": (3, 5, 2)}, r"weights has filters of shape \(3, 2, 5\)"),
        (WEIGHTS[0], {"image_shape": (2, 3)}, "weights must have 2 or 4 axes"),
        (WEIGHTS * np.nan, {"image_shape": (2, 3)}, "weights holds NaN"),
        (WEIGHTS[:0], {"image_shape": (2, 3)}, "weights is empty"),
        (KERNELS, {"n": 0}, "n must be an integer of at least 1 or None, got 0"),
        (KERNELS, {"n": 2.5}, "n must be an integer"),
        (KERNELS, {"n_columns": True}, "n_columns must be an integer"),
        (KERNELS, {"order": "size"}, "order must be 'first' or 'norm', got 'size'"),
        (KERNELS, {"order": [4]}, "order must be positions of filters, integers from 0 to 3"),
        (KERNELS, {"order": [-1]}, "order must be positions"),
        (KERNELS, {"order": [True, False]}, "order must be positions"),
        (KERNELS, {"order": []}, "order is empty"),
        (KERNELS, {"scale": "row"}, "scale must be 'figure' or 'panel', got 'row'"),
        (KERNELS, {"channels": 3}, "channels must be 'separate' or 'sum', got 3"),
        (KERNELS, {"filter_names": ["a"]}, "filter_names has 1 entries, but there are 4 filters"),
    ],
)
@pytest.mark.usefixtures("no_new_figure")
def test_bad_filters(weights, options, message):
    with pytest.raises(ValueError, match=message):
        plotting.filters(weights, **options)


# --- reconstructions -----------------------------------------------------------------------------


def test_reconstructions_lie_below_their_originals(row_names):
    ax = plotting.reconstructions(ORIGINALS, ORIGINALS / 2, (2, 3))
    np.testing.assert_array_equal(drawn_images(ax)[:5], ORIGINALS.reshape(5, 2, 3))
    np.testing.assert_array_equal(drawn_images(ax)[5:], ORIGINALS.reshape(5, 2, 3) / 2)
    assert row_names(ax) == ["original", "reconstruction"]
    left, top, _, height = places(ax).T
    np.testing.assert_allclose(left[:5], left[5:])
    assert (np.diff(left[:5]) > 0).all()
    assert top[5:].min() > (top + height)[:5].max()
    np.testing.assert_allclose(ax.get_yticks(), (top + height / 2)[[0, 5]])
    assert not ax.child_axes and ax.get_xlabel() == ""


def test_errors_are_mean_squares_below_each_reconstruction():
    shifts = np.array([0.1, 0.2, 0.3, 0.4, 0.01])[:, None]
    ax = plotting.reconstructions(ORIGINALS, ORIGINALS + shifts, (2, 3))
    assert error_texts(ax) == ["0.010", "0.040", "0.090", "0.160", "0.000"]
    assert "mean squared error" in texts(ax)
    numbers = [text for text in ax.texts if text.get_text()[0].isdigit()]
    left, top, width, height = places(ax).T
    below = np.column_stack([left + width / 2, top + height])[5:]
    np.testing.assert_allclose([text.xy for text in numbers], below)
    assert {text.get_va() for text in numbers} == {"top"}
    assert ax.get_ylim()[0] > (top + height).max() + 0.1  # room for the numbers


@pytest.mark.parametrize(
    ("shift", "expected"),
    [(0, "0.00"), (1e-3, "1.0e-06"), (2, "4.00"), (30, "900"), (1000, "1.0e+06")],
)
def test_errors_of_every_size_are_short(shift, expected):
    ax = plotting.reconstructions(ORIGINALS[:1], ORIGINALS[:1] + shift, (2, 3))
    assert error_texts(ax) == [expected]


def test_several_machines_are_rows_with_decimals_of_their_own(row_names):
    machines = {"cd": ORIGINALS + 0.1, "$exact$": ORIGINALS + 1}
    ax = plotting.reconstructions(ORIGINALS, machines, (2, 3), n=2)
    assert row_names(ax) == ["original", "cd", "$exact$"]
    assert error_texts(ax) == ["0.0100"] * 2 + ["1.00"] * 2
    assert ax.get_xlabel() == "first 2 of 5 samples"
    np.testing.assert_array_equal(drawn_images(ax)[4], (ORIGINALS[0] + 1).reshape(2, 3))
    assert len(ax.images) == 6


def test_all_pictures_have_the_scale_of_the_originals_shown():
    ax = plotting.reconstructions(ORIGINALS, ORIGINALS * 9, (2, 3), n=3)
    limits = {image.get_clim() for image in ax.images}
    assert limits == {(ORIGINALS[:3].min(), ORIGINALS[:3].max())}


def test_differences_have_one_scale_symmetric_about_zero(row_names):
    machines = {"low": ORIGINALS - 0.2, "high": ORIGINALS + 0.5}
    ax = plotting.reconstructions(ORIGINALS, machines, (2, 3), n=2, difference=True)
    assert row_names(ax) == ["original", "low", "difference", "high", "difference"]
    low, high = ax.images[4:6], ax.images[8:10]
    for drawn, shift in ((low, -0.2), (high, 0.5)):
        for image in drawn:
            np.testing.assert_allclose(image.get_array(), shift)
            np.testing.assert_allclose(image.get_clim(), (-0.5, 0.5))
    (bar,) = ax.child_axes
    assert bar.get_ylabel() == "reconstructed minus original"
    top = places(ax)[:, 1]
    assert (np.diff(top[::2]) > 0).all()


def test_perfect_reconstructions_have_white_differences():
    ax = plotting.reconstructions(ORIGINALS, ORIGINALS, (2, 3), difference=True)
    assert ax.images[-1].get_clim() == (-1, 1)
    assert not np.any(drawn_images(ax)[-1])


def test_reconstructions_in_colours(caplog):
    X = np.random.default_rng(3).normal(size=(2, 3, 4, 5))
    ax = plotting.reconstructions(X, X.reshape(2, -1) * 2, (3, 4, 5), difference=True)
    original, reconstructed, difference = drawn_images(ax)[::2]
    scaled = (X[0] - X.min()) / (X.max() - X.min())
    np.testing.assert_allclose(original, np.moveaxis(scaled, 0, -1))
    scaled = (2 * X[0] - X.min()) / (X.max() - X.min())
    np.testing.assert_allclose(reconstructed, np.moveaxis(np.clip(scaled, 0, 1), 0, -1))
    np.testing.assert_allclose(difference, X[0].mean(axis=0))
    assert error_texts(ax) == [f"{np.square(x).mean():.2f}" for x in X]
    assert not caplog.records  # matplotlib clips too, but says so


def test_labels_are_above_the_columns():
    labels = np.array([3, 1, 4, 1, 5])
    ax = plotting.reconstructions(ORIGINALS, ORIGINALS, (2, 3), labels=labels, n=3)
    above = [text for text in ax.texts if text.get_va() == "bottom"]
    assert [text.get_text() for text in above] == ["3", "1", "4"]
    left, top, width, _ = places(ax)[:3].T
    np.testing.assert_allclose([text.xy for text in above], np.transpose([left + width / 2, top]))
    assert ax.get_ylim()[1] < top.min() - 0.1


@pytest.mark.parametrize(
    ("X", "reconstructed", "options", "message"),
    [
        (ORIGINALS, ORIGINALS[:, :4], {}, "image_shape asks for 1x2x3 .* reconstructed has 4"),
        (ORIGINALS, ORIGINALS[:3], {}, "reconstructed has 3 entries, but there are 5 samples in X"),
        (ORIGINALS, {"a": ORIGINALS[:3]}, {}, r"reconstructed\['a'\] has 3 entries"),
        (ORIGINALS, {"a": ORIGINALS * np.inf}, {}, r"reconstructed\['a'\] holds NaN or inf"),
        (ORIGINALS, {}, {}, "reconstructed is empty: it has no machine"),
        (ORIGINALS, ORIGINALS, {"image_shape": (3, 3)}, "image_shape asks for 1x3x3 .* X has 6"),
        (ORIGINALS, ORIGINALS, {"image_shape": None}, "image_shape must be"),
        (ORIGINALS[0], ORIGINALS, {}, "X must have 2 or 3 or 4 axes"),
        (ORIGINALS * np.nan, ORIGINALS, {}, "X holds NaN"),
        (ORIGINALS[:0], ORIGINALS[:0], {}, "X is empty"),
        (ORIGINALS, ORIGINALS, {"labels": [1]}, "labels has 1 entries, but there are 5 samples"),
        (ORIGINALS, ORIGINALS, {"n": 0}, "n must be an integer of at least 1 or None"),
    ],
)
@pytest.mark.usefixtures("no_new_figure")
def test_bad_reconstructions(X, reconstructed, options, message):
    with pytest.raises(ValueError, match=message):
        plotting.reconstructions(X, reconstructed, **{"image_shape": (2, 3), **options})


@pytest.mark.parametrize("n", [1, 3, 40])
@pytest.mark.parametrize("difference", [False, True])
def test_all_of_a_grid_is_within_the_figure(n, difference, render):
    X = np.random.default_rng(0).uniform(size=(50, 64))
    options = {"labels": range(50), "difference": difference, "title": "A title"}
    for ax in (
        plotting.reconstructions(X, 1 - X, (8, 8), n=n, **options),
        plotting.reconstructions(X, {"a machine with a long name": X}, (8, 8), n=n, **options),
        plotting.filters(X, (8, 8), n=n, filter_names=range(50), scale="panel", title="A title"),
    ):
        figure = render(ax.figure)
        box = figure.get_tightbbox()
        assert box.x0 >= 0 and box.x1 <= figure.get_figwidth()
        assert box.y0 >= 0 and box.y1 <= figure.get_figheight()


# --- reconstruction error ------------------------------------------------------------------------


def curves(ax):
    return [np.column_stack([line.get_xdata(), line.get_ydata()]).tolist() for line in ax.lines]


def test_one_layer_is_one_line_without_a_legend():
    (ax,) = plotting.reconstruction_error(ERRORS).axes
    assert curves(ax) == [[[1, 0.4], [2, 0.2], [3, 0.1]]]
    assert ax.get_legend() is None and ax.get_title() == ""
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "reconstruction error")
    assert ax.get_xlim() == (0.5, 3.5) and ax.get_ylim()[0] == 0


def test_layers_of_one_method_are_lines_in_the_order_of_the_frame():
    (ax,) = plotting.reconstruction_error(LAYERS).axes
    assert curves(ax) == [[[1, 0.5], [2, 0.3], [3, 0.2]], [[1, 0.09], [2, 0.08]]]
    assert legend_texts(ax) == ["h2", "h1"]
    assert len({line.get_color() for line in ax.lines}) == 2
    colors = [handle.get_color() for handle in ax.get_legend().legend_handles]
    assert colors == [line.get_color() for line in ax.lines]


def test_a_single_named_method_is_named():
    (ax,) = plotting.reconstruction_error({"cd": LAYERS}).axes
    assert ax.get_legend().get_title().get_text() == "cd"
    (ax,) = plotting.reconstruction_error({"cd": ERRORS}).axes
    assert legend_texts(ax) == ["cd"]
    (ax,) = plotting.reconstruction_error({"cd": LAYERS[:3]}).axes
    assert legend_texts(ax) == ["cd"] and ax.get_title() == "h2"


def test_methods_share_a_panel_for_each_layer():
    other = LAYERS.assign(reconstruction_error=LAYERS["reconstruction_error"] / 2)
    figure = plotting.reconstruction_error({"cd": LAYERS, "exact": other}, title="Two rules")
    first, second = figure.axes
    assert [first.get_title(), second.get_title()] == ["h2", "h1"]
    assert curves(first) == [[[1, 0.5], [2, 0.3], [3, 0.2]], [[1, 0.25], [2, 0.15], [3, 0.1]]]
    assert curves(second) == [[[1, 0.09], [2, 0.08]], [[1, 0.045], [2, 0.04]]]
    assert first.get_xlim() == second.get_xlim()
    assert legend_texts(first) == ["cd", "exact"] and second.get_legend() is None
    colors = [[line.get_color() for line in ax.lines] for ax in figure.axes]
    assert colors[0] == colors[1] and colors[0][0] != colors[0][1]
    assert [first.get_ylabel(), second.get_ylabel()] == ["reconstruction error", ""]
    assert figure.get_suptitle() == "Two rules"


def test_a_method_may_lack_a_layer():
    deep = pd.concat([LAYERS, LAYERS[:1].assign(layer="h3")])
    *_, last = plotting.reconstruction_error({"cd": LAYERS, "exact": deep}).axes
    assert last.get_title() == "h3"
    (line,) = last.lines
    first = plotting.reconstruction_error({"cd": LAYERS, "exact": LAYERS}).axes[0]
    assert line.get_color() == first.lines[1].get_color()


@pytest.mark.usefixtures("no_new_figure")
def test_in_one_axes_layers_of_methods_have_line_styles():
    ax = Figure().subplots()
    plotting.reconstruction_error({"cd": LAYERS, "exact": LAYERS}, ax)
    assert len(ax.lines) == 4 and ax.get_title() == ""
    styles = [(line.get_color(), line.get_linestyle()) for line in ax.lines]
    assert len(set(styles)) == 4
    assert [style for _, style in styles] == ["-", "--"] * 2
    assert [color for color, _ in styles[::2]] == [color for color, _ in styles[1::2]]
    assert legend_texts(ax) == ["cd", "exact", "h2", "h1"]
    handles = ax.get_legend().legend_handles
    assert [handle.get_linestyle() for handle in handles] == ["-", "-", "-", "--"]


def test_lines_that_coincide_have_markers_at_different_epochs():
    for n_epochs in (3, 10, 90):
        frame = pd.DataFrame({"epoch": range(1, n_epochs + 1), "reconstruction_error": 0.5})
        (ax,) = plotting.reconstruction_error(dict.fromkeys("abc", frame)).axes
        marked = []
        for line in ax.lines:
            start, step = line.get_markevery()
            marked.append(set(range(n_epochs)[start::step]))
        assert all(marked) and sum(map(len, marked)) == len(set.union(*marked))
        assert max(map(len, marked)) <= 6
        assert len({line.get_marker() for line in ax.lines}) == 3


def test_a_logarithmic_scale_has_plain_numbers(render):
    figure = plotting.reconstruction_error(ERRORS, log=True)
    (ax,) = render(figure).axes
    assert ax.get_yscale() == "log"
    labels = [label.get_text() for label in ax.get_yticklabels(which="both")]
    assert {"0.1", "0.2"} <= set(labels)


@pytest.mark.parametrize(
    ("history", "message"),
    [
        (ERRORS[:0], r"history\['epoch'\] is empty"),
        (ERRORS[["epoch"]], r"history lacks the column\(s\) \['reconstruction_error'\]"),
        ({"cd": ERRORS.drop(columns="epoch")}, r"history\['cd'\] lacks the column"),
        ({}, "history is empty: it has no method"),
        (ERRORS.assign(reconstruction_error=np.nan), "'reconstruction_error'.* holds NaN"),
        (ERRORS.assign(epoch=[1, np.nan, 2]), r"history\['epoch'\] holds NaN"),
        (ERRORS.assign(epoch=range(3)), "'epoch'.* must be whole numbers from 1, got 0"),
        (ERRORS.assign(epoch=[1, 1.5, 2]), "whole numbers from 1, got 1.5"),
        (ERRORS.assign(epoch=[1, 2, 2]), "epoch 2 more than once: the column 'layer' is needed"),
        (LAYERS.assign(layer="h1"), "epoch 1 more than once: in layer 'h1'"),
        (ERRORS.assign(layer=["a", None, "a"]), r"history\['layer'\] has missing values"),
        (-1 * ERRORS.assign(epoch=[-1, -2, -3]), "must be at least 0, got -0.4"),
        ({"cd": ERRORS, "exact": LAYERS}, r"layers for some methods, but none for \['cd'\]"),
    ],
)
@pytest.mark.usefixtures("no_new_figure")
def test_bad_histories(history, message):
    with pytest.raises(ValueError, match=message):
        plotting.reconstruction_error(history)


@pytest.mark.usefixtures("no_new_figure")
def test_zero_has_no_logarithm():
    zero = ERRORS.assign(reconstruction_error=[0.1, 0.0, 0.2])
    with pytest.raises(ValueError, match="must be positive on a logarithmic scale, got 0"):
        plotting.reconstruction_error(zero, log=True)


@pytest.mark.usefixtures("no_new_figure")
def test_histories_are_frames():
    with pytest.raises(TypeError, match=r"history must be a DataFrame, got list"):
        plotting.reconstruction_error([0.1, 0.2])
    with pytest.raises(TypeError, match=r"history\['cd'\] must be a DataFrame, got list"):
        plotting.reconstruction_error({"cd": [0.1, 0.2]})


@pytest.mark.usefixtures("no_new_figure")
def test_panels_that_do_not_match():
    axes = Figure().subplots(1, 3)
    with pytest.raises(ValueError, match="ax must hold 2 Axes, one for each panel, got 3"):
        plotting.reconstruction_error({"cd": LAYERS, "exact": LAYERS}, axes)
