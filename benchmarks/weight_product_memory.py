"""Time and peak memory of weight products on 22,283 features, each step in a fresh process.

python -m benchmarks.weight_product_memory [--rows 104] [--features 22283]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

import numpy as np

from benchmarks._timing import peak_memory_mib, print_rows, write

STEPS = ("network only", "fit", "explain", "interactions")


def run_step(step: str, n_rows: int, n_features: int) -> dict:
    """One step on a network 22,283-512-128-2, with the memory it added."""
    from sknninterp import PWPExplainer, TorchMLPClassifier

    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_features), dtype=np.float32)
    y = np.arange(n_rows) % 2
    network = TorchMLPClassifier((512, 128), max_epochs=2, random_state=0).fit(X, y)
    explainer = PWPExplainer(network)
    if step in ("explain", "interactions"):
        explainer.fit(X)
    before, start, result_mib = peak_memory_mib(), time.perf_counter(), 0.0
    if step == "fit":
        explainer.fit(X)
    elif step == "explain":
        result_mib = explainer.explain(X).values.nbytes / 2**20
    elif step == "interactions":
        result_mib = explainer.interactions(top=20).memory_usage().sum() / 2**20
    return {
        "step": step,
        "seconds": round(time.perf_counter() - start, 3),
        "peak_before_mib": round(before, 1),
        "added_mib": round(peak_memory_mib() - before, 1),
        "result_mib": round(float(result_mib), 2),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=104)
    parser.add_argument("--features", type=int, default=22_283)
    parser.add_argument("--step", choices=STEPS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(run_step(options.step, options.rows, options.features)))
        return
    sizes = ["--rows", str(options.rows), "--features", str(options.features)]
    rows = []
    for step in STEPS:
        command = [sys.executable, "-m", "benchmarks.weight_product_memory", "--step", step, *sizes]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout))
    all_pairs = options.features**2 * 4 / 2**20
    columns = ["step", "seconds", "peak_before_mib", "added_mib", "result_mib"]
    print_rows(
        f"{options.rows} x {options.features} (all pairs: {all_pairs:.0f} MiB)", rows, columns
    )
    write(
        "weight_product_memory",
        {"settings": vars(options), "all_pairs_mib": all_pairs, "steps": rows},
    )


if __name__ == "__main__":
    main()
