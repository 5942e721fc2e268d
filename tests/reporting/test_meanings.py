from __future__ import annotations

from dataclasses import replace

import numpy as np

from sknninterp import GarsonExplainer, IntegratedGradientsExplainer
from sknninterp.evaluation import PermutationExplainer
from sknninterp.reporting import _meanings as meanings
from sknninterp.reporting._ranking import rank
from sknninterp.reporting._rows import explain_rows


def test_towards(binary, multiclass, regression):
    assert meanings.towards(binary) == "well"
    assert meanings.towards(replace(binary, class_names=("0", "1"))) == "outcome = 1"
    assert meanings.towards(multiclass) == "the predicted class"
    assert meanings.towards(regression) == "outcome"


def test_methods(single):
    assert meanings.method(single) == "PWP"
    assert meanings.about_method(single).startswith("Personalized weight products")
    other = PermutationExplainer(single.estimator)
    assert "its own documentation" in meanings.about_method(replace(single, explainer=other))


def test_ranking(binary, single):
    assert "mean of 3 networks" in meanings.about_ranking(binary, rank(binary))
    assert "whisker" not in meanings.about_ranking(single, rank(single))


def test_rows(single, binary, multiclass, regression):
    def about(study, kind=None):
        if kind is not None:
            study = replace(study, explainer=kind(study.estimator).fit(study.X))
        return meanings.about_rows(study, explain_rows(study, np.arange(5), 3))

    assert "their sum is no prediction" in about(single)
    assert "is the size of what" in about(single, GarsonExplainer)
    gradients = IntegratedGradientsExplainer
    assert "log-odds" in about(single, gradients) and "means" not in about(single, gradients)
    assert "Of several networks they are means." in about(binary, gradients)
    assert about(regression, gradients).endswith("to its output.")
    assert "log-odds" not in about(multiclass, gradients)
    assert len(meanings.general()) == 2
