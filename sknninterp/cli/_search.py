"""Which configuration suits the table: cross-validation, within a budget of time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import cross_validate, train_test_split

from sknninterp.cli._arguments import Settings
from sknninterp.cli._design import Configuration, folds, make_model
from sknninterp.cli._messages import CommandError, progress
from sknninterp.cli._problem import Problem
from sknninterp.estimators.mlp_cv import MOST_EMBEDDED_COLUMNS

MOST_SEARCH_ROWS = 20_000
# What the search goes by: scikit-learn's name of the scorer, and people's.
SEARCH_SCORES = {
    "binary": ("roc_auc", "ROC AUC"),
    "multiclass": ("balanced_accuracy", "balanced accuracy"),
    "regression": ("r2", "R2"),
}
# How much longer than the plain network one may take that has not been tried yet.
_LONGER = {None: 1.5, "piecewise": 3.0}


@dataclass(frozen=True)
class Search:
    """What was tried.

    Attributes
    ----------
    table : DataFrame
        Per configuration its parts (`embedding`, `penalty`, `rate`), `mean`, `sd`, one column for
        each fold, and `seconds`.
    chosen : Configuration
        The one with the highest mean.
    n_rows : int
        Rows that the search saw.
    n_left_out : int
        Configurations for which there was no time.
    """

    table: pd.DataFrame
    chosen: Configuration
    n_rows: int
    n_left_out: int

    @property
    def n_folds(self) -> int:
        """Folds of the cross-validation."""
        return len(self.table.filter(like="fold_").columns)

    @property
    def gain(self) -> tuple[float, float]:
        """Mean difference between the chosen and the first configuration, and its sd over folds."""
        scores = self.table.filter(like="fold_").to_numpy()
        differences = scores[self.table["mean"].argmax()] - scores[0]
        return float(differences.mean()), float(differences.std(ddof=1))


def find_configuration(problem: Problem, train: np.ndarray, settings: Settings) -> Search | None:
    """Search on the training rows; None where there is one configuration only.

    First what is made of the columns, without pruning as far as that is tried, then the pruning
    rates for the best of it.
    """
    inputs, rates = _inputs(problem, settings), settings.pruning_rates
    if len(inputs) * len(rates) == 1:
        return None
    rows = search_rows(problem, train, settings.seed)
    trials = _Trials(problem, rows, settings, len(inputs) + len(rates) - 1)
    with trials.bar:
        for embedding, penalty in inputs:
            trials.run(Configuration(embedding, penalty, rates[0]))
        best = trials.best
        for rate in rates[1:]:
            trials.run(Configuration(best.embedding, best.penalty, rate))
    return Search(trials.table(), trials.best, len(rows), trials.n_left_out)


def only_configuration(problem: Problem, settings: Settings) -> Configuration:
    """The first configuration, where there is no other."""
    embedding, penalty = _inputs(problem, settings)[0]
    return Configuration(embedding, penalty, settings.pruning_rates[0])


def _inputs(problem: Problem, settings: Settings) -> list[tuple[str | None, float]]:
    """Embeddings and penalties, those first that are worth most where time is short."""
    wide = problem.X.shape[1] > MOST_EMBEDDED_COLUMNS
    embeddings = [e for e in settings.embeddings if e is None or not wide] or [None]
    pairs = [(e, p) for e in embeddings for p in settings.input_penalties]
    # The plainest is what others are compared with; then the strongest of each embedding first.
    first = min(pairs, key=lambda pair: (pair[0] is not None, pair[1]))
    rest = sorted((p for p in pairs if p != first), key=lambda p: (-p[1], p[0] is None))
    return [first, *rest]


def search_rows(problem: Problem, train: np.ndarray, seed: int) -> np.ndarray:
    """The training rows that the search sees: a sample where there are very many."""
    if len(train) <= MOST_SEARCH_ROWS:
        return train
    stratify = None if problem.is_regression else problem.y[train]
    rows, _ = train_test_split(
        train, train_size=MOST_SEARCH_ROWS, stratify=stratify, random_state=seed
    )
    return np.sort(rows)


class _Trials:
    """Cross-validations one after the other, as long as there is time."""

    def __init__(self, problem: Problem, rows: np.ndarray, settings: Settings, n_trials: int):
        self.problem, self.rows, self.settings = problem, rows, settings
        self.parts = folds(problem, rows, settings.seed)
        self.X, self.y = problem.X.iloc[rows], problem.y[rows]
        self.start = time.monotonic()
        self.lines: list[dict] = []
        self.n_left_out = 0
        self.bar = progress(what="Choosing the network", quiet=settings.quiet, total=n_trials)

    @property
    def best(self) -> Configuration:
        line = max(self.lines, key=lambda line: line["mean"])
        return Configuration(line["embedding"], line["penalty"], line["rate"])

    def table(self) -> pd.DataFrame:
        """What was tried, a line each."""
        embeddings = pd.Series([line["embedding"] for line in self.lines], dtype=object)
        return pd.DataFrame(self.lines).assign(embedding=embeddings)

    def run(self, configuration: Configuration) -> None:
        """Score a configuration, unless that would take too long."""
        if not self._is_time_for(configuration):
            self.n_left_out += 1
            return
        model = make_model(self.problem, self.settings, len(self.rows), configuration)
        scorer, _ = SEARCH_SCORES[self.problem.task]
        before = time.monotonic()
        with errors_of_training():
            scores = cross_validate(
                model,
                self.X,
                self.y,
                cv=self.parts,
                scoring=scorer,
                n_jobs=self.settings.jobs,
                error_score="raise",
            )["test_score"]
        by_fold = {f"fold_{i}": score for i, score in enumerate(scores, 1)}
        spread = {"mean": scores.mean(), "sd": scores.std(ddof=1), **by_fold}
        seconds = {"seconds": time.monotonic() - before}
        self.lines.append({**asdict(configuration), **spread, **seconds})
        self.bar.update()

    def _is_time_for(self, configuration: Configuration) -> bool:
        if self.settings.budget is None or not self.lines:
            return True
        alike = [x["seconds"] for x in self.lines if x["embedding"] == configuration.embedding]
        plain = self.lines[0]["seconds"]
        expected = max(alike, default=_LONGER[configuration.embedding] * plain)
        # The networks of the ranking come after it: each is about a fold's.
        slowest = max(expected, *(line["seconds"] for line in self.lines)) / len(self.parts)
        more_rows = self.problem.y.size * (1 - self.settings.test_size) / len(self.rows)
        afterwards = slowest * more_rows * (self.settings.runs + 1)
        spent = time.monotonic() - self.start
        return spent + expected + afterwards <= self.settings.budget


@contextmanager
def errors_of_training() -> Iterator[None]:
    """Turn an error of an estimator, such as training that diverges, into one line."""
    try:
        yield
    except ValueError as error:
        raise CommandError(f"the network cannot be fitted: {error}") from error
