"""FusedAdam against torch's own fused Adam, bit for bit."""

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
from sknninterp.nn.optim import FusedAdam
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
