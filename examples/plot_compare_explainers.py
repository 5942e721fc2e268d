"""
Beside SHAP and Captum
======================

Do the explainers here and their peers agree on one network, and which of them changes its
predictions most when its first features are taken away? SHAP and Captum are optional:
``pip install 'sknninterp[compare]'``.
"""

# %%
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknninterp import (
    GarsonExplainer,
    GradientXInputExplainer,
    IntegratedGradientsExplainer,
    PWPExplainer,
    TorchMLPClassifier,
)
from sknninterp.evaluation import (
    DeepShapExplainer,
    LRPExplainer,
    PermutationExplainer,
    compare_explainers,
)
from sknninterp.plotting import rank_agreement

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=40, stratify=y, random_state=0)
network = TorchMLPClassifier((32, 16), max_epochs=40, random_state=0)
pipeline = make_pipeline(StandardScaler(), network).fit(X, y)

# %%
# One row an explainer: how the prediction falls (deletion) and comes back (insertion) when features
# are taken away and given back in its order, less a random order; and seconds.
explainers = {
    "PWP": PWPExplainer(),
    "gradient x input": GradientXInputExplainer(),
    "integrated gradients": IntegratedGradientsExplainer(baseline="mean"),
    "Garson": GarsonExplainer(),
    "LRP (Captum)": LRPExplainer(),
    "Deep SHAP (shap)": DeepShapExplainer(),
    "permutation (scikit-learn)": PermutationExplainer(),
}
compared = compare_explainers(
    explainers, X_test, y_test, estimator=pipeline, n_explained=40, random_state=0
)
print(compared[["deletion", "insertion", "fit_time"]].round(3).to_string())

# %%
# Do they agree with each other? Rank correlations of their importances.
rankings = {
    name: clone(explainer).set_params(estimator=pipeline).fit(X_test, y_test).feature_importances_
    for name, explainer in explainers.items()
}
rank_agreement(pd.DataFrame(rankings, index=X.columns).T)

plt.show()
