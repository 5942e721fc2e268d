"""The plain multilayer perceptron, and its making from a list of weights."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from sknninterp.nn.embeddings import NumericEmbedding

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


def _activation(name: str) -> nn.Module:
    if name not in ACTIVATIONS:
        raise ValueError(f"activation={name!r} is not one of {list(ACTIVATIONS)}.")
    return ACTIVATIONS[name]()


class MLP(nn.Sequential):
    """Fully connected network: `embedding` if any, `hidden0`, `activation0`, ..., `output`.

    Parameters
    ----------
    n_inputs, n_outputs : int
    hidden_layer_sizes : sequence of int
    activation : str
        A key of `ACTIVATIONS`.
    dropout : float, default=0.0
        Share of each hidden layer's values dropped while training.
    batch_norm : bool, default=False
        Batch norm between each hidden layer and its activation.
    embedding : NumericEmbedding, default=None
        Of the inputs, before the first layer.
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        hidden_layer_sizes: Sequence[int] = (100,),
        activation: str = "relu",
        dropout: float = 0.0,
        batch_norm: bool = False,
        embedding: NumericEmbedding | None = None,
    ):
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        width = n_inputs
        if embedding is not None:
            layers["embedding"], width = embedding, embedding.n_outputs
        for i, size in enumerate(hidden_layer_sizes):
            layers[f"hidden{i}"] = nn.Linear(width, size)
            if batch_norm:
                layers[f"norm{i}"] = nn.BatchNorm1d(size)
            layers[f"activation{i}"] = _activation(activation)
            if dropout:
                layers[f"dropout{i}"] = nn.Dropout(dropout)
            width = size
        layers["output"] = nn.Linear(width, n_outputs)
        super().__init__(layers)
        self._initialize(activation)

    def _initialize(self, activation: str) -> None:
        # Glorot's uniform bounds, as scikit-learn's MLP: 6 / (in + out), a third of it for sigmoid.
        factor = 2.0 if activation == "sigmoid" else 6.0
        for module in self:
            if isinstance(module, nn.Linear):
                bound = (factor / (module.in_features + module.out_features)) ** 0.5
                nn.init.uniform_(module.weight, -bound, bound)
                nn.init.uniform_(module.bias, -bound, bound)


def mlp_from_weights(weights: Sequence, biases: Sequence, activation: str) -> nn.Sequential:
    """Network with given weights, such as those of scikit-learn's MLP.

    Parameters
    ----------
    weights : sequence of arrays of shape (n_in, n_out)
    biases : sequence of arrays of shape (n_out,)
    activation : str
        A key of `ACTIVATIONS`, or "identity" for none.

    Returns
    -------
    torch.nn.Sequential
        Named as :class:`MLP` names its layers; a closing softmax is not part of it.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        last = i == len(weights) - 1
        tensor = torch.as_tensor(weight)
        # Not initialised: that would move the global random state.
        linear = nn.utils.skip_init(nn.Linear, *tensor.shape, dtype=tensor.dtype)
        with torch.no_grad():
            linear.weight.copy_(tensor.T)
            linear.bias.copy_(torch.as_tensor(bias))
        layers["output" if last else f"hidden{i}"] = linear
        if not last and activation != "identity":
            layers[f"activation{i}"] = _activation(activation)
    return nn.Sequential(layers).eval()
