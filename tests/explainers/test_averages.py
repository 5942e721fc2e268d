"""Means and quantiles of explanations, and explanations for a label each."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sknninterp import Explanation, OldenExplainer, PWPExplainer, TorchMLPClassifier
from sknninterp.explainers._averages import explain_labels, mean_explanation, quantiles


def explanation(values, **fields):
    names = {"feature_names": ["age", "dose"], "output_names": ["no", "yes"], "method": "PWP"}
    return Explanation(np.asarray(values, dtype=float), **names | fields)


ONE = [[[1, 2], [3, 4]]]
TWO = [[[3, 2], [5, -4]]]


def test_mean_by_hand():
    more = {"data": [["a", np.nan]], "sample_names": ["patient 7"]}
    one = explanation(ONE, base_values=[[1, 1]], gaps=[[1, 2]], **more)
    two = explanation(TWO, base_values=[[2, 0]], gaps=[[0, -4]], **more)
    mean = mean_explanation(iter([one, two]))
    np.testing.assert_array_equal(mean.values, [[[2, 2], [4, 0]]])
    np.testing.assert_array_equal(mean.base_values, [[1.5, 0.5]])
    np.testing.assert_array_equal(mean.gaps, [[0.5, -1]])
    assert mean.data.tolist()[0][0] == "a"
    assert mean.sample_names.tolist() == ["patient 7"]
    assert mean.feature_names.tolist() == ["age", "dose"]
    assert mean.output_names.tolist() == ["no", "yes"]
    assert mean.method == "PWP, mean of 2"
    np.testing.assert_array_equal(one.values, ONE)


def test_mean_keeps_the_float_type():
    parts = [explanation(ONE)._replace(values=np.float32(ONE)) for _ in range(3)]
    mean = mean_explanation(parts)
    assert mean.values.dtype == np.float32
    np.testing.assert_array_equal(mean.values, ONE)


def test_data_that_differ_are_left_out():
    one, two = explanation(ONE, data=[[1.0, np.nan]]), explanation(TWO, data=[[1.0, np.nan]])
    other = explanation(TWO, data=[[1.5, np.nan]])
    assert mean_explanation([one, two]).data is not None
    assert mean_explanation([one, other, two]).data is None
    assert mean_explanation([one, explanation(TWO)]).data is None
    assert [part.data for part in quantiles([one, other], [0.5])] == [None]
    assert quantiles([one, two], [0.5])[0].data is not None


def test_quantiles_by_hand():
    parts = [
        explanation([[[i, -i], [0, 1]]], base_values=[[0, 0]], gaps=[[0, 0]])
        for i in (0, 1, 2, 4, 8)
    ]
    lower, upper = quantiles(parts, (0.25, 0.75))
    np.testing.assert_array_equal(lower.values, [[[1, -4], [0, 1]]])
    np.testing.assert_array_equal(upper.values, [[[4, -1], [0, 1]]])
    assert lower.base_values is None and lower.gaps is None
    assert lower.method == "PWP, 25 % of 5"
    assert upper.feature_names.tolist() == ["age", "dose"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"output_names": ["no", "maybe"]}, r"output names of repeat 0 are \['no', 'yes'\]"),
        ({"feature_names": ["age", "sex"]}, r"of repeat 1 are \['age', 'sex'\]"),
    ],
    ids=["outputs", "features"],
)
@pytest.mark.parametrize("combine", [mean_explanation, lambda parts: quantiles(parts, [0.5])])
def test_explanations_of_different_things(combine, fields, message):
    with pytest.raises(ValueError, match=message):
        combine([explanation(ONE), explanation(TWO, **fields)])


def test_explanations_of_different_numbers_of_features():
    names = [f"x{i}" for i in range(20)]
    wide = explanation(np.ones((1, 20, 2)), feature_names=names)
    with pytest.raises(ValueError, match="20 others, and those of repeat 1 are"):
        mean_explanation([wide, explanation(ONE)])


@pytest.mark.parametrize("kind", [PWPExplainer, OldenExplainer])
def test_a_label_for_each_sample(kind):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(40, 3)), columns=[*"abc"], index=[f"p{i}" for i in range(40)])
    y = np.array(["low", "mid", "high"])[np.arange(40) % 3]
    explainer = kind(TorchMLPClassifier((4,), max_epochs=1, random_state=0)).fit(X, y)
    labels = rng.permutation(y)
    found = explain_labels(explainer, X, labels)
    every = explainer.explain(X)
    for i, label in enumerate(labels):
        np.testing.assert_allclose(found.values[i], every.output(label).values[i], rtol=1e-6)
    assert found.sample_names.tolist() == X.index.tolist()
    assert found.target.tolist() == labels.tolist()
    assert found.output_names is None
    np.testing.assert_array_equal(found.data, X)
    X = X.to_numpy()
    unnamed = explain_labels(explainer.fit(X, y), X, labels)
    assert unnamed.sample_names.tolist() == [*range(40)]
