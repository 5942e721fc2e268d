"""Many explanations of the same samples as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing

from sknninterp._typing import MatrixLike
from sknninterp.explainers.explanation import Explanation


def mean_explanation(explanations: Iterable[Explanation]) -> Explanation:
    """Mean of explanations of the same samples, of which only one is held at a time.

    Parameters
    ----------
    explanations : iterable of Explanation

    Returns
    -------
    Explanation
        With the standard deviation of each value as `spread`. Data that differ, as of pipelines
        that scale each in its own way, are left out.

    Raises
    ------
    ValueError
        If they are of different features or outputs.
    """
    explanations = iter(explanations)
    first = next(explanations)
    data, values = first.data, first.values.astype(float)
    squares = np.zeros_like(values)
    sums = {"base_values": first.base_values, "gaps": first.gaps}
    n_explanations = 1
    for other in explanations:
        check_alike(n_explanations, first, other)
        n_explanations += 1
        # Welford's update: squares of large values would leave nothing of a small spread.
        change = other.values - values
        values += change / n_explanations
        squares += change * (other.values - values)
        sums = {k: None if v is None else v + getattr(other, k) for k, v in sums.items()}
        data = data if _same(data, other.data) else None
    spread = None if n_explanations == 1 else np.sqrt(squares / (n_explanations - 1))
    return first._replace(
        values=values.astype(first.values.dtype),
        spread=None if spread is None else spread.astype(first.values.dtype),
        **{k: None if v is None else v / n_explanations for k, v in sums.items()},
        data=data,
        method=f"{first.method}, mean of {n_explanations}",
    )


def explain_each(
    explainers: list,
    X: MatrixLike,
    target: Any,
    classes: Sequence,
    predict: Any,
    progress: Callable = iter,
) -> Iterator[Explanation]:
    """Explanations by several explainers of the same samples.

    Parameters
    ----------
    explainers : list of explainers
        Fitted.
    X : array-like or DataFrame of shape (n_samples, ...)
    target : None, "predicted", label or list of labels
        As for the explainers; "predicted" is what they predict together.
    classes : sequence
        Labels, of which "predicted" may be one.
    predict : callable
        The common prediction.
    progress : callable, default=iter
        Goes around the list.

    Yields
    ------
    Explanation
    """
    labels = None
    if isinstance(target, str) and target == "predicted" and target not in classes:
        # One sample tells whether there is such a thing; the explainers' own may differ.
        explainers[0].explain(_safe_indexing(X, [0]), target)
        labels = predict(X)
    for explainer in progress(explainers):
        if labels is None:
            yield explainer.explain(X, target)
        else:
            yield explain_labels(explainer, X, labels)


def quantiles(explanations: list[Explanation], shares: Sequence[float]) -> list[Explanation]:
    """Quantiles of each contribution over explanations of the same samples.

    Parameters
    ----------
    explanations : list of Explanation
    shares : sequence of float

    Returns
    -------
    list of Explanation
        One a share. They add up to nothing, and have no base values.

    Raises
    ------
    ValueError
        If they are of different features or outputs.
    """
    first = explanations[0]
    for number, other in enumerate(explanations):
        check_alike(number, first, other)
    found = np.quantile([one.values for one in explanations], shares, axis=0)
    data = first.data if all(_same(first.data, one.data) for one in explanations) else None
    return [
        first._replace(
            values=values,
            spread=None,
            base_values=None,
            gaps=None,
            data=data,
            method=f"{first.method}, {100 * share:.4g} % of {len(explanations)}",
        )
        for share, values in zip(shares, found, strict=True)
    ]


def explain_labels(explainer: Any, X: MatrixLike, labels: np.ndarray) -> Explanation:
    """Explain each sample for a label of its own.

    Parameters
    ----------
    explainer : explainer
        Fitted.
    X : array-like or DataFrame of shape (n_samples, ...)
    labels : ndarray of shape (n_samples,)

    Returns
    -------
    Explanation
        Without output axis, as of the target "predicted".
    """
    chosen = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    parts = [explainer.explain(_safe_indexing(X, rows), target=labels[rows[0]]) for rows in chosen]
    back = np.argsort(np.concatenate(chosen))

    def joined(name):
        arrays = [getattr(part, name) for part in parts]
        return None if arrays[0] is None else np.concatenate(arrays)[back]

    names = getattr(X, "index", None)
    return parts[0]._replace(
        **{name: joined(name) for name in ("values", "spread", "base_values", "gaps", "data")},
        sample_names=np.arange(len(labels)) if names is None else names,
        output_names=None,
        target=labels,
    )


def check_alike(number: int, first: Explanation, other: Explanation) -> None:
    """Raise a ValueError if a repeat's explanation is not of the first one's features and outputs.

    Parameters
    ----------
    number : int
        Of the repeat.
    first, other : Explanation
    """
    for what in ("feature_names", "output_names", "shape"):
        one, two = getattr(first, what), getattr(other, what)
        if not np.array_equal(np.asarray(one, dtype=object), np.asarray(two, dtype=object)):
            raise ValueError(
                f"Repeats explain different things: the {what.replace('_', ' ')} of repeat 0 are"
                f" {_listed(one)}, and those of repeat {number} are {_listed(two)}."
            )


def _listed(names) -> str:
    names = names.tolist() if isinstance(names, np.ndarray) else names
    return repr(names) if np.ndim(names) == 0 or len(names) <= 10 else f"{len(names)} others"


def _same(one, other) -> bool:
    """Whether the data are the same; of objects, which may be NaN, they are those of the user."""
    if one is None or other is None:
        return False
    if one.dtype.kind != "f" or other.dtype.kind != "f":
        return True
    return np.array_equal(one, other, equal_nan=True)
