"""Activation-based neuron tuning of a stack: the same rule as for one network, for all at once."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import torch

from sknninterp.nn.histograms import Histogram, kl_divergence
from sknninterp.nn.schedule import Schedule
from sknninterp.nn.stacked import StackedMLP
from sknninterp.nn.stacked_training import StackedBatches
from sknninterp.nn.tuning import KLCriterion, Removal, target_masses


class StackedTuner:
    """Removes neurons from a stack while it trains (Algorithm 1 of Mohsen et al.).

    Each network loses as many neurons of a layer as any other, so that they stay of one shape, but
    its own.

    Parameters
    ----------
    stack : StackedMLP
        As it is before the first epoch.
    schedule : Schedule
    criterion : KLCriterion, default=KLCriterion()
        With common bins.

    Attributes
    ----------
    histories : list of list of Removal
        Of each network.
    left : list of dict of str to list of int
        Of each network: the neurons of each layer, as numbered in the first network, that are left.

    Raises
    ------
    ValueError
        If the schedule would leave a layer without neurons, if there is no hidden layer, or if the
        criterion has no target for the activation.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.mlp import MLP
    >>> from sknninterp.nn.schedule import Schedule
    >>> from sknninterp.nn.stacked import StackedMLP
    >>> from sknninterp.nn.stacked_training import StackedBatches
    >>> from sknninterp.nn.stacked_tuning import StackedTuner
    >>> stack, X = StackedMLP([MLP(4, 2, (8,)) for _ in range(3)]), torch.randn(64, 4)
    >>> tuner = StackedTuner(stack, Schedule(max_epochs=10, pruning_rate=0.5))
    >>> judged = StackedBatches(X, torch.zeros(64), [torch.arange(64)] * 3, batch_size=64)
    >>> for epoch in range(1, 11):  # the training of an epoch goes before the step
    ...     tuner.step(stack, epoch, judged)
    >>> stack.widths
    [4]
    """

    def __init__(self, stack: StackedMLP, schedule: Schedule, criterion: KLCriterion | None = None):
        self.schedule = schedule
        self.criterion = KLCriterion() if criterion is None else criterion
        if self.criterion.histogram != "common":
            raise ValueError("A stack is tuned with histogram='common'.")
        if not stack.widths:
            raise ValueError("There is no hidden layer that can be tuned.")
        self._names = [f"hidden{number}" for number in range(len(stack.widths))]
        self._first_widths = stack.widths
        edges = np.linspace(*self.criterion.bin_range, self.criterion.n_bins + 1)
        device = stack.weights[0].device
        self._edges = torch.as_tensor(edges, device=device)
        target = self.criterion.target(stack.activation, self._names[0])
        self._masses = torch.as_tensor(target_masses(target, edges), device=device)
        for width, name in zip(stack.widths, self._names, strict=True):
            schedule.total(width, name)
        # Positions in the first network, of each layer (n_networks, n_left).
        self._left = [np.tile(np.arange(width), (len(stack), 1)) for width in stack.widths]
        self.histories: list[list[Removal]] = [[] for _ in range(len(stack))]

    @property
    def left(self) -> list[dict[str, list[int]]]:
        return [
            {
                name: of_all[number].tolist()
                for name, of_all in zip(self._names, self._left, strict=True)
            }
            for number in range(len(self.histories))
        ]

    def state_dict(self) -> dict:
        """What was removed so far, in lists and numbers."""
        return {
            "left": [of_all.tolist() for of_all in self._left],
            "histories": [[astuple(removal) for removal in own] for own in self.histories],
        }

    def load_state_dict(self, stack: StackedMLP, state: dict) -> None:
        """Go on from a state with the stack as it was at the start.

        Parameters
        ----------
        stack : StackedMLP
            Loses the neurons that were removed. Its weights are the caller's to set.
        state : dict
        """
        self._left = [np.array(of_all) for of_all in state["left"]]
        self.histories = [[Removal(*removal) for removal in own] for own in state["histories"]]
        for number, left in enumerate(self._left):
            stack.keep_neurons(number, torch.as_tensor(left, device=self._edges.device))

    def step(
        self,
        stack: StackedMLP,
        epoch: int,
        batches: StackedBatches,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        """Remove what the schedule asks for after `epoch`.

        Parameters
        ----------
        stack : StackedMLP
            Changed in place; parameters keep their identity.
        epoch : int
            Counted from 1.
        batches : StackedBatches
            Samples of each network whose activations are judged.
        optimizer : torch.optim.Optimizer, default=None
            Its state is cut with the parameters.
        """
        wanted = [
            self.schedule.gone_after(epoch, first, name) - (first - left.shape[1])
            for first, name, left in zip(self._first_widths, self._names, self._left, strict=True)
        ]
        if not any(wanted):
            return
        all_scores = self.scores(stack, batches)
        for number, (n_now, scores) in enumerate(zip(wanted, all_scores, strict=True)):
            if n_now:
                self._remove(stack, epoch, number, n_now, scores, optimizer)

    def _remove(
        self,
        stack: StackedMLP,
        epoch: int,
        number: int,
        n_now: int,
        scores: np.ndarray,
        optimizer: torch.optim.Optimizer | None,
    ) -> None:
        """Remove the highest scores of a layer, ties at the lowest index first."""
        order = np.argsort(-scores, axis=1, kind="stable")
        left, name = self._left[number], self._names[number]
        for history, worst, of_one, positions in zip(
            self.histories, order[:, :n_now], scores, left, strict=True
        ):
            history += [Removal(epoch, name, int(positions[i]), float(of_one[i])) for i in worst]
        kept = np.sort(order[:, n_now:], axis=1)
        self._left[number] = np.take_along_axis(left, kept, 1)
        stack.keep_neurons(number, torch.as_tensor(kept, device=self._edges.device), optimizer)

    @torch.no_grad()
    def scores(self, stack: StackedMLP, batches: StackedBatches) -> list[np.ndarray]:
        """Divergence of each neuron of each hidden layer, (n_networks, width).

        Parameters
        ----------
        stack : StackedMLP
        batches : StackedBatches
        """
        histograms = [Histogram((len(stack), width), self._edges) for width in stack.widths]
        for batch in batches:
            weight = None if batch.weight is None else batch.weight.T
            for histogram, values in zip(
                histograms, stack.pre_activations(batch.inputs), strict=False
            ):
                histogram.add(values.movedim(1, 0), weight)
        return [
            kl_divergence(histogram.probabilities, self._masses).cpu().numpy()
            for histogram in histograms
        ]
