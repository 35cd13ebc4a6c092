"""What a finished arm teaches the plans of later studies: its seconds, beside those that rates alone say of its work.

An arm teaches where its seconds are whole and its own: it began in this sitting, and it had the processors that it
could use. What rates say is said anew of answers as long as they came: their length is the task's, and no property of
the machine. Nothing of a study depends on any of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from luthier import machine
from luthier.arms.resolve import Arm
from luthier.errors import LuthierError
from luthier.machine import Spent
from luthier.model.model import Model
from luthier.planning.devices import this_machine
from luthier.planning.learned import LEAST_SECONDS, Lesson, Sort, lesson
from luthier.planning.lessons import basis_of, learn
from luthier.planning.plan import moving_of
from luthier.progress import say
from luthier.results.arm_record import TrainingRecord
from luthier.results.cost import ArmCost
from luthier.results.domain_record import DomainRecord
from luthier.results.plan_record import ArmPlan
from luthier.studies.domain import domain_of
from luthier.studies.fit import StudyContext, planned_shape
from luthier.studies.planned import asked_of, lengths_of, plan_of


def beginning(context: StudyContext, arm: Arm) -> Spent | None:
    """The clocks as an arm begins; None for one that began in an earlier sitting, whose seconds may not be whole."""
    folder = context.folder
    is_new = arm.method.asks_model and not folder.arm(arm.name).exists() and folder.cost().of(arm.name) == ArmCost()
    return machine.spent() if is_new else None


def teach(context: StudyContext, arm: Arm, base: Model, expected: ArmPlan | None, before: Spent | None) -> None:
    """Keeps what the finished arm took for later plans, if it teaches. `before` are the clocks as it began."""
    by_rates = [phase.seconds_by_rates or 0 for phase in expected.phases.values()] if expected else []
    if before is None or max(by_rates, default=0) < LEAST_SECONDS:
        return
    if (why_not := machine.disturbed(before, machine.spent(), base.device.type)) is not None:
        return say(f"  {why_not}, so its seconds teach no later plan")
    try:
        if lessons := list(_lessons(context, arm, base)):
            learn(lessons)
    except LuthierError as problem:
        say(f"  its seconds teach no later plan: {problem}")


def _lessons(context: StudyContext, arm: Arm, base: Model) -> Iterator[Lesson]:
    """A lesson of each phase that was measured and is long enough."""
    device, cost = this_machine(base.device.type), context.folder.cost().of(arm.name)
    if device is None:
        return
    lengths, asked = lengths_of(context, arm, base), len(context.dev) + len(context.test)
    if cost.new_tokens:
        lengths = replace(lengths, written=cost.new_tokens / asked)
    begins, is_trained = cost.domain_seconds > 0, not cost.train_seconds
    plan = plan_of(context, arm, base, lengths, device, is_trained=is_trained, begins=begins)
    basis, shape, folder = basis_of(device), planned_shape(base), context.folder.arm(arm.name)
    planned, setting = asked_of(context, arm, base, is_trained=is_trained)
    moves, own = moving_of(shape, planned), planned.within(setting)

    def found(sort: Sort, by_rates: float | None, measured: float, steps: int | None) -> Iterator[Lesson]:
        made = lesson(basis, sort, by_rates or 0.0, measured, steps)
        if made is not None:
            yield made

    if plan.training is not None:
        measured, steps = cost.train_seconds + cost.evaluate_seconds, TrainingRecord.read(folder).steps
        yield from found(Sort.of("training", shape, moves, own), plan.training.seconds, measured, steps)
    if plan.domain is not None and (domain := domain_of(arm)) is not None:
        texts, _ = asked_of(context, domain, base, is_trained=False)
        sort = Sort.of("training", shape, moving_of(shape, texts), own)
        yield from found(sort, plan.domain.seconds, cost.domain_seconds, DomainRecord.read(folder).counts.steps)
    if plan.answering is not None:
        sort = Sort.of("answering", shape, moves, own)
        yield from found(sort, plan.answering.seconds, cost.answering_seconds, None)
