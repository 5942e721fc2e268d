"""Do hidden neurons know more than the softmax? And does activation entropy follow accuracy?

Dense networks 512-512 on MNIST, Fashion-MNIST and CIFAR-10 and a small residual CNN on CIFAR-10,
Adam, batches of 128. Test accuracy, Brier score and expected calibration error of

- the base and Y_proposed,
- the auxiliary network on [Y_proposed, Y_predicted] (five epochs, as published),
- the control: an auxiliary network on Y_predicted alone,

with the auxiliary networks trained on the base's training data ("train", as published) and on a
fifth held out from it ("held out", with a base of its own). "Shift" trains on raw pixels, 0 to 255,
and evaluates at pixels / 255. Activation entropy of the training images is taken after every epoch,
for true and for shuffled labels, beside training and test accuracy.

Source: *Leveraging Neuron Activation Patterns to Explain and Improve Deep Learning Classifiers*,
Tables 1 to 4 and Figure 2, as far as two cores reach.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import torch
from scipy import stats
from skorch.callbacks import Callback
from torch import nn

from benchmarks.papers._verdicts import number, outcome_of, row_of
from benchmarks.papers.runner import Verdict, over_seeds, save_figure
from sknninterp import ActivationAuxClassifier, ActivationEntropy, TorchMLPClassifier
from sknninterp.datasets import load_cifar10, load_fashion_mnist, load_mnist

LOADERS = {"mnist": load_mnist, "fashion": load_fashion_mnist, "cifar10": load_cifar10}
TITLES = {"mnist": "MNIST", "fashion": "Fashion-MNIST", "cifar10": "CIFAR-10"}
# Mean gain of the auxiliary network over the base, points; Pearson's and Spearman's correlation of
# entropy and training accuracy over 20 epochs.
PUBLISHED_GAINS = {"mnist": 1.5, "fashion": 0.4, "cifar10": 5.4}
PUBLISHED_CORRELATIONS = {
    ("mnist", "true"): (-0.87, -0.94),
    ("fashion", "true"): (-0.95, -0.99),
    ("cifar10", "true"): (-0.68, -0.67),
    ("mnist", "shuffled"): (0.22, 0.51),
    ("fashion", "shuffled"): (0.57, 0.67),
}
WAYS = ("base", "proposed", "auxiliary", "control")

FULL = {"seeds": 5, "cnn_seeds": 3, "epochs": 20, "aux_epochs": 5, "rows": None}
QUICK = {"seeds": 2, "cnn_seeds": 1, "epochs": 4, "aux_epochs": 2, "rows": 4000}


# --- networks -----------------------------------------------------------------------------------


class Residual(nn.Module):
    """Two convolutions beside a straight way."""

    def __init__(self, width):
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.second = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )
        self.activation = nn.ReLU()

    def forward(self, x):
        return self.activation(x + self.second(self.first(x)))


def residual_cnn(n_channels, n_outputs):
    def widen(n_in, n_out, stride):
        convolution = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False)
        return convolution, nn.BatchNorm2d(n_out), nn.ReLU()

    return nn.Sequential(
        *widen(n_channels, 16, 2),
        Residual(16),
        *widen(16, 32, 2),
        Residual(32),
        *widen(32, 64, 2),
        Residual(64),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, n_outputs),
    )


class Accuracy(Callback):
    """Training and test accuracy after every epoch."""

    def __init__(self, test):
        self.test = test

    def on_epoch_end(self, net, dataset_train=None, **kwargs):
        train = dataset_train.inputs, dataset_train.target
        for name, (inputs, target) in {"train": train, "test": self.test}.items():
            with torch.no_grad():
                found = torch.cat([net.module_(part).argmax(1) for part in inputs.split(2000)])
            net.history.record(f"{name}_accuracy", (found == target).double().mean().item())


def network(job, settings, callbacks=None):
    is_cnn = job["network"] == "cnn"
    shape = {"module": residual_cnn} if is_cnn else {"hidden_layer_sizes": (512, 512)}
    return TorchMLPClassifier(
        **shape,
        max_epochs=settings["epochs"],
        callbacks=callbacks,
        device="cpu",
        random_state=job["seed"],
    )


# --- one job ------------------------------------------------------------------------------------


def jobs(settings):
    dense = [
        {"data": data, "network": "dense", "labels": labels, "seed": seed}
        for seed in range(settings["seeds"])
        for data in LOADERS
        for labels in ("true", "shuffled", "shift")
        if not (data == "cifar10" and labels == "shift")
    ]
    return dense + [
        {"data": "cifar10", "network": "cnn", "labels": "true", "seed": seed}
        for seed in range(min(settings["seeds"], settings["cnn_seeds"]))
    ]


def load(job, rows):
    """Training and test images, and their labels."""
    loader = partial(
        LOADERS[job["data"]],
        images=job["network"] == "cnn",
        scale=job["labels"] != "shift",
        return_X_y=True,
    )
    parts = []
    for subset in ("train", "test"):
        X, y = loader(subset=subset)
        parts += [
            np.ascontiguousarray(X[:rows], dtype=np.float32),
            np.asarray(y[:rows]).astype(np.int64),
        ]
    return parts


def run(job, settings):
    X, y, X_test, y_test = load(job, settings["rows"])
    fit = partial(with_evidence, X=X, y=y, settings=settings, seed=job["seed"])
    if job["labels"] == "shift":
        classifier = fit(network(job, settings).fit(X, y), cv=None)
        return {
            "as trained": scores(classifier, X_test, y_test),
            "train": scores(classifier, X_test / 255, y_test),
        }
    if job["labels"] == "shuffled":
        y = np.random.default_rng(job["seed"]).permutation(y)
    test = torch.from_numpy(X_test), torch.from_numpy(y_test)
    callbacks = [ActivationEntropy(by="network"), Accuracy(test)]
    base = network(job, settings, callbacks).fit(X, y)
    columns = ["epoch", "train_loss", "entropy", "train_accuracy", "test_accuracy"]
    result = {"history": base.history_[columns].round(6).to_dict("list")}
    if job["labels"] == "true":
        result["train"] = scores(fit(base, cv=None), X_test, y_test)
        result["held out"] = scores(fit(network(job, settings), cv=0.2), X_test, y_test)
    return result


def with_evidence(base, X, y, settings, seed, cv):
    return ActivationAuxClassifier(
        base, cv=cv, aux_epochs=settings["aux_epochs"], device="cpu", random_state=seed
    ).fit(X, y)


def scores(classifier, X, y):
    """Measures of each way to predict."""
    predicted = classifier.estimator_.predict_proba(X)
    found = {
        "base": predicted,
        "proposed": classifier.predict_proposed(X),
        "auxiliary": classifier.predict_proba(X),
        "control": classifier.control_.predict_proba(predicted),
    }
    return {way: measures(probabilities, y) for way, probabilities in found.items()}


def measures(probabilities, y):
    """Accuracy in %, Brier score, expected calibration error over 15 equal bins of confidence."""
    confidence, found = probabilities.max(1), probabilities.argmax(1)
    right = found == y
    bins = np.minimum((confidence * 15).astype(int), 14)
    gaps = [
        abs(confidence[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    ]
    own = np.eye(probabilities.shape[1])[y]
    return {
        "accuracy": round(100 * float(right.mean()), 3),
        "brier": round(float(((probabilities - own) ** 2).sum(1).mean()), 5),
        "ece": round(float(sum(gaps)), 5),
    }


# --- tables -------------------------------------------------------------------------------------

CONFIGURATION = ["data", "network", "labels"]


def tables(results, settings):
    return {"gains": gains(results), "entropy": correlations(results), "epochs": epochs(results)}


def gains(results):
    """Accuracy of each way, what the auxiliary network adds, and calibration."""
    rows = []
    for result in results:
        for how in ("as trained", "train", "held out"):
            if how not in result:
                continue
            found = result[how]
            row = {name: result[name] for name in [*CONFIGURATION, "seed"]} | {"aux on": how}
            row |= {way: found[way]["accuracy"] for way in WAYS}
            for one, other in (
                ("auxiliary", "base"),
                ("auxiliary", "control"),
                ("proposed", "base"),
            ):
                row[f"{one} - {other}"] = row[one] - row[other]
            for measure in ("brier", "ece"):
                row |= {f"{measure} {way}": found[way][measure] for way in ("base", "auxiliary")}
            rows.append(row)
    by = [*CONFIGURATION, "aux on"]
    frame = pd.DataFrame(rows)
    return over_seeds(frame, by, [c for c in frame.columns if c not in [*by, "seed"]])


def correlations(results):
    """Of entropy with accuracy, over the epochs of each network."""
    rows = []
    for result in results:
        if "history" not in result:
            continue
        history = result["history"]
        row = {name: result[name] for name in [*CONFIGURATION, "seed"]}
        for which in ("train", "test"):
            pair = history["entropy"], history[f"{which}_accuracy"]
            row[f"{which} pearson"] = stats.pearsonr(*pair)[0]
            row[f"{which} spearman"] = stats.spearmanr(*pair)[0]
        rows.append(row)
    frame = pd.DataFrame(rows)
    return over_seeds(frame, CONFIGURATION, list(frame.columns[len(CONFIGURATION) + 1 :]))


def epochs(results):
    """Entropy, accuracies and loss over epochs, means over seeds."""
    frames = [
        pd.DataFrame(result["history"]).assign(**{n: result[n] for n in [*CONFIGURATION, "seed"]})
        for result in results
        if "history" in result
    ]
    values = ["entropy", "train_accuracy", "test_accuracy", "train_loss"]
    return over_seeds(pd.concat(frames), [*CONFIGURATION, "epoch"], values)


# --- what holds ---------------------------------------------------------------------------------


def gain_verdict(data, tables):
    """Holds if what the auxiliary network adds is more than chance, and more than the control's."""
    row = row_of(tables["gains"], data=data, network="dense", labels="true", **{"aux on": "train"})
    if row is None:
        return None
    lower = row["auxiliary - base"] - row["auxiliary - base_ci"]
    over_control = row["auxiliary - control"] - row["auxiliary - control_ci"]
    published = PUBLISHED_GAINS[data]
    if lower > 0 and over_control > 0:
        outcome = "holds" if row["auxiliary - base"] >= published / 2 else "holds partly"
        why = "the auxiliary network beats the base and the control on the softmax alone"
    elif lower > 0:
        outcome = "holds partly"
        why = "it beats the base, but an auxiliary network on the softmax alone does as well"
    else:
        outcome, why = "does not hold", "no gain beyond chance"
    control = f"over the control {number(row, 'auxiliary - control', sign='+')}"
    return Verdict(
        f"{TITLES[data]}, dense: test gain of the auxiliary network, points",
        f"{published:+.1f}",
        f"{number(row, 'auxiliary - base', sign='+')}; {control}",
        int(row["seeds"]),
        outcome,
        why,
    )


def correlation_verdict(data, labels, tables):
    """Holds if both correlations have the published sign, their intervals apart from 0."""
    row = row_of(tables["entropy"], data=data, network="dense", labels=labels)
    if row is None:
        return None
    published = PUBLISHED_CORRELATIONS[data, labels]
    names = ("train pearson", "train spearman")
    signs = [np.sign(row[n]) if abs(row[n]) > np.nan_to_num(row[f"{n}_ci"]) else 0 for n in names]
    right = [sign == np.sign(p) for sign, p in zip(signs, published, strict=True)]
    outcome = outcome_of(right)
    why = {
        "holds": "both correlations have the published sign",
        "holds partly": "one of the correlations has the published sign",
        "does not hold": "the sign is another one, or none can be told",
    }[outcome]
    return Verdict(
        f"{TITLES[data]}, {labels} labels: entropy and training accuracy over epochs,"
        " Pearson / Spearman",
        " / ".join(f"{p:+.2f}" for p in published),
        " / ".join(number(row, n, sign="+") for n in names),
        int(row["seeds"]),
        outcome,
        why,
    )


def larger_networks(tables):
    """Networks that two cores do not reach."""
    return Verdict(
        "Gains of ResNet-50, VGG-16, on CIFAR-100 and on PlantVillage, points",
        "+1.1, +0.6, +1, +2.9",
        "-",
        0,
        "not testable here",
        "networks and data beyond two cores; a small residual CNN stands in",
    )


VERDICTS = [
    *(partial(gain_verdict, data) for data in PUBLISHED_GAINS),
    *(partial(correlation_verdict, *key) for key in PUBLISHED_CORRELATIONS),
    larger_networks,
]


# --- figures ------------------------------------------------------------------------------------


def figures(tables, folder):
    """Entropy and accuracy over epochs (the paper's Figure 2), and the gains."""
    from matplotlib import pyplot as plt

    found = tables["epochs"]
    groups = [(k, g) for k, g in found.groupby(CONFIGURATION, sort=False) if k[2] != "shift"]
    fig, axes = plt.subplots(
        -(-len(groups) // 2), 2, figsize=(8, 2.4 * -(-len(groups) // 2)), layout="constrained"
    )
    for ax, (key, part) in zip(axes.flat, groups, strict=False):
        data, kind, labels = key
        ax.plot(part["epoch"], part["entropy"], color="C3", label="entropy of all neurons, bits")
        ax.set(title=f"{TITLES[data]}, {kind}, {labels} labels", xlabel="epoch")
        twin = ax.twinx()
        for name, style in (("train", "-"), ("test", "--")):
            mean, half = part[f"{name}_accuracy"], part[f"{name}_accuracy_ci"].fillna(0)
            twin.plot(part["epoch"], mean, style, color="C0", label=f"{name} accuracy")
            twin.fill_between(part["epoch"], mean - half, mean + half, color="C0", alpha=0.2)
    lines = [*axes.flat[0].lines, *twin.lines]
    fig.legend(lines, [line.get_label() for line in lines], ncols=3, loc="outside lower center")
    for ax in list(axes.flat)[len(groups) :]:
        ax.remove()
    save_figure(fig, folder / "patterns_entropy.png")

    shown = tables["gains"].query("`aux on` != 'as trained'")
    names = [
        f"{TITLES[r['data']]}, {r['network']}, {r['labels']}, {r['aux on']}"
        for _, r in shown.iterrows()
        if r["labels"] != "shift"
    ]
    shown = shown[shown["labels"] != "shift"]
    fig, ax = plt.subplots(figsize=(7, 0.4 * len(shown) + 1.2), layout="constrained")
    for shift, (what, colour) in enumerate(
        {"auxiliary - base": "C0", "auxiliary - control": "C1"}.items()
    ):
        ax.errorbar(
            shown[what],
            np.arange(len(shown)) + 0.2 * shift,
            xerr=shown[f"{what}_ci"].fillna(0),
            fmt="o",
            color=colour,
            label=what,
        )
    ax.axvline(0, color="0.5", linewidth=1)
    ax.set_yticks(range(len(shown)), names)
    ax.invert_yaxis()
    ax.set(xlabel="test accuracy, points, 95 % interval over seeds")
    ax.legend()
    save_figure(fig, folder / "patterns_gains.png")
