"""The skorch net inside the estimators: its batches, its epoch, and the callbacks it serves."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import skorch
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import make_classification, make_regression
from sklearn.metrics import log_loss, r2_score
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EpochScoring,
    Freezer,
    GradientNormClipping,
    LRScheduler,
    PassthroughScoring,
    PrintLog,
    TrainEndCheckpoint,
)
from torch import nn

from sknninterp import ANTClassifier, TorchMLPClassifier, TorchMLPRegressor
from sknninterp.estimators._net import (
    CrossEntropy,
    SquaredError,
    TensorBatches,
    TensorData,
    _wants_batches,
)
from sknninterp.nn.activation_entropy import soft_entropy

X, Y = make_classification(
    n_samples=150, n_features=6, n_informative=4, n_classes=3, random_state=0
)
LABELS = np.array(["low", "middle", "high"])


class OnBatchEnd(Callback):
    """A user's callback that hears of batches."""

    def __init__(self):
        self.seen_ = []

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        self.seen_.append((training, len(batch[0]), kwargs["loss"].item(), kwargs["y_pred"].shape))


class ReadsBatches(Callback):
    """A user's callback that hears of no batch and looks at them in the history."""

    def __init__(self):
        self.sizes_ = []

    def on_epoch_end(self, net, **kwargs):
        rows = net.history[-1, "batches"]
        self.sizes_.append([row["train_batch_size"] for row in rows if "train_batch_size" in row])


class Grows(Callback):
    """A user's callback on gradients."""

    def on_grad_computed(self, net, named_parameters, **kwargs):
        for _, parameter in named_parameters:
            parameter.grad *= 2


class Quiet(Callback):
    """A user's callback that does nothing."""


def small(**params):
    return TorchMLPClassifier(
        **{
            "hidden_layer_sizes": (8,),
            "max_epochs": 4,
            "batch_size": 32,
            "random_state": 0,
            **params,
        }
    )


def callback(estimator, kind):
    return next(c for _, c in estimator.net_.callbacks_ if isinstance(c, kind))


def assert_same_network(one, other):
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


# --- batches ------------------------------------------------------------------------------------


@given(n=st.integers(1, 50), batch_size=st.integers(1, 60), shuffle=st.booleans())
def test_batches_hold_every_sample_once_and_none_stands_alone(n, batch_size, shuffle):
    rows = torch.arange(n)
    data = TensorData(rows[:, None].float(), rows, rows.double())
    batches = TensorBatches(data, batch_size, shuffle)
    found = list(batches)
    assert len(found) == len(batches)
    assert [len(batch[0]) for batch in found] == batches.sizes
    for inputs, target in found:
        assert torch.equal(inputs[:, 0].long(), target)
    for batch in found:
        assert torch.equal(batch.weight.long(), batch[1])
    targets = torch.cat([batch[1] for batch in found])
    assert torch.equal(targets.sort().values, rows)
    if not shuffle:
        assert torch.equal(targets, rows)
    assert max(batches.sizes) <= batch_size + (batch_size > 1)
    if n > 1 and batch_size > 1:
        assert min(batches.sizes) > 1


def test_shuffled_batches_come_in_a_new_order_each_time():
    data = TensorData(torch.arange(100.0)[:, None], torch.arange(100))
    batches = TensorBatches(data, 10, shuffle=True)
    first, second = (torch.cat([b[1] for b in batches]) for _ in range(2))
    assert not torch.equal(first, second)


def test_data_is_a_torch_dataset():
    data = TensorData(torch.arange(6.0).reshape(3, 2), torch.tensor([5, 6, 7]))
    assert len(data) == 3
    inputs, target = data[1]
    assert inputs.tolist() == [2.0, 3.0]
    assert target == 6
    assert data.select(np.array([2, 0])).target.tolist() == [7, 5]


# --- losses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "torchs", "target"),
    [
        (CrossEntropy(), nn.CrossEntropyLoss, torch.tensor([0, 2, 1])),
        (SquaredError(), nn.MSELoss, torch.eye(3)),
    ],
)
def test_losses_are_torchs(loss, torchs, target):
    output = torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.0, 3.0], [-1.0, 4.0, 0.0]])
    for reduction in ("mean", "none"):
        expected = torchs(reduction=reduction)(output, target)
        torch.testing.assert_close(loss(output, target, reduction=reduction), expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_recorded_loss_is_the_weighted_mean_over_the_samples(weighted):
    weight = np.random.default_rng(0).uniform(0.1, 2, len(X)) if weighted else None
    # The learning rate is so small that the network is the same at the end of the epoch.
    estimator = small(max_epochs=1, lr=1e-300).fit(X, Y, sample_weight=weight)
    expected = log_loss(Y, estimator.predict_proba(X), sample_weight=weight)
    assert estimator.history_["train_loss"].iloc[0] == pytest.approx(expected)


# --- an epoch with callbacks of batches and without ---------------------------------------------


@pytest.mark.parametrize(
    "extra", [OnBatchEnd(), ReadsBatches(), PassthroughScoring("train_loss", on_train=True)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batch_callbacks_change_no_bit(extra, dtype):
    weight = np.random.default_rng(0).uniform(0, 2, len(X))
    plain = ANTClassifier(
        (16, 8), dropout=0.2, batch_norm=True, early_stopping=True, patience=3, max_epochs=8,
        batch_size=32, dtype=dtype, class_weight="balanced", random_state=3,
    )  # fmt: skip
    watched = ANTClassifier(**{**plain.get_params(), "callbacks": [extra]})
    plain.fit(X, Y, sample_weight=weight)
    watched.fit(X, Y, sample_weight=weight)
    assert_same_network(plain.module_, watched.module_)
    for column in ("epoch", "train_loss", "valid_loss", "n_neurons"):
        np.testing.assert_array_equal(plain.history_[column], watched.history_[column])
    np.testing.assert_array_equal(plain.predict_proba(X), watched.predict_proba(X))


def test_callback_on_batches_hears_of_all():
    estimator = small(callbacks=[OnBatchEnd()], early_stopping=True, validation_fraction=0.2)
    seen = callback(estimator.fit(X, Y), OnBatchEnd).seen_
    assert [size for training, size, *_ in seen if training] == [32, 32, 32, 24] * 4
    assert [size for training, size, *_ in seen if not training] == [30] * 4
    assert all(np.isfinite(loss) and shape == (size, 3) for _, size, loss, shape in seen)


def test_callback_that_reads_batches_finds_them():
    estimator = small(callbacks=[ReadsBatches()]).fit(X, Y)
    assert callback(estimator, ReadsBatches).sizes_ == [[32, 32, 32, 32, 22]] * 4


def test_callback_on_gradients_is_served():
    doubled = small(callbacks=[Grows()], optimizer="sgd", lr=0.01).fit(X, Y)
    assert_same_network(doubled.module_, small(optimizer="sgd", lr=0.02).fit(X, Y).module_)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (skorch.callbacks.EpochTimer(), False),
        (skorch.callbacks.EarlyStopping(), False),
        (PrintLog(), False),
        (Freezer("x"), False),
        (EpochScoring("accuracy"), True),
        (LRScheduler(), True),
        (Checkpoint(), True),
        (PassthroughScoring("train_loss"), True),
        (Quiet(), True),  # nobody knows what a user's callback reads
    ],
)
def test_only_callbacks_that_may_need_batches_slow_the_epoch_down(one, expected):
    assert _wants_batches(one) is expected


# --- skorch's callbacks -------------------------------------------------------------------------


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("on_train", [False, True])
@pytest.mark.parametrize("scoring", ["accuracy", "roc_auc_ovr", "neg_log_loss", None])
def test_epoch_scoring(scoring, on_train, class_weight):
    score = EpochScoring(scoring, lower_is_better=False, on_train=on_train, name="score")
    estimator = small(early_stopping=True, class_weight=class_weight, callbacks=[score])
    scores = estimator.fit(X, LABELS[Y]).history_["score"]
    assert len(scores) == estimator.n_iter_
    assert scores.between(-10, 0).all() if scoring == "neg_log_loss" else scores.between(0, 1).all()


def test_epoch_scoring_sees_the_validation_part():
    score = EpochScoring("neg_log_loss", lower_is_better=False)
    history = small(callbacks=[score], early_stopping=True).fit(X, LABELS[Y]).history_
    np.testing.assert_allclose(-history["neg_log_loss"], history["valid_loss"])


def test_epoch_scoring_of_a_binary_classifier():
    score = EpochScoring("roc_auc", lower_is_better=False)
    estimator = small(callbacks=[score], early_stopping=True, max_epochs=20, lr=0.01)
    estimator.fit(X, LABELS[(Y > 0).astype(int)])
    assert estimator.history_["roc_auc"].iloc[-1] > 0.8


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_epoch_scoring_of_a_regressor(n_outputs):
    features, target = make_regression(n_features=4, n_targets=n_outputs, random_state=0)
    target = target / target.std()
    score = EpochScoring("r2", lower_is_better=False)
    estimator = TorchMLPRegressor(
        (16,), lr=0.01, max_epochs=40, early_stopping=True, callbacks=[score], random_state=0
    )
    estimator.fit(features, target)
    assert estimator.history_["r2"].iloc[-1] > 0.5


def test_batch_scoring_and_passthrough_scoring():
    callbacks = [
        BatchScoring("accuracy", lower_is_better=False, on_train=True, name="accuracy"),
        PassthroughScoring("train_loss", on_train=True),
    ]
    history = small(callbacks=callbacks).fit(X, Y).history_
    assert history["accuracy"].between(0, 1).all()
    np.testing.assert_allclose(history["train_loss"], small().fit(X, Y).history_["train_loss"])


def learning_rate(estimator):
    return estimator.net_.optimizer_.param_groups[0]["lr"]


def test_learning_rate_schedule_by_epoch():
    schedule = LRScheduler("StepLR", step_size=1, gamma=0.5)
    estimator = small(callbacks=[schedule], lr=0.016).fit(X, Y)
    assert estimator.history_["event_lr"].tolist() == [0.016, 0.008, 0.004, 0.002]
    assert learning_rate(estimator) == pytest.approx(0.001)


def test_learning_rate_schedule_by_batch():
    schedule = LRScheduler("StepLR", step_size=1, gamma=0.5, step_every="batch")
    estimator = small(callbacks=[schedule], lr=1.0, optimizer="sgd").fit(X / 10, Y)
    assert learning_rate(estimator) == 0.5 ** (4 * 5)  # five batches an epoch


def test_learning_rate_schedule_that_watches_a_loss():
    schedule = LRScheduler("ReduceLROnPlateau", monitor="train_loss", patience=0, threshold=10)
    assert learning_rate(small(callbacks=[schedule]).fit(X, Y)) < 1e-3


def test_learning_rate_schedule_goes_on_with_partial_fit():
    schedule = LRScheduler("StepLR", step_size=2, gamma=0.5)
    estimator = small(callbacks=[schedule])
    for _ in range(4):
        estimator.partial_fit(X, Y)
    assert learning_rate(estimator) < 1e-3


def test_checkpoint_saves_the_best_epoch(tmp_path):
    best = Checkpoint(dirname=str(tmp_path))  # its defaults: the lowest validation loss
    estimator = small(callbacks=[best], early_stopping=True, max_epochs=12, lr=0.1)
    estimator.fit(X, Y)
    assert {p.name for p in tmp_path.iterdir()} >= {"params.pt", "optimizer.pt", "history.json"}
    losses = estimator.history_["valid_loss"]
    assert losses.idxmin() < len(losses) - 1  # else the last would do as well
    saved = torch.load(tmp_path / "params.pt", weights_only=True)
    module = estimator.module_
    module.load_state_dict(saved)
    kept = small(early_stopping=True, max_epochs=12, lr=0.1).fit(X, Y)
    assert_same_network(module, kept.module_)


def test_checkpoint_loads_the_best_epoch(tmp_path):
    best = Checkpoint(dirname=str(tmp_path), monitor="train_loss_best", load_best=True)
    estimator = small(callbacks=[best], max_epochs=15, lr=0.5).fit(X, Y)
    assert estimator.n_iter_ < 15  # skorch loads the history of that epoch with it
    saved = torch.load(tmp_path / "params.pt", weights_only=True)
    for name, value in estimator.module_.state_dict().items():
        assert torch.equal(value, saved[name])


def test_checkpoint_of_every_epoch_and_of_the_end(tmp_path):
    every = Checkpoint(dirname=str(tmp_path), monitor=None, f_params="{last_epoch[epoch]}.pt")
    estimator = small(callbacks=[every, TrainEndCheckpoint(dirname=str(tmp_path))]).fit(X, Y)
    names = {p.name for p in tmp_path.iterdir()}
    assert names >= {"1.pt", "2.pt", "3.pt", "4.pt", "train_end_params.pt"}
    end = torch.load(tmp_path / "train_end_params.pt", weights_only=True)
    for name, value in estimator.module_.state_dict().items():
        assert torch.equal(value, end[name])


def test_gradient_clipping():
    def first_step(*callbacks):
        estimator = small(
            callbacks=list(callbacks), optimizer=torch.optim.SGD, lr=1.0, max_epochs=1,
            batch_size=1000,
        )  # fmt: skip
        untrained = small(lr=1e-300, max_epochs=1).fit(X, Y).module_
        estimator.fit(X, Y)
        steps = [
            (a - b).flatten()
            for a, b in zip(untrained.parameters(), estimator.module_.parameters(), strict=True)
        ]
        return torch.cat(steps).norm().item()

    assert first_step() > 0.1
    assert first_step(GradientNormClipping(0.01)) == pytest.approx(0.01, rel=1e-4)


def test_freezer_keeps_a_layer():
    frozen = small(callbacks=[Freezer("hidden0*")]).fit(X, Y).module_
    start = small(lr=1e-300, max_epochs=1).fit(X, Y).module_
    assert torch.equal(frozen.hidden0.weight, start.hidden0.weight)
    assert not torch.equal(frozen.output.weight, start.output.weight)


def test_users_callbacks_are_copied():
    mine = OnBatchEnd()
    estimator = small(callbacks=[mine]).fit(X, Y)
    assert mine.seen_ == []
    assert len(callback(estimator, OnBatchEnd).seen_) == 20


@pytest.mark.parametrize("wrong", [3, "accuracy", dict, ("name", 3)])
def test_what_is_no_callback(wrong):
    with pytest.raises(TypeError, match=r"callbacks must hold skorch callbacks, got"):
        small(callbacks=[wrong]).fit(X, Y)


def test_callbacks_as_skorch_takes_them():
    estimator = small(callbacks=[("mine", ReadsBatches()), OnBatchEnd]).fit(X, Y)
    assert isinstance(dict(estimator.net_.callbacks_)["mine"], ReadsBatches)
    assert len(callback(estimator, OnBatchEnd).seen_) == 20


def test_lbfgs():
    estimator = small(optimizer=torch.optim.LBFGS, lr=0.5, batch_size=1000, max_epochs=10)
    history = estimator.fit(X, Y).history_
    assert history["train_loss"].is_monotonic_decreasing
    assert history["train_loss"].iloc[-1] < 0.5


# --- the net by itself --------------------------------------------------------------------------


def test_classifiers_net_predicts_class_numbers():
    estimator = small().fit(X, LABELS[Y])
    net = estimator.net_
    assert net.classes_.tolist() == [0, 1, 2]
    np.testing.assert_allclose(net.predict_proba(X), estimator.predict_proba(X), rtol=1e-6)
    np.testing.assert_array_equal(estimator.classes_[net.predict(X)], estimator.predict(X))
    encoded = np.searchsorted(estimator.classes_, LABELS[Y])
    assert net.score(X, encoded) == estimator.score(X, LABELS[Y])


def test_regressors_net_predicts_values():
    features, target = make_regression(n_features=4, random_state=0)
    estimator = TorchMLPRegressor((8,), max_epochs=3, random_state=0).fit(features, target)
    predicted = estimator.net_.predict(features)[:, 0]
    np.testing.assert_allclose(predicted, estimator.predict(features))
    assert estimator.net_.score(features, target) == pytest.approx(r2_score(target, predicted))


# --- the entropy penalty ------------------------------------------------------------------------

NETWORKS = {
    "mlp": {},
    "dropout": {"hidden_layer_sizes": (8, 6), "dropout": 0.3},
    "batch-norm": {"hidden_layer_sizes": (8, 6), "batch_norm": True, "activation": "tanh"},
    "functional": {"module": lambda n_inputs, n_outputs: Functional(n_inputs, n_outputs)},
}


class Functional(nn.Module):
    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.hidden, self.output = nn.Linear(n_inputs, 8), nn.Linear(8, n_outputs)

    def forward(self, x):
        return self.output(torch.relu(self.hidden(x)))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_penalty_in_skorchs_own_loop_gives_the_same_bits(network, weighted):
    class_weight = "balanced" if weighted else None
    fits = [
        small(entropy_weight=0.5, class_weight=class_weight, callbacks=callbacks, **network)
        for callbacks in ([], [OnBatchEnd()])
    ]
    ours, skorchs = [fit.fit(X, Y) for fit in fits]
    assert_same_network(ours.module_, skorchs.module_)
    assert ours.history_["train_loss"].tolist() == skorchs.history_["train_loss"].tolist()
    plain = small(class_weight=class_weight, **network).fit(X, Y)
    assert not torch.equal(plain.module_.output.weight, ours.module_.output.weight)


@pytest.mark.parametrize("weighted", [False, True])
def test_one_step_with_the_penalty_by_hand(weighted):
    sample_weight = np.arange(150) % 3 + 1.0 if weighted else None
    options = {
        "optimizer": torch.optim.SGD, "lr": 0.1, "max_epochs": 1, "batch_size": 200,
        "early_stopping": False,
    }  # fmt: skip
    module = small(lr=1e-300, max_epochs=1).fit(X, Y).module_
    inputs, target = torch.from_numpy(X), torch.from_numpy(Y)
    weight = torch.ones(150).double() if sample_weight is None else torch.from_numpy(sample_weight)
    weight = weight / weight.mean()
    losses = nn.functional.cross_entropy(module(inputs), target, reduction="none")
    hidden = torch.relu(module.hidden0(inputs))
    loss = (losses * weight).mean() - 0.7 * soft_entropy(hidden, weight=weight).mean()
    module.zero_grad()
    loss.backward()
    expected = [p.detach() - 0.1 * p.grad for p in module.parameters()]
    fitted = small(module=module, entropy_weight=-0.7, **options).fit(X, Y, sample_weight)
    for ours, theirs in zip(fitted.module_.parameters(), expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert fitted.history_["train_loss"].item() == pytest.approx(loss.item())


def test_validation_loss_is_without_the_penalty():
    fitted = small(entropy_weight=100.0, early_stopping=True).fit(X, Y)
    plain = small(entropy_weight=0.0, early_stopping=True).fit(X, Y)
    assert (fitted.history_["train_loss"] > 10).all()
    assert (fitted.history_["valid_loss"] < 10).all()
    assert (plain.history_["train_loss"] < 10).all()


def test_partial_fit_and_warm_start_take_todays_weight():
    by_parts = small(entropy_weight=0.5).partial_fit(X, Y)
    at_once = small(entropy_weight=0.5, max_epochs=1).fit(X, Y)
    assert_same_network(by_parts.module_, at_once.module_)
    by_parts.partial_fit(X, Y)
    first = by_parts.net_.penalty
    assert first.weight == 0.5
    by_parts.set_params(entropy_weight=0.0).partial_fit(X, Y)
    assert by_parts.net_.penalty is None
    again = small(warm_start=True).fit(X, Y)
    again.set_params(entropy_weight=-2.0).fit(X, Y)
    assert again.net_.penalty.weight == -2.0
    losses = again.history_["train_loss"]
    assert losses[4] < losses[3] - 1


def test_penalty_while_neurons_go():
    options = {"pruning_rate": 0.5, "max_epochs": 6, "batch_size": 32, "random_state": 0}
    penalised = ANTClassifier((12, 8), entropy_weight=0.5, **options).fit(X, Y)
    assert penalised.layer_sizes_ == [6, 4]
    reading = penalised.net_.penalty._reading
    assert [node.shape for node in reading.nodes] == [(6,), (4,)]
    heard = ANTClassifier((12, 8), entropy_weight=0.5, callbacks=[OnBatchEnd()], **options)
    assert_same_network(penalised.module_, heard.fit(X, Y).module_)


def test_penalty_with_lbfgs_is_in_what_it_minimises():
    options = {"optimizer": torch.optim.LBFGS, "lr": 0.1, "batch_size": 1000, "max_epochs": 5}
    fitted = small(entropy_weight=1.0, **options).fit(X, Y)
    plain = small(**options).fit(X, Y)
    losses = fitted.history_["train_loss"]
    assert losses.iloc[0] > plain.history_["train_loss"].iloc[0] + 1
    assert losses.iloc[-1] < losses.iloc[0] - 1


def test_regressors_take_the_penalty_too():
    target = X[:, :2]
    nets = [
        TorchMLPRegressor((16,), entropy_weight=w, max_epochs=30, lr=0.02, random_state=0)
        for w in (-1.0, 1.0)
    ]
    spread, simple = [
        soft_entropy(torch.relu(net.fit(X, target).module_.hidden0(torch.from_numpy(X)))).mean()
        for net in nets
    ]
    assert spread > simple + 0.3


def test_a_penalised_net_is_copied():
    fitted = small(entropy_weight=0.5).fit(X, Y)
    for again in (copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        again.partial_fit(X, Y)
        assert again.net_.penalty.weight == 0.5


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"entropy_weight": np.nan}, "'entropy_weight' parameter of TorchMLPClassifier"),
        ({"entropy_weight": np.inf}, "'entropy_weight' parameter of TorchMLPClassifier"),
        ({"entropy_weight": "much"}, "'entropy_weight' parameter of TorchMLPClassifier"),
        ({"hidden_layer_sizes": []}, "entropy_weight=0.5 cannot be used: this network has no"),
        (
            {"module": nn.Sequential(nn.Linear(6, 4), nn.Bilinear(4, 4, 3))},
            "module cannot take samples",
        ),
        (
            {"module": nn.Sequential(nn.Linear(6, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 3))},
            "entropy_weight=0.5 cannot be used: .*LayerNorm",
        ),
    ],
    ids=["nan", "infinite", "word", "no-hidden", "broken", "unsupported"],
)
def test_bad_entropy_weights(params, message):
    with pytest.raises(ValueError, match=message):
        small(**{"entropy_weight": 0.5, **params}).fit(X, Y)
