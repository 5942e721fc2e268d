from __future__ import annotations

import numpy as np
import pytest

from sknninterp.reporting import _ranking
from sknninterp.reporting._ranking import feature_names, rank


def test_of_several_networks(binary):
    ranking = rank(binary)
    each = np.array([one.feature_importances_ for one in binary.explainer.explainers_])
    assert ranking.names == [*"abdef"]
    assert ranking.what == "networks"
    np.testing.assert_allclose(ranking.each, each)
    np.testing.assert_allclose(ranking.importance, each.mean(0))
    np.testing.assert_allclose(ranking.limits, np.quantile(each, [0.025, 0.975], axis=0))
    places = np.argsort(np.argsort(-each, axis=1), axis=1) + 1
    np.testing.assert_array_equal(ranking.rank_limits, [places.min(0), places.max(0)])
    assert {*ranking.order[:2].tolist()} == {0, 1}


def test_of_one_network(single):
    ranking = rank(single)
    assert ranking.each is ranking.limits is ranking.rank_limits is ranking.top_share is None


def test_of_runs(single):
    each = np.array([[0.6, 0.1, 0.1, 0.1, 0.1], [0.2, 0.5, 0.1, 0.1, 0.1]])
    ranking = rank(single, each=each)
    assert ranking.what == "runs"
    np.testing.assert_allclose(ranking.importance, [0.4, 0.3, 0.1, 0.1, 0.1])


def test_share_of_runs_in_the_first_ten(single, monkeypatch):
    monkeypatch.setattr(_ranking, "TOP", 1)
    each = np.array([[3, 1, 0, 0, 0], [1, 3, 0, 0, 0], [4, 1, 0, 0, 0.0]])
    np.testing.assert_allclose(rank(single, each=each).top_share, [2 / 3, 1 / 3, 0, 0, 0])


def test_of_each_class(multiclass, binary, monkeypatch):
    of_class = rank(multiclass).of_class
    np.testing.assert_allclose(of_class.sum(1), 1)
    table = multiclass.explainer.importances_
    np.testing.assert_allclose(of_class[2], table["middle"] / table["middle"].sum())
    assert rank(binary).of_class is None
    monkeypatch.setattr(_ranking, "_MOST_OF_CLASSES", 14)
    assert rank(multiclass).of_class is None


@pytest.mark.parametrize(
    ("shape", "n", "last"),
    [((5, 4), 20, "pixel 4,3"), ((2, 5, 2), 20, "channel 1, pixel 4,1"), (None, 20, "x19")],
    ids=["grey", "channels", "table"],
)
def test_names_of_pixels(images, shape, n, last):
    names = feature_names(images, shape, n)
    assert len(names) == n and names[-1] == last


def test_columns_keep_their_names_in_images(single):
    assert feature_names(single, (5, 1), 5) == [*"abdef"]
