"""Attributions of other libraries behind the explainers' interface, to be compared with.

They need the extra `compare`: ``pip install sknninterp[compare]``. A pipeline's columns, outputs
and batches are treated as for the explainers here, so that numbers can be laid side by side.
"""

from __future__ import annotations

import copy
import importlib
import math
import warnings
from collections.abc import Callable
from numbers import Integral
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.inspection import permutation_importance
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils._param_validation import Interval
from torch import Tensor, nn

from sknninterp._typing import MatrixLike, Seed, Target
from sknninterp.estimators._network import as_table, is_fitted
from sknninterp.explainers._base import BaseExplainer
from sknninterp.explainers._baseline import FromBaseline
from sknninterp.nn.gradients import logits_of
from sknninterp.nn.graph import Graph

__all__ = [
    "DeepLiftExplainer",
    "DeepShapExplainer",
    "GradientShapExplainer",
    "LRPExplainer",
    "PermutationExplainer",
]


def _library(name: str):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f"This explainer is that of {package}, which is not installed; it comes with the extra"
            " `compare` of sknninterp."
        ) from error


def _check_logits(graph: Graph, name: str) -> None:
    """The peers start from what the module puts out: it must be the logits."""
    if logits_of(graph) is not graph.output:
        raise ValueError(
            f"{name} starts from what the network puts out, which must be logits: this one closes"
            f" with {graph.output}. Leave the softmax or sigmoid to the loss."
        )


class _Captum(BaseExplainer):
    """An explainer of captum, which explains one output of each sample at a time."""

    #: Class in `captum.attr`.
    _class: str

    def __init__(
        self,
        estimator=None,
        *,
        columns="original",
        target=None,
        batch_size=None,
        random_state=None,
        verbose=0,
    ):
        super().__init__(estimator, columns, target, batch_size, random_state, verbose)

    def _options(self, inputs: Tensor) -> dict:
        return {}

    def _prepare(self, module: nn.Module) -> None:
        """Hook: what captum wants to find in a copy of the network."""

    def _contributions(self, graph):
        _check_logits(graph, self.method)
        peer = getattr(_library("captum.attr"), self._class)
        # A copy, since captum leaves marks on the modules; and in a chain, where it seeks layers.
        module = nn.Sequential(copy.deepcopy(graph.module)).eval()
        self._prepare(module)
        found = peer(module)
        n_outputs = math.prod(graph.output.shape)

        def contributions(inputs, outputs):
            if outputs is None:
                outputs = torch.arange(n_outputs, device=inputs.device)[None]
            inputs = inputs.clone().requires_grad_()
            with torch.enable_grad(), warnings.catch_warnings():
                # Of its hooks, which it removes.
                warnings.filterwarnings("ignore", "Setting forward, backward hooks")
                values = [
                    found.attribute(inputs, target=wanted, **self._options(inputs)).detach()
                    for wanted in outputs.expand(len(inputs), -1).T.contiguous()
                ]
            return torch.stack(values, -1)

        return contributions


class DeepLiftExplainer(FromBaseline, _Captum):
    """DeepLIFT, rescale rule, by captum: differences from a baseline through each layer [1]_.

    Parameters
    ----------
    estimator : estimator, pipeline, search, skorch net or torch module, default=None
        As for :class:`~sknninterp.PWPExplainer`; its network puts out logits, and its activations
        are modules, each used once, as captum needs them.
    baseline : {"zero", "mean"}, float or array-like, default="zero"
        As for :class:`~sknninterp.IntegratedGradientsExplainer`.
    columns, target, batch_size, random_state, verbose
        As for :class:`~sknninterp.IntegratedGradientsExplainer`.

    Raises
    ------
    ImportError
        If captum is not installed.

    References
    ----------
    .. [1] Shrikumar, Greenside & Kundaje (2017), *Learning important features through propagating
       activation differences*, ICML.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknninterp import TorchMLPClassifier
    >>> from sknninterp.evaluation import DeepLiftExplainer
    >>> X, y = load_iris(return_X_y=True)
    >>> DeepLiftExplainer(TorchMLPClassifier((8,))).fit(X, y).importances_.shape
    (4, 3)
    """

    method = "DeepLIFT"
    _class = "DeepLift"

    _parameter_constraints: dict = {
        **BaseExplainer._parameter_constraints,
        **FromBaseline._parameter_constraints,
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        baseline: ArrayLike = "zero",
        columns: str = "original",
        target: Target = None,
        batch_size: int | None = None,
        random_state: Seed = None,
        verbose: int = 0,
    ):
        super().__init__(
            estimator,
            columns=columns,
            target=target,
            batch_size=batch_size,
            random_state=random_state,
            verbose=verbose,
        )
        self.baseline = baseline

    def _options(self, inputs):
        return {"baselines": torch.from_numpy(self.baseline_[None]).to(inputs)}


class LRPExplainer(_Captum):
    """Layer-wise relevance propagation, epsilon rule, by captum [1]_.

    Parameters
    ----------
    estimator : estimator, pipeline, search, skorch net or torch module, default=None
        As for :class:`~sknninterp.PWPExplainer`; its network puts out logits and is made of the
        modules that captum has rules for (linear, convolution, pooling, dropout, ReLU, tanh), with
        reshaping as a function, not a `Flatten`.
    columns, target, batch_size, random_state, verbose
        As for :class:`~sknninterp.GradientXInputExplainer`.

    Raises
    ------
    ImportError
        If captum is not installed.

    Notes
    -----
    In a network of ReLUs the epsilon rule gives gradient x input but for what the biases take up.

    References
    ----------
    .. [1] Bach et al. (2015), *On pixel-wise explanations for non-linear classifier decisions by
       layer-wise relevance propagation*, PLoS ONE.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknninterp import TorchMLPClassifier
    >>> from sknninterp.evaluation import LRPExplainer
    >>> X, y = load_iris(return_X_y=True)
    >>> LRPExplainer(TorchMLPClassifier((8,))).fit(X, y).importances_.shape
    (4, 3)
    """

    method = "LRP"
    _class = "LRP"

    def _prepare(self, module):
        supported = _library("captum.attr._core.lrp")
        known = *supported.SUPPORTED_LAYERS_WITH_RULES, *supported.SUPPORTED_NON_LINEAR_LAYERS
        for name, layer in module.named_modules():
            if not list(layer.children()) and type(layer) not in known:
                raise ValueError(
                    f"captum has no rule of relevance propagation for {type(layer).__name__},"
                    f" module {name.removeprefix('0.')!r}."
                )


class _Shap(BaseExplainer):
    """An explainer of shap, which explains all outputs against a background of samples."""

    #: Class in `shap`.
    _class: str

    _parameter_constraints: dict = {
        **BaseExplainer._parameter_constraints,
        "n_background": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        estimator=None,
        *,
        n_background=100,
        columns="original",
        target=None,
        batch_size=None,
        random_state=None,
        verbose=0,
    ):
        super().__init__(estimator, columns, target, batch_size, random_state, verbose)
        self.n_background = n_background

    def _options(self) -> dict:
        return {}

    def _batches(self, X, positions=slice(None), signs=1, fitting=False):
        if fitting:
            random_state = check_random_state(self.random_state)
            n_samples = len(X) if hasattr(X, "columns") else X.shape[0]
            size = min(self.n_background, n_samples)
            rows = np.sort(random_state.choice(n_samples, size, replace=False))
            network = self._network()
            self.background_ = (
                network.to_tensor(network.preprocess(_safe_indexing(X, rows))).cpu().numpy()
            )
            self._seed = int(random_state.randint(2**31 - 1))
        yield from super()._batches(X, positions, signs, fitting)

    def _contributions(self, graph):
        _check_logits(graph, self.method)
        # shap works in single precision, and hangs its hooks on the modules.
        module = copy.deepcopy(graph.module).float().eval()
        background = torch.from_numpy(self.background_).float().to(next(module.parameters()).device)
        shap = _library("shap")

        def contributions(inputs, outputs):
            with torch.enable_grad(), warnings.catch_warnings():
                # shap's own, of numpy and torch's newer versions.
                warnings.simplefilter("ignore", DeprecationWarning)
                warnings.simplefilter("ignore", UserWarning)
                found = getattr(shap, self._class)(module, background)
                values = found.shap_values(inputs.float(), **self._options())
            values = torch.from_numpy(np.asarray(values)).to(inputs)
            values = values.reshape(*inputs.shape, -1)
            if outputs is None:
                return values
            outputs = outputs.expand(len(inputs), -1)
            places = outputs.reshape(len(inputs), *[1] * (inputs.ndim - 1), -1)
            return values.gather(-1, places.expand(*inputs.shape, -1))

        return contributions


class DeepShapExplainer(_Shap):
    """SHAP's DeepExplainer: DeepLIFT averaged over a background of samples [1]_.

    Parameters
    ----------
    estimator : estimator, pipeline, search, skorch net or torch module, default=None
        As for :class:`~sknninterp.PWPExplainer`; its network puts out logits.
    n_background : int, default=100
        Samples of those seen in `fit`, drawn at random, that features are measured against.
    columns, target, batch_size, random_state, verbose
        As for :class:`~sknninterp.GradientXInputExplainer`.

    Attributes
    ----------
    background_ : ndarray of shape (n_background, n_inputs)
        As the network sees them.

    Raises
    ------
    ImportError
        If shap is not installed.

    References
    ----------
    .. [1] Lundberg & Lee (2017), *A unified approach to interpreting model predictions*, NeurIPS.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknninterp import TorchMLPClassifier
    >>> from sknninterp.evaluation import DeepShapExplainer
    >>> X, y = load_iris(return_X_y=True)
    >>> DeepShapExplainer(TorchMLPClassifier((8,))).fit(X, y).importances_.shape
    (4, 3)
    """

    method = "SHAP (deep)"
    _class = "DeepExplainer"

    def _options(self):
        # Its check fails of itself in single precision; the sanity checks here have their own.
        return {"check_additivity": False}


class GradientShapExplainer(_Shap):
    """SHAP's GradientExplainer: expected gradients over a background of samples [1]_.

    Parameters
    ----------
    estimator : estimator, pipeline, search, skorch net or torch module, default=None
        As for :class:`~sknninterp.PWPExplainer`; its network puts out logits.
    n_background : int, default=100
        Samples of those seen in `fit`, drawn at random, that features are measured against.
    n_samples : int, default=200
        Points drawn for each explained sample.
    columns, target, batch_size, random_state, verbose
        As for :class:`~sknninterp.GradientXInputExplainer`.

    Attributes
    ----------
    background_ : ndarray of shape (n_background, n_inputs)
        As the network sees them.

    Raises
    ------
    ImportError
        If shap is not installed.

    References
    ----------
    .. [1] Erion, Janizek, Sturmfels, Lundberg & Lee (2021), *Improving performance of deep learning
       models with axiomatic attribution priors and expected gradients*, Nature Machine
       Intelligence.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknninterp import TorchMLPClassifier
    >>> from sknninterp.evaluation import GradientShapExplainer
    >>> X, y = load_iris(return_X_y=True)
    >>> GradientShapExplainer(TorchMLPClassifier((8,)), n_samples=20).fit(X, y).importances_.shape
    (4, 3)
    """

    method = "SHAP (gradient)"
    _class = "GradientExplainer"

    _parameter_constraints: dict = {
        **_Shap._parameter_constraints,
        "n_samples": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_background: int = 100,
        n_samples: int = 200,
        columns: str = "original",
        target: Target = None,
        batch_size: int | None = None,
        random_state: Seed = None,
        verbose: int = 0,
    ):
        super().__init__(
            estimator,
            n_background=n_background,
            columns=columns,
            target=target,
            batch_size=batch_size,
            random_state=random_state,
            verbose=verbose,
        )
        self.n_samples = n_samples

    def _options(self):
        return {"nsamples": self.n_samples, "rseed": self._seed}


class PermutationExplainer(BaseEstimator):
    """scikit-learn's permutation importance as a ranking: what a score loses by shuffling [1]_.

    Parameters
    ----------
    estimator : estimator
        Any, with a `score` unless `scoring` is given; cloned and fitted unless it is fitted.
    scoring : str or callable, default=None
        As for :func:`sklearn.inspection.permutation_importance`.
    n_repeats : int, default=5
    n_jobs : int, default=None
    random_state : int, RandomState instance or None, default=None

    Attributes
    ----------
    estimator_ : estimator
    feature_importances_ : ndarray of shape (n_features,)
        Mean loss of score, negative ones as 0; sums to 1 unless all are 0.
    result_ : Bunch
        What :func:`sklearn.inspection.permutation_importance` found.

    References
    ----------
    .. [1] Breiman (2001), *Random forests*, Machine Learning.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknninterp import TorchMLPClassifier
    >>> from sknninterp.evaluation import PermutationExplainer
    >>> X, y = load_iris(return_X_y=True)
    >>> PermutationExplainer(TorchMLPClassifier((8,))).fit(X, y).feature_importances_.shape
    (4,)
    """

    method = "Permutation"

    def __init__(
        self,
        estimator: Any = None,
        *,
        scoring: str | Callable | None = None,
        n_repeats: int = 5,
        n_jobs: int | None = None,
        random_state: Seed = None,
    ):
        self.estimator = estimator
        self.scoring = scoring
        self.n_repeats = n_repeats
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: MatrixLike, y: ArrayLike) -> Self:
        """Fit the estimator unless it is fitted, and shuffle one column after another.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)

        Returns
        -------
        self
        """
        X = as_table(X)
        fitted = is_fitted(self.estimator)
        self.estimator_ = self.estimator if fitted else clone(self.estimator).fit(X, y)
        self.result_ = permutation_importance(
            self.estimator_,
            X,
            y,
            scoring=self.scoring,
            n_repeats=self.n_repeats,
            n_jobs=self.n_jobs,
            random_state=self.random_state,
        )
        losses = self.result_.importances_mean.clip(min=0)
        self.feature_importances_ = losses / (losses.sum() or 1)
        self.n_features_in_ = X.shape[1]
        return self
