"""Verbs that Amazon SageMaker types in a container, and the one that writes what starts a job there."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Annotated

import typer

from luthier.cli import exits, options, screen

AS_TYPED = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}


def sagemaker_train(context: typer.Context) -> None:
    """Run a study as a SageMaker training job: settings from hyperparameters.json, the task from a channel, the study
    among the checkpoints, the shipped arm in the model folder. A job that was killed goes on.

    \b
    Example:
      SAGEMAKER_BASE_DIR=job luthier sagemaker-train --train 100
    """
    from luthier.launch import contract, sagemaker
    from luthier.results.comparison import Comparison

    base = contract.base_of(os.environ)
    contract.forget_failure(base)
    try:
        job = contract.Job.read(os.environ, context.args)
        if not job.works_here:
            return screen.print_lines([f"{job.host}: a study is the work of one machine; {min(job.hosts)} does it."])
        with exits.room_for_words():
            folder = sagemaker.train(job, exits.command())
    except (Exception, KeyboardInterrupt) as error:
        raise _failed(base, error, context.info_name) from None
    return screen.print_lines([Comparison.read(folder).ship.sentence, f"Report: {job.output / 'report.html'}"])


def _failed(base: Path, error: BaseException, verb: str | None) -> typer.Exit:
    """The exit of a job that failed, after its sentence was written where its user sees it."""
    from luthier.launch import contract

    ending = exits.ending_of(error, verb)
    if ending is None:
        traceback.print_exception(error)
        ending = 1, f"luthier made a mistake ({type(error).__name__}: {error}); the job's log has its traceback"
    code, sentence = ending
    try:
        contract.write_failure(base, sentence)
    except OSError as problem:
        sentence = f"{sentence} (and the file `failure` could not be written: {problem.strerror})"
    return exits.exit_with(130 if code == 130 else 1, sentence)


def sagemaker_serve() -> None:
    """Serve the arm in SageMaker's model folder: /ping and /invocations, on port 8080. A container's image types this.

    \b
    Example:
      SAGEMAKER_BASE_DIR=job luthier sagemaker-serve
    """
    options.refuse_without_server()
    from luthier.launch.endpoint import serve_model

    serve_model(os.environ, say=lambda text: screen.print_lines(text.splitlines()))


def sagemaker_job(
    out: Annotated[Path, typer.Argument(help="The new folder.")],
    name: Annotated[str, typer.Option(help="The job's name.")],
    image: Annotated[str, typer.Option(help="The address of the image that the Dockerfile in the folder makes.")],
    role: Annotated[str, typer.Option(help="The role that the job has, as an ARN.")],
    s3: Annotated[str, typer.Option(help="Where data, checkpoints and results lie: s3://BUCKET/PREFIX.")],
    channel: Annotated[
        list[str], typer.Option(metavar="NAME=FROM", help="A folder here, or an s3 address; repeat for several.")
    ],
    set: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A setting, such as train=100; repeat for several.")
    ] = None,
    instance: Annotated[str | None, typer.Option(help="The machine; else ml.m5.xlarge.")] = None,
    gigabytes: Annotated[int | None, typer.Option(help="Of its disk; else 50.")] = None,
    hours: Annotated[float | None, typer.Option(help="After which the job is ended; else 24.")] = None,
    goes_on: Annotated[
        str | None, typer.Option(help="An earlier job, from whose checkpoints this one goes on.")
    ] = None,
    spot: Annotated[
        bool, typer.Option("--spot", help="A cheaper machine that may be taken away; the job goes on.")
    ] = False,
) -> None:
    """Write what starts a SageMaker training job: the request, the commands, the files of its image. Nothing is sent.

    \b
    Example:
      luthier sagemaker-job job --name notes-1 --image 123456789012.dkr.ecr.eu-west-1.amazonaws.com/luthier:1 \
        --role arn:aws:iam::123456789012:role/luthier --s3 s3://mine/notes --channel task=tasks/notes --set train=100
    """
    from luthier.launch.request import pairs, write_job

    chosen = {"instance": instance, "gigabytes": gigabytes, "hours": hours, "goes_on": goes_on}
    commands = write_job(
        out,
        {
            "name": name, "image": image, "role": role, "s3": s3, "spot": spot,
            "channels": pairs(channel, "--channel"), "settings": pairs(set or [], "--set"),
            **{key: value for key, value in chosen.items() if value is not None},
        },
    )  # fmt: skip
    screen.print_lines(
        [f"{out}: the request, the commands and the image's files. Nothing was sent. To start:", *commands]
    )
