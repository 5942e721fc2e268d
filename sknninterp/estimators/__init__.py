"""What you fit."""

from sknninterp.estimators.ant import ANTClassifier, ANTRegressor
from sknninterp.estimators.mlp import TorchMLPClassifier, TorchMLPRegressor

__all__ = ["ANTClassifier", "ANTRegressor", "TorchMLPClassifier", "TorchMLPRegressor"]
