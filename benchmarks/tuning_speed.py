"""What a shrinking network saves: epochs, predictions and pickles of ANT, 784-512-512-10.

python -m benchmarks.tuning_speed [--rows 60000] [--epochs 10] [--repeats 3] [--threads 2]
"""

from __future__ import annotations

import argparse
import pickle
import statistics

import numpy as np
import torch

from benchmarks._timing import median_ratio, paired, print_rows, write
from sknninterp import ANTClassifier, TorchMLPClassifier

HIDDEN = (512, 512)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((options.rows, 784), dtype=np.float32)
    y = rng.integers(0, 10, options.rows)

    epochs, tuned = [], None
    for _ in range(options.repeats):
        tuned = ANTClassifier(
            HIDDEN, pruning_rate=0.75, max_epochs=options.epochs, random_state=0
        ).fit(X, y)
        seconds = tuned.history_["dur"].tolist()
        epochs.append({"first_s": seconds[0], "last_s": seconds[-1]})
    plain = TorchMLPClassifier(HIDDEN, max_epochs=1, random_state=0).fit(X, y)
    prediction = paired(
        {"unpruned": lambda: plain.predict(X), "tuned": lambda: tuned.predict(X)},
        2 * options.repeats + 1,
    )
    size = {name: len(pickle.dumps(e)) for name, e in [("unpruned", plain), ("tuned", tuned)]}
    ratios = {
        "last epoch / first": statistics.median(e["last_s"] / e["first_s"] for e in epochs),
        "prediction, tuned / unpruned": median_ratio(prediction, "tuned", "unpruned"),
        "pickle, tuned / unpruned": size["tuned"] / size["unpruned"],
        "parameters, tuned / unpruned": n_parameters(tuned) / n_parameters(plain),
    }
    rows = [{"what": what, "ratio": round(ratio, 3)} for what, ratio in ratios.items()]
    print_rows(f"ANT, layers left {tuned.layer_sizes_} of {list(HIDDEN)}", rows, ["what", "ratio"])
    write(
        "tuning_speed",
        {"settings": vars(options), "ratios": ratios, "epochs": epochs, "pickle_bytes": size},
    )


def n_parameters(estimator) -> int:
    return sum(p.numel() for p in estimator.module_.parameters())


if __name__ == "__main__":
    main()
