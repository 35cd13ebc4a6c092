"""Rows of csv, tsv, JSON or parquet. A row that cannot be read raises an error with file, row and line.

    read_rows(path) -> Rows, an iterable of Row; Rows.said: what was found that its reader could not expect

A table or lines of JSON are read line by line and no line may be longer than MAX_LINE, so a broken file cannot fill the
memory. A table is read twice, first to find how it is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.errors import DataError
from luthier.files import possible
from luthier.task.dialect import DELIMITERS, Table, found_table, records
from luthier.task.documents import MAX_DOCUMENT, json_rows
from luthier.task.external import parquet_rows
from luthier.task.opened import AS_FOUND, MAX_LINE, NO_QUOTE, Format, Text, is_parquet, opened_text, refuse_foreign

DOCUMENTS = (".jsonl", ".ndjson", ".json")
PACKED = (".gz", ".bz2", ".xz")
KINDS = ".csv, .tsv, .jsonl, .json, .ndjson and .parquet files, and .gz, .bz2 and .xz of them, are read"


@dataclass(frozen=True)
class Row:
    """One data row: `number` counts rows from 1 (no header, no blank lines), `line` is where it starts in the file."""

    number: int
    line: int
    values: dict[str, Any]


class Rows:
    """The rows of a file, read anew by each iteration."""

    def __init__(self, path: str | Path, written: Format = AS_FOUND) -> None:
        self.path, self.written = possible(path), written
        self.said: tuple[str, ...] = ()  # sentences without a full stop, once iteration has begun
        self.found = AS_FOUND  # what stands in `written`, or else was found and is not usual

    def __iter__(self) -> Iterator[Row]:
        kind = _kind(self.path)
        if kind == ".parquet" or (kind == "" and is_parquet(self.path)):
            yield from (Row(number, number, values) for number, values in enumerate(parquet_rows(self.path), 1))
        elif kind in DELIMITERS:
            text = self._opened()
            yield from self._table(text, found_table(text, DELIMITERS[kind], self.written), DELIMITERS[kind])
        elif kind in DOCUMENTS:
            text = self._opened()
            rows, said = json_rows(text, by_line=kind != ".json")
            self.said += said
            yield from (Row(*row) for row in rows)
        else:
            _refuse_kind(self.path)

    def _opened(self) -> Text:
        # A document may stand on one line, as json.dump writes it.
        longest = MAX_DOCUMENT if _kind(self.path) == ".json" else MAX_LINE
        text = opened_text(self.path, self.written.encoding, longest)
        self.said = text.said
        self.found = Format(encoding=None if text.encoding == "utf-8" else text.encoding)
        return text

    def _table(self, text: Text, table: Table, usual: str) -> Iterator[Row]:
        dialect, names = table.dialect, table.names
        self.said += table.said
        quote = NO_QUOTE if dialect.quote is None else dialect.quote
        self.found = self.found.model_copy(
            update={
                "delimiter": None if dialect.delimiter == usual else dialect.delimiter,
                "quote": None if quote == '"' and self.written.quote is None else quote,
            }
        )
        lines = text.lines()
        for start, cells, _ in records(lines, dialect):
            if lines.row and any(cell.strip() for cell in cells):
                values = {name: cell for name, cell in zip(names, cells, strict=False) if name is not None}
                yield Row(lines.row, start, values)
                lines.row += 1
            lines.row = max(1, lines.row)


def read_rows(path: str | Path, written: Format = AS_FOUND) -> Rows:
    """The data rows of a table, of JSON or of a parquet file, one at a time; `written` is what is known of it.

    Blank lines are not rows. A parquet file has no lines, so `line` is the number of the row.

    Raises DataError, while iterating, for a file that is missing, empty, damaged, of another kind or in an encoding
    that cannot be told; for a line over MAX_LINE; for a row that is ragged or badly quoted; for rows that a stray quote
    swallowed; for two columns of one name; for JSON that is no object. Raises FolderError at once for a name that no
    file can have.
    """
    return Rows(path, written)


def _kind(path: Path) -> str:
    """The ending that says what a file holds, in small letters; that of a packed file is the one before."""
    endings = [ending.lower() for ending in path.suffixes[-2:]]
    if endings and endings[-1] in PACKED:
        endings.pop()
    return endings[-1] if endings else ""


def _refuse_kind(path: Path) -> None:
    """Raises DataError: a workbook or an archive by what it is, any other file by its ending."""
    refuse_foreign(path)
    raise DataError(f"only {KINDS}; convert it to one of these", file=path)


def plain(value: Any) -> Any:
    """A cell as a JSON value, for the columns that are kept with an example."""
    return json.loads(json.dumps(value, default=str))
