"""Fits that are killed: the children, what is counted, and that a difference would be seen."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from benchmarks import killed_fits

CHILDREN = """
import json, os, sys, time
from pathlib import Path
import torch
from benchmarks import killed_fits

torch.set_num_threads(1)
path = Path(sys.argv[1], "done")
assert killed_fits.in_child(path.touch) and path.exists()
start = time.monotonic()
assert not killed_fits.in_child(lambda: time.sleep(60), 0.05)
assert time.monotonic() - start < 30
try:
    killed_fits.in_child(lambda: 1 / 0)
except RuntimeError as error:
    assert "A fit has failed" in str(error)
else:
    raise AssertionError
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:  # none is left
    rows = killed_fits.trials(n_trials=4, n_epochs=6, n_samples=200)
    path.write_text(json.dumps(rows))
"""


def test_killed_fits_end_the_same(tmp_path):
    # In a process of its own: children of one with threads may wait for these.
    command = [sys.executable, "-c", CHILDREN, str(tmp_path)]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert "in the child: ZeroDivisionError" in told
    rows = json.loads((tmp_path / "done").read_text())
    assert [row["name"] for row in rows] == list(killed_fits.kinds(6))
    for row in rows:
        assert row["trials"] == row["killed"] == row["identical"] == row["folders_left_clean"] == 1
        assert row["kills"] == len(row["runs"][0]["epochs_kept"]) >= 1


def test_another_network_is_seen():
    estimators, (X, y) = killed_fits.kinds(4), killed_fits.data(200)
    for estimator in estimators.values():
        found = killed_fits.outcome(estimator.fit(X, y))
        assert killed_fits.identical(found, dict(found))
        name = next(name for name, value in found.items() if isinstance(value, torch.Tensor))
        nudged = torch.nextafter(found[name], torch.tensor(np.inf))
        table = next(name for name in found if name.endswith("history_"))
        assert not killed_fits.identical(found, {**found, name: nudged})
        assert not killed_fits.identical(found, {**found, table: "{}"})
        assert not killed_fits.identical(found, {**found, "more": nudged})


def test_what_is_written():
    save = killed_fits.Part.save
    rows = killed_fits.writing(n_epochs=4, n_samples=150)
    assert killed_fits.Part.save is save
    assert [row["name"] for row in rows] == list(killed_fits.kinds(4))
    for row in rows:
        assert row["states"] >= 2
        assert 0 < row["writing_s"] < row["fit_s"]
        assert row["share"] == pytest.approx(row["writing_s"] / row["fit_s"], abs=0.02)
