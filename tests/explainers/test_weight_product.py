"""Weight products against their definitions, written down in numpy without a thought of speed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import VarianceThreshold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler
from torch import nn

from sknninterp import (
    ANTClassifier,
    ANTRegressor,
    GarsonExplainer,
    OldenExplainer,
    PWPExplainer,
    TorchMLPClassifier,
)
from sknninterp.explainers import weight_product
from sknninterp.nn.nodes import UnsupportedModuleError

ALL = [PWPExplainer, OldenExplainer, GarsonExplainer]


def dense(sizes, activation=nn.ReLU, bias=True, dtype=torch.float64, seed=0):
    """Network with layers of these sizes and random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = []
        for n_in, n_out in zip(sizes, sizes[1:], strict=False):
            layers += [nn.Linear(n_in, n_out, bias=bias, dtype=dtype), activation()]
        return nn.Sequential(*layers[:-1])


def weights(module):
    """Weight matrices (n_in, n_out) from the inputs to the outputs, in float64."""
    layers = [m for m in module.modules() if isinstance(m, nn.Linear)]
    return [m.weight.detach().double().numpy().T for m in layers]


def product(matrices):
    return np.linalg.multi_dot(matrices) if len(matrices) > 1 else matrices[0]


networks = st.builds(
    dense,
    st.lists(st.integers(1, 6), min_size=2, max_size=5),
    st.sampled_from([nn.ReLU, nn.Sigmoid, nn.Tanh, nn.GELU]),
    st.booleans(),
    st.sampled_from([torch.float32, torch.float64]),
    st.integers(0, 2**31),
)


def sample(module, n=7, seed=0):
    return np.random.default_rng(seed).normal(size=(n, weights(module)[0].shape[0]))


# --- PWP and Olden ------------------------------------------------------------------------------


@settings(max_examples=40)
@given(networks)
def test_pwp_is_the_value_times_the_magnitude_of_the_product(module):
    X, P = sample(module), product(weights(module))
    close = 1e-10 if next(module.parameters()).dtype == torch.float64 else 1e-4
    values = np.asarray(PWPExplainer(module).fit(X).explain(X))
    np.testing.assert_allclose(values, X[:, :, None] * np.abs(P), rtol=close, atol=close)
    values = np.asarray(PWPExplainer(module, signed=True).fit(X).explain(X))
    np.testing.assert_allclose(values, X[:, :, None] * P, rtol=close, atol=close)


@settings(max_examples=20)
@given(networks)
def test_olden_is_the_product_for_every_sample(module):
    X, P = sample(module), product(weights(module))
    values = np.asarray(OldenExplainer(module).fit(X).explain(X))
    np.testing.assert_allclose(values, np.broadcast_to(P, values.shape), rtol=1e-4, atol=1e-6)


@settings(max_examples=20)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=5), st.integers(0, 2**31))
def test_signed_contributions_sum_to_the_outputs_of_a_linear_network(sizes, seed):
    module = dense(sizes, nn.Identity, bias=False, seed=seed)
    X = sample(module)
    with torch.no_grad():
        outputs = module(torch.from_numpy(X)).numpy()
    explanation = PWPExplainer(module, signed=True).fit(X).explain(X)
    np.testing.assert_allclose(explanation.values.sum(1), outputs, atol=1e-12)


def test_scikit_learns_coefficients_are_multiplied():
    X = sample(dense([5, 3]), 40)
    y = np.digitize(X[:, 0], [-0.5, 0.5])
    network = MLPClassifier((4, 3), max_iter=3000, tol=0.1, random_state=0).fit(X, y)
    P = product(network.coefs_)
    np.testing.assert_allclose(OldenExplainer(network).fit(X).explain(X[:1]).values[0], P)
    values = PWPExplainer(network).fit(X).explain(X).values
    np.testing.assert_allclose(values, X[:, :, None] * np.abs(P))


def test_batch_norm_counts_as_the_scale_it_is():
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2)).double()
    norm = module[1]
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([2.0, -1.0, 0.5]))
        norm.running_var.copy_(torch.tensor([4.0, 0.25, 1.0]))
    scale = norm.weight.detach().numpy() / np.sqrt(norm.running_var.numpy() + norm.eps)
    first, last = weights(module)
    X = sample(module)
    values = OldenExplainer(module).fit(X).explain(X[:1]).values[0]
    np.testing.assert_allclose(values, (first * scale) @ last)


def test_a_convolutional_network_agrees_with_its_gradient():
    # Without activations and biases the contribution of a pixel is its gradient times its value.
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(12, 2, bias=False),
        ).double()
        images = torch.randn(3, 2, 8, 8, dtype=torch.float64, requires_grad=True)
    gradients = [torch.autograd.grad(module(images)[:, c].sum(), images)[0] for c in (0, 1)]
    expected = (torch.stack(gradients, -1) * images[..., None]).detach().numpy()
    images = images.detach().numpy()
    explanation = PWPExplainer(module, signed=True).fit(images).explain(images)
    np.testing.assert_allclose(explanation.values, expected, atol=1e-12)


@pytest.mark.parametrize("explainer", ALL, ids=lambda e: e.__name__)
def test_max_pooling_is_an_error_or_an_average(explainer):
    def network(pool):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return nn.Sequential(nn.Conv1d(1, 2, 3), pool, nn.Flatten(), nn.Linear(6, 2))

    X = np.random.default_rng(0).normal(size=(4, 1, 8)).astype(np.float32)
    with pytest.raises(UnsupportedModuleError, match=r"'1' has no weights.*max_pool='average'"):
        explainer(network(nn.MaxPool1d(2))).fit(X)
    maximal = explainer(network(nn.MaxPool1d(2)), max_pool="average").fit(X)
    average = explainer(network(nn.AvgPool1d(2))).fit(X)
    np.testing.assert_array_equal(maximal.explain(X).values, average.explain(X).values)


# --- Garson -------------------------------------------------------------------------------------


def shares(matrix):
    total = matrix.sum(0)
    return np.divide(matrix, total, out=np.zeros_like(matrix), where=total > 0)


def naive_garson(matrices, variant):
    magnitudes = [np.abs(matrix) for matrix in matrices]
    if variant == "product":
        return shares(product(magnitudes))
    *hidden, last = magnitudes
    if variant == "goh1995":
        last = np.ones_like(last)
    return shares(product([*map(shares, hidden), last]))


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("product", [0.8136, 0.1864]),
        ("garson1991", [0.6837, 0.3163]),
        ("goh1995", [0.7229, 0.2771]),
    ],
)
def test_garsons_variants_on_a_network_worked_out_by_hand(variant, expected):
    module = dense([2, 2, 1])
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.49, 0.16], [-0.19, -0.16]]))
        module[2].weight.copy_(torch.tensor([[-0.52, 0.81]]))
    explainer = GarsonExplainer(module, variant=variant).fit([[1.0, 1.0]])
    np.testing.assert_allclose(explainer.feature_importances_, expected, atol=5e-5)


@settings(max_examples=30)
@given(
    st.lists(st.integers(1, 6), min_size=3, max_size=5),
    st.sampled_from(["product", "garson1991", "goh1995"]),
    st.integers(0, 2**31),
)
def test_garson_is_its_definition(sizes, variant, seed):
    module = dense(sizes, seed=seed)
    explainer = GarsonExplainer(module, variant=variant).fit(sample(module))
    expected = naive_garson(weights(module), variant)
    np.testing.assert_allclose(explainer.explain(sample(module)[:1]).values[0], expected)
    np.testing.assert_allclose(explainer.feature_importances_, expected.mean(1))


def test_garson_does_not_depend_on_the_sample():
    module = dense([3, 4, 2])
    explanation = GarsonExplainer(module).fit(sample(module)).explain(sample(module, 5, seed=9))
    assert not explanation.signed
    np.testing.assert_allclose(explanation.values.sum(1), 1.0)
    np.testing.assert_array_equal(explanation.values, explanation.values[:1].repeat(5, axis=0))


def test_opposite_paths_cancel_in_the_product_but_not_in_garson():
    module = dense([2, 2, 1])
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
        module[2].weight.copy_(torch.tensor([[1.0, -1.0]]))
    X = np.ones((3, 2))
    for explainer, expected in [
        (PWPExplainer, [0.0, 1.0]),
        (OldenExplainer, [0.0, 1.0]),
        (GarsonExplainer, [2 / 3, 1 / 3]),
    ]:
        importances = explainer(module).fit(X).feature_importances_
        np.testing.assert_allclose(importances, expected, atol=1e-15)


def test_garsons_shares_need_a_chain_with_a_hidden_layer():
    with pytest.raises(UnsupportedModuleError, match="variant='garson1991'.*hidden"):
        GarsonExplainer(dense([3, 2]), variant="garson1991").fit(np.ones((2, 3)))


# --- invariances --------------------------------------------------------------------------------


@pytest.mark.parametrize("explainer", ALL, ids=lambda e: e.__name__)
@settings(max_examples=10)
@given(seed=st.integers(0, 2**31), factor=st.floats(0.1, 10))
def test_rescaling_a_relu_neuron_changes_nothing(explainer, seed, factor):
    module = dense([4, 3, 2], seed=seed)
    X = sample(module)
    before = explainer(module).fit(X).explain(X).values
    with torch.no_grad():
        module[0].weight[1] *= factor
        module[0].bias[1] *= factor
        module[2].weight[:, 1] /= factor
    after = explainer(module).fit(X).explain(X).values
    np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("explainer", ALL, ids=lambda e: e.__name__)
def test_permuting_the_features_permutes_everything(explainer):
    module, order = dense([4, 3, 2]), [2, 0, 3, 1]
    X = sample(module)
    before = explainer(module).fit(X)
    values = before.explain(X).values
    with torch.no_grad():
        module[0].weight.copy_(module[0].weight[:, order])
    after = explainer(module).fit(X[:, order])
    np.testing.assert_allclose(after.explain(X[:, order]).values, values[:, order])
    np.testing.assert_allclose(after.feature_importances_, before.feature_importances_[order])


def test_an_input_of_zero_contributes_nothing():
    module = dense([3, 4, 2])
    X = sample(module)
    X[:, 1] = 0
    explainer = PWPExplainer(module).fit(X)
    assert (explainer.explain(X)[:, 1].values == 0).all()
    assert explainer.feature_importances_[1] == 0
    assert (explainer.feature_importances_[[0, 2]] > 0).all()


# --- networks that were pruned ------------------------------------------------------------------


@pytest.mark.parametrize("explainer", ALL, ids=lambda e: e.__name__)
@pytest.mark.parametrize("estimator", [ANTClassifier, ANTRegressor], ids=lambda e: e.__name__)
def test_a_tuned_network_is_explained_as_it_came_out(explainer, estimator):
    X = np.random.default_rng(0).normal(size=(80, 6))
    y = (X[:, 0] > 0).astype(int)
    network = estimator((12, 8), pruning_rate=0.5, max_epochs=5, random_state=0).fit(X, y)
    assert network.layer_sizes_ == [6, 4]
    explainer = explainer(network).fit(X)
    P = product(weights(network.module_))
    expected = {
        "PWP": X[:, :, None] * np.abs(P),
        "Olden": P[None].repeat(len(X), axis=0),
        "Garson": naive_garson(weights(network.module_), "product")[None].repeat(len(X), axis=0),
    }[explainer.method]
    np.testing.assert_allclose(explainer.explain(X).values, expected, atol=1e-12)


# --- interactions -------------------------------------------------------------------------------


def naive_strengths(matrices, output=None, X=None):
    """Strength of every pair of inputs, by its definition."""
    first, rest = np.abs(matrices[0]), np.abs(product(matrices[1:]))
    rest = rest.sum(1) if output is None else rest[:, output]
    strengths = sum(np.minimum.outer(w, w) * r for w, r in zip(first.T, rest, strict=True))
    if X is not None:
        strengths = strengths * np.abs(X[:, :, None] * X[:, None]).mean(0)
    return strengths


def naive_pairs(strengths, names):
    first, second = np.triu_indices(len(strengths), 1)
    order = np.argsort(-strengths[first, second], kind="stable")
    return pd.DataFrame(
        {
            "feature_1": np.asarray(names, dtype=object)[first[order]],
            "feature_2": np.asarray(names, dtype=object)[second[order]],
            "strength": strengths[first, second][order],
        }
    )


def assert_same_pairs(found, expected):
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("personal", [False, True])
@pytest.mark.parametrize("target", [None, 0, 2])
def test_interactions_rank_all_pairs(target, personal):
    module = dense([7, 5, 4, 3])
    X = sample(module, 9)
    explainer = PWPExplainer(module).fit(X)
    strengths = naive_strengths(weights(module), target, X if personal else None)
    expected = naive_pairs(strengths, [f"x{i}" for i in range(7)])
    found = explainer.interactions(X if personal else None, top=100, target=target)
    assert len(found) == 21  # no more than there are
    assert_same_pairs(found, expected)
    assert_same_pairs(explainer.interactions(X if personal else None, 4, target), expected[:4])


def test_interactions_in_many_blocks_agree_with_one():
    # More columns than fit into one block of the ranking, and neurons enough to leave no ties.
    module = dense([1500, 12, 2])
    explainer = PWPExplainer(module).fit(sample(module, 3))
    expected = naive_pairs(naive_strengths(weights(module)), [f"x{i}" for i in range(1500)])
    assert_same_pairs(explainer.interactions(top=30), expected[:30])


@pytest.fixture(scope="module")
def mixed():
    """A table with a column of three categories, one of two and two of numbers, and labels."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "age": rng.normal(60, 9, 80),
            "ward": rng.choice(["a", "b", "c"], 80),
            "dose": rng.normal(size=80),
            "sex": rng.choice(["f", "m"], 80),
        }
    )
    return table, np.where(table["age"] + 9 * (table["ward"] == "a") > 60, "ill", "well")


@pytest.mark.parametrize("personal", [False, True])
@pytest.mark.parametrize("target", [None, "well"])
def test_interactions_between_columns_sum_over_what_these_became(mixed, target, personal):
    table, y = mixed
    pipeline = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(), ["ward", "sex"]), (StandardScaler(), ["age", "dose"])
        ),
        TorchMLPClassifier((6, 4), max_epochs=3, random_state=0),
    ).fit(table, y)
    prepared = pipeline[:-1].transform(table)
    output = None if target is None else 1
    strengths = naive_strengths(
        weights(pipeline[-1].module_), output, prepared if personal else None
    )
    columns = {"age": [5], "ward": [0, 1, 2], "dose": [6], "sex": [3, 4]}
    summed = np.array(
        [[strengths[np.ix_(a, b)].sum() for b in columns.values()] for a in columns.values()]
    )
    X = table if personal else None
    found = PWPExplainer(pipeline).fit(table).interactions(X, target=target)
    assert_same_pairs(found, naive_pairs(summed, list(columns)))
    apart = PWPExplainer(pipeline, columns="transformed").fit(table)
    names = pipeline[:-1].get_feature_names_out()
    assert_same_pairs(apart.interactions(X, top=100, target=target), naive_pairs(strengths, names))


def test_interactions_leave_out_columns_that_the_network_does_not_see(mixed):
    table, y = mixed
    numbers = table[["age", "dose"]].assign(noise=0.0, weight=table["age"] ** 2)
    select = VarianceThreshold().fit(numbers)
    kept = list(select.get_feature_names_out())
    assert kept == ["age", "dose", "weight"]
    pipeline = make_pipeline(
        select, StandardScaler(), TorchMLPClassifier((4,), max_epochs=2, random_state=0)
    ).fit(numbers, y)
    found = PWPExplainer(pipeline).fit(numbers).interactions()
    assert_same_pairs(found, naive_pairs(naive_strengths(weights(pipeline[-1].module_)), kept))


def test_interactions_of_products_of_columns_are_shared(mixed):
    table, y = mixed
    numbers = table[["age", "dose"]] / 60
    pipeline = make_pipeline(
        PolynomialFeatures(include_bias=False),
        TorchMLPClassifier((4,), max_epochs=2, random_state=0),
    )
    pairs = PWPExplainer(pipeline).fit(numbers, y).interactions()
    assert pairs[["feature_1", "feature_2"]].to_numpy().tolist() == [["age", "dose"]]


def test_interactions_of_one_logit_are_those_of_both_classes():
    X = sample(dense([4, 3]), 40)
    y = np.where(X[:, 0] > 0, "ill", "well")
    network = MLPClassifier((5,), max_iter=3000, tol=0.1, random_state=0).fit(X, y)
    explainer = PWPExplainer(network).fit(X)
    expected = naive_pairs(naive_strengths(network.coefs_), [f"x{i}" for i in range(4)])
    for target in (None, "ill", "well"):
        assert_same_pairs(explainer.interactions(target=target), expected)


def test_interactions_that_cannot_be(mixed, monkeypatch):
    table, y = mixed
    module = dense([4, 3, 2])
    X = sample(module)
    explainer = PWPExplainer(module)
    with pytest.raises(NotFittedError):
        explainer.interactions()
    explainer.fit(X)
    for top in (0, -1, 2.5, "all", None):
        with pytest.raises(ValueError, match=rf"top={top!r} must be an integer of at least 1"):
            explainer.interactions(top=top)
    with pytest.raises(ValueError, match=r"target=2 is not an output"):
        explainer.interactions(target=2)
    with pytest.raises(ValueError, match="5 features"):
        explainer.interactions(np.ones((2, 5)))
    images = np.ones((2, 1, 6, 6), dtype=np.float32)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2))
    with pytest.raises(UnsupportedModuleError, match="Interactions are read from a first"):
        PWPExplainer(network).fit(images).interactions()
    monkeypatch.setattr(weight_product, "_MOST_COLUMNS", 3)
    pipeline = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["ward"]), remainder="passthrough"),
        TorchMLPClassifier((4,), max_epochs=1, random_state=0),
    )
    numbers = table.assign(sex=table["sex"] == "f")
    with pytest.raises(ValueError, match=r"4 columns.*at most 3.*columns='transformed'"):
        PWPExplainer(pipeline).fit(numbers, y).interactions()
