"""Changed files: errors of one kind, no code run; and the benchmark sees what it looks for."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import mutated_files

ROOT = Path(__file__).parents[2]


def in_a_process(code):
    """Audit hooks stay for good: not in this process."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_changed_files():
    pytest.importorskip("skops")
    code = "import json, benchmarks.mutated_files as m; print(json.dumps(m.run(60, seed=1)))"
    found = in_a_process(code)
    assert sum(found["outcomes"].values()) == 60
    assert not [outcome for outcome in found["outcomes"] if outcome.startswith("other error")]
    assert found["outcomes"]["error"] > 30
    assert found["heard"] == {}
    assert found["added_peak_mib"] < 500


def test_listener_hears_code_that_is_run():
    code = """
import ast, json, os, pickle
from benchmarks.mutated_files import Listener
listener = Listener()
listener.listens = True
ast.literal_eval("(1,)")
eval("1")
os.system("true")
pickle.loads(pickle.dumps(os.path.join))
open(os.devnull, "w").close()
open(os.devnull).close()
listener.listens = False
os.system("true")
print(json.dumps({**listener.heard, "literals": listener.literals}))
"""
    heard = in_a_process(code)
    assert {"compile", "os.system", "pickle.find_class", "open"} <= {k.split()[0] for k in heard}
    assert heard["literals"] == heard["compile b'1'"] == 1
    assert heard["os.system b'true'"] == 1
    assert heard[next(k for k in heard if k.startswith("open"))] == 1


CHANGES = {
    change.__name__: change for change in (*mutated_files.AS_IT_IS, *mutated_files.WITH_CHECKSUM)
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_one(name, tmp_path):
    from sknninterp import TorchMLPClassifier, save

    save(TorchMLPClassifier((3,), max_epochs=1).fit(np.eye(4), [0, 1, 0, 1]), tmp_path / "a")
    raw = (tmp_path / "a").read_bytes()
    rng = np.random.default_rng(0)
    assert any(CHANGES[name](raw, rng) != raw for _ in range(3))


def test_checksum_made_good_is_the_packages():
    import torch

    from sknninterp.persistence._container import _digest

    tensors = {"b": torch.arange(3), "a": torch.ones(2, 2), "c": torch.empty(0)}
    assert mutated_files._digest("{}", tensors) == _digest("{}", tensors)
