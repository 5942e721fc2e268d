"""How many neurons a network can do without: cross-validation with all networks at once."""

from __future__ import annotations

import time
from contextlib import nullcontext
from numbers import Integral

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, _fit_context, is_classifier
from sklearn.metrics import check_scoring
from sklearn.metrics._scorer import get_scorer_names
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing, check_array, check_random_state, get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from sknninterp.estimators._device import draw_seed, single_threaded
from sknninterp.estimators._folds import seeded_clone
from sknninterp.estimators._network import as_table, known_table
from sknninterp.estimators._stacked_fit import can_be_stacked, fit_stacked
from sknninterp.estimators.ant import ANTClassifier, ANTRegressor

__all__ = ["ANTClassifierCV", "ANTRegressorCV"]

_RATE = "pruning_rate"


def _best_has(method: str):
    """Whether the refitted network has a method, as `available_if` asks."""

    def check(self):
        return bool(self.refit) and hasattr(getattr(self, "best_estimator_", self._base), method)

    return check


class _PruningSearch:
    """Search over the pruning rate, what classifiers and regressors have in common."""

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict", "set_params"]), None],
        "pruning_rates": ["array-like"],
        "cv": ["cv_object"],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "refit": ["boolean"],
        "one_standard_error": ["boolean"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator=None,
        *,
        pruning_rates=(0.0, 0.25, 0.5, 0.75, 0.9),
        cv=None,
        n_repeats=1,
        scoring=None,
        refit=True,
        one_standard_error=False,
        n_jobs=None,
        random_state=None,
    ):
        self.estimator = estimator
        self.pruning_rates = pruning_rates
        self.cv = cv
        self.n_repeats = n_repeats
        self.scoring = scoring
        self.refit = refit
        self.one_standard_error = one_standard_error
        self.n_jobs = n_jobs
        self.random_state = random_state

    # -- fitting ---------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, groups=None):
        """Train a network for each pruning rate, fold and repeat, and one of the best rate on all.

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
            If `pruning_rates` are no different shares, or one would empty a layer; if `estimator`
            has not one `pruning_rate`, or has `n_tuned`, which takes its place; or if there is one
            fold only, which has no standard error.
        """
        X = as_table(X)
        validate_data(self, X, y, skip_check_array=True)
        self._sample_shape = tuple(X.shape[1:])
        y = check_array(y, ensure_2d=False, dtype=None, input_name="y")
        check_consistent_length(X, y)
        rates, parameter = self._rates(), self._parameter()
        splitter = check_cv(self.cv, y, classifier=is_classifier(self))
        folds = [tuple(map(np.asarray, fold)) for fold in splitter.split(X, y, groups)]
        if self.one_standard_error and len(folds) < 2:
            raise ValueError("one_standard_error needs two folds at least; cv has one.")
        random_state = check_random_state(self.random_state)
        seeds = [None if self.random_state is None else draw_seed(random_state)]
        seeds += [draw_seed(random_state) for _ in range(self.n_repeats - 1)]
        self.scorer_ = check_scoring(self._base, self.scoring)
        fits = [
            (self._network(parameter, rate, seed), *fold)
            for rate in rates
            for seed in seeds
            for fold in folds
        ]
        found = self._evaluate(fits, X, y)
        found = np.reshape(found, (len(rates), len(seeds) * len(folds), 3))
        self._note(rates, parameter, found, len(folds))
        if self.refit:
            start = time.perf_counter()
            best = self._network(parameter, self.best_pruning_rate_, seeds[0])
            self.best_estimator_ = best.fit(X, y)
            self.refit_time_ = time.perf_counter() - start
        return self

    @property
    def _base(self):
        return self._default() if self.estimator is None else self.estimator

    def _rates(self) -> np.ndarray:
        rates = check_array(
            self.pruning_rates,
            ensure_2d=False,
            dtype=np.float64,
            ensure_min_samples=0,
            input_name="pruning_rates",
        )
        if rates.ndim != 1 or not len(rates) or len(np.unique(rates)) < len(rates):
            raise ValueError(f"pruning_rates={self.pruning_rates} must be a list of unlike shares.")
        if rates.min() < 0 or rates.max() >= 1:
            raise ValueError(f"pruning_rates={self.pruning_rates} must be in [0, 1).")
        return rates

    def _parameter(self) -> str:
        """Name of the pruning rate among the parameters of the estimator."""
        parameters = self._base.get_params()
        found = [name for name in parameters if name.split("__")[-1] == _RATE]
        if len(found) != 1:
            what = f"has {found}" if found else f"has no {_RATE}"
            raise ValueError(
                f"estimator: {type(self._base).__name__} {what}; give an ANTClassifier or"
                " ANTRegressor, or what holds one, such as a pipeline."
            )
        tuned = found[0].removesuffix(_RATE) + "n_tuned"
        if parameters.get(tuned) is not None:
            raise ValueError(f"estimator: {tuned} takes the place of the pruning rate; set None.")
        return found[0]

    def _network(self, parameter: str, rate: float, seed: int | None):
        random_state = None if seed is None else np.random.RandomState(seed)
        network, _ = seeded_clone(self._base, seed, random_state)
        return network.set_params(**{parameter: float(rate)})

    def _evaluate(self, fits, X, y) -> list[tuple[float, float, float]]:
        """Score, and seconds for training and scoring, of each fit."""
        n_jobs = effective_n_jobs(self.n_jobs)
        # One stack for each job, of every so many fits: they are about as much work.
        stacked = can_be_stacked(self._base)
        n_tasks = min(n_jobs, len(fits)) if stacked else len(fits)
        evaluate = _evaluate_stacked if stacked else _evaluate_in_turn
        parts = Parallel(n_jobs=self.n_jobs)(
            delayed(evaluate)(fits[i::n_tasks], X, y, self.scorer_, n_jobs > 1)
            for i in range(n_tasks)
        )
        found = [None] * len(fits)
        for i, part in enumerate(parts):
            found[i::n_tasks] = part
        return found

    def _note(self, rates, parameter, found, n_folds) -> None:
        """What `GridSearchCV` would say of the search."""
        scores, *times = np.moveaxis(found, 2, 0)
        means = scores.mean(1)
        ranks = rankdata(-np.nan_to_num(means, nan=-np.inf), method="min").astype(np.int32)
        results = {f"split{i}_test_score": of_split for i, of_split in enumerate(scores.T)}
        for name, of_name in zip(("fit_time", "score_time"), times, strict=True):
            results |= {f"mean_{name}": of_name.mean(1), f"std_{name}": of_name.std(1)}
        self.cv_results_ = {
            f"param_{parameter}": rates,
            "params": [{parameter: float(rate)} for rate in rates],
            **results,
            "mean_test_score": means,
            "std_test_score": scores.std(1),
            "rank_test_score": ranks,
        }
        self.n_splits_ = scores.shape[1]
        best = int(ranks.argmin())
        if self.one_standard_error:
            # Repeats are of the same samples: the folds alone tell what other samples would do.
            of_folds = scores[best].reshape(-1, n_folds).mean(0)
            least = means[best] - of_folds.std(ddof=1) / np.sqrt(n_folds)
            enough = means >= least
            best = int(np.where(enough, rates, -1).argmax())
        self.best_index_, self.best_score_ = best, float(means[best])
        self.best_pruning_rate_ = float(rates[best])
        self.best_params_ = self.cv_results_["params"][best]

    # -- prediction ------------------------------------------------------------------------------

    def _best(self, X):
        """The refitted network, and X with the columns seen in `fit`."""
        check_is_fitted(self, "best_estimator_")
        return self.best_estimator_, known_table(self, X)

    @available_if(_best_has("predict"))
    def predict(self, X):
        """Predictions of the network with the best pruning rate.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        network, X = self._best(X)
        return network.predict(X)

    @available_if(_best_has("predict"))
    def score(self, X, y):
        """Score of the network with the best pruning rate, by `scoring`.

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

    def __sklearn_is_fitted__(self):
        return hasattr(self, "cv_results_")

    def __sklearn_tags__(self):
        tags, of_base = super().__sklearn_tags__(), get_tags(self._base)
        for name in ("classifier_tags", "regressor_tags", "target_tags", "input_tags"):
            setattr(tags, name, getattr(of_base, name))
        return tags


class ANTClassifierCV(_PruningSearch, ClassifierMixin, BaseEstimator):
    """Tuned classifier whose pruning rate is chosen by cross-validation.

    Every rate is tried on every fold, as `GridSearchCV` would, and the scores are the same. But
    plain networks, alone or at the end of a pipeline, are trained all at once, which is several
    times quicker: see :mod:`sknninterp.nn.stacked`.

    Parameters
    ----------
    estimator : ANTClassifier, or estimator or pipeline that holds one, default=None
        Its `pruning_rate` is chosen. None is `ANTClassifier()`.
    pruning_rates : array-like of float, default=(0.0, 0.25, 0.5, 0.75, 0.9)
        Shares of neurons to try to remove, in [0, 1).
    cv : int, splitter, iterable of splits or None, default=None
        None is 5 folds; these and an int's are stratified.
    n_repeats : int, default=1
        Networks of each rate and fold, each from another seed: scores of small networks on few
        samples depend on it.
    scoring : str or callable, default=None
        As for `GridSearchCV`; None is the estimator's own `score`, the accuracy.
    refit : bool, default=True
        Train a network with the best rate on all samples; without it there is nothing to predict
        with.
    one_standard_error : bool, default=False
        Take the highest rate whose mean score is at most one standard error below the best mean,
        in place of the rate with the best mean: the smallest network that is not clearly worse
        [1]_. The error is that of the best rate's mean over folds.
    n_jobs : int, default=None
        Processes. Scores do not depend on it, but for rounding.
    random_state : int, RandomState instance or None, default=None
        Seeds the repeats and the refit, whatever seeds there are inside. None leaves the
        estimator's own to the first repeat and the refit.

    Attributes
    ----------
    best_pruning_rate_ : float
    best_estimator_ : estimator
        The network with the best rate, fitted on all samples. Explainers find it there.
    best_score_ : float
        Mean score of the best rate. As the highest of several it flatters a little.
    best_index_ : int
    best_params_ : dict
    cv_results_ : dict of str to ndarray
        One entry a rate, as of `GridSearchCV`. The splits are the folds, repeat after repeat.
        `mean_fit_time` is the network's part of the time that all took together.
    n_splits_ : int
        Folds times repeats.
    scorer_ : callable
    refit_time_ : float
        Seconds.
    classes_ : ndarray
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has column names.

    See Also
    --------
    ANTClassifier : The network with one rate.
    sklearn.model_selection.GridSearchCV : Searches over anything, one network after another.

    Notes
    -----
    Trained at once are networks without dropout, batch norm, early stopping, callbacks and an own
    `module`, tuned by "kl"; any others one by one.

    References
    ----------
    .. [1] Hastie, Tibshirani and Friedman, *The Elements of Statistical Learning*, section 7.10.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknninterp import ANTClassifier, ANTClassifierCV
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> network = make_pipeline(StandardScaler(), ANTClassifier((16,), max_epochs=10, lr=0.01))
    >>> search = ANTClassifierCV(network, pruning_rates=[0, 0.5, 0.75], random_state=0).fit(X, y)
    >>> search.cv_results_["mean_test_score"].shape
    (3,)
    >>> search.best_pruning_rate_ in (0, 0.5, 0.75)
    True
    >>> search.score(X, y) > 0.95
    True
    """

    _default = ANTClassifier

    @property
    def classes_(self):
        """Labels."""
        check_is_fitted(self, "best_estimator_")
        return self.best_estimator_.classes_

    @available_if(_best_has("predict_proba"))
    def predict_proba(self, X):
        """Class probabilities of the network with the best pruning rate.

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


class ANTRegressorCV(_PruningSearch, RegressorMixin, BaseEstimator):
    """Tuned regressor whose pruning rate is chosen by cross-validation.

    Every rate is tried on every fold, as `GridSearchCV` would, and the scores are the same. But
    plain networks, alone or at the end of a pipeline, are trained all at once, which is several
    times quicker: see :mod:`sknninterp.nn.stacked`.

    Parameters
    ----------
    estimator : ANTRegressor, or estimator or pipeline that holds one, default=None
        Its `pruning_rate` is chosen. None is `ANTRegressor()`.
    pruning_rates : array-like of float, default=(0.0, 0.25, 0.5, 0.75, 0.9)
        Shares of neurons to try to remove, in [0, 1).
    cv : int, splitter, iterable of splits or None, default=None
        None is 5 folds.
    n_repeats : int, default=1
        Networks of each rate and fold, each from another seed: scores of small networks on few
        samples depend on it.
    scoring : str or callable, default=None
        As for `GridSearchCV`; None is the estimator's own `score`, R^2.
    refit : bool, default=True
        Train a network with the best rate on all samples; without it there is nothing to predict
        with.
    one_standard_error : bool, default=False
        Take the highest rate whose mean score is at most one standard error below the best mean,
        in place of the rate with the best mean: the smallest network that is not clearly worse
        [1]_. The error is that of the best rate's mean over folds.
    n_jobs : int, default=None
        Processes. Scores do not depend on it, but for rounding.
    random_state : int, RandomState instance or None, default=None
        Seeds the repeats and the refit, whatever seeds there are inside. None leaves the
        estimator's own to the first repeat and the refit.

    Attributes
    ----------
    best_pruning_rate_ : float
    best_estimator_ : estimator
        The network with the best rate, fitted on all samples. Explainers find it there.
    best_score_ : float
        Mean score of the best rate. As the highest of several it flatters a little.
    best_index_ : int
    best_params_ : dict
    cv_results_ : dict of str to ndarray
        One entry a rate, as of `GridSearchCV`. The splits are the folds, repeat after repeat.
        `mean_fit_time` is the network's part of the time that all took together.
    n_splits_ : int
        Folds times repeats.
    scorer_ : callable
    refit_time_ : float
        Seconds.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has column names.

    See Also
    --------
    ANTRegressor : The network with one rate.
    sklearn.model_selection.GridSearchCV : Searches over anything, one network after another.

    Notes
    -----
    Trained at once are networks without dropout, batch norm, early stopping, callbacks and an own
    `module`, tuned by "kl"; any others one by one.

    References
    ----------
    .. [1] Hastie, Tibshirani and Friedman, *The Elements of Statistical Learning*, section 7.10.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from sknninterp import ANTRegressor, ANTRegressorCV
    >>> X, y = make_friedman1(n_samples=200, random_state=0)
    >>> network = ANTRegressor((32,), max_epochs=20, lr=0.02)
    >>> search = ANTRegressorCV(network, pruning_rates=[0, 0.5], random_state=0)
    >>> search.fit(X, (y - y.mean()) / y.std()).best_score_ > 0.5
    True
    """

    _default = ANTRegressor


# --- fits ---------------------------------------------------------------------------------------


def _evaluate_stacked(fits, X, y, scorer, one_thread) -> list[tuple[float, float, float]]:
    networks = [network for network, _, _ in fits]
    with single_threaded() if one_thread else nullcontext():
        start = time.perf_counter()
        fit_stacked(networks, X, y, [train for _, train, _ in fits])
        seconds = (time.perf_counter() - start) / len(fits)
        return [_scored(network, X, y, test, scorer, seconds) for network, _, test in fits]


def _evaluate_in_turn(fits, X, y, scorer, one_thread) -> list[tuple[float, float, float]]:
    found = []
    with single_threaded() if one_thread else nullcontext():
        for network, train, test in fits:
            start = time.perf_counter()
            network.fit(_safe_indexing(X, train), _safe_indexing(y, train))
            seconds = time.perf_counter() - start
            found.append(_scored(network, X, y, test, scorer, seconds))
    return found


def _scored(network, X, y, test, scorer, fit_time) -> tuple[float, float, float]:
    start = time.perf_counter()
    score = scorer(network, _safe_indexing(X, test), _safe_indexing(y, test))
    return score, fit_time, time.perf_counter() - start
