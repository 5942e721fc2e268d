"""Parts of the README that are made from committed results."""

from __future__ import annotations

import json

import pytest

from benchmarks import _readme, ground_truth, peers, real_tables
from benchmarks._timing import RESULTS


def test_it_changes_between_its_marks_alone(tmp_path):
    readme = tmp_path / "README.md"
    begin, end = _readme.marks("speed")
    readme.write_text(f"before\n{begin}old\n{end}after\n")
    _readme.put("speed", _readme.markdown([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]), readme)
    table = "| a | b |\n| --- | --- |\n| 1 | x |\n| 2 | y |\n"
    assert readme.read_text() == f"before\n{begin}{table}{end}after\n"
    readme.write_text("no marks\n")
    with pytest.raises(ValueError, match="lacks the marks"):
        _readme.put("speed", "text", readme)
    assert readme.read_text() == "no marks\n"


def committed(name):
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("speed", lambda: peers.table(committed("peers")["rows"])),
        ("known truth", lambda: ground_truth.readme_table(committed("ground_truth"))),
        ("real tables", lambda: real_tables.readme_table(committed("real_tables"))),
    ],
)
def test_it_says_what_the_results_say(name, text):
    begin, end = _readme.marks(name)
    written = _readme.README.read_text(encoding="utf-8").partition(begin)[2].partition(end)[0]
    assert written == text()
