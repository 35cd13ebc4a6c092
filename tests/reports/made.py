"""Finished studies for reports, with the real scorer and comparison on made-up answers."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from luthier.files import read_json, write_json, write_lines
from luthier.records import Answer, Example, Prompt, Score, as_row
from luthier.results.cost import Cost
from luthier.results.record import write_lines_of
from luthier.scoring.score import score
from luthier.verdicts.compare import comparison
from tests import records

# arm -> how much of a reference its answers keep
PROMPTED = {"copy-3": 0.0, "bare": 0.2, "zero-shot": 0.45, "zero-shot:question": 0.5, "few-shot-2": 0.55}
TRAINED = {"lora": 0.9, "soft": 0.6}
ALL_ARMS = PROMPTED | TRAINED

WORDS = (
    *("asks", "tells", "books", "cancels", "wants", "offers", "the", "his", "her", "new", "old", "late", "early"),
    *("ticket", "table", "room", "boiler", "invoice", "doctor", "teacher", "friend", "train", "flight", "before"),
    *("Monday", "Friday", "noon", "evening", "for", "with", "without", "two", "three", "forty", "euros"),
)


def made_examples(count: int) -> list[Example]:
    """Small dialogues with two references each, from a word list and a fixed seed."""
    rng = random.Random(7)
    examples = []
    for number in range(count):
        said = [" ".join(rng.choices(WORDS, k=9)) for _ in range(6)]
        references = tuple("Ana " + " ".join(rng.sample(WORDS, 14)) + "." for _ in range(2))
        text = "\n".join(f"{'AB'[turn % 2]}: {words}" for turn, words in enumerate(said))
        examples.append(Example(f"d{number}", text, references, {"kind": "booking"}, row=number + 1))
    return examples


def made_answers(name: str, quality: float, examples: list[Example]) -> list[Answer]:
    """Answers that keep a share of the reference's words; the copying arm copies."""
    rng = random.Random(name)
    answers = []
    for example in examples:
        words = [w if rng.random() < quality else rng.choice(WORDS) for w in example.references[0].split()]
        text = "\n".join(example.input.split("\n")[:3]) if name.startswith("copy") else " ".join(words)
        stop = "given" if name.startswith("copy") else rng.choice(("end", "end", "length"))
        answers.append(Answer(example.id, text, tuple(range(len(words))), stop))
    return answers


def make_study(path: Path, arms: dict[str, float] | None = None, examples: list[Example] | None = None) -> Path:
    """A study's folder as `luthier study` leaves it."""
    arms, examples = ALL_ARMS if arms is None else arms, examples or made_examples(40)
    write_lines(path / "examples.jsonl", map(as_row, examples))
    scores = {name: make_arm(path / "arms" / name, name, quality, examples) for name, quality in arms.items()}
    cost = {name: (20.0 if name in TRAINED else 0.0, 100.0) for name in arms}
    comparison(scores, cost=cost, seed=0).write(path)
    Cost(seconds=900.0, arms={name: made_cost(name) for name in arms}).write(path)
    records.study_record(
        list(arms),
        test=len(examples),
        command="luthier study dialogues --arms 'zero-shot,lora'",
        task={"notes": ["test.jsonl: 2 control characters became spaces"], "test_opened": 2},
        health=[{"level": "warning", "text": "train.jsonl: row 3 repeats row 1", "file": "train.jsonl", "row": 3}],
        power=["40 test dialogues: a true difference of 0.060 is found in 80 % of studies."],
    ).write(path)
    return path


def make_arm(place: Path, name: str, quality: float, examples: list[Example]) -> list[Score]:
    answers = made_answers(name, quality, examples)
    scores = score(answers, examples)
    write_lines(place / "answers.jsonl", map(as_row, answers))
    write_lines(place / "scores.jsonl", map(as_row, scores))
    asks = not name.startswith("copy")
    if asks:
        prompts = [Prompt(e.id, f"<|user|>Summarize.\n\n{e.input}\n<|assistant|>", (1, 2, 3)) for e in examples]
        write_lines(place / "prompts.jsonl", map(as_row, prompts))
    if name in TRAINED:
        write_lines_of(place / "metrics.jsonl", made_steps(3 - 2 * quality))
    stops = {kind: sum(a.stop == kind for a in answers) for kind in ("end", "length", "chosen", "given")}
    counts = {"stopped": stops, "empty": sum(not a.text.strip() for a in answers)}
    prompts_cut = {"prompts_cut": 1, "tokens_cut": 17, "shots_dropped": 2} if asks else {}
    tried = {str(limit): 0.4 * quality + 0.1 - abs(limit - 40) / 400 for limit in (8, 16, 24, 32, 40, 64, 80)}
    length = {"chosen": 40, "by": "dev", "dev": tried} if asks else None
    record = records.arm_record(name, asks=asks, trained=name in TRAINED, counts=counts | prompts_cut, length=length)
    record.write(place)
    return scores


def made_steps(start: float) -> list[Any]:
    rng, devs = random.Random(1), {30: 0.31, 60: 0.39, 90: 0.37}
    return [
        records.step(
            number,
            100 * (start + 1.2 * 0.97**number + rng.gauss(0, 0.1)),
            **({"dev": devs[number] - start / 10} if number in devs else {}),
        )
        for number in range(1, 91)
    ]


def made_cost(name: str) -> dict[str, Any]:
    seconds = {"train_seconds": 512.3, "evaluate_seconds": 31.0} if name in TRAINED else {}
    return seconds | {"dev_seconds": 20.0, "answer_seconds": 44.1, "score_seconds": 0.3, "peak_bytes": 3_200_000_000,
                      "new_tokens": 2_100}  # fmt: skip


def changed(path: Path, name: str, **changes: Any) -> None:
    """Puts other values under some keys of a file."""
    write_json(path / name, read_json(path / name) | changes)
