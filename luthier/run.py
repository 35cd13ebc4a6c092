"""One arm, from prompts to scores, in its folder; whatever is there already is not done again.

    prompts.jsonl -> (train) adapter/ -> dev_answers.jsonl -> answers.jsonl -> scores.jsonl -> arm.json

Each stage ends in a whole file or in whole lines, so a killed run goes on at the last batch or checkpoint. What is
asked is always what was saved: a trained arm is loaded from its own folder before it answers anything.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from luthier import machine
from luthier.adapt.prompting import copy_answer
from luthier.arms import Arm
from luthier.batches import Batches
from luthier.files import append_lines, read_json, read_lines, write_json, write_lines
from luthier.folder import StudyFolder
from luthier.generate import Request, fold, generate, plan, seed_of, shorten
from luthier.loop import Trained, train
from luthier.loss import collate, supervised_loss
from luthier.model import Model, load, parameter_counts
from luthier.progress import bar, check_stop, say
from luthier.prompt import draw_shots
from luthier.records import Answer, Example, Prompt, Score, as_row, from_row
from luthier.score import score
from luthier.ship import write_note
from luthier.task import Task

# The limits on new tokens that are tried on dev; answers to all of them come from one run at the largest.
LIMITS = (8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 192, 256, 384, 512)
PROBES = 3  # dev examples whose answers are stored beside an arm's weights


@dataclass(frozen=True)
class Work:
    """What every arm of a study shares: task, examples, seed, the base model's name, the folder."""

    task: Task
    train: Sequence[Example]
    dev: Sequence[Example]
    test: Sequence[Example]
    seed: int
    model_name: str
    precision: str
    folder: StudyFolder


def run_arm(work: Work, arm: Arm, base: Model) -> None:
    """Runs what is missing of one arm. `base` is the loaded base model, unchanged when this returns."""
    place = work.folder.arm(arm.name)
    if (place / "arm.json").exists():
        return
    machine.reset_peak()
    say(f"{arm.name}: {arm.method.summary}")
    if not arm.method.asks_model:
        answers = [copy_answer(example, arm.settings) for example in work.test]
        write_lines(place / "answers.jsonl", map(as_row, answers))
        _finish(work, arm, answers, counts={}, extra={"length": None, "dev": None})
        return
    shots = draw_shots(work.train, arm.shots, work.task.spec.prompt.shot_seed) if arm.shots else []
    counts: dict[str, Any] = {}
    if arm.method.trains:
        trained = _train(work, arm, base, place)
        counts |= trained
    model = load_arm_model(work, arm, base, place)
    prompts = {split: _prompts(work, arm, model, split, shots) for split in ("dev", "test")}
    write_lines(place / "prompts.jsonl", map(as_row, prompts["test"]))
    limit, length, dev = _choose_length(work, arm, model, prompts["dev"], place)
    write_note(
        place,
        model,
        method_name=arm.method.name,
        shipped=arm.method.shipped if arm.method.trains else None,
        precision=work.precision,
        template=work.task.template(arm.template),
        shots=shots,
        generation=arm.generation.model_copy(update={"max_new_tokens": limit}),
        seed=work.seed,
        probes=prompts["dev"][:PROBES],
    )
    work.folder.open_test(work.task)
    answers = answer(work, arm, model, prompts["test"], limit, place / "answers.jsonl", "answer_seconds")
    counts |= _prompt_counts(prompts["test"])
    generation = arm.generation.model_dump() | {"max_new_tokens": limit}
    _finish(work, arm, answers, counts, {"length": length, "dev": dev, "generation": generation})


def load_arm_model(work: Work, arm: Arm, base: Model, place: Path) -> Model:
    """The model that answers: the base itself for prompting, else a fresh base with what the arm saved."""
    if not arm.method.trains:
        return base
    return arm.method.load(load(work.model_name, precision=work.precision), place / arm.method.shipped)


def _prompts(work: Work, arm: Arm, model: Model, split: str, shots: Sequence[Example]) -> list[Prompt]:
    text, renderer, room = work.task.template(arm.template), model.renderer, work.task.spec.answer.max_new_tokens
    examples = work.dev if split == "dev" else work.test
    return [renderer.prompt(example, text, shots, room=room) for example in examples]


def answer(
    work: Work, arm: Arm, model: Model, prompts: Sequence[Prompt], limit: int, path: Path, clock: str
) -> list[Answer]:
    """Answers in the order of `prompts`. Batches that are in the file already are not asked again."""
    requests = [Request(p.id, p.prompt_ids, limit, arm.generation, seed_of(work.seed, p.id)) for p in prompts]
    batches = plan(requests)
    rows = {row["id"]: row for row in read_lines(path)}
    whole = [batch for batch in batches if all(request.id in rows for request in batch)]
    kept = [rows[request.id] for batch in whole for request in batch]
    if len(kept) != len(rows):  # a batch that was killed half-way is asked again as a whole
        write_lines(path, kept)
    answers = {row["id"]: from_row(Answer, row) for row in kept}
    with bar(f"{arm.name}: {path.stem.replace('_', ' ')}", len(prompts), "examples", done=len(kept)) as progress:
        for batch in batches:
            if batch in whole:
                continue
            began = time.monotonic()
            new = fold(generate(model, batch), model.tokenizer)
            append_lines(path, map(as_row, new))
            seconds = time.monotonic() - began
            tokens = sum(len(a.tokens) for a in new)
            work.folder.spent(arm.name, {clock: seconds, "new_tokens": tokens})
            work.folder.log("answered", arm=arm.name, file=path.name, answers=len(new), seconds=round(seconds, 2))
            progress.advance(len(new), f"{tokens / seconds:,.0f} new tokens/s")
            answers |= {a.id: a for a in new}
            check_stop()
    return [answers[prompt.id] for prompt in prompts]


def _choose_length(
    work: Work, arm: Arm, model: Model, prompts: Sequence[Prompt], place: Path
) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """The limit on new tokens with the best dev metric, what dev said of each, and the dev metric at it.

    A shorter limit gives a prefix of the same answer, so one run at the largest limit tells of all.
    """
    most, given = work.task.spec.answer.max_new_tokens, arm.generation.max_new_tokens
    largest = given or most
    longest = answer(work, arm, model, prompts, largest, place / "dev_answers.jsonl", "dev_seconds")
    limits = [largest] if given else sorted({n for n in LIMITS if n < most} | {most})
    by_limit = {n: dev_metric(work, [shorten(a, n, model.tokenizer) for a in longest]) for n in limits}
    best = max(limits, key=lambda n: (by_limit[n], -n))
    scores = score([shorten(a, best, model.tokenizer) for a in longest], work.dev)
    write_lines(place / "dev_scores.jsonl", map(as_row, scores))
    length = {
        "chosen": best,
        "by": "given" if given else "dev",
        "dev": {str(n): round(value, 6) for n, value in by_limit.items()},
    }
    return best, length, {"metric": work.task.spec.decide.metric, "value": by_limit[best], "n": len(work.dev)}


def dev_metric(work: Work, answers: Sequence[Answer]) -> float:
    """The deciding metric's mean over the dev answers; what settings and checkpoints are chosen by."""
    metric = work.task.spec.decide.metric
    values = [s.values[metric] for s in score(answers, work.dev)]
    return fmean([v for v in values if v is not None] or [0.0])


def _train(work: Work, arm: Arm, base: Model, place: Path) -> dict[str, Any]:
    """Trains, saves what moved, and returns the counts; a finished training is only read."""
    summary, saved = place / "training.json", place / arm.method.shipped
    if summary.exists():
        return dict(read_json(summary))
    assert arm.training is not None
    model = load(work.model_name, precision=work.precision)
    module = arm.method.apply(model, arm.settings, work.seed)
    # A learned prompt takes its place in the context window while training as it does while asking.
    text, renderer = work.task.template(arm.template), arm.method.answering(model, module).renderer
    prompts = [renderer.prompt(example, text, train=True) for example in work.train]
    trainable, parameters = parameter_counts(module)
    say(f"  {trainable:,} of {parameters:,} parameters move ({trainable / parameters:.2%}); {len(prompts)} examples")
    batches = Batches(
        prompts,
        batch_size=arm.training.batch_size,
        micro_tokens=arm.training.micro_tokens,
        epochs=arm.training.passes(len(prompts)),
        seed=work.seed,
    )

    def step(micro_batch: list[Prompt]) -> tuple[Any, int, int]:
        batch = collate(micro_batch, module, model.family)
        loss, count = supervised_loss(module, batch)
        return loss, count, batch.tokens

    def evaluate() -> float:
        asked = arm.method.answering(model, module)
        limit = arm.generation.max_new_tokens or work.task.spec.answer.max_new_tokens
        dev = [asked.renderer.prompt(example, text, room=limit) for example in work.dev]
        requests = [Request(p.id, p.prompt_ids, limit) for p in dev]
        return dev_metric(work, [a for batch in plan(requests) for a in fold(generate(asked, batch), asked.tokenizer)])

    def log(event: str, **about: Any) -> None:
        work.folder.log(event, arm=arm.name, **about)

    title = f"{arm.name}: train"
    rates = arm.method.rates(arm.settings, module)
    result = train(
        module, step, batches, arm.training, place,
        evaluate=evaluate, rates=rates, seed=work.seed, title=title, log=log,
    )  # fmt: skip
    arm.method.save(module, saved)
    counts = _training_counts(result, trainable, parameters, prompts, saved)
    counts["passes"] = arm.training.passes(len(prompts))
    work.folder.spent(arm.name, {"train_seconds": result.seconds, "evaluate_seconds": result.evaluation_seconds})
    write_json(summary, counts)
    with suppress(FileNotFoundError):
        (place / "checkpoint.safetensors").unlink()
    work.folder.log("trained", arm=arm.name, steps=result.steps, seconds=round(result.seconds, 1))
    return counts


def _training_counts(
    result: Trained, trainable: int, parameters: int, prompts: Sequence[Prompt], saved: Path
) -> dict[str, Any]:
    about = asdict(result)
    return {
        "trainable": trainable,
        "parameters": parameters,
        "train_examples": len(prompts),
        "train_prompts_cut": sum(p.tokens_cut > 0 for p in prompts),
        "train_tokens": about["tokens"],
        "supervised_tokens": about["supervised"],
        "steps": about["steps"],
        "best_step": about["best_step"],
        "best_dev": about["best_metric"],
        "saved_bytes": sum(path.stat().st_size for path in saved.rglob("*.safetensors")),
    }


def _prompt_counts(prompts: Sequence[Prompt]) -> dict[str, Any]:
    return {
        "prompt_tokens_mean": round(fmean(len(p.prompt_ids) for p in prompts), 1),
        "prompts_cut": sum(p.tokens_cut > 0 for p in prompts),
        "tokens_cut": sum(p.tokens_cut for p in prompts),
        "shots_dropped": sum(p.shots_dropped for p in prompts),
    }


def _finish(work: Work, arm: Arm, answers: Sequence[Answer], counts: dict[str, Any], extra: dict[str, Any]) -> None:
    """Scores, and arm.json last: it says that the arm is whole."""
    place = work.folder.arm(arm.name)
    began = time.monotonic()
    write_lines(place / "answers.jsonl", map(as_row, answers))
    scores: list[Score] = score(answers, work.test)
    write_lines(place / "scores.jsonl", map(as_row, scores))
    stops = {kind: sum(a.stop == kind for a in answers) for kind in ("end", "length", "given")}
    about = {
        "name": arm.name,
        "method": arm.method.name,
        "summary": arm.method.summary,
        "template": arm.template if arm.method.asks_model else None,
        "settings": arm.settings.model_dump(),
        "training": arm.training.model_dump() if arm.training else None,
        "generation": None,
        "counts": counts | {"stopped": stops, "empty": sum(not a.text.strip() for a in answers)},
        "status": "done",
    }
    work.folder.spent(arm.name, {"score_seconds": time.monotonic() - began}, peak_bytes=machine.peak_bytes())
    write_json(place / "arm.json", about | extra)
    work.folder.log("arm done", arm=arm.name)
