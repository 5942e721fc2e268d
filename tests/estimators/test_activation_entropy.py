"""Activation entropy of fitted estimators, against loops."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits, make_classification
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from sknninterp import TorchMLPClassifier, TorchMLPRegressor, activation_entropy
from sknninterp.nn.mlp import MLP

X, Y = make_classification(
    n_samples=120, n_features=6, n_informative=4, n_classes=3, random_state=0
)
LABELS = np.array(["high", "low", "middle"])


def small(kind=TorchMLPClassifier, **params):
    return kind((8, 5), **{"max_epochs": 3, "random_state": 0, **params})


def hidden_values(module, samples):
    """Activations of an MLP of two hidden layers, (n_samples, n_neurons)."""
    with torch.no_grad():
        first = torch.relu(module.hidden0(samples))
        return torch.cat([first, torch.relu(module.hidden1(first))], 1).double().numpy()


def naive(column, weights, maximum):
    counts = [0.0] * 10
    for value, weight in zip(column, weights, strict=True):
        if value > 0:
            r = next(r for r in range(10) if r == 9 or value <= maximum * (r + 1) / 10)
            counts[r] += weight
    total = sum(counts)
    return -sum(c / total * math.log2(c / total) for c in counts if c) if total else 0.0


@pytest.mark.parametrize("weighted", [False, True])
def test_entropy_by_loops(weighted):
    weight = np.arange(120) % 4.0 if weighted else None  # some of weight 0
    fitted = small().fit(X, LABELS[Y])
    found = activation_entropy(fitted, X, LABELS[Y], sample_weight=weight)
    weight = np.ones(120) if weight is None else weight
    values = hidden_values(fitted.module_, torch.from_numpy(X))
    assert found.columns.tolist() == ["entropy", "high", "low", "middle"]
    assert found.index.names == ["layer", "neuron", "position"]
    places = [(f"hidden{i}", j, 0) for i, n in enumerate((8, 5)) for j in range(n)]
    assert found.index.tolist() == places
    for column, row in zip(values.T, found.to_numpy(), strict=True):
        maximum = column[weight > 0].max()
        groups = [np.ones(120, dtype=bool), *(c == Y for c in range(3))]
        expected = [naive(column[g], weight[g], maximum) for g in groups]
        np.testing.assert_allclose(row, expected, atol=1e-12)


def test_one_pass_is_nearly_exact_and_authors_edges_differ():
    fitted = small().fit(X, Y)
    exact = activation_entropy(fitted, X, Y)
    once = activation_entropy(fitted, X, Y, exact=False)
    authors = activation_entropy(fitted, X, edge="authors")
    assert (exact - once).abs().to_numpy().max() < 0.3
    assert not exact.equals(once)
    assert authors.shape == (13, 1)
    assert not np.allclose(authors["entropy"], exact["entropy"])


def test_chosen_layers_and_bins():
    fitted = small().fit(X, Y)
    found = activation_entropy(fitted, X, layers="last", n_bins=2)
    assert found.index.get_level_values("layer").unique().tolist() == ["hidden1"]
    assert found["entropy"].max() <= 1
    assert found["entropy"].max() > 0.5


def test_feature_maps_have_positions():
    images, digits = load_digits(return_X_y=True)
    images = images[:60].reshape(-1, 1, 8, 8) / 16
    module = nn.Sequential(nn.Conv2d(1, 3, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(27, 10))
    fitted = TorchMLPClassifier(module=module, max_epochs=1).fit(images, digits[:60])
    found = activation_entropy(fitted, images)
    assert len(found) == 27
    assert found.loc[("0", 2)].index.tolist() == list(range(9))
    with torch.no_grad():
        values = fitted.module_[:2](torch.from_numpy(images))[:, 1].flatten(1)[:, 5].numpy()
    expected = naive(values, np.ones(60), values.max())
    assert found.loc[("0", 1, 5), "entropy"] == pytest.approx(expected)


def test_whatever_holds_a_network():
    inputs = X.astype(np.float32)
    torch.manual_seed(0)
    net = NeuralNetClassifier(
        MLP(6, 3, (8, 5)), criterion=nn.CrossEntropyLoss, max_epochs=1, verbose=0
    ).fit(inputs, Y)
    by_net = activation_entropy(net, inputs)
    pd.testing.assert_frame_equal(by_net, activation_entropy(net.module_, inputs))
    theirs = MLPClassifier((8, 5), max_iter=300, tol=0.1, random_state=0).fit(X, Y)
    assert activation_entropy(theirs, X, Y).shape == (13, 4)
    assert activation_entropy(small(TorchMLPRegressor).fit(X, Y), X, Y).shape == (13, 4)


def test_pipelines_and_searches_are_read_behind_their_preprocessing():
    frame = pd.DataFrame(X * 100, columns=list("abcdef"))
    search = GridSearchCV(
        make_pipeline(StandardScaler(), small()), {"torchmlpclassifier__lr": [0.01]}, cv=2
    ).fit(frame, Y)
    pipeline = search.best_estimator_
    found = activation_entropy(search, frame)
    scaled = pipeline[0].transform(frame)
    pd.testing.assert_frame_equal(found, activation_entropy(pipeline[-1], scaled))
    with pytest.raises(ValueError, match="feature names"):
        activation_entropy(search, frame.rename(columns={"a": "z"}))


def test_a_single_group_and_a_long_table():
    fitted = small().fit(X, Y)
    found = activation_entropy(fitted, X, np.full(120, "all"))
    assert found.columns.tolist() == ["entropy", "all"]
    assert found["all"].equals(found["entropy"].rename("all"))
    many = np.tile(X, (50, 1))  # in two parts
    np.testing.assert_allclose(activation_entropy(fitted, many)["entropy"], found["entropy"])


def test_mode_and_random_state_stay(global_rng_untouched):
    fitted = small(dropout=0.5).fit(X, Y)
    fitted.module_.train()
    activation_entropy(fitted, X)
    assert all(m.training for m in fitted.module_.modules())


def test_progress_bar(capsys):
    fitted = small().fit(X, Y)
    activation_entropy(fitted, X)
    assert capsys.readouterr().err == ""
    activation_entropy(fitted, X, verbose=1)
    assert "120/120" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"y": Y[:5]}, ValueError, "inconsistent numbers of samples"),
        ({"y": X[:, 0]}, ValueError, "continuous"),
        ({"y": X}, ValueError, "1d array"),
        ({"y": np.where(Y == 0, None, LABELS[Y])}, ValueError, "y holds missing labels"),
        ({"sample_weight": -np.ones(120)}, ValueError, "[Nn]egative"),
        ({"sample_weight": np.zeros(120)}, ValueError, "all weights are zero|non-zero"),
        ({"sample_weight": np.ones(3)}, ValueError, "sample_weight"),
        ({"layers": "hidden7"}, ValueError, "no hidden layer 'hidden7'"),
        ({"n_bins": 1}, ValueError, "n_bins=1 must be at least 2"),
        ({"edge": "lower"}, ValueError, "edge='lower' is neither"),
        ({"edge": "authors", "exact": False}, ValueError, "edge='authors' needs exact=True"),
        ({"X": X[:, :3]}, ValueError, "3 features"),
        ({"X": np.where(X[0, 0] == X, np.nan, X)}, ValueError, "NaN"),
        ({"estimator": TorchMLPClassifier()}, NotFittedError, "TorchMLPClassifier is not fitted"),
        ({"estimator": LogisticRegression()}, TypeError, "LogisticRegression holds no network"),
        ({"estimator": "net"}, TypeError, "str holds no network"),
    ],
    ids=[f"bad-{i}" for i in range(16)],
)
def test_bad_input(arguments, error, message):
    arguments = {"estimator": small().fit(X, Y), "X": X, **arguments}
    with pytest.raises(error, match=message):
        activation_entropy(**arguments)
