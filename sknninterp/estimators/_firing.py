"""What the hidden neurons of a fitted estimator's network say of samples, in batches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils import _safe_indexing

from sknninterp._typing import MatrixLike
from sknninterp.estimators._folds import Samples, fit_samples
from sknninterp.estimators._network import find_network
from sknninterp.nn.activations import (
    ActivationStatistics,
    check_thresholds,
    network_evidence,
    propose,
)
from sknninterp.nn.graph import prototype
from sknninterp.nn.hidden_neurons import HiddenNeurons


class FiringNetwork:
    """A fitted classifier with the hidden neurons chosen in its network.

    Parameters
    ----------
    estimator : object
        Fitted, as :func:`~sknninterp.estimators._network.find_network` takes it.
    X : array-like or DataFrame of shape (n_samples, ...)
        Samples such as it will read; the first tells their shape.
    layers : {"all", "last"}, int, str or sequence of str
        As :func:`~sknninterp.nn.hidden_neurons.choose_activations` takes them.
    threshold : float or mapping of str to float
        As :func:`~sknninterp.nn.activations.check_thresholds` takes it.
    verbose : int, default=0

    Attributes
    ----------
    network : Network
    neurons : HiddenNeurons
    n_outputs : int

    Raises
    ------
    ValueError
        If there are no such layers, all values exceed the threshold, or the network does not put
        out one value for each class.
    """

    def __init__(
        self,
        estimator: Any,
        X: MatrixLike,
        layers: str | int | Sequence[str],
        threshold: float | Mapping[str, float],
        verbose: int = 0,
    ):
        self.network = network = find_network(estimator)
        self.verbose, self.threshold = verbose, threshold
        one = network.to_tensor(network.preprocess(_safe_indexing(X, slice(0, 1))))
        graph = network.read(one.shape[1:])
        if len(graph.output.shape) > 1:
            raise ValueError(f"The network's output has the axes {graph.output.shape}, not one.")
        self.n_outputs = math.prod(graph.output.shape)
        if network.is_multilabel(self.n_outputs):
            raise ValueError(
                "estimator predicts several labels a sample; one of several classes is taken."
            )
        self.neurons = HiddenNeurons(graph, layers)
        check_thresholds(self.neurons.nodes, threshold)

    def classes(self, y: np.ndarray) -> np.ndarray:
        """Label of each output; of a network that knows none, the sorted labels of y.

        Raises
        ------
        ValueError
            If y has labels that the network does not know, or lacks one of its classes.
        """
        present = np.unique(y)
        if self.network.classes is None and len(present) == max(2, self.n_outputs):
            return present
        labels = self.network.labels(self.n_outputs)
        unknown = present[pd.Index(labels).get_indexer(present) < 0].tolist()
        if unknown or len(labels) == 1:
            raise ValueError(
                f"y has the labels {present.tolist()}; the estimator has"
                f" {max(2, self.n_outputs)} classes, {labels.tolist()}."
            )
        absent = labels[pd.Index(present).get_indexer(labels) < 0].tolist()
        if absent:
            raise ValueError(
                f"y has no samples of the classes {absent}: it is not known how often neurons fire"
                f" for them. The estimator has the classes {labels.tolist()}."
            )
        return labels

    def statistics(
        self, X: MatrixLike, target: np.ndarray, weight: np.ndarray | None, entropy: bool = False
    ) -> ActivationStatistics:
        """Statistics of the neurons for each class.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, ...)
        target : ndarray of int of shape (n_samples,)
            Positions of the classes among the outputs.
        weight : ndarray of shape (n_samples,) or None
        entropy : bool, default=False
            Whether activation entropy is wanted too.

        Returns
        -------
        ActivationStatistics
        """
        n_classes = max(2, self.n_outputs)
        found = ActivationStatistics(self.neurons, n_classes, self.threshold, entropy)
        targets = torch.from_numpy(target)
        weights = None if weight is None else torch.from_numpy(weight)
        for rows, inputs in self.network.batches(X, self.verbose):
            found.add(inputs, targets[rows], None if weights is None else weights[rows])
        return found

    def read(
        self, X: MatrixLike, probabilities: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Evidence, what it proposes, and what the network predicts.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, ...)
        probabilities : ndarray of shape (n_classes, n_neurons)
            Of each neuron to fire for a class.

        Returns
        -------
        evidence, proposed, predicted : ndarray of shape (n_samples, n_classes)
        """
        like = prototype(self.neurons.graph.module)
        of_classes = torch.from_numpy(probabilities).to(like)
        found = []
        for _, inputs in self.network.batches(X, self.verbose):
            fired, outputs = network_evidence(self.neurons, inputs, of_classes, self.threshold)
            own = self.network.probabilities(self.neurons.graph, outputs)
            parts = fired, propose(fired, own), own
            found.append([part.cpu().numpy() for part in parts])
        evidence, proposed, predicted = (
            np.concatenate(parts) for parts in zip(*found, strict=True)
        )
        return evidence, proposed, predicted


def encoded(y: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Positions of labels among the classes."""
    return pd.Index(classes).get_indexer(y).astype(np.int64)


def read_fold(
    estimator: Any,
    seed: int | None,
    samples: Samples,
    train: np.ndarray,
    test: np.ndarray,
    layers: str | int | Sequence[str],
    threshold: float | Mapping[str, float],
) -> tuple[np.ndarray, np.ndarray]:
    """What an estimator fitted on some samples, and its neurons, say of others.

    Parameters
    ----------
    estimator : object
        Is fitted in place.
    seed : int or None
        As :func:`~sknninterp.estimators._folds.fit_samples` takes it.
    samples : Samples
    train, test : ndarray of int
        Rows to fit on and count P over, and rows to read.
    layers, threshold
        As of :class:`FiringNetwork`.

    Returns
    -------
    proposed, predicted : ndarray of shape (len(test), n_classes)
    """
    own = samples.take(train)
    firing = FiringNetwork(fit_samples(estimator, seed, own), own.X, layers, threshold)
    target = encoded(own.y, firing.classes(own.y))
    probabilities = firing.statistics(own.X, target, own.weight).probabilities
    _, proposed, predicted = firing.read(samples.take(test).X, probabilities.cpu().numpy())
    return proposed, predicted
