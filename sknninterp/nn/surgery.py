"""Structural removal of neurons and convolution channels, the optimizer's state included."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from sknninterp.nn.graph import Graph
from sknninterp.nn.nodes import BatchNorm, Conv, UnsupportedModuleError, Weighted


def remove_units(
    graph: Graph, units: Iterable[int], optimizers: Iterable[torch.optim.Optimizer] = ()
) -> None:
    """Cut units out of the network that `graph` reads, in place.

    Rows of the weights and biases that make them, columns of the weights that read them (behind
    a flatten: one per position), batch-norm entries and the same slices of the optimizers' state
    go. Parameters keep their identity, so that optimizers and references stay valid. The graph
    is kept up to date; units keep their numbers.

    Parameters
    ----------
    graph : Graph
        As :func:`sknninterp.nn.graph.read` gives it.
    units : iterable of int
        Unit numbers, as in `Layer.units`.
    optimizers : iterable of torch.optim.Optimizer
        Optimizers whose state follows the parameters. State that has not the parameter's shape (a
        factored moment, L-BFGS's memory) cannot be cut and is started anew.

    Raises
    ------
    ValueError
        If a unit is part of the input or the output, or a layer would be left empty.

    Examples
    --------
    >>> from torch import nn
    >>> from sknninterp.nn.graph import read
    >>> from sknninterp.nn.surgery import remove_units
    >>> network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> graph = read(network, (4,))
    >>> remove_units(graph, graph.layers[0].units[:5])
    >>> network
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=True)
      (1): ReLU()
      (2): Linear(in_features=3, out_features=2, bias=True)
    )
    """
    gone = {int(u) for u in units}
    if not gone:
        return
    _check(graph, gone)
    optimizers = list(optimizers)
    # All cuts are planned before the first is made: a refusal leaves the network whole.
    plan = _plan(graph, np.array(sorted(gone)))
    for owner, name, cuts in plan:
        _cut(owner, name, cuts, optimizers)
    for node in graph.nodes:
        _update_sizes(node, n_before=len(graph.units[node]))
    graph.forget(gone)


def _check(graph: Graph, gone: set[int]) -> None:
    frozen = sorted(gone & graph.frozen)
    if frozen:
        raise ValueError(f"Units {frozen[:5]} belong to the network's input or output.")
    known = {u for units in graph.units.values() for u in units.tolist()}
    if gone - known:
        raise ValueError(f"There are no units {sorted(gone - known)[:5]} in this network.")
    for layer in graph.layers:
        if gone.issuperset(layer.units.tolist()):
            raise ValueError(f"Removing these units would leave layer {layer.name!r} empty.")


def _plan(graph: Graph, gone: np.ndarray):
    """Parameters and buffers to cut: (owner, name, {axis: positions kept})."""
    plan, seen = [], set()
    for node in graph.nodes:
        kept_out = _kept(graph.units[node], gone)
        if isinstance(node, Weighted) and not seen & {node._weight, node._bias}:
            kept_in = None if node.groups > 1 else _kept(graph.units[node.inputs[0]], gone)
            plan.append((*_parameter(*node._weight), {0: kept_out, 1: kept_in}))
            if node.bias is not None:
                plan.append((*_parameter(*node._bias), {0: kept_out}))
            seen |= {node._weight, node._bias}
        elif isinstance(node, BatchNorm) and node.owner not in seen:
            names = ("weight", "bias", "running_mean", "running_var")
            tensors = [name for name in names if getattr(node.owner, name) is not None]
            plan.extend((node.owner, name, {0: kept_out}) for name in tensors)
            seen.add(node.owner)
    return [(owner, name, {a: k for a, k in cuts.items() if k is not None})
            for owner, name, cuts in plan if any(k is not None for k in cuts.values())]


def _parameter(owner: nn.Module, name: str) -> tuple[nn.Module, str]:
    if name not in owner._parameters:
        raise UnsupportedModuleError(
            f"{type(owner).__name__} computes its {name} (a parametrization): it cannot be cut."
        )
    return owner, name


def _kept(units: np.ndarray, gone: np.ndarray) -> Tensor | None:
    """Positions that stay, or None if all do."""
    stays = ~np.isin(units, gone)
    return None if stays.all() else torch.from_numpy(np.flatnonzero(stays))


def _cut(owner, name, cuts, optimizers) -> None:
    tensor = getattr(owner, name)
    before = tensor.shape
    with torch.no_grad():
        tensor.data = _slice(tensor.data, cuts)
        if tensor.grad is not None:
            tensor.grad = None
        for optimizer in optimizers:
            _cut_state(optimizer, tensor, before, cuts)


def _slice(tensor: Tensor, cuts: dict[int, Tensor]) -> Tensor:
    for axis, kept in cuts.items():
        tensor = tensor.index_select(axis, kept.to(tensor.device))
    return tensor.contiguous()


def _cut_state(optimizer, parameter, before, cuts) -> None:
    if parameter not in optimizer.state:
        return
    state = optimizer.state[parameter]
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    if any(value.ndim and value.shape != before for value in tensors.values()):
        del optimizer.state[parameter]
        return
    for key, value in tensors.items():
        if value.ndim:
            state[key] = _slice(value, cuts)
    if hasattr(optimizer, "_numel_cache"):  # L-BFGS: its memory is one vector of all parameters
        optimizer.state.clear()
        optimizer._numel_cache = None


def _update_sizes(node, n_before: int) -> None:
    """Sizes that modules keep beside their parameters."""
    if isinstance(node, BatchNorm):
        node.owner.num_features = len(node.owner.running_mean)
    elif isinstance(node, Conv):
        n_out, n_in = node.weight.shape[:2]
        if node.groups > 1:
            node.groups = n_out // (n_before // node.groups)
        if isinstance(node.owner, (nn.Conv1d, nn.Conv2d)):
            node.owner.out_channels, node.owner.groups = n_out, node.groups
            node.owner.in_channels = n_in * node.groups
    elif isinstance(node, Weighted) and isinstance(node.owner, nn.Linear):
        node.owner.out_features, node.owner.in_features = node.weight.shape
