"""A class: tickets for learners, hand-ins marked one after the other, grades and pages for people.

CLASS/class.json             name, learners, rows, the salt of the numbers, and the secret that signs tickets
CLASS/tickets/LEARNER.json   what a learner gets: `luthier learn --ticket FILE`
CLASS/rubric.md              what people must judge, and by what
CLASS/marks.json             every mark
CLASS/grades.csv, CLASS/canvas.csv, CLASS/feedback/LEARNER.html   one of each learner whose ticket is of the class
CLASS/class.html             every hand-in, and what to look at
"""

from __future__ import annotations

import csv
import html
import io
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from luthier.course import deck
from luthier.course.marking import AnswerMark, HoleMark, Sheet, mark, signature
from luthier.course.page import around
from luthier.course.shown import table_html
from luthier.errors import FolderError, SettingsError
from luthier.files import read_json, write_json, write_text
from luthier.results.names import slug

CLASS, MARKS = "class.json", "marks.json"
# The columns by which Moodle's grade import and Canvas's gradebook know a row.
MOODLE = ("Identifier", "Full name", "Grade", "Maximum Grade", "Feedback comments")
CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section", "luthier")
RUBRIC = """# What people judge

Numbers are marked by program. For what a learner writes in his own words, and for answers that he rated by eye, give
0, 1 or 2 points for each line. The hand-in of a lab holds the report of its study: lab-1-study/report.md.

| | 0 | 1 | 2 |
|---|---|---|---|
| claim | none, or one that no number shows | a claim that the numbers show | and says what they do not show |
| evidence | none | a number of his own run | with its interval, or with the number of examples |
| comparison | by one example | on the same examples | and with an equal effort for each side |
| rating by eye | he saw which answer was whose | blind | and his planted checks came out right |
"""


@dataclass(frozen=True)
class Class:
    """A class as its class.json has it."""

    name: str
    learners: tuple[str, ...]
    rows: tuple[str, ...]
    salt: str
    secret: str


def issue(folder: Path, learners: Sequence[str], rows: Sequence[str] = ()) -> Class:
    """A new class with a ticket for each learner; or more learners for one that is there.

    Raises SettingsError for names that cannot name a file, are given twice, and for rows that are not written.
    """
    names = [slug("learner", name.strip()) for name in learners if name.strip()]
    if twice := [name for name, count in Counter(map(str.casefold, names)).items() if count > 1]:
        raise SettingsError(f"the learner '{twice[0]}' is named twice; give each a name of his own")
    known = read_class(folder) if (folder / CLASS).is_file() else None
    if not names and known is None:
        raise SettingsError("a class has learners; name them, or give a file with a name on each line")
    wanted = [row.id for row in map(deck.row_of, rows)] or (
        list(known.rows) if known else [row.id for row in deck.rows() if row.done]
    )
    if missing := [name for name in wanted if not deck.row_of(name).done]:
        raise SettingsError(f"row {missing[0]} is open: its lesson is not written yet")
    made = Class(
        known.name if known else folder.resolve().name,
        tuple(dict.fromkeys([*(known.learners if known else ()), *names])),
        tuple(wanted),
        known.salt if known else secrets.token_hex(16),
        known.secret if known else secrets.token_hex(32),
    )
    write_json(folder / CLASS, asdict(made))
    for learner in made.learners:
        ticket = {"learner": learner, "salt": made.salt, "class": made.name}
        write_json(folder / "tickets" / f"{learner}.json", ticket | {"signature": signature(made.secret, learner)})
    write_text(folder / "rubric.md", RUBRIC)
    return made


def read_class(folder: Path) -> Class:
    """A class's own file. Raises FolderError where it is missing or damaged."""
    table = read_json(folder / CLASS)
    try:
        name, salt, secret = (str(table[key]) for key in ("name", "salt", "secret"))
        learners, rows = (tuple(map(str, table[key])) for key in ("learners", "rows"))
    except (KeyError, TypeError):
        raise FolderError(f"{folder / CLASS}: it is no class that luthier class issue made") from None
    return Class(name, learners, rows, salt, secret)


def mark_class(folder: Path, hand_ins: Sequence[Path]) -> list[Sheet]:
    """Marks every hand-in, and writes marks, grades and pages. One that is broken stops none of the others.

    Raises SettingsError where no hand-in is named.
    """
    own = read_class(folder)
    paths = [one for path in hand_ins for one in (sorted(path.rglob("*.zip")) if path.is_dir() else [path])]
    if not paths:
        raise SettingsError("no hand-in was found; name zip files, or a folder that holds them")
    rows = [deck.row_of(name) for name in own.rows]
    sheets = [mark(path, rows, own.salt, own.secret, own.learners) for path in paths]
    often = Counter(sheet.learner for sheet in sheets if sheet.issued)
    sheets = [
        replace(s, notes=(*s.notes, f"{often[s.learner]} hand-ins have this name; the one with most points counts"))
        if s.issued and often[s.learner] > 1 else s
        for s in sheets
    ]  # fmt: skip
    graded = _graded(sheets)
    write_json(folder / MARKS, [asdict(sheet) for sheet in sheets])
    write_text(folder / "grades.csv", _csv(MOODLE, [_moodle_row(own, sheet) for sheet in graded]))
    write_text(folder / "canvas.csv", _csv(CANVAS, [_canvas_row(sheet) for sheet in graded]))
    for sheet in graded:
        write_text(folder / "feedback" / f"{sheet.learner}.html", feedback(sheet))
    write_text(folder / "class.html", class_page(own, sheets))
    return sheets


def _graded(sheets: Sequence[Sheet]) -> list[Sheet]:
    """One sheet for each learner whose ticket is of the class: that with most points, of equal ones the first."""
    best: dict[str, Sheet] = {}
    for sheet in sheets:
        if sheet.issued and (sheet.learner not in best or sheet.points > best[sheet.learner].points):
            best[sheet.learner] = sheet
    return list(best.values())


def read_marks(folder: Path) -> list[Sheet]:
    """The marks that were written. Raises FolderError where there are none."""
    read_class(folder)
    try:
        return [
            Sheet(
                table["learner"],
                table["file"],
                tuple(HoleMark(**{**one, "says": tuple(one["says"])}) for one in table["holes"]),
                tuple(AnswerMark(**one) for one in table["answers"]),
                tuple(table["notes"]),
                table["issued"],
            )
            for table in read_json(folder / MARKS)
        ]
    except (KeyError, TypeError):
        raise FolderError(f"{folder / MARKS}: it holds no marks; mark the hand-ins again") from None


def _moodle_row(own: Class, sheet: Sheet) -> tuple[object, ...]:
    comments = " ".join([*(say for hole in sheet.holes for say in hole.says), *sheet.notes])
    return (sheet.learner, sheet.learner, f"{sheet.points:.2f}", sheet.most, comments[:2000])


def _canvas_row(sheet: Sheet) -> tuple[object, ...]:
    return (sheet.learner, "", sheet.learner, sheet.learner, "", f"{sheet.points:.2f}")


def _csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table that a spreadsheet opens; a cell that it would take for a formula begins with an apostrophe."""
    made = io.StringIO()
    table = csv.writer(made)
    table.writerow(header)
    table.writerows(
        [f"'{cell}" if str(cell)[:1] in tuple("=+-@\t") and str(cell) else cell for cell in row] for row in rows
    )
    return made.getvalue()


def feedback(sheet: Sheet) -> str:
    """The page that a learner gets back."""
    holes = [
        (f"lesson {one.row}: {one.hole}", f"{one.passed} of {one.checks}", " ".join(one.says)) for one in sheet.holes
    ]
    answers = [
        (one.item, "right" if one.right else "not answered" if one.answer is None else "not right",
         one.misconception or "")
        for one in sheet.answers
    ]  # fmt: skip
    return around(
        f"Marks of {sheet.learner}",
        f"<h1>Marks of {html.escape(sheet.learner)}</h1><p>{sheet.points:.2f} of {sheet.most} points.</p>"
        + table_html(("hole", "checks that pass", "what the others say"), holes)
        + table_html(("question", "answer", "what it shows"), answers),
    )


def class_page(own: Class, sheets: Sequence[Sheet]) -> str:
    """The page for whoever teaches: points, what to look at, and which misconceptions are common."""
    points = [(sheet.learner or sheet.file, f"{sheet.points:.2f}", " ".join(sheet.notes)) for sheet in sheets]
    here = {sheet.learner for sheet in sheets if sheet.issued}
    absent = [name for name in own.learners if name not in here]
    common = Counter(
        (one.item, one.misconception) for sheet in sheets for one in sheet.answers if one.misconception is not None
    )
    hard = Counter((one.row, one.hole, say) for sheet in sheets for one in sheet.holes for say in one.says)
    return around(
        f"Class {own.name}",
        f"<h1>Class {html.escape(own.name)}</h1>"
        + table_html(("learner", "points", "look at"), points)
        + (f"<p>No hand-in of {html.escape(', '.join(absent))}.</p>" if absent else "")
        + "<h2>Misconceptions</h2>"
        + table_html(("question", "learners", "misconception"), [(i, n, m) for (i, m), n in common.most_common()])
        + "<h2>Holes</h2>"
        + table_html(("hole", "learners", "message"), [(f"{r}: {h}", n, s) for (r, h, s), n in hard.most_common()]),
    )
