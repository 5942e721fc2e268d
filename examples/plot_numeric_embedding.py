"""
Effects that are no lines
=========================

A network learns slowly that both low and high values of a feature are bad, and explanations by
input times something say nothing where the input is 0. With ``numeric_embedding`` each feature
enters as several numbers of its own, such as splines: bent effects are there from the first layer
on. Explanations stay in the features, so that a feature's contributions, drawn over its values,
show the shape of its effect.
"""

# %%
# Friedman's function: 10 sin(pi x0 x1) + 20 (x2 - 1/2)^2 + 10 x3 + 5 x4, five of noise.
import matplotlib.pyplot as plt
from sklearn.datasets import make_friedman1
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknninterp import GradientXInputExplainer, PWPExplainer, TorchMLPRegressor

X, y = make_friedman1(n_samples=1000, noise=1, random_state=0)
y = (y - y.mean()) / y.std()
X, X_test, y, y_test = train_test_split(X, y, random_state=0)
networks = {
    name: make_pipeline(
        StandardScaler(),
        TorchMLPRegressor((64,), numeric_embedding=name, max_epochs=30, random_state=0),
    ).fit(X, y)
    for name in (None, "spline", "piecewise", "periodic")
}
for name, network in networks.items():
    ranking = PWPExplainer(network).fit(X).feature_importances_.argsort()[::-1]
    print(f"{name or 'plain':<10} R2 {network.score(X_test, y_test):.2f}, first {ranking[:5]}")

# %%
# The effect of the third feature, a parabola. The plain network knows it less well, and its
# contribution is 0 at the feature's mean, whatever the effect is there; that of the splines is the
# effect itself, less its mean over the cohort.
fig, axes = plt.subplots(1, 2, figsize=(8, 3), sharey=True, layout="constrained")
for ax, name in zip(axes, (None, "spline"), strict=True):
    contributions = GradientXInputExplainer(networks[name]).fit(X).transform(X)
    ax.scatter(X[:, 2], contributions[:, 2], s=6, alpha=0.5)
    ax.set(title=name or "plain", xlabel="x2")
axes[0].set_ylabel("contribution")

plt.show()
