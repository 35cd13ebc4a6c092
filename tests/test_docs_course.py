"""The commands of the page on the course run, in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import ROOT, commands_of, type_in

pytest.importorskip("jupytext", reason="pip install 'luthier[course]'")


def test_the_commands_of_the_course_run(newcomer: Path) -> None:
    commands = commands_of(ROOT / "docs" / "course.md")
    assert [verb for verb, *_ in commands] == ["learn"] * 4 + ["quiz", "kernel"] + ["class"] * 3
    for verb, *arguments in commands:
        own = ["--prefix", "here"] if verb == "kernel" else []  # not into the home of whoever tests
        type_in([verb, *arguments, *own], keys="1\na\n" * 200)
    assert (newcomer / "row_1_18_compute.html").is_file() and (newcomer / "spring" / "tickets" / "ben.json").is_file()
    assert list((newcomer / "source").glob("*/row_1_18_compute.ipynb"))
