"""Outputs of a network by the labels that its user knows: which of them are explained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import RegressorMixin

from sknninterp.estimators._network import Network
from sknninterp.explainers._explanation_index import is_sequence


@dataclass(frozen=True)
class Outputs:
    """Outputs of a network, by the labels that its user knows.

    Attributes
    ----------
    labels : ndarray
        Label of each output; of a single logit, of both classes.
    n_outputs : int
    predicts : bool
        Whether one of the labels is predicted, or may be (of a torch module that is not known).
    """

    labels: np.ndarray
    n_outputs: int
    predicts: bool

    @classmethod
    def of(cls, network: Network, n_outputs: int) -> Outputs:
        """Outputs of a network."""
        labels = network.labels(n_outputs)
        values = network.is_multilabel(n_outputs) or isinstance(network.predictor, RegressorMixin)
        return cls(labels, n_outputs, predicts=not values and len(labels) > 1)

    @property
    def names(self) -> np.ndarray:
        """Label of each output; of a single logit, the second class."""
        return self.labels[-self.n_outputs :]

    def choose(self, target: Any, signed: bool) -> tuple:
        """Positions of the outputs asked for (or "predicted"), their signs and their labels.

        Raises
        ------
        ValueError
            If no output has such a label.
        """
        if target is None:
            return slice(None), 1, self.names
        if is_sequence(target):
            if len(target) == 0:
                raise ValueError(f"target={target!r} holds no label.")
            chosen = [self.choose_one(label, signed) for label in target]
            return tuple(map(list, zip(*chosen, strict=True)))
        if isinstance(target, str) and target == "predicted" and not self._has(target):
            if not self.predicts:
                raise ValueError("target='predicted' asks for one class; none is predicted here.")
            return "predicted", 1, None
        return self.choose_one(target, signed)

    def _has(self, label) -> bool:
        return label is not pd.NA and label in self.labels.tolist()

    def choose_one(self, label: Any, signed: bool) -> tuple:
        """Position, sign and label of one output."""
        labels = self.labels.tolist()
        if not self._has(label):
            raise ValueError(
                f"target={label!r} is not an output of this network; there are {labels}, None for"
                " all and 'predicted'."
            )
        place = labels.index(label)
        # A single logit: what speaks for the second class speaks against the first.
        against = signed and len(labels) > self.n_outputs and place == 0
        return min(place, self.n_outputs - 1), -1 if against else 1, labels[place]
