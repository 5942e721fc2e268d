"""What activation patterns cost beside what is paid anyway: a forward pass, an epoch, memory.

    python -m benchmarks.activation_speed [--repeats 7] [--threads 2 1] [--rows 60000]
        [--units 512] [--samples 500 2000 8000]

On MNIST and a network 784-512-512-10, contestants taking turns in every repeat:

- P and selectivity, these with one-pass entropy, and exact entropy (two passes), each beside a
  plain forward pass over the same tensors in the same batches, small ones as in training and large
  ones as estimators read them (at most 1.5 is wanted);
- the auxiliary step, which is `ActivationAuxClassifier.fit` on a trained network, beside one epoch
  of its training with batches of 128, set-up included (at most 0.5 is wanted), with the control
  and without, from the control's own time in the same repeat;
- an epoch with `entropy_weight`, and one with the callback `ActivationEntropy`.

Memory that collecting adds is measured on a CNN with 100,352 hidden neurons, in a fresh process for
each number of samples, which it must not grow with.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.base import clone
from torch import nn

from benchmarks._timing import paired, peak_memory_mib, print_rows, table, write
from sknninterp import ActivationAuxClassifier, ActivationEntropy, TorchMLPClassifier
from sknninterp.datasets import load_mnist
from sknninterp.nn.activation_entropy import activation_entropy
from sknninterp.nn.activations import activation_statistics
from sknninterp.nn.graph import read
from sknninterp.nn.hidden_neurons import HiddenNeurons
from sknninterp.nn.mlp import MLP

N_CLASSES = 10
FORWARD, EPOCH = "plain forward pass", "one epoch"
STEP, CONTROL = "auxiliary step", "control alone"


def training_data(n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = load_mnist(subset="train", return_X_y=True)
    X = np.ascontiguousarray(X[:n_rows], dtype=np.float32)
    return X, np.asarray(y[:n_rows]).astype(np.int64)


# --- collecting ---------------------------------------------------------------------------------


class Batches:
    """Slices of tensors, as often as wanted."""

    def __init__(self, X, y, size):
        self.tensors = torch.from_numpy(X), torch.from_numpy(y)
        self.size = size

    def __iter__(self):
        return zip(*(tensor.split(self.size) for tensor in self.tensors), strict=True)


def forward(network, batches):
    with torch.no_grad():
        for inputs, _ in batches:
            network(inputs)


def collecting(X, y, units: int, size: int, repeats: int) -> list[dict]:
    torch.manual_seed(0)
    network = MLP(X.shape[1], N_CLASSES, (units, units)).eval()
    neurons = HiddenNeurons(read(network, (X.shape[1],)))
    batches = Batches(X, y, size)

    def collect(entropy):
        found = activation_statistics(neurons, batches, N_CLASSES, entropy=entropy)
        return found.probabilities, found.selectivity, entropy and found.entropy

    contestants = {
        FORWARD: lambda: forward(network, batches),
        "P, selectivity": lambda: collect(False),
        "P, selectivity, one-pass entropy": lambda: collect(True),
        "one-pass entropy of every class too": lambda: collect("classes"),
        "exact entropy alone": lambda: activation_entropy(neurons, batches),
    }
    return table(paired(contestants, repeats), FORWARD)


# --- training -----------------------------------------------------------------------------------


def epochs(X, y, units: int, repeats: int) -> list[dict]:
    """The auxiliary step, penalty and callback beside one epoch."""

    def network(**options):
        options = {"max_epochs": 1, "device": "cpu", "random_state": 0} | options
        return TorchMLPClassifier((units, units), **options)

    def step():
        return ActivationAuxClassifier(base, device="cpu", random_state=0).fit(X, y)

    base = network().fit(X, y)
    fitted, predicted = step(), base.predict_proba(X)

    def control():
        clone(fitted.control_).fit(predicted, y).predict_proba(predicted)

    contestants = {
        EPOCH: lambda: network().fit(X, y),
        STEP: step,
        CONTROL: control,
        "epoch with entropy_weight": lambda: network(entropy_weight=0.01).fit(X, y),
        "epoch with ActivationEntropy": lambda: network(callbacks=[ActivationEntropy()]).fit(X, y),
    }
    seconds = paired(contestants, repeats)
    without = [step - own for step, own in zip(seconds[STEP], seconds[CONTROL], strict=True)]
    return table(seconds | {"auxiliary step without the control": without}, EPOCH)


# --- memory -------------------------------------------------------------------------------------


def cnn() -> nn.Module:
    """Four layers of 32 maps of 28 x 28: 100,352 hidden neurons."""
    layers: list[nn.Module] = []
    for n_in in (1, 32, 32, 32):
        layers += [nn.Conv2d(n_in, 32, 3, padding=1), nn.ReLU()]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, N_CLASSES)
    ).eval()


def memory_mib() -> float:
    """Resident size of this process now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def memory_of_collecting(n_samples: int, entropy: bool, threads: int) -> dict:
    """Memory that collecting adds, over batches of 100 images made as needed."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = cnn()
    neurons = HiddenNeurons(read(network, (1, 28, 28)))

    def batches(n):
        for _ in range(0, n, 100):
            yield torch.rand(100, 1, 28, 28), torch.arange(100) % N_CLASSES

    with torch.no_grad():
        network(torch.rand(2, 1, 28, 28))
    before = memory_mib()
    found = activation_statistics(neurons, batches(n_samples), N_CLASSES, entropy=entropy)
    found.probabilities, found.selectivity, entropy and found.entropy  # noqa: B018
    return {
        "samples": n_samples,
        "entropy": entropy,
        "added_mib": round(peak_memory_mib() - before, 1),
        "classes x neurons x 8": round(N_CLASSES * neurons.n_neurons * 8 / 2**20, 1),
        "n x neurons x 4": round(n_samples * neurons.n_neurons * 4 / 2**20, 1),
    }


def fresh(function: str, *arguments) -> dict:
    """A function of this module in a process of its own."""
    # Forked after the imports, whose own peak would hide what follows.
    call = f"""
import json, os
from benchmarks import activation_speed
child = os.fork()
if child == 0:
    print(json.dumps(activation_speed.{function}(*{arguments!r})), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    done = subprocess.run([sys.executable, "-c", call], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 1])
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--units", type=int, default=512)
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 4096])
    parser.add_argument("--samples", type=int, nargs="+", default=[500, 2000, 8000])
    options = parser.parse_args()
    X, y = training_data(options.rows)
    results: dict = {"settings": vars(options), "collecting": {}, "epochs": {}}
    columns = ["name", "median_s", "ratio"]
    for threads in options.threads:
        torch.set_num_threads(threads)
        for size in options.batches:
            title = f"{threads} threads, batches of {size}"
            rows = collecting(X, y, options.units, size, options.repeats)
            results["collecting"][title] = rows
            print_rows(f"Reading {len(X)} images, {title}", rows, columns)
        rows = results["epochs"][f"{threads} threads"] = epochs(
            X, y, options.units, options.repeats
        )
        print_rows(f"Training on {len(X)} images, {threads} threads", rows, columns)
    rows = results["memory"] = [
        fresh("memory_of_collecting", n, entropy, options.threads[0])
        for entropy in (False, True)
        for n in options.samples
    ]
    print_rows("Memory of collecting at its peak, MiB", rows, list(rows[0]))
    write("activation_speed", results)


if __name__ == "__main__":
    main()
