"""Bytes of a model's weights at a width, with block scales, and what a method adds to them.

Only the linear layers of the blocks get narrow (model/widths.py). Norms, embeddings, the output layer, and what
transformers keeps wide keep the study's precision.
"""

from __future__ import annotations

import math

from luthier.model.sizes import INT4_GROUP, NARROW
from luthier.planning.moving import Moving
from luthier.planning.shape import Layer, Shape

PRECISION_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
NF4_BLOCK, NF4_OUTER = 64, 256  # weights of a scale, and scales of a scale (Dettmers et al. 2023, section 3)
NF4_TABLES = 4 * (16 + 256 + 1)  # bytes of a layer's tables: 16 quantiles, 256 values of a scale, and an offset


def narrowed(shape: Shape) -> list[Layer]:
    """The layers that a narrow width changes."""
    return [layer for layer in shape.linear if not any(layer.is_called(name) for name in shape.wide_linear)]


def layer_bytes(layer: Layer, width: str) -> int:
    """Bytes of one narrow layer's weight with its scales."""
    count, rows = layer.weights, layer.outputs
    if width == "int8":  # an fp32 scale for each output
        return count + 4 * rows
    if width == "int4":
        return count // 2 + 2 * rows * (layer.inputs // math.gcd(INT4_GROUP, layer.inputs))
    blocks = -(-count // NF4_BLOCK)
    return (count + 1) // 2 + blocks + 4 * -(-blocks // NF4_OUTER) + NF4_TABLES


def weight_bytes(shape: Shape, precision: str, width: str | None = None) -> int:
    """Bytes of the whole model. `width` None, or one of 16 bits, casts all of it."""
    if width is None or width not in NARROW:
        return shape.parameters * PRECISION_BYTES[width or precision]
    narrow = narrowed(shape)
    wide = shape.parameters - sum(layer.weights for layer in narrow)
    return wide * PRECISION_BYTES[precision] + sum(layer_bytes(layer, width) for layer in narrow)


def trained_module_bytes(shape: Shape, moving: Moving, precision: str) -> int:
    """Bytes of the parameters of the module that trains, gradients and states apart.

    What a method adds is fp32; the model's own weights train in the precision of the study.
    """
    head = sum(layer.parameters for layer in shape.head_layers)
    added = 4 * sum(one.trainable for one in moving.additions) + 4 * sum(one.frozen for one in moving.additions)
    wide_head = head * (4 - PRECISION_BYTES[precision])  # an encoder's head is fp32, whatever the body's precision
    return weight_bytes(shape, precision, moving.width) + wide_head + added


def mastered(shape: Shape, moving: Moving, precision: str) -> int:
    """Trainable parameters with an fp32 master beside them: the model's own in 16 bits. A head is fp32."""
    if PRECISION_BYTES[precision] == 4:
        return 0
    return sum(moving.own_of(layer) for layer in shape.layers if layer not in shape.head_layers)
