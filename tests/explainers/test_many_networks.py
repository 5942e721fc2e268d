"""Explanations of estimators with several networks: means of theirs, with the spread."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import load_wine
from sklearn.feature_selection import SelectFromModel
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sknninterp import (
    ActivationAuxClassifier,
    ANTClassifier,
    Explanation,
    GarsonExplainer,
    GradientXInputExplainer,
    InfluentialScores,
    IntegratedGradientsExplainer,
    OldenExplainer,
    PWPExplainer,
    RepeatedExplainer,
    TorchMLPClassifier,
    TorchMLPRegressor,
    activation_entropy,
)
from sknninterp.evaluation import perturbation_curves, sanity_checks

QUICK = {"hidden_layer_sizes": (8,), "max_epochs": 6, "lr": 0.03, "random_state": 0}
EXPLAINERS = [
    PWPExplainer,
    GarsonExplainer,
    OldenExplainer,
    InfluentialScores,
    GradientXInputExplainer,
    IntegratedGradientsExplainer,
]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(90, 3)), columns=["a", "b", "c"])
    X["site"] = rng.choice(["left", "right"], 90)
    return X, np.where(X["a"] > 0.4, "high", np.where(X["site"] == "left", "low", "mid"))


def pipeline(network):
    numbers, words = (StandardScaler(), ["a", "b", "c"]), (OneHotEncoder(), ["site"])
    return make_pipeline(make_column_transformer(numbers, words), network)


@pytest.fixture(scope="module")
def fitted(data):
    return pipeline(TorchMLPClassifier(n_networks=3, **QUICK)).fit(*data)


@pytest.mark.parametrize("explainer", EXPLAINERS)
def test_means_and_spread_of_each(data, fitted, explainer):
    X, _ = data
    found = explainer(fitted).fit(X)
    each = [explainer(make_pipeline(fitted[:-1], one)).fit(X) for one in fitted[-1].networks_]
    importances = np.array([one.feature_importances_ for one in each])
    assert (np.ptp(importances, axis=0) > 0).any()
    np.testing.assert_allclose(found.feature_importances_, importances.mean(0))
    np.testing.assert_allclose(
        found.importances_, np.mean([one.importances_ for one in each], axis=0)
    )
    assert found.importances_.index.tolist() == ["a", "b", "c", "site"]
    explanation = found.explain(X[:10])
    values = np.array([one.explain(X[:10]).values for one in each])
    np.testing.assert_allclose(explanation.values, values.mean(0), atol=1e-9)
    np.testing.assert_allclose(explanation.spread, values.std(0, ddof=1), atol=1e-9)
    assert explanation.method.endswith("mean of 3")
    np.testing.assert_allclose(
        found.explain(X[:10], target="low").spread, explanation.output("low").spread
    )
    batches = [*found.explain_batches(X[:10], batch_size=4)]
    np.testing.assert_allclose(
        np.concatenate([one.spread for one in batches]), explanation.spread, atol=1e-9
    )


def test_predicted_is_what_they_predict_together(data, fitted):
    X, _ = data
    found = PWPExplainer(fitted).fit(X)
    explanation = found.explain(X, target="predicted")
    predicted = fitted.predict(X)
    assert explanation.target.tolist() == predicted.tolist()
    for label in np.unique(predicted):
        rows = predicted == label
        expected = found.explain(X[rows], target=label)
        np.testing.assert_allclose(explanation.values[rows], expected.values)
        np.testing.assert_allclose(explanation.spread[rows], expected.spread)
    np.testing.assert_allclose(found.transform(X), explanation.values)
    chosen = PWPExplainer(fitted, target="mid").fit(X)
    np.testing.assert_allclose(chosen.transform(X), found.explain(X, target="mid").values)


def test_wherever_the_networks_are(data, fitted):
    X, y = data
    direct = PWPExplainer(fitted).fit(X)
    frozen = PWPExplainer(FrozenEstimator(fitted)).fit(X)
    np.testing.assert_allclose(frozen.feature_importances_, direct.feature_importances_)
    search = GridSearchCV(fitted, {"torchmlpclassifier__lr": [0.03]}, cv=2).fit(X, y)
    np.testing.assert_allclose(
        PWPExplainer(search).fit(X).feature_importances_, direct.feature_importances_
    )
    fits_itself = PWPExplainer(pipeline(TorchMLPClassifier(n_networks=3, **QUICK))).fit(X, y)
    np.testing.assert_allclose(fits_itself.feature_importances_, direct.feature_importances_)
    numbers = X[["a", "b", "c"]]
    regressor = TransformedTargetRegressor(
        TorchMLPRegressor(n_networks=2, **QUICK), transformer=StandardScaler()
    ).fit(numbers, X["a"] ** 2)
    found = GradientXInputExplainer(regressor).fit(numbers)
    assert len(found.explainers_) == 2
    assert found.explain(numbers[:5]).spread.any()
    assert found.predict(numbers).shape == (90,)


def test_as_other_explainers(data, fitted):
    X, y = data
    found = PWPExplainer(fitted).fit(X)
    assert found.score(X, y) == fitted.score(X, y)
    assert found.get_feature_names_out().tolist() == ["a", "b", "c", "site"]
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.explain(X[:5]).spread, found.explain(X[:5]).spread)
    found.set_params(estimator=pipeline(TorchMLPClassifier(**QUICK))).fit(X, y)
    assert not hasattr(found, "explainers_")
    assert found.explain(X[:5]).spread is None
    numbers = X[["a", "b", "c"]].to_numpy()
    selector = SelectFromModel(PWPExplainer(TorchMLPClassifier(n_networks=2, **QUICK)))
    assert selector.fit(numbers, y).get_support().any()
    perturbation_curves(fitted, X, PWPExplainer(fitted).fit(X))


def test_the_spread_of_an_explanation(data, fitted, tmp_path):
    X, _ = data
    explanation = PWPExplainer(fitted).fit(X).explain(X[:6])
    part = explanation[2:4, ["site", "a"], "mid"]
    np.testing.assert_array_equal(part.spread, explanation.spread[2:4][:, [3, 0], 2])
    tidy = part.to_frame()
    assert tidy["spread"].tolist() == part.spread.ravel().tolist()
    assert "spread" not in Explanation(part.values).to_frame()
    explanation.save(tmp_path / "explanation.npz")
    loaded = Explanation.load(tmp_path / "explanation.npz")
    np.testing.assert_array_equal(loaded.spread, explanation.spread)
    for wrong, message in (
        (np.ones((2, 1)), "spread must have the shape"),
        (np.full((2, 2), np.nan), "spread"),
        (-np.ones((2, 2)), "negative"),
    ):
        with pytest.raises(ValueError, match=message):
            Explanation(np.ones((2, 2)), spread=wrong)


def test_a_waterfall_shows_the_spread(data, fitted):
    X, _ = data
    explanation = PWPExplainer(fitted).fit(X).explain(X[:3], target="mid")
    ax = explanation.plot.waterfall(1, max_display=2)
    (whiskers,) = [c for c in ax.containers if isinstance(c, ErrorbarContainer)]
    segments = whiskers.lines[2][0].get_segments()
    order = np.argsort(-np.abs(explanation.values[1]))[:2]
    lengths = sorted(abs(segment[1, 0] - segment[0, 0]) for segment in segments)
    np.testing.assert_allclose(lengths, sorted(2 * explanation.spread[1, order]))


def test_repeats_have_a_spread_too(data):
    X, y = data
    repeated = RepeatedExplainer(
        PWPExplainer(pipeline(TorchMLPClassifier(**QUICK))), n_repeats=3, random_state=0
    ).fit(X, y)
    values = np.array([one.values for one in repeated.explain_all(X[:5])])
    explanation = repeated.explain(X[:5])
    np.testing.assert_allclose(explanation.spread, values.std(0, ddof=1), atol=1e-9)


def test_what_is_asked_of_one_network_is_refused(data, fitted):
    X, y = data
    found = InfluentialScores(fitted).fit(X)
    with pytest.raises(ValueError, match=r"holds 3 networks.*networks_"):
        found.influence(X, "input", "hidden0")
    with pytest.raises(ValueError, match="holds 3 networks"):
        PWPExplainer(fitted).fit(X).interactions()
    assert len(found.explainers_[0].influence(X[:3], "input", "hidden0")) == 3
    with pytest.raises(ValueError, match="holds 3 networks"):
        activation_entropy(fitted, X)
    with pytest.raises(ValueError, match="holds 3 networks"):
        ActivationAuxClassifier(fitted).fit(X, y)
    with pytest.raises(ValueError, match="holds 3 networks"):
        sanity_checks(PWPExplainer(fitted).fit(X), X, y)


def test_tuned_networks(data):
    X, y = data
    found = PWPExplainer(pipeline(ANTClassifier(n_networks=2, **QUICK))).fit(X, y)
    assert found.explain(X[:4]).spread.any()


def test_importance_spread_bounds_what_networks_differ(data, fitted):
    X, _ = data
    explanation = PWPExplainer(fitted).fit(X).explain(X)
    each = [one.explain(X) for one in PWPExplainer(fitted).fit(X).explainers_]
    for chosen in (slice(None), X["a"].to_numpy() > 0):
        total = np.abs(explanation.values[chosen]).mean(0).sum()
        own = [np.abs(one.values[chosen]).mean(0).sum(-1) / total for one in each]
        bound = explanation[chosen].importance_spread()
        assert list(bound.index) == list(X.columns)
        assert (np.std(own, 0, ddof=1) <= bound + 1e-9).all()


def test_attributes_can_be_listed():
    X, y = load_wine(return_X_y=True)
    network = TorchMLPClassifier((4,), max_epochs=1, n_networks=2).fit(X, y)
    assert {"feature_importances_", "explain"} <= set(dir(PWPExplainer(network).fit(X)))
