"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: str | os.PathLike, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that its path holds the old content or the new one, never a part of it.

    The content goes to a file beside it, is flushed to the disk, and takes the place of the old
    file in one step, which a crash, a kill or a full disk cannot divide.

    Parameters
    ----------
    path : str or path-like
        The file; its folder must exist. Of a link, what it leads to is replaced.
    write : callable
        Gets a file open for writing bytes.

    Raises
    ------
    OSError
        If the file cannot be written; it names `path`, which is then as it was.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sknninterp._files import write_atomically
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "numbers.bin")
    ...     write_atomically(path, lambda file: file.write(b"123"))
    ...     path.read_bytes()
    b'123'
    """
    target = Path(os.path.realpath(path))
    # Of the same folder: a file cannot be renamed from one file system to another.
    temporary = target.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        os.replace(temporary, target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
    _flush_folder(target.parent)


def _flush_folder(folder: Path) -> None:
    """So that the new name outlives a power cut too, where folders can be flushed."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
