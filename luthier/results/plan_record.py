"""plan.json: what each arm of a study was expected to take, written before the first arm runs.

Names of terms and phases have their sentences in planning/words.py. Seconds hold for the machine that planned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from luthier.results.record import FirstFormat, Number, Part, Record


class PlanTerm(Part):
    """One summand of a peak."""

    name: str
    bytes: int


class Taught(Part):
    """What earlier arms on this machine taught of a phase: its seconds are `by_rates` times `factor`.

    `low` and `high` are the ends of the 95 % interval in which the factor of one arm lies; `arms` is how many taught.
    """

    by_rates: Number
    factor: Number
    low: Number
    high: Number
    arms: int

    @property
    def seconds(self) -> float:
        return round(float(self.by_rates * self.factor), 3)


class PlanPhase(Part):
    """Training or answering: its peak term by term, its operations, and its seconds."""

    terms: list[PlanTerm]
    flops: int
    seconds: Number | None  # None: no rate of the machine is known
    taught: Taught | None = None  # None: the seconds are those by rates alone

    @property
    def seconds_by_rates(self) -> Number | None:
        """Its seconds before what was learned is counted."""
        return self.taught.by_rates if self.taught else self.seconds

    @property
    def peak_bytes(self) -> int:
        return sum(term.bytes for term in self.terms)


class ArmPlan(Part):
    """The plan of one arm. `micro_tokens` and `recomputes` are what training will choose.

    `trained_as` is another arm of the study, whose trained weights this one takes.
    """

    method: str
    model: str
    parameters: int
    trainable: int
    micro_tokens: int | None = None
    recomputes: bool = False
    trained_as: str | None = None
    domain: PlanPhase | None = None  # further pretraining, in the arm that runs it first
    training: PlanPhase | None = None
    answering: PlanPhase | None = None
    refused: str | None = None  # why the arm cannot run under the bound, if it cannot

    @property
    def phases(self) -> dict[str, PlanPhase]:
        every = {"domain": self.domain, "training": self.training, "answering": self.answering}
        return {name: phase for name, phase in every.items() if phase is not None}

    @property
    def training_bytes(self) -> int | None:
        """The highest peak of what trains; None where nothing does."""
        trains = [phase.peak_bytes for phase in (self.domain, self.training) if phase is not None]
        return max(trains, default=None)

    @property
    def peak_bytes(self) -> int:
        """The highest peak of its phases; 0 for an arm without a model."""
        return max((phase.peak_bytes for phase in self.phases.values()), default=0)

    @property
    def seconds(self) -> float | None:
        """All seconds; None where one phase has none."""
        parts = [phase.seconds for phase in self.phases.values()]
        return None if any(part is None for part in parts) else float(sum(part or 0 for part in parts))

    @property
    def seconds_ends(self) -> tuple[float, float] | None:
        """The ends between which all seconds lie, as earlier arms say; None where they taught nothing.

        Phases are taken to be off together, which makes it wide rather than narrow.
        """
        parts = [(phase.taught, phase.seconds or 0) for phase in self.phases.values()]
        if self.seconds is None or not any(taught for taught, _ in parts):
            return None
        low = sum(one.by_rates * one.low if one else seconds for one, seconds in parts)
        high = sum(one.by_rates * one.high if one else seconds for one, seconds in parts)
        return float(low), float(high)

    @property
    def taught_words(self) -> str:
        """', times 1.38 from 12 earlier arms on this machine', by phase where there are several; '' without lessons."""
        taught = {name: phase.taught for name, phase in self.phases.items() if phase.taught is not None}
        shown = [f"{one.factor:.2f}{f' ({name})' * (len(self.phases) > 1)}" for name, one in taught.items()]
        arms = list(dict.fromkeys(one.arms for one in taught.values()))
        if not taught:
            return ""
        plural = "s" if arms != [1] else ""
        return f", times {' and '.join(shown)} from {' and '.join(map(str, arms))} earlier arm{plural} on this machine"


class PlanRecord(Record):
    """The plans of a study's arms. `rates` says where the seconds come from; None: no rates were known."""

    FILE: ClassVar[str] = "plan.json"
    REMEDY: ClassVar[str] = "remove the file, and the study plans the arms that have not run"

    format: FirstFormat = 1
    accounting: Literal["luthier", "transformers"]
    device: str
    precision: str
    rates: str | None
    arms: dict[str, ArmPlan] = Field(default={})

    def of(self, arm: str) -> ArmPlan | None:
        return self.arms.get(arm)

    @property
    def taught(self) -> dict[str, str]:
        """arm -> what earlier arms taught of its seconds, for the arms of which they taught something."""
        words = {name: f"{self.rates} rates{plan.taught_words}" for name, plan in self.arms.items()}
        return {name: words[name] for name, plan in self.arms.items() if plan.taught_words}

    def with_arms(self, arms: Mapping[str, ArmPlan]) -> PlanRecord:
        """The record with more arms; an arm that was planned already keeps its plan."""
        return self.model_copy(update={"arms": {**arms, **self.arms}})
