"""One arm, from prompts to scores, in its folder; whatever is there already is not done again.

    (tune, train) adapter/ -> (make narrow) quantized/ -> prompts.jsonl -> dev_answers.jsonl -> answers.jsonl
    -> likelihood.jsonl -> scores.jsonl -> arm.json, which says that the arm is whole

Each stage ends in a whole file or in whole lines, so a killed run goes on at the last batch or checkpoint. What is
asked is always what was saved: a trained arm is loaded from its own folder before it answers anything.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from luthier import machine
from luthier.adapt.method import Baseline
from luthier.arms.resolve import Arm, TrainedArm
from luthier.arms.shipped import QUANTIZED, write_note
from luthier.decoding.answers import asking, room_for
from luthier.decoding.generate import Event, shorten
from luthier.decoding.likelihood import Row, from_twin, measure, unread, with_likelihood
from luthier.errors import FolderError
from luthier.files import append_lines, read_json, read_lines, write_json, write_lines
from luthier.model.model import Model
from luthier.model.widths import file_bytes, quantize, read, save, weigh
from luthier.progress import Bar, bar, check_stop, say
from luthier.records import Answer, Example, Prompt, as_row, from_row
from luthier.studies.fit import Course, Work, dev_metric, fit
from luthier.studies.tune import tune
from luthier.task.prompt import draw_shots

# The limits on new tokens that are tried on dev; answers to all of them come from one run at the largest.
LIMITS = (8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 192, 256, 384, 512)
PROBES = 3  # dev examples whose answers are stored beside an arm's weights


def run_arm(work: Work, arm: Arm, base: Model) -> None:
    """Runs what is missing of one arm. `base` is the loaded base model, unchanged when this returns."""
    place = work.folder.arm(arm.name)
    if (place / "arm.json").exists():
        return
    machine.reset_peak()
    say(f"{arm.name}: {arm.method.summary}" + (f"; made {arm.width} before it is asked" if arm.width else ""))
    if isinstance(arm.method, Baseline):
        answers = arm.method.given(arm.settings, work.train, work.test)
        write_lines(place / "answers.jsonl", map(as_row, answers))
        _finish(work, arm, answers, counts={}, extra={"tuning": None, "length": None, "dev": None})
        return
    shots = draw_shots(work.train, arm.shots, work.task.spec.prompt.shot_seed) if arm.shots else []
    counts: dict[str, Any] = {}
    tuning = None
    if isinstance(arm, TrainedArm):
        _train_as_twin(work, arm, place)
        arm, tuning = tune(work, arm)
        counts |= take_trained(work, arm, place) if arm.trained_on else train_arm(work, arm, place)
        work.folder.spent(arm.name, {}, peak_bytes=machine.peak_bytes())
        machine.reset_peak()
    model = load_arm_model(work, arm, base, place)
    prompts = {split: _prompts(work, arm, model, split, shots) for split in ("dev", "test")}
    write_lines(place / "prompts.jsonl", map(as_row, prompts["test"]))
    limit, length, dev = _choose_length(work, arm, model, prompts["dev"], place)
    write_note(
        place,
        model,
        method_name=arm.method.name,
        shipped=arm.weights,
        width=arm.width,
        precision=work.precision,
        template=work.task.template(arm.template),
        shots=shots,
        generation=arm.generation.model_copy(update={"max_new_tokens": limit}),
        answers_by=arm.answers_by,
        seed=work.seed,
        probes=prompts["dev"][:PROBES],
    )
    work.folder.open_test(work.task.hashes()["test"])
    answers = answer(work, arm, model, prompts["test"], limit, place / "answers.jsonl", "answer_seconds")
    work.folder.spent(arm.name, {}, answer_peak_bytes=machine.peak_bytes())
    heard = _likelihood(work, arm, model, prompts["test"], place) if work.likelihood else []
    counts |= _prompt_counts(prompts["test"]) | _sizes(work, arm, model, place)
    generation = arm.generation.model_dump() | {"max_new_tokens": limit}
    extra = {"tuning": tuning, "length": length, "dev": dev, "generation": generation}
    _finish(work, arm, answers, counts, extra, heard)


def load_arm_model(work: Work, arm: Arm, base: Model, place: Path) -> Model:
    """The model that answers: the base itself for prompting, else a fresh base with what the arm saved.

    Of an arm with a width it is what lies in its folder: made narrow once, written, and read back.
    """
    if arm.width is None:
        if not isinstance(arm, TrainedArm):
            return base
        return arm.method.load(work.base(arm), place / arm.method.shipped)
    if not (place / QUANTIZED).exists():
        whole = work.base(arm)
        if isinstance(arm, TrainedArm):
            whole = (arm.method.merge or arm.method.load)(whole, place / arm.method.shipped)
        save(quantize(whole, arm.width), place / QUANTIZED)
    narrow = read(place / QUANTIZED, arm.width, work.precision)
    return replace(narrow, name=base.name, base_sha256=base.base_sha256, labels=base.labels)


def _sizes(work: Work, arm: Arm, model: Model, place: Path) -> dict[str, Any]:
    """What the model that answers weighs, in memory and on disk with everything that it needs beside it."""
    own = arm.weights
    whole = own in (QUANTIZED, "weights")  # else what is its own lies beside the base's file
    files = (file_bytes(place / own) if own else 0) + (0 if whole else file_bytes(model.folder))
    return {"weight": weigh(model.module).row() | {"width": arm.width or work.precision, "file_bytes": files}}


def _train_as_twin(work: Work, arm: TrainedArm, place: Path) -> None:
    """Takes the training of the arm that differs in nothing but its width, if that one is finished."""
    if arm.width is None or (place / "training.json").exists():
        return
    name, seed, number = arm.name.partition("/seed-")
    specs = read_json(work.folder.path / "study.json")["arms"]
    whole = specs[name] | {"width": None}
    twin = next((other for other, spec in specs.items() if spec == whole), None)
    if twin is None or not work.folder.finished(twin + seed + number):
        return
    _copy_training(work.folder.arm(twin + seed + number), arm, place)
    say(f"  trained as {twin}, whose weights it takes")


def _prompts(work: Work, arm: Arm, model: Model, split: str, shots: Sequence[Example]) -> list[Prompt]:
    text, renderer = work.task.template(arm.template), model.renderer
    room = room_for(model, work.task.spec.answer.max_new_tokens)
    examples = work.dev if split == "dev" else work.test
    return [renderer.prompt(example, text, shots, room=room) for example in examples]


def answer(
    work: Work, arm: Arm, model: Model, prompts: Sequence[Prompt], limit: int, path: Path, clock: str
) -> list[Answer]:
    """Answers in the order of `prompts`. Batches that are in the file already are not asked again."""
    asked = asking(
        model, prompts, arm.answers_by, limit=limit, generation=arm.generation, seed=work.seed, bound=work.bound
    )
    rows = {row["id"]: row for row in read_lines(path)}
    whole = [batch for batch in asked.batches if all(one.id in rows for one in batch)]
    kept = [rows[one.id] for batch in whole for one in batch]
    if len(kept) != len(rows):  # a batch that was killed half-way is asked again as a whole
        write_lines(path, kept)
    answers = {row["id"]: from_row(Answer, row) for row in kept}
    with bar(f"{arm.name}: {path.stem.replace('_', ' ')}", len(prompts), "examples", done=len(kept)) as progress:
        for batch in asked.batches:
            if batch in whole:
                continue
            began = time.monotonic()
            new = asked.answer(batch, lambda events: _watched(events, limit, progress))
            append_lines(path, map(as_row, new))
            seconds = time.monotonic() - began
            tokens = sum(len(a.tokens) for a in new)
            work.folder.spent(arm.name, {clock: seconds, "new_tokens": tokens})
            work.folder.log("answered", arm=arm.name, file=path.name, answers=len(new), seconds=round(seconds, 2))
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


def _choose_length(
    work: Work, arm: Arm, model: Model, prompts: Sequence[Prompt], place: Path
) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """The limit on new tokens with the best dev metric, what dev said of each, and the dev metric at it.

    A shorter limit gives a prefix of the same answer, so one run at the largest limit tells of all. A label that is
    chosen has no length, so there is one limit, which means nothing.
    """
    most, given = work.task.spec.answer.max_new_tokens, arm.generation.max_new_tokens
    largest = given or most
    longest = answer(work, arm, model, prompts, largest, place / "dev_answers.jsonl", "dev_seconds")
    chooses = arm.answers_by != "generation"
    limits = [largest] if given or chooses else sorted({n for n in LIMITS if n < most} | {most})
    by_limit = {n: dev_metric(work, [shorten(a, n, model.tokenizer) for a in longest]) for n in limits}
    best = max(limits, key=lambda n: (by_limit[n], -n))
    scores = work.scored([shorten(a, best, model.tokenizer) for a in longest], work.dev)
    write_lines(place / "dev_scores.jsonl", map(as_row, scores))
    length = {
        "chosen": best,
        "by": "given" if given else "labels" if chooses else "dev",
        "dev": {str(n): round(value, 6) for n, value in by_limit.items()},
    }
    return best, length, {"metric": work.task.spec.decide.metric, "value": by_limit[best], "n": len(work.dev)}


def train_arm(work: Work, arm: TrainedArm, place: Path, course: Course | None = None) -> dict[str, Any]:
    """Trains, saves what moved, and returns the counts; a finished training is only read."""
    summary, saved = place / "training.json", place / arm.method.shipped
    if summary.exists():
        return dict(read_json(summary))
    fitted = fit(work, arm, place, f"{arm.name}: train", course)
    arm.method.save(fitted.module, saved)
    counts = fitted.counts | {"saved_bytes": file_bytes(saved)}
    trained = fitted.trained
    work.folder.spent(arm.name, {"train_seconds": trained.seconds, "evaluate_seconds": trained.evaluation_seconds})
    write_json(summary, counts)
    with suppress(FileNotFoundError):
        (place / "checkpoint.safetensors").unlink()
    work.folder.log("trained", arm=arm.name, steps=trained.steps, seconds=round(trained.seconds, 1))
    return counts


def take_trained(work: Work, arm: TrainedArm, place: Path) -> dict[str, Any]:
    """The counts of a training that was done elsewhere, once for several studies; its weights are copied to the arm."""
    summary, source = place / "training.json", work.trained.get(arm.name)
    if summary.exists():
        return dict(read_json(summary))
    if source is None:
        raise FolderError(
            f"{place}: {arm.name} is trained on {arm.trained_on} and its weights are not here yet; "
            "go on with the command that began it"
        )
    _copy_training(source, arm, place)
    return dict(read_json(summary))


def _copy_training(source: Path, arm: TrainedArm, place: Path) -> None:
    """What a training left in `source`: trials, weights, steps, and its summary last, which says that all is whole."""
    for part in ("tune", arm.method.shipped):
        if (source / part).exists():
            shutil.copytree(source / part, place / part, dirs_exist_ok=True)
    write_lines(place / "metrics.jsonl", read_lines(source / "metrics.jsonl"))
    write_json(place / "training.json", read_json(source / "training.json"))


def _likelihood(work: Work, arm: Arm, model: Model, prompts: Sequence[Prompt], place: Path) -> list[Row]:
    """The likelihood of the test references, from a finished arm that asked the same where there is one."""
    if model.family == "encoder":
        return [unread(prompt.id, "an encoder gives texts no likelihood") for prompt in prompts]
    began = time.monotonic()
    if not arm.method.trains:
        from_twin(place)
    with bar(f"{arm.name}: likelihood", len(prompts), "examples") as progress:

        def heard(count: int) -> None:
            progress.advance(count)
            work.folder.log("read", arm=arm.name, references=count)
            check_stop()

        rows = measure(model, prompts, work.test, place / "likelihood.jsonl", heard)
    work.folder.spent(arm.name, {"likelihood_seconds": time.monotonic() - began})
    return rows


def _prompt_counts(prompts: Sequence[Prompt]) -> dict[str, Any]:
    return {
        "prompt_tokens_mean": round(fmean(len(p.prompt_ids) for p in prompts), 1),
        "prompts_cut": sum(p.tokens_cut > 0 for p in prompts),
        "tokens_cut": sum(p.tokens_cut for p in prompts),
        "shots_dropped": sum(p.shots_dropped for p in prompts),
    }


def _finish(
    work: Work,
    arm: Arm,
    answers: Sequence[Answer],
    counts: dict[str, Any],
    extra: dict[str, Any],
    read: Sequence[Row] = (),
) -> None:
    """Scores, and arm.json last: it says that the arm is whole."""
    place = work.folder.arm(arm.name)
    began = time.monotonic()
    write_lines(place / "answers.jsonl", map(as_row, answers))
    scores = work.scored(answers, work.test)
    if work.likelihood:
        scores = with_likelihood(scores, read)
    write_lines(place / "scores.jsonl", map(as_row, scores))
    stops = {kind: sum(a.stop == kind for a in answers) for kind in ("end", "length", "chosen", "given")}
    about = {
        "name": arm.name,
        "method": arm.method.name,
        "summary": arm.method.summary,
        "model": (arm.model or work.model_name) if arm.method.asks_model else None,
        "answers_by": arm.answers_by if arm.method.asks_model else "baseline",
        "template": arm.template if arm.method.asks_model else None,
        "settings": arm.settings.model_dump(),
        "training": arm.training.model_dump() if isinstance(arm, TrainedArm) else None,
        **({"trained_on": arm.trained_on} if isinstance(arm, TrainedArm) and arm.trained_on else {}),
        "generation": None,
        "width": arm.width,
        "counts": counts | {"stopped": stops, "empty": sum(not a.text.strip() for a in answers)},
        "status": "done",
    }
    work.folder.spent(arm.name, {"score_seconds": time.monotonic() - began}, peak_bytes=machine.peak_bytes())
    write_json(place / "arm.json", about | extra)
    work.folder.log("arm done", arm=arm.name)
