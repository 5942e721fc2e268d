"""Histograms of many neurons at once, and how far they are from a distribution."""

from __future__ import annotations

import torch
from torch import Tensor

# Values as close to an edge as this share of a bin are looked up: rounding may put them across.
_MARGIN = {torch.float64: 1e-6}
_OTHER_MARGIN = 1e-2


class Histogram:
    """Histograms of many neurons over the same bins, filled batch by batch.

    Values beyond the range are counted in the end bins; bins hold their lower edge, the last one
    its upper edge too, as in `numpy.histogram`.

    Parameters
    ----------
    units : int or tuple of int
        Number of neurons, or their shape.
    edges : Tensor of shape (n_bins + 1,) or (n_units, n_bins + 1)
        Common edges, or each neuron's own.

    Attributes
    ----------
    counts : Tensor of shape (*units, n_bins)
    """

    def __init__(self, units: int | tuple[int, ...], edges: Tensor):
        self.edges = edges
        shape = (units,) if isinstance(units, int) else tuple(units)
        n_bins = edges.shape[-1] - 1
        self.counts = torch.zeros(*shape, n_bins, dtype=torch.float64, device=edges.device)
        widths = edges.diff()
        # On a GPU the look-up is quick, and to ask whether one is needed is slow.
        self._even = (
            edges.ndim == 1
            and edges.device.type == "cpu"
            and ((widths - widths.mean()).abs().max() < 1e-9 * widths.mean())
        )

    def add(self, values: Tensor, weight: Tensor | None = None) -> None:
        """Count values.

        Parameters
        ----------
        values : Tensor of shape (n, *units, ...positions)
        weight : Tensor of shape (n,), or of n and as many axes of the units, default=None
            Of each sample, or of each neuron's samples.
        """
        *units, n_bins = self.counts.shape
        values = values.detach()
        positions = values.ndim - 1 - len(units)
        bins = self._bins(values)
        first = torch.arange(0, self.counts.numel(), n_bins, device=bins.device)
        flat = (bins + first.view(*units, *[1] * positions)).reshape(-1)
        if weight is not None:
            weight = weight.to(bins.device, torch.float64)
            weight = weight.view(*weight.shape, *[1] * (values.ndim - weight.ndim))
            weight = weight.expand(values.shape).reshape(-1)
        counted = torch.bincount(flat, weight, minlength=self.counts.numel())
        self.counts += counted.view_as(self.counts)

    def _bins(self, values: Tensor) -> Tensor:
        inner = self.edges[..., 1:-1].to(values.dtype).contiguous()
        if inner.ndim > 1:
            rows = values.movedim(1, 0)
            flat = torch.searchsorted(inner, rows.flatten(1).contiguous(), right=True)
            return flat.view(rows.shape).movedim(0, 1)
        if not self._even:
            return torch.searchsorted(inner, values.contiguous(), right=True)
        # Several times quicker than a look-up of every value.
        n_bins, low, high = inner.numel() + 1, self.edges[0].item(), self.edges[-1].item()
        places = (values - low).mul_(n_bins / (high - low)).clamp_(0.5, n_bins - 0.5)
        from_edge = places.round().sub_(places).abs_()
        clear = from_edge >= _MARGIN.get(values.dtype, _OTHER_MARGIN)  # a NaN is not
        bins = places.to(torch.int64)
        if not clear.all():
            unclear = ~clear
            bins[unclear] = torch.searchsorted(inner, values[unclear], right=True)
        return bins

    @property
    def probabilities(self) -> Tensor:
        """Share of each bin, (*units, n_bins)."""
        return self.counts / self.counts.sum(-1, keepdim=True)


def kl_divergence(p: Tensor, q: Tensor, eps: float = 1e-5) -> Tensor:
    """S_i = sum_b p_b log((p_b + eps) / (q_b + eps)) (the paper's Algorithm 1).

    Parameters
    ----------
    p : Tensor of shape (*units, n_bins)
    q : Tensor of shape (n_bins,)
    """
    return (p * torch.log((p + eps) / (q + eps))).sum(-1)
