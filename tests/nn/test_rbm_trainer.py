"""The update against a loop, the schedules, what is learned, and the watch on the error."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.neural_network import BernoulliRBM
from torch import nn

from sknninterp.nn.graph import read
from sknninterp.nn.rbm import ConvRBM, DenseRBM
from sknninterp.nn.rbm_rules import (
    contrastive_divergence,
    exact_gradient,
    persistent_contrastive_divergence,
    reconstruction_rule,
)
from sknninterp.nn.rbm_trainer import DivergenceError, RBMTrainer, rule_of_epoch

FUNCTIONS = {
    "cd": contrastive_divergence,
    "reconstruction": reconstruction_rule,
    "exact": exact_gradient,
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def machine(visible="bernoulli", hidden="bernoulli", seed=0):
    return DenseRBM(6, 4, visible, hidden, generator=seeded(seed), dtype=torch.float64)


def data(n=12):
    return torch.rand(n, 6, generator=seeded(7), dtype=torch.float64)


def parameters(rbm):
    return [p.detach().clone() for p in rbm.parameters()]


def trained(rbm, X, n_epochs, batch_size=4, **options):
    trainer = RBMTrainer(rbm, **options)
    for _ in range(n_epochs):
        for batch in X.split(batch_size):
            trainer.step(batch)
        trainer.end_epoch()
    return trainer


def pairs(X, weight=None, batch_size=4):
    weights = [None] * len(X) if weight is None else weight.split(batch_size)
    return list(zip(X.split(batch_size), weights, strict=False))


def same(found, expected):
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


# --- the update ---------------------------------------------------------------------------------


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("rule", ["cd", "reconstruction", "exact", "hybrid"])
def test_update_is_that_of_a_loop(rule, weight_decay):
    rbm, other, X = machine(), machine(), data()
    options = {"momentum": (0.2, 0.7), "momentum_epochs": 2, "hybrid_epochs": (3, 1)}
    trained(rbm, X, 4, rule=rule, weight_decay=weight_decay, **options)
    velocities = [np.zeros(p.shape) for p in other.parameters()]
    for epoch in range(4):
        mu = 0.2 if epoch < 2 else 0.7
        now = {"hybrid": "cd" if epoch < 3 else "reconstruction"}.get(rule, rule)
        lr = 0.01 if now == "cd" else 0.04
        for start in range(0, 12, 4):
            gradients = [g.numpy() for g in FUNCTIONS[now](other, X[start : start + 4])]
            values = [p.detach().numpy() for p in other.parameters()]  # share their memory
            gradients[0] = gradients[0] + weight_decay * values[0]
            for value, velocity, gradient in zip(values, velocities, gradients, strict=False):
                for at in np.ndindex(value.shape):
                    velocity[at] = mu * velocity[at] + lr * gradient[at]
                    value[at] -= velocity[at]
    for found, expected in zip(rbm.parameters(), other.parameters(), strict=True):
        assert torch.allclose(found, expected, rtol=0, atol=1e-13)
    assert not torch.allclose(rbm.weight, machine().weight)


def test_learning_rate_takes_the_place_of_the_published_ones():
    rbm, other, X = machine(), machine(), data()
    RBMTrainer(rbm, "cd", lr=0.5).step(X)
    expected = other.weight - 0.5 * contrastive_divergence(other, X).weight
    assert torch.allclose(rbm.weight, expected, rtol=0, atol=1e-14)


def test_parameters_are_updated_in_place():
    rbm = machine()
    places = [p.data_ptr() for p in rbm.parameters()]
    trained(rbm, data(), 2)
    assert [p.data_ptr() for p in rbm.parameters()] == places
    assert all(p.requires_grad and p.grad is None for p in rbm.parameters())


def test_defaults_are_the_published_ones():
    trainer = RBMTrainer(machine(), "hybrid")
    seen = []
    for _ in range(10):
        seen.append((trainer.current_rule, trainer.current_lr, trainer.current_momentum))
        trainer.step(data())
        trainer.end_epoch()
    assert seen == [
        *[("cd", 0.01, 0.5)] * 5,
        *[("cd", 0.01, 0.9)] * 2,
        *[("reconstruction", 0.04, 0.9)] * 3,
    ]
    assert trainer.epoch == 10


def test_published_learning_rates_are_shared_among_the_positions_of_a_convolution():
    node = read(nn.Conv2d(1, 2, 3, stride=2), (1, 7, 9)).layers[0].weighted
    trainer = RBMTrainer(ConvRBM(node), "cd")
    assert trainer.current_lr == pytest.approx(0.01 / (3 * 4))
    assert RBMTrainer(ConvRBM(node), "cd", lr=0.3).current_lr == 0.3


def test_rule_of_each_epoch():
    assert [rule_of_epoch("hybrid", e, (1, 2)) for e in range(4)] == ["cd"] + ["reconstruction"] * 3
    assert {rule_of_epoch("exact", e) for e in range(20)} == {"exact"}


def test_factor_multiplies_the_learning_rate_of_each_rule():
    trainer = RBMTrainer(machine(), "hybrid", lr_factor=0.1, hybrid_epochs=(1, 1))
    assert trainer.current_lr == pytest.approx(0.001)
    trainer.step(data())
    trainer.end_epoch()
    assert trainer.current_lr == pytest.approx(0.004)
    rbm, other = machine(), machine()
    RBMTrainer(rbm, lr=0.5, lr_factor=0.5).step(data())
    RBMTrainer(other, lr=0.25).step(data())
    assert same(rbm.parameters(), other.parameters())


@pytest.mark.parametrize("rule", ["cd", "reconstruction", "exact", "hybrid"])
@pytest.mark.parametrize("frozen", ["weight", "bias_hidden", "bias_visible"])
def test_frozen_parameters_stay(rule, frozen):
    rbm, before = machine(), parameters(machine())
    getattr(rbm, frozen).requires_grad_(False)
    trained(rbm, data(), 3, rule=rule, weight_decay=0.1, hybrid_epochs=(1, 2))
    for (name, p), first in zip(rbm.named_parameters(), before, strict=True):
        assert torch.equal(p, first) == (name == frozen)


# --- sample weights -----------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["cd", "reconstruction", "exact", "hybrid"])
def test_weights_are_repeated_samples(rule):
    """In batches of mean weight 1; the decay goes by the weight matrix alone."""
    rbm, other, X = machine(), machine(), data()
    weight = torch.tensor([2.0, 0, 1, 1, 0, 0, 4, 0, 1, 1, 1, 1], dtype=torch.float64)
    options = {"rule": rule, "weight_decay": 0.2, "hybrid_epochs": (1, 2)}
    trainer, expected = RBMTrainer(rbm, **options), RBMTrainer(other, **options)
    for _ in range(3):
        for batch, own in pairs(X, weight):
            found = trainer.step(batch, own)
            error = expected.step(batch.repeat_interleave(own.long(), 0))
            assert found.item() == pytest.approx(error.item(), abs=1e-13)
        assert trainer.end_epoch() == pytest.approx(expected.end_epoch(), abs=1e-13)
    for a, b in zip(rbm.parameters(), other.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-13)


@pytest.mark.parametrize("options", [{"rule": "cd"}, {"rule": "reconstruction"}], ids=str)
def test_weights_and_sampled_states_go_together(options):
    rbm, other, X = machine(), machine(), data()
    for one, weight in ((rbm, torch.ones(12, dtype=torch.float64)), (other, None)):
        RBMTrainer(one, sample_hidden=True, generator=seeded(), **options).step(X, weight)
    assert same(rbm.parameters(), other.parameters())


def test_chains_take_no_weights():
    trainer, before = RBMTrainer(machine(), "cd", persistent=True), parameters(machine())
    with pytest.raises(ValueError, match="persistent=True takes no sample weights"):
        trainer.step(data(), torch.ones(12))
    assert same(trainer.rbm.parameters(), before)


# --- the options of the rules -------------------------------------------------------------------


def test_steps_and_states_reach_contrastive_divergence():
    rbm, X = machine(), data()
    options = {"n_steps": 3, "sample_hidden": True}
    expected = rbm.weight - 0.1 * contrastive_divergence(rbm, X, generator=seeded(), **options)[0]
    RBMTrainer(rbm, "cd", lr=0.1, generator=seeded(), **options).step(X)
    assert torch.allclose(rbm.weight, expected, rtol=0, atol=1e-12)


def test_states_reach_the_reconstruction_rule():
    rbm, X = machine(), data()
    gradients = reconstruction_rule(rbm, X, sample_hidden=True, generator=seeded())
    expected = rbm.weight - 0.1 * gradients.weight
    RBMTrainer(rbm, lr=0.1, sample_hidden=True, generator=seeded()).step(X)
    assert torch.equal(rbm.weight, expected)


def test_chains_start_from_the_first_batch_and_go_on():
    rbm, other, X = machine(), machine(), data(10)
    trainer = RBMTrainer(rbm, "cd", lr=0.1, persistent=True, n_steps=2, generator=seeded())
    generator = seeded()
    chain = other.sample_hidden(X[:7], generator).detach()
    velocity = torch.zeros_like(other.weight)
    for batch in X.split(7):  # the second is smaller; the chains stay as many
        trainer.step(batch)
        gradients = persistent_contrastive_divergence(
            other, batch, chain, n_steps=2, generator=generator
        )
        with torch.no_grad():
            velocity = 0.5 * velocity + 0.1 * gradients.weight
            other.weight.sub_(velocity)
            other.bias_hidden.copy_(rbm.bias_hidden)
            other.bias_visible.copy_(rbm.bias_visible)
    assert torch.allclose(rbm.weight, other.weight, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "options",
    [
        {"rule": "cd", "sample_hidden": True, "n_steps": 2},
        {"rule": "cd", "persistent": True},
        {"rule": "hybrid", "sample_hidden": True, "hybrid_epochs": (1, 2)},
    ],
    ids=["cd-k", "persistent", "hybrid"],
)
def test_one_seed_gives_the_same_bits_twice(options, global_rng_untouched):
    found = []
    for seed in (0, 0, 1):
        rbm = machine(seed=3)
        trained(rbm, data(), 3, lr=0.1, generator=seeded(seed), **options)
        found.append(parameters(rbm))
    one, two, other = found
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one[0], other[0])


# --- the error ----------------------------------------------------------------------------------


def test_errors_are_means_over_samples():
    rbm, X = machine(), data(10)
    trainer = RBMTrainer(rbm)
    expected = []
    for batch in X.split(7):
        dx = rbm.visible(rbm.hidden(batch)) - batch
        found = trainer.step(batch)
        assert found.item() == pytest.approx(dx.square().mean().item(), abs=1e-14)
        expected += [dx.square().mean(1).detach()]
    mean = torch.cat(expected).mean().item()
    assert trainer.end_epoch() == pytest.approx(mean, abs=1e-14)
    assert trainer.errors == [pytest.approx(mean, abs=1e-14)]
    trainer.step(X[:2])
    dx = rbm.visible(rbm.hidden(X[:2])) - X[:2]
    assert trainer.end_epoch() == pytest.approx(dx.square().mean().item(), rel=0.1)


@pytest.mark.parametrize("rule", ["cd", "reconstruction", "exact", "hybrid"])
@pytest.mark.parametrize("unit", ["bernoulli", "relu", "tanh"])
def test_learning_lowers_the_reconstruction_error_of_digits(unit, rule):
    X = torch.from_numpy(load_digits().data / 16).float()[:1000]
    rbm = DenseRBM(64, 48, unit, unit, generator=seeded())
    lr = 0.1 if unit == "bernoulli" else 0.01
    trainer = trained(rbm, X, 8, batch_size=50, rule=rule, lr=lr, hybrid_epochs=(4, 4))
    variance = X.var(0, correction=0).mean().item()  # the error of the best constant
    assert trainer.errors[-1] < 0.8 * variance
    assert trainer.errors[-1] < 0.6 * trainer.errors[0]


@pytest.mark.parametrize(
    "options",
    [{"persistent": True}, {}, {"sample_hidden": True, "n_steps": 2}],
    ids=["persistent", "means", "cd-2-sampled"],
)
def test_digits_become_as_likely_as_with_scikit_learn(options):
    X = (torch.from_numpy(load_digits().data) > 7).double()[:1000]
    theirs = BernoulliRBM(32, learning_rate=0.1, batch_size=50, random_state=0).fit(X.numpy())
    rbm = DenseRBM(64, 32, generator=seeded(), dtype=torch.float64)
    before = rbm.pseudo_likelihood(X, seeded(2)).mean().item()
    options = {"lr": 0.1, "momentum": (0.0, 0.0), "generator": seeded(1), **options}
    trained(rbm, X, theirs.n_iter, batch_size=50, rule="cd", **options)
    after = rbm.pseudo_likelihood(X, seeded(2)).mean().item()
    assert before < -40
    assert after > theirs.score_samples(X.numpy()).mean() - 2


def test_convolutional_machine_learns_digits():
    X = torch.from_numpy(load_digits().images / 16).float()[:500, None]
    node = read(nn.Conv2d(1, 8, 3), (1, 8, 8)).layers[0].weighted
    rbm = ConvRBM(node, hidden="bernoulli", generator=seeded())
    trainer = trained(rbm, X, 5, batch_size=50, lr=0.02, rule="reconstruction")
    assert trainer.errors[-1] < 0.6 * trainer.errors[0]


@pytest.mark.parametrize("rule", ["cd", "reconstruction", "exact", "hybrid"])
def test_divergence_names_the_learning_rate(rule):
    trainer = RBMTrainer(machine("linear", "linear"), rule, lr=1000.0)
    for _ in range(200):
        trainer.step(data())
    message = r"error of epoch 1 is (nan|inf).* lr=1000\b.*smaller"
    with pytest.raises(DivergenceError, match=message):
        trainer.end_epoch()


def test_error_that_grows_is_divergence():
    trainer, small = RBMTrainer(machine("linear"), lr=1e-9), data()
    trainer.step(small)
    first = trainer.end_epoch()
    trainer.step(1.2 * small)  # worse, but not twice as bad
    assert first < trainer.end_epoch() < 2 * first
    trainer.step(10 * small)
    with pytest.raises(DivergenceError, match=rf"epoch 3 is .*, after {first:.3g} .*lr=1e-09"):
        trainer.end_epoch()


def test_error_that_grows_back_to_the_first_one_is_divergence():
    trainer = RBMTrainer(machine("linear"), lr=1e-9)
    trainer.step(data())
    trainer.end_epoch()
    trainer.errors[-1] *= 0.4  # as if some had been learned
    trainer.step(data())
    with pytest.raises(DivergenceError, match="epoch 2 "):
        trainer.end_epoch()


def test_error_that_grows_within_the_first_epoch_is_divergence():
    trainer = RBMTrainer(machine("linear"), lr=20.0)
    first = trainer.step(data())
    for _ in range(3):
        trainer.step(data())
    with pytest.raises(DivergenceError, match=rf"epoch 1 is [\d.e+]+, after {first:.3g} before"):
        trainer.end_epoch()


@pytest.mark.parametrize("weighted", [False, True], ids=["values", "weights"])
@pytest.mark.parametrize("size", [0.0, 1e-2], ids=["blank", "small"])
def test_first_batch_that_is_easily_reconstructed_is_no_divergence(size, weighted):
    """Neither in its epoch nor later: with a tiny learning rate nothing diverges."""
    rbm = machine("linear", "linear")
    with torch.no_grad():
        rbm.bias_hidden.zero_()
        rbm.bias_visible.zero_()
    trainer = RBMTrainer(rbm, lr=1e-9)
    batches = [data() * (1 if weighted else size), data(), data()]
    weights = [torch.full((12,), size).double() if weighted else None, None, None]
    found = []
    for _ in range(3):
        for batch, weight in zip(batches, weights, strict=True):
            trainer.step(batch, weight)
        found.append(trainer.end_epoch())
    assert found == pytest.approx([found[0]] * 3, rel=1e-5)


def test_tiny_errors_may_go_up_and_down():
    trainer = RBMTrainer(machine("linear"), lr=1e-9)
    trainer.step(data())
    trainer.end_epoch()
    trainer.errors[-1] *= 1e-9  # as if all had been learned
    rbm, x = trainer.rbm, data()
    with torch.no_grad():
        rbm.weight.zero_()
        rbm.bias_visible.fill_(0.01)
    trainer.step(torch.zeros_like(x))
    assert trainer.end_epoch() == pytest.approx(1e-4)


def test_epoch_without_batches_is_an_error():
    trainer = RBMTrainer(machine())
    with pytest.raises(ValueError, match="no batch"):
        trainer.end_epoch()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "pcd"}, r"rule='pcd' is no rule; there are \['cd', 'reconstruction'"),
        ({"lr": 0.0}, "lr=0.0 must be a positive"),
        ({"lr": math.nan}, "lr=nan must be a positive"),
        ({"lr": math.inf}, "lr=inf must be a positive"),
        ({"momentum": (0.5, 1.0)}, r"momentum=\(0.5, 1.0\)"),
        ({"weight_decay": -1.0}, "weight_decay=-1.0 must not be negative"),
        ({"rule": "cd", "n_steps": 0}, "n_steps=0 at least 1"),
        ({"rule": "exact", "sample_hidden": True}, "sample_hidden=True: the exact gradient"),
        ({"rule": "exact", "persistent": True}, "persistent=True .* belong to rule='cd'"),
        ({"n_steps": 2}, "n_steps=2 belong to rule='cd' .* not to rule='reconstruction'"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_wrong_option_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        RBMTrainer(machine(), **options)


# --- other devices ------------------------------------------------------------------------------


def test_trainer_follows_its_machine_to_a_device():
    """The meta device has shapes, and refuses tensors of another one."""
    rbm = machine("linear", "linear")
    trainer = RBMTrainer(rbm, "cd", persistent=True)
    trainer.step(data())
    trainer.end_epoch()
    rbm.to("meta")
    assert trainer.to("meta") is trainer
    assert trainer.step(data().to("meta")).device.type == "meta"


def test_going_where_it_is_changes_nothing():
    found = []
    for options in ({"rule": "cd", "persistent": True}, {"rule": "reconstruction"}):
        for moved in (False, True):
            rbm = machine()
            trainer = RBMTrainer(rbm, generator=seeded(), **options)
            for _ in range(3):
                trainer.step(data())
                trainer.end_epoch()
                if moved:
                    trainer.to("cpu")
            found.append(parameters(rbm))
    assert same(found[0], found[1]) and same(found[2], found[3])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_training_goes_on_on_a_gpu_and_back():
    rbm, other = machine(), machine()
    trainer, expected = RBMTrainer(rbm), RBMTrainer(other)
    for device in ("cpu", "cuda", "cpu"):
        rbm.to(device)
        trainer.to(device).step(data().to(device))
        expected.step(data())
        assert trainer.end_epoch() == pytest.approx(expected.end_epoch(), abs=1e-12)
    for a, b in zip(rbm.parameters(), other.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-12)
