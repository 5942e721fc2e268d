"""The proximal step against its definition, feature by feature."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sknninterp.nn.embeddings import PiecewiseLinearEmbedding
from sknninterp.nn.input_penalty import InputPenalty
from sknninterp.nn.mlp import MLP


def naive_step(weights, features, threshold):
    """Of each feature, all weights in the columns that belong to it."""
    shrunk = weights.clone()
    for feature in set(features):
        columns = [i for i, of in enumerate(features) if of == feature]
        group = [weights[h, i].item() for h in range(len(weights)) for i in columns]
        norm = sum(value**2 for value in group) ** 0.5
        scale = max(0.0, 1 - threshold * len(group) ** 0.5 / norm) if norm else 0.0
        for i in columns:
            shrunk[:, i] *= scale
    return shrunk


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.4, 2.0])
def test_features(threshold):
    torch.manual_seed(0)
    network = MLP(6, 2, (5, 3)).double()
    network.hidden0.weight.data[:, 2] = 0
    weights = network.hidden0.weight.data.clone()
    others = [p.clone() for p in network.parameters()][1:]
    penalty = InputPenalty(10 * threshold, network, (6,))
    penalty(network, lr=0.1)
    expected = naive_step(weights, range(6), threshold)
    torch.testing.assert_close(network.hidden0.weight.data, expected)
    for before, after in zip(others, [*network.parameters()][1:], strict=True):
        assert torch.equal(before, after)
    torch.testing.assert_close(penalty.norms(network), expected.square().sum(0).sqrt())
    if threshold == 2:
        assert not expected.any()


def test_features_with_an_embedding():
    torch.manual_seed(0)
    embedding = PiecewiseLinearEmbedding.fit(torch.randn(50, 3).double(), n_bins=4)
    network = MLP(3, 2, (5,), embedding=embedding).double()
    weights = network.hidden0.weight.data.clone()
    penalty = InputPenalty(0.2, network, (3,))
    penalty(network, lr=1.0)
    expected = naive_step(weights, embedding.origins.tolist(), 0.2)
    torch.testing.assert_close(network.hidden0.weight.data, expected)
    assert penalty.norms(network).shape == (3,)


class Skipping(nn.Module):
    def __init__(self):
        super().__init__()
        self.flat, self.drop = nn.Flatten(), nn.Dropout(0.1)
        self.deep, self.skip, self.out = nn.Linear(4, 3), nn.Linear(4, 2), nn.Linear(3, 2)

    def forward(self, x):
        x = self.drop(self.flat(x))
        return self.out(torch.relu(self.deep(x))) + self.skip(x)


def test_a_feature_that_several_layers_read_leaves_all_of_them():
    torch.manual_seed(0)
    network = Skipping()
    both = torch.cat([network.deep.weight.data, network.skip.weight.data]).clone()
    InputPenalty(0.3, network, (4,))(network, lr=1.0)
    expected = naive_step(both, range(4), 0.3)
    torch.testing.assert_close(network.deep.weight.data, expected[:3])
    torch.testing.assert_close(network.skip.weight.data, expected[3:])


@pytest.mark.parametrize(
    ("network", "shape", "what"),
    [
        (nn.Sequential(nn.Conv1d(1, 2, 2), nn.Flatten(), nn.Linear(6, 2)), (1, 4), "Conv"),
        (nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2)), (4,), "BatchNorm"),
        (nn.Sequential(nn.ReLU(), nn.Linear(4, 2)), (4,), "Activation"),
    ],
)
def test_features_must_be_read_one_by_one(network, shape, what):
    with pytest.raises(ValueError, match=f"only linear layers.*{what}"):
        InputPenalty(0.1, network, shape)
