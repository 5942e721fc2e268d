"""Influential scores against literal matrices, multiplied layer by layer, on random networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn

from sknninterp.nn.graph import read
from sknninterp.nn.influence import influential_scores

# torch's own remark about a copy that it makes.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
many = settings(suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 2**32 - 1)

# --- random networks ----------------------------------------------------------------------------


@dataclass
class Step:
    """One operation: what it reads, what computes it, and what the literal matrices need."""

    kind: str
    sources: tuple[int, ...]
    call: Callable | None
    shape: tuple[int, ...]
    module: nn.Module | None = None
    options: dict = field(default_factory=dict)


class Program(nn.Module):
    """A network of steps, each of which reads the input (0) or steps before it."""

    def __init__(self, shape):
        super().__init__()
        self.parts = nn.ModuleList()
        self.steps = [Step("input", (), None, shape)]

    def add(self, kind, sources, call, module=None, **options) -> int:
        if isinstance(call, nn.Module):
            module = call.eval()
        if module is not None and not any(module is part for part in self.parts):
            self.parts.append(module)
        with torch.no_grad():
            value = call(*(torch.zeros(2, *self.steps[s].shape) for s in sources))
        self.steps.append(Step(kind, sources, call, tuple(value.shape[1:]), module, options))
        return len(self.steps) - 1

    def forward(self, x):
        values = [x]
        for step in self.steps[1:]:
            values.append(step.call(*(values[s] for s in step.sources)))
        return values[-1]

    def readers(self, i) -> list[int]:
        """Steps that read step i, one that reads it twice two times."""
        return [j for j, step in enumerate(self.steps) for s in step.sources if s == i]

    def fill(self, seed) -> Program:
        """Random parameters in double precision, a few of them zero."""
        rng = np.random.default_rng(seed)
        self.double()
        with torch.no_grad():
            for tensor in (*self.parameters(), *self.buffers()):
                if tensor.is_floating_point():
                    tensor.copy_(torch.as_tensor(_mostly_normal(rng, tuple(tensor.shape))))
            for part in self.parts:
                if hasattr(part, "running_var"):
                    part.running_var.abs_().add_(0.3)
        # The double of a float: one network in both precisions.
        return self.float().double()

    def samples(self, seed, n=2) -> torch.Tensor:
        rng = np.random.default_rng(seed + 1)
        return torch.as_tensor(_mostly_normal(rng, (n, *self.steps[0].shape))).float().double()


def _mostly_normal(rng, shape):
    return rng.normal(size=shape) * (rng.random(shape) > 0.1)


class Grower:
    """Makes a random program, block by block."""

    def __init__(self, random, shape):
        self.random = random
        self.program = Program(shape)

    def shape(self, h):
        return self.program.steps[h].shape

    def chance(self, p=0.5):
        return self.random.randrange(100) < 100 * p

    # -- single steps ----------------------------------------------------------------------------

    def weighted(self, h, n_out, keep=False):
        is_vector = len(self.shape(h)) == 1
        return self.linear(h, n_out) if is_vector else self.conv(h, n_out, keep)

    def linear(self, h, n_out):
        layer = nn.Linear(self.shape(h)[0], n_out, bias=self.chance())
        call = layer
        if self.chance(0.3):

            def call(x):
                return F.linear(x, layer.weight, layer.bias)

        return self.program.add("linear", (h,), call, layer)

    def conv(self, h, n_out, keep=False):
        """Of any options; with `keep` the positions stay as many."""
        n_in, *sizes = self.shape(h)
        choose = self.random.choice
        kernel = [choose(range(1, min(3, size) + 1)) for size in sizes]
        dilation = [
            choose([1, 2]) if 2 * (k - 1) < s else 1 for k, s in zip(kernel, sizes, strict=True)
        ]
        reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        stride = [1] * len(sizes)
        if keep:
            odd = any(r % 2 for r in reach)
            padding = "same" if odd or self.chance() else tuple(r // 2 for r in reach)
        else:
            padding = choose(["same", "valid", tuple(choose([0, 1, 2]) for _ in sizes), 0, 1])
            if padding != "same":
                stride = [choose([1, 1, 2, 3]) for _ in sizes]
        groups = choose([g for g in range(1, n_in + 1) if n_in % g == n_out % g == 0])
        options = {
            "stride": stride[0] if len(set(stride)) == 1 else tuple(stride),
            "padding": padding,
            "dilation": dilation[0] if len(set(dilation)) == 1 else tuple(dilation),
            "groups": groups,
        }
        make, function = (nn.Conv1d, F.conv1d) if len(sizes) == 1 else (nn.Conv2d, F.conv2d)
        layer = make(n_in, n_out, tuple(kernel), bias=self.chance(), **options)
        call = layer
        if self.chance(0.3):

            def call(x):
                return function(x, layer.weight, layer.bias, **options)

        return self.program.add("conv", (h,), call, layer, **options)

    def norm(self, h):
        make = nn.BatchNorm2d if len(self.shape(h)) == 3 else nn.BatchNorm1d
        return self.program.add("norm", (h,), make(self.shape(h)[0], affine=self.chance(0.8)))

    def activation(self, h):
        kinds = [nn.ReLU(), torch.relu, F.relu, nn.LeakyReLU(0.2), nn.Tanh(), torch.sigmoid, F.elu]
        kinds += [lambda x: x.relu(), F.gelu, nn.SiLU()]
        return self.program.add("activation", (h,), self.random.choice(kinds))

    def route(self, h):
        make = self.random.choice([lambda: nn.Dropout(0.5), nn.Identity])
        return self.program.add("route", (h,), make())

    def flatten(self, h):
        return self.program.add("route", (h,), self.random.choice([nn.Flatten(), _flatten]))

    def mean(self, h):
        axes = tuple(range(2, len(self.shape(h)) + 1))
        options = {"output_size": 1}
        return self.program.add("average", (h,), lambda x: x.mean(axes, keepdim=True), **options)

    def pool(self, h, keep=False):
        """Of any kind and options; with `keep` the positions stay as many."""
        sizes, choose = self.shape(h)[1:], self.random.choice
        kind, n_axes = choose(["max", "average"]), len(sizes)
        if not keep and self.chance(0.3):
            options = {"output_size": tuple(choose(range(1, size + 1)) for size in sizes)}
            return self._add_pool("adaptive_", kind, h, options)
        kernel = [choose(range(1, min(3, size) + 1)) for size in sizes]
        padding = [choose(range(k // 2 + 1)) for k in kernel]
        stride = [choose([1, 2, 3]) for _ in sizes]
        if keep:
            kernel, padding, stride = [3] * n_axes, [1] * n_axes, [1] * n_axes
        options = {
            "kernel_size": tuple(kernel),
            "stride": tuple(stride),
            "padding": tuple(padding),
            "ceil_mode": not keep and self.chance(),
        }
        if kind == "max":
            fits = [
                2 * (k - 1) < s + 2 * p and p == 0
                for k, s, p in zip(kernel, sizes, padding, strict=True)
            ]
            options["dilation"] = tuple(choose([1, 2]) if fit else 1 for fit in fits)
        else:
            options["count_include_pad"] = self.chance()
            if n_axes == 2 and self.chance(0.3):
                options["divisor_override"] = 3
        return self._add_pool("", kind, h, options)

    def _add_pool(self, prefix, kind, h, options):
        n_axes, short = len(self.shape(h)) - 1, {"max": "max", "average": "avg"}[kind]
        name = f"{prefix}{short}_pool{n_axes}d"
        if self.chance(0.3):

            def call(x):
                return getattr(F, name)(x, **options)

        else:
            camel = "".join(part.capitalize() for part in name.split("_"))
            call = getattr(nn, camel)(**options)
        return self.program.add(kind, (h,), call, **options)

    # -- blocks ----------------------------------------------------------------------------------

    def layer(self, h):
        h = self.weighted(h, self.random.choice([1, 2, 3, 4]))
        for step, p in ((self.norm, 0.3), (self._maybe_pool, 0.2), (self.norm, 0.1)):
            h = step(h) if self.chance(p) else h
        h = self.activation(h) if self.chance(0.8) else h
        return self.route(h) if self.chance(0.1) else h

    def _maybe_pool(self, h):
        return self.pool(h) if len(self.shape(h)) > 1 else h

    def branch(self, h, inner=True, means=True):
        """Something with as many channels as h and, but for means, as many positions."""
        n, spatial = self.shape(h)[0], len(self.shape(h)) > 1

        def same(i):
            return self.weighted(i, n, keep=True)

        def pool(i):
            return self.pool(i, keep=True)

        act, norm, route = self.activation, self.norm, self.route
        ways = [[], [same], [same, norm], [act, same], [norm, act, same], [same, act], [act]]
        ways += [[norm], [norm, same], [same, route], [act, norm], [same, norm, act, same, norm]]
        ways += [[pool], [same, pool], [norm, pool]] if spatial else []
        ways += [[self.mean], [same, self.mean, act]] if spatial and means else []
        ways += [[lambda i: self.residual(i, False, means)]] * 2 if inner else []
        for step in self.random.choice(ways):
            h = step(h)
        return h

    def residual(self, h, inner=True, means=True):
        return self._join("add", [self.branch(h, inner, means) for _ in range(2)])

    def projection(self, h):
        """Both branches of another shape."""
        n = self.random.choice([2, 3])
        if len(self.shape(h)) == 1:
            branches = [self.norm(self.linear(h, n)), self.linear(h, n)]
        else:
            make = nn.Conv1d if len(self.shape(h)) == 2 else nn.Conv2d
            branches = []
            for kernel in (3, 1):
                options = {"stride": 2, "padding": kernel // 2, "dilation": 1, "groups": 1}
                layer = make(self.shape(h)[0], n, kernel, bias=self.chance(), **options)
                i = self.program.add("conv", (h,), layer, **options)
                branches.append(self.norm(i) if self.chance() else i)
        return self._join("add", branches)

    def concat(self, h):
        n = self.random.choice([2, 3])
        return self._join("concat", [self.branch(h, means=False) for _ in range(n)])

    def _join(self, kind, branches):
        if kind == "add":
            call = self.random.choice([lambda a, b: a + b, torch.add])
        else:

            def call(*values):
                return torch.cat(values, 1)

        return self.program.add(kind, tuple(branches), call)

    def repeated(self, h):
        """One layer and one activation, used twice."""
        h = self.weighted(h, self.shape(h)[0], keep=True)
        first, relu = self.program.steps[h], nn.ReLU()
        h = self.program.add("activation", (h,), relu)
        h = self.program.add(first.kind, (h,), first.call, first.module, **first.options)
        return self.program.add("activation", (h,), relu)

    def close(self, h):
        """The logits, and what may follow them."""
        if len(self.shape(h)) > 1:
            if self.chance(0.2):  # without a linear layer
                return self.flatten(self._maybe_pool(h))
            h = self.flatten(h)
        h = self.linear(h, self.random.choice([1, 2, 3]))
        if self.chance(0.2):
            h = self.activation(h)
        if self.shape(h) == (1,) and self.chance():
            return self.program.add("route", (h,), lambda x: x.squeeze(1))
        if self.chance(0.3):
            return self.program.add("softmax", (h,), self.random.choice([nn.Softmax(1), _log]))
        return h


def _flatten(x):
    return torch.flatten(x, 1)


def _log(x):
    return F.log_softmax(x, dim=-1)


def dense_chain(random) -> Program:
    """Linear layers with whatever may stand between them."""
    grower = Grower(random, (random.choice([1, 2, 4]),))
    h = grower.norm(0) if grower.chance(0.2) else 0
    for _ in range(random.choice([0, 1, 2, 3])):
        h = grower.layer(h)
    grower.close(h)
    return grower.program


def conv_chain(random) -> Program:
    """Convolutions of every kind, and pools."""
    shape = random.choice([(2, 7), (3, 5), (1, 5, 4), (2, 4, 5)])
    grower = Grower(random, shape)
    h = grower.norm(0) if grower.chance(0.2) else 0
    for _ in range(random.choice([1, 2])):
        h = grower.layer(h)
        h = grower.pool(h) if grower.chance(0.3) else h
    grower.close(h)
    return grower.program


def branched(random) -> Program:
    """Residual blocks, concatenations, layers used again, and what is rare between them."""
    grower = Grower(random, random.choice([(3,), (4,), (2, 5), (2, 4, 4)]))
    blocks = [grower.residual, grower.residual, grower.projection, grower.concat, grower.concat]
    blocks += [grower.repeated, grower.layer, grower.norm, grower.activation]
    h = 0
    for _ in range(random.choice([1, 2, 3])):
        h = random.choice(blocks)(h)
    grower.close(h)
    return grower.program


# --- the definition, literally ------------------------------------------------------------------

LINEAR = ("linear", "conv", "average", "add")
PASSING = ("route", "max", "concat")


class Oracle:
    """Scores of one sample as products of the steps' matrices, each made in full.

    An expression is a list of (leaf, matrix, places) with a constant: how a value is made,
    linearly, from numbers that are the values of other layers at some places, maybe scaled.
    """

    def __init__(self, program, x, literal, source=0, bias=False):
        self.program, self.steps, self.literal = program, program.steps, literal
        self.source, self.bias = source, bias
        self.logits = len(self.steps) - 1
        if self.steps[-1].kind == "softmax":
            (self.logits,) = self.steps[-1].sources
        self.values = [x.astype(float)]
        self.maps = [None]
        self.is_clear = True  # no maximum is a matter of rounding
        for step in self.steps[1:]:
            self._compute(step)
        self._to_source = {}

    # -- values and linear maps ------------------------------------------------------------------

    def _compute(self, step):
        values = [self.values[s] for s in step.sources]
        if step.kind in ("activation", "softmax"):
            with torch.no_grad():
                value = step.call(torch.as_tensor(values[0])[None])[0].numpy()
            matrices, constant = [np.eye(value.size)], None
        else:
            matrices, constant = self._map(step, values)
            value = constant + sum(m @ v.ravel() for m, v in zip(matrices, values, strict=True))
            value = value.reshape(step.shape)
        self.maps.append((matrices, constant))
        self.values.append(value)

    def _map(self, step, values):
        """One matrix for each input, and a constant."""
        weight, bias = (_array(getattr(step.module, name, None)) for name in ("weight", "bias"))
        n, shape = math.prod(step.shape), values[0].shape
        per_channel = n // step.shape[0] if step.shape else 1
        constant = np.zeros(n)
        if step.kind in ("linear", "conv") and bias is not None:
            constant = np.repeat(bias, per_channel)
        if step.kind == "linear":
            matrices = [weight]
        elif step.kind == "conv":
            matrix, after = self.literal.convolution(weight, shape, **step.options)
            assert after == step.shape
            matrices = [matrix]
        elif step.kind == "norm":
            norm = step.module
            scale = 1 / np.sqrt(_array(norm.running_var) + norm.eps)
            scale = scale if weight is None else scale * weight
            shift = (0 if bias is None else bias) - _array(norm.running_mean) * scale
            matrices = [np.diag(np.repeat(scale, per_channel))]
            constant = np.repeat(shift, per_channel)
        elif step.kind in ("max", "average"):
            matrices = [self._pool(step, values[0])]
        elif step.kind == "concat":
            ends = np.cumsum([0, *(v.size for v in values)])
            matrices = [np.eye(n)[:, a:b] for a, b in zip(ends, ends[1:], strict=False)]
        else:  # add, which may repeat one number of a channel at every position
            matrices = [np.repeat(np.eye(v.size), n // v.size, 0) for v in values]
        return matrices, constant

    def _pool(self, step, value):
        options, shape = dict(step.options), value.shape
        counted = options.pop("count_include_pad", True)
        divisor = options.pop("divisor_override", None)
        if "output_size" in options:
            windows, after = self.literal.adaptive_windows(shape[1:], options["output_size"])
        else:
            windows, after = self.literal.windows(
                shape[1:],
                options["kernel_size"],
                *(options[k] for k in ("stride", "padding")),
                options.get("dilation", 1),
                options["ceil_mode"],
            )
        assert step.shape[1:] in (after, ())
        if step.kind == "max":
            flat = value.reshape(len(value), -1)
            self.is_clear &= all(_is_clear(channel[w]) for channel in flat for w, _ in windows)
            return self.literal.selection(value, windows)
        return self.literal.average(shape, windows, counted, divisor)

    def center(self):
        """Take each logit less the mean of all."""
        i = self.logits
        while self.steps[i].kind in ("route", "activation"):
            (i,) = self.steps[i].sources
        assert self.steps[i].kind == "linear"
        ((matrix,), constant) = self.maps[i]
        if len(matrix) > 1:
            self.maps[i] = ([matrix - matrix.mean(0)], constant - constant.mean())

    # -- structure -------------------------------------------------------------------------------

    def is_sum(self, i) -> bool:
        """Whether it adds up contributions, in itself or in what it passes on."""
        step = self.steps[i]
        if step.kind == "norm":
            return self.is_private(step.sources[0])
        return step.kind in LINEAR or (
            step.kind in PASSING and all(self.is_sum(s) for s in step.sources)
        )

    def is_private(self, i) -> bool:
        """Whether it is a sum that feeds one reader only, down to its layers."""
        step = self.steps[i]
        return (
            self.is_sum(i)
            and len(self.program.readers(i)) == 1
            and (step.kind in LINEAR or all(self.is_private(s) for s in step.sources))
        )

    def is_forwarded(self, i) -> bool:
        """Whether it is a batch norm of values that only linear steps read."""
        step = self.steps[i]
        return (
            step.kind == "norm" and not self.is_sum(step.sources[0]) and self._feeds_linear_steps(i)
        )

    def _feeds_linear_steps(self, i) -> bool:
        readers = self.program.readers(i)
        return bool(readers) and all(
            self.steps[r].kind in LINEAR
            or (self.steps[r].kind in PASSING and self._feeds_linear_steps(r))
            for r in readers
        )

    def is_inside(self, i) -> bool:
        """Whether it is a part of the sum that reads it, and no layer."""
        return self.is_sum(i) and any(
            (kind == "norm" and self.is_private(i))
            or (kind == "add" and self.is_private(i))
            or (kind in PASSING and self.is_inside(r))
            for r in self.program.readers(i)
            for kind in [self.steps[r].kind]
        )

    def is_layer(self, i) -> bool:
        """Whether scores from and to it are defined."""
        if self.is_inside(i) or self.is_forwarded(i) or self.steps[i].kind == "softmax":
            return False
        return self.steps[i].kind not in PASSING or not any(
            self.is_forwarded(s) or not (self.is_layer(s) or self.is_inside(s))
            for s in self.steps[i].sources
        )

    # -- expressions -----------------------------------------------------------------------------

    def _through(self, i, how):
        """The expression of a linear step of which each input has the expression `how`."""
        matrices, constant = self.maps[i]
        terms = []
        for source, matrix in zip(self.steps[i].sources, matrices, strict=True):
            inner, shift = how(source)
            terms += [(leaf, matrix @ m, places) for leaf, m, places in inner]
            constant = constant + matrix @ shift
        return terms, constant

    def read(self, i):
        """How the steps that read a value see it: made from layers."""
        n = self.values[i].size
        if i == self.source or not (self.steps[i].kind in PASSING or self.is_forwarded(i)):
            return [(i, np.eye(n), np.eye(n))], np.zeros(n)
        terms, constant = self._through(i, self.read)
        if self.steps[i].kind == "max":  # what is read in two windows counts in each of them
            terms = [(leaf, np.eye(n), m @ places) for leaf, m, places in terms]
        return terms, constant

    def own(self, i):
        """What a sum is made from."""
        if self.steps[i].kind in ("linear", "conv", "average"):
            return self._through(i, self.read)
        if self.steps[i].kind == "add":
            return self._through(i, lambda s: (self.own if self.is_private(s) else self.read)(s))
        return self._through(i, self.own)

    # -- matrices --------------------------------------------------------------------------------

    def step(self, i):
        """J from each layer that step i reads, as (leaf, matrix of (n_target, n_source))."""
        if not self.is_sum(i) or self.steps[i].kind in PASSING:
            return self._pass_on(i)
        terms, constant = self.own(i)
        parts = [m * (places @ self.values[leaf].ravel()) for leaf, m, places in terms]
        total = sum(np.abs(part).sum(1) for part in parts) + self.bias * np.abs(constant)
        found = []
        for (leaf, _, places), part in zip(terms, parts, strict=True):
            for j, denominator in enumerate(total):
                part[j] = part[j] / denominator if denominator != 0 else 0.0
            found.append((leaf, part @ (places != 0)))
        return found

    def _pass_on(self, i):
        """Of activations and their kin."""
        found = []
        for source, matrix in zip(self.steps[i].sources, self.maps[i][0], strict=True):
            passes = self._passes(i if self.steps[i].kind in PASSING else source)
            for leaf, m, places in self.read(source)[0]:
                found.append((leaf, passes[:, None] * (np.sign(matrix) @ m @ places)))
        return found

    def _passes(self, i):
        """Which numbers have scores to pass on: not a value of 0."""
        value = self.values[i].ravel()
        return np.ones_like(value) if self.is_sum(i) else (value != 0)

    def scores(self, target) -> np.ndarray:
        """Scores of the source, (n_target, n_source)."""
        while self.steps[target].kind == "route" and target != self.source:
            (target,) = self.steps[target].sources
        return self._scores(target) * self._passes(self.source)

    def _scores(self, i):
        if i == self.source:
            return np.eye(self.values[i].size)
        if i not in self._to_source:
            found = np.zeros((self.values[i].size, self.values[self.source].size))
            for leaf, matrix in self.step(i) if i > self.source else []:
                found += matrix @ self._scores(leaf)
            self._to_source[i] = found
        return self._to_source[i]


def _array(tensor):
    return None if tensor is None else tensor.detach().double().numpy()


def _is_clear(window):
    """Whether the largest of some numbers is surely that, or surely the first of several zeros."""
    best = window.max()
    return best == 0 or (np.abs(window - best) < 1e-5).sum() == 1


# --- agreement ----------------------------------------------------------------------------------


def pairs_of_layers(program, oracle, random):
    """Some sources and targets, the input and the logits first."""
    layers = [i for i in range(oracle.logits + 1) if oracle.is_layer(i)]
    pairs = [(0, oracle.logits)]
    for _ in range(4):
        pairs.append((random.choice(layers), oracle.logits))
        pairs.append((0, random.choice(layers)))
        pairs.append(tuple(sorted((random.choice(layers), random.choice(layers)))))
    return [(source, target) for source, target in dict.fromkeys(pairs) if source != target]


def scores_of(graph, x, pairs, **options):
    """Scores between pairs of nodes, where there is a way."""
    nodes = graph.nodes
    return {
        (source, target): influential_scores(graph, x, nodes[source], nodes[target], **options)
        for source, target in pairs
        if graph.between(nodes[source], nodes[target])
    }


def check(program, x, literal, random, center_logits=False, bias_in_denominator=False):
    graph = read(program, program.steps[0].shape)
    assert [tuple(node.shape) for node in graph.nodes] == [s.shape for s in program.steps]
    pairs = pairs_of_layers(program, Oracle(program, x[0].numpy(), literal), random)
    options = {"center_logits": center_logits, "bias_in_denominator": bias_in_denominator}
    for (source, target), scores in scores_of(graph, x, pairs, **options).items():
        assert scores.shape[2:] == program.steps[source].shape
        for k, one in enumerate(x.numpy()):
            oracle = Oracle(program, one, literal, source, bias=bias_in_denominator)
            if center_logits and target == oracle.logits:
                oracle.center()
            if oracle.is_clear:
                expected = oracle.scores(target)
                found = scores[:, k].numpy().reshape(expected.shape)
                np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


KINDS = {"dense": dense_chain, "conv": conv_chain, "branched": branched}


@pytest.mark.parametrize("kind", KINDS)
@many
@given(seed=seeds)
def test_scores_are_the_literal_product_of_matrices(literal, kind, seed):
    random = Random(seed)
    program = KINDS[kind](random).fill(seed)
    check(program, program.samples(seed), literal, random)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds)
def test_biases_that_take_a_share(literal, kind, seed):
    random = Random(seed)
    program = KINDS[kind](random).fill(seed)
    check(program, program.samples(seed), literal, random, bias_in_denominator=True)


@given(seed=seeds, bias_in_denominator=st.booleans())
def test_centred_logits(literal, seed, bias_in_denominator):
    random = Random(seed)
    program = dense_chain(random).fill(seed)
    check(program, program.samples(seed), literal, random, True, bias_in_denominator)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds)
def test_single_precision_is_as_good_as_its_values(kind, seed):
    random = Random(seed)
    program = KINDS[kind](random).fill(seed)
    x = program.samples(seed)
    graph = read(program, program.steps[0].shape)
    last = graph.nodes.index(graph.logits)
    pairs = {(0, last), *((i, last) for i in random.choices(range(last), k=3))}
    with torch.no_grad():
        double = graph.run(x, graph.nodes), scores_of(graph, x, pairs)
        program.float()
        single = graph.run(x.float(), graph.nodes), scores_of(graph, x.float(), pairs)
    for node, value in double[0].items():
        # Of a value that is all but 0 the sign is chance, and so are the shares of what reads it.
        assume(torch.allclose(single[0][node].double(), value, rtol=1e-5, atol=0.0))
    for pair, expected in double[1].items():
        found = single[1][pair]
        assert found.dtype == torch.float32
        largest = expected.abs().flatten(2).amax(2)
        error = (found.double() - expected).abs().flatten(2).amax(2)
        assert (error <= 1e-4 * largest + 1e-6).all()


@given(seed=seeds)
def test_of_several_maxima_the_first_takes_all(literal, seed):
    grower = Grower(Random(seed), (2, 4, 4))
    h = grower.conv(0, 2)
    while grower.program.steps[h].kind != "max":
        grower.program.steps = grower.program.steps[:2]
        h = grower.pool(1)
    grower.linear(grower.flatten(h), 2)
    program = grower.program.fill(seed)
    with torch.no_grad():
        for parameter in program.parameters():
            parameter.copy_(parameter.round().clamp(-1, 1))
    x = program.samples(seed, 3).round()  # whole numbers, of which many are equal
    scores = influential_scores(read(program, (2, 4, 4)), x)
    for k, one in enumerate(x.numpy()):
        expected = Oracle(program, one, literal).scores(len(program.steps) - 1)
        np.testing.assert_allclose(scores[:, k].flatten(1), expected, rtol=0, atol=1e-12)


# --- invariants of random networks --------------------------------------------------------------


@given(seed=seeds)
def test_shares_of_one_step_have_norm_one_or_zero(seed):
    random = Random(seed)
    grower = Grower(random, random.choice([(3,), (2, 6), (2, 4, 4)]))
    first = grower.activation(grower.weighted(0, 3))
    second = grower.weighted(first, 3)
    program = grower.program.fill(seed)
    graph, x = read(program, program.steps[0].shape), program.samples(seed)
    nodes = graph.nodes
    for source, target in ((nodes[0], nodes[first]), (nodes[first], nodes[second])):
        norms = influential_scores(graph, x, source, target).flatten(2).abs().sum(2)
        weighted = target if target is nodes[second] else target.inputs[0]
        with torch.no_grad():
            value = graph.run(x, [source])[source]
            reached = weighted.apply(value.abs(), weighted.weight.abs()) > 0
        expected = reached.flatten(1).T.double()
        torch.testing.assert_close(norms, expected, rtol=0, atol=1e-12)


def waists(program, end):
    """Steps that all ways from the input to a step pass."""
    frontier, found = {end}, []
    for i in range(end, 0, -1):
        if frontier == {i} and i != end:
            found.append(i)
        if i in frontier:
            frontier = (frontier - {i}) | set(program.steps[i].sources)
    return found


@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds, counted=st.booleans())
def test_scores_multiply_where_all_ways_pass_a_layer(literal, kind, seed, counted):
    random = Random(seed)
    program = KINDS[kind](random).fill(seed)
    x = program.samples(seed)
    oracle = Oracle(program, x[0].numpy(), literal)
    end = oracle.logits
    while program.steps[end].kind in ("route", "activation"):
        (end,) = program.steps[end].sources
    between = [i for i in waists(program, end) if oracle.is_layer(i)]
    assume(between)
    between = random.choice(between)
    graph = read(program, program.steps[0].shape)
    pairs = [(0, end), (0, between), (between, end)]
    found = scores_of(graph, x, pairs, bias_in_denominator=counted)
    whole, into, out = (found[pair].flatten(2) for pair in pairs)
    torch.testing.assert_close(torch.einsum("tnb,bni->tni", out.flatten(2), into), whole)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds)
def test_an_input_of_zero_has_score_zero(kind, seed):
    program = KINDS[kind](Random(seed)).fill(seed)
    x = program.samples(seed)
    x[torch.rand(x.shape) < 0.3] = 0.0
    scores = influential_scores(read(program, program.steps[0].shape), x)
    assert not scores[:, x == 0].any()
