"""One command on a harmed folder, in a process with limits, and what is wrong with how it ended."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.cases import Case
from tests.hostile.folders import Right

MOST_SECONDS = 30.0
MOST_BYTES = 6 << 30  # in addition to what is imported; a command that takes more is ended by its own error

ROWS = "dialogue,summary\n" + "".join(f"Ann: May I come at {i}?,Ann asks for {i}.\n" for i in range(1, 25))


@dataclass(frozen=True)
class Place:
    """Where cases run: a sound model, a task, and folders in which nothing may change."""

    root: Path
    sound: Path

    @classmethod
    def new(cls, root: Path) -> Place:
        from luthier.model.quiet import quiet
        from tests import tiny
        from tests.commands import type_in

        (root / "rows.csv").write_text(ROWS)
        type_in(
            ["init", str(root / "task"), "--from", str(root / "rows.csv"), "--input", "dialogue", "--target", "summary"]
        )
        with quiet():
            tiny.save("decoder-chat", root / "sound")
        return cls(root, root / "sound")


def run(case: Case, place: Place) -> str | None:
    """Runs a command on the case's folder; what is wrong with how it ended, or None."""
    desk = Path(tempfile.mkdtemp(dir=place.root))
    folder = Path(shutil.copytree(place.sound, desk / "model"))
    right = case.make(folder)
    before = listing(desk)
    task = str(place.root / "task")
    verb = [
        ["check", task, "--model", str(folder)],
        ["ask", str(folder), "Ann: May I come at nine?"],
        ["plan", "--model", str(folder), "--task", task, "--arm", "zero-shot", "--arm", "lora"],
    ][case.number % 3]
    if verb[0] == "plan" and right == "refused":
        right = "either"  # a plan loads no weights, so it may pass over what only they would show
    code, said, seconds = in_a_process(verb, desk)
    wrong = problem(right, verb[0], code, said, seconds)
    if listing(desk) != before:
        wrong = f"changed files: {sorted(listing(desk) ^ before)[:3]}"
    shutil.rmtree(desk)
    return wrong


def problem(right: Right, verb: str, code: int | None, said: str, seconds: float) -> str | None:
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "")[:160]
    if code is None:
        return f"hangs: {seconds:.0f} s"
    if "Traceback" in said or code not in (0, 1, 2):
        return f"exit code {code}: {last}"
    sentences = [line for line in said.splitlines() if not line.startswith("check: tokens: ")]  # the bar of a check
    if code == 2 and (len(sentences) != 1 or not sentences[0].startswith("luthier: ")):
        return f"no single sentence: {said[:200]!r}"
    if right == "refused" and code == 0:
        return "a wrong success"
    return f"a sound model is refused: {last}" if right == "runs" and code != 0 else None


def listing(root: Path) -> set[tuple[str, int, int]]:
    """Every file below, with its size and the time of its last change."""
    found = [(path, path.lstat()) for path in root.rglob("*") if path.name not in ("out", "err")]
    return {(str(path), state.st_size if path.is_file() else 0, state.st_mtime_ns) for path, state in found}


def in_a_process(verb: list[str], desk: Path) -> tuple[int | None, str, float]:
    """(exit code or None when it was ended, what it said on standard error, seconds). Forked, to save the imports."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _command(verb, desk)
    code: int | None = None
    while time.monotonic() - began < MOST_SECONDS:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            break
        time.sleep(0.01)
    else:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    said = (desk / "err").read_text(errors="replace") if (desk / "err").exists() else ""
    return code, said, time.monotonic() - began


def _command(verb: list[str], desk: Path) -> None:
    """The command line as this process, which ends with it."""
    code = 99
    try:
        os.setsid()
        pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
        if pages:
            most = pages * os.sysconf("SC_PAGE_SIZE") + MOST_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(desk / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        os.environ["COLUMNS"] = "2000"
        sys.argv = ["luthier", *verb]
        from luthier.cli import app

        try:
            app.main()
        except SystemExit as end:
            code = int(end.code or 0)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)
