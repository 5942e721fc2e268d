from __future__ import annotations

import os
from urllib.error import URLError

import pytest

REAL_DATA = os.environ.get("SKNNINTERP_DATA")


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch):
    """No data folder and no network, unless a test says otherwise."""

    def offline(**kwargs):
        raise URLError("no network")

    monkeypatch.delenv("SKNNINTERP_DATA", raising=False)
    monkeypatch.setattr("sknninterp.datasets._base.fetch_openml", offline)


@pytest.fixture
def real_data(monkeypatch):
    """The folder of real data, through the environment variable."""
    if not REAL_DATA:
        pytest.skip("the environment variable SKNNINTERP_DATA names no folder of real data")
    monkeypatch.setenv("SKNNINTERP_DATA", REAL_DATA)
    return REAL_DATA


@pytest.fixture
def openml(monkeypatch):
    """Let OpenML answer with a given Bunch; returns the calls it received."""

    def answer_with(bunch):
        calls = []

        def fetch_openml(**kwargs):
            calls.append(kwargs)
            return bunch

        monkeypatch.setattr("sknninterp.datasets._base.fetch_openml", fetch_openml)
        return calls

    return answer_with
