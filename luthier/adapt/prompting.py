"""Methods that train no parameter: no instruction, zero, one or few shots.

Few-shot prompting is Brown et al. 2020, section 2: the task is shown by examples inside the prompt.
"""

from __future__ import annotations

from pydantic import Field

from luthier.adapt.method import Prompting
from luthier.settings import Settings


class Shots(Settings):
    """The number of solved examples in front of the question."""

    shots: int = Field(0, ge=0, le=64, description="solved examples from train, drawn by the task's seed")


class OneShot(Shots):
    shots: int = Field(1, ge=1, le=1, description="one solved example")


class FewShot(Shots):
    shots: int = Field(2, ge=1, le=64, description="solved examples from train, drawn by the task's seed")


METHODS = (
    Prompting(name="bare", summary="the input alone, no instruction", default_template="bare"),
    Prompting(name="zero-shot", summary="an instruction and the input", settings=Shots),
    Prompting(name="one-shot", summary="one solved example in front", settings=OneShot),
    Prompting(name="few-shot", summary="k solved examples in front", settings=FewShot, dial="shots"),
)
