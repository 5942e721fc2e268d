"""Sizes of chunks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sknninterp.nn import chunks
from sknninterp.nn.chunks import chunk_sizes, most_rows, slices
from sknninterp.nn.graph import read


def test_rows_are_counted_at_the_widest_node(monkeypatch):
    graph = read(nn.Sequential(nn.Linear(4, 50), nn.ReLU(), nn.Linear(50, 2)), (4,))
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 50 * 8 * 7)
    assert most_rows(graph.nodes, torch.zeros(1, 4, dtype=torch.float64)) == 7
    assert most_rows(graph.nodes, torch.zeros(1, 4)) == 14
    assert most_rows(graph.nodes[:1], torch.zeros(1, 4)) == 50 * 7 * 2 // 4
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 1)
    assert most_rows(graph.nodes, torch.zeros(1, 4)) == 1


@pytest.mark.parametrize("n_rows", [0, 1, 3, 10, 11, 1000])
@pytest.mark.parametrize("most", [1, 3, 10])
def test_a_chunk_holds_all_rows_where_they_fit(n_rows, most):
    rows, samples = chunk_sizes(n_rows, most)
    assert rows == max(1, min(n_rows, most))
    assert samples >= 1
    assert rows * samples <= most < rows * (samples + 1)


@pytest.mark.parametrize("n", [0, 1, 6, 7])
def test_slices_cover_everything_once(n):
    found = slices(n, 3)
    assert [i for part in found for i in range(n)[part]] == list(range(n))
    assert all(part.stop <= n for part in found)
