"""`report`: from a fitted network to a page about it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone, is_classifier
from sklearn.model_selection import train_test_split
from sklearn.utils import check_consistent_length

from sknninterp._files import write_atomically
from sknninterp._typing import MatrixLike
from sknninterp.estimators._network import (
    as_table,
    check_holds_network,
    find_network,
    is_fitted,
    single_networks,
)
from sknninterp.evaluation.repeated import RepeatedExplainer
from sknninterp.explainers.weight_product import PWPExplainer
from sknninterp.reporting import _cards as cards
from sknninterp.reporting._cautions import cautions
from sknninterp.reporting._page import Page, render
from sknninterp.reporting._ranking import Ranking, rank
from sknninterp.reporting._rows import explain_rows
from sknninterp.reporting._scores import Scores, score
from sknninterp.reporting._study import Study
from sknninterp.reporting._training import Tried, figures, tried
from sknninterp.reporting._trust import Trust, examine, of_runs

__all__ = ["report"]

_HELD_OUT = 0.25


def report(
    estimator: Any,
    X: MatrixLike,
    y: ArrayLike | None = None,
    *,
    X_test: MatrixLike | None = None,
    y_test: ArrayLike | None = None,
    path: str | PathLike = "report.html",
    explainer: Any = None,
    title: str | None = None,
    n_rows: int = 1000,
    image_shape: Sequence[int] | None = None,
    evaluate: bool = True,
    random_state: int = 0,
) -> Path:
    """Write one self-contained HTML page about a network: scores, ranking, rows, what to beware of.

    The page fetches nothing and sends nothing, so that it can be mailed, archived and opened years
    later. It holds the model and data card, scores beside simpler models, the ranking with its
    spread over several networks, what features contribute in single rows, how far explainers agree,
    checks of the explanation, the training and the search before it, and cautions in plain words.

    *It holds data*: names, labels and some values of `n_rows` rows. Handle it as the data
    themselves, or write it with `n_rows=0`.

    Parameters
    ----------
    estimator : estimator, pipeline, search, skorch net or torch module
        Anything that :class:`~sknninterp.PWPExplainer` takes. One that is not fitted is cloned and
        fitted, on three quarters of the rows if there is no `X_test`.
    X : array-like or DataFrame of shape (n_samples, n_features) or (n_samples, ...)
        The training rows, where `X_test` is given. Else those that are scored, ranked and
        explained, of which the page then says that the network may have seen them.
    y : array-like of shape (n_samples,), default=None
        Classes or quantities. None leaves the scores out (of a fitted estimator).
    X_test : array-like or DataFrame of shape (n_test_samples, n_features), default=None
        The rows that are scored, ranked and explained.
    y_test : array-like of shape (n_test_samples,), default=None
        Theirs.
    path : str or path-like, default="report.html"
        The file. What is there is replaced, once the page is complete.
    explainer : explainer, default=None
        What ranks and explains. One that is fitted (on the rows that are explained) stays as it
        is; else a copy is fitted around the estimator. None is `PWPExplainer(signed=True)`, as for
        ``sknninterp rank``. Contributions of :class:`~sknninterp.IntegratedGradientsExplainer` add
        up to the prediction. A :class:`~sknninterp.RepeatedExplainer` shows how much of the
        ranking is chance; it explains the mean of its own networks.
    title : str, default=None
        Headline; None names what is predicted.
    n_rows : int, default=1000
        Rows whose explanation is on the page, drawn at random if there are more; 0 for none.
    image_shape : tuple of int, default=None
        Of images that are rows of a table: (height, width) or (channels, height, width). Of X with
        more than two dimensions it is known.
    evaluate : bool, default=True
        Whether other explainers are compared, features removed and sanity checks done, on up to
        200 rows. It takes most of the time.
    random_state : int, default=0
        Seeds all that is drawn.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ValueError
        If rows and labels do not fit, if there are several quantities as outputs, or if a parameter
        is no such thing.
    TypeError
        If there is no network in the estimator.
    ImportError
        If jinja2 is not installed.

    See Also
    --------
    sknninterp.evaluation.compare_explainers : The comparison alone, as a table.
    sknninterp.evaluation.sanity_checks : The checks alone.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> import sknninterp
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> network = sknninterp.TorchMLPClassifier((16,), max_epochs=10, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = sknninterp.report(
    ...         make_pipeline(StandardScaler(), network), X, y, path=Path(folder, "report.html"),
    ...         evaluate=False)
    ...     path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    True
    """
    if not isinstance(n_rows, Integral) or n_rows < 0:
        raise ValueError(f"n_rows={n_rows!r} must be an integer of at least 0.")
    if not isinstance(random_state, Integral) or random_state < 0:
        raise ValueError(f"random_state={random_state!r} must be an integer of at least 0.")
    study = _study(estimator, X, y, X_test, y_test, explainer, int(random_state))
    image_shape = _image_shape(study, image_shape)
    ranking = rank(study, image_shape)
    page = make_page(
        study, title, ranking, score(study), tried(study), n_rows, image_shape, evaluate
    )
    return write(render(page), Path(path))


def make_page(
    study: Study,
    title: str | None,
    ranking: Ranking,
    scores: Scores | None,
    tried_: Tried | None,
    n_rows: int = 1000,
    image_shape: tuple[int, ...] | None = None,
    evaluate: bool = True,
    notes: tuple[str, ...] = (),
) -> Page:
    """Put together what a page shows, of what is known and what is still to be found."""
    import sknninterp

    rows = explain_rows(study, ranking.order, n_rows, image_shape)
    trust = examine(study, ranking) if evaluate else Trust(stability=of_runs(ranking))
    return Page(
        title=title or f"What predicts {study.target}?",
        study=study,
        version=sknninterp.__version__,
        cautions=cautions(study, scores, ranking, rows, trust),
        scores=scores,
        ranking=ranking,
        rows=rows,
        trust=trust,
        figures=figures(study),
        tried=tried_,
        model_card=cards.model_card(study, sknninterp.__version__),
        data_card=cards.data_card(study),
        notes=[*notes],
        image_shape=image_shape,
    )


def write(text: str, path: Path) -> Path:
    """Write the page, and return where it is."""
    # What is no character, as half a surrogate pair in a column's name, must not end it here.
    content = text.encode("utf-8", "xmlcharrefreplace")
    write_atomically(path, lambda file: file.write(content))
    return path


# -- what the page is about ----------------------------------------------------------------------


def _study(estimator, X, y, X_test, y_test, explainer, seed) -> Study:
    X, y, name = as_table(X), _labels(y, X), str(getattr(y, "name", None) or "the outcome")
    X_train = y_train = None
    if X_test is not None:
        X_train, y_train = X, y
        X, y = as_table(X_test), _labels(y_test, X_test)
        if y is not None and y_train is None:
            raise ValueError("y=None, but y_test is given: simpler models are fitted on X and y.")
    elif y_test is not None:
        raise ValueError("y_test is given, but X_test=None.")
    elif not is_fitted(estimator) and y is not None:
        X_train, X, y_train, y = _held_out(estimator, X, y, seed)
    fitted = _fitted(estimator, X_train, y_train)
    training = (X, y) if X_train is None else (X_train, y_train)
    explains = _explained(explainer, fitted, X, training)
    return Study(fitted, explains, X, y, X_train, y_train, name, seed=seed)


def _labels(y, X):
    if y is None:
        return None
    y = np.asarray(y)
    if y.ndim != 1:
        raise ValueError(f"y must have one dimension, got the shape {y.shape}.")
    check_consistent_length(X, y)
    return y


def _held_out(estimator, X, y, seed):
    options = {"test_size": _HELD_OUT, "random_state": seed}
    if is_classifier(estimator):
        with contextlib.suppress(ValueError):  # too few of a class
            return train_test_split(X, y, stratify=y, **options)
    return train_test_split(X, y, **options)


def _fitted(estimator, X, y):
    if is_fitted(estimator):
        find_network(single_networks(estimator)[0])  # an error that says what is taken
        return estimator
    check_holds_network(estimator)
    if y is None:
        raise ValueError(f"y=None, but {type(estimator).__name__} is still to be fitted.")
    return clone(estimator).fit(X, y)


def _explained(explainer, estimator, X, training):
    """A fitted explainer of the estimator."""
    if explainer is None:
        # Max pooling has no weights; those of average pooling are the next best.
        return PWPExplainer(estimator, signed=True, max_pool="average").fit(X)
    if not hasattr(explainer, "fit") or not hasattr(explainer, "explain"):
        raise TypeError(f"explainer: {type(explainer).__name__} has no `fit` and `explain`.")
    if hasattr(explainer, "feature_importances_"):
        return explainer
    explainer = clone(explainer)
    if not isinstance(explainer, RepeatedExplainer):
        return explainer.set_params(estimator=estimator).fit(X)
    repeated = explainer.explainer or PWPExplainer(signed=True)
    # Its repeats are networks of their own, which are trained on the training rows.
    return explainer.set_params(explainer=repeated.set_params(estimator=estimator)).fit(*training)


def _image_shape(study: Study, image_shape):
    ranked = np.shape(study.explainer.feature_importances_)
    if image_shape is None:
        return ranked if len(ranked) in (2, 3) else None
    shape = tuple(image_shape)
    if len(shape) not in (2, 3) or np.prod(shape) != np.prod(ranked):
        raise ValueError(
            f"image_shape={image_shape!r} must be (height, width) or (channels, height, width) of"
            f" {np.prod(ranked):,} features."
        )
    return shape
