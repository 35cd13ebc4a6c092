"""Seconds of training and answering by a roofline: operations at the rate of their product, or bytes at the bandwidth.

Training reads long rows, so its products run at the rate of many rows; what stands between the products moves kept
activations through memory. A decoding step reads every weight for a few rows, so it takes the longer of both. What else
a probe saw blocks take is added: by the numbers that activations hold, and in writing by the calls. So is what LoRA's
updates take where they stay beside the weights that answer; their products are in it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from luthier.planning.cache import cache_layers, source_bytes, token_bytes
from luthier.planning.devices import Device
from luthier.planning.flops import Read, head_parameters, linear_parameters, reading_flops, training_flops
from luthier.planning.kept import kept
from luthier.planning.lengths import Lengths, Pair, rows_of
from luthier.planning.moving import Moving
from luthier.planning.passes import Pass
from luthier.planning.shape import Shape
from luthier.planning.terms import Setting, answering_additions, answering_weights, rows_at_once
from luthier.planning.weights import PRECISION_BYTES

# How often what is kept crosses memory beside the products: written forward, read backward, and its gradient likewise.
CROSSINGS = 4
STATE_BYTES = (
    28  # of a parameter an optimizer step reads or writes: value, gradient and two moments, three written back
)


@dataclass(frozen=True)
class Work:
    """Operations and seconds of a phase."""

    flops: int
    seconds: float

    def __add__(self, other: Work) -> Work:
        return Work(self.flops + other.flops, self.seconds + other.seconds)


def read_of(shape: Shape, pairs: tuple[Pair, ...]) -> Read:
    """What training reads of these examples."""
    losses = sum(target for _, target in pairs)
    if shape.family == "encoder":
        return Read(sum(p for p, _ in pairs), sum(p * p for p, _ in pairs), len(pairs))
    if shape.family == "encoder-decoder":
        squares = sum(p * p for p, _ in pairs)
        return Read(sum(p for p, _ in pairs), squares, losses, losses, sum(_triangle(t) for _, t in pairs))
    return Read(sum(map(sum, pairs)), sum(_triangle(p + t) for p, t in pairs), losses)


def activation_numbers(shape: Shape, read: Read) -> int:
    """Numbers that the activations of all blocks hold: for a token eight of a block's width, three of its inner one."""
    written = read.written if shape.family == "encoder-decoder" else read.tokens
    reads, writes = (sum(8 * shape.width + 3 * one.inner for one in stack) for stack in (shape.reading, shape.writing))
    return read.tokens * reads + written * writes


def _triangle(n: int) -> int:
    return n * (n + 1) // 2


def training_work(
    shape: Shape, moving: Moving, setting: Setting, lengths: Lengths, device: Device, passes: float, how: Pass
) -> Work:
    """Operations and seconds of training on the examples, `passes` times over, when a forward pass runs as `how`."""
    read = read_of(shape, lengths.train)
    if how.all_logits and shape.family != "encoder":
        read = replace(read, losses=read.written or read.tokens)
    flops = sum(training_flops(shape, moving, read, how.recompute != "none").values())
    flops += reading_flops(shape, read, read.losses) if setting.kl else 0  # the base reads every row too
    rate = device.rate("fp32" if how.number == 4 else setting.precision, _typical_matrix(shape), 1024)
    middle = sorted(lengths.train, key=sum)[len(lengths.train) // 2]
    kept_bytes = sum(kept(shape, moving, rows_of(shape, [middle]), how).values()) / max(1, sum(middle))
    between = CROSSINGS * kept_bytes * lengths.train_tokens / device.bandwidth
    steps = -(-len(lengths.train) // setting.batch_size)
    states = STATE_BYTES * moving.trainable(shape) * steps / device.bandwidth
    beside = device.beside("training", setting.precision) * activation_numbers(shape, read)
    return Work(round(passes * flops), passes * (flops / rate + between + beside + states))


def answering_work(
    shape: Shape, moving: Moving, setting: Setting, prompts: tuple[int, ...], lengths: Lengths, device: Device
) -> Work:
    """Operations and seconds of answering these prompts, read in batches and written token by token."""
    if not prompts:
        return Work(0, 0.0)
    shared, new = min(lengths.shared, min(prompts)), lengths.mean_answer
    asked = replace(lengths, test=prompts, shared=shared)
    weights = answering_weights(shape, moving, setting)
    precision, number = setting.precision, PRECISION_BYTES[setting.precision]
    tokens = sum(prompts) - shared * (len(prompts) - 1)
    read = Read(tokens, sum(_triangle(n) for n in prompts), 0)
    if shape.family == "encoder":
        read = Read(sum(prompts), sum(n * n for n in prompts), 0)
    reading = reading_flops(shape, read, logits=len(prompts))
    updates = update_of(shape, moving, setting)
    beside = device.beside("reading", precision) * activation_numbers(shape, read)
    beside += device.beside("adapted reading", precision) * read.tokens * updates.numbers
    work = Work(
        reading + 2 * read.tokens * updates.parameters,
        reading / device.rate(precision, _typical_matrix(shape), 1024) + beside,
    )
    if shape.family == "encoder" or not setting.answers:
        return work
    rows, _ = rows_at_once(shape, moving, setting, asked)
    layers = cache_layers(shape)
    held = sum(prompts) / len(prompts) + new / 2  # tokens whose keys and values a row holds, in the mean
    each = token_bytes(layers, number) * held
    each += source_bytes(layers, number) * held if shape.family == "encoder-decoder" else 0
    step_flops = 2 * rows * (linear_parameters(shape) + head_parameters(shape))
    products = step_flops / device.rate(precision, _typical_matrix(shape), rows)
    step = max(products, weights / device.bandwidth) + rows * each / device.bandwidth
    steps = -(-len(prompts) * setting.sequences // rows) * new
    step_flops += 2 * rows * updates.parameters
    beside = device.beside("writing", precision) * len(shape.writing)
    beside += device.beside("adapted writing", precision) * updates.calls
    return work + Work(round(step_flops * steps), steps * (step + beside))


@dataclass(frozen=True)
class Update:
    """LoRA's updates that stay beside the weights that answer: their calls for a written token, the numbers that go
    into their layers and come out for a token, and their parameters."""

    calls: int
    numbers: int
    parameters: int


def update_of(shape: Shape, moving: Moving, setting: Setting) -> Update:
    """The updates beside the weights while they answer; nothing where they were added to them."""
    ranks = {one.path: one.inner for one in answering_additions(moving, setting) if one.kind in ("lora", "dora")}
    if not ranks:
        return Update(0, 0, 0)
    sizes = {layer.path: layer.inputs + layer.outputs for layer in shape.layers if layer.path in ranks}
    return Update(
        sum(layer.path in ranks for block in shape.writing for layer in block.layers),
        sum(sizes.values()),
        sum(ranks[path] * size for path, size in sizes.items()),
    )


def _typical_matrix(shape: Shape) -> float:
    """Numbers in the matrix in which most operations happen: the mean, weighted by size."""
    sizes = [layer.weights for layer in shape.linear]
    return sum(size * size for size in sizes) / max(1, sum(sizes))
