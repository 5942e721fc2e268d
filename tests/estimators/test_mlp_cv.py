"""The search over embeddings and penalties."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknninterp import (
    ANTClassifier,
    GradientXInputExplainer,
    PWPExplainer,
    TorchMLPClassifier,
    TorchMLPClassifierCV,
    TorchMLPRegressor,
    TorchMLPRegressorCV,
)
from sknninterp.estimators.mlp_cv import default_network

QUICK = {"hidden_layer_sizes": (16,), "max_epochs": 25, "lr": 0.02, "optimizer": "adamw"}
EFFECTS = {
    "straight": (lambda X: X[:, 0] - X[:, 1], None),
    "bent": (lambda X: np.cos(3 * X[:, 0]) + np.cos(3 * X[:, 1]), "piecewise"),
}


def table(effect, n_samples=300):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, 12))
    values = EFFECTS[effect][0](X)
    X = pd.DataFrame(X, columns=[f"g{i}" for i in range(12)])
    return X, (values - values.mean()) / values.std()


def searched(effect, **options):
    X, y = table(effect)
    network = make_pipeline(StandardScaler(), TorchMLPClassifier(n_networks=3, **QUICK))
    options = {"cv": 3, "scoring": "roc_auc", "random_state": 0} | options
    return TorchMLPClassifierCV(network, **options).fit(X, np.where(y > 0, "ill", "well"))


@pytest.mark.parametrize("effect", EFFECTS)
def test_the_embedding_that_suits_is_found(effect):
    search = searched(effect, one_standard_error=effect == "straight")
    assert search.best_numeric_embedding_ == EFFECTS[effect][1]
    assert search.best_input_penalty_ > 0
    assert search.best_params_["torchmlpclassifier__input_penalty"] == search.best_input_penalty_
    network = search.best_estimator_[-1]
    assert len(network.networks_) == 3
    assert network.input_penalty == search.best_input_penalty_
    X, y = table(effect)
    assert search.score(X, np.where(y > 0, "ill", "well")) > 0.95
    assert search.classes_.tolist() == ["ill", "well"]
    assert search.predict_proba(X).shape == (300, 2)
    for explainer in (PWPExplainer, GradientXInputExplainer):
        explanation = explainer(search).fit(X).explain(X[:20], target="ill")
        top = np.abs(explanation.values).mean(0).argsort()[-2:]
        assert set(top) == {0, 1}
        assert explanation.spread is not None


def test_values():
    X, y = table("bent")
    search = TorchMLPRegressorCV(TorchMLPRegressor(**QUICK), cv=3, random_state=0).fit(X, y)
    assert search.best_numeric_embedding_ == "piecewise"
    assert search.best_score_ > 0.5
    assert search.predict(X).shape == y.shape
    assert not hasattr(search, "predict_proba")


def test_neurons_are_tuned_too():
    X, y = table("straight", 120)
    search = TorchMLPClassifierCV(ANTClassifier(**QUICK), cv=2, random_state=0).fit(X, y > 0)
    assert search.best_estimator_.layer_sizes_ == [8]


def test_the_simplest_within_one_standard_error():
    X, y = table("straight", 60)
    scores = {
        (None, 0.0): 0.8,
        (None, 0.3): 0.78,
        ("piecewise", 0.0): 0.81,
        ("piecewise", 0.3): 0.81,
    }

    def scorer(network, X, y):
        # Folds of .02 more and less: an error of .02.
        mean = scores[network.numeric_embedding, network.input_penalty]
        seen[id(network)] = mean + (0.02 if len(seen) % 2 else -0.02)
        kept.append(network)
        return seen[id(network)]

    chosen = {}
    for rule in (False, True):
        seen, kept = {}, []
        search = TorchMLPClassifierCV(
            TorchMLPClassifier(**QUICK),
            input_penalties=[0.0, 0.3],
            cv=2,
            scoring=scorer,
            one_standard_error=rule,
            refit=False,
        ).fit(X, y > 0)
        chosen[rule] = search.best_numeric_embedding_, search.best_input_penalty_
    assert chosen[False] == ("piecewise", 0.3)  # as good as without a penalty
    assert chosen[True] == (None, 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"numeric_embeddings": []}, "numeric_embeddings"),
        ({"numeric_embeddings": [None, None]}, "numeric_embeddings.*unlike"),
        ({"numeric_embeddings": ["splines"]}, "numeric_embeddings.*'piecewise'"),
        ({"input_penalties": [-1.0]}, "input_penalties"),
        ({"input_penalties": [0.1, 0.1]}, "input_penalties.*unlike"),
        ({"estimator": LogisticRegression()}, "LogisticRegression has no numeric_embedding"),
    ],
)
def test_bad_parameters(options, message):
    X, y = table("straight", 60)
    with pytest.raises(ValueError, match=message):
        TorchMLPClassifierCV(**options).fit(X, y > 0)


def test_before_it_is_fitted():
    search = TorchMLPClassifierCV()
    for name in ("best_input_penalty_", "best_numeric_embedding_", "classes_"):
        with pytest.raises(NotFittedError):
            getattr(search, name)


@pytest.mark.parametrize(("n_samples", "size"), [(40, 32), (400, 50), (5000, 128)])
def test_the_default_network_has_batches_for_its_samples(n_samples, size):
    network = default_network(TorchMLPRegressor, n_samples)[-1]
    assert isinstance(network, TorchMLPRegressor) and network.batch_size == size
    assert network.optimizer == "adamw"


def test_the_default_network_of_wide_tables_ranks_by_what_columns_say(monkeypatch):
    assert default_network(TorchMLPRegressor, 40, 2_001)[-1].optimizer == "adam_mini"
    monkeypatch.setattr("sknninterp.estimators.mlp_cv.MOST_EMBEDDED_COLUMNS", 11)
    X, y = table("bent", 60)
    search = TorchMLPRegressorCV(input_penalties=[0.1], cv=2, random_state=0).fit(X, y)
    assert search.best_estimator_[-1].optimizer == "adam_mini"
    assert np.isfinite(search.predict(X)).all()


def test_a_table_as_it_comes():
    X, y = table("bent")
    X["site"] = np.where(y > 0, "left", "right")
    X.loc[::5, "g3"] = np.nan
    search = TorchMLPClassifierCV(
        numeric_embeddings=[None], input_penalties=[0.4], cv=2, random_state=0
    ).fit(X, y > 0)
    assert search.score(X, y > 0) > 0.95
    assert len(search.best_estimator_[-1].networks_) == 10
    assert search.best_estimator_[-1].batch_size == 300 // 8
    importances = GradientXInputExplainer(search).fit(X).feature_importances_
    assert importances.argmax() == list(X.columns).index("site")


@pytest.mark.parametrize(("most", "tried"), [(12, {None, "piecewise"}), (11, {None})])
def test_bins_of_many_columns_are_not_tried(most, tried, monkeypatch):
    monkeypatch.setattr("sknninterp.estimators.mlp_cv.MOST_EMBEDDED_COLUMNS", most)
    X, y = table("bent", 60)
    search = TorchMLPRegressorCV(
        TorchMLPRegressor(**{**QUICK, "max_epochs": 2}), input_penalties=[0.1], cv=2, refit=False
    ).fit(X, y)
    assert set(search.cv_results_["param_numeric_embedding"]) == tried
