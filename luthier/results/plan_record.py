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


class PlanPhase(Part):
    """Training or answering: its peak term by term, its operations, and its seconds."""

    terms: list[PlanTerm]
    flops: int
    seconds: Number | None  # None: no rate of the machine is known

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

    def with_arms(self, arms: Mapping[str, ArmPlan]) -> PlanRecord:
        """The record with more arms; an arm that was planned already keeps its plan."""
        return self.model_copy(update={"arms": {**arms, **self.arms}})
