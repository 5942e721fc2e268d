"""Is the explanation any good: agreement of explainers, removal of features, checks."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from sknninterp.evaluation import (
    completeness,
    pairwise_agreement,
    parameter_randomization,
    perturbation_curves,
    stability,
)
from sknninterp.evaluation.faithfulness import PerturbationCurves
from sknninterp.explainers._completeness import TOLERANCE, CompletenessWarning
from sknninterp.explainers.gradient import GradientXInputExplainer, IntegratedGradientsExplainer
from sknninterp.explainers.weight_product import GarsonExplainer, OldenExplainer, PWPExplainer
from sknninterp.reporting._ranking import TOP, Ranking
from sknninterp.reporting._study import Study

# Rows that are explained again and again; fewer of wide tables.
_MOST_ROWS = 200
_MOST_VALUES = 400_000
_FEWEST_ROWS = 30
# Random draws and steps. Of many features, few draws tell as much: ranks vary by 1 / sqrt(p - 1).
_DRAWS, _STEPS = 3, 20
_DRAWS_OF_WIDE, _STEPS_OF_WIDE = 1, 10
_WIDE = 2_000
_MOST_SIMILAR = 0.5


@dataclass(frozen=True)
class Check:
    """A check: its name, whether it was passed, and what was found."""

    name: str
    passed: bool
    why: str


@dataclass(frozen=True)
class Trust:
    """What is known of the explanation's quality.

    Parameters
    ----------
    agreement : DataFrame of shape (n_methods, n_methods) or None
        Spearman's rank correlation of the rankings.
    overlap : DataFrame of shape (n_methods, n_methods) or None
        Share of the first ten that both have (Jaccard's index).
    checks : list of Check
    curves : PerturbationCurves or None
    stability : DataFrame or None
        As :func:`stability` gives it, between networks or repeats.
    n_rows : int
        On how many rows.
    failed : dict of str to str
        What could not be done, and why.
    """

    agreement: pd.DataFrame | None = None
    overlap: pd.DataFrame | None = None
    checks: list[Check] = field(default_factory=list)
    curves: PerturbationCurves | None = None
    stability: pd.DataFrame | None = None
    n_rows: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def of_runs(ranking: Ranking) -> pd.DataFrame | None:
    """How far the rankings of several networks or repeats agree."""
    if ranking.each is None:
        return None
    return stability(ranking.each, k=min(TOP, ranking.each.shape[1]))


def examine(study: Study, ranking: Ranking) -> Trust:
    """Compare and check the explainer of the (first) network on some of the rows.

    What cannot be done with this network is left out, with the reason: other explainers than the
    chosen one may not read it.
    """
    n_features = len(ranking.names)
    n_rows = min(_MOST_ROWS, max(_FEWEST_ROWS, _MOST_VALUES // n_features))
    X = study.rows(study.drawn(n_rows))
    failed: dict[str, str] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CompletenessWarning)
        agreement = _attempt("comparison of explainers", failed, lambda: _agree(study, X, failed))
        curves = _attempt("removal of features", failed, lambda: _curves(study, X))
        anew = _attempt("random weights", failed, lambda: _random_weights(study, X))
        complete = _attempt("adding up", failed, lambda: _complete(study, X))
    return Trust(
        *(agreement or (None, None)),
        checks=[one for one in (anew, complete, _removal(curves)) if one is not None],
        curves=curves,
        stability=of_runs(ranking),
        n_rows=len(X) if hasattr(X, "columns") else X.shape[0],
        failed=failed,
    )


def _attempt(what, failed, function):
    try:
        return function()
    except (NotImplementedError, TypeError, ValueError) as error:
        failed[what] = str(error)
        return None


def _agree(study: Study, X, failed):
    """Rank correlation and overlap of explainers of one network over the same rows."""
    own, network = study.first_explainer, study.first_network
    others = [
        PWPExplainer(network, signed=True),
        OldenExplainer(network),
        GarsonExplainer(network),
        GradientXInputExplainer(network),
        IntegratedGradientsExplainer(network, baseline="mean"),
    ]
    found = {own.method: own} if hasattr(own, "method") else {"this ranking": own}
    found |= {one.method: one for one in others if one.method not in found}
    rankings = {}
    for name, explainer in found.items():
        if explainer is own:
            rankings[name] = np.ravel(own.feature_importances_)
            continue
        ranked = _attempt(name, failed, lambda one=explainer: one.fit(X).feature_importances_)
        if ranked is not None and np.size(ranked) == np.size(own.feature_importances_):
            rankings[name] = np.ravel(ranked)
    if len(rankings) < 2:
        return None
    table = pd.DataFrame.from_dict(rankings, orient="index")
    k = min(TOP, table.shape[1])
    return pairwise_agreement(table, "spearman"), pairwise_agreement(table, "jaccard", k=k)


# -- checks --------------------------------------------------------------------------------------


def _random_weights(study: Study, X) -> Check:
    """Whether the explanation changes if the network forgets what it has learned."""
    explainer = study.first_explainer
    draws = _DRAWS_OF_WIDE if _is_wide(X) else _DRAWS
    table = parameter_randomization(explainer, X, n_repeats=draws, random_state=study.seed)
    # The last rows are those of networks in which all weights are random.
    last = table[table["layer"] == table["layer"].iloc[-1]]
    columns = ["importances", "values"] if explainer.explain(X[:1]).signed else ["importances"]
    similarity = float(last[columns].mean().max())
    passed = similarity <= _MOST_SIMILAR
    end = "it shows what the network has learned."
    if not passed:
        end = f"more than {_MOST_SIMILAR:g}: it shows the data more than what has been learned."
    why = f"With random weights the explanation agrees with the original at {similarity:.2f}: {end}"
    return Check("random weights", passed, why)


def _complete(study: Study, X) -> Check | None:
    """Whether contributions add up to the output, where that is claimed."""
    explanation = study.first_explainer.explain(X, "predicted" if study.is_class else None)
    if explanation.base_values is None:
        return None
    table = completeness(explanation, study.first_network, X)
    n_beyond, worst = int((~table["complete"]).sum()), table["relative_gap"].max()
    why = f"Contributions and base value miss the output by up to {worst:.1%}"
    more = f", by more than {TOLERANCE:.0%} for {n_beyond:,} of {len(table):,} rows"
    return Check("adding up", n_beyond == 0, f"{why}{more if n_beyond else ''}.")


def _removal(curves: PerturbationCurves | None) -> Check | None:
    """Whether features on top matter more to the network than others."""
    if curves is None or len(curves.outputs) < 2:
        return None
    mean, lower, upper = curves.summary().loc["difference"]
    beats_random = bool(curves.beats_random)
    verb = "lowers" if beats_random else "does not lower"
    return Check(
        "removal of features",
        beats_random,
        f"Taking out the most important features first {verb} the output more than a random order "
        f"does: areas differ by {mean:.3g} (95 % interval {lower:.3g} to {upper:.3g}).",
    )


def _curves(study: Study, X) -> PerturbationCurves:
    """The output while features are taken out."""
    explanation = study.first_explainer.explain(X, "predicted" if study.is_class else None)
    if explanation.has_outputs:  # of a quantity
        explanation = explanation[..., 0]
    options: dict[str, Any] = {
        "n_steps": _STEPS_OF_WIDE if _is_wide(X) else _STEPS,
        "n_random": _DRAWS_OF_WIDE if _is_wide(X) else _DRAWS,
        "random_state": study.seed,
    }
    numeric = (
        isinstance(X, pd.DataFrame) and len({*X.dtypes}) == 1 and X.to_numpy().dtype.kind == "f"
    )
    if not numeric or explanation.shape != X.shape or not hasattr(study.first_network, "predict"):
        return perturbation_curves(study.first_network, X, explanation, **options)
    # As one array: columns of a frame are replaced one by one, which takes minutes for thousands.
    named = _Named(study.first_network, X.columns)
    target = explanation.target if study.is_class else None
    return perturbation_curves(named, X.to_numpy(), explanation.values, target=target, **options)


def _is_wide(X) -> bool:
    return int(np.prod(X.shape[1:])) > _WIDE


class _Named(BaseEstimator):
    """An estimator of frames that takes arrays."""

    def __init__(self, estimator, columns):
        self.estimator = estimator
        self.columns = columns
        if hasattr(estimator, "predict_proba"):
            self.classes_ = estimator.classes_
            self.predict_proba = lambda X: estimator.predict_proba(self._frame(X))

    def predict(self, X):
        return self.estimator.predict(self._frame(X))

    def _frame(self, X):
        return pd.DataFrame(X, columns=self.columns)
