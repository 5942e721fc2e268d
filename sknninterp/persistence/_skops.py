"""What scikit-learn makes, pipelines and preprocessing, by skops; what is in them, by this package.

skops writes a zip file of JSON and arrays, and makes only what it trusts. In it a name stands for
each estimator and network of this package; they are stored beside it.
"""

from __future__ import annotations

import copy
import io
import re
import zipfile
from functools import cache
from inspect import isfunction

import numpy as np
import skorch
import torch
from sklearn.base import BaseEstimator
from torch import nn

from sknninterp.persistence._container import PersistenceError
from sknninterp.persistence._writing import Kind, described

_STAND_IN = re.compile(r"<sknninterp object \d+>", re.ASCII)
# Of scikit-learn and of this package, what skops does not know to be harmless.
_TRUSTED = {
    "numpy.clip",
    "numpy.dtype",
    "numpy.mean",
    "scipy.interpolate._bsplines.BSpline",
    "scipy.sparse._csr.csr_matrix",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
    "sknninterp.estimators.tables.InformativeImputer",
    "sknninterp.estimators.tables.categories_of",
    "sknninterp.estimators.tables.numbers_of",
}


@cache
def _trusted() -> frozenset[str]:
    from sklearn import feature_selection, model_selection
    from sklearn.metrics import get_scorer, get_scorer_names

    public = vars(model_selection).values()
    splitters = (s for s in public if isinstance(s, type) and hasattr(s, "split"))
    scores = (get_scorer(name)._score_func for name in get_scorer_names())
    ranks = (rank for rank in vars(feature_selection).values() if isfunction(rank))
    found = (f"{one.__module__}.{one.__qualname__}" for one in (*splitters, *scores, *ranks))
    return frozenset(_TRUSTED).union(found)


def _skops():
    try:
        import skops.io
    except ImportError as error:
        raise ImportError(
            "Pipelines and other estimators of scikit-learn are saved and loaded by skops, which"
            " is not installed: pip install skops.",
            name="skops",
        ) from error
    return skops.io


def _package(cls: type) -> str:
    return cls.__module__.split(".")[0]


def _is_own(value) -> bool:
    if isinstance(value, nn.Module | skorch.NeuralNet):
        return True
    of_package = any(_package(cls) == "sknninterp" for cls in type(value).__mro__)
    return of_package and described(type(value)) not in _TRUSTED  # skops stores those


def _holds(value) -> bool:
    known = isinstance(value, BaseEstimator) or _package(type(value)) == "sklearn"
    return known and not _is_own(value)


def _write(writer, value, path):
    io_ = _skops()
    own: dict[int, object] = {}

    def note(found):
        return own.setdefault(id(found), found) if _is_own(found) else found

    _replace(value, note, set())
    parts = [writer.value(one, f"{path}.{type(one).__name__}") for one in own.values()]
    stand_ins = {of_one: f"<sknninterp object {i}>" for i, of_one in enumerate(own)}
    try:
        data = io_.dumps(copy.deepcopy(value, stand_ins))
    except Exception as error:  # whatever an object that is not made for it may raise
        raise PersistenceError(f"{path} cannot be stored by skops: {error}") from error
    raw = torch.from_numpy(np.frombuffer(data, np.uint8).copy())
    return {"data": writer.tensor(raw, f"{path}.skops"), "parts": parts}


def _read(reader, entry):
    io_ = _skops()
    data = reader.tensor(entry["data"]).numpy().tobytes()
    parts = [reader.value(part) for part in entry["parts"]]
    _check_sizes(data)
    untrusted = set(io_.get_untrusted_types(data=data))
    unknown = untrusted - _trusted() - set(reader.trusted)
    if unknown:
        raise PersistenceError(
            f"it holds {sorted(unknown)}, which may run any code; if you trust where it comes"
            " from, name them in load(path, trusted=[...])"
        )
    found = io_.loads(data, trusted=sorted(untrusted))
    names = {f"<sknninterp object {i}>": part for i, part in enumerate(parts)}

    def put_back(value):
        stands_in = isinstance(value, str) and _STAND_IN.fullmatch(value)
        return names[value] if stands_in else value

    return _replace(found, put_back, set())


def _check_sizes(data: bytes) -> None:
    """No zip bomb: skops compresses nothing."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise PersistenceError("its preprocessing is compressed")
    if sum(entry.file_size for entry in entries) > len(data):
        raise PersistenceError("its preprocessing is larger than itself")


def _replace(value, swap, seen: set[int]):
    """Value with everything in it swapped, in place where that can be done."""
    new = swap(value)
    if new is not value or id(value) in seen:
        return new
    if type(value) is tuple:
        items = tuple(_replace(one, swap, seen) for one in value)
        return items if any(a is not b for a, b in zip(items, value, strict=True)) else value
    seen.add(id(value))
    holder = value
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        holder = value.reshape(-1)
    elif _holds(value) and not isinstance(value, dict | list):
        holder = getattr(value, "__dict__", ())
    elif not isinstance(value, dict | list):
        return value
    for place in list(holder) if isinstance(holder, dict) else range(len(holder)):
        old = holder[place]
        new = _replace(old, swap, seen)
        if new is not old:
            holder[place] = new
    return value


KIND = Kind(_holds, _write, _read)
