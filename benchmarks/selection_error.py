"""Is the false discovery rate held, and how much is found? Knockoffs and stability selection.

    python -m benchmarks.selection_error [--sets 200] [--stability-sets 20] [--method gaussian]
        [--work FOLDER] [--part I/N] [--gather]

Simulated sets of 1,000 samples and 200 normal columns, 20 of them relevant at random places, with
noise of variance 1:

- "linear": independent columns, coefficients +-0.2;
- "interactions": independent columns, ten with coefficients +-0.2, and five products of two others
  with +-0.6;
- "correlated": as linear, columns i and j correlated by 0.5^|i - j|.

One draw of knockoffs for each set; one network (64-32, weight decay) and one with neuron tuning
are fitted on columns and knockoffs, and all explainers read these two. The lasso's penalty is
chosen by five folds. For each importance and target: the share of false ones among those selected
and the share of the relevant ones found, means over sets with 95 % intervals.

Stability selection (50 half samples, 0.75, at most one false selection expected) runs on the
columns alone, with the lasso on every set and with networks on the first few, and counts its false
selections.

A finished set is a file in the work folder: a run that was cut off goes on where it was. Several
processes share the work with `--part 1/2` and so on; `--gather` writes the results.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from sklearn.linear_model import Lasso, LassoCV

from benchmarks._timing import print_rows, write
from sknninterp import (
    ANTRegressor,
    GarsonExplainer,
    InfluentialScores,
    IntegratedGradientsExplainer,
    PWPExplainer,
    TorchMLPRegressor,
)
from sknninterp.evaluation.knockoffs import (
    copula_knockoffs,
    gaussian_knockoffs,
    knockoff_statistics,
    knockoff_threshold,
)
from sknninterp.evaluation.stability_selector import StabilitySelector

SCENARIOS = ("linear", "interactions", "correlated")
TARGETS = (0.05, 0.1, 0.2)
N_SAMPLES, N_COLUMNS, N_RELEVANT = 1000, 200, 20
MAKERS = {"gaussian": gaussian_knockoffs, "copula": copula_knockoffs}
READERS = {
    "PWP": PWPExplainer,
    "Garson": GarsonExplainer,
    "influential scores": InfluentialScores,
    "integrated gradients": IntegratedGradientsExplainer,
}
# Weight decay is what makes networks of 400 inputs and 1,000 samples find anything.
NETWORK = {
    "hidden_layer_sizes": (64, 32),
    "max_epochs": 60,
    "lr": 3e-3,
    "weight_decay": 0.03,
    "dtype": "float32",
    "device": "cpu",
}


def simulate(scenario, seed):
    """Columns, target, and the relevant columns."""
    rng = np.random.default_rng([seed, SCENARIOS.index(scenario)])
    X = rng.normal(size=(N_SAMPLES, N_COLUMNS))
    if scenario == "correlated":
        for j in range(1, N_COLUMNS):
            X[:, j] = 0.5 * X[:, j - 1] + 0.75**0.5 * X[:, j]
    relevant = rng.choice(N_COLUMNS, N_RELEVANT, replace=False)
    signs = rng.choice([-1, 1], N_RELEVANT)
    if scenario == "interactions":
        alone, first, second = np.split(relevant, [10, 15])
        y = 0.2 * X[:, alone] @ signs[:10] + 0.6 * (X[:, first] * X[:, second]) @ signs[10:15]
    else:
        y = 0.2 * X[:, relevant] @ signs
    return X, y + rng.normal(size=N_SAMPLES), relevant


def fitted(network, X, y, seed):
    return network(**NETWORK, random_state=seed).fit(X, (y - y.mean()) / y.std())


def importances(both, y, seed):
    """Of all columns of `both`, by name, and seconds of each part."""
    found, seconds = {}, {}
    start = time.perf_counter()
    plain, tuned = (fitted(kind, both, y, seed) for kind in (TorchMLPRegressor, ANTRegressor))
    seconds["networks"] = time.perf_counter() - start
    for name, reader in READERS.items():
        start = time.perf_counter()
        found[name] = reader(plain).fit(both).feature_importances_
        seconds[name] = time.perf_counter() - start
    found["PWP after ANT"] = PWPExplainer(tuned).fit(both).feature_importances_
    start = time.perf_counter()
    found["lasso"] = np.abs(LassoCV(cv=5).fit(both, y).coef_)
    seconds["lasso"] = time.perf_counter() - start
    return found, {name: round(value, 2) for name, value in seconds.items()}


def errors(selected, relevant):
    """Share of false ones among the selected, and of the relevant ones found."""
    is_relevant = np.isin(np.arange(N_COLUMNS), relevant)
    false = int((selected & ~is_relevant).sum())
    return {
        "selected": int(selected.sum()),
        "false": false,
        "fdp": false / max(1, int(selected.sum())),
        "power": float((selected & is_relevant).sum() / N_RELEVANT),
    }


def knockoff_errors(X, y, relevant, seed, method):
    rng = np.random.RandomState(seed)
    knockoffs = MAKERS[method](X, random_state=rng)
    # By lot, so that no place in the network belongs to the columns.
    swapped = rng.uniform(size=N_COLUMNS) < 0.5
    both = np.hstack([np.where(swapped, knockoffs, X), np.where(swapped, X, knockoffs)])
    found, seconds = importances(both, y, seed)
    results = {}
    for name, values in found.items():
        first, second = np.split(values, 2)
        W = knockoff_statistics(first, second) * np.where(swapped, -1, 1)
        results[name] = {
            str(fdr): errors(knockoff_threshold(W, fdr) <= W, relevant) for fdr in TARGETS
        }
    return results, seconds


def stability_errors(X, y, relevant, seed, with_networks):
    estimators = {"lasso": Lasso(0.05)}
    if with_networks:
        estimators["PWP"] = PWPExplainer(TorchMLPRegressor(**NETWORK))
    results, y = {}, (y - y.mean()) / y.std()
    for name, estimator in estimators.items():
        start = time.perf_counter()
        selector = StabilitySelector(
            estimator, pfer=1, threshold=0.75, assumption="unimodal", random_state=seed
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "No feature is selected", UserWarning)
            selector.fit(X, y)
        results[name] = errors(selector.support_, relevant)
        results[name]["bound"] = round(selector.error_bound_, 3)
        results[name]["s"] = round(time.perf_counter() - start, 2)
    return results


def run(scenario, seed, options):
    X, y, relevant = simulate(scenario, seed)
    start = time.perf_counter()
    knockoffs, seconds = knockoff_errors(X, y, relevant, seed, options.method)
    stability = stability_errors(X, y, relevant, seed, seed < options.stability_sets)
    return {
        "scenario": scenario,
        "seed": seed,
        "method": options.method,
        "knockoffs": knockoffs,
        "stability": stability,
        "seconds": seconds,
        "s": round(time.perf_counter() - start, 1),
    }


def interval(values):
    """Mean with half the width of its 95 % interval (Student's t)."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return f"{values.mean():.3f}"
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():.3f} +- {half:.3f}"


def knockoff_table(results):
    rows = []
    for scenario in SCENARIOS:
        same = [r["knockoffs"] for r in results if r["scenario"] == scenario]
        for name in same[0] if same else ():
            row = {"scenario": scenario, "importance": name, "sets": len(same)}
            for fdr in map(str, TARGETS):
                found = [r[name][fdr] for r in same]
                row[f"fdr {fdr}"] = interval([f["fdp"] for f in found])
                row[f"power {fdr}"] = interval([f["power"] for f in found])
            rows.append(row)
    return rows


def stability_table(results):
    rows = []
    for scenario in SCENARIOS:
        for name in ("lasso", "PWP"):
            found = [r["stability"].get(name) for r in results if r["scenario"] == scenario]
            found = [f for f in found if f]
            if found:
                row = {"scenario": scenario, "importance": name, "sets": len(found)}
                row["false"] = interval([f["false"] for f in found])
                row["bound"] = found[0]["bound"]
                row["power"] = interval([f["power"] for f in found])
                rows.append(row)
    return rows


def counts(results: list[dict]) -> list[dict]:
    """Of each knockoff filter how many were selected, and how many of them falsely, set by set."""
    found: dict[tuple, dict[str, list]] = {}
    for result in sorted(results, key=lambda one: one["seed"]):
        for importance, of_targets in result["knockoffs"].items():
            for target, run in of_targets.items():
                key = result["scenario"], importance, target
                row = found.setdefault(key, {"selected": [], "false": []})
                for name, numbers in row.items():
                    numbers.append(str(run[name]))
    return [
        dict(zip(("scenario", "importance", "fdr"), key, strict=True))
        | {name: " ".join(numbers) for name, numbers in row.items()}
        for key, row in found.items()
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=200, help="simulated sets of each kind")
    parser.add_argument("--stability-sets", type=int, default=20, help="of these, with networks")
    parser.add_argument("--method", choices=list(MAKERS), default="gaussian")
    parser.add_argument("--work", type=Path, default=Path("selection-error"))
    parser.add_argument("--part", default="1/1")
    parser.add_argument("--gather", action="store_true", help="only write what is finished")
    options = parser.parse_args()
    options.work.mkdir(exist_ok=True, parents=True)
    part, n_parts = (int(number) for number in options.part.split("/"))
    jobs = [(scenario, seed) for seed in range(options.sets) for scenario in SCENARIOS]
    paths = {job: options.work / f"{options.method}_{job[0]}_{job[1]}.json" for job in jobs}
    if not options.gather:
        torch.set_num_threads(max(1, torch.get_num_threads() // n_parts))
        for job, path in list(paths.items())[part - 1 :: n_parts]:
            if not path.exists():
                result = run(*job, options)
                path.write_text(json.dumps(result))
                power = {k: v["0.1"]["power"] for k, v in result["knockoffs"].items()}
                print(*job, result["s"], power, flush=True)
    if options.gather or n_parts == 1:
        results = [json.loads(path.read_text()) for path in paths.values() if path.exists()]
        tables = {"knockoffs": knockoff_table(results), "stability": stability_table(results)}
        for title, rows in tables.items():
            if rows:
                print_rows(title, rows, list(rows[0]))
        write("selection_error", {**tables, "counts": counts(results)})


if __name__ == "__main__":
    main()
