"""Fits with a checkpoint that are killed (SIGKILL) at random moments, until they have ended.

Each must end with the very network of a fit that nobody killed. Run as

    python -m benchmarks.killed_fits --trials 100
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import make_classification

from benchmarks._timing import print_rows, write
from sknninterp import ANTClassifier, RBMPretrainedMLP, TorchMLPClassifier
from sknninterp.estimators._checkpoint import Part

# A child that has not ended by then is not going to.
_PATIENCE = 120.0


def kinds(n_epochs: int) -> dict:
    """What is fitted, by name."""
    common = {"max_epochs": n_epochs, "dtype": "float32", "random_state": 0}
    return {
        "early stopping": TorchMLPClassifier(
            (256, 128), early_stopping=True, patience=n_epochs // 2, dropout=0.2, **common
        ),
        "tuned": ANTClassifier((256, 128), pruning_rate=0.75, tuning_stop=0.9, **common),
        "3 networks, input penalty": TorchMLPClassifier(
            (128,), n_networks=3, input_penalty=0.3, bootstrap=True, **common
        ),
        "pretrained": RBMPretrainedMLP((192, 96), pretraining_epochs=n_epochs // 3, **common),
    }


def data(n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Some classes to tell apart."""
    return make_classification(n_samples, 60, n_informative=20, n_classes=4, random_state=0)


def outcome(estimator) -> dict:
    """All that a fit has come to, but for the times."""
    found = {}
    for number, network in enumerate(getattr(estimator, "networks_", [estimator])):
        for name, value in network.module_.state_dict().items():
            found[f"{number} {name}"] = value
        for table in ("history_", "tuning_history_", "pretraining_history_"):
            if hasattr(network, table):
                plain = getattr(network, table).drop(columns="dur", errors="ignore")
                found[f"{number} {table}"] = plain.to_json(double_precision=15)
    return found


def identical(one: dict, other: dict) -> bool:
    """Whether two fits have come to the same, bit for bit."""
    same = [
        torch.equal(value, other[name]) if isinstance(value, torch.Tensor) else value == other[name]
        for name, value in one.items()
        if name in other
    ]
    return one.keys() == other.keys() and all(same)


def in_child(work: Callable[[], object], seconds: float = _PATIENCE) -> bool:
    """Do work in a process of its own, killed after so many seconds; whether it ended before."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(f"in the child: {error!r}", flush=True)
        finally:
            os._exit(1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            if status:
                raise RuntimeError(f"A fit has failed: status {status}.")
            return True
        time.sleep(min(0.002, max(0.0, end - time.monotonic())))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def fit_into(path: Path, estimator, X, y) -> None:
    """Fit, and write what it has come to."""
    torch.save(outcome(estimator.fit(X, y)), path)


def epochs_kept(folder: Path) -> int:
    """Epochs, of pretraining too, from which the next fit goes on."""
    total = 0
    for path in folder.glob("*.state"):
        state = Part(path, _name_of(folder)).load() or {}
        total += len(state.get("history", ()))
        total += len(state["histories"][0][0]) if "histories" in state else 0
        total += sum(len(layer["epochs"]) for layer in state.get("layers", ()))
    return total


def _name_of(folder: Path) -> str:
    return json.loads((folder / "fit.json").read_text())["name"]


def trial(estimator, X, y, expected: dict, seconds: float, rng: np.random.Generator) -> dict:
    """Kill a fit until it has ended, once at least; at first after 0 to so many seconds."""
    kills, kept, torn = [], [], 0
    with tempfile.TemporaryDirectory() as place:
        folder, path = Path(place, "checkpoint"), Path(place, "outcome.pt")
        estimator = clone(estimator).set_params(checkpoint=folder)
        while True:
            after = float(rng.uniform(0, seconds))
            if in_child(lambda: fit_into(path, estimator, X, y), after):
                if kills:
                    break
                seconds *= 0.8  # nobody has killed it: once more, sooner
                continue
            kills.append(round(after, 3))
            # None: before the folder was there, or after the fit had ended and forgotten it.
            kept.append(epochs_kept(folder) if (folder / "fit.json").exists() else None)
            torn += any(folder.glob(".*.tmp"))
            seconds *= 1.1  # the machine may be slower than it was: it must end one day
        same = identical(expected, torch.load(path, weights_only=True))
        left = [file.name for file in folder.glob("*")]
    return {"killed_after_s": kills, "epochs_kept": kept, "torn": torn, "same": same, "left": left}


def whole_fits(estimators: dict, X, y) -> tuple[dict, dict]:
    """What each fit comes to where nobody kills it, and how many seconds it takes."""
    outcomes, seconds = {}, {}
    for estimator in estimators.values():  # children inherit what is imported at the first fit
        clone(estimator).set_params(max_epochs=4).fit(X[:200], y[:200])
    with tempfile.TemporaryDirectory() as place:
        for name, estimator in estimators.items():
            path, start = Path(place, "outcome.pt"), time.perf_counter()
            if not in_child(lambda e=estimator, p=path: fit_into(p, e, X, y)):
                raise RuntimeError(f"{name}: a fit has not ended within {_PATIENCE} seconds.")
            seconds[name] = time.perf_counter() - start
            outcomes[name] = torch.load(path, weights_only=True)
    return outcomes, seconds


def trials(n_trials: int, n_epochs: int, n_samples: int, seed: int = 0) -> list[dict]:
    """One row a kind of fit: trials, kills, and how many ended the same."""
    estimators, (X, y) = kinds(n_epochs), data(n_samples)
    expected, seconds = whole_fits(estimators, X, y)
    rng, found = np.random.default_rng(seed), {name: [] for name in estimators}
    for number in range(n_trials):
        name = list(estimators)[number % len(estimators)]
        # A little longer than a fit takes: the machine is not always as fast.
        done = trial(estimators[name], X, y, expected[name], 1.1 * seconds[name], rng)
        found[name].append(done)
        told = "the same" if done["same"] else "NOT THE SAME"
        print(f"{number + 1} {name}: {len(done['killed_after_s'])} kills, {told}", flush=True)
    return [_row(name, seconds[name], of_kind) for name, of_kind in found.items()]


def _row(name: str, seconds: float, of_kind: list[dict]) -> dict:
    kills = [len(done["killed_after_s"]) for done in of_kind]
    kept = [epochs or 0 for done in of_kind for epochs in done["epochs_kept"]]
    return {
        "name": name,
        "whole_fit_s": round(seconds, 2),
        "trials": len(of_kind),
        "killed": sum(n > 0 for n in kills),
        "kills": sum(kills),
        "kills_that_went_on_later_than_the_start": sum(epochs > 0 for epochs in kept),
        "median_epochs_kept": statistics.median(kept) if kept else None,
        "kills_while_writing": sum(done["torn"] for done in of_kind),
        "identical": sum(done["same"] for done in of_kind),
        "folders_left_clean": sum(not done["left"] for done in of_kind),
        "runs": of_kind,
    }


def writing(n_epochs: int, n_samples: int) -> list[dict]:
    """What a checkpoint costs: how much of a fit's time goes into it."""
    (X, y), save, spent, rows = data(n_samples), Part.save, [], []

    def timed(part, state):
        start = time.perf_counter()
        save(part, state)
        spent.append(time.perf_counter() - start)

    Part.save = timed
    try:
        for name, estimator in kinds(n_epochs).items():
            spent.clear()
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                clone(estimator).set_params(checkpoint=folder).fit(X, y)
                whole = time.perf_counter() - start
            row = {"name": name, "fit_s": round(whole, 3), "states": len(spent)}
            rows.append({**row, "writing_s": round(sum(spent), 3)})
            rows[-1]["share"] = round(sum(spent) / whole, 4)
    finally:
        Part.save = save
    return rows


def main() -> None:
    """Run the trials and write what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--samples", type=int, default=2500)
    options = parser.parse_args()
    torch.set_num_threads(1)  # a child must not inherit threads that it has not
    start = time.perf_counter()
    rows = trials(options.trials, options.epochs, options.samples)
    costs = writing(4 * options.epochs, options.samples)
    print_rows("Killed fits", rows, ["name", "trials", "killed", "kills", "identical"])
    print_rows("What is written", costs, ["name", "fit_s", "states", "writing_s", "share"])
    totals = {
        name: sum(row[name] for row in rows)
        for name in ("trials", "killed", "kills", "kills_while_writing", "identical")
    }
    wall = round(time.perf_counter() - start)
    write("killed_fits", {"total": totals, "wall_s": wall, "fits": rows, "writing": costs})


if __name__ == "__main__":
    main()
