from __future__ import annotations

import builtins
import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

import sknninterp
from sknninterp.cli import _writing
from sknninterp.cli._arguments import Settings
from sknninterp.cli._design import Configuration
from sknninterp.cli._fitting import analyse
from sknninterp.cli._messages import CommandError
from sknninterp.cli._problem import prepare
from sknninterp.cli._ranking import rank_features
from sknninterp.cli._writing import (
    make_folder,
    scores_record,
    write_plots,
    write_scores,
    write_tables,
)

SETTINGS = Settings(
    "outcome",
    positive="ill",
    group="patient",
    drop=("length",),
    id_columns=("visit",),
    hidden=(8, 4),
    max_epochs=4,
    runs=2,
    embeddings=(None,),
    input_penalties=(0.0,),
    pruning_rates=(0.25, 0.5),
    quiet=True,
)


@pytest.fixture(scope="module")
def results(clinic):
    problem = prepare(clinic, SETTINGS)
    analysis = analyse(problem, SETTINGS)
    return problem, SETTINGS, analysis, rank_features(problem, SETTINGS, analysis)


def test_folder_is_made_with_its_parents(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("below", ["", "sub"])
def test_folder_that_cannot_be_made(tmp_path, below):
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    with pytest.raises(CommandError, match="--out: nothing can be written to"):
        make_folder(file / below)


def test_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(_writing.tempfile, "TemporaryFile", refuse)
    with pytest.raises(CommandError, match="Permission denied"):
        make_folder(tmp_path)


def test_tables(tmp_path, results, monkeypatch):
    problem, _, analysis, ranking = results
    files = write_tables(tmp_path, problem, analysis, ranking)
    written = pd.read_csv(tmp_path / "ranking.csv")
    assert written.columns.tolist() == [
        *("rank", "feature", "importance", "sd", "mean_rank", "best_rank", "worst_rank"),
        *("top10_share", "importance_run_1", "importance_run_2"),
    ]
    assert written["feature"].tolist() == ranking.table["feature"].tolist()
    rows = pd.read_csv(tmp_path / "explanations.csv")
    assert rows["row"].nunique() == len(analysis.test)
    assert "every test row" in files["explanations.csv"]
    monkeypatch.setattr(_writing, "MOST_EXPLAINED_ROWS", 3)
    capped = write_tables(tmp_path, problem, analysis, ranking)
    assert "the first 3 test rows" in capped["explanations.csv"]


def test_scores(tmp_path, results):
    problem, settings, analysis, _ = results
    write_scores(tmp_path, scores_record(problem, settings, analysis, ["a note"], 1.25))
    record = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert record["versions"]["sknninterp"] == sknninterp.__version__
    assert record["versions"]["torch"]
    assert record["arguments"]["target"] == "outcome"
    assert record["positive"] == "ill"
    assert record["classes"] == ["well", "ill"]
    assert record["pruning_rate"] == analysis.configuration.rate
    assert record["configuration"] == asdict(analysis.configuration)
    assert [line["rate"] for line in record["search"]["results"]] == [0.25, 0.5]
    aucs = [run["scores"]["roc_auc"] for run in record["runs"]]
    assert record["scores"]["network"]["roc_auc"]["mean"] == pytest.approx(np.mean(aucs))
    assert record["scores"]["no features"]["roc_auc"] == 0.5
    assert [len(run["layer_sizes"]) for run in record["runs"]] == [2, 2]
    data = record["data"]
    assert data["n_training_rows"] + data["n_test_rows"] == data["n_rows"] == 500
    assert sum(data["test_rows_per_class"].values()) == data["n_test_rows"]
    assert data["n_training_groups"] + data["n_test_groups"] == len(set(problem.groups))
    assert record["notes"] == ["a note"]


def test_what_is_no_number_is_null_in_scores(results):
    problem, settings, analysis, _ = results
    single = replace(analysis, runs=analysis.runs[:1])
    record = scores_record(problem, settings, single, [], 0.0)
    assert record["scores"]["network"]["roc_auc"]["sd"] is None


def test_plots(tmp_path, results):
    files = write_plots(tmp_path, *results)
    assert set(files) == {"ranking.png", "contributions.png", "training.png", "tuning.png"}
    for name in files:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_no_picture_of_a_tuning_that_was_not(tmp_path, results):
    problem, settings, analysis, ranking = results
    files = write_plots(
        tmp_path,
        problem,
        settings,
        replace(analysis, configuration=Configuration(None, 0.0, 0.0)),
        ranking,
    )
    assert "tuning.png" not in files


def test_contributions_are_swarms_or_bars(results):
    problem, settings, analysis, ranking = results
    swarm = _writing._draw_contributions(*results)
    assert "towards ill" in swarm.axes[0].get_xlabel()
    garson = replace(settings, explainer="garson")
    ranking = rank_features(problem, garson, analysis)
    bars = _writing._draw_contributions(problem, garson, analysis, ranking)
    assert bars.axes[0].get_xlabel().startswith("Garson importance")
    assert [text.get_text() for text in bars.axes[0].get_legend().get_texts()] == ["well", "ill"]


def test_no_plots_without_matplotlib(tmp_path, results, monkeypatch):
    real = builtins.__import__

    def no_matplotlib(name, *args, **kwargs):
        if name.split(".")[0] == "matplotlib":
            raise ImportError("No module named 'matplotlib'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    assert write_plots(tmp_path, *results) == {}
    assert list(tmp_path.iterdir()) == []
