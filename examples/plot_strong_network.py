"""
A ranking of clinical features to defend
========================================

``TorchMLPClassifierCV`` is the strong configuration made easy: it takes the table as it comes,
tries each column as it is and in bins, with penalties by which columns that say little leave the
network, and trains ten networks of what predicts best. Their explanations are averaged and say how
much the networks differ.
"""

# %%
# Cleveland's heart disease: 303 patients, categories and a few missing values.
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.model_selection import train_test_split

from sknninterp import GradientXInputExplainer, TorchMLPClassifierCV
from sknninterp.datasets import load_heart_disease

bunch = load_heart_disease()
X, y = bunch.data, bunch.target
X[bunch.categorical_features] = X[bunch.categorical_features].astype(object)
X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)

search = TorchMLPClassifierCV(scoring="roc_auc", random_state=0).fit(X, y)
tried = [params.values() for params in search.cv_results_["params"]]
results = pd.DataFrame(
    {
        "embedding": [embedding or "none" for embedding, _ in tried],
        "penalty": [penalty for _, penalty in tried],
        "AUC": search.cv_results_["mean_test_score"],
        "sd over folds": search.cv_results_["std_test_score"],
    }
)
print(results.round(3).to_string(index=False))
print(
    f"chosen: {search.best_numeric_embedding_ or 'none'}, penalty {search.best_input_penalty_},"
    f" test AUC {search.score(X_test, y_test):.2f}"
)

# %%
# The cohort: shares of the mean contribution to the log-odds of disease, and by how much the ten
# networks differ in them at most.
explainer = GradientXInputExplainer(search).fit(X)
explanation = explainer.explain(X_test)
explanation.plot.forest(max_display=13, title="303 patients, heart disease")

# %%
# One patient of the test part, the one with the highest risk: bars are means of the ten networks,
# whiskers standard deviations between them.
risk = search.predict_proba(X_test)[:, 1]
explanation.plot.waterfall(int(risk.argmax()), max_display=8)

plt.show()
