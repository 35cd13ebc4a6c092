"""Verbs about tasks: make one, check it, show a prompt of it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

import luthier
from luthier import defaults
from luthier.cli import exits, screen
from luthier.cli.options import Delimiter, Encoding, Json, Quote, RowId
from luthier.metrics import DECIDING, DECIDING_LABELS

TaskName = Annotated[str, typer.Argument(metavar="TASK", help="A task folder, or one that ships, such as dialogues.")]


def init(
    folder: Annotated[Path, typer.Argument(help="The new task folder.")],
    source: Annotated[
        Path,
        typer.Option("--from", help="Your csv, tsv, json, jsonl or parquet file, copied unchanged; or hub:owner/name."),
    ],
    input: Annotated[
        list[str], typer.Option(help="The column with the text that the model is given, or a chat; repeat for several.")
    ],
    target: Annotated[
        str | None, typer.Option(help="The column with the reference answer; else a chat's last reply.")
    ] = None,
    labels: Annotated[str | None, typer.Option(help="Or the column with the label: a classification.")] = None,
    dev: Annotated[Path | None, typer.Option(help="A file with the dev rows.")] = None,
    test: Annotated[Path | None, typer.Option(help="A file with the test rows.")] = None,
    split_col: Annotated[str | None, typer.Option(help="A column that says train, dev or test.")] = None,
    cluster: Annotated[str | None, typer.Option(help="Rows equal in this column stay in one split.")] = None,
    id: RowId = None,
    meta: Annotated[list[str] | None, typer.Option(help="A further column to keep; repeat for several.")] = None,
    instruction: Annotated[str | None, typer.Option(help="The instruction of the default template.")] = None,
    name: Annotated[str | None, typer.Option(help="What reports call the task; else the folder's name.")] = None,
    metric: Annotated[
        str | None, typer.Option(help=f"The metric that decides; else {DECIDING}, or {DECIDING_LABELS}.")
    ] = None,
    margin: Annotated[float | None, typer.Option(help="Differences below it do not matter, on 0 to 1.")] = None,
    dev_share: Annotated[
        float, typer.Option(help="Share of the rows drawn as dev, where none is given.")
    ] = defaults.DEV_SHARE,
    test_share: Annotated[
        float, typer.Option(help="Share of the rows drawn as test, where none is given.")
    ] = defaults.TEST_SHARE,
    seed: Annotated[int, typer.Option(help="The seed that draws splits and shots.")] = 0,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    quote: Quote = None,
    as_json: Json = False,
) -> None:
    """Make a task folder from your own file. Splits that you do not give are drawn by a seed; clusters and
    equal inputs stay together.

    \b
    Example:
      luthier init notes --from visits.csv --input dialogue --target note
    """
    task = luthier.init_task(
        folder, source, input=input, target=target, labels=labels, dev=dev, test=test, split_column=split_col,
        cluster=cluster, id=id, meta=meta, instruction=instruction, name=name, metric=metric, margin=margin,
        dev_share=dev_share, test_share=test_share, seed=seed, encoding=encoding, delimiter=delimiter, quote=quote,
    )  # fmt: skip
    if as_json:
        return screen.print_json(task.summary())
    screen.print_task(task.summary())
    screen.print_lines([f"Look it over: luthier check {shlex.quote(str(folder))}"])


def check(
    task: TaskName,
    model: Annotated[str | None, typer.Option(help="Count tokens with this model: a name, hub id or folder.")] = None,
    as_json: Json = False,
) -> None:
    """Check a task for problems: empty and repeated rows, leaks between splits and, with a model, inputs that would be
    cut or cannot be rendered. The exit code is 1 when there are errors.

    \b
    Example:
      luthier check dialogues --model smollm2-135m
    """
    read = luthier.load_task(task)
    findings = luthier.check_task(read, luthier.load(model, labels=read.labels) if model else None)
    errors = sum(finding.level == "error" for finding in findings)
    if as_json:
        screen.print_json({"task": task, "errors": errors, "findings": [vars(finding) for finding in findings]})
    else:
        screen.print_findings(findings)
    if errors:
        mend = (
            f"{task}: {errors} error{'s' * (errors > 1)} to mend before a study; each is named above with file and row"
        )
        sys.stdout.flush()
        raise exits.exit_with(1, mend)


def show(
    task: TaskName,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "dev",
    id: Annotated[str | None, typer.Option("--id", help="The example; by default the split's first.")] = None,
    arm: Annotated[str, typer.Option(help="An arm's short form, such as few-shot-2:question.")] = "zero-shot",
    model: Annotated[str, typer.Option(help="A short name, a hub id, or a folder.")] = defaults.MODEL,
) -> None:
    """Show the exact prompt of an arm, token by token. Supervised tokens, which a trained arm learns to say, are
    painted; where there are no colours they stand in ⟦ ⟧.

    \b
    Example:
      luthier show dialogues --arm lora --split train
    """
    loaded_task = luthier.load_task(task)
    loaded = luthier.load(luthier.model_of(arm) or model, labels=loaded_task.labels)
    prompt, example = luthier.prompt_of(loaded_task, arm, loaded, split, id)
    screen.print_painted(luthier.paint(prompt, loaded.tokenizer))
    screen.print_counts(example.id, prompt)
