"""Gene sets that are enriched in a ranking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sknninterp.plotting._common import (
    SEQUENTIAL,
    axes_or_new,
    check_columns,
    check_max_display,
    check_values,
    clear_spines,
    label_rows,
    legend,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DOT_AREAS = (25, 260)
_SMALLEST_Q = (1e-6, 1e-2)


def enrichment_dots(
    table: pd.DataFrame, *, ax: Axes | None = None, max_display: int = 15, title: str | None = None
) -> Axes:
    """Draw which gene sets are enriched: a dot for each, as large as it has genes that count.

    Parameters
    ----------
    table : DataFrame, one row a gene set
        The sets are the index. With the columns ``nes`` or ``fold_enrichment``, the place of the
        dot; ``n_hits``, the genes that are at the top or in the leading edge, its area;
        ``q_value``, its colour, the darker the smaller.
    ax : matplotlib.axes.Axes, default=None
        Where to draw; None draws into a new figure.
    max_display : int, default=15
        Number of sets shown: the first rows.
    title : str, default=None
        Title of the plot.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    TypeError
        If `table` is no DataFrame.
    ValueError
        If `table` is empty or lacks a column, if the rows shown hold anything but finite numbers or
        q-values outside of (0, 1], or if `max_display` is not a positive integer.

    Examples
    --------
    >>> import pandas as pd
    >>> from sknninterp.plotting import enrichment_dots
    >>> table = pd.DataFrame(
    ...     {"fold_enrichment": [8.1, 1.2], "n_hits": [11, 4], "q_value": [1e-5, 0.6]},
    ...     index=["P53_PATHWAY", "HYPOXIA"],
    ... )
    >>> [label.get_text() for label in enrichment_dots(table).get_yticklabels()]
    ['P53_PATHWAY', 'HYPOXIA']
    """
    max_display = check_max_display(max_display)
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"table must be a pandas DataFrame, got {type(table).__name__}.")
    place = "nes" if "nes" in table.columns else "fold_enrichment"
    columns = [place, "n_hits", "q_value"]
    check_columns(table, columns, "table")
    shown = table.iloc[:max_display]
    x, n_hits, q_value = check_values(shown[columns], "table", (2,)).T
    if q_value.min() <= 0 or q_value.max() > 1:
        raise ValueError("table['q_value'] must lie in (0, 1].")
    ax = axes_or_new(ax, 8, max(3.2, 1.4 + 0.3 * len(shown)))
    zero = 1 if place == "fold_enrichment" else 0
    ax.axvline(zero, color="black", linewidth=0.8, zorder=1)
    largest = max(n_hits.max(), 1)
    _draw_dots(ax, x, _dot_areas(n_hits, largest), q_value)
    _legend_of_areas(ax, largest)
    label_rows(ax, shown.index)
    ax.margins(x=0.08)
    ax.grid(axis="both", color="0.9")
    ax.set_axisbelow(True)
    label = "normalized enrichment score" if place == "nes" else "fold enrichment (1: by chance)"
    if len(shown) < len(table):
        label = f"{label}\n({len(shown):,} of {len(table):,} sets shown)"
    ax.set_xlabel(label)
    if title is not None:
        ax.set_title(title, parse_math=False, pad=26)  # above the legend
    clear_spines(ax)
    return ax


def _draw_dots(ax, x, areas, q_value):
    """Draw the dots, coloured by their q-values on a logarithmic scale, and its bar."""
    from matplotlib.colors import LogNorm

    # One set with a q-value of 1e-50 must not make all others look alike.
    smallest = np.clip(q_value.min(), *_SMALLEST_Q)
    look = {"cmap": f"{SEQUENTIAL}_r", "norm": LogNorm(smallest, 1), "edgecolors": "0.2"}
    dots = ax.scatter(x, np.arange(len(x)), s=areas, c=q_value, zorder=3, **look)
    ends = "min" if q_value.min() < smallest else "neither"
    bar = ax.figure.colorbar(dots, ax=ax, aspect=25, pad=0.02, extend=ends)
    bar.set_label("q-value")
    bar.ax.invert_yaxis()
    bar.outline.set_visible(False)


def _dot_areas(n_hits, largest):
    low, high = _DOT_AREAS
    return low + (high - low) * np.asarray(n_hits) / largest


def _legend_of_areas(ax, largest):
    """Say how many genes a dot of which size stands for, above the plot."""
    from matplotlib.lines import Line2D

    numbers = sorted({max(round(largest * share), 1) for share in (0.2, 0.5, 1)})
    dots = [
        Line2D(
            [], [], linestyle="", marker="o", color="0.6", markeredgecolor="0.2", markersize=size
        )
        for size in np.sqrt(_dot_areas(numbers, largest))
    ]
    place = {"loc": "lower right", "bbox_to_anchor": (1, 1), "ncols": 3, "borderaxespad": 0.2}
    legend(ax, dots, [f"{n:,} genes" for n in numbers], fontsize="small", **place)
