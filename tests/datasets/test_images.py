from __future__ import annotations

import dataclasses
import gzip
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.utils import Bunch

from sknninterp.datasets import _images, load_cifar10, load_fashion_mnist, load_mnist

GREY = [(load_mnist, "mnist"), (load_fashion_mnist, "fashion_mnist")]


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


def write_grey(folder, seed=0):
    """Write an MNIST-like folder of 6 training and 4 test images; return them."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    parts = []
    for prefix, n in [("train", 6), ("t10k", 4)]:
        X = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        y = rng.integers(0, 10, n, dtype=np.uint8)
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", X)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", y)
        parts.append((X, y))
    return parts


def encode_cifar(X):
    """(n, 3, 32, 32) RGB to the differences of the files, computed in plain integers."""
    red, green, blue = np.moveaxis(X.astype(np.int64), 1, 0)
    planes = np.stack([green, red - green, blue - green], axis=1)
    planes = np.diff(planes, axis=3, prepend=0)
    return (np.diff(planes, axis=2, prepend=0) % 256).astype(np.uint8)


def write_cifar(folder):
    rng = np.random.default_rng(0)
    folder.mkdir()
    parts = {}
    for name in ["train_1", "train_2", "train_3", "train_4", "train_5", "test"]:
        X = rng.integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
        y = rng.integers(0, 10, 3, dtype=np.uint8)
        np.savez_compressed(folder / f"{name}.npz", delta=encode_cifar(X), y=y)
        parts[name] = X, y
    return parts


@pytest.mark.parametrize(("load", "folder"), GREY)
def test_grey_images_come_as_written(load, folder, tmp_path):
    (X_train, y_train), (X_test, y_test) = write_grey(tmp_path / folder)
    bunch = load(data_home=tmp_path)
    assert bunch.data.dtype == np.float32
    assert bunch.target.dtype == np.int64
    np.testing.assert_allclose(bunch.data, X_train.reshape(6, 784) / 255, rtol=1e-6)
    np.testing.assert_array_equal(bunch.target, y_train)
    X, y = load(subset="test", images=True, scale=False, data_home=tmp_path, return_X_y=True)
    assert X.dtype == np.uint8
    np.testing.assert_array_equal(X, X_test[:, None])
    np.testing.assert_array_equal(y, y_test)
    everything = load(subset="all", images=True, scale=False, data_home=tmp_path)
    np.testing.assert_array_equal(everything.data[:, 0], np.concatenate([X_train, X_test]))
    np.testing.assert_array_equal(everything.target, np.concatenate([y_train, y_test]))


def test_arrays_may_be_written_to(tmp_path):
    write_grey(tmp_path / "mnist")
    bunch = load_mnist(scale=False, data_home=tmp_path)
    bunch.data[0, 0] = 1
    bunch.target[0] = 1


def test_only_the_files_of_the_subset_are_needed(tmp_path):
    write_grey(tmp_path / "mnist")
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    assert load_mnist(subset="train", data_home=tmp_path).data.shape == (6, 784)
    with pytest.raises(FileNotFoundError, match=r"has no t10k-labels-idx1-ubyte\.gz, and"):
        load_mnist(subset="all", data_home=tmp_path)


def test_feature_names_follow_the_flat_data(tmp_path):
    write_grey(tmp_path / "mnist")
    write_cifar(tmp_path / "cifar10")
    grey = load_mnist(data_home=tmp_path)
    image = load_mnist(images=True, data_home=tmp_path).data[0]
    assert grey.data[0, grey.feature_names.index("pixel_3_17")] == image[0, 3, 17]
    colour = load_cifar10(data_home=tmp_path)
    image = load_cifar10(images=True, data_home=tmp_path).data[0]
    assert colour.data[0, colour.feature_names.index("blue_30_2")] == image[2, 30, 2]
    assert len(set(colour.feature_names)) == 3072


def test_target_names_and_terms(tmp_path):
    write_grey(tmp_path / "fashion_mnist")
    bunch = load_fashion_mnist(data_home=tmp_path)
    assert bunch.target_names[0] == "T-shirt/top"
    assert bunch.target_names[9] == "Ankle boot"
    assert bunch.licence == "MIT"
    assert "arXiv:1708.07747" in bunch.DESCR
    assert bunch.source in bunch.DESCR


def test_cifar_is_decoded_losslessly(tmp_path):
    parts = write_cifar(tmp_path / "cifar10")
    X, y = load_cifar10(images=True, scale=False, data_home=tmp_path, return_X_y=True)
    np.testing.assert_array_equal(X, np.concatenate([parts[f"train_{i}"][0] for i in range(1, 6)]))
    np.testing.assert_array_equal(y, np.concatenate([parts[f"train_{i}"][1] for i in range(1, 6)]))
    test = load_cifar10(subset="test", data_home=tmp_path)
    np.testing.assert_allclose(test.data, parts["test"][0].reshape(3, -1) / 255, rtol=1e-6)


@settings(deadline=None, max_examples=20)
@given(X=hnp.arrays(np.uint8, st.tuples(st.integers(1, 3), st.just(3), st.just(4), st.just(5))))
def test_cifar_decoding_inverts_any_image(X, tmp_path_factory):
    path = tmp_path_factory.mktemp("cifar") / "part.npz"
    np.savez(path, delta=encode_cifar(X), y=np.zeros(len(X), np.uint8))
    np.testing.assert_array_equal(_images._decode_cifar(path)[0], X)


@pytest.mark.parametrize(
    "content",
    [b"", b"not an idx file", bytes([0, 0, 13, 1, 0, 0, 0, 1, 7]), bytes([0, 0, 8, 3, 0, 0])],
    ids=["empty", "text", "floats", "cut-header"],
)
def test_file_that_is_not_idx(content, tmp_path):
    write_grey(tmp_path / "mnist")
    (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match="train-images-idx3-ubyte.gz is not an IDX file"):
        load_mnist(data_home=tmp_path)


def test_idx_file_that_is_cut(tmp_path):
    write_grey(tmp_path / "mnist")
    path = tmp_path / "mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-1]))
    with pytest.raises(ValueError, match=r"announces \(6, 28, 28\) values and holds 4703"):
        load_mnist(data_home=tmp_path)


@pytest.mark.parametrize("load", [load_mnist, load_fashion_mnist, load_cifar10])
def test_unknown_subset(load):
    with pytest.raises(ValueError, match="subset must be one of 'train', 'test', 'all', got 'val'"):
        load(subset="val")


@pytest.fixture
def tiny_openml(monkeypatch, openml):
    """OpenML with 6 images, of which 4 are the official training part."""

    def answer(spec_name, n_features, target):
        spec = getattr(_images, spec_name)
        counts = (2, 2) + (0,) * 8
        monkeypatch.setattr(_images, spec_name, dataclasses.replace(spec, train_counts=counts))
        X = np.arange(6 * n_features).reshape(6, n_features) % 256
        return openml(Bunch(data=X.astype(np.float64), target=np.array(target))), X

    return answer


@pytest.mark.parametrize(
    ("load", "spec_name", "data_id", "shape"),
    [
        (load_mnist, "_MNIST", 554, (1, 28, 28)),
        (load_fashion_mnist, "_FASHION_MNIST", 40996, (1, 28, 28)),
        (load_cifar10, "_CIFAR10", 40927, (3, 32, 32)),
    ],
)
def test_openml_is_split_officially(load, spec_name, data_id, shape, tiny_openml):
    calls, X = tiny_openml(spec_name, int(np.prod(shape)), list("011010"))
    train = load(images=True, scale=False)
    np.testing.assert_array_equal(train.data, X[:4].reshape(4, *shape))
    assert train.target.tolist() == [0, 1, 1, 0]
    test = load(subset="test")
    assert test.data.dtype == np.float32
    np.testing.assert_allclose(test.data, X[4:] / 255, rtol=1e-6)
    assert load(subset="all").target.tolist() == [0, 1, 1, 0, 1, 0]
    assert calls == [{"data_id": data_id, "as_frame": False, "parser": "auto"}] * 3


def test_openml_in_another_order_is_refused(tiny_openml):
    tiny_openml("_MNIST", 784, list("111000"))
    with pytest.raises(ValueError, match="MNIST is not in the official order"):
        load_mnist()
    assert load_mnist(subset="all").target.tolist() == [1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(("load", "folder"), GREY)
def test_real_grey_images(load, folder, real_data):
    spec = {"mnist": _images._MNIST, "fashion_mnist": _images._FASHION_MNIST}[folder]
    train = load(scale=False)
    assert train.data.shape == (60000, 784)
    assert tuple(np.bincount(train.target)) == spec.train_counts
    X, y = load(subset="test", images=True, return_X_y=True)
    assert X.shape == (10000, 1, 28, 28)
    assert (X.min(), X.max()) == (0, 1)
    assert np.bincount(y).sum() == 10000


def test_real_mnist_pixel_mean(real_data):
    X = load_mnist(scale=False).data
    assert X.mean() / 255 == pytest.approx(0.1307, abs=5e-5)


def test_real_cifar_test_part(real_data):
    bunch = load_cifar10(subset="test", images=True, scale=False)
    assert bunch.data.shape == (10000, 3, 32, 32)
    assert np.bincount(bunch.target).tolist() == [1000] * 10
    means = bunch.data.mean(axis=(0, 2, 3)) / 255
    np.testing.assert_allclose(means, [0.49421428, 0.48513139, 0.45040909], atol=1e-8)
