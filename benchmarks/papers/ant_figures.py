"""Pictures of the results on neuron tuning and weight products, drawn from the tables alone."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from benchmarks.papers.runner import save_figure

STYLES = {
    "kl": ("C3", "o-"),
    "kl, own range": ("C1", "s--"),
    "kl, rewound": ("C4", "D:"),
    "from scratch": ("black", "^:"),
    "random": ("0.5", "x-"),
    "magnitude": ("C0", "v--"),
    "apoz": ("C2", "<--"),
    "taylor": ("C9", ">--"),
    "influence": ("C5", "p--"),
}
LAYERS = {1: "first layer", 2: "both layers"}
SCORES = {"accuracy": "accuracy", "auc": "ROC AUC", "precision": "precision"}


def figures(tables, folder):
    if "curves" in tables:
        for tuned, score in ((tuned, score) for tuned in LAYERS for score in SCORES):
            save_figure(curves(tables["curves"], tuned, score), folder / f"ant_{tuned}_{score}.png")
    if "rankings" in tables:
        save_figure(rankings(tables["rankings"]), folder / "ant_rankings.png")
    if "pictures" in tables:
        save_figure(pictures(tables["pictures"]), folder / "ant_pictures.png")


def curves(table, tuned, score):
    """A panel for each data set and activation, a curve for each method; bars are intervals."""
    sets, activations = table["data"].unique(), table["activation"].unique()
    figure = Figure(figsize=(3.4 * len(sets), 2.7 * len(activations)), layout="constrained")
    axes = figure.subplots(len(activations), len(sets), squeeze=False, sharex=True)
    rates = np.sort(table["removed"].unique())
    shown = {}
    for row, activation in zip(axes, activations, strict=True):
        for place, data in zip(row, sets, strict=True):
            part = table[(table["data"] == data) & (table["activation"] == activation)]
            shown |= panel(place, part[part["tuned"].isin((0, tuned))], score, rates)
            place.set_title(f"{data}, {activation}", fontsize=9)
            place.tick_params(labelsize=8)
            low, high = place.get_ylim()  # intervals of few seeds reach beyond what there is
            place.set_ylim(max(low, 0), min(high, 1.01))
            place.set_xticks(range(len(rates)), [f"{100 * rate:.0f}" for rate in rates])
    figure.supxlabel(f"% of neurons removed, {LAYERS[tuned]}", fontsize=9)
    figure.supylabel(SCORES[score], fontsize=9)
    figure.legend(shown.values(), shown, loc="outside right center", fontsize=8, frameon=False)
    return figure


def panel(axes, part, score, rates):
    """Curves that all begin at the untuned network, side by side so that bars can be seen."""
    start = part[part["method"] == "untuned"]
    methods = [name for name in STYLES if name in set(part["method"])]
    shown = {}
    for name, offset in zip(methods, np.linspace(-0.22, 0.22, len(methods)), strict=True):
        rows = part[part["method"] == name].sort_values("removed")
        x = np.concatenate([start["removed"], rows["removed"]])
        y, half = (np.concatenate([start[c], rows[c]]) for c in (score, f"{score}_ci"))
        color, style = STYLES[name]
        shown[name] = axes.errorbar(
            np.searchsorted(rates, x) + offset * (x > 0),
            y,
            half,
            fmt=style,
            color=color,
            markersize=3,
            linewidth=0.9,
            elinewidth=0.7,
        )
    return shown


def rankings(table):
    """A panel for each data set: known features at the top, of genes at a longer top."""
    sets = table["data"].unique()
    figure = Figure(figsize=(2.4 * len(sets) + 1.6, 2.6), layout="constrained")
    row = figure.subplots(1, len(sets), squeeze=False, sharey=True)[0]
    for axes, data in zip(row, sets, strict=True):
        part = table[table["data"] == data]
        y = np.arange(len(part))
        ks = (5, 10) if data == "readmission" else (10, 100)
        for shift, k, color in zip((-0.2, 0.2), ks, ("C0", "C1"), strict=True):
            axes.barh(
                y + shift,
                part[f"hits_{k}"],
                0.38,
                xerr=part[f"hits_{k}_ci"],
                color=color,
                error_kw={"elinewidth": 0.8},
                label=f"top {k}",
            )
        axes.set_yticks(y, part["ranking"])
        axes.set_xlim(left=0)
        axes.tick_params(labelsize=8)
        axes.set_title(data, fontsize=9)
        axes.legend(fontsize=7, frameon=False, loc="lower right")
    row[0].invert_yaxis()
    figure.supxlabel("known features among the first", fontsize=9)
    return figure


def pictures(table):
    """Mean contribution of each pixel to its digit, before tuning and after."""
    digits, rows = sorted(table["digit"].unique()), ("before", "after")
    figure = Figure(figsize=(len(digits), 2.1), layout="constrained")
    axes = figure.subplots(len(rows), len(digits), squeeze=False)
    pixels = [name for name in table.columns if name.startswith("pixel_")]
    side = round(len(pixels) ** 0.5)
    for i, when in enumerate(rows):
        for j, digit in enumerate(digits):
            chosen = table[(table["tuning"] == when) & (table["digit"] == digit)]
            axes[i, j].imshow(chosen[pixels].to_numpy().reshape(side, side), cmap="gray_r")
            axes[i, j].set(xticks=[], yticks=[])
        axes[i, 0].set_ylabel(f"{when} tuning", fontsize=8)
    return figure
