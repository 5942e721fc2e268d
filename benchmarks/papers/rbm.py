"""Does pretraining by restricted Boltzmann machines help? The published table, and few labels.

MNIST, pixels from 0 to 1, batches of 128. Each hidden layer of 784-800-800-10 (and of
784-1600-1600-800-10, one seed, 15 epochs) is pretrained for ten epochs on all 60,000 training
images without labels; then SGD with a learning rate of 0.1 and momentum 0.9 trains the network on
all labels, and from the same pretrained weights on 600, 1,200 and 6,000 of them. Test accuracy is
measured every fifth epoch (the last included), as in the paper. "none" is the plain network;
"start" has only the first weights of the machines, so that it tells pretraining from its
initialisation.

Source: A. Kroschanka and V. Golovko, *Neural Networks Interpretation Improvement*, Table II and
Figures 2 and 3.
"""

from __future__ import annotations

from functools import lru_cache, partial
from itertools import product

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from skorch.callbacks import Callback

from benchmarks.papers._verdicts import number, outcome_of
from benchmarks.papers.runner import Verdict, over_seeds, save_figure
from sknninterp import TorchMLPClassifier
from sknninterp.datasets import load_mnist
from sknninterp.nn.mlp import MLP
from sknninterp.nn.pretraining import pretrain

METHODS = ("none", "start", "cd", "reconstruction", "hybrid")
RULES = ("cd", "reconstruction", "hybrid")
SHALLOW, DEEP = "784-800-800-10", "784-1600-1600-800-10"
# Accuracy in %, the best over checks every fifth epoch, of one run of 90 epochs.
PUBLISHED = {
    (SHALLOW, "relu"): {"none": 98.64, "cd": 98.62, "reconstruction": 98.81, "hybrid": 98.51},
    (DEEP, "relu"): {"none": 98.56, "cd": 98.58, "reconstruction": 98.70, "hybrid": 98.68},
    (SHALLOW, "sigmoid"): {"none": 98.18, "cd": 98.47, "reconstruction": 98.36, "hybrid": 98.43},
    (DEEP, "sigmoid"): {"none": 98.00, "cd": 98.54, "reconstruction": 98.47, "hybrid": 98.46},
}
ALL_LABELS = 60_000
PUBLISHED_EPOCHS = 90
NAMES = {"relu": "ReLU", "sigmoid": "sigmoid"}
BATCH_SIZE = 128

FULL = {
    "seeds": 3,
    "deep_seeds": 1,
    "images": ALL_LABELS,
    "pretraining_epochs": 10,
    "hybrid_epochs": [7, 3],
    "networks": {
        # Few labels get more epochs: as many steps in the end as a larger set has in fewer.
        SHALLOW: {
            "hidden": [800, 800],
            "epochs": 90,
            "few_labels": [[600, 450], [1200, 225], [6000, 90]],
        },
        DEEP: {"hidden": [1600, 1600, 800], "epochs": 15, "few_labels": []},
    },
}
QUICK = {
    "seeds": 2,
    "deep_seeds": 1,
    "images": 4000,
    "pretraining_epochs": 2,
    "hybrid_epochs": [1, 1],
    "networks": {
        SHALLOW: {"hidden": [800, 800], "epochs": 5, "few_labels": [[600, 15]]},
        DEEP: {"hidden": [1600, 1600, 800], "epochs": 3, "few_labels": []},
    },
}


# --- one job ------------------------------------------------------------------------------------


def jobs(settings):
    n_seeds = {SHALLOW: settings["seeds"], DEEP: min(settings["seeds"], settings["deep_seeds"])}
    return [
        {"network": name, "activation": activation, "method": method, "seed": seed}
        for name, network in settings["networks"].items()
        for seed in range(n_seeds[name])
        for activation in ("sigmoid", "relu")
        for method in METHODS
        # "start" is a control where labels are few.
        if method != "start" or network["few_labels"]
    ]


@lru_cache
def mnist(n_images):
    """Training images and labels, and those of the test as tensors."""
    X, y = load_mnist(subset="train", return_X_y=True)
    X_test, y_test = load_mnist(subset="test", return_X_y=True)
    X, X_test = (np.ascontiguousarray(a, dtype=np.float32) for a in (X[:n_images], X_test))
    y, y_test = (np.asarray(a).astype(np.int64) for a in (y[:n_images], y_test))
    return X, y, (torch.from_numpy(X_test), torch.from_numpy(y_test))


def run(job, settings):
    X, y, test = mnist(settings["images"])
    design = settings["networks"][job["network"]]
    network, errors = pretrained_network(job, settings, torch.from_numpy(X))
    trained = []
    for n, epochs in design["few_labels"]:
        rows = balanced_subset(y, n, job["seed"])
        trained.append(fine_tuned(network, X[rows], y[rows], test, epochs, job["seed"]))
    if job["method"] != "start":
        trained.append(fine_tuned(network, X, y, test, design["epochs"], job["seed"]))
    return {"pretraining": errors, "training": trained}


def pretrained_network(job, settings, images):
    """The network, and the reconstruction error of each layer and epoch."""
    hidden = tuple(settings["networks"][job["network"]]["hidden"])
    n_pixels, method = images.shape[1], job["method"]
    torch.manual_seed(job["seed"])
    network = MLP(n_pixels, 10, hidden, job["activation"])
    if method == "none":
        return network, []
    generator = torch.Generator().manual_seed(job["seed"])

    class Batches:
        def __iter__(self):
            order = torch.randperm(len(images), generator=generator)
            return (images[rows] for rows in order.split(BATCH_SIZE))

    layers = pretrain(
        network,
        (n_pixels,),
        Batches(),
        rule="reconstruction" if method == "start" else method,
        n_epochs=0 if method == "start" else settings["pretraining_epochs"],
        hybrid_epochs=tuple(settings["hybrid_epochs"]),
        generator=generator,
    )
    return network, [
        {
            "layer": layer.name,
            "epoch": epoch.epoch,
            "rule": epoch.rule,
            "lr": epoch.lr,
            "error": round(epoch.reconstruction_error, 8),
        }
        for layer in layers
        for epoch in layer.epochs
    ]


class TestAccuracy(Callback):
    """Accuracy on the test images every fifth epoch, and after the last one."""

    def __init__(self, images, labels, max_epochs):
        self.images, self.labels, self.max_epochs = images, labels, max_epochs

    def on_epoch_end(self, net, **kwargs):
        epoch = len(net.history)
        if epoch % 5 == 0 or epoch == self.max_epochs:
            with torch.no_grad():
                found = torch.cat([net.module_(part) for part in self.images.split(1000)]).argmax(1)
            net.history.record("test_accuracy", (found == self.labels).float().mean().item() * 100)


def fine_tuned(network, X, y, test, epochs, seed):
    """Test accuracy in %, and the loss, at each check."""
    model = TorchMLPClassifier(
        module=network,
        optimizer=partial(torch.optim.SGD, momentum=0.9, fused=True),
        lr=0.1,
        batch_size=BATCH_SIZE,
        max_epochs=epochs,
        callbacks=[TestAccuracy(*test, epochs)],
        device="cpu",
        random_state=seed,
    ).fit(X, y)
    checks = model.history_.dropna(subset="test_accuracy")
    return {
        "labels": len(y),
        "epochs": checks["epoch"].tolist(),
        "test_accuracy": checks["test_accuracy"].round(3).tolist(),
        "train_loss": checks["train_loss"].round(6).tolist(),
    }


def balanced_subset(y, n, seed):
    """As many images of each digit, drawn at random."""
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(np.flatnonzero(y == digit), n // 10, replace=False) for digit in range(10)]
    return np.sort(np.concatenate(chosen))


# --- tables -------------------------------------------------------------------------------------

NETWORK = ["network", "activation"]
CONFIGURATION = [*NETWORK, "labels", "epochs"]


def tables(results, settings):
    found = checks(results)
    return {"accuracy": accuracy(found), "gains": gains(found), "errors": errors(results)}


def checks(results):
    """Test accuracy of every network: a row each."""
    rows = []
    for result in results:
        for trained in result["training"]:
            by_epoch = dict(zip(trained["epochs"], trained["test_accuracy"], strict=True))
            rows.append(
                {name: result[name] for name in [*NETWORK, "method", "seed"]}
                | {
                    "labels": trained["labels"],
                    "epochs": trained["epochs"][-1],
                    "last": trained["test_accuracy"][-1],
                    "best": max(trained["test_accuracy"]),
                    "at_90": by_epoch.get(90, np.nan),
                }
            )
    return pd.DataFrame(rows).sort_values("labels", kind="stable")


def accuracy(found):
    """In %: after the last epoch, the best of all checks and that after 90 epochs."""
    table = over_seeds(found, [*CONFIGURATION, "method"], ["last", "best", "at_90"])
    keys = zip(table["network"], table["activation"], table["method"], strict=True)
    published = [PUBLISHED.get(key[:2], {}).get(key[2], np.nan) for key in keys]
    return table.assign(published_best=np.where(table["labels"] == ALL_LABELS, published, np.nan))


def gains(found):
    """Points over no pretraining, over first weights alone and over the classic rule, by seed."""
    rows = []
    for key, same in found.groupby([*CONFIGURATION, "seed"], sort=False):
        of = same.set_index("method")[["last", "best"]]
        for method, over in product(("start", *RULES), ("none", "start", "cd")):
            if METHODS.index(method) > METHODS.index(over) and {method, over} <= set(of.index):
                row = dict(zip([*CONFIGURATION, "seed"], key, strict=True))
                gain = (of.loc[method] - of.loc[over]).to_dict()
                rows.append(row | {"method": method, "over": over} | gain)
    by = [*CONFIGURATION, "method", "over"]
    return over_seeds(pd.DataFrame(rows), by, ["last", "best"])


def errors(results):
    """Mean reconstruction error of each layer and epoch, and its share of the first epoch's."""
    by = [*NETWORK, "method", "layer"]
    found = pd.DataFrame(
        {name: result[name] for name in [*NETWORK, "method", "seed"]} | epoch
        for result in results
        for epoch in result["pretraining"]
    )
    found["of_first"] = found["error"] / found.groupby([*by, "seed"])["error"].transform("first")
    values = ["error", "of_first", "lr"]
    return over_seeds(found, [*by, "epoch"], values).drop(columns="lr_ci")


# --- what holds ---------------------------------------------------------------------------------


def claim_of(key, what):
    return f"Table II, {key[0]}, {NAMES[key[1]]}: {what}"


def rows_of(table, key, names, wanted):
    """Rows of a network with most labels, in the order wanted by these columns; None if not all."""
    found = table.query("network == @key[0] and activation == @key[1]")
    found = found[found["labels"] == found["labels"].max()].set_index(names)
    return found.loc[wanted] if set(wanted) <= set(found.index) else None


def judged(key, what, published, ours, rows, right, why):
    """Verdict by how many parts are right; of no weight if trained otherwise than published."""
    seeds, epochs, images = (int(rows[name].min()) for name in ("seeds", "epochs", "labels"))
    outcome = outcome_of(right)
    if seeds < 2 or epochs < PUBLISHED_EPOCHS or images < ALL_LABELS:
        outcome = "not testable here"
        why = f"seeds: {seeds}, epochs: {epochs}, images: {images:,}, and not as published"
    return Verdict(claim_of(key, what), published, ours, seeds, outcome, why)


def accuracy_verdict(key, tables):
    """Holds if each published run lies where one more of ours would, with 95 % confidence.

    The interval of one more run is wider than that of the mean, by the root of n + 1.
    """
    published = PUBLISHED[key]
    rows = rows_of(tables["accuracy"], key, "method", list(published))
    if rows is None:
        return None
    gaps = pd.Series(published) - rows["best"]
    right = list(gaps.abs() <= rows["best_ci"] * np.sqrt(rows["seeds"] + 1))
    largest = gaps.abs().idxmax()
    return judged(
        key,
        "best test accuracy of one run, %",
        ", ".join(f"{method} {value:.2f}" for method, value in published.items()),
        ", ".join(f"{method} {number(row, 'best')}" for method, row in rows.iterrows()),
        rows,
        right,
        f"{sum(right)} of {len(right)} lie where one more run of ours would;"
        f" the largest gap is {gaps[largest]:+.2f} ({largest})",
    )


def gain_verdict(key, pairs, what, tables):
    """Holds if every gain's interval, paired by seed, lies above 0."""
    rows = rows_of(tables["gains"], key, ["method", "over"], pairs)
    if rows is None:
        return None
    published = [PUBLISHED[key][method] - PUBLISHED[key][over] for method, over in pairs]
    names = [f"{method} over {over}" for method, over in pairs]
    right = list(rows["best"] - rows["best_ci"] > 0)
    at_last = (rows["last"] - rows["last_ci"] > 0).sum()
    within = ((rows["best"] - published).abs() <= rows["best_ci"]).sum()
    return judged(
        key,
        what,
        ", ".join(f"{name} {gain:+.2f}" for name, gain in zip(names, published, strict=True)),
        ", ".join(
            f"{name} {number(row, 'best', sign='+')}"
            for name, (_, row) in zip(names, rows.iterrows(), strict=True)
        ),
        rows,
        right,
        f"{sum(right)} of {len(right)} gains are more than chance (at the last epoch {at_last});"
        f" {within} of the published lie within our intervals",
    )


def error_verdict(activation, tables):
    """Holds if the error falls in every layer: it ends below its start, and near its least.

    Below the start by the interval of its share of the first epoch's; within 1.5 times the least.
    """
    found = tables["errors"].query("network == @SHALLOW and activation == @activation")
    if found.empty or found["seeds"].min() < 2:
        return None
    falls, ends = {}, []
    for (method, layer), curve in found.groupby(["method", "layer"], sort=False):
        last, name = curve.iloc[-1], f"{method}, {layer}"
        below = last["of_first"] + last["of_first_ci"] < 1
        falls[name] = below and last["error"] <= 1.5 * curve["error"].min()
        ends.append(f"{name} {number(last, 'of_first')}")
    rising = [name for name, right in falls.items() if not right]
    return Verdict(
        f"Figures 2 and 3, {SHALLOW}, {NAMES[activation]}: reconstruction error of every layer and"
        " epoch",
        "falling curves",
        f"last epoch's share of the first's: {'; '.join(ends)}",
        int(found["seeds"].min()),
        outcome_of(list(falls.values())),
        f"all but {' and '.join(rising)}, where it grows again" if rising else "all of them fall",
    )


OVER_NONE = [(rule, "none") for rule in RULES]
PROPOSED = [("reconstruction", "none"), ("reconstruction", "cd")]
VERDICTS = [
    *(partial(accuracy_verdict, key) for key in PUBLISHED),
    *(
        partial(gain_verdict, (network, "sigmoid"), OVER_NONE, "gain of pretraining, points")
        for network in (SHALLOW, DEEP)
    ),
    *(
        partial(gain_verdict, (network, "relu"), PROPOSED, "gain of the proposed rule, points")
        for network in (SHALLOW, DEEP)
    ),
    *(partial(error_verdict, activation) for activation in NAMES),
]


# --- figures ------------------------------------------------------------------------------------

COLOURS = dict(zip(METHODS, ("0.45", "C4", "C0", "C1", "C2"), strict=True))
MARKERS = dict(zip(METHODS, "osD^v", strict=True))


def figures(tables, folder):
    """Reconstruction errors (Figures 2 and 3), Table II, and accuracy by the number of labels."""
    for network in tables["errors"]["network"].unique():
        draw_errors(tables["errors"].query("network == @network"), network, folder)
    draw_table(tables["accuracy"], folder)
    draw_few_labels(tables["accuracy"].query("network == @SHALLOW"), folder)


def draw_errors(found, network, folder):
    layers, activations = found["layer"].unique(), found["activation"].unique()
    size = (2.9 * len(layers) + 0.8, 2.4 * len(activations) + 0.7)
    fig = Figure(figsize=size, layout="constrained")
    axes = fig.subplots(len(activations), len(layers), squeeze=False)
    for (activation, layer), part in found.groupby(["activation", "layer"], sort=False):
        row, column = list(activations).index(activation), list(layers).index(layer)
        ax = axes[row, column]
        for method, curve in part.groupby("method", sort=False):
            half = curve["error_ci"].fillna(0)
            low = np.maximum(curve["error"] - half, curve["error"] / 10)
            ax.plot(curve["epoch"], curve["error"], color=COLOURS[method], label=method)
            ax.fill_between(
                curve["epoch"], low, curve["error"] + half, color=COLOURS[method], alpha=0.25
            )
        ax.set(yscale="log", xlabel="epoch", title=f"{NAMES[activation]}, {layer}")
        if column == 0:
            ax.set_ylabel("reconstruction error")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, ncols=3, loc="outside lower center")
    fig.suptitle(f"{network}, mean over seeds, 95 % interval", fontsize="medium")
    save_figure(fig, folder / f"rbm_errors_{len(layers)}_layers.png")


def draw_table(accuracies, folder):
    """Best accuracy with intervals, and the published one."""
    found = accuracies[accuracies["labels"] == accuracies["labels"].max()]
    groups = list(found.groupby(NETWORK, sort=False))
    size = (9, 2.4 * -(-len(groups) // 2) + 0.6)
    fig = Figure(figsize=size, layout="constrained")
    axes = fig.subplots(-(-len(groups) // 2), 2, squeeze=False)
    for ax, ((network, activation), part) in zip(axes.flat, groups, strict=False):
        places, best = np.arange(len(part)), part["best"]
        ax.errorbar(best, places, xerr=part["best_ci"].fillna(0), fmt="o", label="here")
        ax.plot(part["published_best"], places, "D", color="C3", fillstyle="none", label="paper")
        ax.set_yticks(places, part["method"])
        ax.set_ylim(len(part) - 0.5, -0.5)
        seeds, epochs = int(part["seeds"].min()), int(part["epochs"].min())
        title = f"{network}, {NAMES[activation]}\nseeds: {seeds}, epochs: {epochs}"
        ax.set(xlabel="best test accuracy, %")
        ax.set_title(title, fontsize="medium")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    fig.legend(handles, labels, ncols=2, loc="outside lower center")
    save_figure(fig, folder / "rbm_table_2.png")


def draw_few_labels(accuracies, folder):
    """Accuracy after the last epoch, by the number of labels."""
    fig = Figure(figsize=(9, 3.6), layout="constrained")
    axes = fig.subplots(1, 2, sharey=True)
    for ax, (activation, part) in zip(axes, accuracies.groupby("activation"), strict=False):
        for place, (method, curve) in enumerate(part.groupby("method", sort=False)):
            ax.errorbar(
                # Apart from one another, or the intervals could not be read.
                curve["labels"] * 1.06 ** (place - 2),
                curve["last"],
                yerr=curve["last_ci"].fillna(0),
                color=COLOURS[method],
                marker=MARKERS[method],
                markersize=4,
                label=method,
            )
        labels = sorted(part["labels"].unique())
        ax.set(xscale="log", xlabel="labelled images", title=NAMES[activation])
        ax.set_xticks(labels, [f"{n:,}" for n in labels], minor=False)
        ax.minorticks_off()
    axes[0].set_ylabel("test accuracy, %, last epoch")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, ncols=5, loc="outside lower center")
    save_figure(fig, folder / "rbm_few_labels.png")
