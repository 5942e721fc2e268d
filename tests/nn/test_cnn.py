"""The image kernels beside the literature, and the network that begins with them."""

from __future__ import annotations

import copy
import io
import itertools
import pickle
from functools import partial

import pytest
import torch
from torch import nn

from sknninterp.nn.cnn import FixedKernelCNN, image_kernels
from sknninterp.nn.graph import read

KERNELS = image_kernels()
ROOT = 2**0.5
COMPASS = ("north", "northwest", "west", "southwest", "south", "southeast", "east", "northeast")


def test_there_are_41_kernels_of_three_by_three():
    assert len(KERNELS) == 41
    assert all(kernel.shape == (3, 3) for kernel in KERNELS.values())
    assert all(kernel.dtype == torch.float32 for kernel in KERNELS.values())


def test_no_kernel_is_there_twice():
    for (one, a), (other, b) in itertools.combinations(KERNELS.items(), 2):
        assert not torch.allclose(a / a.norm(), b / b.norm(), atol=1e-6), (one, other)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("box", [[1 / 9] * 3] * 3),
        ("gaussian", [[1 / 16, 1 / 8, 1 / 16], [1 / 8, 1 / 4, 1 / 8], [1 / 16, 1 / 8, 1 / 16]]),
        ("sharpen 4", [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
        ("laplacian 4", [[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
        ("laplacian 8", [[1, 1, 1], [1, -8, 1], [1, 1, 1]]),
        ("prewitt x", [[-1, 0, 1]] * 3),
        ("sobel x", [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
        ("sobel y", [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
        ("scharr x", [[-3, 0, 3], [-10, 0, 10], [-3, 0, 3]]),
        ("prewitt north", [[1, 1, 1], [1, -2, 1], [-1, -1, -1]]),
        ("prewitt northeast", [[1, 1, 1], [-1, -2, 1], [-1, -1, 1]]),
        ("kirsch north", [[5, 5, 5], [-3, 0, -3], [-3, -3, -3]]),
        ("kirsch northwest", [[5, 5, -3], [5, 0, -3], [-3, -3, -3]]),
        ("kirsch west", [[5, -3, -3], [5, 0, -3], [5, -3, -3]]),
        ("line horizontal", [[-1, -1, -1], [2, 2, 2], [-1, -1, -1]]),
        ("line rising", [[-1, -1, 2], [-1, 2, -1], [2, -1, -1]]),
        ("frei-chen 1", [[1, ROOT, 1], [0, 0, 0], [-1, -ROOT, -1]]),
        ("frei-chen 3", [[0, -1, ROOT], [1, 0, -1], [-ROOT, 1, 0]]),
    ],
)
def test_kernels_of_the_literature(name, expected):
    torch.testing.assert_close(KERNELS[name], torch.tensor(expected, dtype=torch.float32))


def test_smoothing_keeps_the_mean_and_derivatives_see_no_constant():
    sums = {name: kernel.sum().item() for name, kernel in KERNELS.items()}
    ones = ("identity", "box", "gaussian", "sharpen 4", "sharpen 8", "emboss")
    for name, total in sums.items():
        assert total == pytest.approx(1.0 if name in ones else 0.0, abs=1e-6), name


@pytest.mark.parametrize("name", ["prewitt", "kirsch"])
def test_compass_masks_are_turned_by_an_eighth(name):
    ring = [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (1, 2), (0, 2), (0, 1)]  # counter-clockwise
    for before, after in zip(COMPASS, (*COMPASS[1:], COMPASS[0]), strict=True):
        one, other = KERNELS[f"{name} {before}"], KERNELS[f"{name} {after}"]
        turned = torch.zeros(3, 3)
        turned[1, 1] = one[1, 1]
        for place, follows in zip(ring, (*ring[1:], ring[0]), strict=True):
            turned[follows] = one[place]
        assert torch.equal(other, turned)


@pytest.mark.parametrize("name", ["prewitt", "sobel", "scharr"])
def test_derivatives_rise_with_their_axis(name):
    row, column = torch.meshgrid(torch.arange(3.0), torch.arange(3.0), indexing="ij")
    for axis, along, across in (("x", column, row), ("y", row, column)):
        kernel = KERNELS[f"{name} {axis}"]
        assert (kernel * along).sum() > 0  # correlated, as conv2d does
        assert (kernel * across).sum() == 0


def test_frei_and_chens_edge_masks_are_orthogonal():
    masks = torch.stack([KERNELS[f"frei-chen {i}"].flatten() for i in range(1, 5)])
    torch.testing.assert_close(masks @ masks.T, 8 * torch.eye(4), atol=1e-5, rtol=0)


def test_kernels_are_made_anew_each_time():
    image_kernels()["box"].zero_()
    assert image_kernels()["box"].sum() == pytest.approx(1.0)


# --- the network --------------------------------------------------------------------------------


def test_shapes_are_the_papers():
    graph = read(FixedKernelCNN(1, 10), (1, 28, 28))
    shapes = {node.name: node.shape for node in graph.nodes}
    assert shapes["pool1"] == (41, 14, 14)
    assert shapes["pool2"] == (64, 7, 7)
    assert shapes["pool3"] == (128, 4, 4)
    assert shapes["flatten"] == (2048,)
    names = ["conv1", "conv2", "conv3", "hidden", "output"]
    assert [(layer.name, layer.width) for layer in graph.layers] == list(
        zip(names, [41, 64, 128, 625, 10], strict=True)
    )
    assert all(layer.activation.kind == "relu" for layer in graph.layers[:-1])


@pytest.mark.parametrize("image_shape", [(28, 28), (32, 32), (8, 13), (5, 4)])
def test_images_of_other_sizes(image_shape):
    network = partial(FixedKernelCNN, image_shape=image_shape)(1, 3)
    assert network(torch.zeros(2, 1, *image_shape)).shape == (2, 3)


def test_the_first_filters_are_the_kernels_at_norm_one():
    network = FixedKernelCNN()
    image = torch.randn(1, 1, 6, 6)
    maps = network.conv1(image)[0]
    for found, kernel in zip(maps, KERNELS.values(), strict=True):
        patch = image[0, 0, 2:5, 1:4]  # around row 3, column 2
        expected = (patch * kernel).sum() / kernel.square().sum().sqrt()
        torch.testing.assert_close(found[3, 2], expected)
    assert network.conv1.bias is None


def test_the_kernels_are_not_trained():
    network = FixedKernelCNN(1, 3, (8, 8))
    before = copy.deepcopy(network.state_dict())
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(2):
        loss = nn.functional.cross_entropy(
            network(torch.randn(4, 1, 8, 8)), torch.tensor([0, 1, 2, 0])
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert network.conv1.weight.grad is None
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) == (name == "conv1.weight"), name


def test_dropout_is_a_share_of_the_hidden_values():
    network = FixedKernelCNN(dropout=0.3)
    assert (network.dropout3.p, network.dropout4.p) == (0.15, 0.3)
    x = torch.randn(2, 1, 28, 28)
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


@pytest.mark.parametrize("n_inputs", [0, 3])
def test_images_with_several_channels_are_refused(n_inputs):
    with pytest.raises(ValueError, match=f"n_inputs={n_inputs}: .* grey images, with one channel"):
        FixedKernelCNN(n_inputs, 10)


def test_copies_compute_the_same():
    network = FixedKernelCNN(1, 3, (8, 8)).eval()
    x = torch.randn(2, 1, 8, 8)
    expected = network(x)
    loaded = FixedKernelCNN(1, 3, (8, 8)).eval()
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    buffer.seek(0)
    loaded.load_state_dict(torch.load(buffer, weights_only=True))
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network)), loaded):
        assert torch.equal(other(x), expected)
        assert not other.conv1.weight.requires_grad
        assert other.conv2.weight.requires_grad
