"""Small studies of every kind, and a page of hostile names."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknninterp import ANTClassifier, PWPExplainer, TorchMLPClassifier, TorchMLPRegressor
from sknninterp.reporting import _scores
from sknninterp.reporting._study import Study

HOSTILE = [
    "</script><script>document.title = 'broken'</script>",
    "<img src=x onerror=\"document.title='broken'\">",
    "\"quoted\" & 'single' {{ 7 * 7 }}",
    "=cmd|'/c calc'!A0",
    "עמודה בעברית 123",
    "long " * 80,
    "\u2028line\u2029separators\x00and nul",
    "half a pair \ud83d",
]


@pytest.fixture(autouse=True)
def small_forests(monkeypatch):
    monkeypatch.setitem(_scores._FOREST, "n_estimators", 5)


@pytest.fixture(scope="session")
def table():
    """120 rows; a and b say what the class is, and c is a category with gaps."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(120, 5)).astype(np.float32), columns=[*"abdef"])
    y = pd.Series(np.where(X["a"] + X["b"] > 0, "ill", "well"), name="outcome")
    X.index = pd.Index([f"p{i}" for i in range(120)])
    return X, y.set_axis(X.index)


def classifier(**options):
    options = {"max_epochs": 15, "lr": 0.02, "random_state": 0, **options}
    return make_pipeline(StandardScaler(), ANTClassifier((8,), **options))


def study_of(estimator, X, y, explainer=None, **options) -> Study:
    """A study of a fitted estimator: the first 80 rows are for training."""
    first, rest = slice(0, 80), slice(80, None)
    take = (lambda one, rows: one.iloc[rows]) if hasattr(X, "iloc") else (lambda one, r: one[r])
    estimator.fit(take(X, first), y[first])
    explainer = PWPExplainer(signed=True) if explainer is None else explainer
    explainer.set_params(estimator=estimator).fit(take(X, rest))
    return Study(
        estimator,
        explainer,
        take(X, rest),
        np.asarray(y)[rest],
        take(X, first),
        np.asarray(y)[first],
        **{"target": "outcome", **options},
    )


@pytest.fixture(scope="session")
def binary(table):
    return study_of(classifier(n_networks=3), *table)


@pytest.fixture(scope="session")
def single(table):
    return study_of(classifier(), *table)


@pytest.fixture(scope="session")
def multiclass(table):
    X, _ = table
    y = np.select([X["a"] > 0.5, X["a"] < -0.5], ["high", "low"], "middle")
    return study_of(TorchMLPClassifier((8,), max_epochs=15, lr=0.02, random_state=0), X, y)


@pytest.fixture(scope="session")
def regression(table):
    X, _ = table
    y = 3 * X["a"].to_numpy() + 1
    return study_of(TorchMLPRegressor((8,), max_epochs=60, lr=0.02, random_state=0), X, y)


@pytest.fixture(scope="session")
def images():
    """Squares of 5 x 4 pixels; the class is which half is bright."""
    rng = np.random.default_rng(0)
    X = rng.random((120, 20)).astype(np.float32)
    y = np.where(X[:, :10].sum(1) > X[:, 10:].sum(1), "top", "bottom")
    return study_of(TorchMLPClassifier((8,), max_epochs=10, lr=0.02, random_state=0), X, y)
