"""Exit codes: every error that is not a bug ends in one sentence and an exit code.

0: done. 1: `check` found errors, or the reader of the output is gone. 2: bad input. 130: stopped by Ctrl-C; the
sentence gives the command that continues. A traceback means a bug in luthier.
"""

from __future__ import annotations

import shlex
import sys
import warnings
from typing import Any

import typer
from typer.core import TyperGroup

import luthier
from luthier.cli import screen


class Verbs(TyperGroup):
    """The group of all verbs; an error that is not a bug becomes one sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the verb and flushes standard output, so that a write error (full disk) is raised here."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except luthier.LuthierError as error:
            raise exit_with(error.exit_code, str(error)) from None
        except KeyboardInterrupt:
            raise exit_with(130, _how_to_go_on(ctx.invoked_subcommand)) from None
        except OSError as error:
            screen.close()
            if isinstance(error, BrokenPipeError):  # the reader of the output is gone, so no sentence
                raise typer.Exit(1) from None
            where = f"{error.filename}: " if error.filename else "standard output or a file: "
            raise exit_with(2, f"{where}{error.strerror or error}; make room or name another path") from None


def exit_with(code: int, sentence: str) -> typer.Exit:
    """The exit to raise, after one line on standard error."""
    screen.complain(sentence)
    return typer.Exit(code)


def _how_to_go_on(verb: str | None) -> str:
    if verb in ("study", "multitask", "rate"):
        return f"stopped, and the work so far is saved; go on with: {command()}"
    return f"stopped, and nothing that was there is lost; start again with: {command()}"


def command() -> str:
    """What was typed, ready to be typed again."""
    return shlex.join(["luthier", *sys.argv[1:]])


def prepare() -> None:
    """Prevents encoding errors, and hides the warnings of libraries."""
    for stream in (sys.stdout, sys.stderr):  # a terminal of few letters shows \u27e6 rather than a traceback
        if callable(reconfigure := getattr(stream, "reconfigure", None)):
            reconfigure(errors="backslashreplace")
    if not sys.warnoptions:  # warnings of libraries are for developers, who use -W
        warnings.simplefilter("ignore")
