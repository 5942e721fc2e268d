"""The update against a loop, the schedules, what is learned, and the watch on the error."""

from __future__ import annotations

import copy
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
from sknninterp.nn.rbm_trainer import (
    DivergenceError,
    Epoch,
    RBMTrainer,
    check_hybrid_epochs,
    rule_of_epoch,
    train,
    train_epoch,
)

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


class Passes:
    """Batches that tell each time they are gone through."""

    def __init__(self, batches, tell):
        self.batches, self.tell = batches, tell

    def __iter__(self):
        self.tell(None)
        return iter(self.batches)


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
    assert torch.equal(rbm.weight, expected)


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


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_data_that_are_no_numbers_are_not_laid_on_the_learning_rate(value):
    X = data()
    X[3, 2] = value
    starts = []
    with pytest.raises(ValueError, match=r"before learning is (nan|inf): the data hold") as raised:
        train(machine("linear"), Passes([(X, None)], starts.append), 2)
    assert not isinstance(raised.value, DivergenceError)
    assert len(starts) == 1  # no smaller learning rate is tried


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


# --- whole epochs -------------------------------------------------------------------------------


def test_epoch_says_by_what_it_was_trained():
    rbm, other = machine(), machine()
    options = {"momentum": (0.2, 0.7), "momentum_epochs": 1, "hybrid_epochs": (1, 1)}
    trainer = RBMTrainer(rbm, "hybrid", lr_factor=0.5, **options)
    expected = trained(other, data(), 2, rule="hybrid", lr_factor=0.5, **options)
    found = [train_epoch(trainer, pairs(data())) for _ in range(2)]
    assert [epoch[:4] for epoch in found] == [
        (1, "cd", 0.005, 0.2),
        (2, "reconstruction", 0.02, 0.7),
    ]
    assert [epoch.reconstruction_error for epoch in found] == expected.errors == trainer.errors
    assert all(0 < epoch.dur < 10 for epoch in found)
    assert same(rbm.parameters(), other.parameters())
    assert Epoch._fields == ("epoch", "rule", "lr", "momentum", "reconstruction_error", "dur")


@pytest.mark.parametrize("rule", ["cd", "reconstruction", "exact", "hybrid"])
def test_train_is_a_loop_of_epochs(rule):
    rbm, other, told, starts = machine(), machine(), [], []
    weight = 2 * torch.rand(12, generator=seeded(3), dtype=torch.float64)
    options = {"rule": rule, "hybrid_epochs": (2, 1), "weight_decay": 0.1}
    batches = Passes(pairs(data(), weight), starts.append)
    trainer, epochs = train(rbm, batches, 3, on_epoch=told.append, **options)
    expected = RBMTrainer(other, **options)
    for epoch in epochs:
        for batch, own in pairs(data(), weight):
            expected.step(batch, own)
        assert epoch.reconstruction_error == expected.end_epoch()
    assert same(rbm.parameters(), other.parameters())
    assert told == epochs
    assert len(epochs) == len(starts) == trainer.epoch == 3
    assert trainer.rbm is rbm


def test_training_for_no_epochs_leaves_the_machine():
    rbm, starts = machine(), []
    trainer, epochs = train(rbm, Passes([], starts.append), 0)
    assert (epochs, trainer.epoch, starts) == ([], 0, [])
    assert same(rbm.parameters(), machine().parameters())


def test_given_learning_rate_that_diverges_is_an_error_at_once():
    starts = []
    batches = Passes(pairs(100 * data()), starts.append)
    with pytest.raises(DivergenceError, match=r"lr=0\.04\b"):
        train(machine("linear", "linear"), batches, 5, lr=0.04)
    assert len(starts) == 1


@pytest.mark.parametrize("rule", ["cd", "reconstruction", "exact", "hybrid"])
def test_without_a_learning_rate_training_starts_over_with_smaller_ones(rule):
    rbm, other, told = machine("linear", "linear"), machine("linear", "linear"), []
    options = {"rule": rule, "hybrid_epochs": (2, 2), "momentum": (0.5, 0.5)}
    batches = pairs(100 * data())
    trainer, epochs = train(rbm, batches, 4, on_epoch=told.append, **options)
    power = round(-math.log10(trainer.lr_factor))
    assert power >= 3
    published = [0.01] * 4 if rule == "cd" else [0.04] * 4
    published = [0.01, 0.01, 0.04, 0.04] if rule == "hybrid" else published
    assert [e.lr for e in epochs] == pytest.approx([lr * 10**-power for lr in published])
    assert trainer.errors == [e.reconstruction_error for e in epochs]
    assert told[-4:] == epochs
    # The same bits as if that were the first start.
    expected = RBMTrainer(other, lr_factor=10.0**-power, **options)
    for epoch in epochs:
        assert train_epoch(expected, batches)[:5] == epoch[:5]
    assert same(rbm.parameters(), other.parameters())
    # The rate before does not hold.
    again = RBMTrainer(machine("linear", "linear"), lr_factor=10.0 ** (1 - power), **options)
    with pytest.raises(DivergenceError):
        for _ in range(4):
            train_epoch(again, batches)


def test_frozen_bias_survives_starting_over():
    rbm = machine("linear", "linear")
    before = rbm.bias_hidden.requires_grad_(False).clone()
    trainer, _ = train(rbm, pairs(100 * data()), 2)
    assert trainer.lr_factor < 1
    assert torch.equal(rbm.bias_hidden, before)
    assert not rbm.bias_hidden.requires_grad


def test_when_no_learning_rate_holds_the_smallest_is_named():
    starts = []
    batches = Passes(pairs(1e12 * data()), starts.append)
    with pytest.raises(DivergenceError, match=r"lr=4e-10\b.*scale the data"):
        train(machine("linear", "linear"), batches, 2)
    assert len(starts) == 9


@pytest.mark.parametrize(
    "hybrid_epochs", [(7, 2), (-1, 11), (11, -1), (5, 3, 2), (10,), ()], ids=str
)
def test_hybrid_epochs_that_do_not_add_up_are_named(hybrid_epochs):
    rbm = machine()
    message = rf"hybrid_epochs=\({', ?'.join(map(str, hybrid_epochs))},?\) must be two .* the 10 e"
    with pytest.raises(ValueError, match=message):
        train(rbm, pairs(data()), 10, rule="hybrid", hybrid_epochs=hybrid_epochs)
    with pytest.raises(ValueError, match=message):
        check_hybrid_epochs("hybrid", hybrid_epochs, 10)
    assert same(rbm.parameters(), machine().parameters())
    check_hybrid_epochs("cd", hybrid_epochs, 10)


@pytest.mark.parametrize("hybrid_epochs", [(10, 0), (0, 10), [3, 7]], ids=str)
def test_hybrid_epochs_may_be_all_of_one_rule(hybrid_epochs):
    check_hybrid_epochs("hybrid", hybrid_epochs, 10)
    _, epochs = train(machine(), pairs(data()), 10, rule="hybrid", hybrid_epochs=hybrid_epochs)
    n_cd = hybrid_epochs[0]
    assert [e.rule for e in epochs] == ["cd"] * n_cd + ["reconstruction"] * (10 - n_cd)


# --- going on -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_epochs", [1, 3])
@pytest.mark.parametrize(
    "options",
    [
        {"rule": "hybrid", "hybrid_epochs": (3, 2), "momentum_epochs": 2},
        {"rule": "cd", "persistent": True, "generator": True},
        {"rule": "reconstruction", "scale": 100, "units": ("linear", "linear")},
    ],
    ids=["hybrid", "chains", "rate that falls"],
)
def test_training_goes_on_from_a_state_as_if_it_had_not_been_broken_off(options, n_epochs):
    units, batches = options.get("units", ()), pairs(options.get("scale", 1) * data())
    options = {k: v for k, v in options.items() if k not in ("units", "scale")}

    def run(**more):
        own = {**options, "generator": seeded(3)} if "generator" in options else options
        with torch.random.fork_rng():
            torch.manual_seed(more.pop("seed", 0))
            return train(machine(*units), batches, 5, **own, **more)

    states = []
    whole, epochs = run(keep=lambda state: states.append(copy.deepcopy(state)))
    # Starts with a learning rate that is too large may have states too.
    chosen = next(s for s in states[-5:] if len(s["epochs"]) == n_epochs)
    told = []
    again, others = run(kept=chosen, seed=1, on_epoch=told.append)
    assert len(told) == 5 - n_epochs
    assert [epoch[:5] for epoch in others] == [epoch[:5] for epoch in epochs]
    assert others[:n_epochs] == epochs[:n_epochs]
    assert same(again.rbm.parameters(), whole.rbm.parameters())
    assert again.lr_factor == whole.lr_factor


def test_training_ends_where_its_listener_says_so():
    trainer, epochs = train(machine(), pairs(data()), 9, on_epoch=lambda epoch: epoch.epoch == 3)
    assert (trainer.epoch, len(epochs)) == (3, 3)
