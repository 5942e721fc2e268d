"""Checks of parameters that the functions here share."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np


def check_choice(name: str, value: Any, known: Sequence[str]) -> None:
    """Raise a ValueError unless `value` is one of those known."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name}={value!r} is not one of {list(known)}.")


def check_count(name: str, value: Any, least: int) -> None:
    """Raise a ValueError unless `value` is an integer of at least so much."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name}={value!r} must be an integer of at least {least}.")


def check_share(name: str, value: Any) -> None:
    """Raise a ValueError unless `value` is a number above 0 and at most 1."""
    if not _is_number(value) or not 0 < value <= 1:
        raise ValueError(f"{name}={value!r} must be a number above 0 and at most 1.")


def check_inside(name: str, value: Any, least: float, most: float) -> None:
    """Raise a ValueError unless `value` is a number between, and neither of, two others."""
    if not _is_number(value) or not least < value < most:
        between = f"above {least:g}" if most == np.inf else f"between {least:g} and {most:g}"
        raise ValueError(f"{name}={value!r} must be a number {between}.")


def as_numbers(name: str, values: Any) -> np.ndarray:
    """An array of floats; a ValueError that names the parameter where these are no numbers."""
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers: {error}.") from error


def _is_number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
