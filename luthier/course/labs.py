"""The study that a lab ends in: as the command that a learner types, and as the folder of a SageMaker training job.

One place says what each study has. The lab's last lesson, `luthier lab` and the job's folder take it from here.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from luthier.course.desk import Desk
from luthier.launch.contract import new_job
from luthier.task.task import find_task

TASK = "dialogues"
REPORTS = ("report.md", "compare.json", "ratings.json")  # of a study: what a person reads who judges it


@dataclass(frozen=True)
class LabStudy:
    """The study of a week's lab: settings of `luthier study` as texts."""

    week: int
    settings: Mapping[str, str]

    @property
    def folder(self) -> str:
        """Where the learner's study lies, in the folder in which he learns."""
        return f"lab-{self.week}-study"

    @property
    def command(self) -> str:
        """What the learner types."""
        options = [word for name, value in self.settings.items() for word in (f"--{name}", value)]
        return shlex.join(["luthier", "study", TASK, *options, "--out", self.folder])

    def standing(self, desk: Desk) -> str:
        """What is to be done, or to be read, of this study in a learner's folder."""
        here = desk.folder.parent if desk.folder else Path()
        if (report := here / self.folder / "report.html").is_file():
            return f"Lab {self.week}'s study is done. Read {report}, and judge it blind: luthier rate {self.folder}"
        return f"Lab {self.week} ends in a study, which says how long each arm will take: {self.command}"


STUDIES = {
    1: LabStudy(1, {"arms": "zero-shot,zero-shot:question,few-shot-1", "dev": "8", "test": "24"}),
    2: LabStudy(2, {"arms": "zero-shot,full,lora-r8", "train": "48", "dev": "8", "test": "24"}),
}


def reports(desk: Desk) -> list[Path]:
    """Files of the labs' studies that a hand-in takes along; people read them, and no program marks them."""
    here = desk.folder.parent if desk.folder else Path()
    places = (here / study.folder / name for study in STUDIES.values() for name in REPORTS)
    return [path for path in places if path.is_file()]


def write_lab_job(base: Path, week: int = 2) -> None:
    """Writes the folder of a training job that runs a lab's study: the task is a channel. Raises FolderError."""
    new_job(base, {"task": find_task(TASK).parent}, STUDIES[week].settings)
