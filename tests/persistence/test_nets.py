"""Training goes on from a file as it would have without one."""

import numpy as np
import pytest
import torch

from sknninterp import (
    ActivationEntropy,
    ANTClassifier,
    ANTRegressor,
    NeuronTuning,
    PersistenceError,
    TorchMLPClassifier,
    TorchMLPRegressor,
    load,
    save,
)

SMALL = {"hidden_layer_sizes": (6, 4), "max_epochs": 4, "random_state": 0}
OPTIMIZERS = ["adam", "adamw", "adam_mini", "sgd", "nadam", "rmsprop", "adagrad"]


def go_on(estimator, data, same, copied):
    """The estimator and its copy, both trained for some more epochs."""
    again = copied(estimator)
    for one in (estimator, again):
        one.partial_fit(*data)
    same(estimator.predict(data[0]), again.predict(data[0]))
    same(estimator.module_, again.module_)
    return again


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, torch.optim.ASGD, torch.optim.Adamax], ids=str)
def test_partial_fit_goes_on(optimizer, data, copied, same):
    network = TorchMLPClassifier(**SMALL, optimizer=optimizer, weight_decay=0.01).fit(*data)
    go_on(network, data, same, copied)


@pytest.mark.parametrize(
    "options",
    [
        {"input_penalty": 0.2},
        {"entropy_weight": 0.01},
        {"dropout": 0.2, "batch_norm": True},
        {"numeric_embedding": "periodic"},
        {"dtype": "mixed"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_partial_fit_goes_on_with(options, data, copied, same):
    go_on(TorchMLPClassifier(**SMALL, **options).fit(*data), data, same, copied)


def test_warm_start_goes_on(data, copied, same):
    first = TorchMLPClassifier(**SMALL, warm_start=True).fit(*data)
    again = copied(first)
    same(first.net_.lowest_losses_, again.net_.lowest_losses_)
    first.fit(*data)
    again.fit(*data)
    same(first.predict_proba(data[0]), again.predict_proba(data[0]))
    same(first.history_.drop(columns="dur"), again.history_.drop(columns="dur"))


def test_fit_anew_is_the_same(data, copied, same):
    first = ANTClassifier(**SMALL).fit(*data)
    again = copied(first).fit(*data)
    same(first.predict_proba(data[0]), again.predict_proba(data[0]))


@pytest.mark.parametrize("rewind", [None, "init", 2], ids=str)
def test_tuning_goes_on(rewind, data, copied, same):
    network = ANTClassifier((8,), max_epochs=6, rewind=rewind, random_state=0)
    for _ in range(3):
        network.partial_fit(*data)
    again = copied(network)
    assert again.layer_sizes_ == network.layer_sizes_
    for _ in range(3):
        network.partial_fit(*data)
        again.partial_fit(*data)
    assert again.layer_sizes_ == network.layer_sizes_ == [4]
    same(network.tuning_history_, again.tuning_history_)
    same(network.predict_proba(data[0]), again.predict_proba(data[0]))


def test_seed_of_random_tuning_comes_back(data, copied, same):
    network = ANTRegressor((8,), max_epochs=6, criterion="random", random_state=3)
    network.partial_fit(*data).partial_fit(*data)
    again = copied(network)
    for _ in range(3):
        network.partial_fit(*data)
        again.partial_fit(*data)
    same(network.tuning_history_, again.tuning_history_)


def test_learning_rate_that_was_changed_takes_effect(data, copied, same):
    first = TorchMLPClassifier(**SMALL, warm_start=True).fit(*data).set_params(lr=0.1)
    again = copied(first)
    assert again.net_.lr == 1e-3
    same(first.fit(*data).predict_proba(data[0]), again.fit(*data).predict_proba(data[0]))


def test_optimizer_without_a_state_by_parameter_starts_anew(data, copied, same):
    first = TorchMLPRegressor(**SMALL, optimizer=torch.optim.LBFGS).fit(*data)
    again = copied(first)
    same(first.predict(data[0]), again.predict(data[0]))
    assert not again.net_.optimizer_.state
    again.partial_fit(*data)


def test_state_of_callbacks_comes_back(data, copied):
    callbacks = [ActivationEntropy(every=3), ("own", NeuronTuning(pruning_rate=0.5))]
    first = TorchMLPClassifier(**SMALL, callbacks=callbacks).fit(*data)
    again = copied(first)
    kept = dict(again.net_.callbacks_)
    assert kept["ActivationEntropy"].recorded_ == ["entropy", "entropy_hidden0", "entropy_hidden1"]
    assert kept["own"].tuner_.history == dict(first.net_.callbacks_)["own"].tuner_.history
    assert again.callbacks[0].get_params() == callbacks[0].get_params()
    for one in (first, again):
        one.partial_fit(*data)
    assert np.isnan(again.history_["entropy"].iloc[-1]) == np.isnan(
        first.history_["entropy"].iloc[-1]
    )


def test_callbacks_of_others_can_be_taken_out(data, copied, same, tmp_path):
    from skorch.callbacks import GradientNormClipping

    first = TorchMLPClassifier(**SMALL, callbacks=[GradientNormClipping(1.0)]).fit(*data)
    with pytest.raises(PersistenceError, match=r"callbacks\[0\] is .*GradientNormClipping, which"):
        save(first, tmp_path / "a")
    again = copied(first.set_params(callbacks=None))
    same(first.predict_proba(data[0]), again.predict_proba(data[0]))


def test_global_random_numbers_are_left_alone(data, copied, global_rng_untouched):
    copied(TorchMLPClassifier(**SMALL, numeric_embedding="spline", dropout=0.5).fit(*data))


def test_missing_device_is_a_warning(data, changed, same):
    network = TorchMLPClassifier(**SMALL).fit(*data)

    def elsewhere(document, _):
        document["objects"][-1]["parameters"]["device"] = "cuda:9"

    with pytest.warns(UserWarning, match="cuda:9.*The network is on the CPU"):
        again = load(changed(network, elsewhere))
    assert again.device == "cuda:9"
    same(network.predict_proba(data[0]), again.predict_proba(data[0]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "adam_mini", "sgd", "nadam"])
def test_gpu(optimizer, data, copied, same):
    first = TorchMLPClassifier(
        **SMALL, optimizer=optimizer, device="cuda", numeric_embedding="spline", input_penalty=0.1
    ).fit(*data)
    again = copied(first)
    assert next(again.module_.parameters()).is_cuda
    same(first.predict_proba(data[0]), again.predict_proba(data[0]))
    for one in (first, again):
        one.partial_fit(*data)
    same(first.predict_proba(data[0]), again.predict_proba(data[0]))


# --- hostile files -------------------------------------------------------------------------------


def net(change):
    return lambda document, tensors: change(document["objects"][-1]["net"], tensors)


def reshaped(suffix, function):
    def change(_, tensors):
        for name in tensors:
            if name.endswith(suffix):
                tensors[name] = function(tensors[name]).clone()

    return net(change)


HOSTILE = {
    "scalar moment": reshaped("hidden0.weight.exp_avg", lambda t: t[0, 0]),
    "short moment": reshaped("hidden0.weight.exp_avg_sq", lambda t: t[:1]),
    "moment of another type": reshaped("hidden0.weight.exp_avg", lambda t: t.double()),
    "count of many": reshaped("hidden0.weight.step", lambda t: t.repeat(5)),
    "state of no weight": net(lambda n, _: n["optimizer"]["state"].update(other={})),
    "learning rate": net(lambda n, _: n["optimizer"].update(lr="high")),
    "shape of text": net(lambda n, _: n.update(shape="abc")),
    "negative shape": net(lambda n, _: n.update(shape=[-5])),
    "shape of a bool": net(lambda n, _: n.update(shape=[True])),
    "no shape": net(lambda n, _: n.update(shape=[])),
    "other dtype": net(lambda n, _: n.update(dtype="float64")),
    "no dtype": net(lambda n, _: n.update(dtype="load")),
    "module is a number": net(lambda n, _: n.update(module=3)),
    "history of numbers": net(lambda n, _: n.update(history=[1])),
    "callback": net(lambda n, _: n["callbacks"].update(epoch_timer=1)),
    "other callback": net(lambda n, _: n["callbacks"].update(other=1)),
    "years of epochs": net(
        lambda n, _: n["callbacks"]["neuron_tuning"]["schedule"]["record"][1].update(
            max_epochs=10**12
        )
    ),
    "no schedule": net(lambda n, _: n["callbacks"]["neuron_tuning"].update(schedule=None)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_net_is_an_error(name, data, changed):
    path = changed(ANTClassifier(**SMALL).fit(*data), HOSTILE[name])
    with pytest.raises(PersistenceError, match="changed.safetensors"):
        load(path)


def test_networks_of_another_kind_are_an_error(data, changed):
    def change(document, _):
        document["objects"][-1]["learnt"]["networks_"] = [1]

    with pytest.raises(PersistenceError):
        load(changed(TorchMLPClassifier(**SMALL, n_networks=2).fit(*data), change))
