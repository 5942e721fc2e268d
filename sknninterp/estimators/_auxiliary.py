"""The small networks behind a trained one, which learn what to make of its probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from torch import nn

from sknninterp.estimators._device import draw_seed
from sknninterp.estimators.mlp import TorchMLPClassifier

# Published is training for 5 epochs, on 50,000 samples and more. On a few hundred the weights would
# hardly leave their random start: so many steps are then made in more epochs.
PUBLISHED_EPOCHS = 5
FEWEST_STEPS = 1000
# Published are two units a class. Of four ReLUs, for two classes, all may die.
FEWEST_UNITS = 16
SCORE_FOLDS = 3


def fit_auxiliary(
    inputs: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    random_state: np.random.RandomState,
    *,
    hidden: int | Sequence[int] | str | None = None,
    epochs: int | None = None,
    held_out: bool = False,
    n_jobs: int | None = None,
    **options: Any,
) -> tuple[TorchMLPClassifier, float]:
    """Fit an auxiliary network.

    Parameters
    ----------
    inputs : ndarray of shape (n_samples, n_inputs)
        Probabilities.
    target : ndarray of int of shape (n_samples,)
        From 0 to n_classes - 1.
    weight : ndarray of shape (n_samples,) or None
    random_state : RandomState
    hidden : int, sequence of int, "authors" or None, default=None
    epochs : int or None, default=None
        As `aux_hidden` and `aux_epochs` of
        :class:`~sknninterp.estimators.activation_aux.ActivationAuxClassifier`.
    held_out : bool, default=False
        Whether the accuracy is that of copies, each fitted on two thirds of the samples and asked
        for the others, in place of the network's own on what it was fitted on.
    n_jobs : int, default=None
        Of these copies.
    **options
        Of :class:`~sknninterp.estimators.mlp.TorchMLPClassifier`.

    Returns
    -------
    network : TorchMLPClassifier
    accuracy : float
    """
    network = auxiliary_network(len(inputs), target.max() + 1, hidden, epochs, **options)
    network.set_params(random_state=draw_seed(random_state)).fit(inputs, target, weight)
    if not held_out:
        return network, accuracy(network.predict_proba(inputs), target, weight)
    n_folds = min(SCORE_FOLDS, np.bincount(target).min())
    found = cross_val_predict(
        clone(network).set_params(verbose=0),
        inputs,
        target,
        cv=StratifiedKFold(n_folds, shuffle=True, random_state=draw_seed(random_state)),
        method="predict_proba",
        params=None if weight is None else {"sample_weight": weight},
        n_jobs=n_jobs,
    )
    return network, accuracy(found, target, weight)


def auxiliary_network(
    n_samples: int,
    n_classes: int,
    hidden: int | Sequence[int] | str | None = None,
    epochs: int | None = None,
    batch_size: int = 128,
    **options: Any,
) -> TorchMLPClassifier:
    """An unfitted auxiliary network, for so many samples; see :func:`fit_auxiliary`."""
    if epochs is None:
        steps = math.ceil(n_samples / batch_size)
        epochs = max(PUBLISHED_EPOCHS, math.ceil(FEWEST_STEPS / steps))
    if isinstance(hidden, str):
        layers: dict[str, Any] = {"module": authors_network}
    else:
        layers = {
            "hidden_layer_sizes": max(2 * n_classes, FEWEST_UNITS) if hidden is None else hidden
        }
    return TorchMLPClassifier(**layers, max_epochs=epochs, batch_size=batch_size, **options)


def authors_network(n_inputs: int, n_outputs: int) -> nn.Module:
    """The auxiliary network of the authors' code, but for the softmax behind it."""
    return nn.Sequential(
        nn.Linear(n_inputs, 2 * n_outputs),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(2 * n_outputs, n_outputs),
        nn.ReLU(),
        nn.Linear(n_outputs, n_outputs),
    )


def accuracy(probabilities: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> float:
    """Share of the samples, or of their weight, whose most probable class is the target."""
    return float(np.average(probabilities.argmax(1) == target, weights=weight))
