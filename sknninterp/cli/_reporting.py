"""The page that the command leaves behind: what it found, for people."""

from __future__ import annotations

from pathlib import Path

from sknninterp.cli._arguments import Settings
from sknninterp.cli._design import Configuration
from sknninterp.cli._fitting import METRICS, Analysis, summarise
from sknninterp.cli._messages import counted, progress
from sknninterp.cli._problem import Problem
from sknninterp.cli._ranking import Ranking
from sknninterp.cli._search import SEARCH_SCORES
from sknninterp.reporting._page import render
from sknninterp.reporting._ranking import rank
from sknninterp.reporting._report import make_page, write
from sknninterp.reporting._scores import Scores, interval
from sknninterp.reporting._study import Study
from sknninterp.reporting._training import Tried

NO_JINJA = "No report.html: jinja2 is not installed (pip install 'sknninterp[report]')."
MOST_ROWS = 1_000


def write_report(
    folder: Path,
    problem: Problem,
    settings: Settings,
    analysis: Analysis,
    ranking: Ranking,
    title: str,
) -> dict[str, str]:
    """Write report.html; return what it holds, or nothing where jinja2 is missing."""
    try:
        import jinja2  # noqa: F401
    except ImportError:
        return {}
    steps = progress(
        [study_of(problem, settings, analysis, ranking)],
        what="Writing the report",
        quiet=settings.quiet,
    )
    for study in steps:
        page = make_page(
            study,
            title,
            rank(study, each=ranking.by_run.loc[problem.X.columns].to_numpy().T),
            scores_of(study, problem, analysis),
            tried_of(problem, analysis),
            MOST_ROWS,
            notes=(*problem.notes, *analysis.notes),
        )
        write(render(page), folder / "report.html")
    return {"report.html": "all of this, and single rows, as a page to look at and to pass on"}


def study_of(problem: Problem, settings: Settings, analysis: Analysis, ranking: Ranking) -> Study:
    """The first network with its explainer, and the rows of both parts."""
    train, test = analysis.train, analysis.test
    X = problem.X.iloc[test]
    if len(problem.ids.columns):  # the rows' own names are what its user knows them by
        named = problem.ids.iloc[test].astype(str).agg(" ".join, axis=1)
        X = X.set_axis(named.to_numpy(), axis="index")
    return Study(
        analysis.pipeline(analysis.runs[0]),
        ranking.explainer,
        X,
        problem.y[test],
        problem.X.iloc[train],
        problem.y[train],
        problem.target,
        tuple(problem.classes) or None,
        settings.seed,
    )


def scores_of(study: Study, problem: Problem, analysis: Analysis) -> Scores:
    """The scores that the command prints."""
    chosen, network = METRICS[problem.task], summarise(analysis.runs)
    n_runs = len(analysis.runs)
    rows = {f"this network ({counted(n_runs, 'run')})": [network[m.key]["mean"] for m in chosen]}
    rows |= {name: [of[m.key] for m in chosen] for name, of in analysis.baselines.items()}
    spreads = [network[one.key]["sd"] for one in chosen] if n_runs > 1 else []
    return Scores(
        [one.label for one in chosen],
        [one.lower_is_better for one in chosen],
        rows,
        interval(study),
        f"Scores of the {len(analysis.test):,} test rows. All models were fitted on the same "
        f"{len(analysis.train):,} training rows."
        + (" ± is the standard deviation over runs that differ in their seed." if spreads else ""),
        spreads,
    )


def tried_of(problem: Problem, analysis: Analysis) -> Tried | None:
    """What the search compared, in its order."""
    search = analysis.search
    if search is None:
        return None
    tried = [
        Configuration(row.embedding, row.penalty, row.rate) for row in search.table.itertuples()
    ]
    rows = [
        [one.columns, f"{one.rate:g}", f"{row.mean:.3f} ± {row.sd:.3f}"]
        for one, row in zip(tried, search.table.itertuples(), strict=True)
    ]
    label = SEARCH_SCORES[problem.task][1]
    return Tried(
        f"Networks tried: {search.n_folds}-fold cross-validation, {search.n_rows:,} training rows",
        ["columns as", "pruning rate", f"{label} ± sd over folds"],
        rows,
        tried.index(search.chosen),
    )
