"""Criteria for neuron tuning: which neurons go first.

A criterion takes a :class:`TuningData` and returns, for each of its layers, a tensor of one score
per neuron; the highest scores go first. Comparisons of criteria then differ in nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sknninterp.nn.activations import class_selectivity
from sknninterp.nn.graph import Graph, Layer, evaluation, prototype
from sknninterp.nn.influence import Influence, channel_scores
from sknninterp.nn.nodes import Node


@dataclass(frozen=True)
class Batch:
    """Values of the wanted nodes for one batch, with its targets and sample weights."""

    values: list[Tensor]
    target: Tensor | None
    weight: Tensor | None


@dataclass(frozen=True)
class TuningData:
    """What a criterion may look at.

    Attributes
    ----------
    graph : Graph
    layers : list of Layer
        The layers whose neurons are judged.
    batches : iterable of (inputs, target or None, weight or None)
    loss : callable or None
        `(output, target) -> Tensor`.
    generator : torch.Generator
        Source of chance, seeded for each tuning.
    """

    graph: Graph
    layers: list[Layer]
    batches: Iterable
    loss: Callable | None
    generator: torch.Generator

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return prototype(self.graph.module).device

    def values(self, nodes: list[Node]) -> Iterator[Batch]:
        """Values of `nodes`, batch by batch, in evaluation mode."""
        for inputs, target, weight in self.batches:
            # Not around the loop: whoever leaves it early must not be left in this mode.
            with evaluation(self.graph.module), torch.no_grad():
                found = self.graph.run(inputs, nodes)
            yield Batch([found[node] for node in nodes], target, weight)

    def mean(self, statistic: Callable[[Tensor], Tensor]) -> list[Tensor]:
        """Weighted mean over samples and positions of `statistic` of each layer's values."""
        sums = [
            torch.zeros(layer.width, dtype=torch.float64, device=self.device)
            for layer in self.layers
        ]
        total = 0.0
        for batch in self.values([layer.post for layer in self.layers]):
            for i, value in enumerate(batch.values):
                sums[i] += _sample_sum(statistic(value), batch.weight)
            total += len(value) if batch.weight is None else float(batch.weight.sum())
        return [s / total for s in sums]


def _sample_sum(values: Tensor, weight: Tensor | None) -> Tensor:
    """Mean over positions, weighted sum over samples: (n, units, ...) -> (units,)."""
    per_sample = values.double().flatten(2).mean(2) if values.ndim > 2 else values.double()
    return per_sample.sum(0) if weight is None else weight.double() @ per_sample


def magnitude(data: TuningData) -> list[Tensor]:
    """Small weights first: minus the L1 norms of a neuron's weights in, times those out."""
    scores = []
    for layer in data.layers:
        norm_in = layer.weighted.weight.detach().abs().flatten(1).sum(1).double()
        norm_out = torch.zeros_like(norm_in)
        place = {unit: i for i, unit in enumerate(layer.units.tolist())}
        for node, units in data.graph.consumers(layer):
            per_input = node.weight.detach().abs().transpose(0, 1).flatten(1).sum(1).double()
            for unit, norm in zip(units.tolist(), per_input, strict=True):
                if unit in place:
                    norm_out[place[unit]] += norm
        scores.append(-norm_in * norm_out)
    return scores


def apoz(data: TuningData) -> list[Tensor]:
    """Average percentage of zeros: the share of activations that are zero (Hu et al. 2016)."""
    return data.mean(lambda values: (values == 0).double())


def random(data: TuningData) -> list[Tensor]:
    """Chance: the control that every comparison needs."""
    return [torch.rand(layer.width, generator=data.generator) for layer in data.layers]


def taylor(data: TuningData) -> list[Tensor]:
    """Little effect on the loss first: ``-|activation x gradient|`` (Molchanov et al. 2017)."""
    if data.loss is None:
        raise ValueError("criterion='taylor' needs a loss to take gradients of.")
    sums = [
        torch.zeros(layer.width, dtype=torch.float64, device=data.device) for layer in data.layers
    ]
    nodes = [layer.post for layer in data.layers]
    with evaluation(data.graph.module), torch.enable_grad():
        for inputs, target, weight in data.batches:
            if target is None:
                raise ValueError("criterion='taylor' needs targets; the tuning data have none.")
            # So that gradients reach layers whose own weights are held fixed.
            values = data.graph.run(inputs.detach().requires_grad_(), nodes)
            loss = data.loss(values[data.graph.output], target)
            gradients = torch.autograd.grad(loss * len(inputs), [values[n] for n in nodes])
            for i, (node, gradient) in enumerate(zip(nodes, gradients, strict=True)):
                product = (values[node] * gradient).detach()
                # A channel acts as a whole: its positions are summed before the magnitude.
                product = product.flatten(2).sum(2) if product.ndim > 2 else product
                sums[i] += _sample_sum(product.abs(), weight)
    return [-s for s in sums]


def selectivity(data: TuningData) -> list[Tensor]:
    """Least class-selective first (index of Morcos et al. 2018).

    (m - r) / (m + r), with m a neuron's highest class-conditional mean activation and r the mean
    of the other classes' means; 0 for a neuron that never fires.
    """
    sums: list[dict[int, Tensor]] = [{} for _ in data.layers]
    counts: dict[int, float] = {}
    for batch in data.values([layer.post for layer in data.layers]):
        if batch.target is None or batch.target.is_floating_point():
            raise ValueError("criterion='selectivity' needs class labels.")
        for label in batch.target.unique().tolist():
            rows = batch.target == label
            weight = None if batch.weight is None else batch.weight[rows]
            n = float(rows.sum() if weight is None else weight.sum())
            counts[label] = counts.get(label, 0.0) + n
            for i, value in enumerate(batch.values):
                part = _sample_sum(value[rows].abs(), weight)
                sums[i][label] = sums[i].get(label, 0.0) + part
    scores = []
    for per_class in sums:
        means = torch.stack([per_class[c] / max(n, 1e-300) for c, n in counts.items()])
        scores.append(-class_selectivity(means))
    return scores


def influence(data: TuningData) -> list[Tensor]:
    """Little influence on the outputs first: minus mean magnitudes of scores, over outputs.

    Of a channel the scores of all positions are summed before the magnitude is taken. See
    :mod:`sknninterp.nn.influence` (Jung, Shin, Kwon).
    """
    scores = Influence(data.graph)
    rows = scores.each_node()
    nodes = [layer.post for layer in data.layers]
    sums = [
        torch.zeros(layer.width, dtype=torch.float64, device=data.device) for layer in data.layers
    ]
    total = 0.0
    for inputs, _, weight in data.batches:
        total += len(inputs) if weight is None else float(weight.sum())
        for chunk in scores.chunks(inputs, rows, nodes):
            here = None if weight is None else weight[chunk.samples]
            for i, node in enumerate(nodes):
                magnitudes = channel_scores(chunk.scores[node]).abs()
                sums[i] += _sample_sum(magnitudes.sum(0), here)
    return [-s / total for s in sums]


CRITERIA: dict[str, Callable[[TuningData], list[Tensor]]] = {
    "magnitude": magnitude,
    "apoz": apoz,
    "taylor": taylor,
    "selectivity": selectivity,
    "influence": influence,
    "random": random,
}
