"""Gene sets in rankings: against loops that follow the definitions, and what bad input says."""

from __future__ import annotations

import inspect
import math
import re
from io import StringIO

import numpy as np
import pandas as pd
import pytest

from sknninterp.datasets import load_gene_expression
from sknninterp.evaluation.gene_sets import enrichment, read_gmt

# --- slow versions from the definitions ---------------------------------------------------------


def tail_of_hypergeometric(n_hits, n_all, n_set, n_top):
    """P(at least n_hits of n_top genes drawn from n_all are among the n_set)."""
    ways = sum(
        math.comb(n_set, k) * math.comb(n_all - n_set, n_top - k)
        for k in range(n_hits, min(n_set, n_top) + 1)
        if n_top - k <= n_all - n_set
    )
    return ways / math.comb(n_all, n_top)


def benjamini_hochberg(p_values):
    adjusted = []
    for p in p_values:
        larger = [q for q in p_values if q >= p]
        adjusted.append(min(q * len(p_values) / sum(r <= q for r in p_values) for q in larger))
    return [min(q, 1) for q in adjusted]


def running_sum(scores, member, weight):
    """The sum after every step down the ranking; the genes of a tie are one step."""
    steps = {}
    for score, inside in zip(scores, member, strict=True):
        steps.setdefault(score, []).append(inside)
    total = sum(abs(s) ** weight for s, inside in zip(scores, member, strict=True) if inside)
    n_inside, n_outside = sum(member), len(member) - sum(member)
    value, path = 0.0, [0.0]
    for score in sorted(steps, reverse=True):
        for inside in steps[score]:
            if inside:
                value += abs(score) ** weight / total if total > 0 else 1 / n_inside
            else:
                value -= 1 / n_outside
        path.append(round(value, 12))
    return path


def enrichment_score(scores, member, weight=1.0):
    path = running_sum(scores, member, weight)
    if min(scores) >= 0:
        return max(path)
    return max(path) if max(path) >= -min(path) else min(path)


def naive_prerank(scores, sets, weight, n_permutations, seed):
    """Return (ES, NES, p, q) for each set of genes' places, by loops over sets and permutations."""
    rng = np.random.RandomState(seed)
    observed, null = [], []
    for places in sets:
        observed.append(enrichment_score(scores, [i in places for i in range(len(scores))], weight))
    for _ in range(n_permutations):
        moved = rng.permutation(len(scores))
        rows = [{moved[i] for i in places} for places in sets]
        null.append(
            [enrichment_score(scores, [i in r for i in range(len(scores))], weight) for r in rows]
        )
    p_values, nes, null_nes = [], [], {1: [], -1: []}
    for j, es in enumerate(observed):
        for sign in (1, -1):
            same = [abs(row[j]) for row in null if (row[j] < 0) == (sign < 0)]
            mean = sum(same) / len(same) if same else np.nan
            null_nes[sign] += [value / mean for value in same]
            if (es < 0) == (sign < 0):
                nes.append(es / mean)
                p_values.append((1 + sum(v >= abs(es) for v in same)) / (1 + len(same)))
    rates = {}
    for sign in (1, -1):
        ours = [abs(x) for x in nes if (x < 0) == (sign < 0)]
        for x in ours:
            beyond = sum(v >= x for v in null_nes[sign])
            share = (1 + beyond) / (1 + len(null_nes[sign]))
            rates[sign * x] = min(1, share / (sum(o >= x for o in ours) / len(ours)))
    q_values = [
        min(r for y, r in rates.items() if (y < 0) == (x < 0) and abs(y) <= abs(x)) for x in nes
    ]
    return np.array([observed, nes, p_values, q_values])


@pytest.fixture
def genes():
    return [f"G{i}" for i in range(60)]


@pytest.fixture
def sets(genes):
    """Six overlapping sets of 5 to 15 genes, one of them at the top and one at the bottom."""
    rng = np.random.default_rng(3)
    random = {f"set {n}": rng.choice(genes, n, replace=False).tolist() for n in (5, 8, 11, 15)}
    return {**random, "top": [*genes[:7], genes[30]], "bottom": genes[-9:]}


def scores_of(kind):
    """Scores of 60 genes, from the highest to the lowest."""
    rng = np.random.default_rng(5)
    values = {
        "signed": rng.normal(size=60),
        "magnitudes": rng.exponential(size=60),
        "tied": rng.integers(-3, 4, 60).astype(float),
        "mostly zero": np.maximum(rng.normal(size=60) - 0.8, 0),
    }[kind]
    return np.sort(values)[::-1]


# --- GMT files ----------------------------------------------------------------------------------


def test_gmt_is_read_from_a_path_or_a_file(tmp_path):
    text = "\ufeffP53\tna\tBAX\tMDM2\tBAX\t\t\r\n\r\nMYC \thttp://x\t MYC\tNCL"
    expected = {"P53": ("BAX", "MDM2"), "MYC": ("MYC", "NCL")}
    path = tmp_path / "sets.gmt"
    path.write_bytes(text.encode())
    assert read_gmt(path) == expected
    assert read_gmt(str(path)) == expected
    assert list(read_gmt(path)) == list(expected)
    assert read_gmt(StringIO(text.lstrip("\ufeff"))) == expected
    with path.open(encoding="utf-8-sig") as file:
        assert read_gmt(file) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A\tna\tG1\n\nB\tna\n", "line 3: expected a name, a description and at least one gene"),
        ("A G1 G2", r"line 1: expected .* separated by tabs, got 'A G1 G2'"),
        ("A\tna\t\t\n", "line 1: expected .* at least one gene"),
        ("\tna\tG1\n", "line 1: expected a name"),
        ("A\tna\tG1\nB\tna\tG1\nA\tna\tG2", "line 3: the set 'A' is there a second time"),
        ("\n\n", "has no gene sets"),
    ],
    ids=["no genes", "no tabs", "empty genes", "no name", "repeated", "empty"],
)
def test_bad_gmt_names_the_file_and_the_line(text, message, tmp_path):
    path = tmp_path / "bad.gmt"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"bad.gmt.*{message}"):
        read_gmt(path)
    with pytest.raises(ValueError, match=f"the GMT file.*{message}"):
        read_gmt(StringIO(text))


def test_missing_gmt(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_gmt(tmp_path / "none.gmt")


def test_enrichment_takes_a_gmt_file(tmp_path, genes, sets):
    path = tmp_path / "sets.gmt"
    path.write_text("".join(f"{n}\tna\t" + "\t".join(g) + "\n" for n, g in sets.items()))
    ranking = pd.Series(scores_of("signed"), genes)
    expected = enrichment(ranking, sets, top=10)
    pd.testing.assert_frame_equal(enrichment(ranking, path, top=10), expected)
    pd.testing.assert_frame_equal(enrichment(ranking, str(path), top=10), expected)
    with path.open() as file:
        pd.testing.assert_frame_equal(enrichment(ranking, file, top=10), expected)


# --- over-representation ------------------------------------------------------------------------


@pytest.mark.parametrize("top", [1, 10, 0.25, 59])
@pytest.mark.parametrize("n_others", [0, 40])
def test_over_representation_is_the_hypergeometric_tail(top, n_others, genes, sets):
    sets["top"] += ["unknown", "other 1", "G0"]
    ranking = pd.Series(scores_of("signed"), genes)
    background = genes + [f"other {i}" for i in range(n_others)] if n_others else None
    table = enrichment(ranking, sets, top=top, background=background)
    n_top, n_all = 15 if top == 0.25 else top, 60 + n_others
    p_values = []
    for name, row in table.iterrows():
        members = [g for g in dict.fromkeys(sets[name]) if g in (background or genes)]
        hits = [g for g in genes[:n_top] if g in members]
        assert row["n_genes"] == len(members)
        assert row["n_missing"] == len(set(sets[name])) - len(members)
        assert row["n_hits"] == len(hits) and row["genes"] == tuple(hits)
        assert row["expected"] == pytest.approx(len(members) * n_top / n_all)
        assert row["fold_enrichment"] == pytest.approx(len(hits) / row["expected"])
        p = tail_of_hypergeometric(len(hits), n_all, len(members), n_top)
        assert row["p_value"] == pytest.approx(p)
        p_values.append(row["p_value"])
    assert set(table.index) == set(sets)
    assert table.loc["top", "n_missing"] == (1 if n_others else 2)
    np.testing.assert_allclose(table["q_value"], benjamini_hochberg(p_values))
    assert table["p_value"].is_monotonic_increasing
    assert table.index.name == "gene_set"
    if background:
        again = enrichment(ranking, sets, top=top, background=[*background, "G0", "other 0"])
        pd.testing.assert_frame_equal(again, table)


def test_over_representation_by_hand():
    # Two of the two top genes of six are in a set of three: 3 of the 15 pairs, and 1 is expected.
    ranking = pd.Series([6.0, 5.0, 4.0, 3.0, 2.0, 1.0], list("abcdef"))
    table = enrichment(ranking, {"s": ["f", "b", "a", "z"]}, top=2, min_size=1)
    row = table.loc["s"]
    assert row["p_value"] == pytest.approx(3 / 15) and row["fold_enrichment"] == 2
    assert row["genes"] == ("a", "b") and row["n_missing"] == 1


def test_the_stronger_of_two_sets_with_one_p_value_comes_first():
    ranking = pd.Series(np.arange(9.0, 0, -1), list("abcdefghi"))
    sets = {"six": list("defghi"), "one": ["i"], "seven": list("cdefghi")}
    table = enrichment(ranking, sets, top=8, min_size=1)
    assert table["p_value"].tolist() == [1, 1, 1]
    assert table.index.tolist() == ["seven", "six", "one"]


def test_the_ranking_need_not_be_in_order(genes, sets):
    ranking = pd.Series(scores_of("signed"), genes)
    shuffled = ranking.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(
        enrichment(shuffled, sets, top=10), enrichment(ranking, sets, top=10)
    )


def test_top_may_be_a_selection(genes, sets):
    ranking = pd.Series(scores_of("signed"), genes)
    expected = enrichment(ranking, sets, top=7)
    for top in (genes[6::-1], np.array(genes[:7]), pd.Index(genes[:7])):
        pd.testing.assert_frame_equal(enrichment(ranking, sets, top=top), expected)
    with pytest.raises(ValueError, match="top names 2 genes that are not in .*: 'H1', 'H2'"):
        enrichment(ranking, sets, top=["G1", "H1", "H2"])


def test_selected_genes_must_be_ranked(genes, sets):
    ranking = pd.Series(scores_of("signed"), genes)
    with pytest.raises(ValueError, match="top names 1 genes that are not in the ranking: 'H1'"):
        enrichment(ranking, sets, top=["G1", "H1"], background=[*genes, "H1"])


@pytest.mark.parametrize("top", [10, 0.2], ids=["number", "share"])
def test_a_tie_across_the_cut_is_left_out(top, genes, sets):
    scores = np.arange(60.0, 0, -1)
    scores[8:20] = 45.5
    ranking = pd.Series(scores, genes)
    with pytest.warns(UserWarning, match=r"cuts through 12 genes .* 45\.5: the 8 above") as caught:
        table = enrichment(ranking, sets, top=top)
    assert caught[0].filename == __file__
    pd.testing.assert_frame_equal(table, enrichment(ranking, sets, top=8))
    # A cut at either end of the tie is none through it.
    assert enrichment(ranking, sets, top=20)["expected"].sum() > table["expected"].sum()


def test_a_tie_of_the_highest_is_an_error(genes, sets):
    ranking = pd.Series(np.repeat([2.0, 1.0], 30), genes)
    with pytest.raises(ValueError, match=r"top=10 cuts through 30 genes .* 2, the highest of all"):
        enrichment(ranking, sets, top=10)
    assert enrichment(ranking, sets, top=30).loc["top", "n_hits"] == 7


# --- pre-ranked enrichment ----------------------------------------------------------------------


@pytest.mark.parametrize("weight", [0, 1.0, 2])
@pytest.mark.parametrize("kind", ["signed", "magnitudes", "tied", "mostly zero"])
def test_prerank_is_that_of_the_loops(kind, weight, genes, sets):
    scores = scores_of(kind)
    options = {"n_permutations": 70, "random_state": 8, "weight": weight}
    table = enrichment(pd.Series(scores, genes), sets, method="prerank", **options)
    places = [{int(gene[1:]) for gene in members} for members in sets.values()]
    expected = naive_prerank(scores.tolist(), places, weight, 70, seed=8)
    columns = ["es", "nes", "p_value", "q_value"]
    np.testing.assert_allclose(table.loc[list(sets), columns].T, expected, rtol=1e-10)
    assert table["q_value"].is_monotonic_increasing
    assert (table["es"].min() < 0) == (kind in ("signed", "tied"))


def test_leading_edges(genes, sets):
    scores = scores_of("signed")
    table = enrichment(pd.Series(scores, genes), sets, method="prerank", n_permutations=10)
    for name, row in table.iterrows():
        path = running_sum(scores.tolist(), [gene in sets[name] for gene in genes], 1.0)
        if row["es"] >= 0:
            edge = [g for g in genes[: int(np.argmax(path))] if g in sets[name]]
        else:
            edge = [g for g in genes[: int(np.argmin(path)) - 1 : -1] if g in sets[name]]
        assert row["genes"] == tuple(edge) and row["n_hits"] == len(edge)
    assert table.loc["top", "genes"] == tuple(genes[:7])
    assert table.loc["bottom", "genes"] == tuple(genes[:-10:-1])


def test_prerank_by_hand():
    # The sum after each gene: 3/4, 5/12, 1/12, 1/3, 0; all genes but one of the set lead.
    ranking = pd.Series([3.0, 2.0, 1.5, 1.0, -1.0], list("abcde"))
    options = {"method": "prerank", "min_size": 1, "n_permutations": 20, "random_state": 0}
    row = enrichment(ranking, {"s": ["a", "d"]}, **options).loc["s"]
    assert row["es"] == pytest.approx(3 / 4) and row["genes"] == ("a",)
    row = enrichment(-ranking, {"s": ["a", "d"]}, **options).loc["s"]
    assert row["es"] == pytest.approx(-3 / 4) and row["genes"] == ("a",)


def test_a_set_of_zeros_rises_evenly():
    scores = [2.0, 1.0, 0.0, 0.0, 0.0, -1.0, -2.0, -3.0]
    ranking = pd.Series(scores, list("abcdefgh"))
    options = {"method": "prerank", "min_size": 1, "n_permutations": 5, "random_state": 0}
    row = enrichment(ranking, {"s": ["c", "d"]}, **options).loc["s"]
    # Two of six others before the zeros, three after them.
    assert row["es"] == pytest.approx(1 - 3 / 6)
    assert row["es"] == pytest.approx(enrichment_score(scores, [g in "cd" for g in "abcdefgh"]))


@pytest.mark.parametrize("kind", ["tied", "mostly zero"])
def test_the_order_of_tied_genes_does_not_matter(kind, genes, sets):
    ranking = pd.Series(scores_of(kind), genes)
    tables = [
        enrichment(ranking.sample(frac=1, random_state=i), sets, method="prerank", random_state=0)
        for i in range(3)
    ]
    for table in tables[1:]:
        pd.testing.assert_series_equal(table["es"], tables[0]["es"], check_like=True)
    assert {frozenset(t.loc["top", "genes"]) for t in tables} == {
        frozenset(tables[0].loc["top", "genes"])
    }


def test_the_seed_decides(genes, sets, global_rng_untouched):
    ranking = pd.Series(scores_of("signed"), genes)
    first, second, other = (
        enrichment(ranking, sets, method="prerank", random_state=seed) for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(first, second)
    assert not first["nes"].equals(other["nes"].loc[first.index])


def test_p_values_of_random_sets_are_uniform():
    rng = np.random.default_rng(0)
    genes = [f"G{i}" for i in range(300)]
    ranking = pd.Series(rng.normal(size=300), genes)
    sets = {f"s{i}": rng.choice(genes, 20, replace=False) for i in range(400)}
    table = enrichment(ranking, sets, method="prerank", n_permutations=400, random_state=0)
    for level in (0.05, 0.2, 0.5):
        share = (table["p_value"] <= level).mean()
        assert abs(share - level) < 4 * np.sqrt(level * (1 - level) / 400)
    assert table["q_value"].min() > 0.1 and table["p_value"].min() > 0


def test_one_permutation_may_leave_no_score_of_the_same_sign():
    ranking = pd.Series(np.r_[np.arange(30.0, 0, -1), -np.arange(1, 31.0)])
    sets = {"top": range(8), "bottom": range(52, 60)}
    table = enrichment(ranking, sets, method="prerank", n_permutations=1, random_state=0)
    unknown = table["nes"].isna()
    assert unknown.any() and (table.loc[unknown, ["p_value", "q_value"]] == 1).all(axis=None)
    assert table["nes"].dropna().abs().gt(1).all()


# --- which sets, which names --------------------------------------------------------------------


@pytest.mark.parametrize("method", ["ora", "prerank"])
def test_sizes_count_genes_of_the_background(method, genes):
    sets = {
        "small": [*genes[:4], "u", "v"],
        "five": [*genes[:5], "u"],
        "nine": genes[:9],
        "ten": genes[:10],
        "all": genes,
    }
    ranking = pd.Series(scores_of("signed"), genes)
    table = enrichment(ranking, sets, method=method, top=6, max_size=9, n_permutations=5)
    assert set(table.index) == {"five", "nine"}
    assert table.loc["five", "n_missing"] == 1
    # A set of all genes has none outside.
    assert "all" not in enrichment(ranking, sets, method=method, top=6, n_permutations=5).index
    with pytest.raises(
        ValueError, match=r"None of the 5 .* min_size=70 and 59 .* 4 to 60 of its 60"
    ):
        enrichment(ranking, sets, method=method, top=6, min_size=70)


@pytest.mark.parametrize("method", ["ora", "prerank"])
def test_no_name_in_common_is_an_error_with_examples(method):
    ranking = pd.Series([3.0, 2.0, 1.0], ["Trp53", "Bax", "ENSG0001.5"])
    with pytest.raises(ValueError, match=r"0 of the 2 genes .* 3 genes") as raised:
        enrichment(ranking, {"s": ["TP53", "MDM2"]}, method=method)
    message = str(raised.value)
    assert "gene_sets: 'TP53', 'MDM2'; ranking: 'Trp53', 'Bax', 'ENSG0001.5'" in message
    assert "case" not in message
    with pytest.raises(ValueError, match="But for their case 1 would"):
        enrichment(ranking, {"s": ["BAX", "MDM2"]}, method=method)


def test_numbers_are_no_text():
    ranking = pd.Series([3.0, 2.0, 1.0, 0.5], [7157, 581, 4193, 1026])
    with pytest.raises(ValueError, match=r"gene_sets: '7157', '581'; ranking: 7157, 581, 4193, "):
        enrichment(ranking, {"s": ["7157", "581"]}, top=2, min_size=1)
    assert enrichment(ranking, {"s": [7157, 581]}, top=2, min_size=1).loc["s", "n_hits"] == 2


def test_case_is_kept_with_a_warning():
    ranking = pd.Series(np.arange(9.0), ["TP53", *(f"Gene{i}" for i in range(8))])
    sets = {"s": ["TP53", *(f"GENE{i}" for i in range(8))]}
    with pytest.warns(UserWarning, match="1 of the 9 .* but for their case 9 would") as caught:
        table = enrichment(ranking, sets, top=2, min_size=1)
    assert caught[0].filename == __file__
    assert table.loc["s", ["n_genes", "n_missing"]].tolist() == [1, 8]


def test_names_that_differ_in_case_only_are_two_genes():
    ranking = pd.Series([9.0, 8.0, 1.0, 0.5], ["IL2", "b", "Il2", "d"])
    table = enrichment(ranking, {"s": ["Il2", "d"]}, top=2, min_size=1)
    assert table.loc["s", "n_hits"] == 0 and table.loc["s", "p_value"] == 1


@pytest.mark.parametrize(
    ("ranking", "message"),
    [
        (pd.Series([1.0, np.nan], list("ab")), "ranking has NaN or infinite scores: 'b'"),
        (pd.Series([1.0, np.inf], list("ab")), "ranking has NaN or infinite scores: 'b'"),
        (pd.Series([1.0, 2.0, 3.0], list("aba")), "more than one score for 1 genes, 'a'"),
        (pd.Series([1.0, 1.0], list("ab")), "different scores, got 2 genes with one"),
        (pd.Series([], dtype=float), "different scores, got 0 genes"),
        (pd.Series(["x", "y"], list("ab")), "ranking must hold numbers"),
    ],
    ids=["nan", "infinite", "repeated", "constant", "empty", "text"],
)
def test_bad_rankings(ranking, message):
    with pytest.raises(ValueError, match=message):
        enrichment(ranking, {"s": ["a"]}, min_size=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 0}, "'top' parameter of enrichment"),
        ({"top": 1.5}, "'top' parameter of enrichment"),
        ({"top": 61}, "top=61 is more than the 60 genes"),
        ({"top": 60}, "top must be some of the 60 genes of the background, got all"),
        ({"top": []}, "got none of them"),
        ({"method": "gsea"}, "'method' parameter of enrichment"),
        ({"background": ["G1"]}, "background lacks 59 of the 60 ranked genes, 'G0', 'G2', 'G3', "),
        ({"method": "prerank", "background": ["G1"]}, "background must be None with"),
        ({"min_size": 0}, "'min_size' parameter"),
        ({"max_size": 2.5}, "'max_size' parameter"),
        ({"weight": -1}, "'weight' parameter"),
        ({"n_permutations": 0}, "'n_permutations' parameter"),
        ({"random_state": "a"}, "'random_state' parameter"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_options(options, message, genes, sets):
    with pytest.raises(ValueError, match=message):
        enrichment(pd.Series(scores_of("signed"), genes), sets, **{"top": 10, **options})


def test_bad_types(genes, sets):
    ranking = pd.Series(scores_of("signed"), genes)
    with pytest.raises(TypeError, match="ranking must be a pandas Series .* got ndarray"):
        enrichment(ranking.to_numpy(), sets)
    with pytest.raises(TypeError, match="gene_sets must be a dict of names to genes or a file"):
        enrichment(ranking, [genes])
    with pytest.raises(TypeError, match=r"gene_sets\[3\] must be several genes, got 4"):
        enrichment(ranking, {3: 4})
    with pytest.raises(TypeError, match=r"gene_sets\['s'\] must be several genes, got 'G1'"):
        enrichment(ranking, {"s": "G1"})
    with pytest.raises(ValueError, match="gene_sets is empty"):
        enrichment(ranking, {})


def test_input_is_left_alone(genes, sets):
    ranking = pd.Series(scores_of("signed")[::-1], genes)
    before = ranking.copy()
    enrichment(ranking, sets, top=10)
    pd.testing.assert_series_equal(ranking, before)


def test_docstring_names_every_parameter():
    for function in (read_gmt, enrichment):
        text = inspect.getdoc(function).split("Returns\n")[0]
        documented = re.findall(r"^(\w[\w, ]*) : ", text, flags=re.MULTILINE)
        names = [name for entry in documented for name in entry.split(", ")]
        assert names == list(inspect.signature(function).parameters)


# --- real data ----------------------------------------------------------------------------------


def test_p53_pathway_leads_the_genes_of_cells_without_mutation(data_home):
    bunch = load_gene_expression("p53", data_home=data_home)
    mutated = bunch.target == "MUT"
    with_it, without = bunch.data[mutated], bunch.data[~mutated]
    ranking = (without.mean() - with_it.mean()) / (without.std() + with_it.std())
    path = data_home / "gene_expression" / "hallmark_v7.0.gmt"
    table = enrichment(ranking, path)
    assert table.index[0] == "HALLMARK_P53_PATHWAY"
    assert table["q_value"].iloc[0] < 1e-4 and table["q_value"].iloc[1] > 0.1
    assert set(bunch.known_genes["WT"]) <= set(table["genes"].iloc[0])
    # Scores by GSEApy 1.3.1, for sets without genes whose names it would change.
    scored = enrichment(ranking, path, method="prerank", min_size=15, random_state=0)
    expected = {"HALLMARK_HEDGEHOG_SIGNALING": 0.558775, "HALLMARK_PROTEIN_SECRETION": -0.408827}
    for name, es in expected.items():
        assert scored.loc[name, "es"] == pytest.approx(es, abs=1e-5)
        assert scored.loc[name, "q_value"] < 0.02
