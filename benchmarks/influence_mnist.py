"""The CNN of Jung, Shin and Kwon on MNIST: its accuracy, and the pictures of its scores.

    SKNNINTERP_DATA=... python -m benchmarks.influence_mnist --model /tmp/cnn.joblib

The fitted network is kept in `--model`, so that the pictures can be drawn again without training.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import joblib
import torch
from skorch.callbacks import LRScheduler

from benchmarks._timing import write
from sknninterp import TorchMLPClassifier
from sknninterp.datasets import load_mnist
from sknninterp.nn.cnn import FixedKernelCNN


def fit_network(path: Path | None, max_epochs: int, seed: int) -> TorchMLPClassifier:
    """The network, from `path` if it is there, else trained and kept there."""
    if path is not None and path.exists():
        return joblib.load(path)
    X, y = load_mnist(subset="train", images=True, return_X_y=True)
    schedule = LRScheduler("CosineAnnealingLR", T_max=max_epochs)
    network = TorchMLPClassifier(
        module=FixedKernelCNN,
        max_epochs=max_epochs,
        lr=2e-3,
        batch_size=128,
        callbacks=[("schedule", schedule)],
        random_state=seed,
        verbose=1,
    )
    start = time.perf_counter()
    network.fit(X, y)
    network.seconds_ = time.perf_counter() - start
    if path is not None:
        joblib.dump(network, path)
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, help="file that keeps the fitted network")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    network = fit_network(arguments.model, arguments.epochs, arguments.seed)
    X_test, y_test = load_mnist(subset="test", images=True, return_X_y=True)
    results = {
        "seed": arguments.seed,
        "epochs": arguments.epochs,
        "test_accuracy": network.score(X_test, y_test),
        "training_s": round(network.seconds_, 1),
    }
    print(results)
    write("influence_mnist", results)


if __name__ == "__main__":
    main()
