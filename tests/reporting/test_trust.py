from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sknninterp import IntegratedGradientsExplainer, OldenExplainer, TorchMLPClassifier
from sknninterp.evaluation import perturbation_curves, stability
from sknninterp.reporting import _trust
from sknninterp.reporting._ranking import rank
from sknninterp.reporting._trust import examine, of_runs


def test_examined(binary):
    ranking = rank(binary)
    trust = examine(binary, ranking)
    names = ["PWP", "Olden", "Garson", "Gradient x input", "Integrated gradients"]
    assert trust.agreement.index.tolist() == names == trust.overlap.columns.tolist()
    np.testing.assert_allclose(np.diag(trust.agreement), 1)
    assert trust.failed == {} and trust.n_rows == 40
    checks = {check.name: check for check in trust.checks}
    assert set(checks) == {"random weights", "removal of features"}
    assert checks["removal of features"].passed == trust.curves.beats_random
    pd.testing.assert_frame_equal(trust.stability, stability(ranking.each, k=5))


def test_stability_needs_several_networks(single):
    assert of_runs(rank(single)) is None


def test_contributions_that_add_up_or_not(single):
    for n_steps, passed in ((100, True), (1, False)):
        explainer = IntegratedGradientsExplainer(single.estimator, n_steps=n_steps).fit(single.X)
        study = replace(single, explainer=explainer)
        found = {check.name: check for check in examine(study, rank(study)).checks}
        assert found["adding up"].passed == passed
        assert ("rows" in found["adding up"].why) != passed


@pytest.mark.parametrize("kind", ["single", "regression"])
def test_removal_by_arrays_is_that_by_frames(kind, request):
    study = request.getfixturevalue(kind)
    explanation = study.explainer.explain(study.X, "predicted" if study.is_class else None)
    explanation = explanation if study.is_class else explanation[..., 0]
    expected = perturbation_curves(
        study.estimator, study.X, explanation, n_random=3, random_state=0
    )
    np.testing.assert_allclose(_trust._curves(study, study.X).outputs, expected.outputs, rtol=1e-4)


def test_frames_of_mixed_types(table):
    X, y = table
    X = X.assign(site=np.tile(["left", "right"], 60))
    steps = make_column_transformer((StandardScaler(), [*"abdef"]), (OneHotEncoder(), ["site"]))
    model = make_pipeline(steps, TorchMLPClassifier((4,), max_epochs=5, random_state=0)).fit(X, y)
    from sknninterp import PWPExplainer
    from sknninterp.reporting._study import Study

    study = Study(model, PWPExplainer(model, signed=True).fit(X), X, y.to_numpy())
    trust = examine(study, rank(study))
    assert trust.failed == {} and trust.curves is not None


def test_explainers_that_cannot_read_the_network_are_left_out(single, monkeypatch):
    def refuse(self, X, y=None):
        raise ValueError("what is this?")

    monkeypatch.setattr(OldenExplainer, "fit", refuse)
    trust = examine(single, rank(single))
    assert "Olden" not in trust.agreement.index and len(trust.agreement) == 4
    assert trust.failed == {"Olden": "what is this?"}


def test_a_check_that_fails_for_the_network_is_left_out(single, monkeypatch):
    def refuse(*args, **options):
        raise TypeError("no such network")

    monkeypatch.setattr(_trust, "parameter_randomization", refuse)
    trust = examine(single, rank(single))
    assert trust.failed == {"random weights": "no such network"}
    assert [check.name for check in trust.checks] == ["removal of features"]


def test_similar_to_random_weights(single, monkeypatch):
    table = pd.DataFrame(
        {"layer": ["a", "b"], "repeat": 0, "importances": [0, 0.9], "values": [0, 0.1]}
    )
    monkeypatch.setattr(_trust, "parameter_randomization", lambda *a, **options: table)
    check = _trust._random_weights(single, single.X)
    assert not check.passed and "0.90" in check.why


def test_wide_tables_get_fewer_draws(single, monkeypatch):
    full = _trust._curves(single, single.X)
    monkeypatch.setattr(_trust, "_WIDE", 4)
    monkeypatch.setattr(_trust, "_STEPS_OF_WIDE", 2)
    assert len(_trust._curves(single, single.X).share) == 3 < len(full.share)
