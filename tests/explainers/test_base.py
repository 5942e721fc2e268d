"""What every explainer does with an estimator, its columns, its outputs and its samples."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import textwrap
import warnings
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest
import skorch
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectFromModel, SelectKBest, VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)
from torch import nn

from sknninterp import (
    ANTClassifier,
    Explanation,
    GarsonExplainer,
    GradientXInputExplainer,
    InfluentialScores,
    IntegratedGradientsExplainer,
    OldenExplainer,
    PWPExplainer,
    TorchMLPClassifier,
    TorchMLPRegressor,
)
from sknninterp.explainers import _base
from sknninterp.explainers.columns import ColumnOriginError

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # Few steps do not add up.
    pytest.mark.filterwarnings("ignore::sknninterp.evaluation.CompletenessWarning"),
]

EXPLAINERS = {
    "PWP": PWPExplainer,
    "signed PWP": lambda estimator, **options: PWPExplainer(estimator, signed=True, **options),
    "Olden": OldenExplainer,
    "Garson": GarsonExplainer,
    "influential scores": InfluentialScores,
    "gradient x input": GradientXInputExplainer,
    "integrated gradients": partial(IntegratedGradientsExplainer, n_steps=4),
}
every_explainer = pytest.mark.parametrize("explainer", EXPLAINERS.values(), ids=EXPLAINERS)

SMALL = {"hidden_layer_sizes": (5,), "max_epochs": 3, "random_state": 0}
SMALL_SKLEARN = {"hidden_layer_sizes": (5,), "max_iter": 5, "random_state": 0}
SMALL_SKORCH = {"max_epochs": 2, "train_split": None, "verbose": 0, "lr": 0.1}


def dense(n_inputs=4, n_outputs=3):
    return nn.Sequential(nn.Linear(n_inputs, 5), nn.ReLU(), nn.Linear(5, n_outputs))


class Squeezed(nn.Module):
    """Network with one output and no axis for it."""

    def __init__(self):
        super().__init__()
        self.layers = dense(4, 1)

    def forward(self, X):
        return self.layers(X).squeeze(-1)


def convolutional(n_channels=1, n_outputs=3):
    return nn.Sequential(
        nn.Conv2d(n_channels, 2, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(3),
        nn.Flatten(),
        nn.Linear(18, n_outputs),
    )


def assert_equal_but_for_rounding(found, expected):
    """Products of matrices are rounded in another order for another number of samples."""
    assert found.dtype == expected.dtype
    close = 100 * np.finfo(found.dtype).eps
    np.testing.assert_allclose(found, expected, rtol=close, atol=close)


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="module", name="X")
def samples():
    return np.random.default_rng(0).normal(size=(60, 4))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(20, 1, 6, 5)).astype(np.float32)


def labels(X, names=("low", "middle", "high")):
    """Classes of about the same size, by the first column."""
    first = np.asarray(X).reshape(len(X), -1)[:, 0].astype(float)
    return np.array(names)[(np.argsort(np.argsort(first)) * len(names)) // len(X)]


@pytest.fixture(scope="module")
def networks(X, images):
    """A fitted network of every kind of output, with samples for it and its output's names."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        cnn = TorchMLPClassifier(module=convolutional, max_epochs=9, lr=0.1, random_state=0)
        return {
            "two classes": (
                TorchMLPClassifier(**SMALL).fit(X, labels(X, ["ill", "well"])),
                X,
                ["ill", "well"],
            ),
            "three classes": (
                TorchMLPClassifier(**SMALL).fit(X, labels(X)),
                X,
                ["high", "low", "middle"],
            ),
            "one logit": (
                MLPClassifier(**SMALL_SKLEARN).fit(X, labels(X, ["ill", "well"])),
                X,
                ["well"],
            ),
            "one value": (TorchMLPRegressor(**SMALL).fit(X, X[:, 0]), X, [0]),
            "two values": (TorchMLPRegressor(**SMALL).fit(X, X[:, :2]), X, [0, 1]),
            "torch module": (dense(), X, [0, 1, 2]),
            "images": (cnn.fit(images, labels(images)), images, ["high", "low", "middle"]),
        }


KINDS = ["two classes", "three classes", "one logit", "one value", "two values", "torch module"]
every_kind = pytest.mark.parametrize("kind", [*KINDS, "images"])


# --- fit and explain agree ----------------------------------------------------------------------


@every_kind
@every_explainer
def test_importances_are_the_aggregate_of_the_explanation(explainer, kind, networks):
    network, X, names = networks[kind]
    explainer = explainer(network, batch_size=7).fit(X)
    importances, frame = explainer.feature_importances_, explainer.importances_
    explanation = explainer.explain(X)
    assert importances.shape == X.shape[1:]
    assert importances.sum() == pytest.approx(1, abs=1e-12)
    assert (importances >= 0).all()
    np.testing.assert_allclose(importances, explanation.importances(), rtol=1e-6)
    assert frame.columns.tolist() == names
    assert frame.to_numpy().sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(frame.sum(axis=1), importances.ravel(), rtol=1e-12)
    for name in names:
        of_one = frame[name] / frame[name].sum()
        np.testing.assert_allclose(of_one, np.ravel(explanation.importances(name)), rtol=1e-6)


def test_importances_are_indexed_by_what_they_are_about(X, images):
    frame = pd.DataFrame(X, columns=["age", "dose", "bmi", "sex"])
    assert PWPExplainer(dense()).fit(frame).importances_.index.tolist() == list(frame)
    assert PWPExplainer(dense()).fit(X).importances_.index.tolist() == ["x0", "x1", "x2", "x3"]
    pixels = PWPExplainer(convolutional()).fit(images).importances_.index
    assert pixels.tolist() == list(np.ndindex(1, 6, 5))


def test_nothing_to_explain_is_no_importance_rather_than_nan(X):
    explainer = PWPExplainer(dense()).fit(np.zeros_like(X))
    np.testing.assert_array_equal(explainer.feature_importances_, np.zeros(4))
    np.testing.assert_array_equal(explainer.importances_, np.zeros((4, 3)))


def test_tiny_contributions_are_importances_too(X):
    network = dense().double()
    expected = PWPExplainer(network).fit(X).feature_importances_
    tiny = PWPExplainer(network).fit(X * 1e-307).feature_importances_
    np.testing.assert_allclose(tiny, expected, rtol=1e-6)


@every_kind
@every_explainer
def test_a_subset_is_explained_as_within_the_whole(explainer, kind, networks):
    network, X, _ = networks[kind]
    explainer = explainer(network).fit(X)
    chosen = [11, 3, 4]
    whole = explainer.explain(X)
    assert_equal_but_for_rounding(explainer.explain(X[chosen]).values, whole.values[chosen])
    assert_equal_but_for_rounding(explainer.explain(X[3:4]).values, whole.values[3:4])


# --- outputs ------------------------------------------------------------------------------------


@every_kind
@every_explainer
def test_shapes_and_values_of_every_target(explainer, kind, networks):
    network, X, names = networks[kind]
    explainer = explainer(network).fit(X)
    whole = explainer.explain(X)
    assert whole.shape == (*X.shape, len(names))
    assert whole.output_names.tolist() == names
    for position, name in enumerate(names):
        one = explainer.explain(X, target=name)
        assert one.output_names == name
        assert_equal_but_for_rounding(one.values, whole.values[..., position])
    reverse = explainer.explain(X, target=names[::-1])
    assert reverse.output_names.tolist() == names[::-1]
    assert_equal_but_for_rounding(reverse.values, whole.values[..., ::-1])
    with pytest.raises(ValueError, match=r"target='none' is not an output of this network"):
        explainer.explain(X, target="none")


@every_explainer
@pytest.mark.parametrize("kind", ["two classes", "three classes", "images", "torch module"])
def test_each_sample_for_its_predicted_class(explainer, kind, networks):
    network, X, names = networks[kind]
    explainer = explainer(network, batch_size=7).fit(X)
    explanation = explainer.explain(X, target="predicted")
    if kind == "torch module":
        predicted = network(torch.from_numpy(X).float()).argmax(1).numpy()
    else:
        predicted = network.predict(X)
    assert len(np.unique(predicted)) > 1
    assert explanation.target.tolist() == predicted.tolist()
    assert explanation.output_names is None
    whole = explainer.explain(X).values
    expected = [whole[i, ..., names.index(label)] for i, label in enumerate(predicted)]
    assert_equal_but_for_rounding(explanation.values, np.array(expected))


@every_explainer
@pytest.mark.parametrize("net", ["MLPClassifier", "skorch", "skorch, squeezed"])
def test_one_logit_speaks_for_one_class_and_against_the_other(explainer, net, X):
    ill = X[:, 0] > 0
    if net == "MLPClassifier":
        network = MLPClassifier(**SMALL_SKLEARN).fit(X, np.where(ill, "ill", "a well one"))
        against, towards = "a well one", "ill"
    else:
        X = X.astype(np.float32)
        module = Squeezed() if "squeezed" in net else dense(4, 1)
        network = skorch.NeuralNetBinaryClassifier(module, **SMALL_SKORCH)
        network.fit(X, ill.astype(np.float32))
        against, towards = 0, 1
    explainer = explainer(network).fit(X)
    whole = explainer.explain(X)
    assert whole.shape == (60, 4, 1)
    assert whole.output_names.tolist() == [towards]
    one, other = explainer.explain(X, target=towards), explainer.explain(X, target=against)
    assert (one.output_names, other.output_names) == (towards, against)
    assert_equal_but_for_rounding(one.values, whole.values[..., 0])
    sign = -1 if whole.signed else 1
    assert_equal_but_for_rounding(other.values, sign * one.values)
    both = explainer.explain(X, target=[against, towards])
    assert both.output_names.tolist() == [against, towards]
    assert_equal_but_for_rounding(both.values, np.stack([other.values, one.values], -1))
    predicted = explainer.explain(X, target="predicted")
    assert predicted.target.tolist() == network.predict(X).tolist()
    mine = (predicted.target == towards)[:, None]
    assert 0 < mine.sum() < len(X)
    assert_equal_but_for_rounding(predicted.values, np.where(mine, one.values, other.values))


def test_signs_are_those_of_the_output(X):
    # The output falls with the first column, rises with the second.
    network = nn.Sequential(nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[-1.0, 1.0]]))
    ones = np.ones((1, 2))
    assert PWPExplainer(network, signed=True).fit(ones).explain(ones).values.tolist() == [
        [[-1.0], [1.0]]
    ]
    assert PWPExplainer(network).fit(ones).explain(ones).values.tolist() == [[[1.0], [1.0]]]


@pytest.mark.parametrize(
    ("names", "target", "position"),
    [
        (["predicted", "observed"], "predicted", 1),
        ([False, True], True, 1),
        ([False, True], 1, 1),
        ([7, 3], 3, 0),
        ([7, 3], np.int16(7), 1),
        ([2.0, 0.0], np.float32(2), 1),
        (["b", "a"], np.str_("a"), 0),
    ],
)
def test_labels_of_many_types(names, target, position, X):
    network = TorchMLPClassifier(**SMALL).fit(X, labels(X, names))
    explainer = PWPExplainer(network).fit(X)
    explanation = explainer.explain(X, target=target)
    assert explanation.output_names == sorted(names)[position]
    assert type(explanation.output_names) is type(names[0])
    np.testing.assert_array_equal(explanation.values, explainer.explain(X).values[..., position])


@pytest.mark.parametrize("kind", ["one value", "two values"])
def test_regressors_predict_no_class(kind, networks):
    network, X, _ = networks[kind]
    with pytest.raises(ValueError, match="target='predicted' asks for one class"):
        PWPExplainer(network).fit(X).explain(X, target="predicted")


# --- batches ------------------------------------------------------------------------------------


@every_kind
@every_explainer
def test_batches_change_nothing(explainer, kind, networks):
    network, X, names = networks[kind]
    X = X[:15]  # one by one takes long
    one_batch = explainer(network, batch_size=1000).fit(X)
    targets = [None, names[-1]] + (["predicted"] if "class" in kind else [])
    for batch_size in (1, 7, len(X), None):
        batches = explainer(network, batch_size=batch_size).fit(X)
        np.testing.assert_allclose(
            batches.feature_importances_, one_batch.feature_importances_, rtol=1e-5
        )
        for target in targets:
            assert_equal_but_for_rounding(
                batches.explain(X, target).values, one_batch.explain(X, target).values
            )
        assert_equal_but_for_rounding(batches.transform(X), one_batch.transform(X))


def test_batches_take_no_more_than_their_memory(X, monkeypatch):
    batches = []
    contributions = PWPExplainer._contributions

    def recorded(self, graph):
        function = contributions(self, graph)

        def record(inputs, outputs):
            batches.append(len(inputs))
            return function(inputs, outputs)

        return record

    monkeypatch.setattr(PWPExplainer, "_contributions", recorded)
    table = np.tile(X, (20, 1))  # 1200 rows of 4 features, 3 outputs, 4 bytes each: 48 a row
    PWPExplainer(dense(), batch_size=500).fit(table)
    assert batches == [500, 500, 200]
    batches.clear()
    monkeypatch.setattr(_base, "_BATCH_BYTES", 48 * 400)
    PWPExplainer(dense()).fit(table)
    assert batches == [37, 400, 400, 363]  # the first by a guess
    batches.clear()
    monkeypatch.setattr(_base, "_BATCH_BYTES", 1)
    PWPExplainer(dense()).fit(X)
    assert batches == [32] + [1] * 28


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_explaining_holds_the_result_and_a_batch():
    code = """
    import sys
    import numpy as np, torch
    from torch import nn
    from sknninterp import PWPExplainer

    def status(key):
        lines = open("/proc/self/status").read().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024

    torch.set_num_threads(1)
    X = np.random.default_rng(0).normal(size=(10_000, 1000)).astype(np.float32)
    explainer = PWPExplainer(nn.Sequential(nn.Linear(1000, 2)), batch_size=200).fit(X)
    before = status("VmRSS")
    values = explainer.explain(X).values
    print(status("VmHWM") - before, values.nbytes / 2**20)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    peak, result = map(float, done.stdout.split())
    assert result == pytest.approx(76.3, abs=0.1)
    # A batch is 2 % of the result; the check for infinite values takes its masks, 1 byte a value.
    assert peak < 1.7 * result


# --- estimators ---------------------------------------------------------------------------------


def scaled(net):
    return make_pipeline(StandardScaler(), net)


UNFITTED = {
    "TorchMLPClassifier": lambda: TorchMLPClassifier(**SMALL),
    "ANTClassifier": lambda: ANTClassifier(**SMALL),
    "pipeline": lambda: scaled(TorchMLPClassifier(**SMALL)),
    "nested pipeline": lambda: make_pipeline("passthrough", scaled(ANTClassifier(**SMALL))),
    "grid search": lambda: GridSearchCV(
        scaled(TorchMLPClassifier(**SMALL)), {"torchmlpclassifier__lr": [0.01]}, cv=2
    ),
    "random search": lambda: RandomizedSearchCV(
        TorchMLPClassifier(**SMALL), {"lr": [0.01, 0.1]}, n_iter=1, cv=2, random_state=0
    ),
    "skorch": lambda: skorch.NeuralNetClassifier(
        dense(4, 2), criterion=nn.CrossEntropyLoss, **SMALL_SKORCH
    ),
    "MLPClassifier": lambda: MLPClassifier(**SMALL_SKLEARN),
    "TorchMLPRegressor": lambda: TorchMLPRegressor(**SMALL),
    "transformed target": lambda: TransformedTargetRegressor(
        TorchMLPRegressor(**SMALL), transformer=StandardScaler()
    ),
    "MLPRegressor": lambda: MLPRegressor(**SMALL_SKLEARN),
}


@pytest.mark.parametrize("kind", UNFITTED)
def test_an_unfitted_estimator_is_cloned_and_fitted(kind, X):
    X, y = X.astype(np.float32), (X[:, 0] > 0).astype(np.int64)
    estimator = UNFITTED[kind]()
    explainer = PWPExplainer(estimator).fit(X, y)
    assert explainer.estimator_ is not estimator
    with pytest.raises(NotFittedError):
        estimator.predict(X)
    if kind != "skorch":  # which draws its batches from torch's global random state
        expected = PWPExplainer(UNFITTED[kind]().fit(X, y)).fit(X).explain(X).values
        np.testing.assert_array_equal(explainer.explain(X).values, expected)


@pytest.mark.parametrize("kind", UNFITTED)
def test_a_fitted_estimator_is_used_as_it_is(kind, X):
    X, y = X.astype(np.float32), (X[:, 0] > 0).astype(np.int64)
    estimator = UNFITTED[kind]().fit(X, y)
    before = estimator.predict(X)
    explainer = PWPExplainer(estimator).fit(X[:10])
    assert explainer.estimator_ is estimator
    np.testing.assert_array_equal(explainer.predict(X), before)
    np.testing.assert_array_equal(estimator.predict(X), before)


def test_a_frozen_estimator_keeps_its_fit_where_the_explainer_is_cloned(X):
    network = TorchMLPClassifier(**SMALL).fit(X, labels(X))
    frozen = clone(PWPExplainer(FrozenEstimator(network))).fit(X)
    assert frozen.estimator_.estimator is network
    np.testing.assert_array_equal(
        frozen.explain(X).values, PWPExplainer(network).fit(X).explain(X).values
    )
    with pytest.raises(NotFittedError):
        PWPExplainer(FrozenEstimator(TorchMLPClassifier())).fit(X, labels(X))


def test_the_default_estimator_is_the_plain_network(X):
    explainer = OldenExplainer(random_state=0).fit(X, labels(X))
    assert type(explainer.estimator_) is TorchMLPClassifier
    assert explainer.estimator is None


def test_a_module_is_explained_and_predicts_nothing(X):
    module = dense()
    explainer = PWPExplainer(module).fit(X)
    assert explainer.estimator_ is module
    assert not any(hasattr(explainer, name) for name in ("predict", "predict_proba", "score"))
    assert not hasattr(explainer, "classes_")


@pytest.mark.parametrize("wrap", [lambda net: net, scaled, FrozenEstimator])
def test_other_estimators_are_refused(wrap, X):
    forest = RandomForestClassifier(2).fit(X, labels(X))
    with pytest.raises(TypeError, match="RandomForestClassifier holds no network.*skorch nets"):
        PWPExplainer(wrap(forest)).fit(X)


def test_other_estimators_are_refused_before_they_are_fitted(X, monkeypatch):
    def fit(self, X, y):
        raise AssertionError("was fitted")

    monkeypatch.setattr(RandomForestClassifier, "fit", fit)
    with pytest.raises(TypeError, match="RandomForestClassifier holds no network.*skorch nets"):
        PWPExplainer(scaled(RandomForestClassifier())).fit(X, labels(X))
    with pytest.raises(ValueError, match="The 'estimator' parameter of PWPExplainer"):
        PWPExplainer("network").fit(X, labels(X))


def test_clone_and_parameters(X):
    explainer = PWPExplainer(TorchMLPClassifier(**SMALL), signed=True, target="low", batch_size=3)
    explainer.set_params(estimator__hidden_layer_sizes=(4,)).fit(X, labels(X))
    assert explainer.estimator_.module_[0].out_features == 4
    copied = clone(explainer)
    assert copied.get_params(deep=False).keys() == explainer.get_params(deep=False).keys()
    for name, value in copied.get_params().items():
        if name != "estimator":
            assert value == explainer.get_params()[name]
    assert not hasattr(copied, "estimator_")
    np.testing.assert_array_equal(
        copied.fit(X, labels(X)).feature_importances_, explainer.feature_importances_
    )


def test_random_state_seeds_what_is_fitted_here(X):
    def values(seed, estimator):
        return PWPExplainer(estimator, random_state=seed).fit(X, y).explain(X).values

    y, estimator = labels(X), scaled(TorchMLPClassifier((5,), max_epochs=2, random_state=9))
    np.testing.assert_array_equal(values(1, estimator), values(1, estimator))
    assert not np.array_equal(values(1, estimator), values(2, estimator))
    assert estimator[-1].random_state == 9
    unseeded = values(None, estimator)
    np.testing.assert_array_equal(unseeded, values(None, clone(estimator).fit(X, y)))
    fitted = clone(estimator).fit(X, y)
    np.testing.assert_array_equal(values(1, fitted), values(None, fitted))


def test_global_random_states_are_left_alone(X, global_rng_untouched):
    explainer = PWPExplainer(TorchMLPClassifier(**SMALL), random_state=0).fit(X, labels(X))
    explainer.explain(X)
    explainer.transform(X)


# --- columns ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clinic():
    """A table of every kind of column, labels, and what each column becomes below."""
    rng = np.random.default_rng(3)
    n = 90
    table = pd.DataFrame(
        {
            "ward": rng.choice(["a", "b", "c"], n),
            "age": np.where(rng.random(n) < 0.2, np.nan, rng.normal(60, 9, n)),
            "note": [f"free text {i}" for i in range(n)],
            "dose": rng.integers(0, 9, n),
            "sex": rng.choice(["f", "m"], n),
            "grade": rng.choice(["low", "high"], n),
            "visits": rng.poisson(3, n),
        },
        index=[f"patient {i}" for i in range(n)],
    )
    ill = (table["age"].fillna(60) > 60) ^ (table["ward"] == "a")
    became = {
        "ward": ["encode__ward_a", "encode__ward_b", "encode__ward_c"],
        "age": ["numbers__age", "numbers__missingindicator_age"],
        "note": [],
        "dose": ["numbers__dose"],
        "sex": ["encode__sex_m"],
        "grade": ["order__grade"],
        "visits": ["keep__visits"],
    }
    return table, np.where(ill, "ill", "well"), became


def clinical_pipeline(sparse_threshold=0.0, net=None):
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    preprocess = ColumnTransformer(
        [
            ("numbers", numbers, ["age", "dose"]),
            ("encode", OneHotEncoder(drop="if_binary"), ["ward", "sex"]),
            ("order", OrdinalEncoder(), ["grade"]),
            ("keep", "passthrough", ["visits"]),
        ],
        sparse_threshold=sparse_threshold,
    )
    return make_pipeline(preprocess, TorchMLPClassifier(**SMALL) if net is None else net)


def grouped(explanation, became):
    """Contributions of transformed columns, summed by hand."""
    names = explanation.feature_names.tolist()
    sums = [explanation.values[:, [names.index(n) for n in new]].sum(1) for new in became.values()]
    return np.stack(sums, 1)


@every_explainer
def test_a_pipeline_is_explained_in_the_columns_of_its_user(explainer, clinic):
    table, y, became = clinic
    pipeline = clinical_pipeline().fit(table, y)
    apart = explainer(pipeline, columns="transformed").fit(table)
    explainer = explainer(pipeline, batch_size=13).fit(table)
    explanation, parts = explainer.explain(table), apart.explain(table)
    assert explanation.feature_names.tolist() == list(table)
    assert parts.feature_names.tolist() == pipeline[:-1].get_feature_names_out().tolist()
    np.testing.assert_allclose(explanation.values, grouped(parts, became), atol=1e-12)
    assert (explanation[:, "note"].values == 0).all()
    # Signed sums first, then magnitudes: importances are those of the sums.
    importances = np.abs(explanation.values).mean(0).sum(-1)
    np.testing.assert_allclose(explainer.feature_importances_, importances / importances.sum())
    assert explainer.feature_importances_[table.columns.get_loc("note")] == 0
    assert explainer.importances_.index.tolist() == list(table)
    assert apart.importances_.index.tolist() == parts.feature_names.tolist()
    assert apart.feature_importances_.sum() == pytest.approx(1)


def test_what_an_explanation_of_a_table_carries(clinic):
    table, y, _ = clinic
    pipeline = clinical_pipeline().fit(table, y)
    some = table[10:15]
    explanation = PWPExplainer(pipeline).fit(table).explain(some, target="ill")
    assert explanation.sample_names.tolist() == some.index.tolist()
    pd.testing.assert_frame_equal(
        pd.DataFrame(explanation.data, columns=table.columns, index=some.index),
        some.astype(object),
        check_dtype=False,
    )
    assert explanation.method == "PWP"
    assert explanation["patient 12", "ward"].data.item() == table.loc["patient 12", "ward"]
    apart = PWPExplainer(pipeline, columns="transformed").fit(table).explain(some)
    np.testing.assert_array_equal(apart.data, pipeline[:-1].transform(some))


def test_values_are_what_the_network_saw_times_its_weights(clinic):
    # From the pipeline's own transformer and the network's weights, with nothing of the explainer.
    table, y, _ = clinic
    pipeline = clinical_pipeline().fit(table, y)
    seen, module = pipeline[:-1].transform(table), pipeline[-1].module_
    P = (module[-1].weight @ module[0].weight).detach().numpy().T
    parts = PWPExplainer(pipeline, columns="transformed").fit(table).explain(table)
    np.testing.assert_allclose(parts.values, seen[:, :, None] * np.abs(P), atol=1e-12)


@pytest.mark.parametrize("net", [None, MLPClassifier(**SMALL_SKLEARN)], ids=["ours", "sklearn"])
def test_sparse_preprocessing_changes_nothing(net, clinic):
    table, y, _ = clinic
    results = []
    for threshold in (0.0, 1.0):
        pipeline = clinical_pipeline(threshold, net and clone(net)).fit(table, y)
        assert sparse.issparse(pipeline[:-1].transform(table)) == (threshold == 1)
        for columns in ("original", "transformed"):
            explainer = PWPExplainer(pipeline, columns=columns).fit(table)
            explanation = explainer.explain(table)
            results.append((columns, explanation.values, explanation.data))
    for dense_one, sparse_one in zip(results[:2], results[2:], strict=True):
        np.testing.assert_allclose(dense_one[1], sparse_one[1], atol=1e-12)
        np.testing.assert_array_equal(dense_one[2].astype(str), sparse_one[2].astype(str))


@every_explainer
def test_sparse_samples_are_explained_as_dense_ones(explainer, X):
    network = TorchMLPClassifier(**SMALL).fit(X, labels(X))
    expected = explainer(network).fit(X)
    X_sparse = sparse.csc_array(X)
    found = explainer(network, batch_size=7).fit(X_sparse)
    np.testing.assert_allclose(found.feature_importances_, expected.feature_importances_)
    explanation = found.explain(X_sparse)
    assert_equal_but_for_rounding(explanation.values, expected.explain(X).values)
    np.testing.assert_array_equal(explanation.data, X)


@pytest.mark.parametrize("fit_here", [False, True])
def test_a_search_over_a_pipeline_is_explained_in_its_columns(fit_here, clinic):
    table, y, became = clinic
    search = GridSearchCV(clinical_pipeline(), {"torchmlpclassifier__lr": [0.01]}, cv=2)
    explainer = PWPExplainer(search if fit_here else search.fit(table, y)).fit(table, y)
    parts = PWPExplainer(explainer.estimator_, columns="transformed").fit(table).explain(table)
    np.testing.assert_allclose(explainer.explain(table).values, grouped(parts, became), atol=1e-12)


def test_selected_columns_keep_their_place_and_dropped_ones_get_nothing(X):
    frame = pd.DataFrame(X, columns=["age", "dose", "bmi", "sex"]).assign(constant=3.0)
    select = make_pipeline(VarianceThreshold(), SelectKBest(k=2))
    pipeline = make_pipeline(select, StandardScaler(), TorchMLPClassifier(**SMALL))
    explainer = PWPExplainer(pipeline).fit(frame, labels(X))
    kept = explainer.estimator_[:-1].get_feature_names_out().tolist()
    assert len(kept) == 2
    dropped = [name for name in frame if name not in kept]
    ranking = explainer.importances_.sum(axis=1)
    assert ranking.index.tolist() == list(frame)
    assert (ranking[dropped] == 0).all()
    assert (ranking[kept] > 0).all()
    apart = PWPExplainer(explainer.estimator_, columns="transformed").fit(frame).explain(frame)
    assert apart.feature_names.tolist() == kept
    explanation = explainer.explain(frame)
    np.testing.assert_array_equal(explanation[:, kept].values, apart.values)


def test_a_union_of_features_is_summed(X):
    square = FunctionTransformer(np.square, feature_names_out="one-to-one")
    union = FeatureUnion([("as is", StandardScaler()), ("squared", square)])
    pipeline = make_pipeline(union, TorchMLPClassifier(**SMALL)).fit(X, labels(X))
    parts = PWPExplainer(pipeline, columns="transformed").fit(X).explain(X).values
    whole = PWPExplainer(pipeline).fit(X).explain(X)
    assert parts.shape == (60, 8, 3)
    np.testing.assert_allclose(whole.values, parts[:, :4] + parts[:, 4:], atol=1e-12)
    assert whole.feature_names.tolist() == ["x0", "x1", "x2", "x3"]


@pytest.mark.parametrize("nothing", ["passthrough", None])
@pytest.mark.parametrize("place", [0, 1])
def test_steps_that_do_nothing(place, nothing, X):
    steps = [("scale", StandardScaler()), ("net", TorchMLPClassifier(**SMALL))]
    plain = Pipeline(steps).fit(X, labels(X))
    steps.insert(place, ("nothing", nothing))
    padded = Pipeline(steps).fit(X, labels(X))
    for columns in ("original", "transformed"):
        one, other = (PWPExplainer(p, columns=columns).fit(X).explain(X) for p in (plain, padded))
        np.testing.assert_array_equal(one.values, other.values)
        assert one.feature_names.tolist() == other.feature_names.tolist()


def test_nested_column_transformers(clinic):
    table, y, _ = clinic
    inner = make_column_transformer((OneHotEncoder(), ["ward"]), (StandardScaler(), ["visits"]))
    outer = make_column_transformer((inner, ["visits", "ward"]), ("passthrough", ["dose"]))
    pipeline = make_pipeline(outer, StandardScaler(), TorchMLPClassifier(**SMALL)).fit(table, y)
    parts = PWPExplainer(pipeline, columns="transformed").fit(table).explain(table).values
    whole = PWPExplainer(pipeline).fit(table).explain(table)
    for name, places in {"ward": [0, 1, 2], "visits": [3], "dose": [4]}.items():
        found = whole[:, name].values[:, 0]
        np.testing.assert_allclose(found, parts[:, places].sum(1), atol=1e-12)
    assert (whole[:, ["age", "note", "sex", "grade"]].values == 0).all()


def test_mixed_columns_are_an_error_that_names_the_way_out(X):
    pipeline = make_pipeline(StandardScaler(), PCA(2), TorchMLPClassifier(**SMALL))
    with pytest.raises(ColumnOriginError, match='PCA mixes.*columns="transformed"'):
        PWPExplainer(pipeline).fit(X, labels(X))
    explainer = PWPExplainer(pipeline, columns="transformed").fit(X, labels(X))
    assert explainer.importances_.index.tolist() == ["pca0", "pca1"]


def test_preprocessing_that_puts_out_frames(clinic):
    table, y, _ = clinic
    plain = PWPExplainer(clinical_pipeline()).fit(table, y)
    pipeline = clinical_pipeline().set_params(columntransformer__encode__sparse_output=False)
    framed = PWPExplainer(pipeline.set_output(transform="pandas")).fit(table, y)
    np.testing.assert_array_equal(plain.explain(table).values, framed.explain(table).values)
    apart = PWPExplainer(framed.estimator_, columns="transformed").fit(table).explain(table)
    assert apart.data.dtype == float


def test_names_recorded_by_the_estimator_outlast_an_array(X):
    frame = pd.DataFrame(X, columns=["age", "dose", "bmi", "sex"])
    pipeline = scaled(TorchMLPClassifier(**SMALL)).fit(frame, labels(X))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        explainer = PWPExplainer(pipeline).fit(X)
    assert explainer.importances_.index.tolist() == list(frame)
    assert explainer.get_feature_names_out().tolist() == list(frame)


def test_frames_after_arrays_warn_as_in_scikit_learn(X):
    frame = pd.DataFrame(X, columns=["age", "dose", "bmi", "sex"])
    explainer = PWPExplainer(TorchMLPClassifier(**SMALL)).fit(X, labels(X))
    with pytest.warns(UserWarning, match="was fitted without feature names"):
        explanation = explainer.explain(frame)
    np.testing.assert_array_equal(explanation.values, explainer.explain(X).values)
    assert explanation.feature_names.tolist() == ["x0", "x1", "x2", "x3"]


# --- columns that are not those of the fit ------------------------------------------------------


NETS = {
    "pipeline": clinical_pipeline,
    "scaler": lambda: scaled(TorchMLPClassifier(**SMALL)),
    "ours": lambda: TorchMLPClassifier(**SMALL),
    "sklearn": lambda: MLPClassifier(**SMALL_SKLEARN),
}


@pytest.mark.parametrize("net", NETS)
def test_a_fitted_estimator_and_another_order_of_columns(net, clinic, X):
    # A ColumnTransformer and a bare MLPClassifier would take them, and all names would be wrong.
    if net == "pipeline":
        table, y, _ = clinic
    else:
        table, y = pd.DataFrame(X, columns=["age", "dose", "bmi", "sex"]), labels(X)
    fitted = NETS[net]().fit(table, y)
    with pytest.raises(ValueError, match="same order"):
        PWPExplainer(fitted).fit(table[table.columns[::-1]])
    with pytest.raises(ValueError, match="unseen at fit time"):
        PWPExplainer(fitted).fit(table.assign(extra=0))
    explainer = PWPExplainer(fitted).fit(table)
    for method in (explainer.explain, explainer.transform, explainer.predict):
        with pytest.raises(ValueError, match="same order"):
            method(table[table.columns[::-1]])
        with pytest.raises(ValueError, match="unseen at fit time:\n- extra"):
            method(table.assign(extra=0))
        with pytest.raises(ValueError, match="seen at fit time, yet now missing:\n- dose"):
            method(table.drop(columns="dose"))


def test_arrays_with_other_columns(X, images):
    explainer = PWPExplainer(dense()).fit(X)
    with pytest.raises(ValueError, match="X has 3 features.*expecting 4"):
        explainer.explain(X[:, :3])
    with pytest.raises(ValueError, match="cannot take samples of shape"):
        PWPExplainer(dense()).fit(X[:, :3])
    explainer = PWPExplainer(convolutional()).fit(images)
    with pytest.raises(ValueError, match=r"shape \(1, 5, 5\).*fitted on samples of shape \(1, 6"):
        explainer.explain(images[:, :, :5])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("net", ["scaler", "ours", "sklearn"])
def test_nan_and_infinite_values(net, bad, X):
    fitted = NETS[net]().fit(X, labels(X))
    explainer = PWPExplainer(fitted).fit(X)
    X = X.copy()
    X[40, 2] = bad
    for method in (PWPExplainer(fitted).fit, explainer.explain, explainer.transform):
        with pytest.raises(ValueError, match="contains (NaN|infinity)"):
            method(X)


def test_the_column_with_nan_is_named(clinic):
    table, y, _ = clinic
    numbers = table[["dose", "visits"]].astype(float)
    explainer = PWPExplainer(TorchMLPClassifier(**SMALL)).fit(numbers, y)
    numbers.iloc[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"Columns with such values: \['visits'\]"):
        explainer.explain(numbers)


def test_strings_without_a_preprocessor(clinic):
    table, y, _ = clinic
    with pytest.raises(ValueError, match="not numeric:.*'ward'.*Encode them first"):
        PWPExplainer(TorchMLPClassifier(**SMALL)).fit(table, y)


def test_unseen_categories_are_the_encoders_error(clinic):
    table, y, _ = clinic
    explainer = PWPExplainer(clinical_pipeline()).fit(table, y)
    with pytest.raises(ValueError, match=r"Found unknown categories \['z'\]"):
        explainer.explain(table.assign(ward="z"))


def test_weights_that_are_not_finite(X):
    network = dense()
    with torch.no_grad():
        network[0].weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match="PWPExplainer: the contributions are not finite"):
        PWPExplainer(network).fit(X)


@pytest.mark.parametrize("empty", [np.empty((0, 4)), pd.DataFrame(columns=list("abcd"))], ids=type)
def test_no_samples(empty, X):
    table = X if isinstance(empty, np.ndarray) else pd.DataFrame(X, columns=list("abcd"))
    explainer = PWPExplainer(dense()).fit(table)
    for method in (PWPExplainer(dense()).fit, explainer.explain, explainer.transform):
        with pytest.raises(ValueError, match="0 sample|no samples"):
            method(empty)


def test_outputs_with_axes_of_their_own(images):
    network = nn.Conv2d(1, 2, 3)
    with pytest.raises(ValueError, match=r"output has the axes \(2, 4, 3\), not one"):
        PWPExplainer(network).fit(images)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("columns", "user"),
        ("batch_size", 0),
        ("batch_size", 2.5),
        ("max_pool", "max"),
        ("signed", "yes"),
        ("random_state", "seed"),
    ],
)
def test_parameters_are_checked(parameter, value, X):
    with pytest.raises(ValueError, match=f"The '{parameter}' parameter of PWPExplainer must be"):
        PWPExplainer(dense(), **{parameter: value}).fit(X)


# --- types of X ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_have_the_networks_type(dtype, X):
    network = TorchMLPClassifier(**SMALL).fit(X.astype(dtype), labels(X))
    explainer = PWPExplainer(network).fit(X)
    assert explainer.explain(X).values.dtype == dtype
    assert explainer.transform(X).dtype == dtype
    assert explainer.feature_importances_.dtype == np.float64


def test_integers_lists_and_frames_are_the_numbers_they_hold(X):
    whole = np.round(X * 3).astype(int)
    network = TorchMLPClassifier(**SMALL).fit(whole, labels(X))
    expected = PWPExplainer(network).fit(whole.astype(float)).explain(whole.astype(float)).values
    for given in (whole, whole.tolist(), whole.astype(np.int8), np.asfortranarray(whole)):
        explainer = PWPExplainer(network).fit(given)
        np.testing.assert_array_equal(explainer.explain(given).values, expected)
    frame = pd.DataFrame(whole)  # its columns are numbers: no names
    explanation = PWPExplainer(network).fit(frame).explain(frame)
    np.testing.assert_array_equal(explanation.values, expected)
    assert explanation.feature_names.tolist() == ["x0", "x1", "x2", "x3"]


def test_samples_are_left_as_they_are(X):
    network = PWPExplainer(TorchMLPClassifier(**SMALL)).fit(X, labels(X))
    given, frame = X.copy(), pd.DataFrame(X)
    given.flags.writeable = False
    network.explain(given)
    network.transform(frame)
    np.testing.assert_array_equal(frame, X)


# --- images -------------------------------------------------------------------------------------


@every_explainer
def test_images_keep_their_axes(explainer, images):
    explainer = explainer(convolutional()).fit(images)
    assert explainer.feature_importances_.shape == (1, 6, 5)
    explanation = explainer.explain(images)
    assert explanation.is_image
    assert explanation.shape == (20, 1, 6, 5, 3)
    np.testing.assert_array_equal(explanation.data, images)
    assert explainer.explain(images, target=1).shape == (20, 1, 6, 5)
    assert explainer.transform(images).shape == (20, 30)
    assert len(explainer.get_feature_names_out()) == 30


def test_images_made_of_a_table(images):
    table = images.reshape(len(images), -1)
    shape = FunctionTransformer(lambda X: X.reshape(-1, 1, 6, 5))
    net = TorchMLPClassifier(module=convolutional, max_epochs=1, random_state=0)
    pipeline = make_pipeline(shape, net).fit(table, labels(images))
    explanation = PWPExplainer(pipeline).fit(table).explain(table)
    np.testing.assert_array_equal(explanation.data, images)
    expected = PWPExplainer(pipeline[-1]).fit(images).explain(images)
    np.testing.assert_array_equal(explanation.values, expected.values)


# --- transform ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("two classes", "well"),
        ("three classes", "predicted"),
        ("one logit", "well"),
        ("one value", 0),
        ("two values", 1),
        ("torch module", 2),
        ("images", "predicted"),
    ],
)
@every_explainer
def test_the_output_that_transform_gives(explainer, kind, target, networks):
    network, X, names = networks[kind]
    fitted = explainer(network).fit(X)
    matrix = fitted.transform(X)
    assert matrix.shape == (len(X), X[0].size)
    assert matrix.flags.writeable
    np.testing.assert_array_equal(matrix, fitted.explain(X, target).values.reshape(len(X), -1))
    np.testing.assert_array_equal(explainer(network).fit_transform(X), matrix)
    first = explainer(network, target=names[0]).fit(X)
    expected = first.explain(X, names[0]).values.reshape(len(X), -1)
    np.testing.assert_array_equal(first.transform(X), expected)


def test_transform_towards_the_first_class_of_one_logit(networks):
    network, X, _ = networks["one logit"]
    towards, against = (OldenExplainer(network, target=t).fit(X) for t in ("well", "ill"))
    np.testing.assert_array_equal(against.transform(X), -towards.transform(X))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("none", "target='none' is not an output"),
        (["ill"], r"target=\['ill'\]: `transform` gives one output"),
    ],
)
def test_a_target_that_transform_cannot_give_fails_in_fit(target, message, networks):
    network, X, _ = networks["two classes"]
    with pytest.raises(ValueError, match=message):
        PWPExplainer(network, target=target).fit(X)


def test_names_of_the_transformed_columns(clinic, X):
    table, y, _ = clinic
    explainer = PWPExplainer(clinical_pipeline()).fit(table, y)
    assert explainer.get_feature_names_out().tolist() == list(table)
    assert explainer.get_feature_names_out(list(table)).tolist() == list(table)
    with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
        explainer.get_feature_names_out(list(table)[::-1])
    apart = PWPExplainer(explainer.estimator_, columns="transformed").fit(table)
    expected = explainer.estimator_[:-1].get_feature_names_out().tolist()
    assert apart.get_feature_names_out().tolist() == expected
    unnamed = PWPExplainer(dense()).fit(X)
    assert unnamed.get_feature_names_out(list("abcd")).tolist() == list("abcd")
    with pytest.raises(ValueError, match=r"number of features \(4\), got 3"):
        unnamed.get_feature_names_out(list("abc"))


def test_transform_puts_out_frames_where_asked_to(clinic):
    table, y, _ = clinic
    explainer = PWPExplainer(clinical_pipeline()).fit(table, y)
    plain = explainer.transform(table)
    frame = explainer.set_output(transform="pandas").transform(table)
    pd.testing.assert_frame_equal(
        frame, pd.DataFrame(plain, index=table.index, columns=table.columns)
    )


def test_a_pipeline_clusters_patients_by_their_explanations():
    # Two groups that differ in the one column that matters, under noise that does not.
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 60)
    X = rng.normal(size=(120, 8))
    X[:, 0] += np.where(group, 3, -3)
    pipeline = make_pipeline(
        StandardScaler(),
        PWPExplainer(TorchMLPClassifier((8,), max_epochs=60, lr=0.01, random_state=0)),
        KMeans(2, n_init=3, random_state=0),
    )
    clusters = pipeline.fit(X, group).predict(X)
    agreement = np.mean(clusters == group)
    assert max(agreement, 1 - agreement) > 0.95
    assert pipeline[1].feature_importances_.argmax() == 0


def test_select_from_model_finds_the_informative_columns():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 12))
    frame = pd.DataFrame(X, columns=[f"gene {i}" for i in range(12)])
    y = np.where(X[:, 3] + X[:, 7] - X[:, 10] > 0, "ill", "well")
    network = ANTClassifier((16,), max_epochs=40, lr=0.01, random_state=0)
    select = SelectFromModel(PWPExplainer(network), max_features=3, threshold=-np.inf)
    pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), select, network)
    pipeline.fit(frame, y)
    assert pipeline[1].get_feature_names_out().tolist() == ["gene 3", "gene 7", "gene 10"]
    assert pipeline.score(frame, y) > 0.9
    # And the whole, explained: the columns that were not selected have no say.
    ranking = PWPExplainer(pipeline).fit(frame).importances_.sum(axis=1)
    assert set(ranking[ranking > 0].index) == {"gene 3", "gene 7", "gene 10"}


# --- before a fit -------------------------------------------------------------------------------


@every_explainer
@pytest.mark.parametrize(
    "method", ["explain", "transform", "predict", "predict_proba", "decision_function"]
)
def test_an_explainer_that_is_not_fitted(explainer, method, X):
    explainer = explainer(TorchMLPClassifier(**SMALL).fit(X, labels(X)))
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(explainer, method)(X)
    with pytest.raises(NotFittedError):
        explainer.score(X, labels(X))
    with pytest.raises(NotFittedError):
        explainer.get_feature_names_out()


# --- what is left behind ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "again",
    [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e)), None],
    ids=["deepcopy", "pickle", "joblib"],
)
@pytest.mark.parametrize("kind", ["two classes", "one logit", "torch module", "images"])
def test_round_trips(again, kind, networks, tmp_path):
    network, X, _ = networks[kind]
    explainer = PWPExplainer(network, signed=True).fit(X)
    if again is None:
        joblib.dump(explainer, tmp_path / "explainer")
        other = joblib.load(tmp_path / "explainer")
    else:
        other = again(explainer)
    np.testing.assert_array_equal(other.explain(X).values, explainer.explain(X).values)
    np.testing.assert_array_equal(other.feature_importances_, explainer.feature_importances_)
    pd.testing.assert_frame_equal(other.importances_, explainer.importances_)


def test_a_clinical_pipeline_survives_the_round_trip(clinic):
    table, y, _ = clinic
    explainer = PWPExplainer(clinical_pipeline()).fit(table, y)
    other = pickle.loads(pickle.dumps(explainer))
    assert other.explain(table[:3]).to_frame().equals(explainer.explain(table[:3]).to_frame())


def training_network():
    network = nn.Sequential(
        nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(), nn.Linear(5, 3)
    )
    network.train()
    network[3].eval()
    return network


def state(network):
    tensors = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    return tensors, [module.training for module in network.modules()]


def assert_same_state(network, before):
    tensors, modes = state(network)
    assert modes == before[1]
    assert all(torch.equal(tensors[name], before[0][name]) for name in before[0])
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


@every_explainer
def test_the_network_is_left_as_it_was(explainer, X):
    network = training_network()
    before = state(network)
    explainer = explainer(network).fit(X)
    explainer.explain(X)
    explainer.explain(X, target="predicted")
    explainer.transform(X)
    assert_same_state(network, before)


def test_the_network_is_left_as_it_was_after_an_error(X, monkeypatch):
    network = training_network()
    before = state(network)
    explainer = PWPExplainer(network).fit(X)
    with pytest.raises(ValueError, match="NaN"):
        explainer.explain(np.full_like(X, np.nan))
    assert_same_state(network, before)

    def broken(self, graph):
        def contributions(inputs, outputs):
            assert not network.training
            raise RuntimeError("out of memory")

        return contributions

    monkeypatch.setattr(PWPExplainer, "_contributions", broken)
    for method in (explainer.fit, explainer.explain, explainer.transform):
        with pytest.raises(RuntimeError, match="out of memory"):
            method(X)
        assert_same_state(network, before)


# --- what comes out -----------------------------------------------------------------------------


def test_an_explanation_can_be_ranked_saved_and_loaded(clinic, tmp_path):
    table, y, _ = clinic
    explainer = PWPExplainer(clinical_pipeline()).fit(table, y)
    for target in (None, "ill", "predicted", ["well"]):
        explanation = explainer.explain(table, target)
        assert len(explanation.top(3)) == 3
        assert len(explanation.to_frame()) == explanation.values.size
        explanation.save(tmp_path / "explanation.npz")
        loaded = Explanation.load(tmp_path / "explanation.npz")
        np.testing.assert_array_equal(loaded.values, explanation.values)
        pd.testing.assert_frame_equal(loaded.to_frame(), explanation.to_frame())
        assert loaded.method == "PWP"


def test_an_explanation_can_be_drawn(clinic, images):
    pytest.importorskip("matplotlib")
    table, y, _ = clinic
    explainer = PWPExplainer(clinical_pipeline()).fit(table, y)
    for target in ("ill", "predicted"):
        explanation = explainer.explain(table, target)
        for draw in ("bar", "beeswarm", "heatmap", "waterfall"):
            getattr(explanation.plot, draw)().figure.canvas.draw()
    explainer.explain(table).plot.bar().figure.canvas.draw()
    explainer = PWPExplainer(convolutional(), signed=True).fit(images)
    explainer.explain(images[:2]).plot.image().canvas.draw()


def test_an_explanation_can_be_handed_to_shap(clinic):
    pytest.importorskip("shap")
    table, y, _ = clinic
    explanation = PWPExplainer(clinical_pipeline()).fit(table, y).explain(table)
    shap_explanation = explanation.output("ill").to_shap()
    np.testing.assert_array_equal(shap_explanation.values, explanation.values[..., 0])
    assert list(shap_explanation.feature_names) == list(table)


# --- progress -----------------------------------------------------------------------------------


@pytest.mark.parametrize("verbose", [0, 1])
def test_progress_is_shown_where_asked_for(verbose, networks, capfd):
    network, X, _ = networks["three classes"]
    explainer = PWPExplainer(network, verbose=verbose, batch_size=20)
    for method in (explainer.fit, explainer.explain, explainer.transform):
        method(X)
        captured = capfd.readouterr()
        assert captured.out == ""
        assert ("60/60" in captured.err) == bool(verbose)
        assert bool(captured.err) == bool(verbose)


def test_nothing_warns(X):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explainer = PWPExplainer(TorchMLPClassifier(**SMALL)).fit(X, labels(X))
        explainer.explain(X)
        explainer.transform(X)
