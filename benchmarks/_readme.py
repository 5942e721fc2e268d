"""Parts of the README that are made from committed results, between their marks."""

from __future__ import annotations

from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def marks(name: str) -> tuple[str, str]:
    """The lines around a part."""
    return f"<!-- {name}: made by benchmarks -->\n", f"<!-- end of {name} -->\n"


def put(name: str, text: str, readme: Path = README) -> None:
    """Put a text between the marks of a part."""
    begin, end = marks(name)
    before, _, rest = readme.read_text(encoding="utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{readme.name} lacks the marks {begin!r} and {end!r}.")
    readme.write_text(f"{before}{begin}{text}{end}{after}", encoding="utf-8")


def markdown(rows: list[dict]) -> str:
    """A table of rows with the same columns."""
    columns = list(rows[0])
    lines = [columns, ["---"] * len(columns), *([row[c] for c in columns] for row in rows)]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)
