"""multitask.json, mixture.json and tasks.json: a training on several tasks, its mixture, and its results.

The specification stays a table of plain values: its keys are those of studies/multitask.py's MultitaskSpec.
"""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import ConfigDict

from luthier.results.arm_record import TrainingRecord
from luthier.results.comparison import Comparison, ExamplesNeeded, Mean, Pair, Verdict
from luthier.results.record import Day, FirstFormat, Number, Part, Record, SettingsTable
from luthier.results.study_record import Machine, Split, Status


class MemberTask(Part):
    """One task of the group, and the folder of its own study."""

    folder: str  # inside the folder of the group
    held_out: bool
    description: str
    hashes: dict[Split, str]  # split -> SHA-256


class MixtureModel(Part):
    """The base model of the group."""

    name: str
    base_sha256: str
    precision: str


class MultitaskRecord(Record):
    """multitask.json: specification and origin, leaks between tasks, status."""

    FILE: ClassVar[str] = "multitask.json"
    REMEDY: ClassVar[str] = "name a new folder with --out"

    format: FirstFormat
    specification: SettingsTable
    arms: dict[str, SettingsTable]  # only names; each task's study has their settings
    trained: list[str]
    command: str
    tasks: dict[str, MemberTask]
    model: MixtureModel
    findings: list[str]
    versions: dict[str, str]
    machine: Machine
    commit: str | None
    dirty: bool | None
    status: Status
    day: Day | None = None  # the date in all prompts; only where a chat template prints one

    @property
    def mixture(self) -> SettingsTable:
        """How the tasks share the training: kind, temperature, cap, templates."""
        return dict(self.specification["mixture"])

    @property
    def is_done(self) -> bool:
        return self.status == "done"

    def asks_the_same_as(self, other: MultitaskRecord) -> bool:
        """Whether both name the same arms, so that a finished study stays finished."""
        return self.arms == other.arms


class TaskShare(Part):
    """One task's share of the mixture that was trained on."""

    available: int
    rate: Number
    drawn: int
    distinct: int
    passes: Number
    tokens: int
    supervised_tokens: int
    templates: dict[str, int]


class MixtureRecord(Record):
    """mixture.json: task -> its share. The file has no other keys than the tasks' names."""

    FILE: ClassVar[str] = "mixture.json"
    REMEDY: ClassVar[str] = "remove the training's folder in multi/ and start again"

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, TaskShare]

    @classmethod
    def of(cls, tasks: dict[str, TaskShare]) -> MixtureRecord:
        return cls.model_validate(tasks)

    @property
    def tasks(self) -> dict[str, TaskShare]:
        return dict(self.__pydantic_extra__)


class TaskRow(Part):
    """One task with the results of its own study."""

    task: str
    folder: str
    held_out: bool
    metric: str
    margin: Number
    n: int
    look: int | None
    arms: dict[str, Mean]  # on the deciding metric

    @classmethod
    def of(cls, task: str, member: MemberTask, comparison: Comparison) -> Self:
        """A task of the group, from the comparison of its own study."""
        means = {arm: row for arm in comparison.arms if (row := comparison.deciding_row(arm))}
        return cls(
            task=task,
            folder=member.folder,
            held_out=member.held_out,
            metric=comparison.deciding,
            margin=comparison.margin,
            n=comparison.n,
            look=comparison.look,
            arms={arm: Mean(mean=row.mean, low=row.low, high=row.high, n=row.n) for arm, row in means.items()},
        )


class TaskPair(Part):
    """A multi-task arm against another arm on one task."""

    task: str
    held_out: bool
    metric: str
    margin: Number
    a: str
    b: str
    difference: Number | None
    n: int
    verdict: Verdict | None
    simultaneous_low: Number | None = None
    simultaneous_high: Number | None = None
    one_sided_low: Number | None = None
    one_sided_high: Number | None = None
    within_margin: bool | None = None
    sd: Number | None = None
    nonzero: int | None = None
    identical: bool | None = None
    examples_needed: ExamplesNeeded | None = None
    in_study: Verdict | None  # the verdict of the task's own study, where it is one of its pairs

    @classmethod
    def of(cls, task: TaskRow, judged: Pair, in_study: Pair | None) -> Self:
        """The question as `judged` at the level of all questions; `in_study` is the pair in the task's own study."""
        kept = {name: getattr(judged, name) for name in judged.model_fields_set & cls.model_fields.keys()}
        about = {"task": task.task, "held_out": task.held_out, "metric": task.metric, "margin": task.margin}
        return cls(**kept | about, in_study=in_study.verdict if in_study else None)


class EffortRow(Part):
    """One training: of a single-task arm on its task, or of the multi-task arm on all."""

    arm: str
    task: str
    folder: str  # where its cost.json lies
    examples: int
    train_tokens: int
    supervised_tokens: int
    steps: int
    best_step: int
    best_dev: Number | None
    trainable: int
    saved_bytes: int

    @classmethod
    def of(cls, arm: str, task: str, folder: str, training: TrainingRecord) -> Self:
        return cls(
            arm=arm,
            task=task,
            folder=folder,
            examples=round(training.train_examples * training.passes),
            train_tokens=training.train_tokens,
            supervised_tokens=training.supervised_tokens,
            steps=training.steps,
            best_step=training.best_step,
            best_dev=training.best_dev,
            trainable=training.trainable,
            saved_bytes=training.saved_bytes,
        )


class TasksRecord(Record):
    """tasks.json: the tasks, the pairs of arms on each, and the counts of the trainings. It holds no times."""

    FILE: ClassVar[str] = "tasks.json"
    REMEDY: ClassVar[str] = "write the report again, which makes it"

    format: FirstFormat
    level: Number
    comparisons: int
    sentences: list[str]
    family: str
    tasks: list[TaskRow]
    pairs: list[TaskPair]
    mixtures: dict[str, dict[str, TaskShare]]  # multi-task arm -> task -> its share
    effort: list[EffortRow]
    findings: list[str]
    warnings: dict[str, list[str]]
