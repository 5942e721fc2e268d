"""What all plots share: new figures, colours, names that fit, checks."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence, Sized
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

Names: TypeAlias = Sequence | np.ndarray  # of columns, samples or outputs

# Okabe and Ito's palette, which stays apart under the common colour vision deficiencies; black is
# kept for text and yellow, which is faint on white, comes last.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442")
NEUTRAL = "#8c8c8c"
# The ends of ColorBrewer's red-blue scheme, so that bars and signed colormaps agree.
POSITIVE, NEGATIVE = "#b2182b", "#2166ac"
DIVERGING, SEQUENTIAL = "RdBu_r", "Greens"

NAME_LENGTH = 40
LINE_STYLES = ("-", "--", ":", "-.")

# The luminance of ITU-R BT.601, which also matplotlib and Pillow use.
_LUMINANCE = np.array([0.299, 0.587, 0.114])


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of the given size in inches, pyplot's current one from now on."""
    # Through pyplot, which is how notebooks, galleries and `plt.show` learn of a figure.
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Plots are drawn with matplotlib, which is not installed: pip install sknninterp[plots]"
        ) from error
    figure = plt.figure(figsize=(width, height), layout="constrained")
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=0.08, h_pad=0.08)
    return figure


def axes_or_new(ax: Axes | None, width: float, height: float) -> Axes:
    """Return `ax` if it is an Axes, or the only Axes of a new figure if it is None."""
    if ax is None:
        return new_figure(width, height).add_subplot()
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be a matplotlib Axes or None, got {type(ax).__name__}.")
    return ax


def panels_or_new(ax: Any, n_panels: int, width: float, height: float) -> tuple[Any, list[Axes]]:
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


def check_choice(value: Any, name: str, choices: Sequence[str]) -> None:
    """Raise a ValueError unless `value` is one of the strings in `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}, got {value!r}.")


def check_max_display(max_display: Any) -> int:
    """Return `max_display` as an int; anything but a positive integer is a ValueError."""
    return check_count(max_display, "max_display")


def check_count(value: Any, name: str, default: int | None = None) -> int:
    """Return `value` as a positive int, or the `default`, where there is one, if it is None."""
    if value is None and default is not None:
        return default
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        optional = " or None" if default is not None else ""
        raise ValueError(f"{name} must be an integer of at least 1{optional}, got {value!r}.")
    return int(value)


def check_positions(values: ArrayLike, name: str, length: int, of: str) -> np.ndarray:
    """Return `values` as an array of positions among `length` things."""
    positions = np.asarray(values)
    whole = positions.dtype.kind in "iu" or positions.size == 0
    if not whole or ((positions < 0) | (positions >= length)).any():
        allowed = f"positions of {of}, integers from 0 to {length - 1}"
        raise ValueError(f"{name} must be {allowed}, got {values!r}.")
    return positions.astype(int)


def check_values(values: ArrayLike, name: str, ndim: Sequence[int]) -> np.ndarray:
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


def check_length(values: Sized, name: str, length: int, of: str) -> None:
    """Raise a ValueError unless `values` has one entry for each of `length` things."""
    if len(values) != length:
        raise ValueError(f"{name} has {len(values)} entries, but there are {length} {of}.")


def check_columns(frame: Any, required: Sequence[str], name: str) -> None:
    """Raise a ValueError that lists the columns which `frame` lacks."""
    missing = [column for column in required if column not in frame.columns]
    if missing:
        raise ValueError(
            f"{name} lacks the column(s) {missing}; it has {[str(c) for c in frame.columns]}."
        )


def feature_labels(feature_names: Names | None, n_features: int) -> list[str]:
    """Return the names of the features, ``x0, x1, ...`` where none are given."""
    if feature_names is None:
        return [f"x{i}" for i in range(n_features)]
    check_length(feature_names, "feature_names", n_features, "features")
    return [str(name) for name in feature_names]


def shorten(name: str, length: int = NAME_LENGTH) -> str:
    """Return `name` on one line, its middle cut out if it is longer than `length` characters.

    Both ends stay, because what one column became (``code=428``, ``code=250.01``) often differs
    only at the end.
    """
    name = " ".join(str(name).split())
    if len(name) <= length:
        return name
    head = (length - 1) * 2 // 3
    return f"{name[:head]}…{name[head + 1 - length :]}"


def wrap(label: str, width: int = 56) -> str:
    """Break a label into lines, since layouts leave no room for what is longer than its axis."""
    return "\n".join(textwrap.fill(line, width) for line in label.splitlines())


def label_rows(ax: Axes, labels: Sequence[str]) -> None:
    """Name the rows 0, 1, ... of `ax`, the first on top."""
    # A "$" in a column's name is a dollar sign, not the start of a formula.
    ax.set_yticks(range(len(labels)), [shorten(label) for label in labels], parse_math=False)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)


def label_axis(
    ax: Axes,
    label: str,
    shown: int | None = None,
    total: int | None = None,
    title: str | None = None,
) -> None:
    """Label the x axis of `ax`, saying so if only some of the features are shown."""
    label = wrap(label)
    if shown is not None and total is not None and shown < total:
        label = f"{label}\n({shown:,} of {total:,} features shown)"
    ax.set_xlabel(label, parse_math=False)
    if title is not None:
        ax.set_title(title, parse_math=False)


def integer_ticks(axis: Any) -> None:
    """Put the ticks of an axis on whole numbers only, a single one if there is no second."""
    axis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def same_decimals(values: np.ndarray) -> list[str]:
    """Return numbers as strings, with as many decimals as the largest needs for three digits."""
    largest = values.max()
    if largest > 0 and not 1e-3 <= largest < 1e4:
        return [f"{value:.1e}" for value in values]
    decimals = max(2 - int(np.floor(np.log10(largest or 1))), 0)
    return [f"{value:.{decimals}f}" for value in values]


def clear_spines(ax: Axes, sides: Sequence[str] = ("top", "right")) -> None:
    """Hide the given sides of the frame of `ax`."""
    ax.spines[list(sides)].set_visible(False)


def legend(ax: Axes, handles: Sequence, labels: Sequence[str], **options: Any) -> Any:
    """Draw a legend whose labels are taken literally."""
    # matplotlib leaves out labels that start with an underscore; a zero-width space keeps them.
    labels = [shorten(label, 24) for label in labels]
    labels = [f"\u200b{label}" if label.startswith("_") else label for label in labels]
    drawn = ax.legend(handles, labels, frameon=False, **options)
    for text in drawn.get_texts():
        text.set_parse_math(False)
    drawn.get_title().set_parse_math(False)
    return drawn


def series_style(position: int) -> dict:
    """Return colour and line style for the series at `position`, distinct for 28 of them."""
    return {
        "color": PALETTE[position % len(PALETTE)],
        "linestyle": LINE_STYLES[position // len(PALETTE) % len(LINE_STYLES)],
    }


def symmetric_limit(values: ArrayLike) -> float:
    """Return the largest magnitude in `values`, or 1 where all are zero."""
    return float(np.abs(values).max()) or 1.0


def relative(values: np.ndarray, axis: Any) -> np.ndarray:
    """Divide by the largest magnitude along an axis; zeros stay."""
    largest = np.abs(values).max(axis=axis, keepdims=True)
    return values / np.where(largest > 0, largest, 1)


def check_image_shape(image_shape: Any) -> tuple[int, ...]:
    """Return the shape of an image with its channels first."""
    shape = tuple(np.atleast_1d(np.asarray(image_shape, dtype=object)))
    whole = all(isinstance(size, Integral) and int(size) > 0 for size in shape)
    if not whole or len(shape) not in (2, 3):
        raise ValueError(
            "image_shape must be (height, width) or (n_channels, height, width), positive "
            f"integers, got {image_shape!r}."
        )
    return (1, *shape) if len(shape) == 2 else shape


def as_images(array: np.ndarray, name: str, shape: Sequence[int]) -> np.ndarray:
    """Return what is flattened to features as images with their channels first."""
    n_features = int(np.prod(array.shape[1:]))
    if n_features != np.prod(shape):
        raise ValueError(
            f"image_shape asks for {'x'.join(map(str, shape))} = {np.prod(shape)} features, "
            f"but {name} has {n_features}."
        )
    return array.reshape(len(array), *shape)


def grey(picture: np.ndarray) -> np.ndarray:
    """Return an image of shape (n_channels, height, width) without its colours."""
    return np.tensordot(_LUMINANCE, picture, 1) if len(picture) == 3 else picture.mean(axis=0)


def draw_picture(
    ax: Axes,
    picture: np.ndarray,
    low: float | None = None,
    high: float | None = None,
    **options: Any,
) -> AxesImage:
    """Draw one image: three channels as colours, otherwise in grey with bright as dark ink.

    Its scale goes from `low` to `high`; None is the image's own range.
    """
    if len(picture) != 3:
        return ax.imshow(grey(picture), cmap="Greys", vmin=low, vmax=high, **options)
    low, high = picture.min() if low is None else low, picture.max() if high is None else high
    colors = (np.moveaxis(picture, 0, -1) - low) / (high - low or 1.0)
    return ax.imshow(np.clip(colors, 0, 1), **options)


def tile_size(shape: Sequence[int], n_columns: int) -> np.ndarray:
    """Return height and width, in inches, of the small images of a grid.

    Inches are also the units of the axes that such a grid is laid out in.
    """
    side = max(7.2 / max(n_columns, 8), 0.2)
    return side * np.asarray(shape) / max(shape)


def tile_box(x: float, y: float, height: float, width: float) -> tuple[float, float, float, float]:
    """Return the extent of a small image with the upper left corner (x, y), y growing downwards."""
    return (x, x + width, y + height, y)


def write_at_tile(ax: Axes, text: str, box: tuple, below: bool = False) -> None:
    """Write a name above an image, or a number below it, as small as its width asks for."""
    left, right, low, high = box
    place: dict[str, Any] = {"textcoords": "offset points", "ha": "center"}
    place |= {
        "xytext": (0, -2 if below else 2),
        "xy": ((left + right) / 2, low if below else high),
        "va": "top" if below else "bottom",
    }
    text = text if below else shorten(text, max(int(18 * (right - left)), 3))
    ax.annotate(text, fontsize=min(max(20 * (right - left), 4), 7), parse_math=False, **place)


def frame_tiles(
    ax: Axes, boxes: Sequence[tuple] | np.ndarray, top: float = 0.0, bottom: float = 0.0
) -> None:
    """Draw the edges of small images, and fit the axes to these and the texts above and below."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    edges = [Rectangle((x, y), right - x, low - y) for x, right, low, y in boxes]
    style: dict[str, Any] = {"facecolors": "none", "edgecolors": "0.6", "linewidths": 0.5}
    ax.add_collection(PatchCollection(edges, **style))
    lefts, rights, lows, highs = np.transpose(boxes)
    pad = 0.01  # half of an edge must not be cut off
    ax.set_xlim(lefts.min() - pad, rights.max() + pad)
    ax.set_ylim(lows.max() + bottom + pad, highs.min() - top - pad)
    ax.set(aspect="equal", xticks=[], yticks=[])
    clear_spines(ax, ("left", "right", "top", "bottom"))


def fit_figure(ax: Axes) -> None:
    """Give the figure of `ax`, a grid laid out in inches, the size of all that it shows.

    A layout engine would not measure rightly what is beside a small grid of fixed proportions.
    """
    figure: Any = ax.figure
    pad = 0.08
    figure.set_layout_engine("none")
    size = np.abs([np.diff(ax.get_xlim())[0], np.diff(ax.get_ylim())[0]])
    figure.set_size_inches(size)
    ax.set_position((0, 0, 1, 1))
    box = figure.get_tightbbox()
    full = box.size + 2 * pad
    figure.set_size_inches(full)
    (left, bottom), (width, height) = (pad - box.min) / full, size / full
    ax.set_position((left, bottom, width, height))


def tile_color_bar(ax: Axes, picture: Any, label: str) -> None:
    """Draw a colour bar beside a grid, no longer than the grid is tall."""
    width, height = np.ptp(ax.get_xlim()), np.ptp(ax.get_ylim())
    length = min(height, 3)
    # An inset stays beside the grid, however much of its place the grid leaves free.
    place = (1 + 0.1 / width, 1 - length / height, 0.12 / width, length / height)
    bar = ax.figure.colorbar(picture, cax=ax.inset_axes(place))
    bar.set_label(wrap(label, max(int(11 * length), 18)), parse_math=False)
    bar.outline.set_visible(False)
