"""The networks of :mod:`benchmarks.papers.influence`, and what is kept of their scores."""

from __future__ import annotations

import base64
from functools import partial

import numpy as np
from skorch.callbacks import LRScheduler

from sknninterp import (
    GradientXInputExplainer,
    InfluentialScores,
    IntegratedGradientsExplainer,
    TorchMLPClassifier,
)
from sknninterp.datasets import load_mnist, make_interaction_benchmark
from sknninterp.nn.cnn import FixedKernelCNN, image_kernels

N_RELEVANT = {"two-features": 2, "plus-one": 2, "orange-skin": 4}
TARGETS = ("class 0", "class 1", "predicted")
SCORES, GRADIENT = "influence", "gradient x input"
# Whose scores towards every class are drawn.
DIGITS = (4, 7)


# --- synthetic sets -----------------------------------------------------------------------------


def make_set(job, labels, n_samples, seed):
    """X in float32 as the network takes it, and y; the relevant features are the first."""
    low = job["low"]
    X, y, relevant = make_interaction_benchmark(
        job["set"], n_samples, low=low, high=low + 1, labels=labels, random_state=seed
    )
    assert list(relevant) == list(range(N_RELEVANT[job["set"]]))
    return X.astype(np.float32), y


class SoftTargetClassifier(TorchMLPClassifier):
    """Trained on the probabilities of the classes, of shape (n_samples, 2), in place of labels."""

    def _encode_target(self, y, reset, classes=None):
        self.classes_ = np.arange(y.shape[1])
        return y  # torch's cross-entropy takes probabilities


def fit_network(job, settings):
    """The network, the data that it was trained on, and fresh samples with their probabilities."""
    X, y = make_set(job, job["labels"], settings["n_train"], job["seed"])
    classifier = SoftTargetClassifier if job["labels"] == "soft" else TorchMLPClassifier
    epochs = settings["epochs"][job["labels"]]
    network = classifier(
        settings["hidden"],
        batch_size=settings["batch_size"],
        lr=settings["lr"],
        max_epochs=epochs,
        callbacks=[("schedule", LRScheduler("CosineAnnealingLR", T_max=epochs))],
        dtype="float32",
        device="cpu",
        random_state=job["seed"],
    )
    fresh = make_set(job, "soft", settings["n_explained"], 10_000 + job["seed"])
    return network.fit(X, y), X, fresh


def synthetic(job, settings):
    """Train one network and rank what every explainer says about it."""
    network, X, (fresh, truth) = fit_network(job, settings)
    proba = network.predict_proba(fresh)
    predicted = proba.argmax(1)
    fit = {
        "agreement": (predicted == truth.argmax(1)).mean(),
        "probability_error": np.abs(proba - truth)[:, 1].mean(),
        "predicted_1": predicted.mean(),
    }
    result = {"fit": {name: round(float(value), 5) for name, value in fit.items()}, "methods": {}}
    for method, explainer in explainers(network, X, settings["n_steps"]).items():
        # Only the importances, not used here, would come of more samples.
        values = explainer.fit(fresh[:100]).explain(fresh).values
        per_target = (values[..., 0], values[..., 1], values[np.arange(len(fresh)), :, predicted])
        result["methods"][method] = {
            target: recovery(scores, N_RELEVANT[job["set"]])
            for target, scores in zip(TARGETS, per_target, strict=True)
        }
        if job["labels"] == "soft" and job["seed"] == 0 and method in (SCORES, GRADIENT):
            result.setdefault("ranks", {})[method] = rank_histogram(values[..., 0])
    return result


def explainers(network, X_train, n_steps):
    integrated = partial(IntegratedGradientsExplainer, network, n_steps=n_steps)
    return {
        SCORES: InfluentialScores(network),
        "influence, centred": InfluentialScores(network, center_logits=True),
        GRADIENT: GradientXInputExplainer(network),
        "integrated, from 0": integrated(),
        "integrated, from mean": integrated(baseline=X_train.mean(0)),
    }


def ranks_of(scores):
    """Rank of every feature in its sample, 1 the highest; equal scores share the lowest place.

    So a method that scores everything 0 finds nothing.
    """
    return (scores[:, :, None] <= scores[:, None, :]).sum(2)


def recovery(scores, n_relevant):
    """How the first `n_relevant` features rank, in shares.

    `exact` is of the samples where they fill the top, `outside` of the pairs of a sample and a
    relevant feature where that one is beyond it (what is left is the mean share within); with
    `_abs` for magnitudes.
    """
    found = {}
    for suffix, ranked in (("", scores), ("_abs", np.abs(scores))):
        within = ranks_of(ranked)[:, :n_relevant] <= n_relevant
        found[f"exact{suffix}"] = round(float(within.all(1).mean()), 4)
        found[f"outside{suffix}"] = round(float(1 - within.mean()), 4)
    return found


def rank_histogram(scores):
    """Share of the samples in which a feature (row) has a rank (column)."""
    ranks, n_features = ranks_of(scores), scores.shape[1]
    shares = [(ranks == rank).mean(0) for rank in range(1, n_features + 1)]
    return np.round(shares, 4).T.tolist()


def spectra(job, settings):
    """Mean scores of the hidden nodes towards each class, sorted, at up to 41 of the places."""
    network, _, (fresh, _) = fit_network(job, settings)
    fresh = fresh[:1000]
    explainer = InfluentialScores(network).fit(fresh[:100])
    found = []
    for layer in explainer.layers_[1:-1]:
        scores = explainer.influence(fresh, layer, "output").mean(0)
        ordered = -np.sort(-scores, axis=0) / np.abs(scores).max(0)
        places = np.unique(np.linspace(0, len(scores) - 1, 41).round().astype(int))
        for target, column in zip(TARGETS, ordered.T, strict=False):
            found.append(
                {
                    "layer": layer,
                    "target": target,
                    "places": (places + 1).tolist(),
                    "scores": column[places].round(4).tolist(),
                    "half": n_for_half(column),
                }
            )
    return {"lines": found}


def n_for_half(scores):
    """How many of the nodes hold half of the summed magnitude."""
    summed = np.cumsum(-np.sort(-np.abs(scores)))
    return int(np.searchsorted(summed, summed[-1] / 2) + 1)


# --- MNIST --------------------------------------------------------------------------------------


def mnist(job, settings):
    """The paper's CNN: accuracy, scores of its first filters, and of seed 0 some pictures."""
    X, y = load_mnist(subset="train", images=True, return_X_y=True)
    epochs = settings["mnist_epochs"]
    network = TorchMLPClassifier(
        module=FixedKernelCNN,
        max_epochs=epochs,
        lr=2e-3,
        batch_size=128,
        callbacks=[("schedule", LRScheduler("CosineAnnealingLR", T_max=epochs))],
        device="cpu",
        random_state=job["seed"],
    ).fit(X[: settings["mnist_images"]], y[: settings["mnist_images"]])
    X, y = load_mnist(subset="test", images=True, return_X_y=True)
    digits = [X[y == digit][: settings["mnist_explained"]] for digit in network.classes_]
    scores = InfluentialScores(network).fit(X[:20])
    filters = [
        scores.filter_scores(images, "conv1", target=digit).mean(0)
        for digit, images in zip(network.classes_, digits, strict=True)
    ]
    result = {
        "test_accuracy": round(100 * network.score(X, y), 3),
        "filters": {
            name: [float(f"{value:.4g}") for value in row]
            for name, row in zip(image_kernels(), np.transpose(filters), strict=True)
        },
    }
    if job["seed"] == 0:
        gradients = GradientXInputExplainer(network).fit(X[:20])
        firsts = np.stack([images[0] for images in digits])
        result["pictures"] = pictures(firsts, {SCORES: scores, GRADIENT: gradients})
    return result


def pictures(firsts, methods):
    """The first of each digit, its scores towards its own class, and some towards all."""
    found = []
    for digit, image in enumerate(firsts):
        found.append({"digit": digit, "method": "image", "target": digit} | pack(image))
        for method, explainer in methods.items():
            values = explainer.explain(firsts[digit : digit + 1]).values[0]
            for target in range(10) if method == SCORES and digit in DIGITS else [digit]:
                name = {"digit": digit, "method": method, "target": target}
                found.append(name | pack(values[..., target]))
    return found


def pack(image):
    """A square picture in steps of 1/127 of its largest magnitude, as text."""
    largest = float(np.abs(image).max()) or 1.0
    steps = np.round(image / largest * 127).astype(np.int8)
    return {"largest": float(f"{largest:.4g}"), "pixels": base64.b64encode(steps).decode()}
