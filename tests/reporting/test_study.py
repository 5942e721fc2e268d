from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from sknninterp import PWPExplainer, RepeatedExplainer, TorchMLPRegressor
from sknninterp.reporting._study import Study


def test_task_and_names(binary, multiclass, regression):
    assert (binary.task, multiclass.task, regression.task) == ("binary", "multiclass", "regression")
    assert binary.names == ["ill", "well"]
    np.testing.assert_allclose(binary.outputs, binary.estimator.predict_proba(binary.X))
    np.testing.assert_allclose(regression.outputs[:, 0], regression.estimator.predict(regression.X))


def test_codes(binary, regression):
    assert binary.codes(["well", "ill"]).tolist() == [1, 0]
    assert regression.codes([1, 2]).tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="y holds 'dead', which is none of the estimator's"):
        binary.codes(["ill", "dead"])


def test_several_quantities_are_refused(table):
    X, _ = table
    model = TorchMLPRegressor((4,), max_epochs=2).fit(X, X[["a", "b"]].to_numpy())
    with pytest.raises(ValueError, match="puts out 2 quantities"):
        Study(model, PWPExplainer(model).fit(X), X, None)


def test_networks(binary, single):
    assert (len(binary.networks), len(single.networks)) == (3, 1)
    assert binary.first_explainer is binary.explainer.explainers_[0]
    assert single.first_explainer is single.explainer
    assert binary.holder.n_networks == 3
    assert binary.network.predictor is binary.first_network.steps[-1][1]


def test_of_a_search_and_of_repeats(table, single):
    X, y = table
    grid = {"antclassifier__pruning_rate": [0.0, 0.5]}
    search = GridSearchCV(single.estimator, grid, cv=2).fit(X, y)
    repeated = RepeatedExplainer(PWPExplainer(single.estimator), 2, random_state=0).fit(X, y)
    study = Study(search, repeated, X, y)
    assert study.holder is search.best_estimator_.steps[-1][1]
    # A repeat's own network, not the one that predicts.
    assert study.first_network is repeated.explainers_[0].estimator_


def test_drawn_rows_are_in_order_and_no_more_than_there_are(single):
    assert single.drawn(1000).tolist() == list(range(40))
    some = single.drawn(10)
    assert len(some) == 10 and (np.diff(some) > 0).all() and some[-1] > 9
