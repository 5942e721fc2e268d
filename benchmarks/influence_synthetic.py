"""Jung, Shin and Kwon's synthetic sets: where do the relevant features rank?

    python -m benchmarks.influence_synthetic [--seeds 5] [--jobs 2] [--work FOLDER] [--quick]

A network of three hidden layers of 200 is trained on 80,000 samples, unscaled as in the paper, and
10,000 fresh samples are explained: features are ranked by their signed score and by its magnitude,
the highest first. Every finished network is kept in `--work`, so a run that was cut off goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed, parallel_config
from scipy import stats
from skorch.callbacks import LRScheduler

from benchmarks._timing import RESULTS, print_rows, write
from sknninterp import (
    GradientXInputExplainer,
    InfluentialScores,
    IntegratedGradientsExplainer,
    TorchMLPClassifier,
)
from sknninterp.datasets import make_interaction_benchmark

NAMES = ("two-features", "plus-one", "orange-skin")
LOWS = (0, 1)
LABELS = ("soft", "hard", "sampled")
TARGETS = ("class 0", "class 1", "predicted")
# Whose whole rank histograms are kept (the paper's Figure 3).
HISTOGRAMS = ("influence", "gradient x input")

FULL = {
    "n_train": 80_000,
    "n_explained": 10_000,
    "hidden": [200, 200, 200],
    "batch_size": 512,
    "lr": 1e-3,
    # By the error in the probabilities on a seed not used here: of sampled labels two-features
    # wants fewer (it learns noise by heart), the other sets as many or a few more.
    "epochs": {"soft": 40, "hard": 30, "sampled": 10},
    "n_steps": 50,
}
QUICK = FULL | {
    "n_train": 8_000,
    "n_explained": 2_000,
    "epochs": {"soft": 10, "hard": 10, "sampled": 5},
}


def make_set(name: str, low: int, labels: str, n_samples: int, seed: int):
    """X in float32 as the network takes it, y, and the number of relevant features, the first."""
    X, y, relevant = make_interaction_benchmark(
        name, n_samples, low=low, high=low + 1, labels=labels, random_state=seed
    )
    return X.astype(np.float32), y, len(relevant)


class SoftTargetClassifier(TorchMLPClassifier):
    """Trained on the probabilities of the classes, of shape (n_samples, 2), in place of labels."""

    def _encode_target(self, y, reset, classes=None):
        self.classes_ = np.arange(y.shape[1])
        return y  # torch's cross-entropy takes probabilities


def fit_network(X, y, labels: str, seed: int, settings: dict) -> TorchMLPClassifier:
    """The network; y of soft labels holds probabilities."""
    classifier = SoftTargetClassifier if labels == "soft" else TorchMLPClassifier
    epochs = settings["epochs"][labels]
    network = classifier(
        settings["hidden"],
        batch_size=settings["batch_size"],
        lr=settings["lr"],
        max_epochs=epochs,
        callbacks=[("schedule", LRScheduler("CosineAnnealingLR", T_max=epochs))],
        dtype="float32",
        device="cpu",
        random_state=seed,
    )
    return network.fit(X, y)


def explainers(network, X_train, n_steps: int) -> dict:
    mean = X_train.mean(0)
    return {
        "influence": InfluentialScores(network),
        "influence, centred": InfluentialScores(network, center_logits=True),
        "gradient x input": GradientXInputExplainer(network),
        "integrated, from 0": IntegratedGradientsExplainer(network, n_steps=n_steps),
        "integrated, from mean": IntegratedGradientsExplainer(
            network, baseline=mean, n_steps=n_steps
        ),
    }


def ranks_of(scores: np.ndarray) -> np.ndarray:
    """Rank of every feature in its sample, 1 the highest; equal scores share the lowest place.

    So a method that scores everything 0 finds nothing.
    """
    return (scores[:, :, None] <= scores[:, None, :]).sum(2)


def recovery(scores: np.ndarray, n_relevant: int) -> dict[str, float]:
    """How the first `n_relevant` features rank, in shares.

    `exact` is of the samples where they fill the top, `outside` of the pairs of a sample and a
    relevant feature where that one is beyond it (what is left is the mean share within); with
    `_abs` for magnitudes.
    """
    found = {}
    for suffix, ranked in (("", scores), ("_abs", np.abs(scores))):
        within = ranks_of(ranked)[:, :n_relevant] <= n_relevant
        found[f"exact{suffix}"] = float(within.all(1).mean())
        found[f"outside{suffix}"] = float(1 - within.mean())
    return found


def rank_histogram(scores: np.ndarray) -> list[list[float]]:
    """Share of the samples in which a feature (row) has a rank (column)."""
    ranks, n_features = ranks_of(scores), scores.shape[1]
    shares = [(ranks == rank).mean(0) for rank in range(1, n_features + 1)]
    return np.round(shares, 4).T.tolist()


def one_network(name: str, low: int, labels: str, seed: int, settings: dict) -> dict:
    """Train one network and rank what every explainer says about it."""
    torch.set_num_threads(1)
    X, y, n_relevant = make_set(name, low, labels, settings["n_train"], seed)
    start = time.perf_counter()
    network = fit_network(X, y, labels, seed, settings)
    fit_s = time.perf_counter() - start
    fresh, truth, _ = make_set(name, low, "soft", settings["n_explained"], 10_000 + seed)
    proba = network.predict_proba(fresh)
    predicted = proba.argmax(1)
    fit = {
        "agreement": float((predicted == truth.argmax(1)).mean()),
        "probability_error": float(np.abs(proba - truth)[:, 1].mean()),
        "predicted_1": float(predicted.mean()),
        "fit_s": fit_s,
    }
    methods, histograms = {}, {}
    for method, explainer in explainers(network, X, settings["n_steps"]).items():
        # Only the importances, not used here, would come of more samples.
        values = explainer.fit(fresh[:100]).explain(fresh).values
        per_target = (values[..., 0], values[..., 1], values[np.arange(len(fresh)), :, predicted])
        methods[method] = {
            target: recovery(scores, n_relevant)
            for target, scores in zip(TARGETS, per_target, strict=True)
        }
        if method in HISTOGRAMS:
            histograms[method] = rank_histogram(values[..., 0])
    return {"fit": fit, "methods": methods, "histograms": histograms}


def kept(work: Path, *configuration, settings: dict) -> dict:
    """What `one_network` gives, from `work` if it is there and was made with these settings."""
    path = work / ("_".join(map(str, configuration)) + ".json")
    if path.exists():
        part = json.loads(path.read_text())
        if part["settings"] == settings:
            return part
    part = one_network(*configuration, settings)
    part |= {"configuration": list(configuration), "settings": settings}
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(part))
    os.replace(unfinished, path)
    return part


def is_one_class(name: str, low: int, labels: str, n_samples: int, n_seeds: int) -> bool:
    """Whether some seed's set has nothing to learn: its labels are all the same."""
    if labels == "soft":
        return False
    sets = (make_set(name, low, labels, n_samples, seed)[1] for seed in range(n_seeds))
    return any(len(np.unique(y)) < 2 for y in sets)


def interval(values: list[float]) -> tuple[float, float]:
    """Mean over the seeds and half the width of its 95 % t-interval."""
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values) if len(values) > 1 else np.nan
    return float(np.mean(values)), float(half)


def summarise(runs: list[dict], digits: int) -> tuple[dict, dict]:
    """Of the same numbers from every seed, the means with intervals as text, and all of them."""
    per_seed = {key: [run[key] for run in runs] for key in runs[0]}
    text = {}
    for key, values in per_seed.items():
        mean, half = interval(values)
        text[key] = f"{mean:.{digits}f} +- {half:.{digits}f}"
    return text, {key: np.round(v, digits + 1).tolist() for key, v in per_seed.items()}


def study(name: str, low: int, labels: str, parts: list[dict]) -> dict:
    """Table rows of one configuration over its seeds, in the order of these."""
    title = {"set": name, "range": f"[{low}, {low + 1}]", "labels": labels}
    fit, fit_per_seed = summarise([part["fit"] for part in parts], 4)
    rows = []
    for method, target in product(parts[0]["methods"], TARGETS):
        text, per_seed = summarise([part["methods"][method][target] for part in parts], 3)
        rows.append({"method": method, "target": target} | text | {"per_seed": per_seed})
    return title | {
        "fit": fit | {"per_seed": fit_per_seed},
        "ranks": rows,
        "rank_histogram_class_0": parts[0]["histograms"],
    }


def show(studies: list[dict]) -> None:
    keys = ["set", "range", "labels"]
    fits = [{k: s[k] for k in keys} | s["fit"] for s in studies]
    columns = [*keys, "agreement", "probability_error", "predicted_1", "fit_s"]
    print_rows("networks on fresh samples, beside the true probabilities", fits, columns)
    for s in studies:
        columns = ["method", "target", "exact", "outside", "exact_abs", "outside_abs"]
        print_rows(" ".join(s[k] for k in keys), s["ranks"], columns)


def draw(folder: Path) -> None:
    """Draw the rank distributions (the paper's Figure 3) from the results that are committed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from sknninterp.plotting import rank_distribution

    folder.mkdir(parents=True, exist_ok=True)
    for s in json.loads((RESULTS / "influence_synthetic.json").read_text())["studies"]:
        title = " ".join(s[k] for k in ("set", "range", "labels"))
        for method, shares in s["rank_histogram_class_0"].items():
            # Samples with these shares of ranks, feature by feature.
            counts = np.round(np.multiply(shares, 10_000)).astype(int)
            places = np.arange(1, len(counts) + 1)
            ranks = np.stack([np.repeat(places, row) for row in counts], axis=1)
            n_relevant = 4 if s["set"] == "orange-skin" else 2
            ax = rank_distribution(
                ranks, relevant=range(n_relevant), title=f"{title}, {method}, class 0"
            )
            name = f"{title} {method}".replace(" ", "_").replace(",", "")
            ax.figure.savefig(folder / f"{name}.png", dpi=80)
            plt.close(ax.figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--jobs", type=int, default=2, help="processes, each on one thread")
    parser.add_argument("--work", type=Path, help="folder of the finished networks' results")
    parser.add_argument("--quick", action="store_true", help="8,000 samples, 2 seeds, no file")
    parser.add_argument("--draw", type=Path, help="folder: draw the committed results, run nothing")
    options = parser.parse_args()
    if options.draw is not None:
        draw(options.draw)
        return
    torch.set_num_threads(1)
    settings = QUICK if options.quick else FULL
    n_seeds = options.seeds or (2 if options.quick else 5)
    folder = "influence_synthetic_quick" if options.quick else "influence_synthetic"
    work = options.work or Path(tempfile.gettempdir()) / folder
    work.mkdir(parents=True, exist_ok=True)
    everything = list(product(NAMES, LOWS, LABELS))
    skipped = [c for c in everything if is_one_class(*c, settings["n_train"], n_seeds)]
    for configuration in skipped:
        print("skipped, all labels are of one class:", *configuration)
    configurations = [c for c in everything if c not in skipped]
    # Seed by seed, so that what is there of an unfinished run is balanced.
    todo = [(*c, seed) for seed, c in product(range(n_seeds), configurations)]
    parts = {}
    with parallel_config("loky", n_jobs=options.jobs, inner_max_num_threads=1):
        calls = (delayed(kept)(work, *c, settings=settings) for c in todo)
        for part in Parallel(return_as="generator_unordered")(calls):
            configuration = tuple(part["configuration"])
            parts[configuration] = part
            print(f"{len(parts)}/{len(todo)}", *configuration, f"{part['fit']['fit_s']:.0f} s")
    studies = [study(*c, [parts[*c, seed] for seed in range(n_seeds)]) for c in configurations]
    show(studies)
    if options.quick:
        return
    results = {
        "settings": settings | {"n_seeds": n_seeds, "jobs": options.jobs},
        "skipped_one_class": skipped,
        "intervals": "95 %, Student's t over the seeds",
        "studies": studies,
    }
    write("influence_synthetic", results)


if __name__ == "__main__":
    main()
