"""The bytes of a training as other tools run it: the accounting `transformers` (a Trainer's loop, and its relatives).

The usual loop forms logits at every position, pads rows to the longest, and keeps what PyTorch's own layers keep. Its
peak is the highest of these moments, and each moment is a sum of terms:

    loss      weights, states, buckets of several devices, every kept activation, and the loss on its way back
    backward  weights, states, what is kept by then, and the inside of one block; at its end all gradients
    step      weights, states, gradients, and the optimizer's intermediate values
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from luthier.planning.kept import kept
from luthier.planning.moving import Moving
from luthier.planning.passes import Pass, Rows
from luthier.planning.shape import Shape
from luthier.planning.terms import Term
from luthier.planning.weights import PRECISION_BYTES, weight_bytes

# Copies of the logits in fp32 while the loss goes back: log-probabilities, their gradient, and that of the logits
# (torch.nn.functional.cross_entropy).
LOSS_COPIES = 3
LOSS_CHUNKS = 8  # parts in which a chunked loss forms its logits (torchtune's default)
ADAM_STATES = {"adamw": 2.0, "adamw-8bit": 0.5, "paged": 0.0, "sgd": 0.0}  # numbers of a state for each that trains
# Blocks whose whole weights are there at once under full sharding: the current one, the next one's gathered buffer, and
# the weights that are copied out of it. On the way back also the gradients of the current block, and the last one's
# buffer, which is being summed over devices (torch.distributed.fsdp.fully_shard).
GATHERED, SCATTERED = 3, 2

Shard = Literal["none", "ddp", "zero1", "zero2", "zero3", "fsdp"]


USUAL = Pass(number=2, attention="masked", fused_norms=False, fused_lora=False, all_logits=True, on_cpu=False)


@dataclass(frozen=True)
class Loop:
    """How a training runs. `rows` are those of one device.

    `weights` and `trained` are the precisions of frozen weights and of those that train. `shard` says what is split
    over `devices`: states (zero1), gradients too (zero2), weights too (zero3, fsdp). `loss` 'chunked' forms logits
    part by part, 'supervised' only where a token has a loss. `in_backward` steps each weight as soon as its gradient
    is there. `holds_logits`: the loop keeps the model's output while the loss goes back. `offload` keeps weights and
    states on the processor.
    """

    rows: Rows
    weights: str = "bf16"
    trained: str = "fp32"
    computes: str = "bf16"
    optimizer: str = "adamw"
    foreach: bool = True
    how: Pass = USUAL
    loss: Literal["whole", "chunked", "supervised"] = "whole"
    width: str | None = None
    devices: int = 1
    shard: Shard = "none"
    in_backward: bool = False
    holds_logits: bool = False
    offload: bool = False


@dataclass(frozen=True)
class Held:
    """Bytes on one device, split as the sharding says."""

    weights: float
    gradients: float
    states: float
    buckets: float = 0.0

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.states + self.buckets


def held(shape: Shape, moving: Moving, loop: Loop) -> Held:
    """What one device holds beside activations (Rajbhandari et al. 2020, "ZeRO", section 5).

    Without sharding, gradients are summed over devices in buckets, which are as large as all of them and stay from step
    to step (torch.nn.parallel.DistributedDataParallel, `gradient_as_bucket_view`, which a Trainer leaves at False).
    """
    trained, added = moving.trainable(shape), sum(one.frozen for one in moving.additions)
    own = moving.own(shape)
    number = PRECISION_BYTES[loop.trained]
    frozen = float(weight_bytes(shape, loop.weights, loop.width))
    if own:  # the model's own weights that train have their own precision
        frozen += own * (number - PRECISION_BYTES[loop.weights])
    weights = frozen + number * (trained - own + added)
    gradients = 0.0 if loop.in_backward else float(trained * number)
    states = trained * number * ADAM_STATES[loop.optimizer]
    split = max(1, loop.devices)
    buckets = float(trained * number) if split > 1 and loop.shard in ("none", "ddp") else 0.0
    if loop.shard in ("zero3", "fsdp"):
        weights /= split
    if loop.shard in ("zero2", "zero3", "fsdp"):
        gradients /= split
    if loop.shard in ("zero1", "zero2", "zero3", "fsdp"):
        states /= split
    if loop.offload:
        weights = gradients = states = 0.0
    return Held(weights, gradients, states, buckets)


def block_bytes(shape: Shape, loop: Loop) -> float:
    """Bytes of one block's whole weights, in the precision that computes or the narrow one."""
    whole = weight_bytes(shape, loop.computes, loop.width)
    ends = sum(layer.parameters for layer in shape.outside) * PRECISION_BYTES[loop.computes]
    return (whole - ends) / max(len(shape.blocks), 1)


def loss_bytes(shape: Shape, loop: Loop, virtual: int = 0) -> float:
    """The loss on its way back, at every position of the padded rows, learned ones included."""
    rows = loop.rows
    tokens = rows.padded + rows.count * virtual if shape.family == "decoder" else rows.count * rows.written
    if loop.loss == "supervised":
        tokens = rows.losses
    each = 4 * LOSS_COPIES + (PRECISION_BYTES[loop.computes] if loop.holds_logits else 0)
    return tokens * shape.vocabulary * each / (LOSS_CHUNKS if loop.loss == "chunked" else 1)


def trainer_terms(shape: Shape, moving: Moving, loop: Loop) -> list[Term]:
    """The terms of the highest moment."""
    return max(moments(shape, moving, loop), key=lambda terms: sum(term.bytes for term in terms))


def moments(shape: Shape, moving: Moving, loop: Loop) -> list[list[Term]]:
    """The terms of each moment: the loss, the first block on the way back, its end, and the optimizer's step."""
    parts = held(shape, moving, loop)
    found = kept(shape, moving, loop.rows, loop.how)
    found.pop("log-probabilities", None)
    again = float(found.pop("one block, computed again", 0))
    activations = Term("kept activations", float(sum(found.values())))
    block, output = block_bytes(shape, loop), shape.vocabulary * shape.width * PRECISION_BYTES[loop.computes]
    # The output layer's gradient is there while every activation is still kept.
    trains_output = shape.output is not None and _owner(shape) in moving.weights
    whole, trains_own = loop.shard in ("zero3", "fsdp"), bool(moving.own(shape))
    base = [
        Term("weights", parts.weights),
        Term("optimizer states", parts.states),
        Term("buckets of gradients", parts.buckets),
    ]
    loss = loss_bytes(shape, loop, moving.virtual) if shape.family != "encoder" else 0.0
    step = parts.states / 2 if loop.foreach and not loop.in_backward else 0.0
    largest = max((layer.weights for layer in shape.layers), default=0) * PRECISION_BYTES[loop.trained]
    gathered = Term("gathered weights", GATHERED * block if whole else 0.0)
    scattered = Term("gradients of blocks", SCATTERED * block if whole and trains_own else 0.0)
    gradients = Term("gradients", parts.gradients + (largest if loop.in_backward else 0))
    inside = Term("inside of one block", again or activations.bytes / max(len(shape.blocks), 1))
    return [
        [
            *base, activations, Term("loss", loss),
            Term("gathered weights", output if whole else 0.0),
            Term("gradient of the output layer", output if trains_output else 0.0),
        ],
        [*base, activations, Term("inside of one block", again), gathered, scattered],
        [*base, gradients, inside, gathered, scattered],
        [*base, gradients, Term("optimizer's intermediate values", step)],
    ]  # fmt: skip


def _owner(shape: Shape) -> str:
    """The path of the layer that holds the output layer's weight."""
    layer = shape.at(shape.output or "")
    return layer.tied_to or layer.path
