"""What all plots share: new figures, colours, names that fit, checks."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from numbers import Integral

import numpy as np

# Okabe and Ito's palette, which stays apart under the common colour vision deficiencies; black is
# kept for text and yellow, which is faint on white, comes last.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442")
NEUTRAL = "#8c8c8c"
# The ends of ColorBrewer's red-blue scheme, so that bars and signed colormaps agree.
POSITIVE, NEGATIVE = "#b2182b", "#2166ac"
DIVERGING, SEQUENTIAL = "RdBu_r", "Greens"

NAME_LENGTH = 40
LINE_STYLES = ("-", "--", ":", "-.")


def new_figure(width, height):
    """Return an empty figure of the given size in inches, pyplot's current one from now on."""
    # Through pyplot, which is how notebooks, galleries and `plt.show` learn of a figure.
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Plots are drawn with matplotlib, which is not installed: pip install sknninterp[plots]"
        ) from error
    figure = plt.figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    return figure


def axes_or_new(ax, width, height):
    """Return `ax` if it is an Axes, or the only Axes of a new figure if it is None."""
    if ax is None:
        return new_figure(width, height).add_subplot()
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be a matplotlib Axes or None, got {type(ax).__name__}.")
    return ax


def panels_or_new(ax, n_panels, width, height):
    """Return the figure and a list of `n_panels` Axes, given or new, of the given size each."""
    if ax is None:
        n_columns = min(n_panels, 3)
        n_rows = -(-n_panels // n_columns)
        figure = new_figure(width * n_columns, height * n_rows)
        axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
        for unused in axes[n_panels:]:
            unused.remove()
        return figure, list(axes[:n_panels])
    panels = [axes_or_new(one, 0, 0) for one in np.ravel(np.asarray(ax, dtype=object))]
    if len(panels) != n_panels:
        raise ValueError(f"ax must hold {n_panels} Axes, one for each panel, got {len(panels)}.")
    return panels[0].figure, panels


def check_max_display(max_display):
    """Return `max_display` as an int; anything but a positive integer is a ValueError."""
    if not isinstance(max_display, Integral) or isinstance(max_display, bool) or max_display < 1:
        raise ValueError(f"max_display must be an integer of at least 1, got {max_display!r}.")
    return int(max_display)


def check_values(values, name, ndim):
    """Return `values` as a finite, non-empty float array with one of the numbers of axes `ndim`."""
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be numbers: {error}") from error
    if array.ndim not in ndim:
        expected = " or ".join(str(n) for n in ndim)
        raise ValueError(f"{name} must have {expected} axes, got shape {array.shape}.")
    if array.size == 0:
        raise ValueError(f"{name} is empty: its shape is {array.shape}, so nothing can be drawn.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinite numbers.")
    return array


def check_length(values, name, length, of):
    """Raise a ValueError unless `values` has one entry for each of `length` things."""
    if len(values) != length:
        raise ValueError(f"{name} has {len(values)} entries, but there are {length} {of}.")


def check_columns(frame, required, name):
    """Raise a ValueError that lists the columns which `frame` lacks."""
    missing = [column for column in required if column not in frame.columns]
    if missing:
        raise ValueError(
            f"{name} lacks the column(s) {missing}; it has {[str(c) for c in frame.columns]}."
        )


def feature_labels(feature_names, n_features):
    """Return the names of the features, ``x0, x1, ...`` where none are given."""
    if feature_names is None:
        return [f"x{i}" for i in range(n_features)]
    check_length(feature_names, "feature_names", n_features, "features")
    return [str(name) for name in feature_names]


def shorten(name, length=NAME_LENGTH):
    """Return `name` on one line, its middle cut out if it is longer than `length` characters.

    Both ends stay, because what one column became (``code=428``, ``code=250.01``) often differs
    only at the end.
    """
    name = " ".join(str(name).split())
    if len(name) <= length:
        return name
    head = (length - 1) * 2 // 3
    return f"{name[:head]}…{name[head + 1 - length :]}"


def wrap(label, width=56):
    """Break a label into lines, since layouts leave no room for what is longer than its axis."""
    return "\n".join(textwrap.fill(line, width) for line in label.splitlines())


def label_rows(ax, labels: Sequence[str]):
    """Name the rows 0, 1, ... of `ax`, the first on top."""
    # A "$" in a column's name is a dollar sign, not the start of a formula.
    ax.set_yticks(range(len(labels)), [shorten(label) for label in labels], parse_math=False)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)


def label_axis(ax, label, shown=None, total=None, title=None):
    """Label the x axis of `ax`, saying so if only some of the features are shown."""
    label = wrap(label)
    if shown is not None and shown < total:
        label = f"{label}\n({shown:,} of {total:,} features shown)"
    ax.set_xlabel(label, parse_math=False)
    if title is not None:
        ax.set_title(title, parse_math=False)


def integer_ticks(axis):
    """Put the ticks of an axis on whole numbers only, a single one if there is no second."""
    axis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def clear_spines(ax, sides=("top", "right")):
    """Hide the given sides of the frame of `ax`."""
    ax.spines[list(sides)].set_visible(False)


def legend(ax, handles, labels, **options):
    """Draw a legend whose labels are taken literally."""
    # matplotlib leaves out labels that start with an underscore; a zero-width space keeps them.
    labels = [shorten(label, 24) for label in labels]
    labels = [f"\u200b{label}" if label.startswith("_") else label for label in labels]
    drawn = ax.legend(handles, labels, frameon=False, **options)
    for text in drawn.get_texts():
        text.set_parse_math(False)
    return drawn


def series_style(position):
    """Return colour and line style for the series at `position`, distinct for 28 of them."""
    return {
        "color": PALETTE[position % len(PALETTE)],
        "linestyle": LINE_STYLES[position // len(PALETTE) % len(LINE_STYLES)],
    }


def symmetric_limit(values):
    """Return the largest magnitude in `values`, or 1 where all are zero."""
    return float(np.abs(values).max()) or 1.0
