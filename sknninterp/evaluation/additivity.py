"""Completeness and conservation: whether the parts of an explanation add up to the whole."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from sknninterp._typing import MatrixLike
from sknninterp.estimators._network import as_table, find_network
from sknninterp.evaluation._outputs import ExplainedOutput, all_outputs
from sknninterp.evaluation._rankings import own_target
from sknninterp.explainers._completeness import (
    TOLERANCE,
    CompletenessWarning,
    relative_gaps,
    warn_of_gaps,
)
from sknninterp.explainers._layers import find_node, layer_nodes
from sknninterp.explainers.explanation import Explanation
from sknninterp.explainers.influence import InfluentialScores
from sknninterp.nn.graph import Graph, Node

__all__ = ["CompletenessWarning", "completeness", "conservation"]

# A larger tolerance would be a way to switch the warning off.
_MOST_TOLERANCE = 0.2
# Products of steps are checked on so many samples, and for layers with at most so many scores.
_N_SAMPLES = 32
_MOST_SCORES = 2**25


def completeness(
    explanation: Explanation,
    estimator: Any,
    X: MatrixLike,
    *,
    tolerance: float = TOLERANCE,
    output: str = "logit",
) -> pd.DataFrame:
    r"""Gap between what attributions add up to and the output that they explain.

    An explanation with base values claims that these and the attributions of a sample sum to its
    output (completeness, or local accuracy [1]_). Of the explainers of this package those with a
    baseline claim it, such as integrated gradients, with an error of its quadrature. Their
    `explain` takes the same measure (`Explanation.gaps`); here it is taken again, of explanations
    from anywhere, with the estimator as the judge. Where the claim fails for any sample there is a
    :class:`CompletenessWarning`, which nothing here switches off.

    Parameters
    ----------
    explanation : Explanation
        Of X, with `base_values`.
    estimator : estimator, pipeline, search, skorch net or torch module
        The fitted estimator that was explained.
    X : array-like or DataFrame of shape (n_samples, ...)
        As the estimator takes it.
    tolerance : float, default=0.05
        The largest relative gap that passes, above 0 and at most 0.2.
    output : {"logit", "probability"}, default="logit"
        What was explained. The explainers of this package explain what a network puts out before a
        closing softmax or sigmoid; of a regressor both are what its network puts out.

    Returns
    -------
    DataFrame of shape (n_samples * n_outputs, 7)
        `sample` and `output` (their names), `total` (attributions and base value), `value` (of the
        output), `gap` (total less value), `relative_gap`, and `complete`, whether that is within
        the tolerance. The relative gap is \|gap\| over what is to be explained, \|value - base
        value\|, or over the root mean square of this over the samples, whichever is larger: a
        sample near the base is measured as the others are.

    Raises
    ------
    ValueError
        If the explanation has no base values, or shapes or parameters do not fit.

    Warns
    -----
    CompletenessWarning
        If any sample is beyond the tolerance.

    References
    ----------
    .. [1] Sundararajan, Taly & Yan (2017), *Axiomatic attribution for deep networks*, ICML,
       proposition 1.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> from sknninterp import IntegratedGradientsExplainer
    >>> from sknninterp.evaluation.additivity import completeness
    >>> X, y = load_iris(return_X_y=True)
    >>> network = MLPClassifier((8,), max_iter=2000, random_state=0).fit(X, y)
    >>> explanation = IntegratedGradientsExplainer(network).fit(X).explain(X)
    >>> gaps = completeness(explanation, network, X)
    >>> len(gaps), bool(gaps["complete"].all())
    (450, True)
    """
    if not isinstance(explanation, Explanation) or explanation.base_values is None:
        raise ValueError("explanation has no base_values: it does not claim to add up.")
    if not isinstance(tolerance, Real) or not 0 < tolerance <= _MOST_TOLERANCE:
        raise ValueError(f"tolerance={tolerance!r} must be above 0 and at most {_MOST_TOLERANCE}.")
    labels, values = _explained(explanation, estimator, as_table(X), output)
    shape = len(explanation), -1
    bases = np.asarray(explanation.base_values, dtype=float).reshape(shape)
    axes = tuple(range(1, 1 + len(explanation.feature_shape)))
    totals = explanation.values.sum(axes, dtype=float).reshape(shape) + bases
    gaps = totals - values
    relative = relative_gaps(gaps, values - bases)
    n_outputs = values.shape[1]
    table = pd.DataFrame(
        {
            "sample": np.repeat(explanation.sample_names, n_outputs),
            "output": labels.ravel(),
            "total": totals.ravel(),
            "value": values.ravel(),
            "gap": gaps.ravel(),
            "relative_gap": relative.ravel(),
            "complete": (relative <= tolerance).ravel(),
        }
    )
    names = explanation.sample_names
    warn_of_gaps(explanation.method, gaps, relative, names, labels, tolerance, stacklevel=2)
    return table


def _explained(explanation, estimator, X, scale):
    """Labels and values of the explained outputs, (n_samples, n_outputs)."""
    if len(explanation) != _num_samples(X):
        raise ValueError(f"explanation has {len(explanation)} samples, X {_num_samples(X)}.")
    if not explanation.has_outputs:
        found = ExplainedOutput(estimator, X, own_target(explanation, None), scale)
        return found.labels[:, None], found.start[:, None]
    values, known, _ = all_outputs(estimator, X, scale)
    labels, known = explanation.output_names, known.tolist()
    unknown = set(labels.tolist()).difference(known)
    if unknown:
        raise ValueError(f"The estimator has no output {unknown.pop()!r}; there are {known}.")
    places = [known.index(label) for label in labels.tolist()]
    return np.broadcast_to(labels, (len(values), len(labels))), values[:, places]


# --- influential scores -------------------------------------------------------------------------


def conservation(
    explainer: InfluentialScores, X: MatrixLike, *, tolerance: float = 1e-3
) -> pd.DataFrame:
    r"""Check the laws that influential scores J obey, whatever the network [1]_.

    - norm: of each output and sample \|J\| sums to at most 1 over the source.
    - explain: `explain` gives the scores that `influence` gives.
    - composition: J(source, b) J(b, target) = J(source, target) for each layer b that all ways
      from source to target go through.

    The first 32 samples are taken, and layers of more than some 33 million scores are left out.

    Parameters
    ----------
    explainer : InfluentialScores
        Fitted.
    X : array-like or DataFrame of shape (n_samples, ...)
    tolerance : float, default=1e-3
        For rounding: the largest absolute difference that passes.

    Returns
    -------
    DataFrame
        By `law`, with the layer for a composition: `worst`, the largest violation, and `passed`.

    Raises
    ------
    TypeError
        If `explainer` is no InfluentialScores.

    References
    ----------
    .. [1] Jung, Shin, Kwon, *A Metric to Measure Contribution of Nodes in Neural Networks*.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknninterp import InfluentialScores, TorchMLPClassifier
    >>> from sknninterp.evaluation.additivity import conservation
    >>> X, y = load_iris(return_X_y=True)
    >>> network = TorchMLPClassifier((8, 4), max_epochs=20, random_state=0)
    >>> conservation(InfluentialScores(network).fit(X, y), X)["passed"]
    law
    norm                   True
    explain                True
    composition hidden0    True
    composition hidden1    True
    Name: passed, dtype: bool
    """
    if not isinstance(explainer, InfluentialScores):
        raise TypeError(f"explainer must be InfluentialScores, got {type(explainer).__name__}.")
    X = _safe_indexing(as_table(X), slice(0, _N_SAMPLES))
    source, target = explainer.source, explainer.target_layer
    graph = _graph(explainer, X)
    ends = find_node(graph, source, "source"), find_node(graph, target, "target_layer")
    scores = _scores(explainer, X, graph, source, target)
    explained = explainer.explain(X).values
    explained = explained.reshape(len(explained), -1, explained.shape[-1])
    worst = {"norm": max(0.0, np.abs(explained).sum(1).max() - 1)}
    if explained.shape == scores.shape:  # `explain` has channels for a convolutional target
        worst["explain"] = np.abs(explained - scores).max()
    for layer, node in layer_nodes(graph).items():
        if node not in ends and _all_ways_cross(graph, *ends, node):
            if _is_large(graph, len(X), ends, node):
                continue
            first = _scores(explainer, X, graph, source, layer)
            second = _scores(explainer, X, graph, layer, target)
            worst[f"composition {layer}"] = np.abs(first @ second - scores).max()
    table = pd.DataFrame({"worst": worst}).rename_axis("law")
    return table.assign(passed=table["worst"] <= tolerance)


def _graph(explainer, X) -> Graph:
    network = find_network(explainer.estimator_)
    inputs = network.to_tensor(network.preprocess(_safe_indexing(X, slice(0, 1))))
    return network.read(tuple(inputs.shape[1:]))


def _scores(explainer, X, graph, source, target) -> np.ndarray:
    """Scores between two layers, (n_samples, n_source, n_target)."""
    n_target = math.prod(find_node(graph, target, "target_layer").shape)
    scores = explainer.influence(X, source, target)
    return scores.reshape(len(scores), -1, n_target)


def _all_ways_cross(graph: Graph, source: Node, target: Node, node: Node) -> bool:
    """Whether every way from source to target goes through the node."""
    path = set(graph.between(source, target))
    before = set(graph.between(source, node)) - {node}
    after = set(graph.between(node, target)) - {node}
    if node not in path or path != before | after | {node}:
        return False
    return all(before.isdisjoint(one.inputs) for one in after)


def _is_large(graph, n_samples, ends, node) -> bool:
    sizes = [math.prod(end.shape) for end in ends]
    return n_samples * math.prod(node.shape) * max(sizes) > _MOST_SCORES
