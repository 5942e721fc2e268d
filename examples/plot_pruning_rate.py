"""
How small may the network be?
=============================

The pruning rate is a parameter like any other: a cross-validation chooses it, here the highest rate
that is not clearly worse than the best, and the tuning history shows when which layer gave up its
neurons. All networks of the search are trained at once.
"""

# %%
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknninterp import ANTClassifier, ANTClassifierCV
from sknninterp.plotting import training_history, tuning_history

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
pipeline = make_pipeline(StandardScaler(), ANTClassifier((64, 32), max_epochs=30))
rates = [0, 0.25, 0.5, 0.75, 0.9]
search = ANTClassifierCV(
    pipeline,
    pruning_rates=rates,
    n_repeats=3,
    scoring="roc_auc",
    one_standard_error=True,
    random_state=0,
).fit(X, y)
results = pd.DataFrame(search.cv_results_)
print(results[["param_antclassifier__pruning_rate", "mean_test_score", "std_test_score"]])
print(f"the highest rate within one standard error of the best: {search.best_pruning_rate_}")

# %%
# What was removed when, and how far the removed neurons were from their target distribution.
network = search.best_estimator_[-1]
print(f"left: {network.layer_sizes_}")
tuning_history(network.tuning_history_, {"hidden0": 64, "hidden1": 32}, n_epochs=network.n_iter_)

# %%
training_history(network.history_, metrics=["train_loss", "n_neurons"])

plt.show()
