"""From a CSV file to a DataFrame: two passes, so that a large file is measured before it is held.

The first pass streams: it finds which columns are numbers all the way down, how many rows there
are, and what the analysis will need of memory. The second reads what is wanted in small types,
float32 and category.
"""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from sknninterp.cli._messages import CommandError, bar_options
from sknninterp.cli._problem import MIN_FREQUENCY

MISSING = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "?", ".")

# Spreadsheets start their UTF-8 with a byte-order mark, or write the encoding of western Windows.
_ENCODING, _OTHER_ENCODING = "utf-8-sig", "latin-1"
_MAGIC_OF_ARCHIVES = (b"PK\3\4", b"\x1f\x8b")  # spreadsheets, and gzip without .gz in the name
_CELLS_PER_CHUNK = 5_000_000
_SAMPLE_ROWS = 20
# float32 holds whole numbers exactly up to here; identifiers beyond would fall together.
_LARGEST_IN_FLOAT32 = 2**24
# The encoded table in float32, gradient boosting's copy in float64, and passing copies of parts;
# measured on 600,000 rows.
_BYTES_PER_ENCODED_CELL = 24
_MOST_VALUES_COUNTED = int(1 / MIN_FREQUENCY)


@dataclass(frozen=True)
class TextFile:
    """A CSV file and how it is written.

    Attributes
    ----------
    path : Path
    columns : tuple of str
    delimiter, decimal, encoding : str
    """

    path: Path
    columns: tuple[str, ...]
    delimiter: str
    decimal: str
    encoding: str

    @property
    def compression(self) -> str | None:
        """As pandas names it."""
        return _compression(self.path)

    @property
    def notes(self) -> list[str]:
        """What the user should know about how the file was read."""
        notes = []
        if self.decimal == ",":
            notes.append("Read with decimal commas.")
        if self.encoding == _OTHER_ENCODING:
            notes.append("The file is not UTF-8 and was read as Latin-1: check special letters.")
        return notes


@dataclass
class Scan:
    """What the first pass found.

    Attributes
    ----------
    n_rows : int
    text : set of str
        Columns with anything but numbers.
    large : set of str
        Columns of numbers too large for float32.
    with_missing : set of str
    values : dict of str to set of str
        The values of text columns, up to as many as are told apart.
    """

    n_rows: int = 0
    text: set[str] = field(default_factory=set)
    large: set[str] = field(default_factory=set)
    with_missing: set[str] = field(default_factory=set)
    values: dict[str, set[str]] = field(default_factory=dict)

    def add(self, chunk: pd.DataFrame) -> None:
        """Take note of some rows."""
        self.n_rows += len(chunk)
        numbers = chunk.select_dtypes("number")
        self.text |= set(chunk.columns.difference(numbers.columns))
        self.large |= set(numbers.columns[numbers.abs().max() > _LARGEST_IN_FLOAT32])
        self.with_missing |= set(chunk.columns[chunk.isna().any()])
        for name in self.text:
            values = self.values.setdefault(name, set())
            if len(values) <= _MOST_VALUES_COUNTED:
                values.update(chunk[name].dropna().unique())

    def bytes_needed(self, columns: Collection[str]) -> int:
        """Return roughly what the analysis holds in memory at most."""
        width = 0
        for name in columns:
            if name in self.text:
                width += min(len(self.values[name]), _MOST_VALUES_COUNTED) + 1
            else:
                width += 2 if name in self.with_missing else 1
        return self.n_rows * (width * _BYTES_PER_ENCODED_CELL + 8 * len(columns))


def inspect_file(path: Path) -> TextFile:
    """Find out how a CSV file is written: delimiter, decimal mark, encoding, column names."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "was not found"
        raise CommandError(f"the file '{path}' {what}")
    with _errors_of(path):
        try:
            return _inspect(path, _ENCODING)
        except UnicodeDecodeError:
            return _inspect(path, _OTHER_ENCODING)


def _inspect(path: Path, encoding: str) -> TextFile:
    header = _first_line(path, encoding)
    unquoted = re.sub(r'"[^"]*"', "", header)
    delimiter = max(",;\t", key=unquoted.count)
    sample = pd.read_csv(
        path,
        sep=delimiter,
        encoding=encoding,
        compression=_compression(path),
        nrows=_SAMPLE_ROWS,
        dtype=str,
        na_filter=False,
        skipinitialspace=True,
    )
    if not isinstance(sample.index, pd.RangeIndex):
        raise CommandError(
            f"'{path}': the rows have more values than the header has names; is the name of the "
            "first column missing?"
        )
    if sample.empty:
        raise CommandError(f"'{path}' has a header but no rows")
    names = tuple(name.strip() for name in sample.columns)
    if len(set(names)) < len(names):
        names = tuple(sample.columns)
    comma = delimiter != "," and _has_decimal_comma(sample)
    return TextFile(path, names, delimiter, "," if comma else ".", encoding)


def _first_line(path: Path, encoding: str) -> str:
    """Return the first line with anything in it."""
    opened = gzip.open if _compression(path) else open
    with opened(path, "rb") as file:
        line = next((line for line in file if line.strip()), b"")
    if b"\0" in line or line.startswith(_MAGIC_OF_ARCHIVES):
        raise CommandError(
            f"'{path}' is not a CSV file: save a spreadsheet as CSV (UTF-8), and let the name of a "
            "gzipped file end in .gz"
        )
    if not line:
        raise CommandError(f"'{path}' is empty")
    return line.decode(encoding)


def _has_decimal_comma(sample: pd.DataFrame) -> bool:
    cells = pd.Series(sample.to_numpy().ravel())
    return bool(
        cells.str.fullmatch(r"[+-]?\d+,\d+").any()
        and not cells.str.fullmatch(r"[+-]?\d+\.\d+").any()
    )


def scan_file(file: TextFile, quiet: bool) -> tuple[TextFile, Scan]:
    """Read a file once, in chunks; return it with the encoding that it turned out to have."""
    try:
        return file, _scan(file, quiet)
    except UnicodeDecodeError:
        file = replace(file, encoding=_OTHER_ENCODING)
        return file, _scan(file, quiet)


def _scan(file: TextFile, quiet: bool) -> Scan:
    scan = Scan()
    chunk_size = max(200, _CELLS_PER_CHUNK // len(file.columns))
    with _opened(file, "Looking through the file", quiet) as handle:
        # All columns: if asked for some, pandas passes over rows with too many values.
        for chunk in _read(file, handle, chunksize=chunk_size, low_memory=False):
            scan.add(chunk)
    return scan


def check_memory(file: TextFile, scan: Scan, columns: Collection[str]) -> None:
    """Raise an error before the memory is full, not after."""
    needed, available = scan.bytes_needed(columns), available_memory()
    if available is None or needed <= available:
        return
    widest = sorted(scan.text.intersection(columns), key=lambda c: -len(scan.values[c]))[:3]
    advice = f" such as {', '.join(widest)}" if widest else ""
    raise CommandError(
        f"'{file.path}' has {scan.n_rows:,} rows and {len(columns):,} columns to use, which need "
        f"about {needed / 2**30:.2g} GiB of memory; {available / 2**30:.2g} GiB are available. "
        f"Leave out columns with --drop{advice}, or take a sample of the rows"
    )


def available_memory() -> int | None:
    """Return the bytes of memory that are available, or None where the system does not tell."""
    try:
        meminfo = Path("/proc/meminfo").read_text(encoding="ascii")
        return int(re.findall(r"^MemAvailable:\s+(\d+) kB", meminfo, re.MULTILINE)[0]) * 1024
    except (OSError, IndexError):  # not Linux, or an old one
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def read_file(
    file: TextFile, scan: Scan, columns: Collection[str], as_text: Collection[str], quiet: bool
) -> pd.DataFrame:
    """Return the wanted columns; those in `as_text`, and all that are not numbers, as categories.

    The index is the number of the row in the file, from 1.
    """
    dtypes = {}
    for name in columns:
        if name in as_text:
            dtypes[name] = "str"  # pandas would make numbers of categories that look like them
        elif name in scan.text:
            dtypes[name] = "category"
        else:
            dtypes[name] = "float64" if name in scan.large else "float32"
    with _opened(file, "Reading the file", quiet) as handle:
        frame = _read(file, handle, usecols=list(columns), dtype=dtypes)
    frame = frame.astype(dict.fromkeys(as_text, "category"))
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
    return frame


def _read(file: TextFile, handle: Any, **options: Any) -> Any:
    return pd.read_csv(
        handle,
        sep=file.delimiter,
        decimal=file.decimal,
        encoding=file.encoding,
        compression=file.compression,
        header=0,
        names=list(file.columns),
        na_values=list(MISSING),
        keep_default_na=False,
        skipinitialspace=True,
        **options,
    )


def _compression(path: Path) -> str | None:
    return "gzip" if path.suffix == ".gz" else None


@contextmanager
def _opened(file: TextFile, what: str, quiet: bool) -> Iterator:
    """Open the file with a progress bar over its bytes."""
    size = file.path.stat().st_size
    with (
        _errors_of(file.path),
        # Unbuffered: pandas would take the bytes past tqdm, with a buffer's `read1`.
        open(file.path, "rb", buffering=0) as raw,
        tqdm.wrapattr(raw, "read", total=size, **bar_options(what, quiet)) as counted,
    ):
        yield counted


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Turn what can go wrong with a file into one line."""
    try:
        yield
    except UnicodeDecodeError:
        raise  # another encoding is tried
    except pd.errors.EmptyDataError:
        raise CommandError(f"'{path}' is empty") from None
    except pd.errors.ParserError as error:
        reason = str(error).removeprefix("Error tokenizing data. C error: ")
        raise CommandError(f"'{path}' is no regular table: {reason}") from None
    except (EOFError, OSError) as error:
        raise CommandError(f"'{path}' cannot be read: {error}") from None
