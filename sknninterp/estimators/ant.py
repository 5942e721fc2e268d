"""Networks that are made smaller while they are trained: activation-based neuron tuning (ANT)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from sklearn.utils._param_validation import StrOptions

from sknninterp._typing import Seed
from sknninterp.callbacks import TUNING_CONSTRAINTS
from sknninterp.estimators._tuning_part import TuningPart
from sknninterp.estimators.mlp import TorchMLPClassifier, TorchMLPRegressor


class ANTClassifier(TuningPart, TorchMLPClassifier):
    r"""Classifier made smaller while it is trained: activation-based neuron tuning (ANT).

    Every `tuning_step` epochs the neurons of each target layer whose pre-activations are
    distributed least as their activation would have it are removed: rows and columns of the
    weights, batch-norm entries and the optimizer's state [1]_. The network that comes out is
    smaller, trains faster as it shrinks, and predicts faster.

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
        Each call of `partial_fit` counts as one.
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
    pruning_rate : float, default=0.5
        Share of each target layer's neurons that is gone by the end, in [0, 1). With 0 this is the
        plain network, bit for bit.
    tuning_step : int, default=1
        Epochs between tunings, the paper's k.
    n_tuned : int, default=None
        Neurons removed per tuning and layer, the paper's n; takes the place of `pruning_rate`.
    tuning_start, tuning_stop : float, default=0.0 and 0.8
        Share of `max_epochs` between which neurons are removed; the rest is recovery.
    target_layers : "all", int, str or a list of these, default="all"
        Hidden layers to tune, by index or name.
    criterion : str or callable, default="kl"
        What decides which neurons go: "kl", "magnitude", "apoz", "taylor", "selectivity",
        "influence" or "random". A callable takes a :class:`sknninterp.nn.criteria.TuningData` and
        returns one score per neuron for each of its layers, the highest to go first.
    target_distribution : str or object with a method `cdf`, default="auto"
        For "kl": "auto" takes what suits each layer's activation; an activation's name takes what
        suits that one, an error on a layer whose activation wants another; or a frozen
        `scipy.stats` distribution.
    n_bins : int, default=22
    bin_range : tuple of float, default=(-3, 3)
        Range of the pre-activations' histograms.
    histogram : {"common", "own-range"}, default="common"
        Bins common to all neurons, or, as in the authors' code, over each neuron's own range.
    tuning_data : {"auto", "validation", "train"}, default="auto"
        Whose activations are judged: those of the early-stopping part if there is one, else of a
        stratified `validation_fraction` held out for it, else ("auto" with fewer than 100 samples
        in it, or "train") of the training data.
    min_neurons : int, default=1
        Fewest neurons that a layer keeps.
    rewind : {"init"}, int or None, default=None
        Lottery-ticket rewinding after the last removal: to the first weights, or to those after
        an epoch.

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
    layer_sizes_ : list of int
        Width of each hidden layer that is left.
    removed_neurons_ : dict of str to list of int
        Per tuned layer, the original indices in the order of removal.
    tuning_history_ : DataFrame
        One row per removed neuron: `epoch`, `layer`, `neuron`, `score`.

    References
    ----------
    .. [1] Mohsen et al., *Weight-based Neural Network Interpretability using Activation Tuning and
       Personalized Products*, Algorithm 1.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknninterp import ANTClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = StandardScaler().fit_transform(X)
    >>> network = ANTClassifier((64, 32), pruning_rate=0.75, max_epochs=30, random_state=0)
    >>> network.fit(X, y).layer_sizes_
    [16, 8]
    >>> network.score(X, y) > 0.95
    True
    """

    _parameter_constraints: dict = {
        **TorchMLPClassifier._parameter_constraints,
        **TUNING_CONSTRAINTS,
        "tuning_data": [StrOptions({"auto", "validation", "train"})],
    }

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
        pruning_rate: float = 0.5,
        tuning_step: int = 1,
        n_tuned: int | None = None,
        tuning_start: float = 0.0,
        tuning_stop: float = 0.8,
        target_layers: str | int | Sequence[str | int] = "all",
        criterion: str | Callable = "kl",
        target_distribution: Any = "auto",
        n_bins: int = 22,
        bin_range: tuple[float, float] = (-3, 3),
        histogram: str = "common",
        tuning_data: str = "auto",
        min_neurons: int = 1,
        rewind: str | int | None = None,
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
            class_weight=class_weight,
            callbacks=callbacks,
            device=device,
            dtype=dtype,
            warm_start=warm_start,
            checkpoint=checkpoint,
            verbose=verbose,
            random_state=random_state,
        )
        self.pruning_rate = pruning_rate
        self.tuning_step = tuning_step
        self.n_tuned = n_tuned
        self.tuning_start = tuning_start
        self.tuning_stop = tuning_stop
        self.target_layers = target_layers
        self.criterion = criterion
        self.target_distribution = target_distribution
        self.n_bins = n_bins
        self.bin_range = bin_range
        self.histogram = histogram
        self.tuning_data = tuning_data
        self.min_neurons = min_neurons
        self.rewind = rewind


class ANTRegressor(TuningPart, TorchMLPRegressor):
    r"""Regressor made smaller while it is trained: activation-based neuron tuning (ANT).

    Every `tuning_step` epochs the neurons of each target layer whose pre-activations are
    distributed least as their activation would have it are removed: rows and columns of the
    weights, batch-norm entries and the optimizer's state [1]_. The network that comes out is
    smaller, trains faster as it shrinks, and predicts faster.

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
        Each call of `partial_fit` counts as one.
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
    pruning_rate : float, default=0.5
        Share of each target layer's neurons that is gone by the end, in [0, 1). With 0 this is the
        plain network, bit for bit.
    tuning_step : int, default=1
        Epochs between tunings, the paper's k.
    n_tuned : int, default=None
        Neurons removed per tuning and layer, the paper's n; takes the place of `pruning_rate`.
    tuning_start, tuning_stop : float, default=0.0 and 0.8
        Share of `max_epochs` between which neurons are removed; the rest is recovery.
    target_layers : "all", int, str or a list of these, default="all"
        Hidden layers to tune, by index or name.
    criterion : str or callable, default="kl"
        What decides which neurons go: "kl", "magnitude", "apoz", "taylor", "selectivity",
        "influence" or "random". A callable takes a :class:`sknninterp.nn.criteria.TuningData` and
        returns one score per neuron for each of its layers, the highest to go first.
    target_distribution : str or object with a method `cdf`, default="auto"
        For "kl": "auto" takes what suits each layer's activation; an activation's name takes what
        suits that one, an error on a layer whose activation wants another; or a frozen
        `scipy.stats` distribution.
    n_bins : int, default=22
    bin_range : tuple of float, default=(-3, 3)
        Range of the pre-activations' histograms.
    histogram : {"common", "own-range"}, default="common"
        Bins common to all neurons, or, as in the authors' code, over each neuron's own range.
    tuning_data : {"auto", "validation", "train"}, default="auto"
        Whose activations are judged: those of the early-stopping part if there is one, else of a
        stratified `validation_fraction` held out for it, else ("auto" with fewer than 100 samples
        in it, or "train") of the training data.
    min_neurons : int, default=1
        Fewest neurons that a layer keeps.
    rewind : {"init"}, int or None, default=None
        Lottery-ticket rewinding after the last removal: to the first weights, or to those after
        an epoch.

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
    layer_sizes_ : list of int
        Width of each hidden layer that is left.
    removed_neurons_ : dict of str to list of int
        Per tuned layer, the original indices in the order of removal.
    tuning_history_ : DataFrame
        One row per removed neuron: `epoch`, `layer`, `neuron`, `score`.

    References
    ----------
    .. [1] Mohsen et al., *Weight-based Neural Network Interpretability using Activation Tuning and
       Personalized Products*, Algorithm 1.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sknninterp import ANTRegressor
    >>> X, y = make_regression(n_features=5, random_state=0)
    >>> network = ANTRegressor((64,), pruning_rate=0.5, lr=0.01, random_state=0)
    >>> network.fit(X, y / y.std()).layer_sizes_
    [32]
    """

    _parameter_constraints: dict = {
        **TorchMLPRegressor._parameter_constraints,
        **TUNING_CONSTRAINTS,
        "tuning_data": [StrOptions({"auto", "validation", "train"})],
    }

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
        pruning_rate: float = 0.5,
        tuning_step: int = 1,
        n_tuned: int | None = None,
        tuning_start: float = 0.0,
        tuning_stop: float = 0.8,
        target_layers: str | int | Sequence[str | int] = "all",
        criterion: str | Callable = "kl",
        target_distribution: Any = "auto",
        n_bins: int = 22,
        bin_range: tuple[float, float] = (-3, 3),
        histogram: str = "common",
        tuning_data: str = "auto",
        min_neurons: int = 1,
        rewind: str | int | None = None,
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
        self.pruning_rate = pruning_rate
        self.tuning_step = tuning_step
        self.n_tuned = n_tuned
        self.tuning_start = tuning_start
        self.tuning_stop = tuning_stop
        self.target_layers = target_layers
        self.criterion = criterion
        self.target_distribution = target_distribution
        self.n_bins = n_bins
        self.bin_range = bin_range
        self.histogram = histogram
        self.tuning_data = tuning_data
        self.min_neurons = min_neurons
        self.rewind = rewind
