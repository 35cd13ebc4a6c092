"""Methods that move no parameter: no instruction, zero, one or few shots.

Few-shot prompting is Brown et al. 2020, section 2: the task is shown by examples inside the prompt.
"""

from __future__ import annotations

from pydantic import Field

from luthier.adapt.method import Method
from luthier.settings import Settings


class Shots(Settings):
    """How many solved examples stand in front of the question."""

    shots: int = Field(0, ge=0, le=64, description="solved examples from train, drawn by the task's seed")


class OneShot(Shots):
    shots: int = Field(1, ge=1, le=1, description="one solved example")


class FewShot(Shots):
    shots: int = Field(2, ge=1, le=64, description="solved examples from train, drawn by the task's seed")


METHODS = (
    Method("bare", "the input alone, no instruction", default_template="bare"),
    Method("zero-shot", "an instruction and the input", Shots),
    Method("one-shot", "one solved example in front", OneShot),
    Method("few-shot", "k solved examples in front", FewShot, dial="shots"),
)
