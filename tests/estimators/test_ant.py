"""Networks made smaller while they are trained: what is removed, when, by what, and what stays."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import load_digits, make_classification
from skorch.callbacks import Callback, Checkpoint
from torch import nn

from sknninterp import ANTClassifier, ANTRegressor, TorchMLPClassifier, TorchMLPRegressor
from sknninterp.nn.criteria import CRITERIA
from sknninterp.nn.nodes import UnsupportedModuleError

PAIRS = [(ANTClassifier, TorchMLPClassifier), (ANTRegressor, TorchMLPRegressor)]
TUNED = [ANTClassifier, ANTRegressor]

X, Y = make_classification(n_samples=120, n_features=6, n_informative=4, random_state=0)
TARGET = X[:, 0] + 0.1 * Y


def make(kind=ANTClassifier, **params):
    defaults = {
        "hidden_layer_sizes": (12, 8),
        "max_epochs": 10,
        "batch_size": 32,
        "lr": 0.01,
        "random_state": 0,
    }
    return kind(**{**defaults, **params})


def target(kind):
    return Y if kind in (ANTClassifier, TorchMLPClassifier) else TARGET


def fitted(kind=ANTClassifier, **params):
    return make(kind, **params).fit(X, target(kind))


def assert_same_network(one, other):
    ours, theirs = one.module_.state_dict(), other.module_.state_dict()
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name
    np.testing.assert_array_equal(one.predict(X), other.predict(X))


def assert_consistent(estimator, widths):
    """The attributes and the network tell the same story."""
    history, removed = estimator.tuning_history_, estimator.removed_neurons_
    assert list(history) == ["epoch", "layer", "neuron", "score"]
    linear = [m for m in estimator.module_.modules() if isinstance(m, nn.Linear)]
    assert estimator.layer_sizes_ == [m.out_features for m in linear[:-1]]
    for i, width in enumerate(widths):
        name = f"hidden{i}"
        gone = removed.get(name, [])
        assert gone == history.loc[history["layer"] == name, "neuron"].tolist()
        assert len(set(gone)) == len(gone)
        assert set(gone) <= set(range(width))
        assert estimator.layer_sizes_[i] == width - len(gone)
    for before, after in zip(linear, linear[1:], strict=False):
        assert before.weight.shape[0] == len(before.bias) == after.weight.shape[1]
    assert history["epoch"].is_monotonic_increasing
    for parameter, state in estimator.net_.optimizer_.state.items():
        assert all(v.shape in ((), parameter.shape) for v in state.values())


class Recorder(Callback):
    """Keeps the weights before the training and after every epoch."""

    def __init__(self):
        self.states_ = []

    def on_train_begin(self, net, **kwargs):
        self.states_.append(copy.deepcopy(net.module_.state_dict()))

    def on_epoch_end(self, net, **kwargs):
        self.states_.append(copy.deepcopy(net.module_.state_dict()))


def last_first(data):
    """A criterion by which the last neuron goes first."""
    return [torch.arange(layer.width) for layer in data.layers]


# --- nothing to remove: the plain network -------------------------------------------------------


@pytest.mark.parametrize("params", [{}, {"dropout": 0.3, "batch_norm": True, "dtype": "float32"}])
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize(("tuned", "plain"), PAIRS)
def test_no_pruning_is_the_plain_network_bit_for_bit(tuned, plain, early_stopping, params):
    params = {**params, "early_stopping": early_stopping, "patience": 2, "max_epochs": 20}
    unpruned, network = fitted(tuned, pruning_rate=0, **params), fitted(plain, **params)
    assert_same_network(unpruned, network)
    columns = ["epoch", "train_loss"] + ["valid_loss"] * early_stopping
    pd.testing.assert_frame_equal(unpruned.history_[columns], network.history_[columns])
    assert unpruned.layer_sizes_ == [12, 8]
    assert unpruned.removed_neurons_ == {}
    assert unpruned.tuning_history_.shape == (0, 4)
    for one in (unpruned, network):
        if not early_stopping:
            one.partial_fit(X, target(tuned))
    assert_same_network(unpruned, network)


def test_no_pruning_takes_networks_that_cannot_be_read():
    estimator = fitted(module=Branching, pruning_rate=0)
    assert estimator.predict(X).shape == (120,)
    with pytest.raises(UnsupportedModuleError, match="Branching.* cannot be read"):
        fitted(module=Branching)


class Branching(nn.Module):
    """What it does depends on the data."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.linear = nn.Linear(n_inputs, n_outputs)

    def forward(self, x):
        return self.linear(x) if x.sum() > 0 else self.linear(-x)


# --- how many, and when -------------------------------------------------------------------------


@given(
    widths=st.lists(st.integers(1, 20), min_size=1, max_size=3),
    rate=st.floats(0, 0.9),
    step=st.integers(1, 3),
    epochs=st.integers(6, 9),
    kind=st.sampled_from(TUNED),
)
@settings(max_examples=25)
def test_pruning_rate_is_the_share_gone_by_the_end(widths, rate, step, epochs, kind):
    estimator = make(
        kind, hidden_layer_sizes=widths, pruning_rate=rate, tuning_step=step, max_epochs=epochs
    )
    estimator.fit(X, target(kind))
    assert_consistent(estimator, widths)
    assert estimator.layer_sizes_ == [w - math.floor(rate * w + 1e-9) for w in widths]
    tuned_after = set(estimator.tuning_history_["epoch"])
    assert all(e % step == 0 and 1 <= e <= 0.8 * epochs for e in tuned_after)


@pytest.mark.parametrize(("step", "epochs"), [(1, 5), (2, 9), (3, 10)])
@pytest.mark.parametrize("kind", TUNED)
def test_n_tuned_counts_per_tuning_and_layer(kind, step, epochs):
    widths = (20, 30)
    estimator = fitted(
        kind, hidden_layer_sizes=widths, n_tuned=2, tuning_step=step, max_epochs=epochs,
        tuning_stop=1.0, pruning_rate=0.01,
    )  # fmt: skip
    assert_consistent(estimator, widths)
    total = 2 * ((epochs - 1) // step)  # the paper's n times its number of tunings
    assert estimator.layer_sizes_ == [20 - total, 30 - total]
    counts = estimator.tuning_history_.groupby(["epoch", "layer"]).size()
    assert (counts == 2).all()
    assert sorted(set(estimator.tuning_history_["epoch"])) == list(range(step, epochs, step))


def test_tuning_start_and_stop():
    history = fitted(tuning_start=0.3, tuning_stop=0.6, pruning_rate=0.75).tuning_history_
    assert sorted(set(history["epoch"])) == [3, 4, 5, 6]


def test_removals_are_spread_evenly():
    estimator = fitted(hidden_layer_sizes=(80,), pruning_rate=0.5)
    per_epoch = estimator.tuning_history_.groupby("epoch").size()
    assert per_epoch.tolist() == [5] * 8
    assert estimator.history_["n_neurons"].tolist() == [75, 70, 65, 60, 55, 50, 45, 40, 40, 40]


@pytest.mark.parametrize(
    ("layers", "sizes"),
    [
        ("all", [6, 4]),
        (0, [6, 8]),
        (-1, [12, 4]),
        ("hidden1", [12, 4]),
        ([1], [12, 4]),
        (["hidden0"], [6, 8]),
        ((0, "hidden1"), [6, 4]),
    ],
)
def test_target_layers(layers, sizes):
    estimator = fitted(target_layers=layers)
    assert_consistent(estimator, (12, 8))
    assert estimator.layer_sizes_ == sizes
    assert set(estimator.removed_neurons_) == {
        f"hidden{i}"
        for i, (size, width) in enumerate(zip(sizes, (12, 8), strict=True))
        if size < width
    }


# --- which --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TUNED)
@pytest.mark.parametrize("criterion", ["kl", *CRITERIA])
def test_every_criterion(kind, criterion):
    if kind is ANTRegressor and criterion == "selectivity":
        with pytest.raises(ValueError, match="criterion='selectivity' needs class labels"):
            fitted(kind, criterion=criterion)
        return
    estimator = fitted(kind, criterion=criterion)
    assert_consistent(estimator, (12, 8))
    assert estimator.layer_sizes_ == [6, 4]
    again = fitted(kind, criterion=criterion)
    pd.testing.assert_frame_equal(estimator.tuning_history_, again.tuning_history_)
    assert_same_network(estimator, again)


def test_criteria_remove_different_neurons():
    removed = {
        name: tuple(fitted(hidden_layer_sizes=(40,), criterion=name).removed_neurons_["hidden0"])
        for name in ("kl", *CRITERIA)
    }
    assert len(set(removed.values())) == len(removed)


def test_random_criterion_follows_the_seed():
    def removed(seed):
        return fitted(criterion="random", random_state=seed).removed_neurons_

    assert removed(0) == removed(0)
    assert removed(np.random.RandomState(7)) == removed(np.random.RandomState(7))
    assert removed(0) != removed(1)
    shared = np.random.RandomState(7)
    assert removed(shared) != removed(shared)


def test_callable_criterion_decides():
    estimator = fitted(criterion=last_first)
    assert_consistent(estimator, (12, 8))
    assert estimator.removed_neurons_ == {"hidden0": [11, 10, 9, 8, 7, 6], "hidden1": [7, 6, 5, 4]}
    # The scores are those of the positions that were left.
    first = estimator.tuning_history_.query("layer == 'hidden0'")
    assert first["score"].tolist() == [11, 10, 9, 8, 7, 6]


def test_criterion_sees_what_it_is_to_judge():
    seen = []

    def curious(data):
        n = sum(len(inputs) for inputs, _, _ in data.batches)
        labels = torch.cat([labels for _, labels, _ in data.batches])
        weights = [weight for _, _, weight in data.batches]
        seen.append((n, labels.dtype, weights[0] is not None, data.loss is not None))
        return last_first(data)

    sizes = (12, 12)
    fitted(criterion=curious, n_tuned=1, hidden_layer_sizes=sizes)
    assert seen == [(120, torch.int64, False, True)] * 8
    seen.clear()
    weighted = make(criterion=curious, n_tuned=1, hidden_layer_sizes=sizes, early_stopping=True)
    weighted.fit(X, Y, sample_weight=np.ones(120))
    assert seen == [(12, torch.int64, True, True)] * 8


@pytest.mark.parametrize(
    ("criterion", "message"),
    [
        (lambda data: [torch.zeros(3)] * 2, "criterion gave 3 scores for layer 'hidden0' of 12"),
        (lambda data: [torch.full((w.width,), np.nan) for w in data.layers], "criterion gave NaN"),
    ],
)
def test_criterion_that_gives_nonsense(criterion, message):
    with pytest.raises(ValueError, match=message):
        fitted(criterion=criterion)


# --- target distributions and histograms --------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "same"),
    [
        ("sigmoid", stats.norm(0, 1.5)),
        ("tanh", stats.norm(0, 0.75)),
        ("sigmoid", "sigmoid"),
        ("tanh", "tanh"),
        ("relu", "relu"),
        ("gelu", "relu"),  # of one family
        ("elu", "silu"),
    ],
)
def test_target_distribution_of_an_activation(activation, same):
    auto = fitted(activation=activation)
    given_ = fitted(activation=activation, target_distribution=same)
    pd.testing.assert_frame_equal(auto.tuning_history_, given_.tuning_history_)
    assert_same_network(auto, given_)


def test_own_target_distribution_matters():
    auto, own = (
        fitted(target_distribution=d, activation="tanh") for d in ("auto", stats.uniform(-3, 6))
    )
    assert own.layer_sizes_ == [6, 4]
    assert not auto.tuning_history_["score"].equals(own.tuning_history_["score"])


@pytest.mark.parametrize(
    ("activation", "name"),
    [("sigmoid", "relu"), ("relu", "sigmoid"), ("tanh", "sigmoid"), ("gelu", "tanh")],
)
@pytest.mark.parametrize("kind", TUNED)
def test_target_by_the_name_of_another_activation(kind, activation, name):
    message = (
        f"target_distribution='{name}' does not suit layer 'hidden0', whose activation is"
        f" '{activation}'"
    )
    trained = []

    class Counter(Callback):
        def on_epoch_end(self, net, **kwargs):
            trained.append(net)

    with pytest.raises(ValueError, match=message):
        fitted(kind, activation=activation, target_distribution=name, callbacks=[Counter()])
    assert not trained  # at once, not after the first epochs


def softplus_network(n_inputs, n_outputs):
    return nn.Sequential(nn.Linear(n_inputs, 8), nn.Softplus(), nn.Linear(8, n_outputs))


def test_activation_without_a_target():
    with pytest.raises(ValueError, match="no distribution is known for activation 'softplus'"):
        fitted(module=softplus_network)
    by_name = fitted(module=softplus_network, target_distribution="relu")
    assert by_name.layer_sizes_ == [4]
    assert fitted(module=softplus_network, criterion="taylor").layer_sizes_ == [4]
    assert fitted(module=softplus_network, target_distribution=stats.norm()).layer_sizes_ == [4]


def test_histogram_over_each_neurons_own_range():
    common, own = (fitted(histogram=h) for h in ("common", "own-range"))
    assert own.layer_sizes_ == common.layer_sizes_
    assert not own.tuning_history_["score"].equals(common.tuning_history_["score"])


def test_bins():
    plain, fine, wide = fitted(), fitted(n_bins=50), fitted(bin_range=[-10, 10])
    assert len({tuple(e.tuning_history_["score"]) for e in (plain, fine, wide)}) == 3


# --- early stopping, going on, rewinding --------------------------------------------------------


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("kind", TUNED)
def test_early_stopping_waits_for_the_last_removal(kind, batch_norm):
    estimator = fitted(
        kind, early_stopping=True, patience=1, lr=0.3, max_epochs=40, pruning_rate=0.75,
        batch_norm=batch_norm, callbacks=[Recorder()],
    )  # fmt: skip
    assert_consistent(estimator, (12, 8))
    assert estimator.layer_sizes_ == [3, 2]
    last = estimator.tuning_history_["epoch"].max()
    losses = estimator.history_.set_index("epoch")["valid_loss"]
    assert last < estimator.n_iter_ < 40
    assert (losses.loc[:last].diff() > 0).any()  # a judge of all epochs would have stopped
    best = losses.loc[last + 1 :].idxmin()
    recorded = dict(estimator.net_.callbacks_)["Recorder"].states_[best]
    for name, value in estimator.module_.state_dict().items():
        assert torch.equal(value, recorded[name])


def test_partial_fit_tunes_as_if_each_call_were_an_epoch():
    estimator = make(max_epochs=5, pruning_rate=0.5, hidden_layer_sizes=(16,))
    sizes = [estimator.partial_fit(X, Y).layer_sizes_[0] for _ in range(7)]
    assert sizes == [14, 12, 10, 8, 8, 8, 8]
    assert_consistent(estimator, (16,))


def test_fitted_network_is_not_pruned_again():
    estimator = fitted(warm_start=True)
    estimator.fit(X, Y).partial_fit(X, Y)
    assert estimator.layer_sizes_ == [6, 4]
    assert estimator.n_iter_ == 21
    assert_consistent(estimator, (12, 8))
    assert estimator.set_params(warm_start=False, pruning_rate=0.75).fit(X, Y).layer_sizes_ == [
        3,
        2,
    ]


@pytest.mark.parametrize(("rewind", "state"), [("init", 0), (3, 3)])
def test_rewinding(rewind, state):
    estimator = fitted(
        rewind=rewind, tuning_stop=0.6, tuning_start=0.4, callbacks=[Recorder()],
        hidden_layer_sizes=(12,),
    )  # fmt: skip
    states = dict(estimator.net_.callbacks_)["Recorder"].states_
    last = estimator.tuning_history_["epoch"].max()
    stay = np.setdiff1d(range(12), estimator.removed_neurons_["hidden0"])
    then, after = states[state], states[last]
    assert torch.equal(after["hidden0.weight"], then["hidden0.weight"][stay])
    assert torch.equal(after["hidden0.bias"], then["hidden0.bias"][stay])
    assert torch.equal(after["output.weight"], then["output.weight"][:, stay])
    assert torch.equal(after["output.bias"], then["output.bias"])
    assert not torch.equal(states[-1]["output.bias"], then["output.bias"])  # trained on since
    assert estimator.layer_sizes_ == [6]


def test_user_callbacks_see_the_smaller_network(tmp_path):
    checkpoint = Checkpoint(dirname=str(tmp_path), monitor=None)
    estimator = fitted(callbacks=[checkpoint])
    saved = torch.load(tmp_path / "params.pt", weights_only=True)
    assert saved["hidden0.weight"].shape == (6, 6)
    assert torch.equal(saved["output.weight"], estimator.module_.output.weight)


# --- keeping ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_copies_keep_the_story_and_go_on_tuning(how):
    estimator = make(max_epochs=8, pruning_rate=0.75)
    for _ in range(3):
        estimator.partial_fit(X, Y)
    again = how(estimator)
    assert again.removed_neurons_ == estimator.removed_neurons_
    for _ in range(4):
        estimator.partial_fit(X, Y)
        again.partial_fit(X, Y)
    assert again.layer_sizes_ == [3, 2]
    assert_consistent(again, (12, 8))
    assert again.removed_neurons_ == estimator.removed_neurons_
    assert_same_network(estimator, again)


@pytest.mark.parametrize(("tuned", "plain"), PAIRS)
def test_pickle_shrinks_with_the_network(tuned, plain):
    params = {"hidden_layer_sizes": (200, 200), "max_epochs": 5}
    large = len(pickle.dumps(fitted(plain, **params)))
    small = len(pickle.dumps(fitted(tuned, pruning_rate=0.75, **params)))
    assert small < 0.15 * large  # the square of the share that is left, and the history


def test_clone_starts_anew():
    estimator = fitted()
    again = clone(estimator)
    assert not hasattr(again, "layer_sizes_")
    assert not hasattr(again, "removed_neurons_")
    assert_same_network(again.fit(X, Y), estimator)


# --- convolutions -------------------------------------------------------------------------------


class SmallCNN(nn.Module):
    """Convolutions with batch norm, a residual add and a flatten."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.first = nn.Conv2d(n_inputs, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.dense = nn.Linear(8 * 4 * 4, 16)
        self.output = nn.Linear(16, n_outputs)

    def forward(self, x):
        x = torch.relu(self.norm(self.first(x)))
        x = torch.relu(x + self.second(x))
        x = nn.functional.max_pool2d(x, 2).flatten(1)
        return self.output(torch.relu(self.dense(x)))


@pytest.mark.parametrize(
    "criterion", ["kl", "magnitude", "apoz", "taylor", "selectivity", "influence", "random"]
)
def test_channels_of_a_cnn_go(criterion):
    images, digits = load_digits(return_X_y=True)
    images, digits = images[:300].reshape(-1, 1, 8, 8) / 16, digits[:300]
    estimator = ANTClassifier(
        module=SmallCNN, max_epochs=12, lr=0.01, pruning_rate=0.5, criterion=criterion,
        random_state=0, dtype="float32",
    ).fit(images, digits)  # fmt: skip
    assert estimator.layer_sizes_ == [4, 4, 8]
    assert estimator.module_.first.weight.shape == (4, 1, 3, 3)
    assert estimator.module_.norm.num_features == 4
    assert estimator.module_.second.weight.shape == (4, 4, 3, 3)
    assert estimator.module_.dense.weight.shape == (8, 4 * 4 * 4)
    assert estimator.score(images, digits) > 0.6
    # Both convolutions share their channels, and the first stands for them.
    assert {name: len(gone) for name, gone in estimator.removed_neurons_.items()} == {
        "first": 4,
        "dense": 8,
    }


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TUNED)
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"pruning_rate": 1}, "'pruning_rate' parameter"),
        ({"pruning_rate": 1.5}, "'pruning_rate' parameter"),
        ({"pruning_rate": -0.1}, "'pruning_rate' parameter"),
        ({"pruning_rate": "half"}, "'pruning_rate' parameter"),
        (
            {"pruning_rate": 0.99, "min_neurons": 2},
            r"pruning_rate=0.99 would leave 1 of 12 neurons",
        ),
        ({"n_tuned": 1, "max_epochs": 20}, r"n_tuned=1 x 16 tunings would leave 0 of 12 neurons"),
        ({"n_tuned": 0}, "'n_tuned' parameter"),
        ({"n_tuned": 1.5}, "'n_tuned' parameter"),
        ({"max_epochs": 1}, "max_epochs=1"),
        ({"tuning_step": 10}, "tuning_step=10"),
        ({"tuning_step": 0}, "'tuning_step' parameter"),
        ({"tuning_start": 0.81}, "tuning_start=0.81"),
        ({"tuning_start": 1.0}, "'tuning_start' parameter"),
        ({"tuning_stop": 0.05}, "tuning_stop=0.05"),
        ({"tuning_stop": 0.0}, "'tuning_stop' parameter"),
        (
            {"target_layers": 2},
            r"target_layers: there is no hidden layer 2; .*\['hidden0', 'hidden1'\]",
        ),
        ({"target_layers": -3}, "target_layers: there is no hidden layer -3"),
        ({"target_layers": "output"}, "target_layers: there is no hidden layer 'output'"),
        ({"target_layers": ["hidden0", "hidden2"]}, "there is no hidden layer 'hidden2'"),
        ({"target_layers": []}, "target_layers"),
        ({"target_layers": [0.5]}, "target_layers: there is no hidden layer 0.5"),
        ({"target_layers": None}, "'target_layers' parameter"),
        ({"criterion": "luck"}, "'criterion' parameter"),
        ({"target_distribution": "gauss"}, "'target_distribution' parameter .* among .*'relu'"),
        ({"target_distribution": 3}, "'target_distribution' parameter"),
        ({"n_bins": 1}, "'n_bins' parameter"),
        ({"bin_range": (3, -3)}, r"bin_range must be \(low, high\), low < high, got \(3, -3\)"),
        ({"bin_range": (1, 1)}, "bin_range must be"),
        ({"bin_range": (0, 1, 2)}, "bin_range must be"),
        ({"bin_range": ("low", "high")}, "bin_range must be"),
        ({"bin_range": (0, np.inf)}, "bin_range must be"),
        ({"bin_range": 3}, "'bin_range' parameter"),
        ({"histogram": "shared"}, "'histogram' parameter"),
        ({"tuning_data": "test"}, "'tuning_data' parameter"),
        ({"min_neurons": 0}, "'min_neurons' parameter"),
        ({"min_neurons": 7}, "pruning_rate=0.5 would leave 6 of 12 .* min_neurons=7"),
        ({"rewind": "start"}, "'rewind' parameter"),
        ({"rewind": 0}, "'rewind' parameter"),
        ({"rewind": 8}, "rewind=8 must be 'init' or an epoch before the last tuning.* epoch 8"),
        ({"hidden_layer_sizes": ()}, "no hidden layer that can be tuned"),
    ],
)
def test_bad_parameters(kind, params, message):
    with pytest.raises(ValueError, match=message):
        fitted(kind, **params)


def test_no_hidden_layer_and_nothing_to_tune():
    estimator = fitted(hidden_layer_sizes=(), pruning_rate=0)
    assert estimator.layer_sizes_ == []
    assert estimator.score(X, Y) > 0.5


def test_high_rates_leave_one_neuron():
    estimator = fitted(pruning_rate=0.99)
    assert estimator.layer_sizes_ == [1, 1]
    assert np.isfinite(estimator.predict_proba(X)).all()


def test_tuned_training_that_diverges():
    with pytest.raises(ValueError, match="Training diverged.*lr=1000.0"):
        fitted(ANTRegressor, lr=1e3, optimizer="sgd", max_epochs=100)
