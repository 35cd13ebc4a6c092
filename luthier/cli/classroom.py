"""The verb `class`, for who teaches: issue, mark, show, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luthier.cli import screen
from luthier.cli.options import Json

classes = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="""Teach a class: issue tickets, mark hand-ins, show marks, export questions.

\b
Example:
  luthier class issue mine ann ben
""",
)

Folder = Annotated[Path, typer.Argument(metavar="CLASS", help="The class's folder.")]


def issue(
    folder: Folder,
    learners: Annotated[list[str] | None, typer.Argument(metavar="LEARNER...", help="Names of learners.")] = None,
    file: Annotated[Path | None, typer.Option(help="A file with a name on each line.")] = None,
    row: Annotated[
        list[str] | None, typer.Option(help="A row that is marked; repeat; else all that are there.")
    ] = None,
) -> None:
    """Begin a class, or add learners to it. Each gets a ticket, which gives him numbers of his own.

    \b
    Example:
      luthier class issue mine ann ben
    """
    from luthier.course import classroom

    names = [*(learners or ()), *(screen.input_text(None, file).splitlines() if file else ())]
    made = classroom.issue(folder, names, row or ())
    screen.print_lines(
        [f"{folder / 'tickets'}: {len(made.learners)} tickets. Each learner types: luthier learn --ticket FILE"]
    )


def mark(
    folder: Folder,
    hand_ins: Annotated[list[Path], typer.Argument(metavar="HAND-IN...", help="Zip files, or folders of them.")],
    as_json: Json = False,
) -> None:
    """Mark hand-ins. Functions are called in a process under limits, questions are recomputed from their seeds. Mark
    those of strangers inside a container. Writes grades for Moodle and Canvas, feedback pages and a page of the class.

    \b
    Example:
      luthier class mark mine hand-ins
    """
    from luthier.course import classroom

    classroom.mark_class(folder, hand_ins)
    _show_marks(folder, as_json)


def show(folder: Folder, as_json: Json = False) -> None:
    """Show the marks of a class.

    \b
    Example:
      luthier class show mine
    """
    _show_marks(folder, as_json)


def export(
    out: Annotated[Path, typer.Option(help="The file to write; with --nbgrader the folder.")],
    week: Annotated[int | None, typer.Option(min=1, max=2, help="The questions of this week alone.")] = None,
    variants: Annotated[int, typer.Option(min=1, max=1000, help="How many variants of a computed question.")] = 20,
    nbgrader: Annotated[bool, typer.Option("--nbgrader", help="Write lessons as nbgrader's source notebooks.")] = False,
) -> None:
    """Write the course's questions as Moodle's XML, to be imported into its question bank; or lessons for nbgrader.

    \b
    Example:
      luthier class export --week 1 --out week-1.xml
    """
    from luthier.course import deck
    from luthier.course.moodle import moodle_xml
    from luthier.files import write_text

    if nbgrader:
        from luthier.course.notebook import nbgrader_notebook

        lessons = {row.lesson: row for row in deck.rows() if row.done and week in (None, row.week)}
        for name, row in lessons.items():
            write_text(out / name / f"{name}.ipynb", nbgrader_notebook(deck.lesson_of(row)))
        return screen.print_lines([f"{out}: {len(lessons)} notebooks"])
    questions = list(deck.every_question(week))
    write_text(out, moodle_xml(questions, variants))
    screen.print_lines([f"{out}: {len(questions)} questions"])


def _show_marks(folder: Path, as_json: bool) -> None:
    from dataclasses import asdict

    from luthier.course.classroom import read_marks

    sheets = read_marks(folder)
    if as_json:
        return screen.print_json([asdict(sheet) for sheet in sheets])
    rows = [(sheet.learner or sheet.file, f"{sheet.points:.2f} of {sheet.most}") for sheet in sheets]
    screen.print_table(("learner", "points"), rows)
    screen.print_lines([f"{sheet.learner or sheet.file}: {note}" for sheet in sheets for note in sheet.notes])
    return None
