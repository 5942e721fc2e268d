"""The summary that the command prints: plain text, made to be read by people."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from sknninterp.cli._arguments import Settings
from sknninterp.cli._design import Configuration, Schedule, inner_network
from sknninterp.cli._fitting import METRICS, Analysis, Metric, summarise
from sknninterp.cli._messages import counted
from sknninterp.cli._problem import Problem
from sknninterp.cli._ranking import Ranking
from sknninterp.cli._search import SEARCH_SCORES, Search

_WIDTH = 100
_NAME_WIDTH = 40

_MEANINGS = {
    "pwp": (
        "PWP: the scaled value of a feature times its weights through the network; the importance "
        "is the mean magnitude over the test rows, as a share of all. In explanations.csv a "
        "contribution above 0 speaks for the prediction, one below 0 against it; 0 is what an "
        "average row has."
    ),
    "garson": (
        "Garson: the magnitudes of the weights on all paths from a feature to the output, as a "
        "share of all. They are the same for every row, and a column with many categories counts "
        "all of them."
    ),
    "olden": (
        "Olden: the weights on all paths from a feature to the output, summed with their signs; "
        "the importance is the magnitude, as a share of all. They are the same for every row, and "
        "those of a column's categories may cancel."
    ),
}
_CAUTIONS = (
    "Weights are followed as if the network were linear: a feature that matters only together with "
    "others, or whose high and low values mean the same, may rank too low.",
    "An importance says what these networks use, not what causes the outcome; features that say "
    "the same may share or swap importance.",
)


def summary(
    problem: Problem,
    settings: Settings,
    analysis: Analysis,
    ranking: Ranking,
    notes: list[str],
    title: str,
) -> str:
    """Return all that is printed, the list of files aside."""
    sections = [
        _section(title, _overview(problem, settings, analysis)),
        _search_section(problem, analysis),
        _scores_section(problem, analysis),
        _ranking_section(settings, ranking),
        _notes_section([*notes, _MEANINGS[settings.explainer], *_CAUTIONS]),
    ]
    return "\n\n".join(section for section in sections if section)


def files_section(folder: Path, files: dict[str, str]) -> str:
    """Return the list of what was written."""
    rows = [[name, text] for name, text in files.items()]
    return _section(f"Files in {folder}", _table(rows, align="<<"))


def _section(title: str, lines: list[str]) -> str:
    return "\n".join([title, "-" * len(title), *lines])


def _table(rows: list, align: str) -> list[str]:
    """Return lines of columns, each as wide as it must be."""
    widths = [max(len(row[j]) for row in rows) for j in range(len(align))]
    return [
        "  "
        + "   ".join(
            f"{cell:{side}{width}}" for cell, side, width in zip(row, align, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="  ")


def _number(value: float, decimals: int = 3) -> str:
    """Return a number with so many decimals, or in three digits if it is large."""
    if abs(value) < 10:
        return f"{value:.{decimals}f}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def _with_spread(mean: float, sd: float, decimals: int = 3) -> str:
    if np.isnan(sd):
        return _number(mean, decimals)
    return f"{_number(mean, decimals)} ± {_number(sd, decimals)}"


# -- sections ------------------------------------------------------------------------------------


def _overview(problem: Problem, settings: Settings, analysis: Analysis) -> list[str]:
    network = inner_network(analysis.runs[0].network)
    schedule = Schedule.of(len(analysis.train), settings.max_epochs)
    before, after = ("-".join(map(str, s)) for s in (settings.hidden, network.layer_sizes_))
    configuration = analysis.configuration
    pruned = "not pruned" if configuration.rate == 0 else f"pruned to {after}"
    features = counted(problem.X.shape[1], "feature")
    kinds = f"{len(problem.numeric):,} numeric, {len(problem.categorical):,} categorical"
    stopping = ", with early stopping" if schedule.early_stopping else ""
    rows = [
        ["Data", f"{counted(len(problem.y), 'row')}, {features} ({kinds})"],
        ["Target", _target_line(problem)],
        ["Split", _split_line(problem, analysis)],
        [
            "Network",
            f"{counted(network.n_features_in_, 'input')} ({configuration.columns}), hidden layers "
            f"{before} {pruned}",
        ],
        [
            "Training",
            f"at most {schedule.max_epochs} epochs in batches of {schedule.batch_size}{stopping}; "
            f"{counted(settings.runs, 'run')}, seeds from {settings.seed}",
        ],
    ]
    return _table(rows, align="<<")


def _target_line(problem: Problem) -> str:
    y, name = problem.y, problem.target
    if problem.is_regression:
        return f"{name}: mean {y.mean():.4g}, sd {y.std():.4g}, from {y.min():.4g} to {y.max():.4g}"
    shares = np.bincount(y) / len(y)
    if problem.task == "binary":
        negative, positive = problem.classes
        return f"{name} = {positive!r} ({shares[1]:.1%} of the rows) against {negative!r}"
    listed = [f"{c} {s:.1%}" for c, s in zip(problem.classes, shares, strict=True)]
    more = f", and {len(listed) - 6} more" if len(listed) > 6 else ""
    return f"{name}: {', '.join(listed[:6])}{more}"


def _split_line(problem: Problem, analysis: Analysis) -> str:
    line = f"{len(analysis.train):,} rows for training, {len(analysis.test):,} for testing"
    if problem.groups is None:
        return line
    return f"{line}; no {problem.group_name!r} is in both"


def _search_section(problem: Problem, analysis: Analysis) -> str:
    search = analysis.search
    if search is None:
        return ""
    _, label = SEARCH_SCORES[problem.task]
    n_folds = search.n_folds
    rows = [["columns as", "pruning rate", f"{label} ± sd over folds", ""]]
    for line in search.table.itertuples():
        tried = Configuration(line.embedding, line.penalty, line.rate)
        mark = "<- chosen" if tried == search.chosen else ""
        rows.append([tried.columns, f"{line.rate:g}", _with_spread(line.mean, line.sd), mark])
    title = f"Networks tried: {n_folds}-fold cross-validation on {search.n_rows:,} training rows"
    lines = [*_table(rows, align="<>><"), "", *_wrapped(_why(search, label))]
    return _section(title, lines)


def _why(search: Search, label: str) -> str:
    """Why this configuration, in words."""
    if search.table["mean"].argmax() == 0:
        why = "Chosen: the plainest, which nothing beat."
    else:
        gain, sd = search.gain
        why = (
            f"Chosen for the highest mean {label}: {gain:+.3f} ± {sd:.3f} against the first line "
            "in the same folds."
        )
    if search.n_left_out:
        why += f" There was no time for {counted(search.n_left_out, 'other configuration')}."
    return why


def _scores_section(problem: Problem, analysis: Analysis) -> str:
    chosen = METRICS[problem.task]
    rows = [["", *(one.label for one in chosen)]]
    network: dict[str, Any] = summarise(analysis.runs)
    n_runs = counted(len(analysis.runs), "run")
    rows.append([f"network ({n_runs})", *(_with_spread(**network[one.key]) for one in chosen)])
    for name, scores in analysis.baselines.items():
        rows.append([name, *(_number(scores[one.key]) for one in chosen)])
    lines = _table(rows, align="<" + ">" * len(chosen))
    return _section(
        f"Scores on the {len(analysis.test):,} test rows", [*lines, "", *_legend(chosen)]
    )


def _legend(chosen: list[Metric]) -> list[str]:
    lower = " and ".join(one.label for one in chosen if one.lower_is_better)
    text = (
        f"Lower is better for {lower}, higher for the others. ± is the standard deviation over the "
        "runs, which differ in their seed only; it does not show the chance in who is in the test "
        "part."
    )
    if "brier" in {one.key for one in chosen}:
        text += " For accuracies a row counts as positive from a probability of 0.5."
    return _wrapped(text)


def _ranking_section(settings: Settings, ranking: Ranking) -> str:
    table = ranking.table.head(settings.top)
    n_features, n_runs = len(ranking.table), settings.runs
    # Shares of thousands of features are small: three digits of the largest.
    decimals = max(3, 2 - math.floor(math.log10(table["importance"].max() or 1.0)))
    rows = [["rank", "feature", "importance", "ranks in the runs", "in the top 10"]]
    for line in table.itertuples():
        low, high = line.best_rank, line.worst_rank
        rows.append(
            [
                str(line.rank),
                textwrap.shorten(str(line.feature), _NAME_WIDTH, placeholder="..."),
                _with_spread(line.importance, line.sd, decimals),
                f"{low}" if low == high else f"{low} to {high}",
                f"{round(line.top10_share * n_runs)} of {n_runs}",
            ]
        )
    shown = f"the first {len(table)} of {n_features:,}" if len(table) < n_features else "all"
    title = f"Features by {ranking.explainer.method} importance ({shown})"
    return _section(title, _table(rows, align="><>>>"))


def _notes_section(notes: list[str]) -> str:
    lines = []
    for note in notes:
        lines += textwrap.wrap(note, _WIDTH, initial_indent="  - ", subsequent_indent="    ")
    return _section("Notes", lines)
