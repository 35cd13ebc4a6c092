"""The kinds in turn, each with a seed of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.folders import (
    Harm,
    Right,
    adapter,
    attention,
    code,
    counted,
    generation,
    index,
    model_type,
    numbers,
    precision,
    quantized,
    size,
    sound_config,
    text_of_config,
    tokenizer,
    tokenizer_config,
    weights,
    wrong_type,
)
from tests.hostile.templates import breaks, changes, drops, escapes, hangs, no_template, recurs, sound_template, swells

KINDS: dict[str, Harm] = {
    one.__name__.replace("_", " "): one
    for one in (
        attention, hangs, size, sound_template, weights, drops, code, tokenizer, breaks, sound_config, quantized,
        numbers, swells, model_type, escapes, counted, index, recurs, precision, wrong_type, adapter, changes,
        text_of_config, tokenizer_config, no_template, generation,
    )
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    kind: str
    number: int

    def __str__(self) -> str:
        return f"{self.kind} {self.number}"

    def make(self, folder: Path) -> Right:
        """Harms the sound model in `folder`."""
        return KINDS[self.kind](folder, random.Random(f"{self.kind}-{self.number}"))


def cases(count: int) -> Iterator[Case]:
    """`count` cases, the kinds in turn."""
    names = list(KINDS)
    for number in range(count):
        yield Case(names[number % len(names)], number // len(names))
