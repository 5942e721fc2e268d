"""The plots of an explanation: its values and names handed to `sknninterp.plotting`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sknninterp.explainers._explanation_export import aggregate_importances

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sknninterp.explainers.explanation import Explanation


class ExplanationPlots:
    """Draws an explanation; reached as ``explanation.plot``.

    Every method draws into `ax`, or into a new figure, which is then pyplot's current one, and
    returns the Axes. Where one output is drawn and `output` is None, an explanation with two
    outputs (a binary classifier) shows the last, the positive class, and the label of the axis says
    so; more than two outputs need a choice.

    Parameters
    ----------
    explanation : Explanation
        What to draw.
    """

    def __init__(self, explanation: Explanation):
        self._explanation = explanation

    def bar(
        self,
        *,
        ax: Axes | None = None,
        max_display: int = 10,
        output: Any = None,
        title: str | None = None,
    ) -> Axes:
        """Draw the importances of the features, stacked by output if there are several.

        Whiskers are `importance_spread`, where the values are means over several networks.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw.
        max_display : int, default=10
            Number of features shown.
        output : label, default=None
            The output whose importances are drawn; None draws all of them.
        title : str, default=None
            Title of the plot.

        Returns
        -------
        matplotlib.axes.Axes
            Where it was drawn.
        """
        from sknninterp import plotting

        shown = self._all_or_one(self._table("bar"), output)
        return plotting.bar(
            _importances_by_output(shown),
            errors=None if shown.spread is None else _reach(shown),
            ax=ax,
            max_display=max_display,
            value_label=f"share of mean |{_axis_label(shown)}|",
            title=title,
        )

    def forest(
        self,
        *,
        ax: Axes | None = None,
        max_display: int = 20,
        output: Any = None,
        title: str | None = None,
    ) -> Axes:
        """Draw the importances of the features as dots, each with `importance_spread` around it.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw.
        max_display : int, default=20
            Number of features shown.
        output : label, default=None
            The output whose importances are drawn; None adds those of all.
        title : str, default=None
            Title of the plot.

        Returns
        -------
        matplotlib.axes.Axes
            Where it was drawn.

        Raises
        ------
        ValueError
            If the explanation is no mean over several networks.
        """
        from sknninterp import plotting

        shown = self._all_or_one(self._table("forest"), output)
        return plotting.ranking(
            _reach(shown).assign(importance=shown.importances()),
            ax=ax,
            max_display=max_display,
            value_label=f"share of mean |{_axis_label(shown)}|, ± spread between networks",
            title=title,
        )

    def beeswarm(
        self,
        *,
        ax: Axes | None = None,
        max_display: int = 10,
        output: Any = None,
        title: str | None = None,
    ) -> Axes:
        """Draw every sample's values, a row of points for each feature, coloured by the data.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw.
        max_display : int, default=10
            Number of features shown.
        output : label, default=None
            The output whose values are drawn.
        title : str, default=None
            Title of the plot.

        Returns
        -------
        matplotlib.axes.Axes
            Where it was drawn.
        """
        from sknninterp import plotting

        shown = self._one_output(self._table("beeswarm"), output)
        return plotting.beeswarm(
            shown.values,
            shown.data,
            shown.feature_names,
            ax=ax,
            max_display=max_display,
            value_label=_axis_label(shown),
            title=title,
        )

    def heatmap(
        self,
        *,
        ax: Axes | None = None,
        max_display: int = 10,
        output: Any = None,
        order: str | ArrayLike = "cluster",
        predictions: ArrayLike | None = None,
        title: str | None = None,
    ) -> Axes:
        """Draw the values as a matrix of features and samples.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw.
        max_display : int, default=10
            Number of features shown.
        output : label, default=None
            The output whose values are drawn.
        order : {"cluster", "given"} or array-like of int, default="cluster"
            Order of the samples: like ones side by side, as they are, or positions.
        predictions : array-like of shape (n_samples,), default=None
            Drawn as a line above the matrix.
        title : str, default=None
            Title of the plot.

        Returns
        -------
        matplotlib.axes.Axes
            Where it was drawn.
        """
        from sknninterp import plotting

        shown = self._one_output(self._table("heatmap"), output)
        return plotting.heatmap(
            shown.values,
            shown.feature_names,
            order=order,
            predictions=predictions,
            ax=ax,
            max_display=max_display,
            value_label=_axis_label(shown),
            title=title,
        )

    def waterfall(
        self,
        sample: int | str = 0,
        *,
        ax: Axes | None = None,
        max_display: int = 10,
        output: Any = None,
        title: str | None = None,
    ) -> Axes:
        """Draw the values of one sample; chained from its base value, if it has one.

        Whiskers are the standard deviations between several networks.

        Parameters
        ----------
        sample : int or str, default=0
            Position or name of the sample.
        ax : matplotlib.axes.Axes, default=None
            Where to draw.
        max_display : int, default=10
            Number of features shown one by one; the others are one bar.
        output : label, default=None
            The output whose values are drawn.
        title : str, default=None
            Title of the plot; None names the sample.

        Returns
        -------
        matplotlib.axes.Axes
            Where it was drawn.
        """
        from sknninterp import plotting

        shown = self._one_output(self._table("waterfall")[sample], output)
        if len(shown) != 1:
            raise ValueError(f"sample must be a single position or name, got {sample!r}.")
        return plotting.waterfall(
            shown.values[0],
            None if shown.data is None else shown.data[0],
            shown.feature_names,
            None if shown.base_values is None else shown.base_values[0],
            spread=None if shown.spread is None else shown.spread[0],
            ax=ax,
            max_display=max_display,
            value_label=_axis_label(shown),
            title=f"sample {shown.sample_names[0]}" if title is None else title,
        )

    def image(
        self,
        *,
        ax: Axes | None = None,
        max_display: int = 8,
        output: Any = None,
        scale: str = "figure",
        title: str | None = None,
    ) -> Figure | Axes:
        """Draw the values of images: a row for each sample, a column for each output.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw, if there is a single panel.
        max_display : int, default=8
            Number of samples shown: the first ones.
        output : label, default=None
            The output whose values are drawn; None draws a column for each.
        scale : {"figure", "panel"}, default="figure"
            One scale of colours for all panels, or one for each.
        title : str, default=None
            Title of the figure.

        Returns
        -------
        matplotlib.figure.Figure or matplotlib.axes.Axes
            The figure; `ax`, if that was given.
        """
        from sknninterp import plotting

        shown = self._explanation
        if not shown.is_image:
            raise ValueError(
                f"plot.image draws images, but the values have shape {shown.shape} (a table): "
                "use plot.bar, .beeswarm, .heatmap or .waterfall."
            )
        if output is not None:
            shown = shown.output(output)
        return plotting.image(
            shown.values,
            shown.data,
            output_names=shown.output_names,
            sample_names=shown.sample_names,
            signed=shown.signed,
            scale=scale,
            ax=ax,
            max_display=max_display,
            value_label=shown.value_label,
            title=title,
        )

    def _table(self, kind):
        """Return the explanation, which must be of a table."""
        if self._explanation.is_image:
            raise ValueError(
                f"plot.{kind} draws tables, but the values have shape "
                f"{self._explanation.shape} (images): use plot.image."
            )
        return self._explanation

    @staticmethod
    def _all_or_one(explanation, output):
        if output is not None:
            return explanation.output(output)
        if explanation.has_outputs and explanation.n_outputs == 1:
            return explanation[..., 0]
        return explanation

    @staticmethod
    def _one_output(explanation, output):
        if output is not None:
            return explanation.output(output)
        if not explanation.has_outputs:
            return explanation
        if explanation.n_outputs > 2:
            labels = ", ".join(repr(label) for label in explanation.output_names)
            raise ValueError(f"output is needed, since there are several: one of {labels}.")
        return explanation[..., -1]


def _importances_by_output(explanation):
    """Return a Series, or a frame whose columns add up to the importances over all outputs."""
    if not explanation.has_outputs:
        return explanation.importances()
    magnitudes = aggregate_importances(explanation, has_outputs=False, normalize=False)
    return pd.DataFrame(
        magnitudes / (magnitudes.sum() or 1.0),
        index=pd.Index(explanation.feature_names, tupleize_cols=False),
        columns=[str(label) for label in explanation.output_names],
    )


def _reach(explanation):
    """Return the ends of the importances' spread; a share is never below 0."""
    centre, spread = explanation.importances(), explanation.importance_spread()
    return pd.DataFrame({"low": (centre - spread).clip(lower=0), "high": centre + spread})


def _axis_label(explanation):
    """Return the label of the values, with the output they speak for, if it is one."""
    output = explanation.output_names
    if explanation.has_outputs:
        return explanation.value_label
    if output is None:
        each_its_own = isinstance(explanation.target, np.ndarray)
        towards = " towards each sample's own output" if each_its_own else ""
        return f"{explanation.value_label}{towards}"
    towards = output if isinstance(output, str) else f"output {output}"
    return f"{explanation.value_label} towards {towards}"
