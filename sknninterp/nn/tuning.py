"""Activation-based neuron tuning (ANT): target distributions, the criterion, the tuner.

References
----------
Mohsen et al., *Weight-based Neural Network Interpretability using Activation Tuning and
Personalized Products*, Algorithm 1.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from sknninterp.nn.criteria import CRITERIA, TuningData
from sknninterp.nn.graph import Graph, Layer, read, single_use
from sknninterp.nn.histograms import Histogram, kl_divergence
from sknninterp.nn.schedule import Schedule
from sknninterp.nn.surgery import remove_units

# --- target distributions -----------------------------------------------------------------------


@dataclass(frozen=True)
class RisingPowerLaw:
    """The paper's inverted power law: density rising towards the upper end.

    F(y) = 1 - ((high - y) / (high - low)) ** exponent.
    """

    low: float
    high: float
    exponent: float = 0.65

    def cdf(self, y: np.ndarray) -> np.ndarray:
        """Cumulative distribution function."""
        share = (self.high - np.clip(y, self.low, self.high)) / (self.high - self.low)
        return 1.0 - share**self.exponent


_SIGMOID_LIKE = {"sigmoid": 1.5, "tanh": 0.75}
_RELU_LIKE = ("relu", "leaky_relu", "elu", "gelu", "silu")
# Activations of one family have one target.
_FAMILY: dict[str | None, str] = {kind: kind for kind in _SIGMOID_LIKE}
_FAMILY.update(dict.fromkeys(_RELU_LIKE, "relu"))


def target_distribution(activation: str, bin_range: tuple[float, float]) -> Any:
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
        f"target_distribution: no distribution is known for activation {activation!r} (there is one"
        f" for {known}): pass one, such as scipy.stats.norm(0, 1)."
    )


def target_masses(distribution: Any, edges: np.ndarray) -> np.ndarray:
    """Probability of each bin under `distribution`; the tails belong to the end bins."""
    cdf = np.asarray(distribution.cdf(edges), dtype=float)
    cdf[0], cdf[-1] = 0.0, 1.0
    return np.diff(cdf)


# --- the criterion ------------------------------------------------------------------------------


@dataclass(frozen=True)
class KLCriterion:
    """Distance of each neuron's pre-activations from the target distribution, the paper's own.

    Parameters
    ----------
    target_distribution : str or object with a method `cdf`, default="auto"
        "auto" takes what suits each layer's activation, an activation's name what suits that one.
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

    def __post_init__(self) -> None:
        if self.histogram not in ("common", "own-range"):
            raise ValueError(f"histogram={self.histogram!r} is neither 'common' nor 'own-range'.")
        low, high = self.bin_range
        if not low < high or self.n_bins < 2:
            raise ValueError(
                f"bin_range={self.bin_range} must rise and n_bins={self.n_bins} be at least 2."
            )

    def __call__(self, data: TuningData) -> list[Tensor]:
        edges = np.linspace(*self.bin_range, self.n_bins + 1)
        masses = [target_masses(self.target_of(layer), edges) for layer in data.layers]
        histograms = [
            Histogram(layer.width, own)
            for layer, own in zip(data.layers, self._edges(data, edges), strict=True)
        ]
        for batch in data.values([layer.pre for layer in data.layers]):
            for histogram, values in zip(histograms, batch.values, strict=True):
                histogram.add(values, batch.weight)
        return [
            kl_divergence(h.probabilities, torch.as_tensor(q, device=h.counts.device))
            for h, q in zip(histograms, masses, strict=True)
        ]

    def check(self, layers: Iterable[Layer]) -> None:
        """Raise ValueError if there is a layer without a target."""
        for layer in layers:
            self.target_of(layer)

    def target_of(self, layer: Layer) -> Any:
        """Target distribution of a layer."""
        kind = layer.activation.kind if layer.activation is not None else None
        return self.target(kind, layer.name)

    def target(self, kind: str | None, name: str) -> Any:
        """Target distribution of the layer of this name, with this kind of activation.

        Raises
        ------
        ValueError
            If there is none.
        """
        wanted = self.target_distribution
        if not isinstance(wanted, str):
            return wanted
        if wanted == "auto":
            if kind is None:
                raise ValueError(
                    f"target_distribution='auto': layer {name!r} has no activation to choose"
                    " by. Pass a scipy.stats distribution, or leave it out of target_layers."
                )
            return target_distribution(kind, self.bin_range)
        if _FAMILY.get(kind, _FAMILY.get(wanted)) != _FAMILY.get(wanted):
            raise ValueError(
                f"target_distribution={wanted!r} does not suit layer {name!r}, whose"
                f" activation is {kind!r}: take 'auto', or pass a scipy.stats distribution."
            )
        return target_distribution(wanted, self.bin_range)

    def _edges(self, data: TuningData, edges: np.ndarray) -> list[Tensor]:
        if self.histogram == "common":
            return [torch.as_tensor(edges, device=data.device) for _ in data.layers]
        low: Any = None
        high: Any = None
        for batch in data.values([layer.pre for layer in data.layers]):
            values = batch.values
            if batch.weight is not None:
                values = [v[batch.weight.to(v.device) > 0] for v in values]
            if not len(values[0]):
                continue
            rows = [v.double().movedim(1, 0).flatten(1) for v in values]
            lows, highs = [r.amin(1) for r in rows], [r.amax(1) for r in rows]
            low = lows if low is None else list(map(torch.minimum, low, lows))
            high = highs if high is None else list(map(torch.maximum, high, highs))
        return [self._own_edges(a, b) for a, b in zip(low, high, strict=True)]

    def _own_edges(self, low: Tensor, high: Tensor) -> Tensor:
        # numpy.histogram's range for values that are all alike is one wide.
        half = torch.where(low == high, 0.5, 0.0)
        low, high = low - half, high + half
        steps = torch.linspace(0, 1, self.n_bins + 1, dtype=torch.float64, device=low.device)
        return low[:, None] + (high - low)[:, None] * steps


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
        target_layers: str | int | Sequence[str | int] = "all",
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

    def __getstate__(self) -> dict:
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
        if isinstance(self._criterion, KLCriterion):
            self._criterion.check(layers)
        # Layers tied by a residual add or reuse share their units: the first stands for all.
        self._left = {layer.name: list(range(layer.width)) for layer in single_use(layers)}
        self._totals = {n: self.schedule.total(len(left), n) for n, left in self._left.items()}
        last = self.schedule.epochs[-1]
        known = (None, "init", *range(1, last))
        if self.rewind not in known:
            raise ValueError(
                f"rewind={self.rewind!r} must be 'init' or an epoch before the last tuning, which"
                f" comes after epoch {last}."
            )
        if self.rewind == "init":
            self._snapshot = copy.deepcopy(module)
        return self

    def resume(
        self, input_shape: Sequence[int], left: dict[str, list[int]], history: list[Removal]
    ) -> NeuronTuner:
        """Go on where another has stopped, in place of :meth:`start`.

        Parameters
        ----------
        input_shape : sequence of int
            Shape of one sample.
        left : dict of str to list of int
            Of each tuned layer the neurons of the first network that are left.
        history : list of Removal
        """
        self.input_shape = tuple(input_shape)
        self.names, self._left, self.history = list(left), left, history
        gone = Counter(removal.layer for removal in history)
        self._totals = {n: self.schedule.total(len(v) + gone[n], n) for n, v in left.items()}
        return self

    def state_dict(self) -> dict:
        """What was removed so far, in lists, numbers and tensors."""
        snapshot = self._snapshot
        return {
            "left": self._left,
            "history": [astuple(removal) for removal in self.history],
            "snapshot": None if snapshot is None else snapshot.state_dict(),
        }

    def load_state_dict(self, module: nn.Module, state: dict) -> None:
        """Go on from a state with the network as it was at the start, after :meth:`start`.

        Parameters
        ----------
        module : torch.nn.Module
            Loses the neurons that were removed. Its weights are the caller's to set.
        state : dict
        """
        gone = {name: np.setdiff1d(self._left[name], left) for name, left in state["left"].items()}
        _remove_positions(self._read(module), gone)
        self._left = state["left"]
        self.history = [Removal(*removal) for removal in state["history"]]
        self._snapshot = None
        if state["snapshot"] is not None:
            self._snapshot = copy.deepcopy(module)
            self._snapshot.load_state_dict(state["snapshot"])

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

    def _remove(
        self,
        module: nn.Module,
        epoch: int,
        batches: Any,
        optimizers: Sequence[torch.optim.Optimizer],
        loss: Callable | None,
    ) -> list[Removal]:
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
        _remove_positions(graph, worst, optimizers)
        if self._snapshot is not None:
            _remove_positions(read(self._snapshot, self.input_shape), worst)
        self._left = {n: np.delete(left, worst[n]).tolist() for n, left in self._left.items()}
        self.history += removed
        return removed

    def _n_now(self, epoch: int) -> dict[str, int]:
        """Neurons to remove from each layer after `epoch`."""
        gone = Counter(removal.layer for removal in self.history)
        return {
            name: self.schedule.gone_after(epoch, len(left) + gone[name], name) - gone[name]
            for name, left in self._left.items()
        }


def _remove_positions(
    graph: Graph, positions: dict[str, np.ndarray], optimizers: Sequence[torch.optim.Optimizer] = ()
) -> None:
    units = [
        layer.units[positions[layer.name]] for layer in graph.layers if layer.name in positions
    ]
    remove_units(graph, np.concatenate(units).tolist(), optimizers)


def _unit_scores(layers: list[Layer], scores: Iterable[Tensor]) -> np.ndarray:
    """Score of each unit, by its number: its mean over the layers that share it."""
    scores = list(scores)
    if len(scores) != len(layers):
        raise ValueError(
            f"criterion gave scores for {len(scores)} layers; {len(layers)} are tuned:"
            f" {[layer.name for layer in layers]}."
        )
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
