"""How often hidden neurons fire for each class, how selective they are, how their patterns spread.

All is collected batch by batch, in memory that grows with neurons and classes, not with samples.
Activations come from :meth:`sknninterp.nn.graph.Graph.run`: no hooks are set, and functional
activations are seen like modules.

References
----------
.. [1] *Leveraging Neuron Activation Patterns to Explain and Improve Deep Learning Classifiers*.
.. [2] Morcos, Barrett, Rabinowitz, Botvinick, *On the importance of single directions for
   generalization*, 2018.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Real

import torch
from torch import Tensor

from sknninterp.nn.activation_entropy import ActivationEntropy, streaming_histograms
from sknninterp.nn.hidden_neurons import NONNEGATIVE, HiddenNeurons, above, checked, membership
from sknninterp.nn.nodes import Activation

# Activations that are positive whatever comes in.
POSITIVE = ("sigmoid", "softplus")

# --- firing -------------------------------------------------------------------------------------


def check_thresholds(
    nodes: Mapping[str, Activation], threshold: float | Mapping[str, float] = 0.0
) -> dict[str, float]:
    """Threshold of each layer, above which a neuron counts as firing.

    Parameters
    ----------
    nodes : mapping of str to Activation
    threshold : float or mapping of str to float, default=0.0
        For all layers, or by name; layers not named take 0.

    Returns
    -------
    dict of str to float

    Raises
    ------
    ValueError
        If a layer does not exist, a threshold is no finite number, or one that all values of an
        activation exceed, such as 0 for a sigmoid: every neuron would fire for every sample.
    """
    given = dict(threshold) if isinstance(threshold, Mapping) else dict.fromkeys(nodes, threshold)
    for name in given:
        if name not in nodes:
            raise ValueError(
                f"threshold: there is no layer {name!r} among those chosen: {list(nodes)}."
            )
    for name, node in nodes.items():
        value = given.setdefault(name, 0.0)
        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
            raise ValueError(f"threshold={value!r} of layer {name!r} is no finite number.")
        always = value <= 0 if node.kind in POSITIVE else value < 0 and node.kind in NONNEGATIVE
        if always:
            example = ", such as 0.5" if node.kind == "sigmoid" else ""
            raise ValueError(
                f"threshold={value} of layer {name!r}: its activation {node.kind!r} is always above"
                f" it, so that every neuron fires for every sample. Pass a higher one{example}."
            )
    return {name: float(given[name]) for name in nodes}


def activation_evidence(values: Tensor, probabilities: Tensor, threshold: float = 0.0) -> Tensor:
    """1[A > threshold] P': for every class the sum of the firing neurons' probabilities.

    Parameters
    ----------
    values : Tensor of shape (n_samples, n_neurons)
        Activations A.
    probabilities : Tensor of shape (n_classes, n_neurons)
        P, of each neuron to fire for a class.
    threshold : float, default=0.0

    Returns
    -------
    Tensor of shape (n_samples, n_classes)
    """
    return above(values, threshold) @ probabilities.to(values).T


def network_evidence(
    neurons: HiddenNeurons,
    inputs: Tensor,
    probabilities: Tensor,
    threshold: float | Mapping[str, float] = 0.0,
) -> tuple[Tensor, Tensor]:
    """What a network's firing neurons say of the classes, and its outputs.

    Parameters
    ----------
    neurons : HiddenNeurons
    inputs : Tensor of shape (n_samples, *input_shape)
    probabilities : Tensor of shape (n_classes, n_neurons)
        Of each neuron to fire, as :class:`ActivationStatistics` finds them.
    threshold : float or mapping of str to float, default=0.0
        The one that the probabilities were found with.

    Returns
    -------
    evidence : Tensor of shape (n_samples, n_classes)
        1[A > threshold] P', over all layers chosen; see :func:`propose`.
    output : Tensor of shape (n_samples, *output_shape)
    """
    if probabilities.ndim != 2 or probabilities.shape[1] != neurons.n_neurons:
        raise ValueError(
            f"probabilities has the shape {tuple(probabilities.shape)}; the layers chosen have"
            f" {neurons.n_neurons} neurons."
        )
    thresholds = check_thresholds(neurons.nodes, threshold).values()
    own = [probabilities[:, columns] for columns in neurons.columns.values()]
    found, outputs = [], []
    for part in neurons.read(inputs):
        terms = map(activation_evidence, part.values, own, thresholds)
        found.append(torch.stack([*terms]).sum(0))
        outputs.append(part.output)
    return torch.cat(found), torch.cat(outputs)


def propose(evidence: Tensor, predicted: Tensor) -> Tensor:
    """Y_proposed: evidence times Y_predicted, elementwise, rows normalised to sum 1 [1]_.

    Parameters
    ----------
    evidence : Tensor of shape (n_samples, n_classes)
        Of :func:`activation_evidence`; its scale cancels.
    predicted : Tensor of shape (n_samples, n_classes)
        Class probabilities Y_predicted.

    Returns
    -------
    Tensor of shape (n_samples, n_classes)
        Where no neuron fires, or the product is all zero, Y_predicted itself.

    Raises
    ------
    ValueError
        If shapes differ, or `predicted` holds no probabilities, such as logits.

    References
    ----------
    .. [1] *Leveraging Neuron Activation Patterns to Explain and Improve Deep Learning Classifiers*.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.activations import propose
    >>> predicted = torch.tensor([[0.5, 0.5], [0.8, 0.2]])
    >>> propose(torch.tensor([[3.0, 1.0], [0.0, 0.0]]), predicted)
    tensor([[0.7500, 0.2500],
            [0.8000, 0.2000]])
    """
    if evidence.shape != predicted.shape or predicted.ndim != 2:
        raise ValueError(
            f"evidence has the shape {tuple(evidence.shape)} and predicted"
            f" {tuple(predicted.shape)}; both must be (n_samples, n_classes)."
        )
    if not ((predicted >= 0) & (predicted <= 1 + 1e-4)).all():
        raise ValueError("predicted must be probabilities between 0 and 1, not logits.")
    # Double, where the product of two small numbers of single precision is not lost.
    product = evidence.double() * predicted.double()
    total = product.sum(1, keepdim=True)
    found = product / torch.where(total > 0, total, 1)
    return torch.where(total > 0, found.to(predicted.dtype), predicted)


# --- statistics ---------------------------------------------------------------------------------


def class_selectivity(means: Tensor) -> Tensor:
    """(m - r) / (m + r), with m the highest class mean and r the mean of the others [2]_.

    Parameters
    ----------
    means : Tensor of shape (n_classes, n_neurons)
        Mean activation of each neuron for each class, not negative; of activations that can be
        negative take the mean magnitude, or the index would not lie between 0 and 1.

    Returns
    -------
    Tensor of shape (n_neurons,)
        From 0, all classes alike, to 1, one class alone; 0 for a neuron that never fires.

    References
    ----------
    .. [2] Morcos, Barrett, Rabinowitz, Botvinick, *On the importance of single directions for
       generalization*, 2018.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.activations import class_selectivity
    >>> class_selectivity(torch.tensor([[3., 2., 0.], [1., 0., 0.], [1., 0., 0.]])).tolist()
    [0.5, 1.0, 0.0]
    """
    highest = means.amax(0)
    rest = (means.sum(0) - highest) / max(len(means) - 1, 1)
    return torch.where(highest > 0, (highest - rest) / (highest + rest), 0.0)


class ActivationStatistics:
    """Statistics of hidden neurons for each class, collected batch by batch in one pass.

    Parameters
    ----------
    neurons : HiddenNeurons
    n_classes : int
    threshold : float or mapping of str to float, default=0.0
        Above which a neuron counts as firing, as :func:`check_thresholds` takes it.
    entropy : bool or "classes", default=False
        Whether activation entropy is collected too, with "classes" that of every class, by
        :class:`~sknninterp.nn.activation_entropy.StreamingHistogram`: nearly exactly, where
        :func:`~sknninterp.nn.activation_entropy.activation_entropy` is exact in two passes.

    Attributes
    ----------
    class_weights : Tensor of shape (n_classes,)
        Number of samples of each class, or the sum of their weights.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.activations import ActivationStatistics, HiddenNeurons
    >>> from sknninterp.nn.graph import read
    >>> from sknninterp.nn.mlp import MLP
    >>> neurons = HiddenNeurons(read(MLP(4, 3, (8, 6)), (4,)))
    >>> statistics = ActivationStatistics(neurons, n_classes=3)
    >>> X, y = torch.randn(90, 4), torch.arange(90) % 3
    >>> for rows in torch.arange(90).split(32):
    ...     statistics.add(X[rows], y[rows])
    >>> statistics.probabilities.shape, statistics.selectivity.shape
    (torch.Size([3, 14]), torch.Size([14]))
    """

    def __init__(
        self,
        neurons: HiddenNeurons,
        n_classes: int,
        threshold: float | Mapping[str, float] = 0.0,
        entropy: bool | str = False,
    ):
        self.neurons, self.n_classes = neurons, n_classes
        self.thresholds = check_thresholds(neurons.nodes, threshold)
        self.class_weights = torch.zeros(n_classes, dtype=torch.float64, device=neurons.device)
        self._fired = self.class_weights.new_zeros(n_classes, neurons.n_neurons)
        self._magnitudes = torch.zeros_like(self._fired)
        if entropy not in (False, True, "classes"):
            raise ValueError(f"entropy={entropy!r} must be False, True or 'classes'.")
        n_groups = n_classes if entropy == "classes" else 1
        self._histograms = streaming_histograms(neurons, n_groups=n_groups) if entropy else []

    def add(self, inputs: Tensor, target: Tensor, weight: Tensor | None = None) -> None:
        """Count a batch.

        Parameters
        ----------
        inputs : Tensor of shape (n_samples, *input_shape)
        target : Tensor of int of shape (n_samples,)
            Classes, from 0 to `n_classes` - 1.
        weight : Tensor of shape (n_samples,), default=None

        Raises
        ------
        ValueError
            If targets are no such classes, weights are negative, or activations not finite.
        """
        batch: Iterable = checked([(inputs, target, weight)], self.neurons.device, self.n_classes)
        for inputs, target, weight in batch:
            for part in self.neurons.read(inputs):
                own = None if weight is None else weight[part.samples]
                self._add(part.values, target[part.samples], own)

    def _add(self, layers: list[Tensor], target: Tensor, weight: Tensor | None) -> None:
        members = membership(layers[0], target, weight, self.n_classes)
        for name, values in zip(self.neurons.nodes, layers, strict=True):
            self._add_layer(name, values, members)
        for histogram, values in zip(self._histograms, layers, strict=False):
            histogram.add(values, target, weight)
        self.class_weights += members.sum(1)

    def _add_layer(self, name: str, values: Tensor, members: Tensor) -> None:
        columns = self.neurons.columns[name]
        signed = self.neurons.nodes[name].kind not in NONNEGATIVE
        magnitudes = members @ (values.abs() if signed else values).to(members.dtype)
        if not torch.isfinite(magnitudes.sum()):
            raise ValueError(f"Layer {name!r} has activations that are NaN or infinite.")
        fired = above(values, self.thresholds[name], signed).to(members.dtype)
        self._magnitudes[:, columns] += magnitudes
        self._fired[:, columns] += members @ fired

    @property
    def probabilities(self) -> Tensor:
        """P[c, j], the share of the samples of class c for which neuron j fires.

        Of shape (n_classes, n_neurons); the paper's activation probabilities.

        Raises
        ------
        ValueError
            If there are no samples of a class.
        """
        absent = (self.class_weights == 0).nonzero().flatten().tolist()
        if absent:
            raise ValueError(f"There are no samples of the classes {absent}, of {self.n_classes}.")
        return (self._fired / self.class_weights[:, None]).clamp(max=1)

    @property
    def class_means(self) -> Tensor:
        """Mean magnitude of activations, (n_classes, n_neurons); NaN for a class never seen."""
        return self._magnitudes / self.class_weights[:, None]

    @property
    def selectivity(self) -> Tensor:
        """Class selectivity of every neuron over the classes seen, (n_neurons,).

        Of activations that can be negative it is that of their magnitudes.
        """
        return class_selectivity(self.class_means[self.class_weights > 0])

    @property
    def entropy(self) -> ActivationEntropy:
        """Activation entropy; AttributeError unless it was asked for."""
        if not self._histograms:
            raise AttributeError("Activation entropy is collected only with entropy=True.")
        return ActivationEntropy.of(self._histograms, self.neurons)


def activation_statistics(
    neurons: HiddenNeurons,
    batches: Iterable,
    n_classes: int | None = None,
    threshold: float | Mapping[str, float] = 0.0,
    entropy: bool | str = False,
) -> ActivationStatistics:
    """Statistics of hidden neurons for each class, over batches.

    Parameters
    ----------
    neurons : HiddenNeurons
    batches : iterable of (inputs, target) or (inputs, target, weight or None)
    n_classes : int, default=None
        None takes the number of outputs, or two where there is one.
    threshold, entropy
        As of :class:`ActivationStatistics`.

    Returns
    -------
    ActivationStatistics

    Raises
    ------
    ValueError
        If there are no samples, or as :meth:`ActivationStatistics.add`.

    Examples
    --------
    >>> import torch
    >>> from sknninterp.nn.activations import HiddenNeurons, activation_statistics
    >>> from sknninterp.nn.graph import read
    >>> from sknninterp.nn.mlp import MLP
    >>> X, y = torch.randn(90, 4), torch.arange(90) % 3
    >>> neurons = HiddenNeurons(read(MLP(4, 3, (8,)), (4,)))
    >>> found = activation_statistics(neurons, [(X, y)], entropy=True)
    >>> found.probabilities.shape, found.entropy.neurons.shape
    (torch.Size([3, 8]), torch.Size([8]))
    """
    if n_classes is None:
        n_classes = max(2, math.prod(neurons.graph.output.shape))
    found = ActivationStatistics(neurons, n_classes, threshold, entropy)
    for batch in batches:
        found.add(*batch)
    if not found.class_weights.any():
        raise ValueError("batches hold no samples.")
    return found
