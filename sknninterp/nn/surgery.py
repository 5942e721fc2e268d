"""Structural removal of neurons and convolution channels, the optimizer's state included."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from sknninterp.nn.graph import Graph
from sknninterp.nn.nodes import BatchNorm, Conv, Node, UnsupportedModuleError, Weighted


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
    UnsupportedModuleError
        If a weight is computed (a parametrization). The network is whole after any error.

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


def _plan(graph: Graph, gone: np.ndarray) -> list[tuple[nn.Module, str, dict[int, Tensor]]]:
    """Parameters and buffers to cut: (owner, name, {axis: positions kept})."""
    plan, seen = [], set()
    for node in graph.nodes:
        for owner, name, axes in node.tensors():
            kept = {axis: _kept(graph.units[source], gone) for axis, source in enumerate(axes)}
            cuts = {axis: positions for axis, positions in kept.items() if positions is not None}
            tensor = getattr(owner, name)
            if not cuts or id(tensor) in seen:
                continue
            if name not in owner._parameters and name not in owner._buffers:
                raise UnsupportedModuleError(
                    f"{type(owner).__name__} at {node.name!r} computes its {name} (a"
                    " parametrization): it cannot be cut."
                )
            plan.append((owner, name, cuts))
            seen.add(id(tensor))
    return plan


def _kept(units: np.ndarray, gone: np.ndarray) -> Tensor | None:
    """Positions that stay, or None if all do."""
    stays = ~np.isin(units, gone)
    return None if stays.all() else torch.from_numpy(np.flatnonzero(stays))


def _cut(
    owner: nn.Module,
    name: str,
    cuts: dict[int, Tensor],
    optimizers: Iterable[torch.optim.Optimizer],
) -> None:
    tensor = getattr(owner, name)
    before, cut = tensor.shape, _slice(tensor.data, cuts)
    # A loss that is still held keeps the gradient's accumulator, of the old shape, alive; torch
    # makes a new one only when the dtype changes.
    passing = torch.float64 if tensor.dtype == torch.float32 else torch.float32
    tensor.data = torch.empty(0, dtype=passing, device=tensor.device)
    tensor.data = cut
    tensor.grad = None
    for optimizer in optimizers:
        _cut_state(optimizer, tensor, before, cuts)


def _slice(tensor: Tensor, cuts: dict[int, Tensor]) -> Tensor:
    for axis, kept in cuts.items():
        tensor = tensor.index_select(axis, kept.to(tensor.device))
    return tensor


def _cut_state(
    optimizer: torch.optim.Optimizer,
    parameter: Tensor,
    before: tuple[int, ...],
    cuts: dict[int, Tensor],
) -> None:
    if isinstance(optimizer, torch.optim.LBFGS):  # its memory is one vector of all parameters
        if any(parameter is own for own in optimizer._params):
            optimizer.state.clear()
            optimizer._numel_cache = None
        return
    if parameter not in optimizer.state:
        return
    state = optimizer.state[parameter]
    tensors = {key: v for key, v in state.items() if isinstance(v, Tensor) and v.ndim}
    if any(value.shape != before for value in tensors.values()):
        del optimizer.state[parameter]
    else:
        state.update({key: _slice(value, cuts) for key, value in tensors.items()})


def _update_sizes(node: Node, n_before: int) -> None:
    """Sizes that modules keep beside their parameters."""
    if isinstance(node, BatchNorm):
        node.owner.num_features = len(node.owner.running_var)
    elif isinstance(node, Conv):
        n_out, n_in = node.weight.shape[:2]
        if node.groups > 1:
            node.groups = n_out // (n_before // node.groups)
        if isinstance(node.owner, (nn.Conv1d, nn.Conv2d)):
            node.owner.out_channels, node.owner.groups = n_out, node.groups
            node.owner.in_channels = n_in * node.groups
    elif isinstance(node, Weighted) and isinstance(node.owner, nn.Linear):
        node.owner.out_features, node.owner.in_features = node.weight.shape
