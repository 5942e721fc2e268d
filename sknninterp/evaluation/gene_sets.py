"""Gene sets in a ranking of genes: over-representation at its top, and pre-ranked enrichment."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import false_discovery_control, hypergeom
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, RealNotInt, StrOptions, validate_params

from sknninterp._typing import Seed

# Permutations drawn at once: enough to hide Python's own time, few enough for a genome's memory.
_BATCH = 64
# Sums that are equal but for the order of addition must tie: p-values count what is as large.
_DECIMALS = 12


def read_gmt(path_or_file: Any) -> dict[str, tuple[str, ...]]:
    r"""Read gene sets from a GMT file: a line a set, its name, a description and genes, by tabs.

    Parameters
    ----------
    path_or_file : path-like or file-like
        The file, such as MSigDB's ``h.all.v7.0.symbols.gmt``, or one that is open for text. Empty
        lines are skipped.

    Returns
    -------
    gene_sets : dict of str to tuple of str
        The genes of every set as the file spells them, without repetition, in its order.

    Raises
    ------
    ValueError
        If there is no set, or, naming the line, if a line has no genes or no tabs or a set has the
        name of an earlier one.

    Examples
    --------
    >>> from io import StringIO
    >>> from sknninterp.evaluation.gene_sets import read_gmt
    >>> read_gmt(StringIO("REPAIR\thttps://example.org\tBRCA1\tATM\tBRCA1"))
    {'REPAIR': ('BRCA1', 'ATM')}
    """
    if isinstance(path_or_file, str | os.PathLike):
        with open(path_or_file, encoding="utf-8-sig") as file:
            return _parse_gmt(file, os.fspath(path_or_file))
    return _parse_gmt(path_or_file, getattr(path_or_file, "name", "the GMT file"))


def _parse_gmt(lines, source):
    gene_sets: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, _, *fields = (field.strip() for field in (line + "\t").split("\t"))
        where = f"{source}, line {number}"
        # Tables exported from spreadsheets pad their lines with tabs.
        genes = tuple(dict.fromkeys(gene for gene in fields if gene))
        if not name or not genes:
            raise ValueError(
                f"{where}: expected a name, a description and at least one gene, separated by "
                f"tabs, got {line.strip()[:60]!r}."
            )
        if name in gene_sets:
            raise ValueError(f"{where}: the set {name!r} is there a second time.")
        gene_sets[name] = genes
    if not gene_sets:
        raise ValueError(f"{source} has no gene sets: it is empty.")
    return gene_sets


@validate_params(
    {
        "method": [StrOptions({"ora", "prerank"})],
        "top": [
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="neither"),
            "array-like",
        ],
        "background": ["array-like", None],
        "min_size": [Interval(Integral, 1, None, closed="left")],
        "max_size": [Interval(Integral, 1, None, closed="left")],
        "weight": [Interval(Real, 0, None, closed="left")],
        "n_permutations": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def enrichment(
    ranking: pd.Series,
    gene_sets: Any,
    *,
    method: str = "ora",
    top: float | ArrayLike = 100,
    background: ArrayLike | None = None,
    min_size: int = 5,
    max_size: int = 500,
    weight: float = 1.0,
    n_permutations: int = 1000,
    random_state: Seed = None,
) -> pd.DataFrame:
    """Test which sets of genes come first in a ranking of genes.

    ``method="ora"``, over-representation: how many genes of a set are among the `top` ones,
    against the hypergeometric distribution of as many genes drawn from the background. One-sided.

    ``method="prerank"``, gene set enrichment analysis of a ranking [1]_: a sum that runs down the
    ranking rises at the genes of the set, by their scores' share, and falls at the others; its
    largest deviation from zero is the enrichment score. Its null distribution is that of the same
    sets after the genes have been permuted. Genes are exchangeable under it, which correlated genes
    are not, so read its p-values as a guide to what to look at.

    Parameters
    ----------
    ranking : Series of shape (n_genes,)
        A score by gene, the higher the further up (pass ``-ranks`` for ranks): an explanation's
        ``importances()``, or ``pd.Series(explainer.feature_importances_, feature_names)``.
    gene_sets : dict of str to iterable of str, path-like or file-like
        The genes of each set, or a GMT file. Names must be spelled as in `ranking`.
    method : {"ora", "prerank"}, default="ora"
        The test.
    top : int, float or array-like of str, default=100
        For "ora": the number of genes at the top, their share of the ranking, or the names of genes
        that were selected from it. Of a tie across the cut no gene is in, with a warning, so that
        the order of the columns does not matter.
    background : array-like of str, default=None
        For "ora": all genes that could have come to the top. None takes the ranked genes, which
        assumes that a gene that was not ranked could not. Others must hold the ranked genes.
    min_size, max_size : int, default=5 and 500
        Sets with fewer or more genes in the background are left out.
    weight : float, default=1.0
        For "prerank": the power of a score that a gene adds to the running sum; 0 counts genes.
    n_permutations : int, default=1000
        For "prerank": size of the null distribution.
    random_state : int, RandomState instance or None, default=None
        Of the permutations.

    Returns
    -------
    DataFrame
        One row a tested set, those with the smallest p-values ("prerank": q-values) first. The
        index is its name, the columns:

        - `n_genes`, `n_missing`: genes of the set that are in the background, and that are not.
        - `n_hits`, `genes`: "ora", the genes of the set at the top; "prerank", its leading edge,
          those up to the largest deviation. A tuple, the first of the ranking first (the last one
          if the score is negative).
        - `expected`, `fold_enrichment`: "ora", mean number of hits by chance, and `n_hits` over
          it.
        - `es`, `nes`: "prerank", the enrichment score, and this over the mean magnitude of those
          of the same sign in the null distribution.
        - `p_value`: for "prerank", among the null scores of the same sign; never zero, since the
          observed score counts as one of them.
        - `q_value`: "ora", Benjamini and Hochberg's adjusted p-value; "prerank", the false
          discovery rate of [1]_ over the normalised scores of all sets, monotone in these.

    Raises
    ------
    TypeError
        If `ranking` is no Series, or `gene_sets` neither dict nor file.
    ValueError
        If the ranking has NaN, repeated genes or only one score; if no gene of the sets is in the
        background, with examples of both; if all sets are too small or too large; if `top` or
        `background` does not fit the ranking.

    Warns
    -----
    UserWarning
        If `top` cuts through a tie, or if far more names would match but for their case.

    Notes
    -----
    Scores that are never negative are magnitudes, at whose bottom nothing is of interest: the
    largest deviation is then the highest one, and all sets have positive scores. Tied genes enter
    the running sum together. A set whose scores are all zero rises evenly.

    References
    ----------
    .. [1] Subramanian et al., "Gene set enrichment analysis", PNAS 102:15545, 2005 (appendix).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sknninterp.evaluation.gene_sets import enrichment
    >>> ranking = pd.Series(np.arange(40.0, 0, -1), index=[f"G{i}" for i in range(40)])
    >>> sets = {"first": ["G0", "G1", "G3", "G4", "G9"], "odd": [f"G{i}" for i in range(1, 60, 2)]}
    >>> table = enrichment(ranking, sets, top=5)
    >>> table[["n_genes", "n_missing", "n_hits", "expected", "p_value"]].round(5)
              n_genes  n_missing  n_hits  expected  p_value
    gene_set
    first           5          0       4     0.625  0.00027
    odd            20         10       2     2.500  0.82918
    >>> table.loc["first", "genes"]
    ('G0', 'G1', 'G3', 'G4')
    """
    ranking = _check_ranking(ranking)
    sets = _check_sets(gene_sets)
    universe = _universe(ranking.index, background, method)
    _check_names(sets, universe)
    table, members = _members(sets, universe, min_size, max_size)
    scores = ranking.to_numpy()
    if method == "ora":
        result = _over_representation(members, _is_top(top, scores, universe), universe)
    else:
        rng = check_random_state(random_state)
        result = _prerank(members, scores, universe, weight, n_permutations, rng)
    table = table.join(result)
    # p-values of "prerank" are coarse where few null scores have the sign of a set's.
    first, then = ("p_value", "fold_enrichment") if method == "ora" else ("q_value", "nes")
    return table.iloc[np.lexsort((-table[then].abs(), table[first]))]


def _check_ranking(ranking):
    """Return the ranking as floats, the highest score first."""
    if not isinstance(ranking, pd.Series):
        raise TypeError(
            "ranking must be a pandas Series of scores by gene, such as "
            "pd.Series(explainer.feature_importances_, index=genes), got "
            f"{type(ranking).__name__}."
        )
    try:
        scores = ranking.astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"ranking must hold numbers: {error}") from error
    wrong = ranking.index[~np.isfinite(scores)]
    if len(wrong):
        raise ValueError(f"ranking has NaN or infinite scores: {_examples(wrong)}.")
    repeated = ranking.index[ranking.index.duplicated()].unique()
    if len(repeated):
        raise ValueError(
            f"ranking has more than one score for {len(repeated)} genes, {_examples(repeated)}: "
            "keep one, such as ranking.groupby(level=0).max()."
        )
    if scores.nunique() < 2:
        raise ValueError(f"ranking must have different scores, got {len(scores)} genes with one.")
    return scores.iloc[np.argsort(-scores.to_numpy(), kind="stable")]


def _check_sets(gene_sets):
    """Return the sets as a dict of tuples without repetition."""
    if isinstance(gene_sets, str | os.PathLike) or hasattr(gene_sets, "read"):
        return read_gmt(gene_sets)
    if not isinstance(gene_sets, Mapping):
        raise TypeError(
            f"gene_sets must be a dict of names to genes or a file, got {type(gene_sets).__name__}."
        )
    for name, genes in gene_sets.items():
        if isinstance(genes, str) or not np.iterable(genes):
            raise TypeError(f"gene_sets[{name!r}] must be several genes, got {genes!r}.")
    if not gene_sets:
        raise ValueError("gene_sets is empty.")
    return {name: tuple(dict.fromkeys(genes)) for name, genes in gene_sets.items()}


def _universe(ranked, background, method):
    """Return the genes of the background: the ranked ones in their order, then the others."""
    if background is None:
        return ranked
    if method != "ora":
        raise ValueError("background must be None with method='prerank', which ranks all genes.")
    background = pd.Index(background)
    outside = ranked.difference(background, sort=False)
    if len(outside):
        raise ValueError(
            f"background lacks {len(outside)} of the {len(ranked)} ranked genes, "
            f"{_examples(outside)}: leave these out of the ranking, or add them."
        )
    return ranked.append(background.difference(ranked, sort=False))


def _check_names(sets, universe):
    """Raise an error if no gene of the sets is in the background; hint at another spelling."""
    named = pd.Index([gene for genes in sets.values() for gene in genes]).unique()
    n_found = len(named.intersection(universe))
    n_folded = len(_folded(named) & _folded(universe))
    if n_found == 0:
        hint = f" But for their case {n_folded} would." if n_folded else ""
        raise ValueError(
            f"0 of the {len(named)} genes in gene_sets matched the {len(universe)} genes of the "
            f"ranking.{hint} gene_sets: {_examples(named)}; ranking: {_examples(universe)}. Rename "
            "one of them."
        )
    if n_folded > 2 * n_found:
        warnings.warn(
            f"{n_found} of the {len(named)} genes in gene_sets matched the ranking; but for their "
            f"case {n_folded} would. gene_sets: {_examples(named)}; ranking: "
            f"{_examples(universe)}. Nothing was renamed.",
            stacklevel=4,
        )


def _folded(names):
    return {str(name).casefold() for name in names}


def _examples(names):
    """Return a few names as Python writes them, so that '7157' and 7157 differ."""
    return ", ".join(repr(name) for name in list(names[:3])) + (", ..." if len(names) > 3 else "")


def _members(sets, universe, min_size, max_size):
    """Return a table of the sets to test, and their genes' places in the background."""
    places = {name: universe.get_indexer(list(genes)) for name, genes in sets.items()}
    members = {name: np.sort(found[found >= 0]) for name, found in places.items()}
    # A set of all genes leaves none to compare it with.
    largest = min(max_size, len(universe) - 1)
    tested = {name: m for name, m in members.items() if min_size <= len(m) <= largest}
    if not tested:
        sizes = sorted(map(len, members.values()))
        raise ValueError(
            f"None of the {len(sets)} gene sets has between min_size={min_size} and {largest} "
            f"genes in the background: they have {sizes[0]} to {sizes[-1]} of its "
            f"{len(universe)} genes."
        )
    n_genes = [len(m) for m in tested.values()]
    n_missing = [len(sets[name]) - len(m) for name, m in tested.items()]
    index = pd.Index(list(tested), name="gene_set", tupleize_cols=False)
    table = pd.DataFrame({"n_genes": n_genes, "n_missing": n_missing}, index=index)
    return table, tested


# --- over-representation ------------------------------------------------------------------------


def _is_top(top, scores, universe):
    """Return which genes of the background are at the top."""
    is_top = np.zeros(len(universe), dtype=bool)
    if isinstance(top, Real):
        is_top[: _n_top(top, scores)] = True
    else:
        places = universe.get_indexer(list(top))
        ranked = (places >= 0) & (places < len(scores))
        if not ranked.all():
            unknown = [gene for gene, found in zip(top, ranked, strict=True) if not found]
            raise ValueError(
                f"top names {len(unknown)} genes that are not in the ranking: {_examples(unknown)}."
            )
        is_top[places] = True
    if is_top.all() or not is_top.any():
        raise ValueError(
            f"top must be some of the {len(universe)} genes of the background, got "
            f"{'all' if is_top.all() else 'none'} of them."
        )
    return is_top


def _n_top(top, scores):
    """Return the number of genes at the top that no tie crosses the cut of."""
    n_top = int(top) if isinstance(top, Integral) else max(round(top * len(scores)), 1)
    if n_top > len(scores):
        raise ValueError(f"top={top} is more than the {len(scores)} genes of the ranking.")
    if n_top == len(scores) or scores[n_top - 1] > scores[n_top]:
        return n_top
    n_above = int((scores > scores[n_top]).sum())
    n_tied = int((scores == scores[n_top]).sum())
    message = f"top={top} cuts through {n_tied} genes that all have the score {scores[n_top]:g}"
    if n_above == 0:
        raise ValueError(f"{message}, the highest of all: pass another top.")
    warnings.warn(f"{message}: the {n_above} above them are taken.", stacklevel=5)
    return n_above


def _over_representation(members, is_top, universe):
    """Return the columns of the hypergeometric test (Fisher's exact one, one-sided)."""
    hits = [places[is_top[places]] for places in members.values()]
    n_hits = np.array([len(places) for places in hits])
    n_genes = np.array([len(places) for places in members.values()])
    expected = n_genes * is_top.sum() / len(universe)
    p_value = hypergeom.sf(n_hits - 1, len(universe), n_genes, is_top.sum())
    # Rounding may leave the tail above 1 by a bit, which the correction refuses.
    p_value = np.minimum(p_value, 1.0)
    columns = {
        "n_hits": n_hits,
        "expected": expected,
        "fold_enrichment": n_hits / expected,
        "p_value": p_value,
        "q_value": false_discovery_control(p_value),
        "genes": [tuple(universe[places]) for places in hits],
    }
    return pd.DataFrame(columns, index=pd.Index(list(members), tupleize_cols=False))


# --- pre-ranked enrichment ----------------------------------------------------------------------


def _prerank(members, scores, universe, weight, n_permutations, rng):
    """Return the columns of the pre-ranked enrichment analysis."""
    sums = _RunningSum(scores, weight)
    sets = list(members.values())
    es = np.array([sums.scores(places[None])[0] for places in sets])
    null = np.empty((n_permutations, len(sets)))
    for start in range(0, n_permutations, _BATCH):
        n = min(_BATCH, n_permutations - start)
        # One permutation for all sets, so that those that share genes stay alike.
        moved = np.array([rng.permutation(len(scores)) for _ in range(n)])
        for column, places in enumerate(sets):
            null[start : start + n, column] = sums.scores(moved[:, places])
    nes, null_nes, p_value = _normalize(es, null)
    genes = [sums.leading_edge(p, negative=score < 0) for p, score in zip(sets, es, strict=True)]
    columns = {
        "n_hits": [len(places) for places in genes],
        "es": es,
        "nes": nes,
        "p_value": p_value,
        "q_value": _false_discovery_rates(nes, null_nes),
        "genes": [tuple(universe[places]) for places in genes],
    }
    return pd.DataFrame(columns, index=pd.Index(list(members), tupleize_cols=False))


class _RunningSum:
    """The sum that runs down a ranking, at the only places where it can be furthest from zero.

    These lie just after and just before each gene of the set; tied genes are taken in one step, so
    that "after" is the end of a gene's tie and "before" its start. Where a set has several genes in
    a tie, the sum after all but the last is too low and before all but the first too high, by which
    neither extreme changes.
    """

    def __init__(self, scores, weight):
        self.weights = np.abs(scores) ** weight
        self.one_sided = bool((scores >= 0).all())
        self.starts = np.searchsorted(-scores, -scores, side="left")
        self.ends = np.searchsorted(-scores, -scores, side="right")

    def deviations(self, places):
        """Return the sums after and before each gene, for sets (n_sets, n_genes) of places."""
        places = np.sort(places, axis=1)
        count = np.arange(1, places.shape[1] + 1)
        n_others = len(self.weights) - len(count)
        risen = np.cumsum(self.weights[places], axis=1)
        total = risen[:, -1:].copy()
        even = np.broadcast_to(count / len(count), risen.shape).copy()
        risen = np.divide(risen, total, out=even, where=total > 0)
        after = risen - (self.ends[places] - count) / n_others
        risen = np.hstack([np.zeros_like(total), risen[:, :-1]])
        before = risen - (self.starts[places] - (count - 1)) / n_others
        return after.round(_DECIMALS), before.round(_DECIMALS)

    def scores(self, places):
        """Return the enrichment score of each set, shape (n_sets,)."""
        after, before = self.deviations(places)
        highest = np.maximum(after.max(axis=1), 0)
        lowest = np.minimum(before.min(axis=1), 0)
        return highest if self.one_sided else np.where(highest >= -lowest, highest, lowest)

    def leading_edge(self, places, negative):
        """Return the places up to the highest sum or, from the last one on, the lowest."""
        after, before = self.deviations(places[None])
        if negative:
            return places[places >= self.starts[places[before.argmin()]]][::-1]
        return places[places < self.ends[places[after.argmax()]]]


def _normalize(es, null):
    """Return NES, those of the null distribution, and p-values, all among scores of one sign."""
    nes, null_nes = np.full(es.shape, np.nan), np.full(null.shape, np.nan)
    p_value = np.ones(len(es))
    for sign in (1, -1):
        same = (null < 0) == (sign < 0)
        n_same = same.sum(axis=0)
        mean = np.where(same, np.abs(null), 0).sum(axis=0) / np.maximum(n_same, 1)
        ours = (es < 0) == (sign < 0)
        np.divide(es, mean, out=nes, where=ours & (mean > 0))
        np.divide(null, mean, out=null_nes, where=same & (mean > 0))
        n_beyond = (same & (sign * null >= sign * es)).sum(axis=0)
        p_value[ours] = ((1 + n_beyond) / (1 + n_same))[ours]
    return nes, null_nes, p_value


def _false_discovery_rates(nes, null_nes):
    """Return the share of null scores beyond each score over that of the sets, per sign.

    As with the p-values the observed score counts as one of the null scores, so that none is zero.
    """
    q_value = np.ones(len(nes))
    for sign in (1, -1):
        null = np.sort(sign * null_nes[sign * null_nes >= 0], axis=None)
        (ours,) = np.nonzero(sign * nes >= 0)
        ours = ours[np.argsort(sign * nes[ours])]
        score = sign * nes[ours]
        n_null = len(null) - np.searchsorted(null, score, side="left")
        n_sets = len(score) - np.searchsorted(score, score, side="left")
        rates = ((1 + n_null) / (1 + len(null))) / (n_sets / max(len(score), 1))
        q_value[ours] = np.minimum.accumulate(np.minimum(rates, 1))
    return q_value
