"""Rows of a file -> Examples. A bad row raises an error with file, row and field.

    Row --read_examples / read_native--> Example, Notes
    Row --read_asked--> Example without a reference, for answers that nobody has yet

The input is one column, several, or a chat; the reference is a column, or the chat's last reply. Texts are cleaned and
the file's Notes count the changes. Empty inputs and targets are kept, so that a check can list them.
"""

from __future__ import annotations

import difflib
import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from luthier.errors import DataError, SettingsError
from luthier.files import sha256_of_text
from luthier.records import Example, Turn
from luthier.settings import WHERE_GIVEN, Settings
from luthier.task.chats import asked, asked_and_replied, ends_in_question, messages_in, turns_of
from luthier.task.external import NoText
from luthier.task.opened import AS_FOUND, Format
from luthier.task.parts import INPUT, joined, placeholders, transcript
from luthier.task.rows import Row, plain, read_rows
from luthier.task.texts import Cleaning, Notes

ASKED = "input"  # the id of an example that `ask` makes
NATIVE_KEYS = ("id", "input", "references", "meta", "unit")


class Columns(Settings):
    """Which column of a user's file holds what."""

    input: str | list[str] = Field(description="The column with the text that the model is given.")
    target: str | None = Field(
        default=None,
        description="The column with the reference answer; in jsonl it may hold a list of several.",
    )
    id: str | None = Field(default=None, description="A column of unique names; else rows are train-1, train-2, ...")
    cluster: str | None = Field(default=None, description="Rows equal here stay together in splits and statistics.")
    split: str | None = Field(default=None, description="A column of the train file that says train, dev or test.")
    meta: list[str] = Field(default=[], description="Further columns to keep with each example; none unless named.")
    chat: Literal["turns", "text"] | None = Field(
        default=None,
        description="A chat beside a target column: turns with their roles, or one text with the roles in it.",
        json_schema_extra=WHERE_GIVEN,
    )

    @model_validator(mode="after")
    def _distinct(self) -> Columns:
        if not self.inputs:
            raise ValueError("no input column is named; name at least one")
        if twice := next((name for name in self.inputs if self.inputs.count(name) > 1), None):
            raise ValueError(f"the input column '{twice}' is named twice; name each column once")
        if self.target in self.inputs:
            raise ValueError(f"input and target are both the column '{self.target}'; name two different columns")
        return self

    @property
    def inputs(self) -> list[str]:
        """The columns of the input, in the order in which they were named."""
        return [self.input] if isinstance(self.input, str) else self.input

    @property
    def answers(self) -> str:
        """The column that the reference comes from."""
        return self.target or self.inputs[0]


def read_examples(
    path: str | Path, columns: Columns, role: str, written: Format = AS_FOUND, *, labelled: bool = False
) -> tuple[list[Example], Notes]:
    """The examples of a user's file with these `columns`, and what reading found and changed.

    Without an id column, ids are f"{role}-{row}". The split column's value is kept in `meta`. labelled: references are
    labels, which may be numbers, true or false. Raises DataError for what `read_rows` refuses, a column that is not
    there, a value of the wrong type, an empty or repeated id.
    """
    return _collect(
        Path(path), lambda cells, cleaning: _from_columns(cells, columns, role, cleaning, labelled), written
    )


def read_native(path: str | Path) -> tuple[list[Example], Notes]:
    """The examples of a file in our own format: {"id", "input", "references": [...], "meta": {}} a line.

    "meta" and "unit" may be left out. Raises DataError as `read_examples` does, and for an unknown key.
    """
    return _collect(Path(path), _from_native)


def asked_example(text: str, template: str) -> Example:
    """The example without a reference that asks `text` under a template, cleaned as the texts of a task are.

    A text that is a list of messages with roles is a chat; where the template names columns, the text is a JSON object
    of them. Raises DataError for any other text there.
    """

    def refused(problem: str) -> DataError:
        return DataError(problem, file="the input")

    cleaning, names = Cleaning(), columns_of(template)
    if names:
        fields = {name: cleaning.text(words, 0) for name, words in _fields(text, names, refused).items()}
        return Example(ASKED, joined(fields), (), fields=fields)
    return _asked_text(ASKED, text, 0, cleaning, refused)


def columns_of(template: str) -> list[str]:
    """The columns that a template names; none where it takes the input as one text."""
    names = list(dict.fromkeys(placeholders(template)))
    return [] if names == [INPUT] else names


def read_asked(
    path: str | Path, input: str | None, template: str, id: str | None = None, written: Format = AS_FOUND
) -> tuple[list[Row], list[Example], Notes]:
    """The rows of a file, and for each the example without a reference that asks it under a template.

    input: the column with the text, or with a chat; None where the template names its columns. Without an id column,
    ids are f"row-{row}".

    Raises what `read_rows` raises, SettingsError where the column and the template do not go together, and DataError
    for a column that is not there, a value that is no text, an empty input, and an id that stands there twice.
    """
    names = columns_of(template)
    if names and input is not None:
        raise SettingsError(f"the arm reads the columns {', '.join(names)}; leave --input out")
    if not names and input is None:
        raise SettingsError("the arm reads one text; name its column with --input")
    rows: list[Row] = []

    def make(cells: Cells, cleaning: Cleaning) -> Example:
        rows.append(cells.row)
        key = cells.key(id) if id else f"row-{cells.row.number}"
        example = _asked_row(cells, key, input, names, cleaning)
        if not example.input.strip():
            raise cells.refused(input or names[0], "the input is empty; write one, or leave the row out")
        return replace(example, row=cells.row.number)

    return rows, *_collect(Path(path), make, written)


def _asked_row(cells: Cells, id: str, input: str | None, names: list[str], cleaning: Cleaning) -> Example:
    """The example that asks one row: its columns `names`, or its one input."""
    if input is None:
        fields = {name: cleaning.text(cells.text(name), cells.row.number) for name in names}
        return Example(id, joined(fields), (), fields=fields)
    value = cells.value(input)
    refused = partial(cells.refused, input)
    return _asked_text(id, value if messages_in(value) else cells.text(input), cells.row.number, cleaning, refused)


def _asked_text(id: str, value: Any, row: int, cleaning: Cleaning, refused: Callable[[str], DataError]) -> Example:
    """One input: a text, or the messages of a chat up to its last question."""
    if messages := messages_in(value):
        turns = asked(turns_of(messages, row, cleaning, refused), refused)
        return Example(id, transcript(turns), (), turns=turns if len(turns) > 1 else ())
    return Example(id, cleaning.text(value, row), ())


def _fields(text: str, names: list[str], refused: Callable[[str], DataError]) -> dict[str, str]:
    """The texts of the columns that a template names, from a JSON object."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or set(values) != set(names):
        shown = ", ".join(f'"{name}": "..."' for name in names)
        raise refused(f"the arm reads several columns; give them as JSON: {{{shown}}}")
    if wrong := next((name for name in names if name_of(values[name]) is None), None):
        raise refused(f"'{wrong}' is {_type(values[wrong])}; write it as a text in quotes")
    return {name: str(name_of(values[name])) for name in names}


def unit_of(text: str) -> str:
    """The statistical unit of an input that no cluster column groups: equal but for case and spaces, equal unit."""
    return sha256_of_text(" ".join(unicodedata.normalize("NFC", text).lower().split()))[:16]


# --- rows -> examples ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cells:
    """One row's values by column, read by type; errors name the file, the row and the column."""

    path: Path
    row: Row

    def refused(self, column: str, problem: str) -> DataError:
        return DataError(problem, file=self.path, row=self.row.number, field=column)

    def value(self, column: str) -> Any:
        """The cell; `a.b` is the key b of the object in column a, where no column has that whole name."""
        if column in self.row.values:
            return self.row.values[column]
        first, _, rest = column.partition(".")
        value = self.row.values.get(first)
        if rest and isinstance(value, dict) and rest in value:
            return value[rest]
        there = ", ".join(f"'{name}'" for name in self.row.values)
        near = difflib.get_close_matches(column.casefold(), [str(name).casefold() for name in self.row.values], n=1)
        meant = next((f" (did you mean '{name}'?)" for name in self.row.values if str(name).casefold() in near), "")
        if len(self.row.values) == 1:
            meant += "; if these are several, say what stands between them with --delimiter"
        raise self.refused(column, f"there is no such column; there are {there}; name one of these{meant}")

    def text(self, column: str) -> str:
        """A text; null is an empty one."""
        value = self.value(column)
        if value is not None and not isinstance(value, str):
            raise self.refused(column, f"this is {_type(value)}; write it as a text in quotes")
        return value or ""

    def texts(self, column: str, labelled: bool = False) -> list[str]:
        """A list of texts, or one text, or null; with `labelled` numbers, true and false are texts too."""
        value = self.value(column)
        parts = value if isinstance(value, list) else [value]
        if labelled:
            parts = [part if (name := name_of(part)) is None else name for part in parts]
        if not isinstance(value, list):
            return [parts[0]] if isinstance(parts[0], str) else [self.text(column)]
        for part in parts:
            if not isinstance(part, str):
                raise self.refused(column, f"the list holds {_type(part)}; write every reference as a text in quotes")
        return parts

    def key(self, column: str) -> str:
        """A name, as text; whole numbers are names too."""
        value = self.value(column)
        name = None if isinstance(value, bool) else name_of(value)
        if name is None or (isinstance(value, float) and not value.is_integer()):
            raise self.refused(column, f"this is {_type(value)}; write a text or a whole number")
        if not name.strip():
            raise self.refused(column, "this is empty; every row needs a value here")
        return name

    def kept(self, column: str) -> Any:
        """The cell as a JSON value, texts composed."""
        value = self.value(column)
        if isinstance(value, NoText):
            raise self.refused(column, f"this is {_type(value)}; leave the column out")
        return unicodedata.normalize("NFC", value) if isinstance(value, str) else plain(value)


def name_of(value: Any) -> str | None:
    """The text of a name or a label: a text itself, true and false, and a number, where 1.0 is 1; else None."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | Decimal) and value == value and value % 1 == 0:
        return str(int(value))
    return str(value) if isinstance(value, int | float | Decimal) else None


def _collect(
    path: Path, make: Callable[[Cells, Cleaning], Example], written: Format = AS_FOUND
) -> tuple[list[Example], Notes]:
    cleaning, examples, row_of = Cleaning(), [], dict[str, int]()
    rows = read_rows(path, written)
    for row in rows:
        example = make(Cells(path, row), cleaning)
        if (earlier := row_of.setdefault(example.id, row.number)) != row.number:
            problem = f"the id '{example.id}' is already that of row {earlier}; make ids unique or name no id column"
            raise DataError(problem, file=path, row=row.number)
        examples.append(example)
    return examples, cleaning.notes(path.name, len(examples), rows.said, rows.found)


def _from_columns(cells: Cells, columns: Columns, role: str, cleaning: Cleaning, labelled: bool) -> Example:
    row = cells.row.number
    turns, replied = _chat(cells, columns, cleaning)
    fields = {} if turns else {name: cleaning.text(cells.text(name), row) for name in columns.inputs}
    text = transcript(turns) if turns else joined(fields) if len(fields) > 1 else next(iter(fields.values()))
    turns = () if columns.chat == "text" else turns
    answers = [replied] if columns.target is None else _answers(cells, columns.target, cleaning, labelled)
    if labelled and len(answers) > 1:
        raise cells.refused(columns.answers, f"the row has {len(answers)} labels; write one")
    kept = [*columns.meta, *([columns.split] if columns.split else [])]
    return Example(
        id=cells.key(columns.id) if columns.id else f"{role}-{row}",
        input=text,
        references=cleaning.references(answers, row),
        meta={column: cells.kept(column) for column in kept},
        unit=unicodedata.normalize("NFC", cells.key(columns.cluster)) if columns.cluster else unit_of(text),
        row=row,
        turns=turns if len(turns) > 1 else (),
        fields=fields if len(fields) > 1 else {},
    )


def _chat(cells: Cells, columns: Columns, cleaning: Cleaning) -> tuple[tuple[Turn, ...], str]:
    """The turns up to the last question, and, where no column holds the reference, the last reply; none: no chat."""
    column = columns.inputs[0]

    def refused(problem: str) -> DataError:
        return cells.refused(column, problem)

    messages = messages_in(cells.value(column)) if len(columns.inputs) == 1 else []
    if columns.target is not None and not messages:
        return (), ""
    if len(columns.inputs) > 1:
        raise refused("several input columns need a target column; name it, or name one column that holds a chat")
    if not cells.value(column):
        raise refused("the chat is empty; write its messages, or leave the row out")
    if not messages:
        problem = "no target or labels column is named, and this is no chat, whose last reply would be the reference"
        raise refused(f"{problem}; name the column of references")
    turns = turns_of(messages, cells.row.number, cleaning, refused)
    if columns.target is None:
        return asked_and_replied(turns, cleaning, refused)
    return tuple(turns) if columns.chat == "text" else asked(turns, refused), ""


def chats_as(path: Path, columns: Columns, written: Format) -> Literal["turns", "text"] | None:
    """How a task whose target is a column reads the chats of its input: as turns where each ends in a question, else
    as texts, such as those that a summary is written of. None: the input holds no chats."""
    if columns.target is None or len(columns.inputs) > 1:
        return None
    column, chats = columns.inputs[0], 0
    for row in read_rows(path, written):
        messages = messages_in(Cells(path, row).value(column))
        if not messages:
            return None
        chats += 1
        if not ends_in_question(messages):
            return "text"
    return "turns" if chats else None


def _answers(cells: Cells, column: str, cleaning: Cleaning, labelled: bool) -> list[str]:
    """The texts of the target column; of messages, the last one's words."""
    value = cells.value(column)
    if messages := messages_in(value):
        turns = turns_of(messages, cells.row.number, cleaning, lambda problem: cells.refused(column, problem))
        return [turns[-1][1]]
    return cells.texts(column, labelled)


def _from_native(cells: Cells, cleaning: Cleaning) -> Example:
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
    if isinstance(value, NoText):
        return value.kind
    names = {
        type(None): "null", bool: "true or false", str: "a text", list: "a list", dict: "an object",
        Decimal: "a decimal number",
    }  # fmt: skip
    return names.get(type(value), "a number")
