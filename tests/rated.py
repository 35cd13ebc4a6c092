"""Small finished studies to be rated, with the real scorer and comparison on made-up answers, and raters for them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from luthier.files import write_json, write_lines
from luthier.rating.ballot import Ballot, Question
from luthier.records import Answer, Example, as_row
from luthier.scoring.score import score
from luthier.verdicts.compare import compare
from tests.records import study_record

QUALITIES = {"copy-3": 0.1, "zero-shot": 0.4, "lora": 0.9}  # how much of the reference an arm's answer keeps
WORDS = (
    *("asks", "tells", "books", "cancels", "wants", "offers", "ticket", "table", "room"),
    *("boiler", "invoice", "doctor", "train", "Monday", "Friday", "noon"),
)
SAME = ("d3", "d5", "d8")  # dialogues on which zero-shot and lora answer the same

Decide = Callable[[Question], str]


def examples(count: int) -> list[Example]:
    draw = random.Random(11)
    return [
        Example(f"d{i}", f"Ana: {' '.join(draw.choices(WORDS, k=12))}\nBo: Fine.", (" ".join(draw.sample(WORDS, 9)),))
        for i in range(count)
    ]


def answer(arm: str, quality: float, example: Example) -> Answer:
    """The reference with some words exchanged."""
    arm, quality = ("lora", QUALITIES["lora"]) if arm == "zero-shot" and example.id in SAME else (arm, quality)
    draw = random.Random(f"{arm}-{example.id}")
    words = [w if draw.random() < quality else draw.choice(WORDS) for w in example.references[0].split()]
    return Answer(example.id, " ".join(words))


def make_study(path: Path, count: int = 24, qualities: dict[str, float] = QUALITIES, seed: int = 0) -> Path:
    """What of a finished study's folder rating reads."""
    rows = examples(count)
    write_lines(path / "examples.jsonl", map(as_row, rows))
    scores = {}
    for arm, quality in qualities.items():
        answers = [answer(arm, quality, example) for example in rows]
        scores[arm] = score(answers, rows)
        write_lines(path / "arms" / arm / "answers.jsonl", map(as_row, answers))
        write_lines(path / "arms" / arm / "scores.jsonl", map(as_row, scores[arm]))
    write_json(path / "compare.json", compare(scores))
    task = {"name": "made", "description": "Say what was agreed."}
    study_record(list(qualities), test=count, specification={"seed": seed}, task=task).write(path)
    return path


def by_quality(question: Question) -> str:
    """A rater who always sees which arm is better."""
    first, second = (QUALITIES[arm] for arm in (question.item.first, question.item.second))
    return "first" if first > second else "second"


def at_random(seed: int) -> Decide:
    """A rater who does not look."""
    draw = random.Random(seed)
    return lambda question: draw.choice(["first", "second", "tie"])


def rate_all(ballot: Ballot, rater: str, decide: Decide = by_quality, most: int = 10_000) -> list[Question]:
    """Lets a rater judge what falls to them, `most` questions at most, and returns what was asked."""
    asked: list[Question] = []
    while len(asked) < most and (question := ballot.question(rater)) is not None:
        ballot.vote(question.item, rater, decide(question), seconds=12.0)
        asked.append(question)
    return asked
