"""Gene expression: Beat AML with drug response, four microarray sets, the hallmark gene sets."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from ._base import Source, check_choice, make_bunch, require_files

_BEAT_AML = Source(
    "Beat AML 2.0",
    "beat_aml",
    "patients with acute myeloid leukaemia: gene expression, mutations, and the response of their "
    "cells to 166 inhibitors.",
    "Bottomly et al. 2022, Cancer Cell 40:850; Tyner et al. 2018, Nature 562:526",
    "CC BY 4.0",
    "https://biodev.github.io/BeatAML2/ (with a published selection of 469 genes and one drug "
    "response per patient)",
)
_BEAT_AML_FILES = {
    "expression": ["expression.csv.gz"],
    "mutations": ["mutation_matrix.csv.gz"],
    "both": ["expression.csv.gz", "mutation_matrix.csv.gz"],
}
_HALLMARK = Source(
    "MSigDB hallmark gene sets 7.0",
    "gene_expression",
    "50 sets of genes.",
    "Liberzon et al. 2015, Cell Systems 1:417",
    "CC BY 4.0",
    "https://www.gsea-msigdb.org (h.all.v7.0.symbols.gmt)",
)
_STUDY_DATA = "none stated; public study data, cite the study"


@dataclass(frozen=True)
class _Microarray:
    """What sets one microarray set apart: its file, scale and known genes."""

    source: Source
    files: tuple[str, ...]
    # Raised to this before the logarithm; None where the values are logarithms already.
    floor: float | None
    known_genes: dict[str, tuple[str, ...]]


def _study(name: str, description: str, citation: str, origin: str) -> Source:
    return Source(name, "gene_expression", description, citation, _STUDY_DATA, origin)


_MICROARRAYS = {
    "golub": _Microarray(
        _study(
            "Golub leukaemia",
            "72 patients x 7,129 probe sets (Affymetrix Hu6800), acute lymphoblastic (ALL, 47) or "
            "myeloid (AML, 25) leukaemia.",
            "Golub et al. 1999, Science 286:531",
            "the study's data set, as in the R package golubEsets",
        ),
        ("golub_leukemia.npz", "golub_informative_genes.csv"),
        20.0,
        {},
    ),
    "armstrong": _Microarray(
        _study(
            "Armstrong leukaemia",
            "48 patients x 10,272 genes (Affymetrix HG-U95Av2), ALL (24) or AML (24).",
            "Armstrong et al. 2002, Nature Genetics 30:41",
            "the example data of GSEA, https://www.gsea-msigdb.org",
        ),
        ("armstrong_leukemia.npz",),
        20.0,
        {
            "ALL": ("DNTT", "CD79A", "CD79B", "BLNK", "TCL1A", "MME"),
            "AML": ("HOXA9", "HOXA5", "CFD", "ZYX", "CCNA1"),
        },
    ),
    "p53": _Microarray(
        _study(
            "NCI-60 p53",
            "50 cancer cell lines x 10,100 genes, TP53 mutated (MUT, 33) or not (WT, 17).",
            "Subramanian et al. 2005, PNAS 102:15545",
            "the example data of GSEA, https://www.gsea-msigdb.org",
        ),
        ("nci60_p53.npz",),
        None,
        {"WT": ("BAX", "MDM2", "DDB2", "CDKN1A")},
    ),
    "chowdary": _Microarray(
        _study(
            "Chowdary breast and colon tumours",
            "104 tumours x 22,283 probe sets (Affymetrix HG-U133A), breast (62) or colon (42).",
            "Chowdary et al. 2006, Journal of Molecular Diagnostics 8:31",
            "Gene Expression Omnibus GSE3726",
        ),
        ("chowdary_breast_colon.npz",),
        1.0,
        {
            "breast": ("GATA3", "ESR1", "SCGB2A2"),
            "colon": ("CDX1", "KRT20", "CDH17", "CEACAM5"),
        },
    ),
}


def load_beat_aml(
    *,
    drug: str = "Venetoclax",
    features: str = "expression",
    data_home: str | os.PathLike | None = None,
    return_X_y: bool = False,
) -> Bunch | tuple[pd.DataFrame, pd.Series]:
    """Load Beat AML 2.0: gene expression, mutations and the response to one inhibitor.

    Patients with acute myeloid leukaemia whose leukaemic cells were exposed to the inhibitor
    outside the body. Only patients with both the features and the response are in `data`.

    Parameters
    ----------
    drug : str, default="Venetoclax"
        One of 166 inhibitors; what stands in parentheses after its name and upper or lower case
        may be left out ("quizartinib" for "Quizartinib (AC220)").
    features : {"expression", "mutations", "both"}, default="expression"
        Expression of 469 genes (log2 normalised RNA-seq), or whether each of 123 genes is mutated
        (0 or 1; columns such as "NPM1_mut"), or both side by side. `FLT3_mut` leaves out most
        internal tandem duplications, which are in the column "FLT3-ITD" of `clinical`.
    data_home : path-like, default=None
        The data folder; None takes the environment variable `SKNNINTERP_DATA`. OpenML has not
        got this set.
    return_X_y : bool, default=False
        Whether to return `(data, target)` instead of a Bunch.

    Returns
    -------
    bunch : sklearn.utils.Bunch
        data : DataFrame of shape (n_patients, n_features), float64
            Indexed by patient, `dbgap_subject_id`.
        target : Series of shape (n_patients,), float64
            Area under the dose-response curve, 0 to 286.3; low is sensitive.
        unlabeled : DataFrame of shape (n_others, n_features)
            Patients with features and no response to this drug.
        clinical : DataFrame of shape (n_patients, 94)
            The clinical record of each patient's first specimen, as released.
        feature_names, target_names : list of str
            In the order of the columns, and of the classes or values.
        DESCR, source, licence : str
            Of the data.

    Raises
    ------
    FileNotFoundError
        If the files are in no folder.
    ValueError
        If `features` is not one of the above, or there is no such drug.

    Notes
    -----
    The 469 genes are a published selection (protein coding, expressed in more than 99 % of the
    specimens, standard deviation above 1), so that FLT3, BCL2, HOXA9 and CD34 are not among them.

    References
    ----------
    .. [1] Bottomly et al., "Integrative analysis of drug response and clinical outcome in acute
       myeloid leukemia", Cancer Cell 40:850, 2022.

    Examples
    --------
    >>> from sknninterp.datasets import load_beat_aml
    >>> load_beat_aml(drug="Venetoclax").data.shape  # doctest: +SKIP
    (329, 469)
    """
    check_choice("features", features, _BEAT_AML_FILES)
    names = ["drug_auc.csv.gz", "clinical.csv.gz", *_BEAT_AML_FILES[features]]
    auc_path, clinical_path, *paths = require_files(_BEAT_AML, names, data_home)
    responses = pd.read_csv(auc_path, index_col=0)
    y = responses[_match_drug(drug, responses.columns)].dropna()
    table = pd.concat([_read_features(path) for path in paths], axis=1, join="inner")
    X = table[table.index.isin(y.index)]
    y = y.loc[X.index]
    if return_X_y:
        return X, y
    clinical = pd.read_csv(clinical_path, index_col=0, low_memory=False)
    return make_bunch(
        _BEAT_AML,
        data=X,
        target=y,
        unlabeled=table.drop(index=X.index),
        clinical=clinical[~clinical.index.duplicated()].reindex(X.index),
        feature_names=list(X.columns),
        target_names=[y.name],
    )


def load_gene_expression(
    name: str,
    *,
    log2: bool = True,
    collapse: str | None = None,
    data_home: str | os.PathLike | None = None,
    as_frame: bool = True,
    return_X_y: bool = False,
) -> Bunch | tuple:
    """Load a microarray study with two classes.

    Parameters
    ----------
    name : {"golub", "armstrong", "p53", "chowdary"}
        ALL against AML, 72 x 7,129 (Golub et al. [1]_); ALL against AML, 48 x 10,272 (Armstrong
        et al. [2]_); TP53 mutated against wild type in the NCI-60 cell lines, 50 x 10,100
        (Subramanian et al. [3]_); breast against colon tumours, 104 x 22,283 (Chowdary et al.
        [4]_).
    log2 : bool, default=True
        Whether to take the logarithm. "golub" and "armstrong" are Affymetrix average differences,
        a third or a quarter of them below 20 or negative: they are raised to 20 first. "chowdary"
        are small non-negative intensities (median 16), raised to 1 first. "p53" is on a
        logarithmic scale already and stays as it is.
    collapse : {"max", "mean"}, default=None
        One column per gene instead of one per probe set, for "chowdary": "max" takes the probe
        set with the largest mean intensity, "mean" averages them (after the logarithm). Probe
        sets without a gene symbol are left out. "armstrong" and "p53" have one column per gene
        anyway, "golub" has no symbols.
    data_home : path-like, default=None
        The data folder; None takes the environment variable `SKNNINTERP_DATA`. OpenML has not
        got these sets.
    as_frame : bool, default=True
        Whether `data` is a DataFrame and `target` a Series rather than arrays.
    return_X_y : bool, default=False
        Whether to return `(data, target)` instead of a Bunch.

    Returns
    -------
    bunch : sklearn.utils.Bunch
        data : DataFrame or ndarray of shape (n_samples, n_features), float32
            Indexed by sample where the study names them.
        target : Series or ndarray of shape (n_samples,), str
            The class: "ALL", "AML"; "MUT", "WT"; "breast", "colon".
        feature_names : list of str
            The gene symbol, or the probe set where there is no symbol, or both, as in
            "ESR1 (205225_at)", where a gene has several columns. Unique.
        genes : ndarray of shape (n_features,), str
            The gene symbol of each column, "" for none; with "golub" always.
        target_names : list of str
            The classes.
        known_genes : dict of str to list of str
            Genes known to be higher in a class: symbols, and for "golub" the probe sets of the
            study's 50 informative genes. Those for "p53" are targets that p53 switches on, so
            they are all under "WT".
        split : ndarray of shape (n_samples,), str
            With "golub" only: "train" or "test" as published.
        description : ndarray of shape (n_features,), str
            With "golub" only: what the probe set stands for.
        DESCR, source, licence : str
            Of the data.

    Raises
    ------
    FileNotFoundError
        If the files are in no folder.
    ValueError
        If `name` or `collapse` is not one of the above, or `collapse` is given for "golub".

    References
    ----------
    .. [1] Golub et al., "Molecular classification of cancer", Science 286:531, 1999.
    .. [2] Armstrong et al., "MLL translocations specify a distinct gene expression profile",
       Nature Genetics 30:41, 2002.
    .. [3] Subramanian et al., "Gene set enrichment analysis", PNAS 102:15545, 2005.
    .. [4] Chowdary et al., "Prognostic gene expression signatures can be measured in tissues
       collected in RNAlater preservative", Journal of Molecular Diagnostics 8:31, 2006.

    Examples
    --------
    >>> from sknninterp.datasets import load_gene_expression
    >>> bunch = load_gene_expression("p53")  # doctest: +SKIP
    >>> bunch.data.shape, bunch.known_genes["WT"]  # doctest: +SKIP
    ((50, 10100), ['BAX', 'MDM2', 'DDB2', 'CDKN1A'])
    """
    check_choice("name", name, _MICROARRAYS)
    check_choice("collapse", collapse, (None, "max", "mean"))
    if name == "golub" and collapse is not None:
        raise ValueError(f"collapse must be None for 'golub', which has no symbols: {collapse!r}")
    spec = _MICROARRAYS[name]
    matrix_path, *gene_paths = require_files(spec.source, spec.files, data_home)
    with np.load(matrix_path) as file:
        arrays = dict(file)
    raw = arrays["X"].astype(np.float32)
    values = np.log2(np.maximum(raw, spec.floor)) if log2 and spec.floor is not None else raw
    genes = arrays.get("gene", np.full(raw.shape[1], ""))
    columns = _feature_names(genes, arrays.get("probe", genes))
    if collapse is not None:
        values, genes = _COLLAPSE[collapse](values, raw.mean(axis=0), genes)
        columns = genes
    samples = arrays.get("sample", arrays.get("patient"))
    X = pd.DataFrame(values, index=samples, columns=columns)
    y = pd.Series(arrays["y"].astype(object), index=X.index, name="class", dtype=str)
    data, target = (X, y) if as_frame else (values, arrays["y"])
    if return_X_y:
        return data, target
    return make_bunch(
        spec.source,
        data=data,
        target=target,
        feature_names=list(X.columns),
        genes=genes,
        target_names=sorted(set(arrays["y"].tolist())),
        known_genes=_known_genes(spec, gene_paths),
        **{key: arrays[key] for key in ("split", "description") if key in arrays},
    )


def load_hallmark_gene_sets(*, data_home: str | os.PathLike | None = None) -> dict[str, list[str]]:
    """Load the 50 hallmark gene sets of MSigDB 7.0.

    Parameters
    ----------
    data_home : path-like, default=None
        The data folder; None takes the environment variable `SKNNINTERP_DATA`.

    Returns
    -------
    gene_sets : dict of str to list of str
        Gene symbols by set, such as "HALLMARK_P53_PATHWAY", in the order of the file.

    Raises
    ------
    FileNotFoundError
        If the file is in no folder.

    References
    ----------
    .. [1] Liberzon et al., "The Molecular Signatures Database hallmark gene set collection", Cell
       Systems 1:417, 2015.

    Examples
    --------
    >>> from sknninterp.datasets import load_hallmark_gene_sets
    >>> len(load_hallmark_gene_sets())  # doctest: +SKIP
    50
    """
    path = require_files(_HALLMARK, ["hallmark_v7.0.gmt"], data_home)[0]
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    return {name: genes for name, _url, *genes in rows}


def _match_drug(drug: str, names: Any) -> str:
    """Return the column for `drug`: its full name, or the part before the parentheses."""
    if drug in names:
        return drug
    matches = [
        name
        for name in names
        if str(drug).casefold() in (name.casefold(), name.split(" (")[0].casefold())
    ]
    if len(matches) == 1:
        return matches[0]
    raise ValueError(f"drug must be one of {sorted(names)}, got {drug!r}")


def _read_features(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, index_col=0).astype(np.float64)
    return table.add_suffix("_mut") if path.name.startswith("mutation") else table


def _known_genes(spec: _Microarray, paths: list[Path]) -> dict[str, list[str]]:
    """Class -> genes, from the set's own table where it has one."""
    if not paths:
        return {label: list(genes) for label, genes in spec.known_genes.items()}
    table = pd.read_csv(paths[0])
    return {label: list(probes) for label, probes in table.groupby("higher_in")["probe"]}


def _feature_names(genes: np.ndarray, probes: Any) -> list[str]:
    """Symbols where they are unique, with the probe set where they are not, or it alone."""
    repeated = pd.Series(genes).duplicated(keep=False)
    return [
        probe if not gene else f"{gene} ({probe})" if again else gene
        for gene, probe, again in zip(genes.tolist(), probes.tolist(), repeated, strict=True)
    ]


def _collapse_max(
    values: np.ndarray, means: np.ndarray, genes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-means, kind="stable")
    leading = pd.Series(genes[order], index=order)
    kept = np.sort(leading[(leading != "") & ~leading.duplicated()].index.to_numpy())
    return values[:, kept], genes[kept]


def _collapse_mean(
    values: np.ndarray, means: np.ndarray, genes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    named = genes != ""
    codes, symbols = pd.factorize(genes[named])
    sums = np.zeros((len(symbols), len(values)), dtype=np.float64)
    np.add.at(sums, codes, values[:, named].T)
    averages = sums / np.bincount(codes)[:, None]
    return averages.T.astype(values.dtype), symbols.astype(genes.dtype)


_COLLAPSE: dict[str, Callable] = {"max": _collapse_max, "mean": _collapse_mean}
