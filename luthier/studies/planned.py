"""A study's plan: what each arm will take, from the prompts that it will read, written before the first arm runs.

Nothing depends on the plan. An arm whose model has a shape that is not known runs without one.

What an arm then takes teaches the plans of later studies on this machine (teaching.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from luthier.arms.domain_texts import lengths_of_texts
from luthier.arms.resolve import Arm, TrainedArm
from luthier.decoding.ragged import supported
from luthier.errors import LuthierError
from luthier.machine import memory_bytes
from luthier.model.model import Model
from luthier.planning.devices import HERE, Device, this_machine
from luthier.planning.lengths import Lengths, rendered_lengths
from luthier.planning.lessons import with_lessons
from luthier.planning.plan import PlannedArm, plan_arm, with_domain
from luthier.planning.terms import Setting
from luthier.planning.words import expected, gigabytes
from luthier.progress import say
from luthier.records import Example
from luthier.results.arm_record import TrainingRecord
from luthier.results.plan_record import ArmPlan, PlanRecord
from luthier.studies.domain import begun_with, domain_of
from luthier.studies.fit import StudyContext, planned_shape
from luthier.studies.remedies import general_prompts
from luthier.studies.runs import earlier_twin
from luthier.studies.weights import finished_twin
from luthier.task.prompt import draw_shots


def write_plan(context: StudyContext, arms: Sequence[Arm], bases: Mapping[str, Model]) -> PlanRecord:
    """Plans the arms that neither ran nor stand in plan.json, and writes it.

    An arm that cannot be planned is left out, in a sentence. After an arm has run, a plan would be no prediction.
    """
    folder = context.folder
    stored = PlanRecord.read_if_there(folder.path)
    device = _device(bases[context.model_name])
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
    begun: set[str | None] = set()
    for arm in arms:
        if not arm.method.asks_model or record.of(arm.name) is not None or folder.finished(arm.name):
            begun.add(begun_with(arm))
            continue
        base = bases[arm.model or context.model_name]
        asked = (arm.model, arm.template, arm.shots, _train_rows(context, arm) != [], arm.generation.max_new_tokens)
        try:
            if asked not in lengths:
                lengths[asked] = lengths_of(context, arm, base)
            is_trained, trained_as = _training_of(context, arm, arms)
            begins = domain_of(arm) is not None and begun_with(arm) not in begun
            begun.add(begun_with(arm))  # they do it once
            plan = plan_of(context, arm, base, lengths[asked], device, is_trained=is_trained, begins=begins)
            plans[arm.name] = plan.model_copy(update={"trained_as": trained_as}) if trained_as else plan
        except LuthierError as problem:
            say(f"{arm.name}: is not planned: {problem}")
    if plans or stored is None:
        record = record.with_arms(plans)
        record.write(folder.path)
    return record


def _device(base: Model) -> Device | None:
    """What computes here, with what was learned on it; None where nothing says how fast it is."""
    device = this_machine(base.device.type)
    try:
        return with_lessons(device) if device else None
    except LuthierError as problem:  # damaged, or of a newer version: then rates alone speak
        say(f"plan: {problem}")
        return device


def say_plan(record: PlanRecord, arm: str) -> None:
    """One line about what an arm is expected to take."""
    plan = record.of(arm)
    if plan is None:
        return
    if plan.refused is not None:
        return say(f"  plan: {plan.refused}")
    parts = ", ".join(f"{name} {gigabytes(phase.peak_bytes)}" for name, phase in plan.phases.items())
    shared = f"; trained as {plan.trained_as}" if plan.trained_as else ""
    seconds = f"; about {expected(plan)} by {record.rates} rates{plan.taught_words}" if plan.seconds is not None else ""
    say(f"  plan: {parts}{shared}{seconds}")


def _training_of(context: StudyContext, arm: Arm, arms: Sequence[Arm]) -> tuple[bool, str | None]:
    """(whether its training is there when the arm runs, the other arm whose weights it takes)."""
    if not isinstance(arm, TrainedArm) or arm.trained_on:
        return False, None
    if TrainingRecord.is_in(context.folder.arm(arm.name)):
        return True, None
    twin = finished_twin(context, arm)
    if twin is None and (earlier := earlier_twin(arm, arms)) is not None:
        twin = earlier.name
    return twin is not None, twin


def plan_of(
    context: StudyContext, arm: Arm, base: Model, lengths: Lengths, device: Device | None, *, is_trained: bool,
    begins: bool,
) -> ArmPlan:  # fmt: skip
    """The plan of one arm that is asked as `lengths` say. `is_trained`: its training is there when it runs; `begins`:
    its further pretraining is not."""
    planned, setting = asked_of(context, arm, base, is_trained=is_trained)
    read = _with_general(context, arm, base, lengths)
    plan, domain = plan_arm(planned_shape(base), planned, setting, read, device), domain_of(arm)
    return _with_domain(context, plan, domain, base, lengths, device) if begins and domain is not None else plan


def asked_of(context: StudyContext, arm: Arm, base: Model, *, is_trained: bool) -> tuple[PlannedArm, Setting]:
    """The arm, and where and how it runs, as a plan needs both."""
    planned = PlannedArm.of(
        arm.method.name,
        arm.settings,
        arm.training if isinstance(arm, TrainedArm) and not arm.trained_on else None,
        len(context.train),
        width=arm.width,
        answers=arm.answers_by == "generation",
        sequences=arm.generation.rows,
        special_tokens=len(set(base.tokenizer.all_special_ids)),
        is_trained=is_trained,
    )
    setting = Setting(
        context.precision,
        device=base.device.type,
        bound=context.bound.bytes,
        machine=float(memory_bytes()),
        in_one=supported(base) if arm.answers_by == "generation" else None,
    )
    return planned, setting


def _with_domain(
    context: StudyContext, plan: ArmPlan, domain: TrainedArm, base: Model, lengths: Lengths, device: Device | None
) -> ArmPlan:
    """The plan with the further pretraining that the arm is, or begins with."""
    pairs = lengths_of_texts(
        domain.settings, context.task, context.train, base.renderer, begin=base.begin_id, seed=context.seed
    )
    planned = PlannedArm.of(domain.method.name, domain.settings, domain.training, len(pairs))
    general = general_prompts(base.renderer, domain.training, len(pairs), context.seed)
    texts = replace(lengths, train=pairs, shared=0).with_general(
        [(len(one.prompt_ids), len(one.target_ids or ())) for one in general]
    )
    setting = Setting(context.precision, device=base.device.type, bound=context.bound.bytes)
    return with_domain(plan, planned_shape(base), planned, setting, texts, device)


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
    if not isinstance(arm, TrainedArm) or arm.trained_on or arm.method.reads == "texts":
        return lengths
    rows = general_prompts(base.renderer, arm.training, len(context.train), context.seed)
    return lengths.with_general([(len(one.prompt_ids), len(one.target_ids or ())) for one in rows])


def _train_rows(context: StudyContext, arm: Arm) -> Sequence[Example]:
    reads = isinstance(arm, TrainedArm) and not arm.trained_on and arm.method.reads == "examples"
    return context.train if reads else []
