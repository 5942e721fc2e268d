"""Greedy pretraining against a loop that holds every layer's inputs, and what it leaves alone."""

from __future__ import annotations

import copy
import itertools
import math
import warnings
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sknninterp.nn import pretraining
from sknninterp.nn.graph import evaluation, read
from sknninterp.nn.mlp import MLP
from sknninterp.nn.pretraining import layers_to_pretrain, pretrain
from sknninterp.nn.rbm import ConvRBM, DenseRBM
from sknninterp.nn.rbm_rules import contrastive_divergence, exact_gradient, reconstruction_rule
from sknninterp.nn.rbm_trainer import DivergenceError

RULES = {
    "cd": contrastive_divergence,
    "reconstruction": reconstruction_rule,
    "exact": exact_gradient,
}
# Rule and published learning rate of each of three epochs.
SCHEDULES = {
    "cd": [("cd", 0.01)] * 3,
    "reconstruction": [("reconstruction", 0.04)] * 3,
    "exact": [("exact", 0.04)] * 3,
    "hybrid": [("cd", 0.01), ("cd", 0.01), ("reconstruction", 0.04)],
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def data(n=20, n_features=6, dtype=torch.float64):
    return torch.rand(n, n_features, generator=seeded(7), dtype=dtype)


def images(n=12, shape=(1, 8, 8), dtype=torch.float64):
    return torch.rand(n, *shape, generator=seeded(7), dtype=dtype)


def network(activation="sigmoid", sizes=(5, 4, 3), dtype=torch.float64, **options):
    return MLP(6, 2, sizes, activation=activation, **options).to(dtype)


def parameters(module):
    return [p.detach().clone() for p in module.parameters()]


def same(found, expected, atol=0.0):
    pairs = zip(found, expected, strict=True)
    return all(torch.allclose(a, b, rtol=0, atol=atol) for a, b in pairs)


# --- the loop -----------------------------------------------------------------------------------


def train_naively(rbm, X, schedule, weight=None, batch_size=8):
    """Momentum 0.5 in all epochs; with weights, each sample's gradient is taken alone."""
    learned = [rbm.weight, rbm.bias_hidden, rbm.bias_visible]
    velocities = [torch.zeros_like(p) for p in learned]
    for rule, lr in schedule:
        for start in range(0, len(X), batch_size):
            chosen = range(start, min(start + batch_size, len(X)))
            if weight is None:
                gradients = list(RULES[rule](rbm, X[start : start + batch_size]))[:3]
            else:
                each = [[weight[i] * g for g in RULES[rule](rbm, X[i : i + 1])] for i in chosen]
                gradients = [sum(of) / len(chosen) for of in list(zip(*each, strict=True))[:3]]
            for p, velocity, gradient in zip(learned, velocities, gradients, strict=True):
                velocity.mul_(0.5).add_(lr * gradient)
                if p.requires_grad:
                    p.data -= velocity


def pretrain_naively(module, X, steps, schedule, generator, visible, weight=None):
    """Train layer by layer on inputs computed for all samples at once.

    `steps` are (inputs of a layer as a function of module and X, weight, bias or None, hidden unit,
    visible unit or None for that of the data, a convolution's node or None).
    """
    machines = []
    for _, layer_weight, bias, hidden, seen, node in steps:
        kinds = (seen or visible, hidden)
        if node is None:
            shape = layer_weight.shape[::-1]
            options = {"generator": generator, "dtype": layer_weight.dtype}
            machines.append(DenseRBM(*shape, *kinds, **options))
        else:
            machines.append(ConvRBM(node, *kinds, generator=generator))
        if bias is None:
            machines[-1].bias_hidden.requires_grad_(False).zero_()
    for (inputs, layer_weight, bias, *_), rbm in zip(steps, machines, strict=True):
        with evaluation(module), torch.no_grad():
            values = inputs(module, X)
        train_naively(rbm, values, schedule, weight)
        with torch.no_grad():
            layer_weight.copy_(rbm.weight)
            if bias is not None:
                bias.copy_(rbm.bias_hidden)
    return machines


def seen_by(path):
    """What a submodule gets at its first call."""

    def inputs(module, X):
        seen = []
        hook = module.get_submodule(path).register_forward_pre_hook(
            lambda _, values: seen.append(values[0].clone())
        )
        module(X)
        hook.remove()
        return seen[0]

    return inputs


def step_of(module, path, hidden, seen, shape):
    layer = module.get_submodule(path)
    node = None
    if not isinstance(layer, nn.Linear):
        nodes = {one.name: one.weighted for one in read(module, shape).layers}
        node = nodes[path]
    return seen_by(path), layer.weight, layer.bias, hidden, seen, node


def assert_pretrained_as_by_the_loop(
    module, X, kinds, rule="reconstruction", visible=None, lr=None
):
    """`kinds`: path -> (hidden unit, visible unit or None)."""
    other, shape = copy.deepcopy(module), tuple(X.shape[1:])
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    options = {"rule": rule, "n_epochs": 3, "hybrid_epochs": (2, 1), "generator": seeded()}
    done = pretrain(module, shape, X.split(8), visible=visible or "auto", lr=lr, **options)
    steps = [step_of(other, path, *units, shape) for path, units in kinds.items()]
    first = visible or next(iter(kinds.values()))[0]
    schedule = [(one, lr or published) for one, published in SCHEDULES[rule]]
    machines = pretrain_naively(other, X, steps, schedule, seeded(), first)
    assert [layer.name for layer in done] == list(kinds)
    tolerance = 1e-12 if X.dtype == torch.float64 else 1e-5
    for (name, found), expected in zip(module.named_parameters(), other.parameters(), strict=True):
        assert found.dtype == X.dtype
        assert torch.allclose(found, expected, rtol=0, atol=tolerance), name
        touched = name.rpartition(".")[0] in kinds
        assert torch.equal(found, before[name]) != touched, name
    for layer, machine in zip(done, machines, strict=True):
        assert same(layer.rbm.parameters(), machine.parameters(), tolerance)
        assert [(epoch.rule, epoch.lr) for epoch in layer.epochs] == schedule
    return done


UNIT_OF = {"relu": "relu", "sigmoid": "bernoulli", "tanh": "tanh"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("rule", SCHEDULES)
@pytest.mark.parametrize("activation", UNIT_OF)
def test_mlp_is_that_of_a_loop(activation, rule, dtype):
    unit = UNIT_OF[activation]
    kinds = {"hidden0": (unit, None), "hidden1": (unit, unit), "hidden2": (unit, unit)}
    module, X = network(activation, dtype=dtype), data(dtype=dtype)
    assert_pretrained_as_by_the_loop(module, X, kinds, rule)


@pytest.mark.parametrize("rule", SCHEDULES)
def test_batch_norm_is_passed_over_and_its_values_reach_the_next_layer(rule):
    module, X = network("tanh", (5, 4), batch_norm=True, dropout=0.5), data()
    for norm in (module.norm0, module.norm1):  # as after some training
        for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
            tensor.data = torch.rand(tensor.shape, generator=seeded(3), dtype=X.dtype) + 0.5
    buffers = copy.deepcopy(dict(module.named_buffers()))
    kinds = {"hidden0": ("tanh", None), "hidden1": ("tanh", "tanh")}
    assert_pretrained_as_by_the_loop(module, X, kinds, rule)
    assert all(torch.equal(b, buffers[name]) for name, b in module.named_buffers())


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1, bias=False),
        nn.BatchNorm2d(3),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 4, (2, 3), stride=(2, 1), padding=(0, 1)),
        nn.AvgPool2d((1, 2)),
        nn.Sigmoid(),
        nn.Dropout2d(0.5),
        nn.Flatten(),
        nn.Identity(),
        nn.Linear(16, 5, bias=False),
        nn.Linear(5, 4),
        nn.Tanh(),
        nn.BatchNorm1d(4),
        nn.Linear(4, 3),
        nn.ReLU(),
        nn.Linear(3, 2),
        nn.Softmax(dim=1),
    ).double()


@pytest.mark.parametrize("rule", SCHEDULES)
def test_cnn_is_that_of_a_loop(rule):
    kinds = {
        "0": ("relu", None),
        "4": ("bernoulli", "relu"),  # read through the pool
        "10": ("gaussian", "bernoulli"),  # through dropout, flatten and the identity
        "11": ("tanh", "gaussian"),
        "14": ("relu", "gaussian"),  # of batch norm nobody knows the bounds
    }
    done = assert_pretrained_as_by_the_loop(cnn(), images(), kinds, rule, lr=0.002)
    found = [(layer.rbm.hidden_unit.name, layer.rbm.visible_unit.name) for layer in done]
    assert found == [("relu", "relu"), *list(kinds.values())[1:]]
    assert [type(layer.rbm) for layer in done] == [ConvRBM, ConvRBM, *[DenseRBM] * 3]
    for layer in (done[0], done[2]):  # without a bias, the machine has none either
        assert not layer.rbm.bias_hidden.any()
        assert layer.rbm.bias_visible.any()


def test_residual_connections_are_passed_over(named_case):
    case = named_case("residual")
    kinds = {
        "stem": ("relu", "gaussian"),
        "inner": ("relu", "relu"),
        "outer": ("relu", "relu"),  # up to the ReLU after the sum
    }
    module, X = case.network(), case.samples(20)
    assert_pretrained_as_by_the_loop(module, X, kinds, visible="gaussian")


def test_what_a_concatenation_or_a_sum_gives_is_gaussian(named_case):
    case = named_case("dense")
    kinds = {"first": ("relu", None), "second": ("relu", "gaussian")}
    assert_pretrained_as_by_the_loop(case.network(), case.samples(20).abs(), kinds, lr=0.002)
    case = named_case("crossed-concat")
    found = pretrain(case.network(), case.shape, [case.samples()], n_epochs=1)
    units = [(one.name, one.rbm.visible_unit.name, one.rbm.hidden_unit.name) for one in found]
    # a and b have no activation of their own: joined, they are added to what "both" gives.
    gaussian = ("gaussian", "gaussian")
    assert units == [("b", *gaussian), ("a", *gaussian), ("both", "gaussian", "relu")]


def test_reused_module_is_pretrained_once_on_its_first_inputs(named_case):
    case = named_case("reused")
    kinds = {"stem": ("relu", "gaussian"), "step": ("relu", "relu")}
    assert_pretrained_as_by_the_loop(case.network(), case.samples(20), kinds, visible="gaussian")


def test_functions_and_bare_parameters_are_that_of_a_loop(named_case):
    case = named_case("functional")
    module, X = case.network(), case.samples(20).abs()
    other, node = copy.deepcopy(module), read(case.network(), case.shape).layers[0].weighted

    def flattened(net, x):
        x = F.relu(F.conv2d(x, net.kernel, net.shift, stride=2, padding=1))
        return F.adaptive_avg_pool2d(F.max_pool2d(x, 2), (2, 2)).flatten(1)

    steps = [
        (lambda _, x: x, other.kernel, other.shift, "relu", None, node),
        (flattened, other.weights[0], None, "relu", "relu", None),
    ]
    schedule = [(one, 0.01) for one, _ in SCHEDULES["reconstruction"]]
    done = pretrain(module, case.shape, X.split(8), n_epochs=3, lr=0.01, generator=seeded())
    pretrain_naively(other, X, steps, schedule, seeded(), "relu")
    assert [layer.name for layer in done] == ["kernel", "weights.0"]
    assert same(module.parameters(), other.parameters(), 1e-12)
    assert not same(module.parameters(), case.network().parameters(), 1e-3)


# --- which layers -------------------------------------------------------------------------------


class Ending(nn.Module):
    """A hidden and an output layer, and what becomes of the latter's values."""

    def __init__(self, end):
        super().__init__()
        self.hidden, self.head, self.end = nn.Linear(6, 4), nn.Linear(4, 2), end

    def forward(self, x):
        h = torch.relu(self.hidden(x))
        return self.end(self.head(h), x)


ENDINGS = {
    "nothing": lambda z, _: z,
    "softmax": lambda z, _: z.softmax(1),
    "sigmoid": lambda z, _: torch.sigmoid(z),
    "relu": lambda z, _: torch.relu(z),
    "softplus-unread": lambda z, _: F.dropout(z, 0.0, training=False),
    "reshaped": lambda z, _: z.reshape(-1, 1, 2),
    "flattened-sigmoid": lambda z, _: torch.sigmoid(z).flatten(1),
    "joined": lambda z, x: torch.cat([z, x], 1),
    "added": lambda z, _: z + z,
}


@pytest.mark.parametrize("end", ENDINGS)
def test_layer_whose_values_make_up_the_output_is_left_alone(end):
    module = Ending(ENDINGS[end])
    head = parameters(module.head)
    done = pretrain(module, (6,), [data(dtype=torch.float32)], n_epochs=1)
    assert [layer.name for layer in done] == ["hidden"]
    assert same(module.head.parameters(), head)


def test_every_branch_that_ends_in_the_output_is_an_output_layer():
    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.deep = nn.Linear(6, 4), nn.Linear(4, 2)
            self.wide, self.aside = nn.Linear(6, 2), nn.Linear(4, 1)

        def forward(self, x):
            h = torch.relu(self.hidden(x))
            return torch.cat([self.deep(h) + self.wide(x), self.aside(h)], 1)

    assert [layer.name for layer in layers_to_pretrain(read(Wide(), (6,)))] == ["hidden"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("one-logit", ["hidden"]),  # its output layer is squeezed
        ("shapes", ["conv", "a", "b"]),
        ("tied-weights", ["a", "b", "d"]),  # c has the weight of b
        ("global-mean", ["conv1", "conv2"]),
        ("listed", ["hidden.0", "hidden.1", "hidden.2", "blocks.last.1.hidden0"]),
    ],
)
def test_layers_of_networks(named_case, name, expected):
    case = named_case(name)
    graph = read(case.network(), case.shape)
    assert [layer.name for layer in layers_to_pretrain(graph)] == expected


def test_hidden_layer_that_is_the_output_layer_too_is_left_alone():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.step = nn.Linear(6, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.step(torch.relu(self.step(torch.relu(self.stem(x)))))

    module = Twice().double()
    step = parameters(module.step)
    assert [layer.name for layer in pretrain(module, (6,), [data()], n_epochs=1)] == ["stem"]
    assert same(module.step.parameters(), step)


def test_frozen_weights_stay_and_the_layers_behind_them_learn():
    module = network()
    module.hidden0.weight.requires_grad_(False)
    before = parameters(module)
    done = pretrain(module, (6,), data().split(8), n_epochs=2)
    assert [layer.name for layer in done] == ["hidden1", "hidden2"]
    assert same(parameters(module)[:2], before[:2])
    assert [p.requires_grad for p in module.parameters()] == [False, *[True] * 7]


def test_frozen_bias_is_the_machines_too():
    module = network()
    module.hidden0.bias.requires_grad_(False)
    bias = module.hidden0.bias.clone()
    done = pretrain(module, (6,), data().split(8), n_epochs=2)
    assert torch.equal(module.hidden0.bias, bias)
    assert torch.equal(done[0].rbm.bias_hidden, bias)


def test_computed_weight_is_named():
    module = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    nn.utils.parametrizations.weight_norm(module[0])
    with pytest.raises(ValueError, match="Layer '0' computes its weight"):
        pretrain(module, (6,), [data(dtype=torch.float32)])


def test_activation_without_a_unit_names_the_layer():
    module = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3), nn.GELU(), nn.Linear(3, 2))
    before = parameters(module)
    message = r"Layer '2' ends in 'gelu': .*\['relu', 'sigmoid', 'tanh'\] or no activation"
    with pytest.raises(ValueError, match=message):
        pretrain(module, (6,), [data(dtype=torch.float32)])
    assert same(module.parameters(), before)


@pytest.mark.parametrize(
    "module", [nn.Linear(6, 2), nn.Sequential(nn.Flatten(), nn.ReLU())], ids=["linear", "no-layer"]
)
def test_network_without_hidden_layer_is_an_error(module):
    with pytest.raises(ValueError, match="no hidden layer to pretrain"):
        pretrain(module, (6,), [data(dtype=torch.float32)])


# --- what it leaves alone -----------------------------------------------------------------------


def test_parameters_keep_their_identity_and_modules_their_mode():
    module, X = network(dropout=0.3, batch_norm=True), data()
    module.train()
    module.dropout1.eval()
    modes = [m.training for m in module.modules()]
    before = [(id(p), p.data_ptr()) for p in module.parameters()]
    during = []
    pretrain(
        module,
        (6,),
        X.split(8),
        n_epochs=1,
        on_epoch=lambda *_: during.extend(m.training for m in module.modules()),
    )
    assert [(id(p), p.data_ptr()) for p in module.parameters()] == before
    assert all(p.requires_grad and p.grad is None for p in module.parameters())
    assert [m.training for m in module.modules()] == modes
    assert during and not any(during)


def test_machines_are_left_behind_as_they_are():
    module, X = network(), data()
    done = pretrain(module, (6,), X.split(8), n_epochs=1)
    for layer in done:
        own = module.get_submodule(layer.name)
        assert torch.equal(own.weight, layer.rbm.weight)
        assert own.weight.data_ptr() != layer.rbm.weight.data_ptr()
        before = parameters(layer.rbm)
        with torch.no_grad():
            own.weight.zero_()
        assert same(layer.rbm.parameters(), before)


def test_generator_makes_the_same_bits_twice():
    module = network()
    found, state = [], torch.get_rng_state()
    for seed in (0, 0, 1):
        again = copy.deepcopy(module)
        pretrain(again, (6,), data().split(8), n_epochs=1, generator=seeded(seed))
        found.append(parameters(again))
    assert torch.equal(torch.get_rng_state(), state)
    assert same(found[0], found[1])
    assert not same(found[0][:1], found[2][:1])


def test_without_a_generator_one_number_is_drawn_from_the_global_one():
    module, X = network(), data()
    torch.manual_seed(5)
    seed = int(torch.randint(2**31, ()))
    state = torch.get_rng_state()
    expected = copy.deepcopy(module)
    pretrain(expected, (6,), X.split(8), n_epochs=1, generator=seeded(seed))
    torch.manual_seed(5)
    pretrain(module, (6,), X.split(8), n_epochs=1)
    assert same(module.parameters(), expected.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_first_values_of_the_network_do_not_matter():
    module, other = network(), network()
    assert not same(module.parameters(), other.parameters())
    for one in (module, other):
        pretrain(one, (6,), data().split(8), n_epochs=1, generator=seeded())
    assert same(list(module.parameters())[:-2], list(other.parameters())[:-2])


def test_without_epochs_layers_have_a_machines_first_weights():
    module, X = network(), Counted(data().split(8))
    done = pretrain(module, (6,), X, n_epochs=0, generator=seeded())
    generator = seeded()
    for layer, sizes in zip(done, ((6, 5), (5, 4), (4, 3)), strict=True):
        rbm = DenseRBM(*sizes, generator=generator, dtype=torch.float64)
        own = module.get_submodule(layer.name)
        assert torch.equal(own.weight, rbm.weight)
        assert torch.equal(own.bias, rbm.bias_hidden)
        assert layer.epochs == []
    assert X.n_passes == 1  # to see the bounds


# --- visible units ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "scale", "shift", "expected"),
    [
        ("sigmoid", 1.0, 0.0, "bernoulli"),
        ("sigmoid", 1.0, 0.1, "gaussian"),
        ("relu", 40.0, 0.0, "relu"),
        ("relu", 1.0, -0.1, "gaussian"),
        ("tanh", 2.0, -1.0, "tanh"),
        ("tanh", 2.2, -1.0, "gaussian"),
    ],
)
def test_visible_units_of_the_data_are_those_of_the_layer_where_they_can(
    activation, scale, shift, expected
):
    X = data()
    X = scale * (X - X.min()) / (X.max() - X.min()) + shift
    batches = [X[:2], X[2:]]
    done = pretrain(network(activation), (6,), batches, n_epochs=0)
    found = [layer.rbm.visible_unit.name for layer in done]
    assert found == [expected, *[UNIT_OF[activation]] * 2]


def test_explicit_visible_units_are_those_of_the_data_alone():
    for visible in ("bernoulli", "gaussian", "linear", "relu", "tanh"):
        done = pretrain(network("sigmoid"), (6,), [data()], n_epochs=0, visible=visible)
        found = [layer.rbm.visible_unit.name for layer in done]
        assert found == [{"linear": "gaussian"}.get(visible, visible), *["bernoulli"] * 2]


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (nn.Dropout(0.5), "relu"),
        (nn.AvgPool2d(2, 1, padding=1), "relu"),
        (nn.BatchNorm2d(1), "gaussian"),
        (nn.Sigmoid(), "bernoulli"),
        (nn.Sequential(nn.Tanh(), nn.MaxPool2d(2, 1), nn.Identity()), "tanh"),
    ],
    ids=["dropout", "pool", "norm", "sigmoid", "tanh-pool-identity"],
)
def test_units_that_read_the_data_through_something(first, expected):
    module = nn.Sequential(first, nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
    module = module.double().eval()
    module(images())
    (layer,) = pretrain(module, (1, 8, 8), [images()], n_epochs=1)
    assert layer.rbm.visible_unit.name == expected


def test_data_outside_the_bounds_say_what_to_scale():
    X = data()
    X[13, 2] = 1.5
    module = network()
    before = parameters(module)
    message = r"visible='bernoulli' .* from 0 to 1, but X has values from 0\.\d+ to 1\.5: scale the"
    with pytest.raises(ValueError, match=message):
        pretrain(module, (6,), X.split(8), visible="bernoulli")
    with pytest.raises(
        ValueError, match=r"visible='tanh' .* MinMaxScaler\(feature_range=\(-1, 1\)"
    ):
        pretrain(module, (6,), X.split(8), visible="tanh")
    assert same(module.parameters(), before)


def test_negative_data_for_rectified_units_are_warned_of():
    X = data() - 0.5
    with pytest.warns(UserWarning, match=r"visible='relu' .*cannot reconstruct: scale the columns"):
        (layer, *_) = pretrain(network("relu"), (6,), [X], n_epochs=1, visible="relu")
    assert layer.rbm.visible_unit.name == "relu"


@pytest.mark.parametrize("name", ["sigmoid", None], ids=str)
def test_unknown_visible_unit_is_named(name):
    with pytest.raises(ValueError, match=r"visible=.* is no kind of unit"):
        pretrain(network(), (6,), [data()], visible=name)


# --- batches ------------------------------------------------------------------------------------


class Counted:
    """Batches that count how often they are gone through."""

    def __init__(self, batches):
        self.batches, self.n_passes = batches, 0

    def __iter__(self):
        self.n_passes += 1
        return iter(self.batches)


def test_data_are_gone_through_once_and_once_an_epoch_of_each_layer():
    batches = Counted(data().split(8))
    pretrain(network(), (6,), batches, n_epochs=4)
    assert batches.n_passes == 1 + 3 * 4


@pytest.mark.parametrize("kind", ["alone", "list", "pair", "no-weight", "ones", "float32-ones"])
def test_batches_without_weights_in_all_their_forms(kind):
    X = data()
    make = {
        "alone": lambda x: (x,),
        "list": lambda x: [x, torch.full((len(x),), math.nan)],
        "pair": lambda x: (x, None),
        "no-weight": lambda x: (x, torch.zeros(len(x)), None),
        "ones": lambda x: (x, None, torch.ones(len(x), dtype=x.dtype)),
        "float32-ones": lambda x: (x, None, torch.ones(len(x))),
    }[kind]
    found, expected = network(), network()
    options = {"n_epochs": 2, "generator": seeded()}
    pretrain(found, (6,), [make(x) for x in X.split(8)], **options)
    pretrain(expected, (6,), X.split(8), **options | {"generator": seeded()})
    assert same(list(found.parameters())[:-2], list(expected.parameters())[:-2])


@pytest.mark.parametrize("rule", SCHEDULES)
def test_weights_are_those_of_a_loop_over_samples(rule):
    module, X = network("tanh", (5, 4)), data()
    weight = torch.rand(len(X), generator=seeded(2), dtype=X.dtype) * 2
    other = copy.deepcopy(module)
    batches = [(X[i : i + 8], None, weight[i : i + 8]) for i in range(0, len(X), 8)]
    options = {"rule": rule, "n_epochs": 3, "hybrid_epochs": (2, 1), "generator": seeded()}
    pretrain(module, (6,), batches, **options)
    kinds = {"hidden0": ("tanh", None), "hidden1": ("tanh", "tanh")}
    steps = [step_of(other, path, *units, (6,)) for path, units in kinds.items()]
    pretrain_naively(other, X, steps, SCHEDULES[rule], seeded(), "tanh", weight)
    assert same(module.parameters(), other.parameters(), 1e-12)


def test_inputs_of_a_layer_are_never_held_for_more_than_a_batch(monkeypatch):
    batch_size, n_batches = 4, 50
    widths, alive, most = [], weakref.WeakSet(), []

    class Watched:
        def __init__(self, batches):
            self.batches = batches

        def __iter__(self):
            for values, weight in self.batches:
                if values.shape[1] != 6:  # not the data themselves
                    alive.add(values)
                widths.append(tuple(values.shape))
                most.append(len(alive))
                yield values, weight

    def train(rbm, batches, *args, **options):
        return original(rbm, Watched(batches), *args, **options)

    original = pretraining.train
    monkeypatch.setattr(pretraining, "train", train)
    X = data(batch_size * n_batches)
    pretrain(network(), (6,), X.split(batch_size), n_epochs=2)
    expected = [(batch_size, width) for width in (6, 5, 4) for _ in range(2 * n_batches)]
    assert widths == expected
    assert max(most) <= 2  # the batch before is let go when the next one is there


def test_only_what_a_layer_reads_is_computed(monkeypatch):
    """Nothing behind the layer, and nothing at all for the first."""
    module, X, calls = network(), data(), []
    original = F.linear
    monkeypatch.setattr(
        F, "linear", lambda x, w, b=None: calls.append(tuple(w.shape)) or original(x, w, b)
    )
    graph = read(module, (6,))
    calls.clear()
    layers = layers_to_pretrain(graph)
    for layer in layers:
        list(pretraining._Reading(graph, layer.weighted.inputs[0], [X]))
    assert calls == [(5, 6), (5, 6), (4, 5)]


@pytest.mark.parametrize("make", [iter, lambda batches: (b for b in batches)], ids=["iter", "gen"])
def test_iterator_that_is_used_up_is_refused(make):
    with pytest.raises(TypeError, match="batches is an iterator, used up after one epoch"):
        pretrain(network(), (6,), make([data()]))


def test_no_batches_are_an_error():
    with pytest.raises(ValueError, match="batches is empty"):
        pretrain(network(), (6,), [])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
@pytest.mark.parametrize("visible", ["auto", "gaussian", "relu"])
def test_data_that_are_no_numbers_are_an_error(visible, value):
    module, X = network(), data()
    before = parameters(module)
    X[11, 3] = value  # in the second batch
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"inputs hold NaN or infinite values.*(nan|inf)"):
            pretrain(module, (6,), X.split(8), visible=visible)
    assert same(module.parameters(), before)


# --- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hybrid_epochs", [(7, 2), (-1, 11), (11, -1), (5, 3, 2), (10,), ()], ids=str
)
def test_hybrid_epochs_that_do_not_add_up_are_named(hybrid_epochs):
    module, batches = network(), Counted([data()])
    before = parameters(module)
    with pytest.raises(ValueError, match=r"hybrid_epochs=\(.*\) must be two .* the 10 epochs"):
        pretrain(module, (6,), batches, rule="hybrid", hybrid_epochs=hybrid_epochs)
    assert batches.n_passes == 0  # at once, before large data are gone through
    assert same(module.parameters(), before)
    pretrain(module, (6,), [data()], n_epochs=1, hybrid_epochs=hybrid_epochs)  # not "hybrid"


def test_unknown_rule_is_named():
    with pytest.raises(ValueError, match="rule='pcd' is no rule"):
        pretrain(network(), (6,), [data()], rule="pcd")


def test_options_reach_the_trainer():
    settings = {"lr": 0.5, "momentum": (0.1, 0.7), "momentum_epochs": 1}
    done = pretrain(network(), (6,), data().split(8), n_epochs=3, **settings)
    for layer in done:
        assert [(e.epoch, e.lr, e.momentum) for e in layer.epochs] == [
            (1, 0.5, 0.1),
            (2, 0.5, 0.7),
            (3, 0.5, 0.7),
        ]
    found = {}
    options = [
        {},
        {"weight_decay": 1.0},
        {"n_steps": 3},
        {"sample_hidden": True},
        {"persistent": True},
    ]
    for one in options:
        module = network()
        pretrain(module, (6,), [data()], rule="cd", n_epochs=2, generator=seeded(), **one)
        found[str(one)] = parameters(module)[0]
    for a, b in itertools.combinations(found, 2):
        assert not torch.equal(found[a], found[b]), (a, b)
    with pytest.raises(ValueError, match="n_steps=2 belong"):
        pretrain(network(), (6,), [data()], n_steps=2)


def test_every_epoch_is_told_with_its_layer():
    told = []
    done = pretrain(
        network(), (6,), data().split(8), n_epochs=2, on_epoch=lambda *args: told.append(args)
    )
    assert told == [(layer.name, epoch) for layer in done for epoch in layer.epochs]
    assert [name for name, _ in told] == ["hidden0"] * 2 + ["hidden1"] * 2 + ["hidden2"] * 2


@pytest.mark.parametrize("n_states", [1, 3, 4, 6])
def test_pretraining_goes_on_from_a_state_as_if_it_had_not_been_broken_off(n_states):
    def run(module, **options):
        batches = [data()[place] for place in torch.arange(20).split(8)]
        return pretrain(module, (6,), batches, rule="cd", n_epochs=2, sample_hidden=True, **options)

    with torch.random.fork_rng():
        states, module = [], network()
        torch.manual_seed(0)
        again = copy.deepcopy(module)
        done = run(module, keep=lambda state: states.append(copy.deepcopy(state)))
        after = torch.get_rng_state()
        assert len(states) == 6
        torch.manual_seed(0)
        told = []
        more = run(again, kept=states[n_states - 1], on_epoch=lambda *args: told.append(args))
        assert torch.equal(torch.get_rng_state(), after)
    assert len(told) == 6 - n_states
    assert same(again.parameters(), module.parameters())
    for one, other in zip(more, done, strict=True):
        assert same(one.rbm.parameters(), other.rbm.parameters())
        assert [epoch[:5] for epoch in one.epochs] == [epoch[:5] for epoch in other.epochs]


# --- divergence ---------------------------------------------------------------------------------


def two_layers():
    """The second layer's inputs are large, where only small learning rates hold."""
    module = nn.Sequential(
        nn.Linear(6, 5), nn.Tanh(), nn.BatchNorm1d(5), nn.Linear(5, 4), nn.Linear(4, 2)
    ).double()
    module[2].weight.data.fill_(30.0)
    return module


def test_divergence_with_a_given_learning_rate_names_layer_and_rate():
    module = two_layers()
    module[0].weight.data.fill_(math.pi)
    later = parameters(module[3])
    with pytest.raises(DivergenceError, match=r"Layer '3': .*epoch 1 .* lr=0\.04\b.*smaller"):
        pretrain(module, (6,), data().split(8), lr=0.04)
    assert same(module[3].parameters(), later)
    assert not (module[0].weight == math.pi).any()  # those before are pretrained
    assert module.training


def test_without_a_learning_rate_a_smaller_one_is_found_and_told():
    module, told = two_layers(), []
    first, second = pretrain(
        module,
        (6,),
        data().split(8),
        n_epochs=2,
        generator=seeded(),
        on_epoch=lambda name, epoch: told.append((name, epoch.lr)),
    )
    assert [epoch.lr for epoch in first.epochs] == [0.04] * 2
    lr = second.epochs[0].lr
    assert [epoch.lr for epoch in second.epochs] == [lr] * 2
    power = round(math.log10(0.04 / lr))
    assert power >= 1
    assert lr == pytest.approx(0.04 * 10**-power)
    assert told[-2:] == [("3", lr)] * 2


def test_data_too_large_for_every_learning_rate_are_an_error():
    X = torch.full((8, 6), 1e30)
    with pytest.raises(ValueError, match="before learning is inf: .*too large to be squared"):
        pretrain(network("relu", dtype=torch.float32), (6,), [X], visible="relu")
