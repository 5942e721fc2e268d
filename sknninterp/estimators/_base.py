"""What all estimators share: validation, seeding, device, the skorch net, fit and predict."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from contextlib import contextmanager
from functools import partial
from numbers import Integral, Real

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, _fit_context
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from torch import Tensor, nn

from sknninterp.callbacks import EpochBar, LateEarlyStopping
from sknninterp.estimators._net import TensorData, TensorNet, TrainingData
from sknninterp.nn.graph import evaluation
from sknninterp.nn.mlp import ACTIVATIONS, MLP
from sknninterp.nn.optim import FusedAdam

# "sgd" has Nesterov's momentum, as scikit-learn's MLP has by default.
OPTIMIZERS = {
    "adam": (FusedAdam, {}),
    "adamw": (torch.optim.AdamW, {"fused": True}),
    "sgd": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "fused": True}),
    "nadam": (torch.optim.NAdam, {}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "adagrad": (torch.optim.Adagrad, {}),
}

# Below this many multiplications a batch, a second thread costs more than it brings.
_ONE_THREAD_BELOW = 10_000_000
_PREDICTION_BYTES = 64 * 2**20


class BaseTorchEstimator(BaseEstimator, ABC):
    """Base of the estimators that hold a skorch net."""

    _parameter_constraints: dict = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "batch_norm": ["boolean"],
        "module": [callable, None],
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "callbacks": [list, None],
        "device": [str, torch.device],
        "dtype": [StrOptions({"float32", "float64"}), None],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        hidden_layer_sizes,
        activation,
        dropout,
        batch_norm,
        module,
        optimizer,
        lr,
        weight_decay,
        batch_size,
        max_epochs,
        early_stopping,
        validation_fraction,
        patience,
        callbacks,
        device,
        dtype,
        warm_start,
        verbose,
        random_state,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.module = module
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.callbacks = callbacks
        self.device = device
        self.dtype = dtype
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    # -- what a classifier and a regressor do differently ----------------------------------------

    @abstractmethod
    def _encode_target(self, y, reset: bool, classes=None) -> np.ndarray:
        """Targets as the loss takes them; learns classes or the number of outputs on reset."""

    @property
    @abstractmethod
    def _criterion(self) -> type:
        """Class of the loss `(output, target, reduction="mean")`."""

    @property
    @abstractmethod
    def _n_outputs(self) -> int:
        """Number of outputs of the network."""

    def _class_weights(self, target: np.ndarray) -> np.ndarray | None:
        """Weight of each sample by its class."""
        return None

    def _stratify(self, target: np.ndarray) -> np.ndarray | None:
        """Labels to stratify a split by."""
        return None

    # -- fitting ---------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
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
            only, or if training diverges.
        """
        again = self.warm_start and hasattr(self, "net_")
        return self._fit(X, y, sample_weight, reset=not again, epochs=self.max_epochs)

    def _partial_fit(self, X, y, sample_weight, classes=None):
        if self.early_stopping:
            raise ValueError("partial_fit does not take early_stopping=True: it has no epochs.")
        first = not hasattr(self, "net_")
        return self._fit(X, y, sample_weight, first, epochs=1, classes=classes, partial=True)

    def _fit(self, X, y, sample_weight, reset, epochs, classes=None, partial=False):
        X, y = self._validate(X, y, reset)
        target = self._encode_target(y, reset, classes)
        weight = self._weights(X, target, sample_weight, partial)
        if reset:
            self._random_state = check_random_state(self.random_state)
        with self._training_context(X):
            device = self._resolve_device()
            data = TensorData(
                torch.from_numpy(X).to(device),
                torch.from_numpy(target).to(device),
                None if weight is None else torch.from_numpy(weight.astype(X.dtype)).to(device),
            )
            parts = TrainingData(data) if partial else self._split(data, target)
            net = self._build(parts, device) if reset else self.net_
            net.callbacks_ = self._with_progress(net.callbacks_, epochs, partial)
            net.partial_fit(parts, epochs=epochs)
        net.callbacks_ = [(name, c) for name, c in net.callbacks_ if name != "epoch_bar"]
        self.net_ = net
        self.n_iter_ = len(net.history)
        self.history_ = _history_frame(net.history)
        return self

    def _validate(self, X, y, reset):
        dtype = np.dtype(self.dtype) if self.dtype else (np.float64, np.float32)
        X, y = self._checked(
            X, y, dtype=dtype, reset=reset, multi_output=True, ensure_min_samples=1
        )
        return X, y

    def _checked(self, X, y="no_validation", **options):
        """scikit-learn's validation, with an error that names the columns at fault."""
        try:
            checked = validate_data(
                self,
                X,
                y,
                accept_sparse="csr",
                allow_nd=self.module is not None,
                **options,
            )
        except ValueError as error:
            named = _columns_at_fault(X, str(error))
            if named:
                raise ValueError(f"{error}\n{named}") from error
            raise
        X = checked if isinstance(y, str) else checked[0]
        X = X.toarray() if sparse.issparse(X) else X
        # torch takes neither negative strides nor read-only memory; copies only if it must.
        X = np.require(X, requirements=["C", "W"])
        return X if isinstance(y, str) else (X, checked[1])

    def _weights(self, X, target, sample_weight, partial) -> np.ndarray | None:
        """Weight of each sample with mean 1 (as given, in partial_fit), or None if all are 1."""
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, X, dtype=X.dtype, ensure_non_negative=True
            )
            if not sample_weight.any():
                raise ValueError("sample_weight: all weights are zero.")
        by_class = self._class_weights(target)
        if by_class is not None:
            sample_weight = by_class if sample_weight is None else by_class * sample_weight
        if sample_weight is None or partial:
            return sample_weight
        return sample_weight / sample_weight.mean()

    @contextmanager
    def _training_context(self, X):
        """Seeds torch, and leaves its random state and number of threads as they were."""
        threads = torch.get_num_threads()
        cuda = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(self._random_state.randint(np.iinfo(np.int32).max))
            try:
                if self.module is None and self._multiplications(X.shape[1]) < _ONE_THREAD_BELOW:
                    torch.set_num_threads(1)
                yield
            finally:
                torch.set_num_threads(threads)

    def _multiplications(self, n_inputs: int) -> int:
        sizes = [n_inputs, *self._hidden_sizes(), self._n_outputs]
        return self.batch_size * sum(a * b for a, b in zip(sizes, sizes[1:], strict=False))

    def _hidden_sizes(self) -> list[int]:
        sizes = self.hidden_layer_sizes
        sizes = [sizes] if isinstance(sizes, Integral) else list(sizes)
        if any(not isinstance(s, Integral) or s < 1 for s in sizes):
            raise ValueError(f"hidden_layer_sizes must hold integers of at least 1, got {sizes}.")
        return [int(s) for s in sizes]

    def _resolve_device(self) -> torch.device:
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)

    def _split(self, data: TensorData, target: np.ndarray) -> TrainingData:
        """Training and validation part."""
        if not self._wants_validation(len(data)):
            return TrainingData(data)
        split = partial(
            train_test_split,
            np.arange(len(data)),
            test_size=self.validation_fraction,
            random_state=self._random_state.randint(np.iinfo(np.int32).max),
        )
        try:
            train, valid = split(stratify=self._stratify(target))
        except ValueError:  # too few of a class
            train, valid = split()
        return TrainingData(data.select(train), data.select(valid))

    def _wants_validation(self, n_samples: int) -> bool:
        return self.early_stopping

    def _build(self, parts: TrainingData, device) -> TensorNet:
        """An untrained net."""
        net = TensorNet(
            self._make_module(parts.train.inputs),
            criterion=self._criterion,
            **self._optimizer_options(),
            lr=self.lr,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            train_split=None,
            callbacks=[*self._own_callbacks(), *(copy.deepcopy(self.callbacks) or [])],
            device=device,
            verbose=0,
        )
        net.initialize()
        net.input_shape_ = tuple(parts.train.inputs.shape[1:])
        return net

    def _optimizer_options(self) -> dict:
        named = isinstance(self.optimizer, str)
        optimizer, options = OPTIMIZERS[self.optimizer] if named else (self.optimizer, {})
        if self.weight_decay:
            options = {**options, "weight_decay": self.weight_decay}
        return {"optimizer": optimizer, **{f"optimizer__{k}": v for k, v in options.items()}}

    def _make_module(self, inputs: Tensor) -> nn.Module:
        n_inputs = inputs.shape[1]
        if self.module is None:
            module = MLP(
                n_inputs,
                self._n_outputs,
                self._hidden_sizes(),
                self.activation,
                self.dropout,
                self.batch_norm,
            )
        elif isinstance(self.module, nn.Module):
            module = copy.deepcopy(self.module)
        else:
            module = self.module(n_inputs, self._n_outputs)
            if not isinstance(module, nn.Module):
                raise TypeError(
                    "module must be a torch.nn.Module or a callable (n_inputs, n_outputs) that"
                    f" returns one; it returned {type(module).__name__}."
                )
        module = module.to(dtype=inputs.dtype, device=inputs.device)
        self._check_output(module, inputs)
        return module

    def _check_output(self, module: nn.Module, inputs: Tensor) -> None:
        try:
            with evaluation(module), torch.no_grad():
                shape = tuple(module(inputs[:1]).shape)
        except RuntimeError as error:
            raise ValueError(
                f"module cannot take samples of shape {tuple(inputs.shape[1:])}: {error}"
            ) from error
        if shape != (1, self._n_outputs):
            raise ValueError(
                f"module must return (n_samples, {self._n_outputs}) for this y, got"
                f" (n_samples, {', '.join(map(str, shape[1:]))})."
            )

    def _own_callbacks(self) -> list:
        """Callbacks that the estimator needs, before the user's."""
        if not self.early_stopping:
            return []
        stopping = LateEarlyStopping(
            start=self._first_stop(), patience=self.patience, load_best=True, sink=_silent
        )
        return [("early_stopping", stopping)]

    def _first_stop(self) -> int:
        """Epochs before early stopping may judge."""
        return 0

    def _with_progress(self, callbacks, epochs, partial):
        if not self.verbose or partial:
            return callbacks
        return [*callbacks, ("epoch_bar", EpochBar(epochs))]

    # -- prediction ------------------------------------------------------------------------------

    @property
    def module_(self) -> nn.Module:
        """The fitted network."""
        return self.net_.module_

    def _network_input(self, X) -> np.ndarray:
        """X checked against what was fitted, in the network's dtype."""
        check_is_fitted(self)
        return self._checked(X, dtype=self._network_dtype(), reset=False)

    def _network_dtype(self) -> np.dtype:
        return torch.empty(0, dtype=next(self.module_.parameters()).dtype).numpy().dtype

    def _outputs(self, X) -> Tensor:
        """Outputs of the network, (n_samples, n_outputs), batch by batch."""
        X = self._network_input(X)
        n_rows = max(1, _PREDICTION_BYTES // max(1, X[:1].nbytes * 8))
        device = self.net_.device
        with evaluation(self.module_), torch.inference_mode():
            parts = [
                self.module_(torch.from_numpy(X[i : i + n_rows]).to(device)).cpu()
                for i in range(0, len(X), n_rows)
            ]
        return torch.cat(parts)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = self.module is not None
        tags.non_deterministic = False
        return tags


def _silent(*args, **kwargs):
    """Nothing prints unless asked to."""


def _history_frame(history) -> pd.DataFrame:
    """One row an epoch, without the batches."""
    rows = [{k: v for k, v in row.items() if not k.startswith("batches")} for row in history]
    frame = pd.DataFrame(rows)
    return frame.loc[:, [c for c in frame if not c.endswith(("_batch_count", "event_cp"))]]


def _columns_at_fault(X, message: str) -> str:
    """Which columns hold what the error speaks of."""
    if not isinstance(X, pd.DataFrame):
        if "NaN" in message or "infinity" in message:
            array = np.asarray(X)
            if array.ndim == 2 and array.dtype.kind == "f":
                bad = np.flatnonzero(~np.isfinite(array).all(0))
                return f"Columns with such values: {_listed(bad.tolist())}."
        return ""
    if "NaN" in message or "infinity" in message:
        numbers = X.apply(pd.to_numeric, errors="coerce")
        bad = numbers.columns[~np.isfinite(numbers.to_numpy(float)).all(0)]
        return f"Columns with such values: {_listed(bad.tolist())}."
    numeric = [pd.to_numeric(X[c], errors="coerce").notna().eq(X[c].notna()).all() for c in X]
    bad = [c for c, ok in zip(X.columns, numeric, strict=True) if not ok]
    if not bad:
        return ""
    return (
        f"Columns that are not numeric: {_listed(bad)}. Encode them first, for example with a"
        " ColumnTransformer and OneHotEncoder in a Pipeline."
    )


def _listed(names: list, most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{names[:most]}{more}"
