from __future__ import annotations

import pytest

from sknninterp.cli._arguments import Settings, make_parser
from sknninterp.cli._messages import CommandError

RANK = ["rank", "data.csv", "--target", "y", "--out", "results"]


def parse(*more) -> Settings:
    return Settings.of(make_parser().parse_args([*RANK, *more]))


def test_defaults_are_those_of_the_settings():
    assert parse() == Settings(target="y")


def test_lists_of_names_may_be_repeated_and_quoted():
    settings = parse("--drop", 'a, "b,c"', "--drop", "d", "--id-columns", "e")
    assert settings.drop == ("a", "b,c", "d")
    assert settings.id_columns == ("e",)
    assert parse().drop == ()  # the default list is not shared between calls


def test_rates_are_sorted_and_unique():
    assert parse("--pruning-rates", "0.5,0,.5").pruning_rates == (0.0, 0.5)


def test_what_is_tried():
    assert parse("--embeddings", "piecewise, none,piecewise").embeddings == ("piecewise", None)
    assert parse("--input-penalties", "0.5,0,.5").input_penalties == (0.0, 0.5)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5H", 5400), ("45", 45)]
)
def test_a_budget_has_a_unit(text, seconds):
    assert parse("--budget", text).budget == seconds


def test_demo_takes_the_settings_of_its_data():
    arguments = make_parser().parse_args(["demo", "--out", "results", "--hidden", "8,4"])
    settings = Settings.of(arguments, target="diagnosis")
    assert arguments.data == "breast-cancer"
    assert settings == Settings(target="diagnosis", hidden=(8, 4))


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--pruning-rates", "0,1", "from 0 to below 1, got 1"),
        ("--pruning-rates", "-0.1", "from 0 to below 1, got -0.1"),
        ("--pruning-rates", "nan", "from 0 to below 1, got nan"),
        ("--pruning-rates", "a", "'a' is no list of numbers"),
        ("--hidden", "8,0", "at least 1 neuron, got 0"),
        ("--runs", "0", "at least 1, got '0'"),
        ("--runs", "1.5", "at least 1, got '1.5'"),
        ("--max-epochs", "1", "at least 2, got '1'"),
        ("--test-size", "1", "between 0 and 1, got '1'"),
        ("--test-size", "few", "between 0 and 1, got 'few'"),
        ("--explainer", "shap", "invalid choice: 'shap'"),
        ("--task", "both", "invalid choice: 'both'"),
        ("--budget", "soon", "a time such as 90s"),
        ("--budget", "0m", "a time such as 90s"),
        ("--embeddings", "none,spline", "none and piecewise, got 'spline'"),
        ("--input-penalties", "-1", "0 or more"),
        ("--color", "red", "unrecognized arguments: --color red"),
    ],
)
def test_wrong_values_are_named(option, value, reason):
    with pytest.raises(CommandError) as error:
        parse(option, value)
    assert option in str(error.value)
    assert reason in str(error.value)
    assert "--help" in str(error.value)


@pytest.mark.parametrize("arguments", [[], ["rank"], ["rank", "data.csv", "--target", "y"]])
def test_what_is_missing_is_named(arguments):
    with pytest.raises(CommandError, match="required"):
        make_parser().parse_args(arguments)
