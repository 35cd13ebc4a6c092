"""Rows of csv, tsv, jsonl or parquet -> Examples. What cannot be read is refused by file, row and field.

Nothing is guessed. A line of text or a row of parquet becomes a Row, a Row an Example:

    bytes --_Lines--> lines --read_rows--> Row --read_examples / read_native--> Example, Notes

A file is read line by line and no line may be longer than MAX_LINE_BYTES, so a broken file cannot fill the memory.
Texts are cleaned of carriage returns and control characters, which tokenizers and metrics treat in surprising ways;
what was changed is counted in the file's Notes. Empty inputs and targets are kept, for a check to name them all.
"""

from __future__ import annotations

import contextlib
import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pydantic import Field, model_validator

from luthier.errors import DataError
from luthier.files import sha256_of_text
from luthier.records import Example
from luthier.settings import Settings
from luthier.tables import parquet_rows

MAX_LINE_BYTES = 16 * 2**20
DELIMITERS = {".csv": ",", ".tsv": "\t"}
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
class Row:
    """One data row: `number` counts rows from 1 (no header, no blank lines), `line` is where it starts in the file."""

    number: int
    line: int
    values: dict[str, Any]


@dataclass(frozen=True)
class Notes:
    """What reading changed in the texts of one file."""

    file: str
    rows: int
    controls: dict[str, int] = field(default_factory=dict)  # code point, e.g. U+0092 -> characters made a space
    control_rows: tuple[int, ...] = ()  # the rows they were in
    line_endings: int = 0  # carriage returns, with or without a line feed, made one line feed
    blank_references: tuple[int, ...] = ()  # rows with a blank text among several references, left out

    def sentences(self) -> list[str]:
        """What was changed, one sentence a kind; empty when nothing was."""
        said = []
        if self.controls:
            kinds = ", ".join(f"{name} x {count}" for name, count in self.controls.items())
            where = _listing(self.control_rows)
            said.append(f"{sum(self.controls.values())} control characters ({kinds}) became spaces, in {where}")
        if self.line_endings:
            said.append(f"{self.line_endings} carriage returns inside texts became line feeds")
        if self.blank_references:
            said.append(f"blank references beside others were left out, in {_listing(self.blank_references)}")
        return [f"{self.file}: {sentence}" for sentence in said]


def _listing(rows: tuple[int, ...], most: int = 10) -> str:
    return f"rows {', '.join(map(str, rows[:most]))}" + (f" and {len(rows) - most} more" if len(rows) > most else "")


def read_rows(path: str | Path) -> Iterator[Row]:
    """The data rows of a .csv, .tsv or .jsonl file in UTF-8, or of a .parquet file, one at a time.

    Blank lines are no rows; a parquet file has no lines, so its rows stand for them.

    Raises DataError, while iterating, for a file that is missing, empty, of another kind or not UTF-8; for a line over
    MAX_LINE_BYTES; for a csv row that is ragged or badly quoted; for a jsonl line that is not one JSON object.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind == ".parquet":
        yield from (Row(number, number, values) for number, values in enumerate(parquet_rows(path), 1))
        return
    if kind not in DELIMITERS and kind != ".jsonl":
        raise DataError("only .csv, .tsv, .jsonl and .parquet files are read; convert it to one of these", file=path)
    with _opened(path) as file:
        lines = _Lines(path, file)
        yield from _table_rows(lines, DELIMITERS[kind]) if kind in DELIMITERS else _json_rows(lines)


def read_examples(path: str | Path, columns: Columns, role: str) -> tuple[list[Example], Notes]:
    """The examples of a user's file, whose columns are named by `columns`, and what was changed in reading them.

    Without an id column, ids are f"{role}-{row}". The split column's value is kept in `meta`. Raises DataError for what
    `read_rows` refuses, a column that is not there, a value of the wrong type, an empty or repeated id.
    """
    return _collect(Path(path), lambda cells, cleaning: _from_columns(cells, columns, role, cleaning))


def read_native(path: str | Path) -> tuple[list[Example], Notes]:
    """The examples of a file in our own format: {"id", "input", "references": [...], "meta": {}} a line.

    "meta" and "unit" may be left out. Raises DataError as `read_examples` does, and for a key that is none of ours.
    """
    return _collect(Path(path), _from_native)


def unit_of(text: str) -> str:
    """The statistical unit of an input that no cluster column groups: equal but for case and spaces, equal unit."""
    return sha256_of_text(" ".join(text.lower().split()))[:16]


# --- bytes -> lines -> rows ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The file, open; the operating system's refusals (missing, a folder, no permission) become DataErrors."""
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}); name a file that is there", file=path) from None


class _Lines:
    """The lines of a file as text, and where reading stands, so that every refusal can say where."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path, self.file = path, file
        self.line = 0  # the line last read
        self.row = 0  # the data row being read; 0 is a table's header

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        data = self.file.readline(MAX_LINE_BYTES + 1)
        if not data:
            raise StopIteration
        self.line += 1
        if len(data) > MAX_LINE_BYTES:
            raise self.refused(f"the line is longer than {MAX_LINE_BYTES >> 20} MiB; is this a file of rows?")
        try:
            return data.decode("utf-8-sig" if self.line == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise self.refused(f"byte {error.start + 1} of the line is not UTF-8; save the file as UTF-8") from None

    def refused(self, problem: str, line: int | None = None) -> DataError:
        return DataError(problem, file=self.path, row=self.row or None, line=line or self.line)


def _table_rows(lines: _Lines, delimiter: str) -> Iterator[Row]:
    records = _records(lines, delimiter)
    _, header = next(records, (0, []))
    if not header:
        raise DataError("the file is empty; it needs a header and at least one row", file=lines.path)
    if twins := _twins(header):
        raise DataError("the header has this column more than once; rename one", file=lines.path, field=twins[0])
    lines.row = 1
    for start, cells in records:
        if len(cells) != len(header):
            problem = f"the row has {len(cells)} cells and the header {len(header)}; check its quotes and separators"
            raise lines.refused(problem, start)
        yield Row(lines.row, start, dict(zip(header, cells, strict=True)))
        lines.row += 1
    if lines.row == 1:
        raise DataError("the file has a header and no rows; add at least one row", file=lines.path)


def _records(lines: _Lines, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each record that is not blank, and the line it starts at; a quoted cell may hold line feeds."""
    # The limit belongs to the whole process, so it is only ever raised: never below what other code has asked for.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))
    start = 1
    try:
        for cells in csv.reader(lines, delimiter=delimiter, strict=True):
            if cells:
                yield start, cells
            start = lines.line + 1
    except csv.Error as error:
        problem = f"this is not well-formed ({error}); look for a quote that is not closed or not doubled"
        raise lines.refused(problem, start) from None


def _json_rows(lines: _Lines) -> Iterator[Row]:
    lines.row = 1
    for text in lines:
        if text.strip():
            yield Row(lines.row, lines.line, _json_object(text, lines))
            lines.row += 1
    if lines.row == 1:
        raise DataError("the file is empty; it needs at least one row", file=lines.path)


def _json_object(text: str, lines: _Lines) -> dict[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=_without_twins)
        # What is read here is written again in every study: NaN and half a surrogate pair can be read, not written.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", error)
        raise lines.refused(f"this is not JSON ({reason}); write one JSON object on each line") from None
    if not isinstance(value, dict):
        raise lines.refused("this is not a JSON object; write one JSON object on each line")
    return value


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if twins := _twins([name for name, _ in pairs]):
        raise ValueError(f"the key '{twins[0]}' is there twice")
    return dict(pairs)


def _twins(names: list[str]) -> list[str]:
    return [] if len(set(names)) == len(names) else [name for name, count in Counter(names).items() if count > 1]


# --- rows -> examples ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cells:
    """One row's values by column, each asked for by type; every refusal names the file, the row and the column."""

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
        if found := _CONTROL.findall(text):
            self.controls.update(f"U+{ord(character):04X}" for character in found)
            self.control_rows[row] = None
        # A space, and not nothing or a guess at the lost encoding: two words stay two, and no character is invented.
        return _CONTROL.sub(" ", text)

    def references(self, texts: list[str], row: int) -> tuple[str, ...]:
        """The texts that say something; a blank one beside others is counted, alone it is an example without target."""
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
