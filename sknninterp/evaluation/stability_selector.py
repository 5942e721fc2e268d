"""A selector of features that bounds the number of false ones, by stability selection."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import pandas as pd
from joblib import delayed
from sklearn.base import BaseEstimator, MetaEstimatorMixin, _fit_context, is_classifier
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import (
    Tags,
    _safe_indexing,
    check_array,
    check_consistent_length,
    check_random_state,
    get_tags,
)
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from sknninterp._typing import MatrixLike, Seed
from sknninterp.estimators._device import draw_seed
from sknninterp.estimators._folds import seeded_clone
from sknninterp.estimators._network import as_table
from sknninterp.evaluation._refits import fitted_importances, in_parallel
from sknninterp.evaluation.stability_bounds import (
    ASSUMPTIONS,
    false_selection_bound,
    largest_selection,
    smallest_threshold,
)
from sknninterp.explainers.weight_product import PWPExplainer

__all__ = ["StabilitySelector"]


class StabilitySelector(SelectorMixin, MetaEstimatorMixin, BaseEstimator):
    r"""Select features that are important again and again, with a bound on the false ones.

    The estimator is fitted on halves of the samples, always on a half and on the rest
    (complementary pairs [2]_), and each time the q most important features are noted. Selected are
    those noted in at least a share `threshold` of the fits. The expected number of false
    selections is then bounded by q, the threshold and the number of features [1]_ [2]_: of these,
    any two say what the third has to be.

    Parameters
    ----------
    estimator : estimator, default=None
        What has `feature_importances_` or `coef_` once it is fitted: an explainer of this package,
        a linear model, a forest, a pipeline or search that ends in one. None is `PWPExplainer()`.
    n_features_to_select : int, default=None
        q, how many features each fit notes. Importances of 0 are never noted. None is the largest
        number for which the bound is at most `pfer`.
    threshold : float, default=None
        Above 0.5 and at most 1. None is 0.75, or the smallest for which the bound is at most
        `pfer`, where that and `n_features_to_select` are given.
    pfer : float, default=None
        Expected number of false selections (the per-family error rate) that the bound must not
        exceed. None is 1, or what the other two give where `n_features_to_select` is given.
    n_subsamples : int, default=50
        Fits, an even number; more make the selection steadier and the bound a little tighter.
    assumption : {"unimodal", "r-concave", "none"}, default="unimodal"
        Of the bound, see :func:`~sknninterp.evaluation.stability_bounds.false_selection_bound`.
        The second is the tightest.
    importance_getter : str or callable, default="auto"
        Attribute of the fitted estimator, or a function of it, as for scikit-learn's
        `SelectFromModel`.
    n_jobs : int, default=None
        Subsamples to fit at once.
    verbose : int, default=0
        1 shows a progress bar.
    random_state : int, RandomState instance or None, default=None
        Draws the subsamples; an int makes the estimators repeatable too.

    Attributes
    ----------
    support_ : ndarray of bool of shape (n_features,)
        What is selected.
    selected_features_ : ndarray of str
        The names of these columns.
    selection_frequencies_ : ndarray of shape (n_features,)
        Share of fits that note each feature.
    threshold_ : float
    n_features_to_select_ : int
        q.
    error_bound_ : float
        Bound on the expected number of false selections.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has column names.

    Warns
    -----
    UserWarning
        If no feature is selected.

    See Also
    --------
    KnockoffSelector : Holds the share of false selections, not their number.
    sknninterp.evaluation.stability_bounds.false_selection_bound : The bound itself.

    Notes
    -----
    False means here: noted by a fit with a probability of at most q / n_features, no more often
    than by lot. These are the irrelevant features if irrelevant ones are noted no more often than
    that, which holds where they are alike. An irrelevant feature that stands in for a relevant one
    it is correlated with can be noted more often, and is not counted.

    For a classifier both halves of a pair have the classes in the same shares. Of an odd number of
    samples one is left out of each pair.

    References
    ----------
    .. [1] Meinshausen & Buhlmann (2010), *Stability selection*, Journal of the Royal Statistical
       Society B 72:417.
    .. [2] Shah & Samworth (2013), *Variable selection with error control: another look at
       stability selection*, Journal of the Royal Statistical Society B 75:55.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.linear_model import Lasso
    >>> from sknninterp.evaluation.stability_selector import StabilitySelector
    >>> X, y = make_regression(100, 30, n_informative=4, noise=5, random_state=0)
    >>> selector = StabilitySelector(Lasso(), pfer=1, random_state=0).fit(X, y)
    >>> selector.n_features_to_select_, round(selector.error_bound_, 2)
    (5, 0.83)
    >>> selector.transform(X).shape
    (100, 4)
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods("fit"), None],
        "n_features_to_select": [Interval(Integral, 1, None, closed="left"), None],
        "threshold": [Interval(Real, 0.5, 1, closed="right"), None],
        "pfer": [Interval(Real, 0, None, closed="neither"), None],
        "n_subsamples": [Interval(Integral, 2, None, closed="left")],
        "assumption": [StrOptions(set(ASSUMPTIONS))],
        "importance_getter": [str, callable],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_features_to_select: int | None = None,
        threshold: float | None = None,
        pfer: float | None = None,
        n_subsamples: int = 50,
        assumption: str = "unimodal",
        importance_getter: str | Callable = "auto",
        n_jobs: int | None = None,
        verbose: int = 0,
        random_state: Seed = None,
    ):
        self.estimator = estimator
        self.n_features_to_select = n_features_to_select
        self.threshold = threshold
        self.pfer = pfer
        self.n_subsamples = n_subsamples
        self.assumption = assumption
        self.importance_getter = importance_getter
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: MatrixLike, y: MatrixLike) -> Self:
        """Fit the estimator on halves of the samples, and select what most fits note.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            As the estimator takes it, and with an importance for each column.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `n_features_to_select`, `threshold` and `pfer` contradict one another or are all
            given, a class has a single sample, or the estimator has no importance for each column.
        """
        X = as_table(X)
        X, y = self._checked(X, y)
        self._settle(X.shape[1])
        random_state = check_random_state(self.random_state)
        labels = y if is_classifier(self._inner) and y.ndim == 1 else None
        rows = [
            half
            for _ in range(self.n_subsamples // 2)
            for half in complementary_halves(len(y), labels, random_state)
        ]
        calls = [
            delayed(_ranked)(
                *seeded_clone(self._inner, self.random_state, random_state),
                draw_seed(random_state),
                _safe_indexing(X, half),
                y[half],
                self.importance_getter,
            )
            for half in rows
        ]
        self._places = np.array(in_parallel(calls, self.n_jobs, self.verbose, "fit"))
        self.selection_frequencies_ = (self._places <= self.n_features_to_select_).mean(0)
        # A share of 0.6 may be 0.6 less a rounding error.
        self.support_ = self.selection_frequencies_ >= self.threshold_ - 1e-9
        self.selected_features_ = self.get_feature_names_out()
        if not self.support_.any():
            warnings.warn(
                f"No feature is selected: the most frequent is in"
                f" {self.selection_frequencies_.max():.0%} of the subsamples' first"
                f" {self.n_features_to_select_}, below the threshold of {self.threshold_:.0%}.",
                UserWarning,
                stacklevel=3,
            )
        return self

    def selection_path(self, max_features: int | None = None) -> pd.DataFrame:
        """Selection frequencies for every number of features that a fit may note.

        Parameters
        ----------
        max_features : int, default=None
            The largest number; None is twice `n_features_to_select_`, or all features if they are
            fewer.

        Returns
        -------
        DataFrame of shape (n_features, max_features)
            One column for each number, from 1 on. The error bound is for one number chosen
            beforehand.

        Raises
        ------
        ValueError
            If `max_features` is not from 1 to the number of features.
        """
        check_is_fitted(self, "support_")
        most = self.n_features_in_
        if max_features is None:
            max_features = min(most, 2 * self.n_features_to_select_)
        if not isinstance(max_features, Integral) or not 1 <= int(max_features) <= most:
            raise ValueError(f"max_features={max_features!r} must be an integer from 1 to {most}.")
        numbers = np.arange(1, int(max_features) + 1)
        shares = np.array([(self._places <= k).mean(0) for k in numbers])
        names = self._names()
        columns = pd.Index(numbers, name="n_features_to_select")
        return pd.DataFrame(shares.T, index=names, columns=columns)

    @property
    def _inner(self):
        return PWPExplainer() if self.estimator is None else self.estimator

    def _names(self):
        names = getattr(self, "feature_names_in_", None)
        if names is None:
            return np.array([f"x{i}" for i in range(self.n_features_in_)], dtype=object)
        return names

    def _checked(self, X, y):
        """X as it is, for the estimator to check, and y as an array."""
        _, y = validate_data(self, X, y, skip_check_array=True)
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        check_consistent_length(X, y)
        y = check_array(y, ensure_2d=False, dtype=None, input_name="y")
        if len(y) < 4:
            raise ValueError(f"Halves of n_samples = {len(y)} are too small: 4 are needed.")
        return X, y

    def _settle(self, n_features: int) -> None:
        """Work out which of the three numbers follows from the others."""
        given = self.n_features_to_select, self.threshold, self.pfer
        if None not in given:
            raise ValueError(
                "n_features_to_select, threshold and pfer are all given, but any two say what the"
                " third has to be: leave one None."
            )
        if self.n_subsamples % 2:
            raise ValueError(
                f"n_subsamples={self.n_subsamples} must be even: halves come in pairs."
            )
        n_selected, threshold, pfer = given
        if n_selected is not None and n_selected > n_features:
            raise ValueError(f"n_features_to_select={n_selected}, but X has {n_features} features.")
        how = self.n_subsamples, self.assumption
        if n_selected is None:
            threshold = 0.75 if threshold is None else threshold
            n_selected = largest_selection(n_features, threshold, pfer or 1.0, *how)
        elif threshold is None:
            threshold = 0.75
            if pfer is not None:
                threshold = smallest_threshold(n_features, n_selected, pfer, *how)
        self.n_features_to_select_, self.threshold_ = int(n_selected), float(threshold)
        self.error_bound_ = false_selection_bound(n_features, n_selected, threshold, *how)

    def _get_support_mask(self):
        check_is_fitted(self, "support_")
        return self.support_

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        of_inner = get_tags(self._inner)
        tags.input_tags.sparse = of_inner.input_tags.sparse
        tags.input_tags.allow_nan = of_inner.input_tags.allow_nan
        tags.target_tags.required = True
        return tags


def complementary_halves(
    n_samples: int, labels: np.ndarray | None, random_state: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Two halves of the samples that have none in common.

    Parameters
    ----------
    n_samples : int
        Of an odd number one is left out.
    labels : ndarray of shape (n_samples,) or None
        Classes that are split evenly; each has to have two samples.
    random_state : RandomState

    Returns
    -------
    first, second : ndarray of int of shape (n_samples // 2,)
        Positions of the samples.

    Raises
    ------
    ValueError
        If a class has a single sample.
    """
    order = random_state.permutation(n_samples)
    if labels is not None:
        # In no order: what labels there may be is for the estimator to say.
        codes, classes = pd.factorize(np.asarray(labels), use_na_sentinel=False)
        counts = np.bincount(codes)
        if counts.min() < 2:
            raise ValueError(
                f"Class {classes.tolist()[counts.argmin()]!r} has a single sample, which cannot be"
                " in both halves."
            )
        # Samples are dealt out class by class; the last, of the largest class, may be left out.
        order = order[np.argsort(counts.argsort().argsort()[codes][order], kind="stable")]
    size = n_samples // 2
    return np.sort(order[0 : 2 * size : 2]), np.sort(order[1 : 2 * size : 2])


def _ranked(estimator, torch_seed, seed, X, y, getter):
    """Place of every feature in one fit, from 1; beyond all places for an importance of 0."""
    importances = fitted_importances(estimator, torch_seed, X, y, getter)
    # Ties are broken by lot: by their order, the first columns would gain.
    lots = np.random.RandomState(seed).permutation(len(importances))
    places = np.empty(len(importances), dtype=np.int32)
    places[np.lexsort((lots, -importances))] = np.arange(1, len(importances) + 1)
    places[importances == 0] = len(importances) + 1
    return places
