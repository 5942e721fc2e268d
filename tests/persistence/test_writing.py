"""Values come back as they were, type and all; what cannot is named."""

from collections import OrderedDict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.utils import Bunch

from sknninterp.nn.schedule import Schedule
from sknninterp.persistence._container import PersistenceError
from sknninterp.persistence._known import KNOWN
from sknninterp.persistence._reading import Reader
from sknninterp.persistence._writing import Writer, described

VALUES = {
    "none": None,
    "bool": True,
    "large int": 2**80,
    "float": 0.1,
    "nan": float("nan"),
    "infinite": -float("inf"),
    "text": "a\x00ü\n",
    "list": [1, [2.5, None]],
    "tuple": (1, (), ("a",)),
    "set": {1, 2},
    "frozenset": frozenset({"a"}),
    "dict": {"a": 1, 2: (3,), (4, "b"): None, None: []},
    "ordered dict": OrderedDict(b=1, a=2),
    "bunch": Bunch(a=1, b=np.arange(2)),
    "slice": slice(1, None, 2),
    "float32": np.float32(0.1),
    "int8": np.int8(-3),
    "uint64": np.uint64(2**64 - 1),
    "bool_": np.bool_(True),
    "str_": np.str_("abc"),
    "datetime64": np.datetime64("2020-01-01T10", "h"),
    "zero-dimensional": np.array(3.5),
    "float array": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "empty": np.empty((0, 3), np.float32),
    "bools": np.array([True, False]),
    "uint16": np.array([1, 2**16 - 1], np.uint16),
    "longs": np.array([2**40, -1]),
    "halves": np.array([0.5, 1.5], np.float16),
    "big-endian": np.arange(3, dtype=">f8"),
    "complex": np.array([1 + 2j]),
    "dates": np.array(["2020-01-01", "NaT"], "M8[D]"),
    "texts": np.array([["a", "bcd"], ["", "ü"]]),
    "wide texts": np.array(["a"], "<U50"),
    "objects": np.array([["a", 1], [None, (2.5, np.int64(3))]], dtype=object),
    "masked": np.ma.MaskedArray([1.0, 2.0], [True, False]),
    "tensor": torch.arange(6.0).reshape(2, 3),
    "bfloat16": torch.ones(2, dtype=torch.bfloat16),
    "path": Path("folder", "file"),
    "torch dtype": torch.float64,
    "device": torch.device("cpu"),
    "record": Schedule(max_epochs=7, n_tuned=2),
    "numbers": pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}, index=["x", "y"]),
    "mixed frame": pd.DataFrame(
        {"n": [1, 2], "s": pd.Series(["a", "b"], dtype=object), "m": [1.5, None]}
    ),
    "frame of texts": pd.DataFrame({"s": pd.array(["a", None], dtype="string")}),
    "frame of nullable": pd.DataFrame({"i": pd.array([1, None], dtype="Int64")}),
    "default texts": pd.DataFrame({"s": ["a", "b"]}),
    "multi-index": pd.DataFrame(
        [[1.0, 2.0]], columns=pd.MultiIndex.from_product([["a"], [1, 2]], names=["p", None])
    ),
    "named index": pd.DataFrame({"a": [1, 2]}).rename_axis("repeat"),
    "frame with equal names": pd.DataFrame([[1, "a"]], columns=["c", "c"]),
    "empty frame": pd.DataFrame({"a": [], "b": []}),
}


def copied(value):
    writer = Writer(KNOWN)
    root = writer.value(value, "value")
    document = {"objects": writer.objects, "root": root}
    return Reader(KNOWN, document, writer.tensors).root()


@pytest.mark.parametrize("name", VALUES)
def test_value_comes_back(name, same):
    same(VALUES[name], copied(VALUES[name]))


def test_strided_array_comes_back(same):
    value = np.arange(24).reshape(4, 6)[::2, ::-3]
    same(value.copy(), copied(value))


def test_missing_value_comes_back():
    assert copied([pd.NA])[0] is pd.NA


def test_known_functions_come_back():
    value = partial(KNOWN.names["FixedKernelCNN"], image_shape=(8, 8))
    again = copied(value)
    assert (again.func, again.args, again.keywords) == (value.func, (), {"image_shape": (8, 8)})
    assert copied(torch.optim.SGD) is torch.optim.SGD


def test_arrays_are_the_readers_own():
    value = np.arange(3.0)
    again = copied(value)
    again += 1
    assert value[0] == 0


def test_shared_object_stays_shared():
    state = np.random.RandomState(3)
    first, second = copied([state, state])
    assert first is second
    assert first.rand() == state.rand()


UNSTORABLE = {
    "function": (len, "builtins.len"),
    "lambda": (lambda: 0, "<lambda>"),
    "object": (object(), "builtins.object"),
    "partial": (partial(print, 1), "builtins.print"),
    "generator": (np.random.default_rng(0), "Generator"),
    "record array": (np.zeros(2, dtype=[("a", int)]), "('a', '<i8')"),
    "categories": (pd.DataFrame({"a": pd.Categorical(["a"])}), "category"),
    "bytes": (np.array([b"a"]), "S1"),
}


@pytest.mark.parametrize("name", UNSTORABLE)
def test_what_cannot_be_stored_is_named(name):
    value, what = UNSTORABLE[name]
    with pytest.raises(PersistenceError, match="network.option") as caught:
        Writer(KNOWN).value({"option": value}, "network")
    assert what in str(caught.value)


def test_value_within_itself_is_an_error():
    from sknninterp import TorchMLPClassifier

    network = TorchMLPClassifier()
    network.hidden_layer_sizes = [network]
    with pytest.raises(PersistenceError, match="hidden_layer_sizes.0. refers to what it is a part"):
        Writer(KNOWN).value(network, "TorchMLPClassifier")


def test_tensors_of_one_path_have_names_of_their_own():
    writer = Writer(KNOWN)
    names = {writer.tensor(torch.zeros(1), "a") for _ in range(3)}
    assert names == set(writer.tensors) and len(names) == 3


def test_described():
    assert described(len) == "builtins.len"
    assert described(np.zeros(1)) == "numpy.ndarray"
    assert described(Schedule) == described(Schedule(3)) == "sknninterp.nn.schedule.Schedule"
