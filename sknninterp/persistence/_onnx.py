"""Fitted networks as ONNX, for programs that know nothing of torch."""

from __future__ import annotations

import copy
import inspect
import os
from importlib.metadata import version
from typing import Any

import torch
from sklearn.base import is_classifier
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sknninterp._files import write_atomically
from sknninterp.estimators._base import BaseTorchEstimator
from sknninterp.persistence._container import PersistenceError
from sknninterp.persistence._writing import described

_NOTE = (
    "Network of a {name} fitted by sknninterp {version}. Preprocessing is not part of it: the input"
    " is what the estimator itself gets, float32 of shape {shape}. Output: {output}."
)


def to_onnx(estimator: Any, path: str | os.PathLike) -> None:
    """Write a fitted network as an ONNX file: the network alone, without any preprocessing.

    Of a pipeline that is its last step, which wants what the steps before it make of a table. The
    file says so, too, in its `doc_string`. Several networks (`n_networks`) are averaged in it, and
    what `numeric_embedding` does to the inputs is part of it.

    Parameters
    ----------
    estimator : estimator, pipeline or search
        Fitted; that ends in an estimator of this package with `fit` and `predict`. Of
        `TransformedTargetRegressor` the regressor, in its own units.
    path : str or path-like
        The file, commonly `*.onnx`; one that is there is replaced.

    Raises
    ------
    PersistenceError
        If there is no such network.
    NotFittedError
        If it is not fitted.
    ImportError
        If onnx or onnxscript are not installed.
    OSError
        If the file cannot be written; one that was there is then as it was.

    See Also
    --------
    save : The whole estimator or pipeline, for this package.

    Notes
    -----
    Input `X`: float32 (n, n_features), or (n, channels, ...) of a `module` for such, with any n.
    Output `probabilities`, float32 (n, n_classes) in the order of `classes_`, or `values`, (n,) or
    (n, n_outputs). It agrees with `predict_proba` and `predict` but for rounding.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn.datasets import load_iris
    >>> from sknninterp import TorchMLPClassifier, to_onnx
    >>> X, y = load_iris(return_X_y=True)
    >>> network = TorchMLPClassifier(max_epochs=5).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_onnx(network, os.path.join(folder, "iris.onnx"))  # doctest: +SKIP
    """
    network = _network(estimator)
    check_is_fitted(network, "net_")
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError("to_onnx needs onnx and onnxscript: pip install sknninterp[onnx].") from (
            error
        )
    if "dynamic_shapes" not in inspect.signature(torch.onnx.export).parameters:
        raise ImportError(
            f"to_onnx needs torch 2.6 or newer, and this is {torch.__version__}: pip install"
            " sknninterp[onnx]."
        )
    data = _exported(network)
    write_atomically(path, lambda file: file.write(data))


def _network(estimator) -> BaseTorchEstimator:
    """The estimator of this package that another ends in."""
    if isinstance(estimator, BaseTorchEstimator):
        return estimator
    if isinstance(estimator, Pipeline):
        return _network(estimator.steps[-1][1])
    inner = "regressor_" if isinstance(estimator, TransformedTargetRegressor) else "best_estimator_"
    if hasattr(estimator, inner):
        return _network(getattr(estimator, inner))
    raise PersistenceError(
        f"estimator is {described(estimator)}, which is or ends in no fitted network of sknninterp."
    )


class _Predictor(nn.Module):
    """Probabilities or values, of one network or the mean of several."""

    def __init__(self, estimator: BaseTorchEstimator):
        super().__init__()
        modules = [one.module_ for one in getattr(estimator, "networks_", [estimator])]
        self.networks = nn.ModuleList(copy.deepcopy(module).cpu().float() for module in modules)
        self.classifies = is_classifier(estimator)
        self.flat = getattr(estimator, "_flat_target", False)

    def forward(self, x):
        outputs = torch.stack([network(x) for network in self.networks])
        if self.classifies:
            return outputs.softmax(2).mean(0)
        return outputs.mean(0)[:, 0] if self.flat else outputs.mean(0)


def _exported(estimator: BaseTorchEstimator) -> bytes:
    shape = estimator.net_.input_shape_
    predictor = _Predictor(estimator).eval()
    output = "probabilities" if predictor.classifies else "values"
    program = torch.onnx.export(
        predictor,
        (torch.zeros(2, *shape),),
        input_names=["X"],
        output_names=[output],
        dynamic_shapes=({0: torch.export.Dim("n")},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # as it is with dynamo
    proto = program.model_proto
    shape = ("n", *shape)
    names = {"name": type(estimator).__name__, "version": version("sknninterp")}
    shown = f"({', '.join(map(str, shape))})"
    proto.doc_string = proto.graph.doc_string = _NOTE.format(**names, shape=shown, output=output)
    proto.producer_name, proto.producer_version = "sknninterp", names["version"]
    return proto.SerializeToString()
