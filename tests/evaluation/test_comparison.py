"""Explainers side by side."""

from __future__ import annotations

import pandas as pd
import pytest
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sknninterp import (
    ANTClassifier,
    GarsonExplainer,
    GradientXInputExplainer,
    IntegratedGradientsExplainer,
    PWPExplainer,
    TorchMLPClassifier,
    TorchMLPRegressor,
)
from sknninterp.evaluation.agreement import jaccard, nogueira, spearman, top_k
from sknninterp.evaluation.comparison import compare_explainers
from sknninterp.evaluation.faithfulness import perturbation_curves
from sknninterp.evaluation.known_truth import recovery
from sknninterp.evaluation.peers import LRPExplainer, PermutationExplainer

X, Y = make_classification(
    150, 6, n_informative=2, n_redundant=0, shuffle=False, class_sep=2, random_state=0
)
FRAME = pd.DataFrame(X, columns=[*"abcdef"])
QUICK = {"n_explained": 40, "n_steps": 6, "n_random": 2, "random_state": 0}


@pytest.fixture(scope="module")
def network():
    return TorchMLPClassifier((16,), max_epochs=40, lr=0.01, random_state=0).fit(FRAME, Y)


class Reversed(PWPExplainer):
    """An explainer that is wrong: its order is the other way round."""

    method = "reversed"

    def _contributions(self, graph):
        right = super()._contributions(graph)
        return lambda inputs, outputs: 1 / (right(inputs, outputs).abs() + 1e-3)


def test_the_right_one_wins(network):
    table = compare_explainers(
        [GradientXInputExplainer(), Reversed()], FRAME, Y, estimator=network, relevant=["a", "b"],
        k=2, **QUICK,
    )  # fmt: skip
    right, wrong = table.loc["Gradient x input"], table.loc["reversed"]
    assert right["deletion_upper"] < 0 < wrong["deletion"]
    assert right["insertion_lower"] > 0 > wrong["insertion"]
    assert right["auroc"] == right["precision_at_2"] == 1 > wrong["auroc"]
    assert (table[["fit_time", "explain_time"]] > 0).all(axis=None)


def test_numbers_are_those_of_the_functions(network):
    table = compare_explainers(
        {"mine": PWPExplainer()}, FRAME, Y, estimator=network, relevant=[0, 1], k=3,
        n_explained=150, n_steps=6, n_random=2, random_state=0,
    )  # fmt: skip
    explainer = PWPExplainer(network).fit(FRAME)
    expected = recovery(explainer.feature_importances_, [0, 1], 3).iloc[0]
    for name, value in expected.items():
        assert table.loc["mine", name] == pytest.approx(value)
    explanation = explainer.explain(FRAME, "predicted")
    curves = perturbation_curves(network, FRAME, explanation, n_steps=6, n_random=0)
    random = perturbation_curves(
        network, FRAME, explanation, n_steps=6, n_random=60, random_state=1
    )
    difference = curves.areas.mean() - random.random_areas.mean()
    assert table.loc["mine", "deletion"] == pytest.approx(difference, abs=0.02)


def test_stability_of_common_networks():
    common = TorchMLPClassifier((8,), max_epochs=10, random_state=0)
    table = compare_explainers(
        [GarsonExplainer(), PWPExplainer()], X, Y, estimator=common, n_repeats=3, k=2, **QUICK
    )
    same = compare_explainers([PWPExplainer()], X, Y, estimator=common, n_repeats=3, k=2, **QUICK)
    columns = ["spearman", "jaccard_2", "nogueira_2", "nogueira_2_lower", "nogueira_2_upper"]
    pd.testing.assert_frame_equal(table.loc[["PWP"], columns], same[columns])
    assert (table["spearman"] < 1).all()
    assert "auroc" not in table


def test_stability_of_an_explainer_of_its_own():
    explainer = PWPExplainer(ANTClassifier((8,), max_epochs=10))
    options = {"n_repeats": 4, "k": 2, "resampling": "bootstrap"}
    table = compare_explainers({"own": explainer}, X, Y, **options, **QUICK)
    from sknninterp.evaluation.repeated import RepeatedExplainer

    repeats = RepeatedExplainer(explainer, n_repeats=4, resampling="bootstrap", random_state=3)
    importances = repeats.fit(X, Y).all_importances_
    assert table.loc["own", "spearman"] == pytest.approx(spearman(importances), abs=0.35)
    selected = top_k(importances, 2)
    assert 0 <= table.loc["own", "jaccard_2"] <= 1 and 0 <= jaccard(selected) <= 1
    low, high = table.loc["own", ["nogueira_2_lower", "nogueira_2_upper"]]
    assert low <= table.loc["own", "nogueira_2"] <= high
    assert nogueira(selected).stability <= 1


def test_other_estimators_and_pipelines():
    pipeline = make_pipeline(StandardScaler(), TorchMLPClassifier((8,), max_epochs=30, lr=0.01))
    table = compare_explainers(
        [IntegratedGradientsExplainer(), PermutationExplainer(), RandomForestClassifier(20),
         LogisticRegression()],
        FRAME, Y, estimator=pipeline, relevant=["a", "b"], n_repeats=2, k=2, **QUICK,
    )  # fmt: skip
    assert table.index.tolist() == [
        "Integrated gradients", "Permutation", "RandomForestClassifier", "LogisticRegression",
    ]  # fmt: skip
    assert (table["deletion"] < 0).all()
    assert (table["auroc"] >= 0.7).all()
    assert table["explain_time"].notna().tolist() == [True, False, False, False]
    assert table["spearman"].notna().all()


def test_regression():
    A, b = make_regression(100, 5, n_informative=1, random_state=0)
    table = compare_explainers(
        [GradientXInputExplainer()], A, b / b.std(),
        estimator=TorchMLPRegressor((8,), max_epochs=50, lr=0.01, random_state=0), k=99, **QUICK,
    )  # fmt: skip
    assert table.notna().all(axis=None)


def test_names_and_limits(network):
    table = compare_explainers(
        [PWPExplainer(), PWPExplainer()], FRAME, estimator=network, relevant=["a"], k=99, **QUICK
    )
    assert table.index.tolist() == ["PWP", "PWP (2)"]
    assert "precision_at_6" in table


def test_a_failure_costs_its_row_alone():
    pytest.importorskip("captum")
    module = nn.Sequential(nn.Linear(6, 4), nn.GELU(), nn.Linear(4, 2)).double()
    explainers = [LRPExplainer(), PWPExplainer()]
    with pytest.warns(UserWarning, match="LRP: ValueError: captum has no rule"):
        table = compare_explainers(explainers, X, estimator=module, **QUICK)
    assert table.loc["LRP"].isna().all() and table.loc["PWP"].notna().all()
    with pytest.raises(ValueError, match="captum has no rule"):
        compare_explainers(explainers, X, estimator=module, errors="raise", **QUICK)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_repeats": 1}, "n_repeats=1 must be 0"),
        ({"k": 0}, "k=0 must be"),
        ({"errors": "ignore"}, "errors='ignore' is not one of"),
        ({"resampling": "jackknife"}, "resampling='jackknife' is not one of"),
        ({"n_random": 0}, "n_random=0 must be"),
        ({"n_explained": 0}, "n_explained=0 must be"),
        ({"explainers": []}, "explainers is empty"),
        ({"estimator": None}, "estimator=None, but an explainer has none"),
        ({"estimator": TorchMLPClassifier(), "y": None}, "y=None, but TorchMLPClassifier is still"),
        ({"estimator": nn.Linear(6, 2).double(), "n_repeats": 2}, "cannot be fitted again"),
        ({"relevant": ["age"], "errors": "raise"}, "age"),
    ],
)
def test_bad_parameters(network, params, message):
    options = {"explainers": [PWPExplainer()], "estimator": network, "y": Y} | params
    with pytest.raises(ValueError, match=message):
        compare_explainers(options.pop("explainers"), FRAME, **options)
