"""From whatever a user hands over to the network in it: what is explained, and in which outputs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import singledispatch

import numpy as np
import skorch
import torch
from scipy import sparse
from sklearn.base import RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from sknninterp.estimators._base import BaseTorchEstimator
from sknninterp.explainers._explanation_index import is_sequence
from sknninterp.nn.graph import Graph, prototype, read
from sknninterp.nn.mlp import mlp_from_weights
from sknninterp.nn.nodes import Activation


@dataclass(frozen=True)
class Outputs:
    """Outputs of a network, by the labels that its user knows.

    Attributes
    ----------
    labels : ndarray
        Label of each output; of a single logit, of both classes.
    n_outputs : int
    predicts : bool
        Whether one of the labels is predicted, or may be (of a torch module that is not known).
    """

    labels: np.ndarray
    n_outputs: int
    predicts: bool

    @property
    def names(self) -> np.ndarray:
        """Label of each output; of a single logit, the second class."""
        return self.labels[-self.n_outputs :]

    def choose(self, target, signed: bool):
        """Positions of the outputs asked for (or "predicted"), their signs and their labels.

        Raises
        ------
        ValueError
            If no output has such a label.
        """
        if target is None:
            return slice(None), 1, self.names
        if is_sequence(target):
            if len(target) == 0:
                raise ValueError(f"target={target!r} holds no label.")
            chosen = [self.choose_one(label, signed) for label in target]
            return tuple(map(list, zip(*chosen, strict=True)))
        if isinstance(target, str) and target == "predicted" and not self._has(target):
            if not self.predicts:
                raise ValueError("target='predicted' asks for one class; none is predicted here.")
            return "predicted", 1, None
        return self.choose_one(target, signed)

    def _has(self, label) -> bool:
        return label in self.labels.tolist()

    def choose_one(self, label, signed: bool):
        """Position, sign and label of one output."""
        labels = self.labels.tolist()
        if not self._has(label):
            raise ValueError(
                f"target={label!r} is not an output of this network; there are {labels}, None for"
                " all and 'predicted'."
            )
        place = labels.index(label)
        # A single logit: what speaks for the second class speaks against the first.
        against = signed and len(labels) > self.n_outputs and place == 0
        return min(place, self.n_outputs - 1), -1 if against else 1, labels[place]


@dataclass(frozen=True)
class Network:
    """A fitted network with what is needed to explain it to its user.

    Attributes
    ----------
    module : torch.nn.Module
    predictor : object
        The estimator that holds the module, or the module itself.
    classes : ndarray or None
        Labels of a classifier.
    steps : tuple of (str, transformer)
        Fitted preprocessing, in order.
    threshold : float
        Of a single logit: probability above which the second class is predicted.
    """

    module: nn.Module
    predictor: object
    classes: np.ndarray | None = None
    steps: tuple = field(default=())
    threshold: float = 0.5

    def preprocess(self, X):
        """X as the last estimator of the pipeline gets it."""
        for _, step in self.steps:
            X = step.transform(X)
        return X

    def to_tensor(self, X) -> Tensor:
        """Preprocessed X, checked, as a tensor of the network's dtype on its device."""
        like = prototype(self.module)
        dtype = like.cpu().numpy().dtype
        if isinstance(self.predictor, BaseTorchEstimator):
            array = self.predictor._network_input(X)
        elif isinstance(self.predictor, MLPClassifier | MLPRegressor):
            # Columns other than those it was fitted on must not pass.
            array = validate_data(self.predictor, X, reset=False, dtype=dtype, accept_sparse="csr")
        else:
            array = check_array(X, dtype=dtype, accept_sparse="csr", allow_nd=True)
        array = array.toarray() if sparse.issparse(array) else array
        # torch takes neither negative strides nor read-only memory.
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(like)

    @property
    def first(self) -> object:
        """The first transformer or estimator that sees the user's columns."""
        return self.steps[0][1] if self.steps else self.predictor

    def read(self, shape) -> Graph:
        """The network as a graph, for samples of this shape."""
        return read(self.module, shape)

    def outputs(self, n_outputs: int) -> Outputs:
        """Outputs of the network by their labels.

        They are numbered where there are no labels, or not as many as outputs: a skorch net goes
        by the labels that it saw in training, its module need not.
        """
        n_labels = 2 if n_outputs == 1 else n_outputs
        if self.classes is None or len(self.classes) != n_labels:
            labels = np.arange(n_outputs)
        else:
            labels = np.asarray(self.classes)
        # scikit-learn's MLPClassifier of several labels at once has a logistic output for each.
        multilabel = (
            getattr(self.predictor, "out_activation_", None) == "logistic" and n_outputs > 1
        )
        predicts = not (multilabel or isinstance(self.predictor, RegressorMixin))
        return Outputs(labels, n_outputs, predicts and len(labels) > 1)

    def predict(self, graph: Graph, inputs: Tensor) -> Tensor:
        """Position of each sample's predicted class among the labels."""
        outputs = graph.run(inputs)[graph.output].reshape(len(inputs), -1)
        if outputs.shape[1] > 1:
            return outputs.argmax(1)
        closed = isinstance(graph.output, Activation) and graph.output.kind == "sigmoid"
        probability = outputs[:, 0] if closed else torch.sigmoid(outputs[:, 0])
        return (probability > self.threshold).long()


def is_fitted(estimator) -> bool:
    """Whether an estimator, pipeline, search, skorch net or module can be explained as it is."""
    if isinstance(estimator, nn.Module):
        return True
    if isinstance(estimator, skorch.NeuralNet):
        return bool(estimator.initialized_)
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


@singledispatch
def find_network(estimator) -> Network:
    """The network inside a fitted `estimator`.

    Raises
    ------
    TypeError
        If there is none that can be explained.
    """
    if hasattr(estimator, "best_estimator_"):
        return find_network(estimator.best_estimator_)
    if _is_search(estimator):
        raise NotFittedError(f"{type(estimator).__name__} has no best_estimator_: use refit=True.")
    raise TypeError(
        f"estimator: {type(estimator).__name__} holds no network that can be explained; taken are"
        " estimators of sknninterp, skorch nets, torch modules, scikit-learn's MLPClassifier and"
        " MLPRegressor, and pipelines and searches that end in one of these."
    )


def check_explainable(estimator) -> None:
    """Raise the error of :func:`find_network` before an unfitted `estimator` is fitted."""
    if isinstance(estimator, Pipeline):
        check_explainable(estimator.steps[-1][1])
    elif isinstance(estimator, TransformedTargetRegressor):
        check_explainable(estimator.regressor)
    elif _is_search(estimator):
        return  # its parameters may be estimators: what it finds is known when it has found it
    elif find_network.dispatch(type(estimator)) is find_network.dispatch(object):
        find_network(estimator)


def _is_search(estimator) -> bool:
    return hasattr(estimator, "refit") and hasattr(estimator, "estimator")


@find_network.register
def _(estimator: BaseTorchEstimator) -> Network:
    return Network(estimator.module_, estimator, getattr(estimator, "classes_", None))


@find_network.register
def _(estimator: Pipeline) -> Network:
    inner = find_network(estimator.steps[-1][1])
    # "passthrough", and the samplers of imbalanced-learn, do nothing to samples to be explained.
    before = [(name, step) for name, step in estimator.steps[:-1] if hasattr(step, "transform")]
    return replace(inner, steps=(*before, *inner.steps))


@find_network.register
def _(estimator: FrozenEstimator) -> Network:
    return find_network(estimator.estimator)


@find_network.register
def _(estimator: TransformedTargetRegressor) -> Network:
    return find_network(estimator.regressor_)


@find_network.register
def _(estimator: skorch.NeuralNet) -> Network:
    # A net that was only initialized, with weights loaded from elsewhere, knows no classes.
    return Network(
        estimator.module_,
        estimator,
        getattr(estimator, "classes_", None),
        threshold=getattr(estimator, "threshold", 0.5),
    )


@find_network.register
def _(estimator: nn.Module) -> Network:
    if next(estimator.parameters(), None) is None:
        raise TypeError(f"estimator: {type(estimator).__name__} has no parameters to explain.")
    return Network(estimator, estimator)


_SKLEARN_ACTIVATIONS = {"logistic": "sigmoid"}


@find_network.register(MLPClassifier)
@find_network.register(MLPRegressor)
def _(estimator) -> Network:
    name = estimator.activation
    module = mlp_from_weights(
        estimator.coefs_, estimator.intercepts_, _SKLEARN_ACTIVATIONS.get(name, name)
    )
    return Network(module, estimator, getattr(estimator, "classes_", None))
