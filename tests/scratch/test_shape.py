"""A shape's matrices and FLOPs are those of the model that it makes, by the arithmetic of plans."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from luthier.scratch.shape import Shape, matrices, planned, row_flops, training_flops
from luthier.scratch.transformer import Transformer

SHAPES: dict[str, dict[str, Any]] = {
    "decoder": {},
    "narrow keys": {"kv_heads": 1, "head_width": 12},
    "plain": {"activation": "gelu", "inner": 40, "bias": True, "tied": False, "norm": "layer"},
    "encoder": {"family": "encoder"},
    "both": {"family": "encoder-decoder", "activation": "relu"},
    "hidden states": {"head": "none"},
}


def shape_of(name: str) -> Shape:
    return Shape(vocabulary=50, width=16, layers=3, heads=2, **SHAPES[name])


@pytest.mark.parametrize("name", SHAPES)
def test_matrices_are_those_of_the_model_s_blocks(name: str) -> None:
    shape = shape_of(name)
    model = Transformer(shape)
    found = {
        path: parameter.numel()
        for path, parameter in model.named_parameters()
        if ".blocks." in path and parameter.dim() == 2
    }
    assert matrices(shape) == sum(found.values()) > 0
    assert len(planned(shape).linear) == len(found)


@pytest.mark.parametrize("name", SHAPES)
def test_flops_are_those_that_torch_counts_where_attention_is_formed_in_full(name: str) -> None:
    """torch counts no attention of its fast kernel, and that by blocks as products of batches, so products of weights
    are compared.
    """
    shape, rows, length = shape_of(name), 3, 8
    model = Transformer(shape)
    ids = torch.randint(0, 50, (rows, length))
    more = {"source_BS": ids} if shape.family == "encoder-decoder" else {}
    with FlopCounterMode(display=False) as counted:
        out = model(ids, **more)
        out.sum().backward()
    counts = {str(op): flops for op, flops in counted.get_flop_counts()["Global"].items()}
    by_weights = sum(flops for op, flops in counts.items() if "attention" not in op and "bmm" not in op)
    tokens = rows * length * shape.stacks
    attention = 12 * shape.layers * shape.heads * shape.head_size * rows * length
    seen = {"decoder": (length + 1) / 2, "encoder": length}.get(shape.family, length + (length + 1) / 2)
    assert training_flops(shape, tokens, length) == by_weights + attention * seen


@pytest.mark.parametrize("name", SHAPES)
def test_a_row_s_flops_are_those_of_a_training_on_one_such_row(name: str) -> None:
    """An encoder-decoder's tokens are split evenly there; a row may write fewer than it reads, and then costs less."""
    shape, length = shape_of(name), 8
    written = length if shape.family == "encoder-decoder" else 0
    assert row_flops(shape, length, length, written) == training_flops(shape, length + written, length)
    if written:
        assert row_flops(shape, length, 2, 2) < row_flops(shape, length, length, written) / 1.5
    elif shape.family == "encoder":
        assert row_flops(shape, length, 1) < row_flops(shape, length, length)
