"""Networks of one's own in the place of the plain ones."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, make_classification
from torch import nn

from sknninterp import ANTClassifier, ANTRegressor, TorchMLPClassifier, TorchMLPRegressor

CLASSIFIERS = [TorchMLPClassifier, ANTClassifier]
REGRESSORS = [TorchMLPRegressor, ANTRegressor]
ALL = [*CLASSIFIERS, *REGRESSORS]

X, Y = make_classification(
    n_samples=120, n_features=6, n_informative=4, n_classes=3, random_state=0
)


def make(kind, **params):
    """A small estimator that is quick to fit."""
    defaults = {
        "hidden_layer_sizes": (12,),
        "max_epochs": 6,
        "batch_size": 32,
        "lr": 0.01,
        "random_state": 0,
    }
    return kind(**{**defaults, **params})


def target(kind):
    return Y if kind in CLASSIFIERS else X[:, 0] + 0.1 * Y


def fitted(kind, **params):
    return make(kind, **params).fit(X, target(kind))


DIGITS, DIGIT = load_digits(return_X_y=True)
IMAGES = DIGITS[:300].reshape(-1, 1, 8, 8) / 16
DIGIT = DIGIT[:300]


def small_cnn(n_inputs, n_outputs):
    return nn.Sequential(
        nn.Conv2d(n_inputs, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * 4 * 4, 16),
        nn.ReLU(),
        nn.Linear(16, n_outputs),
    )


def linear(n_inputs, n_outputs):
    return nn.Linear(n_inputs, n_outputs)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_cnn_on_images(kind):
    estimator = kind(module=small_cnn, max_epochs=12, lr=0.01, random_state=0)
    estimator.fit(IMAGES, DIGIT)
    assert estimator.score(IMAGES, DIGIT) > 0.9
    assert estimator.predict_proba(IMAGES[:5]).shape == (5, 10)
    with pytest.raises(ValueError, match=r"samples of shape \(1, 4, 16\).*\(1, 8, 8\)"):
        estimator.predict(IMAGES.reshape(-1, 1, 4, 16))
    with pytest.raises(ValueError, match="X has 64 features, but"):
        estimator.predict(IMAGES.reshape(300, -1))
    with pytest.raises(ValueError, match=r"samples of shape \(1, 16, 4\)"):
        estimator.partial_fit(IMAGES.reshape(-1, 1, 16, 4), DIGIT)


def test_cnn_regressor_on_images():
    estimator = TorchMLPRegressor(module=small_cnn, max_epochs=15, lr=0.01, random_state=0)
    scaled = (DIGIT - 4.5) / 3
    assert estimator.fit(IMAGES, scaled).score(IMAGES, scaled) > 0.7


def test_module_class_and_callable_agree():
    by_class = fitted(TorchMLPClassifier, module=nn.Linear)
    assert isinstance(by_class.module_, nn.Linear)
    by_callable = fitted(TorchMLPClassifier, module=linear)
    assert torch.equal(by_class.module_.weight, by_callable.module_.weight)
    np.testing.assert_array_equal(by_class.predict_proba(X), by_callable.predict_proba(X))


@pytest.mark.parametrize("kind", ALL)
def test_module_instance_is_copied(kind):
    module = nn.Sequential(
        nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3 if kind in CLASSIFIERS else 1)
    )
    before = copy.deepcopy(module.state_dict())
    estimator = fitted(kind, module=module)
    assert estimator.module is module
    assert estimator.module_ is not module
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert not torch.equal(estimator.module_[2].bias, before["2.bias"].double())
    assert clone(estimator).fit(X, target(kind)).score(X, target(kind)) == estimator.score(
        X, target(kind)
    )


def test_module_starts_from_its_weights():
    module = nn.Linear(6, 3)
    estimator = fitted(TorchMLPClassifier, module=module, lr=1e-300)
    torch.testing.assert_close(estimator.module_.weight, module.weight.double())


@pytest.mark.parametrize(
    ("module", "error", "message"),
    [
        (3, ValueError, "'module' parameter of TorchMLPClassifier must be a callable or None"),
        (lambda a, b: "net", TypeError, "module must be a torch.nn.Module or a callable.*str"),
        (lambda a, b: nn.Linear(a, b + 1), ValueError, r"\(n_samples, 3\).*returned \(1, 4\)"),
        (nn.Linear(6, 1), ValueError, r"\(n_samples, 3\).*returned \(1, 1\)"),
        (nn.Linear(4, 3), ValueError, r"cannot take samples of shape \(6,\)"),
        (nn.BatchNorm2d(6), ValueError, r"cannot take samples of shape \(6,\).*4D"),
        (nn.LSTM(6, 3), ValueError, "one sample it returned tuple"),
    ],
    ids=["no-callable", "no-module", "wide", "narrow", "inputs", "dimensions", "tuple"],
)
def test_bad_module(module, error, message):
    with pytest.raises(error, match=message):
        fitted(TorchMLPClassifier, module=module)


def test_images_need_a_module():
    with pytest.raises(ValueError, match="dim 4"):
        make(TorchMLPClassifier).fit(IMAGES, DIGIT)
