"""Each criterion against a slow re-implementation from its definition."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sknninterp.nn.criteria import CRITERIA, TuningData
from sknninterp.nn.graph import read
from sknninterp.nn.mlp import MLP


def data_for(module, shape, batches, loss=F.cross_entropy, layers="all", seed=0):
    graph = read(module, shape)
    generator = torch.Generator().manual_seed(seed)
    return TuningData(graph, graph.select(layers), batches, loss, generator)


def scores(name, *args, **options):
    return [s.numpy() for s in CRITERIA[name](data_for(*args, **options))]


def labelled(n=24, shape=(4,), n_classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, *shape, generator=generator, dtype=torch.float64)
    return x, torch.arange(n) % n_classes


def in_batches(x, y, weight=None, sizes=(10, 1, 13)):
    parts = [x.split(sizes), y.split(sizes)]
    weights = [None] * len(sizes) if weight is None else weight.split(sizes)
    return list(zip(*parts, weights, strict=True))


# --- magnitude ----------------------------------------------------------------------------------


def test_magnitude_of_an_mlp():
    module = MLP(4, 3, (5, 6)).double()
    found = scores("magnitude", module, (4,), [])
    weights = [m.weight.detach().numpy() for m in (module.hidden0, module.hidden1, module.output)]
    for layer in range(2):
        for h in range(len(weights[layer])):
            norm_in = sum(abs(w) for w in weights[layer][h])
            norm_out = sum(abs(w) for w in weights[layer + 1][:, h])
            assert found[layer][h] == pytest.approx(-norm_in * norm_out)


def test_magnitude_of_channels_behind_a_flatten():
    module = nn.Sequential(nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)).double()
    (found,) = scores("magnitude", module, (2, 3, 3), [])
    for c in range(3):
        norm_in = module[0].weight[c].abs().sum().item()
        norm_out = module[3].weight[:, 4 * c : 4 * c + 4].abs().sum().item()
        assert found[c] == pytest.approx(-norm_in * norm_out)


def test_magnitude_counts_all_readers_of_a_concatenation(named_case):
    case = named_case("dense")
    module = case.network()
    first, second = scores("magnitude", module, case.shape, [])
    head = module.head.weight.abs().sum(0).reshape(7, 16).sum(1)  # second's 4, then first's 3
    for c in range(3):
        norm_out = module.second.weight[:, c].abs().sum() + head[4 + c]
        assert first[c] == pytest.approx(-(module.first.weight[c].abs().sum() * norm_out).item())
    for c in range(4):
        norm_in = module.second.weight[c].abs().sum()
        assert second[c] == pytest.approx(-(norm_in * head[c]).item())


def test_magnitude_passes_through_depthwise_convolutions(named_case):
    case = named_case("depthwise")
    module = case.network()
    found = scores("magnitude", module, case.shape, [])
    for c in range(4):
        norm_in = module[0].weight[c].abs().sum()
        norm_out = module[7].weight[:, 2 * c : 2 * c + 2].abs().sum()
        assert found[0][c] == pytest.approx(-(norm_in * norm_out).item())


# --- apoz ---------------------------------------------------------------------------------------


def test_apoz_is_the_share_of_zero_activations():
    module = MLP(4, 3, (5, 6)).double()
    x, y = labelled()
    found = scores("apoz", module, (4,), in_batches(x, y))
    h = x
    for layer, hidden in enumerate((module.hidden0, module.hidden1)):
        h = torch.relu(hidden(h))
        for j in range(h.shape[1]):
            n_zero = sum(1 for value in h[:, j].tolist() if value == 0)
            assert found[layer][j] == pytest.approx(n_zero / len(x))


def test_apoz_of_channels_counts_positions():
    module = nn.Sequential(nn.Conv1d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)).double()
    x, y = labelled(shape=(2, 5))
    (found,) = scores("apoz", module, (2, 5), in_batches(x, y))
    values = torch.relu(module[0](x))
    for c in range(3):
        zeros = [v == 0 for row in values[:, c].tolist() for v in row]
        assert found[c] == pytest.approx(sum(zeros) / len(zeros))


# --- taylor -------------------------------------------------------------------------------------


def test_taylor_is_the_magnitude_of_activation_times_gradient():
    module = MLP(4, 3, (5,)).double()
    x, y = labelled()
    (found,) = scores("taylor", module, (4,), in_batches(x, y))
    w1, b1, w2, b2 = (p.detach().numpy() for p in module.parameters())
    expected = np.zeros(5)
    for row, label in zip(x.numpy(), y.tolist(), strict=True):
        h = np.maximum(w1 @ row + b1, 0)
        logits = w2 @ h + b2
        p = np.exp(logits) / np.exp(logits).sum()
        p[label] -= 1  # gradient of the cross-entropy of one sample
        expected += np.abs(h * (w2.T @ p))
    np.testing.assert_allclose(found, -expected)


def test_taylor_of_a_channel_sums_its_positions_first(named_case):
    case = named_case("cnn-1d")
    module = case.network()
    x, y = labelled(shape=case.shape, n_classes=2)
    found = scores("taylor", module, case.shape, in_batches(x, y))
    kept = {}
    for place in (2, 4, 8):
        module[place].register_forward_hook(
            lambda _, __, out, place=place: kept.update({place: out})
        )
    expected = dict.fromkeys((2, 4, 8), 0.0)
    module.eval()
    for i in range(len(x)):
        loss = F.cross_entropy(module(x[i : i + 1]), y[i : i + 1])
        gradients = torch.autograd.grad(loss, list(kept.values()))
        for place, gradient in zip(kept, gradients, strict=True):
            product = (kept[place] * gradient).detach()[0]
            effect = product.sum(1) if product.ndim == 2 else product
            expected[place] = expected[place] + effect.abs()
    for one, total in zip(found, expected.values(), strict=True):
        np.testing.assert_allclose(one, -total.numpy())


def test_taylor_leaves_no_gradients_and_works_on_frozen_weights():
    module = MLP(4, 3, (5, 6)).double()
    x, y = labelled()
    expected = scores("taylor", module, (4,), in_batches(x, y))
    module.requires_grad_(False)
    found = scores("taylor", module, (4,), in_batches(x, y))
    np.testing.assert_array_equal(np.concatenate(found), np.concatenate(expected))
    assert all(p.grad is None for p in module.parameters())
    assert not x.requires_grad


def test_taylor_needs_a_loss_and_targets():
    module = MLP(4, 3, (5,)).double()
    x, _ = labelled()
    with pytest.raises(ValueError, match="criterion='taylor' needs a loss"):
        scores("taylor", module, (4,), [(x, None, None)], loss=None)
    with pytest.raises(ValueError, match="criterion='taylor' needs targets"):
        scores("taylor", module, (4,), [(x, None, None)])


# --- selectivity --------------------------------------------------------------------------------


def naive_selectivity(values, labels):
    means = [np.abs(values[labels == c]).mean() for c in np.unique(labels)]
    m = max(means)
    means.remove(m)
    r = sum(means) / len(means)
    return (m - r) / (m + r) if m > 0 else 0.0


def test_selectivity_compares_the_highest_class_mean_with_the_rest():
    module = MLP(4, 3, (5, 6)).double()
    with torch.no_grad():
        module.hidden0.bias[0] = -100.0  # never fires
    x, y = labelled()
    found = scores("selectivity", module, (4,), in_batches(x, y))
    h = x
    for layer, hidden in enumerate((module.hidden0, module.hidden1)):
        h = torch.relu(hidden(h)).detach()
        expected = [-naive_selectivity(column, y.numpy()) for column in h.numpy().T]
        np.testing.assert_allclose(found[layer], expected)
    assert found[0][0] == 0.0


def test_selectivity_of_channels_is_that_of_their_mean_over_positions():
    module = nn.Sequential(nn.Conv1d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)).double()
    x, y = labelled(shape=(2, 5))
    (found,) = scores("selectivity", module, (2, 5), in_batches(x, y))
    values = torch.relu(module[0](x)).detach().mean(2).numpy()
    np.testing.assert_allclose(found, [-naive_selectivity(v, y.numpy()) for v in values.T])


@pytest.mark.parametrize("target", [None, torch.zeros(24)])
def test_selectivity_needs_class_labels(target):
    x, _ = labelled()
    with pytest.raises(ValueError, match="criterion='selectivity' needs class labels"):
        scores("selectivity", MLP(4, 3, (5,)).double(), (4,), [(x, target, None)])


# --- random -------------------------------------------------------------------------------------


def test_random_is_of_the_generator_alone():
    module = MLP(4, 3, (5, 6))
    state = torch.get_rng_state()
    first = np.concatenate(scores("random", module, (4,), [], seed=1))
    again = np.concatenate(scores("random", module, (4,), [], seed=1))
    other = np.concatenate(scores("random", module, (4,), [], seed=2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(np.unique(first)) == 11
    assert torch.equal(torch.get_rng_state(), state)


# --- all ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CRITERIA)
@pytest.mark.parametrize("network", ["mlp-batch-norm-dropout", "cnn-2d", "residual", "depthwise"])
def test_batches_and_training_mode_make_no_difference(named_case, network, name):
    case = named_case(network)
    module = case.network().train()
    x, y = labelled(shape=case.shape, n_classes=2)
    before = copy.deepcopy(module.state_dict())
    whole = scores(name, module, case.shape, [(x, y, None)], layers=[0, 1])
    parts = scores(name, module, case.shape, in_batches(x, y), layers=[0, 1])
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b)
    assert all(m.training for m in module.modules())
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


@pytest.mark.parametrize("name", CRITERIA)
@pytest.mark.parametrize("network", ["mlp", "cnn-1d"])
def test_weights_count_as_repeated_samples(named_case, network, name):
    case = named_case(network)
    module = case.network()
    x, y = labelled(shape=case.shape, n_classes=2)
    times = torch.arange(24) % 4  # some samples not at all
    weighted = scores(name, module, case.shape, in_batches(x, y, times.double()))
    repeated = [(x.repeat_interleave(times, 0), y.repeat_interleave(times), None)]
    for a, b in zip(weighted, scores(name, module, case.shape, repeated), strict=True):
        np.testing.assert_allclose(a, b)


def test_values_leave_the_caller_in_its_own_mode():
    module = MLP(4, 3, (5,), dropout=0.5).double().train()
    x, y = labelled()
    data = data_for(module, (4,), in_batches(x, y))
    stream = data.values([layer.post for layer in data.layers])
    batch = next(stream)
    assert torch.is_grad_enabled()
    assert module.training
    assert not batch.values[0].requires_grad
    torch.testing.assert_close(batch.values[0], torch.relu(module.hidden0(x[:10])))


def test_device_is_that_of_the_network():
    data = data_for(MLP(4, 3, (5,)), (4,), [])
    assert data.device == torch.device("cpu")


# --- influence ----------------------------------------------------------------------------------


def naive_shares(weight, values):
    """The literal step J[i, j] = w_ij L_i / sum_i |w_ij L_i| of one sample."""
    n_out, n_in = weight.shape
    shares = np.zeros((n_in, n_out))
    for j in range(n_out):
        total = sum(abs(weight[j, i] * values[i]) for i in range(n_in))
        for i in range(n_in):
            shares[i, j] = weight[j, i] * values[i] / total if total else 0.0
    return shares


def test_influence_is_the_mean_magnitude_of_scores_towards_the_outputs():
    module = MLP(4, 3, (5, 6)).double()
    x, y = labelled()
    weight = torch.linspace(0.5, 2, len(x), dtype=torch.float64)
    found = scores("influence", module, (4,), in_batches(x, y, weight))
    first = torch.relu(module.hidden0(x))
    second = torch.relu(module.hidden1(first)).detach().numpy()
    first = first.detach().numpy()
    into_second, into_output = (
        layer.weight.detach().numpy() for layer in (module.hidden1, module.output)
    )
    expected = [np.zeros(5), np.zeros(6)]
    for sample, share in enumerate((weight / weight.sum()).tolist()):
        last = naive_shares(into_output, second[sample])
        expected[1] -= share * np.abs(last).sum(1)
        expected[0] -= share * np.abs(naive_shares(into_second, first[sample]) @ last).sum(1)
    for layer in range(2):
        np.testing.assert_allclose(found[layer], expected[layer], atol=1e-12)


def test_influence_of_a_channel_is_that_of_all_its_positions_together():
    module = nn.Sequential(nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)).double()
    x, y = labelled(shape=(2, 3, 3), n_classes=2)
    (found,) = scores("influence", module, (2, 3, 3), in_batches(x, y))
    values = torch.relu(module[0](x)).flatten(1).detach().numpy()
    last = [naive_shares(module[3].weight.detach().numpy(), one) for one in values]
    channels = np.reshape(last, (len(x), 3, 4, 2)).sum(2)
    np.testing.assert_allclose(found, -np.abs(channels).sum(2).mean(0), atol=1e-12)
