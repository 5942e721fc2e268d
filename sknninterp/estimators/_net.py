"""The skorch net inside every estimator: batches are slices of tensors already in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import skorch
import torch
import torch.nn.functional as F
from skorch.callbacks import Callback, PassthroughScoring
from torch import Tensor

# Rows read at a time where nothing is learnt: larger batches need fewer calls.
_EVALUATION_ROWS = 1024
_BATCH_EVENTS = ("on_batch_begin", "on_batch_end", "on_grad_computed")


class Batch(tuple):
    """An `(inputs, target)` pair, as skorch's callbacks expect, with the samples' weights."""

    weight: Tensor | None

    def __new__(cls, inputs, target, weight=None):
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

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        return self.inputs[index], self.target[index]

    def select(self, index: np.ndarray) -> TensorData:
        """The samples at `index`."""
        index = torch.as_tensor(index, device=self.inputs.device)
        weight = None if self.weight is None else self.weight[index]
        return TensorData(self.inputs[index], self.target[index], weight)


class TensorBatches:
    """Batches of a :class:`TensorData`, in a new order each time where `shuffle` is set.

    A last batch of one sample joins the one before it: batch norm cannot train on one.
    """

    def __init__(self, data: TensorData, batch_size: int, shuffle: bool):
        self.data = data
        self.shuffle = shuffle
        n = len(data)
        stops = list(range(batch_size, n, batch_size))
        if stops and n - stops[-1] == 1 and batch_size > 1:
            stops.pop()
        self._bounds = list(zip([0, *stops], [*stops, n], strict=True))

    def __len__(self):
        return len(self._bounds)

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


@dataclass(frozen=True)
class TrainingData:
    """What a net is fitted on: the training part and, if any, the validation part."""

    train: TensorData
    valid: TensorData | None = None


class CrossEntropy:
    """Cross-entropy of logits and class numbers."""

    def __call__(self, output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
        return F.cross_entropy(output, target, reduction=reduction)


class SquaredError:
    """Squared error, the mean over the outputs."""

    def __call__(self, output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
        return F.mse_loss(output, target, reduction=reduction)


class TensorNet(skorch.NeuralNet):
    """A skorch net for data in memory.

    Its epoch does per batch what training needs and no more, unless a callback wants to hear of
    batches: then it is skorch's own. Losses are means weighted by the samples' weights.
    """

    @property
    def _default_callbacks(self):
        return [("epoch_timer", skorch.callbacks.EpochTimer())]

    def get_split_datasets(self, X, y=None, **fit_params):
        """Training and validation part, which were split before."""
        return X.train, X.valid

    def get_iterator(self, dataset, training=False):
        """Batches of `dataset`."""
        if isinstance(dataset, TensorData):
            size = self.batch_size if training else max(self.batch_size, _EVALUATION_ROWS)
            return TensorBatches(dataset, size, shuffle=training)
        return super().get_iterator(dataset, training=training)

    def batch_loss(self, output: Tensor, batch: Batch) -> Tensor:
        """Loss of a batch, each sample with its weight."""
        if batch.weight is None:
            return self.criterion_(output, batch[1])
        losses = self.criterion_(output, batch[1], reduction="none")
        losses = losses.mean(1) if losses.ndim > 1 else losses
        return (losses * batch.weight).mean()

    def train_step_single(self, batch, **fit_params):
        """Output and loss of a batch, and its gradients."""
        self._set_training(True)
        output = self.infer(batch[0])
        loss = self.batch_loss(output, batch)
        loss.backward()
        return {"loss": loss, "y_pred": output}

    def validation_step(self, batch, **fit_params):
        """Output and loss of a batch."""
        self._set_training(False)
        with torch.no_grad():
            output = self.infer(batch[0])
            return {"loss": self.batch_loss(output, batch), "y_pred": output}

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """One epoch of training or validation; records the mean loss."""
        if iterator is None:
            return
        if any(_wants_batches(callback) for _, callback in self.callbacks_):
            super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
            rows = self.history[-1, "batches"]
            rows = [r for r in rows if f"{prefix}_loss" in r]
            sizes = [row[f"{prefix}_batch_size"] for row in rows]
            loss = np.average([row[f"{prefix}_loss"] for row in rows], weights=sizes)
        else:
            self._set_training(training)
            loss = self._train_epoch(iterator) if training else self._valid_epoch(iterator)
        self.history.record(f"{prefix}_loss", float(loss))

    def _train_epoch(self, iterator: TensorBatches) -> float:
        module, optimizer, sums = self.module_, self.optimizer_, []
        if isinstance(optimizer, torch.optim.LBFGS):  # evaluates a batch more than once a step
            for batch in iterator:
                loss = self.train_step(batch)["loss"]
                sums.append(loss.detach() * len(batch[0]))
        else:
            parameters = list(module.parameters())
            for batch in iterator:
                for parameter in parameters:
                    parameter.grad = None
                loss = self.batch_loss(module(batch[0]), batch)
                loss.backward()
                optimizer.step()
                sums.append(loss.detach() * len(batch[0]))
        return (torch.stack(sums).sum() / len(iterator.data)).item()

    @torch.no_grad()
    def _valid_epoch(self, iterator: TensorBatches) -> float:
        sums = [
            self.batch_loss(self.module_(batch[0]), batch) * len(batch[0]) for batch in iterator
        ]
        return (torch.stack(sums).sum() / len(iterator.data)).item()

    def on_epoch_end(self, net, **kwargs):
        """Stop at once when training diverges."""
        loss = self.history[-1, "train_loss"]
        if not np.isfinite(loss):
            raise ValueError(
                f"Training diverged: the loss is {loss} after epoch {len(self.history)} with"
                f" lr={self.lr}. Lower lr, and scale X (and y, for regression)."
            )


def _wants_batches(callback: Callback) -> bool:
    """Whether a callback hears of batches, or may read them in the history."""
    kind = type(callback)
    if any(getattr(kind, event) is not getattr(Callback, event) for event in _BATCH_EVENTS):
        return True
    ours = kind.__module__.startswith(("sknninterp.", "skorch."))
    return not ours or isinstance(callback, PassthroughScoring)
