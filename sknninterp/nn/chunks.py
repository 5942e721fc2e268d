"""Samples and rows in chunks, so that memory is bounded however many there are."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from sknninterp.nn.nodes import Node

# The rows of a chunk take about this much at the widest node: what a CPU's caches hold.
CHUNK_BYTES = 8 * 2**20


def most_rows(nodes: Sequence[Node], x: Tensor) -> int:
    """Rows that fit into a chunk on the way through `nodes`, at least 1."""
    widest = max(math.prod(node.shape) for node in nodes)
    return max(1, CHUNK_BYTES // (widest * x.element_size()))


def chunk_sizes(n_rows: int, most: int) -> tuple[int, int]:
    """Rows and samples of a chunk: all rows where they fit, since they share what a sample costs.

    Examples
    --------
    >>> from sknninterp.nn.chunks import chunk_sizes
    >>> chunk_sizes(10, 100), chunk_sizes(300, 100)
    ((10, 10), (100, 1))
    """
    n_rows = max(1, min(n_rows, most))
    return n_rows, max(1, most // n_rows)


def slices(n: int, size: int) -> list[slice]:
    """Slices of `size` that cover `n`.

    Examples
    --------
    >>> from sknninterp.nn.chunks import slices
    >>> slices(5, 3)
    [slice(0, 3, None), slice(3, 5, None)]
    """
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
