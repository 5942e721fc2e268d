"""Does pretraining by restricted Boltzmann machines help? The published table, and few labels.

    python -m benchmarks.rbm_pretraining [--seeds 3] [--epochs 90] [--deep-epochs 15]
        [--work FOLDER] [--part I/N] [--gather]

MNIST, pixels from 0 to 1, batches of 128. Each hidden layer of 784-800-800-10 (and of
784-1600-1600-800-10, one seed) is pretrained for ten epochs on all 60,000 training images without
labels; then SGD with a learning rate of 0.1 and momentum 0.9 trains the network on all labels, and
from the same pretrained weights on 600, 1,200 and 6,000 of them. Test accuracy is measured every
fifth epoch (the last included), as in the paper. "none" is the plain network; "start" has only the
first weights of the machines, so that it tells pretraining from its initialisation.

A finished network is a file in the work folder: a run that was cut off goes on where it was.
Several processes share the work with `--part 1/2` and so on; `--gather` writes the results.

Source: A. Kroschanka and V. Golovko, *Neural Networks Interpretation Improvement*, Table II.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from skorch.callbacks import Callback

from benchmarks._timing import print_rows, write
from sknninterp import TorchMLPClassifier
from sknninterp.datasets import load_mnist
from sknninterp.nn.mlp import MLP
from sknninterp.nn.pretraining import pretrain

NETWORKS = {"784-800-800-10": (800, 800), "784-1600-1600-800-10": (1600, 1600, 800)}
METHODS = ("none", "start", "cd", "reconstruction", "hybrid")
PUBLISHED = {  # best over checks every fifth epoch, one run
    ("784-800-800-10", "relu"): (98.64, None, 98.62, 98.81, 98.51),
    ("784-1600-1600-800-10", "relu"): (98.56, None, 98.58, 98.70, 98.68),
    ("784-800-800-10", "sigmoid"): (98.18, None, 98.47, 98.36, 98.43),
    ("784-1600-1600-800-10", "sigmoid"): (98.00, None, 98.54, 98.47, 98.46),
}
# Few labels get more epochs: as many steps in the end as a larger set has in fewer.
FEW_LABELS = {600: 450, 1200: 225, 6000: 90}
BATCH_SIZE = 128


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


def pretrained_network(sizes, activation, method, images, seed):
    torch.manual_seed(seed)
    network = MLP(784, 10, sizes, activation)
    if method == "none":
        return network, []
    generator = torch.Generator().manual_seed(seed)

    class Batches:
        def __iter__(self):
            order = torch.randperm(len(images), generator=generator)
            return (images[rows] for rows in order.split(BATCH_SIZE))

    rule = "reconstruction" if method == "start" else method
    epochs = 0 if method == "start" else 10
    layers = pretrain(network, (784,), Batches(), rule=rule, n_epochs=epochs, generator=generator)
    return network, [
        {"layer": layer.name, **epoch._asdict()} for layer in layers for epoch in layer.epochs
    ]


def fine_tuned(network, X, y, test, epochs, seed):
    """Test accuracy at each check, in %."""
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
        "epochs": checks["epoch"].tolist(),
        "test_accuracy": checks["test_accuracy"].round(3).tolist(),
        "train_loss": checks["train_loss"].round(6).tolist(),
    }


def balanced_subset(y, n, seed):
    """As many images of each digit, drawn at random."""
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(np.flatnonzero(y == digit), n // 10, replace=False) for digit in range(10)]
    return np.sort(np.concatenate(chosen))


def run(job, data, options):
    network_name, activation, method, seed = job
    X, y, test = data
    start = time.perf_counter()
    deep = len(NETWORKS[network_name]) > 2
    images = torch.from_numpy(X)
    network, errors = pretrained_network(NETWORKS[network_name], activation, method, images, seed)
    result = {
        "network": network_name,
        "activation": activation,
        "method": method,
        "seed": seed,
        "pretraining": errors,
        "pretraining_s": round(time.perf_counter() - start, 1),
        "labels": {},
    }
    if not deep:
        for n, epochs in FEW_LABELS.items():
            rows = balanced_subset(y, n, seed)
            result["labels"][n] = fine_tuned(network, X[rows], y[rows], test, epochs, seed)
    if method != "start":
        epochs = options.deep_epochs if deep else options.epochs
        result["labels"][len(y)] = fine_tuned(network, X, y, test, epochs, seed)
    result["s"] = round(time.perf_counter() - start, 1)
    return result


def jobs(options):
    few = [
        ("784-800-800-10", activation, method, seed)
        for seed in range(options.seeds)
        for activation in ("sigmoid", "relu")
        for method in METHODS
    ]
    deep = [
        ("784-1600-1600-800-10", activation, method, 0)
        for activation in ("sigmoid", "relu")
        for method in METHODS
        if method != "start"
    ]
    return few + deep


def summary(results):
    rows = []
    for name, activation in PUBLISHED:
        for method, published in zip(METHODS, PUBLISHED[name, activation], strict=True):
            same = [
                r
                for r in results
                if (r["network"], r["activation"], r["method"]) == (name, activation, method)
            ]
            for n in sorted({n for r in same for n in r["labels"]}, key=int):
                runs = [r["labels"][n] for r in same if n in r["labels"]]
                last = [one["test_accuracy"][-1] for one in runs]
                best = [max(one["test_accuracy"]) for one in runs]
                at_90 = [
                    dict(zip(one["epochs"], one["test_accuracy"], strict=True)).get(90)
                    for one in runs
                ]
                rows.append(
                    {
                        "network": name,
                        "activation": activation,
                        "method": method,
                        "labels": int(n),
                        "seeds": len(runs),
                        "epochs": runs[0]["epochs"][-1],
                        "last": round(float(np.mean(last)), 2),
                        "sd": round(float(np.std(last, ddof=1)), 2) if len(last) > 1 else None,
                        "best": round(float(np.mean(best)), 2),
                        "at_90": None if None in at_90 else round(float(np.mean(at_90)), 2),
                        "published_best": published if int(n) == 60_000 else None,
                    }
                )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=90)
    parser.add_argument("--deep-epochs", type=int, default=15)
    parser.add_argument("--work", type=Path, default=Path("rbm-pretraining"))
    parser.add_argument("--part", default="1/1")
    parser.add_argument("--gather", action="store_true", help="only write what is finished")
    options = parser.parse_args()
    options.work.mkdir(exist_ok=True, parents=True)
    part, n_parts = (int(number) for number in options.part.split("/"))
    if not options.gather:
        X, y = load_mnist(subset="train", return_X_y=True)
        X_test, y_test = load_mnist(subset="test", return_X_y=True)
        X, X_test = (np.ascontiguousarray(a, dtype=np.float32) for a in (X, X_test))
        y, y_test = (np.asarray(a).astype(np.int64) for a in (y, y_test))
        data = X, y, (torch.from_numpy(X_test), torch.from_numpy(y_test))
        torch.set_num_threads(max(1, torch.get_num_threads() // n_parts))
        for job in jobs(options)[part - 1 :: n_parts]:
            path = options.work / ("_".join(map(str, job)) + ".json")
            if path.exists():
                continue
            result = run(job, data, options)
            path.write_text(json.dumps(result))
            print(
                job, result["s"], {n: r["test_accuracy"][-1] for n, r in result["labels"].items()}
            )
    if options.gather or n_parts == 1:
        paths = [options.work / ("_".join(map(str, job)) + ".json") for job in jobs(options)]
        results = [json.loads(path.read_text()) for path in paths if path.exists()]
        rows = summary(results)
        columns = ["network", "activation", "method", "labels", "seeds", "epochs", "last", "sd"]
        print_rows("Test accuracy, %", rows, [*columns, "best", "at_90", "published_best"])
        write("rbm_pretraining", {"summary": rows, "runs": results})


if __name__ == "__main__":
    main()
