"""A selector of features that holds a false discovery rate, by knockoffs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import pandas as pd
from joblib import delayed
from sklearn.base import BaseEstimator, MetaEstimatorMixin, _fit_context
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, Options, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from sknninterp._typing import MatrixLike, Seed
from sknninterp.estimators._device import draw_seed
from sknninterp.estimators._folds import seeded_clone
from sknninterp.evaluation._refits import check_numbers, fitted_importances, in_parallel
from sknninterp.evaluation.knockoffs import (
    copula_sampler,
    e_benjamini_hochberg,
    gaussian_sampler,
    knockoff_e_values,
    knockoff_q_values,
    knockoff_statistics,
    knockoff_threshold,
)
from sknninterp.explainers.weight_product import PWPExplainer

__all__ = ["KnockoffSelector"]


class KnockoffSelector(SelectorMixin, MetaEstimatorMixin, BaseEstimator):
    r"""Select features with at most a share `fdr` of false ones among them, on average.

    Every column of X gets a knockoff: a column that relates to the others as it does, but knows
    nothing of y. An estimator is fitted on both, and a column is selected if it is more important
    than its knockoff by so much that among those with a lead as large few can be irrelevant: as
    many as there are knockoffs with that lead over their columns [1]_. This holds for whatever
    importances, those of a network's weights as those of the lasso; the better the importances,
    the more is found.

    Parameters
    ----------
    estimator : estimator, default=None
        What is fitted on 2 n_features columns and has `feature_importances_` or `coef_`
        afterwards: an explainer of this package, a linear model, a forest, a pipeline or search
        that ends in one. None is `PWPExplainer()`. Columns should have one scale, in X or by a
        scaler inside.
    fdr : float, default=0.1
        Level of the false discovery rate. With the offset of 1, at least 1 / `fdr` features are
        selected, or none.
    method : {"gaussian", "copula"} or callable, default="gaussian"
        How knockoffs are made, see :func:`~sknninterp.evaluation.knockoffs.gaussian_knockoffs` and
        :func:`~sknninterp.evaluation.knockoffs.copula_knockoffs`, which is for counts, categories
        and long tails. A callable `(X, random_state) -> X_knockoffs` where the distribution of X
        is known.
    s_vector : {"mvr", "maxent", "equicorrelated"}, default="mvr"
        How far knockoffs are kept from their columns, see
        :func:`~sknninterp.evaluation.knockoffs.s_vector`.
    shrinkage : float, default=None
        Of the columns' correlation that knockoffs are made by, from 0 to 1; None is Ledoit and
        Wolf's. With few samples for the columns, less of it is safer and finds less.
    statistic : {"difference", "signed_max"}, default="difference"
        A column's importance less its knockoff's, or the larger with the sign of this.
    offset : {0, 1}, default=1
        1 is knockoff+, which holds the level; 0 holds it for a modified rate only, and can select
        few features.
    n_knockoffs : int, default=1
        Draws of knockoffs. With several, the selection hangs less on chance: their e-values are
        averaged, and selected from by the Benjamini-Hochberg procedure for e-values [2]_, which
        holds the level as well.
    draw_fdr : float, default=None
        Level of each of several draws; None is `fdr` / 2, as recommended. A draw in which fewer
        than 1 / `draw_fdr` features stand out gives no evidence.
    importance_getter : str or callable, default="auto"
        Attribute of the fitted estimator, or a function of it, as for scikit-learn's
        `SelectFromModel`.
    n_jobs : int, default=None
        Draws to fit at once.
    verbose : int, default=0
        1 shows a progress bar over several draws.
    random_state : int, RandomState instance or None, default=None
        Draws the knockoffs; an int makes the estimators repeatable too.

    Attributes
    ----------
    support_ : ndarray of bool of shape (n_features,)
        What is selected.
    selected_features_ : ndarray of str
        The names of these columns.
    q_values_ : ndarray of shape (n_features,)
        Smallest `fdr` at which each feature would be selected.
    statistics_ : ndarray of shape (n_knockoffs, n_features)
        Importance of each column compared with its knockoff's, one row a draw.
    e_values_ : ndarray of shape (n_features,)
        With several draws: evidence against each feature's irrelevance, the mean over draws.
    threshold_ : float
        Of the statistic, or of e-values with several draws, from which on features are selected;
        infinity where none is.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has column names.

    Warns
    -----
    UserWarning
        If no feature is selected.

    See Also
    --------
    StabilitySelector : Bounds the number of false selections, not their share.
    null_importances : p-values from permuted labels, without knockoffs.

    Notes
    -----
    The level holds as far as the knockoffs are good: swapping a column with its knockoff must not
    show. Of normal columns with many samples it does not. Columns of few values need
    `method="copula"`. With more columns than samples, or columns that others nearly determine, see
    the notes of :func:`~sknninterp.evaluation.knockoffs.gaussian_knockoffs`. What is tested is
    whether a column says more of y than all the other columns do.

    Which of the two is the knockoff is drawn by lot for every pair of columns the estimator sees,
    so that neither order nor names give a cue. If X has column names, it sees a DataFrame with
    columns such as "age" and "age (knockoff)".

    References
    ----------
    .. [1] Candes, Fan, Janson & Lv (2018), *Panning for gold: model-X knockoffs for high
       dimensional controlled variable selection*, Journal of the Royal Statistical Society B
       80:551.
    .. [2] Ren & Barber (2024), *Derandomised knockoffs: leveraging e-values for false discovery
       rate control*, Journal of the Royal Statistical Society B 86:122.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.linear_model import LassoCV
    >>> from sknninterp.evaluation.knockoff_selector import KnockoffSelector
    >>> X, y = make_regression(300, 40, n_informative=15, noise=5, random_state=0)
    >>> selector = KnockoffSelector(LassoCV(), fdr=0.2, random_state=0).fit(X, y)
    >>> selector.transform(X).shape[1] >= 10
    True
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods("fit"), None],
        "fdr": [Interval(Real, 0, 1, closed="neither")],
        "method": [StrOptions({"gaussian", "copula"}), callable],
        "s_vector": [StrOptions({"mvr", "maxent", "equicorrelated"})],
        "shrinkage": [Interval(Real, 0, 1, closed="both"), None],
        "statistic": [StrOptions({"difference", "signed_max"})],
        "offset": [Options(Integral, {0, 1})],
        "n_knockoffs": [Interval(Integral, 1, None, closed="left")],
        "draw_fdr": [Interval(Real, 0, 1, closed="neither"), None],
        "importance_getter": [str, callable],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        fdr: float = 0.1,
        method: str | Callable = "gaussian",
        s_vector: str = "mvr",
        shrinkage: float | None = None,
        statistic: str = "difference",
        offset: int = 1,
        n_knockoffs: int = 1,
        draw_fdr: float | None = None,
        importance_getter: str | Callable = "auto",
        n_jobs: int | None = None,
        verbose: int = 0,
        random_state: Seed = None,
    ):
        self.estimator = estimator
        self.fdr = fdr
        self.method = method
        self.s_vector = s_vector
        self.shrinkage = shrinkage
        self.statistic = statistic
        self.offset = offset
        self.n_knockoffs = n_knockoffs
        self.draw_fdr = draw_fdr
        self.importance_getter = importance_getter
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: MatrixLike, y: MatrixLike) -> Self:
        """Make knockoffs, fit the estimator on columns and knockoffs, and select.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Numbers.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            As the estimator takes it.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If columns hold no numbers, the estimator has no importance for each of its columns, or
            knockoffs of a callable are not of X's shape.
        """
        if self.n_knockoffs > 1 and self.offset == 0:
            raise ValueError("offset=0 gives no e-values: several n_knockoffs need offset=1.")
        check_numbers(X, type(self).__name__)
        index = getattr(X, "index", None)
        X, y = validate_data(
            self, X, y, dtype=[np.float64, np.float32], multi_output=True, ensure_min_samples=2
        )
        random_state = check_random_state(self.random_state)
        sampler = self._sampler(X, random_state)
        names = _paired_names(getattr(self, "feature_names_in_", None))
        calls = [
            delayed(_paired_importances)(
                *seeded_clone(self._inner, self.random_state, random_state),
                sampler,
                draw_seed(random_state),
                X,
                y,
                names,
                index,
                self.importance_getter,
            )
            for _ in range(self.n_knockoffs)
        ]
        pairs = in_parallel(calls, self.n_jobs, self.verbose, "draw")
        originals, knockoffs = np.moveaxis(np.array(pairs), 1, 0)
        statistics = knockoff_statistics(originals, knockoffs, self.statistic)
        # A constant column is its own knockoff, and whatever sets them apart is chance.
        self.statistics_ = np.where(np.ptp(X, axis=0) > 0, statistics, 0.0)
        self._select()
        return self

    @property
    def _inner(self):
        return PWPExplainer() if self.estimator is None else self.estimator

    def _sampler(self, X, random_state):
        if callable(self.method):
            return _CheckedSampler(self.method, X)
        numbers = X.astype(np.float64)
        if self.method == "gaussian":
            return gaussian_sampler(numbers, self.s_vector, self.shrinkage)
        return copula_sampler(numbers, self.s_vector, self.shrinkage, random_state)

    def _select(self) -> None:
        if self.n_knockoffs == 1:
            statistics = self.statistics_[0]
            self.threshold_ = knockoff_threshold(statistics, self.fdr, self.offset)
            self.q_values_ = knockoff_q_values(statistics, self.offset)
            self.support_ = statistics >= self.threshold_
        else:
            level = self.fdr / 2 if self.draw_fdr is None else self.draw_fdr
            self.e_values_ = np.mean([knockoff_e_values(w, level) for w in self.statistics_], 0)
            self.q_values_ = e_benjamini_hochberg(self.e_values_)
            # Levels that are equal on paper may differ by a rounding error.
            self.support_ = self.q_values_ <= self.fdr * (1 + 1e-9)
            selected = self.e_values_[self.support_]
            self.threshold_ = float(selected.min()) if len(selected) else np.inf
        self.selected_features_ = self.get_feature_names_out()
        if not self.support_.any():
            warnings.warn(self._nothing(), UserWarning, stacklevel=4)

    def _nothing(self) -> str:
        text = f"No feature is selected at fdr={self.fdr}."
        if self.n_knockoffs == 1 and self.q_values_.min() < 1:
            text += f" The smallest q-value is {self.q_values_.min():.3g}."
        level = self.fdr
        if self.n_knockoffs > 1:
            level = self.fdr / 2 if self.draw_fdr is None else self.draw_fdr
        if self.offset:
            text += (
                f" At least {int(np.ceil(1 / level - 1e-9))} features must stand out together"
                f" (1 / {level:g}); there are {self.n_features_in_}."
            )
        return text

    def _get_support_mask(self):
        check_is_fitted(self, "support_")
        return self.support_

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


class _CheckedSampler:
    """A user's function that makes knockoffs, with its results checked."""

    def __init__(self, function, X):
        self.function, self.X = function, X

    def __call__(self, random_state):
        knockoffs = np.asarray(self.function(self.X, random_state), dtype=float)
        if knockoffs.shape != self.X.shape:
            raise ValueError(
                f"method gave knockoffs of shape {knockoffs.shape}, X has {self.X.shape}."
            )
        if not np.isfinite(knockoffs).all():
            raise ValueError("method gave knockoffs that are NaN or infinite.")
        return knockoffs


def _paired_names(names):
    """Names of the columns and of their knockoffs, all different."""
    if names is None:
        return None
    ending = " (knockoff)"
    while set(names) & {name + ending for name in names}:
        ending += "'"
    return [*names, *(name + ending for name in names)]


def _paired_importances(estimator, torch_seed, sampler, seed, X, y, names, index, getter):
    """Importances of the columns and of one draw of knockoffs, (2, n_features)."""
    random_state = np.random.RandomState(seed)
    knockoffs = sampler(random_state).astype(X.dtype)
    swapped = random_state.uniform(size=X.shape[1]) < 0.5
    both = np.hstack([np.where(swapped, knockoffs, X), np.where(swapped, X, knockoffs)])
    if names is not None:
        both = pd.DataFrame(both, columns=names, index=index)
    first, second = np.split(fitted_importances(estimator, torch_seed, both, y, getter), 2)
    return np.where(swapped, second, first), np.where(swapped, first, second)
