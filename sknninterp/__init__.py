"""Neural networks for tables and small images: smaller, better trained and interpretable."""

from sknninterp.callbacks import ActivationEntropy, NeuronTuning
from sknninterp.estimators.activation_aux import ActivationAuxClassifier
from sknninterp.estimators.activation_entropy import activation_entropy
from sknninterp.estimators.ant import ANTClassifier, ANTRegressor
from sknninterp.estimators.ant_cv import ANTClassifierCV, ANTRegressorCV
from sknninterp.estimators.mlp import TorchMLPClassifier, TorchMLPRegressor
from sknninterp.estimators.mlp_cv import TorchMLPClassifierCV, TorchMLPRegressorCV
from sknninterp.estimators.pretrained import RBMPretrainedMLP, RBMPretrainedMLPRegressor
from sknninterp.estimators.rbm import RBM
from sknninterp.estimators.tables import table_preprocessor
from sknninterp.evaluation.knockoff_selector import KnockoffSelector
from sknninterp.evaluation.repeated import RepeatedExplainer
from sknninterp.evaluation.stability_selector import StabilitySelector
from sknninterp.explainers.explanation import Explanation
from sknninterp.explainers.gradient import GradientXInputExplainer, IntegratedGradientsExplainer
from sknninterp.explainers.influence import InfluentialScores
from sknninterp.explainers.weight_product import GarsonExplainer, OldenExplainer, PWPExplainer
from sknninterp.persistence import PersistenceError, load, save, to_onnx
from sknninterp.reporting import report

__version__ = "0.1.0"

__all__ = [
    "ANTClassifier",
    "ANTClassifierCV",
    "ANTRegressor",
    "ANTRegressorCV",
    "ActivationAuxClassifier",
    "ActivationEntropy",
    "Explanation",
    "GarsonExplainer",
    "GradientXInputExplainer",
    "InfluentialScores",
    "IntegratedGradientsExplainer",
    "KnockoffSelector",
    "NeuronTuning",
    "OldenExplainer",
    "PWPExplainer",
    "PersistenceError",
    "RBM",
    "RBMPretrainedMLP",
    "RBMPretrainedMLPRegressor",
    "RepeatedExplainer",
    "StabilitySelector",
    "TorchMLPClassifier",
    "TorchMLPClassifierCV",
    "TorchMLPRegressor",
    "TorchMLPRegressorCV",
    "activation_entropy",
    "load",
    "report",
    "save",
    "table_preprocessor",
    "to_onnx",
]
