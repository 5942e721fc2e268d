"""Whatever a document says: values of known kinds, or errors."""

import numpy as np
import pytest
import torch

from sknninterp.persistence._container import PersistenceError
from sknninterp.persistence._known import KNOWN
from sknninterp.persistence._reading import Reader
from sknninterp.persistence._writing import Writer

HOSTILE = {
    "unknown kind": {"eval": "1"},
    "two kinds": {"tuple": [], "set": []},
    "no kind": {},
    "unknown name": {"name": "os.system"},
    "partial of what is none": {"partial": [3, {"tuple": []}, {"dict": []}]},
    "unknown record": {"record": ["Popen", {}]},
    "wrong fields": {"record": ["Schedule", {"nothing": 1}]},
    "object ahead": {"object": 0},
    "object behind": {"object": -1},
    "true as a place": {"object": True},
    "missing tensor": {"tensor": "nothing"},
    "torch function": {"torch": "load"},
    "object dtype": {"number": ["|O", 1]},
    "dtype of fields": {"number": ["f4,f8", 1]},
    "number that is none": {"number": ["<f8", {"tuple": [1, 2]}]},
    "wide text": {"text": ["<U100000000", [2], ["a", "b"]]},
    "text that is none": {"text": ["<U3", [1], [1]]},
    "shape": {"cells": [[10**12], [1]]},
    "negative shape": {"cells": [[-1, -1], [1]]},
    "equal keys": {"dict": [["a", 1], ["a", 2]]},
    "unhashable key": {"dict": [[[1], 2]]},
    "no column type": {"column": ["category", ["a"]]},
    "ragged frame": {"frame": [[[1, 2]], {"range": [0, 10**12, 1, None]}, ["a"]]},
    "long frame": {"table": [{"cells": [[1], [1]]}, {"range": [0, 10**12, 1, None]}, ["a"]]},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_values_are_errors(name):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - `load` makes one kind of all
        Reader(KNOWN, {"objects": [], "root": HOSTILE[name]}, {}).root()
    assert not isinstance(caught.value, MemoryError | AttributeError | SystemError)


def test_a_tensor_is_used_once_and_none_is_left():
    tensors = {"a": torch.zeros(1)}
    twice = {"objects": [], "root": [{"tensor": "a"}, {"tensor": "a"}]}
    with pytest.raises(PersistenceError, match="'a', or uses it twice"):
        Reader(KNOWN, twice, tensors).root()
    with pytest.raises(PersistenceError, match="nothing refers to its tensors .'a'"):
        Reader(KNOWN, {"objects": [], "root": 1}, tensors).root()


@pytest.mark.parametrize("place", [-1, 1, True, 0.0, "0"])
def test_an_object_is_one_that_was_read_before(place):
    writer = Writer(KNOWN)
    writer.value(np.random.RandomState(0), "state")
    document = {"objects": writer.objects, "root": {"object": place}}
    with pytest.raises(PersistenceError, match="that is not there"):
        Reader(KNOWN, document, writer.tensors).root()
