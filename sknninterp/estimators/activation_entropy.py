"""Activation entropy of a fitted estimator's hidden neurons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.exceptions import NotFittedError
from sklearn.utils import _safe_indexing, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight

from sknninterp._typing import MatrixLike
from sknninterp.estimators._network import (
    Network,
    as_table,
    check_holds_network,
    find_network,
    is_fitted,
)
from sknninterp.nn.activation_entropy import activation_entropy as entropy_of_neurons
from sknninterp.nn.hidden_neurons import HiddenNeurons

__all__ = ["activation_entropy"]


def activation_entropy(
    estimator: Any,
    X: MatrixLike,
    y: ArrayLike | None = None,
    *,
    layers: str | int | Sequence[str] = "all",
    n_bins: int = 10,
    edge: str = "upper",
    exact: bool = True,
    sample_weight: ArrayLike | None = None,
    verbose: int = 0,
) -> pd.DataFrame:
    r"""Activation entropy of every hidden neuron of a fitted estimator, in bits.

    Of a neuron's positive activations over X the shares h_r in equal bins on (0, max] give its
    entropy, -\sum_r h_r log2 h_r: 0 for one that never fires, or puts out one and the same value
    whenever it does [1]_.

    Parameters
    ----------
    estimator : estimator, skorch net or torch.nn.Module
        Fitted: of this package, a skorch net, scikit-learn's `MLPClassifier` or `MLPRegressor`, a
        pipeline or a search that ends in one of these, or a torch module.
    X : array-like or DataFrame of shape (n_samples, n_features)
        As the estimator takes it.
    y : array-like of shape (n_samples,), default=None
        Labels, if the entropy over the samples of each class is wanted too. They need not be those
        that the estimator predicts: any groups of samples do.
    layers : {"all", "last"}, int, str or list of str, default="all"
        Hidden layers: all, the last, the last so many, or by name.
    n_bins : int, default=10
    edge : {"upper", "authors"}, default="upper"
        Bins hold their upper edge; or values on any edge, so the maximum too, are dropped, as in
        the authors' code (with `exact=True` alone).
    exact : bool, default=True
        Read X twice, the maxima first; else once, which is nearly exact.
    sample_weight : array-like of shape (n_samples,), default=None
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    DataFrame
        One row a neuron, indexed by `layer`, `neuron` (in a feature map the channel) and `position`
        (in the flattened map; 0 elsewhere). The column `entropy` is that over all samples; with y,
        a column for each label holds that over its samples, in the bins of all. The sum over all
        rows is the network's entropy, see the example.

    Raises
    ------
    TypeError
        If `estimator` holds no network.
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    ValueError
        If the network cannot be read or has no such layers, y holds no labels, or `edge` or
        `n_bins` is no such thing.

    See Also
    --------
    sknninterp.ActivationEntropy : The same after every epoch of a training.

    References
    ----------
    .. [1] *Leveraging Neuron Activation Patterns to Explain and Improve Deep Learning Classifiers*.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknninterp import TorchMLPClassifier, activation_entropy
    >>> X, y = load_wine(return_X_y=True)
    >>> network = make_pipeline(StandardScaler(), TorchMLPClassifier((16, 8))).fit(X, y)
    >>> entropy = activation_entropy(network, X, y)
    >>> entropy.shape
    (24, 4)
    >>> of_network = entropy.sum()
    >>> of_network.index.tolist()
    ['entropy', 0, 1, 2]
    >>> entropy.groupby("layer").sum().index.tolist()
    ['hidden0', 'hidden1']
    """
    check_holds_network(estimator)
    if not is_fitted(estimator):
        raise NotFittedError(f"estimator: this {type(estimator).__name__} is not fitted.")
    X = as_table(X)
    labels, target = (None, None) if y is None else _labels(y)
    check_consistent_length(X, target)
    network = find_network(estimator)
    first = network.to_tensor(network.preprocess(_safe_indexing(X, slice(0, 1))))
    neurons = HiddenNeurons(network.read(first.shape[1:]), layers)
    found = entropy_of_neurons(
        neurons,
        _Batches(network, X, target, _weight(sample_weight, X), verbose),
        n_bins,
        edge=edge,
        n_classes=None if labels is None else len(labels),
        exact=exact,
    )
    values = found.neurons[:, None] if labels is None else _beside(found.neurons, found.classes)
    columns = ["entropy", *([] if labels is None else labels.tolist())]
    return pd.DataFrame(values.cpu().numpy(), _index(neurons), columns)


def _labels(y) -> tuple[np.ndarray, torch.Tensor]:
    """The labels, and which of them each sample has."""
    y = column_or_1d(y)
    if pd.isna(y).any():
        raise ValueError("y holds missing labels.")
    check_classification_targets(y)
    labels, positions = np.unique(y, return_inverse=True)
    return labels, torch.from_numpy(positions)


def _weight(sample_weight, X) -> torch.Tensor | None:
    if sample_weight is None:
        return None
    weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if not weight.any():
        raise ValueError("sample_weight: all weights are zero.")
    return torch.from_numpy(weight)


def _beside(neurons: torch.Tensor, classes: torch.Tensor | None) -> torch.Tensor:
    """Columns: over all samples, and over those of each class."""
    # A single group is all samples, and is not told apart.
    classes = neurons[None] if classes is None else classes
    return torch.cat([neurons[None], classes]).T


def _index(neurons: HiddenNeurons) -> pd.MultiIndex:
    parts = []
    for name, node in neurons.nodes.items():
        n_neurons, *of_map = node.shape
        n_positions = math.prod(of_map)
        columns = {
            "layer": name,
            "neuron": np.repeat(np.arange(n_neurons), n_positions),
            "position": np.tile(np.arange(n_positions), n_neurons),
        }
        parts.append(pd.DataFrame(columns))
    return pd.MultiIndex.from_frame(pd.concat(parts))


class _Batches:
    """Samples as (inputs, target, weight), as often as wanted."""

    def __init__(
        self,
        network: Network,
        X,
        target: torch.Tensor | None,
        weight: torch.Tensor | None,
        verbose: int,
    ):
        self.network, self.X, self.verbose = network, X, verbose
        self.others = target, weight

    def __iter__(self):
        for rows, inputs in self.network.batches(self.X, self.verbose):
            yield (inputs, *(None if other is None else other[rows] for other in self.others))
