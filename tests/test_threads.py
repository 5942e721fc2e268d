"""Threads and processes that fit and explain at once get what each would get alone."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
from sklearn.datasets import make_classification

from sknninterp import (
    RBM,
    ActivationAuxClassifier,
    ANTClassifier,
    ANTClassifierCV,
    GradientXInputExplainer,
    InfluentialScores,
    PWPExplainer,
    RBMPretrainedMLP,
    RepeatedExplainer,
    TorchMLPClassifier,
)

QUICK = {"hidden_layer_sizes": (12,), "max_epochs": 6, "lr": 0.02, "random_state": 0}
X, Y = make_classification(120, 6, random_state=0)
X = (X - X.min(0)) / np.ptp(X, 0)


def fitted(make, seed):
    return make().set_params(random_state=seed).fit(X, Y)


FITS = {
    "network": lambda seed: fitted(
        lambda: TorchMLPClassifier(dropout=0.3, early_stopping=True, **QUICK), seed
    ).predict_proba(X),
    "several networks": lambda seed: fitted(
        lambda: TorchMLPClassifier(n_networks=3, **QUICK), seed
    ).predict_proba(X),
    "tuned": lambda seed: fitted(
        lambda: ANTClassifier(batch_norm=True, **QUICK), seed
    ).predict_proba(X),
    "search": lambda seed: fitted(
        lambda: ANTClassifierCV(ANTClassifier(**QUICK), pruning_rates=[0, 0.5], cv=2), seed
    ).cv_results_["mean_test_score"],
    "machine": lambda seed: fitted(lambda: RBM(8, n_iter=3), seed).components_,
    "pretrained": lambda seed: fitted(
        lambda: RBMPretrainedMLP(**{**QUICK, "max_epochs": 2}), seed
    ).predict_proba(X),
    "auxiliary": lambda seed: fitted(
        lambda: ActivationAuxClassifier(
            TorchMLPClassifier(**QUICK), cv=2, aux_hidden=[4], aux_epochs=4
        ),
        seed,
    ).predict_proba(X),
    "repeats": lambda seed: (
        fitted(
            lambda: RepeatedExplainer(PWPExplainer(TorchMLPClassifier(**QUICK)), n_repeats=3), seed
        ).all_importances_
    ),
}


@pytest.mark.parametrize("name", FITS)
def test_fits(name):
    fit = FITS[name]
    expected = [fit(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(fit, [*range(4), *range(4)]))
    for i, values in enumerate(found):
        np.testing.assert_allclose(values, expected[i % 4], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("explainer", [PWPExplainer, GradientXInputExplainer, InfluentialScores])
def test_explanations_of_one_network_while_others_are_fitted(explainer):
    network = TorchMLPClassifier(dropout=0.3, batch_norm=True, **QUICK).fit(X, Y)

    def explain(_):
        return explainer(network).fit(X).explain(X, target=1).values

    expected, weights = explain(0), FITS["network"](1)
    with ThreadPoolExecutor(4) as pool:
        fits = [pool.submit(FITS["network"], 1) for _ in range(4)]
        found = list(pool.map(explain, range(12)))
        for fit in fits:
            np.testing.assert_allclose(fit.result(), weights, rtol=1e-6)
    for values in found:
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-7)


IN_A_PROCESS = """
import json
from sklearn.datasets import load_wine
from sklearn.preprocessing import scale
from sknninterp import ANTClassifier, PWPExplainer
X, y = load_wine(return_X_y=True)
X = scale(X)
network = ANTClassifier((12,), max_epochs=6, lr=0.02, n_networks=2, random_state=0).fit(X, y)
importances = PWPExplainer(network).fit(X).feature_importances_
print(json.dumps([network.predict_proba(X).tolist(), importances.tolist()]))
"""


def test_two_processes():
    run = [sys.executable, "-c", IN_A_PROCESS]
    both = [subprocess.Popen(run, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    found = [json.loads(process.communicate(timeout=200)[0]) for process in both]
    with redirect_stdout(StringIO()) as printed:
        exec(IN_A_PROCESS, {})
    alone = json.loads(printed.getvalue())
    for of_one in found:
        for values, expected in zip(of_one, alone, strict=True):
            np.testing.assert_allclose(values, expected, rtol=1e-6)
