from __future__ import annotations

import pytest

from sknninterp.cli._demo import load_demo
from sknninterp.cli._messages import CommandError


def test_breast_cancer_is_a_table_with_words_for_classes():
    frame, settings, title = load_demo("breast-cancer", None)
    assert frame.shape == (569, 31)
    assert settings == {"target": "diagnosis", "positive": "malignant"}
    assert frame["diagnosis"].value_counts().to_dict() == {"benign": 357, "malignant": 212}
    assert title.endswith("?")


def test_readmission_that_is_not_there(tmp_path, monkeypatch):
    def no_network(**options):
        raise OSError("no network")

    monkeypatch.setattr("sknninterp.datasets._base.fetch_openml", no_network)
    monkeypatch.delenv("SKNNINTERP_DATA", raising=False)
    with pytest.raises(CommandError, match="diabetic_data.csv.gz"):
        load_demo("readmission", tmp_path)
    with pytest.raises(CommandError, match="SKNNINTERP_DATA is not set"):
        load_demo("readmission", None)


def test_readmission_keeps_all_stays_of_a_patient(data_home):
    frame, settings, _ = load_demo("readmission", data_home)
    assert len(frame) == 99_343  # all encounters but those that ended in death or a hospice
    assert frame["patient_nbr"].duplicated().any()
    assert set(frame["readmitted"]) == {"<30", "not within 30 days"}
    assert frame["discharge_disposition_id"].eq("Discharged to home").any()
    assert settings == {"target": "readmitted", "positive": "<30", "group": "patient_nbr"}
