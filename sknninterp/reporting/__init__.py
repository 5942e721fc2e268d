"""One self-contained HTML page about a fitted network: scores, ranking, rows, what to beware of."""

from sknninterp.reporting._report import report

__all__ = ["report"]
