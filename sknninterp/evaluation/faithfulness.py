"""Faithfulness: what happens to the output when the features that matter most are taken away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.integrate import trapezoid
from sklearn.utils import check_random_state

from sknninterp._typing import MatrixLike, Seed, Target
from sknninterp.evaluation._bootstrap import Bootstrap
from sknninterp.evaluation._checks import check_choice, check_count
from sknninterp.evaluation._outputs import ExplainedOutput
from sknninterp.evaluation._rankings import (
    as_explanation,
    checked_groups,
    own_target,
    random_ranks,
    ranking_scores,
    ranks_of,
)
from sknninterp.evaluation._replacement import Replacement

__all__ = ["PerturbationCurves", "erasure", "perturbation_curves"]

KINDS = ("deletion", "insertion")
ORDERS = ("morf", "lerf")


def perturbation_curves(
    estimator: Any,
    X: MatrixLike,
    explanation: Any,
    *,
    kind: str = "deletion",
    order: str = "morf",
    target: Target = None,
    replacement: str = "mean",
    background: MatrixLike | None = None,
    n_steps: int = 20,
    n_random: int = 5,
    rank_by: str = "auto",
    groups: ArrayLike | None = None,
    output: str = "probability",
    confidence_level: float = 0.95,
    random_state: Seed = None,
    verbose: int = 0,
) -> PerturbationCurves:
    r"""Deletion or insertion curves of an explanation, beside those of a random order.

    Features are replaced one after another in the order of the explanation, and the output that
    was explained is followed [1]_ [2]_. If the explanation is faithful to what the estimator
    computes, deletion of the most relevant features first (MoRF) makes the output fall at once, and
    the area under the curve is small; insertion of them makes it rise at once, and the area is
    large. What that is worth shows beside a random order, which sees the same replacements.

    Features are the columns of X: rows with replaced values go through a whole pipeline. Of images
    (n_samples, channels, height, width) they are pixels, all channels of a pixel together.

    Parameters
    ----------
    estimator : estimator, pipeline, search, skorch net or torch module
        Fitted: a classifier with `predict_proba`, a regressor, or a torch module.
    X : array-like or DataFrame of shape (n_samples, n_features) or (n_samples, ...)
        The samples that are explained, as the estimator takes them.
    explanation : Explanation, explainer, estimator or array-like
        Attributions of X for each sample, (n_samples, n_features), by any method; with a last axis
        for the outputs too. Or one ranking for all samples, (n_features,), the largest first, such
        as `feature_importances_`. A fitted explainer is asked for attributions of X, another fitted
        estimator for `feature_importances_` or `coef_`.
    kind : {"deletion", "insertion"}, default="deletion"
        Replace features of the samples, or begin with all replaced and put them back.
    order : {"morf", "lerf"}, default="morf"
        The most relevant first, or the least relevant first.
    target : None, "predicted", label or array-like of shape (n_samples,), default=None
        The output that is followed: one label, one for each sample, or the class that is predicted
        of the sample as it is. None is the one that the explanation is about, else the predicted
        class, or a regressor's only output.
    replacement : {"mean", "sample", "conditional"}, default="mean"
        What a removed feature becomes: the mean of its column (where this is not numeric, the most
        frequent value); its value in another sample, the same one for all features; or its value in
        one of the 10 samples that are most alike in the features that are left, by standardised
        differences and by equal categories. The means are quick, but make samples unlike all data
        (and categories that are coded as numbers need another type); what is drawn keeps
        dependences among the replaced, or also with the kept features.
    background : array-like or DataFrame of shape (n_background, ...), default=None
        Where replacements come from, such as the training data; None is X.
    n_steps : int, default=20
        Steps of (nearly) equally many features; at most one for each feature.
    n_random : int, default=5
        Random orders of each sample's features that the curve is compared with; 0 for none.
    rank_by : {"auto", "value", "magnitude"}, default="auto"
        Whether features that speak against the output come last or count as much as those that
        speak for it. "auto" is by value, but by magnitude where an Explanation is not `signed`.
    groups : array-like of int of one sample's shape, default=None
        Features that are removed together, such as the segments of an image, by the number of their
        group; their attributions are summed.
    output : {"probability", "logit"}, default="probability"
        Of a classifier, follow the probability, or what its network puts out before it. Where the
        network is very sure, only logits move. Of a regressor it is the value predicted.
    confidence_level : float, default=0.95
        Of the intervals, which are bootstrap percentiles over samples.
    random_state : int, RandomState instance or None, default=None
        Of the random orders, of ties, of drawn replacements and of the intervals.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    PerturbationCurves

    Raises
    ------
    ValueError
        If shapes, names or the target do not fit, or a parameter is no such thing.
    TypeError
        If the estimator gives no probabilities.

    See Also
    --------
    erasure : The two ends of the curves: the top k features alone, or all but them.
    sknninterp.evaluation.retraining.roar : The estimator is fitted again without the features.

    References
    ----------
    .. [1] Samek, Binder, Montavon, Lapuschkin & Muller (2017), *Evaluating the visualization of
       what a deep neural network has learned*, IEEE TNNLS 28 (11), eq. 12.
    .. [2] Petsiuk, Das & Saenko (2018), *RISE: randomized input sampling for explanation of
       black-box models*, BMVC, section 4.2.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sknninterp.evaluation.faithfulness import perturbation_curves
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=1000).fit(X, y)
    >>> attributions = model.coef_[y] * (X - X.mean(0))
    >>> curves = perturbation_curves(model, X, attributions, target=y, random_state=0)
    >>> curves.share.tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    >>> curves.to_frame()["mean"].round(2).tolist()
    [0.9, 0.36, 0.33, 0.33, 0.33]
    >>> curves.beats_random
    True
    """
    check_choice("kind", kind, KINDS)
    check_choice("order", order, ORDERS)
    check_count("n_steps", n_steps, 1)
    check_count("n_random", n_random, 0)
    generator = check_random_state(random_state)
    trial = _Trial(
        estimator,
        X,
        explanation,
        target,
        replacement,
        background,
        rank_by,
        groups,
        output,
        generator,
    )
    n_groups = trial.n_groups
    counts = np.unique(np.linspace(0, n_groups, n_steps + 1).round().astype(int))
    deletes = kind == "deletion"
    with trial.progress((1 + n_random) * len(counts), verbose):
        curves = trial.curve(trial.ranks(order), counts, deletes)
        random = [trial.curve(trial.random_ranks(), counts, deletes) for _ in range(n_random)]
    return PerturbationCurves(
        kind=kind,
        order=order,
        share=counts / n_groups,
        outputs=curves,
        random_outputs=np.mean(random, axis=0) if random else None,
        confidence_level=confidence_level,
        seed=int(generator.randint(np.iinfo(np.int32).max)),
    )


@dataclass(frozen=True, eq=False)
class PerturbationCurves:
    """Deletion or insertion curves of samples, their mean, and their areas.

    Made by :func:`perturbation_curves`.

    Parameters
    ----------
    kind : {"deletion", "insertion"}
    order : {"morf", "lerf"}
    share : ndarray of shape (n_points,)
        Share of the features that are removed (put back, for insertion), from 0 to 1.
    outputs : ndarray of shape (n_samples, n_points)
        The output of each sample.
    random_outputs : ndarray of shape (n_samples, n_points) or None
        The same in random order, the mean over orders.
    confidence_level : float, default=0.95
    seed : int, default=0
        Of the intervals.

    Examples
    --------
    >>> import numpy as np
    >>> from sknninterp.evaluation.faithfulness import PerturbationCurves
    >>> curves = PerturbationCurves(
    ...     kind="deletion", order="morf", share=np.array([0, 0.5, 1]),
    ...     outputs=np.array([[1, 0.2, 0], [0.8, 0, 0]]),
    ...     random_outputs=np.array([[1, 0.5, 0], [0.8, 0.4, 0]]))
    >>> curves.areas.round(3).tolist()
    [0.35, 0.2]
    >>> curves.summary()["mean"].round(3).to_dict()
    {'area': 0.275, 'random': 0.45, 'difference': -0.175, 'ratio': 0.611}
    """

    kind: str
    order: str
    share: np.ndarray
    outputs: np.ndarray
    random_outputs: np.ndarray | None
    confidence_level: float = 0.95
    seed: int = 0
    _bootstrap: Bootstrap = field(init=False, repr=False)

    def __post_init__(self) -> None:
        bootstrap = Bootstrap(len(self.outputs), self.confidence_level, self.seed)
        object.__setattr__(self, "_bootstrap", bootstrap)

    def __repr__(self) -> str:
        area, lower, upper = self.summary().loc["area"]
        return (
            f"PerturbationCurves({self.kind}, {self.order}: {len(self.outputs)} samples,"
            f" area {area:.3g} [{lower:.3g}, {upper:.3g}])"
        )

    @property
    def areas(self) -> np.ndarray:
        """Area under each sample's curve, (n_samples,), by the trapezoidal rule."""
        return trapezoid(self.outputs, self.share, axis=1)

    @property
    def random_areas(self) -> np.ndarray | None:
        """Area under each sample's curve in random order, or None."""
        if self.random_outputs is None:
            return None
        return trapezoid(self.random_outputs, self.share, axis=1)

    def to_frame(self) -> pd.DataFrame:
        """Return the mean curves.

        Returns
        -------
        DataFrame of shape (n_points, 7)
            `share`; `mean`, `lower` and `upper` over samples; and `random_mean`, `random_lower`
            and `random_upper`, if there are random orders. Limits of a single sample are NaN.
        """
        columns = {"share": self.share}
        for prefix, outputs in (("", self.outputs), ("random_", self.random_outputs)):
            if outputs is not None:
                names = (f"{prefix}{name}" for name in ("mean", "lower", "upper"))
                columns |= zip(names, self._bootstrap.mean(outputs), strict=True)
        return pd.DataFrame(columns)

    def summary(self) -> pd.DataFrame:
        """Return the mean area, alone and against a random order.

        Returns
        -------
        DataFrame of shape (4, 3)
            Rows `area`, `random`, `difference` (area less random) and `ratio` (area over random),
            the last three only if there are random orders; columns `mean`, `lower`, `upper`.
        """
        areas, random, bootstrap = self.areas, self.random_areas, self._bootstrap
        rows = {"area": bootstrap.mean(areas)}
        if random is not None:
            rows["random"] = bootstrap.mean(random)
            rows["difference"] = bootstrap.mean(areas - random)
            rows["ratio"] = bootstrap.ratio(areas, random)
        return pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "lower", "upper"])

    @property
    def beats_random(self) -> bool | None:
        """Whether the whole interval of the difference is on the side that faithfulness predicts.

        Below zero for deletion of the most relevant or insertion of the least relevant features
        first, else above. None without random orders.
        """
        if self.random_outputs is None:
            return None
        difference = self.summary().loc["difference"]
        if (self.kind == "deletion") == (self.order == "morf"):
            return bool(difference["upper"] < 0)
        return bool(difference["lower"] > 0)


def erasure(
    estimator: Any,
    X: MatrixLike,
    explanation: Any,
    k: float | Sequence[float] | np.ndarray = (0.01, 0.05, 0.1, 0.2, 0.5),
    *,
    target: Target = None,
    replacement: str = "mean",
    background: MatrixLike | None = None,
    n_random: int = 5,
    rank_by: str = "auto",
    groups: ArrayLike | None = None,
    output: str = "probability",
    confidence_level: float = 0.95,
    random_state: Seed = None,
    verbose: int = 0,
) -> pd.DataFrame:
    r"""Comprehensiveness and sufficiency of the top k features.

    With x the sample, r its k most relevant features and f the output that was explained [1]_

    - comprehensiveness is f(x) - f(x without r): large if all that counts is among them;
    - sufficiency is f(x) - f(r alone): small if they suffice for the output.

    Parameters
    ----------
    estimator, X, explanation
        As for :func:`perturbation_curves`.
    k : int, float or sequence of these, default=(0.01, 0.05, 0.1, 0.2, 0.5)
        How many features: integers are counts, floats are shares (of which at least one feature is
        taken). The default is that of the paper, whose aggregate is the mean over these rows.
    target, replacement, background
        As for :func:`perturbation_curves`.
    n_random, rank_by, groups, output
        As for :func:`perturbation_curves`.
    confidence_level, random_state, verbose
        As for :func:`perturbation_curves`.

    Returns
    -------
    DataFrame of shape (n_k, n_columns)
        By `k`, as it was given: `n_features`, then `comprehensiveness` and `sufficiency`, each with
        `_lower` and `_upper`, then, if there are random orders, `random_comprehensiveness` and
        `random_sufficiency`.

    Raises
    ------
    ValueError
        If `k` is more than there are features, or as for :func:`perturbation_curves`.

    References
    ----------
    .. [1] DeYoung et al. (2020), *ERASER: a benchmark to evaluate rationalized NLP models*, ACL,
       eq. 1 and 2.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sknninterp.evaluation.faithfulness import erasure
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=1000).fit(X, y)
    >>> attributions = model.coef_[y] * (X - X.mean(0))
    >>> found = erasure(model, X, attributions, k=[1, 2], target=y, random_state=0)
    >>> found[["comprehensiveness", "sufficiency"]].round(2).to_numpy().tolist()
    [[0.54, 0.07], [0.57, -0.02]]
    """
    check_count("n_random", n_random, 0)
    generator = check_random_state(random_state)
    trial = _Trial(
        estimator,
        X,
        explanation,
        target,
        replacement,
        background,
        rank_by,
        groups,
        output,
        generator,
    )
    ks = list(k) if np.iterable(k) else [k]
    counts = [_count_of(one, trial.n_groups) for one in ks]
    with trial.progress(2 * (1 + n_random) * len(counts), verbose):
        found = trial.drops(trial.ranks("morf"), counts)
        random = [trial.drops(trial.random_ranks(), counts) for _ in range(n_random)]
    bootstrap = Bootstrap(
        len(trial.start), confidence_level, int(generator.randint(np.iinfo(np.int32).max))
    )
    columns = {"n_features": counts}
    for name, drops in found.items():
        names = (name, f"{name}_lower", f"{name}_upper")
        columns |= zip(names, bootstrap.mean(drops), strict=True)
    for name in found if random else ():
        columns[f"random_{name}"] = np.mean([one[name] for one in random], axis=(0, 1))
    return pd.DataFrame(columns, index=pd.Index(ks, name="k"))


class _Trial:
    """Samples, the order of their features, and the output with some of these replaced."""

    def __init__(
        self,
        estimator,
        X,
        explanation,
        target,
        replacement,
        background,
        rank_by,
        groups,
        output,
        random_state,
    ):
        self.random_state = random_state
        self.replacement = Replacement(replacement, X, background, random_state)
        X = self.replacement.X
        explanation = as_explanation(explanation, X, target)
        self.output = ExplainedOutput(estimator, X, own_target(explanation, target), output)
        self.start = self.output.start
        self.groups = checked_groups(groups, X.shape[1:])
        self.n_groups = int(self.groups.max()) + 1
        self.scores = ranking_scores(explanation, X, self.output, rank_by, self.groups)
        self._bar: Any = None

    def ranks(self, order: str) -> np.ndarray:
        scores = self.scores if order == "morf" else -self.scores
        return ranks_of(scores, self.random_state, len(self.start))

    def random_ranks(self) -> np.ndarray:
        return random_ranks((len(self.start), self.n_groups), self.random_state)

    def curve(self, ranks, counts, deletes: bool) -> np.ndarray:
        """The output with so many features, the first in rank, removed or put back."""
        return np.stack([self._without((ranks < n) == deletes) for n in counts], axis=1)

    def drops(self, ranks, counts) -> dict[str, np.ndarray]:
        """By how much the output falls without the first in rank, and with them alone."""
        start = self.start[:, None]
        return {
            "comprehensiveness": start - self.curve(ranks, counts, deletes=True),
            "sufficiency": start - self.curve(ranks, counts, deletes=False),
        }

    def _without(self, removed) -> np.ndarray:
        self._bar.update()
        if not removed.any():
            return self.start
        return self.output(self.replacement(removed[:, self.groups]))

    def progress(self, n_predictions: int, verbose: int):
        from tqdm.auto import tqdm

        self._bar = tqdm(total=n_predictions, unit="prediction", disable=not verbose)
        return self._bar


def _count_of(k, n_features) -> int:
    if isinstance(k, Integral) and not isinstance(k, bool) and 1 <= int(k) <= n_features:
        return int(k)
    if isinstance(k, Real) and not isinstance(k, Integral) and 0 < float(k) <= 1:
        return max(1, round(k * n_features))
    raise ValueError(
        f"k={k!r} must be an integer from 1 to the number of features, {n_features}, or a share of"
        " them above 0."
    )
