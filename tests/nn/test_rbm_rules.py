"""The rules against loops over samples and units, and against autograd."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from sknninterp.nn.graph import read
from sknninterp.nn.rbm import ConvRBM, DenseRBM
from sknninterp.nn.rbm_rules import (
    contrastive_divergence,
    exact_gradient,
    persistent_contrastive_divergence,
    reconstruction_rule,
)

# torch pads a copy for even kernels, as it should.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")

KINDS = ["bernoulli", "gaussian", "relu", "tanh"]
PAIRS = list(itertools.product(KINDS, KINDS))
MEAN = {
    "bernoulli": lambda s: 1 / (1 + math.exp(-s)),
    "gaussian": lambda s: s,
    "linear": lambda s: s,
    "relu": lambda s: max(s, 0.0),
    "tanh": math.tanh,
}
SLOPE = {
    "bernoulli": lambda s: math.exp(-s) / (1 + math.exp(-s)) ** 2,
    "gaussian": lambda s: 1.0,
    "linear": lambda s: 1.0,
    "relu": lambda s: float(s > 0),
    "tanh": lambda s: 1 / math.cosh(s) ** 2,
}
RULES = {
    "cd": contrastive_divergence,
    "reconstruction": reconstruction_rule,
    "exact": exact_gradient,
}
CONVOLUTIONS = {
    "1d": (lambda: nn.Conv1d(2, 3, 3, padding=1), (2, 5)),
    "1d-stride-left-over": (lambda: nn.Conv1d(1, 2, 2, stride=3), (1, 7)),
    "1d-same": (lambda: nn.Conv1d(2, 2, 4, padding="same"), (2, 6)),
    "1d-valid": (lambda: nn.Conv1d(2, 2, 2, padding="valid"), (2, 4)),
    "2d": (lambda: nn.Conv2d(2, 3, (2, 3), stride=(2, 1), padding=(0, 1)), (2, 5, 4)),
    "2d-dilation": (lambda: nn.Conv2d(1, 2, 2, dilation=(2, 1)), (1, 4, 3)),
    "2d-groups-no-bias": (lambda: nn.Conv2d(4, 2, 2, groups=2, bias=False), (4, 3, 3)),
    "2d-same": (lambda: nn.Conv2d(2, 2, (2, 3), padding="same", dilation=(1, 2)), (2, 3, 5)),
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def dense(visible, hidden, seed=0):
    rbm = DenseRBM(4, 3, visible, hidden, generator=seeded(seed), dtype=torch.float64)
    with torch.no_grad():
        for bias in (rbm.bias_hidden, rbm.bias_visible):  # large enough to matter
            bias.copy_(torch.randn(bias.shape, generator=seeded(seed + 1)))
    return rbm


def conv(name, visible, hidden):
    make, shape = CONVOLUTIONS[name]
    node = read(make().double(), shape).layers[0].weighted
    rbm = ConvRBM(node, visible, hidden, generator=seeded())
    with torch.no_grad():
        for bias in (rbm.bias_hidden, rbm.bias_visible):
            bias.copy_(torch.randn(bias.shape, generator=seeded(1)) / 2)
    return rbm, torch.rand((3, *shape), generator=seeded(2), dtype=torch.float64)


def data(n=5, n_visible=4):
    return torch.rand(n, n_visible, generator=seeded(7), dtype=torch.float64)


class Naive:
    """Rules of a machine with a literal weight matrix (n_hidden, n_visible), one number a time."""

    def __init__(self, rbm, matrix, bias_hidden, bias_visible):
        self.matrix, self.b, self.c = matrix, bias_hidden, bias_visible
        self.n_hidden, self.n_visible = matrix.shape
        self.h, self.v = rbm.hidden_unit.name, rbm.visible_unit.name

    def up(self, v):
        return [
            sum(self.matrix[j, i] * v[i] for i in range(self.n_visible)) + self.b[j]
            for j in range(self.n_hidden)
        ]

    def down(self, h):
        return [
            sum(self.matrix[j, i] * h[j] for j in range(self.n_hidden)) + self.c[i]
            for i in range(self.n_visible)
        ]

    def gradients(self, rule, x, n_steps=1, states=None):
        """Gradients and error; `states` drive the reconstructions in place of the means."""
        g_w, g_h, g_v = (np.zeros(s) for s in (self.matrix.shape, self.n_hidden, self.n_visible))
        error = 0.0
        for n, x0 in enumerate(x):
            s_h0 = self.up(x0)
            y0 = [MEAN[self.h](s) for s in s_h0]
            y1 = y0
            for step in range(n_steps):
                drive = y1 if states is None else states[step][n]
                s_v = self.down(drive)
                x1 = [MEAN[self.v](s) for s in s_v]
                s_h = self.up(x1)
                y1 = [MEAN[self.h](s) for s in s_h]
            dx = [p - q for p, q in zip(x1, x0, strict=True)]
            dy = [p - q for p, q in zip(y1, y0, strict=True)]
            error += sum(d * d for d in dx)
            if rule == "cd":
                a, b = dy, dx
                pairs = [(y1, x1, 1), (y0, x0, -1)]
            else:
                a = [d * SLOPE[self.h](s) for d, s in zip(dy, s_h, strict=True)]
                b = [d * SLOPE[self.v](s) for d, s in zip(dx, s_v, strict=True)]
                pairs = [(a, x1, 1), (drive, b, 1)]
            if rule == "exact":
                back = [t - c for t, c in zip(self.down(a), self.c, strict=True)]
                slopes = [SLOPE[self.v](s) for s in s_v]
                b = [(d + t) * s for d, t, s in zip(dx, back, slopes, strict=True)]
                on = [t - c for t, c in zip(self.up(b), self.b, strict=True)]
                c = [(t - d) * SLOPE[self.h](s) for t, d, s in zip(on, dy, s_h0, strict=True)]
                pairs = [(a, x1, 1), (drive, b, 1), (c, x0, 1)]
                a = [p + q for p, q in zip(a, c, strict=True)]
            for (left, right, sign), j in itertools.product(pairs, range(self.n_hidden)):
                for i in range(self.n_visible):
                    g_w[j, i] += sign * left[j] * right[i] / len(x)
            g_h += np.array(a) / len(x)
            g_v += np.array(b) / len(x)
        return g_w, g_h, g_v, error / (len(x) * self.n_visible)


def naive(rbm):
    return Naive(rbm, *(p.detach().numpy() for p in rbm.parameters()))


def assert_same(found, expected, atol=1e-10):
    for name, one, other in zip(found._fields, found, expected, strict=True):
        # Sums of thousands, such as those of several linear steps, are rounded at their size.
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-12, atol=atol, err_msg=name)


# --- dense --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_rule_is_that_of_loops(rule, visible, hidden):
    rbm, x = dense(visible, hidden), data()
    assert_same(RULES[rule](rbm, x), naive(rbm).gradients(rule, x.numpy()))


@pytest.mark.parametrize("sampled", [False, True], ids=["means", "states"])
@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_cd_k_is_that_of_loops(visible, hidden, sampled):
    rbm, x = dense(visible, hidden), data()
    states, v = [], x
    generator = seeded(5)
    for _ in range(3):
        states.append(rbm.sample_hidden(v, generator).detach())
        v = rbm.visible(states[-1])
    states = states if sampled else None
    drawn = seeded(5)
    found = contrastive_divergence(rbm, x, n_steps=3, sample_hidden=sampled, generator=drawn)
    # No state is drawn that drives nothing.
    expected = generator if sampled else seeded(5)
    assert torch.equal(drawn.get_state(), expected.get_state())
    assert_same(found, naive(rbm).gradients("cd", x.numpy(), 3, states))


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_reconstruction_rule_from_states_is_that_of_loops(visible, hidden):
    rbm, x = dense(visible, hidden), data()
    states = [rbm.sample_hidden(x, seeded(5)).detach()]
    found = reconstruction_rule(rbm, x, sample_hidden=True, generator=seeded(5))
    assert_same(found, naive(rbm).gradients("reconstruction", x.numpy(), 1, states))


def autograd(rbm, x0, published):
    """Gradient of E_s; with what the published rule holds fixed detached, if that is wanted."""
    y0 = rbm.hidden(x0)
    y0 = y0.detach() if published else y0
    x1 = rbm.visible(y0)
    y1 = rbm.hidden(x1.detach() if published else x1)
    loss = ((x1 - x0).square().sum() + (y1 - y0).square().sum()) / (2 * len(x0))
    parameters = [rbm.weight, rbm.bias_hidden, rbm.bias_visible]
    return [*torch.autograd.grad(loss, parameters), (x1 - x0).square().mean().detach()]


@pytest.mark.parametrize("rule", ["reconstruction", "exact"])
@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_rule_is_the_gradient_by_autograd(rule, visible, hidden):
    rbm, x = dense(visible, hidden), data()
    assert_same(RULES[rule](rbm, x), autograd(rbm, x, published=rule == "reconstruction"))


def test_with_linear_units_the_reconstruction_rule_is_cd():
    """Small integers, whose sums are exact: the same bits."""
    rbm = DenseRBM(4, 3, "linear", "linear", dtype=torch.float64)
    with torch.no_grad():
        for p in rbm.parameters():
            p.copy_(torch.randint(-3, 4, p.shape, generator=seeded()))
    x = torch.randint(-3, 4, (4, 4), generator=seeded(1)).double()
    found, expected = reconstruction_rule(rbm, x), contrastive_divergence(rbm, x)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert found.weight.any() and found.hidden.any() and found.visible.any()


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_persistent_cd_follows_its_chains(visible, hidden):
    rbm, x, n_chains = dense(visible, hidden), data(), 3
    chain = rbm.sample_hidden(data(n_chains), seeded(4)).detach()
    moved, generator = chain.clone(), seeded(5)
    found = persistent_contrastive_divergence(rbm, x, moved, n_steps=2, generator=generator)
    generator, state = seeded(5), chain
    for _ in range(2):
        x1 = rbm.sample_visible(state, generator)
        state = rbm.sample_hidden(x1, generator).detach()
    assert torch.equal(moved, state)
    assert not torch.equal(moved, chain)
    literal = naive(rbm)
    y0 = [[MEAN[hidden](s) for s in literal.up(v)] for v in x.numpy()]
    y1 = [[MEAN[hidden](s) for s in literal.up(v)] for v in x1.detach().numpy()]
    g_w = np.zeros((3, 4))
    for v, h, scale in [
        *((v, h, 1 / n_chains) for v, h in zip(x1.tolist(), y1, strict=True)),
        *((v, h, -1 / len(x)) for v, h in zip(x.tolist(), y0, strict=True)),
    ]:
        for j, i in itertools.product(range(3), range(4)):
            g_w[j, i] += scale * h[j] * v[i]
    g_h = np.mean(y1, 0) - np.mean(y0, 0)
    g_v = np.mean(x1.tolist(), 0) - np.mean(x.tolist(), 0)
    assert_same(found, (g_w, g_h, g_v, literal.gradients("cd", x.numpy())[3]))


@pytest.mark.parametrize("rule", RULES)
def test_rule_leaves_machine_and_batch_as_they_were(rule, global_rng_untouched):
    rbm, x = dense("relu", "linear"), data()
    before = [t.detach().clone() for t in (*rbm.parameters(), x)]
    found = RULES[rule](rbm, x)
    assert all(torch.equal(a, b) for a, b in zip(before, (*rbm.parameters(), x), strict=True))
    assert not any(g.requires_grad for g in found)


@pytest.mark.parametrize("rule", [contrastive_divergence, reconstruction_rule])
@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_one_seed_gives_the_same_bits_twice(rule, visible, hidden, global_rng_untouched):
    rbm, x = dense(visible, hidden), data()
    one, two, other = (
        rule(rbm, x, sample_hidden=True, generator=seeded(seed)).weight for seed in (5, 5, 6)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


# --- weights of the samples ---------------------------------------------------------------------

TIMES = torch.tensor([2, 0, 1, 3, 1])


def assert_weights_repeat(rule, rbm, x, **options):
    """The sums are those of the repeated samples; the means are over the samples as they are."""
    times = TIMES[: len(x)]
    found = RULES[rule](rbm, x, weight=times.to(x.dtype), **options)
    expected = RULES[rule](rbm, x.repeat_interleave(times, 0), **options)
    assert_same(found, [e * int(times.sum()) / len(x) for e in expected], 1e-12)
    assert not torch.allclose(found.weight, RULES[rule](rbm, x, **options).weight)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_weights_are_repeated_samples(rule, visible, hidden):
    assert_weights_repeat(rule, dense(visible, hidden), data())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["1d-same", "2d", "2d-groups-no-bias"])
@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_weights_are_repeated_images(rule, name, visible, hidden):
    assert_weights_repeat(rule, *conv(name, visible, hidden))


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_weights_are_repeated_samples_after_many_steps(visible, hidden):
    assert_weights_repeat("cd", dense(visible, hidden), data(), n_steps=3)


@pytest.mark.parametrize("rule", [contrastive_divergence, reconstruction_rule])
@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_weights_count_samples_beside_their_states(rule, visible, hidden):
    """Linear in the weights: each sample's part is that of the weight 1 on it alone."""
    rbm, x = dense(visible, hidden), data()
    weight = torch.tensor([0.5, 2.0, 0.0, 1.5, 3.0], dtype=torch.float64)
    found, *parts = (
        rule(rbm, x, sample_hidden=True, generator=seeded(5), weight=one)
        for one in (weight, *torch.eye(5, dtype=torch.float64))
    )
    expected = [
        sum(w * p for w, p in zip(weight, of, strict=True)) for of in zip(*parts, strict=True)
    ]
    assert_same(found, expected, 1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_ones_are_no_weights(rule):
    rbm, x = dense("tanh", "relu"), data()
    found, expected = RULES[rule](rbm, x, weight=torch.ones(5).double()), RULES[rule](rbm, x)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("weight_type", [torch.float64, torch.int64], ids=str)
@pytest.mark.parametrize("rule", RULES)
def test_weights_of_another_type_are_taken_in_that_of_the_data(rule, weight_type):
    rbm, x, weight = dense("tanh", "relu").float(), data().float(), TIMES.to(weight_type)
    before = weight.clone()
    found, expected = (RULES[rule](rbm, x, weight=w) for w in (weight, TIMES.float()))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert {g.dtype for g in found} == {torch.float32}
    assert torch.equal(weight, before)


# --- convolutional ------------------------------------------------------------------------------


def as_dense(rbm, literal):
    """The machine's literal matrix and biases, and how its gradients become the kernel's."""
    node, shape = rbm.node, rbm.node.inputs[0].shape
    options = {**node.options, "groups": node.groups}
    matrix, out = literal.convolution(rbm.weight.detach().numpy(), shape, **options)
    biases = [
        np.repeat(bias.detach().numpy(), math.prod(sizes[1:]))
        for bias, sizes in ((rbm.bias_hidden, out), (rbm.bias_visible, shape))
    ]

    def shared(g_w, g_h, g_v, error):
        kernel = np.zeros(tuple(rbm.weight.shape))
        for at in np.ndindex(kernel.shape):
            one = np.zeros_like(kernel)
            one[at] = 1
            kernel[at] = (g_w * literal.convolution(one, shape, **options)[0]).sum()
        return kernel, g_h.reshape(out[0], -1).sum(1), g_v.reshape(shape[0], -1).sum(1), error

    return Naive(rbm, matrix, *biases), shared


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutional_rule_is_that_of_its_literal_matrix(rule, name, literal):
    rbm, x = conv(name, "bernoulli", "tanh")
    machine, shared = as_dense(rbm, literal)
    expected = shared(*machine.gradients(rule, x.flatten(1).numpy()))
    assert_same(RULES[rule](rbm, x), expected)


@pytest.mark.parametrize("rule", ["reconstruction", "exact"])
@pytest.mark.parametrize("name", ["1d-same", "2d"])
@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_convolutional_rule_is_the_gradient_by_autograd(rule, name, visible, hidden):
    rbm, x = conv(name, visible, hidden)
    assert_same(RULES[rule](rbm, x), autograd(rbm, x, published=rule == "reconstruction"))


def test_convolutional_chains_have_the_shape_of_the_hidden_layer():
    rbm, x = conv("2d", "bernoulli", "bernoulli")
    chain = torch.zeros(2, *rbm.node.shape, dtype=torch.float64)
    found = persistent_contrastive_divergence(rbm, x, chain, generator=seeded())
    assert chain.unique().tolist() == [0.0, 1.0]
    assert found.weight.shape == rbm.weight.shape
    assert found.weight.isfinite().all()


# --- into what is there -------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("convolution", [False, True])
@pytest.mark.parametrize("rule", [*RULES, "persistent"])
def test_scaled_gradient_of_the_weight_is_added_to_what_is_there(rule, convolution, weighted):
    rbm, x0 = conv("2d", "bernoulli", "relu") if convolution else (dense("tanh", "relu"), data())
    options = {}
    if weighted and rule != "persistent":
        options["weight"] = torch.rand(len(x0), generator=seeded(9), dtype=x0.dtype)

    def gradients(**more):
        if rule != "persistent":
            return RULES[rule](rbm, x0, **options, **more)
        chain = torch.zeros_like(rbm.hidden(x0))
        return persistent_contrastive_divergence(
            rbm, x0, chain, generator=seeded(), **options, **more
        )

    plain = gradients()
    there = torch.randn(rbm.weight.shape, generator=seeded(8), dtype=x0.dtype)
    out = there.clone()
    found = gradients(alpha=-0.3, beta=0.7, out=out)
    assert found.weight is out
    assert torch.allclose(out, 0.7 * there - 0.3 * plain.weight, rtol=0, atol=1e-13)
    assert torch.allclose(gradients(alpha=2.0).weight, 2 * plain.weight, rtol=0, atol=1e-13)
    for name in ("hidden", "visible", "error"):  # these are not scaled
        assert torch.equal(getattr(found, name), getattr(plain, name))
