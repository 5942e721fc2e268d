"""What the command says while it works and when something is wrong."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Sequence

from tqdm import tqdm


class CommandError(Exception):
    """A mistake in what was asked for or in the data; its text is one line for the user."""

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).split()))


def listed(values: Iterable[object], most: int = 6) -> str:
    """Return the first values, quoted, and how many more there are."""
    values = list(values)
    text = ", ".join(repr(str(value)) for value in values[:most])
    return f"{text} and {len(values) - most:,} more" if len(values) > most else text


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: "1 row", "2,000 rows"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def unknown_name(name: str, known: Sequence[str]) -> str:
    """Return what to say after "there is no ...": names like it, or else all there are."""
    by_lower = {str(one).lower(): str(one) for one in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(repr(by_lower[one]) for one in close)}?"
    return f"there are {listed(known)}"


def bar_options(what: str, quiet: bool) -> dict:
    """Return the options of a progress bar on stderr, which `quiet` turns off."""
    return {"desc": f"{what:<28}", "disable": quiet, "file": sys.stderr}


def progress(
    iterable: Iterable | None = None, *, what: str, quiet: bool, total: int | None = None
) -> tqdm:
    """Return a progress bar over an iterable, or up to a total."""
    return tqdm(iterable, total=total, **bar_options(what, quiet))
