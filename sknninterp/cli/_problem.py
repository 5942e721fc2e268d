"""From a table to a problem of supervised learning: the roles and types of its columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from sknninterp.cli._arguments import Settings
from sknninterp.cli._messages import CommandError, counted, listed, unknown_name

# Categories in a smaller share of the rows than this are one category together.
MIN_FREQUENCY = 0.005
MIN_ROWS = 20
MIN_ROWS_PER_CLASS = 5
MAX_CLASSES = 100
# Whole numbers with more values than this are a quantity rather than classes or codes.
_MOST_CODES = 10
_MANY_VALUES = int(1 / MIN_FREQUENCY)


@dataclass(frozen=True)
class Problem:
    """What is to be learnt from what.

    Attributes
    ----------
    X : DataFrame of shape (n_samples, n_features)
        Numeric and category columns. The index names the rows.
    y : ndarray of shape (n_samples,)
        Positions in `classes`, or values.
    task : {"binary", "multiclass", "regression"}
    target : str
    classes : list of str
        Of two classes, the second is the positive one. Empty for a regression.
    ids : DataFrame of shape (n_samples, n_ids)
    groups : ndarray of shape (n_samples,), default=None
    group_name : str, default=None
    notes : list of str
        What the user should know about these decisions.
    """

    X: pd.DataFrame
    y: np.ndarray
    task: str
    target: str
    classes: list[str]
    ids: pd.DataFrame
    groups: np.ndarray | None = None
    group_name: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def is_regression(self) -> bool:
        """Whether a quantity is predicted."""
        return self.task == "regression"

    @property
    def numeric(self) -> list[str]:
        """Columns that are quantities."""
        return self.X.select_dtypes("number").columns.tolist()

    @property
    def categorical(self) -> list[str]:
        """Columns that are categories."""
        return self.X.select_dtypes("category").columns.tolist()


def check_names(columns: Sequence[str], settings: Settings) -> None:
    """Raise an error for the first column that was named and is not there."""
    named = [("--target", settings.target)]
    if settings.group is not None:
        named.append(("--group", settings.group))
    for option in ("id_columns", "drop", "categorical"):
        named += [(f"--{option.replace('_', '-')}", name) for name in getattr(settings, option)]
    known = set(columns)
    for option, name in named:
        if name not in known:
            raise CommandError(f"{option}: no column {name!r}; {unknown_name(name, columns)}")
    others = {*settings.id_columns, *settings.drop, settings.group}
    if settings.target in others:
        raise CommandError(f"--target: {settings.target!r} is also named in another option")


def roles(columns: Sequence[str], settings: Settings) -> tuple[list[str], list[str]]:
    """Return the columns to read, and those of them that are read as text."""
    dropped = set(settings.drop) - {settings.group, *settings.id_columns}
    wanted = [name for name in columns if name not in dropped]
    as_text = {settings.target, settings.group, *settings.id_columns, *settings.categorical}
    return wanted, [name for name in wanted if name in as_text]


def prepare(frame: pd.DataFrame, settings: Settings, notes: Sequence[str] = ()) -> Problem:
    """Return the problem that `settings` pose about a table."""
    notes = list(notes)
    frame = _without_gaps(frame, settings, notes)
    y, task, classes = _target(frame[settings.target], settings, notes)
    _check_size(y, classes, settings)
    others = {settings.target, settings.group, *settings.drop, *settings.id_columns}
    X = _features(frame.drop(columns=others.intersection(frame.columns)), settings, notes)
    groups = None
    if settings.group is not None:
        groups = pd.factorize(frame[settings.group])[0]
    return Problem(
        X,
        y,
        task,
        settings.target,
        classes,
        ids=frame[list(settings.id_columns)],
        groups=groups,
        group_name=settings.group,
        notes=notes,
    )


def _without_gaps(frame: pd.DataFrame, settings: Settings, notes: list[str]) -> pd.DataFrame:
    """Leave out the rows without target or group."""
    for name in filter(None, (settings.target, settings.group)):
        missing = frame[name].isna()
        if missing.all():
            raise CommandError(f"column {name!r} has no values")
        if missing.any():
            notes.append(f"{counted(missing.sum(), 'row')} without a value in {name!r} left out.")
            frame = frame[~missing]
    return frame


# -- the target ----------------------------------------------------------------------------------


def _target(
    column: pd.Series, settings: Settings, notes: list[str]
) -> tuple[np.ndarray, str, list[str]]:
    """Return the target encoded, the task and the classes."""
    name, text = column.name, column.astype(str)
    labels = pd.unique(text)
    numbers = pd.to_numeric(pd.Series(labels, index=labels), errors="coerce")
    if len(labels) < 2:
        raise CommandError(f"the target {name!r} has the same value, {labels[0]!r}, in every row")
    if _is_regression(name, numbers, settings, notes):
        return text.map(numbers).to_numpy(np.float64), "regression", []
    numeric = numbers.notna().all()
    classes = sorted(labels, key=numbers.get) if numeric else sorted(labels)
    if settings.positive is not None:
        positive = _find_label(settings.positive, classes, numbers, name)
        others = [label for label in classes if label != positive]
        negative = others[0] if len(others) == 1 else f"not {positive}"
        return (text == positive).to_numpy(int), "binary", [negative, positive]
    if len(classes) > MAX_CLASSES:
        advice = "; is it a quantity (--task regression)?" if numeric else ""
        raise CommandError(
            f"the target {name!r} has {len(classes):,} different values, and at most {MAX_CLASSES} "
            f"classes are taken{advice or ' (or name one with --positive)'}"
        )
    if len(classes) == 2:
        notes.append(f"{classes[1]!r} is taken as the positive class (--positive sets it).")
    y = text.map({label: i for i, label in enumerate(classes)}).to_numpy(int)
    return y, "binary" if len(classes) == 2 else "multiclass", classes


def _is_regression(name: str, numbers: Any, settings: Settings, notes: list[str]) -> bool:
    """Decide on the task; `numbers` are the different values, NaN where one is no number."""
    text = numbers.index[numbers.isna()]
    if settings.task == "regression":
        if len(text):
            raise CommandError(
                f"--task regression needs numbers, but the target {name!r} has {listed(text, 3)}"
            )
        if settings.positive is not None:
            raise CommandError("--positive names a class, which --task regression has not got")
        return True
    if settings.task == "classification" or settings.positive is not None or len(text):
        return False
    if len(numbers) == 2:
        return False
    whole = bool((numbers % 1 == 0).all())
    quantity = not whole or len(numbers) > _MOST_CODES
    notes.append(
        f"The target {name!r} is taken as {'a quantity' if quantity else 'classes'}, since it has "
        f"{len(numbers):,} different {'whole ' if whole else ''}numbers (--task sets it)."
    )
    return quantity


def _find_label(positive: str, classes: list[str], numbers: Any, name: str) -> str:
    """Return the class that --positive means: as it is written, or as a number."""
    if positive in classes:
        return positive
    value = pd.to_numeric(positive, errors="coerce")
    same = [label for label in classes if numbers[label] == value]
    if same:
        return same[0]
    raise CommandError(
        f"--positive: {positive!r} is no value of {name!r}; {unknown_name(positive, classes)}"
    )


def _check_size(y: np.ndarray, classes: list[str], settings: Settings) -> None:
    if len(y) < MIN_ROWS:
        raise CommandError(f"{counted(len(y), 'row')} are too few: at least {MIN_ROWS} are needed")
    if not classes:
        return
    sizes = np.bincount(y, minlength=len(classes))
    rare = [label for label, size in zip(classes, sizes, strict=True) if size < MIN_ROWS_PER_CLASS]
    if rare:
        raise CommandError(
            f"too few rows of {listed(rare)} in {settings.target!r}: each class needs at least "
            f"{MIN_ROWS_PER_CLASS}; merge classes, or set one against the rest with --positive"
        )


# -- the features --------------------------------------------------------------------------------


def _features(X: pd.DataFrame, settings: Settings, notes: list[str]) -> pd.DataFrame:
    """Return the feature columns that say anything, in one of two types."""
    X = _without_row_numbers(X, notes)
    empty = X.columns[X.isna().all()]
    if len(empty):
        notes.append(f"Left out, since they have no values: {listed(empty)}.")
    X = X.drop(columns=empty)
    n_values = X.nunique(dropna=False)
    constant = n_values.index[n_values <= 1]
    if len(constant):
        notes.append(f"Left out, since they have one value only: {listed(constant)}.")
    X = X.drop(columns=constant)
    if X.shape[1] == 0:
        raise CommandError("no columns are left to predict from")
    X = X.apply(_typed, categorical=settings.categorical)
    numbers, categories = X.select_dtypes("number"), X.select_dtypes("category")
    infinite = numbers.columns[np.isinf(numbers.to_numpy()).any(axis=0)]
    if len(infinite):
        raise CommandError(f"infinite values in {listed(infinite)}: replace or --drop them")
    whole = numbers.columns[((numbers % 1 == 0) | numbers.isna()).all()]
    sizes = X.nunique()
    _note_identifiers(sizes[whole.union(categories.columns, sort=False)], len(X), notes)
    _note_codes(sizes[whole], notes)
    for name in sizes.index[sizes > _MANY_VALUES].intersection(categories.columns):
        _note_many_values(X[name], notes)
    return X


def _without_row_numbers(X: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Leave out what R and pandas write before the first column."""
    if X.shape[1] and str(X.columns[0]).startswith("Unnamed: 0") and X.iloc[:, 0].is_unique:
        notes.append("The first column has no name and counts the rows: left out.")
        return X.iloc[:, 1:]
    return X


def _typed(column: pd.Series, categorical: Any) -> pd.Series:
    """Return a column as numbers in float32, or as categories of strings."""
    is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if is_number and column.name not in categorical:
        exact = column.dtype == np.float64 and column.abs().max() > 2**24
        return column if exact else column.astype(np.float32)
    if not isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype("category")
    column = column.cat.remove_unused_categories()
    return column.cat.rename_categories(column.cat.categories.astype(str))


def _note_identifiers(sizes: Any, n_rows: int, notes: list[str]) -> None:
    """Note columns of texts or whole numbers that are never the same twice."""
    unique = sizes.index[sizes == n_rows]
    if len(unique):
        notes.append(
            f"Different in every row, as identifiers are: {listed(unique)}; name identifiers in "
            "--id-columns, so that they are not used."
        )


def _note_codes(sizes: Any, notes: list[str]) -> None:
    codes = sizes.index[sizes.between(3, _MOST_CODES)]
    if len(codes):
        notes.append(
            f"Taken as quantities, though they have few different whole numbers: {listed(codes)}; "
            "name those that are codes in --categorical."
        )


def _note_many_values(column: pd.Series, notes: list[str]) -> None:
    values = column.cat.categories
    text = f"{column.name!r} has {len(values):,} different texts: "
    no_numbers = values[pd.to_numeric(values, errors="coerce").isna()]
    if len(no_numbers) < len(values) / 2:
        text += f"it would be numbers but for {listed(no_numbers, 3)}; "
    notes.append(
        f"{text}those in fewer than {MIN_FREQUENCY:.1%} of the rows count as one category."
    )
