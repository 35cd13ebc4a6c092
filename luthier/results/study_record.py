"""study.json: what was asked for, where everything came from, and whether the study is done.

The specification stays a table of plain values: its keys and their defaults are those of study.toml, which
studies/spec.py owns. Of an arm the same holds for `settings`, `training` and `generation` (arms/spec.py).
"""

from __future__ import annotations

import json
from typing import ClassVar, Literal

from luthier.files import sha256_of_text
from luthier.results.record import FirstFormat, Number, Part, Record, SettingsTable

Status = Literal["running", "done"]
Split = Literal["train", "dev", "test"]


class ArmTable(Part):
    """An arm as the study was asked for it: its short form in full, every setting resolved."""

    method: str
    template: str | None
    width: str | None  # what the weights are made after training
    settings: SettingsTable
    training: SettingsTable
    generation: SettingsTable
    model: str | None  # None: the study's
    answer: str | None
    tune: list[str]  # what tuning may vary
    trained_on: str | None = None  # said only of an arm whose weights another training made

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
    of: dict[str, int]  # split -> examples there
    templates: dict[str, str]
    notes: list[str]
    test_opened: int | None = None  # this study is the k-th look at the test split; given once it is done


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
    """A finding about the data: one sentence, and the first place it speaks of."""

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
    models: dict[str, ModelOrigin]  # those that arms name for themselves, by name
    versions: dict[str, str]
    machine: Machine
    commit: str | None
    dirty: bool | None
    power: list[str]  # what the test set can show, in sentences
    effort: list[str]  # what is trained how often
    health: list[Health]
    status: Status

    @property
    def shape_sha256(self) -> str:
        """What shapes the answers of the study, as one hash: its specification, arms, data and base weights.

        `likelihood` reads references and changes no answer.
        """
        specification = {key: value for key, value in self.specification.items() if key != "likelihood"}
        arms = {name: table.as_json() for name, table in self.arms.items()}
        others = [model.base_sha256 for model in self.models.values()]
        shape = [specification, arms, self.task.hashes, self.model.base_sha256, *others]
        return sha256_of_text(json.dumps(shape, sort_keys=True))[:16]

    @property
    def seeds(self) -> int:
        """Under how many seeds every trained arm is trained."""
        return int(self.specification["seeds"])

    @property
    def seed(self) -> int:
        return int(self.specification["seed"])

    @property
    def is_done(self) -> bool:
        return self.status == "done"

    def done(self, look: int | None) -> StudyRecord:
        """The record of the study when it is done; `look` is how often its test split was looked at, this study too."""
        task = self.task.model_copy(update={"test_opened": look})
        return self.model_copy(update={"task": task, "status": "done"})

    def asks_the_same_as(self, other: StudyRecord) -> bool:
        """Whether both name the same arms and seeds, so that a study that was done still is."""
        return self.arms == other.arms and self.seeds == other.seeds
