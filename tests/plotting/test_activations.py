"""Entropy beside accuracy, maps of activation probabilities, and neurons that classes share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy.stats import pearsonr, spearmanr

from sknninterp import plotting

ENTROPY = [90.0, 80.0, 85.0, 70.0, 60.0]
HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3, 4, 5],
        "train_loss": [1.0, 0.8, 0.5, 0.4, 0.3],
        "valid_loss": [1.1, 0.9, 0.8, 0.9, 0.9],
        "train_loss_best": [True] * 5,
        "entropy": ENTROPY,
        "entropy_hidden0": [9.0, 8.0, 7.0, 6.0, 5.0],
        "entropy_acc": [9.0, 8.0, 7.0, 6.0, 5.0],  # a layer of that name
        "note": list("abcde"),
        "train_acc": [0.5, 0.7, 0.6, 0.8, 0.9],
        "test_acc": [0.5, 0.6, 0.65, 0.65, 0.6],
    }
)
# Classes by neurons of two layers; the third and the last never fire.
P = np.array(
    [
        [0.9, 0.2, 0.0, 0.8, 0.5, 0.0, 0.6, 0.0],
        [0.1, 0.3, 0.0, 0.7, 0.1, 0.9, 0.1, 0.0],
        [0.2, 0.8, 0.0, 0.7, 0.1, 0.2, 0.7, 0.0],
    ]
)


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def correlations(entropy, metric):
    r, rho = pearsonr(entropy, metric)[0], spearmanr(entropy, metric)[0]
    return f"r {r:.2f}, ρ {rho:.2f}".replace("-", "−")


# --- entropy_history ----------------------------------------------------------------------------


def test_entropy_lies_above_the_accuracies(render):
    figure = render(plotting.entropy_history(HISTORY, title="Fit"))
    upper, lower = figure.axes
    assert upper.get_ylabel() == "entropy (bits)"
    assert lower.get_ylabel() == "accuracy"
    assert lower.get_xlabel() == "epoch"
    assert upper.get_position().y0 > lower.get_position().y1
    assert upper.get_xlim() == lower.get_xlim()
    (line,) = upper.lines
    assert line.get_ydata().tolist() == ENTROPY
    assert line.get_xdata().tolist() == [1, 2, 3, 4, 5]
    for line, name in zip(lower.lines, ["train_acc", "test_acc"], strict=True):
        assert line.get_ydata().tolist() == HISTORY[name].tolist()
    assert legend_of(lower) == [
        f"training: {correlations(ENTROPY, HISTORY['train_acc'])}",
        f"test: {correlations(ENTROPY, HISTORY['test_acc'])}",
    ]
    assert figure.get_suptitle() == "Fit"


def test_losses_where_there_are_no_accuracies():
    figure = plotting.entropy_history(HISTORY.drop(columns=["train_acc", "test_acc"]))
    _, lower = figure.axes
    assert lower.get_ylabel() == "loss"
    assert [label.split(":")[0] for label in legend_of(lower)] == ["training", "validation"]


def test_a_panel_for_every_kind_of_metric():
    figure = plotting.entropy_history(
        HISTORY.assign(_auc=HISTORY["test_acc"]),
        entropy="entropy_hidden0",
        metrics=["train_acc", "train_loss", "test_acc", "_auc"],
    )
    assert [ax.get_ylabel() for ax in figure.axes] == [
        "entropy hidden0 (bits)", "accuracy", "loss", "_auc",
    ]  # fmt: skip
    assert legend_of(figure.axes[2]) == ["training: r 0.98, ρ 1.00"]
    assert legend_of(figure.axes[3])[0].strip("\u200b").startswith("_auc: r −")


def test_epochs_without_entropy_are_left_out():
    every_second = HISTORY.assign(entropy=[90.0, np.nan, 85.0, np.nan, 60.0])
    upper, lower = plotting.entropy_history(every_second.drop(columns="epoch")).axes
    assert upper.lines[0].get_xdata().tolist() == [1, 3, 5]
    assert upper.lines[0].get_marker() == "o"
    assert len(lower.lines[0].get_xdata()) == 5
    expected = correlations([90, 85, 60], HISTORY["train_acc"][::2])
    assert legend_of(lower)[0] == f"training: {expected}"


@pytest.mark.parametrize(
    "frame",
    [HISTORY.iloc[:2], HISTORY.assign(train_acc=0.5), HISTORY.assign(entropy=3)],
    ids=["two-epochs", "constant-metric", "constant-entropy"],
)
def test_no_correlation_where_there_is_none(frame):
    _, lower = plotting.entropy_history(frame, metrics=["train_acc"]).axes
    assert legend_of(lower) == ["training: r –, ρ –"]


def test_given_axes_are_drawn_into():
    axes = Figure().subplots(2)
    assert plotting.entropy_history(HISTORY, ax=axes) is axes[0].figure
    assert [len(ax.lines) for ax in axes] == [1, 2]


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (HISTORY.iloc[:0], {}, "history is empty"),
        (HISTORY.drop(columns="entropy"), {}, r"history lacks the column\(s\) \['entropy'\]"),
        (HISTORY, {"metrics": ["auc"]}, r"history lacks the column\(s\) \['auc'\]"),
        (HISTORY, {"metrics": []}, "pass metrics"),
        (HISTORY[["entropy"]], {}, "no column of accuracies or losses"),
        (HISTORY, {"metrics": ["note"]}, "history\\['note'\\] must hold finite numbers"),
        (HISTORY.assign(entropy=np.inf), {}, "history\\['entropy'\\] must hold finite numbers"),
        (HISTORY.assign(entropy=np.nan), {}, "history\\['entropy'\\] holds no numbers"),
    ],
    ids=["empty", "no-entropy", "no-metric", "none", "alone", "words", "infinite", "nan"],
)
@pytest.mark.usefixtures("no_new_figure")
def test_bad_histories(frame, options, message):
    with pytest.raises(ValueError, match=message):
        plotting.entropy_history(frame, **options)


@pytest.mark.usefixtures("no_new_figure")
def test_history_needs_as_many_axes():
    with pytest.raises(ValueError, match="ax must hold 2 Axes"):
        plotting.entropy_history(HISTORY, ax=Figure().subplots())


# --- activation_map -----------------------------------------------------------------------------


def drawn(ax):
    return np.asarray(ax.images[0].get_array())


def naive_order(probabilities):
    """Neurons by their best class, then by selectivity; the dead ones last."""
    keys = []
    for j, column in enumerate(probabilities.T):
        best = max(range(len(column)), key=lambda c: (column[c], -c))
        others = [p for c, p in enumerate(column) if c != best]
        keys.append((not any(column), best, sum(others) / len(others) - column[best], j))
    return [key[-1] for key in sorted(keys)]


def test_neurons_by_class_and_selectivity(row_names, render):
    ax = plotting.activation_map(P, ["a", "b", "$c_1"], title="$T_1")
    assert naive_order(P) == [0, 4, 3, 5, 1, 6, 2, 7]
    np.testing.assert_array_equal(drawn(ax), P[:, [0, 4, 3, 5, 1, 6, 2, 7]])
    assert row_names(ax) == ["a", "b", "$c_1"]
    assert ax.get_xlabel() == "8 neurons, by the class that they fire for most"
    assert ax.images[0].get_clim() == (0, 1)
    assert len(ax.get_xticks()) == 0
    render(ax.figure)


def test_many_neurons_by_loops():
    probabilities = np.random.default_rng(0).integers(0, 5, (4, 60)) / 4
    ax = plotting.activation_map(probabilities)
    np.testing.assert_array_equal(drawn(ax), probabilities[:, naive_order(probabilities)])


@pytest.mark.parametrize("layers", [{"first": 4, "second": 4}, {"first": (2, 2), "second": (4,)}])
def test_layers_are_marked_off(layers, render):
    ax = plotting.activation_map(P, layers=layers)
    np.testing.assert_array_equal(drawn(ax), P[:, [0, 3, 1, 2, 4, 5, 6, 7]])
    assert {line.get_xdata()[0] for line in ax.lines} == {3.5}
    (upper,) = (child for child in ax.child_axes)
    assert [label.get_text() for label in upper.get_xticklabels()] == ["first", "second"]
    assert upper.get_xticks().tolist() == [1.5, 5.5]
    render(ax.figure)


def test_the_given_order():
    ax = plotting.activation_map(P, order="given")
    np.testing.assert_array_equal(drawn(ax), P)
    assert ax.get_xlabel() == "8 neurons"
    assert len(ax.get_xticks()) > 0
    assert not ax.child_axes


@pytest.mark.parametrize(
    ("order", "shown"), [("class", [4, 5, 0, 1]), ("given", [5, 4, 1, 0])], ids=["class", "given"]
)
def test_the_most_selective_neurons_of_each_layer(order, shown):
    layers = {"first": 4, "second": 4}
    ax = plotting.activation_map(P[:, ::-1], layers=layers, n=2, order=order)
    np.testing.assert_array_equal(drawn(ax), P[:, shown])
    assert ax.get_xlabel().startswith("4 of 8 neurons")
    assert len(ax.get_xticks()) == 0
    assert {line.get_xdata()[0] for line in ax.lines} == {1.5}


def test_map_into_given_axes():
    ax = Figure().subplots()
    assert plotting.activation_map(P, ax=ax) is ax


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"probabilities": P[0]}, "probabilities must have 2 axes"),
        ({"probabilities": P[:1]}, "must have two classes"),
        ({"probabilities": P * 2}, r"probabilities must lie in \[0, 1\]; they go from 0 to 1.8"),
        ({"probabilities": P - 0.1}, r"must lie in \[0, 1\]; they go from -0.1"),
        ({"probabilities": P * np.nan}, "NaN"),
        ({"classes": ["a"]}, "classes has 1 entries, but there are 3 classes"),
        ({"layers": {"first": 4}}, "layers has 4 neurons, but probabilities has 8 columns"),
        ({"layers": {"first": 8, "empty": 0}}, "layers has 8 neurons"),
        ({"layers": [4, 4]}, "layers must be a dict"),
        ({"layers": {}}, "layers has 0 neurons"),
        ({"order": "entropy"}, "order must be 'class' or 'given'"),
        ({"n": 0}, "n must be an integer of at least 1 or None"),
    ],
    ids=[
        "vector", "one-class", "high", "low", "nan", "classes", "layers", "empty", "list",
        "no-layers", "order", "n",
    ],
)  # fmt: skip
@pytest.mark.usefixtures("no_new_figure")
def test_bad_maps(arguments, message):
    with pytest.raises(ValueError, match=message):
        plotting.activation_map(**{"probabilities": P, **arguments})


# --- neuron_overlap -----------------------------------------------------------------------------


def naive_representatives(probabilities, k):
    found = []
    for c in range(len(probabilities)):
        differences = {}
        for j in range(probabilities.shape[1]):
            others = [probabilities[o, j] for o in range(len(probabilities)) if o != c]
            differences[j] = probabilities[c, j] - sum(others) / len(others)
        best = sorted(differences, key=lambda j: -differences[j])[:k]
        found.append({j for j in best if differences[j] > 1e-12})
    return found


@pytest.mark.parametrize("k", [1, 3, 20, 60])
def test_overlap_by_loops(k):
    probabilities = np.random.default_rng(0).random((5, 60))
    probabilities[:, 7] = 0
    ax = plotting.neuron_overlap(probabilities, k=k)
    sets = naive_representatives(probabilities, k)
    shared = ax.images[0].get_array()
    for a in range(5):
        for b in range(5):
            if a == b:
                assert shared.mask[a, b]
            else:
                assert shared[a, b] == len(sets[a] & sets[b])
    texts = {(text.get_position()): text.get_text() for text in ax.texts}
    assert texts == {(b, a): str(shared[a, b]) for a in range(5) for b in range(5) if a != b}


def test_overlap_names_classes_and_chance(row_names, render):
    names = ["T-shirt/top", "$b_1", "a class of a name far too long to be shown in full"]
    ax = plotting.neuron_overlap(P, names, k=4, title="MNIST")
    assert row_names(ax)[:2] == names[:2]
    assert [label.get_text() for label in ax.get_xticklabels()][:2] == names[:2]
    assert len(ax.get_xticklabels()[2].get_text()) == 16
    assert ax.get_xticklabels()[0].get_rotation() == 90
    assert "4 representative neurons" in ax.get_xlabel()
    assert "(by chance 2)" in ax.get_xlabel()
    assert ax.get_title() == "MNIST"
    render(ax.figure)


def test_numbers_are_seen_on_dark_and_on_pale():
    # The first two classes share both neurons, the third has its own.
    probabilities = [[0.9, 0.9, 0.1, 0.0], [0.8, 0.9, 0.1, 0.0], [0.0, 0.0, 0.9, 0.9]]
    ax = plotting.neuron_overlap(probabilities, k=2)
    colors = {text.get_text(): text.get_color() for text in ax.texts}
    assert colors == {"2": "white", "0": plotting._common.NEUTRAL}
    assert ax.get_xticklabels()[0].get_rotation() == 0


def test_nothing_shared():
    ax = plotting.neuron_overlap(np.eye(3), k=2)
    assert {text.get_text() for text in ax.texts} == {"0"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k must be an integer of at least 1"),
        ({"k": 9}, "k=9 is more than the number of neurons, 8"),
        ({"classes": ["a"]}, "classes has 1 entries"),
        ({"probabilities": P + 1}, r"must lie in \[0, 1\]"),
    ],
    ids=["zero", "many", "classes", "range"],
)
@pytest.mark.usefixtures("no_new_figure")
def test_bad_overlaps(arguments, message):
    with pytest.raises(ValueError, match=message):
        plotting.neuron_overlap(**{"probabilities": P, "k": 2, **arguments})
