"""Predicted beside measured: the plans of finished studies, and their errors.

A prediction is wrong when memory is off by more than 10 % or time by more than 25 %. The largest term of the phase is
then named: an error of the whole is most likely one of its largest part.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal

from luthier.results.cost import ArmCost, Cost
from luthier.results.lines import METRICS_FILE, Step
from luthier.results.names import run_folder
from luthier.results.plan_record import ArmPlan, PlanPhase, PlanRecord
from luthier.results.record import Number, Part, read_lines_of
from luthier.stats.intervals import mean_of

MEMORY_WITHIN, TIME_WITHIN = 0.10, 0.25
CALIBRATION_STEPS = 20

What = Literal[
    "training memory", "answering memory", "training time", "training time by rates alone", "answering time",
    "answering time by rates alone", "training time after 20 steps", "further pretraining time",
    "further pretraining time by rates alone",
]  # fmt: skip
BY_RATES: dict[What, What] = {  # the same before what earlier arms taught is counted
    "training time": "training time by rates alone",
    "answering time": "answering time by rates alone",
    "further pretraining time": "further pretraining time by rates alone",
}


class ErrorRow(Part):
    """One prediction and what was measured. `error` is relative: above 0 where too much was predicted.

    `term` names the largest term of a prediction that is wrong.
    """

    study: str
    arm: str
    what: What
    unit: Literal["bytes", "seconds"]
    predicted: Number
    measured: Number
    error: Number
    term: str | None = None

    @property
    def is_of_rates(self) -> bool:
        """Whether it is no plan, but what one would have said that had learned nothing."""
        return self.what in BY_RATES.values()

    @property
    def is_wrong(self) -> bool:
        return abs(self.error) > (MEMORY_WITHIN if self.unit == "bytes" else TIME_WITHIN)


class ErrorSummary(Part):
    """The errors of one kind: their mean with its interval, and how many are wrong."""

    what: What
    n: int
    mean: Number
    low: Number | None
    high: Number | None
    absolute: Number
    wrong: int

    @property
    def sentence(self) -> str:
        ends = "" if self.low is None or self.high is None else f" (95 % interval {self.low:+.1%} to {self.high:+.1%})"
        return (
            f"{self.what}: {self.n} predictions, mean error {self.mean:+.1%}{ends}, {self.absolute:.1%} in absolute "
            f"value; {self.wrong} outside the bound."
        )


def error_rows(folders: Sequence[Path]) -> list[ErrorRow]:
    """The rows of all studies that have a plan. Raises FolderError for a folder without plan.json."""
    return [row for folder in folders for row in rows_of_study(folder)]


def rows_of_study(folder: Path) -> list[ErrorRow]:
    """The rows of one study: what its plan says of each arm, beside cost.json. Raises FolderError without a plan."""
    record, cost = PlanRecord.read(folder), Cost.read_if_there(folder) or Cost()
    rows: list[ErrorRow] = []
    for arm, plan in record.arms.items():
        rows += _memory(folder.name, arm, plan, cost.of(arm)) + _time(folder.name, arm, plan, cost.of(arm))
        rows += _after_steps(folder, arm, cost.of(arm))
    return rows


def _memory(study: str, arm: str, plan: ArmPlan, cost: ArmCost) -> list[ErrorRow]:
    rows = []
    if (trains := plan.training or plan.domain) is not None and cost.peak_bytes:
        rows.append(_row(study, arm, "training memory", "bytes", plan.peak_bytes, cost.peak_bytes, trains))
    if plan.answering is not None and cost.answer_peak_bytes:
        phase = plan.answering
        rows.append(_row(study, arm, "answering memory", "bytes", phase.peak_bytes, cost.answer_peak_bytes, phase))
    return rows


def _time(study: str, arm: str, plan: ArmPlan, cost: ArmCost) -> list[ErrorRow]:
    phases: dict[What, tuple[PlanPhase | None, Number]] = {
        "training time": (plan.training, cost.train_seconds + cost.evaluate_seconds),
        "further pretraining time": (plan.domain, cost.domain_seconds),
        "answering time": (plan.answering, cost.answering_seconds),
    }
    rows = []
    for what, (phase, measured) in phases.items():
        if phase is not None and phase.seconds and measured:
            rows.append(_row(study, arm, what, "seconds", phase.seconds, measured, phase))
            if phase.taught is not None:
                by_rates = phase.taught.by_rates
                rows.append(_row(study, arm, BY_RATES[what], "seconds", by_rates, measured, phase))
    return rows


def _row(
    study: str, arm: str, what: What, unit: Literal["bytes", "seconds"], predicted: Number, measured: Number,
    phase: PlanPhase | None,
) -> ErrorRow:  # fmt: skip
    made = ErrorRow(
        study=study,
        arm=arm,
        what=what,
        unit=unit,
        predicted=predicted,
        measured=measured,
        error=round(predicted / measured - 1, 4),
    )
    if made.is_wrong and unit == "bytes" and phase is not None and phase.terms:
        return made.model_copy(update={"term": max(phase.terms, key=lambda term: term.bytes).name})
    return made


def _after_steps(folder: Path, arm: str, cost: ArmCost) -> list[ErrorRow]:
    """What the first steps of a training say of its whole: seconds a token, times all tokens."""
    steps = read_lines_of(Step, run_folder(folder, arm) / METRICS_FILE)
    predicted = seconds_after(steps, sum(step.tokens for step in steps))
    if predicted is None or not cost.train_seconds:
        return []
    measured = cost.train_seconds
    return [_row(folder.name, arm, "training time after 20 steps", "seconds", predicted, measured, None)]


def seconds_after(steps: Sequence[Step], tokens: int, count: int = CALIBRATION_STEPS) -> float | None:
    """Seconds of a whole training of `tokens` tokens, from its first `count` steps; None for a shorter one.

    The first step of all builds what later steps find ready, so it counts as one of the others.
    """
    if len(steps) <= count:
        return None
    first = steps[1 : count + 1]
    rate = sum(step.seconds for step in first) / sum(step.tokens for step in first)
    return round(rate * tokens, 3)


def summary(rows: Sequence[ErrorRow]) -> list[ErrorSummary]:
    """The errors by kind, each with the interval of its mean where there are two or more."""
    found = []
    for what in dict.fromkeys(row.what for row in rows):
        errors = [float(row.error) for row in rows if row.what == what]
        interval = mean_of(errors).interval(0.95) if len(errors) > 1 else None
        found.append(
            ErrorSummary(
                what=what,
                n=len(errors),
                mean=round(fmean(errors), 4),
                low=round(interval.low, 4) if interval else None,
                high=round(interval.high, 4) if interval else None,
                absolute=round(fmean(map(abs, errors)), 4),
                wrong=sum(row.is_wrong for row in rows if row.what == what),
            )
        )
    return found
