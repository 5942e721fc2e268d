"""Influential scores: how much of any layer comes from any layer before it."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from sklearn.utils.validation import _num_samples
from torch import Tensor

from sknninterp._typing import MatrixLike, Seed, Target
from sknninterp.explainers._base import BaseExplainer
from sknninterp.explainers._explanation_index import unknown_name
from sknninterp.explainers._layers import (
    find_node,
    layer_nodes,
    mean_rows,
    node_groups,
    unknown_layer,
)
from sknninterp.explainers._outputs import Outputs
from sknninterp.explainers.columns import sum_to_original
from sknninterp.nn.influence import Influence, channel_scores
from sknninterp.nn.nodes import Node

# `influence` gives all scores at once: no more than this of them.
_MOST_BYTES = 4 * 2**30
# What it goes towards is told by this much at a time.
_ROWS_BYTES = 64 * 2**20


class InfluentialScores(BaseExplainer):
    r"""Influential scores between any two layers, supporting and opposing.

    The share of node j that comes from node i of the layer before it is w_ij L_i over the sum of
    \|w_ij L_i\| over i, with L the values after the activation; over several layers shares are
    multiplied and summed over all ways [1]_. So the magnitudes of the scores of one output sum to
    at most 1, a score above 0 supports it and one below 0 opposes it. Scores are exact and never
    make a layer's matrix of shares: they cost one way forward, one with the weights' magnitudes,
    and one way back for each output. An input that is 0 has the score 0: what zero means depends on
    how X was scaled. Scores are towards the logits, before a softmax or sigmoid.

    Dense and convolutional networks with batch norm, pooling, residual sums and concatenation are
    understood; anything else is an error that names it. How each is taken is told by
    :class:`sknninterp.nn.influence.Influence`.

    Parameters
    ----------
    estimator : estimator, pipeline, search, skorch net or torch module, default=None
        As for :class:`PWPExplainer`.
    source : str, default="input"
        The layer whose nodes are scored: "input" or the name of a hidden layer, as `layers_` lists
        them. Of a hidden layer, the features of explanations are its neurons, in the layer's own
        shape if it is convolutional.
    target_layer : str, default="output"
        The layer that scores are towards: "output" or the name of a hidden layer after `source`,
        whose neurons or channels are then the outputs (a channel's score is the mean over its
        positions).
    center_logits : bool, default=False
        Score each logit less the mean of all logits: what speaks for this class *rather than the
        others*. It changes nothing for a single logit.
    bias_in_denominator : bool, default=False
        Let the magnitude of a bias take a share of its node, which no input then gets.
    columns : {"original", "transformed"}, default="original"
        Of a pipeline, sum the scores of what one column became, or keep apart what the network
        sees.
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
        Mean \|score\| over the samples seen in `fit`, summed over outputs; sums to 1. For images
        in the shape of one image.
    importances_ : DataFrame of shape (n_features, n_outputs)
        The same per output; all of it sums to 1.
    neuron_importances_ : dict of str to ndarray of shape (n_neurons,)
        For each hidden layer between source and target the mean \|score\| of its neurons or
        channels (a channel's scores are summed over its positions first), summed over outputs;
        sums to 1 in each layer.
    layers_ : list of str
        "input", the hidden layers in the order of computation, "output". Layers that a residual
        sum joins stand for the same nodes: the sum after its activation.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has column names.
    classes_ : ndarray
        Of a classifier.

    See Also
    --------
    GradientXInputExplainer : What a comparison should have beside it.
    PWPExplainer : The same for all samples but for the inputs' values.

    References
    ----------
    .. [1] Jung, Shin, Kwon, *A Metric to Measure Contribution of Nodes in Neural Networks*.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknninterp import InfluentialScores, TorchMLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> network = TorchMLPClassifier((8, 4), max_epochs=20, random_state=0)
    >>> explainer = InfluentialScores(network).fit(X, y)
    >>> explainer.layers_
    ['input', 'hidden0', 'hidden1', 'output']
    >>> explainer.explain(X[:2], target="predicted").values.shape
    (2, 4)
    >>> explainer.influence(X[:2], "hidden0", "hidden1").shape
    (2, 8, 4)
    >>> explainer.influence(X[:2], ("hidden0", 3), ("output", 2)).shape
    (2,)
    """

    method = "influence"

    _parameter_constraints: dict = {
        **BaseExplainer._parameter_constraints,
        "source": [str],
        "target_layer": [str],
        "center_logits": ["boolean"],
        "bias_in_denominator": ["boolean"],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        source: str = "input",
        target_layer: str = "output",
        center_logits: bool = False,
        bias_in_denominator: bool = False,
        columns: str = "original",
        target: Target = None,
        batch_size: int | None = None,
        random_state: Seed = None,
        verbose: int = 0,
    ):
        super().__init__(estimator, columns, target, batch_size, random_state, verbose)
        self.source = source
        self.target_layer = target_layer
        self.center_logits = center_logits
        self.bias_in_denominator = bias_in_denominator

    # -- what the base asks for ------------------------------------------------------------------

    def _reading(self, network, shape):
        reading = super()._reading(network, shape)
        target = find_node(reading.graph, self.target_layer, "target_layer")
        if target is reading.graph.logits:
            return reading
        n_outputs = target.shape[0]
        outputs = Outputs(np.arange(n_outputs), n_outputs, predicts=False)
        return replace(reading, outputs=outputs)

    def _columns(self, network, graph):
        source = find_node(graph, self.source, "source")
        if source is graph.input:
            return super()._columns(network, graph)
        if len(source.shape) > 1:
            return None, None
        return None, np.array([f"{self.source}[{i}]" for i in range(*source.shape)], object)

    def _contributions(self, graph):
        return _Contributions(self._influence(graph, self.source, self.target_layer))

    def _influence(self, graph, source, target):
        ends = find_node(graph, source, "source"), find_node(graph, target, "target_layer")
        if ends[0] is ends[1] or not graph.between(*ends):
            raise ValueError(
                f"Layer {source!r} does not come before layer {target!r}; the order is"
                f" {list(layer_nodes(graph))}."
            )
        return Influence(
            graph,
            *ends,
            center_logits=self.center_logits,
            bias_in_denominator=self.bias_in_denominator,
        )

    def _begin_fit(self, contributions):
        influence = contributions.influence
        nodes = layer_nodes(influence.graph)
        self.layers_ = list(nodes)
        between = set(influence.path) - {influence.source, influence.target}
        contributions.watch({name: node for name, node in nodes.items() if node in between})

    def _end_fit(self, contributions):
        self.neuron_importances_ = {
            name: (total / max(total.sum(), np.finfo(float).tiny)).cpu().numpy()
            for name, total in contributions.totals.items()
        }

    def _data(self, graph, inputs, embedded):
        source = find_node(graph, self.source, "source")
        return inputs if source is graph.input else graph.run(embedded, [source])[source]

    @property
    def _explains_data(self):
        return self.source == "input" and super()._explains_data

    # -- any layer to any layer ------------------------------------------------------------------

    def filter_scores(self, X: MatrixLike, layer: str, target: Target = None) -> np.ndarray:
        """Scores of a layer's channels towards the outputs, summed over positions.

        The paper's Figure 7.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        layer : str
            A hidden layer, one of `layers_`. Of a dense layer these are its neurons' scores.
        target : None, "predicted", label or list of labels, default=None
            As for `explain`.

        Returns
        -------
        ndarray of shape (n_samples, n_channels, n_outputs)
            A single target drops the last axis.

        Raises
        ------
        ValueError
            If there is no such layer.
        """
        X = self._known_table(X)
        if layer not in self.layers_[1:-1]:
            raise unknown_layer("layer", layer, self.layers_[1:-1])
        from_layer = copy.copy(self)
        from_layer.source = layer
        positions, signs, labels = self._outputs.choose(target, self._is_signed)
        has_outputs = labels is not None and np.ndim(labels) > 0
        found = []
        for batch in from_layer._batches(X, positions, signs):
            n_samples, n_channels = batch.values.shape[:2]
            outputs = batch.values.shape[-1:] if has_outputs else ()
            found.append(batch.values.reshape(n_samples, n_channels, -1, *outputs).sum(2))
        return np.concatenate(found)

    def influence(
        self,
        X: MatrixLike,
        source: str | tuple = "input",
        target: str | tuple = "output",
        *,
        by: str = "node",
    ) -> np.ndarray:
        """Scores between any two layers, or single neurons or channels of them.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        source, target : str or tuple, default="input" and "output"
            The name of a layer, one of `layers_`, or a tuple of the name and an index into its
            nodes: `("hidden0", 3)` is a neuron, `("conv1", 3)` a channel with all its positions,
            `("conv1", 3, 0, 5)` one of them. The input's nodes are the columns that `columns` asks
            for, by name or position; the output's are its logits, in the order of `classes_`.
        by : {"node", "channel"}, default="node"
            "channel" sums over the positions of the source and takes the mean over those of the
            target.

        Returns
        -------
        ndarray of shape (n_samples, *source_shape, *target_shape)
            In the layers' own shapes; what an index picks drops its axis.

        Raises
        ------
        ValueError
            If there is no such layer or node, `source` does not come before `target`, or the
            scores take more than 4 GiB.

        Examples
        --------
        >>> import numpy as np
        >>> from torch import nn
        >>> from sknninterp import InfluentialScores
        >>> network = nn.Sequential(
        ...     nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 4 * 4, 2))
        >>> images = np.random.default_rng(0).uniform(size=(5, 1, 6, 6))
        >>> explainer = InfluentialScores(network).fit(images)
        >>> explainer.layers_
        ['input', '0', 'output']
        >>> explainer.influence(images, "0", "output").shape
        (5, 3, 4, 4, 2)
        >>> explainer.influence(images, "input", ("0", 2), by="channel").shape
        (5, 1)
        """
        X = self._known_table(X)
        if by not in ("node", "channel"):
            raise ValueError(f"by={by!r} is neither 'node' nor 'channel'.")
        network, ends = self._network(), None
        found: list[np.ndarray] = []
        for batch in self._input_batches(X, lambda batch: found[-1].nbytes // len(batch)):
            inputs = network.embed(batch)
            if ends is None:
                graph = network.read(inputs.shape[1:])
                columns = partial(super()._columns, network, graph)
                ends = _Ends(graph, source, target, by == "channel", columns)
                influence = self._influence(graph, ends.source, ends.target)
                ends.check_size(_num_samples(X) * inputs.element_size())
            found.append(ends.scores(influence, inputs))
        return np.concatenate(found)


class _Contributions:
    """Scores towards each output, or each channel of a hidden layer, as the base asks for them."""

    def __init__(self, influence: Influence):
        self.influence = influence
        groups = node_groups(influence.target.shape, (), by_channel=True)
        self.rows = mean_rows(groups.reshape(-1, groups.shape[-1]), influence.target.shape)
        self.watched: dict[str, Node] = {}
        self.totals: dict[str, Any] = {}

    def watch(self, nodes: dict[str, Node]) -> None:
        """Sum the magnitudes of these nodes' scores up from now on."""
        self.watched = nodes
        self.totals = dict.fromkeys(nodes, 0.0)

    def __call__(self, inputs, outputs):
        rows = self.rows.to(inputs)
        if outputs is not None:
            rows = rows[outputs[0]] if len(outputs) == 1 else rows[outputs.T]
        shape = self.influence.source.shape
        scores = inputs.new_empty((len(rows), len(inputs), *shape))
        for chunk in self.influence.chunks(inputs, rows, self.watched.values(), out=scores):
            for name, node in self.watched.items():
                magnitudes = channel_scores(chunk.scores[node]).abs().double()
                self.totals[name] = self.totals[name] + magnitudes.sum((0, 1))
        return scores.movedim(0, -1)


class _Ends:
    """From where to where: two layers with an index into the nodes of each."""

    def __init__(self, graph, source, target, by_channel, columns):
        self.source, pick = _name_and_index(source)
        self.target, aim = _name_and_index(target)
        self.target_shape = find_node(graph, self.target, "target").shape
        source_shape = find_node(graph, self.source, "source").shape
        self.origins: Any = None
        names: Any = None
        if self.source == "input":
            self.origins, names = columns()
        if self.origins is not None:
            source_shape = (len(names),)
        if names is not None and pick and isinstance(pick[0], str):
            pick = (_position(pick[0], list(names)),)
        self.source_groups = node_groups(source_shape, pick, by_channel, self.source)
        self.target_groups = node_groups(self.target_shape, aim, by_channel, self.target)

    def check_size(self, bytes_of_each: int) -> None:
        n_scores = math.prod(self.source_groups.shape[:-1] + self.target_groups.shape[:-1])
        size = n_scores * bytes_of_each
        if size > _MOST_BYTES:
            raise ValueError(
                f"The scores from {self.source!r} to {self.target!r} take {size / 2**30:.1f} GiB:"
                " choose one neuron or channel, by='channel', or fewer samples."
            )

    def scores(self, influence: Influence, inputs: Tensor) -> np.ndarray:
        """Scores of a batch, (n_samples, *source_shape, *target_shape)."""
        size = self.target_groups.shape[-1]
        groups = self.target_groups.reshape(-1, size)
        n_rows = max(1, _ROWS_BYTES // (math.prod(self.target_shape) * inputs.element_size()))
        found = []
        for start in range(0, len(groups), n_rows):
            rows = mean_rows(groups[start : start + n_rows], self.target_shape)
            scores = influence.scores(inputs, rows).flatten(2).permute(1, 2, 0).cpu().numpy()
            if self.origins is not None:
                scores = sum_to_original(scores, self.origins)
            n_samples, shape = len(inputs), self.source_groups.shape
            picked = scores[:, self.source_groups.ravel()]
            found.append(picked.reshape(n_samples, *shape, -1).sum(-2))
        scores = np.concatenate(found, -1)
        return scores.reshape(*scores.shape[:-1], *self.target_groups.shape[:-1])


def _name_and_index(end) -> tuple[str, tuple]:
    name, *index = [end] if isinstance(end, str) else end
    return name, tuple(index)


def _position(name: str, names: list[str]) -> int:
    if name not in names:
        raise unknown_name(name, names, "column")
    return names.index(name)
