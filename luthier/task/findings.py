"""A finding about a task's rows: one sentence, and its level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from luthier.task.spec import Split
from luthier.task.task import Task

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
NAMED = 5  # rows of one kind that are named before the rest is counted


@dataclass(frozen=True)
class Finding:
    """One sentence. `file` and `row` are the first row that it concerns, or None."""

    level: Level
    text: str
    file: str | None = None
    row: int | None = None


def about(level: Level, task: Task, split: Split, named: Sequence[tuple[int, str]], problem: str) -> Finding:
    """One finding about rows of a split: (row, words that follow its number), ..."""
    path = task.files[split]
    file = path.name if path.stem == split else f"{path.name} ({split})"  # one file may hold several splits
    rows = [f"{row}{words}" for row, words in named[:NAMED]]
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return Finding(
        level, f"{file}, row{'s' * (len(named) > 1)} {', '.join(rows)}{more}: {problem}", path.name, named[0][0]
    )
