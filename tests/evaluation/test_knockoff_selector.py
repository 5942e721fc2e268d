"""The knockoff selector: what it selects, how fair its pairs are, and what it refuses."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import Lasso, LassoCV, LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknninterp import PWPExplainer, TorchMLPRegressor
from sknninterp.evaluation.knockoff_selector import KnockoffSelector, _paired_names
from sknninterp.evaluation.knockoffs import (
    e_benjamini_hochberg,
    gaussian_knockoffs,
    knockoff_e_values,
    knockoff_q_values,
    knockoff_threshold,
)

NOTHING = "ignore:No feature:UserWarning"
RELEVANT = np.arange(12)


class Given(BaseEstimator):
    """Has importances that do not depend on the data, and remembers what it saw."""

    seen: list = []  # noqa: RUF012

    def __init__(self, importances=None):
        self.importances = importances

    def fit(self, X, y):
        Given.seen.append(X)
        n = X.shape[1]
        self.feature_importances_ = (
            np.arange(n, 0.0, -1) if self.importances is None else np.asarray(self.importances)
        )
        return self


@pytest.fixture
def linear():
    """Twelve relevant columns of thirty, and enough samples."""
    X = np.random.default_rng(0).normal(size=(300, 30))
    y = X[:, RELEVANT].sum(1) + np.random.default_rng(1).normal(size=300)
    return X, y


@pytest.fixture
def seen():
    Given.seen.clear()
    return Given.seen


@pytest.mark.parametrize("statistic", ["difference", "signed_max"])
@pytest.mark.parametrize("method", ["gaussian", "copula"])
def test_finds_the_relevant_columns_with_the_lasso(linear, method, statistic):
    X, y = linear
    selector = KnockoffSelector(Lasso(0.1), method=method, statistic=statistic, random_state=0)
    selector.fit(X, y)
    assert selector.support_[RELEVANT].all()
    assert selector.support_.sum() <= 14
    assert selector.transform(X).shape == (300, selector.support_.sum())
    assert selector.statistics_.shape == (1, 30)
    assert selector.threshold_ == knockoff_threshold(selector.statistics_[0], 0.1)
    np.testing.assert_array_equal(selector.q_values_, knockoff_q_values(selector.statistics_[0]))
    np.testing.assert_array_equal(selector.support_, selector.q_values_ <= 0.1)
    assert not hasattr(selector, "e_values_")


def test_finds_the_relevant_columns_with_a_network(linear):
    X, y = linear
    network = TorchMLPRegressor((16,), lr=0.01, max_epochs=40, weight_decay=0.01)
    selector = KnockoffSelector(PWPExplainer(network), fdr=0.2, random_state=0).fit(X, y)
    assert selector.support_[RELEVANT].sum() >= 10
    assert (~np.isin(np.flatnonzero(selector.support_), RELEVANT)).sum() <= 5


def test_several_draws(linear):
    X, y = linear
    selector = KnockoffSelector(Lasso(0.1), fdr=0.2, n_knockoffs=4, random_state=0).fit(X, y)
    assert selector.statistics_.shape == (4, 30)
    assert len(np.unique(selector.statistics_[:, 0])) == 4
    e_values = np.mean([knockoff_e_values(w, 0.1) for w in selector.statistics_], axis=0)
    np.testing.assert_allclose(selector.e_values_, e_values)
    np.testing.assert_allclose(selector.q_values_, e_benjamini_hochberg(e_values))
    np.testing.assert_array_equal(selector.support_, selector.e_values_ >= selector.threshold_)
    assert selector.support_[RELEVANT].all()
    other = clone(selector).set_params(draw_fdr=0.15).fit(X, y)
    assert not np.array_equal(other.e_values_, selector.e_values_)


@pytest.mark.filterwarnings(NOTHING)
def test_result_depends_on_the_seed_alone(linear, global_rng_untouched):
    X, y = linear
    network = PWPExplainer(TorchMLPRegressor(4, max_epochs=2))
    selector = KnockoffSelector(network, n_knockoffs=2, random_state=3)
    one, same, other = (
        clone(selector).set_params(random_state=seed).fit(X, y).statistics_ for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


@pytest.mark.filterwarnings(NOTHING)
def test_result_does_not_depend_on_n_jobs(linear):
    X, y = linear
    selector = KnockoffSelector(ExtraTreesClassifier(3), n_knockoffs=3, random_state=3)
    one = clone(selector).fit(X, y > 0).statistics_
    with parallel_config("threading"):
        two = selector.set_params(n_jobs=2).fit(X, y > 0).statistics_
    np.testing.assert_array_equal(one, two)


# --- fair pairs ---------------------------------------------------------------------------------


@pytest.mark.filterwarnings(NOTHING)
def test_position_gives_no_cue(linear, seen):
    """An estimator that prefers the first columns must not prefer X to its knockoffs."""
    X, y = linear
    statistics = KnockoffSelector(Given(), random_state=0, n_knockoffs=20).fit(X, y).statistics_
    assert 0.4 < (statistics > 0).mean() < 0.6
    np.testing.assert_array_equal(np.abs(statistics), 30)
    # The importances follow their columns back.
    for row, both in zip(statistics, seen, strict=True):
        np.testing.assert_array_equal((both[:, :30] == X).all(0), row > 0)
        np.testing.assert_array_equal((both[:, 30:] == X).all(0), row < 0)


@pytest.mark.filterwarnings(NOTHING)
def test_a_frame_goes_to_the_estimator(linear, seen):
    X, y = linear
    frame = pd.DataFrame(X[:, :2], columns=["age", "dose"], index=np.arange(300)[::-1])
    KnockoffSelector(Given(), random_state=0).fit(frame, y)
    assert list(seen[0].columns) == ["age", "dose", "age (knockoff)", "dose (knockoff)"]
    assert seen[0].index.equals(frame.index)
    KnockoffSelector(Given(), random_state=0).fit(X, y)
    assert isinstance(seen[1], np.ndarray)


@pytest.mark.filterwarnings(NOTHING)
@pytest.mark.parametrize("how", [{"s_vector": "equicorrelated"}, {"shrinkage": 0.9}], ids=str)
@pytest.mark.parametrize("method", ["gaussian", "copula"])
def test_parameters_of_the_knockoffs(linear, seen, method, how):
    X, y = linear
    X = X + X[:, :1]
    for parameters in ({}, how):
        KnockoffSelector(Given(), method=method, random_state=0, **parameters).fit(X, y)
    assert np.abs(seen[0] - seen[1]).max() > 0.01


def test_names_that_look_like_knockoffs():
    assert _paired_names(["a", "a (knockoff)"])[2:] == ["a (knockoff)'", "a (knockoff) (knockoff)'"]
    assert len(set(_paired_names(["a", "a (knockoff)", "a (knockoff)'"]))) == 6


@pytest.mark.filterwarnings(NOTHING)
def test_a_constant_column_is_never_selected(linear):
    X, y = linear
    X[:, 4] = 2
    selector = KnockoffSelector(Given(), offset=0, fdr=0.9, random_state=0).fit(X, y)
    assert selector.statistics_[0, 4] == 0
    assert not selector.support_[4]
    assert selector.support_.any()


def test_knockoffs_of_a_callable(linear):
    X, y = linear
    selector = KnockoffSelector(
        Lasso(0.1), method=lambda X, random_state: gaussian_knockoffs(X, random_state=random_state)
    )
    assert selector.set_params(random_state=0).fit(X, y).support_[RELEVANT].all()
    with pytest.raises(ValueError, match=r"shape \(300, 2\), X has \(300, 30\)"):
        selector.set_params(method=lambda X, random_state: X[:, :2]).fit(X, y)
    with pytest.raises(ValueError, match="NaN or infinite"):
        selector.set_params(method=lambda X, random_state: X * np.nan).fit(X, y)


def test_counts_need_the_copula(seen):
    """Gaussian knockoffs of binary columns are told by their values."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, size=(60, 4)).astype(float)
    y = rng.normal(size=60)
    with pytest.warns(UserWarning, match="No feature is selected"):
        KnockoffSelector(Given(), method="copula", random_state=0).fit(X, y)
    assert set(np.unique(seen[0])) == {0, 1}


# --- as a part of scikit-learn ------------------------------------------------------------------


def test_names_and_frames(linear):
    X, y = linear
    frame = pd.DataFrame(X, columns=[f"gene {i}" for i in range(30)])
    selector = KnockoffSelector(Lasso(0.1), random_state=0).fit(frame, y)
    names = frame.columns[selector.support_]
    np.testing.assert_array_equal(selector.selected_features_, names)
    found = selector.set_output(transform="pandas").transform(frame)
    pd.testing.assert_frame_equal(found, frame[names])
    # A network inside sees the same numbers with and without names.
    np.testing.assert_array_equal(clone(selector).fit(X, y).support_, selector.support_)


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(StandardScaler(), LassoCV(cv=3)),
        PWPExplainer(make_pipeline(StandardScaler(), TorchMLPRegressor(8, max_epochs=2))),
        ExtraTreesClassifier(5),
    ],
    ids=["lasso", "network", "forest"],
)
@pytest.mark.filterwarnings(NOTHING)
def test_estimators_of_all_kinds(linear, estimator):
    X, y = linear
    y = y > 0 if isinstance(estimator, ExtraTreesClassifier) else y
    selector = KnockoffSelector(estimator, random_state=0).fit(X * np.arange(1, 31), y)
    assert (selector.statistics_ != 0).any()
    assert pickle.loads(pickle.dumps(selector)).threshold_ == selector.threshold_


def test_in_a_pipeline_and_a_search(linear):
    X, y = linear
    pipeline = make_pipeline(KnockoffSelector(Lasso(0.1), random_state=0), LinearRegression())
    search = GridSearchCV(pipeline, {"knockoffselector__fdr": [0.2, 0.3]}, cv=2).fit(X, y)
    assert search.best_score_ > 0.8


def test_float32_and_booleans(linear):
    X, y = linear
    found = KnockoffSelector(Lasso(0.1), random_state=0).fit(X.astype(np.float32), y)
    np.testing.assert_array_equal(found.support_[RELEVANT], True)


# --- nothing selected, wrong input --------------------------------------------------------------


def test_nothing_selected(linear):
    X, y = linear
    selector = KnockoffSelector(Lasso(0.1), fdr=0.05, random_state=0)
    with pytest.warns(UserWarning, match=r"at fdr=0.05.*smallest q-value.*At least 20 .*are 30"):
        selector.fit(X, y)
    assert selector.threshold_ == np.inf
    assert len(selector.selected_features_) == 0
    with pytest.warns(UserWarning, match="No features were selected"):
        assert selector.transform(X).shape == (300, 0)
    with pytest.warns(UserWarning, match=r"At least 20 features .* \(1 / 0.05\)"):
        selector.set_params(n_knockoffs=2, fdr=0.1).fit(X, y)
    assert selector.threshold_ == np.inf


def test_wrong_input(linear):
    X, y = linear
    frame = pd.DataFrame({"sex": ["f", "m"] * 150, "age": y})
    with pytest.raises(ValueError, match="KnockoffSelector needs columns of numbers, but 'sex'"):
        KnockoffSelector(Lasso()).fit(frame, y)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        KnockoffSelector(Lasso()).fit(np.where(X > 2, np.nan, X), y)
    with pytest.raises(ValueError, match="offset=0 gives no e-values"):
        KnockoffSelector(Lasso(), offset=0, n_knockoffs=2).fit(X, y)
    with pytest.raises(ValueError, match="NaN or infinite"):
        KnockoffSelector(Given([np.nan] * 60)).fit(X, y)
    with pytest.raises(ValueError, match=r"importances of shape \(3,\) for 60 columns"):
        KnockoffSelector(Given([1, 2, 3])).fit(X, y)
    with pytest.raises(ValueError, match="'fdr' parameter"):
        KnockoffSelector(Lasso(), fdr=1.0).fit(X, y)
