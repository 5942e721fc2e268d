"""Each kind of node: its transpose against an explicit Jacobian, its units against places."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from sknninterp.nn.graph import read
from sknninterp.nn.nodes import BatchNorm, Conv, Input, MaxPool, Reshape, UnitMap, Weighted


def node_of(*modules, shape):
    """The last node of a chain, and its module in float64."""
    module = nn.Sequential(*modules).double().eval()
    return read(module, shape).output, module


def matrix(function, shape):
    """A linear function of one sample as a matrix, column by column."""
    columns = []
    for place in range(math.prod(shape)):
        unit = torch.zeros(math.prod(shape), dtype=torch.float64)
        unit[place] = 1.0
        columns.append(function(unit.reshape(1, *shape)).flatten())
    return torch.stack(columns, 1)


class Branches(nn.Module):
    def __init__(self, join):
        super().__init__()
        self.join = join

    def forward(self, x):
        return self.join(x)


LINEAR_PARTS = {
    "linear": (lambda: nn.Linear(4, 3), (4,)),
    "conv-1d": (lambda: nn.Conv1d(2, 3, 3, stride=2, padding=1), (2, 7)),
    "conv-1d-dilated": (lambda: nn.Conv1d(2, 3, 2, dilation=2), (2, 6)),
    "conv-2d": (lambda: nn.Conv2d(2, 3, (2, 3), stride=(1, 2), padding=(1, 0)), (2, 4, 6)),
    "conv-2d-truncated": (lambda: nn.Conv2d(1, 2, 3, stride=3), (1, 5, 5)),
    "conv-2d-same": (lambda: nn.Conv2d(1, 2, (3, 1), dilation=2, padding="same"), (1, 5, 4)),
    "conv-2d-grouped": (lambda: nn.Conv2d(4, 6, 2, groups=2), (4, 3, 3)),
    "depthwise": (lambda: nn.Conv2d(3, 6, 3, groups=3, padding=1), (3, 4, 4)),
    "average-1d": (lambda: nn.AvgPool1d(3, stride=2, padding=1), (2, 7)),
    "average-2d": (lambda: nn.AvgPool2d(2, ceil_mode=True), (2, 5, 5)),
    "average-2d-divisor": (lambda: nn.AvgPool2d(2, divisor_override=3), (1, 4, 4)),
    "adaptive": (lambda: nn.AdaptiveAvgPool2d((2, 3)), (2, 5, 4)),
    "flatten": (nn.Flatten, (2, 3, 2)),
    "unflatten": (lambda: nn.Unflatten(1, (2, 3)), (6,)),
}


@pytest.mark.parametrize("name", LINEAR_PARTS)
def test_transpose_is_that_of_the_linear_part(name):
    make, shape = LINEAR_PARTS[name]
    torch.manual_seed(0)
    node, module = node_of(make(), shape=shape)
    zero = torch.zeros(1, *shape, dtype=torch.float64)
    with torch.no_grad():
        dense = matrix(lambda x: module(x) - module(zero), shape)
    rows = torch.randn(4, *node.shape, dtype=torch.float64)
    (found,) = node.transpose(rows)
    expected = (rows.flatten(1) @ dense).reshape(4, *shape)
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad
    (absolute,) = node.transpose(rows, absolute=True)
    torch.testing.assert_close(absolute, (rows.flatten(1) @ dense.abs()).reshape(4, *shape))


@given(data=st.data(), n_axes=st.sampled_from([1, 2]), dilation=st.integers(1, 3))
@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
def test_a_convolution_of_any_options_and_its_transpose(literal, data, n_axes, dilation):
    def each(low, high):
        return tuple(data.draw(st.integers(low, high)) for _ in range(n_axes))

    groups, kernel, sizes = data.draw(st.integers(1, 2)), each(1, 4), each(1, 7)
    shape = (2 * groups, *sizes)
    paddings = [st.integers(0, 3), st.just("valid"), st.builds(lambda: each(0, 3))]
    stride = data.draw(st.one_of(st.integers(1, 3), st.builds(lambda: each(1, 3))))
    if stride == 1:
        paddings.append(st.just("same"))
    options = {"stride": stride, "padding": data.draw(st.one_of(paddings)), "dilation": dilation}
    options |= {"groups": groups}
    margin = {"same": 9, "valid": 0}.get(options["padding"], options["padding"])
    margin = margin if isinstance(margin, tuple) else (margin,) * n_axes
    room = zip(sizes, margin, kernel, strict=True)
    assume(all(dilation * (k - 1) < size + 2 * m for size, m, k in room))
    make = nn.Conv1d if n_axes == 1 else nn.Conv2d
    node, module = node_of(make(2 * groups, 3 * groups, kernel, **options), shape=shape)
    weight = torch.randn(module[0].weight.shape, dtype=torch.float64)
    expected, after = literal.convolution(weight.numpy(), shape, **options)
    assert node.shape == after
    x = torch.randn(2, *shape, dtype=torch.float64)
    rows = torch.randn(3, *after, dtype=torch.float64)
    with torch.no_grad():
        found = node.apply(x, weight), node.apply_transposed(rows, weight)
    matrix = torch.as_tensor(expected)
    torch.testing.assert_close(found[0].flatten(1), x.flatten(1) @ matrix.T)
    torch.testing.assert_close(found[1], (rows.flatten(1) @ matrix).reshape(3, *shape))


def test_a_linear_layer_with_other_weights_and_its_transpose():
    node, _ = node_of(nn.Linear(3, 2), shape=(3,))
    weight, rows = torch.randn(2, 3).double(), torch.randn(4, 2).double()
    for j, row in enumerate(node.apply_transposed(rows, weight)):
        for i in range(3):
            assert row[i].item() == pytest.approx(sum(rows[j, o] * weight[o, i] for o in range(2)))
    torch.testing.assert_close(node.apply(torch.eye(3).double(), weight), weight.T)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(
    ("make", "shape"),
    [(nn.BatchNorm1d, (3,)), (nn.BatchNorm1d, (3, 4)), (nn.BatchNorm2d, (3, 2, 2))],
)
def test_batch_norm_is_a_scale(make, shape, affine):
    norm = make(3, affine=affine)
    norm.running_var.copy_(torch.tensor([0.5, 2.0, 3.0]))
    norm.running_mean.copy_(torch.tensor([1.0, -1.0, 0.5]))
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    node, module = node_of(norm, shape=shape)
    assert isinstance(node, BatchNorm)
    x = torch.randn(4, *shape, dtype=torch.float64)
    with torch.no_grad():
        difference = module(x) - module(torch.zeros_like(x))
    torch.testing.assert_close(node.transpose(x)[0], difference)
    signs = node.scale.sign().reshape(-1, *[1] * (len(shape) - 1))
    torch.testing.assert_close(node.transpose(x, absolute=True)[0], difference * signs)
    scale, shift = (t.reshape(-1, *[1] * (len(shape) - 1)) for t in (node.scale, node.shift))
    torch.testing.assert_close(x * scale + shift, module(x).detach())
    assert not shift.requires_grad


@pytest.mark.parametrize(
    ("pool", "average", "shape"),
    [
        (nn.MaxPool1d(2), nn.AvgPool1d(2), (2, 6)),
        (nn.MaxPool2d(3, 2, padding=1), nn.AvgPool2d(3, 2, padding=1), (1, 5, 5)),
        (nn.MaxPool2d(2, ceil_mode=True), nn.AvgPool2d(2, ceil_mode=True), (1, 5, 5)),
        (nn.AdaptiveMaxPool2d(2), nn.AdaptiveAvgPool2d(2), (2, 3, 5)),
        (nn.AdaptiveMaxPool1d(2), nn.AdaptiveAvgPool1d(2), (2, 5)),
    ],
)
def test_max_pool_transposes_as_the_average_of_its_windows(pool, average, shape):
    node, module = node_of(pool, shape=shape)
    x = torch.randn(3, *shape, dtype=torch.float64)
    assert torch.equal(node.forward(x), module(x))
    rows = torch.randn(2, *node.shape, dtype=torch.float64)
    expected = (rows.flatten(1) @ matrix(average, shape)).reshape(2, *shape)
    torch.testing.assert_close(node.transpose(rows)[0], expected)


def test_a_dilated_max_pool_has_no_average():
    node, _ = node_of(nn.MaxPool2d(2, dilation=2), shape=(1, 5, 5))
    assert isinstance(node, MaxPool)
    assert node.average is None


POOLS = {
    "plain-1d": (nn.MaxPool1d(2), (2, 7), {"kernel": 2}),
    "overlapping-1d": (nn.MaxPool1d(3, 1), (2, 6), {"kernel": 3, "stride": 1}),
    "padded-1d": (nn.MaxPool1d(3, 2, 1), (2, 6), {"kernel": 3, "stride": 2, "padding": 1}),
    "dilated-1d": (
        nn.MaxPool1d(2, 1, dilation=3),
        (2, 7),
        {"kernel": 2, "stride": 1, "dilation": 3},
    ),
    "ceil-1d": (nn.MaxPool1d(2, ceil_mode=True), (2, 7), {"kernel": 2, "ceil_mode": True}),
    "adaptive-1d": (nn.AdaptiveMaxPool1d(3), (2, 7), 3),
    "plain-2d": (nn.MaxPool2d(2), (2, 5, 4), {"kernel": 2}),
    "overlapping-2d": (nn.MaxPool2d((3, 2), 1), (2, 5, 4), {"kernel": (3, 2), "stride": 1}),
    "padded-2d": (
        nn.MaxPool2d(3, 2, (1, 0), ceil_mode=True),
        (2, 5, 6),
        {"kernel": 3, "stride": 2, "padding": (1, 0), "ceil_mode": True},
    ),
    "dilated-2d": (
        nn.MaxPool2d(2, (1, 2), dilation=(2, 1)),
        (2, 5, 6),
        {"kernel": 2, "stride": (1, 2), "dilation": (2, 1)},
    ),
    "adaptive-2d": (nn.AdaptiveMaxPool2d((2, 3)), (2, 5, 4), (2, 3)),
    "adaptive-2d-as-long": (nn.AdaptiveMaxPool2d((None, 1)), (2, 3, 4), (3, 1)),
    "all-positions": (
        Branches(lambda x: torch.nn.functional.max_pool2d(x, x.size()[2:])),
        (2, 3, 4),
        {"kernel": (3, 4)},
    ),
}


@pytest.mark.parametrize("name", POOLS)
def test_max_pool_finds_the_first_maximum(literal, name):
    pool, shape, options = POOLS[name]
    if isinstance(options, dict):
        windows, after = literal.windows(shape[1:], **options)
    else:
        windows, after = literal.adaptive_windows(shape[1:], options)
    node, module = node_of(pool, shape=shape)
    assert node.shape == (shape[0], *after)
    x = torch.randint(-2, 2, (3, *shape)).double()  # with many ties
    value, indices = node.forward_with_indices(x)
    assert torch.equal(value, module(x))
    other = torch.randn(3, *shape, dtype=torch.float64)
    rows = torch.randn(6, *node.shape, dtype=torch.float64)  # two of each sample
    gathered, scattered = node.gather(other, indices), node.scatter(rows, indices)
    for k, one in enumerate(x.numpy()):
        matrix = torch.as_tensor(literal.selection(one, windows))
        assert torch.equal((matrix @ x[k].flatten()).reshape(node.shape), value[k])
        assert torch.equal((matrix @ other[k].flatten()).reshape(node.shape), gathered[k])
        for row in (k, k + 3):
            expected = (rows[row].flatten() @ matrix).reshape(shape)
            torch.testing.assert_close(scattered[row], expected)


@pytest.mark.parametrize(
    ("join", "shape"),
    [
        (lambda x: x + x, (3,)),
        (lambda x: torch.cat([x, x], 1), (3,)),
        (lambda x: torch.cat([x, x.relu(), x], 1), (2, 2, 2)),
        # A squeeze-and-excite-like sum: one value a channel is added at every position.
        (lambda x: x + x.mean((2, 3), keepdim=True), (2, 2, 3)),
    ],
)
def test_transpose_of_joins(join, shape):
    module = Branches(join).double()
    node = read(module, shape).output
    sources = node.inputs
    rows = torch.randn(2, *node.shape, dtype=torch.float64)
    parts = node.transpose(rows)
    assert len(parts) == len(sources)
    zeros = [torch.zeros(1, *source.shape, dtype=torch.float64) for source in sources]
    for i, (part, source) in enumerate(zip(parts, sources, strict=True)):

        def one(value, i=i):
            return node.forward(*zeros[:i], value, *zeros[i + 1 :])

        expected = rows.flatten(1) @ matrix(one, source.shape)
        torch.testing.assert_close(part.flatten(1), expected)


# --- units --------------------------------------------------------------------------------------


@given(st.data())
def test_unit_map_is_the_finest_partition_that_keeps_ties(data):
    n = data.draw(st.integers(1, 12))
    places = st.integers(0, n - 1)
    ties = data.draw(st.lists(st.tuples(places, places), max_size=12))
    frozen = data.draw(st.lists(places, max_size=3))
    units = UnitMap()
    node = Input("x", (), (n,))
    units.of[node] = units.new(n)
    for a, b in ties:
        units.tie(np.array([a]), np.array([b]))
    units.freeze(np.array(frozen, int))
    found, found_frozen = units.resolve()
    # Naive: merge sets until nothing changes.
    groups = [{i} for i in range(n)]
    for a, b in ties:
        merged = next(g for g in groups if a in g) | next(g for g in groups if b in g)
        groups = [g for g in groups if not g & merged] + [merged]
    for group in groups:
        assert set(found[node][sorted(group)].tolist()) == {min(group)}
        assert bool(group & set(frozen)) == (min(group) in found_frozen)


@given(
    before=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    data=st.data(),
)
def test_reshape_keeps_the_unit_of_every_number(before, data):
    """A number's channel before and after the reshape are one unit, whatever the shapes."""
    n = math.prod(before)
    first = data.draw(st.sampled_from([d for d in range(1, n + 1) if n % d == 0]))
    source = Input("x", (), tuple(before))
    node = Reshape("y", (source,), (first, n // first))
    units = UnitMap()
    units.of[source] = units.new(before[0])
    units.of[node] = node.connect(units)
    found, frozen = units.resolve()
    assert len(found[node]) == first
    channel_before = np.repeat(found[source], n // before[0])
    channel_after = np.repeat(found[node], n // first)
    for a, b in zip(channel_before.tolist(), channel_after.tolist(), strict=True):
        assert a == b or {a, b} <= frozen


def test_reshape_of_one_number_to_no_axis():
    graph = read(nn.Sequential(nn.Linear(3, 1), Branches(lambda x: x.squeeze(1))), (3,))
    assert graph.output.shape == ()
    rows = torch.ones(2)
    assert graph.output.transpose(rows)[0].shape == (2, 1)


@pytest.mark.parametrize(
    ("n_in", "n_out", "groups", "expected"),
    [
        (2, 3, 1, None),  # new units
        (3, 3, 3, [0, 1, 2]),
        (3, 6, 3, [0, 0, 1, 1, 2, 2]),
        (4, 6, 2, "frozen"),
    ],
)
def test_units_of_a_convolution(n_in, n_out, groups, expected):
    node, _ = node_of(nn.Conv1d(n_in, n_out, 1, groups=groups), shape=(n_in, 3))
    assert isinstance(node, Conv)
    units = UnitMap()
    before = units.of[node.inputs[0]] = units.new(n_in)
    after = units.of[node] = node.connect(units)
    _, frozen = units.resolve()
    if expected is None:
        assert set(after.tolist()).isdisjoint(before.tolist())
        assert not frozen
    elif expected == "frozen":
        assert frozen == {*before.tolist(), *after.tolist()}
    else:
        assert after.tolist() == expected


def test_tensors_name_the_axes_that_follow_channels():
    module = nn.Sequential(nn.Conv1d(2, 4, 1), nn.BatchNorm1d(4), nn.Conv1d(4, 4, 1, groups=4))
    x, conv, norm, depthwise = read(module, (2, 3)).nodes
    assert x.tensors() == []
    assert conv.tensors() == [(module[0], "weight", (conv, x)), (module[0], "bias", (conv,))]
    names = ["weight", "bias", "running_mean", "running_var"]
    assert norm.tensors() == [(module[1], name, (norm,)) for name in names]
    # Of a depthwise weight the second axis is always one long.
    assert depthwise.tensors()[0] == (module[2], "weight", (depthwise,))


def test_weighted_looks_its_parameters_up_when_asked():
    module = nn.Sequential(nn.Linear(3, 2))
    node = read(module, (3,)).output
    assert isinstance(node, Weighted)
    assert node.owner is module[0]
    module[0].weight = nn.Parameter(torch.zeros(2, 3))
    module[0].bias = None
    assert node.weight is module[0].weight
    assert node.bias is None
