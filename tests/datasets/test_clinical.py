from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

from sknninterp.datasets import load_heart_disease, load_pima_diabetes

HEART = """age,sex,cp,trestbps,chol,fbs,restecg,thalach,exang,oldpeak,slope,ca,thal,num
63.0,1.0,1.0,145.0,233.0,1.0,2.0,150.0,0.0,2.3,3.0,0.0,6.0,0
67.0,1.0,4.0,160.0,286.0,0.0,2.0,108.0,1.0,1.5,2.0,,3.0,2
41.0,0.0,2.0,130.0,204.0,0.0,1.0,172.0,0.0,1.4,1.0,0.0,,1
44.0,1.0,3.0,120.0,263.0,0.0,0.0,173.0,0.0,0.0,1.0,0.0,7.0,0
"""
PIMA = """pregnancies,glucose,blood_pressure,skin_thickness,insulin,bmi,pedigree,age,outcome
0,148,72,35,0,33.6,0.627,50,1
1,0,0,0,94,0,0.351,31,0
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "small_tabular").mkdir()
    (tmp_path / "small_tabular" / "heart_cleveland.csv").write_text(HEART)
    (tmp_path / "small_tabular" / "pima_diabetes.csv").write_text(PIMA)
    return tmp_path


def openml_heart():
    """The four patients above as OpenML's copy has them."""
    levels = {
        "sex": ["male", "male", "female", "male"],
        "cp": ["typ_angina", "asympt", "atyp_angina", "non_anginal"],
        "fbs": ["t", "f", "f", "f"],
        "restecg": ["left_vent_hyper", "left_vent_hyper", "st_t_wave_abnormality", "normal"],
        "exang": ["no", "yes", "no", "no"],
        "slope": ["down", "flat", "up", "up"],
        "thal": ["fixed_defect", "normal", None, "reversable_defect"],
        "num": ["<50", ">50_1", ">50_1", "<50"],
    }
    frame = pd.DataFrame(
        {
            "age": [63.0, 67, 41, 44],
            "sex": "",
            "cp": "",
            "trestbps": [145.0, 160, 130, 120],
            "chol": [233.0, 286, 204, 263],
            "fbs": "",
            "restecg": "",
            "thalach": [150.0, 108, 172, 173],
            "exang": "",
            "oldpeak": [2.3, 1.5, 1.4, 0],
            "slope": "",
            "ca": [0.0, np.nan, 0, 0],
            "thal": "",
            "num": "",
        }
    )
    for name, values in levels.items():
        frame[name] = pd.Categorical(values)
    return frame


def test_heart_disease(folder):
    bunch = load_heart_disease(data_home=folder)
    assert bunch.data.shape == (4, 13)
    assert bunch.target.tolist() == [0, 1, 1, 0]
    assert bunch.data.isna().sum()[lambda n: n > 0].to_dict() == {"ca": 1, "thal": 1}
    assert set(bunch.categorical_features) < set(bunch.feature_names)


def test_heart_disease_from_openml_equals_the_folder(folder, openml):
    X, y = load_heart_disease(data_home=folder, return_X_y=True)
    calls = openml(Bunch(frame=openml_heart()))
    X_openml, y_openml = load_heart_disease(return_X_y=True)
    pd.testing.assert_frame_equal(X, X_openml)
    pd.testing.assert_series_equal(y, y_openml)
    assert [call["data_id"] for call in calls] == [49]


def test_heart_disease_level_that_is_not_known(openml):
    frame = openml_heart()
    frame["slope"] = pd.Categorical(["up", "sideways", "up", "up"])
    openml(Bunch(frame=frame))
    with pytest.raises(ValueError, match=r"'slope' must be one of .*'flat'.* got \['sideways'\]"):
        load_heart_disease()


def test_pima_zeros_that_mean_missing(folder):
    X, y = load_pima_diabetes(data_home=folder, return_X_y=True)
    assert X.isna().sum().to_dict() == {
        "pregnancies": 0,
        "glucose": 1,
        "blood_pressure": 1,
        "skin_thickness": 1,
        "insulin": 1,
        "bmi": 1,
        "pedigree": 0,
        "age": 0,
    }
    assert X.loc[0, "pregnancies"] == 0
    assert y.tolist() == [1, 0]


def test_pima_from_openml_equals_the_folder(folder, openml):
    X, y = load_pima_diabetes(data_home=folder, return_X_y=True)
    frame = pd.read_csv(folder / "small_tabular" / "pima_diabetes.csv")
    frame.columns = ["preg", "plas", "pres", "skin", "insu", "mass", "pedi", "age", "class"]
    frame["class"] = pd.Categorical(["tested_positive", "tested_negative"])
    calls = openml(Bunch(frame=frame))
    X_openml, y_openml = load_pima_diabetes(return_X_y=True)
    pd.testing.assert_frame_equal(X, X_openml)
    pd.testing.assert_series_equal(y, y_openml)
    assert [call["data_id"] for call in calls] == [37]


@pytest.mark.parametrize("load", [load_heart_disease, load_pima_diabetes])
def test_arrays_hold_what_the_frames_hold(load, folder):
    frames = load(data_home=folder)
    arrays = load(data_home=folder, as_frame=False)
    assert type(arrays.data) is np.ndarray
    assert type(arrays.target) is np.ndarray
    np.testing.assert_array_equal(arrays.data, frames.data.to_numpy())
    np.testing.assert_array_equal(arrays.target, frames.target.to_numpy())
    assert arrays.feature_names == list(frames.data.columns)


@pytest.mark.parametrize(
    ("load", "name", "column"),
    [
        (load_heart_disease, "heart_cleveland.csv", "num"),
        (load_pima_diabetes, "pima_diabetes.csv", "bmi"),
        (load_pima_diabetes, "pima_diabetes.csv", "outcome"),
    ],
)
def test_missing_column_is_named(load, name, column, folder):
    path = folder / "small_tabular" / name
    pd.read_csv(path).drop(columns=column).to_csv(path, index=False)
    with pytest.raises(ValueError, match=rf"has no columns \['{column}'\]"):
        load(data_home=folder)


def test_real_heart_disease(real_data):
    bunch = load_heart_disease()
    assert bunch.data.shape == (303, 13)
    assert np.bincount(bunch.target).tolist() == [164, 139]
    assert bunch.data.isna().sum()[lambda n: n > 0].to_dict() == {"ca": 4, "thal": 2}
    assert sorted(bunch.data["thal"].dropna().unique()) == [3, 6, 7]


def test_real_pima(real_data):
    bunch = load_pima_diabetes()
    assert bunch.data.shape == (768, 8)
    assert np.bincount(bunch.target).tolist() == [500, 268]
    assert bunch.data.isna().sum().tolist() == [0, 5, 35, 227, 374, 11, 0, 0]
