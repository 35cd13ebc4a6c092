"""Verbs that Amazon SageMaker types in a container, and the one that writes what starts a job there."""

from __future__ import annotations

import os
import traceback

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
        folder = sagemaker.train(job, exits.command())
    except (Exception, KeyboardInterrupt) as error:
        raise _failed(base, error, context.info_name) from None
    return screen.print_lines([Comparison.read(folder).ship.sentence, f"Report: {job.output / 'report.html'}"])


def _failed(base: os.PathLike[str], error: BaseException, verb: str | None) -> typer.Exit:
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
