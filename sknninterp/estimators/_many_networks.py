"""Several networks as one estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone, is_classifier
from sklearn.utils.validation import _check_sample_weight

from sknninterp.estimators._device import draw_seed
from sknninterp.estimators._folds import draw_rows
from sknninterp.estimators._interrupts import interrupted
from sknninterp.estimators._stacked_fit import can_be_stacked, copy_features, fit_stacked


def fit_networks(
    estimator: Any, X: np.ndarray, y: ArrayLike, sample_weight: ArrayLike | None = None
) -> list:
    """Fit `n_networks` clones of an estimator, each with one network and a seed of its own.

    Parameters
    ----------
    estimator : BaseTorchEstimator
    X : ndarray of shape (n_samples, ...)
        Validated.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    sample_weight : array-like of shape (n_samples,), default=None

    Returns
    -------
    list of estimators
        With `warm_start` those that the estimator has already, trained on. After Ctrl-C, where the
        caller defers it, those that were trained by then.
    """
    checkpoint = estimator._checkpoint
    random_state = checkpoint.random_state(estimator.random_state)
    seeds = [draw_seed(random_state) for _ in range(estimator.n_networks)]
    one = {"n_networks": 1, "bootstrap": False, "checkpoint": None}
    networks = [clone(estimator).set_params(random_state=seed, **one) for seed in seeds]
    known = getattr(estimator, "networks_", [])
    if estimator.warm_start and len(known) == len(networks):
        parameters = [network.get_params(deep=False) for network in networks]
        networks = [old.set_params(**new) for old, new in zip(known, parameters, strict=True)]
    rows = [np.arange(len(X))] * len(networks)
    if estimator.bootstrap:
        labels = y if is_classifier(estimator) else None
        rows = [draw_rows("bootstrap", 1.0, len(X), labels, random_state) for _ in networks]
    if sample_weight is None and can_be_stacked(networks[0]):
        fit_stacked(networks, X, y, rows, checkpoint)
    else:
        y = np.asarray(y)
        weight = sample_weight
        if weight is not None:
            weight = _check_sample_weight(weight, X, dtype=X.dtype, ensure_non_negative=True)
        for number, (network, own) in enumerate(zip(networks, rows, strict=True)):
            own_weight = None if weight is None else weight[own]
            with checkpoint.lent(network, f"network{number}"):
                network._fit_one(X[own], y[own], own_weight, estimator)
            if interrupted():
                break
    networks = [network for network in networks if hasattr(network, "net_")]
    for network in networks:
        copy_features(estimator, network)
    return networks
