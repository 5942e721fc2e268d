"""What all estimators share: validation, seeding, device, the skorch net, fit and predict."""

from __future__ import annotations

import copy
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, _fit_context
from sklearn.model_selection import train_test_split
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted
from skorch.callbacks import Callback
from skorch.utils import noop
from torch import Tensor, nn

from sknninterp._typing import MatrixLike, Seed
from sknninterp.callbacks import EpochBar, LateEarlyStopping
from sknninterp.estimators._checkpoint import NO_CHECKPOINT, checkpointed
from sknninterp.estimators._device import draw_seed, resolve_device, seeded, threads_for
from sknninterp.estimators._interrupts import deferred_interrupts, interrupted, report_interrupt
from sknninterp.estimators._module import make_module
from sknninterp.estimators._net import TensorData, TensorNet, TrainingData, tensors
from sknninterp.estimators._training_state import TrainingWatch
from sknninterp.estimators._validation import for_torch, validated
from sknninterp.nn.embeddings import EMBEDDINGS
from sknninterp.nn.entropy_penalty import EntropyPenalty
from sknninterp.nn.graph import evaluation
from sknninterp.nn.input_penalty import InputPenalty
from sknninterp.nn.mlp import ACTIVATIONS
from sknninterp.nn.optim import AdamMini, FusedAdam

# "sgd" has Nesterov's momentum, as scikit-learn's MLP has by default.
OPTIMIZERS: dict[str, tuple[Callable, dict]] = {
    "adam": (FusedAdam, {}),
    "adamw": (torch.optim.AdamW, {"fused": True}),
    "adam_mini": (AdamMini, {}),
    "sgd": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "fused": True}),
    "nadam": (torch.optim.NAdam, {}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "adagrad": (torch.optim.Adagrad, {}),
}

_PREDICTION_BYTES = 64 * 2**20

# What skorch notes down for itself.
_NO_HISTORY = {
    "batches",
    "event_cp",
    *(f"{part}_{what}" for part in ("train", "valid") for what in ("batch_count", "loss_best")),
}


class BaseTorchEstimator(BaseEstimator, ABC):
    """Base of the estimators that hold a skorch net."""

    _checkpoint = NO_CHECKPOINT  # another one while `fit` is under way

    _parameter_constraints: dict = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "batch_norm": ["boolean"],
        "module": [callable, None],
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "entropy_weight": [Interval(Real, None, None, closed="neither")],
        "numeric_embedding": [StrOptions(set(EMBEDDINGS)), callable, None],
        "input_penalty": [Interval(Real, 0, None, closed="left")],
        "n_networks": [Interval(Integral, 1, None, closed="left")],
        "bootstrap": ["boolean"],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "refit": ["boolean"],
        "callbacks": [list, None],
        "device": [str, torch.device],
        "dtype": [StrOptions({"float32", "float64", "mixed"}), None],
        "warm_start": ["boolean"],
        "checkpoint": [str, os.PathLike, None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int],
        activation: str,
        dropout: float,
        batch_norm: bool,
        module: Callable | None,
        optimizer: str | Callable,
        lr: float,
        weight_decay: float,
        entropy_weight: float,
        numeric_embedding: str | Callable | None,
        input_penalty: float,
        n_networks: int,
        bootstrap: bool,
        batch_size: int,
        max_epochs: int,
        early_stopping: bool,
        validation_fraction: float,
        patience: int,
        refit: bool,
        callbacks: list | None,
        device: str | torch.device,
        dtype: str | None,
        warm_start: bool,
        checkpoint: str | os.PathLike | None,
        verbose: int,
        random_state: Seed,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.module = module
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.entropy_weight = entropy_weight
        self.numeric_embedding = numeric_embedding
        self.input_penalty = input_penalty
        self.n_networks = n_networks
        self.bootstrap = bootstrap
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.refit = refit
        self.callbacks = callbacks
        self.device = device
        self.dtype = dtype
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.verbose = verbose
        self.random_state = random_state

    # -- what a classifier and a regressor do differently ----------------------------------------

    @abstractmethod
    def _encode_target(self, y, reset: bool, classes=None) -> np.ndarray:
        """Targets as the loss takes them; learns classes or the number of outputs on reset."""

    @property
    @abstractmethod
    def _n_outputs(self) -> int:
        """Number of outputs of the network."""

    @property
    @abstractmethod
    def _net_class(self) -> type[TensorNet]:
        """Class of the net, with its loss."""

    def _class_weights(self, target: np.ndarray) -> np.ndarray | None:
        """Weight of each sample by its class."""
        return None

    def _stratify(self, target: np.ndarray) -> np.ndarray | None:
        """Labels to stratify a split by."""
        return None

    # -- fitting ---------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the network.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Or (n_samples, channels, ...) with `module`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Labels, or values for a regressor (which alone takes several outputs).
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the data hold NaN, infinite or non-numeric values, if a classifier sees one class
            only, if training diverges, or if `checkpoint` holds another fit.
        OSError
            If `checkpoint` cannot be written; what was kept before is still there.

        Warns
        -----
        ConvergenceWarning
            If Ctrl-C has ended the training, after the epoch that was under way. In a search it is
            a KeyboardInterrupt.
        """
        if self.n_networks > 1:
            return self._fit_many(X, y, sample_weight)
        if hasattr(self, "networks_"):  # of a fit with other parameters
            del self.networks_
        again = self.warm_start and hasattr(self, "net_")
        return self._fit(X, y, sample_weight, reset=not again, epochs=self.max_epochs)

    def _fit_many(self, X, y, sample_weight):
        from sknninterp.estimators._many_networks import fit_networks

        X, y = self._validate(X, y, reset=True)
        data = {"X": X, "y": self._encode_target(y, reset=True), "sample_weight": sample_weight}
        with deferred_interrupts(), checkpointed(self, data):
            self.networks_ = fit_networks(self, X, y, sample_weight)
            self.net_, self.n_iter_ = self.networks_[0].net_, self.networks_[0].n_iter_
            of_all = f"with {len(self.networks_)} of {self.n_networks} networks"
            report_interrupt(f"{of_all}, the last after epoch {self.networks_[-1].n_iter_}")
        return self

    def _fit_one(self, X, y, sample_weight, of):
        """Fit as one of several networks of the estimator `of`."""
        return self.fit(X, y, sample_weight=sample_weight)

    def _partial_fit(self, X, y, sample_weight, classes=None):
        first = not hasattr(self, "net_")
        return self._fit(X, y, sample_weight, first, epochs=1, classes=classes, partial=True)

    def _fit(self, X, y, sample_weight, reset, epochs, classes=None, partial=False):
        X, y = self._validate(X, y, reset)
        target = self._encode_target(y, reset, classes)
        X, target, weight = self._weighted(X, target, sample_weight, partial)
        kept = {"X": X, "y": target, "sample_weight": weight}
        with deferred_interrupts() as outermost, checkpointed(self, kept, partial):
            self._fit_on(X, target, weight, reset, epochs, partial)
            if outermost and not partial:
                report_interrupt(f"after epoch {self.n_iter_}")
        return self

    def _fit_on(self, X, target, weight, reset, epochs, partial):
        if reset:
            self._random_state = self._checkpoint.random_state(self.random_state)
        with self._training_context(X):
            device = resolve_device(self.device) if reset else torch.device(self.net_.device)
            data = tensors(X, target, weight, device)
            parts = TrainingData(data) if partial else self._split(data, target)
            net = self._build(parts, device) if reset else self._resumed()
            best = self._train(net, parts, epochs, partial)
            if self.refit and best and reset and not interrupted():
                net = self._build(TrainingData(data), device, "refit-")
                self._train(net, TrainingData(data), best, partial, "refit-")
        self.net_ = net
        self.n_iter_ = len(net.history)

    def _validate(self, X, y, reset):
        if reset:
            dtypes: dict = {None: (np.float64, np.float32), "mixed": np.float32}
            dtype = dtypes.get(self.dtype) or np.dtype(self.dtype)
        else:
            dtype = self._network_dtype()
        return self._checked(X, y, dtype=dtype, reset=reset, multi_output=True)

    def _checked(self, X, y="no_validation", *, reset, **options):
        """X, or X and y, as arrays that torch takes."""
        options["allow_nd"] = self.module is not None
        checked = validated(self, X, y, reset=reset, **options)
        X = for_torch(checked if isinstance(y, str) else checked[0])
        if not reset and X.shape[1:] != self.net_.input_shape_:
            raise ValueError(
                f"X has samples of shape {X.shape[1:]}, but {type(self).__name__} is expecting"
                f" {self.net_.input_shape_}."
            )
        return X if isinstance(y, str) else (X, checked[1])

    def _weighted(self, X, target, sample_weight, partial):
        """Samples, targets and weights, of mean 1 (as given, in partial_fit), or None for all 1.

        Samples of weight zero are left out: in a held-out part they would say nothing.
        """
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, X, dtype=X.dtype, ensure_non_negative=True
            )
            kept = sample_weight > 0
            if not kept.any():
                raise ValueError("sample_weight: all weights are zero.")
            if not kept.all():
                X, target, sample_weight = X[kept], target[kept], sample_weight[kept]
        weight = self._class_weights(target)
        if sample_weight is not None:
            weight = sample_weight if weight is None else weight * sample_weight
        if weight is not None and not partial:
            weight = weight / weight.mean()
        return X, target, weight

    @contextmanager
    def _training_context(self, X):
        """Seeds torch, and leaves its random state and number of threads as they were."""
        multiplications = self._multiplications(X.shape[1]) if self.module is None else math.inf
        with seeded(self._random_state), threads_for(multiplications):
            yield

    def _multiplications(self, n_inputs: int) -> int:
        sizes = [n_inputs, *self._hidden_sizes(), self._n_outputs]
        return self.batch_size * sum(a * b for a, b in zip(sizes, sizes[1:], strict=False))

    def _hidden_sizes(self) -> list[int]:
        given: Any = self.hidden_layer_sizes
        sizes = [given] if isinstance(given, Integral) else list(given)
        if any(not isinstance(s, Integral) or s < 1 for s in sizes):
            raise ValueError(f"hidden_layer_sizes must hold integers of at least 1, got {sizes}.")
        return [int(s) for s in sizes]

    def _split(self, data: TensorData, target: np.ndarray) -> TrainingData:
        """Training and validation part."""
        if not self._wants_validation(len(data)):
            return TrainingData(data)
        options = {
            "test_size": self.validation_fraction,
            "random_state": draw_seed(self._random_state),
        }
        for labels in (self._stratify(target), None):
            with suppress(ValueError):  # too few of a class to stratify
                train, valid = train_test_split(np.arange(len(data)), stratify=labels, **options)
                return TrainingData(data.select(train), data.select(valid))
        raise ValueError(
            f"validation_fraction={self.validation_fraction} of n_samples = {len(data)} leaves"
            " nothing to train on."
        )

    def _wants_validation(self, n_samples: int) -> bool:
        return self.early_stopping

    def _build(self, parts: TrainingData, device, stage: str = "") -> TensorNet:
        """An untrained net."""
        make_optimizer, options = self._optimizer()
        net = self._net_class(
            make_module(self, parts.train),
            criterion=self._net_class.loss,
            optimizer=make_optimizer,
            **{f"optimizer__{name}": value for name, value in options.items()},
            lr=self.lr,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            train_split=None,
            callbacks=[*self._own_callbacks(), *self._user_callbacks()],
            device=device,
            verbose=0,
        )
        net.initialize()
        net.input_shape_ = tuple(parts.train.inputs.shape[1:])
        net.n_outputs_ = self._n_outputs
        net.mixed_precision = self.dtype == "mixed"
        net.penalty, net.input_penalty = self._penalty(net), self._input_penalty(net)
        return net

    def _resumed(self) -> TensorNet:
        """The net fitted before, with the settings of today."""
        net = self.net_
        if (net.lr, net.batch_size) != (self.lr, self.batch_size):
            net.set_params(lr=self.lr, batch_size=self.batch_size)
        if self.entropy_weight != (net.penalty.weight if net.penalty else 0):
            net.penalty = self._penalty(net)
        net.input_penalty = self._input_penalty(net)
        return net

    def _penalty(self, net: TensorNet) -> EntropyPenalty | None:
        """What is added to the loss in training; an error if the network has no such thing."""
        if self.entropy_weight == 0:
            return None
        penalty = EntropyPenalty(self.entropy_weight)
        try:
            penalty.read(net.module_, net.input_shape_)
        except ValueError as error:
            why = str(error).removeprefix("layers: ")
            raise ValueError(
                f"entropy_weight={self.entropy_weight} cannot be used: {why}"
            ) from error
        return penalty

    def _input_penalty(self, net: TensorNet) -> InputPenalty | None:
        """What pulls features' weights to 0; an error if they are not read one by one."""
        if self.input_penalty == 0:
            return None
        try:
            return InputPenalty(self.input_penalty, net.module_, net.input_shape_)
        except ValueError as error:
            raise ValueError(
                f"input_penalty={self.input_penalty} cannot be used: {error}."
            ) from error

    def _train(self, net, parts: TrainingData, epochs: int, partial: bool, stage: str = "") -> int:
        """Train with the callbacks that pass with this fit, and see that it went well.

        Returns the epoch at which early stopping would have it stop; 0 if it has no say.
        """
        lasting, passing, stopping = net.callbacks_, [], None
        watch = TrainingWatch(self._checkpoint.part(f"{stage}training"))
        if self.verbose and not partial:
            passing.append(("epoch_bar", EpochBar(epochs)))
        if self.early_stopping and parts.valid is not None:
            stopping = LateEarlyStopping(patience=self.patience, load_best=True, sink=noop)
            # Nearly the last: to stop early ends the epoch for those behind.
            passing.append(("early_stopping", stopping))
        net.callbacks_ = [*lasting, *passing, ("watch", watch)]
        # Nobody knows how many epochs there will be of partial fits, and with early stopping.
        known = not partial and stopping is None
        net.penalty_rise_ = (len(net.history), epochs) if known else None
        try:
            net.partial_fit(parts, epochs=watch.epochs_left(epochs))
            watch.end(net)
        except ValueError as error:
            if "more than 1 value per channel" in str(error):
                raise ValueError(
                    "Batch norm needs two samples a batch to train on, got n_samples ="
                    f" {len(parts.train)} with batch_size={self.batch_size}."
                ) from error
            raise
        finally:
            net.callbacks_ = lasting
        net.check_outputs(parts.train)
        return 0 if stopping is None else stopping.best_epoch_

    def _optimizer(self) -> tuple[Callable, dict]:
        """What makes the optimizer, and its options but for the learning rate."""
        given = self.optimizer
        make, options = OPTIMIZERS[given] if isinstance(given, str) else (given, {})
        if self.weight_decay:
            options = {**options, "weight_decay": self.weight_decay}
        return make, options

    def _own_callbacks(self) -> list:
        """Callbacks that the estimator needs, before the user's."""
        return []

    def _user_callbacks(self) -> list:
        """Copies of the user's callbacks: they have state, and parameters stay as they are."""
        for given in self.callbacks or []:
            callback = given[1] if isinstance(given, tuple) and len(given) == 2 else given
            kind = callback if isinstance(callback, type) else type(callback)
            if not issubclass(kind, Callback):
                raise TypeError(f"callbacks must hold skorch callbacks, got {given!r}.")
        return copy.deepcopy(self.callbacks) or []

    # -- prediction ------------------------------------------------------------------------------

    @property
    def module_(self) -> nn.Module:
        """The fitted network."""
        return self.net_.module_

    @property
    def history_(self) -> pd.DataFrame:
        """One row an epoch, without the batches."""
        rows = [{k: v for k, v in row.items() if k not in _NO_HISTORY} for row in self.net_.history]
        return pd.DataFrame(rows)

    @property
    def selected_features_(self) -> np.ndarray:
        """Features that the network reads: their names, or numbers where X had none."""
        modules = [one.module_ for one in getattr(self, "networks_", [self])]
        norms = [InputPenalty(0.0, one, self.net_.input_shape_).norms(one) for one in modules]
        read = np.any([(of_one > 0).cpu().numpy() for of_one in norms], axis=0)
        names = getattr(self, "feature_names_in_", np.arange(len(read)))
        return names[read]

    def _network_input(self, X) -> np.ndarray:
        """X checked against what was fitted, in the network's dtype."""
        check_is_fitted(self, "net_")
        return self._checked(X, dtype=self._network_dtype(), reset=False)

    def _network_dtype(self) -> np.dtype:
        return torch.empty(0, dtype=next(self.module_.parameters()).dtype).numpy().dtype

    def _outputs(self, X) -> Tensor:
        """Outputs of the network, or of several together, (n_samples, n_outputs)."""
        X = self._network_input(X)
        if not hasattr(self, "networks_"):
            return self._run(X)
        return self._average(torch.stack([one._run(X) for one in self.networks_]))

    def _run(self, X: np.ndarray) -> Tensor:
        """Outputs of the network, batch by batch."""
        n_rows = max(1, _PREDICTION_BYTES // max(1, X[:1].nbytes * 8))
        device = self.net_.device
        with evaluation(self.module_), torch.inference_mode(), self.net_.precision():
            parts = [
                self.module_(torch.from_numpy(X[i : i + n_rows]).to(device)).cpu()
                for i in range(0, len(X), n_rows)
            ]
        return torch.cat(parts).to(next(self.module_.parameters()).dtype)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.three_d_array = self.module is not None
        return tags
