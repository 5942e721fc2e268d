"""What came of the published claims about neuron tuning and weight products.

Rules, fixed before the results were seen. A score is *held* at a rate if the 95 % interval of its
difference to the untuned network of the same seed lies above -1 percentage point, *lost* if it is
not held and the interval lies below 0, else the seeds do not tell. One method is *better* than
another where the interval of their difference lies above 0.
"""

from __future__ import annotations

import pandas as pd

from benchmarks.papers.runner import Verdict

MARGIN = 0.01
FROM, SHOWN = 0.5, 0.8
NAMES = {"random": "random removal", "from scratch": "the small network trained from scratch"}
SCORES = ["accuracy", "auc", "precision"]


def states(rows: pd.DataFrame, scores=SCORES) -> list[str]:
    """What became of each score in each row of paired differences."""
    found = []
    for score in scores:
        for mean, half in zip(rows[score], rows[f"{score}_ci"], strict=True):
            # An interval of a single seed is NaN: nothing is above or below anything.
            if mean - half > -MARGIN:
                found.append("held")
            else:
                found.append("lost" if mean + half < 0 else "not told")
    return found


def select(table: pd.DataFrame, **values) -> pd.DataFrame:
    for name, value in values.items():
        table = table[table[name] == value]
    return table


def points(mean: float, half: float) -> str:
    return f"{100 * mean:+z.2f} ± {100 * half:.2f}"


def held(tables, tuned, low, high, claim, published) -> Verdict | None:
    """Holds if all are held at `high`; does not if more than half are lost at `low`."""
    if "differences" not in tables:
        return None
    rows = select(tables["differences"], method="kl", less="untuned", tuned=tuned)
    at_low, at_high = (states(select(rows, removed=rate)) for rate in (low, high))
    if not at_low or not at_high:
        return None
    if all(state == "held" for state in at_high):
        outcome = "holds"
    elif at_low.count("lost") > len(at_low) / 2:
        outcome = "does not hold"
    else:
        outcome = "holds partly"
    here = select(rows, removed=high)
    ours = "; ".join(
        f"{row.data} {row.activation}: {points(row.auc, row.auc_ci)}" for row in here.itertuples()
    )
    rates = dict.fromkeys([low, high])
    why = "; ".join(count(states(select(rows, removed=rate)), rate) for rate in rates)
    return Verdict(
        claim, published, f"AUC in points at {high:.0%}: {ours}", seeds(rows), outcome, why
    )


def count(found: list[str], rate: float) -> str:
    return (
        f"at {rate:.0%}, of {len(found)} scores {found.count('held')} held within a point,"
        f" {found.count('lost')} lost, {found.count('not told')} that the seeds do not tell"
    )


def seeds(rows: pd.DataFrame) -> int:
    return int(rows["seeds"].min())


def first_layer(tables) -> Verdict | None:
    return held(
        tables,
        1,
        0.7,
        0.7,
        "Figure 2: tuning the first hidden layer keeps AUC, accuracy and precision",
        "held while up to 70-75 % are removed",
    )


def both_layers(tables) -> Verdict | None:
    return held(
        tables,
        2,
        0.5,
        0.8,
        "Figure 5: tuning two hidden layers keeps AUC, accuracy and precision",
        "held while 50-80 % are removed",
    )


def better(tables, other, claim, published) -> Verdict | None:
    """Holds if better in most cells and worse in none; not if it is worse as often as better."""
    if "differences" not in tables:
        return None
    rows = select(tables["differences"], method=other, less="kl")
    rows = rows[rows["removed"] >= FROM]
    if rows.empty:
        return None
    gain, half = -rows["accuracy"], rows["accuracy_ci"]
    n_better, n_worse = int((gain - half > 0).sum()), int((gain + half < 0).sum())
    if n_better > len(rows) / 2 and not n_worse:
        outcome = "holds"
    else:
        outcome = "holds partly" if n_better > n_worse else "does not hold"
    ours = "; ".join(
        f"{row.data} {row.activation}: {points(-row.accuracy, row.accuracy_ci)}"
        for row in select(rows, removed=SHOWN, tuned=2).itertuples()
    )
    why = (
        f"accuracy from {FROM:.0%} removed, each data set, activation, number of layers and rate:"
        f" better in {n_better} of {len(rows)}, worse in {n_worse}"
    )
    ours = f"accuracy in points less that of {NAMES[other]}, {SHOWN:.0%} of both layers: {ours}"
    return Verdict(claim, published, ours, seeds(rows), outcome, why)


def better_than_random(tables) -> Verdict | None:
    return better(
        tables,
        "random",
        "Algorithm 1: the divergence tells which neurons can go",
        "implied; there is no random removal in the paper",
    )


def better_than_scratch(tables) -> Verdict | None:
    return better(
        tables,
        "from scratch",
        "Algorithm 1: a network made small while it is trained is better than one that is small",
        "implied; there are no small networks in the paper",
    )


def gold_standard(tables) -> Verdict | None:
    """Holds if both steps are better, partly if one is."""
    if "rankings" not in tables or "readmission" not in set(tables["rankings"]["data"]):
        return None
    rankings = select(tables["rankings"], data="readmission").set_index("ranking")
    steps = select(tables["ranking_differences"], data="readmission")
    found = {}
    for first, second in (("PWP after ANT", "PWP"), ("PWP", "Garson")):
        step = select(steps, ranking=first, less=second).iloc[0]
        found[f"{first} over {second}"] = (step["hits_5"], step["hits_5_ci"])
    n_better = sum(mean - half > 0 for mean, half in found.values())
    names = ("PWP after ANT", "PWP", "Garson", "random")
    ours = ", ".join(
        f"{name} {rankings.loc[name, 'hits_5']:.1f} ± {rankings.loc[name, 'hits_5_ci']:.1f}"
        for name in names
    )
    return Verdict(
        "Figure 3: predictors of readmission in the top five",
        "PWP after ANT 3 of 5, PWP 2, Garson 1",
        ours,
        seeds(rankings),
        ("does not hold", "holds partly", "holds")[n_better],
        "; ".join(f"{name}: {mean:+.1f} ± {half:.1f}" for name, (mean, half) in found.items())
        + " (the paper's list is unpublished: eight candidates from the literature)",
    )


def aml_terms(tables) -> Verdict | None:
    """Without such data nothing holds or fails; what was looked at instead."""
    if "rankings" not in tables:
        return None
    rankings = tables["rankings"]
    rankings = rankings[rankings["data"] != "readmission"]
    names = ("PWP after ANT", "PWP", "Garson")
    ours = "; ".join(
        f"{data}: "
        + ", ".join(
            f"{row.ranking} {row.auroc:.3f} ± {row.auroc_ci:.3f}"
            for row in part.itertuples()
            if row.ranking in names
        )
        for data, part in rankings.groupby("data", sort=False)
    )
    return Verdict(
        "Figure 3: enrichment of the top 100 genes in terms of acute myeloid leukaemia",
        "PWP after ANT finds more terms than PWP, PWP more than Garson",
        f"AUROC of known genes against the others: {ours}",
        seeds(rankings),
        "not testable here",
        "the expression of 26,000 genes is not among the data; known genes of other studies were"
        " looked for instead",
    )


def digit_pictures(tables) -> Verdict | None:
    """The paper shows pictures and measures nothing."""
    if "pictures" not in tables:
        return None
    pictures = tables["pictures"].set_index("digit")
    pixels = [name for name in pictures.columns if name.startswith("pixel_")]
    before, after = (select(pictures, tuning=when)[pixels] for when in ("before", "after"))
    correlations = before.corrwith(after, axis=1)
    return Verdict(
        "Figure 4: mean contributions of pixels to their digit, before and after tuning",
        "pictures alone",
        f"correlation of a digit's two pictures: {correlations.mean():.2f} in the mean,"
        f" {correlations.min():.2f} at least",
        pictures["seed"].nunique(),
        "not testable here",
        "no number is published; our pictures are below, and hardly differ",
    )


def criteria(tables) -> tuple[str, list[str], list[list[str]]] | None:
    """How often each way to make a network small is better than random removal, or worse."""
    if "differences" not in tables:
        return None
    rows = select(tables["differences"], less="random")
    rows = rows[rows["removed"] >= FROM]
    found = []
    for method, own in rows.groupby("method", sort=False):
        cells = [method, str(len(own))]
        for score in ("accuracy", "auc"):
            mean, half = own[score], own[f"{score}_ci"]
            cells.append(f"{int((mean - half > 0).sum())} / {int((mean + half < 0).sum())}")
        found.append(cells)
    return (
        f"Better / worse than random removal, from {FROM:.0%} removed, over data sets, activations,"
        " numbers of layers and rates. (Two or three of a hundred either way come by chance.)",
        ["method", "comparisons", "accuracy", "AUC"],
        found,
    )


TABLES = (criteria,)
VERDICTS = (
    first_layer,
    both_layers,
    better_than_random,
    better_than_scratch,
    gold_standard,
    aml_terms,
    digit_pictures,
)
