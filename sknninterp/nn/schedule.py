"""When neurons are removed while a network trains, and how many."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property


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

    def __post_init__(self) -> None:
        for name in ("pruning_rate", "n_tuned"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must not be negative.")
        for name in ("tuning_step", "min_neurons"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1.")

    @property
    def active(self) -> bool:
        """Whether it removes anything at all."""
        return self.n_tuned is not None or self.pruning_rate > 0

    @cached_property
    def epochs(self) -> list[int]:
        """Epochs, counted from 1, after which neurons go."""
        first = self.tuning_start * self.max_epochs - 1e-9
        last = self.tuning_stop * self.max_epochs + 1e-9
        return [
            e for e in range(1, self.max_epochs) if e % self.tuning_step == 0 and first <= e <= last
        ]

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
            total, what = (
                math.floor(self.pruning_rate * width + 1e-9),
                f"pruning_rate={self.pruning_rate}",
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
