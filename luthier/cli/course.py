"""Verbs of the course for who learns: learn, quiz, lab, kernel, hand-in."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from luthier.cli import screen
from luthier.cli.options import Json
from luthier.errors import SettingsError

if TYPE_CHECKING:  # `--help` imports none of it
    from luthier.course.desk import Desk
    from luthier.course.question import Asked, Mark
    from luthier.course.reading import Standing
    from luthier.course.recorded import Output
    from luthier.course.source import Cell, Lesson


_END_OF_INPUT = "Ctrl-Z and Enter" if sys.platform == "win32" else "Ctrl-D"


def learn(
    row: Annotated[str | None, typer.Argument(metavar="ROW", help="A row of the syllabus, such as 1.13.")] = None,
    notebook: Annotated[bool, typer.Option("--notebook", help="Write the lesson as a notebook.")] = False,
    page: Annotated[bool, typer.Option("--page", help="Write it as a web page with its outputs.")] = False,
    as_pdf: Annotated[bool, typer.Option("--print", help="Write that page as a PDF; needs Chromium.")] = False,
    ticket: Annotated[Path | None, typer.Option(help="Begin in this folder with the ticket of a class.")] = None,
    as_json: Json = False,
) -> None:
    """Read a lesson of the course: it asks what you expect, runs, and asks again. Without a row it shows where you
    stand. What you write stays in .luthier-course in this folder.

    \b
    Example:
      luthier learn 1.13 --page
    """
    from luthier.course import deck
    from luthier.course.desk import begin_desk, find_desk, take_ticket

    if ticket is not None:
        screen.print_lines([f"You learn here as {take_ticket(ticket).learner}."])
    if row is None:
        from luthier.course.reading import standings

        return _show_standings(standings(find_desk()), as_json)
    wanted = deck.row_of(row)
    lesson, desk = deck.lesson_of(wanted), begin_desk()
    if notebook:
        return _write_notebook(lesson)
    if page or as_pdf:
        return _write_page(lesson, desk, as_pdf)
    return _read(lesson, desk)


def quiz(
    week: Annotated[int | None, typer.Argument(metavar="WEEK", min=1, max=2, help="1 or 2.")] = None,
    as_json: Json = False,
) -> None:
    """Take the quiz of a week; without a week see how you did. Each answer is marked at once, and a wrong one is told
    what it mistakes. Whoever takes it again gets other numbers. --json prints the questions alone.

    \b
    Example:
      luthier quiz 1
    """
    from luthier.course.desk import begin_desk
    from luthier.course.quiz import draw_quiz, result, takes

    if week is None:
        return _show_quizzes(as_json)
    desk = begin_desk()
    take = takes(week, desk)
    asked = draw_quiz(week, desk, take)
    if not asked:
        raise SettingsError(f"quiz {week}: no lesson of week {week} is written yet")
    if as_json:
        return screen.print_json([{"item": one.question.item, "text": one.text} for one in asked])
    desk.keep(kind="quiz", week=week, items=[one.question.item for one in asked])
    screen.print_lines([f"{len(asked)} questions. Enter skips one. {_END_OF_INPUT} ends the quiz."])
    marks: list[Mark] = []
    for number, one in enumerate(asked, 1):
        screen.print_lines(["", f"{number} of {len(asked)} (lesson {one.question.row})", one.text])
        if (mark := _answered(one, desk, take)) is None:
            break
        marks.append(mark)
    screen.print_lines(["", *result(asked, marks)])
    return None


def _show_quizzes(as_json: bool) -> None:
    from luthier.course import deck
    from luthier.course.desk import find_desk
    from luthier.course.quiz import standing

    found = [standing(week, find_desk()) for week in deck.QUIZZES]
    if as_json:
        from dataclasses import asdict

        return screen.print_json([asdict(one) for one in found])
    rows = [(str(one.week), str(one.takes), f"{one.right} of {one.questions}" if one.takes else "-") for one in found]
    screen.print_table(("quiz of week", "taken", "right the last time"), rows)
    screen.print_lines(["Take one with: luthier quiz 1"])
    return None


def lab(
    which: Annotated[
        str | None,
        typer.Argument(metavar="LAB", help="1: prompting. 2: fine-tuning and PEFT. job: a lab's study on SageMaker."),
    ] = None,
    sagemaker: Annotated[Path | None, typer.Option(help="With job: the training job's folder, which is made.")] = None,
    as_json: Json = False,
) -> None:
    """Show the steps of the labs, where you stand, and what comes next. Each step is a lesson, and each lab ends in a
    study. `lab job` writes lab 2's study as the folder of a SageMaker training job, to be tried here.

    \b
    Example:
      luthier lab 1
      luthier lab job --sagemaker job
    """
    from luthier.course.desk import find_desk
    from luthier.course.labs import STUDIES
    from luthier.course.reading import standings

    if which not in (None, "job", *map(str, STUDIES)):
        raise SettingsError(f"there is no lab '{which}'; there are 1, 2 and job")
    if (which == "job") != (sagemaker is not None):
        raise SettingsError("a job needs its folder: luthier lab job --sagemaker DIR")
    if sagemaker is not None:
        return _write_lab_job(sagemaker)
    desk, weeks = find_desk(), [int(which)] if which else list(STUDIES)
    steps = tuple(f"lab{week}." for week in weeks)
    _show_standings([one for one in standings(desk) if one.row.id.startswith(steps)], as_json)
    if not as_json:
        screen.print_lines([STUDIES[week].standing(desk) for week in weeks])
    return None


def _write_lab_job(folder: Path) -> None:
    from luthier.course.labs import write_lab_job

    write_lab_job(folder)
    here = f"SAGEMAKER_BASE_DIR={shlex.quote(str(folder))} luthier"
    screen.print_lines([
        f"{folder}: a training job of lab 2's study, as SageMaker gives it to a machine. Nothing runs yet.",
        f"Run it here; after a kill the same line goes on: {here} sagemaker-train",
        f"Ask the arm that it ships: {here} sagemaker-serve",
        "Write one for Amazon's machines: luthier sagemaker-job --help",
    ])  # fmt: skip


def kernel(
    prefix: Annotated[Path | None, typer.Option(help="The folder below which it is made; else your own.")] = None,
) -> None:
    """Make a Jupyter kernel that runs this environment, so that a notebook finds luthier.

    \b
    Example:
      luthier kernel
    """
    from luthier.course.notebook import install_kernel, shown_name

    folder = install_kernel(prefix)
    screen.print_lines([f"{folder}: in a notebook's menu of kernels choose '{shown_name()}'."])


def hand_in() -> None:
    """Pack what you did in this folder into one zip to hand in: your copies of lessons, and your answers.

    \b
    Example:
      luthier hand-in
    """
    from luthier.course import hand_in as work
    from luthier.course.desk import find_desk

    path = work.pack(find_desk(), Path.cwd())
    screen.print_lines(["It holds:", *(f"  {name}" for name in work.packed_in(path)), f"{path}: hand this file in."])


def _show_standings(found: list[Standing], as_json: bool) -> None:
    if as_json:
        return screen.print_json([
            {"row": one.row.id, "title": one.row.title, "state": one.row.state, "predicted": one.predicted,
             "questions": one.questions, "answered": one.answered, "right": one.right}
            for one in found
        ])  # fmt: skip
    wide = max((len(one.row.id) for one in found), default=0)
    rows = [
        (f"{one.row.id:<{wide}}  {one.row.title}", "open" if not one.row.done else "yes" if one.predicted else "-",
         f"{one.right} of {one.questions}" if one.row.done else "")
        for one in found
    ]  # fmt: skip
    screen.print_table(("row", "predicted", "right"), rows)
    ahead = next((one.row.id for one in found if one.row.done and one.right < one.questions), None)
    if ahead is None:
        screen.print_lines(["Every question is answered right."])
        return None
    screen.print_lines([f"Next: luthier learn {ahead} (a notebook to work in: --notebook; a web page: --page)"])
    return None


def _write_notebook(lesson: Lesson) -> None:
    from luthier.course.notebook import kernel_folder, notebook
    from luthier.files import write_text

    path = Path(f"{lesson.name}.ipynb")
    if path.exists():
        raise SettingsError(f"{path} is there already, perhaps with your answers; move it away for a new one")
    write_text(path, notebook(lesson.for_learners()))
    lines = [f"{path}: open it in Jupyter, Colab or VS Code, and fill its cells from the top."]
    if kernel_folder() is None:
        lines.append("It needs a kernel that runs this environment. Make it once: luthier kernel")
    if importlib.util.find_spec("jupyterlab") is None and importlib.util.find_spec("notebook") is None:
        lines.append("Jupyter's own page is one more package: pip install jupyterlab, then jupyter lab")
    screen.print_lines(lines)


def _write_page(lesson: Lesson, desk: Desk, as_pdf: bool) -> None:
    from luthier.course.page import page, print_pdf
    from luthier.course.reading import outputs_of
    from luthier.files import write_text
    from luthier.progress import say

    say(f"{lesson.title}: it runs once, which may take two minutes; then it is kept")
    path = Path(f"{lesson.name}.html")
    write_text(path, page(lesson, outputs_of(lesson, desk), desk))
    if as_pdf:
        print_pdf(path, path.with_suffix(".pdf"))
        path = path.with_suffix(".pdf")
    screen.print_lines([str(path)])


def _read(lesson: Lesson, desk: Desk) -> None:
    """The lesson on the terminal: its text, the prediction before anything runs, then what the cells gave."""
    from luthier.course.reading import copy_for_learners, outputs_of
    from luthier.progress import say

    cells = lesson.for_learners().cells
    first = next((at for at, cell in enumerate(cells) if cell.has("predict")), -1)
    for cell in cells[: first + 1]:
        _show_cell(cell, [], desk)
    say("The lesson runs once, which may take two minutes; then it is kept.")
    outputs = outputs_of(lesson, desk)
    for cell, out in list(zip(cells, outputs, strict=True))[first + 1 :]:
        _show_cell(cell, out, desk)
    path = copy_for_learners(lesson, Path())
    screen.print_lines(["", f"Your copy is {path}. Fill its hole there, turn its dials, and run it with python."])


def _show_cell(cell: Cell, outputs: list[Output], desk: Desk) -> None:
    from luthier.course.reading import asked_in

    if cell.markdown:
        return screen.print_lines(["", *cell.text.split("\n")])
    if cell.has("predict"):
        for item in asked_in(cell, "predict"):
            words = item.partition("/")[2].replace("-", " ")
            if typed := next(_typed(f"What do you expect ({words})? "), ""):
                desk.keep(kind="prediction", item=item, value=typed)
        return None
    if cell.has("question"):
        for item in asked_in(cell, "ask"):
            one = desk.question(item)
            screen.print_lines(["", one.text])
            _answered(one, desk, 0)
        return None
    if cell.has("dials") or cell.has("hole"):
        screen.print_lines(["", *(f"    {line}" for line in cell.text.split("\n"))])
    for output in outputs:
        screen.print_lines((output.words or output.text).rstrip("\n").split("\n"))
    return None


def _answered(one: Asked, desk: Desk, take: int) -> Mark | None:
    """The mark of what is typed, which is kept. An empty line skips the question: its mark is not `readable`.

    None where the input ends.
    """
    for answer in _typed("Answer (Enter skips it): "):
        mark = one.mark(answer)
        if not answer:
            return mark
        if not mark.readable:
            screen.print_lines([mark.says])
            continue
        desk.keep(kind="answer", item=one.question.item, take=take, answer=answer, right=mark.right,
                  misconception=mark.misconception)  # fmt: skip
        screen.print_lines([mark.says])
        return mark
    return None


def _typed(words: str) -> Iterator[str]:
    """Lines that are typed, until the input ends; the words are shown where somebody sits before the screen."""
    while True:
        if sys.stdin.isatty():
            print(words, end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        yield line.strip()
