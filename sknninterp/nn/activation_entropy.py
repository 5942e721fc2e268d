"""Entropy of activation patterns: histograms of many neurons, in two passes, in one, and soft.

Of a neuron's positive activations the shares h_r in R equal bins on (0, max] give the entropy
E = -sum_r h_r log2 h_r, in bits; that of a neuron that never fires is 0 [1]_. A bin holds its upper
edge, so that the maximum is in the last.

References
----------
.. [1] *Leveraging Neuron Activation Patterns to Explain and Improve Deep Learning Classifiers*.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sknninterp.nn.hidden_neurons import NONNEGATIVE, HiddenNeurons, above, checked, membership

N_BINS = 10
RESOLUTION = 64
# Below this a float32 could not be scaled up to bins.
_LEAST_RANGE = 2.0**-120


def entropy(counts: Tensor) -> Tensor:
    """Entropy of histograms in bits, over the last axis; 0 where nothing is counted.

    Parameters
    ----------
    counts : Tensor of shape (..., n_bins)

    Returns
    -------
    Tensor of shape (...)

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.activation_entropy import entropy
    >>> entropy(torch.tensor([[3., 3., 3., 3.], [0., 5., 0., 0.], [0., 0., 0., 0.]])).tolist()
    [2.0, 0.0, 0.0]
    """
    total = counts.sum(-1, keepdim=True)
    shares = counts / torch.where(total > 0, total, 1)
    return torch.special.entr(shares).sum(-1) / math.log(2)


def check_bins(n_bins: int) -> None:
    """Raise ValueError if there are not at least two bins."""
    if n_bins < 2:
        raise ValueError(f"n_bins={n_bins} must be at least 2.")


def _check_finite(maxima: Tensor) -> None:
    if not torch.isfinite(maxima).all():
        raise ValueError("The activations hold NaN or infinite values.")


class ExactHistogram:
    """Histograms whose maxima are known beforehand: the second of two passes.

    What lies above each edge is counted by one matrix product, which costs half of looking every
    value's bin up, gives all classes at once and takes any weights.

    Parameters
    ----------
    maxima : Tensor of shape (n_neurons,)
        Of all values that will be added.
    n_bins : int, default=10
    n_groups : int, default=1
        Groups of samples, such as classes, counted by themselves in the same bins.
    edge : {"upper", "authors"}, default="upper"
        Bins hold their upper edge; or values on any edge, so the maximum too, are dropped, as in
        the authors' code.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.activation_entropy import ExactHistogram
    >>> histogram = ExactHistogram(torch.tensor([8.0]), n_bins=4)
    >>> histogram.add(torch.tensor([[0.0], [1.0], [2.0], [2.5], [8.0]]))
    >>> histogram.counts().tolist()
    [[[2.0, 1.0, 0.0, 1.0]]]
    """

    def __init__(
        self, maxima: Tensor, n_bins: int = N_BINS, n_groups: int = 1, edge: str = "upper"
    ):
        if edge not in ("upper", "authors"):
            raise ValueError(f"edge={edge!r} is neither 'upper' nor 'authors'.")
        check_bins(n_bins)
        _check_finite(maxima)
        self.edge = edge
        steps = torch.arange(n_bins + 1, dtype=torch.float64, device=maxima.device)
        edges = maxima.double().clamp(min=0) * steps[:, None] / n_bins
        edges[-1] = maxima.clamp(min=0)
        # Of a value's own precision: v > edge if v > the highest such number below the edge.
        lower = edges.to(maxima.dtype)
        infinity = torch.full_like(lower, math.inf)
        self._lower = torch.where(lower > edges, torch.nextafter(lower, -infinity), lower)
        self._upper = torch.where(lower < edges, torch.nextafter(lower, infinity), lower)
        self._counts = edges.new_zeros(n_bins, n_groups, len(maxima))

    def add(
        self, values: Tensor, group: Tensor | None = None, weight: Tensor | None = None
    ) -> None:
        """Count values (n_samples, n_neurons) of the maxima's precision.

        Parameters
        ----------
        values : Tensor of shape (n_samples, n_neurons)
        group : Tensor of int of shape (n_samples,), default=None
            Group of each sample, where there are several.
        weight : Tensor of shape (n_samples,), default=None
        """
        members = membership(values, group, weight, self._counts.shape[1])

        def total(indicator: Tensor) -> Tensor:
            return members @ indicator.to(members.dtype)

        if self.edge == "authors":
            for counts, low, high in zip(self._counts, self._lower, self._upper[1:], strict=False):
                counts += total((values > low) & (values < high))
            return
        for r, low in enumerate(self._lower[:-1]):
            higher = total(above(values, low))
            self._counts[r] += higher
            if r:
                self._counts[r - 1] -= higher

    def counts(self) -> Tensor:
        """Weight in every bin, (n_groups, n_neurons, n_bins)."""
        # Differences of sums of weights can miss 0 by rounding.
        return self._counts.movedim(0, -1).clamp(min=0)


class StreamingHistogram:
    """Histograms in one pass, without the maxima known: nearly exact.

    Every neuron has `resolution` fine bins on (0, M], with M the power of two above the highest
    value so far; when M doubles, bins merge in pairs. That is exact, so that the result depends
    neither on the order of the samples nor on their batches. At the end between half and all of the
    fine bins lie below the maximum; the edges of the bins asked for fall between theirs, where a
    fine bin's weight is taken as spread evenly. This is the only approximation: at most
    the weight of the fine bin around it moves over an edge. Neurons that stay below 2**-120 count
    as dead, values that M exceeds by the whole range of their precision as 0.

    Parameters
    ----------
    n_neurons : int
    n_bins : int, default=10
    resolution : int, default=64
        A power of two, at least four for every bin.
    n_groups : int, default=1
        Groups of samples, such as classes, counted by themselves in the same bins.
    signed : bool, default=True
        Whether values may be negative; a little time is saved where they cannot.
    device : torch.device, default=None

    Attributes
    ----------
    maxima : Tensor of shape (n_neurons,)
        Highest value of every neuron so far, at least 0.
    """

    def __init__(
        self,
        n_neurons: int,
        n_bins: int = N_BINS,
        resolution: int = RESOLUTION,
        n_groups: int = 1,
        signed: bool = True,
        device: torch.device | None = None,
    ):
        check_bins(n_bins)
        if resolution < 4 * n_bins or resolution & (resolution - 1):
            raise ValueError(
                f"resolution={resolution} must be a power of two of at least {4 * n_bins}, four"
                f" times n_bins={n_bins}."
            )
        self.n_bins, self.resolution, self.signed = n_bins, resolution, signed
        # In place 0 stands what is not positive.
        self._fine = torch.zeros(
            n_groups, n_neurons, resolution + 1, dtype=torch.float64, device=device
        )
        self.maxima = self._fine.new_zeros(n_neurons)
        self._range = torch.full_like(self.maxima, _LEAST_RANGE)
        self._scale: Tensor | None = None  # fine bins to a unit, in the precision of the values
        size = self._fine.numel()
        dtype = torch.int32 if size < 2**31 else torch.int64
        self._first = torch.arange(0, size, resolution + 1, dtype=dtype, device=device)
        self._first = self._first.reshape(n_groups, n_neurons)

    def add(
        self, values: Tensor, group: Tensor | None = None, weight: Tensor | None = None
    ) -> None:
        """Count values; the parameters are those of :meth:`ExactHistogram.add`."""
        if not len(values):
            return
        self._widen(values.amax(0))
        if self._scale is None or self._scale.dtype != values.dtype:
            self._scale = (self.resolution / self._range).to(values.dtype)
        place = torch.mul(values, self._scale).ceil_()  # exact, of powers of two
        if self.signed:
            place.clamp_(min=0)
        place = place.to(self._first.dtype)
        place += self._first if len(self._first) == 1 else self._first[group]
        flat, fine = place.view(-1), self._fine.view(-1)
        if weight is None and len(flat) >= len(fine):
            fine += torch.bincount(flat, minlength=len(fine))
            return
        one = self._fine.new_ones(()) if weight is None else weight.to(fine)[:, None]
        fine.scatter_add_(0, flat.long(), one.expand(place.shape).reshape(-1))

    def _widen(self, highest: Tensor) -> None:
        """Let ranges reach up to the highest values."""
        self.maxima = torch.maximum(self.maxima, highest)
        if (self.maxima < self._range).all():
            return
        _check_finite(self.maxima)
        wanted = self.maxima / torch.frexp(self.maxima).mantissa
        wanted = torch.where(self.maxima > 0, wanted, 0).clamp(min=_LEAST_RANGE)
        # After as many mergers all are in the first bin, and further ones change nothing.
        self._range = torch.maximum(self._range, wanted / self.resolution)
        self._scale, half = None, self.resolution // 2
        while (grows := self._range < wanted).any():
            fine = self._fine[:, grows]
            pairs = fine[..., 1:].unflatten(-1, (half, 2)).sum(-1)
            fine[..., 1 : half + 1], fine[..., half + 1 :] = pairs, 0
            self._fine[:, grows] = fine
            self._range[grows] *= 2

    def counts(self) -> Tensor:
        """Weight in every bin, nearly, (n_groups, n_neurons, n_bins)."""
        steps = torch.arange(self.n_bins + 1).to(self._fine) / self.n_bins
        edges = (self.maxima / self._range * self.resolution)[:, None] * steps
        low = edges.floor().long().clamp(max=self.resolution - 1)
        found = []
        for fine in self._fine:
            below = fine.cumsum(-1)
            start, end = below.gather(1, low), below.gather(1, low + 1)
            reached = start + (edges - low) * (end - start)
            reached[:, -1] = below[:, -1]
            found.append(reached.diff(dim=1).clamp(min=0))
        return torch.stack(found) * (self.maxima >= _LEAST_RANGE)[:, None]


# --- of a network -------------------------------------------------------------------------------


@dataclass(frozen=True)
class ActivationEntropy:
    """Activation entropy of every neuron, in bits, and its sums.

    Attributes
    ----------
    neurons : Tensor of shape (n_neurons,)
        Over all samples.
    classes : Tensor of shape (n_classes, n_neurons) or None
        Over the samples of each class, in the bins of all samples. So a neuron's mean over classes,
        weighted by how often it fires for each, is never more than its entropy over all.
    columns : dict of str to slice
        Where each layer's neurons stand among all.
    """

    neurons: Tensor
    classes: Tensor | None
    columns: dict[str, slice]

    @classmethod
    def of(
        cls, histograms: Iterable[ExactHistogram | StreamingHistogram], neurons: HiddenNeurons
    ) -> ActivationEntropy:
        """From histograms, filled, of every layer."""
        counts = [histogram.counts() for histogram in histograms]
        classes = [entropy(c) for c in counts] if len(counts[0]) > 1 else None
        return cls(
            torch.cat([entropy(c.sum(0)) for c in counts]),
            None if classes is None else torch.cat(classes, 1),
            neurons.columns,
        )

    def network(self, reduction: str = "sum") -> float:
        """Sum over all neurons, or with "mean" their mean."""
        return float(_reduced(self.neurons, reduction))

    def by_layer(self, reduction: str = "sum") -> dict[str, float]:
        """The same of every layer."""
        return {
            name: float(_reduced(self.neurons[columns], reduction))
            for name, columns in self.columns.items()
        }

    def by_class(self, reduction: str = "sum") -> Tensor:
        """The same of every class, (n_classes,)."""
        if self.classes is None:
            raise ValueError("by_class: no entropy of classes was asked for.")
        return _reduced(self.classes, reduction)


def _reduced(values: Tensor, reduction: str) -> Tensor:
    if reduction not in ("sum", "mean"):
        raise ValueError(f"reduction={reduction!r} is neither 'sum' nor 'mean'.")
    return values.sum(-1) if reduction == "sum" else values.mean(-1)


def activation_entropy(
    neurons: HiddenNeurons,
    batches: Iterable,
    n_bins: int = N_BINS,
    *,
    edge: str = "upper",
    n_classes: int | None = None,
    exact: bool = True,
) -> ActivationEntropy:
    """Activation entropy of a network's hidden neurons.

    Parameters
    ----------
    neurons : HiddenNeurons
    batches : iterable of (inputs, target) or (inputs, target, weight or None)
        Gone through twice if `exact`: it must not be an iterator that is used up.
    n_bins : int, default=10
    edge : {"upper", "authors"}, default="upper"
        As of :class:`ExactHistogram`.
    n_classes : int, default=None
        Number of classes if the entropy of each is wanted too, which targets must then name by
        integers from 0; memory grows with it.
    exact : bool, default=True
        In two passes, the maxima first; or in one by :class:`StreamingHistogram`.

    Returns
    -------
    ActivationEntropy

    Raises
    ------
    ValueError
        If there are no samples, the second pass finds others than the first, or activations are
        NaN or infinite.

    References
    ----------
    .. [1] *Leveraging Neuron Activation Patterns to Explain and Improve Deep Learning Classifiers*.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.activation_entropy import activation_entropy
    >>> from sknninterp.nn.graph import read
    >>> from sknninterp.nn.hidden_neurons import HiddenNeurons
    >>> from sknninterp.nn.mlp import MLP
    >>> neurons = HiddenNeurons(read(MLP(4, 2, (8, 6)), (4,)))
    >>> found = activation_entropy(neurons, [(torch.randn(100, 4), None)])
    >>> sorted(found.by_layer())
    ['hidden0', 'hidden1']
    """
    n_groups = n_classes or 1
    histograms: Sequence[ExactHistogram | StreamingHistogram]
    if exact:
        maxima, n_samples = _maxima(neurons, batches)
        histograms = [ExactHistogram(m, n_bins, n_groups, edge) for m in maxima]
    else:
        if edge != "upper":
            raise ValueError(f"edge={edge!r} needs exact=True.")
        n_samples = None
        histograms = streaming_histograms(neurons, n_bins, n_groups)
    n_found = 0
    for inputs, target, weight in checked(batches, neurons.device, n_classes):
        n_found += len(inputs)
        for part in neurons.read(inputs):
            own = [None if t is None else t[part.samples] for t in (target, weight)]
            for histogram, values in zip(histograms, part.values, strict=True):
                histogram.add(values, *own)
    if n_found == 0 or n_found != (n_samples or n_found):
        raise ValueError(
            f"batches held {n_samples or n_found} samples in the first pass and {n_found} in the"
            " last: it must hold some, and the same every time, not be an iterator."
        )
    return ActivationEntropy.of(histograms, neurons)


def streaming_histograms(
    neurons: HiddenNeurons, n_bins: int = N_BINS, n_groups: int = 1
) -> list[StreamingHistogram]:
    """A :class:`StreamingHistogram` for each layer of `neurons`."""
    return [
        StreamingHistogram(
            math.prod(node.shape),
            n_bins,
            n_groups=n_groups,
            signed=node.kind not in NONNEGATIVE,
            device=neurons.device,
        )
        for node in neurons.nodes.values()
    ]


def _maxima(neurons: HiddenNeurons, batches: Iterable) -> tuple[list[Tensor], int]:
    """Each layer's maxima, (n_neurons,), and the number of samples."""
    maxima: list[Tensor] = []
    n_samples = 0
    for inputs, _, _ in checked(batches, neurons.device):
        if len(inputs):
            n_samples += len(inputs)
            for part in neurons.read(inputs):
                here = [values.amax(0) for values in part.values]
                maxima = [*map(torch.maximum, maxima, here)] if maxima else here
    if not maxima:
        raise ValueError("batches hold no samples.")
    return maxima, n_samples


# --- soft ---------------------------------------------------------------------------------------


def soft_entropy(
    values: Tensor, n_bins: int = N_BINS, bandwidth: float = 0.5, weight: Tensor | None = None
) -> Tensor:
    """Differentiable activation entropy of every neuron over one batch, in bits.

    A positive activation belongs to every bin by a Gaussian kernel of its distance from the bin's
    centre, with shares that sum to 1; as the kernel narrows they become 1 in its own bin, and the
    entropy that of the histogram. The gradient also goes through the maximum, so that a neuron's
    scale changes nothing. Memory is n_samples x n_neurons x n_bins.

    Parameters
    ----------
    values : Tensor of shape (n_samples, ...)
        Activations; every position is a neuron.
    n_bins : int, default=10
    bandwidth : float, default=0.5
        Standard deviation of the kernel, in widths of a bin.
    weight : Tensor of shape (n_samples,), default=None

    Returns
    -------
    Tensor of shape (n_neurons,)
        Of neurons that never fire in the batch, 0 without a gradient.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.activation_entropy import soft_entropy
    >>> values = torch.tensor([[0.0, 1.0], [0.0, 8.0], [0.0, 8.0]], requires_grad=True)
    >>> soft_entropy(values, bandwidth=0.1).tolist()
    [0.0, 0.918...]
    >>> penalty = 0.01 * soft_entropy(values).mean()  # to be added to the loss
    """
    check_bins(n_bins)
    if not bandwidth > 0:
        raise ValueError(f"bandwidth={bandwidth} must be positive.")
    values = values.flatten(1)
    fires = values > 0
    if weight is not None:
        fires = fires & (weight > 0)[:, None]
    values = torch.where(fires, values, 0)
    maxima = values.amax(0)
    places = values * (n_bins / torch.where(maxima > 0, maxima, 1))
    centres = torch.arange(n_bins, device=values.device) + 0.5
    kernels = torch.softmax(-0.5 * ((places[..., None] - centres) / bandwidth) ** 2, -1)
    shares = fires.to(values.dtype)
    if weight is not None:
        shares = shares * weight.to(values)[:, None]
    total = shares.sum(0)
    shares = shares / torch.where(total > 0, total, 1)
    found = torch.einsum("nj,njr->jr", shares, kernels)
    # Kernels far away are 0, where the logarithm has no gradient.
    return (found * -found.clamp(min=torch.finfo(found.dtype).tiny).log2()).sum(1)
