"""Values to JSON and tensors: what is not JSON itself is an object with one key, its kind."""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils import Bunch
from torch import Tensor

from sknninterp.persistence._container import PersistenceError

NUMBERS = "biuf"
# That older versions of torch and safetensors know, too.
_OF_TENSORS = [np.dtype(name) for name in "?bhiqBefd"]
EXTENSION_TYPES = {"str", "string", "boolean", "Float32", "Float64"} | {
    f"{sign}{bits}" for sign in ("Int", "UInt") for bits in (8, 16, 32, 64)
}


@dataclasses.dataclass(frozen=True)
class Kind:
    """Objects that are stored once and referred to by number.

    Attributes
    ----------
    holds : callable
        Whether an object is of this kind.
    write : callable
        `(writer, object, path) -> dict` of JSON values.
    read : callable
        `(reader, dict) -> object`.
    """

    holds: Callable[[object], bool]
    write: Callable
    read: Callable


@dataclasses.dataclass(frozen=True)
class Known:
    """All that a file may name; nothing else is ever looked up.

    Attributes
    ----------
    kinds : dict of str to Kind
        In the order in which they are asked.
    records : dict of str to type
        Dataclasses and named tuples, made anew from their fields.
    names : dict of str to object
        Classes and functions.
    """

    kinds: dict[str, Kind]
    records: dict[str, type]
    names: dict[str, object]


class Writer:
    """Turns values into JSON, and puts arrays into `tensors` and objects into `objects`.

    Parameters
    ----------
    known : Known
    """

    def __init__(self, known: Known):
        self.known = known
        self.tensors: dict[str, Tensor] = {}
        self.objects: list[dict] = []
        self._places: dict[int, int | None] = {}
        self._kept: list[object] = []  # an object that is gone may leave its id to another

    def value(self, value: Any, path: str) -> Any:
        """JSON of a value.

        Parameters
        ----------
        value : object
        path : str
            Where it is, for tensors' names and errors.

        Raises
        ------
        PersistenceError
            If it cannot be stored.
        """
        if value is None or type(value) in (bool, int, str):
            return value
        write = _WRITERS.get(type(value))
        if write is not None:
            return write(self, value, path)
        if isinstance(value, np.generic):
            return {"scalar": self.value(np.asarray(value), path)}
        if isinstance(value, pd.Index):
            return _write_index(self, value, path)
        if isinstance(value, PurePath):
            return {"path": str(value)}
        for name, record in self.known.records.items():
            if type(value) is record:
                return {"record": [name, self.mapping(_fields(value), path)]}
        return self._object(value, path)

    def mapping(self, values: dict[str, object], path: str) -> dict:
        """JSON of a dict whose keys are names."""
        return {name: self.value(value, f"{path}.{name}") for name, value in values.items()}

    def tensor(self, tensor: Tensor, path: str) -> str:
        """Put a tensor aside; its name."""
        name, n_before = path, 0
        while name in self.tensors:
            n_before += 1
            name = f"{path}~{n_before}"
        self.tensors[name] = tensor.detach().cpu().contiguous().clone()
        return name

    def _object(self, value, path: str):
        place = self._places.get(id(value), -1)
        if place is None:
            raise PersistenceError(f"{path} refers to what it is a part of; that is not stored.")
        if place >= 0:
            return {"object": place}
        for name, kind in self.known.kinds.items():
            if kind.holds(value):
                self._places[id(value)] = None
                self._kept.append(value)
                entry = {"kind": name, **kind.write(self, value, path)}
                self.objects.append(entry)
                self._places[id(value)] = len(self.objects) - 1
                return {"object": len(self.objects) - 1}
        return self._name(value, path)

    def _name(self, value, path: str):
        if type(value) is partial:
            parts = [value.func, value.args, value.keywords]
            return {"partial": [self.value(part, path) for part in parts]}
        if callable(value):
            for name, known in self.known.names.items():
                if value == known:
                    return {"name": name}
        raise PersistenceError(f"{path} is {described(value)}, which cannot be stored.")


def described(value: Any) -> str:
    """The full name of a class or function, or of a value's class.

    Parameters
    ----------
    value : object
    """
    named = value if isinstance(getattr(value, "__qualname__", None), str) else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def _fields(record) -> dict:
    if hasattr(record, "_asdict"):  # a named tuple
        return record._asdict()
    return {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}


def _write_float(writer, value, path):
    return value if math.isfinite(value) else {"float": str(value)}


def _write_items(kind):
    def write(writer, values, path):
        items = [writer.value(v, f"{path}[{i}]") for i, v in enumerate(values)]
        return items if kind == "list" else {kind: items}

    return write


def _write_dict(kind):
    def write(writer, values, path):
        return {
            kind: [
                [writer.value(k, f"{path} (a key)"), writer.value(v, f"{path}.{k}")]
                for k, v in values.items()
            ]
        }

    return write


def _write_array(writer, array, path):
    dtype = array.dtype
    if dtype.kind in NUMBERS and dtype.itemsize <= 8 and array.ndim == 0:
        return {"number": [dtype.str, writer.value(array.item(), path)]}
    if dtype in _OF_TENSORS:
        return {"array": writer.tensor(torch.from_numpy(array.copy()), path)}
    if dtype.kind in "mMc" or (dtype.kind in NUMBERS and dtype.itemsize <= 8):
        raw = np.frombuffer(array.tobytes(), np.uint8).copy()
        return {"bytes": [dtype.str, list(array.shape), writer.tensor(torch.from_numpy(raw), path)]}
    if dtype.kind == "U":
        return {"text": [dtype.str, list(array.shape), array.ravel().tolist()]}
    if dtype.kind == "O":
        cells = [writer.value(v, f"{path}[{i}]") for i, v in enumerate(array.ravel().tolist())]
        return {"cells": [list(array.shape), cells]}
    raise PersistenceError(f"{path} is an array of {dtype}, which cannot be stored.")


def _write_masked(writer, array, path):
    mask = np.ma.getmaskarray(array)
    parts = writer.value(np.asarray(array.data), path), writer.value(mask, f"{path}.mask")
    return {"masked": [*parts, writer.value(array.fill_value, f"{path}.fill_value")]}


def _write_column(writer, values, path):
    """An array, also one of a type that pandas has of its own."""
    if isinstance(values.dtype, np.dtype):
        return writer.value(np.asarray(values), path)
    name = str(values.dtype)
    if name not in EXTENSION_TYPES:
        raise PersistenceError(f"{path} is a column of {name}, which cannot be stored.")
    present = ~np.asarray(pd.isna(values))
    cells = [cell if there else None for cell, there in zip(values, present, strict=True)]
    return {"column": [name, writer.value(cells, path)]}


def _write_index(writer, index, path):
    if isinstance(index, pd.RangeIndex):
        ends = [index.start, index.stop, index.step]
        return {"range": [*ends, writer.value(index.name, path)]}
    names = writer.value(list(index.names), f"{path}.names")
    if isinstance(index, pd.MultiIndex):
        levels = range(index.nlevels)
        columns = [_write_column(writer, index.get_level_values(i), path) for i in levels]
        return {"levels": [columns, names]}
    return {"index": [_write_column(writer, index, path), names]}


def _write_frame(writer, frame, path):
    ends = [_write_index(writer, end, f"{path}.{name}") for name, end in _axes(frame)]
    types = set(frame.dtypes)
    if len(types) == 1 and isinstance(only := types.pop(), np.dtype) and only.kind in NUMBERS:
        return {"table": [writer.value(frame.to_numpy(), path), *ends]}
    columns = [
        _write_column(writer, frame.iloc[:, i], f"{path}[{i}]") for i in range(frame.shape[1])
    ]
    return {"frame": [columns, *ends]}


def _axes(frame):
    return ("index", frame.index), ("columns", frame.columns)


def _write_tensor(writer, tensor, path):
    return {"tensor": writer.tensor(tensor, path)}


_WRITERS: dict[type, Callable] = {
    float: _write_float,
    list: _write_items("list"),
    tuple: _write_items("tuple"),
    torch.Size: _write_items("tuple"),
    set: _write_items("set"),
    frozenset: _write_items("frozenset"),
    dict: _write_dict("dict"),
    OrderedDict: _write_dict("ordered"),
    Bunch: _write_dict("bunch"),
    slice: lambda w, v, path: {"slice": [w.value(end, path) for end in (v.start, v.stop, v.step)]},
    type(pd.NA): lambda writer, value, path: {"missing": "NA"},
    np.ndarray: _write_array,
    np.ma.MaskedArray: _write_masked,
    pd.DataFrame: _write_frame,
    Tensor: _write_tensor,
    torch.dtype: lambda writer, value, path: {"torch": str(value).removeprefix("torch.")},
    torch.device: lambda writer, value, path: {"device": str(value)},
}
