"""Whether attributions add up to what they claim to explain."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from sknninterp.explainers.explanation import Explanation

# Of what is to be explained.
TOLERANCE = 0.05


class CompletenessWarning(UserWarning):
    """Attributions that ought to add up to the output do not.

    Examples
    --------
    >>> from sknninterp.evaluation import CompletenessWarning
    >>> issubclass(CompletenessWarning, UserWarning)
    True
    """


def relative_gaps(gaps: np.ndarray, changes: np.ndarray) -> np.ndarray:
    """Gaps over the changes that are to be explained, or over the root mean square of these.

    Whichever is larger: a sample near the base is measured as the others are.

    Parameters
    ----------
    gaps, changes : ndarray of shape (n_samples, ...)
        What is missing, and output less base value.

    Returns
    -------
    ndarray of shape (n_samples, ...)
        Not negative; infinite where there is nothing to explain, yet something is.
    """
    scales = np.maximum(np.abs(changes), np.sqrt((changes**2).mean(0)))
    unexplained = np.where(gaps == 0, 0.0, np.inf)
    return np.divide(np.abs(gaps), scales, out=unexplained, where=scales > 0)


def warn_if_incomplete(explanation: Explanation, stacklevel: int) -> None:
    """Warn if the `gaps` of an explanation are more than 5 % of what is to be explained."""
    if explanation.gaps is None or not len(explanation):
        return
    axes = tuple(range(1, 1 + len(explanation.feature_shape)))
    gaps = explanation.gaps.astype(float).reshape(len(explanation), -1)
    changes = explanation.values.sum(axes, dtype=float).reshape(gaps.shape) - gaps
    labels = explanation.output_names
    if labels is None:  # each sample's own
        labels = explanation.target
    warn_of_gaps(
        explanation.method,
        gaps,
        relative_gaps(gaps, changes),
        explanation.sample_names,
        np.reshape(labels, (-1, gaps.shape[1])),
        TOLERANCE,
        stacklevel + 1,
    )


def warn_of_gaps(
    method: str | None,
    gaps: np.ndarray,
    relative: np.ndarray,
    sample_names: np.ndarray,
    labels: ArrayLike,
    tolerance: float,
    stacklevel: int,
) -> None:
    """Warn if any sample is beyond the tolerance, and tell the worst.

    Parameters
    ----------
    method : str or None
    gaps, relative : ndarray of shape (n_samples, n_outputs)
    sample_names : array-like of shape (n_samples,)
    labels : array-like of shape (n_outputs,) or (n_samples, n_outputs)
        Of the outputs.
    tolerance : float
    stacklevel : int
        From the caller, as for :func:`warnings.warn`.
    """
    beyond = relative > tolerance
    if not beyond.any():
        return
    sample, output = np.unravel_index(relative.argmax(), relative.shape)
    label = np.broadcast_to(labels, relative.shape)[sample, output]
    warnings.warn(
        f"{method or 'Explanation'}: attributions and base value miss the output by more than"
        f" {tolerance:.0%} for {beyond.any(1).sum():,} of {len(beyond):,} samples. The largest gap"
        f" is {gaps[sample, output]:.3g} ({relative[sample, output]:.0%} of what is to be"
        f" explained), for sample {sample_names[sample]} and output {label}.",
        CompletenessWarning,
        stacklevel=stacklevel + 1,
    )
