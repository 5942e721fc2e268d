"""Callbacks for any skorch net."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Integral, Real
from typing import Any, Self

import torch
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping
from skorch.dataset import unpack_data
from skorch.utils import to_tensor

from sknninterp.nn.activation_entropy import activation_entropy
from sknninterp.nn.criteria import CRITERIA
from sknninterp.nn.graph import read
from sknninterp.nn.hidden_neurons import HiddenNeurons
from sknninterp.nn.mlp import ACTIVATIONS
from sknninterp.nn.tuning import KLCriterion, NeuronTuner, Schedule

__all__ = ["ActivationEntropy", "NeuronTuning"]

TUNING_CONSTRAINTS: dict = {
    "pruning_rate": [Interval(Real, 0, 1, closed="left")],
    "tuning_step": [Interval(Integral, 1, None, closed="left")],
    "n_tuned": [Interval(Integral, 1, None, closed="left"), None],
    "tuning_start": [Interval(Real, 0, 1, closed="left")],
    "tuning_stop": [Interval(Real, 0, 1, closed="right")],
    "target_layers": [str, Integral, list, tuple],
    "criterion": [StrOptions({"kl", *CRITERIA}), callable],
    "target_distribution": [StrOptions({"auto", *ACTIVATIONS}), HasMethods("cdf")],
    "n_bins": [Interval(Integral, 2, None, closed="left")],
    "bin_range": [tuple, list],
    "histogram": [StrOptions({"common", "own-range"})],
    "tuning_data": [StrOptions({"auto", "train"})],
    "min_neurons": [Interval(Integral, 1, None, closed="left")],
    "rewind": [StrOptions({"init"}), Interval(Integral, 1, None, closed="left"), None],
}

ENTROPY_CONSTRAINTS: dict = {
    "layers": [str, Interval(Integral, 1, None, closed="left"), list, tuple],
    "on": [StrOptions({"train", "valid"})],
    "by": [str, list, tuple],
    "n_bins": [Interval(Integral, 2, None, closed="left")],
    "every": [Interval(Integral, 1, None, closed="left")],
    "exact": ["boolean"],
    "reduction": [StrOptions({"sum", "mean"})],
}


class NeuronTuning(Callback):
    """Activation-based neuron tuning (ANT) for a skorch net.

    Every `tuning_step` epochs the neurons whose pre-activations are distributed least as their
    activation would have it are removed from the network, with their weights, batch-norm entries
    and the optimizer's state.

    Parameters
    ----------
    pruning_rate : float, default=0.5
        Share of each target layer's neurons that is gone by the end, in [0, 1).
    tuning_step : int, default=1
        Epochs between tunings, the paper's k.
    n_tuned : int, default=None
        Neurons removed per tuning and layer, the paper's n; takes the place of `pruning_rate`.
    tuning_start, tuning_stop : float, default=0.0 and 0.8
        Share of `max_epochs` between which neurons are removed; the rest is recovery.
    target_layers : "all", int, str or a list of these, default="all"
        Hidden layers by index or name.
    criterion : {"kl", "magnitude", "apoz", "taylor", "selectivity", "influence", "random"} or \
            callable
        What is judged, "kl" by default; a callable takes a
        :class:`sknninterp.nn.criteria.TuningData` and returns one score per neuron for each of its
        layers, the highest to go first.
    target_distribution : str or object with a method `cdf`, default="auto"
        For "kl": "auto" takes what suits each layer's activation; an activation's name takes what
        suits that one, an error on a layer whose activation wants another; or a frozen
        `scipy.stats` distribution.
    n_bins : int, default=22
    bin_range : tuple of float, default=(-3, 3)
    histogram : {"common", "own-range"}, default="common"
        Bins common to all neurons, or, as in the authors' code, over each neuron's own range.
    tuning_data : {"auto", "train"}, default="auto"
        Activations on the net's validation data if it has any, or on its training data.
    min_neurons : int, default=1
        Fewest neurons that a layer keeps.
    rewind : {"init"}, int or None, default=None
        Lottery-ticket rewinding after the last removal: to the first weights, or to those after
        an epoch.
    max_epochs : int, default=None
        Length of the schedule; None takes the net's `max_epochs`.
    random_state : int, default=0
        For `criterion="random"`.

    Attributes
    ----------
    tuner_ : sknninterp.nn.tuning.NeuronTuner
        With `history`, the removals, and `widths`, the neurons left.

    Notes
    -----
    What brings back weights from before a removal, such as skorch's `EarlyStopping` and
    `Checkpoint` with `load_best=True`, must not judge epochs before the last one: they no longer
    fit. (`early_stopping=True` of this package's estimators waits for it.)

    References
    ----------
    .. [1] Mohsen et al., *Weight-based Neural Network Interpretability using Activation Tuning and
       Personalized Products*, Algorithm 1.

    Examples
    --------
    >>> from skorch import NeuralNetClassifier
    >>> from sklearn.datasets import make_classification
    >>> import torch
    >>> from sknninterp.callbacks import NeuronTuning
    >>> from sknninterp.nn.mlp import MLP
    >>> X, y = make_classification(random_state=0)
    >>> net = NeuralNetClassifier(
    ...     MLP(20, 2, (32,)), criterion=torch.nn.CrossEntropyLoss, max_epochs=5, verbose=0,
    ...     callbacks=[NeuronTuning(pruning_rate=0.75)],
    ... ).fit(X.astype("float32"), y)
    >>> net.module_.hidden0
    Linear(in_features=20, out_features=8, bias=True)
    """

    def __init__(
        self,
        pruning_rate: float = 0.5,
        tuning_step: int = 1,
        n_tuned: int | None = None,
        tuning_start: float = 0.0,
        tuning_stop: float = 0.8,
        target_layers: str | int | Sequence[str | int] = "all",
        criterion: str | Callable = "kl",
        target_distribution: Any = "auto",
        n_bins: int = 22,
        bin_range: tuple[float, float] = (-3, 3),
        histogram: str = "common",
        tuning_data: str = "auto",
        min_neurons: int = 1,
        rewind: str | int | None = None,
        max_epochs: int | None = None,
        random_state: int = 0,
    ):
        self.pruning_rate = pruning_rate
        self.tuning_step = tuning_step
        self.n_tuned = n_tuned
        self.tuning_start = tuning_start
        self.tuning_stop = tuning_stop
        self.target_layers = target_layers
        self.criterion = criterion
        self.target_distribution = target_distribution
        self.n_bins = n_bins
        self.bin_range = bin_range
        self.histogram = histogram
        self.tuning_data = tuning_data
        self.min_neurons = min_neurons
        self.rewind = rewind
        self.max_epochs = max_epochs
        self.random_state = random_state

    def initialize(self) -> Self:
        """Check the parameters and forget an earlier training."""
        constraints = {
            **TUNING_CONSTRAINTS,
            "max_epochs": [Interval(Integral, 1, None, closed="left"), None],
        }
        validate_parameter_constraints(constraints, self.get_params(), type(self).__name__)
        low, high = self.bin_range if len(self.bin_range) == 2 else (math.nan, math.nan)
        finite = all(isinstance(end, Real) and math.isfinite(end) for end in (low, high))
        if not (finite and low < high):
            raise ValueError(f"bin_range must be (low, high), low < high, got {self.bin_range}.")
        self.tuner_: NeuronTuner | None = None
        return self

    def schedule(self, max_epochs: int) -> Schedule:
        """When neurons go, and how many.

        Parameters
        ----------
        max_epochs : int
            Length of the training, where the callback has no `max_epochs` of its own.

        Returns
        -------
        sknninterp.nn.schedule.Schedule
        """
        return Schedule(
            max_epochs=self.max_epochs or max_epochs,
            pruning_rate=self.pruning_rate,
            tuning_step=self.tuning_step,
            n_tuned=self.n_tuned,
            tuning_start=self.tuning_start,
            tuning_stop=self.tuning_stop,
            min_neurons=self.min_neurons,
        )

    def new_tuner(self, schedule: Schedule) -> NeuronTuner:
        """What removes the neurons, not started yet.

        Parameters
        ----------
        schedule : Schedule

        Returns
        -------
        sknninterp.nn.tuning.NeuronTuner
        """
        return NeuronTuner(
            schedule,
            target_layers=self.target_layers,
            criterion=self._criterion(),
            rewind=self.rewind,
            seed=self.random_state,
        )

    def _criterion(self) -> Any:
        if self.criterion != "kl":
            return self.criterion
        low, high = self.bin_range
        return KLCriterion(self.target_distribution, self.n_bins, (low, high), self.histogram)

    def on_epoch_begin(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Read the network before it is trained."""
        schedule = self.schedule(net.max_epochs)
        if self.tuner_ is not None or not schedule.active:
            return
        inputs, _, _ = next(iter(_Batches(net, dataset_train)))
        self.tuner_ = self.new_tuner(schedule).start(net.module_, inputs.shape[1:])

    def on_epoch_end(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Remove what the schedule asks for."""
        if self.tuner_ is None:
            return
        epoch = net.history[-1, "epoch"]
        on_train = self.tuning_data == "train" or dataset_valid is None
        self.tuner_.step(
            net.module_,
            epoch,
            _Batches(net, dataset_train if on_train else dataset_valid),
            [net.optimizer_],
            loss=lambda output, target: net.get_loss(output, target, training=False),
        )
        net.history.record("n_neurons", sum(self.tuner_.widths.values()))

    def finished_before(self, epoch: int) -> bool:
        """Whether no neuron goes from this epoch on.

        Parameters
        ----------
        epoch : int
            Counted from 1.

        Returns
        -------
        bool
        """
        tuner = self.tuner_
        if tuner is None:
            return True
        return tuner.finished and all(removal.epoch < epoch for removal in tuner.history[-1:])


class ActivationEntropy(Callback):
    """Activation entropy after every epoch, in the history of a skorch net.

    Of each hidden neuron's positive activations the shares h_r in equal bins on (0, max] give its
    entropy, -sum_r h_r log2 h_r, in bits. Their sum, the network's, is reported to fall as accuracy
    rises [1]_; :func:`sknninterp.plotting.entropy_history` draws both.

    Parameters
    ----------
    layers : {"all", "last"}, int, str or list of str, default="all"
        Hidden layers: all, the last, the last so many, or by name.
    on : {"train", "valid"}, default="train"
        Whose activations: those of the net's training or of its validation data.
    by : {"network", "layer", "class"} or a sequence of these, default=("network", "layer")
        What goes into the history: `entropy`; `entropy_<layer>` for each layer, by its name; and
        `entropy_class_<k>`, over the samples of class k alone, with k from 0 as the loss takes it.
    n_bins : int, default=10
    every : int, default=1
        Epochs between two readings, from the first epoch on; NaN stands in those between.
    exact : bool, default=False
        Read the data twice, the maxima first; else once, which is nearly exact.
    reduction : {"sum", "mean"}, default="sum"
        Sum over neurons, as published, or their mean, which compares networks of unlike size, such
        as one before and after neurons were removed from it.

    Notes
    -----
    The network is read in evaluation mode, as the callbacks before this one leave it. Training goes
    on as it would without. Samples count by their weights.

    References
    ----------
    .. [1] *Leveraging Neuron Activation Patterns to Explain and Improve Deep Learning Classifiers*.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sknninterp import ActivationEntropy, TorchMLPClassifier
    >>> X, y = make_classification(random_state=0)
    >>> network = TorchMLPClassifier((16,), max_epochs=5, callbacks=[ActivationEntropy()])
    >>> network.fit(X, y).history_.columns.tolist()
    ['epoch', 'train_loss', 'dur', 'entropy', 'entropy_hidden0']
    """

    def __init__(
        self,
        layers: str | int | Sequence[str] = "all",
        on: str = "train",
        by: str | Sequence[str] = ("network", "layer"),
        n_bins: int = 10,
        every: int = 1,
        exact: bool = False,
        reduction: str = "sum",
    ):
        self.layers = layers
        self.on = on
        self.by = by
        self.n_bins = n_bins
        self.every = every
        self.exact = exact
        self.reduction = reduction

    def initialize(self) -> Self:
        """Check the parameters and forget an earlier training."""
        validate_parameter_constraints(ENTROPY_CONSTRAINTS, self.get_params(), type(self).__name__)
        unknown = set(self._parts) - {"network", "layer", "class"}
        if unknown or not self._parts:
            raise ValueError(
                f"by={self.by!r} must name some of 'network', 'layer' and 'class', nothing else."
            )
        self.recorded_: list[str] = []
        return self

    @property
    def _parts(self) -> tuple[str, ...]:
        return (self.by,) if isinstance(self.by, str) else tuple(self.by)

    def on_epoch_end(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Record the entropy."""
        if (net.history[-1, "epoch"] - 1) % self.every and self.recorded_:
            found = dict.fromkeys(self.recorded_, math.nan)
        else:
            found = self._entropies(net, dataset_train if self.on == "train" else dataset_valid)
            self.recorded_ = list(found)
        for name, value in found.items():
            net.history.record(name, value)

    def _entropies(self, net: NeuralNet, dataset: Any) -> dict[str, float]:
        if dataset is None:
            raise ValueError("on='valid' needs validation data, and this net has none.")
        # skorch's loader draws a seed even where it does not shuffle.
        with torch.random.fork_rng(devices=[]):
            batches: Iterable = _Batches(net, dataset)
            inputs, _, _ = next(iter(batches))
            # Anew every time: neurons may have been removed.
            neurons = HiddenNeurons(read(net.module_, inputs.shape[1:]), self.layers)
            n_classes = None
            if "class" in self._parts:
                n_classes = max(2, math.prod(neurons.graph.output.shape))
                batches = _Labelled(batches)
            entropy = activation_entropy(
                neurons, batches, self.n_bins, n_classes=n_classes, exact=self.exact
            )
        found = {}
        if "network" in self._parts:
            found["entropy"] = entropy.network(self.reduction)
        if "layer" in self._parts:
            by_layer = entropy.by_layer(self.reduction)
            found |= {f"entropy_{name}": value for name, value in by_layer.items()}
        if "class" in self._parts:
            by_class = entropy.by_class(self.reduction).tolist()
            found |= {f"entropy_class_{k}": value for k, value in enumerate(by_class)}
        return found


class _Batches:
    """A net's data set as (inputs, target, weight) on the net's device, as often as wanted."""

    def __init__(self, net: NeuralNet, dataset: Any):
        self.net = net
        self.dataset = dataset

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]]:
        for batch in self.net.get_iterator(self.dataset, training=False):
            inputs, target = unpack_data(batch)
            weight = getattr(batch, "weight", None)
            inputs = to_tensor(inputs, device=self.net.device)
            yield inputs, to_tensor(target, device=self.net.device), weight


class _Labelled:
    """Batches whose targets, 0.0 and 1.0 for a single logit, are class numbers."""

    def __init__(self, batches: Iterable):
        self.batches = batches

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]]:
        for inputs, target, weight in self.batches:
            if target.is_floating_point():
                target = target.reshape(len(target), -1)
                if target.shape[1] > 1 or not ((target == 0) | (target == 1)).all():
                    raise ValueError(
                        "by='class' needs class numbers as targets; these are"
                        f" {target.dtype} of {target.shape[1]} outputs."
                    )
                target = target[:, 0].long()
            yield inputs, target, weight


class LateEarlyStopping(EarlyStopping):
    """skorch's early stopping that starts to count when the last neuron is gone.

    While neurons are still removed the best network so far may have more of them.
    Its parameters are those of `skorch.callbacks.EarlyStopping`.
    """

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Judge the epoch if its loss is that of a network which keeps its neurons."""
        epoch = net.history[-1, "epoch"]
        tunings = [c for _, c in net.callbacks_ if isinstance(c, NeuronTuning)]
        if all(tuning.finished_before(epoch) for tuning in tunings):
            super().on_epoch_end(net, **kwargs)


class EpochBar(Callback):
    """A progress bar over epochs with the losses beside it.

    Parameters
    ----------
    max_epochs : int
    """

    def __init__(self, max_epochs: int):
        self.max_epochs = max_epochs

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Open the bar."""
        from tqdm.auto import tqdm

        self.bar_ = tqdm(total=self.max_epochs, unit="epoch")

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Move it on."""
        last = net.history[-1]
        names = ("train_loss", "valid_loss", "n_neurons")
        self.bar_.set_postfix({name: f"{last[name]:.4g}" for name in names if name in last})
        self.bar_.update()

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Close it."""
        self.bar_.close()
        del self.bar_
