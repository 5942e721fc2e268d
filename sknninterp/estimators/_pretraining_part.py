"""What estimators that pretrain their layers add to the plain ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Self

import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor

from sknninterp._typing import MatrixLike
from sknninterp.estimators._checkpoint import Checkpoint, Part
from sknninterp.estimators._interrupts import interrupted
from sknninterp.estimators._net import InputBatches, TensorData
from sknninterp.estimators._progress import epoch_bar
from sknninterp.estimators._training_state import KeptMachines
from sknninterp.estimators._validation import Pair, for_torch, validated
from sknninterp.nn.pretraining import pretrain
from sknninterp.nn.rbm_trainer import RULES, DivergenceError
from sknninterp.nn.rbm_training import Epoch
from sknninterp.nn.units import UNITS

PRETRAINING_CONSTRAINTS: dict = {
    "pretraining": [StrOptions(set(RULES)), None],
    "pretraining_epochs": [Interval(Integral, 0, None, closed="left")],
    "hybrid_epochs": [Pair(Integral, 0, None, closed="left")],
    "pretraining_lr": [Interval(Real, 0, None, closed="neither"), None],
    "pretraining_momentum": [Pair(Real, 0, 1, closed="left")],
    "visible": [StrOptions({"auto", *UNITS})],
}


class PretrainedPart:
    """What pretrained networks add to the plain ones: the first weights, and where from."""

    # Of the estimator that it is a part of.
    warm_start: bool
    module: Callable | None
    batch_size: int
    verbose: int
    pretraining: str | None
    pretraining_epochs: int
    hybrid_epochs: tuple[int, int]
    pretraining_lr: float | None
    pretraining_momentum: tuple[float, float]
    visible: str
    networks_: list
    _checkpoint: Checkpoint

    _unlabeled: MatrixLike | None = None

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: MatrixLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        X_unlabeled: MatrixLike | None = None,
    ) -> Self:
        """Pretrain the network's layers, then fit it.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Or (n_samples, channels, ...) with `module`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Labels, or values for a regressor (which alone takes several outputs).
        sample_weight : array-like of shape (n_samples,), default=None
            For pretraining too.
        X_unlabeled : array-like or sparse matrix of shape (n_unlabeled, n_features), default=None
            More samples to pretrain on, each with the mean weight of those of X. The network is
            fitted to X and y alone.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the data hold NaN, infinite or non-numeric values, lie outside the bounds of the
            visible units, if a classifier sees one class only, if training diverges, or if
            `checkpoint` holds another fit.
        OSError
            If `checkpoint` cannot be written; what was kept before is still there.
        KeyboardInterrupt
            If Ctrl-C was pressed while layers were pretrained.

        Warns
        -----
        ConvergenceWarning
            If Ctrl-C has ended the training, after the epoch that was under way. In a search it is
            a KeyboardInterrupt.
        UserWarning
            If nothing is pretrained on `X_unlabeled`: with `pretraining=None`, or where
            `warm_start` goes on from a network that was pretrained before.
        """
        again = self.warm_start and hasattr(self, "net_")
        if X_unlabeled is not None and (again or self.pretraining is None):
            why = "warm_start=True goes on" if again else "pretraining=None"
            warnings.warn(f"X_unlabeled is not used: {why}.", stacklevel=3)
        self._unlabeled = X_unlabeled
        try:
            return super().fit(X, y, sample_weight)
        finally:
            del self._unlabeled

    def _fit_many(self, X, y, sample_weight):
        super()._fit_many(X, y, sample_weight)
        first = self.networks_[0]
        self.rbms_, self.pretraining_history_ = first.rbms_, first.pretraining_history_
        return self

    def _fit_one(self, X, y, sample_weight, of):
        return self.fit(X, y, sample_weight, of._unlabeled)

    def _build(self, parts, device, stage=""):
        net = super()._build(parts, device, stage)
        layers = []
        if self.pretraining is not None:
            part = self._checkpoint.part(f"{stage}pretraining")
            layers = self._pretrain(net.module_, self._pretraining_data(parts.train), part)
        # Nothing but a picture needs them again: they would only take room on a GPU.
        self.rbms_ = [layer.rbm.cpu() for layer in layers]
        rows = [(layer.name, *epoch) for layer in layers for epoch in layer.epochs]
        self.pretraining_history_ = pd.DataFrame(rows, columns=["layer", *Epoch._fields])
        return net

    def _pretrain(self, module, data: TensorData, part: Part):
        machines = KeptMachines(part)
        options: dict[str, Any] = {
            "rule": self.pretraining,
            "n_epochs": self.pretraining_epochs,
            "visible": self.visible,
            "lr": self.pretraining_lr,
            "hybrid_epochs": tuple(self.hybrid_epochs),
            "momentum": tuple(self.pretraining_momentum),
            "keep": machines.keep,
            "kept": machines.kept,
        }
        batches = InputBatches(data, self.batch_size)
        with epoch_bar(self.verbose, None) as told:

            def on_epoch(name, epoch):
                told(epoch, layer=name)
                if interrupted():
                    raise KeyboardInterrupt

            options["on_epoch"] = on_epoch
            try:
                layers = pretrain(module, data.inputs.shape[1:], batches, **options)
            except DivergenceError as error:
                raise DivergenceError(
                    f"Pretraining with pretraining_lr={self.pretraining_lr}: {error}"
                ) from error
        machines.end()
        return layers

    def _pretraining_data(self, labeled: TensorData) -> TensorData:
        """Inputs with and without labels; there are no targets."""
        inputs, weight = labeled.inputs, labeled.weight
        if self._unlabeled is not None:
            more = self._checked_unlabeled(inputs)
            if weight is not None:
                weight = torch.cat([weight, weight.new_ones(len(more))])
            inputs = torch.cat([inputs, more])
        return TensorData(inputs, inputs.new_empty(len(inputs)), weight)

    def _checked_unlabeled(self, inputs: Tensor) -> Tensor:
        dtype, allow_nd = inputs[:0].numpy(force=True).dtype, self.module is not None
        try:
            X = validated(self, self._unlabeled, reset=False, dtype=dtype, allow_nd=allow_nd)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"X_unlabeled: {error}") from error
        if X.shape[1:] != inputs.shape[1:]:
            raise ValueError(
                f"X_unlabeled has samples of shape {X.shape[1:]}, X of {tuple(inputs.shape[1:])}."
            )
        return torch.from_numpy(for_torch(X)).to(inputs.device)
