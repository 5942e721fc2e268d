"""Training a restricted Boltzmann machine for some epochs, from a learning rate that holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sknninterp.nn.random_state import random_numbers, set_random_numbers
from sknninterp.nn.rbm import BaseRBM
from sknninterp.nn.rbm_trainer import DivergenceError, RBMTrainer

# What a learning rate that nobody chose is multiplied by, one after the other, until one holds.
_FALLBACKS = tuple(10.0**-power for power in range(9))


class Epoch(NamedTuple):
    """One epoch of a machine's training.

    Parameters
    ----------
    epoch : int
        Counted from 1.
    rule : str
    lr, momentum : float
    reconstruction_error : float
        Mean of dx^2 over samples and visible units, each batch before its step.
    dur : float
        Seconds.
    """

    epoch: int
    rule: str
    lr: float
    momentum: float
    reconstruction_error: float
    dur: float


def train_epoch(trainer: RBMTrainer, batches: Iterable[tuple[Tensor, Tensor | None]]) -> Epoch:
    """Train for one epoch.

    Parameters
    ----------
    trainer : RBMTrainer
    batches : iterable of (values, weights or None)

    Returns
    -------
    Epoch

    Raises
    ------
    DivergenceError
        See :meth:`sknninterp.nn.rbm_trainer.RBMTrainer.end_epoch`.
    """
    start = time.perf_counter()
    settings = trainer.current_rule, trainer.current_lr, trainer.current_momentum
    for values, weight in batches:
        trainer.step(values, weight)
    error = trainer.end_epoch()
    return Epoch(trainer.epoch, *settings, error, time.perf_counter() - start)


def train(
    rbm: BaseRBM,
    batches: Iterable[tuple[Tensor, Tensor | None]],
    n_epochs: int = 10,
    *,
    rule: str = "reconstruction",
    lr: float | None = None,
    hybrid_epochs: tuple[int, int] = (7, 3),
    on_epoch: Callable[[Epoch], bool | None] | None = None,
    keep: Callable[[dict[str, Any]], object] | None = None,
    kept: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[RBMTrainer, list[Epoch]]:
    """Train a machine in place.

    Parameters
    ----------
    rbm : DenseRBM or ConvRBM
    batches : iterable of (values, weights or None)
        Gone through once an epoch: not an iterator that is used up.
    n_epochs : int, default=10
    rule : {"cd", "reconstruction", "exact", "hybrid"}, default="reconstruction"
    lr : float, default=None
        Learning rate. None takes the published one, and where training diverges with that, starts
        over from the same parameters with a tenth, a hundredth, ... of it.
    hybrid_epochs : tuple of int, default=(7, 3)
        Epochs of "cd" and of "reconstruction" in "hybrid", `n_epochs` together.
    on_epoch : callable, default=None
        Called with each :class:`Epoch`, also those of starts that diverge; True ends the training.
    keep : callable, default=None
        Called after each epoch with the state of the training; its tensors change in the next one.
    kept : dict, default=None
        Such a state, of a training that was begun in the same way: it goes on from there.
    **options
        Of :class:`sknninterp.nn.rbm_trainer.RBMTrainer`.

    Returns
    -------
    trainer : RBMTrainer
        That of the last start.
    epochs : list of Epoch
        Its epochs.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or `hybrid_epochs` do not add up.
    DivergenceError
        If training diverges with the given `lr`, or with the smallest one tried.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.rbm import DenseRBM
    >>> from sknninterp.nn.rbm_training import train
    >>> generator = torch.Generator().manual_seed(0)
    >>> X = torch.rand(64, 6, generator=generator)
    >>> batches = [(batch, None) for batch in X.split(16)]
    >>> trainer, epochs = train(DenseRBM(6, 3, generator=generator), batches, 5)
    >>> [epoch.momentum for epoch in epochs], epochs[0].rule
    ([0.5, 0.5, 0.5, 0.5, 0.5], 'reconstruction')
    """
    check_hybrid_epochs(rule, hybrid_epochs, n_epochs)
    first = [p.detach().clone() for p in rbm.parameters()]
    factors = _FALLBACKS if lr is None else (1.0,)
    for factor in factors if kept is None else factors[factors.index(kept["factor"]) :]:
        with torch.no_grad():
            for p, value in zip(rbm.parameters(), first, strict=True):
                p.copy_(value)
        trainer = RBMTrainer(
            rbm, rule, lr=lr, lr_factor=factor, hybrid_epochs=hybrid_epochs, **options
        )
        epochs: list[Epoch] = []
        if kept is not None:
            trainer.load_state_dict(kept["trainer"])
            epochs = [Epoch(*epoch) for epoch in kept["epochs"]]
            set_random_numbers(kept["random"], rbm.weight.device)
            kept = None
        try:
            for _ in range(len(epochs), n_epochs):
                epochs.append(train_epoch(trainer, batches))
                if keep is not None:
                    keep(_state(trainer, epochs))
                if on_epoch is not None and on_epoch(epochs[-1]):
                    break
        except DivergenceError:
            if factor == factors[-1]:
                raise
        else:
            break
    return trainer, epochs


def _state(trainer: RBMTrainer, epochs: list[Epoch]) -> dict[str, Any]:
    return {
        "factor": trainer.lr_factor,
        "trainer": trainer.state_dict(),
        "epochs": [tuple(epoch) for epoch in epochs],
        "random": random_numbers(trainer.rbm.weight.device),
    }


def check_hybrid_epochs(rule: str, hybrid_epochs: tuple[int, int], n_epochs: int) -> None:
    """See that the epochs of "hybrid" add up.

    Parameters
    ----------
    rule : str
        Other rules than "hybrid" have nothing to add up.
    hybrid_epochs : tuple of int
    n_epochs : int

    Raises
    ------
    ValueError
        If they do not.
    """
    two = len(hybrid_epochs) == 2 and min(hybrid_epochs) >= 0
    if rule == "hybrid" and not (two and sum(hybrid_epochs) == n_epochs):
        raise ValueError(
            f"hybrid_epochs={tuple(hybrid_epochs)} must be two numbers that add up to the"
            f" {n_epochs} epochs of training."
        )
