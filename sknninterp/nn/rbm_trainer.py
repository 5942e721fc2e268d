"""Training a restricted Boltzmann machine: momentum, schedules, and a watch on the error.

References
----------
A. Kroschanka and V. Golovko, *Neural Networks Interpretation Improvement*.

G. Hinton, *A Practical Guide to Training Restricted Boltzmann Machines*, 2010.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

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


class DivergenceError(ArithmeticError):
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
        "reconstruction" (and "exact").
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
        self.rbm, self.rule, self.lr = rbm, rule, lr
        self.momentum, self.momentum_epochs = momentum, momentum_epochs
        self.weight_decay, self.n_steps, self.persistent = weight_decay, n_steps, persistent
        self.sample_hidden, self.hybrid_epochs = sample_hidden, hybrid_epochs
        self.generator = generator
        self.epoch, self.errors = 0, []
        self._parameters = (rbm.weight, rbm.bias_hidden, rbm.bias_visible)
        self._velocities = tuple(torch.zeros_like(p) for p in self._parameters)
        self._chain: Tensor | None = None
        self._first_error: Tensor | None = None
        self._total, self._n_seen = 0.0, 0

    @property
    def current_rule(self) -> str:
        """Rule of the epoch under way."""
        return rule_of_epoch(self.rule, self.epoch, self.hybrid_epochs)

    @property
    def current_lr(self) -> float:
        """Learning rate of the epoch under way."""
        return _DEFAULT_LR[self.current_rule] if self.lr is None else self.lr

    @property
    def current_momentum(self) -> float:
        """Momentum of the epoch under way."""
        return self.momentum[self.epoch >= self.momentum_epochs]

    @torch.no_grad()
    def step(self, batch: Tensor) -> Tensor:
        """Learn from one batch.

        Parameters
        ----------
        batch : Tensor of shape (n_samples, *visible shape)

        Returns
        -------
        Tensor of shape ()
            Reconstruction error of the batch before the step (a tensor, so that a GPU need not be
            waited for).
        """
        *gradients, error = self._gradients(batch)
        if self.weight_decay:
            gradients[0].add_(self.rbm.weight, alpha=self.weight_decay)
        lr, momentum = self.current_lr, self.current_momentum
        for p, v, g in zip(self._parameters, self._velocities, gradients, strict=True):
            p.sub_(v.mul_(momentum).add_(g, alpha=lr))
        if self._first_error is None:
            self._first_error = error
        self._total = self._total + error * len(batch)
        self._n_seen += len(batch)
        return error

    def _gradients(self, batch) -> Gradients:
        rule, options = self.current_rule, {"generator": self.generator}
        if rule == "exact":
            return exact_gradient(self.rbm, batch)
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
            If the epoch had no batch.
        DivergenceError
            If the error is no finite number, or more than twice that of the best epoch so far (or
            of the first batch before learning), unless it is below 1 % of the latter.
        """
        if not self._n_seen:
            raise ValueError("The epoch had no batch: call step first.")
        lr, first = self.current_lr, float(self._first_error)
        error = float(self._total / self._n_seen)
        self._total, self._n_seen = 0.0, 0
        before = min([first, *self.errors])
        self.errors.append(error)
        self.epoch += 1
        if not math.isfinite(error) or error > max(2 * before, 0.01 * first):
            raise DivergenceError(
                f"The reconstruction error of epoch {self.epoch} is {error:.3g}, after {before:.3g}"
                f" before: training diverges with the learning rate lr={lr:g}. Take a smaller one,"
                " or scale the data."
            )
        return error
