"""Whole epochs beside loops of steps, learning rates that are tried, and going on from a state."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from sknninterp.nn.rbm import DenseRBM
from sknninterp.nn.rbm_trainer import DivergenceError, RBMTrainer
from sknninterp.nn.rbm_training import Epoch, check_hybrid_epochs, train, train_epoch


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def machine(visible="bernoulli", hidden="bernoulli", seed=0):
    return DenseRBM(6, 4, visible, hidden, generator=seeded(seed), dtype=torch.float64)


def data(n=12):
    return torch.rand(n, 6, generator=seeded(7), dtype=torch.float64)


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


# --- whole epochs -------------------------------------------------------------------------------


def test_epoch_says_by_what_it_was_trained():
    rbm, other = machine(), machine()
    options = {"momentum": (0.2, 0.7), "momentum_epochs": 1, "hybrid_epochs": (1, 1)}
    trainer = RBMTrainer(rbm, "hybrid", lr_factor=0.5, **options)
    expected = RBMTrainer(other, "hybrid", lr_factor=0.5, **options)
    for _ in range(2):
        for batch, _ in pairs(data()):
            expected.step(batch)
        expected.end_epoch()
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


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_data_that_are_no_numbers_are_not_laid_on_the_learning_rate(value):
    X = data()
    X[3, 2] = value
    starts = []
    with pytest.raises(ValueError, match=r"before learning is (nan|inf): the data hold") as raised:
        train(machine("linear"), Passes([(X, None)], starts.append), 2)
    assert not isinstance(raised.value, DivergenceError)
    assert len(starts) == 1  # no smaller learning rate is tried


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
