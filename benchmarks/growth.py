"""How time and memory grow with samples and with features: training, ranking, explaining.

    python -m benchmarks.growth [--rows 10000 100000 1000000] [--features 100 1000 20000]

Each step in a process of its own, on a network of two layers of 64: two epochs of training, a
ranking (`PWPExplainer.fit`), all contributions (`explain`), the same in batches that are thrown
away (`explain_batches`), and the 20 strongest interactions. Samples grow at 100 features, features
at 2,000 samples. Memory is what the step adds to the peak. The slope is that of log time in log
size, from the two largest sizes: 1 is in proportion.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

import numpy as np

from benchmarks._timing import peak_memory_mib, print_rows, write

STEPS = ("fit", "rank", "explain", "explain in batches", "interactions")
FEW_ROWS, FEW_FEATURES = 2_000, 100


def run_step(step: str, n_rows: int, n_features: int) -> dict:
    """Seconds and added memory of one step."""
    from sknninterp import PWPExplainer, TorchMLPClassifier

    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_features), dtype=np.float32)
    y = (X[:, 0] > 0).astype(int)
    few, network = slice(FEW_ROWS), TorchMLPClassifier((64, 64), max_epochs=2, random_state=0)
    network.fit(X[few], y[few])  # what is loaded once is loaded now
    explainer = PWPExplainer(network).fit(X[few])
    explainer.explain(X[:10])
    run = {
        "fit": lambda: network.fit(X, y),
        "rank": lambda: explainer.fit(X),
        "explain": lambda: explainer.explain(X, target=1),
        "explain in batches": lambda: sum(
            np.abs(part.values).sum() for part in explainer.explain_batches(X, target=1)
        ),
        "interactions": lambda: explainer.interactions(),
    }[step]
    before, start = peak_memory_mib(), time.perf_counter()
    run()
    return {
        "step": step,
        "rows": n_rows,
        "features": n_features,
        "seconds": round(time.perf_counter() - start, 4),
        "data_mib": round(X.nbytes / 2**20, 1),
        "added_mib": round(peak_memory_mib() - before, 1),
    }


def fresh(step: str, n_rows: int, n_features: int) -> dict:
    """A step in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.growth", "--step", step]
    command += ["--rows", str(n_rows), "--features", str(n_features)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def slope(rows: list[dict], size: str) -> float:
    """Of log seconds in log size, from the two largest sizes."""
    a, b = sorted(rows, key=lambda row: row[size])[-2:]
    return round(float(np.log(b["seconds"] / a["seconds"]) / np.log(b[size] / a[size])), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--features", type=int, nargs="+", default=[100, 1_000, 20_000])
    parser.add_argument("--step", choices=STEPS, help="one step alone, of the first sizes")
    options = parser.parse_args()
    if options.step:
        print(json.dumps(run_step(options.step, options.rows[0], options.features[0])))
        return
    results: dict = {"settings": {"rows": options.rows, "features": options.features}}
    slopes = []
    for size, sizes in (("rows", options.rows), ("features", options.features)):
        results[size] = []
        for step in STEPS:
            rows = [
                fresh(step, n, FEW_FEATURES) if size == "rows" else fresh(step, FEW_ROWS, n)
                for n in sizes
            ]
            results[size] += rows
            slopes.append({"step": step, "with": size, "slope": slope(rows, size)})
        print_rows(f"Growth with {size}", results[size], list(results[size][0]))
    results["slopes"] = slopes
    print_rows("Slopes", slopes, list(slopes[0]))
    write("growth", results)


if __name__ == "__main__":
    main()
