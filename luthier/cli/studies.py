"""Verbs about studies: run one, run one over several tasks, write its report again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import luthier
from luthier import machine
from luthier.cli import exits, screen


def study(
    task: Annotated[str | None, typer.Argument(help="A task folder, or one that ships; may stand in --config.")] = None,
    model: Annotated[str | None, typer.Option(help="A short name, a hub id, or a folder.")] = None,
    arms: Annotated[str | None, typer.Option(help="Short forms with commas between, or 'all'.")] = None,
    defaults: Annotated[str | None, typer.Option(help="Settings of all arms that have them: epochs=1,rank=8.")] = None,
    train: Annotated[int | None, typer.Option(help="Training examples: a seeded, nested sample.")] = None,
    dev: Annotated[int | None, typer.Option(help="Dev examples, on which settings are chosen.")] = None,
    test: Annotated[int | None, typer.Option(help="Test examples, which decide once.")] = None,
    out: Annotated[Path | None, typer.Option(help="The study's folder; else one in studies/.")] = None,
    config: Annotated[Path | None, typer.Option(help="A study.toml; options go before what it says.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of samples, training and sampling.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32 or bf16.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Train each trained arm under this many; 3 for a recipe.")] = None,
    tune: Annotated[int | None, typer.Option(help="Configurations tried on dev for each trained arm.")] = None,
    likelihood: Annotated[bool | None, typer.Option(help="Bits per character of the references.")] = None,
    memory: Annotated[float | None, typer.Option(help="GB that the process may hold at most.")] = None,
) -> None:
    """Try every arm on the same examples and decide. This is the main job; stopped and started again with the same
    arguments it goes on, and ends with the same numbers.

    \b
    Example:
      luthier study dialogues --arms zero-shot,few-shot-2,lora --train 100
    """
    machine.keep_freed_memory()
    folder = luthier.study(
        task, model=model, arms=arms, defaults=defaults, train=train, dev=dev, test=test, out=out, config=config,
        seed=seed, precision=precision, seeds=seeds, tune=tune, likelihood=likelihood, memory=memory,
        command=exits.command(),
    )  # fmt: skip
    from luthier.results.comparison import Comparison

    screen.print_lines([Comparison.read(folder).ship.sentence, f"Report: {folder / 'report.html'}"])


def multitask(
    tasks: Annotated[list[str], typer.Argument(metavar="TASK", help="Two tasks to train on, or more.")],
    held_out: Annotated[list[str] | None, typer.Option(help="A task never trained on; repeat for several.")] = None,
    arms: Annotated[str | None, typer.Option(help="Short forms; each trained one gets a multi-task twin.")] = None,
    defaults: Annotated[str | None, typer.Option(help="Settings of all arms that have them: rank=8.")] = None,
    mixture: Annotated[str | None, typer.Option(help="proportional, equal or temperature.")] = None,
    temperature: Annotated[float | None, typer.Option(help="T of a temperature mixture; 1 is proportional.")] = None,
    cap: Annotated[int | None, typer.Option(help="A task counts as at most this many examples.")] = None,
    templates: Annotated[int | None, typer.Option(help="Templates of each task to train under; else all.")] = None,
    effort: Annotated[
        str | None, typer.Option(help="together: as many examples as all single-task arms; or one.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="A short name, a hub id, or a folder.")] = None,
    train: Annotated[int | None, typer.Option(help="Training examples of a task at most.")] = None,
    dev: Annotated[int | None, typer.Option(help="Dev examples of a task at most.")] = None,
    test: Annotated[int | None, typer.Option(help="Test examples of a task at most.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder; else one in studies/.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of samples, mixture, training and sampling.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32 or bf16.")] = None,
    memory: Annotated[float | None, typer.Option(help="GB that the process may hold at most.")] = None,
) -> None:
    """Train one model on several tasks, and set it against one model a task. A study for each task, held-out ones too,
    and one table over them; stopped and started again with the same arguments it goes on.

    \b
    Example:
      luthier multitask dialogues tasks/notes --held-out tasks/titles --mixture equal
    """
    machine.keep_freed_memory()
    folder = luthier.multitask(
        tasks, held_out=held_out or (), arms=arms, defaults=defaults, mixture=mixture, temperature=temperature, cap=cap,
        templates=templates, effort=effort, model=model, train=train, dev=dev, test=test, out=out, seed=seed,
        precision=precision, memory=memory, command=exits.command(),
    )  # fmt: skip
    from luthier.files import read_json

    screen.print_lines([*read_json(folder / "tasks.json")["sentences"], f"Report: {folder / 'report.html'}"])


def report(folder: Annotated[Path, typer.Argument(metavar="STUDY", help="A study's folder.")]) -> None:
    """Write a study's report again. Everything comes from its folder: report.html, which opens offline, and report.md.

    \b
    Example:
      luthier report studies/mine
    """
    several = (folder / "multitask.json").exists()
    screen.print_lines([f"Report: {luthier.overview(folder) if several else luthier.report(folder)}"])
