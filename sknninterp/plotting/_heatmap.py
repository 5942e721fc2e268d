"""Attributions of many samples as a matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from sknninterp.plotting._common import (
    DIVERGING,
    PALETTE,
    Names,
    axes_or_new,
    check_length,
    check_max_display,
    check_values,
    clear_spines,
    feature_labels,
    integer_ticks,
    label_axis,
    label_rows,
    symmetric_limit,
    wrap,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Hierarchical clustering needs the distance of every pair of samples.
_MAX_CLUSTERED = 2000


def heatmap(
    values: ArrayLike,
    feature_names: Names | None = None,
    *,
    order: str | ArrayLike = "cluster",
    predictions: ArrayLike | None = None,
    ax: Axes | None = None,
    max_display: int = 10,
    value_label: str = "contribution",
    title: str | None = None,
) -> Axes:
    """Draw attributions as a matrix: a column for each sample, a row for each feature.

    Features are ordered by their mean magnitude, the largest on top. The colours diverge from
    zero, which is nearly white, up to the 99th percentile of the magnitudes shown; where some lie
    beyond, the colour bar has pointed ends.

    Parameters
    ----------
    values : array-like of shape (n_samples, n_features)
        Attributions towards one output.
    feature_names : sequence of str, default=None
        Names of the features; None stands for ``x0, x1, ...``.
    order : {"cluster", "given"} or array-like of int of shape (n_samples,), default="cluster"
        The order of the samples. ``"cluster"`` puts samples with like attributions (in the
        features shown) side by side, by Ward's hierarchical clustering, or along their first
        principal component if there are more than 2,000. An array holds every sample's position
        once.
    predictions : array-like of shape (n_samples,), default=None
        A number for each sample, such as the predicted probability, drawn as a line above.
    ax : matplotlib.axes.Axes, default=None
        Where to draw; None draws into a new figure.
    max_display : int, default=10
        Number of features shown.
    value_label : str, default="contribution"
        What the values measure: the label of the colour bar.
    title : str, default=None
        Title of the plot.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    ValueError
        If `values` is empty or not finite, if `feature_names`, `order` or `predictions` do not fit
        it, or if `max_display` is not a positive integer.

    Examples
    --------
    >>> from sknninterp.plotting import heatmap
    >>> ax = heatmap([[0.1, -2.0], [0.3, 1.0], [0.1, -1.8]], ["age", "sex"])
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['sex', 'age']
    """
    max_display = check_max_display(max_display)
    values = check_values(values, "values", (2,))
    names = feature_labels(feature_names, values.shape[1])
    shown = np.argsort(-np.abs(values).mean(axis=0), kind="stable")[:max_display]
    matrix = values[:, shown]
    samples = _sample_order(matrix, order)
    if predictions is not None:
        predictions = check_values(predictions, "predictions", (1,))
        check_length(predictions, "predictions", len(values), "samples")
    strip_height = 0 if predictions is None else 0.6
    ax = axes_or_new(ax, 8, max(2.8, 1.5 + 0.32 * len(shown)) + strip_height)
    limit = _limit(matrix)
    picture = ax.imshow(
        matrix[samples].T,
        aspect="auto",
        cmap=DIVERGING,
        vmin=-limit,
        vmax=limit,
        interpolation="nearest",
    )
    ends = "both" if np.abs(matrix).max() > limit else "neither"
    colors = ax.figure.colorbar(picture, ax=ax, aspect=25, pad=0.02, extend=ends)
    colors.set_label(wrap(value_label, 40), parse_math=False)
    label_rows(ax, [names[feature] for feature in shown])
    ax.set_ylim(len(shown) - 0.5, -0.5)
    if isinstance(order, str) and order == "given":
        integer_ticks(ax.xaxis)
    else:
        # A place in the new order is no sample's number.
        ax.set_xticks([])
    label_axis(ax, _samples_label(order, len(values)), len(shown), values.shape[1])
    upper = ax if predictions is None else _draw_strip(ax, predictions[samples], len(shown))
    if title is not None:
        upper.set_title(title, parse_math=False)
    return ax


def _limit(matrix):
    """Return the 99th percentile of the magnitudes, beyond which colours no longer change.

    One extreme sample would bleach all others.
    """
    return float(np.quantile(np.abs(matrix), 0.99)) or symmetric_limit(matrix)


def _sample_order(matrix, order):
    """Return the positions of the samples from left to right."""
    if isinstance(order, str):
        if order == "given":
            return np.arange(len(matrix))
        if order == "cluster":
            return _clustered(matrix)
        raise ValueError(f"order must be 'cluster', 'given' or positions, got {order!r}.")
    positions = np.asarray(order)
    if not np.array_equal(np.sort(positions, axis=None), np.arange(len(matrix))):
        raise ValueError(
            f"order must hold each of the positions 0 to {len(matrix) - 1} of the samples once."
        )
    return positions


def _clustered(matrix):
    if len(matrix) < 3:
        return np.arange(len(matrix))
    if len(matrix) > _MAX_CLUSTERED:
        centred = matrix - matrix.mean(axis=0)
        _, directions = np.linalg.eigh(centred.T @ centred)
        return np.argsort(centred @ directions[:, -1], kind="stable")
    from scipy.cluster.hierarchy import leaves_list, linkage

    return leaves_list(linkage(matrix, method="ward"))


def _samples_label(order, n_samples):
    how = "" if isinstance(order, str) and order == "given" else ", reordered"
    if isinstance(order, str) and order == "cluster":
        how = ", similar ones side by side"
    return f"{n_samples:,} samples{how}" if n_samples > 1 else "1 sample"


def _draw_strip(ax, predictions, n_rows):
    """Draw the predictions above the matrix, on the same samples."""
    strip = ax.inset_axes([0, 1 + 0.15 / n_rows, 1, max(0.12, 1.5 / n_rows)], sharex=ax)
    strip.plot(range(len(predictions)), predictions, color=PALETTE[0], linewidth=1)
    strip.tick_params(axis="x", bottom=False, labelbottom=False)
    strip.tick_params(axis="y", labelsize="small")
    strip.set_ylabel("prediction", fontsize="small", rotation=0, ha="right", va="center")
    clear_spines(strip, ("top", "right", "bottom"))
    return strip
