"""An arm: a method with its settings inside one study, and the short form that names it.

    method[-dial][:template][@width][+key=value ...]

    few-shot-2:question                 two shots, the template 'question'
    lora-r8+learning_rate=2e-3          rank 8, another learning rate
    lora@int8                           trained in full, its weights made narrow after that
    qlora@int4                          trained on a base that is narrow already; qlora alone is qlora@nf4
    zero-shot+temperature=0.7+top_k=20  a generation configuration as an arm of its own

    head+model=minilm                   another model than the study's

A key is one of the method's own settings, of its training, or of generation; study.toml writes the same as tables.

Where a task has labels an arm answers in one of three ways: an encoder by its `head`, other models by the `likelihood`
of each label after the prompt, or by `generation`, whose text is searched for a label.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import Field

from luthier.adapt.method import Method, Tuning
from luthier.adapt.methods import METHODS, merging, method
from luthier.arms.shipped import QUANTIZED
from luthier.decoding.generate import Generation
from luthier.errors import SettingsError
from luthier.model.model import family_of
from luthier.model.widths import NARROW, WIDTHS, width
from luthier.settings import Settings, settings_from
from luthier.task.spec import BARE
from luthier.task.task import Task
from luthier.training.loop import Training

LEARNING_RATE = "learning_rate"  # what tuning tries for every method that trains, beside the method's own sweep
DEFAULT = ("copy-3", "bare", "zero-shot", "zero-shot:question", "few-shot-2", "lora")
CLASSES = ("majority", "nearest", "zero-shot", "few-shot-4", "lora")  # the usual ones where answers are labels
ENCODER_CLASSES = ("majority", "nearest", "head", "select-last-2", "lora", "full")
MORE_CLASSES = ("zero-shot:question", "zero-shot+answer=generation", "one-shot", "few-shot-8", "soft", "full")
MORE_ENCODER_CLASSES = ("bitfit", "ia3", "dora", "nearest-5")
EVERY = "all"  # said instead of names
NOT_IN_ALL = ("lora", "bitfit")  # stands in DEFAULT; needs biases, which Llama's kin and T5 have not
ALL = (
    *DEFAULT,
    "zero-shot:brief",
    "zero-shot:facts",
    "one-shot",
    "few-shot-4",
    "zero-shot+max_new_tokens=24",
    "zero-shot+temperature=0.7",
    "zero-shot+temperature=0.7+top_k=20",
    "zero-shot+temperature=1.0+top_p=0.9",
    *(name for name, row in METHODS.items() if row.trains and row.adapts("decoder") and name not in NOT_IN_ALL),
    *(f"{arm}@{width}" for arm in ("zero-shot", "lora") for width in NARROW),
    *(f"qlora@{width}" for width in NARROW if width != "nf4"),
)


class ArmSpec(Settings):
    """[arms.NAME] of study.toml: what the short form says, in full."""

    method: str = Field(description="a row of the methods table: " + ", ".join(METHODS))
    template: str | None = Field(None, description="a template of the task; None: the method's or the task's default")
    width: str | None = Field(
        None, description="of the weights that answer, made narrow after training: " + ", ".join(WIDTHS)
    )
    settings: dict[str, Any] = Field(default={}, description="the method's own settings, such as rank or shots")
    training: dict[str, Any] = Field(default={}, description="how it is trained, such as learning_rate or epochs")
    generation: dict[str, Any] = Field(default={}, description="how it answers, such as max_new_tokens or temperature")
    model: str | None = Field(None, description="a short name, a hub id, or a folder; None: the study's model")
    answer: Literal["likelihood", "generation"] | None = Field(
        None, description="how labels are chosen by a model that writes; None: by their likelihood"
    )
    tune: list[str] | None = Field(
        None, description="what --tune may vary: learning_rate or the method's dial; None: those not given here"
    )
    trained_on: str | None = Field(
        None, description="what it was trained on by `luthier multitask`; None: this study's train split"
    )


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


def parse(text: str) -> ArmSpec:
    """The short form as an ArmSpec. Raises SettingsError that says what was not understood."""
    head, *assignments = text.strip().split("+")
    head, _, wide = head.partition("@")
    head, _, template = head.partition(":")
    name = max((name for name in METHODS if head == name or head.startswith(f"{name}-")), key=len, default=None)
    if name is None:
        raise SettingsError(f"arm '{text}': '{head}' is no method; the methods are: {', '.join(METHODS)}")
    found = METHODS[name]
    parts: dict[str, Any] = {"settings": {}, "training": {}, "generation": {}}
    if "width" in found.settings.model_fields and wide:
        parts["settings"]["width"] = wide  # of the base that it is trained on
        wide = ""
    if dial := head[len(name) + 1 :]:
        parts["settings"] |= _dial(text, found, dial)
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise SettingsError(f"arm '{text}': '+{assignment}' has no value; write +key=value")
        if key in ("model", "answer"):
            parts[key] = value
            continue
        parts[_home(text, found, key)][key] = _value(value)
    return settings_from(
        ArmSpec, {"method": name, "template": template or None, "width": wide or None} | parts, f"arm '{text}'"
    )


def model_of(text: str) -> str | None:
    """The model that a short form names for itself. Raises SettingsError as `parse` does."""
    return parse(text).model


def name_of(text: str) -> str:
    """What the arm of a short form is called: itself, and of a model's path or hub id the last part alone, because an
    arm's name is also its folder's."""
    return re.sub(r"(\+model=)[^+]*/(?=[^+/])", r"\1", text.strip())


def _dial(text: str, found: Method, dial: str) -> dict[str, Any]:
    match = re.fullmatch(rf"{found.dial_prefix}(\d+)", dial)
    if found.dial is None or match is None:
        example = f"{found.name}-{found.dial_prefix}8" if found.dial else found.name
        raise SettingsError(f"arm '{text}': '-{dial}' is not understood; write {example}")
    return {found.dial: int(match[1])}


def _home(text: str, found: Method, key: str) -> str:
    """Which of an arm's tables holds `key`."""
    homes = _homes(found)
    if key not in homes:
        raise SettingsError(f"arm '{text}': '{key}' is no setting of {found.name}; there are: {', '.join(homes)}")
    return homes[key]


def _homes(found: Method) -> dict[str, str]:
    """key -> which of an arm's tables holds it, for every setting that the method has."""
    tables: dict[str, type[Settings]] = {
        "generation": Generation if found.asks_model else Settings,
        "training": Training if found.trains else Settings,
        "settings": found.settings,
    }
    homes = {key: table for table, model in tables.items() for key in model.model_fields}
    return dict(sorted(homes.items()))


def settings_of(text: str) -> dict[str, Any]:
    """`key=value,key=value` as a dict. Raises SettingsError for a part that is no such thing."""
    parts = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    if bare := [key for key, equals, value in parts if not (key and equals and value)]:
        raise SettingsError(f"defaults '{text}': '{bare[0]}' has no value; write key=value,key=value")
    return {key: _value(value) for key, _, value in parts}


def _value(text: str) -> Any:
    """A number where it reads as one, else the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


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


def as_trained(arm: TrainedArm, about: Mapping[str, Any]) -> TrainedArm:
    """The arm with the settings and the training that an arm.json says it was trained with."""
    settings, training = type(arm.settings).model_validate(about["settings"]), Training(**about["training"])
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


def usual_arms(task: Task, base: str, every: bool = False) -> list[str]:
    """The arms of a study that names none, or of one that asks for `every` usual one."""
    if not task.labels:
        return list(ALL if every else DEFAULT)
    encoder = family_of(base) == "encoder"
    more = (MORE_ENCODER_CLASSES if encoder else MORE_CLASSES) if every else ()
    return [*(ENCODER_CLASSES if encoder else CLASSES), *more]


def with_defaults(arms: Mapping[str, ArmSpec], defaults: Mapping[str, Any]) -> dict[str, ArmSpec]:
    """The arms with `defaults` wherever their method has such a setting and they do not give it themselves.

    Raises SettingsError for a key that is no setting of any of them.
    """
    homes = {name: _homes(METHODS[arm.method]) for name, arm in arms.items()}
    known = {key for keys in homes.values() for key in keys}
    if unknown := [key for key in defaults if key not in known]:
        raise SettingsError(
            f"defaults: '{unknown[0]}' is no setting of any arm here; there are: {', '.join(sorted(known))}"
        )
    filled = dict(arms)
    for name, keys in homes.items():
        tables = {
            table: {key: value for key, value in defaults.items() if keys.get(key) == table}
            | getattr(arms[name], table)
            for table in ("settings", "training", "generation")
        }
        filled[name] = arms[name].model_copy(update=tables)
    return filled


def with_baselines(arms: dict[str, ArmSpec], task: Task, base: str | None = None) -> dict[str, ArmSpec]:
    """The arms with those that are always there: what asks no model, and the zero-shot base model if it can answer."""
    named = {spec.method for spec in arms.values()}
    trivial = ("majority", "nearest") if task.labels else (f"copy-{task.spec.answer.baseline_lines}",)
    always = {text: parse(text) for text in trivial if parse(text).method not in named}
    writes = not task.labels or base is None or family_of(base) != "encoder"
    if writes and "zero-shot" not in arms:
        always["zero-shot"] = parse("zero-shot")
    return always | arms
