"""What the fitted networks use: the ranking of the columns, and the explanation of single rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sknninterp import GarsonExplainer, OldenExplainer, PWPExplainer
from sknninterp.cli._arguments import Settings
from sknninterp.cli._fitting import Analysis
from sknninterp.cli._messages import progress
from sknninterp.cli._problem import Problem

MOST_EXPLAINED_ROWS = 5_000
FEATURES_PER_ROW = 10
_TOP = 10

# PWP with its signs, so that a contribution speaks for or against the class of its row.
_EXPLAINERS = {
    "pwp": (PWPExplainer, {"signed": True}),
    "garson": (GarsonExplainer, {}),
    "olden": (OldenExplainer, {}),
}


@dataclass(frozen=True)
class Ranking:
    """The ranking, and the explainer of the first network.

    Attributes
    ----------
    table : DataFrame, one row a feature, the most important first
        `rank`, `feature`, `importance` (mean over the runs), `sd`, `mean_rank`, `best_rank`,
        `worst_rank`, `top10_share` (of the runs), and the importance in each run.
    explainer : PWPExplainer, GarsonExplainer or OldenExplainer
    """

    table: pd.DataFrame
    explainer: Any

    @property
    def by_run(self) -> pd.DataFrame:
        """Importances of shape (n_features, n_runs), indexed by feature."""
        columns = [name for name in self.table if name.startswith("importance_run_")]
        return self.table.set_index("feature")[columns]


def rank_features(problem: Problem, settings: Settings, analysis: Analysis) -> Ranking:
    """Rank the columns over the test rows, by each network."""
    kind, options = _EXPLAINERS[settings.explainer]
    X_test = problem.X.iloc[analysis.test]
    bar = progress(analysis.runs, what="Ranking the features", quiet=settings.quiet)
    explainers = [kind(analysis.pipeline(run), **options).fit(X_test) for run in bar]
    importances = np.column_stack([one.feature_importances_ for one in explainers])
    return Ranking(ranking_table(problem.X.columns, importances), explainers[0])


def ranking_table(features: Sequence[str], importances: np.ndarray) -> pd.DataFrame:
    """Summarise importances of shape (n_features, n_runs)."""
    ranks = pd.DataFrame(-importances).rank(method="min").to_numpy(int)
    n_runs = importances.shape[1]
    table = pd.DataFrame(
        {
            "feature": np.asarray(features, dtype=object),
            "importance": importances.mean(axis=1),
            "sd": importances.std(axis=1, ddof=1) if n_runs > 1 else np.nan,
            "mean_rank": ranks.mean(axis=1),
            "best_rank": ranks.min(axis=1),
            "worst_rank": ranks.max(axis=1),
            "top10_share": (ranks <= _TOP).mean(axis=1),
            **{f"importance_run_{i + 1}": importances[:, i] for i in range(n_runs)},
        }
    )
    table = table.sort_values("importance", ascending=False, kind="stable", ignore_index=True)
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    return table


def explain_rows(problem: Problem, analysis: Analysis, ranking: Ranking) -> pd.DataFrame:
    """Return the features that matter most for each of the first test rows, in long format.

    Returns
    -------
    DataFrame
        `row`, the identifiers, `actual`, `predicted`, `probability` (of a classifier), `rank`,
        `feature`, `value`, and its `contribution` to the predicted class or value.
    """
    rows = analysis.test[:MOST_EXPLAINED_ROWS]
    X = problem.X.iloc[rows]
    target = 0 if problem.is_regression else "predicted"
    contributions = ranking.explainer.explain(X, target=target).values
    n_top = min(FEATURES_PER_ROW, X.shape[1])
    best = np.argsort(-np.abs(contributions), axis=1, kind="stable")[:, :n_top]
    lines = _row_columns(problem, analysis, rows, X)
    table = lines.iloc[np.repeat(np.arange(len(rows)), n_top)].reset_index(drop=True)
    table["rank"] = np.tile(np.arange(1, n_top + 1), len(rows))
    table["feature"] = X.columns.to_numpy()[best].ravel()
    table["value"] = _values(X, best)
    table["contribution"] = np.take_along_axis(contributions, best, axis=1).ravel()
    return table


def _row_columns(
    problem: Problem, analysis: Analysis, rows: np.ndarray, X: pd.DataFrame
) -> pd.DataFrame:
    """Return what is known of each row: names, truth and prediction by the first network."""
    model = analysis.pipeline(analysis.runs[0])
    table = pd.DataFrame({"row": X.index})
    for name in problem.ids:
        table[name] = problem.ids[name].iloc[rows].to_numpy()
    if problem.is_regression:
        return table.assign(actual=problem.y[rows], predicted=model.predict(X))
    classes = np.asarray(problem.classes, dtype=object)
    probabilities = model.predict_proba(X)
    return table.assign(
        actual=classes[problem.y[rows]],
        predicted=classes[probabilities.argmax(axis=1)],
        probability=probabilities.max(axis=1),
    )


def _values(X: pd.DataFrame, best: np.ndarray) -> list:
    """Return the cells at columns `best` of every row as text, empty where missing."""
    texts = {j: _as_text(X.iloc[:, j]) for j in np.unique(best)}
    return [texts[j][i] for i, columns in enumerate(best) for j in columns]


def _as_text(column: pd.Series) -> Any:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.astype(object).where(column.notna(), "").to_numpy()
    digits = 7 if column.dtype == np.float32 else 15
    return ["" if np.isnan(value) else f"{value:.{digits}g}" for value in column]
