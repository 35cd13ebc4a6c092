"""Verbs about studies: run one, run one over several tasks, ask what its arms kept, write its report again.

The settings of a study are in studies/spec.py; options.py makes options from them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import luthier
from luthier.cli import exits, screen
from luthier.cli.options import Json


def study(
    task: Annotated[str | None, typer.Argument(help="A task folder, or one that ships; may stand in --config.")] = None,
    *,
    out: Annotated[Path | None, typer.Option(help="The study's folder; else one in studies/.")] = None,
    config: Annotated[Path | None, typer.Option(help="A study.toml; options override it.")] = None,
    **given: Any,
) -> None:
    """Try every arm on the same examples and decide. If it is stopped, the same command continues it, and ends with the
    same numbers.

    \b
    Example:
      luthier study dialogues --arms zero-shot,few-shot-2,lora --train 100
    """
    folder = luthier.study(task, out=out, config=config, command=exits.command(), **given)
    from luthier.results.comparison import Comparison

    screen.print_lines([Comparison.read(folder).ship.sentence, f"Report: {folder / 'report.html'}"])


def multitask(
    tasks: Annotated[list[str], typer.Argument(metavar="TASK", help="Two tasks to train on, or more.")],
    *,
    out: Annotated[Path | None, typer.Option(help="The folder; else one in studies/.")] = None,
    **given: Any,
) -> None:
    """Train one model on several tasks, and compare it with one model a task. It makes a study for each task, also for
    held-out ones, and one table over them. If it is stopped, the same command continues it.

    \b
    Example:
      luthier multitask dialogues tasks/notes --held-out tasks/titles --mixture equal
    """
    folder = luthier.multitask(tasks, out=out, command=exits.command(), **given)
    from luthier.results.multitask_record import TasksRecord

    screen.print_lines([*TasksRecord.read(folder).sentences, f"Report: {folder / 'report.html'}"])


def panel(
    source: Annotated[str, typer.Argument(help="A study, an arm's folder, or a model.")],
    arm: Annotated[
        str | None, typer.Option(help="One arm of the study; else all that have weights of their own.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="What a model is held against; an arm is held against its base.")
    ] = None,
    margin: Annotated[
        str | None,
        typer.Option(metavar="KEY=VALUE,...", help="Losses that would matter, such as text=0.02,pairs=0.03."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder; else the study's own, or one in panels/.")] = None,
    as_json: Json = False,
) -> None:
    """Say what an arm kept of what its base could do: how well it predicts texts, tells right sentences from wrong ones
    and follows instructions, and how far its plain answers have moved. All items come with luthier.

    \b
    Example:
      luthier panel studies/mine
    """
    folder = luthier.panel(source, arm=arm, base=base, margin=margin, out=out, command=exits.command())
    from luthier.results.panel_record import Panel
    from luthier.suites.page import HEADER, PAGE, change_rows, model_rows, verdict_words

    record = Panel.read(folder)
    if as_json:
        return screen.print_json(record.as_json())
    if record.arms:
        screen.print_table(HEADER, change_rows(record))
    else:
        screen.print_table(*model_rows(record))
    screen.print_lines([*verdict_words(record), f"Page: {folder / PAGE}"])
    return None


def report(folder: Annotated[Path, typer.Argument(metavar="STUDY", help="A study's folder.")]) -> None:
    """Write a study's report again. Everything comes from its folder: report.html, which opens offline, and report.md.

    \b
    Example:
      luthier report studies/mine
    """
    from luthier.results.multitask_record import MultitaskRecord

    several = MultitaskRecord.is_in(folder)
    screen.print_lines([f"Report: {luthier.overview(folder) if several else luthier.report(folder)}"])
