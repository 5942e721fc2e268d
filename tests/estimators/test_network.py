"""The network found in what a user hands over is the one that makes the estimator's predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import skorch
import torch
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch import nn

from sknninterp import ANTClassifier, ANTRegressor, TorchMLPClassifier, TorchMLPRegressor
from sknninterp.estimators import _network
from sknninterp.estimators._network import (
    Network,
    as_table,
    check_holds_network,
    find_network,
    is_fitted,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"hidden_layer_sizes": (5,), "max_epochs": 3, "random_state": 0}
SMALL_SKLEARN = {"hidden_layer_sizes": (5,), "max_iter": 5, "random_state": 0}
SMALL_SKORCH = {"max_epochs": 3, "train_split": None, "verbose": 0, "lr": 0.1}


class Dense(nn.Module):
    """Network of one hidden layer."""

    def __init__(self, n_outputs=1, closing=None):
        super().__init__()
        self.hidden = nn.Linear(6, 5)
        self.output = nn.Linear(5, n_outputs)
        self.closing = nn.Identity() if closing is None else closing

    def forward(self, X):  # skorch passes inputs by the name X where X is a dict
        return self.closing(self.output(torch.relu(self.hidden(X))))


class AddOne(TransformerMixin, BaseEstimator):
    """A transformer that is not the identity and knows its columns."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return X + 1


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="module", name="X")
def samples():
    return np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)


def two_classes(X):
    return (X[:, 0] - X[:, 1] > 0).astype(np.int64)


def three_classes(X):
    return np.digitize(X[:, 0] + 0.5 * X[:, 2], [-0.5, 0.5])


def value(X):
    return X[:, :1] - X[:, 1:2]


def in_pipeline(net):
    return make_pipeline(StandardScaler(), net)


CLASSIFIERS = {
    "TorchMLPClassifier": lambda: TorchMLPClassifier(**SMALL),
    "ANTClassifier": lambda: ANTClassifier(**SMALL),
    "pipeline": lambda: in_pipeline(TorchMLPClassifier(**SMALL)),
    "nested pipeline": lambda: make_pipeline(AddOne(), in_pipeline(TorchMLPClassifier(**SMALL))),
    "passthrough": lambda: make_pipeline(AddOne(), "passthrough", TorchMLPClassifier(**SMALL)),
    "grid search": lambda: GridSearchCV(
        in_pipeline(TorchMLPClassifier(**SMALL)), {"torchmlpclassifier__lr": [0.01, 0.1]}, cv=2
    ),
    "random search": lambda: RandomizedSearchCV(
        TorchMLPClassifier(**SMALL), {"lr": [0.01, 0.1]}, n_iter=1, cv=2, random_state=0
    ),
    "MLPClassifier": lambda: MLPClassifier(**SMALL_SKLEARN),
    "MLPClassifier in a pipeline": lambda: in_pipeline(MLPClassifier(**SMALL_SKLEARN)),
    "skorch, softmax inside": lambda: skorch.NeuralNetClassifier(
        Dense(3, nn.Softmax(1)), **SMALL_SKORCH
    ),
    "skorch, softmax twice": lambda: skorch.NeuralNetClassifier(
        Dense(3, nn.Softmax(1)), criterion=nn.CrossEntropyLoss, **SMALL_SKORCH | {"lr": 1.0}
    ),
    "skorch, cross-entropy": lambda: skorch.NeuralNetClassifier(
        Dense(3), criterion=nn.CrossEntropyLoss, **SMALL_SKORCH
    ),
}
BINARY = {
    "MLPClassifier": lambda: MLPClassifier(**SMALL_SKLEARN),
    "skorch": lambda: skorch.NeuralNetBinaryClassifier(Dense(), **SMALL_SKORCH),
    "skorch, threshold": lambda: skorch.NeuralNetBinaryClassifier(
        Dense(), threshold=0.45, **SMALL_SKORCH
    ),
    "skorch, sigmoid inside": lambda: skorch.NeuralNetBinaryClassifier(
        Dense(closing=nn.Sigmoid()), criterion=nn.BCELoss, **SMALL_SKORCH
    ),
}
REGRESSORS = {
    "TorchMLPRegressor": lambda: TorchMLPRegressor(**SMALL),
    "ANTRegressor": lambda: ANTRegressor(**SMALL),
    "pipeline": lambda: in_pipeline(TorchMLPRegressor(**SMALL)),
    "transformed target": lambda: TransformedTargetRegressor(
        in_pipeline(TorchMLPRegressor(**SMALL)), transformer=StandardScaler()
    ),
    "MLPRegressor": lambda: MLPRegressor(**SMALL_SKLEARN),
    "skorch": lambda: skorch.NeuralNetRegressor(Dense(), **SMALL_SKORCH),
}


def read(estimator, X):
    """Network, graph and inputs as an explainer makes them."""
    network = find_network(estimator)
    inputs = network.to_tensor(network.preprocess(X))
    return network, network.read(inputs.shape[1:]), inputs


def predicted_labels(estimator, X):
    network, graph, inputs = read(estimator, X)
    labels = network.labels(graph.output.shape[0])
    with torch.no_grad():
        return labels[network.predict(graph, inputs).numpy()]


# --- the network is the estimator's ---------------------------------------------------------------


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_network_predicts_what_the_classifier_predicts(kind, frozen, X):
    y = three_classes(X)
    classifier = CLASSIFIERS[kind]().fit(X, y)
    expected = classifier.predict(X)
    assert len(np.unique(expected)) > 1  # else the comparison says little
    found = FrozenEstimator(classifier) if frozen else classifier
    np.testing.assert_array_equal(predicted_labels(found, X), expected)


@pytest.mark.parametrize("kind", BINARY)
def test_network_with_one_logit_predicts_what_the_classifier_predicts(kind, X):
    y = two_classes(X)
    classifier = BINARY[kind]()
    classifier.fit(X, y.astype(np.float32) if kind.startswith("skorch") else y)
    expected = classifier.predict(X)
    assert len(np.unique(expected)) == 2
    np.testing.assert_array_equal(predicted_labels(classifier, X), expected)


@pytest.mark.parametrize("kind", [*CLASSIFIERS, *(f"one output, {kind}" for kind in BINARY)])
def test_probabilities_are_the_classifiers(kind, X):
    binary = kind.startswith("one output, ")
    y = two_classes(X) if binary else three_classes(X)
    classifier = BINARY[kind.removeprefix("one output, ")]() if binary else CLASSIFIERS[kind]()
    classifier.fit(X, y.astype(np.float32) if binary and "skorch" in kind else y)
    network, graph, inputs = read(classifier, X)
    with torch.no_grad():
        found = network.probabilities(graph, graph.run(inputs)[graph.output])
    np.testing.assert_allclose(found, classifier.predict_proba(X), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("closing", "n_outputs", "link"),
    [
        (None, 3, lambda z: softmax(z, axis=1)),
        (nn.Softmax(1), 3, lambda z: softmax(z, axis=1)),
        (nn.LogSoftmax(1), 3, lambda z: softmax(z, axis=1)),
        (None, 1, lambda z: np.column_stack([1 - expit(z), expit(z)])),
        (nn.Sigmoid(), 1, lambda z: np.column_stack([1 - expit(z), expit(z)])),
    ],
    ids=["logits", "softmax", "log-softmax", "logit", "sigmoid"],
)
def test_probabilities_of_a_module(closing, n_outputs, link, X):
    module = Dense(n_outputs, closing)
    network, graph, inputs = read(module, X)
    with torch.no_grad():
        logits = module.output(torch.relu(module.hidden(inputs))).numpy()
        found = network.probabilities(graph, module(inputs))
    np.testing.assert_allclose(found, link(logits), rtol=1e-5)


def test_probabilities_are_not_taken_for_logits(X):
    # Every probability is above 0, the threshold of a logit.
    module, inputs = Dense(closing=nn.Sigmoid()), torch.from_numpy(X)
    with torch.no_grad():
        module.output.bias -= torch.logit(module(inputs)).median()
        expected = (module(inputs)[:, 0] > 0.5).long()
        network = Network(module, module, np.array(["a", "b"]))
        predicted = network.predict(network.read((6,)), inputs)
    assert 0 < expected.sum() < len(X)
    assert torch.equal(predicted, expected)


@pytest.mark.parametrize("kind", REGRESSORS)
def test_network_puts_out_what_the_regressor_predicts(kind, X):
    regressor = REGRESSORS[kind]()
    y = value(X) if kind == "skorch" else value(X)[:, 0]
    regressor.fit(X, y)
    network, graph, inputs = read(regressor, X)
    with torch.no_grad():
        outputs = graph.run(inputs)[graph.output].numpy()[:, 0]
    if kind == "transformed target":
        outputs = regressor.transformer_.inverse_transform(outputs[:, None])[:, 0]
    np.testing.assert_allclose(outputs, regressor.predict(X).ravel(), rtol=1e-4, atol=1e-5)
    assert network.classes is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_scikit_learns_networks_are_rebuilt_exactly(activation, dtype, X):
    X, options = X.astype(dtype), {**SMALL_SKLEARN, "hidden_layer_sizes": (5, 4)}
    rtol = 1e-4 if dtype is np.float32 else 1e-9
    for y, link in [
        (two_classes(X), lambda z: np.column_stack([1 - expit(z), expit(z)])),
        (three_classes(X), lambda z: softmax(z, axis=1)),
    ]:
        classifier = MLPClassifier(activation=activation, **options).fit(X, y)
        network, _, inputs = read(classifier, X)
        assert inputs.dtype == torch.from_numpy(X).dtype
        with torch.no_grad():
            decision = network.module(inputs).numpy()
        np.testing.assert_allclose(link(decision), classifier.predict_proba(X), rtol=rtol)
    regressor = MLPRegressor(activation=activation, **options).fit(
        X, np.hstack([value(X), X[:, :1]])
    )
    network, _, inputs = read(regressor, X)
    with torch.no_grad():
        outputs = network.module(inputs).numpy()
    np.testing.assert_allclose(outputs, regressor.predict(X), rtol=rtol, atol=1e-6)


def test_steps_of_nested_pipelines_come_in_order(X):
    net = TorchMLPClassifier(**SMALL)
    nested = make_pipeline(AddOne(), "passthrough", make_pipeline(MinMaxScaler(), net))
    network = find_network(nested.fit(X, two_classes(X)))
    assert [name for name, _ in network.steps] == ["addone", "minmaxscaler"]
    np.testing.assert_array_equal(network.preprocess(X), nested[-1][0].transform(X + 1))


def test_samplers_are_left_out(X):
    # A pipeline of imbalanced-learn skips them when it predicts.
    class Sampler:
        def fit_resample(self, X, y):
            return X, y

    net = TorchMLPClassifier(**SMALL).fit(X, two_classes(X))
    assert find_network(Pipeline([("sampler", Sampler()), ("net", net)])).steps == ()


def test_first_is_what_sees_the_users_columns(X):
    pipeline = make_pipeline("passthrough", StandardScaler(), TorchMLPClassifier(**SMALL))
    pipeline.fit(X, two_classes(X))
    assert find_network(pipeline).first is pipeline[1]
    assert find_network(pipeline[-1]).first is pipeline[-1]


# --- labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "n_outputs", "labels"),
    [
        (["a", "b"], 2, ["a", "b"]),
        (["a", "b"], 1, ["a", "b"]),
        (["a", "b", "c"], 3, ["a", "b", "c"]),
        (None, 3, [0, 1, 2]),
        (None, 1, [0]),
        ([0, 2], 3, [0, 1, 2]),  # a class of three was missing in training
        (["a", "b", "c"], 1, [0]),
    ],
)
def test_outputs_are_labelled(classes, n_outputs, labels):
    module = Dense(n_outputs)
    assert Network(module, module, classes).labels(n_outputs).tolist() == labels


def test_skorch_net_without_known_classes_numbers_its_outputs(X):
    net = skorch.NeuralNetClassifier(Dense(3), **SMALL_SKORCH).initialize()
    assert is_fitted(net)  # its weights may have been loaded
    assert find_network(net).labels(3).tolist() == [0, 1, 2]
    net = skorch.NeuralNetClassifier(Dense(3), classes=["x", "y", "z"], **SMALL_SKORCH)
    net.initialize()
    assert find_network(net).labels(3).tolist() == ["x", "y", "z"]


def test_whether_outputs_are_labels_of_their_own(X):
    several_labels = (X[:, :3] > 0).astype(int)
    assert find_network(MLPClassifier(**SMALL_SKLEARN).fit(X, several_labels)).is_multilabel(3)
    for y, n_outputs in [(two_classes(X), 1), (three_classes(X), 3)]:
        network = find_network(MLPClassifier(**SMALL_SKLEARN).fit(X, y))
        assert not network.is_multilabel(n_outputs)


# --- tensors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [TorchMLPClassifier, MLPClassifier, Dense])
def test_tensor_has_the_networks_dtype_and_owns_writable_memory(make, X):
    if make is Dense:
        estimator = Dense()
    else:
        settings = SMALL if make is TorchMLPClassifier else SMALL_SKLEARN
        estimator = make(**settings).fit(X, two_classes(X))
    network = find_network(estimator)
    read_only = X[::-1].astype(np.float64)[:, ::1]
    read_only.flags.writeable = False
    for given in (read_only, read_only[::-1][::-1], sparse.csr_array(read_only), X[::-1].tolist()):
        tensor = network.to_tensor(given)
        assert tensor.dtype == torch.float32
        np.testing.assert_array_equal(tensor.numpy(), X[::-1])
    # The user's numbers must not change with the tensor.
    network.to_tensor(read_only).zero_()
    np.testing.assert_array_equal(read_only, X[::-1])


@pytest.mark.parametrize("as_given", [np.asarray, pd.DataFrame, sparse.csr_array])
def test_batches_are_preprocessed_rows_in_turn(as_given, X, monkeypatch):
    monkeypatch.setattr(_network, "_MOST_ROWS", 25)
    given = as_given(X)
    scaler = StandardScaler(with_mean=False)
    pipeline = make_pipeline(scaler, TorchMLPClassifier(**SMALL)).fit(given, two_classes(X))
    rows, parts = zip(*find_network(pipeline).batches(given), strict=True)
    assert [(part.start, part.stop) for part in rows] == [(0, 25), (25, 50), (50, 60)]
    assert [len(part) for part in parts] == [25, 25, 10]
    np.testing.assert_allclose(torch.cat(parts).numpy(), X / X.std(0), rtol=1e-5)


def test_batches_are_of_bounded_memory(X, monkeypatch, capsys):
    monkeypatch.setattr(_network, "_BATCH_BYTES", 8 * 6 * 7)
    sizes = [len(part) for _, part in find_network(Dense()).batches(X, verbose=1)]
    assert sizes == [7] * 8 + [4]
    assert "60/60" in capsys.readouterr().err
    monkeypatch.setattr(_network, "_BATCH_BYTES", 1)
    assert [len(part) for _, part in find_network(Dense()).batches(X[:2])] == [1, 1]
    assert not capsys.readouterr().err


@pytest.mark.parametrize("make", [TorchMLPClassifier, MLPClassifier])
def test_columns_in_another_order_do_not_pass(make, X):
    frame = pd.DataFrame(X, columns=list("abcdef"))
    settings = SMALL if make is TorchMLPClassifier else SMALL_SKLEARN
    network = find_network(make(**settings).fit(frame, two_classes(X)))
    np.testing.assert_array_equal(network.to_tensor(frame).numpy(), X)
    with pytest.raises(ValueError, match="same order"):
        network.to_tensor(frame[list("fedcba")])


def test_tables():
    frame = pd.DataFrame({"a": [1, None]})
    assert as_table(frame) is frame
    with pytest.raises(ValueError, match="no samples"):
        as_table(frame[:0])
    assert as_table([[1, 2]]).tolist() == [[1, 2]]
    with pytest.raises(ValueError, match="minimum of 1"):
        as_table(np.empty((0, 2)))


# --- what is taken, and what is not ---------------------------------------------------------------


def test_is_fitted(X):
    y = two_classes(X)
    for estimator in (
        TorchMLPClassifier(**SMALL),
        in_pipeline(TorchMLPClassifier(**SMALL)),
        MLPClassifier(**SMALL_SKLEARN),
        skorch.NeuralNetClassifier(Dense(2), **SMALL_SKORCH),
        GridSearchCV(TorchMLPClassifier(**SMALL), {"lr": [0.01]}, cv=2),
    ):
        assert not is_fitted(estimator)
        assert is_fitted(estimator.fit(X, y))
    assert not is_fitted(FrozenEstimator(TorchMLPClassifier()))
    assert is_fitted(Dense())


TAKEN = "estimators of sknninterp, skorch nets, torch modules, scikit-learn's MLPClassifier"


@pytest.mark.parametrize(
    "estimator",
    [
        RandomForestClassifier(2),
        CalibratedClassifierCV(TorchMLPClassifier(**SMALL), cv=2),
        in_pipeline(RandomForestClassifier(2)),
        GridSearchCV(RandomForestClassifier(2), {"max_depth": [2]}, cv=2),
        FrozenEstimator(RandomForestClassifier(2)),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_fitted_estimators_without_a_network(estimator, X):
    inner = estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
    inner.fit(X, two_classes(X))
    with pytest.raises(TypeError, match=TAKEN):
        find_network(estimator)


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        (RandomForestClassifier(), "RandomForestClassifier"),
        (CalibratedClassifierCV(TorchMLPClassifier()), "CalibratedClassifierCV"),
        (in_pipeline(RandomForestClassifier()), "RandomForestClassifier"),
        (LogisticRegressionCV(), "LogisticRegressionCV"),  # has `refit`, as searches have
        (TransformedTargetRegressor(RandomForestRegressor()), "RandomForestRegressor"),
        (TransformedTargetRegressor(), "NoneType"),  # a linear regression
        (make_pipeline(StandardScaler()), "StandardScaler"),
    ],
)
def test_estimators_that_cannot_hold_a_network_are_refused_unfitted(estimator, name):
    with pytest.raises(TypeError, match=f"estimator: {name} holds no network.*{TAKEN}"):
        check_holds_network(estimator)


@pytest.mark.parametrize("kind", [*CLASSIFIERS, *BINARY, *REGRESSORS])
def test_estimators_that_hold_a_network_are_taken_unfitted(kind):
    check_holds_network((CLASSIFIERS | BINARY | REGRESSORS)[kind]())


def test_a_search_may_look_for_the_estimator_itself():
    pipeline = Pipeline([("scale", StandardScaler()), ("net", "passthrough")])
    check_holds_network(GridSearchCV(pipeline, {"net": [TorchMLPClassifier(), ANTClassifier()]}))


@pytest.mark.parametrize("search", [GridSearchCV, RandomizedSearchCV])
def test_a_search_without_its_best_estimator(search, X):
    options = {"n_iter": 1} if search is RandomizedSearchCV else {}
    net = TorchMLPClassifier(**SMALL)
    found = search(net, {"lr": [0.01]}, cv=2, refit=False, **options).fit(X, two_classes(X))
    with pytest.raises(NotFittedError, match=f"{search.__name__} has no best_estimator_.*refit"):
        find_network(found)


def test_a_module_without_parameters():
    with pytest.raises(TypeError, match="Sequential has no parameters"):
        find_network(nn.Sequential(nn.Flatten()))
