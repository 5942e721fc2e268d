"""The classifier that asks its network's hidden neurons, beside loops and every kind of base."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import skorch
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    train_test_split,
)
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import nn

from sknninterp import ANTClassifier, TorchMLPClassifier, TorchMLPRegressor
from sknninterp.estimators import activation_aux
from sknninterp.estimators.activation_aux import ActivationAuxClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

NET = {"hidden_layer_sizes": (8, 6), "max_epochs": 30, "lr": 0.02, "random_state": 0}
SKLEARN = {"hidden_layer_sizes": (8, 6), "max_iter": 60, "learning_rate_init": 0.02}
SKORCH = {"max_epochs": 30, "train_split": None, "verbose": 0, "optimizer": torch.optim.Adam}
QUICK = {"aux_epochs": 20, "lr": 0.05}


def aux(estimator=None, **options):
    if estimator is None:
        estimator = TorchMLPClassifier(**NET)
    return ActivationAuxClassifier(estimator, **{**QUICK, "random_state": 0, **options})


class Dense(nn.Module):
    def __init__(self, n_outputs=3, closing=None, activation=None):
        super().__init__()
        self.hidden = nn.Linear(6, 8)
        self.activation = activation or nn.ReLU()
        self.output = nn.Linear(8, n_outputs)
        self.closing = closing or nn.Identity()

    def forward(self, X):
        return self.closing(self.output(self.activation(self.hidden(X))))


@pytest.fixture(scope="module", name="X")
def samples():
    return np.random.default_rng(0).normal(size=(90, 6)).astype(np.float32)


@pytest.fixture(scope="module", name="y")
def labels(X):
    return np.digitize(X[:, 0] + X[:, 2] / 2, [-0.5, 0.5])


@pytest.fixture(scope="module", name="fitted")
def fitted_classifier(X, y):
    return aux().fit(X, np.array(["a", "b", "c"])[y])


@pytest.fixture
def captured(monkeypatch):
    """What the auxiliary networks are fitted on."""
    calls, original = [], activation_aux.fit_auxiliary

    def spy(inputs, **options):
        calls.append((inputs, options))
        return original(inputs, **options)

    monkeypatch.setattr(activation_aux, "fit_auxiliary", spy)
    return calls


# --- oracle ---------------------------------------------------------------------------------------


def loops(network, X, target, weight, threshold, others):
    """P over X, and evidence, Y_proposed and Y_predicted of `others`, from the paper."""
    layers = [m for m in network.module_.modules() if isinstance(m, nn.Linear)]
    matrices = [
        (m.weight.detach().double().numpy(), m.bias.detach().double().numpy()) for m in layers
    ]

    def run(x):
        fires = []
        for matrix, bias in matrices[:-1]:
            x = np.maximum(matrix @ x + bias, 0)
            fires += [value > threshold for value in x]
        logits = matrices[-1][0] @ x + matrices[-1][1]
        exponentials = np.exp(logits - logits.max())
        return fires, exponentials / exponentials.sum()

    n_classes = target.max() + 1
    probabilities = np.zeros((n_classes, sum(len(bias) for _, bias in matrices[:-1])))
    total = np.zeros(n_classes)
    for x, c, w in zip(X, target, weight, strict=True):
        total[c] += w
        for j, fires in enumerate(run(x)[0]):
            probabilities[c, j] += w * fires
    probabilities /= total[:, None]
    evidence, proposed, predicted = [], [], []
    for x in others:
        fires, own = run(x)
        here = [sum(probabilities[c, j] for j in np.flatnonzero(fires)) for c in range(n_classes)]
        product = np.array(here) * own
        evidence.append(here)
        predicted.append(own)
        proposed.append(product / product.sum() if product.sum() > 0 else own)
    return probabilities, np.array(evidence), np.array(proposed), np.array(predicted)


@pytest.mark.parametrize("fitted_before", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_oracle(fitted_before, weighted, X, y, captured):
    X, others = X[:60].astype(np.float64), X[60:].astype(np.float64)
    y = y[:60]
    weight = np.random.default_rng(1).integers(0, 3, 60).astype(float) if weighted else None
    base = TorchMLPClassifier(**NET)
    if fitted_before:
        base.fit(X, y)
    found = aux(base, threshold=0.2, random_state=None).fit(X, y, weight)
    assert (found.estimator_ is base) is fitted_before

    weight = np.ones(60) if weight is None else weight
    used = weight > 0
    expected = loops(found.estimator_, X[used], y[used], weight[used], 0.2, others)
    probabilities, evidence, proposed, predicted = expected
    close = {"rtol": 1e-10, "atol": 1e-14}
    np.testing.assert_allclose(found.activation_probabilities_, probabilities, **close)
    np.testing.assert_allclose(found.evidence(others), evidence, **close)
    np.testing.assert_allclose(found.predict_proposed(others), proposed, **close)
    both = np.hstack([proposed, predicted])
    expected = found.aux_.predict_proba(both)
    np.testing.assert_allclose(found.predict_proba(others), expected, **close)
    np.testing.assert_array_equal(found.predict(others), expected.argmax(1))

    (both, options), (control, _) = captured
    *_, proposed, predicted = loops(found.estimator_, X[used], y[used], weight[used], 0.2, X[used])
    np.testing.assert_allclose(both, np.hstack([proposed, predicted]), **close)
    np.testing.assert_allclose(control, predicted, **close)
    np.testing.assert_array_equal(options["target"], y[used])
    if weighted:
        np.testing.assert_array_equal(options["weight"], weight[used])
    assert found.aux_.n_features_in_ == 2 * found.control_.n_features_in_ == 6


def test_scores_on_training_data(X, y):
    found = aux().fit(X, y)
    predicted = found.estimator_.predict_proba(X)
    assert found.base_score_ == pytest.approx(found.estimator_.score(X, y))
    assert found.aux_score_ == pytest.approx(found.score(X, y))
    assert found.control_score_ == pytest.approx(found.control_.score(predicted, y))


# --- kinds of bases -------------------------------------------------------------------------------


def cross_entropy(module, **options):
    return skorch.NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, lr=0.02, **options, **SKORCH
    )


KINDS = {
    "TorchMLPClassifier": lambda: TorchMLPClassifier(**NET),
    "ANTClassifier": lambda: ANTClassifier(**NET),
    "pipeline": lambda: make_pipeline(StandardScaler(), TorchMLPClassifier(**NET)),
    "search": lambda: GridSearchCV(
        make_pipeline(StandardScaler(), TorchMLPClassifier(**NET)),
        {"torchmlpclassifier__lr": [0.02]},
        cv=2,
    ),
    "MLPClassifier": lambda: MLPClassifier(**SKLEARN, random_state=0),
    "skorch": lambda: cross_entropy(Dense),
    "skorch, softmax": lambda: skorch.NeuralNetClassifier(
        Dense, module__closing=nn.Softmax(1), lr=0.02, **SKORCH
    ),
    "skorch in a pipeline": lambda: make_pipeline(StandardScaler(), cross_entropy(Dense)),
}


@pytest.mark.parametrize("fitted_before", [False, True], ids=["unfitted", "fitted"])
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_bases(kind, fitted_before, X, y):
    base = KINDS[kind]()
    if fitted_before:
        base.fit(X, y)
    found = aux(base).fit(X, y)
    assert (found.estimator_ is base) is fitted_before
    n_neurons = found.activation_probabilities_.shape[1]
    assert sum(np.prod(shape) for shape in found.layers_.values()) == n_neurons
    assert found.activation_entropy_.shape == found.class_selectivity_.shape == (n_neurons,)
    assert found.base_score_ == pytest.approx(np.mean(found.estimator_.predict(X) == y))
    assert found.base_score_ > 0.6
    assert found.score(X, y) > found.base_score_ - 0.1
    np.testing.assert_allclose(found.predict_proba(X).sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(found.predict_proposed(X).sum(1), 1, rtol=1e-5)
    assert found.classes_.tolist() == [0, 1, 2]


def test_one_logit(X, y):
    net = skorch.NeuralNetBinaryClassifier(Dense, module__n_outputs=1, lr=0.02, **SKORCH)
    found = aux(net).fit(X, (y > 1).astype(np.float32))
    assert found.activation_probabilities_.shape == (2, 8)
    assert found.predict_proba(X).shape == (90, 2)
    assert found.score(X, y > 1) > 0.8


@pytest.mark.parametrize("closing", [None, nn.Softmax(1), nn.LogSoftmax(1)], ids=str)
def test_modules(closing, X, y):
    torch.manual_seed(0)
    module = Dense(closing=closing)
    found = aux(module).fit(X, np.array(["u", "v", "w"])[y])
    with torch.no_grad():
        logits = module.output(torch.relu(module.hidden(torch.from_numpy(X))))
    expected = found.evidence(X) * torch.softmax(logits, 1).numpy()
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(found.predict_proposed(X), expected, rtol=1e-4)
    assert found.classes_.tolist() == ["u", "v", "w"]
    assert found.estimator_ is module


def test_a_frozen_estimator_is_left_as_it_is(X, y):
    base = FrozenEstimator(TorchMLPClassifier(**NET).fit(X, y))
    assert aux(base).fit(X, y).estimator_ is base


def test_images(X, y):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3)
    )
    images = X.reshape(90, 1, 2, 3)
    found = aux(TorchMLPClassifier(module=module, max_epochs=5)).fit(images, y)
    assert found.layers_ == {"0": (4, 1, 2), "3": (5,)}
    assert found.activation_probabilities_.shape == (3, 13)
    neurons = found.explain_neurons(1, k=None)
    assert len(neurons) == 13
    maps = neurons[neurons["layer"] == "0"]
    assert set(zip(maps["neuron"], maps["position"], strict=True)) == {
        (channel, (0, column)) for channel in range(4) for column in range(2)
    }
    assert set(neurons["position"][neurons["layer"] == "3"]) == {()}
    with pytest.raises(ValueError, match=r"shape \(1, 3, 2\).*shape \(1, 2, 3\)"):
        found.predict(images.reshape(90, 1, 3, 2))


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("all", {"hidden0": (8,), "hidden1": (6,)}),
        ("last", {"hidden1": (6,)}),
        (1, {"hidden1": (6,)}),
        ("hidden0", {"hidden0": (8,)}),
        (["hidden1", "hidden0"], {"hidden1": (6,), "hidden0": (8,)}),
    ],
    ids=str,
)
def test_layers(layers, expected, X, y):
    found = aux(layers=layers).fit(X, y)
    assert list(found.layers_.items()) == list(expected.items())
    assert found.activation_probabilities_.shape == (3, sum(s for (s,) in expected.values()))


def test_thresholds_by_layer(X, y):
    net = TorchMLPClassifier(**{**NET, "activation": "sigmoid"})
    by_layer = aux(net, threshold={"hidden0": 0.4, "hidden1": 0.6}).fit(X, y)
    first, second = (aux(net, threshold=t).fit(X, y) for t in (0.4, 0.6))
    probabilities = by_layer.activation_probabilities_
    np.testing.assert_array_equal(probabilities[:, :8], first.activation_probabilities_[:, :8])
    np.testing.assert_array_equal(probabilities[:, 8:], second.activation_probabilities_[:, 8:])


@pytest.mark.parametrize(("hidden", "n_hidden"), [(None, 16), (4, 4), ("authors", 6)])
def test_aux_hidden(hidden, n_hidden, X, y):
    found = aux(aux_hidden=hidden).fit(X, y)
    for network in (found.aux_, found.control_):
        first = next(m for m in network.module_.modules() if isinstance(m, nn.Linear))
        assert first.out_features == n_hidden


# --- cv -------------------------------------------------------------------------------------------


class Noted(TorchMLPClassifier):
    """Notes down what it is fitted on."""

    rows: list = []

    def fit(self, X, y, sample_weight=None):
        Noted.rows.append(X[:, 0].tolist())
        return super().fit(X, y, sample_weight)


@pytest.fixture
def noted():
    Noted.rows = []
    return Noted.rows


def test_a_share_is_held_out(X, y, noted, captured):
    found = aux(Noted(**NET), cv=0.4).fit(X, y)
    (own,) = noted
    assert len(own) == 54
    train = np.isin(X[:, 0], own)
    assert train.sum() == 54
    expected = loops(found.estimator_, X[train], y[train], np.ones(54), 0, X[~train])
    np.testing.assert_allclose(found.activation_probabilities_, expected[0], rtol=1e-6)
    (both, options), (control, _) = captured
    predicted = found.estimator_.predict_proba(X[~train])
    order = np.lexsort(predicted.T)
    np.testing.assert_allclose(control[np.lexsort(control.T)], predicted[order], rtol=1e-4)
    expected = np.hstack([expected[2], predicted])[order]
    np.testing.assert_allclose(both[np.lexsort(both[:, 3:].T)], expected, rtol=1e-3, atol=1e-6)
    assert options["held_out"]
    assert found.base_score_ == pytest.approx(found.estimator_.score(X[~train], y[~train]))


@pytest.mark.parametrize("fitted_before", [False, True])
@pytest.mark.parametrize("cv", [3, StratifiedKFold(3, shuffle=True, random_state=0)], ids=str)
def test_out_of_fold(cv, fitted_before, X, y, noted, captured):
    base = Noted(**NET)
    if fitted_before:
        base.fit(X, y)
    found = aux(base, cv=cv, threshold=0.2, random_state=None).fit(X, y)
    assert [len(own) for own in noted] == [90, 60, 60, 60]
    whole = loops(found.estimator_, X, y, np.ones(90), 0.2, X[:1])[0]
    np.testing.assert_allclose(found.activation_probabilities_, whole, rtol=1e-6)

    (both, options), (control, _) = captured
    splits = list((StratifiedKFold(3) if cv == 3 else cv).split(X, y))
    expected = cross_val_predict(TorchMLPClassifier(**NET), X, y, cv=splits, method="predict_proba")
    rows = np.concatenate([test for _, test in splits])
    np.testing.assert_allclose(control, expected[rows], rtol=1e-5)
    np.testing.assert_array_equal(options["target"], y[rows])
    assert found.base_score_ == pytest.approx(np.mean(expected.argmax(1) == y))
    start = 0
    for train, test in splits:
        network = TorchMLPClassifier(**NET).fit(X[train], y[train])
        *_, proposed, _ = loops(network, X[train], y[train], np.ones(60), 0.2, X[test])
        here = both[start : start + len(test), :3]
        np.testing.assert_allclose(here, proposed, rtol=1e-3, atol=1e-6)
        start += len(test)


def test_weights_on_folds(X, y, captured):
    weight = np.linspace(0.5, 2, 90)
    weight[::9] = 0
    splits = list(StratifiedKFold(3, shuffle=True, random_state=0).split(X, y))
    found = aux(cv=splits, random_state=None).fit(X, y, weight)
    kept = [[part[weight[part] > 0] for part in split] for split in splits]
    rows = np.concatenate([test for _, test in kept])
    control, options = captured[1]
    np.testing.assert_array_equal(options["weight"], weight[rows])
    train, test = kept[0]
    network = TorchMLPClassifier(**NET).fit(X[train], y[train], weight[train])
    np.testing.assert_allclose(control[: len(test)], network.predict_proba(X[test]), rtol=1e-5)
    hits = control.argmax(1) == y[rows]
    assert found.base_score_ == pytest.approx(np.average(hits, weights=weight[rows]))


@pytest.mark.slow
def test_folds_at_once_change_nothing(X, y):
    one, two = (aux(cv=3, n_jobs=n).fit(X, y).predict_proba(X) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


# --- what it is good for --------------------------------------------------------------------------


def brier(probabilities, y):
    return np.mean(((probabilities - np.eye(10)[y]) ** 2).sum(1))


def calibration_error(probabilities, y, n_bins=15):
    """Expected calibration error."""
    confidence, hits = probabilities.max(1), probabilities.argmax(1) == y
    place = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    bins = [place == r for r in np.unique(place)]
    return sum(b.mean() * abs(hits[b].mean() - confidence[b].mean()) for b in bins)


def test_calibrated_no_worse_than_the_base():
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    scores = []
    for seed in range(2):
        train_X, test_X, train_y, test_y = train_test_split(
            X, y, train_size=600, stratify=y, random_state=seed
        )
        base = TorchMLPClassifier((32,), max_epochs=40, lr=0.005)
        found = ActivationAuxClassifier(base, cv=5, aux_epochs=80, lr=3e-3, random_state=seed)
        found.fit(train_X, train_y)
        of_base = found.estimator_.predict_proba(test_X)
        of_aux = found.predict_proba(test_X)
        scores.append(
            [
                (brier(p, test_y), calibration_error(p, test_y), np.mean(p.argmax(1) == test_y))
                for p in (of_base, of_aux)
            ]
        )
        # The scores held out tell what to expect.
        assert found.aux_score_ == pytest.approx(found.score(test_X, test_y), abs=0.04)
    of_base, of_aux = np.mean(scores, 0)
    assert of_aux[0] < of_base[0] + 0.005
    assert of_aux[1] < of_base[1] + 0.01
    assert of_aux[2] > of_base[2] - 0.01


def test_proposals_hold_up_where_samples_are_scaled_otherwise():
    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32)
    scores = []
    for seed in range(2):
        base = TorchMLPClassifier((64, 32), max_epochs=15, random_state=seed)
        found = aux(base, random_state=None).fit(X[:1200], y[:1200])
        given, truth = X[1200:] / 16, y[1200:]
        proposed = np.mean(found.predict_proposed(given).argmax(1) == truth)
        own = found.estimator_.score(given, truth)
        scores.append((own, proposed, found.score(given, truth)))
    of_base, proposed, of_aux = np.mean(scores, 0)
    assert proposed > of_base + 0.01
    assert of_aux < of_base - 0.1  # an auxiliary network is far from what it has learnt


# --- neurons --------------------------------------------------------------------------------------


def planted():
    """One neuron for each class and one for both of the last two."""
    module = nn.Sequential(nn.Linear(3, 4, bias=False), nn.ReLU(), nn.Linear(4, 3))
    weights = torch.tensor([[1.0, 0, 0], [0, 1, 1], [0, 1, 0], [0, 0, 1]])
    module[0].weight.data = weights
    return module


def test_representative_neurons():
    X, y = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0), np.repeat(["a", "b", "c"], 4)
    X[4] = 0  # once a neuron of "b" is silent
    found = aux(planted()).fit(X, y)
    np.testing.assert_array_equal(
        found.activation_probabilities_, [[1, 0, 0, 0], [0, 0.75, 0.75, 0], [0, 1, 0, 1]]
    )
    neurons = found.explain_neurons("b", k=3)
    assert neurons["neuron"].tolist() == [2, 1, 0]
    assert neurons["layer"].tolist() == ["0"] * 3
    assert neurons["position"].tolist() == [()] * 3
    np.testing.assert_allclose(neurons["probability"], [0.75, 0.75, 0])
    np.testing.assert_allclose(neurons["others"], [0, 0.5, 0.5])
    np.testing.assert_allclose(neurons["difference"], [0.75, 0.25, -0.5])
    np.testing.assert_allclose(neurons["selectivity"], [1, 0.625 / 1.375, 1])
    assert found.explain_neurons("b").shape == (4, 7)
    assert found.explain_neurons("c")["neuron"].tolist() == [3, 1, 2, 0]
    # Where the difference is the same, the more selective first.
    found.activation_probabilities_ = np.ones((3, 4))
    found.class_selectivity_ = np.array([0.2, 0.8, 0.1, 0.5])
    assert found.explain_neurons("c")["neuron"].tolist() == [1, 3, 0, 2]


@pytest.mark.parametrize(
    ("class_", "k", "message"),
    [
        ("d", 3, r"class_='d' is no class; there are \['a', 'b', 'c'\]"),
        (0, 3, "class_=0"),
        ("a", 0, "k=0"),
        ("a", 1.5, "k=1.5"),
    ],
)
def test_neurons_that_cannot_be_explained(class_, k, message, fitted):
    with pytest.raises(ValueError, match=message):
        fitted.explain_neurons(class_, k)


# --- contract -------------------------------------------------------------------------------------


def test_labels_are_the_users(fitted, X, y):
    assert fitted.classes_.tolist() == ["a", "b", "c"]
    expected = fitted.classes_[fitted.predict_proba(X).argmax(1)]
    assert fitted.predict(X).tolist() == expected.tolist()
    assert fitted.score(X, fitted.classes_[y]) > 0.8


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_predict_the_same(copied, fitted, X):
    np.testing.assert_array_equal(copied(fitted).predict_proba(X), fitted.predict_proba(X))


def test_clones_and_parameters(fitted):
    again = clone(fitted)
    assert not hasattr(again, "aux_")
    assert again.get_params()["estimator__max_epochs"] == 30


@pytest.mark.usefixtures("global_rng_untouched")
@pytest.mark.parametrize("cv", [None, 0.4, 3], ids=str)
def test_one_seed_gives_the_same_bits(cv, X, y):
    base = cross_entropy(Dense).set_params(max_epochs=2)
    one, again, other = (
        aux(base, cv=cv, random_state=seed, aux_epochs=3).fit(X, y) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(one.predict_proba(X), again.predict_proba(X))
    assert one.aux_score_ == again.aux_score_
    assert (one.predict_proba(X) != other.predict_proba(X)).any()


def test_own_seeds_stay_without_random_state(X, y):
    found = aux(random_state=None).fit(X, y)
    expected = TorchMLPClassifier(**NET).fit(X, y)
    np.testing.assert_array_equal(found.estimator_.predict_proba(X), expected.predict_proba(X))


def test_columns_of_frames(X, y):
    frame = pd.DataFrame(X, columns=list("abcdef"))
    pipeline = make_pipeline(StandardScaler(), TorchMLPClassifier(**NET))
    found = aux(pipeline).fit(frame, y)
    assert found.feature_names_in_.tolist() == list("abcdef")
    assert found.n_features_in_ == 6
    for method in (found.predict, found.predict_proposed, found.evidence):
        with pytest.raises(ValueError, match="same order"):
            method(frame[list("fedcba")])
        with pytest.raises(ValueError, match="feature names"):
            method(frame.drop(columns="a"))
    with pytest.raises(ValueError, match="6 features"):
        aux().fit(X, y).predict(X[:, :5])


def test_sparse(X, y):
    X = np.where(X > 0, X, 0)
    dense, thin = (aux().fit(given, y) for given in (X, sparse.csr_array(X)))
    np.testing.assert_array_equal(thin.predict_proba(sparse.csr_array(X)), dense.predict_proba(X))


def test_inside_a_search(X, y):
    search = GridSearchCV(aux(), {"threshold": [0.0, 0.2], "estimator__lr": [0.02]}, cv=2)
    assert search.fit(X, y).best_estimator_.score(X, y) > 0.7


def test_default_estimator(X, y):
    found = ActivationAuxClassifier(aux_epochs=2).fit(X, y)
    assert isinstance(found.estimator_, TorchMLPClassifier)
    assert found.estimator is None
    assert found.aux_.max_epochs == found.control_.max_epochs == 2


def test_silent_unless_verbose(X, y, capsys):
    aux(cv=2, aux_epochs=2).fit(X, y)
    assert capsys.readouterr() == ("", "")
    aux(verbose=1, aux_epochs=2).fit(X, y)
    shown = capsys.readouterr().err
    assert "90/90" in shown  # samples read
    assert "train_loss" in shown


def test_settings_reach_the_auxiliary_networks(X, y):
    found = aux(lr=0.03, batch_size=17, device="cpu", aux_epochs=2).fit(X, y)
    for network in (found.aux_, found.control_):
        settings = network.lr, network.batch_size, network.device, network.max_epochs
        assert settings == (0.03, 17, "cpu", 2)
    assert found.aux_.random_state != found.control_.random_state


# --- bad input ------------------------------------------------------------------------------------


def test_not_fitted(X):
    for method in ("predict", "predict_proba", "predict_proposed", "evidence"):
        with pytest.raises(NotFittedError):
            getattr(aux(), method)(X)
    with pytest.raises(NotFittedError):
        aux().explain_neurons(0)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (LinearSVC(), "LinearSVC holds no network"),
        (LogisticRegression(), "LogisticRegression holds no network"),
        (TorchMLPRegressor(), "classifier with `predict_proba`; TorchMLPRegressor"),
        (make_pipeline(StandardScaler(), TorchMLPRegressor()), "`predict_proba`; Pipeline"),
        (TransformedTargetRegressor(TorchMLPRegressor()), "`predict_proba`"),
        (skorch.NeuralNetRegressor(Dense), "`predict_proba`; NeuralNetRegressor"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_estimators_that_are_no_classifiers_with_a_network(estimator, message, X, y):
    with pytest.raises(TypeError, match=message):
        aux(estimator).fit(X, y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": {"hidden2": 0.0}}, "no layer 'hidden2'"),
        ({"threshold": -0.1}, "'relu' is always above"),
        ({"layers": "hidden2"}, r"no hidden layer 'hidden2' .*\['hidden0', 'hidden1'\]"),
        ({"layers": 3}, "from 1 to 2"),
        ({"layers": []}, "names among"),
        ({"layers": None}, "'layers' parameter"),
        ({"threshold": "low"}, "'threshold' parameter"),
        ({"cv": 1}, "'cv' parameter"),
        ({"cv": 1.5}, "'cv' parameter"),
        ({"aux_hidden": "none"}, "'aux_hidden' parameter"),
        ({"aux_hidden": [0]}, "hidden_layer_sizes must hold integers of at least 1"),
        ({"aux_epochs": 0}, "'aux_epochs' parameter"),
        ({"lr": 0}, "'lr' parameter"),
        ({"cv": 60}, "too few for 60 folds"),
        ({"cv": 0.01}, "cv=0.01"),
    ],
    ids=str,
)
def test_parameters(options, message, X, y):
    with pytest.raises(ValueError, match=message):
        aux(**options).fit(X, y)


def test_a_sigmoid_needs_a_threshold(X, y):
    net = TorchMLPClassifier(**{**NET, "activation": "sigmoid"})
    with pytest.raises(ValueError, match="'sigmoid' is always above it.* such as 0.5"):
        aux(net).fit(X, y)


@pytest.mark.parametrize("base", ["fitted", "module"])
def test_a_class_is_absent(base, X, y):
    base = TorchMLPClassifier(**NET).fit(X, y) if base == "fitted" else Dense()
    kept = y != 1 if isinstance(base, TorchMLPClassifier) else y != 2
    with pytest.raises(ValueError, match="no samples of the classes"):
        aux(base).fit(X[kept], y[kept])


def test_a_base_fitted_on_other_classes(X, y):
    base = TorchMLPClassifier(**NET).fit(X, np.array(["a", "b", "c"])[y])
    with pytest.raises(ValueError, match=r"labels \[0, 1, 2\]; .* \['a', 'b', 'c'\]"):
        aux(base).fit(X, y)


def test_a_base_fitted_on_other_columns(X, y):
    frame = pd.DataFrame(X, columns=list("abcdef"))
    for base in (
        TorchMLPClassifier(**NET).fit(frame, y),
        make_pipeline(StandardScaler(), TorchMLPClassifier(**NET)).fit(frame, y),
    ):
        with pytest.raises(ValueError, match="feature names"):
            aux(base).fit(frame.rename(columns={"a": "x"}), y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of names that lack
            with pytest.raises(ValueError, match="features"):
                aux(base).fit(X[:, :5], y)
    with pytest.raises(ValueError, match=r"cannot take samples of shape \(5,\)"):
        aux(Dense()).fit(X[:, :5], y)


def test_a_base_that_finds_its_columns_by_name_keeps_their_order(X, y):
    frame = pd.DataFrame(X, columns=list("abcdef"))
    columns = make_column_transformer((StandardScaler(), list("abcdef")))
    base = make_pipeline(columns, TorchMLPClassifier(**NET)).fit(frame, y)
    with pytest.raises(ValueError, match="same order"):
        aux(base).fit(frame[list("fedcba")], y)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.linspace(0, 1, 90), "continuous"),
        (np.eye(3, dtype=int)[np.arange(90) % 3], "one label a sample"),
        (np.where(np.arange(90) == 3, np.nan, 1.0), "NaN"),
        (np.arange(80) % 3, "inconsistent numbers of samples"),
        (np.zeros(90), "one class"),
        (None, "y"),
    ],
    ids=["numbers", "several labels", "missing", "fewer", "one class", "none"],
)
def test_targets(y, message, X):
    with pytest.raises(ValueError, match=message):
        aux().fit(X, y)


@pytest.mark.parametrize(
    ("weight", "message"),
    [(np.zeros(90), "zero"), (-np.ones(90), "Negative"), (np.ones(5), "shape")],
    ids=["zero", "negative", "fewer"],
)
def test_sample_weights(weight, message, X, y):
    with pytest.raises(ValueError, match=message):
        aux().fit(X, y, weight)


def test_weights_that_the_base_cannot_take(X, y):
    base, weight = cross_entropy(Dense), np.ones(90)
    with pytest.raises(ValueError, match="NeuralNetClassifier cannot be fitted with weights"):
        aux(base).fit(X, y, weight)
    aux(base.fit(X, y)).fit(X, y, weight)


def test_fitted_bases_hold_nothing_out(X, y):
    base = TorchMLPClassifier(**NET).fit(X, y)
    with pytest.raises(ValueError, match="cv=0.3 .* fitted already"):
        aux(base, cv=0.3).fit(X, y)
    with pytest.raises(ValueError, match="Dense cannot be fitted anew"):
        aux(Dense(), cv=3).fit(X, y)


def test_bad_samples(X, y):
    bad = X.copy()
    bad[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        aux().fit(bad, y)
    found = aux().fit(X, y)
    with pytest.raises(ValueError, match="NaN"):
        found.predict(bad)
    with pytest.raises(ValueError, match="NaN"):
        aux(Dense()).fit(bad, y)


def test_a_net_without_probabilities(X, y):
    net = skorch.NeuralNetClassifier(
        Dense, criterion=nn.CrossEntropyLoss, predict_nonlinearity=None, lr=0.02, **SKORCH
    )
    with pytest.raises(ValueError, match="must be probabilities .* not logits"):
        aux(net).fit(X, y)


def test_dead_layers(X, y):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    module[2].bias.data -= 1000
    with pytest.warns(UserWarning, match="No neuron of layer '2' fires"):
        found = aux(module).fit(X, y)
    assert not found.activation_probabilities_[:, 5:].any()
    assert found.evidence(X).any()
    with pytest.warns(UserWarning, match="No neuron of layer '2' fires") as record:
        found = aux(module, layers="last").fit(X, y)
    assert record[0].filename == __file__
    with torch.no_grad():
        expected = torch.softmax(module(torch.from_numpy(X)), 1).numpy()
    np.testing.assert_array_equal(found.predict_proposed(X), expected)
    assert not found.evidence(X).any()
    assert not found.class_selectivity_.any()
