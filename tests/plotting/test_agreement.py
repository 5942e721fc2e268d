"""The heatmap of rank correlations: its numbers, its names, its colours."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sknninterp import plotting
from sknninterp.plotting import _common

METHODS = ["PWP after activation tuning with a long name", "Garson", "$influential$", "random"]


@pytest.fixture
def importances():
    """Importances of 40 features by four methods that agree in part, with ties."""
    rng = np.random.default_rng(0)
    shared = rng.exponential(size=40)
    values = [shared + 0.5 * i * rng.exponential(size=40) for i in range(4)]
    return pd.DataFrame(np.round(values, 1), index=METHODS)


def ranks_of(row):
    """Ranks with ties averaged."""
    return [sum(b < a for b in row) + (sum(b == a for b in row) + 1) / 2 for a in row]


def spearman(a, b):
    return np.corrcoef(ranks_of(a), ranks_of(b))[0, 1]


def kendall(a, b):
    """Kendall's tau-b over all pairs of features."""
    pairs = [(i, j) for i in range(len(a)) for j in range(i)]
    sign_a = np.array([np.sign(a[i] - a[j]) for i, j in pairs])
    sign_b = np.array([np.sign(b[i] - b[j]) for i, j in pairs])
    return (sign_a @ sign_b) / np.sqrt((sign_a @ sign_a) * (sign_b @ sign_b))


@pytest.mark.parametrize(("method", "correlation"), [("spearman", spearman), ("kendall", kendall)])
def test_cells_are_rank_correlations(method, correlation, importances, row_names):
    ax = plotting.rank_agreement(importances, method=method)
    assert isinstance(ax, Axes)
    shown = ax.images[0].get_array()
    rows = importances.to_numpy().tolist()
    written = {text.get_position(): text.get_text() for text in ax.texts}
    assert len(written) == 12
    values = []
    for i in range(4):
        assert shown[i, i] is np.ma.masked
        for j in range(4):
            if i != j:
                expected = correlation(rows[i], rows[j])
                assert shown[i, j] == pytest.approx(expected)
                assert written[j, i] == f"{expected:.2f}"
                values.append(expected)
    names = [_common.shorten(name) for name in METHODS]
    assert row_names(ax) == names
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        _common.shorten(name, 24) for name in METHODS
    ]
    assert ax.get_ylim() == (3.5, -0.5)
    assert ax.get_xlabel() == f"ranks of 40 features\n(mean of the pairs: {np.mean(values):.2f})"
    label = {"spearman": "Spearman's ρ", "kendall": "Kendall's τ"}[method]
    assert ax.figure.axes[-1].get_ylabel() == label


def test_colours_tell_the_sign(importances):
    picture = plotting.rank_agreement(importances).images[0]
    assert picture.get_clim() == (0, 1) and picture.get_cmap().name == _common.SEQUENTIAL
    importances.iloc[1] *= -1
    ax = plotting.rank_agreement(importances)
    picture = ax.images[0]
    assert picture.get_clim() == (-1, 1) and picture.get_cmap().name == _common.DIVERGING
    assert any(text.get_text().startswith("−0.") for text in ax.texts)
    assert not any("-" in text.get_text() for text in ax.texts)


@pytest.mark.parametrize("sign", [1, -1], ids=["all positive", "signed"])
def test_numbers_are_pale_on_dark_only(sign, importances):
    importances.iloc[0] *= sign
    ax = plotting.rank_agreement(importances)
    (picture,) = ax.images
    for text in ax.texts:
        column, row = text.get_position()
        red, green, blue, _ = picture.to_rgba(picture.get_array()[row, column])
        luminance = 0.299 * red + 0.587 * green + 0.114 * blue
        assert (text.get_color() == "white") == (luminance < 0.5)
    assert len({text.get_color() for text in ax.texts}) == 2


def test_a_correlation_of_nothing_has_no_sign():
    frame = pd.DataFrame(np.random.default_rng(139).random((2, 50)))
    assert -0.005 < spearman(*frame.to_numpy().tolist()) < 0
    assert {text.get_text() for text in plotting.rank_agreement(frame).texts} == {"0.00"}


def test_many_rankings_are_named_in_part(render):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.random((90, 20)), index=[f"seed {i}" for i in range(90)])
    ax = plotting.rank_agreement(frame)
    render(ax.figure)
    assert not ax.texts and max(ax.figure.get_size_inches()) < 15
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        named = [label.get_text() for label in labels if label.get_text()]
        assert named == [f"seed {i}" for i in range(0, 90, 3)]
        boxes = [label.get_window_extent() for label in labels if label.get_text()]
        assert not any(box.overlaps(other) for box, other in zip(boxes, boxes[1:], strict=False))
    assert len(plotting.rank_agreement(frame[:16]).texts) == 16 * 15
    assert not plotting.rank_agreement(frame[:17]).texts


@pytest.mark.parametrize("n", [2, 4])
def test_everything_is_within_a_new_current_figure(n, importances, render):
    before = plt.get_fignums()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = plotting.rank_agreement(importances[:n], title="Cohort $1$")
        figure = render(ax.figure)
    assert plt.gcf() is figure and plt.get_fignums() == [*before, figure.number]
    assert ax.get_title() == "Cohort $1$"
    box = figure.get_tightbbox()
    assert box.x0 >= 0 and box.y0 >= 0
    assert box.x1 <= figure.get_figwidth() and box.y1 <= figure.get_figheight()
    # The colour bar's numbers have room.
    labels = [label for label in figure.axes[-1].get_yticklabels() if label.get_text()]
    boxes = [label.get_window_extent() for label in labels]
    assert not any(box.overlaps(other) for box, other in zip(boxes, boxes[1:], strict=False))


@pytest.mark.usefixtures("no_new_figure")
def test_given_axes_are_used(importances):
    ax = Figure(figsize=(6, 5)).add_subplot()
    assert plotting.rank_agreement(importances, ax=ax) is ax and ax.has_data()
    with pytest.raises(TypeError, match="ax must be a matplotlib Axes"):
        plotting.rank_agreement(importances, ax="ax")


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda f: f[:1], {}, r"must have two rows and columns, got shape \(1, 40\)"),
        (lambda f: f[[0]], {}, r"must have two rows and columns, got shape \(4, 1\)"),
        (lambda f: f[:0], {}, "importances is empty"),
        (lambda f: f.where(f > f.min(axis=None)), {}, "importances holds NaN"),
        (lambda f: f.mul([1, 0, 1, 1], axis=0), {}, "'Garson' are all the same"),
        (lambda f: f, {"method": "pearson"}, "method must be 'spearman' or 'kendall'"),
    ],
    ids=["row", "column", "empty", "nan", "constant", "method"],
)
@pytest.mark.usefixtures("no_new_figure")
def test_bad_importances(change, options, message, importances):
    with pytest.raises(ValueError, match=message):
        plotting.rank_agreement(change(importances), **options)


def test_importances_must_have_names(importances):
    with pytest.raises(TypeError, match="importances must be a pandas DataFrame, got ndarray"):
        plotting.rank_agreement(importances.to_numpy())
