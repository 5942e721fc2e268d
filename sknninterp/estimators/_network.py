"""From whatever a user hands over, estimators and samples, to the network in it and its inputs."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial, singledispatch
from typing import Any

import numpy as np
import skorch
import torch
from scipy import sparse
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, check_array, gen_batches
from sklearn.utils.validation import _num_samples, check_is_fitted, validate_data
from torch import Tensor, nn

from sknninterp._typing import MatrixLike
from sknninterp.estimators._base import BaseTorchEstimator
from sknninterp.estimators._validation import for_torch
from sknninterp.nn.embeddings import NumericEmbedding, split_embedding
from sknninterp.nn.graph import Graph, prototype, read
from sknninterp.nn.mlp import mlp_from_weights
from sknninterp.nn.nodes import Activation

# Samples are preprocessed by at most so many rows, and so much of X, at a time.
_MOST_ROWS = 4096
_BATCH_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Network:
    """A fitted network with what is needed to read it in its user's words.

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

    def preprocess(self, X: Any) -> Any:
        """X as the last estimator of the pipeline gets it."""
        for _, step in self.steps:
            X = step.transform(X)
        return X

    @property
    def embedding(self) -> NumericEmbedding | None:
        """What the module does to each feature before its first layer."""
        return split_embedding(self.module)[0]

    @property
    def embedding_origins(self) -> sparse.csr_matrix | None:
        """Which feature each number of the embedding is of, (n_numbers, n_features), as 1."""
        embedding = self.embedding
        if embedding is None:
            return None
        origins = embedding.origins.cpu().numpy()
        starts = np.arange(len(origins) + 1)
        shape = len(origins), embedding.n_features
        return sparse.csr_matrix((np.ones(len(origins)), origins, starts), shape=shape)

    def to_tensor(self, X: MatrixLike) -> Tensor:
        """Preprocessed X as the network is read: behind its embedding, if it has one."""
        return self.embed(self.inputs(X))

    def embed(self, inputs: Tensor) -> Tensor:
        """Inputs as the first layer gets them."""
        embedding = self.embedding
        if embedding is None:
            return inputs
        with torch.no_grad():
            return embedding(inputs)

    def inputs(self, X: MatrixLike) -> Tensor:
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
        return torch.from_numpy(for_torch(array)).to(like)

    def batches(self, X: Any, verbose: int = 0) -> Iterator[tuple[slice, Tensor]]:
        """Which rows of X, and their tensors, in turn.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, ...)
            As :func:`as_table` gives it, not preprocessed.
        verbose : int, default=0
            1 shows a progress bar.
        """
        from tqdm.auto import tqdm

        n_samples = _num_samples(X)
        n_rows = max(1, min(_MOST_ROWS, _BATCH_BYTES // (8 * max(1, math.prod(X.shape[1:])))))
        with tqdm(total=n_samples, unit="sample", disable=not verbose) as bar:
            for rows in gen_batches(n_samples, n_rows):
                inputs = self.to_tensor(self.preprocess(_safe_indexing(X, rows)))
                yield rows, inputs
                bar.update(len(inputs))

    @property
    def first(self) -> object:
        """The first transformer or estimator that sees the user's columns."""
        return self.steps[0][1] if self.steps else self.predictor

    def read(self, shape: tuple[int, ...]) -> Graph:
        """The network behind its embedding as a graph, for samples of this shape."""
        return read(split_embedding(self.module)[1], shape)

    def labels(self, n_outputs: int) -> np.ndarray:
        """Label of each output; of a single logit, of both classes.

        They are numbered where there are no labels, or not as many as outputs: a skorch net goes
        by the labels that it saw in training, its module need not.
        """
        n_labels = 2 if n_outputs == 1 else n_outputs
        if self.classes is None or len(self.classes) != n_labels:
            return np.arange(n_outputs)
        return np.asarray(self.classes)

    def is_multilabel(self, n_outputs: int) -> bool:
        """Whether each output is a label of its own."""
        # scikit-learn's MLPClassifier of several labels at once has a logistic output for each.
        return n_outputs > 1 and getattr(self.predictor, "out_activation_", None) == "logistic"

    def predict(self, graph: Graph, inputs: Tensor) -> Tensor:
        """Position of each sample's predicted class among the labels."""
        outputs = graph.run(inputs)[graph.output].reshape(len(inputs), -1)
        if outputs.shape[1] > 1:
            return outputs.argmax(1)
        closed = isinstance(graph.output, Activation) and graph.output.kind == "sigmoid"
        probability = outputs[:, 0] if closed else torch.sigmoid(outputs[:, 0])
        return (probability > self.threshold).long()

    def probabilities(self, graph: Graph, outputs: Tensor) -> Tensor:
        """Of outputs, the class probabilities that the predictor makes of them.

        Parameters
        ----------
        graph : Graph
            The network's.
        outputs : Tensor of shape (n_samples, n_outputs) or (n_samples,)

        Returns
        -------
        Tensor of shape (n_samples, n_classes)
            Of two classes for a single output.
        """
        if isinstance(self.predictor, skorch.NeuralNet):
            found = self.predictor._get_predict_nonlinearity()(outputs)
        else:
            found = _link(graph)(outputs.reshape(len(outputs), -1))
        found = found.reshape(len(outputs), -1)
        return found if found.shape[1] > 1 else torch.cat([1 - found, found], 1)


def _link(graph: Graph) -> Callable[[Tensor], Tensor]:
    """From a network's outputs to probabilities."""
    if isinstance(graph.output, Activation) and graph.output.kind in ("softmax", "sigmoid"):
        return lambda outputs: outputs
    # Of a log-softmax, the softmax gives the probabilities back.
    return torch.sigmoid if math.prod(graph.output.shape) == 1 else partial(torch.softmax, dim=1)


def as_table(X: Any) -> Any:
    """X in a form that rows can be taken from; frames and what they hold stay as they are."""
    if not hasattr(X, "columns"):
        return check_array(
            X, accept_sparse="csr", dtype=None, ensure_all_finite=False, allow_nd=True
        )
    if len(X) == 0:
        raise ValueError(f"X holds no samples: its shape is {X.shape}.")
    return X


def known_table(estimator: Any, X: MatrixLike) -> Any:
    """X as :func:`as_table` gives it, with the columns and the shape that `fit` has seen."""
    X = as_table(X)
    validate_data(estimator, X, reset=False, skip_check_array=True)
    if tuple(X.shape[1:]) != estimator._sample_shape:
        raise ValueError(
            f"X has samples of shape {tuple(X.shape[1:])}; {type(estimator).__name__} was fitted on"
            f" samples of shape {estimator._sample_shape}."
        )
    return X


def is_fitted(estimator: Any) -> bool:
    """Whether an estimator, pipeline, search, skorch net or module can be read as it is."""
    if isinstance(estimator, nn.Module):
        return True
    if isinstance(estimator, skorch.NeuralNet):
        return bool(estimator.initialized_)
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    # Not all versions of scikit-learn and skorch look into its last step.
    return is_fitted(estimator[-1]) if isinstance(estimator, Pipeline) else True


@singledispatch
def find_network(estimator: Any) -> Network:
    """The network inside a fitted `estimator`.

    Raises
    ------
    TypeError
        If there is none that can be read.
    """
    if hasattr(estimator, "best_estimator_"):
        return find_network(estimator.best_estimator_)
    if is_search(estimator):
        raise NotFittedError(f"{type(estimator).__name__} has no best_estimator_: use refit=True.")
    raise TypeError(
        f"estimator: {type(estimator).__name__} holds no network that can be read; taken are"
        " estimators of sknninterp, skorch nets, torch modules, scikit-learn's MLPClassifier and"
        " MLPRegressor, and pipelines and searches that end in one of these."
    )


@singledispatch
def single_networks(estimator: Any) -> list:
    """The same estimator with each of its networks alone.

    Parameters
    ----------
    estimator : estimator, pipeline, search, skorch net or torch module
        Fitted.

    Returns
    -------
    list of estimators
        The estimator itself where it has one network. Pipelines share their steps.
    """
    if hasattr(estimator, "best_estimator_"):
        found = single_networks(estimator.best_estimator_)
        return found if len(found) > 1 else [estimator]
    return [estimator]


@single_networks.register
def _(estimator: BaseTorchEstimator) -> list:
    return getattr(estimator, "networks_", [estimator])


@single_networks.register
def _(estimator: Pipeline) -> list:
    *steps, (name, last) = estimator.steps
    found = single_networks(last)
    return [Pipeline([*steps, (name, one)]) for one in found] if len(found) > 1 else [estimator]


@single_networks.register
def _(estimator: FrozenEstimator) -> list:
    found = single_networks(estimator.estimator)
    return found if len(found) > 1 else [estimator]


@single_networks.register
def _(estimator: TransformedTargetRegressor) -> list:
    found = single_networks(estimator.regressor_)
    if len(found) == 1:
        return [estimator]
    copies = [copy.copy(estimator) for _ in found]
    for one, network in zip(copies, found, strict=True):
        one.regressor_ = network
    return copies


def check_holds_network(estimator: Any) -> None:
    """Raise the error of :func:`find_network` before an unfitted `estimator` is fitted."""
    if isinstance(estimator, Pipeline):
        check_holds_network(estimator.steps[-1][1])
    elif isinstance(estimator, TransformedTargetRegressor):
        check_holds_network(estimator.regressor)
    elif is_search(estimator):
        return  # its parameters may be estimators: what it finds is known when it has found it
    elif find_network.dispatch(type(estimator)) is find_network.dispatch(object):
        find_network(estimator)


def is_search(estimator: Any) -> bool:
    """Whether it is a search over parameters."""
    return hasattr(estimator, "refit") and hasattr(estimator, "estimator")


@find_network.register
def _(estimator: BaseTorchEstimator) -> Network:
    several = getattr(estimator, "networks_", None)
    if several is not None:
        raise ValueError(
            f"estimator: {type(estimator).__name__} holds {len(several)} networks, where one is"
            " read; they are in its networks_."
        )
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
        raise TypeError(f"estimator: {type(estimator).__name__} has no parameters.")
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
