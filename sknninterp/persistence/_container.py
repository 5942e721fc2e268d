"""The file: tensors and one JSON document in the safetensors format, checked before it is used."""

from __future__ import annotations

import hashlib
import json
from os import PathLike

import safetensors.torch
import torch
from torch import Tensor

from sknninterp._files import write_atomically

FORMAT = 1
_NAME = "sknninterp"


class PersistenceError(ValueError):
    """What cannot be saved, or a file that cannot be loaded.

    Raised by :func:`sknninterp.save`, :func:`sknninterp.load` and :func:`sknninterp.to_onnx`; says
    which attribute or which file, and why.

    Examples
    --------
    >>> import sknninterp
    >>> network = sknninterp.TorchMLPClassifier(callbacks=[len])
    >>> try:
    ...     sknninterp.save(network, "network.safetensors")
    ... except sknninterp.PersistenceError as error:
    ...     print(error)
    TorchMLPClassifier.callbacks[0] is builtins.len, which cannot be stored.
    """


def write(path: str | PathLike, document: dict, tensors: dict[str, Tensor]) -> None:
    """Write a file, whole or not at all.

    Parameters
    ----------
    path : str or path-like
    document : dict
        What `json` takes.
    tensors : dict of str to Tensor
        On the CPU.
    """
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    metadata = {
        "format": _NAME,
        "format_version": str(FORMAT),
        "sha256": _digest(text, tensors),
        "document": text,
    }
    data = safetensors.torch.save(tensors, metadata)
    write_atomically(path, lambda file: file.write(data))


def read(data: bytes) -> tuple[dict, dict[str, Tensor]]:
    """The document and the tensors of a file.

    Parameters
    ----------
    data : bytes
        What is in it.

    Returns
    -------
    document : dict
    tensors : dict of str to Tensor

    Raises
    ------
    PersistenceError
        If it is something else, damaged, or of a newer format.
    """
    metadata = _metadata(data)
    if metadata.get("format") != _NAME:
        raise PersistenceError("it was not written by sknninterp.save")
    version = metadata.get("format_version", "")
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        raise PersistenceError("it does not say the version of its format")
    if int(version) > FORMAT:
        raise PersistenceError(
            f"its format has the version {version}, and this version of sknninterp reads up to"
            f" {FORMAT}: a newer sknninterp is needed"
        )
    tensors = safetensors.torch.load(data)  # sees to it that sizes and bounds agree
    if _digest(metadata["document"], tensors) != metadata.get("sha256"):
        raise PersistenceError("it is damaged: its content does not have the checksum it had")
    return parse(metadata["document"]), tensors


def parse(text: str | bytes) -> dict:
    """A JSON object, in which no key comes twice.

    Parameters
    ----------
    text : str or bytes
    """
    found = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    if not isinstance(found, dict):
        raise PersistenceError("its header is no JSON object")
    return found


def _metadata(data: bytes) -> dict[str, str]:
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > len(data) - 8:
        raise PersistenceError("it is cut off, or no safetensors file")
    metadata = parse(data[8 : 8 + size]).get("__metadata__")
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise PersistenceError("it was not written by sknninterp.save")
    return metadata


def _unique(pairs: list[tuple[str, object]]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise PersistenceError("a key comes twice in its header")
    return found


def _no_constant(name: str):
    raise PersistenceError(f"its header holds {name}, which is not JSON")


def _digest(document: str, tensors: dict[str, Tensor]) -> str:
    """Checksum of the document and of every tensor with its name, type and shape."""
    found = hashlib.sha256(document.encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        if tensor.numel():
            found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
