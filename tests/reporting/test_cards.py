from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from sknninterp import PWPExplainer
from sknninterp.reporting._cards import data_card, gaps, kinds, layers, model_card


def test_model_card(binary, single):
    card = dict(model_card(binary, "9.9"))
    assert card["Kind"] == "StandardScaler → ANTClassifier, 3 networks averaged"
    assert card["Layers"].startswith("Linear 5 → ")
    n_weights = sum(one.numel() for one in binary.network.module.parameters())
    assert card["Weights"] == f"{n_weights:,} numbers, each network"
    assert "n_networks=3" in card["Settings"] and "max_epochs=15" in card["Settings"]
    assert "random_state" not in card["Settings"] and card["Seed"] == "0"
    assert card["Explained by"] == "PWPExplainer(signed=True)"
    assert card["Versions"].startswith("sknninterp 9.9, Python 3.")
    assert dict(model_card(single, "9.9"))["Kind"] == "StandardScaler → ANTClassifier"


def test_model_card_of_a_bare_module(single):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    X = single.X.to_numpy()
    study = replace(single, estimator=module, explainer=PWPExplainer(module).fit(X), X=X, y=None)
    card = dict(model_card(study, "1"))
    assert card["Kind"] == "Sequential" and card["Seed"] == "not known"
    assert card["Layers"] == "Linear 5 → 3, ReLU, Linear 3 → 2"


def test_long_networks_are_cut():
    module = torch.nn.Sequential(*[torch.nn.ReLU() for _ in range(30)])
    assert layers(module).endswith("ReLU, … 19 more")
    assert layers(torch.nn.Conv2d(1, 8, 3)) == "Conv2d 1 → 8"


def test_data_card(single, regression):
    card = dict(data_card(single))
    assert card["Rows"] == "80 for training, 40 to score and explain"
    assert card["Columns"] == "5 (all numbers)" and card["Missing values"] == "none"
    n_ill = int((single.y == "ill").sum())
    assert card["Predicted"].startswith(f"outcome: ill {n_ill} ({n_ill / 40:.1%}), well")
    assert "Constant columns" not in card
    assert dict(data_card(replace(single, X_train=None)))["Rows"] == "40"
    assert dict(data_card(replace(single, y=None)))["Predicted"].endswith(
        "not given for these rows"
    )
    assert f"mean {regression.y.mean():.4g}" in dict(data_card(regression))["Predicted"]


def test_gaps():
    X = pd.DataFrame({"a": [1, np.nan], "b": [2, 2], "c": ["x", "x"], "d": ["x", None]})
    assert gaps(X) == (0.25, 3)  # of a, one value is left
    assert gaps(X.to_numpy()) == (0.25, 0)
    assert gaps(np.array([[1, 2.0], [1, np.nan]])) == (0.25, 1)
    assert gaps(sparse.eye(2)) == (0.0, 0)


def test_kinds_of_columns(single):
    assert kinds(single.X) == " (all numbers)"
    assert kinds(single.X.assign(site="left")) == " (5 numbers, 1 categories)"
    assert kinds(single.X.to_numpy()) == ""
