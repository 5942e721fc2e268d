"""What adds up and what does not: gaps by hand, the warning, the laws of influential scores."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sknninterp import (
    InfluentialScores,
    IntegratedGradientsExplainer,
    PWPExplainer,
    TorchMLPClassifier,
)
from sknninterp.evaluation.additivity import CompletenessWarning, completeness, conservation
from sknninterp.explainers.explanation import Explanation


@pytest.fixture(scope="module")
def data():
    X, y = make_classification(50, 5, n_informative=4, n_redundant=0, n_classes=3, random_state=0)
    return X, np.array(["low", "mid", "top"])[y]


@pytest.fixture(scope="module")
def model(data):
    network = TorchMLPClassifier((12, 6), max_epochs=20, random_state=0)
    return make_pipeline(StandardScaler(), network).fit(*data)


# --- completeness -------------------------------------------------------------------------------


def test_gaps_by_hand():
    """f = x0 + x1 in values, with a base of 0."""
    model = LinearRegression().fit(np.eye(2), [1.0, 1.0])
    model.coef_, model.intercept_ = np.ones(2), 0.0
    X = np.array([[3.0, 1.0], [0.0, 0.0], [-1.0, 1.0], [2.0, 2.0]])
    values = np.array([[3.0, 1.0], [0.0, 0.0], [-1.0, 1.1], [2.0, 1.0]])
    explanation = Explanation(
        values, base_values=np.zeros(4), sample_names=list("abcd"), method="Mine"
    )
    message = (
        r"Mine: .* by more than 5% for 1 of 4 samples\. The largest gap is -1 \(25% .* sample d and"
    )
    with pytest.warns(CompletenessWarning, match=message):
        table = completeness(explanation, model, X, output="probability")
    assert table["sample"].tolist() == list("abcd")
    np.testing.assert_allclose(table["total"], [4, 0, 0.1, 3])
    np.testing.assert_allclose(table["value"], [4, 0, 0, 4])
    np.testing.assert_allclose(table["gap"], [0, 0, 0.1, -1], atol=1e-12)
    typical = np.sqrt((16 + 16) / 4)  # what is to be explained is 4, 0, 0, 4
    np.testing.assert_allclose(table["relative_gap"], [0, 0, 0.1 / typical, 1 / 4], atol=1e-12)
    assert table["complete"].tolist() == [True, True, True, False]


@pytest.mark.parametrize("target", [None, "predicted", "mid", ["top", "low"]], ids=str)
def test_integrated_gradients_are_complete(data, model, target):
    X = data[0]
    explainer = IntegratedGradientsExplainer(model, baseline="mean", n_steps=300).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = completeness(explainer.explain(X, target), model, X)
    assert table["complete"].all()
    logits = pd.DataFrame(model.decision_function(X), columns=model.classes_)
    chosen = {
        "None": logits.to_numpy().ravel(),
        "predicted": logits.max(axis=1),
        "mid": logits["mid"],
        "['top', 'low']": logits[["top", "low"]].to_numpy().ravel(),
    }[str(target)]
    np.testing.assert_allclose(table["value"], chosen, atol=1e-5)


@pytest.mark.parametrize("label", [False, True])
def test_both_classes_of_a_single_logit(data, label):
    X, y = data
    network = MLPClassifier((6,), max_iter=3000, random_state=0).fit(X, y == "top")
    explainer = IntegratedGradientsExplainer(network, n_steps=300).fit(X)
    assert completeness(explainer.explain(X, label), network, X)["complete"].all()
    assert completeness(explainer.explain(X, "predicted"), network, X)["complete"].all()


def test_regressors_and_images(data):
    X, _ = data
    network = MLPRegressor(hidden_layer_sizes=(6,), max_iter=4000, random_state=0)
    network.fit(X, X[:, 0] ** 2)
    explainer = IntegratedGradientsExplainer(network, n_steps=300).fit(X)
    assert completeness(explainer.explain(X), network, X)["complete"].all()
    torch.manual_seed(0)
    images = np.random.default_rng(0).normal(size=(4, 1, 6, 6)).astype(np.float32)
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(32, 2))
    explanation = IntegratedGradientsExplainer(module).fit(images).explain(images)
    assert completeness(explanation, module, images)["complete"].all()


class Incomplete(IntegratedGradientsExplainer):
    """Half of everything is missing."""

    method = "Half"

    def _contributions(self, graph):
        contributions = super()._contributions(graph)
        return lambda inputs, outputs: contributions(inputs, outputs) / 2


def incomplete(model, X, target=None):
    explainer = Incomplete(model).fit(X)
    with pytest.warns(CompletenessWarning, match=r"^Half: .* for \d+ of 50 samples"):
        return explainer.explain(X, target)


@pytest.mark.parametrize("target", [None, "predicted"])
def test_an_explainer_that_is_not_complete_is_caught(data, model, target):
    X = data[0]
    explanation = incomplete(model, X, target)
    with pytest.warns(CompletenessWarning, match=r"^Half: .* for \d+ of 50 samples"):
        table = completeness(explanation, model, X)
    assert not table["complete"].all()
    np.testing.assert_allclose(explanation.gaps.ravel(), table["gap"], atol=1e-5)


@pytest.mark.parametrize("tolerance", [0, 0.21, np.inf, np.nan, None, "0.1"], ids=repr)
def test_no_tolerance_switches_the_warning_off(data, model, tolerance):
    X = data[0]
    explanation = incomplete(model, X)
    with pytest.raises(ValueError, match="must be above 0 and at most 0.2"):
        completeness(explanation, model, X, tolerance=tolerance)
    with pytest.warns(CompletenessWarning):
        completeness(explanation, model, X, tolerance=0.2)


def test_nothing_to_explain_and_a_gap_is_infinite():
    model = LinearRegression().fit(np.eye(2), [0.0, 0.0])
    explanation = Explanation(np.ones((2, 2)), base_values=np.zeros(2))
    with pytest.warns(CompletenessWarning):
        table = completeness(explanation, model, np.eye(2), output="probability")
    assert table["relative_gap"].tolist() == [np.inf, np.inf]


def test_bad_input(data, model):
    X = data[0]
    with pytest.raises(ValueError, match="does not claim to add up"):
        completeness(PWPExplainer(model).fit(X).explain(X), model, X)
    with pytest.raises(ValueError, match="does not claim to add up"):
        completeness(X, model, X)
    explanation = IntegratedGradientsExplainer(model, n_steps=300).fit(X).explain(X)
    with pytest.raises(ValueError, match="explanation has 50 samples, X 10"):
        completeness(explanation, model, X[:10])
    other = Explanation(np.ones((50, 5, 1)), output_names=["far"], base_values=np.ones((50, 1)))
    with pytest.raises(ValueError, match=r"no output 'far'; there are \['low', 'mid', 'top'\]"):
        completeness(other, model, X)


# --- influential scores -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"center_logits": True}, {"bias_in_denominator": True}, {"columns": "transformed"}],
    ids=lambda options: next(iter(options), "default"),
)
def test_laws_hold(data, model, options):
    explainer = InfluentialScores(model, **options).fit(data[0])
    table = conservation(explainer, data[0])
    assert table.index.tolist() == [
        "norm", "explain", "composition hidden0", "composition hidden1",
    ]  # fmt: skip
    assert table["passed"].all()
    assert (table["worst"] < 1e-5).all()


def test_laws_hold_between_hidden_layers_and_in_images(data, model):
    explainer = InfluentialScores(model, source="hidden0").fit(data[0])
    assert conservation(explainer, data[0]).index.tolist()[2:] == ["composition hidden1"]
    explainer = InfluentialScores(model, target_layer="hidden1").fit(data[0])
    table = conservation(explainer, data[0])
    assert table.index.tolist()[2:] == ["composition hidden0"]
    assert table["passed"].all()
    torch.manual_seed(0)
    images = np.random.default_rng(0).uniform(size=(4, 1, 8, 8)).astype(np.float32)
    module = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 5), nn.ReLU(),
        nn.Linear(5, 2),
    )  # fmt: skip
    table = conservation(InfluentialScores(module).fit(images), images)
    assert len(table) >= 3
    assert table["passed"].all()


class Bypass(nn.Module):
    """x goes past `inner`, but everything through `stem`."""

    def __init__(self):
        super().__init__()
        self.stem, self.inner, self.head = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        return self.head(torch.relu(self.inner(x)) + x)


def test_layers_that_are_bypassed_are_left_out():
    torch.manual_seed(0)
    X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    table = conservation(InfluentialScores(Bypass()).fit(X), X)
    assert table["passed"].all()
    laws = table.index.tolist()
    assert "composition stem" in laws
    assert "composition inner" not in laws


class Louder(InfluentialScores):
    def _contributions(self, graph):
        contributions = super()._contributions(graph)
        wrapped = lambda inputs, outputs: 3 * contributions(inputs, outputs)  # noqa: E731
        wrapped.influence, wrapped.watch = contributions.influence, contributions.watch
        wrapped.totals = contributions.totals
        return wrapped

    def _end_fit(self, contributions):
        """Nothing was watched."""


class Quieter(InfluentialScores):
    def influence(self, X, source="input", target="output", *, by="node"):
        return super().influence(X, source, target, by=by) / 2


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        (Louder, ["norm", "explain"]),
        (Quieter, ["explain", "composition hidden0", "composition hidden1"]),
    ],
    ids=["louder", "quieter"],
)
def test_broken_scores_are_caught(data, model, kind, broken):
    table = conservation(kind(model).fit(data[0]), data[0])
    assert table.index[~table["passed"]].tolist() == broken


def test_only_influential_scores_have_these_laws(data, model):
    with pytest.raises(TypeError, match="must be InfluentialScores, got PWPExplainer"):
        conservation(PWPExplainer(model).fit(data[0]), data[0])
