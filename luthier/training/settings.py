"""How an arm is trained: the settings of the loop, and how many passes over the examples they give. No torch."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from luthier.defaults import BATCH
from luthier.settings import LeanSettings

PASSES = 10.0  # of an encoder, most over few train rows: its head starts at random, and a row holds a single label


class Training(LeanSettings):
    """How an arm is trained. Defaults that depend on the method stand in the method's file (docs/training.md)."""

    learning_rate: float = Field(1e-3, gt=0, le=1e3, description="peak learning rate of AdamW")
    epochs: float | None = Field(
        None, gt=0, le=1000, description="passes over the training examples; None: see passes()"
    )
    most_epochs: float = Field(2.0, gt=0, le=1000, description="with epochs None, at most as many")
    batch_size: int = Field(BATCH, ge=1, le=2**20, description="examples an optimizer step")
    micro_tokens: int | None = Field(
        None,
        ge=1,
        le=2**30,
        description="most padded tokens in memory at once; batches are cut to it; None: see memory.py",
    )
    warmup: float = Field(0.06, ge=0, lt=1, description="share of the steps over which the learning rate rises")
    weight_decay: float = Field(0.0, ge=0, le=1e3, description="AdamW's decoupled weight decay")
    clip_norm: float = Field(1.0, gt=0, description="gradients are scaled down to this global norm")
    evaluations: int = Field(
        3, ge=1, le=2**20, description="times the dev metric is taken; the best checkpoint is kept"
    )
    checkpoint_seconds: float = Field(
        25.0, ge=0, description="seconds of work that a kill may cost, more where checkpoints are large; 0: every step"
    )

    # Remedies against forgetting; at 0 nothing of them is computed.
    replay: float = Field(
        0.0, ge=0, le=0.9, description="share of the training rows that are general ones, which ship with luthier"
    )
    kl: float = Field(
        0.0, ge=0, le=1e3, description="weight of KL(base || model) at the supervised tokens, in the loss"
    )
    anchor: float = Field(
        0.0, ge=0, le=1e6, description="weight of half the squared distance of what trains from its start, in the loss"
    )
    LATER: ClassVar[frozenset[str]] = frozenset({"replay", "kl", "anchor"})

    def replayed(self, examples: int) -> int:
        """How many general rows stand beside `examples` of the task, so that they are `replay` of all; at least one."""
        return max(1, round(self.replay / (1 - self.replay) * examples)) if self.replay else 0

    def passes(self, examples: int) -> float:
        """Passes over `examples` examples: `epochs`, or else 1,200 / examples, between 1 and `most_epochs`.

        Every method follows the same rule, so that every arm gets the same effort. The numbers were chosen on dev
        (docs/training.md).
        """
        return self.epochs or min(self.most_epochs, max(1.0, 1200 / examples))
