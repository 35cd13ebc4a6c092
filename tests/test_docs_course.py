"""The commands of the page on the course run, in order; those that lessons name are typed right."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from luthier.arms.short_form import parse
from luthier.cli import app
from luthier.course import deck
from tests.commands import ROOT, commands_of, type_in

NAMED = sorted(
    {
        " ".join(command.split())
        for row in deck.rows() if row.done
        for cell in deck.lesson_of(row).cells if cell.markdown
        for command in re.findall(r"`luthier ([^`]+)`", cell.text)
    }
)  # fmt: skip


def test_the_commands_of_the_course_run(newcomer: Path) -> None:
    pytest.importorskip("jupytext", reason="pip install 'luthier[course]'")
    commands = commands_of(ROOT / "docs" / "course.md")
    assert [verb for verb, *_ in commands] == ["learn"] * 4 + ["lab", "quiz", "kernel"] + ["class"] * 3
    for verb, *arguments in commands:
        own = ["--prefix", "here"] if verb == "kernel" else []  # not into the home of whoever tests
        type_in([verb, *arguments, *own], keys="1\na\n" * 200)
    assert (newcomer / "row_1_18_compute.html").is_file() and (newcomer / "spring" / "tickets" / "ben.json").is_file()
    assert list((newcomer / "source").glob("*/row_1_18_compute.ipynb"))


@pytest.mark.parametrize("named", NAMED)
def test_a_command_that_a_lesson_names_is_typed_right(named: str) -> None:
    """A verb alone is only named. With arguments each of them is understood, and so is every arm."""
    verb, words = get_command(app.app), shlex.split(named)
    while words and (below := getattr(verb, "commands", {}).get(words[0])) is not None:
        verb, words = below, words[1:]
    assert not hasattr(verb, "commands"), f"luthier {named}: there is no such verb"
    if words:
        given = verb.make_context("luthier", words).params
        for arm in (given.get("arms") or "").split(","):
            assert not arm or parse(arm)
