from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from sknninterp.reporting import _scores
from sknninterp.reporting._scores import Scores, interval, score


def test_scores_of_two_classes(binary):
    found = score(binary)
    own = found.rows["this network"]
    proba = binary.estimator.predict_proba(binary.X)[:, 1]
    assert found.metrics[0] == "ROC AUC"
    assert own[0] == pytest.approx(roc_auc_score(binary.y == "well", proba))
    assert own[3] == pytest.approx(brier_score_loss(binary.y == "well", proba))
    assert found.rows["no features"][0] == 0.5
    assert found.rows["logistic regression"][0] > 0.9
    low, high = found.interval
    assert low <= own[0] <= high
    assert "fitted on 80 rows" in found.how


@pytest.mark.parametrize("kind", ["multiclass", "regression", "images"])
def test_scores_of_other_kinds(kind, request):
    study = request.getfixturevalue(kind)
    found = score(study)
    assert set(found.rows) > {"this network", "random forest", "no features"}
    table = np.array([*found.rows.values()])
    assert np.isfinite(table).all() and table.shape[1] == len(found.metrics)
    assert table[0, 0] > table[-1, 0]


def test_rows_that_may_have_been_trained_on(single):
    found = score(replace(single, X_train=None, y_train=None))
    assert "cross-validated on 40 of these rows" in found.how
    assert found.rows["no features"][0] < 0.7


def test_too_few_to_cross_validate(single):
    few = replace(single, X=single.X[:3], y=single.y[:3], X_train=None, y_train=None)
    assert "too few rows" in score(few).how


def test_a_class_that_the_drawn_rows_lack(multiclass, monkeypatch):
    monkeypatch.setattr(_scores, "MOST_BASELINE_ROWS", 6)
    y = multiclass.y_train.copy()
    y[y == "high"] = "low"
    found = score(replace(multiclass, y_train=y))
    assert all(np.isfinite(values).all() for values in found.rows.values())


def test_without_labels(single):
    assert score(replace(single, y=None)) is None


def test_interval_is_missing_where_the_score_is(single):
    one_class = replace(single, y=np.repeat("ill", 40))
    assert np.isnan(interval(one_class)).all()


def test_strongest_rival():
    rows = {"this network": [0.5], "a": [0.3], "b": [0.4], "c": [np.nan]}
    assert Scores(["m"], [False], rows, (0, 1), "").strongest_rival() == ("b", 0.4)
    assert Scores(["m"], [True], rows, (0, 1), "").strongest_rival() == ("a", 0.3)
    assert Scores(["m"], [True], {"this network": [0.5]}, (0, 1), "").strongest_rival() is None
