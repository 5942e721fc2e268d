"""The design of the analysis: who is in which part, what is done to the columns, which network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sknninterp import ANTClassifier, ANTRegressor, table_preprocessor
from sknninterp.cli._arguments import Settings
from sknninterp.cli._messages import CommandError
from sknninterp.cli._problem import MIN_FREQUENCY, Problem

# StratifiedGroupKFold looks at every group in turn; with many groups chance balances the classes.
_MOST_STRATIFIED_GROUPS = 5_000
_MANY_FOLDS_UP_TO = 2_000
_EARLY_STOPPING_FROM = 2_000
# Up to how many rows, (batch size, epochs).
_SCHEDULES = {2_000: (32, 60), 20_000: (256, 20), 500_000: (512, 20)}
_SCHEDULE_BEYOND = (2048, 10)
# Strong decoupled weight decay, some dropout, and half of the epochs to recover from the pruning:
# on clinical tables of 300 to 75,000 rows these made the predictions better and the rankings
# steadier between seeds.
_TRAINING: dict[str, Any] = {"dropout": 0.2, "tuning_stop": 0.5}
_OPTIMIZER: dict[str, Any] = {"optimizer": "adamw", "weight_decay": 1.0}
# With more columns than rows most weights stay what chance made them, unless they fade faster; and
# Adam's are all of one size.
_OPTIMIZER_OF_WIDE_TABLES: dict[str, Any] = {"optimizer": "adam_mini", "weight_decay": 10.0}


# -- splits --------------------------------------------------------------------------------------


def split(problem: Problem, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the training and of the test rows.

    Classes are spread evenly where that is possible, and groups stay together.
    """
    options = {"test_size": settings.test_size, "random_state": settings.seed}
    if problem.groups is None:
        kind = ShuffleSplit if problem.is_regression else StratifiedShuffleSplit
        splitter = kind(1, **options)
    elif _stratifies_groups(problem.groups, problem):
        n_parts = max(2, round(1 / settings.test_size))
        splitter = StratifiedGroupKFold(n_parts, shuffle=True, random_state=settings.seed)
    else:
        splitter = GroupShuffleSplit(1, **options)
    try:
        train, test = next(splitter.split(problem.X, problem.y, problem.groups))
    except ValueError as error:
        raise CommandError(f"the rows cannot be split for a test: {error}") from None
    _check_parts(problem, train, test)
    return np.sort(train), np.sort(test)


def _stratifies_groups(groups: np.ndarray, problem: Problem) -> bool:
    return not problem.is_regression and len(np.unique(groups)) <= _MOST_STRATIFIED_GROUPS


def _check_parts(problem: Problem, train: np.ndarray, test: np.ndarray) -> None:
    """Raise an error if a class is missing in one of the parts, as can happen with groups."""
    if problem.is_regression:
        return
    for part, rows, least in (("training", train, 2), ("test", test, 1)):
        sizes = np.bincount(problem.y[rows], minlength=len(problem.classes))
        for label, size in zip(problem.classes, sizes, strict=True):
            if size < least:
                where = f" (groups of {problem.group_name!r})" if problem.group_name else ""
                raise CommandError(
                    f"the {part} part has {size} rows of class {label!r}{where}: another --seed "
                    "or --test-size may help, or --positive to set one class against the rest"
                )


def folds(problem: Problem, rows: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the folds of a cross-validation on some rows: five, or three where there are many."""
    y = problem.y[rows]
    groups = None if problem.groups is None else problem.groups[rows]
    n_folds = 5 if len(rows) <= _MANY_FOLDS_UP_TO else 3
    if not problem.is_regression:
        n_folds = max(2, min(n_folds, np.bincount(y).min()))
    if groups is None:
        kind = KFold if problem.is_regression else StratifiedKFold
    else:
        n_folds = min(n_folds, len(np.unique(groups)))
        kind = StratifiedGroupKFold if _stratifies_groups(groups, problem) else GroupKFold
    try:
        splitter = kind(n_folds, shuffle=True, random_state=seed)
        parts = list(splitter.split(np.zeros(len(rows)), y, groups))
    except ValueError as error:
        raise CommandError(f"the training rows cannot be cross-validated: {error}") from None
    for _, valid in parts:
        if not problem.is_regression and len(np.unique(y[valid])) < len(problem.classes):
            raise CommandError(
                "a fold of the cross-validation lacks a class, since too few groups of "
                f"{problem.group_name!r} have it: give one rate in --pruning-rates, or another "
                "--seed"
            )
    return parts


# -- the pipeline --------------------------------------------------------------------------------


def make_preprocessor(problem: Problem) -> ColumnTransformer:
    """Return what turns the columns into inputs of a network."""
    # By position: scikit-learn takes long to look up the names of twenty thousand columns.
    positions = {
        kind: problem.X.columns.get_indexer(names).tolist()
        for kind, names in (("numeric", problem.numeric), ("categorical", problem.categorical))
    }
    return table_preprocessor(
        positions["numeric"], positions["categorical"], min_frequency=MIN_FREQUENCY
    )


@dataclass(frozen=True)
class Schedule:
    """How long a network is trained, and in what steps."""

    batch_size: int
    max_epochs: int
    early_stopping: bool

    @classmethod
    def of(cls, n_rows: int, max_epochs: int | None = None) -> Schedule:
        """Return what suits a number of training rows: the more there are, the fewer epochs."""
        fitting = (values for most, values in _SCHEDULES.items() if n_rows <= most)
        batch_size, epochs = next(fitting, _SCHEDULE_BEYOND)
        return cls(batch_size, max_epochs or epochs, n_rows >= _EARLY_STOPPING_FROM)


@dataclass(frozen=True)
class Configuration:
    """What is chosen by cross-validation.

    Attributes
    ----------
    embedding : {"piecewise", None}
        What the network reads of each column besides its value.
    penalty : float
        Of columns that say little.
    rate : float
        Share of neurons that the network loses while it trains.
    """

    embedding: str | None
    penalty: float
    rate: float

    @property
    def columns(self) -> str:
        """What is made of the columns, in words."""
        read = "values" if self.embedding is None else "values and bins"
        return f"{read}, penalty {self.penalty:g}" if self.penalty else read


def make_network(
    problem: Problem, settings: Settings, n_rows: int, configuration: Configuration, seed: int
) -> Any:
    """Return an unfitted network for `n_rows` training rows."""
    schedule = Schedule.of(n_rows, settings.max_epochs)
    kind = ANTRegressor if problem.is_regression else ANTClassifier
    is_wide = len(problem.numeric) + len(problem.categorical) > n_rows
    network = kind(
        settings.hidden,
        batch_size=schedule.batch_size,
        max_epochs=schedule.max_epochs,
        early_stopping=schedule.early_stopping,
        dtype="float32",
        numeric_embedding=configuration.embedding,
        input_penalty=configuration.penalty,
        pruning_rate=configuration.rate,
        random_state=seed,
        **_TRAINING,
        **(_OPTIMIZER_OF_WIDE_TABLES if is_wide else _OPTIMIZER),
    )
    if not problem.is_regression:
        return network
    return TransformedTargetRegressor(network, transformer=StandardScaler())


def make_model(
    problem: Problem, settings: Settings, n_rows: int, configuration: Configuration
) -> Pipeline:
    """Return the whole unfitted pipeline, from the user's columns to the prediction."""
    network = make_network(problem, settings, n_rows, configuration, settings.seed)
    return Pipeline([("preprocess", make_preprocessor(problem)), ("network", network)])


def inner_network(network: Any) -> Any:
    """Return the estimator of this package in a fitted network."""
    return network.regressor_ if isinstance(network, TransformedTargetRegressor) else network
