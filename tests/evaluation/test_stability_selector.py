"""Stability selection: halves, frequencies and selection against loops; what follows from what."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from sknninterp import PWPExplainer, TorchMLPClassifier
from sknninterp.evaluation.stability_bounds import false_selection_bound
from sknninterp.evaluation.stability_selector import StabilitySelector, complementary_halves

NOTHING = "ignore:No feature:UserWarning"


class Correlation(BaseEstimator):
    """Importances that are easily computed again: the correlation with y."""

    seen: list = []  # noqa: RUF012

    def fit(self, X, y):
        self.seen.append((np.asarray(X), np.asarray(y)))
        self.feature_importances_ = np.array([np.corrcoef(column, y)[0, 1] for column in X.T])
        return self


class Given(BaseEstimator):
    """Has these importances."""

    def __init__(self, importances):
        self.importances = importances

    def fit(self, X, y):
        self.feature_importances_ = np.asarray(self.importances)
        return self


class Classifier(ClassifierMixin, Correlation):
    """The same for labels of 0 and 1."""


@pytest.fixture
def linear():
    """Three relevant columns of twenty."""
    X = np.random.default_rng(0).normal(size=(101, 20))
    return X, X[:, :3] @ [3, 2, 1] + np.random.default_rng(1).normal(size=101)


@pytest.fixture
def seen():
    Correlation.seen.clear()
    return Correlation.seen


# --- halves -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [4, 5, 30, 31])
def test_halves_are_complementary(n):
    first, second = complementary_halves(n, None, np.random.RandomState(0))
    assert len(first) == len(second) == n // 2
    assert len({*first, *second}) == n // 2 * 2
    assert {*first, *second} <= set(range(n))


@pytest.mark.parametrize("counts", [(3, 2), (2, 21), (21, 2), (20, 10, 5), (7, 7, 7), (2, 2, 2, 2)])
def test_halves_have_the_classes_in_the_same_shares(counts):
    labels = np.repeat(np.array(["a", "b", "c", "d"])[: len(counts)], counts)
    for seed in range(10):
        halves = complementary_halves(len(labels), labels, np.random.RandomState(seed))
        assert len({*halves[0], *halves[1]}) == len(labels) // 2 * 2
        for half in halves:
            for label, count in zip(np.unique(labels), counts, strict=True):
                assert abs((labels[half] == label).sum() - count / 2) <= 1
                assert (labels[half] == label).any()


def test_every_sample_is_left_out_now_and_then():
    left = [
        set(range(5)) - set(np.concatenate(complementary_halves(5, None, np.random.RandomState(s))))
        for s in range(60)
    ]
    assert set.union(*left) == set(range(5))


def test_a_class_with_one_sample():
    with pytest.raises(ValueError, match="Class 'b' has a single sample"):
        complementary_halves(5, np.array(list("aaaab")), np.random.RandomState(0))


# --- frequencies --------------------------------------------------------------------------------


def test_frequencies_and_selection_are_those_of_a_loop(linear, seen):
    X, y = linear
    selector = StabilitySelector(
        Correlation(), n_features_to_select=4, threshold=0.6, n_subsamples=10, random_state=0
    ).fit(X, y)
    assert len(seen) == 10
    counts = np.zeros((20, 20))
    for part, target in seen:
        found = [abs(np.corrcoef(part[:, j], target)[0, 1]) for j in range(20)]
        for place, j in enumerate(np.argsort(found)[::-1]):
            counts[j, place:] += 1
    np.testing.assert_allclose(selector.selection_frequencies_, counts[:, 3] / 10)
    np.testing.assert_array_equal(selector.support_, counts[:, 3] >= 6)
    assert selector.support_[:2].all()
    path = selector.selection_path(20)
    np.testing.assert_allclose(path, counts / 10)
    assert path.columns.tolist() == list(range(1, 21))
    assert selector.selection_path().shape == (20, 8)
    # Pairs of halves, without the sample left out.
    for one, other in zip(seen[::2], seen[1::2], strict=True):
        assert len(np.unique(np.concatenate([one[1], other[1]]))) == 100


def test_halves_of_a_classifier_are_stratified(linear, seen):
    X, y = linear
    labels = (y > np.quantile(y, 0.9)).astype(int)
    StabilitySelector(Classifier(), n_subsamples=20, random_state=0).fit(X, labels)
    assert {int(target.sum()) for _, target in seen} <= {5, 6}
    seen.clear()
    StabilitySelector(Correlation(), n_subsamples=20, random_state=0).fit(X, labels)
    assert len({int(target.sum()) for _, target in seen}) > 2


def test_ties_are_broken_by_lot_and_zeros_never_noted(linear):
    X, y = linear
    given = Given([1.0] * 8 + [0.0] * 12)
    with pytest.warns(UserWarning, match=r"is in \d\d% of the subsamples' first 4, below .* 75%"):
        selector = StabilitySelector(
            given, n_features_to_select=4, n_subsamples=100, random_state=0
        ).fit(X, y)
    assert (np.abs(selector.selection_frequencies_[:8] - 0.5) < 0.2).all()
    selector = clone(selector).set_params(n_features_to_select=10).fit(X, y)
    np.testing.assert_array_equal(selector.selection_frequencies_, [1] * 8 + [0] * 12)


def test_result_depends_on_the_seed_alone(linear, global_rng_untouched):
    X, y = linear
    forest = ExtraTreesClassifier(2, max_depth=2)
    selector = StabilitySelector(forest, n_features_to_select=3, n_subsamples=6, random_state=5)
    selector.set_params(threshold=0.51)
    found = []
    for seed in (5, 5, 6):
        selector.set_params(random_state=seed).fit(X, y > 0)
        found.append(selector.selection_frequencies_)
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


def test_result_does_not_depend_on_n_jobs(linear):
    X, y = linear
    selector = StabilitySelector(Lasso(0.1), n_subsamples=6, random_state=5)
    one = clone(selector).fit(X, y).selection_frequencies_
    with parallel_config("threading"):
        two = selector.set_params(n_jobs=2).fit(X, y).selection_frequencies_
    np.testing.assert_array_equal(one, two)


# --- what follows from what ---------------------------------------------------------------------


def settled(linear, **parameters):
    selector = StabilitySelector(Lasso(0.1), n_subsamples=10, random_state=0, **parameters)
    selector.fit(*linear)
    return selector.n_features_to_select_, selector.threshold_, selector.error_bound_


@pytest.mark.filterwarnings(NOTHING)
@pytest.mark.parametrize("assumption", ["none", "unimodal", "r-concave"])
def test_two_numbers_say_what_the_third_is(linear, assumption):
    def bound(q, threshold):
        return false_selection_bound(20, q, threshold, 10, assumption)

    for how in ({}, {"pfer": 1}, {"threshold": 0.75}):
        q, threshold, error = settled(linear, assumption=assumption, **how)
        assert threshold == 0.75
        assert error == bound(q, 0.75) <= 1 < bound(q + 1, 0.75)
    q, threshold, error = settled(linear, assumption=assumption, threshold=0.9, pfer=2)
    assert threshold == 0.9
    assert error == bound(q, 0.9) <= 2 < bound(q + 1, 0.9)
    q, threshold, error = settled(linear, assumption=assumption, n_features_to_select=3, pfer=0.7)
    assert q == 3
    assert error == bound(3, threshold) <= 0.7
    assert threshold == 0.6 or bound(3, threshold - 0.1) > 0.7
    assert settled(linear, assumption=assumption, n_features_to_select=6) == (
        6,
        0.75,
        bound(6, 0.75),
    )
    assert settled(linear, assumption=assumption, n_features_to_select=6, threshold=0.8)[1:] == (
        0.8,
        bound(6, 0.8),
    )


def test_false_selections_stay_below_the_bound():
    """Pure noise, so that every selection is false."""
    rng = np.random.default_rng(0)
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)
        for seed in range(40):
            selector = StabilitySelector(
                Correlation(),
                n_features_to_select=5,
                threshold=0.6,
                n_subsamples=10,
                assumption="r-concave",
                random_state=seed,
            ).fit(rng.normal(size=(40, 20)), rng.normal(size=40))
            found.append(selector.support_.sum())
    assert 0 < np.mean(found) <= selector.error_bound_ < 3


# --- as a part of scikit-learn ------------------------------------------------------------------


def test_names_frames_pipelines_and_searches(linear):
    X, y = linear
    frame = pd.DataFrame(X, columns=[f"gene {i}" for i in range(20)])
    selector = StabilitySelector(Lasso(0.1), n_subsamples=10, random_state=0).fit(frame, y)
    names = frame.columns[selector.support_]
    assert {"gene 0", "gene 1"} <= set(names)
    np.testing.assert_array_equal(selector.selected_features_, names)
    assert selector.selection_path().index.equals(frame.columns)
    pd.testing.assert_frame_equal(
        selector.set_output(transform="pandas").transform(frame), frame[names]
    )
    assert pickle.loads(pickle.dumps(selector)).selection_path(3).shape == (20, 3)
    pipeline = make_pipeline(clone(selector), LinearRegression())
    search = GridSearchCV(pipeline, {"stabilityselector__pfer": [1, 2]}, cv=2).fit(X, y)
    assert search.best_score_ > 0.8


def test_columns_of_text_through_a_pipeline():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"sex": rng.choice(["f", "m"], 80), "dose": rng.normal(size=80)})
    y = (frame["sex"] == "f").to_numpy().astype(int)
    encode = make_column_transformer((OneHotEncoder(), ["sex"]), remainder="passthrough")
    network = TorchMLPClassifier(4, max_epochs=10, lr=0.05)
    selector = StabilitySelector(
        PWPExplainer(make_pipeline(encode, network)),
        n_features_to_select=1,
        n_subsamples=4,
        random_state=0,
    ).fit(frame, y)
    assert selector.selected_features_.tolist() == ["sex"]


def test_wrong_input(linear):
    X, y = linear

    def fit(estimator=None, X=X, y=y, **parameters):
        StabilitySelector(estimator or Lasso(0.1), **parameters).fit(X, y)

    with pytest.raises(ValueError, match="are all given, but any two"):
        fit(n_features_to_select=2, threshold=0.7, pfer=1)
    with pytest.raises(ValueError, match="n_features_to_select=21, but X has 20 features"):
        fit(n_features_to_select=21)
    with pytest.raises(ValueError, match="n_subsamples=5 must be even"):
        fit(n_subsamples=5)
    with pytest.raises(ValueError, match="pfer=0.001 cannot be kept"):
        fit(pfer=0.001)
    with pytest.raises(ValueError, match="'threshold' parameter"):
        fit(threshold=0.4)
    with pytest.raises(ValueError, match="single sample"):
        fit(LogisticRegression(), y=np.r_[1, np.zeros(100)])
    mixed = np.array(["a", 1] * 50 + ["a"], dtype=object)[: len(y)]
    with pytest.raises(ValueError, match="y mixes labels"):
        fit(PWPExplainer(TorchMLPClassifier((4,), max_epochs=1)), y=mixed)
    with pytest.raises(ValueError, match="n_samples = 3 are too small"):
        fit(X=X[:3], y=y[:3])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fit(y=y[:50])
    with pytest.raises(ValueError, match="NaN or infinite"):
        fit(Given([np.nan] * 20))
    selector = StabilitySelector(Lasso(0.1), n_subsamples=4, random_state=0).fit(X, y)
    for wrong in (0, 21, 1.5):
        with pytest.raises(ValueError, match=f"max_features={wrong} must be an integer from 1"):
            selector.selection_path(wrong)
