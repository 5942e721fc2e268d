"""Where the files of a data set are, and what a loader returns."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from sklearn.datasets import fetch_openml
from sklearn.utils import Bunch

DATA_VARIABLE = "SKNNINTERP_DATA"


@dataclass(frozen=True)
class Source:
    """A public data set: its folder, where it comes from and under which terms.

    Parameters
    ----------
    name : str
        The set as people call it, for messages.
    folder : str
        Subfolder of the data folder.
    description : str
        One sentence on what the rows and columns are.
    citation : str
        What to cite.
    licence : str
    origin : str
        Where a person can get the original files.
    openml_id : int, default=None
        The set's `data_id` on OpenML; None where OpenML has not got it.
    """

    name: str
    folder: str
    description: str
    citation: str
    licence: str
    origin: str
    openml_id: int | None = None


def data_folder(data_home: str | os.PathLike | None) -> Path | None:
    """Return the data folder, or None where neither the argument nor the variable names one."""
    if data_home is not None:
        folder = Path(data_home).expanduser()
        if not folder.is_dir():
            raise FileNotFoundError(f"data_home must be an existing folder, got {str(data_home)!r}")
        return folder
    variable = os.environ.get(DATA_VARIABLE)
    return Path(variable).expanduser() if variable else None


def find_files(
    source: Source, names: Sequence[str], data_home: str | os.PathLike | None
) -> list[Path] | None:
    """Return the paths of `names` in the set's folder, or None unless all of them are there."""
    folder = data_folder(data_home)
    if folder is None:
        return None
    paths = [folder / source.folder / name for name in names]
    return paths if all(path.is_file() for path in paths) else None


def require_files(
    source: Source, names: Sequence[str], data_home: str | os.PathLike | None
) -> list[Path]:
    """Return the paths of `names`, for a set that can only come from a folder."""
    paths = find_files(source, names, data_home)
    if paths is None:
        raise FileNotFoundError(_not_found(source, names, data_home, "OpenML has not got it"))
    return paths


def fetch(
    source: Source, names: Sequence[str], data_home: str | os.PathLike | None, as_frame: bool
) -> Bunch:
    """Fetch a set from OpenML, into scikit-learn's own cache.

    Parameters
    ----------
    source : Source
        With an `openml_id`.
    names : sequence of str
        The files that were looked for before, for the error message.
    data_home : path-like or None
        Where they were looked for, for the error message.
    as_frame : bool
        As in :func:`sklearn.datasets.fetch_openml`.

    Returns
    -------
    bunch : sklearn.utils.Bunch

    Raises
    ------
    FileNotFoundError
        If OpenML cannot be reached.
    """
    try:
        return fetch_openml(data_id=source.openml_id, as_frame=as_frame, parser="auto")
    except OSError as error:
        why = f"OpenML (data_id={source.openml_id}) could not be reached ({error})"
        raise FileNotFoundError(_not_found(source, names, data_home, why)) from error


def _not_found(
    source: Source, names: Sequence[str], data_home: str | os.PathLike | None, openml: str
) -> str:
    folder = data_folder(data_home)
    if folder is None:
        looked = f"no data_home was given, the environment variable {DATA_VARIABLE} is not set"
    else:
        of = "data_home" if data_home is not None else f"the environment variable {DATA_VARIABLE}"
        place = folder / source.folder
        missing = [name for name in names if not (place / name).is_file()]
        looked = f"{place} (from {of}) has no {', '.join(missing)}"
    wanted = ", ".join(f"{source.folder}/{name}" for name in names)
    return (
        f"{source.name} was not found: {looked}, and {openml}. Pass data_home= or set "
        f"{DATA_VARIABLE} to a folder with {wanted}. Original source: {source.origin}."
    )


def make_bunch(source: Source, **items: object) -> Bunch:
    """Return a Bunch of `items` with the set's description, citation and licence."""
    descr = f"{source.name}: {source.description}\n\nSource: {source.citation}\n"
    descr += f"Licence: {source.licence}\nFrom: {source.origin}"
    return Bunch(**items, DESCR=descr, source=source.citation, licence=source.licence)


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Raise a ValueError that names the parameter unless `value` is one of `choices`."""
    choices = list(choices)
    if value not in choices:
        taken = ", ".join(map(repr, choices))
        raise ValueError(f"{name} must be one of {taken}, got {value!r}")


def require_columns(table: pd.DataFrame, names: Iterable[str], source: Source) -> None:
    """Raise a ValueError that names the columns that `table` lacks."""
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise ValueError(f"the table of {source.name} has no columns {missing}")
