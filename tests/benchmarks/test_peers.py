"""The table of speeds is made from committed results, and put where it belongs."""

from __future__ import annotations

import json

import pytest

from benchmarks import peers


@pytest.fixture
def results(tmp_path):
    rows = [
        {"name": "TorchMLPClassifier", "median_s": 0.5, "ratio": 0.8},
        {"name": "another", "median_s": 1.5, "ratio": 2.0},
    ]
    timed = {"results": {f"{name}": {"rows": rows} for name in ("a", "b")}}
    (tmp_path / "training.json").write_text(json.dumps(timed))
    return tmp_path


def test_others_are_told_as_multiples_of_ours(results, monkeypatch):
    claims = [
        peers.Claim("training", "training", ("results", "a", "rows"), "TorchMLPClassifier"),
        peers.Claim("not run", "no_such_benchmark", ("rows",), "ours"),
    ]
    monkeypatch.setattr(peers, "CLAIMS", claims)
    (row,) = peers.gather(results)
    assert row["seconds"] == 0.5
    assert row["others"] == {"another": 2.5}
    assert "| training | 0.5 s | another: 2.5 |" in peers.table([row])


def test_every_claim_is_found_in_what_is_committed():
    found = {row["what"] for row in peers.gather()}
    finished = {path.stem for path in peers.RESULTS.glob("*.json")}
    assert found == {claim.what for claim in peers.CLAIMS if claim.benchmark in finished}
