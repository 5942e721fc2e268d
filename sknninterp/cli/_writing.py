"""The files that the command leaves behind."""

from __future__ import annotations

import json
import math
import platform
import tempfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np

import sknninterp
from sknninterp import plotting
from sknninterp.cli._arguments import Settings
from sknninterp.cli._design import Schedule, inner_network
from sknninterp.cli._fitting import Analysis, summarise
from sknninterp.cli._messages import CommandError, progress
from sknninterp.cli._problem import Problem
from sknninterp.cli._ranking import MOST_EXPLAINED_ROWS, Ranking, explain_rows
from sknninterp.cli._search import SEARCH_SCORES

NO_MATPLOTLIB = "No plots: matplotlib is not installed (pip install 'sknninterp[plots]')."
_LIBRARIES = ("numpy", "pandas", "scikit-learn", "skorch", "torch")
_MOST_DRAWN_ROWS = 2_000
_DPI = 150


def make_folder(folder: Path) -> None:
    """Make the folder for the results, or say why that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CommandError(
            f"--out: nothing can be written to '{folder}': {error.strerror}"
        ) from None


def write_tables(
    folder: Path, problem: Problem, analysis: Analysis, ranking: Ranking
) -> dict[str, str]:
    """Write ranking.csv and explanations.csv; return what each file holds."""
    ranking.table.to_csv(folder / "ranking.csv", index=False, float_format="%.6g")
    explanations = explain_rows(problem, analysis, ranking)
    explanations.to_csv(folder / "explanations.csv", index=False, float_format="%.6g")
    n_rows = min(len(analysis.test), MOST_EXPLAINED_ROWS)
    which = "every test row" if n_rows == len(analysis.test) else f"the first {n_rows:,} test rows"
    return {
        "ranking.csv": "every feature with its importance and its spread over the runs",
        "explanations.csv": f"the most important features of {which}",
    }


def scores_record(
    problem: Problem, settings: Settings, analysis: Analysis, notes: list[str], seconds: float
) -> dict:
    """Return everything a program may want to know about the analysis, ready for JSON."""
    schedule = Schedule.of(len(analysis.train), settings.max_epochs)
    record = {
        "versions": _versions(),
        "arguments": asdict(settings),
        "seed": settings.seed,
        "task": problem.task,
        "target": problem.target,
        "classes": problem.classes,
        "positive": problem.classes[1] if problem.task == "binary" else None,
        "data": _data_record(problem, analysis),
        "training": asdict(schedule),
        "search": _search_record(problem, analysis),
        "pruning_rate": analysis.configuration.rate,
        "configuration": asdict(analysis.configuration),
        "scores": {"network": summarise(analysis.runs), **analysis.baselines},
        "runs": [_run_record(run) for run in analysis.runs],
        "notes": notes,
        "seconds": round(seconds, 1),
    }
    return _plain(record)


def write_scores(folder: Path, record: dict) -> dict[str, str]:
    """Write scores.json; return what it holds."""
    text = json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False)
    (folder / "scores.json").write_text(text + "\n", encoding="utf-8")
    return {"scores.json": "scores, settings, versions and these notes, for programs"}


def _versions():
    own = {"sknninterp": sknninterp.__version__, "python": platform.python_version()}
    return own | {name: version(name) for name in _LIBRARIES}


def _data_record(problem, analysis):
    record = {
        "n_rows": len(problem.y),
        "n_training_rows": len(analysis.train),
        "n_test_rows": len(analysis.test),
        "numeric_columns": problem.numeric,
        "categorical_columns": problem.categorical,
        "n_inputs": inner_network(analysis.runs[0].network).n_features_in_,
    }
    if not problem.is_regression:
        parts = {"training": analysis.train, "test": analysis.test}
        for name, rows in parts.items():
            sizes = np.bincount(problem.y[rows], minlength=len(problem.classes))
            record[f"{name}_rows_per_class"] = dict(zip(problem.classes, sizes, strict=True))
    if problem.groups is not None:
        record["n_training_groups"] = len(np.unique(problem.groups[analysis.train]))
        record["n_test_groups"] = len(np.unique(problem.groups[analysis.test]))
    return record


def _search_record(problem, analysis):
    if analysis.search is None:
        return None
    return {
        "scoring": SEARCH_SCORES[problem.task][0],
        "n_rows": analysis.search.n_rows,
        "n_left_out": analysis.search.n_left_out,
        "results": analysis.search.table.to_dict("records"),
    }


def _run_record(run):
    network = inner_network(run.network)
    return {
        "seed": run.seed,
        "scores": run.scores,
        "layer_sizes": network.layer_sizes_,
        "n_epochs": network.n_iter_,
    }


def _plain(value):
    """Return a value in JSON's own types; what is no number is null."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


# -- plots ---------------------------------------------------------------------------------------


def write_plots(
    folder: Path, problem: Problem, settings: Settings, analysis: Analysis, ranking: Ranking
) -> dict[str, str]:
    """Draw the pictures; return what each shows, or nothing where matplotlib is missing."""
    drawings = {
        "ranking.png": (_draw_ranking, "the ranking, with its range over the runs"),
        "contributions.png": (_draw_contributions, "what the features contribute (first run)"),
        "training.png": (_draw_training, "losses over the epochs (first run)"),
    }
    if analysis.configuration.rate > 0:
        drawings["tuning.png"] = (_draw_tuning, "how the layers were pruned (first run)")
    written = {}
    for name, (draw, text) in progress(
        drawings.items(), what="Drawing plots", quiet=settings.quiet
    ):
        try:
            figure = draw(problem, settings, analysis, ranking)
        except ImportError:
            return {}
        figure.savefig(folder / name, dpi=_DPI)
        written[name] = text
    return written


def _draw_ranking(problem, settings, analysis, ranking):
    ax = plotting.ranking(
        ranking.by_run,
        max_display=settings.top,
        value_label=f"{ranking.explainer.method} importance",
        title=_title(problem),
    )
    return ax.figure


def _draw_contributions(problem, settings, analysis, ranking):
    """Draw each row's contributions; or the importances, where all rows have the same."""
    explainer, method = ranking.explainer, ranking.explainer.method
    if problem.task == "multiclass" or settings.explainer != "pwp":
        importances = explainer.importances_.set_axis(
            problem.classes or [problem.target], axis="columns"
        )
        return plotting.bar(
            importances,
            max_display=settings.top,
            value_label=f"{method} importance",
            title=_title(problem),
        ).figure
    X = problem.X.iloc[analysis.test[:_MOST_DRAWN_ROWS]]
    towards = problem.target if problem.is_regression else problem.classes[1]
    ax = plotting.beeswarm(
        explainer.explain(X, target=0 if problem.is_regression else 1).values,
        X,
        X.columns,
        max_display=settings.top,
        value_label=f"contribution ({method}) towards {towards}, {len(X):,} test rows",
        title=_title(problem),
    )
    return ax.figure


def _draw_training(problem, settings, analysis, ranking):
    network = inner_network(analysis.runs[0].network)
    losses = [name for name in network.history_ if name.endswith("_loss")]
    return plotting.training_history(network.history_, metrics=losses, title=_title(problem))


def _draw_tuning(problem, settings, analysis, ranking):
    network = inner_network(analysis.runs[0].network)
    names = {name: f"hidden layer {i}" for i, name in enumerate(network.removed_neurons_, 1)}
    return plotting.tuning_history(
        network.tuning_history_.replace({"layer": names}),
        dict(zip(names.values(), settings.hidden, strict=True)),
        n_epochs=network.n_iter_,
        title=_title(problem),
    )


def _title(problem):
    if problem.task == "binary":
        return f"{problem.target} = {problem.classes[1]}"
    return problem.target
