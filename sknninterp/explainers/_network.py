"""From whatever a user hands over to the network in it: what is explained, and in which outputs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import singledispatch

import numpy as np
import skorch
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sknninterp.estimators._base import BaseTorchEstimator
from sknninterp.nn.graph import Graph, read
from sknninterp.nn.mlp import mlp_from_weights


@dataclass(frozen=True)
class Network:
    """A fitted network with what is needed to explain it to its user.

    Attributes
    ----------
    module : torch.nn.Module
    predictor : object
        What checks the network's input: an estimator of this package, or the module itself.
    classes : ndarray or None
        Labels of a classifier.
    steps : tuple of (str, transformer)
        Fitted preprocessing, in order.
    """

    module: nn.Module
    predictor: object
    classes: np.ndarray | None = None
    steps: tuple = field(default=())

    def preprocess(self, X):
        """X as the last estimator of the pipeline gets it."""
        for _, step in self.steps:
            X = step.transform(X)
        return X

    def to_tensor(self, X) -> Tensor:
        """Preprocessed X, checked, as a tensor of the network's dtype on its device."""
        parameter = next(self.module.parameters())
        if isinstance(self.predictor, BaseTorchEstimator):
            array = self.predictor._network_input(X)
        else:
            dtype = torch.empty(0, dtype=parameter.dtype).numpy().dtype
            X = X.toarray() if sparse.issparse(X) else X
            array = check_array(X, dtype=dtype, allow_nd=True, order="C")
            array = np.require(array, requirements=["W"])
        return torch.from_numpy(array).to(parameter.device)

    def read(self, shape) -> Graph:
        """The network as a graph, for samples of this shape."""
        return read(self.module, shape)

    def output_names(self, n_outputs: int) -> np.ndarray:
        """Label of each output; of a single logit, the second class."""
        if self.classes is None:
            return np.arange(n_outputs)
        if n_outputs == 1 and len(self.classes) == 2:
            return self.classes[1:]
        return self.classes


def is_fitted(estimator) -> bool:
    """Whether an estimator, pipeline, search, skorch net or module can be explained as it is."""
    if isinstance(estimator, nn.Module):
        return True
    if isinstance(estimator, skorch.NeuralNet):
        return bool(estimator.initialized_)
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


@singledispatch
def find_network(estimator) -> Network:
    """The network inside a fitted `estimator`.

    Raises
    ------
    TypeError
        If there is none that can be explained.
    """
    if hasattr(estimator, "best_estimator_"):
        return find_network(estimator.best_estimator_)
    if isinstance(estimator, BaseEstimator) and hasattr(estimator, "param_grid"):
        raise NotFittedError(f"{type(estimator).__name__} has no best_estimator_: use refit=True.")
    raise TypeError(
        f"estimator: {type(estimator).__name__} holds no network that can be explained; taken are"
        " estimators of sknninterp, skorch nets, torch modules, scikit-learn's MLPClassifier and"
        " MLPRegressor, and pipelines and searches that end in one of these."
    )


@find_network.register
def _(estimator: BaseTorchEstimator) -> Network:
    return Network(estimator.module_, estimator, getattr(estimator, "classes_", None))


@find_network.register
def _(estimator: Pipeline) -> Network:
    inner = find_network(estimator.steps[-1][1])
    before = [(n, s) for n, s in estimator.steps[:-1] if s is not None and s != "passthrough"]
    return replace(inner, steps=(*before, *inner.steps))


@find_network.register
def _(estimator: FrozenEstimator) -> Network:
    return find_network(estimator.estimator)


@find_network.register
def _(estimator: TransformedTargetRegressor) -> Network:
    return find_network(estimator.regressor_)


@find_network.register
def _(estimator: skorch.NeuralNet) -> Network:
    classes = estimator.classes_ if isinstance(estimator, skorch.NeuralNetClassifier) else None
    if isinstance(estimator, skorch.NeuralNetBinaryClassifier):
        classes = np.asarray(estimator.classes_)
    return Network(estimator.module_, estimator, None if classes is None else np.asarray(classes))


@find_network.register
def _(estimator: nn.Module) -> Network:
    return Network(estimator, estimator)


_SKLEARN_ACTIVATIONS = {"logistic": "sigmoid"}


@find_network.register(MLPClassifier)
@find_network.register(MLPRegressor)
def _(estimator) -> Network:
    name = estimator.activation
    module = mlp_from_weights(
        estimator.coefs_, estimator.intercepts_, _SKLEARN_ACTIVATIONS.get(name, name)
    )
    return Network(module, estimator, getattr(estimator, "classes_", None))
