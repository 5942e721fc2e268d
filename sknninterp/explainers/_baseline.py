"""The baseline of explainers that tell what a sample has added to it."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import StrOptions
from torch import Tensor

from sknninterp.estimators._network import Network
from sknninterp.nn.gradients import run_logits
from sknninterp.nn.graph import Graph, prototype


class FromBaseline:
    """Mixin, left of BaseExplainer: the parameter `baseline` and the attribute `baseline_`.

    Contributions add up to the logits less those of the baseline, which are the base values.
    """

    _parameter_constraints: dict = {
        "baseline": [StrOptions({"zero", "mean"}), Real, "array-like"],
    }
    baseline: ArrayLike
    _network: Callable[[], Network]
    _input_batches: Callable

    def _batches(self, X, positions=slice(None), signs=1, fitting=False):
        if fitting:
            self.baseline_ = self._find_baseline(X)
        yield from super()._batches(X, positions, signs, fitting)

    def _base_values(self, graph: Graph) -> Tensor:
        """What the contributions to each output add to, (n_outputs,): the baseline's logits."""
        baseline = torch.from_numpy(self.baseline_[None]).to(prototype(graph.module))
        return run_logits(graph, baseline)[0].detach()

    def _find_baseline(self, X) -> np.ndarray:
        if isinstance(self.baseline, str) and self.baseline == "mean":
            return self._mean_input(X)
        network = self._network()
        first = network.inputs(network.preprocess(_safe_indexing(X, slice(1))))
        number = 0.0 if isinstance(self.baseline, str) else self.baseline
        baseline = _as_baseline(number, tuple(first.shape[1:]))
        if network.embedding is None:
            return baseline
        return network.embed(torch.from_numpy(baseline[None]).to(first))[0].cpu().numpy()

    def _mean_input(self, X) -> np.ndarray:
        """Mean of what the network sees of X."""
        total: Any = 0.0
        n_samples, embed = 0, self._network().embed
        for inputs in self._input_batches(X, lambda batch: batch[0].nbytes):
            total = total + embed(inputs).sum(0, dtype=torch.float64)
            n_samples += len(inputs)
        return (total / n_samples).cpu().numpy()


def _as_baseline(baseline, shape: tuple[int, ...]) -> np.ndarray:
    """A user's baseline as an array of this shape."""
    try:
        array = np.asarray(baseline, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"baseline must hold numbers: {error}") from error
    if array.shape not in ((), shape):
        raise ValueError(
            f"baseline has shape {array.shape}; it must have that of one sample as the network"
            f" sees it, {shape}."
        )
    if not np.isfinite(array).all():
        raise ValueError("baseline holds NaN or infinite numbers.")
    return np.broadcast_to(array, shape).copy()
