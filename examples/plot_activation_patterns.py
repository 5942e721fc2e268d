"""
What do the hidden neurons know?
================================

How often each hidden neuron fires for each class is evidence that a prediction leaves out, and how
its activations spread changes as a network learns. Here on handwritten digits, with the comparisons
that tell whether this says anything new.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from skorch.callbacks import Callback

from sknninterp import ActivationAuxClassifier, ActivationEntropy, TorchMLPClassifier
from sknninterp.plotting import activation_map, entropy_history, neuron_overlap

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(
    (X / 8 - 1).astype(np.float32), y, test_size=600, stratify=y, random_state=0
)


class Accuracy(Callback):
    """Training and test accuracy after every epoch."""

    def __init__(self, **parts):
        self.parts = parts

    def on_epoch_end(self, net, **kwargs):
        for name, (X, y) in self.parts.items():
            with torch.no_grad():
                found = net.module_(torch.from_numpy(X)).argmax(1).numpy()
            net.history.record(f"{name}_accuracy", float((found == y).mean()))


# %%
# `ActivationEntropy` writes the entropy of the hidden neurons' activations, in bits, into the
# history after every epoch. It has been reported to fall as accuracy rises; on these small images
# it rises.
settings = {
    "hidden_layer_sizes": (128, 128),
    "max_epochs": 20,
    "batch_size": 64,
    "random_state": 0,
}


def trained(labels):
    accuracy = Accuracy(train=(X, labels), test=(X_test, y_test))
    return TorchMLPClassifier(callbacks=[ActivationEntropy(), accuracy], **settings).fit(X, labels)


network = trained(y)
entropy_history(network.history_, title="Entropy and accuracy")

# %%
# Both move with time, so they would be correlated whatever the one says of the other. A network
# that learns shuffled labels by heart is the comparison: its entropy goes with training accuracy as
# closely, while test accuracy stays where guessing is.
shuffled = trained(np.random.default_rng(0).permutation(y))
entropy_history(shuffled.history_, title="Entropy and accuracy, shuffled labels")

# %%
# `ActivationAuxClassifier` multiplies the evidence of the neurons into the prediction, and lets a
# small network decide whom to trust. Its control sees the prediction alone. All scores are of
# samples that no network was trained on.
classifier = ActivationAuxClassifier(TorchMLPClassifier(**settings), cv=3, random_state=0)
classifier.fit(X, y)
for which in ("base", "control", "aux"):
    print(f"out of fold, {which}: {getattr(classifier, f'{which}_score_'):.3f}")

# %%
# The number of test images that each gets right, of 600, and of the same with noise (pixels are
# from -1 to 1). What the neurons add is what the auxiliary network has over its control. A few
# images are chance: here they add nothing to speak of.
rng = np.random.default_rng(0)
right = {}
for sd in (0, 0.2, 0.4):
    images = X_test + sd * rng.standard_normal(X_test.shape, dtype=np.float32)
    predicted = classifier.estimator_.predict_proba(images)
    ways = {
        "base": predicted,
        "proposed": classifier.predict_proposed(images),
        "control": classifier.control_.predict_proba(predicted),
        "auxiliary": classifier.predict_proba(images),
    }
    right[f"noise {sd}"] = {name: (p.argmax(1) == y_test).sum() for name, p in ways.items()}
print(pd.DataFrame(right).T)

# %%
# What the neurons do show is how the network tells the classes apart. Few fire for a single digit,
# most for many.
activation_map(
    classifier.activation_probabilities_,
    classifier.classes_,
    classifier.layers_,
    n=64,
    title="The most selective neurons",
)

# %%
# The neurons that stand for a digit, firing for it more than for the others, stand for others too:
# some pairs of digits share far more of them than by chance.
neuron_overlap(
    classifier.activation_probabilities_,
    classifier.classes_,
    k=20,
    title="Neurons that digits share",
)

# %%
# Those of a single digit by name.
neurons = classifier.explain_neurons(8, k=10)
print(neurons[["layer", "neuron", "probability", "others", "selectivity"]])
_, ax = plt.subplots(figsize=(5, 4), layout="constrained")
names = [f"{layer}, {j}" for layer, j in zip(neurons["layer"], neurons["neuron"], strict=True)]
for column, label in {"probability": "the eights", "others": "the other digits"}.items():
    ax.plot(neurons[column], names, "o", label=label)
ax.hlines(names, neurons["others"], neurons["probability"], color="0.7", zorder=0)
ax.invert_yaxis()
ax.set(xlabel="probability to fire", title="Neurons that stand for the eight", xlim=(0, 1.03))
ax.legend(loc="lower left")

plt.show()
