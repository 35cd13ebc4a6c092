"""How much arithmetic a measured run needed at least, and what share of the machine's best rate it reached.

The arithmetic is that of a plan (luthier/planning/flops.py). Padding, and logits nobody asked for, count as nothing:
they are not the work.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from luthier.planning.flops import (
    Read,
    head_parameters,
    linear_parameters,
    reading_flops,
    training_flops,
)
from luthier.planning.moving import moving
from luthier.planning.read import shape_of
from luthier.planning.shape import Shape
from luthier.scratch.shape import Shape as Decoder
from luthier.scratch.shape import training_flops as pretraining_flops

SMOLLM2_135M = shape_of("smollm2-135m")


def adapter_parameters(shape: Shape, rank: int) -> int:
    """A of LoRA on all linear layers: r (in + out) for each."""
    return sum(one.trainable for one in _lora(shape, rank).additions)


def training(shape: Shape, run: dict[str, Any], rank: int | None) -> int:
    """Operations of one measured training run; `rank` of LoRA, or None where everything moves.

    What rows have in common is counted for every row, although luthier reads it once for each micro-batch.
    """
    moves = moving(shape, "full", None) if rank is None else _lora(shape, rank)
    read = Read(run["tokens"], run["squares"], run["supervised"])
    return sum(training_flops(shape, moves, read).values())


def pretraining(run: dict[str, Any]) -> float:
    """Operations of training a decoder of the run's shape on its tokens, in full rows. All loops of a group have equal
    products: of an MLP without a gate that is 4 times as wide, and of an output layer, tied or not. The narrow gates of
    nanochat's value embeddings count as nothing.
    """
    shape = run["shape"]
    sizes = {key: shape[key] for key in ("vocabulary", "width", "layers", "heads")}
    return pretraining_flops(Decoder(**sizes, activation="gelu"), run["tokens"], shape["row"])


def generation(shape: Shape, run: dict[str, Any]) -> int:
    """Operations of one measured generation run: prompts and answers read once, logits for each new token.

    What prompts have in common is counted for every prompt, so a tool that reads it once may pass 100 %.
    """
    read = run["prompt_tokens"] + run["new_tokens"] - run["examples"]  # the last new token is never read
    return reading_flops(shape, Read(read, run["squares"], 0), logits=run["new_tokens"])


def weight_bytes_moved(shape: Shape, run: dict[str, Any]) -> float:
    """Bytes of stored weights that must come from memory: all of them at every pass."""
    return (linear_parameters(shape) + head_parameters(shape)) * run["weight_bits"] / 8 * run["passes"]


def peak(limit: dict[str, Any], precision: str) -> float:
    """The best FLOP/s of a square matrix product in 'fp32' or 'bf16'."""
    return float(max(limit[f"{precision}_flops"].values()))


def _lora(shape: Shape, rank: int) -> Any:
    return moving(shape, "lora", SimpleNamespace(rank=rank, targets="all-linear"))
