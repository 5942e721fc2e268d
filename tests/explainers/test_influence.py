"""Influential scores as scikit-learn users meet them, against the mathematics in `nn`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

from sknninterp import ANTClassifier, InfluentialScores, PWPExplainer, TorchMLPClassifier
from sknninterp.explainers import influence as module_under_test
from sknninterp.nn.graph import read
from sknninterp.nn.influence import influential_scores
from sknninterp.nn.mlp import MLP
from sknninterp.nn.nodes import UnsupportedModuleError


class Residual(nn.Module):
    """A residual CNN with batch norm."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.pool, self.head = nn.MaxPool2d(2), nn.Linear(12, 3)

    def forward(self, x):
        x = torch.relu(self.norm(self.stem(x)))
        x = torch.relu(x + self.conv(x))
        return self.head(self.pool(x).flatten(1))


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def mlp():
    return MLP(4, 3, (6, 5)).double()


@pytest.fixture(name="X")
def samples():
    return np.random.default_rng(0).normal(size=(12, 4)) * 4


@pytest.fixture
def cnn():
    return Residual().double()


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(7, 1, 4, 5))


def step(graph, x, source, target):
    """Scores (n_samples, *source, *target) by the mathematics alone."""
    found = influential_scores(graph, torch.from_numpy(x), source, target).numpy()
    return np.moveaxis(found, 0, -1).reshape(*found.shape[1:], *target.shape)


# --- explain ------------------------------------------------------------------------------------


def test_explanations_are_the_scores_of_the_logits(mlp, X):
    graph = read(mlp, (4,))
    expected = step(graph, X, graph.input, graph.logits)
    explainer = InfluentialScores(mlp).fit(X)
    np.testing.assert_allclose(explainer.explain(X).values, expected, atol=1e-14)
    one = explainer.explain(X, target=[2, 0]).values
    np.testing.assert_allclose(one, expected[..., [2, 0]], atol=1e-14)
    with torch.no_grad():
        predicted = mlp(torch.from_numpy(X)).argmax(1).numpy()
    assert len(set(predicted)) > 1
    found = explainer.explain(X, target="predicted")
    np.testing.assert_allclose(found.values, expected[np.arange(12), :, predicted], atol=1e-14)
    shares = np.abs(expected).mean(0)
    np.testing.assert_allclose(explainer.importances_, shares / shares.sum())


def test_only_the_outputs_asked_for_are_computed(mlp, X, monkeypatch):
    rows = []
    chunks = module_under_test.Influence.chunks

    def recorded(self, x, rows_towards, *args, **options):
        rows.append(len(rows_towards))
        return chunks(self, x, rows_towards, *args, **options)

    monkeypatch.setattr(module_under_test.Influence, "chunks", recorded)
    explainer = InfluentialScores(mlp).fit(X)
    explainer.explain(X, target=1)
    explainer.explain(X, target="predicted")
    explainer.explain(X, target=[1, 2])
    assert rows == [3, 1, 1, 2]


def test_parameters_reach_the_mathematics(mlp, X):
    graph = read(mlp, (4,))
    for options in ({"center_logits": True}, {"bias_in_denominator": True}):
        expected = influential_scores(graph, torch.from_numpy(X), **options).movedim(0, -1)
        found = InfluentialScores(mlp, **options).fit(X).explain(X).values
        np.testing.assert_allclose(found, expected, atol=1e-14)
        assert not np.allclose(found, InfluentialScores(mlp).fit(X).explain(X).values)


def test_a_single_logit_speaks_for_the_second_class(X):
    network = MLP(4, 1, (6,)).double()
    explainer = InfluentialScores(TorchMLPClassifier(module=network, max_epochs=1))
    y = np.where(X[:, 0] > 0, "ill", "well")
    with pytest.raises(ValueError, match="module must return"):
        explainer.fit(X, y)  # two outputs are wanted
    network = MLPClassifier((6,), max_iter=2000, tol=0.1, random_state=0).fit(X, y)
    explainer = InfluentialScores(network).fit(X)
    whole = explainer.explain(X)
    assert whole.values.shape == (12, 4, 1)
    np.testing.assert_array_equal(explainer.explain(X, "well").values, whole.values[..., 0])
    np.testing.assert_array_equal(explainer.explain(X, "ill").values, -whole.values[..., 0])


def test_scores_from_a_hidden_layer_are_those_of_its_neurons(mlp, X):
    graph = read(mlp, (4,))
    source = graph.layers[0].post
    explainer = InfluentialScores(mlp, source="hidden0").fit(X)
    found = explainer.explain(X)
    np.testing.assert_allclose(found.values, step(graph, X, source, graph.logits), atol=1e-14)
    assert found.feature_names[:2].tolist() == ["hidden0[0]", "hidden0[1]"]
    values = graph.run(torch.from_numpy(X), [source])[source].detach()
    np.testing.assert_allclose(found.data, values)
    assert explainer.get_feature_names_out()[-1] == "hidden0[5]"
    assert explainer.transform(X).shape == (12, 6)


def test_data_of_a_hidden_layer_as_wide_as_the_input_are_its_own(X):
    network = MLP(4, 2, (4,)).double()
    found = InfluentialScores(network, source="hidden0").fit(X).explain(X)
    assert found.data.shape == X.shape
    assert not np.allclose(found.data, X)


def test_scores_towards_a_hidden_layer_are_towards_its_neurons(mlp, X):
    graph = read(mlp, (4,))
    explainer = InfluentialScores(mlp, target_layer="hidden1").fit(X)
    expected = step(graph, X, graph.input, graph.layers[1].post)
    found = explainer.explain(X)
    np.testing.assert_allclose(found.values, expected, atol=1e-14)
    assert found.output_names.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(explainer.explain(X, 3).values, expected[..., 3], atol=1e-14)
    assert list(explainer.neuron_importances_) == ["hidden0"]
    with pytest.raises(ValueError, match="none is predicted"):
        explainer.explain(X, "predicted")


def test_scores_towards_channels_are_means_over_their_positions(cnn, images):
    graph = read(cnn, (1, 4, 5))
    explainer = InfluentialScores(cnn, target_layer="stem").fit(images)
    expected = step(graph, images, graph.input, graph.layers[0].post).mean((-1, -2))
    found = explainer.explain(images)
    assert found.values.shape == (7, 1, 4, 5, 3)
    np.testing.assert_allclose(found.values, expected, atol=1e-14)


def test_scores_of_feature_maps_keep_their_axes(cnn, images):
    found = InfluentialScores(cnn, source="conv").fit(images).explain(images)
    assert found.values.shape == (7, 3, 4, 5, 3)
    assert found.data.shape == (7, 3, 4, 5)


# --- neurons and filters ------------------------------------------------------------------------


def test_neuron_importances_are_mean_magnitudes(mlp, X):
    graph = read(mlp, (4,))
    explainer = InfluentialScores(mlp, batch_size=5).fit(X)
    assert list(explainer.neuron_importances_) == ["hidden0", "hidden1"]
    for layer in graph.layers[:2]:
        total = np.abs(step(graph, X, layer.post, graph.logits)).sum((0, 2))
        np.testing.assert_allclose(
            explainer.neuron_importances_[layer.name], total / total.sum(), rtol=1e-12
        )


def test_channel_importances_sum_positions_before_magnitudes(cnn, images):
    graph = read(cnn, (1, 4, 5))
    explainer = InfluentialScores(cnn).fit(images)
    assert explainer.layers_ == ["input", "stem", "conv", "output"]
    total = np.abs(step(graph, images, graph.layers[0].post, graph.logits).sum((2, 3))).sum((0, 2))
    np.testing.assert_allclose(explainer.neuron_importances_["stem"], total / total.sum())


def test_a_layer_without_influence_has_no_importance(X):
    network = MLP(4, 2, (3,)).double()
    with torch.no_grad():
        network.hidden0.bias.fill_(-100)
    explainer = InfluentialScores(network).fit(X)
    assert not explainer.neuron_importances_["hidden0"].any()
    assert not explainer.explain(X).values.any()
    assert np.isfinite(explainer.feature_importances_).all()


def test_filter_scores_are_sums_over_positions(cnn, images):
    graph = read(cnn, (1, 4, 5))
    explainer = InfluentialScores(cnn, batch_size=3).fit(images)
    expected = step(graph, images, graph.layers[0].post, graph.logits).sum((2, 3))
    found = explainer.filter_scores(images, "stem")
    assert found.shape == (7, 3, 3)
    np.testing.assert_allclose(found, expected, atol=1e-14)
    np.testing.assert_allclose(
        explainer.filter_scores(images, "stem", target=[2]), expected[..., [2]], atol=1e-14
    )
    np.testing.assert_allclose(
        explainer.filter_scores(images, "stem", target=1), expected[..., 1], atol=1e-14
    )
    with torch.no_grad():
        predicted = cnn.eval()(torch.from_numpy(images)).argmax(1).numpy()
    np.testing.assert_allclose(
        explainer.filter_scores(images, "stem", target="predicted"),
        expected[np.arange(7), :, predicted],
        atol=1e-14,
    )
    for layer in ("input", "output", "pool"):
        with pytest.raises(ValueError, match=r"is no layer.*\['stem', 'conv'\]"):
            explainer.filter_scores(images, layer)


# --- any layer to any layer ---------------------------------------------------------------------


def test_influence_between_any_two_layers(mlp, X):
    graph = read(mlp, (4,))
    explainer = InfluentialScores(mlp, batch_size=5).fit(X)
    first, second = (layer.post for layer in graph.layers[:2])
    ends = {"input": graph.input, "hidden0": first, "hidden1": second, "output": graph.logits}
    names = list(ends)
    assert explainer.layers_ == names
    for i, source in enumerate(names):
        for target in names[i + 1 :]:
            expected = step(graph, X, ends[source], ends[target])
            found = explainer.influence(X, source, target)
            np.testing.assert_allclose(found, expected, atol=1e-14)
            np.testing.assert_allclose(
                explainer.influence(X, (source, 2), target), expected[:, 2], atol=1e-14
            )
            np.testing.assert_allclose(
                explainer.influence(X, source, (target, -1)), expected[..., -1], atol=1e-14
            )
            np.testing.assert_allclose(
                explainer.influence(X, (source, 0), (target, 1)), expected[:, 0, 1], atol=1e-14
            )
    np.testing.assert_array_equal(explainer.influence(X), explainer.influence(X, "input", "output"))


def test_influence_between_feature_maps(cnn, images, monkeypatch):
    graph = read(cnn, (1, 4, 5))
    stem, conv = (layer.post for layer in graph.layers[:2])
    explainer = InfluentialScores(cnn).fit(images)
    expected = step(graph, images, stem, conv)
    assert expected.shape == (7, 3, 4, 5, 3, 4, 5)
    found = explainer.influence(images, "stem", "conv")
    np.testing.assert_allclose(found, expected, atol=1e-14)
    monkeypatch.setattr(module_under_test, "_ROWS_BYTES", 60 * 8 * 7)  # seven targets at a time
    np.testing.assert_array_equal(explainer.influence(images, "stem", "conv"), found)
    found = explainer.influence(images, ("stem", 1), ("conv", 2, 3, 0))
    np.testing.assert_allclose(found, expected[:, 1, :, :, 2, 3, 0], atol=1e-14)
    found = explainer.influence(images, "stem", "conv", by="channel")
    np.testing.assert_allclose(found, expected.sum((2, 3)).mean((-1, -2)), atol=1e-14)
    found = explainer.influence(images, ("stem", 1), ("conv", 0), by="channel")
    np.testing.assert_allclose(
        found, expected[:, 1, ..., 0, :, :].sum((1, 2)).mean((1, 2)), atol=1e-14
    )


def test_influence_multiplies_from_layer_to_layer(mlp, X):
    explainer = InfluentialScores(mlp).fit(X)
    chain = np.einsum(
        "nij,njk->nik",
        explainer.influence(X, "input", "hidden1"),
        explainer.influence(X, "hidden1", "output"),
    )
    np.testing.assert_allclose(chain, explainer.influence(X), atol=1e-14)


def test_influence_of_too_much_is_an_error(mlp, X, monkeypatch):
    explainer = InfluentialScores(mlp).fit(X)
    monkeypatch.setattr(module_under_test, "_MOST_BYTES", 12 * 6 * 5 * 8 - 1)
    with pytest.raises(ValueError, match="from 'hidden0' to 'hidden1' take .* choose one neuron"):
        explainer.influence(X, "hidden0", "hidden1")
    assert explainer.influence(X, "hidden0", ("hidden1", 1)).shape == (12, 6)


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        (("hidden9", "output"), r"source='hidden9' is no layer.*'input', 'hidden0', 'hidden1', 'o"),
        (("input", "hidden9"), "target='hidden9' is no layer"),
        (("hidden1", "hidden0"), "'hidden1' does not come before layer 'hidden0'; the order is"),
        (("hidden1", "hidden1"), "'hidden1' does not come before layer 'hidden1'"),
        (("output", "input"), "'output' does not come before"),
        ((("hidden0", 6), "output"), r"\('hidden0', 6\) is no node: layer 'hidden0' has the shape"),
        (("input", ("output", 3)), r"\('output', 3\) is no node"),
    ],
    ids=["source", "target", "order", "same", "reversed", "source node", "target node"],
)
def test_wrong_ends(mlp, X, ends, message):
    explainer = InfluentialScores(mlp).fit(X)
    with pytest.raises(ValueError, match=message):
        explainer.influence(X, *ends)


def test_influence_by_something_else(mlp, X):
    with pytest.raises(ValueError, match="by='filter' is neither 'node' nor 'channel'"):
        InfluentialScores(mlp).fit(X).influence(X, by="filter")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "hidden2"}, r"source='hidden2' is no layer.*\['input', 'hidden0'"),
        ({"target_layer": "relu"}, "target_layer='relu' is no layer"),
        ({"source": "hidden1", "target_layer": "hidden0"}, "'hidden1' does not come before"),
        ({"source": "output"}, "'output' does not come before"),
    ],
    ids=["source", "target", "order", "end"],
)
def test_wrong_layers(mlp, X, options, message):
    with pytest.raises(ValueError, match=message):
        InfluentialScores(mlp, **options).fit(X)


# --- the user's columns -------------------------------------------------------------------------


@pytest.fixture
def clinic():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"age": rng.normal(60, 9, 50), "sex": ["f", "m"] * 25, "dose": rng.random(50)}
    )
    return frame, (frame["age"] > 60).to_numpy()


@pytest.fixture
def pipeline(clinic):
    columns = make_column_transformer(
        (StandardScaler(), ["age", "dose"]), (OneHotEncoder(), ["sex"])
    )
    network = TorchMLPClassifier((5,), max_epochs=5, random_state=0)
    return make_pipeline(columns, network).fit(*clinic)


def test_a_pipeline_is_explained_in_its_columns(pipeline, clinic):
    frame, _ = clinic
    explainer = InfluentialScores(pipeline).fit(frame)
    kept_apart = InfluentialScores(pipeline, columns="transformed").fit(frame)
    parts = kept_apart.explain(frame).values  # age, dose, f, m
    expected = np.stack([parts[:, 0], parts[:, 2] + parts[:, 3], parts[:, 1]], 1)
    np.testing.assert_allclose(explainer.explain(frame).values, expected, atol=1e-12)
    np.testing.assert_allclose(explainer.influence(frame), expected, atol=1e-12)
    np.testing.assert_allclose(kept_apart.influence(frame), parts, atol=1e-12)
    found = explainer.influence(frame, ("input", "sex"), ("output", 1))
    np.testing.assert_allclose(found, expected[:, 1, 1], atol=1e-12)
    np.testing.assert_allclose(explainer.influence(frame, ("input", 1)), expected[:, 1], atol=1e-12)
    with pytest.raises(ValueError, match="no column 'sexx': did you mean 'sex'"):
        explainer.influence(frame, ("input", "sexx"))
    assert explainer.influence(frame, "hidden0").shape == (50, 5, 2)


def test_the_output_of_one_pipeline_step_is_not_told_as_columns(clinic):
    frame, y = clinic
    pipe = make_pipeline(PCA(2), TorchMLPClassifier((5,), max_epochs=3, random_state=0))
    pipe.fit(frame[["age", "dose"]], y)
    explainer = InfluentialScores(pipe, source="hidden0").fit(frame[["age", "dose"]])
    assert explainer.explain(frame[["age", "dose"]]).feature_names[0] == "hidden0[0]"


# --- networks -----------------------------------------------------------------------------------


def test_scikit_learns_networks(X):
    y = np.digitize(X[:, 0], [-0.5, 0.5])
    network = MLPClassifier((5, 4), max_iter=2000, tol=0.1, random_state=0).fit(X, y)
    explainer = InfluentialScores(network).fit(X)
    assert explainer.layers_ == ["input", "hidden0", "hidden1", "output"]
    value, shares = X, []
    for weight, bias in zip(network.coefs_, network.intercepts_, strict=True):
        products = value[:, :, None] * weight
        shares.append(products / np.abs(products).sum(1, keepdims=True).clip(1e-300))
        value = np.maximum(value @ weight + bias, 0)
    expected = shares[0] @ shares[1] @ shares[2]
    np.testing.assert_allclose(explainer.explain(X).values, expected, atol=1e-12)


def test_a_tuned_network_is_explained_with_the_neurons_it_has_left(X):
    network = ANTClassifier(
        (8, 6), max_epochs=10, pruning_rate=0.5, criterion="influence", random_state=0
    )
    explainer = InfluentialScores(network).fit(X, X[:, 0] > 0)
    assert explainer.estimator_.layer_sizes_ == [4, 3]
    assert [len(v) for v in explainer.neuron_importances_.values()] == [4, 3]


@pytest.mark.parametrize(
    "module",
    [
        nn.TransformerEncoderLayer(4, 2, batch_first=True),
        nn.Sequential(nn.Linear(4, 3), nn.GRU(3, 2)),
        nn.Bilinear(4, 4, 2),
    ],
    ids=["transformer", "recurrent", "two inputs"],
)
def test_other_networks_are_errors_that_name_them(module, X):
    with pytest.raises(UnsupportedModuleError, match="Transformer|GRU|Bilinear"):
        InfluentialScores(module).fit(X)


def test_half_precision_is_an_error(X):
    with pytest.raises(ValueError, match=r"torch.float16.*module.float\(\)"):
        InfluentialScores(MLP(4, 2, (3,)).half()).fit(X.astype(np.float16))


def test_half_precision_data_are_converted(mlp, X):
    explainer = InfluentialScores(mlp).fit(X)
    half = X.astype(np.float16)
    expected = explainer.explain(half.astype(float)).values
    np.testing.assert_array_equal(explainer.explain(half).values, expected)


def test_images_of_another_size_are_an_error(cnn, images):
    explainer = InfluentialScores(cnn).fit(images)
    for call in (explainer.explain, explainer.influence, explainer.transform):
        with pytest.raises(ValueError, match=r"\(1, 4, 4\).*\(1, 4, 5\)"):
            call(images[..., :4])


def test_the_mode_of_training_is_back_afterwards(cnn, images):
    cnn.train()
    cnn.norm.eval()
    explainer = InfluentialScores(cnn).fit(images)
    explainer.influence(images, "stem", ("conv", 1))
    explainer.filter_scores(images, "stem")
    assert cnn.training
    assert not cnn.norm.training
    assert all(p.grad is None for p in cnn.parameters())


# --- more than memory ---------------------------------------------------------------------------


def test_explanations_in_batches_are_the_whole(pipeline, clinic):
    frame, _ = clinic
    for explainer in (InfluentialScores(pipeline), PWPExplainer(pipeline)):
        explainer.fit(frame)
        whole = explainer.explain(frame, "predicted")
        parts = list(explainer.explain_batches(frame, "predicted", batch_size=20))
        assert [len(part.values) for part in parts] == [20, 20, 10]
        np.testing.assert_allclose(np.concatenate([p.values for p in parts]), whole.values)
        chunks = (frame.iloc[i : i + 30] for i in (0, 30))
        parts = list(explainer.explain_batches(chunks, "predicted"))
        assert [len(part.values) for part in parts] == [30, 20]
        assert parts[1].sample_names[0] == 30
        with pytest.raises(ValueError, match="batch_size=0"):
            next(explainer.explain_batches(frame, batch_size=0))
