"""Histograms of many neurons against numpy's, neuron by neuron; the divergence."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sknninterp.nn.histograms import Histogram, kl_divergence

EDGES = np.linspace(-3, 3, 23)
NEIGHBOURS = [np.nextafter(edge, side) for edge in EDGES for side in (-4, 4)]
values_2d = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=8),
    # Edges, what is next to them and far-off values are as likely as any other.
    elements=st.one_of(
        st.floats(-10, 10),
        st.sampled_from([*EDGES, *NEIGHBOURS, -1e9, 1e9, -np.inf, np.inf]),
    ),
)


def counts_of(column, edges=EDGES, weights=None):
    return np.histogram(np.clip(column, edges[0], edges[-1]), edges, weights=weights)[0]


@given(values_2d)
def test_counts_batch_by_batch(values):
    histogram = Histogram(values.shape[1], torch.from_numpy(EDGES))
    for part in np.array_split(values, 3):
        histogram.add(torch.from_numpy(part))
    for unit, column in enumerate(values.T):
        np.testing.assert_array_equal(histogram.counts[unit], counts_of(column))
        np.testing.assert_allclose(
            histogram.probabilities[unit], counts_of(column) / len(column), rtol=1e-12
        )


@given(values_2d, st.integers(0, 2**32 - 1))
def test_weighted_samples(values, seed):
    weights = np.random.default_rng(seed).uniform(0.1, 2, values.shape)
    of_samples = Histogram(values.shape[1], torch.from_numpy(EDGES))
    of_samples.add(torch.from_numpy(values), torch.from_numpy(weights[:, 0]))
    of_units = Histogram(values.shape[1], torch.from_numpy(EDGES))
    of_units.add(torch.from_numpy(values), torch.from_numpy(weights))
    for unit, column in enumerate(values.T):
        expected = counts_of(column, weights=weights[:, 0])
        np.testing.assert_allclose(of_samples.counts[unit], expected)
        np.testing.assert_allclose(
            of_units.counts[unit], counts_of(column, weights=weights[:, unit])
        )


@given(st.integers(2, 40), st.floats(-5, 5), st.floats(0.01, 50), st.integers(0, 2**32 - 1))
def test_any_even_bins(n_bins, low, width, seed):
    edges = np.linspace(low, low + width, n_bins + 1)
    values = np.random.default_rng(seed).uniform(low - width, low + 2 * width, 100)
    values = np.concatenate([values, edges, np.nextafter(edges, -100), np.nextafter(edges, 100)])
    histogram = Histogram(1, torch.from_numpy(edges))
    histogram.add(torch.from_numpy(values[:, None]))
    expected = np.bincount(np.digitize(values, edges[1:-1]), minlength=n_bins)
    np.testing.assert_array_equal(histogram.counts[0], expected)


def test_uneven_bins():
    values = np.random.default_rng(0).normal(size=(200, 3))
    edges = np.array([-1.0, -0.1, 0.0, 2.0])
    histogram = Histogram(3, torch.from_numpy(edges))
    histogram.add(torch.from_numpy(values))
    for unit in range(3):
        np.testing.assert_array_equal(histogram.counts[unit], counts_of(values[:, unit], edges))


def test_feature_maps_count_every_position():
    values = torch.randn(5, 3, 4, 2, dtype=torch.float64)
    weight = torch.tensor([1.0, 2.0, 0.0, 0.5, 3.0])
    histogram = Histogram(3, torch.from_numpy(EDGES))
    histogram.add(values, weight)
    for channel in range(3):
        weights = weight.double().repeat_interleave(8)
        expected = counts_of(values[:, channel].flatten().numpy(), weights=weights.numpy())
        np.testing.assert_allclose(histogram.counts[channel], expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_units_in_a_shape_of_their_own(weighted):
    """As in a stack: of each network its own samples, whose weights differ."""
    values = torch.randn(2, 30, 4, dtype=torch.float64)  # networks, samples, neurons
    weight = torch.rand(2, 30, dtype=torch.float64) if weighted else None
    histogram = Histogram((2, 4), torch.from_numpy(EDGES))
    histogram.add(values.movedim(1, 0), None if weight is None else weight.T)
    assert histogram.probabilities.shape == (2, 4, 22)
    for network in range(2):
        for unit in range(4):
            own = None if weight is None else weight[network].numpy()
            expected = counts_of(values[network, :, unit].numpy(), weights=own)
            np.testing.assert_allclose(histogram.counts[network, unit], expected)


def test_each_units_own_edges():
    values = torch.randn(50, 2, dtype=torch.float64) * torch.tensor([1.0, 10.0])
    edges = np.stack([np.histogram_bin_edges(column, 6) for column in values.T.numpy()])
    histogram = Histogram(2, torch.from_numpy(edges))
    histogram.add(values)
    for unit in range(2):
        counts, _ = np.histogram(values[:, unit].numpy(), edges[unit])
        np.testing.assert_array_equal(histogram.counts[unit], counts)


def test_single_precision():
    edges = torch.linspace(-3, 3, 7, dtype=torch.float64)  # whole numbers, exact in both
    histogram = Histogram(1, edges)
    histogram.add(torch.tensor([[-3.0], [-2.0], [0.0], [2.999], [3.0], [7.0]]))
    assert histogram.counts.tolist() == [[1, 1, 0, 1, 0, 3]]
    values = 2 * torch.randn(20_000, 1)
    histogram = Histogram(1, torch.from_numpy(EDGES))
    histogram.add(values)
    places = torch.searchsorted(torch.from_numpy(EDGES[1:-1]).float(), values[:, 0], right=True)
    np.testing.assert_array_equal(histogram.counts[0], np.bincount(places, minlength=22))


def test_what_is_no_number_goes_to_the_last_bin_as_in_a_look_up():
    histogram = Histogram(1, torch.from_numpy(EDGES))
    histogram.add(torch.tensor([[np.nan], [0.1]]))
    assert histogram.counts[0, -1] == 1


@given(
    hnp.arrays(np.float64, (3, 5), elements=st.floats(0.0, 1)),
    hnp.arrays(np.float64, 5, elements=st.floats(0.01, 1)),
)
def test_kl_divergence_as_published(p, q):
    p, q = (p + 1e-9) / (p + 1e-9).sum(1, keepdims=True), q / q.sum()
    found = kl_divergence(torch.from_numpy(p), torch.from_numpy(q)).numpy()
    expected = [
        sum(a * math.log((a + 1e-5) / (b + 1e-5)) for a, b in zip(row, q, strict=True)) for row in p
    ]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert kl_divergence(torch.from_numpy(q[None]), torch.from_numpy(q)).item() == 0
