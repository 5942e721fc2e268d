"""What hidden neurons say of samples, beside loops over samples, neurons and classes."""

from __future__ import annotations

import numpy as np
import pytest
import skorch
import torch
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sknninterp import TorchMLPClassifier
from sknninterp.estimators import _network
from sknninterp.estimators._firing import FiringNetwork, encoded, read_fold
from sknninterp.estimators._folds import Samples

SMALL = {"hidden_layer_sizes": (7, 5), "max_epochs": 10, "lr": 0.01, "random_state": 0}


@pytest.fixture(scope="module", name="X")
def samples():
    return np.random.default_rng(0).normal(size=(60, 6))


@pytest.fixture(scope="module", name="y")
def labels(X):
    return np.array(["a", "b", "c"])[np.digitize(X[:, 0] + X[:, 2] / 2, [-0.5, 0.5])]


@pytest.fixture(scope="module", name="pipeline")
def fitted(X, y):
    return make_pipeline(StandardScaler(), TorchMLPClassifier(**SMALL)).fit(X, y)


def loop_activations(pipeline, X):
    """Activations of all hidden neurons, layer beside layer."""
    values, found = pipeline[0].transform(X), []
    layers = [m for m in pipeline[-1].module_.modules() if isinstance(m, nn.Linear)]
    for layer in layers[:-1]:
        weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        values = np.maximum(values @ weight.T + bias, 0)
        found.append(values)
    return np.hstack(found)


def loop_probabilities(fires, target, weight, n_classes):
    found = np.zeros((n_classes, fires.shape[1]))
    for c in range(n_classes):
        for j in range(fires.shape[1]):
            count = total = 0.0
            for i in range(len(fires)):
                if target[i] == c:
                    total += weight[i]
                    count += weight[i] * fires[i, j]
            found[c, j] = count / total
    return found


def loop_evidence(fires, probabilities):
    found = np.zeros((len(fires), len(probabilities)))
    for i in range(len(fires)):
        for c in range(len(probabilities)):
            for j in range(fires.shape[1]):
                if fires[i, j]:
                    found[i, c] += probabilities[c, j]
    return found


def loop_proposed(evidence, predicted):
    found = np.zeros_like(predicted)
    for i in range(len(found)):
        product = [e * p for e, p in zip(evidence[i], predicted[i], strict=True)]
        found[i] = np.array(product) / sum(product) if sum(product) > 0 else predicted[i]
    return found


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rows", [4096, 7])
def test_oracle(weighted, rows, pipeline, X, y, monkeypatch):
    monkeypatch.setattr(_network, "_MOST_ROWS", rows)
    rng = np.random.default_rng(1)
    weight = rng.integers(0, 4, len(X)).astype(float) if weighted else None
    threshold = {"hidden0": 0.0, "hidden1": 0.3}
    firing = FiringNetwork(pipeline, X, "all", threshold)
    target = encoded(y, firing.classes(y))
    np.testing.assert_array_equal(firing.classes(y)[target], y)

    fires = loop_activations(pipeline, X) > np.repeat([0, 0.3], [7, 5])
    probabilities = loop_probabilities(
        fires, target, np.ones(len(X)) if weight is None else weight, 3
    )
    found = firing.statistics(X, target, weight).probabilities.numpy()
    np.testing.assert_allclose(found, probabilities, rtol=1e-12)

    evidence, proposed, predicted = firing.read(X, found)
    np.testing.assert_allclose(evidence, loop_evidence(fires, probabilities), rtol=1e-12)
    np.testing.assert_allclose(predicted, pipeline.predict_proba(X), rtol=1e-12)
    np.testing.assert_allclose(proposed, loop_proposed(evidence, predicted), rtol=1e-12)
    assert np.abs(proposed - predicted).max() > 0.01


def test_entropy_only_if_asked_for(pipeline, X, y):
    firing = FiringNetwork(pipeline, X, "all", 0.0)
    target = encoded(y, firing.classes(y))
    assert firing.statistics(X, target, None, entropy=True).entropy.neurons.shape == (12,)
    with pytest.raises(AttributeError):
        _ = firing.statistics(X, target, None).entropy


def test_feature_maps(X):
    torch.manual_seed(0)
    convolution, head = nn.Conv2d(1, 3, 2), nn.Linear(6, 2)
    module = nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), head)
    images = X.reshape(-1, 1, 2, 3).astype(np.float32)
    firing = FiringNetwork(module, images, "all", 0.0)
    target = (np.arange(60) % 2).astype(np.int64)
    with torch.no_grad():
        fires = convolution(torch.from_numpy(images)).flatten(1).numpy() > 0
    expected = loop_probabilities(fires, target, np.ones(60), 2)
    found = firing.statistics(images, target, None).probabilities.numpy()
    np.testing.assert_allclose(found, expected)
    evidence, *_ = firing.read(images, found)
    np.testing.assert_allclose(evidence, loop_evidence(fires, expected), rtol=1e-5)


# --- classes --------------------------------------------------------------------------------------


def classes_of(module, known, y):
    firing = FiringNetwork(module, np.zeros((1, 6), np.float32), "all", 0.0)
    firing.network = _network.Network(module, module, known)
    return firing.classes(np.asarray(y)).tolist()


def dense(n_outputs):
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, n_outputs))


@pytest.mark.parametrize(
    ("n_outputs", "known", "y", "expected"),
    [
        (3, None, ["c", "a", "b", "a"], ["a", "b", "c"]),
        (1, None, ["no", "yes"], ["no", "yes"]),
        (3, ["c", "a", "b"], ["a", "b", "c"], ["c", "a", "b"]),
        (1, [False, True], [True, False], [False, True]),
        (2, [0.0, 1.0], [1, 0], [0.0, 1.0]),
    ],
)
def test_classes(n_outputs, known, y, expected):
    assert classes_of(dense(n_outputs), known, y) == expected


@pytest.mark.parametrize(
    ("n_outputs", "known", "y", "message"),
    [
        (3, ["a", "b", "c"], ["a", "b"], r"no samples of the classes \['c'\]"),
        (2, ["a", "b"], ["a", "b", "x"], r"labels \['a', 'b', 'x'\]; .* 2 classes, \['a', 'b'\]"),
        (3, [0, 2], [0, 2], r"no samples of the classes \[1\]"),
        (3, None, [0, 1, 2, 3], "3 classes"),
        (3, None, [0, 1], r"classes \[2\]"),
        (1, None, [0, 1, 2], "2 classes"),
        (1, None, [0], "2 classes"),
    ],
)
def test_other_classes(n_outputs, known, y, message):
    with pytest.raises(ValueError, match=message):
        classes_of(dense(n_outputs), known, y)


def test_encoded_follows_the_classes_order():
    assert encoded(np.array([2, 1, 2]), np.array([2, 1])).tolist() == [0, 1, 0]


# --- what is refused ------------------------------------------------------------------------------


class TwoAxes(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv1d(1, 2, 2), nn.ReLU(), nn.Conv1d(2, 2, 2))

    def forward(self, X):
        return self.net(X)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_other_outputs(X):
    with pytest.raises(ValueError, match="has the axes"):
        FiringNetwork(TwoAxes(), X[:, None], "all", 0.0)
    several = MLPClassifier((5,), max_iter=5).fit(X, X[:, :3] > 0)
    with pytest.raises(ValueError, match="several labels a sample"):
        FiringNetwork(several, X, "all", 0.0)


@pytest.mark.parametrize(
    ("layers", "threshold", "message"),
    [
        ("all", 0.0, "'sigmoid' is always above"),
        ("hidden", 0.5, "no hidden layer 'hidden'"),
        (2, 0.5, "from 1 to 1"),
        ("all", {"other": 0.5}, "no layer 'other'"),
    ],
)
def test_layers_and_thresholds(layers, threshold, message, X):
    module = nn.Sequential(nn.Linear(6, 4), nn.Sigmoid(), nn.Linear(4, 2))
    with pytest.raises(ValueError, match=message):
        FiringNetwork(module, X, layers, threshold)


# --- folds ----------------------------------------------------------------------------------------


def test_a_fold_is_read_by_an_estimator_that_has_not_seen_it(X, y):
    weight = np.linspace(1, 2, len(y))
    train, test = np.arange(0, 60, 2), np.arange(1, 60, 2)
    net = TorchMLPClassifier(**SMALL)
    samples = Samples(X, y, weight)
    found = read_fold(net, None, samples, train, test, "last", 0.1)
    own = TorchMLPClassifier(**SMALL).fit(X[train], y[train], weight[train])
    firing = FiringNetwork(own, X, "last", 0.1)
    target = encoded(y[train], own.classes_)
    probabilities = firing.statistics(X[train], target, weight[train]).probabilities
    expected = firing.read(X[test], probabilities.numpy())[1:]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_torch_is_seeded_on_a_fold(X, y):
    target = encoded(y, np.unique(y))
    samples = Samples(X.astype(np.float32), target)
    rows = np.arange(60)

    def read(seed):
        net = skorch.NeuralNetClassifier(
            Seeded, criterion=nn.CrossEntropyLoss, train_split=None, verbose=0, max_epochs=1
        )
        return read_fold(net, seed, samples, rows, rows, "all", 0.0)[1]

    np.testing.assert_array_equal(read(1), read(1))
    assert (read(1) != read(2)).any()


class Seeded(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = dense(3)

    def forward(self, X):
        return self.net(X)
