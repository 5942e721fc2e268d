"""The data of the demonstrations, in the form of a table that a user might have."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.datasets import load_breast_cancer

from sknninterp.cli._messages import CommandError
from sknninterp.datasets import load_diabetes_readmission


def load_demo(name: str, data_home: Path | None) -> tuple[pd.DataFrame, dict, str]:
    """Return a table, the settings that go with it, and its title.

    Parameters
    ----------
    name : {"breast-cancer", "readmission"}
    data_home : Path or None
        Folder of the readmission data.
    """
    return _breast_cancer() if name == "breast-cancer" else _readmission(data_home)


def _breast_cancer() -> tuple[pd.DataFrame, dict, str]:
    bunch = load_breast_cancer(as_frame=True)
    names = dict(enumerate(bunch.target_names.tolist()))
    frame = bunch.data.assign(diagnosis=bunch.target.map(names))
    settings = {"target": "diagnosis", "positive": "malignant"}
    return frame, settings, "Which measurements tell malignant from benign breast tumours?"


def _readmission(data_home: Any) -> tuple[pd.DataFrame, dict, str]:
    try:
        bunch = _load_readmission(data_home)
    except FileNotFoundError as error:
        raise CommandError(str(error)) from None
    names = dict(enumerate(bunch.target_names))
    frame = bunch.data.assign(patient_nbr=bunch.groups, readmitted=bunch.target.map(names))
    settings = {"target": "readmitted", "positive": "<30", "group": "patient_nbr"}
    return frame, settings, "What predicts readmission to hospital within 30 days?"


def _load_readmission(data_home: Any) -> Any:
    """Return all encounters but those that ended in death or a hospice."""
    options = {"data_home": data_home, "first_encounter": False}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A network error occurred", UserWarning)
        try:
            return load_diabetes_readmission(describe_codes=True, **options)
        except FileNotFoundError:  # OpenML has the encounters, but not what their codes mean
            return load_diabetes_readmission(**options)
