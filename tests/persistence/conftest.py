"""Small estimators of every kind, and what they and their copies from a file must share."""

import json

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from pandas.testing import assert_frame_equal, assert_series_equal
from sklearn.datasets import make_classification

import sknninterp
from sknninterp.persistence import _container


@pytest.fixture(scope="session")
def data():
    X, y = make_classification(80, 5, random_state=0)
    return X.astype(np.float32), y


@pytest.fixture
def copied(tmp_path):
    """An estimator saved and loaded."""

    def copy(estimator, **options):
        path = tmp_path / "saved.safetensors"
        sknninterp.save(estimator, path)
        return sknninterp.load(path, **options)

    return copy


@pytest.fixture
def changed(tmp_path):
    """Saves an estimator, lets a function change document and tensors, and seals the file anew."""

    def change(estimator, edit):
        path = tmp_path / "changed.safetensors"
        sknninterp.save(estimator, path)
        document, tensors = _container.read(path.read_bytes())
        edit(document, tensors)
        _container.write(path, document, tensors)
        return path

    return change


@pytest.fixture
def rewritten(tmp_path):
    """Saves an estimator, and lets a function change the file's own metadata."""

    def rewrite(estimator, edit):
        path = tmp_path / "rewritten.safetensors"
        sknninterp.save(estimator, path)
        raw = path.read_bytes()
        size = int.from_bytes(raw[:8], "little")
        metadata = json.loads(raw[8 : 8 + size])["__metadata__"]
        edit(metadata)
        path.write_bytes(safetensors.torch.save(safetensors.torch.load(raw), metadata))
        return path

    return rewrite


@pytest.fixture
def same():
    """Asserts that two values are the same bits, of the same types."""
    return assert_same


def assert_same(first, second, where=""):
    assert type(first) is type(second), where
    if isinstance(first, dict):
        assert list(first) == list(second), where
        for key in first:
            assert_same(first[key], second[key], f"{where}.{key}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), where
        for i, pair in enumerate(zip(first, second, strict=True)):
            assert_same(*pair, f"{where}[{i}]")
    elif isinstance(first, np.ndarray):
        assert first.dtype == second.dtype, where
        if first.dtype == object:
            assert first.shape == second.shape, where
            assert_same(first.ravel().tolist(), second.ravel().tolist(), where)
        else:
            np.testing.assert_array_equal(first, second, err_msg=where)
    elif isinstance(first, torch.Tensor):
        assert first.dtype == second.dtype, where
        assert torch.equal(first, second), where
    elif isinstance(first, pd.DataFrame):
        assert_frame_equal(first, second, check_exact=True)
    elif isinstance(first, pd.Series):
        assert_series_equal(first, second, check_exact=True)
    elif hasattr(first, "get_params"):
        assert_same(first.get_params(deep=False), second.get_params(deep=False), where)
    elif isinstance(first, float) and np.isnan(first):
        assert np.isnan(second), where
    elif isinstance(first, torch.nn.Module):
        assert_same(dict(first.state_dict()), dict(second.state_dict()), where)
    else:
        assert first == second, where
