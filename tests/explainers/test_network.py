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
from sknninterp.explainers._network import (
    Network,
    Outputs,
    check_explainable,
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
    labels = network.outputs(graph.output.shape[0]).labels
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
    ("classes", "n_outputs", "labels", "names"),
    [
        (["a", "b"], 2, ["a", "b"], ["a", "b"]),
        (["a", "b"], 1, ["a", "b"], ["b"]),
        (["a", "b", "c"], 3, ["a", "b", "c"], ["a", "b", "c"]),
        (None, 3, [0, 1, 2], [0, 1, 2]),
        (None, 1, [0], [0]),
        ([0, 2], 3, [0, 1, 2], [0, 1, 2]),  # a class of three was missing in training
        (["a", "b", "c"], 1, [0], [0]),
    ],
)
def test_outputs_are_named(classes, n_outputs, labels, names):
    module = Dense(n_outputs)
    outputs = Network(module, module, classes).outputs(n_outputs)
    assert outputs.labels.tolist() == labels
    assert outputs.names.tolist() == names


def test_whether_a_class_is_predicted(X):
    def predicts(estimator, n_outputs):
        return find_network(estimator).outputs(n_outputs).predicts

    assert predicts(Dense(3), 3)
    assert not predicts(Dense(), 1)  # a logit or a value: nobody knows
    assert predicts(MLPClassifier(**SMALL_SKLEARN).fit(X, two_classes(X)), 1)
    assert not predicts(MLPRegressor(**SMALL_SKLEARN).fit(X, X[:, :2]), 2)
    several_labels = (X[:, :3] > 0).astype(int)
    assert not predicts(MLPClassifier(**SMALL_SKLEARN).fit(X, several_labels), 3)


def test_skorch_net_without_known_classes_numbers_its_outputs(X):
    net = skorch.NeuralNetClassifier(Dense(3), **SMALL_SKORCH).initialize()
    assert is_fitted(net)  # its weights may have been loaded
    assert find_network(net).outputs(3).names.tolist() == [0, 1, 2]
    net = skorch.NeuralNetClassifier(Dense(3), classes=["x", "y", "z"], **SMALL_SKORCH)
    net.initialize()
    assert find_network(net).outputs(3).names.tolist() == ["x", "y", "z"]


SEVERAL = Outputs(np.array(["a", "b", "c"]), 3, True)
ONE_LOGIT = Outputs(np.array(["no", "yes"]), 1, True)
VALUES = Outputs(np.arange(2), 2, False)


@pytest.mark.parametrize(
    ("outputs", "target", "expected"),
    [
        (SEVERAL, "b", (1, 1, "b")),
        (SEVERAL, np.str_("b"), (1, 1, "b")),
        (SEVERAL, ["c", "a"], ([2, 0], [1, 1], ["c", "a"])),
        (SEVERAL, np.array(["c"]), ([2], [1], ["c"])),
        (SEVERAL, pd.Index(["c"]), ([2], [1], ["c"])),
        (SEVERAL, "predicted", ("predicted", 1, None)),
        (Outputs(np.array(["predicted", "so"]), 2, True), "predicted", (0, 1, "predicted")),
        (Outputs(np.array(["predicted", "so"]), 1, True), "predicted", (0, -1, "predicted")),
        (Outputs(np.array([False, True]), 2, True), True, (1, 1, True)),
        (Outputs(np.array([False, True]), 2, True), np.True_, (1, 1, True)),
        (Outputs(np.array([1, 2]), 2, True), True, (0, 1, 1)),  # True == 1, as everywhere
        (Outputs(np.array([1, 2]), 2, True), np.int8(1), (0, 1, 1)),
        (Outputs(np.array([1.0, 2.0]), 2, True), 2, (1, 1, 2.0)),
        (ONE_LOGIT, "yes", (0, 1, "yes")),
        (ONE_LOGIT, "no", (0, -1, "no")),
        (ONE_LOGIT, ["no", "yes"], ([0, 0], [-1, 1], ["no", "yes"])),
        (VALUES, 1, (1, 1, 1)),
    ],
)
def test_targets_become_positions_signs_and_labels(outputs, target, expected):
    assert outputs.choose(target, signed=True) == expected


def test_against_is_no_sign_where_contributions_have_none():
    assert ONE_LOGIT.choose("no", signed=False) == (0, 1, "no")


@pytest.mark.parametrize(
    ("outputs", "target", "message"),
    [
        (SEVERAL, "d", r"target='d' is not an output .* \['a', 'b', 'c'\]"),
        (SEVERAL, ["a", "d"], "target='d'"),
        (SEVERAL, [], "holds no label"),
        (SEVERAL, 0, "target=0"),
        (Outputs(np.array(["0", "1"]), 2, True), 1, r"target=1 .* \['0', '1'\]"),
        (ONE_LOGIT, "maybe", r"target='maybe' .* \['no', 'yes'\]"),
        (VALUES, 2, "target=2"),
        (VALUES, -1, "target=-1"),
        (VALUES, "predicted", "asks for one class"),
    ],
)
def test_targets_that_do_not_exist(outputs, target, message):
    with pytest.raises(ValueError, match=message):
        outputs.choose(target, signed=True)


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


@pytest.mark.parametrize("make", [TorchMLPClassifier, MLPClassifier])
def test_columns_in_another_order_do_not_pass(make, X):
    frame = pd.DataFrame(X, columns=list("abcdef"))
    settings = SMALL if make is TorchMLPClassifier else SMALL_SKLEARN
    network = find_network(make(**settings).fit(frame, two_classes(X)))
    np.testing.assert_array_equal(network.to_tensor(frame).numpy(), X)
    with pytest.raises(ValueError, match="same order"):
        network.to_tensor(frame[list("fedcba")])


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
        check_explainable(estimator)


@pytest.mark.parametrize("kind", [*CLASSIFIERS, *BINARY, *REGRESSORS])
def test_estimators_that_hold_a_network_are_taken_unfitted(kind):
    check_explainable((CLASSIFIERS | BINARY | REGRESSORS)[kind]())


def test_a_search_may_look_for_the_estimator_itself():
    pipeline = Pipeline([("scale", StandardScaler()), ("net", "passthrough")])
    check_explainable(GridSearchCV(pipeline, {"net": [TorchMLPClassifier(), ANTClassifier()]}))


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
