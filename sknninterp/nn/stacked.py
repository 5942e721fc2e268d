"""Many small networks trained at once: a batch of each is one batched matrix product a layer.

On small networks most of the time goes into calls, not into arithmetic. A stack makes the calls
once for all its networks, which learn nothing of one another: each has its own first weights, its
own samples and its own order of them, and ends where it would have ended alone, up to rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sknninterp.nn.embeddings import NumericEmbedding
from sknninterp.nn.mlp import ACTIVATIONS, MLP
from sknninterp.nn.random_state import own_random_numbers


def seeded_networks(
    make: Callable[[], nn.Module], seeds: Sequence[int]
) -> tuple[list[nn.Module], list[torch.Generator]]:
    """Networks, each as `torch.manual_seed(seed)` would start it, and what is left of its chance.

    Parameters
    ----------
    make : callable
        Makes a network.
    seeds : sequence of int

    Returns
    -------
    networks : list of torch.nn.Module
    generators : list of torch.Generator
        Each goes on where torch's own would be after its network was made.
    """
    networks, generators = [], []
    with own_random_numbers(0):
        for seed in seeds:
            torch.default_generator.manual_seed(seed)
            networks.append(make())
            generators.append(torch.Generator().set_state(torch.get_rng_state()))
    return networks, generators


class StackedMLP(nn.Module):
    """Fully connected networks of the same widths, layer by layer in one tensor.

    Parameters
    ----------
    networks : sequence of MLP
        Of the same widths and activation, without batch norm and dropout. Their weights are
        copied. Of those that begin with an embedding, the layers behind it.

    Attributes
    ----------
    weights : ParameterList
        Of each layer, (n_networks, n_in, n_out).
    biases : ParameterList
        Of each layer, (n_networks, 1, n_out).
    activation : str
        A key of :data:`sknninterp.nn.mlp.ACTIVATIONS`.

    Raises
    ------
    ValueError
        If the networks are not of one shape, or hold other layers.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.mlp import MLP
    >>> from sknninterp.nn.stacked import StackedMLP
    >>> networks = [MLP(4, 2, (8,)) for _ in range(3)]
    >>> stack = StackedMLP(networks)
    >>> X = torch.randn(3, 16, 4)  # 16 samples for each
    >>> stack(X).shape
    torch.Size([3, 16, 2])
    >>> torch.allclose(stack(X)[1], networks[1](X[1]), atol=1e-6)
    True
    """

    def __init__(self, networks: Sequence[MLP]):
        super().__init__()
        layers = [_linear_layers(network) for network in networks]
        shapes = {tuple(layer.weight.shape for layer in of_one) for of_one in layers}
        kinds = {_activation_of(network) for network in networks}
        if len(shapes) != 1 or len(kinds) != 1:
            raise ValueError("networks must have the same widths and activation.")
        (self.activation,) = kinds
        self._activate = None if self.activation is None else ACTIVATIONS[self.activation]()
        with torch.no_grad():
            self.weights = nn.ParameterList(
                torch.stack([layer.weight.T for layer in same])
                for same in zip(*layers, strict=True)
            )
            self.biases = nn.ParameterList(
                torch.stack([layer.bias[None] for layer in same])
                for same in zip(*layers, strict=True)
            )

    def __len__(self) -> int:
        return len(self.weights[0])

    @property
    def widths(self) -> list[int]:
        """Of the hidden layers."""
        return [weight.shape[2] for weight in self.weights[:-1]]

    def forward(self, x: Tensor) -> Tensor:
        """Outputs, (n_networks, n_samples, n_outputs), of samples (n_networks, n_samples, n_in)."""
        for values in self.pre_activations(x):
            last = values
        return last

    def pre_activations(self, x: Tensor) -> Iterator[Tensor]:
        """Values of each layer before its activation, and last the outputs.

        Parameters
        ----------
        x : Tensor of shape (n_networks, n_samples, n_in)
        """
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if i:
                x = self._activate(x)
            x = torch.baddbmm(bias, x, weight)
            yield x

    @torch.no_grad()
    def unstack(
        self,
        networks: Sequence[MLP],
        optimizer: torch.optim.Optimizer | None = None,
        optimizers: Sequence[torch.optim.Optimizer] = (),
    ) -> None:
        """Write the weights into networks of their own.

        Parameters
        ----------
        networks : sequence of MLP
            As many as there are, changed in place; parameters keep their identity. Layers that
            were made narrower are made so here.
        optimizer : torch.optim.Optimizer, default=None
            The stack's, whose state `optimizers` get.
        optimizers : sequence of torch.optim.Optimizer, default=()
            Of each network, of the same kind.
        """
        for number, network in enumerate(networks):
            own = optimizers[number] if optimizers else None
            for layer, weight, bias in zip(
                _linear_layers(network), self.weights, self.biases, strict=True
            ):
                layer.in_features, layer.out_features = weight.shape[1:]
                for parameter, stacked in ((layer.weight, weight), (layer.bias, bias)):
                    parameter.data = _of_one(stacked.data, number, parameter)
                    parameter.grad = None
                    if own is not None and optimizer is not None:
                        own.state[parameter] = {
                            name: _of_one(value, number, parameter)
                            if _is_like(value, stacked)
                            else copy.deepcopy(value)
                            for name, value in optimizer.state[stacked].items()
                        }

    def keep_neurons(
        self, layer: int, kept: Tensor, optimizer: torch.optim.Optimizer | None = None
    ) -> None:
        """Remove a hidden layer's other neurons, and what the optimizer knows of them.

        Parameters
        ----------
        layer : int
            Number of the hidden layer, from 0.
        kept : Tensor of int, shape (n_networks, n_kept)
            Positions in each network.
        optimizer : torch.optim.Optimizer, default=None
        """
        _take(self.weights[layer], kept, 2, optimizer)
        _take(self.biases[layer], kept, 2, optimizer)
        _take(self.weights[layer + 1], kept, 1, optimizer)

    def keep_networks(self, kept: Tensor, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Drop the other networks.

        Parameters
        ----------
        kept : Tensor of int, shape (n_kept,)
        optimizer : torch.optim.Optimizer, default=None
        """
        for parameter in self.parameters():
            _replace(parameter, lambda values: values[kept], optimizer)


def _linear_layers(network: MLP) -> list[nn.Linear]:
    if any(type(module) not in ACTIVATIONS.values() for module in _activations(network)):
        raise ValueError("networks with batch norm, dropout or other layers cannot be stacked.")
    return [module for module in network if isinstance(module, nn.Linear)]


def _activations(network: MLP) -> list[nn.Module]:
    return [m for m in network if not isinstance(m, nn.Linear | NumericEmbedding)]


def _activation_of(network: MLP) -> str | None:
    kinds = {type(module) for module in _activations(network)}
    names = {kind: name for name, kind in ACTIVATIONS.items()}
    return names[kinds.pop()] if kinds else None


def _take(
    parameter: Tensor, kept: Tensor, axis: int, optimizer: torch.optim.Optimizer | None
) -> None:
    """Keep positions `kept` of each network along an axis, in place."""

    def taken(values: Tensor) -> Tensor:
        index = kept.unsqueeze(2 if axis == 1 else 1)
        shape = list(values.shape)
        shape[axis] = kept.shape[1]
        return values.gather(axis, index.expand(shape))

    _replace(parameter, taken, optimizer)


def _of_one(values: Tensor, number: int, parameter: Tensor) -> Tensor:
    """A network's own among stacked weights or biases, as its layer has them."""
    own = values[number]
    return own.T.contiguous() if parameter.ndim == 2 else own[0].clone()


def _is_like(value: Any, parameter: Tensor) -> bool:
    """Whether a part of an optimizer's state belongs to each number of the parameter."""
    return isinstance(value, Tensor) and value.shape == parameter.shape


def _replace(
    parameter: Tensor, change: Callable[[Tensor], Tensor], optimizer: torch.optim.Optimizer | None
) -> None:
    """Change a parameter and all state of its shape that the optimizer has."""
    if optimizer is not None:
        state = optimizer.state.get(parameter, {})
        for name, values in state.items():
            if _is_like(values, parameter):
                state[name] = change(values).contiguous()
    with torch.no_grad():
        parameter.data = change(parameter.data).contiguous()
    parameter.grad = None
