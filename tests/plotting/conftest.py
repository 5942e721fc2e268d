"""Data to draw, and what is done with every figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg


@pytest.fixture
def no_new_figure():
    """Fail the test if it leaves a new figure behind."""
    before = plt.get_fignums()
    yield
    assert plt.get_fignums() == before


@pytest.fixture
def values():
    """Attributions of 30 samples to 5 features, of magnitudes that differ clearly."""
    return np.random.default_rng(0).normal(size=(30, 5)) * [1, 3, 0.1, 2, 0.5]


@pytest.fixture
def data():
    """The samples that `values` are about: columns of all types, one with missing values."""
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "age": rng.integers(20, 90, 30),
            "sex": rng.choice(["f", "m"], 30),
            "dose": np.where(rng.random(30) < 0.3, np.nan, rng.random(30)),
            "smoker": rng.random(30) < 0.5,
            "stage": pd.Categorical(rng.choice(["I", "II"], 30)),
        }
    )


@pytest.fixture
def by_magnitude():
    """The columns of `data` by the magnitude of their `values`, the largest first."""
    return ["sex", "smoker", "age", "stage", "dose"]


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(size=(3, 6, 4))


@pytest.fixture
def tuning():
    """Neurons removed from two layers after three epochs."""
    return pd.DataFrame(
        {
            "epoch": [1, 1, 1, 2, 2, 4],
            "layer": [0, 0, 1, 0, 1, 0],
            "neuron": [3, 5, 0, 1, 2, 7],
            "score": [2.0, 1.0, 3.0, 0.5, 2.5, 0.2],
        }
    )


@pytest.fixture
def history():
    """Three epochs, with metrics and with columns that are none."""
    return pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "valid_acc": [0.5, 0.6, 0.7],
            "train_loss": [1.0, 0.8, 0.7],
            "valid_loss": [1.1, 0.9, 0.9],
            "train_loss_best": [True, True, True],
            "dur": [0.1, 0.1, 0.1],
            "entropy": [3.0, np.nan, 2.0],
            "empty": [np.nan] * 3,
            "note": ["a", "b", "c"],
            "train_batch_count": [4, 4, 4],
        }
    )


@pytest.fixture
def render():
    """Return a function that draws every artist of a figure."""

    def draw(figure):
        # A figure that pyplot does not know has a canvas that would draw nothing.
        FigureCanvasAgg(figure).draw()
        return figure

    return draw


@pytest.fixture
def row_names():
    """Return a function that reads the names of the rows of an Axes."""
    return lambda ax: [label.get_text() for label in ax.get_yticklabels()]
