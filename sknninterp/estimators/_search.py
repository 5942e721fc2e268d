"""Searches whose networks are trained at once: what they have in common."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import chain, groupby
from numbers import Integral
from typing import Any, Self

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from sklearn.base import ClassifierMixin, _fit_context, is_classifier
from sklearn.metrics import check_scoring
from sklearn.metrics._scorer import get_scorer_names
from sklearn.model_selection import check_cv
from sklearn.utils import Tags, _safe_indexing, check_array, check_random_state, get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from sknninterp._typing import MatrixLike, Seed
from sknninterp.estimators._device import draw_seed, single_threaded
from sknninterp.estimators._folds import given_folds, seeded_clone
from sknninterp.estimators._network import as_table, known_table
from sknninterp.estimators._stacked_fit import OWN, can_be_stacked, fit_stacked


def best_has(method: str) -> Callable[[Any], bool]:
    """Whether the refitted network has a method, as `available_if` asks.

    Parameters
    ----------
    method : str
    """

    def check(self):
        return bool(self.refit) and hasattr(getattr(self, "best_estimator_", self._base), method)

    return check


class Search(ABC):
    """Search over a few parameters of the network inside an estimator.

    Classes that inherit it say which, in `_candidates`, and what is simpler, in `_complexity`.
    """

    # Parameters that all have.
    estimator: Any
    cv: Any
    n_repeats: int
    scoring: str | Callable | None
    refit: bool
    one_standard_error: bool
    n_jobs: int | None
    random_state: Seed

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict", "set_params"]), None],
        "cv": ["cv_object"],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "refit": ["boolean"],
        "one_standard_error": ["boolean"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    @property
    @abstractmethod
    def _default(self) -> type:
        """What is searched where no estimator is given."""

    @abstractmethod
    def _candidates(self) -> list[dict]:
        """Parameters to try, by their names inside the estimator."""

    @abstractmethod
    def _complexity(self, candidate: dict) -> tuple:
        """What is less for simpler networks."""

    # -- fitting ---------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: MatrixLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Train a network for each candidate, fold and repeat, and the best one on all samples.

        Parameters
        ----------
        X : array-like, DataFrame or sparse matrix of shape (n_samples, n_features)
            As the estimator takes it.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        groups : array-like of shape (n_samples,), default=None
            For a `cv` that keeps groups together, such as the samples of one patient.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If what is to be tried is no list of unlike values, or the estimator has no such
            parameter, or refuses one of them; or if there is one fold only, which has no standard
            error.
        """
        X = as_table(X)
        validate_data(self, X, y, skip_check_array=True)
        self._sample_shape, self._n_samples = tuple(X.shape[1:]), X.shape[0]
        y = check_array(y, ensure_2d=False, dtype=None, input_name="y")
        check_consistent_length(X, y)
        candidates = self._candidates()
        splitter = check_cv(self.cv, y, classifier=is_classifier(self))
        folds = given_folds(list(splitter.split(X, y, groups)))
        if self.one_standard_error and len(folds) < 2:
            raise ValueError("one_standard_error needs two folds at least; cv has one.")
        random_state = check_random_state(self.random_state)
        seeds = [None if self.random_state is None else draw_seed(random_state)]
        seeds += [draw_seed(random_state) for _ in range(self.n_repeats - 1)]
        base = self._base
        self.scorer_ = check_scoring(base, self.scoring)
        of_folds = self._of_folds(base)
        fits = [
            (_network(base, {**candidate, **of_folds}, seed), *fold)
            for candidate in candidates
            for seed in seeds
            for fold in folds
        ]
        scored = self._evaluate(candidates, fits, X, y)
        found = np.reshape(scored, (len(candidates), len(seeds) * len(folds), 3))
        self._note(candidates, found, len(folds))
        if self.refit:
            start = time.perf_counter()
            self.best_estimator_ = _network(base, self.best_params_, seeds[0]).fit(X, y)
            self.refit_time_ = time.perf_counter() - start
        return self

    @property
    def _base(self):
        return self._new_default() if self.estimator is None else self.estimator

    def _new_default(self):
        return self._default()

    def _path(self, name: str) -> str:
        """Where a parameter of the network is among those of the estimator."""
        found = [path for path in self._base.get_params() if path.split("__")[-1] == name]
        if len(found) != 1:
            what = f"has {found}" if found else f"has no {name}"
            raise ValueError(
                f"estimator: {type(self._base).__name__} {what}; give {self._default.__name__}, or"
                " what holds one, such as a pipeline."
            )
        return found[0]

    def _of_folds(self, base) -> dict:
        """Parameters of what is scored on folds, unlike those of the refit."""
        # A checkpoint's folder is for one fit, that of the network in the end.
        return {name: None for name in base.get_params() if name.split("__")[-1] == "checkpoint"}

    def _evaluate(self, candidates, fits, X, y) -> list[tuple[float, float, float]]:
        """Score, and seconds for training and scoring, of each fit."""
        n_jobs, n_each = effective_n_jobs(self.n_jobs), len(fits) // len(candidates)
        alike = defaultdict(list)
        for number, (network, _, _) in enumerate(fits):
            rest = candidates[number // n_each].items()
            rest = tuple((k, v) for k, v in rest if k.split("__")[-1] not in OWN)
            # Those that no stack takes are alone.
            alike[rest if can_be_stacked(network) else number].append(number)
        tasks = [share for kind in alike.values() for share in deal(kind, n_each, n_jobs)]
        parts = Parallel(n_jobs=self.n_jobs)(
            delayed(_evaluate)([fits[i] for i in task], X, y, self.scorer_, n_jobs > 1)
            for task in tasks
        )
        found: list = [None] * len(fits)
        for task, part in zip(tasks, parts, strict=True):
            for number, values in zip(task, part, strict=True):
                found[number] = values
        return found

    def _note(self, candidates, found, n_folds) -> None:
        """What `GridSearchCV` would say of the search."""
        scores, *times = np.moveaxis(found, 2, 0)
        means = scores.mean(1)
        ranks = rankdata(-np.nan_to_num(means, nan=-np.inf), method="min").astype(np.int32)
        results = {f"split{i}_test_score": of_split for i, of_split in enumerate(scores.T)}
        for name, of_name in zip(("fit_time", "score_time"), times, strict=True):
            results |= {f"mean_{name}": of_name.mean(1), f"std_{name}": of_name.std(1)}
        self.cv_results_ = {
            **{f"param_{name}": _column(candidates, name) for name in candidates[0]},
            "params": candidates,
            **results,
            "mean_test_score": means,
            "std_test_score": scores.std(1),
            "rank_test_score": ranks,
        }
        self.n_splits_ = scores.shape[1]
        best = int(ranks.argmin())
        alike = means == means[best]  # with few samples, several may get all of them right
        if self.one_standard_error:
            # Repeats are of the same samples: the folds alone tell what other samples would do.
            of_folds = scores[best].reshape(-1, n_folds).mean(0)
            least = means[best] - of_folds.std(ddof=1) / np.sqrt(n_folds)
            alike = means >= least
        alike = np.flatnonzero(alike)  # none where there are no scores
        best = int(min(alike, key=lambda i: self._complexity(candidates[i]), default=best))
        self.best_index_, self.best_score_ = best, float(means[best])
        self.best_params_ = candidates[best]

    # -- prediction ------------------------------------------------------------------------------

    def _best(self, X):
        """The refitted network, and X with the columns seen in `fit`."""
        check_is_fitted(self, "best_estimator_")
        return self.best_estimator_, known_table(self, X)

    @available_if(best_has("predict"))
    def predict(self, X: MatrixLike) -> np.ndarray:
        """Predictions of the network with the best parameters.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        network, X = self._best(X)
        return network.predict(X)

    @available_if(best_has("predict"))
    def score(self, X: MatrixLike, y: ArrayLike) -> float:
        """Score of the network with the best parameters, by `scoring`.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)

        Returns
        -------
        float
        """
        network, X = self._best(X)
        return self.scorer_(network, X, y)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "cv_results_")

    def __sklearn_tags__(self) -> Tags:
        tags, of_base = super().__sklearn_tags__(), get_tags(self._base)
        for name in ("classifier_tags", "regressor_tags", "target_tags", "input_tags"):
            setattr(tags, name, getattr(of_base, name))
        return tags


class ClassifierSearch(ClassifierMixin):
    """What searches for classifiers have besides."""

    @property
    def classes_(self) -> np.ndarray:
        """Labels."""
        check_is_fitted(self, "best_estimator_")
        return self.best_estimator_.classes_

    @available_if(best_has("predict_proba"))
    def predict_proba(self, X: MatrixLike) -> np.ndarray:
        """Class probabilities of the network with the best parameters.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        network, X = self._best(X)
        return network.predict_proba(X)


def unlike_numbers(
    values: Sequence[float] | np.ndarray, name: str, low: float, high: float
) -> list[float]:
    """A search's list of numbers, checked.

    Parameters
    ----------
    values : array-like
    name : str
        For errors.
    low, high : float
        They are in [low, high).

    Raises
    ------
    ValueError
        If they are not, or if there are none, or two are the same.
    """
    found = check_array(
        values, ensure_2d=False, dtype=np.float64, ensure_min_samples=0, input_name=name
    )
    if found.ndim != 1 or not len(found) or len(np.unique(found)) < len(found):
        raise ValueError(f"{name}={values} must be a list of unlike numbers.")
    if found.min() < low or found.max() >= high:
        raise ValueError(f"{name}={values} must be in [{low:g}, {high:g}).")
    return found.tolist()


def deal(fits: list[int], n_each: int, n_jobs: int) -> list[list[int]]:
    """Shares of fits of one kind, one for each job, of about as much work.

    Those of one candidate are together as far as possible: networks of one shape are one stack.

    Parameters
    ----------
    fits : list of int
        Numbers of fits, `n_each` of each candidate, in the order of candidates.
    n_each, n_jobs : int

    Returns
    -------
    list of list of int
        Fewer than `n_jobs` if there are fewer fits.

    Examples
    --------
    >>> deal(list(range(10)), n_each=2, n_jobs=2)
    [[0, 1, 6, 7, 8], [2, 3, 4, 5, 9]]
    """
    candidates = [list(group) for _, group in groupby(fits, key=lambda fit: fit // n_each)]
    n_whole = len(candidates) - len(candidates) % n_jobs
    shares: list[list[int]] = [[] for _ in range(n_jobs)]
    for place, group in enumerate(candidates[:n_whole]):
        turn, job = divmod(place, n_jobs)
        # To and fro: the work of candidates, such as rising pruning rates, may rise or fall.
        shares[-1 - job if turn % 2 else job].extend(group)
    rest = list(chain.from_iterable(candidates[n_whole:]))
    for job, share in enumerate(shares):
        share.extend(rest[job::n_jobs])
    return [share for share in shares if share]


def _network(base, parameters: dict, seed: int | None):
    network, _ = seeded_clone(base, seed, np.random.RandomState(seed))
    return network.set_params(**parameters)


def _column(candidates: list[dict], name: str) -> np.ndarray:
    values = [candidate[name] for candidate in candidates]
    numbers = all(isinstance(value, float) for value in values)
    return np.array(values, dtype=float if numbers else object)


def _evaluate(fits, X, y, scorer, one_thread) -> list[tuple[float, float, float]]:
    """Fits of one kind, or a single one."""
    networks, start = [network for network, _, _ in fits], time.perf_counter()
    with single_threaded() if one_thread else nullcontext():
        if can_be_stacked(networks[0]):
            fit_stacked(networks, X, y, [train for _, train, _ in fits])
        else:
            ((network, train, _),) = fits
            network.fit(_safe_indexing(X, train), _safe_indexing(y, train))
        seconds = (time.perf_counter() - start) / len(fits)
        return [_scored(network, X, y, test, scorer, seconds) for network, _, test in fits]


def _scored(network, X, y, test, scorer, fit_time) -> tuple[float, float, float]:
    start = time.perf_counter()
    try:
        score = scorer(network, _safe_indexing(X, test), _safe_indexing(y, test))
    except AttributeError as error:
        raise ValueError(f"scoring: {error}") from error
    return score, fit_time, time.perf_counter() - start
