from __future__ import annotations

import runpy
import subprocess
import sys

import pytest


def test_module_explains_itself(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "sknninterp.cli.__main__", raising=False)
    monkeypatch.setattr(sys, "argv", ["sknninterp", "rank", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("sknninterp.cli", run_name="__main__")
    assert ended.value.code == 0
    said, errors = capsys.readouterr()
    assert errors == ""
    for word in ("--target", "--positive", "--group", "--pruning-rates", "examples:"):
        assert word in said
    assert max(map(len, said.splitlines())) <= 100


def test_module_runs_as_a_program_whose_exit_code_reaches_the_shell(tmp_path):
    missing = tmp_path / "missing.csv"
    result = subprocess.run(
        [sys.executable, "-m", "sknninterp.cli", "rank", missing, "--target", "y"]
        + ["--out", tmp_path / "out"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 2
    assert result.stderr == f"sknninterp: error: the file '{missing}' was not found\n"
