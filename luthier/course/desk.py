"""The learner's side of a lesson: predictions that are kept before the run, and questions with the learner's numbers.

    .luthier-course/learner.json     who learns: a name, and the salt of the seeds
    .luthier-course/progress.jsonl   a line for each prediction and answer

Both are the learner's own. Marks of a class never rest on them (see marking). Without this folder nothing is kept,
and questions have the numbers of nobody.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.course import deck
from luthier.course.question import Asked, seed_of
from luthier.course.question import ask as asked
from luthier.errors import FolderError
from luthier.files import append_lines, read_json, write_json

FOLDER = ".luthier-course"
NOBODY = ("", "nobody")
UNSAID = "You have not said what you expect."


@dataclass(frozen=True)
class Desk:
    """A learner's folder; `folder` None keeps nothing."""

    salt: str
    learner: str
    folder: Path | None = None

    def question(self, item: str, take: int = 0) -> Asked:
        """A question with this learner's numbers; another `take` has other ones."""
        name = f"{item}#{take}" if take else item
        return asked(deck.question_of(item), seed_of(self.salt, self.learner, name))

    def keep(self, **line: Any) -> None:
        """Adds a line to the progress."""
        if self.folder is not None:
            append_lines(self.folder / "progress.jsonl", [line])

    def lines(self) -> list[dict[str, Any]]:
        """The progress so far, without lines that cannot be read."""
        path = self.folder / "progress.jsonl" if self.folder else None
        if path is None or not path.is_file():
            return []
        found = []
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                one = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(one, dict):
                found.append(one)
        return found


def find_desk(start: Path | None = None) -> Desk:
    """The desk in this folder or one above it; that of nobody where there is none.

    Raises FolderError for a learner.json that is damaged.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        path = folder / FOLDER / "learner.json"
        if path.is_file():
            table = read_json(path)
            if not (isinstance(table, dict) and all(isinstance(table.get(key), str) for key in ("learner", "salt"))):
                raise FolderError(
                    f"{path}: it names no learner and salt; take the file that you were given, or delete it"
                )
            return Desk(table["salt"], table["learner"], path.parent)
    return Desk(*NOBODY)


def take_ticket(ticket: Path, start: Path | None = None) -> Desk:
    """Begins a desk in this folder with what a class gave. Raises FolderError where another learner has begun here."""
    folder = (start or Path.cwd()) / FOLDER
    given = read_json(ticket)
    if not (isinstance(given, dict) and all(isinstance(given.get(key), str) for key in ("learner", "salt", "class"))):
        raise FolderError(f"{ticket}: it is no ticket of a class")
    if (folder / "learner.json").is_file() and read_json(folder / "learner.json") != given:
        raise FolderError(f"{folder}: somebody began here under another name; take a new folder")
    write_json(folder / "learner.json", given)
    return find_desk(start)


def begin_desk(start: Path | None = None) -> Desk:
    """The desk in this folder or one above it, else a new one in this folder, with numbers of its own."""
    desk = find_desk(start)
    if desk.folder is not None:
        return desk
    folder = (start or Path.cwd()) / FOLDER
    write_json(folder / "learner.json", {"learner": "me", "salt": secrets.token_hex(8)})
    return find_desk(start)


def predict(item: str, value: Any) -> None:
    """Keeps what the learner expects, before the lesson shows what is. `item` is ROW/NAME."""
    find_desk().keep(kind="prediction", item=item, value=value)
    print(said_of(value))


def said_of(value: Any) -> str:
    """What a prediction shows."""
    return UNSAID if value in (None, "") else f"You expect {value}."


def ask(item: str, answer: str | float | None = None) -> None:
    """Prints a question of the course; with an answer, also whether it is right and which misconception it shows.

    It returns nothing, since a notebook would show that below what is printed.
    """
    desk = find_desk()
    question = desk.question(item)
    print(question.text)
    if answer in (None, ""):
        return
    mark = question.mark(str(answer))
    if mark.readable:
        desk.keep(kind="answer", item=item, answer=str(answer), right=mark.right, misconception=mark.misconception)
    print(mark.says)
