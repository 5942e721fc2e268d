"""Deletion and insertion curves and erasure: by hand, and against loops over every sample."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

from sknninterp import GradientXInputExplainer, PWPExplainer, TorchMLPClassifier
from sknninterp.evaluation.faithfulness import PerturbationCurves, erasure, perturbation_curves


class Sum:
    """f(x) = 4 x0 + 2 x1 + x2."""

    coef_ = np.array([4.0, 2.0, 1.0])

    def predict(self, X):
        return X @ self.coef_


X_HAND = np.array([[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]])  # the means are 0
BY_HAND = {
    ("deletion", "morf"): [[7, 3, 1, 0], [-7, -6, -4, 0]],
    ("deletion", "lerf"): [[7, 6, 4, 0], [-7, -3, -1, 0]],
    ("insertion", "morf"): [[0, 4, 6, 7], [0, -1, -3, -7]],
    ("insertion", "lerf"): [[0, 1, 3, 7], [0, -4, -6, -7]],
}


@pytest.mark.parametrize(("kind", "order"), BY_HAND)
def test_case_by_hand(kind, order):
    curves = perturbation_curves(
        Sum(), X_HAND, Sum().coef_ * X_HAND, kind=kind, order=order, random_state=0
    )
    outputs = np.array(BY_HAND[kind, order])
    np.testing.assert_allclose(curves.outputs, outputs)
    np.testing.assert_allclose(curves.share, [0, 1 / 3, 2 / 3, 1])
    # The trapezoidal rule: inner points count whole, the ends half.
    areas = (outputs[:, 1:3].sum(1) + outputs[:, [0, 3]].sum(1) / 2) / 3
    np.testing.assert_allclose(curves.areas, areas)


def test_by_magnitude_the_signs_do_not_count():
    curves = perturbation_curves(
        Sum(), X_HAND, Sum().coef_ * X_HAND, rank_by="magnitude", random_state=0
    )
    np.testing.assert_allclose(curves.outputs, [[7, 3, 1, 0], [-7, -3, -1, 0]])


@pytest.fixture(scope="module")
def table():
    X, y = make_classification(40, 6, n_informative=4, n_classes=3, random_state=0)
    network = TorchMLPClassifier((8,), max_epochs=20, lr=0.02, random_state=0)
    return X, y, make_pipeline(StandardScaler(), network).fit(X, y)


def naive_curves(model, X, values, labels, kind, replacements, counts):
    """Sample by sample, feature by feature."""
    outputs = np.empty((len(X), len(counts)))
    for i in range(len(X)):
        order = sorted(range(X.shape[1]), key=lambda j, i=i: -values[i][j])
        for place, n in enumerate(counts):
            row = X[i].copy() if kind == "deletion" else replacements.copy()
            for j in order[:n]:
                row[j] = replacements[j] if kind == "deletion" else X[i][j]
            probabilities = model.predict_proba(row[None])[0]
            outputs[i, place] = probabilities[list(model.classes_).index(labels[i])]
    return outputs


@pytest.mark.parametrize("kind", ["deletion", "insertion"])
@pytest.mark.parametrize("local", [True, False], ids=["local", "global"])
def test_agrees_with_loops_over_samples(table, kind, local):
    X, y, model = table
    values = np.random.default_rng(0).normal(size=X.shape if local else X.shape[1])
    curves = perturbation_curves(model, X, values, kind=kind, target=y, n_steps=3, random_state=0)
    values = np.broadcast_to(values, X.shape)
    expected = naive_curves(model, X, values, y, kind, X.mean(0), [0, 2, 4, 6])
    np.testing.assert_allclose(curves.outputs, expected, atol=1e-6)
    areas = [sum((a[j] + a[j + 1]) / 2 * (1 / 3) for j in range(3)) for a in expected]
    np.testing.assert_allclose(curves.areas, areas, atol=1e-6)


def test_explained_output_is_that_of_the_explanation(table):
    X, y, model = table
    explainer = GradientXInputExplainer(model).fit(X)
    label = explainer.explain(X, 1)
    curves = perturbation_curves(model, X, label, n_random=0)
    np.testing.assert_allclose(curves.outputs[:, 0], model.predict_proba(X)[:, 1])
    curves = perturbation_curves(model, X, explainer.explain(X, "predicted"), n_random=0)
    np.testing.assert_allclose(curves.outputs[:, 0], model.predict_proba(X).max(1))


@pytest.mark.parametrize("target", [None, 2], ids=str)
def test_explanations_in_all_forms_agree(table, target):
    X, _, model = table
    explainer = GradientXInputExplainer(model).fit(X)
    explanation = explainer.explain(X, "predicted" if target is None else target)
    expected = perturbation_curves(model, X, explanation, n_random=0).outputs
    forms = [explainer, explainer.explain(X), explainer.explain(X).values, explanation.values]
    for form in forms:
        found = perturbation_curves(model, X, form, target=target, n_random=0).outputs
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_unsigned_explanations_count_by_magnitude(table):
    X, _, model = table
    explanation = PWPExplainer(model).fit(X).explain(X, "predicted")
    found = perturbation_curves(model, X, explanation, n_random=0)
    expected = perturbation_curves(
        model, X, np.abs(explanation.values), target=explanation.target, n_random=0
    )
    np.testing.assert_allclose(found.outputs, expected.outputs)


def test_a_right_ranking_beats_random_and_a_random_or_wrong_one_does_not(table):
    X, _, model = table
    explanation = GradientXInputExplainer(model).fit(X).explain(X, "predicted")
    options = {"random_state": 0, "target": explanation.target}
    for kind in ("deletion", "insertion"):
        for order in ("morf", "lerf"):
            choice = {"kind": kind, "order": order, **options}
            assert perturbation_curves(model, X, explanation, **choice).beats_random
            wrong = perturbation_curves(model, X, -explanation.values, **choice)
            assert not wrong.beats_random
    noise = np.random.default_rng(0).normal(size=X.shape)
    assert not perturbation_curves(model, X, noise, **options).beats_random


def test_random_orders_average_over_all_orders():
    """For a sum, in random order each feature goes on average half-way."""
    X = np.array([[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0], [2.0, 0.0, 2.0], [-2.0, 0.0, -2.0]])
    curves = perturbation_curves(Sum(), X, Sum().coef_ * X, n_random=400, random_state=0)
    expected = Sum().predict(X)[:, None] * [1, 2 / 3, 1 / 3, 0]
    np.testing.assert_allclose(curves.random_outputs, expected, atol=0.6)
    np.testing.assert_allclose(curves.random_areas, Sum().predict(X) / 2, atol=0.3)


@pytest.mark.parametrize("replacement", ["mean", "sample", "conditional"])
def test_columns_of_a_pipeline_are_those_of_the_user(replacement):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "noise": rng.normal(size=120),
            "site": rng.choice(list("abc"), 120),
            "age": rng.normal(50, 10, size=120),
        }
    )
    y = ((X["site"] == "b") ^ (X["age"] > 60)).to_numpy()
    columns = make_column_transformer(
        (OneHotEncoder(), ["site"]), (StandardScaler(), ["noise", "age"])
    )
    network = TorchMLPClassifier((16,), max_epochs=150, lr=0.02, random_state=0)
    model = make_pipeline(columns, network).fit(X, y)
    ranking = pd.Series({"site": 3.0, "age": 2.0, "noise": 1.0})
    curves = perturbation_curves(model, X, ranking, replacement=replacement, random_state=0)
    assert curves.outputs.shape == (120, 4)
    assert curves.beats_random
    wrong = perturbation_curves(model, X, -ranking, replacement=replacement, random_state=0)
    assert curves.areas.mean() < wrong.areas.mean() - 0.05


class Brightness(nn.Module):
    """Two logits: the sum of the image, and 0."""

    def __init__(self):
        super().__init__()
        self.flat = nn.Flatten()
        self.sum = nn.Linear(18, 2, bias=False)
        nn.init.constant_(self.sum.weight, 0)
        self.sum.weight.data[0] = 1

    def forward(self, x):
        return self.sum(self.flat(x))


def test_pixels_of_images_go_with_all_their_channels():
    images = np.zeros((2, 2, 3, 3), np.float32)
    images[0, 0, 0, 0], images[0, 1, 0, 0], images[0, 0, 2, 1] = 5, 1, 3
    values = images.astype(float)
    background = np.zeros((1, 2, 3, 3), np.float32)
    curves = perturbation_curves(
        Brightness(),
        images,
        values,
        target=0,
        output="logit",
        background=background,
        n_steps=9,
        n_random=0,
    )
    assert curves.share.tolist() == pytest.approx(np.arange(10) / 9)
    np.testing.assert_allclose(curves.outputs[0], [9, 3, *[0] * 8], atol=1e-5)
    np.testing.assert_allclose(curves.outputs[1], 0, atol=1e-6)


def test_groups_go_together():
    groups = np.arange(18).reshape(2, 3, 3) // 9  # the channels
    images = np.ones((1, 2, 3, 3), np.float32)
    values = np.stack([np.full((3, 3), 0.1), np.full((3, 3), 0.2)])[None]
    values[0, 0, 0, 0] = 3.0  # in sum the first channel counts most
    curves = perturbation_curves(
        Brightness(),
        images,
        values,
        groups=groups,
        target=0,
        output="logit",
        background=np.array([[0.0], [2 / 3]]).reshape(1, 2, 1, 1)
        * np.ones((1, 2, 3, 3), np.float32),
        n_random=0,
    )
    np.testing.assert_allclose(curves.outputs, [[18, 9, 6]], rtol=1e-5)


# --- the result ---------------------------------------------------------------------------------


def test_frame_and_summary(table):
    X, y, model = table
    curves = perturbation_curves(model, X, X, target=y, n_steps=4, random_state=0)
    frame = curves.to_frame()
    columns = ["share", "mean", "lower", "upper", "random_mean", "random_lower", "random_upper"]
    assert frame.columns.tolist() == columns
    np.testing.assert_allclose(frame["mean"], curves.outputs.mean(0))
    np.testing.assert_allclose(frame["random_mean"], curves.random_outputs.mean(0))
    assert (frame["lower"] < frame["mean"]).all()
    assert (frame["mean"] < frame["upper"]).all()
    summary = curves.summary()
    areas, random = curves.areas, curves.random_areas
    expected = [
        areas.mean(), random.mean(), (areas - random).mean(), areas.mean() / random.mean(),
    ]  # fmt: skip
    np.testing.assert_allclose(summary["mean"], expected)
    assert (summary["lower"] < summary["mean"]).all()
    assert (summary["mean"] < summary["upper"]).all()
    assert repr(curves).startswith("PerturbationCurves(deletion, morf: 40 samples, area ")


def test_without_random_orders(table):
    X, y, model = table
    curves = perturbation_curves(model, X, X, target=y, n_random=0)
    assert curves.to_frame().columns.tolist() == ["share", "mean", "lower", "upper"]
    assert curves.summary().index.tolist() == ["area"]
    assert curves.random_areas is None
    assert curves.beats_random is None


def test_one_sample_has_a_curve_but_no_interval(table):
    X, y, model = table
    curves = perturbation_curves(model, X[:1], X[:1], target=y[:1], background=X, random_state=0)
    assert curves.to_frame()[["lower", "upper"]].isna().all(axis=None)
    assert np.isfinite(curves.areas).all()
    assert not curves.beats_random


@pytest.mark.parametrize(
    ("kind", "order", "sign"),
    [
        ("deletion", "morf", -1),
        ("deletion", "lerf", 1),
        ("insertion", "morf", 1),
        ("insertion", "lerf", -1),
    ],
)
def test_which_side_is_better(kind, order, sign):
    random = np.ones((5, 2))
    for shift in (-0.5, 0.5):
        curves = PerturbationCurves(kind, order, np.array([0, 1]), random + shift, random)
        assert curves.beats_random == (shift * sign > 0)


def test_a_seed_gives_the_same_twice(table):
    X, y, model = table
    options = {"target": y, "replacement": "conditional"}
    one, other = (
        perturbation_curves(model, X, X, random_state=3, **options).to_frame() for _ in range(2)
    )
    pd.testing.assert_frame_equal(one, other)
    third = perturbation_curves(model, X, X, random_state=4, **options).to_frame()
    assert not third.equals(one)


@pytest.mark.usefixtures("global_rng_untouched")
def test_global_random_state_is_left_alone(table):
    X, y, model = table
    perturbation_curves(model, X, X, target=y, replacement="sample", random_state=0)


def test_progress_bar(table, capsys):
    X, y, model = table
    perturbation_curves(model, X, X, target=y, n_random=1, n_steps=2, verbose=1)
    assert "6/6" in capsys.readouterr().err
    perturbation_curves(model, X, X, target=y, n_random=1, n_steps=2)
    assert capsys.readouterr().err == ""


# --- erasure ------------------------------------------------------------------------------------


def test_erasure_by_hand():
    found = erasure(Sum(), X_HAND[:1], Sum().coef_ * X_HAND[:1], k=[1, 2, 1.0],
                    background=X_HAND, random_state=0)  # fmt: skip
    assert found.index.tolist() == [1, 2, 1.0]
    assert found["n_features"].tolist() == [1, 2, 3]
    np.testing.assert_allclose(found["comprehensiveness"], [4, 6, 7])
    np.testing.assert_allclose(found["sufficiency"], [3, 1, 0])


def test_erasure_agrees_with_loops(table):
    X, y, model = table
    values = np.random.default_rng(0).normal(size=X.shape)
    found = erasure(model, X, values, k=(1, 0.5), target=y, random_state=0)
    for k, n in ((1, 1), (0.5, 3)):
        curves = {
            kind: naive_curves(model, X, values, y, kind, X.mean(0), [n])[:, 0]
            for kind in ("deletion", "insertion")
        }
        start = model.predict_proba(X)[np.arange(len(X)), y]
        assert found.loc[k, "comprehensiveness"] == pytest.approx(
            (start - curves["deletion"]).mean(), abs=1e-6
        )
        assert found.loc[k, "sufficiency"] == pytest.approx(
            (start - curves["insertion"]).mean(), abs=1e-6
        )
    assert (found["comprehensiveness_lower"] < found["comprehensiveness"]).all()
    assert (found["sufficiency"] < found["sufficiency_upper"]).all()


def test_erasure_of_a_right_ranking_is_better_than_random(table):
    X, _, model = table
    explainer = GradientXInputExplainer(model).fit(X)
    found = erasure(model, X, explainer, k=[1, 2, 3], random_state=0)
    assert (found["comprehensiveness_lower"] > found["random_comprehensiveness"]).all()
    assert (found["sufficiency_upper"] < found["random_sufficiency"]).all()


def test_default_k_are_the_shares_of_the_paper(table):
    X, y, model = table
    found = erasure(model, X, X, target=y, n_random=0)
    assert found.index.tolist() == [0.01, 0.05, 0.1, 0.2, 0.5]
    assert found["n_features"].tolist() == [1, 1, 1, 1, 3]
    assert "random_sufficiency" not in found


@pytest.mark.parametrize("k", [0, 7, True, 1.5, 0.0, "1"], ids=repr)
def test_bad_k(table, k):
    X, y, model = table
    with pytest.raises(ValueError, match="must be an integer from 1 to the number of features, 6"):
        erasure(model, X, X, [k], target=y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "removal"}, "kind='removal' is not one of"),
        ({"order": "random"}, "order='random' is not one of"),
        ({"n_steps": 0}, "n_steps=0 must be an integer of at least 1"),
        ({"n_random": -1}, "n_random=-1 must be an integer of at least 0"),
        ({"replacement": "zero"}, "replacement='zero' is not one of"),
        ({"output": "odds"}, "output='odds' is not one of"),
        ({"confidence_level": 95}, "confidence_level=95 must be"),
        ({"explanation": np.zeros((2, 2))}, r"explanation has the shape \(2, 2\)"),
        ({"background": np.zeros((2, 2))}, "is not like X"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_input(table, options, message):
    X, y, model = table
    options = {"explanation": X, "target": y, **options}
    with pytest.raises(ValueError, match=message):
        perturbation_curves(model, X, **options)


def test_regressors_and_estimators_with_importances():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    forest = RandomForestRegressor(20, random_state=0).fit(X, 3 * X[:, 0] + X[:, 1])
    curves = perturbation_curves(forest, X, forest, n_random=0)
    order = np.argsort(-forest.feature_importances_)
    moved = X.copy()
    moved[:, order[0]] = X[:, order[0]].mean()
    np.testing.assert_allclose(curves.outputs[:, 1], forest.predict(moved))
    model = LogisticRegression().fit(X, X[:, 0] > 0)
    assert perturbation_curves(model, X, model, random_state=0).beats_random
