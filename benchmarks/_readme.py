"""Parts of the README and of docs/benchmarks.md that are made from committed results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_ROOT = Path(__file__).parents[1]
PAGES = (_ROOT / "README.md", _ROOT / "docs" / "benchmarks.md")


def marks(name: str) -> tuple[str, str]:
    """The lines around a part."""
    return f"<!-- {name}: made by benchmarks -->\n", f"<!-- end of {name} -->\n"


def read(name: str, pages: Sequence[Path] = PAGES) -> tuple[Path, str, str, str]:
    """The page that has a part, and what is before it, in it and after it, marks left out."""
    begin, end = marks(name)
    for page in pages:
        before, _, rest = page.read_text(encoding="utf-8").partition(begin)
        part, found, after = rest.partition(end)
        if found:
            return page, before, part, after
    raise ValueError(f"No page has the marks {begin!r} and {end!r}.")


def put(name: str, text: str, pages: Sequence[Path] = PAGES) -> None:
    """Put a text between the marks of a part."""
    page, before, _, after = read(name, pages)
    begin, end = marks(name)
    page.write_text(f"{before}{begin}{text}{end}{after}", encoding="utf-8")


def markdown(rows: list[dict]) -> str:
    """A table of rows with the same columns."""
    columns = list(rows[0])
    lines = [columns, ["---"] * len(columns), *([row[c] for c in columns] for row in rows)]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)
