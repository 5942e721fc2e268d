"""Sanity: whether the explanation would be another if the network had learned nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import _num_samples, check_is_fitted
from torch import nn

from sknninterp._typing import MatrixLike, Seed, Target
from sknninterp.estimators._folds import Samples, fit_samples, seeded_clone
from sknninterp.estimators._network import as_table, is_fitted
from sknninterp.evaluation._checks import check_choice, check_count, check_inside
from sknninterp.evaluation._randomize import WeightLayers
from sknninterp.evaluation._targets import FixedTarget
from sknninterp.evaluation.additivity import completeness, conservation
from sknninterp.evaluation.faithfulness import perturbation_curves
from sknninterp.explainers.influence import InfluentialScores

__all__ = ["label_randomization", "parameter_randomization", "sanity_checks"]

MODES = ("cascading", "independent")
HOW = ("reset", "permute")


def parameter_randomization(
    explainer: Any,
    X: MatrixLike,
    *,
    mode: str = "cascading",
    how: str = "reset",
    target: Target = None,
    n_repeats: int = 5,
    random_state: Seed = None,
    verbose: int = 0,
) -> pd.DataFrame:
    r"""Similarity of an explanation to that of the same network with random weights.

    Layer by layer from the output down, weights are drawn anew in a copy of the fitted estimator,
    and the copy is explained [1]_. An explanation of what the network has learned must change; one
    that stays shows the data or the architecture. The user's estimator and explainer are not
    touched.

    Parameters
    ----------
    explainer : explainer
        Fitted; what its `estimator_` learned is randomised.
    X : array-like or DataFrame of shape (n_samples, n_features) or (n_samples, ...)
        The samples that are explained.
    mode : {"cascading", "independent"}, default="cascading"
        Keep the layers above random too, so that at last all weights are; or one layer at a time.
    how : {"reset", "permute"}, default="reset"
        Draw weights as before training (`reset_parameters`), or permute those of each layer.
    target : None, "predicted", label or list of labels, default=None
        The output, the same one before and after; None is the class that the network predicts as
        it was trained, or all outputs of a regressor.
    n_repeats : int, default=5
        Random draws. One alone tells little where there are few features: the rank correlation of
        p unrelated features has a standard deviation of 1 / sqrt(p - 1).
    random_state : int, RandomState instance or None, default=None
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    DataFrame of shape (n_layers * n_repeats, 5)
        `layer`, from the output down, as the network names it; `repeat`; and Spearman's rank
        correlation with the original of `importances` (the ranking over X), of `values` (mean over
        samples) and of `magnitudes` (the same without signs: these share the size of each
        sample's inputs, where a method multiplies by them). Features with 0 before and after, such
        as pixels that are always black, do not count; where all are tied the similarity is 1 if
        they were so before, else 0.

    Raises
    ------
    TypeError
        If the explainer's estimator holds no network.
    ValueError
        If a parameter is no such thing.

    References
    ----------
    .. [1] Adebayo, Gilmer, Muelly, Goodfellow, Hardt & Kim (2018), *Sanity checks for saliency
       maps*, NeurIPS, section 3.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.neural_network import MLPClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknninterp import GradientXInputExplainer
    >>> from sknninterp.evaluation.sanity import parameter_randomization
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> network = make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=2000)).fit(X, y)
    >>> explainer = GradientXInputExplainer(network).fit(X)
    >>> table = parameter_randomization(explainer, X, random_state=0)
    >>> table["layer"].unique().tolist()
    ['output', 'hidden0']
    >>> bool(table.loc[table["layer"] == "hidden0", "values"].mean() < 0.5)
    True
    """
    check_choice("mode", mode, MODES)
    check_choice("how", how, HOW)
    check_count("n_repeats", n_repeats, 1)
    random_state = check_random_state(random_state)
    original = _Original(explainer, X, target)
    names = WeightLayers(copy.deepcopy(original.estimator), original.X).names
    rows = []
    with _progress(n_repeats * len(names), verbose, "network") as bar:
        for repeat in range(n_repeats):
            for name, estimator in _randomized(original, names, mode, how, random_state):
                rows.append({"layer": name, "repeat": repeat, **original.similarities(estimator)})
                bar.update()
    # All repeats of a layer together, in the order of the layers.
    return pd.DataFrame(rows).sort_values(
        "layer", key=lambda column: column.map(names.index), kind="stable", ignore_index=True
    )


def label_randomization(
    explainer: Any,
    X: MatrixLike,
    y: ArrayLike,
    *,
    target: Target = None,
    n_repeats: int = 5,
    random_state: Seed = None,
    verbose: int = 0,
) -> pd.DataFrame:
    r"""Similarity of an explanation to that of the same estimator fitted on permuted labels.

    Clones of the explainer's estimator are fitted to labels in random order, from which nothing can
    be learned but by heart, and explained [1]_. An explanation that stays shows the data, whatever
    their labels are.

    Parameters
    ----------
    explainer : explainer
        Fitted, around an estimator of which clones can be fitted.
    X : array-like or DataFrame of shape (n_samples, n_features) or (n_samples, ...)
        The samples that estimators are fitted on and that are explained.
    y : array-like of shape (n_samples,)
    target, n_repeats
        As for :func:`parameter_randomization`; there is a fit for each repeat.
    random_state : int, RandomState instance or None, default=None
        Of the permutations and of the fits, which begin with weights of their own.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    DataFrame of shape (n_repeats, 4)
        `repeat`, and the similarities `importances`, `values` and `magnitudes` as for
        :func:`parameter_randomization`.

    Raises
    ------
    ValueError
        If the estimator cannot be fitted anew, or a parameter is no such thing.

    References
    ----------
    .. [1] Adebayo, Gilmer, Muelly, Goodfellow, Hardt & Kim (2018), *Sanity checks for saliency
       maps*, NeurIPS, section 3.3.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknninterp import GarsonExplainer, TorchMLPClassifier
    >>> from sknninterp.evaluation.sanity import label_randomization
    >>> X, y = load_wine(return_X_y=True)
    >>> network = make_pipeline(StandardScaler(), TorchMLPClassifier((8,), max_epochs=50))
    >>> explainer = GarsonExplainer(network).fit(X, y)
    >>> label_randomization(explainer, X, y, n_repeats=2, random_state=0).shape
    (2, 4)
    """
    check_count("n_repeats", n_repeats, 1)
    check_consistent_length(X, y)
    generator = check_random_state(random_state)
    labels = np.asarray(y)
    original = _Original(explainer, X, target)
    _check_refits(original.estimator)
    rows = []
    with _progress(n_repeats, verbose, "fit") as bar:
        for repeat in range(n_repeats):
            permuted = labels[generator.permutation(len(labels))]
            estimator, seed = seeded_clone(original.estimator, 0, generator)
            fit_samples(estimator, seed, Samples(original.X, permuted))
            rows.append({"repeat": repeat, **original.similarities(estimator)})
            bar.update()
    return pd.DataFrame(rows)


def sanity_checks(
    explainer: Any,
    X: MatrixLike,
    y: ArrayLike | None = None,
    *,
    max_similarity: float = 0.5,
    tolerance: float = 0.05,
    n_repeats: int = 5,
    random_state: Seed = None,
    verbose: int = 0,
) -> pd.DataFrame:
    r"""Run all sanity checks on an explainer, and say in words what came out.

    ================  =============================================================================
    ``reproducible``  the same samples get the same explanation twice
    ``parameters``    the explanation changes when all weights are drawn anew
                      (:func:`parameter_randomization`)
    ``labels``        it changes when the estimator is fitted on permuted labels
                      (:func:`label_randomization`); needs y
    ``completeness``  base values and attributions add up to the output, where that is claimed
                      (:func:`sknninterp.evaluation.additivity.completeness`)
    ``conservation``  the laws of influential scores hold
                      (:func:`sknninterp.evaluation.additivity.conservation`)
    ``random order``  features removed in its order change the output more than in a random one
                      (:func:`sknninterp.evaluation.faithfulness.perturbation_curves`)
    ================  =============================================================================

    To pass is necessary, not sufficient. An explanation may fail "parameters" and "labels" for
    reasons that lie in the data: a method that multiplies by the inputs ranks columns of large
    numbers first, whatever the network does, unless X is scaled.

    Parameters
    ----------
    explainer : explainer
        Fitted.
    X : array-like or DataFrame of shape (n_samples, n_features) or (n_samples, ...)
    y : array-like of shape (n_samples,), default=None
        None leaves the labels unchecked.
    max_similarity : float, default=0.5
        For "parameters" and "labels": the largest similarity that passes, of the ranking and, where
        signs have a meaning, of the values, as means over the repeats.
    tolerance : float, default=0.05
        For "completeness", at most 0.2.
    n_repeats : int, default=5
        Random draws, each with a fit for "labels".
    random_state : int, RandomState instance or None, default=None
    verbose : int, default=0
        1 shows progress bars.

    Returns
    -------
    DataFrame of shape (6, 4)
        By `check`: `passed` (missing where the check does not apply), `value`, the `limit` that it
        is held against, and `why`, in words.

    Raises
    ------
    ValueError
        If a parameter is no such thing.

    Warns
    -----
    CompletenessWarning
        If attributions that ought to add up do not.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknninterp import IntegratedGradientsExplainer, TorchMLPClassifier
    >>> from sknninterp.evaluation.sanity import sanity_checks
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> network = TorchMLPClassifier((16,), max_epochs=30, random_state=0)
    >>> explainer = IntegratedGradientsExplainer(make_pipeline(StandardScaler(), network))
    >>> table = sanity_checks(explainer.fit(X, y), X, random_state=0)
    >>> table["passed"].tolist()
    [True, True, <NA>, True, <NA>, True]
    """
    check_count("n_repeats", n_repeats, 1)
    check_inside("max_similarity", max_similarity, 0, 1)
    random_state = check_random_state(random_state)
    options = {"n_repeats": n_repeats, "random_state": random_state, "verbose": verbose}
    original = _Original(explainer, X, None)
    findings = {
        "reproducible": _reproducible(original),
        "parameters": _parameters(original, max_similarity, **options),
        "labels": _labels(original, y, max_similarity, options),
        "completeness": _completeness(original, tolerance),
        "conservation": _conservation(original),
        "random order": _random_order(original, random_state),
    }
    table = pd.DataFrame.from_dict(findings, orient="index").rename_axis("check")
    return table.astype({"passed": "boolean", "value": float, "limit": float})


@dataclass(frozen=True)
class _Finding:
    """What one check found."""

    passed: bool | None
    value: float
    limit: float
    why: str


def _reproducible(original: _Original) -> _Finding:
    again = original.fixed(original.explainer, original.X)
    size = np.abs(original.fixed.values).max()
    value = float(np.abs(again - original.fixed.values).max() / (size or 1.0))
    passed = value <= 1e-4
    why = "The same samples were explained twice, " + (
        "with the same result."
        if passed
        else f"and values differ by up to {value:.0%} of the largest: it is (partly) random."
    )
    return _Finding(passed, value, 1e-4, why)


def _parameters(original: _Original, limit, n_repeats, random_state, verbose) -> _Finding:
    names = WeightLayers(copy.deepcopy(original.estimator), original.X).names
    rows = []
    with _progress(n_repeats, verbose, "network") as bar:
        for _ in range(n_repeats):
            *_, (_, last) = _randomized(original, names, "cascading", "reset", random_state)
            rows.append(original.similarities(last))
            bar.update()
    value = original.worst(pd.DataFrame(rows))
    return _similarity(value, limit, "all weights were drawn anew", "the network has learned")


def _labels(original: _Original, y, limit, options) -> _Finding:
    if y is None:
        return _unchecked("Not checked: y was not given.")
    try:
        _check_refits(original.estimator)
    except ValueError as error:
        return _unchecked(f"Not checked: {error}")
    table = label_randomization(original.explainer, original.X, y, **options)
    value = original.worst(table)
    return _similarity(value, limit, "labels were permuted", "the labels say")


def _similarity(value, limit, what, learned) -> _Finding:
    passed = bool(value <= limit)
    why = f"After {what} the explanation agrees with the original at {value:.2f}" + (
        f": it depends on what {learned}."
        if passed
        else f", more than {limit:g}: it depends little on what {learned}."
    )
    return _Finding(passed, value, limit, why)


def _completeness(original: _Original, tolerance) -> _Finding:
    explanation = original.fixed.explanation
    if explanation.base_values is None:
        return _unchecked("Does not apply: without base values nothing is claimed to add up.")
    table = completeness(explanation, original.estimator, original.X, tolerance=tolerance)
    value, n_beyond = table["relative_gap"].max(), int((~table["complete"]).sum())
    why = f"Attributions and base values miss the output by up to {value:.1%}" + (
        "." if n_beyond == 0 else f", and by more than {tolerance:.0%} for {n_beyond:,} samples."
    )
    return _Finding(n_beyond == 0, value, tolerance, why)


def _conservation(original: _Original) -> _Finding:
    if not isinstance(original.explainer, InfluentialScores):
        return _unchecked("Does not apply: these are laws of influential scores.")
    table, limit = conservation(original.explainer, original.X), 1e-3
    broken = table.index[~table["passed"]].tolist()
    why = f"Broken: {', '.join(broken)}." if broken else f"All hold: {', '.join(table.index)}."
    return _Finding(not broken, table["worst"].max(), limit, why)


def _random_order(original: _Original, random_state) -> _Finding:
    explanation = original.fixed.explanation
    if _num_samples(original.X) < 2:
        return _unchecked("Not checked: there is no interval for a single sample.")
    if explanation.feature_shape != tuple(original.X.shape[1:]):
        return _unchecked("Not checked: what is explained are not the columns of X.")
    if explanation.has_outputs and explanation.n_outputs > 1:
        return _unchecked("Not checked: there are several outputs, and none is predicted.")
    curves = perturbation_curves(
        original.estimator, original.X, explanation, random_state=random_state
    )
    mean, lower, upper = curves.summary().loc["difference"]
    verb = "lowers" if curves.beats_random else "does not lower"
    why = (
        f"Replacing features by their means, the most relevant first, {verb} the output more than"
        f" in random order: areas differ by {mean:.3g} (95 % interval {lower:.3g} to {upper:.3g})."
    )
    return _Finding(curves.beats_random, upper, 0.0, why)


def _unchecked(why) -> _Finding:
    return _Finding(None, np.nan, np.nan, why)


# --- what is compared ---------------------------------------------------------------------------


class _Original:
    """A fitted explainer with its explanation of X, for comparison with other networks'."""

    def __init__(self, explainer, X, target):
        check_is_fitted(explainer, "feature_importances_")
        if not hasattr(explainer, "estimator_") or not hasattr(explainer, "estimator"):
            raise TypeError(
                f"explainer: {type(explainer).__name__} is not an explainer of one estimator."
            )
        self._given, self.X = explainer, as_table(X)
        self.estimator = explainer.estimator_
        # Fitted on X, as those will be that it is compared with.
        self.explainer = self._around(self.estimator)
        self.fixed = FixedTarget(self.explainer, self.X, target)
        self.importances = np.ravel(self.explainer.feature_importances_)

    def _around(self, estimator):
        """A like explainer around another fitted estimator."""
        return copy.copy(self._given).set_params(estimator=estimator).fit(self.X)

    def similarities(self, estimator) -> dict[str, float]:
        explainer = self._around(estimator)
        values, before = self.fixed(explainer, self.X), self.fixed.values
        return {
            "importances": float(
                similarity(self.importances, np.ravel(explainer.feature_importances_))
            ),
            "values": similarity(before, values).mean(),
            "magnitudes": similarity(np.abs(before), np.abs(values)).mean(),
        }

    def worst(self, table: pd.DataFrame) -> float:
        """The larger of the mean similarities that say something."""
        columns = ["importances", "values"] if self.fixed.explanation.signed else ["importances"]
        return float(table[columns].mean().max())


def similarity(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of what is not 0 in both, sample by sample.

    Where all are tied it is 1 if they are so in both, else 0.

    Parameters
    ----------
    one, other : ndarray of shape (..., n_features)

    Returns
    -------
    ndarray of shape (...)
    """
    counts = (one != 0) | (other != 0)
    middle = (1 + counts.sum(-1, keepdims=True)) / 2

    def centred_ranks(values):
        # Those that do not count come last, behind all ranks that do.
        ranks = rankdata(np.where(counts, values, np.inf), axis=-1)
        return np.where(counts, ranks - middle, 0.0)

    first, second = centred_ranks(one), centred_ranks(other)
    squares = (first**2).sum(-1), (second**2).sum(-1)
    found = np.where((squares[0] == 0) & (squares[1] == 0), 1.0, 0.0)
    sizes = np.sqrt(squares[0] * squares[1])
    return np.divide((first * second).sum(-1), sizes, out=found, where=sizes > 0)


def _randomized(original, names, mode, how, random_state) -> Iterator[tuple[str, object]]:
    """Copies of the estimator with one layer after another randomised."""
    estimator = copy.deepcopy(original.estimator)
    for name in names:
        if mode == "independent":
            estimator = copy.deepcopy(original.estimator)
        WeightLayers(estimator, original.X).randomize(name, how, random_state)
        yield name, estimator


def _check_refits(estimator) -> None:
    if isinstance(estimator, nn.Module) or is_fitted(clone(estimator)):
        raise ValueError(f"{type(estimator).__name__} cannot be fitted anew.")


def _progress(total, verbose, unit) -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=total, unit=unit, disable=not verbose)
