"""The study's folder: paths, costs, and the log.

Only cost.json, log.jsonl and an arm's metrics.jsonl hold times; all other files are equal between two runs.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.records import Answer, Example, Score
from luthier.results.arm_record import ArmRecord
from luthier.results.cost import Cost
from luthier.results.lines import ANSWERS_FILE, ARM_FAILED, EXAMPLES_FILE, LOG_FILE, SCORES_FILE, Event
from luthier.results.names import run_folder
from luthier.results.record import Number, append_lines_of, read_lines_of

_OF_EVERY_ARM = (ANSWERS_FILE, SCORES_FILE)


@dataclass(frozen=True)
class StudyFolder:
    """Paths and small records of one study."""

    path: Path

    def arm(self, name: str) -> Path:
        """The folder of one arm, or of `NAME/seed-K`."""
        return run_folder(self.path, name)

    def finished(self, name: str) -> bool:
        """Whether an arm, or one of its seeds, is finished and its files are there; missing ones are made again."""
        return ArmRecord.is_in(self.arm(name)) and all((self.arm(name) / file).exists() for file in _OF_EVERY_ARM)

    def arm_record(self, name: str) -> ArmRecord:
        return ArmRecord.read(self.arm(name))

    def examples(self) -> list[Example]:
        """The test examples."""
        return read_lines_of(Example, self.path / EXAMPLES_FILE)

    def answers(self, name: str) -> list[Answer]:
        """An arm's answers to the test examples, in their order."""
        return read_lines_of(Answer, self.arm(name) / ANSWERS_FILE)

    def scores(self, name: str) -> list[Score]:
        return read_lines_of(Score, self.arm(name) / SCORES_FILE)

    def failed_arms(self) -> set[str]:
        """The arms whose last run ended in an error, and that are not finished."""
        events = read_lines_of(Event, self.path / LOG_FILE)
        return {e.arm for e in events if e.event == ARM_FAILED and e.arm and not self.finished(e.arm)}

    def log(self, event: str, **about: Any) -> None:
        """Adds one line to log.jsonl; call it when the result is safely on disk. `about` are fields of Event."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        append_lines_of(self.path / LOG_FILE, [Event(time=now, event=event, **about)])

    def cost(self) -> Cost:
        """cost.json, or an empty one."""
        return Cost.read_if_there(self.path) or Cost()

    def spent(self, arm: str, **more: Number) -> None:
        """Adds seconds and tokens to an arm's row of cost.json, over all runs of a study, and keeps the highest peaks.
        `more` are fields of ArmCost.
        """
        self.cost().spent(arm, **more).write(self.path)
