"""Settings read from TOML into frozen models, and one clear sentence where a file is wrong.

A settings file is a pydantic model derived from `Settings`, kept beside the code that uses it. `read_settings` reads
such a file, `settings_from` checks a dict that is already in memory; both say file, key, value and what is allowed.
`toml_of` writes one for people to edit, with the description of each field above it.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer
from pydantic.config import JsonDict

from luthier.errors import LuthierError, SettingsError


class Settings(BaseModel):
    """Base of every settings model: unknown keys fail, `"80"` is not 80, nan is no number, nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


LARGEST_SEED = 2**32 - 1
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]


def checked_seed(seed: int, where: str) -> int:
    """The seed. Raises SettingsError when it is none that every generator of random numbers takes."""
    if not 0 <= seed <= LARGEST_SEED:
        raise SettingsError(f"{where}: the seed is {seed}; give a whole number from 0 to {LARGEST_SEED}")
    return seed


class LeanSettings(Settings):
    """Settings whose later fields, named in LATER, are written only where they are not at their default.

    So what was written before they came stays as it was, byte for byte.
    """

    LATER: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_defaults(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        table: dict[str, Any] = write(self)
        return {k: v for k, v in table.items() if k not in self.LATER or getattr(self, k) != fields[k].default}


Model = TypeVar("Model", bound=Settings)
# `json_schema_extra` of a field that toml_of leaves out where it is None.
WHERE_GIVEN: JsonDict = {"written": "where given"}


def read_settings(model: type[Model], path: Path, error: type[LuthierError] = SettingsError) -> Model:
    """The TOML file at `path` as a `model`. Raises `error` when it is missing, not TOML, or not such a model."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as problem:
        raise error(f"{path}: this is not TOML ({problem}); mend that line") from None
    except UnicodeDecodeError:
        raise error(f"{path}: the text is not UTF-8; save the file as UTF-8") from None
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror}); check the path") from None
    return settings_from(model, data, path, error)


def is_text(text: str) -> bool:
    """Whether every letter of a text is whole, so that UTF-8 can hold it; a lone surrogate is half a letter."""
    return text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text)


def _half_letters(value: Any, key: str = "") -> str | None:
    """The key of the first text inside that is not whole; None where all are."""
    if isinstance(value, str):
        return None if is_text(value) else key
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    found = (_half_letters(inner, f"{key}.{name}" if key else str(name)) for name, inner in items)
    return next((name for name in found if name is not None), None)


def _as_key(key: str) -> str:
    return f"the key '{key}'"


def settings_from(
    model: type[Model],
    data: dict[str, Any],
    where: str | Path,
    error: type[LuthierError] = SettingsError,
    called: Callable[[str], str] = _as_key,
) -> Model:
    """`data` checked as a `model`. Raises `error`, one sentence: `where`, the key, what is wrong, what is allowed.

    `called` says what the sentence calls a key, where somebody else typed it than a file: "--shard".
    """
    if (key := _half_letters(data)) is not None:
        raise error(f"{where}: {called(key)} holds half a letter (a lone surrogate); write it in whole letters")
    try:
        return model.model_validate(data)
    except ValidationError as problems:
        errors = problems.errors(include_url=False)
        # A misspelt key causes two errors: an unknown key, and a missing one. The unknown key says what to mend.
        first = min(errors, key=lambda problem: problem["type"] != "extra_forbidden")
        more = f" ({len(errors) - 1} more after this one)" if len(errors) > 1 else ""
        raise error(f"{where}: {_sentence(model, first, called)}{more}") from None


def assignments(text: str, where: str) -> dict[str, Any]:
    """`key=value,key=value` as a dict. Raises SettingsError for a part that is no such thing."""
    parts = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    if bare := [key for key, equals, value in parts if not (key and equals and value)]:
        raise SettingsError(f"{where} '{text}': '{bare[0]}' has no value; write key=value,key=value")
    return {key: value_of(value) for key, _, value in parts}


def value_of(text: str) -> Any:
    """A number where it reads as one, else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # Python reads no number of more than 4,300 digits
        return text


def _sentence(model: type[BaseModel], problem: Any, called: Callable[[str], str]) -> str:
    """Which key is wrong, why, and which keys or values are allowed."""
    location, kind = problem["loc"], problem["type"]
    # pydantic adds the branch of a union, such as dict[str,ArmSpec]; that is no key of the file.
    key = ".".join(str(step) for step in location if not re.match(r"(dict|list)\[", str(step)))
    if kind == "extra_forbidden":
        keys = _keys(model, location)
        near = difflib.get_close_matches(str(location[-1]), keys, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        return f"{called(key)} is not known; {hint}the keys there are {', '.join(keys)}"
    if kind == "missing":
        return f"{called(key)} is missing; the keys there are {', '.join(_keys(model, location))}"
    if kind == "value_error":  # from our own validators, whose message names the value
        return problem["msg"].removeprefix("Value error, ") + (f" ({called(key).removeprefix('the ')})" if key else "")
    return f"{called(key)} is {_shown(problem['input'])}; {problem['msg'].replace('Input', 'it', 1)}"


def _keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys allowed in the table that holds the last step of `location`."""
    for step in location[:-1]:
        # Steps that are no field (a name in a dict of tables, an index, a union's tag) stay where they are.
        if isinstance(step, str) and (field := model.model_fields.get(step)):
            model = _model_in(field.annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model inside an annotation such as `DataSpec | None` or `dict[str, ArmSpec]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in typing.get_args(annotation) if (model := _model_in(part))), None)


def _shown(value: Any, longest: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= longest else text[:longest] + "..."


def toml_of(settings: Settings, table: str = "") -> str:
    """`settings` as TOML, each key under its description; what is None stands as a comment. `table` is its own name."""
    lines, tables = [], []
    for name, field in type(settings).model_fields.items():
        value, path = getattr(settings, name), f"{table}.{name}".lstrip(".")
        if value is None and field.json_schema_extra == WHERE_GIVEN:
            continue
        comment = f"# {field.description}\n" if field.description else ""
        if isinstance(value, Settings):
            tables.append(f"\n{comment}[{path}]\n{toml_of(value, path)}")
        elif isinstance(value, dict):
            entries = "".join(f"{_key(key)} = {_value(entry)}\n" for key, entry in value.items())
            tables.append(f"\n{comment}[{path}]\n{entries}")
        else:
            lines.append(f"{comment}# {name} =\n" if value is None else f"{comment}{name} = {_value(value)}\n")
    return "".join(lines + tables)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _text(key)


def _value(value: str | bool | int | float | list[Any]) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if not isinstance(value, str):
        return json.dumps(value)
    if "\n" not in value:
        return _text(value)
    return '"""\n' + "\n".join(_text(line)[1:-1] for line in value.split("\n")) + '"""'


def _text(text: str) -> str:
    """A TOML string. JSON's escapes are TOML's too, but for DEL, which JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
