"""What finished arms took beside what rates alone had said, kept for this machine, and the factor that it teaches.

A lesson is measured seconds over the seconds by rates, never over seconds that were corrected already. It holds for its
`basis` alone (lessons.py): where that is another, old lessons stay unused until newer ones push them out.

The factor of the next arm, with r = log(measured / by rates) of each lesson and w its weight from 0 to 1:

    m, W     the weighted median and the sum of weights, of lessons of the same kind of method
    m', W'   the same of the k other kinds
    machine  its ratio is N(0, FAR^2), and m' an observation of it with variance SPREAD^2 / W' + KINDS^2 / k
    kind     its ratio is N(machine, KINDS^2), and m an observation of it with variance SPREAD^2 / W
    factor   exp of the mean that the kind's ratio then has

This is the normal model with known variances (Gelman et al. 2013, Bayesian Data Analysis, sections 2.5 and 5.4), with
medians in the place of means, so that one arm that was disturbed moves little. Without lessons the factor is 1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from luthier.planning.moving import Moving
from luthier.planning.shape import Shape
from luthier.planning.terms import Setting
from luthier.results.plan_record import Taught
from luthier.results.record import FirstFormat, Number, Part, Record

# Standard deviations of r, from the errors in docs/planning.md: of one arm around those like it, of a kind of method
# around the others, and of a machine around its rates.
SPREAD, KINDS, FAR = 0.2, 0.2, 0.4
LATEST = 20  # lessons of one sort that are kept; of all sorts MOST
MOST = 400
LIKE_SIZE = 4  # times as many parameters, or as few: what a model teaches, one far from its size does not learn
LEAST_SECONDS = 1.0  # of a phase that teaches, by rates and measured
HALF_SECONDS, HALF_STEPS = 10.0, 2.0  # at which a phase teaches half of what a long one does

Phase = Literal["training", "answering"]
Kind = Literal["prompting", "weights", "lora", "added"]


@dataclass(frozen=True)
class Sort:
    """Which arms teach each other. `precision` is that of the weights, their width where they are narrow."""

    phase: Phase
    precision: str
    family: str  # of the model
    kind: Kind  # of the method
    parameters: int  # of the model

    @classmethod
    def of(cls, phase: Phase, shape: Shape, moves: Moving, setting: Setting) -> Sort:
        width = moves.width or (setting.width if phase == "answering" else None)
        return cls(phase, width or setting.precision, shape.family, kind_of(moves), shape.parameters)


def kind_of(moves: Moving) -> Kind:
    """Whether a method only prompts, moves the model's own weights, adds low-rank updates, or adds something else."""
    if any(one.kind in ("lora", "dora") for one in moves.additions):
        return "lora"
    return "weights" if moves.weights or moves.biases else "added" if moves.additions else "prompting"


class Lesson(Part):
    """What a phase of one finished arm took, in seconds, and what rates alone said of the same work."""

    basis: str
    phase: Phase
    precision: str
    family: str
    kind: Kind
    parameters: int
    by_rates: Annotated[Number, Field(gt=0)]
    measured: Annotated[Number, Field(gt=0)]
    weight: Annotated[Number, Field(gt=0, le=1)]

    @property
    def sort(self) -> Sort:
        return Sort(self.phase, self.precision, self.family, self.kind, self.parameters)

    @property
    def log_ratio(self) -> float:
        return math.log(self.measured / self.by_rates)

    def teaches(self, sort: Sort) -> bool:
        """Whether an arm of this sort learns from it, be it of another kind of method."""
        alike = (self.phase, self.precision, self.family) == (sort.phase, sort.precision, sort.family)
        return alike and 1 / LIKE_SIZE <= self.parameters / sort.parameters <= LIKE_SIZE


def lesson(basis: str, sort: Sort, by_rates: float, measured: float, steps: int | None = None) -> Lesson | None:
    """The lesson of a phase; None for one too short to teach. `steps` are those of a training's optimizer.

    What a phase does once, such as its first step, is a large part of a short one, which therefore weighs less.
    """
    if min(by_rates, measured) < LEAST_SECONDS:
        return None
    weight = measured / (measured + HALF_SECONDS)
    weight *= 1.0 if steps is None else steps / (steps + HALF_STEPS)
    return Lesson(
        basis=basis, phase=sort.phase, precision=sort.precision, family=sort.family, kind=sort.kind,
        parameters=sort.parameters, by_rates=round(by_rates, 3), measured=round(measured, 3), weight=round(weight, 3),
    )  # fmt: skip


class Learned(Record):
    """learned.json in the user's cache: the lessons, the newest last."""

    FILE: ClassVar[str] = "learned.json"
    REMEDY: ClassVar[str] = "forget what was learned with `luthier plan --forget`"

    format: FirstFormat = 1
    lessons: tuple[Lesson, ...] = ()

    def on(self, basis: str) -> Learned:
        """The lessons that hold on this basis."""
        return Learned(format=1, lessons=tuple(one for one in self.lessons if one.basis == basis))

    @property
    def rows(self) -> list[tuple[Sort, Taught]]:
        """What the lessons teach each sort of arm that gave one: the factor, of a second by rates."""
        sorts = dict.fromkeys(one.sort for one in self.lessons)
        return [(sort, taught) for sort in sorts if (taught := self.taught(sort, 1.0)) is not None]

    def with_more(self, more: Iterable[Lesson]) -> Learned:
        """The record with newer lessons, without the oldest where there are too many."""
        kept: list[Lesson] = []
        seen: Counter[tuple[str, Sort]] = Counter()
        for one in reversed([*self.lessons, *more]):
            seen[one.basis, one.sort] += 1
            if seen[one.basis, one.sort] <= LATEST and len(kept) < MOST:
                kept.append(one)
        return Learned(format=1, lessons=tuple(reversed(kept)))

    def taught(self, sort: Sort, by_rates: float) -> Taught | None:
        """The factor for an arm, by the formula above, with the 95 % interval of a single arm; None without lessons."""
        alike = [one for one in self.lessons if one.teaches(sort)]
        if not alike:
            return None
        own, others = ([one for one in alike if (one.kind == sort.kind) == same] for same in (True, False))
        kinds = len({one.kind for one in others})
        heard = 1 / (SPREAD**2 / _weight(others) + KINDS**2 / kinds) if others else 0.0
        precision = 1 / FAR**2 + heard
        prior, seen = 1 / (1 / precision + KINDS**2), _weight(own) / SPREAD**2
        mean = (_median(own) * seen + _median(others) * heard / precision * prior) / (seen + prior)
        spread = _variance(own or others) + 1 / (seen + prior)
        low, high = (math.exp(mean + side * 1.96 * math.sqrt(spread)) for side in (-1, 1))
        return Taught(
            by_rates=by_rates, factor=round(math.exp(mean), 4), low=round(low, 4), high=round(high, 4), arms=len(alike)
        )


def _weight(lessons: Sequence[Lesson]) -> float:
    return sum(float(one.weight) for one in lessons)


def _median(lessons: Sequence[Lesson]) -> float:
    """The weighted median of the log ratios, between two where the weights are halved exactly; 0 without lessons."""
    half, below = _weight(lessons) / 2, 0.0
    ordered = sorted(lessons, key=lambda one: one.log_ratio)
    for one, after in zip(ordered, [*ordered[1:], *ordered[-1:]], strict=True):
        below += float(one.weight)
        if math.isclose(below, half):
            return (one.log_ratio + after.log_ratio) / 2
        if below > half:
            return one.log_ratio
    return 0.0


def _variance(lessons: Sequence[Lesson]) -> float:
    """Of one arm around the median: that of these, with SPREAD's as if four lessons had said it."""
    middle = _median(lessons)
    squares = sum(float(one.weight) * (one.log_ratio - middle) ** 2 for one in lessons)
    return (4 * SPREAD**2 + squares) / (4 + _weight(lessons))
