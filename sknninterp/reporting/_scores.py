"""How well the network predicts, beside models that it should beat."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse
from sklearn import metrics
from sklearn.base import clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from sknninterp.reporting._study import Study

MOST_BASELINE_ROWS = 5_000
N_FOLDS = 5
_N_RESAMPLES = 200
_FOREST = {"n_estimators": 100, "min_samples_leaf": 3}


@dataclass(frozen=True)
class Metric:
    """A score: `function(y, outputs)` of positions of classes and probabilities, or of values."""

    label: str
    function: Callable[[np.ndarray, np.ndarray], float]
    lower_is_better: bool = False


def _of_labels(function):
    return lambda y, proba: function(y, proba.argmax(axis=1))


def _of_positive(function):
    return lambda y, proba: function(y, proba[:, 1])


def _auc_of_many(y, proba):
    return metrics.roc_auc_score(y, proba, multi_class="ovr", labels=range(proba.shape[1]))


METRICS: dict[str, list[Metric]] = {
    "binary": [
        Metric("ROC AUC", _of_positive(metrics.roc_auc_score)),
        Metric("average precision", _of_positive(metrics.average_precision_score)),
        Metric("balanced accuracy", _of_labels(metrics.balanced_accuracy_score)),
        Metric("Brier score", _of_positive(metrics.brier_score_loss), True),
    ],
    "multiclass": [
        Metric("accuracy", _of_labels(metrics.accuracy_score)),
        Metric("balanced accuracy", _of_labels(metrics.balanced_accuracy_score)),
        Metric("ROC AUC (one against rest)", _auc_of_many),
    ],
    "regression": [
        Metric("R²", lambda y, found: metrics.r2_score(y, found[:, 0])),
        Metric(
            "mean absolute error",
            lambda y, found: metrics.mean_absolute_error(y, found[:, 0]),
            True,
        ),
    ],
}


@dataclass(frozen=True)
class Scores:
    """The table of scores.

    Parameters
    ----------
    metrics : list of str
        The first one is what decides.
    lower_is_better : list of bool
    rows : dict of str to list of float
        By model; the first one is the network.
    interval : (float, float)
        Of the network's first score; NaN where there is none.
    how : str
        Where the numbers come from, in words.
    spreads : list of float, default=()
        Standard deviations of the network's scores, where several networks were scored.
    """

    metrics: list[str]
    lower_is_better: list[bool]
    rows: dict[str, list[float]]
    interval: tuple[float, float]
    how: str
    spreads: list[float] = field(default_factory=list)

    def strongest_rival(self) -> tuple[str, float] | None:
        """The best of the other models and its first score."""
        others = {name: values[0] for name, values in [*self.rows.items()][1:]}
        others = {name: value for name, value in others.items() if np.isfinite(value)}
        if not others:
            return None
        best = (min if self.lower_is_better[0] else max)(others, key=others.__getitem__)
        return best, others[best]


def score(study: Study) -> Scores | None:
    """Score the network and the models beside it; None without labels."""
    if study.y is None:
        return None
    chosen, y = METRICS[study.task], study.codes(study.y)
    rows = {"this network": _values(chosen, y, study.outputs)}
    found, how = _baseline_outputs(study)
    rows |= {name: _values(chosen, y[at], outputs) for name, (at, outputs) in found.items()}
    return Scores(
        [one.label for one in chosen],
        [one.lower_is_better for one in chosen],
        rows,
        interval(study),
        f"Scores of {len(y):,} rows. {how}",
    )


def interval(study: Study) -> tuple[float, float]:
    """The middle 95 % of the network's first score over rows drawn again."""
    y, outputs = study.codes(study.y), study.outputs
    rng, function = np.random.default_rng(study.seed), METRICS[study.task][0].function
    values = []
    for _ in range(_N_RESAMPLES):
        rows = rng.integers(len(y), size=len(y))
        values.append(_value(function, y[rows], outputs[rows]))
    values = [value for value in values if np.isfinite(value)]
    if len(values) < _N_RESAMPLES / 2:
        return float("nan"), float("nan")
    lower, upper = np.quantile(values, [0.025, 0.975])
    return float(lower), float(upper)


def _values(chosen, y, outputs) -> list[float]:
    return [_value(one.function, y, outputs) for one in chosen]


def _value(function, y, outputs) -> float:
    with warnings.catch_warnings():
        # A class may be missing among few rows.
        warnings.simplefilter("ignore")
        try:
            return float(function(y, outputs))
        except ValueError:
            return float("nan")


# -- models beside it ----------------------------------------------------------------------------


def _baseline_outputs(study: Study):
    """Which rows each model was scored on and its outputs; and how they were got, in words."""
    models = {name: _pipeline(study, model) for name, model in _models(study).items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "Found unknown categories", UserWarning)
        if study.X_train is None:
            return _cross_validated(study, models)
        rows = _some(_num_samples(study.X_train), study.seed)
        X, y = _safe_indexing(study.X_train, rows), study.codes(study.y_train)[rows]
        found = {}
        for name, model in models.items():
            outputs = _predict(study, model.fit(X, y), study.X, model)
            found[name] = slice(None), outputs
    return found, (
        f"The other models were fitted on {len(rows):,} rows that the network was trained on, and"
        " scored on the same rows as the network."
    )


def _cross_validated(study: Study, models):
    rows = _some(_num_samples(study.X), study.seed)
    X, y = study.rows(rows), study.codes(study.y)[rows]
    n_folds = N_FOLDS
    if study.is_class:
        n_folds = min(n_folds, np.bincount(y, minlength=len(study.labels)).min())
    else:
        n_folds = min(n_folds, len(y))
    if n_folds < 2:
        return {}, "There are too few rows to fit other models on."
    method = "predict_proba" if study.is_class else "predict"
    found = {}
    for name, model in models.items():
        outputs = cross_val_predict(model, X, y, cv=n_folds, method=method)
        found[name] = rows, outputs.reshape(len(y), -1)
    return found, (
        f"The other models were cross-validated on {len(rows):,} of these rows: they never saw the"
        " rows that they are scored on. The network may have."
    )


def _some(n_rows: int, seed: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).permutation(n_rows)[:MOST_BASELINE_ROWS])


def _models(study: Study) -> dict:
    if study.is_class:
        return {
            "random forest": RandomForestClassifier(**_FOREST, random_state=study.seed),
            "logistic regression": LogisticRegression(max_iter=300),
            "no features": DummyClassifier(),
        }
    return {
        "random forest": RandomForestRegressor(**_FOREST, random_state=study.seed),
        "ridge regression": RidgeCV(np.logspace(-2, 4, 13)),
        "no features": DummyRegressor(),
    }


def _pipeline(study: Study, model):
    """A model behind the network's own preprocessing."""
    steps = [clone(step) for _, step in study.network.steps]
    steps = steps or [FunctionTransformer(_flat), StandardScaler(with_mean=False)]
    return make_pipeline(*steps, FunctionTransformer(_flat), model)


def _flat(X):
    """Images as rows of a table."""
    if sparse.issparse(X) or hasattr(X, "columns"):
        return X
    X = np.asarray(X)
    return X.reshape(len(X), -1)


def _predict(study: Study, fitted, X, model) -> np.ndarray:
    if not study.is_class:
        return np.asarray(fitted.predict(X), dtype=float).reshape(_num_samples(X), -1)
    # Of a class that is not among the few rows a model saw, the probability is 0.
    outputs = np.zeros((_num_samples(X), len(study.labels)))
    outputs[:, fitted.classes_] = fitted.predict_proba(X)
    return outputs
