"""JSON of every shape that rows are kept in: objects line by line, an array, a table of columns.

    lines of objects          {"a": 1}\\n{"a": 2}              read line by line
    an array, or objects      [{"a": 1}, {"a": 2}]            the whole file in memory
    rows under one key        {"data": [{"a": 1}, ...]}
    columns of a table        {"a": [1, 2]}, {"a": {"0": 1, "1": 2}}, {"columns": ["a"], "data": [[1], [2]]}

NaN and numbers beyond a float become null, as pandas writes what is missing; JSON has neither.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from luthier.errors import DataError
from luthier.task.opened import Lines, Text

MAX_DOCUMENT = 2**30  # characters of a file that is one document; more is split into lines first
_BLANKS = re.compile(r"[\s,]*")

Found = Iterator[tuple[int, int, dict[str, Any]]]


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError(
            f"the key '{next(name for name, count in Counter(names).items() if count > 1)}' is there twice"
        )
    return dict(pairs)


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=lambda _: None, parse_float=_finite)


def json_rows(text: Text, by_line: bool) -> tuple[Found, tuple[str, ...]]:
    """(row, line, object) of each row, and what to say of the file's shape.

    by_line: the file's ending promises an object on each line, so that a file of one line is one row.
    Raises DataError, also while iterating.
    """
    first, *more = [*itertools.islice((line for line in text.lines() if line.strip()), 2), ""]
    if not first:
        raise DataError("the file is empty; it needs at least one row", file=text.path)
    if first.lstrip()[0] not in "[{" or (_is_object(first) and (by_line or more[0])):
        return _by_line(text.lines()), ()
    return _document(text)


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _by_line(lines: Lines) -> Found:
    lines.row = 1
    for line in lines:
        if line.strip():
            yield lines.row, lines.line, _checked(_value(line, lines), lines)
            lines.row += 1


def _value(text: str, lines: Lines) -> Any:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", error)
        raise lines.refused(f"this is not JSON ({reason}); write one JSON object on each line") from None


def _checked(value: Any, lines: Lines) -> dict[str, Any]:
    """The value, if it is an object that can be written again in every study: half a surrogate pair cannot."""
    if not isinstance(value, dict):
        raise lines.refused("this is not a JSON object; write one JSON object on each line")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise lines.refused(f"this is not JSON ({error}); write one JSON object on each line") from None
    return value


# --- the whole file as one document -------------------------------------------------------------------------------


def _document(text: Text) -> tuple[Found, tuple[str, ...]]:
    lines = text.lines()
    whole = _whole(lines)
    lines.line, lines.row = 1, 1
    if whole.lstrip()[0] == "[":
        return _objects(whole, lines), ("the file is a JSON array, and each of its objects is a row",)
    values = list(_values(whole, lines))
    if len(values) > 1:
        each = ((row, line, _checked(value, lines)) for row, (line, value) in enumerate(values, 1))
        return each, ("the file holds JSON objects one after another, and each is a row",)
    rows, said = _rows_of(values[0][1], lines)
    return ((row, 1, _checked(value, lines)) for row, value in enumerate(rows, 1)), (said,) if said else ()


def _whole(lines: Lines) -> str:
    parts, length = [], 0
    for line in lines:
        parts.append(line)
        length += len(line)
        if length > MAX_DOCUMENT:
            problem = f"one JSON document of more than {MAX_DOCUMENT >> 20} MiB is not read"
            raise lines.refused(f"{problem}; write one object on each line (.jsonl)")
    return "".join(parts)


def _objects(whole: str, lines: Lines) -> Found:
    """The objects of an array, each with the line it begins on."""
    start = whole.index("[") + 1
    for row, (line, value) in enumerate(_values(whole, lines, start, "]"), 1):
        yield row, line, _checked(value, lines)


def _values(whole: str, lines: Lines, start: int = 0, end: str = "") -> Iterator[tuple[int, Any]]:
    """(line, value) of each value from `start` on, commas or blanks between them, up to the sign `end`."""
    lines.line, lines.row = 1 + whole.count("\n", 0, start), 1
    while True:
        after = _BLANKS.match(whole, start).end()  # type: ignore[union-attr]
        lines.line += whole.count("\n", start, after)
        if after == len(whole) or whole[after] == end:
            if after == len(whole) and end:
                raise lines.refused("the array is not closed; is the file cut off?")
            if lines.row == 1:
                raise DataError("the file is empty; it needs at least one row", file=lines.path)
            return
        try:
            value, start = _DECODER.raw_decode(whole, after)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", error)
            raise lines.refused(f"this is not JSON ({reason}); write one JSON object on each line") from None
        yield lines.line, value
        lines.line += whole.count("\n", after, start)
        lines.row += 1


def _rows_of(value: Any, lines: Lines) -> tuple[list[Any], str]:
    """The rows of the only value of a file, and what to say of its shape."""
    if isinstance(value, dict):
        if (rows := _rows_of_columns(value)) is not None:
            return rows, "the file is a table of columns, and each position of them is a row"
        if (found := _rows_under_a_key(value)) is not None:
            return found[1], f"the rows are the objects under the key '{found[0]}'"
    return [value], ""


def _rows_under_a_key(value: dict[str, Any]) -> tuple[str, list[Any]] | None:
    """The one key that holds a list of objects beside values that are no lists; {"messages": [...]} is a row."""
    lists = [key for key, part in value.items() if isinstance(part, list) and part and isinstance(part[0], dict)]
    if len(lists) != 1 or {"role", "from"} & set(value[lists[0]][0]):
        return None
    return lists[0], value[lists[0]]


def _rows_of_columns(value: dict[str, Any]) -> list[Any] | None:
    """The rows of a table by columns, as pandas (to_json) and datasets (to_dict) write one; else None."""
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        return [dict(zip(value["columns"], row, strict=False)) for row in value["data"]]
    parts = list(value.values())
    if len(parts) > 1 and all(isinstance(part, list) for part in parts) and len({len(part) for part in parts}) == 1:
        return [dict(zip(value, row, strict=True)) for row in zip(*parts, strict=True)] if len(parts[0]) > 1 else None
    if not parts or not all(isinstance(part, dict) for part in parts):
        return None
    if all(key.isdigit() for key in value):
        return parts
    if parts[0] and all(list(part) == list(parts[0]) and all(key.isdigit() for key in part) for part in parts):
        return [{name: part[key] for name, part in value.items()} for key in parts[0]]
    return None
