"""
How much of this comes from that
================================

Influential scores say how much of any node of a network comes from any node before it: pixels to
classes, filters to classes, pixels to one hidden neuron. Here on handwritten digits, with a CNN
whose first filters are known image kernels.
"""

# %%
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sknninterp import GradientXInputExplainer, InfluentialScores, TorchMLPClassifier, plotting
from sknninterp.nn.cnn import FixedKernelCNN, image_kernels

X, y = load_digits(return_X_y=True)
images = (X / 16).reshape(-1, 1, 8, 8).astype(np.float32)
X, X_test, y, y_test = train_test_split(images, y, stratify=y, random_state=0)
network = TorchMLPClassifier(
    module=partial(FixedKernelCNN, image_shape=(8, 8)), max_epochs=12, random_state=0
).fit(X, y)
print(f"test accuracy {network.score(X_test, y_test):.3f}")

# %%
# Red pixels speak for a class, blue ones against it. Each panel has its own scale.
explainer = InfluentialScores(network).fit(X_test)
some = X_test[[np.flatnonzero(y_test == digit)[0] for digit in (0, 3, 7)]]
explainer.explain(some).plot.image(scale="panel", title="influential scores")

# %%
# A comparison belongs beside it: gradient times input needs no more than one way back either.
GradientXInputExplainer(network).fit(X_test).explain(some).plot.image(
    scale="panel", title="gradient x input"
)

# %%
# The same from the first layer's filters: which kernels carry a digit? Each digit's own images,
# towards that digit.
filters = explainer.filter_scores(X_test, "conv1")  # samples x filters x classes
own = np.stack([filters[y_test == digit, :, digit].mean(0) for digit in range(10)], axis=1)
kernels = image_kernels()
plotting.filter_scores(
    own, np.stack(list(kernels.values())), filter_names=list(kernels), output_names=list(range(10))
)

# %%
# Few neurons carry most of the score: those of each layer, in falling order of their mean score.
layers = explainer.layers_[1:-1]
print(layers)
spectra = {layer: explainer.filter_scores(X_test, layer).mean(0) for layer in layers}
plotting.score_spectrum(spectra, output_names=list(range(10)))

# %%
# Any layer to any layer: the strongest neuron of the hidden layer, and where in these images its
# value comes from.
neuron = int(explainer.neuron_importances_["hidden"].argmax())
scores = explainer.influence(some, "input", ("hidden", neuron))
plotting.image(scores, some, value_label=f"share of hidden neuron {neuron}")

plt.show()
