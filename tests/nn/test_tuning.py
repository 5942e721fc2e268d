"""Neuron tuning against a naive Algorithm 1: histograms, targets, divergence, the whole loop."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import integrate, stats
from torch import nn

from sknninterp.nn.criteria import CRITERIA, TuningData
from sknninterp.nn.graph import evaluation, read
from sknninterp.nn.mlp import ACTIVATIONS, MLP
from sknninterp.nn.optim import FusedAdam
from sknninterp.nn.schedule import Schedule
from sknninterp.nn.tuning import (
    KLCriterion,
    NeuronTuner,
    RisingPowerLaw,
    target_distribution,
    target_masses,
)

EDGES = np.linspace(-3, 3, 23)


# --- naive re-implementations -------------------------------------------------------------------


def naive_histogram(values, edges, weights=None):
    """Shares of values clipped into the bins, value by value."""
    counts = [0.0] * (len(edges) - 1)
    weights = [1.0] * len(values) if weights is None else weights
    for value, weight in zip(values, weights, strict=True):
        value = min(max(value, edges[0]), edges[-1])
        place = max(b for b in range(len(counts)) if value >= edges[b])
        counts[place] += weight
    return np.array(counts) / sum(counts)


def naive_masses(activation, edges):
    """Share of each bin under the activation's target, from the closed formulas."""

    def cdf(y):
        if activation in ("sigmoid", "tanh"):
            deviation = {"sigmoid": 1.5, "tanh": 0.75}[activation]
            return 0.5 * (1 + math.erf(y / deviation / math.sqrt(2)))
        return 1 - ((edges[-1] - y) / (edges[-1] - edges[0])) ** 0.65

    heights = [cdf(edge) for edge in edges]
    heights[0], heights[-1] = 0.0, 1.0
    return [b - a for a, b in zip(heights, heights[1:], strict=False)]


def naive_score(p, q, eps=1e-5):
    return sum(p[b] * math.log((p[b] + eps) / (q[b] + eps)) for b in range(len(p)))


def naive_scores(columns, activation, weights=None, own_range=False):
    masses = naive_masses(activation, EDGES)
    scores = []
    for column in columns:
        edges = EDGES
        if own_range:
            edges = np.histogram_bin_edges(column, 22)
        scores.append(naive_score(naive_histogram(column, edges, weights), masses))
    return np.array(scores)


# --- target distributions -----------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_target_masses_of_each_activation(activation):
    found = target_masses(target_distribution(activation, (-3.0, 3.0)), EDGES)
    np.testing.assert_allclose(found, naive_masses(activation, EDGES), rtol=1e-12)
    assert found.sum() == pytest.approx(1.0)
    assert (found > 0).all()


def test_the_relu_target_rises_and_the_sigmoid_target_is_even():
    relu = target_masses(target_distribution("relu", (-3.0, 3.0)), EDGES)
    assert (np.diff(relu) > 0).all()
    for activation in ("sigmoid", "tanh"):
        masses = target_masses(target_distribution(activation, (-3.0, 3.0)), EDGES)
        np.testing.assert_allclose(masses, masses[::-1], rtol=1e-9)
    # Of N(0, 1.5) the tails beyond 3 are in the end bins: 1.5 is a deviation, not a variance.
    sigmoid = target_masses(target_distribution("sigmoid", (-3.0, 3.0)), EDGES)
    assert sigmoid[0] == pytest.approx(stats.norm(0, 1.5).cdf(EDGES[1]))


def test_rising_power_law_is_a_distribution():
    law = RisingPowerLaw(-3.0, 3.0)
    assert law.cdf(np.array([-5, -3, 3, 5])).tolist() == [0, 0, 1, 1]
    assert law.cdf(0.0) == pytest.approx(1 - 0.5**0.65)

    def density(y):
        return 0.65 / 6 * ((3 - y) / 6) ** -0.35

    mass, _ = integrate.quad(density, -1, 2)
    assert law.cdf(2) - law.cdf(-1) == pytest.approx(mass)


def test_the_relu_target_follows_the_range():
    edges = np.linspace(-1, 2, 7)
    found = target_masses(target_distribution("relu", (-1.0, 2.0)), edges)
    np.testing.assert_allclose(found, naive_masses("relu", edges))


def test_a_users_distribution_keeps_its_tails_in_the_end_bins():
    found = target_masses(stats.norm(1, 2), EDGES)
    cdf = stats.norm(1, 2).cdf
    assert found[0] == pytest.approx(cdf(EDGES[1]))
    assert found[-1] == pytest.approx(1 - cdf(EDGES[-2]))
    assert found[5] == pytest.approx(cdf(EDGES[6]) - cdf(EDGES[5]))


@pytest.mark.parametrize("activation", ["softplus", "identity", ""])
def test_an_activation_without_a_target_is_named(activation):
    with pytest.raises(ValueError, match=rf"activation '{activation}'.*pass one"):
        target_distribution(activation, (-3.0, 3.0))


# --- the criterion ------------------------------------------------------------------------------


def criterion_scores(module, shape, batches, criterion=None, layers="all"):
    graph = read(module, shape)
    data = TuningData(graph, graph.select(layers), batches, None, torch.Generator())
    return [s.numpy() for s in (criterion or KLCriterion())(data)]


@pytest.mark.parametrize("own_range", [False, True])
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "gelu"])
def test_kl_criterion_of_an_mlp(activation, own_range):
    module = MLP(4, 2, (5, 3), activation).double()
    x = 3 * torch.randn(40, 4, dtype=torch.float64)
    criterion = KLCriterion(histogram="own-range" if own_range else "common")
    batches = [(part, None, None) for part in x.split(17)]
    found = criterion_scores(module, (4,), batches, criterion)
    with torch.no_grad():
        first = module.hidden0(x)
        second = module.hidden1(module.activation0(first))
    for scores, pre in zip(found, (first, second), strict=True):
        expected = naive_scores(pre.T.tolist(), activation, own_range=own_range)
        np.testing.assert_allclose(scores, expected, rtol=1e-9)


def test_kl_criterion_judges_what_the_activation_gets():
    """Behind a batch norm and a pool, over all positions of a channel."""
    module = (
        nn.Sequential(
            nn.Conv2d(1, 3, 2),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(12, 2),
        )
        .double()
        .eval()
    )
    nn.init.uniform_(module[2].running_var, 0.1, 2.0)
    x = 5 * torch.randn(10, 1, 5, 5, dtype=torch.float64)
    (found,) = criterion_scores(module, (1, 5, 5), [(x, None, None)])
    with torch.no_grad():
        pre = module[:3](x)
    np.testing.assert_allclose(found, naive_scores(pre.movedim(1, 0).flatten(1).tolist(), "relu"))


@pytest.mark.parametrize("own_range", [False, True])
@pytest.mark.parametrize("network", ["mlp", "cnn-1d"])
def test_kl_criterion_takes_weights_for_repeated_samples(named_case, network, own_range):
    case = named_case(network)
    module, x = case.network(), 4 * case.samples(24)
    times = torch.arange(24) % 4
    times[:6] = 0  # a batch without weight
    criterion = KLCriterion(histogram="own-range" if own_range else "common")
    weighted = list(zip(x.split(6), [None] * 4, times.double().split(6), strict=True))
    repeated = [(x.repeat_interleave(times, 0), None, None)]
    for a, b in zip(
        criterion_scores(module, case.shape, weighted, criterion),
        criterion_scores(module, case.shape, repeated, criterion),
        strict=True,
    ):
        np.testing.assert_allclose(a, b)


def test_own_range_cannot_tell_a_dead_from_an_always_active_neuron():
    module = MLP(4, 2, (2,)).double()
    with torch.no_grad():
        module.hidden0.weight[1] = module.hidden0.weight[0]
        module.hidden0.bias.copy_(torch.tensor([-100.0, 100.0]))
    x = torch.randn(30, 4, dtype=torch.float64)
    (common,) = criterion_scores(module, (4,), [(x, None, None)])
    (own,) = criterion_scores(module, (4,), [(x, None, None)], KLCriterion(histogram="own-range"))
    assert own[0] == pytest.approx(own[1])
    assert common[0] > common[1]  # the ReLU's target rises: the dead neuron goes first


def test_own_range_of_a_constant_neuron_is_that_of_numpy():
    module = MLP(4, 2, (2,)).double()
    with torch.no_grad():
        module.hidden0.weight[0] = 0.0
    x = torch.randn(30, 4, dtype=torch.float64)
    (own,) = criterion_scores(module, (4,), [(x, None, None)], KLCriterion(histogram="own-range"))
    with torch.no_grad():
        columns = module.hidden0(x).T.tolist()
    np.testing.assert_allclose(own, naive_scores(columns, "relu", own_range=True))


def test_kl_criterion_with_a_users_bins_and_distribution():
    module = MLP(4, 2, (3,), "relu").double()
    x = torch.randn(30, 4, dtype=torch.float64)
    criterion = KLCriterion(stats.norm(0.5, 1), n_bins=7, bin_range=(-2, 1))
    (found,) = criterion_scores(module, (4,), [(x, None, None)], criterion)
    edges = np.linspace(-2, 1, 8)
    cdf = stats.norm(0.5, 1).cdf(edges)
    cdf[[0, -1]] = 0, 1
    with torch.no_grad():
        columns = module.hidden0(x).T.tolist()
    expected = [naive_score(naive_histogram(c, edges), np.diff(cdf)) for c in columns]
    np.testing.assert_allclose(found, expected)


def test_a_target_may_be_named_by_its_activation():
    relu, named = KLCriterion(), KLCriterion("relu")
    module, x = MLP(4, 2, (3,), "gelu").double(), torch.randn(30, 4, dtype=torch.float64)
    batches = [(x, None, None)]
    np.testing.assert_array_equal(
        criterion_scores(module, (4,), batches, relu),
        criterion_scores(module, (4,), batches, named),
    )
    with pytest.raises(ValueError, match=r"'relu' does not suit layer 'hidden0'.*'sigmoid'"):
        criterion_scores(MLP(4, 2, (3,), "sigmoid").double(), (4,), batches, named)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"histogram": "own"}, "histogram='own' is neither"),
        ({"bin_range": (3, -3)}, r"bin_range=\(3, -3\) must rise"),
        ({"n_bins": 1}, "n_bins=1 be at least 2"),
    ],
)
def test_senseless_histograms(options, message):
    with pytest.raises(ValueError, match=message):
        KLCriterion(**options)


# --- the whole of Algorithm 1 -------------------------------------------------------------------


def train(module, optimizer, x, y):
    for part in range(3):
        optimizer.zero_grad()
        F.cross_entropy(module.train()(x[part::3]), y[part::3]).backward()
        optimizer.step()


def fit(module, tuner, max_epochs, x, y, weight=None, optimizer=None, shape=None):
    """A training loop as a user of the tuner writes it."""
    optimizer = optimizer or FusedAdam(module.parameters(), lr=0.01)
    tuner.start(module, shape or x.shape[1:])
    for epoch in range(1, max_epochs + 1):
        train(module, optimizer, x, y)
        tuner.step(module, epoch, [(x, y, weight)], [optimizer], F.cross_entropy)
    return tuner


def toy(n=60, shape=(4,), n_classes=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, *shape, generator=generator, dtype=torch.float64)
    return 2 * x, (x.flatten(1)[:, 0] > 0).long() if n_classes == 2 else torch.arange(n) % 3


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_the_whole_algorithm_removes_the_neurons_of_a_naive_one(activation):
    x, y = toy()
    module = MLP(4, 2, (9, 6), activation, batch_norm=True).double()
    schedule = Schedule(8, n_tuned=2, tuning_step=3, tuning_stop=1.0)
    tuner = NeuronTuner(schedule).start(module, (4,))
    optimizer = FusedAdam(module.parameters(), lr=0.05)
    left = [list(range(9)), list(range(6))]
    expected = []
    for epoch in range(1, 9):
        train(module, optimizer, x, y)
        before = copy.deepcopy(module).eval()
        removed = tuner.step(module, epoch, [(x, y, None)], [optimizer])
        if epoch not in (3, 6):
            assert removed == []
            continue
        with torch.no_grad():
            first = before.norm0(before.hidden0(x))
            second = before.norm1(before.hidden1(before.activation0(first)))
        for layer, pre in enumerate((first, second)):
            scores = naive_scores(pre.T.tolist(), activation)
            worst = sorted(range(len(scores)), key=lambda i, scores=scores: (-scores[i], i))[:2]
            expected += [(epoch, f"hidden{layer}", left[layer][i], scores[i]) for i in worst]
            left[layer] = [n for i, n in enumerate(left[layer]) if i not in worst]
            # What stays are the rows of the neurons that stay, in their order.
            kept = [i for i in range(len(scores)) if i not in worst]
            name = f"hidden{layer}.bias"
            assert torch.equal(module.get_parameter(name), before.get_parameter(name)[kept])
    assert [(r.epoch, r.layer, r.neuron) for r in tuner.history] == [e[:3] for e in expected]
    np.testing.assert_allclose([r.score for r in tuner.history], [e[3] for e in expected])
    assert tuner.finished
    assert tuner.widths == {"hidden0": 5, "hidden1": 2}
    assert (module.hidden0.out_features, module.hidden1.out_features) == (5, 2)


@pytest.mark.parametrize("criterion", ["kl", *CRITERIA])
def test_every_criterion_removes_the_highest_of_its_scores(criterion):
    x, y = toy()
    module = MLP(4, 2, (8,)).double()
    tuner = NeuronTuner(Schedule(2, pruning_rate=0.5, tuning_stop=1.0), criterion=criterion, seed=3)
    tuner.start(module, (4,))
    graph = read(copy.deepcopy(module), (4,))
    generator = torch.Generator().manual_seed(3 + 1)
    data = TuningData(graph, graph.hidden_layers, [(x, y, None)], F.cross_entropy, generator)
    score = KLCriterion() if criterion == "kl" else CRITERIA[criterion]
    (expected,) = score(data)
    removed = tuner.step(module, 1, [(x, y, None)], [], F.cross_entropy)
    order = torch.argsort(expected.double(), descending=True, stable=True)[:4]
    assert [r.neuron for r in removed] == order.tolist()
    assert module.hidden0.out_features == 4


def test_ties_go_to_the_lowest_index():
    module = MLP(3, 2, (6,))
    tuner = NeuronTuner(
        Schedule(3, n_tuned=2, tuning_stop=1.0),
        criterion=lambda data: [
            torch.tensor([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])[: data.layers[0].width]
        ],
    ).start(module, (3,))
    for epoch in (1, 2):
        tuner.step(module, epoch, [])
    # Then 0, 2, 4 and 5 are left, with scores 0, 1, 0, 1.
    assert [r.neuron for r in tuner.history] == [1, 3, 2, 5]


def test_ties_among_many_go_to_the_lowest_index():
    module = MLP(3, 2, (300,))
    scores = torch.arange(300) % 2
    tuner = NeuronTuner(Schedule(2, n_tuned=140, tuning_stop=1.0), criterion=lambda _: [scores])
    removed = tuner.start(module, (3,)).step(module, 1, [])
    assert [r.neuron for r in removed] == list(range(1, 280, 2))


def test_the_same_training_removes_the_same_neurons():
    x, y = toy()
    for criterion in ("kl", "random"):
        histories = []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            module = MLP(4, 2, (8, 8), dropout=0.2).double()
            tuner = NeuronTuner(Schedule(6), criterion=criterion, seed=seed)
            histories.append(fit(module, tuner, 6, x, y).history)
        assert histories[0] == histories[1]
        assert histories[0] != histories[2]


def test_random_removal_leaves_the_global_random_state():
    module = MLP(4, 2, (8,)).double()
    tuner = NeuronTuner(Schedule(3, tuning_stop=1.0), criterion="random").start(module, (4,))
    state = torch.get_rng_state()
    tuner.step(module, 1, [])
    assert len(tuner.history) == 2
    assert torch.equal(torch.get_rng_state(), state)


def test_weights_of_samples_decide_as_repeated_samples_do():
    x, y = toy(40)
    times = torch.arange(40) % 4
    network = MLP(4, 2, (10,)).double()
    found = []
    for data in ((x, y, times.double()), (x.repeat_interleave(times, 0), None, None), (x, y, None)):
        module = copy.deepcopy(network)
        tuner = NeuronTuner(Schedule(3, tuning_stop=1.0)).start(module, (4,))
        tuner.step(module, 1, [data])
        found.append([(r.neuron, round(r.score, 9)) for r in tuner.history])
    assert found[0] == found[1] != found[2]


# --- structures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("criterion", [KLCriterion(stats.norm(0, 1)), "taylor"])
def test_every_network_of_the_matrix_can_be_tuned(case, criterion):
    module, x = case.network(), case.samples(12)
    before = {layer.name: layer.width for layer in read(module, case.shape).layers}
    tuner = NeuronTuner(Schedule(4, pruning_rate=0.4), criterion=criterion, rewind="init")
    tuner.start(module, case.shape)
    optimizer = FusedAdam(module.parameters())
    for epoch in range(1, 5):
        optimizer.zero_grad()
        module.train()(x).square().mean().backward()
        optimizer.step()
        tuner.step(module, epoch, [(x, x, None)], [optimizer], lambda out, _: out.square().mean())
    assert tuner.finished
    after = {layer.name: layer.width for layer in read(module, case.shape).layers}
    for name, width in tuner.widths.items():
        assert width == after[name] == before[name] - int(0.4 * before[name])


def test_tied_layers_lose_the_same_neurons_by_their_mean_score(named_case):
    case = named_case("residual")
    module = case.network()
    scores = {
        "stem": torch.arange(6.0),
        "inner": torch.zeros(5),
        "outer": torch.tensor([9.0] + [0] * 5),
    }

    def criterion(data):
        return [scores[layer.name] for layer in data.layers]

    tuner = NeuronTuner(Schedule(2, n_tuned=2, tuning_stop=1.0), criterion=criterion)
    tuner.start(module, case.shape)
    assert tuner.widths == {"stem": 6, "inner": 5}  # "outer" is tied to "stem"
    removed = tuner.step(module, 1, [])
    # Means of stem and outer: 4.5, .5, 1, 1.5, 2, 2.5.
    assert [(r.layer, r.neuron, r.score) for r in removed] == [
        ("stem", 0, 4.5),
        ("stem", 5, 2.5),
        ("inner", 0, 0.0),
        ("inner", 1, 0.0),
    ]
    assert module.stem.out_features == module.outer.out_features == 4
    assert module.inner.in_features == 4


def test_only_the_target_layers_are_tuned():
    x, y = toy()
    module = MLP(4, 2, (8, 8, 8)).double()
    tuner = NeuronTuner(Schedule(4, pruning_rate=0.5), target_layers=["hidden2", 0])
    fit(module, tuner, 4, x, y)
    assert [module.get_submodule(f"hidden{i}").out_features for i in range(3)] == [4, 8, 4]
    assert {r.layer for r in tuner.history} == {"hidden0", "hidden2"}


def test_neurons_are_counted_from_each_layers_first_width():
    x, y = toy()
    module = MLP(4, 2, (10, 5)).double()
    tuner = fit(module, NeuronTuner(Schedule(11, pruning_rate=0.8)), 11, x, y)
    assert tuner.widths == {"hidden0": 2, "hidden1": 1}
    for layer in ("hidden0", "hidden1"):
        neurons = [r.neuron for r in tuner.history if r.layer == layer]
        assert len(set(neurons)) == len(neurons)
    assert max(r.epoch for r in tuner.history) <= 8


def test_no_neuron_goes_when_none_is_to_go():
    x, y = toy()
    module, plain = (MLP(4, 2, (8,)).double() for _ in range(2))
    plain.load_state_dict(module.state_dict())
    fit(module, NeuronTuner(Schedule(4, pruning_rate=0.0)), 4, x, y)
    optimizer = FusedAdam(plain.parameters(), lr=0.01)
    for _ in range(4):
        train(plain, optimizer, x, y)
    for a, b in zip(module.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a, b)


# --- rewinding ----------------------------------------------------------------------------------


def survivors(tuner, layer, width, until=math.inf):
    gone = {r.neuron for r in tuner.history if r.layer == layer and r.epoch <= until}
    return [i for i in range(width) if i not in gone]


@pytest.mark.parametrize("rewind", ["init", 2])
def test_rewinding_gives_the_survivors_their_earlier_weights(rewind):
    x, y = toy()
    module = MLP(4, 2, (8, 6), batch_norm=True).double()
    snapshots = {0: copy.deepcopy(module.state_dict())}
    optimizer = FusedAdam(module.parameters(), lr=0.05)
    schedule = Schedule(6, pruning_rate=0.5, tuning_start=0.5)
    tuner = NeuronTuner(schedule, rewind=rewind).start(module, (4,))
    assert schedule.epochs == [3, 4]
    for epoch in range(1, 5):
        train(module, optimizer, x, y)
        tuner.step(module, epoch, [(x, y, None)], [optimizer])
        snapshots[epoch] = copy.deepcopy(module.state_dict())
    then = snapshots[0 if rewind == "init" else rewind]
    first, second = survivors(tuner, "hidden0", 8), survivors(tuner, "hidden1", 6)
    assert torch.equal(module.hidden0.weight, then["hidden0.weight"][first])
    assert torch.equal(module.hidden1.weight, then["hidden1.weight"][second][:, first])
    assert torch.equal(module.output.weight, then["output.weight"][:, second])
    assert torch.equal(module.norm0.running_mean, then["norm0.running_mean"][first])
    assert torch.equal(module.norm1.weight, then["norm1.weight"][second])
    assert len(optimizer.state) == 0
    train(module, optimizer, x, y)
    assert not torch.equal(module.output.weight, then["output.weight"][:, second])
    assert tuner.step(module, 5, [(x, y, None)], [optimizer]) == []


def test_rewinding_to_an_epoch_between_tunings():
    x, y = toy()
    module = MLP(4, 2, (8,)).double()
    optimizer = FusedAdam(module.parameters(), lr=0.05)
    tuner = NeuronTuner(Schedule(5, n_tuned=2, tuning_stop=0.6), rewind=2).start(module, (4,))
    states = {}
    for epoch in range(1, 4):
        train(module, optimizer, x, y)
        tuner.step(module, epoch, [(x, y, None)], [optimizer])
        states[epoch] = copy.deepcopy(module.state_dict())
    # After epoch 2 four neurons were left; the two that went after epoch 3 are gone from them.
    after_two = survivors(tuner, "hidden0", 8, until=2)
    last = survivors(tuner, "hidden0", 8)
    places = [after_two.index(i) for i in last]
    assert torch.equal(module.hidden0.weight, states[2]["hidden0.weight"][places])


@pytest.mark.parametrize("rewind", [0, 8, 9, "start", 2.5])
def test_rewinding_to_what_there_is_not(rewind):
    tuner = NeuronTuner(Schedule(10), rewind=rewind)
    with pytest.raises(ValueError, match=rf"rewind={rewind!r} must be 'init' or an epoch before"):
        tuner.start(MLP(4, 2, (8,)), (4,))


# --- use and errors -----------------------------------------------------------------------------


def test_a_tuner_is_pickled_and_copied_in_the_middle_of_a_training():
    x, y = toy()
    schedule = Schedule(6, pruning_rate=0.5, tuning_stop=1.0)
    module = MLP(4, 2, (8,)).double()
    tuner = NeuronTuner(schedule, rewind="init").start(module, (4,))
    tuner.step(module, 1, [(x, y, None)])
    tuner.step(module, 2, [(x, y, None)])
    other_module, other = pickle.loads(pickle.dumps((module, tuner)))
    third = copy.deepcopy(tuner)
    for epoch in range(3, 6):
        tuner.step(module, epoch, [(x, y, None)])
        other.step(other_module, epoch, [(x, y, None)])
    assert other.history == tuner.history
    assert torch.equal(module.hidden0.weight, other_module.hidden0.weight)
    assert len(third.history) == 1
    assert len(tuner.history) == 4


def test_judging_leaves_the_network_in_training_mode_and_without_gradients():
    x, y = toy()
    module = MLP(4, 2, (8,), dropout=0.5).double().train()
    tuner = NeuronTuner(Schedule(3, tuning_stop=1.0), criterion="taylor").start(module, (4,))
    tuner.step(module, 1, [(x, y, None)], loss=F.cross_entropy)
    assert len(tuner.history) == 2
    assert all(m.training for m in module.modules())
    assert all(p.grad is None for p in module.parameters())


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([torch.zeros(8)], r"gave scores for 1 layers; 2 are tuned: \['hidden0', 'hidden1'\]"),
        ([torch.zeros(8), torch.zeros(5)], r"gave 5 scores for layer 'hidden1' of 6 neurons"),
        ([torch.zeros(8), torch.full((6,), torch.nan)], r"gave NaN for layer 'hidden1'"),
    ],
)
def test_a_criterion_that_errs_is_told_so_and_nothing_is_removed(scores, message):
    module = MLP(4, 2, (8, 6))
    tuner = NeuronTuner(Schedule(3, tuning_stop=1.0), criterion=lambda data: scores)
    tuner.start(module, (4,))
    with pytest.raises(ValueError, match=f"criterion {message}"):
        tuner.step(module, 1, [])
    assert module.hidden0.out_features == 8
    assert tuner.history == []
    assert tuner.widths == {"hidden0": 8, "hidden1": 6}


def test_a_criterion_may_give_lists_arrays_and_infinite_scores():
    module = MLP(4, 2, (4, 4))
    scores = [[0, 1, 2, float("inf")], np.array([[-1.0], [0.0], [-np.inf], [3.0]])]
    tuner = NeuronTuner(Schedule(2, n_tuned=1, tuning_stop=1.0), criterion=lambda data: scores)
    removed = tuner.start(module, (4,)).step(module, 1, [])
    assert [(r.layer, r.neuron) for r in removed] == [("hidden0", 3), ("hidden1", 3)]


def test_a_refused_cut_leaves_the_tuner_as_it_was():
    module = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Linear(4, 8)), nn.ReLU(), nn.Linear(8, 2)
    )
    tuner = NeuronTuner(Schedule(3, tuning_stop=1.0), criterion="random").start(module, (4,))
    with pytest.raises(ValueError, match="parametrization"):
        tuner.step(module, 1, [])
    assert tuner.history == []
    assert tuner.widths == {"0": 8}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_layers": "hidden7"}, "target_layers: there is no hidden layer 'hidden7'"),
        ({"target_layers": []}, "target_layers: this network has no hidden layer"),
        ({"criterion": "entropy"}, "criterion='entropy' is not one of"),
        ({"schedule": Schedule(10, pruning_rate=1.0)}, "leave 0 of 8 neurons in layer 'hidden0'"),
        ({"schedule": Schedule(1)}, "No neuron can be removed: no epoch of max_epochs=1"),
    ],
)
def test_senseless_requests_fail_before_training(options, message):
    options = {"schedule": Schedule(10), **options}
    with pytest.raises(ValueError, match=message):
        NeuronTuner(options.pop("schedule"), **options).start(MLP(4, 2, (8,)), (4,))


def test_layers_without_a_target_fail_before_training():
    linear = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    with pytest.raises(ValueError, match="'auto': layer '0' has no activation"):
        NeuronTuner(Schedule(10)).start(linear, (4,))
    softplus = nn.Sequential(nn.Linear(4, 3), nn.Softplus(), nn.Linear(3, 2))
    with pytest.raises(ValueError, match="activation 'softplus'"):
        NeuronTuner(Schedule(10)).start(softplus, (4,))
    NeuronTuner(Schedule(10), criterion=KLCriterion(stats.norm(0, 1))).start(linear, (4,))
    NeuronTuner(Schedule(10), criterion="magnitude").start(softplus, (4,))


def test_a_network_without_hidden_layers_cannot_be_tuned():
    with pytest.raises(ValueError, match="no hidden layer that can be tuned"):
        NeuronTuner(Schedule(10)).start(MLP(4, 2, ()), (4,))


def test_a_tuned_network_is_the_smaller_one_it_seems():
    x, y = toy()
    module = MLP(4, 2, (16, 8)).double()
    fit(module, NeuronTuner(Schedule(5, pruning_rate=0.75)), 5, x, y)
    small = MLP(4, 2, (4, 2)).double()
    small.load_state_dict(module.state_dict())
    with evaluation(module), torch.no_grad():
        assert torch.equal(module(x), small(x))


@pytest.mark.parametrize("rewind", [None, "init", 2])
@pytest.mark.parametrize("n_epochs", [1, 3, 5])
def test_a_tuner_goes_on_from_a_state(rewind, n_epochs):
    x, y = toy()

    def start():
        torch.manual_seed(0)
        module = MLP(4, 2, (16, 8)).double()
        schedule = Schedule(6, pruning_rate=0.75)
        return module, NeuronTuner(schedule, rewind=rewind).start(module, (4,))

    with torch.random.fork_rng():
        module, tuner = start()
        fit(module, tuner, n_epochs, x, y)
        state, weights = copy.deepcopy(tuner.state_dict()), copy.deepcopy(module.state_dict())
        other, again = start()
    again.load_state_dict(other, state)
    other.load_state_dict(weights)
    assert (again.history, again.widths) == (tuner.history, tuner.widths)
    for epoch in range(n_epochs + 1, 7):
        for one, of_one in ((module, tuner), (other, again)):
            of_one.step(one, epoch, [(x, y, None)])
    assert again.history == tuner.history
    assert len(tuner.history) == 18
    for name, value in module.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
