"""Devices, seeds and numbers of threads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sknninterp import TorchMLPClassifier
from sknninterp.estimators._device import draw_seed, resolve_device, seeded, threads_for

# --- devices ------------------------------------------------------------------------------------


def test_auto_takes_the_gpu_if_there_is_one():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert resolve_device("auto") == torch.device(expected)


def test_auto_is_the_gpu_where_torch_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("cuda")


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")], ids=["name", "device"])
def test_device_by_name_or_as_torch_has_it(device):
    assert resolve_device(device) == torch.device("cpu")


@pytest.mark.parametrize("device", ["gpu", "meta", "cpu:x", ""])
def test_what_is_no_device(device):
    with pytest.raises(ValueError, match=f"device='{device}' cannot be used here: "):
        resolve_device(device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:1", torch.device("cuda")], ids=str)
def test_gpu_where_there_is_none(device):
    with pytest.raises(ValueError, match="device=.*cuda.* cannot be used here"):
        resolve_device(device)
    with pytest.raises(ValueError, match="device=.*cuda.* cannot be used here"):
        TorchMLPClassifier(device=device).fit([[0.0], [1.0]], [0, 1])


# --- seeds --------------------------------------------------------------------------------------


def test_seeds_are_drawn_one_after_the_other():
    source = np.random.RandomState(0)
    seeds = [draw_seed(source) for _ in range(50)]
    assert len(set(seeds)) == 50
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert max(seeds) > 2**30  # the whole range
    again = np.random.RandomState(0)
    assert seeds == [draw_seed(again) for _ in range(50)]


@pytest.mark.usefixtures("global_rng_untouched")
def test_seeded_numbers():
    def numbers(source):
        with seeded(source):
            return torch.randn(3)

    source = np.random.RandomState(0)
    first, second = numbers(source), numbers(source)
    assert not torch.equal(first, second)
    assert torch.equal(first, numbers(np.random.RandomState(0)))


@pytest.mark.usefixtures("global_rng_untouched")
def test_state_is_back_after_an_error():
    with pytest.raises(RuntimeError, match="stop here"), seeded(np.random.RandomState(0)):
        torch.randn(3)
        raise RuntimeError("stop here")


# --- threads ------------------------------------------------------------------------------------


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("multiplications", "inside"), [(0, 1), (1e6, 1), (1e9, 2)])
def test_small_batches_have_one_thread(multiplications, inside):
    with threads_for(multiplications):
        assert torch.get_num_threads() == inside
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_threads_are_back_after_an_error():
    with pytest.raises(RuntimeError, match="stop here"), threads_for(0):
        raise RuntimeError("stop here")
    assert torch.get_num_threads() == 2
