"""The page "What holds": written from the committed results, never by hand."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

from benchmarks._timing import RESULTS
from benchmarks.papers.runner import OUTCOMES

DOCS = Path(__file__).parents[2] / "docs"
TITLES = {
    "ant": "Activation-based neuron tuning and personalized weight products",
    "rbm": "Pretraining by restricted Boltzmann machines",
    "influence": "Influential scores",
    "patterns": "Activation patterns",
}
HEAD = """\
What holds
==========

The experiments of the four papers, run again with several seeds and with the controls that the
papers lack. Intervals are of 95 %, by Student's t over seeds. Everything on this page is made from
``benchmarks/results/papers`` by ``python -m benchmarks.papers page``; the rules behind the verdicts
are in ``benchmarks/papers``.
"""


def write(docs: Path = DOCS, results: Path = RESULTS / "papers") -> Path:
    """Write the page and its figures; papers without results are left out."""
    figures = docs / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    parts, counts = [], dict.fromkeys(OUTCOMES, 0)
    for name, title in TITLES.items():
        path = results / f"{name}.json"
        if path.exists():
            text, verdicts = section(name, title, json.loads(path.read_text()), figures)
            parts.append(text)
            for verdict in verdicts:
                counts[verdict.outcome] += 1
    summary = ", ".join(f"{outcome}: {n}" for outcome, n in counts.items())
    page = docs / "what_holds.rst"
    page.write_text(
        "\n".join([HEAD, f"Of the published figures, by verdict: {summary}.\n", *parts])
    )
    return page


def section(name, title, committed, figures):
    """Text of a paper's section, and its verdicts; draws its figures."""
    paper = importlib.import_module(f"benchmarks.papers.{name}")
    tables = paper.tables(committed["results"], committed["settings"])
    verdicts = [found for rule in paper.VERDICTS if (found := rule(tables)) is not None]
    before = set(figures.glob(f"{name}_*.png"))
    for path in before:
        path.unlink()
    paper.figures(tables, figures)
    lines = [title, "-" * len(title), "", f"``{committed['command']}``", ""]
    rows = [
        [v.claim, v.published, v.ours, str(v.seeds), f"**{v.outcome}**: {v.why}"] for v in verdicts
    ]
    lines += list_table(["claim", "published", "here", "seeds", "verdict"], rows)
    for table in getattr(paper, "TABLES", ()):
        if (found := table(tables)) is not None:
            caption, head, rows = found
            lines += [caption, "", *list_table(head, rows)]
    for path in sorted(figures.glob(f"{name}_*.png")):
        alt = path.stem.replace("_", " ")
        lines += [f".. image:: figures/{path.name}", f"   :alt: {alt}", ""]
    return "\n".join(lines), verdicts


def list_table(head, rows):
    """Lines of a reStructuredText table."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in [head, *rows]:
        for place, cell in enumerate(row):
            lines.append(f"   {'*' if place == 0 else ' '} - {cell}")
    return [*lines, ""]
