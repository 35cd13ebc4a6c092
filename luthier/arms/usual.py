"""The arms that a study has where nobody names any, those that 'all' stands for, and those that are always there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from luthier.adapt.methods import METHODS
from luthier.arms.short_form import name_of, parse
from luthier.arms.spec import ArmSpec
from luthier.errors import SettingsError
from luthier.model.model import family_of
from luthier.model.widths import NARROW
from luthier.task.task import Task

EVERY = "all"  # said instead of names
DEFAULT = ("copy-3", "bare", "zero-shot", "zero-shot:question", "few-shot-2", "lora")
CLASSES = ("majority", "nearest", "zero-shot", "few-shot-4", "lora")  # the usual ones where answers are labels
ENCODER_CLASSES = ("majority", "nearest", "head", "select-last-2", "lora", "full")
MORE_CLASSES = ("zero-shot:question", "zero-shot+answer=generation", "one-shot", "few-shot-8", "soft", "full")
MORE_ENCODER_CLASSES = ("bitfit", "ia3", "dora", "nearest-5")
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


def arm_specs(arms: Mapping[str, ArmSpec] | Sequence[str] | None, task: Task, base: str) -> dict[str, ArmSpec]:
    """name -> arm, of the names or tables given, or the usual ones of the task."""
    if isinstance(arms, Mapping):
        return dict(arms)
    names = usual_arms(task, base) if arms is None else usual_arms(task, base, every=True) if arms == [EVERY] else arms
    twice = {name for name in names if list(names).count(name) > 1}
    if twice:
        raise SettingsError(f"the arm '{min(twice)}' is named twice; name each arm once")
    return {name_of(name): parse(name) for name in names}


def usual_arms(task: Task, base: str, every: bool = False) -> list[str]:
    """The arms of a study that names none, or of one that asks for `every` usual one."""
    if not task.labels:
        return list(ALL if every else DEFAULT)
    encoder = family_of(base) == "encoder"
    more = (MORE_ENCODER_CLASSES if encoder else MORE_CLASSES) if every else ()
    return [*(ENCODER_CLASSES if encoder else CLASSES), *more]


def with_baselines(arms: dict[str, ArmSpec], task: Task, base: str | None = None) -> dict[str, ArmSpec]:
    """The arms with those that are always there: what asks no model, and the zero-shot base model if it can answer."""
    named = {spec.method for spec in arms.values()}
    trivial = ("majority", "nearest") if task.labels else (f"copy-{task.spec.answer.baseline_lines}",)
    always = {text: parse(text) for text in trivial if parse(text).method not in named}
    writes = not task.labels or base is None or family_of(base) != "encoder"
    if writes and "zero-shot" not in arms:
        always["zero-shot"] = parse("zero-shot")
    return always | arms
