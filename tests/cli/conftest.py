"""A small clinic: a table of mixed types in which it is known what matters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sknninterp.cli import main


@pytest.fixture(scope="session")
def clinic() -> pd.DataFrame:
    """500 visits of 200 patients; the outcome depends on `marker`, `treatment` and `stage` only."""
    rng = np.random.default_rng(0)
    n = 500
    frame = pd.DataFrame(
        {
            "visit": [f"v{i:04d}" for i in range(n)],
            "patient": rng.integers(0, 200, n),
            "marker": rng.normal(5, 2, n).round(3),
            "treatment": rng.choice(["None", "drug A", "drug B"], n),
            "stage": rng.integers(1, 5, n),
            "noise": rng.normal(size=n).round(3),
            "colour": rng.choice(["red", "green", "blue"], n),
            "age": rng.integers(20, 90, n),
        }
    )
    logit = frame["marker"] - 5 + 2.5 * (frame["treatment"] == "drug A") + frame["stage"] - 3.5
    frame["outcome"] = np.where(logit + rng.logistic(size=n) * 0.7 > 0, "ill", "well")
    frame["length"] = (3 * logit + rng.normal(size=n)).round(2) + 100
    frame.loc[rng.random(n) < 0.1, "marker"] = np.nan
    frame.loc[rng.random(n) < 0.1, "colour"] = np.nan
    return frame


@pytest.fixture(scope="session")
def clinic_csv(clinic, tmp_path_factory):
    """The visits in a file, without the quantity to predict."""
    path = tmp_path_factory.mktemp("clinic") / "clinic.csv"
    clinic.drop(columns="length").to_csv(path, index=False)
    return path


@pytest.fixture
def fails(capsys):
    """Run the command, which must fail with one line on stderr; returns that line."""

    def run(*arguments) -> str:
        assert main([str(one) for one in arguments]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        lines = [line for line in output.err.splitlines() if "B/s" not in line and line.strip()]
        assert len(lines) == 1, output.err
        assert lines[0].startswith("sknninterp: error: ")
        return lines[0]

    return run
