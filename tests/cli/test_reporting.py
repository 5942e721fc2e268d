from __future__ import annotations

import builtins
import json
import re

import numpy as np
import pytest

from sknninterp.cli._arguments import Settings
from sknninterp.cli._fitting import analyse
from sknninterp.cli._problem import prepare
from sknninterp.cli._ranking import rank_features
from sknninterp.cli._reporting import scores_of, study_of, tried_of, write_report

SETTINGS = Settings(
    "outcome",
    positive="ill",
    drop=("length", "patient"),
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


def test_study(results):
    problem, _, analysis, _ = results
    study = study_of(*results)
    assert study.names == problem.classes == ["well", "ill"]
    assert study.X.index.tolist() == problem.ids["visit"].iloc[analysis.test].tolist()
    proba = analysis.pipeline(analysis.runs[0]).predict_proba(problem.X.iloc[analysis.test])
    np.testing.assert_allclose(study.outputs, proba)


def test_scores_are_those_that_are_printed(results):
    problem, _, analysis, _ = results
    scores = scores_of(study_of(*results), problem, analysis)
    aucs = [run.scores["roc_auc"] for run in analysis.runs]
    assert scores.rows["this network (2 runs)"][0] == pytest.approx(np.mean(aucs))
    assert scores.spreads[0] == pytest.approx(np.std(aucs, ddof=1))
    assert scores.rows["no features"][0] == 0.5
    assert scores.interval[0] <= aucs[0] <= scores.interval[1]


def test_what_was_tried(results):
    problem, _, analysis, _ = results
    tried = tried_of(problem, analysis)
    assert [row[1] for row in tried.rows] == ["0.25", "0.5"]
    assert tried.rows[tried.chosen][1] == f"{analysis.configuration.rate:g}"


@pytest.mark.filterwarnings("ignore:Found unknown categories:UserWarning")
def test_page(tmp_path, results):
    *_, ranking = results
    files = write_report(tmp_path, *results, "What makes ill?")
    assert set(files) == {"report.html"} == {one.name for one in tmp_path.iterdir()}
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<title>What makes ill?</title>" in text and "Networks tried: " in text
    assert "mean of 2 runs" in text
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])
    shown = re.findall(r'<th scope="row" class="name" dir="auto">(.*?)</th>', text)
    assert shown == ranking.table["feature"].tolist()
    assert data["classes"] == ["well", "ill"] and data["rows"]["names"][0].startswith("v")


def test_without_jinja(tmp_path, results, monkeypatch):
    load = builtins.__import__

    def without(name, *args, **options):
        if name == "jinja2":
            raise ImportError(name)
        return load(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    assert write_report(tmp_path, *results, "title") == {}
    assert not any(tmp_path.iterdir())


def test_quantities_and_one_run(tmp_path, clinic):
    from dataclasses import replace

    settings = replace(
        SETTINGS, target="length", positive=None, drop=("outcome",), id_columns=(), runs=1,
        pruning_rates=(0.0,), max_epochs=2,
    )  # fmt: skip
    problem = prepare(clinic, settings)
    analysis = analyse(problem, settings)
    ranking = rank_features(problem, settings, analysis)
    assert tried_of(problem, analysis) is None
    assert (
        scores_of(study_of(problem, settings, analysis, ranking), problem, analysis).spreads == []
    )
    assert write_report(tmp_path, problem, settings, analysis, ranking, "title")
