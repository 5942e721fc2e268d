"""Two small clinical tables: Cleveland heart disease and Pima diabetes."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from ._base import Source, fetch, find_files, make_bunch, require_columns

_HEART = Source(
    "Cleveland heart disease",
    "small_tabular",
    "303 patients referred for coronary angiography, and whether a vessel was narrowed by more "
    "than half.",
    "Detrano et al. 1989, American Journal of Cardiology 64:304",
    "CC BY 4.0",
    "UCI Machine Learning Repository no. 45, processed.cleveland.data (with a header line)",
    49,
)
_PIMA = Source(
    "Pima diabetes",
    "small_tabular",
    "768 women of Pima heritage aged 21 or more, and whether diabetes was found within five years.",
    "Smith et al. 1988, Proc. Symposium on Computer Applications and Medical Care, 261",
    "CC0",
    "National Institute of Diabetes and Digestive and Kidney Diseases (csv with a header line)",
    37,
)

_HEART_CATEGORICAL = ["sex", "cp", "fbs", "restecg", "exang", "slope", "thal"]
# OpenML's copy names the levels that the original file numbers.
_HEART_LEVELS = {
    "sex": {"female": 0, "male": 1},
    "cp": {"typ_angina": 1, "atyp_angina": 2, "non_anginal": 3, "asympt": 4},
    "fbs": {"f": 0, "t": 1},
    "restecg": {"normal": 0, "st_t_wave_abnormality": 1, "left_vent_hyper": 2},
    "exang": {"no": 0, "yes": 1},
    "slope": {"up": 1, "flat": 2, "down": 3},
    "thal": {"normal": 3, "fixed_defect": 6, "reversable_defect": 7},
}
_PIMA_COLUMNS = {
    "preg": "pregnancies",
    "plas": "glucose",
    "pres": "blood_pressure",
    "skin": "skin_thickness",
    "insu": "insulin",
    "mass": "bmi",
    "pedi": "pedigree",
    "age": "age",
}
_PIMA_ZERO_IS_MISSING = ["glucose", "blood_pressure", "skin_thickness", "insulin", "bmi"]


def load_heart_disease(
    *,
    data_home: str | os.PathLike | None = None,
    as_frame: bool = True,
    return_X_y: bool = False,
) -> Bunch | tuple:
    """Load the Cleveland heart-disease data.

    303 patients, 13 columns, 139 with a coronary vessel narrowed by more than half. Nominal
    columns are numbered; `categorical_features` names them.

    Parameters
    ----------
    data_home : path-like, default=None
        The data folder; None takes the environment variable `SKNNINTERP_DATA` and then OpenML
        (see :mod:`sknninterp.datasets`). OpenML's copy, `heart-c`, names the levels of the
        nominal columns; they are numbered as in the original file here. Its preparation was not
        the same, so counts may differ by a patient.
    as_frame : bool, default=True
        Whether `data` is a DataFrame and `target` a Series rather than arrays.
    return_X_y : bool, default=False
        Whether to return `(data, target)` instead of a Bunch.

    Returns
    -------
    bunch : sklearn.utils.Bunch
        data : DataFrame or ndarray of shape (303, 13), float64
            `age` (years), `sex` (1 male), `cp` (4 asymptomatic), `trestbps` (mm Hg), `chol`
            (mg/dl), `fbs`, `restecg`, `thalach` (beats per minute), `exang`, `oldpeak`, `slope`,
            `ca` (vessels), `thal` (3 normal, 6 fixed, 7 reversible defect). NaN in `ca` and
            `thal` only.
        target : Series or ndarray of shape (303,), int64
            1 for disease.
        feature_names, target_names, categorical_features : list of str
            In the order of the columns, and of the classes.
        DESCR, source, licence : str
            Of the data.

    Raises
    ------
    FileNotFoundError
        If the file is in no folder and OpenML cannot be reached.
    ValueError
        If the table lacks a column or has a level that is not known.

    References
    ----------
    .. [1] Detrano et al., "International application of a new probability algorithm for the
       diagnosis of coronary artery disease", American Journal of Cardiology 64:304, 1989.

    Examples
    --------
    >>> from sknninterp.datasets import load_heart_disease
    >>> load_heart_disease().data.shape  # doctest: +SKIP
    (303, 13)
    """
    names = ["heart_cleveland.csv"]
    paths = find_files(_HEART, names, data_home)
    if paths is None:
        table = _number_heart_levels(fetch(_HEART, names, data_home, as_frame=True).frame)
    else:
        table = pd.read_csv(paths[0])
    target = (_column(table, "num", _HEART) > 0).astype(np.int64).rename("disease")
    X = table.drop(columns="num").astype(np.float64)
    extra = {"categorical_features": list(_HEART_CATEGORICAL)}
    target_names = ["no disease", "disease"]
    return _small_table(_HEART, X, target, target_names, as_frame, return_X_y, extra)


def load_pima_diabetes(
    *,
    data_home: str | os.PathLike | None = None,
    as_frame: bool = True,
    return_X_y: bool = False,
) -> Bunch | tuple:
    """Load the Pima diabetes data, with missing measurements as NaN.

    768 women, 8 columns, 268 with diabetes within five years. The file writes a measurement that
    was not taken as 0; in `glucose`, `blood_pressure`, `skin_thickness`, `insulin` and `bmi`,
    where 0 is no possible value, it is NaN here.

    Parameters
    ----------
    data_home : path-like, default=None
        The data folder; None takes the environment variable `SKNNINTERP_DATA` and then OpenML
        (see :mod:`sknninterp.datasets`).
    as_frame : bool, default=True
        Whether `data` is a DataFrame and `target` a Series rather than arrays.
    return_X_y : bool, default=False
        Whether to return `(data, target)` instead of a Bunch.

    Returns
    -------
    bunch : sklearn.utils.Bunch
        data : DataFrame or ndarray of shape (768, 8), float64
            `pregnancies`, `glucose` (mg/dl), `blood_pressure` (mm Hg), `skin_thickness` (mm),
            `insulin` (mu U/ml), `bmi` (kg/m2), `pedigree`, `age` (years).
        target : Series or ndarray of shape (768,), int64
            1 for diabetes.
        feature_names, target_names : list of str
            In the order of the columns, and of the classes or values.
        DESCR, source, licence : str
            Of the data.

    Raises
    ------
    FileNotFoundError
        If the file is in no folder and OpenML cannot be reached.
    ValueError
        If the table lacks a column.

    References
    ----------
    .. [1] Smith et al., "Using the ADAP learning algorithm to forecast the onset of diabetes
       mellitus", Proc. Symposium on Computer Applications and Medical Care, 261, 1988.

    Examples
    --------
    >>> from sknninterp.datasets import load_pima_diabetes
    >>> X, y = load_pima_diabetes(return_X_y=True)  # doctest: +SKIP
    >>> int(X["insulin"].isna().sum())  # doctest: +SKIP
    374
    """
    names = ["pima_diabetes.csv"]
    paths = find_files(_PIMA, names, data_home)
    if paths is None:
        table = fetch(_PIMA, names, data_home, as_frame=True).frame.rename(columns=_PIMA_COLUMNS)
        outcome = _column(table, "class", _PIMA).astype(object) == "tested_positive"
    else:
        table = pd.read_csv(paths[0])
        outcome = _column(table, "outcome", _PIMA) == 1
    require_columns(table, _PIMA_COLUMNS.values(), _PIMA)
    X = table[list(_PIMA_COLUMNS.values())].astype(np.float64)
    X[_PIMA_ZERO_IS_MISSING] = X[_PIMA_ZERO_IS_MISSING].replace(0.0, np.nan)
    target = outcome.astype(np.int64).rename("diabetes")
    return _small_table(_PIMA, X, target, ["no diabetes", "diabetes"], as_frame, return_X_y, {})


def _number_heart_levels(table: pd.DataFrame) -> pd.DataFrame:
    """Turn the level names of OpenML's copy into the numbers of the original file."""
    require_columns(table, [*_HEART_LEVELS, "num"], _HEART)
    table = table.copy()
    for name, levels in _HEART_LEVELS.items():
        values = table[name].astype(object)
        unknown = sorted(set(values.dropna()) - set(levels))
        if unknown:
            raise ValueError(f"column {name!r} must be one of {list(levels)}, got {unknown}")
        table[name] = values.map(levels)
    table["num"] = (table["num"].astype(object) != "<50").astype(np.int64)
    return table


def _column(table: pd.DataFrame, name: str, source: Source) -> pd.Series:
    require_columns(table, [name], source)
    return table[name]


def _small_table(
    source: Source,
    X: pd.DataFrame,
    y: pd.Series,
    target_names: list | None,
    as_frame: bool,
    return_X_y: bool,
    extra: Any,
) -> Any:
    data, target = (X, y) if as_frame else (X.to_numpy(), y.to_numpy())
    if return_X_y:
        return data, target
    return make_bunch(
        source,
        data=data,
        target=target,
        feature_names=list(X.columns),
        target_names=target_names,
        **extra,
    )
