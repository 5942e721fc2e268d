"""The plain network: the baseline of everything else here."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin, _fit_context
from sklearn.preprocessing import LabelEncoder
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from sknninterp.estimators._base import BaseTorchEstimator
from sknninterp.estimators._net import ClassifierNet, RegressorNet


def _takes_chunks(estimator) -> bool:
    """Whether there is a `partial_fit`."""
    if estimator.early_stopping:
        raise AttributeError("partial_fit does not take early_stopping=True: it has no epochs.")
    return True


class ClassifierPart(ClassifierMixin):
    """What classifiers add to the base: labels, class weights, probabilities."""

    _parameter_constraints: dict = {
        **BaseTorchEstimator._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    _net_class = ClassifierNet

    @property
    def _n_outputs(self):
        return len(self.classes_)

    def _encode_target(self, y, reset, classes=None):
        y = self._labels(y)
        if reset:
            encoder = LabelEncoder().fit(y if classes is None else np.asarray(classes))
            if len(encoder.classes_) < 2:
                raise ValueError(
                    f"y holds one class only, {encoder.classes_.tolist()}: a classifier needs"
                    " samples of at least two classes."
                )
            self.classes_ = encoder.classes_
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes={list(classes)} are not those of the first call,"
                f" {self.classes_.tolist()}."
            )
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y has labels that were not there before: {unknown.tolist()}; known are"
                f" {self.classes_.tolist()}."
            )
        return np.searchsorted(self.classes_, y).astype(np.int64)

    @staticmethod
    def _labels(y):
        """Labels as an array, one a sample."""
        if np.any(pd.isna(y)):
            raise ValueError("y holds missing labels.")
        check_classification_targets(y)
        several = np.ndim(y) > 1 and y.shape[1] > 1
        if several or type_of_target(y, input_name="y").startswith("multilabel"):
            raise ValueError("y must hold one label a sample; multilabel targets are not taken.")
        return column_or_1d(y, warn=True)

    def _class_weights(self, target):
        if self.class_weight is None:
            return None
        if isinstance(self.class_weight, dict):
            unknown = [c for c in self.class_weight if c not in self.classes_.tolist()]
            if unknown:
                raise ValueError(
                    f"class_weight: there are no classes {unknown}; y has {self.classes_.tolist()}."
                )
            if not all(0 < weight < np.inf for weight in self.class_weight.values()):
                raise ValueError(
                    f"class_weight: weights must be positive numbers, got {self.class_weight}."
                )
        return compute_sample_weight(self.class_weight, self.classes_[target])

    def _stratify(self, target):
        return target

    @available_if(_takes_chunks)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one epoch on these samples.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever come; needed in the first call unless `y` has them all.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "partial_fit does not take class_weight='balanced', which would change from call"
                " to call: pass a dict."
            )
        return self._partial_fit(X, y, sample_weight, classes)

    def decision_function(self, X):
        """Logits.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            For two classes the logit of the second less that of the first.
        """
        logits = self._outputs(X).numpy()
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def predict_proba(self, X):
        """Probabilities of the classes.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return torch.softmax(self._outputs(X), 1).numpy()

    def predict(self, X):
        """The most probable class.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        best = self._outputs(X).argmax(1).numpy()
        return self.classes_[best]


class RegressorPart(RegressorMixin, MultiOutputMixin):
    """What regressors add to the base."""

    _net_class = RegressorNet

    @property
    def _n_outputs(self):
        return self.n_outputs_

    def _encode_target(self, y, reset, classes=None):
        try:
            y = np.array(y, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"y must hold numbers: {error}") from error
        n_outputs = 1 if y.ndim == 1 else y.shape[1]
        if reset:
            self.n_outputs_ = n_outputs
            self._flat_target = y.ndim == 1
        elif n_outputs != self.n_outputs_:
            raise ValueError(f"y has {n_outputs} outputs; it had {self.n_outputs_} before.")
        return y.reshape(len(y), n_outputs)

    @available_if(_takes_chunks)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch on these samples.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self
        """
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X):
        """Predicted values.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        outputs = self._outputs(X).numpy()
        return outputs[:, 0] if self._flat_target else outputs


class TorchMLPClassifier(ClassifierPart, BaseTorchEstimator):
    """Neural network classifier in torch, with cross-entropy loss.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int, default=(100,)
        Neurons in each hidden layer.
    activation : {"relu", "sigmoid", "tanh", "leaky_relu", "elu", "gelu", "silu"}, default="relu"
    dropout : float, default=0.0
        Share of each hidden layer's values dropped while training.
    batch_norm : bool, default=False
        Batch norm between each hidden layer and its activation.
    module : callable or torch.nn.Module, default=None
        A callable `(n_inputs, n_outputs) -> torch.nn.Module`, or a module (copied, and trained on
        from its weights), in place of the fully connected network; it puts out logits, or values.
        X may then have more than two dimensions, (n_samples, channels, ...).
    optimizer : {"adam", "adamw", "sgd", "nadam", "rmsprop", "adagrad"} or callable, default="adam"
        A name, or a `torch.optim` class; "sgd" has Nesterov's momentum of 0.9.
    lr : float, default=1e-3
        Learning rate.
    weight_decay : float, default=0.0
    entropy_weight : float, default=0.0
        Times the mean activation entropy (bits) of hidden neurons in a batch, added to the loss in
        training, not in validation: positive makes patterns simpler, negative spreads them.
        An epoch takes three to five times as long.
    numeric_embedding : {"spline", "piecewise", "periodic"} or callable, default=None
        Each feature as several numbers of its own, to learn its non-linear effects sooner: see
        :mod:`sknninterp.nn.embeddings`. A callable `(inputs, weight)` makes one for training data.
    input_penalty : float, default=0.0
        Group lasso on the weights of each feature: features that say little leave the network, see
        :class:`sknninterp.nn.input_penalty.InputPenalty`. With Adam between 0 and 1.
    batch_size : int, default=128
    max_epochs : int, default=100
    early_stopping : bool, default=False
        Stop when the loss on a held-out part has not improved for `patience` epochs, and keep the
        best network.
    validation_fraction : float, default=0.1
        Share of the samples held out for it, stratified for classifiers where that is possible.
    patience : int, default=10
    class_weight : dict, "balanced" or None, default=None
        Weight of each class in the loss.
    callbacks : list of skorch callbacks, default=None
        Copied for every fit; the copies are in `net_.callbacks_`.
    device : str or torch.device, default="auto"
        "auto" takes the GPU if there is one.
    dtype : {"float32", "float64"}, default=None
        None keeps the floating type of X; "float32" is faster, and what large tables want.
    warm_start : bool, default=False
        Let `fit` go on from the network fitted before, with today's `lr` and `batch_size`.
    verbose : int, default=0
        1 shows a progress bar with the losses.
    random_state : int, RandomState instance or None, default=None
        An int gives the same bits every time on the same machine.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    module_ : torch.nn.Module
        The fitted network.
    net_ : skorch.NeuralNet
        What trained it.
    history_ : DataFrame
        One row an epoch: `epoch`, `train_loss`, `valid_loss` (with a validation part), `dur` in
        seconds, and what callbacks record.
    n_iter_ : int
        Epochs trained.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has column names.
    selected_features_ : ndarray
        Names of the features that the network reads, or their numbers: all of them, but for
        `input_penalty`.

    See Also
    --------
    ANTClassifier : The same, made smaller while it is trained.
    sknninterp.PWPExplainer : Which features it used.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknninterp import TorchMLPClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> network = TorchMLPClassifier((32,), max_epochs=20, random_state=0)
    >>> make_pipeline(StandardScaler(), network).fit(X, y).score(X, y) > 0.95
    True
    """

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        dropout=0.0,
        batch_norm=False,
        module=None,
        optimizer="adam",
        lr=1e-3,
        weight_decay=0.0,
        entropy_weight=0.0,
        numeric_embedding=None,
        input_penalty=0.0,
        batch_size=128,
        max_epochs=100,
        early_stopping=False,
        validation_fraction=0.1,
        patience=10,
        class_weight=None,
        callbacks=None,
        device="auto",
        dtype=None,
        warm_start=False,
        verbose=0,
        random_state=None,
    ):
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            dropout=dropout,
            batch_norm=batch_norm,
            module=module,
            optimizer=optimizer,
            lr=lr,
            weight_decay=weight_decay,
            entropy_weight=entropy_weight,
            numeric_embedding=numeric_embedding,
            input_penalty=input_penalty,
            batch_size=batch_size,
            max_epochs=max_epochs,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            patience=patience,
            callbacks=callbacks,
            device=device,
            dtype=dtype,
            warm_start=warm_start,
            verbose=verbose,
            random_state=random_state,
        )
        self.class_weight = class_weight


class TorchMLPRegressor(RegressorPart, BaseTorchEstimator):
    """Neural network regressor in torch, with squared-error loss.

    Scale y where its spread is far from 1, as for every neural network; scikit-learn's
    `TransformedTargetRegressor` does that.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int, default=(100,)
        Neurons in each hidden layer.
    activation : {"relu", "sigmoid", "tanh", "leaky_relu", "elu", "gelu", "silu"}, default="relu"
    dropout : float, default=0.0
        Share of each hidden layer's values dropped while training.
    batch_norm : bool, default=False
        Batch norm between each hidden layer and its activation.
    module : callable or torch.nn.Module, default=None
        A callable `(n_inputs, n_outputs) -> torch.nn.Module`, or a module (copied, and trained on
        from its weights), in place of the fully connected network; it puts out logits, or values.
        X may then have more than two dimensions, (n_samples, channels, ...).
    optimizer : {"adam", "adamw", "sgd", "nadam", "rmsprop", "adagrad"} or callable, default="adam"
        A name, or a `torch.optim` class; "sgd" has Nesterov's momentum of 0.9.
    lr : float, default=1e-3
        Learning rate.
    weight_decay : float, default=0.0
    entropy_weight : float, default=0.0
        Times the mean activation entropy (bits) of hidden neurons in a batch, added to the loss in
        training, not in validation: positive makes patterns simpler, negative spreads them.
        An epoch takes three to five times as long.
    numeric_embedding : {"spline", "piecewise", "periodic"} or callable, default=None
        Each feature as several numbers of its own, to learn its non-linear effects sooner: see
        :mod:`sknninterp.nn.embeddings`. A callable `(inputs, weight)` makes one for training data.
    input_penalty : float, default=0.0
        Group lasso on the weights of each feature: features that say little leave the network, see
        :class:`sknninterp.nn.input_penalty.InputPenalty`. With Adam between 0 and 1.
    batch_size : int, default=128
    max_epochs : int, default=100
    early_stopping : bool, default=False
        Stop when the loss on a held-out part has not improved for `patience` epochs, and keep the
        best network.
    validation_fraction : float, default=0.1
        Share of the samples held out for it, stratified for classifiers where that is possible.
    patience : int, default=10
    callbacks : list of skorch callbacks, default=None
        Copied for every fit; the copies are in `net_.callbacks_`.
    device : str or torch.device, default="auto"
        "auto" takes the GPU if there is one.
    dtype : {"float32", "float64"}, default=None
        None keeps the floating type of X; "float32" is faster, and what large tables want.
    warm_start : bool, default=False
        Let `fit` go on from the network fitted before, with today's `lr` and `batch_size`.
    verbose : int, default=0
        1 shows a progress bar with the losses.
    random_state : int, RandomState instance or None, default=None
        An int gives the same bits every time on the same machine.

    Attributes
    ----------
    n_outputs_ : int
    module_ : torch.nn.Module
        The fitted network.
    net_ : skorch.NeuralNet
        What trained it.
    history_ : DataFrame
        One row an epoch: `epoch`, `train_loss`, `valid_loss` (with a validation part), `dur` in
        seconds, and what callbacks record.
    n_iter_ : int
        Epochs trained.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has column names.
    selected_features_ : ndarray
        Names of the features that the network reads, or their numbers: all of them, but for
        `input_penalty`.

    See Also
    --------
    ANTRegressor : The same, made smaller while it is trained.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sknninterp import TorchMLPRegressor
    >>> X, y = make_regression(n_features=5, random_state=0)
    >>> network = TorchMLPRegressor(lr=0.01, random_state=0).fit(X, y / y.std())
    >>> network.score(X, y / y.std()) > 0.95
    True
    """

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        dropout=0.0,
        batch_norm=False,
        module=None,
        optimizer="adam",
        lr=1e-3,
        weight_decay=0.0,
        entropy_weight=0.0,
        numeric_embedding=None,
        input_penalty=0.0,
        batch_size=128,
        max_epochs=100,
        early_stopping=False,
        validation_fraction=0.1,
        patience=10,
        callbacks=None,
        device="auto",
        dtype=None,
        warm_start=False,
        verbose=0,
        random_state=None,
    ):
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            dropout=dropout,
            batch_norm=batch_norm,
            module=module,
            optimizer=optimizer,
            lr=lr,
            weight_decay=weight_decay,
            entropy_weight=entropy_weight,
            numeric_embedding=numeric_embedding,
            input_penalty=input_penalty,
            batch_size=batch_size,
            max_epochs=max_epochs,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            patience=patience,
            callbacks=callbacks,
            device=device,
            dtype=dtype,
            warm_start=warm_start,
            verbose=verbose,
            random_state=random_state,
        )
