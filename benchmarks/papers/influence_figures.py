"""Figures of :mod:`benchmarks.papers.influence`, from its tables alone."""

from __future__ import annotations

import base64

import numpy as np
from matplotlib.figure import Figure

from benchmarks.papers.influence_networks import DIGITS, GRADIENT, N_RELEVANT, SCORES
from benchmarks.papers.runner import save_figure
from sknninterp import plotting
from sknninterp.nn.cnn import image_kernels


def figures(tables, folder):
    """One for each table that is there: ranks, recovery, spectra, filters and digits."""
    drawn = {}
    if "ranks" in tables:
        for low_and_high, part in tables["ranks"].groupby("range"):
            drawn[f"ranks_from_{low_and_high[1]}"] = ranks(part)
    if "recovery" in tables:
        drawn["recovery"] = recovery(tables["recovery"].query("labels == 'soft'"))
    if "spectra" in tables:
        drawn["spectra"] = spectra(tables["spectra"])
    if "filters" in tables:
        drawn["filters"] = filters(tables["filters"])
    if "pictures" in tables:
        drawn["digits"] = own_classes(tables["pictures"])
        drawn["classes"] = every_class(tables["pictures"])
    for name, figure in drawn.items():
        save_figure(figure, folder / f"influence_{name}.png", dpi=75)


def ranks(table):
    """How often each feature has which rank, by set and method (Figure 3)."""
    groups = list(table.groupby(["method", "set"], sort=False))
    sets, methods = table["set"].unique(), table["method"].unique()
    size = (3.6 * len(sets), 3.2 * len(methods) + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(methods), len(sets), squeeze=False)
    shares = [name for name in table.columns if name.startswith("rank ")]
    for (method, name), part in groups:
        ax = axes[list(methods).index(method), list(sets).index(name)]
        picture = ax.imshow(part[shares], cmap="Blues", vmin=0, vmax=1)
        ax.axvline(N_RELEVANT[name] - 0.5, color="C3", linestyle="--")
        ax.set_title(f"{name} {part['range'].iloc[0]}, {method}", fontsize=9)
        ax.set_xticks(range(len(shares)), range(1, len(shares) + 1), fontsize=8)
        ax.set_yticks(part["feature"], [f"x{i}" for i in part["feature"]], fontsize=8)
        for label in ax.get_yticklabels()[: N_RELEVANT[name]]:
            label.set(color="C3", fontweight="bold")
    figure.colorbar(picture, ax=axes, label="share of samples", shrink=0.6)
    figure.supxlabel("rank by score towards class 0 (one network)", fontsize=9)
    return figure


def recovery(table):
    """Share of samples whose relevant features rank first, towards either class."""
    sets = table[["set", "range"]].drop_duplicates()
    names = [f"{row['set']} {row['range']}" for _, row in sets.iterrows()]
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for ax, target in zip(axes, ("class 0", "class 1"), strict=True):
        part = table[table["target"] == target]
        for place, (method, found) in enumerate(part.groupby("method", sort=False)):
            ax.errorbar(
                found["exact"],
                np.arange(len(found)) + 0.14 * (place - 2),
                xerr=found["exact_ci"].fillna(0),
                fmt="o",
                markersize=4,
                label=method,
            )
        ax.set(xlim=(-0.05, 1.05), title=f"towards {target}")
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    figure.supxlabel("share of samples, mean over seeds, 95 % interval", fontsize=9)
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=3, loc="outside upper center")
    return figure


def spectra(table):
    """Sorted scores of the hidden nodes, by set and layer (Figures 4 and 5)."""
    sets, layers = table["set"].unique(), table["layer"].unique()
    size = (3 * len(layers), 2.2 * len(sets) + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(sets), len(layers), squeeze=False, sharex=True, sharey=True)
    for (name, layer), part in table.groupby(["set", "layer"], sort=False):
        ax = axes[list(sets).index(name), list(layers).index(layer)]
        for target, line in part.groupby("target", sort=False):
            mean, half = line["score"], line["score_ci"].fillna(0)
            (drawn,) = ax.plot(line["place"], mean, label=target)
            ax.fill_between(
                line["place"], mean - half, mean + half, color=drawn.get_color(), alpha=0.25
            )
        ax.axhline(0, color="0.6", linewidth=0.8)
        ax.set_title(f"{name} {part['range'].iloc[0]}, {layer}", fontsize=9)
    figure.supxlabel("node, by score", fontsize=9)
    figure.supylabel("score, share of the largest", fontsize=9)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), ncols=2, loc="outside upper right")
    return figure


def filters(table):
    """Scores of the fixed kernels towards each digit (Figure 7)."""
    from matplotlib import pyplot as plt

    scores = table.pivot(index="filter", columns="digit", values="score")
    kernels = image_kernels()
    ax = plotting.filter_scores(
        scores.loc[list(kernels)].to_numpy(),
        np.stack([kernel.numpy() for kernel in kernels.values()]),
        filter_names=list(kernels),
        output_names=list(scores.columns),
        scale="panel",
        max_display=20,
    )
    plt.close(ax.figure)  # for pyplot; it can still be written
    return ax.figure


def own_classes(table):
    """Each digit, and the scores of its pixels towards its own class (Figures 1 and 6)."""
    found = table[table["digit"] == table["target"]].set_index(["method", "digit"])["pixels"]
    methods = [SCORES, GRADIENT]
    digits = sorted(table["digit"].unique())
    images = [unpack(found["image", digit]) for digit in digits]
    return grid(
        [[unpack(found[method, digit]) for digit in digits] for method in methods],
        [images] * len(methods),
        methods,
        digits,
    )


def every_class(table):
    """Scores of some digits towards every class."""
    found = table.set_index(["method", "digit", "target"])["pixels"].sort_index()
    targets = sorted(table["target"].unique())
    images = [unpack(found["image", digit, digit]) for digit in DIGITS]
    return grid(
        [[unpack(found[SCORES, digit, target]) for target in targets] for digit in DIGITS],
        [[image] * len(targets) for image in images],
        [f"of a {digit}" for digit in DIGITS],
        [f"towards {target}" for target in targets],
    )


def grid(panels, images, rows, columns):
    """Scores in colours, each panel on its own scale, with the outline of the digit."""
    figure = Figure(figsize=(len(columns) + 0.3, 1.05 * len(rows) + 0.2), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for (row, column), ax in np.ndenumerate(axes):
        values, image = panels[row][column], images[row][column]
        ax.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1)
        ax.contour(image, levels=[0.5], colors="0.2", linewidths=0.5)
        ax.set(xticks=[], yticks=[])
        if row == 0:
            ax.set_title(columns[column], fontsize=8)
    for name, ax in zip(rows, axes[:, 0], strict=True):
        ax.set_ylabel(name, fontsize=8)
    return figure


def unpack(pixels):
    """A square picture from its text, with a largest magnitude of 1."""
    steps = np.frombuffer(base64.b64decode(pixels), np.int8)
    side = round(len(steps) ** 0.5)
    return steps.reshape(side, side) / 127
