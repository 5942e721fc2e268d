"""The reading of networks: values, layers, units."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from sknninterp.nn.graph import evaluation, pull_back, read, single_use
from sknninterp.nn.mlp import MLP
from sknninterp.nn.nodes import Activation, Add, BatchNorm, UnsupportedModuleError, Weighted


def eval_forward(module, x):
    with evaluation(module), torch.no_grad():
        return module(x)


# --- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_samples", [1, 5])
def test_run_equals_the_modules_own_forward(case, dtype, n_samples):
    module, x = case.network(dtype), case.samples(n_samples, dtype)
    graph = read(module, case.shape)
    with torch.no_grad():
        found = graph.run(x)[graph.output]
    assert found.dtype == dtype
    assert torch.equal(found, eval_forward(module, x))


def test_run_sees_weights_changed_after_the_reading(case):
    module, x = case.network(), case.samples()
    graph = read(module, case.shape)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.5)
        assert torch.equal(graph.run(x)[graph.output], eval_forward(module, x))


def test_run_is_differentiable(case):
    module, x = case.network(), case.samples()
    graph = read(module, case.shape)
    graph.run(x)[graph.output].square().sum().backward()
    found = [p.grad.clone() for p in module.parameters()]
    module.zero_grad()
    module.eval()(x).square().sum().backward()
    for mine, parameter in zip(found, module.parameters(), strict=True):
        torch.testing.assert_close(mine, parameter.grad)


def test_reading_and_running_leave_the_module_as_it_was(case):
    module, x = case.network(), case.samples()
    random_state = torch.get_rng_state()
    module.train()
    frozen = next(module.parameters()).requires_grad_(False)
    first_child = next(module.children())
    first_child.eval()
    modes = {name: m.training for name, m in module.named_modules()}
    before = copy.deepcopy(module.state_dict())
    identities = [id(p) for p in module.parameters()]
    graph = read(module, case.shape)
    with torch.no_grad():
        graph.run(x, graph.nodes)
    assert {name: m.training for name, m in module.named_modules()} == modes
    assert [id(p) for p in module.parameters()] == identities
    assert all(p.requires_grad == (p is not frozen) for p in module.parameters())
    assert all(p.grad is None for p in module.parameters())
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())
    assert torch.equal(torch.get_rng_state(), random_state)


def test_run_leaves_its_input_as_it_was(case):
    module, x = case.network(), case.samples()
    before = x.clone()
    graph = read(module, case.shape)
    with torch.no_grad():
        graph.run(x, graph.nodes)
    assert torch.equal(x, before)


def test_kept_values_equal_those_that_hooks_see(case):
    module, x = case.network(), case.samples()
    graph = read(module, case.shape)
    by_name = {node.name: node for node in graph.nodes}
    seen, handles = {}, []

    def remember(name):
        def hook(_, __, output):
            seen.setdefault(name, output.clone())  # a reused module: its first call

        return hook

    for name, child in module.named_modules():
        if name in by_name and not list(child.children()):
            handles.append(child.register_forward_hook(remember(name)))
    eval_forward(module, x)
    for handle in handles:
        handle.remove()
    with torch.no_grad():
        values = graph.run(x, [by_name[name] for name in seen])
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d)
    assert {name for name, m in module.named_modules() if isinstance(m, kinds)} <= set(seen)
    for name, expected in seen.items():
        # The forward of ScaledLinear is read as two nodes, of which its hook sees the second.
        two = type(module.get_submodule(name)).__name__ == "ScaledLinear"
        value = values[by_name[name]]
        assert torch.equal(value.relu() if two else value, expected), name


def test_run_keeps_what_is_asked_for_and_nothing_else():
    graph = read(MLP(3, 2, (4, 4)), (3,))
    x = torch.ones(2, 3)
    assert set(graph.run(x)) == {graph.output}
    assert set(graph.run(x, [graph.input, graph.layers[0].pre])) == {
        graph.input,
        graph.layers[0].pre,
        graph.output,
    }


def test_node_shapes_are_those_of_their_values(case):
    module, x = case.network(), case.samples(3)
    graph = read(module, case.shape)
    with torch.no_grad():
        values = graph.run(x, graph.nodes)
    for node in graph.nodes:
        assert values[node].shape == (3, *node.shape)
        assert len(graph.units[node]) == (node.shape[0] if node.shape else 1)
    assert len({node.name for node in graph.nodes}) == len(graph.nodes)


def test_run_until_a_node_gives_what_a_whole_run_does(case):
    module, x = case.network(), case.samples()
    graph = read(module, case.shape)
    with torch.no_grad():
        expected = graph.run(x, graph.nodes)
        for node in graph.nodes:
            found = graph.run(x, until=node)
            assert list(found) == [node]
            assert torch.equal(found[node], expected[node])
    assert graph.run(x, until=graph.input)[graph.input] is x


def test_run_until_a_node_keeps_those_before_it(case):
    module, x = case.network(), case.samples()
    graph = read(module, case.shape)
    with torch.no_grad():
        expected = graph.run(x, graph.nodes)
        for i, node in enumerate(graph.nodes):
            found = graph.run(x, graph.nodes[:i], until=node)
            assert set(found) == set(graph.nodes[: i + 1])
            assert all(torch.equal(found[n], expected[n]) for n in found)


def test_run_until_a_node_computes_nothing_behind_it(case, monkeypatch):
    graph, x = read(case.network(), case.shape), case.samples()
    computed = []
    for node in graph.nodes[1:]:

        def forward(*values, node=node, original=node.forward):
            computed.append(node)
            return original(*values)

        monkeypatch.setattr(node, "forward", forward)
    with torch.no_grad():
        for i, node in enumerate(graph.nodes):
            graph.run(x, until=node)
            assert computed == graph.nodes[1 : i + 1]
            computed.clear()
        graph.run(x)
        last = graph.nodes.index(graph.output)
        assert computed == graph.nodes[1 : last + 1]


# --- layers -------------------------------------------------------------------------------------


def test_layers_of_an_mlp():
    module = MLP(3, 2, (5, 4), activation="tanh", dropout=0.2, batch_norm=True)
    graph = read(module, (3,))
    assert [layer.name for layer in graph.layers] == ["hidden0", "hidden1", "output"]
    assert [layer.width for layer in graph.layers] == [5, 4, 2]
    assert [layer.prunable for layer in graph.layers] == [True, True, False]
    first, _, last = graph.layers
    assert (first.pre.name, first.post.name) == ("norm0", "activation0")
    assert first.activation.kind == "tanh"
    assert first.post is first.activation
    assert last.activation is None
    assert last.pre is last.post is last.weighted is graph.output
    assert first.weighted.weight is module.hidden0.weight
    assert first.weighted.bias is module.hidden0.bias
    assert repr(graph) == "Graph((3,) -> hidden0[5] -> hidden1[4] -> output[2])"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cnn-2d", {"0": ("2", "3"), "4": ("5", "6"), "9": ("10", "11"), "12": ("12", "12")}),
        (
            "global-mean",
            {
                "conv1": ("max_pool2d", "relu"),
                "conv2": ("avg_pool2d", "relu_1"),
                "head": ("head", "head"),
            },
        ),
        (
            "residual",
            {
                "stem": ("stem", "relu"),
                "inner": ("inner", "relu_1"),
                "outer": ("add", "relu_2"),
                "head": ("head", "head"),
            },
        ),
        (
            "functional",
            {
                "kernel": ("kernel", "relu"),
                "weights.0": ("weights.0", "relu_"),
                "weights.1": ("weights.1", "weights.1"),
            },
        ),
        ("one-logit", {"hidden": ("hidden", "relu"), "head": ("head", "head")}),
    ],
)
def test_pre_and_post_activation_of_each_layer(named_case, name, expected):
    case = named_case(name)
    graph = read(case.network(), case.shape)
    assert {layer.name: (layer.pre.name, layer.post.name) for layer in graph.layers} == expected


def test_logits_are_the_output_before_a_closing_softmax(case):
    module = case.network()
    graph = read(module, case.shape)
    x = case.samples()
    with torch.no_grad():
        values = graph.run(x, [graph.logits])
    if isinstance(graph.output, Activation) and "softmax" in graph.output.kind:
        soft = values[graph.logits].softmax(1)
        log = graph.output.kind == "log_softmax"
        torch.testing.assert_close(soft.log() if log else soft, values[graph.output])
    else:
        assert graph.logits is graph.output


def test_prunable_layers_of_each_network(named_case):
    expected = {
        "mlp": ["hidden0", "hidden1"],
        "grouped": ["4"],  # the first convolution feeds groups of two
        "depthwise": ["0", "2", "7"],  # "5" has two channels to a unit; they go with "0"
        "resnet": [
            "0",
            "2.conv1",
            "2.conv2",
            "2.downsample.0",
            "3.conv1",
            "3.conv2",
            "3.downsample.0",
        ],
        "crossed-concat": ["b", "a", "both"],
        "shapes": ["conv", "a"],  # the code writes out that b has eight neurons
        "unflattened": ["stem", "conv"],  # four neurons of "mix" make one channel
        "tied-weights": ["a", "b", "c", "d"],
    }
    for name, layers in expected.items():
        case = named_case(name)
        found = read(case.network(), case.shape).hidden_layers
        assert [layer.name for layer in found] == layers, name


def test_a_layer_added_to_the_input_or_the_output_is_not_prunable():
    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            h = torch.relu(x + self.a(x))
            return self.c(h) + self.b(h)

    assert read(Skip(), (3,)).hidden_layers == []


def test_select_by_name_and_index():
    graph = read(MLP(3, 2, (5, 4, 3)), (3,))
    first, second, third = graph.hidden_layers
    assert graph.select() == [first, second, third]
    assert graph.select(0) == graph.select("hidden0") == [first]
    assert graph.select([-1, "hidden0", np.int64(0), 2]) == [third, first]
    assert graph.select(()) == []


@pytest.mark.parametrize("which", [3, -4, "output", "hidden9", ["hidden0", 7], 0.5, [None]])
def test_select_names_what_does_not_exist(which):
    graph = read(MLP(3, 2, (5, 4, 3)), (3,))
    with pytest.raises(ValueError, match=r"target_layers.*\['hidden0', 'hidden1', 'hidden2'\]"):
        graph.select(which)


def test_consumers_are_the_layers_that_read_a_layers_units(named_case):
    case = named_case("dense")
    graph = read(case.network(), case.shape)
    first, second, _ = graph.layers
    found = {node.name: units.tolist() for node, units in graph.consumers(first)}
    a, b = first.units.tolist(), second.units.tolist()
    inputs = graph.units[graph.input].tolist()
    assert found == {
        "second": a + inputs,
        "head": np.repeat(b + a, 16).tolist(),
    }
    assert [node.name for node, _ in graph.consumers(second)] == ["head"]


def test_single_use_leaves_one_layer_for_each_unit(named_case):
    case = named_case("resnet")
    graph = read(case.network(), case.shape)
    # conv2 and downsample of both blocks are tied through the residual stream.
    assert [layer.name for layer in single_use(graph.hidden_layers)] == [
        "0",
        "2.conv1",
        "2.conv2",
        "3.conv1",
        "3.conv2",
    ]


# --- ways through the graph ---------------------------------------------------------------------


class Diamond(nn.Module):
    """a is read three times, by two nodes; b leads to the output past c."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.d = nn.Linear(4, 2)

    def forward(self, x):
        a = self.a(x)
        b = self.b(a)
        doubled = a + a
        return self.d(self.c(b) + doubled + b)


def nodes_of(graph):
    return {node.name: node for node in graph.nodes}


def test_readers_and_how_often_they_read():
    graph = read(Diamond(), (3,))
    nodes = nodes_of(graph)
    assert graph.readers(nodes["a"]) == [nodes["b"], nodes["add"]]
    assert graph.n_readings(nodes["a"]) == 3
    assert graph.readers(nodes["b"]) == [nodes["c"], nodes["add_2"]]
    assert graph.n_readings(nodes["b"]) == 2
    assert graph.readers(graph.output) == []
    assert graph.n_readings(graph.output) == 0


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("b", "add_2", ["b", "c", "add_1", "add_2"]),
        ("b", "c", ["b", "c"]),
        ("add", "d", ["add", "add_1", "add_2", "d"]),
        ("a", "add_1", ["a", "b", "add", "c", "add_1"]),
        ("c", "c", ["c"]),
        ("c", "b", []),
        ("add", "c", []),
    ],
)
def test_nodes_between_two_nodes(source, target, expected):
    graph = read(Diamond(), (3,))
    nodes = nodes_of(graph)
    assert [n.name for n in graph.between(nodes[source], nodes[target])] == expected


def test_between_input_and_output_is_everything(case):
    graph = read(case.network(), case.shape)
    assert graph.between(graph.input, graph.output) == graph.nodes


def count_ways(graph, source, target):
    if source is target:
        return 1
    return sum(count_ways(graph, node, target) for node in source.inputs)


def test_nodes_between_are_those_on_some_way(case):
    graph = read(case.network(), case.shape)
    for source in graph.nodes[:6]:
        for target in graph.nodes[-6:]:
            ways = [
                count_ways(graph, target, n) * count_ways(graph, n, source) for n in graph.nodes
            ]
            expected = [node for node, n in zip(graph.nodes, ways, strict=True) if n]
            assert graph.between(source, target) == expected


def test_rows_are_pulled_back_along_every_way():
    """With identity steps each way brings the rows once."""
    graph = read(Diamond(), (3,))
    nodes = nodes_of(graph)
    for source in graph.nodes:
        between = graph.between(source, nodes["d"])
        visited = {}
        found = pull_back(
            between,
            torch.ones(1),
            lambda node, rows: tuple(rows for _ in node.inputs),
            visited.__setitem__,
        )
        assert found.item() == count_ways(graph, nodes["d"], source)
        assert list(visited) == between[::-1]
        for node, rows in visited.items():
            assert rows.item() == count_ways(graph, nodes["d"], node)


def test_rows_pulled_back_through_transposes_are_gradients():
    module = Diamond().double()
    graph = read(module, (3,))
    rows = torch.randn(4, 2, dtype=torch.float64)
    x = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(module(x), x, rows)
    found = pull_back(graph.nodes, rows.clone(), lambda node, rows: node.transpose(rows))
    torch.testing.assert_close(found, expected)
    assert torch.equal(pull_back(graph.nodes[-1:], rows, None), rows)


# --- units --------------------------------------------------------------------------------------


def test_units_tell_which_channels_depend_on_which_neuron(case):
    """Where a neuron's value is changed, only places of its unit see it before the next weights."""
    module = case.network()
    graph = read(module, case.shape)
    x = case.samples()
    for layer in graph.layers:
        if len(set(layer.units.tolist())) < layer.width:
            continue
        with torch.no_grad():
            values = graph.run(x, graph.nodes)
            for i, unit in enumerate(layer.units):
                reached = _reached(graph, values, layer.weighted, i)
                for node, places in reached.items():
                    assert set(graph.units[node][places].tolist()) <= {int(unit)}, node


def _reached(graph, values, start, channel):
    """Channels that change with one channel of `start`, up to the layers that read it."""
    changed = dict(values)
    changed[start] = values[start].clone()
    changed[start][:, channel] += 10.0
    reached = {}
    for node in graph.nodes[graph.nodes.index(start) + 1 :]:
        if isinstance(node, Weighted) and node.groups != node.inputs[0].shape[0]:
            continue  # it mixes its channels: here new units begin
        if isinstance(node, Activation) and node.is_softmax:
            continue
        if any(changed[i] is not values[i] for i in node.inputs):
            changed[node] = node.forward(*(changed[i] for i in node.inputs))
            differs = (changed[node] != values[node]).any(0)
            differs = differs.reshape(len(graph.units[node]), -1).any(1)
            reached[node] = differs.nonzero().flatten().numpy()
    return reached


def test_a_reused_layer_counts_once_and_ties_its_uses(named_case):
    case = named_case("reused")
    graph = read(case.network(), case.shape)
    assert [layer.name for layer in graph.layers] == ["stem", "step", "head"]
    stem, step, _ = graph.layers
    assert stem.units.tolist() == step.units.tolist()


def test_modules_that_share_a_parameter_share_units(named_case):
    case = named_case("tied-weights")
    graph = read(case.network(), case.shape)
    a, b, c, d, _ = graph.layers
    # b and c have one weight: their outputs are one, and their inputs (a's and b's neurons) too.
    assert b.units.tolist() == c.units.tolist() == a.units.tolist() == d.units.tolist()


def test_forget_keeps_shapes_units_and_layers_in_step():
    module = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 4, 2)
    )
    graph = read(module, (1, 2, 2))
    gone = int(graph.layers[0].units[1])
    graph.forget({gone})
    assert [node.shape for node in graph.nodes] == [(1, 2, 2), (2, 2, 2), (2, 2, 2), (8,), (2,)]
    assert graph.layers[0].width == 2
    assert gone not in np.concatenate(list(graph.units.values()))


# --- errors and settings ------------------------------------------------------------------------


def test_evaluation_restores_each_modules_mode_even_after_an_error():
    module = MLP(3, 2, (4,), dropout=0.5)
    module.train()
    module.dropout0.eval()
    with pytest.raises(RuntimeError, match="inside"), evaluation(module):
        assert not any(m.training for m in module.modules())
        raise RuntimeError("inside")
    assert module.training
    assert module.hidden0.training
    assert not module.dropout0.training


def test_failed_reading_leaves_the_mode():
    class Noisy(nn.Module):
        def forward(self, x):
            return nn.functional.dropout(x, 0.5, training=True)

    module = nn.Sequential(nn.Linear(3, 4), Noisy())
    module.train()
    with pytest.raises(UnsupportedModuleError, match="dropout in Noisy at '1' drops values"):
        read(module, (3,))
    assert all(m.training for m in module.modules())


def test_a_value_changed_in_place_and_used_again_is_an_error():
    class Aliased(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            h = self.a(x)
            same = h
            h += self.b(x)  # `same` changes too, which no trace shows
            return h + same

    with pytest.raises(UnsupportedModuleError, match=r"Aliased computes something else.*in place"):
        read(Aliased(), (3,))


def test_a_hook_that_changes_values_is_an_error():
    module = MLP(3, 2, (4,))
    module.hidden0.register_forward_hook(lambda *_: torch.ones(2, 4))
    with pytest.raises(UnsupportedModuleError, match="hooks"):
        read(module, (3,))


def test_a_network_with_nan_weights_can_be_read():
    module = MLP(3, 2, (4,))
    nn.init.constant_(module.hidden0.weight, float("nan"))
    assert len(read(module, (3,)).layers) == 2


def test_a_network_without_layers_or_parameters():
    graph = read(nn.Sequential(nn.Flatten(), nn.ReLU()), (2, 3))
    assert graph.layers == []
    assert graph.select() == []
    assert graph.run(torch.full((1, 2, 3), -1.0))[graph.output].tolist() == [[0.0] * 6]


def test_node_kinds_are_shown_by_name_and_shape(named_case):
    case = named_case("residual")
    graph = read(case.network(), case.shape)
    add = next(node for node in graph.nodes if isinstance(node, Add))
    norm = next(node for node in graph.nodes if isinstance(node, BatchNorm))
    assert repr(add) == "Add('add', shape=(6,))"
    assert repr(norm) == "BatchNorm('norm', shape=(6,))"
