from __future__ import annotations

import subprocess
import sys


def test_module_runs_as_a_program_and_explains_itself():
    result = subprocess.run(
        [sys.executable, "-m", "sknninterp.cli", "rank", "--help"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    for word in ("--target", "--positive", "--group", "--pruning-rates", "examples:"):
        assert word in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_exit_code_reaches_the_shell(tmp_path):
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
