"""From what stands between the brackets of an explanation to positions along its axes."""

from __future__ import annotations

import difflib
from numbers import Integral
from typing import Any

import numpy as np


def is_sequence(names: Any) -> bool:
    """Return whether `names` is a sequence of labels and not a single label (or None)."""
    if isinstance(names, np.ndarray):
        return names.ndim > 0
    return hasattr(names, "__len__") and not isinstance(names, str | bytes)


def label_array(labels: Any) -> np.ndarray:
    """Return labels as a read-only 1-D array that keeps numbers numbers and tuples tuples."""
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "biufM":
        array = labels.view()
    else:
        array = np.empty(len(labels), dtype=object)
        array[:] = [one.item() if isinstance(one, np.generic) else one for one in labels]
    array.flags.writeable = False
    return array


def unknown_name(name: Any, names: Any, what: str) -> ValueError:
    """Return the ValueError for a name that does not exist, with those that look like it."""
    texts = [str(one) for one in names]
    near = difflib.get_close_matches(str(name), texts, n=3)
    if near:
        hint = f"did you mean {' or '.join(repr(one) for one in near)}?"
    else:
        listed = ", ".join(repr(one) for one in texts[:10])
        hint = f"there are {listed}{', ...' if len(texts) > 10 else ''}."
    return ValueError(f"There is no {what} {name!r}: {hint}")


def axis_keys(key: Any, ndim: int) -> tuple:
    """Return one key for each of `ndim` axes, with the ellipsis and missing keys filled in."""
    keys = key if isinstance(key, tuple) else (key,)
    n_ellipses = sum(one is Ellipsis for one in keys)
    if n_ellipses > 1:
        raise IndexError("An explanation takes a single ellipsis ('...').")
    if len(keys) - n_ellipses > ndim:
        raise IndexError(f"Too many indices: the explanation has {ndim} axes, got {len(keys)}.")
    filler = (slice(None),) * (ndim - len(keys) + n_ellipses)
    at = next((i for i, one in enumerate(keys) if one is Ellipsis), len(keys))
    return keys[:at] + filler + keys[at + n_ellipses :]


def positions(key: Any, size: int, names: Any, what: str) -> Any:
    """Return the slice or the array of positions that `key` selects along one axis.

    Parameters
    ----------
    key : int, str, slice, or array-like of bool, int or str
        A number is a position, as in numpy; a string is a name.
    size : int
        Length of the axis.
    names : sequence or None
        Its names; None if it has none.
    what : str
        What the axis holds, for errors: "sample", "feature", "output".

    Returns
    -------
    slice or ndarray of int
        A single position becomes a slice of length 1.
    """
    if isinstance(key, slice):
        try:
            return slice(*key.indices(size)) if (key.step or 1) > 0 else np.arange(size)[key]
        except TypeError as error:
            raise TypeError(f"A slice of {what}s takes positions, got {key}.") from error
    if isinstance(key, Integral | str) and not isinstance(key, bool | np.bool_):
        position = _position(key, size, names, what)
        return slice(position, position + 1)
    chosen = np.asarray(key)
    if chosen.ndim == 1 and chosen.dtype == bool:
        if len(chosen) != size:
            raise IndexError(f"A mask of {what}s must have length {size}, got {len(chosen)}.")
        return np.flatnonzero(chosen)
    if chosen.ndim == 1 and (chosen.size == 0 or chosen.dtype.kind in "iuUTO"):
        return _each_position(chosen.tolist(), size, names, what)
    raise TypeError(
        f"{what.capitalize()}s are selected by position, name, slice, mask or a list of these, "
        f"got {key!r}."
    )


def _each_position(keys, size, names, what):
    lookup = None if names is None else _lookup(names)
    return np.array([_position(one, size, names, what, lookup) for one in keys], dtype=np.intp)


def _lookup(names):
    """Return the positions by name, -1 for a name that several have."""
    lookup = {}
    for position, name in enumerate(names):
        lookup[name] = -1 if name in lookup else position
    return lookup


def _position(key, size, names, what, lookup=None):
    if isinstance(key, Integral) and not isinstance(key, bool):
        if not -size <= key < size:
            raise IndexError(f"There is no {what} at position {key}: there are {size}.")
        return int(key) % size
    if not isinstance(key, str):
        raise TypeError(f"A {what} is selected by position or name, got {key!r}.")
    if names is None:
        raise ValueError(f"There is no {what} {key!r}: the pixels of an image have no names.")
    position = (lookup or _lookup(names)).get(key)
    if position is None:
        raise unknown_name(key, names, what)
    if position < 0:
        raise ValueError(f"Several {what}s are called {key!r}: select by position.")
    return position
