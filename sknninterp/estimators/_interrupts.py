"""Ctrl-C in a fit: training ends with the epoch under way, and what was learnt by then is kept."""

from __future__ import annotations

import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from sklearn.exceptions import ConvergenceWarning

# What fits one estimator after the other: there, a fit that ended early would pass for a whole one.
_MANY_FITS = (
    "joblib.",
    "sklearn.feature_selection.",
    "sknninterp.estimators._folds",
    "sknninterp.estimators._search",
    "sknninterp.evaluation.",
)


class _CtrlC:
    """The handler of SIGINT while a fit is under way in the main thread."""

    active = False
    times = 0
    reported = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.times += 1
        if self.times > 1:
            raise KeyboardInterrupt


_CTRL_C = _CtrlC()


@contextmanager
def deferred_interrupts() -> Iterator[bool]:
    """Ctrl-C inside the block makes :func:`interrupted` true, and no more; a second one strikes.

    When the outermost block is left it is raised after all, unless :func:`report_interrupt` has
    warned of it. Where Python's own handler of SIGINT is not in its place, that is left alone. The
    block is given whether it is the outermost.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield not (main and _CTRL_C.active)
        return
    _CTRL_C.active, _CTRL_C.times, _CTRL_C.reported = True, 0, False
    signal.signal(signal.SIGINT, _CTRL_C)
    try:
        yield True
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        pressed, _CTRL_C.active, _CTRL_C.times = _CTRL_C.times, False, 0
    if pressed and not _CTRL_C.reported:
        raise KeyboardInterrupt


def interrupted() -> bool:
    """Whether Ctrl-C was pressed in the fit under way: training is to end with this epoch."""
    return _CTRL_C.times > 0 and threading.current_thread() is threading.main_thread()


def raise_if_impatient() -> None:
    """Raise what a second Ctrl-C raised, where that was swallowed: no epoch has ended then."""
    if _CTRL_C.times > 1 and interrupted():
        raise KeyboardInterrupt


def report_interrupt(what: str) -> None:
    """Warn that Ctrl-C has ended the training, in place of raising it.

    In a search, or what else fits many estimators, nothing is reported: it is raised.

    Parameters
    ----------
    what : str
        How far it came.
    """
    if _CTRL_C.times == 1 and interrupted() and not _one_of_many():
        _CTRL_C.reported = True
        warn_of_end(what)


def warn_of_end(what: str) -> None:
    """Warn that training has ended before its time.

    Parameters
    ----------
    what : str
        How far it came.
    """
    warnings.warn(f"Training was interrupted {what}.", ConvergenceWarning, stacklevel=3)


def _one_of_many() -> bool:
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(_MANY_FITS):
            return True
        frame = frame.f_back
    return False
