"""The base of every file of a study's folder: a frozen type that alone writes and reads its file.

    class Cost(Record): ...      Cost.read(folder) -> Cost      cost.write(folder)
    read_lines_of(Answer, path)  -> list[Answer]      append_lines_of(path, answers)     write_lines_of(path, answers)

A damaged or foreign file raises FolderError, one sentence with file and field. `format` goes up when old code could
misread a file; this code refuses a newer format.

A record writes its fields in the order of declaration, and only those that were given. What was read is written again
byte for byte.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
import re
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, ClassVar, ParamSpec, Self, TypeVar, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from luthier.errors import FolderError
from luthier.files import append_lines, refuse_link, sha256_of_text, write_json, write_lines
from luthier.records import as_row

Number = int | float  # an int stays an int, so that what was read is written again as it was
FirstFormat = Annotated[int, Field(ge=1, le=1)]  # of a type whose FORMAT is 1; a Literal would take true for it
Day = Annotated[str, AfterValidator(lambda text: _day(text))]  # 2026-07-30
Kind = TypeVar("Kind")
Arguments = ParamSpec("Arguments")


def _day(text: str) -> str:
    try:
        if date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise PydanticCustomError("day", "it should be a date such as 2026-07-30")


def _without_nan(table: dict[str, Any]) -> dict[str, Any]:
    if (path := _nan_in(table)) is not None:
        raise PydanticCustomError("nan_in_table", "it should hold a finite number at '{place}'", {"place": path})
    return table


def _nan_in(value: Any, path: str = "") -> str | None:
    """The path of keys to the first NaN or infinite number in a value; None where there is none."""
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        paths = (_nan_in(one, f"{path}.{key}".lstrip(".")) for key, one in inner)
        return next((path for path in paths if path is not None), None)
    return path if isinstance(value, float) and not math.isfinite(value) else None


# Plain values whose keys belong to another room or the user, such as a method's settings; their owner checks them.
SettingsTable = Annotated[dict[str, Any], AfterValidator(_without_nan)]
_NUMBERS = ("int_type", "float_type", "int_from_float", "finite_number")
_BRANCH = re.compile(r"(int|float|str|bool|none)$|\w+\[")


class Part(BaseModel):
    """Base of a part of a record. Unknown keys fail, a text is no number, NaN is refused, and the value is frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values: the fields that were given, in the order of declaration."""
        return self.model_dump(mode="json", exclude_unset=True, by_alias=True)


def plain(make: Callable[Arguments, Part], name: str) -> Callable[Arguments, dict[str, Any]]:
    """`make` as a public function `name` that takes the same arguments and returns plain JSON values (`as_json`)."""

    @functools.wraps(make)
    def values(*args: Arguments.args, **keywords: Arguments.kwargs) -> dict[str, Any]:
        return make(*args, **keywords).as_json()

    values.__name__ = values.__qualname__ = name
    values.__signature__ = inspect.signature(make).replace(return_annotation="dict[str, Any]")  # type: ignore[attr-defined]
    return values


class Record(Part):
    """Base of a whole JSON file of a study's folder."""

    FILE: ClassVar[str]  # its name inside its folder
    FORMAT: ClassVar[int] = 1  # the newest that this code reads, where the file says one
    REMEDY: ClassVar[str]  # what to do when it is damaged: an imperative without a full stop

    @classmethod
    def path_in(cls, folder: Path) -> Path:
        return folder / cls.FILE

    @classmethod
    def is_in(cls, folder: Path) -> bool:
        return cls.path_in(folder).exists() or cls.path_in(folder).is_symlink()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The record in `folder`. Raises FolderError when the file is missing, damaged or foreign."""
        path = cls.path_in(folder)
        refuse_link(path)
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            raise FolderError(f"{path}: no such file; is this a folder that luthier made?") from None
        except OSError as error:
            raise FolderError(f"{path}: cannot be read ({error.strerror or error})") from None
        try:
            return cls.model_validate_json(text)
        except ValidationError as problems:
            raise FolderError(f"{path}: {problem_in(problems, newest=cls.FORMAT)}; {cls.REMEDY}") from None

    @classmethod
    def read_if_there(cls, folder: Path) -> Self | None:
        """The record in `folder`, or None where there is no such file."""
        return cls.read(folder) if cls.is_in(folder) else None

    def write(self, folder: Path) -> None:
        """Replaces the record's file in `folder` in one step."""
        write_json(self.path_in(folder), self.as_json())


class Sealed(Record):
    """Base of a record with a hash over all its other fields, so that a field that is changed later is seen."""

    SEAL: ClassVar[str]  # the field that holds the hash

    def sealed(self) -> Self:
        """The record with its hash."""
        return self.model_copy(update={self.SEAL: self._hash()})

    def _hash(self) -> str:
        fields = {key: value for key, value in self.as_json().items() if key != self.SEAL}
        return sha256_of_text(json.dumps(fields, sort_keys=True))

    def refuse_changed(self, folder: Path) -> None:
        """Raises FolderError where a field is not the one that was written."""
        if getattr(self, self.SEAL) != self._hash():
            raise FolderError(f"{self.path_in(folder)}: a field of it was changed since it was written; {self.REMEDY}")


def problem_in(problems: ValidationError, newest: int = 1) -> str:
    """The first problem of a file as a sentence part: the field and what is wrong with it."""
    errors = problems.errors(include_url=False)
    # A newer format causes many errors; only the format explains them.
    first = next((error for error in errors if error["loc"] == ("format",)), errors[0])
    kind, value = first["type"], first["input"]
    # pydantic adds the branch of a union, such as int or list[str]; that is no key of the file.
    field = ".".join(str(step) for step in first["loc"] if not _BRANCH.match(str(step)))
    if kind == "json_invalid":
        return f"this is not JSON ({first['ctx']['error']})"
    if not field:
        return f"the file holds {_shown(value)} and no table of keys"
    if field == "format" and isinstance(value, int) and value > newest:
        return f"it has format {value}, and this version of luthier reads up to {newest}; update luthier"
    if kind == "missing":
        return f"the key '{field}' is missing"
    if kind == "extra_forbidden":
        return f"the key '{field}' is not one that luthier writes"
    meant = "it should be a number" if kind in _NUMBERS else first["msg"].replace("Input", "it", 1)
    return f"the key '{field}' is {_shown(value)}; {meant}"


def _shown(value: Any, longest: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= longest else text[:longest] + "..."


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def read_lines_of(kind: type[Kind], path: Path) -> list[Kind]:
    """The records of a line file that luthier wrote, one a line. A missing file has none; a torn last line is dropped.

    Raises FolderError for a whole line that is no such record: a kill tears only the last line.
    """
    refuse_link(path)
    if not path.exists():
        return []
    adapter: TypeAdapter[Kind] = _adapter(cast(Any, kind))
    data, records = path.read_bytes(), []
    for number, line in enumerate(data[: data.rfind(b"\n") + 1].split(b"\n")[:-1], 1):
        try:
            records.append(adapter.validate_json(line))
        except ValidationError as problems:
            raise FolderError(f"{path}: line {number} is damaged: {problem_in(problems)}") from None
    return records


def write_lines_of(path: Path, lines: Iterable[Any]) -> None:
    """Replaces `path` in one step by one line a record."""
    write_lines(path, map(_as_line, lines))


def append_lines_of(path: Path, lines: Iterable[Any]) -> None:
    """Adds one line a record and flushes them to disk."""
    append_lines(path, map(_as_line, lines))


def _as_line(record: Any) -> dict[str, Any]:
    return record.as_json() if isinstance(record, Part) else as_row(record)
