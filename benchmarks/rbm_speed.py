"""An epoch of `RBM` beside a bare torch loop and scikit-learn's `BernoulliRBM`: time and memory.

    python -m benchmarks.rbm_speed [--repeats 7] [--threads 2 1] [--rows 60000]

60,000 x 784 values from 0 to 1, 800 hidden units, batches of 128; all contestants take turns in
every repeat, by the clock and by the processor's time (with one thread the latter tells more on a
machine that does other things too). Memory is measured in a fresh process for each. The bare loop
is the same contrastive divergence as that of `RBM` with its defaults, but checks nothing and
measures no reconstruction error; `BernoulliRBM` samples both layers and goes on with its chains. A
whole stack 784-800-800 is pretrained on more and more rows: its memory must not grow with them.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.neural_network import BernoulliRBM
from threadpoolctl import threadpool_limits

from benchmarks._timing import (
    median_ratio,
    peak_memory_mib,
    print_rows,
    table,
    write,
)
from sknninterp import RBM
from sknninterp.nn.mlp import MLP
from sknninterp.nn.pretraining import pretrain

N_VISIBLE, N_HIDDEN, BATCH_SIZE = 784, 800, 128
BARE, FLOOR = "torch, bare loop", "matrix products alone"
OURS, FLOAT32, FLOAT64 = "RBM", "BernoulliRBM, float32", "BernoulliRBM, float64"
BARS = {BARE: 1.05, FLOAT32: 0.9, FLOAT64: 0.5}


def bare_loop(X, lr=0.01, momentum=0.5):
    """What a careful torch user writes: CD-1, velocities and weights changed in place."""
    X = torch.from_numpy(X)
    weight = torch.randn(N_HIDDEN, N_VISIBLE) * (2 / N_VISIBLE) ** 0.5
    hidden, visible = torch.zeros(N_HIDDEN), torch.zeros(N_VISIBLE)
    speeds = [torch.zeros_like(p) for p in (weight, hidden, visible)]
    for rows in torch.randperm(len(X)).split(BATCH_SIZE):
        x0 = X.index_select(0, rows)
        y0 = torch.addmm(hidden, x0, weight.t()).sigmoid_()
        x1 = torch.addmm(visible, y0, weight).sigmoid_()
        y1 = torch.addmm(hidden, x1, weight.t()).sigmoid_()
        rate = lr / len(x0)
        speeds[0].mul_(momentum).addmm_(y1.t(), x1, alpha=rate).addmm_(y0.t(), x0, alpha=-rate)
        speeds[1].mul_(momentum).add_((y1 - y0).sum(0), alpha=rate)
        speeds[2].mul_(momentum).add_((x1 - x0).sum(0), alpha=rate)
        for p, speed in zip((weight, hidden, visible), speeds, strict=True):
            p.sub_(speed)


def products(X):
    """The five products of a step and nothing else, on memory that is there already."""
    x, y = torch.rand(BATCH_SIZE, N_VISIBLE), torch.rand(BATCH_SIZE, N_HIDDEN)
    weight, found = torch.rand(N_HIDDEN, N_VISIBLE), torch.rand(N_HIDDEN, N_VISIBLE)
    for start in range(0, len(X), BATCH_SIZE):
        n = min(BATCH_SIZE, len(X) - start)
        torch.mm(x[:n], weight.t(), out=y[:n])
        torch.mm(y[:n], weight, out=x[:n])
        torch.mm(x[:n], weight.t(), out=y[:n])
        torch.mm(y[:n].t(), x[:n], out=found)
        torch.mm(y[:n].t(), x[:n], out=found)


def scikit_learn(X):
    BernoulliRBM(N_HIDDEN, learning_rate=0.01, batch_size=BATCH_SIZE, n_iter=1, random_state=0).fit(
        X
    )


CONTESTANTS = {
    OURS: (lambda X: RBM(N_HIDDEN, n_iter=1, batch_size=BATCH_SIZE, random_state=0).fit(X)),
    BARE: bare_loop,
    FLOAT32: scikit_learn,
    FLOAT64: scikit_learn,
    FLOOR: products,
}


def make(n_rows, dtype=np.float32):
    return np.random.default_rng(0).random((n_rows, N_VISIBLE), dtype=dtype)


def data_for(name, n_rows):
    return make(n_rows, np.float64 if name == FLOAT64 else np.float32)


def timings(n_rows, repeats, threads) -> dict[str, dict[str, list[float]]]:
    """Seconds by the clock and of the processor, of all contestants in turn (after a warm-up)."""
    X, X64 = make(n_rows), make(n_rows, np.float64)
    runs = {name: partial(run, X64 if name == FLOAT64 else X) for name, run in CONTESTANTS.items()}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    clocks = {"wall": time.perf_counter, "cpu": time.process_time}
    seconds: dict = {clock: {name: [] for name in runs} for clock in clocks}
    with threadpool_limits(threads):
        for repeat in range(repeats + 1):
            for name, run in runs.items():
                start = [now() for now in clocks.values()]
                run()
                for clock, begun in zip(clocks, start, strict=True):
                    if repeat:
                        seconds[clock][name].append(clocks[clock]() - begun)
    torch.set_num_threads(before)
    return seconds


# --- memory -------------------------------------------------------------------------------------


def memory_mib() -> float:
    """Resident size of this process now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def memory_of(name: str, n_rows: int) -> dict:
    """Memory that an epoch adds to its data, after a warm-up on two batches."""
    X = data_for(name, n_rows)
    CONTESTANTS[name](X[: 2 * BATCH_SIZE])
    before = memory_mib()
    CONTESTANTS[name](X)
    return {
        "name": name,
        "data_mib": round(X.nbytes / 2**20, 1),
        "added_mib": round(peak_memory_mib() - before, 1),
    }


def memory_of_stack(n_rows: int) -> dict:
    """Memory that pretraining both layers of 784-800-800-10, an epoch each, adds to the data."""
    X = torch.from_numpy(make(n_rows))
    torch.manual_seed(0)
    network = MLP(N_VISIBLE, 10, (N_HIDDEN, N_HIDDEN), "sigmoid")

    class Batches:
        def __init__(self, X):
            self.X = X

        def __iter__(self):
            order = torch.randperm(len(self.X))
            return (self.X.index_select(0, rows) for rows in order.split(BATCH_SIZE))

    pretrain(network, (N_VISIBLE,), Batches(X[: 2 * BATCH_SIZE]), n_epochs=1)
    before = memory_mib()
    pretrain(network, (N_VISIBLE,), Batches(X), n_epochs=1)
    return {
        "rows": n_rows,
        "data_mib": round(X.nbytes / 2**20, 1),
        "activations_mib": round(n_rows * N_HIDDEN * 4 / 2**20, 1),
        "added_mib": round(peak_memory_mib() - before, 1),
    }


def fresh(function: str, *arguments) -> dict:
    """A function of this module in a process of its own."""
    # Forked after the imports, whose own peak would hide what follows.
    call = f"""
import json, os
from benchmarks import rbm_speed
child = os.fork()
if child == 0:
    print(json.dumps(rbm_speed.{function}(*{arguments!r})), flush=True)
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
    options = parser.parse_args()
    results: dict = {"settings": vars(options), "time": {}, "bars": []}
    for threads in options.threads:
        for clock, seconds in timings(options.rows, options.repeats, threads).items():
            title = f"{threads} threads, {clock}"
            rows = results["time"][title] = table(seconds, BARE)
            print_rows(f"One epoch, {title}", rows, ["name", "median_s", "ratio"])
            results["bars"] += [
                {
                    "time": title,
                    "against": base,
                    "ratio": round(median_ratio(seconds, OURS, base), 3),
                    "at_most": bar,
                }
                for base, bar in BARS.items()
            ]
    print_rows("RBM against", results["bars"], ["time", "against", "ratio", "at_most"])
    rows = results["memory"] = [fresh("memory_of", name, options.rows) for name in CONTESTANTS]
    print_rows("Memory added at the peak", rows, ["name", "data_mib", "added_mib"])
    sizes = [options.rows // 4, options.rows // 2, options.rows]
    rows = results["stack"] = [fresh("memory_of_stack", n) for n in sizes]
    columns = ["rows", "data_mib", "activations_mib", "added_mib"]
    print_rows("Pretraining 784-800-800", rows, columns)
    write("rbm_speed", results)


if __name__ == "__main__":
    main()
