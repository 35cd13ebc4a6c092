"""The default arms of a study, the arms of 'all', and the arms that every study has."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from luthier.adapt.methods import METHODS
from luthier.arms.short_form import name_of, parse
from luthier.arms.spec import ArmSpec
from luthier.errors import SettingsError
from luthier.model.model import family_of
from luthier.model.sizes import NARROW
from luthier.task.spec import BARE
from luthier.task.task import Task

ALL_ARMS = "all"  # given instead of names
DEFAULT = ("copy-3", "bare", "zero-shot", "zero-shot:question", "few-shot-2", "lora")
CLASSES = ("majority", "nearest", "zero-shot", "few-shot-4", "lora")  # the default arms where answers are labels
ENCODER_CLASSES = ("majority", "nearest", "head", "select-last-2", "lora", "full")
MORE_CLASSES = ("zero-shot:question", "zero-shot+answer=generation", "one-shot", "few-shot-8", "soft", "full")
MORE_ENCODER_CLASSES = ("bitfit", "ia3", "dora", "nearest-5")
NOT_IN_ALL = ("lora", "bitfit")  # lora is in DEFAULT; bitfit needs biases, which Llama-like models and T5 lack
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
    """name -> arm, from names or tables, or the default arms of the task. Raises SettingsError for a repeated name."""
    if isinstance(arms, Mapping):
        return dict(arms)
    names = (
        usual_arms(task, base) if arms is None else usual_arms(task, base, every=True) if arms == [ALL_ARMS] else arms
    )
    twice = {name for name in names if list(names).count(name) > 1}
    if twice:
        raise SettingsError(f"the arm '{min(twice)}' is named twice; name each arm once")
    return {name_of(name): parse(name) for name in names}


def usual_arms(task: Task, base: str, every: bool = False) -> list[str]:
    """The default arms of a task and a model; with `every` those of 'all'."""
    if not task.labels:
        return [arm for arm in (ALL if every else DEFAULT) if _has_template(arm, task)]
    is_encoder = family_of(base) == "encoder"
    more = (MORE_ENCODER_CLASSES if is_encoder else MORE_CLASSES) if every else ()
    return [arm for arm in (*(ENCODER_CLASSES if is_encoder else CLASSES), *more) if _has_template(arm, task)]


def _has_template(arm: str, task: Task) -> bool:
    """Whether the task has the arm's template: rows that say themselves what is asked have one alone."""
    return parse(arm).template in (None, BARE, *task.spec.prompt.templates)


def with_baselines(arms: dict[str, ArmSpec], task: Task, base: str | None = None) -> dict[str, ArmSpec]:
    """The arms with those of every study: a baseline without a model, and zero-shot if the base model writes text."""
    named = {spec.method for spec in arms.values()}
    trivial = ("majority", "nearest") if task.labels else (f"copy-{task.spec.answer.baseline_lines}",)
    added = {text: parse(text) for text in trivial if parse(text).method not in named}
    writes = not task.labels or base is None or family_of(base) != "encoder"
    if writes and "zero-shot" not in arms:
        added["zero-shot"] = parse("zero-shot")
    return added | _with_whole_trainings(arms)


def _with_whole_trainings(arms: dict[str, ArmSpec]) -> dict[str, ArmSpec]:
    """In front of the first arm with a scale, the same arm at its whole training, so that it is trained only once."""
    ordered: dict[str, ArmSpec] = {}
    for name, spec in arms.items():
        whole = spec.model_copy(update={"scale": None})
        if spec.scale is not None and whole not in ordered.values():
            found = next((other for other, one in arms.items() if one == whole), re.sub(r"\+scale=[^+]+", "", name))
            ordered[f"{found} whole" if found in arms and arms[found] != whole else found] = whole
        ordered[name] = spec
    return ordered
