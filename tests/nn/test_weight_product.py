"""Weight products against naive loops and against the linear network inside each network."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sknninterp.nn import weight_product as module_under_test
from sknninterp.nn.graph import read
from sknninterp.nn.mlp import MLP
from sknninterp.nn.nodes import MaxPool, UnsupportedModuleError
from sknninterp.nn.weight_product import (
    GARSON_VARIANTS,
    garson,
    interaction_matrix,
    interactions,
    personalized_product,
    weight_product,
)

sizes = st.lists(st.integers(1, 5), min_size=2, max_size=5)


def mlp(widths, seed=0, activation="relu", bias=True):
    """A network of these widths in double precision, with normal weights."""
    torch.manual_seed(seed)
    module = MLP(widths[0], widths[-1], widths[1:-1], activation).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter)
        if parameter.ndim == 1 and not bias:
            nn.init.zeros_(parameter)
    return module


def weights_of(module):
    """W_1 ... W_N as arrays of shape (n_in, n_out)."""
    return [p.detach().numpy().T for p in module.parameters() if p.ndim == 2]


def chain(*weights):
    """A network of given weights (n_in, n_out)."""
    layers = []
    for weight in weights:
        weight = torch.as_tensor(weight, dtype=torch.float64)
        layer = nn.Linear(*weight.shape, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(weight.T)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def graph_of(module, shape=None):
    if shape is None:
        shape = (next(p for p in module.parameters() if p.ndim == 2).shape[1],)
    return read(module, shape)


# --- naive re-implementations -------------------------------------------------------------------


def naive_product(matrices):
    """Product of matrices, term by term: one product of weights for every path."""
    n_in, n_out = matrices[0].shape[0], matrices[-1].shape[1]
    product = np.zeros((n_in, n_out))
    hidden = [range(m.shape[1]) for m in matrices[:-1]]
    for i, c in itertools.product(range(n_in), range(n_out)):
        for path in itertools.product(*hidden):
            places = [i, *path, c]
            product[i, c] += math.prod(
                m[a, b] for m, a, b in zip(matrices, places, places[1:], strict=False)
            )
    return product


def naive_garson(matrices, variant):
    """Importances (n_in, n_out) of a chain of matrices, by loops over neurons."""
    if variant == "product":
        scores = naive_product([np.abs(m) for m in matrices])
    else:
        scores = np.abs(matrices[-1])
        if variant == "goh1995":
            scores = np.ones_like(scores)
        for matrix in reversed(matrices[:-1]):
            before = np.zeros((matrix.shape[0], scores.shape[1]))
            for h in range(matrix.shape[1]):
                total = np.abs(matrix[:, h]).sum()
                for i in range(matrix.shape[0]):
                    share = abs(matrix[i, h]) / total if total else 0.0
                    before[i] += share * scores[h]
            scores = before
    return scores / scores.sum(0)


class Linearised(TorchFunctionMode):
    """Runs a module without biases and activations, max pools averaging: the product's meaning."""

    ROUTES = {
        "relu",
        "relu_",
        "sigmoid",
        "tanh",
        "gelu",
        "softmax",
        "log_softmax",
        "dropout",
    }

    def __init__(self, absolute):
        super().__init__()
        self.absolute = absolute

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if name in self.ROUTES:
            return args[0]
        if name in ("linear", "conv1d", "conv2d"):
            bias = [None] if len(args) > 2 else []
            return func(
                args[0],
                self.weight(args[1]),
                *bias,
                *args[3:],
                **{**kwargs, "bias": None} if not bias else kwargs,
            )
        if name == "batch_norm":
            x, mean, variance = args
            return F.batch_norm(
                x,
                torch.zeros_like(mean),
                variance,
                eps=kwargs["eps"],
                weight=None if kwargs["weight"] is None else self.weight(kwargs["weight"]),
            )
        if "max_pool" in name:
            allowed = ("stride", "padding", "ceil_mode")
            average = getattr(F, name.replace("max", "avg"))
            return average(*args, **{k: v for k, v in kwargs.items() if k in allowed})
        return func(*args, **kwargs)

    def weight(self, tensor):
        return tensor.abs() if self.absolute else tensor


def linear_network(module, shape, absolute=False):
    """Matrix of the linear network inside a module, (n_outputs, *shape), input by input."""
    basis = torch.eye(math.prod(shape), dtype=torch.float64).reshape(-1, *shape)
    with torch.no_grad(), Linearised(absolute):
        columns = module.eval()(basis)
    return columns.reshape(len(basis), -1).T.reshape(-1, *shape)


# --- the product --------------------------------------------------------------------------------


@given(sizes, st.integers(0, 1000))
def test_product_of_an_mlp_is_the_sum_over_paths(widths, seed):
    module = mlp(widths, seed)
    found = weight_product(graph_of(module))
    np.testing.assert_allclose(found.numpy().T, naive_product(weights_of(module)), atol=1e-12)
    found = weight_product(graph_of(module), absolute=True)
    expected = naive_product([np.abs(w) for w in weights_of(module)])
    np.testing.assert_allclose(found.numpy().T, expected)


@pytest.mark.parametrize("absolute", [False, True])
def test_product_of_every_network_is_its_linear_part(case, absolute):
    module = case.network()
    graph = read(module, case.shape)
    found = weight_product(graph, absolute, max_pool="average")
    assert found.shape[1:] == case.shape
    torch.testing.assert_close(found, linear_network(module, case.shape, absolute))
    assert not found.requires_grad


@given(sizes, st.integers(0, 1000))
def test_signed_contributions_sum_to_the_logits_of_a_linear_network(widths, seed):
    module = mlp(widths, seed, bias=False)
    linear = nn.Sequential(*[m for m in module if isinstance(m, nn.Linear)], nn.Softmax(1))
    x = torch.randn(6, widths[0], dtype=torch.float64)
    phi = personalized_product(x, weight_product(graph_of(linear)), signed=True)
    assert phi.shape == (6, widths[0], widths[-1])
    torch.testing.assert_close(phi.sum(1), linear[:-1](x))


def test_signed_contributions_sum_to_the_logits_of_a_linear_convolution():
    module = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, bias=False),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(12, 2, bias=False),
    ).double()
    x = torch.randn(5, 2, 4, 4, dtype=torch.float64)
    phi = personalized_product(x, weight_product(read(module, (2, 4, 4))), signed=True)
    assert phi.shape == (5, 2, 4, 4, 2)
    torch.testing.assert_close(phi.sum((1, 2, 3)), module(x))


def test_contributions_are_the_summands_of_the_published_product():
    product = weight_product(graph_of(mlp([3, 4, 2])))
    x = torch.randn(5, 3, dtype=torch.float64)
    phi = personalized_product(x, product)
    for n, i, c in itertools.product(range(5), range(3), range(2)):
        assert phi[n, i, c] == x[n, i] * abs(product[c, i])
    torch.testing.assert_close(phi.sum(1), x @ product.abs().T)


def test_an_input_of_zero_contributes_zero():
    product = weight_product(graph_of(mlp([3, 4, 2])))
    x = torch.randn(5, 3, dtype=torch.float64)
    x[:, 1] = 0.0
    for signed in (False, True):
        phi = personalized_product(x, product, signed)
        assert (phi[:, 1] == 0).all()
        assert (phi[:, [0, 2]] != 0).all()


@given(sizes.filter(lambda w: len(w) > 2), st.integers(0, 1000), st.data())
def test_a_rescaled_relu_neuron_changes_neither_product_nor_garson(widths, seed, data):
    module = mlp(widths, seed)
    graph = graph_of(module)
    x = torch.randn(4, widths[0], dtype=torch.float64)
    before = weight_product(graph), garson(graph), module(x).detach()
    layer = data.draw(st.integers(0, len(widths) - 3))
    neuron = data.draw(st.integers(0, widths[layer + 1] - 1))
    factor = data.draw(st.floats(0.1, 10))
    into, out_of = [m for m in module if isinstance(m, nn.Linear)][layer : layer + 2]
    with torch.no_grad():
        into.weight[neuron] *= factor
        into.bias[neuron] *= factor
        out_of.weight[:, neuron] /= factor
    after = weight_product(graph), garson(graph), module(x).detach()
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b)


def test_a_rescaled_neuron_changes_garson1991():
    module = chain([[1.0, 2.0], [3.0, 1.0]], [[1.0], [1.0]])
    before = garson(graph_of(module), "garson1991")
    with torch.no_grad():
        module[0].weight[0] *= 10.0
        module[2].weight[:, 0] /= 10.0
    assert not torch.allclose(garson(graph_of(module), "garson1991"), before)


def test_opposite_paths_cancel_in_the_product_but_not_in_garson():
    module = chain([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [[2.0], [-2.0], [1.0]])
    graph = graph_of(module)
    assert weight_product(graph).tolist() == [[0.0, 1.0]]
    assert weight_product(graph, absolute=True).tolist() == [[4.0, 1.0]]
    torch.testing.assert_close(garson(graph), torch.tensor([[0.8, 0.2]], dtype=torch.float64))


@given(sizes.filter(lambda w: len(w) > 2), st.integers(0, 1000), st.randoms())
def test_permuted_features_permute_everything(widths, seed, random):
    module = mlp(widths, seed)
    order = list(range(widths[0]))
    random.shuffle(order)
    permuted = mlp(widths, seed)
    with torch.no_grad():
        permuted[0].weight.copy_(module[0].weight[:, order])
    one, other = graph_of(module), graph_of(permuted)
    torch.testing.assert_close(weight_product(other), weight_product(one)[:, order])
    for variant in GARSON_VARIANTS:
        torch.testing.assert_close(garson(other, variant), garson(one, variant)[:, order])
    strengths = {frozenset(pair[:2]): pair[2] for pair in interactions(one, 100)}
    for i, j, strength in interactions(other, 100):
        assert strength == pytest.approx(strengths[frozenset((order[i], order[j]))])


def test_biases_and_the_closing_softmax_play_no_part():
    module = mlp([3, 4, 2])
    expected = weight_product(graph_of(module))
    nn.init.constant_(module.hidden0.bias, 7.0)
    for closing in (nn.Softmax(1), nn.LogSoftmax(1), nn.Sigmoid()):
        found = weight_product(graph_of(nn.Sequential(module, closing)))
        assert torch.equal(found, expected)


def test_batch_norm_counts_as_the_scale_it_folds_to():
    module = MLP(3, 2, (4,), batch_norm=True).double()
    norm = module.norm0
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(tensor)
    nn.init.uniform_(norm.running_var, 0.5, 2.0)
    folded = MLP(3, 2, (4,)).double()
    with torch.no_grad():
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        folded.hidden0.weight.copy_(scale[:, None] * module.hidden0.weight)
        folded.hidden0.bias.copy_(scale * (module.hidden0.bias - norm.running_mean) + norm.bias)
        folded.output.load_state_dict(module.output.state_dict())
    x = torch.randn(4, 3, dtype=torch.float64)
    torch.testing.assert_close(module.eval()(x), folded(x))
    one, other = graph_of(module), graph_of(folded)
    torch.testing.assert_close(weight_product(one), weight_product(other))
    for variant in GARSON_VARIANTS:
        torch.testing.assert_close(garson(one, variant), garson(other, variant))
    assert [p[:2] for p in interactions(one)] == [p[:2] for p in interactions(other)]


def test_the_product_is_made_from_the_side_of_the_outputs():
    graph = graph_of(MLP(500, 2, (10, 400)))
    largest = LargestTensor()
    with largest:
        weight_product(graph)
    assert largest.numel <= 500 * 10  # the first weight; W_1 W_2 would be 500 x 400


def test_precision_is_that_of_the_network():
    assert weight_product(graph_of(MLP(3, 2, (4,)))).dtype == torch.float32
    assert garson(graph_of(MLP(3, 2, (4,)).double()), "goh1995").dtype == torch.float64


# --- what has no product ------------------------------------------------------------------------


def pooled(pool):
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), pool, nn.Flatten(), nn.Linear(8, 2))


POOLED = pooled(nn.MaxPool2d(2))
DILATED = pooled(nn.MaxPool2d(2, stride=1, dilation=2))


@pytest.mark.parametrize(
    "compute",
    [
        weight_product,
        *(
            lambda graph, variant=variant, **options: garson(graph, variant, **options)
            for variant in GARSON_VARIANTS
        ),
    ],
)
def test_max_pooling_needs_a_word(compute):
    with pytest.raises(UnsupportedModuleError, match=r"Max pooling at '2' .* max_pool='average'"):
        compute(read(POOLED, (1, 6, 6)))
    assert compute(read(POOLED, (1, 6, 6)), max_pool="average").shape == (2, 1, 6, 6)
    with pytest.raises(UnsupportedModuleError, match=r"Max pooling at '2' .*undilated only"):
        compute(read(DILATED, (1, 6, 6)), max_pool="average")
    with pytest.raises(ValueError, match="max_pool='mean' is neither 'error' nor 'average'"):
        compute(read(POOLED, (1, 6, 6)), max_pool="mean")


def test_averaged_max_pools_count_as_average_pools():
    averaged = pooled(nn.AvgPool2d(2))
    averaged.load_state_dict(POOLED.state_dict())
    assert any(isinstance(node, MaxPool) for node in read(POOLED, (1, 6, 6)).nodes)
    torch.testing.assert_close(
        weight_product(read(POOLED, (1, 6, 6)), max_pool="average"),
        weight_product(read(averaged, (1, 6, 6))),
    )


def test_outputs_with_positions_are_refused():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    with pytest.raises(UnsupportedModuleError, match=r"outputs have shape \(2, 4, 4\)"):
        weight_product(read(module, (1, 6, 6)))


# --- Garson -------------------------------------------------------------------------------------


@given(sizes.filter(lambda w: len(w) > 2), st.integers(0, 1000))
def test_garson_of_an_mlp(widths, seed):
    module = mlp(widths, seed)
    for variant in GARSON_VARIANTS:
        found = garson(graph_of(module), variant).numpy()
        np.testing.assert_allclose(found.T, naive_garson(weights_of(module), variant))
        np.testing.assert_allclose(found.sum(1), 1.0)


@pytest.mark.parametrize(
    ("variant", "shares"),
    [
        ("product", [0.8136, 0.1864]),
        ("garson1991", [0.6837, 0.3163]),
        ("goh1995", [0.7229, 0.2771]),
    ],
)
def test_garson_of_the_published_example(variant, shares):
    module = chain([[1.49, -0.19], [0.16, -0.16]], [[-0.52], [0.81]])
    found = garson(graph_of(module), variant)
    np.testing.assert_allclose(found[0].numpy(), shares, atol=5e-5)


def test_goh1995_does_not_depend_on_the_output_weights():
    module = mlp([4, 5, 3])
    before = garson(graph_of(module), "goh1995")
    nn.init.normal_(module.output.weight)
    assert torch.equal(garson(graph_of(module), "goh1995"), before)
    assert torch.equal(before, before[:1].expand_as(before))


def test_garson_of_a_convolutional_chain():
    module = (
        nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1),
            nn.BatchNorm2d(2),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(2, 3, 2),
            nn.ReLU(),
            nn.BatchNorm2d(3),
            nn.Flatten(),
            nn.Linear(3, 4),
            nn.ReLU(),
            nn.Linear(4, 2),
        )
        .double()
        .eval()
    )
    for norm in (module[1], module[6]):
        nn.init.normal_(norm.weight)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
    # The linear maps between the activations, as matrices of magnitudes.
    shapes = [(1, 4, 4), (2, 4, 4), (3, 1, 1), (4,)]
    parts = [module[:3], module[3:6], module[6:10], module[10:]]
    matrices = [
        linear_network(part, shape, absolute=True).flatten(1).T.numpy()
        for part, shape in zip(parts, shapes, strict=True)
    ]
    graph = read(module, (1, 4, 4))
    for variant in GARSON_VARIANTS:
        found = garson(graph, variant).flatten(1).numpy().T
        np.testing.assert_allclose(found, naive_garson(matrices, variant))


def test_a_neuron_without_input_weights_has_no_shares_to_give():
    module = chain([[0.0, 1.0], [0.0, 3.0]], [[5.0], [2.0]])
    for variant in GARSON_VARIANTS:
        assert garson(graph_of(module), variant).tolist() == [[0.25, 0.75]]
    dead = chain([[0.0], [0.0]], [[5.0]])
    for variant in GARSON_VARIANTS:
        assert garson(graph_of(dead), variant).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("variant", ["garson1991", "goh1995"])
@pytest.mark.parametrize("network", ["residual", "dense"])
def test_shares_are_defined_for_chains_only(named_case, network, variant):
    case = named_case(network)
    graph = read(case.network(), case.shape)
    with pytest.raises(UnsupportedModuleError, match=rf"variant='{variant}'.*(add|cat)"):
        garson(graph, variant)
    np.testing.assert_allclose(garson(graph).flatten(1).sum(1).numpy(), 1.0)


@pytest.mark.parametrize("variant", ["garson1991", "goh1995"])
def test_shares_need_a_hidden_layer(variant):
    with pytest.raises(UnsupportedModuleError, match="no hidden layer"):
        garson(graph_of(MLP(3, 2, ())), variant)


def test_an_unknown_variant_is_named():
    with pytest.raises(ValueError, match="variant='garson' is not one of"):
        garson(graph_of(MLP(3, 2, (4,))), "garson")


# --- interactions -------------------------------------------------------------------------------


def naive_strengths(module, output=None, x=None):
    """The d x d matrix of strengths, by loops."""
    first, *others = weights_of(module)
    rest = np.abs(naive_product(others))
    rest = rest.sum(1) if output is None else rest[:, output]
    d = len(first)
    strengths = np.zeros((d, d))
    for i, j in itertools.product(range(d), range(d)):
        for h in range(first.shape[1]):
            strengths[i, j] += rest[h] * min(abs(first[i, h]), abs(first[j, h]))
        if x is not None:
            strengths[i, j] *= np.mean([abs(row[i] * row[j]) for row in x.tolist()])
    return strengths


def naive_top(strengths, top):
    pairs = [(i, j, strengths[i, j]) for i, j in itertools.combinations(range(len(strengths)), 2)]
    return sorted(pairs, key=lambda pair: -pair[2])[:top]


def check_top(found, expected):
    """The same strengths in falling order, each that of its pair."""
    np.testing.assert_allclose([p[2] for p in found], [p[2] for p in expected], atol=1e-12)
    assert all(i < j for i, j, _ in found)
    assert len({pair[:2] for pair in found}) == len(found)


@given(
    widths=st.lists(st.integers(1, 4), min_size=2, max_size=4).map(lambda w: [w[0] + 5, *w]),
    seed=st.integers(0, 1000),
    block=st.integers(1, 12),
    top=st.integers(1, 60),
    personal=st.booleans(),
    of_one=st.booleans(),
)
def test_interactions_are_the_largest_of_the_naive_matrix(
    widths, seed, block, top, personal, of_one
):
    module = mlp(widths, seed)
    x = torch.randn(7, widths[0], dtype=torch.float64) if personal else None
    output = widths[-1] - 1 if of_one else None
    strengths = naive_strengths(module, output, x)
    found = interactions(graph_of(module), top, output, x, block)
    check_top(found, naive_top(strengths, top))
    for i, j, strength in found:
        assert strength == pytest.approx(strengths[i, j], abs=1e-12)


def test_tied_pairs_come_in_the_order_of_their_features():
    module = chain(np.ones((5, 2)), [[1.0], [2.0]])
    found = interactions(graph_of(module), 100, block=2)
    assert found == [(i, j, 3.0) for i, j in itertools.combinations(range(5), 2)]
    check_top(interactions(graph_of(module), 4, block=2), [(0, 0, 3.0)] * 4)


def test_features_without_weights_or_values_interact_with_strength_zero():
    first = np.ones((4, 2))
    first[1] = 0.0
    module = chain(first, [[1.0], [2.0]])
    x = torch.ones(3, 4, dtype=torch.float64)
    x[:, 3] = 0.0
    found = {pair[:2]: pair[2] for pair in interactions(graph_of(module), 6, x=x)}
    assert found == {(0, 2): 3.0, (0, 1): 0, (0, 3): 0, (1, 2): 0, (1, 3): 0, (2, 3): 0}


def test_one_feature_has_no_pairs():
    assert interactions(graph_of(mlp([1, 3, 2]))) == []


def test_dropout_and_flatten_before_the_first_layer_change_nothing():
    module = mlp([6, 4, 2])
    wrapped = nn.Sequential(nn.Dropout(0.2), nn.Flatten(), module)
    assert interactions(read(wrapped, (6,))) == interactions(graph_of(module))


def test_single_precision_ranks_as_double_does():
    module = mlp([40, 8, 3])
    x = torch.randn(20, 40)
    expected = interactions(graph_of(module), 10, x=x.double())
    found = interactions(graph_of(module.float()), 10, x=x)
    assert [p[:2] for p in found] == [p[:2] for p in expected]
    np.testing.assert_allclose([p[2] for p in found], [p[2] for p in expected], rtol=1e-5)


class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide, self.deep, self.head = nn.Linear(4, 2), nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, x):
        return self.wide(x) + self.head(torch.relu(self.deep(x)))


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (POOLED, (1, 6, 6)),
        (MLP(4, 2, ()), (4,)),  # a linear model joins nothing
        (Wide(), (4,)),
        (nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), (4,)),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), (1, 2, 2)),
    ],
)
def test_interactions_are_read_from_one_linear_hidden_layer(module, shape):
    with pytest.raises(
        UnsupportedModuleError, match="first layer that is linear, hidden and alone"
    ):
        interactions(read(module, shape))


def test_at_least_one_pair_is_asked_for():
    with pytest.raises(ValueError, match="top=0 must be at least 1"):
        interactions(graph_of(mlp([3, 4, 2])), top=0)


class LargestTensor(TorchDispatchMode):
    """Remembers the largest tensor that any operation inside it makes."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor):
                self.numel = max(
                    self.numel, value.untyped_storage().nbytes() // value.element_size()
                )
        return result


@pytest.mark.parametrize("personal", [False, True])
def test_interactions_of_thousands_of_features_never_hold_all_pairs(personal):
    n, n_hidden, block = 4_000, 4, 256
    module = mlp([n, n_hidden, 2])
    x = torch.randn(5, n, dtype=torch.float64) if personal else None
    graph = graph_of(module)
    largest = LargestTensor()
    with largest:
        found = interactions(graph, 10, x=x, block=block)
    assert len(found) == 10
    assert largest.numel <= max(block**2, n * n_hidden, 5 * n)
    # The strongest pair, found the other way: row by row.
    weights = torch.from_numpy(weights_of(module)[0]).abs()
    rest = torch.from_numpy(np.abs(naive_product(weights_of(module)[1:])).sum(1))
    scaled = weights * rest
    best = 0.0
    for i in range(0, n, 40):
        strength = torch.minimum(scaled[i : i + 40, None], scaled[None]).sum(2)
        if personal:
            strength *= (x[:, i : i + 40].abs().T @ x.abs()) / 5
        strength[torch.arange(len(strength)), torch.arange(i, i + len(strength))] = 0
        best = max(best, strength.max().item())
    assert found[0][2] == pytest.approx(best)


def test_blocks_that_cannot_hold_a_strong_pair_are_skipped(monkeypatch):
    first = np.full((40, 2), 1e-3)
    first[:4] = 1.0
    module = chain(first, [[1.0], [1.0]])
    seen = []
    whole = module_under_test._block_strength

    def counted(weights, sums, rows, columns):
        seen.append((rows, columns))
        return whole(weights, sums, rows, columns)

    monkeypatch.setattr(module_under_test, "_block_strength", counted)
    check_top(interactions(graph_of(module), 6, block=4), [(0, 0, 2.0)] * 6)
    assert len(seen) == 1  # of 55


# --- interactions of columns --------------------------------------------------------------------


@given(
    n=st.integers(2, 9),
    n_columns=st.integers(1, 4),
    block=st.integers(1, 10),
    seed=st.integers(0, 1000),
    personal=st.booleans(),
    one_column_each=st.booleans(),
)
def test_interaction_matrix_sums_over_the_inputs_of_both_columns(
    n, n_columns, block, seed, personal, one_column_each
):
    module = mlp([n, 3, 2], seed)
    rng = np.random.default_rng(seed)
    if one_column_each:
        origins = np.eye(n_columns)[rng.integers(0, n_columns, n)]
    else:
        origins = rng.uniform(0, 1, (n, n_columns)) * (rng.uniform(size=(n, n_columns)) < 0.6)
    x = torch.randn(5, n, dtype=torch.float64) if personal else None
    strengths = naive_strengths(module, 1, x)
    expected = np.zeros((n_columns, n_columns))
    for a, b in itertools.permutations(range(n_columns), 2):
        for i, j in itertools.product(range(n), range(n)):
            expected[a, b] += origins[i, a] * origins[j, b] * strengths[i, j]
    found = interaction_matrix(graph_of(module), sparse.csr_matrix(origins), 1, x, block)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(found.numpy(), found.numpy().T, atol=1e-12)


def test_interaction_matrix_of_single_columns_equals_the_interactions():
    module = mlp([12, 5, 3]).float()
    x = torch.randn(9, 12)
    matrix = interaction_matrix(graph_of(module), sparse.csc_array(np.eye(12)), None, x, block=5)
    for i, j, strength in interactions(graph_of(module), 66, x=x):
        assert matrix[i, j].item() == pytest.approx(strength)
