"""Weights drawn anew, layer by layer, in every kind of estimator."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sknninterp import TorchMLPClassifier
from sknninterp.evaluation._randomize import WeightLayers


@pytest.fixture(scope="module")
def data():
    return make_classification(40, 5, random_state=0)


def torch_pipeline(data):
    network = TorchMLPClassifier((8, 4), batch_norm=True, max_epochs=5, random_state=0)
    return make_pipeline(StandardScaler(), network).fit(*data)


def sklearn_mlp(data):
    return MLPClassifier((8, 4), max_iter=2000, random_state=0).fit(*data)


def module(data):
    torch.manual_seed(0)

    class Net(nn.Module):
        """Layers in another order than that of computation, and weights without a module."""

        def __init__(self):
            super().__init__()
            self.last = nn.Linear(4, 2)
            self.kernel = nn.Parameter(torch.randn(8, 5))
            self.middle = nn.Linear(8, 4)

        def forward(self, x):
            x = torch.relu(nn.functional.linear(x, self.kernel))
            return self.last(torch.relu(self.middle(x)))

    return Net()


CASES = {
    torch_pipeline: ["output", "norm1", "hidden1", "norm0", "hidden0"],
    sklearn_mlp: ["output", "hidden1", "hidden0"],
    module: ["last", "middle", "weights"],
}


def weights(estimator):
    """All weights, by layer."""
    if isinstance(estimator, MLPClassifier):
        pairs = zip(estimator.coefs_, estimator.intercepts_, strict=True)
        names = ["hidden0", "hidden1", "output"]
        return {name: [w, b] for name, (w, b) in zip(names, pairs, strict=True)}
    network = estimator if isinstance(estimator, nn.Module) else estimator[-1].module_
    found = {}
    for name, parameter in network.named_parameters():
        layer = name.rpartition(".")[0] or "weights"
        found.setdefault(layer, []).append(parameter.detach().numpy())
    return found


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_layers_come_from_the_output_down(data, make):
    assert WeightLayers(make(data), data[0]).names == CASES[make]


@pytest.mark.parametrize("how", ["reset", "permute"])
@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_one_layer_changes_and_no_other(data, make, how):
    original = make(data)
    for name in CASES[make]:
        estimator = copy.deepcopy(original)
        WeightLayers(estimator, data[0]).randomize(name, how, np.random.RandomState(0))
        before, after = weights(original), weights(estimator)
        for layer in before:
            same = all(map(np.array_equal, before[layer], after[layer]))
            assert same == (layer != name), (name, layer)
        if how == "permute":
            for one, other in zip(before[name], after[name], strict=True):
                np.testing.assert_array_equal(np.sort(one, None), np.sort(other, None))


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_what_is_predicted_changes(data, make):
    estimator = make(data)
    X = data[0]

    def outputs():
        if isinstance(estimator, nn.Module):
            with torch.no_grad():
                return estimator(torch.from_numpy(X).float()).numpy()
        return estimator.predict_proba(X)

    before = outputs()
    layers = WeightLayers(estimator, X)
    layers.randomize(layers.names[-1], "reset", np.random.RandomState(0))
    assert not np.allclose(outputs(), before)


def test_reset_weights_are_as_before_training(data):
    estimator = sklearn_mlp(data)
    WeightLayers(estimator, data[0]).randomize("hidden0", "reset", np.random.RandomState(0))
    bound = np.sqrt(6 / (5 + 8))
    assert 0.8 * bound < np.abs(estimator.coefs_[0]).max() <= bound
    net = module(data)
    size = float(net.kernel.detach().std())
    WeightLayers(net, data[0]).randomize("weights", "reset", np.random.RandomState(0))
    assert float(net.kernel.detach().std()) == pytest.approx(size, rel=0.5)


def test_reset_batch_norm_forgets_what_it_has_seen(data):
    estimator = torch_pipeline(data)
    norm = estimator[-1].module_.norm0
    assert norm.running_mean.any()
    WeightLayers(estimator, data[0]).randomize("norm0", "reset", np.random.RandomState(0))
    assert not norm.running_mean.any()


@pytest.mark.parametrize("how", ["reset", "permute"])
@pytest.mark.parametrize("make", [torch_pipeline, sklearn_mlp], ids=lambda make: make.__name__)
@pytest.mark.usefixtures("global_rng_untouched")
def test_a_seed_gives_the_same_twice(data, make, how):
    found = []
    for seed in (0, 0, 1):
        estimator = make(data)
        WeightLayers(estimator, data[0]).randomize("output", how, np.random.RandomState(seed))
        found.append(weights(estimator)["output"][0])
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
