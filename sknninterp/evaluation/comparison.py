"""Explainers side by side, on the same network and the same samples."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from joblib import delayed
from numpy.typing import ArrayLike
from sklearn.base import clone, is_classifier
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.validation import _num_samples

from sknninterp._typing import MatrixLike, Seed
from sknninterp.estimators._device import draw_seed
from sknninterp.estimators._network import as_table, is_fitted
from sknninterp.evaluation._checks import check_choice, check_count
from sknninterp.evaluation._refits import in_parallel
from sknninterp.evaluation._repeats import check_refits, feature_labels, fit_repeat, importances_of
from sknninterp.evaluation.agreement import jaccard, nogueira, spearman, top_k
from sknninterp.evaluation.faithfulness import perturbation_curves
from sknninterp.evaluation.known_truth import recovery
from sknninterp.evaluation.peers import PermutationExplainer
from sknninterp.explainers._base import BaseExplainer

__all__ = ["compare_explainers"]

# What explains an estimator inside it.
_AROUND = (BaseExplainer, PermutationExplainer)


def compare_explainers(
    explainers: list | dict,
    X: MatrixLike,
    y: ArrayLike | None = None,
    *,
    estimator: Any = None,
    relevant: ArrayLike | None = None,
    k: int = 10,
    n_repeats: int = 0,
    resampling: str = "seed",
    subsample: float = 0.5,
    n_explained: int = 200,
    replacement: str = "mean",
    n_steps: int = 20,
    n_random: int = 5,
    errors: str = "warn",
    n_jobs: int | None = None,
    random_state: Seed = None,
    verbose: int = 0,
) -> pd.DataFrame:
    """Compare explainers by faithfulness, recovery of a known truth, stability and time.

    Parameters
    ----------
    explainers : list or dict of explainers
        Explainers of this package or of :mod:`sknninterp.evaluation.peers`, or other estimators
        with `feature_importances_` or `coef_`, such as a forest; a dict names them. Those whose
        `estimator` is None get the common one, the others keep theirs.
    X : array-like or DataFrame of shape (n_samples, n_features)
    y : array-like of shape (n_samples,), default=None
        Needed where something is to be fitted.
    estimator : estimator, pipeline, search, skorch net or torch module, default=None
        The common one: fitted once, unless it is fitted, and then explained by all.
    relevant : array-like, default=None
        The relevant features, where they are known: a mask, positions or names.
    k : int, default=10
        Length of the top lists that precision and stability are measured on, at most the number of
        features.
    n_repeats : int, default=0
        How often everything is fitted again for stability: 0 leaves it out, else 2 at least. The
        common estimator is fitted so often once, for all explainers.
    resampling : {"seed", "bootstrap", "subsample"}, default="seed"
    subsample : float, default=0.5
        What differs between repeats, as for :class:`~sknninterp.RepeatedExplainer`. Rankings are
        over X in all repeats for explainers of the common estimator, so that they differ by the
        networks alone.
    n_explained : int, default=200
        Samples, drawn at random, whose explanations are measured and timed.
    replacement : {"mean", "sample", "conditional"}, default="mean"
    n_steps : int, default=20
    n_random : int, default=5
        As for :func:`~sknninterp.evaluation.faithfulness.perturbation_curves`, at least one random
        order.
    errors : {"warn", "raise"}, default="warn"
        Whether an explainer that fails, since it cannot read this network for instance, gets a row
        without numbers and a warning, or ends the comparison.
    n_jobs : int, default=None
        Repeats to fit at once.
    random_state : int, RandomState instance or None, default=None
    verbose : int, default=0
        1 shows a progress bar over repeats.

    Returns
    -------
    DataFrame
        One row an explainer.

        - `deletion`, `insertion`: mean area under the curve less that of a random order, of the
          predicted class's probability or the predicted value. A faithful explanation has a
          negative deletion and a positive insertion. `<name>_lower` and `_upper` are the limits of
          the 95 % interval over samples. Explainers that rank without explaining single samples
          use their one ranking for all.
        - `auroc`, `average_precision`, `precision_at_<k>`, `mean_rank`: recovery of `relevant`.
        - `spearman`, `jaccard_<k>`, `nogueira_<k>` and its `_lower` and `_upper`: agreement of the
          repeats.
        - `fit_time`: seconds to fit and rank over X, without the common estimator's own fit; and
          `explain_time`: seconds for 1,000 samples.

    Raises
    ------
    ValueError
        If a parameter is no such thing, or there is no estimator for an explainer.

    See Also
    --------
    sknninterp.evaluation.sanity.sanity_checks : What each of them should pass.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sknninterp import GarsonExplainer, PWPExplainer, TorchMLPClassifier
    >>> from sknninterp.evaluation import compare_explainers
    >>> X, y = make_classification(
    ...     300, 10, n_informative=3, n_redundant=0, shuffle=False, random_state=0)
    >>> network = TorchMLPClassifier((16,), max_epochs=30, random_state=0)
    >>> table = compare_explainers(
    ...     [PWPExplainer(), GarsonExplainer()], X, y, estimator=network, relevant=[0, 1, 2], k=3,
    ...     random_state=0)
    >>> table.index.tolist()
    ['PWP', 'Garson']
    >>> bool(table[["deletion", "insertion", "auroc", "fit_time"]].notna().all(axis=None))
    True
    """
    check_choice("errors", errors, ("warn", "raise"))
    check_choice("resampling", resampling, ("seed", "bootstrap", "subsample"))
    check_count("n_random", n_random, 1)
    check_count("n_explained", n_explained, 1)
    check_count("k", k, 1)
    if not isinstance(n_repeats, Integral) or (n_repeats < 2 and n_repeats != 0):
        raise ValueError(f"n_repeats={n_repeats!r} must be 0, for no stability, or at least 2.")
    X = as_table(X)
    random_state = check_random_state(random_state)
    curves = {"replacement": replacement, "n_steps": n_steps, "n_random": n_random}
    curves |= {"background": X, "random_state": draw_seed(random_state)}
    rows = random_state.permutation(_num_samples(X))[:n_explained]
    repeating = resampling, subsample, n_jobs, verbose
    seeds = [draw_seed(random_state) for _ in range(n_repeats)]
    own_seed = draw_seed(random_state)

    named = _named(explainers)
    if any(_wants_estimator(explainer) for explainer in named.values()):
        if estimator is None:
            raise ValueError("estimator=None, but an explainer has none of its own.")
        if seeds:
            check_refits(estimator)
        unfitted, estimator = estimator, _fitted(estimator, own_seed, X, y)
        networks = _repeats(unfitted, seeds, X, y, repeating) if seeds else []
    table = {}
    for name, explainer in named.items():
        shares = _wants_estimator(explainer)
        try:
            trial = _Trial.of(explainer, estimator if shares else None, X, y, own_seed)
            found = trial.faithfulness(_safe_indexing(X, rows), curves)
            if relevant is not None:
                found |= trial.recovery(relevant, k)
            if shares and seeds:
                again = [_Trial.of(explainer, network, X, y, own_seed) for network in networks]
                found |= _stability([one.importances for one in again], trial.limited(k))
            elif seeds:
                check_refits(explainer)
                again = _repeats(explainer, seeds, X, y, repeating)
                found |= _stability([*map(importances_of, again)], trial.limited(k))
            table[name] = found | trial.times
        except Exception as error:
            if errors == "raise":
                error.add_note(f"This was in the explainer {name!r}.")
                raise
            warnings.warn(f"{name}: {type(error).__name__}: {error}", UserWarning, stacklevel=2)
            table[name] = {}
    columns = dict.fromkeys(column for found in table.values() for column in found)
    return pd.DataFrame([*table.values()], [*table], [*columns], dtype=float)


# --- what is compared ---------------------------------------------------------------------------


def _named(explainers) -> dict[str, object]:
    if isinstance(explainers, Mapping):
        named = dict(explainers)
    else:
        named = {}
        for explainer in explainers:
            own = isinstance(explainer, _AROUND)
            first = name = explainer.method if own else type(explainer).__name__
            number = 1
            while name in named:
                number += 1
                name = f"{first} ({number})"
            named[name] = explainer
    if not named:
        raise ValueError("explainers is empty.")
    return named


def _wants_estimator(explainer) -> bool:
    return isinstance(explainer, _AROUND) and explainer.estimator is None


def _fitted(estimator, seed, X, y):
    """An estimator as it is, if it is fitted, or a fitted clone."""
    if is_fitted(estimator):
        return estimator
    if y is None:
        raise ValueError(f"y=None, but {type(estimator).__name__} is still to be fitted.")
    return fit_repeat(0, seed, estimator, X, y, "seed", 1.0, False, False)


def _repeats(estimator, seeds, X, y, repeating) -> list:
    """Fitted clones, one for each seed."""
    resampling, share, n_jobs, verbose = repeating
    if y is None:
        raise ValueError("y=None, but the repeats are still to be fitted.")
    classifies = is_classifier(estimator)
    calls = [
        delayed(fit_repeat)(number, seed, estimator, X, y, resampling, share, classifies, False)
        for number, seed in enumerate(seeds)
    ]
    return in_parallel(calls, n_jobs, verbose, "repeat")


# --- one explainer ------------------------------------------------------------------------------


@dataclass
class _Trial:
    """An explainer that is fitted, and how long that took."""

    explainer: Any
    names: pd.Index
    importances: np.ndarray
    times: dict[str, float]

    @classmethod
    def of(cls, explainer, estimator, X, y, seed):
        start = time.perf_counter()
        if estimator is not None:
            explainer = clone(explainer)
            # Not through clone, which would forget what the network has learnt.
            explainer.set_params(estimator=estimator)
            explainer.fit(X, y)
        else:
            explainer = _fitted(explainer, seed, X, y)
        seconds = time.perf_counter() - start
        importances = importances_of(explainer)
        names = getattr(X, "columns", range(importances.size))
        names = feature_labels(explainer, importances, [*map(str, names)])
        return cls(explainer, names, importances, {"fit_time": seconds})

    def limited(self, k: int) -> int:
        return min(k, self.importances.size)

    def recovery(self, relevant, k: int) -> dict[str, float]:
        """How well the ranking finds the relevant features."""
        ranking = pd.Series(self.importances.ravel(), self.names)
        return recovery(ranking, relevant, self.limited(k)).iloc[0].to_dict()

    def faithfulness(self, X, options) -> dict[str, float]:
        """Areas of deletion and insertion less those of a random order."""
        estimator, explanation = self.explainer, self.importances
        if hasattr(estimator, "explain"):
            target = "predicted" if is_classifier(estimator) else None
            start = time.perf_counter()
            explanation = self.explainer.explain(X, target)
            seconds = time.perf_counter() - start
            self.times["explain_time"] = 1000 * seconds / _num_samples(X)
        estimator = estimator.estimator_ if isinstance(estimator, _AROUND) else estimator
        found: dict[str, float] = {}
        for kind in ("deletion", "insertion"):
            curves = perturbation_curves(estimator, X, explanation, kind=kind, **options)
            mean, lower, upper = curves.summary().loc["difference"]
            found |= {kind: mean, f"{kind}_lower": lower, f"{kind}_upper": upper}
        return found


def _stability(importances, k) -> dict[str, float]:
    table = np.stack([one.ravel() for one in importances])
    selected = top_k(table, k)
    measured = nogueira(selected)
    return {
        "spearman": spearman(table),
        f"jaccard_{k}": jaccard(selected),
        f"nogueira_{k}": measured.stability,
        f"nogueira_{k}_lower": measured.lower,
        f"nogueira_{k}_upper": measured.upper,
    }
