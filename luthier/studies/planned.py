"""A study's plan: what each arm will take, from the prompts that it will read, written before the first arm runs.

Nothing depends on the plan. An arm whose model has a shape that is not known runs without one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from luthier.arms.resolve import Arm, TrainedArm
from luthier.errors import LuthierError
from luthier.model.model import Model
from luthier.planning.devices import HERE, Device, this_machine
from luthier.planning.lengths import Lengths, rendered_lengths
from luthier.planning.plan import PlannedArm, plan_arm
from luthier.planning.terms import Setting
from luthier.planning.words import duration, gigabytes
from luthier.progress import say
from luthier.records import Example
from luthier.results.plan_record import ArmPlan, PlanRecord
from luthier.studies.fit import StudyContext, planned_shape
from luthier.studies.remedies import general_prompts
from luthier.task.prompt import draw_shots


def write_plan(context: StudyContext, arms: Sequence[Arm], bases: Mapping[str, Model]) -> PlanRecord:
    """Plans the arms that neither ran nor stand in plan.json, and writes it.

    An arm that cannot be planned is left out, in a sentence. After an arm has run, a plan would be no prediction.
    """
    folder = context.folder
    stored = PlanRecord.read_if_there(folder.path)
    device = this_machine(bases[context.model_name].device.type)
    record = stored or PlanRecord(
        format=1,
        accounting="luthier",
        device=device.name if device else HERE,
        precision=context.precision,
        rates=device.source if device else None,
        arms={},
    )
    plans: dict[str, ArmPlan] = {}
    lengths: dict[tuple[Any, ...], Lengths] = {}  # arms that are asked alike read the same prompts
    for arm in arms:
        if not arm.method.asks_model or record.of(arm.name) is not None or folder.finished(arm.name):
            continue
        base = bases[arm.model or context.model_name]
        asked = (arm.model, arm.template, arm.shots, _train_rows(context, arm) != [], arm.generation.max_new_tokens)
        try:
            if asked not in lengths:
                lengths[asked] = lengths_of(context, arm, base)
            read = _with_general(context, arm, base, lengths[asked])
            plans[arm.name] = _plan_of(context, arm, base, read, device)
        except LuthierError as problem:
            say(f"{arm.name}: is not planned: {problem}")
    if plans or stored is None:
        record = record.with_arms(plans)
        record.write(folder.path)
    return record


def say_plan(record: PlanRecord, arm: str) -> None:
    """One line about what an arm is expected to take."""
    plan = record.of(arm)
    if plan is None:
        return
    if plan.refused is not None:
        return say(f"  plan: {plan.refused}")
    parts = ", ".join(f"{name} {gigabytes(phase.peak_bytes)}" for name, phase in plan.phases.items())
    seconds = f"; about {duration(plan.seconds)} by {record.rates} rates" if plan.seconds is not None else ""
    say(f"  plan: {parts}{seconds}")


def _plan_of(context: StudyContext, arm: Arm, base: Model, lengths: Lengths, device: Device | None) -> ArmPlan:
    planned = PlannedArm.of(
        arm.method.name,
        arm.settings,
        arm.training if isinstance(arm, TrainedArm) and not arm.trained_on else None,
        len(context.train),
        width=arm.width,
        answers=arm.answers_by == "generation",
        sequences=arm.generation.rows,
        special_tokens=len(set(base.tokenizer.all_special_ids)),
    )
    setting = Setting(context.precision, device=base.device.type, bound=context.bound.bytes)
    return plan_arm(planned_shape(base), planned, setting, lengths, device)


def lengths_of(context: StudyContext, arm: Arm, base: Model) -> Lengths:
    """The lengths of the prompts that an arm reads, as it will render them."""
    task, renderer = context.task, base.renderer
    most = task.spec.answer.max_new_tokens
    shots = draw_shots(context.train, arm.shots, task.spec.prompt.shot_seed) if arm.shots else []
    return rendered_lengths(
        renderer, task.template(arm.template), shots, _train_rows(context, arm), context.dev, context.test,
        renderer.room_for(arm.most_new_tokens(task)), arm.generation.max_new_tokens or most,
    )  # fmt: skip


def _with_general(context: StudyContext, arm: Arm, base: Model, lengths: Lengths) -> Lengths:
    """The lengths with those of the general rows that the arm replays."""
    if not isinstance(arm, TrainedArm) or arm.trained_on:
        return lengths
    rows = general_prompts(base.renderer, arm.training, len(context.train), context.seed)
    return lengths.with_general([(len(one.prompt_ids), len(one.target_ids or ())) for one in rows])


def _train_rows(context: StudyContext, arm: Arm) -> Sequence[Example]:
    return context.train if isinstance(arm, TrainedArm) and not arm.trained_on else []
