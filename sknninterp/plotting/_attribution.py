"""Attributions of tables: many samples as a beeswarm, one sample as a waterfall."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sknninterp.plotting._common import (
    NEGATIVE,
    NEUTRAL,
    POSITIVE,
    Names,
    axes_or_new,
    check_length,
    check_max_display,
    check_values,
    clear_spines,
    feature_labels,
    label_axis,
    label_rows,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Points that fall into one of this many slices of the axis would cover each other.
_N_SLICES = 120
_ROW_HALF_HEIGHT = 0.4


def beeswarm(
    values: ArrayLike,
    data: ArrayLike | None = None,
    feature_names: Names | None = None,
    *,
    ax: Axes | None = None,
    max_display: int = 10,
    value_label: str = "contribution",
    title: str | None = None,
) -> Axes:
    """Draw every sample's attributions, a row of points for each feature.

    Features are ordered by their mean magnitude, the largest on top. Points of numeric features
    are coloured from the feature's low values to its high ones (5th to 95th percentile); points of
    other features, and missing values, are grey. The layout is deterministic.

    Parameters
    ----------
    values : array-like of shape (n_samples, n_features)
        Attributions towards one output.
    data : array-like of shape (n_samples, n_features), default=None
        The samples, in any types; None leaves all points in one colour.
    feature_names : sequence of str, default=None
        Names of the features; None stands for ``x0, x1, ...``.
    ax : matplotlib.axes.Axes, default=None
        Where to draw; None draws into a new figure.
    max_display : int, default=10
        Number of features shown.
    value_label : str, default="contribution"
        What the values measure: the label of the axis.
    title : str, default=None
        Title of the plot.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    ValueError
        If `values` is empty or not finite, if `data` or `feature_names` do not fit it, or if
        `max_display` is not a positive integer.

    Examples
    --------
    >>> from sknninterp.plotting import beeswarm
    >>> ax = beeswarm([[0.1, -2.0], [0.3, 1.0]], [[1.0, "f"], [2.0, "m"]], ["age", "sex"])
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['sex', 'age']
    """
    max_display = check_max_display(max_display)
    values = check_values(values, "values", (2,))
    names = feature_labels(feature_names, values.shape[1])
    data = _check_data(data, values.shape)
    order = np.argsort(-np.abs(values).mean(axis=0), kind="stable")[:max_display]
    ax = axes_or_new(ax, 7, max(2.6, 1.3 + 0.42 * len(order)))
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=1)
    any_colored = False
    for row, feature in enumerate(order):
        offsets = _spread(values[:, feature], values[:, order])
        levels = None if data is None else _levels(data[:, feature])
        any_colored |= _draw_points(ax, values[:, feature], row + offsets, levels)
    label_rows(ax, [names[feature] for feature in order])
    label_axis(ax, value_label, len(order), values.shape[1], title)
    clear_spines(ax, ("top", "right", "left"))
    if any_colored:
        _level_bar(ax)
    return ax


def _check_data(data, shape) -> np.ndarray | None:
    if data is None:
        return None
    array = data.to_numpy() if isinstance(data, pd.DataFrame) else np.asarray(data, dtype=object)
    if array.shape != shape:
        raise ValueError(f"data has shape {array.shape}, but values has shape {shape}.")
    return array


def _spread(x, shown):
    """Return vertical offsets that keep points with nearly equal `x` from covering each other.

    The slices are those of the whole axis, `shown`: what overlaps depends on the axis, not on the
    range of one feature.
    """
    low, span = shown.min(), np.ptp(shown)
    slices = np.zeros(len(x), dtype=int)
    if span > 0:
        slices = np.minimum((x - low) / span * _N_SLICES, _N_SLICES - 1).astype(int)
    order = np.argsort(slices, kind="stable")
    first = np.searchsorted(slices[order], slices[order], side="left")
    rank = np.empty(len(x), dtype=int)
    rank[order] = np.arange(len(x)) - first
    steps = (rank + 1) // 2 * np.where(rank % 2 == 0, 1, -1)
    return steps * min(0.06, _ROW_HALF_HEIGHT / max(np.abs(steps).max(), 1))


def _levels(column):
    """Scale a numeric column to [0, 1] between its 5th and 95th percentile; None if not numeric.

    Missing values stay NaN.
    """
    series = pd.Series(column).infer_objects()
    if any(isinstance(value, str) for value in column) or series.dtype.kind in "mM":
        return None
    try:
        numbers = pd.to_numeric(series).to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError):
        return None
    finite = numbers[np.isfinite(numbers)]
    if finite.size == 0:
        return None
    low, high = np.quantile(finite, [0.05, 0.95])
    if low == high:
        low, high = finite.min(), finite.max()
    if low == high:
        return np.where(np.isfinite(numbers), 0.5, np.nan)
    return np.clip((numbers - low) / (high - low), 0, 1)


def _draw_points(ax, x, y, levels):
    """Draw one feature's points and say whether any was coloured by its level."""
    size = float(np.clip(4000 / len(x), 6, 22))
    grey = np.ones(len(x), dtype=bool) if levels is None else ~np.isfinite(levels)
    ax.scatter(x[grey], y[grey], s=size, color=NEUTRAL, linewidths=0, zorder=2, rasterized=True)
    if grey.all():
        return False
    ax.scatter(
        x[~grey],
        y[~grey],
        s=size,
        c=levels[~grey],
        cmap=_level_colors(),
        vmin=0,
        vmax=1,
        linewidths=0,
        zorder=3,
        rasterized=True,
    )
    return True


def _level_colors():
    """Return plasma without its pale end, which is lost on white."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["plasma"](np.linspace(0, 0.85, 256)))


def _level_bar(ax):
    from matplotlib.cm import ScalarMappable

    colors = ScalarMappable(cmap=_level_colors())
    colors.set_clim(0, 1)
    bar = ax.figure.colorbar(colors, ax=ax, aspect=30, pad=0.02)
    bar.set_ticks([0, 1], labels=["low", "high"])
    bar.set_label("value of the feature", labelpad=-12)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)


def waterfall(
    values: ArrayLike,
    data: ArrayLike | None = None,
    feature_names: Names | None = None,
    base_value: float | None = None,
    *,
    spread: ArrayLike | None = None,
    ax: Axes | None = None,
    max_display: int = 10,
    value_label: str = "contribution",
    title: str | None = None,
) -> Axes:
    """Draw the attributions of one sample as horizontal bars, the largest magnitude on top.

    Without a base value the bars start at zero: the contributions side by side. With one, they are
    chained, from the base value at the bottom to the sum of all at the top. Features beyond
    `max_display` are one bar, which counts them.

    Parameters
    ----------
    values : array-like of shape (n_features,)
        Attributions of one sample towards one output.
    data : array-like of shape (n_features,), default=None
        The sample, in any types; shown beside the names.
    feature_names : sequence of str, default=None
        Names of the features; None stands for ``x0, x1, ...``.
    base_value : float, default=None
        What the attributions are added to; None for methods that do not add up to an output.
    spread : array-like of shape (n_features,), default=None
        Standard deviations of the attributions, drawn as whiskers of the features shown.
    ax : matplotlib.axes.Axes, default=None
        Where to draw; None draws into a new figure.
    max_display : int, default=10
        Number of features shown one by one.
    value_label : str, default="contribution"
        What the values measure: the label of the axis.
    title : str, default=None
        Title of the plot.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    ValueError
        If `values` is empty or not finite, if `data`, `feature_names` or `spread` do not fit it, if
        `base_value` is not a finite number, or if `max_display` is not a positive integer.

    Examples
    --------
    >>> from sknninterp.plotting import waterfall
    >>> ax = waterfall([0.1, -2.0, 0.3], [54, "f", 1.5], ["age", "sex", "dose"], max_display=1)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['sex = f', '2 other features']
    """
    max_display = check_max_display(max_display)
    values = check_values(values, "values", (1,))
    labels = _sample_labels(feature_names, data, len(values))
    if base_value is not None:
        base_value = float(check_values(base_value, "base_value", (0,)))
    order = np.argsort(-np.abs(values), kind="stable")
    shown, rest = order[:max_display], order[max_display:]
    widths, rows = values[shown], [labels[i] for i in shown]
    errors = np.zeros(len(shown))
    if spread is not None:
        spread = check_values(spread, "spread", (1,))
        check_length(spread, "spread", len(values), "features")
        errors = spread[shown]
    if len(rest):
        widths = np.append(widths, values[rest].sum())
        rows.append(f"{len(rest):,} other features" if len(rest) > 1 else labels[rest[0]])
    ax = axes_or_new(ax, 7, 1.3 + 0.36 * len(rows))
    _draw_waterfall(ax, widths, base_value, errors)
    label_rows(ax, rows)
    label_axis(ax, value_label, title=title)
    clear_spines(ax, ("top", "right", "left"))
    return ax


def _sample_labels(feature_names, data, n_features):
    """Return ``name = value`` for every feature; the value is never cut."""
    names = feature_labels(feature_names, n_features)
    if data is None:
        return names
    data = list(data)
    check_length(data, "data", n_features, "features")
    return [
        f"{shorten(name, 28)} = {shorten(_format(value), 9)}"
        for name, value in zip(names, data, strict=True)
    ]


def _format(value):
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def _number(value, sign=""):
    return f"{value:{sign}.3g}".replace("-", "\u2212")


def _draw_waterfall(ax, widths, base_value, errors):
    """Draw bars, and whiskers of the first of them where there is a spread."""
    rows = np.arange(len(widths))
    starts = np.zeros(len(widths))
    if base_value is not None:
        # Chained from the bottom row, so that the largest contribution ends at the sum.
        starts = base_value + np.append(np.cumsum(widths[::-1])[::-1][1:], 0)
        ax.vlines(starts[:-1], rows[:-1] + 0.35, rows[1:] - 0.35, color="0.6", linewidth=0.8)
    colors = np.where(widths < 0, NEGATIVE, POSITIVE)
    ax.barh(rows, widths, left=starts, color=colors, height=0.7)
    ends = starts + widths
    if errors.any():
        style = {"fmt": "none", "ecolor": "black", "elinewidth": 0.8, "capsize": 2}
        ax.errorbar(ends[: len(errors)], rows[: len(errors)], xerr=errors, **style)
    reach = np.append(errors, np.zeros(len(widths) - len(errors)))
    reach = ends + np.where(widths < 0, -reach, reach)
    for row, (end, width) in enumerate(zip(reach, widths, strict=True)):
        ax.annotate(
            _number(width, "+") if width else "0",
            (end, row),
            xytext=(-4 if width < 0 else 4, 0),
            textcoords="offset points",
            ha="right" if width < 0 else "left",
            va="center",
            fontsize="small",
        )
    ends = np.concatenate([starts, reach])
    # Room for the numbers beyond the ends of the bars.
    margin = 0.16 * (np.ptp(ends) or 1.0)
    ax.set_xlim(ends.min() - margin, ends.max() + margin)
    _mark_base(ax, base_value, starts[0] + widths[0])


def _mark_base(ax, base_value, total):
    if base_value is None:
        ax.axvline(0, color="black", linewidth=0.8)
        return
    ax.axvline(base_value, color="0.6", linewidth=0.8, linestyle=":")
    ax.axvline(total, color="black", linewidth=0.8, linestyle=":")
    top = ax.secondary_xaxis("top")
    labels = [f"base {_number(base_value)}", f"sum {_number(total)}"]
    top.set_xticks([base_value, total], labels, fontsize="small")
    top.spines["top"].set_visible(False)
    # Away from each other, as the base value and the sum may be close.
    sides = ("left", "right") if base_value > total else ("right", "left")
    for text, side in zip(top.get_xticklabels(), sides, strict=True):
        text.set_horizontalalignment(side)
