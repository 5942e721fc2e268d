"""Influential scores: small networks by hand, invariants, chunks, and what is left untouched."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sknninterp.nn import chunks
from sknninterp.nn.graph import read
from sknninterp.nn.influence import Influence, channel_scores, influential_scores
from sknninterp.nn.mlp import MLP
from sknninterp.nn.nodes import UnsupportedModuleError

# --- by hand ------------------------------------------------------------------------------------


class Function(nn.Module):
    """Layers of given weights (n_out, n_in), without biases, and what is made of them."""

    def __init__(self, function, *weights):
        super().__init__()
        self.function = function
        self.layers = nn.ModuleList(linear(weight) for weight in weights)

    def forward(self, x):
        return self.function(x, *self.layers)


def linear(weight, bias=None):
    weight = torch.as_tensor(weight, dtype=torch.float64)
    layer = nn.Linear(*weight.T.shape, bias=bias is not None, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(torch.as_tensor(bias))
    return layer


def scores_by_hand(function, weights, x, source=None, target=None, **options):
    """Scores (n_targets, n_sources) of one sample, between nodes given by their names."""
    x = torch.tensor([x], dtype=torch.float64)
    graph = read(Function(function, *weights), x.shape[1:])
    nodes = {None: None} | {node.name: node for node in graph.nodes}
    scores = influential_scores(graph, x, nodes[source], nodes[target], **options)
    return scores[:, 0].tolist()


def toy(x, first, last):
    return torch.relu(last(torch.relu(first(x))))


TOY = [[1.0, -1.0], [1.0, 0.0]], [[-1.0, 1.0]]


def test_the_papers_toy_network():
    def near(expected):
        return [pytest.approx(row) for row in expected]

    at = [2.0, 1.0]
    assert scores_by_hand(toy, TOY, at, target="relu") == near([[2 / 3, -1 / 3], [1, 0]])
    assert scores_by_hand(toy, TOY, at, source="relu") == near([[-1 / 3, 2 / 3]])
    assert scores_by_hand(toy, TOY, at) == near([[4 / 9, 1 / 9]])


@given(st.tuples(st.floats(0.1, 9), st.floats(0.1, 9)))
def test_the_toy_network_is_the_minimum(at):
    a, b = at
    network = Function(toy, *TOY)
    assert network(torch.tensor([at], dtype=torch.float64)).item() == pytest.approx(min(at))
    inactive = a <= b
    expected = [1, 0] if inactive else [(a - (a - b) * a / (a + b)) / (2 * a - b), None]
    if not inactive:
        expected[1] = (a - b) * b / (a + b) / (2 * a - b)
    assert scores_by_hand(toy, TOY, at)[0] == pytest.approx(expected)


def twice(x, w):
    z = w(x)
    return z + z


def copied(x, w):
    z = w(x)
    return z + z.clone()


def pre_activation(x, w, v):
    z = w(x)
    return z + v(torch.relu(z))


S = 1 / (1 + math.exp(-1))
BY_HAND = {
    # name: (function, weights, x, scores of the inputs)
    "layer": (lambda x, w: w(x), [[[2.0, 1.0]]], [1.0, -2.0], [[2 / 4, -2 / 4]]),
    "nothing comes from nothing": (
        lambda x, w: w(x),
        [[[0.0, 5.0], [1.0, 5.0]]],
        [1.0, 0.0],
        [[0.0, 0.0], [1.0, 0.0]],
    ),
    "layers in a row": (  # 3 + 1 = 4 and 3 - 1 = 2
        lambda x, w, v: v(w(x)),
        [[[1.0, 1.0], [1.0, -1.0]], [[1.0, 1.0]]],
        [3.0, 1.0],
        [[4 / 6 * 3 / 4 + 2 / 6 * 3 / 4, 4 / 6 * 1 / 4 - 2 / 6 * 1 / 4]],
    ),
    "sum with a layer": (
        lambda x, w: x + w(x),
        [[[2.0, 1.0], [0.0, -3.0]]],
        [1.0, -2.0],
        [[(1 + 2) / 5, -2 / 5], [0.0, (-2 + 6) / 8]],
    ),
    "sum of sums": (lambda x, w: x + (w(x) + x), [[[-3.0]]], [2.0], [[(2 - 6 + 2) / 10]]),
    "sum with itself": (lambda x: x + x, [], [3.0, -2.0], [[1.0, 0.0], [0.0, -1.0]]),
    "layer with itself": (twice, [[[1.0, 1.0]]], [-3.0, 1.0], [[3 / 4, -1 / 4]]),
    "layer with its copy": (copied, [[[1.0, 1.0]]], [-3.0, 1.0], [[3 / 4, -1 / 4]]),
    "layer read twice": (  # a layer of its own: its value is -1, and nothing passes the ReLU
        pre_activation,
        [[[1.0, -1.0]], [[3.0]]],
        [3.0, 4.0],
        [[-3 / 7, 4 / 7]],
    ),
    "activation of an inactive one": (
        lambda x, w: w(torch.sigmoid(torch.relu(x))),
        [[[1.0, 1.0]]],
        [-1.0, 1.0],
        [[0.0, S / (0.5 + S)]],
    ),
    "mean": (lambda x: x.unsqueeze(1).mean(2), [], [1.0, -3.0], [[1 / 4, -3 / 4]]),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_scores_by_hand(name):
    function, weights, x, expected = BY_HAND[name]
    assert scores_by_hand(function, weights, x) == [pytest.approx(row) for row in expected]


def test_batch_norm_is_folded_into_the_layer_before_it():
    norm = nn.BatchNorm1d(1, eps=0.0).double()
    x = torch.tensor([[1.0, 4.0]], dtype=torch.float64)
    graph = read(nn.Sequential(linear([[2.0, 1.0]], [3.0]), norm, nn.ReLU()), (2,))
    with torch.no_grad():
        norm.weight.fill_(-0.5)
        norm.bias.fill_(2.0)
    scores = influential_scores(graph, x)
    assert scores.flatten().tolist() == pytest.approx([-2 / 6, -4 / 6])
    scores = influential_scores(graph, x, bias_in_denominator=True)  # -x0 - x1 / 2 - 3 / 2 + 2
    assert scores.flatten().tolist() == pytest.approx([-1 / 3.5, -2 / 3.5])


def test_batch_norm_of_the_input_is_folded_into_the_layer_after_it():
    norm = nn.BatchNorm1d(2, eps=0.0).double()
    x = torch.tensor([[1.0, 4.0]], dtype=torch.float64)
    graph = read(nn.Sequential(norm, linear([[2.0, 1.0]], [1.0])), (2,))
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([-1.0, 2.0]))
        norm.bias.copy_(torch.tensor([1.0, -3.0]))
    scores = influential_scores(graph, x)
    assert scores.flatten().tolist() == pytest.approx([-2 / 10, 8 / 10])
    scores = influential_scores(graph, x, bias_in_denominator=True)  # -2 x0 + 2 x1 + 2 - 3 + 1
    assert scores.flatten().tolist() == pytest.approx([-2 / 10, 8 / 10])
    nn.init.zeros_(graph.output.bias)
    scores = influential_scores(graph, x, bias_in_denominator=True)
    assert scores.flatten().tolist() == pytest.approx([-2 / 11, 8 / 11])


def test_batch_norm_of_the_input_is_folded_into_the_average_after_it():
    norm = nn.BatchNorm1d(1, eps=0.0).double()
    x = torch.tensor([[[1.0, -4.0]]], dtype=torch.float64)
    graph = read(nn.Sequential(norm, nn.AvgPool1d(2), nn.Flatten()), (1, 2))
    nn.init.constant_(norm.weight, -2.0)
    nn.init.constant_(norm.bias, 3.0)
    scores = influential_scores(graph, x)
    assert scores.flatten().tolist() == pytest.approx([-2 / 10, 8 / 10])
    scores = influential_scores(graph, x, bias_in_denominator=True)  # -x0 - x1 + 3
    assert scores.flatten().tolist() == pytest.approx([-1 / 8, 4 / 8])


def test_batch_norm_between_activations_passes_on_with_its_sign():
    norm = nn.BatchNorm1d(3).double()
    graph = read(nn.Sequential(nn.ReLU(), norm, nn.Sigmoid()), (3,))
    nn.init.constant_(norm.bias, 5.0)
    norm.weight.data.copy_(torch.tensor([2.0, -3.0, -4.0]))
    scores = influential_scores(graph, torch.tensor([[1.0, 1.0, -1.0]], dtype=torch.float64))
    assert scores[:, 0].tolist() == [[1, 0, 0], [0, -1, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    "end",
    [
        nn.Softmax(1),
        nn.LogSoftmax(1),
        nn.Sigmoid(),
        nn.ReLU(),
        nn.Sequential(nn.Flatten(), nn.Tanh(), nn.Unflatten(1, (2, 1)), nn.Dropout(0.5)),
    ],
)
def test_what_follows_the_logits_changes_nothing(end):
    body = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    x = torch.randn(8, 3, dtype=torch.float64)
    assert (body(x) < 0).any()  # ReLU at the end: towards what it holds back, too
    expected = influential_scores(read(body, (3,)), x)
    assert torch.equal(influential_scores(read(nn.Sequential(body, end), (3,)), x), expected)


def test_an_activation_is_one_node_with_what_it_reads():
    graph = read(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)).double(), (2,))
    _, linear, relu, _ = graph.nodes
    x = torch.randn(4, 2, dtype=torch.float64)
    scores = influential_scores(graph, x, linear, relu)
    torch.testing.assert_close(scores, torch.eye(3).double()[:, None].expand(3, 4, 3))


# --- invariants ---------------------------------------------------------------------------------


def magnitudes(scores):
    """L1 norm of the scores towards each node of the target."""
    return scores.flatten(2).abs().sum(2)


def scaled_network(factors, pool):
    """A network whose hidden channels are scaled, which the layers after them undo."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), pool]
    layers += [nn.Conv2d(3, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Linear(4, 2)).double()
    into = [network[1], network[4], network[7]]
    with torch.no_grad():
        for layer, after, factor in zip(
            into, [network[4], network[7], network[9]], factors, strict=True
        ):
            factor = torch.as_tensor(factor, dtype=torch.float64)
            layer.weight.mul_(factor.reshape(-1, *[1] * (layer.weight.ndim - 1)))
            layer.bias.mul_(factor)
            factor = factor.repeat_interleave(after.weight.shape[1] // len(factor))
            after.weight.div_(factor.reshape(1, -1, *[1] * (after.weight.ndim - 2)))
    return network


@given(st.data(), st.booleans())
def test_a_rescaled_relu_neuron_changes_nothing(data, counted):
    pool = data.draw(st.sampled_from([nn.MaxPool2d(2, padding=1), nn.AvgPool2d(2, padding=1)]))
    factors = [data.draw(st.lists(st.floats(0.1, 9), min_size=n, max_size=n)) for n in (3, 3, 4)]
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64)
    found = []
    for these in (factors, [[1.0] * len(f) for f in factors]):
        graph = read(scaled_network(these, pool), (2, 4, 4))
        found.append(influential_scores(graph, x, bias_in_denominator=counted))
    assert found[1].any()
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("name", ["mlp", "cnn-1d", "cnn-2d", "grouped", "resnet", "dense"])
@pytest.mark.parametrize("factor", [1e-3, 7.0, 1e3])
def test_without_biases_scaling_the_input_changes_nothing(named_case, name, factor):
    case = named_case(name)
    network = without_shifts(case.network())
    graph, x = read(network, case.shape), case.samples(3)
    expected = influential_scores(graph, x)
    assert expected.any()
    torch.testing.assert_close(influential_scores(graph, factor * x), expected)


def without_shifts(network):
    """The network without biases, nor means of batch norms."""
    with torch.no_grad():
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            if name.endswith(("bias", "running_mean", "shift")):
                tensor.zero_()
    return network


def test_an_inactive_relu_passes_nothing_on(case):
    graph, x = read(case.network(), case.shape), case.samples()
    relus = [n for n in graph.nodes if getattr(n, "kind", "") == "relu" and n is not graph.output]
    influence = Influence(graph)
    with torch.no_grad():
        values = graph.run(x, relus)
    for chunk in influence.chunks(x, influence.each_node(), relus):
        for relu in relus:
            inactive = values[relu][chunk.samples] == 0
            assert not chunk.scores[relu][:, inactive].any()
            assert chunk.scores[relu][:, ~inactive].any()


def test_where_all_is_positive_a_score_is_the_share_of_the_logit(case):
    """Without biases a ReLU network is then linear around a sample: x * dz/dx / z."""
    network = without_shifts(case.network())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    x = case.samples().abs().requires_grad_()
    graph = read(network, case.shape)
    scores = influential_scores(graph, x)
    torch.testing.assert_close(magnitudes(scores), scores.flatten(2).sum(2))
    torch.testing.assert_close(magnitudes(scores), torch.ones(scores.shape[:2]).double())
    if case.exact:
        logits = graph.run(x, [graph.logits])[graph.logits].reshape(len(x), -1)
        for c, found in enumerate(scores):
            (slope,) = torch.autograd.grad(logits[:, c].sum(), x, retain_graph=True)
            shares = x * slope / logits[:, c].reshape(-1, *[1] * len(case.shape))
            torch.testing.assert_close(found, shares.detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_of_every_network_are_finite_and_of_norm_one_at_most(case, dtype):
    network, x = case.network(dtype), case.samples(dtype=dtype)
    graph = read(network, case.shape)
    for source in [None, *(layer.post for layer in graph.layers[:-1])]:
        for counted in (False, True):
            scores = influential_scores(graph, x, source, bias_in_denominator=counted)
            node = source or graph.input
            assert scores.shape == (math.prod(graph.logits.shape), len(x), *node.shape)
            assert scores.dtype == dtype
            assert torch.isfinite(scores).all()
            assert (magnitudes(scores) <= 1 + 1e-5).all()
            assert scores.any()
            assert not scores.requires_grad
    assert all(p.grad is None for p in network.parameters())


def test_scores_of_extreme_samples_are_finite(case):
    network = case.network(torch.float32)
    graph = read(network, case.shape)
    for size in (0.0, 1e-38, 1e-30, 1e8):
        scores = influential_scores(graph, size * case.samples(dtype=torch.float32))
        assert torch.isfinite(scores).all()
        assert (magnitudes(scores) <= 1 + 1e-5).all()


# --- chunks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_bytes", [1, 2_000, 20_000])
def test_chunks_change_nothing(case, monkeypatch, n_bytes):
    graph, x = read(case.network(), case.shape), case.samples(7)
    expected = influential_scores(graph, x)
    monkeypatch.setattr(chunks, "CHUNK_BYTES", n_bytes)
    influence = Influence(graph)
    rows, seen = influence.each_node(), torch.zeros(len(expected), 7)
    widest = max(math.prod(node.shape) for node in graph.nodes)
    for chunk in influence.chunks(x, rows):
        scores = chunk.scores[graph.input]
        torch.testing.assert_close(scores, expected[chunk.rows, chunk.samples])
        n_maps = scores.shape[0] * scores.shape[1]
        assert n_maps == 1 or n_maps * widest * 8 <= n_bytes
        seen[chunk.rows, chunk.samples] += 1
    assert (seen == 1).all()
    torch.testing.assert_close(influential_scores(graph, x), expected)


@pytest.mark.parametrize("n_bytes", [1, 4_000, 2**20])
def test_rows_weigh_the_nodes_of_the_target(case, monkeypatch, n_bytes):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", n_bytes)
    graph, x = read(case.network(), case.shape), case.samples(4)
    target = graph.layers[-2].post
    each = influential_scores(graph, x, target=target)
    rows = torch.randn(3, *target.shape, dtype=torch.float64)
    found = influential_scores(graph, x, target=target, rows=rows)
    torch.testing.assert_close(found, torch.einsum("rt,tn...->rn...", rows.flatten(1), each))
    rows = torch.randn(3, 4, *target.shape, dtype=torch.float64)
    found = influential_scores(graph, x, target=target, rows=rows)
    torch.testing.assert_close(found, torch.einsum("rnt,tn...->rn...", rows.flatten(2), each))
    assert influential_scores(graph, x, target=target, rows=rows[:0]).shape == (0, 4, *case.shape)
    assert influential_scores(graph, x[:0]).shape[1:] == (0, *case.shape)


def test_rows_stay_as_they_are(case):
    graph, x = read(case.network(), case.shape), case.samples(4)
    influence = Influence(graph)
    rows = torch.randn(4, *graph.logits.shape, dtype=torch.float64)[:, None].repeat_interleave(4, 1)
    before = rows.clone(), x.clone()
    for _ in influence.chunks(x, rows):
        pass
    assert torch.equal(rows, before[0])
    assert torch.equal(x, before[1])


def test_scores_of_nodes_on_the_way_are_those_of_a_source(case):
    graph, x = read(case.network(), case.shape), case.samples(4)
    influence = Influence(graph)
    keep = influence.path[:-1]
    (chunk,) = influence.chunks(x, influence.each_node(), keep)
    assert set(chunk.scores) == set(keep)
    for node in keep:
        torch.testing.assert_close(chunk.scores[node], influential_scores(graph, x, node))


def test_without_asking_only_the_source_is_kept(named_case):
    case = named_case("mlp")
    graph = read(case.network(), case.shape)
    influence = Influence(graph, graph.layers[0].post)
    (chunk,) = influence.chunks(case.samples(), influence.each_node())
    assert list(chunk.scores) == [graph.layers[0].post]


# --- the module stays as it was -----------------------------------------------------------------


def test_the_module_stays_as_it_was(case):
    network = case.network()
    network.train()
    next(network.children()).eval()
    graph = read(network, case.shape)
    modes = [m.training for m in network.modules()]
    before, x = copy.deepcopy(network.state_dict()), case.samples()
    random_state = torch.get_rng_state()
    influential_scores(graph, x)
    assert torch.equal(torch.get_rng_state(), random_state)
    wrong = torch.zeros(2, *[n + 1 for n in case.shape], dtype=torch.float64)
    with pytest.raises(RuntimeError):
        influential_scores(graph, wrong)
    assert [m.training for m in network.modules()] == modes
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_dropout_and_batch_statistics_play_no_part(named_case):
    case = named_case("mlp-batch-norm-dropout")
    network = case.network()
    graph, x = read(network, case.shape), case.samples()
    expected = influential_scores(graph, x)
    network.train()
    assert torch.equal(influential_scores(graph, x), expected)


def test_between_chunks_no_mode_is_on(named_case, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 1)
    case = named_case("mlp-batch-norm-dropout")
    network = case.network()
    network.train()
    influence = Influence(read(network, case.shape))
    found = influence.chunks(case.samples(), influence.each_node())
    for _ in range(2):
        next(found)
        assert torch.is_grad_enabled()
        assert network.training
        assert network.dropout0.training


# --- errors -------------------------------------------------------------------------------------


class Parallel(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(torch.cat([self.a(x).relu(), self.b(x).relu()], 1))


@pytest.mark.parametrize(("source", "target"), [("relu_1", "relu"), ("head", "a"), ("b", "relu")])
def test_a_source_that_does_not_come_before_the_target(source, target):
    graph = read(Parallel(), (3,))
    nodes = {node.name: node for node in graph.nodes}
    message = f"source '{source}' does not come before target '{target}'"
    with pytest.raises(ValueError, match=message):
        Influence(graph, nodes[source], nodes[target])
    with pytest.raises(ValueError, match=f"source '{target}' does not come before .*'{target}'"):
        Influence(graph, nodes[target], nodes[target])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused(dtype):
    graph = read(MLP(3, 2, (4,)).to(dtype), (3,))
    with pytest.raises(ValueError, match=rf"network computes in {dtype}.*module.float\(\)"):
        Influence(graph)


@pytest.mark.parametrize(
    ("network", "kind"),
    [
        (nn.Sequential(nn.Conv1d(1, 2, 1), nn.AdaptiveAvgPool1d(1), nn.Flatten()), "AveragePool"),
        (nn.Sequential(nn.Conv1d(1, 2, 1), nn.MaxPool1d(3), nn.Flatten()), "MaxPool"),
        (nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten()), "Conv"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3, 2), nn.BatchNorm1d(2)), "BatchNorm"),
    ],
)
def test_only_logits_of_a_linear_layer_can_be_centred(network, kind):
    graph = read(network, (1, 3))
    with pytest.raises(UnsupportedModuleError, match=f"center_logits: .* made by {kind} "):
        Influence(graph, center_logits=True)


def test_a_single_logit_stays_as_it_is(named_case):
    case = named_case("one-logit")
    graph, x = read(case.network(), case.shape), case.samples()
    expected = influential_scores(graph, x)
    assert torch.equal(influential_scores(graph, x, center_logits=True), expected)


def test_only_logits_are_centred(named_case):
    case = named_case("mlp")
    graph, x = read(case.network(), case.shape), case.samples()
    target = graph.layers[0].post
    expected = influential_scores(graph, x, target=target)
    assert torch.equal(influential_scores(graph, x, target=target, center_logits=True), expected)


def test_channel_scores_are_sums_over_positions():
    scores = torch.arange(24.0).view(1, 2, 3, 2, 2)
    assert channel_scores(scores).tolist() == scores.sum((3, 4)).tolist()
    neurons = torch.arange(6.0).view(1, 2, 3)
    assert channel_scores(neurons) is neurons
