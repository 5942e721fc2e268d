"""Infidelity and maximal sensitivity: by hand, against loops, and against Captum's."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

from sknninterp import (
    GradientXInputExplainer,
    IntegratedGradientsExplainer,
    OldenExplainer,
    TorchMLPClassifier,
)
from sknninterp.evaluation.robustness import infidelity, max_sensitivity


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 4))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


@pytest.fixture(scope="module")
def model(data):
    return TorchMLPClassifier((8,), max_epochs=60, lr=0.05, random_state=0).fit(*data)


@pytest.fixture(scope="module")
def linear(data):
    X = data[0]
    return LinearRegression().fit(X, X @ [1.0, -2.0, 0.5, 0.0])


# --- infidelity ---------------------------------------------------------------------------------


@pytest.mark.parametrize("replacement", ["mean", "sample", "conditional"])
def test_by_hand_half_of_all_features_removed(linear, replacement):
    """All removed, attributions of 0: the squared change itself."""
    X = np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
    background = np.zeros((3, 4))
    found = infidelity(
        linear,
        X,
        np.zeros_like(X),
        share=1.0,
        replacement=replacement,
        background=background,
        output="probability",
    )
    np.testing.assert_allclose(found, [0.25, 1.0])


def test_contributions_of_a_linear_model_have_none(data, linear):
    X = data[0]
    contributions = linear.coef_ * (X - X.mean(0))
    found = infidelity(linear, X, contributions, output="probability", random_state=0)
    np.testing.assert_allclose(found, 0, atol=1e-20)
    assert (infidelity(linear, X, -contributions, output="probability") > 0.01).all()
    noise = infidelity(linear, X, linear.coef_ + 0 * X, perturbation="noise", output="probability")
    np.testing.assert_allclose(noise, 0, atol=1e-20)


def test_removal_agrees_with_a_loop(data, model):
    """The mean over all subsets, each as likely as its size makes it."""
    X = data[0][:3]
    values = np.random.default_rng(1).normal(size=X.shape)
    share, background = 0.3, data[0]
    means = background.mean(0)
    found = infidelity(
        model, X, values, share=share, target=1, background=background, n_draws=2000,
        random_state=0, output="probability",
    )  # fmt: skip
    for i, x in enumerate(X):
        expected = 0.0
        for code in range(16):
            removed = [bool(code >> j & 1) for j in range(4)]
            chance = np.prod([share if r else 1 - share for r in removed])
            moved = np.where(removed, means, x)
            change = model.predict_proba(x[None])[0, 1] - model.predict_proba(moved[None])[0, 1]
            expected += chance * (sum(values[i, j] for j in range(4) if removed[j]) - change) ** 2
        assert found[i] == pytest.approx(expected, rel=0.15)


def test_noise_agrees_with_captum(model, data):
    from captum.metrics import infidelity as captum_infidelity

    X = data[0][:6].astype(np.float32)
    module = copy.deepcopy(model.module_).float()
    slopes = np.random.default_rng(1).normal(size=X.shape).astype(np.float32)
    scale = 0.3
    deviations = torch.from_numpy(X.std(0))

    def perturb(inputs):
        noise = torch.randn(inputs.shape, generator=generator) * scale * deviations
        return noise, inputs - noise

    generator = torch.Generator().manual_seed(0)
    expected = captum_infidelity(
        lambda x: module(x)[:, 1],
        perturb,
        torch.from_numpy(X),
        torch.from_numpy(slopes),
        n_perturb_samples=2000,
    ).detach()
    found = infidelity(
        module, X, slopes, perturbation="noise", scale=scale, target=1, n_draws=2000,
        random_state=0,
    )  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=0.25)


def test_normalised_attributions_have_no_unit(data, model):
    X = data[0]
    values = IntegratedGradientsExplainer(model).fit(X).explain(X, 1)
    options = {"normalize": True, "target": 1, "random_state": 0}
    one = infidelity(model, X, values.values, **options)
    other = infidelity(model, X, 7 * values.values, **options)
    np.testing.assert_allclose(one, other, rtol=1e-5)
    plain = infidelity(model, X, values.values, target=1, random_state=0)
    assert (one <= plain + 1e-12).all()


def test_normalised_by_the_best_factor(data, model):
    X, values = data[0][:2], np.random.default_rng(0).normal(size=(2, 4))
    best = infidelity(
        model, X, values, target=1, normalize=True, random_state=0, background=data[0]
    )
    # Of the factor it is a parabola, which three points tell.
    minus, zero, plus = (
        infidelity(model, X, f * values, target=1, random_state=0, background=data[0])
        for f in (-1, 0, 1)
    )
    bend, slope = (plus + minus) / 2 - zero, (plus - minus) / 2
    np.testing.assert_allclose(best, zero - slope**2 / (4 * bend))


def test_attributions_of_zero_stay_so(data, model):
    X = data[0]
    options = {"target": 1, "random_state": 0}
    zero = np.zeros_like(X)
    np.testing.assert_allclose(
        infidelity(model, X, zero, normalize=True, **options),
        infidelity(model, X, zero, **options),
    )


def test_a_right_explanation_has_less_than_a_wrong_one(data, model):
    X = data[0]
    explanation = IntegratedGradientsExplainer(model, baseline="mean").fit(X).explain(X, 1)
    right = infidelity(model, X, explanation, random_state=0).mean()
    rolled = np.roll(explanation.values, 1, axis=1)
    assert right < 0.7 * infidelity(model, X, rolled, target=1, random_state=0).mean()


def test_noise_needs_numbers(data, model):
    frame = pd.DataFrame(data[0])
    with pytest.raises(ValueError, match="needs X to be an array of numbers"):
        infidelity(model, frame, data[0], perturbation="noise", target=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"perturbation": "blur"}, "perturbation='blur' is not one of"),
        ({"share": 0}, "share=0 must be"),
        ({"scale": -1}, "scale=-1 must be"),
        ({"n_draws": 0}, "n_draws=0 must be"),
        ({"target": 5}, "target=5 is not an output"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_input_of_infidelity(data, model, options, message):
    with pytest.raises(ValueError, match=message):
        infidelity(model, data[0], data[0], **options)


# --- sensitivity --------------------------------------------------------------------------------


class Recorder:
    """An explainer that gives the samples back, and remembers them."""

    def __init__(self, scale=1.0):
        self.scale, self.seen = scale, []

    def explain(self, X, target=None):
        from sknninterp.explainers.explanation import Explanation

        if target == "predicted":
            raise ValueError("none is predicted")
        self.seen.append(X)
        return Explanation(self.scale * np.asarray(X, dtype=float))


def test_sensitivity_agrees_with_a_loop():
    X = np.random.default_rng(0).normal(size=(6, 3)) * [1, 10, 0]
    explainer = Recorder(scale=2.0)
    found = max_sensitivity(explainer, X, n_draws=7, radius=0.1, relative=False, random_state=0)
    _, *moved = explainer.seen
    assert len(moved) == 7
    for i in range(6):
        largest = max(np.sqrt(sum((2 * (m[i] - X[i])) ** 2)) for m in moved)
        assert found[i] == pytest.approx(largest)
    relative = max_sensitivity(Recorder(), X, n_draws=7, radius=0.1, random_state=0)
    np.testing.assert_allclose(relative, found / 2 / np.linalg.norm(X, axis=1))


def test_steps_fill_a_box_in_units_of_the_columns():
    X = np.random.default_rng(0).normal(size=(500, 3)) * [1, 10, 0]
    explainer = Recorder()
    max_sensitivity(explainer, X, n_draws=5, radius=0.1, random_state=0)
    steps = np.concatenate([moved - X for moved in explainer.seen[1:]])
    np.testing.assert_allclose(np.abs(steps).max(0), 0.1 * X.std(0), rtol=0.01)
    np.testing.assert_allclose(steps.mean(0), 0, atol=0.05)
    np.testing.assert_allclose(steps[:, 2], 0)


def test_pixels_move_by_the_deviation_of_all():
    images = np.zeros((4, 1, 5, 5), np.float32)
    images[:, :, 2] = 1
    explainer = Recorder()
    max_sensitivity(explainer, images, n_draws=20, radius=0.1, random_state=0)
    assert all(moved.dtype == np.float32 for moved in explainer.seen)
    steps = np.stack(explainer.seen[1:]) - images
    assert np.abs(steps[:, :, :, 0]).max() == pytest.approx(0.1 * images.std(), rel=0.02)


def test_constant_explanations_do_not_move(data, model):
    X = data[0]
    assert max_sensitivity(OldenExplainer(model).fit(X), X).max() == 0
    assert (max_sensitivity(GradientXInputExplainer(model).fit(X), X, random_state=0) > 0).all()


def test_zero_explanations_that_move_are_infinitely_sensitive():
    found = max_sensitivity(Recorder(), np.array([[0.0], [1.0]]), random_state=0)
    assert found[0] == np.inf
    assert np.isfinite(found[1])
    assert max_sensitivity(Recorder(0.0), np.eye(2), random_state=0).tolist() == [0, 0]


def test_only_floats_of_a_frame_move():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "site": rng.choice(["a", "b"], 40),
            "age": rng.normal(60, 10, 40),
            "count": rng.integers(0, 5, 40),
        },
        index=[f"p{i}" for i in range(40)],
    )
    columns = make_column_transformer(
        (OneHotEncoder(), ["site"]), (StandardScaler(), ["age", "count"])
    )
    network = TorchMLPClassifier((4,), max_epochs=5, random_state=0)
    model = make_pipeline(columns, network).fit(frame, frame["age"] > 60)
    before = frame.copy()
    found = max_sensitivity(GradientXInputExplainer(model).fit(frame), frame, random_state=0)
    assert found.shape == (40,)
    assert (found > 0).mean() > 0.5  # some have all neurons off
    pd.testing.assert_frame_equal(frame, before)
    with pytest.raises(ValueError, match="no column of floats"):
        max_sensitivity(Recorder(), frame[["site", "count"]])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"radius": 0}, "radius=0 must be"), ({"n_draws": 0.5}, "n_draws=0.5 must be")],
    ids=["radius", "n_draws"],
)
def test_bad_input_of_sensitivity(options, message):
    with pytest.raises(ValueError, match=message):
        max_sensitivity(Recorder(), np.eye(2), **options)


def test_a_seed_gives_the_same_twice_and_modules_will_do():
    X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    explainer = GradientXInputExplainer(nn.Sequential(nn.Linear(3, 2), nn.Tanh())).fit(X)
    one, other = (max_sensitivity(explainer, X, random_state=1) for _ in range(2))
    np.testing.assert_array_equal(one, other)
