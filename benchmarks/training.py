"""Training speed: the estimator beside a bare torch loop, skorch and scikit-learn's MLP.

    python -m benchmarks.training [--repeats 7] [--threads 2] [--epochs 2]

Same network, batches of 128, Adam; every contestant trains the same number of epochs from scratch,
its own set-up included, and all take turns in every repeat.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNetClassifier
from torch import nn

from benchmarks._timing import paired, print_rows, table, write
from sknninterp import TorchMLPClassifier
from sknninterp.nn.mlp import MLP

NETWORKS = {
    "30-64-64-2, 50,000 rows": (30, (64, 64), 2, 50_000),
    "784-800-800-10, 60,000 rows": (784, (800, 800), 10, 60_000),
}


def bare_loop(X, y, n_inputs, hidden, n_outputs, epochs):
    """What a careful torch user writes: fused Adam, slices of tensors, nothing else."""
    network = MLP(n_inputs, n_outputs, hidden)
    inputs, target = torch.from_numpy(X), torch.from_numpy(y)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    loss_function = nn.CrossEntropyLoss()
    for _ in range(epochs):
        order = torch.randperm(len(inputs))
        for start in range(0, len(inputs), 128):
            rows = order[start : start + 128]
            optimizer.zero_grad()
            loss_function(network(inputs[rows]), target[rows]).backward()
            optimizer.step()


def contestants(X, y, n_inputs, hidden, n_outputs, epochs, threads):
    def bare(n_threads):
        def run():
            torch.set_num_threads(n_threads)
            bare_loop(X, y, n_inputs, hidden, n_outputs, epochs)
            torch.set_num_threads(threads)

        return run

    def skorch_own():
        NeuralNetClassifier(
            MLP(n_inputs, n_outputs, hidden),
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            optimizer__fused=True,
            lr=1e-3,
            batch_size=128,
            max_epochs=epochs,
            train_split=None,
            verbose=0,
        ).fit(X, y)

    runs = {
        "torch, bare loop": bare(threads),
        "TorchMLPClassifier": lambda: TorchMLPClassifier(hidden, max_epochs=epochs).fit(X, y),
        "scikit-learn MLPClassifier": lambda: MLPClassifier(
            hidden, batch_size=128, max_iter=epochs
        ).fit(X, y),
        "skorch NeuralNetClassifier": skorch_own,
    }
    if threads > 1:
        runs["torch, bare loop, 1 thread"] = bare(1)
    return runs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore", ConvergenceWarning)
    results = {}
    for name, (n_inputs, hidden, n_outputs, n_rows) in NETWORKS.items():
        rng = np.random.default_rng(0)
        X = rng.standard_normal((n_rows, n_inputs), dtype=np.float32)
        y = rng.integers(0, n_outputs, n_rows)
        small = n_inputs < 100
        repeats = options.repeats if small else max(3, options.repeats // 2)
        epochs = options.epochs * 2 if small else options.epochs
        runs = contestants(X, y, n_inputs, hidden, n_outputs, epochs, options.threads)
        rows = table(paired(runs, repeats), "torch, bare loop")
        print_rows(f"{name}: {epochs} epochs", rows, ["name", "median_s", "ratio"])
        results[name] = {"epochs": epochs, "rows": rows}
    write("training", {"settings": vars(options), "results": results})


if __name__ == "__main__":
    main()
