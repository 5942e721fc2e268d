"""The plain network: the baseline of everything else here."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import torch

from sknninterp._typing import Seed
from sknninterp.estimators._base import BaseTorchEstimator
from sknninterp.estimators._parts import ClassifierPart, RegressorPart


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
    optimizer : str or callable, default="adam"
        "adam", "adamw", "adam_mini" (:class:`~sknninterp.nn.optim.AdamMini`: for rankings of many
        more columns than samples), "sgd" (with Nesterov's momentum of 0.9), "nadam", "rmsprop",
        "adagrad", or a `torch.optim` class.
    lr : float, default=1e-3
        Learning rate.
    weight_decay : float, default=0.0
    entropy_weight : float, default=0.0
        Times the mean activation entropy (bits) of hidden neurons in a batch, added to the loss in
        training, not in validation: positive makes patterns simpler, negative spreads them.
        An epoch takes three to five times as long.
    numeric_embedding : {"spline", "piecewise", "periodic"} or callable, default=None
        Each feature, and several numbers of its own beside it, to learn its non-linear effects
        sooner: see :mod:`sknninterp.nn.embeddings`. A callable `(inputs, weight)` makes one for
        training data.
    input_penalty : float, default=0.0
        Group lasso on the weights of each feature: features that say little leave the network, see
        :class:`sknninterp.nn.input_penalty.InputPenalty`. With Adam between 0 and 1. It rises in
        the middle third of the epochs; with `early_stopping` and in `partial_fit` it is always
        whole.
    n_networks : int, default=1
        Networks to train, each from a seed of its own. Predictions are averaged, explanations are
        means with their spread. Plain networks are trained at once.
    bootstrap : bool, default=False
        Train each of several networks on samples drawn with replacement, class by class.
    batch_size : int, default=128
    max_epochs : int, default=100
    early_stopping : bool, default=False
        Stop when the loss on a held-out part has not improved for `patience` epochs, and keep the
        best network.
    validation_fraction : float, default=0.1
        Share of the samples held out for it, stratified for classifiers where that is possible.
    patience : int, default=10
    refit : bool, default=False
        After early stopping train anew on all samples, for as many epochs as the best network had;
        `history_` is of the second training.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class in the loss.
    callbacks : list of skorch callbacks, default=None
        Copied for every fit; the copies are in `net_.callbacks_`.
    device : str or torch.device, default="auto"
        "auto" takes the GPU if there is one.
    dtype : {"float32", "float64", "mixed"}, default=None
        None keeps the floating type of X; "float32" is faster, and what large tables want. "mixed"
        is "float32" with matrix products in bfloat16, for large networks on a GPU.
    warm_start : bool, default=False
        Let `fit` go on from the network fitted before, with today's `lr` and `batch_size`.
    checkpoint : str or path-like, default=None
        Folder, of this fit alone, in which `fit` keeps how far it has come: killed, and called
        again with the same parameters and data, it goes on, and ends with the same network.
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
    networks_ : list of estimators
        With `n_networks` above 1 each one. `module_`, `net_` and what is told of a single network
        are then those of the first.
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
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        dropout: float = 0.0,
        batch_norm: bool = False,
        module: Callable | None = None,
        optimizer: str | Callable = "adam",
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        entropy_weight: float = 0.0,
        numeric_embedding: str | Callable | None = None,
        input_penalty: float = 0.0,
        n_networks: int = 1,
        bootstrap: bool = False,
        batch_size: int = 128,
        max_epochs: int = 100,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        refit: bool = False,
        class_weight: dict | str | None = None,
        callbacks: list | None = None,
        device: str | torch.device = "auto",
        dtype: str | None = None,
        warm_start: bool = False,
        checkpoint: str | os.PathLike | None = None,
        verbose: int = 0,
        random_state: Seed = None,
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
            n_networks=n_networks,
            bootstrap=bootstrap,
            batch_size=batch_size,
            max_epochs=max_epochs,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            patience=patience,
            refit=refit,
            callbacks=callbacks,
            device=device,
            dtype=dtype,
            warm_start=warm_start,
            checkpoint=checkpoint,
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
    optimizer : str or callable, default="adam"
        "adam", "adamw", "adam_mini" (:class:`~sknninterp.nn.optim.AdamMini`: for rankings of many
        more columns than samples), "sgd" (with Nesterov's momentum of 0.9), "nadam", "rmsprop",
        "adagrad", or a `torch.optim` class.
    lr : float, default=1e-3
        Learning rate.
    weight_decay : float, default=0.0
    entropy_weight : float, default=0.0
        Times the mean activation entropy (bits) of hidden neurons in a batch, added to the loss in
        training, not in validation: positive makes patterns simpler, negative spreads them.
        An epoch takes three to five times as long.
    numeric_embedding : {"spline", "piecewise", "periodic"} or callable, default=None
        Each feature, and several numbers of its own beside it, to learn its non-linear effects
        sooner: see :mod:`sknninterp.nn.embeddings`. A callable `(inputs, weight)` makes one for
        training data.
    input_penalty : float, default=0.0
        Group lasso on the weights of each feature: features that say little leave the network, see
        :class:`sknninterp.nn.input_penalty.InputPenalty`. With Adam between 0 and 1. It rises in
        the middle third of the epochs; with `early_stopping` and in `partial_fit` it is always
        whole.
    n_networks : int, default=1
        Networks to train, each from a seed of its own. Predictions are averaged, explanations are
        means with their spread. Plain networks are trained at once.
    bootstrap : bool, default=False
        Train each of several networks on samples drawn with replacement, class by class.
    batch_size : int, default=128
    max_epochs : int, default=100
    early_stopping : bool, default=False
        Stop when the loss on a held-out part has not improved for `patience` epochs, and keep the
        best network.
    validation_fraction : float, default=0.1
        Share of the samples held out for it, stratified for classifiers where that is possible.
    patience : int, default=10
    refit : bool, default=False
        After early stopping train anew on all samples, for as many epochs as the best network had;
        `history_` is of the second training.
    callbacks : list of skorch callbacks, default=None
        Copied for every fit; the copies are in `net_.callbacks_`.
    device : str or torch.device, default="auto"
        "auto" takes the GPU if there is one.
    dtype : {"float32", "float64", "mixed"}, default=None
        None keeps the floating type of X; "float32" is faster, and what large tables want. "mixed"
        is "float32" with matrix products in bfloat16, for large networks on a GPU.
    warm_start : bool, default=False
        Let `fit` go on from the network fitted before, with today's `lr` and `batch_size`.
    checkpoint : str or path-like, default=None
        Folder, of this fit alone, in which `fit` keeps how far it has come: killed, and called
        again with the same parameters and data, it goes on, and ends with the same network.
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
    networks_ : list of estimators
        With `n_networks` above 1 each one. `module_`, `net_` and what is told of a single network
        are then those of the first.
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
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        dropout: float = 0.0,
        batch_norm: bool = False,
        module: Callable | None = None,
        optimizer: str | Callable = "adam",
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        entropy_weight: float = 0.0,
        numeric_embedding: str | Callable | None = None,
        input_penalty: float = 0.0,
        n_networks: int = 1,
        bootstrap: bool = False,
        batch_size: int = 128,
        max_epochs: int = 100,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        refit: bool = False,
        callbacks: list | None = None,
        device: str | torch.device = "auto",
        dtype: str | None = None,
        warm_start: bool = False,
        checkpoint: str | os.PathLike | None = None,
        verbose: int = 0,
        random_state: Seed = None,
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
            n_networks=n_networks,
            bootstrap=bootstrap,
            batch_size=batch_size,
            max_epochs=max_epochs,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            patience=patience,
            refit=refit,
            callbacks=callbacks,
            device=device,
            dtype=dtype,
            warm_start=warm_start,
            checkpoint=checkpoint,
            verbose=verbose,
            random_state=random_state,
        )
