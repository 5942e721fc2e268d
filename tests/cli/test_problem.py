from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sknninterp.cli._arguments import Settings
from sknninterp.cli._messages import CommandError
from sknninterp.cli._problem import check_names, prepare, roles


def table(n=60, **columns) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=n), "y": np.tile(["no", "yes"], n // 2)})
    return frame.assign(**columns)


def problem(frame, **settings):
    return prepare(frame, Settings(**{"target": "y", **settings}))


def has_note(result, *words) -> bool:
    return any(all(word in note for word in words) for note in result.notes)


# -- names and roles -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "option", "reason"),
    [
        ({"target": "Outcom"}, "--target", "did you mean 'outcome'"),
        ({"group": "patiens"}, "--group", "did you mean 'patient'"),
        ({"id_columns": ("x",)}, "--id-columns", "there are 'outcome', 'patient', 'age'"),
        ({"drop": ("ages",)}, "--drop", "did you mean 'age'"),
        ({"categorical": ("ages",)}, "--categorical", "did you mean 'age'"),
        ({"drop": ("outcome",)}, "--target", "also named in another option"),
    ],
)
def test_names_that_are_not_there(settings, option, reason):
    with pytest.raises(CommandError) as error:
        check_names(["outcome", "patient", "age"], Settings(**{"target": "outcome", **settings}))
    assert str(error.value).startswith(f"{option}: ")
    assert reason in str(error.value)


def test_roles_read_names_as_text_and_leave_out_what_is_dropped():
    settings = Settings("y", group="g", id_columns=("i",), drop=("d", "g"), categorical=("c",))
    wanted, as_text = roles(["a", "c", "d", "g", "i", "y"], settings)
    assert wanted == ["a", "c", "g", "i", "y"]  # the group is needed, even if it is dropped too
    assert as_text == ["c", "g", "i", "y"]


# -- the target ----------------------------------------------------------------------------------


def test_two_classes_are_in_order_and_the_positive_one_is_noted():
    result = problem(table())
    assert result.task == "binary"
    assert result.classes == ["no", "yes"]
    assert result.y.mean() == 0.5
    assert has_note(result, "'yes'", "positive class")


def test_positive_class_can_be_chosen():
    result = problem(table(), positive="no")
    assert result.classes == ["yes", "no"]
    np.testing.assert_array_equal(result.y, np.tile([1, 0], 30))
    assert not has_note(result, "positive class")


def test_positive_class_against_all_others():
    result = problem(table(y=np.tile(["NO", ">30", "<30"], 20)), positive="<30")
    assert result.task == "binary"
    assert result.classes == ["not <30", "<30"]
    assert result.y.sum() == 20


@pytest.mark.parametrize("positive", ["1", "1.0"])
def test_positive_number_however_it_is_written(positive):
    result = problem(table(y=np.tile(["0.0", "1.0"], 30)), positive=positive)
    assert result.classes == ["0.0", "1.0"]


def test_classes_that_are_numbers_are_in_their_order():
    result = problem(table(y=np.tile(["2", "10", "1"], 20)))
    assert result.task == "multiclass"
    assert result.classes == ["1", "2", "10"]
    assert result.y[:3].tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["0", "1"], "binary"),
        (["0.5", "1.5"], "binary"),
        (list(range(10)), "multiclass"),
        (list(range(11)), "regression"),
        ([0.5, 1.5, 2.5], "regression"),
        (["a", "b", "1.5"], "multiclass"),
    ],
)
def test_task_is_recognised(values, task):
    n = 10 * len(values)
    assert problem(table(n, y=np.tile(np.array(values, dtype=object), 10))).task == task


def test_task_can_be_set():
    y = np.repeat(range(12), 5)
    assert problem(table(y=y), task="classification").task == "multiclass"
    result = problem(table(y=y % 3), task="regression")
    assert result.task == "regression"
    assert result.y.dtype == np.float64
    np.testing.assert_array_equal(result.y, y % 3)


def test_rows_without_target_or_group_are_left_out_and_told():
    frame = table(g=np.arange(60) // 2)
    frame.loc[[0, 1, 2], "y"] = None
    frame["g"] = frame["g"].astype("float").mask(frame.index == 59)
    result = problem(frame, group="g")
    assert len(result.y) == len(result.X) == len(result.groups) == 56
    assert result.X.index.tolist() == list(range(3, 59))
    assert has_note(result, "3 rows without a value in 'y'")
    assert has_note(result, "1 row without a value in 'g'")


@pytest.mark.parametrize(
    ("columns", "settings", "reason"),
    [
        ({"y": "yes"}, {}, "target 'y' has the same value, 'yes', in every row"),
        ({"y": None}, {}, "column 'y' has no values"),
        ({"g": None}, {"group": "g"}, "column 'g' has no values"),
        ({}, {"positive": "Yess"}, "--positive: 'Yess' is no value of 'y'; did you mean 'yes'"),
        ({}, {"task": "regression"}, "needs numbers, but the target 'y' has 'no', 'yes'"),
        (
            {"y": range(60)},
            {"task": "regression", "positive": "1"},
            "--positive names a class, which --task regression has not got",
        ),
        ({"y": ["a", "b", "c", "d"] + ["no", "yes"] * 28}, {}, "too few rows of 'a', 'b', 'c'"),
        ({"x": "same"}, {}, "no columns are left"),
        ({"x": np.r_[np.inf, np.arange(59)]}, {}, "infinite values in 'x'"),
    ],
)
def test_what_cannot_be_analysed(columns, settings, reason):
    with pytest.raises(CommandError, match=reason):
        problem(table(**columns), **settings)


@pytest.mark.parametrize(
    ("prefix", "advice"), [("", "--task regression"), ("c", "name one with --positive")]
)
def test_too_many_classes(prefix, advice):
    y = [f"{prefix}{i}" for i in np.repeat(range(101), 6)]
    with pytest.raises(CommandError, match="101 different values") as error:
        problem(table(606, y=y), task="classification")
    assert advice in str(error.value)


def test_too_few_rows():
    with pytest.raises(CommandError, match="18 rows are too few: at least 20"):
        problem(table(18))


# -- the features --------------------------------------------------------------------------------


def test_column_types():
    result = problem(
        table(
            count=np.tile([1, 2, 3], 20),
            flag=np.tile([True, False], 30),
            code=np.tile([10, 20, 30], 20),
            text=np.tile(["a", "b", None], 20),
        ),
        categorical=("code",),
    )
    assert result.numeric == ["x", "count"]
    assert result.categorical == ["flag", "code", "text"]
    assert set(result.X[result.numeric].dtypes) == {np.dtype("float32")}
    assert result.X["code"].cat.categories.tolist() == ["10", "20", "30"]
    assert has_note(result, "few different whole numbers: 'count';")


def test_columns_with_other_roles_are_no_features():
    frame = table(g=np.arange(60), i=np.arange(60), d=1.5)
    result = problem(frame, group="g", id_columns=("i",), drop=("d",))
    assert result.X.columns.tolist() == ["x"]
    assert result.ids.columns.tolist() == ["i"]
    assert len(set(result.groups)) == 60


def test_columns_that_say_nothing_are_left_out_and_told():
    frame = table(empty=np.nan, one="a", gaps=np.where(np.arange(60) < 30, 1.0, np.nan))
    result = problem(frame)
    assert result.X.columns.tolist() == ["x", "gaps"]  # that a value is missing may say something
    assert has_note(result, "no values", "'empty'")
    assert has_note(result, "one value only", "'one'")


def test_identifiers_are_told_and_used_unless_named():
    frame = table(key=[f"p{i}" for i in range(60)], number=np.arange(60) + 7, lab=np.arange(60) / 7)
    result = problem(frame)
    assert {"key", "number", "lab"} < set(result.X.columns)
    assert has_note(result, "identifiers are: 'number', 'key';", "--id-columns")
    assert not has_note(problem(frame, id_columns=("key", "number")), "identifiers")


def test_row_numbers_without_a_name_are_left_out():
    frame = table()
    frame.insert(0, "Unnamed: 0", np.arange(60.0))
    result = problem(frame)
    assert result.X.columns.tolist() == ["x"]
    assert has_note(result, "counts the rows")


def test_free_text_and_numbers_spoilt_by_a_few_values_are_told():
    numbers = np.arange(300).astype(str).astype(object)
    numbers[7] = "<5"
    result = problem(table(300, lab=numbers, text=[f"t {i}" for i in range(300)]))
    assert result.categorical == ["lab", "text"]
    assert has_note(result, "'lab' has 300 different texts: it would be numbers but for '<5';")
    assert has_note(result, "'text' has 300 different texts: those in fewer than 0.5% of the rows")


def test_large_numbers_stay_exact():
    result = problem(table(key=300_000_000.0 + np.arange(60)))
    assert result.X["key"].is_unique
