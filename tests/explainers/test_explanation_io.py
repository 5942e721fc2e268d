"""Explanations on disk: they come back as they were, and nothing else is taken for one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sknninterp.explainers.explanation import Explanation


def test_round_trip(table, images, tmp_path, assert_same):
    single = Explanation(
        np.ones((2, 2), dtype=np.float32), target=["a", "b"], signed=False, value_label="score"
    )
    for number, exp in enumerate([table, images, table.output("benign")[:2], single, table[:0]]):
        path = tmp_path / f"{number}.explanation"
        exp.save(path)
        assert_same(Explanation.load(path), exp)


@pytest.mark.parametrize(
    "data",
    [
        np.array([[1, 2]], dtype=np.int8),
        np.array([["ä", "b"]]),
        np.array([["2020-01-01", "NaT"]], dtype="datetime64[D]"),
        np.array([[None, float("nan")]], dtype=object),
        np.array([[np.float32(0.1), np.int64(3)]], dtype=object),
        np.array([[True, np.True_]], dtype=object),
        np.array([[pd.NA, pd.NaT]], dtype=object),
        np.array([[float("inf"), 2**70]], dtype=object),
        np.array([[pd.Timestamp("2024-02-29 12:00", tz="Europe/Berlin"), 1]], dtype=object),
        np.array([[pd.Timestamp("2024-02-29 12:00:00.5"), "x"]], dtype=object),
    ],
)
def test_round_trip_of_data_types(data, tmp_path, assert_same):
    exp = Explanation([[1.0, 2.0]], data=data)
    exp.save(tmp_path / "e.npz")
    assert_same(Explanation.load(tmp_path / "e.npz"), exp)


def test_round_trip_of_tuples_as_names(tmp_path):
    exp = Explanation([[1.0], [2.0]], sample_names=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)]))
    exp.save(tmp_path / "e.npz")
    assert Explanation.load(tmp_path / "e.npz").sample_names.tolist() == [("a", 1), ("b", 2)]


@settings(deadline=None, max_examples=25)
@given(
    values=arrays(
        st.sampled_from([np.float32, np.float64]),
        array_shapes(min_dims=2, max_dims=4, max_side=4),
        elements=st.floats(-1e6, 1e6, allow_nan=False, width=32),
    )
)
def test_round_trip_is_exact(values, tmp_path_factory, assert_same):
    path = tmp_path_factory.mktemp("explanation") / "e.npz"
    exp = Explanation(values)
    exp.save(path)
    assert_same(Explanation.load(path), exp)


def test_no_pickle_is_needed(table, tmp_path):
    table.save(tmp_path / "e.npz")
    with np.load(tmp_path / "e.npz", allow_pickle=False) as archive:
        assert all(archive[name].dtype != object for name in archive.files)


def test_data_that_cannot_be_saved_leave_no_file(tmp_path):
    exp = Explanation([[1.0]], data=np.array([[object()]]))
    with pytest.raises(
        ValueError, match="data holds <object.*of type object, which cannot be saved"
    ):
        exp.save(tmp_path / "e.npz")
    assert not (tmp_path / "e.npz").exists()


def test_damaged_files(tmp_path, assert_same):
    path = tmp_path / "e.npz"
    exp = Explanation([[1.0, 2.0]], data=[[1, "a"]], base_values=[3.0])
    exp.save(path)
    whole = path.read_bytes()
    flips = [whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :] for i in range(len(whole))]
    n_errors = 0
    for content in [whole[:i] for i in range(0, len(whole), 10)] + [b"text"] + flips:
        path.write_bytes(content)
        try:
            loaded = Explanation.load(path)
        except ValueError as error:
            assert "was not written by" in str(error) or "no valid explanation" in str(error)
            n_errors += 1
        else:
            # Not every byte matters: zip stores times and attributes that nobody reads.
            assert_same(loaded, exp)
    assert n_errors > len(whole) // 2


def test_other_files(tmp_path):
    path = tmp_path / "other.npz"
    np.savez(path, values=np.ones((2, 2)))
    with pytest.raises(ValueError, match="was not written by"):
        Explanation.load(path)
    np.save(tmp_path / "array.npy", np.ones(3))
    with pytest.raises(ValueError, match="was not written by"):
        Explanation.load(tmp_path / "array.npy")
    np.savez(path, values=np.array([[object()]]))
    with pytest.raises(ValueError, match="was not written by"):
        Explanation.load(path)
    with pytest.raises(FileNotFoundError):
        Explanation.load(tmp_path / "absent.npz")
