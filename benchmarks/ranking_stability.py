"""Does a ranking come out the same next time, and does neuron tuning (ANT) make it more so?

    python -m benchmarks.ranking_stability [--data FOLDER] [--work FOLDER] [--part I/N] [--gather]
        [--quick]

Sets: readmission within 30 days (a quarter of the patients), NCI-60 p53, breast / colon tumours,
Beat AML (response to venetoclax), and, for its genes, Armstrong's leukaemias (ten seeds only).
Expression is in log2 after a floor, as the loaders give it.

Networks, with the settings that the other benchmarks of these sets came to: the plain one; ANT, by
which three quarters of each layer go; "small", a plain one that starts as small as ANT ends, to
tell tuning from size; for p53 and the tumours also the plain one without weight decay. The layers
for expression are a quarter as wide as those of `gene_rankings`, for time.

Repeats: 20 seeds with the same samples, and 20 bootstraps with other seeds: within each class, of
patients in readmission. The r-th fit of each network has the same seed and samples, so networks are
compared in pairs. ANT always judges its neurons on the samples it is trained on: to hold some out
by lot would make its seeds differ by samples, too.

All explainers read the same fits, on the same samples: all of the set, 1,000 encounters of
readmission. Permutation importance has the same permutations in all repeats, so that it differs by
networks alone and looks steadier than it is in use. Features are the columns: probe sets of the
tumours.

Tables: stability of the top features (Nogueira's, with its interval), mean Jaccard index, rank
correlation of all features, out-of-bag scores; ANT less plain and less small, with 95 % intervals
by the jackknife over paired repeats, each for itself: one in forty is above 0 by chance, as many
below. All of it holds for these samples. Then hallmark gene sets in the mean importances of the
seeds, and where known genes stand there, beside Golub's signal-to-noise statistic.

A finished fit is a file in the work folder: a run that was cut off goes on where it was. Several
processes share the work with `--part 1/2` and so on; `--gather` writes the results. `--quick` tries
three repeats of two sets for a few epochs and writes nothing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy import stats
from sklearn.inspection import permutation_importance
from sklearn.metrics import get_scorer
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import resample

from benchmarks import gene_rankings, readmission
from benchmarks._timing import print_rows, write
from sknninterp import (
    ANTRegressor,
    GarsonExplainer,
    GradientXInputExplainer,
    InfluentialScores,
    IntegratedGradientsExplainer,
    OldenExplainer,
    PWPExplainer,
    TorchMLPRegressor,
)
from sknninterp.datasets import (
    load_beat_aml,
    load_diabetes_readmission,
    load_gene_expression,
    load_hallmark_gene_sets,
)
from sknninterp.evaluation.agreement import jaccard, nogueira, ranks, spearman, top_k
from sknninterp.evaluation.gene_sets import enrichment

EXPRESSION = ("p53", "chowdary", "armstrong")
SEEDS = {"readmission": 20, "p53": 20, "chowdary": 20, "beat_aml": 20, "armstrong": 10}
BOOTSTRAPS = {**SEEDS, "armstrong": 0}
WIDTHS = {"readmission": (128, 64), "beat_aml": (64,)} | dict.fromkeys(EXPRESSION, (128, 32))
TOPS = {"readmission": (5, 10)}
PLAIN, ANT, SMALL, NO_DECAY = "plain", "ANT 75 %", "small", "no decay"
READERS = {
    "PWP": PWPExplainer,
    "Garson": GarsonExplainer,
    "Olden": OldenExplainer,
    "influential scores": partial(InfluentialScores, center_logits=True),
    "gradient x input": GradientXInputExplainer,
    "integrated gradients": partial(IntegratedGradientsExplainer, n_steps=10),
}
# Of expression it would take a prediction for each of thousands of columns.
PERMUTED = ("readmission", "beat_aml")
# What `beat_aml` chose for the plain network.
OF_BEAT_AML = {
    "activation": "sigmoid",
    "weight_decay": 0.1,
    "max_epochs": 30,
    "dropout": 0.2,
    "batch_size": 32,
}
KNOWN = {
    "p53": gene_rankings.KNOWN["p53"],
    "armstrong": ("DNTT", "CD79A", "CD79B", "HOXA9", "CFD", "ZYX"),
}
YARDSTICK = "signal to noise"
VERDICTS = ("higher", "undecided", "lower")


# --- one fit ------------------------------------------------------------------------------------


class Study(NamedTuple):
    """A set: its samples, those that are explained, and patients or genes where it has them."""

    X: np.ndarray | pd.DataFrame
    y: np.ndarray
    explained: np.ndarray
    patients: np.ndarray | None = None
    genes: np.ndarray | None = None


class Fit(NamedTuple):
    data: str
    resampling: str
    network: str
    repeat: int

    @property
    def file(self):
        return "_".join(map(str, self)).replace(" ", "-").replace("%", "percent") + ".npz"


@cache
def study(data, data_home):
    if data == "readmission":
        found = load_diabetes_readmission(first_encounter=False, data_home=data_home)
        split = GroupShuffleSplit(1, train_size=0.25, random_state=0)
        rows, _ = next(split.split(found.data, groups=found.groups))
        X, y, patients = (part.iloc[rows] for part in (found.data, found.target, found.groups))
        explained = np.random.RandomState(0).permutation(len(y))[:1000]
        return Study(X, y.to_numpy(), explained, patients.to_numpy())
    if data == "beat_aml":
        X, y = load_beat_aml(data_home=data_home, return_X_y=True)
        y = ((y - y.mean()) / y.std()).to_numpy(np.float32)
        return Study(X.to_numpy(np.float32), y, np.arange(len(y)))
    found = load_gene_expression(data, as_frame=False, data_home=data_home)
    genes = np.asarray(found.genes).astype(str)
    return Study(found.data, found.target, np.arange(len(found.target)), genes=genes)


def networks(data):
    with_decay = (PLAIN, ANT, SMALL)
    return (*with_decay, NO_DECAY) if data in ("p53", "chowdary") else with_decay


def model(data, network, seed, epochs=None):
    """An unfitted pipeline."""
    tuned = network == ANT
    if data == "readmission":
        kind = ANT if tuned else PLAIN
        net = readmission.networks(seed, epochs=12)[kind]
        pipeline = make_pipeline(readmission.preprocessing(), net)
    elif data == "beat_aml":
        shared = {**OF_BEAT_AML, "dtype": "float32", "random_state": seed}
        net = ANTRegressor(pruning_rate=0.75, **shared) if tuned else TorchMLPRegressor(**shared)
        pipeline = make_pipeline(StandardScaler(), net)
    else:
        decay = "no decay" if network == NO_DECAY else "decay"
        pipeline = gene_rankings.network(tuned, seed, decay)
    widths = [width // 4 if network == SMALL else width for width in WIDTHS[data]]
    pipeline[-1].set_params(hidden_layer_sizes=widths, device="cpu")
    if tuned:
        pipeline[-1].set_params(tuning_data="train")
    if epochs:
        pipeline[-1].set_params(max_epochs=epochs)
    return pipeline


def bootstrap(of, seed):
    """Rows of a bootstrap: all those of each patient drawn, or drawn within each class."""
    rows = np.arange(len(of.y))
    if of.patients is not None:
        ends = np.cumsum(np.bincount(np.unique(of.patients, return_inverse=True)[1]))[:-1]
        of_patients = np.split(np.argsort(of.patients, kind="stable"), ends)
        drawn = np.random.RandomState(seed).randint(len(of_patients), size=len(of_patients))
        return np.concatenate([of_patients[patient] for patient in drawn])
    classes = None if np.issubdtype(of.y.dtype, np.floating) else of.y
    return resample(rows, stratify=classes, random_state=seed)


def take(X, rows):
    return X.iloc[rows] if isinstance(X, pd.DataFrame) else X[rows]


def run(fit, data_home, epochs=None):
    """Importances by explainer, the out-of-bag score, and seconds of a core."""
    of = study(fit.data, data_home)
    every = np.arange(len(of.y))
    rows = bootstrap(of, fit.repeat) if fit.resampling == "bootstrap" else every
    scorer = get_scorer("r2" if fit.data == "beat_aml" else "roc_auc")
    start = time.process_time()
    fitted = model(fit.data, fit.network, fit.repeat, epochs).fit(take(of.X, rows), of.y[rows])
    results = {"fit_s": time.process_time() - start, "score": np.nan}
    out = np.setdiff1d(every, rows)
    if len(out):
        results["score"] = scorer(fitted, take(of.X, out), of.y[out])
    start = time.process_time()
    X, y = take(of.X, of.explained), of.y[of.explained]
    for name, reader in READERS.items():
        results[name] = reader(fitted).fit(X).feature_importances_.astype(np.float32)
    if fit.data in PERMUTED:
        found = permutation_importance(fitted, X, y, scoring=scorer, n_repeats=2, random_state=0)
        results["permutation"] = found.importances_mean.astype(np.float32)
    return results | {"explain_s": time.process_time() - start}


def run_part(fits, options):
    part, n_parts = (int(number) for number in options.part.split("/"))
    torch.set_num_threads(max(1, torch.get_num_threads() // n_parts))
    for fit in fits[part - 1 :: n_parts]:
        path = options.work / fit.file
        if not path.exists():
            found = run(fit, options.data, options.epochs)
            unfinished = path.with_suffix(".part.npz")
            np.savez_compressed(unfinished, **found)
            unfinished.replace(path)
            seconds = {name: round(found[name], 1) for name in ("fit_s", "explain_s")}
            print(*fit, round(float(found["score"]), 3), seconds, flush=True)


# --- how far repeats agree ----------------------------------------------------------------------


def gathered(fits, folder):
    """(set, resampling) -> network -> repeat -> what `run` found, of three repeats or more."""
    found = defaultdict(lambda: defaultdict(dict))
    for fit in fits:
        path = folder / fit.file
        if path.exists():
            with np.load(path) as file:
                found[fit[:2]][fit.network][fit.repeat] = dict(file)
    enough = {
        key: {network: repeats for network, repeats in by_network.items() if len(repeats) > 2}
        for key, by_network in found.items()
    }
    return {key: by_network for key, by_network in enough.items() if by_network}


def explainers(data):
    return [*READERS, *["permutation"] * (data in PERMUTED)]


def stacked(repeats, numbers, name):
    """Importances of these repeats, (n_repeats, n_features)."""
    return np.stack([repeats[number][name] for number in numbers])


def rounded(values, digits=3):
    return [round(float(value), digits) for value in values]


def stability_table(found):
    """Numbers in lists are an estimate and the ends of its interval."""
    rows = []
    for (data, resampling), by_network in found.items():
        for network, repeats in by_network.items():
            for name in explainers(data):
                table = stacked(repeats, sorted(repeats), name)
                row = {"data": data, "resampling": resampling, "network": network}
                row |= {"explainer": name, "repeats": len(table)}
                for place, k in zip(("first", "second"), TOPS.get(data, (10, 50)), strict=True):
                    selected = top_k(table, k)
                    measured = nogueira(selected)
                    ends = measured.stability, measured.lower, measured.upper
                    row |= {f"{place} k": k, f"nogueira {place} k": rounded(ends)}
                    row[f"jaccard {place} k"] = round(jaccard(selected), 3)
                rows.append(row | {"spearman": round(spearman(table), 3)})
    return rows


def score_table(found):
    """Of bootstraps, with the mean difference to the plain network in the same ones."""
    rows = []
    for (data, resampling), by_network in found.items():
        scores = pd.DataFrame(
            {n: {i: float(r["score"]) for i, r in by_network[n].items()} for n in by_network}
        )
        for network, repeats in by_network.items():
            row = {"data": data, "resampling": resampling, "network": network}
            row["score"] = "R2" if data == "beat_aml" else "AUC"
            if resampling == "bootstrap":
                mean, std = scores[network].mean(), scores[network].std()
                row |= dict(zip(("out of bag", "std"), rounded((mean, std), 4), strict=True))
                if PLAIN in scores and network != PLAIN:
                    row["less plain"] = interval((scores[network] - scores[PLAIN]).dropna())
            for part in ("fit_s", "explain_s"):
                row[part] = round(float(np.median([one[part] for one in repeats.values()])), 2)
            rows.append(row)
    return rows


def interval(values):
    """Mean with its 95 % interval (Student's t)."""
    margin = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return rounded((np.mean(values), np.mean(values) - margin, np.mean(values) + margin), 4)


# --- whether tuning makes them agree more -------------------------------------------------------


def measures(data):
    """By name: what is made of the importances of each repeat, and how far these agree."""
    tops = {f"top {k}": (partial(top_k, k=k), top_stability) for k in TOPS.get(data, (10, 50))}
    return tops | {"spearman": (ranks, spearman)}


def top_stability(selected):
    return nogueira(selected).stability


def agreement(repeats, numbers, name, prepare, measure):
    """Agreement of all repeats, then without one after another."""
    table = prepare(stacked(repeats, numbers, name))
    without = [measure(np.delete(table, i, axis=0)) for i in range(len(table))]
    return np.array([measure(table), *without])


def jackknife(found):
    """Estimate and 95 % interval from what :func:`agreement` gives."""
    whole, without = found[0], found[1:]
    n = len(without)
    variance = (n - 1) / n * ((without - without.mean()) ** 2).sum()
    margin = stats.t.ppf(0.975, n - 1) * variance**0.5
    return rounded((whole, whole - margin, whole + margin))


def verdict(low, high):
    return "higher" if low > 0 else "lower" if high < 0 else "undecided"


def hypothesis_table(found):
    """ANT less another network, for each explainer and in the mean over them."""
    rows = []
    for (data, resampling), by_network in found.items():
        compared = [by_network.get(network, {}) for network in (ANT, PLAIN, SMALL)]
        numbers = sorted(set.intersection(*map(set, compared)))
        if len(numbers) < 3:
            continue
        for label, how in measures(data).items():
            tuned, *others = (
                {name: agreement(repeats, numbers, name, *how) for name in explainers(data)}
                for repeats in compared
            )
            for other, agree in zip((PLAIN, SMALL), others, strict=True):
                row = {"data": data, "resampling": resampling, "ANT less": other, "of": label}
                rows.append(row | gains(tuned, agree))
    return rows


def gains(tuned, other):
    """What tuning adds for each explainer, and in how many of them for sure."""
    gain = {name: tuned[name] - other[name] for name in tuned}
    of_each = {name: jackknife(one) for name, one in gain.items()}
    count = Counter(verdict(*ends[1:]) for ends in of_each.values())
    return {
        "mean of explainers": jackknife(np.mean([*gain.values()], axis=0)),
        **{kind: count[kind] for kind in VERDICTS},
        "explainers": of_each,
    }


def verdicts(rows):
    """In how many comparisons of sets and explainers ANT is higher."""
    columns = ["ANT less", "resampling", "of"]
    table = pd.DataFrame(rows, columns=[*columns, *VERDICTS])
    table["of"] = table["of"].where(table["of"] == "spearman", "both tops")
    return table.groupby(columns, sort=False).sum().reset_index().to_dict("records")


# --- genes --------------------------------------------------------------------------------------


def gene_scores(by_network, of):
    """(network, explainer) -> mean importance by gene over seeds, and that of each seed."""
    for network, repeats in by_network.items():
        for name in READERS:
            table = stacked(repeats, sorted(repeats), name)
            yield network, name, by_gene(table.mean(0), of), [by_gene(row, of) for row in table]
    measured = by_gene(gene_rankings.signal_to_noise(of.X, of.y), of)
    yield "", YARDSTICK, measured, [measured]


def by_gene(importances, of):
    """A gene's best probe set."""
    return pd.Series(importances.astype(float), of.genes)[of.genes != ""].groupby(level=0).max()


def first_sets(ranking, gene_sets, method):
    """The five sets that come first with their q-values, and the place of p53's pathway."""
    options = {"top": 100} if method == "ora" else {"random_state": 0}
    table = enrichment(ranking, gene_sets, method=method, **options)
    table.index = table.index.str.removeprefix("HALLMARK_")
    q_values = table["q_value"].map(lambda q: float(f"{q:.2g}"))
    place = table.index.get_loc("P53_PATHWAY")
    pathway = {"p53 pathway": place + 1, "its q": q_values.iloc[place]}
    return {"method": method, "first five": q_values[:5].to_dict(), **pathway}


def gene_tables(found, data_home):
    gene_sets = load_hallmark_gene_sets(data_home=data_home)
    sets, places = [], []
    for data, known in KNOWN.items():
        of, genes = study(data, data_home), [*known]
        for network, name, mean, of_seeds in gene_scores(found.get((data, "seed"), {}), of):
            row = {"data": data, "network": network, "explainer": name}
            sets += [row | first_sets(mean, gene_sets, method) for method in ("ora", "prerank")]
            of_each = pd.DataFrame([one.rank(ascending=False)[genes] for one in of_seeds])
            row["of the mean"] = mean.rank(ascending=False)[genes].astype(int).to_dict()
            places.append(row | {"median of seeds": of_each.median().to_dict()})
    return {"enrichment": sets, "known_genes": places}


# --- all of it ----------------------------------------------------------------------------------


def tables(found, data_home):
    hypothesis = hypothesis_table(found)
    return {
        "stability": stability_table(found),
        "scores": score_table(found),
        "hypothesis": hypothesis,
        "verdicts": verdicts(hypothesis),
        **gene_tables(found, data_home),
    }


def planned(sets, n_repeats):
    """All fits, the first repeats of everything first."""
    return [
        Fit(data, resampling, network, repeat)
        for repeat in range(n_repeats)
        for data in sets
        for resampling, numbers in (("seed", SEEDS), ("bootstrap", BOOTSTRAPS))
        if repeat < numbers[data]
        for network in networks(data)
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data")
    parser.add_argument("--work", type=Path, default=Path("ranking-stability"))
    parser.add_argument("--part", default="1/1")
    parser.add_argument("--gather", action="store_true", help="only write what is finished")
    parser.add_argument("--quick", action="store_true", help="a trial that writes nothing")
    options = parser.parse_args()
    # Rare categories that a bootstrap has not drawn are encoded as zeros, as they should be.
    warnings.filterwarnings("ignore", "Found unknown categories", UserWarning)
    options.epochs = 5 if options.quick else None
    fits = planned(("beat_aml", "p53"), 3) if options.quick else planned(SEEDS, 20)
    with tempfile.TemporaryDirectory() as trial:
        if options.quick:
            options.work = Path(trial)
        options.work.mkdir(exist_ok=True, parents=True)
        if not options.gather:
            run_part(fits, options)
        if not options.gather and not options.part.endswith("/1"):
            return
        results = tables(gathered(fits, options.work), options.data)
    for title, rows in results.items():
        columns = dict.fromkeys(column for row in rows for column in row)
        print_rows(title, rows, [column for column in columns if column != "explainers"])
    if not options.quick:
        settings = {"seeds": SEEDS, "bootstraps": BOOTSTRAPS, "widths": WIDTHS}
        write("ranking_stability", {"settings": settings, **results})


if __name__ == "__main__":
    main()
