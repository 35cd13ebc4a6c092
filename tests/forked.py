"""A study in a child process that can be killed: forked, so that torch is not imported again."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from luthier.files import read_lines
from luthier.progress import Stopped


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
