"""Attributions of images, a panel for each sample and output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from sknninterp.plotting._common import (
    DIVERGING,
    SEQUENTIAL,
    Names,
    axes_or_new,
    check_choice,
    check_length,
    check_max_display,
    check_values,
    draw_picture,
    grey,
    new_figure,
    relative,
    shorten,
    symmetric_limit,
    wrap,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def image(
    values: ArrayLike,
    data: ArrayLike | None = None,
    *,
    output_names: Names | str | None = None,
    sample_names: Names | None = None,
    signed: bool = True,
    scale: str = "figure",
    show_data: bool = True,
    ax: Axes | None = None,
    max_display: int = 8,
    value_label: str = "contribution",
    title: str | None = None,
) -> Figure | Axes:
    """Draw attributions of images: a row for each sample, a column for each output.

    Channels are added up. Signed attributions have colours that diverge from zero, which is white;
    unsigned ones a single hue for their magnitude. The outline of the data (the contour halfway
    between its darkest and its brightest pixel) is drawn over the attributions of images with one
    channel; images with more channels lie in grey beneath them.

    Parameters
    ----------
    values : array-like of shape (n_samples, [n_channels,] height, width[, n_outputs])
        Attributions. The last axis is there if `output_names` is a sequence.
    data : array-like of shape (n_samples, [n_channels,] height, width), default=None
        The images.
    output_names : sequence or str, default=None
        Names of the outputs along the last axis; None or a single name if there is no such axis.
    sample_names : sequence of shape (n_samples,), default=None
        Names of the samples.
    signed : bool, default=True
        Whether the sign of a value means something; if not, magnitudes are drawn.
    scale : {"figure", "panel"}, default="figure"
        ``"figure"`` gives all panels one scale of colours, so that they can be compared;
        ``"panel"`` divides every panel by its own largest magnitude, which shows the pattern of
        outputs with small values too.
    show_data : bool, default=True
        Whether the images themselves are the first column (where there are `data` and `ax` is
        None).
    ax : matplotlib.axes.Axes, default=None
        Where to draw a single panel; None draws into a new figure.
    max_display : int, default=8
        Number of samples shown: the first ones.
    value_label : str, default="contribution"
        What the values measure: the label of the colour bar.
    title : str, default=None
        Title of the figure.

    Returns
    -------
    matplotlib.figure.Figure or matplotlib.axes.Axes
        The figure; `ax`, if that was given.

    Raises
    ------
    ValueError
        If `values` is empty or not finite or has another shape, if `data`, `output_names` or
        `sample_names` do not fit it, if `scale` is unknown, or if `ax` is given and there is more
        than one panel.

    Examples
    --------
    >>> import numpy as np
    >>> from sknninterp.plotting import image
    >>> digits = np.random.default_rng(0).uniform(size=(2, 8, 8))
    >>> figure = image(np.stack([digits, -digits], axis=-1), digits, output_names=["0", "1"])
    >>> len(figure.axes)  # two samples x (the data and two outputs), and the colour bar
    7
    """
    max_display = check_max_display(max_display)
    check_choice(scale, "scale", ("figure", "panel"))
    values = _check_axes(values, output_names)
    panels, outputs = _panels(values, output_names, signed)
    if data is not None:
        data = _check_images(data, values.shape[: values.ndim - (len(outputs) > 0)])[:max_display]
    names = list(range(len(panels)) if sample_names is None else sample_names)
    check_length(names, "sample_names", len(panels), "samples")
    n_samples, panels = len(panels), panels[:max_display]
    label = value_label if signed else f"magnitude of {value_label}"
    if scale == "panel":
        panels = relative(panels, (2, 3))
        label = f"{label}\n(share of panel's largest)"
    axes = _grid(ax, panels, show_data and data is not None)
    colors = _draw_panels(axes, panels, data, signed)
    _label_grid(axes, names, outputs or [output_names], panels.shape[1])
    figure = axes[0, 0].figure
    bar = figure.colorbar(colors, ax=list(axes.flat), aspect=25, pad=0.02)
    bar.set_label(wrap(label, 32), parse_math=False)
    if len(panels) < n_samples:
        figure.supxlabel(f"first {len(panels):,} of {n_samples:,} samples", fontsize="medium")
    if ax is not None:
        if title is not None:
            ax.set_title(title, parse_math=False)
        return ax
    if title is not None:
        figure.suptitle(title, parse_math=False)
    return figure


def _check_axes(values, output_names) -> np.ndarray:
    """Return the checked values, their last axis the outputs if `output_names` is a sequence."""
    has_outputs = _is_sequence(output_names)
    values = check_values(values, "values", (4, 5) if has_outputs else (3, 4))
    if has_outputs:
        check_length(output_names, "output_names", values.shape[-1], "outputs along the last axis")
    return values


def _is_sequence(names):
    return names is not None and np.ndim(names) > 0


def _panels(values, output_names, signed):
    """Return the panels, shape (n_samples, n_columns, height, width), and the outputs' names."""
    if not signed:
        values = np.abs(values)
    outputs = list(output_names) if _is_sequence(output_names) else []
    if not outputs:
        values = values[..., None]
    if values.ndim == 5:
        values = values.sum(axis=1)
    return np.moveaxis(values, -1, 1), outputs


def _check_images(data, shape) -> np.ndarray:
    """Return the images as floats of shape (n_samples, n_channels, height, width)."""
    data = check_values(data, "data", (3, 4))
    if data.shape != shape:
        raise ValueError(f"data has shape {data.shape}, but values are of images of shape {shape}.")
    return data[:, None] if data.ndim == 3 else data


def _grid(ax, panels, with_data):
    """Return an array of Axes, a row for each sample: the given one, or a new figure's."""
    n_rows, n_columns, height, width = panels.shape
    if ax is not None:
        if n_rows * n_columns > 1:
            raise ValueError(
                f"ax holds one panel, but there are {n_rows} sample(s) x {n_columns} output(s): "
                "leave ax out, or choose one sample and one output."
            )
        return np.array([[axes_or_new(ax, 0, 0)]])
    n_columns += with_data
    figure = new_figure(
        1.5 * n_columns * min(width / height, 3) + 1.5, 1.5 * n_rows * min(height / width, 3) + 0.8
    )
    return figure.subplots(n_rows, n_columns, squeeze=False)


def _draw_panels(axes, panels, data, signed):
    """Fill the grid and return what its colour bar shows."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    limit = symmetric_limit(panels)
    colors = ScalarMappable(
        Normalize(-limit if signed else 0, limit), DIVERGING if signed else SEQUENTIAL
    )
    first = axes.shape[1] - panels.shape[1]
    for row, samples in enumerate(panels):
        picture: Any = None if data is None else data[row]
        if first:
            draw_picture(axes[row, 0], picture)
        for column, panel in enumerate(samples):
            _draw_panel(axes[row, first + column], panel, picture, colors)
    for one in axes.flat:
        one.set_xticks([])
        one.set_yticks([])
    return colors


def _draw_panel(ax, panel, picture, colors):
    alpha = None
    if picture is not None and len(picture) > 1:
        greys = grey(picture)
        # From mid-grey on, so that the colours stay readable on dark parts.
        ax.imshow(greys, cmap="gray", vmin=2 * greys.min() - greys.max(), vmax=greys.max())
        # Over a photograph: see-through where the attribution is small.
        alpha = np.sqrt(np.abs(panel) / colors.norm.vmax)
    ax.imshow(panel, cmap=colors.cmap, norm=colors.norm, alpha=alpha, interpolation="nearest")
    if picture is not None and len(picture) == 1 and np.ptp(picture) > 0 and min(panel.shape) > 1:
        halfway = (picture.min() + picture.max()) / 2
        ax.contour(picture[0], levels=[halfway], colors="0.25", linewidths=0.6)


def _label_grid(axes, sample_names, outputs, n_columns):
    """Name the outputs above the columns and the samples beside the rows."""
    first = axes.shape[1] - n_columns
    if first:
        axes[0, 0].set_title("data", fontsize="medium")
    for column, output in enumerate(outputs):
        if output is not None:
            axes[0, first + column].set_title(
                shorten(output, 16), fontsize="medium", parse_math=False
            )
    for row, name in zip(axes, sample_names, strict=False):
        row[0].set_ylabel(shorten(name, 16), parse_math=False)
