"""The matrix of small networks that the tests of this folder share."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn

from sknninterp.nn.mlp import MLP


@dataclass(frozen=True)
class Case:
    """A network: how it is made, the shape of one sample, and whether its sums can be exact."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    exact: bool = True

    def network(self, dtype=torch.float64, integers=False, seed=0) -> nn.Module:
        module = self.make().to(dtype)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for tensor in module.parameters():
                tensor.copy_(_draw(tensor.shape, integers, generator))
            for norm in module.modules():
                if isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)):
                    _set_statistics(norm, integers, generator)
        return module

    def samples(self, n=5, dtype=torch.float64, integers=False, seed=1) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return _draw((n, *self.shape), integers, generator).to(dtype)


def _draw(shape, integers, generator):
    if integers:  # their sums and products are exact in float64
        return torch.randint(-2, 3, shape, generator=generator).double()
    return 0.5 * torch.randn(shape, generator=generator, dtype=torch.float64)


def _set_statistics(norm, integers, generator):
    norm.running_mean.copy_(_draw(norm.running_mean.shape, integers, generator))
    variance = torch.rand(norm.running_var.shape, generator=generator, dtype=torch.float64) + 0.5
    if integers:
        norm.eps, variance = 0.0, torch.full_like(variance, 0.25)
    norm.running_var.copy_(variance)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(4, 6)
        self.inner, self.outer = nn.Linear(6, 5), nn.Linear(5, 6)
        self.norm = nn.BatchNorm1d(6)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        x = F.relu(x + self.norm(self.outer(self.inner(x).relu())))
        return self.head(x)


class ConvBlock(nn.Module):
    """A ResNet's block: in-place activations, a projected shortcut."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.downsample = nn.Sequential(
            nn.Conv2d(n_in, n_out, 1, stride=2, bias=False), nn.BatchNorm2d(n_out)
        )

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.downsample(x)
        return self.relu(out)


class PreActivation(nn.Module):
    """The shortcut takes a value that an in-place ReLU has changed by then."""

    def __init__(self):
        super().__init__()
        self.stem, self.inner, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.inner(self.relu(x)) + x)


class Dense(nn.Module):
    """DenseNet's concatenations, also of the input."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 3, 3, padding=1)
        self.second = nn.Conv2d(5, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(7)
        self.head = nn.Linear(7 * 16, 2)

    def forward(self, x):
        a = F.relu(self.first(x))
        b = F.relu(self.second(torch.cat([a, x], 1)))
        return self.head(torch.flatten(F.relu(self.norm(torch.cat((b, a), dim=1))), 1))


class CrossedConcat(nn.Module):
    """A layer whose channels are tied to those of two others, in another order."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 2)
        self.both, self.head = nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x):
        joined = torch.cat([self.b(x), self.a(x)], dim=-1)
        return self.head(F.relu(joined + self.both(x)))


class Reused(nn.Module):
    """A recurrent layer, and one norm and one activation for all."""

    def __init__(self):
        super().__init__()
        self.stem, self.step, self.head = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 2)
        self.norm, self.act = nn.BatchNorm1d(5), nn.ReLU()

    def forward(self, x):
        x = self.act(self.norm(self.stem(x)))
        for _ in range(2):
            x = self.act(self.norm(self.step(x)))
        return self.head(x)


class TiedWeights(nn.Module):
    """Two modules hold one weight, two others one bias."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 5)
        self.d, self.head = nn.Linear(5, 5), nn.Linear(5, 2)
        self.c.weight = self.b.weight
        self.d.bias = self.a.bias

    def forward(self, x):
        for layer in (self.a, self.b, self.c, self.d):
            x = torch.relu(layer(x))
        return self.head(x)


class Functional(nn.Module):
    """Parameters of its own and functions in place of modules."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(4, 2, 3, 3))
        self.shift = nn.Parameter(torch.zeros(4))
        self.weights = nn.ParameterList([torch.zeros(5, 16), torch.zeros(3, 5)])

    def forward(self, x):
        x = F.relu(F.conv2d(x, self.kernel, self.shift, stride=2, padding=1))
        x = F.dropout(F.max_pool2d(x, 2), training=self.training)
        x = F.adaptive_avg_pool2d(x, (2, 2)).view(x.size(0), -1)
        x = F.linear(x, self.weights[0]).relu_()
        return F.log_softmax(F.linear(x, self.weights[1], bias=None), dim=1)


class Shapes(nn.Module):
    """Flattening and its kin, in many spellings."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 3, padding=1)
        self.a, self.b, self.head = nn.Linear(32, 6), nn.Linear(6, 8), nn.Linear(8, 2)

    def forward(self, x):
        x = torch.unsqueeze(x, 1)
        x = F.relu(self.conv(x))
        x = torch.reshape(x, (x.shape[0], -1, 4)).flatten(1)
        x = torch.relu(self.a(x).unsqueeze(2).squeeze(2))
        x = torch.relu(self.b(x).reshape(-1, 8, 1, 1))
        x = x.view(x.size(0), x.size(1) * x.size(2), -1).mean(-1).contiguous()
        return self.head(x)


class Unflattened(nn.Module):
    """A decoder: from neurons back to channels, four neurons to one."""

    def __init__(self):
        super().__init__()
        self.stem, self.mix = nn.Linear(4, 12), nn.Linear(12, 12)
        self.conv, self.head = nn.Conv2d(3, 5, 3, padding=1), nn.Linear(20, 2)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        x = torch.relu(self.mix(x)).view(x.size(0), -1, 2, 2)
        return self.head(nn.functional.relu(self.conv(x)).flatten(start_dim=1))


class OwnLinear(nn.Linear):
    """Inherits its computation."""


class ScaledLinear(nn.Linear):
    """Has its own computation, made of parts that are read."""

    def forward(self, x):
        return F.relu(F.linear(x, self.weight, self.bias))


class Listed(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.ModuleList([OwnLinear(4, 5), ScaledLinear(5, 6), nn.Linear(6, 4)])
        self.blocks = nn.ModuleDict({"last": nn.Sequential(nn.ReLU(), MLP(4, 2, (3,)))})

    def forward(self, x, mask=None, scale=True):
        for layer in self.hidden:
            x = layer(x) if scale else x
        if mask is not None:
            x = x * mask
        return self.blocks["last"](x)


class OneLogit(nn.Module):
    """A regressor whose output has no axis but the batch."""

    def __init__(self):
        super().__init__()
        self.hidden, self.head = nn.Linear(4, 5), nn.Linear(5, 1)

    def forward(self, x):
        return self.head(torch.relu(self.hidden(x))).squeeze(-1)


def _mlp_without_bias():
    return nn.Sequential(
        nn.Linear(5, 6, bias=False),
        nn.ReLU(),
        nn.Linear(6, 4, bias=False),
        nn.ReLU(),
        nn.Linear(4, 3, bias=False),
    )


def _cnn_1d():
    return nn.Sequential(
        nn.Conv1d(2, 4, 3, stride=2, padding=1),
        nn.BatchNorm1d(4),
        nn.ReLU(),
        nn.Conv1d(4, 6, 2, dilation=2),
        nn.ReLU(),
        nn.MaxPool1d(2, ceil_mode=True),
        nn.Flatten(),
        nn.Linear(18, 5),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(5, 2),
    )


def _cnn_2d():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 6, (2, 3), stride=(2, 1), padding=(0, 1)),
        nn.Dropout2d(0.3),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(12, 5),
        nn.BatchNorm1d(5),
        nn.ReLU(True),
        nn.Linear(5, 3),
        nn.Softmax(dim=1),
    )


def _grouped():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.ReLU(),
        nn.Conv2d(4, 6, 1, groups=2),
        nn.ReLU(),
        nn.Conv2d(6, 4, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )


def _depthwise():
    return nn.Sequential(
        nn.Conv2d(2, 4, 1),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, groups=4, padding="same"),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 8, 3, groups=4, padding=1, bias=False),
        nn.ReLU(),
        nn.Conv2d(8, 5, 1),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d((2, 1)),
        nn.Flatten(),
        nn.Linear(10, 3),
        nn.LogSoftmax(-1),
    )


def _resnet():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.ReLU(),
        ConvBlock(3, 4),
        ConvBlock(4, 4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(1),
        nn.Linear(4, 2),
    )


def _smooth():
    return nn.Sequential(
        nn.Linear(4, 7),
        nn.Sigmoid(),
        nn.Linear(7, 6),
        nn.BatchNorm1d(6, affine=False),
        nn.Tanh(),
        nn.Identity(),
        nn.Linear(6, 5),
        nn.GELU(),
        nn.Linear(5, 2),
        nn.Sigmoid(),
    )


class GlobalMean(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 5, 3, padding=1)
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        x = F.relu(F.max_pool2d(self.conv1(x), kernel_size=2))
        x = F.relu(F.avg_pool2d(self.conv2(x), x.size()[2:], 1))
        return self.head(torch.mean(x, dim=(2, 3)))


NETWORKS = {
    "mlp": Case(lambda: MLP(5, 3, (6, 4)), (5,)),
    "mlp-batch-norm-dropout": Case(lambda: MLP(5, 3, (6, 4), batch_norm=True, dropout=0.3), (5,)),
    "mlp-without-bias": Case(_mlp_without_bias, (5,)),
    "smooth": Case(_smooth, (4,), exact=False),
    "cnn-1d": Case(_cnn_1d, (2, 15)),
    "cnn-2d": Case(_cnn_2d, (1, 8, 8)),
    "grouped": Case(_grouped, (2, 4, 4)),
    "depthwise": Case(_depthwise, (2, 4, 4)),
    "residual": Case(Residual, (4,)),
    "resnet": Case(_resnet, (1, 8, 8)),
    "pre-activation": Case(PreActivation, (4,)),
    "dense": Case(Dense, (2, 4, 4)),
    "crossed-concat": Case(CrossedConcat, (4,)),
    "reused": Case(Reused, (4,)),
    "tied-weights": Case(TiedWeights, (4,)),
    "functional": Case(Functional, (2, 8, 8)),
    "shapes": Case(Shapes, (8,)),
    "unflattened": Case(Unflattened, (4,)),
    "listed": Case(Listed, (4,)),
    "one-logit": Case(OneLogit, (4,)),
    "global-mean": Case(GlobalMean, (1, 8, 8)),
}


@pytest.fixture(params=list(NETWORKS))
def case(request) -> Case:
    """Each network of the matrix in turn."""
    return NETWORKS[request.param]


@pytest.fixture
def named_case() -> Callable[[str], Case]:
    """A network of the matrix by its name."""
    return NETWORKS.__getitem__


class Literal:
    """Linear maps of feature maps, written out by loops: matrices (n_out, n_in) of flat places.

    A shape is (channels, *positions); an option is an int or has one for each axis of positions.
    """

    @staticmethod
    def convolution(weight, shape, stride=1, padding=0, dilation=1, groups=1):
        """Matrix of a convolution, and the shape of what it gives."""
        n_out, n_in, *kernel = weight.shape
        n_axes = len(kernel)
        stride, dilation = _each(stride, n_axes), _each(dilation, n_axes)
        reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        if padding == "same":
            before, both = [r // 2 for r in reach], reach
        else:
            before = _each(0 if padding == "valid" else padding, n_axes)
            both = [2 * p for p in before]
        after = [
            (size + b - r - 1) // s + 1
            for size, b, r, s in zip(shape[1:], both, reach, stride, strict=True)
        ]
        found = np.zeros((n_out, *after, *shape))
        for o in range(n_out):
            group = o // (n_out // groups)
            for place in itertools.product(*map(range, after)):
                for i, offset in itertools.product(range(n_in), np.ndindex(*kernel)):
                    read = [
                        at * s - b + d * k
                        for at, s, b, d, k in zip(
                            place, stride, before, dilation, offset, strict=True
                        )
                    ]
                    if all(0 <= r < size for r, size in zip(read, shape[1:], strict=True)):
                        found[(o, *place, group * n_in + i, *read)] += weight[(o, i, *offset)]
        return found.reshape(n_out * math.prod(after), -1), (n_out, *after)

    @staticmethod
    def windows(sizes, kernel, stride=None, padding=0, dilation=1, ceil_mode=False):
        """Places that each window of a pool reads, its size with the padding, and its numbers."""
        n_axes = len(sizes)
        kernel, padding, dilation = (_each(o, n_axes) for o in (kernel, padding, dilation))
        stride = kernel if stride is None else _each(stride, n_axes)
        axes = []
        for size, k, s, p, d in zip(sizes, kernel, stride, padding, dilation, strict=True):
            span, windows = size + 2 * p - d * (k - 1) - 1, []
            for start in range(-p, span - p + (s if ceil_mode else 1), s):
                if start < size:  # with ceil_mode a window must begin before the padding at the end
                    reads = [start + d * i for i in range(k)]
                    inside = [r for r in reads if 0 <= r < size]
                    windows.append((inside, len([r for r in reads if r < size + p])))
            axes.append(windows)
        return _joined(axes, sizes)

    @staticmethod
    def adaptive_windows(sizes, output_size):
        """The same for the windows of an adaptive pool."""
        axes = []
        for size, n in zip(sizes, _each(output_size, len(sizes)), strict=True):
            windows = [range(i * size // n, -(-(i + 1) * size // n)) for i in range(n)]
            axes.append([(list(w), len(w)) for w in windows])
        return _joined(axes, sizes)

    @staticmethod
    def average(shape, windows, count_include_pad=True, divisor=None):
        """Matrix of the average over windows."""
        n, n_windows = math.prod(shape[1:]), len(windows)
        found = np.zeros((shape[0], n_windows, shape[0], n))
        for c, (o, (places, full)) in itertools.product(range(shape[0]), enumerate(windows)):
            for place in places:
                found[c, o, c, place] = 1 / (
                    divisor or (full if count_include_pad else len(places))
                )
        return found.reshape(shape[0] * n_windows, -1)

    @staticmethod
    def selection(value, windows):
        """Matrix that picks each window's first maximum from one sample's value."""
        flat = value.reshape(value.shape[0], -1)
        found = np.zeros((len(flat), len(windows), *flat.shape))
        for c, (o, (places, _)) in itertools.product(range(len(flat)), enumerate(windows)):
            best = places[0]
            for place in places:
                if flat[c, place] > flat[c, best]:
                    best = place
            found[c, o, c, best] = 1.0
        return found.reshape(len(flat) * len(windows), -1)


def _each(option, n_axes):
    return [option] * n_axes if isinstance(option, int) else list(option)


def _joined(axes, sizes):
    """Windows over all axes from those of each, and how many there are along each."""
    windows = []
    for combined in itertools.product(*axes):
        reads = itertools.product(*(inside for inside, _ in combined))
        places = [int(np.ravel_multi_index(read, sizes)) for read in reads]
        windows.append((places, math.prod(full for _, full in combined)))
    return windows, tuple(len(axis) for axis in axes)


@pytest.fixture(scope="session")
def literal() -> type[Literal]:
    """Convolutions and pools as matrices, written out by loops."""
    return Literal


@pytest.fixture(autouse=True)
def _same_weights_every_time():
    torch.manual_seed(0)


def _sizes_can_be_traced() -> bool:
    try:
        fx.symbolic_trace(lambda x: torch.reshape(x, (x.shape[0], -1)))
    except TypeError:
        return False
    return True


def pytest_collection_modifyitems(items):
    """Torch of 2.4 to 2.6 cannot trace functions that take sizes: such networks are refused."""
    if not _sizes_can_be_traced():
        skip = pytest.mark.skip(reason="this version of torch.fx cannot trace sizes")
        for item in items:
            if "tests/nn/" in item.nodeid and re.search(
                r"\[.*(shapes|global-mean)|of_each_network", item.nodeid
            ):
                item.add_marker(skip)
