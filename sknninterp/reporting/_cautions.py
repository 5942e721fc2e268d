"""What to beware of, in plain words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.utils.validation import _num_samples

from sknninterp.explainers.weight_product import PWPExplainer
from sknninterp.reporting._ranking import Ranking
from sknninterp.reporting._rows import Rows
from sknninterp.reporting._scores import Scores
from sknninterp.reporting._study import Study
from sknninterp.reporting._trust import Trust

_FEW_ROWS = 200
_FEW_OF_A_CLASS = 30
_RARE = 0.1
_MUCH = 0.5
_UNSTABLE = 0.5
_DISAGREEING = 0.5
# Of an input's standard deviation: how far its mean may be from 0.
_OFF_CENTRE = 0.5


@dataclass(frozen=True)
class Caution:
    """A caution: what is the matter, and what it means for the reader."""

    title: str
    text: str


def cautions(
    study: Study, scores: Scores | None, ranking: Ranking, rows: Rows | None, trust: Trust | None
) -> list[Caution]:
    """Return all that applies, what concerns the predictions first."""
    found = [
        _same_rows(study),
        _not_better(scores),
        _small(study),
        _rare_class(study),
        _wide(study),
        _off_centre(study),
        _dominant(ranking),
        _unstable(ranking, trust),
        *_distrust(trust),
        None
        if rows is None or rows.gap is None
        else Caution("Contributions miss the output", rows.gap),
    ]
    return [one for one in found if one is not None]


def _same_rows(study: Study) -> Caution | None:
    if study.X_train is not None:
        return None
    return Caution(
        "The network may have been trained on these rows",
        "It came fitted, and no other rows were given to test it. If it was trained on the rows of "
        "this page, its scores are too good and its explanations are of what it has memorised too. "
        "Hold rows out and pass them as X_test and y_test.",
    )


def _not_better(scores: Scores | None) -> Caution | None:
    """Compare with a guess, and then with the best of the other models."""
    if scores is None:
        return None
    rival, own = scores.strongest_rival(), [*scores.rows.values()][0][0]
    if rival is None or not np.isfinite(own):
        return None
    low, high = scores.interval
    margin = (high - low) / 2 if np.isfinite(low) else 0.0
    sign = -1 if scores.lower_is_better[0] else 1
    guess = scores.rows.get("no features", [np.nan])[0]
    metric = scores.metrics[0]
    if sign * (own - guess) <= margin:
        return Caution(
            "Hardly better than a guess",
            f"Without any feature {metric} would be {guess:.3f}, the network has {own:.3f}. It has "
            "learnt little that holds, so there is little to explain: do not use the ranking.",
        )
    name, value = rival
    if sign * (own - value) > margin:
        return None
    text = f"The {name} has {metric} {value:.3f}, the network {own:.3f}"
    text += f" (95 % interval {low:.3f} to {high:.3f}). " if np.isfinite(low) else ". "
    return Caution(
        "Not clearly better than another model",
        text + "What both use is safer to report than what only one of them does.",
    )


def _small(study: Study) -> Caution | None:
    n_train = None if study.X_train is None else _num_samples(study.X_train)
    n_test = _num_samples(study.X)
    if min(n_train or n_test, n_test) >= _FEW_ROWS:
        return None
    told = (
        f"{n_test:,} rows" if n_train is None else f"{n_train:,} training and {n_test:,} test rows"
    )
    return Caution(
        "Few rows",
        f"There are {told}. Scores may be off by more than they differ between models, and another "
        "sample of the same size may give another ranking. Bootstraps show how much "
        "(RepeatedExplainer with resampling='bootstrap').",
    )


def _rare_class(study: Study) -> Caution | None:
    if study.y is None or not study.is_class:
        return None
    counts = np.bincount(study.codes(study.y), minlength=len(study.names))
    place = int(counts.argmin())
    n, share = int(counts[place]), counts[place] / counts.sum()
    if share >= _RARE * min(1, 2 / len(counts)):
        if n >= _FEW_OF_A_CLASS:
            return None
        return Caution(
            "Few rows of a class",
            f"Only {n:,} of the rows are {study.names[place]!r}: what the scores say of this class "
            "hangs on single rows.",
        )
    return Caution(
        "A rare class",
        f"Only {n:,} of the rows ({share:.1%}) are {study.names[place]!r}. A model that never says "
        "so is right most of the time: read the balanced accuracy and, of two classes, the average "
        "precision.",
    )


def _wide(study: Study) -> Caution | None:
    n_rows = _num_samples(study.X if study.X_train is None else study.X_train)
    predictor = study.network.predictor
    n_inputs = int(np.prod(study.X.shape[1:]))
    decays = getattr(predictor, "weight_decay", None), getattr(predictor, "input_penalty", 0)
    if n_inputs <= n_rows or decays[0] is None or decays[0] > 0 or decays[1] > 0:
        return None
    return Caution(
        "More columns than rows, and no weight decay",
        f"There are {n_inputs:,} columns and {n_rows:,} rows. Weights that the rows do not "
        "determine stay what chance made them, and rankings from weights show that chance. Train "
        "with optimizer='adamw' and a weight_decay of about 10, or with an input_penalty.",
    )


def _off_centre(study: Study) -> Caution | None:
    if not isinstance(study.first_explainer, PWPExplainer):
        return None
    network = study.network
    read = network.inputs(network.preprocess(study.rows(study.drawn(1_000)))).double()
    inputs = read.reshape(len(read), -1).cpu().numpy()
    spread = inputs.std(0)
    off = np.abs(inputs.mean(0)) > _OFF_CENTRE * spread
    share = float(off[spread > 0].mean()) if (spread > 0).any() else 0.0
    if share < 0.1:
        return None
    return Caution(
        "Inputs are not centred",
        f"{share:.0%} of the inputs have a mean far from 0 (more than half a standard deviation). "
        "Weight products are relative to 0: what is always large ranks high although it tells "
        "nothing, and a category that a row does not have contributes nothing. Standardise, "
        "one-hot columns too.",
    )


def _dominant(ranking: Ranking) -> Caution | None:
    place = int(ranking.importance.argmax())
    share = ranking.importance[place]
    if share <= _MUCH or len(ranking.names) < 4:
        return None
    return Caution(
        "One column carries most",
        f"{ranking.names[place]} has {share:.0%} of all importance. Make sure that it was known "
        "before the outcome, and is no other word for it.",
    )


def _unstable(ranking: Ranking, trust: Trust | None) -> Caution | None:
    if ranking.each is None:
        return Caution(
            "One network: no intervals",
            "How much of the ranking is chance cannot be seen from one network. Give the network "
            "n_networks=5, or pass a RepeatedExplainer.",
        )
    if trust is None or trust.stability is None:
        return None
    value = trust.stability.loc["jaccard", "stability"]
    if not value < _UNSTABLE:
        return None
    return Caution(
        "The ranking is not stable",
        f"Between {len(ranking.each)} {ranking.what} that differ by chance only, the first ten "
        f"features overlap by {value:.0%} on average. Do not read anything into single places; "
        "look at the intervals, and at features that are in the first ten every time.",
    )


def _distrust(trust: Trust | None) -> list[Caution]:
    if trust is None:
        return []
    found = []
    if trust.agreement is not None:
        with_others = trust.agreement.iloc[0, 1:].mean()
        if with_others < _DISAGREEING:
            found.append(
                Caution(
                    "Other methods rank otherwise",
                    f"{trust.agreement.index[0]}'s ranking of this same network correlates with "
                    f"those of other methods by {with_others:.2f} on average. Report a feature "
                    "only if several methods have it on top.",
                )
            )
    return found + [
        Caution(f"The explanation failed a check ({check.name})", check.why)
        for check in trust.checks
        if not check.passed
    ]
