"""How training went: losses and metrics, and the neurons that tuning removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sknninterp.plotting._common import (
    PALETTE,
    check_columns,
    clear_spines,
    integer_ticks,
    legend,
    panels_or_new,
    series_style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def tuning_history(
    frame: pd.DataFrame,
    layer_sizes: dict | Sequence[int],
    *,
    n_epochs: int | None = None,
    ax: Sequence[Axes] | np.ndarray | None = None,
    title: str | None = None,
) -> Figure:
    """Draw how layers shrank while they were tuned, and the scores of the neurons that went.

    Parameters
    ----------
    frame : DataFrame, one row a removed neuron
        With the columns ``epoch`` (after which it was removed), ``layer``, ``neuron`` and
        ``score``. It may be empty.
    layer_sizes : dict or sequence of int
        The widths of the layers before any tuning: by layer as in ``frame["layer"]``, or in the
        order of layers 0, 1, ...
    n_epochs : int, default=None
        Number of epochs of the training, so that the recovery after the last tuning shows; None
        ends at the last removal.
    ax : sequence of two matplotlib.axes.Axes, default=None
        Where to draw; None draws into a new figure.
    title : str, default=None
        Title of the figure (drawn only into a new one).

    Returns
    -------
    matplotlib.figure.Figure
        With two panels: the width of every layer over the epochs; the score of every removed
        neuron, and a line through each tuning's median.

    Raises
    ------
    ValueError
        If `frame` lacks a column, names a layer that `layer_sizes` lacks, or removes more neurons
        than a layer has.

    Examples
    --------
    >>> import pandas as pd
    >>> from sknninterp.plotting import tuning_history
    >>> removed = pd.DataFrame(
    ...     {"epoch": [1, 1, 2], "layer": [0, 0, 0], "neuron": [3, 7, 1], "score": [2.1, 1.9, 1.2]}
    ... )
    >>> figure = tuning_history(removed, [8], n_epochs=4)
    >>> [ax.get_ylabel() for ax in figure.axes]
    ['neurons left', 'score of removed neurons']
    """
    check_columns(frame, ["epoch", "layer", "neuron", "score"], "frame")
    sizes = _check_sizes(frame, layer_sizes)
    last = max([0 if n_epochs is None else n_epochs, *frame["epoch"]])
    figure, (widths, scores) = panels_or_new(ax, 2, 4.5, 3.4)
    handles = []
    for position, (layer, size) in enumerate(sizes.items()):
        rows = frame[frame["layer"] == layer].sort_values("epoch", kind="stable")
        style = series_style(position)
        handles.append(_draw_width(widths, rows["epoch"], size, last, style))
        _draw_scores(scores, rows, position, len(sizes), style)
    _finish_panel(widths, "neurons left")
    widths.set_ylim(bottom=0)
    legend(widths, handles, [_layer_name(layer) for layer in sizes], loc="best")
    _finish_panel(scores, "score of removed neurons")
    scores.set_xlim(widths.get_xlim())
    if len(frame) == 0:
        scores.set_yticks([])
        scores.text(0.5, 0.5, "no neuron was removed", ha="center", transform=scores.transAxes)
    if ax is None and title is not None:
        figure.suptitle(title, parse_math=False)
    return figure


def _check_sizes(frame, layer_sizes):
    """Return the first width of every layer, by layer."""
    sizes = layer_sizes if isinstance(layer_sizes, Mapping) else dict(enumerate(layer_sizes))
    removed = frame["layer"].value_counts()
    for layer, count in removed.items():
        if layer not in sizes:
            raise ValueError(f"layer_sizes lacks layer {layer!r}; it has {list(sizes)}.")
        if count > sizes[layer]:
            raise ValueError(
                f"frame removes {count} neurons from layer {layer!r}, "
                f"but layer_sizes gives it {sizes[layer]}."
            )
    return sizes


def _draw_width(ax, epochs, size, last, style):
    counts = epochs.value_counts().sort_index()
    # Half an epoch more, so that the width after the last removal shows.
    at = np.concatenate([[0], counts.index, [last + 0.5]])
    left = size - np.concatenate([[0], counts.cumsum(), [counts.sum()]])
    (line,) = ax.step(at, left, where="post", linewidth=1.8, **style)
    return line


def _draw_scores(ax, rows, position, n_layers, style):
    """Draw one layer's scores, beside those of the other layers of the same epoch."""
    if len(rows) == 0:
        return
    shift = (position - (n_layers - 1) / 2) * 0.8 / n_layers
    medians = rows.groupby("epoch")["score"].median()
    # A fixed zigzag, so that equal scores of one tuning do not cover each other.
    zigzag = rows.groupby("epoch").cumcount() % 5 - 2
    ax.scatter(
        rows["epoch"] + shift + zigzag * 0.12 / n_layers,
        rows["score"],
        s=10,
        alpha=0.5,
        linewidths=0,
        color=style["color"],
        rasterized=True,
    )
    ax.plot(medians.index + shift, medians, linewidth=1.5, **style)


def _layer_name(layer):
    return layer if isinstance(layer, str) else f"layer {layer}"


def _finish_panel(ax, label):
    ax.set_xlabel("epoch")
    ax.set_ylabel(label, parse_math=False)
    integer_ticks(ax.xaxis)
    clear_spines(ax)


def training_history(
    history: pd.DataFrame,
    *,
    metrics: Sequence[str] | None = None,
    ax: Axes | Sequence[Axes] | np.ndarray | None = None,
    title: str | None = None,
) -> Figure:
    """Draw losses and metrics over the epochs, a panel for each of them.

    Columns that differ only in ``train_`` and ``valid_`` share a panel.

    Parameters
    ----------
    history : DataFrame, one row an epoch
        For instance an estimator's ``history_``. Its column ``epoch`` numbers the epochs, which
        are counted from 1 without it.
    metrics : sequence of str, default=None
        The columns to draw. None draws every numeric column with a number in it, except
        durations (``dur``), markers of the best epoch (``*_best``) and counts of batches.
    ax : matplotlib.axes.Axes or sequence of them, default=None
        Where to draw, one for each panel; None draws into a new figure.
    title : str, default=None
        Title of the figure (drawn only into a new one).

    Returns
    -------
    matplotlib.figure.Figure
        With one panel for the losses and one for each other metric.

    Raises
    ------
    ValueError
        If `history` is empty, or lacks one of `metrics`, or holds nothing to draw.

    Examples
    --------
    >>> import pandas as pd
    >>> from sknninterp.plotting import training_history
    >>> history = pd.DataFrame(
    ...     {"epoch": [1, 2], "train_loss": [0.9, 0.5], "valid_loss": [1.0, 0.8],
    ...      "valid_acc": [0.6, 0.7], "dur": [0.1, 0.1]}
    ... )
    >>> [ax.get_ylabel() for ax in training_history(history).axes]
    ['loss', 'acc']
    """
    if len(history) == 0:
        raise ValueError("history is empty: it has no epoch to draw.")
    if metrics is None:
        metrics = _metric_columns(history)
    check_columns(history, metrics, "history")
    if not len(metrics):
        raise ValueError("history holds no numeric column of losses or metrics to draw.")
    panels: dict[str, list] = {}
    for column in metrics:
        panels.setdefault(column.removeprefix("train_").removeprefix("valid_"), []).append(column)
    figure, axes = panels_or_new(ax, len(panels), 4.3, 3.2)
    epochs = history["epoch"] if "epoch" in history.columns else np.arange(1, len(history) + 1)
    for one, (name, columns) in zip(axes, panels.items(), strict=True):
        _draw_metrics(one, epochs, history[columns])
        _finish_panel(one, name)
    if ax is None and title is not None:
        figure.suptitle(title, parse_math=False)
    return figure


def _metric_columns(history):
    """Return the columns that hold a loss or a metric, the losses first."""
    columns = [
        column
        for column in history.columns
        if pd.api.types.is_numeric_dtype(history[column])
        and not pd.api.types.is_bool_dtype(history[column])
        and history[column].notna().any()
        and column not in ("epoch", "dur")
        and not column.endswith(("_best", "batch_count"))
    ]
    return sorted(columns, key=lambda column: not column.endswith("loss"))


def _draw_metrics(ax, epochs, frame):
    handles = []
    # A single epoch is a point, which a line would not show.
    marker = "o" if len(frame) == 1 else None
    for column in frame.columns:
        color = PALETTE[1] if column.startswith("valid_") else PALETTE[0]
        (line,) = ax.plot(epochs, frame[column], color=color, marker=marker, linewidth=1.8)
        handles.append(line)
    if len(handles) > 1 or frame.columns[0].startswith(("train_", "valid_")):
        names = {"train_": "training", "valid_": "validation"}
        legend(ax, handles, [names.get(column[:6], column) for column in frame.columns])
