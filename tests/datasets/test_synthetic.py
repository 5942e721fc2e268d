from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from sknninterp.datasets import make_interaction_benchmark, make_relevant_features

NAMES = ["two-features", "plus-one", "orange-skin"]
KINDS = ["linear", "interactions", "nonlinear"]


def probability_of_class_1(name, row):
    """Jung, Shin, Kwon, one sample at a time."""
    g = {
        "two-features": row[0] * row[1],
        "plus-one": row[0] * row[1] - 2,
        "orange-skin": row[0] ** 2 + row[1] ** 2 + row[2] ** 2 + row[3] ** 2 - 10,
    }[name]
    return 1 / (1 + math.exp(g))


@settings(deadline=None, max_examples=30)
@given(
    name=st.sampled_from(NAMES),
    n_samples=st.integers(1, 20),
    n_features=st.integers(4, 12),
    low=st.sampled_from([0.0, 1.0, -3.0]),
    seed=st.integers(0, 1000),
)
def test_soft_labels_are_the_papers(name, n_samples, n_features, low, seed):
    X, y, relevant = make_interaction_benchmark(
        name, n_samples, n_features=n_features, low=low, high=low + 1, random_state=seed
    )
    assert X.shape == (n_samples, n_features)
    assert ((low <= X) & (low + 1 > X)).all()
    expected = [probability_of_class_1(name, row) for row in X]
    np.testing.assert_allclose(y[:, 1], expected, rtol=1e-10)
    np.testing.assert_allclose(y.sum(axis=1), 1)
    assert relevant.tolist() == list(range(4 if name == "orange-skin" else 2))


def test_known_point():
    # g = 1.5 * 1.5 - 2 at the middle of [1, 2].
    X, y, _ = make_interaction_benchmark("plus-one", 1, low=1.5, high=1.5 + 1e-12)
    np.testing.assert_allclose(X, 1.5)
    np.testing.assert_allclose(y, [[1 / (1 + math.exp(-0.25)), 1 / (1 + math.exp(0.25))]])


@pytest.mark.parametrize("name", ["plus-one", "orange-skin"])
def test_hard_labels_are_the_more_probable_class(name):
    options = {"low": 1, "high": 2, "random_state": 0}
    X, soft, _ = make_interaction_benchmark(name, 200, **options)
    X_hard, hard, _ = make_interaction_benchmark(name, 200, labels="hard", **options)
    np.testing.assert_array_equal(X, X_hard)
    np.testing.assert_array_equal(hard, soft.argmax(axis=1))
    assert hard.dtype == np.int64
    assert set(hard) == {0, 1}


def test_sampled_labels_follow_the_probabilities():
    options = {"random_state": 3}
    X, soft, _ = make_interaction_benchmark("two-features", 20000, **options)
    X_sampled, y, _ = make_interaction_benchmark("two-features", 20000, labels="sampled", **options)
    np.testing.assert_array_equal(X, X_sampled)
    likely = soft[:, 1] > np.median(soft[:, 1])
    for part in (likely, ~likely):
        # Five standard errors of a mean of 10,000 labels.
        assert y[part].mean() == pytest.approx(soft[part, 1].mean(), abs=0.025)


def test_other_features_do_not_matter():
    X, y, relevant = make_interaction_benchmark("orange-skin", 5000, low=1, high=2, random_state=0)
    correlations = [abs(np.corrcoef(column, y[:, 0])[0, 1]) for column in X.T]
    assert set(np.argsort(correlations)[-4:]) == set(relevant)
    assert max(np.delete(correlations, relevant)) < 0.08


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "xor"}, "name must be one of 'two-features', 'plus-one', 'orange-skin'"),
        ({"name": "plus-one", "labels": "one-hot"}, "labels must be one of 'soft', 'hard'"),
        ({"name": "plus-one", "n_samples": 0}, "n_samples must be at least 1, got 0"),
        ({"name": "orange-skin", "n_features": 3}, "n_features must be at least 4, got 3"),
        ({"name": "plus-one", "low": 1, "high": 1}, "low must be below high, got low=1"),
    ],
)
def test_wrong_benchmark_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_interaction_benchmark(**arguments)


@settings(deadline=None, max_examples=40)
@given(
    kind=st.sampled_from(KINDS),
    n_samples=st.integers(2, 50),
    half=st.integers(1, 5),
    extra=st.integers(0, 10),
    seed=st.integers(0, 1000),
)
def test_relevant_features_are_balanced_and_in_range(kind, n_samples, half, extra, seed):
    n_features = 2 * half + extra
    X, y, relevant = make_relevant_features(
        n_samples, n_features, n_relevant=2 * half, kind=kind, flip_y=0, random_state=seed
    )
    assert X.shape == (n_samples, n_features)
    assert y.sum() == n_samples - n_samples // 2
    assert len(set(relevant)) == 2 * half
    assert relevant.tolist() == sorted(relevant)
    assert 0 <= relevant[0] <= relevant[-1] < n_features


@pytest.mark.parametrize("kind", KINDS)
def test_one_seed_gives_the_same_set(kind):
    first = make_relevant_features(50, 30, kind=kind, random_state=7)
    second = make_relevant_features(50, 30, kind=kind, random_state=7)
    other = make_relevant_features(50, 30, kind=kind, random_state=8)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[2], other[2])


def test_flipped_labels():
    options = {"n_samples": 200, "random_state": 0}
    _, clean, _ = make_relevant_features(flip_y=0, **options)
    _, noisy, _ = make_relevant_features(flip_y=0.1, **options)
    assert (clean != noisy).sum() == 20


def test_linear_set_is_linear_in_the_relevant_features():
    X, y, relevant = make_relevant_features(2000, 40, n_relevant=8, flip_y=0, random_state=0)
    model = LogisticRegression(C=100, max_iter=1000).fit(X, y)
    assert model.score(X, y) > 0.99
    assert set(np.argsort(np.abs(model.coef_[0]))[-8:]) == set(relevant)


def test_interactions_have_no_linear_part():
    X, y, relevant = make_relevant_features(
        4000, 10, n_relevant=4, kind="interactions", flip_y=0, random_state=0
    )
    assert LogisticRegression().fit(X[:2000], y[:2000]).score(X[2000:], y[2000:]) < 0.56
    products = np.column_stack([X[:, i] * X[:, j] for i in relevant for j in relevant if i < j])
    model = LogisticRegression(C=100, max_iter=1000).fit(products[:2000], y[:2000])
    assert model.score(products[2000:], y[2000:]) > 0.98


def test_nonlinear_set_is_learnt_from_the_relevant_features_alone():
    X, y, relevant = make_relevant_features(
        3000, 12, n_relevant=4, kind="nonlinear", flip_y=0, random_state=0
    )
    forest = RandomForestClassifier(50, random_state=0).fit(X, y)
    assert set(np.argsort(forest.feature_importances_)[-4:]) == set(relevant)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "cubic"}, "kind must be one of 'linear', 'interactions', 'nonlinear'"),
        ({"n_samples": 1}, "n_samples must be at least 2, got 1"),
        ({"n_relevant": 0}, "n_relevant must be at least 1, got 0"),
        ({"n_features": 19}, "n_features must be at least 20, got 19"),
        ({"kind": "interactions", "n_relevant": 3}, "n_relevant must be even .* got 3"),
        ({"flip_y": 0.6}, "flip_y must be between 0 and 0.5, got 0.6"),
    ],
)
def test_wrong_relevant_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_relevant_features(**arguments)
