"""Settings and fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import settings

matplotlib.use("Agg")
# Threads cost small networks more than they bring, and the test workers are processes already.
torch.set_num_threads(1)

# Random in development, where it may find something new; the same examples every time in CI.
settings.register_profile("dev", deadline=None, max_examples=30)
settings.register_profile("ci", parent=settings.get_profile("dev"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(scope="session")
def data_home() -> Path:
    """Folder of the real data sets; a test that asks for it is skipped where there is none."""
    folder = os.environ.get("SKNNINTERP_DATA")
    if not folder:
        pytest.skip("the environment variable SKNNINTERP_DATA names no folder with the data sets")
    path = Path(folder)
    # A wrong folder is a mistake, and must not pass for a machine without data.
    assert path.is_dir(), f"SKNNINTERP_DATA is {folder!r}, which is not a folder"
    return path


@pytest.fixture
def global_rng_untouched():
    """Fail the test if it moves the global random state of numpy or torch."""
    numpy_before, torch_before = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    yield
    numpy_after, torch_after = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    np.testing.assert_equal(numpy_after, numpy_before, err_msg="numpy's global state was moved")
    assert torch.equal(torch_after, torch_before), "torch's global random state was moved"
