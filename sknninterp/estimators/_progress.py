"""A progress bar for the training of machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sknninterp.nn.rbm_training import Epoch


@contextmanager
def epoch_bar(verbose: int, n_epochs: int | None) -> Iterator[Callable[..., None]]:
    """A progress bar over epochs with the reconstruction error beside it.

    The block is given a function that moves it on: of an :class:`Epoch`, and of words to put
    before the error.

    Parameters
    ----------
    verbose : int
        0 shows none.
    n_epochs : int or None
        None where that is not known.
    """
    from tqdm.auto import tqdm

    with tqdm(total=n_epochs, unit="epoch", disable=not verbose) as bar:

        def on_epoch(epoch: Epoch, **words: str) -> None:
            bar.set_postfix(words, reconstruction_error=f"{epoch.reconstruction_error:.4g}")
            bar.update()

        yield on_epoch
