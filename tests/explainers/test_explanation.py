"""Explanation: its axes and names, and what moves with a selection."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest

from sknninterp.explainers.explanation import Explanation


def test_names_default_to_positions():
    exp = Explanation([[1, 2], [3, 4]])
    assert exp.feature_names.tolist() == ["x0", "x1"]
    assert exp.sample_names.tolist() == [0, 1]
    assert exp.output_names is None and not exp.has_outputs and exp.n_outputs == 1
    assert exp.values.dtype == float
    assert exp.value_label == "contribution"


@pytest.mark.parametrize(
    ("shape", "output_names", "has_outputs", "feature_shape"),
    [
        ((5, 3), None, False, (3,)),
        ((5, 3), "yes", False, (3,)),
        ((5, 3, 1), ["yes"], True, (3,)),
        ((5, 3, 2), np.array([0, 1]), True, (3,)),
        ((5, 8, 9), None, False, (8, 9)),
        ((5, 8, 9, 2), ["no", "yes"], True, (8, 9)),
        ((5, 3, 8, 9), np.int64(4), False, (3, 8, 9)),
    ],
)
def test_output_axis_is_there_if_names_are_a_sequence(
    shape, output_names, has_outputs, feature_shape
):
    exp = Explanation(np.ones(shape), output_names=output_names)
    assert exp.has_outputs is has_outputs
    assert exp.feature_shape == feature_shape
    assert exp.n_features == np.prod(feature_shape)
    assert exp.is_image is (len(feature_shape) > 1)
    assert exp.shape == shape and exp.ndim == len(shape) and len(exp) == 5


def test_asarray_is_the_values(table):
    assert np.asarray(table) is table.values
    np.testing.assert_array_equal(np.asarray(table, dtype=np.float32), table.values.astype("f4"))
    copied = np.array(table)
    copied[:] = 0
    assert table.values.any()


def test_arrays_cannot_be_written_to(table):
    for name in (
        "values",
        "data",
        "feature_names",
        "output_names",
        "base_values",
        "gaps",
        "sample_names",
    ):
        with pytest.raises(ValueError, match="read-only"):
            getattr(table, name)[0] = 0
        with pytest.raises(AttributeError):
            setattr(table, name, None)


def test_repr(table, images):
    assert repr(table) == (
        "Explanation(PWP: 6 samples x 4 features x 3 outputs ['benign', 'malignant', 'unclear'])"
    )
    assert repr(images[0]) == "Explanation(PWP: 1 sample x 2x5x4 pixels x 2 outputs [7, 1])"
    assert repr(table.output("benign")).endswith("4 features, output 'benign')")


def test_html_is_a_table_of_the_top_features_and_escaped(images):
    exp = Explanation([[1.0, 3.0]], feature_names=["<b>", "y"], method="<i>")
    text = exp._repr_html_()
    assert "&lt;b&gt;" in text and "&lt;i&gt;" in text and "<b>" not in text and "<i>" not in text
    assert text.index(">y<") < text.index("&lt;b&gt;")
    assert "<table" not in images._repr_html_()
    assert "0 samples" in exp[:0]._repr_html_()


def test_equality_is_identity_and_hashable(table):
    assert table == table
    assert (table == table[:]) is False
    assert len({table, table}) == 1


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
def test_copies(table, duplicate, assert_same):
    assert_same(duplicate(table), table)


@pytest.mark.parametrize("rows", [slice(1, 5, 2), [4, 0], np.arange(6) % 2 == 0, []])
def test_everything_about_a_sample_moves_with_it(table, rows):
    selected = table[rows]
    expected = pd.RangeIndex(6)[rows]
    assert selected.sample_names.tolist() == [f"patient {i}" for i in expected]
    assert selected.data.tolist() == [table.data[i].tolist() for i in expected]
    assert selected.base_values.tolist() == [table.base_values[i].tolist() for i in expected]
    assert selected.gaps.tolist() == [table.gaps[i].tolist() for i in expected]


def test_targets_of_single_samples_are_sliced():
    exp = Explanation(np.ones((3, 2)), target=["a", "b", "a"])
    assert exp[[2, 1]].target.tolist() == ["a", "b"]
    assert exp.to_frame()["output"].tolist() == ["a", "a", "b", "b", "a", "a"]
    assert Explanation(np.ones((3, 2)), target="predicted")[1:].target == "predicted"


def test_target_of_several_outputs_survives_choosing_one():
    exp = Explanation(np.ones((4, 2, 2)), output_names=["a", "b"], target=["a", "b"])
    assert exp[:3].target == ("a", "b")
    assert exp[..., "b"].target == "b"


def test_iteration_yields_single_samples(table):
    rows = list(table)
    assert len(rows) == 6
    np.testing.assert_array_equal(np.concatenate(rows), table.values)


def test_unknown_output_label(table, images):
    with pytest.raises(ValueError, match="no output 'Malignant': did you mean 'malignant'"):
        table.output("Malignant")
    with pytest.raises(ValueError, match="no output 3: there are '7', '1'"):
        images.output(3)
    single = table.output("benign")
    assert single.output("benign") is single
    with pytest.raises(ValueError, match="no output axis and are about 'benign'"):
        single.output("malignant")
    with pytest.raises(ValueError, match="about one output"):
        Explanation([[1.0]]).output(0)
