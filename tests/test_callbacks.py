"""The callbacks on skorch's own nets, and those that the estimators use."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, make_classification
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback, EarlyStopping, EpochScoring
from torch import nn

from sknninterp import (
    ActivationEntropy,
    ANTClassifier,
    NeuronTuning,
    TorchMLPClassifier,
    TorchMLPRegressor,
)
from sknninterp.callbacks import EpochBar, LateEarlyStopping
from sknninterp.nn.activation_entropy import activation_entropy
from sknninterp.nn.graph import read
from sknninterp.nn.hidden_neurons import HiddenNeurons
from sknninterp.nn.mlp import MLP

X, Y = make_classification(n_samples=200, n_features=6, n_informative=4, random_state=0)
X = X.astype(np.float32)


class Softmax(nn.Module):
    """An MLP that puts out probabilities, as skorch's default loss wants them."""

    def __init__(self, width=16):
        super().__init__()
        self.hidden = nn.Linear(6, width)
        self.output = nn.Linear(width, 2)

    def forward(self, x):
        return torch.softmax(self.output(torch.relu(self.hidden(x))), dim=-1)


class CNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.output = nn.Linear(8 * 3 * 3, 10)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.norm(self.conv(x))), 2)
        return self.output(x.flatten(1))


def net(module=Softmax, *callbacks, **params):
    """skorch's classifier as it comes: its loader, its split, its losses."""
    torch.manual_seed(0)
    return NeuralNetClassifier(
        module, **{"max_epochs": 5, "lr": 0.1, "verbose": 0, "callbacks": list(callbacks), **params}
    )


def tuner(net):
    return next(c for _, c in net.callbacks_ if isinstance(c, NeuronTuning)).tuner_


def last_first(data):
    """A criterion by which the last neuron goes first."""
    return [torch.arange(layer.width) for layer in data.layers]


# --- NeuronTuning on skorch's own nets ----------------------------------------------------------


def test_plain_skorch_net_with_its_own_split_and_loss():
    fitted = net(Softmax, NeuronTuning(pruning_rate=0.5)).fit(X, Y)
    assert isinstance(fitted.criterion_, nn.NLLLoss)
    assert fitted.module_.hidden.weight.shape == (8, 6)
    assert fitted.module_.output.weight.shape == (2, 8)
    assert fitted.history[:, "n_neurons"] == [14, 12, 10, 8, 8]
    assert fitted.history[-1, "train_loss"] < fitted.history[0, "train_loss"]
    assert tuner(fitted).widths == {"hidden": 8}
    assert len(tuner(fitted).history) == 8


def test_logits_and_cross_entropy():
    module = MLP(6, 2, (16, 12))
    fitted = net(
        module, NeuronTuning(pruning_rate=0.75), criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam, lr=0.01, max_epochs=8,
    ).fit(X, Y)  # fmt: skip
    assert tuner(fitted).widths == {"hidden0": 4, "hidden1": 3}
    for parameter, state in fitted.optimizer_.state.items():
        assert state["exp_avg"].shape == parameter.shape
    assert fitted.predict_proba(X).shape == (200, 2)


def test_cnn():
    images, digits = load_digits(return_X_y=True)
    images = (images[:300].reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    fitted = net(CNN, NeuronTuning(0.5), criterion=nn.CrossEntropyLoss, lr=0.5, batch_size=32)
    fitted.fit(images, digits[:300])
    assert fitted.module_.conv.out_channels == 4
    assert fitted.module_.norm.num_features == 4
    assert fitted.module_.output.in_features == 4 * 3 * 3
    assert fitted.score(images, digits[:300]) > 0.6


def test_regressor():
    target = X[:, :1]
    fitted = NeuralNetRegressor(
        MLP(6, 1, (16,)), max_epochs=20, lr=0.05, verbose=0, callbacks=[NeuronTuning(0.5)]
    ).fit(X, target)
    assert tuner(fitted).widths == {"hidden0": 8}
    assert fitted.score(X, target) > 0.7


@pytest.mark.parametrize(
    "criterion", ["kl", "magnitude", "apoz", "taylor", "selectivity", "influence", "random"]
)
def test_every_criterion(criterion):
    fitted = net(Softmax, NeuronTuning(0.5, criterion=criterion)).fit(X, Y)
    assert tuner(fitted).widths == {"hidden": 8}


@pytest.mark.parametrize(
    ("params", "tuning_data", "n_samples"),
    [
        ({}, "auto", 40),  # skorch holds out a fifth
        ({}, "train", 160),
        ({"train_split": None}, "auto", 200),
        ({"train_split": None}, "train", 200),
    ],
)
def test_whose_activations_are_judged(params, tuning_data, n_samples):
    seen = []

    def curious(data):
        batches = list(data.batches)
        assert all(weight is None for *_, weight in batches)
        assert all(labels.dtype == torch.int64 for _, labels, _ in batches)
        seen.append(sum(len(inputs) for inputs, *_ in batches))
        return last_first(data)

    callback = NeuronTuning(n_tuned=1, criterion=curious, tuning_data=tuning_data)
    net(Softmax, callback, **params).fit(X, Y)
    assert seen == [n_samples] * 4


def test_parameters_reach_the_tuner():
    callback = NeuronTuning(
        n_tuned=2, tuning_step=3, tuning_start=0.2, tuning_stop=1.0, target_layers="hidden1",
        criterion=last_first, min_neurons=3,
    )  # fmt: skip
    fitted = net(MLP(6, 2, (9, 9)), callback, criterion=nn.CrossEntropyLoss, max_epochs=10)
    history = tuner(fitted.fit(X, Y)).history
    assert [(r.epoch, r.layer, r.neuron) for r in history] == [
        (3, "hidden1", 8), (3, "hidden1", 7), (6, "hidden1", 6), (6, "hidden1", 5),
        (9, "hidden1", 4), (9, "hidden1", 3),
    ]  # fmt: skip


def test_schedule_of_another_length():
    fitted = net(Softmax, NeuronTuning(0.5, max_epochs=10, tuning_stop=0.5), max_epochs=20)
    neurons = fitted.fit(X, Y).history[:, "n_neurons"]
    assert neurons[4] == 8 < neurons[3]


def test_rewinding():
    fitted = net(Softmax, NeuronTuning(0.5, rewind="init", tuning_stop=0.4), lr=1e-30)
    before = copy.deepcopy(fitted.initialize().module_.state_dict())
    fitted.partial_fit(X, Y)
    gone = [removal.neuron for removal in tuner(fitted).history]
    stay = np.setdiff1d(range(16), gone)
    assert torch.equal(fitted.module_.hidden.weight, before["hidden.weight"][stay])


def test_nothing_to_remove_changes_no_bit():
    plain = net().fit(X, Y)
    watched = net(Softmax, NeuronTuning(pruning_rate=0)).fit(X, Y)
    assert plain.history[:, "train_loss"] == watched.history[:, "train_loss"]
    np.testing.assert_array_equal(plain.predict_proba(X), watched.predict_proba(X))


def test_fit_starts_anew_and_partial_fit_goes_on():
    fitted = net(Softmax, NeuronTuning(0.5)).fit(X, Y)
    fitted.partial_fit(X, Y)
    assert tuner(fitted).widths == {"hidden": 8}
    fitted.fit(X, Y)
    assert fitted.history[:, "n_neurons"] == [14, 12, 10, 8, 8]


@pytest.mark.parametrize("how", [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))])
def test_copies_go_on(how):
    callback = NeuronTuning(0.5, max_epochs=10)
    fitted = net(Softmax, callback, max_epochs=4).fit(X, Y)
    again = how(fitted)
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert tuner(fitted).widths == tuner(again).widths == {"hidden": 12}
    again.partial_fit(X, Y)
    assert tuner(again).widths == {"hidden": 8}
    assert again.module_.hidden.out_features == 8


def test_inside_a_grid_search():
    grid = {"callbacks__tuning__pruning_rate": [0.0, 0.5], "callbacks__tuning__criterion": ["kl"]}
    search = GridSearchCV(
        net(Softmax, ("tuning", NeuronTuning())), grid, cv=2, error_score="raise", refit=False
    )
    assert len(search.fit(X, Y).cv_results_["mean_test_score"]) == 2
    assert clone(net(Softmax, NeuronTuning(0.25))).callbacks[0].pruning_rate == 0.25


def test_beside_other_callbacks():
    scoring = EpochScoring("roc_auc", lower_is_better=False, name="auc")
    fitted = net(Softmax, scoring, NeuronTuning(0.5), EarlyStopping(patience=2)).fit(X, Y)
    assert len(fitted.history[:, "auc"]) == len(fitted.history[:, "n_neurons"])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"pruning_rate": 1}, "'pruning_rate' parameter of NeuronTuning"),
        ({"pruning_rate": -0.5}, "'pruning_rate' parameter of NeuronTuning"),
        ({"pruning_rate": 0.99, "min_neurons": 4}, "pruning_rate=0.99 would leave 1 of 16"),
        ({"n_tuned": 4}, "n_tuned=4 x 4 tunings would leave 0 of 16 neurons in layer 'hidden'"),
        ({"tuning_step": 0}, "'tuning_step' parameter of NeuronTuning"),
        ({"tuning_step": 5}, "No neuron can be removed.*tuning_step=5"),
        ({"target_layers": "output"}, r"no hidden layer 'output'; this network has \['hidden'\]"),
        ({"criterion": "luck"}, "'criterion' parameter of NeuronTuning"),
        ({"target_distribution": "sigmoid"}, "'sigmoid' does not suit layer 'hidden'.*'relu'"),
        ({"histogram": "wide"}, "'histogram' parameter of NeuronTuning"),
        ({"tuning_data": "validation"}, "'tuning_data' parameter of NeuronTuning"),
        ({"bin_range": (1, 0)}, "bin_range must be"),
        ({"rewind": 9}, "rewind=9 must be"),
        ({"max_epochs": 0}, "'max_epochs' parameter of NeuronTuning"),
    ],
)
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        net(Softmax, NeuronTuning(**params)).fit(X, Y)


# --- in the estimators --------------------------------------------------------------------------


def test_in_an_estimators_callbacks():
    callback = NeuronTuning(0.5)
    estimator = TorchMLPClassifier((16,), max_epochs=5, callbacks=[callback], random_state=0)
    estimator.fit(X, Y)
    assert estimator.module_.hidden0.out_features == 8
    assert estimator.history_["n_neurons"].tolist() == [14, 12, 10, 8, 8]
    assert not hasattr(callback, "tuner_")  # the estimator's is a copy
    assert pickle.loads(pickle.dumps(estimator)).predict(X).shape == (200,)


@pytest.mark.parametrize("kind", [TorchMLPClassifier, TorchMLPRegressor])
def test_early_stopping_waits_for_a_users_tuning(kind):
    estimator = kind(
        (16,), max_epochs=60, lr=1.0, patience=1, early_stopping=True,
        callbacks=[NeuronTuning(0.75, tuning_stop=0.3)], random_state=0,
    ).fit(X, Y)  # fmt: skip
    last = max(removal.epoch for removal in tuner(estimator.net_).history)
    assert estimator.module_.hidden0.out_features == 4
    losses = estimator.history_["valid_loss"]
    assert (losses[:last].diff() > 0).any()  # a judge of all epochs would have stopped
    assert last < estimator.n_iter_ < 60


def test_finished_before():
    callback = NeuronTuning(0.5, tuning_stop=0.4)
    fitted = net(Softmax, callback).fit(X, Y)  # removes after epochs 1 and 2
    assert [callback.finished_before(epoch) for epoch in (1, 2, 3, 4)] == [False, False, True, True]
    assert tuner(fitted).finished
    assert NeuronTuning(0).initialize().finished_before(1)


def test_early_stopping_without_tuning_is_skorchs():
    def n_epochs(kind):
        one = kind(patience=3, load_best=True, sink=lambda *_: None)
        return len(net(Softmax, one, lr=3, max_epochs=60).fit(X, Y).history)

    assert n_epochs(LateEarlyStopping) == n_epochs(EarlyStopping) < 60


# --- the bar ------------------------------------------------------------------------------------


def test_epoch_bar(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # older tqdm cuts what follows the bar
    net(Softmax, NeuronTuning(0.5), EpochBar(5)).fit(X, Y)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "5/5" in shown.err
    for name in ("train_loss=", "valid_loss=", "n_neurons="):
        assert name in shown.err


# --- ActivationEntropy --------------------------------------------------------------------------


def recorded(history):
    return [name for name in history[-1] if name.startswith("entropy")]


def direct_entropy(module, inputs, labels=None, weight=None, reduction="sum", **options):
    """What the mathematics says of a network as it is."""
    neurons = HiddenNeurons(read(module, inputs.shape[1:]))
    target = None if labels is None else torch.from_numpy(labels)
    n_classes = None if labels is None else 2
    weight = None if weight is None else torch.from_numpy(weight)
    batch = [(torch.from_numpy(inputs), target, weight)]
    found = activation_entropy(neurons, batch, n_classes=n_classes, **options)
    by_class = [] if labels is None else found.by_class(reduction).tolist()
    return found.network(reduction), found.by_layer(reduction), by_class


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_entropy_of_network_layers_and_classes(reduction, exact):
    callback = ActivationEntropy(by=["network", "layer", "class"], exact=exact, reduction=reduction)
    options = {"criterion": nn.CrossEntropyLoss, "train_split": None, "lr": 1e-30, "max_epochs": 2}
    fitted = net(MLP(6, 2, (9, 4)), callback, **options).fit(X, Y)
    of_network, by_layer, by_class = direct_entropy(
        fitted.module_, X, Y, reduction=reduction, exact=exact
    )
    for row in fitted.history:
        assert row["entropy"] == pytest.approx(of_network)
        assert row["entropy_hidden0"] == pytest.approx(by_layer["hidden0"])
        assert row["entropy_hidden1"] == pytest.approx(by_layer["hidden1"])
        assert row["entropy_class_0"] == pytest.approx(by_class[0])
        assert row["entropy_class_1"] == pytest.approx(by_class[1])
    assert all(type(fitted.history[-1, name]) is float for name in recorded(fitted.history))
    assert len(recorded(fitted.history)) == 5


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({}, ["entropy", "entropy_hidden0", "entropy_hidden1"]),
        ({"by": "network"}, ["entropy"]),
        ({"by": ("class",)}, ["entropy_class_0", "entropy_class_1"]),
        ({"by": ["layer"], "layers": "last"}, ["entropy_hidden1"]),
        ({"by": ["layer"], "layers": ["hidden0"]}, ["entropy_hidden0"]),
    ],
    ids=["default", "network", "class", "last", "named"],
)
def test_what_is_recorded(params, names):
    module = MLP(6, 2, (9, 4))
    fitted = net(module, ActivationEntropy(**params), criterion=nn.CrossEntropyLoss, max_epochs=2)
    assert recorded(fitted.fit(X, Y).history) == names


def test_fewer_bins_hold_less():
    two, ten = [
        net(Softmax, ActivationEntropy(n_bins=n), max_epochs=1).fit(X, Y).history[-1, "entropy"]
        for n in (2, 10)
    ]
    assert two <= 16 < ten


@pytest.mark.parametrize("on", ["train", "valid"])
def test_whose_entropy(on):
    estimator = TorchMLPClassifier(
        (16,), max_epochs=3, early_stopping=True, validation_fraction=0.3, random_state=0,
        callbacks=[ActivationEntropy(on=on), Parts()],
    ).fit(X, Y)  # fmt: skip
    seen = next(c for _, c in estimator.net_.callbacks_ if isinstance(c, Parts))
    part = seen.parts_[on]
    assert len(part) == (140 if on == "train" else 60)
    last = direct_entropy(seen.module_, part.numpy(), exact=False)[0]
    assert estimator.history_["entropy"].iloc[-1] == pytest.approx(last)


class Parts(Callback):
    """Keeps the data, and the network as it was after the last epoch."""

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.parts_ = {"train": dataset_train.inputs, "valid": dataset_valid.inputs}
        self.module_ = copy.deepcopy(net.module_)


def test_samples_count_by_their_weights():
    weight = np.arange(200) % 3.0 + 1
    estimator = TorchMLPClassifier(
        (16,), max_epochs=1, random_state=0, callbacks=[ActivationEntropy(by=["network", "class"])]
    ).fit(X, Y, weight)
    of_network, _, by_class = direct_entropy(estimator.module_, X, Y, weight, exact=False)
    (row,) = estimator.net_.history
    assert row["entropy"] == pytest.approx(of_network)
    assert [row["entropy_class_0"], row["entropy_class_1"]] == pytest.approx(by_class)
    unweighted = direct_entropy(estimator.module_, X, exact=False)[0]
    assert row["entropy"] != pytest.approx(unweighted)


def test_every_few_epochs():
    estimator = TorchMLPClassifier(
        (16,), max_epochs=5, random_state=0, callbacks=[ActivationEntropy(every=2)]
    ).fit(X, Y)
    assert estimator.history_["entropy"].isna().tolist() == [False, True, False, True, False]
    assert estimator.history_["entropy_hidden0"].isna().sum() == 2
    estimator.partial_fit(X, Y).partial_fit(X, Y)
    assert estimator.history_["entropy"].isna().tolist()[5:] == [True, False]


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("module", [Softmax, lambda: MLP(6, 2, (9,), dropout=0.5, batch_norm=True)])
def test_watching_entropy_changes_no_bit(module, exact):
    """skorch's loader draws from the global random state for every pass, dropout too."""
    options = {"criterion": nn.CrossEntropyLoss, "iterator_train__shuffle": True}
    plain, watched = [
        net(module, *callbacks, **options)
        for callbacks in ([], [ActivationEntropy(by=["network", "class"], exact=exact)])
    ]
    for one in (plain, watched):
        torch.manual_seed(1)
        one.fit(X, Y)
        one.state_ = torch.get_rng_state()
    assert plain.history[:, "train_loss"] == watched.history[:, "train_loss"]
    assert torch.equal(plain.state_, watched.state_)
    np.testing.assert_array_equal(plain.predict_proba(X), watched.predict_proba(X))


class Watched(Callback):
    """Sees how a network is left after the callbacks before."""

    def on_epoch_end(self, net, **kwargs):
        modes = {m.training for m in net.module_.modules()}
        gradients = [p.grad.clone() for p in net.module_.parameters()]
        self.seen_ = [*getattr(self, "seen_", []), (modes, gradients)]


def test_mode_and_gradients_stay():
    def seen(*callbacks):
        watched = Watched()
        net(Softmax, *callbacks, watched, train_split=None, max_epochs=2).fit(X, Y)
        return watched.seen_

    for (modes, ours), (expected, theirs) in zip(seen(ActivationEntropy()), seen(), strict=True):
        assert modes == expected
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_entropy_follows_the_network_that_tuning_leaves():
    callbacks = [NeuronTuning(0.5), ActivationEntropy(), ActivationEntropy(reduction="mean")]
    fitted = net(Softmax, *callbacks[:2]).fit(X, Y)
    train = direct_entropy(fitted.module_, X)[0]
    assert fitted.history[-1, "entropy"] == pytest.approx(train, rel=0.1)
    most = [math.log2(10) * n for n in fitted.history[:, "n_neurons"]]
    assert all(a <= b for a, b in zip(fitted.history[:, "entropy"], most, strict=True))
    ant = ANTClassifier((16,), max_epochs=5, random_state=0, callbacks=[callbacks[2]]).fit(X, Y)
    assert ant.history_["entropy"].between(1, math.log2(10)).all()


def test_a_single_logit_with_float_targets():
    class Logit(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.output = nn.Linear(6, 9), nn.Linear(9, 1)

        def forward(self, x):
            return self.output(torch.relu(self.hidden(x))).squeeze(-1)

    torch.manual_seed(0)
    fitted = NeuralNetBinaryClassifier(
        Logit, max_epochs=1, lr=1e-30, train_split=None, verbose=0,
        callbacks=[ActivationEntropy(by="class")],
    ).fit(X, Y.astype(np.float32))  # fmt: skip
    _, _, by_class = direct_entropy(fitted.module_, X, Y, exact=False)
    (row,) = fitted.history
    assert [row["entropy_class_0"], row["entropy_class_1"]] == pytest.approx(by_class)


def test_fit_forgets_and_copies_go_on():
    fitted = net(Softmax, ActivationEntropy(every=3), max_epochs=2).fit(X, Y)
    for again in (copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        again.partial_fit(X, Y)
        assert np.isnan(again.history[:, "entropy"]).tolist() == [False, True, True, False]
    fitted.set_params(callbacks__ActivationEntropy__by="network").fit(X, Y)
    assert recorded(fitted.history) == ["entropy"]


@pytest.mark.parametrize(
    ("params", "options", "message"),
    [
        ({"on": "test"}, {}, "'on' parameter of ActivationEntropy"),
        ({"by": "neuron"}, {}, "by='neuron' must name some of"),
        ({"by": ()}, {}, r"by=\(\) must name some of"),
        ({"by": 3}, {}, "'by' parameter of ActivationEntropy"),
        ({"n_bins": 1}, {}, "'n_bins' parameter of ActivationEntropy"),
        ({"every": 0}, {}, "'every' parameter of ActivationEntropy"),
        ({"exact": "yes"}, {}, "'exact' parameter of ActivationEntropy"),
        ({"reduction": "max"}, {}, "'reduction' parameter of ActivationEntropy"),
        ({"layers": "output"}, {}, r"no hidden layer 'output'.*\['hidden'\]"),
        ({"layers": 2.5}, {}, "'layers' parameter of ActivationEntropy"),
        ({"on": "valid"}, {"train_split": None}, "on='valid' needs validation data"),
    ],
)
def test_bad_parameters_of_entropy(params, options, message):
    with pytest.raises(ValueError, match=message):
        net(Softmax, ActivationEntropy(**params), **options).fit(X, Y)


def test_regressors_have_no_classes():
    callback = ActivationEntropy(by=["network", "class"])
    with pytest.raises(ValueError, match="by='class' needs class numbers as targets"):
        TorchMLPRegressor((8,), callbacks=[callback]).fit(X, X[:, 0])
    watched = TorchMLPRegressor((8,), max_epochs=2, callbacks=[ActivationEntropy()])
    assert watched.fit(X, X[:, :2]).history_["entropy"].notna().all()
