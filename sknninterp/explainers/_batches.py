"""Samples in batches: what is read once, what is chosen, and the arrays that take it all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sknninterp.estimators._network import Network
from sknninterp.explainers._outputs import Outputs
from sknninterp.nn.graph import Graph


@dataclass
class Reading:
    """A network read for samples of one shape, with its columns."""

    network: Network
    graph: Graph
    origins: object | None  # sparse (n_transformed, n_original), or None to keep columns apart
    feature_names: np.ndarray | None  # None for images
    outputs: Outputs


@dataclass
class Batch:
    """Contributions of some samples."""

    values: np.ndarray
    base_values: np.ndarray | None
    gaps: np.ndarray | None
    data: Tensor
    predicted: np.ndarray | None  # position of each sample's predicted class, if that is explained
    reading: Reading
    contributions: Callable[[Tensor, Tensor | None], Tensor]


@dataclass
class Choice:
    """Outputs chosen for the samples of a batch.

    Attributes
    ----------
    outputs : Tensor of shape (n_samples or 1, k), or None
        Positions; None is all outputs.
    signs : Tensor of shape (n_samples or 1, k or 1)
    is_one : bool
        Whether it is a single output, without an axis of its own.
    """

    outputs: Tensor | None
    signs: Tensor
    is_one: bool

    @classmethod
    def of_positions(cls, positions: Any, signs: Any, device: Any) -> Choice:
        """From a slice of all, a position or a list of positions, the same for all samples."""
        signs = torch.as_tensor(signs, device=device).reshape(1, -1)
        if isinstance(positions, slice):
            return cls(None, signs, is_one=False)
        outputs = torch.as_tensor(positions, device=device)
        return cls(outputs.reshape(1, -1), signs, is_one=outputs.ndim == 0)

    @classmethod
    def of_predicted(cls, predicted: Tensor, n_outputs: int, is_signed: bool) -> Choice:
        """Each sample's own, from positions among the classes."""
        outputs = predicted[:, None]
        if n_outputs > 1:
            return cls(outputs, torch.ones_like(outputs[:1]), is_one=True)
        # A single logit: it speaks for the second class and against the first.
        signs = 2 * outputs - 1 if is_signed else torch.ones_like(outputs[:1])
        return cls(torch.zeros_like(outputs), signs, is_one=True)

    def finish(self, values: Tensor) -> np.ndarray:
        """Values of the chosen outputs, (n_samples, ..., k), with their signs and axes."""
        if not (self.signs == 1).all():
            middle = [1] * (values.ndim - 2)
            values = values * self.signs.reshape(len(self.signs), *middle, -1)
        return (values[..., 0] if self.is_one else values).cpu().numpy()


def pick_outputs(values: Tensor, outputs: Tensor | None) -> Tensor:
    """Of contributions to all outputs, those to some.

    Parameters
    ----------
    values : Tensor of shape (n_samples, ..., n_outputs)
    outputs : Tensor of shape (n_samples or 1, k), or None
        Positions; None is all outputs.

    Returns
    -------
    Tensor of shape (n_samples, ..., k)
    """
    if outputs is None:
        return values
    if len(outputs) == 1:
        return values[..., outputs[0]]
    index = outputs.reshape(len(outputs), *[1] * (values.ndim - 2), -1)
    return values.gather(-1, index.expand(*values.shape[:-1], -1))


class Rows:
    """Rows of an array, filled in place: beside the whole, one batch is held."""

    def __init__(self, n_rows: int):
        self.n_rows = n_rows
        self.n_filled = 0
        self.array: Any = None  # an ndarray, as soon as there are rows

    def add(self, rows: np.ndarray | None) -> None:
        """Add the next rows; all at once they are the array. None leaves it None."""
        if rows is None:
            return
        if len(rows) == self.n_rows:
            self.array = rows
            return
        if self.array is None:
            # Axes lie in memory as the rows' do, which makes copies of them quick.
            self.array = np.empty_like(rows, shape=(self.n_rows, *rows.shape[1:]), subok=False)
        self.array[self.n_filled : self.n_filled + len(rows)] = rows
        self.n_filled += len(rows)
