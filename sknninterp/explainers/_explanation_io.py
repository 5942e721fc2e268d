"""Explanations on disk: a NumPy archive without pickle, so that loading runs no code."""

from __future__ import annotations

import json
import zipfile
import zlib
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

_FORMAT = "sknninterp.Explanation/1"
# What numpy, zipfile and json raise over bytes that are not what they expect.
_DAMAGED = (
    AttributeError,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


def write(path: str | PathLike, fields: dict) -> None:
    """Write a dict of arrays, scalars and lists of labels to the `.npz` file `path`.

    Parameters
    ----------
    path : str or path-like
        The file, taken as it is: no suffix is added.
    fields : dict
        Arrays of numbers, strings and dates are stored as they are, everything else as JSON.

    Raises
    ------
    ValueError
        If a value is of a type that cannot be stored.
    """
    arrays: dict[str, Any] = {}
    document = {}
    for name, value in fields.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufcSUmM":
            arrays[name] = value
        elif isinstance(value, np.ndarray):
            cells = [_encode(cell, name) for cell in value.ravel().tolist()]
            document[name] = {"shape": value.shape, "cells": cells}
        else:
            document[name] = {"value": _encode(value, name)}
    text = json.dumps({"format": _FORMAT, "fields": document}).encode()
    with open(path, "wb") as file:
        np.savez_compressed(file, __json__=np.frombuffer(text, dtype=np.uint8), **arrays)


def read(path: str | PathLike) -> dict:
    """Return the fields that `write` wrote.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    dict
        The fields.

    Raises
    ------
    ValueError
        If the file is damaged or is something else.
    """
    # A file object of our own: np.load leaves the one it opens open when the file is damaged.
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                return _fields(archive)
        except _DAMAGED as error:
            raise ValueError(
                f"{str(path)!r} is damaged or was not written by Explanation.save: {error}"
            ) from error


def _fields(archive):
    document = json.loads(archive["__json__"].tobytes())
    if document["format"] != _FORMAT:
        raise ValueError(f"its format is {document['format']!r}, not {_FORMAT!r}")
    fields = {name: archive[name] for name in archive.files if name != "__json__"}
    return fields | {name: _field(entry) for name, entry in document["fields"].items()}


def _field(entry):
    if "cells" not in entry:
        return _decode(entry["value"])
    array = np.empty(len(entry["cells"]), dtype=object)
    array[:] = [_decode(cell) for cell in entry["cells"]]
    return array.reshape(entry["shape"])


def _encode(value, name):
    """Return `value` as JSON: plain values as they are, others as an object with one key."""
    if isinstance(value, np.generic):
        return {"numpy": [value.dtype.str, _encode(value.item(), name)]}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if value is pd.NA or value is pd.NaT:
        return {"missing": "NA" if value is pd.NA else "NaT"}
    if isinstance(value, pd.Timestamp):
        zone = None if value.tz is None else str(value.tz)
        return {"timestamp": [value.isoformat(), value.unit, zone]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_encode(one, name) for one in value]}
    raise ValueError(
        f"{name} holds {value!r} of type {type(value).__name__}, which cannot be saved; numbers, "
        "strings, booleans, None, pandas timestamps and tuples of these can."
    )


def _decode(value):
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "numpy":
        return np.dtype(content[0]).type(_decode(content[1]))
    if kind == "missing":
        return pd.NA if content == "NA" else pd.NaT
    if kind == "timestamp":
        moment = pd.Timestamp(content[0]).as_unit(content[1])
        return moment if content[2] is None else moment.tz_convert(content[2])
    if kind in ("list", "tuple"):
        items = [_decode(one) for one in content]
        return tuple(items) if kind == "tuple" else items
    raise ValueError(f"unknown kind of value {kind!r}")
