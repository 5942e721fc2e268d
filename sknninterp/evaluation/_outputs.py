"""The one number a sample that an explanation is about: the output that is explained."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import NotFittedError
from torch import nn

from sknninterp._typing import MatrixLike, Target
from sknninterp.estimators._network import as_table, find_network, is_fitted
from sknninterp.evaluation._checks import check_choice
from sknninterp.explainers._outputs import Outputs
from sknninterp.nn.gradients import logits_of
from sknninterp.nn.graph import evaluation

SCALES = ("probability", "logit")


class ExplainedOutput:
    """A function from samples to the output that is explained.

    Parameters
    ----------
    estimator : estimator, pipeline, search, skorch net or torch module
        Fitted.
    X : array-like or DataFrame of shape (n_samples, ...)
        The samples that are explained.
    target : None, "predicted", label, or array-like of shape (n_samples,), default=None
        The output: a label for all samples, one for each, or the class that is predicted of X as
        it is. None is the predicted class, or the only output of a regressor.
    scale : {"probability", "logit"}, default="probability"
        Probabilities of a classifier, or what a network puts out before a closing softmax or
        sigmoid. Of a regressor "probability" is what it predicts.

    Attributes
    ----------
    labels : ndarray of shape (n_samples,)
        Which output is explained of each sample.
    known : ndarray of shape (n_outputs,)
        Labels of all outputs.
    is_class : bool
        Whether they are classes.
    start : ndarray of shape (n_samples,)
        The output of each sample of X.

    Raises
    ------
    ValueError
        If there is no such output, or several and none is named.
    """

    def __init__(
        self, estimator: Any, X: MatrixLike, target: Target = None, scale: str = "probability"
    ):
        check_choice("output", scale, SCALES)
        self._read = _reader(estimator, scale)
        values, self.known, self.is_class = self._read(X)
        places = self._places(values, target)
        self.labels = self.known[places]
        self._places_of_samples = places
        self.start = values[np.arange(len(values)), places]

    def __call__(self, X: MatrixLike) -> np.ndarray:
        """The output of samples that stand for those of X, (n_samples,)."""
        values = self._read(X)[0]
        return values[np.arange(len(values)), self._places_of_samples]

    def _places(self, values, target) -> np.ndarray:
        known = self.known.tolist()
        if isinstance(target, str) and target == "predicted" and target not in known:
            target = None
        if target is None:
            if self.is_class:
                return values.argmax(1)
            if len(known) > 1:
                raise ValueError(f"target: name one of the outputs {known}.")
            return np.zeros(len(values), int)
        labels = np.asarray(target)
        if labels.ndim and labels.shape != (len(values),):
            raise ValueError(
                f"target must be one label or one for each of {len(values)} samples, got the shape"
                f" {labels.shape}."
            )
        unknown = set(labels.ravel().tolist()).difference(known)
        if unknown:
            raise ValueError(f"target={unknown.pop()!r} is not an output; there are {known}.")
        places = [known.index(label) for label in labels.ravel().tolist()]
        return np.broadcast_to(np.asarray(places, dtype=int), len(values))


def all_outputs(estimator: Any, X: MatrixLike, scale: str = "probability") -> np.ndarray:
    """All outputs (n_samples, n_outputs), their labels, and whether these are classes.

    Parameters
    ----------
    estimator : estimator, pipeline, search, skorch net or torch module
    X : array-like or DataFrame of shape (n_samples, ...)
    scale : {"probability", "logit"}, default="probability"
        Of a single logit there are two: of the second class it is the logit, of the first one its
        negative.
    """
    return _reader(estimator, scale)(X)


def _reader(estimator, scale):
    """A function from samples to what :func:`all_outputs` gives."""
    if scale == "logit" or isinstance(estimator, nn.Module):
        return _NetworkReader(estimator, scale)
    if not hasattr(estimator, "predict"):
        raise TypeError(f"estimator has no `predict`: it is {estimator!r}.")
    return partial(_predicted, estimator)


def _predicted(estimator, X):
    classes = getattr(estimator, "classes_", None)
    if classes is not None and hasattr(estimator, "predict_proba"):
        values = np.asarray(estimator.predict_proba(X), dtype=float)
        if values.shape[1:] == (len(classes),):
            return values, np.asarray(classes), True
    values = np.asarray(estimator.predict(X))
    if classes is not None or values.dtype.kind not in "iuf":
        raise TypeError(
            f"estimator: {type(estimator).__name__} gives no probability of each class; put a"
            " calibrated one (CalibratedClassifierCV) in its place."
        )
    values = values.reshape(len(values), -1).astype(float)
    return values, np.arange(values.shape[1]), False


class _NetworkReader:
    """Outputs of a network, which is read once for all samples that follow."""

    def __init__(self, estimator, scale):
        if not is_fitted(estimator):
            raise NotFittedError(f"estimator: this {type(estimator).__name__} is not fitted yet.")
        self.network, self.scale = find_network(estimator), scale
        self.graph: Any = None

    def __call__(self, X):
        parts = [self._run(inputs) for _, inputs in self.network.batches(as_table(X))]
        logits, outputs = map(torch.cat, zip(*parts, strict=True))
        n_outputs = logits.shape[1]
        of_network = Outputs.of(self.network, n_outputs)
        values = logits if self.scale == "logit" else outputs
        if of_network.predicts and self.scale == "probability":
            values = self.network.probabilities(self.graph, outputs)
        elif of_network.predicts and n_outputs == 1:
            values = torch.cat([-logits, logits], 1)
        return values.double().cpu().numpy(), of_network.labels, of_network.predicts

    def _run(self, inputs):
        if self.graph is None:
            self.graph = self.network.read(tuple(inputs.shape[1:]))
        logits, output = logits_of(self.graph), self.graph.output
        with evaluation(self.graph.module), torch.no_grad():
            found = self.graph.run(inputs, [logits])
        return found[logits].reshape(len(inputs), -1), found[output].reshape(len(inputs), -1)
