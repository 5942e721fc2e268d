"""When neurons go, and how many."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sknninterp.nn.schedule import Schedule

schedules = st.builds(
    Schedule,
    max_epochs=st.integers(1, 60),
    pruning_rate=st.floats(0, 0.95),
    tuning_step=st.integers(1, 12),
    tuning_start=st.floats(0, 0.5),
    tuning_stop=st.floats(0.5, 1.0),
)


@given(schedules)
def test_epochs_are_multiples_of_the_step_inside_the_window(schedule):
    for epoch in range(schedule.max_epochs + 5):
        share = epoch / schedule.max_epochs
        inside = schedule.tuning_start - 1e-9 <= share <= schedule.tuning_stop + 1e-9
        expected = inside and epoch % schedule.tuning_step == 0 and 0 < epoch < schedule.max_epochs
        assert (epoch in schedule.epochs) == expected


@given(schedules, st.integers(1, 200))
def test_neurons_go_evenly_and_add_up_to_the_rate(schedule, width):
    assume(schedule.epochs)
    try:
        total = schedule.total(width)
    except ValueError:
        assert width - int(schedule.pruning_rate * width) < 1
        return
    assert total == pytest.approx(schedule.pruning_rate * width, abs=1)
    assert total <= schedule.pruning_rate * width + 1e-6
    gone = [schedule.gone_after(epoch, width) for epoch in range(schedule.max_epochs + 1)]
    assert gone[0] == 0
    assert gone[-1] == total
    steps = [b - a for a, b in zip(gone, gone[1:], strict=False)]
    assert gone[schedule.max_epochs - 1] == total  # none after the last epoch
    at_tunings = [step for epoch, step in enumerate(steps, 1) if epoch in schedule.epochs]
    assert sum(steps) == sum(at_tunings)
    assert max(at_tunings) - min(at_tunings) <= 1


@given(
    max_epochs=st.integers(2, 50),
    tuning_step=st.integers(1, 10),
    n_tuned=st.integers(0, 5),
)
def test_a_fixed_number_goes_at_every_tuning(max_epochs, tuning_step, n_tuned):
    """Algorithm 1 as published: n neurons every k epochs, n * floor((E - 1) / k) in all."""
    schedule = Schedule(max_epochs, n_tuned=n_tuned, tuning_step=tuning_step, tuning_stop=1.0)
    n_tunings = (max_epochs - 1) // tuning_step
    assume(n_tunings)
    assert schedule.total(1000) == n_tuned * n_tunings
    for epoch in range(1, max_epochs + 1):
        gone = schedule.gone_after(epoch, 1000)
        assert gone == n_tuned * min(epoch // tuning_step, n_tunings)


def test_by_default_the_last_fifth_is_recovery():
    schedule = Schedule(10, pruning_rate=0.5)
    assert schedule.epochs == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [schedule.gone_after(e, 8) for e in range(11)] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4]


@pytest.mark.parametrize(
    ("options", "epochs"),
    [
        ({"tuning_start": 0.3, "tuning_stop": 0.7}, [3, 4, 5, 6, 7]),
        ({"tuning_step": 3, "tuning_stop": 1.0}, [3, 6, 9]),
        ({"tuning_step": 5, "tuning_stop": 1.0}, [5]),
        ({"tuning_start": 0.85, "tuning_stop": 1.0}, [9]),
    ],
)
def test_window_and_step(options, epochs):
    assert Schedule(10, **options).epochs == epochs


def test_window_is_not_moved_by_rounding():
    # 0.07 * 100 is a little more than 7, 0.29 * 100 a little less than 29.
    assert Schedule(100, tuning_start=0.07, tuning_stop=0.29).epochs == list(range(7, 30))


@pytest.mark.parametrize(("rate", "width", "total"), [(0.29, 100, 29), (0.1, 30, 3), (0.5, 5, 2)])
def test_share_is_rounded_down_but_not_by_rounding_errors(rate, width, total):
    assert Schedule(10, pruning_rate=rate).total(width) == total


def test_active():
    assert Schedule(10).active
    assert not Schedule(10, pruning_rate=0.0).active
    assert Schedule(10, pruning_rate=0.0, n_tuned=1).active


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pruning_rate": 1.0}, r"pruning_rate=1.0 would leave 0 of 4 neurons in layer 'h'"),
        ({"pruning_rate": 2.0}, r"pruning_rate=2.0 would leave 0 of 4"),
        ({"n_tuned": 1}, r"n_tuned=1 x 8 tunings would leave 0 of 4"),
        ({"pruning_rate": 0.75, "min_neurons": 2}, r"leave 1 of 4 .* min_neurons=2 must stay"),
    ],
)
def test_a_layer_is_never_emptied(options, message):
    with pytest.raises(ValueError, match=message):
        Schedule(10, **options).total(4, "h")


@pytest.mark.parametrize(
    "options",
    [
        {"max_epochs": 1},
        {"max_epochs": 10, "tuning_step": 10},
        {"max_epochs": 10, "tuning_start": 0.95, "tuning_stop": 1.0},
        {"max_epochs": 10, "tuning_step": 7, "tuning_stop": 0.5},
    ],
)
def test_no_epoch_to_tune_after_is_an_error(options):
    with pytest.raises(ValueError, match=r"no epoch of max_epochs=\d+ lies between tuning_start"):
        Schedule(**options).total(100)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pruning_rate": -0.5}, "pruning_rate=-0.5 must not be negative"),
        ({"n_tuned": -1}, "n_tuned=-1 must not be negative"),
        ({"tuning_step": 0}, "tuning_step=0 must be at least 1"),
        ({"min_neurons": 0}, "min_neurons=0 must be at least 1"),
    ],
)
def test_senseless_settings(options, message):
    with pytest.raises(ValueError, match=message):
        Schedule(10, **options)
