"""ROAR: remove the features that matter most, fit again, and see what is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from scipy.stats import t as student
from sklearn.base import is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing, check_consistent_length, check_random_state
from sklearn.utils.validation import _num_samples

from sknninterp._typing import MatrixLike, Seed
from sknninterp.estimators._device import draw_seed
from sknninterp.estimators._folds import Samples, fit_samples, seeded_clone
from sknninterp.estimators._network import as_table
from sknninterp.evaluation._checks import check_count, check_inside, check_share
from sknninterp.evaluation._rankings import as_explanation, ranks_of
from sknninterp.evaluation._replacement import Replacement
from sknninterp.explainers.explanation import Explanation

__all__ = ["roar"]


def roar(
    estimator: Any,
    X: MatrixLike,
    y: ArrayLike,
    importances: Any,
    *,
    shares: Sequence[float] | np.ndarray = (0.1, 0.3, 0.5, 0.7, 0.9),
    cv: Any = 5,
    scoring: str | Callable | None = None,
    replacement: str = "mean",
    n_random: int = 1,
    confidence_level: float = 0.95,
    random_state: Seed = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> pd.DataFrame:
    r"""ROAR: the score of an estimator that is fitted again without the top features.

    The most important features are replaced in the training and in the test part of each split, a
    clone of the estimator is fitted on what is left, and scored [1]_. An estimator that was never
    shown such samples may fail because they are strange to it (which blurs deletion curves); one
    that is fitted on them fails only if what it needs is gone. What is removed in a random order,
    beside it, shows how much the rest can stand in. It costs a fit for each share, split and order.

    Where several features carry the same, none of them is missed: ROAR tells whether a ranking
    finds what *data* need, not whether it is faithful to one network.

    Parameters
    ----------
    estimator : estimator
        A classifier or regressor, fitted or not: clones of it are fitted.
    X : array-like or DataFrame of shape (n_samples, n_features) or (n_samples, ...)
    y : array-like of shape (n_samples,)
    importances : array-like, Explanation, explainer or estimator
        One ranking, (n_features,), the largest first. Or one for each sample of X, as attributions
        to one output: as in the paper, each sample then loses its own top features (beware: what is
        missing may itself tell the label). Or an explainer or other estimator, of which clones are
        fitted on the training part of each split, for their `feature_importances_` or `coef_`; only
        these have not seen the test part.
    shares : sequence of float, default=(0.1, 0.3, 0.5, 0.7, 0.9)
        Shares of the features that are replaced.
    cv : int, splitter or iterable of (train, test), default=5
        Splits, stratified for classifiers.
    scoring : str or callable, default=None
        As scikit-learn takes it; None is the estimator's own score.
    replacement : {"mean", "sample", "conditional"}, default="mean"
        As for :func:`perturbation_curves`, with the training part as background. The paper's is
        "mean".
    n_random : int, default=1
        Random orders in each split; 0 for none.
    confidence_level : float, default=0.95
        Of the t intervals over splits, with a variance that is corrected for the training parts'
        overlap [2]_.
    random_state : int, RandomState instance or None, default=None
        Of the estimator's fits, random orders, ties and drawn replacements.
    n_jobs : int, default=None
        Fits side by side, as joblib takes it. Results do not depend on it.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    DataFrame of shape (1 + n_shares, n_columns)
        By `share`, from 0: `n_features` replaced; `score` with `score_lower` and `score_upper`; and
        with random orders the same of `random` and of the `difference`, score less random. A
        difference below 0 says that the ranking finds what is needed. Limits of one split are NaN.

    Raises
    ------
    ValueError
        If shapes do not fit, importances are not finite, or a parameter is no such thing.

    References
    ----------
    .. [1] Hooker, Erhan, Kindermans & Kim (2019), *A benchmark for interpretability methods in deep
       neural networks*, NeurIPS, section 3.
    .. [2] Nadeau & Bengio (2003), *Inference for the generalization error*, Machine Learning 52.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn.linear_model import RidgeClassifier
    >>> from sknninterp.evaluation.retraining import roar
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> forest = RandomForestClassifier(20, random_state=0)
    >>> table = roar(RidgeClassifier(), X, y, forest, shares=[0.5, 0.9], cv=3, random_state=0)
    >>> bool(table.loc[0.9, "score"] < table.loc[0.9, "random"] < table.loc[0, "score"])
    True
    """
    check_count("n_random", n_random, 0)
    check_inside("confidence_level", confidence_level, 0, 1)
    X = as_table(X)
    check_consistent_length(X, y)
    generator = check_random_state(random_state)
    splits = list(check_cv(cv, y, classifier=is_classifier(estimator)).split(X, y))
    seeds = [draw_seed(generator) for _ in splits]
    n_features = int(np.prod(X.shape[1:]))
    counts = [0, *(_count(share, n_features) for share in shares)]
    trial = _Refits(estimator, X, y, importances, check_scoring(estimator, scoring), replacement)
    calls = [
        delayed(trial.scores)(train, test, seed, counts, n_random)
        for (train, test), seed in zip(splits, seeds, strict=True)
    ]
    from tqdm.auto import tqdm

    found = Parallel(n_jobs=n_jobs, return_as="generator")(calls)
    found = tqdm(found, total=len(calls), unit="split", disable=not verbose)
    scores = np.stack(list(found))  # (n_splits, 1 + n_random, n_counts)
    tail = student.ppf((1 + confidence_level) / 2, max(1, len(splits) - 1))
    overlap = np.mean([len(test) / len(train) for train, test in splits])
    return _table([0, *shares], counts, scores, tail, overlap)


class _Refits:
    """Clones of an estimator fitted and scored without the first features of an order."""

    def __init__(self, estimator, X, y, importances, scorer, replacement):
        self.estimator, self.X, self.y = estimator, X, y
        self.scorer, self.replacement = scorer, replacement
        self.importances = importances
        if not hasattr(importances, "fit"):
            self.importances = _ranking(importances, X)

    def scores(self, train, test, seed, counts, n_random) -> np.ndarray:
        """Scores of one split, (1 + n_random, n_counts): the ranking's, then in random order."""
        random_state = np.random.RandomState(seed)
        values = self._values(train, random_state)
        background = _safe_indexing(self.X, train)
        parts = [
            Replacement(self.replacement, _safe_indexing(self.X, rows), around, random_state)
            for rows, around in ((train, None), (test, background))
        ]
        found: list[list[float]] = []
        for i in range(1 + n_random):
            scores = random_state.uniform(size=values.shape) if i else values
            ranks = ranks_of(scores, random_state, _num_samples(self.X))
            # Without anything removed all orders are the same.
            first = [found[0][0]] if i else [self._score(parts, ranks, 0, train, test, seed)]
            others = [self._score(parts, ranks, n, train, test, seed) for n in counts[1:]]
            found.append(first + others)
        return np.array(found)

    def _values(self, train, random_state) -> np.ndarray:
        if isinstance(self.importances, np.ndarray):
            return self.importances
        explainer, seed = seeded_clone(self.importances, 0, random_state)
        samples = Samples(_safe_indexing(self.X, train), _safe_indexing(self.y, train))
        explainer = fit_samples(explainer, seed, samples)
        if hasattr(explainer, "explain"):
            return _ranking(explainer.feature_importances_, self.X)
        return _ranking(as_explanation(explainer, self.X), self.X)

    def _score(self, parts, ranks, n_removed, train, test, seed) -> float:
        fitted, tested = (
            part(ranks[rows] < n_removed) for part, rows in zip(parts, (train, test), strict=True)
        )
        # The same seed for all orders and shares: they differ in what is removed alone.
        clone, torch_seed = seeded_clone(self.estimator, 0, np.random.RandomState(seed))
        samples = Samples(fitted, _safe_indexing(self.y, train))
        clone = fit_samples(clone, torch_seed, samples)
        return self.scorer(clone, tested, _safe_indexing(self.y, test))


def _ranking(importances, X) -> np.ndarray:
    """What features are ranked by, (n_samples or 1, n_features)."""
    importances = as_explanation(importances, X)
    values = np.asarray(importances, dtype=float)
    if values.shape not in (tuple(X.shape), tuple(X.shape[1:])):
        raise ValueError(
            f"importances have the shape {values.shape}; X has {tuple(X.shape)}: one ranking, or"
            " for each sample attributions to one output, are taken."
        )
    if not np.isfinite(values).all():
        raise ValueError("importances hold NaN or infinite numbers.")
    if isinstance(importances, Explanation) and not importances.signed:
        values = np.abs(values)
    return values.reshape(-1, int(np.prod(X.shape[1:])))


def _count(share, n_features) -> int:
    check_share("shares", share)
    return max(1, round(share * n_features))


def _table(shares, counts, scores, tail, overlap) -> pd.DataFrame:
    ranking, n_splits = scores[:, 0], len(scores)
    measured = {"score": ranking}
    if scores.shape[1] > 1:
        random = scores[:, 1:].mean(1)
        measured |= {"random": random, "difference": ranking - random}
    columns = {"n_features": counts}
    for name, values in measured.items():
        mean = values.mean(0)
        half = np.full(len(mean), np.nan)
        if n_splits > 1:
            half = tail * values.std(0, ddof=1) * np.sqrt(1 / n_splits + overlap)
        columns |= {name: mean, f"{name}_lower": mean - half, f"{name}_upper": mean + half}
    return pd.DataFrame(columns, index=pd.Index(shares, name="share"))
