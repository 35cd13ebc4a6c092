"""An arm's prompts, its answers batch by batch, the length that dev chooses, and the likelihood of its references.

Each stage ends in a whole file or in whole lines, so a killed run resumes at the last batch.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from luthier import machine
from luthier.arms.resolve import Arm, TrainedArm
from luthier.decoding.answers import asking
from luthier.decoding.generate import shorten
from luthier.decoding.likelihood import copy_likelihood_of_same_prompts, measure, without_likelihood
from luthier.decoding.requests import Event
from luthier.decoding.settings import Generation
from luthier.model.model import Model
from luthier.progress import Bar, bar, check_stop
from luthier.records import Answer, Example, Prompt
from luthier.results.arm_record import DevValue, LengthChoice
from luthier.results.lines import (
    ANSWERS_FILE,
    DEV_ANSWERS_FILE,
    DEV_SCORES_FILE,
    LIKELIHOOD_FILE,
    PROMPTS_FILE,
    ReferenceLikelihood,
)
from luthier.results.record import append_lines_of, read_lines_of, write_lines_of
from luthier.results.resume import open_test
from luthier.studies.fit import StudyContext, dev_metric
from luthier.task.prompt import draw_shots

# Limits on new tokens that dev chooses from. One run at the largest gives the answers at all of them.
LIMITS = (8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 192, 256, 384, 512)


@dataclass(frozen=True)
class PreparedArm:
    """An arm with its loaded model and its rendered prompts."""

    context: StudyContext
    arm: Arm
    model: Model
    shots: Sequence[Example]
    dev: Sequence[Prompt]
    test: Sequence[Prompt]
    room: int  # tokens of the window that every prompt leaves free for the answer

    @property
    def folder(self) -> Path:
        return self.context.folder.arm(self.arm.name)


@dataclass(frozen=True)
class ChosenLength:
    """The limit on new tokens that dev chose, and the settings that answer with it."""

    length: LengthChoice
    dev: DevValue
    generation: Generation


def render(context: StudyContext, arm: Arm, model: Model) -> PreparedArm:
    """Renders every prompt of dev and test for `model`, and writes prompts.jsonl."""
    shots = draw_shots(context.train, arm.shots, context.task.spec.prompt.shot_seed) if arm.shots else []
    text, room = context.task.template(arm.template), model.renderer.room_for(arm.most_new_tokens(context.task))
    dev, test = (
        [model.renderer.prompt(example, text, shots, room=room) for example in examples]
        for examples in (context.dev, context.test)
    )
    prepared = PreparedArm(context, arm, model, shots, dev, test, room)
    write_lines_of(prepared.folder / PROMPTS_FILE, test)
    return prepared


def answer_test(prepared: PreparedArm, limit: int) -> list[Answer]:
    """The answers to the test prompts. Opens the test split, which counts as a look."""
    context, arm = prepared.context, prepared.arm
    open_test(context.folder, context.task.hashes()["test"])
    answers = _answer(prepared, prepared.test, limit, ANSWERS_FILE, "answer_seconds")
    context.folder.spent(arm.name, answer_peak_bytes=machine.peak_bytes())
    return answers


def _answer(prepared: PreparedArm, prompts: Sequence[Prompt], limit: int, file: str, clock: str) -> list[Answer]:
    """Answers in the order of `prompts`. Batches that the file holds already are not asked again."""
    context, arm, path = prepared.context, prepared.arm, prepared.folder / file
    asked = asking(
        prepared.model, prompts, arm.answers_by,
        limit=limit, generation=arm.generation, seed=context.seed, bound=context.bound,
    )  # fmt: skip
    answers = {one.id: one for one in read_lines_of(Answer, path)}
    whole = [batch for batch in asked.batches if all(one.id in answers for one in batch)]
    kept = [answers[one.id] for batch in whole for one in batch]
    if len(kept) != len(answers):  # a batch that was interrupted is asked again as a whole
        write_lines_of(path, kept)
    with bar(f"{arm.name}: {path.stem.replace('_', ' ')}", len(prompts), "examples", done=len(kept)) as progress:
        for batch in asked.batches:
            if batch in whole:
                continue
            began = time.monotonic()
            new = asked.answer(batch, lambda events: _watched(events, limit, progress))
            append_lines_of(path, new)
            seconds = time.monotonic() - began
            tokens = sum(len(a.tokens) for a in new)
            context.folder.spent(arm.name, **{clock: seconds, "new_tokens": tokens})
            context.folder.log("answered", arm=arm.name, file=file, answers=len(new), seconds=round(seconds, 2))
            progress.advance(0 if tokens else len(new), f"{tokens / seconds:,.0f} new tokens/s" if tokens else "")
            answers |= {a.id: a for a in new}
            check_stop()
    return [answers[prompt.id] for prompt in prompts]


def _watched(events: Iterator[Event], limit: int, progress: Bar) -> Iterator[Event]:
    """Passes events through. Each token advances the bar by its share of an answer, the last one by the rest."""
    written: Counter[str] = Counter()
    for event in events:
        written[event.id] += 1
        progress.advance(1 / limit if event.stop is None else 1 - (written[event.id] - 1) / limit)
        yield event


def choose_length(prepared: PreparedArm) -> ChosenLength:
    """The limit on new tokens with the best dev metric, the metric at each limit, and the settings with that limit.

    A shorter limit gives a prefix of the same answer, so one run at the largest limit serves all. An arm that chooses
    labels has a single limit, which has no effect. One that chooses among several answers has the largest: which of
    them it takes depends on how they end.
    """
    context, generation, tokenizer = prepared.context, prepared.arm.generation, prepared.model.tokenizer
    most, given = context.task.spec.answer.max_new_tokens, generation.max_new_tokens
    largest = given or most
    longest = _answer(prepared, prepared.dev, largest, DEV_ANSWERS_FILE, "dev_seconds")
    labels, several = prepared.arm.answers_by != "generation", generation.rows > 1
    limits = [largest] if given or labels or several else sorted({n for n in LIMITS if n < most} | {most})
    by_limit = {n: dev_metric(context, [shorten(a, n, tokenizer) for a in longest]) for n in limits}
    best = max(limits, key=lambda n: (by_limit[n], -n))
    scores = context.scored([shorten(a, best, tokenizer) for a in longest], context.dev)
    write_lines_of(prepared.folder / DEV_SCORES_FILE, scores)
    length = LengthChoice(
        chosen=best,
        by="given" if given else "labels" if labels else "chosen" if several else "dev",
        dev={str(n): round(value, 6) for n, value in by_limit.items()},
    )
    dev = DevValue(metric=context.task.spec.decide.metric, value=by_limit[best], n=len(context.dev))
    return ChosenLength(length, dev, generation.model_copy(update={"max_new_tokens": best}))


def read_references(prepared: PreparedArm) -> list[ReferenceLikelihood]:
    """The likelihood of the test references, copied from a finished arm with the same prompts where there is one."""
    context, arm, model, prompts = prepared.context, prepared.arm, prepared.model, prepared.test
    if model.family == "encoder":
        return [without_likelihood(prompt.id, "an encoder gives texts no likelihood") for prompt in prompts]
    began = time.monotonic()
    if not isinstance(arm, TrainedArm):
        copy_likelihood_of_same_prompts(prepared.folder, arm.model or context.model_name, arm.width)
    with bar(f"{arm.name}: likelihood", len(prompts), "examples") as progress:

        def on_batch(count: int) -> None:
            progress.advance(count)
            context.folder.log("read", arm=arm.name, references=count)
            check_stop()

        rows = measure(model, prompts, context.test, prepared.folder / LIKELIHOOD_FILE, on_batch)
    context.folder.spent(arm.name, likelihood_seconds=time.monotonic() - began)
    return rows
