"""Neural networks for tables and small images: smaller, better trained and interpretable."""

from sknninterp.estimators.ant import ANTClassifier, ANTRegressor
from sknninterp.estimators.mlp import TorchMLPClassifier, TorchMLPRegressor

__version__ = "0.1.0"

__all__ = [
    "ANTClassifier",
    "ANTRegressor",
    "TorchMLPClassifier",
    "TorchMLPRegressor",
]
