"""The machines: their maps in both directions, samples, energies, first parameters."""

from __future__ import annotations

import copy
import gc
import itertools
import math
import pickle
import weakref

import numpy as np
import pytest
import torch
from sklearn.neural_network import BernoulliRBM
from torch import nn

from sknninterp.nn.graph import read
from sknninterp.nn.rbm import ConvRBM, DenseRBM
from sknninterp.nn.units import unit_of

CONVOLUTIONS = {
    "1d": (lambda: nn.Conv1d(2, 3, 3, padding=1), (2, 5)),
    "1d-stride-left-over": (lambda: nn.Conv1d(1, 2, 2, stride=3), (1, 7)),
    "1d-same": (lambda: nn.Conv1d(2, 2, 4, padding="same"), (2, 6)),
    "2d": (lambda: nn.Conv2d(2, 3, (2, 3), stride=(2, 1), padding=(0, 1)), (2, 5, 4)),
    "2d-groups": (lambda: nn.Conv2d(4, 2, 2, groups=2, dilation=(2, 1)), (4, 3, 3)),
}
same_padding = pytest.mark.filterwarnings("ignore:Using padding='same'")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def dense(visible="bernoulli", hidden="bernoulli", n_visible=5, n_hidden=3):
    rbm = DenseRBM(n_visible, n_hidden, visible, hidden, generator=seeded(), dtype=torch.float64)
    with torch.no_grad():
        for bias in (rbm.bias_hidden, rbm.bias_visible):
            bias.copy_(torch.randn(bias.shape, generator=seeded(1)))
    return rbm


def conv(name, visible="bernoulli", hidden="bernoulli"):
    make, shape = CONVOLUTIONS[name]
    rbm = ConvRBM(read(make().double(), shape).layers[0].weighted, visible, hidden)
    with torch.no_grad():
        for bias in (rbm.bias_hidden, rbm.bias_visible):
            bias.copy_(torch.randn(bias.shape, generator=seeded(1)))
    return rbm, torch.bernoulli(
        torch.full((3, *shape), 0.5, dtype=torch.float64), generator=seeded(2)
    )


def bits(n, n_visible=5):
    return torch.bernoulli(
        torch.full((n, n_visible), 0.5, dtype=torch.float64), generator=seeded(3)
    )


# --- maps ---------------------------------------------------------------------------------------


def test_means_are_those_of_scikit_learn():
    rbm, v = dense(), bits(6)
    theirs = as_scikit_learn(rbm)
    np.testing.assert_allclose(rbm.hidden(v).detach(), theirs._mean_hiddens(v.numpy()), atol=1e-14)
    h = bits(6, 3)
    s_v = h.numpy() @ theirs.components_ + theirs.intercept_visible_
    np.testing.assert_allclose(rbm.visible(h).detach(), 1 / (1 + np.exp(-s_v)), atol=1e-14)
    assert torch.equal(rbm(v), rbm.hidden(v))


@pytest.mark.parametrize(("visible", "hidden"), [("relu", "tanh"), ("tanh", "linear")], ids=str)
def test_each_layer_has_its_own_kind_of_unit(visible, hidden):
    functions = {"relu": torch.relu, "tanh": torch.tanh, "linear": lambda s: s}
    rbm, v = dense(visible, hidden), bits(4)
    s_h = v @ rbm.weight.T + rbm.bias_hidden
    assert torch.allclose(rbm.hidden(v), functions[hidden](s_h), atol=1e-14)
    s_v = s_h @ rbm.weight + rbm.bias_visible
    assert torch.allclose(rbm.visible(s_h), functions[visible](s_v), atol=1e-14)


@same_padding
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_is_its_literal_matrix_and_back_its_transpose(name, literal):
    rbm, v = conv(name, "linear", "linear")
    node, shape = rbm.node, rbm.node.inputs[0].shape
    weight = rbm.weight.detach().numpy()
    matrix, out = literal.convolution(weight, shape, **node.options, groups=node.groups)
    b_h, b_v = (
        np.repeat(bias.detach().numpy(), math.prod(sizes[1:]))
        for bias, sizes in ((rbm.bias_hidden, out), (rbm.bias_visible, shape))
    )
    h = rbm.hidden(v).detach()
    expected = v.flatten(1).numpy() @ matrix.T + b_h
    np.testing.assert_allclose(h.flatten(1), expected, atol=1e-12)
    back = rbm.visible(h).detach()
    assert back.shape == v.shape
    np.testing.assert_allclose(back.flatten(1), expected @ matrix + b_v, atol=1e-12)


@same_padding
def test_convolutional_machine_has_parameters_of_its_own():
    layer = nn.Conv1d(2, 3, 3)
    before = [p.detach().clone() for p in layer.parameters()]
    rbm = ConvRBM(read(layer, (2, 5)).layers[0].weighted)
    assert rbm.weight.shape == layer.weight.shape
    assert not torch.equal(rbm.weight, layer.weight)
    with torch.no_grad():
        for p in rbm.parameters():
            p.zero_()
    assert all(torch.equal(a, b) for a, b in zip(before, layer.parameters(), strict=True))
    assert [name for name, _ in rbm.named_parameters()] == ["weight", "bias_hidden", "bias_visible"]


def test_only_a_convolution_makes_a_convolutional_machine():
    node = read(nn.Linear(4, 2), (4,)).layers[0].weighted
    with pytest.raises(TypeError, match="node must be a convolution's node, not Linear"):
        ConvRBM(node)


# --- samples ------------------------------------------------------------------------------------


def test_gibbs_samples_both_layers():
    """Its distribution, from one start, against the sum over all hidden states."""
    rbm = dense(n_visible=3, n_hidden=2)
    v, n = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64), 40_000
    drawn = rbm.gibbs(v.expand(n, -1), seeded())
    assert drawn.unique().tolist() == [0.0, 1.0]
    p_h, expected = rbm.hidden(v[None])[0], torch.zeros(8, dtype=torch.float64)
    for h in itertools.product((0.0, 1.0), repeat=2):
        chance = math.prod(p if on else 1 - p for p, on in zip(p_h.tolist(), h, strict=True))
        p_v = rbm.visible(torch.tensor([h], dtype=torch.float64))[0].tolist()
        for k, state in enumerate(itertools.product((0, 1), repeat=3)):
            both = zip(p_v, state, strict=True)
            expected[k] += chance * math.prod(p if on else 1 - p for p, on in both)
    codes = (drawn @ torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)).long()
    found = torch.bincount(codes, minlength=8) / n
    assert torch.allclose(found, expected.to(found.dtype), rtol=0, atol=5 * math.sqrt(0.25 / n))


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian", "relu", "tanh"])
def test_gibbs_takes_each_seed_once(visible, global_rng_untouched):
    rbm, v = dense(visible), bits(20)
    one, two, other = (rbm.gibbs(v, seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert not one.requires_grad


@pytest.mark.parametrize(("visible", "hidden"), [("gaussian", "tanh"), ("tanh", "relu")], ids=str)
def test_each_layer_samples_its_own_kind_of_unit(visible, hidden):
    rbm, v = dense(visible, hidden), bits(20)
    s_h = rbm.hidden_input(v)
    h = rbm.sample_hidden(v, seeded())
    assert torch.equal(h, unit_of(hidden).sample(s_h, seeded()))
    found = rbm.sample_visible(h, seeded())
    assert torch.equal(found, unit_of(visible).sample(rbm.visible_input(h), seeded()))


def test_gibbs_keeps_the_shape_of_images():
    rbm, v = conv("2d")
    assert rbm.gibbs(v, seeded()).shape == v.shape


# --- energies -----------------------------------------------------------------------------------


def as_scikit_learn(rbm):
    theirs = BernoulliRBM(n_components=len(rbm.weight))
    theirs.components_ = rbm.weight.detach().numpy()
    theirs.intercept_hidden_ = rbm.bias_hidden.detach().numpy()
    theirs.intercept_visible_ = rbm.bias_visible.detach().numpy()
    return theirs


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian", "linear"])
def test_free_energy_is_the_sum_over_all_hidden_states(visible):
    rbm = dense(visible)
    v = torch.randn(4, 5, generator=seeded(4), dtype=torch.float64)
    weight, b, c = (p.detach().numpy() for p in rbm.parameters())
    for found, x in zip(rbm.free_energy(v).tolist(), v.numpy(), strict=True):
        total = 0.0
        for h in itertools.product((0.0, 1.0), repeat=3):
            own = -(c @ x) if visible == "bernoulli" else ((x - c) ** 2).sum() / 2
            total += math.exp(-(own - b @ h - h @ weight @ x))
        assert found == pytest.approx(-math.log(total), abs=1e-12)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_free_energy_is_that_of_scikit_learn(scale):
    rbm, v = dense(), bits(8)
    with torch.no_grad():
        rbm.weight.mul_(scale)
    expected = as_scikit_learn(rbm)._free_energy(v.numpy())
    np.testing.assert_allclose(rbm.free_energy(v).detach(), expected, rtol=0, atol=1e-12)


def test_free_energy_keeps_what_a_rounded_softplus_loses():
    """log(1 + exp(S)) - S is exp(-S), not 0, at S = 21."""
    rbm = dense(n_visible=1, n_hidden=1)
    with torch.no_grad():
        for p, value in zip(rbm.parameters(), (21.0, 0.0, 0.0), strict=True):
            p.fill_(value)
    found = rbm.free_energy(torch.ones(1, 1, dtype=torch.float64)).item()
    assert found + 21 == pytest.approx(-math.exp(-21), rel=1e-5)


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_free_energy_of_images_is_that_of_the_literal_matrix(visible, literal):
    rbm, v = conv("2d", visible)
    node, shape = rbm.node, rbm.node.inputs[0].shape
    weight = rbm.weight.detach().numpy()
    matrix, out = literal.convolution(weight, shape, **node.options, groups=node.groups)
    flat = DenseRBM(matrix.shape[1], matrix.shape[0], visible, dtype=torch.float64)
    with torch.no_grad():
        flat.weight.copy_(torch.from_numpy(matrix))
        flat.bias_hidden.copy_(rbm.bias_hidden.repeat_interleave(math.prod(out[1:])))
        flat.bias_visible.copy_(rbm.bias_visible.repeat_interleave(math.prod(shape[1:])))
    assert torch.allclose(rbm.free_energy(v), flat.free_energy(v.flatten(1)), atol=1e-12)
    if visible == "bernoulli":
        flips = torch.tensor([0, 7, 39])
        found = rbm.pseudo_likelihood(v, flips=flips)
        expected = flat.pseudo_likelihood(v.flatten(1), flips=flips)
        assert torch.allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("visible", "hidden"),
    [("bernoulli", "gaussian"), ("relu", "bernoulli"), ("tanh", "tanh")],
    ids=str,
)
def test_free_energy_of_other_units_is_refused(visible, hidden):
    rbm = dense(visible, hidden)
    with pytest.raises(ValueError, match=f"not for hidden='{hidden}' with visible='{visible}'"):
        rbm.free_energy(bits(2))


def test_pseudo_likelihood_is_that_of_scikit_learn():
    rbm, v = dense(), bits(9)
    theirs = as_scikit_learn(rbm)
    theirs.n_features_in_, theirs.random_state = 5, 0
    flips = np.random.RandomState(0).randint(0, 5, 9)  # noqa: NPY002 - as they draw them
    found = rbm.pseudo_likelihood(v, flips=torch.from_numpy(flips))
    np.testing.assert_allclose(found, theirs.score_samples(v.numpy()), rtol=0, atol=1e-12)


def test_pseudo_likelihood_flips_one_random_bit_of_each_sample(global_rng_untouched):
    rbm, v = dense(), bits(1).expand(200, -1)
    one, two, other = (rbm.pseudo_likelihood(v, seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    each = [rbm.pseudo_likelihood(v[:1], flips=torch.tensor([i])).item() for i in range(5)]
    assert sorted(one.unique().tolist()) == pytest.approx(sorted(each), abs=1e-12)


def test_pseudo_likelihood_needs_bits():
    with pytest.raises(ValueError, match="visible='bernoulli', not visible='gaussian'"):
        dense("gaussian").pseudo_likelihood(bits(2))
    with pytest.raises(ValueError, match="not for hidden='relu'"):
        dense(hidden="relu").pseudo_likelihood(bits(2))


# --- parameters ---------------------------------------------------------------------------------


def assert_drawn_from(tensor, deviation):
    n = tensor.numel()
    assert tensor.std().item() == pytest.approx(deviation, rel=4 / math.sqrt(2 * n))
    assert tensor.mean().item() == pytest.approx(0, abs=4 * deviation / math.sqrt(n))


def test_first_parameters_have_their_variance():
    rbm = DenseRBM(400, 300, generator=seeded())
    assert rbm.weight.shape == (300, 400)
    assert_drawn_from(rbm.weight, math.sqrt(2 / 400))
    assert_drawn_from(rbm.bias_hidden, 0.01)
    assert_drawn_from(rbm.bias_visible, 0.01)


def test_first_weights_go_by_what_joins_in_a_visible_unit_if_that_is_more():
    assert_drawn_from(DenseRBM(300, 400, generator=seeded()).weight, math.sqrt(2 / 400))


@pytest.mark.parametrize(("n_in", "n_out", "fan"), [(8, 60, 30 * 9), (60, 8, 30 * 9)])
def test_first_weights_of_a_convolution_go_by_channels_of_a_group_and_kernel(n_in, n_out, fan):
    layer = nn.Conv2d(n_in, n_out, 3, groups=2)
    rbm = ConvRBM(read(layer, (n_in, 5, 5)).layers[0].weighted, generator=seeded())
    assert rbm.bias_visible.shape == (n_in,)
    assert_drawn_from(rbm.weight, math.sqrt(2 / fan))


def test_reconstructions_start_no_larger_than_the_data():
    X = torch.rand(200, 10, generator=seeded())
    for n_hidden in (10, 100, 1000):
        rbm = DenseRBM(10, n_hidden, "relu", "relu", generator=seeded(1))
        assert rbm.visible(rbm.hidden(X)).square().mean() < 2 * X.square().mean()


def test_first_parameters_come_from_the_generator(global_rng_untouched):
    one, two, other = (DenseRBM(4, 3, generator=seeded(seed)) for seed in (0, 0, 1))
    for p, q, r in zip(one.parameters(), two.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)
        assert not torch.equal(p, r)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3), "n_visible=0 must be at least 1"),
        ((3, 0), "n_hidden=0 must be at least 1"),
        ((3, 2, "sigmoid"), "visible='sigmoid' is no kind of unit"),
        ((3, 2, "relu", "sigmoid"), "hidden='sigmoid' is no kind of unit"),
    ],
    ids=str,
)
def test_wrong_parameter_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        DenseRBM(*arguments)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"]
)
@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_machine_can_be_copied(kind, copied):
    rbm, v = (dense("relu"), bits(3)) if kind == "dense" else conv("2d", "relu")
    assert torch.equal(copied(rbm).hidden(v), rbm.hidden(v))


COPIED = pytest.mark.parametrize(
    "copied",
    [lambda m: m, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))],
    ids=["itself", "deepcopy", "pickle"],
)


def large_network():
    """Its convolution is a small part of it."""
    stem, conv = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 2, 3, stride=2, padding=1)
    return nn.Sequential(stem, conv, nn.ReLU(), nn.Flatten(), nn.Linear(2 * 16, 5000))


@COPIED
def test_convolutional_machine_does_not_drag_the_network_along(copied):
    network = large_network()
    rbm = copied(ConvRBM(read(network, (1, 8, 8)).layers[1].weighted))
    assert len(pickle.dumps(rbm)) < 20_000 < len(pickle.dumps(network)) / 10
    known = set(map(id, network.parameters())) | {id(network[1])}
    gone = [weakref.ref(network[0]), weakref.ref(network[1]), weakref.ref(network[4].weight)]
    assert known.isdisjoint(map(id, (rbm.weight, rbm.node.owner, rbm.node.weight)))
    del network
    gc.collect()
    assert [ref() for ref in gone] == [None] * 3


@COPIED
def test_convolutional_machines_node_has_the_machines_own_parameters(copied):
    original = ConvRBM(read(large_network(), (1, 8, 8)).layers[1].weighted, generator=seeded())
    rbm = copied(original)
    assert rbm.node.owner is rbm
    assert rbm.node.weight is rbm.weight
    assert rbm.node.key == (rbm, "weight")
    assert rbm.node.options == {"stride": (2, 2), "padding": (1, 1), "dilation": (1, 1)}
    (source,) = rbm.node.inputs
    assert (source.shape, source.inputs, rbm.node.shape) == ((1, 8, 8), (), (2, 4, 4))
    assert [name for name, _ in rbm.named_modules()] == [""]
    v = torch.rand(3, 1, 8, 8, generator=seeded(1))
    before = original.visible(original.hidden(v))
    assert torch.equal(rbm.visible(rbm.hidden(v)), before)
    if rbm is not original:  # each learns alone
        with torch.no_grad():
            rbm.weight.add_(1.0)
        assert torch.equal(original.visible(original.hidden(v)), before)
        assert not torch.equal(rbm.visible(rbm.hidden(v)), before)
    assert rbm.double().hidden(v.double()).dtype == torch.float64


@pytest.mark.parametrize("name", CONVOLUTIONS)
@same_padding
def test_machines_node_maps_as_the_layers_own(name):
    make, shape = CONVOLUTIONS[name]
    layer = make().double()
    node = read(layer, shape).layers[0].weighted
    rbm, v = ConvRBM(node), torch.rand(2, *shape, dtype=torch.float64)
    weight, bias = layer.weight, layer.bias
    assert torch.equal(rbm.node.apply(v, weight, bias), layer(v))
    h = torch.rand(2, *node.shape, dtype=torch.float64)
    assert torch.equal(rbm.node.apply_transposed(h, weight), node.apply_transposed(h, weight))


def test_repr_names_the_units():
    assert "visible='relu', hidden='gaussian'" in repr(DenseRBM(3, 2, "relu", "linear"))
