"""Fits on disk, as far as they have come: one that was killed goes on, and ends as if it had not.

A fit is deterministic but for its long parts: pretraining, training. Their states are kept, each in
a file of its own, and the rest is simply done again.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import joblib
import numpy as np
import sklearn
import skorch
import torch
from sklearn.utils import check_random_state
from skorch.callbacks import Callback
from torch import Tensor, nn

from sknninterp._files import write_atomically
from sknninterp.estimators._device import resolve_device
from sknninterp.estimators._interrupts import interrupted

_FORMAT = 1
_MANIFEST = "fit.json"
# Left behind by a writer that was killed.
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp")
# A state is written so seldom that this is all of the time that goes into it.
_SHARE = 0.02
_DIGEST_BYTES = hashlib.blake2b().digest_size
# They change nothing in what is learnt.
_IRRELEVANT = ("checkpoint", "verbose", "n_jobs")
_PLAIN = (str, int, float, bool, bytes, type(None))


class Checkpoint:
    """A folder with the state of one fit; without a folder nothing is kept.

    Parameters
    ----------
    folder : Path, default=None
    name : str, default=""
        Of the fit; a state that bears another one is of an earlier fit.
    prefix : str, default=""
        Of the names of its parts, for one of several networks.
    begun_with : tuple, default=None
        Of a fit that goes on, the state of numpy's generator when it began.
    made : bool, default=False
        Whether the folder was made for the fit, and goes with it.
    """

    def __init__(
        self,
        folder: Path | None = None,
        name: str = "",
        prefix: str = "",
        begun_with: tuple | None = None,
        made: bool = False,
    ):
        self.folder, self.name, self.prefix = folder, name, prefix
        self._begun_with, self._made = begun_with, made

    @classmethod
    def open(
        cls, folder: str | os.PathLike, fit: dict[str, str], random_state: Any = None
    ) -> Checkpoint:
        """That of a fit which a folder holds already, or a new one in it.

        Parameters
        ----------
        folder : str or path-like
            Made if there is none.
        fit : dict of str to str
            What the fit is known by.
        random_state : int, RandomState instance or None, default=None

        Raises
        ------
        ValueError
            If the folder holds the state of another fit, or it cannot be read.
        OSError
            If it cannot be written.
        """
        folder = Path(folder)
        made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        path, begun_with = folder / _MANIFEST, None
        for stray in folder.iterdir():
            if _TEMPORARY.fullmatch(stray.name):
                stray.unlink(missing_ok=True)
        if path.exists():
            found = _read_manifest(path)
            _check_same(folder, found["fit"], fit)
            begun_with = tuple(found["random"])
        else:
            kind, keys, *rest = check_random_state(random_state).get_state()
            random = [kind, keys.tolist(), *rest]
            found = {"name": secrets.token_hex(8), "random": random, "made": made}
            content = json.dumps({"format": _FORMAT, **found, "fit": fit}).encode()
            write_atomically(path, lambda file: file.write(content))
        return cls(folder, found["name"], begun_with=begun_with, made=found["made"])

    def random_state(self, given: Any) -> np.random.RandomState:
        """The generator of the fit's seeds: of a fit that goes on as it was in the beginning.

        Parameters
        ----------
        given : int, RandomState instance or None
        """
        if self._begun_with is None:
            return check_random_state(given)
        random_state = np.random.RandomState()
        random_state.set_state(self._begun_with)
        return random_state

    def part(self, name: str) -> Part:
        """A long part of the fit.

        Parameters
        ----------
        name : str
        """
        path = None if self.folder is None else self.folder / f"{self.prefix}{name}.state"
        return Part(path, self.name)

    @contextmanager
    def lent(self, network: Any, name: str) -> Iterator[None]:
        """Inside the block one of several networks keeps its parts with those of the others.

        Parameters
        ----------
        network : BaseTorchEstimator
        name : str
        """
        network._checkpoint = Checkpoint(self.folder, self.name, f"{name}-")
        try:
            yield
        finally:
            del network._checkpoint

    def states(self) -> list[Path]:
        """Files with the states of parts."""
        return [] if self.folder is None else list(self.folder.glob("*.state"))

    def finish(self) -> None:
        """Forget a fit that has ended."""
        if self.folder is None:
            return
        # First of all what it is known by: without that the states are those of no fit.
        for path in [self.folder / _MANIFEST, *self.states()]:
            path.unlink(missing_ok=True)
        if self._made:
            with suppress(OSError):  # there may be other things in it
                self.folder.rmdir()


NO_CHECKPOINT = Checkpoint()


@contextmanager
def checkpointed(estimator: Any, data: dict[str, Any], partial: bool = False) -> Iterator[None]:
    """Inside the block `estimator._checkpoint` holds this fit; a fit that ends well is forgotten.

    Parameters
    ----------
    estimator : BaseTorchEstimator
        One of several networks has the checkpoint of all.
    data : dict of str to ndarray or None
        What it is fitted to.
    partial : bool, default=False
        A `partial_fit` is never kept.

    Raises
    ------
    ValueError
        If the folder holds the state of another fit, or with `warm_start`.
    """
    if partial or estimator.checkpoint is None or "_checkpoint" in vars(estimator):
        yield
        return
    if getattr(estimator, "warm_start", False):
        raise ValueError(
            "checkpoint does not go with warm_start=True: what such a fit goes on from is not kept."
        )
    # Networks that are pretrained may have more data.
    fit = _described(estimator, {**data, "X_unlabeled": getattr(estimator, "_unlabeled", None)})
    checkpoint = Checkpoint.open(estimator.checkpoint, fit, estimator.random_state)
    estimator._checkpoint = checkpoint
    try:
        yield
        if not interrupted():
            checkpoint.finish()
    except Exception:
        if not checkpoint.states():  # what is refused at once need not be forgotten by hand
            checkpoint.finish()
        raise
    finally:
        del estimator._checkpoint


class Part:
    """The state of a long part of a fit, in a file: written whole or not at all.

    Parameters
    ----------
    path : Path or None
        None keeps nothing.
    fit : str
        Name of the fit.
    """

    def __init__(self, path: Path | None, fit: str):
        self.path, self.fit = path, fit
        self._next = 0.0

    @property
    def is_due(self) -> bool:
        """Whether it is time to write: that would not take too large a share of it."""
        return self.is_kept and time.monotonic() >= self._next

    @property
    def is_kept(self) -> bool:
        """Whether there is a file for it."""
        return self.path is not None

    def save(self, state: dict) -> None:
        """Write the state, if it is kept at all, in place of the one before.

        Parameters
        ----------
        state : dict
            Of tensors, numbers, strings, and lists, tuples and dicts of these.

        Raises
        ------
        OSError
            If it cannot be written: the one before is still there.
        ValueError
            If it holds something else.
        """
        if self.path is None:
            return
        start = time.monotonic()
        buffer = io.BytesIO()
        torch.save({"fit": self.fit, **plain(state, "")}, buffer)
        with buffer.getbuffer() as content:
            digest = hashlib.blake2b(content).digest()
            write_atomically(self.path, lambda file: file.writelines([digest, content]))
        now = time.monotonic()
        self._next = now + (now - start) / _SHARE

    def load(self) -> dict | None:
        """The state; None where the part had not come to that.

        Raises
        ------
        ValueError
            If the file is damaged.
        """
        if self.path is None or not self.path.exists():
            return None
        content = memoryview(self.path.read_bytes())
        digest, content = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.blake2b(content).digest() != digest:
            raise _damaged(self.path)
        try:
            state = torch.load(io.BytesIO(content), weights_only=True)
        except (UnpicklingError, RuntimeError) as error:
            raise _damaged(self.path) from error
        return state if state.pop("fit") == self.fit else None


def plain(value: Any, what: str) -> Any:
    """The same, of types that are read back without running anything.

    Parameters
    ----------
    value : object
    what : str
        Where it comes from.

    Raises
    ------
    ValueError
        If there is something of another type.
    """
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: plain(own, f"{what}.{key}".strip(".")) for key, own in value.items()}
    if isinstance(value, list | tuple):
        same = [plain(own, what) for own in value]
        return tuple(same) if isinstance(value, tuple) else same
    if type(value) in _PLAIN:
        return value
    raise ValueError(
        f"checkpoint cannot keep {what}, of type {type(value).__name__}: leave out what has it, or"
        " give it the methods state_dict and load_state_dict."
    )


# --- which fit it is ----------------------------------------------------------------------------


def _described(estimator: Any, data: dict[str, Any]) -> dict[str, str]:
    """Whatever makes a difference to what is learnt."""
    parameters = estimator.get_params(deep=False)
    named = {k: _words(v) for k, v in parameters.items() if k not in _IRRELEVANT}
    arrays = {k: "none" if v is None else joblib.hash(v, coerce_mmap=True) for k, v in data.items()}
    versions = {m.__name__: m.__version__ for m in (np, sklearn, skorch, torch)}
    return {
        "class": type(estimator).__name__,
        **named,
        "device": str(resolve_device(estimator.device)),
        **arrays,
        **versions,
        "sknninterp": version("sknninterp"),
    }


def _words(value: Any) -> str:
    """A parameter in words that are the same in another process."""
    if isinstance(value, nn.Module):
        weights = {name: tensor.numpy(force=True) for name, tensor in value.state_dict().items()}
        return f"{value!r} {joblib.hash(weights)}"
    if isinstance(value, Callback):
        return f"{type(value).__name__}({_words(value.get_params())})"
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_words(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_words, value))}]"
    if hasattr(value, "dist") and hasattr(value, "kwds"):  # a distribution of scipy.stats
        return f"{value.dist.name} {value.args} {value.kwds}"
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    # Addresses are other ones every time.
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _read_manifest(path: Path) -> dict:
    try:
        found = json.loads(path.read_bytes())
        kept = [found[name] for name in ("format", "name", "random", "made")]
        kept += found["fit"].keys()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(path) from error
    if kept[0] != _FORMAT:
        raise ValueError(
            f"checkpoint: {path} is of another version of this package; delete the folder to start"
            " anew."
        )
    return found


def _check_same(folder: Path, there: dict[str, str], here: dict[str, str]) -> None:
    unlike = [k for k in {**there, **here} if there.get(k) != here.get(k)]
    if unlike:
        told = [f"{k} ({_short(there, k)} there, {_short(here, k)} here)" for k in unlike]
        raise ValueError(
            f"checkpoint: {folder} holds an unfinished fit that differs in {', '.join(told)}. Give"
            " this fit a folder of its own, or delete that one to start anew."
        )


def _short(fit: dict[str, str], name: str) -> str:
    words = fit.get(name, "nothing")
    return words if len(words) <= 60 else f"{words[:57]}..."


def _damaged(path: Path) -> ValueError:
    return ValueError(f"checkpoint: {path} is damaged; delete the folder to start anew.")
