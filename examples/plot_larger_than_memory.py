"""
More rows than fit into memory
==============================

A network learns from one part of a table after another, and explanations are computed part by part
and forgotten. Here 69,973 hospital encounters of diabetic patients, read from disk ten thousand at
a time; with Dask in the end, whose workers may be other machines.
"""

# %%
# The data on disk: numbers, and whether each medication was given. The last 14,000 encounters are
# kept for testing.
import tempfile
from pathlib import Path

import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from sknninterp import GradientXInputExplainer, TorchMLPClassifier
from sknninterp.datasets import load_diabetes_readmission
from sknninterp.distributed import by_partition

X, y = load_diabetes_readmission(return_X_y=True)
numbers = X.select_dtypes("number")
medications = X.columns[X.isin(["Steady"]).any()]
table = pd.concat([numbers, (X[medications] != "No").astype(float)], axis=1).fillna(0)
order = np.random.default_rng(0).permutation(len(table))  # parts must be alike
table, y = table.iloc[order], np.asarray(y)[order]

folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "encounters.npy"
np.save(path, table.to_numpy("float32"))
on_disk = np.load(path, mmap_mode="r")
n_train, part = 56_000, 10_000

# %%
# ``partial_fit`` takes a part and forgets it; six times through all parts is six epochs.
scaler = StandardScaler()
for start in range(0, n_train, part):
    scaler.partial_fit(on_disk[start : min(start + part, n_train)])

network = TorchMLPClassifier((32,), lr=2e-3, random_state=0)
test, aucs = scaler.transform(on_disk[n_train:]), []
for _ in range(6):
    for start in range(0, n_train, part):
        rows = slice(start, min(start + part, n_train))
        network.partial_fit(scaler.transform(on_disk[rows]), y[rows], classes=[0, 1])
    aucs.append(roc_auc_score(y[n_train:], network.predict_proba(test)[:, 1]))

# %%
# ``explain_batches`` gives one explanation at a time. What is needed is summed up on the way: here
# the mean magnitude of each column's contribution to the risk of readmission.
explainer = GradientXInputExplainer(network).fit(test)
total = np.zeros(table.shape[1])
for explanation in explainer.explain_batches(test, target=1, batch_size=2_000):
    total += np.abs(explanation.values).sum(0)
importances = pd.Series(total / len(test), index=table.columns)

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.plot(range(1, 7), aucs, marker="o")
left.set(xlabel="times through all parts", ylabel="ROC AUC, encounters not seen")
importances.nlargest(8)[::-1].plot.barh(ax=right)
right.set(xlabel="mean |gradient x input|")
plt.show()

# %%
# With Dask nothing is computed before it is asked for, and each partition stays where it lies:
# ``pip install 'sknninterp[distributed]'``.
lazy = da.from_array(on_disk[n_train:], chunks=(part, -1)).map_blocks(scaler.transform, dtype=float)
risks = by_partition(network, lazy, "predict_proba")[:, 1]
again = abs(by_partition(explainer, lazy, "transform")).mean(0)
print(f"Mean risk: {risks.mean().compute():.3f}; readmitted: {y[n_train:].mean():.3f}")
first = importances.index[int(again.argmax().compute())]
print(f"First in both: {first!r} and {importances.idxmax()!r}")
folder.cleanup()
