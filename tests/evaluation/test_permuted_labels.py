"""Null importances against a loop over permutations, and their p-values under the null."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from sknninterp import PWPExplainer, TorchMLPClassifier
from sknninterp.evaluation.permuted_labels import null_importances


class Correlation(BaseEstimator):
    """Importances that are easily computed again, and the labels they are of."""

    seen: list = []  # noqa: RUF012

    def fit(self, X, y):
        self.seen.append(y)
        self.feature_importances_ = np.abs([np.corrcoef(column, y)[0, 1] for column in X.T])
        return self


@pytest.fixture
def data():
    X = np.random.default_rng(0).normal(size=(60, 6))
    return X, X[:, 2] + 0.5 * np.random.default_rng(1).normal(size=60)


def test_p_and_q_values_are_those_of_a_loop(data):
    X, y = data
    Correlation.seen.clear()
    table = null_importances(Correlation(), X, y, n_permutations=40, random_state=0)
    own, *permuted = Correlation.seen
    np.testing.assert_array_equal(own, y)
    assert len(permuted) == 40
    assert all((np.sort(labels) == np.sort(y)).all() for labels in permuted)
    assert len({labels.tobytes() for labels in permuted}) == 40
    p_values = []
    for j in range(6):
        observed = abs(np.corrcoef(X[:, j], y)[0, 1])
        null = [abs(np.corrcoef(X[:, j], labels)[0, 1]) for labels in permuted]
        p_values.append((sum(value >= observed for value in null) + 1) / 41)
        row = table.iloc[j]
        assert row["importance"] == pytest.approx(observed)
        assert row["null_mean"] == pytest.approx(np.mean(null))
        assert row["null_std"] == pytest.approx(np.std(null))
    np.testing.assert_allclose(table["p_value"], p_values)
    # Benjamini and Hochberg's, from the largest p-value down.
    q_values, best = {}, 1.0
    for rank, j in reversed(list(enumerate(np.argsort(p_values), start=1))):
        best = min(best, p_values[j] * 6 / rank)
        q_values[j] = best
    np.testing.assert_allclose(table["q_value"], [q_values[j] for j in range(6)])
    assert table.index.tolist() == [f"x{j}" for j in range(6)]
    assert table["p_value"].idxmin() == "x2"


def test_p_values_are_uniform_where_nothing_is_relevant():
    rng = np.random.default_rng(0)
    p_values = [
        null_importances(
            LinearRegression(),
            rng.normal(size=(30, 5)),
            rng.normal(size=30),
            n_permutations=9,
            random_state=seed,
        )["p_value"]
        for seed in range(50)
    ]
    shares = np.mean(np.concatenate(p_values)[:, None] <= np.arange(1, 10) / 10 + 1e-9, axis=0)
    np.testing.assert_allclose(shares, np.arange(1, 10) / 10, atol=0.1)


def test_an_importance_that_is_always_the_same_has_p_of_1(data):
    X, y = data
    X[:, 0] = 1.0

    class Zero(Correlation):
        def fit(self, X, y):
            self.feature_importances_ = np.zeros(X.shape[1])
            return self

    assert (null_importances(Zero(), X, y, n_permutations=5)["p_value"] == 1).all()


def test_in_the_columns_of_the_user():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"sex": rng.choice(["f", "m"], 80), "dose": rng.normal(size=80)})
    y = pd.Series(frame["sex"] == "f").map({True: "yes", False: "no"})
    encode = make_column_transformer((OneHotEncoder(), ["sex"]), remainder="passthrough")
    network = TorchMLPClassifier(4, max_epochs=10, lr=0.05)
    explainer = PWPExplainer(make_pipeline(encode, network))
    table = null_importances(explainer, frame, y, n_permutations=9, random_state=0)
    assert table.index.tolist() == ["sex", "dose"]
    assert table.loc["sex", "p_value"] == 0.1
    assert not hasattr(explainer, "estimator_")


def test_seeds_and_jobs(data, global_rng_untouched):
    X, y = data
    how = {"n_permutations": 5, "random_state": 0}
    forest = ExtraTreesClassifier(3)
    one, same = (null_importances(forest, X, y > 0, **how) for _ in range(2))
    pd.testing.assert_frame_equal(one, same)
    other = null_importances(forest, X, y > 0, n_permutations=5, random_state=1)
    assert (one["null_mean"] != other["null_mean"]).any()


def test_result_does_not_depend_on_n_jobs(data):
    X, y = data
    how = {"n_permutations": 5, "random_state": 0}
    one = null_importances(ExtraTreesClassifier(3), X, y > 0, **how)
    with parallel_config("threading"):
        two = null_importances(ExtraTreesClassifier(3), X, y > 0, n_jobs=2, **how)
    pd.testing.assert_frame_equal(one, two)


def test_progress(data, capsys):
    null_importances(LinearRegression(), *data, n_permutations=3)
    assert capsys.readouterr().err == ""
    null_importances(LinearRegression(), *data, n_permutations=3, verbose=1)
    assert "4/4" in capsys.readouterr().err


def test_wrong_input(data):
    X, y = data
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        null_importances(LinearRegression(), X, y[:5])
    with pytest.raises(ValueError, match="'n_permutations' parameter"):
        null_importances(LinearRegression(), X, y, n_permutations=0)
    with pytest.raises(ValueError, match="'estimator' parameter"):
        null_importances("lasso", X, y)
