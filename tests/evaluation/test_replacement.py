"""What replaces a removed feature: means, draws, and draws from neighbours found in a loop."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sknninterp.evaluation import _replacement
from sknninterp.evaluation._replacement import N_NEIGHBOURS, Replacement


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    n_rows = 30
    return pd.DataFrame(
        {
            "age": rng.integers(20, 80, n_rows),
            "dose": np.where(rng.uniform(size=n_rows) < 0.2, np.nan, rng.exponential(size=n_rows)),
            "sex": pd.Categorical(["f", "f", "m"] * 10),
            "site": ["b", "a", "a", "b", "a", None] * 5,
            "smoker": np.arange(n_rows) % 4 == 1,
        },
        index=[f"p{i}" for i in range(n_rows)],
    )


def random_mask(shape, seed=0):
    return np.random.default_rng(seed).uniform(size=shape) < 0.5


# --- means --------------------------------------------------------------------------------------


def test_mean_of_an_array():
    X = np.array([[1.0, 10.0], [3.0, np.nan], [8.0, 20.0]])
    removed = np.array([[True, False], [False, True], [True, True]])
    found = Replacement("mean", X)(removed)
    np.testing.assert_array_equal(found, [[4, 10], [3, 15], [4, 15]])


def test_mean_of_a_frame_is_the_mode_where_there_are_no_numbers(frame):
    found = Replacement("mean", frame)(np.ones(frame.shape, bool))
    assert found["age"].unique() == pytest.approx([frame["age"].mean()])
    assert found["dose"].unique() == pytest.approx([frame["dose"].mean()])
    assert found["sex"].unique().tolist() == ["f"]
    assert found["site"].unique().tolist() == ["a"]
    assert found["smoker"].unique().tolist() == [False]
    assert found.index.equals(frame.index)
    assert found["sex"].dtype == frame["sex"].dtype
    assert found["smoker"].dtype == bool


def test_mean_is_of_the_background():
    found = Replacement("mean", np.zeros((2, 1)), background=[[4.0], [6.0], [11.0]])
    assert found(np.array([[True], [False]])).tolist() == [[7], [0]]


def test_mode_of_equally_frequent_values_is_the_first_one():
    frame = pd.DataFrame({"x": ["b", "a", "b", "a", "c"]})
    found = Replacement("mean", frame)(np.ones((5, 1), bool))
    assert found["x"].unique().tolist() == ["b"]


def test_integers_become_floats_rather_than_rounded_means():
    for X in (np.array([[1], [2]]), pd.DataFrame({"x": [1, 2]})):
        found = np.asarray(Replacement("mean", X)(np.ones((2, 1), bool)))
        assert found.tolist() == [[1.5], [1.5]]


def test_empty_columns_stay_empty():
    frame = pd.DataFrame({"x": [np.nan, np.nan], "y": pd.Series([None, None], dtype=object)})
    found = Replacement("mean", frame)(np.ones((2, 2), bool))
    assert found.isna().all(axis=None)
    found = Replacement("mean", frame[["x"]].to_numpy())(np.ones((2, 1), bool))
    assert np.isnan(found).all()


def test_objects_in_an_array_are_taken_column_by_column():
    X = np.array([[1, "u"], [3, "u"], [8, "v"]], dtype=object)
    assert Replacement("mean", X)(np.ones((3, 2), bool)).tolist() == [[4, "u"]] * 3


# --- draws --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sample", "conditional"])
def test_replaced_features_come_from_one_other_sample(kind):
    X = np.arange(40.0).reshape(20, 2)  # the rows' values are all different
    for seed in range(5):
        found = Replacement(kind, X, random_state=seed)(np.ones((20, 2), bool))
        rows = (found[:, 0] / 2).astype(int)
        np.testing.assert_array_equal(found, X[rows])
        assert (rows != np.arange(20)).all()


@pytest.mark.parametrize("kind", ["sample", "conditional"])
def test_everything_is_drawn_from_the_whole_background(kind):
    X, background = np.zeros((400, 1)), np.arange(1.0, 31.0)[:, None]
    found = Replacement(kind, X, background, random_state=0)(np.ones((400, 1), bool))
    assert set(found.ravel()) == set(background.ravel())


def test_own_draws_reach_all_others():
    X = np.arange(3.0)[:, None]
    pairs = set()
    for seed in range(50):
        found = Replacement("sample", X, random_state=seed)(np.ones((3, 1), bool)).ravel()
        pairs |= set(enumerate(found.tolist()))
    assert pairs == {(i, float(j)) for i in range(3) for j in range(3) if i != j}


def test_a_sample_keeps_its_donor_from_step_to_step():
    X = np.random.default_rng(0).normal(size=(15, 4))
    replacement = Replacement("sample", X, random_state=0)
    everything = replacement(np.ones((15, 4), bool))
    for seed in range(3):
        removed = random_mask((15, 4), seed)
        np.testing.assert_array_equal(replacement(removed), np.where(removed, everything, X))


def naive_neighbours(X, background, removed, own):
    """Rows of the background that each sample may be given values of."""
    found = []
    for i in range(len(X)):
        distances = {}
        for b in range(len(background)):
            if own and b == i:
                continue
            total = 0.0
            for j in range(X.shape[1]):
                if not removed[i, j]:
                    total += (X[i, j] - background[b, j]) ** 2 / background[:, j].std() ** 2
            distances[b] = total
        limit = sorted(distances.values())[min(N_NEIGHBOURS, len(distances)) - 1]
        found.append({b for b, distance in distances.items() if distance <= limit + 1e-9})
    return found


@pytest.mark.parametrize("own", [True, False], ids=["own", "background"])
def test_conditional_values_come_from_the_nearest_in_what_is_kept(own):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(25, 4)) * [1, 10, 0.1, 3]
    background = X if own else rng.normal(size=(40, 4)) * [1, 10, 0.1, 3]
    removed = random_mask(X.shape)
    removed[:, 0] = True
    candidates = naive_neighbours(X, background, removed, own)
    seen = [set() for _ in X]
    for seed in range(60):
        given = None if own else background
        found = Replacement("conditional", X, given, random_state=seed)(removed)
        np.testing.assert_array_equal(found[~removed], X[~removed])
        for i in range(len(X)):
            (row,) = np.flatnonzero(background[:, 0] == found[i, 0])
            np.testing.assert_array_equal(found[i, removed[i]], background[row, removed[i]])
            seen[i].add(int(row))
    for i in range(len(X)):
        assert seen[i] <= candidates[i]
        assert len(seen[i]) > N_NEIGHBOURS / 2


def test_batches_of_distances_change_nothing(monkeypatch):
    X = np.random.default_rng(0).normal(size=(25, 4))
    removed = random_mask(X.shape)
    whole = Replacement("conditional", X, random_state=0)(removed)
    monkeypatch.setattr(_replacement, "_MOST_DISTANCES", 80)
    np.testing.assert_array_equal(Replacement("conditional", X, random_state=0)(removed), whole)


def test_categories_are_alike_or_not(frame):
    large = pd.concat([frame] * 20, ignore_index=True)
    columns = ["sex", "site", "smoker", "age"]
    removed = np.zeros((len(large), 4), bool)
    removed[:, 3] = True
    found = Replacement("conditional", large[columns], random_state=0)(removed)
    keys = ["sex", "site", "smoker"]
    ages = large.fillna({"site": "missing"}).groupby(keys, observed=True)["age"].agg(set)
    for row in found.fillna({"site": "missing"}).itertuples(index=False):
        assert row.age in ages[row.sex, row.site, row.smoker]


def test_conditional_draws_keep_a_correlation_that_others_lose():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 1))
    X = np.hstack([x, x + 0.1 * rng.normal(size=(500, 1))])
    removed = np.zeros(X.shape, bool)
    removed[:, 1] = True
    found = {k: Replacement(k, X, random_state=0)(removed) for k in ("sample", "conditional")}
    correlations = {kind: np.corrcoef(values.T)[0, 1] for kind, values in found.items()}
    assert abs(correlations["sample"]) < 0.2
    assert correlations["conditional"] > 0.95


# --- forms of X ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", _replacement.REPLACEMENTS)
def test_nothing_removed_is_x(kind, frame):
    found = Replacement(kind, frame, random_state=0)(np.zeros(frame.shape, bool))
    pd.testing.assert_frame_equal(found, frame)


@pytest.mark.parametrize("kind", _replacement.REPLACEMENTS)
def test_mixed_frames_are_replaced_cell_by_cell(kind, frame):
    removed = random_mask(frame.shape)
    replacement = Replacement(kind, frame, random_state=0)
    found = replacement(removed)
    assert list(found.columns) == list(frame.columns)
    kept = found.where(~removed).astype(object)
    pd.testing.assert_frame_equal(kept, frame.where(~removed).astype(object), check_dtype=False)
    if kind == "sample":
        everything = replacement(np.ones(frame.shape, bool)).astype(object)
        replaced = everything.where(removed)
        pd.testing.assert_frame_equal(found.astype(object).where(removed), replaced)


@pytest.mark.parametrize("kind", ["sample", "conditional"])
def test_rows_of_a_mixed_frame_come_from_one_other_sample(kind, frame):
    frame = frame.assign(number=np.arange(30.0))
    found = Replacement(kind, frame, random_state=0)(np.ones(frame.shape, bool))
    rows = found["number"].to_numpy().astype(int)
    assert (rows != np.arange(30)).all()
    expected = frame.iloc[rows].set_axis(frame.index)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_distances_by_hand():
    frame = pd.DataFrame({"x": [0.0, 2.0, np.nan], "site": ["a", "b", None]})  # sd 1 about 1
    space, kept = _replacement._Space(frame, frame), np.ones((3, 2), bool)
    expected = np.array([[0, 5, 2], [5, 0, 2], [2, 2, 0]])
    np.testing.assert_allclose(space.distances(slice(3), kept), expected)
    np.testing.assert_allclose(space.distances(slice(1, 2), kept[1:2]), expected[1:2])
    kept[:, 0] = False
    np.testing.assert_allclose(space.distances(slice(3), kept), 1 - np.eye(3))
    unseen = _replacement._Space(pd.DataFrame({"x": [3.0], "site": ["c"]}), frame)
    np.testing.assert_allclose(unseen.distances(slice(1), kept[:1]), [[1, 1, 0]])


@pytest.mark.parametrize("kind", _replacement.REPLACEMENTS)
def test_frames_of_numbers_agree_with_arrays(kind):
    X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    removed = random_mask(X.shape)
    found = Replacement(kind, pd.DataFrame(X, columns=list("abc")), random_state=0)(removed)
    assert set(found.dtypes) == {np.dtype(np.float32)}
    np.testing.assert_array_equal(found, Replacement(kind, X, random_state=0)(removed))


def test_nullable_numbers():
    frame = pd.DataFrame({"x": pd.array([1, None, 4], "Int64"), "y": [1.0, 2.0, 30.0]})
    found = Replacement("mean", frame)(np.ones((3, 2), bool))
    assert found["x"].tolist() == [2.5] * 3
    removed = np.array([[False, True]] * 3)
    found = Replacement("conditional", frame, random_state=0)(removed)
    assert found["x"].dtype == "Int64"


@pytest.mark.parametrize("kind", _replacement.REPLACEMENTS)
def test_images_are_tables_of_their_pixels(kind):
    X = np.random.default_rng(0).normal(size=(12, 2, 3, 3)).astype(np.float32)
    removed = random_mask((12, 18))
    found = Replacement(kind, X, random_state=0)(removed)
    flat = Replacement(kind, X.reshape(12, -1), random_state=0)(removed)
    assert found.dtype == np.float32
    assert found.shape == X.shape
    np.testing.assert_array_equal(found.reshape(12, -1), flat)


def test_single_precision_stays_beside_a_double_background():
    X = np.zeros((3, 2), np.float32)
    for kind in _replacement.REPLACEMENTS:
        found = Replacement(kind, X, np.ones((4, 2)), random_state=0)(np.ones((3, 2), bool))
        assert found.dtype == np.float32


def test_sparse_tables_become_dense():
    X = np.array([[0.0, 2.0], [4.0, 0.0]])
    found = Replacement("mean", sparse.csr_matrix(X))(np.ones((2, 2), bool))
    assert found.tolist() == [[2, 1], [2, 1]]


def test_x_is_left_as_it_was(frame):
    before = frame.copy()
    Replacement("mean", frame)(np.ones(frame.shape, bool))
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "zero", "X": np.eye(2)}, "replacement='zero' is not one of"),
        ({"kind": "sample", "X": np.eye(1)}, "X has only one"),
        ({"kind": "mean", "X": np.eye(2), "background": np.eye(3)}, r"samples of shape \(3,\)"),
        ({"kind": "mean", "X": np.eye(2), "background": pd.DataFrame(np.eye(2))}, "is not like X"),
        (
            {
                "kind": "mean",
                "X": pd.DataFrame({"a": [1], "b": [2]}),
                "background": pd.DataFrame({"b": [1], "a": [2]}),
            },
            "in another order",
        ),
    ],
    ids=["kind", "one", "width", "type", "order"],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        Replacement(**options)
