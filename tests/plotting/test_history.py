"""Histories: widths and scores of tuned layers, losses and metrics of the training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from sknninterp import plotting


def test_tuning_history_draws_widths_and_scores(tuning):
    figure = plotting.tuning_history(tuning, [8, 4], n_epochs=6, title="ANT")
    widths, scores = figure.axes
    first, second = widths.lines
    assert first.get_xdata().tolist() == [0, 1, 2, 4, 6.5]
    assert first.get_ydata().tolist() == [8, 6, 5, 4, 4]
    assert second.get_ydata().tolist() == [4, 3, 2, 2]
    assert sum(len(c.get_offsets()) for c in scores.collections) == len(tuning)
    assert scores.lines[0].get_ydata().tolist() == [1.5, 0.5, 0.2]
    labels = [t.get_text() for t in widths.get_legend().get_texts()]
    assert labels == ["layer 0", "layer 1"]
    assert figure.get_suptitle() == "ANT"


def test_tuning_history_takes_names_of_layers(tuning):
    frame = tuning.assign(layer=tuning["layer"].map({0: "fc1", 1: "fc2"}))
    widths, _ = plotting.tuning_history(frame, {"fc1": 8, "fc2": 4}).axes
    assert [t.get_text() for t in widths.get_legend().get_texts()] == ["fc1", "fc2"]


def test_tuning_history_without_removals(tuning):
    widths, scores = plotting.tuning_history(tuning.iloc[:0], [8, 4], n_epochs=5).axes
    assert [set(line.get_ydata()) for line in widths.lines] == [{8}, {4}]
    assert [text.get_text() for text in scores.texts] == ["no neuron was removed"]


@pytest.mark.parametrize(
    ("change", "sizes", "message"),
    [
        (
            lambda frame: frame.drop(columns="score"),
            [8, 4],
            r"frame lacks the column\(s\) \['score'\]",
        ),
        (lambda frame: frame, [8], r"layer_sizes lacks layer 1; it has \[0\]"),
        (lambda frame: frame, [3, 4], "removes 4 neurons from layer 0"),
    ],
)
@pytest.mark.usefixtures("no_new_figure")
def test_bad_tuning_histories(change, sizes, message, tuning):
    with pytest.raises(ValueError, match=message):
        plotting.tuning_history(change(tuning), sizes)


@pytest.mark.usefixtures("no_new_figure")
def test_history_panels_need_as_many_axes(tuning):
    with pytest.raises(ValueError, match="ax must hold 2 Axes, one for each panel, got 1"):
        plotting.tuning_history(tuning, [8, 4], ax=Figure().subplots())


def test_training_history_groups_metrics(history):
    figure = plotting.training_history(history, title="Fit")
    assert [ax.get_ylabel() for ax in figure.axes] == ["loss", "acc", "entropy"]
    loss, accuracy, entropy = figure.axes
    assert [t.get_text() for t in loss.get_legend().get_texts()] == ["training", "validation"]
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), history["train_loss"])
    np.testing.assert_array_equal(accuracy.lines[0].get_ydata(), history["valid_acc"])
    assert entropy.get_legend() is None
    assert figure.get_suptitle() == "Fit"


def test_training_history_wraps_many_panels():
    history = pd.DataFrame(np.random.default_rng(0).random((4, 5)), columns=list("abcde"))
    axes = plotting.training_history(history).axes
    assert [ax.get_ylabel() for ax in axes] == list("abcde")
    assert axes[3].get_subplotspec().rowspan.start == 1
    assert axes[0].lines[0].get_xdata().tolist() == [1, 2, 3, 4]


def test_training_history_of_chosen_metrics(history):
    figure = plotting.training_history(history, metrics=["dur"])
    assert [ax.get_ylabel() for ax in figure.axes] == ["dur"]


def test_training_history_of_one_epoch_shows_a_point(history):
    (ax,) = plotting.training_history(history.iloc[:1], metrics=["train_loss"]).axes
    assert ax.lines[0].get_marker() == "o"


@pytest.mark.parametrize(
    ("change", "metrics", "message"),
    [
        (lambda frame: frame.iloc[:0], None, "history is empty"),
        (lambda frame: frame, ["auc"], r"history lacks the column\(s\) \['auc'\]"),
        (lambda frame: frame[["epoch", "note"]], None, "no numeric column"),
    ],
)
@pytest.mark.usefixtures("no_new_figure")
def test_bad_training_histories(change, metrics, message, history):
    with pytest.raises(ValueError, match=message):
        plotting.training_history(change(history), metrics=metrics)
