"""What tests and doctests share."""

from __future__ import annotations

import pytest
from matplotlib import pyplot as plt


@pytest.fixture(autouse=True)
def figures_closed():
    """Close what a test has drawn: pyplot warns of too many open figures."""
    yield
    plt.close("all")
