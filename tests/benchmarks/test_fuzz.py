"""Random parameters and data: what `benchmarks.fuzz` tries, a little of each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator

import sknninterp
from benchmarks import fuzz
from benchmarks._fuzz_values import mostly, parameters
from sknninterp import evaluation

TARGETS = fuzz.targets()


@pytest.mark.parametrize("name", TARGETS)
def test_only_documented_errors_come_out(name):
    n_cases = 2 if name == "sknninterp rank" else 6
    endings, failure = fuzz.fuzz(TARGETS[name], n_cases)
    assert not failure
    assert endings.total() >= n_cases


def is_estimator(kind):
    return isinstance(kind, type) and issubclass(kind, BaseEstimator)


def test_every_estimator_and_explainer_is_tried():
    classes = {n for n in sknninterp.__all__ if is_estimator(getattr(sknninterp, n))}
    assert classes <= set(TARGETS)


def test_failures_are_found_and_told():
    def by_accident(draw):
        if draw(st.integers(0, 3)) == 2:
            raise KeyError("gone")

    endings, failure = fuzz.fuzz(by_accident, 50)
    assert "KeyError: 'gone' [test_fuzz.py:" in failure and "Draw 1: 2" in failure
    assert set(endings) == {"done"}

    def torch_shapes(draw):
        np.zeros(2) @ np.zeros(3)

    assert "ValueError by accident: matmul" in fuzz.fuzz(torch_shapes, 1)[1]
    wrong = fuzz.fuzz(lambda draw: fuzz.demand(False, "NaN"), 1)[1]
    assert "UndocumentedError: NaN" in wrong


def test_endings():
    def refused():
        evaluation.consensus([[1.0, 2.0]], "bogus")

    assert fuzz.ending(refused) == "refused: ValueError"
    assert fuzz.ending(lambda: None) == "done"


def test_most_parameters_are_valid():
    found = []

    @settings(max_examples=200, database=None, derandomize=True)
    @fuzz.given(st.data())
    def draw(data):
        value = data.draw(mostly(["good"], ["bad"] * 3))
        found.append(value)
        constraints = sknninterp.ANTClassifier._parameter_constraints
        assert set(data.draw(parameters(constraints))) <= set(constraints)

    draw()
    assert 0.7 < found.count("good") / len(found) < 1
