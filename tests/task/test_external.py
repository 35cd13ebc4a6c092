"""Parquet files and data sets of the hub become rows like all others; what is missing is said in a sentence."""

from __future__ import annotations

import datetime
import importlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import DataError, TaskError
from luthier.files import write_lines
from luthier.task.create import init_task
from luthier.task.examples import Cells, Columns, read_examples
from luthier.task.rows import read_rows
from luthier.verdicts.columns import score_columns

ROWS: list[dict[str, Any]] = [
    {"dialogue": f"Ann: Is it day {i}?\nBen: It is.", "notes": [f"Day {i}.", "It is."], "day": i, "score": 0.5}
    for i in range(40)
]
COLUMNS = Columns(input="dialogue", target="notes", meta=["day"])


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'luthier[datasets]'")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.Table.from_pylist(rows), path, row_group_size=16)
    return path


@pytest.fixture
def without_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where neither package is installed."""
    imported = importlib.import_module

    def refuse(name: str, *arguments: Any) -> Any:
        if name.partition(".")[0] in ("pyarrow", "datasets"):
            raise ImportError(name)
        return imported(name, *arguments)

    monkeypatch.setattr("luthier.task.external.importlib.import_module", refuse)


def test_parquet_and_jsonl_hold_the_same_examples(tmp_path: Path) -> None:
    write_lines(tmp_path / "rows.jsonl", ROWS)
    theirs, _ = read_examples(tmp_path / "rows.jsonl", COLUMNS, "train")
    ours, notes = read_examples(write_parquet(tmp_path / "rows.parquet", ROWS), COLUMNS, "train")
    assert ours == theirs
    assert (notes.file, notes.rows) == ("rows.parquet", 40)


def test_what_json_has_no_word_for_becomes_plain(tmp_path: Path) -> None:
    row = {"day": datetime.date(2024, 2, 29), "score": float("nan"), "nested": [{"at": datetime.datetime(2024, 1, 2)}]}
    (read,) = read_rows(write_parquet(tmp_path / "rows.parquet", [row]))
    assert read.values == {"day": "2024-02-29", "score": None, "nested": [{"at": "2024-01-02 00:00:00"}]}
    assert (read.number, read.line) == (1, 1)


def test_a_task_and_a_score_come_from_parquet(tmp_path: Path) -> None:
    rows = [{**row, "notes": row["notes"][0], "ours": row["notes"][0]} for row in ROWS]
    file = write_parquet(tmp_path / "rows.parquet", rows)
    task = init_task(tmp_path / "task", file, input="dialogue", target="notes")
    assert sum(len(task.split(split)) for split in ("train", "dev", "test")) == 40
    assert (tmp_path / "task" / "rows.parquet").read_bytes() == file.read_bytes()
    assert score_columns(file, reference="notes", answer="ours")["metrics"]["rouge1"]["mean"] == 1.0


@pytest.mark.parametrize("content, problem", [(b"not parquet at all", "no parquet file that can be read"), (b"", "no")])
def test_a_broken_parquet_file_is_refused(content: bytes, problem: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'luthier[datasets]'")
    (tmp_path / "rows.parquet").write_bytes(content)
    with pytest.raises(DataError, match=rf"rows\.parquet: .*{problem}"):
        list(read_rows(tmp_path / "rows.parquet"))
    with pytest.raises(DataError, match=r"there\.parquet: .*No such file"):
        list(read_rows(tmp_path / "there.parquet"))


def test_a_parquet_file_without_rows_is_refused(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "rows.parquet", ROWS)
    arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    parquet.write_table(parquet.read_table(file).slice(0, 0), file)
    assert isinstance(parquet.read_table(file), arrow.Table)
    with pytest.raises(DataError, match="the file has no rows"):
        list(read_rows(file))


def hub_folder(folder: Path, splits: tuple[str, ...]) -> Path:
    """A data set as the hub keeps them: one file a split. Stands in for the hub, which tests do not reach."""
    pytest.importorskip("datasets", reason="datasets is not installed: pip install 'luthier[datasets]'")
    for place, split in enumerate(splits):
        write_lines(folder / f"{split}.jsonl", [{"in": f"{split} {i}?", "out": f"{i + place}."} for i in range(30)])
    return folder


def test_a_task_comes_from_the_splits_of_a_data_set(tmp_path: Path) -> None:
    folder = hub_folder(tmp_path / "set", ("train", "validation", "test"))
    task = init_task(tmp_path / "task", f"hub:{folder}", input="in", target="out")
    assert [len(task.split(split)) for split in ("train", "dev", "test")] == [30, 30, 30]
    assert {path.name for path in (tmp_path / "task").iterdir()} == {
        "task.toml", "train.jsonl", "validation.jsonl", "test.jsonl",
    }  # fmt: skip
    assert task.split("dev")[0].input == "validation 0?"


def test_a_data_set_with_one_split_is_drawn_from(tmp_path: Path) -> None:
    folder = hub_folder(tmp_path / "set", ("train",))
    task = init_task(tmp_path / "task", f"hub:{folder}", input="in", target="out")
    assert [len(task.split(split)) for split in ("train", "dev", "test")] == [21, 3, 6]


def test_a_data_set_that_is_not_there_or_has_no_train_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="datasets is not installed: pip install 'luthier[datasets]'")
    with pytest.raises(DataError, match="the data set cannot be loaded"):
        init_task(tmp_path / "task", f"hub:{tmp_path / 'nothing'}", input="in", target="out")
    folder = hub_folder(tmp_path / "set", ("test",))
    with pytest.raises(TaskError, match="has no split 'train'; it has test"):
        init_task(tmp_path / "task", f"hub:{folder}", input="in", target="out")
    assert not (tmp_path / "task").exists()


@pytest.mark.usefixtures("without_packages")
def test_a_missing_package_is_named_with_its_command(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    for package, source in (("pyarrow", tmp_path / "rows.parquet"), ("datasets", "hub:owner/name")):
        with pytest.raises(DataError, match=rf"needs the package {package}; run: pip install 'luthier\[datasets\]'"):
            init_task(tmp_path / "task", source, input="in", target="out")


# --- types: what has a text is read, what has none is refused by column where it is used ------------------------------


def typed(folder: Path, column: str, values: list[Any], kind: Any) -> Path:
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'luthier[datasets]'")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = {"text": [f"t{i}" for i in range(len(values))], column: arrow.array(values, kind(arrow))}
    parquet.write_table(arrow.table(table), folder / "x.parquet")
    return folder / "x.parquet"


# (type, values, texts as a label or None, texts as a reference or None)
TYPES: dict[str, tuple[Any, list[Any], list[str] | None, list[str] | None]] = {
    "string": (lambda a: a.string(), ["a", "b"], ["a", "b"], ["a", "b"]),
    "large string": (lambda a: a.large_string(), ["a", "b"], ["a", "b"], ["a", "b"]),
    "categories": (lambda a: a.dictionary(a.int8(), a.string()), ["a", "b"], ["a", "b"], ["a", "b"]),
    "bytes of UTF-8": (lambda a: a.binary(), ["ü".encode(), b"b"], ["ü", "b"], ["ü", "b"]),
    "bytes of no text": (lambda a: a.binary(), [b"\xff\xfe", b"\xff"], None, None),
    "int": (lambda a: a.int64(), [1, 2], ["1", "2"], None),
    "bool": (lambda a: a.bool_(), [True, False], ["true", "false"], None),
    "float": (lambda a: a.float64(), [1.0, 2.5], ["1", "2.5"], None),
    "decimal": (lambda a: a.decimal128(5, 2), [Decimal("1.00"), Decimal("2.50")], ["1", "2.50"], None),
    "date": (lambda a: a.date32(), [datetime.date(2024, 2, 29)] * 2, ["2024-02-29"] * 2, ["2024-02-29"] * 2),
    "list of texts": (lambda a: a.list_(a.string()), [["a"], ["b"]], ["a", "b"], ["a", "b"]),
    "struct": (lambda a: a.struct([("k", a.string())]), [{"k": "a"}, {"k": "b"}], None, None),
}


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("labelled", [True, False])
def test_every_type_has_its_text_or_is_refused_by_column(name: str, labelled: bool, tmp_path: Path) -> None:
    kind, values, as_label, as_reference = TYPES[name]
    path, columns = typed(tmp_path, "y", values, kind), Columns(input="text", target="y")
    expected = as_label if labelled else as_reference
    if expected is None:
        with pytest.raises(DataError, match=r"x\.parquet, row 1, field 'y': this is "):
            read_examples(path, columns, "train", labelled=labelled)
    else:
        examples, _ = read_examples(path, columns, "train", labelled=labelled)
        assert [example.references[0] for example in examples] == expected


@pytest.mark.parametrize("name", TYPES)
def test_a_column_that_nobody_uses_may_hold_anything(name: str, tmp_path: Path) -> None:
    kind, values, *_ = TYPES[name]
    path = typed(tmp_path, "y", values, kind)
    assert [row.values["text"] for row in read_rows(path)] == ["t0", "t1"]
    for row in read_rows(path):
        if name == "bytes of no text":
            with pytest.raises(DataError, match="this is binary and not UTF-8; leave the column out"):
                Cells(path, row).kept("y")
        else:
            json.dumps(Cells(path, row).kept("y"))


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'luthier[datasets]'")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.Table.from_arrays([arrow.array(["a"])] * 2, names=["x", "x"]), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"x\.parquet, field 'x': the file has this column more than once; rename one"):
        list(read_rows(tmp_path / "x.parquet"))
