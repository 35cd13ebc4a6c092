"""Rows of csv, tsv, jsonl or parquet. A row that cannot be read raises an error with file, row and line.

    bytes --_Lines--> lines --read_rows--> Row

A file is read line by line and no line may be longer than MAX_LINE_BYTES, so a broken file cannot fill the memory.
"""

from __future__ import annotations

import contextlib
import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from luthier.errors import DataError
from luthier.task.external import parquet_rows

MAX_LINE_BYTES = 16 * 2**20
DELIMITERS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True)
class Row:
    """One data row: `number` counts rows from 1 (no header, no blank lines), `line` is where it starts in the file."""

    number: int
    line: int
    values: dict[str, Any]


def read_rows(path: str | Path) -> Iterator[Row]:
    """The data rows of a .csv, .tsv or .jsonl file in UTF-8, or of a .parquet file, one at a time.

    Blank lines are not rows. A parquet file has no lines, so `line` is the number of the row.

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


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The file, open; errors of the operating system (missing, a folder, no permission) become DataErrors."""
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}); name a file that is there", file=path) from None


class _Lines:
    """The lines of a file as text, with the current line and row for error messages."""

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
    if repeated := _repeated(header):
        raise DataError("the header has this column more than once; rename one", file=lines.path, field=repeated[0])
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
    # The limit belongs to the whole process, so this never lowers what other code has set.
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
        value = json.loads(text, object_pairs_hook=_unique_keys)
        # What is read here is written again in every study: NaN and half a surrogate pair can be read, not written.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", error)
        raise lines.refused(f"this is not JSON ({reason}); write one JSON object on each line") from None
    if not isinstance(value, dict):
        raise lines.refused("this is not a JSON object; write one JSON object on each line")
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if repeated := _repeated([name for name, _ in pairs]):
        raise ValueError(f"the key '{repeated[0]}' is there twice")
    return dict(pairs)


def _repeated(names: list[str]) -> list[str]:
    return [] if len(set(names)) == len(names) else [name for name, count in Counter(names).items() if count > 1]
