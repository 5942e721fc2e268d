"""
Groups of patients by what speaks for their diagnosis
=====================================================

An explainer is a transformer: clustering its output groups patients by their explanations instead
of their values.
"""

# %%
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknninterp import ANTClassifier, PWPExplainer
from sknninterp.plotting import bar

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
network = make_pipeline(
    StandardScaler(),
    ANTClassifier((64, 32), optimizer="adamw", weight_decay=3.0, max_epochs=60, random_state=0),
)
explainer = PWPExplainer(network, signed=True, target=0).set_output(transform="pandas")
groups = make_pipeline(explainer, KMeans(3, n_init=10, random_state=0))
group = groups.fit(X, y)[-1].labels_

# %%
# What the groups are, and what sets each apart: the mean contribution to "malignant".
print(pd.crosstab(group, y.map({0: "malignant", 1: "benign"})))
contributions = groups[0].transform(X)
means = contributions.groupby(group).mean()
leading = means.abs().max().nlargest(8).index
print(means[leading].T.round(2))

# %%
bar(means.abs().T[[0, 1, 2]].add_prefix("group "), max_display=8)

plt.show()
