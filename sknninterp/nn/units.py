"""Kinds of stochastic unit: the mean given the input, its derivative, and samples.

References
----------
G. Hinton, *A Practical Guide to Training Restricted Boltzmann Machines*, 2010, section 13.

V. Nair and G. Hinton, *Rectified Linear Units Improve Restricted Boltzmann Machines*, ICML 2010.
"""

from __future__ import annotations

import math
import warnings
from typing import ClassVar

import torch
from torch import Generator, Tensor


class Unit:
    """A kind of unit; its input S is a weighted sum plus a bias.

    Attributes
    ----------
    name : str
    low, high : float
        Bounds of the values that such a unit can take.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.units import unit_of
    >>> unit = unit_of("bernoulli")
    >>> mean = unit.mean(torch.tensor([-2.0, 0.0, 2.0]))
    >>> mean
    tensor([0.1192, 0.5000, 0.8808])
    >>> unit.derivative(mean)
    tensor([0.1050, 0.2500, 0.1050])
    """

    name: ClassVar[str]
    low: ClassVar[float] = -math.inf
    high: ClassVar[float] = math.inf

    def mean(self, inputs: Tensor) -> Tensor:
        """Mean of the units, F(S).

        Parameters
        ----------
        inputs : Tensor of any shape
            S.

        Returns
        -------
        Tensor of the shape of `inputs`
        """
        raise NotImplementedError

    def mean_(self, inputs: Tensor) -> Tensor:
        """The same in place, as large new tensors cost time.

        Parameters
        ----------
        inputs : Tensor of any shape
            S; holds F(S) afterwards.

        Returns
        -------
        Tensor
            `inputs`.
        """
        raise NotImplementedError

    def derivative(self, mean: Tensor) -> Tensor:
        """Derivative F'(S), from the mean F(S): each of these functions allows that.

        Parameters
        ----------
        mean : Tensor of any shape
            F(S), as `mean` returns it.

        Returns
        -------
        Tensor of the shape of `mean`
        """
        raise NotImplementedError

    def sample(self, inputs: Tensor, generator: Generator | None = None) -> Tensor:
        """States drawn at random.

        Parameters
        ----------
        inputs : Tensor of any shape
            S.
        generator : torch.Generator, default=None
            On the device of `inputs`. None takes torch's global one.

        Returns
        -------
        Tensor of the shape and dtype of `inputs`
        """
        raise NotImplementedError


class Bernoulli(Unit):
    """0 or 1, with probability sigmoid(S) of 1."""

    name, low, high = "bernoulli", 0.0, 1.0

    def mean(self, inputs: Tensor) -> Tensor:
        return torch.sigmoid(inputs)

    def mean_(self, inputs: Tensor) -> Tensor:
        return inputs.sigmoid_()

    def derivative(self, mean: Tensor) -> Tensor:
        return mean * (1 - mean)

    def sample(self, inputs: Tensor, generator: Generator | None = None) -> Tensor:
        return torch.bernoulli(torch.sigmoid(inputs), generator=generator)


class Gaussian(Unit):
    """Normal with mean S and variance 1, also called linear: for standardised data."""

    name = "gaussian"

    def mean(self, inputs: Tensor) -> Tensor:
        return inputs

    def mean_(self, inputs: Tensor) -> Tensor:
        return inputs

    def derivative(self, mean: Tensor) -> Tensor:
        return torch.ones_like(mean)

    def sample(self, inputs: Tensor, generator: Generator | None = None) -> Tensor:
        return inputs + _normal_like(inputs, generator)


class ReLU(Unit):
    """Rectified linear; samples are max(0, S + N(0, sigmoid(S))) (Nair and Hinton 2010).

    The sigmoid is the variance of the noise. As in torch, the derivative at S = 0 is 0.
    """

    name, low = "relu", 0.0

    def mean(self, inputs: Tensor) -> Tensor:
        return torch.relu(inputs)

    def mean_(self, inputs: Tensor) -> Tensor:
        return inputs.relu_()

    def derivative(self, mean: Tensor) -> Tensor:
        return (mean > 0).to(mean.dtype)

    def sample(self, inputs: Tensor, generator: Generator | None = None) -> Tensor:
        noise = _normal_like(inputs, generator)
        return torch.addcmul(inputs, noise, torch.sigmoid(inputs).sqrt_()).relu_()


class Tanh(Unit):
    """-1 or 1, with probability (1 + tanh(S)) / 2 of 1, so that the mean is tanh(S)."""

    name, low, high = "tanh", -1.0, 1.0

    def mean(self, inputs: Tensor) -> Tensor:
        return torch.tanh(inputs)

    def mean_(self, inputs: Tensor) -> Tensor:
        return inputs.tanh_()

    def derivative(self, mean: Tensor) -> Tensor:
        return 1 - mean * mean

    def sample(self, inputs: Tensor, generator: Generator | None = None) -> Tensor:
        # (1 + tanh(S)) / 2 = sigmoid(2 S), which stays precise where tanh is near -1.
        return torch.bernoulli(torch.sigmoid(2 * inputs), generator=generator).mul_(2).sub_(1)


def _normal_like(inputs: Tensor, generator: Generator | None) -> Tensor:
    return torch.empty_like(inputs).normal_(generator=generator)


UNITS: dict[str, Unit] = {unit.name: unit for unit in (Bernoulli(), Gaussian(), ReLU(), Tanh())}
UNITS["linear"] = UNITS["gaussian"]


def unit_of(name: str, parameter: str = "unit") -> Unit:
    """The unit of a name.

    Parameters
    ----------
    name : {"bernoulli", "gaussian", "linear", "relu", "tanh"}
        "linear" is another word for "gaussian".
    parameter : str, default="unit"
        What the error message calls it.

    Returns
    -------
    Unit

    Raises
    ------
    ValueError
        If there is none of this name.

    Examples
    --------
    >>> from sknninterp.nn.units import unit_of
    >>> unit_of("linear").name
    'gaussian'
    """
    if not isinstance(name, str) or name not in UNITS:
        raise ValueError(f"{parameter}={name!r} is no kind of unit; there are {sorted(UNITS)}.")
    return UNITS[name]


# MinMaxScaler may give 1.0000000000000002.
_ROUNDING = 1e-6


def visible_unit(
    name: str, low: float, high: float, preferred: str = "bernoulli", data: str = "X"
) -> Unit:
    """The visible unit for data between two bounds.

    Parameters
    ----------
    name : {"auto", "bernoulli", "gaussian", "linear", "relu", "tanh"}
        "auto" takes the preferred unit if the data lie within its bounds, else the Gaussian one.
    low, high : float
        Least and greatest value of the data.
    preferred : str, default="bernoulli"
        A name of :func:`unit_of`.
    data : str, default="X"
        What the error message calls the data.

    Returns
    -------
    Unit

    Raises
    ------
    ValueError
        If there is no such unit, or the data lie outside the bounds of Bernoulli or tanh units.

    Warns
    -----
    UserWarning
        If data for rectified linear units are negative: those are never reconstructed.

    Examples
    --------
    >>> from sknninterp.nn.units import visible_unit
    >>> visible_unit("auto", 0.0, 1.0).name, visible_unit("auto", -2.5, 3.1).name
    ('bernoulli', 'gaussian')
    """
    unit = unit_of(preferred if name == "auto" else name, "visible")
    if unit.low - _ROUNDING <= low and high <= unit.high + _ROUNDING:
        return unit
    if name == "auto":
        return UNITS["gaussian"]
    found = f"visible={name!r} takes values from {unit.low:g} to {unit.high:g}, but {data} has"
    found += f" values from {low:.4g} to {high:.4g}"
    advice = "scale the columns that leave this range, or take visible='gaussian' for standardised"
    if unit.high < math.inf:
        scaler = "MinMaxScaler" if unit.low == 0 else "MinMaxScaler(feature_range=(-1, 1))"
        raise ValueError(f"{found}: {advice} data. scikit-learn's {scaler} scales.")
    warnings.warn(f"{found}, which it cannot reconstruct: {advice} data.", stacklevel=2)
    return unit
