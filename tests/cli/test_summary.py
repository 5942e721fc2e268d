from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sknninterp.cli._arguments import Settings
from sknninterp.cli._design import Configuration
from sknninterp.cli._fitting import analyse
from sknninterp.cli._problem import prepare
from sknninterp.cli._ranking import Ranking, rank_features, ranking_table
from sknninterp.cli._summary import _number, files_section, summary

SETTINGS = Settings(
    "outcome",
    positive="ill",
    group="patient",
    drop=("visit", "length"),
    hidden=(8, 4),
    max_epochs=4,
    runs=2,
    embeddings=(None,),
    input_penalties=(0.0,),
    pruning_rates=(0.25, 0.5),
    top=3,
    quiet=True,
)


@pytest.fixture(scope="module")
def results(clinic):
    problem = prepare(clinic, SETTINGS)
    analysis = analyse(problem, SETTINGS)
    return problem, SETTINGS, analysis, rank_features(problem, SETTINGS, analysis)


def test_summary_has_all_that_a_reader_needs(results):
    problem, _, analysis, ranking = results
    text = summary(*results, notes=["Beware."], title="What predicts illness?")
    n_test = len(analysis.test)
    for part in (
        "What predicts illness?",
        "500 rows, 6 features (4 numeric, 2 categorical)",
        "outcome = 'ill'",
        f"{n_test:,} for testing; no 'patient' is in both",
        "hidden layers 8-4 pruned to",
        "<- chosen",
        f"Scores on the {n_test} test rows",
        "network (2 runs)",
        "gradient boosting",
        "no features",
        "Features by PWP importance (the first 3 of 6)",
        "2 of 2",
        "- Beware.",
        "not what causes the outcome",
    ):
        assert part in text
    for feature in ranking.table["feature"][:3]:
        assert f"{feature}  " in text
    assert max(map(len, text.splitlines())) <= 105


def test_numbers_line_up(results):
    lines = summary(*results, notes=[], title="t").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Scores"))
    table = lines[start + 2 : start + 7]
    assert len({len(line) for line in table}) == 1


def test_no_search_and_no_pruning(results):
    problem, settings, analysis, ranking = results
    plain = replace(analysis, search=None, configuration=Configuration(None, 0.0, 0.0))
    text = summary(problem, settings, plain, ranking, [], "t")
    assert "cross-validation" not in text
    assert "hidden layers 8-4 not pruned" in text


def test_shares_of_thousands_of_features_keep_their_digits(results):
    problem, settings, analysis, ranking = results
    importances = np.full((20_000, 2), 1 / 20_000)
    wide = Ranking(
        ranking_table([f"gene {i}" for i in range(20_000)], importances), ranking.explainer
    )
    assert "0.0000500" in summary(problem, settings, analysis, wide, [], "t")


def test_regression_and_many_classes(clinic):
    for target in ("length", "stage"):
        others = {"length", "stage", "outcome"} - {target}
        settings = replace(
            SETTINGS, target=target, positive=None, drop=("visit", *others), pruning_rates=(0.0,)
        )
        problem = prepare(clinic, settings)
        analysis = analyse(problem, settings)
        ranking = rank_features(problem, settings, analysis)
        text = summary(problem, settings, analysis, ranking, [], "t")
        expected = "length: mean" if target == "length" else "stage: 1 "
        assert expected in text
        assert ("MAE" if target == "length" else "log loss") in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "0.123"),
        (-0.5, "-0.500"),
        (44.31, "44.3"),
        (12345.6, "12,346"),
        (2.5e7, "2.5e+07"),
    ],
)
def test_numbers(value, text):
    assert _number(value) == text


def test_files_are_listed_with_their_folder(tmp_path):
    text = files_section(tmp_path, {"a.csv": "first", "long.csv": "second"})
    assert text.splitlines()[0] == f"Files in {tmp_path}"
    assert text.splitlines()[2:] == ["  a.csv      first", "  long.csv   second"]


def test_long_names_are_cut(results):
    problem, settings, analysis, ranking = results
    table = pd.DataFrame(ranking.table)
    table.loc[0, "feature"] = "a very long name of a column " * 5
    text = summary(problem, settings, analysis, Ranking(table, ranking.explainer), [], "t")
    assert max(map(len, text.splitlines())) <= 105
