"""The file: what is no such file, damaged, newer or hostile is one kind of error."""

import json
import struct

import numpy as np
import pytest
import safetensors.torch
import torch

import sknninterp
from sknninterp import PersistenceError, TorchMLPClassifier, load, save
from sknninterp.persistence import _container


@pytest.fixture(scope="module")
def network(data):
    return TorchMLPClassifier((4,), max_epochs=2, random_state=0).fit(*data)


def test_the_file_is_a_safetensors_file(network, tmp_path):
    save(network, tmp_path / "a")
    raw = (tmp_path / "a").read_bytes()
    tensors = safetensors.torch.load(raw)
    weight = network.module_.hidden0.weight
    assert torch.equal(tensors["TorchMLPClassifier.net_.module_.hidden0.weight"], weight)
    size = int.from_bytes(raw[:8], "little")
    metadata = json.loads(raw[8 : 8 + size])["__metadata__"]
    versions = json.loads(metadata["document"])["versions"]
    assert metadata["format_version"] == "1"
    assert versions["sknninterp"] == sknninterp.__version__
    assert versions["torch"].split("+")[0] == torch.__version__.split("+")[0]


def test_saving_leaves_one_file_and_replaces_it(network, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    save(network, str(path))
    assert load(path).get_params() == network.get_params()
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_saved_leaves_the_old_file(network, tmp_path):
    path = tmp_path / "a"
    save(network, path)
    first = path.read_bytes()
    with pytest.raises(PersistenceError, match=r"TorchMLPClassifier.callbacks\[0\] is builtins.le"):
        save(TorchMLPClassifier(callbacks=[len]), path)
    assert path.read_bytes() == first


@pytest.mark.parametrize("value", [3, "text", [TorchMLPClassifier()], None], ids=str)
def test_only_estimators_are_saved(value, tmp_path):
    with pytest.raises(PersistenceError, match=f"estimator is a {type(value).__name__}: saved are"):
        save(value, tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_estimator_of_another_class_is_named(tmp_path):
    class Own(TorchMLPClassifier):
        pass

    with pytest.raises(PersistenceError, match="^Own is .*Own, which cannot be stored"):
        save(Own(), tmp_path / "a")


def test_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none")
    with pytest.raises(OSError, match="none"):
        save(TorchMLPClassifier(), tmp_path / "none" / "a")


def header(entries, data=b"", size=None):
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def sealed(document=b"{}", **metadata):
    return {"__metadata__": {"format": "sknninterp", "format_version": "1", **metadata}}


NO_FILES = {
    "empty": b"",
    "short": b"abc",
    "text": b"Dear reader, this is no network at all.",
    "huge header": header({}, size=2**63),
    "header of terabytes": header({}, size=2**40),
    "no json": header(b"{'a'"),
    "a list": header([]),
    "deep": header(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "deep objects": header(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "long number": header(b'{"a":' + b"9" * 100_000 + b"}"),
    "no metadata": header({}),
    "metadata of numbers": header({"__metadata__": {"format": 1}}),
    "metadata that is none": header({"__metadata__": [1]}),
    "equal keys": header(b'{"__metadata__":{},"__metadata__":{"format":"sknninterp"}}'),
    "other format": header({"__metadata__": {"format": "pt"}}),
    "no version": header({"__metadata__": {"format": "sknninterp"}}),
    "version of words": header(sealed(format_version="one")),
    "no document": header(sealed(sha256="")),
    "terabytes": header(
        {**sealed(), "a": {"dtype": "F64", "shape": [2**38], "data_offsets": [0, 2**41]}}
    ),
    "wrong type": header(
        {**sealed(), "a": {"dtype": "OBJECT", "shape": [1], "data_offsets": [0, 8]}}, b"0" * 8
    ),
    "negative shape": header(
        {**sealed(), "a": {"dtype": "F64", "shape": [-1], "data_offsets": [0, 8]}}, b"0" * 8
    ),
    "shape too large": header(
        {**sealed(), "a": {"dtype": "F64", "shape": [2], "data_offsets": [0, 8]}}, b"0" * 8
    ),
    "overlap": header(
        {
            **sealed(),
            "a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]},
            "b": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]},
        },
        b"0" * 8,
    ),
    "numpy": b"\x93NUMPY\x01\x00",
    "pickle": b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix",
}


@pytest.mark.parametrize("name", NO_FILES)
def test_other_files_are_errors(name, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(NO_FILES[name])
    with pytest.raises(PersistenceError, match="a.safetensors"):
        load(path)


def test_truncated_file_is_an_error(network, tmp_path):
    path = tmp_path / "a"
    save(network, path)
    raw = path.read_bytes()
    for size in np.linspace(0, len(raw) - 1, 15, dtype=int):
        path.write_bytes(raw[:size])
        with pytest.raises(PersistenceError):
            load(path)


def test_every_changed_bit_is_noticed(network, tmp_path):
    path = tmp_path / "a"
    save(network, path)
    raw = path.read_bytes()
    for place in [len(raw) - 1, len(raw) // 2, *range(9, len(raw), len(raw) // 20)]:
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        with pytest.raises(PersistenceError):
            load(path)


def test_checksum_knows_names_types_and_shapes():
    a, b = torch.zeros(2, 3), torch.zeros(6)
    digests = [
        _container._digest("", {"a": a}),
        _container._digest("", {"b": a}),
        _container._digest("", {"a": b}),
        _container._digest("", {"a": b.int()}),
        _container._digest("{}", {"a": a}),
        _container._digest("", {"a": a + 1}),
    ]
    assert len(set(digests)) == len(digests)


def test_newer_format_says_what_is_needed(network, rewritten):
    path = rewritten(network, lambda metadata: metadata.update(format_version="2"))
    with pytest.raises(
        PersistenceError, match="has the version 2, .* a newer sknninterp is needed"
    ):
        load(path)


def test_older_package_is_fine(network, changed):
    path = changed(network, lambda document, _: document["versions"].update(sknninterp="0.0.1"))
    assert isinstance(load(path), TorchMLPClassifier)


def test_file_of_an_older_version_lacks_parameters(network, changed, same, data):
    def forget(document, _):
        del document["objects"][-1]["parameters"]["bootstrap"]

    again = load(changed(network, forget))
    assert again.bootstrap is False
    same(network.predict(data[0]), again.predict(data[0]))


def test_json_is_strict():
    assert _container.parse('{"a": {"b": [1]}}') == {"a": {"b": [1]}}
    for text in ('{"a": 1, "a": 2}', '{"a": {"b": 1, "b": 1}}', '{"a": NaN}', "[1]", "3"):
        with pytest.raises(PersistenceError):
            _container.parse(text)
