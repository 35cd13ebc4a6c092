"""Every row of a file is read, or one sentence says which line could not."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest

from luthier.errors import DataError
from luthier.task.opened import MAX_LINE
from luthier.task.rows import read_rows


def written(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


READABLE = {
    "plain csv": ("x.csv", "a,b\n1,2\n3,4\n", [(1, 2, {"a": "1", "b": "2"}), (2, 3, {"a": "3", "b": "4"})]),
    "quoted newline keeps row and line apart": ("x.csv", 'a,b\n"1\n1",2\n3,4', [
        (1, 2, {"a": "1\n1", "b": "2"}), (2, 4, {"a": "3", "b": "4"})]),
    "byte order mark and windows line ends": ("x.csv", "\ufeffa,b\r\n1,2\r\n", [(1, 2, {"a": "1", "b": "2"})]),
    "blank lines are no rows": ("x.csv", "a,b\n\n1,2\n\n", [(1, 3, {"a": "1", "b": "2"})]),
    "extension in capitals": ("x.TSV", "a\tb\n1\t2,3\n", [(1, 2, {"a": "1", "b": "2,3"})]),
    "jsonl with blank lines, no last line feed": ("x.jsonl", '\ufeff{"a": 1}\n\n{"a": [null]}', [
        (1, 1, {"a": 1}), (2, 3, {"a": [None]})]),
    "only carriage returns": ("x.csv", "a,b\r1,2\r3,4", [(1, 2, {"a": "1", "b": "2"}), (2, 3, {"a": "3", "b": "4"})]),
    "NaN and infinity are null": ("x.jsonl", '{"a": NaN, "b": 1e999, "c": -Infinity}', [
        (1, 1, {"a": None, "b": None, "c": None})]),
    "an array": ("x.jsonl", '[\n{"a": 1},\n\n{"a":\n2}]', [(1, 2, {"a": 1}), (2, 4, {"a": 2})]),
    "rows of blanks are no rows": ("x.csv", "a,b\n,\n1,2\n , \n", [(1, 3, {"a": "1", "b": "2"})]),
    "blanks around names, and no sign before them": ("x.csv", "a , b\n1, 2\n", [(1, 2, {"a": "1", "b": "2"})]),
    "the index that pandas writes": ("x.csv", ",a\n0,x\n", [(1, 2, {"column 1": "0", "a": "x"})]),
    "line separators of Unicode do not end a line": ("x.jsonl", '{"a": "x\u2028y\x85z"}', [
        (1, 1, {"a": "x\u2028y\x85z"})]),
}  # fmt: skip


@pytest.mark.parametrize("name, content, rows", READABLE.values(), ids=READABLE)
def test_rows_are_read(tmp_path, name, content, rows):
    assert [(r.number, r.line, r.values) for r in read_rows(written(tmp_path, name, content))] == rows


REFUSED = {
    "empty csv": ("x.csv", "", "is empty"),
    "empty jsonl": ("x.jsonl", " \n\n", "is empty"),
    "header only": ("x.csv", "a,b\n", "a header and no rows"),
    "column twice": ("x.csv", "a,b,a\n1,2,3\n", "field 'a': the header has this column more than once"),
    "too many cells": ("x.csv", "a,b\n1,2\n1,2,3\n", "row 2, line 3: the row has 3 cells and the header 2"),
    "too few cells": ("x.tsv", "a\tb\n1\n", "row 1, line 2: the row has 1 cells and the header 2"),
    "quote not closed": ("x.csv", 'a,b\n1,2\n"3,4\n5,6\n', "row 2, line 3: this is not well-formed"),
    "text after a quote": ("x.csv", 'a,b\n"1" x,2\n', "row 1, line 2: this is not well-formed"),
    "latin-1 in a file of UTF-8": (
        "x.csv",
        "a,b\ncafé,2\n".encode() + b"caf\xe9,2\n",
        "line 3: byte 4 of the line is not UTF-8, and other lines are",
    ),
    "two names that are one without blanks": ("x.csv", "a, a\n1,2\n", "field 'a': the header has this column more"),
    "not json": ("x.jsonl", '{"a": 1}\n\n{a: 1}\n', "row 2, line 3: this is not JSON (Expecting property name"),
    "torn json": ("x.jsonl", '{"a": 1}\n{"a": ', "row 2, line 2: this is not JSON"),
    "an array that is cut off": ("x.json", '[\n{"a": 1},\n{"a": 2}\n', "row 3, line 4: the array is not closed"),
    "an object of an array that is cut off": ("x.json", '[\n{"a": 1},\n{"a":', "row 2, line 3: this is not JSON"),
    "an array of nothing": ("x.json", "[ ]", "is empty"),
    "a list": ("x.jsonl", "[1]\n", "row 1, line 1: this is not a JSON object"),
    "a key twice": ("x.jsonl", '{"a": 1, "a": 2}\n', "the key 'a' is there twice"),
    "half a surrogate pair": ("x.jsonl", '{"a": "\\ud83d"}\n', "surrogates not allowed"),
    "nested too deeply": ("x.jsonl", '{"a": ' + "[" * 100_000, "recursion"),
    "number with too many digits": ("x.jsonl", '{"a": ' + "1" * 5000 + "}", "row 1, line 1: this is not JSON"),
    "other extension": ("x.yaml", "{}", "only .csv, .tsv, .jsonl, .json, .ndjson and .parquet files"),
    "a workbook": ("x.xlsx", b"PK\x03\x04" + bytes(30), "this is a zip archive, as workbooks of Excel"),
    "an archive that is called csv": ("x.csv", b"PK\x03\x04" + bytes(30), "this is a zip archive"),
    "an old workbook": ("x.xls", b"\xd0\xcf\x11\xe0" + bytes(30), "this is an old Office document"),
    "gzip cut off": ("x.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 999)[:-9], "is damaged or cut off"),
}


@pytest.mark.parametrize("name, content, sentence", REFUSED.values(), ids=REFUSED)
def test_bad_files_are_refused_by_place(tmp_path, name, content, sentence):
    path = written(tmp_path, name, content)
    with pytest.raises(DataError) as error:
        list(read_rows(path))
    assert str(error.value).startswith(str(path))
    assert sentence in str(error.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    for name in ("missing.csv", "folder.csv"):
        with pytest.raises(DataError, match=f"{name}: cannot be read .*name a file that is there"):
            list(read_rows(tmp_path / name))


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
def test_an_endless_line_is_refused_without_reading_it_whole(tmp_path, name):
    path = tmp_path / name
    with open(path, "wb") as file:
        file.truncate(2**30)  # one line of 1 GiB, without the disk for it
    tracemalloc.start()
    with pytest.raises(DataError, match="line 1: the line is longer than 16 MiB"):
        list(read_rows(path))
    assert tracemalloc.get_traced_memory()[1] < 4 * MAX_LINE
    tracemalloc.stop()


def test_a_long_cell_is_read(tmp_path):
    text = "word " * 100_000  # over the 131,072 characters that Python's csv allows a cell by default
    (row,) = read_rows(written(tmp_path, "x.csv", f"a,b\n{text},2\n"))
    assert row.values["a"] == text
