"""Importances of fitted clones: where they are found, and what is wrong with them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import delayed
from sklearn.base import BaseEstimator
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from sknninterp.evaluation._refits import check_numbers, fitted_importances, in_parallel


class Given(BaseEstimator):
    """Has these importances."""

    def __init__(self, importances):
        self.importances = importances

    def fit(self, X, y):
        self.feature_importances_ = np.asarray(self.importances)
        return self


@pytest.fixture
def data():
    X = np.random.default_rng(0).normal(size=(60, 3))
    return X, (X @ [3, -2, 0] > 0).astype(int)


def test_coefficients_lose_their_sign(data):
    X, y = data
    expected = np.abs(LinearRegression().fit(X, y).coef_)
    np.testing.assert_allclose(fitted_importances(LinearRegression(), None, X, y), expected)
    y = np.repeat([0, 1, 2], 20)
    expected = np.abs(LogisticRegression().fit(X, y).coef_).sum(0)
    np.testing.assert_allclose(fitted_importances(LogisticRegression(), None, X, y), expected)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda e: make_pipeline(StandardScaler(), e),
        lambda e: GridSearchCV(e, {"alpha": [0.01]}),
        lambda e: make_pipeline(StandardScaler(), GridSearchCV(e, {"alpha": [0.01]})),
        lambda e: GridSearchCV(make_pipeline(StandardScaler(), e), {"lasso__alpha": [0.01]}),
    ],
    ids=["pipeline", "search", "search in pipeline", "pipeline in search"],
)
def test_importances_inside_pipelines_and_searches(data, wrapped):
    found = fitted_importances(wrapped(Lasso(0.01)), None, *data)
    assert found.shape == (3,)
    assert found.argmax() == 0
    assert found[0] > 0


def test_getter(data):
    pipeline = make_pipeline(StandardScaler(), ExtraTreesClassifier(3, random_state=0))
    by_path = "named_steps.extratreesclassifier.feature_importances_"
    by_name = fitted_importances(pipeline, None, *data, getter=by_path)
    by_call = fitted_importances(pipeline, None, *data, getter=lambda e: e[-1].feature_importances_)
    np.testing.assert_array_equal(by_name, by_call)
    with pytest.raises(ValueError, match=r"should have\s+`coef_` or `feature_importances_`"):
        fitted_importances(StandardScaler(), None, *data)


class Random(BaseEstimator):
    """Importances by lot."""

    def fit(self, X, y):
        self.feature_importances_ = torch.rand(X.shape[1]).numpy()
        return self


def test_seed_of_torch(data, global_rng_untouched):
    one, again, other = (fitted_importances(Random(), seed, *data) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).all()


def test_not_one_finite_number_for_each_column(data):
    added = make_pipeline(PolynomialFeatures(), LinearRegression())
    with pytest.raises(ValueError, match=r"Pipeline: importances of shape \(10,\) for 3 columns"):
        fitted_importances(added, None, *data)
    with pytest.raises(ValueError, match="Given: 2 of 3 importances are NaN or infinite"):
        fitted_importances(Given([np.nan, 1, np.inf]), None, *data)


def test_results_come_in_order_with_and_without_a_bar(capsys):
    calls = [delayed(abs)(-i) for i in range(5)]
    assert in_parallel(calls, 1, 0, "fit") == [0, 1, 2, 3, 4]
    assert capsys.readouterr().err == ""
    assert in_parallel(calls, 1, 1, "fit") == [0, 1, 2, 3, 4]
    assert "5/5" in capsys.readouterr().err


def test_columns_without_numbers_are_named():
    fine = {"a": [1, 2], "b": [True, False], "c": pd.Categorical([3, 4]), "d": ["1", "2"]}
    check_numbers(pd.DataFrame(fine), "It")
    check_numbers(np.array([["x"]]), "It")
    bad = pd.DataFrame({**fine, "sex": ["f", "m"], "site": pd.Categorical(["x", "y"])})
    with pytest.raises(ValueError, match=r"It needs columns of numbers, but 'sex', 'site' hold"):
        check_numbers(bad, "It")
    many = pd.DataFrame({f"c{i}": ["x"] for i in range(7)})
    with pytest.raises(ValueError, match=r"'c4', \.\.\. hold others. Encode them first"):
        check_numbers(many, "It")
