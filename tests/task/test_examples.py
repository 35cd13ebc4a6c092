"""Rows of a user's file become examples, or one sentence says which row and field could not."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.errors import DataError
from luthier.files import write_lines
from luthier.task.examples import Columns, read_examples, read_native, unit_of

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"
AB = Columns(input="a", target="b")


def written(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


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


def test_a_row_of_several_labels_is_refused(tmp_path):
    path = written(tmp_path, "x.jsonl", '{"a": "x", "b": "l"}\n{"a": "y", "b": ["l", "m"]}')
    with pytest.raises(DataError, match="row 2, field 'b': the row has 2 labels; write one"):
        read_examples(path, AB, "train", labelled=True)
    assert read_examples(path, AB, "train")[0][1].references == ("l", "m")


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
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"])).map(lambda text: unicodedata.normalize("NFC", text))


@settings(deadline=None)  # each example writes a file, and a busy disk takes its time
@given(st.lists(st.tuples(TEXT, st.lists(TEXT.filter(str.strip)), st.dictionaries(TEXT, TEXT)), min_size=1, max_size=5))
def test_native_rows_come_back_as_they_were_written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("native") / "train.jsonl"
    keys = ("id", "input", "references", "meta")
    write_lines(path, [dict(zip(keys, (str(i), *row), strict=True)) for i, row in enumerate(rows)])
    examples, notes = read_native(path)
    assert [(e.input, list(e.references), e.meta) for e in examples] == rows
    assert notes.sentences() == notes.warnings()  # two signs drawn by chance may look like a wrong encoding


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
