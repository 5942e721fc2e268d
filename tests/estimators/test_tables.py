"""From tables with categories and missing values to inputs of a network."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from sknninterp import PWPExplainer, TorchMLPClassifier, table_preprocessor
from sknninterp.estimators.tables import MOST_DEVIATIONS, InformativeImputer


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"age": rng.normal(60, 9, 80), "dose": rng.normal(size=80)})
    X["site"] = rng.choice(["left", "right", None], 80)
    X["smokes"] = rng.random(80) < 0.3
    X["stage"] = pd.Categorical(rng.choice(["I", "II"], 80))
    X.loc[::7, "dose"] = np.nan
    return X


def test_the_average_sample_is_zero(table):
    found = table_preprocessor().fit_transform(table)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-6)
    # Dose and its mark for missing values, as there is no target; true and false are numbers.
    assert found.shape == (80, 3 + 1 + 3 + 2)
    np.testing.assert_allclose(found[:, :4].std(0), 1)


# Gaps of a column tell of which classes, or values, there are; or of nothing.
TARGETS = {
    "names": lambda gaps, rng: np.where(gaps ^ (rng.random(200) < 0.2), "ill", "well"),
    "three classes": lambda gaps, rng: np.where(gaps, 1, rng.integers(0, 3, 200)),
    "numbers": lambda gaps, rng: gaps + rng.normal(size=200),
    "whole numbers": lambda gaps, rng: np.round(40 * gaps + rng.normal(scale=30, size=200)),
    "integers": lambda gaps, rng: np.round(1e4 * (gaps + rng.normal(size=200))).astype(int),
    "two outputs": lambda gaps, rng: np.c_[rng.normal(size=200), gaps + rng.normal(size=200)],
    "true and false": lambda gaps, rng: gaps ^ (rng.random(200) < 0.2),
}


@pytest.mark.parametrize("target", TARGETS)
def test_gaps_are_marked_where_they_tell(target):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 41))
    X[rng.random(X.shape) < 0.3] = np.nan
    X[:, 40] = np.nan  # empty: its gaps are everywhere
    y = TARGETS[target](np.isnan(X[:, 7]), rng)
    imputer = InformativeImputer(add_indicator=True, keep_empty_features=True).fit(X, y)
    marked = imputer.indicator_.features_.tolist()
    assert 7 in marked
    # One in twenty of those that tell nothing, and no more but by chance.
    assert len(marked) <= 1 + 6
    found = imputer.transform(X)
    assert found.shape == (200, 41 + len(marked))
    np.testing.assert_array_equal(found[:, 41:], np.isnan(X[:, marked]))
    names = imputer.get_feature_names_out()
    assert list(names[41:]) == [f"missingindicator_x{i}" for i in marked]
    # Nobody says what they should tell of.
    assert len(InformativeImputer(add_indicator=True).fit(X).indicator_.features_) == 41


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_one_in_twenty_marks_tell_nothing(kind):
    rng = np.random.default_rng(0)
    X = np.where(rng.random((300, 2000)) < 0.3, np.nan, 1.0)
    y = rng.choice(["a", "b", "c"], 300) if kind == "classes" else rng.normal(size=300)
    marked = InformativeImputer(add_indicator=True).fit(X, y).indicator_.features_
    assert 70 < len(marked) < 130


def test_no_gap_is_marked_without_need(table):
    X = table[["age", "dose"]]
    y = np.arange(80) % 2  # the gaps of the dose are one in seven
    pipeline = table_preprocessor()
    assert pipeline.fit_transform(X, y).shape == (80, 2)
    assert pipeline.get_feature_names_out().tolist() == ["age", "dose"]
    assert pipeline.fit_transform(X, X["dose"].isna()).shape == (80, 3)
    assert pipeline.fit_transform(X, np.full(80, "ill")).shape == (80, 2)
    assert pipeline.fit_transform(X.assign(dose=np.nan), y).shape == (80, 2)


def test_values_far_beyond_are_cut():
    X = np.r_[np.zeros(59), 1e-3][:, None]
    fitted = table_preprocessor().fit(X)
    assert fitted.transform([[1e6]]).item() == MOST_DEVIATIONS
    assert fitted.transform([[-1e6]]).item() == -MOST_DEVIATIONS


def test_unknown_categories_are_none(table):
    fitted = table_preprocessor().fit(table)
    new = table.iloc[:1].assign(site="middle")
    found = fitted.transform(new)[0, 4:7]
    shares = table["site"].fillna("missing").value_counts(normalize=True).sort_index()
    np.testing.assert_allclose(found, -shares[["left", "right", "missing"]], atol=1e-6)


def test_rare_categories_are_one():
    X = pd.DataFrame({"code": ["a"] * 50 + ["b"] * 48 + ["c", "d"]})
    assert table_preprocessor(min_frequency=0.05).fit_transform(X).shape == (100, 3)


def test_columns_can_be_said(table):
    codes = pd.DataFrame({"code": [1, 2, 3, 1]})
    assert table_preprocessor([], ["code"]).fit_transform(codes).shape == (4, 3)


@pytest.mark.parametrize("columns", [["age", "dose"], ["site", "stage"], None])
def test_explainers_see_through_it(table, columns):
    X = table[columns or list(table.columns)]
    network = TorchMLPClassifier((8,), max_epochs=3, random_state=0)
    model = make_pipeline(table_preprocessor(), network).fit(X, table["age"] > 60)
    found = PWPExplainer(model).fit(X).explain(X[:5])
    assert list(found.feature_names) == list(X.columns)


def test_frames_of_polars(table):
    polars = pytest.importorskip("polars")
    table = table.astype({"stage": object}).fillna({"site": "none"})
    frame = polars.from_dict(
        {name: column.tolist() for name, column in table.items()}, strict=False
    )
    frame = frame.with_columns(polars.col("dose").fill_nan(None))
    y = (table["age"] > 60).to_numpy()
    model = make_pipeline(
        table_preprocessor(), TorchMLPClassifier((4,), max_epochs=5, random_state=0)
    )
    expected = clone(model).fit(table, y)
    model.fit(frame, polars.Series(y))
    np.testing.assert_allclose(model.predict_proba(frame), expected.predict_proba(table))
    explainer = PWPExplainer(model).fit(frame)
    assert explainer.explain(frame).feature_names.tolist() == list(table)
    assert explainer.set_output(transform="polars").transform(frame).columns == list(table)
    with pytest.raises(ValueError, match="dose"):
        model.predict(frame.drop("dose"))
