"""Embeddings against loops, scikit-learn's splines and hand-computed cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import SplineTransformer
from torch import nn

from sknninterp.nn.embeddings import (
    EMBEDDINGS,
    FeatureBeside,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
    SplineEmbedding,
    quantile_edges,
    split_embedding,
)
from sknninterp.nn.graph import read
from sknninterp.nn.mlp import MLP
from sknninterp.nn.nodes import UnsupportedModuleError
from sknninterp.nn.surgery import remove_units
from sknninterp.nn.weight_product import weight_product


def inputs(n_samples=60, seed=0):
    """Continuous, of few values, of two values, constant, heavy-tailed, mostly one value."""
    rng = np.random.default_rng(seed)
    columns = [
        rng.normal(size=n_samples),
        rng.integers(0, 4, n_samples),
        rng.integers(0, 2, n_samples),
        np.full(n_samples, 2.5),
        rng.standard_cauchy(n_samples),
        np.where(rng.random(n_samples) < 0.9, 0.0, rng.normal(size=n_samples)),
    ]
    return torch.tensor(np.stack(columns, 1))


# --- bins ---------------------------------------------------------------------------------------


def test_edges():
    x = inputs()
    edges = quantile_edges(x, 4)
    shares = [0, 0.25, 0.5, 0.75, 1]
    np.testing.assert_array_equal(edges[0], np.quantile(x[:, 0], shares, method="inverted_cdf"))
    assert edges[1].tolist() == [0, 1, 2, 3]
    assert edges[2].tolist() == [0, 1]
    assert edges[3].tolist() == [2.5, 3.5]
    assert len(edges[5]) < 5 and 0 in edges[5].tolist()
    assert all((of_one.diff() > 0).all() for of_one in edges)


@given(st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_a_weight_is_as_many_samples(n_bins, seed):
    x = inputs(40, seed)
    times = torch.tensor(np.random.default_rng(seed).integers(1, 4, 40))
    weight = times.double() / times.double().mean()
    repeated = x.repeat_interleave(times, 0)
    for kind in (PiecewiseLinearEmbedding, SplineEmbedding):
        one, other = kind.fit(x, weight, n_bins + 1), kind.fit(repeated, None, n_bins + 1)
        assert one.origins.tolist() == other.origins.tolist()
        np.testing.assert_allclose(one(x), other(x), atol=1e-9)


def naive_piecewise(value, edges):
    found = []
    for t in range(1, len(edges)):
        low, high = edges[t - 1], edges[t]
        if value < low and t > 1:
            found.append(0.0)
        elif value >= high and t < len(edges) - 1:
            found.append(1.0)
        else:
            found.append((value - low) / (high - low))
    return found


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_piecewise_linear(n_bins, seed):
    x = inputs(seed=seed)
    edges = quantile_edges(x, n_bins)
    embedding = PiecewiseLinearEmbedding(edges)
    new = torch.cat([x[:5], 3 * torch.randn(5, 6, dtype=x.dtype)])
    expected = [
        sum((naive_piecewise(v, e.tolist()) for v, e in zip(row, edges, strict=True)), [])
        for row in new.tolist()
    ]
    np.testing.assert_allclose(embedding(new), expected, rtol=1e-9, atol=1e-12)
    assert embedding.origins.tolist() == [i for i, e in enumerate(edges) for _ in range(len(e) - 1)]
    fitted = PiecewiseLinearEmbedding.fit(x, None, n_bins)
    np.testing.assert_allclose(fitted(new), embedding(new) - embedding(x).mean(0), atol=1e-12)
    np.testing.assert_allclose(fitted(x).mean(0), 0, atol=1e-9)


def test_two_values_stay_one_number():
    x = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    embedding = PiecewiseLinearEmbedding.fit(x, n_bins=8)
    assert embedding(x).tolist() == [[-0.5], [0.5], [0.5], [-0.5]]


# --- splines ------------------------------------------------------------------------------------


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("n_knots", [2, 3, 6])
def test_splines_are_scikit_learns(degree, n_knots):
    x = inputs()[:, [0, 4]]
    embedding = SplineEmbedding.fit(x, None, n_knots, degree, tail=0.0)
    knots = np.stack(quantile_edges(x, n_knots - 1), 1)
    known = SplineTransformer(n_knots, degree, knots=knots, extrapolation="constant")
    known.fit(x.numpy())
    new = torch.cat([x, 2 * torch.randn(20, 2, dtype=x.dtype), x.amax(0)[None], x.amin(0)[None]])
    # Between the outer knots; outside, scikit-learn's constant is that of the outermost one, too.
    np.testing.assert_allclose(embedding.splines(new), known.transform(new.numpy()), atol=1e-9)
    means = known.transform(x.numpy()).mean(0)
    np.testing.assert_allclose(embedding(new), known.transform(new.numpy()) - means, atol=1e-9)
    np.testing.assert_allclose(
        embedding.splines(new).reshape(-1, 2, n_knots + degree - 1).sum(2), 1
    )
    assert embedding.origins.tolist() == [0] * (n_knots + degree - 1) + [1] * (n_knots + degree - 1)


def test_features_of_few_values_are_piecewise_linear():
    x = inputs()
    embedding = SplineEmbedding.fit(x, n_knots=5)
    assert embedding.splined.tolist() == [0, 4]
    assert embedding.n_outputs == 2 * 7 + 3 + 1 + 1 + (embedding.origins == 5).sum()
    found = embedding(x)
    np.testing.assert_allclose(
        found[:, 14:], PiecewiseLinearEmbedding.fit(x[:, [1, 2, 3, 5]], None, 4)(x[:, [1, 2, 3, 5]])
    )
    assert embedding.origins[14:].unique().tolist() == [1, 2, 3, 5]
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-9)
    few = SplineEmbedding.fit(x[:, [1, 2]], n_knots=5)
    assert few.splined.numel() == 0
    assert few(x[:, [1, 2]]).shape == (60, 4)
    assert SplineEmbedding.fit(x[:, [0]], n_knots=5).rest is None


# --- waves --------------------------------------------------------------------------------------


def test_periodic():
    torch.manual_seed(0)
    embedding = PeriodicEmbedding(2, n_frequencies=3, n_components=4).double()
    x = torch.randn(5, 2, dtype=torch.float64)
    found = embedding(x).detach().numpy()
    c, b = embedding.frequencies.tolist(), embedding.phases.tolist()
    w, a = embedding.weight.tolist(), embedding.bias.tolist()
    for i, row in enumerate(x.tolist()):
        expected = []
        for p, value in enumerate(row):
            waves = [math.cos(2 * math.pi * c[p][f] * value + b[p][f]) for f in range(3)]
            expected.append(value)
            expected += [sum(waves[f] * w[p][f][k] for f in range(3)) + a[p][k] for k in range(3)]
        np.testing.assert_allclose(found[i], expected)
    assert embedding.origins.tolist() == [0] * 4 + [1] * 4


# --- the feature beside them ---------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
def test_the_feature_comes_in_deviations(weighted):
    x = inputs()
    weight = torch.arange(1.0, 61, dtype=torch.float64) if weighted else None
    inner = PiecewiseLinearEmbedding.fit(x, weight)
    embedding = FeatureBeside(inner, x, weight, scale=0.5)
    several = [j for j in range(6) if (inner.origins == j).sum() > 1]
    assert 0 < len(several) < 6  # one of two values has a single number
    found = embedding(x).numpy()
    for place, j in enumerate(several):
        mean = np.average(x[:, j], weights=weight)
        deviation = np.average((x[:, j].numpy() - mean) ** 2, weights=weight) ** 0.5
        np.testing.assert_allclose(found[:, place], 0.5 * (x[:, j].numpy() - mean) / deviation)
    np.testing.assert_allclose(found[:, len(several) :], inner(x))
    assert embedding.origins.tolist() == [*several, *inner.origins.tolist()]


def test_far_values_do_not_draw_the_splines():
    torch.manual_seed(0)
    x = torch.randn(400, 1, dtype=torch.float64)
    far = x.clone()
    far[:4] = torch.tensor([[1e6], [-1e6], [1e5], [2e6]])
    near, drawn = (SplineEmbedding.fit(values).knots for values in (x, far))
    assert (near - drawn).abs().max() < 1.0
    assert SplineEmbedding.fit(far, tail=0.0).knots.max() > 1e6


# --- all of them --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EMBEDDINGS)
def test_an_output_depends_on_its_feature_alone(kind):
    x = inputs()
    embedding = EMBEDDINGS[kind](x).double()
    assert embedding.n_features == 6
    assert embedding(x).shape == (60, embedding.n_outputs)
    for feature in range(6):
        changed = x.clone()
        changed[:, feature] = x[torch.randperm(60), feature] + 0.1
        differs = (embedding(changed) != embedding(x)).any(0)
        assert not differs[embedding.origins != feature].any()
        assert differs[embedding.origins == feature].any()


@pytest.mark.parametrize("kind", EMBEDDINGS)
def test_types_and_states(kind):
    x = inputs().float()
    embedding = EMBEDDINGS[kind](x)
    assert embedding(x).dtype == torch.float32
    other = EMBEDDINGS[kind](torch.randn(60, 6) if kind == "periodic" else x)
    other.load_state_dict(embedding.state_dict())
    torch.testing.assert_close(other(x), embedding(x))


def test_networks_are_split_behind_their_embedding():
    x = inputs().float()
    embedding = PiecewiseLinearEmbedding.fit(x)
    network = nn.Sequential(embedding, nn.Linear(embedding.n_outputs, 3), nn.ReLU()).eval()
    found, rest = split_embedding(network)
    assert found is embedding
    assert rest[0] is network[1] and not rest.training
    torch.testing.assert_close(rest(embedding(x)), network(x))
    plain = nn.Sequential(nn.Linear(2, 3))
    assert split_embedding(plain) == (None, plain)
    empty = nn.Sequential()
    assert split_embedding(empty) == (None, empty)


@pytest.mark.parametrize("kind", EMBEDDINGS)
def test_networks_with_an_embedding_are_read(kind):
    x = inputs()
    embedding = EMBEDDINGS[kind](x)
    network = MLP(6, 2, (5, 4), embedding=embedding).double().eval()
    assert [name for name, _ in network.named_children()][:2] == ["embedding", "hidden0"]
    graph = read(network, (6,))
    assert [layer.name for layer in graph.layers] == ["hidden0", "hidden1", "output"]
    torch.testing.assert_close(graph.run(x)[graph.output], network(x))
    remove_units(graph, {graph.layers[0].units[1], graph.layers[1].units[0]})
    assert network(x).shape == (60, 2)
    assert network.hidden0.weight.shape == (4, embedding.n_outputs)
    with pytest.raises(UnsupportedModuleError, match="split_embedding"):
        weight_product(read(network, (6,)))
    _, rest = split_embedding(network)
    product = weight_product(read(rest, (embedding.n_outputs,)))
    assert product.shape == (2, embedding.n_outputs)
