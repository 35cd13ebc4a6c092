"""deck.toml: every row of the syllabus, its lesson, and whether that stands; lessons and questions found by name."""

from __future__ import annotations

import importlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Literal

from luthier.course.question import Choice, Question, WrongSolution
from luthier.course.source import Lesson, read_lesson
from luthier.errors import SettingsError
from luthier.settings import Settings, settings_from

HERE = Path(__file__).parent
LESSONS = HERE / "lessons"
QUIZZES = {1: "1.21", 2: "2.15"}  # rows whose lesson is the quiz of the week


class Row(Settings):
    """A row of the syllabus. `lesson` is a file's name without .py, in lessons/ and in questions/."""

    id: str
    title: str
    week: Literal[1, 2]
    needs: list[Literal["N", "S", "T", "L"]]
    lesson: str
    state: Literal["open", "done"]

    @property
    def done(self) -> bool:
        return self.state == "done"

    @property
    def path(self) -> Path:
        """The lesson's source."""
        return LESSONS / f"{self.lesson}.py"


class Deck(Settings):
    """All rows, in the order of the syllabus."""

    row: list[Row]


@cache
def rows() -> tuple[Row, ...]:
    """Every row of the deck."""
    path = HERE / "deck.toml"
    deck = settings_from(Deck, tomllib.loads(path.read_text(encoding="utf-8")), path.name)
    return tuple(deck.row)


def row_of(name: str) -> Row:
    """A row by its id, such as 1.13; `Lab 1.2` is lab1.2. Raises SettingsError naming rows that there are."""
    name = re.sub(r"[\s_-]", "", name.lower())
    for row in rows():
        if row.id == name:
            return row
    near = ", ".join(row.id for row in rows() if row.id.startswith(name[:3])) or ", ".join(row.id for row in rows())
    raise SettingsError(f"there is no row '{name}'; there are {near}")


def lesson_of(row: Row) -> Lesson:
    """The lesson of a row that is done. Raises SettingsError for an open one."""
    if not row.done:
        raise SettingsError(f"row {row.id}, {row.title}, is open: its lesson is not written yet")
    return read_lesson(row.path)


def questions_of(row: Row) -> tuple[Question | Choice, ...]:
    """The questions of one row; () where it is open."""
    return tuple(one for one in _module(row.lesson).QUESTIONS if one.row == row.id) if row.done else ()


def wrong_solutions_of(lesson: str) -> Mapping[str, Sequence[WrongSolution]]:
    """Planted wrong solutions by the name of their hole."""
    found: Mapping[str, Sequence[WrongSolution]] = _module(lesson).WRONG_SOLUTIONS
    return found


def every_question(week: int | None = None) -> Iterator[Question | Choice]:
    """The questions of all rows that are done, of one week or both."""
    for row in rows():
        if week in (None, row.week):
            yield from questions_of(row)


def question_of(item: str) -> Question | Choice:
    """A question by its name ROW/NAME. Raises SettingsError naming those that the row has."""
    row = row_of(item.partition("/")[0])
    found = {one.item: one for one in questions_of(row)}
    if item not in found:
        raise SettingsError(f"there is no question '{item}'; row {row.id} has {', '.join(found) or 'none'}")
    return found[item]


def _module(lesson: str) -> ModuleType:
    """The questions of a lesson. Raises SettingsError where a lesson that is done has no file of them."""
    name = f"luthier.course.questions.{lesson}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name != name:
            raise
    own = ", ".join(row.id for row in rows() if row.lesson == lesson)
    raise SettingsError(f"row {own} is done in deck.toml, and questions/{lesson}.py is not there")
