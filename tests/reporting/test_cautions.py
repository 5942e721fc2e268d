from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sknninterp import PWPExplainer, TorchMLPClassifier
from sknninterp.reporting._cautions import cautions
from sknninterp.reporting._ranking import Ranking, rank
from sknninterp.reporting._scores import Scores
from sknninterp.reporting._study import Study
from sknninterp.reporting._trust import Check, Trust


def titles(study, scores=None, ranking=None, trust=None):
    ranking = rank(study) if ranking is None else ranking
    return [one.title for one in cautions(study, scores, ranking, None, trust)]


def large(n, p=3, mean=0.0, share=0.5, **options):
    """A study of a plain network of `n` rows, scored on as many others."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(mean, 1, size=(n, p)).astype(np.float32))
    X.columns = [f"x{i}" for i in range(p)]
    y = np.where(np.arange(n) < share * n, "ill", "well")
    model = TorchMLPClassifier((2,), max_epochs=1, random_state=0, **options).fit(X, y)
    return Study(model, PWPExplainer(model).fit(X), X, y, X, y)


@pytest.fixture(scope="module")
def good():
    return large(400)


EACH = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
RANKING = Ranking([*"abc"], EACH[0], EACH)


def test_nothing_to_say(good):
    scores = Scores(["AUC"], [False], {"this network": [0.9], "a": [0.7]}, (0.88, 0.92), "")
    assert titles(good, scores, RANKING, Trust()) == []


def test_rows_that_were_perhaps_trained_on(good):
    study = replace(good, X_train=None, y_train=None)
    assert titles(study, ranking=RANKING) == ["The network may have been trained on these rows"]


@pytest.mark.parametrize(
    ("rows", "lower", "expected"),
    [
        ({"a": 0.80, "no features": 0.5}, False, []),
        ({"a": 0.87, "no features": 0.5}, False, ["Not clearly better than another model"]),
        ({"a": 0.95, "no features": 0.89}, False, ["Hardly better than a guess"]),
        ({"a": 1.2, "no features": 2.0}, True, []),
        ({"a": 0.8, "no features": 2.0}, True, ["Not clearly better than another model"]),
        ({"a": np.nan}, False, []),
    ],
    ids=["better", "as good", "a guess", "lower", "not lower", "nothing to compare"],
)
def test_against_other_models(good, rows, lower, expected):
    rows = {"this network": [0.9], **{name: [value] for name, value in rows.items()}}
    scores = Scores(["score"], [lower], rows, (0.85, 0.95), "")
    assert titles(good, scores, RANKING) == expected


def test_few_rows(good):
    few = replace(good, X=good.X[-150:], y=good.y[-150:])
    assert "Few rows" in titles(few, ranking=RANKING)
    assert "Few rows" in titles(replace(good, X_train=good.X[:150]), ranking=RANKING)


@pytest.mark.parametrize(("share", "expected"), [(0.05, ["A rare class"]), (0.15, [])])
def test_rare_class(good, share, expected):
    y = np.where(np.arange(400) < share * 400, "ill", "well")
    assert titles(replace(good, y=y), ranking=RANKING) == expected


def test_few_of_a_class(good):
    few = replace(good, X=good.X[150:220], y=good.y[150:220])
    assert titles(few, ranking=RANKING) == ["Few rows", "Few rows of a class"]


def test_wide_tables_without_weight_decay():
    title = "More columns than rows, and no weight decay"
    assert title in titles(large(30, 40))
    assert title not in titles(large(30, 40, weight_decay=0.1))
    assert title not in titles(large(30, 40, input_penalty=0.1))
    assert title not in titles(large(50, 40))


def test_inputs_off_centre(good):
    off = large(400, mean=2.0)
    assert titles(off, ranking=RANKING) == ["Inputs are not centred"]
    from sknninterp import GradientXInputExplainer

    explainer = GradientXInputExplainer(off.estimator).fit(off.X)
    assert titles(replace(off, explainer=explainer), ranking=RANKING) == []


def test_one_column_of_all(good):
    ranking = Ranking([*"abcd"], np.array([0.1, 0.7, 0.1, 0.1]), np.eye(4) + 0.1)
    found = cautions(good, None, ranking, None, None)
    assert [one.title for one in found] == ["One column carries most"]
    assert found[0].text.startswith("b has 70%")


def test_one_network(good):
    assert titles(good, ranking=Ranking([*"abc"], EACH[0])) == ["One network: no intervals"]


@pytest.mark.parametrize(("value", "expected"), [(0.4, True), (0.6, False)])
def test_unstable(good, value, expected):
    trust = Trust(stability=pd.DataFrame({"stability": [value]}, index=["jaccard"]))
    assert ("The ranking is not stable" in titles(good, None, RANKING, trust)) == expected


@pytest.mark.parametrize(("value", "expected"), [(0.4, True), (0.6, False)])
def test_disagreement(good, value, expected):
    names = ["PWP", "Garson"]
    trust = Trust(agreement=pd.DataFrame([[1, value], [value, 1]], index=names, columns=names))
    assert ("Other methods rank otherwise" in titles(good, None, RANKING, trust)) == expected


def test_failed_checks(good):
    trust = Trust(checks=[Check("one", True, "fine"), Check("two", False, "broken")])
    found = cautions(good, None, RANKING, None, trust)
    assert [(one.title, one.text) for one in found] == [
        ("The explanation failed a check (two)", "broken")
    ]
