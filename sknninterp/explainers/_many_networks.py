"""Explainers of estimators with several networks: one explainer for each, and their mean."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from sklearn.utils.validation import _num_samples

from sknninterp._typing import MatrixLike, Target
from sknninterp.explainers._averages import explain_each, mean_explanation
from sknninterp.explainers.explanation import Explanation

# What one of them knows as well as the other.
_COMMON = ("_outputs", "_feature_names_out", "_sample_shape", "_input_shape")


def rank_each(explainer: Any, estimators: list, X: MatrixLike) -> None:
    """Rank the features by each network, and by all together.

    Parameters
    ----------
    explainer : BaseExplainer
        Gets `explainers_`, and the means of what they found.
    estimators : list of estimators
        The same with one network each.
    X : array-like or DataFrame of shape (n_samples, n_features)
    """
    parameters = explainer.get_params(deep=False)
    explainers = [type(explainer)(**parameters)._rank(one, X) for one in estimators]
    explainer.explainers_ = explainers
    explainer.importances_ = sum(one.importances_ for one in explainers) / len(explainers)
    explainer.feature_importances_ = np.mean([one.feature_importances_ for one in explainers], 0)
    for name in _COMMON:
        setattr(explainer, name, getattr(explainers[0], name))


def explain_together(explainer: Any, X: MatrixLike, target: Target) -> Explanation:
    """Mean of the networks' explanations, with its spread.

    Parameters
    ----------
    explainer : BaseExplainer
    X : array-like or DataFrame of shape (n_samples, n_features)
    target : None, "predicted", label or list of labels
    """
    classes = explainer._outputs.labels.tolist()
    each = explain_each(explainer.explainers_, X, target, classes, explainer.estimator_.predict)
    return mean_explanation(each)


def transform_together(explainer: Any, X: MatrixLike) -> np.ndarray:
    """Mean of the networks' contributions to one output, as `transform` gives them.

    Parameters
    ----------
    explainer : BaseExplainer
    X : array-like or DataFrame of shape (n_samples, n_features)
    """
    explainers = explainer.explainers_
    if explainers[0]._transformed_output()[0] == "predicted":
        return explain_together(explainer, X, "predicted").values.reshape(_num_samples(X), -1)
    values = (np.asarray(one.transform(X)) for one in explainers)
    return reduce(np.add, values) / len(explainers)
