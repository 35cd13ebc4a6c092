"""JSON of every shape that pandas, datasets and others write gives the same rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import DataError
from luthier.task.documents import json_rows
from luthier.task.opened import opened_text
from luthier.task.rows import read_rows

ROWS = [{"text": f"in {i}", "label": i % 2, "inner": {"a": [i]}} for i in range(4)]
LINES = "\n".join(map(json.dumps, ROWS))
TABLE = {name: [row[name] for row in ROWS] for name in ROWS[0]}

SHAPES: dict[str, tuple[str, str]] = {
    "lines": (".jsonl", LINES),
    "lines called json": (".json", LINES),
    "lines called ndjson": (".ndjson", LINES),
    "lines between blank lines": (".jsonl", "\n\n" + LINES.replace("\n", "\n\n") + "\n\n"),
    "an array": (".json", json.dumps(ROWS)),
    "an array of many lines": (".json", json.dumps(ROWS, indent=2)),
    "an array called jsonl": (".jsonl", json.dumps(ROWS)),
    "objects one after another": (".json", "\n".join(json.dumps(row, indent=1) for row in ROWS)),
    "objects of many lines called jsonl": (".jsonl", "\n".join(json.dumps(row, indent=1) for row in ROWS)),
    "rows under a key": (".json", json.dumps({"version": 2, "data": ROWS})),
    "columns of lists": (".json", json.dumps(TABLE)),
    "columns by position": (".json", json.dumps({k: {str(i): v for i, v in enumerate(c)} for k, c in TABLE.items()})),
    "rows by position": (".json", json.dumps({str(i): row for i, row in enumerate(ROWS)})),
    "split": (".json", json.dumps({"columns": list(TABLE), "data": [list(row.values()) for row in ROWS]})),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_same_rows(shape: str, tmp_path: Path) -> None:
    ending, text = SHAPES[shape]
    path = tmp_path / f"x{ending}"
    path.write_text(text)
    assert [row.values for row in read_rows(path)] == ROWS
    assert [row.number for row in read_rows(path)] == [1, 2, 3, 4]


ONE: dict[str, dict[str, Any]] = {
    "a chat": {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    "ShareGPT's": {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
    "one list": {"text": "a", "notes": ["b", "c"]},
    "objects in a list": {"text": "a", "turns": [{"speaker": "Ann", "said": "b"}]},
}


@pytest.mark.parametrize("name", ONE)
def test_a_line_is_a_row_whatever_it_holds(name: str, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps(ONE[name]))
    assert [row.values for row in read_rows(tmp_path / "x.jsonl")] == [ONE[name]]
    (tmp_path / "x.json").write_text("\n".join([json.dumps(ONE[name])] * 2))
    assert [row.values for row in read_rows(tmp_path / "x.json")] == [ONE[name]] * 2


def test_a_row_of_an_array_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('[\n {"a": 1},\n 3\n]')
    rows, said = json_rows(opened_text(tmp_path / "x.json"), by_line=False)
    assert said == ("the file is a JSON array, and each of its objects is a row",)
    with pytest.raises(DataError, match=r"x\.json, row 2, line 3: this is not a JSON object"):
        list(rows)


def test_an_array_on_one_line_may_be_as_long_as_a_document(tmp_path: Path) -> None:
    """As json.dump writes it. A line of a file of lines stays bounded."""
    rows = [{"dialogue": "word " * 1000, "summary": str(number)} for number in range(3600)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    assert (tmp_path / "rows.json").stat().st_size > 17 * 2**20
    assert [row.values["summary"] for row in read_rows(tmp_path / "rows.json")] == [str(n) for n in range(3600)]
