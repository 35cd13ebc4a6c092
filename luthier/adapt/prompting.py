"""Methods that move no parameter: no instruction, zero, one or few shots; and the baseline that asks no model.

Few-shot prompting is Brown et al. 2020, section 2: the task is shown by examples inside the prompt.
"""

from __future__ import annotations

from pydantic import Field

from luthier.adapt.method import Method
from luthier.records import Answer, Example
from luthier.settings import Settings


class Shots(Settings):
    """How many solved examples stand in front of the question."""

    shots: int = Field(0, ge=0, le=64, description="solved examples from train, drawn by the task's seed")


class OneShot(Shots):
    shots: int = Field(1, ge=1, le=1, description="one solved example")


class FewShot(Shots):
    shots: int = Field(2, ge=1, le=64, description="solved examples from train, drawn by the task's seed")


class Copy(Settings):
    """The first lines of the input as the answer: what a reader gets for nothing."""

    lines: int = Field(3, ge=1, description="lines (turns) copied")


def copy_answer(example: Example, settings: Copy) -> Answer:
    """The first `lines` non-empty lines of the input, unchanged."""
    lines = [line for line in example.input.splitlines() if line.strip()]
    return Answer(id=example.id, text="\n".join(lines[: settings.lines]))


METHODS = (
    Method("copy", "the first k turns, copied: the baseline", Copy, dial="lines", asks_model=False),
    Method("bare", "the input alone, no instruction", default_template="bare"),
    Method("zero-shot", "an instruction and the input", Shots),
    Method("one-shot", "one solved example in front", OneShot),
    Method("few-shot", "k solved examples in front", FewShot, dial="shots"),
)
