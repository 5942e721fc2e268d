"""
A network of your own
=====================

The methods work on any torch module that they can read: here a small residual CNN, trained by
skorch with the tuning callback, and explained as it is.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from skorch import NeuralNetClassifier
from torch import nn

from sknninterp import NeuronTuning, PWPExplainer


class ResidualNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.conv = nn.Conv2d(16, 16, 3, padding=1)
        self.pool = nn.AvgPool2d(2)
        self.output = nn.Linear(16 * 4 * 4, 10)

    def forward(self, x):
        x = torch.relu(self.norm(self.stem(x)))
        x = torch.relu(x + self.conv(x))
        return self.output(self.pool(x).flatten(1))


X, y = load_digits(return_X_y=True)
images = (X / 16).reshape(-1, 1, 8, 8).astype(np.float32)
torch.manual_seed(0)
net = NeuralNetClassifier(
    ResidualNet,
    criterion=nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=0.01,
    max_epochs=15,
    callbacks=[NeuronTuning(pruning_rate=0.5)],
    verbose=0,
).fit(images, y)
print(net.module_)

# %%
# The channels that the residual connection ties went together. The explanation keeps the image's
# axes.
explainer = PWPExplainer(net, signed=True).fit(images)
explainer.explain(images[:3], target=[0, 1, 2]).plot.image()

plt.show()
