"""Every example runs, draws something and prints no warning."""

from __future__ import annotations

import os
import re
import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("plot_*.py"))
# Those that load a real set of the package's own loaders, which tests do not fetch.
NEED_DATA = {
    path.stem
    for path in EXAMPLES
    if re.search(r"sknninterp\.datasets import .*load_", path.read_text(encoding="utf-8"))
}


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path, monkeypatch):
    if path.stem in NEED_DATA and not os.environ.get("SKNNINTERP_DATA"):
        pytest.skip("needs the data sets: SKNNINTERP_DATA is not set")
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.extend(plt.get_fignums()))
    folder = os.environ.get("SKNNINTERP_PICTURES")
    try:
        runpy.run_path(str(path))
        assert shown
        if folder:
            for number in shown:
                plt.figure(number).savefig(Path(folder) / f"{path.stem}_{number}.png", dpi=80)
    finally:
        plt.close("all")
