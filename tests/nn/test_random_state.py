"""Random numbers for one thread at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from time import sleep

import torch

from sknninterp.nn.random_state import own_random_numbers, random_numbers, set_random_numbers


def draw(seed):
    with own_random_numbers(seed):
        found = []
        for _ in range(5):
            found.append(torch.rand(()).item())
            sleep(0.001)
        with own_random_numbers(seed):  # by the same thread
            again = torch.rand(()).item()
        return [*found, torch.rand(()).item(), again]


def test_threads_draw_as_if_they_were_alone():
    expected = [draw(seed) for seed in range(8)]
    assert expected[3] == [
        *torch.rand(6, generator=torch.Generator().manual_seed(3)).tolist(),
        expected[3][0],
    ]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(draw, range(8))) == expected


def test_the_state_is_back_after_it():
    before = torch.get_rng_state()
    draw(0)
    assert torch.equal(torch.get_rng_state(), before)


def test_random_numbers_go_on():
    with torch.random.fork_rng():
        states = random_numbers("cpu")
        first = torch.rand(3)
        set_random_numbers(states, "cpu")
        assert torch.equal(torch.rand(3), first)
