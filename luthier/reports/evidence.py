"""A study's results besides its verdicts: profile, facts, limits on length, seeds, likelihood, widths.

Each function gives rows that a template writes down and a figure draws; empty where a study has no such file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from luthier.metrics import LIKELIHOOD
from luthier.reports.read import ArmPage, StudyPage
from luthier.results.arm_record import LengthChoice, Weight
from luthier.results.comparison import ArmMetric, Mean, Pair
from luthier.results.profile_record import ArmProfile, Bucket, EqualLengthRow, Facts
from luthier.results.study_record import ArmTable

SHAPE: dict[str, Callable[[ArmProfile], Mean]] = {  # what answers look like
    "words": lambda arm: arm.words,
    "answer words / reference words": lambda arm: arm.length_ratio,
    "copied trigrams": lambda arm: arm.copied.trigrams,
    "repeated trigrams": lambda arm: arm.repeated,
}


def length_choices(page: StudyPage) -> dict[str, LengthChoice]:
    """arm -> its choice of a limit on new tokens, for the arms that tried several on dev."""
    choices = {arm.name: arm.record.length for arm in page.compared if arm.record}
    return {name: length for name, length in choices.items() if length and len(length.dev) > 1}


# ---------------------------------------------------------------------------------------------------------- profile


def profiled(page: StudyPage) -> dict[str, ArmProfile]:
    """arm -> its row of profile.json, the best arm first."""
    arms = page.profile.arms if page.profile else {}
    return {arm.name: arms[arm.name] for arm in page.arms if arm.name in arms}


def equal_length_rows(page: StudyPage) -> tuple[EqualLengthRow, ...]:
    """The arms' means, and which verdicts change, when all answers are cut to the same length."""
    return page.profile.budgets.rows if page.profile else ()


def buckets_of(page: StudyPage) -> dict[str, tuple[Bucket, ...]]:
    """'input' and 'reference' -> thirds of the examples by the number of words in it."""
    return {what: rows for what, rows in page.profile.buckets.items() if rows} if page.profile else {}


def facts_of(page: StudyPage) -> dict[str, Facts]:
    """arm -> its share of answers with unsupported names or quantities, in total and by kind."""
    return {name: row.facts for name, row in profiled(page).items() if row.facts}


# ---------------------------------------------------------------------------------------------------- seeds and bits


def with_recipe(page: StudyPage) -> dict[str, ArmMetric]:
    """arm -> its mean on the deciding metric, for the arms with enough seeds for a claim."""
    rows = {arm.name: page.result(arm) for arm in page.compared}
    return {name: row for name, row in rows.items() if row and row.recipe}


def likelihoods(page: StudyPage) -> dict[str, ArmMetric]:
    """arm -> bits per character of the references, where they were measured."""
    rows = {arm.name: arm.metrics.get(LIKELIHOOD) for arm in page.compared}
    return {name: row for name, row in rows.items() if row and row.mean is not None}


# ----------------------------------------------------------------------------------------------------------- widths


@dataclass(frozen=True)
class WidthRow:
    """A narrow arm, or the whole arm that it is compared with: size, and the loss in quality."""

    arm: ArmPage
    spec: ArmTable
    weight: Weight
    whole_arm: str | None  # the same arm with whole weights; None where there is none, and for a whole arm
    lost: Pair | None  # the narrow arm against the whole one, paired by example


def width_rows(page: StudyPage) -> list[WidthRow]:
    """A row for each narrow arm, and for each whole arm that one is compared with."""
    specs = page.study.arms
    whole_arms = {name: _whole_arm_of(name, specs) for name, spec in specs.items() if spec.width or spec.base_width}
    shown = {*whole_arms, *whole_arms.values()}
    return [
        WidthRow(arm, specs[arm.name], arm.counts.weight, whole, page.compare.pair(arm.name, whole) if whole else None)
        for arm in page.arms
        if arm.name in shown and arm.counts and arm.counts.weight
        for whole in [whole_arms.get(arm.name)]
    ]


def _whole_arm_of(name: str, specs: Mapping[str, ArmTable]) -> str | None:
    """The arm that differs only in its width. For training on narrow weights it is the training on whole weights."""
    spec = specs[name]
    settings = {key: value for key, value in spec.settings.items() if key != "width"}
    method = spec.method if settings == spec.settings else "lora"
    whole = spec.model_copy(update={"width": None, "settings": settings, "method": method})
    return next((other for other, spec in specs.items() if other != name and spec == whole), None)
