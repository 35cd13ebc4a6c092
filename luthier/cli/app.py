"""The command line, all verbs together. A verb parses, calls one function of the library, prints one record.

Results go to standard output, everything else to standard error. exits.py has the exit codes, screen.py the tables.

Only typer is imported here; `luthier.NAME` imports what a verb needs when it runs, so `--help` is quick.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

import luthier
from luthier.cli import (
    arms,
    classroom,
    columns,
    course,
    exits,
    launch,
    options,
    plan,
    rating,
    scratch,
    serving,
    studies,
    tasks,
)

app = typer.Typer(cls=exits.Verbs, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def main() -> None:
    """Runs the command line and exits."""
    exits.prepare()
    app(prog_name="luthier")


def _version(asked: bool) -> None:
    if asked:
        print(f"luthier {luthier.__version__}")
        raise typer.Exit


@app.callback()
def _luthier(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Fit a language model to a task and prove that it fits: prompting, fine-tuning and their comparison."""


TASK_VERBS: tuple[Callable[..., None], ...] = (tasks.init, tasks.check, tasks.show)
FOLDER_VERBS: tuple[Callable[..., None], ...] = (arms.ask, arms.answer, arms.merge, studies.report, rating.rate)
ABILITY_VERBS: tuple[Callable[..., None], ...] = (studies.panel, arms.bench)
SERVING_VERBS: tuple[Callable[..., None], ...] = (serving.serve, serving.ship, serving.verify, serving.push)
COLUMN_VERBS: tuple[Callable[..., None], ...] = (columns.score, columns.compare)
SCALE_VERBS: tuple[Callable[..., None], ...] = (scratch.fit, scratch.run, scratch.plan)
CLASS_VERBS: tuple[Callable[..., None], ...] = (classroom.issue, classroom.mark, classroom.show, classroom.export)
COURSE_VERBS: tuple[Callable[..., None], ...] = (course.learn, course.lab, course.quiz, course.kernel)

for verb in TASK_VERBS:
    options.add(app, verb)
options.add(app, studies.study, "luthier.studies.spec:StudySpec")
options.add(app, studies.multitask, "luthier.studies.spec:MultitaskSpec")
for verb in FOLDER_VERBS + ABILITY_VERBS + SERVING_VERBS + COLUMN_VERBS:
    options.add(app, verb)
options.add(app, plan.plan, "luthier.arms.planned:PlanSpec")
options.add(app, scratch.tokens)
options.add(app, scratch.pretrain, "luthier.scratch.pretraining:Pretraining")
options.add(app, scratch.trial, "luthier.scratch.trial_cells:Trial")
for verb in SCALE_VERBS:
    options.add(scratch.scale, verb)
app.add_typer(scratch.scale, name="scale")
for verb in COURSE_VERBS:
    options.add(app, verb)
options.add(app, course.hand_in, name="hand-in")
options.add(app, launch.sagemaker_train, name="sagemaker-train", context=launch.AS_TYPED)
options.add(app, launch.sagemaker_serve, name="sagemaker-serve")
options.add(app, launch.sagemaker_job, name="sagemaker-job")
for verb in CLASS_VERBS:
    options.add(classroom.classes, verb)
app.add_typer(classroom.classes, name="class")
