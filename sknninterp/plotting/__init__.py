"""Pictures of importances, attributions and training: plain arrays and frames in, matplotlib out.

Every function draws into the Axes it is given, or else into a new `matplotlib.figure.Figure` of
its own, and returns what it drew into. None of them goes through pyplot, shows a window or changes
rcParams, so that they work without a display and leave the caller's figures alone. In a notebook,
end a cell with ``ax.figure`` to see the picture; ``ax.figure.savefig(path)`` writes it.
"""

from __future__ import annotations

from sknninterp.plotting._attribution import beeswarm, waterfall
from sknninterp.plotting._heatmap import heatmap
from sknninterp.plotting._history import training_history, tuning_history
from sknninterp.plotting._image import image
from sknninterp.plotting._importance import bar, ranking

__all__ = [
    "bar",
    "beeswarm",
    "heatmap",
    "image",
    "ranking",
    "training_history",
    "tuning_history",
    "waterfall",
]
