from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sknninterp import GarsonExplainer, IntegratedGradientsExplainer
from sknninterp.reporting import _rows
from sknninterp.reporting._rows import as_text, contributions, explain_rows


def with_gradients(study):
    explainer = IntegratedGradientsExplainer(study.estimator, baseline="mean", n_steps=200)
    return replace(study, explainer=explainer.fit(study.X))


@pytest.mark.parametrize("kind", ["single", "binary"])
def test_of_two_classes_contributions_add_up_to_the_log_odds(kind, request):
    study = with_gradients(request.getfixturevalue(kind))
    rows = explain_rows(study, np.arange(5), 1000)
    logits = [one.decision_function(study.X) for one in study.networks]
    np.testing.assert_allclose(rows.base + rows.sums, np.mean(logits, axis=0), atol=0.02)


def test_of_several_classes_to_the_logit_of_the_predicted_one(multiclass):
    study = with_gradients(multiclass)
    rows = explain_rows(study, np.arange(5), 1000)
    logits = study.estimator.decision_function(study.X).max(axis=1)
    np.testing.assert_allclose(rows.base + rows.sums, logits, atol=0.02)


def test_of_a_quantity_to_its_value(regression):
    study = with_gradients(regression)
    rows = explain_rows(study, np.arange(5), 1000)
    np.testing.assert_allclose(rows.base + rows.sums, study.outputs[:, 0], atol=0.02)
    assert rows.truth.tolist() == study.y.tolist()


def test_strongest_first_and_the_rest_summed(single, monkeypatch):
    monkeypatch.setattr(_rows, "FEATURES_PER_ROW", 2)
    monkeypatch.setattr(_rows, "_BATCH_VALUES", 30)  # three rows at a time
    rows = explain_rows(single, np.arange(5), 1000)
    values = contributions(single, single.X)[0]
    assert values.shape == (40, 5)
    for i, line in enumerate(values):
        order = sorted(range(5), key=lambda j: -abs(line[j]))
        assert rows.features[i].tolist() == order[:2]
        np.testing.assert_allclose(rows.values[i], line[order[:2]], rtol=1e-6)
        assert rows.rest[i] == pytest.approx(line[order[2:]].sum(), abs=1e-6)
        assert rows.cells[i, 0] == f"{single.X.iloc[i, order[0]]:.6g}"
    assert rows.names[:2] == ["p80", "p81"]
    assert rows.base is None and rows.signed and rows.gap is None
    np.testing.assert_array_equal(rows.truth, single.codes(single.y))


def test_some_rows_or_none(single):
    rows = explain_rows(single, np.arange(5), 7)
    chosen = single.drawn(7)
    assert rows.names == [f"p{80 + i}" for i in chosen]
    np.testing.assert_allclose(rows.outputs, single.outputs[chosen])
    assert explain_rows(single, np.arange(5), 0) is None


def test_without_labels(single):
    assert explain_rows(replace(single, y=None), np.arange(5), 5).truth is None


def test_swarm_has_the_first_of_the_ranking(single, monkeypatch):
    monkeypatch.setattr(_rows, "SWARM_FEATURES", 2)
    monkeypatch.setattr(_rows, "SWARM_ROWS", 10)
    values, cells = explain_rows(single, np.array([3, 1, 0, 2, 4]), 1000).swarm
    np.testing.assert_allclose(values, contributions(single, single.X)[0][:10, [3, 1]], rtol=1e-6)
    np.testing.assert_allclose(cells, single.X.iloc[:10, [3, 1]])


def test_unsigned(single):
    explainer = GarsonExplainer(single.estimator).fit(single.X)
    rows = explain_rows(replace(single, explainer=explainer), np.arange(5), 10)
    assert not rows.signed and (rows.values >= 0).all()


def test_contributions_that_miss_the_output_are_told(single):
    explainer = IntegratedGradientsExplainer(single.estimator, n_steps=1).fit(single.X)
    rows = explain_rows(replace(single, explainer=explainer), np.arange(5), 40)
    assert "miss the output" in rows.gap


def test_pictures(images, monkeypatch):
    pictures = explain_rows(images, np.arange(20), 1000, (5, 4)).pictures
    values = contributions(images, images.X)[0]
    expected = 127 * values / np.abs(values).max(1, keepdims=True)
    np.testing.assert_allclose(pictures.values, expected, atol=0.51)
    assert pictures.pixels.min() == 0 and pictures.pixels.max() == 255
    assert (pictures.height, pictures.width) == (5, 4)
    # Of two channels the sum.
    both = explain_rows(images, np.arange(20), 1000, (2, 5, 2)).pictures
    sums = values[:, :10] + values[:, 10:]
    np.testing.assert_allclose(
        both.values, 127 * sums / np.abs(sums).max(1, keepdims=True), atol=0.51
    )
    monkeypatch.setattr(_rows, "_MOST_PIXELS", 20)
    monkeypatch.setattr(_rows, "_BATCH_VALUES", 120)
    few = explain_rows(images, np.arange(20), 1000, (5, 4))
    assert len(few.pictures.values) < len(few.names)


def test_cells_as_text():
    cells = np.array([[1.5, np.nan, None], ["a", pd.NA, 3], [True, 1 / 3, pd.NaT]], dtype=object)
    assert as_text(cells).tolist() == [["1.5", "", ""], ["a", "", "3"], ["True", "0.333333", ""]]
    assert as_text(np.float32([[0.1]])).tolist() == [["0.1"]]
