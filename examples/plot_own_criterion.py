"""
Your own pruning criterion
==========================

Neuron tuning removes the neurons that a criterion scores highest. Here one of a few lines: neurons
go whose values hardly differ between samples, beside criteria that the package has.
"""

# %%
import matplotlib.pyplot as plt
import pandas as pd
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sknninterp import ANTClassifier
from sknninterp.nn.criteria import TuningData


def least_variable(data: TuningData) -> list[torch.Tensor]:
    """Neurons first whose values differ least between samples: they tell samples apart least."""
    nodes = [layer.post for layer in data.layers]
    values = [[] for _ in nodes]
    for batch in data.values(nodes):
        for of_layer, value in zip(values, batch.values, strict=True):
            of_layer.append(value)
    return [-torch.cat(of_layer).std(0) for of_layer in values]


X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split((X / 16).astype("float32"), y, random_state=0)
rates = [0.0, 0.5, 0.75, 0.9]
accuracy = {
    name: [
        ANTClassifier(
            (64,), criterion=criterion, pruning_rate=rate, max_epochs=20, lr=5e-3, random_state=0
        )
        .fit(X, y)
        .score(X_test, y_test)
        for rate in rates
    ]
    for name, criterion in {
        "least variable (ours)": least_variable,
        "KL divergence": "kl",
        "magnitude": "magnitude",
        "random": "random",
    }.items()
}
table = pd.DataFrame(accuracy, index=pd.Index(rates, name="share removed"))
print(table.round(3))

# %%
ax = table.plot(marker="o", ylabel="test accuracy", figsize=(6, 3.5))
ax.figure.tight_layout()

plt.show()
