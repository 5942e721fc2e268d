from __future__ import annotations

import pickle

from sknninterp.cli._messages import CommandError, counted, listed, progress, unknown_name


def test_error_is_one_line_and_survives_a_process():
    error = CommandError("two\n  lines")
    assert str(error) == "two lines"
    assert str(pickle.loads(pickle.dumps(error))) == "two lines"


def test_lists_are_cut():
    assert listed(["a", "b"]) == "'a', 'b'"
    assert listed(range(1008), 2) == "'0', '1' and 1,006 more"


def test_counts():
    assert counted(1, "row") == "1 row"
    assert counted(2000, "row") == "2,000 rows"


def test_near_matches_are_suggested_whatever_their_case():
    assert unknown_name("readmited", ["age", "Readmitted"]) == "did you mean 'Readmitted'?"
    assert unknown_name("xyz", ["age", "sex"]) == "there are 'age', 'sex'"


def test_progress_goes_to_stderr_unless_quiet(capsys):
    assert list(progress([1, 2], what="Working", quiet=False)) == [1, 2]
    output = capsys.readouterr()
    assert "Working" in output.err
    assert output.out == ""
    assert list(progress([1, 2], what="Working", quiet=True)) == [1, 2]
    assert capsys.readouterr().err == ""
