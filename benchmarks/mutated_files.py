"""Saved estimators, changed at random and loaded: only errors may come of it, and no code be run.

    python -m benchmarks.mutated_files [--files 1000] [--seed 0]

Estimators of every kind are saved. Each file is then one of them with one change: bits flipped,
bytes cut off, taken out, put in or exchanged, numbers of the header changed; or, with the checksum
made good again as only somebody with a purpose would do, values of the document or tensors changed.
It is loaded in this process while a hook of Python's listens for code that is compiled or run,
modules imported, programs started, files written and connections opened. What could be loaded
predicts. Counted is what came of each.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import math
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks._timing import peak_memory_mib, print_rows, write

HEARD = (
    "compile",
    "cpython.run_",
    "ctypes.dlopen",
    "exec",
    "ftplib.",
    "import",
    "marshal.load",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.putenv",
    "os.remove",
    "os.rename",
    "os.spawn",
    "os.startfile",
    "os.system",
    "os.unlink",
    "pickle.find_class",
    "pty.spawn",
    "shutil.",
    "socket.",
    "subprocess.",
    "urllib.",
    "webbrowser.",
)
# What a value of the document is changed to.
VALUES = (
    None,
    True,
    0,
    -1,
    1,
    3,
    624,
    10**6,
    10**12,
    2**63,
    10**30,
    -0.5,
    1e300,
    "",
    "a",
    "__class__",
    "__reduce__",
    "os.system",
    "builtins.eval",
    "float64",
    "TorchMLPClassifier",
    "torch.Linear",
    [],
    [10**6] * 4,
    {},
    {"float": "nan"},
    {"name": "torch.optim.LBFGS"},
    {"name": "os.system"},
    {"object": 0},
    {"object": 10**6},
    {"tuple": [10**9, 10**9]},
    {"dict": [[1, 2], [1, 3]]},
    {"range": [0, 10**15, 1, None]},
    {"text": ["<U99999999", [1], ["a"]]},
)


class Listener:
    """Counts what Python tells its audit hooks, while a file is loaded."""

    def __init__(self):
        self.listens = False
        self.literals = 0  # that numpy reads in the headers of arrays: they are parsed, not run
        self.heard: Counter = Counter()
        sys.addaudithook(self)  # for good: a hook cannot be taken off

    def __call__(self, event, args):
        if not self.listens:
            return
        writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
        if event == "compile" and _of_a_literal():
            self.literals += 1
        elif writes or event.startswith(HEARD):
            self.heard[f"{event} {str(args[0])[:60] if args else ''}".strip()] += 1


def _of_a_literal() -> bool:
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_name != "literal_eval":
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename.endswith("ast.py")


# --- what is saved -------------------------------------------------------------------------------


def estimators() -> dict[str, tuple]:
    """Fitted estimators of every kind, with what they predict of."""
    import torch
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from torch import nn

    import sknninterp as s

    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 5)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    images = X[:, :4].reshape(-1, 1, 2, 2)
    convolutions = nn.Sequential(
        nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(3, 2)
    )
    small = {"hidden_layer_sizes": (5,), "max_epochs": 2, "random_state": 0}
    torch.set_num_threads(1)
    plain = s.TorchMLPClassifier(**small, batch_norm=True, input_penalty=0.1, entropy_weight=0.01)
    tuned = s.ANTClassifier(**small, numeric_embedding="spline")
    machine = s.RBM(4, n_iter=1, random_state=0)
    found = {
        "plain network": (plain, X),
        "tuned network": (tuned, X),
        "several networks": (s.ANTRegressor(**small, n_networks=2), X),
        "pretrained network": (s.RBMPretrainedMLP(**small, pretraining_epochs=1), X),
        "network of convolutions": (
            s.TorchMLPClassifier(module=convolutions, max_epochs=1),
            images,
        ),
        "search": (s.ANTClassifierCV(s.ANTClassifier(**small), cv=2), X),
        "explainer": (s.PWPExplainer(s.TorchMLPClassifier(**small)), X),
        "auxiliary": (s.ActivationAuxClassifier(plain, aux_epochs=2, random_state=0), X),
        "machine": (machine, (X > 0).astype(np.float32)),
        "pipeline": (make_pipeline(StandardScaler(), s.TorchMLPClassifier(**small)), X),
    }
    for estimator, inputs in found.values():
        estimator.fit(inputs, y)
    return found


def outputs(estimator, X):
    """What an estimator makes of samples."""
    for method in ("predict_proba", "predict", "transform"):
        if hasattr(estimator, method):
            return np.asarray(getattr(estimator, method)(X))
    raise TypeError(f"{estimator!r} predicts nothing")


# --- changes -------------------------------------------------------------------------------------


def _flip(raw, rng):
    changed = bytearray(raw)
    for place in rng.integers(len(raw), size=rng.integers(1, 9)):
        changed[place] ^= 1 << rng.integers(8)
    return bytes(changed)


def _cut(raw, rng):
    return raw[: rng.integers(len(raw))]


def _take_out(raw, rng):
    start = rng.integers(len(raw))
    return raw[:start] + raw[start + rng.integers(1, 200) :]


def _put_in(raw, rng):
    start = rng.integers(len(raw))
    return raw[:start] + rng.bytes(rng.integers(1, 200)) + raw[start:]


def _exchange(raw, rng):
    size = int(rng.integers(1, 200))
    a, b = sorted(int(place) for place in rng.integers(len(raw) - size, size=2))
    if b - a < size:
        return _flip(raw, rng)
    return raw[:a] + raw[b : b + size] + raw[a + size : b] + raw[a : a + size] + raw[b + size :]


def _header_size(raw, rng):
    size = int(rng.choice([0, 1, len(raw), 2**20, 2**40, 2**62, int(rng.integers(2 * len(raw)))]))
    return size.to_bytes(8, "little") + raw[8:]


def _header_entry(raw, rng):
    header, data = _parts(raw)
    entry = header[_any([name for name in header if name != "__metadata__"], rng)]
    name = _any(list(entry), rng)
    if name == "dtype":
        entry["dtype"] = _any(["F64", "F32", "I64", "U8", "BOOL", "OBJECT", "", 3], rng)
    else:
        values = entry[name] or [0]
        values[rng.integers(len(values))] = _any([0, 1, 7, -1, 2**31, 2**62, 1e300, "a"], rng)
        entry[name] = values
    return _joined(header, data)


def _document(raw, rng):
    header, data = _parts(raw)
    document = json.loads(header["__metadata__"]["document"])
    for _ in range(rng.integers(1, 3)):
        _change(document, rng)
    return _sealed(header, data, json.dumps(document))


def _document_text(raw, rng):
    header, data = _parts(raw)
    text = header["__metadata__"]["document"]
    place = int(rng.integers(len(text)))
    insert = _any(["[" * 10**5, '{"a":' * 10**5, "9" * 10**4, "NaN", "\\u0000", '"', "}", ","], rng)
    return _sealed(header, data, text[:place] + insert + text[place + 1 :])


def _tensors(raw, rng):
    import safetensors.torch
    import torch

    header, _ = _parts(raw)
    tensors = safetensors.torch.load(raw)
    name = _any(sorted(tensors), rng)
    tensor = tensors.pop(name)
    flat = tensor.reshape(-1)
    backwards = torch.from_numpy(flat.numpy()[::-1].copy())
    found = {
        "gone": None,
        "flat": flat,
        "one number": flat.new_ones(()),
        "none": flat[:0],
        "longer": torch.cat([flat, flat]),
        "turned": tensor.T if tensor.ndim == 2 else backwards,
        "double": tensor.double(),
        "whole": tensor.long(),
        "bytes": tensor.to(torch.uint8),
        "extreme": torch.full_like(tensor, 100),
        "negative": torch.full_like(tensor.long(), -1).to(tensor.dtype),
    }
    how = _any(list(found), rng)
    if found[how] is not None:
        tensors[name if rng.random() < 0.9 else "__class__"] = found[how].contiguous().clone()
    metadata = header["__metadata__"]
    metadata["sha256"] = _digest(metadata["document"], tensors)
    return safetensors.torch.save(tensors, metadata)


AS_IT_IS = (_flip, _cut, _take_out, _put_in, _exchange, _header_size, _header_entry)
WITH_CHECKSUM = (_document, _document, _document, _document, _document_text, _tensors, _tensors)


def mutated(raw: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """The kind of a change, and the file with it."""
    changes = AS_IT_IS if rng.random() < 0.4 else WITH_CHECKSUM
    change = changes[rng.integers(len(changes))]
    return change.__name__.removeprefix("_").replace("_", " "), change(raw, rng)


def _any(values, rng):
    return copy.deepcopy(values[rng.integers(len(values))])


def _change(document, rng) -> None:
    """Changes a value, a key or the length of something in the document, all alike likely."""
    places = list(_places(document))
    holder, key = places[rng.integers(len(places))]
    how = rng.random()
    if how < 0.15:
        del holder[key]
    elif how < 0.25 and isinstance(holder, dict):
        holder[str(_any(VALUES, rng))] = holder.pop(key)
    elif how < 0.35:
        other, name = places[rng.integers(len(places))]
        holder[key] = copy.deepcopy(other[name])
    elif how < 0.5 and isinstance(holder[key], int | float):
        factor = _any([2, -1, 10**9, 0.5], rng)
        holder[key] = holder[key] * factor if math.isfinite(holder[key]) else 0
    else:
        holder[key] = _any(VALUES, rng)


def _places(value):
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _parts(raw):
    size = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + size]), raw[8 + size :]


def _joined(header, data) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def _sealed(header, data, document) -> bytes:
    import safetensors.torch

    tensors = safetensors.torch.load(_joined(header, data))
    digest = _digest(document, tensors)
    header["__metadata__"].update(document=document, sha256=digest)
    return _joined(header, data)


def _digest(document, tensors) -> str:
    """As the package computes it, written down a second time."""
    import torch

    found = hashlib.sha256(document.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        found.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        if tensor.numel():
            found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


# --- loading -------------------------------------------------------------------------------------


def outcome(path, X, expected, listener: Listener) -> str:
    """What comes of a file."""
    import sknninterp

    try:
        listener.listens = True
        try:
            estimator = sknninterp.load(path)
        finally:
            listener.listens = False
    except sknninterp.PersistenceError:
        return "error"
    except Exception as error:
        return f"other error: {type(error).__name__}"
    try:
        found = outputs(estimator, X)
    except Exception:
        return "loaded, cannot predict"
    same = found.shape == expected.shape and np.array_equal(found, expected)
    return "loaded, predicts the same" if same else "loaded, predicts otherwise"


def run(n_files: int, seed: int = 0) -> dict:
    """Load `n_files` changed files, and count what came of them."""
    import sknninterp

    warnings.simplefilter("ignore")
    rng, listener = np.random.default_rng(seed), Listener()
    counts: dict[str, Counter] = {}
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mutated.safetensors")
        saved = []
        for estimator, X in estimators().values():
            sknninterp.save(estimator, path)
            raw = path.read_bytes()
            first = outcome(path, X, outputs(estimator, X), listener)
            if first != "loaded, predicts the same":
                raise AssertionError(f"{estimator!r}: {first}")
            saved.append((raw, X, outputs(estimator, X)))
        listener.heard.clear()  # of what was imported as it was first needed
        listener.literals = 0
        before = peak_memory_mib()
        for number in range(n_files):
            raw, X, expected = saved[number % len(saved)]
            kind, changed = mutated(raw, rng)
            path.write_bytes(changed)
            start = time.perf_counter()
            found = outcome(path, X, expected, listener)
            slowest = max(slowest, time.perf_counter() - start)
            counts.setdefault(kind, Counter())[found] += 1
    total = sum(counts.values(), Counter())
    return {
        "files": n_files,
        "outcomes": dict(total.most_common()),
        "by_change": {kind: dict(of_kind.most_common()) for kind, of_kind in counts.items()},
        "heard": dict(listener.heard),
        "literals_parsed": listener.literals,
        "slowest_s": round(slowest, 3),
        "added_peak_mib": round(peak_memory_mib() - before, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    found = run(arguments.files, arguments.seed)
    rows = [{"change": kind, **counts} for kind, counts in sorted(found["by_change"].items())]
    print_rows("What came of changed files", rows, ["change", *found["outcomes"]])
    print(f"\nheard while they were loaded: {found['heard'] or 'nothing'}")
    write("mutated_files", found)


if __name__ == "__main__":
    main()
