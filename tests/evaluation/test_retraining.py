"""ROAR: against fits in a loop, with rankings in every form, and what it tells of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from scipy import stats
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sknninterp import GradientXInputExplainer, PWPExplainer, TorchMLPClassifier
from sknninterp.evaluation.retraining import roar


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 5))
    return X, (2 * X[:, 1] + X[:, 3] + 0.5 * rng.normal(size=120) > 0).astype(int)


RIGHT = np.array([0.1, 1.0, 0.2, 0.9, 0.0])


def naive(model, X, y, values, shares, splits):
    """Scores (n_splits, n_shares), with each sample's own top features replaced by the means."""
    values = np.broadcast_to(values, X.shape)
    scores = np.empty((len(splits), len(shares)))
    for s, (train, test) in enumerate(splits):
        means = X[train].mean(0)
        for k, share in enumerate(shares):
            n = max(1, round(share * X.shape[1])) if share else 0
            replaced = X.copy()
            for i in range(len(X)):
                for j in sorted(range(X.shape[1]), key=lambda j, i=i: -values[i, j])[:n]:
                    replaced[i, j] = means[j]
            fitted = clone(model).fit(replaced[train], y[train])
            scores[s, k] = fitted.score(replaced[test], y[test])
    return scores


@pytest.mark.parametrize("local", [False, True], ids=["global", "local"])
def test_agrees_with_fits_in_a_loop(data, local):
    X, y = data
    values = np.random.default_rng(1).normal(size=X.shape) if local else RIGHT
    splits = list(KFold(3).split(X))
    model = LogisticRegression()
    table = roar(model, X, y, values, shares=[0.2, 0.5], cv=KFold(3), random_state=0)
    scores = naive(model, X, y, values, [0, 0.2, 0.5], splits)
    np.testing.assert_allclose(table["score"], scores.mean(0))
    assert table.index.tolist() == [0, 0.2, 0.5]
    assert table["n_features"].tolist() == [0, 1, 2]
    # Corrected for the overlap of training parts: a test part is half of a training part.
    half = stats.t.ppf(0.975, 2) * scores.std(0, ddof=1) * np.sqrt(1 / 3 + 1 / 2)
    np.testing.assert_allclose(table["score_upper"] - table["score"], half)
    np.testing.assert_allclose(table["score"] - table["score_lower"], half)


def test_a_right_ranking_loses_more_than_a_random_or_a_reversed_one(data):
    X, y = data
    options = {"shares": [0.4], "n_random": 4, "random_state": 0}
    right = roar(LogisticRegression(), X, y, RIGHT, **options).loc[0.4]
    wrong = roar(LogisticRegression(), X, y, -RIGHT, **options).loc[0.4]
    assert right["score"] < 0.65
    assert right["difference_upper"] < 0
    assert wrong["score"] > 0.85
    assert wrong["difference"] > 0


def test_difference_is_paired_and_nothing_without_removal(data):
    table = roar(LogisticRegression(), *data, RIGHT, shares=[0.4, 1.0], random_state=0)
    np.testing.assert_allclose(table["difference"], table["score"] - table["random"])
    for share in (0, 1.0):  # none and all removed: every order is the same
        row = table.loc[share]
        assert row["difference"] == row["difference_lower"] == row["difference_upper"] == 0


def test_random_orders_of_one_ranking_remove_whole_columns(data):
    """All that counts goes from all samples, or from none."""
    X, y = data
    found = set()
    for seed in range(6):
        options = {"shares": [0.5], "cv": [(np.arange(80), np.arange(80, 120))]}
        table = roar(
            LogisticRegression(), X[:, [1, 0]], y, [1.0, 0.0], random_state=seed, **options
        )
        found.add(float(table.loc[0.5, "random"]))
    assert len(found) == 2
    assert table.loc[0.5, "score"] in found


def test_rankings_are_fitted_on_the_training_part_alone(data):
    X, y = data
    seen = []

    class Spy(ExtraTreesClassifier):
        def fit(self, X, y):
            seen.append(len(X))
            return super().fit(X, y)

    table = roar(LogisticRegression(), X, y, Spy(10), shares=[0.4], cv=4, random_state=0)
    assert seen == [90] * 4
    assert table.loc[0.4, "difference"] < 0


def test_explainers_rank_the_columns_of_the_user():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"site": rng.choice(list("abc"), 80), "age": rng.normal(50, 10, 80)})
    y = (X["site"] == "b").map({True: "ill", False: "well"})
    columns = make_column_transformer((OneHotEncoder(), ["site"]), (StandardScaler(), ["age"]))
    network = TorchMLPClassifier((4,), max_epochs=20, lr=0.1, random_state=0)
    model = make_pipeline(columns, network)
    explainer = PWPExplainer(model)
    table = roar(model, X, y, explainer, shares=[0.5], cv=2, n_random=0, random_state=0)
    assert table.loc[0, "score"] == 1
    assert table.loc[0.5, "score"] < 0.8
    named = pd.Series({"age": 0.0, "site": 1.0})
    again = roar(model, X, y, named, shares=[0.5], cv=2, n_random=0, random_state=0)
    assert again.loc[0.5, "score"] == table.loc[0.5, "score"]


def test_explanations_rank_sample_by_sample(data):
    X, y = data
    network = TorchMLPClassifier((4,), max_epochs=20, random_state=0).fit(X, y)
    explanation = GradientXInputExplainer(network).fit(X).explain(X, 1)
    options = {"shares": [0.4], "cv": 3, "random_state": 0, "n_random": 0}
    table = roar(LogisticRegression(), X, y, explanation, **options)
    same = roar(LogisticRegression(), X, y, explanation.values, **options)
    pd.testing.assert_frame_equal(table, same)
    unsigned = PWPExplainer(network).fit(X).explain(X, 1)
    table = roar(LogisticRegression(), X, y, unsigned, **options)
    same = roar(LogisticRegression(), X, y, np.abs(unsigned.values), **options)
    pd.testing.assert_frame_equal(table, same)


def test_regressors_and_scoring(data):
    X = data[0]
    y = X @ [0.0, 2.0, 0.0, 1.0, 0.0]
    options = {"shares": [0.2], "n_random": 0, "scoring": "neg_mean_absolute_error"}
    table = roar(LinearRegression(), X, y, RIGHT, **options)
    assert table.loc[0, "score"] == pytest.approx(0, abs=1e-9)
    assert table.loc[0.2, "score"] < -1
    assert "random" not in table


def test_results_do_not_depend_on_n_jobs(data):
    model = ExtraTreesClassifier(5)
    options = {"shares": [0.4], "cv": 2, "replacement": "conditional", "random_state": 7}
    one = roar(model, *data, model, **options)
    with parallel_config(backend="threading"):
        other = roar(model, *data, model, n_jobs=2, **options)
    pd.testing.assert_frame_equal(one, other)


@pytest.mark.usefixtures("global_rng_untouched")
def test_the_estimator_stays_and_its_seed_is_the_users(data):
    model = TorchMLPClassifier((4,), max_epochs=3)
    options = {"shares": [0.4], "cv": 2, "random_state": 7}
    one, other = (roar(model, *data, RIGHT, **options) for _ in range(2))
    pd.testing.assert_frame_equal(one, other)
    assert not hasattr(model, "net_")
    assert model.random_state is None


def test_one_split_has_no_interval(data):
    splits = [(np.arange(80), np.arange(80, 120))]
    table = roar(LogisticRegression(), *data, RIGHT, shares=[0.4], cv=splits, random_state=0)
    assert table[["score_lower", "difference_upper"]].isna().all(axis=None)
    assert table["score"].notna().all()


def test_progress_bar(data, capsys):
    roar(LogisticRegression(), *data, RIGHT, shares=[0.4], cv=2, verbose=1)
    assert "2/2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shares": [0]}, "shares=0 must be"),
        ({"shares": [1.5]}, "shares=1.5 must be"),
        ({"n_random": -1}, "n_random=-1 must be"),
        ({"confidence_level": 2}, "confidence_level=2 must be"),
        ({"importances": np.zeros(3)}, r"importances have the shape \(3,\); X has \(120, 5\)"),
        ({"importances": np.full(5, np.nan)}, "NaN or infinite"),
        ({"replacement": "zero"}, "replacement='zero' is not one of"),
    ],
    ids=["none", "many", "random", "level", "shape", "nan", "replacement"],
)
def test_bad_input(data, options, message):
    options = {"importances": RIGHT, **options}
    with pytest.raises(ValueError, match=message):
        roar(LogisticRegression(), *data, **options)
