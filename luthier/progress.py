"""Progress of long work: a bar with the time left, and a clean stop on Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from rich.console import Console

console = Console(stderr=True, highlight=False, emoji=False)  # 'zero-shot:question:' is no emoji
SILENT_SECONDS = 60.0  # longest silence in a log file, where there is no terminal
_stop = threading.Event()
_hushed: ContextVar[bool] = ContextVar("hushed", default=False)  # of one thread or task: others go on printing


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
    """A progress bar. `advance` takes the units that were done since the last call, and a few words to show."""

    def __init__(self, show: Callable[[float, str], None]) -> None:
        self._show = show

    def advance(self, count: float = 1, words: str = "") -> None:
        self._show(count, words)


@contextlib.contextmanager
def bar(title: str, total: float, unit: str = "", done: float = 0) -> Iterator[Bar]:
    """A progress bar on the terminal; where there is no terminal (a log file), a line now and then."""
    if _hushed.get():
        yield Bar(lambda count, words: None)
        return
    if not console.is_terminal:
        lines = _Lines(title, total, unit, done)
        yield Bar(lines.show)
        say(f"{title}: done in {time.monotonic() - lines.began:.0f} s")
        return
    from rich import progress as rich  # slow to import, and most verbs have no bar

    columns = (
        rich.TextColumn("{task.description}", markup=False),
        rich.BarColumn(bar_width=24),
        rich.MofNCompleteColumn(),
        rich.TextColumn(unit),
        rich.TimeElapsedColumn(),
        rich.TextColumn("left"),
        rich.TimeRemainingColumn(),
        rich.TextColumn("{task.fields[words]}", style="dim", markup=False),
    )
    with rich.Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=total, completed=int(done), words="")
        yield Bar(lambda count, words: progress.update(task, advance=count, words=words))


class _Lines:
    """Progress for a log file: a line at the start, and one whenever SILENT_SECONDS passed without a line."""

    def __init__(self, title: str, total: float, unit: str, done: float) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.first = self.done = done
        self.began = self.said = time.monotonic()
        say(f"{title}: {self.position()}")

    def position(self) -> str:
        return f"{int(self.done):,} of {int(self.total):,} {self.unit}".rstrip()

    def show(self, count: float, words: str) -> None:
        self.done += count
        now = time.monotonic()
        if now - self.said < SILENT_SECONDS or not self.first < self.done < self.total:
            return
        self.said = now
        parts = [f"{self.title}: {self.position()}"]
        if self.done - self.first >= 1:  # a part of the first unit says nothing of the rest
            left = (now - self.began) / (self.done - self.first) * (self.total - self.done)
            parts.append(f"{left:.0f} s left" if left < 90 else f"{left / 60:.0f} min left")
        say(", ".join([*parts, *([words] if words else [])]))


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Inside, `say` and `bar` print nothing: for one of many small works that share a bar."""
    before = _hushed.set(True)
    try:
        yield
    finally:
        _hushed.reset(before)


def say(text: str) -> None:
    """Prints one line to standard error, so that it never mixes with a result."""
    if _hushed.get():
        return
    console.print(text, markup=False, soft_wrap=True)  # a user's text may hold square brackets
