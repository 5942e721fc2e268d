"""Data that several test files share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sknninterp.explainers.explanation import Explanation

N_ROWS = 40


@pytest.fixture
def numbers():
    """Four columns of normal random numbers."""
    return np.random.default_rng(0).normal(size=(N_ROWS, 4))


@pytest.fixture
def labels(numbers):
    """Two classes, which columns 1 and 3 of `numbers` tell apart."""
    return (numbers[:, 1] - numbers[:, 3] > 0).astype(int)


@pytest.fixture
def frame():
    """A frame of numbers, categories, text and missing values."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.normal(60, 10, N_ROWS),
            "sex": ["f", "m"] * 20,
            "dose": rng.exponential(size=N_ROWS),
            "site": [*"abcd"] * 10,
            "note": ["pain", "no pain today", "pain again", "well"] * 10,
        }
    )
    frame.loc[::7, "dose"] = np.nan
    return frame


@pytest.fixture
def table():
    """Six samples, four features of mixed types, three outputs."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame(
        {
            "age": [54, 61, 47, 70, 33, 58],
            "sex": ["f", "m", "m", None, "f", "f"],
            "glucose": rng.normal(5, 1, 6),
            "dose": [0.5, np.nan, 1.0, 2.0, 0.0, 1.5],
        }
    )
    return Explanation(
        rng.normal(size=(6, 4, 3)),
        data=data,
        feature_names=list(data.columns),
        output_names=["benign", "malignant", "unclear"],
        base_values=rng.normal(size=(6, 3)),
        gaps=rng.normal(size=(6, 3)),
        sample_names=[f"patient {i}" for i in range(6)],
        method="PWP",
    )


@pytest.fixture
def images():
    """Three images of two channels, two outputs with numbers as labels."""
    rng = np.random.default_rng(1)
    return Explanation(
        rng.normal(size=(3, 2, 5, 4, 2)),
        data=rng.uniform(size=(3, 2, 5, 4)),
        output_names=[7, 1],
        method="PWP",
    )


@pytest.fixture(scope="session")
def assert_same():
    """Return the function that asserts that two explanations hold the same, types included."""
    return _assert_same


def _assert_same(one, other):
    for name in (
        "values",
        "data",
        "feature_names",
        "output_names",
        "base_values",
        "gaps",
        "sample_names",
    ):
        a, b = getattr(one, name), getattr(other, name)
        assert type(a) is type(b), name
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype, name
            if a.dtype == object:
                assert [type(x) for x in a.ravel()] == [type(x) for x in b.ravel()], name
                pd.testing.assert_frame_equal(pd.DataFrame(a.ravel()), pd.DataFrame(b.ravel()))
            else:
                np.testing.assert_array_equal(a, b)
        else:
            assert a == b, name
    for name in ("method", "value_label", "signed"):
        assert getattr(one, name) == getattr(other, name)
    np.testing.assert_array_equal(one.target, other.target)
    assert type(one.target) is type(other.target)
