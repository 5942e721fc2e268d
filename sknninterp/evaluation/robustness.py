"""Robustness: infidelity under perturbation, and how much an explanation moves with the sample."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from sknninterp._typing import MatrixLike, Seed, Target
from sknninterp.estimators._network import as_table
from sknninterp.evaluation._checks import check_choice, check_count, check_inside, check_share
from sknninterp.evaluation._outputs import ExplainedOutput
from sknninterp.evaluation._rankings import as_explanation, attributions, own_target
from sknninterp.evaluation._replacement import Replacement
from sknninterp.evaluation._targets import FixedTarget

__all__ = ["infidelity", "max_sensitivity"]

PERTURBATIONS = ("removal", "noise")


def infidelity(
    estimator: Any,
    X: MatrixLike,
    explanation: Any,
    *,
    perturbation: str = "removal",
    share: float = 0.5,
    scale: float = 0.1,
    n_draws: int = 50,
    target: Target = None,
    replacement: str = "mean",
    background: MatrixLike | None = None,
    output: str = "logit",
    normalize: bool = False,
    random_state: Seed = None,
) -> np.ndarray:
    r"""Infidelity: the error of attributions as a prediction of what a perturbation does.

    The mean of (I'a - (f(x) - f(x - I)))^2 over random perturbations I of the sample x, with a its
    attributions and f the output [1]_. 0 is best.

    - "removal" replaces a random share of the features. Attributions are taken as contributions, as
      all explainers of this package give them: I'a is the sum of those of the replaced features. It
      is what a perturbation towards a baseline comes to, if the attributions hold that distance.
    - "noise" takes normal noise off all features. Attributions are taken as slopes, such as
      gradients, per unit of the feature.

    Parameters
    ----------
    estimator : estimator, pipeline, search, skorch net or torch module
        Fitted.
    X : array-like or DataFrame of shape (n_samples, n_features) or (n_samples, ...)
        For "noise" an array of numbers.
    explanation : Explanation, explainer or array-like
        Attributions, as :func:`perturbation_curves` takes them.
    perturbation : {"removal", "noise"}, default="removal"
    share : float, default=0.5
        Of "removal": the chance of each feature to be replaced.
    scale : float, default=0.1
        Of "noise": its standard deviation in units of that of the column over X (of images, over
        all pixels).
    n_draws : int, default=50
        Perturbations of each sample.
    target, replacement, background
        As for :func:`perturbation_curves`; replacements are for "removal".
    output : {"logit", "probability"}, default="logit"
        What f is. The explainers of this package explain logits; an estimator without a network
        has only probabilities.
    normalize : bool, default=False
        Multiply each sample's attributions by the number that makes its infidelity least, for
        attributions without a unit: (E (I'a) d) / (E (I'a)^2), with d the change of the output.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    ndarray of shape (n_samples,)
        In squared units of the output.

    Raises
    ------
    ValueError
        If shapes or the target do not fit, or a parameter is no such thing.

    See Also
    --------
    sknninterp.evaluation.faithfulness.perturbation_curves : Takes only the order of the features.

    References
    ----------
    .. [1] Yeh, Hsieh, Suggala, Inouye & Ravikumar (2019), *On the (in)fidelity and sensitivity of
       explanations*, NeurIPS, definition 2.1.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LinearRegression
    >>> from sknninterp.evaluation.robustness import infidelity
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LinearRegression().fit(X, y)
    >>> contributions = model.coef_ * (X - X.mean(0))
    >>> float(infidelity(model, X, contributions, output="probability").max().round(10))
    0.0
    """
    check_choice("perturbation", perturbation, PERTURBATIONS)
    check_count("n_draws", n_draws, 1)
    check_share("share", share)
    check_inside("scale", scale, 0, np.inf)
    random_state = check_random_state(random_state)
    replaced = Replacement(replacement, X, background, random_state)
    X = replaced.X
    explanation = as_explanation(explanation, X, target)
    explained = ExplainedOutput(estimator, X, own_target(explanation, target), output)
    values = attributions(explanation, X, explained)
    draw = _Removal(replaced, share) if perturbation == "removal" else _Noise(X, scale)
    predicted, changes = np.empty((2, n_draws, len(X)))
    for i in range(n_draws):
        perturbed, weights = draw(random_state)
        predicted[i] = (weights * values).sum(1)
        changes[i] = explained.start - explained(perturbed)
    if normalize:
        squares = (predicted**2).sum(0)
        factors = np.zeros_like(squares)  # of attributions that are all zero: they stay so
        np.divide((predicted * changes).sum(0), squares, out=factors, where=squares > 0)
        predicted *= factors
    return ((predicted - changes) ** 2).mean(0)


class _Removal:
    """Random features replaced; the weights of their contributions are 1."""

    def __init__(self, replacement: Replacement, share: float):
        self.replacement, self.share = replacement, share

    def __call__(self, random_state):
        shape = len(self.replacement.X), self.replacement.n_features
        removed = random_state.uniform(size=shape) < self.share
        return self.replacement(removed), removed


class _Noise:
    """Normal noise taken off; the weights of slopes are the noise."""

    def __init__(self, X, scale: float):
        if not isinstance(X, np.ndarray) or X.dtype.kind not in "iuf":
            raise ValueError("perturbation='noise' needs X to be an array of numbers.")
        self.X = X
        self.scales = scale * _deviations(X)

    def __call__(self, random_state):
        noise = random_state.normal(size=self.X.shape) * self.scales
        dtype = self.X.dtype if self.X.dtype.kind == "f" else float
        return (self.X - noise).astype(dtype), noise.reshape(len(noise), -1)


def max_sensitivity(
    explainer: Any,
    X: MatrixLike,
    *,
    radius: float = 0.02,
    n_draws: int = 10,
    target: Target = None,
    relative: bool = True,
    random_state: Seed = None,
) -> np.ndarray:
    r"""Maximal change of an explanation when the sample moves a little.

    The largest \|\|a(y) - a(x)\|\| of attributions a to one and the same output over random y
    around the sample x [1]_. An explanation that leaps between samples that nobody can tell apart
    explains noise; but small values alone say little: the most stable one is constant.

    Parameters
    ----------
    explainer : explainer
        Fitted.
    X : array-like or DataFrame of shape (n_samples, n_features) or (n_samples, ...)
        Without missing values where it is moved. Of a DataFrame only columns of floats are moved.
    radius : float, default=0.02
        How far each feature moves at most, in units of the standard deviation of its column over X
        (of images, over all pixels).
    n_draws : int, default=10
        Points drawn around each sample, uniformly.
    target : None, "predicted", label or list of labels, default=None
        The output; None is the class predicted of x, or all outputs of a regressor.
    relative : bool, default=True
        Divide by \|\|a(x)\|\|, so that explainers compare; else in units of the attributions.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    ndarray of shape (n_samples,)
        Infinite if an explanation that is all zero moves and `relative`.

    Raises
    ------
    ValueError
        If X has no column that can be moved, or a parameter is no such thing.

    References
    ----------
    .. [1] Yeh, Hsieh, Suggala, Inouye & Ravikumar (2019), *On the (in)fidelity and sensitivity of
       explanations*, NeurIPS, definition 3.1.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> from sknninterp import OldenExplainer
    >>> from sknninterp.evaluation.robustness import max_sensitivity
    >>> X, y = load_iris(return_X_y=True)
    >>> network = MLPClassifier((8,), max_iter=2000, random_state=0).fit(X, y)
    >>> float(max_sensitivity(OldenExplainer(network).fit(X), X).max())  # it knows no samples
    0.0
    """
    check_count("n_draws", n_draws, 1)
    check_inside("radius", radius, 0, np.inf)
    random_state = check_random_state(random_state)
    X = as_table(X)
    around, fixed = _Ball(X, radius), FixedTarget(explainer, X, target)
    largest = np.zeros(len(fixed.values))
    for _ in range(n_draws):
        moved = fixed(explainer, around(random_state))
        np.maximum(largest, np.linalg.norm(moved - fixed.values, axis=1), out=largest)
    if not relative:
        return largest
    sizes = np.linalg.norm(fixed.values, axis=1)
    ratios = np.where(largest > 0, np.inf, 0.0)
    return np.divide(largest, sizes, out=ratios, where=sizes > 0)


class _Ball:
    """Points around each sample: a box, in units of the columns' standard deviations."""

    def __init__(self, X, radius: float):
        self.X, self.names = X, None
        if hasattr(X, "columns"):
            self.names = [i for i in range(X.shape[1]) if X.dtypes.iloc[i].kind == "f"]
            if not self.names:
                raise ValueError("X has no column of floats that can be moved.")
            self.numbers = X.iloc[:, self.names].to_numpy()
        elif getattr(X, "dtype", np.dtype(object)).kind not in "iuf" or hasattr(X, "toarray"):
            raise ValueError("X must be a DataFrame or a dense array of numbers.")
        else:
            self.numbers = X if X.dtype.kind == "f" else X.astype(float)
        self.radii = radius * _deviations(self.numbers)

    def __call__(self, random_state):
        steps = random_state.uniform(-1, 1, size=self.numbers.shape) * self.radii
        moved = (self.numbers + steps).astype(self.numbers.dtype)
        if self.names is None:
            return moved
        frame = self.X.copy()
        for i, column in zip(self.names, moved.T, strict=True):
            frame.isetitem(i, column)
        return frame


def _deviations(X) -> np.ndarray:
    """Standard deviation of each column of a table, or of all pixels of images."""
    return X.std(0, dtype=float) if X.ndim == 2 else X.std(dtype=float)
