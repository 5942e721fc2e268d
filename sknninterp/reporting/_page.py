"""The page: everything that was found, as one HTML file that fetches nothing."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import math
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sknninterp.evaluation.faithfulness import PerturbationCurves
from sknninterp.reporting import _meanings as meanings
from sknninterp.reporting._cards import Card
from sknninterp.reporting._cautions import Caution
from sknninterp.reporting._ranking import Ranking
from sknninterp.reporting._rows import SWARM_FEATURES, Rows
from sknninterp.reporting._scores import Scores
from sknninterp.reporting._study import Study
from sknninterp.reporting._svg import Line, line_chart, swarm
from sknninterp.reporting._training import Figure, Tried
from sknninterp.reporting._trust import Trust

# Rows of the ranking that are there without scripts, and on paper.
_STATIC_ROWS = 50
_CHECKS = {True: "passed", False: "failed"}


@dataclass(frozen=True)
class Page:
    """What a page shows, in the order in which it does.

    Parameters
    ----------
    title : str
    study : Study
    version : str
        Of this package.
    cautions : list of Caution
    scores : Scores or None
    ranking : Ranking
    rows : Rows or None
    trust : Trust or None
    figures : list of Figure
    tried : Tried or None
    model_card, data_card : Card
    notes : list of str
    image_shape : tuple of int or None
    date : str
    """

    title: str
    study: Study
    version: str
    cautions: list[Caution]
    scores: Scores | None
    ranking: Ranking
    rows: Rows | None
    trust: Trust | None
    figures: list[Figure]
    tried: Tried | None
    model_card: Card
    data_card: Card
    notes: list[str] = field(default_factory=list)
    image_shape: tuple[int, ...] | None = None
    date: str = field(default_factory=lambda: datetime.date.today().isoformat())


def render(page: Page) -> str:
    """Return the page as HTML.

    Whatever comes from data is escaped: in HTML by the template, in the data block by
    :func:`embedded`. A content security policy lets only this page's own script and style run.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("sknninterp.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = _asset("report.css"), _asset("report.js")
    return environment.get_template("report.html").render(
        page=page,
        style=style,
        script=script,
        policy=_policy(style, script),
        data=embedded(payload(page)),
        facts=_facts(page),
        score_rows=_score_rows(page.scores),
        static=_static_ranking(page.ranking),
        swarm=_swarm(page),
        agreement=_agreement(page.trust),
        checks=_check_rows(page.trust),
        removal=_removal(page.trust),
        meanings=meanings,
        towards=meanings.towards(page.study),
        method=meanings.method(page.study),
        n_static=_STATIC_ROWS,
    )


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """What the page may do: run its own script and style, show its own icon, and nothing else."""

    def source(text):
        digest = hashlib.sha256(text.encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    return (
        f"default-src 'none'; script-src {source(script)}; style-src {source(style)};"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )


# -- data for the script -------------------------------------------------------------------------


def embedded(data: Any) -> str:
    """JSON that is safe inside a script element, whatever texts it holds."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def packed(array: ArrayLike | None, kind: str) -> dict | None:
    """Numbers as text: a type that JavaScript knows, and their bytes; None stays None."""
    if array is None:
        return None
    data = np.ascontiguousarray(array, dtype=np.dtype(kind).newbyteorder("<"))
    return {"type": kind, "data": base64.b64encode(data.tobytes()).decode()}


def payload(page: Page) -> dict:
    """Everything that the page's script shows."""
    study, ranking, rows = page.study, page.ranking, page.rows
    return {
        "title": page.title,
        "task": study.task,
        "target": study.target,
        "classes": study.names if study.is_class else [],
        "towards": meanings.towards(study),
        "features": _features(ranking),
        "rows": None if rows is None else _rows(rows),
        "image": None if page.image_shape is None else [*map(int, page.image_shape[-2:])],
    }


def _features(ranking: Ranking) -> dict:
    low, high = (None, None) if ranking.each is None else ranking.limits
    best, worst = (None, None) if ranking.each is None else ranking.rank_limits
    return {
        "names": ranking.names,
        "importance": packed(ranking.importance, "f4"),
        "low": packed(low, "f4"),
        "high": packed(high, "f4"),
        "best": packed(best, "f4"),
        "worst": packed(worst, "f4"),
        "top": packed(ranking.top_share, "f4"),
        "ofClass": packed(ranking.of_class, "f4"),
    }


def _rows(rows: Rows) -> dict:
    texts, cells = np.unique(rows.cells.astype(str), return_inverse=True)
    pictures = rows.pictures
    return {
        "names": rows.names,
        "truth": packed(rows.truth, "f4"),
        "outputs": packed(rows.outputs, "f4"),
        "k": rows.values.shape[1],
        "features": packed(rows.features, "u4"),
        "values": packed(rows.values, "f4"),
        "cells": packed(cells, "u4"),
        "texts": texts.tolist(),
        "rest": packed(rows.rest, "f4"),
        "base": packed(rows.base, "f4"),
        "signed": rows.signed,
        "pictures": pictures
        and {
            "height": pictures.height,
            "width": pictures.width,
            "values": packed(pictures.values, "i1"),
            "pixels": packed(pictures.pixels, "u1"),
        },
    }


# -- parts that need no script -------------------------------------------------------------------


def _facts(page: Page) -> list[tuple[str, str, str]]:
    """The first things to know: a label, a value, and what to hold it against."""
    facts, scores = [], page.scores
    if scores is not None:
        own, (low, high) = [*scores.rows.values()][0][0], scores.interval
        within = f"95 % interval {low:.3f} to {high:.3f}" if math.isfinite(low) else ""
        facts.append((scores.metrics[0], number(own), within))
        rival = scores.strongest_rival()
        if rival is not None:
            facts.append(("Best other model", number(rival[1]), rival[0]))
    facts.append(("Rows here", f"{len(page.study.outputs):,}", _origin(page.study)))
    n_features = len(page.ranking.names)
    used = int((page.ranking.importance > 0).sum())
    facts.append(("Features", f"{n_features:,}", f"{used:,} of them used"))
    return facts


def _origin(study: Study) -> str:
    return "not trained on" if study.X_train is not None else "perhaps trained on"


def number(value: float) -> str:
    """A number in about three digits; a dash for none."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.4g}"


def _score_rows(scores: Scores | None) -> list[tuple[str, list[str]]]:
    if scores is None:
        return []
    texts = {name: [*map(number, values)] for name, values in scores.rows.items()}
    if scores.spreads:
        first = next(iter(texts))
        pairs = zip(texts[first], scores.spreads, strict=True)
        texts[first] = [f"{text} ± {number(spread)}" for text, spread in pairs]
    return [*texts.items()]


def _static_ranking(ranking: Ranking) -> list[dict]:
    largest = ranking.importance.max() or 1.0
    limits, rank_limits = ranking.limits, ranking.rank_limits
    lines = []
    for place, i in enumerate(ranking.order[:_STATIC_ROWS], 1):
        line = {
            "place": place,
            "name": ranking.names[i],
            "importance": f"{ranking.importance[i]:.4f}",
            "width": f"{100 * ranking.importance[i] / largest:.1f}",
        }
        if limits is not None and rank_limits is not None:
            line["limits"] = f"{limits[0, i]:.4f} to {limits[1, i]:.4f}"
            line["ranks"] = f"{rank_limits[0, i]:g} to {rank_limits[1, i]:g}"
        lines.append(line)
    return lines


def _swarm(page: Page) -> str:
    rows = page.rows
    if rows is None or not len(rows.names):
        return ""
    names = [page.ranking.names[i] for i in page.ranking.order[:SWARM_FEATURES]]
    values, cells = rows.swarm
    label = f"contribution ({meanings.method(page.study)}) towards {meanings.towards(page.study)}"
    title = f"Contributions of {len(names)} features in {len(values)} rows, one point a row"
    return swarm(np.asarray(values, dtype=float), shades(cells), names, label, title)


def shades(cells: np.ndarray) -> np.ndarray:
    """How high each cell is in its column, from 0 to 1 by rank; NaN for categories and gaps."""
    table = pd.DataFrame(cells).apply(lambda column: _as_numbers(column))
    ranks, counts = table.rank(), table.count()
    return ((ranks - 1) / (counts - 1).clip(lower=1)).to_numpy(float)


def _as_numbers(column):
    try:
        return pd.to_numeric(column).astype(float)
    except (TypeError, ValueError):
        return pd.Series(np.nan, index=column.index)


def _agreement(trust: Trust | None) -> dict | None:
    if trust is None or trust.agreement is None:
        return None
    names = trust.agreement.index.tolist()
    tables = {"rank correlation": trust.agreement, "first ten in common": trust.overlap}
    return {
        "names": names,
        "tables": [
            (
                title,
                [
                    (name, [*map(_agreeing, row)])
                    for name, row in zip(names, table.to_numpy(), strict=True)
                ],
            )
            for title, table in tables.items()
        ],
    }


def _agreeing(value: float) -> tuple[str, int]:
    """A correlation as text, and how strongly its cell is coloured, 0 to 4."""
    if not math.isfinite(value):
        return "–", 0
    return f"{value:.2f}", int(np.clip(np.ceil(value * 4), 0, 4))


def _check_rows(trust: Trust | None) -> list[tuple[str, str, str]]:
    return [] if trust is None else [(c.name, _CHECKS[c.passed], c.why) for c in trust.checks]


def _removal(trust: Trust | None) -> Figure | None:
    """Deletion curves: the output while features are taken out."""
    if trust is None or trust.curves is None:
        return None
    curves: PerturbationCurves = trust.curves
    table, x = curves.to_frame(), curves.share * 100
    lines = [Line("most important first", x, table["mean"], "c0")]
    if np.isfinite(table["lower"]).all():
        lines[0] = Line("most important first", x, table["mean"], "c0", band=_band(table, ""))
    lines.append(Line("in random order", x, table["random_mean"], "c1"))
    areas = curves.summary()["mean"]
    caption = (
        "Features are replaced by their column's mean, and the output that was predicted is "
        "followed. If the ranking is right about the network, the first line falls at once: its "
        f"area is {areas['area']:.3g}, that of a random order {areas['random']:.3g}."
    )
    title = "Output while features are removed"
    drawing = line_chart(lines, "features removed (%)", "output", f"{title}: {caption}")
    return Figure("What happens without the features", drawing, caption)


def _band(table, prefix):
    return table[f"{prefix}lower"], table[f"{prefix}upper"]
