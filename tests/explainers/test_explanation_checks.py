"""What an explanation demands of its parts, and the types it keeps."""

from __future__ import annotations

import numpy as np
import pytest

from sknninterp.explainers.explanation import Explanation


def test_array_given_stays_writeable():
    values = np.ones((2, 3))
    Explanation(values)
    values[0, 0] = 5.0


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_float_types_are_kept(dtype):
    assert Explanation(np.ones((2, 3), dtype)).values.dtype == dtype


def test_labels_keep_their_types():
    exp = Explanation(np.ones((1, 1, 3)), output_names=[True, 2, "three"])
    assert [type(label) for label in exp.output_names.tolist()] == [bool, int, str]
    assert type(Explanation([[1.0]], output_names=np.str_("a")).output_names) is str


def test_lists_of_mixed_data_stay_mixed():
    exp = Explanation([[1.0, 2.0]], data=[[54, "f"]])
    assert exp.data.tolist() == [[54, "f"]]


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([1.0, 2.0], {}, r"values must have the axes \(n_samples, n_features\), got shape \(2,\)"),
        (np.ones((2, 3)), {"output_names": ["a", "b", "c"]}, "n_outputs"),
        (np.ones((2, 0)), {}, "must have a feature"),
        ([[1.0, np.nan]], {}, r"values holds 1 NaN or infinite numbers, the first at \(0, 1\)"),
        ([[np.inf, 1.0]], {}, "values holds 1 NaN"),
        ([["a", "b"]], {}, "values must be numbers"),
        (np.ones((2, 3)), {"feature_names": ["a", "b"]}, "feature_names must hold 3 entries.*2"),
        (np.ones((2, 3)), {"feature_names": "abc"}, "feature_names must hold 3 entries"),
        (np.ones((2, 3)), {"sample_names": ["a"]}, "sample_names must hold 2 entries"),
        (np.ones((2, 3, 2)), {"output_names": ["a"]}, "output_names must hold 2 entries"),
        (np.ones((2, 3, 2)), {"output_names": ["a", "a"]}, "must differ"),
        (np.ones((2, 3, 2)), {"feature_names": list("abc")}, "pass output_names as a sequence"),
        (np.ones((2, 3)), {"data": np.ones((3, 2))}, r"data must have shape \(2, 3\).*\(3, 2\)"),
        (np.ones((2, 3)), {"base_values": np.ones((2, 3))}, r"base_values must have shape \(2,\)"),
        (np.ones((2, 3)), {"base_values": [1.0, np.nan]}, "base_values holds 1 NaN"),
        (np.ones((2, 3)), {"gaps": np.ones(3)}, r"gaps must have shape \(2,\)"),
        (np.ones((2, 3)), {"target": ["a", "b", "c"]}, "target must hold 2 entries"),
    ],
)
def test_bad_parts_are_named(values, options, message):
    with pytest.raises(ValueError, match=message):
        Explanation(values, **options)
