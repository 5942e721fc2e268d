"""Pictures of importances, attributions and training: plain arrays and frames in, matplotlib out.

Every function draws into the Axes it is given, or else into a new figure of its own, and returns
what it drew into. A new figure is pyplot's current one, as with scikit-learn's displays: notebooks
show it, and elsewhere ``plt.show()`` does. None of the functions shows a window or changes
rcParams. ``ax.figure.savefig(path)`` writes a figure, and ``plt.close(ax.figure)`` frees it, which
matters where a program draws many.
"""

from __future__ import annotations

from sknninterp.plotting._activations import activation_map, entropy_history, neuron_overlap
from sknninterp.plotting._agreement import rank_agreement
from sknninterp.plotting._attribution import beeswarm, waterfall
from sknninterp.plotting._enrichment import enrichment_dots
from sknninterp.plotting._evaluation import (
    perturbation_curves,
    rank_intervals,
    selection_paths,
)
from sknninterp.plotting._heatmap import heatmap
from sknninterp.plotting._history import training_history, tuning_history
from sknninterp.plotting._image import image
from sknninterp.plotting._importance import bar, ranking
from sknninterp.plotting._machines import filters, reconstruction_error, reconstructions
from sknninterp.plotting._scores import filter_scores, rank_distribution, score_spectrum

__all__ = [
    "activation_map",
    "bar",
    "beeswarm",
    "enrichment_dots",
    "entropy_history",
    "filter_scores",
    "filters",
    "heatmap",
    "image",
    "neuron_overlap",
    "perturbation_curves",
    "rank_agreement",
    "rank_distribution",
    "rank_intervals",
    "ranking",
    "reconstruction_error",
    "reconstructions",
    "score_spectrum",
    "selection_paths",
    "training_history",
    "tuning_history",
    "waterfall",
]
