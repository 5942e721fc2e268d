"""Do hidden neurons know more than the softmax? And does activation entropy follow accuracy?

    python -m benchmarks.activation_patterns [--seeds 5] [--epochs 20] [--work FOLDER]
        [--part I/N] [--gather]

Dense networks 512-512 on MNIST, Fashion-MNIST and CIFAR-10 and a small residual CNN on CIFAR-10,
Adam, batches of 128. Test accuracy, Brier score and expected calibration error of

- the base and Y_proposed,
- the auxiliary network on [Y_proposed, Y_predicted] (five epochs, as published),
- the control: an auxiliary network on Y_predicted alone,

with the auxiliary networks trained on the base's training data ("train", as published) and on a
fifth held out from it ("held out", with a base of its own). "Shift" trains on raw pixels, 0 to 255,
and evaluates at pixels / 255. Activation entropy of the training images is taken after every epoch,
for true and for shuffled labels, beside training and test accuracy.

A finished job is a file in the work folder: a run that was cut off goes on where it was. Several
processes share the work with `--part 1/2` and so on; `--gather` writes the results.

Source: *Leveraging Neuron Activation Patterns to Explain and Improve Deep Learning Classifiers*.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from skorch.callbacks import Callback
from torch import nn

from benchmarks._timing import print_rows, write
from sknninterp import ActivationAuxClassifier, ActivationEntropy, TorchMLPClassifier
from sknninterp.datasets import load_cifar10, load_fashion_mnist, load_mnist

LOADERS = {"mnist": load_mnist, "fashion": load_fashion_mnist, "cifar10": load_cifar10}
# Published: mean gain of the auxiliary network over the base, points; Pearson / Spearman of entropy
# and training accuracy over 20 epochs, with true and with shuffled labels.
PUBLISHED = {
    "mnist": {"gain": 1.5, "true": (-0.87, -0.94), "shuffled": (0.22, 0.51)},
    "fashion": {"gain": 0.4, "true": (-0.95, -0.99), "shuffled": (0.57, 0.67)},
    "cifar10": {"gain": 5.4, "true": (-0.68, -0.67), "shuffled": None},
}


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


def network(kind, options, seed, callbacks=None):
    shape = {"hidden_layer_sizes": (512, 512)} if kind == "dense" else {"module": residual_cnn}
    return TorchMLPClassifier(
        **shape, max_epochs=options.epochs, callbacks=callbacks, device="cpu", random_state=seed
    )


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


def evidence(base, X, y, X_test, y_test, cv, seed):
    """Each way to predict on the test images."""
    classifier = ActivationAuxClassifier(
        base, cv=cv, aux_epochs=5, device="cpu", random_state=seed
    ).fit(X, y)
    predicted = classifier.estimator_.predict_proba(X_test)
    found = {
        "base": predicted,
        "proposed": classifier.predict_proposed(X_test),
        "auxiliary": classifier.predict_proba(X_test),
        "control": classifier.control_.predict_proba(predicted),
    }
    return classifier, {name: measures(values, y_test) for name, values in found.items()}


def load(name, kind, scale=True):
    images = kind == "cnn"
    parts = []
    for subset in ("train", "test"):
        X, y = LOADERS[name](subset=subset, images=images, scale=scale, return_X_y=True)
        parts += [np.ascontiguousarray(X, dtype=np.float32), np.asarray(y).astype(np.int64)]
    return parts


def run(job, options):
    name, kind, labels, seed = job
    X, y, X_test, y_test = load(name, kind, scale=labels != "shift")
    start = time.perf_counter()
    result = {"data": name, "network": kind, "labels": labels, "seed": seed}
    if labels == "shift":
        base = network(kind, options, seed).fit(X, y)
        classifier, result["as trained"] = evidence(base, X, y, X_test, y_test, None, seed)
        predicted = base.predict_proba(X_test / 255)
        result["train"] = {
            "base": measures(predicted, y_test),
            "proposed": measures(classifier.predict_proposed(X_test / 255), y_test),
            "auxiliary": measures(classifier.predict_proba(X_test / 255), y_test),
            "control": measures(classifier.control_.predict_proba(predicted), y_test),
        }
    else:
        if labels == "shuffled":
            y = np.random.default_rng(seed).permutation(y)
        test = torch.from_numpy(X_test), torch.from_numpy(y_test)
        callbacks = [ActivationEntropy(by="network"), Accuracy(test)]
        base = network(kind, options, seed, callbacks).fit(X, y)
        columns = ["epoch", "train_loss", "entropy", "train_accuracy", "test_accuracy"]
        result["history"] = base.history_[columns].round(6).to_dict("list")
        if labels == "true":
            _, result["train"] = evidence(base, X, y, X_test, y_test, None, seed)
            fresh = network(kind, options, seed)
            _, result["held out"] = evidence(fresh, X, y, X_test, y_test, 0.2, seed)
    result["s"] = round(time.perf_counter() - start, 1)
    return result


def jobs(options):
    dense = [
        (name, "dense", labels, seed)
        for seed in range(options.seeds)
        for name in LOADERS
        for labels in ("true", "shuffled", "shift")
        if not (name == "cifar10" and labels == "shift")
    ]
    return dense + [("cifar10", "cnn", "true", seed) for seed in range(min(options.seeds, 3))]


def interval(values):
    """Mean with half the width of its 95 % interval (Student's t)."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return f"{values.mean():.3f}"
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():.3f} +- {half:.3f}"


def gains(results):
    rows = []
    for name, kind, labels in sorted({(r["data"], r["network"], r["labels"]) for r in results}):
        same = [
            r for r in results if (r["data"], r["network"], r["labels"]) == (name, kind, labels)
        ]
        for how in ("train", "held out"):
            found = [r[how] for r in same if how in r]
            if not found:
                continue
            row = {"data": name, "network": kind, "labels": labels, "aux on": how}
            row["seeds"] = len(found)
            for which in ("base", "proposed", "auxiliary", "control"):
                row[which] = interval([f[which]["accuracy"] for f in found])
            differences = [f["auxiliary"]["accuracy"] - f["base"]["accuracy"] for f in found]
            row["aux - base"] = interval(differences)
            differences = [f["auxiliary"]["accuracy"] - f["control"]["accuracy"] for f in found]
            row["aux - control"] = interval(differences)
            for score in ("brier", "ece"):
                row[f"{score} base"] = interval([f["base"][score] for f in found])
                row[f"{score} aux"] = interval([f["auxiliary"][score] for f in found])
            row["published gain"] = PUBLISHED[name]["gain"] if kind == "dense" else None
            rows.append(row)
    return rows


def correlations(results):
    rows = []
    for name, kind, labels in sorted({(r["data"], r["network"], r["labels"]) for r in results}):
        found = [
            r["history"]
            for r in results
            if (r["data"], r["network"], r["labels"]) == (name, kind, labels) and "history" in r
        ]
        if not found:
            continue
        row = {"data": name, "network": kind, "labels": labels, "seeds": len(found)}
        for which in ("train", "test"):
            pairs = [(h["entropy"], h[f"{which}_accuracy"]) for h in found]
            row[f"{which} pearson"] = interval([stats.pearsonr(*pair)[0] for pair in pairs])
            row[f"{which} spearman"] = interval([stats.spearmanr(*pair)[0] for pair in pairs])
        row["published (train)"] = PUBLISHED[name].get(labels) if kind == "dense" else None
        rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--work", type=Path, default=Path("activation-patterns"))
    parser.add_argument("--part", default="1/1")
    parser.add_argument("--gather", action="store_true", help="only write what is finished")
    options = parser.parse_args()
    options.work.mkdir(exist_ok=True, parents=True)
    part, n_parts = (int(number) for number in options.part.split("/"))
    paths = {job: options.work / ("_".join(map(str, job)) + ".json") for job in jobs(options)}
    if not options.gather:
        torch.set_num_threads(max(1, torch.get_num_threads() // n_parts))
        for job, path in list(paths.items())[part - 1 :: n_parts]:
            if not path.exists():
                result = run(job, options)
                path.write_text(json.dumps(result))
                accuracies = {k: v["accuracy"] for k, v in result.get("train", {}).items()}
                print(job, result["s"], accuracies, flush=True)
    if options.gather or n_parts == 1:
        results = [json.loads(path.read_text()) for path in paths.values() if path.exists()]
        tables = {"gains": gains(results), "entropy": correlations(results)}
        for title, rows in tables.items():
            if rows:
                print_rows(title, rows, list(rows[0]))
        write("activation_patterns", {**tables, "runs": results})


if __name__ == "__main__":
    main()
