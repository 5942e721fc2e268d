from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sknninterp.datasets import load_beat_aml, load_gene_expression, load_hallmark_gene_sets

SHAPES = {
    "golub": (72, 7129),
    "armstrong": (48, 10272),
    "p53": (50, 10100),
    "chowdary": (104, 22283),
}
COUNTS = {
    "golub": {"ALL": 47, "AML": 25},
    "armstrong": {"ALL": 24, "AML": 24},
    "p53": {"MUT": 33, "WT": 17},
    "chowdary": {"breast": 62, "colon": 42},
}
# The gene with two probe sets, one without a symbol, one of its own.
GENES = np.array(["ESR1", "", "GATA3", "ESR1"])
PROBES = np.array(["1_at", "2_at", "3_at", "4_at"])
RAW = np.array([[0, 3, 8, 64], [2, 5, 16, 256], [4, 0.5, 32, 1024]], dtype=np.float32)


@pytest.fixture
def microarrays(tmp_path):
    folder = tmp_path / "gene_expression"
    folder.mkdir()
    y = np.array(["a", "b", "a"])
    negative = RAW - 10
    np.savez(
        folder / "golub_leukemia.npz",
        X=negative.astype(np.int32),
        y=y,
        patient=np.array([7, 8, 9], dtype=np.int16),
        split=np.array(["train", "train", "test"]),
        probe=PROBES,
        description=np.array(["one", "two", "three", "four"]),
    )
    table = pd.DataFrame({"probe": ["3_at", "1_at", "4_at"], "higher_in": ["a", "b", "a"]})
    table.to_csv(folder / "golub_informative_genes.csv", index=False)
    unique = np.array(["A", "B", "C", "D"])
    np.savez(
        folder / "armstrong_leukemia.npz",
        X=negative,
        y=y,
        sample=np.array(["s1", "s2", "s3"]),
        gene=unique,
        probe=PROBES,
    )
    np.savez(folder / "nci60_p53.npz", X=negative, y=y, gene=unique)
    np.savez(folder / "chowdary_breast_colon.npz", X=RAW, y=y, probe=PROBES, gene=GENES)
    return tmp_path


@pytest.fixture
def beat_aml(tmp_path):
    folder = tmp_path / "beat_aml"
    folder.mkdir()

    def write(name, values, columns, index):
        table = pd.DataFrame(values, columns=columns, index=pd.Index(index, name="patient"))
        table.to_csv(folder / name)

    write("expression.csv.gz", [[1.5, 2], [3, 4], [5, 6]], ["MYB", "TP53"], [11, 12, 13])
    write("mutation_matrix.csv.gz", [[0, 1], [1, 1]], ["NPM1", "TP53"], [13, 12])
    auc = [[np.nan, 1.0, 9], [100.0, 2, 9], [200.0, np.nan, 9]]
    write("drug_auc.csv.gz", auc, ["Venetoclax", "Quizartinib (AC220)", "KX2 (a)"], [11, 12, 13])
    write("clinical.csv.gz", [["first"], ["second"], ["only"]], ["specimen"], [12, 12, 13])
    return tmp_path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("golub", np.log2(np.maximum(np.trunc(RAW - 10), 20))),
        ("armstrong", np.log2(np.maximum(RAW - 10, 20))),
        ("p53", RAW - 10),
        ("chowdary", np.log2(np.maximum(RAW, 1))),
    ],
)
def test_logarithm_and_floor(name, expected, microarrays):
    data = load_gene_expression(name, data_home=microarrays, as_frame=False).data
    assert data.dtype == np.float32
    np.testing.assert_allclose(data, expected, rtol=1e-6)


def test_raw_values(microarrays):
    data = load_gene_expression("chowdary", log2=False, data_home=microarrays).data
    np.testing.assert_array_equal(data, RAW)


def test_names_are_unique_and_genes_are_kept(microarrays):
    bunch = load_gene_expression("chowdary", data_home=microarrays)
    assert bunch.feature_names == ["ESR1 (1_at)", "2_at", "GATA3", "ESR1 (4_at)"]
    assert list(bunch.data.columns) == bunch.feature_names
    assert bunch.genes.tolist() == GENES.tolist()


def test_collapse_max_takes_the_brightest_probe_set(microarrays):
    bunch = load_gene_expression("chowdary", collapse="max", data_home=microarrays)
    assert bunch.feature_names == ["GATA3", "ESR1"]
    np.testing.assert_allclose(bunch.data, np.log2(RAW[:, 2:]))
    assert bunch.genes.tolist() == bunch.feature_names


def test_collapse_mean_averages_logarithms(microarrays):
    bunch = load_gene_expression("chowdary", collapse="mean", data_home=microarrays)
    assert bunch.feature_names == ["ESR1", "GATA3"]
    np.testing.assert_allclose(bunch.data["ESR1"], [3, 4.5, 6])
    np.testing.assert_allclose(bunch.data["GATA3"], [3, 4, 5])


@pytest.mark.parametrize("collapse", ["max", "mean"])
@pytest.mark.parametrize("name", ["armstrong", "p53"])
def test_collapse_leaves_one_column_per_gene_alone(name, collapse, microarrays):
    plain = load_gene_expression(name, data_home=microarrays).data
    pd.testing.assert_frame_equal(
        load_gene_expression(name, collapse=collapse, data_home=microarrays).data, plain
    )


def test_golub_extras(microarrays):
    bunch = load_gene_expression("golub", data_home=microarrays)
    assert bunch.split.tolist() == ["train", "train", "test"]
    assert bunch.description.tolist() == ["one", "two", "three", "four"]
    assert bunch.known_genes == {"a": ["3_at", "4_at"], "b": ["1_at"]}
    assert bunch.data.index.tolist() == [7, 8, 9]
    assert bunch.target.index.tolist() == [7, 8, 9]
    assert "split" not in load_gene_expression("p53", data_home=microarrays)


def test_arrays_hold_what_the_frames_hold(microarrays):
    X, y = load_gene_expression("armstrong", data_home=microarrays, return_X_y=True)
    data, target = load_gene_expression(
        "armstrong", data_home=microarrays, as_frame=False, return_X_y=True
    )
    assert type(data) is np.ndarray
    np.testing.assert_array_equal(X, data)
    assert y.tolist() == target.tolist() == ["a", "b", "a"]


def test_known_genes_may_be_changed_by_the_caller(microarrays):
    load_gene_expression("p53", data_home=microarrays).known_genes["WT"].clear()
    known = load_gene_expression("p53", data_home=microarrays).known_genes
    assert known == {"WT": ["BAX", "MDM2", "DDB2", "CDKN1A"]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "alon"}, "name must be one of 'golub', 'armstrong', 'p53', 'chowdary'"),
        ({"name": "p53", "collapse": "median"}, "collapse must be one of None, 'max', 'mean'"),
        ({"name": "golub", "collapse": "max"}, "collapse must be None for 'golub'"),
    ],
)
def test_wrong_gene_expression_arguments(arguments, message, microarrays):
    with pytest.raises(ValueError, match=message):
        load_gene_expression(data_home=microarrays, **arguments)


def test_beat_aml_keeps_patients_with_both(beat_aml):
    bunch = load_beat_aml(data_home=beat_aml)
    assert bunch.data.index.tolist() == bunch.target.index.tolist() == [12, 13]
    assert bunch.target.tolist() == [100, 200]
    assert bunch.data["MYB"].tolist() == [3, 5]
    assert bunch.unlabeled.index.tolist() == [11]
    assert bunch.clinical["specimen"].tolist() == ["first", "only"]
    assert bunch.target_names == ["Venetoclax"]


def test_beat_aml_mutations_follow_the_patients(beat_aml):
    X, y = load_beat_aml(features="mutations", data_home=beat_aml, return_X_y=True)
    assert X.index.tolist() == y.index.tolist() == [13, 12]
    assert y.tolist() == [200, 100]
    assert X["NPM1_mut"].tolist() == [0, 1]


def test_beat_aml_both_keeps_the_two_tp53_apart(beat_aml):
    bunch = load_beat_aml(features="both", data_home=beat_aml)
    assert bunch.feature_names == ["MYB", "TP53", "NPM1_mut", "TP53_mut"]
    assert bunch.data.loc[12].tolist() == [3, 4, 1, 1]
    assert bunch.unlabeled.empty


@pytest.mark.parametrize("drug", ["Quizartinib (AC220)", "Quizartinib", "quizartinib (ac220)"])
def test_beat_aml_drug_by_its_short_name(drug, beat_aml):
    bunch = load_beat_aml(drug=drug, data_home=beat_aml)
    assert bunch.target.name == "Quizartinib (AC220)"
    assert bunch.target.to_dict() == {11: 1, 12: 2}


@pytest.mark.parametrize("drug", ["Aspirin", "Quiz", "", None])
def test_beat_aml_unknown_drug(drug, beat_aml):
    with pytest.raises(ValueError, match=f"drug must be one of .*'Venetoclax'.* got {drug!r}"):
        load_beat_aml(drug=drug, data_home=beat_aml)


def test_beat_aml_unknown_features(beat_aml):
    with pytest.raises(ValueError, match="features must be one of 'expression', 'mutations'"):
        load_beat_aml(features="methylation", data_home=beat_aml)


def test_beat_aml_needs_only_the_tables_asked_for(beat_aml):
    (beat_aml / "beat_aml" / "mutation_matrix.csv.gz").unlink()
    assert len(load_beat_aml(data_home=beat_aml).data) == 2
    with pytest.raises(FileNotFoundError, match=r"has no mutation_matrix\.csv\.gz, and"):
        load_beat_aml(features="both", data_home=beat_aml)


def test_hallmark_sets(tmp_path):
    (tmp_path / "gene_expression").mkdir()
    text = "SET_A\thttp://a\tTP53\tMDM2\nSET_B\thttp://b\tMYC\n"
    (tmp_path / "gene_expression" / "hallmark_v7.0.gmt").write_text(text)
    expected = {"SET_A": ["TP53", "MDM2"], "SET_B": ["MYC"]}
    assert load_hallmark_gene_sets(data_home=tmp_path) == expected


def signal_to_noise_ranks(X, y, label):
    """1 for the column that is higher in `label` by the most standard deviations."""
    inside, outside = X[y == label], X[y != label]
    score = (inside.mean(0) - outside.mean(0)) / (inside.std(0) + outside.std(0) + 1e-9)
    return np.argsort(np.argsort(-score)) + 1


@pytest.mark.parametrize("name", SHAPES)
def test_real_microarrays(name, real_data):
    bunch = load_gene_expression(name)
    assert bunch.data.shape == SHAPES[name]
    assert bunch.data.columns.is_unique
    assert np.isfinite(bunch.data.to_numpy()).all()
    assert bunch.target.value_counts().to_dict() == COUNTS[name]
    assert bunch.target_names == sorted(COUNTS[name])


@pytest.mark.parametrize(("name", "leading"), [("armstrong", 25), ("p53", 5), ("chowdary", 20)])
def test_real_known_genes_lead_their_class(name, leading, real_data):
    bunch = load_gene_expression(name, as_frame=False)
    for label, genes in bunch.known_genes.items():
        ranks = signal_to_noise_ranks(bunch.data, bunch.target, label)
        for gene in genes:
            assert ranks[bunch.genes == gene].min() <= leading, gene


def test_real_golub_informative_genes(real_data):
    bunch = load_gene_expression("golub", log2=False)
    train = bunch.split == "train"
    assert train.sum() == 38
    X, y = bunch.data[train], bunch.target[train]
    for label, probes in bunch.known_genes.items():
        ranks = signal_to_noise_ranks(X.to_numpy(dtype=np.float64), y.to_numpy(), label)
        assert len(probes) == 25
        assert pd.Series(ranks, X.columns)[probes].max() <= 41


def test_real_chowdary_collapsed(real_data):
    bunch = load_gene_expression("chowdary", collapse="max")
    assert bunch.data.shape == (104, 13515)
    assert bunch.data.columns.is_unique


def test_real_beat_aml_venetoclax(real_data):
    bunch = load_beat_aml()
    assert bunch.data.shape == (329, 469)
    assert len(bunch.unlabeled) == 566 - 329
    assert bunch.target.between(0, 286.3).all()
    assert bunch.target.median() == 161.5
    correlations = bunch.data[["S100A8", "STX11", "CDK6", "MYB"]].corrwith(
        bunch.target, method="spearman"
    )
    np.testing.assert_allclose(correlations, [0.64, 0.67, -0.61, -0.54], atol=0.006)


def test_real_beat_aml_flt3_itd(real_data):
    bunch = load_beat_aml(drug="quizartinib", features="mutations")
    medians = bunch.target.groupby(bunch.clinical["FLT3-ITD"]).median()
    assert medians["positive"] == pytest.approx(116, abs=1)
    assert medians["negative"] == pytest.approx(161, abs=1)
    assert set(np.unique(bunch.data)) == {0, 1}
    assert bunch.data.shape[1] == 123
    assert load_beat_aml(features="both").data.shape == (329, 592)


def test_real_hallmark_sets(real_data):
    sets = load_hallmark_gene_sets()
    assert len(sets) == 50
    assert {"CDKN1A", "MDM2", "BAX"} <= set(sets["HALLMARK_P53_PATHWAY"])
    assert all(len(set(genes)) == len(genes) >= 30 for genes in sets.values())
