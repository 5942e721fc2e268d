"""Estimators, explainers and pipelines in one file each, without pickle; networks as ONNX."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from torch import nn

from sknninterp.persistence import _container
from sknninterp.persistence._container import PersistenceError
from sknninterp.persistence._known import KNOWN
from sknninterp.persistence._onnx import to_onnx
from sknninterp.persistence._reading import Reader
from sknninterp.persistence._writing import Writer

__all__ = ["PersistenceError", "load", "save", "to_onnx"]


def save(estimator: Any, path: str | os.PathLike) -> None:
    """Save an estimator, an explainer or a pipeline in one file, without pickle.

    The file is a safetensors file: weights and arrays are its tensors; classes, parameters,
    histories and the versions of the libraries are JSON in its header. It holds no code. It is
    written whole or not at all.

    Parameters
    ----------
    estimator : estimator, explainer, selector, pipeline or search
        Of this package, fitted or not, or what scikit-learn makes of such: pipelines, searches,
        `TransformedTargetRegressor` and so on, which need skops.
    path : str or path-like
        The file, commonly `*.safetensors`; one that is there is replaced.

    Raises
    ------
    PersistenceError
        If a parameter or attribute cannot be stored; it names it. These are callables (but for
        `module`, which :func:`load` then asks for), callbacks of other packages, and skorch nets.
    OSError
        If the file cannot be written; one that was there is then as it was.
    ImportError
        If it needs skops, which is not installed.

    See Also
    --------
    load : The way back.
    to_onnx : The network for other programs.

    Notes
    -----
    Kept is what training goes on from (`partial_fit`, `warm_start`): the optimizer's state, too,
    but for L-BFGS's and Adafactor's, which start anew. Gone are records of single batches in
    `net_.history`.

    Examples
    --------
    >>> import os, tempfile
    >>> import sknninterp
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> network = sknninterp.ANTClassifier(max_epochs=20, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "iris.safetensors")
    ...     sknninterp.save(network, path)
    ...     again = sknninterp.load(path)
    >>> bool((again.predict_proba(X) == network.predict_proba(X)).all())
    True
    """
    writer = Writer(KNOWN)
    root = writer.value(estimator, type(estimator).__name__)
    if not isinstance(root, dict) or "object" not in root:
        raise PersistenceError(
            f"estimator is a {type(estimator).__name__}: saved are estimators, explainers and"
            " pipelines."
        )
    document = {"versions": _versions(), "objects": writer.objects, "root": root}
    _container.write(path, document, writer.tensors)


def load(
    path: str | os.PathLike,
    *,
    module: Callable[[int, int], nn.Module] | nn.Module | None = None,
    trusted: Sequence[str] = (),
) -> Any:
    """Load what :func:`save` saved. No code of the file is run: it holds none.

    Only classes of a closed list are made: those of this package, layers of torch, and what skops
    trusts.

    Parameters
    ----------
    path : str or path-like
    module : callable or torch.nn.Module, default=None
        The network's code, where the estimator that was saved had a `module` of your own: the same
        callable `(n_inputs, n_outputs) -> torch.nn.Module`, or module. The weights of the file are
        put into it.
    trusted : list of str, default=()
        Types of other packages in a pipeline that you trust, such as "my_package.MyTransformer",
        and whose modules may therefore be imported.

    Returns
    -------
    estimator, explainer, selector, pipeline or search
        Its predictions and explanations are those of the one saved, bit for bit on the same
        machine.

    Raises
    ------
    PersistenceError
        If the file is damaged, was not written by :func:`save` or by a newer version of it, needs
        `module`, or holds types that are not trusted.
    OSError
        If the file cannot be read.
    ImportError
        If it needs skops, which is not installed.

    Warns
    -----
    UserWarning
        If the estimator's `device` is not there: its network is then on the CPU.

    See Also
    --------
    save : What is saved, and what is not.

    Examples
    --------
    >>> import os, tempfile
    >>> import sknninterp, torch
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> def narrow(n_inputs, n_outputs):
    ...     return torch.nn.Sequential(torch.nn.Linear(n_inputs, n_outputs))
    >>> network = sknninterp.TorchMLPClassifier(module=narrow, max_epochs=5).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "iris.safetensors")
    ...     sknninterp.save(network, path)
    ...     again = sknninterp.load(path, module=narrow)
    >>> again.module_
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=True)
    )
    """
    data = Path(path).read_bytes()
    try:
        document, tensors = _container.read(data)
        return Reader(KNOWN, document, tensors, module, trusted).root()
    except PersistenceError as error:
        raise PersistenceError(f"{os.fspath(path)!r} cannot be loaded: {error}.") from error
    except Exception as error:  # whatever a file that somebody has changed may lead to
        if isinstance(error, ImportError) and error.name == "skops":
            raise
        what = f"{type(error).__name__}: {error}"
        raise PersistenceError(f"{os.fspath(path)!r} is damaged: {what}") from error


def _versions() -> dict[str, str]:
    """Of all that a file depends on."""
    found = {"python": platform.python_version()}
    for name in ("numpy", "scikit-learn", "sknninterp", "skops", "skorch", "torch"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # skops need not be there
            continue
    return found
