"""Activation patterns: entropy beside accuracy, and how neurons fire for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sknninterp.plotting._common import (
    NEUTRAL,
    PALETTE,
    SEQUENTIAL,
    Names,
    axes_or_new,
    check_columns,
    check_count,
    check_length,
    check_values,
    clear_spines,
    integer_ticks,
    label_rows,
    legend,
    new_figure,
    panels_or_new,
    shorten,
    wrap,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PARTS = {"train": "training", "valid": "validation", "test": "test"}


def entropy_history(
    history: pd.DataFrame,
    *,
    entropy: str = "entropy",
    metrics: Sequence[str] | None = None,
    ax: Sequence[Axes] | np.ndarray | None = None,
    title: str | None = None,
) -> Figure:
    """Draw activation entropy over the epochs, and below it accuracies or losses.

    The panels lie one upon the other, with the same epochs, since two scales in one panel would
    cross wherever they were made to. The legend of a metric tells how the entropy goes with it over
    the epochs: Pearson's correlation r and Spearman's rank correlation ρ, as in Figure 2 of [1]_.

    Parameters
    ----------
    history : DataFrame, one row an epoch
        For instance an estimator's ``history_``. Its column ``epoch`` numbers the epochs, which
        are counted from 1 without it.
    entropy : str, default="entropy"
        The column with the entropy. Epochs without one (NaN) are left out of it, and of the
        correlations.
    metrics : sequence of str, default=None
        The columns to compare with. Those that differ only in ``train_``, ``valid_`` and ``test_``
        share a panel. None draws the accuracies, columns with ``acc`` in their names, or else the
        losses.
    ax : sequence of matplotlib.axes.Axes, default=None
        Where to draw, one for the entropy and one for each panel of metrics; None draws into a new
        figure.
    title : str, default=None
        Title of the figure (drawn only into a new one).

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If `history` is empty, lacks a column or holds no numbers in it, or has nothing to compare
        with.

    References
    ----------
    .. [1] *Leveraging Neuron Activation Patterns to Explain and Improve Deep Learning Classifiers*.

    Examples
    --------
    >>> import pandas as pd
    >>> from sknninterp.plotting import entropy_history
    >>> history = pd.DataFrame(
    ...     {"entropy": [90, 80, 76, 75], "train_acc": [0.6, 0.8, 0.9, 0.95],
    ...      "valid_acc": [0.6, 0.7, 0.75, 0.74]}
    ... )
    >>> upper, lower = entropy_history(history).axes
    >>> [text.get_text() for text in lower.get_legend().get_texts()]
    ['training: r −0.99, ρ −1.00', 'validation: r −0.99, ρ −0.80']
    """
    if len(history) == 0:
        raise ValueError("history is empty: it has no epoch to draw.")
    metrics = _metrics(history, entropy) if metrics is None else list(metrics)
    _check_numbers(history, [entropy, *metrics])
    if not metrics:
        raise ValueError("history holds no column of accuracies or losses: pass metrics.")
    panels: dict[str, dict[str, str]] = {}
    for column in metrics:
        part, _, name = column.partition("_")
        known = part in _PARTS and name
        panels.setdefault(name if known else column, {})[column] = _PARTS[part] if known else column
    figure, (upper, *lower) = _stacked(ax, 1 + len(panels))
    epochs = history["epoch"] if "epoch" in history.columns else np.arange(1, len(history) + 1)
    _draw_line(upper, epochs, history[entropy], "black")
    upper.set_ylabel(f"{entropy.replace('_', ' ')} (bits)", parse_math=False)
    for one, (name, columns) in zip(lower, panels.items(), strict=True):
        _draw_panel(one, epochs, history, columns, history[entropy])
        one.set_ylabel({"acc": "accuracy"}.get(name, name), parse_math=False)
    for one in (upper, *lower):
        integer_ticks(one.xaxis)
        clear_spines(one)
    lower[-1].set_xlabel("epoch")
    if ax is None and title is not None:
        figure.suptitle(title, parse_math=False)
    return figure


def _metrics(history, entropy):
    """Return the columns of accuracies, or else those of losses."""
    columns = [
        str(column)
        for column in history.columns
        if pd.api.types.is_numeric_dtype(history[column])
        and not pd.api.types.is_bool_dtype(history[column])
        and history[column].notna().any()
        and not str(column).startswith(entropy)
    ]
    accuracies = [column for column in columns if "acc" in column]
    return accuracies or [column for column in columns if column.endswith("loss")]


def _check_numbers(history, columns):
    check_columns(history, columns, "history")
    for column in columns:
        values = history[column]
        if not pd.api.types.is_numeric_dtype(values) or not np.isfinite(values.dropna()).all():
            raise ValueError(f"history[{column!r}] must hold finite numbers (or NaN).")
        if values.notna().sum() == 0:
            raise ValueError(f"history[{column!r}] holds no numbers.")


def _stacked(ax, n_panels):
    if ax is not None:
        return panels_or_new(ax, n_panels, 0, 0)
    figure = new_figure(5.2, 0.6 + 2.2 * n_panels)
    return figure, list(figure.subplots(n_panels, 1, sharex=True))


def _draw_line(ax, epochs, values, color, **options):
    known = values.notna().to_numpy()
    # Few epochs are points, which a line alone would not tell from many.
    marker = "o" if known.sum() <= 30 else None
    at = np.asarray(epochs)[known]
    (line,) = ax.plot(at, values[known], color=color, marker=marker, markersize=3.5, **options)
    return line


def _draw_panel(ax, epochs, history, columns, entropy):
    handles = []
    for position, column in enumerate(columns):
        color = PALETTE[position % len(PALETTE)]
        handles.append(_draw_line(ax, epochs, history[column], color))
    drawn = legend(ax, handles, list(columns.values()), loc="best", fontsize="small")
    for text, column in zip(drawn.get_texts(), columns, strict=True):
        text.set_text(f"{text.get_text()}: {_correlations(entropy, history[column])}")


def _correlations(entropy, metric):
    """Return Pearson's and Spearman's correlation in words; a dash where there is none."""
    known = entropy.notna() & metric.notna()
    pairs = entropy[known].astype(float), metric[known].astype(float)
    found = []
    for sign, (a, b) in {"r": pairs, "ρ": [values.rank() for values in pairs]}.items():
        varies = len(a) > 2 and min(np.ptp(a), np.ptp(b)) > 0
        number = f"{np.corrcoef(a, b)[0, 1]:.2f}".replace("-", "−") if varies else "–"
        found.append(f"{sign} {number}")
    return ", ".join(found)


def activation_map(
    probabilities: ArrayLike,
    classes: Names | None = None,
    layers: dict | None = None,
    *,
    order: str = "class",
    n: int | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw how often every neuron fires for every class, a row for each class.

    Parameters
    ----------
    probabilities : array-like of shape (n_classes, n_neurons)
        Of each neuron to fire for a class, in [0, 1], such as ``activation_probabilities_``.
    classes : sequence of shape (n_classes,), default=None
        Names of the classes; None stands for 0, 1, ...
    layers : dict of str to int or tuple of int, default=None
        Number, or shape, of the neurons of each layer, in the order of the columns, such as
        ``layers_``. Layers are marked off; None is a single layer.
    order : {"class", "given"}, default="class"
        Neurons of a layer by the class that they fire for most, and there by selectivity, how much
        more that is than the mean over the other classes; those that never fire come last. Or as
        given.
    n : int, default=None
        The number of neurons shown of each layer, the most selective ones; None shows all.
    ax : matplotlib.axes.Axes, default=None
        Where to draw; None draws into a new figure.
    title : str, default=None
        Title of the plot.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If `probabilities` are none, or `classes`, `layers`, `order` or `n` do not fit them.

    Examples
    --------
    >>> from sknninterp.plotting import activation_map
    >>> P = [[0.1, 0.9, 0.0, 0.5], [0.8, 0.2, 0.0, 0.6]]
    >>> ax = activation_map(P, ["ill", "well"], {"hidden0": 3, "hidden1": 1})
    >>> ax.images[0].get_array()[0].tolist()
    [0.9, 0.1, 0.0, 0.5]
    """
    probabilities = _check_probabilities(probabilities)
    names = _class_names(classes, len(probabilities))
    sizes = _sizes(layers, probabilities.shape[1])
    if order not in ("class", "given"):
        raise ValueError(f"order must be 'class' or 'given', got {order!r}.")
    n = check_count(n, "n", max(sizes.values()))
    starts = np.cumsum([0, *sizes.values()])[:-1]
    shown = [
        start + _order(probabilities[:, start : start + size], order, n)
        for start, size in zip(starts, sizes.values(), strict=True)
    ]
    matrix = probabilities[:, np.concatenate(shown)]
    ax = axes_or_new(ax, 8.5, max(2.6, 1.4 + 0.26 * len(names)))
    picture = ax.imshow(
        matrix, aspect="auto", cmap=SEQUENTIAL, vmin=0, vmax=1, interpolation="nearest"
    )
    colors = ax.figure.colorbar(picture, ax=ax, aspect=25, pad=0.02)
    colors.set_label("probability to fire")
    label_rows(ax, names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_ylabel("class")
    _mark_layers(ax, list(sizes) if layers is not None else None, [len(part) for part in shown])
    if title is not None:
        ax.set_title(title, parse_math=False)
    _label_neurons(ax, order, matrix.shape[1], probabilities.shape[1])
    return ax


def _check_probabilities(probabilities) -> np.ndarray:
    probabilities = check_values(probabilities, "probabilities", (2,))
    if len(probabilities) < 2:
        raise ValueError(f"probabilities must have two classes, got shape {probabilities.shape}.")
    if probabilities.min() < 0 or probabilities.max() > 1:
        raise ValueError(
            "probabilities must lie in [0, 1]; they go from"
            f" {probabilities.min():.3g} to {probabilities.max():.3g}."
        )
    return probabilities


def _class_names(classes, n_classes):
    if classes is None:
        return [str(c) for c in range(n_classes)]
    check_length(classes, "classes", n_classes, "classes (rows of probabilities)")
    return [str(c) for c in classes]


def _sizes(layers, n_neurons):
    """Return the number of neurons of every layer."""
    if layers is None:
        return {"": n_neurons}
    if not isinstance(layers, Mapping):
        raise ValueError(f"layers must be a dict of names to sizes, got {layers!r}.")
    sizes = {name: int(np.prod(size)) for name, size in layers.items()}
    if sum(sizes.values()) != n_neurons or min(sizes.values()) < 1:
        raise ValueError(
            f"layers has {sum(sizes.values())} neurons, but probabilities has {n_neurons} columns."
        )
    return sizes


def _differences(probabilities):
    """Return how much more each neuron fires for a class than, on average, for the others."""
    others = (probabilities.sum(axis=0) - probabilities) / (len(probabilities) - 1)
    return probabilities - others


def _order(probabilities, order, n):
    """Return the positions of the neurons of one layer that are shown, from left to right."""
    best = probabilities.argmax(axis=0)
    selectivity = _differences(probabilities).max(axis=0)
    dead = ~probabilities.any(axis=0)
    chosen = np.sort(np.lexsort((-selectivity, dead))[:n])
    if order == "given":
        return chosen
    return chosen[np.lexsort((-selectivity[chosen], best[chosen], dead[chosen]))]


def _mark_layers(ax, names, widths):
    """Draw lines between layers, and their names above."""
    ends = np.cumsum(widths)
    for end in ends[:-1]:
        for color, width in (("white", 5), ("black", 1.5)):  # seen on dark and on pale cells
            ax.axvline(end - 0.5, color=color, linewidth=width)
    if names is None:
        return
    upper = ax.secondary_xaxis("top")
    upper.set_xticks(ends - np.asarray(widths) / 2 - 0.5, [shorten(x, 20) for x in names])
    for label in upper.get_xticklabels():
        label.set_parse_math(False)
    upper.tick_params(length=0)
    upper.spines["top"].set_visible(False)


def _label_neurons(ax, order, n_shown, n_neurons):
    of = f"{n_shown:,} of {n_neurons:,}" if n_shown < n_neurons else f"{n_neurons:,}"
    how = ", by the class that they fire for most" if order == "class" else ""
    ax.set_xlabel(f"{of} neurons{how}")
    if order == "class" or n_shown < n_neurons:
        ax.set_xticks([])  # a place in the new order is no neuron's number
    else:
        integer_ticks(ax.xaxis)


def neuron_overlap(
    probabilities: ArrayLike,
    classes: Names | None = None,
    *,
    k: int = 10,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw how many of their representative neurons each two classes share.

    A class's representative neurons are those that fire more for it than, on average, for the other
    classes; the `k` with the largest difference, or fewer if there are not as many.

    Parameters
    ----------
    probabilities : array-like of shape (n_classes, n_neurons)
        Of each neuron to fire for a class, in [0, 1], such as ``activation_probabilities_``.
    classes : sequence of shape (n_classes,), default=None
        Names of the classes; None stands for 0, 1, ...
    k : int, default=10
        Number of representative neurons of a class, at most that of all.
    ax : matplotlib.axes.Axes, default=None
        Where to draw; None draws into a new figure.
    title : str, default=None
        Title of the plot.

    Returns
    -------
    matplotlib.axes.Axes
        The numbers are those of ``ax.images[0].get_array()``, masked where a class would meet
        itself. The label tells how many two classes would share if theirs were drawn at random,
        k² / n_neurons.

    Raises
    ------
    ValueError
        If `probabilities` are none, or `classes` or `k` do not fit them.

    Examples
    --------
    >>> from sknninterp.plotting import neuron_overlap
    >>> P = [[0.9, 0.7, 0.1, 0.1], [0.8, 0.1, 0.7, 0.1], [0.1, 0.1, 0.1, 0.9]]
    >>> neuron_overlap(P, ["dog", "cat", "fish"], k=2).images[0].get_array()[0].tolist()
    [None, 1, 0]
    """
    probabilities = _check_probabilities(probabilities)
    n_neurons = probabilities.shape[1]
    names = _class_names(classes, len(probabilities))
    if check_count(k, "k") > n_neurons:
        raise ValueError(f"k={k} is more than the number of neurons, {n_neurons}.")
    differences = _differences(probabilities)
    order = np.argsort(-differences, axis=1, kind="stable")[:, :k]
    member = np.zeros(probabilities.shape, dtype=int)
    np.put_along_axis(member, order, 1, axis=1)
    member[differences <= 0] = 0
    shared = np.ma.masked_array(member @ member.T, np.eye(len(names), dtype=bool))
    side = max(2.4, 0.42 * len(names))
    ax = axes_or_new(ax, side + 1.9, side + 1.2)
    picture = ax.imshow(shared, cmap=SEQUENTIAL, vmin=0, vmax=max(int(shared.max()), 1))
    ax.set_facecolor("0.93")
    _write_counts(ax, shared, picture)
    label_rows(ax, names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xticks(range(len(names)), [shorten(name, 16) for name in names], parse_math=False)
    if max(map(len, names)) > 2:
        ax.tick_params(axis="x", rotation=90)
    ax.tick_params(length=0)
    label = f"of the {k} representative neurons of a class,\nshared with another's (by chance"
    ax.set_xlabel(wrap(f"{label} {k * k / n_neurons:.2g})"))
    clear_spines(ax, ("left", "right", "top", "bottom"))
    if title is not None:
        ax.set_title(title, parse_math=False)
    return ax


def _write_counts(ax, shared, picture):
    """Write each number where it stands, pale on dark."""
    for i, j in zip(*np.nonzero(~np.ma.getmaskarray(shared)), strict=True):
        dark = picture.norm(shared[i, j]) > 0.6
        color = "white" if dark else "black" if shared[i, j] else NEUTRAL
        ax.text(j, i, f"{shared[i, j]}", ha="center", va="center", color=color)
