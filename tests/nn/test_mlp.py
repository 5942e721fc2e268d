"""The plain multilayer perceptron."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neural_network import MLPRegressor
from torch import nn

from sknninterp.nn.graph import read
from sknninterp.nn.mlp import ACTIVATIONS, MLP, mlp_from_weights


def test_layers_and_their_names():
    module = MLP(4, 2, (5, 3), "tanh", dropout=0.25, batch_norm=True)
    assert [(name, type(child)) for name, child in module.named_children()] == [
        ("hidden0", nn.Linear),
        ("norm0", nn.BatchNorm1d),
        ("activation0", nn.Tanh),
        ("dropout0", nn.Dropout),
        ("hidden1", nn.Linear),
        ("norm1", nn.BatchNorm1d),
        ("activation1", nn.Tanh),
        ("dropout1", nn.Dropout),
        ("output", nn.Linear),
    ]
    shapes = [
        tuple(module.get_parameter(f"{n}.weight").shape) for n in ("hidden0", "hidden1", "output")
    ]
    assert shapes == [(5, 4), (3, 5), (2, 3)]
    assert module.dropout0.p == 0.25


def test_without_hidden_layers_it_is_linear():
    module = MLP(4, 2, ())
    assert [name for name, _ in module.named_children()] == ["output"]
    assert module.output.weight.shape == (2, 4)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_each_activation_is_read_by_its_name(activation):
    graph = read(MLP(4, 2, (3,), activation), (4,))
    assert graph.layers[0].activation.kind == activation


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_initial_weights_fill_scikit_learns_bounds(activation):
    torch.manual_seed(0)
    module = MLP(200, 100, (300,), activation)
    factor = 2 if activation == "sigmoid" else 6
    for layer in (module.hidden0, module.output):
        bound = (factor / sum(layer.weight.shape)) ** 0.5
        for values in (layer.weight, layer.bias):
            assert values.abs().max() <= bound
            assert values.abs().max() > 0.9 * bound
        assert abs(layer.weight.mean()) < 0.02 * bound
        # Of a uniform distribution, not of another in the same bounds.
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)


def test_one_seed_gives_one_network():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(MLP(4, 2, (5,)).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_an_unknown_activation_is_named():
    with pytest.raises(ValueError, match=r"activation='maxout' is not one of \['relu',"):
        MLP(4, 2, (5,), "maxout")
    with pytest.raises(ValueError, match="activation='logistic' is not one of"):
        mlp_from_weights([np.ones((2, 3)), np.ones((3, 1))], [np.ones(3), np.ones(1)], "logistic")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_scikit_learns_weights_give_its_predictions(activation, dtype):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 4)).astype(dtype), rng.normal(size=(50, 2)).astype(dtype)
    # Two epochs: the first that does not gain 100 is the last.
    stop = {"tol": 100, "n_iter_no_change": 1}
    theirs = MLPRegressor(hidden_layer_sizes=(6, 5), activation=activation, **stop).fit(x, y)
    name = {"logistic": "sigmoid"}.get(activation, activation)
    state = torch.get_rng_state()
    module = mlp_from_weights(theirs.coefs_, theirs.intercepts_, name)
    assert torch.equal(torch.get_rng_state(), state)
    assert not module.training
    with torch.no_grad():
        found = module(torch.from_numpy(x))
    np.testing.assert_allclose(found, theirs.predict(x), rtol=1e-4, atol=1e-5)
    assert found.numpy().dtype == theirs.coefs_[0].dtype
    names = ["hidden0", "activation0", "hidden1", "activation1", "output"]
    expected = [n for n in names if activation != "identity" or "activation" not in n]
    assert [name for name, _ in module.named_children()] == expected


def test_given_weights_are_copied():
    weights, biases = [np.ones((2, 3)), np.ones((3, 1))], [np.zeros(3), np.zeros(1)]
    module = mlp_from_weights(weights, biases, "relu")
    weights[0][:] = 5.0
    assert (module.hidden0.weight == 1.0).all()
    assert module.hidden0.weight.shape == (3, 2)


def test_weights_and_biases_come_in_pairs():
    with pytest.raises(ValueError, match="zip"):
        mlp_from_weights([np.ones((2, 3))], [], "relu")
