"""Kinds of unit: means, derivatives, and samples with the right moments."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from scipy import integrate, stats

from sknninterp.nn.units import UNITS, unit_of, visible_unit

NAMES = sorted(UNITS)
INPUTS = torch.tensor([-3.0, -1.1, -0.4, 0.0, 0.3, 1.2, 2.5], dtype=torch.float64)

MEAN = {
    "bernoulli": lambda s: 1 / (1 + math.exp(-s)),
    "gaussian": lambda s: s,
    "linear": lambda s: s,
    "relu": lambda s: max(s, 0.0),
    "tanh": math.tanh,
}


@pytest.mark.parametrize("name", NAMES)
def test_mean_is_the_formula(name):
    expected = [MEAN[name](s) for s in INPUTS.tolist()]
    assert unit_of(name).mean(INPUTS).tolist() == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_mean_in_place_is_the_mean(name):
    inputs = INPUTS.clone()
    assert unit_of(name).mean_(inputs) is inputs
    assert torch.equal(inputs, unit_of(name).mean(INPUTS))


@pytest.mark.parametrize("name", NAMES)
def test_derivative_is_that_of_the_mean(name):
    inputs = INPUTS.clone().requires_grad_()
    mean = unit_of(name).mean(inputs)
    (expected,) = torch.autograd.grad(mean.sum(), inputs)
    assert torch.allclose(unit_of(name).derivative(mean), expected, rtol=0, atol=1e-14)


def test_derivative_of_relu_at_zero_is_zero():
    unit = unit_of("relu")
    assert unit.derivative(unit.mean(torch.zeros(3))).tolist() == [0.0, 0.0, 0.0]


def noisy_relu_moments(s):
    """First two moments of max(0, S + N(0, sigmoid(S))), by integration."""
    normal = stats.norm(s, math.sqrt(1 / (1 + math.exp(-s))))
    upper = s + 12
    return [
        integrate.quad(lambda x, p=power: x**p * normal.pdf(x), 0, upper, points=[max(s, 0)])[0]
        for power in (1, 2)
    ]


def moments(name, s):
    """First two moments of a sample."""
    mean = MEAN[name](s)
    if name == "relu":
        return noisy_relu_moments(s)
    second = {"bernoulli": mean, "tanh": 1.0}
    return [mean, second.get(name, 1 + mean**2)]


@pytest.mark.parametrize("name", NAMES)
def test_samples_have_the_moments_of_the_unit(name):
    n = 100_000
    generator = torch.Generator().manual_seed(0)
    states = unit_of(name).sample(INPUTS[:, None].expand(-1, n), generator)
    assert states.dtype == INPUTS.dtype
    for s, row in zip(INPUTS.tolist(), states, strict=True):
        first, second = moments(name, s)
        error = 5 * max(row.std().item(), 1e-9) / math.sqrt(n)
        assert row.mean().item() == pytest.approx(first, abs=error)
        error = 5 * max(row.square().std().item(), 1e-9) / math.sqrt(n)
        assert row.square().mean().item() == pytest.approx(second, abs=error)


@pytest.mark.parametrize(
    ("name", "values"), [("bernoulli", [0.0, 1.0]), ("tanh", [-1.0, 1.0])], ids=str
)
def test_binary_units_take_two_values(name, values):
    states = unit_of(name).sample(torch.zeros(200), torch.Generator().manual_seed(0))
    assert states.unique().tolist() == values


@pytest.mark.parametrize("name", NAMES)
def test_samples_lie_within_the_bounds(name):
    unit = unit_of(name)
    inputs = 3 * torch.randn(2000, generator=torch.Generator().manual_seed(1))
    states = unit.sample(inputs, torch.Generator().manual_seed(0))
    assert unit.low <= states.min() and states.max() <= unit.high
    reached = (states.min() == unit.low, states.max() == unit.high)
    assert reached == (math.isfinite(unit.low), math.isfinite(unit.high))


@pytest.mark.parametrize("name", NAMES)
def test_samples_come_from_the_generator_alone(name, global_rng_untouched):
    unit, inputs = unit_of(name), torch.zeros(50)
    draws = [unit.sample(inputs, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(inputs, torch.zeros(50))  # not in place


@pytest.mark.parametrize("name", ["sigmoid", None, ["relu"]], ids=str)
def test_unknown_unit_is_named(name):
    with pytest.raises(ValueError, match=r"visible=.* is no kind of unit; .*'bernoulli'"):
        unit_of(name, "visible")


# --- for data between two bounds ----------------------------------------------------------------

BOUNDS = {"bernoulli": (0.0, 1.0), "relu": (0.0, math.inf), "tanh": (-1.0, 1.0)}


@pytest.mark.parametrize("high", [-1.0, 0.0, 0.5, 1.0, 1.01, 40.0])
@pytest.mark.parametrize("low", [-40.0, -1.01, -1.0, -1e-5, -1e-9, 0.0, 0.5])
@pytest.mark.parametrize("preferred", NAMES)
def test_preferred_unit_is_taken_where_the_data_lie_within_its_bounds(preferred, low, high):
    name = "gaussian" if preferred == "linear" else preferred
    least, most = BOUNDS.get(name, (-math.inf, math.inf))
    expected = name if least - 1e-6 <= low and high <= most + 1e-6 else "gaussian"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert visible_unit("auto", low, high, preferred).name == expected


def test_auto_prefers_bernoulli_units():
    assert visible_unit("auto", 0.0, 1.0).name == "bernoulli"


@pytest.mark.parametrize("name", NAMES)
def test_named_unit_is_taken_whatever_is_preferred(name):
    for preferred in NAMES:
        assert visible_unit(name, 0.25, 0.75, preferred) is unit_of(name)
    for name in ("gaussian", "linear"):  # has no bounds
        assert visible_unit(name, -1e30, 1e30).name == "gaussian"


@pytest.mark.parametrize(
    ("name", "low", "high", "message"),
    [
        ("bernoulli", 0.0, 255.0, r"from 0 to 1, but pixels has values from 0 to 255: scale the"),
        ("bernoulli", -0.5, 1.0, r"but pixels has values from -0\.5 to 1: .*'gaussian'"),
        ("bernoulli", 0.0, 1.5, r"scikit-learn's MinMaxScaler scales"),
        ("tanh", -1.5, 1.0, r"from -1 to 1, but .*MinMaxScaler\(feature_range=\(-1, 1\)\) sc"),
        ("tanh", -1.0, 2.0, r"visible='tanh' takes values"),
    ],
)
def test_data_outside_the_bounds_say_what_to_scale(name, low, high, message):
    with pytest.raises(ValueError, match=message):
        visible_unit(name, low, high, "relu", data="pixels")


def test_negative_data_for_rectified_units_are_a_warning_that_names_the_callers_line():
    message = r"visible='relu' takes values from 0 to inf, but X has values from -2\.5 to 3, which"
    with pytest.warns(UserWarning, match=message) as caught:
        assert visible_unit("relu", -2.5, 3.0) is unit_of("relu")
    assert [w.filename for w in caught] == [__file__]
    assert "scale the columns" in str(caught[0].message)


@pytest.mark.parametrize("arguments", [("sigmoid", 0, 1), ("auto", 0, 1, "sigmoid")], ids=str)
def test_unknown_visible_unit_is_named(arguments):
    with pytest.raises(ValueError, match="visible='sigmoid' is no kind of unit"):
        visible_unit(*arguments)
