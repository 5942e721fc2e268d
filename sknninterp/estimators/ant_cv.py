"""How many neurons a network can do without: cross-validation with all networks at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from sknninterp._typing import Seed
from sknninterp.estimators._search import ClassifierSearch, Search, unlike_numbers
from sknninterp.estimators.ant import ANTClassifier, ANTRegressor

__all__ = ["ANTClassifierCV", "ANTRegressorCV"]

_RATE = "pruning_rate"


class _PruningSearch(Search):
    """Search over the pruning rate, what classifiers and regressors have in common."""

    _parameter_constraints: dict = {
        **Search._parameter_constraints,
        "pruning_rates": ["array-like"],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        pruning_rates: Sequence[float] | np.ndarray = (0.0, 0.25, 0.5, 0.75, 0.9),
        cv: Any = None,
        n_repeats: int = 1,
        scoring: str | Callable | None = None,
        refit: bool = True,
        one_standard_error: bool = False,
        n_jobs: int | None = None,
        random_state: Seed = None,
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

    def _candidates(self):
        rates = unlike_numbers(self.pruning_rates, "pruning_rates", 0, 1)
        path = self._path(_RATE)
        tuned = path.removesuffix(_RATE) + "n_tuned"
        if self._base.get_params().get(tuned) is not None:
            raise ValueError(f"estimator: {tuned} takes the place of the pruning rate; set None.")
        return [{path: rate} for rate in rates]

    def _complexity(self, candidate):
        (rate,) = candidate.values()
        return (-rate,)

    @property
    def best_pruning_rate_(self) -> float:
        """The rate that was chosen."""
        check_is_fitted(self, "best_params_")
        (rate,) = self.best_params_.values()
        return rate


class ANTClassifierCV(_PruningSearch, ClassifierSearch, BaseEstimator):
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

    Of equal mean scores the highest rate's is the best, where `GridSearchCV` takes the first.

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

    Of equal mean scores the highest rate's is the best, where `GridSearchCV` takes the first.

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
