"""What torch computes with: the device, the seed, and how many threads are worth their while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch

from sknninterp.nn.random_state import own_random_numbers

# Below this many multiplications a batch, a second thread costs more than it brings.
_ONE_THREAD_BELOW = 10_000_000


def resolve_device(device: str | torch.device) -> torch.device:
    """The device of an estimator's parameter `device`.

    Parameters
    ----------
    device : str or torch.device
        "auto" takes the GPU if there is one.

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        If it cannot be used here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found).cpu()
    except (AssertionError, RuntimeError) as error:
        raise ValueError(f"device={device!r} cannot be used here: {error}") from error
    return found


def draw_seed(random_state: np.random.RandomState) -> int:
    """A seed for another generator.

    Parameters
    ----------
    random_state : RandomState

    Returns
    -------
    int
    """
    return random_state.randint(np.iinfo(np.int32).max)


@contextmanager
def seeded(random_state: np.random.RandomState) -> Iterator[None]:
    """Torch's random numbers from a drawn seed inside the block, where other threads draw none.

    Parameters
    ----------
    random_state : RandomState
    """
    with own_random_numbers(draw_seed(random_state)):
        yield


@contextmanager
def single_threaded() -> Iterator[None]:
    """One thread inside the block, as for work side by side; torch's number is back after it."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def threads_for(multiplications: float) -> Iterator[None]:
    """One thread inside the block for small batches; torch's number is back after it.

    Parameters
    ----------
    multiplications : float
        Of the forward pass of one batch.
    """
    with single_threaded() if multiplications < _ONE_THREAD_BELOW else nullcontext():
        yield
