from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from sknninterp.cli import _reading, main

TINY = ["--hidden", "16", "--max-epochs", "20", "--runs", "2", "--pruning-rates", "0,0.5"]
TINY += ["--input-penalties", "0,0.3"]
PLAIN = ["--embeddings", "none", "--input-penalties", "0"]
FAST = ["--quiet", "--pruning-rates", "0.5", "--runs", "1", *PLAIN]
FILES = {
    *("ranking.csv", "report.html", "explanations.csv", "scores.json"),
    *("ranking.png", "contributions.png", "training.png"),
}


@pytest.fixture
def no_pages(monkeypatch):
    """Without pages and pictures, most of the time of a small table."""
    for name in ("write_report", "write_plots"):
        monkeypatch.setattr(f"sknninterp.cli._command.{name}", lambda *args: {"none": ""})


def rank(path, out, *more) -> int:
    options = ["--target", "outcome", "--positive", "ill", "--id-columns", "visit"]
    return main(["rank", str(path), *options, *TINY, "--out", str(out), *more])


def test_rank_finds_what_matters_and_tells(clinic_csv, tmp_path, capsys):
    assert rank(clinic_csv, tmp_path / "out", "--group", "patient") == 0
    output = capsys.readouterr()
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written - {"tuning.png"} == FILES
    for name in written:
        assert f"  {name}  " in output.out
    for step in ("Looking through the file", "Choosing the network", "Fitting networks"):
        assert step in output.err
    ranking = pd.read_csv(tmp_path / "out" / "ranking.csv")
    assert set(ranking["feature"][:3]) == {"marker", "treatment", "stage"}
    assert not {"visit", "patient", "outcome"} & set(ranking["feature"])
    scores = json.loads((tmp_path / "out" / "scores.json").read_text(encoding="utf-8"))
    assert scores["scores"]["network"]["roc_auc"]["mean"] > 0.8
    assert any("'stage'" in note for note in scores["notes"])


def test_same_seed_same_files_and_quiet_is_quiet(clinic_csv, tmp_path, capsys, no_pages):
    for out in ("first", "second"):
        np.random.seed(len(out))  # noqa: NPY002 (the caller's random state does not matter)
        assert rank(clinic_csv, tmp_path / out, "--quiet", *PLAIN, "--seed", "3") == 0
    assert capsys.readouterr() == ("", "")
    for name in ("ranking.csv", "explanations.csv"):
        first, second = ((tmp_path / out / name).read_bytes() for out in ("first", "second"))
        assert first == second
    assert rank(clinic_csv, tmp_path / "third", *FAST, "--seed", "4") == 0
    ranking = (tmp_path / "third" / "ranking.csv").read_bytes()
    assert ranking != (tmp_path / "first" / "ranking.csv").read_bytes()


def test_rows_are_named_by_line_and_identifier(clinic, clinic_csv, tmp_path, no_pages):
    assert rank(clinic_csv, tmp_path, *FAST, "--explainer", "olden") == 0
    rows = pd.read_csv(tmp_path / "explanations.csv").drop_duplicates("row")
    assert rows["visit"].tolist() == clinic["visit"].iloc[rows["row"] - 1].tolist()
    assert rows["actual"].tolist() == clinic["outcome"].iloc[rows["row"] - 1].tolist()


def test_numeric_codes_as_categories(clinic_csv, tmp_path, no_pages):
    assert rank(clinic_csv, tmp_path, *FAST, "--categorical", "stage,patient") == 0
    scores = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert scores["data"]["categorical_columns"] == ["patient", "treatment", "stage", "colour"]
    ranking = pd.read_csv(tmp_path / "ranking.csv")
    assert "stage" in set(ranking["feature"][:4])


def test_regression(clinic, tmp_path, capsys):
    path = tmp_path / "clinic.csv.gz"
    clinic.drop(columns=["outcome", "visit", "patient"]).to_csv(path, index=False, sep=";")
    options = [*TINY, *PLAIN, "--out", str(tmp_path)]
    assert main(["rank", str(path), "--target", "length", *options]) == 0
    assert "ridge regression" in capsys.readouterr().out
    ranking = pd.read_csv(tmp_path / "ranking.csv")
    assert set(ranking["feature"][:3]) == {"marker", "treatment", "stage"}


def test_demo(tmp_path, capsys):
    arguments = ["demo", "--hidden", "8", "--max-epochs", "20", "--runs", "1", "--top", "4"]
    assert main([*arguments, *PLAIN, "--pruning-rates", "0.5", "--out", str(tmp_path)]) == 0
    output = capsys.readouterr()
    assert "benign breast tumours?" in output.out
    assert f"Files in {tmp_path}" in output.out
    assert "(the first 4 of 30)" in output.out
    assert (tmp_path / "tuning.png").is_file()
    scores = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert scores["scores"]["network"]["roc_auc"]["mean"] > 0.95


def test_summary_says_what_to_install_for_plots(clinic_csv, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sknninterp.cli._command.write_plots", lambda *args: {})
    assert rank(clinic_csv, tmp_path, "--pruning-rates", "0.5", *PLAIN) == 0
    # The notes are wrapped, and may be so at any blank.
    assert "pip install 'sknninterp[plots]'" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--pruning-rates", "0,1"], "a pruning rate is from 0 to below 1, got 1"),
        (["--target", "Outcomes"], "--target: no column 'Outcomes'; did you mean 'outcome'?"),
        (["--positive", "il"], "--positive: 'il' is no value of 'outcome'; did you mean 'ill'?"),
        (["--id-columns", "visits"], "--id-columns: no column 'visits'; did you mean 'visit'?"),
        (["--group", "person"], "--group: no column 'person'"),
        (["--task", "regression", "--target", "colour"], "needs numbers"),
    ],
)
def test_wrong_arguments(clinic_csv, tmp_path, fails, more, reason):
    common = ["--target", "outcome", "--out", tmp_path, "--quiet"]
    assert reason in fails("rank", clinic_csv, *common, *more)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "was not found"),
        ("", "is empty"),
        ("x,y\n", "has a header but no rows"),
        ("x,z\n1,2\n", "--target: no column 'y'"),
        ("x,y\n" + "1,a\n" * 30, "has the same value, 'a', in every row"),
        ("x,y\n" + "1,a\n2,b\n" * 5, "10 rows are too few"),
        ("x,y\n" + "1,a\n2,b\n" * 20 + "3,c\n", "too few rows of 'c' in 'y'"),
        ("x,y\n" + "".join(f"{i % 7},c{i}\n" * 5 for i in range(101)), "at most 100 classes"),
        ("x,y\n" + "1,\n" * 30, "column 'y' has no values"),
    ],
)
def test_wrong_data(tmp_path, fails, text, reason):
    path = tmp_path / "data.csv"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    assert reason in fails("rank", path, "--target", "y", "--out", tmp_path / "out", "--quiet")


def test_folder_that_cannot_be_written_to(clinic_csv, fails):
    assert "--out" in fails("rank", clinic_csv, "--target", "outcome", "--out", clinic_csv)


def test_table_too_large_for_the_memory(clinic_csv, tmp_path, fails, monkeypatch):
    monkeypatch.setattr(_reading, "available_memory", lambda: 10_000)
    line = fails("rank", clinic_csv, "--target", "outcome", "--out", tmp_path, "--quiet")
    assert "500 rows" in line
    assert "GiB" in line
    assert "--drop" in line


def test_interruption(clinic_csv, tmp_path, capsys, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("sknninterp.cli._command.prepare", interrupt)
    assert rank(clinic_csv, tmp_path, "--quiet") == 130
    assert capsys.readouterr().err == "sknninterp: interrupted\n"


def test_callers_random_state_is_left_alone(clinic_csv, tmp_path, global_rng_untouched):
    assert rank(clinic_csv, tmp_path, *FAST) == 0
