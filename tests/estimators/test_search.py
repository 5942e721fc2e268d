"""What searches have in common: candidates, stacks of those alike, and the list of numbers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.model_selection import GridSearchCV

from sknninterp import (
    TorchMLPClassifier,
    TorchMLPClassifierCV,
    TorchMLPRegressor,
    TorchMLPRegressorCV,
)
from sknninterp.estimators import _search
from sknninterp.estimators._search import deal, unlike_numbers

QUICK = {"hidden_layer_sizes": (8,), "max_epochs": 4, "lr": 0.02, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    return make_classification(90, 5, random_state=0)


@pytest.mark.parametrize("n_jobs", [1, 2, 100])
def test_networks_that_differ_in_kind_are_not_in_one_stack(data, n_jobs, monkeypatch):
    stacks = []
    monkeypatch.setattr(_search, "effective_n_jobs", lambda _: n_jobs)
    fit_stacked = _search.fit_stacked

    def listened(networks, *args):
        stacks.append([(n.numeric_embedding, n.input_penalty) for n in networks])
        fit_stacked(networks, *args)

    monkeypatch.setattr(_search, "fit_stacked", listened)
    embeddings = [None, "spline", "periodic"]  # the last one is trained, and not stacked
    options = {"numeric_embeddings": embeddings, "input_penalties": [0, 0.2], "cv": 3}
    search = TorchMLPClassifierCV(TorchMLPClassifier(**QUICK), refit=False, **options)
    search.fit(*data)
    assert sum(map(len, stacks)) == 12
    assert all(len({embedding for embedding, _ in stack}) == 1 for stack in stacks)
    assert len(stacks) == 2 * min(n_jobs, 6)
    grid = {"numeric_embedding": embeddings, "input_penalty": [0, 0.2]}
    grid = GridSearchCV(TorchMLPClassifier(**QUICK), grid, cv=3, refit=False).fit(*data)
    expected = {
        (p["numeric_embedding"], p["input_penalty"]): score
        for p, score in zip(
            grid.cv_results_["params"], grid.cv_results_["mean_test_score"], strict=True
        )
    }
    found = search.cv_results_
    for params, score in zip(found["params"], found["mean_test_score"], strict=True):
        assert score == expected[params["numeric_embedding"], params["input_penalty"]]


@pytest.mark.parametrize("n_jobs", [1, 2, 3, 8])
@pytest.mark.parametrize("n_candidates", [1, 2, 5, 6])
def test_work_is_dealt_evenly_and_candidates_stay_together(n_candidates, n_jobs):
    fits = list(range(4, 4 + 4 * n_candidates))
    shares = deal(fits, 4, n_jobs)
    assert sorted(sum(shares, [])) == fits
    sizes = [len(share) for share in shares]
    assert len(shares) == min(n_jobs, len(fits))
    assert max(sizes) - min(sizes) <= 1
    split = [
        candidate
        for candidate in range(1, n_candidates + 1)
        if len({i for i, share in enumerate(shares) for fit in share if fit // 4 == candidate}) > 1
    ]
    assert len(split) <= n_candidates % n_jobs


def test_columns_of_results(data):
    search = TorchMLPClassifierCV(TorchMLPClassifier(**QUICK), cv=2, refit=False).fit(*data)
    assert search.cv_results_["param_input_penalty"].tolist() == [0, 0.2, 0.4, 0.5, 0.6] * 2
    assert search.cv_results_["param_input_penalty"].dtype == float
    embeddings = search.cv_results_["param_numeric_embedding"]
    assert embeddings.tolist() == [None] * 5 + ["piecewise"] * 5


def test_numbers():
    assert unlike_numbers([0, 0.5], "shares", 0, 1) == [0.0, 0.5]
    assert unlike_numbers(np.array([3]), "shares", 0, np.inf) == [3.0]


@pytest.mark.parametrize("values", [[], [0.5, 0.5], [[0.1], [0.2]], [-0.1], [1.0], [np.nan], ["a"]])
def test_lists_that_are_none(values):
    with pytest.raises(ValueError, match="shares|could not convert"):
        unlike_numbers(values, "shares", 0, 1)


def test_scores_that_cannot_be(data):
    X, y = data
    search = TorchMLPRegressorCV(TorchMLPRegressor(**QUICK), input_penalties=[0, 0.2], cv=2)
    search.set_params(numeric_embeddings=[None])
    with pytest.raises(ValueError, match=r"scoring: .*predict_proba"):
        clone(search).set_params(scoring="neg_log_loss").fit(X, y)
    # R^2 of single samples is none: there is no standard error either.
    search.set_params(one_standard_error=True, cv=5)
    with pytest.warns(UndefinedMetricWarning, match="less than two samples"):
        search.fit(X[:5], y[:5])
    assert np.isnan(search.best_score_) and search.best_index_ == 0
