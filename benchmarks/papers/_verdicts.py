"""What verdicts share: rows of tables, numbers as text, outcomes."""

from __future__ import annotations

import numpy as np
import pandas as pd


def row_of(table: pd.DataFrame | None, **wanted) -> pd.Series | None:
    """The row of a configuration, or None if there is none (or no table)."""
    if table is None:
        return None
    for name, value in wanted.items():
        table = table[table[name] == value]
    return None if table.empty else table.iloc[0]


def number(row: pd.Series, name: str, digits: int = 2, sign: str = "") -> str:
    """A mean with half its 95 % interval, where there is one."""
    text = f"{row[name]:{sign}.{digits}f}"
    half = row[f"{name}_ci"]
    return text if np.isnan(half) else f"{text} ± {half:.{digits}f}"


def outcome_of(right: list[bool]) -> str:
    """What some parts of a claim make of it: all of them, some or none hold."""
    return "holds" if all(right) else "holds partly" if any(right) else "does not hold"
