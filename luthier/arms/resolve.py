"""An arm: a method with all its settings inside one study, defaults included.

    ArmSpec --resolve--> Arm, or TrainedArm where its method trains

In a task with labels an arm answers in one of three ways. An encoder answers by its `head`. Other models answer by the
`likelihood` of each label after the prompt, or by `generation`: the text is then searched for a label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from luthier.adapt.method import Method, Tuning
from luthier.adapt.methods import METHODS, method
from luthier.adapt.settings import refuse_family, refuse_width
from luthier.arms.shipped import QUANTIZED
from luthier.arms.short_form import domain_tables, setting_tables
from luthier.arms.spec import ArmSpec
from luthier.decoding.settings import Generation
from luthier.errors import SettingsError
from luthier.model.model import family_of
from luthier.model.widths import width
from luthier.results.arm_record import ArmRecord
from luthier.results.names import DOMAIN
from luthier.settings import settings_from
from luthier.task.spec import BARE
from luthier.task.task import Task
from luthier.training.settings import Training

LEARNING_RATE = "learning_rate"  # tuning tries it for every method that trains, beside the method's own sweep


@dataclass(frozen=True)
class Arm:
    """A method with every setting, resolved from the defaults and the task."""

    name: str
    method: Method
    settings: Any
    template: str
    generation: Generation
    width: str | None = None  # a row of WIDTHS, applied after training; None: the weights keep their precision
    model: str | None = None  # None: the study's
    scale: float | None = None  # of the trained change; None: all of it
    answers_by: str = "generation"  # or 'likelihood', or 'head'

    @property
    def shots(self) -> int:
        """The number of solved examples in front of the question."""
        return int(getattr(self.settings, "shots", 0))

    def most_new_tokens(self, task: Task) -> int:
        """Tokens of the context window that its prompts leave free: the task's limit, or its own where that is longer.

        A limit that is shorter, given or chosen on dev, changes no prompt: every arm is asked the same input.
        """
        return max(task.spec.answer.max_new_tokens, self.generation.max_new_tokens or 0)

    @property
    def weights(self) -> str | None:
        """The subfolder of the arm with the weights that its model needs beside the base; None: there are none."""
        return QUANTIZED if self.width else None


@dataclass(frozen=True, kw_only=True)
class TrainedArm(Arm):
    """An arm whose method trains."""

    method: Tuning
    training: Training
    tunable: tuple[str, ...] = field(default=(), compare=False)  # what tuning may vary; it is no setting
    trained_on: str | None = None  # what another training used; None: the study's own train split
    domain: TrainedArm | None = None  # the further pretraining that it begins with; None: it begins with the base

    @property
    def weights(self) -> str | None:
        return super().weights or self.method.shipped


def resolve(name: str, spec: ArmSpec, task: Task, base: str | None = None) -> Arm:
    """The arm with every default filled in. `base` is the study's model.

    Raises SettingsError for settings that do not fit method, model or task, TaskError for an unknown template, and
    ModelError for a model that cannot be used.
    """
    arm_method = method(spec.method)
    where = f"arm '{name}'"
    if spec.training and not arm_method.trains:
        raise SettingsError(
            f"{where}: {arm_method.name} trains nothing, so it has no training settings; leave them out"
        )
    family = _family(where, spec, arm_method, task, base)
    settings = dict(spec.settings)
    if arm_method.name == "copy":
        settings.setdefault("lines", task.spec.answer.baseline_lines)
    usual = BARE if family == "encoder" else arm_method.default_template  # an encoder was never trained on instructions
    template = spec.template or usual or task.spec.prompt.default
    task.template(template)  # raises for an unknown template
    arm: dict[str, Any] = {
        "name": name,
        "method": arm_method,
        "settings": settings_from(arm_method.settings, settings, where),
        "template": template,
        "generation": settings_from(Generation, spec.generation, where),
        "width": _width(where, spec, arm_method),
        "model": spec.model if arm_method.asks_model else None,
        "scale": _scale(where, spec, arm_method, family),
        "answers_by": _answers_by(where, spec, task, family),
    }
    domain = _domain(where, spec, arm_method, task, base)
    tunable = () if spec.trained_on else _tunable(where, spec, arm_method)
    if not isinstance(arm_method, Tuning):
        return Arm(**arm)
    usual_training = (arm_method.on_encoder if family == "encoder" else None) or arm_method.training
    training = settings_from(Training, usual_training.model_dump() | spec.training, where)
    if family == "encoder" and (given := [name for name in ("replay", "kl") if getattr(training, name)]):
        raise SettingsError(
            f"{where}: an encoder writes no text, so it cannot have {given[0]}; leave it out, or use anchor"
        )
    return TrainedArm(**arm, training=training, tunable=tunable, trained_on=spec.trained_on, domain=domain)


def resolve_trained(name: str, spec: ArmSpec, task: Task, base: str | None = None) -> TrainedArm:
    """As `resolve`, for an arm that must train. Raises SettingsError for a method that trains nothing."""
    arm = resolve(name, spec, task, base)
    if not isinstance(arm, TrainedArm):
        raise SettingsError(f"arm '{name}': {arm.method.name} trains nothing; choose a method that does, such as lora")
    return arm


def _domain(where: str, spec: ArmSpec, arm_method: Method, task: Task, base: str | None) -> TrainedArm | None:
    """The further pretraining that an arm begins with, as an arm `domain`; None: it has none.

    Raises SettingsError for an arm that trains nothing on top of it, and for an unknown setting.
    """
    if spec.domain is None:
        return None
    if not isinstance(arm_method, Tuning) or arm_method.reads == "texts":
        raise SettingsError(
            f"{where}: 'domain' stands before another training; to ask what further pretraining gives alone, write "
            "domain+corpus=TEXTS, and +shots=2 for few-shot"
        )
    tables: dict[str, dict[str, Any]] = {"settings": {}, "training": {}}
    known = domain_tables()
    for key, value in spec.domain.items():
        if key not in known:
            raise SettingsError(f"{where}: '{key}' is no setting of domain; there are: {', '.join(known)}")
        tables[known[key]][key] = value
    return resolve_trained(
        DOMAIN,
        ArmSpec(method=DOMAIN, model=spec.model, settings=tables["settings"], training=tables["training"]),
        task,
        base,
    )


def _width(where: str, spec: ArmSpec, arm_method: Method) -> str | None:
    """The name of the width. Raises SettingsError for an unknown one, or a method whose weights cannot get narrow."""
    if spec.width is None:
        return None
    refuse_width(where, arm_method.name, spec.width)
    return width(spec.width, where).name


def _scale(where: str, spec: ArmSpec, arm_method: Method, family: str | None) -> float | None:
    """The scale. Raises SettingsError for a method whose change cannot be scaled, or a head that was new."""
    if spec.scale is None:
        return None
    if not isinstance(arm_method, Tuning) or arm_method.scale_saved is None:
        can = ", ".join(row.name for row in METHODS.values() if isinstance(row, Tuning) and row.scale_saved)
        raise SettingsError(f"{where}: {arm_method.name} leaves no change of weights to scale; these do: {can}")
    if family == "encoder":
        raise SettingsError(f"{where}: an encoder's head was new, so its training cannot be scaled; leave scale out")
    return spec.scale


def _family(where: str, spec: ArmSpec, arm_method: Method, task: Task, base: str | None) -> str | None:
    """The family of the arm's model, if it matters. Raises SettingsError if method, model and task do not fit."""
    if arm_method.labels and not task.labels:
        raise SettingsError(
            f"{where}: {arm_method.name} answers labels, and this task has none; see [classes] in task.toml"
        )
    if task.labels and not (arm_method.asks_model or arm_method.labels):
        raise SettingsError(
            f"{where}: {arm_method.name} answers texts, and this task has labels; choose majority or nearest"
        )
    name = spec.model or base
    if not arm_method.asks_model or name is None or not (task.labels or spec.model):
        return None
    family = family_of(name)
    if family == "encoder" and not task.labels:
        raise SettingsError(f"{where}: {name} is an encoder, which writes no text; choose a model that does")
    if family == "encoder" and spec.width:
        raise SettingsError(f"{where}: the weights of an encoder are not made {spec.width} here; leave the width out")
    refuse_family(where, arm_method.name, name, family)
    return family


def _answers_by(where: str, spec: ArmSpec, task: Task, family: str | None) -> str:
    """'head', 'likelihood' or 'generation'. Raises SettingsError if `answer` does not fit the task or the model."""
    if spec.answer and not task.labels:
        raise SettingsError(f"{where}: 'answer' says how labels are chosen, and this task has none; leave it out")
    if family == "encoder":
        if spec.answer:
            raise SettingsError(f"{where}: an encoder answers by its head, not by {spec.answer}; leave 'answer' out")
        return "head"
    return (spec.answer or "likelihood") if task.labels else "generation"


def as_trained(arm: TrainedArm, record: ArmRecord) -> TrainedArm:
    """The arm with the settings and the training in its arm.json."""
    settings, training = type(arm.settings).model_validate(record.settings), Training(**(record.training or {}))
    return replace(arm, settings=settings, training=training)


def _tunable(where: str, spec: ArmSpec, arm_method: Method) -> tuple[str, ...]:
    """The settings that tuning may vary: `spec.tune`, or else those that the arm does not give.

    Raises SettingsError for a setting that tuning never varies.
    """
    tunable_names = (LEARNING_RATE, *arm_method.sweep) if isinstance(arm_method, Tuning) else ()
    if spec.tune is None:
        return tuple(name for name in tunable_names if name not in {**spec.settings, **spec.training})
    if unknown := [name for name in spec.tune if name not in tunable_names]:
        there = f"there are: {', '.join(tunable_names)}" if tunable_names else f"{arm_method.name} trains nothing"
        raise SettingsError(f"{where}: tuning does not vary '{unknown[0]}'; {there}")
    return tuple(spec.tune)


def with_defaults(arms: Mapping[str, ArmSpec], defaults: Mapping[str, Any]) -> dict[str, ArmSpec]:
    """The arms with `defaults` for settings that their method has and that they do not give themselves. The further
    pretraining that an arm begins with has them too, so that it is the one of an arm `domain`.

    Raises SettingsError for a key that is no setting of any arm.
    """
    tables_of = {name: setting_tables(arm.method) for name, arm in arms.items()}
    texts = domain_tables() if any(arm.domain for arm in arms.values()) else {}
    known_keys = {key for keys in (*tables_of.values(), texts) for key in keys}
    if unknown := [key for key in defaults if key not in known_keys]:
        raise SettingsError(
            f"defaults: '{unknown[0]}' is no setting of any arm here; there are: {', '.join(sorted(known_keys))}"
        )
    filled = dict(arms)
    for name, keys in tables_of.items():
        tables = {
            table: {key: value for key, value in defaults.items() if keys.get(key) == table}
            | getattr(arms[name], table)
            for table in ("settings", "training", "generation")
        }
        if (domain := arms[name].domain) is not None:
            tables["domain"] = {key: value for key, value in defaults.items() if key in texts} | domain
        filled[name] = arms[name].model_copy(update=tables)
    return filled
