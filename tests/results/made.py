"""Small real files of a study's folder, made by the code that writes them."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Callable
from typing import Any

from luthier.records import Answer, Example, Score
from luthier.results.comparison import Comparison
from luthier.results.cost import Cost
from luthier.results.profile_record import ProfileRecord
from luthier.results.record import Record
from luthier.scoring.score import score
from luthier.verdicts.compare import compare
from luthier.verdicts.profile import profile

KEPT = {"copy-3": 0.1, "zero-shot": 0.5, "lora": 0.8}  # arm -> how much of a reference its answers keep
WORDS = [
    "asks",
    "tells",
    "books",
    "cancels",
    "wants",
    "offers",
    "ticket",
    "table",
    "boiler",
    "invoice",
    "doctor",
    "noon",
]
LABELS = ("yes", "no")


def examples() -> list[Example]:
    """24 dialogues, the last of two rows."""
    draw = random.Random(3)
    units = [*(f"d{i}" for i in range(23)), "d22"]
    return [
        Example(f"e{i}", f"Ana: {' '.join(draw.choices(WORDS, k=12))}", (" ".join(draw.sample(WORDS, 6)),), unit)
        for i, unit in enumerate(units)
    ]


def answers(arm: str, seed: int = 0) -> list[Answer]:
    """References with some words exchanged, and one answer that is empty."""
    draw, found = random.Random(f"{arm}-{seed}"), []
    stop = "given" if arm == "copy-3" else "end"
    for row in examples():
        words = [word if draw.random() < KEPT[arm] else draw.choice(WORDS) for word in row.references[0].split()]
        found.append(Answer(row.id, " ".join([*words, "Berta"]), stop=stop))
    return [Answer("e0", "", stop=stop), *found[1:]]


def scores(arm: str, seed: int = 0) -> list[Score]:
    return score(answers(arm, seed), examples(), ("rouge1", "bleu", "stopped", "copied"))


@functools.cache
def compared() -> dict[str, Any]:
    """A comparison of texts with further seeds, an example left out, and arms that lack values."""
    arms = {arm: scores(arm) for arm in KEPT}
    arms["lora"] = arms["lora"][3:]
    return compare(arms, look=2, seeds={"lora": [scores("lora", seed)[3:] for seed in (1, 2)]})


@functools.cache
def compared_labels() -> dict[str, Any]:
    """A comparison of labels: McNemar's p, and a metric formed from counts."""
    rows = [Example(f"e{i}", f"row {i}", (LABELS[i % 2],)) for i in range(30)]
    said = {"a": [LABELS[i % 2 if i % 5 else 0] for i in range(30)], "b": [LABELS[i % 3 == 0] for i in range(30)]}
    arms = {
        arm: score([Answer(row.id, text) for row, text in zip(rows, texts, strict=True)], rows, labels=list(LABELS))
        for arm, texts in said.items()
    }
    return compare(arms, deciding="accuracy", margin=0.1, baselines=("a",))


@functools.cache
def profiled() -> dict[str, Any]:
    return profile({arm: answers(arm) for arm in ("copy-3", "lora")}, examples(), examples()[:5]).as_json()


def read_back(kind: type[Record], value: dict[str, Any]) -> Record:
    return kind.model_validate_json(json.dumps(value))


RECORDS: dict[str, Callable[[], Record]] = {  # a new type is held to every promise of test_damage.py by its line here
    "comparison": lambda: read_back(Comparison, compared()),
    "comparison of labels": lambda: read_back(Comparison, compared_labels()),
    "profile": lambda: read_back(ProfileRecord, profiled()),
    "cost": lambda: Cost(seconds=12.5, arms={"lora": {"train_seconds": 10.0, "train_tokens": 900}, "full": {}}),
}
