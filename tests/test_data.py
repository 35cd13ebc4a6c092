"""Rows of a user's file become examples, or one sentence says which row and field could not."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier import data
from luthier.data import Columns, read_examples, read_native, read_rows, unit_of
from luthier.errors import DataError
from luthier.files import write_lines

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"
AB = Columns(input="a", target="b")


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
    "only carriage returns": ("x.csv", "a,b\r1,2\r", "line 1: this is not well-formed"),
    "latin-1 in csv": ("x.csv", b"a,b\n1,2\ncaf\xe9,2\n", "row 2, line 3: byte 4 of the line is not UTF-8"),
    "latin-1 in jsonl": (
        "x.jsonl",
        b'{"a": "b"}\n{"a": "caf\xe9"}\n',
        "row 2, line 2: byte 11 of the line is not UTF-8",
    ),
    "utf-16": ("x.csv", "a,b\n1,2\n".encode("utf-16"), "line 1: byte 1 of the line is not UTF-8"),
    "not json": ("x.jsonl", '{"a": 1}\n\n{a: 1}\n', "row 2, line 3: this is not JSON (Expecting property name"),
    "torn json": ("x.jsonl", '{"a": 1}\n{"a": ', "row 2, line 2: this is not JSON"),
    "a pretty-printed array": ("x.jsonl", "[\n{}\n]", "row 1, line 1: this is not JSON"),
    "a list": ("x.jsonl", "[1]\n", "row 1, line 1: this is not a JSON object"),
    "a key twice": ("x.jsonl", '{"a": 1, "a": 2}\n', "the key 'a' is there twice"),
    "NaN could not be written again": ("x.jsonl", '{"a": NaN}\n', "row 1, line 1: this is not JSON"),
    "1e999 is infinite": ("x.jsonl", '{"a": 1e999}\n', "row 1, line 1: this is not JSON"),
    "half a surrogate pair": ("x.jsonl", '{"a": "\\ud83d"}\n', "surrogates not allowed"),
    "nested too deeply": ("x.jsonl", '{"a": ' + "[" * 100_000, "recursion"),
    "number with too many digits": ("x.jsonl", '{"a": ' + "1" * 5000 + "}", "row 1, line 1: this is not JSON"),
    "other extension": ("x.json", "{}", "only .csv, .tsv, .jsonl and .parquet files are read"),
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
    assert tracemalloc.get_traced_memory()[1] < 4 * data.MAX_LINE_BYTES
    tracemalloc.stop()


def test_a_long_cell_is_read(tmp_path):
    text = "word " * 100_000  # over the 131,072 characters that Python's csv allows a cell by default
    (row,) = read_rows(written(tmp_path, "x.csv", f"a,b\n{text},2\n"))
    assert row.values["a"] == text


BAD_VALUES = {
    "missing column": (AB, '{"a": "x", "c": "y"}', "row 1, field 'b': there is no such column; there are 'a', 'c'"),
    "missing in a later row": (AB, '{"a": "x", "b": "y"}\n{"a": "x"}', "row 2, field 'b': there is no such column"),
    "input is a number": (AB, '{"a": 3, "b": "y"}', "row 1, field 'a': this is a number"),
    "input is a list": (AB, '{"a": ["x"], "b": "y"}', "row 1, field 'a': this is a list"),
    "target is true": (AB, '{"a": "x", "b": true}', "row 1, field 'b': this is true or false"),
    "a reference is a number": (AB, '{"a": "x", "b": ["y", 1]}', "row 1, field 'b': the list holds a number"),
    "id is empty": (Columns(input="a", target="b", id="i"), '{"a": "", "b": "", "i": " "}', "field 'i': this is empty"),
    "id is a float": (Columns(input="a", target="b", id="i"), '{"a": "", "b": "", "i": 1.5}', "'i': this is a number"),
    "id is null": (Columns(input="a", target="b", id="i"), '{"a": "", "b": "", "i": null}', "field 'i': this is null"),
    "cluster is empty": (
        Columns(input="a", target="b", cluster="c"),
        '{"a": "", "b": "", "c": ""}',
        "'c': this is empty",
    ),
    "meta is missing": (
        Columns(input="a", target="b", meta=["m"]),
        '{"a": "", "b": ""}',
        "field 'm': there is no such",
    ),
    "same id, number and text": (
        Columns(input="a", target="b", id="i"),
        '{"a": "x", "b": "y", "i": 7}\n{"a": "z", "b": "y", "i": "7"}',
        "row 2: the id '7' is already that of row 1",
    ),
}


@pytest.mark.parametrize("columns, content, sentence", BAD_VALUES.values(), ids=BAD_VALUES)
def test_bad_values_are_refused_by_row_and_field(tmp_path, columns, content, sentence):
    with pytest.raises(DataError) as error:
        read_examples(written(tmp_path, "x.jsonl", content), columns, "train")
    assert sentence in str(error.value)


def test_an_example_carries_what_its_columns_say(tmp_path):
    path = written(tmp_path, "x.csv", "k,a,b,c,s,m,other\n9,in,out,d1,test,x,secret\n")
    columns = Columns(input="a", target="b", id="k", cluster="c", split="s", meta=["m"])
    (example,), _ = read_examples(path, columns, "train")
    assert (example.id, example.input, example.references, example.unit, example.row) == ("9", "in", ("out",), "d1", 1)
    assert example.meta == {"m": "x", "s": "test"}  # and not the column that nobody named


def test_ids_and_units_without_columns(tmp_path):
    path = written(tmp_path, "x.csv", "a,b\nHello  there,1\nhello there ,2\nbye,3\n")
    examples, _ = read_examples(path, AB, "dev")
    assert [e.id for e in examples] == ["dev-1", "dev-2", "dev-3"]
    assert examples[0].unit == examples[1].unit == unit_of("hello there") != examples[2].unit


def test_empty_inputs_and_targets_are_kept_for_the_check(tmp_path):
    path = written(tmp_path, "x.jsonl", '{"a": "", "b": "y"}\n{"a": null, "b": " "}\n{"a": "x", "b": []}\n')
    examples, notes = read_examples(path, AB, "train")
    assert [(e.input, e.references) for e in examples] == [("", ("y",)), ("", ()), ("x", ())]
    assert notes.rows == 3 and not notes.sentences()


def test_what_cleaning_changes_is_counted(tmp_path):
    content = '{"a": "one\\r\\ntwo\\rthree\\tfour", "b": ["y", " "]}\n{"a": "don\\u0092t\\u0000", "b": "\\u0007"}\n'
    examples, notes = read_examples(written(tmp_path, "x.jsonl", content), AB, "train")
    assert [e.input for e in examples] == ["one\ntwo\nthree\tfour", "don t "]
    assert [e.references for e in examples] == [("y",), ()]
    assert notes.controls == {"U+0092": 1, "U+0000": 1, "U+0007": 1} and notes.control_rows == (2,)
    assert notes.line_endings == 2 and notes.blank_references == (1,)
    assert notes.sentences() == [
        "x.jsonl: 3 control characters (U+0092 x 1, U+0000 x 1, U+0007 x 1) became spaces, in rows 2",
        "x.jsonl: 2 carriage returns inside texts became line feeds",
        "x.jsonl: blank references beside others were left out, in rows 1",
    ]


NATIVE_REFUSED = {
    "no id": ('{"input": "x", "references": ["y"]}', "field 'id': there is no such column"),
    "unknown key": (
        '{"id": "1", "input": "x", "references": [], "topic": "t"}',
        "field 'topic': the keys are id, input",
    ),
    "meta is a list": ('{"id": "1", "input": "x", "references": [], "meta": []}', "field 'meta': this is a list"),
}


@pytest.mark.parametrize("content, sentence", NATIVE_REFUSED.values(), ids=NATIVE_REFUSED)
def test_native_rows_know_their_keys(tmp_path, content, sentence):
    with pytest.raises(DataError) as error:
        read_native(written(tmp_path, "x.jsonl", content))
    assert sentence in str(error.value)


# What reading leaves as it is: anything but control characters and halves of surrogate pairs.
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]))


@given(st.lists(st.tuples(TEXT, st.lists(TEXT.filter(str.strip)), st.dictionaries(TEXT, TEXT)), min_size=1, max_size=5))
def test_native_rows_come_back_as_they_were_written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("native") / "train.jsonl"
    keys = ("id", "input", "references", "meta")
    write_lines(path, [dict(zip(keys, (str(i), *row), strict=True)) for i, row in enumerate(rows)])
    examples, notes = read_native(path)
    assert [(e.input, list(e.references), e.meta) for e in examples] == rows
    assert not notes.sentences()


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real data is not at {REAL}")
def test_real_files_are_read_whole():
    mts = Columns(input="dialogue", target="section_text", id="ID", meta=["section_header"])
    examples, notes = read_examples(REAL / "mts_dialog" / "MTS-Dialog-TrainingSet.csv", mts, "train")
    assert len(examples) == 1201 and all(e.references for e in examples)
    assert notes.line_endings == 10_255 and not notes.controls
    assert not any("\r" in e.input for e in examples)
    dialogsum = Columns(input="dialogue", target="summary", id="id")
    examples, notes = read_examples(REAL / "dialogsum" / "dev.jsonl", dialogsum, "dev")
    assert len(examples) == 500 and not notes.sentences()
