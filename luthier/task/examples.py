"""Rows of a file -> Examples. A bad row raises an error with file, row and field.

    Row --read_examples / read_native--> Example, Notes

Carriage returns become line feeds and control characters spaces, since tokenizers and metrics treat them in surprising
ways. The file's Notes count the changes. Empty inputs and targets are kept, so that a check can list them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from luthier.errors import DataError
from luthier.files import sha256_of_text
from luthier.records import Example
from luthier.settings import Settings
from luthier.task.rows import Row, read_rows

NATIVE_KEYS = ("id", "input", "references", "meta", "unit")

# C0 and C1 controls except tab and line feed; carriage returns have become line feeds before this is asked.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CARRIAGE_RETURN = re.compile(r"\r\n?")


class Columns(Settings):
    """Which column of a user's file holds what."""

    input: str = Field(description="The column with the text that the model is given.")
    target: str = Field(description="The column with the reference answer; in jsonl it may hold a list of several.")
    id: str | None = Field(default=None, description="A column of unique names; else rows are train-1, train-2, ...")
    cluster: str | None = Field(default=None, description="Rows equal here stay together in splits and statistics.")
    split: str | None = Field(default=None, description="A column of the train file that says train, dev or test.")
    meta: list[str] = Field(default=[], description="Further columns to keep with each example; none unless named.")

    @model_validator(mode="after")
    def _two_columns(self) -> Columns:
        if self.input == self.target:
            raise ValueError(f"input and target are both the column '{self.input}'; name two different columns")
        return self


@dataclass(frozen=True)
class Notes:
    """The changes that reading made to the texts of one file."""

    file: str
    rows: int
    controls: dict[str, int] = field(default_factory=dict)  # code point, e.g. U+0092 -> characters made a space
    control_rows: tuple[int, ...] = ()  # the rows they were in
    line_endings: int = 0  # carriage returns, with or without a line feed, made one line feed
    blank_references: tuple[int, ...] = ()  # rows with a blank text among several references, left out

    def sentences(self) -> list[str]:
        """The changes, one sentence a kind; empty when there were none."""
        sentences = []
        if self.controls:
            kinds = ", ".join(f"{name} x {count}" for name, count in self.controls.items())
            where = _listing(self.control_rows)
            sentences.append(f"{sum(self.controls.values())} control characters ({kinds}) became spaces, in {where}")
        if self.line_endings:
            sentences.append(f"{self.line_endings} carriage returns inside texts became line feeds")
        if self.blank_references:
            sentences.append(f"blank references beside others were left out, in {_listing(self.blank_references)}")
        return [f"{self.file}: {sentence}" for sentence in sentences]


def _listing(rows: tuple[int, ...], most: int = 10) -> str:
    return f"rows {', '.join(map(str, rows[:most]))}" + (f" and {len(rows) - most} more" if len(rows) > most else "")


def read_examples(path: str | Path, columns: Columns, role: str) -> tuple[list[Example], Notes]:
    """The examples of a user's file with these `columns`, and the changes that reading made.

    Without an id column, ids are f"{role}-{row}". The split column's value is kept in `meta`. Raises DataError for what
    `read_rows` refuses, a column that is not there, a value of the wrong type, an empty or repeated id.
    """
    return _collect(Path(path), lambda cells, cleaning: _from_columns(cells, columns, role, cleaning))


def read_native(path: str | Path) -> tuple[list[Example], Notes]:
    """The examples of a file in our own format: {"id", "input", "references": [...], "meta": {}} a line.

    "meta" and "unit" may be left out. Raises DataError as `read_examples` does, and for an unknown key.
    """
    return _collect(Path(path), _from_native)


def unit_of(text: str) -> str:
    """The statistical unit of an input that no cluster column groups: equal but for case and spaces, equal unit."""
    return sha256_of_text(" ".join(text.lower().split()))[:16]


# --- rows -> examples ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cells:
    """One row's values by column, read by type; errors name the file, the row and the column."""

    path: Path
    row: Row

    def refused(self, column: str, problem: str) -> DataError:
        return DataError(problem, file=self.path, row=self.row.number, field=column)

    def value(self, column: str) -> Any:
        if column not in self.row.values:
            there = ", ".join(f"'{name}'" for name in self.row.values)
            raise self.refused(column, f"there is no such column; there are {there}; name one of these")
        return self.row.values[column]

    def text(self, column: str) -> str:
        """A text; null is an empty one."""
        value = self.value(column)
        if value is not None and not isinstance(value, str):
            raise self.refused(column, f"this is {_type(value)}; write it as a text in quotes")
        return value or ""

    def texts(self, column: str) -> list[str]:
        """A list of texts, or one text, or null."""
        value = self.value(column)
        if not isinstance(value, list):
            return [self.text(column)]
        for part in value:
            if not isinstance(part, str):
                raise self.refused(column, f"the list holds {_type(part)}; write every reference as a text in quotes")
        return value

    def key(self, column: str) -> str:
        """A name, as text; whole numbers are names too."""
        value = self.value(column)
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise self.refused(column, f"this is {_type(value)}; write a text or a whole number")
        if not str(value).strip():
            raise self.refused(column, "this is empty; every row needs a value here")
        return str(value)


class _Cleaning:
    """Cleans the texts of one file and counts what it changed."""

    def __init__(self) -> None:
        self.controls: Counter[str] = Counter()
        self.control_rows: dict[int, None] = {}  # a set that keeps its order
        self.line_endings = 0
        self.blank_references: list[int] = []

    def text(self, text: str, row: int) -> str:
        text, returns = _CARRIAGE_RETURN.subn("\n", text)
        self.line_endings += returns
        if controls := _CONTROL.findall(text):
            self.controls.update(f"U+{ord(character):04X}" for character in controls)
            self.control_rows[row] = None
        # A space, and not nothing or a guess at the lost encoding: two words stay two, and no character is invented.
        return _CONTROL.sub(" ", text)

    def references(self, texts: list[str], row: int) -> tuple[str, ...]:
        """The texts that are not blank; a blank one beside others is counted."""
        kept = tuple(text for text in (self.text(text, row) for text in texts) if text.strip())
        if kept and len(kept) < len(texts):
            self.blank_references.append(row)
        return kept

    def notes(self, file: str, rows: int) -> Notes:
        control_rows, blank = tuple(self.control_rows), tuple(self.blank_references)
        return Notes(file, rows, dict(self.controls), control_rows, self.line_endings, blank)


def _collect(path: Path, make: Callable[[Cells, _Cleaning], Example]) -> tuple[list[Example], Notes]:
    cleaning, examples, row_of = _Cleaning(), [], dict[str, int]()
    for row in read_rows(path):
        example = make(Cells(path, row), cleaning)
        if (earlier := row_of.setdefault(example.id, row.number)) != row.number:
            problem = f"the id '{example.id}' is already that of row {earlier}; make ids unique or name no id column"
            raise DataError(problem, file=path, row=row.number)
        examples.append(example)
    return examples, cleaning.notes(path.name, len(examples))


def _from_columns(cells: Cells, columns: Columns, role: str, cleaning: _Cleaning) -> Example:
    row = cells.row.number
    text = cleaning.text(cells.text(columns.input), row)
    kept = [*columns.meta, *([columns.split] if columns.split else [])]
    return Example(
        id=cells.key(columns.id) if columns.id else f"{role}-{row}",
        input=text,
        references=cleaning.references(cells.texts(columns.target), row),
        meta={column: cells.value(column) for column in kept},
        unit=cells.key(columns.cluster) if columns.cluster else unit_of(text),
        row=row,
    )


def _from_native(cells: Cells, cleaning: _Cleaning) -> Example:
    row, values = cells.row.number, cells.row.values
    if unknown := [name for name in values if name not in NATIVE_KEYS]:
        raise cells.refused(unknown[0], f"the keys are {', '.join(NATIVE_KEYS)}; put anything else under 'meta'")
    meta = values.get("meta", {})
    if not isinstance(meta, dict):
        raise cells.refused("meta", f"this is {_type(meta)}; write an object")
    text = cleaning.text(cells.text("input"), row)
    references = cleaning.references(cells.texts("references"), row)
    unit = cells.key("unit") if "unit" in values else unit_of(text)
    return Example(cells.key("id"), text, references, meta, unit, row)


def _type(value: Any) -> str:
    names = {type(None): "null", bool: "true or false", str: "a text", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")
