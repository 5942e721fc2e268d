"""Parts of the README and of the benchmarks' page that are made from committed results."""

from __future__ import annotations

import json

import pytest

from benchmarks import _readme, ground_truth, known_predictors, peers, real_tables
from benchmarks._timing import RESULTS


def test_it_changes_between_its_marks_alone(tmp_path):
    pages = tmp_path / "README.md", tmp_path / "benchmarks.md"
    begin, end = _readme.marks("speed")
    pages[0].write_text("no marks\n")
    pages[1].write_text(f"before\n{begin}old\n{end}after\n")
    _readme.put("speed", _readme.markdown([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]), pages)
    table = "| a | b |\n| --- | --- |\n| 1 | x |\n| 2 | y |\n"
    assert pages[1].read_text() == f"before\n{begin}{table}{end}after\n"
    assert pages[0].read_text() == "no marks\n"
    with pytest.raises(ValueError, match="No page has the marks"):
        _readme.put("truth", "text", pages)


def committed(name):
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("speed", lambda: peers.table(committed("peers")["rows"])),
        ("known truth", lambda: ground_truth.readme_table(committed("ground_truth"))),
        ("real tables", lambda: real_tables.table_by_table(committed("real_tables"))),
        ("real tables in short", lambda: real_tables.in_short(committed("real_tables"))),
        ("known predictors", lambda: known_predictors.by_kind(committed("known_predictors"))),
    ],
)
def test_it_says_what_the_results_say(name, text):
    assert _readme.read(name)[2] == text()


def test_what_it_says_in_words_holds():
    truth, real = committed("ground_truth"), committed("real_tables")
    peers = [d for d in truth["differences"] if not d["method"].startswith("network")]
    worse = {(d["design"], d["method"]) for d in peers if d["auroc"] < -d["auroc_ci"]}
    assert worse == {("xor", "boosting, permutation")}
    for measure in ("auroc", "accuracy"):
        best = max(truth["overall"], key=lambda row: row[measure])
        assert best["method"].startswith("network, ")
    assert not [d for d in real["differences"] if d["difference"] < -d["interval"]]
    # Of fewer than 2,000 rows.
    slower = [row for row in real["times boosting"] if row["table"] != "readmission"]
    assert max(row["refit seconds"] for row in slower) < 3.05
    assert min(row["seconds"] for row in slower) > 2.45
    assert max(row["seconds"] for row in slower) < 32.5
