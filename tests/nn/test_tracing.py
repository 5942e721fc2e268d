"""Following a module's calls: which modules are entered, names, inputs, outputs, errors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sknninterp.nn.graph import evaluation, read
from sknninterp.nn.nodes import UnsupportedModuleError
from sknninterp.nn.tracing import trace


class Gate(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class TwoInputs(nn.Module):
    def forward(self, x, mask):
        return x + mask


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        return self.head(x), x


class Mapping(Pair):
    def forward(self, x):
        return {"logits": self.head(x)}


class Constant(nn.Module):
    def forward(self, x):
        return torch.ones(2, 3)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Gate(), r"^Gate cannot be read: its control flow depends on the data"),
        (nn.Sequential(nn.Linear(3, 3), nn.Sequential(Gate())), r"^Gate at '1.0' cannot be read"),
        (TwoInputs(), r"^TwoInputs takes 2 inputs \['x', 'mask'\]; one is read"),
        (Pair(), r"^Pair must return one tensor"),
        (Mapping(), r"^Mapping must return one tensor"),
        (Constant(), r"^Constant must return one tensor made from its input"),
    ],
)
def test_errors_name_the_module(module, message):
    with pytest.raises(UnsupportedModuleError, match=message):
        read(module, (3,))


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (nn.Sequential(nn.Linear(3, 2)), (4,), r"shape \(4,\): Linear at '0': .*mat1 and mat2"),
        (nn.Sequential(nn.Flatten(), nn.Linear(6, 2)), (2, 4), r"shape \(2, 4\): Linear at '1'"),
        (nn.Sequential(nn.Conv2d(3, 2, 3)), (1, 8, 8), r"shape \(1, 8, 8\): Conv2d at '0'"),
        (nn.Sequential(nn.Sequential(nn.MaxPool2d(5))), (1, 3, 3), r"MaxPool2d at '0.0'"),
        (nn.Sequential(nn.Embedding(5, 2)), (3,), r"shape \(3,\): Embedding at '0'"),
    ],
)
def test_a_wrong_sample_shape_is_named_with_the_layer_that_refuses_it(module, shape, message):
    with pytest.raises(ValueError, match=rf"Sequential cannot take samples of.*{message}"):
        read(module, shape)


def test_optional_arguments_keep_their_defaults(named_case):
    case = named_case("listed")  # its forward has a mask, None, and a switch, True
    names = [n.name for n in trace(case.network()).nodes if n.op == "call_function"]
    assert "mul" not in names


def test_a_subclass_that_inherits_its_computation_is_not_entered():
    class Named(nn.Linear):
        pass

    class Norm(nn.BatchNorm1d):
        pass

    graph = read(nn.Sequential(Named(3, 2), Norm(2)), (3,))
    assert [node.name for node in graph.nodes[1:]] == ["0", "1"]


def test_second_uses_have_their_own_names(named_case):
    case = named_case("reused")
    names = [node.name for node in read(case.network(), case.shape).nodes]
    assert names == [
        "x",
        "stem",
        "norm",
        "act",
        "step",
        "norm_1",
        "act_1",
        "step_1",
        "norm_2",
        "act_2",
        "head",
    ]


def test_names_are_unique_even_where_paths_look_like_numbered_uses():
    class Confusing(nn.Module):
        def __init__(self):
            super().__init__()
            self.act, self.act_1, self.relu = nn.ReLU(), nn.ReLU(), nn.Linear(3, 3)

        def forward(self, x):
            x = self.act(self.act(x))
            return F.relu(self.relu(F.relu(self.act_1(x))))

    names = [node.name for node in read(Confusing(), (3,)).nodes]
    assert len(set(names)) == len(names) == 7


def test_what_does_not_reach_the_output_is_left_out():
    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.main, self.side = nn.Linear(3, 2), nn.LayerNorm(3)

        def forward(self, x):
            self.side(x)
            return self.main(x)

    assert [node.name for node in read(Auxiliary(), (3,)).nodes] == ["x", "main"]


def test_the_network_is_followed_as_it_is_in_evaluation():
    class Switch(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x):
            return self.a(x) if self.training else self.b(x)

    module = Switch().train()
    assert [layer.name for layer in read(module, (3,)).layers] == ["b"]
    assert module.training


def test_in_place_calls_are_seen_by_later_readers_only():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            h = self.a(x)
            before = self.b(h)
            after = F.relu_(h).add_(x)  # h is changed twice from here on
            return before + h + after

    module = Both()
    x = torch.randn(4, 3)
    graph = read(module, (3,))
    with evaluation(module), torch.no_grad():
        assert torch.equal(graph.run(x)[graph.output], module(x))
        h = module.a(x)
        assert not torch.allclose(module.b(h) + h + F.relu(h) + x, module(x))


def test_a_parametrized_layer_is_read_with_its_computed_weight():
    module = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), nn.ReLU())
    graph = read(module, (3,))
    x = torch.randn(2, 3)
    with torch.no_grad():
        module[0].parametrizations.weight.original0.mul_(2.0)
        assert torch.equal(graph.run(x)[graph.output], module(x))


def test_half_precision_networks_are_read():
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).bfloat16()
    graph = read(module, (3,))
    x = torch.randn(2, 3).bfloat16()
    assert torch.equal(graph.run(x)[graph.output], module(x))


def test_threads_read_and_run_networks_at_once():
    """While one is traced, torch's calls of modules are the tracer's in all threads."""
    networks = [nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(4)]
    inputs = torch.randn(5, 3)
    expected = [network(inputs) for network in networks]

    def read_and_run(i):
        network = networks[i % 4]
        graph = read(network, (3,))
        with torch.no_grad():
            return [len(graph.nodes), *(network(inputs) - expected[i % 4]).abs().amax(1).tolist()]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(read_and_run, range(120)))
    assert {row[0] for row in found} == {4}
    assert max(max(row[1:]) for row in found) < 1e-6


def test_networks_on_several_devices_are_refused():
    with pytest.raises(UnsupportedModuleError, match="DataParallel cannot be read: it spreads a"):
        read(nn.DataParallel(nn.Linear(2, 2)), (2,))
