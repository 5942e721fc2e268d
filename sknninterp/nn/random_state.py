"""Torch's random numbers, for one thread at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch

# There is one state of torch's for all threads.
_TURN = RLock()


@contextmanager
def own_random_numbers(seed: int) -> Iterator[None]:
    """Torch's random numbers from a seed inside the block; their state is back after it.

    Threads that want the same wait until it is left.

    Parameters
    ----------
    seed : int

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.random_state import own_random_numbers
    >>> def draw():
    ...     with own_random_numbers(0):
    ...         return torch.rand(()).item()
    >>> draw() == draw()
    True
    """
    with _TURN, torch.random.fork_rng(devices=all_gpus()):
        _seed(seed)
        yield


def all_gpus() -> range:
    """Numbers of the GPUs; where torch cannot use any, no driver's library is looked for."""
    return range(torch.cuda.device_count() if torch.cuda.is_available() else 0)


def _seed(seed: int) -> None:
    """As `torch.manual_seed`, which without a GPU keeps a note for one each time."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)


def random_numbers(device: torch.device | str) -> list[torch.Tensor]:
    """State of torch's generators that a training on a device draws from.

    Parameters
    ----------
    device : torch.device or str

    Returns
    -------
    list of Tensor
        Of the CPU's, and of the GPU's if it is one.
    """
    states = [torch.get_rng_state()]
    if torch.device(device).type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return states


def set_random_numbers(states: list[torch.Tensor], device: torch.device | str) -> None:
    """Set the generators to what :func:`random_numbers` has found.

    Parameters
    ----------
    states : list of Tensor
    device : torch.device or str
    """
    torch.set_rng_state(states[0])
    for state in states[1:]:
        torch.cuda.set_rng_state(state, device)
