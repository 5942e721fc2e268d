"""How the search's networks are best trained: every variant, and the tables of results."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks import training_defaults
from benchmarks.designs import Table


@pytest.fixture
def table(monkeypatch):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(120, 3)), columns=["a", "b", "c"])
    X.loc[::7, "c"] = np.nan
    y = (X["a"] > 0).astype(int).to_numpy()
    found = Table(X[:80], y[:80], X[80:], y[80:], np.array([1, 0, 0]))
    monkeypatch.setattr(training_defaults, "samples", lambda table, seed: found)
    return found


@pytest.mark.parametrize("variant", training_defaults.VARIANTS)
def test_variants(table, variant):
    found = training_defaults.run({"variant": variant, "table": "linear", "seed": 0})
    assert found["recovery"] == 1
    assert found["AUC"] > 0.9
    assert found["log loss"] < 0.6


def test_every_variant_is_another_network(table):
    told = {str(training_defaults.model(variant, 400)) for variant in training_defaults.VARIANTS}
    # Label smoothing is in the samples.
    assert len(told) == len(training_defaults.VARIANTS) - 1


def test_smoothed_labels(table):
    proba = training_defaults.fit("label smoothing .1", table.X, table.y).predict_proba(table.X)
    sharp = training_defaults.fit("as it is", table.X, table.y).predict_proba(table.X)
    assert np.abs(proba - 0.5).max() < np.abs(sharp - 0.5).max()


def test_differences_are_paired():
    results = [
        {"variant": v, "table": t, "seed": s, "recovery": None, "AUC": 0.8 + s / 10 + d}
        | {"log loss": 0.5, "seconds": 1.0}
        for v, d in ((training_defaults.DEFAULT, 0.0), ("dropout .2", 0.01))
        for t in ("heart", "linear")
        for s in range(2)
    ]
    found = training_defaults.tables(results)["differences"]
    np.testing.assert_allclose(found["AUC"], 0.01)
    np.testing.assert_allclose(found["AUC_ci"], 0, atol=1e-9)
    assert set(found["kind"]) == {"designs", "clinical"}
