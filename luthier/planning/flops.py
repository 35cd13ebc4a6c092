"""Operations of training and answering, by product: at least as many as the work needs.

A matrix product costs 2 operations a parameter and token. Training pays for the forward pass (2), the gradient of the
activations (2) and, for parameters that move, the gradient of the weights (2): 6 N a token where all N parameters move
(Kaplan et al. 2020, section 2.1), 4 N + 6 A where only an adapter's A do. Below the first weight that trains, there is
no backward pass: 2 N. Embeddings are looked up, not multiplied; the output layer is counted at the positions that need
logits. Attention is causal: a token at position t is held against t others.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from luthier.planning.kept import flows_into_blocks
from luthier.planning.moving import Moving
from luthier.planning.shape import Block, Layer, Shape

ORDER = (("query", "key", "value", "qkv"), ("attended",), ("gate", "up"), ("down",))
ADAPTERS = ("lora", "dora", "plain", "bottleneck")


@dataclass(frozen=True)
class Read:
    """What is read: `tokens` in all rows, `squares` the sum over rows of n (n + 1) / 2, and `losses` positions.

    An encoder-decoder reads `tokens` in its encoder and `written` in its decoder.
    """

    tokens: int
    squares: int
    losses: int
    written: int = 0
    written_squares: int = 0


def linear_parameters(shape: Shape) -> int:
    """N: parameters of the linear layers of all blocks, without embeddings and output layer."""
    return sum(layer.weights for layer in shape.linear)


def head_parameters(shape: Shape) -> int:
    """Parameters of the output layer, or of an encoder's head."""
    if shape.output is not None:
        return shape.at(shape.output).weights
    return sum(layer.weights for layer in shape.head_layers if layer.is_linear)


def _attention(block: Block, squares: int) -> int:
    own = (core for core in block.attentions if not core.cross)
    return sum(2 * squares * core.heads * (core.head_width + (core.value_width or core.head_width)) for core in own)


def training_flops(shape: Shape, moving: Moving, read: Read, recompute: bool = False) -> Counter[str]:
    """Operations of a training pass over `read`, by product."""
    total: Counter[str] = Counter()
    flows = flows_into_blocks(shape, moving) or bool(moving.prefix)
    for block in shape.blocks:
        reads = shape.family == "encoder-decoder" and block.stack == "encoder"
        tokens, squares = (read.tokens, read.squares) if reads or not read.written else (
            read.written, read.written_squares
        )  # fmt: skip
        trains = any(_moves(moving, layer) for layer in block.layers)
        flows_here = flows or trains
        for roles in ORDER:  # layers of one step read the same input
            step = [layer for layer in block.layers if layer.is_linear and layer.role in roles]
            for layer in step:
                total += _product(moving, layer, tokens, flows)
            flows = flows or any(_moves(moving, layer) for layer in step)
        total["attention"] += _attention(block, squares) * (3 if flows_here else 1)
        if recompute and flows_here:
            total["recomputation"] += 2 * tokens * sum(one.weights for one in block.layers if one.is_linear)
            total["recomputation"] += _attention(block, squares)
        flows = flows_here
    total += _head(shape, moving, read, flows)
    return total


def _moves(moving: Moving, layer: Layer) -> bool:
    return layer.path in moving.weights or layer.path in moving.biases or moving.beside(layer.path) is not None


def _product(moving: Moving, layer: Layer, tokens: int, flows: bool) -> Counter[str]:
    """One layer's product: forward, the gradient of its input where it is needed, and that of its weight."""
    moves = layer.path in moving.weights
    name = "moving weights" if moves else "frozen weights"
    out = Counter({name: 2 * tokens * layer.weights * (1 + flows + moves)})
    beside = moving.beside(layer.path)
    if beside is not None and beside.kind in ADAPTERS:
        into, out_of = beside.inner * layer.inputs, beside.inner * layer.outputs
        out["adapters"] = 2 * tokens * (into * (2 + flows) + out_of * 3)  # what lies inside always needs a gradient
    return out


def _head(shape: Shape, moving: Moving, read: Read, flows: bool) -> Counter[str]:
    weights = head_parameters(shape)
    owner = shape.at(shape.output).tied_to or shape.output if shape.output else None
    moves = owner in moving.weights if owner else True
    return Counter({"output layer": 2 * read.losses * weights * (1 + flows + moves)})


def reading_flops(shape: Shape, read: Read, logits: int = 0) -> int:
    """Operations of a forward pass without a backward pass; `logits` are the positions with logits."""
    blocks = 0
    for block in shape.blocks:
        written = read.written and block.stack == "decoder" and shape.family == "encoder-decoder"
        tokens = read.written if written else read.tokens
        blocks += 2 * tokens * sum(layer.weights for layer in block.layers if layer.is_linear)
        blocks += _attention(block, read.written_squares if written else read.squares)
    return blocks + 2 * logits * head_parameters(shape)
