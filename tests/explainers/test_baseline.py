"""The baseline that contributions are measured from, and what they add to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sknninterp import IntegratedGradientsExplainer, TorchMLPClassifier
from sknninterp.estimators._network import find_network
from sknninterp.nn.gradients import logits_of


def test_the_mean_is_that_of_what_the_network_sees():
    X = np.random.default_rng(0).normal(size=(40, 4))
    y = X[:, 0] > 0
    pipeline = make_pipeline(
        StandardScaler(), TorchMLPClassifier((6,), max_epochs=3, random_state=0)
    ).fit(3 + X, y)
    cohort = (3 + X)[X[:, 1] > 0]
    explainer = IntegratedGradientsExplainer(pipeline, baseline="mean").fit(cohort)
    expected = pipeline[0].transform(cohort).mean(0)
    np.testing.assert_allclose(explainer.baseline_, expected, atol=1e-6)
    assert (np.abs(explainer.baseline_) > 1e-3).any()


def test_base_values_are_logits_before_a_sigmoid():
    module = nn.Sequential(nn.Linear(3, 1), nn.Sigmoid()).double()
    explainer = IntegratedGradientsExplainer(module, baseline=2.0).fit(np.ones((4, 3)))
    graph = explainer._network().read((3,))
    assert logits_of(graph).name == "0"
    expected = 2 * module[0].weight.sum() + module[0].bias[0]
    torch.testing.assert_close(explainer._base_values(graph), expected.detach().reshape(1))


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        (np.zeros(3), r"baseline has shape \(3,\).*\(4,\)"),
        (np.zeros((1, 4)), r"baseline has shape \(1, 4\).*\(4,\)"),
        (["a", "b", "c", "d"], "baseline must hold numbers"),
        ([0, [1], 2, 3], "baseline must hold numbers"),
        ([0, np.nan, 1, 2], "baseline holds NaN"),
        (np.inf, "baseline holds NaN or infinite"),
        ("median", "The 'baseline' parameter"),
        (None, "The 'baseline' parameter"),
    ],
)
def test_baselines_that_are_none(baseline, message):
    X, network = np.ones((5, 4)), nn.Linear(4, 2).double()
    with pytest.raises(ValueError, match=message):
        IntegratedGradientsExplainer(network, baseline=baseline).fit(X)


def test_explanations_add_up_from_their_base_values():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 4))
    y = np.digitize(X[:, 0], [-0.5, 0.5])
    for labels in (y, y > 0):
        network = MLPClassifier((6,), "tanh", max_iter=2000, tol=0.01, random_state=0)
        network.fit(X, labels)
        graph = find_network(network).read((4,))
        node = logits_of(graph)
        logits = graph.run(torch.from_numpy(X), [node])[node].detach().numpy()
        explainer = IntegratedGradientsExplainer(network, baseline="mean").fit(X)
        whole = explainer.explain(X)
        assert whole.base_values.shape == logits.shape
        np.testing.assert_allclose(whole.values.sum(1) + whole.base_values, logits, rtol=1e-5)
        predicted = explainer.explain(X, "predicted")
        assert predicted.base_values.shape == (20,)
        chosen = network.predict(X).astype(int)
        if logits.shape[1] == 1:
            expected = logits[:, 0] * (2 * chosen - 1)
        else:
            expected = logits[np.arange(20), chosen]
        found = predicted.values.sum(1) + predicted.base_values
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        one = explainer.explain(X, target=explainer.classes_[0])
        sign = -1 if logits.shape[1] == 1 else 1
        np.testing.assert_allclose(one.base_values, sign * whole.base_values[:, 0])
