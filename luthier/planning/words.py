"""The sentences of a plan: why each term is there, and how bytes, operations and seconds are read."""

from __future__ import annotations

from luthier.results.plan_record import ArmPlan, Taught

WHY = {
    "program": "the interpreter, PyTorch and its libraries, and what they hold ready",
    "base model beside": "a study keeps the unchanged base loaded for the arms that only prompt it",
    "base for kl": "a second unchanged base, which kl asks about every row",
    "start of what trains": "what anchor pulls back to, and the distance from there, in fp32",
    "weights": "all weights of the model, at their widths, with block scales and what the method adds",
    "masters": "of each own weight in bf16 that trains one in fp32, which takes the steps",
    "gradients": "one number in fp32 for each parameter that trains",
    "optimizer states": "AdamW's two moments of each parameter that trains",
    "best values so far": "the trained parameters of the checkpoint that was best on dev",
    "kept activations": "what the forward pass keeps for the backward pass, of the micro-batch that keeps most",
    "log-probabilities": "in fp32, over the vocabulary, at the positions that have a loss",
    "backward pass": "gradients of activations on their way back, and memory between blocks that are freed",
    "laid-out weights": "a second copy of the linear layers in the order that products of few rows read fastest",
    "keys and values": "of every token of the answers that are written at once, in every layer",
    "spare room of the cache": "buffers that grow by blocks, and the longer rows of a batch",
    "reading": "the widest activations while prompts are read",
    "logits": "of the next token of every row",
    "loss": "logits at every position, their log-probabilities in fp32, and both gradients",
    "gathered weights": "whole weights of the blocks at work, gathered from all devices",
    "buckets of gradients": "in which gradients are summed over devices; they stay from step to step",
    "gradients of blocks": "of whole blocks, before they are summed and split over devices",
    "gradient of the output layer": "it is there while every activation is still kept",
    "inside of one block": "the activations of the block that goes back, or is computed again",
    "optimizer's intermediate values": "AdamW takes its step over all tensors at once",
    "whole matrices": "matrices that the method forms from its parameters at every step",
    "conversion to nf4": "blocks that making the weights narrow has reserved",
}
KINDS = {
    "prompting": "prompts alone", "weights": "the model's own weights", "lora": "LoRA and its kin",
    "added": "other additions",
}  # fmt: skip
TEXTBOOK = (
    ("weights in fp32", 4, "each number takes four bytes"),
    ("optimizer states", 8, "AdamW keeps two moments of each"),
    ("gradients", 4, "one of each"),
    ("activations and the rest", 8, "a rule of thumb; it depends on batch and length, not on parameters"),
)  # fmt: skip


def gigabytes(count: float) -> str:
    """'1.24 GB', or '12 MB' below a tenth of a GB; a GB is 10^9 bytes."""
    return f"{count / 1e9:,.2f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"


def operations(count: float) -> str:
    """'3.4 TFLOP'."""
    for unit, size in (("PFLOP", 1e15), ("TFLOP", 1e12), ("GFLOP", 1e9)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e6:,.1f} MFLOP"


def duration(seconds: float | None) -> str:
    """'0.3 s', '40 s', '12 min' or '3.1 h'; a dash for an unknown one."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def expected(plan: ArmPlan) -> str:
    """The seconds of an arm; '58 s (44 s to 81 s)' where earlier arms taught how far one is off."""
    ends = plan.seconds_ends
    between = f" ({duration(ends[0])} to {duration(ends[1])})" if ends is not None else ""
    return duration(plan.seconds) + between


def money(dollars: float) -> str:
    """'$1.20'; less than a cent is said so."""
    return f"${dollars:,.2f}" if dollars >= 0.01 else "under $0.01"


def why(name: str) -> str:
    return WHY.get(name, "")


def why_taught(taught: Taught) -> str:
    """Why seconds by rates are not the seconds of a plan."""
    arms = f"{taught.arms} earlier arm{'s' * (taught.arms > 1)} on this machine"
    return f"{arms}: times {taught.factor:.2f}, and {taught.low:.2f} to {taught.high:.2f} for 95 of 100 arms"
