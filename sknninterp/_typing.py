"""Words that the type hints of several modules share.

They say no more than a reader wants to know; what a parameter takes is in its description. A label,
an estimator or an explainer may be any object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

# Samples in rows: also a DataFrame, of pandas or polars, and a sparse matrix.
MatrixLike: TypeAlias = ArrayLike | sparse.sparray | sparse.spmatrix
# Of columns, samples or outputs.
Names: TypeAlias = Sequence | np.ndarray
# What scikit-learn takes as `random_state`.
Seed: TypeAlias = int | np.random.RandomState | None
# Outputs to explain: None, "predicted", a label or several.
Target: TypeAlias = ArrayLike | None
