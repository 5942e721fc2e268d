"""The rules by which a restricted Boltzmann machine learns: gradients from a batch.

In all rules y0 = F_h(W x0 + b_h) are the hidden means of the data x0, x1 = F_v(S_v) with
S_v = W' y0 + b_v is their reconstruction, y1 = F_h(S_h) with S_h = W x1 + b_h its hidden means,
dx = x1 - x0 and dy = y1 - y0. Sums run over the batch of B samples, each counted with its weight
where there are weights. A rule gives gradients, to be gone *down*.

References
----------
A. Kroschanka and V. Golovko, *Neural Networks Interpretation Improvement*.

G. Hinton, *Training Products of Experts by Minimizing Contrastive Divergence*, 2002, and *A
Practical Guide to Training Restricted Boltzmann Machines*, 2010.

T. Tieleman, *Training Restricted Boltzmann Machines using Approximations to the Likelihood
Gradient*, 2008.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from sknninterp.nn.rbm import BaseRBM


class Gradients(NamedTuple):
    """What a rule makes of a batch.

    Parameters
    ----------
    weight, hidden, visible : Tensor
        Gradients of `weight`, `bias_hidden` and `bias_visible`, of their shapes.
    error : Tensor of shape ()
        Reconstruction error, the mean of dx^2 over samples and visible units.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.rbm import DenseRBM
    >>> from sknninterp.nn.rbm_rules import contrastive_divergence
    >>> gradients = contrastive_divergence(DenseRBM(6, 4), torch.ones(3, 6))
    >>> gradients.weight.shape, gradients.hidden.shape, gradients.visible.shape
    (torch.Size([4, 6]), torch.Size([4]), torch.Size([6]))
    """

    weight: Tensor
    hidden: Tensor
    visible: Tensor
    error: Tensor


@torch.no_grad()
def contrastive_divergence(
    rbm: BaseRBM,
    x0: Tensor,
    *,
    n_steps: int = 1,
    sample_hidden: bool = False,
    generator: Generator | None = None,
    weight: Tensor | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    out: Tensor | None = None,
) -> Gradients:
    """Contrastive divergence, CD-k (Hinton 2002).

    g_W = (sum y1 x1' - sum y0 x0') / B, g_h = mean dy, g_v = mean dx; with `n_steps` = k > 1, x1
    and y1 are those after k passes to the visible units and back.

    Parameters
    ----------
    rbm : DenseRBM or ConvRBM
    x0 : Tensor of shape (n_samples, *visible shape)
    n_steps : int, default=1
    sample_hidden : bool, default=False
        Whether sampled hidden states, and not their means, drive each reconstruction (Hinton 2010,
        section 3). The sums take means all the same, which are less noisy.
    generator : torch.Generator, default=None
        Draws the samples. None takes torch's global one.
    weight : Tensor of shape (n_samples,), default=None
        Weight of each sample; None counts each once.
    alpha, beta : float, default=1.0
        The result's `weight` is alpha times the gradient, and beta times `out` if that is given.
    out : Tensor of the shape of `rbm.weight`, default=None
        A velocity, say: changed in place, and the result's `weight`.

    Returns
    -------
    Gradients

    References
    ----------
    G. Hinton, *Training Products of Experts by Minimizing Contrastive Divergence*, 2002.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.rbm import DenseRBM
    >>> from sknninterp.nn.rbm_rules import contrastive_divergence
    >>> generator = torch.Generator().manual_seed(0)
    >>> rbm = DenseRBM(6, 4, generator=generator)
    >>> x0 = torch.bernoulli(torch.full((3, 6), 0.5), generator=generator)
    >>> contrastive_divergence(rbm, x0, n_steps=2).weight.shape
    torch.Size([4, 6])
    """
    y0, state = _hidden(rbm, x0, sample_hidden, generator)
    for step in range(n_steps):
        x1 = rbm.visible(state)
        last = step == n_steps - 1
        y1, state = _hidden(rbm, x1, sample_hidden and not last, generator)
    y0, y1 = _weighted(y0, weight), _weighted(y1, weight)
    found = rbm.correlate(y1, x1, alpha / x0.shape[0], out, beta)
    rbm.correlate(y0, x0, -alpha / x0.shape[0], found)
    # In place: fresh memory costs more than the difference.
    missed, dy = x1.sub_(x0), y1.sub_(y0)
    dx = _weighted(missed, weight)
    return Gradients(found, rbm.per_bias(dy), rbm.per_bias(dx), _error(missed, dx))


@torch.no_grad()
def persistent_contrastive_divergence(
    rbm: BaseRBM,
    x0: Tensor,
    chain: Tensor,
    *,
    n_steps: int = 1,
    generator: Generator | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    out: Tensor | None = None,
) -> Gradients:
    """Persistent contrastive divergence (Tieleman 2008): the rule of scikit-learn's `BernoulliRBM`.

    g_W = sum y1 x1' / n_chains - sum y0 x0' / B and so on as in contrastive divergence, but x1 and
    y1 belong to Gibbs chains that go on from batch to batch. Both layers are sampled.

    Parameters
    ----------
    rbm : DenseRBM or ConvRBM
    x0 : Tensor of shape (n_samples, *visible shape)
    chain : Tensor of shape (n_chains, *hidden shape)
        Hidden states of the chains, moved on in place.
    n_steps : int, default=1
        Steps of Gibbs sampling.
    generator : torch.Generator, default=None
        Draws the samples. None takes torch's global one.
    alpha, beta : float, default=1.0
        The result's `weight` is alpha times the gradient, and beta times `out` if that is given.
    out : Tensor of the shape of `rbm.weight`, default=None
        A velocity, say: changed in place, and the result's `weight`.

    Returns
    -------
    Gradients
        `error` is that of the reconstruction of `x0`, which costs one product more.

    References
    ----------
    T. Tieleman, *Training Restricted Boltzmann Machines using Approximations to the Likelihood
    Gradient*, 2008.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.rbm import DenseRBM
    >>> from sknninterp.nn.rbm_rules import persistent_contrastive_divergence
    >>> generator = torch.Generator().manual_seed(0)
    >>> rbm = DenseRBM(6, 4, generator=generator)
    >>> chain = torch.zeros(10, 4)
    >>> _ = persistent_contrastive_divergence(rbm, torch.ones(3, 6), chain, generator=generator)
    >>> chain.unique()
    tensor([0., 1.])
    """
    y0 = rbm.hidden(x0)
    for _ in range(n_steps):
        x1 = rbm.sample_visible(chain, generator)
        y1, state = _hidden(rbm, x1, True, generator)
        chain.copy_(state)
    weight = rbm.correlate(y1, x1, alpha / x1.shape[0], out, beta)
    rbm.correlate(y0, x0, -alpha / x0.shape[0], weight)
    hidden, visible = rbm.per_bias(y1) - rbm.per_bias(y0), rbm.per_bias(x1) - rbm.per_bias(x0)
    dx = rbm.visible(y0) - x0
    return Gradients(weight, hidden, visible, _error(dx, dx))


@torch.no_grad()
def reconstruction_rule(
    rbm: BaseRBM,
    x0: Tensor,
    *,
    sample_hidden: bool = False,
    generator: Generator | None = None,
    weight: Tensor | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    out: Tensor | None = None,
) -> Gradients:
    """The rule from the reconstruction error (Kroschanka and Golovko).

    g_W = [sum a x1' + sum y0 b'] / B, g_h = mean a, g_v = mean b, with a = dy F_h'(S_h) and
    b = dx F_v'(S_v): the gradient of E_s = (sum dx^2 + sum dy^2) / (2 B) with y0 held fixed
    everywhere and x1 held fixed inside S_h. With linear units it is contrastive divergence.

    Parameters
    ----------
    rbm : DenseRBM or ConvRBM
    x0 : Tensor of shape (n_samples, *visible shape)
    sample_hidden : bool, default=False
        Whether sampled hidden states, and not their means y0, are reconstructed from (and stand
        beside b). dy is the difference of means all the same.
    generator : torch.Generator, default=None
        Draws the samples. None takes torch's global one.
    weight : Tensor of shape (n_samples,), default=None
        Weight of each sample; None counts each once.
    alpha, beta : float, default=1.0
        The result's `weight` is alpha times the gradient, and beta times `out` if that is given.
    out : Tensor of the shape of `rbm.weight`, default=None
        A velocity, say: changed in place, and the result's `weight`.

    Returns
    -------
    Gradients

    References
    ----------
    A. Kroschanka and V. Golovko, *Neural Networks Interpretation Improvement*.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.rbm import DenseRBM
    >>> from sknninterp.nn.rbm_rules import reconstruction_rule
    >>> rbm = DenseRBM(6, 4, visible="relu", hidden="relu")
    >>> reconstruction_rule(rbm, torch.ones(3, 6)).weight.shape
    torch.Size([4, 6])
    """
    y0, state = _hidden(rbm, x0, sample_hidden, generator)
    x1 = rbm.visible(state)
    y1 = rbm.hidden(x1)
    missed = x1 - x0
    dx, dy = _weighted(missed, weight), _weighted(y1 - y0, weight)
    a = dy * rbm.hidden_unit.derivative(y1)
    b = dx * rbm.visible_unit.derivative(x1)
    found = rbm.correlate(a, x1, alpha / x0.shape[0], out, beta)
    rbm.correlate(state, b, alpha / x0.shape[0], found)
    return Gradients(found, rbm.per_bias(a), rbm.per_bias(b), _error(missed, dx))


@torch.no_grad()
def exact_gradient(
    rbm: BaseRBM,
    x0: Tensor,
    *,
    weight: Tensor | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    out: Tensor | None = None,
) -> Gradients:
    """The true gradient of E_s = (sum dx^2 + sum dy^2) / (2 B).

    With a = dy F_h'(S_h), b = (dx + W' a) F_v'(S_v), c = (W b - dy) F_h'(S_h0), S_h0 being the
    hidden input of the data: g_W = [sum a x1' + sum y0 b' + sum c x0'] / B, g_h = mean(a + c),
    g_v = mean b. Nothing is sampled: y0 must be a function of the weights.

    Parameters
    ----------
    rbm : DenseRBM or ConvRBM
    x0 : Tensor of shape (n_samples, *visible shape)
    weight : Tensor of shape (n_samples,), default=None
        Weight of each sample; None counts each once.
    alpha, beta : float, default=1.0
        The result's `weight` is alpha times the gradient, and beta times `out` if that is given.
    out : Tensor of the shape of `rbm.weight`, default=None
        A velocity, say: changed in place, and the result's `weight`.

    Returns
    -------
    Gradients

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.rbm import DenseRBM
    >>> from sknninterp.nn.rbm_rules import exact_gradient
    >>> exact_gradient(DenseRBM(6, 4), torch.ones(3, 6)).weight.shape
    torch.Size([4, 6])
    """
    y0 = rbm.hidden(x0)
    x1 = rbm.visible(y0)
    y1 = rbm.hidden(x1)
    missed = x1 - x0
    dx, dy = _weighted(missed, weight), _weighted(y1 - y0, weight)
    a = dy * rbm.hidden_unit.derivative(y1)
    b = rbm.project_back(a).add_(dx).mul_(rbm.visible_unit.derivative(x1))
    c = rbm.project(b).sub_(dy).mul_(rbm.hidden_unit.derivative(y0))
    found = rbm.correlate(a, x1, alpha / x0.shape[0], out, beta)
    rbm.correlate(y0, b, alpha / x0.shape[0], found)
    rbm.correlate(c, x0, alpha / x0.shape[0], found)
    return Gradients(found, rbm.per_bias(a.add_(c)), rbm.per_bias(b), _error(missed, dx))


def _hidden(
    rbm: BaseRBM, v: Tensor, sampled: bool, generator: Generator | None
) -> tuple[Tensor, Tensor]:
    """Means of the hidden units, and what drives the next reconstruction: means or states."""
    inputs = rbm.hidden_input(v)
    state = rbm.hidden_unit.sample(inputs, generator) if sampled else None
    mean = rbm.hidden_unit.mean_(inputs)
    return mean, mean if state is None else state


def _weighted(values: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return values
    return values * weight.to(values.dtype).reshape(-1, *[1] * (values.ndim - 1))


def _error(dx: Tensor, weighted_dx: Tensor) -> Tensor:
    return torch.dot(dx.reshape(-1), weighted_dx.reshape(-1)) / dx.numel()
