"""
What speaks for a digit?
========================

Personalized weight products on MNIST: the network's view of a class as a whole, and of two images
of it.
"""

# %%
# A network with three quarters of its neurons removed, on 10,000 images.
import matplotlib.pyplot as plt
import numpy as np

from sknninterp import ANTClassifier, PWPExplainer
from sknninterp.datasets import load_mnist
from sknninterp.plotting import image

X, y = load_mnist(subset="train", return_X_y=True)
X_test, y_test = load_mnist(subset="test", return_X_y=True)
network = ANTClassifier(
    (256, 256),
    pruning_rate=0.75,
    optimizer="adamw",
    weight_decay=1.0,
    max_epochs=10,
    dtype="float32",
    random_state=0,
).fit(X[:10_000], y[:10_000])
print(f"test accuracy {network.score(X_test, y_test):.3f}, layers {network.layer_sizes_}")

# %%
# Signed contributions to the class "3": the mean over its test images, then two of them. Red pixels
# speak for the class, blue ones against it.
label = y_test[y_test == 3][0]
threes = X_test[y_test == label]
explainer = PWPExplainer(network, signed=True).fit(X_test[:1000])
explanation = explainer.explain(threes, target=label)
values = np.concatenate([explanation.values.mean(0, keepdims=True), explanation.values[:2]])
images = np.concatenate([threes.mean(0, keepdims=True), threes[:2]])
image(
    values.reshape(-1, 28, 28),
    images.reshape(-1, 28, 28),
    sample_names=["all threes", "one three", "another"],
)

plt.show()
