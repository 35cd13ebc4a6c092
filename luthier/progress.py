"""Long work shows itself: a bar with rate and time left, and on Ctrl-C a clean stop that says how to go on."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False, emoji=False)  # 'zero-shot:question:' is no emoji
_stop = threading.Event()


class Stopped(KeyboardInterrupt):
    """Ctrl-C arrived and the work is saved: a KeyboardInterrupt that came at a safe point."""


def check_stop() -> None:
    """Raises Stopped when Ctrl-C was pressed since the work began; called where everything is on disk."""
    if _stop.is_set():
        raise Stopped


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Inside, the first Ctrl-C (or SIGTERM) asks for a clean stop and the second one stops at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: Any) -> None:
        if _stop.is_set():
            raise KeyboardInterrupt
        _stop.set()
        console.print("\n[yellow]stopping at the next safe point; press Ctrl-C again to stop at once[/]")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _stop.clear()


class Bar:
    """One line of progress; `advance` takes the units done and a few words on how it goes."""

    def __init__(self, progress: Progress | None, task: Any, unit: str) -> None:
        self._progress, self._task, self._unit = progress, task, unit

    def advance(self, count: float = 1, words: str = "") -> None:
        if self._progress is not None:
            self._progress.update(self._task, advance=count, words=words)


@contextlib.contextmanager
def bar(title: str, total: float, unit: str = "", done: float = 0) -> Iterator[Bar]:
    """A progress bar on the terminal; where there is no terminal (a log file), one line at the start and end."""
    if not console.is_terminal:
        say(f"{title}: {done:g} of {total:g} {unit}".rstrip())
        began = time.monotonic()
        yield Bar(None, None, unit)
        say(f"{title}: done in {time.monotonic() - began:.0f} s")
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[words]}", style="dim", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=total, completed=int(done), words="")
        yield Bar(progress, task, unit)


def say(text: str) -> None:
    """One line for the person who waits; on standard error, so that it never mixes with a result."""
    console.print(text, markup=False, soft_wrap=True)  # a user's text may hold square brackets
