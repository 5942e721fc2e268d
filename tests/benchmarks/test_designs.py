"""The designs of known truth: what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.designs import DESIGNS, N_TEST, make


@pytest.mark.parametrize("name", DESIGNS)
def test_sizes_truth_and_chance(name):
    table = make(name, 0)
    n_train = 500 if name == "wide" else 1000
    assert len(table.X) == len(table.y) == n_train
    assert len(table.X_test) == len(table.y_test) == N_TEST
    assert len(table.relevant) == table.X.shape[1]
    n_relevant = {"interactions": 8, "xor": 6, "correlated blocks": 10, "wide": 10}.get(name, 20)
    assert np.nansum(table.relevant) == n_relevant
    shares = np.bincount(table.y) / len(table.y)
    assert len(shares) == (4 if name == "class-specific" else 2)
    assert shares.min() > 0.1
    again, other = make(name, 0), make(name, 1)
    assert table.X.equals(again.X) and (table.y == again.y).all()
    assert not table.X.equals(other.X)


def test_the_truth_is_that_of_the_columns():
    """Without its relevant columns nothing of a linear table is left to tell."""
    table = make("linear", 3)
    relevant = table.relevant.astype(bool)
    signal = np.abs(np.corrcoef(table.X_test.T, table.y_test)[-1, :-1])
    assert signal[relevant].min() > 0.02
    assert signal[relevant].mean() > 4 * signal[~relevant].mean()


def test_what_is_special():
    assert 0.15 < make("missing values", 0).X.isna().to_numpy().mean() < 0.25
    assert make("categories", 0).X.select_dtypes("number").shape[1] == 100
    copies = make("copies", 0)
    assert np.isnan(copies.relevant).sum() == 20
    strongest = np.abs(np.corrcoef(copies.X.T) - np.eye(200)).max(1)
    paired = np.isnan(copies.relevant) | (copies.relevant == 1)
    assert strongest[paired].min() > 0.8 > strongest[~paired].max()
