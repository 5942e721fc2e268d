"""The torch module of an estimator, before it is trained."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from sknninterp.estimators._net import TensorData
from sknninterp.nn.embeddings import EMBEDDINGS, NumericEmbedding
from sknninterp.nn.graph import evaluation
from sknninterp.nn.mlp import MLP


def make_module(estimator: Any, data: TensorData) -> nn.Module:
    """An untrained network for an estimator's training data.

    Parameters
    ----------
    estimator : BaseTorchEstimator
    data : TensorData

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    TypeError
        If `module` or `numeric_embedding` make something else.
    ValueError
        If the module cannot take the samples, or puts out the wrong number of values.
    """
    inputs, n_inputs = data.inputs, data.inputs.shape[1]
    if estimator.module is not None and estimator.numeric_embedding is not None:
        raise ValueError(
            "numeric_embedding goes with the network made here; put one into your module"
            " (sknninterp.nn.embeddings)."
        )
    if estimator.module is None:
        module: nn.Module = MLP(
            n_inputs,
            estimator._n_outputs,
            estimator._hidden_sizes(),
            estimator.activation,
            estimator.dropout,
            estimator.batch_norm,
            _make_embedding(estimator, data),
        )
    elif isinstance(estimator.module, nn.Module):
        module = copy.deepcopy(estimator.module)
    else:
        module = estimator.module(n_inputs, estimator._n_outputs)
        if not isinstance(module, nn.Module):
            raise TypeError(
                "module must be a torch.nn.Module or a callable (n_inputs, n_outputs) that"
                f" returns one; it returned {type(module).__name__}."
            )
    module = module.to(dtype=inputs.dtype, device=inputs.device)
    _check_output(estimator, module, inputs)
    return module


def _make_embedding(estimator, data: TensorData) -> NumericEmbedding | None:
    if estimator.numeric_embedding is None:
        return None
    named = isinstance(estimator.numeric_embedding, str)
    make = EMBEDDINGS[estimator.numeric_embedding] if named else estimator.numeric_embedding
    embedding = make(data.inputs, data.weight)
    if not isinstance(embedding, NumericEmbedding):
        raise TypeError(
            "numeric_embedding must be a name or return a NumericEmbedding; it returned"
            f" {type(embedding).__name__}."
        )
    return embedding


def _check_output(estimator, module: nn.Module, inputs: Tensor) -> None:
    try:
        with evaluation(module), torch.no_grad():
            output = module(inputs[:1])
    except Exception as error:  # whatever the user's forward may raise
        raise ValueError(
            f"module cannot take samples of shape {tuple(inputs.shape[1:])}: {error}"
        ) from error
    got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    if got != (1, estimator._n_outputs):
        raise ValueError(
            f"module must return a tensor of shape (n_samples, {estimator._n_outputs}) for this y;"
            f" for one sample it returned {got}."
        )
