"""Small files of the kinds that people bring: each is read right, or refused in one sentence with the way out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import LuthierError
from luthier.task.check import check_task
from luthier.task.create import init_task
from luthier.task.prompt import template
from luthier.task.rows import read_rows
from luthier.task.task import Task, load_task
from tests.conftest import SHARED

CASES = SHARED / "cases"
TEXTS, LABELS = {"input": "text", "target": "summary"}, {"input": "text", "labels": "label"}
DIALOGUES = {"input": "dialogue", "target": "summary"}


@dataclass
class Case:
    """A file, what `init` is told, and what must come of it."""

    file: str
    told: dict[str, Any]
    rows: int = 0
    says: str = ""  # a note of init
    refused: str = ""
    labels: tuple[str, ...] = ()
    holds: str = ""  # stands in an input or a reference
    warns: str = ""  # a warning of check
    example: dict[str, Any] = field(default_factory=dict)  # of the file's first row


SEMICOLONS = "semicolons stand between the cells"
READ = [
    Case("03-label-blanks/crlf_bom.csv", {"input": "id", "labels": "label"}, 60, labels=("negative", "positive")),
    Case("04-tsv-quotes/rows.tsv", LABELS, 60, says="quotes are read as signs", holds='asks for towels"'),
    Case("05-european-csv/excel-unicode-text.csv", TEXTS, 40, says="written in utf-16-le", holds="Gast 39"),
    Case("05-european-csv/header-spaces.csv", TEXTS, 40, says="the blank after each delimiter", holds="Guest 39"),
    Case("05-european-csv/mojibake.csv", TEXTS, 40, says="'CafÃ©' seems to be 'Café'", warns="were spoiled"),
    Case("05-european-csv/semicolon-cp1252.csv", TEXTS, 40, says="read as cp1252", holds="0,50 € Rückzahlung"),
    Case("05-european-csv/semicolon.csv", TEXTS, 40, says=SEMICOLONS, holds="0,50 € Rückzahlung"),
    Case("05-european-csv/sep.csv", TEXTS, 40, says=SEMICOLONS, holds="0,50 € Rückzahlung"),
    Case("05-european-csv/tabs.csv", TEXTS, 40, says="tabs stand between the cells", holds="Gast 39"),
    Case("05-european-csv/trailing-columns.csv", TEXTS, 40, says="3 empty columns without a name", holds="Guest 39"),
    Case("06-json-kinds/array.json", DIALOGUES, 40, says="a JSON array", holds="Guest 39"),
    Case("06-json-kinds/bool-labels.jsonl", LABELS, 60, labels=("false", "true")),
    Case("06-json-kinds/float-labels.jsonl", LABELS, 60, labels=("0", "1")),
    Case("06-json-kinds/int-labels.jsonl", LABELS, 60, labels=("0", "1")),
    Case("06-json-kinds/ids-float.jsonl", {**DIALOGUES, "id": "id"}, 40, example={"id": "0"}),
    Case("06-json-kinds/ids-int.jsonl", {**DIALOGUES, "id": "id"}, 40, example={"id": "0"}),
    Case("06-json-kinds/lines.json", DIALOGUES, 40, holds="Guest 39"),
    Case("06-json-kinds/nan.jsonl", DIALOGUES, 40, holds="Guest 39"),
    Case("06-json-kinds/nan.jsonl", {**DIALOGUES, "meta": ["score"]}, 40, example={"meta": {"score": None}}),
    Case("06-json-kinds/rows.jsonl.gz", DIALOGUES, 40, holds="Guest 39"),
    Case("06-json-kinds/rows.ndjson", DIALOGUES, 40, holds="Guest 39"),
    Case("06-json-kinds/zipped.jsonl", DIALOGUES, 40, says="compressed with gzip", holds="Guest 39"),
    Case("07-chat-formats/openai.jsonl", {"input": "messages"}, 40, example={
        "turns": (("system", "You are brief."), ("user", "Where is room 0?")), "references": ("Room 0 is upstairs.",)}),
    Case("07-chat-formats/sharegpt.jsonl", {"input": "conversations"}, 40, example={
        "input": "Where is room 0?", "references": ("Room 0 is upstairs.",)}),
    Case("07-chat-formats/alpaca.jsonl", {"input": ["instruction", "input"], "target": "output"}, 40, example={
        "fields": {"instruction": "Say where the room is (0).", "input": "Room 0"}}),
    Case("07-chat-formats/alpaca.jsonl", {"input": "instruction", "target": "output", "instruction": "{instruction}{x}"},  # noqa: E501
        refused="the template 'plain' holds {x}, which is nothing here"),
    Case("08-nfc-nfd/labels.csv", LABELS, 60, says="15 texts had letters and their marks", labels=("café", "hotel")),
    Case("09-rare-labels/tickets.csv", LABELS, 113),
    Case("16-parquet/binary.parquet", TEXTS, 40, holds="Handtüchern"),
    Case("16-parquet/decimal.parquet", TEXTS, refused="row 1, field 'text': this is a decimal number"),
    Case("16-parquet/int-label.parquet", LABELS, 40, labels=("0", "1")),
    Case("16-parquet/twin-columns.parquet", TEXTS, refused="field 'text': the file has this column more than once"),
]  # fmt: skip


@pytest.mark.parametrize("case", READ, ids=lambda case: f"{case.file}-{'-'.join(case.told)}")
def test_what_people_bring(case: Case, tmp_path: Path) -> None:
    file = CASES / case.file
    if not file.exists():
        pytest.skip(f"{file} is not here")
    if file.suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'luthier[datasets]'")
    if case.refused:
        with pytest.raises(LuthierError) as error:
            init_task(tmp_path / "task", file, **case.told)
        assert case.refused in str(error.value) and not (tmp_path / "task").exists()
        return
    made = init_task(tmp_path / "task", file, **case.told)
    task = load_task(tmp_path / "task")
    examples = [example for split in (task.train, task.dev, task.test) for example in split]
    assert len(examples) == case.rows == len(list(read_rows(file)))
    notes = "; ".join(sentence for note in made.notes for sentence in note.sentences())
    assert case.says in notes and bool(case.says) == bool(notes)
    if case.labels:
        assert {example.references[0] for example in examples} == set(case.labels)
    assert any(case.holds in text for example in examples for text in (example.input, *example.references))
    first = min(examples, key=lambda example: example.row)
    assert {key: getattr(first, key) for key in case.example} == case.example
    warned = [finding.text for finding in check_task(task) if finding.level == "warning"]
    assert [text for text in warned if case.warns in text] or not case.warns
    nothing_is_lost(task)


def nothing_is_lost(task: Task) -> None:
    """Every text of every input stands in its prompt."""
    for example in task.train:
        said = "\n".join(message["content"] for message in template(example, task.template()))
        texts = [words for _, words in example.turns] or list(example.fields.values()) or [example.input]
        assert all(text in said for text in texts)


def test_a_draw_keeps_every_label_in_train(tmp_path: Path) -> None:
    file = CASES / "09-rare-labels" / "tickets.csv"
    if not file.exists():
        pytest.skip(f"{file} is not here")
    for seed in range(12):
        task = init_task(tmp_path / f"task{seed}", file, **LABELS, seed=seed)
        assert {example.references for example in task.train} == {(f"topic{i}",) for i in range(10)}


@pytest.mark.parametrize("name", ["trailing.csv", "case.csv", "floats.csv"])
def test_labels_are_read_as_they_are_written(name: str) -> None:
    """Which of them are one label is a question for the task, not for reading."""
    file = CASES / "03-label-blanks" / name
    if not file.exists():
        pytest.skip(f"{file} is not here")
    rows = list(read_rows(file))
    assert len(rows) == 60 and {row.values["label"] for row in rows} in (
        {"positive ", "positive", "negative"}, {"Positive", "positive", "negative"}, {"1.0", "2.0", "1"},
    )  # fmt: skip
