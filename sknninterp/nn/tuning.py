"""Activation-based neuron tuning (ANT): histograms, target distributions, criteria, the tuner.

References
----------
Mohsen et al., *Weight-based Neural Network Interpretability using Activation Tuning and
Personalized Products*, Algorithm 1.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from sknninterp.nn.criteria import CRITERIA, TuningData
from sknninterp.nn.graph import Graph, Layer, read, single_use
from sknninterp.nn.surgery import remove_units


@dataclass(frozen=True)
class Schedule:
    """After which epochs neurons go, and how many.

    Parameters
    ----------
    max_epochs : int
    pruning_rate : float, default=0.5
        Share of each layer's first width that is gone by the end.
    tuning_step : int, default=1
        Epochs between tunings, the paper's k.
    n_tuned : int, default=None
        Neurons removed per tuning and layer, the paper's n; takes the place of `pruning_rate`.
    tuning_start, tuning_stop : float, default=0.0 and 0.8
        Share of `max_epochs` between which neurons go. None goes after the last epoch.
    min_neurons : int, default=1
        Fewest neurons that a layer keeps.
    """

    max_epochs: int
    pruning_rate: float = 0.5
    tuning_step: int = 1
    n_tuned: int | None = None
    tuning_start: float = 0.0
    tuning_stop: float = 0.8
    min_neurons: int = 1

    @property
    def active(self) -> bool:
        """Whether it removes anything at all."""
        return self.n_tuned is not None or self.pruning_rate > 0

    @cached_property
    def epochs(self) -> list[int]:
        """Epochs, counted from 1, after which neurons go."""
        first = self.tuning_start * self.max_epochs
        last = min(self.max_epochs - 1, self.tuning_stop * self.max_epochs + 1e-9)
        return [e for e in range(1, self.max_epochs) if e % self.tuning_step == 0
                and first <= e <= last]

    def total(self, width: int, name: str = "") -> int:
        """Neurons of a layer of `width` that are gone by the end.

        Raises
        ------
        ValueError
            If fewer than `min_neurons` would be left, or no epoch is left to remove them in.
        """
        n_tunings = len(self.epochs)
        if not n_tunings:
            raise ValueError(
                f"No neuron can be removed: no epoch of max_epochs={self.max_epochs} lies between"
                f" tuning_start={self.tuning_start} and tuning_stop={self.tuning_stop} with"
                f" tuning_step={self.tuning_step} (none is removed after the last epoch)."
            )
        if self.n_tuned is not None:
            total, what = self.n_tuned * n_tunings, f"n_tuned={self.n_tuned} x {n_tunings} tunings"
        else:
            total, what = math.floor(self.pruning_rate * width + 1e-9), (
                f"pruning_rate={self.pruning_rate}"
            )
        if width - total < self.min_neurons:
            raise ValueError(
                f"{what} would leave {max(width - total, 0)} of {width} neurons in layer {name!r};"
                f" at least min_neurons={self.min_neurons} must stay."
            )
        return total

    def gone_after(self, epoch: int, width: int, name: str = "") -> int:
        """Neurons that are gone after `epoch`, spread evenly over the tunings."""
        epochs = self.epochs
        done = sum(e <= epoch for e in epochs)
        return self.total(width, name) * done // len(epochs) if done else 0


# --- target distributions -----------------------------------------------------------------------


@dataclass(frozen=True)
class RisingPowerLaw:
    """The paper's inverted power law: density rising towards the upper end.

    F(y) = 1 - ((high - y) / (high - low)) ** exponent.
    """

    low: float
    high: float
    exponent: float = 0.65

    def cdf(self, y):
        """Cumulative distribution function."""
        share = (self.high - np.clip(y, self.low, self.high)) / (self.high - self.low)
        return 1.0 - share**self.exponent


_SIGMOID_LIKE = {"sigmoid": 1.5, "tanh": 0.75}
_RELU_LIKE = ("relu", "leaky_relu", "elu", "gelu", "silu")


def target_distribution(activation: str, bin_range: tuple[float, float]):
    """The distribution of pre-activations that suits an activation: mass where it is steep.

    Parameters
    ----------
    activation : str
        Kind of the activation, such as "relu".
    bin_range : tuple of float

    Returns
    -------
    object with a method `cdf`

    Raises
    ------
    ValueError
        If none is known for this activation.
    """
    if activation in _SIGMOID_LIKE:
        return stats.norm(0.0, _SIGMOID_LIKE[activation])
    if activation in _RELU_LIKE:
        return RisingPowerLaw(*bin_range)
    known = sorted([*_SIGMOID_LIKE, *_RELU_LIKE])
    raise ValueError(
        f"target_distribution='auto' knows no distribution for activation {activation!r} (it knows"
        f" {known}): pass one, such as scipy.stats.norm(0, 1)."
    )


def target_masses(distribution, edges: np.ndarray) -> np.ndarray:
    """Probability of each bin under `distribution`; the tails belong to the end bins."""
    cdf = np.asarray(distribution.cdf(edges), dtype=float)
    cdf[0], cdf[-1] = 0.0, 1.0
    return np.diff(cdf)


# --- histograms and the divergence --------------------------------------------------------------


class Histogram:
    """Histograms of many neurons over the same bins, filled batch by batch.

    Values beyond the range are counted in the end bins; bins hold their lower edge, the last one
    its upper edge too, as in `numpy.histogram`.

    Parameters
    ----------
    n_units : int
    edges : Tensor of shape (n_bins + 1,) or (n_units, n_bins + 1)
        Common edges, or each neuron's own.
    """

    def __init__(self, n_units: int, edges: Tensor):
        self.edges = edges
        n_bins = edges.shape[-1] - 1
        self.counts = torch.zeros(n_units, n_bins, dtype=torch.float64, device=edges.device)

    def add(self, values: Tensor, weight: Tensor | None = None) -> None:
        """Count values (n, n_units, ...positions); each sample with its weight."""
        n_units, n_bins = self.counts.shape
        rows = values.detach().movedim(1, 0).reshape(n_units, -1)
        bins = self._bins(rows.contiguous())
        flat = (bins + n_bins * torch.arange(n_units, device=bins.device)[:, None]).reshape(-1)
        weights = None
        if weight is not None:
            per_sample = rows.shape[1] // len(weight)
            one_row = weight.double().repeat_interleave(per_sample)
            weights = one_row.expand(n_units, -1).reshape(-1)
        counted = torch.bincount(flat, weights, minlength=n_units * n_bins)
        self.counts += counted.reshape(n_units, n_bins)

    def _bins(self, rows: Tensor) -> Tensor:
        inner = self.edges[..., 1:-1].to(rows.dtype).contiguous()
        return torch.searchsorted(inner, rows, right=True)

    @property
    def probabilities(self) -> Tensor:
        """Share of each bin, (n_units, n_bins)."""
        return self.counts / self.counts.sum(1, keepdim=True)


def kl_divergence(p: Tensor, q: Tensor, eps: float = 1e-5) -> Tensor:
    """S_i = sum_b p_b log((p_b + eps) / (q_b + eps)) (the paper's Algorithm 1).

    Parameters
    ----------
    p : Tensor of shape (n_units, n_bins)
    q : Tensor of shape (n_bins,)
    """
    return (p * torch.log((p + eps) / (q + eps))).sum(1)


@dataclass(frozen=True)
class KLCriterion:
    """Distance of each neuron's pre-activations from the target distribution, the paper's own.

    Parameters
    ----------
    target_distribution : "auto" or object with a method `cdf`, default="auto"
    n_bins : int, default=22
    bin_range : tuple of float, default=(-3, 3)
    histogram : {"common", "own-range"}, default="common"
        Common edges for all neurons, or, as in the authors' code, each neuron's own range (a dead
        and an always-on neuron then get the same score).
    """

    target_distribution: object = "auto"
    n_bins: int = 22
    bin_range: tuple[float, float] = (-3.0, 3.0)
    histogram: str = "common"

    def __call__(self, data: TuningData) -> list[Tensor]:
        edges = np.linspace(*self.bin_range, self.n_bins + 1)
        masses = [target_masses(self._target(layer), edges) for layer in data.layers]
        histograms = [Histogram(layer.width, own) for layer, own in
                      zip(data.layers, self._edges(data, edges), strict=True)]
        for batch in data.values([layer.pre for layer in data.layers]):
            for histogram, values in zip(histograms, batch.values, strict=True):
                histogram.add(values, batch.weight)
        return [
            kl_divergence(h.probabilities, torch.as_tensor(q, device=h.counts.device))
            for h, q in zip(histograms, masses, strict=True)
        ]

    def _target(self, layer: Layer):
        if not isinstance(self.target_distribution, str):
            return self.target_distribution
        kind = layer.activation.kind if layer.activation is not None else "none"
        return target_distribution(kind, self.bin_range)

    def _edges(self, data: TuningData, edges: np.ndarray) -> list[Tensor]:
        if self.histogram == "common":
            return [torch.as_tensor(edges, device=data.device) for _ in data.layers]
        low = high = None
        for batch in data.values([layer.pre for layer in data.layers]):
            rows = [v.double().movedim(1, 0).flatten(1) for v in batch.values]
            lows, highs = [r.amin(1) for r in rows], [r.amax(1) for r in rows]
            low = lows if low is None else list(map(torch.minimum, low, lows))
            high = highs if high is None else list(map(torch.maximum, high, highs))
        steps = torch.linspace(0, 1, self.n_bins + 1, dtype=torch.float64, device=data.device)
        return [a[:, None] + (b - a)[:, None] * steps for a, b in zip(low, high, strict=True)]


# --- the tuner ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Removal:
    """One neuron removed: after which epoch, from which layer, which (of the first network)."""

    epoch: int
    layer: str
    neuron: int
    score: float


class NeuronTuner:
    """Removes neurons from a network while it trains (Algorithm 1 of Mohsen et al.).

    For use in any torch training loop: :meth:`start` before the first epoch, :meth:`step` at the
    end of every epoch. It holds no reference to the network.

    Parameters
    ----------
    schedule : Schedule
    target_layers : "all", int, str or a list of these, default="all"
        Hidden layers by index or name.
    criterion : str or callable, default="kl"
        "kl", a name in :data:`sknninterp.nn.criteria.CRITERIA`, or a callable that takes a
        :class:`~sknninterp.nn.criteria.TuningData` and returns one score per neuron for each of
        its layers; the highest scores go first, ties at the lowest index first.
    rewind : {"init"} or int, default=None
        After the last removal the weights that stay go back to what they were before training or
        after that epoch (lottery-ticket rewinding), and the optimizers start anew.
    seed : int, default=0
        For `criterion="random"`.

    Attributes
    ----------
    history : list of Removal
    widths : dict of str to int
        Neurons left in each tuned layer.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.mlp import MLP
    >>> from sknninterp.nn.tuning import NeuronTuner, Schedule
    >>> network, X = MLP(4, 2, (8,)), torch.randn(64, 4)
    >>> tuner = NeuronTuner(Schedule(max_epochs=10, pruning_rate=0.5)).start(network, (4,))
    >>> for epoch in range(1, 11):  # the training of an epoch goes before the step
    ...     removed = tuner.step(network, epoch, [(X, None, None)])
    >>> network.hidden0
    Linear(in_features=4, out_features=4, bias=True)
    """

    def __init__(
        self,
        schedule: Schedule,
        *,
        target_layers="all",
        criterion: str | Callable = "kl",
        rewind: str | int | None = None,
        seed: int = 0,
    ):
        self.schedule = schedule
        self.target_layers = target_layers
        self.rewind = rewind
        self.history: list[Removal] = []
        self._seed = seed
        self._criterion = self._named(criterion) if isinstance(criterion, str) else criterion
        self._snapshot: nn.Module | None = None
        self._graph: Graph | None = None

    def __getstate__(self):
        return {**self.__dict__, "_graph": None}

    def _read(self, module: nn.Module) -> Graph:
        """The reading of `module`, made once: surgery keeps it up to date."""
        if self._graph is None or self._graph.module is not module:
            self._graph = read(module, self.input_shape)
        return self._graph

    @staticmethod
    def _named(name: str) -> Callable:
        if name == "kl":
            return KLCriterion()
        if name in CRITERIA:
            return CRITERIA[name]
        raise ValueError(f"criterion={name!r} is not one of {['kl', *CRITERIA]} or a callable.")

    def start(self, module: nn.Module, input_shape: Sequence[int]) -> NeuronTuner:
        """Read the network and check that the schedule leaves it neurons.

        Parameters
        ----------
        module : torch.nn.Module
        input_shape : sequence of int
            Shape of one sample.

        Raises
        ------
        ValueError
            If a target layer does not exist, would be left empty, or none can be tuned.
        """
        self.input_shape = tuple(input_shape)
        layers = self._read(module).select(self.target_layers)
        if not layers:
            raise ValueError("target_layers: this network has no hidden layer that can be tuned.")
        self.names = [layer.name for layer in layers]
        # Layers tied by a residual add or reuse share their units: the first stands for all.
        self._left = {layer.name: list(range(layer.width)) for layer in single_use(layers)}
        self._totals = {n: self.schedule.total(len(left), n) for n, left in self._left.items()}
        last = self.schedule.epochs[-1]
        if isinstance(self.rewind, int) and not 1 <= self.rewind < last:
            raise ValueError(
                f"rewind={self.rewind} must be 'init' or an epoch before the last tuning, which"
                f" comes after epoch {last}."
            )
        if self.rewind == "init":
            self._snapshot = copy.deepcopy(module)
        return self

    @property
    def widths(self) -> dict[str, int]:
        return {name: len(left) for name, left in self._left.items()}

    @property
    def finished(self) -> bool:
        """Whether every neuron that was to go is gone."""
        return len(self.history) == sum(self._totals.values())

    def step(
        self,
        module: nn.Module,
        epoch: int,
        batches: Iterable,
        optimizers: Sequence[torch.optim.Optimizer] = (),
        loss: Callable | None = None,
    ) -> list[Removal]:
        """Remove what the schedule asks for after `epoch`.

        Parameters
        ----------
        module : torch.nn.Module
            Changed in place; parameters keep their identity.
        epoch : int
            Counted from 1.
        batches : iterable of (inputs, target or None, weight or None)
            Data whose activations are judged; some criteria go through it more than once, so that
            it must not be an iterator that is used up.
        optimizers : sequence of torch.optim.Optimizer, default=()
            Their state is cut with the parameters.
        loss : callable, default=None
            `(output, target) -> Tensor`, for criteria that need gradients.

        Returns
        -------
        list of Removal
        """
        removed: list[Removal] = []
        if epoch in self.schedule.epochs and not self.finished:
            removed = self._remove(module, epoch, batches, optimizers, loss)
        if self.rewind == epoch:
            self._snapshot = copy.deepcopy(module)
        if removed and self.finished and self._snapshot is not None:
            module.load_state_dict(self._snapshot.state_dict())
            self._snapshot = None
            for optimizer in optimizers:
                optimizer.state.clear()
        return removed

    def _remove(self, module, epoch, batches, optimizers, loss) -> list[Removal]:
        n_now = self._n_now(epoch)
        if not any(n_now.values()):
            return []
        graph = self._read(module)
        by_name = {layer.name: layer for layer in graph.layers}
        layers = [by_name[name] for name in self.names]
        generator = torch.Generator().manual_seed(self._seed + epoch)
        data = TuningData(graph, layers, batches, loss, generator)
        scores = _unit_scores(layers, self._criterion(data))
        worst, removed = {}, []
        for name, left in self._left.items():
            values = scores[by_name[name].units]
            worst[name] = np.argsort(-values, kind="stable")[: n_now[name]]
            removed += [Removal(epoch, name, left[i], float(values[i])) for i in worst[name]]
            self._left[name] = np.delete(left, worst[name]).tolist()
        _remove_positions(graph, worst, optimizers)
        if self._snapshot is not None:
            _remove_positions(read(self._snapshot, self.input_shape), worst)
        self.history += removed
        return removed

    def _n_now(self, epoch: int) -> dict[str, int]:
        """Neurons to remove from each layer after `epoch`."""
        gone = Counter(removal.layer for removal in self.history)
        return {
            name: self.schedule.gone_after(epoch, len(left) + gone[name], name) - gone[name]
            for name, left in self._left.items()
        }


def _remove_positions(graph: Graph, positions: dict[str, np.ndarray], optimizers=()) -> None:
    units = [layer.units[positions[layer.name]] for layer in graph.layers
             if layer.name in positions]
    remove_units(graph, np.concatenate(units).tolist(), optimizers)


def _unit_scores(layers: list[Layer], scores: Sequence[Tensor]) -> np.ndarray:
    """Score of each unit, by its number: its mean over the layers that share it."""
    rows = []
    for layer, given in zip(layers, scores, strict=True):
        values = torch.as_tensor(given).detach().cpu().double().reshape(-1).numpy()
        if len(values) != layer.width:
            raise ValueError(
                f"criterion gave {len(values)} scores for layer {layer.name!r} of"
                f" {layer.width} neurons."
            )
        if np.isnan(values).any():
            raise ValueError(f"criterion gave NaN for layer {layer.name!r}.")
        rows.append(values)
    units = np.concatenate([layer.units for layer in layers])
    counts = np.bincount(units)
    return np.bincount(units, np.concatenate(rows)) / np.maximum(counts, 1)
