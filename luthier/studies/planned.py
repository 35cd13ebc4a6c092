"""A study's plan: what each arm will take, from the prompts that it will read, written before the first arm runs.

Nothing depends on the plan. An arm whose model has a shape that is not known runs without one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from luthier.arms.resolve import Arm, TrainedArm
from luthier.decoding.answers import room_for
from luthier.errors import LuthierError
from luthier.model.model import Model
from luthier.planning.config import config_in
from luthier.planning.devices import this_machine
from luthier.planning.lengths import Lengths, rendered_lengths
from luthier.planning.plan import PlannedArm, plan_arm
from luthier.planning.read import shape_from
from luthier.planning.terms import Setting
from luthier.planning.words import duration, gigabytes
from luthier.progress import say
from luthier.results.plan_record import ArmPlan, PlanRecord
from luthier.studies.fit import StudyContext
from luthier.task.prompt import draw_shots


def write_plan(context: StudyContext, arms: Sequence[Arm], bases: Mapping[str, Model]) -> PlanRecord:
    """Plans the arms that plan.json lacks, and writes it. An arm that cannot be planned is left out, in a sentence."""
    folder = context.folder.path
    kind = bases[context.model_name].device.type
    stored = PlanRecord.read_if_there(folder)
    device = this_machine("cuda" if kind == "cuda" else "cpu")
    record = stored or PlanRecord(
        format=1, accounting="luthier", device=device.name, precision=context.precision, rates=device.source, arms={}
    )
    plans: dict[str, ArmPlan] = {}
    for arm in arms:
        if not arm.method.asks_model or record.of(arm.name) is not None:
            continue
        try:
            plans[arm.name] = _plan_of(context, arm, bases[arm.model or context.model_name])
        except LuthierError as problem:
            say(f"{arm.name}: is not planned: {problem}")
    if plans or stored is None:
        record = record.with_arms(plans)
        record.write(folder)
    return record


def say_plan(record: PlanRecord, arm: str) -> None:
    """One line about what an arm is expected to take."""
    plan = record.of(arm)
    if plan is None:
        return
    if plan.refused is not None:
        return say(f"  plan: {plan.refused}")
    parts = [f"{name} {gigabytes(phase.peak_bytes)}" for name, phase in plan.phases.items()]
    say(f"  plan: {', '.join(parts)}; about {duration(plan.seconds)} by {record.rates} rates")


def _plan_of(context: StudyContext, arm: Arm, base: Model) -> ArmPlan:
    shape = shape_from(config_in(base.folder, base.name), max(1, len(context.task.labels)))
    training = arm.training if isinstance(arm, TrainedArm) and not arm.trained_on else None
    examples = max(1, len(context.train))
    planned = PlannedArm(
        name=arm.name,
        method=arm.method.name,
        settings=arm.settings,
        batch_size=training.batch_size if training else 1,
        micro_tokens=training.micro_tokens if training else None,
        passes=training.passes(examples) if training else 0.0,
        evaluations=training.evaluations if training else 0,
        width=arm.width,
        answers=arm.answers_by == "generation",
        special_tokens=len(set(base.tokenizer.all_special_ids)),
    )
    setting = Setting(context.precision, device=base.device.type, bound=context.bound.bytes)
    device = this_machine("cuda" if base.device.type == "cuda" else "cpu")
    return plan_arm(shape, planned, setting, lengths_of(context, arm, base), device)


def lengths_of(context: StudyContext, arm: Arm, base: Model) -> Lengths:
    """The lengths of the prompts that an arm reads, as it will render them."""
    task, renderer = context.task, base.renderer
    text = task.template(arm.template)
    answer = arm.generation.max_new_tokens or task.spec.answer.max_new_tokens
    shots = draw_shots(context.train, arm.shots, task.spec.prompt.shot_seed) if arm.shots else []
    train = context.train if isinstance(arm, TrainedArm) and not arm.trained_on else []
    room = room_for(base, arm.most_new_tokens(task))
    return rendered_lengths(renderer, text, shots, train, context.dev, context.test, room, answer)
