"""A learner with a lesson: outputs that are kept once they were made, what is asked of him, and where he stands.

.luthier-course/outputs/NAME-HASH.json   outputs of a lesson, by the hash of its text
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import luthier
from luthier.course import deck
from luthier.course.deck import Row
from luthier.course.desk import Desk
from luthier.course.recorded import Output, from_json, recorded, to_json
from luthier.course.source import Cell, Lesson
from luthier.files import write_text


@dataclass(frozen=True)
class Standing:
    """A row, and what the learner has done of it. `right` of `questions` questions, by the last answer to each."""

    row: Row
    predicted: bool
    questions: int
    answered: int
    right: int


def standings(desk: Desk) -> list[Standing]:
    """Every row of the deck, with what this desk says of it."""
    lines = desk.lines()
    predicted = {str(line.get("item", "")).partition("/")[0] for line in lines if line.get("kind") == "prediction"}
    last = {str(line.get("item")): bool(line.get("right")) for line in lines if line.get("kind") == "answer"}
    found = []
    for row in deck.rows():
        items = [one.item for one in deck.questions_of(row)]
        answered = [last[item] for item in items if item in last]
        found.append(Standing(row, row.id in predicted, len(items), len(answered), sum(answered)))
    return found


def outputs_of(lesson: Lesson, desk: Desk) -> list[list[Output]]:
    """The outputs of a lesson: those that are kept, or those of a run now, which are kept where no cell failed."""
    mark = hashlib.sha256(f"{luthier.__version__}\n{lesson.script()}".encode()).hexdigest()[:16]
    path = desk.folder / "outputs" / f"{lesson.name}-{mark}.json" if desk.folder else None
    if path is not None and path.is_file():
        try:
            kept = from_json(path.read_text(encoding="utf-8"))
            if len(kept) == len(lesson.cells) and not _failed(kept):
                return kept
        except ValueError:
            pass  # it is made again
    made = recorded(lesson)
    if path is not None and not _failed(made):
        write_text(path, to_json(made))
    return made


def _failed(outputs: list[list[Output]]) -> bool:
    """Whether a run ended badly or a cell failed: a lesson with its solutions fails nowhere, so it is run again."""
    return any(one.kind == "error" for cell in outputs for one in cell)


def asked_in(cell: Cell, function: str) -> Iterator[str]:
    """The items that a cell hands to `predict` or `ask`, in order."""
    for node in ast.walk(ast.parse(cell.text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


def copy_for_learners(lesson: Lesson, folder: Path) -> Path:
    """The learner's copy in a folder. One that is there already stays as it is."""
    path = folder / f"{lesson.name}.py"
    if not path.exists():
        write_text(path, lesson.for_learners().script())
    return path
