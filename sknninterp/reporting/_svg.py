"""Pictures as SVG: text that a page holds, that prints sharply, and whose colours are the page's.

Colours are classes that the page's style sheet fills in, so that they follow its theme.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 10, 40
N_SHADES = 7


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Parameters
    ----------
    label : str
    x, y : sequence of float
    kind : str
        Class of its colour: "c0", "c1" and so on.
    step : bool, default=False
        Whether values stay until the next one.
    band : (sequence of float, sequence of float) or None
        Limits around it.
    """

    label: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    kind: str = "c0"
    step: bool = False
    band: tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray] | None = None


def line_chart(
    lines: Sequence[Line],
    x_label: str,
    y_label: str,
    title: str,
    from_zero: bool = False,
    width: int = 460,
    height: int = 260,
) -> str:
    """Draw lines over one axis.

    Parameters
    ----------
    lines : sequence of Line
    x_label, y_label : str
    title : str
        For those who do not see it.
    from_zero : bool, default=False
        Whether the vertical axis begins at 0.
    width, height : int
        In pixels, before it is fitted to the page.
    """
    values = np.concatenate(
        [[*line.y, *(v for one in line.band or () for v in one)] for line in lines]
    )
    values = values[np.isfinite(values)]
    xs = np.concatenate([np.asarray(line.x, dtype=float) for line in lines])
    y_ticks = nice_ticks(0 if from_zero else values.min(), values.max())
    x_low, x_high = xs.min(), max(xs.max(), xs.min() + 1e-9)

    def at_x(x):
        return _LEFT + (x - x_low) / (x_high - x_low) * (width - _LEFT - _RIGHT)

    def at_y(y):
        share = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return height - _BOTTOM - share * (height - _TOP - _BOTTOM)

    parts = []
    for tick in y_ticks:
        y = _n(at_y(tick))
        parts.append(f'<path class="grid" d="M{_LEFT} {y}H{width - _RIGHT}"/>')
        parts.append(f'<text class="tick end" x="{_LEFT - 8}" y="{y}" dy=".32em">{tick:g}</text>')
    for tick in nice_ticks(x_low, x_high):
        if x_low <= tick <= x_high:
            x = _n(at_x(tick))
            parts.append(f'<text class="tick mid" x="{x}" y="{height - 22}">{tick:g}</text>')
    for line in lines:
        if line.band is not None:
            parts.append(_band(line, at_x, at_y))
        parts.append(_path(line, at_x, at_y))
    middle = (_LEFT + width - _RIGHT) / 2
    parts.append(
        f'<text class="axis mid" x="{_n(middle)}" y="{height - 4}">{escape(x_label)}</text>'
    )
    legend = "".join(
        f'<li><svg class="key" viewBox="0 0 18 4" aria-hidden="true"><path class="line {line.kind}"'
        f' d="M0 2H18"/></svg>{escape(line.label)}</li>'
        for line in lines
    )
    drawing = _svg(parts, width, height, title)
    return f'<p class="axis-y">{escape(y_label)}</p>{drawing}<ul class="legend">{legend}</ul>'


def _path(line: Line, at_x, at_y) -> str:
    points = [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)]
    if len(points) == 1:
        x, y = points[0]
        return f'<circle class="dot {line.kind}" cx="{_n(at_x(x))}" cy="{_n(at_y(y))}" r="3"/>'
    (x, y), *others = points
    d = [f"M{_n(at_x(x))} {_n(at_y(y))}"]
    for x, y in others:
        d.append(f"H{_n(at_x(x))}V{_n(at_y(y))}" if line.step else f"L{_n(at_x(x))} {_n(at_y(y))}")
    return f'<path class="line {line.kind}" d="{"".join(d)}"/>'


def _band(line: Line, at_x, at_y) -> str:
    low, high = line.band
    points = [*zip(line.x, low, strict=True), *reversed([*zip(line.x, high, strict=True)])]
    d = "L".join(f"{_n(at_x(x))} {_n(at_y(y))}" for x, y in points if math.isfinite(y))
    return f'<path class="band {line.kind}" d="M{d}Z"/>' if d else ""


def swarm(
    values: np.ndarray,
    shades: np.ndarray,
    names: Sequence[str],
    label: str,
    title: str,
    width: int = 760,
) -> str:
    """Draw a row of points for each feature, one for each sample.

    Parameters
    ----------
    values : ndarray of shape (n_samples, n_features)
        Where the points are.
    shades : ndarray of shape (n_samples, n_features)
        From 0 to 1; NaN is grey.
    names : sequence of str
    label : str
        Of the axis.
    title : str
        For those who do not see it.
    width : int
    """
    left, row_height, top = 210, 26, 6
    height = top + row_height * len(names) + 44
    bottom = height - 40
    limit = np.abs(values).max() or 1.0
    ticks = [tick for tick in nice_ticks(-limit, limit) if abs(tick) <= limit]

    def at_x(x):
        return left + (np.asarray(x) / limit + 1) / 2 * (width - left - 20)

    parts = []
    for tick in ticks:
        x, kind = _n(at_x(tick)), "zero" if tick == 0 else "grid"
        parts.append(f'<path class="{kind}" d="M{x} {top}V{bottom}"/>')
        parts.append(f'<text class="tick mid" x="{x}" y="{bottom + 16}">{tick:g}</text>')
    for i, name in enumerate(names):
        y = top + row_height * (i + 0.5)
        parts.append(
            f'<text class="name end" x="{left - 10}" y="{_n(y)}" dy=".32em">'
            f"<title>{escape(name)}</title>{escape(shortened(name, 28))}</text>"
        )
        parts += _points(at_x(values[:, i]), y, shades[:, i], row_height)
    middle = _n((left + width - 20) / 2)
    parts.append(f'<text class="axis mid" x="{middle}" y="{height - 4}">{escape(label)}</text>')
    return _svg(parts, width, height, title)


def _points(x, y, shades, row_height) -> list[str]:
    """One path for each shade: a point is a line without length and with round ends."""
    heights = _spread(x, row_height)
    shade = np.where(np.isnan(shades), -1, np.minimum(shades * N_SHADES, N_SHADES - 1))
    shade = np.floor(shade).astype(int)
    parts = []
    for one in np.unique(shade):
        d = "".join(
            f"M{_n(a)} {_n(y + b)}h0"
            for a, b in zip(x[shade == one], heights[shade == one], strict=True)
        )
        parts.append(f'<path class="swarm {"none" if one < 0 else f"s{one}"}" d="{d}"/>')
    return parts


def _spread(x, row_height):
    """Heights of points around their row, so that points at one place lie beside one another."""
    bins = np.round(x / 3).astype(int)
    heights = np.zeros(len(x))
    for one in np.unique(bins):
        here = np.flatnonzero(bins == one)
        steps = (np.arange(len(here)) + 1) // 2 * np.where(np.arange(len(here)) % 2, 1, -1)
        heights[here] = steps * min(2.6, (row_height - 4) / max(len(here), 1))
    return heights


def _svg(parts, width, height, title) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img"'
        f' aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def nice_ticks(low: float, high: float, n: int = 5) -> list[float]:
    """Round numbers from at most `low` to at least `high`, about so many."""
    if not high > low:
        high = low + (abs(low) or 1.0)
    rough = (high - low) / n
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def shortened(text: str, most: int) -> str:
    """At most so many characters: the start and the end, which tell long names apart."""
    if len(text) <= most:
        return text
    tail = most // 3
    return f"{text[: most - tail - 1]}…{text[-tail:]}"


def _n(number) -> str:
    return f"{float(number):.1f}".removesuffix(".0")
