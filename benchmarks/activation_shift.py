"""Does the evidence of hidden neurons hold where inputs are no longer those of the training?

    python -m benchmarks.activation_shift [--seeds 5] [--epochs 4] [--rows 60000] [--test 10000]
        [--draws 3] [--work FOLDER] [--part I/N] [--gather]

MNIST and Fashion-MNIST, a network 784-512-512-10 trained on clean images, under

- Gaussian noise, contrast (about each image's mean) and brightness changed, values cut to [0, 1],
- pixels from 0 to 255 for a network trained on [0, 1], and the other way about,

and readmission within 30 days (9 % of the patients) or at any time (41 %), a network of 50-50
hidden units with the preprocessing of `benchmarks/readmission.py`, where 1, 3 or 10 columns are
missing, drawn at random: imputed by the mean or the most frequent category of the training part, or
left empty for the preprocessing (the mean, and no category).

Accuracy (and AUC for readmission) of the base, Y_proposed, the auxiliary network on both and the
control, which sees the base's prediction alone; the auxiliary networks are trained on the base's
own training data (`cv=None`) and on a fifth held out (`cv=0.2`, with a base of its own). Intervals
are of 95 % by Student's t over the seeds, differences within each seed.

A finished job is a file in the work folder: a run that was cut off goes on where it was. Several
processes share the work with `--part 1/2` and so on; `--gather` writes the results.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from benchmarks._timing import print_rows, write
from benchmarks.papers.patterns import measures
from benchmarks.readmission import preprocessing
from sknninterp import ActivationAuxClassifier, TorchMLPClassifier
from sknninterp.datasets import load_diabetes_readmission, load_fashion_mnist, load_mnist

LOADERS = {"mnist": load_mnist, "fashion": load_fashion_mnist}
TARGETS = {"within 30 days": "<30", "at any time": "any"}
CVS = {"None": None, "0.2": 0.2}
WAYS = ("base", "proposed", "auxiliary", "control")
NOISE = (0.1, 0.2, 0.3, 0.5)
CONTRAST = (0.7, 0.5, 0.3, 0.15)
BRIGHTNESS = (-0.2, 0.1, 0.2, 0.4)
N_MISSING = (1, 3, 10)


def ways(classifier, X) -> dict[str, np.ndarray]:
    """Probabilities by each way to predict."""
    predicted = classifier.estimator_.predict_proba(X)
    proposed = classifier.predict_proposed(X)
    return {
        "base": predicted,
        "proposed": proposed,
        "auxiliary": classifier.aux_.predict_proba(np.hstack([proposed, predicted])),
        "control": classifier.control_.predict_proba(predicted),
    }


def with_evidence(network, cv, seed) -> ActivationAuxClassifier:
    return ActivationAuxClassifier(network, cv=CVS[cv], device="cpu", random_state=seed)


# --- images -------------------------------------------------------------------------------------


def shifted_images(X, seed):
    """Names and images, X from 0 to 1."""
    rng = np.random.default_rng(seed)
    mean = X.mean(1, keepdims=True)
    for sd in NOISE:
        noise = rng.standard_normal(X.shape, dtype=np.float32)
        yield f"noise {sd}", (X + sd * noise).clip(0, 1)
    for factor in CONTRAST:
        yield f"contrast {factor}", mean + factor * (X - mean)
    for change in BRIGHTNESS:
        yield f"brightness {change:+}", (X + change).clip(0, 1)


def images(name, subset, n):
    X, y = LOADERS[name](subset=subset, return_X_y=True)
    return np.ascontiguousarray(X[:n], dtype=np.float32), np.asarray(y[:n]).astype(np.int64)


def of_images(name, pixels, cv, seed, options):
    X, y = images(name, "train", options.rows)
    X_test, y_test = images(name, "test", options.test)
    network = TorchMLPClassifier(
        (512, 512), max_epochs=options.epochs, device="cpu", random_state=seed
    )
    if pixels == "0 to 255":
        X = 255 * X
        tests = {"none": 255 * X_test, "pixels / 255": X_test}.items()
    else:
        tests = [("none", X_test), *shifted_images(X_test, seed), ("pixels x 255", 255 * X_test)]
    classifier = with_evidence(network, cv, seed).fit(X, y)
    return {
        shift: {way: measures(p, y_test) for way, p in ways(classifier, shifted).items()}
        for shift, shifted in tests
    }


# --- readmission --------------------------------------------------------------------------------


def without(X, columns, fill=None):
    """X with columns missing, or each filled with its value of `fill`."""
    X = X.copy()
    for column in columns:
        kind = X[column].dtype
        value = np.nan if fill is None else fill[column]
        X[column] = value
        # Counts become floats where they are missing.
        X[column] = X[column].astype("float64" if kind.kind in "iuf" else kind)
    return X


def usual_values(X) -> dict:
    """Mean or most frequent category of every column."""
    return {
        name: column.mean() if column.dtype.kind in "iuf" else column.mode().iloc[0]
        for name, column in X.items()
    }


def risk_measures(probabilities, y):
    return measures(probabilities, y) | {
        "auc": round(float(roc_auc_score(y, probabilities[:, 1])), 5)
    }


def missing_columns(X_train, X_test, seed, draws):
    """Names of shifts and tables, several of one name."""
    rng, usual = np.random.default_rng(seed), usual_values(X_train)
    yield "none", X_test
    for n in N_MISSING:
        for _ in range(draws):
            columns = rng.choice(X_test.columns, n, replace=False)
            yield f"{n:2d} missing, imputed", without(X_test, columns, usual)
            yield f"{n:2d} missing, left empty", without(X_test, columns)


def of_readmission(target, cv, seed, options):
    """Means over the draws of columns."""
    X, y = load_diabetes_readmission(target=target, return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.25, stratify=y, random_state=seed
    )
    network = TorchMLPClassifier(
        (50, 50),
        max_epochs=12,
        batch_size=1024,
        dropout=0.3,
        optimizer="adamw",
        weight_decay=3.0,
        dtype="float32",
        device="cpu",
        random_state=seed,
    )
    prepare = preprocessing().fit(X_train)
    classifier = with_evidence(network, cv, seed).fit(prepare.transform(X_train), y_train)
    found: dict = {}
    for shift, shifted in missing_columns(X_train, X_test, seed, options.draws):
        for way, p in ways(classifier, prepare.transform(shifted)).items():
            of_way = found.setdefault(shift, {}).setdefault(way, [])
            of_way.append(risk_measures(p, y_test.to_numpy()))
    return {
        shift: {way: pd.DataFrame(draws).mean().to_dict() for way, draws in of_ways.items()}
        for shift, of_ways in found.items()
    }


# --- jobs and tables ----------------------------------------------------------------------------


def run(job, options):
    name, kind, cv, seed = job
    start = time.perf_counter()
    if name == "readmission":
        shifts = of_readmission(TARGETS[kind], cv, seed, options)
    else:
        shifts = of_images(*job, options)
    return {
        "data": name,
        "training": kind,
        "cv": cv,
        "seed": seed,
        "shifts": shifts,
        "s": round(time.perf_counter() - start, 1),
    }


def jobs(options):
    kinds = [(name, pixels) for name in LOADERS for pixels in ("0 to 1", "0 to 255")]
    kinds += [("readmission", target) for target in TARGETS]
    # Seed by seed, so that what is there of an unfinished run is balanced.
    return [(*kind, cv, seed) for seed in range(options.seeds) for kind in kinds for cv in CVS]


def interval(values):
    """Mean with half the width of its 95 % interval (Student's t)."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return f"{values.mean():.3f}"
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():.3f} +- {half:.3f}"


def table(results, score) -> list[dict]:
    """A row for each shift, with what each way gains over the base and over the control."""
    rows = []
    for key in dict.fromkeys((r["data"], r["training"], r["cv"]) for r in results):
        same = [r["shifts"] for r in results if (r["data"], r["training"], r["cv"]) == key]
        for shift in same[0]:
            by_way = {w: np.array([found[shift][w][score] for found in same]) for w in WAYS}
            row = dict(zip(("data", "training", "cv"), key, strict=True))
            row |= {"shift": shift, "seeds": len(same)}
            row |= {way: interval(values) for way, values in by_way.items()}
            for way in ("proposed", "auxiliary"):
                for other in ("base", "control"):
                    row[f"{way} - {other}"] = interval(by_way[way] - by_way[other])
            rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--test", type=int, default=10_000)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("activation-shift"))
    parser.add_argument("--part", default="1/1")
    parser.add_argument("--gather", action="store_true", help="only write what is finished")
    options = parser.parse_args()
    options.work.mkdir(exist_ok=True, parents=True)
    part, n_parts = (int(number) for number in options.part.split("/"))
    names = ["_".join(map(str, job)).replace(" ", "-") for job in jobs(options)]
    paths = {
        job: options.work / f"{name}.json" for job, name in zip(jobs(options), names, strict=True)
    }
    if not options.gather:
        # Rare categories that only the test part has are encoded as zeros, as they should be.
        warnings.filterwarnings("ignore", "Found unknown categories", UserWarning)
        torch.set_num_threads(max(1, torch.get_num_threads() // n_parts))
        for job, path in list(paths.items())[part - 1 :: n_parts]:
            if not path.exists():
                result = run(job, options)
                path.write_text(json.dumps(result))
                print(job, result["s"], flush=True)
    if options.gather or n_parts == 1:
        results = [json.loads(path.read_text()) for path in paths.values() if path.exists()]
        of_risk = [r for r in results if r["data"] == "readmission"]
        tables = {"accuracy": table(results, "accuracy"), "auc": table(of_risk, "auc")}
        for title, rows in tables.items():
            if rows:
                print_rows(title, rows, list(rows[0]))
        settings = {k: v for k, v in vars(options).items() if k not in ("work", "part", "gather")}
        write("activation_shift", {"settings": settings, **tables, "runs": results})


if __name__ == "__main__":
    main()
