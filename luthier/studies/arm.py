"""One arm, from prompts to scores, in its folder; whatever is there already is not done again.

    weights    tune/, training.json, adapter/ or weights/, quantized/
    prompts    prompts.jsonl
    length     dev_answers.jsonl, dev_scores.jsonl: the limit on new tokens that dev likes best
    note       luthier.json
    answers    answers.jsonl
    likelihood likelihood.jsonl
    finish     scores.jsonl, and arm.json last, which says that the arm is whole

Each stage ends in a whole file or in whole lines, so a killed run goes on at the last batch or checkpoint. What is
asked is always what was saved: a trained arm is loaded from its own folder before it answers anything.
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
from luthier.results.lines import ANSWERS_FILE, SCORES_FILE, ReferenceLikelihood
from luthier.results.record import write_lines_of
from luthier.studies.answering import Chosen, Running, answer_test, choose_length, read_references, render
from luthier.studies.fit import Work
from luthier.studies.weights import Trained, load_arm_model, tuned_and_trained, weight_of

PROBES = 3  # dev examples whose answers are stored beside an arm's weights


def run_arm(work: Work, arm: Arm, base: Model) -> None:
    """Runs what is missing of one arm. `base` is the loaded base model, unchanged when this returns."""
    if work.folder.finished(arm.name):
        return
    machine.reset_peak()
    say(f"{arm.name}: {arm.method.summary}" + (f"; made {arm.width} before it is asked" if arm.width else ""))
    if isinstance(arm.method, Baseline):
        _finish(work, arm, arm.method.given(arm.settings, work.train, work.test))
        return
    trained = _train(work, arm) if isinstance(arm, TrainedArm) else None
    arm = trained.arm if trained else arm
    running = render(work, arm, load_arm_model(work, arm, base))
    chosen = choose_length(running)
    _write_note(running, chosen)
    answers = answer_test(running, chosen.length.chosen)
    likelihood = read_references(running) if work.likelihood else []
    _finish(work, arm, answers, likelihood, Asked(running, chosen, trained))


@dataclass(frozen=True)
class Asked:
    """What the stages found of an arm that asks a model."""

    running: Running
    chosen: Chosen
    trained: Trained | None


def _train(work: Work, arm: TrainedArm) -> Trained:
    trained = tuned_and_trained(work, arm)
    work.folder.spent(arm.name, peak_bytes=machine.peak_bytes())
    machine.reset_peak()
    return trained


def _write_note(running: Running, chosen: Chosen) -> None:
    """What makes the arm's folder a thing to ship, with its answers to a few dev prompts."""
    work, arm = running.work, running.arm
    write_note(
        running.place,
        running.model,
        method_name=arm.method.name,
        shipped=arm.weights,
        width=arm.width,
        precision=work.precision,
        template=work.task.template(arm.template),
        shots=running.shots,
        generation=chosen.generation,
        answers_by=arm.answers_by,
        seed=work.seed,
        probes=running.dev[:PROBES],
    )


def _finish(
    work: Work,
    arm: Arm,
    answers: Sequence[Answer],
    likelihood: Sequence[ReferenceLikelihood] = (),
    asked: Asked | None = None,
) -> None:
    """Scores, and arm.json last. `asked` is None for an arm that asks no model."""
    place = work.folder.arm(arm.name)
    began = time.monotonic()
    write_lines_of(place / ANSWERS_FILE, answers)
    scores = work.scored(answers, work.test)
    if work.likelihood:
        scores = with_likelihood(scores, likelihood)
    write_lines_of(place / SCORES_FILE, scores)
    work.folder.spent(arm.name, score_seconds=time.monotonic() - began, peak_bytes=machine.peak_bytes())
    _record(work, arm, _counts(answers, asked), asked).write(place)
    work.folder.log("arm done", arm=arm.name)


def _counts(answers: Sequence[Answer], asked: Asked | None) -> ArmCounts:
    known: dict[str, Any] = {}
    if asked:
        running = asked.running
        known |= asked.trained.training.as_json() if asked.trained else {}
        known |= _prompt_counts(running.test) | {"weight": weight_of(running.work, running.arm, running.model)}
    stops = {kind: sum(a.stop == kind for a in answers) for kind in Stops.model_fields}
    return ArmCounts(**known, stopped=Stops(**stops), empty=sum(not a.text.strip() for a in answers))


def _prompt_counts(prompts: Sequence[Prompt]) -> dict[str, Any]:
    return {
        "prompt_tokens_mean": round(fmean(len(p.prompt_ids) for p in prompts), 1),
        "prompts_cut": sum(p.tokens_cut > 0 for p in prompts),
        "tokens_cut": sum(p.tokens_cut for p in prompts),
        "shots_dropped": sum(p.shots_dropped for p in prompts),
    }


def _record(work: Work, arm: Arm, counts: ArmCounts, asked: Asked | None) -> ArmRecord:
    trained = arm if isinstance(arm, TrainedArm) else None
    # Where it was trained is said only of an arm that was trained elsewhere.
    elsewhere = {"trained_on": trained.trained_on} if trained and trained.trained_on else {}
    known: dict[str, Any] = {"answers_by": arm.answers_by if asked else BASELINE, **elsewhere}
    return ArmRecord(
        **known,
        name=arm.name,
        method=arm.method.name,
        summary=arm.method.summary,
        model=(arm.model or work.model_name) if asked else None,
        template=arm.template if asked else None,
        settings=arm.settings.model_dump(),
        training=trained.training.model_dump() if trained else None,
        generation=asked.chosen.generation.model_dump() if asked else None,
        width=arm.width,
        counts=counts,
        status="done",
        tuning=asked.trained.tuning if asked and asked.trained else None,
        length=asked.chosen.length if asked else None,
        dev=asked.chosen.dev if asked else None,
    )
