"""Rankings of features: bars of importances, and dots with their spread over runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sknninterp.plotting._common import (
    NEGATIVE,
    NEUTRAL,
    PALETTE,
    POSITIVE,
    axes_or_new,
    check_max_display,
    check_values,
    clear_spines,
    label_axis,
    label_rows,
    legend,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def bar(
    importances: pd.Series | pd.DataFrame,
    *,
    errors: pd.Series | pd.DataFrame | None = None,
    ax: Axes | None = None,
    max_display: int = 10,
    value_label: str = "importance",
    title: str | None = None,
) -> Axes:
    """Draw the largest importances as horizontal bars, the largest on top.

    Parameters
    ----------
    importances : Series or DataFrame, one row a feature
        The features are the index. A DataFrame has one column for each output of the network; its
        columns are stacked in a bar, so they must not be negative. A Series that holds negative
        numbers (Olden's connection weights, say) is drawn to both sides of zero and ranked by
        magnitude.
    errors : Series or DataFrame, default=None
        Drawn as error bars: a Series of standard deviations, or a DataFrame with the columns
        ``low`` and ``high``, the ends of an interval around the importance; of stacked bars, around
        their sum. Its index must be that of `importances`.
    ax : matplotlib.axes.Axes, default=None
        Where to draw; None draws into a new figure.
    max_display : int, default=10
        Number of features shown.
    value_label : str, default="importance"
        What the bars measure: the label of the axis.
    title : str, default=None
        Title of the plot.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    ValueError
        If `importances` is empty, holds NaN or infinite numbers, or is a DataFrame with negative
        ones; if `errors` does not fit; if `max_display` is not a positive integer.

    Examples
    --------
    >>> import pandas as pd
    >>> from sknninterp.plotting import bar
    >>> ax = bar(pd.Series({"age": 0.2, "glucose": 0.7, "sex": 0.1}), max_display=2)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['glucose', 'age']
    """
    max_display = check_max_display(max_display)
    frame = _importance_frame(importances)
    intervals = None if errors is None else _intervals(frame, errors)
    order = np.argsort(-frame.abs().sum(axis=1).to_numpy(), kind="stable")[:max_display]
    ax = axes_or_new(ax, 7, 1.3 + 0.32 * len(order))
    if frame.shape[1] == 1:
        _draw_bars(ax, frame.iloc[order, 0].to_numpy())
    else:
        _draw_stack(ax, frame.iloc[order])
    if intervals is not None:
        _draw_errors(ax, frame.iloc[order].sum(axis=1).to_numpy(), intervals[order])
    label_rows(ax, frame.index[order])
    label_axis(ax, value_label, len(order), len(frame), title)
    clear_spines(ax)
    return ax


def _importance_frame(importances):
    """Return importances as a checked float frame, one column an output."""
    if isinstance(importances, pd.Series):
        frame = importances.to_frame()
    elif isinstance(importances, pd.DataFrame):
        frame = importances
    else:
        raise TypeError(
            "importances must be a pandas Series, or a DataFrame with one column for each output, "
            f"got {type(importances).__name__}."
        )
    values = check_values(frame, "importances", (2,))
    if frame.shape[1] > 1 and (values < 0).any():
        raise ValueError(
            "importances of several outputs are stacked, so they must not be negative: "
            "pass magnitudes, or one output."
        )
    return pd.DataFrame(values, index=frame.index, columns=frame.columns)


def _intervals(frame, errors):
    """Return the ends of the error bars, shape (n_features, 2)."""
    if not isinstance(errors, pd.Series | pd.DataFrame) or not errors.index.equals(frame.index):
        raise ValueError("errors must be a Series or DataFrame with the index of importances.")
    centre = frame.to_numpy().sum(axis=1, keepdims=True)
    if isinstance(errors, pd.Series):
        spread = check_values(errors, "errors", (1,))[:, None]
        ends = np.hstack([centre - spread, centre + spread])
    elif {"low", "high"} <= set(errors.columns):
        ends = check_values(errors[["low", "high"]], "errors", (2,))
    else:
        raise ValueError(
            "errors as a DataFrame must have the columns 'low' and 'high', "
            f"got {[str(column) for column in errors.columns]}."
        )
    rounding = 1e-9 * np.abs(centre).max()
    if (ends[:, :1] > centre + rounding).any() or (ends[:, 1:] < centre - rounding).any():
        raise ValueError("errors must enclose the importances: low <= importance <= high.")
    return ends


def _draw_bars(ax, values):
    signed = (values < 0).any()
    positive = POSITIVE if signed else PALETTE[0]
    colors = np.where(values < 0, NEGATIVE, positive)
    ax.barh(range(len(values)), values, color=colors, height=0.7)
    if signed:
        ax.axvline(0, color="black", linewidth=0.8)
    elif not values.any():
        ax.set_xlim(0, 1)


def _draw_stack(ax, frame):
    """Stack the outputs; those beyond the palette are one grey part, which the legend counts."""
    n_own = len(PALETTE) if frame.shape[1] <= len(PALETTE) else len(PALETTE) - 1
    parts = [
        (str(label), frame.iloc[:, i].to_numpy(), PALETTE[i])
        for i, label in enumerate(frame.columns[:n_own])
    ]
    if frame.shape[1] > n_own:
        rest = frame.iloc[:, n_own:]
        parts.append((f"{rest.shape[1]} other outputs", rest.sum(axis=1).to_numpy(), NEUTRAL))
    left = np.zeros(len(frame))
    drawn = []
    for _, widths, color in parts:
        drawn.append(ax.barh(range(len(frame)), widths, left=left, color=color, height=0.7))
        left = left + widths
    if not left.any():
        ax.set_xlim(0, 1)
    labels = [label for label, _, _ in parts]
    legend(ax, drawn, labels, loc="upper left", bbox_to_anchor=(1, 1))


def _draw_errors(ax, values, ends):
    ax.errorbar(
        values,
        range(len(values)),
        xerr=np.abs(ends - values[:, None]).T,
        fmt="none",
        ecolor="black",
        elinewidth=1,
        capsize=3,
    )


def ranking(
    frame: pd.DataFrame,
    *,
    interval: float | None = None,
    ax: Axes | None = None,
    max_display: int = 20,
    value_label: str = "importance",
    title: str | None = None,
) -> Axes:
    """Draw a ranking with its spread over runs: a dot with an interval for each feature.

    Parameters
    ----------
    frame : DataFrame, one row a feature
        The features are the index. Either one column for each run (seed, resample, fold) with the
        importances of that run; the dot is their mean, and the runs are drawn as small ticks. Or
        the summary itself, in the columns ``importance``, ``low`` and ``high`` (others are
        ignored).
    interval : float, default=None
        With one column a run: the central share of the runs that the line covers, 0.9 for the 5th
        to the 95th percentile. None draws the full range, the honest choice for a handful of runs.
    ax : matplotlib.axes.Axes, default=None
        Where to draw; None draws into a new figure.
    max_display : int, default=20
        Number of features shown: those with the largest mean importance.
    value_label : str, default="importance"
        What the dots measure: the label of the axis.
    title : str, default=None
        Title of the plot.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    ValueError
        If `frame` is empty or holds anything but finite numbers, if `interval` is not in (0, 1],
        or if `max_display` is not a positive integer.

    Examples
    --------
    >>> import pandas as pd
    >>> from sknninterp.plotting import ranking
    >>> runs = pd.DataFrame({"seed 0": [0.1, 0.9], "seed 1": [0.3, 0.7]}, index=["age", "glucose"])
    >>> ax = ranking(runs)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['glucose', 'age']
    """
    max_display = check_max_display(max_display)
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"frame must be a pandas DataFrame, got {type(frame).__name__}.")
    if interval is not None and not 0 < interval <= 1:
        raise ValueError(f"interval must be a share in (0, 1] or None, got {interval!r}.")
    summary, runs = _summary(frame, interval)
    order = np.argsort(-summary[:, 0], kind="stable")[:max_display]
    ax = axes_or_new(ax, 7, 1.3 + 0.3 * len(order))
    rows = np.arange(len(order))
    centre, low, high = summary[order].T
    ax.hlines(rows, low, high, color=PALETTE[0], linewidth=2)
    if runs is not None:
        ax.plot(runs[order], rows, "|", color=NEUTRAL, markersize=8, zorder=3)
    ax.plot(centre, rows, "o", color=PALETTE[0], markersize=6, zorder=4)
    if min(low.min(), centre.min(), 0) == 0:
        ax.set_xlim(left=0)
    ax.grid(axis="x", color="0.9")
    ax.set_axisbelow(True)
    label_rows(ax, frame.index[order])
    label_axis(ax, _ranking_label(value_label, runs, interval), len(order), len(frame), title)
    clear_spines(ax)
    return ax


def _summary(frame, interval):
    """Return (centre, low, high) for each feature, and the runs or None."""
    columns = ["importance", "low", "high"]
    if set(columns) <= set(frame.columns):
        summary = check_values(frame[columns], "frame", (2,))
        if (summary[:, 1] > summary[:, 2]).any():
            raise ValueError("frame has rows whose low is above their high.")
        return summary, None
    runs = check_values(frame, "frame", (2,))
    tail = 0 if interval is None else (1 - interval) / 2
    low, high = np.quantile(runs, [tail, 1 - tail], axis=1)
    return np.column_stack([runs.mean(axis=1), low, high]), runs


def _ranking_label(value_label, runs, interval):
    if runs is None:
        return value_label
    n_runs = runs.shape[1]
    if n_runs == 1:
        return f"{value_label} (1 run)"
    covers = "range" if interval in (None, 1) else f"central {interval:.0%}"
    return f"{value_label} (mean and {covers} of {n_runs} runs)"
