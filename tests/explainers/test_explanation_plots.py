"""The plots of an explanation: which values they draw, and how they name them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sknninterp.explainers.explanation import Explanation


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize("kind", ["bar", "beeswarm", "heatmap", "waterfall"])
def test_plots_of_tables_return_axes_with_own_labels(table, kind):
    ax = getattr(table.plot, kind)(output="malignant", max_display=3, title="Title")
    assert isinstance(ax, Axes)
    texts = [a.get_ylabel() + a.get_xlabel() for a in ax.figure.axes]
    assert any("contribution (PWP) towards malignant" in text for text in texts)
    assert "SHAP" not in "".join(texts)
    ax.figure.savefig(io.BytesIO())
    own = Figure().subplots()
    assert getattr(table.plot, kind)(ax=own, output="benign") is own


def test_bar_stacks_all_outputs(table):
    ax = table.plot.bar()
    assert [t.get_text() for t in ax.get_legend().get_texts()] == table.output_names.tolist()
    total = sum(patch.get_width() for patch in ax.patches)
    assert total == pytest.approx(1)
    importances = table.importances().sort_values(ascending=False)
    assert [t.get_text() for t in ax.get_yticklabels()] == importances.index.tolist()
    widths = [sum(bars.patches[0].get_width() for bars in ax.containers)]
    assert widths[0] == pytest.approx(importances.iloc[0])


def with_spread(explanation, seed=0):
    spread = np.random.default_rng(seed).uniform(0.1, 0.5, explanation.shape)
    fields = ("feature_names", "output_names", "sample_names", "method")
    kept = {name: getattr(explanation, name) for name in fields}
    return Explanation(explanation.values, spread=spread, **kept)


@pytest.mark.parametrize("output", [None, "benign"])
@pytest.mark.parametrize("kind", ["bar", "forest"])
def test_spread_of_importances_is_drawn(table, kind, output):
    explanation = with_spread(table)
    ax = getattr(explanation.plot, kind)(output=output)
    order = [t.get_text() for t in ax.get_yticklabels()]
    centre, spread = explanation.importances(output), explanation.importance_spread(output)
    drawn = ax.containers[-1].lines[2][0] if kind == "bar" else ax.collections[0]
    expected = [[max(centre[n] - spread[n], 0), centre[n] + spread[n]] for n in order]
    np.testing.assert_allclose([s[:, 0] for s in drawn.get_segments()], expected)


def test_without_spread_there_is_none_to_draw(table):
    drawn = table.plot.bar().containers
    assert not any(type(one).__name__ == "ErrorbarContainer" for one in drawn)
    with pytest.raises(ValueError, match="no spread"):
        table.plot.forest()


@pytest.mark.parametrize("kind", ["beeswarm", "heatmap", "waterfall"])
def test_several_outputs_need_a_choice_but_two_show_the_last(table, kind):
    with pytest.raises(ValueError, match="output is needed.*'benign', 'malignant', 'unclear'"):
        getattr(table.plot, kind)()
    ax = getattr(table[..., :2].plot, kind)()
    texts = "".join(a.get_ylabel() + a.get_xlabel() for a in ax.figure.axes)
    assert "towards malignant" in texts


def test_waterfall_shows_one_sample(table):
    ax = table.plot.waterfall("patient 4", output="unclear")
    assert ax.get_title() == "sample patient 4"
    widths = sorted(patch.get_width() for patch in ax.patches)
    np.testing.assert_allclose(widths, sorted(table.values[4, :, 2]))
    with pytest.raises(ValueError, match="single position or name"):
        table.plot.waterfall([0, 1], output="unclear")


def test_own_targets_are_in_the_label():
    exp = Explanation([[1.0], [2.0]], target=["a", "b"])
    assert exp.plot.beeswarm().get_xlabel() == "contribution towards each sample's own output"
    number = Explanation([[1.0]], output_names=1)
    assert number.plot.waterfall().get_xlabel() == "contribution towards output 1"


def test_image_plots(images):
    figure = images.plot.image(max_display=2)
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 2 * 3 + 1
    own = Figure().subplots()
    assert images[0].plot.image(output=7, ax=own) is own


def test_plots_of_the_wrong_kind(table, images):
    with pytest.raises(ValueError, match="plot.image draws images"):
        table.plot.image()
    for kind in ("bar", "beeswarm", "heatmap", "waterfall"):
        with pytest.raises(ValueError, match=f"plot.{kind} draws tables.*use plot.image"):
            getattr(images.plot, kind)()
