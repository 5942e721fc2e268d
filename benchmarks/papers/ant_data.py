"""Data of the experiments on neuron tuning: what the networks see, split by a seed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit, StratifiedShuffleSplit
from sklearn.preprocessing import LabelEncoder, StandardScaler

from benchmarks.readmission import preprocessing
from sknninterp.datasets import load_diabetes_readmission, load_gene_expression, load_mnist

GOLUB_TEST = 34  # as many as in the published split


@dataclass(frozen=True)
class Split:
    """Training and test part as a network takes them, classes as integers."""

    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


# --- as they are read: once a process -----------------------------------------------------------


@lru_cache(maxsize=2)
def digits(subset: str):
    return load_mnist(subset=subset, scale=False, return_X_y=True)


@lru_cache(maxsize=1)
def readmission():
    """All encounters, so that a patient may have several: split by patient."""
    return load_diabetes_readmission(first_encounter=False)


@lru_cache(maxsize=1)
def genes(name: str) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """Expression, one column a gene where there are symbols; classes; known genes among them."""
    data = load_gene_expression(name, collapse="max" if name == "chowdary" else None)
    known = [gene for some in data.known_genes.values() for gene in some if gene in data.data]
    return data.data, LabelEncoder().fit_transform(data.target), known


# --- splits -------------------------------------------------------------------------------------


def split(data: str, seed: int, sizes: dict) -> Split:
    """The split that belongs to a seed; `sizes` holds the rows, `train` and `test`."""
    return READERS[data](seed, sizes.get("train"), sizes.get("test"))


@lru_cache(maxsize=1)
def split_digits(seed: int, n_train: int, n_test: int) -> Split:
    """Some of the official training images by the seed, and the first of the test images."""
    X, y = digits("train")
    X_test, y_test = digits("test")
    chosen, _ = next(StratifiedShuffleSplit(1, train_size=n_train, random_state=seed).split(X, y))
    return Split(_scaled(X[chosen]), y[chosen], _scaled(X_test[:n_test]), y_test[:n_test])


def _scaled(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float32) / 255


def patients_apart(seed: int, n_train: int | None, n_test: int | None):
    """Rows of about so many encounters, no patient in both parts; None is a quarter to test on."""
    data = readmission()
    n_rows = len(data.data)
    n_test = n_test or n_rows // 4
    shares = {"train_size": (n_train or n_rows - n_test) / n_rows, "test_size": n_test / n_rows}
    splitter = GroupShuffleSplit(1, **shares, random_state=seed)
    return next(splitter.split(data.data, data.target, data.groups))


@lru_cache(maxsize=1)
def split_readmission(seed: int, n_train: int | None, n_test: int | None) -> Split:
    data = readmission()
    train, test = patients_apart(seed, n_train, n_test)
    columns = preprocessing()
    with warnings.catch_warnings():
        # Rare categories that only the test part has are encoded as zeros, as they should be.
        warnings.filterwarnings("ignore", "Found unknown categories", UserWarning)
        X_train = columns.fit_transform(data.data.iloc[train]).astype(np.float32)
        X_test = columns.transform(data.data.iloc[test]).astype(np.float32)
    y = data.target.to_numpy()
    return Split(X_train, y[train], X_test, y[test])


@lru_cache(maxsize=1)
def split_golub(seed: int, n_train: int | None, n_test: int | None) -> Split:
    """Stratified, as large as the published split, which is a single one."""
    X, y, _ = genes("golub")
    X = X.to_numpy()
    splitter = StratifiedShuffleSplit(
        1, train_size=n_train, test_size=n_test or GOLUB_TEST, random_state=seed
    )
    train, test = next(splitter.split(X, y))
    scaler = StandardScaler().fit(X[train])
    return Split(scaler.transform(X[train]), y[train], scaler.transform(X[test]), y[test])


READERS = {"mnist": split_digits, "readmission": split_readmission, "golub": split_golub}
