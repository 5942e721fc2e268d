"""ONNX files say what the estimators say."""

import builtins
import inspect

import numpy as np
import pytest
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import make_regression
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknninterp import (
    ANTClassifier,
    PersistenceError,
    TorchMLPClassifier,
    TorchMLPRegressor,
    to_onnx,
)

EXPORTS = "dynamic_shapes" in inspect.signature(torch.onnx.export).parameters
SMALL = {"hidden_layer_sizes": (6, 4), "max_epochs": 3, "random_state": 0}


@pytest.fixture
def run(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnx")
    if not EXPORTS:
        pytest.skip("torch is older than 2.6")

    def convert(estimator, X):
        path = tmp_path / "network.onnx"
        to_onnx(estimator, path)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (output,) = session.get_outputs()
        X = X.astype(np.float32)
        (found,), (first,) = (session.run(None, {"X": part}) for part in (X, X[:1]))
        np.testing.assert_allclose(first, found[:1], rtol=1e-5)  # of any number of samples
        return found, output.name

    return convert


# Warnings of torch's exporter about itself.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.slow  # torch takes seconds for each
@pytest.mark.parametrize(
    "estimator",
    [
        TorchMLPClassifier(**SMALL, batch_norm=True, dropout=0.2),
        ANTClassifier(**SMALL, numeric_embedding="periodic", dtype="float64"),
        TorchMLPClassifier(**SMALL, numeric_embedding="piecewise", activation="gelu"),
    ],
    ids=["plain", "tuned", "piecewise"],
)
def test_probabilities(estimator, data, run):
    X, y = data
    found, name = run(estimator.fit(X, y), X)
    assert name == "probabilities"
    np.testing.assert_allclose(found, estimator.predict_proba(X), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("n_targets", [1, 3])
def test_values(n_targets, run):
    X, y = make_regression(50, 4, n_targets=n_targets, random_state=0)
    regressor = TorchMLPRegressor(**SMALL, n_networks=2).fit(X, y / y.std())
    found, name = run(regressor, X)
    assert name == "values"
    assert found.shape == y.shape
    np.testing.assert_allclose(found, regressor.predict(X), atol=1e-4)


@pytest.mark.slow
def test_images(run):
    X, y = np.random.default_rng(0).random((9, 1, 6, 6), dtype=np.float32), np.arange(9) % 3
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(32, 3)
    )
    network = TorchMLPClassifier(module=module, max_epochs=1).fit(X, y)
    np.testing.assert_allclose(run(network, X)[0], network.predict_proba(X), atol=1e-5)


def test_last_step_of_a_pipeline_without_what_is_before_it(data, tmp_path, run):
    import onnx

    X, y = data
    networks = TorchMLPClassifier(**SMALL, n_networks=2, numeric_embedding="spline")
    pipe = make_pipeline(StandardScaler(), networks).fit(X, y)
    found, _ = run(pipe, pipe[0].transform(X))
    np.testing.assert_allclose(found, pipe.predict_proba(X), atol=1e-5)
    note = onnx.load(tmp_path / "network.onnx").doc_string
    assert "Preprocessing is not part of it" in note
    assert "float32 of shape (n, 5)" in note


@pytest.mark.slow
def test_transformed_target(run):
    X, y = make_regression(50, 4, random_state=0)
    whole = TransformedTargetRegressor(TorchMLPRegressor(**SMALL), transformer=StandardScaler())
    found, _ = run(whole.fit(X, y), X)
    np.testing.assert_allclose(found, whole.regressor_.predict(X), atol=1e-4)


def test_what_is_no_fitted_network(data, tmp_path):
    path = tmp_path / "a"
    with pytest.raises(PersistenceError, match="LogisticRegression, which is or ends in no"):
        to_onnx(LogisticRegression().fit(*data), path)
    with pytest.raises(NotFittedError):
        to_onnx(TorchMLPClassifier(), path)
    assert not path.exists()


def test_without_onnx_the_error_says_what_to_install(data, tmp_path, monkeypatch):
    network = TorchMLPClassifier(**SMALL).fit(*data)
    importing = builtins.__import__

    def without(name, *args, **options):
        if name.startswith("onnx"):
            raise ImportError(name)
        return importing(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install sknninterp\[onnx\]"):
        to_onnx(network, tmp_path / "a")


def test_older_versions_of_torch_are_named(data, tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnx")
    network = TorchMLPClassifier(**SMALL).fit(*data)
    monkeypatch.setattr(torch.onnx, "export", lambda model, args: None)
    with pytest.raises(ImportError, match=r"torch 2\.6 or newer, and this is \d"):
        to_onnx(network, tmp_path / "a")
