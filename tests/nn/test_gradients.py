"""Gradients against torch's own, integrated gradients against their definition in loops."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sknninterp.nn import builders, chunks, nodes
from sknninterp.nn import gradients as gradients_module
from sknninterp.nn.gradients import gradients, integrated_gradients, logits_of, quadrature
from sknninterp.nn.graph import read

CLOSE = {"rtol": 1e-10, "atol": 1e-11}
Sequential, Linear, ReLU = nn.Sequential, nn.Linear, nn.ReLU


def logits(module, x, closes=False):
    """What the module puts out, (n_samples, n_outputs), before what closes it."""
    module.eval()
    passed = {"side_effect": lambda value, *_, **__: value}
    with mock.patch.object(F, "softmax", **passed), mock.patch.object(F, "log_softmax", **passed):
        out = module(x).reshape(len(x), -1)
    return torch.logit(out) if closes else out


def torchs_gradients(module, x, closes=False):
    """One output after the other, (n_outputs, n_samples, *input_shape)."""
    x = x.clone().requires_grad_()
    out = logits(module, x, closes)
    found = [torch.autograd.grad(column.sum(), x, retain_graph=True)[0] for column in out.T]
    return torch.stack(found)


def closes_with_a_sigmoid(module):
    return isinstance(module, Sequential) and isinstance(module[-1], nn.Sigmoid)


def integrated(module, x, baseline, n_steps, closes=False):
    """Equation 1, step by step: (n_outputs, n_samples, *input_shape)."""
    points, weights = np.polynomial.legendre.leggauss(n_steps)
    baseline, total = baseline.expand_as(x), 0.0
    for point, weight in zip(points, weights, strict=True):
        here = baseline + (point + 1) / 2 * (x - baseline)
        total = total + weight / 2 * torchs_gradients(module, here, closes)
    return total * (x - baseline)


# --- gradients ----------------------------------------------------------------------------------


@pytest.mark.parametrize("integers", [False, True], ids=["reals", "ties-and-kinks"])
def test_gradients_are_torchs(case, integers):
    module, x = case.network(integers=integers), case.samples(integers=integers)
    expected = torchs_gradients(module, x, closes_with_a_sigmoid(module))
    found = gradients(read(module, case.shape), x)
    torch.testing.assert_close(found, expected, **CLOSE)


def test_single_precision(case):
    module, x = case.network(torch.float32), case.samples(dtype=torch.float32)
    found = gradients(read(module, case.shape), x)
    assert found.dtype == torch.float32
    expected = torchs_gradients(module.double(), x.double(), closes_with_a_sigmoid(module))
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", builders._ACTIVATIONS)
def test_every_activation(kind):
    module = Sequential(Linear(3, 8), builders._ACTIVATIONS[kind](), Linear(8, 2)).double()
    x = 4 * torch.randn(40, 3, dtype=torch.float64)  # both ends of what saturates
    torch.testing.assert_close(
        gradients(read(module, (3,)), x), torchs_gradients(module, x), **CLOSE
    )


def test_an_activation_at_its_kinks_and_with_its_parameters():
    module = Sequential(nn.ReLU6(), nn.LeakyReLU(0.3), nn.Hardtanh(-2, 3), nn.ELU(0.7))
    module.append(Linear(6, 1)).double()
    x = torch.tensor([[-2.0, -0.0, 0.0, 3.0, 6.0, 7.0]], dtype=torch.float64)
    torch.testing.assert_close(
        gradients(read(module, (6,)), x), torchs_gradients(module, x), **CLOSE
    )


def test_an_activation_that_closes_the_network_is_no_logit():
    module = Sequential(Linear(3, 4), nn.Tanh(), Linear(4, 2), nn.Tanh()).double()
    x = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(
        gradients(read(module, (3,)), x), torchs_gradients(module, x), **CLOSE
    )


class Probability(nn.Module):
    """A sigmoid, and no axis for the one output."""

    def __init__(self):
        super().__init__()
        self.layers = Sequential(Linear(3, 4), ReLU(), Linear(4, 1), nn.Sigmoid())

    def forward(self, x):
        return self.layers(x).squeeze(-1)


def test_a_closing_sigmoid_is_left_out_under_any_shape():
    module, x = Probability().double(), torch.randn(5, 3, dtype=torch.float64)
    graph = read(module, (3,))
    expected = torchs_gradients(module.layers[:3], x)
    torch.testing.assert_close(gradients(graph, x), expected, **CLOSE)
    rows = torch.tensor([2.0, -1.0])
    torch.testing.assert_close(gradients(graph, x, rows)[1], -expected[0], **CLOSE)
    baseline = torch.zeros(3)
    values = integrated_gradients(graph, x, baseline, n_steps=20)
    expected = integrated(module.layers[:3], x, baseline, 20)
    torch.testing.assert_close(values, expected, **CLOSE)


@pytest.mark.parametrize(
    ("closing", "named"),
    [(nn.Sigmoid(), "2"), (nn.Softmax(1), "2"), (nn.LogSoftmax(1), "2"), (nn.Tanh(), "3")],
    ids=lambda value: type(value).__name__,
)
def test_where_gradients_start(closing, named):
    graph = read(Sequential(Linear(3, 4), ReLU(), Linear(4, 2), closing), (3,))
    assert logits_of(graph).name == named


def convolutional(kernel, stride, padding, dilation, groups, pool, seed):
    torch.manual_seed(seed)
    pools = {
        "max": nn.MaxPool2d(2, stride=1, padding=1),
        "dilated": nn.MaxPool2d((2, 1), dilation=(1, 2), ceil_mode=True),
        "average": nn.AvgPool2d(2, stride=1, count_include_pad=False, padding=1),
        "adaptive": nn.AdaptiveMaxPool2d((3, 2)),
    }
    module = Sequential(
        nn.Conv2d(2, 4, kernel, stride, padding, dilation, groups),
        pools[pool],
        nn.SiLU(),
        nn.Conv2d(4, 3, 1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        Linear(12, 3),
    )
    return module.double(), torch.randn(3, 2, 9, 8, dtype=torch.float64)


@settings(max_examples=40)
@given(
    st.builds(
        convolutional,
        st.integers(1, 3),
        st.integers(1, 3),
        st.integers(0, 2),
        st.integers(1, 2),
        st.sampled_from([1, 2]),
        st.sampled_from(["max", "dilated", "average", "adaptive"]),
        st.integers(0, 2**31),
    )
)
def test_random_convolutional_networks(drawn):
    module, x = drawn
    graph, baseline = read(module, x.shape[1:]), x[0] / 3
    torch.testing.assert_close(gradients(graph, x), torchs_gradients(module, x), **CLOSE)
    values = integrated_gradients(graph, x, baseline, n_steps=3)
    torch.testing.assert_close(values, integrated(module, x, baseline, 3), **CLOSE)


def dense(sizes, kinds, shortcut, seed):
    torch.manual_seed(seed)
    layers = []
    for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
        layers += [Linear(n_in, n_out), builders._ACTIVATIONS[kinds[i]]()]
    module = Sequential(*layers[:-1])
    module = Branches(module, sizes) if shortcut else module
    return module.double(), torch.randn(4, sizes[0], dtype=torch.float64)


class Branches(nn.Module):
    """A network twice, after one stem: its value joined with and added to itself."""

    def __init__(self, inner, sizes):
        super().__init__()
        self.stem, self.inner = Linear(sizes[0], sizes[0]), inner
        self.head = Linear(sizes[-1] + sizes[0], 2)

    def forward(self, x):
        x = self.stem(x)
        y = self.inner(x)
        return self.head(torch.cat([y + torch.tanh(y), torch.relu(x)], 1))


@settings(max_examples=40)
@given(
    st.builds(
        dense,
        st.lists(st.integers(1, 6), min_size=2, max_size=5),
        st.lists(st.sampled_from(sorted(builders._ACTIVATIONS)), min_size=4, max_size=4),
        st.booleans(),
        st.integers(0, 2**31),
    )
)
def test_random_dense_networks(drawn):
    module, x = drawn
    graph, baseline = read(module, x.shape[1:]), x.flip(0)
    torch.testing.assert_close(gradients(graph, x), torchs_gradients(module, x), **CLOSE)
    values = integrated_gradients(graph, x, baseline, n_steps=4)
    torch.testing.assert_close(values, integrated(module, x, baseline, 4), **CLOSE)


def test_rows_are_weights_of_the_outputs(case):
    module, x = case.network(), case.samples()
    graph = read(module, case.shape)
    each = gradients(graph, x)
    shape = graph.output.shape
    rows = torch.randn(4, *shape, dtype=torch.float64)
    kept = rows.clone()
    expected = torch.einsum("ro,on...->rn...", rows.reshape(4, -1), each)
    torch.testing.assert_close(gradients(graph, x, rows), expected, **CLOSE)
    torch.testing.assert_close(gradients(graph, x, rows.unsqueeze(1)), expected, **CLOSE)
    assert torch.equal(rows, kept)
    rows = torch.randn(4, len(x), *shape, dtype=torch.float64)
    expected = torch.einsum("rno,on...->rn...", rows.reshape(4, len(x), -1), each)
    torch.testing.assert_close(gradients(graph, x, rows), expected, **CLOSE)


def test_gradients_with_respect_to_any_node(case):
    module, x = case.network(), case.samples()
    graph = read(module, case.shape)
    for source in graph.between(graph.input, logits_of(graph)):
        values = {graph.input: x}
        for node in graph.nodes:
            if node.inputs:
                values[node] = node.forward(*(values[p] for p in node.inputs))
            if node is source:
                values[node] = values[node].detach().requires_grad_()
        out = values[logits_of(graph)].reshape(len(x), -1)
        expected = [
            torch.autograd.grad(c.sum(), values[source], retain_graph=True)[0] for c in out.T
        ]
        found = gradients(graph, x, source=source)
        assert found.shape[2:] == source.shape
        torch.testing.assert_close(found, torch.stack(expected), **CLOSE)


def test_a_source_behind_the_logits():
    graph = read(Sequential(Linear(3, 2), nn.Softmax(1)), (3,))
    with pytest.raises(ValueError, match="source '1' does not come before the logits"):
        gradients(graph, torch.zeros(1, 3), source=graph.output)


@pytest.mark.parametrize("function", [gradients, integrated_gradients], ids=lambda f: f.__name__)
def test_wrong_shapes_are_named(function):
    def call(x, **options):
        graph = read(Sequential(Linear(3, 2)), (3,))
        baseline = [torch.zeros(3)] if function is integrated_gradients else []
        return function(graph, x, *baseline, **options)

    with pytest.raises(ValueError, match=r"x has samples of shape \(4,\).*takes \(3,\)"):
        call(torch.zeros(2, 4))
    for shape in [(1, 3), (2,), (1, 3, 2), (1, 5, 3), (1, 5, 2, 2)]:
        with pytest.raises(ValueError, match=r"rows has shape \(.*for each of 5 samples"):
            call(torch.zeros(5, 3), rows=torch.zeros(shape))


# --- cost and chunks ----------------------------------------------------------------------------


def test_chunks_change_nothing(case, monkeypatch):
    module, x = case.network(), case.samples()
    graph = read(module, case.shape)
    rows = torch.randn(3, len(x), *graph.output.shape, dtype=torch.float64)
    slopes = gradients(graph, x, rows)
    integrals = integrated_gradients(graph, x, x.flip(0), rows, n_steps=5)
    widest = max(np.prod(node.shape) for node in graph.nodes)
    for n_rows in (1, 4, 7):  # less than the rows; one, and two samples at a time
        monkeypatch.setattr(chunks, "CHUNK_BYTES", 8 * n_rows * widest)
        torch.testing.assert_close(gradients(graph, x, rows), slopes, **CLOSE)
        found = integrated_gradients(graph, x, x.flip(0), rows, n_steps=5)
        torch.testing.assert_close(found, integrals, **CLOSE)


@pytest.fixture
def calls(monkeypatch):
    """Numbers of rows that linear layers took, by the way and the width of what they read."""
    found = {"forward": [], "back": []}
    originals = nodes.Linear.apply, nodes.Linear.apply_transposed

    def apply(self, value, *rest):
        found["forward"].append((self.name, len(value)))
        return originals[0](self, value, *rest)

    def apply_transposed(self, rows, weight):
        found["back"].append((self.name, len(rows)))
        return originals[1](self, rows, weight)

    monkeypatch.setattr(nodes.Linear, "apply", apply)
    monkeypatch.setattr(nodes.Linear, "apply_transposed", apply_transposed)
    return found


def three_layers():
    return read(Sequential(Linear(9, 4), ReLU(), Linear(4, 4), ReLU(), Linear(4, 3)), (9,))


def test_one_way_forward_serves_all_outputs_of_a_chunk(calls, monkeypatch):
    graph = three_layers()
    calls["forward"].clear()
    gradients(graph, torch.randn(5, 9))
    assert calls["forward"] == [("0", 5), ("2", 5), ("4", 5)]
    assert calls["back"] == [("4", 15), ("2", 15), ("0", 15)]
    calls["back"].clear()
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 6 * 9 * 4)
    gradients(graph, torch.randn(5, 9))
    assert calls["back"] == [("4", 6), ("2", 6), ("0", 6)] * 2 + [("4", 3), ("2", 3), ("0", 3)]
    for n_bytes, n_rows in [(2 * 9 * 4, [2, 1]), (1, [1, 1, 1])]:
        calls["forward"].clear()
        calls["back"].clear()
        monkeypatch.setattr(chunks, "CHUNK_BYTES", n_bytes)
        gradients(graph, torch.randn(2, 9))
        assert [n for name, n in calls["forward"] if name == "0"] == [1, 1]
        assert [n for name, n in calls["back"] if name == "0"] == n_rows * 2


def test_the_first_layer_is_passed_once_for_all_steps(calls, monkeypatch):
    graph = three_layers()
    calls["forward"].clear()
    integrated_gradients(graph, torch.randn(5, 9), torch.zeros(9), torch.eye(3)[:2], n_steps=8)
    assert calls["forward"] == [("0", 5), ("0", 1), ("2", 40), ("4", 40)]
    assert calls["back"] == [("4", 80), ("2", 80), ("0", 10)]
    calls["back"].clear()
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 10 * 9 * 4)
    integrated_gradients(graph, torch.randn(5, 9), torch.zeros(9), torch.eye(3)[:2], n_steps=5)
    # 10 rows of 9 inputs are a chunk, and so are 22 of 4 neurons: two steps at a time.
    assert calls["back"] == [("4", 20), ("2", 20)] * 2 + [("4", 10), ("2", 10), ("0", 10)]


# --- integrated gradients -----------------------------------------------------------------------


def test_integrated_gradients_are_their_definition(case):
    module, x = case.network(), case.samples()
    graph, closes = read(module, case.shape), closes_with_a_sigmoid(module)
    baseline = case.samples(1, seed=3)[0]
    found = integrated_gradients(graph, x, baseline, n_steps=7)
    torch.testing.assert_close(found, integrated(module, x, baseline, 7, closes), **CLOSE)
    found = integrated_gradients(graph, x, x.flip(0), n_steps=7)
    torch.testing.assert_close(found, integrated(module, x, x.flip(0), 7, closes), **CLOSE)


def test_rows_of_integrated_gradients(case):
    module, x = case.network(), case.samples()
    graph, baseline = read(module, case.shape), torch.zeros(case.shape)
    each = integrated_gradients(graph, x, baseline, n_steps=3)
    shape = graph.output.shape
    rows = torch.randn(2, len(x), *shape, dtype=torch.float64)
    expected = torch.einsum("rno,on...->rn...", rows.reshape(2, len(x), -1), each)
    found = integrated_gradients(graph, x, baseline, rows, n_steps=3)
    torch.testing.assert_close(found, expected, **CLOSE)


@pytest.mark.parametrize("method", ["gausslegendre", "riemann_middle"])
@pytest.mark.parametrize(
    "name", ["mlp", "mlp-batch-norm-dropout", "resnet", "dense", "global-mean"]
)
def test_they_add_up_to_the_difference_from_the_baseline(named_case, name, method):
    case = named_case(name)
    module, x = case.network(), case.samples()
    graph, baseline = read(module, case.shape), case.samples(1, seed=3)[0]
    expected = (logits(module, x) - logits(module, baseline[None])).T.detach()

    def gap(n_steps):
        values = integrated_gradients(graph, x, baseline, n_steps=n_steps, method=method)
        return (values.flatten(2).sum(2) - expected).abs().max() / expected.abs().max()

    # Slopes that jump make an error of about 1 / n_steps.
    assert gap(3) > 0.05
    assert gap(50) < 0.05
    assert gap(800) < 0.005


def test_smooth_networks_add_up_almost_exactly(named_case):
    case = named_case("smooth")
    module, x = case.network(), case.samples()
    values = integrated_gradients(read(module, case.shape), x, torch.zeros(4))
    out = logits(module, torch.cat([x, torch.zeros_like(x[:1])]), closes=True).detach()
    torch.testing.assert_close(values.sum(2), (out[:-1] - out[-1]).T, rtol=0, atol=1e-12)


class LinearNetwork(nn.Module):
    """Linear, with branches and reshaping."""

    def __init__(self):
        super().__init__()
        self.stem, self.branch = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 1)
        self.norm, self.pool = nn.BatchNorm2d(2), nn.AvgPool2d(2)
        self.head = Linear(18, 3)

    def forward(self, x):
        x = self.norm(self.stem(x))
        return self.head(self.pool(x + self.branch(x)).flatten(1))


@pytest.mark.parametrize("n_steps", [1, 2, 9])
@pytest.mark.parametrize("method", ["gausslegendre", "riemann_middle"])
def test_linear_networks_are_exact(n_steps, method):
    module = LinearNetwork().double()
    module.norm.running_var.fill_(3.0)
    x, baseline = torch.randn(2, 4, 1, 6, 6, dtype=torch.float64)
    graph = read(module, (1, 6, 6))
    values = integrated_gradients(graph, x, baseline, n_steps=n_steps, method=method)
    torch.testing.assert_close(values, torchs_gradients(module, x) * (x - baseline), **CLOSE)


def test_the_literature_s_saturated_neuron():
    # Sundararajan et al., section 2.1: f = 1 - relu(1 - x) has no gradient at 2, but rose by 1.
    module = Sequential(Linear(1, 1), ReLU(), Linear(1, 1)).double()
    with torch.no_grad():
        for layer in (module[0], module[2]):
            layer.weight.fill_(-1.0)
            layer.bias.fill_(1.0)
    graph, x = read(module, (1,)), torch.tensor([[2.0]], dtype=torch.float64)
    assert gradients(graph, x).item() == 0
    value = integrated_gradients(graph, x, torch.zeros(1), n_steps=1000).item()
    assert value == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("method", ["gausslegendre", "riemann_middle"])
@pytest.mark.parametrize("name", ["mlp", "cnn-1d", "residual"])
def test_they_are_captums(named_case, name, method):
    attr = pytest.importorskip("captum.attr")
    case = named_case(name)
    module, x = case.network().eval(), case.samples()
    graph, baseline = read(module, case.shape), case.samples(1, seed=3)
    slopes = gradients(graph, x) * x
    integrals = integrated_gradients(graph, x, baseline[0], n_steps=20, method=method)
    for output in range(len(slopes)):
        peer = attr.InputXGradient(module)
        expected = peer.attribute(x.clone().requires_grad_(), target=output).detach()
        torch.testing.assert_close(slopes[output], expected, **CLOSE)
        peer = attr.IntegratedGradients(module)
        expected = peer.attribute(x, baseline, target=output, n_steps=20, method=method)
        torch.testing.assert_close(integrals[output], expected, rtol=1e-6, atol=1e-8)


def test_a_baseline_of_another_shape():
    graph = read(Sequential(Linear(3, 2)), (3,))
    for shape in [(), (1,), (4,), (1, 3), (2, 4)]:
        with pytest.raises(ValueError, match=r"baseline has shape \(.*samples of shape \(3,\)"):
            integrated_gradients(graph, torch.zeros(2, 3), torch.zeros(shape))


@pytest.mark.parametrize("n_steps", [1, 2, 5, 50])
def test_quadratures(n_steps):
    for method in gradients_module.QUADRATURES:
        points, weights = quadrature(n_steps, method)
        assert points.shape == weights.shape == (n_steps,)
        assert ((points > 0) & (points < 1)).all()
        assert weights.sum() == pytest.approx(1, abs=1e-14)
        assert weights @ points == pytest.approx(1 / 2, abs=1e-14)
    points, weights = quadrature(n_steps)
    degree = 2 * n_steps - 1  # the highest that Gauss-Legendre is exact for
    assert weights @ points**degree == pytest.approx(1 / (degree + 1), abs=1e-14)


def test_no_such_quadrature():
    with pytest.raises(ValueError, match=r"method='simpson' is not one of \['gausslegendre'"):
        quadrature(5, "simpson")
    with pytest.raises(ValueError, match="n_steps=0 must be at least 1"):
        quadrature(0)


# --- what is left as it was ---------------------------------------------------------------------


def test_everything_is_left_as_it_was(case):
    module, x = case.network(), case.samples().requires_grad_()
    module.train()
    list(module.modules())[-1].eval()
    modes = [m.training for m in module.modules()]
    state = {name: value.clone() for name, value in module.state_dict().items()}
    graph, kept = read(module, case.shape), x.detach().clone()
    random = torch.get_rng_state()
    for values in (gradients(graph, x), integrated_gradients(graph, x, kept[0], n_steps=2)):
        assert not values.requires_grad
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(x, kept)
    assert x.grad is None
    assert [m.training for m in module.modules()] == modes
    assert all(p.grad is None and p.requires_grad for p in module.parameters())
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


def test_modes_are_back_after_an_error(monkeypatch):
    module = Sequential(Linear(3, 2), ReLU(), Linear(2, 1))
    graph = read(module, (3,))
    monkeypatch.setattr(nodes.Linear, "apply_transposed", mock.Mock(side_effect=MemoryError))
    with pytest.raises(MemoryError):
        gradients(graph, torch.zeros(1, 3))
    assert module.training
    assert torch.is_grad_enabled()


def test_no_samples_and_no_rows():
    graph, x = three_layers(), torch.randn(2, 9)
    assert gradients(graph, x[:0]).shape == (3, 0, 9)
    assert integrated_gradients(graph, x[:0], torch.zeros(9)).shape == (3, 0, 9)
    assert gradients(graph, x, torch.zeros(0, 3)).shape == (0, 2, 9)
    assert integrated_gradients(graph, x, torch.zeros(9), torch.zeros(0, 3)).shape == (0, 2, 9)
