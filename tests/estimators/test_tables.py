"""From tables with categories and missing values to inputs of a network."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from sknninterp import PWPExplainer, TorchMLPClassifier, table_preprocessor
from sknninterp.estimators.tables import MOST_DEVIATIONS


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
    # Dose and its mark for missing values; true and false are numbers.
    assert found.shape == (80, 3 + 1 + 3 + 2)
    np.testing.assert_allclose(found[:, :4].std(0), 1)


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
