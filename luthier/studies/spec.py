"""The specification of a study and of a multi-task study: the keys of study.toml, with one sentence each.

The command line makes its options of these fields, so nothing here imports torch. Options override study.toml.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator
from pydantic.config import JsonDict

from luthier import defaults
from luthier.arms.spec import ArmSpec
from luthier.errors import SettingsError
from luthier.files import possible
from luthier.settings import LeanSettings, Seed, Settings, assignments, read_settings, settings_from
from luthier.studies.mixture import Mixture

FEWEST_SEEDS = 3  # fewer do not estimate the spread between trainings well enough for a verdict on a recipe
MOST_SEEDS, MOST_TRIALS, MOST_GB = 1000, 1000, 1e6  # a larger number is more likely a typing error than a machine
# How the command line shows a value that is not a single word.
SHORT_FORMS: JsonDict = {"metavar": "ARM,ARM,..."}
ASSIGNMENTS: JsonDict = {"metavar": "KEY=VALUE,..."}


class StudySpec(LeanSettings):
    """study.toml: the specification of a study."""

    task: str | None = Field(None, description="a task folder, or a task that ships with luthier")
    model: str = Field(defaults.MODEL, description="a short name, a hub id, or a folder")
    arms: dict[str, ArmSpec] | list[str] | None = Field(
        None,
        description="short forms, 'all', or in study.toml one table an arm; None: the usual ones of the task",
        json_schema_extra=SHORT_FORMS,
    )
    defaults: dict[str, Any] = Field(
        {},
        description="settings of every arm whose method has them and that says nothing else, such as epochs",
        json_schema_extra=ASSIGNMENTS,
    )
    train: int | None = Field(None, ge=1, description="training examples, a seeded nested sample; None: all")
    dev: int | None = Field(None, ge=1, description="dev examples that settings are chosen on; None: at most 32")
    test: int | None = Field(None, ge=1, description="test examples, a seeded nested sample; None: all")
    seed: Seed = Field(0, description="seed of samples, adapters, batches and sampling")
    seeds: int = Field(
        1, ge=1, le=MOST_SEEDS, description="seeds that every trained arm is trained under; 3 or more to judge a recipe"
    )
    tune: int = Field(
        0, ge=0, le=MOST_TRIALS, description="configurations tried on dev for every trained arm, by successive halving"
    )
    likelihood: bool = Field(
        False, description="read the references under every arm: bits per character; a quarter more answering time"
    )
    memory: float | None = Field(None, gt=0, le=MOST_GB, description="GB that the process may hold; None: what is fast")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="precision of the model's weights, and of answering"
    )

    panel: bool = Field(
        False, description="ask base and trained arms for general abilities, and say what each arm kept of them"
    )
    require_kept: bool = Field(False, description="ship no arm that the panel does not show to be kept; asks the panel")
    LATER: ClassVar[frozenset[str]] = frozenset({"panel", "require_kept"})

    @field_validator("seeds")
    @classmethod
    def _enough_seeds(cls, seeds: int) -> int:
        if 1 < seeds < FEWEST_SEEDS:
            raise ValueError(f"{seeds} seeds tell nothing of a recipe; give {FEWEST_SEEDS} or more, or 1")
        return seeds

    @field_validator("tune")
    @classmethod
    def _a_choice(cls, tune: int) -> int:
        if tune == 1:
            raise ValueError("one configuration is no choice; give 2 or more, or 0 for no tuning")
        return tune


class MultitaskSpec(Settings):
    """The specification of `luthier multitask`. multitask.json keeps it."""

    tasks: list[str] = Field(min_length=2, description="tasks to train on: folders, or names of tasks that ship")
    held_out: list[str] = Field([], description="tasks that are asked and never trained on")
    model: str = Field(defaults.MODEL, description="a short name, a hub id, or a folder")
    arms: list[str] = Field(
        ["zero-shot", "lora"],
        description="short forms; each that trains is also trained once on all tasks together",
        json_schema_extra=SHORT_FORMS,
    )
    defaults: dict[str, Any] = Field(
        {}, description="settings of every arm whose method has them, such as rank", json_schema_extra=ASSIGNMENTS
    )
    mixture: Mixture = Field(Mixture(), description="how the tasks share the multi-task training")
    effort: Literal["together", "one"] = Field(
        "together", description="examples the multi-task arm sees: as many as all single-task arms together, or as one"
    )
    train: int | None = Field(None, ge=1, description="training examples of a task at most, a seeded sample; None: all")
    dev: int | None = Field(None, ge=1, description="dev examples of a task at most; None: 32")
    test: int | None = Field(None, ge=1, description="test examples of a task at most, a seeded sample; None: all")
    seed: Seed = Field(0, description="seed of samples, mixture, adapters, batches and sampling")
    memory: float | None = Field(None, gt=0, le=MOST_GB, description="GB that the process may hold; None: what is fast")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="precision of the model's weights, and of answering"
    )


def specification(
    task: str | Path | None, arms: str | Sequence[str] | None, config: str | Path | None, given: dict[str, Any]
) -> StudySpec:
    """study.toml, overridden by `given`, `task` and `arms`, then checked. Raises SettingsError."""
    stored = read_settings(StudySpec, possible(config)).model_dump(exclude_unset=True) if config else {}
    if config and stored.get("task") and not Path(stored["task"]).is_absolute():
        beside = Path(config).parent / stored["task"]
        is_task = beside.is_dir() or Path(str(beside).rpartition(":")[0]).is_dir()  # FOLDER:NAME is a task too
        stored["task"] = str(beside) if is_task else stored["task"]
    if config and stored.get("model"):
        stored["model"] = _beside(Path(config), stored["model"])
    stored |= {key: value for key, value in given.items() if value is not None}
    if isinstance(stored.get("defaults"), str):
        stored["defaults"] = assignments(stored["defaults"], "defaults")
    if task is not None:
        stored["task"] = str(task)
    if arms is not None:
        names = arms.split(",") if isinstance(arms, str) else list(arms)
        stored["arms"] = [name.strip() for name in names if name.strip()]
    spec = settings_from(StudySpec, stored, config or "study")
    if spec.task is None:
        raise SettingsError("no task is named; give a task folder, or one that ships with luthier, such as dialogues")
    return spec


def _beside(config: Path, model: str) -> str:
    """The model of study.toml: a folder from here, else one beside study.toml, else a name."""
    beside = config.parent / model
    return str(beside) if not Path(model).is_dir() and beside.is_dir() else model


def in_reach(model: str, folder: Path) -> str:
    """`model` as a study in `folder` keeps it.

    A relative folder is found again from the study's own folder upwards. Where that would not lead to it, because the
    study stands elsewhere, it is kept as a whole path.
    """
    is_folder = not Path(model).is_absolute() and possible(model).is_dir()
    return str(Path(model).resolve()) if is_folder and not folder.resolve().is_relative_to(Path.cwd()) else model
