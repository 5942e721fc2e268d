"""The CNN of Jung, Shin and Kwon on MNIST: its accuracy, and the pictures of its scores.

    SKNNINTERP_DATA=... python -m benchmarks.influence_mnist --model cnn.joblib --pictures FOLDER

The fitted network is kept in `--model`, so that the pictures can be drawn again without training:
the score images of the paper's Figures 1 and 6 with the digit's outline, the filter scores of its
Figure 7 and the score spectra of the hidden layers (its Figures 4 and 5 show those of the synthetic
sets), and gradient x input beside them.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import joblib
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from skorch.callbacks import LRScheduler

from benchmarks._timing import write
from sknninterp import GradientXInputExplainer, InfluentialScores, TorchMLPClassifier, plotting
from sknninterp.datasets import load_mnist
from sknninterp.nn.cnn import FixedKernelCNN, image_kernels


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


def draw(network: TorchMLPClassifier, X: np.ndarray, y: np.ndarray, folder: Path) -> dict:
    """Draw the pictures; what they show in a few numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    firsts = X[[np.flatnonzero(y == digit)[0] for digit in range(10)]]
    scores = InfluentialScores(network).fit(X[:1000])
    gradients = GradientXInputExplainer(network).fit(X[:1000])

    def save(drawn, name):
        figure = getattr(drawn, "figure", drawn)
        figure.savefig(folder / f"{name}.png", dpi=100)
        plt.close(figure)

    for name, explainer in (("influence", scores), ("gradient_x_input", gradients)):
        # The digits' own classes, then some digits towards all classes.
        own = explainer.explain(firsts, target="predicted")
        save(own.plot.image(scale="panel", max_display=10), f"{name}_own_class")
        every = explainer.explain(firsts[[2, 4, 7]])
        save(every.plot.image(scale="panel"), f"{name}_every_class")
    filters = np.stack(
        [scores.filter_scores(X[y == c][:200], "conv1").mean(0)[:, c] for c in range(10)], 1
    )
    kernels = image_kernels()
    drawn = plotting.filter_scores(
        filters,
        np.stack([kernel.numpy() for kernel in kernels.values()]),
        filter_names=list(kernels),
        output_names=list(range(10)),
    )
    save(drawn, "filters")
    layers = scores.layers_[1:-1]
    spectra = {layer: scores.filter_scores(X[:500], layer).mean(0) for layer in layers}
    save(plotting.score_spectrum(spectra, output_names=list(range(10))), "spectra")
    strongest = np.argsort(-np.abs(filters).mean(1))[:10]
    return {"strongest_filters": [list(kernels)[i] for i in strongest]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", type=Path, help="folder for the pictures")
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
    if arguments.pictures is not None:
        results |= draw(network, X_test, y_test, arguments.pictures)
    print(results)
    write("influence_mnist", results)


if __name__ == "__main__":
    main()
