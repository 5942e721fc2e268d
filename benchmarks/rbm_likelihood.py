"""What `RBM` learns beside scikit-learn's `BernoulliRBM`: likelihood, reconstructions, features.

    python -m benchmarks.rbm_likelihood [--seeds 3] [--images 10000] [--pictures FOLDER]

MNIST, once with pixels of 0 and 1 (above a half) and once with those from 0 to 1; 256 hidden units,
the same epochs and batches for all. On test images:

- the mean log pseudo-likelihood, summed over all bits of each image, which are 0 and 1 in any case;
- the mean squared error of the reconstruction from the means of the hidden units;
- the accuracy of a logistic regression on those means.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import BernoulliRBM

from benchmarks._timing import print_rows, write
from sknninterp import RBM
from sknninterp.datasets import load_mnist

THEIRS, OURS = "BernoulliRBM (learning rate 0.1)", "RBM (cd, defaults)"
LIKE_THEIRS = {"persistent": True, "momentum": (0.0, 0.0)}
CONTESTANTS = {
    THEIRS: (BernoulliRBM, {"learning_rate": 0.1}),
    "RBM persistent, no momentum, 0.1": (RBM, {**LIKE_THEIRS, "learning_rate": 0.1}),
    "BernoulliRBM, 0.01": (BernoulliRBM, {"learning_rate": 0.01}),
    "RBM persistent, no momentum, 0.01": (RBM, {**LIKE_THEIRS, "learning_rate": 0.01}),
    OURS: (RBM, {}),
    "RBM, hidden units sampled": (RBM, {"sample_hidden": True}),
    "RBM, CD-10, sampled": (RBM, {"sample_hidden": True, "n_steps": 10}),
    "RBM, reconstruction rule": (RBM, {"rule": "reconstruction"}),
}


def pseudo_likelihood(machine, bits) -> float:
    """Mean over images of the sum over bits of log P(bit | the others)."""
    names = ("components_", "intercept_hidden_", "intercept_visible_")
    weight, hidden, visible = (torch.from_numpy(getattr(machine, n)).double() for n in names)
    total = 0.0
    for v in torch.from_numpy(bits).double():
        change = 1 - 2 * v  # what flipping adds to each bit
        inputs = weight @ v + hidden
        flipped = inputs + change[:, None] * weight.T
        # softplus of both, without its rounding above 20
        gain = torch.logaddexp(flipped, torch.zeros(())).sum(1)
        gain -= torch.logaddexp(inputs, torch.zeros(())).sum()
        total += torch.nn.functional.logsigmoid(-(gain + change * visible)).sum().item()
    return total / len(bits)


def reconstruction_error(machine, X) -> float:
    """Mean squared difference between images and their mean-field reconstructions."""
    inputs = machine.transform(X) @ machine.components_ + machine.intercept_visible_
    return float(np.mean((1 / (1 + np.exp(-inputs)) - X) ** 2))


def accuracy(machine, data, n_train) -> float:
    """Of a logistic regression on the hidden units, in %."""
    model = LogisticRegression(max_iter=300)
    model.fit(machine.transform(data["X"][:n_train]), data["y"][:n_train])
    return 100 * model.score(machine.transform(data["X_test"]), data["y_test"])


def measured(name, data, seed, options):
    maker, settings = CONTESTANTS[name]
    shared = {"batch_size": options.batch_size, "n_iter": options.epochs, "random_state": seed}
    machine = maker(options.components, **shared, **settings).fit(data["X"])
    result = {
        "pseudo_likelihood": pseudo_likelihood(machine, data["bits"][: options.bits]),
        "reconstruction_error": reconstruction_error(machine, data["X_test"]),
        "accuracy": accuracy(machine, data, options.labels),
    }
    return machine, {key: round(value, 5) for key, value in result.items()}


def load(n_images: int) -> dict[str, dict]:
    """The data of both kinds."""
    X, y = load_mnist(subset="train", return_X_y=True)
    X_test, y_test = load_mnist(subset="test", return_X_y=True)
    X, X_test = (np.ascontiguousarray(a, dtype=np.float32) for a in (X, X_test))
    chosen = np.random.default_rng(0).permutation(len(X))[:n_images]
    bits = (X_test > 0.5).astype(np.float32)
    y, y_test = np.asarray(y)[chosen], np.asarray(y_test)
    X = X[chosen]
    same = {"y": y, "y_test": y_test, "bits": bits[np.random.default_rng(1).permutation(len(bits))]}
    return {
        "bits": {"X": (X > 0.5).astype(np.float32), "X_test": bits, **same},
        "pixels": {"X": X, "X_test": X_test, **same},
    }


def summary(runs: list[dict]) -> list[dict]:
    rows = []
    for kind in ("bits", "pixels"):
        for name in CONTESTANTS:
            same = [run for run in runs if (run["data"], run["name"]) == (kind, name)]
            row = {"data": kind, "name": name}
            digits = {"pseudo_likelihood": 2, "reconstruction_error": 4, "accuracy": 2}
            for key, n in digits.items():
                values = [run[key] for run in same]
                spread = np.std(values, ddof=1) if len(values) > 1 else float("nan")
                row[key] = f"{np.mean(values):.{n}f} ± {spread:.{n}f}"
            rows.append(row)
    return rows


def draw(machines: dict, folder: Path) -> None:
    """Filters of both machines side by side."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from sknninterp.plotting import filters

    folder.mkdir(parents=True, exist_ok=True)
    for kind in ("bits", "pixels"):
        _, axes = plt.subplots(1, 2, figsize=(14, 7), layout="constrained")
        for ax, name in zip(axes, (THEIRS, OURS), strict=True):
            weights = machines[kind, name].components_
            filters(weights, (28, 28), n=64, order="norm", ax=ax, title=name)
        plt.savefig(folder / f"rbm_filters_{kind}.png", dpi=80)
        plt.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--components", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--bits", type=int, default=300, help="images for the pseudo-likelihood")
    parser.add_argument("--labels", type=int, default=5_000, help="images for the regression")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pictures", type=Path, help="folder for pictures of the filters")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    runs, machines = [], {}
    for kind, data in load(options.images).items():
        for seed in range(options.seeds):
            for name in CONTESTANTS:
                machine, result = measured(name, data, seed, options)
                runs.append({"data": kind, "name": name, "seed": seed, **result})
                machines.setdefault((kind, name), machine)
                print(kind, seed, name, result, flush=True)
    rows = summary(runs)
    columns = ["data", "name", "pseudo_likelihood", "reconstruction_error", "accuracy"]
    print_rows(f"Test images, {options.seeds} seeds", rows, columns)
    if options.pictures:
        draw(machines, options.pictures)
    settings = {key: value for key, value in vars(options).items() if key != "pictures"}
    write("rbm_likelihood", {"settings": settings, "summary": rows, "runs": runs})


if __name__ == "__main__":
    main()
