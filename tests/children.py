"""Commands in a child of this process: under a limit of memory, file size or disk, or killed at a counted moment.

A child is forked, so that nothing is imported again and hundreds of commands take minutes. What happens to it is
counted in events of the file system and not in seconds, so a seed gives the same moment on every machine.

Studies in a child must be fp32: torch's thread pool does not survive a fork, and turning weights into bf16 needs it.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import resource
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from luthier.files import read_lines
from luthier.progress import Stopped
from tests.commands import Said

MIB = 1 << 20
# What changes a disk, as Python tells its audit hooks; fsync is told to nobody and is wrapped.
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT

Before = Callable[[], None]


def nothing() -> None:
    """What happens in a child before an undisturbed command."""


def run(work: Callable[[], Any], cwd: Path, before: Before = nothing, keys: str = "", seconds: int = 900) -> Said:
    """Does `work` in a forked child of its own streams. The code of a child that was killed is minus the signal."""
    (typed, keyboard), (out, to_out), (err, to_err) = os.pipe(), os.pipe(), os.pipe()  # no files: their size is limited
    os.write(keyboard, keys.encode())
    os.close(keyboard)
    sys.stdout.flush()
    sys.stderr.flush()
    if not (child := os.fork()):
        _in_child(work, cwd, before, (typed, to_out, to_err), seconds)
    for handle in (typed, to_out, to_err):
        os.close(handle)
    said = _read(out, err)
    return Said(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), *said)


def _read(*handles: int) -> list[str]:
    """What comes out of several pipes until all are closed."""
    found: dict[int, bytes] = dict.fromkeys(handles, b"")
    open_ones = list(handles)
    while open_ones:
        for handle in select.select(open_ones, [], [])[0]:
            if data := os.read(handle, 1 << 16):
                found[handle] += data
            else:
                open_ones.remove(handle)
                os.close(handle)
    return [data.decode("utf-8", "replace") for data in found.values()]


def _in_child(work: Callable[[], Any], cwd: Path, before: Before, streams: tuple[int, ...], seconds: int) -> None:
    gc.freeze()  # what the parent made need not be looked through again
    code: Any = 70  # what no command of ours ends with
    try:
        for number, handle in enumerate(streams):
            os.dup2(handle, number)
        sys.stdin, sys.stdout, sys.stderr = (
            io.TextIOWrapper(io.FileIO(number, mode), encoding="utf-8", line_buffering=number == 2)
            for number, mode in enumerate("rww")
        )
        signal.alarm(seconds)
        os.chdir(cwd)
        before()
        work()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        with contextlib.suppress(BaseException):
            traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):
                stream.flush()
        os._exit(code if isinstance(code, int) else 70)


def command(*words: str) -> Callable[[], None]:
    """The command line as work of a child."""

    def work() -> None:
        from luthier.cli import app

        sys.argv = ["luthier", *words]
        app.main()

    return work


# ----------------------------------------------------------------------------------------------------------- limits


def memory(mib: int) -> Before:
    """The child may map so much more than it has when it begins."""

    def limit() -> None:
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        most = pages * resource.getpagesize() + mib * MIB
        resource.setrlimit(resource.RLIMIT_AS, (most, most))

    return limit


def file_size(size: int) -> Before:
    """No file may grow beyond `size` bytes; what goes beyond is refused, as on a full disk."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


@contextlib.contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[None]:
    """`folder` is a disk of `kib` KiB while the block runs. Skips where none can be mounted."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here: that takes root; limits of file size are tested all the same")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def resize(folder: Path, kib: int) -> None:
    """Gives the small disk more room, or less."""
    subprocess.run(["mount", "-o", f"remount,size={kib}k", str(folder)], check=True, capture_output=True)


# ------------------------------------------------------------------------------------------------------------ kills


def counting(root: Path, at: int | None, report: Path | None = None) -> Before:
    """Counts what happens to files below `root`, and kills the child, as kill -9 does, before event number `at`.

    Without `at` the number of events is written to `report` when the command ends.
    """
    inside, count = str(root.resolve()), 0

    def event() -> None:
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def told(name: str, arguments: tuple[Any, ...]) -> None:
        is_change = name in CHANGES or (name == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES)
        if is_change and any(is_inside(one) for one in arguments[:2]):
            event()

    def is_inside(one: Any) -> bool:
        return isinstance(one, str | os.PathLike) and str(Path(os.fsdecode(one)).absolute()).startswith(inside)

    def synced(handle: int) -> None:
        real_sync(handle)
        event()

    real_sync, real_exit = os.fsync, os._exit

    def ended(code: int) -> None:
        if report is not None:
            report.write_text(str(count))
        real_exit(code)

    def watch() -> None:
        os.fsync, os._exit = synced, ended  # type: ignore[assignment] - in the child alone
        sys.addaudithook(told)

    return watch


# ------------------------------------------------------------------------------------ a study that is killed by its log


@pytest.fixture(scope="module", autouse=True)
def fp32() -> Iterator[None]:
    """A forked child cannot turn weights into bf16: torch's thread pool does not survive the fork.

    A test file that forks imports this fixture; `forked` refuses to run without it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUTHIER_PRECISION", "fp32")
        yield


def forked(call: Callable[[], object]) -> int:
    """The process that runs `call`; it exits with 0, with 130 where it was stopped, else with 1 and the traceback."""
    assert os.environ.get("LUTHIER_PRECISION") == "fp32", "a test that forks imports the fixture fp32 of this file"
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        call()
        code = 0
    except Stopped:
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def kill_at(child: int, log: Path, event: str) -> None:
    """Kills the child as soon as `log` has the event; fails, with the child's exit code, where it ended before."""
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if any(row["event"] == event for row in read_lines(log)):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return
        time.sleep(0.01)
    code = os.waitstatus_to_exitcode(ended[1])
    raise AssertionError(f"the child ended with code {code} before {log.name} had the event {event!r}")
