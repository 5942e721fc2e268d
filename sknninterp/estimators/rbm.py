"""The restricted Boltzmann machine as a transformer."""

from __future__ import annotations

import copy
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils import Tags, check_array
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sknninterp._typing import MatrixLike, Seed
from sknninterp.estimators._checkpoint import NO_CHECKPOINT, checkpointed
from sknninterp.estimators._device import draw_seed, resolve_device, seeded, threads_for
from sknninterp.estimators._interrupts import deferred_interrupts, interrupted, report_interrupt
from sknninterp.estimators._progress import epoch_bar
from sknninterp.estimators._training_state import KeptMachines
from sknninterp.estimators._validation import Pair, for_torch, validated
from sknninterp.nn.rbm import DenseRBM
from sknninterp.nn.rbm_trainer import RULES, RBMTrainer
from sknninterp.nn.rbm_training import Epoch, train, train_epoch
from sknninterp.nn.units import UNITS, visible_unit

_CHUNK_BYTES = 64 * 2**20
_GAUSSIAN = ("gaussian", "linear")


def _has_energy(estimator) -> bool:
    """Whether there is a `score_samples`."""
    units = {"visible": estimator.visible, "hidden": estimator.hidden}
    if units["hidden"] == "bernoulli" and units["visible"] in ("auto", "bernoulli", *_GAUSSIAN):
        return True
    raise AttributeError(
        "score_samples takes an energy, which is known for hidden='bernoulli' with"
        f" visible='bernoulli' or 'gaussian', not for {units}."
    )


class RBM(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    r"""Restricted Boltzmann machine: features learnt without labels.

    Like :class:`sklearn.neural_network.BernoulliRBM`, with more kinds of unit and more rules.

    Parameters
    ----------
    n_components : int, default=256
        Hidden units.
    visible : {"auto", "bernoulli", "gaussian", "linear", "relu", "tanh"}, default="auto"
        Visible units. "bernoulli" takes data from 0 to 1, "gaussian" (also called "linear")
        standardised data, "relu" data that are not negative; "auto" takes "bernoulli" if all data
        are from 0 to 1, else "gaussian".
    hidden : {"bernoulli", "gaussian", "linear", "relu", "tanh"}, default="bernoulli"
        Hidden units.
    rule : {"cd", "reconstruction", "exact", "hybrid"}, default="cd"
        Contrastive divergence [1]_, the published rule from the reconstruction error [2]_, that
        error's true gradient, or `hybrid_epochs` of "cd" and of "reconstruction".
    learning_rate : float, default=None
        None takes the published one, 0.01 for "cd" and 0.04 for the others, and where training
        diverges with that, starts over with a tenth of it.
    batch_size : int, default=128
    n_iter : int, default=10
        Epochs.
    momentum : tuple of float, default=(0.5, 0.9)
        In the first `momentum_epochs`, and after them.
    momentum_epochs : int, default=5
    weight_decay : float, default=0.0
    n_steps : int, default=1
        Steps k of contrastive divergence.
    persistent : bool, default=False
        Whether contrastive divergence goes on with its Gibbs chains from batch to batch, as
        `BernoulliRBM` does. It wants momentum=(0, 0).
    sample_hidden : bool, default=False
        Whether sampled hidden states, and not their means, are reconstructed from.
    hybrid_epochs : tuple of int, default=(7, 3)
        For `rule="hybrid"`; together `n_iter`.
    device : str or torch.device, default="auto"
        "auto" takes the GPU if there is one.
    dtype : {"float32", "float64"}, default=None
        None keeps the floating type of X; "float32" is faster, and what large tables want.
    checkpoint : str or path-like, default=None
        Folder, of this fit alone, in which `fit` keeps how far it has come: killed, and called
        again with the same parameters and data, it goes on, and ends with the same machine.
    verbose : int, default=0
        1 shows a progress bar with the reconstruction error.
    random_state : int, RandomState instance or None, default=None

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        The weights.
    intercept_hidden_ : ndarray of shape (n_components,)
    intercept_visible_ : ndarray of shape (n_features,)
    visible_ : str
        Kind of the visible units.
    rbm_ : sknninterp.nn.rbm.DenseRBM
        The machine itself.
    history_ : DataFrame
        One row an epoch: `epoch`, `rule`, `lr`, `momentum`, `reconstruction_error` (mean over
        samples and features of the squared difference), `dur` in seconds.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has column names.

    See Also
    --------
    RBMPretrainedMLP : A network whose layers start as such machines.

    References
    ----------
    .. [1] G. Hinton, *Training Products of Experts by Minimizing Contrastive Divergence*, 2002.
    .. [2] A. Kroschanka and V. Golovko, *Neural Networks Interpretation Improvement*.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> from sknninterp import RBM
    >>> X, y = load_digits(return_X_y=True)
    >>> model = make_pipeline(
    ...     MinMaxScaler(),
    ...     RBM(100, n_iter=30, random_state=0),
    ...     LogisticRegression(C=10, max_iter=1000),
    ... )
    >>> model.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.9
    True
    """

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "visible": [StrOptions({"auto", *UNITS})],
        "hidden": [StrOptions(set(UNITS))],
        "rule": [StrOptions(set(RULES))],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "n_iter": [Interval(Integral, 0, None, closed="left")],
        "momentum": [Pair(Real, 0, 1, closed="left")],
        "momentum_epochs": [Interval(Integral, 0, None, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "persistent": ["boolean"],
        "sample_hidden": ["boolean"],
        "hybrid_epochs": [Pair(Integral, 0, None, closed="left")],
        "device": [str, torch.device],
        "dtype": [StrOptions({"float32", "float64"}), None],
        "checkpoint": [str, os.PathLike, None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    _checkpoint = NO_CHECKPOINT  # another one while `fit` is under way

    def __init__(
        self,
        n_components: int = 256,
        *,
        visible: str = "auto",
        hidden: str = "bernoulli",
        rule: str = "cd",
        learning_rate: float | None = None,
        batch_size: int = 128,
        n_iter: int = 10,
        momentum: tuple[float, float] = (0.5, 0.9),
        momentum_epochs: int = 5,
        weight_decay: float = 0.0,
        n_steps: int = 1,
        persistent: bool = False,
        sample_hidden: bool = False,
        hybrid_epochs: tuple[int, int] = (7, 3),
        device: str | torch.device = "auto",
        dtype: str | None = None,
        checkpoint: str | os.PathLike | None = None,
        verbose: int = 0,
        random_state: Seed = None,
    ):
        self.n_components = n_components
        self.visible = visible
        self.hidden = hidden
        self.rule = rule
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.momentum = momentum
        self.momentum_epochs = momentum_epochs
        self.weight_decay = weight_decay
        self.n_steps = n_steps
        self.persistent = persistent
        self.sample_hidden = sample_hidden
        self.hybrid_epochs = hybrid_epochs
        self.device = device
        self.dtype = dtype
        self.checkpoint = checkpoint
        self.verbose = verbose
        self.random_state = random_state

    # -- fitting ---------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: MatrixLike, y: ArrayLike | None = None) -> Self:
        """Learn from X.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            A sparse matrix stays sparse: it becomes dense batch by batch.
        y : None
            Not used.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X holds NaN, infinite or non-numeric values, lies outside the bounds of the visible
            units, is sparse and they are Gaussian, if training diverges, or if `checkpoint` holds
            another fit.
        OSError
            If `checkpoint` cannot be written; what was kept before is still there.

        Warns
        -----
        ConvergenceWarning
            If Ctrl-C has ended the training, after the epoch that was under way.
        """
        with deferred_interrupts(), checkpointed(self, {"X": X}):
            X, rbm = self._start(X)
            machine = KeptMachines(self._checkpoint.part("training"))
            options = {"keep": machine.keep, "kept": machine.kept, **self._options()}
            with self._training(rbm), epoch_bar(self.verbose, self.n_iter) as told:
                batches = _Batches(X, self.batch_size, rbm.weight.device)
                options["on_epoch"] = lambda epoch: told(epoch) or interrupted()
                self._keep(*train(rbm, batches, self.n_iter, **options))
            report_interrupt(f"after epoch {len(self._epochs)}")
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: MatrixLike, y: ArrayLike | None = None) -> Self:
        """Learn from X for one epoch, after what was learnt before.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The first call decides on the kind of the visible units, where that is "auto".
        y : None
            Not used.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As in `fit`.

        Notes
        -----
        Parameters changed after the first call take effect in the next `fit`, but `batch_size` at
        once.
        """
        if hasattr(self, "rbm_"):
            X = self._checked(X, reset=False)
            self._unit_for(X, self.visible_, data="this X, unlike that of the first call,")
            trainer, epochs = self._trainer, self._epochs
        else:
            X, rbm = self._start(X)
            trainer, epochs = RBMTrainer(rbm, **self._options()), []
        with self._training(trainer.rbm):
            batches = _Batches(X, self.batch_size, trainer.rbm.weight.device)
            epoch = train_epoch(trainer, batches)
        return self._keep(trainer, [*epochs, epoch])

    def _start(self, X) -> tuple:
        """X checked, and a machine of its width that has learnt nothing."""
        X = self._checked(X, reset=True)
        unit = self._unit_for(X, self.visible)
        self._random_state = self._checkpoint.random_state(self.random_state)
        self._score_seed = draw_seed(self._random_state)
        dtype = torch.float32 if X.dtype == np.float32 else torch.float64
        with seeded(self._random_state):
            rbm = DenseRBM(X.shape[1], self.n_components, unit.name, self.hidden, dtype=dtype)
        return X, rbm.to(resolve_device(self.device))

    def _keep(self, trainer, epochs):
        self.rbm_, self._trainer, self._epochs = trainer.rbm, trainer, epochs
        return self

    @staticmethod
    def _unit_for(X, name, data="X"):
        values = X.data if sparse.issparse(X) else X
        # torch finds both ends at once, on all threads.
        ends = torch.aminmax(torch.from_numpy(for_torch(values))) if values.size else (0.0, 0.0)
        low, high = map(float, ends)
        if sparse.issparse(X):  # its zeros are data too
            low, high = min(low, 0.0), max(high, 0.0)
        unit = visible_unit(name, low, high, data=data)
        if sparse.issparse(X) and unit.name == "gaussian":
            raise ValueError(
                "X is sparse and the visible units are Gaussian, which want standardised data, and"
                f" those are dense. X has values from {low:.4g} to {high:.4g}: scale it to [0, 1]"
                " for visible='bernoulli' (MaxAbsScaler keeps it sparse), or make it dense."
            )
        return unit

    def _options(self) -> dict:
        pairs = {"momentum": tuple(self.momentum), "hybrid_epochs": tuple(self.hybrid_epochs)}
        names = ("momentum_epochs", "weight_decay", "n_steps", "persistent", "sample_hidden")
        same = {name: getattr(self, name) for name in names}
        return {"rule": self.rule, "lr": self.learning_rate, **pairs, **same}

    @contextmanager
    def _training(self, rbm):
        with seeded(self._random_state), threads_for(self.batch_size * rbm.weight.numel()):
            yield

    def _checked(self, X, reset):
        """X in the machine's floating type."""
        dtype: Any = np.dtype(self.dtype) if self.dtype else (np.float64, np.float32)
        if not reset:
            dtype = self.components_.dtype
        X = validated(self, X, dtype=dtype, reset=reset)
        return X if sparse.issparse(X) else for_torch(X)

    # -- what was learnt -------------------------------------------------------------------------

    @property
    def components_(self) -> np.ndarray:
        """Weights, (n_components, n_features)."""
        return _numpy(self.rbm_.weight)

    @property
    def intercept_hidden_(self) -> np.ndarray:
        """Biases of the hidden units, (n_components,)."""
        return _numpy(self.rbm_.bias_hidden)

    @property
    def intercept_visible_(self) -> np.ndarray:
        """Biases of the visible units, (n_features,)."""
        return _numpy(self.rbm_.bias_visible)

    @property
    def visible_(self) -> str:
        """Kind of the visible units."""
        return self.rbm_.visible_unit.name

    @property
    def history_(self) -> pd.DataFrame:
        """One row an epoch."""
        return pd.DataFrame(self._epochs, columns=Epoch._fields)

    @property
    def _n_features_out(self) -> int:
        return len(self.rbm_.bias_hidden)

    # -- using it --------------------------------------------------------------------------------

    def transform(self, X: MatrixLike) -> np.ndarray:
        """Means of the hidden units given X, F(W x + b): probabilities for Bernoulli units.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_components)
        """
        return self._by_chunks(X, self._machine().hidden)

    def inverse_transform(self, X: ArrayLike) -> np.ndarray:
        """Means of the visible units given hidden ones: what `transform` gave is reconstructed.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)

        Returns
        -------
        ndarray of shape (n_samples, n_features)
        """
        rbm = self._machine()
        hidden = check_array(X, dtype=self.components_.dtype)
        if hidden.shape[1] != self._n_features_out:
            raise ValueError(
                f"X has {hidden.shape[1]} columns, but there are {self._n_features_out} hidden"
                " units."
            )
        return self._each_chunk(hidden, rbm.visible)

    def gibbs(self, v: MatrixLike) -> np.ndarray:
        """One step of Gibbs sampling: hidden states given `v`, then visible states given those.

        Parameters
        ----------
        v : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Sampled anew in each call, after the seeds of `fit`.
        """
        rbm = self._machine()
        with seeded(self._random_state):
            return self._by_chunks(v, rbm.gibbs)

    @available_if(_has_energy)
    def score_samples(self, X: MatrixLike) -> np.ndarray:
        """How well the machine knows each sample; higher is better.

        It is there for `hidden="bernoulli"` with "bernoulli" or "gaussian" visible units.

        For Bernoulli visible units the stochastic pseudo-likelihood, as in `BernoulliRBM`:
        n_features log sigmoid(F(x with one bit flipped) - F(x)), F being the free energy. Which bit
        that is, the seed of the fit and the sample decide, whatever samples stand beside it. For
        Gaussian visible units the log density up to a constant, -F(x).

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        rbm = self._machine()
        if self.visible_ != "bernoulli":
            return self._by_chunks(X, lambda chunk: -rbm.free_energy(chunk))
        return self._by_chunks(
            X, lambda v: rbm.pseudo_likelihood(v, flips=_flips(v, self._score_seed))
        )

    def reconstruction_error(self, X: MatrixLike) -> np.ndarray:
        """Mean squared difference between each sample and its reconstruction.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        rbm = self._machine()
        return self._by_chunks(X, lambda v: (rbm.visible(rbm.hidden(v)) - v).square().mean(1))

    def _machine(self) -> DenseRBM:
        check_is_fitted(self, "rbm_")
        return self.rbm_

    def _by_chunks(self, X, function):
        return self._each_chunk(self._checked(X, reset=False), function)

    def _each_chunk(self, X, function):
        """What `function` makes of X, chunk by chunk under a memory bound."""
        weight = self.rbm_.weight
        n_rows = max(1, _CHUNK_BYTES // (sum(weight.shape) * weight.element_size()))
        with torch.no_grad():
            parts = [
                function(_dense(X[start : start + n_rows], weight.device)).cpu()
                for start in range(0, X.shape[0], n_rows)
            ]
        return torch.cat(parts).numpy()

    def __getstate__(self) -> dict:
        # What was fitted on a GPU can be loaded where there is none.
        state = super().__getstate__()
        if "rbm_" in state and self.rbm_.weight.device.type != "cpu":
            state = copy.deepcopy(state)
            state["rbm_"].cpu()
            state["_trainer"].to("cpu")
        return state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.visible not in _GAUSSIAN
        kept = [self.dtype] if self.dtype else ["float64", "float32"]
        tags.transformer_tags.preserves_dtype = kept
        return tags


class _Batches:
    """Batches of X in a new order each time, with no weights; a sparse X stays so in memory."""

    def __init__(self, X, batch_size: int, device: torch.device):
        self.X = X if sparse.issparse(X) else _dense(X, device)
        self.batch_size = batch_size
        self.device = device

    def __iter__(self) -> Iterator[tuple[Tensor, None]]:
        for rows in torch.randperm(self.X.shape[0]).split(self.batch_size):
            if isinstance(self.X, Tensor):
                yield self.X.index_select(0, rows.to(self.device)), None
            else:
                yield _dense(self.X[rows.numpy()], self.device), None


def _dense(X, device) -> Tensor:
    return torch.from_numpy(for_torch(X)).to(device)


def _numpy(parameter: Tensor) -> np.ndarray:
    return parameter.detach().cpu().numpy()


def _flips(v: Tensor, seed: int) -> Tensor:
    """A bit of each sample to flip, by a hash of the sample."""
    salt = seed.to_bytes(4, "little")
    n_visible = v.shape[1]
    return torch.tensor([zlib.crc32(row.tobytes() + salt) % n_visible for row in v.cpu().numpy()])
