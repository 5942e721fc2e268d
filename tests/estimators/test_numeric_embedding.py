"""Networks whose features come as several numbers each, and explanations in the features."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

from sknninterp import (
    ActivationAuxClassifier,
    ANTClassifier,
    ANTRegressor,
    GarsonExplainer,
    GradientXInputExplainer,
    InfluentialScores,
    IntegratedGradientsExplainer,
    OldenExplainer,
    PWPExplainer,
    RBMPretrainedMLP,
    TorchMLPClassifier,
    TorchMLPRegressor,
    activation_entropy,
)
from sknninterp.estimators._stacked_fit import can_be_stacked
from sknninterp.nn.embeddings import (
    EMBEDDINGS,
    NumericEmbedding,
    PiecewiseLinearEmbedding,
    SplineEmbedding,
    split_embedding,
)

QUICK = {"hidden_layer_sizes": (12, 6), "max_epochs": 8, "lr": 0.02, "random_state": 0}
EXPLAINERS = [
    PWPExplainer,
    GarsonExplainer,
    OldenExplainer,
    InfluentialScores,
    GradientXInputExplainer,
]


@pytest.fixture(scope="module")
def data():
    """The first feature matters, but not linearly."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    X[:, 3] = X[:, 3] > 0
    return X, (np.abs(X[:, 0]) > 0.7).astype(int)


@pytest.mark.parametrize("kind", EMBEDDINGS)
def test_networks_learn_what_is_not_linear(data, kind):
    X, y = data
    network = TorchMLPClassifier(numeric_embedding=kind, **{**QUICK, "max_epochs": 40}).fit(X, y)
    assert network.score(X, y) > 0.9
    embedding, rest = split_embedding(network.module_)
    assert embedding.n_outputs > X.shape[1]
    assert network.n_features_in_ == 4
    assert rest.hidden0.in_features == embedding.n_outputs
    inputs = torch.from_numpy(X)
    np.testing.assert_allclose(
        network.decision_function(X), torch.diff(rest(embedding(inputs)))[:, 0].detach()
    )
    again = clone(network).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), network.predict_proba(X))


def test_it_is_fitted_on_the_training_part(data):
    X, y = data
    outlier = X.copy()
    options = {"numeric_embedding": "piecewise", "early_stopping": True, **QUICK}
    first = TorchMLPClassifier(**options).fit(X, y)
    held_out = [i for i in range(len(X)) if not _is_used(first, X, y, i)]
    assert held_out
    outlier[held_out[0], 0] = 100.0
    other = TorchMLPClassifier(**options).fit(outlier, y)
    torch.testing.assert_close(
        other.module_.embedding.embedding.low, first.module_.embedding.embedding.low
    )


def _is_used(network, X, y, i):
    """Whether a sample has a part in the means, which all of the training part has."""
    found = []
    clone(network).set_params(
        numeric_embedding=lambda inputs, weight: (
            found.append(inputs) or PiecewiseLinearEmbedding.fit(inputs)
        ),
        max_epochs=1,
    ).fit(X, y)
    return bool((found[0] == torch.from_numpy(X[i])).all(1).any())


@pytest.mark.parametrize("kind", EMBEDDINGS)
@pytest.mark.parametrize("explainer", EXPLAINERS)
def test_explanations_are_of_the_features(data, explainer, kind):
    X, y = data
    network = ANTClassifier(numeric_embedding=kind, **QUICK).fit(X, y)
    found = explainer(network).fit(X)
    assert found.feature_importances_.shape == (4,)
    explanation = found.explain(X[:20])
    assert explanation.values.shape == (20, 4, 2)
    np.testing.assert_array_equal(explanation.data, X[:20])
    # The same of the network behind the embedding, summed by hand.
    embedding, rest = split_embedding(network.module_)
    with torch.no_grad():
        numbers = embedding(torch.from_numpy(X)).numpy()
    behind = explainer(rest).fit(numbers)
    summed = np.zeros((20, 4, 2))
    for number, feature in enumerate(embedding.origins.tolist()):
        summed[:, feature] += behind.explain(numbers[:20]).values[:, number]
    np.testing.assert_allclose(explanation.values, summed, atol=1e-9)


def test_integrated_gradients_from_a_baseline_of_features(data):
    X, y = data
    network = TorchMLPClassifier(numeric_embedding="spline", **QUICK).fit(X, y)
    baseline = np.array([0.5, -1.0, 0.0, 1.0])
    explainer = IntegratedGradientsExplainer(network, baseline=baseline, n_steps=200).fit(X)
    explanation = explainer.explain(X[:5])
    outputs = network.module_(torch.from_numpy(np.stack([*X[:5], baseline]))).detach().numpy()
    np.testing.assert_allclose(
        explanation.values.sum(1), outputs[:5] - outputs[5], atol=0.02 * np.abs(outputs).max()
    )
    np.testing.assert_allclose(explanation.base_values, np.tile(outputs[5], (5, 1)), rtol=1e-6)


def test_in_a_pipeline_in_its_users_columns(data):
    X, y = data
    frame = pd.DataFrame(X[:, :3], columns=list("abc")).assign(site=np.where(X[:, 3], "l", "r"))
    columns = make_column_transformer((StandardScaler(), list("abc")), (OneHotEncoder(), ["site"]))
    network = TorchMLPClassifier(numeric_embedding="spline", **QUICK)
    pipeline = make_pipeline(columns, network).fit(frame, y)
    found = PWPExplainer(pipeline).fit(frame)
    assert found.get_feature_names_out().tolist() == ["a", "b", "c", "site"]
    assert found.explain(frame[:3], target=1).data.tolist() == frame[:3].to_numpy().tolist()
    apart = PWPExplainer(pipeline, columns="transformed").fit(frame)
    assert len(apart.get_feature_names_out()) == 5
    explanation = apart.explain(frame[:3], target=1)
    np.testing.assert_allclose(explanation.data, pipeline[:-1].transform(frame[:3]))
    np.testing.assert_allclose(
        explanation.values[:, 3:].sum(1), found.explain(frame[:3], target=1).values[:, 3]
    )
    pairs = found.interactions(top=3)
    assert set(pairs["feature_1"]) | set(pairs["feature_2"]) <= {"a", "b", "c", "site"}


def test_what_else_reads_networks(data):
    X, y = data
    network = ANTClassifier(numeric_embedding="piecewise", pruning_rate=0.5, **QUICK).fit(X, y)
    assert network.layer_sizes_ == [6, 3]
    evidence = ActivationAuxClassifier(network, aux_epochs=2).fit(X, y)
    assert evidence.activation_probabilities_.shape == (2, 9)
    assert evidence.predict(X).shape == (200,)
    assert len(activation_entropy(network, X)) == 9
    scores = InfluentialScores(network).fit(X)
    assert scores.layers_ == ["input", "hidden0", "hidden1", "output"]
    assert scores.influence(X[:3], "input", ("hidden0", 1)).shape == (3, 4)
    hidden = InfluentialScores(network, source="hidden0").fit(X).explain(X[:3], target=1)
    assert hidden.data.shape == (3, 6)


@pytest.mark.parametrize("estimator", [ANTRegressor, TorchMLPRegressor])
def test_regressors(data, estimator):
    X, _ = data
    y = np.sin(3 * X[:, 0])
    plain = estimator(**{**QUICK, "max_epochs": 30}).fit(X, y)
    found = clone(plain).set_params(numeric_embedding="spline").fit(X, y)
    assert found.score(X, y) > plain.score(X, y)


def test_chunks_go_on_with_the_first_ones_embedding(data):
    X, y = data
    network = TorchMLPClassifier(numeric_embedding="piecewise", **QUICK)
    network.partial_fit(X[:50], y[:50], classes=[0, 1])
    edges = network.module_.embedding.embedding.low.clone()
    network.partial_fit(X[50:], y[50:])
    torch.testing.assert_close(network.module_.embedding.embedding.low, edges)


def test_pretraining_sees_the_embedding(data):
    X, y = data
    network = RBMPretrainedMLP(numeric_embedding="piecewise", pretraining_epochs=1, **QUICK)
    network.fit(X, y)
    assert network.rbms_[0].weight.shape[1] == network.module_.embedding.n_outputs


class Powers(NumericEmbedding):
    def __init__(self, n_features):
        super().__init__(torch.arange(n_features).repeat_interleave(2), n_features)

    def forward(self, x):
        return torch.stack([x, x**2 - 1], 2).flatten(1)


def test_a_class_of_ones_own(data):
    X, y = data
    network = TorchMLPClassifier(
        numeric_embedding=lambda inputs, weight: Powers(inputs.shape[1]),
        input_penalty=0.1,
        **QUICK,
    ).fit(X, y)
    for explainer in (PWPExplainer, GradientXInputExplainer):
        assert explainer(network).fit(X).explain(X[:3]).values.shape[1] == X.shape[1]


def test_an_embedding_of_ones_own(data):
    X, y = data
    network = TorchMLPClassifier(
        numeric_embedding=lambda inputs, weight: SplineEmbedding.fit(inputs, weight, 3), **QUICK
    ).fit(X, y)
    assert network.module_.embedding.knots.shape[1] == 3 + 2 * 3
    with pytest.raises(TypeError, match="numeric_embedding must.*Linear"):
        TorchMLPClassifier(numeric_embedding=lambda *data: nn.Linear(4, 4)).fit(X, y)
    with pytest.raises(ValueError, match="numeric_embedding"):
        TorchMLPClassifier(numeric_embedding="fourier").fit(X, y)
    with pytest.raises(ValueError, match="numeric_embedding goes with the network made here"):
        TorchMLPClassifier(numeric_embedding="spline", module=nn.Linear(4, 2)).fit(X, y)


def test_what_is_trained_itself_is_not_stacked():
    assert can_be_stacked(TorchMLPClassifier(numeric_embedding="spline"))
    assert not can_be_stacked(TorchMLPClassifier(numeric_embedding="periodic"))
