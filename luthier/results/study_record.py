"""study.json: the specification of a study, its origin, and whether it is finished.

The specification stays a table of plain values: its keys and their defaults are those of study.toml, which
studies/spec.py owns. The same holds for `settings`, `training` and `generation` of an arm (arms/spec.py).
"""

from __future__ import annotations

import json
from typing import ClassVar, Literal

from pydantic import Field

from luthier.files import sha256_of_text
from luthier.results.record import Day, FirstFormat, Number, Part, Record, SettingsTable
from luthier.scoring.labels import FOLDS, Fold, LabelSet
from luthier.scoring.words import Reading, Reasoning, Words

Status = Literal["running", "done"]
Split = Literal["train", "dev", "test"]


class ArmTable(Part):
    """An arm with every setting of its short form resolved."""

    method: str
    template: str | None
    width: str | None  # of the weights after training
    settings: SettingsTable
    training: SettingsTable
    generation: SettingsTable
    model: str | None  # None: the model of the study
    answer: str | None
    tune: list[str]  # what tuning may vary
    trained_on: str | None = None  # only of an arm whose weights come from another training
    scale: Number | None = None  # only of an arm that uses a part of its training, or more than it
    domain: SettingsTable | None = None  # only of an arm that begins with further pretraining

    @property
    def training_alone(self) -> ArmTable:
        """What of an arm decides its training, not what is done after it: its width, its scale, how it answers.

        Dev answers on the way are greedy, under the arm's limit on new tokens.
        """
        limit = self.generation.get("max_new_tokens")
        return self.model_copy(update={"width": None, "scale": None, "generation": {"max_new_tokens": limit}})

    def gives_training_to(self, other: ArmTable) -> bool:
        """Whether the other arm, run after this one, takes its trained weights, which hold the whole change."""
        return self.scale is None and self.training_alone == other.training_alone

    @property
    def base_width(self) -> str | None:
        """The width of the base that it was trained on, for a method that trains on narrow weights."""
        return self.settings.get("width")


class TaskOrigin(Part):
    """The task, its data and how much of it the study uses."""

    name: str
    folder: str
    labels: list[str]
    description: str
    metric: str
    margin: Number
    hashes: dict[Split, str]  # split -> SHA-256
    counts: dict[str, int]  # split -> examples used
    of: dict[str, int]  # split -> examples in the file
    templates: dict[str, str]
    notes: list[str]
    # How texts are read (scoring/words.py); not given where it is the default.
    words: Words = "ascii"
    bleu: str = "13a"
    reasoning: Reasoning = "keep"  # whether reasoning blocks are part of an answer
    fold: list[Fold] | None = None  # what makes no other label; None: everything that may make none
    test_opened: int | None = None  # number of this study's look at the test split; set when the study is finished
    # Rules of the task, each only where it is another than the usual one.
    references: str = "mean"  # how ROUGE against several references becomes one value
    shot_seed: int = 0
    units_sha256: str | None = None  # which test examples form a unit; None: those of equal inputs

    @property
    def decision(self) -> list[object]:
        """What decides, and of which texts: a task with another rule takes another look at its test set."""
        return [self.metric, self.margin, self.references, self.units_sha256, self.labels, self.templates]

    @property
    def reading(self) -> Reading:
        """How the texts were read: what a word is, and whether reasoning blocks are part of an answer."""
        return Reading(self.words, self.bleu, self.reasoning)

    @property
    def label_set(self) -> LabelSet | None:
        """The labels with what makes no other label; None where answers are texts."""
        return LabelSet(tuple(self.labels), FOLDS if self.fold is None else tuple(self.fold)) if self.labels else None


class ModelOrigin(Part):
    """A base model."""

    name: str
    base_sha256: str
    family: str
    window: int  # tokens
    precision: str
    parameters: int
    notes: list[str]


class Machine(Part):
    """What the study runs on."""

    system: str
    processor: str
    cores: int | None
    memory_bytes: int
    device: str


class Health(Part):
    """A finding about the data: one sentence, and the first row that it concerns."""

    level: Literal["error", "warning", "note"]
    text: str
    file: str | None
    row: int | None


class StudyRecord(Record):
    """Specification and origin of a study."""

    FILE: ClassVar[str] = "study.json"
    REMEDY: ClassVar[str] = "name a new folder with --out"

    format: FirstFormat
    specification: SettingsTable
    arms: dict[str, ArmTable]
    command: str
    task: TaskOrigin
    model: ModelOrigin
    models: dict[str, ModelOrigin]  # models that arms choose instead of the study's, by name
    versions: dict[str, str]
    machine: Machine
    commit: str | None
    dirty: bool | None
    power: list[str]  # what the test set can show, in sentences
    effort: list[str]  # how often each training runs
    health: list[Health]
    status: Status
    day: Day | None = None  # the date in all prompts; only where a chat template prints one
    texts: dict[str, str] = Field(default={})  # of further pretraining -> SHA-256; only where an arm has it

    @property
    def shape_sha256(self) -> str:
        """One hash over everything that shapes the study's answers: specification, arms, task and base weights.

        It leaves out `likelihood` and `panel`, which change no answer.
        """
        asides = ("likelihood", "panel")
        specification = {key: value for key, value in self.specification.items() if key not in asides}
        arms = {name: table.as_json() for name, table in self.arms.items()}
        others = [model.base_sha256 for model in self.models.values()]
        shape = [specification, arms, self.task.hashes, self.task.decision, self.model.base_sha256, *others]
        shape += [self.texts] if self.texts else []
        return sha256_of_text(json.dumps(shape, sort_keys=True))[:16]

    @property
    def asks_panel(self) -> bool:
        """Whether the study asks what its arms kept of general abilities."""
        return bool(self.specification.get("panel")) or self.requires_kept

    @property
    def requires_kept(self) -> bool:
        """Whether it ships no arm that the panel does not show to be kept."""
        return bool(self.specification.get("require_kept"))

    @property
    def seeds(self) -> int:
        """The number of seeds under which every trained arm is trained."""
        return int(self.specification["seeds"])

    @property
    def seed(self) -> int:
        return int(self.specification["seed"])

    @property
    def is_done(self) -> bool:
        return self.status == "done"

    def done(self, look: int | None) -> StudyRecord:
        """The record of the finished study; `look` is the number of its look at the test split."""
        task = self.task.model_copy(update={"test_opened": look})
        return self.model_copy(update={"task": task, "status": "done"})

    def asks_the_same_as(self, other: StudyRecord) -> bool:
        """Whether both name the same arms, seeds and panel, so that a finished study stays finished."""
        mine, theirs = ((one.asks_panel, one.requires_kept) for one in (self, other))
        return self.trains_the_same_as(other) and mine == theirs

    def trains_the_same_as(self, other: StudyRecord) -> bool:
        """Whether both name the same arms and seeds."""
        return self.arms == other.arms and self.seeds == other.seeds
