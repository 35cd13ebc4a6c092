"""Exit codes: every error that is not a bug ends in one sentence and an exit code.

0: done. 1: `check` found errors, or the reader of the output is gone. 2: bad input, or a machine that is too small for
it. 130: stopped by Ctrl-C; the sentence gives the command that continues. A traceback means a bug in luthier.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import gc
import math
import mmap
import os
import re
import shlex
import sys
import traceback
import warnings
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

import luthier
from luthier import machine
from luthier.cli import screen

CODES = {0, 1, 2, 130}
READER_GONE = (errno.EPIPE, errno.EBADF)  # the reader of the output is gone, or never was there
ADVICE = {  # what libraries raise about a user's machine or files -> what would help
    "memory": "there is not enough memory for this{}; end other programs, choose a smaller model, rank or batch_size, "
    "or bound a study with --memory{}",
    "weights": "a file of weights is damaged or cut off; fetch the model or make the arm again",
    "text": "a text or a name holds bytes that are not UTF-8; save it as UTF-8, or give it another name",
    "nesting": "what was given is nested too deeply to be read; give a simpler file",
}
_NO_MEMORY = {  # kinds of errors -> words by which they say that memory ended
    "RuntimeError": ("can't allocate memory", "DefaultCPUAllocator", "out of memory", "start new thread", "bad_alloc",
                     "Cannot allocate memory"),
    "ImportError": ("failed to map segment", "cannot allocate memory"),
    "SystemError": ("without exception set",),  # Python had no memory for one more call
}  # fmt: skip
# Room to end in, taken before anything may run short. Python maps the frames of calls, and crashes where it cannot.
_kept = mmap.mmap(-1, 4 << 20)
FITS = 0.9  # of what the process can hold: the bound that a study is told to give, since other programs live too
_ASKED = re.compile(r"(?:[Uu]nable|[Tt]ried) to allocate\D{0,3}([\d.]+) ?(bytes|[KMGTPE]iB)")
_UNITS = {"bytes": 1.0} | {f"{sign}iB": 1024.0**power for power, sign in enumerate("KMGTPE", 1)}
WITH_TORCH = {
    "study",
    "multitask",
    "ask",
    "answer",
    "merge",
    "show",
    "panel",
    "bench",
    "serve",
    "ship",
    "verify",
    "push",
    "pretrain",
    "scale run",
    "sagemaker-train",
    "sagemaker-serve",
}
# Bytes of addresses that numpy and scipy, or torch and transformers, take to load; and more for each of their threads.
LEAST, LEAST_TORCH = (0.45e9, 0.05e9), (1.3e9, 0.1e9)


class Verbs(TyperGroup):
    """The group of all verbs; an error that is not a bug becomes one sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the verb and flushes standard output, so that a write error (full disk) is raised here."""
        try:
            with room_for_words():
                _refuse_too_little_memory(sys.argv[1:])
                result = super().invoke(ctx)
                sys.stdout.flush()
                return result
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, OSError):
                screen.close()
                if error.errno in READER_GONE:
                    raise typer.Exit(1) from None
            if (ending := ending_of(error, ctx.invoked_subcommand)) is None:
                raise
            raise exit_with(*ending) from None


def ending_of(error: BaseException, verb: str | None) -> tuple[int, str] | None:
    """The exit code and the sentence that `verb` ends with because of an error; None for a bug: it has a traceback."""
    if isinstance(error, luthier.LuthierError):
        is_memory = isinstance(error.__cause__, Exception) and lacks_memory(error.__cause__)
        return error.exit_code, f"{error}; {_too_little(error.__cause__)}" if is_memory else str(error)
    if isinstance(error, KeyboardInterrupt):
        return 130, _how_to_go_on(verb)
    if isinstance(error, OSError) and not lacks_memory(error):
        where = f"{error.filename}: " if error.filename else "standard output or a file: "
        return 2, f"{where}{error.strerror or error}; make room or name another path"
    advice = advice_on(error) if isinstance(error, Exception) else None
    return None if advice is None else (2, advice)


@contextlib.contextmanager
def room_for_words() -> Iterator[None]:
    """Gives memory back when an error leaves the block: what was kept for that, and what the error's frames held.

    Where memory has ended Python itself may crash on the way to the sentence that says so.
    """
    try:
        yield
    except Exception as error:
        _kept.close()
        traceback.clear_frames(error.__traceback__)
        raise


def advice_on(error: Exception) -> str | None:
    """One sentence on an error that a library raises about the machine or a file; None for any other, which is a bug.

    Libraries are known by the names of their errors, because none of them may be imported here.
    """
    if lacks_memory(error):
        return _too_little(error)
    names, said = {kind.__name__ for kind in type(error).__mro__}, str(error)
    if "SafetensorError" in names:
        return f"{ADVICE['weights']} ({said})"
    if "UnicodeError" in names:
        return f"{ADVICE['text']} ({getattr(error, 'reason', said)})"
    return ADVICE["nesting"] if "RecursionError" in names else None


def lacks_memory(error: Exception) -> bool:
    """Whether an error says that the system gave no more memory, or no more threads, which need some."""
    names, said = {kind.__name__ for kind in type(error).__mro__}, str(error)
    if names & {"MemoryError", "OutOfMemoryError"} or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    return any(kind in names and any(words in said for words in words_of) for kind, words_of in _NO_MEMORY.items())


def _too_little(error: BaseException | None) -> str:
    """What would help where memory ended: the bytes that were asked for, and those that would fit."""
    asked, most = _asked_bytes(str(error)), machine.most_bytes()
    facts = [
        *([f"it asked for {asked / 1e9:,.1f} GB more"] if asked is not None else []),
        *([f"this process can hold {most / 1e9:,.1f} GB in all"] if most else []),
    ]
    fits = f" {math.floor(most * FITS / 1e8) / 10:.1f}" if most and most * FITS >= 1e8 else ""
    return ADVICE["memory"].format(f" ({', and '.join(facts)})" if facts else "", fits)


def _asked_bytes(said: str) -> float | None:
    """The bytes that torch or numpy could not get, by their words."""
    found = _ASKED.search(said)
    return float(found[1]) * _UNITS[found[2]] if found else None


def _refuse_too_little_memory(words: list[str]) -> None:
    """Raises SettingsError where libraries could not even be loaded: they would hang or end the process themselves."""
    if (most := machine.most_mapped_bytes()) is None or {"--help", "--version"} & set(words):
        return
    loads_torch = {*words[:1], " ".join(words[:2])} & WITH_TORCH or any(word.startswith("--model") for word in words)
    least, each = LEAST_TORCH if loads_torch else LEAST
    if most < (needed := least + each * machine.threads()):
        raise luthier.SettingsError(
            f"this process may have {most / 1e9:.1f} GB of memory and needs {needed / 1e9:.1f} GB to begin with; allow "
            "more (ulimit -v), or let it use fewer threads (OMP_NUM_THREADS=1)"
        )


def exit_with(code: int, sentence: str) -> typer.Exit:
    """The exit to raise, after one line on standard error."""
    screen.complain(sentence)
    return typer.Exit(code)


def _how_to_go_on(verb: str | None) -> str:
    if verb in ("study", "multitask", "answer", "panel", "rate", "pretrain", "scale", "sagemaker-train"):
        return f"stopped, and the work so far is saved; go on with: {command()}"
    return f"stopped, and nothing that was there is lost; start again with: {command()}"


def command() -> str:
    """What was typed, ready to be typed again."""
    return shlex.join(["luthier", *sys.argv[1:]])


def prepare() -> None:
    """Opens the streams that the caller closed, prevents encoding errors, hides warnings of libraries, ends fast."""
    # A stream that the caller closed is None, and the next file that is opened would take its place.
    for name, mode in (("stdin", os.O_RDONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:  # standard output refuses to be written: a result that is lost is no success
            handle = os.open(os.devnull, mode)
            setattr(sys, name, open(handle, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115 - until the end
    for stream in (sys.stdout, sys.stderr):  # a terminal of few letters shows \u27e6 rather than a traceback
        if callable(reconfigure := getattr(stream, "reconfigure", None)):
            reconfigure(errors="backslashreplace")
    atexit.register(gc.freeze)  # Python would look for garbage among all that is left, which the system takes anyway
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # pydantic would look for some in every package
    if not sys.warnoptions:  # warnings of libraries are for developers, who use -W
        warnings.simplefilter("ignore")
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # read when it is imported; errors still come through
