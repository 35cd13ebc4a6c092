"""Every way in which a JSON file of a study's folder is damaged, field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

Place = tuple[str | int, ...]  # the keys and numbers from the file's table down to a value

LEGAL = ("missing", "null", "unknown key")  # what may still be a value: an optional field, one more arm of a table


class Damage(NamedTuple):
    """One damaged file: what was done to it, where, and its bytes."""

    how: str
    place: Place
    content: bytes

    def __str__(self) -> str:
        return f"{self.how} at {'.'.join(map(str, self.place)) or 'the top'}"


def damages(whole: dict[str, Any]) -> Iterator[Damage]:
    """Each field of each table in `whole` damaged in each way that its kind allows, then the file as text."""
    for place, value in fields_of(whole):
        yield Damage("missing", place, changed(whole, place, MISSING))
        for how, other in wrong_values(value):
            yield Damage(how, place, changed(whole, place, other))
    for place, table in tables_of(whole):
        value = next(iter(table.values()), 1)
        yield Damage("unknown key", (*place, "surprise"), changed(whole, (*place, "surprise"), value))
    for version in (0, 2, "1", None, 1.5):
        yield Damage("another format", ("format",), changed(whole, ("format",), version))
    text = json.dumps(whole, indent=2, ensure_ascii=False).encode()
    yield Damage("newer, with other keys", ("format",), encoded({"format": 99, "all": ["is", "new"]}))
    yield from (Damage("truncated", (), text[: len(text) * part // 7]) for part in range(7))
    yield Damage("not UTF-8", (), text[:-1] + b', "\xff\xfe": 1}')
    yield Damage("no table", (), b"[1, 2]\n")
    yield Damage("nested without end", (), b'{"a": ' + b"[" * 100_000)


class _Missing:
    pass


MISSING = _Missing()


def wrong_values(value: Any) -> Iterator[tuple[str, Any]]:
    """What stands in the place of a value after the damage."""
    if value is not None:
        yield "null", None
    if isinstance(value, bool):
        yield from (("text for yes or no", "yes"), ("number for yes or no", 1))
    elif isinstance(value, int | float):
        yield from (("text for a number", str(value)), ("yes for a number", True), ("NaN", float("nan")))
        yield from (("infinity", float("inf")), ("list for a number", [value]))
    elif isinstance(value, str):
        yield from (("number for text", 7), ("list for text", [value]), ("table for text", {"text": value}))
    elif isinstance(value, dict):
        yield from (("list for a table", list(value.values())), ("text for a table", "text"), ("NaN", float("nan")))
    elif isinstance(value, list):
        yield from (("table for a list", {str(n): one for n, one in enumerate(value)}), ("text for a list", "text"))


def fields_of(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Each value inside, with its place; of a list's elements one of each shape, and of a table's all."""
    if isinstance(value, dict):
        inner: list[tuple[str | int, Any]] = list(value.items())
    elif isinstance(value, list):
        inner = list({shape_of(one): (number, one) for number, one in enumerate(value)}.values())
    else:
        return
    for key, one in inner:
        yield (*place, key), one
        yield from fields_of(one, (*place, key))


def tables_of(whole: dict[str, Any]) -> Iterator[tuple[Place, dict[str, Any]]]:
    yield (), whole
    yield from ((place, value) for place, value in fields_of(whole) if isinstance(value, dict))


def shape_of(value: Any) -> str:
    """Equal for values that hold the same keys and kinds of values."""
    if isinstance(value, dict):
        return str({key: shape_of(one) for key, one in value.items()})
    return str([shape_of(one) for one in value]) if isinstance(value, list) else type(value).__name__


def changed(whole: dict[str, Any], place: Place, value: Any) -> bytes:
    """The file with another value at a place, or with none."""
    copy = json.loads(json.dumps(whole))
    inner = copy
    for key in place[:-1]:
        inner = inner[key]
    if isinstance(value, _Missing):
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return encoded(copy)


def encoded(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
