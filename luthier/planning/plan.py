"""An arm -> its plan: parameters, bytes term by term, operations, seconds. Nothing is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from luthier.errors import SettingsError
from luthier.planning.devices import Device
from luthier.planning.learned import Sort
from luthier.planning.lengths import Lengths
from luthier.planning.moving import Moving, moving
from luthier.planning.passes import luthier_pass
from luthier.planning.seconds import Work, answering_work, training_work
from luthier.planning.shape import Shape
from luthier.planning.terms import Setting, Term, answering_terms, micro_batch, training_terms
from luthier.results.plan_record import ArmPlan, PlanPhase, PlanTerm


@dataclass(frozen=True)
class PlannedArm:
    """An arm as a plan needs it. `passes` over the training examples; `answers`: whether it writes texts.

    `sequences` are written for one of its answers.
    """

    method: str
    settings: Any
    batch_size: int = 1
    micro_tokens: int | None = None
    passes: float = 0.0
    evaluations: int = 0
    width: str | None = None
    answers: bool = True
    sequences: int = 1
    special_tokens: int = 0
    kl: bool = False
    anchor: bool = False
    is_trained: bool = False  # whether its trained weights are there, so that it only answers

    @classmethod
    def of(cls, method: str, settings: Any, training: Any | None, examples: int, **more: Any) -> PlannedArm:
        """The arm with its settings of training (training/settings.py); None: it does not train."""
        if training is None:
            return cls(method, settings, **more)
        return cls(
            method,
            settings,
            training.batch_size,
            training.micro_tokens,
            training.passes(max(1, examples)),
            training.evaluations,
            kl=training.kl > 0,
            anchor=training.anchor > 0,
            **more,
        )

    def within(self, setting: Setting) -> Setting:
        """The setting with what the arm itself says of it."""
        return replace(
            setting, batch_size=self.batch_size, micro_tokens=self.micro_tokens, width=self.width, answers=self.answers,
            sequences=self.sequences, kl=self.kl, anchor=self.anchor, evaluations=self.evaluations,
        )  # fmt: skip


def moving_of(shape: Shape, arm: PlannedArm) -> Moving:
    """What the arm's method moves in the model. Raises SettingsError as `moving` does."""
    return moving(shape, arm.method, arm.settings, arm.special_tokens)


def plan_arm(shape: Shape, arm: PlannedArm, setting: Setting, lengths: Lengths, device: Device | None) -> ArmPlan:
    """The plan of one arm. `device` None: no seconds. A bound that cannot be kept is `refused`, in a sentence."""
    moves = moving_of(shape, arm)
    own = arm.within(setting)
    plan: dict[str, Any] = {
        "method": arm.method,
        "model": shape.name,
        "parameters": moves.parameters(shape),
        "trainable": moves.trainable(shape),
    }
    try:
        if moves.trains and lengths.train and not arm.is_trained:
            plan |= _training(shape, moves, arm, own, lengths, device)
        plan["answering"] = _answering(shape, moves, own, lengths, device)
    except SettingsError as problem:
        plan["refused"] = str(problem)
    return ArmPlan(**plan)


def with_domain(
    plan: ArmPlan, shape: Shape, arm: PlannedArm, setting: Setting, lengths: Lengths, device: Device | None
) -> ArmPlan:
    """The plan with the further pretraining `arm` before all else; `lengths.train` are those of its texts."""
    moves, arm = moving_of(shape, arm), replace(arm, evaluations=0)
    try:
        phase = _training(shape, moves, arm, arm.within(setting), lengths, device)
    except SettingsError as problem:
        return plan.model_copy(update={"refused": plan.refused or str(problem)})
    return plan.model_copy(update={"domain": phase["training"]})


def _training(
    shape: Shape, moves: Moving, arm: PlannedArm, setting: Setting, lengths: Lengths, device: Device | None
) -> Mapping[str, Any]:
    chosen = micro_batch(shape, moves, setting, lengths)
    terms = training_terms(shape, moves, setting, lengths, chosen)
    work = None
    if device is not None:
        how = luthier_pass(shape, moves, setting.precision, setting.device, chosen.recomputes)
        work = training_work(shape, moves, setting, lengths, device, arm.passes, how)
        greedy = replace(setting, sequences=1)  # as dev is answered between steps
        answers = answering_work(shape, moves, greedy, lengths.dev, lengths, device)
        work += Work(arm.evaluations * answers.flops, arm.evaluations * answers.seconds)
    return {
        "micro_tokens": chosen.tokens,
        "recomputes": chosen.recomputes,
        "training": _phase(terms, work, device, Sort.of("training", shape, moves, setting)),
    }


def _answering(shape: Shape, moves: Moving, setting: Setting, lengths: Lengths, device: Device | None) -> PlanPhase:
    terms = answering_terms(shape, moves, setting, lengths)
    work = None
    if device is not None:
        work = answering_work(shape, moves, setting, lengths.dev, lengths, device) + answering_work(
            shape, moves, setting, lengths.test, lengths, device
        )
    return _phase(terms, work, device, Sort.of("answering", shape, moves, setting))


def _phase(terms: list[Term], work: Work | None, device: Device | None, sort: Sort) -> PlanPhase:
    """A phase with its seconds: those by rates, times the factor that earlier arms of this sort taught."""
    rounded = [PlanTerm(name=term.name, bytes=round(term.bytes)) for term in terms if round(term.bytes)]
    if work is None or device is None:
        return PlanPhase(terms=rounded, flops=0, seconds=None)
    by_rates = round(work.seconds, 3)
    taught = device.learned.taught(sort, by_rates) if device.learned else None
    if taught is None:
        return PlanPhase(terms=rounded, flops=work.flops, seconds=by_rates)
    return PlanPhase(terms=rounded, flops=work.flops, seconds=taught.seconds, taught=taught)
