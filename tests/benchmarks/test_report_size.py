"""The benchmark of reports: what it writes, and what it asks a browser."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import report_size
from sknninterp import TorchMLPClassifier


def toy(n=80):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 4))
    return X, np.where(X[:, 0] > 0, "ill", "well"), TorchMLPClassifier((4,), max_epochs=3), {}


def test_a_report_is_written(tmp_path):
    row = report_size.make("toy", toy(), tmp_path / "toy.html")
    assert row["data"] == "toy" and row["rows"] == 20 and row["features"] == 4
    assert row["MB"] == (tmp_path / "toy.html").stat().st_size / 1e6
    assert row["seconds to write"] > 0


def test_sample_has_all_classes():
    X, y, *_ = toy()
    few, labels = report_size._sample(X, y, 10)
    assert len(few) == len(labels) == 10 and set(labels) == {"ill", "well"}
    assert report_size._sample(X, y, 100)[0] is X


def test_noise_is_as_wide_as_it_should_be():
    X, y, _, options = report_size.noise(30, n_columns=50)
    assert X.shape == (30, 50) and set(y) == {"ill", "well"} and options == {}


class Page:
    """A page that answers as a browser would."""

    def __init__(self):
        self.events, self.visits, self.answers = {}, [], iter(range(1, 1000))

    def on(self, event, handler):
        self.events[event] = handler

    def goto(self, url):
        self.visits.append(url)
        self.events["console"](SimpleNamespace(text="an error"))

    def wait_for_selector(self, selector, state):
        assert selector == "[data-ready]"

    def evaluate(self, script, argument=None):
        return next(self.answers)


def test_medians_and_errors(tmp_path):
    page = Page()
    found = report_size.measure(page, tmp_path / "a.html")
    n = report_size.N_LOADS
    assert page.visits == [(tmp_path / "a.html").as_uri()] * n
    assert found["errors"] == n
    assert found["load"] == pytest.approx((1 + n) / 2)
    assert found["search"] == pytest.approx(n + (1 + report_size.N_KEYS) / 2)
