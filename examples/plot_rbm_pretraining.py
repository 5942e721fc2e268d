"""
Many samples, few labels
========================

Restricted Boltzmann machines learn what samples look like before any label is seen. A network
whose layers start as such machines needs fewer labels. Here on handwritten digits, of which only
some have a label.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sknninterp import (
    RBM,
    InfluentialScores,
    PWPExplainer,
    RBMPretrainedMLP,
    TorchMLPClassifier,
    plotting,
)

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(
    (X / 16).astype(np.float32), y, test_size=500, stratify=y, random_state=0
)

# %%
# One machine is a transformer, like scikit-learn's `BernoulliRBM`. Its filters are spots and edges,
# and from its 100 hidden units an image can be drawn again, about as well with either rule.
common = {"n_components": 100, "n_iter": 30, "batch_size": 32, "random_state": 0}
machines = {
    "contrastive divergence": RBM(rule="cd", **common).fit(X),
    "reconstruction rule": RBM(rule="reconstruction", **common).fit(X),
}
plotting.filters(
    machines["reconstruction rule"].components_, (8, 8), n=40, order="norm", title="Filters"
)
drawn = {name: rbm.inverse_transform(rbm.transform(X_test)) for name, rbm in machines.items()}
plotting.reconstructions(X_test, drawn, (8, 8), n=8)

# %%
# A network of two hidden layers, both pretrained on all the images, then trained on 100 labels. The
# error of each layer tells how pretraining went.
settings = {
    "hidden_layer_sizes": (100, 100),
    "activation": "sigmoid",
    "max_epochs": 100,
    "batch_size": 32,
    "random_state": 0,
}
few, rest = train_test_split(np.arange(len(X)), train_size=100, stratify=y, random_state=0)
networks = {
    rule: RBMPretrainedMLP(
        pretraining=rule, pretraining_epochs=20, hybrid_epochs=(10, 10), **settings
    )
    for rule in ("cd", "reconstruction", "hybrid")
}
for network in networks.values():
    network.fit(X[few], y[few], X_unlabeled=X[rest])
plotting.reconstruction_error(
    {rule: network.pretraining_history_ for rule, network in networks.items()}, log=True
)

# %%
# How much that helps depends on the number of labels. A fair look has three curves: part of the
# gain is only that a machine's first weights suit sigmoid networks better than the usual ones.
n_labels = [25, 100, 400]
rivals = {
    "pretrained": RBMPretrainedMLP(pretraining_epochs=20, **settings),
    "first weights of the machines only": RBMPretrainedMLP(pretraining_epochs=0, **settings),
    "not pretrained": TorchMLPClassifier(**settings),
}
accuracy = {name: [] for name in rivals}
for n in n_labels:
    few, rest = train_test_split(np.arange(len(X)), train_size=n, stratify=y, random_state=1)
    for name, network in rivals.items():
        more = {} if name == "not pretrained" else {"X_unlabeled": X[rest]}
        accuracy[name].append(network.fit(X[few], y[few], **more).score(X_test, y_test))

_, ax = plt.subplots(layout="constrained")
for name, found in accuracy.items():
    ax.plot(n_labels, found, marker="o", label=name)
ax.set(xscale="log", xlabel="images with a label", ylabel="test accuracy")
ax.set_xticks(n_labels, n_labels)
ax.minorticks_off()
ax.legend()

# %%
# The pretrained network is explained like any other.
network = networks["reconstruction"]
some = X_test[[np.flatnonzero(y_test == digit)[0] for digit in (0, 3, 7)]]
for explainer in (PWPExplainer(network), InfluentialScores(network)):
    scores = explainer.fit(X_test).explain(some, target="predicted")
    plotting.image(
        scores.values.reshape(-1, 8, 8),
        some.reshape(-1, 8, 8),
        value_label=scores.value_label,
        title=type(explainer).__name__,
    )

# %%
# SHAP takes it too (`pip install 'sknninterp[compare]'`).
try:
    import shap
    import torch
except ImportError:
    print("shap is not installed")
else:
    background = torch.from_numpy(X[:100])
    gradients = shap.GradientExplainer(network.module_.eval(), background)
    values = gradients.shap_values(torch.from_numpy(some), nsamples=200, rseed=0)
    classes = network.predict(some)
    own = np.stack([value[:, c] for value, c in zip(values, classes, strict=True)])
    plotting.image(
        own.reshape(-1, 8, 8),
        some.reshape(-1, 8, 8),
        value_label="SHAP value (expected gradients)",
        title="SHAP",
    )

plt.show()
