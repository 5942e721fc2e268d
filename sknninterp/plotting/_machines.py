"""Restricted Boltzmann machines: their filters, their reconstructions and how the error falls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sknninterp.plotting._common import (
    DIVERGING,
    LINE_STYLES,
    Names,
    as_images,
    axes_or_new,
    check_choice,
    check_columns,
    check_count,
    check_image_shape,
    check_length,
    check_positions,
    check_values,
    clear_spines,
    draw_picture,
    fit_figure,
    frame_tiles,
    integer_ticks,
    label_axis,
    legend,
    panels_or_new,
    relative,
    same_decimals,
    series_style,
    shorten,
    symmetric_limit,
    tile_box,
    tile_color_bar,
    tile_size,
    write_at_tile,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches between small images, and of the text at one.
_GAP, _TEXT = 0.06, 0.17
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_N_MARKERS = 6


def filters(
    weights: ArrayLike,
    image_shape: tuple[int, ...] | None = None,
    *,
    n: int = 64,
    order: str | Sequence[int] = "first",
    scale: str = "figure",
    channels: str = "separate",
    filter_names: Names | None = None,
    n_columns: int | None = None,
    ax: Axes | None = None,
    value_label: str = "weight",
    title: str | None = None,
) -> Axes:
    """Draw the weights of hidden units as small images, in colours that diverge from zero.

    Parameters
    ----------
    weights : array-like of shape (n_filters, n_features) or (n_filters, n_channels, height, width)
        One row for each hidden unit, such as `components_` of a machine or the weight of a
        `torch.nn.Linear`; or the weight of a convolution.
    image_shape : tuple of int, default=None
        ``(height, width)`` or ``(n_channels, height, width)`` of the image that the features are;
        not needed for a convolution, whose weight tells it.
    n : int, default=64
        Number of filters shown; None shows all.
    order : {"first", "norm"} or sequence of int, default="first"
        Which filters are shown: the first ones; those with the largest Euclidean norm, the largest
        first; or the ones at these positions, of which the first `n`.
    scale : {"figure", "panel"}, default="figure"
        ``"figure"`` gives all filters one scale of colours, so that weak filters are pale;
        ``"panel"`` divides every filter by its own largest magnitude, which shows patterns of weak
        filters too (and the noise of those that learned nothing).
    channels : {"separate", "sum"}, default="separate"
        Whether the channels of a filter lie side by side or are added up.
    filter_names : sequence of shape (n_filters,), default=None
        Names of all filters, drawn above those shown.
    n_columns : int, default=None
        Number of filters in a row; None makes the grid about square.
    ax : matplotlib.axes.Axes, default=None
        Where to draw; None draws into a new figure.
    value_label : str, default="weight"
        What the values are: the label of the colour bar.
    title : str, default=None
        Title of the plot.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    ValueError
        If `weights` is empty or not finite, if `image_shape`, `order` or `filter_names` does not
        fit it, if `scale` or `channels` is unknown, or if `n` or `n_columns` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from sknninterp.plotting import filters
    >>> weights = np.random.default_rng(0).normal(size=(100, 64))
    >>> ax = filters(weights, (8, 8), n=16, order="norm")
    >>> len(ax.images), ax.get_xlabel()
    (16, '16 of 100 filters, the largest norm first')
    """
    check_choice(scale, "scale", ("figure", "panel"))
    check_choice(channels, "channels", ("separate", "sum"))
    images = _filter_images(weights, image_shape)
    if filter_names is not None:
        check_length(filter_names, "filter_names", len(images), "filters")
    shown, note = _choose(images, order, n)
    images = images[shown]
    if channels == "sum":
        images = images.sum(axis=1, keepdims=True)
    if scale == "panel":
        images = relative(images, (1, 2, 3))
        value_label = f"{value_label}\n(share of filter's largest)"
    n_columns = min(check_count(n_columns, "n_columns", _square(images.shape)), len(images))
    names = None if filter_names is None else [list(filter_names)[i] for i in shown]
    new, ax = ax is None, axes_or_new(ax, 4, 3)
    tile_color_bar(ax, _draw_filters(ax, images, n_columns, names), value_label)
    label_axis(ax, note, title=title)
    if new:
        fit_figure(ax)
    return ax


def _filter_images(weights, image_shape):
    """Return the filters, shape (n_filters, n_channels, height, width)."""
    weights = check_values(weights, "weights", (2, 4))
    if image_shape is None:
        if weights.ndim == 2:
            raise ValueError("image_shape is needed, unless weights are those of a convolution.")
        return weights
    shape = check_image_shape(image_shape)
    if weights.ndim == 4 and weights.shape[1:] != shape:
        raise ValueError(
            f"image_shape is {image_shape}, but weights has filters of shape {weights.shape[1:]}."
        )
    return as_images(weights, "weights", shape)


def _choose(images, order, n):
    """Return the positions of the filters to show, and a note that says which those are."""
    n_filters = len(images)
    n = check_count(n, "n", n_filters)
    if not isinstance(order, str):
        shown = check_positions(order, "order", n_filters, "filters").reshape(-1)[:n]
        if not len(shown):
            raise ValueError("order is empty: it has no filter to draw.")
        return shown, f"{len(shown):,} of {n_filters:,} filters"
    check_choice(order, "order", ("first", "norm"))
    if order == "first":
        note = f"first {n:,} of {n_filters:,} filters" if n < n_filters else ""
        return np.arange(n_filters)[:n], note
    norms = np.linalg.norm(images.reshape(n_filters, -1), axis=1)
    shown = np.argsort(-norms, kind="stable")[:n]
    return shown, f"{len(shown):,} of {n_filters:,} filters, the largest norm first"


def _square(shape):
    """Return how many filters a row of a square grid has, the channels of each side by side."""
    n_filters, n_channels, height, width = shape
    return max(round(np.sqrt(n_filters * height / (n_channels * width))), 1)


def _draw_filters(ax, images, n_columns, names):
    """Lay out the filters on a grid, the channels of each side by side."""
    _, n_channels, *shape = images.shape
    height, width = tile_size(shape, n_columns * n_channels)
    top = 0 if names is None else _TEXT
    step_x, step_y = n_channels * width + _GAP, top + height + _GAP
    limit = symmetric_limit(images)
    colors = {"cmap": DIVERGING, "vmin": -limit, "vmax": limit, "interpolation": "nearest"}
    boxes = []
    for position, channels in enumerate(images):
        x, y = position % n_columns * step_x, position // n_columns * step_y
        box = tile_box(x, y, height, n_channels * width)
        drawn = ax.imshow(np.hstack(channels), extent=box, **colors)
        boxes += [tile_box(x + i * width, y, height, width) for i in range(n_channels)]
        if names is not None:
            write_at_tile(ax, names[position], box)
    frame_tiles(ax, boxes, top)
    return drawn


def reconstructions(
    X: ArrayLike,
    reconstructed: ArrayLike | dict,
    image_shape: tuple[int, ...],
    *,
    n: int = 10,
    labels: Names | None = None,
    difference: bool = False,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw images above what machines make of them, with the mean squared error of each.

    All pictures share one scale, from the smallest to the largest value of the originals shown;
    what lies beyond has the colour of its end. Bright is dark ink, as in other pictures of images.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features) or (n_samples, [n_channels,] height, width)
        The originals.
    reconstructed : array-like of the shape of `X`, or dict of {str: such an array}
        What a machine makes of them, or several machines by name.
    image_shape : tuple of int
        ``(height, width)`` or ``(n_channels, height, width)``. Three channels are red, green and
        blue; any other number is averaged.
    n : int, default=10
        Number of samples shown: the first ones; None shows all.
    labels : sequence of shape (n_samples,), default=None
        Names of the samples, such as their classes, above the columns.
    difference : bool, default=False
        Whether the reconstruction minus the original (the mean over the channels) is shown below
        each reconstruction, in colours that diverge from zero.
    ax : matplotlib.axes.Axes, default=None
        Where to draw; None draws into a new figure.
    title : str, default=None
        Title of the plot.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn: a column for each sample.

    Raises
    ------
    ValueError
        If `X` or `reconstructed` is empty or not finite or has another shape, if `image_shape` or
        `labels` does not fit `X`, or if `n` is not a positive integer.

    References
    ----------
    A. Kroschanka and V. Golovko, *Neural Networks Interpretation Improvement*.

    Examples
    --------
    >>> import numpy as np
    >>> from sknninterp.plotting import reconstructions
    >>> X = np.random.default_rng(0).uniform(size=(4, 64))
    >>> ax = reconstructions(X, {"cd": 0.9 * X, "exact": X}, (8, 8))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['original', 'cd', 'exact']
    """
    shape = check_image_shape(image_shape)
    X = as_images(check_values(X, "X", (2, 3, 4)), "X", shape)
    machines = _check_reconstructed(reconstructed, X)
    if labels is not None:
        check_length(labels, "labels", len(X), "samples")
    n_samples, n = len(X), min(check_count(n, "n", len(X)), len(X))
    X, machines = X[:n], {name: images[:n] for name, images in machines.items()}
    boxes = _boxes(shape[1:], n, len(machines), difference)
    new, ax = ax is None, axes_or_new(ax, 4, 3)
    _draw_rows(ax, X, machines, boxes, difference)
    if labels is not None:
        for name, box in zip(labels, boxes[0], strict=False):
            write_at_tile(ax, name, box)
    top, bottom = _TEXT * (labels is not None), _TEXT * (not difference)
    frame_tiles(ax, np.concatenate(boxes), top, bottom)
    _name_rows(ax, machines, boxes, difference)
    if difference:
        tile_color_bar(ax, ax.images[-1], "reconstructed minus original")
    label_axis(ax, f"first {n:,} of {n_samples:,} samples" if n < n_samples else "", title=title)
    if new:
        fit_figure(ax)
    return ax


def _check_reconstructed(reconstructed, X):
    """Return the reconstructions by the name of the machine, of the shape of `X` each."""
    several = isinstance(reconstructed, Mapping)
    if several and not reconstructed:
        raise ValueError("reconstructed is empty: it has no machine to draw.")
    machines = {}
    for name, values in (reconstructed if several else {"reconstruction": reconstructed}).items():
        parameter = f"reconstructed[{name!r}]" if several else "reconstructed"
        values = check_values(values, parameter, (2, 3, 4))
        check_length(values, parameter, len(X), "samples in X")
        machines[name] = as_images(values, parameter, X.shape[1:])
    return machines


def _boxes(shape, n, n_machines, difference):
    """Return the boxes of the images by row; there is room for errors below reconstructions."""
    height, width = tile_size(shape, n)
    steps = [height + _GAP] + [height + _TEXT, height + _GAP][: 1 + difference] * n_machines
    tops = np.concatenate([[0], np.cumsum(steps[:-1])])
    return [[tile_box(i * (width + _GAP), y, height, width) for i in range(n)] for y in tops]


def _draw_rows(ax, X, machines, boxes, difference):
    """Draw the pictures, and the errors below the reconstructions."""
    options = {"low": X.min(), "high": X.max(), "interpolation": "nearest"}
    # One scale, so that machines can be compared.
    limit = max(symmetric_limit((images - X).mean(axis=1)) for images in machines.values())
    colors = {"cmap": DIVERGING, "vmin": -limit, "vmax": limit, "interpolation": "nearest"}
    rows = iter(boxes)
    for picture, box in zip(X, next(rows), strict=True):
        draw_picture(ax, picture, extent=box, **options)
    for images in machines.values():
        errors = np.square(images - X).mean(axis=(1, 2, 3))
        for picture, error, box in zip(images, same_decimals(errors), next(rows), strict=True):
            draw_picture(ax, picture, extent=box, **options)
            write_at_tile(ax, error, box, below=True)
        if difference:
            for rest, box in zip((images - X).mean(axis=1), next(rows), strict=True):
                ax.imshow(rest, extent=box, **colors)


def _name_rows(ax, machines, boxes, difference):
    """Name the rows of pictures, and say what the numbers below the reconstructions are."""
    names = ["original"]
    for name in machines:
        names += [shorten(name, 24), "difference"][: 1 + difference]
    middles = [(row[0][2] + row[0][3]) / 2 for row in boxes]
    ax.set_yticks(middles, names, parse_math=False)
    ax.tick_params(axis="y", length=0)
    for row in boxes[1 :: 1 + difference]:
        style = {"ha": "right", "va": "top", "fontsize": 7, "color": "0.35"}
        place = {"xy": row[0][::2], "xytext": (-4, -2), "textcoords": "offset points"}
        ax.annotate("mean squared error", **place, **style)


def reconstruction_error(
    history: pd.DataFrame | dict,
    ax: Axes | Sequence[Axes] | np.ndarray | None = None,
    *,
    log: bool = False,
    title: str | None = None,
) -> Figure:
    """Draw the reconstruction error of each epoch of the pretraining, layer by layer.

    The lines of a single method are its layers. The lines of several methods are the methods, in a
    panel for each layer, since errors of different layers are not of one size.

    Parameters
    ----------
    history : DataFrame, one row an epoch and layer, or dict of {str: DataFrame}
        With the columns ``epoch`` (from 1), ``reconstruction_error`` and, unless there is one layer
        only, ``layer``. A dict has one for each method, by name.
    ax : matplotlib.axes.Axes or sequence of them, default=None
        Where to draw: one Axes, in which layers of several methods have line styles, or one for
        each panel; None draws into a new figure.
    log : bool, default=False
        Whether the errors have a logarithmic scale; the linear one begins at 0.
    title : str, default=None
        Title of the figure (drawn only into a new one).

    Returns
    -------
    matplotlib.figure.Figure
        With one panel, or one for each layer.

    Raises
    ------
    ValueError
        If a frame is empty, lacks a column or holds NaN, or only some of them have layers, if an
        epoch is no whole number from 1 or is there twice, if an error is negative (on a logarithmic
        scale: not positive), or if `ax` does not hold one Axes for each panel.
    TypeError
        If `history` holds anything but frames.

    References
    ----------
    A. Kroschanka and V. Golovko, *Neural Networks Interpretation Improvement*.

    Examples
    --------
    >>> import pandas as pd
    >>> from sknninterp.plotting import reconstruction_error
    >>> history = pd.DataFrame(
    ...     {"epoch": [1, 2, 1, 2], "layer": ["h1", "h1", "h2", "h2"],
    ...      "reconstruction_error": [0.09, 0.04, 0.05, 0.03]}
    ... )
    >>> (ax,) = reconstruction_error(history).axes
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['h1', 'h2']
    >>> [ax.get_title() for ax in reconstruction_error({"cd": history, "exact": history}).axes]
    ['h1', 'h2']
    """
    curves = _check_history(history, log)
    methods, layers = (list(dict.fromkeys(names)) for names in zip(*curves, strict=True))
    one_given = ax is not None and np.size(np.asarray(ax, dtype=object)) == 1
    n_panels = 1 if len(methods) == 1 or one_given else len(layers)
    figure, panels = panels_or_new(ax, n_panels, 3.4 if n_panels > 1 else 4.6, 3.2)
    combined = len(methods) > 1 and len(layers) > n_panels
    n_styles = len(layers if len(methods) == 1 else methods)
    for (method, layer), errors in curves.items():
        place = layers.index(layer)
        position = place if len(methods) == 1 else methods.index(method)
        style = {**_line_style(position), "markevery": _marked(position, n_styles, len(errors))}
        if combined:
            style["linestyle"] = LINE_STYLES[place % len(LINE_STYLES)]
        panels[place % n_panels].plot(errors.index, errors, **style)
    last = max(errors.index.max() for errors in curves.values())
    for position, panel in enumerate(panels):
        if len(layers) == n_panels and layers[position] is not None:
            panel.set_title(shorten(layers[position], 24), fontsize="medium", parse_math=False)
        # A new figure has three panels in a row, which share the label on the left.
        _finish_errors(panel, last, log, labelled=ax is not None or position % 3 == 0)
    _label_lines(panels[0], methods, layers, combined)
    if ax is None and title is not None:
        figure.suptitle(title, parse_math=False)
    return figure


def _line_style(position):
    marker = {"marker": _MARKERS[position % len(_MARKERS)], "markeredgecolor": "white"}
    return {**series_style(position), "linewidth": 1.6, **marker}


def _marked(position, n_lines, n_epochs):
    """Return which epochs have a marker; other lines have theirs elsewhere."""
    # Hybrid training begins exactly as its first rule does.
    step = max(n_lines, -(-n_epochs // _N_MARKERS))
    return (position * step // n_lines % n_epochs, step)


def _check_history(history, log):
    """Return the errors, with the epochs as index, by method and layer (None if there is none)."""
    several = isinstance(history, Mapping)
    if several and not history:
        raise ValueError("history is empty: it has no method to draw.")
    curves = {}
    for method, frame in (history if several else {None: history}).items():
        name = f"history[{method!r}]" if several else "history"
        if not isinstance(frame, pd.DataFrame):
            raise TypeError(f"{name} must be a DataFrame, got {type(frame).__name__}.")
        for layer, errors in _errors_of_layers(frame, name, log).items():
            curves[method, layer] = errors
    without = [method for method, layer in curves if layer is None]
    if 0 < len(without) < len(curves):
        raise ValueError(f"history has layers for some methods, but none for {without}.")
    return curves


def _errors_of_layers(frame, name, log):
    """Return the errors by layer, with the epochs, in order, as index."""
    columns = ["epoch", "reconstruction_error"]
    check_columns(frame, columns, name)
    epochs, errors = (check_values(frame[c], f"{name}[{c!r}]", (1,)) for c in columns)
    wrong = epochs[(epochs < 1) | (epochs != np.round(epochs))]
    if wrong.size:
        raise ValueError(f"{name}['epoch'] must be whole numbers from 1, got {wrong[0]:g}.")
    if (errors < 0).any() or (log and (errors == 0).any()):
        sign = "positive on a logarithmic scale" if log else "at least 0"
        raise ValueError(f"{name}['reconstruction_error'] must be {sign}, got {errors.min():g}.")
    curve = pd.Series(errors, index=epochs.astype(int))
    by_layer = {None: curve}
    if "layer" in frame.columns:
        if frame["layer"].isna().any():
            raise ValueError(f"{name}['layer'] has missing values.")
        by_layer = dict(list(curve.groupby(frame["layer"].to_numpy(), sort=False)))
    for layer, rows in by_layer.items():
        if rows.index.has_duplicates:
            twice = rows.index[rows.index.duplicated()][0]
            of = "the column 'layer' is needed" if layer is None else f"in layer {layer!r}"
            raise ValueError(f"{name} has epoch {twice} more than once: {of}.")
    return {layer: rows.sort_index() for layer, rows in by_layer.items()}


def _finish_errors(ax, last, log, labelled):
    """Scale and label the axes of one panel."""
    ax.set_xlim(0.5, last + 0.5)
    ax.set_xlabel("epoch")
    integer_ticks(ax.xaxis)
    if log:
        from matplotlib.ticker import LogLocator

        ax.set_yscale("log")
        ax.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("{x:g}")
    else:
        ax.set_ylim(bottom=0)
    if labelled:
        ax.set_ylabel("reconstruction error")
    clear_spines(ax)


def _label_lines(ax, methods, layers, combined):
    """Draw a legend of what the lines are, if there is more than one or it has a name."""
    from matplotlib.lines import Line2D

    one_method = len(methods) == 1 and len(layers) > 1
    names = layers if one_method else methods
    if names == [None]:
        return
    styles = [_line_style(i) for i in range(len(names))]
    if combined:
        names = [*names, *layers]
        dashes = [LINE_STYLES[i % len(LINE_STYLES)] for i in range(len(layers))]
        styles += [{"color": "0.35", "linestyle": dash} for dash in dashes]
    handles = [Line2D([], [], **style) for style in styles]
    legend(ax, handles, names, title=methods[0] if one_method else None, loc="best")
