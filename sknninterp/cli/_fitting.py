"""The analysis: choose the network, fit it and the baselines, score them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn import metrics
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import Pipeline

from sknninterp.cli._arguments import Settings
from sknninterp.cli._design import Configuration, make_network, make_preprocessor, split
from sknninterp.cli._messages import progress
from sknninterp.cli._problem import Problem
from sknninterp.cli._search import (
    Search,
    errors_of_training,
    find_configuration,
    only_configuration,
)

_LOGISTIC_ITERATIONS = 300


@dataclass(frozen=True)
class Metric:
    """A score of predictions on the test part.

    Attributes
    ----------
    key, label : str
        Name for programs and for people.
    function : callable
        Of `(y, prediction)`; the prediction is the probabilities of the classes, or values.
    lower_is_better : bool, default=False
    """

    key: str
    label: str
    function: Callable[[np.ndarray, np.ndarray], float]
    lower_is_better: bool = False


def _of_labels(function: Callable) -> Callable:
    return lambda y, proba: function(y, proba.argmax(axis=1))


def _of_positive(function: Callable) -> Callable:
    return lambda y, proba: function(y, proba[:, 1])


def _one_against_rest_auc(y: np.ndarray, proba: np.ndarray) -> float:
    return metrics.roc_auc_score(y, proba, multi_class="ovr", labels=range(proba.shape[1]))


def _log_loss(y: np.ndarray, proba: np.ndarray) -> float:
    return metrics.log_loss(y, proba, labels=range(proba.shape[1]))


_ACCURACIES = [
    Metric("accuracy", "accuracy", _of_labels(metrics.accuracy_score)),
    Metric("balanced_accuracy", "balanced acc.", _of_labels(metrics.balanced_accuracy_score)),
]
METRICS: dict[str, list[Metric]] = {
    "binary": [
        Metric("roc_auc", "ROC AUC", _of_positive(metrics.roc_auc_score)),
        Metric(
            "average_precision", "avg. precision", _of_positive(metrics.average_precision_score)
        ),
        *_ACCURACIES,
        Metric("brier", "Brier score", _of_positive(metrics.brier_score_loss), True),
    ],
    "multiclass": [
        Metric("roc_auc", "ROC AUC (1 v rest)", _one_against_rest_auc),
        *_ACCURACIES,
        Metric("log_loss", "log loss", _log_loss, True),
    ],
    "regression": [
        Metric("r2", "R2", metrics.r2_score),
        Metric("mae", "MAE", metrics.mean_absolute_error, True),
    ],
}


@dataclass(frozen=True)
class Run:
    """A fitted network: its seed and its scores on the test part."""

    seed: int
    network: object
    scores: dict[str, float]


@dataclass(frozen=True)
class Analysis:
    """All that was fitted.

    Attributes
    ----------
    train, test : ndarray
        Positions of the rows.
    search : Search or None
        None where there was one configuration only.
    configuration : Configuration
        What was chosen.
    preprocess : ColumnTransformer
        Fitted on the training part.
    runs : list of Run
    baselines : dict of str to dict of str to float
        Scores by model.
    notes : list of str
    """

    train: np.ndarray
    test: np.ndarray
    search: Search | None
    configuration: Configuration
    preprocess: ColumnTransformer
    runs: list[Run]
    baselines: dict[str, dict[str, float]]
    notes: list[str] = field(default_factory=list)

    def pipeline(self, run: Run) -> Pipeline:
        """Return a fitted pipeline, from the user's columns to the prediction of one run."""
        return Pipeline([("preprocess", self.preprocess), ("network", run.network)])


def summarise(runs: list[Run]) -> dict[str, dict[str, float]]:
    """Return mean and standard deviation of every score over the runs."""
    values = {key: np.array([run.scores[key] for run in runs]) for key in runs[0].scores}
    return {
        key: {"mean": v.mean(), "sd": v.std(ddof=1) if len(v) > 1 else np.nan}
        for key, v in values.items()
    }


def analyse(problem: Problem, settings: Settings) -> Analysis:
    """Split, search, fit and score."""
    notes: list[str] = []
    train, test = split(problem, settings)
    search = find_configuration(problem, train, settings)
    if search is None:
        configuration = only_configuration(problem, settings)
    else:
        configuration = search.chosen
        if search.n_rows < len(train):
            notes.append(
                f"The network was chosen on {search.n_rows:,} of the {len(train):,} training rows."
            )
    preprocess = make_preprocessor(problem)
    encoded = preprocess.fit_transform(problem.X.iloc[train], problem.y[train])
    parts = _Parts(
        encoded, problem.y[train], preprocess.transform(problem.X.iloc[test]), problem.y[test]
    )
    runs = _fit_runs(problem, settings, configuration, parts)
    baselines = _fit_baselines(problem, settings, parts, notes)
    return Analysis(train, test, search, configuration, preprocess, runs, baselines, notes)


@dataclass(frozen=True)
class _Parts:
    """The encoded training and test part."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray

    def score(self, model: Any, metrics_: list[Metric]) -> dict[str, float]:
        """Return the scores of a fitted model on the test part."""
        predict = getattr(model, "predict_proba", model.predict)
        prediction = predict(self.X_test)
        return {one.key: float(one.function(self.y_test, prediction)) for one in metrics_}


# -- networks and baselines ----------------------------------------------------------------------


def _fit_runs(
    problem: Problem, settings: Settings, configuration: Configuration, parts: _Parts
) -> list[Run]:
    """Return one network for each seed."""
    seeds = range(settings.seed, settings.seed + settings.runs)
    n_rows = len(parts.y)
    networks = [make_network(problem, settings, n_rows, configuration, s) for s in seeds]
    fits = Parallel(n_jobs=settings.jobs, return_as="generator")(
        delayed(_fit)(network, parts.X, parts.y) for network in networks
    )
    bar = progress(fits, what="Fitting networks", quiet=settings.quiet, total=len(networks))
    chosen = METRICS[problem.task]
    return [
        Run(seed, network, parts.score(network, chosen))
        for seed, network in zip(seeds, bar, strict=True)
    ]


def _fit(network: Any, X: pd.DataFrame, y: np.ndarray) -> Any:
    with errors_of_training():
        return network.fit(X, y)


def _fit_baselines(
    problem: Problem, settings: Settings, parts: _Parts, notes: list[str]
) -> dict[str, dict[str, float]]:
    """Return the scores of models that a network should beat."""
    if problem.is_regression:
        models = {
            "gradient boosting": HistGradientBoostingRegressor(random_state=settings.seed),
            "ridge regression": RidgeCV(np.logspace(-2, 4, 13)),
            "no features": DummyRegressor(),
        }
    else:
        models = {
            "gradient boosting": HistGradientBoostingClassifier(random_state=settings.seed),
            "logistic regression": LogisticRegression(max_iter=_LOGISTIC_ITERATIONS),
            "no features": DummyClassifier(),
        }
    scores = {}
    for name, model in progress(models.items(), what="Fitting baselines", quiet=settings.quiet):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(parts.X, parts.y)
        if name == "logistic regression" and model.n_iter_.max() >= _LOGISTIC_ITERATIONS:
            notes.append(f"Logistic regression was stopped after {_LOGISTIC_ITERATIONS} steps.")
        scores[name] = parts.score(model, METRICS[problem.task])
    return scores
