"""What estimators that tune their neurons add to the plain ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import torch

from sknninterp.callbacks import NeuronTuning
from sknninterp.nn.graph import read

# A histogram of 22 bins says little about a neuron with fewer samples than this.
_FEWEST_TUNING_SAMPLES = 100


class TuningPart:
    """What tuned networks add to the plain ones: the callback, its data and what it did."""

    # Of the estimator that it is a part of.
    max_epochs: int
    early_stopping: bool
    validation_fraction: float
    pruning_rate: float
    tuning_step: int
    n_tuned: int | None
    tuning_start: float
    tuning_stop: float
    target_layers: str | int | Sequence[str | int]
    criterion: str | Callable
    target_distribution: Any
    n_bins: int
    bin_range: tuple[float, float]
    histogram: str
    tuning_data: str
    min_neurons: int
    rewind: str | int | None
    module_: Any
    net_: Any

    @property
    def _tuning(self) -> NeuronTuning:
        return NeuronTuning(
            pruning_rate=self.pruning_rate,
            tuning_step=self.tuning_step,
            n_tuned=self.n_tuned,
            tuning_start=self.tuning_start,
            tuning_stop=self.tuning_stop,
            target_layers=self.target_layers,
            criterion=self.criterion,
            target_distribution=self.target_distribution,
            n_bins=self.n_bins,
            bin_range=self.bin_range,
            histogram=self.histogram,
            tuning_data="train" if self.tuning_data == "train" else "auto",
            min_neurons=self.min_neurons,
            rewind=self.rewind,
            max_epochs=self.max_epochs,
            # This fit's own seed: to draw another would change the network that is tuned.
            random_state=torch.initial_seed(),
        )

    def _own_callbacks(self):
        return [("neuron_tuning", self._tuning)]

    def _wants_validation(self, n_samples):
        if self.early_stopping:
            return True
        if not self._tuning.schedule(self.max_epochs).active or self.tuning_data == "train":
            return False
        enough = n_samples * self.validation_fraction >= _FEWEST_TUNING_SAMPLES
        return enough or self.tuning_data == "validation"

    @property
    def layer_sizes_(self) -> list[int]:
        """Width of each hidden layer that is left."""
        graph = read(self.module_, self.net_.input_shape_)
        return [layer.width for layer in graph.layers[:-1]]

    @property
    def removed_neurons_(self) -> dict[str, list[int]]:
        """Original indices of each tuned layer's neurons, in the order of removal."""
        tuner = self._tuner
        removed: dict[str, list[int]] = {layer: [] for layer in tuner.widths} if tuner else {}
        for removal in tuner.history if tuner else []:
            removed[removal.layer].append(removal.neuron)
        return removed

    @property
    def tuning_history_(self) -> pd.DataFrame:
        """One row per removed neuron: `epoch`, `layer`, `neuron`, `score`."""
        removals = self._tuner.history if self._tuner else []
        columns = ["epoch", "layer", "neuron", "score"]
        return pd.DataFrame([vars(removal) for removal in removals], columns=columns)

    @property
    def _tuner(self):
        """What removed the neurons; None with nothing to remove."""
        return dict(self.net_.callbacks_)["neuron_tuning"].tuner_
