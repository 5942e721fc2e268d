"""Importances, tables and shap's objects made of an explanation."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sknninterp.explainers import _explanation_export
from sknninterp.explainers.explanation import Explanation, aggregate_importances

finite = st.floats(-1e6, 1e6, allow_nan=False, width=32)
values_3d = arrays(np.float64, array_shapes(min_dims=3, max_dims=3, max_side=5), elements=finite)


def naive_importances(values, normalize):
    n, d, c = values.shape
    result = [sum(abs(values[s, f, o]) for s in range(n) for o in range(c)) / n for f in range(d)]
    total = sum(result)
    return [r / total for r in result] if normalize and total else result


@settings(deadline=None, max_examples=60)
@given(values=values_3d, normalize=st.booleans())
def test_importances_equal_naive_loops(values, normalize):
    expected = naive_importances(values, normalize)
    result = aggregate_importances(values, has_outputs=True, normalize=normalize)
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=0)
    flat = aggregate_importances(values[..., 0], has_outputs=False, normalize=normalize)
    np.testing.assert_allclose(flat, naive_importances(values[..., :1], normalize), rtol=1e-9)


@settings(deadline=None, max_examples=40)
@given(values=values_3d)
def test_importances_sum_to_one_or_are_all_zero(values):
    importances = Explanation(values, output_names=list(range(values.shape[2]))).importances()
    assert importances.sum() == pytest.approx(1.0 if values.any() else 0.0)
    assert (importances >= 0).all()
    np.testing.assert_array_equal(importances, aggregate_importances(values, has_outputs=True))


def test_importances_of_tiny_values_are_finite():
    importances = aggregate_importances(np.full((3, 4), 5e-324), has_outputs=False)
    np.testing.assert_allclose(importances, 0.25)


def test_importances_do_not_depend_on_the_block_size(monkeypatch):
    values = np.random.default_rng(0).normal(size=(50, 4, 2))
    whole = aggregate_importances(values, has_outputs=True)
    monkeypatch.setattr(_explanation_export, "_BLOCK_SIZE", 24)
    np.testing.assert_allclose(aggregate_importances(values, has_outputs=True), whole, rtol=1e-14)


def test_importances_are_named(table, images):
    importances = table.importances("malignant")
    assert (
        importances.index.tolist() == table.feature_names.tolist()
        and importances.name == "importance"
    )
    magnitudes = np.abs(table.values[..., 1]).mean(axis=0)
    np.testing.assert_allclose(importances, magnitudes / magnitudes.sum())
    assert images.importances().shape == (2, 5, 4)
    assert images.importances(1).sum() == pytest.approx(1)


def test_no_samples_have_no_importance(table):
    with pytest.raises(ValueError, match="no sample"):
        table[:0].importances()


def test_top_ranks_by_importance(table):
    top = table.top(2)
    assert top.columns.tolist() == ["rank", "feature", "importance"] + [
        f"mean_value[{label}]" for label in table.output_names
    ]
    best = table.importances().sort_values(ascending=False)[:2]
    assert top["rank"].tolist() == [1, 2]
    assert top["feature"].tolist() == best.index.tolist()
    np.testing.assert_array_equal(top["importance"], best)
    for label in table.output_names:
        means = table[:, top["feature"].tolist(), label].values.mean(axis=0)
        np.testing.assert_allclose(top[f"mean_value[{label}]"], means)


def test_top_of_one_sample_shows_value_and_data(table):
    top = table["patient 1"].top(10, output="unclear")
    assert top.columns.tolist() == ["rank", "feature", "importance", "value", "data"]
    assert len(top) == 4
    rows = top.set_index("feature")
    assert rows.loc["sex", "data"] == "m" and rows.loc["age", "data"] == 61
    np.testing.assert_array_equal(rows.loc[table.feature_names, "value"], table.values[1, :, 2])


def test_top_breaks_ties_in_the_order_of_features():
    assert Explanation(np.zeros((2, 3))).top(3)["feature"].tolist() == ["x0", "x1", "x2"]


def test_top_pixels_are_positions(images):
    top = images.top(3)
    assert top["feature"][0] == np.unravel_index(images.importances().argmax(), (2, 5, 4))


@pytest.mark.parametrize("k", [0, -1, 2.5, True, "3"])
def test_top_needs_a_positive_integer(table, k):
    with pytest.raises(ValueError, match="k must be an integer of at least 1"):
        table.top(k)


def test_long_frame_has_every_number(table):
    frame = table.to_frame()
    assert frame.columns.tolist() == ["sample", "output", "feature", "value", "data"]
    assert len(frame) == table.values.size
    for row in (0, 13, 50, 71):
        cell = frame.iloc[row]
        chosen = table[cell["sample"], cell["feature"], cell["output"]]
        assert chosen.values.item() == cell["value"]
        assert chosen.data.item() == cell["data"] or pd.isna(cell["data"])
    assert frame["output"].tolist()[:12] == np.repeat(table.output_names, 4).tolist()


def test_wide_frame_is_the_matrix(table):
    frame = table.to_frame(wide=True, output="benign")
    assert frame.columns.tolist() == table.feature_names.tolist()
    assert frame.index.tolist() == table.sample_names.tolist()
    np.testing.assert_array_equal(frame, table.values[..., 0])
    with pytest.raises(ValueError, match="single output.*malignant"):
        table.to_frame(wide=True)


def test_frames_of_images(images):
    long = images.to_frame()
    assert long["feature"][21] == (1, 0, 1) and len(long) == images.values.size
    wide = images.to_frame(wide=True, output=7)
    assert wide.columns[21] == (1, 0, 1)
    np.testing.assert_array_equal(wide, images.values[..., 0].reshape(3, -1))


def test_single_output_has_no_output_column_unless_named():
    exp = Explanation([[1.0, 2.0]])
    assert exp.to_frame().columns.tolist() == ["sample", "feature", "value"]
    named = Explanation([[1.0, 2.0]], output_names=3)
    assert named.to_frame()["output"].tolist() == [3, 3]


def test_to_shap_holds_the_same(table):
    shap = pytest.importorskip("shap")
    converted = table.to_shap()
    assert isinstance(converted, shap.Explanation)
    np.testing.assert_array_equal(converted.values, table.values)
    np.testing.assert_array_equal(converted.base_values, table.base_values)
    assert isinstance(converted.data, np.ndarray)
    assert (converted.data[:, 0] == table.data[:, 0]).all()
    assert list(converted.feature_names) == table.feature_names.tolist()
    assert list(converted.output_names) == table.output_names.tolist()
    one = converted[2, :, 1]
    np.testing.assert_array_equal(one.values, table[2, :, "malignant"].values[0])
    assert one.base_values == table.base_values[2, 1]
    converted.values[:] = 0
    assert table.values.any()


def test_to_shap_without_base_values_starts_from_zero(table, images):
    pytest.importorskip("shap")
    exp = Explanation(table.values[..., 0], output_names="yes")
    np.testing.assert_array_equal(exp.to_shap().base_values, np.zeros(6))
    assert images.to_shap().base_values.shape == (3, 2)


def test_to_shap_without_shap(table, monkeypatch):
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(ImportError, match=r"pip install sknninterp\[compare\]"):
        table.to_shap()
