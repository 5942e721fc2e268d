"""Scores of hidden nodes and filters, and how often a feature comes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sknninterp.plotting._common import (
    DIVERGING,
    NEGATIVE,
    PALETTE,
    POSITIVE,
    SEQUENTIAL,
    Names,
    axes_or_new,
    check_choice,
    check_count,
    check_length,
    check_max_display,
    check_positions,
    check_values,
    clear_spines,
    integer_ticks,
    label_axis,
    label_rows,
    legend,
    panels_or_new,
    relative,
    series_style,
    shorten,
    symmetric_limit,
    wrap,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKED_NODES = 30
_NUMBERED_CELLS = 200
_MAX_RANKS = 20
_MAX_COLUMN_NAMES = 60
_MARK = PALETTE[3]


def score_spectrum(
    scores: dict,
    *,
    output_names: Names | str | None = None,
    normalize: bool = True,
    ax: Axes | Sequence[Axes] | np.ndarray | None = None,
    max_display: int = 10,
    value_label: str = "influential score",
    title: str | None = None,
) -> Figure:
    """Draw the sorted scores of the nodes of hidden layers: a panel a layer, a line an output.

    The curve falls from the nodes that support an output most to those that oppose it most. Each
    output sorts the nodes on its own, so that one place on two lines need not be one node. A note
    says how few nodes hold half of an output's summed magnitude: the least and the most over the
    outputs drawn.

    Parameters
    ----------
    scores : dict of {str: array-like of shape (n_nodes,) or (n_nodes, n_outputs)}
        The nodes' signed scores, such as their means over samples, by layer. All layers have the
        same outputs.
    output_names : sequence of shape (n_outputs,) or str, default=None
        Names of the outputs; None takes the columns of DataFrames, or else ``0, 1, ...``.
    normalize : bool, default=True
        Whether each line is divided by its own largest magnitude. Influential scores shrink with
        the depth of the network that lies between, so that only shapes compare between layers.
    ax : matplotlib.axes.Axes or sequence of them, default=None
        Where to draw, one for each layer; None draws into a new figure.
    max_display : int, default=10
        Number of outputs drawn: the first ones.
    value_label : str, default="influential score"
        What the scores measure: the label of the vertical axis.
    title : str, default=None
        Title of the figure (drawn only into a new one).

    Returns
    -------
    matplotlib.figure.Figure
        With one panel for each layer. The horizontal axis is the rank of the node, or the share
        of the layer's nodes where layers differ in width.

    Raises
    ------
    ValueError
        If `scores` is empty or not finite, if layers differ in their outputs or `output_names`
        does not fit them, if `max_display` is not a positive integer, or if `ax` does not hold
        one Axes a layer.

    References
    ----------
    Jung, Shin, Kwon, *A Metric to Measure Contribution of Nodes in Neural Networks*, Figures 4, 5.

    Examples
    --------
    >>> from sknninterp.plotting import score_spectrum
    >>> figure = score_spectrum({"hidden1": [0.2, -0.1, 0.4], "hidden2": [0.0, 0.7, -0.3]})
    >>> figure.axes[0].lines[0].get_ydata().tolist()
    [1.0, 0.5, -0.25]
    """
    max_display = check_max_display(max_display)
    layers, names = _check_layers(scores, output_names)
    n_shown = min(max_display, len(names))
    same_width = len({len(nodes) for nodes in layers.values()}) == 1
    figure, panels = panels_or_new(ax, len(layers), 3.6 if len(layers) > 1 else 4.6, 3.0)
    for position, (panel, (layer, nodes)) in enumerate(zip(panels, layers.items(), strict=True)):
        lines = _draw_spectrum(panel, nodes[:, :n_shown], normalize, same_width)
        panel.set_title(shorten(layer), fontsize="medium", parse_math=False)
        # A new figure has three panels in a row, which share the label on the left.
        if ax is not None or position % 3 == 0:
            label = f"{value_label}\n(share of output's largest)" if normalize else value_label
            panel.set_ylabel(wrap(label, 36), parse_math=False)
    if n_shown > 1 or output_names is not None:
        _label_outputs(figure, panels, lines, names, new=ax is None)
    if ax is None and title is not None:
        figure.suptitle(title, parse_math=False)
    return figure


def _check_layers(scores, output_names):
    """Return the scores by layer, shape (n_nodes, n_outputs) each, and the outputs' names."""
    if not isinstance(scores, Mapping):
        raise TypeError(
            f"scores must be a mapping from layers to arrays, got {type(scores).__name__}."
        )
    if not scores:
        raise ValueError("scores is empty: it has no layer to draw.")
    layers = {}
    for layer, values in scores.items():
        values = check_values(values, f"scores[{layer!r}]", (1, 2))
        layers[layer] = values.reshape(len(values), -1)
    n_outputs = {layer: nodes.shape[1] for layer, nodes in layers.items()}
    if len(set(n_outputs.values())) > 1:
        raise ValueError(f"scores must have the same outputs in all layers, got {n_outputs}.")
    layer, values = next(iter(scores.items()))
    return layers, _labels(output_names, "output_names", values, 1, n_outputs[layer], "outputs")


def _labels(names, parameter, values, axis, length, of, prefix=""):
    """Return the names along an axis: those given, those of a DataFrame, or numbers."""
    if names is None and isinstance(values, pd.DataFrame):
        names = values.axes[axis]
    if names is None:
        return [f"{prefix}{i}" for i in range(length)]
    names = [names] if isinstance(names, str) else list(names)
    check_length(names, parameter, length, of)
    return [str(name) for name in names]


def _draw_spectrum(ax, nodes, normalize, same_width):
    """Draw the sorted scores of one layer and return a line for each output."""
    n_nodes, n_outputs = nodes.shape
    sorted_scores = -np.sort(-nodes, axis=0)
    if normalize:
        sorted_scores = relative(sorted_scores, 0)
        ax.set_ylim(-1.08, 1.08)
    ranks = np.arange(1, n_nodes + 1)
    at = ranks if same_width else (ranks - 0.5) / n_nodes
    marker = {"marker": "o", "markersize": 3} if n_nodes <= _MARKED_NODES else {}
    lines = []
    for position, curve in enumerate(sorted_scores.T):
        style = series_style(position) if n_outputs > 1 else {"color": "0.15"}
        lines += ax.plot(at, curve, linewidth=1.5 if n_outputs <= 3 else 1.1, **style, **marker)
    if n_outputs == 1:
        for side, color in ((np.maximum, POSITIVE), (np.minimum, NEGATIVE)):
            ax.fill_between(at, side(curve, 0), color=color, alpha=0.35, linewidth=0)
    ax.axhline(0, color="black", linewidth=0.8, zorder=1)
    if same_width:
        integer_ticks(ax.xaxis)
        ax.set_xlabel("rank of the node")
    else:
        ax.set_xlim(-0.02, 1.02)
        ax.xaxis.set_major_formatter("{x:.0%}")
        ax.set_xlabel("share of the nodes, by rank")
    # The corner below the falling curve is free.
    counts = _n_carrying_half(nodes)
    span = "–".join(f"{n:,}" for n in sorted({counts.min(), counts.max()}))
    note = f"half of the magnitude\nin {span} of {n_nodes:,} nodes"
    ax.text(0.04, 0.04, note, transform=ax.transAxes, fontsize="small", color="0.35")
    clear_spines(ax)
    return lines


def _n_carrying_half(nodes):
    """Return, for each output, how few nodes hold half of the summed magnitude."""
    cumulated = np.cumsum(-np.sort(-np.abs(nodes), axis=0), axis=0)
    return (cumulated < cumulated[-1] / 2).sum(axis=0) + (cumulated[-1] > 0)


def _label_outputs(figure, panels, lines, names, new):
    """Draw one legend for all panels, beside them or, if they were given, beside the last one."""
    shown = names[: len(lines)]
    all_shown = len(shown) == len(names)
    title = "output" if all_shown else f"first {len(shown):,} of\n{len(names):,} outputs"
    if new:
        place = {"loc": "outside right upper", "ncols": -(-len(shown) // 12)}
        legend(figure, lines, shown, title=title, **place)
    else:
        place = {"loc": "upper left", "bbox_to_anchor": (1, 1), "labelspacing": 0.2}
        legend(panels[-1], lines, shown, title=title, fontsize="small", **place)


def filter_scores(
    scores: ArrayLike,
    kernels: ArrayLike | None = None,
    *,
    output_names: Names | str | None = None,
    filter_names: Names | None = None,
    signed: bool = True,
    scale: str = "figure",
    ax: Axes | None = None,
    max_display: int | None = None,
    value_label: str = "influential score",
    title: str | None = None,
) -> Axes:
    """Draw the scores of a convolutional layer's filters: a row a filter, a column an output.

    Signed scores have colours that diverge from zero, which is white; unsigned ones a single hue
    for their magnitude. The kernels lie beside the rows, each on its own scale of greys: zero is
    mid-grey, what adds is brighter and what subtracts is darker.

    Parameters
    ----------
    scores : array-like of shape (n_filters, n_outputs) or (n_filters,)
        The scores, each the sum over the positions of a filter's channel.
    kernels : array-like of shape (n_filters, [n_channels,] height, width), default=None
        The filters' weights. Input channels are added up.
    output_names : sequence of shape (n_outputs,) or str, default=None
        Names of the outputs; None takes the columns of a DataFrame, or else ``0, 1, ...``.
    filter_names : sequence of shape (n_filters,), default=None
        Names of the filters; None takes the index of a DataFrame, or else ``filter 0, ...``.
    signed : bool, default=True
        Whether the sign of a score means something; if not, magnitudes are drawn.
    scale : {"figure", "panel"}, default="figure"
        ``"figure"`` gives all outputs one scale of colours, so that they can be compared;
        ``"panel"`` divides every output's column by its own largest magnitude.
    ax : matplotlib.axes.Axes, default=None
        Where to draw; None draws into a new figure.
    max_display : int, default=None
        Number of filters shown: those with the largest mean magnitude, in the order given. None
        shows all.
    value_label : str, default="influential score"
        What the scores measure: the label of the colour bar.
    title : str, default=None
        Title of the plot.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn. The kernels, and with them the names of the filters, are in its only
        child Axes.

    Raises
    ------
    ValueError
        If `scores` or `kernels` is empty or not finite or has another shape, if names do not fit,
        if `scale` is unknown, or if `max_display` is not a positive integer.

    References
    ----------
    Jung, Shin, Kwon, *A Metric to Measure Contribution of Nodes in Neural Networks*, Figure 7.

    Examples
    --------
    >>> from sknninterp.plotting import filter_scores
    >>> scores = [[0.2, -0.1], [0.0, 0.1], [-0.4, 0.3]]
    >>> ax = filter_scores(scores, filter_names=["box", "emboss", "sobel x"], max_display=2)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['box', 'sobel x']
    """
    check_choice(scale, "scale", ("figure", "panel"))
    matrix, outputs, filters = _check_filters(scores, output_names, filter_names, signed)
    n_filters, n_outputs = matrix.shape
    if kernels is not None:
        kernels = _check_kernels(kernels, n_filters)
    n_shown = n_filters if max_display is None else check_max_display(max_display)
    shown = np.sort(np.argsort(-np.abs(matrix).mean(axis=1), kind="stable")[:n_shown])
    label = value_label if signed else f"magnitude of {value_label}"
    if scale == "panel":
        matrix, label = relative(matrix, 0), f"{label}\n(share of output's largest)"
    height = 0.23 * max(len(shown), 8)
    thumbnail = 0 if kernels is None else height / len(shown)
    ax = axes_or_new(ax, 3 + thumbnail + min(0.42 * n_outputs, 12), 1.4 + height)
    limit = symmetric_limit(matrix[shown])
    _draw_matrix(ax, matrix[shown], -limit if signed else 0, limit, label)
    _label_columns(ax, outputs)
    rows = ax if kernels is None else _draw_kernels(ax, kernels[shown])
    label_rows(rows, [filters[i] for i in shown])
    for one in {ax, rows}:
        one.set_ylim(len(shown) - 0.5, -0.5)
    note = f"\n({len(shown):,} of {n_filters:,} filters shown)" if len(shown) < n_filters else ""
    label_axis(ax, f"output{note}", title=title)
    return ax


def _check_filters(scores, output_names, filter_names, signed):
    """Return the scores, shape (n_filters, n_outputs), and the names of outputs and filters."""
    matrix = check_values(scores, "scores", (1, 2))
    matrix = matrix.reshape(len(matrix), -1)
    n_filters, n_outputs = matrix.shape
    outputs = _labels(output_names, "output_names", scores, 1, n_outputs, "outputs")
    filters = _labels(filter_names, "filter_names", scores, 0, n_filters, "filters", "filter ")
    return matrix if signed else np.abs(matrix), outputs, filters


def _check_kernels(kernels, n_filters) -> np.ndarray:
    """Return the kernels, shape (n_filters, height, width), each with a largest magnitude of 1."""
    kernels = check_values(kernels, "kernels", (3, 4))
    check_length(kernels, "kernels", n_filters, "filters")
    return relative(kernels if kernels.ndim == 3 else kernels.sum(axis=1), (1, 2))


def _draw_matrix(ax, matrix, low, high, label):
    """Draw a matrix with a colour bar, and return the bar."""
    colors = {"cmap": DIVERGING if low < 0 else SEQUENTIAL, "vmin": low, "vmax": high}
    picture = ax.imshow(matrix, aspect="auto", interpolation="nearest", **colors)
    # A bar as long as a tall matrix would be no easier to read.
    size = {"shrink": min(1, 3 * ax.figure.dpi / ax.bbox.height), "anchor": (0, 1), "aspect": 20}
    ends = "max" if matrix.max() > high else "neither"
    bar = ax.figure.colorbar(picture, ax=ax, pad=0.03, extend=ends, **size)
    bar.set_label(wrap(label, 32), parse_math=False)
    bar.outline.set_visible(False)
    return bar


def _label_columns(ax, labels):
    """Name the columns of a matrix, sideways where names are long, or only some of very many."""
    step = -(-len(labels) // _MAX_COLUMN_NAMES)
    names = [shorten(label, 24) for label in labels[::step]]
    ax.set_xticks(range(0, len(labels), step), names, parse_math=False)
    sideways = max(map(len, names)) > 4 or len(names) > _MAX_COLUMN_NAMES // 2
    ax.tick_params(axis="x", length=0, rotation=90 if sideways else 0)


def _draw_kernels(ax, kernels):
    """Draw the kernels left of the rows of `ax`, and return their Axes."""
    from matplotlib.patches import Rectangle

    # Wider than needed: with equal units on both axes it shrinks to squares as high as the rows.
    strip = ax.inset_axes([-1.02, 0, 1, 1], anchor="E")
    _, height, width = kernels.shape
    half = 0.42 * np.array([width, height]) / max(width, height)
    for row, kernel in enumerate(kernels):
        extent = (-half[0], half[0], row + half[1], row - half[1])
        strip.imshow(kernel, cmap="gray", vmin=-1, vmax=1, extent=extent, interpolation="nearest")
        frame = Rectangle((-half[0], row - half[1]), *2 * half, fill=False, edgecolor="0.3")
        frame.set_linewidth(0.5)
        strip.add_patch(frame)
    strip.set(xlim=(-0.5, 0.5), xticks=[], aspect="equal")
    clear_spines(strip, ("left", "right", "top", "bottom"))
    ax.set_yticks([])
    return strip


def rank_distribution(
    ranks: ArrayLike,
    *,
    names: Names | None = None,
    n_ranks: int | None = None,
    relevant: ArrayLike | None = None,
    ax: Axes | None = None,
    max_display: int = 20,
    value_label: str = "rank",
    title: str | None = None,
) -> Axes:
    """Draw how often each feature has which rank: a row a feature, a column a rank.

    The features with the smallest mean rank are on top. The names of the truly relevant features,
    where those are known, are bold and coloured, and a line ends the ranks that they would fill
    if they always came first. Shares are written into the cells, in percent, where these are few.

    Parameters
    ----------
    ranks : array-like of int of shape (n_samples, n_features)
        Every feature's rank in every sample, from 1.
    names : sequence of shape (n_features,), default=None
        Names of the features; None takes the columns of a DataFrame, or else ``x0, x1, ...``.
    n_ranks : int, default=None
        Number of ranks with a column of their own; the lower ones share a last column. None is
        the number of all ranks, at most 20.
    relevant : sequence of int, default=None
        Positions of the truly relevant features.
    ax : matplotlib.axes.Axes, default=None
        Where to draw; None draws into a new figure.
    max_display : int, default=20
        Number of features shown: the `relevant` ones, then those with the smallest mean rank.
    value_label : str, default="rank"
        What the ranks are, such as ``"rank by score towards 0"``: the label of the axis.
    title : str, default=None
        Title of the plot.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    ValueError
        If `ranks` is empty or holds anything but whole numbers from 1, if `names` or `relevant`
        does not fit it, or if `n_ranks` or `max_display` is not a positive integer.

    References
    ----------
    Jung, Shin, Kwon, *A Metric to Measure Contribution of Nodes in Neural Networks*, Figure 3.

    Examples
    --------
    >>> from sknninterp.plotting import rank_distribution
    >>> ax = rank_distribution([[2, 1, 3], [3, 1, 2]], names=["age", "sex", "dose"], relevant=[1])
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['sex', 'age', 'dose']
    """
    max_display = check_max_display(max_display)
    values = check_values(ranks, "ranks", (2,))
    wrong = values[(values < 1) | (values != np.round(values))]
    if wrong.size:
        raise ValueError(f"ranks must be whole numbers from 1, got {wrong[0]:g}.")
    n_features = values.shape[1]
    names = _labels(names, "names", ranks, 1, n_features, "features", "x")
    relevant = [] if relevant is None else relevant
    relevant = np.unique(check_positions(relevant, "relevant", n_features, "features"))
    n_ranks = _check_n_ranks(n_ranks, values)
    shares, columns = _shares(values, n_ranks)
    mean_rank = values.mean(axis=0)
    # Relevant features that rank low are what a reader must not miss.
    shown = np.lexsort((mean_rank, ~np.isin(np.arange(n_features), relevant)))[:max_display]
    shown = shown[np.argsort(mean_rank[shown], kind="stable")]
    shares = shares[shown]
    # A last column that adds up many ranks would make the others look alike.
    limit = symmetric_limit(shares[:, :n_ranks])
    ax = axes_or_new(ax, 3.2 + 0.46 * max(len(columns), 5), 1.5 + 0.32 * max(len(shown), 5))
    label = f"share of {len(values):,} samples" if len(values) > 1 else "share of 1 sample"
    bar = _draw_matrix(ax, shares, 0, limit, label)
    bar.ax.yaxis.set_major_formatter("{x:.0%}")
    if shares.size <= _NUMBERED_CELLS:
        _write_shares(ax, shares, limit)
    _label_columns(ax, columns)
    label_rows(ax, [names[feature] for feature in shown])
    ax.set_ylim(len(shown) - 0.5, -0.5)
    if len(relevant):
        value_label = _mark_relevant(ax, np.isin(shown, relevant), len(relevant), value_label)
    label_axis(ax, value_label, len(shown), n_features, title)
    return ax


def _check_n_ranks(n_ranks, ranks):
    """Return the number of ranks that have a column of their own."""
    return check_count(n_ranks, "n_ranks", min(max(int(ranks.max()), ranks.shape[1]), _MAX_RANKS))


def _shares(ranks, n_ranks):
    """Return the share of samples, shape (n_features, n_columns), and the columns' names."""
    columns = {str(rank): (ranks == rank).mean(axis=0) for rank in range(1, n_ranks + 1)}
    if ranks.max() > n_ranks:
        columns[f">{n_ranks}"] = (ranks > n_ranks).mean(axis=0)
    return np.column_stack(list(columns.values())), list(columns)


def _write_shares(ax, shares, limit):
    """Write percentages into the cells, none for zero."""
    for (row, column), share in np.ndenumerate(shares):
        if share > 0:
            text = "<1" if share < 0.005 else f"{100 * share:.0f}"
            color = "white" if share > 0.6 * limit else "0.15"
            ax.text(column, row, text, ha="center", va="center", fontsize="small", color=color)


def _mark_relevant(ax, is_relevant, n_relevant, label):
    """Mark names and ranks of the relevant features, and return a label that explains it."""
    for tick, marked in zip(ax.get_yticklabels(), is_relevant, strict=True):
        if marked:
            tick.set(color=_MARK, fontweight="bold")
    label = f"{label}\n(bold: {n_relevant:,} relevant feature{'s' * (n_relevant > 1)}"
    if n_relevant - 0.5 >= ax.get_xlim()[1]:
        return f"{label})"
    ax.axvline(n_relevant - 0.5, color=_MARK, linewidth=1.8, linestyle="--")
    return f"{label}, due left of the line)"
