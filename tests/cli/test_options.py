"""A field of what is asked for is an option of the command line and a keyword of the library, and is written once."""

from __future__ import annotations

import inspect
import shlex
import subprocess
import sys
from typing import Annotated, Any, Literal

import pytest
import typer
from pydantic import Field
from typer.testing import CliRunner

import luthier
from luthier.cli import app, options
from luthier.settings import Settings
from luthier.studies.spec import MultitaskSpec, StudySpec


class Inner(Settings):
    kind: Literal["flat", "round"] = Field("flat", description="how the earth is")
    cap: int | None = Field(None, ge=1, description="at most this many; None: no limit")


class Asked(Settings):
    """Of every kind a field."""

    words: str | None = Field(None, description="GB are not made small")
    rate: float = Field(0.5, description="a number")
    deep: bool = Field(False, description="whether it looks deeper")
    names: list[str] = Field([], description="names")
    table: dict[str, Any] = Field({}, description="a table", json_schema_extra={"metavar": "KEY=VALUE,..."})
    earth: Inner = Field(Inner(), description="all of it")
    own: str = Field("", description="the verb says this itself")


@pytest.fixture
def heard() -> tuple[typer.Typer, list[dict[str, Any]]]:
    heard: list[dict[str, Any]] = []

    def ask(own: Annotated[str, typer.Argument()] = "", *, last: int | None = None, **given: Any) -> None:
        """Ask."""
        heard.append({"own": own, "last": last, **given})

    one = typer.Typer(rich_markup_mode=None)
    options.add(one, ask, f"{__name__}:Asked")
    one.command()(lambda: None)
    return one, heard


def test_a_field_gives_an_option_of_its_kind_and_only_what_is_typed_is_given(heard) -> None:
    one, given = heard
    typed = shlex.split("--rate 2 --deep --names a --names b --table x=1 --earth round --cap 3 --last 7")
    for command in (["ask", "me", *typed], ["ask"], ["ask", "--no-deep"]):
        result = CliRunner().invoke(one, command)
        assert result.exit_code == 0, result.output
    assert given[0] == {
        "own": "me", "rate": 2.0, "deep": True, "names": ["a", "b"], "table": "x=1", "earth": "round", "cap": 3,
        "last": 7,
    }  # fmt: skip
    assert given[1:] == [{"own": "", "last": None}, {"own": "", "last": None, "deep": False}]


def test_the_help_text_is_the_field_s_sentence(heard) -> None:
    text = " ".join(CliRunner().invoke(heard[0], ["ask", "--help"]).output.split())
    for words in (
        "--words <str> GB are not made small.", "--names <list[str]> Names; repeat for several.",
        "--table KEY=VALUE,... A table.", "--earth flat|round How the earth is.", "At most this many; else no limit.",
    ):  # fmt: skip
        assert words in text
    assert "the verb says this itself" not in text


@pytest.mark.parametrize(
    "verb, model, more",
    [("study", StudySpec, {"out", "config"}), ("multitask", MultitaskSpec, {"out"})],
)
def test_every_field_is_an_option_and_a_keyword_of_the_library(verb: str, model: type[Settings], more: set) -> None:
    fields = set(options.fields_of(model)) | more
    assert set(inspect.signature(getattr(luthier, verb)).parameters) == fields | {"command"}
    command = typer.main.get_command(app.app).commands[verb]
    context = command.make_context(verb, [], resilient_parsing=True)
    assert {parameter.name for parameter in command.get_params(context)} == fields | {"help"}


def test_what_a_study_is_asked_for_is_read_without_torch() -> None:
    code = (
        "import sys, luthier.studies.spec; print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
