"""Every public estimator and explainer comes back: parameters, what was learnt, predictions."""

import inspect
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import make_regression

import sknninterp as s
from sknninterp import PersistenceError, load
from sknninterp.evaluation import (
    DeepLiftExplainer,
    DeepShapExplainer,
    GradientShapExplainer,
    LRPExplainer,
    PermutationExplainer,
)
from sknninterp.persistence._known import ESTIMATORS

SMALL = {"hidden_layer_sizes": (6, 4), "max_epochs": 4, "random_state": 0}


def mlp(**options):
    return s.TorchMLPClassifier(**{**SMALL, **options})


CLASSIFIERS = {
    "plain": mlp(),
    "settings": mlp(
        batch_norm=True, dropout=0.2, activation="tanh", optimizer="sgd", dtype="float64"
    ),
    "numpy's numbers": mlp(lr=np.float32(0.01), batch_size=np.int64(16)),
    "mixed": mlp(dtype="mixed"),
    "spline": mlp(numeric_embedding="spline"),
    "piecewise": mlp(numeric_embedding="piecewise"),
    "periodic": mlp(numeric_embedding="periodic"),
    "penalties": mlp(input_penalty=0.1, entropy_weight=0.01, early_stopping=True),
    "optimizer class": mlp(optimizer=torch.optim.NAdam),
    "random state": mlp(random_state=np.random.RandomState(3)),
    "callbacks": mlp(callbacks=[s.ActivationEntropy(every=2), ("t", s.NeuronTuning())]),
    "class weights": mlp(class_weight={0: 1.0, 1: 2.0}),
    "networks": mlp(n_networks=2, bootstrap=True, numeric_embedding="spline"),
    "networks apart": mlp(n_networks=2, dropout=0.1),
    "tuned": s.ANTClassifier(**SMALL),
    "tuned by rule": s.ANTClassifier(**SMALL, criterion="random", target_layers=["hidden0"]),
    "tuned to a distribution": s.ANTClassifier(**SMALL, target_distribution=stats.norm(0, scale=2)),
    "tuned and stacked": s.ANTClassifier(**SMALL, n_networks=2),
    "not tuned": s.ANTClassifier(**SMALL, pruning_rate=0),
    "pretrained": s.RBMPretrainedMLP(**SMALL, pretraining_epochs=2),
    "pretrained twice": s.RBMPretrainedMLP(**SMALL, pretraining_epochs=1, n_networks=2),
    "searched pruning": s.ANTClassifierCV(s.ANTClassifier(**SMALL), pruning_rates=[0, 0.5], cv=2),
    "searched": s.TorchMLPClassifierCV(mlp(), cv=2, input_penalties=[0, 0.1], scoring="roc_auc"),
    "auxiliary": s.ActivationAuxClassifier(mlp(), aux_epochs=5, random_state=0),
}
REGRESSORS = {
    "plain": s.TorchMLPRegressor(**SMALL),
    "networks": s.TorchMLPRegressor(**SMALL, n_networks=2),
    "tuned": s.ANTRegressor(**SMALL),
    "pretrained": s.RBMPretrainedMLPRegressor(**SMALL, pretraining_epochs=2),
    "searched pruning": s.ANTRegressorCV(s.ANTRegressor(**SMALL), pruning_rates=[0, 0.5], cv=2),
    "searched": s.TorchMLPRegressorCV(
        s.TorchMLPRegressor(**SMALL), cv=2, input_penalties=[0, 0.1], numeric_embeddings=[None]
    ),
}
EXPLAINERS = {
    "pwp": s.PWPExplainer(mlp()),
    "garson": s.GarsonExplainer(mlp()),
    "olden": s.OldenExplainer(mlp()),
    "influence": s.InfluentialScores(mlp()),
    "gradient": s.GradientXInputExplainer(mlp()),
    "integrated gradients": s.IntegratedGradientsExplainer(mlp()),
    "several networks": s.PWPExplainer(mlp(n_networks=2)),
    "of a search": s.PWPExplainer(s.ANTClassifierCV(s.ANTClassifier(**SMALL), cv=2)),
    "deep lift": DeepLiftExplainer(mlp()),
    "deep shap": DeepShapExplainer(mlp(), random_state=0),
    "gradient shap": GradientShapExplainer(mlp(), n_samples=5, random_state=0),
    "lrp": LRPExplainer(mlp()),
}


PEERS = DeepLiftExplainer, DeepShapExplainer, GradientShapExplainer, LRPExplainer


def learnt(estimator):
    """What a user may look at: public attributes and properties of what was learnt."""
    hidden = {"net_", "module_", "scorer_", "rbm_", "estimator_", "explainers_", "aux_", "control_"}
    names = {*vars(estimator), *dir(type(estimator))} - hidden
    names = {name for name in names if name.endswith("_") and not name.startswith("_")}
    found = {}
    for name in sorted(names):
        with suppress(AttributeError, ValueError):  # of several networks some properties are none
            found[name] = getattr(estimator, name)
    return {name: value for name, value in found.items() if not inspect.ismethod(value)}


def assert_alike(same, first, second, X):
    same(first.get_params(deep=False).keys(), second.get_params(deep=False).keys())
    skipped = ("estimator", "callbacks", "random_state", "target_distribution")
    for name, value in first.get_params(deep=False).items():
        if name not in skipped:
            same(value, getattr(second, name), name)
    of_first, of_second = learnt(first), learnt(second)
    assert list(of_first) == list(of_second)
    for name in of_first:
        if name not in ("networks_", "best_estimator_", "rbms_"):
            same(of_first[name], of_second[name], name)
    for method in ("predict", "predict_proba", "decision_function"):
        if hasattr(first, method):
            same(getattr(first, method)(X), getattr(second, method)(X), method)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifier(name, data, copied, same, global_rng_untouched):
    first = clone(CLASSIFIERS[name]).fit(*data)
    assert_alike(same, first, copied(first), data[0])


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressor(name, copied, same):
    X, y = make_regression(60, 5, n_targets=1 + (name == "plain"), random_state=0)
    first = clone(REGRESSORS[name]).fit(X, y / 100)
    assert_alike(same, first, copied(first), X)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name.endswith("shap") else name
        for name in EXPLAINERS
    ],
)
@pytest.mark.filterwarnings("ignore::sknninterp.evaluation.CompletenessWarning")
def test_explainer(name, data, copied, same):
    if isinstance(EXPLAINERS[name], PEERS):
        pytest.importorskip("captum")
        pytest.importorskip("shap")
    X = pd.DataFrame(data[0], columns=list("abcde"))
    first = clone(EXPLAINERS[name]).fit(X, data[1])
    again = copied(first)
    assert_alike(same, first, again, X)
    same(first.explain(X).values, again.explain(X).values)
    if not isinstance(first, PEERS):
        same(first.transform(X), again.transform(X))
    same(first.explain(X[:3], target=1).to_frame(), again.explain(X[:3], target=1).to_frame())


def test_permutation_explainer(data, copied, same):
    first = PermutationExplainer(mlp(), n_repeats=2, random_state=0).fit(*data)
    again = copied(first)
    same(first.feature_importances_, again.feature_importances_)
    same(dict(first.result_), dict(again.result_))


@pytest.mark.parametrize(
    "selector",
    [
        s.RepeatedExplainer(s.PWPExplainer(mlp()), n_repeats=2, random_state=0),
        s.StabilitySelector(s.PWPExplainer(mlp()), n_subsamples=2, random_state=0),
        s.KnockoffSelector(s.PWPExplainer(mlp()), random_state=0),
    ],
    ids=lambda selector: type(selector).__name__,
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_selector(selector, data, copied, same):
    first = selector.fit(*data)
    again = copied(first)
    of_first, of_second = learnt(first), learnt(again)
    assert of_first.keys() == of_second.keys()
    for name in of_first:
        same(of_first[name], of_second[name], name)


@pytest.mark.parametrize("rule", ["cd", "reconstruction"])
def test_machine(rule, data, copied, same):
    X = (data[0] > 0).astype(np.float32)
    first = s.RBM(4, rule=rule, persistent=rule == "cd", n_iter=2, random_state=0).fit(X)
    again = copied(first)
    assert_alike(same, first, again, X)
    same(first.transform(X), again.transform(X))
    same(first.partial_fit(X).components_, again.partial_fit(X).components_)
    same(first.gibbs(X), again.gibbs(X))
    same(first.score_samples(X), again.score_samples(X))


def test_convolutional_machines(copied, same):
    rng = np.random.default_rng(0)
    X, y = rng.random((20, 1, 8, 8), dtype=np.float32), np.arange(20) % 2
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(48, 2),
    )
    first = s.RBMPretrainedMLP(module=module, max_epochs=2, pretraining_epochs=1).fit(X, y)
    again = copied(first)
    same(first.predict_proba(X), again.predict_proba(X))
    hidden = [one.rbms_[0].hidden(torch.from_numpy(X)).detach() for one in (first, again)]
    same(*hidden)
    same(first.rbms_[0].visible(hidden[0]), again.rbms_[0].visible(hidden[1]))


@pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda kind: kind.__name__)
def test_unfitted(kind, copied):
    estimator = kind()
    again = copied(estimator)
    assert type(again) is kind
    assert repr(again) == repr(estimator)
    assert vars(again).keys() == vars(estimator).keys()


def test_labels_and_names_come_back(data, copied, same):
    X = pd.DataFrame(data[0], columns=[f"gene {i}" for i in range(5)])
    for labels in (["no", "yes"], [-1.0, 2.0], [False, True]):
        first = mlp().fit(X, np.array(labels)[data[1]])
        again = copied(first)
        same(first.classes_, again.classes_)
        same(first.feature_names_in_, again.feature_names_in_)
        same(first.predict(X), again.predict(X))


def test_one_estimator_in_two_places_is_one(data, copied):
    network = mlp().fit(*data)
    again = copied(s.PWPExplainer(network).fit(data[0]))
    assert again.estimator is again.estimator_


def test_first_of_several_networks_is_the_estimators(data, copied):
    again = copied(mlp(n_networks=2).fit(*data))
    assert again.net_ is again.networks_[0].net_


def test_set_output_and_metadata_requests_come_back(data, copied):
    first = s.PWPExplainer(mlp()).fit(*data).set_output(transform="pandas")
    assert isinstance(copied(first).transform(data[0]), pd.DataFrame)


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("optimizer", lambda p: torch.optim.SGD(p), "<lambda>"),
        ("numeric_embedding", lambda X, w: None, "<lambda>"),
        ("random_state", np.random.default_rng(0), "Generator"),
        ("callbacks", [object()], "object"),
    ],
    ids=["optimizer", "embedding", "generator", "callback"],
)
def test_what_cannot_be_saved_is_named(name, value, what, tmp_path):
    with pytest.raises(PersistenceError, match=f"^TorchMLPClassifier.{name}.* is .*{what}"):
        s.save(mlp(**{name: value}), tmp_path / "a")


def test_criterion_of_ones_own_is_named(data, tmp_path):
    def own(tuning_data):
        return [layer.width * [0.0] for layer in tuning_data.layers]

    with pytest.raises(PersistenceError, match="ANTClassifier.criterion is .*own"):
        s.save(s.ANTClassifier(**SMALL, criterion=own), tmp_path / "a")


# --- hostile files -------------------------------------------------------------------------------


def edit_estimator(**changes):
    def edit(document, tensors):
        for part, values in changes.items():
            document["objects"][-1][part].update(values)

    return edit


HOSTILE = {
    "method": edit_estimator(learnt={"predict": 1}),
    "class": edit_estimator(learnt={"__class__": 1}),
    "dict": edit_estimator(learnt={"__dict__": {"dict": []}}),
    "parameter": edit_estimator(learnt={"lr": 1}),
    "property": edit_estimator(learnt={"module_": 1}),
    "no name": edit_estimator(learnt={"a b": 1}),
    "private of the class": edit_estimator(learnt={"_parameter_constraints": {"dict": []}}),
    "unknown parameter": edit_estimator(parameters={"pickle": 1}),
    "classes": edit_estimator(learnt={"classes_": [0, 1, 2]}),
    "more features": edit_estimator(learnt={"n_features_in_": 6}),
    "optimizer": edit_estimator(parameters={"optimizer": "system"}),
    "width": edit_estimator(parameters={"module": {"name": "FixedKernelCNN"}}, net={"shape": [9]}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_estimator_is_an_error(name, data, changed):
    path = changed(mlp().fit(*data), HOSTILE[name])
    with pytest.raises(PersistenceError, match="changed.safetensors"):
        load(path)


@pytest.mark.parametrize("kind", ["Popen", "BaseTorchEstimator", "__class__", None])
def test_unknown_class_is_an_error(kind, changed):
    path = changed(mlp(), lambda document, _: document["objects"][-1].update({"class": kind}))
    with pytest.raises(PersistenceError):
        load(path)


def test_huge_layer_sizes_of_a_file_are_not_allocated(data, changed, same):
    sizes = {"hidden_layer_sizes": [10**9, 10**9]}
    network = mlp().fit(*data)
    again = load(changed(network, edit_estimator(parameters=sizes)))
    same(network.predict_proba(data[0]), again.predict_proba(data[0]))


def test_unfit_machine_is_an_error(data, changed):
    machine = s.RBM(4, n_iter=1).fit((data[0] > 0).astype(float))

    def soften(_, tensors):
        name = next(name for name in tensors if name.endswith("bias_hidden"))
        tensors[name] = tensors[name].float()

    with pytest.raises(PersistenceError, match="do not fit together"):
        load(changed(machine, soften))
    path = changed(machine, lambda d, _: d["objects"][-1]["learnt"].update(n_features_in_=7))
    with pytest.raises(PersistenceError, match="takes other samples"):
        load(path)


@pytest.mark.parametrize("what", ["position", "keys"])
def test_random_state_is_checked(what, changed):
    def edit(document, tensors):
        state = document["objects"][0]
        if what == "position":
            state["rest"][0] = 10**6
        else:
            state["keys"] = {"cells": [[2], [1, 2]]}
            tensors.clear()

    with pytest.raises(PersistenceError, match="random state"):
        load(changed(mlp(random_state=np.random.RandomState(0)), edit))
