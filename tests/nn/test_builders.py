"""Each operation in each of its spellings, and what is refused with its name and place."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sknninterp.nn.graph import evaluation, read
from sknninterp.nn.nodes import (
    Add,
    AveragePool,
    Concat,
    Conv,
    MaxPool,
    Reshape,
    Route,
    UnsupportedModuleError,
)


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def read_and_check(module, shape, dtype=torch.float64):
    """The reading of a module, after a comparison with the module's own values."""
    module = module.to(dtype)
    graph = read(module, shape)
    x = torch.randn(3, *shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    with evaluation(module), torch.no_grad():
        assert torch.equal(graph.run(x.clone())[graph.output], module(x.clone()))
    return graph


ACTIVATIONS = {
    "relu": [
        nn.ReLU(),
        nn.ReLU(inplace=True),
        torch.relu,
        torch.relu_,
        F.relu,
        F.relu_,
        lambda x: x.relu_(),
        lambda x: F.relu(x, inplace=True),
        lambda x: F.relu(input=x),
        lambda x: F.relu(x, True),
    ],
    "sigmoid": [
        nn.Sigmoid(),
        torch.sigmoid,
        F.sigmoid,
        lambda x: x.sigmoid(),
        torch.sigmoid_,
        lambda x: x.sigmoid_(),
    ],
    "tanh": [nn.Tanh(), torch.tanh, F.tanh, lambda x: x.tanh(), lambda x: x.tanh_()],
    "leaky_relu": [
        nn.LeakyReLU(0.3),
        nn.LeakyReLU(0.3, inplace=True),
        F.leaky_relu,
        lambda x: F.leaky_relu(x, 0.2),
        lambda x: F.leaky_relu(x, 0.2, True),
        lambda x: F.leaky_relu_(x, 0.2),
    ],
    "elu": [nn.ELU(0.5), nn.ELU(inplace=True), lambda x: F.elu(x, alpha=2.0), F.elu_],
    "selu": [nn.SELU(), nn.SELU(inplace=True), F.selu, torch.selu, torch.selu_],
    "gelu": [nn.GELU(), nn.GELU("tanh"), F.gelu, lambda x: F.gelu(x, approximate="tanh")],
    "silu": [nn.SiLU(), nn.SiLU(inplace=True), F.silu, lambda x: F.silu(x, inplace=True)],
    "mish": [nn.Mish(), F.mish, lambda x: F.mish(x, inplace=True)],
    "softplus": [nn.Softplus(), nn.Softplus(2.0), F.softplus, lambda x: F.softplus(x, 3.0)],
    "relu6": [nn.ReLU6(), F.relu6],
    "hardtanh": [nn.Hardtanh(-0.5, 0.7), lambda x: F.hardtanh(x, -0.1, 0.2), F.hardtanh_],
    "hardswish": [nn.Hardswish(), F.hardswish],
}


@pytest.mark.parametrize(
    ("kind", "activation"),
    [(kind, one) for kind, spellings in ACTIVATIONS.items() for one in spellings],
)
def test_activations(kind, activation):
    module = activation if isinstance(activation, nn.Module) else Call(activation)
    # The layers around it make the value that an in-place activation changes.
    graph = read_and_check(nn.Sequential(nn.Linear(3, 4), module, nn.Linear(4, 2)), (3,))
    layer = graph.layers[0]
    assert layer.activation.kind == kind
    assert layer.pre is layer.weighted
    x = torch.randn(3, 3, dtype=torch.float64)
    values = graph.run(x, [layer.pre, layer.post])
    pre = F.linear(x, layer.weighted.weight, layer.weighted.bias)
    assert torch.equal(values[layer.pre], pre)  # the activation has not overwritten it


@pytest.mark.parametrize(
    "function",
    [
        nn.Softmax(1),
        nn.Softmax(dim=-1),
        lambda x: F.softmax(x, dim=1),
        lambda x: torch.softmax(x, -1),
        lambda x: x.softmax(dim=1),
        lambda x: F.softmax(x, 1, dtype=torch.float64),
    ],
)
def test_softmax(function):
    # The name of the path must not make it a log-softmax.
    module = nn.Sequential()
    module.add_module("logits", nn.Linear(3, 2))
    module.add_module("catalog", function if isinstance(function, nn.Module) else Call(function))
    graph = read_and_check(module, (3,))
    assert graph.output.kind == "softmax"
    assert graph.logits.name == "logits"


@pytest.mark.parametrize(
    "function",
    [
        nn.LogSoftmax(1),
        lambda x: F.log_softmax(x, dim=-1),
        lambda x: x.log_softmax(1),
        lambda x: torch.log_softmax(x, 1),
    ],
)
def test_log_softmax(function):
    module = function if isinstance(function, nn.Module) else Call(function)
    graph = read_and_check(nn.Sequential(nn.Linear(3, 2), module), (3,))
    assert graph.output.kind == "log_softmax"
    assert graph.logits.name == "0"


OPERATIONS = {
    Conv: [
        (nn.Conv1d(2, 3, 3, 2, 1), (2, 7)),
        (nn.Conv2d(2, 4, 3, padding="valid", dilation=(1, 2), groups=2, bias=False), (2, 5, 6)),
        (nn.Conv2d(2, 4, 3, padding="same"), (2, 5, 6)),
    ],
    MaxPool: [
        (nn.MaxPool1d(2), (2, 7)),
        (nn.MaxPool1d(3, 1, 1, 1), (2, 7)),
        (nn.MaxPool2d((2, 1), stride=1, dilation=2), (2, 5, 5)),
        (nn.AdaptiveMaxPool1d(3), (2, 7)),
        (nn.AdaptiveMaxPool2d((None, 2)), (2, 5, 5)),
        (lambda x: F.max_pool1d(x, 2), (2, 7)),
        (lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), (2, 6, 6)),
        (lambda x: F.max_pool2d(x, x.size()[2:]), (2, 6, 5)),
        (lambda x: F.max_pool2d(x, kernel_size=(x.shape[2], x.shape[3])), (2, 6, 5)),
        (lambda x: F.adaptive_max_pool1d(x, 2), (2, 7)),
        (lambda x: F.adaptive_max_pool2d(x, 1), (2, 5, 5)),
    ],
    AveragePool: [
        (nn.AvgPool1d(2, ceil_mode=True), (2, 7)),
        (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 5, 5)),
        (nn.AvgPool2d(2, divisor_override=1), (2, 5, 5)),
        (nn.AdaptiveAvgPool1d(3), (2, 7)),
        (nn.AdaptiveAvgPool2d((None, 1)), (2, 5, 5)),
        (lambda x: F.avg_pool1d(x, 2, 1), (2, 7)),
        (lambda x: F.avg_pool2d(x, 2, padding=1), (2, 5, 5)),
        (lambda x: F.adaptive_avg_pool1d(x, 1), (2, 7)),
        (lambda x: F.adaptive_avg_pool2d(x, (2, 2)), (2, 5, 5)),
        (lambda x: x.mean(-1), (2, 7)),
        (lambda x: x.mean(3), (2, 5, 5)),
        (lambda x: x.mean([2, 3]), (2, 5, 5)),
        (lambda x: x.mean((-2, -1), True), (2, 5, 5)),
        (lambda x: torch.mean(x, dim=(2, 3), keepdim=True), (2, 5, 5)),
        (lambda x: x.mean(axis=2), (2, 7)),
    ],
    Reshape: [
        (nn.Flatten(), (2, 3, 4)),
        (nn.Flatten(2), (2, 3, 4)),
        (nn.Unflatten(1, (2, 3)), (6,)),
        (lambda x: x.flatten(1), (2, 3)),
        (lambda x: torch.flatten(x, start_dim=2), (2, 3, 4)),
        (lambda x: x.view(x.size(0), -1), (2, 3, 4)),
        (lambda x: x.view((-1, 6)), (2, 3)),
        (lambda x: x.reshape(x.shape[0], 3, 2), (2, 3)),
        (lambda x: x.reshape([x.shape[0], 6]), (2, 3)),
        (lambda x: torch.reshape(x, (-1, 6)), (2, 3)),
        (lambda x: torch.reshape(input=x, shape=(-1, 6)), (2, 3)),
        (lambda x: x.unsqueeze(1), (4,)),
        (lambda x: torch.unsqueeze(x, -1), (4,)),
        (lambda x: x.squeeze(2), (4, 1)),
        (lambda x: torch.squeeze(x, dim=-1), (4, 1)),
        (lambda x: x.unflatten(1, (2, -1)), (6,)),
    ],
    Route: [
        (nn.Identity(), (3,)),
        (nn.Dropout(0.5), (3,)),
        (nn.Dropout(0.5, inplace=True), (3,)),
        (nn.Dropout1d(0.5), (3, 2)),
        (nn.Dropout2d(0.5), (3, 2, 2)),
        (nn.AlphaDropout(0.5), (3,)),
        (lambda x: F.dropout(x, 0.5, False), (3,)),
        (lambda x: F.alpha_dropout(x, training=False), (3,)),
        (lambda x: x.contiguous(), (3,)),
        (lambda x: x.clone(), (3,)),
    ],
    Add: [
        (lambda x: x + x.relu(), (3,)),
        (lambda x: torch.add(x, x.relu()), (3, 2)),
        (lambda x: x.add(x), (3,)),
        (lambda x: x.relu().add_(x), (3,)),
        (lambda x: x + x.mean(2, keepdim=True), (3, 4)),
    ],
    Concat: [
        (lambda x: torch.cat([x, x.relu()], 1), (3,)),
        (lambda x: torch.cat((x, x), dim=-1), (3,)),
        (lambda x: torch.concat([x, x, x], axis=1), (3, 2)),
        (lambda x: torch.concatenate([x, x], -2), (3, 2)),
    ],
}


@pytest.mark.parametrize(
    ("kind", "operation", "shape"),
    [(kind, one, shape) for kind, several in OPERATIONS.items() for one, shape in several],
)
def test_operations(kind, operation, shape):
    module = operation if isinstance(operation, nn.Module) else Call(operation)
    graph = read_and_check(nn.Sequential(module), shape)
    assert type(graph.output) is kind


@pytest.mark.parametrize(("operation", "shape"), OPERATIONS[MaxPool])
def test_max_pools_know_where_their_maxima_are(operation, shape):
    module = operation if isinstance(operation, nn.Module) else Call(operation)
    node = read_and_check(nn.Sequential(module), shape).output
    x = torch.randn(3, *shape, dtype=torch.float64)
    maxima, indices = node.forward_with_indices(x)
    assert torch.equal(maxima, module(x))
    assert torch.equal(node.gather(x, indices), maxima)


def test_functional_layers_are_named_by_their_weights():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 2, 3))
            self.mix = nn.Parameter(torch.randn(3, 12))
            self.part = nn.Module()
            self.part.weight = nn.Parameter(torch.randn(2, 3))
            self.part.shift = nn.Parameter(torch.randn(2))

        def forward(self, x):
            x = F.conv1d(x, self.weight, None, 1, 1)
            x = F.linear(weight=self.mix, input=x.flatten(1))
            return F.linear(x, self.part.weight, bias=self.part.shift)

    module = Own()
    graph = read_and_check(module, (2, 3))
    assert [layer.name for layer in graph.layers] == ["weight", "mix", "part"]
    assert graph.layers[2].weighted.bias is module.part.shift
    assert graph.layers[0].weighted.bias is None


REFUSED = {
    # name: (operation, shape, what the message says)
    "layer-norm": (nn.LayerNorm(4), (4,), r"LayerNorm at 'inner.0' is not a layer"),
    "lstm": (nn.LSTM(4, 4), (4,), r"LSTM at 'inner.0' is not a layer"),
    "gru-cell": (nn.GRUCell(4, 4), (4,), r"GRUCell at 'inner.0' is not a layer"),
    "transformer": (
        nn.TransformerEncoderLayer(4, 2, 4, batch_first=True),
        (3, 4),
        r"TransformerEncoderLayer at 'inner.0' is not a layer",
    ),
    "prelu": (nn.PReLU(), (4,), r"PReLU at 'inner.0' is not a layer"),
    "group-norm": (nn.GroupNorm(2, 4), (4, 3), r"GroupNorm at 'inner.0'"),
    "instance-norm": (nn.InstanceNorm1d(4), (4, 3), r"InstanceNorm1d at 'inner.0'"),
    "transposed-conv": (nn.ConvTranspose1d(2, 3, 2), (2, 5), r"ConvTranspose1d at 'inner.0'"),
    "bilinear": (lambda x: x * x, (4,), r"mul in Call at 'inner.0' is not a layer"),
    "scaled": (lambda x: x * 2.0, (4,), r"mul in Call at 'inner.0'"),
    "difference": (lambda x: x - x.relu(), (4,), r"sub in Call at 'inner.0'"),
    "matmul": (lambda x: x @ x.transpose(1, 2), (3, 4), r"in Call at 'inner.0' is not a layer"),
    "permute": (lambda x: x.permute(1, 0), (2,), r"permute in Call at 'inner.0'"),
    "chunk": (lambda x: x.chunk(2, 1)[0], (4,), r"chunk in Call at 'inner.0'"),
    "slice": (lambda x: x[:, :2], (4,), r"getitem in Call at 'inner.0'"),
    "linear-of-itself": (
        lambda x: F.linear(x, x),
        (4,),
        r"linear in Call at 'inner.0' computes its weight",
    ),
    "exp": (torch.exp, (4,), r"exp in Call at 'inner.0'"),
    "functional-layer-norm": (
        lambda x: F.layer_norm(x, (4,)),
        (4,),
        r"layer_norm in Call at 'inner.0'",
    ),
    "constant-added": (lambda x: x + 1.0, (4,), r"add in Call at 'inner.0' adds something"),
    "scaled-sum": (
        lambda x: torch.add(x, x, alpha=2),
        (4,),
        r"add in Call at 'inner.0' adds something",
    ),
    "other-channels": (
        lambda x: x + x.mean(2),
        (2, 2),
        r"add in Call at 'inner.0' adds values with other",
    ),
    "constant-joined": (
        lambda x: torch.cat([x, torch.ones(2, 1)], 1),
        (4,),
        r"in Call at 'inner.0'",
    ),
    "joined-positions": (lambda x: torch.cat([x, x], 2), (2, 4), r"cat in Call.*dim=1"),
    "joined-samples": (lambda x: torch.cat([x, x], 0), (2, 4), r"cat in Call.*dim=1"),
    "batch-mean": (lambda x: x.mean(0), (4,), r"mean in Call at 'inner.0' is read only over"),
    "channel-mean": (lambda x: x.mean(1), (4, 2), r"mean in Call at 'inner.0' is read only over"),
    "whole-mean": (torch.mean, (4,), r"mean in Call at 'inner.0' is read only over"),
    "mixed-samples": (
        lambda x: x.reshape(-1, 2),
        (4,),
        r"reshape in Call at 'inner.0' does not keep the samples",
    ),
    "flat-samples": (torch.flatten, (4,), r"flatten in Call at 'inner.0' does not keep"),
    "squeeze-all": (torch.squeeze, (4, 1), r"squeeze in Call at 'inner.0' drops the batch axis"),
    "batch-softmax": (nn.Softmax(0), (4,), r"Softmax at 'inner.0' is read only over the outputs"),
    "pixel-softmax": (nn.Softmax(1), (4, 2), r"Softmax at 'inner.0' is read only over"),
    "hidden-softmax": (
        nn.Sequential(nn.Softmax(1), nn.Linear(4, 2)),
        (4,),
        r"Linear at 'inner.0.1' follows a soft",
    ),
    "dropout-always": (F.dropout, (4,), r"dropout in Call at 'inner.0' drops values in evaluation"),
    "batch-statistics": (
        nn.BatchNorm1d(4, track_running_stats=False),
        (4,),
        r"BatchNorm1d at 'inner.0' keeps no running statistics",
    ),
    "circular": (
        nn.Conv1d(2, 2, 3, padding=1, padding_mode="circular"),
        (2, 5),
        r"Conv1d at 'inner.0' pads with 'circular'",
    ),
    "sequence": (nn.Linear(4, 2), (3, 4), r"Linear at 'inner.0' works on the last axis"),
    "vectors-for-a-sample": (
        nn.Conv1d(2, 2, 1),
        (3,),
        r"Conv1d at 'inner.0' needs samples of channels with 1 axes",
    ),
    "pool-of-vectors": (nn.MaxPool1d(2), (6,), r"MaxPool1d at 'inner.0' needs samples"),
    "average-of-vectors": (nn.AvgPool1d(2), (6,), r"AvgPool1d at 'inner.0' needs samples"),
}


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_named_with_its_place(name):
    operation, shape, message = REFUSED[name]
    module = operation if isinstance(operation, nn.Module) else Call(operation)
    outer = nn.Sequential()
    outer.add_module("inner", nn.Sequential(module))
    with pytest.raises(UnsupportedModuleError, match=message):
        read(outer, shape)


@pytest.mark.parametrize("compute", [lambda w: w * 2, lambda w: w.t(), torch.relu])
def test_a_computed_weight_is_refused(compute):
    class Masked(nn.Linear):
        def forward(self, x):
            return F.linear(x, compute(self.weight), self.bias)

    with pytest.raises(UnsupportedModuleError, match=r"in Masked at 'layer'"):
        outer = nn.Sequential()
        outer.add_module("layer", Masked(3, 3))
        read(outer, (3,))


@pytest.mark.filterwarnings("ignore:.*lazy:UserWarning")
def test_a_subclass_with_another_computation_is_not_taken_for_its_parent():
    class Doubled(nn.ReLU):
        def forward(self, x):
            return super().forward(x) * 2

    with pytest.raises(UnsupportedModuleError, match=r"mul in Doubled at '0'"):
        read(nn.Sequential(Doubled()), (3,))
