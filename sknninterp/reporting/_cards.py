"""The cards: what the model is, and what the data are."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils._pprint import _changed_params
from sklearn.utils.validation import _num_samples
from torch import nn

from sknninterp.reporting._study import Study

Card = list[tuple[str, str]]

_LIBRARIES = ("numpy", "pandas", "scikit-learn", "skorch", "torch")
_MOST_LAYERS = 12
_MOST_CLASSES = 12


def model_card(study: Study, version_: str) -> Card:
    """What the model is made of, line by line."""
    network = study.network
    predictor, module = network.predictor, network.module
    steps = [type(step).__name__ for _, step in network.steps]
    sizes = [parameter.numel() for parameter in module.parameters()]
    several = len(study.networks) > 1
    kind = " → ".join([*steps, type(predictor).__name__])
    lines = [
        ("Kind", f"{kind}, {len(study.networks)} networks averaged" if several else kind),
        ("Layers", layers(module)),
        ("Weights", f"{sum(sizes):,} numbers{', each network' if several else ''}"),
        ("Settings", settings(study.holder) or "all defaults"),
        ("Seed", str(getattr(study.holder, "random_state", "not known"))),
        ("Explained by", settings_of(study.explainer)),
        ("Versions", versions(version_)),
    ]
    epochs = getattr(predictor, "n_iter_", None)
    if epochs is not None:
        lines.insert(3, ("Training", f"{epochs} epochs"))
    return lines


def layers(module: nn.Module) -> str:
    """The network's layers in order, those without parts of their own."""
    leaves = [one for one in module.modules() if not [*one.children()]]
    texts = [_layer(one) for one in leaves]
    if len(texts) > _MOST_LAYERS:
        texts = [*texts[: _MOST_LAYERS - 1], f"… {len(texts) - _MOST_LAYERS + 1} more"]
    return ", ".join(texts)


def _layer(layer) -> str:
    name = type(layer).__name__
    ends = [getattr(layer, f"{end}_features", None) for end in ("in", "out")]
    if None in ends:
        ends = [getattr(layer, f"{end}_channels", None) for end in ("in", "out")]
    return name if None in ends else f"{name} {ends[0]:,} → {ends[1]:,}"


def settings(estimator: Any) -> str:
    """Parameters that are not the defaults."""
    if not isinstance(estimator, BaseEstimator):
        return ""
    changed = _changed_params(estimator)
    shown = {name: value for name, value in changed.items() if name != "random_state"}
    return ", ".join(f"{name}={_short(value)}" for name, value in shown.items())


def settings_of(explainer: Any) -> str:
    """An explainer with the parameters that are not the defaults, its estimator aside."""
    changed = _changed_params(explainer) if isinstance(explainer, BaseEstimator) else {}
    shown = [f"{k}={_short(v)}" for k, v in changed.items() if k not in ("estimator", "explainer")]
    return f"{type(explainer).__name__}({', '.join(shown)})"


def _short(value) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:79]}…"


def versions(own: str) -> str:
    """Versions of the libraries, this one first."""
    found = [f"sknninterp {own}", f"Python {platform.python_version()}"]
    return ", ".join([*found, *(f"{name} {version(name)}" for name in _LIBRARIES)])


def data_card(study: Study) -> Card:
    """What the data are, line by line."""
    X, n_test = study.X, _num_samples(study.X)
    shape = " x ".join(f"{size:,}" for size in X.shape[1:])
    n_train = None if study.X_train is None else _num_samples(study.X_train)
    rows = f"{n_test:,}"
    if n_train is not None:
        rows = f"{n_train:,} for training, {n_test:,} to score and explain"
    lines = [("Rows", rows), ("Columns", f"{shape}{kinds(X)}")]
    missing, constant = gaps(X)
    lines.append(("Missing values", f"{missing:.1%} of all cells" if missing else "none"))
    if constant:
        lines.append(("Constant columns", f"{constant:,}: they can tell nothing"))
    lines.append(("Predicted", _target(study)))
    return lines


def kinds(X: Any) -> str:
    """How many columns of a frame are numbers, and how many categories."""
    if not hasattr(X, "columns"):
        return ""
    X = _as_pandas(X)
    n_numeric = sum(pd.api.types.is_numeric_dtype(dtype) for dtype in X.dtypes)
    others = X.shape[1] - n_numeric
    return f" ({n_numeric:,} numbers, {others:,} categories)" if others else " (all numbers)"


def _as_pandas(X) -> pd.DataFrame:
    """A frame of any library that takes columns by name."""
    if isinstance(X, pd.DataFrame):
        return X
    return pd.DataFrame({name: X[name].to_list() for name in X.columns})


def gaps(X: Any) -> tuple[float, int]:
    """Share of missing cells, and how many columns are constant."""
    if sparse.issparse(X):
        return 0.0, 0
    if hasattr(X, "columns"):
        X = _as_pandas(X)
        missing = float(X.isna().to_numpy().mean()) if X.size else 0.0
        numeric = X.select_dtypes("number")
        constant = int((numeric.max() == numeric.min()).sum())
        others = X.drop(columns=numeric.columns).astype(str)
        return missing, constant + int((others == others.iloc[0]).all().sum())
    array = np.reshape(np.asarray(X), (len(X), -1))
    if array.dtype.kind not in "fiub":
        return float(pd.isna(array).mean()), 0
    # A column of missing values only is constant too.
    constant = int((array == array[:1]).all(0).sum())
    return float(np.isnan(array).mean()) if array.dtype.kind == "f" else 0.0, constant


def _target(study: Study) -> str:
    if study.y is None:
        return f"{study.target}: not given for these rows"
    y = study.codes(study.y)
    if not study.is_class:
        return (
            f"{study.target}: mean {y.mean():.4g}, sd {y.std():.4g}, {y.min():.4g} to {y.max():.4g}"
        )
    counts = np.bincount(y, minlength=len(study.names))
    told = [f"{name} {n:,} ({n / len(y):.1%})" for name, n in zip(study.names, counts, strict=True)]
    more = f" and {len(told) - _MOST_CLASSES} more" if len(told) > _MOST_CLASSES else ""
    return f"{study.target}: {', '.join(told[:_MOST_CLASSES])}{more}"
