"""Values from JSON and tensors, each checked: whoever wrote them may be nobody's friend."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils import Bunch
from torch import Tensor

from sknninterp.persistence._container import PersistenceError
from sknninterp.persistence._writing import EXTENSION_TYPES, NUMBERS, Known

# Of the widest text in an array times their number: what a file of some bytes may ask for.
_MOST_CHARACTERS = 2**26


class Reader:
    """Makes values of what a `Writer` wrote.

    Parameters
    ----------
    known : Known
    document : dict
        With `objects`, and `root`, the value that all are parts of.
    tensors : dict of str to Tensor
    given : callable, torch.nn.Module or None
        In place of a network whose code is not known here.
    trusted : sequence of str
        Types that skops may make besides.
    """

    def __init__(
        self,
        known: Known,
        document: dict,
        tensors: dict[str, Tensor],
        given: Any = None,
        trusted: Sequence[str] = (),
    ):
        self.known = known
        self.given = given
        self.trusted = trusted
        self._document = document
        self._tensors = dict(tensors)
        self._objects: list[object] = []

    def root(self) -> Any:
        """The whole."""
        for entry in self._document["objects"]:
            kind = self.known.kinds[entry["kind"]]
            self._objects.append(kind.read(self, entry))
        found = self.value(self._document["root"])
        if self._tensors:
            raise PersistenceError(f"nothing refers to its tensors {sorted(self._tensors)[:3]}")
        return found

    def value(self, value: Any) -> Any:
        """The value that a JSON value stands for.

        Parameters
        ----------
        value : object
        """
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        return _READERS[kind](self, content)

    def mapping(self, values: dict) -> dict:
        """A dict whose keys are names."""
        return {name: self.value(value) for name, value in values.items()}

    def tensor(self, name: str) -> Tensor:
        """A tensor, which no other value may have."""
        if name not in self._tensors:
            raise PersistenceError(f"it has no tensor {name!r}, or uses it twice")
        return self._tensors.pop(name)

    def code(self, what: str) -> Any:
        """What the user gives in place of code that the file does not hold."""
        if self.given is None:
            raise PersistenceError(
                f"its network is made by {what}, whose code no file holds: give it as"
                " load(path, module=...)"
            )
        return self.given

    def object(self, place: int) -> Any:
        """An object that was read before."""
        if type(place) is not int or not 0 <= place < len(self._objects):
            raise PersistenceError(f"it refers to an object {place!r} that is not there")
        return self._objects[place]


def _read_number(reader, content):
    dtype = _dtype(content[0], NUMBERS)
    number = reader.value(content[1])
    if type(number) not in (bool, int, float):
        raise PersistenceError(f"{number!r} is no number")
    return np.array(number, dtype)


def _dtype(name, kinds) -> np.dtype:
    dtype = np.dtype(name) if isinstance(name, str) else None
    if dtype is None or dtype.kind not in kinds or dtype.subdtype is not None:
        raise PersistenceError(f"{name!r} is no type of such an array")
    return dtype


def _read_bytes(reader, content):
    name, shape, raw = content
    array = np.frombuffer(reader.tensor(raw).numpy().tobytes(), _dtype(name, "mMc" + NUMBERS))
    return array.copy().reshape(shape)


def _read_text(reader, content):
    name, shape, cells = content
    dtype = _dtype(name, "U")
    if not all(isinstance(cell, str) for cell in cells):
        raise PersistenceError("an array of text holds something else")
    if dtype.itemsize // 4 * len(cells) > max(_MOST_CHARACTERS, 2 * sum(map(len, cells))):
        raise PersistenceError("an array of text is far wider than its text")
    return np.array(cells, dtype).reshape(shape)


def _read_cells(reader, content):
    shape, cells = content
    array = np.empty(len(cells), dtype=object)
    for place, cell in enumerate(cells):
        array[place] = reader.value(cell)
    return array.reshape(shape)


def _read_masked(reader, content):
    data, mask, fill_value = map(reader.value, content)
    return np.ma.MaskedArray(data, mask, fill_value=fill_value)


def _read_column(reader, content):
    name, cells = content
    if name not in EXTENSION_TYPES:
        raise PersistenceError(f"{name!r} is no type of a column")
    return pd.array(reader.value(cells), dtype=name)


def _read_index(reader, content):
    values, (name,) = map(reader.value, content)
    return pd.Index(values, dtype=values.dtype, name=name)


def _read_levels(reader, content):
    columns, names = map(reader.value, content)
    return pd.MultiIndex.from_arrays(columns, names=names)


def _read_range(reader, content):
    *ends, name = map(reader.value, content)
    return pd.RangeIndex(*ends, name=name)


def _read_frame(reader, content):
    columns, index, names = map(reader.value, content)
    if len(columns) != len(names) or any(len(column) != len(index) for column in columns):
        raise PersistenceError("a table's columns do not fit it")
    # With their types: pandas would guess at those of objects.
    series = {i: pd.Series(column, index, column.dtype) for i, column in enumerate(columns)}
    return pd.DataFrame(series, index).set_axis(names, axis=1)


def _read_table(reader, content):
    values, index, names = map(reader.value, content)
    return pd.DataFrame(values, index, names)


def _read_dict(reader, content):
    found = {reader.value(key): reader.value(value) for key, value in content}
    if len(found) < len(content):
        raise PersistenceError("a key comes twice in a dict")
    return found


def _read_record(reader, content):
    name, fields = content
    return reader.known.records[name](**reader.mapping(fields))


def _read_partial(reader, content):
    function, args, keywords = map(reader.value, content)
    return partial(function, *args, **keywords)


def _read_torch(reader, name):
    dtype = getattr(torch, name)
    if not isinstance(dtype, torch.dtype):
        raise PersistenceError(f"{name!r} is no type of a tensor")
    return dtype


def _read_float(reader, name):
    return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[name]


def _items(kind):
    return lambda reader, content: kind(reader.value(one) for one in content)


_READERS: dict[str, Callable] = {
    "float": _read_float,
    "tuple": _items(tuple),
    "set": _items(set),
    "frozenset": _items(frozenset),
    "dict": _read_dict,
    "ordered": lambda reader, content: OrderedDict(_read_dict(reader, content)),
    "bunch": lambda reader, content: Bunch(**_read_dict(reader, content)),
    "path": lambda reader, name: Path(name),
    "slice": lambda reader, content: slice(*map(reader.value, content)),
    "missing": lambda reader, content: pd.NA,
    "scalar": lambda reader, content: reader.value(content)[()],
    "number": _read_number,
    "array": lambda reader, name: reader.tensor(name).numpy(),
    "bytes": _read_bytes,
    "text": _read_text,
    "cells": _read_cells,
    "masked": _read_masked,
    "column": _read_column,
    "index": _read_index,
    "levels": _read_levels,
    "range": _read_range,
    "frame": _read_frame,
    "table": _read_table,
    "tensor": lambda reader, name: reader.tensor(name),
    "torch": _read_torch,
    "device": lambda reader, name: torch.device(name),
    "record": _read_record,
    "partial": _read_partial,
    "name": lambda reader, name: reader.known.names[name],
    "code": lambda reader, what: reader.code(what),
    "object": lambda reader, place: reader.object(place),
}
