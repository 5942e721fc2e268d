"""The ranking of the features, with its spread over networks or repeats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sknninterp.evaluation._repeat_ranks import ranks
from sknninterp.reporting._study import Study

TOP = 10
# Importances of each class are told for at most so many numbers.
_MOST_OF_CLASSES = 1_000_000


@dataclass(frozen=True)
class Ranking:
    """Importances of the features, in the order of the features.

    Parameters
    ----------
    names : list of str
    importance : ndarray of shape (n_features,)
        Sums to 1.
    each : ndarray of shape (n_runs, n_features) or None
        Importances by network or repeat; None where there is one only.
    of_class : ndarray of shape (n_classes, n_features) or None
        For more than two classes.
    what : str, default="networks"
        What differs between the rows of `each`.
    """

    names: list[str]
    importance: np.ndarray
    each: np.ndarray | None = None
    of_class: np.ndarray | None = None
    what: str = "networks"

    @property
    def order(self) -> np.ndarray:
        """Positions of the features, the most important first."""
        return np.argsort(-self.importance, kind="stable")

    @property
    def limits(self) -> np.ndarray | None:
        """Ends of the middle 95 % over the runs, (2, n_features)."""
        return None if self.each is None else np.quantile(self.each, [0.025, 0.975], axis=0)

    @property
    def rank_limits(self) -> np.ndarray | None:
        """Best and worst rank, (2, n_features)."""
        if self.each is None:
            return None
        found = np.asarray(ranks(self.each))
        return np.stack([found.min(0), found.max(0)])

    @property
    def top_share(self) -> np.ndarray | None:
        """Share of the runs in which a feature is among the first ten."""
        if self.each is None:
            return None
        return (np.asarray(ranks(self.each)) <= TOP).mean(0)


def rank(
    study: Study,
    image_shape: tuple[int, ...] | None = None,
    each: Sequence | np.ndarray | None = None,
) -> Ranking:
    """Return what the explainer ranks.

    Parameters
    ----------
    study : Study
    image_shape : tuple of int, default=None
        Of samples that are images, flattened or not: their features are pixels.
    each : ndarray of shape (n_runs, n_features), default=None
        Importances by run; None takes those of the explainer's own networks or repeats.
    """
    explainer, what = study.explainer, "runs"
    if each is None:
        explainers = getattr(explainer, "explainers_", [])
        # Several networks of one estimator are `importances_` too, repeats are not.
        what = "networks" if hasattr(explainer, "importances_") else "repeats"
        each = [np.ravel(one.feature_importances_) for one in explainers]
    each = np.asarray(each, dtype=float) if len(each) > 1 else None
    importance = np.ravel(explainer.feature_importances_).astype(float)
    if each is not None and what == "runs":
        importance = each.mean(0)
    names = feature_names(study, image_shape, len(importance))
    return Ranking(names, importance, each, _of_class(study, len(importance)), what)


def feature_names(study: Study, image_shape: tuple[int, ...] | None, n_features: int) -> list[str]:
    """Names of the features for people; pixels by row and column."""
    if hasattr(study.X, "columns") or image_shape is None:
        return [*map(str, study.explainer.get_feature_names_out())]
    *channels, height, width = image_shape
    pixels = [f"pixel {i},{j}" for i in range(height) for j in range(width)]
    n_channels = n_features // len(pixels)
    if n_channels == 1:
        return pixels
    return [f"channel {c}, {pixel}" for c in range(n_channels) for pixel in pixels]


def _of_class(study: Study, n_features: int):
    """Importances of each class, each summing to 1."""
    table = getattr(study.explainer, "importances_", None)
    if study.task != "multiclass" or table is None or table.shape[1] != len(study.labels):
        return None
    if table.size > _MOST_OF_CLASSES or len(table) != n_features:
        return None
    found = table.to_numpy(float).T
    sums = found.sum(1, keepdims=True)
    return np.divide(found, sums, out=np.zeros_like(found), where=sums > 0)
