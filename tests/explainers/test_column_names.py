"""Names of columns before and after transformers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    PolynomialFeatures,
    StandardScaler,
)

from sknninterp.explainers.columns import original_feature_names, transformed_feature_names


class Nameless(TransformerMixin, BaseEstimator):
    """Records no names and puts none out."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X


def test_original_names(frame, labels):
    X = frame[["age", "sex"]]
    encode = make_column_transformer((OneHotEncoder(), ["sex"]), remainder="passthrough")
    pipeline = make_pipeline("passthrough", encode, LogisticRegression()).fit(X, labels)
    union = FeatureUnion([("gone", "drop"), ("encode", encode)]).fit(X)
    for estimator in (pipeline, pipeline[:-1], pipeline.steps, encode, union, [("union", union)]):
        assert original_feature_names(estimator, 2).tolist() == ["age", "sex"]


def test_original_names_are_not_those_of_a_later_step(frame):
    # The first step saw no names; the names that the second saw are the first one's.
    scale = StandardScaler().set_output(transform="pandas")
    pipeline = make_pipeline(scale, MinMaxScaler()).fit(frame[["age", "dose"]].to_numpy())
    assert pipeline[1].feature_names_in_.tolist() == ["x0", "x1"]
    pipeline = make_pipeline(Nameless(), MinMaxScaler()).fit(frame[["age", "dose"]])
    assert original_feature_names(pipeline, 2).tolist() == ["x0", "x1"]


@pytest.mark.parametrize("estimator", [None, [], "passthrough", Pipeline([]), CountVectorizer()])
def test_generated_original_names(estimator):
    assert original_feature_names(estimator, 2).tolist() == ["x0", "x1"]


def test_original_names_of_another_number(frame):
    scaler = StandardScaler().fit(frame[["age", "dose"]])
    with pytest.raises(ValueError, match="n_features is 3, but StandardScaler .* 2 .*'dose'"):
        original_feature_names(scaler, 3)


def test_transformed_names(frame):
    encode = make_column_transformer((OneHotEncoder(), ["sex"]), ("passthrough", ["age"]))
    steps = make_pipeline(encode, StandardScaler()).fit(frame).steps
    expected = ["onehotencoder__sex_f", "onehotencoder__sex_m", "passthrough__age"]
    assert transformed_feature_names(steps, 3).tolist() == expected
    assert transformed_feature_names(Pipeline(steps), 3).tolist() == expected
    assert transformed_feature_names(None, 2, ["a", "b"]).tolist() == ["a", "b"]
    assert transformed_feature_names([], 2, ["a", "b"]).tolist() == ["a", "b"]


def test_transformed_names_where_a_step_has_none(frame):
    one_hot = make_column_transformer((OneHotEncoder(), ["site"]), ("passthrough", ["age"]))
    steps = make_pipeline(FunctionTransformer(), one_hot, FunctionTransformer(np.exp)).fit(frame)
    expected = ["site_0", "site_1", "site_2", "site_3", "age"]
    assert transformed_feature_names(steps, 5).tolist() == expected
    mixed = make_pipeline(FunctionTransformer(np.sin), PCA(2)).fit(frame[["age"]].assign(b=1))
    assert transformed_feature_names(mixed, 2).tolist() == ["transformed0", "transformed1"]


def test_transformed_names_of_the_wrong_number_are_not_used(numbers):
    wrong = FunctionTransformer(np.sin, feature_names_out=lambda *_: ["x0", "x1"]).fit(numbers)
    names = transformed_feature_names(wrong, 3, ["x0", "x1", "x2", "x3"])
    assert names.tolist() == ["transformed0", "transformed1", "transformed2"]


def test_transformed_names_of_shared_and_constant_columns(numbers):
    polynomial = PolynomialFeatures(2).fit(numbers[:, :2])
    nameless = make_pipeline(polynomial, FunctionTransformer(np.exp))
    names = transformed_feature_names(nameless, 6, ["a", "b"])
    assert names.tolist() == ["transformed0", "a_0", "b_0", "a_1", "transformed4", "b_1"]
