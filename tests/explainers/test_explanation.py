"""Explanation: axes, slicing, aggregation, and every way out."""

from __future__ import annotations

import copy
import io
import pickle
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sknninterp.explainers.explanation import Explanation, aggregate_importances

FEATURES = ["age", "sex", "glucose", "dose"]
OUTPUTS = ["benign", "malignant", "unclear"]

finite = st.floats(-1e6, 1e6, allow_nan=False, width=32)
values_3d = arrays(np.float64, array_shapes(min_dims=3, max_dims=3, max_side=5), elements=finite)


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
        feature_names=FEATURES,
        output_names=OUTPUTS,
        base_values=rng.normal(size=(6, 3)),
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


def assert_same(one, other):
    """Assert that two explanations hold the same, types included."""
    for name in ("values", "data", "feature_names", "output_names", "base_values", "sample_names"):
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


# Axes ------------------------------------------------------------------------------------------


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
    for name in ("values", "data", "feature_names", "output_names", "base_values", "sample_names"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(table, name)[0] = 0
        with pytest.raises(AttributeError):
            setattr(table, name, None)


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
        (np.ones((2, 3)), {"target": ["a", "b", "c"]}, "target must hold 2 entries"),
    ],
)
def test_bad_parts_are_named(values, options, message):
    with pytest.raises(ValueError, match=message):
        Explanation(values, **options)


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
def test_copies(table, duplicate):
    assert_same(duplicate(table), table)


# Slicing ---------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("rows", [slice(1, 5, 2), [4, 0], np.arange(6) % 2 == 0, []])
def test_everything_about_a_sample_moves_with_it(table, rows):
    selected = table[rows]
    expected = pd.RangeIndex(6)[rows]
    assert selected.sample_names.tolist() == [f"patient {i}" for i in expected]
    assert selected.data.tolist() == [table.data[i].tolist() for i in expected]
    assert selected.base_values.tolist() == [table.base_values[i].tolist() for i in expected]


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


# Importances -----------------------------------------------------------------------------------


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
    from sknninterp.explainers import _explanation_export

    values = np.random.default_rng(0).normal(size=(50, 4, 2))
    whole = aggregate_importances(values, has_outputs=True)
    monkeypatch.setattr(_explanation_export, "_BLOCK_SIZE", 24)
    np.testing.assert_allclose(aggregate_importances(values, has_outputs=True), whole, rtol=1e-14)


def test_importances_are_named(table, images):
    importances = table.importances("malignant")
    assert importances.index.tolist() == FEATURES and importances.name == "importance"
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
        f"mean_value[{label}]" for label in OUTPUTS
    ]
    best = table.importances().sort_values(ascending=False)[:2]
    assert top["rank"].tolist() == [1, 2]
    assert top["feature"].tolist() == best.index.tolist()
    np.testing.assert_array_equal(top["importance"], best)
    for label in OUTPUTS:
        means = table[:, top["feature"].tolist(), label].values.mean(axis=0)
        np.testing.assert_allclose(top[f"mean_value[{label}]"], means)


def test_top_of_one_sample_shows_value_and_data(table):
    top = table["patient 1"].top(10, output="unclear")
    assert top.columns.tolist() == ["rank", "feature", "importance", "value", "data"]
    assert len(top) == 4
    rows = top.set_index("feature")
    assert rows.loc["sex", "data"] == "m" and rows.loc["age", "data"] == 61
    np.testing.assert_array_equal(rows.loc[FEATURES, "value"], table.values[1, :, 2])


def test_top_breaks_ties_in_the_order_of_features():
    assert Explanation(np.zeros((2, 3))).top(3)["feature"].tolist() == ["x0", "x1", "x2"]


def test_top_pixels_are_positions(images):
    top = images.top(3)
    assert top["feature"][0] == np.unravel_index(images.importances().argmax(), (2, 5, 4))


@pytest.mark.parametrize("k", [0, -1, 2.5, True, "3"])
def test_top_needs_a_positive_integer(table, k):
    with pytest.raises(ValueError, match="k must be an integer of at least 1"):
        table.top(k)


# Frames ----------------------------------------------------------------------------------------


def test_long_frame_has_every_number(table):
    frame = table.to_frame()
    assert frame.columns.tolist() == ["sample", "output", "feature", "value", "data"]
    assert len(frame) == table.values.size
    for row in (0, 13, 50, 71):
        cell = frame.iloc[row]
        chosen = table[cell["sample"], cell["feature"], cell["output"]]
        assert chosen.values.item() == cell["value"]
        assert chosen.data.item() == cell["data"] or pd.isna(cell["data"])
    assert frame["output"].tolist()[:12] == np.repeat(OUTPUTS, 4).tolist()


def test_wide_frame_is_the_matrix(table):
    frame = table.to_frame(wide=True, output="benign")
    assert frame.columns.tolist() == FEATURES
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


# shap ------------------------------------------------------------------------------------------


def test_to_shap_holds_the_same(table):
    shap = pytest.importorskip("shap")
    converted = table.to_shap()
    assert isinstance(converted, shap.Explanation)
    np.testing.assert_array_equal(converted.values, table.values)
    np.testing.assert_array_equal(converted.base_values, table.base_values)
    assert isinstance(converted.data, np.ndarray)
    assert (converted.data[:, 0] == table.data[:, 0]).all()
    assert list(converted.feature_names) == FEATURES
    assert list(converted.output_names) == OUTPUTS
    one = converted[2, :, 1]
    np.testing.assert_array_equal(one.values, table[2, :, "malignant"].values[0])
    assert one.base_values == table.base_values[2, 1]
    converted.values[:] = 0
    assert table.values.any()


def test_to_shap_without_base_values_starts_from_zero(table, images):
    pytest.importorskip("shap")
    exp = Explanation(table.values[..., 0], feature_names=FEATURES, output_names="yes")
    np.testing.assert_array_equal(exp.to_shap().base_values, np.zeros(6))
    assert images.to_shap().base_values.shape == (3, 2)


def test_to_shap_without_shap(table, monkeypatch):
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(ImportError, match=r"pip install sknninterp\[compare\]"):
        table.to_shap()


# Files -----------------------------------------------------------------------------------------


def test_round_trip(table, images, tmp_path):
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
def test_round_trip_of_data_types(data, tmp_path):
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
        elements=finite,
    )
)
def test_round_trip_is_exact(values, tmp_path_factory):
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


def test_damaged_files(tmp_path):
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


# Plots -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bar", "beeswarm", "heatmap", "waterfall"])
def test_plots_of_tables_return_axes_with_own_labels(table, kind):
    ax = getattr(table.plot, kind)(output="malignant", max_display=3, title="Title")
    assert isinstance(ax, Axes)
    texts = [a.get_ylabel() + a.get_xlabel() for a in ax.figure.axes]
    assert any("contribution (PWP) towards malignant" in text for text in texts)
    assert "SHAP" not in "".join(texts)
    ax.figure.savefig(io.BytesIO())
    own = Figure().subplots()
    assert getattr(table.plot, kind)(ax=own, output="benign") is own


def test_bar_stacks_all_outputs(table):
    ax = table.plot.bar()
    assert [t.get_text() for t in ax.get_legend().get_texts()] == OUTPUTS
    total = sum(patch.get_width() for patch in ax.patches)
    assert total == pytest.approx(1)
    importances = table.importances().sort_values(ascending=False)
    assert [t.get_text() for t in ax.get_yticklabels()] == importances.index.tolist()
    widths = [sum(bars.patches[0].get_width() for bars in ax.containers)]
    assert widths[0] == pytest.approx(importances.iloc[0])


@pytest.mark.parametrize("kind", ["beeswarm", "heatmap", "waterfall"])
def test_several_outputs_need_a_choice_but_two_show_the_last(table, kind):
    with pytest.raises(ValueError, match="output is needed.*'benign', 'malignant', 'unclear'"):
        getattr(table.plot, kind)()
    ax = getattr(table[..., :2].plot, kind)()
    texts = "".join(a.get_ylabel() + a.get_xlabel() for a in ax.figure.axes)
    assert "towards malignant" in texts


def test_waterfall_shows_one_sample(table):
    ax = table.plot.waterfall("patient 4", output="unclear")
    assert ax.get_title() == "sample patient 4"
    widths = sorted(patch.get_width() for patch in ax.patches)
    np.testing.assert_allclose(widths, sorted(table.values[4, :, 2]))
    with pytest.raises(ValueError, match="single position or name"):
        table.plot.waterfall([0, 1], output="unclear")


def test_own_targets_are_in_the_label():
    exp = Explanation([[1.0], [2.0]], target=["a", "b"])
    assert exp.plot.beeswarm().get_xlabel() == "contribution towards each sample's own output"
    number = Explanation([[1.0]], output_names=1)
    assert number.plot.waterfall().get_xlabel() == "contribution towards output 1"


def test_image_plots(images):
    figure = images.plot.image(max_display=2)
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 2 * 3 + 1
    own = Figure().subplots()
    assert images[0].plot.image(output=7, ax=own) is own


def test_plots_of_the_wrong_kind(table, images):
    with pytest.raises(ValueError, match="plot.image draws images"):
        table.plot.image()
    for kind in ("bar", "beeswarm", "heatmap", "waterfall"):
        with pytest.raises(ValueError, match=f"plot.{kind} draws tables.*use plot.image"):
            getattr(images.plot, kind)()
