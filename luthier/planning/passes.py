"""A forward pass as a plan sees it: the rows that it reads, and how it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from luthier.planning.moving import Moving
from luthier.planning.shape import Shape


@dataclass(frozen=True)
class Rows:
    """The rows of one micro-batch: how many, how long, how much of each is supervised, and what all begin with.

    `read` is a row's length: prompt and target of a decoder, the input of an encoder, the source of an
    encoder-decoder, whose `written` is the target. `shared` tokens are read once for all rows.
    """

    count: int
    read: int
    written: int = 0
    shared: int = 0
    supervised: int | None = None  # tokens with a loss, in all rows; None: `written` of each

    @property
    def losses(self) -> int:
        return self.count * self.written if self.supervised is None else self.supervised

    @property
    def padded(self) -> int:
        """Tokens that the blocks of a decoder or an encoder see."""
        return self.shared + self.count * (self.read - self.shared)


@dataclass(frozen=True)
class Pass:
    """How a forward pass runs. `number` are the bytes of an activation's number; an adapter's numbers are fp32.

    'blocks' is luthier's own attention on a CPU, which keeps probabilities of short rows; 'kernel' keeps queries, keys,
    values, outputs and a number for each row; 'masked' repeats keys for their heads and keeps the mask as well;
    'scores' keeps the scores in fp32. `compiled` means that a compiler computes cheap operations again instead of
    keeping them.
    """

    number: int = 4
    attention: Literal["blocks", "kernel", "masked", "scores"] = "blocks"
    fused_norms: bool = True
    fused_lora: bool = True
    all_logits: bool = False
    on_cpu: bool = True
    compiled: bool = False
    casts_adapters: bool = True  # whether an adapter in fp32 gets an fp32 copy of a bf16 input
    recompute: Literal["none", "blocks", "every second block"] = "none"


def luthier_pass(shape: Shape, moving: Moving, precision: str, device: str, recompute: bool = False) -> Pass:
    """How luthier's own forward pass runs in training. `device` is 'cpu' or 'cuda'.

    Its own attention is that of a decoder on a CPU without learned positions, dropout of probabilities, windows or
    capped scores, whose layers are not computed again (model/shared.py).
    """
    attention = [one for block in shape.writing for one in block.attentions]
    unlike = shape.attention_dropout and shape.model_type != "gpt2"
    learned = moving.virtual or moving.prefix
    special = any(one.window or one.soft_capped for one in attention)
    own = device == "cpu" and shape.family == "decoder" and not (unlike or learned or special or recompute)
    return Pass(
        number=4 if precision == "fp32" else 2,
        attention="blocks" if own else "kernel",
        fused_norms=moving.fuses and not shape.model_type.startswith("gemma"),
        on_cpu=device == "cpu",
        recompute="blocks" if recompute else "none",
    )
