"""A classifier that asks its network's hidden neurons as well: how they fire for each class."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context, is_regressor
from sklearn.utils import (
    Tags,
    check_array,
    check_consistent_length,
    check_random_state,
    get_tags,
)
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import (
    _check_feature_names,
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)
from torch import nn

from sknninterp._typing import MatrixLike, Seed
from sknninterp.estimators._auxiliary import accuracy, fit_auxiliary
from sknninterp.estimators._firing import FiringNetwork, encoded, read_fold
from sknninterp.estimators._folds import (
    Samples,
    choose_folds,
    fit_samples,
    is_share,
    seeded_clone,
)
from sknninterp.estimators._network import (
    as_table,
    check_holds_network,
    find_network,
    is_fitted,
    known_table,
)
from sknninterp.estimators._parts import ClassifierPart
from sknninterp.estimators.mlp import TorchMLPClassifier


class ActivationAuxClassifier(ClassifierMixin, BaseEstimator):
    r"""Classifier that lets the hidden neurons of a trained network take part in its prediction.

    P[c, j] is the share of class c's training samples for which neuron j fires. The neurons that
    fire for a sample are evidence for each class, E_c = \sum_j 1[A_j > threshold] P[c, j]; times
    the network's own probabilities, and normalised, that is what they propose. A small auxiliary
    network sees both, [Y_proposed, Y_predicted], and decides whom to trust [1]_.

    Whether the neurons had a part in a gain is told by the control, an auxiliary network that sees
    Y_predicted alone: compare `aux_score_` with `control_score_`, and both with `base_score_`.

    Parameters
    ----------
    estimator : estimator, skorch net, torch.nn.Module or None, default=None
        A classifier that holds a network: of this package, a skorch net, scikit-learn's
        `MLPClassifier`, a pipeline or a search that ends in one of these, or a torch module that
        puts out logits (or probabilities, behind a softmax), one for each class in sorted order.
        One that is fitted is used as it is, and one that is not is cloned and fitted; a torch
        module counts as fitted. None is `TorchMLPClassifier()`.
    layers : {"all", "last"}, int, str or list of str, default="all"
        Hidden layers whose neurons are read: all, the last, the last so many, or by name. Of a
        feature map every position is a neuron.
    threshold : float or dict of str to float, default=0.0
        Above which a neuron counts as firing; or by layer, 0 for those left out. A sigmoid, which
        is always above 0, needs one, such as 0.5.
    cv : float, int, splitter, iterable of splits or None, default=None
        What the auxiliary network learns from. A network is surer of its own training data than of
        others, which is then taken for granted.

        - None: the training data, as published. For a fitted `estimator`, better hand over samples
          that it has not seen.
        - A float: this share of the samples, stratified and held out; the estimator is fitted, and
          P counted, on the others.
        - An int or a splitter: out-of-fold predictions and evidence of clones fitted on the folds,
          stratified for an int; the estimator is fitted, and its P counted, on all.
    aux_hidden : int, list of int, "authors" or None, default=None
        Hidden layers of the auxiliary network; None is one of 2 n_classes ReLU units [1]_, but at
        least 16, since four for two classes may all die; "authors" is 2 n_classes, dropout of 0.2,
        n_classes.
    aux_epochs : int or None, default=None
        None is 5, as published, or as many more as make 1,000 steps.
    lr : float, default=1e-3
        Learning rate of the auxiliary network, which is trained by Adam.
    batch_size : int, default=128
        Of the auxiliary network's training.
    device : str or torch.device, default="auto"
        Of the auxiliary network; "auto" takes the GPU if there is one. Neurons are read where the
        estimator's network is.
    n_jobs : int, default=None
        Folds to fit at once, with an int or a splitter as `cv`.
    verbose : int, default=0
        1 shows progress bars of reading and of the auxiliary network's training.
    random_state : int, RandomState instance or None, default=None
        An int sets that of the estimator to be fitted too, and torch's while it is fitted.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    estimator_ : object
        The fitted base: `estimator` itself, if it was fitted.
    aux_ : TorchMLPClassifier
        The auxiliary network, on [Y_proposed, Y_predicted] and the positions of classes.
    control_ : TorchMLPClassifier
        An auxiliary network of the same kind, on Y_predicted alone.
    layers_ : dict of str to tuple of int
        Shape of the neurons of every layer. Flattened, layer after layer, they are the columns of
        `activation_probabilities_`.
    activation_probabilities_ : ndarray of shape (n_classes, n_neurons)
        P, of each neuron to fire for a class.
    activation_entropy_ : ndarray of shape (n_neurons,)
        Of each neuron's positive activations, in bits; the sum is the network's. P, entropy and
        selectivity are of the samples that the estimator was fitted on, or of all where it was
        fitted before.
    class_selectivity_ : ndarray of shape (n_neurons,)
        (m - r) / (m + r), with m the highest class mean and r the mean of the others.
    base_score_, aux_score_, control_score_ : float
        Accuracy of the base, the auxiliary network and the control on the same samples, those that
        the auxiliary networks learn from. With `cv=None` they are all scores on training data,
        which flatter. Else no network is scored on a sample that it was trained on: the base's
        predictions are held out or out of fold, and the auxiliary networks' are those of copies
        trained on two thirds of these samples at a time. (Splits that test a sample twice can put
        it on both sides.)
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has column names.

    See Also
    --------
    sknninterp.InfluentialScores : What a neuron's value comes from.

    Notes
    -----
    Y_proposed itself needs no auxiliary network, see `predict_proposed`. Where samples are scaled
    otherwise than in training, probabilities are flatter or sharper than those that an auxiliary
    network has learnt from, and it can fail; which neurons fire changes less.

    References
    ----------
    .. [1] *Leveraging Neuron Activation Patterns to Explain and Improve Deep Learning Classifiers*.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknninterp import ActivationAuxClassifier, TorchMLPClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> network = make_pipeline(StandardScaler(), TorchMLPClassifier((16,), lr=0.01))
    >>> classifier = ActivationAuxClassifier(network, aux_epochs=50, random_state=0).fit(X, y)
    >>> classifier.activation_probabilities_.shape
    (3, 16)
    >>> classifier.score(X, y) > 0.9
    True
    >>> classifier.explain_neurons(2, k=3).columns.tolist()
    ['layer', 'neuron', 'position', 'probability', 'others', 'difference', 'selectivity']
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods("fit"), nn.Module, None],
        "layers": [str, Interval(Integral, 1, None, closed="left"), list, tuple],
        "threshold": [Interval(Real, None, None, closed="neither"), dict],
        "cv": [Interval(Real, 0, 1, closed="neither"), "cv_object"],
        "aux_hidden": [
            Interval(Integral, 1, None, closed="left"),
            "array-like",
            StrOptions({"authors"}),
            None,
        ],
        "aux_epochs": [Interval(Integral, 1, None, closed="left"), None],
        "lr": TorchMLPClassifier._parameter_constraints["lr"],
        "batch_size": TorchMLPClassifier._parameter_constraints["batch_size"],
        "device": TorchMLPClassifier._parameter_constraints["device"],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any = None,
        layers: str | int | Sequence[str] = "all",
        threshold: float | dict[str, float] = 0.0,
        cv: Any = None,
        aux_hidden: int | Sequence[int] | str | None = None,
        aux_epochs: int | None = None,
        lr: float = 1e-3,
        batch_size: int = 128,
        device: str | torch.device = "auto",
        n_jobs: int | None = None,
        verbose: int = 0,
        random_state: Seed = None,
    ):
        self.estimator = estimator
        self.layers = layers
        self.threshold = threshold
        self.cv = cv
        self.aux_hidden = aux_hidden
        self.aux_epochs = aux_epochs
        self.lr = lr
        self.batch_size = batch_size
        self.device = device
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    # -- fitting ---------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the estimator unless it is fitted, read its neurons, and fit the auxiliary networks.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            As the estimator takes it.
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            For the estimator if it is still to be fitted, for P, and for the auxiliary networks.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If `estimator` holds no network or predicts no probabilities.
        ValueError
            If y is no labels of one class each or not those that the estimator was fitted on, a
            class is absent or has too few samples for `cv`, there are no such layers, every neuron
            fires for every sample, or a fitted `estimator` is to be fitted on other samples.
        """
        samples = self._validate(X, y, sample_weight)
        self._check_estimator()
        random_state = check_random_state(self.random_state)
        folds = choose_folds(self.cv, self._inner, samples, random_state)
        own = seen = samples.used
        if is_share(self.cv):
            own, seen = map(samples.take, folds[0])
        self.estimator_ = self._inner
        if not is_fitted(self._inner):
            copied, seed = self._clone(random_state)
            self.estimator_ = fit_samples(copied, seed, own)
        self._learn(own)
        if folds and not is_share(self.cv):
            seen, (proposed, predicted) = self._out_of_fold(samples, folds, random_state)
        else:
            _, proposed, predicted = self._read(seen.X)
        self._fit_auxiliaries(seen, proposed, predicted, random_state)
        return self

    @property
    def _inner(self):
        return TorchMLPClassifier() if self.estimator is None else self.estimator

    def _validate(self, X, y, sample_weight) -> Samples:
        X = as_table(X)
        validate_data(self, X, y, skip_check_array=True)
        self._sample_shape = tuple(X.shape[1:])
        y = ClassifierPart._labels(check_array(y, ensure_2d=False, dtype=None, input_name="y"))
        check_consistent_length(X, y)
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
            if not weight.any():
                raise ValueError("sample_weight: all weights are zero.")
        return Samples(X, y, weight)

    def _check_estimator(self):
        inner = self._inner
        check_holds_network(inner)
        if isinstance(inner, nn.Module):
            return
        if is_regressor(inner) or not hasattr(inner, "predict_proba"):
            raise TypeError(
                f"estimator must be a classifier with `predict_proba`; {type(inner).__name__} is"
                " none."
            )

    def _clone(self, random_state):
        return seeded_clone(self._inner, self.random_state, random_state)

    def _firing(self, X) -> FiringNetwork:
        first = find_network(self.estimator_).first
        if hasattr(self, "feature_names_in_") and hasattr(first, "feature_names_in_"):
            # A ColumnTransformer finds columns by name, and would take them in another order.
            _check_feature_names(first, X, reset=False)
        return FiringNetwork(self.estimator_, X, self.layers, self.threshold, self.verbose)

    def _learn(self, samples: Samples) -> None:
        """What the neurons do for each class."""
        firing = self._firing(samples.X)
        self.classes_ = firing.classes(samples.y)
        target = encoded(samples.y, self.classes_)
        found = firing.statistics(samples.X, target, samples.weight, entropy=True)
        self.layers_ = {name: tuple(node.shape) for name, node in firing.neurons.nodes.items()}
        self.activation_probabilities_ = found.probabilities.cpu().numpy()
        self.activation_entropy_ = found.entropy.neurons.cpu().numpy()
        self.class_selectivity_ = found.selectivity.cpu().numpy()
        for name, columns in firing.neurons.columns.items():
            if not self.activation_probabilities_[:, columns].any():
                warnings.warn(
                    f"No neuron of layer {name!r} fires for any sample: it says nothing of the"
                    " classes. Where no neuron of any layer fires, the estimator's own prediction"
                    " is proposed.",
                    UserWarning,
                    stacklevel=4,
                )

    def _out_of_fold(self, samples, folds, random_state):
        """Samples in the order of the folds' tests, and what clones propose and predict there."""
        clones = [self._clone(random_state) for _ in folds]
        parts = Parallel(n_jobs=self.n_jobs)(
            delayed(read_fold)(*one, samples, *fold, self.layers, self.threshold)
            for one, fold in zip(clones, folds, strict=True)
        )
        seen = samples.take(np.concatenate([test for _, test in folds]))
        return seen, [np.concatenate(part) for part in zip(*parts, strict=True)]

    def _fit_auxiliaries(self, samples, proposed, predicted, random_state) -> None:
        target = encoded(samples.y, self.classes_)
        learn = partial(
            fit_auxiliary,
            target=target,
            weight=samples.weight,
            random_state=random_state,
            hidden=self.aux_hidden,
            epochs=self.aux_epochs,
            held_out=self.cv is not None,
            n_jobs=self.n_jobs,
            lr=self.lr,
            batch_size=self.batch_size,
            device=self.device,
            verbose=self.verbose,
        )
        self.aux_, self.aux_score_ = learn(np.hstack([proposed, predicted]))
        self.control_, self.control_score_ = learn(predicted)
        self.base_score_ = accuracy(predicted, target, samples.weight)

    # -- prediction ------------------------------------------------------------------------------

    def _read(self, X):
        """Evidence, Y_proposed and Y_predicted."""
        return self._firing(X).read(X, self.activation_probabilities_)

    def _known_table(self, X):
        """X with the columns seen in `fit`."""
        check_is_fitted(self, "aux_")
        return known_table(self, X)

    def predict_proba(self, X: MatrixLike) -> np.ndarray:
        """Class probabilities of the auxiliary network.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        _, *both = self._read(self._known_table(X))
        return self.aux_.predict_proba(np.hstack(both))

    def predict(self, X: MatrixLike) -> np.ndarray:
        """The most probable class.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]

    def predict_proposed(self, X: MatrixLike) -> np.ndarray:
        """Y_proposed: class probabilities of the base times the evidence of its neurons.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows sum to 1; where no neuron fires they are the base's own.
        """
        return self._read(self._known_table(X))[1]

    def evidence(self, X: MatrixLike) -> np.ndarray:
        r"""Evidence of the firing neurons for each class, \sum_j 1[A_j > threshold] P[c, j].

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            At most the number of neurons that fire.
        """
        return self._read(self._known_table(X))[0]

    # -- neurons ---------------------------------------------------------------------------------

    def explain_neurons(self, class_: Any, k: int | None = 10) -> pd.DataFrame:
        """A class's representative neurons: those that fire for it, and less for others.

        Parameters
        ----------
        class_ : label
            One of `classes_`.
        k : int or None, default=10
            How many; None is all.

        Returns
        -------
        DataFrame
            One row a neuron, by decreasing `difference`, then `selectivity`: `layer`; `neuron`, in
            a feature map the channel; `position` in the map, () elsewhere; `probability` to fire
            for the class; `others`, the mean of that for the other classes; their `difference`; and
            class `selectivity`.

        Raises
        ------
        ValueError
            If there is no such class.
        """
        check_is_fitted(self, "aux_")
        place = pd.Index(self.classes_).get_indexer([class_])[0]
        if place < 0:
            raise ValueError(f"class_={class_!r} is no class; there are {self.classes_.tolist()}.")
        if k is not None and (not isinstance(k, Integral) or k < 1):
            raise ValueError(f"k={k!r} must be an integer of at least 1, or None for all neurons.")
        own = self.activation_probabilities_[place]
        others = np.delete(self.activation_probabilities_, place, 0).mean(0)
        order = np.lexsort((-self.class_selectivity_, others - own))[:k]
        names = pd.DataFrame(
            [self._neuron(column) for column in order], columns=["layer", "neuron", "position"]
        )
        return names.assign(
            probability=own[order],
            others=others[order],
            difference=(own - others)[order],
            selectivity=self.class_selectivity_[order],
        )

    def _neuron(self, column: int) -> tuple[str, int, tuple[int, ...]]:
        """Layer, neuron or channel, and position of a column of P."""
        starts = np.cumsum([0, *map(math.prod, self.layers_.values())])
        place = np.searchsorted(starts, column, side="right") - 1
        layer, shape = [*self.layers_.items()][place]
        neuron, *position = map(int, np.unravel_index(column - starts[place], shape))
        return layer, neuron, tuple(position)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = self._inner
        if isinstance(inner, BaseEstimator):
            of_inner = get_tags(inner)
            tags.classifier_tags = of_inner.classifier_tags or tags.classifier_tags
            tags.input_tags = of_inner.input_tags
        return tags
