"""Drawing the weights of a fitted network anew, layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.neural_network._multilayer_perceptron import BaseMultilayerPerceptron
from sklearn.utils import _safe_indexing
from torch import nn

from sknninterp._typing import MatrixLike
from sknninterp.estimators._device import seeded
from sknninterp.estimators._network import find_network


class WeightLayers:
    """The layers of a fitted estimator's network that hold weights, from the output down.

    Parameters
    ----------
    estimator : estimator, pipeline, search, skorch net or torch module
        Its weights are changed in place: hand over a copy.
    X : array-like or DataFrame of shape (n_samples, ...)
        As the estimator takes it; one sample is read.

    Attributes
    ----------
    names : list of str
    """

    def __init__(self, estimator: Any, X: MatrixLike):
        network = find_network(estimator)
        if isinstance(network.predictor, BaseMultilayerPerceptron):
            # Its network is read from its arrays; what counts is what these hold.
            self._layers: dict[str, Any] = _layers_of_arrays(network.predictor)
        else:
            inputs = network.to_tensor(network.preprocess(_safe_indexing(X, slice(0, 1))))
            self._layers = _layers_of_graph(network.read(tuple(inputs.shape[1:])))
        self.names = list(self._layers)

    def randomize(self, name: str, how: str, random_state: np.random.RandomState) -> None:
        """Draw the weights of one layer anew.

        Parameters
        ----------
        name : str
        how : {"reset", "permute"}
            As if they had never been trained, or in another order.
        random_state : RandomState
        """
        layer = self._layers[name]
        if how == "permute":
            layer.permute(random_state)
        else:
            layer.reset(random_state)


def _layers_of_graph(graph) -> dict[str, _ModuleLayer]:
    names = {module: name for name, module in graph.module.named_modules()}
    owners = dict.fromkeys(owner for node in graph.nodes for owner, _, _ in node.tensors())
    return {names[owner] or "weights": _ModuleLayer(owner) for owner in reversed(owners)}


def _layers_of_arrays(mlp) -> dict[str, _ArrayLayer]:
    last = len(mlp.coefs_) - 1
    names = [*(f"hidden{i}" for i in range(last)), "output"]
    return {names[i]: _ArrayLayer(mlp, i) for i in range(last, -1, -1)}


class _ModuleLayer:
    """A torch module with parameters of its own."""

    def __init__(self, module: nn.Module):
        self.module: Any = module

    @torch.no_grad()
    def reset(self, random_state):
        with seeded(random_state):
            if hasattr(self.module, "reset_parameters"):
                self.module.reset_parameters()
                return
            for parameter in self.module.parameters(recurse=False):
                parameter.normal_(0, float(parameter.square().mean().sqrt()))

    @torch.no_grad()
    def permute(self, random_state):
        for parameter in self.module.parameters(recurse=False):
            order = torch.from_numpy(random_state.permutation(parameter.numel()))
            parameter.copy_(parameter.flatten()[order.to(parameter.device)].view_as(parameter))


class _ArrayLayer:
    """A layer of scikit-learn's multilayer perceptron."""

    def __init__(self, mlp, position: int):
        self.arrays = mlp.coefs_[position], mlp.intercepts_[position]
        # As scikit-learn draws them first (Glorot's bounds).
        factor = 2 if mlp.activation == "logistic" else 6
        self.bound = np.sqrt(factor / sum(self.arrays[0].shape))

    def reset(self, random_state):
        for array in self.arrays:
            array[...] = random_state.uniform(-self.bound, self.bound, array.shape)

    def permute(self, random_state):
        for array in self.arrays:
            array[...] = random_state.permutation(array.ravel()).reshape(array.shape)
