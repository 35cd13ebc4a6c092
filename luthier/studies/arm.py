"""One arm, from weights to scores, in its folder. Finished stages are not repeated.

    weights    tune/, training.json, adapter/ or weights/, quantized/
    prompts    prompts.jsonl
    length     dev_answers.jsonl, dev_scores.jsonl: the limit on new tokens with the best dev metric
    note       luthier.json
    answers    answers.jsonl
    likelihood likelihood.jsonl
    finish     scores.jsonl, and arm.json last, which marks the arm as finished

Each stage ends in a whole file or in whole lines, so a killed run resumes at the last batch or checkpoint. A trained
arm is loaded from its own folder before it answers anything, so the saved weights are those that are measured.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from luthier import machine
from luthier.adapt.method import Baseline
from luthier.arms.resolve import Arm, TrainedArm
from luthier.arms.shipped import write_note
from luthier.decoding.likelihood import with_likelihood
from luthier.model.model import Model
from luthier.progress import say
from luthier.records import Answer, Prompt
from luthier.results.arm_record import BASELINE, ArmCounts, ArmRecord, Stops
from luthier.results.domain_record import DomainRecord
from luthier.results.lines import ANSWERS_FILE, SCORES_FILE, ReferenceLikelihood
from luthier.results.record import write_lines_of
from luthier.scoring.reasoning import holds_reasoning
from luthier.studies.answering import ChosenLength, PreparedArm, answer_test, choose_length, read_references, render
from luthier.studies.fit import StudyContext
from luthier.studies.weights import Trained, load_arm_model, tuned_and_trained, weight_of

PROBES = 3  # dev examples whose answers are stored beside an arm's weights


def run_arm(context: StudyContext, arm: Arm, base: Model) -> None:
    """Runs the missing stages of one arm. `base` is the loaded base model; it stays unchanged."""
    if context.folder.finished(arm.name):
        return
    machine.reset_peak()
    say(f"{arm.name}: {arm.method.summary}" + (f"; made {arm.width} before it is asked" if arm.width else ""))
    if isinstance(arm.method, Baseline):
        _finish(context, arm, arm.method.given(arm.settings, context.train, context.test))
        return
    trained = _train(context, arm) if isinstance(arm, TrainedArm) else None
    arm = trained.arm if trained else arm
    model = load_arm_model(context, arm, base)
    if arm.width is None:  # a file of another precision was held whole while it was read; the system may drop its pages
        machine.reset_peak()
    prepared = render(context, arm, model)
    chosen = choose_length(prepared)
    _write_note(prepared, chosen)
    answers = answer_test(prepared, chosen.length.chosen)
    likelihood = read_references(prepared) if context.likelihood else []
    _finish(context, arm, answers, likelihood, StageResults(prepared, chosen, trained))


@dataclass(frozen=True)
class StageResults:
    """The results of the stages before scoring, for an arm that asks a model."""

    prepared: PreparedArm
    chosen: ChosenLength
    trained: Trained | None


def _train(context: StudyContext, arm: TrainedArm) -> Trained:
    trained = tuned_and_trained(context, arm)
    context.folder.spent(arm.name, peak_bytes=machine.peak_bytes())
    machine.reset_peak()
    return trained


def _write_note(prepared: PreparedArm, chosen: ChosenLength) -> None:
    """Writes luthier.json, with which the arm's folder can be shipped, and answers to a few dev prompts in it."""
    context, arm = prepared.context, prepared.arm
    write_note(
        prepared.folder,
        prepared.model,
        method_name=arm.method.name,
        shipped=arm.weights,
        width=arm.width,
        precision=context.precision,
        template=context.task.template(arm.template),
        shots=prepared.shots,
        generation=chosen.generation,
        answers_by=arm.answers_by,
        seed=context.seed,
        probes=prepared.dev[:PROBES],
        room=prepared.room,
        begins=_begins_with_texts(arm) and arm.width is None,
    )


def _begins_with_texts(arm: Arm) -> bool:
    """Whether its own weights stand on those of further pretraining, which then lie beside them."""
    return isinstance(arm, TrainedArm) and arm.domain is not None and arm.method.shipped == "adapter"


def _finish(
    context: StudyContext,
    arm: Arm,
    answers: Sequence[Answer],
    likelihood: Sequence[ReferenceLikelihood] = (),
    stages: StageResults | None = None,
) -> None:
    """Writes scores.jsonl, and arm.json last. `stages` is None for an arm that asks no model."""
    folder = context.folder.arm(arm.name)
    began = time.monotonic()
    write_lines_of(folder / ANSWERS_FILE, answers)
    scores = context.scored(answers, context.test)
    if context.likelihood:
        scores = with_likelihood(scores, likelihood)
    write_lines_of(folder / SCORES_FILE, scores)
    context.folder.spent(arm.name, score_seconds=time.monotonic() - began, peak_bytes=machine.peak_bytes())
    _record(context, arm, _counts(answers, stages), stages).write(folder)
    context.folder.log("arm done", arm=arm.name)


def _counts(answers: Sequence[Answer], stages: StageResults | None) -> ArmCounts:
    counts: dict[str, Any] = {}
    if stages:
        prepared = stages.prepared
        counts |= stages.trained.training.as_json() if stages.trained else {}
        if _begins_with_texts(prepared.arm):  # which is shipped beside what the method saved
            counts["saved_bytes"] += DomainRecord.read(prepared.folder).saved_bytes
        if (sequences := stages.chosen.generation.rows) > 1:
            counts["sequences"] = sequences
        counts |= _prompt_counts(prepared.test) | {"weight": weight_of(prepared.context, prepared.arm, prepared.model)}
    stops = {kind: sum(a.stop == kind for a in answers) for kind in Stops.model_fields}
    if reasoning := sum(holds_reasoning(answer.text) for answer in answers):
        counts["reasoning"] = reasoning
    return ArmCounts(**counts, stopped=Stops(**stops), empty=sum(not a.text.strip() for a in answers))


def _prompt_counts(prompts: Sequence[Prompt]) -> dict[str, Any]:
    return {
        "prompt_tokens_mean": round(fmean(len(p.prompt_ids) for p in prompts), 1),
        "prompts_cut": sum(p.tokens_cut > 0 for p in prompts),
        "tokens_cut": sum(p.tokens_cut for p in prompts),
        "shots_dropped": sum(p.shots_dropped for p in prompts),
    }


def _record(context: StudyContext, arm: Arm, counts: ArmCounts, stages: StageResults | None) -> ArmRecord:
    trained = arm if isinstance(arm, TrainedArm) else None
    # Only an arm that was trained elsewhere has `trained_on`.
    elsewhere = {"trained_on": trained.trained_on} if trained and trained.trained_on else {}
    optional: dict[str, Any] = {"answers_by": arm.answers_by if stages else BASELINE, **elsewhere}
    optional |= {"scale": arm.scale} if arm.scale is not None else {}
    return ArmRecord(
        **optional,
        name=arm.name,
        method=arm.method.name,
        summary=arm.method.summary,
        model=(arm.model or context.model_name) if stages else None,
        template=arm.template if stages else None,
        settings=arm.settings.model_dump(),
        training=trained.training.model_dump() if trained else None,
        generation=stages.chosen.generation.model_dump() if stages else None,
        width=arm.width,
        counts=counts,
        status="done",
        tuning=stages.trained.tuning if stages and stages.trained else None,
        length=stages.chosen.length if stages else None,
        dev=stages.chosen.dev if stages else None,
    )
