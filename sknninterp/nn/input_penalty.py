"""Group lasso on the weights of each feature: features that say little leave the network.

References
----------
.. [1] Yuan & Lin (2006), *Model selection and estimation in regression with grouped variables*.
.. [2] Parikh & Boyd (2014), *Proximal Algorithms*, section 6.5.4.
.. [3] Lemhadri, Ruan, Abraham & Tibshirani (2021), *LassoNet: A Neural Network with Feature
   Sparsity*.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sknninterp.nn.graph import Graph, prototype, read
from sknninterp.nn.nodes import Embedding, Linear, Node, Reshape, Route

if TYPE_CHECKING:
    from sknninterp.nn.stacked import StackedMLP

# Shares of the epochs before which there is no penalty, and from which on there is all of it.
_FIRST, _FULL = 0.3, 0.7


def rise(epoch: int, n_epochs: int) -> float:
    """Share of the penalty in an epoch: none at first, all of it in the last third.

    From dense to sparse, as [1]_ has it. Features that matter only together, such as the two of a
    product, look useless until the network has learnt what they do: a penalty from the start would
    have thrown them out by then.

    Parameters
    ----------
    epoch : int
        From 1.
    n_epochs : int

    Returns
    -------
    float

    References
    ----------
    .. [1] Lemhadri, Ruan, Abraham & Tibshirani (2021), *LassoNet: A Neural Network with Feature
       Sparsity*.

    Examples
    --------
    >>> [round(rise(epoch, 10), 2) for epoch in range(1, 11)]
    [0.0, 0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0]
    """
    return min(1.0, max(0.0, (epoch / n_epochs - _FIRST) / (_FULL - _FIRST)))


class InputPenalty:
    r"""Strength times the sum over features of sqrt(size) \|weights\|_2, by proximal steps.

    After a step of an optimizer the weights w that read a feature (through its embedding, if there
    is one) become w max(0, 1 - lr strength sqrt(size) / \|w\|_2), with their number `size`
    (section 6.5.4 of [1]_): exactly 0 where they are small.

    Parameters
    ----------
    strength : float
        With optimizers of Adam's kind, whose steps are about the learning rate whatever the loss,
        between 0 and 1: at 1 no feature stays. With others in units of the loss's gradient, as the
        penalty of a lasso.
    module : torch.nn.Module
        Its linear layers that read the inputs are found here.
    shape : sequence of int
        Of one sample.

    Attributes
    ----------
    share : float, default=1
        Times the strength, see :func:`rise`.

    Raises
    ------
    ValueError
        If something else reads the inputs, too.

    References
    ----------
    .. [1] Parikh & Boyd (2014), *Proximal Algorithms*.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.input_penalty import InputPenalty
    >>> from sknninterp.nn.mlp import MLP
    >>> network = MLP(3, 1, (4,))
    >>> weight = network.hidden0.weight.data
    >>> _ = weight.copy_(torch.tensor([[1.0, 0.1, 0.0]]).expand(4, 3))
    >>> penalty = InputPenalty(1.0, network, (3,))
    >>> penalty(network, lr=0.5)
    >>> weight[0].tolist()
    [0.5, 0.0, 0.0]
    >>> penalty.norms(network).tolist()
    [1.0, 0.0, 0.0]
    """

    def __init__(self, strength: float, module: nn.Module, shape: Sequence[int]):
        self.strength, self.share = strength, 1.0
        graph = read(module, shape)
        # By name, "" for the module itself: it may be another when the net around it comes back
        # from a file.
        names = {part: name for name, part in module.named_modules()}
        self.layers = [names[layer.owner] for layer in _input_layers(graph)]
        self.origins = _origins(graph)
        self.n_features = graph.input.shape[0]

    @torch.no_grad()
    def __call__(self, module: nn.Module, lr: float) -> None:
        """Take a proximal step, in place.

        Parameters
        ----------
        module : torch.nn.Module
        lr : float
            That of the optimizer's step before.
        """
        scale = _scale(*self._norms(module), lr * self.strength * self.share)[self.origins]
        for weight in self._weights(module):
            weight.mul_(scale)

    @torch.no_grad()
    def norms(self, module: nn.Module) -> Tensor:
        """Norm of the weights that read each feature, (n_features,).

        Parameters
        ----------
        module : torch.nn.Module
        """
        return self._norms(module)[0]

    def _weights(self, module: nn.Module) -> list[Tensor]:
        return [module.get_submodule(name).weight for name in self.layers]

    def _norms(self, module: nn.Module) -> tuple[Tensor, Tensor]:
        weights = self._weights(module)
        squares = reduce(torch.add, (weight.square().sum(0) for weight in weights))
        counts = torch.full_like(squares, sum(len(weight) for weight in weights))
        zeros = squares.new_zeros(self.n_features)
        norms = zeros.index_add(0, self.origins, squares).sqrt_()
        return norms, zeros.index_add(0, self.origins, counts)


class StackedInputPenalty:
    """The same for a stack of networks, each with features of its own.

    Parameters
    ----------
    penalties : sequence of InputPenalty
        Of networks that have been stacked, in their order.

    Attributes
    ----------
    share : float, default=1
        As of :class:`InputPenalty`.
    """

    def __init__(self, penalties: Sequence[InputPenalty]):
        self.n_features, self.share = penalties[0].n_features, 1.0
        self.origins = torch.stack([penalty.origins for penalty in penalties])
        strengths = [penalty.strength for penalty in penalties]
        self.strengths = torch.tensor(strengths, dtype=torch.float64, device=self.origins.device)

    @torch.no_grad()
    def __call__(self, stack: StackedMLP, lr: float) -> None:
        """Take a proximal step, in place.

        Parameters
        ----------
        stack : StackedMLP
        lr : float
            That of the optimizer's step before.
        """
        weight = stack.weights[0]
        zeros = weight.new_zeros(len(weight), self.n_features)
        squares = weight.square().sum(2)
        sizes = torch.full_like(squares, weight.shape[2])
        norms = zeros.scatter_add(1, self.origins, squares).sqrt_()
        threshold = (lr * self.share * self.strengths).to(weight.dtype)[:, None]
        scale = _scale(norms, zeros.scatter_add(1, self.origins, sizes), threshold)
        weight.mul_(scale.gather(1, self.origins)[..., None])


def _scale(norms: Tensor, sizes: Tensor, threshold: float | Tensor) -> Tensor:
    """By what each feature's weights shrink."""
    # 0 / 0 where they are all 0 already.
    return (1 - threshold * sizes.sqrt() / norms).clamp_(min=0).nan_to_num_(0)


def _input_layers(graph: Graph) -> list[Linear]:
    """The linear layers that read the inputs, themselves or their embedding."""
    found, pending = [], [graph.input]
    while pending:
        for reader in graph.readers(pending.pop()):
            if isinstance(reader, Linear) and isinstance(reader.owner, nn.Linear):
                found.append(reader)
            elif isinstance(reader, Embedding) or type(reader) is Route or _is_flat(reader):
                pending.append(reader)
            else:
                raise ValueError(
                    "only linear layers may read the features, each as one number or by its"
                    f" embedding; {type(reader).__name__} at {reader.name!r} reads them, too"
                )
    return found


def _is_flat(node: Node) -> bool:
    """Whether it flattens what is flat."""
    return isinstance(node, Reshape) and node.shape == node.inputs[0].shape


def _origins(graph: Graph) -> Tensor:
    for node in graph.nodes:
        if isinstance(node, Embedding):
            return node.module.origins
    return torch.arange(graph.input.shape[0], device=prototype(graph.module).device)
