"""`Explanation`: attributions with the names of their axes, and every way out of them."""

from __future__ import annotations

import html
from numbers import Integral
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sknninterp._typing import Names
from sknninterp.explainers import _explanation_checks as checks
from sknninterp.explainers import _explanation_export as export
from sknninterp.explainers import _explanation_io as io
from sknninterp.explainers._explanation_export import aggregate_importances
from sknninterp.explainers._explanation_index import (
    axis_keys,
    is_sequence,
    positions,
    unknown_name,
)
from sknninterp.explainers._explanation_plots import ExplanationPlots

__all__ = ["Explanation", "aggregate_importances"]


class Explanation:
    """Attributions of samples to features, for one output or several.

    Indexing selects along each axis on its own, as ``numpy.ix_`` does: a number is a position, a
    string a name, on every axis. A single sample or feature keeps its axis, so that what comes out
    can still be ranked and drawn; a single output drops the last axis. Attributes are read-only,
    and arrays are not copied.

    ====================================  ==================================================
    ``exp[3]``, ``exp[:10]``              samples by position
    ``exp[mask]``, ``exp[[4, 2]]``        samples by mask or positions
    ``exp["patient 7"]``                  the sample of that name
    ``exp[:, "age"]``                     one feature
    ``exp[:, ["age", "sex"]]``            some features
    ``exp[..., "malignant"]``             one output; the output axis is gone
    ``exp[..., ["benign"]]``              some outputs; the output axis stays
    ``exp[..., 1]``                       the output at position 1, whatever its label
    ``exp.output(1)``                     the output whose *label* is 1
    ====================================  ==================================================

    Parameters
    ----------
    values : array-like of shape (n_samples, n_features[, n_outputs])
        The attributions. Images have their own axes (channels, height, width) in place of
        `n_features`. The last axis holds the outputs if, and only if, `output_names` is a
        sequence.
    data : array-like of shape (n_samples, n_features), default=None
        The explained samples, in any types (images: in their own shape). A DataFrame becomes an
        array.
    feature_names : sequence of shape (n_features,), default=None
        Names of the features; None stands for ``x0, x1, ...``. Images have none.
    output_names : sequence of shape (n_outputs,) or scalar, default=None
        A sequence holds the labels along the last axis of `values`, in order. A single label says
        which output `values` without such an axis are about; None leaves that open.
    base_values : array-like of shape (n_samples[, n_outputs]), default=None
        What the attributions of a sample are added to; None if they do not add up to the output.
    gaps : array-like of shape (n_samples[, n_outputs]), default=None
        By how much base value and attributions exceed the output that they claim to add up to.
    spread : array-like of the shape of `values`, default=None
        Of means over several networks: the standard deviation of each value between them.
    sample_names : sequence of shape (n_samples,), default=None
        Names of the samples, such as a DataFrame's index; None numbers them from 0. Slices keep
        the names, so that a sample can be recognised.
    method : str, default=None
        Short name of the method, such as ``"PWP"``.
    value_label : str, default=None
        What the values measure, for axes of plots; None stands for ``contribution (<method>)``.
    signed : bool, default=True
        Whether the sign of a value says if the feature speaks for or against the output.
    target : label, str, or array-like of shape (n_samples,), default=None
        What was asked for. If every sample was explained for an output of its own (the predicted
        one), the labels of these, one for each sample; `values` then has no output axis.

    Attributes
    ----------
    values, data, feature_names, output_names, base_values, gaps, spread, sample_names : ndarray
        As above, or None, read-only. `output_names` is a scalar or None if there is no output axis.
    method, value_label, signed, target
        As above.

    Raises
    ------
    ValueError
        If shapes or numbers of names do not fit `values`, if output names repeat, or if `values`,
        `base_values`, `gaps` or `spread` hold NaN or infinite numbers.

    Examples
    --------
    >>> from sknninterp.explainers.explanation import Explanation
    >>> values = [[[0.1, -0.1], [0.5, -0.5]], [[-0.3, 0.3], [0.1, -0.1]]]
    >>> exp = Explanation(
    ...     values, feature_names=["age", "glucose"], output_names=["no", "yes"], method="PWP"
    ... )
    >>> exp
    Explanation(PWP: 2 samples x 2 features x 2 outputs ['no', 'yes'])
    >>> exp[0, "glucose", "yes"].values
    array([[-0.5]])
    >>> exp.importances()
    age        0.4
    glucose    0.6
    Name: importance, dtype: float64
    """

    def __init__(
        self,
        values: ArrayLike,
        *,
        data: ArrayLike | None = None,
        feature_names: Names | None = None,
        output_names: Any = None,
        base_values: ArrayLike | None = None,
        gaps: ArrayLike | None = None,
        spread: ArrayLike | None = None,
        sample_names: Names | None = None,
        method: str | None = None,
        value_label: str | None = None,
        signed: bool = True,
        target: Any = None,
    ):
        self._values = checks.finite(values, "values")
        self._has_outputs = is_sequence(output_names)
        checks.check_axes(self.shape, self._has_outputs, feature_names)
        self._data = checks.check_data(data, (len(self), *self.feature_shape))
        self._feature_names = None
        if not self.is_image:
            if feature_names is None:
                feature_names = [f"x{i}" for i in range(self.n_features)]
            self._feature_names = checks.names(feature_names, "feature_names", self.n_features)
        shape = (len(self), self.n_outputs) if self._has_outputs else (len(self),)
        self._output_names = checks.check_output_names(output_names, shape[1:])
        self._base_values = checks.check_per_output(base_values, "base_values", shape)
        self._gaps = checks.check_per_output(gaps, "gaps", shape)
        self._spread = checks.check_spread(spread, self.shape)
        sample_names = np.arange(len(self)) if sample_names is None else sample_names
        self._sample_names = checks.names(sample_names, "sample_names", len(self))
        self._method = method
        default = "contribution" if method is None else f"contribution ({method})"
        self._value_label = default if value_label is None else value_label
        self._signed = bool(signed)
        self._target = checks.check_target(target, shape)

    values = property(lambda self: self._values, doc="The attributions.")
    data = property(lambda self: self._data, doc="The explained samples, or None.")
    feature_names = property(lambda self: self._feature_names, doc="Names; None for images.")
    output_names = property(lambda self: self._output_names, doc="Labels, or the single one.")
    base_values = property(lambda self: self._base_values, doc="What attributions are added to.")
    gaps = property(lambda self: self._gaps, doc="Base values and attributions less outputs.")
    spread = property(lambda self: self._spread, doc="Standard deviation of the values, or None.")
    sample_names = property(lambda self: self._sample_names, doc="Names of the samples.")
    method = property(lambda self: self._method, doc="Short name of the method.")
    value_label = property(lambda self: self._value_label, doc="What the values measure.")
    signed = property(lambda self: self._signed, doc="Whether signs mean for or against.")
    target = property(lambda self: self._target, doc="What was asked for.")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the values."""
        return self._values.shape

    @property
    def ndim(self) -> int:
        """Number of axes of the values."""
        return self._values.ndim

    @property
    def has_outputs(self) -> bool:
        """Whether the last axis of the values holds the outputs."""
        return self._has_outputs

    @property
    def n_outputs(self) -> int:
        """Number of outputs; 1 if there is no output axis."""
        return self.shape[-1] if self._has_outputs else 1

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of one sample: ``(n_features,)``, or the axes of an image."""
        return self.shape[1:-1] if self._has_outputs else self.shape[1:]

    @property
    def n_features(self) -> int:
        """Number of features; of an image: of its pixels times channels."""
        return int(np.prod(self.feature_shape))

    @property
    def is_image(self) -> bool:
        """Whether a sample has axes of its own, not one of named features."""
        return len(self.feature_shape) > 1

    @property
    def plot(self) -> ExplanationPlots:
        """Plots: bar, forest, beeswarm, heatmap, waterfall and image, such as ``.bar()``."""
        return ExplanationPlots(self)

    def __len__(self) -> int:
        return len(self._values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is None:
            return np.asarray(self._values, dtype=dtype)
        return np.array(self._values, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        method = "" if self.method is None else f"{self.method}: "
        return f"Explanation({method}{self._sizes()})"

    def _sizes(self):
        features = "x".join(map(str, self.feature_shape))
        text = f"{_count(len(self), 'sample')} x "
        text += f"{features} pixels" if self.is_image else _count(self.n_features, "feature")
        if self._has_outputs:
            labels = self.output_names.tolist()
            listed = ", ".join(map(repr, labels[:3])) + (", ..." if len(labels) > 3 else "")
            return f"{text} x {_count(len(labels), 'output')} [{listed}]"
        return text if self.output_names is None else f"{text}, output {self.output_names!r}"

    def _repr_html_(self):
        head = html.escape(repr(self))
        if self.is_image or not len(self):
            return f"<p>{head}</p>"
        return f"<p>{head}</p>{self.top(10).to_html(index=False, float_format='%.4g')}"

    def __getitem__(self, key: Any) -> Explanation:
        names = None if self.is_image else self.feature_names
        axes = [(len(self), self.sample_names, "sample")]
        axes += [(size, names, "feature") for size in self.feature_shape]
        keys = axis_keys(key, self.ndim)
        if self._has_outputs:
            axes.append((self.n_outputs, self.output_names, "output"))
        chosen = [positions(one, *axis) for one, axis in zip(keys, axes, strict=True)]
        selected = self._select(chosen)
        if self._has_outputs and isinstance(keys[-1], Integral | str):
            return selected._without_axis()
        return selected

    def _select(self, chosen):
        """Return the explanation at the chosen positions along each axis."""
        n_axes = 1 + len(self.feature_shape)
        samples, outputs = chosen[0], chosen[n_axes:]
        own_target = isinstance(self.target, np.ndarray)
        return self._replace(
            values=_take(self.values, chosen),
            data=_take(self.data, chosen[:n_axes]),
            feature_names=None if self.is_image else self.feature_names[chosen[1]],
            output_names=self.output_names[outputs[0]] if outputs else self.output_names,
            base_values=_take(self.base_values, [samples, *outputs]),
            gaps=_take(self.gaps, [samples, *outputs]),
            spread=_take(self.spread, chosen),
            sample_names=self.sample_names[samples],
            target=self.target[samples] if own_target else self.target,
        )

    def _without_axis(self):
        """Return the explanation of the only output, without the output axis."""
        (label,) = self.output_names.tolist()
        return self._replace(
            values=self.values[..., 0],
            output_names=label,
            base_values=_take(self.base_values, [slice(None), 0]),
            gaps=_take(self.gaps, [slice(None), 0]),
            spread=None if self.spread is None else self.spread[..., 0],
            target=label,
        )

    def _replace(self, **changes):
        fields = {name: getattr(self, name) for name in _FIELDS} | changes
        return Explanation(fields.pop("values"), **fields)

    def output(self, label: Any) -> Explanation:
        """Return the explanation of one output, chosen by its label.

        Parameters
        ----------
        label : scalar
            One of `output_names`: a string, or a number that is compared with the labels and not
            taken as a position.

        Returns
        -------
        Explanation
            Without output axis.

        Raises
        ------
        ValueError
            If no output has this label.

        Examples
        --------
        >>> from sknninterp.explainers.explanation import Explanation
        >>> exp = Explanation([[[0.1, 0.2]]], output_names=[1, 2])
        >>> exp.output(1).values, exp[..., 1].values
        (array([[0.1]]), array([[0.2]]))
        """
        if not self._has_outputs:
            if self.output_names is not None and self.output_names == label:
                return self
            raise ValueError(
                f"There is no output {label!r} to choose: the values have no output axis and are "
                f"about {'one output' if self.output_names is None else repr(self.output_names)}."
            )
        labels = self.output_names.tolist()
        if label not in labels:
            raise unknown_name(label, labels, "output")
        return self[..., labels.index(label)]

    def importances(self, output: Any = None) -> pd.Series:
        """Return the importance of every feature: mean magnitude, summing to 1.

        Parameters
        ----------
        output : label, default=None
            The output whose values count; None sums over all outputs.

        Returns
        -------
        Series of shape (n_features,)
            By feature name, in the order of the features. For images an ndarray of the shape of
            one image. All zero if all values are zero.

        Raises
        ------
        ValueError
            If no output has this label, or if there is no sample.

        See Also
        --------
        aggregate_importances : The computation, shared with the explainers.
        """
        chosen = self if output is None else self.output(output)
        result = aggregate_importances(chosen.values, chosen.has_outputs)
        if self.is_image:
            return result
        index = pd.Index(self.feature_names, tupleize_cols=False)
        return pd.Series(result, index=index, name="importance")

    def importance_spread(self, output: Any = None) -> pd.Series:
        """Return how much the importance of every feature differs between networks, at most.

        The mean of `spread` over the samples, summed over the outputs, in the unit of
        `importances`. A mean magnitude moves by no more than the mean magnitude of what is added to
        the values, so this bounds the standard deviation of importances that share one
        normalisation, for any samples that were chosen.

        Parameters
        ----------
        output : label, default=None
            The output whose values count; None sums over all outputs.

        Returns
        -------
        Series of shape (n_features,)
            As `importances`.

        Raises
        ------
        ValueError
            If the explanation is no mean over several networks, if no output has this label, or if
            there is no sample.

        Examples
        --------
        >>> from sknninterp.explainers.explanation import Explanation
        >>> exp = Explanation([[1.0, -3.0]], spread=[[0.5, 1.0]], feature_names=["age", "sex"])
        >>> exp.importance_spread()
        age    0.125
        sex    0.250
        Name: spread, dtype: float64
        """
        if self.spread is None:
            raise ValueError("There is no spread: the values are not means over several networks.")
        chosen = self if output is None else self.output(output)
        of_values, of_spread = (
            aggregate_importances(array, chosen.has_outputs, normalize=False)
            for array in (chosen.values, chosen.spread)
        )
        result = of_spread / (of_values.sum() or 1.0)
        if self.is_image:
            return result
        return pd.Series(result, index=chosen.importances().index, name="spread")

    def top(self, k: int = 10, output: Any = None) -> pd.DataFrame:
        """Return the `k` most important features, the first one on top.

        Parameters
        ----------
        k : int, default=10
            Number of features; all of them if there are fewer.
        output : label, default=None
            The output whose values count; None sums magnitudes over all outputs.

        Returns
        -------
        DataFrame
            With the columns ``rank`` (from 1), ``feature`` (of images: the position as a tuple),
            ``importance``, and ``mean_value``, the signed mean over the samples. For a single
            sample this column is ``value``, and ``data`` follows. Several outputs have one such
            column each, as in ``mean_value[yes]``. Ties keep the order of the features.

        Raises
        ------
        ValueError
            If `k` is not a positive integer, if no output has this label, or if there is no
            sample.

        Examples
        --------
        >>> from sknninterp.explainers.explanation import Explanation
        >>> exp = Explanation([[1.0, -3.0]], data=[[54, 7.5]], feature_names=["age", "glucose"])
        >>> exp.top(1)
           rank  feature  importance  value  data
        0     1  glucose        0.75   -3.0   7.5
        """
        return export.top_frame(self if output is None else self.output(output), k)

    def to_frame(self, wide: bool = False, output: Any = None) -> pd.DataFrame:
        """Return the values as a DataFrame.

        Parameters
        ----------
        wide : bool, default=False
            False: tidy, one row for each sample, output and feature, in this order, with the
            columns ``sample``, ``output`` (if outputs have names), ``feature``, ``value``, and
            ``data`` and ``spread`` (if there are such). True: one row for each sample, which is
            the index, and one column for each feature; this takes a single output.
        output : label, default=None
            The output to return; None returns all.

        Returns
        -------
        DataFrame
            The values.

        Raises
        ------
        ValueError
            If no output has this label, or if `wide` is asked for with several outputs.

        Examples
        --------
        >>> from sknninterp.explainers.explanation import Explanation
        >>> exp = Explanation([[1.0, 2.0]], feature_names=["age", "sex"], output_names="yes")
        >>> exp.to_frame()
           sample output feature  value
        0       0    yes     age    1.0
        1       0    yes     sex    2.0
        """
        chosen = self if output is None else self.output(output)
        return export.wide_frame(chosen) if wide else export.long_frame(chosen)

    def to_shap(self) -> Any:
        """Return a copy as a `shap.Explanation`, so that shap's plots can draw it.

        Most of shap's plots take one output: choose it first, as in
        ``shap.plots.beeswarm(exp.output("yes").to_shap())``. Their axes say "SHAP value" whatever
        the method is. Without base values the copy has zeros, from which bars then start.

        Returns
        -------
        shap.Explanation
            With values, base values, data and names.

        Raises
        ------
        ImportError
            If shap is not installed.
        """
        return export.to_shap(self)

    def save(self, path: str | PathLike) -> None:
        """Write the explanation to one `.npz` file, without pickle.

        Parameters
        ----------
        path : str or path-like
            The file, taken as it is: no suffix is added.

        Raises
        ------
        ValueError
            If `data` or a name is of a type that cannot be stored.

        See Also
        --------
        load : Read it back.
        """
        io.write(path, {name: getattr(self, name) for name in _FIELDS})

    @classmethod
    def load(cls, path: str | PathLike) -> Explanation:
        """Read an explanation that `save` wrote.

        Parameters
        ----------
        path : str or path-like
            The file.

        Returns
        -------
        Explanation
            Equal to the saved one, types included.

        Raises
        ------
        ValueError
            If the file is damaged or is something else.
        """
        fields = io.read(path)
        try:
            return cls(fields["values"], **{name: fields[name] for name in _FIELDS[1:]})
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{str(path)!r} holds no valid explanation: {error}") from error


_FIELDS = (
    "values",
    "data",
    "feature_names",
    "output_names",
    "base_values",
    "gaps",
    "spread",
    "sample_names",
    "method",
    "value_label",
    "signed",
    "target",
)


def _take(array, chosen):
    """Select along each axis on its own; of None, None."""
    if array is None:
        return None
    for axis, one in enumerate(chosen):
        array = array[(slice(None),) * axis + (one,)]
    return array


def _count(number, noun):
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
