"""What an arm says: its prompts, its answers batch by batch, the length that dev chooses, its references' likelihood.

Each stage ends in a whole file or in whole lines, so a killed run goes on at the last batch.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from luthier import machine
from luthier.arms.resolve import Arm, TrainedArm
from luthier.decoding.answers import asking, room_for
from luthier.decoding.generate import Event, Generation, shorten
from luthier.decoding.likelihood import from_twin, measure, unread
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
from luthier.studies.fit import Work, dev_metric
from luthier.task.prompt import draw_shots

# The limits on new tokens that are tried on dev; answers to all of them come from one run at the largest.
LIMITS = (8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 192, 256, 384, 512)


@dataclass(frozen=True)
class Running:
    """An arm with its weights and its prompts: what is asked, and how."""

    work: Work
    arm: Arm
    model: Model
    shots: Sequence[Example]
    dev: Sequence[Prompt]
    test: Sequence[Prompt]

    @property
    def place(self) -> Path:
        return self.work.folder.arm(self.arm.name)


@dataclass(frozen=True)
class Chosen:
    """The limit on new tokens that dev chose, and the settings that answer with it."""

    length: LengthChoice
    dev: DevValue
    generation: Generation


def render(work: Work, arm: Arm, model: Model) -> Running:
    """Every prompt of dev and test, as `model` is asked."""
    shots = draw_shots(work.train, arm.shots, work.task.spec.prompt.shot_seed) if arm.shots else []
    text, room = work.task.template(arm.template), room_for(model, work.task.spec.answer.max_new_tokens)
    dev, test = (
        [model.renderer.prompt(example, text, shots, room=room) for example in examples]
        for examples in (work.dev, work.test)
    )
    running = Running(work, arm, model, shots, dev, test)
    write_lines_of(running.place / PROMPTS_FILE, test)
    return running


def answer_test(running: Running, limit: int) -> list[Answer]:
    """The answers to the test prompts. From here on the test split is looked at, and the look is counted."""
    work, arm = running.work, running.arm
    open_test(work.folder, work.task.hashes()["test"])
    answers = _answer(running, running.test, limit, ANSWERS_FILE, "answer_seconds")
    work.folder.spent(arm.name, answer_peak_bytes=machine.peak_bytes())
    return answers


def _answer(running: Running, prompts: Sequence[Prompt], limit: int, file: str, clock: str) -> list[Answer]:
    """Answers in the order of `prompts`. Batches that are in the file already are not asked again."""
    work, arm, path = running.work, running.arm, running.place / file
    asked = asking(
        running.model, prompts, arm.answers_by,
        limit=limit, generation=arm.generation, seed=work.seed, bound=work.bound,
    )  # fmt: skip
    answers = {one.id: one for one in read_lines_of(Answer, path)}
    whole = [batch for batch in asked.batches if all(one.id in answers for one in batch)]
    kept = [answers[one.id] for batch in whole for one in batch]
    if len(kept) != len(answers):  # a batch that was killed half-way is asked again as a whole
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
            work.folder.spent(arm.name, **{clock: seconds, "new_tokens": tokens})
            work.folder.log("answered", arm=arm.name, file=file, answers=len(new), seconds=round(seconds, 2))
            progress.advance(0 if tokens else len(new), f"{tokens / seconds:,.0f} new tokens/s" if tokens else "")
            answers |= {a.id: a for a in new}
            check_stop()
    return [answers[prompt.id] for prompt in prompts]


def _watched(events: Iterator[Event], limit: int, progress: Bar) -> Iterator[Event]:
    """Each token moves the bar by its part of an answer, the last one by what is left of it."""
    written: Counter[str] = Counter()
    for event in events:
        written[event.id] += 1
        progress.advance(1 / limit if event.stop is None else 1 - (written[event.id] - 1) / limit)
        yield event


def choose_length(running: Running) -> Chosen:
    """The limit on new tokens with the best dev metric, what dev said of each, and the dev metric at it.

    A shorter limit gives a prefix of the same answer, so one run at the largest limit tells of all. A label that is
    chosen has no length, so there is one limit, which means nothing.
    """
    work, generation, tokenizer = running.work, running.arm.generation, running.model.tokenizer
    most, given = work.task.spec.answer.max_new_tokens, generation.max_new_tokens
    largest = given or most
    longest = _answer(running, running.dev, largest, DEV_ANSWERS_FILE, "dev_seconds")
    chooses = running.arm.answers_by != "generation"
    limits = [largest] if given or chooses else sorted({n for n in LIMITS if n < most} | {most})
    by_limit = {n: dev_metric(work, [shorten(a, n, tokenizer) for a in longest]) for n in limits}
    best = max(limits, key=lambda n: (by_limit[n], -n))
    scores = work.scored([shorten(a, best, tokenizer) for a in longest], work.dev)
    write_lines_of(running.place / DEV_SCORES_FILE, scores)
    length = LengthChoice(
        chosen=best,
        by="given" if given else "labels" if chooses else "dev",
        dev={str(n): round(value, 6) for n, value in by_limit.items()},
    )
    dev = DevValue(metric=work.task.spec.decide.metric, value=by_limit[best], n=len(work.dev))
    return Chosen(length, dev, generation.model_copy(update={"max_new_tokens": best}))


def read_references(running: Running) -> list[ReferenceLikelihood]:
    """The likelihood of the test references, from a finished arm that asked the same where there is one."""
    work, arm, model, prompts = running.work, running.arm, running.model, running.test
    if model.family == "encoder":
        return [unread(prompt.id, "an encoder gives texts no likelihood") for prompt in prompts]
    began = time.monotonic()
    if not isinstance(arm, TrainedArm):
        from_twin(running.place)
    with bar(f"{arm.name}: likelihood", len(prompts), "examples") as progress:

        def heard(count: int) -> None:
            progress.advance(count)
            work.folder.log("read", arm=arm.name, references=count)
            check_stop()

        rows = measure(model, prompts, work.test, running.place / LIKELIHOOD_FILE, heard)
    work.folder.spent(arm.name, likelihood_seconds=time.monotonic() - began)
    return rows
