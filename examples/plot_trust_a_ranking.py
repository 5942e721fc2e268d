"""
Which features may I report?
============================

A ranking is worth something if it is right, if it comes out the same next time, and if one knows
how many of the features at its top are there by chance. Here is how to find out.
"""

# %%
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknninterp import (
    GarsonExplainer,
    GradientXInputExplainer,
    InfluentialScores,
    KnockoffSelector,
    OldenExplainer,
    PWPExplainer,
    RepeatedExplainer,
    StabilitySelector,
    TorchMLPClassifier,
)
from sknninterp.datasets import make_relevant_features
from sknninterp.evaluation import perturbation_curves, sanity_checks
from sknninterp.plotting import perturbation_curves as plot_curves
from sknninterp.plotting import rank_agreement, rank_intervals, selection_paths

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)
network = TorchMLPClassifier(
    (32, 16), optimizer="adamw", weight_decay=1.0, max_epochs=30, lr=3e-3, dtype="float32"
)
pipe = make_pipeline(StandardScaler(), network)
seeded = make_pipeline(StandardScaler(), network.set_params(random_state=0)).fit(X, y)
print(f"test accuracy {seeded.score(X_test, y_test):.3f}")

# %%
# Does it come out the same next time? Ten networks, each on a bootstrap sample of the patients
# and from other first weights. The features here are highly correlated, so that one can stand in
# for another: few ranks are certain. Only a feature whose whole interval lies within the first ten
# may be called one of the ten.
repeated = RepeatedExplainer(
    PWPExplainer(pipe), n_repeats=10, resampling="bootstrap", random_state=0
).fit(X, y)
rank_intervals(repeated.ranking_, k=10, title="Ranks in ten bootstrap samples")
print(repeated.stability_(10))

# %%
# How often each is among the first one, two, three and so on.
selection_paths(
    repeated.selection_frequency_(list(range(1, 16))).T,
    threshold=0.9,
    title="How often among the first k",
)

# %%
# Would another method say the same?
explainers = [
    PWPExplainer,
    GarsonExplainer,
    OldenExplainer,
    InfluentialScores,
    GradientXInputExplainer,
]
fitted = {explainer.method: explainer(seeded).fit(X) for explainer in explainers}
importances = pd.DataFrame(
    {name: explainer.feature_importances_ for name, explainer in fitted.items()}, index=X.columns
).T
rank_agreement(importances, title="Agreement of five methods on one network")

# %%
# Is it right about this network? Where the features that are said to matter are replaced by their
# means one after another, the predicted probability must fall sooner than in a random order.
curves = {
    name: perturbation_curves(seeded, X_test, explainer.explain(X_test, "predicted"))
    for name, explainer in fitted.items()
    if name in ("PWP", "Garson", "Gradient x input")
}
frames = pd.concat({name: found.to_frame() for name, found in curves.items()}, names=["method"])
plot_curves(frames.reset_index("method"), value_label="probability", title="Deletion")
print(pd.DataFrame({name: found.summary().loc["difference"] for name, found in curves.items()}).T)

# %%
# An explanation that says the same of a network with random weights does not explain this one.
checks = sanity_checks(fitted["PWP"], X, y, n_repeats=2, random_state=0)
print(checks[["passed", "value", "limit"]])

# %%
# Which features may be reported, at which error rate? Where the truth is known one can look: 10 of
# 60 features matter here. Knockoffs are columns that resemble the others but have nothing to do
# with the target: what ranks no higher than they do is chance. Of the features that are selected at
# `fdr=0.2`, a fifth is expected to be false, at most.
X_made, y_made, relevant = make_relevant_features(1500, 60, n_relevant=10, random_state=0)
network = TorchMLPClassifier((32, 16), weight_decay=0.03, max_epochs=30, lr=3e-3, dtype="float32")
selector = KnockoffSelector(PWPExplainer(network), fdr=0.2, random_state=0).fit(X_made, y_made)
selected = selector.get_support(indices=True)
n_false = len(set(selected) - set(relevant))
print(f"knockoffs: {len(selected)} selected, {n_false} of them false, of 10 relevant ones")

# %%
# Stability selection asks which features are among the first in half of the samples after another,
# and bounds the number of false ones.
stable = StabilitySelector(PWPExplainer(network), pfer=1, n_subsamples=20, random_state=0)
stable.fit(X_made, y_made)
found = stable.get_support(indices=True)
print(f"stability selection: {len(found)} selected, {len(set(found) - set(relevant))} false")

plt.show()
