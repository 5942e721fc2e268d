"""Outputs that are asked for by label, as positions with signs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch import nn

from sknninterp.estimators._network import Network, find_network
from sknninterp.explainers._outputs import Outputs

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize(
    ("classes", "n_outputs", "labels", "names"),
    [
        (["a", "b"], 2, ["a", "b"], ["a", "b"]),
        (["a", "b"], 1, ["a", "b"], ["b"]),
        (["a", "b", "c"], 3, ["a", "b", "c"], ["a", "b", "c"]),
        (None, 3, [0, 1, 2], [0, 1, 2]),
        (None, 1, [0], [0]),
        ([0, 2], 3, [0, 1, 2], [0, 1, 2]),  # a class of three was missing in training
        (["a", "b", "c"], 1, [0], [0]),
    ],
)
def test_outputs_are_named(classes, n_outputs, labels, names):
    module = nn.Linear(6, n_outputs)
    outputs = Outputs.of(Network(module, module, classes), n_outputs)
    assert outputs.labels.tolist() == labels
    assert outputs.names.tolist() == names


def test_whether_a_class_is_predicted():
    X = np.random.default_rng(0).normal(size=(60, 6))
    settings = {"hidden_layer_sizes": (5,), "max_iter": 5, "random_state": 0}

    def predicts(estimator, n_outputs):
        return Outputs.of(find_network(estimator), n_outputs).predicts

    assert predicts(nn.Linear(6, 3), 3)
    assert not predicts(nn.Linear(6, 1), 1)  # a logit or a value: nobody knows
    assert predicts(MLPClassifier(**settings).fit(X, X[:, 0] > 0), 1)
    assert not predicts(MLPRegressor(**settings).fit(X, X[:, :2]), 2)
    several_labels = (X[:, :3] > 0).astype(int)
    assert not predicts(MLPClassifier(**settings).fit(X, several_labels), 3)


SEVERAL = Outputs(np.array(["a", "b", "c"]), 3, True)
ONE_LOGIT = Outputs(np.array(["no", "yes"]), 1, True)
VALUES = Outputs(np.arange(2), 2, False)


@pytest.mark.parametrize(
    ("outputs", "target", "expected"),
    [
        (SEVERAL, "b", (1, 1, "b")),
        (SEVERAL, np.str_("b"), (1, 1, "b")),
        (SEVERAL, ["c", "a"], ([2, 0], [1, 1], ["c", "a"])),
        (SEVERAL, np.array(["c"]), ([2], [1], ["c"])),
        (SEVERAL, pd.Index(["c"]), ([2], [1], ["c"])),
        (SEVERAL, "predicted", ("predicted", 1, None)),
        (Outputs(np.array(["predicted", "so"]), 2, True), "predicted", (0, 1, "predicted")),
        (Outputs(np.array(["predicted", "so"]), 1, True), "predicted", (0, -1, "predicted")),
        (Outputs(np.array([False, True]), 2, True), True, (1, 1, True)),
        (Outputs(np.array([False, True]), 2, True), np.True_, (1, 1, True)),
        (Outputs(np.array([1, 2]), 2, True), True, (0, 1, 1)),  # True == 1, as everywhere
        (Outputs(np.array([1, 2]), 2, True), np.int8(1), (0, 1, 1)),
        (Outputs(np.array([1.0, 2.0]), 2, True), 2, (1, 1, 2.0)),
        (ONE_LOGIT, "yes", (0, 1, "yes")),
        (ONE_LOGIT, "no", (0, -1, "no")),
        (ONE_LOGIT, ["no", "yes"], ([0, 0], [-1, 1], ["no", "yes"])),
        (VALUES, 1, (1, 1, 1)),
    ],
)
def test_targets_become_positions_signs_and_labels(outputs, target, expected):
    assert outputs.choose(target, signed=True) == expected


def test_against_is_no_sign_where_contributions_have_none():
    assert ONE_LOGIT.choose("no", signed=False) == (0, 1, "no")


@pytest.mark.parametrize(
    ("outputs", "target", "message"),
    [
        (SEVERAL, "d", r"target='d' is not an output .* \['a', 'b', 'c'\]"),
        (SEVERAL, ["a", "d"], "target='d'"),
        (SEVERAL, [], "holds no label"),
        (SEVERAL, 0, "target=0"),
        (Outputs(np.array(["0", "1"]), 2, True), 1, r"target=1 .* \['0', '1'\]"),
        (ONE_LOGIT, "maybe", r"target='maybe' .* \['no', 'yes'\]"),
        (VALUES, 2, "target=2"),
        (VALUES, -1, "target=-1"),
        (VALUES, "predicted", "asks for one class"),
    ],
)
def test_targets_that_do_not_exist(outputs, target, message):
    with pytest.raises(ValueError, match=message):
        outputs.choose(target, signed=True)
