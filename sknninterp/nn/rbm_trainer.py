"""Steps of training a restricted Boltzmann machine: momentum, schedules, a watch on the error.

References
----------
A. Kroschanka and V. Golovko, *Neural Networks Interpretation Improvement*.

G. Hinton, *A Practical Guide to Training Restricted Boltzmann Machines*, 2010.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from sknninterp.nn.rbm import BaseRBM
from sknninterp.nn.rbm_rules import (
    Gradients,
    contrastive_divergence,
    exact_gradient,
    persistent_contrastive_divergence,
    reconstruction_rule,
)

RULES = ("cd", "reconstruction", "exact", "hybrid")
# The published learning rates; the exact gradient is of the size of the reconstruction rule.
_DEFAULT_LR = {"cd": 0.01, "reconstruction": 0.04, "exact": 0.04}


class DivergenceError(ValueError):
    """The reconstruction error grew or is no number: the learning rate is too large.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.rbm import DenseRBM
    >>> from sknninterp.nn.rbm_trainer import DivergenceError, RBMTrainer
    >>> trainer = RBMTrainer(DenseRBM(6, 4, visible="linear", hidden="linear"), lr=1e6)
    >>> for _ in range(20):
    ...     _ = trainer.step(torch.ones(8, 6))
    >>> try:
    ...     trainer.end_epoch()
    ... except DivergenceError as error:
    ...     print("lr=1e+06" in str(error))
    True
    """


def rule_of_epoch(rule: str, epoch: int, hybrid_epochs: tuple[int, int] = (7, 3)) -> str:
    """The rule that an epoch follows: "hybrid" is "cd" first and "reconstruction" then.

    Parameters
    ----------
    rule : {"cd", "reconstruction", "exact", "hybrid"}
    epoch : int
        Counted from 0.
    hybrid_epochs : tuple of int, default=(7, 3)
        Epochs of each. Those beyond follow the second rule too.

    Returns
    -------
    {"cd", "reconstruction", "exact"}

    Raises
    ------
    ValueError
        If there is no such rule.

    Examples
    --------
    >>> from sknninterp.nn.rbm_trainer import rule_of_epoch
    >>> [rule_of_epoch("hybrid", epoch) for epoch in (0, 6, 7, 9)]
    ['cd', 'cd', 'reconstruction', 'reconstruction']
    """
    if rule not in RULES:
        raise ValueError(f"rule={rule!r} is no rule; there are {list(RULES)}.")
    if rule != "hybrid":
        return rule
    return "cd" if epoch < hybrid_epochs[0] else "reconstruction"


class RBMTrainer:
    """Trains a machine in place: v <- mu v + lr g, W <- W - v, after each batch.

    Call `step` for each batch and `end_epoch` after each epoch.

    Parameters
    ----------
    rbm : DenseRBM or ConvRBM
    rule : {"cd", "reconstruction", "exact", "hybrid"}, default="reconstruction"
    lr : float, default=None
        Learning rate; None takes the published one of the epoch's rule, 0.01 for "cd" and 0.04 for
        "reconstruction" (and "exact"), of a convolution divided by the number of positions.
    lr_factor : float, default=1.0
        What the learning rate is multiplied by, also that of each rule.
    momentum : tuple of float, default=(0.5, 0.9)
        mu in the first `momentum_epochs`, and after them.
    momentum_epochs : int, default=5
    weight_decay : float, default=0.0
        `weight_decay` W is added to the weight's gradient; biases do not decay.
    n_steps : int, default=1
        Steps k of "cd".
    persistent : bool, default=False
        Whether "cd" goes on with its Gibbs chains from batch to batch. There are as many as
        samples in the first batch, from which they start.
    sample_hidden : bool, default=False
        Whether sampled hidden states drive the reconstructions; not for "exact". With `persistent`
        they always are sampled.
    hybrid_epochs : tuple of int, default=(7, 3)
        Epochs of "cd" and of "reconstruction" in "hybrid".
    generator : torch.Generator, default=None
        Draws the samples, on the machine's device. None takes torch's global one.

    Attributes
    ----------
    epoch : int
        Epochs that have ended.
    errors : list of float
        Mean reconstruction error of each.

    Raises
    ------
    ValueError
        If a parameter is out of its range or does not go with the rule.

    References
    ----------
    A. Kroschanka and V. Golovko, *Neural Networks Interpretation Improvement*.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.rbm import DenseRBM
    >>> from sknninterp.nn.rbm_trainer import RBMTrainer
    >>> generator = torch.Generator().manual_seed(0)
    >>> X = torch.bernoulli(torch.full((64, 1), 0.5), generator=generator).expand(-1, 6)
    >>> trainer = RBMTrainer(DenseRBM(6, 2, generator=generator), rule="cd", lr=0.1)
    >>> for _ in range(20):
    ...     for batch in X.split(16):
    ...         _ = trainer.step(batch)
    ...     _ = trainer.end_epoch()
    >>> trainer.errors[-1] < trainer.errors[0] / 2
    True
    """

    def __init__(
        self,
        rbm: BaseRBM,
        rule: str = "reconstruction",
        *,
        lr: float | None = None,
        lr_factor: float = 1.0,
        momentum: tuple[float, float] = (0.5, 0.9),
        momentum_epochs: int = 5,
        weight_decay: float = 0.0,
        n_steps: int = 1,
        persistent: bool = False,
        sample_hidden: bool = False,
        hybrid_epochs: tuple[int, int] = (7, 3),
        generator: Generator | None = None,
    ):
        rule_of_epoch(rule, 0)  # is there such a rule?
        if lr is not None and not 0 < lr < math.inf:
            raise ValueError(f"lr={lr} must be a positive number or None.")
        if not all(0 <= mu < 1 for mu in momentum):
            raise ValueError(f"momentum={momentum} must be two numbers from 0 to below 1.")
        if weight_decay < 0 or n_steps < 1:
            raise ValueError(
                f"weight_decay={weight_decay} must not be negative, n_steps={n_steps} at least 1."
            )
        if rule == "exact" and sample_hidden:
            raise ValueError("sample_hidden=True: the exact gradient has no sampled hidden units.")
        if rule not in ("cd", "hybrid") and (persistent or n_steps > 1):
            raise ValueError(
                f"persistent={persistent} and n_steps={n_steps} belong to rule='cd' (or 'hybrid'),"
                f" not to rule={rule!r}."
            )
        self.rbm, self.rule, self.lr, self.lr_factor = rbm, rule, lr, lr_factor
        self.momentum, self.momentum_epochs = momentum, momentum_epochs
        self.weight_decay, self.n_steps, self.persistent = weight_decay, n_steps, persistent
        self.sample_hidden, self.hybrid_epochs = sample_hidden, hybrid_epochs
        self.generator = generator
        self.epoch = 0
        self.errors: list[float] = []
        self._velocities = tuple(torch.zeros_like(p) for p in self._parameters)
        self._chain: Tensor | None = None
        self._error_before = math.nan  # learning; known after the first epoch
        # Of each batch: its error, the mean square of its data (in the first epoch), its samples.
        self._batches: list[tuple[Tensor, Tensor | None, int]] = []

    def to(self, device: torch.device | str) -> RBMTrainer:
        """Follow the machine to a device, between two epochs.

        Parameters
        ----------
        device : torch.device or str

        Returns
        -------
        self
        """
        self._velocities = tuple(v.to(device) for v in self._velocities)
        self._chain = None if self._chain is None else self._chain.to(device)
        return self

    def state_dict(self) -> dict[str, Any]:
        """The training between two epochs, the machine's parameters included."""
        return {
            "rbm": self.rbm.state_dict(),
            "errors": list(self.errors),
            "error_before": self._error_before,
            "velocities": list(self._velocities),
            "chain": self._chain,
            "generator": None if self.generator is None else self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of a trainer that was made as this one.

        Parameters
        ----------
        state : dict
        """
        self.rbm.load_state_dict(state["rbm"])
        self.errors, self._error_before = list(state["errors"]), state["error_before"]
        self.epoch = len(self.errors)
        self._velocities, self._chain = tuple(state["velocities"]), state["chain"]
        if self.generator is not None:
            self.generator.set_state(state["generator"])

    @property
    def _parameters(self) -> tuple[nn.Parameter, ...]:
        """Looked up anew: a machine that is moved may get others."""
        return self.rbm.weight, self.rbm.bias_hidden, self.rbm.bias_visible

    @property
    def current_rule(self) -> str:
        """Rule of the epoch under way."""
        return rule_of_epoch(self.rule, self.epoch, self.hybrid_epochs)

    @property
    def current_lr(self) -> float:
        """Learning rate of the epoch under way."""
        published = _DEFAULT_LR[self.current_rule] / self.rbm.n_positions
        return self.lr_factor * (published if self.lr is None else self.lr)

    @property
    def current_momentum(self) -> float:
        """Momentum of the epoch under way."""
        return self.momentum[self.epoch >= self.momentum_epochs]

    @torch.no_grad()
    def step(self, batch: Tensor, weight: Tensor | None = None) -> Tensor:
        """Learn from one batch.

        Parameters
        ----------
        batch : Tensor of shape (n_samples, *visible shape)
        weight : Tensor of shape (n_samples,), default=None
            Weight of each sample, of mean 1 over all of them; not with `persistent`.

        Returns
        -------
        Tensor of shape ()
            Reconstruction error of the batch before the step (a tensor, so that a GPU need not be
            waited for).
        """
        if weight is not None and self.persistent:
            raise ValueError("persistent=True takes no sample weights.")
        lr, momentum = self.current_lr, self.current_momentum
        # The weight's gradient, which is large, goes straight to its velocity.
        of_weight, *of_biases = self._velocities
        update = {"alpha": lr, "beta": momentum, "out": of_weight}
        _, *gradients, error = self._gradients(batch, weight, **update)
        if self.weight_decay:
            of_weight.add_(self.rbm.weight, alpha=lr * self.weight_decay)
        for v, g in zip(of_biases, gradients, strict=True):
            v.mul_(momentum).add_(g, alpha=lr)
        for p, v in zip(self._parameters, self._velocities, strict=True):
            if p.requires_grad:
                p.sub_(v)
        size = _mean_square(batch, weight) if self.epoch == 0 else None
        self._batches.append((error, size, batch.shape[0]))
        return error

    def _gradients(self, batch: Tensor, weight: Tensor | None, **options: Any) -> Gradients:
        rule = self.current_rule
        if weight is not None:
            options["weight"] = weight
        if rule == "exact":
            return exact_gradient(self.rbm, batch, **options)
        options["generator"] = self.generator
        if rule == "reconstruction":
            return reconstruction_rule(self.rbm, batch, sample_hidden=self.sample_hidden, **options)
        options["n_steps"] = self.n_steps
        if not self.persistent:
            return contrastive_divergence(
                self.rbm, batch, sample_hidden=self.sample_hidden, **options
            )
        if self._chain is None:
            self._chain = self.rbm.sample_hidden(batch, self.generator)
        return persistent_contrastive_divergence(self.rbm, batch, self._chain, **options)

    def end_epoch(self) -> float:
        """Close an epoch: the schedules move on.

        Returns
        -------
        float
            Mean reconstruction error of the epoch's samples.

        Raises
        ------
        ValueError
            If the epoch had no batch, or the error of the first batch before learning is no finite
            number: no learning rate would help.
        DivergenceError
            If the error is no finite number, or more than twice that of the best epoch so far (or
            before learning), unless it is below a tenth of the latter. Before learning there is the
            first batch's error, more if the other batches have larger values.
        """
        if not self._batches:
            raise ValueError("The epoch had no batch: call step first.")
        lr = self.current_lr
        errors, sizes, counts = zip(*self._batches, strict=True)
        self._batches = []
        error = _mean(errors, counts)
        if self.epoch == 0:
            self._error_before = _error_before_learning(errors, sizes, counts)
        first = self._error_before
        before = min([first, *self.errors])
        self.errors.append(error)
        self.epoch += 1
        if not math.isfinite(error) or error > max(2 * before, 0.1 * first):
            raise DivergenceError(
                f"The reconstruction error of epoch {self.epoch} is {error:.3g}, after {before:.3g}"
                f" before: training diverges with the learning rate lr={lr:g}. Take a smaller one,"
                " or scale the data."
            )
        return error


def _error_before_learning(
    errors: Sequence[Tensor], sizes: Sequence[Tensor], counts: Sequence[int]
) -> float:
    """The first batch's, scaled as the data of the epoch are larger than it."""
    first, of_first = float(errors[0]), float(sizes[0])
    if not math.isfinite(first):
        raise ValueError(
            f"The reconstruction error before learning is {first}: the data hold NaN or infinite"
            " values, or numbers too large to be squared."
        )
    if not of_first:  # a blank batch tells nothing
        return max(first, _mean(errors, counts))
    return first * max(1.0, _mean(sizes, counts) / of_first)


def _mean(values: Sequence[Tensor], counts: Sequence[int]) -> float:
    """Mean over samples of what is a mean over each batch."""
    stacked = torch.stack(list(values))
    return float(stacked @ stacked.new_tensor(counts)) / sum(counts)


def _mean_square(batch: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:  # by far the fastest way
        every = batch.reshape(-1)
        return torch.dot(every, every) / len(every)
    flat = batch.flatten(1)
    means = torch.linalg.vector_norm(flat, dim=1).square() / flat.shape[1]
    return (means * weight).mean()
