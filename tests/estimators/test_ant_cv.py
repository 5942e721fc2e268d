"""The search over pruning rates against scikit-learn's `GridSearchCV`."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, make_friedman1
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sknninterp import ANTClassifier, ANTClassifierCV, ANTRegressor, ANTRegressorCV, PWPExplainer
from sknninterp.estimators._stacked_fit import can_be_stacked

QUICK = {"hidden_layer_sizes": (12, 8), "max_epochs": 6, "lr": 0.02, "batch_size": 32}
RATES = [0, 0.5, 0.75]


@pytest.fixture(scope="module")
def data():
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    X = X.iloc[:, :6].assign(site=np.where(X["mean area"] % 2 < 1, "left", "right"))
    return X[::3], y[::3].map({0: "malignant", 1: "benign"})


def columns():
    numbers = StandardScaler(), slice(0, 6)
    return ColumnTransformer([("n", *numbers), ("c", OneHotEncoder(), ["site"])])


@pytest.fixture(scope="module")
def values():
    X, y = make_friedman1(n_samples=120, random_state=0)
    return X, (y - y.mean()) / y.std()


def assert_same_search(found, expected, rtol=1e-9):
    assert found.cv_results_.keys() == expected.cv_results_.keys()
    for name, column in expected.cv_results_.items():
        if "time" in name:
            assert (found.cv_results_[name] >= 0).all()
        elif name == "params":
            assert found.cv_results_[name] == column
        else:
            of_other = np.asarray(column, float)
            np.testing.assert_allclose(found.cv_results_[name].astype(float), of_other, rtol=rtol)
    for name in ("best_params_", "best_index_", "n_splits_"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.best_score_ == pytest.approx(expected.best_score_)


@pytest.mark.parametrize("scoring", [None, "roc_auc", "neg_log_loss"])
def test_classifiers_in_a_pipeline_as_grid_search_would(data, scoring):
    X, y = data
    pipeline = make_pipeline(columns(), ANTClassifier(random_state=1, **QUICK))
    assert can_be_stacked(pipeline)
    found = ANTClassifierCV(pipeline, pruning_rates=RATES, cv=4, scoring=scoring).fit(X, y)
    grid = GridSearchCV(pipeline, {"antclassifier__pruning_rate": RATES}, cv=4, scoring=scoring)
    assert_same_search(found, grid.fit(X, y))
    assert found.best_pruning_rate_ == found.best_params_["antclassifier__pruning_rate"]
    np.testing.assert_allclose(found.predict_proba(X), grid.predict_proba(X))
    assert found.predict(X).tolist() == grid.predict(X).tolist()
    assert found.score(X, y) == grid.score(X, y)
    assert found.classes_.tolist() == ["benign", "malignant"]
    assert found.feature_names_in_.tolist() == X.columns.tolist()
    assert found.n_features_in_ == 7


@pytest.mark.parametrize(
    "network",
    [
        ANTRegressor(random_state=0, **QUICK),
        ANTRegressor(random_state=0, dropout=0.2, **QUICK),
        make_pipeline(PCA(4, random_state=0), ANTRegressor(random_state=0, **QUICK)),
        TransformedTargetRegressor(ANTRegressor(random_state=0, **QUICK), transformer=None),
    ],
    ids=["alone", "one by one", "seeded steps", "of a transformed target"],
)
def test_regressors_as_grid_search_would(values, network):
    X, y = values
    found = ANTRegressorCV(network, pruning_rates=RATES, cv=KFold(3, shuffle=True, random_state=0))
    found.fit(X, y)
    (parameter,) = found.best_params_
    grid = GridSearchCV(network, {parameter: RATES}, cv=KFold(3, shuffle=True, random_state=0))
    assert_same_search(found, grid.fit(X, y), rtol=1e-6)
    np.testing.assert_allclose(found.predict(X), grid.predict(X), rtol=1e-6)
    assert found.score(X, y) == pytest.approx(grid.score(X, y))


def test_several_outputs(values):
    X, y = values
    y = np.stack([y, -(y**2)], 1)
    found = ANTRegressorCV(ANTRegressor(**QUICK), pruning_rates=[0.5], cv=2).fit(X, y)
    assert found.predict(X).shape == y.shape


def test_repeats_have_seeds_of_their_own(values):
    X, y = values
    network = ANTRegressor(random_state=3, **QUICK)
    once = ANTRegressorCV(network, pruning_rates=RATES, cv=3).fit(X, y)
    search = ANTRegressorCV(network, pruning_rates=RATES, cv=3, n_repeats=3).fit(X, y)
    assert search.n_splits_ == 9
    splits = np.stack([search.cv_results_[f"split{i}_test_score"] for i in range(9)])
    first = [once.cv_results_[f"split{i}_test_score"] for i in range(3)]
    np.testing.assert_allclose(splits[:3], first)  # the network's own seed
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], splits.mean(0))
    np.testing.assert_allclose(search.cv_results_["std_test_score"], splits.std(0))
    assert len(np.unique(splits.round(12))) == splits.size


def test_random_state_seeds_all(values):
    X, y = values
    options = {"pruning_rates": RATES, "cv": 3, "n_repeats": 2, "random_state": 5}
    one, other = (
        ANTRegressorCV(ANTRegressor(random_state=seed, **QUICK), **options).fit(X, y)
        for seed in (0, 1)
    )
    np.testing.assert_array_equal(
        one.cv_results_["mean_test_score"], other.cv_results_["mean_test_score"]
    )
    np.testing.assert_array_equal(one.predict(X), other.predict(X))
    options["random_state"] = 6
    third = ANTRegressorCV(ANTRegressor(random_state=0, **QUICK), **options).fit(X, y)
    assert not np.array_equal(third.predict(X), one.predict(X))


def test_jobs_change_nothing_and_large_tables_are_shared(values):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 400))  # above a megabyte, joblib maps it read-only
    y = X[:, 0] + 0.1 * rng.normal(size=400)
    network = ANTRegressor(random_state=0, **QUICK)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone, together = (
            ANTRegressorCV(network, pruning_rates=RATES, cv=2, n_jobs=n_jobs, refit=False).fit(X, y)
            for n_jobs in (1, 2)
        )
    np.testing.assert_allclose(
        together.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"], rtol=1e-6
    )


def test_groups_stay_together(values):
    X, y = values
    groups = np.repeat(np.arange(12), 10)
    network = ANTRegressor(random_state=0, **QUICK)
    search = ANTRegressorCV(network, pruning_rates=RATES, cv=GroupKFold(3))
    with pytest.raises(ValueError, match="groups"):
        search.fit(X, y)
    grid = GridSearchCV(network, {"pruning_rate": RATES}, cv=GroupKFold(3))
    assert_same_search(search.fit(X, y, groups=groups), grid.fit(X, y, groups=groups))


# --- the choice ---------------------------------------------------------------------------------


class Scored:
    """Scores that are known: of a network with a rate, on a fold."""

    def __init__(self, scores):
        self.scores, self.seen = scores, {}

    def __call__(self, network, X, y):
        number = self.seen[network.pruning_rate] = self.seen.get(network.pruning_rate, -1) + 1
        return self.scores[network.pruning_rate][number]


@pytest.mark.parametrize(
    ("scores", "best", "simplest"),
    [
        # Standard error of the best: std([.9, .8, .7]) / sqrt(3) = .058.
        ({0.0: [0.9, 0.8, 0.7], 0.5: [0.75] * 3, 0.75: [0.74] * 3}, 0.0, 0.5),
        ({0.0: [0.9, 0.8, 0.7], 0.5: [0.7] * 3, 0.75: [0.743] * 3}, 0.0, 0.75),
        ({0.0: [0.7] * 3, 0.5: [0.8] * 3, 0.75: [0.79] * 3}, 0.5, 0.5),
        ({0.0: [0.8] * 3, 0.5: [0.8] * 3, 0.75: [0.7] * 3}, 0.5, 0.5),
        ({0.0: [0.8] * 3, 0.5: [0.8] * 3, 0.75: [0.8] * 3}, 0.75, 0.75),
    ],
)
def test_the_highest_rate_within_one_standard_error(values, scores, best, simplest):
    X, y = values
    for rule, expected in ((False, best), (True, simplest)):
        search = ANTRegressorCV(
            ANTRegressor(**QUICK),
            pruning_rates=list(scores),
            cv=3,
            scoring=Scored(scores),
            one_standard_error=rule,
            refit=False,
        )
        assert search.fit(X, y).best_pruning_rate_ == expected
        assert search.best_score_ == pytest.approx(np.mean(scores[expected]))
        assert search.cv_results_["params"][search.best_index_] == search.best_params_


def test_repeats_do_not_make_the_standard_error_smaller(values):
    X, y = values
    # Folds .9 and .7, whatever the seed: the error is .1, not .1 / sqrt(2).
    scores = {0.0: [0.9, 0.7, 0.9, 0.7], 0.5: [0.72] * 4}
    options = {"cv": 2, "n_repeats": 2, "one_standard_error": True, "refit": False}
    search = ANTRegressorCV(
        ANTRegressor(**QUICK), pruning_rates=list(scores), scoring=Scored(scores), **options
    )
    assert search.fit(X, y).best_pruning_rate_ == 0.5


# --- among other estimators ---------------------------------------------------------------------


def test_explainers_find_the_network(data):
    X, y = data
    pipeline = make_pipeline(columns(), ANTClassifier(random_state=1, **QUICK))
    search = ANTClassifierCV(pipeline, pruning_rates=RATES, cv=2)
    explainer = PWPExplainer(clone(search)).fit(X, y)
    direct = PWPExplainer(search.fit(X, y).best_estimator_).fit(X)
    assert explainer.get_feature_names_out().tolist() == X.columns.tolist()
    np.testing.assert_allclose(explainer.feature_importances_, direct.feature_importances_)


def test_inside_and_around_other_searches(values):
    X, y = values
    search = ANTRegressorCV(ANTRegressor(random_state=0, **QUICK), pruning_rates=[0, 0.5], cv=2)
    outer = GridSearchCV(search, {"estimator__lr": [0.01, 0.02]}, cv=2).fit(X, y)
    assert outer.best_estimator_.best_pruning_rate_ in (0, 0.5)
    inner = GridSearchCV(ANTRegressor(random_state=0, **QUICK), {"lr": [0.01, 0.02]}, cv=2)
    found = ANTRegressorCV(inner, pruning_rates=[0, 0.5], cv=2).fit(X, y)
    assert found.best_params_ in ({"estimator__pruning_rate": rate} for rate in (0, 0.5))


def test_without_refit_nothing_is_predicted(values):
    X, y = values
    search = ANTRegressorCV(ANTRegressor(**QUICK), pruning_rates=[0, 0.5], cv=2, refit=False)
    assert search.fit(X, y).best_pruning_rate_ in (0, 0.5)
    assert not hasattr(search, "predict")
    with pytest.raises(NotFittedError):
        PWPExplainer(search).fit(X, y)


def test_defaults():
    assert hasattr(ANTClassifierCV(), "predict_proba")
    assert not hasattr(ANTRegressorCV(), "predict_proba")
    with pytest.raises(NotFittedError):
        ANTClassifierCV().predict([[0.0]])


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"pruning_rates": [0, 1.0]}, r"pruning_rates=\[0, 1.0\] must be in \[0, 1\)"),
        ({"pruning_rates": [-0.1, 0.5]}, "pruning_rates"),
        ({"pruning_rates": [0.5, 0.5]}, "pruning_rates=.*unlike"),
        ({"pruning_rates": []}, "pruning_rates"),
        ({"pruning_rates": [0, np.nan]}, "pruning_rates"),
        ({"pruning_rates": 0.5}, "pruning_rates"),
        ({"pruning_rates": [0, 0.99]}, "pruning_rate=0.99|min_neurons"),
        ({"estimator": LogisticRegression()}, "LogisticRegression has no pruning_rate"),
        ({"estimator": ANTClassifier(n_tuned=1)}, "n_tuned takes the place"),
        (
            {
                "estimator": ANTClassifier(**QUICK),
                "one_standard_error": True,
                "cv": ShuffleSplit(1),
            },
            "one_standard_error needs two folds",
        ),
        ({"n_repeats": 0}, "n_repeats"),
        ({"scoring": "no_such_score"}, "scoring"),
    ],
)
def test_bad_parameters(data, parameters, message):
    X, y = data
    parameters = {"estimator": ANTClassifier(**{**QUICK, "min_neurons": 2}), "cv": 2, **parameters}
    with pytest.raises(ValueError, match=message):
        ANTClassifierCV(**parameters).fit(X.iloc[:, :6], y)


def test_bad_samples(data, values):
    X, y = values
    search = ANTRegressorCV(ANTRegressor(**QUICK), pruning_rates=[0, 0.5], cv=2)
    with pytest.raises(ValueError, match="NaN"):
        search.fit(np.where(X > 0.99, np.nan, X), y)
    with pytest.raises(ValueError, match="y cannot be None|requires y"):
        search.fit(X, None)
    search.fit(pd.DataFrame(X).add_prefix("g"), y)
    with pytest.raises(ValueError, match="feature names"):
        search.predict(pd.DataFrame(X).add_prefix("other"))
    scorer = get_scorer("r2")
    assert scorer(search, pd.DataFrame(X).add_prefix("g"), y) == search.score(
        pd.DataFrame(X).add_prefix("g"), y
    )
