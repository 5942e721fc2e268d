"""Pipelines and other parts of scikit-learn: by skops, with the networks beside."""

import builtins
import io
import json
import sys
import types
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import make_regression
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sknninterp import (
    RBM,
    ANTClassifier,
    PersistenceError,
    PWPExplainer,
    StabilitySelector,
    TorchMLPClassifier,
    TorchMLPClassifierCV,
    TorchMLPRegressor,
    load,
    save,
    table_preprocessor,
)

pytest.importorskip("skops")

SMALL = {"hidden_layer_sizes": (6,), "max_epochs": 3, "random_state": 0}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "age": np.where(rng.random(60) < 0.2, np.nan, rng.normal(60, 9, 60)),
            "site": rng.choice(["left", "right", None], 60),
            "count": rng.integers(0, 5, 60),
        }
    )
    return X, (X["count"] > 2).to_numpy().astype(int)


def pipeline(**options):
    return make_pipeline(table_preprocessor(), TorchMLPClassifier(**{**SMALL, **options}))


def test_pipeline(table, copied, same):
    first = pipeline(n_networks=2, numeric_embedding="spline").fit(*table)
    again = copied(first)
    same(first.predict_proba(table[0]), again.predict_proba(table[0]))
    names = [one[:-1].get_feature_names_out() for one in (first, again)]
    same(*names)
    assert isinstance(again[-1], TorchMLPClassifier)
    same(first.fit(*table).predict_proba(table[0]), again.fit(*table).predict_proba(table[0]))


def test_saving_leaves_the_pipeline_alone(table, tmp_path):
    first = pipeline().fit(*table)
    parts = [id(step) for _, step in first.steps], id(first[-1].net_)
    save(first, tmp_path / "a")
    assert ([id(step) for _, step in first.steps], id(first[-1].net_)) == parts


def test_search_of_the_default_pipeline(table, copied, same):
    search = TorchMLPClassifierCV(pipeline(), cv=StratifiedKFold(2), input_penalties=[0, 0.2])
    first = search.fit(*table)
    again = copied(first)
    same(first.predict_proba(table[0]), again.predict_proba(table[0]))
    same(first.best_params_, again.best_params_)
    same(first.score(*table), again.score(*table))
    again = copied(first.best_estimator_)
    same(first.predict_proba(table[0]), again.predict_proba(table[0]))


def test_explainer_of_a_pipeline(table, copied, same):
    first = PWPExplainer(pipeline()).fit(*table)
    again = copied(first)
    same(first.importances_, again.importances_)
    same(first.explain(table[0]).values, again.explain(table[0]).values)


def test_transformed_target(copied, same):
    X, y = make_regression(60, 5, random_state=0)
    inner = make_pipeline(StandardScaler(), TorchMLPRegressor(**SMALL))
    first = TransformedTargetRegressor(inner, transformer=StandardScaler()).fit(X, y)
    same(first.predict(X), copied(first).predict(X))


def vote():
    networks = [("a", TorchMLPClassifier(**SMALL)), ("b", ANTClassifier(**SMALL))]
    return VotingClassifier(networks, voting="soft")


@pytest.mark.parametrize(
    "make",
    [
        lambda: GridSearchCV(ANTClassifier(**SMALL), {"lr": [0.01, 0.1]}, cv=2, scoring="roc_auc"),
        lambda: BaggingClassifier(TorchMLPClassifier(**SMALL), n_estimators=2, random_state=0),
        vote,
        lambda: make_pipeline(
            SelectFromModel(PWPExplainer(TorchMLPClassifier(**SMALL))), TorchMLPClassifier(**SMALL)
        ),
        lambda: make_pipeline(
            FunctionTransformer(np.clip, kw_args={"a_min": 0, "a_max": 1}),
            RBM(4, n_iter=1, random_state=0),
            MLPClassifier((3,), max_iter=3, random_state=0),
        ),
        lambda: make_pipeline(
            StabilitySelector(PWPExplainer(TorchMLPClassifier(**SMALL)), n_subsamples=2),
            TorchMLPClassifier(**SMALL),
        ),
    ],
    ids=["grid search", "bagging", "vote", "selection", "machine", "stability"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_networks_inside_of_scikit_learn(make, data, copied, same):
    first = make().fit(*data)
    again = copied(first)
    same(first.predict_proba(data[0]), again.predict_proba(data[0]))


def test_one_network_in_two_places_is_one(data, copied):
    again = copied(vote().fit(*data))
    assert again.estimators_[0] is again.named_estimators_["a"]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_explainer_of_scikit_learns_network(data, copied, same):
    first = PWPExplainer(MLPClassifier((4,), max_iter=5, random_state=0)).fit(*data)
    same(first.explain(data[0]).values, copied(first).explain(data[0]).values)


def test_names_that_stand_for_networks_may_be_anywhere(data, copied):
    first = make_pipeline(StandardScaler(), TorchMLPClassifier(**SMALL)).fit(*data)
    first.note = {"a": [("x", first[-1])]}
    assert copied(first).note["a"][0][1].__class__ is TorchMLPClassifier


class OwnTransformer(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.network_ = TorchMLPClassifier(**SMALL).fit(X, y)
        return self

    def transform(self, X):
        return X * self.network_.predict_proba(X)[:, :1]


def test_types_of_others_must_be_trusted(data, tmp_path, same, monkeypatch):
    code = types.ModuleType("own_code")
    code.OwnTransformer = OwnTransformer
    monkeypatch.setattr(OwnTransformer, "__module__", "own_code")
    monkeypatch.setitem(sys.modules, "own_code", code)
    first = make_pipeline(OwnTransformer(), TorchMLPClassifier(**SMALL)).fit(*data)
    path = tmp_path / "a"
    save(first, path)
    with pytest.raises(PersistenceError, match=r"own_code.OwnTransformer.*load\(path, trusted="):
        load(path)
    again = load(path, trusted=["own_code.OwnTransformer"])
    same(first.predict_proba(data[0]), again.predict_proba(data[0]))


class Unwilling(BaseEstimator):
    def __deepcopy__(self, memo):
        raise RuntimeError("no copies")


def test_what_skops_cannot_store_is_an_error(tmp_path):
    with pytest.raises(PersistenceError, match="Pipeline cannot be stored by skops: no copies"):
        save(make_pipeline(Unwilling()), tmp_path / "a")


def test_subclass_in_a_pipeline_is_named(tmp_path):
    class Own(TorchMLPClassifier):
        pass

    with pytest.raises(PersistenceError, match="Pipeline.Own is .*Own, which cannot be stored"):
        save(make_pipeline(StandardScaler(), Own()), tmp_path / "a")


def test_without_skops_the_error_says_what_to_install(data, tmp_path, monkeypatch):
    network = TorchMLPClassifier(**SMALL).fit(*data)
    first = make_pipeline(StandardScaler(), network)
    path = tmp_path / "a"
    save(first, path)
    importing = builtins.__import__

    def without(name, *args, **options):
        if name.startswith("skops"):
            raise ImportError(name)
        return importing(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    for call in (lambda: save(first, tmp_path / "b"), lambda: load(path)):
        with pytest.raises(ImportError, match="pip install skops"):
            call()
    save(network, path)  # what is ours alone needs none
    assert isinstance(load(path), TorchMLPClassifier)


# --- hostile files -------------------------------------------------------------------------------


def rezipped(edit, compression=zipfile.ZIP_STORED):
    """Changes the files in the part that skops wrote."""

    def change(_, tensors):
        name = next(name for name in tensors if name.endswith(".skops"))
        with zipfile.ZipFile(io.BytesIO(tensors[name].numpy().tobytes())) as archive:
            files = {one: archive.read(one) for one in archive.namelist()}
        edit(files)
        raw = io.BytesIO()
        with zipfile.ZipFile(raw, "w", compression) as archive:
            for one, content in files.items():
                archive.writestr(one, content)
        tensors[name] = torch.frombuffer(bytearray(raw.getvalue()), dtype=torch.uint8)

    return change


def of_class(name, module):
    def edit(files):
        schema = json.loads(files["schema.json"])
        schema["__class__"], schema["__module__"] = name, module
        files["schema.json"] = json.dumps(schema).encode()

    return edit


def without_parts(document, _):
    next(one for one in document["objects"] if "parts" in one)["parts"].clear()


HOSTILE = {
    "no network": without_parts,
    "class": rezipped(of_class("Popen", "subprocess")),
    "function": rezipped(of_class("system", "os")),
    "module that is none": rezipped(of_class("Scaler", "sklearn.nowhere")),
    "no schema": rezipped(lambda files: files.pop("schema.json")),
    "schema": rezipped(lambda files: files.update({"schema.json": b"[]"})),
    "deep": rezipped(lambda files: files.update({"schema.json": b"[" * 10**5 + b"]" * 10**5})),
    "bomb": rezipped(lambda files: files.update(a=b"0" * 10**7), zipfile.ZIP_DEFLATED),
    "no zip": lambda _, tensors: tensors.update(
        {k: v[:50].clone() for k, v in tensors.items() if k.endswith(".skops")}
    ),
    "arrays": rezipped(
        lambda files: files.update({k: b"\x80\x04." for k in files if k.endswith("npy")})
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pipeline_is_an_error(name, data, changed):
    first = make_pipeline(StandardScaler(), TorchMLPClassifier(**SMALL)).fit(*data)
    path = changed(first, HOSTILE[name])
    with pytest.raises(PersistenceError, match="changed.safetensors"):
        load(path)
