"""Explainers that take the network's gradient: gradient x input, integrated gradients."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

import torch
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor

from sknninterp._typing import Seed, Target
from sknninterp.explainers._base import BaseExplainer
from sknninterp.explainers._baseline import FromBaseline
from sknninterp.nn.gradients import QUADRATURES, gradients, integrated_gradients
from sknninterp.nn.graph import Graph


class GradientXInputExplainer(BaseExplainer):
    r"""Gradient x input: each feature's value times the slope of the output in it.

    The contribution of feature i to output c for one sample is x_i df_c/dx_i [1]_, with f the
    logits (before a softmax or sigmoid) and the slope at the sample itself [2]_. It takes one way
    forward for all outputs. Of a network of ReLUs without biases contributions add up to the logit.

    What it cannot see: an input that is 0 contributes 0, and what zero means depends on how X was
    scaled. The slope is local: where a neuron is saturated or switched off it is 0, however much
    the feature has done to bring it there. In deep networks of ReLUs slopes jump from sample to
    neighbouring sample ("shattered gradients" [3]_), so that single explanations are noisy. All of
    this is what :class:`IntegratedGradientsExplainer` mends in part.

    Parameters
    ----------
    estimator : estimator, pipeline, search, skorch net or torch module, default=None
        As for :class:`PWPExplainer`.
    columns : {"original", "transformed"}, default="original"
        Of a pipeline, sum the contributions of what one column became, or keep apart what the
        network sees.
    target : None, "predicted" or label, default=None
        The output that `transform` gives, as for :class:`PWPExplainer`.
    batch_size : int, default=None
        Samples at a time; None is as many as take about 64 MiB.
    random_state : int, RandomState instance or None, default=None
        Seeds an estimator that is fitted here; None leaves it as it is.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator.
    feature_importances_ : ndarray of shape (n_features,)
        Mean \|contribution\| over the samples seen in `fit`, summed over outputs; sums to 1. For
        images in the shape of one image.
    importances_ : DataFrame of shape (n_features, n_outputs)
        The same per output; all of it sums to 1.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has column names.
    classes_ : ndarray
        Of a classifier.

    See Also
    --------
    IntegratedGradientsExplainer : The slope's mean on the way from a baseline.
    InfluentialScores : Shares in place of slopes.

    References
    ----------
    .. [1] Shrikumar, Greenside, Shcherbina & Kundaje (2016), *Not just a black box: learning
       important features through propagating activation differences*, arXiv:1605.01713.
    .. [2] Simonyan, Vedaldi & Zisserman (2013), *Deep inside convolutional networks: visualising
       image classification models and saliency maps*, arXiv:1312.6034.
    .. [3] Balduzzi et al. (2017), *The shattered gradients problem: if resnets are the answer, then
       what is the question?*, ICML.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> from sknninterp import GradientXInputExplainer
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> network = MLPClassifier((8,), max_iter=2000, random_state=0).fit(X, y)
    >>> explainer = GradientXInputExplainer(network).fit(X)
    >>> explainer.importances_.shape
    (4, 3)
    >>> explainer.explain(X[:2], target="predicted").values.shape
    (2, 4)
    """

    method = "Gradient x input"

    def __init__(
        self,
        estimator: Any = None,
        *,
        columns: str = "original",
        target: Target = None,
        batch_size: int | None = None,
        random_state: Seed = None,
        verbose: int = 0,
    ):
        super().__init__(estimator, columns, target, batch_size, random_state, verbose)

    def _contributions(self, graph):
        def contributions(inputs, outputs):
            values = gradients(graph, inputs, _rows(graph, outputs))
            return values.mul_(inputs).movedim(0, -1)

        return contributions


class IntegratedGradientsExplainer(FromBaseline, BaseExplainer):
    r"""Integrated gradients: what each feature adds on the straight way from a baseline.

    The contribution of feature i to output c for one sample x is (x_i - x'_i) times the mean of
    df_c/dx_i on the way from the baseline x' to x [1]_, with f the logits (before a softmax or
    sigmoid). Contributions add up to the logit less that of the baseline (completeness), but for
    the error of the quadrature, which `n_steps` makes smaller; a linear network has none.

    What to beware of: an explanation is relative to its baseline, and another one may rank the
    features otherwise. A feature that equals its baseline contributes 0, as black pixels do to a
    black baseline. In a table that is not centred, zeros may be far from any patient; the mean is
    an average patient, in whom columns of 0 and 1 are fractions. Points on the way may be unlike
    all data, and the network's slopes there mean little. Where it bends sharply, 50 steps may be
    too few: compare the sum of the contributions with the logits.

    Parameters
    ----------
    estimator : estimator, pipeline, search, skorch net or torch module, default=None
        As for :class:`PWPExplainer`.
    baseline : {"zero", "mean"}, float or array-like, default="zero"
        Where the way begins, in what the network sees, after the preprocessing of a pipeline:
        zeros, the mean of the samples seen in `fit`, one number for all, or an array of one
        sample's shape.
    n_steps : int, default=50
        Points on the way: the time grows with them.
    quadrature : {"gausslegendre", "riemann_middle"}, default="gausslegendre"
        How points are laid and weighted: Gauss-Legendre, all but exact for smooth activations, or
        the middles of equal intervals. For ReLUs, whose slopes jump, both err by about 1 / n_steps.
    columns : {"original", "transformed"}, default="original"
        Of a pipeline, sum the contributions of what one column became, or keep apart what the
        network sees.
    target : None, "predicted" or label, default=None
        The output that `transform` gives, as for :class:`PWPExplainer`.
    batch_size : int, default=None
        Samples at a time; None is as many as take about 64 MiB.
    random_state : int, RandomState instance or None, default=None
        Seeds an estimator that is fitted here; None leaves it as it is.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator.
    baseline_ : ndarray of shape (n_inputs,)
        The baseline that is used, in what the network sees; for images in the shape of one image.
    feature_importances_ : ndarray of shape (n_features,)
        Mean \|contribution\| over the samples seen in `fit`, summed over outputs; sums to 1. For
        images in the shape of one image.
    importances_ : DataFrame of shape (n_features, n_outputs)
        The same per output; all of it sums to 1.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has column names.
    classes_ : ndarray
        Of a classifier.

    See Also
    --------
    GradientXInputExplainer : The slope at the sample alone, some fifty times as fast.

    References
    ----------
    .. [1] Sundararajan, Taly & Yan (2017), *Axiomatic attribution for deep networks*, ICML, eq. 1.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> from sknninterp import IntegratedGradientsExplainer
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> network = MLPClassifier((8,), max_iter=2000, random_state=0).fit(X, y)
    >>> explainer = IntegratedGradientsExplainer(network, baseline="mean").fit(X)
    >>> explainer.baseline_.round(2).tolist()
    [5.84, 3.06, 3.76, 1.2]
    >>> explainer.explain(X[:2], target="predicted").values.shape
    (2, 4)
    """

    method = "Integrated gradients"

    _parameter_constraints: dict = {
        **BaseExplainer._parameter_constraints,
        **FromBaseline._parameter_constraints,
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "quadrature": [StrOptions(set(QUADRATURES))],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        baseline: ArrayLike = "zero",
        n_steps: int = 50,
        quadrature: str = "gausslegendre",
        columns: str = "original",
        target: Target = None,
        batch_size: int | None = None,
        random_state: Seed = None,
        verbose: int = 0,
    ):
        super().__init__(estimator, columns, target, batch_size, random_state, verbose)
        self.baseline = baseline
        self.n_steps = n_steps
        self.quadrature = quadrature

    def _contributions(self, graph):
        options: dict[str, Any] = {"n_steps": self.n_steps, "method": self.quadrature}

        def contributions(inputs, outputs):
            baseline, rows = torch.from_numpy(self.baseline_), _rows(graph, outputs)
            values = integrated_gradients(graph, inputs, baseline, rows, **options)
            return values.movedim(0, -1)

        return contributions


def _rows(graph: Graph, outputs: Tensor | None) -> Tensor | None:
    """Rows that pick outputs, as :func:`gradients` takes them."""
    if outputs is None:
        return None
    shape, picked = graph.output.shape, outputs.T
    each = torch.eye(math.prod(shape), device=outputs.device)
    return each[picked].reshape(*picked.shape, *shape)
