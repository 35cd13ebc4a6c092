"""Options that several verbs share, and options made from the fields of a settings model.

A field gives an option of its name: `int | None` a number, a Literal one of its words, list[str] an option to repeat,
and any other type a text as its `metavar` shows. No option has a default: an option that was not typed is not passed.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer
from typer.core import TyperCommand

import luthier

if TYPE_CHECKING:  # `--help` imports no pydantic
    from pydantic.fields import FieldInfo

    from luthier.settings import Settings
    from luthier.task.opened import Format

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Encoding = Annotated[str | None, typer.Option(help="The encoding of the file, such as cp1252; else it is found.")]
Delimiter = Annotated[str | None, typer.Option(help="The sign between cells, such as ; or tab; else it is found.")]
Quote = Annotated[
    str | None, typer.Option(help="The sign around cells; none: quotes are signs of the texts; else it is found.")
]
RowId = Annotated[str | None, typer.Option("--id", help="A column of unique names; else rows are numbered.")]


def refuse_without_server() -> None:
    """Raises SettingsError where what the server needs is not installed."""
    needed = [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    if needed:
        raise luthier.SettingsError(
            f"{needed[0]} is not installed, which the server needs: pip install 'luthier[serve]'"
        )


def written_as(encoding: str | None, delimiter: str | None, quote: str | None) -> Format:
    """How a file is written, as the user says it."""
    from luthier.settings import settings_from
    from luthier.task.opened import Format

    return settings_from(Format, {"encoding": encoding, "delimiter": delimiter, "quote": quote}, "options")


def add(
    app: typer.Typer,
    verb: Callable[..., None],
    model: str | None = None,
    name: str | None = None,
    context: dict[Any, Any] | None = None,
) -> None:
    """Adds `verb`, with an option for each field of the settings model `module:Class` that it does not declare itself.

    `name`: where it is another than the function's; `context`: typer's settings of its context. Options are made, and
    the model is imported, only for the verb that is typed: all verbs' options take longer than most verbs themselves.
    """
    called = name or verb.__name__

    @functools.cache
    def whole() -> Any:
        function = verb
        if model is not None:
            module, _, kind = model.partition(":")
            function = _with_fields(verb, getattr(import_module(module), kind))
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(called, context_settings=context)(function)
        return typer.main.get_command(alone)

    class Later(TyperCommand):
        def get_params(self, ctx: Any) -> Any:
            return whole().get_params(ctx)

        def make_context(self, *arguments: Any, **options: Any) -> Any:
            return whole().make_context(*arguments, **options)

    app.command(called, cls=Later, help=inspect.getdoc(verb))(lambda: None)


def fields_of(model: type[Settings]) -> dict[str, FieldInfo]:
    """Fields by option name. A field that is a model gives its own fields, and its `kind` takes the field's name."""
    fields: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        inner = getattr(field.annotation, "model_fields", None)
        fields |= {name: field} if inner is None else {name if n == "kind" else n: f for n, f in inner.items()}
    return fields


def typed_settings(model: type[Any], given: dict[str, Any], verb: str, named: dict[str, str] | None = None) -> Any:
    """What was typed, as a settings model. Raises SettingsError, whose sentence calls a field as its option is called.

    `named`: field -> the name of its option, where that is another one.
    """
    from luthier.settings import settings_from

    def called(key: str) -> str:
        field = key.partition(".")[0]
        return f"--{(named or {}).get(field, field).replace('_', '-')}"

    return settings_from(model, given, verb, called=called)


def _with_fields(verb: Callable[..., None], model: type[Settings]) -> Callable[..., None]:
    """`verb` with a signature in which its `**given` are options; it gets only what was typed."""
    declared = [p for p in inspect.signature(verb, eval_str=True).parameters.values() if p.kind is not p.VAR_KEYWORD]
    names = {parameter.name for parameter in declared}

    @functools.wraps(verb)
    def typed(**given: Any) -> None:
        verb(**{name: value for name, value in given.items() if value is not None})

    made = _options(model, names)
    arguments = [p for p in declared if p.kind is not p.KEYWORD_ONLY]
    typed.__signature__ = inspect.Signature([*arguments, *made, *(p for p in declared if p not in arguments)])  # type: ignore[attr-defined]
    return typed


def _options(model: type[Settings], declared: set[str]) -> Iterator[inspect.Parameter]:
    for name, field in fields_of(model).items():
        if name not in declared:
            kind, metavar = _form(field)
            option = typer.Option(help=_sentence(field, repeated=get_origin(kind) is list), metavar=metavar)
            annotation = Annotated[kind | None, option]  # type: ignore[valid-type]
            yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _form(field: FieldInfo) -> tuple[Any, str | None]:
    """What type a field's option has, and how its value is shown where that does not say it."""
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "metavar" in extra:
        return str, str(extra["metavar"])
    kind: Any = field.annotation
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (part for part in get_args(kind) if part is not NoneType)
    return (str, "|".join(get_args(kind))) if get_origin(kind) is Literal else (kind, None)


def _sentence(field: FieldInfo, repeated: bool) -> str:
    """The field's description as a sentence of a help text."""
    text = str(field.description).rstrip(".").replace("None: ", "else ")
    return f"{text[0].upper()}{text[1:]}{'; repeat for several' * repeated}."
