"""Gaps between what attributions add up to and the output, and the warning of them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from sknninterp import (
    Explanation,
    GradientXInputExplainer,
    IntegratedGradientsExplainer,
    TorchMLPClassifier,
)
from sknninterp.evaluation import CompletenessWarning
from sknninterp.explainers._completeness import relative_gaps, warn_if_incomplete


def test_relative_gaps_by_hand():
    changes = np.array([[4.0], [0.0], [0.0], [-4.0]])
    gaps = np.array([[-1.0], [0.1], [0.0], [0.2]])
    typical = np.sqrt(32 / 4)
    expected = [1 / 4, 0.1 / typical, 0, 0.2 / 4]
    np.testing.assert_allclose(relative_gaps(gaps, changes)[:, 0], expected)
    unexplained = relative_gaps(np.array([[0.0], [1e-9]]), np.zeros((2, 1)))
    assert unexplained.ravel().tolist() == [0, np.inf]


@pytest.fixture(scope="module")
def fitted():
    X, y = load_iris(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0)
    return TorchMLPClassifier((8,), max_epochs=60, lr=0.03, random_state=0).fit(X, y), X


@pytest.mark.parametrize("target", [None, "predicted", 1, [2, 0]], ids=str)
def test_gaps_are_totals_less_logits(fitted, target):
    network, X = fitted
    explainer = IntegratedGradientsExplainer(network, n_steps=3).fit(X)
    with pytest.warns(CompletenessWarning, match="^Integrated gradients: .* 5%") as seen:
        explanation = explainer.explain(X, target)
    assert [one.filename for one in seen] == [__file__]
    assert str(seen[0].message)[:-1].split()[-1] in ("1" if target == 1 else "012")
    logits = network.decision_function(X)
    chosen = {
        "None": logits,
        "predicted": logits.max(1),
        "1": logits[:, 1],
        "[2, 0]": logits[:, [2, 0]],
    }[str(target)]
    totals = explanation.values.sum(1) + explanation.base_values
    np.testing.assert_allclose(explanation.gaps, totals - chosen, atol=1e-5)
    assert np.abs(explanation.gaps).max() > 0.01


def test_batches_do_not_change_them(fitted):
    network, X = fitted
    explainer = IntegratedGradientsExplainer(network, n_steps=300).fit(X)
    whole = explainer.explain(X)
    parts = explainer.set_params(batch_size=7).explain(X)
    np.testing.assert_allclose(parts.gaps, whole.gaps, atol=1e-12)


def test_enough_steps_add_up_and_warn_of_nothing(fitted):
    network, X = fitted
    explainer = IntegratedGradientsExplainer(network, n_steps=300).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explanation = explainer.explain(X)
    assert np.abs(explanation.gaps).max() < 0.1


def test_columns_that_are_summed_back_add_up_as_well(fitted):
    X = np.random.default_rng(0).integers(3, size=(30, 2))
    network = TorchMLPClassifier((4,), "tanh", max_epochs=5, random_state=0)
    pipe = make_pipeline(OneHotEncoder(sparse_output=False), network).fit(X, X[:, 0])
    explanation = IntegratedGradientsExplainer(pipe).fit(X).explain(X)
    assert explanation.shape == (30, 2, 3)
    assert np.abs(explanation.gaps).max() < 1e-5


def test_who_claims_nothing_has_no_gaps(fitted):
    network, X = fitted
    assert GradientXInputExplainer(network).fit(X).explain(X).gaps is None


def test_the_worst_is_told():
    values = np.array([[[1.0, 2.0]], [[1.0, 2.0]], [[1.0, 2.0]]])
    gaps = np.array([[0.0, 0.01], [0.1, -0.5], [0.0, 0.0]])
    named = {"output_names": ["no", "yes"], "sample_names": ["a", "b", "c"], "method": "Mine"}
    zero = np.zeros((3, 2))
    explanation = Explanation(values, base_values=zero, gaps=gaps, **named)
    message = (
        r"Mine: .* by more than 5% for 1 of 3 samples\. The largest gap is -0.5 \(20% of what is to"
        r" be explained\), for sample b and output yes\."
    )
    with pytest.warns(CompletenessWarning, match=message):
        warn_if_incomplete(explanation, stacklevel=1)
    warn_if_incomplete(explanation[[0, 2]], stacklevel=1)
    warn_if_incomplete(explanation[:0], stacklevel=1)
