"""What is written beside results: what made them."""

from __future__ import annotations

import json
import sys

from benchmarks import _timing


def test_kept_results_keep_their_commands(tmp_path, monkeypatch):
    monkeypatch.setattr(_timing, "RESULTS", tmp_path)

    def written(*arguments):
        monkeypatch.setattr(sys, "argv", ["file.py", *arguments, "--work", "elsewhere"])
        return json.loads(_timing.write("some", {"rows": []}).read_text())

    first, b, c = "python -m benchmarks.some", "--methods b --keep", "--methods c --keep"
    assert "commands_before" not in written()
    assert written(*b.split())["commands_before"] == [first]
    found = written(*c.split())
    assert found["command"] == f"{first} {c}"
    assert found["commands_before"] == [first, f"{first} {b}"]
    assert written(*b.split())["commands_before"] == [first, f"{first} {c}"]
    assert "commands_before" not in written()
