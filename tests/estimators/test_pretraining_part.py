"""What `X_unlabeled` may be."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError

from sknninterp import RBMPretrainedMLP

X, Y = make_classification(n_samples=90, n_features=6, n_informative=4, n_classes=3, random_state=0)
MORE = np.random.default_rng(0).normal(size=(40, 6))
NAMES = ["age", "weight", "height", "dose", "grade", "stage"]
FRAME = pd.DataFrame(X, columns=NAMES)


def make(**params):
    """A small network that is quick to fit."""
    defaults = {"hidden_layer_sizes": (8, 5), "max_epochs": 4, "batch_size": 32, "lr": 0.01}
    return RBMPretrainedMLP(**{**defaults, "pretraining_epochs": 3, "random_state": 0, **params})


def fitted(X_unlabeled=None):
    more = {} if X_unlabeled is None else {"X_unlabeled": X_unlabeled}
    return make().fit(X, Y, **more)


def outputs(estimator, data=X):
    return estimator.predict_proba(data)


def assert_same(one, other, data=X):
    """Same weights, history and predictions, bit for bit."""
    ours, theirs = one.module_.state_dict(), other.module_.state_dict()
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name
    np.testing.assert_array_equal(outputs(one, data), outputs(other, data))
    pd.testing.assert_frame_equal(
        one.history_.drop(columns="dur"), other.history_.drop(columns="dur")
    )


def assert_same_machines(one, other):
    assert len(one) == len(other)
    for ours, theirs in zip(one, other, strict=True):
        assert repr(ours) == repr(theirs)
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize(
    "convert",
    [
        sparse.csr_matrix,
        sparse.csc_array,
        np.asfortranarray,
        np.ndarray.tolist,
        lambda data: pd.DataFrame(data, columns=NAMES),
    ],
    ids=["csr", "csc", "fortran", "list", "frame"],
)
def test_what_unlabeled_samples_may_be(convert):
    data = FRAME if isinstance(convert(MORE), pd.DataFrame) else X
    estimator = make().fit(data, Y, X_unlabeled=convert(MORE))
    expected = fitted(X_unlabeled=MORE)
    assert_same_machines(estimator.rbms_, expected.rbms_)
    np.testing.assert_array_equal(outputs(estimator, data), outputs(expected))


def test_unlabeled_samples_take_the_float_type_of_x():
    estimator = make().fit(X.astype(np.float32), Y, X_unlabeled=MORE)
    assert estimator.rbms_[0].weight.dtype == torch.float32
    expected = make().fit(X.astype(np.float32), Y, X_unlabeled=MORE.astype(np.float32))
    assert_same_machines(estimator.rbms_, expected.rbms_)


def spoilt(value):
    table = pd.DataFrame(MORE, columns=NAMES).astype(object)
    table.iloc[3, [2, 5]] = value
    return table


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (MORE[:, :5], "^X_unlabeled: X has 5 features, but RBMPretrainedMLP is expecting 6"),
        (MORE[0], "^X_unlabeled: Expected 2D array"),
        (MORE[:0], r"^X_unlabeled: Found array with 0 sample\(s\)"),
        (spoilt(np.nan).to_numpy(float), r"^X_unlabeled: (.*\n)*Columns with such values: \[2, 5"),
        (spoilt(np.inf).to_numpy(float), r"^X_unlabeled: (.*\n)*Columns with such values: \[2, 5"),
        (spoilt("a").to_numpy(), r"^X_unlabeled: (.*\n)*Columns that are not numeric: \[2, 5"),
        (7, "^X_unlabeled: "),
    ],
    ids=["narrow", "flat", "empty", "nan", "infinite", "text", "number"],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_bad_unlabeled_samples(more, message):
    with pytest.raises(ValueError, match=message):
        fitted(X_unlabeled=more)
    estimator = make()
    with pytest.raises(ValueError, match=message):
        estimator.fit(FRAME, Y, X_unlabeled=more)
    with pytest.raises(NotFittedError):
        estimator.predict(X)


def test_unlabeled_tables_have_the_columns_of_x():
    table = pd.DataFrame(MORE, columns=NAMES)
    with pytest.raises(ValueError, match="^X_unlabeled: The feature names(.*\n)*- size"):
        make().fit(FRAME, Y, X_unlabeled=table.rename(columns={"dose": "size"}))
    with pytest.raises(ValueError, match="^X_unlabeled: (.*\n)*.*same order"):
        make().fit(FRAME, Y, X_unlabeled=table[NAMES[::-1]])
    with pytest.raises(ValueError, match=r"^X_unlabeled: (.*\n)*.*\['height', 'stage'\]"):
        make().fit(FRAME, Y, X_unlabeled=spoilt(np.nan))
    dates = table.assign(dose=pd.Timestamp("2020-02-02"))
    with pytest.raises((TypeError, ValueError), match=r"^X_unlabeled: (.*\n)*.*\['dose'\]"):
        make().fit(FRAME, Y, X_unlabeled=dates)


def test_unlabeled_samples_are_forgotten():
    estimator = fitted(X_unlabeled=MORE)
    assert_same(estimator.fit(X, Y), fitted())
    with pytest.raises(ValueError, match="X_unlabeled"):
        estimator.fit(X, Y, X_unlabeled=MORE[:, :3])
    assert_same(estimator.fit(X, Y), fitted())
    many = np.random.default_rng(0).normal(size=(5000, 6))
    assert len(pickle.dumps(make().fit(X, Y, X_unlabeled=many))) < 60_000
