"""Importances under permuted labels: p-values for the importances of any estimator."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from joblib import delayed
from numpy.typing import ArrayLike
from scipy.stats import false_discovery_control
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, validate_params
from sklearn.utils.validation import _get_feature_names, _num_features, _num_samples

from sknninterp._typing import MatrixLike, Seed
from sknninterp.estimators._folds import seeded_clone
from sknninterp.estimators._network import as_table
from sknninterp.evaluation._refits import fitted_importances, in_parallel
from sknninterp.explainers._column_names import generated_names

__all__ = ["null_importances"]


@validate_params(
    {
        "estimator": [HasMethods("fit")],
        "n_permutations": [Interval(Integral, 1, None, closed="left")],
        "importance_getter": [str, callable],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=False,
)
def null_importances(
    estimator: Any,
    X: MatrixLike,
    y: ArrayLike,
    *,
    n_permutations: int = 100,
    importance_getter: str | Callable = "auto",
    n_jobs: int | None = None,
    verbose: int = 0,
    random_state: Seed = None,
) -> pd.DataFrame:
    """Compare each importance with those under permuted labels.

    The estimator is fitted anew for every permutation of y, so that what it finds important in
    each column by chance becomes known, and with it a bias such as that of forests for columns of
    many values [1]_. The p-value is (b + 1) / (m + 1), with b of m permutations that reach the
    importance; the q-values are Benjamini and Hochberg's.

    Parameters
    ----------
    estimator : estimator
        What has `feature_importances_` or `coef_` once it is fitted: an explainer of this package,
        a linear model, a forest, a pipeline or search that ends in one. It is cloned.
    X : array-like or DataFrame of shape (n_samples, n_features)
        As the estimator takes it, and with an importance for each column.
    y : array-like of shape (n_samples,)
    n_permutations : int, default=100
        No p-value is below 1 / (n_permutations + 1), nor can a q-value be below that.
    importance_getter : str or callable, default="auto"
        Attribute of the fitted estimator, or a function of it, as for scikit-learn's
        `SelectFromModel`.
    n_jobs : int, default=None
        Permutations to fit at once.
    verbose : int, default=0
        1 shows a progress bar.
    random_state : int, RandomState instance or None, default=None
        Draws the permutations; an int makes the estimators repeatable too.

    Returns
    -------
    DataFrame of shape (n_features, 5)
        `importance`, `null_mean`, `null_std`, `p_value`, `q_value`, in X's order of columns.

    Raises
    ------
    ValueError
        If X and y differ in length, or the estimator has no finite importance for each column.

    See Also
    --------
    KnockoffSelector : Tests each column given the others.

    Notes
    -----
    The null hypothesis of a permutation is that y has to do with no column at all. A column that
    is not needed beside a relevant one that it is correlated with can have a small p-value.
    Importances that sum to 1, as those of explainers and forests do, leave less for the others
    where one column is strong: then a weak one need not reach what it gets by chance.

    References
    ----------
    .. [1] Altmann, Tolosi, Sander & Lengauer (2010), *Permutation importance: a corrected feature
       importance measure*, Bioinformatics 26:1340.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import ExtraTreesClassifier
    >>> from sknninterp.evaluation.permuted_labels import null_importances
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> forest = ExtraTreesClassifier(10)
    >>> table = null_importances(forest, X, y, n_permutations=19, random_state=0)
    >>> float(table.loc["petal length (cm)", "p_value"])
    0.05
    """
    X = as_table(X)
    check_consistent_length(X, y)
    y = np.asarray(y)
    generator = check_random_state(random_state)
    orders = [np.arange(_num_samples(X))]
    orders += [generator.permutation(_num_samples(X)) for _ in range(n_permutations)]
    calls = [
        delayed(fitted_importances)(
            *seeded_clone(estimator, random_state, generator),
            X,
            y[order],
            importance_getter,
        )
        for order in orders
    ]
    observed, *others = in_parallel(calls, n_jobs, verbose, "fit")
    null = np.array(others)
    p_values = (np.sum(null >= observed, axis=0) + 1) / (n_permutations + 1)
    names = _get_feature_names(X)
    return pd.DataFrame(
        {
            "importance": observed,
            "null_mean": null.mean(0),
            "null_std": null.std(0),
            "p_value": p_values,
            "q_value": false_discovery_control(p_values),
        },
        index=generated_names(_num_features(X)) if names is None else names,
    )
