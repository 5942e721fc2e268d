from __future__ import annotations

import gzip
import os

import numpy as np
import pandas as pd
import pytest

from sknninterp.cli import _reading
from sknninterp.cli._messages import CommandError
from sknninterp.cli._reading import (
    available_memory,
    check_memory,
    inspect_file,
    read_file,
    scan_file,
)


def read(path, as_text=(), columns=None):
    file = inspect_file(path)
    columns = columns or file.columns
    file, scan = scan_file(file, quiet=True)
    return read_file(file, scan, columns, as_text, quiet=True)


def write(folder, text, name="data.csv", encoding="utf-8"):
    path = folder / name
    opened = gzip.open if name.endswith(".gz") else open
    with opened(path, "wt", encoding=encoding, newline="") as file:
        file.write(text)
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["data.csv", "data.csv.gz"])
def test_delimiters_and_compression(tmp_path, delimiter, name):
    text = 'age,"a, b; or c\t",who\n54.5,1,x\n61,2,y\n'.replace(",", "|")
    text = text.replace("a| b", "a, b").replace("|", delimiter)
    frame = read(write(tmp_path, text, name))
    assert frame.columns.tolist() == ["age", "a, b; or c", "who"]
    assert frame["age"].tolist() == [54.5, 61.0]
    assert frame["who"].tolist() == ["x", "y"]
    assert frame.index.tolist() == [1, 2]


def test_missing_values_but_none_is_a_value(tmp_path):
    markers = list(_reading.MISSING)
    rows = "".join(f"{marker},{marker}\n" for marker in ["1.5", *markers])
    frame = read(write(tmp_path, f"number,text\n{rows}2.5,None\n"))
    assert frame["number"].dtype == np.float32
    assert frame["number"].dropna().tolist() == [1.5, 2.5]
    assert frame["text"].dropna().tolist() == ["1.5", "None"]
    assert len(frame) == len(markers) + 2


def test_types_are_small_and_exact(tmp_path):
    rows = "".join(f"{300_000_000 + i},{i},0{i},{i / 8}\n" for i in range(30))
    frame = read(write(tmp_path, "big,small,code,share\n" + rows), as_text=["code"])
    assert frame.dtypes.astype(str).tolist() == ["float64", "float32", "category", "float32"]
    assert frame["big"].is_unique
    assert frame["code"].iloc[7] == "07"


def test_text_deep_in_the_file_makes_the_whole_column_text(tmp_path, monkeypatch):
    monkeypatch.setattr(_reading, "_CELLS_PER_CHUNK", 1)  # chunks of the least size
    rows = "".join(f"{i:03d}\n" for i in range(450))
    frame = read(write(tmp_path, f"a\n{rows}V57\n"))
    assert frame["a"].iloc[[0, 8, -1]].tolist() == ["000", "008", "V57"]


def test_only_wanted_columns_are_read(tmp_path):
    frame = read(write(tmp_path, "a,b,c\n1,2,3\n4,5,6\n"), columns=["c", "a"])
    assert sorted(frame.columns) == ["a", "c"]


def test_names_are_stripped_unless_they_fall_together(tmp_path):
    assert read(write(tmp_path, '"a ",b\n1,2\n')).columns.tolist() == ["a", "b"]
    assert read(write(tmp_path, '"a ",a,a\n1,2,3\n')).columns.tolist() == ["a ", "a", "a.1"]


def test_decimal_commas(tmp_path):
    path = write(tmp_path, "a;b\n1,5;x\n-2,25;y\n")
    assert read(path)["a"].tolist() == [1.5, -2.25]
    assert inspect_file(path).notes == ["Read with decimal commas."]
    # Thousands separators beside decimal points are no decimal commas.
    assert inspect_file(write(tmp_path, "a;b\n1,500;1.5\n")).decimal == "."


def test_encodings(tmp_path):
    text = "größe,ort\n" + "1,München\n" * 3
    assert read(write(tmp_path, text, encoding="utf-8-sig")).columns[0] == "größe"
    path = write(tmp_path, text, encoding="latin-1")
    assert read(path)["ort"].iloc[0] == "München"
    assert "Latin-1" in inspect_file(path).notes[0]


def test_other_encoding_that_shows_late(tmp_path):
    path = write(tmp_path, "a,b\n" + "1,x\n" * 100_000 + "1,é\n", encoding="latin-1")
    file, scan = scan_file(inspect_file(path), quiet=True)
    assert file.encoding == "latin-1"
    assert scan.n_rows == 100_001


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("a,b,y\n", "has a header but no rows"),
        ("a,b\n1,2,3\n4,5,6\n", "more values than the header has names"),
        ("a,b\n" + "1,2\n" * 30 + "1,2,3\n", "no regular table: Expected 2 fields in line 32"),
        ('a,b\n1,2\n3,"4\n', "no regular table"),
        ("a,b\n\0,2\n", None),  # a stray null byte in the data is no reason to give up
        ("\0a,b\n1,2\n", "is not a CSV file"),
        ("PK\3\4 a spreadsheet", "is not a CSV file"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path, text, reason):
    path = write(tmp_path, text)
    if reason is None:
        assert len(read(path)) == 1
        return
    with pytest.raises(CommandError, match=reason) as error:
        read(path)
    assert str(path) in str(error.value)


def test_missing_file_folder_and_false_gzip(tmp_path):
    with pytest.raises(CommandError, match="was not found"):
        inspect_file(tmp_path / "no.csv")
    with pytest.raises(CommandError, match="is a folder"):
        inspect_file(tmp_path)
    false = tmp_path / "data.csv.gz"
    false.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(CommandError, match="cannot be read: Not a gzipped file"):
        inspect_file(false)
    cut = tmp_path / "cut.csv.gz"
    whole = gzip.compress(pd.Series(np.random.default_rng(0).normal(size=50_000)).to_csv().encode())
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CommandError, match="cannot be read"):
        read(cut)


def test_memory_is_checked_before_the_table_is_held(tmp_path, monkeypatch):
    rows = "".join(f"{i},t{i % 50}\n" for i in range(1000))
    file, scan = scan_file(inspect_file(write(tmp_path, f"a,b\n{rows}")), quiet=True)
    check_memory(file, scan, ("a", "b"))
    # One number and 50 categories and one for missing values.
    assert scan.bytes_needed(["a"]) < scan.bytes_needed(["b"]) < 1000 * 60 * 24
    monkeypatch.setattr(_reading, "available_memory", lambda: 1_000_000)
    with pytest.raises(CommandError, match=r"1,000 rows and 2 columns .* --drop such as b, or"):
        check_memory(file, scan, ("a", "b"))
    monkeypatch.setattr(_reading, "available_memory", lambda: None)
    check_memory(file, scan, ("a", "b"))


def test_distinct_values_are_counted_only_as_far_as_needed(tmp_path):
    rows = "".join(f"text {i}\n" for i in range(3000))
    path = write(tmp_path, f"a\n{rows}")
    _, scan = scan_file(inspect_file(path), quiet=True)
    assert scan.bytes_needed(["a"]) < 3000 * 210 * 24  # not 3000 columns


def test_available_memory_without_linux(monkeypatch):
    def missing(*args, **options):
        raise FileNotFoundError

    monkeypatch.setattr(_reading.Path, "read_text", missing)
    memory = available_memory()
    assert memory == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.delattr(os, "sysconf")  # Windows
    assert available_memory() is None


def test_available_memory_is_plausible():
    memory = available_memory()
    assert memory is None or 2**24 < memory < 2**50


@pytest.mark.parametrize("name", ["data.csv", "data.csv.gz"])
def test_progress_counts_the_bytes_of_the_file(tmp_path, capsys, name):
    file = inspect_file(write(tmp_path, "a,b\n" + "1,2\n" * 1000, name))
    scan_file(file, quiet=False)
    error = capsys.readouterr().err
    assert "Looking through the file" in error
    assert "100%" in error
