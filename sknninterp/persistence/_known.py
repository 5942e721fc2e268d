"""The closed list: all classes and functions that a file may name."""

from __future__ import annotations

import torch

from sknninterp.callbacks import ActivationEntropy, NeuronTuning
from sknninterp.estimators.activation_aux import ActivationAuxClassifier
from sknninterp.estimators.ant import ANTClassifier, ANTRegressor
from sknninterp.estimators.ant_cv import ANTClassifierCV, ANTRegressorCV
from sknninterp.estimators.mlp import TorchMLPClassifier, TorchMLPRegressor
from sknninterp.estimators.mlp_cv import TorchMLPClassifierCV, TorchMLPRegressorCV
from sknninterp.estimators.pretrained import RBMPretrainedMLP, RBMPretrainedMLPRegressor
from sknninterp.estimators.rbm import RBM
from sknninterp.evaluation import peers
from sknninterp.evaluation.knockoff_selector import KnockoffSelector
from sknninterp.evaluation.repeated import RepeatedExplainer
from sknninterp.evaluation.stability_selector import StabilitySelector
from sknninterp.explainers._outputs import Outputs
from sknninterp.explainers.gradient import GradientXInputExplainer, IntegratedGradientsExplainer
from sknninterp.explainers.influence import InfluentialScores
from sknninterp.explainers.weight_product import GarsonExplainer, OldenExplainer, PWPExplainer
from sknninterp.nn import criteria, embeddings, units
from sknninterp.nn.cnn import FixedKernelCNN
from sknninterp.nn.rbm_training import Epoch
from sknninterp.nn.schedule import Schedule
from sknninterp.nn.tuning import KLCriterion, Removal, RisingPowerLaw
from sknninterp.persistence import _estimators, _modules, _skops
from sknninterp.persistence._writing import Kind, Known

ESTIMATORS = (
    ANTClassifier,
    ANTClassifierCV,
    ANTRegressor,
    ANTRegressorCV,
    ActivationAuxClassifier,
    GarsonExplainer,
    GradientXInputExplainer,
    InfluentialScores,
    IntegratedGradientsExplainer,
    KnockoffSelector,
    OldenExplainer,
    PWPExplainer,
    RBM,
    RBMPretrainedMLP,
    RBMPretrainedMLPRegressor,
    RepeatedExplainer,
    StabilitySelector,
    TorchMLPClassifier,
    TorchMLPClassifierCV,
    TorchMLPRegressor,
    TorchMLPRegressorCV,
    peers.DeepLiftExplainer,
    peers.DeepShapExplainer,
    peers.GradientShapExplainer,
    peers.LRPExplainer,
    peers.PermutationExplainer,
)
_EMBEDDINGS = (
    embeddings.PeriodicEmbedding,
    embeddings.PiecewiseLinearEmbedding,
    embeddings.SplineEmbedding,
)
_OPTIMIZERS = {
    name: cls
    for name, cls in vars(torch.optim).items()
    if isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer)
}
_UNIT = Kind(
    holds=lambda value: isinstance(value, units.Unit),
    write=lambda writer, unit, path: {"unit": unit.name},
    read=lambda reader, entry: units.UNITS[entry["unit"]],
)

KNOWN = Known(
    kinds={
        "estimator": _estimators.of_classes({cls.__name__: cls for cls in ESTIMATORS}),
        "module": _modules.KIND,
        "callback": _estimators.CALLBACK,
        "trainer": _estimators.TRAINER,
        "random_state": _estimators.RANDOM,
        "distribution": _estimators.DISTRIBUTION,
        "unit": _UNIT,
        "scikit-learn": _skops.KIND,
    },
    records={
        cls.__name__: cls
        for cls in (Epoch, KLCriterion, Outputs, Removal, RisingPowerLaw, Schedule)
    },
    names={
        **{cls.__name__: cls for cls in (ActivationEntropy, FixedKernelCNN, NeuronTuning)},
        **{f"{cls.__name__}.fit": cls.fit for cls in _EMBEDDINGS},
        **{f"embedding {name}": make for name, make in embeddings.EMBEDDINGS.items()},
        **{f"criterion {name}": rate for name, rate in criteria.CRITERIA.items()},
        **{f"torch.optim.{name}": cls for name, cls in _OPTIMIZERS.items()},
    },
)
