"""A fresh process for code of lessons and learners: offline, in an empty folder, under limits; killed when it is late.

source --finished--> Finished(exit code, output, seconds of processor, peak memory)
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MOST_OUTPUT = 200_000  # bytes kept of each stream, where nothing else is said
CPU_SECONDS, MEMORY = 120, 3 * 2**30  # of a lesson that is run as a script

# What a child must not do by itself: look for models and updates in the network, or take more than one core.
OFFLINE = {
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}  # fmt: skip

# Runs before the script: no address is reached, whatever library asks.
_GUARD = """
import socket
def _refused(*_, **__):
    raise OSError("a lesson runs without a network")
for _name in ("connect", "connect_ex", "sendto", "sendmsg"):
    setattr(socket.socket, _name, _refused)
socket.getaddrinfo = socket.create_connection = _refused
"""


@dataclass(frozen=True)
class Finished:
    """How a child ended. `code` is negative for a signal; `late` where it was killed for its time."""

    code: int
    out: str
    err: str
    cpu_seconds: float
    peak_bytes: int
    late: bool = False


def run_script(path: Path, *, folder: Path | None = None, seconds: float = 900) -> Finished:
    """Runs a script in a process of its own, offline, in `folder` or an empty one that is gone afterwards."""
    code = (
        f"{_GUARD}\nimport runpy, sys\nsys.argv = [{str(path)!r}]\nrunpy.run_path({str(path)!r}, run_name='__main__')"
    )
    with tempfile.TemporaryDirectory(prefix="luthier-lesson-") as empty:
        return finished([sys.executable, "-c", code], folder or Path(empty), seconds)


def finished(
    command: Sequence[str],
    folder: Path,
    seconds: float,
    *,
    environment: dict[str, str] | None = None,
    most_output: int = MOST_OUTPUT,
) -> Finished:
    """Runs a command in a folder until it ends, or kills it and its children after `seconds`.

    Of each stream `most_output` bytes are kept, and the rest is read and dropped.
    """
    began = time.monotonic()
    child = subprocess.Popen(
        command, cwd=folder, env=environment if environment is not None else _environment(),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    kept: dict[str, bytearray] = {"out": bytearray(), "err": bytearray()}
    readers = [
        threading.Thread(target=_drain, args=(stream, kept[name], most_output), daemon=True)
        for name, stream in (("out", child.stdout), ("err", child.stderr))
    ]
    for reader in readers:
        reader.start()
    late = False
    try:
        while True:
            done, status, usage = os.wait4(child.pid, os.WNOHANG)
            if done:
                break
            if time.monotonic() - began > seconds and not late:
                late = True
                _kill(child.pid)
            time.sleep(0.02)
    except BaseException:  # such as Ctrl-C, which a child with a session of its own does not get
        _kill(child.pid)
        child.wait()
        raise
    child.returncode = os.waitstatus_to_exitcode(status)
    _kill(child.pid)  # what it left behind
    for reader in readers:
        reader.join(timeout=5)
    for stream in (child.stdout, child.stderr):
        if stream is not None:
            stream.close()
    scale = 1 if sys.platform == "darwin" else 1024
    texts = {name: bytes(part).decode("utf-8", errors="replace") for name, part in kept.items()}
    seconds_used = usage.ru_utime + usage.ru_stime
    return Finished(child.returncode, texts["out"], texts["err"], seconds_used, usage.ru_maxrss * scale, late)


def _environment() -> dict[str, str]:
    """The user's, offline; a lesson reads the house that runs it."""
    house = str(Path(__file__).resolve().parents[2])
    return {**os.environ, **OFFLINE, "PYTHONPATH": os.pathsep.join([house, os.environ.get("PYTHONPATH", "")])}


def _drain(stream: object, into: bytearray, most: int) -> None:
    """Reads to the end, so that the child never waits, and keeps the first `most` bytes."""
    read = getattr(stream, "read1", None) or stream.read  # type: ignore[attr-defined]
    with suppress(ValueError, OSError):
        while block := read(65536):
            into.extend(block[: max(0, most - len(into))])


def _kill(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
