"""Explanations in whatever form, and the order of features that comes of them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from sknninterp.evaluation._rankings import (
    as_explanation,
    attributions,
    checked_groups,
    own_target,
    random_ranks,
    ranking_scores,
    ranks_of,
)
from sknninterp.explainers.explanation import Explanation

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3))
VALUES = RNG.normal(size=(4, 3, 2))
LABELS = np.array(["b", "a", "b", "b"])


def output(labels=LABELS, known=("a", "b"), is_class=True):
    return SimpleNamespace(labels=np.asarray(labels), known=np.asarray(known), is_class=is_class)


# --- attributions to the explained output -------------------------------------------------------


def test_each_sample_has_its_own_output():
    expected = [VALUES[0, :, 1], VALUES[1, :, 0], VALUES[2, :, 1], VALUES[3, :, 1]]
    explanation = Explanation(VALUES, output_names=["a", "b"])
    np.testing.assert_array_equal(attributions(explanation, X, output()), expected)
    np.testing.assert_array_equal(attributions(VALUES, X, output()), expected)
    swapped = Explanation(VALUES[..., ::-1], output_names=["b", "a"])
    np.testing.assert_array_equal(attributions(swapped, X, output()), expected)


@pytest.mark.parametrize("signed", [True, False])
def test_a_single_logit_speaks_against_the_other_class(signed):
    explanation = Explanation(VALUES[..., 1:], output_names=["b"], signed=signed)
    signs = np.array([1, -1, 1, 1])[:, None] if signed else 1
    np.testing.assert_array_equal(attributions(explanation, X, output()), VALUES[..., 1] * signs)


def test_values_without_outputs_are_taken_as_they_are():
    values = VALUES[..., 0]
    for explanation in (Explanation(values), values):
        np.testing.assert_array_equal(attributions(explanation, X, output()), values)
    np.testing.assert_array_equal(attributions(values[0], X, output()), values[:1])


def test_images_are_flattened():
    images = RNG.normal(size=(4, 2, 3, 3))
    np.testing.assert_array_equal(attributions(images, images, output()), images.reshape(4, -1))
    assert attributions(images[0], images, output()).shape == (1, 18)
    both = Explanation(np.stack([images, -images], -1), output_names=["a", "b"])
    signs = np.where(LABELS == "a", 1, -1)[:, None]
    expected = images.reshape(4, -1) * signs
    np.testing.assert_array_equal(attributions(both, images, output()), expected)


@pytest.mark.parametrize(
    ("explanation", "message"),
    [
        (np.zeros((4, 2)), r"shape \(4, 2\); X has \(4, 3\)"),
        (np.zeros((3, 3)), r"shape \(3, 3\)"),
        (Explanation(np.zeros((4, 5))), r"columns='original'"),
        (np.full((4, 3), np.nan), "NaN or infinite"),
        (Explanation(np.zeros((4, 3, 2)), output_names=["a", "c"]), "no output 'b'"),
    ],
    ids=["width", "length", "transformed", "nan", "output"],
)
def test_what_does_not_fit(explanation, message):
    with pytest.raises(ValueError, match=message):
        attributions(explanation, X, output())


def test_columns_in_another_order():
    frame = pd.DataFrame(X, columns=list("uvw"))
    explanation = Explanation(VALUES[..., 0], feature_names=list("wvu"))
    with pytest.raises(ValueError, match="in another order"):
        attributions(explanation, frame, output())
    ranking = pd.Series([3.0, 2.0, 1.0], index=list("wvu"))
    assert as_explanation(ranking, frame).tolist() == [1, 2, 3]
    table = pd.DataFrame(VALUES[..., 0], columns=list("wvu"))
    np.testing.assert_array_equal(as_explanation(table, frame), VALUES[:, ::-1, 0])
    assert as_explanation(ranking, X).tolist() == [3, 2, 1]


# --- explainers, estimators, targets ------------------------------------------------------------


def test_estimators_give_their_importances():
    y = [0, 1, 2, 1]
    forest = RandomForestClassifier(3, random_state=0).fit(X, y)
    np.testing.assert_array_equal(as_explanation(forest, X), forest.feature_importances_)
    linear = LogisticRegression().fit(X, y)
    np.testing.assert_allclose(as_explanation(linear, X), np.abs(linear.coef_).sum(0))


@pytest.mark.parametrize(
    ("target", "asked"),
    [(None, None), ("predicted", None), ("a", "a"), (LABELS, None)],
    ids=["none", "predicted", "label", "each"],
)
def test_explainers_are_asked_for_what_is_needed(target, asked):
    calls = []

    class Explainer:
        def explain(self, X, target):
            calls.append(target)
            return Explanation(VALUES, output_names=["a", "b"])

    assert as_explanation(Explainer(), X, target).shape == VALUES.shape
    assert calls == [asked]


def test_target_of_the_explanation_itself():
    values = VALUES[..., 0]
    each = Explanation(values, target=LABELS)
    for given in (None, "predicted", LABELS):
        assert own_target(each, given) is each.target
    one = Explanation(values, output_names="a")
    assert own_target(one, None) == "a"
    assert own_target(one, "a") == "a"
    assert own_target(Explanation(values), "b") == "b"
    assert own_target(Explanation(VALUES, output_names=["a", "b"]), "b") == "b"
    assert own_target(values, "b") == "b"


@pytest.mark.parametrize("given", ["b", "predicted", LABELS], ids=["label", "predicted", "each"])
def test_explanations_of_another_output_are_refused(given):
    with pytest.raises(ValueError, match="the explanation is about another output, 'a'"):
        own_target(Explanation(VALUES[..., 0], output_names="a"), given)


# --- ranks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signed", "rank_by", "by_magnitude"),
    [
        (True, "auto", False),
        (True, "magnitude", True),
        (False, "auto", True),
        (False, "value", False),
    ],
)
def test_rank_by(signed, rank_by, by_magnitude):
    explanation = Explanation(VALUES[..., 0], signed=signed)
    expected = np.abs(VALUES[..., 0]) if by_magnitude else VALUES[..., 0]
    found = ranking_scores(explanation, X, output(), rank_by)
    np.testing.assert_array_equal(found, expected)


def test_groups_sum_with_signs():
    groups = np.array([1, 0, 1])
    expected = np.stack([VALUES[:, 1, 0], VALUES[:, 0, 0] + VALUES[:, 2, 0]], 1)
    found = ranking_scores(VALUES[..., 0], X, output(), groups=groups)
    np.testing.assert_allclose(found, expected)
    found = ranking_scores(VALUES[..., 0], X, output(), "magnitude", groups)
    np.testing.assert_allclose(found, np.abs(expected))


def test_groups_of_images_are_pixels():
    groups = checked_groups(None, (2, 2, 2))
    assert groups.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert checked_groups(None, (2, 3)).tolist() == [0, 1, 2, 3, 4, 5]
    assert checked_groups(None, (3,)).tolist() == [0, 1, 2]
    assert checked_groups([["x", "x"], ["w", "x"]], (2, 2)).tolist() == [1, 1, 0, 1]
    assert checked_groups([7, 7, 5, 7], (2, 2)).tolist() == [1, 1, 0, 1]
    with pytest.raises(ValueError, match=r"groups must have the shape \(2, 2\), got \(3,\)"):
        checked_groups([0, 1, 2], (2, 2))


def test_ranks_begin_with_the_highest_score():
    scores = np.array([[0.1, 0.5, -0.3, 0.2], [4.0, 3.0, 2.0, 1.0]])
    found = ranks_of(scores, np.random.RandomState(0), 2)
    assert found.tolist() == [[2, 0, 3, 1], [0, 1, 2, 3]]


def test_one_ranking_is_that_of_all_samples():
    found = ranks_of(np.array([[0.0, 1.0]]), np.random.RandomState(0), 3)
    assert found.tolist() == [[1, 0]] * 3


def test_ties_are_in_random_order():
    found = ranks_of(np.zeros((200, 3)), np.random.RandomState(0), 200)
    assert len({tuple(row) for row in found.tolist()}) == 6
    np.testing.assert_allclose(found.mean(0), 1, atol=0.2)


def test_random_ranks_are_orders():
    found = random_ranks((50, 4), np.random.RandomState(0))
    assert (np.sort(found, 1) == np.arange(4)).all()
    np.testing.assert_allclose(found.mean(0), 1.5, atol=0.5)


def test_unknown_rank_by():
    with pytest.raises(ValueError, match="rank_by='sign' is not one of"):
        ranking_scores(VALUES[..., 0], X, output(), "sign")
