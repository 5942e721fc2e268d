"""
How small may the network be?
=============================

The pruning rate is a parameter like any other: a grid search chooses it, and the tuning history
shows when which layer gave up its neurons.
"""

# %%
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknninterp import ANTClassifier
from sknninterp.plotting import training_history, tuning_history

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
pipeline = make_pipeline(StandardScaler(), ANTClassifier((64, 32), max_epochs=30, random_state=0))
rates = [0, 0.25, 0.5, 0.75, 0.9]
search = GridSearchCV(
    pipeline, {"antclassifier__pruning_rate": rates}, cv=5, scoring="roc_auc"
).fit(X, y)
results = pd.DataFrame(search.cv_results_)
print(results[["param_antclassifier__pruning_rate", "mean_test_score", "std_test_score"]])

# %%
# What was removed when, and how far the removed neurons were from their target distribution.
network = ANTClassifier((64, 32), pruning_rate=0.75, max_epochs=30, random_state=0)
network.fit(StandardScaler().fit_transform(X), y)
print(f"left: {network.layer_sizes_}")
tuning_history(network.tuning_history_, {"hidden0": 64, "hidden1": 32}, n_epochs=network.n_iter_)

# %%
training_history(network.history_, metrics=["train_loss", "n_neurons"])

plt.show()
