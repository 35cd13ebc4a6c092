"""An arm: a method with its settings inside one study, every default filled in.

    ArmSpec --resolve--> Arm, or TrainedArm where its method trains

Where a task has labels an arm answers in one of three ways: an encoder by its `head`, other models by the `likelihood`
of each label after the prompt, or by `generation`, whose text is searched for a label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from luthier.adapt.method import Method, Tuning
from luthier.adapt.methods import METHODS, merging, method
from luthier.arms.shipped import QUANTIZED
from luthier.arms.spec import ArmSpec
from luthier.decoding.generate import Generation
from luthier.errors import SettingsError
from luthier.model.model import family_of
from luthier.model.widths import width
from luthier.results.arm_record import ArmRecord
from luthier.settings import Settings, settings_from
from luthier.task.spec import BARE
from luthier.task.task import Task
from luthier.training.loop import Training

LEARNING_RATE = "learning_rate"  # what tuning tries for every method that trains, beside the method's own sweep


@dataclass(frozen=True)
class Arm:
    """A method with every setting resolved against its defaults and the task."""

    name: str
    method: Method
    settings: Any
    template: str
    generation: Generation
    width: str | None = None  # what the weights are made after training, a row of WIDTHS; None: nothing
    model: str | None = None  # None: the study's
    answers_by: str = "generation"  # or 'likelihood', or 'head'

    @property
    def shots(self) -> int:
        """Solved examples in front of the question."""
        return int(getattr(self.settings, "shots", 0))

    @property
    def weights(self) -> str | None:
        """The folder inside the arm's own that holds what its model needs beside the base; None: nothing."""
        return QUANTIZED if self.width else None


@dataclass(frozen=True, kw_only=True)
class TrainedArm(Arm):
    """An arm whose method trains."""

    method: Tuning
    training: Training
    tunable: tuple[str, ...] = field(default=(), compare=False)  # what tuning may vary; it chooses, it is no setting
    trained_on: str | None = None  # of weights that another training made; None: the study's own train split

    @property
    def weights(self) -> str | None:
        return super().weights or self.method.shipped


def resolve(name: str, spec: ArmSpec, task: Task, base: str | None = None) -> Arm:
    """The arm with every default filled in; `base` is the study's model.

    Raises SettingsError, TaskError or ModelError for what does not fit.
    """
    found = method(spec.method)
    where = f"arm '{name}'"
    if spec.training and not found.trains:
        raise SettingsError(f"{where}: {found.name} trains nothing, so it has no training settings; leave them out")
    family = _family(where, spec, found, task, base)
    settings = dict(spec.settings)
    if found.name == "copy":
        settings.setdefault("lines", task.spec.answer.baseline_lines)
    usual = BARE if family == "encoder" else found.default_template  # an encoder was never told what a question is
    template = spec.template or usual or task.spec.prompt.default
    task.template(template)  # refuses an unknown one
    arm: dict[str, Any] = {
        "name": name,
        "method": found,
        "settings": settings_from(found.settings, settings, where),
        "template": template,
        "generation": settings_from(Generation, spec.generation, where),
        "width": _width(where, spec, found),
        "model": spec.model if found.asks_model else None,
        "answers_by": _answers_by(where, spec, task, family),
    }
    tunable = () if spec.trained_on else _tunable(where, spec, found)
    if not isinstance(found, Tuning):
        return Arm(**arm)
    usual_training = (found.on_encoder if family == "encoder" else None) or found.training
    training = settings_from(Training, usual_training.model_dump() | spec.training, where)
    return TrainedArm(**arm, training=training, tunable=tunable, trained_on=spec.trained_on)


def resolve_trained(name: str, spec: ArmSpec, task: Task, base: str | None = None) -> TrainedArm:
    """As `resolve`, for an arm that has to train. Raises SettingsError for a method that trains nothing."""
    arm = resolve(name, spec, task, base)
    if not isinstance(arm, TrainedArm):
        raise SettingsError(f"arm '{name}': {arm.method.name} trains nothing; choose a method that does, such as lora")
    return arm


def _width(where: str, spec: ArmSpec, found: Method) -> str | None:
    """The width, if it is known and the method leaves weights that can be made narrow. Raises SettingsError."""
    if spec.width is None:
        return None
    if not found.leaves_whole_weights or "width" in found.settings.model_fields:
        can = ", ".join(name for name, row in merging().items() if "width" not in row.settings.model_fields)
        raise SettingsError(
            f"{where}: {found.name} leaves no whole weights to make {spec.width}; these do: prompting, full, {can}"
        )
    return width(spec.width, where).name


def _family(where: str, spec: ArmSpec, found: Method, task: Task, base: str | None) -> str | None:
    """The family of the arm's model where it matters. Raises SettingsError where method, model and task do not fit."""
    if found.labels and not task.labels:
        raise SettingsError(f"{where}: {found.name} answers labels, and this task has none; see [classes] in task.toml")
    if task.labels and not (found.asks_model or found.labels):
        raise SettingsError(
            f"{where}: {found.name} answers texts, and this task has labels; choose majority or nearest"
        )
    name = spec.model or base
    if not found.asks_model or name is None or not (task.labels or spec.model):
        return None
    family = family_of(name)
    if family == "encoder" and not task.labels:
        raise SettingsError(f"{where}: {name} is an encoder, which writes no text; choose a model that does")
    if family == "encoder" and spec.width:
        raise SettingsError(f"{where}: the weights of an encoder are not made {spec.width} here; leave the width out")
    if not found.adapts(family):
        fitting = ", ".join(row.name for row in METHODS.values() if row.asks_model and row.adapts(family))
        kind = f"a{'n' * (family[0] == 'e')} {family}"
        raise SettingsError(f"{where}: {found.name} cannot be an arm of {name}, {kind}; there are: {fitting}")
    return family


def _answers_by(where: str, spec: ArmSpec, task: Task, family: str | None) -> str:
    """'head', 'likelihood' or 'generation'. Raises SettingsError for a choice that the task or the model leave not."""
    if spec.answer and not task.labels:
        raise SettingsError(f"{where}: 'answer' says how labels are chosen, and this task has none; leave it out")
    if family == "encoder":
        if spec.answer:
            raise SettingsError(f"{where}: an encoder answers by its head, not by {spec.answer}; leave 'answer' out")
        return "head"
    return (spec.answer or "likelihood") if task.labels else "generation"


def as_trained(arm: TrainedArm, record: ArmRecord) -> TrainedArm:
    """The arm with the settings and the training that its arm.json says it was trained with."""
    settings, training = type(arm.settings).model_validate(record.settings), Training(**(record.training or {}))
    return replace(arm, settings=settings, training=training)


def _tunable(where: str, spec: ArmSpec, found: Method) -> tuple[str, ...]:
    """What tuning may vary: what was named, else what was not given. Raises SettingsError for what is never varied."""
    known = (LEARNING_RATE, *found.sweep) if isinstance(found, Tuning) else ()
    if spec.tune is None:
        return tuple(name for name in known if name not in {**spec.settings, **spec.training})
    if unknown := [name for name in spec.tune if name not in known]:
        there = f"there are: {', '.join(known)}" if known else f"{found.name} trains nothing"
        raise SettingsError(f"{where}: tuning does not vary '{unknown[0]}'; {there}")
    return tuple(spec.tune)


def homes(found: Method) -> dict[str, str]:
    """key -> which of an arm's tables holds it, for every setting that the method has."""
    tables: dict[str, type[Settings]] = {
        "generation": Generation if found.asks_model else Settings,
        "training": Training if found.trains else Settings,
        "settings": found.settings,
    }
    found_in = {key: table for table, model in tables.items() for key in model.model_fields}
    return dict(sorted(found_in.items()))


def with_defaults(arms: Mapping[str, ArmSpec], defaults: Mapping[str, Any]) -> dict[str, ArmSpec]:
    """The arms with `defaults` wherever their method has such a setting and they do not give it themselves.

    Raises SettingsError for a key that is no setting of any of them.
    """
    tables_of = {name: homes(METHODS[arm.method]) for name, arm in arms.items()}
    known = {key for keys in tables_of.values() for key in keys}
    if unknown := [key for key in defaults if key not in known]:
        raise SettingsError(
            f"defaults: '{unknown[0]}' is no setting of any arm here; there are: {', '.join(sorted(known))}"
        )
    filled = dict(arms)
    for name, keys in tables_of.items():
        tables = {
            table: {key: value for key, value in defaults.items() if keys.get(key) == table}
            | getattr(arms[name], table)
            for table in ("settings", "training", "generation")
        }
        filled[name] = arms[name].model_copy(update=tables)
    return filled
