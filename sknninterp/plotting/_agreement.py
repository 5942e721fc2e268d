"""How well rankings agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sknninterp.plotting._common import (
    DIVERGING,
    SEQUENTIAL,
    axes_or_new,
    check_choice,
    check_values,
    clear_spines,
    label_axis,
    label_rows,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NUMBERED_ROWS, _NAMED_ROWS = 16, 40
# That of ITU-R BT.601.
_LUMINANCE = (0.299, 0.587, 0.114)
_CORRELATIONS = {"spearman": "Spearman's ρ", "kendall": "Kendall's τ"}


def rank_agreement(
    importances: pd.DataFrame,
    *,
    method: str = "spearman",
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw how well rankings agree, in pairs: of several methods, or of one method's repeats.

    Parameters
    ----------
    importances : DataFrame of shape (n_rankings, n_features)
        The importances of all features, one row a ranking, whose names are the index. Pass
        magnitudes where signs do not matter.
    method : {"spearman", "kendall"}, default="spearman"
        The rank correlation: Spearman's ρ or Kendall's τ-b.
    ax : matplotlib.axes.Axes, default=None
        Where to draw; None draws into a new figure.
    title : str, default=None
        Title of the plot.

    Returns
    -------
    matplotlib.axes.Axes
        The numbers are those of ``ax.images[0].get_array()``, masked where a ranking would meet
        itself. They are written into the cells of up to 16 rankings.

    Raises
    ------
    TypeError
        If `importances` is no DataFrame.
    ValueError
        If `importances` has less than two rows or features, a row of only one number or anything
        but finite ones, or if `method` is unknown.

    Examples
    --------
    >>> import pandas as pd
    >>> from sknninterp.plotting import rank_agreement
    >>> importances = pd.DataFrame(
    ...     [[0.5, 0.3, 0.2], [0.6, 0.1, 0.3]], index=["PWP", "Garson"], columns=["a", "b", "c"]
    ... )
    >>> rank_agreement(importances).images[0].get_array().tolist()
    [[None, 0.5], [0.5, None]]
    """
    check_choice(method, "method", tuple(_CORRELATIONS))
    matrix = _correlations(importances, method)
    n, names = len(matrix), [str(name) for name in importances.index]
    side = min(max(2.4, (0.52 if n <= _NUMBERED_ROWS else 0.24) * n), 0.24 * _NAMED_ROWS)
    longest = max(map(len, names))
    ax = axes_or_new(ax, side + 1.8 + 0.08 * min(longest, 40), side + 1.2 + 0.08 * min(longest, 24))
    scale = {"cmap": SEQUENTIAL, "vmin": 0} if matrix.min() >= 0 else {"cmap": DIVERGING}
    picture = ax.imshow(matrix, **({"vmin": -1} | scale), vmax=1, interpolation="nearest")
    ax.set_facecolor("0.93")
    colors = ax.figure.colorbar(picture, ax=ax, aspect=25, shrink=0.9, pad=0.03)
    colors.set_label(_CORRELATIONS[method])
    colors.outline.set_visible(False)
    if n <= _NUMBERED_ROWS:
        _write_correlations(ax, matrix, picture)
    # Of very many, only some names have room.
    step = -(-n // _NAMED_ROWS)
    shown = [name if i % step == 0 else "" for i, name in enumerate(names)]
    label_rows(ax, shown)
    ax.set_ylim(n - 0.5, -0.5)
    ax.set_xticks(range(n), [shorten(name, 24) for name in shown], parse_math=False)
    ax.tick_params(length=0)
    if longest > 4 or n > _NUMBERED_ROWS:
        ax.tick_params(axis="x", rotation=90)
    label = f"ranks of {importances.shape[1]:,} features"
    label_axis(ax, f"{label}\n(mean of the pairs: {_signed(matrix.mean())})", title=title)
    clear_spines(ax, ("left", "right", "top", "bottom"))
    return ax


def _correlations(importances, method):
    """Return the rank correlations, masked on the diagonal."""
    if not isinstance(importances, pd.DataFrame):
        raise TypeError(
            f"importances must be a pandas DataFrame, got {type(importances).__name__}."
        )
    values = check_values(importances, "importances", (2,))
    if min(values.shape) < 2:
        raise ValueError(f"importances must have two rows and columns, got shape {values.shape}.")
    flat = importances.index[np.ptp(values, axis=1) == 0]
    if len(flat):
        raise ValueError(f"importances of {flat[0]!r} are all the same: they rank nothing.")
    matrix = pd.DataFrame(values.T).corr(method=method).to_numpy()
    return np.ma.masked_array(matrix, np.eye(len(matrix), dtype=bool))


def _signed(number):
    # Neither "-0.00" nor a hyphen for a minus.
    return f"{round(float(number), 2) + 0.0:.2f}".replace("-", "−")


def _write_correlations(ax, matrix, picture):
    """Write each number where it stands, pale on dark."""
    for i, j in zip(*np.nonzero(~np.ma.getmaskarray(matrix)), strict=True):
        dark = np.dot(picture.to_rgba(matrix[i, j])[:3], _LUMINANCE) < 0.5
        text = {"ha": "center", "va": "center", "fontsize": "small"}
        ax.text(j, i, _signed(matrix[i, j]), color="white" if dark else "0.15", **text)
