"""Peers: captum, shap and scikit-learn behind the explainers' interface."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

from sknninterp import GradientXInputExplainer, TorchMLPClassifier, TorchMLPRegressor
from sknninterp.evaluation.peers import (
    DeepLiftExplainer,
    DeepShapExplainer,
    GradientShapExplainer,
    LRPExplainer,
    PermutationExplainer,
)

captum = pytest.importorskip("captum.attr")
shap = pytest.importorskip("shap")

PEERS = [
    DeepLiftExplainer(),
    LRPExplainer(),
    DeepShapExplainer(random_state=0),
    GradientShapExplainer(n_samples=5, random_state=0),
]
IDS = [type(peer).__name__ for peer in PEERS]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)


@pytest.fixture(scope="module")
def network():
    return TorchMLPClassifier((8, 6), max_epochs=20, random_state=0).fit(X, Y)


def of_linear(peer, weights, network):
    fitted = clone(peer).set_params(estimator=network)
    if isinstance(peer, GradientShapExplainer):
        fitted.set_params(n_samples=50)
    fitted.fit(X)
    background = getattr(fitted, "background_", np.zeros((1, 4))).mean(0)
    return fitted, (X - background)[..., None] * weights.T


@pytest.mark.parametrize("peer", PEERS, ids=IDS)
def test_a_linear_network_is_known(peer):
    module = nn.Linear(4, 3).double()
    with torch.no_grad():
        module.bias.zero_()
    fitted, expected = of_linear(peer, module.weight.detach().numpy(), module)
    values = fitted.explain(X).values
    # Expected gradients draw a point of the background for each point on the way.
    atol = 1 if isinstance(peer, GradientShapExplainer) else 1e-5
    np.testing.assert_allclose(values, expected, atol=atol)
    if isinstance(peer, GradientShapExplainer):
        assert np.abs(values - expected).mean() < 0.1
    importances = np.abs(values).mean(0)
    np.testing.assert_allclose(fitted.importances_, importances / importances.sum(), rtol=0.1)


@pytest.mark.parametrize("peer", PEERS, ids=IDS)
def test_targets(peer, network):
    fitted = clone(peer).set_params(estimator=network).fit(X)
    all_outputs = fitted.explain(X[:9]).values
    assert all_outputs.shape == (9, 4, 3)
    predicted = network.predict(X[:9])
    chosen = np.take_along_axis(all_outputs, predicted[:, None, None], 2)[..., 0]
    np.testing.assert_allclose(fitted.explain(X[:9], "predicted").values, chosen, atol=1e-6)
    np.testing.assert_allclose(fitted.explain(X[:9], 1).values, all_outputs[..., 1], atol=1e-6)
    swapped = fitted.explain(X[:9], [2, 0]).values
    np.testing.assert_allclose(swapped, all_outputs[..., [2, 0]], atol=1e-6)


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks")
def test_deep_lift_is_captums(network):
    fitted = DeepLiftExplainer(network, baseline="mean").fit(X)
    inputs = torch.from_numpy(X)
    baselines = torch.from_numpy(X.mean(0, keepdims=True))
    for output in range(3):
        found = captum.DeepLift(network.module_).attribute(
            inputs.clone().requires_grad_(), baselines, target=output
        )
        np.testing.assert_allclose(fitted.explain(X, output).values, found.detach(), atol=1e-9)
    explanation = fitted.explain(X)
    logits = network.decision_function(X)
    total = explanation.values.sum(1) + explanation.base_values
    np.testing.assert_allclose(total, logits, atol=1e-6)


def test_lrp_without_biases_is_gradient_x_input():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(4, 8, bias=False), nn.ReLU(), nn.Linear(8, 2, bias=False)
    ).double()
    ours = GradientXInputExplainer(module).fit(X).explain(X).values
    np.testing.assert_allclose(LRPExplainer(module).fit(X).explain(X).values, ours, atol=1e-5)


def test_deep_shap_adds_up(network):
    fitted = DeepShapExplainer(network, n_background=30, random_state=0).fit(X)
    assert fitted.background_.shape == (30, 4)
    total = fitted.explain(X).values.sum(1)
    base = network.decision_function(fitted.background_).mean(0)
    np.testing.assert_allclose(total, network.decision_function(X) - base, atol=1e-4)


@pytest.mark.parametrize("peer", PEERS[2:], ids=IDS[2:])
def test_seeds(peer, network):
    fitted = [clone(peer).set_params(estimator=network, n_background=10) for _ in range(3)]
    fitted[2].set_params(random_state=1)
    one, same, other = (each.fit(X).explain(X[:5]).values for each in fitted)
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("peer", PEERS, ids=IDS)
def test_a_pipeline_is_explained_in_its_users_columns(peer):
    frame = pd.DataFrame({"dose": X[:, 0], "sex": np.where(X[:, 1] > 0, "f", "m")})
    steps = make_column_transformer((StandardScaler(), ["dose"]), (OneHotEncoder(), ["sex"]))
    pipeline = make_pipeline(steps, TorchMLPClassifier((6,), max_epochs=5, random_state=0))
    fitted = clone(peer).set_params(estimator=pipeline).fit(frame, Y)
    assert fitted.importances_.index.tolist() == ["dose", "sex"]
    assert fitted.explain(frame.iloc[:3]).values.shape == (3, 2, 3)


@pytest.mark.parametrize("peer", PEERS, ids=IDS)
def test_other_networks(peer):
    other = MLPClassifier((5,), max_iter=20, random_state=0)
    with pytest.warns(match="Maximum iterations"):
        other.fit(X, X[:, 0] > 0)
    assert clone(peer).set_params(estimator=other).fit(X).explain(X[:2], True).shape == (2, 4)
    regressor = TorchMLPRegressor((5,), max_epochs=5, random_state=0).fit(X, X[:, 0])
    assert clone(peer).set_params(estimator=regressor).fit(X).explain(X[:2], 0).shape == (2, 4)


class SmallCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2))
        self.output = nn.Linear(8, 3)

    def forward(self, x):
        return self.output(self.features(x).flatten(1))


@pytest.mark.parametrize("peer", PEERS, ids=IDS)
def test_images(peer):
    images = RNG.normal(size=(6, 1, 6, 6)).astype(np.float32)
    torch.manual_seed(0)
    module = SmallCNN()
    fitted = clone(peer).set_params(estimator=module).fit(images)
    assert fitted.feature_importances_.shape == (1, 6, 6)
    assert fitted.explain(images, "predicted").values.shape == (6, 1, 6, 6)


@pytest.mark.parametrize("peer", PEERS, ids=IDS)
def test_the_network_stays_as_it_was(peer, network):
    before = {name: value.clone() for name, value in network.module_.state_dict().items()}
    clone(peer).set_params(estimator=network).fit(X).explain(X[:3])
    assert all(
        torch.equal(value, before[name]) for name, value in network.module_.state_dict().items()
    )
    assert not any(m._forward_hooks or m._backward_hooks for m in network.module_.modules())
    assert all(
        parameter.grad is None or parameter.requires_grad
        for parameter in network.module_.parameters()
    )


@pytest.mark.parametrize("peer", PEERS, ids=IDS)
def test_a_closing_softmax_is_an_error(peer):
    module = nn.Sequential(nn.Linear(4, 3), nn.Softmax(1)).double()
    with pytest.raises(ValueError, match="must be logits: this one closes with .*softmax"):
        clone(peer).set_params(estimator=module).fit(X)


@pytest.mark.parametrize("peer", PEERS, ids=IDS)
def test_without_the_library(peer, network, monkeypatch):
    for name in ("captum.attr", "shap"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="not installed; it comes with the extra `compare`"):
        clone(peer).set_params(estimator=network).fit(X)


def test_permutation_importance():
    fitted = LogisticRegression().fit(X, Y)
    explainer = PermutationExplainer(fitted, n_repeats=3, random_state=0).fit(X, Y)
    expected = permutation_importance(fitted, X, Y, n_repeats=3, random_state=0)
    losses = expected.importances_mean.clip(min=0)
    np.testing.assert_array_equal(explainer.feature_importances_, losses / losses.sum())
    assert explainer.estimator_ is fitted
    unfitted = PermutationExplainer(LogisticRegression(), random_state=0).fit(X, Y)
    assert unfitted.feature_importances_.argmax() == 0
    constant = PermutationExplainer(LogisticRegression(C=1e-9), random_state=0)
    assert not constant.fit(X, np.r_[0, np.ones(59)]).feature_importances_.any()


def test_relevance_needs_rules(network):
    module = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 3)).double()
    with pytest.raises(ValueError, match="no rule of relevance propagation for GELU, module '1'"):
        LRPExplainer(module).fit(X)


@pytest.mark.parametrize("kind", [DeepLiftExplainer, LRPExplainer])
def test_transform_of_two_classes_gives_the_second(kind):
    """Which is the default, as of the explainers here."""
    X, y = make_classification(60, 4, random_state=0)
    network = TorchMLPClassifier((6,), max_epochs=3, random_state=0).fit(X, y)
    explainer = kind(network).fit(X)
    np.testing.assert_allclose(explainer.transform(X), explainer.explain(X, target=1).values)
