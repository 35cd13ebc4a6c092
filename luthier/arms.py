"""An arm: a method with its settings inside one study, and the short form that names it.

    method[-dial][:template][@width][+key=value ...]

    few-shot-2:question                 two shots, the template 'question'
    lora-r8+learning_rate=2e-3          rank 8, another learning rate
    lora@int8                           trained in full, its weights made narrow after that
    qlora@int4                          trained on a base that is narrow already; qlora alone is qlora@nf4
    zero-shot+temperature=0.7+top_k=20  a generation configuration as an arm of its own

A key is one of the method's own settings, of its training, or of generation; study.toml writes the same as tables.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import Field

from luthier.adapt import METHODS, Method, method
from luthier.errors import SettingsError
from luthier.generate import Generation
from luthier.loop import Training
from luthier.settings import Settings, settings_from
from luthier.task import Task
from luthier.widths import NARROW, WIDTHS, width

LEARNING_RATE = "learning_rate"  # what tuning tries for every method that trains, beside the method's own sweep
DEFAULT = ("copy-3", "bare", "zero-shot", "zero-shot:question", "few-shot-2", "lora")
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
    *(name for name, row in METHODS.items() if row.trains and name not in NOT_IN_ALL),
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
    training: Training | None
    template: str
    generation: Generation
    width: str | None = None  # what the weights are made after training, a row of WIDTHS; None: nothing
    tunable: tuple[str, ...] = field(default=(), compare=False)  # what tuning may vary; it chooses, it is no setting
    trained_on: str | None = None  # of weights that another training made; None: the study's own train split

    @property
    def shots(self) -> int:
        """Solved examples in front of the question."""
        return int(getattr(self.settings, "shots", 0))


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
        parts[_home(text, found, key)][key] = _value(value)
    return ArmSpec(method=name, template=template or None, width=wide or None, **parts)


def _dial(text: str, found: Method, dial: str) -> dict[str, Any]:
    match = re.fullmatch(rf"{found.dial_prefix}(\d+)", dial)
    if found.dial is None or match is None:
        example = f"{found.name}-{found.dial_prefix}8" if found.dial else found.name
        raise SettingsError(f"arm '{text}': '-{dial}' is not understood; write {example}")
    return {found.dial: int(match[1])}


def _home(text: str, found: Method, key: str) -> str:
    """Which of an arm's tables holds `key`."""
    homes = {"settings": found.settings.model_fields, "generation": Generation.model_fields}
    if found.trains:
        homes["training"] = Training.model_fields
    for home, fields in homes.items():
        if key in fields:
            return home
    known = ", ".join(sorted(name for fields in homes.values() for name in fields))
    raise SettingsError(f"arm '{text}': '{key}' is no setting of {found.name}; there are: {known}")


def _value(text: str) -> Any:
    """A number where it reads as one, else the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def resolve(name: str, spec: ArmSpec, task: Task) -> Arm:
    """The arm with every default filled in. Raises SettingsError or TaskError for what does not fit."""
    found = method(spec.method)
    where = f"arm '{name}'"
    if spec.training and not found.trains:
        raise SettingsError(f"{where}: {found.name} trains nothing, so it has no training settings; leave them out")
    settings = dict(spec.settings)
    if found.name == "copy":
        settings.setdefault("lines", task.spec.answer.baseline_lines)
    template = spec.template or found.default_template or task.spec.prompt.default
    task.template(template)  # refuses an unknown one
    defaults = found.training.model_dump() if found.training else {}
    return Arm(
        name=name,
        method=found,
        settings=settings_from(found.settings, settings, where),
        training=settings_from(Training, defaults | spec.training, where) if found.trains else None,
        template=template,
        generation=settings_from(Generation, spec.generation, where),
        width=_width(where, spec, found),
        tunable=() if spec.trained_on else _tunable(where, spec, found),
        trained_on=spec.trained_on,
    )


def _width(where: str, spec: ArmSpec, found: Method) -> str | None:
    """The width, if it is known and the method leaves weights that can be made narrow. Raises SettingsError."""
    if spec.width is None:
        return None
    widened = found.asks_model and (not found.trains or found.merge is not None or found.shipped == "weights")
    if not widened or "width" in found.settings.model_fields:
        can = ", ".join(row.name for row in METHODS.values() if row.merge and "width" not in row.settings.model_fields)
        raise SettingsError(
            f"{where}: {found.name} leaves no whole weights to make {spec.width}; these do: prompting, full, {can}"
        )
    return width(spec.width, where).name


def as_trained(arm: Arm, about: Mapping[str, Any]) -> Arm:
    """The arm with the settings and the training that an arm.json says it was trained with."""
    settings, training = type(arm.settings).model_validate(about["settings"]), Training(**about["training"])
    return replace(arm, settings=settings, training=training)


def _tunable(where: str, spec: ArmSpec, found: Method) -> tuple[str, ...]:
    """What tuning may vary: what was named, else what was not given. Raises SettingsError for what is never varied."""
    known = (LEARNING_RATE, *found.sweep) if found.trains else ()
    if spec.tune is None:
        return tuple(name for name in known if name not in {**spec.settings, **spec.training})
    if unknown := [name for name in spec.tune if name not in known]:
        there = f"there are: {', '.join(known)}" if known else f"{found.name} trains nothing"
        raise SettingsError(f"{where}: tuning does not vary '{unknown[0]}'; {there}")
    return tuple(spec.tune)


def with_baselines(arms: dict[str, ArmSpec], task: Task) -> dict[str, ArmSpec]:
    """The arms with the two that are always there: the copied first turns and the zero-shot base model."""
    copied = f"copy-{task.spec.answer.baseline_lines}"
    always = {} if any(spec.method == "copy" for spec in arms.values()) else {copied: parse(copied)}
    if "zero-shot" not in arms:
        always["zero-shot"] = parse("zero-shot")
    return always | arms
