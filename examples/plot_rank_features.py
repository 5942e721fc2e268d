"""
Which features does the network use?
====================================

For the cohort, for a subgroup and for one patient: personalized weight products of a tuned network
on the breast-cancer data, in the columns of the table.
"""

# %%
# A network that removes half of its neurons while it trains, at the end of an ordinary pipeline.
import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknninterp import ANTClassifier, PWPExplainer

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
y = y.map({0: "malignant", 1: "benign"})
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
network = ANTClassifier(
    (64, 32), optimizer="adamw", weight_decay=3.0, max_epochs=60, random_state=0
)
pipeline = make_pipeline(StandardScaler(), network).fit(X_train, y_train)
print(f"test accuracy {pipeline.score(X_test, y_test):.3f}, layers {network.layer_sizes_}")

# %%
# The cohort's ranking. `feature_importances_` is the mean magnitude of the contributions, summed
# over the classes.
explainer = PWPExplainer(pipeline).fit(X_test)
explanation = explainer.explain(X_test)
explanation.plot.bar(title="Cohort")

# %%
# Every dot is a patient: contributions to "malignant".
explainer.explain(X_test, target="malignant").plot.beeswarm()

# %%
# A subgroup is a subset of the rows; nothing is fitted again.
large = X_test[X_test["mean area"] > 800]
print(explainer.explain(large, target="malignant").top(5))

# %%
# One patient, for the class predicted.
patient = explainer.explain(X_test.iloc[:1], target="predicted")
patient.plot.waterfall(title=f"predicted {patient.target[0]}")

# %%
# Many patients at once, ordered by similarity.
explainer.explain(X_test, target="malignant").plot.heatmap()

plt.show()
