from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

import sknninterp
from sknninterp import (
    IntegratedGradientsExplainer,
    PWPExplainer,
    RepeatedExplainer,
    TorchMLPClassifier,
    report,
)
from sknninterp.reporting._report import _study, write

from .conftest import classifier  # isort: skip


def test_it_is_a_function_of_the_package():
    assert sknninterp.report is report and callable(report)


def test_fitted_with_other_rows(tmp_path, table):
    X, y = table
    model = classifier().fit(X[:80], y[:80])
    path = report(model, X[:80], y[:80], X_test=X[80:], y_test=y[80:], path=tmp_path / "r.html")
    text = path.read_text(encoding="utf-8")
    assert path == tmp_path / "r.html"
    assert "<title>What predicts outcome?</title>" in text
    assert "80 for training, 40 to score and explain" in text
    assert "may have been trained on these rows" not in text
    assert [one.name for one in tmp_path.iterdir()] == ["r.html"]


def test_fitted_without_other_rows(tmp_path, table):
    X, y = table
    path = report(
        classifier().fit(X, y), X, y, path=str(tmp_path / "r"), title="A title", evaluate=False
    )
    text = path.read_text(encoding="utf-8")
    assert "may have been trained on these rows" in text and "<title>A title</title>" in text


def test_unfitted_is_fitted_on_three_quarters(table):
    X, y = table
    model = classifier()
    study = _study(model, X, y, None, None, None, 0)
    assert len(study.X) == 30 and len(study.X_train) == 90
    assert set(study.X.index).isdisjoint(study.X_train.index)
    assert not hasattr(model[-1], "net_")
    assert study.target == "outcome"
    other = _study(model, X, y, None, None, None, 1)
    assert set(study.X.index) != set(other.X.index)


def test_unfitted_with_rows_to_test_it(table):
    X, y = table
    study = _study(classifier(), X[:80], y[:80], X[80:], None, None, 0)
    assert len(study.X) == 40 and study.y is None and len(study.y_train) == 80


def test_the_same_page_twice(tmp_path, table):
    X, y = table
    texts = [
        report(classifier(), X, y, path=tmp_path / "r", random_state=3, n_rows=9).read_text(
            encoding="utf-8"
        )
        for _ in range(2)
    ]
    assert texts[0] == texts[1]


def test_explainers(table):
    X, y = table
    model = classifier().fit(X, y)

    def explained(explainer):
        return _study(model, X, y, None, None, explainer, 0).explainer

    default = explained(None)
    assert isinstance(default, PWPExplainer) and default.signed
    given = IntegratedGradientsExplainer(n_steps=5)
    found = explained(given)
    assert found.n_steps == 5 and found.estimator_ is model
    assert given.estimator is None and not hasattr(given, "estimator_")
    fitted = PWPExplainer(model).fit(X)
    assert explained(fitted) is fitted
    with pytest.raises(TypeError, match="LogisticRegression has no `fit` and `explain`"):
        explained(LogisticRegression())


def test_repeats_are_trained_on_the_training_rows(table, monkeypatch):
    X, y = table
    seen = []
    fit = RepeatedExplainer.fit
    monkeypatch.setattr(
        RepeatedExplainer, "fit", lambda s, X, y: (seen.append(len(X)), fit(s, X, y))[1]
    )
    repeated = RepeatedExplainer(n_repeats=2, random_state=0)
    study = _study(classifier(), X[:80], y[:80], X[80:], y[80:], repeated, 0)
    assert seen == [80]
    assert repeated.explainer is None
    assert study.first_explainer.signed
    assert len(study.explainer.explainers_) == 2


def test_repeats_on_a_page(tmp_path, table):
    X, y = table
    path = report(
        classifier(),
        X,
        y,
        explainer=RepeatedExplainer(n_repeats=2, random_state=0),
        path=tmp_path / "r",
    )
    assert "mean of 2 repeats" in path.read_text(encoding="utf-8")


def test_searches_show_what_they_tried(tmp_path, table):
    X, y = table
    grid = {"antclassifier__pruning_rate": [0.0, 0.5]}
    search = GridSearchCV(classifier(max_epochs=3), grid, cv=2)
    path = report(search, X, y, path=tmp_path / "r", evaluate=False)
    assert "Settings tried by cross-validation" in path.read_text(encoding="utf-8")


def test_images(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.random((40, 1, 4, 4)).astype(np.float32)
    y = (X[:, 0, :2].sum((1, 2)) > X[:, 0, 2:].sum((1, 2))).astype(int)

    def network(n_inputs, n_outputs):
        import torch

        return torch.nn.Sequential(
            torch.nn.Conv2d(1, 2, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Flatten(),
            torch.nn.Linear(8, n_outputs),
        )

    model = TorchMLPClassifier(module=network, max_epochs=5, random_state=0)
    path = report(model, X, y, path=tmp_path / "r")
    text = path.read_text(encoding="utf-8")
    assert '"image":[4,4]' in text and '"pixel 3,3"' in text
    flat = TorchMLPClassifier((4,), max_epochs=5, random_state=0)
    text = report(
        flat, X.reshape(40, 16), y, path=tmp_path / "r", image_shape=(4, 4), evaluate=False
    ).read_text(encoding="utf-8")
    assert '"image":[4,4]' in text
    with pytest.raises(ValueError, match=r"image_shape=\(3, 3\) must be .* of 16 features"):
        report(flat, X.reshape(40, 16), y, path=tmp_path / "r", image_shape=(3, 3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_rows": -1}, "n_rows=-1"),
        ({"n_rows": 1.5}, "n_rows=1.5"),
        ({"random_state": None}, "random_state=None"),
        ({"y": None}, "y=None, but Pipeline is still to be fitted"),
        ({"y": np.zeros((120, 2))}, "y must have one dimension"),
        ({"y": [1, 2]}, "inconsistent numbers of samples"),
        ({"y_test": [1, 2]}, "y_test is given, but X_test=None"),
        ({"X_test": "X", "y_test": "y", "y": None}, "y=None, but y_test is given"),
    ],
    ids=str,
)
def test_what_does_not_fit(tmp_path, table, changes, message):
    X, y = table
    options = {"X": X, "y": y, **changes}
    options = {
        k: {"X": X, "y": y}.get(v, v) if isinstance(v, str) else v for k, v in options.items()
    }
    with pytest.raises(ValueError, match=message):
        report(classifier(), path=tmp_path / "r.html", **options)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("fitted", [True, False])
def test_no_network(tmp_path, table, fitted):
    X, y = table
    forest = RandomForestClassifier(2)
    with pytest.raises(TypeError, match="RandomForestClassifier holds no network"):
        report(forest.fit(X, y) if fitted else forest, X, y, path=tmp_path / "r.html")


def test_what_is_no_character_is_written_all_the_same(tmp_path):
    path = write("half a pair \ud83d", tmp_path / "r.html")
    assert path.read_text(encoding="utf-8") == "half a pair &#55357;"


def test_a_folder_that_is_not_there(tmp_path, table):
    X, y = table
    with pytest.raises(OSError, match="nowhere"):
        report(classifier(), X, y, path=tmp_path / "nowhere" / "r.html", evaluate=False)


def test_arrays_have_no_name(table):
    X, y = table
    study = _study(classifier(), X, y.to_numpy(), None, None, None, 0)
    assert study.target == "the outcome"
    assert isinstance(study.X, pd.DataFrame)


def test_frames_of_polars(tmp_path, table):
    polars = pytest.importorskip("polars")
    X, y = table
    frame = polars.from_dict({name: column.tolist() for name, column in X.items()})
    path = report(classifier(), frame, y.to_numpy(), path=tmp_path / "r")
    text = path.read_text(encoding="utf-8")
    assert "5 (all numbers)" in text and "Left out" not in text
