"""Which features a network should read, and how: cross-validation with all networks at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.pipeline import make_pipeline
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from sknninterp._typing import Seed
from sknninterp.estimators._search import ClassifierSearch, Search, unlike_numbers
from sknninterp.estimators.mlp import TorchMLPClassifier, TorchMLPRegressor
from sknninterp.estimators.tables import table_preprocessor
from sknninterp.nn.embeddings import EMBEDDINGS

__all__ = ["TorchMLPClassifierCV", "TorchMLPRegressorCV"]

_EMBEDDING, _PENALTY = "numeric_embedding", "input_penalty"
# Nine numbers in place of each of more columns take long, and such tables have few samples.
MOST_EMBEDDED_COLUMNS = 2_000
# See benchmarks.training_defaults; batches so that an epoch has about eight steps.
_BATCH_SIZES, _STEPS = (32, 128), 8
_TRAINING = {
    "hidden_layer_sizes": (64,),
    "optimizer": "adamw",
    "lr": 8e-3,
    "weight_decay": 0.3,
    "max_epochs": 20,
    "dtype": "float32",
    "n_networks": 10,
}
# By a few steps of Adam all of thousands of genes get weights of about one size, however much each
# says: see benchmarks.known_predictors.
_OPTIMIZER_OF_WIDE_TABLES = "adam_mini"


def default_network(kind: type, n_samples: int, n_features: int = 1) -> Any:
    """The network that is searched where none is given.

    Parameters
    ----------
    kind : type
        `TorchMLPClassifier` or `TorchMLPRegressor`.
    n_samples : int
        To train on.
    n_features : int, default=1
        Columns of the table.

    Returns
    -------
    Pipeline
    """
    least, most = _BATCH_SIZES
    options = {**_TRAINING, "batch_size": min(most, max(least, n_samples // _STEPS))}
    if n_features > MOST_EMBEDDED_COLUMNS:
        options["optimizer"] = _OPTIMIZER_OF_WIDE_TABLES
    return make_pipeline(table_preprocessor(), kind(**options))


class _InputSearch(Search):
    """Search over what is made of the inputs, for classifiers and regressors alike."""

    _parameter_constraints: dict = {
        **Search._parameter_constraints,
        "numeric_embeddings": [list, tuple, StrOptions({"auto"})],
        "input_penalties": ["array-like"],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        numeric_embeddings: str | Sequence = "auto",
        input_penalties: Sequence[float] | np.ndarray = (0.0, 0.2, 0.4, 0.5, 0.6),
        cv: Any = None,
        n_repeats: int = 1,
        scoring: str | Callable | None = None,
        refit: bool = True,
        one_standard_error: bool = False,
        n_jobs: int | None = None,
        random_state: Seed = None,
    ):
        self.estimator = estimator
        self.numeric_embeddings = numeric_embeddings
        self.input_penalties = input_penalties
        self.cv = cv
        self.n_repeats = n_repeats
        self.scoring = scoring
        self.refit = refit
        self.one_standard_error = one_standard_error
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _new_default(self):
        n_features = math.prod(getattr(self, "_sample_shape", ()))
        return default_network(self._default, getattr(self, "_n_samples", 0), n_features)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # The preprocessor before the network fills missing values.
        tags.input_tags.allow_nan |= self.estimator is None
        return tags

    # -- fitting ---------------------------------------------------------------------------------

    def _candidates(self):
        embeddings = self.numeric_embeddings
        if embeddings == "auto":
            few = math.prod(self._sample_shape) <= MOST_EMBEDDED_COLUMNS
            embeddings = (None, "piecewise") if few else (None,)
        embeddings = list(embeddings)
        unknown = [e for e in embeddings if e not in (None, *EMBEDDINGS) and not callable(e)]
        if unknown or not embeddings or len(set(embeddings)) < len(embeddings):
            raise ValueError(
                f"numeric_embeddings={self.numeric_embeddings} must be unlike ones of None,"
                f" {', '.join(map(repr, EMBEDDINGS))} and callables."
            )
        penalties = unlike_numbers(self.input_penalties, "input_penalties", 0, float("inf"))
        embedding_path, penalty_path = self._path(_EMBEDDING), self._path(_PENALTY)
        return [
            {embedding_path: embedding, penalty_path: penalty}
            for embedding in embeddings
            for penalty in penalties
        ]

    def _complexity(self, candidate):
        # One number for each feature is less than several; penalties leave features out.
        return self._of(candidate, _EMBEDDING) is not None, -self._of(candidate, _PENALTY)

    def _of_folds(self, base):
        return {**super()._of_folds(base), self._path("n_networks"): 1}

    def _of(self, candidate: dict, name: str):
        return candidate[self._path(name)]

    @property
    def best_numeric_embedding_(self):
        """The embedding that was chosen."""
        check_is_fitted(self, "best_params_")
        return self._of(self.best_params_, _EMBEDDING)

    @property
    def best_input_penalty_(self) -> float:
        """The penalty that was chosen."""
        check_is_fitted(self, "best_params_")
        return self._of(self.best_params_, _PENALTY)


class TorchMLPClassifierCV(_InputSearch, ClassifierSearch, BaseEstimator):
    """Classifier whose input embedding and input penalty are chosen by cross-validation.

    Which effects there are, straight or bent, of few features or of many, is what decides whether
    a network on a table is any good, and whether its ranking is: so it is tried. Every pair of an
    embedding and a penalty is scored on every fold, all plain networks of an embedding at once.

    Parameters
    ----------
    estimator : TorchMLPClassifier, or estimator or pipeline that holds one, default=None
        Other networks of this package do as well. None is what did best in a benchmark: ten
        networks of 64 neurons, trained by AdamW for 20 epochs of about eight batches, of 32 to
        128 samples, behind `table_preprocessor`; by "adam_mini" of more than 2,000 columns.
    numeric_embeddings : "auto", or list of {None, "spline", "piecewise", "periodic"} or callable, \
            default="auto"
        To try as `numeric_embedding`. "auto" is None and "piecewise", of more than 2,000 columns
        None alone.
    input_penalties : array-like of float, default=(0.0, 0.2, 0.4, 0.5, 0.6)
        To try as `input_penalty`.
    cv : int, splitter, iterable of splits or None, default=None
        None is 5 folds; these and an int's are stratified.
    n_repeats : int, default=1
        Networks of each candidate and fold, each from another seed: scores of small networks on few
        samples depend on it.
    scoring : str or callable, default=None
        As for `GridSearchCV`; None is the estimator's own `score`, the accuracy. On few samples
        "roc_auc_ovr" and "neg_log_loss" tell more.
    refit : bool, default=True
        Train a network with the best parameters on all samples; without it there is nothing to
        predict with.
    one_standard_error : bool, default=False
        Take the simplest candidate whose mean score is at most one standard error below the best
        mean, in place of the best [1]_: none embedded if there is such a one, and of these the one
        with the highest penalty. The error is that of the best mean over folds.
    n_jobs : int, default=None
        Processes. Scores do not depend on it, but for rounding.
    random_state : int, RandomState instance or None, default=None
        Seeds the repeats and the refit, whatever seeds there are inside. None leaves the
        estimator's own to the first repeat and the refit.

    Attributes
    ----------
    best_numeric_embedding_ : str, callable or None
    best_input_penalty_ : float
    best_estimator_ : estimator
        The network with the best parameters, fitted on all samples. Explainers find it there.
    best_score_ : float
        Mean score of the best candidate. As the highest of several it flatters a little.
    best_index_ : int
    best_params_ : dict
    cv_results_ : dict of str to ndarray
        One entry a candidate, as of `GridSearchCV`. The splits are the folds, repeat after repeat.
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
    TorchMLPClassifier : The network with one embedding and one penalty.
    ANTClassifierCV : How many neurons it can do without.

    Notes
    -----
    Several networks in one (`n_networks`) are those of the refit; folds are scored with one.

    Of equal mean scores the simplest candidate's is the best, in the sense of `one_standard_error`:
    few samples may all be predicted by several.

    References
    ----------
    .. [1] Hastie, Tibshirani and Friedman, *The Elements of Statistical Learning*, section 7.10.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknninterp import TorchMLPClassifier, TorchMLPClassifierCV
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> network = TorchMLPClassifier((16,), max_epochs=10, lr=0.01, n_networks=3)
    >>> search = TorchMLPClassifierCV(
    ...     make_pipeline(StandardScaler(), network), input_penalties=[0, 0.3], random_state=0
    ... ).fit(X, y)
    >>> search.cv_results_["mean_test_score"].shape
    (4,)
    >>> search.best_input_penalty_ in (0, 0.3)
    True
    >>> search.score(X, y) > 0.95
    True
    """

    _default = TorchMLPClassifier


class TorchMLPRegressorCV(_InputSearch, RegressorMixin, BaseEstimator):
    """Regressor whose input embedding and input penalty are chosen by cross-validation.

    Which effects there are, straight or bent, of few features or of many, is what decides whether
    a network on a table is any good, and whether its ranking is: so it is tried. Every pair of an
    embedding and a penalty is scored on every fold, all plain networks of an embedding at once.

    Parameters
    ----------
    estimator : TorchMLPRegressor, or estimator or pipeline that holds one, default=None
        Other networks of this package do as well. None is what did best in a benchmark: ten
        networks of 64 neurons, trained by AdamW for 20 epochs of about eight batches, of 32 to
        128 samples, behind `table_preprocessor`; by "adam_mini" of more than 2,000 columns.
    numeric_embeddings : "auto", or list of {None, "spline", "piecewise", "periodic"} or callable, \
            default="auto"
        To try as `numeric_embedding`. "auto" is None and "piecewise", of more than 2,000 columns
        None alone.
    input_penalties : array-like of float, default=(0.0, 0.2, 0.4, 0.5, 0.6)
        To try as `input_penalty`.
    cv : int, splitter, iterable of splits or None, default=None
        None is 5 folds.
    n_repeats : int, default=1
        Networks of each candidate and fold, each from another seed: scores of small networks on few
        samples depend on it.
    scoring : str or callable, default=None
        As for `GridSearchCV`; None is the estimator's own `score`, R^2.
    refit : bool, default=True
        Train a network with the best parameters on all samples; without it there is nothing to
        predict with.
    one_standard_error : bool, default=False
        Take the simplest candidate whose mean score is at most one standard error below the best
        mean, in place of the best [1]_: none embedded if there is such a one, and of these the one
        with the highest penalty. The error is that of the best mean over folds.
    n_jobs : int, default=None
        Processes. Scores do not depend on it, but for rounding.
    random_state : int, RandomState instance or None, default=None
        Seeds the repeats and the refit, whatever seeds there are inside. None leaves the
        estimator's own to the first repeat and the refit.

    Attributes
    ----------
    best_numeric_embedding_ : str, callable or None
    best_input_penalty_ : float
    best_estimator_ : estimator
        The network with the best parameters, fitted on all samples. Explainers find it there.
    best_score_ : float
        Mean score of the best candidate. As the highest of several it flatters a little.
    best_index_ : int
    best_params_ : dict
    cv_results_ : dict of str to ndarray
        One entry a candidate, as of `GridSearchCV`. The splits are the folds, repeat after repeat.
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
    TorchMLPRegressor : The network with one embedding and one penalty.
    ANTRegressorCV : How many neurons it can do without.

    Notes
    -----
    Several networks in one (`n_networks`) are those of the refit; folds are scored with one.

    Of equal mean scores the simplest candidate's is the best, in the sense of `one_standard_error`:
    few samples may all be predicted by several.

    References
    ----------
    .. [1] Hastie, Tibshirani and Friedman, *The Elements of Statistical Learning*, section 7.10.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from sknninterp import TorchMLPRegressor, TorchMLPRegressorCV
    >>> X, y = make_friedman1(n_samples=200, random_state=0)
    >>> network = TorchMLPRegressor((32,), max_epochs=20, lr=0.02)
    >>> search = TorchMLPRegressorCV(network, input_penalties=[0, 0.2], random_state=0)
    >>> search.fit(X, (y - y.mean()) / y.std()).best_score_ > 0.5
    True
    """

    _default = TorchMLPRegressor
