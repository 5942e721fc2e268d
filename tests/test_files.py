"""A file holds the old content or the new one, whatever happens."""

import errno
import os
import stat

import pytest

from sknninterp._files import write_atomically


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_new_and_old_files_are_written(tmp_path):
    path = tmp_path / "a.bin"
    write_atomically(path, lambda file: file.write(b"one"))
    assert path.read_bytes() == b"one"
    write_atomically(str(path), lambda file: file.write(b"two"))
    assert path.read_bytes() == b"two"
    assert names(tmp_path) == ["a.bin"]


def test_old_file_is_whole_while_the_new_one_is_written(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def write(file):
        file.write(b"new and longer")
        file.flush()
        assert path.read_bytes() == b"old"

    write_atomically(path, write)
    assert path.read_bytes() == b"new and longer"


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()], ids=["error", "ctrl-c"])
def test_failed_write_leaves_nothing_behind(tmp_path, error):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def write(file):
        file.write(b"half")
        raise error

    with pytest.raises(type(error)):
        write_atomically(path, write)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
def test_full_disk_names_the_file_and_loses_nothing(tmp_path, monkeypatch, where):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if where != "write":
        monkeypatch.setattr(os, where, full)
    with pytest.raises(OSError, match="No space left.*a.bin") as caught:
        write_atomically(path, full if where == "write" else lambda file: file.write(b"new"))
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_really_full_disk(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def write(file):
        os.dup2(os.open("/dev/full", os.O_WRONLY), file.fileno())
        file.write(b"new")

    with pytest.raises(OSError, match="No space left.*a.bin"):
        write_atomically(path, write)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_missing_folder_names_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="none/a.bin"):
        write_atomically(tmp_path / "none" / "a.bin", lambda file: file.write(b""))


def test_permissions(tmp_path):
    path, usual = tmp_path / "a.bin", tmp_path / "usual"
    usual.touch()
    write_atomically(path, lambda file: file.write(b"one"))
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)
    path.chmod(0o640)
    write_atomically(path, lambda file: file.write(b"two"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_link_is_followed(tmp_path):
    path, link = tmp_path / "a.bin", tmp_path / "link"
    path.write_bytes(b"old")
    link.symlink_to(path)
    write_atomically(link, lambda file: file.write(b"new"))
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
