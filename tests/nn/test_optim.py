"""FusedAdam against torch's own fused Adam, bit for bit; AdamMini against loops."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
import warnings

import pytest
import torch
import torch.nn.functional as F

from sknninterp.nn.graph import read
from sknninterp.nn.mlp import MLP
from sknninterp.nn.optim import AdamMini, FusedAdam
from sknninterp.nn.stacked import StackedMLP
from sknninterp.nn.surgery import remove_units

OPTIONS = {
    "plain": {},
    "weight-decay": {"weight_decay": 0.1},
    "lr-and-betas": {"lr": 0.03, "betas": (0.7, 0.95), "eps": 1e-4},
    "tensor-lr": {"lr": torch.tensor(0.03)},
    "amsgrad": {"amsgrad": True, "lr": 0.1},
    "maximize": {"maximize": True},
}
if "decoupled_weight_decay" in inspect.signature(torch.optim.Adam).parameters:
    OPTIONS["decoupled"] = {"decoupled_weight_decay": True, "weight_decay": 0.2}


def torch_adam(parameters, **options):
    return torch.optim.Adam(parameters, fused=True, **options)


def pair(dtype=torch.float32, **options):
    """The same network twice: (module, optimizer) of ours and of torch."""
    ours = MLP(5, 3, (7, 6), batch_norm=True).to(dtype)
    theirs = copy.deepcopy(ours)
    return (ours, FusedAdam(ours.parameters(), **options)), (
        theirs,
        torch_adam(theirs.parameters(), **options),
    )


def batch(seed, dtype=torch.float32, n_features=5):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(16, n_features, generator=generator, dtype=dtype)
    return x, torch.randint(0, 3, (16,), generator=generator)


def train(module, optimizer, n_steps=5, first=0, scheduler=None):
    for seed in range(first, first + n_steps):
        x, y = batch(seed, next(module.parameters()).dtype)
        optimizer.zero_grad()
        F.cross_entropy(module(x), y).backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()


def assert_same(one, other):
    (module, optimizer), (expected, reference) = one, other
    for a, b in zip(module.parameters(), expected.parameters(), strict=True):
        assert torch.equal(a, b)
        state, right = optimizer.state[a], reference.state[b]
        assert set(state) == set(right)
        for key in right:
            assert torch.equal(state[key], right[key]), key
            assert state[key].dtype == right[key].dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", OPTIONS)
def test_steps_equal_those_of_torch(name, dtype):
    ours, theirs = pair(dtype, **OPTIONS[name])
    for each in (ours, theirs):
        train(*each, n_steps=10)
    assert_same(ours, theirs)


@pytest.mark.parametrize(
    "schedule",
    [
        lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.5),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=10),
        lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda epoch: 1 / (1 + epoch)),
    ],
)
def test_learning_rate_schedules(schedule):
    ours, theirs = pair(lr=0.05)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns where it does not see an optimizer's step
        for module, optimizer in (ours, theirs):
            train(module, optimizer, 8, scheduler=schedule(optimizer))
    assert_same(ours, theirs)
    assert ours[1].param_groups[0]["lr"] == theirs[1].param_groups[0]["lr"] != 0.05


def test_groups_have_their_own_options():
    ours, theirs = pair()
    made = []
    for (module, _), make in ((ours, FusedAdam), (theirs, torch_adam)):
        hidden, rest = list(module.hidden0.parameters()), list(module.parameters())[2:]
        groups = [{"params": hidden, "lr": 0.1, "amsgrad": True}, {"params": rest, "eps": 1e-3}]
        made.append((module, make(groups, lr=0.01)))
        train(*made[-1])
    assert_same(*made)


def test_parameters_of_several_dtypes():
    results = []
    for make in (FusedAdam, torch_adam):
        parameters = [
            torch.nn.Parameter(torch.ones(3, dtype=d)) for d in (torch.float32, torch.float64)
        ]
        optimizer = make(parameters, lr=0.1)
        for _ in range(3):
            for i, parameter in enumerate(parameters):
                parameter.grad = parameter.detach() * (i + 1)
            optimizer.step()
        results.append([p.detach() for p in parameters])
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


def test_parameters_without_gradients_stay_and_have_no_state():
    ours, theirs = pair(weight_decay=0.1)
    for module, optimizer in (ours, theirs):
        module.hidden1.requires_grad_(False)
        before = module.hidden1.weight.clone()
        train(module, optimizer)
        assert torch.equal(module.hidden1.weight, before)
        assert module.hidden1.weight not in optimizer.state
        module.hidden1.requires_grad_(True)
        train(module, optimizer, first=5)  # its steps are counted from now
    assert_same(ours, theirs)
    assert ours[1].state[ours[0].hidden1.weight]["step"] == 5
    assert ours[1].state[ours[0].hidden0.weight]["step"] == 10


def test_a_step_without_any_gradient_does_nothing():
    module = MLP(5, 3, (4,))
    before = copy.deepcopy(module.state_dict())
    optimizer = FusedAdam(module.parameters())
    assert optimizer.step() is None
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert len(optimizer.state) == 0


def test_closure_is_called_with_gradients_and_its_loss_returned():
    ours, theirs = pair()
    losses = []
    for module, optimizer in (ours, theirs):

        def closure(module=module, optimizer=optimizer):
            assert torch.is_grad_enabled()
            optimizer.zero_grad()
            x, y = batch(0)
            loss = F.cross_entropy(module(x), y)
            loss.backward()
            return loss

        with torch.no_grad():
            losses.append([optimizer.step(closure).item() for _ in range(3)])
    assert losses[0] == losses[1]
    assert_same(ours, theirs)


@pytest.mark.parametrize("name", ["plain", "amsgrad"])
def test_state_dicts_go_both_ways(name):
    ours, theirs = pair(**OPTIONS[name])
    for each in (ours, theirs):
        train(*each)
    stream = io.BytesIO()
    torch.save([ours[1].state_dict(), theirs[1].state_dict()], stream)
    stream.seek(0)
    from_ours, from_theirs = torch.load(stream, weights_only=True)
    swapped_ours = FusedAdam(ours[0].parameters())
    swapped_ours.load_state_dict(from_theirs)
    swapped_theirs = torch_adam(theirs[0].parameters())
    swapped_theirs.load_state_dict(from_ours)
    for each in ((ours[0], swapped_ours), (theirs[0], swapped_theirs)):
        train(*each, first=5)
    assert_same((ours[0], swapped_ours), (theirs[0], swapped_theirs))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_go_on_alike(copied):
    ours, _ = pair(weight_decay=0.1)
    train(*ours)
    other = copied(ours)
    for each in (ours, other):
        train(*each, first=5)
    assert_same(ours, other)


def test_steps_after_surgery_equal_those_of_torch():
    ours, theirs = pair(lr=0.05)
    for module, optimizer in (ours, theirs):
        train(module, optimizer)
        graph = read(module, (5,))
        first, second, _ = graph.layers
        remove_units(graph, [*first.units[[0, 3]], *second.units[[5]]], [optimizer])
        train(module, optimizer, first=5)
        assert module.hidden0.weight.shape == (5, 5)
    assert_same(ours, theirs)


def test_gradients_scaled_for_mixed_precision_are_unscaled():
    ours, theirs = pair()
    for module, optimizer in (ours, theirs):
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=2)
        for seed in range(4):
            x, y = batch(seed)
            optimizer.zero_grad()
            scaler.scale(F.cross_entropy(module(x), y)).backward()
            scaler.step(optimizer)
            scaler.update()
    assert_same(ours, theirs)


def test_gradients_stay_as_they_were():
    (module, optimizer), _ = pair(weight_decay=0.5)
    x, y = batch(0)
    F.cross_entropy(module(x), y).backward()
    before = [p.grad.clone() for p in module.parameters()]
    optimizer.step()
    for parameter, gradient in zip(module.parameters(), before, strict=True):
        assert torch.equal(parameter.grad, gradient)


def test_torchs_own_checks_of_options_remain():
    with pytest.raises(ValueError, match="Invalid learning rate"):
        FusedAdam(MLP(2, 1, ()).parameters(), lr=-1.0)
    with pytest.raises(RuntimeError, match="`fused`"):
        FusedAdam(MLP(2, 1, ()).parameters(), foreach=True)


# --- one learning rate a neuron -----------------------------------------------------------------


def mini_by_loops(values, gradients, lr, betas, eps, weight_decay):
    """Values after some steps, from the gradients of each: lists of rows of floats."""
    first = [[0.0] * len(row) for row in values]
    second = [0.0] * len(values)
    for t, gradient in enumerate(gradients, 1):
        for j, row in enumerate(values):
            square = sum(g * g for g in gradient[j]) / len(row)
            second[j] = betas[1] * second[j] + (1 - betas[1]) * square
            size = (second[j] / (1 - betas[1] ** t)) ** 0.5 + eps
            for i in range(len(row)):
                first[j][i] = betas[0] * first[j][i] + (1 - betas[0]) * gradient[j][i]
                row[i] -= lr * weight_decay * row[i]
                row[i] -= lr * first[j][i] / (1 - betas[0] ** t) / size
    return values


@pytest.mark.parametrize("shape", [(3, 4), (3,), (2, 3, 2, 2)])
def test_mini_is_that_of_loops(shape):
    options = {"lr": 0.03, "betas": (0.7, 0.95), "eps": 1e-4, "weight_decay": 0.2}
    generator = torch.Generator().manual_seed(0)
    draw = [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(6)]
    parameter = torch.nn.Parameter(draw[0].clone())
    optimizer = AdamMini([parameter], **options)
    for gradient in draw[1:]:
        parameter.grad = gradient
        optimizer.step()
    rows = [d.reshape(len(d), -1).tolist() for d in draw]
    expected = torch.tensor(mini_by_loops(rows[0], rows[1:], **options), dtype=torch.float64)
    assert torch.allclose(parameter, expected.reshape(shape), rtol=0, atol=1e-12)
    assert optimizer.state[parameter]["exp_avg_sq"].shape == shape


def test_mini_of_single_numbers_is_adamw():
    ours, theirs = torch.nn.Parameter(torch.ones(5)), torch.nn.Parameter(torch.ones(5))
    optimizers = AdamMini([ours], lr=0.1), torch.optim.AdamW([theirs], lr=0.1)
    for seed in range(4):
        ours.grad = torch.randn(5, generator=torch.Generator().manual_seed(seed))
        theirs.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-6)


def test_mini_of_a_stack_is_that_of_its_networks():
    networks = [MLP(5, 3, (7, 6)).double() for _ in range(2)]
    options = {"lr": 0.05, "weight_decay": 0.1}
    stack = StackedMLP([copy.deepcopy(network) for network in networks])
    optimizer = AdamMini(stack.parameters(), stacked=True, **options)
    optimizers = [AdamMini(network.parameters(), **options) for network in networks]
    for seed in range(5):
        x, y = batch(seed, torch.float64)
        optimizer.zero_grad()
        outputs = stack(x.expand(2, -1, -1))
        sum(F.cross_entropy(own, y) for own in outputs).backward()
        optimizer.step()
    for network, own in zip(networks, optimizers, strict=True):
        train(network, own)
    unstacked = [copy.deepcopy(network) for network in networks]
    of_unstacked = [AdamMini(network.parameters(), **options) for network in unstacked]
    stack.unstack(unstacked, optimizer, of_unstacked)
    # And they go on alike.
    for network, own in [*zip(networks, optimizers), *zip(unstacked, of_unstacked)]:  # noqa: B905
        train(network, own, first=5)
    for one, other in zip(networks, unstacked, strict=True):
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.allclose(a, b, rtol=0, atol=1e-10)


def test_mini_after_surgery_and_from_a_state():
    module = MLP(5, 3, (7, 6)).double()
    optimizer = AdamMini(module.parameters(), lr=0.05)
    train(module, optimizer)
    graph = read(module, (5,))
    first, second, _ = graph.layers
    remove_units(graph, [*first.units[[0, 3]], *second.units[[5]]], [optimizer])
    other = copy.deepcopy(module)
    stream = io.BytesIO()
    torch.save(optimizer.state_dict(), stream)
    stream.seek(0)
    of_other = AdamMini(other.parameters())
    of_other.load_state_dict(torch.load(stream, weights_only=True))
    for each in ((module, optimizer), (other, of_other)):
        train(*each, first=5)
    assert module.hidden0.weight.shape == (5, 5)
    for a, b in zip(module.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    assert optimizer.state[module.hidden0.weight]["step"] == 10


def test_mini_calls_its_closure_and_leaves_what_has_no_gradient():
    module = MLP(5, 3, (7,))
    module.hidden0.requires_grad_(False)
    before = module.hidden0.weight.clone()
    optimizer = AdamMini(module.parameters(), lr=0.05)

    def closure():
        assert torch.is_grad_enabled()
        optimizer.zero_grad()
        x, y = batch(0)
        loss = F.cross_entropy(module(x), y)
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(10)]
    assert losses[-1] < losses[0]
    assert torch.equal(module.hidden0.weight, before)


@pytest.mark.parametrize(
    ("option", "value"),
    [("lr", -1.0), ("betas", (1.0, 0.9)), ("eps", -1.0), ("weight_decay", -0.1)],
)
def test_mini_names_an_option_out_of_its_range(option, value):
    with pytest.raises(ValueError, match=rf"{option}="):
        AdamMini(MLP(2, 1, ()).parameters(), **{option: value})


def test_mini_ranks_by_what_columns_say_where_adam_does_not():
    """Of 2,000 columns and 40 samples ten tell the classes apart well, and 500 do a little."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(40) % 2
    signal = torch.zeros(2000)
    signal[:10], signal[10:510] = 3.0, 0.8
    x = torch.randn(40, 2000, generator=generator) + (y[:, None] - 0.5) * signal
    x = (x - x.mean(0)) / x.std(0)
    found = {}
    for make in (AdamMini, torch.optim.AdamW):
        torch.manual_seed(0)
        module = torch.nn.Linear(2000, 2)
        optimizer = make(module.parameters(), lr=0.008)
        for _ in range(40):
            optimizer.zero_grad()
            F.cross_entropy(module(x), y).backward()
            optimizer.step()
        top = (module.weight[1] - module.weight[0]).abs().topk(10).indices
        found[make] = int((top < 10).sum())
    assert found[AdamMini] >= 8 > 5 > found[torch.optim.AdamW]
