"""MNIST, Fashion-MNIST and CIFAR-10 with their official splits."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from ._base import Source, check_choice, fetch, find_files, make_bunch

Arrays = tuple[np.ndarray, np.ndarray]

_IDX_UINT8 = 0x08


@dataclass(frozen=True)
class _ImageSet:
    """What sets one image set apart: its names, shape and the official training part."""

    source: Source
    target_names: tuple[str, ...]
    channels: tuple[str, ...]
    side: int
    # Images per class in the official training part; OpenML's rows carry no other mark of it.
    train_counts: tuple[int, ...]
    files: Mapping[str, tuple[str, ...]]

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.channels), self.side, self.side

    def feature_names(self) -> list[str]:
        places = [f"{row}_{column}" for row in range(self.side) for column in range(self.side)]
        return [f"{channel}_{place}" for channel in self.channels for place in places]


_IDX_FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
_MNIST = _ImageSet(
    Source(
        "MNIST",
        "mnist",
        "70,000 grey images of handwritten digits, 28 x 28 pixels.",
        "LeCun, Bottou, Bengio, Haffner 1998, Proc. IEEE 86:2278",
        "CC BY-SA 3.0",
        "LeCun, Cortes, Burges, The MNIST database of handwritten digits (four IDX files)",
        554,
    ),
    tuple("0123456789"),
    ("pixel",),
    28,
    (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    _IDX_FILES,
)
_FASHION_MNIST = _ImageSet(
    Source(
        "Fashion-MNIST",
        "fashion_mnist",
        "70,000 grey images of articles of clothing, 28 x 28 pixels.",
        "Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747",
        "MIT",
        "https://github.com/zalandoresearch/fashion-mnist (four IDX files)",
        40996,
    ),
    (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    ("pixel",),
    28,
    (6000,) * 10,
    _IDX_FILES,
)
_CIFAR10 = _ImageSet(
    Source(
        "CIFAR-10",
        "cifar10",
        "60,000 colour images of ten kinds of objects, 32 x 32 pixels.",
        "Krizhevsky 2009, Learning multiple layers of features from tiny images",
        "none stated; free for research with citation",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        40927,
    ),
    (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
    ("red", "green", "blue"),
    32,
    (5000,) * 10,
    {"train": tuple(f"train_{part}.npz" for part in range(1, 6)), "test": ("test.npz",)},
)


def load_mnist(
    *,
    subset: str = "train",
    images: bool = False,
    scale: bool = True,
    data_home: str | os.PathLike | None = None,
    return_X_y: bool = False,
) -> Bunch | Arrays:
    """Load MNIST, handwritten digits.

    60,000 training and 10,000 test images of 28 x 28 pixels, ten classes.

    Parameters
    ----------
    subset : {"train", "test", "all"}, default="train"
        The official split; "all" is the training images and then the test images.
    images : bool, default=False
        Whether the images keep their axes: (n_samples, 1, 28, 28) instead of (n_samples, 784).
    scale : bool, default=True
        Whether pixels are float32 in [0, 1] rather than uint8 in [0, 255].
    data_home : path-like, default=None
        The data folder; None takes the environment variable `SKNNINTERP_DATA` and then OpenML
        (see :mod:`sknninterp.datasets`).
    return_X_y : bool, default=False
        Whether to return `(data, target)` instead of a Bunch.

    Returns
    -------
    bunch : sklearn.utils.Bunch
        data : ndarray of shape (n_samples, 784) or (n_samples, 1, 28, 28)
            The pixels, 0 for the background.
        target : ndarray of shape (n_samples,), int64
            The digit.
        feature_names : list of str
            "pixel_<row>_<column>", in the order of the flat data.
        target_names : list of str
            "0" to "9".
        DESCR, source, licence : str
            Of the data.

    Raises
    ------
    FileNotFoundError
        If the files are in no folder and OpenML cannot be reached.
    ValueError
        If `subset` is not one of the above, or a file is not in the IDX format.

    References
    ----------
    .. [1] LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document
       recognition", Proc. IEEE 86:2278, 1998.

    Examples
    --------
    >>> from sknninterp.datasets import load_mnist
    >>> X, y = load_mnist(subset="test", images=True, return_X_y=True)  # doctest: +SKIP
    >>> X.shape, X.dtype  # doctest: +SKIP
    ((10000, 1, 28, 28), dtype('float32'))
    """
    return _load(_MNIST, _read_idx_pair, subset, images, scale, data_home, return_X_y)


def load_fashion_mnist(
    *,
    subset: str = "train",
    images: bool = False,
    scale: bool = True,
    data_home: str | os.PathLike | None = None,
    return_X_y: bool = False,
) -> Bunch | Arrays:
    """Load Fashion-MNIST, articles of clothing.

    60,000 training and 10,000 test images of 28 x 28 pixels, ten balanced classes.

    Parameters
    ----------
    subset : {"train", "test", "all"}, default="train"
        The official split; "all" is the training images and then the test images.
    images : bool, default=False
        Whether the images keep their axes: (n_samples, 1, 28, 28) instead of (n_samples, 784).
    scale : bool, default=True
        Whether pixels are float32 in [0, 1] rather than uint8 in [0, 255].
    data_home : path-like, default=None
        The data folder; None takes the environment variable `SKNNINTERP_DATA` and then OpenML
        (see :mod:`sknninterp.datasets`).
    return_X_y : bool, default=False
        Whether to return `(data, target)` instead of a Bunch.

    Returns
    -------
    bunch : sklearn.utils.Bunch
        data : ndarray of shape (n_samples, 784) or (n_samples, 1, 28, 28)
            The pixels, 0 for the background.
        target : ndarray of shape (n_samples,), int64
            Index into `target_names`.
        feature_names : list of str
            "pixel_<row>_<column>", in the order of the flat data.
        target_names : list of str
            "T-shirt/top", "Trouser", ..., "Ankle boot".
        DESCR, source, licence : str
            Of the data.

    Raises
    ------
    FileNotFoundError
        If the files are in no folder and OpenML cannot be reached.
    ValueError
        If `subset` is not one of the above, or a file is not in the IDX format.

    References
    ----------
    .. [1] Xiao, Rasul, Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine
       learning algorithms", arXiv:1708.07747, 2017.

    Examples
    --------
    >>> from sknninterp.datasets import load_fashion_mnist
    >>> bunch = load_fashion_mnist()  # doctest: +SKIP
    >>> bunch.target_names[bunch.target[0]]  # doctest: +SKIP
    'Ankle boot'
    """
    return _load(_FASHION_MNIST, _read_idx_pair, subset, images, scale, data_home, return_X_y)


def load_cifar10(
    *,
    subset: str = "train",
    images: bool = False,
    scale: bool = True,
    data_home: str | os.PathLike | None = None,
    return_X_y: bool = False,
) -> Bunch | Arrays:
    """Load CIFAR-10, small colour images.

    50,000 training and 10,000 test images of 32 x 32 RGB pixels, ten balanced classes. All
    60,000 as float32 take 0.7 GB; `scale=False` takes a quarter of that.

    Parameters
    ----------
    subset : {"train", "test", "all"}, default="train"
        The official split; "all" is the training images and then the test images.
    images : bool, default=False
        Whether the images keep their axes: (n_samples, 3, 32, 32) instead of (n_samples, 3072).
    scale : bool, default=True
        Whether pixels are float32 in [0, 1] rather than uint8 in [0, 255].
    data_home : path-like, default=None
        The data folder; None takes the environment variable `SKNNINTERP_DATA` and then OpenML
        (see :mod:`sknninterp.datasets`).
    return_X_y : bool, default=False
        Whether to return `(data, target)` instead of a Bunch.

    Returns
    -------
    bunch : sklearn.utils.Bunch
        data : ndarray of shape (n_samples, 3072) or (n_samples, 3, 32, 32)
            The red plane, then the green, then the blue.
        target : ndarray of shape (n_samples,), int64
            Index into `target_names`.
        feature_names : list of str
            "<red, green or blue>_<row>_<column>", in the order of the flat data.
        target_names : list of str
            "airplane", "automobile", ..., "truck".
        DESCR, source, licence : str
            Of the data.

    Raises
    ------
    FileNotFoundError
        If the files are in no folder and OpenML cannot be reached.
    ValueError
        If `subset` is not one of the above, or OpenML's rows turn out not to be in the official
        order, so that they cannot be split.

    Notes
    -----
    The files `train_1.npz` to `train_5.npz` and `test.npz` hold `y` (n,) and `delta`
    (n, 3, 32, 32), both uint8: the planes G, R - G and B - G, each differenced along its rows and
    columns modulo 256, which is lossless and compresses well.

    References
    ----------
    .. [1] Krizhevsky, "Learning multiple layers of features from tiny images", 2009.

    Examples
    --------
    >>> from sknninterp.datasets import load_cifar10
    >>> load_cifar10(subset="test", images=True).data.shape  # doctest: +SKIP
    (10000, 3, 32, 32)
    """
    return _load(_CIFAR10, _read_cifar_parts, subset, images, scale, data_home, return_X_y)


def _load(
    spec: _ImageSet,
    read: Callable,
    subset: str,
    images: bool,
    scale: bool,
    data_home: Any,
    return_X_y: bool,
) -> Any:
    check_choice("subset", subset, ("train", "test", "all"))
    parts = ("train", "test") if subset == "all" else (subset,)
    names = [name for part in parts for name in spec.files[part]]
    paths = find_files(spec.source, names, data_home)
    if paths is None:
        X, y = _from_openml(spec, subset, names, data_home)
    else:
        X, y = read(paths)
    X = X.reshape(-1, *spec.shape) if images else X.reshape(len(X), -1)
    if scale:
        X = X.astype(np.float32)
        X /= 255
    y = y.astype(np.int64)
    if return_X_y:
        return X, y
    return make_bunch(
        spec.source,
        data=X,
        target=y,
        feature_names=spec.feature_names(),
        target_names=list(spec.target_names),
    )


def _from_openml(
    spec: _ImageSet, subset: str, names: Any, data_home: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Cut OpenML's rows, the official training part first, into the official parts."""
    bunch = fetch(spec.source, names, data_home, as_frame=False)
    y = np.asarray(bunch.target).astype(np.int64)
    if subset == "all":
        rows = slice(None)
    else:
        n_train = sum(spec.train_counts)
        counts = np.bincount(y[:n_train], minlength=len(spec.train_counts))
        if tuple(counts) != spec.train_counts:
            raise ValueError(
                f"OpenML's copy of {spec.source.name} is not in the official order: its first "
                f"{n_train} rows have {counts.tolist()} images per class, the official training "
                f"part has {list(spec.train_counts)}. Take subset='all', or data_home="
            )
        rows = slice(n_train) if subset == "train" else slice(n_train, None)
    return bunch.data[rows].astype(np.uint8), y[rows]


def _read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of unsigned bytes."""
    with gzip.open(path) as file:
        raw = file.read()
    n_axes = raw[3] if len(raw) > 3 else 0
    if raw[:3] != bytes([0, 0, _IDX_UINT8]) or len(raw) < 4 * (1 + n_axes):
        raise ValueError(f"{path} is not an IDX file of unsigned bytes")
    shape = tuple(np.frombuffer(raw, ">u4", n_axes, offset=4).tolist())
    values = np.frombuffer(raw, np.uint8, offset=4 * (1 + n_axes))
    if values.size != np.prod(shape):
        raise ValueError(f"{path} announces {shape} values and holds {values.size}")
    return values.reshape(shape)


def _read_idx_pair(paths: list[Path]) -> Arrays:
    arrays = [_read_idx(path) for path in paths]
    return np.concatenate(arrays[::2]), np.concatenate(arrays[1::2])


def _read_cifar_parts(paths: list[Path]) -> Arrays:
    parts = [_decode_cifar(path) for path in paths]
    return np.concatenate([X for X, _ in parts]), np.concatenate([y for _, y in parts])


def _decode_cifar(path: Path) -> Arrays:
    """Undo the differences along columns, rows and channels, modulo 256."""
    with np.load(path) as file:
        planes, y = file["delta"], file["y"]
    np.cumsum(planes, axis=2, dtype=np.uint8, out=planes)
    np.cumsum(planes, axis=3, dtype=np.uint8, out=planes)
    green = planes[:, 0]
    return np.stack([planes[:, 1] + green, green, planes[:, 2] + green], axis=1), y
