"""Readmission of diabetic patients to 130 US hospitals."""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from ._base import (
    Source,
    check_choice,
    fetch,
    find_files,
    make_bunch,
    require_columns,
    require_files,
)

_READMISSION = Source(
    "Diabetes 130-US hospitals",
    "diabetes_readmission",
    "101,766 hospital encounters of 71,518 diabetic patients, 1999-2008, and whether the patient "
    "was readmitted.",
    "Strack et al. 2014, BioMed Research International 2014:781670",
    "CC BY 4.0",
    "UCI Machine Learning Repository no. 296, diabetic_data.csv (gzipped) and IDS_mapping.csv",
    4541,
)
_READMISSION_FILE = "diabetic_data.csv.gz"
_MAPPING_FILE = "IDS_mapping.csv"
_IDS = ["encounter_id", "patient_nbr"]
_CODES = ["admission_type_id", "discharge_disposition_id", "admission_source_id"]
_COUNTS = [
    "time_in_hospital",
    "num_lab_procedures",
    "num_procedures",
    "num_medications",
    "number_outpatient",
    "number_emergency",
    "number_inpatient",
    "number_diagnoses",
]
_DIAGNOSES = ["diag_1", "diag_2", "diag_3"]
# "None" in these means that the test was not done, which is not the same as an unknown result.
_TESTS = ["max_glu_serum", "A1Cresult"]
_DEATH_OR_HOSPICE = (11, 13, 14, 19, 20, 21)
# Strack et al. 2014, Table 2: chapters of the ICD-9-CM and the symptoms that belong with them.
_ICD9_RANGES = {
    "circulatory": ((390, 459), (785, 785)),
    "respiratory": ((460, 519), (786, 786)),
    "digestive": ((520, 579), (787, 787)),
    "diabetes": ((250, 250),),
    "injury": ((800, 999),),
    "musculoskeletal": ((710, 739),),
    "genitourinary": ((580, 629), (788, 788)),
    "neoplasms": ((140, 239),),
}
_ICD9_GROUPS = [*_ICD9_RANGES, "other"]
_ICD9_CODE = re.compile(r"(?P<category>\d{1,3}|[VE]\d{1,3})(\.\d{0,2})?")
_TARGETS = {
    "<30": ({"NO": 0, ">30": 0, "<30": 1}, ["not within 30 days", "<30"]),
    "any": ({"NO": 0, ">30": 1, "<30": 1}, ["NO", "readmitted"]),
    "three": ({"NO": 0, ">30": 1, "<30": 2}, ["NO", ">30", "<30"]),
}


def load_diabetes_readmission(
    *,
    target: str = "<30",
    cleaning: str | None = "strack",
    first_encounter: bool | None = None,
    group_diagnoses: bool = True,
    describe_codes: bool = False,
    age: str = "midpoint",
    drop_weight: bool = True,
    data_home: str | os.PathLike | None = None,
    return_X_y: bool = False,
) -> Bunch | tuple[pd.DataFrame, pd.Series]:
    """Load the readmission of diabetic patients to 130 US hospitals.

    101,766 encounters of 71,518 patients; 69,973 encounters after the usual cleaning.

    Parameters
    ----------
    target : {"<30", "any", "three"}, default="<30"
        What is predicted: readmission within 30 days, readmission at any time, or the three
        classes none (0), later than 30 days (1) and within 30 days (2).
    cleaning : {"strack", None}, default="strack"
        Which encounters are left out. "strack", after Strack et al. [1]_: those that ended in
        death or in a hospice, since the patient cannot come back (`discharge_disposition_id` 11,
        13, 14, 19, 20, 21). None: no encounter.
    first_encounter : bool, default=None
        Whether only the first encounter of each patient (the smallest `encounter_id`) is kept,
        which makes the rows independent; it is taken before `cleaning`. None is True with
        `cleaning="strack"` and False without. Where it is False, split by `groups`.
    group_diagnoses : bool, default=True
        Whether `diag_1` to `diag_3` are grouped with :func:`group_icd9`; if not, they are the
        700 to 800 ICD-9 codes as recorded.
    describe_codes : bool, default=False
        Whether the three coded admission columns hold the meaning of the code ("Emergency")
        instead of the code itself ("1"). Codes with the same meaning become one category.
    age : {"midpoint", "interval"}, default="midpoint"
        The ten-year age bins as numbers, the midpoint in years (5.0 for "[0-10)"), or as an
        ordered category.
    drop_weight : bool, default=True
        Whether `weight`, 97 % missing, is left out.
    data_home : path-like, default=None
        The data folder; None takes the environment variable `SKNNINTERP_DATA` and then OpenML
        (see :mod:`sknninterp.datasets`).
    return_X_y : bool, default=False
        Whether to return `(data, target)` instead of a Bunch.

    Returns
    -------
    bunch : sklearn.utils.Bunch
        data : DataFrame of shape (n_encounters, 46), 47 with `weight`
            Indexed by `encounter_id`; counts are integers, everything nominal is of dtype
            category, the coded admission columns too. Missing values are NaN; the category "None"
            of `max_glu_serum` and `A1Cresult` means that the test was not done.
        target : Series of shape (n_encounters,), int64
            Index into `target_names`.
        groups : Series of shape (n_encounters,), int64
            The patient, `patient_nbr`.
        feature_names, target_names : list of str
            In the order of the columns, and of the classes or values.
        DESCR, source, licence : str
            Of the data.

    Raises
    ------
    FileNotFoundError
        If the files are in no folder and OpenML cannot be reached, or with `describe_codes` if
        there is no `IDS_mapping.csv` (OpenML has not got it).
    ValueError
        If an argument is not one of the above, or the table lacks a column.

    Notes
    -----
    `examide` and `citoglipton` have the same value in every row.

    References
    ----------
    .. [1] Strack et al., "Impact of HbA1c measurement on hospital readmission rates: analysis of
       70,000 clinical database patient records", BioMed Research International 2014:781670.

    Examples
    --------
    >>> from sknninterp.datasets import load_diabetes_readmission
    >>> bunch = load_diabetes_readmission()  # doctest: +SKIP
    >>> bunch.data.shape, int(bunch.target.sum())  # doctest: +SKIP
    ((69973, 46), 6277)
    """
    check_choice("target", target, _TARGETS)
    check_choice("cleaning", cleaning, ("strack", None))
    check_choice("age", age, ("midpoint", "interval"))
    if first_encounter is None:
        first_encounter = cleaning == "strack"
    meanings = _read_meanings(data_home) if describe_codes else {}
    encounters = _select_encounters(_read_readmission(data_home), cleaning, first_encounter)
    codes, names = _TARGETS[target]
    y = encounters["readmitted"].astype(object).map(codes).astype(np.int64)
    groups = encounters["patient_nbr"]
    X = encounters.drop(columns=["patient_nbr", "readmitted"] + ["weight"] * drop_weight)
    X = _encode_readmission(X, group_diagnoses, meanings, age)
    if return_X_y:
        return X, y
    return make_bunch(
        _READMISSION,
        data=X,
        target=y,
        groups=groups,
        feature_names=list(X.columns),
        target_names=list(names),
    )


def group_icd9(codes: pd.Series | np.ndarray | list) -> pd.Series:
    """Group ICD-9 codes in the nine groups of Strack et al., Table 2.

    ================  ================================================
    group             ICD-9 codes
    ================  ================================================
    circulatory       390-459, 785
    respiratory       460-519, 786
    digestive         520-579, 787
    diabetes          250 and its subdivisions
    injury            800-999
    musculoskeletal   710-739
    genitourinary     580-629, 788
    neoplasms         140-239
    other             everything else, the V and E codes included
    ================  ================================================

    Parameters
    ----------
    codes : array-like of shape (n_samples,)
        Codes as strings ("250.83", "V57") or numbers (250.83); missing values stay missing.

    Returns
    -------
    groups : Series of shape (n_samples,), category
        With the index of `codes` if that is a Series.

    Raises
    ------
    ValueError
        If a code is not an ICD-9 code.

    References
    ----------
    .. [1] Strack et al., "Impact of HbA1c measurement on hospital readmission rates: analysis of
       70,000 clinical database patient records", BioMed Research International 2014:781670,
       Table 2.

    Examples
    --------
    >>> from sknninterp.datasets import group_icd9
    >>> group_icd9(["428", "250.83", "V57", None]).tolist()
    ['circulatory', 'diabetes', 'other', nan]
    """
    codes = pd.Series(codes)
    values = codes.astype(object)
    group_of = {code: _icd9_group(str(code).strip()) for code in values.dropna().unique()}
    groups = pd.Categorical(values.map(group_of), categories=_ICD9_GROUPS)
    return pd.Series(groups, index=codes.index, name=codes.name)


def _read_readmission(data_home: Any) -> pd.DataFrame:
    """The raw table, indexed by encounter: counts and ids int64, the rest category."""
    names = [_READMISSION_FILE]
    paths = find_files(_READMISSION, names, data_home)
    numbers = [*_IDS, *_CODES, *_COUNTS]
    if paths is None:
        table = fetch(_READMISSION, names, data_home, as_frame=True).frame.copy()
    else:
        columns = pd.read_csv(paths[0], nrows=0).columns
        nominal = dict.fromkeys(columns.difference(numbers), "category")
        # Without keep_default_na=False pandas would read "None" as missing.
        table = pd.read_csv(paths[0], na_values="?", keep_default_na=False, dtype=nominal)
    wanted = [*numbers, *_DIAGNOSES, *_TESTS, "age", "weight", "readmitted"]
    require_columns(table, wanted, _READMISSION)
    if paths is None:
        # A copy may have taken "None", "not measured", as missing.
        for name in _TESTS:
            table[name] = table[name].astype(object).fillna("None").astype("category")
    # OpenML may type ids and counts as nominal.
    for name in numbers:
        table[name] = pd.to_numeric(table[name].astype(object)).astype(np.int64)
    return table.set_index("encounter_id")


def _select_encounters(
    table: pd.DataFrame, cleaning: str | None, first_encounter: bool
) -> pd.DataFrame:
    if first_encounter:
        first = table["patient_nbr"].sort_index().drop_duplicates().index
        table = table[table.index.isin(first)]
    if cleaning == "strack":
        table = table[~table["discharge_disposition_id"].isin(_DEATH_OR_HOSPICE)]
    return table


def _encode_readmission(
    X: pd.DataFrame, group_diagnoses: bool, meanings: dict | None, age: str
) -> pd.DataFrame:
    X = X.copy()
    for name in _CODES:
        codes = X[name].map(meanings[name]) if meanings else X[name]
        levels = codes.dropna().drop_duplicates().sort_values()
        X[name] = pd.Categorical(codes.astype(str), categories=levels.astype(str))
    if group_diagnoses:
        for name in _DIAGNOSES:
            X[name] = group_icd9(X[name])
    intervals = X["age"].astype(object)
    ages = {interval: _midpoint(interval) for interval in intervals.dropna().unique()}
    if age == "midpoint":
        X["age"] = intervals.map(ages).astype(np.float64)
    else:
        X["age"] = pd.Categorical(intervals, sorted(ages, key=ages.__getitem__), ordered=True)
    nominal = X.columns[X.dtypes == "category"]
    X[nominal] = X[nominal].apply(lambda column: column.cat.remove_unused_categories())
    return X


def _midpoint(interval: str) -> float:
    ends = re.fullmatch(r"\[(\d+)-(\d+)\)", interval)
    if ends is None:
        raise ValueError(f"age {interval!r} is no interval such as '[70-80)'.")
    low, high = ends.groups()
    return (int(low) + int(high)) / 2


def _read_meanings(data_home: Any) -> dict[str, dict[int, str]]:
    """Code -> meaning for each coded column; the file is three tables one after another."""
    path = require_files(_READMISSION, [_MAPPING_FILE], data_home)[0]
    rows = pd.read_csv(path, header=None, names=["code", "meaning"], dtype=str, na_filter=False)
    meanings: dict[str, dict[int, str]] = {}
    for code, meaning in rows.itertuples(index=False):
        if code in _CODES:
            current = meanings.setdefault(code, {})
        elif code:
            current[int(code)] = meaning.strip()
    return meanings


def _icd9_group(code: str) -> str:
    match = _ICD9_CODE.fullmatch(code)
    if match is None:
        raise ValueError(f"codes must be ICD-9 codes such as '250.83' or 'V57', got {code!r}")
    category = match["category"]
    if category[0] in "VE":
        return "other"
    for group, ranges in _ICD9_RANGES.items():
        if any(low <= int(category) <= high for low, high in ranges):
            return group
    return "other"
