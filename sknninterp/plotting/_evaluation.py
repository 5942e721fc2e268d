"""How good rankings are and how well they hold: curves, intervals of ranks, selection."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sknninterp.plotting._common import (
    LINE_STYLES,
    NEUTRAL,
    PALETTE,
    axes_or_new,
    check_choice,
    check_columns,
    check_count,
    check_max_display,
    check_values,
    clear_spines,
    integer_ticks,
    label_axis,
    label_rows,
    legend,
    wrap,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Yellow lines are faint on white.
_COLORS = PALETTE[:6]
# Shapes tell lines apart where a printer leaves out the colours.
_MARKERS = "os^Dv<>PX*"
_N_MARKERS = 8
# The centre of an interval and its ends, as columns; the first that are there are drawn.
_INTERVALS = (
    ("rank", "lower", "upper"),
    ("mean_rank", "rank_lower", "rank_upper"),
    ("importance", "lower", "upper"),
)


def perturbation_curves(
    curves: pd.DataFrame,
    *,
    random: str = "random",
    area: bool = True,
    ax: Axes | None = None,
    value_label: str = "score",
    share_label: str = "share of the features changed",
    title: str | None = None,
) -> Axes:
    """Draw how a model's score changes as features are deleted or inserted by their importance.

    A deletion curve that falls fast, and an insertion curve that rises fast, speak for a ranking;
    a random order, in grey, shows what no ranking at all would do.

    Parameters
    ----------
    curves : DataFrame, one row a point
        With the columns ``share``, of the features changed so far, in [0, 1], and ``mean``, the
        score. ``lower`` and ``upper``, if there, are the ends of a band around it (all NaN is
        none), and ``method`` tells several curves apart. ``random_mean``, with ``random_lower`` and
        ``random_upper``, is a random order's curve beside each; that of the first method is drawn.
    random : str, default="random"
        The method that is drawn in grey, if there is one of this name.
    area : bool, default=True
        Whether the legend gives the area under each curve, divided by the range of its shares: its
        mean height, from the trapezoidal rule.
    ax : matplotlib.axes.Axes, default=None
        Where to draw; None draws into a new figure.
    value_label : str, default="score"
        What is drawn: the label of the vertical axis.
    share_label : str, default="share of the features changed"
        The label of the horizontal axis.
    title : str, default=None
        Title of the plot.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    TypeError
        If `curves` is no DataFrame.
    ValueError
        If `curves` is empty, lacks a column or holds anything but finite numbers, if a method has a
        single point or a share twice or out of [0, 1], or if a ``lower`` is above its ``upper``.

    References
    ----------
    Petsiuk, Das, Saenko, *RISE: Randomized Input Sampling for Explanation of Black-box Models*,
    2018, section 4.3.

    Examples
    --------
    >>> import pandas as pd
    >>> from sknninterp.plotting import perturbation_curves
    >>> curves = pd.DataFrame(
    ...     {"method": ["PWP"] * 3 + ["random"] * 3, "share": [0, 0.5, 1] * 2,
    ...      "mean": [0.9, 0.5, 0.5, 0.9, 0.8, 0.5]}
    ... )
    >>> ax = perturbation_curves(curves, value_label="accuracy")
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['PWP: 0.600', 'random: 0.750']
    """
    groups = _check_curves(curves, random)
    # The random order is what the others are read against: drawn below them and named last.
    names = sorted(groups, key=lambda name: name == random)
    ax = axes_or_new(ax, 6.4, 4)
    handles = []
    for position, name in enumerate(names):
        style = _line_style(position)
        if name == random:
            style = {"color": NEUTRAL, "linestyle": "--", "marker": ""}
        # Many bands upon one another would hide the lines.
        drawing = {"alpha": 0.18 if len(names) <= 4 else 0.09, "zorder": 2 + (name != random)}
        handles.append(_draw_curve(ax, groups[name], style, **drawing))
    if "method" in curves.columns or len(names) > 1:
        drawn = _legend_beside(ax, handles, names, "area under the curve" if area else None)
        for text, name in zip(drawn.get_texts(), names if area else (), strict=area):
            text.set_text(f"{text.get_text()}: {_mean_height(groups[name]):.3f}")
    ax.xaxis.set_major_formatter("{x:.0%}")
    ax.set_ylabel(wrap(value_label, 40), parse_math=False)
    label_axis(ax, share_label, title=title)
    clear_spines(ax)
    return ax


def _check_curves(curves, random):
    """Return the points of every method, sorted by share: arrays with the columns of numbers."""
    _check_frame(curves, "curves")
    names = ["share", "mean", "lower", "upper"]
    check_columns(curves, names[:2], "curves")
    check_values(curves[names[:2]], "curves", (2,))
    if "method" in curves.columns:
        methods = curves.groupby("method", sort=False, dropna=False)
        parts = {str(name): part for name, part in methods}
    else:
        parts = {"ranking": curves}
    groups = {name: _check_points(part, names, name) for name, part in parts.items()}
    if "random_mean" in curves.columns and random not in groups:
        columns = ["share", *(f"random_{name}" for name in names[1:])]
        groups[random] = _check_points(next(iter(parts.values())), columns, random)
    return groups


def _check_points(part, columns, name):
    """Return the numbers of one curve, sorted by share, with its band if it has one."""
    ends = columns[2:]
    if not set(ends) & set(part.columns):
        columns = columns[:2]
    check_columns(part, columns, "curves")
    if len(columns) == 4 and part[ends].isna().all(axis=None):
        columns = columns[:2]
    points = check_values(part[columns], "curves", (2,))
    points = points[np.argsort(points[:, 0], kind="stable")]
    of = f" of {name!r}"
    if points[0, 0] < 0 or points[-1, 0] > 1:
        raise ValueError(f"curves['share']{of} must lie in [0, 1].")
    if len(columns) == 4:
        _check_ends(points[:, 2:], "curves")
    if len(points) < 2:
        raise ValueError(f"curves has a single point{of}: a curve needs two.")
    if (np.diff(points[:, 0]) == 0).any():
        raise ValueError(f"curves has two points{of} at the same share: pass their mean.")
    return points


def _draw_curve(ax, points, style, alpha, zorder):
    """Draw a line with its band, and return the line."""
    share, mean = points[:, :2].T
    if points.shape[1] == 4:
        ax.fill_between(share, *points[:, 2:].T, color=style["color"], alpha=alpha, linewidth=0)
    (line,) = ax.plot(share, mean, markevery=_marked(len(points)), zorder=zorder, **style)
    return line


def _line_style(position):
    """Return colour, line style and marker of the series at `position`."""
    return {
        "color": _COLORS[position % len(_COLORS)],
        "linestyle": LINE_STYLES[position // len(_COLORS) % len(LINE_STYLES)],
        "marker": _MARKERS[position % len(_MARKERS)],
        "markersize": 4.5,
    }


def _marked(n_points, position=0):
    """Return which points of a line have a marker, others for every line."""
    step = max(n_points // _N_MARKERS, 1)
    return (position % step, step)


def _mean_height(points):
    share, mean = points[:, :2].T
    return np.sum(np.diff(share) * (mean[1:] + mean[:-1]) / 2) / (share[-1] - share[0])


def rank_intervals(
    frame: pd.DataFrame,
    *,
    k: int | None = None,
    scale: str = "linear",
    ax: Axes | None = None,
    max_display: int = 20,
    value_label: str | None = None,
    title: str | None = None,
) -> Axes:
    """Draw features with the intervals of their mean ranks, the first one on top (a forest plot).

    With `k`, a line ends the first k ranks, and only the features whose whole interval lies within
    them have filled dots: those that may be called one of the top k.

    Parameters
    ----------
    frame : DataFrame, one row a feature
        The features are the index. With the columns ``rank``, ``lower`` and ``upper``, or else
        ``mean_rank``, ``rank_lower`` and ``rank_upper`` (1 is the most important), or else
        ``importance``, ``lower`` and ``upper``. Others are ignored.
    k : int, default=None
        Number of first ranks that are marked off; None marks none. Only for ranks.
    scale : {"linear", "log"}, default="linear"
        Scale of the ranks; ``"log"`` suits intervals that reach over thousands. Only for ranks.
    ax : matplotlib.axes.Axes, default=None
        Where to draw; None draws into a new figure.
    max_display : int, default=20
        Number of features shown: the first ones.
    value_label : str, default=None
        What the dots are: the label of the axis. None is the column's name.
    title : str, default=None
        Title of the plot.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    TypeError
        If `frame` is no DataFrame.
    ValueError
        If `frame` is empty, lacks a column or holds anything but finite numbers, if a ``lower`` is
        above its ``upper`` or a rank below 1, or if `k`, `scale` or `max_display` is none of the
        above.

    Examples
    --------
    >>> import pandas as pd
    >>> from sknninterp.plotting import rank_intervals
    >>> frame = pd.DataFrame(
    ...     {"rank": [2.5, 1.2], "lower": [1.5, 1.0], "upper": [4.0, 1.5]}, index=["age", "dose"]
    ... )
    >>> ax = rank_intervals(frame, k=2)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['dose', 'age']
    """
    max_display = check_max_display(max_display)
    check_choice(scale, "scale", ("linear", "log"))
    values, centre_name = _check_intervals(frame)
    ranks = centre_name != "importance"
    if not ranks and (k is not None or scale == "log"):
        raise ValueError("k and scale='log' are for ranks only, not for importances.")
    k = None if k is None else check_count(k, "k")
    order = np.argsort(values[:, 0] if ranks else -values[:, 0], kind="stable")[:max_display]
    ax = axes_or_new(ax, 7, 1.3 + 0.3 * len(order))
    rows = np.arange(len(order))
    centre, low, high = values[order].T
    ax.hlines(rows, low, high, color=PALETTE[0], linewidth=2)
    fill = np.where(high <= (np.inf if k is None else k), PALETTE[0], "white")
    ax.scatter(centre, rows, s=38, c=fill, edgecolors=PALETTE[0], linewidths=1.5, zorder=3)
    if ranks:
        _rank_axis(ax, high.max(), k, scale)
    elif low.min() >= 0:
        ax.set_xlim(left=0)
    label = centre_name if value_label is None else value_label
    if k is not None:
        n_sure = int((values[:, 2] <= k).sum())
        label = f"{label}\n(filled: interval within the top {k:,}, {n_sure:,} of {len(values):,})"
    ax.grid(axis="x", color="0.9")
    ax.set_axisbelow(True)
    label_rows(ax, frame.index[order])
    label_axis(ax, label, len(order), len(frame), title)
    clear_spines(ax)
    return ax


def _check_intervals(frame):
    """Return (centre, lower, upper) of every feature, and the name of the centre."""
    _check_frame(frame, "frame")
    there = [columns for columns in _INTERVALS if columns[0] in frame.columns]
    columns = there[0] if there else _INTERVALS[0]
    check_columns(frame, columns, "frame")
    values = check_values(frame[list(columns)], "frame", (2,))
    _check_ends(values[:, 1:], "frame")
    if columns != _INTERVALS[-1]:
        if values[:, 0].min() < 1:
            raise ValueError(f"frame has ranks below 1: {values[:, 0].min():g}.")
        values = np.maximum(values, 1)  # symmetric intervals may begin below
    return values, columns[0].replace("_", " ")


def _rank_axis(ax, largest, k, scale):
    """Lay out an axis of ranks, which begins at 1, and mark off the first `k`."""
    largest = max(largest, 2, k or 0)
    if scale == "log":
        ax.set_xscale("log", subs=[2, 5])
        for formatter in (ax.xaxis.set_major_formatter, ax.xaxis.set_minor_formatter):
            formatter("{x:,.0f}")
        ax.set_xlim(0.9, 1.15 * largest)
    else:
        integer_ticks(ax.xaxis)
        ax.set_xlim(1 - 0.03 * largest, 1.03 * largest)
    if k is not None:
        ax.axvline(k, color="0.3", linestyle="--", linewidth=1.2, zorder=1)


def selection_paths(
    frequencies: pd.DataFrame,
    *,
    threshold: float | None = None,
    ax: Axes | None = None,
    max_display: int = 8,
    value_label: str = "selection frequency",
    title: str | None = None,
) -> Axes:
    """Draw how often each feature is selected, over the number of features that are.

    The features with the highest mean frequency are named; all others are thin grey lines.

    Parameters
    ----------
    frequencies : DataFrame of shape (n_numbers, n_features)
        The share of repeats, in [0, 1], in which a feature is one of the k most important ones. The
        features are the columns, the numbers k the index.
    threshold : float, default=None
        The frequency from which on a feature counts as selected: a line, with the number of
        features that reach it anywhere. None draws no line.
    ax : matplotlib.axes.Axes, default=None
        Where to draw; None draws into a new figure.
    max_display : int, default=8
        Number of features with a colour and a name.
    value_label : str, default="selection frequency"
        What is drawn: the label of the vertical axis.
    title : str, default=None
        Title of the plot.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    TypeError
        If `frequencies` is no DataFrame.
    ValueError
        If `frequencies` is empty or has anything but shares in [0, 1], if its index is not made of
        different numbers, if `threshold` is not in (0, 1], or if `max_display` is not a positive
        integer.

    References
    ----------
    Meinshausen, Buhlmann, *Stability selection*, 2010, Figure 1.

    Examples
    --------
    >>> import pandas as pd
    >>> from sknninterp.plotting import selection_paths
    >>> frequencies = pd.DataFrame({"age": [0.1, 0.6], "dose": [0.9, 1.0]}, index=[1, 2])
    >>> ax = selection_paths(frequencies, threshold=0.9)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['dose', 'age']
    """
    from matplotlib.collections import LineCollection

    max_display = check_max_display(max_display)
    values, numbers = _check_frequencies(frequencies)
    if threshold is not None and not (isinstance(threshold, Real) and 0 < threshold <= 1):
        raise ValueError(f"threshold must be a share in (0, 1] or None, got {threshold!r}.")
    order = np.argsort(-values.mean(axis=0), kind="stable")
    named, others = order[:max_display], order[max_display:]
    ax = axes_or_new(ax, 7, 4)
    paths = [np.column_stack([numbers, values[:, feature]]) for feature in others]
    ax.add_collection(LineCollection(paths, colors="0.8", linewidths=0.6, zorder=1))
    handles: list = []
    # The first ones are drawn last, on top of the others.
    for position in range(len(named))[::-1]:
        style = _line_style(position) | {"markevery": _marked(len(numbers), position)}
        handles[:0] = ax.plot(numbers, values[:, named[position]], zorder=3, **style)
    title_of_legend = f"first {len(named):,} of\n{len(order):,} features" if len(others) else None
    names = [str(frequencies.columns[feature]) for feature in named]
    _legend_beside(ax, handles, names, title_of_legend)
    label = "number of features selected (k)"
    if threshold is not None:
        ax.axhline(threshold, color="0.3", linestyle="--", linewidth=1.2, zorder=2)
        n_reached = int((values.max(axis=0) >= threshold).sum())
        label = f"{label}\n({n_reached:,} of {len(order):,} features reach {threshold:g})"
    integer_ticks(ax.xaxis)
    ax.set_ylim(-0.03, 1.03)
    ax.set_ylabel(wrap(value_label, 40), parse_math=False)
    label_axis(ax, label, title=title)
    clear_spines(ax)
    return ax


def _check_frequencies(frequencies):
    """Return the frequencies and their numbers of features, the smallest first."""
    _check_frame(frequencies, "frequencies")
    values = check_values(frequencies, "frequencies", (2,))
    if values.min() < 0 or values.max() > 1:
        span = f"{values.min():.3g} to {values.max():.3g}"
        raise ValueError(f"frequencies must be shares in [0, 1]; they go from {span}.")
    numbers = check_values(frequencies.index, "the index of frequencies", (1,))
    if len(np.unique(numbers)) < len(numbers):
        raise ValueError("frequencies has a number of features more than once in its index.")
    order = np.argsort(numbers)
    return values[order], numbers[order]


def _check_frame(frame, name):
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"{name} must be a pandas DataFrame, got {type(frame).__name__}.")


def _check_ends(ends, name):
    if (ends[:, 0] > ends[:, 1]).any():
        raise ValueError(f"{name} has rows whose lower is above their upper.")


def _legend_beside(ax, handles, labels, title):
    place = {"loc": "upper left", "bbox_to_anchor": (1, 1), "alignment": "left"}
    look = {"handlelength": 2.6, "fontsize": "small"}
    return legend(ax, handles, labels, title=title, **place, **look)
