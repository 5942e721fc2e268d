"""The skorch net inside every estimator: batches are slices of tensors already in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import skorch
import torch
import torch.nn.functional as F
from scipy.special import softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from skorch.callbacks import Callback, Checkpoint, PassthroughScoring, TrainEndCheckpoint
from torch import Tensor, nn

from sknninterp.nn.entropy_penalty import EntropyPenalty
from sknninterp.nn.input_penalty import InputPenalty, rise
from sknninterp.nn.stacked_training import batch_bounds

# Rows read at a time where nothing is learnt: larger batches need fewer calls.
EVALUATION_ROWS = 1024
_BATCH_EVENTS = ("on_batch_begin", "on_batch_end", "on_grad_computed")
# They hear of no batch, and yet look at the batches in the history.
_BATCH_READERS = (Checkpoint, PassthroughScoring, TrainEndCheckpoint)


class Batch(tuple):
    """An `(inputs, target)` pair, as skorch's callbacks expect, with the samples' weights."""

    weight: Tensor | None

    def __new__(cls, inputs: Tensor, target: Tensor, weight: Tensor | None = None) -> Self:
        batch = super().__new__(cls, (inputs, target))
        batch.weight = weight
        return batch


class TensorData(torch.utils.data.Dataset):
    """Samples, targets and weights as tensors.

    Parameters
    ----------
    inputs : Tensor of shape (n_samples, ...)
    target : Tensor of shape (n_samples,) or (n_samples, n_outputs)
    weight : Tensor of shape (n_samples,), default=None
    """

    def __init__(self, inputs: Tensor, target: Tensor, weight: Tensor | None = None):
        self.inputs = inputs
        self.target = target
        self.weight = weight

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: Any) -> tuple[Tensor, Tensor]:
        return self.inputs[index], self.target[index]

    def select(self, index: np.ndarray) -> TensorData:
        """The samples at `index`."""
        rows = torch.as_tensor(index, device=self.inputs.device)
        weight = None if self.weight is None else self.weight[rows]
        return TensorData(self.inputs[rows], self.target[rows], weight)


def tensors(
    X: np.ndarray, target: np.ndarray, weight: np.ndarray | None, device: torch.device
) -> TensorData:
    """Data on the device, the floats among them in the dtype of X.

    Parameters
    ----------
    X, target : ndarray of shape (n_samples, ...)
    weight : ndarray of shape (n_samples,) or None
    device : torch.device
    """

    def moved(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(device)

    target = target if target.dtype.kind == "i" else target.astype(X.dtype)
    weights = None if weight is None else moved(weight.astype(X.dtype))
    return TensorData(moved(X), moved(target), weights)


class TensorBatches:
    """Batches of a :class:`TensorData`, in a new order each time where `shuffle` is set.

    A last batch of one sample joins the one before it: batch norm cannot train on one.
    """

    def __init__(self, data: TensorData, batch_size: int, shuffle: bool):
        self.data = data
        self.shuffle = shuffle
        self._bounds = batch_bounds(len(data), batch_size)

    def __len__(self) -> int:
        return len(self._bounds)

    @property
    def sizes(self) -> list[int]:
        """Samples in each batch."""
        return [stop - start for start, stop in self._bounds]

    def __iter__(self) -> Iterator[Batch]:
        inputs, target, weight = self.data.inputs, self.data.target, self.data.weight
        if self.shuffle:
            order = torch.randperm(len(inputs), device=inputs.device)
        for start, stop in self._bounds:
            if self.shuffle:
                rows = order[start:stop]
                x, y = inputs.index_select(0, rows), target.index_select(0, rows)
                w = None if weight is None else weight.index_select(0, rows)
            else:
                x, y = inputs[start:stop], target[start:stop]
                w = None if weight is None else weight[start:stop]
            yield Batch(x, y, w)


class InputBatches:
    """Batches of inputs in a new order each time, as `pretrain` takes them."""

    def __init__(self, data: TensorData, batch_size: int):
        self._batches = TensorBatches(data, batch_size, shuffle=True)

    def __iter__(self) -> Iterator[tuple[Tensor, None, Tensor | None]]:
        for batch in self._batches:
            yield batch[0], None, batch.weight


@dataclass(frozen=True)
class TrainingData:
    """What a net is fitted on: the training part and, if any, the validation part."""

    train: TensorData
    valid: TensorData | None = None


class CrossEntropy(nn.Module):
    """Cross-entropy of logits and class numbers; a module, as skorch's checkpoints expect."""

    def forward(self, output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
        """Mean loss, or with `reduction="none"` each sample's."""
        return F.cross_entropy(output, target, reduction=reduction)

    __call__ = forward  # a module's own call costs a small network time in every batch


class SquaredError(nn.Module):
    """Squared error, the mean over the outputs; a module, as skorch's checkpoints expect."""

    def forward(self, output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
        """Mean loss, or with `reduction="none"` each output's."""
        return F.mse_loss(output, target, reduction=reduction)

    __call__ = forward


class TensorNet(skorch.NeuralNet):
    """A skorch net for data in memory.

    Its epoch does per batch what training needs and no more, unless a callback wants to hear of
    batches: then it is skorch's own. Losses are means weighted by the samples' weights, in training
    with the `penalty`, if any.
    """

    mixed_precision = False
    penalty: EntropyPenalty | None = None
    input_penalty: InputPenalty | None = None
    # The epoch before which, and the epochs in which, the input penalty rises; None: it is whole.
    penalty_rise_: tuple[int, int] | None = None

    @property
    def _default_callbacks(self):
        return [("epoch_timer", skorch.callbacks.EpochTimer())]

    def get_split_datasets(
        self, X: TrainingData, y: None = None, **fit_params: Any
    ) -> tuple[TensorData, TensorData | None]:
        """Training and validation part, which were split before."""
        return X.train, X.valid

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Batches of `dataset`."""
        if isinstance(dataset, TensorData):
            size = self.batch_size if training else max(self.batch_size, EVALUATION_ROWS)
            return TensorBatches(dataset, size, shuffle=training)
        return super().get_iterator(dataset, training=training)

    def batch_loss(self, output: Tensor, batch: Batch) -> Tensor:
        """Loss of a batch, each sample with its weight."""
        if batch.weight is None:
            return self.criterion_(output, batch[1])
        losses = self.criterion_(output, batch[1], reduction="none")
        losses = losses.mean(1) if losses.ndim > 1 else losses
        return (losses * batch.weight).mean()

    def precision(self) -> AbstractContextManager:
        """Torch's mixed precision inside the block, if it is wanted."""
        if not self.mixed_precision:
            return nullcontext()
        # No cache: torch before 2.6 hands weights out in training that it cast without gradients.
        kind = torch.device(self.device).type
        return torch.autocast(kind, torch.bfloat16, cache_enabled=False)

    def training_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Output of a batch in training, and its loss with the penalty."""
        with self.precision():
            if self.penalty is None:
                output = self.module_(batch[0])
                return output, self.batch_loss(output, batch)
            output, penalty = self.penalty(self.module_, batch[0], batch.weight)
            return output, self.batch_loss(output, batch) + penalty

    def train_step_single(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
        """Output and loss of a batch, and its gradients."""
        self._set_training(True)
        output, loss = self.training_loss(batch)
        loss.backward()
        return {"loss": loss, "y_pred": output}

    def train_step(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
        """A step of the optimizer on a batch."""
        step = super().train_step(batch, **fit_params)
        self._shrink_inputs()
        return step

    def _shrink_inputs(self) -> None:
        if self.input_penalty is not None:
            self.input_penalty(self.module_, self.optimizer_.param_groups[0]["lr"])

    def validation_step(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
        """Output and loss of a batch."""
        self._set_training(False)
        with torch.no_grad(), self.precision():
            output = self.infer(batch[0])
            return {"loss": self.batch_loss(output, batch), "y_pred": output}

    def run_single_epoch(
        self,
        iterator: TensorBatches | None,
        training: bool,
        prefix: str,
        step_fn: Callable,
        **fit_params: Any,
    ) -> None:
        """One epoch of training or validation; records the mean loss."""
        if iterator is None:
            return
        if any(_wants_batches(callback) for _, callback in self.callbacks_):
            super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
            name = f"{prefix}_loss"
            losses = [row[name] for row in self.history[-1, "batches"] if name in row]
        else:
            self._set_training(training)
            losses = self._train_epoch(iterator) if training else self._valid_epoch(iterator)
        self._record_loss(f"{prefix}_loss", float(np.average(losses, weights=iterator.sizes)))

    def _train_epoch(self, iterator: TensorBatches) -> list[float]:
        optimizer, losses = self.optimizer_, []
        if isinstance(optimizer, torch.optim.LBFGS):  # evaluates a batch more than once a step
            losses = [self.train_step(batch)["loss"].detach() for batch in iterator]
        else:
            parameters = list(self.module_.parameters())
            for batch in iterator:
                for parameter in parameters:
                    parameter.grad = None
                _, loss = self.training_loss(batch)
                loss.backward()
                optimizer.step()
                self._shrink_inputs()
                losses.append(loss.detach())
        return torch.stack(losses).tolist()

    @torch.no_grad()
    def _valid_epoch(self, iterator: TensorBatches) -> list[float]:
        with self.precision():
            losses = [self.batch_loss(self.module_(batch[0]), batch) for batch in iterator]
        return torch.stack(losses).tolist()

    def initialize_history(self) -> Self:
        """Start an empty history."""
        self.lowest_losses_: dict[str, float] = {}
        return super().initialize_history()

    def _record_loss(self, name: str, loss: float) -> None:
        """Record a loss, and whether it is the lowest so far, as skorch's own nets do."""
        lowest = self.lowest_losses_.get(name, np.inf)
        self.lowest_losses_[name] = min(loss, lowest)
        self.history.record(name, loss)
        self.history.record(f"{name}_best", loss < lowest)

    def on_epoch_begin(self, net: skorch.NeuralNet, **kwargs: Any) -> None:
        """Say how much of the input penalty there is."""
        super().on_epoch_begin(net, **kwargs)
        if self.input_penalty is not None and self.penalty_rise_ is not None:
            before, n_epochs = self.penalty_rise_
            self.input_penalty.share = rise(len(self.history) - before, n_epochs)

    def on_epoch_end(self, net: skorch.NeuralNet, **kwargs: Any) -> None:
        """Stop at once when training diverges."""
        loss = self.history[-1, "train_loss"]
        if not np.isfinite(loss):
            raise self._diverged(f"the loss is {loss} after epoch {len(self.history)}")

    def check_outputs(self, data: TensorData) -> None:
        """Refuse a network that was ruined after its last loss was measured.

        It stays in evaluation mode: threads that read it need not switch it to and fro.
        """
        self.module_.eval()
        with torch.no_grad():
            outputs = self.module_(data.inputs[: self.batch_size])
        if not outputs.isfinite().all():
            raise self._diverged(f"the outputs are not finite after epoch {len(self.history)}")

    def _diverged(self, how: str) -> ValueError:
        return ValueError(
            f"Training diverged: {how} with lr={self.lr}. Lower lr, and scale X (and y, for"
            " regression)."
        )


class ClassifierNet(ClassifierMixin, TensorNet):
    """A net whose outputs are logits and whose labels are class numbers.

    skorch's scoring callbacks ask it for labels and probabilities.
    """

    loss = CrossEntropy

    @property
    def classes_(self) -> np.ndarray:
        """Class numbers."""
        return np.arange(self.n_outputs_)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes."""
        return softmax(super().predict_proba(X), axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """Number of the most probable class."""
        return self.predict_proba(X).argmax(1)


class RegressorNet(RegressorMixin, TensorNet):
    """A net whose outputs are predicted values."""

    loss = SquaredError


def _wants_batches(callback: Callback) -> bool:
    """Whether a callback hears of batches, or may read them in the history."""
    kind = type(callback)
    if any(getattr(kind, event) is not getattr(Callback, event) for event in _BATCH_EVENTS):
        return True
    ours = kind.__module__.startswith(("sknninterp.", "skorch."))
    return not ours or isinstance(callback, _BATCH_READERS)
