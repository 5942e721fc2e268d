"""Removal of units: what the network computes, what is cut, and what the optimizers keep."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sknninterp.nn.graph import evaluation, read, single_use
from sknninterp.nn.mlp import MLP
from sknninterp.nn.nodes import Linear, UnsupportedModuleError, Weighted
from sknninterp.nn.optim import AdamMini, FusedAdam
from sknninterp.nn.surgery import remove_units


def outputs(module, x):
    with evaluation(module), torch.no_grad():
        return module(x)


def some_units(graph, generator, fewest_left=1):
    """A few units of every layer that can be cut, never all."""
    gone = []
    for layer in single_use(graph.hidden_layers):
        n = int(generator.integers(1, max(2, layer.width - fewest_left + 1)))
        gone += generator.choice(layer.units, n, replace=False).tolist()
    return gone


def silence(graph, gone):
    """Zero all weights that read these units: what they say is then heard by nobody."""
    with torch.no_grad():
        for node in graph.nodes:
            if isinstance(node, Weighted) and node.groups == 1:
                columns = np.isin(graph.units[node.inputs[0]], gone)
                node.weight[:, torch.from_numpy(columns)] = 0.0


def sizes_agree(module):
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            assert layer.weight.shape == (layer.out_features, layer.in_features)
        elif isinstance(layer, (nn.Conv1d, nn.Conv2d)):
            n_in = layer.in_channels // layer.groups
            assert layer.weight.shape[:2] == (layer.out_channels, n_in)
        elif isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            assert layer.running_mean.shape == layer.running_var.shape == (layer.num_features,)
            assert layer.weight is None or layer.weight.shape == (layer.num_features,)
        if getattr(layer, "bias", None) is not None and hasattr(layer, "weight"):
            assert len(layer.bias) == len(layer.weight)


# --- what the network computes ------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_units_that_nobody_hears_can_go_bit_for_bit(case, seed):
    # Small integers: every sum is exact, in any order.
    module = case.network(integers=True, seed=seed)
    x = case.samples(integers=True, seed=seed + 10)
    graph = read(module, case.shape)
    gone = some_units(graph, np.random.default_rng(seed))
    silence(graph, gone)
    before = outputs(module, x)
    remove_units(graph, gone)
    after = outputs(module, x)
    assert gone or not graph.hidden_layers
    if case.exact:
        assert torch.equal(after, before)
    torch.testing.assert_close(after, before)
    assert torch.equal(graph.run(x)[graph.output], after)


def test_removal_equals_silencing_in_general(case):
    module, x = case.network(), case.samples()
    graph = read(module, case.shape)
    gone = some_units(graph, np.random.default_rng(0))
    silenced = copy.deepcopy(module)
    silence(read(silenced, case.shape), gone)
    remove_units(graph, gone)
    torch.testing.assert_close(outputs(module, x), outputs(silenced, x))


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "gelu"])
def test_removal_equals_masking_the_activations_of_an_mlp(activation):
    # The activation, not the weights: sigmoid(0) is not 0.
    module = MLP(5, 3, (7, 6), activation, batch_norm=True).double()
    for norm in (module.norm0, module.norm1):
        nn.init.uniform_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
    masks = {"activation0": torch.ones(7), "activation1": torch.ones(6)}
    masks["activation0"][[1, 4]] = 0
    masks["activation1"][[0, 2, 5]] = 0
    masked = copy.deepcopy(module)
    for name, mask in masks.items():
        masked.get_submodule(name).register_forward_hook(lambda _, __, y, mask=mask: y * mask)
    graph = read(module, (5,))
    first, second, _ = graph.layers
    remove_units(graph, [*first.units[[1, 4]], *second.units[[0, 2, 5]]])
    x = torch.randn(20, 5, dtype=torch.float64)
    torch.testing.assert_close(outputs(module, x), outputs(masked, x))


def test_removal_equals_masking_the_channels_of_a_network(named_case):
    case = named_case("cnn-2d")
    module, x = case.network(), case.samples()
    masked = copy.deepcopy(module)
    masked[3].register_forward_hook(lambda _, __, y: y * torch.tensor([1, 0, 1, 0])[:, None, None])
    masked[6].register_forward_hook(
        lambda _, __, y: y * torch.tensor([0, 1, 1, 0, 1, 1])[:, None, None]
    )
    graph = read(module, case.shape)
    first, second, *_ = graph.layers
    remove_units(graph, [*first.units[[1, 3]], *second.units[[0, 3]]])
    torch.testing.assert_close(outputs(module, x), outputs(masked, x))


@given(st.data())
def test_weights_that_stay_are_those_of_the_kept_positions(data):
    widths = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    module = MLP(3, 2, widths, batch_norm=data.draw(st.booleans()))
    before = copy.deepcopy(module.state_dict())
    graph = read(module, (3,))
    kept = [
        sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1, max_size=n))) for n in widths
    ]
    gone = [
        unit
        for layer, stay in zip(graph.hidden_layers, kept, strict=True)
        for i, unit in enumerate(layer.units)
        if i not in stay
    ]
    remove_units(graph, gone)
    after = module.state_dict()
    inputs = [0, 1, 2]
    for i, stay in enumerate([*kept, [0, 1]]):
        name = f"hidden{i}" if i < len(widths) else "output"
        assert torch.equal(after[f"{name}.weight"], before[f"{name}.weight"][stay][:, inputs])
        assert torch.equal(after[f"{name}.bias"], before[f"{name}.bias"][stay])
        for key in ("weight", "bias", "running_mean", "running_var"):
            if f"norm{i}.{key}" in before:
                assert torch.equal(after[f"norm{i}.{key}"], before[f"norm{i}.{key}"][stay])
        inputs = stay


# --- the network and its reading afterwards -----------------------------------------------------


def cut(case, fewest_left=1):
    module = case.network()
    graph = read(module, case.shape)
    remove_units(graph, some_units(graph, np.random.default_rng(0), fewest_left))
    return module, graph


def test_sizes_that_modules_print_agree_with_their_weights(case):
    module, _ = cut(case)
    sizes_agree(module)


def test_parameters_keep_their_identity_and_are_still_trained(case):
    module = case.network()
    frozen = next(module.parameters()).requires_grad_(False)
    identities = {name: id(p) for name, p in module.named_parameters()}
    x = case.samples()
    module.train()(x).sum().backward()
    graph = read(module, case.shape)
    remove_units(graph, some_units(graph, np.random.default_rng(0)))
    assert {name: id(p) for name, p in module.named_parameters()} == identities
    assert not frozen.requires_grad
    module.zero_grad()
    module.train()(x).square().sum().backward()
    for parameter in module.parameters():
        assert parameter is frozen or parameter.grad.shape == parameter.shape


def test_a_loss_that_is_still_held_does_not_spoil_the_next_step():
    module = MLP(3, 2, (6,))
    x = torch.randn(4, 3)
    loss = module(x).sum()  # held: its graph keeps the parameters' gradient accumulators
    loss.backward()
    graph = read(module, (3,))
    remove_units(graph, graph.layers[0].units[:4])
    module(x).sum().backward()
    assert loss.requires_grad
    assert module.hidden0.weight.grad.shape == (2, 3)


def test_copies_of_a_cut_network_are_whole(case):
    module, _ = cut(case)
    x = case.samples()
    expected = outputs(module, x)
    assert torch.equal(outputs(copy.deepcopy(module), x), expected)
    assert torch.equal(outputs(pickle.loads(pickle.dumps(module)), x), expected)
    stream = io.BytesIO()
    torch.save(module.state_dict(), stream)
    stream.seek(0)
    other, _ = cut(case)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(torch.load(stream, weights_only=True))
    assert torch.equal(outputs(other, x), expected)


def test_a_cut_network_takes_no_more_memory_than_its_weights():
    module = MLP(100, 2, (100,))
    graph = read(module, (100,))
    remove_units(graph, graph.layers[0].units[:99])
    weight = module.hidden0.weight
    assert weight.untyped_storage().nbytes() == weight.numel() * weight.element_size()
    assert len(pickle.dumps(module)) < 10_000


def test_a_new_reading_equals_the_graph_that_was_kept_up_to_date(case):
    # A depthwise convolution of one channel is an ordinary one: two are left.
    module, kept = cut(case, fewest_left=2)
    fresh = read(module, case.shape)
    assert [(n.name, n.shape) for n in fresh.nodes] == [(n.name, n.shape) for n in kept.nodes]
    described = [
        [
            (layer.name, layer.width, layer.prunable, layer.pre.name, layer.post.name)
            for layer in graph.layers
        ]
        for graph in (fresh, kept)
    ]
    assert described[0] == described[1]
    # The same partition of all channels into units, whatever the units' numbers.
    same = {}
    for a, b in zip(fresh.nodes, kept.nodes, strict=True):
        for i, j in zip(fresh.units[a].tolist(), kept.units[b].tolist(), strict=True):
            assert same.setdefault(i, j) == j
    assert len(set(same.values())) == len(same)
    assert {same[i] for i in fresh.frozen if i in same} == kept.frozen & set(same.values())


def test_cutting_twice_equals_cutting_once(case):
    once, twice = case.network(), case.network()
    graph_once, graph_twice = read(once, case.shape), read(twice, case.shape)
    gone = some_units(graph_once, np.random.default_rng(1))
    remove_units(graph_once, gone)
    remove_units(graph_twice, gone[: len(gone) // 2])
    remove_units(graph_twice, gone[len(gone) // 2 :])
    for (name, a), b in zip(once.state_dict().items(), twice.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_removing_nothing_changes_nothing():
    module = MLP(3, 2, (4,))
    graph = read(module, (3,))
    weight = module.hidden0.weight.data
    remove_units(graph, [])
    assert module.hidden0.weight.data.data_ptr() == weight.data_ptr()


# --- refusals -----------------------------------------------------------------------------------


def test_units_of_input_and_output_cannot_go(case):
    module = case.network()
    graph = read(module, case.shape)
    before = copy.deepcopy(module.state_dict())
    hidden = [layer.units[0] for layer in graph.hidden_layers][:1]
    for node in (graph.input, graph.output):
        with pytest.raises(ValueError, match="belong to the network's input or output"):
            remove_units(graph, [*hidden, graph.units[node][0]])
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


def test_a_layer_cannot_be_emptied(case):
    module = case.network()
    graph = read(module, case.shape)
    before = copy.deepcopy(module.state_dict())
    for layer in graph.hidden_layers:
        with pytest.raises(ValueError, match="would leave layer .* empty"):
            remove_units(graph, layer.units)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert [layer.width for layer in graph.layers] == [
        layer.width for layer in read(module, case.shape).layers
    ]


def test_unknown_units_are_named():
    graph = read(MLP(3, 2, (4,)), (3,))
    gone = int(graph.layers[0].units[0])
    with pytest.raises(ValueError, match=r"There are no units \[999\]"):
        remove_units(graph, [gone, 999])
    remove_units(graph, [gone])
    with pytest.raises(ValueError, match=rf"There are no units \[{gone}\]"):
        remove_units(graph, [gone])


def test_a_parametrized_layer_cannot_be_cut_and_nothing_is():
    module = nn.Sequential(
        nn.Linear(3, 4),
        nn.ReLU(),
        nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)),
        nn.ReLU(),
        nn.Linear(4, 2),
    )
    graph = read(module, (3,))
    before = copy.deepcopy(module.state_dict())
    with pytest.raises(UnsupportedModuleError, match=r"at '2' computes its weight"):
        remove_units(graph, graph.layers[0].units[:1])
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert graph.layers[0].width == 4


# --- optimizers ---------------------------------------------------------------------------------

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
    "sgd-fused": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, fused=True),
    "sgd-plain": lambda p: torch.optim.SGD(p, lr=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
    "adam-foreach": lambda p: torch.optim.Adam(p, lr=0.01, foreach=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
    "fused-adam": lambda p: FusedAdam(p, lr=0.01, weight_decay=0.01),
    "adam-mini": lambda p: AdamMini(p, lr=0.01),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.01),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "rprop": lambda p: torch.optim.Rprop(p, lr=0.01),
    "adadelta": torch.optim.Adadelta,
}


def train(module, optimizer, x, y, n_steps=3):
    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(module.train()(x), y)
        loss.backward()
        return loss

    return [optimizer.step(closure).item() for _ in range(n_steps)]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("network", ["mlp-batch-norm-dropout", "cnn-2d", "residual", "depthwise"])
def test_state_of_the_optimizer_is_cut_with_its_parameter(named_case, network, name):
    case = named_case(network)
    module, x = case.network(torch.float32), case.samples(12, torch.float32)
    y = torch.arange(12) % 2
    optimizer = OPTIMIZERS[name](module.parameters())
    train(module, optimizer, x, y)
    # Numbered weights: where a number is afterwards tells which position was kept.
    numbered = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in numbered.parameters():
            parameter.copy_(torch.arange(parameter.numel()).reshape(parameter.shape))
    graph, numbers = read(module, case.shape), read(numbered, case.shape)
    gone = some_units(graph, np.random.default_rng(0))
    before = {p: dict(optimizer.state[p]) for p in module.parameters() if p in optimizer.state}
    remove_units(graph, gone, [optimizer])
    remove_units(numbers, gone)
    for parameter, kept in zip(module.parameters(), numbered.parameters(), strict=True):
        for key, value in before.get(parameter, {}).items():
            found = optimizer.state[parameter][key]
            if isinstance(value, torch.Tensor) and value.ndim:
                assert torch.equal(found, value.flatten()[kept.long()]), key
            else:
                assert found == value
    assert all(np.isfinite(train(module, optimizer, x, y)))
    for parameter, state in optimizer.state.items():
        assert all(
            v.shape == parameter.shape for v in state.values() if torch.is_tensor(v) and v.ndim
        )


def test_training_goes_on_as_if_the_removed_neurons_had_never_been_heard():
    """A neuron without outgoing weights gets no gradient: its removal changes no other step."""
    x, y = torch.randn(30, 5, dtype=torch.float64), torch.arange(30) % 3
    module = MLP(5, 3, (8, 6)).double()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    graph = read(module, (5,))
    gone = graph.layers[0].units[[1, 5]].tolist()
    silence(graph, gone)
    # In the large network the outgoing weights are held at zero by hand.
    module.hidden1.weight.register_hook(
        lambda g: g * (module.hidden1.weight != 0) if g.shape[1] == 8 else g
    )
    train(module, optimizer, x, y)
    large = copy.deepcopy(module)
    large_optimizer = torch.optim.SGD(large.parameters(), lr=0.1, momentum=0.9)
    large_optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    large.hidden1.weight.register_hook(lambda g: g * (large.hidden1.weight != 0))
    remove_units(graph, gone, [optimizer])
    losses = train(module, optimizer, x, y, 5)
    np.testing.assert_allclose(losses, train(large, large_optimizer, x, y, 5))
    torch.testing.assert_close(outputs(module, x), outputs(large, x))


def test_lbfgs_starts_anew():
    x, y = torch.randn(30, 5), torch.arange(30) % 3
    module = MLP(5, 3, (8, 6))
    optimizer = torch.optim.LBFGS(module.parameters(), lr=0.1, max_iter=3)
    train(module, optimizer, x, y)
    graph = read(module, (5,))
    # Only the last weights change, of which L-BFGS's state, kept at the first, knows nothing.
    remove_units(graph, graph.layers[1].units[:2], [optimizer])
    losses = train(module, optimizer, x, y, 5)
    assert losses[-1] < losses[0]


def test_lbfgs_of_other_parameters_keeps_its_memory():
    x, y = torch.randn(30, 5), torch.arange(30) % 3
    module = MLP(5, 3, (8, 6))
    optimizer = torch.optim.LBFGS(module.hidden0.parameters(), lr=0.1, max_iter=3)
    train(module, optimizer, x, y)
    graph = read(module, (5,))
    n_iterations = optimizer.state[module.hidden0.weight]["n_iter"]
    remove_units(graph, graph.layers[1].units[:2], [optimizer])
    assert optimizer.state[module.hidden0.weight]["n_iter"] == n_iterations > 0
    assert all(np.isfinite(train(module, optimizer, x, y)))


@pytest.mark.skipif(not hasattr(torch.optim, "Adafactor"), reason="new in torch 2.5")
def test_a_factored_moment_starts_anew_and_whole_ones_are_cut():
    x, y = torch.randn(30, 5), torch.arange(30) % 3
    module = MLP(5, 3, (8,))
    optimizer = torch.optim.Adafactor(module.parameters(), lr=0.01)
    train(module, optimizer, x, y)
    before = optimizer.state[module.hidden0.bias]["variance"].clone()
    graph = read(module, (5,))
    remove_units(graph, graph.layers[0].units[:5], [optimizer])
    assert module.hidden0.weight not in optimizer.state
    assert torch.equal(optimizer.state[module.hidden0.bias]["variance"], before[5:])
    assert all(np.isfinite(train(module, optimizer, x, y)))
    assert optimizer.state[module.hidden0.weight]["row_var"].shape == (3, 1)


def test_every_optimizer_given_is_cut_and_others_are_left():
    module = MLP(5, 3, (8,))
    x, y = torch.randn(30, 5), torch.arange(30) % 3
    first = torch.optim.Adam(module.hidden0.parameters())
    second = torch.optim.Adam(module.output.parameters())
    train(module, first, x, y)
    train(module, second, x, y)
    graph = read(module, (5,))
    remove_units(graph, graph.layers[0].units[:5], iter([first, second]))
    assert first.state[module.hidden0.weight]["exp_avg"].shape == (3, 5)
    assert second.state[module.output.weight]["exp_avg"].shape == (3, 3)
    assert second.state[module.output.bias]["exp_avg"].shape == (3,)


def test_gradients_of_the_old_size_are_gone():
    module = MLP(5, 3, (8,))
    module(torch.randn(4, 5)).sum().backward()
    graph = read(module, (5,))
    remove_units(graph, graph.layers[0].units[:5])
    assert module.hidden0.weight.grad is None
    torch.optim.SGD(module.parameters(), lr=0.1).step()


# --- special structures -------------------------------------------------------------------------


def test_a_flattened_channel_takes_all_its_positions():
    module = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 4, 2))
    before = module[3].weight.detach().clone()
    graph = read(module, (1, 2, 2))
    remove_units(graph, graph.layers[0].units[[1]])
    assert torch.equal(module[3].weight, before[:, [0, 1, 2, 3, 8, 9, 10, 11]])


def test_depthwise_channels_go_with_the_channel_they_read():
    module = nn.Sequential(
        nn.Conv1d(2, 3, 1),
        nn.ReLU(),
        nn.Conv1d(3, 6, 3, groups=3, padding=1),
        nn.ReLU(),
        nn.Conv1d(6, 2, 1),
    )
    before = [module[2].weight.detach().clone(), module[4].weight.detach().clone()]
    graph = read(module, (2, 5))
    remove_units(graph, graph.layers[0].units[[1]])
    assert (module[2].in_channels, module[2].out_channels, module[2].groups) == (2, 4, 2)
    assert torch.equal(module[2].weight, before[0][[0, 1, 4, 5]])
    assert torch.equal(module[4].weight, before[1][:, [0, 1, 4, 5]])
    remove_units(graph, graph.layers[0].units[[0]])
    assert (module[2].in_channels, module[2].out_channels, module[2].groups) == (1, 2, 1)
    x = torch.randn(3, 2, 5)
    assert torch.equal(graph.run(x)[graph.output], module(x))


def test_a_residual_stream_is_cut_in_every_layer_that_writes_to_it(named_case):
    case = named_case("resnet")
    module = case.network()
    graph = read(module, case.shape)
    stream = next(layer for layer in graph.layers if layer.name == "2.conv2")
    remove_units(graph, stream.units[[0, 2]])
    block, following = module[2], module[3]
    assert block.conv2.out_channels == block.downsample[0].out_channels == 2
    assert block.bn2.num_features == block.downsample[1].num_features == 2
    assert following.conv1.in_channels == following.downsample[0].in_channels == 2
    assert block.conv1.out_channels == following.conv2.out_channels == 4


def test_a_shared_weight_is_cut_once(named_case):
    case = named_case("tied-weights")
    module = case.network()
    graph = read(module, case.shape)
    remove_units(graph, graph.layers[0].units[[0, 3]])
    assert module.b.weight is module.c.weight
    assert module.b.weight.shape == (3, 3)
    assert module.a.bias is module.d.bias
    assert module.a.bias.shape == (3,)
    assert module.c.in_features == module.c.out_features == 3


def test_owners_that_are_no_layers_are_cut_too(named_case):
    case = named_case("functional")
    module = case.network()
    graph = read(module, case.shape)
    kernel, weights, _ = graph.layers
    assert not isinstance(kernel.weighted, Linear)
    remove_units(graph, [*kernel.units[:1], *weights.units[:2]])
    assert module.kernel.shape == (3, 2, 3, 3)
    assert module.shift.shape == (3,)
    assert [w.shape for w in module.weights] == [(3, 12), (3, 3)]


def test_only_what_reads_a_unit_is_cut():
    class Fork(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(3, 5)
            self.left, self.right = nn.Linear(4, 2), nn.Linear(9, 2)

        def forward(self, x):
            a, b = torch.relu(self.a(x)), torch.relu(self.b(x))
            return self.left(a) + self.right(torch.cat([b, a], 1))

    module = Fork()
    before = copy.deepcopy(module.state_dict())
    graph = read(module, (3,))
    a = next(layer for layer in graph.layers if layer.name == "a")
    remove_units(graph, a.units[[2]])
    assert torch.equal(module.left.weight, before["left.weight"][:, [0, 1, 3]])
    assert torch.equal(module.right.weight, before["right.weight"][:, [0, 1, 2, 3, 4, 5, 6, 8]])
    assert torch.equal(module.b.weight, before["b.weight"])
