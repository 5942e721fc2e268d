"""What can be refitted, on which samples, and what comes of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Lasso, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from torch import nn

from sknninterp import (
    ANTClassifier,
    GarsonExplainer,
    OldenExplainer,
    PWPExplainer,
    TorchMLPClassifier,
)
from sknninterp.estimators._folds import draw_rows
from sknninterp.estimators._network import is_fitted
from sknninterp.evaluation._repeats import (
    check_refits,
    feature_labels,
    fit_at_once,
    fit_repeat,
    fits_at_once,
    importances_of,
)

# --- what can be fitted again -------------------------------------------------------------------

FROZEN = FrozenEstimator(LogisticRegression())


@pytest.mark.parametrize(
    ("explainer", "path"),
    [
        (FROZEN, "explainer is a FrozenEstimator"),
        (PWPExplainer(nn.Linear(2, 2)), "explainer.estimator is a Linear"),
        (PWPExplainer(make_pipeline(StandardScaler(), FROZEN)), r"explainer.estimator.steps\[-1\]"),
        (
            make_pipeline(StandardScaler(), PWPExplainer(FROZEN)),
            r"explainer.steps\[-1\]\[1\].estim",
        ),
        (GridSearchCV(PWPExplainer(FROZEN), {}), "explainer.estimator.estimator is a Frozen"),
        (TransformedTargetRegressor(FROZEN), "explainer.regressor is a FrozenEstimator"),
    ],
    ids=["frozen", "module", "pipeline", "explainer in a pipeline", "search", "target"],
)
def test_what_cannot_be_fitted_again(explainer, path):
    with pytest.raises(ValueError, match=f"{path}.*which cannot be fitted again"):
        check_refits(explainer)


@pytest.mark.parametrize(
    "explainer",
    [
        PWPExplainer(),
        PWPExplainer(TorchMLPClassifier(module=nn.Linear(2, 2))),
        PWPExplainer(make_pipeline(FrozenEstimator(StandardScaler()), ANTClassifier())),
        RandomForestClassifier(),
        GridSearchCV(make_pipeline("passthrough", LogisticRegression()), {}),
    ],
    ids=["default", "module", "frozen scaler", "forest", "search"],
)
def test_what_can_be_fitted_again(explainer):
    check_refits(explainer)


# --- one repeat ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data():
    return make_classification(60, 5, random_state=0)


def fit(explainer, X, y, number=0, seed=0, resampling="seed", one_thread=False):
    return fit_repeat(number, seed, explainer, X, y, resampling, 0.5, True, one_thread)


def test_everything_inside_is_seeded(data):
    template = PWPExplainer(TorchMLPClassifier((4,), max_epochs=2))
    one, two, other = (fit(template, *data, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.feature_importances_, two.feature_importances_)
    assert not np.allclose(one.feature_importances_, other.feature_importances_)
    assert not hasattr(template, "estimator_")
    assert template.random_state is None
    assert one.estimator_.random_state is not None


def test_what_is_seeded_by_torch_alone_is_seeded_too(data, global_rng_untouched):
    class Drawn(LogisticRegression):
        def fit(self, X, y):
            super().fit(X, y)
            self.coef_ = torch.rand(1, X.shape[1]).numpy()
            return self

    one, two, other = (fit(Drawn(), *data, seed=seed).coef_ for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert not np.allclose(one, other)


def test_frames_lists_and_series_are_resampled(data):
    X, y = data
    forms = [(X, y), (pd.DataFrame(X), pd.Series(y, index=range(100, 160))), (X, y.tolist())]
    found = [fit(LogisticRegression(), *form, resampling="bootstrap").coef_ for form in forms]
    np.testing.assert_allclose(found[1], found[0])
    np.testing.assert_allclose(found[2], found[0])
    rows = draw_rows("bootstrap", 1.0, 60, y, np.random.RandomState(0))
    np.testing.assert_allclose(found[0], LogisticRegression().fit(X[rows], y[rows]).coef_)


PIPELINE = make_pipeline(
    StandardScaler(), SelectKBest(k=3), ANTClassifier((8, 5), max_epochs=6, lr=0.02)
)


@pytest.mark.parametrize("resampling", ["seed", "bootstrap", "subsample"])
@pytest.mark.parametrize(
    "explainer",
    [
        PWPExplainer(TorchMLPClassifier((8,), max_epochs=4, batch_size=32), random_state=3),
        OldenExplainer(ANTClassifier((8,), max_epochs=6)),
        GarsonExplainer(PIPELINE),
    ],
    ids=lambda explainer: explainer.method,
)
def test_all_at_once_as_one_after_the_other(data, explainer, resampling):
    X, y = data
    X = pd.DataFrame(X, columns=[f"gene {i}" for i in range(X.shape[1])])
    options = {"X": X, "y": y, "resampling": resampling, "share": 0.6, "stratified": True}
    assert fits_at_once(explainer)
    found = list(fit_at_once([5, 6, 7], explainer, **options))
    for number, one in enumerate(found):
        other = fit_repeat(number, 5 + number, explainer, one_thread=True, **options)
        np.testing.assert_allclose(one.feature_importances_, other.feature_importances_, atol=1e-10)
        np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-10)
        assert one.feature_names_in_.tolist() == other.feature_names_in_.tolist()
        assert one.get_params(deep=False).keys() == other.get_params(deep=False).keys()
        assert not is_fitted(one.estimator)
    assert not np.allclose(found[0].feature_importances_, found[1].feature_importances_)


def test_pipelines_that_make_different_numbers_of_columns(data):
    """A bootstrap may lack a category: such networks are in stacks of their own."""
    X = pd.DataFrame({"site": list("abcdefgh") * 3, "age": np.arange(24.0)})
    y = np.arange(24) % 2
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["site"]),
        remainder="passthrough",
    )
    explainer = PWPExplainer(make_pipeline(encode, TorchMLPClassifier((4,), max_epochs=3)))
    options = {"X": X, "y": y, "resampling": "bootstrap", "share": 0.5, "stratified": True}
    seeds = range(8)
    found = list(fit_at_once(seeds, explainer, **options))
    assert len({one.estimator_[-1].n_features_in_ for one in found}) > 1
    for seed, one in zip(seeds, found, strict=True):
        other = fit_repeat(seed, seed, explainer, one_thread=True, **options)
        np.testing.assert_allclose(one.feature_importances_, other.feature_importances_, atol=1e-10)


def test_what_is_not_fitted_at_once():
    for explainer in (
        RandomForestClassifier(),
        PWPExplainer(TorchMLPClassifier(dropout=0.5)),
        PWPExplainer(GridSearchCV(TorchMLPClassifier(), {"lr": [0.1]})),
        PWPExplainer(make_pipeline(StandardScaler(), TorchMLPClassifier(), memory="cache")),
    ):
        assert not fits_at_once(explainer)


def test_an_error_tells_the_repeat(data):
    with pytest.raises(ValueError, match="NaN") as caught:
        fit(LogisticRegression(), np.full((60, 2), np.nan), data[1], number=7)
    assert caught.value.__notes__ == ["This was in repeat 7."]


@pytest.mark.parametrize("one_thread", [True, False])
def test_threads(data, one_thread):
    class Counted(LogisticRegression):
        def fit(self, X, y):
            self.threads_ = torch.get_num_threads()
            return super().fit(X, y)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert fit(Counted(), *data, one_thread=one_thread).threads_ == (1 if one_thread else 2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# --- what it found ------------------------------------------------------------------------------


def test_importances_are_magnitudes_that_sum_to_1(data):
    X, y = data
    three = LogisticRegression().fit(X, y + (X[:, 0] > 0))
    expected = np.abs(three.coef_).sum(0)
    np.testing.assert_allclose(importances_of(three), expected / expected.sum())
    lasso = Lasso(alpha=0.1).fit(X, -X[:, 0])
    np.testing.assert_allclose(importances_of(lasso), [1, 0, 0, 0, 0], atol=1e-12)
    assert importances_of(Lasso(alpha=100).fit(X, y)).tolist() == [0] * 5
    forest = RandomForestClassifier(3).fit(X, y)
    np.testing.assert_allclose(importances_of(forest), forest.feature_importances_)


def test_importances_of_images_keep_their_shape():
    class Images:
        feature_importances_ = np.arange(12.0).reshape(3, 4)

        def explain(self):
            pass

    found = importances_of(Images())
    np.testing.assert_allclose(found, np.arange(12).reshape(3, 4) / 66)
    assert feature_labels(Images(), found, ()).tolist() == [*np.ndindex(3, 4)]


def test_where_importances_are_found(data):
    X, y = data
    pipeline = make_pipeline(StandardScaler(), SelectKBest(k=2), LogisticRegression()).fit(X, y)
    search = GridSearchCV(pipeline, {"logisticregression__C": [1.0]}, cv=2).fit(X, y)
    expected = np.abs(pipeline[-1].coef_[0]) / np.abs(pipeline[-1].coef_).sum()
    np.testing.assert_allclose(importances_of(pipeline), expected)
    np.testing.assert_allclose(importances_of(search), expected)
    scores = importances_of(pipeline, lambda fitted: fitted[1].scores_)
    np.testing.assert_allclose(scores, pipeline[1].scores_ / pipeline[1].scores_.sum())
    named = importances_of(pipeline, "named_steps.logisticregression.coef_")
    np.testing.assert_allclose(named, expected)
    with pytest.raises(ValueError, match="should have `coef_` or `feature_importances_`"):
        importances_of(SVC().fit(X, y))


def test_importances_that_are_not_finite():
    lasso = Lasso()
    lasso.coef_ = np.array([1.0, np.nan, np.inf])
    with pytest.raises(ValueError, match="Lasso: 2 of 3 importances are NaN"):
        importances_of(lasso)


def test_names_of_features(data):
    X = pd.DataFrame(data[0], columns=["age", "bmi", "dose", "site", "sex"])
    y = data[1]
    X["site"] = np.where(X["site"] > 0, "a", "b")

    def labels(explainer):
        explainer.fit(X, y)
        return feature_labels(explainer, importances_of(explainer), X.columns).tolist()

    encode = make_column_transformer(
        (OneHotEncoder(), ["site"]), remainder="passthrough", verbose_feature_names_out=False
    )
    encoded = ["site_a", "site_b", "age", "bmi", "dose", "sex"]
    pipeline = make_pipeline(encode, LogisticRegression())
    assert labels(pipeline) == encoded
    assert labels(GridSearchCV(pipeline, {}, cv=2)) == encoded
    network = make_pipeline(encode, TorchMLPClassifier((3,), max_epochs=1))
    assert labels(PWPExplainer(network)) == list(X.columns)
    assert labels(PWPExplainer(network, columns="transformed")) == encoded
    X = X.drop(columns="site")
    assert labels(LogisticRegression()) == list(X.columns)
    # Columns turned round by a step that names none must not have the names of others.
    turned = make_pipeline(FunctionTransformer(lambda X: X.iloc[:, ::-1]), LogisticRegression())
    assert labels(turned) == ["x0", "x1", "x2", "x3"]
