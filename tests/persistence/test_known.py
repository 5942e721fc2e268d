"""The closed list holds what is public, and nothing that reaches outside."""

import inspect

import torch

import sknninterp
from sknninterp import evaluation
from sknninterp.persistence._known import ESTIMATORS, KNOWN
from sknninterp.persistence._modules import CLASSES


def test_every_public_estimator_is_known():
    public = [getattr(sknninterp, name) for name in sknninterp.__all__]
    public += [getattr(evaluation, name) for name in evaluation.__all__]
    kinds = [c for c in public if inspect.isclass(c) and hasattr(c, "fit")]
    assert set(kinds) == set(ESTIMATORS)


def test_names_belong_to_this_package_and_torch_alone():
    for name, known in KNOWN.names.items():
        assert callable(known), name
        module = getattr(known, "__module__", None) or known.__self__.__module__
        assert module.startswith(("sknninterp.", "torch.optim")), name
    for cls in (*ESTIMATORS, *KNOWN.records.values()):
        assert cls.__module__.startswith("sknninterp."), cls


def test_layers_compute_nothing_from_names_or_files():
    for name, cls in CLASSES.items():
        assert issubclass(cls, torch.nn.Module), name
        assert cls.__module__.startswith(("sknninterp.nn.", "torch.nn.modules.")), name
