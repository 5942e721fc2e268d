"""Each feature as several numbers of its own, which a network sees in its place.

A fully connected network learns smooth functions of its inputs slowly. Where each feature comes as
a few functions of it, its first layer is an additive model already. Nothing is mixed: what comes
out belongs to one feature each, so that contributions are summed back to features.

References
----------
.. [1] Gorishniy, Rubachev & Babenko (2022), *On Embeddings for Numerical Features in Tabular Deep
   Learning*.
.. [2] Holzmuller, Grinsztajn & Steinwart (2024), *Better by Default: Strong Pre-Tuned MLPs and
   Boosted Trees on Tabular Data*.
.. [3] de Boor (1978), *A Practical Guide to Splines*, chapter IX.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class NumericEmbedding(nn.Module):
    """What all embeddings have in common.

    Parameters
    ----------
    origins : Tensor of int, shape (n_outputs,)
        Feature that each output belongs to.
    n_features : int

    Attributes
    ----------
    origins : Tensor of int, shape (n_outputs,)
    n_features, n_outputs : int
    """

    origins: Tensor

    def __init__(self, origins: Tensor, n_features: int):
        super().__init__()
        self.register_buffer("origins", origins)
        self.n_features = n_features

    @property
    def n_outputs(self) -> int:
        """Numbers that come out for a sample."""
        return len(self.origins)


class PiecewiseLinearEmbedding(NumericEmbedding):
    r"""How far each feature is through each of its bins (equation 1 of [1]_).

    Of bin t with edges b_{t-1} < b_t: 0 before it, 1 behind it, (x - b_{t-1}) / (b_t - b_{t-1})
    in it; the first and the last go on beyond their outer edge. Less its mean over the samples that
    it was fitted on, so that 0 is the cohort's mean.

    Parameters
    ----------
    edges : sequence of Tensor
        Of each feature, rising; at least two.
    means : Tensor of shape (n_outputs,), default=None
        Subtracted; None is 0.

    References
    ----------
    .. [1] Gorishniy, Rubachev & Babenko (2022), *On Embeddings for Numerical Features in Tabular
       Deep Learning*.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.embeddings import PiecewiseLinearEmbedding
    >>> embedding = PiecewiseLinearEmbedding([torch.tensor([0.0, 1.0, 3.0])])
    >>> embedding(torch.tensor([[0.5], [2.0], [5.0]])).tolist()
    [[0.5, 0.0], [1.0, 0.5], [1.0, 2.0]]
    """

    low: Tensor
    width: Tensor
    least: Tensor
    most: Tensor
    means: Tensor

    def __init__(self, edges: Sequence[Tensor], means: Tensor | None = None):
        counts = torch.tensor([len(of_one) - 1 for of_one in edges])
        super().__init__(torch.arange(len(edges)).repeat_interleave(counts), len(edges))
        low = torch.cat([of_one[:-1] for of_one in edges])
        self.register_buffer("low", low)
        self.register_buffer("width", torch.cat([of_one.diff() for of_one in edges]))
        first, last = torch.zeros_like(low), torch.ones_like(low)
        ends = counts.cumsum(0)
        first[ends - counts], last[ends - 1] = -math.inf, math.inf
        self.register_buffer("least", first)
        self.register_buffer("most", last)
        self.register_buffer("means", torch.zeros_like(low) if means is None else means)

    @classmethod
    def fit(
        cls, inputs: Tensor, weight: Tensor | None = None, n_bins: int = 8
    ) -> PiecewiseLinearEmbedding:
        """Bins between quantiles.

        Parameters
        ----------
        inputs : Tensor of shape (n_samples, n_features)
        weight : Tensor of shape (n_samples,), default=None
            Of each sample; None is 1.
        n_bins : int, default=8
            At most; a feature of few values has an edge at each, so that one of two values has
            a single number, as before.

        Returns
        -------
        PiecewiseLinearEmbedding
        """
        embedding = cls(quantile_edges(inputs, n_bins, weight))
        embedding.means += _mean(embedding(inputs), weight)
        return embedding

    def forward(self, x: Tensor) -> Tensor:
        """Numbers (n_samples, n_outputs) of features (n_samples, n_features)."""
        shares = x.index_select(1, self.origins).sub(self.low).div(self.width)
        return torch.clamp(shares, self.least, self.most) - self.means


class SplineEmbedding(NumericEmbedding):
    r"""B-splines of each feature [1]_: smooth bumps, next to one another, that sum to 1.

    Beyond the outer knots they stay as they are there. Less their means over the samples that the
    embedding was fitted on, so that 0 is the cohort's mean.

    Parameters
    ----------
    knots : Tensor of shape (n_splined, n_knots)
        Of each feature that gets splines, rising.
    splined : Tensor of int, shape (n_splined,)
        These features.
    rest : PiecewiseLinearEmbedding or None
        For the other features, in their order; those of few values.
    others : Tensor of int
        The other features.
    degree : int, default=3

    References
    ----------
    .. [1] de Boor (1978), *A Practical Guide to Splines*, chapter IX, recurrence (14).

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.embeddings import SplineEmbedding
    >>> x = torch.linspace(0, 1, 50)[:, None]
    >>> embedding = SplineEmbedding.fit(x, n_knots=5)
    >>> embedding.n_outputs
    7
    >>> bool(embedding(x).mean(0).abs().max() < 1e-6)
    True
    """

    knots: Tensor
    splined: Tensor
    others: Tensor
    means: Tensor

    def __init__(
        self,
        knots: Tensor,
        splined: Tensor,
        rest: PiecewiseLinearEmbedding | None,
        others: Tensor,
        degree: int = 3,
    ):
        n_splines = knots.shape[1] + degree - 1
        origins = splined.repeat_interleave(n_splines)
        if rest is not None:
            origins = torch.cat([origins, others[rest.origins]])
        super().__init__(origins, len(splined) + len(others))
        self.degree, self.rest = degree, rest
        # The outer knots go on at the outer distances: evenly spaced, as scikit-learn's.
        steps = torch.arange(1, degree + 1, dtype=knots.dtype, device=knots.device)
        before = knots[:, :1] - steps.flip(0) * (knots[:, 1:2] - knots[:, :1])
        after = knots[:, -1:] + steps * (knots[:, -1:] - knots[:, -2:-1])
        self.register_buffer("knots", torch.cat([before, knots, after], 1))
        self.register_buffer("splined", splined)
        self.register_buffer("others", others)
        self.register_buffer("means", knots.new_zeros(len(splined) * n_splines))

    @classmethod
    def fit(
        cls,
        inputs: Tensor,
        weight: Tensor | None = None,
        n_knots: int = 5,
        degree: int = 3,
        tail: float = 0.02,
    ) -> SplineEmbedding:
        """Knots at quantiles; features that have too few values for them are piecewise linear.

        Parameters
        ----------
        inputs : Tensor of shape (n_samples, n_features)
        weight : Tensor of shape (n_samples,), default=None
            Of each sample; None is 1.
        n_knots : int, default=5
            The outer two included.
        degree : int, default=3
        tail : float, default=0.02
            Share of the samples beyond the outer knots at each end: one far value would draw all
            splines near it.

        Returns
        -------
        SplineEmbedding
        """
        edges = quantile_edges(inputs, n_knots - 1, weight, tail)
        enough = torch.tensor([len(of_one) == n_knots for of_one in edges], device=inputs.device)
        splined, others = enough.nonzero()[:, 0], (~enough).nonzero()[:, 0]
        knots = inputs.new_empty(0, n_knots)
        if len(splined):
            knots = torch.stack([edges[i] for i in splined.tolist()])
        rest = None
        if len(others):
            rest = PiecewiseLinearEmbedding.fit(inputs[:, others], weight, n_knots - 1)
        embedding = cls(knots, splined, rest, others, degree)
        embedding.means += _mean(embedding.splines(inputs), weight)
        return embedding

    def splines(self, x: Tensor) -> Tensor:
        """Of the features that have splines, (n_samples, n_splined * n_splines), not centred."""
        knots, degree = self.knots, self.degree
        x = x.index_select(1, self.splined)
        x = torch.minimum(torch.maximum(x, knots[:, degree]), knots[:, -degree - 1])
        # The knot at or before each value; the last inner interval is closed. There are too few
        # inner knots for a binary search to pay.
        starts = torch.arange(len(knots), device=x.device) * knots.shape[1]
        places = (starts + degree).expand(x.shape)
        for inner in knots[:, degree + 1 : -degree - 1].T:
            places = places + (x >= inner)
        before = [x - knots.take(places - k) for k in range(degree)]
        behind = [knots.take(places + 1 + k) - x for k in range(degree)]
        # The degree + 1 splines that are not 0 there, degree by degree.
        basis = [torch.ones_like(x)]
        for k in range(1, degree + 1):
            ratios = [b / (behind[r] + before[k - 1 - r]) for r, b in enumerate(basis)]
            left = [behind[r] * ratio for r, ratio in enumerate(ratios)]
            right = [before[k - 1 - r] * ratio for r, ratio in enumerate(ratios)]
            middle = [a + b for a, b in zip(left[1:], right[:-1], strict=True)]
            basis = [left[0], *middle, right[-1]]
        n_splines = knots.shape[1] - degree - 1
        first = places - starts - degree
        which = first[..., None] + torch.arange(degree + 1, device=x.device)
        found = x.new_zeros(*x.shape, n_splines)
        return found.scatter(2, which, torch.stack(basis, 2)).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Numbers (n_samples, n_outputs) of features (n_samples, n_features)."""
        values = self.splines(x) - self.means
        if self.rest is None:
            return values
        return torch.cat([values, self.rest(x.index_select(1, self.others))], 1)


class PeriodicEmbedding(NumericEmbedding):
    r"""Each feature and trained mixtures of its waves (PBLD of [2]_, after [1]_).

    Of feature x the numbers x itself and W cos(2 \pi c x + b) + a, with c drawn from a normal
    distribution, b uniformly, and all of them trained.

    Parameters
    ----------
    n_features : int
    n_frequencies : int, default=16
    n_components : int, default=4
        Numbers for each feature, itself included.
    scale : float, default=0.1
        Standard deviation of the first frequencies, in waves per unit of the feature, which should
        have a standard deviation of about 1.

    References
    ----------
    .. [1] Gorishniy, Rubachev & Babenko (2022), *On Embeddings for Numerical Features in Tabular
       Deep Learning*, equation 2.
    .. [2] Holzmuller, Grinsztajn & Steinwart (2024), *Better by Default: Strong Pre-Tuned MLPs and
       Boosted Trees on Tabular Data*.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.embeddings import PeriodicEmbedding
    >>> PeriodicEmbedding(3)(torch.randn(5, 3)).shape
    torch.Size([5, 12])
    """

    def __init__(
        self,
        n_features: int,
        n_frequencies: int = 16,
        n_components: int = 4,
        scale: float = 0.1,
    ):
        super().__init__(torch.arange(n_features).repeat_interleave(n_components), n_features)
        self.frequencies = nn.Parameter(scale * torch.randn(n_features, n_frequencies))
        self.phases = nn.Parameter(math.pi * (2 * torch.rand(n_features, n_frequencies) - 1))
        bound = n_frequencies**-0.5
        weight = torch.empty(n_features, n_frequencies, n_components - 1).uniform_(-bound, bound)
        self.weight = nn.Parameter(weight)
        bias = torch.empty(n_features, n_components - 1).uniform_(-bound, bound)
        self.bias = nn.Parameter(bias)

    @classmethod
    def fit(cls, inputs: Tensor, weight: Tensor | None = None, **options: Any) -> PeriodicEmbedding:
        """An untrained one for such inputs.

        Parameters
        ----------
        inputs : Tensor of shape (n_samples, n_features)
        weight : Tensor of shape (n_samples,), default=None
            Not needed.
        **options
            As the class takes them.

        Returns
        -------
        PeriodicEmbedding
        """
        return cls(inputs.shape[1], **options)

    def forward(self, x: Tensor) -> Tensor:
        """Numbers (n_samples, n_outputs) of features (n_samples, n_features)."""
        waves = torch.cos(2 * math.pi * x[..., None] * self.frequencies + self.phases)
        mixed = torch.einsum("npf,pfc->npc", waves, self.weight) + self.bias
        return torch.cat([x[..., None], mixed], 2).flatten(1)


class FeatureBeside(NumericEmbedding):
    """Another embedding's numbers of each feature, and the feature itself beside them.

    Effects that are lines, and products of features, are then no harder to learn than without an
    embedding. The feature comes less its mean, in standard deviations, times `scale`. One that the
    embedding gives a single number needs no second.

    Parameters
    ----------
    embedding : NumericEmbedding
    inputs : Tensor of shape (n_samples, n_features)
        Samples that tell means and deviations.
    weight : Tensor of shape (n_samples,), default=None
    scale : float, default=0.5
        About the size of the numbers beside it.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.embeddings import FeatureBeside, PiecewiseLinearEmbedding
    >>> x = torch.randn(50, 2)
    >>> FeatureBeside(PiecewiseLinearEmbedding.fit(x, n_bins=4), x).n_outputs
    10
    """

    features: Tensor
    means: Tensor
    factors: Tensor

    def __init__(
        self,
        embedding: NumericEmbedding,
        inputs: Tensor,
        weight: Tensor | None = None,
        scale: float = 0.5,
    ):
        features = (embedding.origins.bincount(minlength=inputs.shape[1]) > 1).nonzero()[:, 0]
        super().__init__(torch.cat([features, embedding.origins]), inputs.shape[1])
        means = _mean(inputs, weight)
        deviations = _mean((inputs - means).square(), weight).sqrt()
        self.embedding = embedding
        self.register_buffer("features", features)
        self.register_buffer("means", means[features])
        self.register_buffer("factors", scale / deviations[features])

    def forward(self, x: Tensor) -> Tensor:
        """Numbers (n_samples, n_outputs) of features (n_samples, n_features)."""
        own = x.index_select(1, self.features).sub(self.means).mul(self.factors)
        return torch.cat([own, self.embedding(x)], 1)


def _beside(
    kind: type[PiecewiseLinearEmbedding | SplineEmbedding],
) -> Callable[..., NumericEmbedding]:
    def fit(inputs: Tensor, weight: Tensor | None = None) -> NumericEmbedding:
        return FeatureBeside(kind.fit(inputs, weight), inputs, weight)

    return fit


# By name, how they are made for training data, `(inputs, weight)`.
EMBEDDINGS: dict[str, Callable[..., NumericEmbedding]] = {
    "piecewise": _beside(PiecewiseLinearEmbedding),
    "spline": _beside(SplineEmbedding),
    "periodic": PeriodicEmbedding.fit,
}


def quantile_edges(
    inputs: Tensor, n_bins: int, weight: Tensor | None = None, tail: float = 0.0
) -> list[Tensor]:
    """Edges of bins that hold about as many samples each, (n_edges,) for each feature.

    Edges are values that occur: the least with at least such a share of the samples up to it.

    Parameters
    ----------
    inputs : Tensor of shape (n_samples, n_features)
    n_bins : int
        At most. Where quantiles coincide there are fewer; a feature that has no more than `n_bins`
        + 1 values has an edge at each; one that has one value only, a bin of width 1 behind it.
    weight : Tensor of shape (n_samples,), default=None
        A sample of weight 2 counts as two.
    tail : float, default=0.0
        Share of the samples before the first edge and behind the last one, of features with more
        values.

    Returns
    -------
    list of Tensor
    """
    found = []
    weight = torch.ones_like(inputs[:, 0]) if weight is None else weight
    shares = torch.linspace(tail, 1 - tail, n_bins + 1, dtype=torch.float64, device=inputs.device)
    for column in inputs.T:
        values, places = column.unique(return_inverse=True)
        edges = values
        if len(values) > n_bins + 1:
            weights = torch.zeros(len(values), dtype=torch.float64, device=inputs.device)
            up_to = weights.index_add(0, places, weight.double()).cumsum(0)
            # Sums of weights are rounded: what is a share but for that, is one.
            wanted = (shares - 1e-9) * up_to[-1]
            edges = values[torch.searchsorted(up_to, wanted).clamp(max=len(values) - 1)].unique()
        found.append(edges if len(edges) > 1 else torch.cat([edges, edges + 1]))
    return found


def _mean(values: Tensor, weight: Tensor | None) -> Tensor:
    return values.mean(0) if weight is None else weight @ values / weight.sum()


def split_embedding(module: nn.Module) -> tuple[NumericEmbedding | None, nn.Module]:
    """A network's embedding, if it begins with one, and what comes behind it.

    Parameters
    ----------
    module : torch.nn.Module

    Returns
    -------
    embedding : NumericEmbedding or None
    rest : torch.nn.Module
        Shares the layers with `module`; the module itself if there is no embedding.
    """
    children = [*module.named_children()]
    if not (
        isinstance(module, nn.Sequential)
        and children
        and isinstance(children[0][1], NumericEmbedding)
    ):
        return None, module
    rest = nn.Sequential(OrderedDict(children[1:]))
    return children[0][1], rest.train(module.training)
