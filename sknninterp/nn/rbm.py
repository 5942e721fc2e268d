"""Restricted Boltzmann machines as torch modules: dense and convolutional.

How they learn is said in :mod:`sknninterp.nn.rbm_rules`, :mod:`sknninterp.nn.rbm_trainer` and
:mod:`sknninterp.nn.rbm_training`.

References
----------
A. Kroschanka and V. Golovko, *Neural Networks Interpretation Improvement*.

G. Hinton, *Training Products of Experts by Minimizing Contrastive Divergence*, 2002, and *A
Practical Guide to Training Restricted Boltzmann Machines*, 2010.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from sknninterp.nn.nodes import Conv, Input, per_axis
from sknninterp.nn.units import unit_of


class BaseRBM(nn.Module):
    """What dense and convolutional machines have in common: units, sampling, energies.

    A subclass says how the weight is applied (`project`), applied the other way (`project_back`)
    and how its gradient is summed (`correlate`).

    Attributes
    ----------
    n_positions : int
        How often a sample applies each weight, which is what gradients are sums over.
    """

    n_positions = 1

    def __init__(
        self,
        weight_shape: tuple[int, ...],
        n_visible: int,
        visible: str,
        hidden: str,
        **factory: Any,
    ):
        super().__init__()
        self.visible_unit = unit_of(visible, "visible")
        self.hidden_unit = unit_of(hidden, "hidden")
        self.weight = nn.Parameter(torch.empty(weight_shape, **factory))
        self.bias_hidden = nn.Parameter(torch.empty(weight_shape[0], **factory))
        self.bias_visible = nn.Parameter(torch.empty(n_visible, **factory))

    @torch.no_grad()
    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Weights from N(0, 2 / fan) (a variance), biases from 0.01 N(0, 1).

        Published is the fan in, the visible units that a hidden unit reads. Where more hidden units
        join in one visible unit, that is the fan: reconstructions would start many times as large
        as the data, and the first steps switch rectified linear units off for good.

        Parameters
        ----------
        generator : torch.Generator, default=None
            None takes torch's global one. Drawn where the generator is: a seed means the same
            weights on every device.
        """
        n_hidden, n_visible, *kernel = self.weight.shape
        fan = max(n_visible, n_hidden // (len(self.bias_visible) // n_visible))
        scales = (math.sqrt(2 / (fan * math.prod(kernel))), 0.01, 0.01)
        device = "cpu" if generator is None else generator.device
        parameters = (self.weight, self.bias_hidden, self.bias_visible)
        for parameter, scale in zip(parameters, scales, strict=True):
            shape, dtype = parameter.shape, parameter.dtype
            drawn = torch.randn(shape, generator=generator, dtype=dtype, device=device)
            parameter.copy_(drawn.mul_(scale))

    # --- the weight, in both directions ----------------------------------------------------------

    def project(self, v: Tensor, bias: Tensor | None = None) -> Tensor:
        """Visible values times the weight, plus a bias: W v + b.

        Parameters
        ----------
        v : Tensor of shape (n_samples, *visible shape)
        bias : Tensor of the shape of `bias_hidden`, default=None

        Returns
        -------
        Tensor of shape (n_samples, *hidden shape)
        """
        raise NotImplementedError

    def project_back(self, h: Tensor, bias: Tensor | None = None) -> Tensor:
        """Hidden values times the transposed weight, plus a bias: W' h + b.

        Parameters
        ----------
        h : Tensor of shape (n_samples, *hidden shape)
        bias : Tensor of the shape of `bias_visible`, default=None

        Returns
        -------
        Tensor of shape (n_samples, *visible shape)
        """
        raise NotImplementedError

    def correlate(
        self, h: Tensor, v: Tensor, alpha: float, out: Tensor | None = None, beta: float = 1.0
    ) -> Tensor:
        """Alpha times the sum over the samples (and over positions that share a weight) of h v'.

        Parameters
        ----------
        h : Tensor of shape (n_samples, *hidden shape)
        v : Tensor of shape (n_samples, *visible shape)
        alpha : float
        out : Tensor of the shape of `weight`, default=None
            Times `beta` that is what the result is added to, in place.
        beta : float, default=1.0

        Returns
        -------
        Tensor of the shape of `weight`
            `out`, if that is given.
        """
        raise NotImplementedError

    @staticmethod
    def per_bias(values: Tensor) -> Tensor:
        """Mean over the samples of the sum over what shares a bias: a channel's positions.

        Parameters
        ----------
        values : Tensor of shape (n_samples, n_biases, *positions)

        Returns
        -------
        Tensor of shape (n_biases,)
        """
        if values.ndim == 2:
            return values.mean(0)
        return values.sum((0, *range(2, values.ndim))) / len(values)

    # --- means and samples -----------------------------------------------------------------------

    def hidden_input(self, v: Tensor) -> Tensor:
        """Input of the hidden units, S_h = W v + b_h."""
        return self.project(v, self.bias_hidden)

    def visible_input(self, h: Tensor) -> Tensor:
        """Input of the visible units, S_v = W' h + b_v."""
        return self.project_back(h, self.bias_visible)

    def hidden(self, v: Tensor) -> Tensor:
        """Mean of the hidden units, F_h(W v + b_h).

        Parameters
        ----------
        v : Tensor of shape (n_samples, *visible shape)

        Returns
        -------
        Tensor of shape (n_samples, *hidden shape)
        """
        return self.hidden_unit.mean_(self.hidden_input(v))

    def visible(self, h: Tensor) -> Tensor:
        """Mean of the visible units, F_v(W' h + b_v).

        Parameters
        ----------
        h : Tensor of shape (n_samples, *hidden shape)

        Returns
        -------
        Tensor of shape (n_samples, *visible shape)
        """
        return self.visible_unit.mean_(self.visible_input(h))

    def forward(self, v: Tensor) -> Tensor:
        """The same as `hidden`."""
        return self.hidden(v)

    def sample_hidden(self, v: Tensor, generator: Generator | None = None) -> Tensor:
        """States of the hidden units, drawn given the visible ones.

        Parameters
        ----------
        v : Tensor of shape (n_samples, *visible shape)
        generator : torch.Generator, default=None
            None takes torch's global one.

        Returns
        -------
        Tensor of shape (n_samples, *hidden shape)
        """
        return self.hidden_unit.sample(self.hidden_input(v), generator)

    def sample_visible(self, h: Tensor, generator: Generator | None = None) -> Tensor:
        """States of the visible units, drawn given the hidden ones.

        Parameters
        ----------
        h : Tensor of shape (n_samples, *hidden shape)
        generator : torch.Generator, default=None
            None takes torch's global one.

        Returns
        -------
        Tensor of shape (n_samples, *visible shape)
        """
        return self.visible_unit.sample(self.visible_input(h), generator)

    @torch.no_grad()
    def gibbs(self, v: Tensor, generator: Generator | None = None) -> Tensor:
        """One step of Gibbs sampling: hidden states given `v`, then visible states given those.

        Parameters
        ----------
        v : Tensor of shape (n_samples, *visible shape)
        generator : torch.Generator, default=None
            None takes torch's global one.

        Returns
        -------
        Tensor of shape (n_samples, *visible shape)
        """
        return self.sample_visible(self.sample_hidden(v, generator), generator)

    # --- energies --------------------------------------------------------------------------------

    def free_energy(self, v: Tensor) -> Tensor:
        """Free energy, -log of the sum of exp(-E(v, h)) over all hidden states h.

        With Bernoulli hidden units it is E_v - sum_j log(1 + exp(S_hj)), where E_v is -b_v'v for
        Bernoulli and 1/2 ||v - b_v||^2 for Gaussian visible units (Hinton 2010, equations 24, 17).

        Parameters
        ----------
        v : Tensor of shape (n_samples, *visible shape)

        Returns
        -------
        Tensor of shape (n_samples,)

        Raises
        ------
        ValueError
            For other pairs of units, which have no such energy.
        """
        kinds = (self.visible_unit.name, self.hidden_unit.name)
        if kinds[1] != "bernoulli" or kinds[0] not in ("bernoulli", "gaussian"):
            raise ValueError(
                "The free energy is known for hidden='bernoulli' with visible='bernoulli' or"
                f" 'gaussian', not for hidden={kinds[1]!r} with visible={kinds[0]!r}."
            )
        bias = self.bias_visible.reshape(-1, *[1] * (v.ndim - 2))
        own = -bias * v if kinds[0] == "bernoulli" else (v - bias).square() / 2
        # Not softplus, which is rounded to its input above 20.
        on = F.logsigmoid(-self.hidden_input(v))
        return own.flatten(1).sum(1) + on.flatten(1).sum(1)

    @torch.no_grad()
    def pseudo_likelihood(
        self, v: Tensor, generator: Generator | None = None, flips: Tensor | None = None
    ) -> Tensor:
        """Stochastic log pseudo-likelihood of each sample.

        n_visible log sigmoid(F(v with one bit flipped) - F(v)), F being the free energy: the same
        proxy as scikit-learn's `BernoulliRBM.score_samples`.

        Parameters
        ----------
        v : Tensor of shape (n_samples, *visible shape)
            Zeros and ones (not checked).
        generator : torch.Generator, default=None
            Draws the bits that are flipped. None takes torch's global one.
        flips : Tensor of shape (n_samples,), dtype int64, default=None
            The bit to flip in each (flattened) sample, in place of random ones.

        Returns
        -------
        Tensor of shape (n_samples,)

        Raises
        ------
        ValueError
            If the visible units are not Bernoulli (nothing can be flipped), or the hidden ones not.
        """
        if self.visible_unit.name != "bernoulli":
            raise ValueError(
                "The pseudo-likelihood flips bits, which takes visible='bernoulli', not"
                f" visible={self.visible_unit.name!r}."
            )
        flat = v.flatten(1)
        n_samples, n_visible = flat.shape
        if flips is None:
            where = v.device if generator is None else generator.device
            flips = torch.randint(n_visible, (n_samples,), generator=generator, device=where)
        flips = flips.to(v.device)[:, None]
        flipped = flat.scatter(1, flips, 1 - flat.gather(1, flips)).reshape(v.shape)
        return n_visible * F.logsigmoid(self.free_energy(flipped) - self.free_energy(v))

    def extra_repr(self) -> str:
        """Shape of the weight and kinds of unit, for `repr`."""
        shape, visible, hidden = self.weight.shape, self.visible_unit.name, self.hidden_unit.name
        return f"weight={tuple(shape)}, visible={visible!r}, hidden={hidden!r}"


class DenseRBM(BaseRBM):
    """Restricted Boltzmann machine whose visible units are all joined to all hidden units.

    Parameters
    ----------
    n_visible : int
    n_hidden : int
    visible, hidden : {"bernoulli", "gaussian", "linear", "relu", "tanh"}, default="bernoulli"
        Kinds of unit.
    generator : torch.Generator, default=None
        Draws the first parameters. None takes torch's global one.
    device : torch.device, default=None
    dtype : torch.dtype, default=None

    Attributes
    ----------
    weight : Parameter of shape (n_hidden, n_visible)
        As in `torch.nn.Linear`, and scikit-learn's `BernoulliRBM.components_`.
    bias_hidden : Parameter of shape (n_hidden,)
        Added: `torch.nn.Linear`'s bias, scikit-learn's `intercept_hidden_`.
    bias_visible : Parameter of shape (n_visible,)
        scikit-learn's `intercept_visible_`.

    References
    ----------
    G. Hinton, *A Practical Guide to Training Restricted Boltzmann Machines*, 2010.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.rbm import DenseRBM
    >>> generator = torch.Generator().manual_seed(0)
    >>> rbm = DenseRBM(6, 4, generator=generator)
    >>> v = torch.bernoulli(torch.full((3, 6), 0.5), generator=generator)
    >>> rbm.hidden(v).shape, rbm.visible(rbm.hidden(v)).shape, rbm.free_energy(v).shape
    (torch.Size([3, 4]), torch.Size([3, 6]), torch.Size([3]))
    """

    def __init__(
        self,
        n_visible: int,
        n_hidden: int,
        visible: str = "bernoulli",
        hidden: str = "bernoulli",
        *,
        generator: Generator | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ):
        for name, size in (("n_visible", n_visible), ("n_hidden", n_hidden)):
            if size < 1:
                raise ValueError(f"{name}={size} must be at least 1.")
        shape = (n_hidden, n_visible)
        super().__init__(shape, n_visible, visible, hidden, device=device, dtype=dtype)
        self.reset_parameters(generator)

    def project(self, v: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.linear(v, self.weight, bias)

    def project_back(self, h: Tensor, bias: Tensor | None = None) -> Tensor:
        return h @ self.weight if bias is None else torch.addmm(bias, h, self.weight)

    def correlate(
        self, h: Tensor, v: Tensor, alpha: float, out: Tensor | None = None, beta: float = 1.0
    ) -> Tensor:
        if out is None:  # times 0, whatever stands there is not read
            return torch.addmm(self.weight, h.t(), v, beta=0, alpha=alpha)
        if beta != 1:  # by itself: addmm's own beta makes it slow on several threads
            out.mul_(beta)
        return out.addmm_(h.t(), v, alpha=alpha)


class ConvRBM(BaseRBM):
    """Restricted Boltzmann machine with the weights of a convolution, shared by all positions.

    The hidden input is a convolution, the visible one its transpose, and gradients are
    correlations, summed over positions. The parameters are its own; those of the layer stay.

    Parameters
    ----------
    node : sknninterp.nn.nodes.Conv
        A convolution in one or two dimensions as :func:`sknninterp.nn.graph.read` finds it, with
        its stride, padding, dilation and groups and the shape of its input.
    visible, hidden : {"bernoulli", "gaussian", "linear", "relu", "tanh"}, default="bernoulli"
        Kinds of unit.
    generator : torch.Generator, default=None
        Draws the first parameters. None takes torch's global one.

    Attributes
    ----------
    weight : Parameter of shape (n_hidden channels, n_visible channels / groups, *kernel size)
    bias_hidden : Parameter of shape (n_hidden channels,)
    bias_visible : Parameter of shape (n_visible channels,)

    References
    ----------
    A. Kroschanka and V. Golovko, *Neural Networks Interpretation Improvement*.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sknninterp.nn.graph import read
    >>> from sknninterp.nn.rbm import ConvRBM
    >>> layer = nn.Conv2d(1, 4, 3, stride=2)
    >>> rbm = ConvRBM(read(layer, (1, 8, 8)).layers[0].weighted, visible="gaussian")
    >>> v = torch.zeros(5, 1, 8, 8)
    >>> rbm.hidden(v).shape, rbm.visible(rbm.hidden(v)).shape
    (torch.Size([5, 4, 3, 3]), torch.Size([5, 1, 8, 8]))
    """

    def __init__(
        self,
        node: Conv,
        visible: str = "bernoulli",
        hidden: str = "bernoulli",
        *,
        generator: Generator | None = None,
    ):
        if not isinstance(node, Conv):
            raise TypeError(f"node must be a convolution's node, not {node!r}.")
        weight, (source,) = node.weight, node.inputs
        n_visible = source.shape[0]
        factory = {"device": weight.device, "dtype": weight.dtype}
        super().__init__(tuple(weight.shape), n_visible, visible, hidden, **factory)
        # A node of its own: the layer's leads to the whole network, which a pickle would hold.
        ends = (Input(source.name, (), source.shape),), node.shape
        self.n_positions = math.prod(node.shape[1:])
        self.node = Conv(node.name, *ends, self, groups=node.groups, **node.options)
        self.reset_parameters(generator)

    def project(self, v: Tensor, bias: Tensor | None = None) -> Tensor:
        return self.node.apply(v, self.weight, bias)

    def project_back(self, h: Tensor, bias: Tensor | None = None) -> Tensor:
        found = self.node.apply_transposed(h, self.weight)
        return found if bias is None else found + bias.reshape(-1, *[1] * (h.ndim - 2))

    def correlate(
        self, h: Tensor, v: Tensor, alpha: float, out: Tensor | None = None, beta: float = 1.0
    ) -> Tensor:
        n_axes = v.ndim - 2
        options = {k: per_axis(o, n_axes) for k, o in self.node.options.items() if k != "padding"}
        padding = self.node.options["padding"]
        if padding == "same":  # torch pads an odd margin at the end
            reach = [
                d * (k - 1) for d, k in zip(options["dilation"], self.weight.shape[2:], strict=True)
            ]
            v = F.pad(v, [side for r in reversed(reach) for side in (r // 2, r - r // 2)])
        padding = [0] * n_axes if isinstance(padding, str) else per_axis(padding, n_axes)
        found = torch.ops.aten.convolution_backward(
            h * alpha,
            v,
            self.weight,
            bias_sizes=None,
            stride=options["stride"],
            padding=padding,
            dilation=options["dilation"],
            transposed=False,
            output_padding=[0] * n_axes,
            groups=self.node.groups,
            output_mask=(False, True, False),
        )[1]
        return found if out is None else out.mul_(beta).add_(found)
