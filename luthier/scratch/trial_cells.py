"""What a trial compares: its arms, the tasks that each is trained for, and under which budget.

lstm      a transformer and an LSTM of as many parameters: with as many tokens, and in as much processor time
families  decoder, encoder and encoder-decoder with as many FLOPs: pretrained, then trained on for three tasks
recipe    a plain decoder, and it with one ingredient alone, in as much processor time
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, model_validator

from luthier.scratch.corpus import DOCSTRINGS
from luthier.scratch.pretraining import Pretraining
from luthier.settings import Seed, Settings

TEXT, RECALL = "text", "recall"
TEXT_TASKS = ("classification", "continuation", "rewriting")
# GPT-2's choices (Radford et al. 2019) and AdamW.
PLAIN: dict[str, Any] = {"positions": "learned", "norm": "layer", "activation": "gelu", "qk_norm": False,
                         "zero_outputs": False, "tied": True, "optimizer": "adamw"}  # fmt: skip
INGREDIENTS: dict[str, dict[str, Any]] = {
    "rotary": {"positions": "rotary"},
    "RMSNorm": {"norm": "rms"},
    "squared ReLU": {"activation": "relu2"},
    "SwiGLU": {"activation": "swiglu"},
    "QK norm": {"qk_norm": True},
    "zero outputs": {"zero_outputs": True},
    "untied": {"tied": False},
    "Muon": {"optimizer": "muon"},
}
DEFAULT = "pretrain's default"
OBJECTIVES = {"decoder": "causal", "encoder": "masked", "encoder-decoder": "spans"}


class Trial(Settings):
    """What is compared, on what, and for how long."""

    kind: Literal["lstm", "families", "recipe"] = Field(description="what is compared")
    minutes: float = Field(30.0, gt=0, le=100_000, description="how long it may take, about")
    seeds: int = Field(3, ge=3, le=100, description="trainings of each arm, over which intervals are")
    corpus: str = Field(DOCSTRINGS, description="the text: docstrings, a folder of texts, a .jsonl or a .txt")
    vocabulary: int = Field(512, ge=257, le=65_536, description="ids of the byte-level BPE")
    width: int = Field(64, ge=8, le=2**14, description="of the residual stream; an LSTM gets as many parameters")
    layers: int = Field(3, ge=1, le=200, description="blocks of each stack")
    heads: int = Field(2, ge=1, le=256, description="attention heads")
    row: int = Field(128, ge=64, le=2**14, description="tokens of a row")
    batch_tokens: int = Field(2048, ge=64, le=16_384, description="tokens an optimizer step")
    held_out_bytes: int = Field(100_000, ge=100, le=10**9, description="most bytes of held-out text")
    seed: Seed = Field(0, description="the first of the seeds, which follow one another")

    @model_validator(mode="after")
    def _fits(self) -> Trial:
        self.pretraining(PLAIN)
        return self

    def pretraining(self, given: dict[str, Any]) -> Pretraining:
        """An arm's settings, of the fewest steps. All arms compute in fp32: an LSTM has no faster road."""
        same = ("corpus", "vocabulary", "width", "layers", "heads", "row", "batch_tokens", "held_out_bytes", "seed")
        return Pretraining(
            tokens=1, evaluations=1, precision="fp32", **{name: getattr(self, name) for name in same} | given
        )


@dataclass(frozen=True)
class Cell:
    """An arm at a task. `budget` is what it has as much of as the task's first arm: time, tokens or FLOPs.

    `share`: of the processor time, beside the other tasks' shares. `rates` are tried by shorter trainings.
    """

    arm: str
    task: str
    settings: Pretraining
    budget: Literal["time", "tokens", "flops"]
    share: float
    rates: tuple[float, ...]


TEXT_RATES = (0.003, 0.01, 0.03)
DRAWN_RATES = (0.001, 0.003, 0.01)  # of AdamW alone


def cells_of(trial: Trial) -> list[Cell]:
    """The cells of a trial, task by task; a task's first arm is the one that the others are set against."""
    if trial.kind == "recipe":
        arms = {"plain": PLAIN, **{name: PLAIN | one for name, one in INGREDIENTS.items()}, DEFAULT: {}}
        return [Cell(name, TEXT, trial.pretraining(one), "time", 1, TEXT_RATES) for name, one in arms.items()]
    if trial.kind == "families":
        families = {name: trial.pretraining({"objective": one}) for name, one in OBJECTIVES.items()}
        shares = {TEXT: 1.0} | dict.fromkeys(TEXT_TASKS, 0.3)
        return [
            Cell(name, task, one, "flops", share, TEXT_RATES if task == TEXT else DRAWN_RATES)
            for task, share in shares.items()
            for name, one in families.items()
        ]
    adamw = {"optimizer": "adamw"}  # Muon's matrices are a transformer's
    lstm = trial.pretraining(adamw | {"model": "lstm"})
    three: tuple[tuple[str, Pretraining, Literal["time", "tokens"]], ...] = (
        ("transformer", trial.pretraining(adamw), "time"),
        ("LSTM, same time", lstm, "time"),
        ("LSTM, same tokens", lstm, "tokens"),
    )
    return [
        Cell(name, task, one, budget, share, rates)
        for task, share, rates in ((TEXT, 1.0, TEXT_RATES), (RECALL, 0.6, DRAWN_RATES))
        for name, one, budget in three
    ]
