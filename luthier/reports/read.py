"""A study's folder as the records of its files, with its arms in the order of their quality.

    StudyPage   the whole study: the records of its files, its test examples, its arms
    ArmPage     one arm: its records, prompts, answers, scores and steps

No model, clock or random state is read. A missing or damaged file is a FolderError; what a study does not have (a
trained arm, a profile, ratings) is absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from luthier.errors import FolderError, SettingsError
from luthier.records import Answer, Example, Prompt, Score
from luthier.reports.plots import Dot
from luthier.results.arm_record import ArmCounts, ArmRecord, TuningResult, bytes_to_ship, ships_base
from luthier.results.comparison import ArmMetric, Comparison
from luthier.results.cost import ArmCost, Cost
from luthier.results.domain_record import DomainRecord
from luthier.results.lines import ANSWERS_FILE, EXAMPLES_FILE, METRICS_FILE, PROMPTS_FILE, SCORES_FILE, Step
from luthier.results.names import run_folder
from luthier.results.panel_record import Panel
from luthier.results.plan_record import PlanRecord
from luthier.results.predicted import ErrorRow, rows_of_study
from luthier.results.profile_record import ProfileRecord
from luthier.results.ratings_record import Ratings
from luthier.results.record import read_lines_of
from luthier.results.study_record import StudyRecord
from luthier.scoring.words import Reading

Line = TypeVar("Line", Example, Prompt, Answer, Score)


@dataclass(frozen=True)
class ArmPage:
    """One arm, read from its folder."""

    name: str
    kind: str  # 'baseline', 'prompt' or 'trained': a key of plots.KINDS
    record: ArmRecord | None  # None: the arm is not finished
    cost: ArmCost
    metrics: dict[str, ArmMetric]  # empty for an arm that was not compared
    prompts: list[Prompt]
    answers: dict[str, Answer]
    scores: dict[str, Score]
    steps: list[Step]
    shipped_bytes: int | None = None
    domain: DomainRecord | None = None  # the further pretraining that it is, or begins with

    @property
    def done(self) -> bool:
        return self.record is not None and bool(self.metrics)

    @property
    def counts(self) -> ArmCounts | None:
        return self.record.counts if self.record else None

    @property
    def trained(self) -> bool:
        return self.record is not None and self.record.is_trained

    @property
    def tuning(self) -> TuningResult:
        return (self.record and self.record.tuning) or TuningResult(trials=0)

    @property
    def saved_megabytes(self) -> float | None:
        """MB to ship: without the base model, or with it where arms have different ones."""
        return None if self.shipped_bytes is None else self.shipped_bytes / 1e6

    @property
    def prompt_tokens(self) -> float | None:
        """Mean over the test prompts; None for an arm without a model."""
        return self.counts.prompt_tokens_mean if self.counts else None

    @property
    def cut_answers(self) -> int:
        """Answers that the limit on new tokens stopped."""
        return self.counts.stopped.length if self.counts else 0


@dataclass(frozen=True)
class StudyPage:
    """A whole study, its arms with the best mean first."""

    folder: Path
    study: StudyRecord
    compare: Comparison
    cost: Cost
    examples: list[Example]
    arms: list[ArmPage]
    profile: ProfileRecord | None = None
    ratings: Ratings | None = None
    plan: PlanRecord | None = None
    predictions: Sequence[ErrorRow] = ()  # what plan.json said, beside what was measured
    panel: Panel | None = None

    @property
    def deciding(self) -> str:
        return self.compare.deciding

    @property
    def labels(self) -> list[str]:
        """The words of the labels; empty where answers are texts."""
        return self.study.task.labels

    @property
    def reading(self) -> Reading:
        """How the texts were read: what a word is, and whether reasoning blocks are part of an answer."""
        return self.study.task.reading

    @property
    def facts_not_read(self) -> str | None:
        """Why names and quantities were not counted; None where they were."""
        return self.profile.facts_not_read if self.profile else None

    @property
    def means(self) -> list[tuple[ArmPage, ArmMetric]]:
        """Each arm that has a mean of the deciding metric, with its numbers; the best first."""
        return [(arm, row) for arm in self.arms if (row := self.result(arm)) and row.mean is not None]

    @property
    def compared(self) -> list[ArmPage]:
        return [arm for arm, _ in self.means]

    @property
    def unfinished(self) -> list[str]:
        return [arm.name for arm in self.arms if not arm.done]

    @property
    def trained(self) -> list[ArmPage]:
        return [arm for arm in self.arms if arm.trained]

    @property
    def read_texts(self) -> list[ArmPage]:
        """The arms that are further pretraining, or begin with it."""
        return [arm for arm in self.arms if arm.domain is not None]

    @property
    def ships_base(self) -> bool:
        """Whether the MB to ship include the base model."""
        return ships_base({arm.name: arm.record for arm in self.arms if arm.record})

    def result(self, arm: ArmPage) -> ArmMetric | None:
        """The arm on the deciding metric; None for an arm that was not compared."""
        return self.compare.deciding_row(arm.name)

    def dots(self) -> list[Dot]:
        """The compared arms for a figure."""
        return [Dot(arm.name, arm.kind, row.mean, row.low, row.high) for arm, row in self.means if row.mean is not None]


def read_study(folder: Path) -> StudyPage:
    """Everything that a report needs. Raises FolderError for a folder or a file that is missing or damaged."""
    study, compare, cost = StudyRecord.read(folder), _comparison(folder), Cost.read(folder)
    try:
        folders = {name: run_folder(folder, name) for name in [*compare.by_mean(), *study.arms]}
    except SettingsError as error:
        raise FolderError(f"{StudyRecord.path_in(folder)}: {error}") from None
    records = {name: ArmRecord.read_if_there(own) for name, own in folders.items()}
    shipped = bytes_to_ship({name: record for name, record in records.items() if record})
    return StudyPage(
        folder,
        study,
        compare,
        cost,
        _lines(Example, folder / EXAMPLES_FILE, needed=True),
        [_arm(name, own, records[name], compare, cost, shipped.get(name)) for name, own in folders.items()],
        ProfileRecord.read_if_there(folder),
        Ratings.read_if_there(folder),
        PlanRecord.read_if_there(folder),
        rows_of_study(folder) if PlanRecord.is_in(folder) else (),
        Panel.read_if_there(folder),
    )


def _comparison(folder: Path) -> Comparison:
    if folder.is_dir() and not Comparison.is_in(folder):
        raise FolderError(
            f"{Comparison.path_in(folder)}: not there yet, the study is not finished; start it again, and it goes on"
        )
    return Comparison.read(folder)


def _arm(
    name: str, folder: Path, record: ArmRecord | None, compare: Comparison, cost: Cost, shipped_bytes: int | None
) -> ArmPage:
    done = record is not None
    return ArmPage(
        name,
        "baseline" if name in compare.baseline_names() else "trained" if record and record.is_trained else "prompt",
        record,
        cost.of(name),
        compare.arms.get(name, {}),
        _lines(Prompt, folder / PROMPTS_FILE, needed=record is not None and record.generation is not None),
        {answer.id: answer for answer in _lines(Answer, folder / ANSWERS_FILE, needed=done)},
        {score.id: score for score in _lines(Score, folder / SCORES_FILE, needed=done)},
        read_lines_of(Step, folder / METRICS_FILE),
        shipped_bytes,
        DomainRecord.read_if_there(folder),
    )


def _lines(kind: type[Line], path: Path, needed: bool) -> list[Line]:
    """The records of a line file. Raises FolderError where it is missing although `needed`, or damaged."""
    if needed and not path.exists():
        raise FolderError(f"{path}: no such file; start the study again, and it is made")
    return read_lines_of(kind, path)
