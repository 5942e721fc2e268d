"""Activation entropy as a penalty in training: the soft histogram of one batch, made fast.

References
----------
.. [1] *Leveraging Neuron Activation Patterns to Explain and Improve Deep Learning Classifiers*,
   where a loss with the entropy of activations is left to future work.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sknninterp.nn import chunks
from sknninterp.nn.activation_entropy import N_BINS, check_bins
from sknninterp.nn.graph import Graph, evaluation, prototype, read
from sknninterp.nn.hidden_neurons import choose_activations

BANDWIDTH = 0.5
# A part's kernels are gone through several times: they take this much, a core's own cache.
_PART_BYTES = 2**19
# Logarithm of the least kernel: smaller ones say nothing, and denormal numbers are slow.
_LEAST_LOG = -60.0


def soft_entropy_sum(
    values: Tensor,
    weight: Tensor | None = None,
    n_bins: int = N_BINS,
    bandwidth: float = BANDWIDTH,
) -> Tensor:
    """Sum over neurons of :func:`~sknninterp.nn.activation_entropy.soft_entropy`.

    Its gradient is computed with it, neurons by neurons: over ten times as fast as through autograd
    on a CPU, and in memory that does not grow with the bins. It has no second derivative.

    Parameters
    ----------
    values : Tensor of shape (n_samples, ...)
        Activations; every position is a neuron.
    weight : Tensor of shape (n_samples,), default=None
    n_bins : int, default=10
    bandwidth : float, default=0.5
        Standard deviation of the kernel, in widths of a bin.

    Returns
    -------
    Tensor of shape ()
        In bits.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.activation_entropy import soft_entropy
    >>> from sknninterp.nn.entropy_penalty import soft_entropy_sum
    >>> values = torch.randn(50, 8)
    >>> torch.testing.assert_close(soft_entropy_sum(values), soft_entropy(values).sum())
    """
    return _SoftEntropySum.apply(values, weight, n_bins, bandwidth)


class _SoftEntropySum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, values: Tensor, weight: Tensor | None, n_bins: int, bandwidth: float
    ) -> Tensor:
        flat = values.detach().flatten(1)
        total, gradient = flat.new_zeros(()), torch.empty_like(flat)
        size = max(1, _PART_BYTES // (n_bins * max(1, len(flat)) * flat.element_size()))
        if flat.is_cuda:  # few large kernels
            size *= chunks.CHUNK_BYTES // _PART_BYTES
        for columns in chunks.slices(flat.shape[1], size):
            found, part = _entropy_and_gradient(
                flat[:, columns].T.contiguous(), weight, n_bins, bandwidth
            )
            total += found.sum()
            gradient[:, columns] = part.T
        ctx.save_for_backward(gradient.reshape(values.shape))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: Tensor) -> tuple:
        (gradient,) = ctx.saved_tensors
        return factor * gradient, None, None, None


def _entropy_and_gradient(
    values: Tensor, weight: Tensor | None, n_bins: int, bandwidth: float
) -> tuple[Tensor, Tensor]:
    """Soft entropy H of neurons, and its derivative by every value, both (n_neurons, ...).

    With places u = R v / max, kernels K_r(u) (sum 1), shares s of the samples and p_r = sum s K_r:
    dH/du = s / bandwidth^2 sum_r (c_r - mean) K_r g_r, where c_r is a centre, mean = sum_r c_r K_r,
    and g_r = -log2 p_r (the constant of the entropy's derivative cancels).
    """
    # All in numbers: operations on booleans are slow on a CPU.
    values = values.clamp(min=0)
    if weight is not None:  # samples of weight 0 must not set the maximum
        values *= weight > 0
    maxima = values.amax(1, keepdim=True)
    # Of smaller ones the scale would overflow: they count as dead.
    lives = maxima > torch.finfo(values.dtype).tiny * 2**20
    values *= lives
    maxima *= lives
    scale = n_bins / torch.where(lives, maxima, 1)
    shares = values.sign()
    if weight is not None:
        shares *= weight
    total = shares.sum(1, keepdim=True)
    shares /= torch.where(total > 0, total, 1)

    places = values * scale
    centres = torch.arange(n_bins).to(values) + 0.5
    kernels = places[:, None] - centres[:, None]
    kernels = kernels.square_().mul_(-0.5 / bandwidth**2).clamp_(min=_LEAST_LOG).exp_()
    kernels /= kernels.sum(1, keepdim=True)
    found = torch.bmm(kernels, shares[..., None])[..., 0]
    logs = -found.clamp(min=torch.finfo(found.dtype).tiny).log2()

    rows = torch.stack([logs, logs * centres, centres.expand_as(logs)], 1)
    of_logs, of_both, mean = torch.bmm(rows, kernels).unbind(1)
    gradient = (of_both - mean * of_logs) * shares / bandwidth**2
    highest = (values == maxima).to(values.dtype)
    through = (gradient * places).sum(1, keepdim=True) / highest.sum(1, keepdim=True)
    gradient -= through / n_bins * highest
    return (found * logs).sum(1), gradient * scale


class EntropyPenalty:
    """A weight times the mean activation entropy of hidden neurons over a batch, in bits.

    Activations are those of the training pass, dropout and batch norm included, if each comes from
    a module of its own; otherwise (functions, an activation used several times) those of a second
    pass in evaluation mode, which costs a pass more.

    Parameters
    ----------
    weight : float
        Positive makes patterns simpler, negative spreads them.
    layers : {"all", "last"}, int, str or sequence of str, default="all"
        As :func:`~sknninterp.nn.hidden_neurons.choose_activations` takes them.
    n_bins : int, default=10
    bandwidth : float, default=0.5
        As of :func:`soft_entropy_sum`.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.entropy_penalty import EntropyPenalty
    >>> from sknninterp.nn.mlp import MLP
    >>> network, X, y = MLP(4, 2, (8,)), torch.randn(50, 4), torch.arange(50) % 2
    >>> output, penalty = EntropyPenalty(0.1)(network, X)
    >>> (torch.nn.functional.cross_entropy(output, y) + penalty).backward()
    """

    def __init__(
        self,
        weight: float,
        layers: str | int | Sequence[str] = "all",
        n_bins: int = N_BINS,
        bandwidth: float = BANDWIDTH,
    ):
        check_bins(n_bins)
        if not bandwidth > 0:
            raise ValueError(f"bandwidth={bandwidth} must be positive.")
        self.weight, self.layers = weight, layers
        self.n_bins, self.bandwidth = n_bins, bandwidth
        self._reading: _Reading | None = None

    def __getstate__(self) -> dict:
        # What was read holds functions that no pickle takes, and a network that may be another.
        return {**vars(self), "_reading": None}

    def read(self, module: nn.Module, input_shape: Sequence[int]) -> None:
        """Read a network, or again one whose layers have lost neurons.

        Parameters
        ----------
        module : torch.nn.Module
        input_shape : sequence of int
            Of one sample.

        Raises
        ------
        ValueError
            If it cannot be read, or has no such layers.
        """
        self._read(module, input_shape)

    def _read(self, module: nn.Module, input_shape: Sequence[int]) -> _Reading:
        reading = self._reading
        if reading is None or not reading.holds(module, input_shape):
            reading = self._reading = _Reading(module, input_shape, self.layers)
        return reading

    def __call__(
        self, module: nn.Module, inputs: Tensor, weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Output of a network in its present mode, and the penalty.

        Parameters
        ----------
        module : torch.nn.Module
        inputs : Tensor of shape (n_samples, *input_shape)
        weight : Tensor of shape (n_samples,), default=None
            Of the samples.

        Returns
        -------
        output : Tensor of shape (n_samples, n_outputs)
        penalty : Tensor of shape ()
        """
        reading, sums = self._read(module, inputs.shape[1:]), []

        def add(values: Tensor) -> None:
            values = values.to(torch.promote_types(values.dtype, torch.float32))  # not by halves
            sums.append(soft_entropy_sum(values, weight, self.n_bins, self.bandwidth))

        if reading.modules:
            # At once: what comes next may change them in place.
            with _heard(reading.modules, add):
                output = module(inputs)
        else:
            output = module(inputs)
            for values in reading.run(inputs):
                add(values)
        return output, self.weight / reading.n_neurons * torch.stack(sums).sum()


class _Reading:
    """Where a network's activations are found, as long as it keeps its shape."""

    def __init__(
        self, module: nn.Module, input_shape: Sequence[int], layers: str | int | Sequence[str]
    ):
        self.graph: Graph = read(module, input_shape)
        self.nodes = list(choose_activations(self.graph, layers).values())
        self.n_neurons = sum(math.prod(node.shape) for node in self.nodes)
        self.shapes = _shapes(module, input_shape)
        self.modules = self._modules()

    def holds(self, module: nn.Module, input_shape: Sequence[int]) -> bool:
        return self.graph.module is module and self.shapes == _shapes(module, input_shape)

    def run(self, inputs: Tensor) -> list[Tensor]:
        """Values of the activations, in evaluation mode."""
        last = max(self.nodes, key=self.graph.nodes.index)
        with evaluation(self.graph.module):
            found = self.graph.run(inputs, self.nodes, until=last)
        return [found[node] for node in self.nodes]

    def _modules(self) -> list[nn.Module]:
        """The module of each activation; none if they do not put out just these values."""
        paths = dict(self.graph.module.named_modules())
        modules = [paths[node.name] for node in self.nodes if node.name in paths]
        if len(modules) < len(self.nodes):
            return []
        heard: list[Tensor] = []
        shape = self.graph.input.shape
        example = torch.linspace(-1, 1, 2 * math.prod(shape)).reshape(2, *shape)
        example = example.to(prototype(self.graph.module))
        with evaluation(self.graph.module), torch.no_grad():
            expected = self.run(example)
            with _heard(modules, lambda values: heard.append(values.clone())):
                self.graph.module(example.clone())
        if [values.shape for values in heard] != [values.shape for values in expected]:
            return []
        pairs = zip(heard, expected, strict=True)
        return modules if all(torch.allclose(*pair) for pair in pairs) else []


def _shapes(module: nn.Module, input_shape: Sequence[int]) -> list:
    return [tuple(input_shape), *(parameter.shape for parameter in module.parameters())]


@contextmanager
def _heard(modules: list[nn.Module], listener: Callable[[Tensor], Any]) -> Iterator[None]:
    """Tell the listener of the modules' outputs inside the block."""
    handles = [m.register_forward_hook(lambda _, __, output: listener(output)) for m in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
