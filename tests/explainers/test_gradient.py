"""Gradient x input and integrated gradients of estimators, pipelines and modules."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

from sknninterp import TorchMLPClassifier, TorchMLPRegressor
from sknninterp.explainers import gradient
from sknninterp.explainers.gradient import GradientXInputExplainer, IntegratedGradientsExplainer
from sknninterp.nn.gradients import quadrature

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # Few steps do not add up.
    pytest.mark.filterwarnings("ignore::sknninterp.evaluation.CompletenessWarning"),
]

EXPLAINERS = [GradientXInputExplainer, IntegratedGradientsExplainer]
both = pytest.mark.parametrize("explainer", EXPLAINERS, ids=lambda e: e.__name__)
SMALL = {"hidden_layer_sizes": (6, 5), "max_epochs": 3, "random_state": 0}
SKLEARN = {"hidden_layer_sizes": (6,), "activation": "tanh", "max_iter": 20, "random_state": 0}
CLOSE = {"rtol": 1e-4, "atol": 1e-6}


def convolutional(n_channels=1, n_outputs=3):
    return nn.Sequential(
        nn.Conv2d(n_channels, 2, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(2 * 3 * 2, n_outputs),
    )


@pytest.fixture(scope="module")
def networks():
    """Fitted networks of every kind of output, with samples and the labels of the outputs."""
    rng = np.random.default_rng(0)
    X, images = rng.normal(size=(40, 4)), rng.normal(size=(30, 1, 6, 5)).astype(np.float32)
    three = np.array(["low", "middle", "high"])[np.digitize(X[:, 0] + X[:, 1] ** 2, [0.3, 1.5])]
    two = np.where(X[:, 0] > X[:, 1], "yes", "no")
    of_images = np.digitize(images.mean((1, 2, 3)), [-0.1, 0.1])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        cnn = TorchMLPClassifier(module=convolutional, max_epochs=30, lr=0.05, random_state=0)
        module = nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 3)).double()
        return {
            "two classes": (TorchMLPClassifier(**SMALL).fit(X, two), X, ["no", "yes"]),
            "three classes": (MLPClassifier(**SKLEARN).fit(X, three), X, ["high", "low", "middle"]),
            "one logit": (MLPClassifier(**SKLEARN).fit(X, two), X, ["yes"]),
            "one value": (TorchMLPRegressor(**SMALL).fit(X, X[:, 0]), X, [0]),
            "two values": (MLPRegressor(**SKLEARN).fit(X, X[:, :2]), X, [0, 1]),
            "torch module": (module, X, [0, 1, 2]),
            "images": (cnn.fit(images, of_images), images, [0, 1, 2]),
        }


KINDS = [
    "two classes",
    "three classes",
    "one logit",
    "one value",
    "two values",
    "torch module",
    "images",
]
every_kind = pytest.mark.parametrize("kind", KINDS)


def logits(network, x):
    """Logits (n_samples, n_outputs) of a tensor, computed by no more than the weights."""
    if isinstance(network, (MLPClassifier, MLPRegressor)):
        for i, (weight, bias) in enumerate(zip(network.coefs_, network.intercepts_, strict=True)):
            x = (torch.tanh(x) if i else x) @ torch.from_numpy(weight) + torch.from_numpy(bias)
        return x
    module = getattr(network, "module_", network)
    return module(x).reshape(len(x), -1)


def slopes(network, X):
    """Gradients (n_samples, *shape, n_outputs), by torch, one output after the other."""
    dtype = next(module_of(network).parameters()).dtype if module_of(network) else torch.float64
    x = torch.as_tensor(np.asarray(X), dtype=dtype).requires_grad_()
    out = logits(network, x)
    found = [torch.autograd.grad(column.sum(), x, retain_graph=True)[0] for column in out.T]
    return torch.stack(found, -1).double().numpy()


def module_of(network):
    return network if isinstance(network, nn.Module) else getattr(network, "module_", None)


def integrated(network, X, baseline, n_steps, method="gausslegendre"):
    places, weights = quadrature(n_steps, method)
    path = [slopes(network, baseline + p * (X - baseline)) for p in places]
    return np.tensordot(weights, path, 1) * (X - baseline)[..., None]


# --- values -------------------------------------------------------------------------------------


@every_kind
def test_gradient_x_input(kind, networks):
    network, X, names = networks[kind]
    explanation = GradientXInputExplainer(network, batch_size=7).fit(X).explain(X)
    assert explanation.output_names.tolist() == names
    assert explanation.signed
    assert explanation.method == "Gradient x input"
    np.testing.assert_allclose(explanation.values, slopes(network, X) * X[..., None], **CLOSE)


@every_kind
def test_integrated_gradients(kind, networks):
    network, X, names = networks[kind]
    explainer = IntegratedGradientsExplainer(network, n_steps=9, batch_size=7).fit(X)
    explanation = explainer.explain(X)
    assert explanation.output_names.tolist() == names
    assert explanation.signed
    assert explanation.method == "Integrated gradients"
    np.testing.assert_allclose(explanation.values, integrated(network, X, 0 * X[0], 9), **CLOSE)


def test_parameters_of_the_quadrature(networks):
    network, X, _ = networks["three classes"]
    for method in ("gausslegendre", "riemann_middle"):
        explainer = IntegratedGradientsExplainer(network, n_steps=2, quadrature=method).fit(X)
        expected = integrated(network, X, np.zeros(4), 2, method)
        np.testing.assert_allclose(explainer.explain(X).values, expected, **CLOSE)
    assert IntegratedGradientsExplainer().n_steps == 50
    # Of a network so smooth 50 points leave no error.
    explained = IntegratedGradientsExplainer(network).fit(X).explain(X).values
    np.testing.assert_allclose(explained, integrated(network, X, np.zeros(4), 200), **CLOSE)


@every_kind
@both
def test_some_outputs_are_those_of_all(explainer, kind, networks):
    network, X, names = networks[kind]
    explainer = explainer(network).fit(X)
    whole = explainer.explain(X).values
    for i, name in enumerate(names):
        np.testing.assert_allclose(explainer.explain(X, name).values, whole[..., i], **CLOSE)
    several = explainer.explain(X, names[::-1])
    np.testing.assert_allclose(several.values, whole[..., ::-1], **CLOSE)


@pytest.mark.parametrize("kind", ["two classes", "three classes", "images"])
@both
def test_each_sample_for_its_predicted_class(explainer, kind, networks):
    network, X, names = networks[kind]
    explainer = explainer(network, batch_size=7).fit(X)
    places = [names.index(label) for label in network.predict(X)]
    assert len(set(places)) > 1
    whole, found = explainer.explain(X).values, explainer.explain(X, "predicted").values
    expected = [values[..., place] for values, place in zip(whole, places, strict=True)]
    np.testing.assert_allclose(found, expected, **CLOSE)


@both
def test_one_logit_speaks_against_the_first_class(explainer, networks):
    network, X, _ = networks["one logit"]
    explainer = explainer(network).fit(X)
    yes = explainer.explain(X, "yes").values
    np.testing.assert_array_equal(explainer.explain(X, "no").values, -yes)
    signs = np.where(network.predict(X) == "yes", 1, -1)
    assert set(signs) == {-1, 1}
    predicted = explainer.explain(X, "predicted").values
    np.testing.assert_allclose(predicted, yes * signs[:, None], **CLOSE)


@pytest.mark.parametrize(
    ("explainer", "function"),
    [
        (GradientXInputExplainer, "gradients"),
        (IntegratedGradientsExplainer, "integrated_gradients"),
    ],
)
def test_only_what_is_asked_for_is_computed(explainer, function, networks, monkeypatch):
    network, X, names = networks["three classes"]
    explainer, seen = explainer(network).fit(X), []
    original = getattr(gradient, function)

    def recorded(*args, **options):
        values = original(*args, **options)
        seen.append(len(values))
        return values

    monkeypatch.setattr(gradient, function, recorded)
    for target, expected in [(None, 3), ("predicted", 1), (names[1], 1), (names[:2], 2)]:
        explainer.explain(X, target)
        assert set(seen) == {expected}
        seen.clear()


@both
def test_outputs_of_each_sample(explainer, networks):
    module, X, _ = networks["torch module"]
    explainer = explainer(module).fit(X)
    contributions = explainer._contributions(explainer._network().read((4,)))
    inputs, outputs = torch.from_numpy(X[:3]), torch.tensor([[0, 2], [1, 0], [2, 2]])
    whole, found = contributions(inputs, None), contributions(inputs, outputs)
    for i, (first, second) in enumerate(outputs):
        expected = torch.stack([whole[i, :, first], whole[i, :, second]], -1)
        torch.testing.assert_close(found[i], expected)


@both
def test_importances_are_the_aggregate_of_the_explanation(explainer, networks):
    network, X, _ = networks["images"]
    explainer = explainer(network, batch_size=7).fit(X)
    values = np.abs(explainer.explain(X).values).mean(0).sum(-1)
    np.testing.assert_allclose(explainer.feature_importances_, values / values.sum(), rtol=1e-5)


@both
def test_a_pipeline_is_explained_in_the_columns_of_its_user(explainer, frame):
    y = (frame["age"] > 60).astype(int)
    frame = frame.drop(columns="note")
    preprocess = make_column_transformer(
        (OneHotEncoder(), ["site", "sex"]),
        (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), ["age", "dose"]),
    )
    pipeline = make_pipeline(preprocess, TorchMLPClassifier(**SMALL)).fit(frame, y)
    values = explainer(pipeline).fit(frame).explain(frame)
    apart = explainer(pipeline, columns="transformed").fit(frame).explain(frame).values
    assert values.feature_names.tolist() == ["age", "sex", "dose", "site"]
    expected = [apart[:, [6]], apart[:, 4:6], apart[:, 7:], apart[:, :4]]
    expected = np.stack([part.sum(1) for part in expected], 1)
    np.testing.assert_allclose(values.values, expected, **CLOSE)
    x, network = preprocess.transform(frame), pipeline[-1]
    if explainer is GradientXInputExplainer:
        expected = slopes(network, x) * x[..., None]
    else:
        expected = integrated(network, x, 0 * x[0], 50)
    np.testing.assert_allclose(apart, expected, **CLOSE)


# --- the baseline -------------------------------------------------------------------------------


def given(kind, X):
    """Baselines by what the user hands over and the array that it stands for."""
    return {
        "zero": ("zero", np.zeros(X.shape[1:])),
        "mean": ("mean", X.mean(0, dtype=float)),
        "number": (0.3, np.full(X.shape[1:], 0.3)),
        "integer": (-1, np.full(X.shape[1:], -1.0)),
        "array": (X[3], X[3].astype(float)),
        "list": (X[3].tolist(), X[3].astype(float)),
    }[kind]


@pytest.mark.parametrize("kind", ["three classes", "images"])
@pytest.mark.parametrize("which", ["zero", "mean", "number", "integer", "array", "list"])
def test_baselines(which, kind, networks):
    network, X, _ = networks[kind]
    baseline, expected = given(which, X)
    explainer = IntegratedGradientsExplainer(network, baseline=baseline, batch_size=7, n_steps=9)
    explainer.fit(X)
    np.testing.assert_allclose(explainer.baseline_, expected, rtol=0, atol=1e-7)
    assert explainer.baseline_.shape == X.shape[1:]
    values = explainer.explain(X[:5]).values  # the mean remains that of the cohort
    np.testing.assert_allclose(values, integrated(network, X[:5], expected, 9), **CLOSE)


@every_kind
def test_contributions_add_up_from_the_baseline(kind, networks):
    network, X, _ = networks[kind]
    explainer = IntegratedGradientsExplainer(network, baseline="mean", n_steps=300).fit(X)
    graph = explainer._network().read(X.shape[1:])
    base = explainer._base_values(graph)
    dtype = base.dtype
    baseline = torch.as_tensor(explainer.baseline_[None], dtype=dtype)
    with torch.no_grad():
        x = torch.as_tensor(X, dtype=dtype)
        expected, of_baseline = logits(network, x), logits(network, baseline)[0]
    torch.testing.assert_close(base, of_baseline, rtol=1e-5, atol=1e-6)
    sums = base.numpy() + explainer.explain(X).values.reshape(len(X), -1, len(base)).sum(1)
    np.testing.assert_allclose(sums, expected.numpy(), atol=0.005 * expected.abs().max().item())


@pytest.mark.parametrize(
    "options", [{"n_steps": 0}, {"n_steps": 2.5}, {"quadrature": "simpson"}], ids=str
)
def test_parameters_are_checked(options, networks):
    network, X, _ = networks["two classes"]
    with pytest.raises(ValueError, match=f"The '{next(iter(options))}' parameter"):
        IntegratedGradientsExplainer(network, **options).fit(X)


# --- what is left as it was ---------------------------------------------------------------------


@both
def test_the_network_and_the_samples_are_left_as_they_were(explainer, networks):
    _, X, _ = networks["two classes"]
    module, kept = nn.Sequential(nn.Linear(4, 3), nn.Dropout(), nn.Linear(3, 2)).double(), X.copy()
    module[0].eval()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    explainer(module).fit(X).explain(X, 1)
    assert [m.training for m in module.modules()] == [True, False, True, True]
    assert all(p.grad is None and p.requires_grad for p in module.parameters())
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    np.testing.assert_array_equal(X, kept)


def test_clones_and_pickles(networks):
    network, X, _ = networks["three classes"]
    explainer = IntegratedGradientsExplainer(network, baseline=X[0], n_steps=7).fit(X)
    again = pickle.loads(pickle.dumps(explainer))
    np.testing.assert_array_equal(again.explain(X).values, explainer.explain(X).values)
    fresh = clone(explainer)
    np.testing.assert_array_equal(fresh.baseline, X[0])
    assert fresh.n_steps == 7
    assert not hasattr(fresh, "baseline_")


def test_progress_is_shown_of_nothing_but_samples(networks, capfd):
    network, X, _ = networks["two classes"]
    IntegratedGradientsExplainer(network, verbose=1, batch_size=10).fit(X)
    assert "40/40" in capfd.readouterr().err
    IntegratedGradientsExplainer(network, baseline="mean").fit(X)
    assert capfd.readouterr().err == ""


def test_gradient_x_input_adds_to_nothing_known():
    X = np.random.default_rng(0).normal(size=(20, 4))
    network = MLPClassifier((6,), max_iter=2000, tol=0.01, random_state=0).fit(X, X[:, 0] > 0)
    assert GradientXInputExplainer(network).fit(X).explain(X).base_values is None
