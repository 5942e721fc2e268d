"""Fitting many estimators at once, as a stack, with the same results as one after the other."""

from __future__ import annotations

import copy
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.validation import _num_samples
from torch import Tensor

from sknninterp._typing import MatrixLike
from sknninterp.estimators._base import OPTIMIZERS, BaseTorchEstimator
from sknninterp.estimators._checkpoint import NO_CHECKPOINT, Checkpoint, Part
from sknninterp.estimators._device import resolve_device, threads_for
from sknninterp.estimators._interrupts import deferred_interrupts, interrupted
from sknninterp.estimators._net import (
    EVALUATION_ROWS,
    TensorData,
    TensorNet,
    TrainingData,
    tensors,
)
from sknninterp.estimators._training_state import StackState
from sknninterp.estimators._tuning_part import TuningPart
from sknninterp.nn.embeddings import split_embedding
from sknninterp.nn.input_penalty import InputPenalty, StackedInputPenalty, rise
from sknninterp.nn.optim import AdamMini
from sknninterp.nn.schedule import Schedule
from sknninterp.nn.stacked import StackedMLP
from sknninterp.nn.stacked_training import (
    Backpropagation,
    CrossEntropy,
    SquaredError,
    StackedBatches,
    batch_bounds,
    mean_loss,
    train_epoch,
)
from sknninterp.nn.stacked_tuning import StackedTuner

# Inputs of a batch of all networks, and what comes of them: more would leave the caches.
_STACK_BYTES = 64 * 2**20
# Tables that pipelines make, each of its own samples, held at once.
_TABLES_BYTES = 512 * 2**20
# What a stack sees are numbers that do not change while it trains.
_FIXED_EMBEDDINGS = (None, "piecewise", "spline")
# Members of a stack agree in all but these.
OWN = ("random_state", "pruning_rate", "input_penalty")


def can_be_stacked(estimator: Any) -> bool:
    """Whether a stack trains such an estimator, or pipeline, as its own `fit` does.

    Parameters
    ----------
    estimator : object
    """
    if isinstance(estimator, Pipeline):
        return estimator.memory is None and can_be_stacked(estimator.steps[-1][1])
    if not isinstance(estimator, BaseTorchEstimator):
        return False
    plain = (
        type(estimator).fit is BaseTorchEstimator.fit
        and estimator.module is None
        and isinstance(estimator.optimizer, str)
        and estimator.optimizer in OPTIMIZERS
        and not estimator.dropout
        and not estimator.batch_norm
        and not estimator.entropy_weight
        and estimator.numeric_embedding in _FIXED_EMBEDDINGS
        and not estimator.callbacks
        and estimator.dtype != "mixed"
        and not estimator.early_stopping
        and not estimator.warm_start
        and estimator.checkpoint is None
        and estimator.n_networks == 1
    )
    if not plain or not isinstance(estimator, TuningPart):
        return plain
    return (
        estimator.criterion == "kl"
        and estimator.histogram == "common"
        and estimator.target_layers == "all"
        and estimator.rewind is None
    )


def fit_stacked(
    estimators: Sequence,
    X: MatrixLike,
    y: Any,
    rows: Sequence[np.ndarray] | None = None,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> None:
    """Fit estimators that differ in their seeds, pruning rates and samples alone.

    Parameters
    ----------
    estimators : list of estimators or pipelines
        Not fitted yet, of a kind that :func:`can_be_stacked`; fitted in place.
    X : array-like, DataFrame or sparse matrix of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    rows : list of ndarray of int, default=None
        The samples of each; None is all.
    checkpoint : Checkpoint, default=NO_CHECKPOINT
        Of estimators that are no pipelines: where their training is kept.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C was pressed, unless the caller defers it: then the estimators whose training had
        not begun are not fitted.
    """
    if rows is None:
        rows = [np.arange(_num_samples(X))] * len(estimators)
    if not isinstance(estimators[0], Pipeline):
        _check_alike(estimators)
        for estimator in estimators:
            estimator._validate_params()
        X, y = estimators[0]._validate(X, y, reset=True)
        _fit_on(estimators, [(X, np.asarray(y)[own], own) for own in rows], checkpoint)
        return
    _check_alike([pipeline.steps[-1][1] for pipeline in estimators])
    by_table = defaultdict(list)
    for number, (pipeline, own) in enumerate(zip(estimators, rows, strict=True)):
        by_table[_table_of(pipeline, own) or number].append((pipeline, own))
    n_at_once = max(1, _TABLES_BYTES // (8 * math.prod(np.shape(X))))
    tables = list(by_table.values())
    for start in range(0, len(tables), n_at_once):
        _fit_pipelines(tables[start : start + n_at_once], X, y)


def _table_of(pipeline, rows) -> tuple | None:
    """What the pipeline's table is known by; None where no other one makes the same for sure."""
    parameters = pipeline[:-1].get_params().items() if len(pipeline) > 1 else ()
    seeds = [(k, v) for k, v in parameters if k.endswith("random_state")]
    return None if any(seed is None for _, seed in seeds) else (id(rows), *sorted(seeds))


def _fit_pipelines(tables, X, y) -> None:
    """Fit pipelines, listed by the table that their first steps make of their samples."""
    # By the number of columns, which may depend on the samples.
    alike: dict[int, tuple[list, list]] = defaultdict(lambda: ([], []))
    for pipelines in tables:
        first, own = pipelines[0]
        of_X, of_y = _safe_indexing(X, own), _safe_indexing(y, own)
        if len(first) > 1:
            of_X = first[:-1].fit_transform(of_X, of_y)  # the steps are fitted in place
        network = first.steps[-1][1]
        network._validate_params()
        of_X, of_y = network._validate(of_X, of_y, reset=True)
        every = np.arange(len(of_X))
        networks, samples = alike[of_X.shape[1]]
        for pipeline, _ in pipelines:
            if pipeline is not first:
                pipeline.steps[:-1] = copy.deepcopy(first.steps[:-1])
            pipeline.steps[-1][1]._validate_params()
            networks.append(pipeline.steps[-1][1])
            samples.append((of_X, of_y, every))
    for networks, samples in alike.values():
        _fit_on(networks, samples)


def _fit_on(networks, samples, checkpoint: Checkpoint = NO_CHECKPOINT) -> None:
    """Fit networks on `(X, y, rows)`: y of these rows of X, which several may share."""
    device = resolve_device(networks[0].device)
    offsets: dict[int, int] = {}
    parts: list[Tensor] = []
    for X, _, _ in samples:
        if id(X) not in offsets:
            offsets[id(X)] = sum(map(len, parts))
            parts.append(torch.from_numpy(X))
    inputs = (parts[0] if len(parts) == 1 else torch.cat(parts)).to(device)
    groups = defaultdict(list)
    for network, (X, y, rows) in zip(networks, samples, strict=True):
        copy_features(networks[0], network)
        member = _Member.of(network, inputs, y, offsets[id(X)] + rows)
        groups[member.group].append(member)
    stacks = []
    for members in groups.values():
        size = _networks_at_once(members[0])
        stacks += [members[start : start + size] for start in range(0, len(members), size)]
    with deferred_interrupts():
        for number, members in enumerate(stacks):
            _fit_group(members, checkpoint.part(f"stack{number}"))
            if interrupted():
                break


def copy_features(first: Any, other: Any) -> None:
    """Where X was validated for the first alone: what others would have learnt of it.

    Parameters
    ----------
    first, other : estimator
    """
    for name in ("n_features_in_", "feature_names_in_"):
        if hasattr(first, name) and not hasattr(other, name):
            setattr(other, name, getattr(first, name))


def _check_alike(networks) -> None:
    def common(network):
        parameters = network.get_params(deep=False)
        return type(network), {k: v for k, v in parameters.items() if k not in OWN}

    for network in networks:
        if not can_be_stacked(network) or common(network) != common(networks[0]):
            raise ValueError(f"A stack takes plain networks that differ in {', '.join(OWN)} alone.")


@dataclass
class _Rows(TensorData):
    """Some rows of tensors, which are not copied."""

    inputs: Tensor
    target: Tensor
    weight: Tensor | None
    rows: Tensor

    def __len__(self):
        return len(self.rows)

    def select(self, index):
        index = torch.as_tensor(index, device=self.rows.device)
        weight = None if self.weight is None else self.weight[index]
        return _Rows(self.inputs, self.target[index], weight, self.rows[index])

    def gathered(self) -> TrainingData:
        """The samples themselves, to train on."""
        return TrainingData(TensorData(self.inputs[self.rows], self.target, self.weight))


@dataclass
class _Member:
    """An estimator with its net, not trained yet, its samples, and its chance."""

    estimator: BaseTorchEstimator
    net: TensorNet
    parts: TrainingData
    generator: torch.Generator

    @classmethod
    def of(cls, estimator, inputs, y, rows):
        """As the estimator's own `fit` would start: its random numbers are drawn in that order."""
        encoded = estimator._encode_target(y, reset=True)
        # The rows are weighted, not their inputs.
        index, encoded, weight = estimator._weighted(rows, encoded, None, partial=False)
        estimator._random_state = check_random_state(estimator.random_state)
        with estimator._training_context(inputs):
            # The rows stand for the inputs, whose type the others take.
            none = np.empty(0, inputs.cpu().numpy().dtype)
            of_rows = tensors(none, encoded, weight, inputs.device)
            index = torch.as_tensor(index, device=inputs.device)
            data = _Rows(inputs, of_rows.target, of_rows.weight, index)
            parts = estimator._split(data, encoded)
            own = parts if estimator.numeric_embedding is None else parts.train.gathered()
            net = estimator._build(own, inputs.device)
            generator = torch.Generator().set_state(torch.get_rng_state())
        return cls(estimator, net, parts, generator)

    @property
    def n_numbers(self) -> int:
        """That the first layer reads."""
        _, layers = split_embedding(self.net.module_)
        return next(layers.parameters()).shape[1]

    @property
    def embeds(self) -> bool:
        """Whether they are other numbers than the inputs."""
        return self.estimator.numeric_embedding is not None

    @property
    def schedule(self) -> Schedule | None:
        """When neurons go, if any do."""
        if not isinstance(self.estimator, TuningPart):
            return None
        schedule = self.estimator._tuning.schedule(self.estimator.max_epochs)
        return schedule if schedule.active else None

    @property
    def group(self) -> tuple:
        """Members of which this is the same are of one shape throughout."""
        train, valid, size = self.parts.train, self.parts.valid, self.net.batch_size
        large = max(size, EVALUATION_ROWS)
        return (
            len(batch_bounds(len(train), size)),
            len(batch_bounds(len(train), large)),
            None if valid is None else len(batch_bounds(len(valid), large)),
            self.net.n_outputs_,
            self.n_numbers,
            train.weight is None,
            tuple(getattr(self.estimator, "classes_", ())),
            self.schedule,
        )


def _networks_at_once(member: _Member) -> int:
    n_rows, element = len(member.parts.train), member.parts.train.inputs.element_size()
    width = max([0, *member.estimator._hidden_sizes()])
    of_batch = min(member.net.batch_size, n_rows) * (member.n_numbers + 4 * width) * element
    size = _STACK_BYTES // of_batch
    if member.embeds:
        size = min(size, _TABLES_BYTES // (n_rows * member.n_numbers * element))
    return max(1, size)


def _embedded(members: list[_Member]) -> list[TrainingData]:
    """What the layers behind each member's embedding read, all in one table."""
    tables, found, start = [], [], 0
    for member in members:
        embedding, _ = split_embedding(member.net.module_)
        for part in (member.parts.train, member.parts.valid):
            if isinstance(part, _Rows):
                tables.append(embedding(part.inputs[part.rows]))
    table = torch.cat(tables)
    for member in members:
        parts = []
        for part in (member.parts.train, member.parts.valid):
            if isinstance(part, _Rows):
                rows = torch.arange(start, start + len(part), device=table.device)
                parts.append(_Rows(table, part.target, part.weight, rows))
                start += len(part)
        found.append(TrainingData(*parts))
    return found


def _fit_group(members: list[_Member], part: Part) -> None:
    """Train members of one shape, and give each what came of it."""
    parts = _embedded(members) if members[0].embeds else [member.parts for member in members]
    first, nets = members[0].estimator, [member.net for member in members]
    stack = StackedMLP([net.module_ for net in nets])
    make_optimizer, options = first._optimizer()
    if make_optimizer is AdamMini:
        options = {**options, "stacked": True}
    optimizer = make_optimizer(stack.parameters(), lr=first.lr, **options)
    loss = CrossEntropy() if is_classifier(first) else SquaredError()
    gradients = Backpropagation(stack, loss)
    size, large = first.batch_size, max(first.batch_size, EVALUATION_ROWS)
    generators = [member.generator for member in members]
    train = _batches(parts, "train", size, generators)
    valid = _batches(parts, "valid", large) if parts[0].valid is not None else None
    tuner, schedule = None, members[0].schedule
    if schedule is not None:
        tuner = StackedTuner(stack, schedule, first._tuning._criterion())
        on_train = first.tuning_data == "train"
        judged = _batches(parts, "train", large) if on_train or valid is None else valid
    penalty = after_step = None
    if any(member.estimator.input_penalty for member in members):
        penalty = StackedInputPenalty([net.input_penalty or _no_penalty(net) for net in nets])
        after_step = partial(penalty, stack, first.lr)
    training = StackState(stack, optimizer, tuner, nets, generators)
    kept = part.load()
    done = 0 if kept is None else training.restore(kept)
    with threads_for(len(members) * first._multiplications(members[0].n_numbers)):
        for epoch in range(done + 1, first.max_epochs + 1):
            start = time.perf_counter()
            if penalty is not None:
                penalty.share = rise(epoch, first.max_epochs)
            losses = {"train_loss": train_epoch(gradients, train, optimizer, after_step)}
            if valid is not None:
                losses["valid_loss"] = mean_loss(stack, valid, loss)
            if tuner is not None:
                tuner.step(stack, epoch, judged, optimizer)
            seconds = (time.perf_counter() - start) / len(members)
            for number, net in enumerate(nets):
                _record(net, epoch, {k: v[number] for k, v in losses.items()}, seconds)
                if tuner is not None:
                    net.history.record("n_neurons", sum(stack.widths))
            if part.is_due or interrupted() or epoch == first.max_epochs:
                part.save(training.state())
            if interrupted():
                break
    stack.unstack([net.module_ for net in nets], optimizer, [net.optimizer_ for net in nets])
    for number, member in enumerate(members):
        estimator, net = member.estimator, member.net
        if tuner is not None:
            callback = dict(net.callbacks_)["neuron_tuning"]
            callback.tuner_ = callback.new_tuner(schedule).resume(
                net.input_shape_, tuner.left[number], tuner.histories[number]
            )
        net.check_outputs(member.parts.train)
        estimator.net_, estimator.n_iter_ = net, len(net.history)


def _no_penalty(net: TensorNet) -> InputPenalty:
    """A penalty of strength 0, for a network among others that have one."""
    return InputPenalty(0.0, net.module_, net.input_shape_)


def _batches(of_members, which: str, batch_size, generators=None) -> StackedBatches:
    parts = [getattr(of_member, which) for of_member in of_members]
    # They agree where they share a sample.
    targets = [part.target for part in parts]
    target = targets[0].new_zeros(len(parts[0].inputs), *targets[0].shape[1:])
    for part in parts:
        target[part.rows] = part.target
    weights = None if parts[0].weight is None else [part.weight for part in parts]
    rows = [part.rows for part in parts]
    return StackedBatches(parts[0].inputs, target, rows, batch_size, weights, generators)


def _record(net: TensorNet, epoch: int, losses: dict[str, float], seconds: float) -> None:
    net.history.new_epoch()
    net.history.record("epoch", epoch)
    for name, loss in losses.items():
        net._record_loss(name, float(loss))
    net.history.record("dur", seconds)
    net.on_epoch_end(net)
