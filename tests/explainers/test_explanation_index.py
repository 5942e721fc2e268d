"""What stands between the brackets: positions, names, slices, masks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sknninterp.explainers.explanation import Explanation


@pytest.mark.parametrize(
    "key",
    [
        slice(None, 3),
        slice(None, None, -2),
        [4, 0, -1],
        np.array([True, False, True, False, False, True]),
        pd.Series([True] * 2 + [False] * 4, index=list("abcdef")),
        (slice(None), slice(1, 3)),
        (slice(None), slice(None), slice(0, 2)),
        (Ellipsis, [2, 0]),
        (slice(1, 4), Ellipsis, slice(None, None, 2)),
        (slice(2), Ellipsis),
        Ellipsis,
    ],
)
def test_slices_agree_with_numpy(table, key):
    selected = table[key]
    as_numpy = np.asarray(key) if isinstance(key, pd.Series) else key
    np.testing.assert_array_equal(selected.values, table.values[as_numpy])
    assert selected.method == "PWP" and selected.has_outputs


def test_axes_are_selected_independently(table):
    selected = table[[3, 1], ["dose", "age"], ["unclear", "benign"]]
    expected = table.values[np.ix_([3, 1], [3, 0], [2, 0])]
    np.testing.assert_array_equal(selected.values, expected)
    assert selected.data.tolist() == table.data[np.ix_([3, 1], [3, 0])].tolist()
    np.testing.assert_array_equal(selected.base_values, table.base_values[np.ix_([3, 1], [2, 0])])
    assert selected.feature_names.tolist() == ["dose", "age"]
    assert selected.output_names.tolist() == ["unclear", "benign"]
    assert selected.sample_names.tolist() == ["patient 3", "patient 1"]


@pytest.mark.parametrize("key", [2, -4, np.int64(2), "patient 2"])
def test_one_sample_keeps_its_axis(table, key):
    selected = table[key]
    np.testing.assert_array_equal(selected.values, table.values[2:3])
    np.testing.assert_array_equal(selected.base_values, table.base_values[2:3])
    assert selected.sample_names.tolist() == ["patient 2"]


def test_one_feature_keeps_its_axis(table):
    for key in ("glucose", 2, -2):
        np.testing.assert_array_equal(table[:, key].values, table.values[:, 2:3])
        assert table[:, key].feature_names.tolist() == ["glucose"]


@pytest.mark.parametrize("key", [(..., "malignant"), (..., 1), (slice(None), slice(None), -2)])
def test_one_output_drops_its_axis(table, key):
    selected = table[key]
    np.testing.assert_array_equal(selected.values, table.values[:, :, 1])
    np.testing.assert_array_equal(selected.base_values, table.base_values[:, 1])
    np.testing.assert_array_equal(selected.gaps, table.gaps[:, 1])
    assert selected.output_names == "malignant" and not selected.has_outputs
    assert selected.target == "malignant"


def test_numbers_are_positions_and_output_takes_labels(images):
    np.testing.assert_array_equal(images[..., 1].values, images.values[..., 1])
    np.testing.assert_array_equal(images.output(1).values, images.values[..., 1])
    np.testing.assert_array_equal(images.output(7).values, images.values[..., 0])
    with pytest.raises(IndexError, match="no output at position 7: there are 2"):
        images[..., 7]


def test_images_are_cropped_with_their_data(images):
    cropped = images[:2, :, 1:4, [0, 2]]
    np.testing.assert_array_equal(cropped.values, images.values[:2, :, 1:4][:, :, :, [0, 2]])
    np.testing.assert_array_equal(cropped.data, images.data[:2, :, 1:4][:, :, :, [0, 2]])


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        ((slice(None), "agee"), ValueError, "no feature 'agee': did you mean 'age'"),
        ((slice(None), ["age", "zzzz"]), ValueError, "no feature 'zzzz': there are 'age', 'sex'"),
        ((..., "malignent"), ValueError, "no output 'malignent': did you mean 'malignant'"),
        ("patient 77", ValueError, "no sample 'patient 77': did you mean"),
        (6, IndexError, "no sample at position 6: there are 6"),
        ([0, -7], IndexError, "no sample at position -7"),
        ([True, False], IndexError, "mask of samples must have length 6, got 2"),
        ((0, 0, 0, 0), IndexError, "Too many indices"),
        ((..., 0, ...), IndexError, "single ellipsis"),
        (None, TypeError, "Samples are selected by position"),
        (True, TypeError, "Samples are selected by position"),
        (1.5, TypeError, "got 1.5"),
        ([0.5], TypeError, "Samples are selected"),
        ([[0, 1]], TypeError, "Samples are selected"),
        (slice("a", "b"), TypeError, "A slice of samples takes positions"),
        ((slice(None), slice(0, 0)), ValueError, "must have a feature"),
    ],
)
def test_bad_keys(table, key, error, message):
    with pytest.raises(error, match=message):
        table[key]


def test_pixels_have_no_names(images):
    with pytest.raises(ValueError, match="no names"):
        images[:, "age"]


def test_names_that_several_features_share_select_none():
    exp = Explanation([[1.0, 2.0, 3.0]], feature_names=["a", "a", "b"])
    assert exp[:, "b"].values.item() == 3.0
    with pytest.raises(ValueError, match="Several features are called 'a'"):
        exp[:, "a"]
