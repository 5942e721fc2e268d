"""
Predictors of readmission, and which of them may be reported
============================================================

Hospital encounters of diabetic patients, of whom some come back within 30 days: what does a network
that was made small in training use to tell them apart, and which columns can be called predictors
with a known share of false ones among them?
"""

# %%
# One encounter of each of 12,000 patients: diagnoses, admission, laboratory, medications.
# Categories and gaps are filled and encoded by ``table_preprocessor``; explanations stay in the
# columns. Many codes are rare, so that columns which say little are pushed out by
# ``input_penalty``.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from sknninterp import (
    ANTClassifier,
    GradientXInputExplainer,
    KnockoffSelector,
    PWPExplainer,
    TorchMLPClassifier,
    table_preprocessor,
)
from sknninterp.datasets import load_diabetes_readmission

X, y = load_diabetes_readmission(return_X_y=True)
rows = np.random.default_rng(0).permutation(len(y))[:12_000]
X, X_test, y, y_test = train_test_split(X.iloc[rows], np.asarray(y)[rows], random_state=0)

options = {
    "optimizer": "adamw",
    "weight_decay": 1.0,
    "lr": 3e-3,
    "max_epochs": 12,
    "dtype": "float32",
    "random_state": 0,
}
network = ANTClassifier((64, 32), pruning_rate=0.75, input_penalty=0.5, n_networks=5, **options)
pipe = make_pipeline(table_preprocessor(), network).fit(X, y)
auc = roc_auc_score(y_test, pipe.predict_proba(X_test)[:, 1])
print(f"test AUC {auc:.3f}")

# %%
# The cohort. Five networks, trained at once, tell how much of the ranking is chance of training.
explainer = GradientXInputExplainer(pipe).fit(X)
explanation = explainer.explain(X_test, target=1)
explanation.plot.forest(max_display=12, title="Readmission within 30 days")

# %%
# Products of weights rank by what the networks are made of, and not by what they do at a patient.
rankings = pd.DataFrame(
    {
        "gradient x input": explainer.feature_importances_,
        "PWP": PWPExplainer(pipe).fit(X).feature_importances_,
    },
    index=X.columns,
)
print(rankings.rank(ascending=False).sort_values("gradient x input").head(12).astype(int))

# %%
# Which of them may be reported? Each column gets a knockoff that relates to the others as it does,
# but knows nothing of the outcome. "copula" makes them of counts and of flags too. At ``fdr=0.2`` a
# fifth of what is selected is expected to be false, at most.
numbers = X.select_dtypes("number").fillna(0)
medications = X.columns[X.isin(["Steady"]).any()]
table = pd.concat([numbers, (X[medications] != "No").astype(float)], axis=1)
table = table.loc[:, table.std() > 0.1]
scaled = (table - table.mean()) / table.std()
explainer = GradientXInputExplainer(TorchMLPClassifier((32,), **options))
selector = KnockoffSelector(explainer, fdr=0.2, method="copula", random_state=0).fit(scaled, y)

statistics = pd.Series(selector.statistics_[0], index=table.columns).sort_values()
fig, ax = plt.subplots(figsize=(6, 5), layout="constrained")
chosen = statistics.index.isin(selector.selected_features_)
ax.barh(statistics.index, statistics, color=np.where(chosen, "C0", "0.75"))
ax.axvline(selector.threshold_, color="0.3", linestyle="--", linewidth=1)
ax.set(
    xlabel="importance less that of the knockoff", title="Selected at a false discovery rate of 0.2"
)
ax.tick_params(axis="y", labelsize=7)
print(f"{len(selector.selected_features_)} of {table.shape[1]} selected:")
print(*selector.selected_features_, sep=", ")

plt.show()
