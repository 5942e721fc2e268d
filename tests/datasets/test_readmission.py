from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sklearn.utils import Bunch

from sknninterp.datasets import group_icd9, load_diabetes_readmission

COUNTS = [
    "time_in_hospital",
    "num_lab_procedures",
    "num_procedures",
    "num_medications",
    "number_outpatient",
    "number_emergency",
    "number_inpatient",
    "number_diagnoses",
]
MAPPING = """admission_type_id,description
1,Emergency
6,NULL
,
discharge_disposition_id,description
1,Discharged to home
11,Expired
19,"Expired at home. Medicaid only, hospice."
13,Hospice / home
,
admission_source_id,description
9, Not Available
15,Not Available
7, Emergency Room
"""

# encounter, patient, disposition, source, readmitted; in no order, as in the original.
ENCOUNTERS = [
    (50, 1, 1, 7, "NO"),
    (20, 1, 1, 9, "<30"),
    (30, 2, 11, 15, ">30"),
    (40, 2, 1, 7, ">30"),
    (10, 3, 1, 7, ">30"),
    (60, 4, 19, 7, "NO"),
    (70, 5, 1, 7, "<30"),
]


def make_table():
    table = pd.DataFrame(
        ENCOUNTERS,
        columns=[
            "encounter_id",
            "patient_nbr",
            "discharge_disposition_id",
            "admission_source_id",
            "readmitted",
        ],
    )
    n = len(table)
    table = table.assign(admission_type_id=1, **dict.fromkeys(COUNTS, 3))
    return table.assign(
        race=["Caucasian", "?", "Asian", "Other", "Asian", "Asian", "Asian"],
        age=["[0-10)", "[90-100)", "[10-20)", "[10-20)", "[50-60)", "[50-60)", "[0-10)"],
        weight=["?"] * (n - 1) + ["[75-100)"],
        diag_1=["250.83", "428", "?", "V57", "786", "E909", "8"],
        diag_2="401",
        diag_3="157",
        max_glu_serum="None",
        A1Cresult=["None", ">7", "Norm", "None", ">8", "None", "None"],
        insulin=["No", "Up", "No", "Steady", "No", "No", "Down"],
    )


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "diabetes_readmission"
    place.mkdir()
    with gzip.open(place / "diabetic_data.csv.gz", "wt") as file:
        make_table().to_csv(file, index=False)
    (place / "IDS_mapping.csv").write_text(MAPPING)
    return tmp_path


def test_first_encounter_then_deaths_out(folder):
    bunch = load_diabetes_readmission(data_home=folder)
    # Patient 2 died at the first encounter, patient 4 at the only one.
    assert bunch.data.index.tolist() == [20, 10, 70]
    assert bunch.groups.tolist() == [1, 3, 5]
    assert bunch.target.tolist() == [1, 0, 1]
    for part in (bunch.target, bunch.groups):
        pd.testing.assert_index_equal(part.index, bunch.data.index)


@pytest.mark.parametrize(
    ("cleaning", "first", "expected"),
    [
        ("strack", False, [50, 20, 40, 10, 70]),
        (None, True, [20, 30, 10, 60, 70]),
        (None, None, [50, 20, 30, 40, 10, 60, 70]),
        (None, False, [50, 20, 30, 40, 10, 60, 70]),
    ],
)
def test_which_encounters(cleaning, first, expected, folder):
    X, y = load_diabetes_readmission(
        cleaning=cleaning, first_encounter=first, data_home=folder, return_X_y=True
    )
    assert X.index.tolist() == expected
    assert y.index.tolist() == expected


def test_deaths_and_hospices_are_left_out(folder):
    codes = range(1, 31)
    table = pd.concat([make_table().iloc[:1]] * len(codes), ignore_index=True)
    table = table.assign(encounter_id=codes, patient_nbr=codes, discharge_disposition_id=codes)
    with gzip.open(folder / "diabetes_readmission" / "diabetic_data.csv.gz", "wt") as file:
        table.to_csv(file, index=False)
    X = load_diabetes_readmission(data_home=folder).data
    assert X.index.tolist() == sorted(set(codes) - {11, 13, 14, 19, 20, 21})


def test_ids_are_not_features(folder):
    bunch = load_diabetes_readmission(data_home=folder)
    assert bunch.feature_names == list(bunch.data.columns)
    assert not {"encounter_id", "patient_nbr", "readmitted", "weight"} & set(bunch.feature_names)
    assert "weight" in load_diabetes_readmission(drop_weight=False, data_home=folder).data


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("<30", [0, 1, 0, 0, 0, 0, 1]),
        ("any", [0, 1, 1, 1, 1, 0, 1]),
        ("three", [0, 2, 1, 1, 1, 0, 2]),
    ],
)
def test_targets(target, expected, folder):
    bunch = load_diabetes_readmission(target=target, cleaning=None, data_home=folder)
    assert bunch.target.tolist() == expected
    assert len(bunch.target_names) == len(set(expected))


def test_missing_is_not_the_same_as_not_measured(folder):
    X = load_diabetes_readmission(cleaning=None, data_home=folder).data
    assert X["A1Cresult"].tolist() == ["None", ">7", "Norm", "None", ">8", "None", "None"]
    assert X["max_glu_serum"].notna().all()
    assert X["race"].isna().tolist() == [False, True] + [False] * 5
    assert X["diag_1"].isna().tolist() == [False, False, True] + [False] * 4


def test_diagnoses_grouped_or_as_recorded(folder):
    options = {"cleaning": None, "data_home": folder}
    X = load_diabetes_readmission(**options).data
    groups = ["diabetes", "circulatory", np.nan, "other", "respiratory", "other", "other"]
    pd.testing.assert_series_equal(
        X["diag_1"].astype(object), pd.Series(groups, X.index, object, "diag_1")
    )
    assert X["diag_3"].unique().tolist() == ["neoplasms"]
    raw = load_diabetes_readmission(group_diagnoses=False, **options).data
    assert raw["diag_1"].dropna().tolist() == ["250.83", "428", "V57", "786", "E909", "8"]


def test_ages(folder):
    options = {"cleaning": None, "data_home": folder}
    midpoints = load_diabetes_readmission(**options).data["age"]
    assert midpoints.tolist() == [5, 95, 15, 15, 55, 55, 5]
    intervals = load_diabetes_readmission(age="interval", **options).data["age"]
    assert intervals.cat.ordered
    np.testing.assert_array_equal(intervals.cat.codes.rank(), midpoints.rank())


def test_coded_columns(folder):
    options = {"cleaning": None, "data_home": folder}
    codes = load_diabetes_readmission(**options).data
    assert codes["discharge_disposition_id"].tolist() == ["1", "1", "11", "1", "1", "19", "1"]
    assert codes["admission_source_id"].cat.categories.tolist() == ["7", "9", "15"]
    words = load_diabetes_readmission(describe_codes=True, **options).data
    assert words["admission_type_id"].unique().tolist() == ["Emergency"]
    assert words["discharge_disposition_id"].tolist()[5] == (
        "Expired at home. Medicaid only, hospice."
    )
    # 9 and 15 mean the same.
    assert words["admission_source_id"].cat.categories.tolist() == [
        "Emergency Room",
        "Not Available",
    ]


def test_nominal_columns_are_categories_in_use(folder):
    X = load_diabetes_readmission(data_home=folder).data
    assert (X[COUNTS].dtypes == np.int64).all()
    nominal = X.columns.difference([*COUNTS, "age"])
    assert (X[nominal].dtypes == "category").all()
    for name in nominal:
        assert set(X[name].cat.categories) == set(X[name].dropna())


def test_openml_equals_the_folder(folder, openml):
    expected = load_diabetes_readmission(data_home=folder, drop_weight=False)
    frame = make_table().replace("?", np.nan)
    # The worst of what a copy may have done: nominal ids, "None" taken as missing.
    frame = frame.mask(frame == "None")
    for name in frame.columns.difference(COUNTS):
        frame[name] = frame[name].astype("category")
    before = frame.copy()
    calls = openml(Bunch(frame=frame))
    got = load_diabetes_readmission(drop_weight=False)
    assert [call["data_id"] for call in calls] == [4541]
    pd.testing.assert_frame_equal(got.data, expected.data, check_index_type=False)
    pd.testing.assert_series_equal(got.target, expected.target)
    pd.testing.assert_series_equal(got.groups, expected.groups)
    pd.testing.assert_frame_equal(frame, before)


def test_meanings_need_their_file(folder, openml):
    (folder / "diabetes_readmission" / "IDS_mapping.csv").unlink()
    assert len(load_diabetes_readmission(data_home=folder).data) == 3
    with pytest.raises(FileNotFoundError, match=r"has no IDS_mapping\.csv"):
        load_diabetes_readmission(describe_codes=True, data_home=folder)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"target": "<60"}, "target must be one of '<30', 'any', 'three', got '<60'"),
        ({"cleaning": "none"}, "cleaning must be one of 'strack', None, got 'none'"),
        ({"age": "years"}, "age must be one of 'midpoint', 'interval', got 'years'"),
    ],
)
def test_wrong_arguments(argument, message, folder):
    with pytest.raises(ValueError, match=message):
        load_diabetes_readmission(data_home=folder, **argument)


def test_missing_column_is_named(folder):
    with gzip.open(folder / "diabetes_readmission" / "diabetic_data.csv.gz", "wt") as file:
        make_table().drop(columns=["diag_2"]).to_csv(file, index=False)
    with pytest.raises(ValueError, match=r"has no columns \['diag_2'\]"):
        load_diabetes_readmission(data_home=folder)


def test_missing_column_of_openml_is_named(openml):
    openml(Bunch(frame=make_table().drop(columns=["A1Cresult"])))
    with pytest.raises(ValueError, match=r"has no columns \['A1Cresult'\]"):
        load_diabetes_readmission()


def expected_group(category):
    """Strack et al., Table 2, written out as one condition a group."""
    if category == 250:
        return "diabetes"
    if 390 <= category < 460 or category == 785:
        return "circulatory"
    if 460 <= category < 520 or category == 786:
        return "respiratory"
    if 520 <= category < 580 or category == 787:
        return "digestive"
    if 580 <= category < 630 or category == 788:
        return "genitourinary"
    if 140 <= category < 240:
        return "neoplasms"
    if 710 <= category < 740:
        return "musculoskeletal"
    return "injury" if category >= 800 else "other"


def test_every_icd9_category():
    groups = group_icd9([str(category) for category in range(1, 1000)])
    assert groups.tolist() == [expected_group(category) for category in range(1, 1000)]


@settings(deadline=None, max_examples=100)
@given(category=st.integers(1, 999), digits=st.text("0123456789", max_size=2), pad=st.booleans())
def test_subdivisions_stay_in_their_group(category, digits, pad):
    code = f"{category:03d}" if pad else str(category)
    code = f"{code}.{digits}" if digits else code
    assert group_icd9([code, float(code)]).tolist() == [expected_group(category)] * 2


@settings(deadline=None, max_examples=50)
@given(letter=st.sampled_from("VE"), category=st.integers(0, 999))
def test_supplementary_codes_are_other(letter, category):
    assert group_icd9([f"{letter}{category:02d}"]).tolist() == ["other"]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(["250.01", "V10", "999", None, np.nan]), max_size=20))
def test_grouping_keeps_places_and_missing_values(codes):
    series = pd.Series(codes, index=[f"row {i}" for i in range(len(codes))], name="diag")
    groups = group_icd9(series)
    pd.testing.assert_index_equal(groups.index, series.index)
    assert groups.name == "diag"
    np.testing.assert_array_equal(groups.isna(), series.isna())
    assert len(groups.cat.categories) == 9


@pytest.mark.parametrize("code", ["", "I10", "E11.9x", "1000", "250.123", "-5", "abc", "25O"])
def test_what_is_no_icd9_code(code):
    with pytest.raises(ValueError, match=f"codes must be ICD-9 codes .* got '{code}'"):
        group_icd9(["250", code])


def test_real_file_as_it_is(real_data):
    bunch = load_diabetes_readmission(
        target="three", cleaning=None, group_diagnoses=False, drop_weight=False
    )
    assert bunch.data.shape == (101766, 47)
    assert np.bincount(bunch.target).tolist() == [54864, 35545, 11357]
    assert bunch.groups.nunique() == 71518
    missing = bunch.data.isna().sum()
    assert missing[missing > 0].to_dict() == {
        "race": 2273,
        "weight": 98569,
        "payer_code": 40256,
        "medical_specialty": 49949,
        "diag_1": 21,
        "diag_2": 358,
        "diag_3": 1423,
    }


def test_real_file_cleaned(real_data):
    bunch = load_diabetes_readmission(describe_codes=True)
    assert bunch.data.shape == (69973, 46)
    assert bunch.target.sum() == 6277
    assert bunch.groups.is_unique
    words = bunch.data["discharge_disposition_id"].cat.categories
    assert not words.str.contains("Expired|Hospice").any()
    assert bunch.data["age"].between(5, 95).all()
    # Strack et al. report 30.6 % circulatory, 13.6 % respiratory, 8.2 % diabetes among
    # their 69,984 encounters.
    shares = bunch.data["diag_1"].value_counts(normalize=True, dropna=False)
    expected = {"circulatory": 0.306, "respiratory": 0.136, "diabetes": 0.082}
    for group, share in expected.items():
        assert shares[group] == pytest.approx(share, abs=1e-3)


def test_real_number_inpatient_ranks_readmission(real_data):
    bunch = load_diabetes_readmission(cleaning=None)
    aucs = {name: roc_auc_score(bunch.target, bunch.data[name]) for name in COUNTS}
    assert max(aucs, key=aucs.get) == "number_inpatient"
    assert aucs["number_inpatient"] == pytest.approx(0.606, abs=1e-3)
