"""Where the time goes: products of matrices, other operations of torch, Python between them.

    python -m benchmarks.profiles [--rows 20000] [--threads 1]

Every workload for which there is a target of speed, profiled on one thread after a warm-up. The
products are what the mathematics cannot do without; operations are all others of torch, such as
activations, updates and the data's order; the rest of the time on the clock is Python, and torch
between operations. The profiler makes that rest look larger: `overhead` is the time with it over
the time without.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, make_classification
from sklearn.preprocessing import StandardScaler
from torch.profiler import ProfilerActivity, profile

from benchmarks._timing import print_rows, write
from sknninterp import (
    RBM,
    ActivationAuxClassifier,
    ANTClassifier,
    ANTClassifierCV,
    GradientXInputExplainer,
    InfluentialScores,
    PWPExplainer,
    RepeatedExplainer,
    TorchMLPClassifier,
)

PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "addbmm", "mv", "addmv", "dot", "convolution"}
MOST = 5


def workloads(n_rows: int) -> dict[str, Callable[[], object]]:
    rng = np.random.default_rng(0)
    pixels = rng.random((n_rows, 784), dtype=np.float32)
    digits = rng.integers(0, 10, n_rows)
    X, y = make_classification(n_rows, 30, n_informative=10, random_state=0)
    X = X.astype(np.float32)
    cancer, ill = load_breast_cancer(return_X_y=True)
    cancer = StandardScaler().fit_transform(cancer).astype(np.float32)

    small = TorchMLPClassifier((64, 64), max_epochs=5, random_state=0)
    large = TorchMLPClassifier((800, 800), max_epochs=1, random_state=0).fit(pixels, digits)
    search = ANTClassifierCV(
        ANTClassifier((64, 64), max_epochs=5),
        pruning_rates=[0, 0.25, 0.5, 0.75, 0.9],
        refit=False,
        random_state=0,
    )
    repeated = RepeatedExplainer(PWPExplainer(small), n_repeats=50, random_state=0)
    tuned = ANTClassifier((512, 512), pruning_rate=0.75, max_epochs=3, random_state=0)
    auxiliary = ActivationAuxClassifier(large, random_state=0)
    explained = pixels[:512]
    return {
        "training, 30-64-64-2, 5 epochs": lambda: small.fit(X, y),
        "training, 784-800-800-10, 1 epoch": lambda: large.fit(pixels, digits),
        "neuron tuning, 784-512-512-10, 3 epochs": lambda: tuned.fit(pixels, digits),
        "an RBM's epoch, 784-800": lambda: RBM(800, n_iter=1, random_state=0).fit(pixels),
        "auxiliary classifier of 784-800-800-10": lambda: auxiliary.fit(pixels, digits),
        "search of 25 networks 30-64-64-2, 5 epochs": lambda: search.fit(X, y),
        "50 networks on breast cancer, 5 epochs": lambda: repeated.fit(cancer, ill),
        "influential scores, 784-800-800-10, 512 samples": lambda: (
            InfluentialScores(large).fit(explained).explain(explained)
        ),
        "weight products of the same": lambda: (
            PWPExplainer(large).fit(explained).explain(explained)
        ),
        "gradient x input of the same": lambda: (
            GradientXInputExplainer(large).fit(explained).explain(explained)
        ),
    }


def profiled(run: Callable[[], object]) -> dict:
    """Shares of the time on the clock."""
    run()
    plain = statistics.median(seconds(run) for _ in range(3))
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as recorded:
        watched = seconds(run)
    times = {}
    for event in recorded.key_averages():
        if event.key.startswith("aten::"):
            name = event.key.removeprefix("aten::").removeprefix("mkldnn_").rstrip("_")
            times[name] = times.get(name, 0) + event.self_cpu_time_total / 1e6
    products = sum(spent for name, spent in times.items() if name in PRODUCTS)
    others = {name: spent for name, spent in times.items() if name not in PRODUCTS}
    largest = sorted(others, key=others.get, reverse=True)[:MOST]
    return {
        "seconds": round(plain, 4),
        "overhead": round(watched / plain, 2),
        "products": round(products / watched, 3),
        "operations": round(sum(others.values()) / watched, 3),
        "rest": round(1 - sum(times.values()) / watched, 3),
        "largest operations": {name: round(others[name] / watched, 3) for name in largest},
    }


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = [{"what": what, **profiled(run)} for what, run in workloads(options.rows).items()]
    columns = ["what", "seconds", "overhead", "products", "operations", "rest"]
    print_rows("shares of the time", rows, columns)
    write("profiles", {"settings": vars(options), "rows": rows})


if __name__ == "__main__":
    main()
