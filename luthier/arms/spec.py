"""[arms.NAME] of study.toml: an arm's short form as a table.

The command line makes its help of these keys, so nothing here imports torch.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from luthier.settings import LeanSettings


class ArmSpec(LeanSettings):
    """[arms.NAME] of study.toml: an arm's short form as a table."""

    method: str = Field(description="a row of the methods table, such as lora")
    template: str | None = Field(None, description="a template of the task; None: the method's or the task's default")
    width: str | None = Field(None, description="of the weights that answer, made narrow after training, such as int8")
    settings: dict[str, Any] = Field(default={}, description="the method's own settings, such as rank or shots")
    training: dict[str, Any] = Field(default={}, description="how it is trained, such as learning_rate or epochs")
    generation: dict[str, Any] = Field(default={}, description="how it answers, such as max_new_tokens or temperature")
    model: str | None = Field(None, description="a short name, a hub id, or a folder; None: the study's model")
    answer: Literal["likelihood", "generation"] | None = Field(
        None, description="how labels are chosen by a model that writes; None: by their likelihood"
    )
    tune: list[str] | None = Field(
        None, description="what --tune may vary: learning_rate or the method's dial; None: those not given here"
    )
    scale: float | None = Field(
        None, ge=0, le=2, description="how much of the trained change is used: 0 none, 1 all; None: all"
    )
    domain: dict[str, Any] | None = Field(
        None, description="further pretraining before its training: corpus, and settings of the method domain"
    )
    trained_on: str | None = Field(
        None, description="what it was trained on by `luthier multitask`; None: this study's train split"
    )
    LATER: ClassVar[frozenset[str]] = frozenset({"scale", "domain"})
