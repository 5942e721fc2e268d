"""How the network came to be: losses, tuning, and the search before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sknninterp.reporting._study import Study
from sknninterp.reporting._svg import Line, line_chart

_MOST_TRIED = 30


@dataclass(frozen=True)
class Figure:
    """A picture with what it shows, in words."""

    title: str
    drawing: str
    caption: str


@dataclass(frozen=True)
class Tried:
    """Settings that a search compared.

    Parameters
    ----------
    title : str
    header : list of str
    rows : list of list of str
    chosen : int
        Which row was.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    chosen: int


def figures(study: Study) -> list[Figure]:
    """Losses over the epochs, and the neurons that are left, of the (first) network."""
    predictor = study.network.predictor
    found = [_losses(predictor), _tuning(predictor)]
    return [figure for figure in found if figure is not None]


def _losses(predictor) -> Figure | None:
    history = getattr(predictor, "history_", None)
    if history is None and hasattr(predictor, "loss_curve_"):  # scikit-learn's
        history = pd.DataFrame({"train_loss": predictor.loss_curve_})
    if history is None:
        return None
    names = {"train_loss": "training", "valid_loss": "validation (held out)"}
    lines = [
        Line(names[column], np.arange(1, len(history) + 1), history[column].to_numpy(float), kind)
        for column, kind in (("train_loss", "c0"), ("valid_loss", "c1"))
        if column in history and np.isfinite(history[column].to_numpy(float)).any()
    ]
    if not lines:
        return None
    n_epochs = len(history)
    last = "; ".join(f"{line.label} {line.y[-1]:.3g}" for line in lines)
    return Figure(
        "Training curve",
        line_chart(lines, "epoch", "loss", f"Loss over {n_epochs} epochs; at the end: {last}"),
        f"Loss over {n_epochs} passes over the training rows, lower is better (at the end: {last})."
        " A validation loss that rises while the training loss falls is overfitting.",
    )


def _tuning(predictor) -> Figure | None:
    """Neurons left in each layer: what the tuning history has removed, counted."""
    history = getattr(predictor, "tuning_history_", None)
    if history is None or len(history) == 0:
        return None
    n_epochs = getattr(predictor, "n_iter_", int(history["epoch"].max()))
    layers = [*predictor.removed_neurons_]
    lines, told = [], []
    for i, (layer, left) in enumerate(zip(layers, predictor.layer_sizes_, strict=False)):
        counts = history.loc[history["layer"] == layer, "epoch"].value_counts().sort_index()
        size = left + int(counts.sum())
        y = [size, *(size - counts.cumsum()), left]
        x = [0, *counts.index, max(n_epochs, counts.index.max() if len(counts) else 0)]
        lines.append(Line(f"hidden layer {i + 1}", x, y, f"c{i % 4}", step=True))
        told.append(f"hidden layer {i + 1} from {size} to {left}")
    drawing = line_chart(
        lines, "epoch", "neurons left", f"Neurons left: {'; '.join(told)}", from_zero=True
    )
    return Figure(
        "Neurons removed while it trained",
        drawing,
        f"Activation-based tuning took out {len(history)} neurons: {'; '.join(told)}.",
    )


def tried(study: Study) -> Tried | None:
    """What a fitted search of scikit-learn's kind compared, the best first."""
    results = getattr(study.estimator, "cv_results_", None)
    if results is None:
        return None
    table = pd.DataFrame(results)
    score = next((c for c in table.columns if c.startswith("mean_test_")), None)
    if score is None:
        return None
    spread = score.replace("mean_", "std_")
    names = [c for c in table.columns if c.startswith("param_")]
    # What is the same in every row tells nothing.
    names = [c for c in names if len({*table[c].astype(str)}) > 1] or names
    table = table.sort_values(score, ascending=False, kind="stable")
    best = getattr(study.estimator, "best_index_", table.index[0])
    rows = [
        [*(_short(line[name]) for name in names), f"{line[score]:.3f} ± {line.get(spread, 0):.3f}"]
        for _, line in table.head(_MOST_TRIED).iterrows()
    ]
    shown = table.index[:_MOST_TRIED].tolist()
    title = f"Settings tried by cross-validation (the best {len(rows)} of {len(table)})"
    header = [*(name.removeprefix("param_").rsplit("__", 1)[-1] for name in names), "score ± sd"]
    return Tried(title, header, rows, shown.index(best) if best in shown else -1)


def _short(value) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
